//! The defences against the attacks, and how each is taken out: `cargo mutation attacks` (tests/mutation) does that, and the
//! test of the attack has to fail at its oracle.
//!
//! Where several defences stand behind one another, a removal takes out all that the attack has to pass, and its name says
//! so. Or there are several removals, each of a defence that has an assertion of its own.
//!
//! This file is used by two programs, so it imports nothing.

/// One defence, or several behind one another.
pub(crate) struct Removal {
    /// The number of the attack.
    pub(crate) attack: u8,
    /// What is taken out.
    pub(crate) defence: &'static str,
    /// File, a text that is once in there, within a function, and what stands there without the defence.
    pub(crate) edits: &'static [(&'static str, &'static str, &'static str)],
    /// A piece of the assertion that has to fail.
    pub(crate) fails: &'static str,
    /// The test program that plays the attack.
    pub(crate) program: &'static str,
}

type Edit = (&'static str, &'static str, &'static str);

const fn out(attack: u8, defence: &'static str, edits: &'static [Edit], fails: &'static str) -> Removal {
    Removal { attack, defence, edits, fails, program: "attacks" }
}

const POINT: &str = "AffinePoint::from_coordinates(x.into(), y.into()).into_option()";

/// Keys of the session that depend on nothing: message_4, records, package and K open in any other session.
const MESSAGE_4_AT_DEVICE: Edit = (
    "src/edhoc/initiator.rs",
    "MessageCipher::new(*suite, prk_4e3m, (Label::K4, Label::Iv4), &th_4, crypto)?",
    "MessageCipher::new(*suite, &Prk::zeroed(), (Label::K4, Label::Iv4), &[0; 32], crypto)?",
);
const MESSAGE_4_AT_OPERATOR: Edit = (
    "src/edhoc/responder.rs",
    "MessageCipher::new(*suite, prk_4e3m, (Label::K4, Label::Iv4), &th_4, crypto)?",
    "MessageCipher::new(*suite, &Prk::zeroed(), (Label::K4, Label::Iv4), &[0; 32], crypto)?",
);
const EXPORTER: Edit = (
    "src/edhoc/session.rs",
    "Self::below(schedule::kdf_prk(prk_4e3m, Label::PrkOut, &[th_4], crypto)?, crypto)",
    "Self::below(Prk::zeroed(), crypto)",
);
/// The same for what names the transaction.
const TXN_IN_OFFER: Edit = (
    "src/provisioning/device/offer.rs",
    "if self.operation.issues() && package.txn == self.txn =>",
    "if self.operation.issues() =>",
);
const TXN_IN_PACKAGE_KEY: Edit = ("src/credential/mod.rs", "w.bytes(txn);", "w.bytes(&[0; 16]);");
const TXN_IN_K: Edit = ("src/credential/mod.rs", "w.bytes(name.txn);", "w.bytes(&[0; 16]);");
const K_FROM_THE_SESSION: &str = "exporter.export(K, &context, exported.bytes_mut(), crypto)?;";

/// All that notices a device which is behind what it has signed for.
const COUNTER: Edit =
    ("src/provisioning/watch.rs", "if counter <= self.counter && !is_seeded(Fault::TakesOldRequests) {", "if false {");
const STATE: Edit =
    ("src/provisioning/watch.rs", "if behind || state.owner_epoch < self.owner_epoch {", "if behind && false {");
const HEADS: Edit = (
    "src/provisioning/watch.rs",
    "if state.owner_epoch == self.owner_epoch && is_known && self.head != state.voucher_head {",
    "if is_known && false {",
);
const LINE_OF_RECEIPTS: Edit = (
    "src/provisioning/account.rs",
    "_ => return Err(Refusal::Alarm(Alarm::Receipts)),",
    "_ => Line { sequence: None, hash: last },",
);
const LINE_OF_RECORDS: Edit = (
    "src/provisioning/operator/session.rs",
    "if !follows || Some(shown.event) != self.expected || !fits {",
    "if (!follows && false) || Some(shown.event) != self.expected || !fits {",
);
const ONE_CREDENTIAL: Edit =
    ("src/provisioning/operator/session.rs", "if ended && !self.account.cleaned() {", "if ended && false {");
const UNKNOWN: Edit =
    ("src/provisioning/operator/session.rs", "unknown.then(|| Lost {", "(unknown && false).then(|| Lost {");
const LATE_ENTRIES: Edit = (
    "src/provisioning/account.rs",
    "if request.counter < self.watch.counter() && !fault::is_seeded(fault::Fault::TakesOldRequests) {",
    "if false {",
);
const ONE_AT_A_TIME: Edit = (
    "src/provisioning/operator/session.rs",
    "if (has && free) || self.account.cleaned() {",
    "if (has && free) || true {",
);

const CORE_FIRST: Edit = (
    "src/provisioning/operator/session.rs",
    "Known::Open(Stage::Prepared) => match self.core {",
    "Known::Open(Stage::Prepared) if self.core == Core::Silent => self.decide(Verdict::Commit),
            Known::Open(Stage::Prepared) => match self.core {",
);

const DOOR: &str = "src/provisioning/operator/door.rs";
const ANCHORS_OF_A_DOMAIN: Edit = (
    "src/trust/x509/mod.rs",
    ".filter(|anchor| anchor.role == role && anchor.domain == domain)",
    ".filter(|anchor| anchor.role == role)",
);
const POLICY_OF_A_DOMAIN: Edit = (
    "src/trust/x509/mod.rs",
    "certificates.iter().try_for_each(|certificate| check_domain(certificate, domain))?;",
    "",
);

/// What is taken out.
pub(crate) const REMOVALS: &[Removal] = &[
    out(
        1,
        "the maker's signature under a voucher",
        &[(
            "src/trust/voucher/mod.rs",
            "chain.head.verify(&maker.key, &[], crypto).ok()",
            "Some(maker).map(|_| chain.head.unverified())",
        )],
        r#"assert_eq!(session.messages[2..], [EDHOC_ERROR], "no message_3")"#,
    ),
    out(
        1,
        "that a chain leads to an anchor",
        &[(
            "src/trust/x509/mod.rs",
            "let (end_entity, _) = parsed.split_first().ok_or(Untrusted::BadCertificate)?;",
            "let (end_entity, _) = parsed.split_first().ok_or(Untrusted::BadCertificate)?;
            let key = crypto.point(key).map_err(|_| Untrusted::BadCertificate)?;
            return Ok(Peer::new(&certificate_credential(end_entity.der().as_ref()), key, name, role, domain, usage));
            let key = leaf.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();",
        )],
        r#"assert_eq!(session.messages[2..], [EDHOC_ERROR], "no message_3")"#,
    ),
    out(
        2,
        "Signature_or_MAC_2",
        &[(
            "src/edhoc/initiator.rs",
            ".check(peer, &plaintext.id_cred, Some(c_r), &plaintext.proof, crypto)?;",
            ".check(peer, &plaintext.id_cred, Some(c_r), &plaintext.proof, crypto).ok();",
        )],
        "assert_eq!(lab.tell_device(&mut device, &message_2), Err(NOT_AUTHENTIC))",
    ),
    out(
        2,
        "Signature_or_MAC_3",
        &[(
            "src/edhoc/responder.rs",
            ".check(peer, &plaintext.id_cred, None, &plaintext.proof, crypto)?;",
            ".check(peer, &plaintext.id_cred, None, &plaintext.proof, crypto).ok();",
        )],
        "assert_eq!(lab.step(&mut session), Err(NOT_AUTHENTIC))",
    ),
    out(
        3,
        "the operator takes no suite below the best one that it shares",
        &[("src/edhoc/responder.rs", "if read.suites.last() != Some(&suite.number) {", "if false {")],
        "Err(Misbehaved::WrongSuite.into())",
    ),
    out(
        3,
        "message_1 in the transcript",
        &[("src/edhoc/schedule.rs", "w.bytes(h_message_1);", "")],
        "assert!(lab.tell_device(&mut session.device, &message_2).is_err())",
    ),
    out(
        4,
        "keys of message_4, package and K that no other session has",
        &[MESSAGE_4_AT_DEVICE, MESSAGE_4_AT_OPERATOR, EXPORTER],
        "assert_eq!(lab.tell_device(&mut session.device, &old), Err(NOT_AUTHENTIC))",
    ),
    out(
        5,
        "the direction in the key and in what is authenticated",
        &[(
            "src/provisioning/record.rs",
            "let direction = u64::from(label == OPERATOR_TO_DEVICE);",
            "let (direction, label) = (0, DEVICE_TO_OPERATOR);",
        )],
        "assert!(number != 5 || outcome == Err(NOT_AUTHENTIC)",
    ),
    out(
        6,
        "transcript and MAC under the signature",
        &[
            (
                "src/edhoc/mod.rs",
                "let aad = schedule::external_aad(proof.th, &self.credential, proof.ead);",
                "let (aad, mac) = (schedule::external_aad(&[0; 32], &self.credential, proof.ead), Vec::new());",
            ),
            (
                "src/edhoc/mod.rs",
                "let aad = schedule::external_aad(self.th, credential, self.ead);",
                "let (aad, mac) = (schedule::external_aad(&[0; 32], credential, self.ead), Vec::new());",
            ),
        ],
        r#"(Err(NOT_AUTHENTIC), Vec::new()), "the device met another")"#,
    ),
    out(
        7,
        "keys that no other session has, and the transaction in offer, package key and K",
        &[MESSAGE_4_AT_DEVICE, MESSAGE_4_AT_OPERATOR, EXPORTER, TXN_IN_OFFER, TXN_IN_PACKAGE_KEY, TXN_IN_K],
        "assert!(matches!(outcome, Err(Error::Untrusted(_) | Error::Malformed(_)))",
    ),
    out(
        8,
        "a number for each record",
        &[("src/provisioning/record.rs", "self.send.next = number.checked_add(1)", "let _ = number.checked_add(1)")],
        "assert_eq!(different.len(), sealed.len())",
    ),
    out(
        8,
        "keys that no other session has",
        &[MESSAGE_4_AT_DEVICE, MESSAGE_4_AT_OPERATOR, EXPORTER],
        "assert_eq!(different.len(), sealed.len())",
    ),
    out(
        9,
        "x has to be that of a point",
        &[(
            "src/crypto/rustcrypto.rs",
            "AffinePoint::decompress(x.into(), y_is_odd.into()).into_option()",
            "AffinePoint::decompress(x.into(), y_is_odd.into()).into_option().or(Some(AffinePoint::GENERATOR))",
        )],
        "assert_eq!(outcome, Err(Misbehaved::InvalidPoint.into())",
    ),
    out(
        9,
        "the point has to be on the curve",
        &[(
            "src/crypto/rustcrypto.rs",
            POINT,
            "AffinePoint::from_coordinates(x.into(), y.into()).into_option().or(Some(AffinePoint::GENERATOR))",
        )],
        "assert!(cases.iter().all(|case| RustCrypto.point(&case.public_key).is_err()))",
    ),
    out(
        10,
        "the signature is looked at",
        &[("src/crypto/rustcrypto.rs", "key.verify(message, &signature).ok()", "Some(())")],
        "assert!(!good || !case.result.must_fail()",
    ),
    out(
        10,
        "r and s are between 0 and the order",
        &[(
            "src/crypto/rustcrypto.rs",
            "let signature = ecdsa::Signature::from_slice(signature).ok()?;",
            "let Ok(signature) = ecdsa::Signature::from_slice(signature) else { return Some(()) };",
        )],
        "assert!(!good || !case.result.must_fail()",
    ),
    out(
        10,
        "the nonce follows from the message",
        &[(
            "src/store/memory.rs",
            "key.try_sign(message).map_err(|_| Backend::Key)?;",
            "key.try_sign(b\"\").map_err(|_| Backend::Key)?;",
        )],
        r#"assert_ne!(sign(b"one")[..32], sign(b"two")[..32]"#,
    ),
    out(
        11,
        "the device's secret in its randomness",
        &[("src/crypto/hedged.rs", "hkdf_extract(self.salt.bytes(), ", "hkdf_extract(&[], ")],
        "assert_eq!(keys.len(), 4)",
    ),
    out(
        11,
        "the count of boots in it",
        &[("src/crypto/hedged.rs", "&[INFO, &self.boot.to_be_bytes(), ", "&[INFO, ")],
        "assert_eq!(keys.len(), 4)",
    ),
    out(
        12,
        "a bound for the depth",
        &[
            (
                "src/wire/reader.rs",
                "let mut open: ArrayVec<Open<'a>, MAX_DEPTH> = ArrayVec::new();",
                "let mut open: alloc::vec::Vec<Open<'a>> = alloc::vec::Vec::new();",
            ),
            ("src/wire/reader.rs", "open.try_push(inner).map_err(|_| Malformed::TooDeep)?;", "open.push(inner);"),
        ],
        "assert_eq!(walk(bomb), Err(*why)",
    ),
    out(
        12,
        "lengths no longer than what is there",
        &[(
            "src/wire/reader.rs",
            "self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;",
            "self.rest.split_at(len.min(self.rest.len()));",
        )],
        "assert_eq!(walk(bomb), Err(*why)",
    ),
    out(
        12,
        "each key once, in order",
        &[("src/wire/reader.rs", "if self.last.is_some_and(|last| last >= rank) {", "if false {")],
        "assert_eq!(walk(bomb), Err(*why)",
    ),
    out(
        12,
        "nothing behind the item",
        &[(
            "src/wire/reader.rs",
            "if self.rest.is_empty() { Ok(()) } else { Err(Malformed::TrailingBytes) }",
            "Ok(())",
        )],
        "assert_eq!(walk(bomb), Err(*why)",
    ),
    out(
        12,
        "the shortest form of a number",
        &[("src/wire/reader.rs", "_ if argument < least => Err(", "_ if argument < least && false => Err(")],
        "assert_eq!(walk(bomb), Err(*why)",
    ),
    out(
        13,
        "the signature is over the bytes that came: here over the map with its head in the shortest form",
        &[(
            "src/cose/sign1.rs",
            "w.bytes(payload);",
            "match payload {
                [0xb8, pairs, rest @ ..] if *pairs < 24 => w.bytes(&[&[0xa0 | *pairs][..], rest].concat()),
                _ => w.bytes(payload),
            }",
        )],
        "assert!(Sign1::foreign(&anew).unwrap().verify(&key",
    ),
    out(
        14,
        "a bound for the total",
        &[("src/framing/fragment.rs", "if total > MAX_MESSAGE {", "if false {")],
        "Err(Malformed::TooLong.into())",
    ),
    out(
        14,
        "a total that the first fragment fixes",
        &[("src/framing/fragment.rs", "if piece.total.is_some_and(|total| total != under_way.total) {", "if false {")],
        "assert_eq!(reassembler.accept(piece, now), Err((*why).into())",
    ),
    out(
        14,
        "one message at a time",
        &[("src/framing/fragment.rs", "if piece.message != under_way.message {", "if false {")],
        "assert_eq!(reassembler.accept(piece, now), Err((*why).into())",
    ),
    out(
        15,
        "three times what was heard",
        &[("src/framing/cookie.rs", "if bytes > self.left() {", "if false {")],
        "assert!(budget.say(budget.left() + 1).is_err())",
    ),
    out(
        15,
        "a cookie for one address",
        &[(
            DOOR,
            "hello.cookie.is_some_and(|cookie| baker.check(cookie, address, &[], now).is_ok());",
            "hello.cookie.is_some();",
        )],
        r#"assert!(door(&lab, &with_cookie, b"attacker").is_none()"#,
    ),
    out(
        16,
        "a door that keeps nothing: here what was read of message_1",
        &[(DOOR, "Ok((!good).then(||", "core::mem::forget(message); Ok((!good).then(||")],
        "(counted.count_current, counted.bytes_current, recording.watch.take().costly()), (0, 0, 0)",
    ),
    out(
        16,
        "a door that computes nothing with points: here whether the domain's number is one",
        &[(DOOR, "config.check(&hello)?;", "config.check(&hello)?; let _ = crypto.point(&[7; 32]);")],
        "(counted.count_current, counted.bytes_current, recording.watch.take().costly()), (0, 0, 0)",
    ),
    out(
        17,
        "one slot for what is only prepared, never that of the credential in use",
        &[(
            "src/provisioning/device/durable.rs",
            "self.active.as_ref().map_or(Slot::A, |active| active.slot.other())",
            "if self.requests % 2 == 0 { Slot::A } else { Slot::B }",
        )],
        "assert!(is_served(&mut lab))",
    ),
    out(
        18,
        "the core has the new key before the device is told to use it",
        &[CORE_FIRST],
        "assert!(first || is_served(&mut lab)",
    ),
    out(
        18,
        "a device that resumes is told what was decided",
        &[(
            "src/provisioning/operator/session.rs",
            "Known::Open(Stage::Committed) | Known::Active => Step::Say(Order::Commit),",
            "Known::Open(Stage::Committed) if matches!(self.link, Link::Opening(_)) => Step::Refuse(Code::Conflict),
            Known::Open(Stage::Committed) | Known::Active => Step::Say(Order::Commit),",
        )],
        "assert_eq!(lab.run(), Ok(()), \"{messages}\")",
    ),
    out(
        19,
        "what a name may be made of",
        &[(
            "src/identity.rs",
            "if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {",
            "if false {",
        )],
        "assert!(name.parse::<PeerName>().is_err()",
    ),
    out(
        19,
        "that a SUPI is digits",
        &[(
            "src/identity.rs",
            "if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {",
            "if false {",
        )],
        "assert!(supi.parse::<Supi>().is_err()",
    ),
    out(
        20,
        "one answer, also where another name than the concealed one comes",
        &[(
            "src/provisioning/operator/handshake.rs",
            "return Err(Untrusted::Authentication.into());",
            "return Err(Untrusted::UnknownCredential.into());",
        )],
        "assert_eq!(answers.into_iter().collect::<Vec<_>>(), [EDHOC_ERROR])",
    ),
    out(
        21,
        "all that the log knows of the device, and one credential at a time",
        &[COUNTER, STATE, HEADS, LINE_OF_RECEIPTS, LINE_OF_RECORDS, LATE_ENTRIES, UNKNOWN, ONE_AT_A_TIME],
        "assert_eq!(lab.run(), refused(Code::Quarantined))",
    ),
    out(
        22,
        "the domain in hello, terms, anchors, policies, vouchers, package key and receipts",
        &[
            (DOOR, "if hello.domain != self.domain {", "if false {"),
            ("src/provisioning/device/handshake.rs", "if terms.domain != domain {", "if false {"),
            ANCHORS_OF_A_DOMAIN,
            POLICY_OF_A_DOMAIN,
            ("src/trust/voucher/mod.rs", ".filter(|maker| maker.domain == holder.domain)", ".filter(|_| true)"),
            ("src/credential/mod.rs", "domain.write(w);", "let _ = domain; w.unsigned(0);"),
            (
                "src/provisioning/operator/session.rs",
                "(*domain, *txn) == (self.domain, self.visitor.txn)",
                "*domain == *domain && *txn == self.visitor.txn",
            ),
        ],
        "assert_eq!(session_ends, Err(Refused::Edhoc(1).into()))",
    ),
    out(
        22,
        "the domain of anchors and in certificates",
        &[ANCHORS_OF_A_DOMAIN, POLICY_OF_A_DOMAIN],
        "assert_eq!(verify(Domain::Production), Err(Untrusted::NoAnchor.into()))",
    ),
    out(
        23,
        "K out of the session",
        &[("src/credential/mod.rs", K_FROM_THE_SESSION, "exported.bytes_mut().fill(7);")],
        "assert_eq!(seen.len(), 8)",
    ),
    out(
        24,
        "a voucher for the device, at the operator; and the device does what the attacker likes",
        &[
            (
                "src/provisioning/operator/mod.rs",
                "(true, None, None) => return self.refuse(link, visitor.txn, Code::NotEntitled, desk),",
                "(true, None, None) => {
                let shown = Shown { name: *visitor.device.name(), head: [0; 32], epoch: 1, next: false };
                Some(Entitled { verdict, shown, voucher: None, account })
            }",
            ),
            (
                "src/provisioning/device/offer.rs",
                "(Introduction::VoucherLast { .. }, _, None) => Err(Voucher::Missing.into()),",
                "(Introduction::VoucherLast { .. }, _, None) => {
                Ok(Ownership { epoch: 1, head: [0; 32], owner: operator.public_key().thumbprint(platform.crypto) })
            }",
            ),
        ],
        "assert_eq!(lab.run(), refused(Code::NotEntitled))",
    ),
    out(
        24,
        "that evidence is of the device that the certificate names",
        &[("src/attestation/policy.rs", "return Err(Finding::Identity);", "")],
        "assert_eq!(lab.run(), refused(Code::EvidenceIdentity))",
    ),
    out(
        24,
        "K out of the session",
        &[("src/credential/mod.rs", K_FROM_THE_SESSION, "exported.bytes_mut().fill(7);")],
        "assert!(k[0].0 != k[1].0 && k[0].1 != k[1].1)",
    ),
    out(
        25,
        "the session in the evidence",
        &[("src/attestation/token.rs", "return Err(Finding::Nonce);", "")],
        "assert_eq!(lab.run(), refused(Code::EvidenceNotFresh))",
    ),
    out(
        25,
        "the life cycle in the policy",
        &[
            (
                "src/attestation/policy.rs",
                "holds(self.life_cycles.as_ref().is_none_or(accepted), Finding::LifeCycle)?;",
                "let _ = accepted;",
            ),
            (
                "src/attestation/policy.rs",
                "holds(self.debug.is_none() || claims.debug >= self.debug, Finding::Debug)?;",
                "",
            ),
        ],
        "assert_eq!(lab.run(), refused(Code::DebugState))",
    ),
    out(
        26,
        "the least version in the policy",
        &[(
            "src/attestation/policy.rs",
            "holds(self.versions.iter().all(|minimum| is_recent(claims, minimum)), Finding::SoftwareVersion)?;",
            "",
        )],
        "assert_eq!(lab.run(), outcome",
    ),
    out(
        27,
        "revocation lists",
        &[(
            "src/trust/x509/mod.rs",
            "let lists = revocations.lists();",
            "let mut lists = revocations.lists(); lists.clear();",
        )],
        "assert_eq!(ask(identities::listing_anchors()), Err(Untrusted::Revoked.into()))",
    ),
    out(
        27,
        "a floor that a list has to reach",
        &[(
            "src/trust/x509/revocation.rs",
            "if self.floors.get(&issuer).is_none_or(reached) {",
            "if self.floors.get(&issuer).is_none_or(reached) || true {",
        )],
        "assert_eq!(ask(restored), Err(Untrusted::RevocationStale.into()))",
    ),
    out(
        27,
        "no list below the floor",
        &[(
            "src/trust/x509/revocation.rs",
            "if self.floors.get(&list.issuer).is_some_and(|floor| list.epoch < *floor) {",
            "if false {",
        )],
        "assert_eq!(restored.revocations_mut().add(old).err(), Some(Untrusted::RevocationStale))",
    ),
    out(
        28,
        "that evidence is of the device that the certificate names",
        &[("src/attestation/policy.rs", "return Err(Finding::Identity);", "")],
        "assert_eq!(lab.run(), refused(Code::EvidenceIdentity))",
    ),
    out(
        28,
        "that a voucher is for this device",
        &[("src/trust/voucher/mod.rs", "if voucher.serial != holder.serial.as_str() {", "if false {")],
        "assert_eq!(outcome, Err(remote_provisioning::error::Voucher::OtherDevice.into()))",
    ),
    out(
        28,
        "that the certificate has the name that was concealed",
        &[(
            "src/provisioning/operator/handshake.rs",
            "if voucher_first && shown.as_ref().is_none_or(|shown| shown.name != *device.name()) {",
            "if voucher_first && false {",
        )],
        "assert_eq!(lab.run(), expected",
    ),
    out(
        29,
        "the device goes on from the entry that it holds",
        &[(
            "src/trust/voucher/mod.rs",
            "(false, _) => return Err(if last.epoch <= held.epoch { Fault::Stale } else { Fault::Forked }.into()),",
            "(false, _) => Ownership { epoch: last.epoch, head: last.hash, owner: last.owner },",
        )],
        r#"assert_eq!(show(&two, &other, Some(&held)), Err(Shown::Stale.into())"#,
    ),
    out(
        29,
        "one entry goes on from a row",
        &[("src/provisioning/account.rs", "if self.revision.checked_add(1) != Some(entry.number) {", "if false {")],
        "assert_eq!(lab.carry_out(second), Err(Error::Declined(Code::TryLater))",
    ),
    out(
        30,
        "the device goes on from the entry that it holds",
        &[
            (
                "src/trust/voucher/mod.rs",
                "(false, _) => return Err(if last.epoch <= held.epoch { Fault::Stale } else { Fault::Forked }.into()),",
                "(false, _) => Ownership { epoch: last.epoch, head: last.hash, owner: last.owner },",
            ),
            (
                "src/trust/voucher/mod.rs",
                "(true, None) => *held,",
                "(true, None) => Ownership { epoch: last.epoch, head: last.hash, owner: last.owner },",
            ),
        ],
        "assert_eq!(show(&sold, &seller, Some(&held)), Err(Shown::Stale.into()))",
    ),
    out(
        31,
        "the delay",
        &[(
            "src/authority/takeover.rs",
            "State::Waiting if now < self.ripe_at() => Err(",
            "State::Waiting if false => Err(",
        )],
        "assert_eq!(hostage.ask(Date(TODAY.0 + DELAY - 1)), refused(Code::NotEntitled))",
    ),
    out(
        31,
        "that the maker's word in answer to a nonce counts above what the device holds",
        &[(
            "src/trust/voucher/mod.rs",
            "let fresh = voucher.nonce.is_some() && voucher.nonce == holder.nonce;",
            "let fresh = false;",
        )],
        "assert_eq!(hostage.ask(Date(TODAY.0 + DELAY)), Ok(()))",
    ),
    out(
        32,
        "a veto stops a takeover",
        &[(
            "src/authority/takeover.rs",
            "State::Vetoed(_) => Err(Fault::Vetoed),",
            "State::Vetoed(_) => Ok(Ripe { takeover: self, now }),",
        )],
        "assert_eq!(hostage.takeover.ripe(Date(TODAY.0 + 9 * DELAY)).err(), Some(Fault::Vetoed))",
    ),
    out(
        32,
        "a veto is signed by donor or owner",
        &[(
            "src/authority/takeover.rs",
            "(None, None) => return Err(Fault::Stranger),",
            "(None, None) => (Party::Owner, veto.unverified()),",
        )],
        "assert!(hostage.takeover.veto(&stranger, late, &RustCrypto).is_err())",
    ),
    out(
        33,
        "the owner of today has to release",
        &[("src/authority/association.rs", ".ok_or(Fault::NotReleased)?;", ".unwrap_or(release.unverified());")],
        "assert_eq!(change(&next, (&release, &acceptance)), Err(association::Fault::NotReleased))",
    ),
    out(
        33,
        "a new K for a new owner, by default",
        &[("src/provisioning/account.rs", "self.wanted = self.active.as_ref().map(|_| Operation::Reassociate);", "")],
        "assert_eq!(lab.account().wanted(), Some(Operation::Reassociate)",
    ),
    out(
        34,
        "the device in the grant",
        &[("src/authority/grant.rs", "if !is_device(self.sub, terms.device) {", "if false {")],
        "1_000, Date(TODAY.0 + 86_400)))), expected)",
    ),
    out(
        35,
        "keys that no other session has, and the transaction in offer, package key and K",
        &[MESSAGE_4_AT_DEVICE, MESSAGE_4_AT_OPERATOR, EXPORTER, TXN_IN_OFFER, TXN_IN_PACKAGE_KEY, TXN_IN_K],
        "assert!(second.tell_device(&mut session.device, &messages[number - 1]).is_err()",
    ),
    out(
        35,
        "K out of the session, and not out of names alone",
        &[(
            "src/credential/mod.rs",
            K_FROM_THE_SESSION,
            "exported.bytes_mut().iter_mut().zip(crypto.sha256(&[&context])).for_each(|(to, from)| *to = from);",
        )],
        "assert!(one.bytes() != two.bytes())",
    ),
    out(
        36,
        "the owner has to release",
        &[("src/authority/association.rs", ".ok_or(Fault::NotReleased)?;", ".unwrap_or(release.unverified());")],
        "assert_eq!(change(&release, &acceptance), Err(association::Fault::NotReleased))",
    ),
    out(
        36,
        "the next owner has to accept",
        &[(
            "src/authority/association.rs",
            "signed_by(&acceptance, &deed.owner, ACCEPTANCE, crypto).ok_or(Fault::NotAccepted)?;",
            "",
        )],
        "assert_eq!(change(&wanted, &wanted), Err(association::Fault::NotAccepted))",
    ),
    out(
        36,
        "numbers and hashes of receipts",
        &[
            ("src/provisioning/receipt.rs", "if first > expected {", "if false {"),
            ("src/provisioning/receipt.rs", "if previous != self.head.hash {", "if false {"),
        ],
        "assert_eq!(audit, Err(",
    ),
    out(37, "the core has the new key before the device is told to use it", &[CORE_FIRST], "panic!(\"{violation}\")"),
    Removal {
        program: "exhaustive",
        ..out(
            37,
            "a device uses nothing before it is told to",
            &[
                (
                    "src/provisioning/device/offer.rs",
                    "installed.activation == Activation::OneShot || is_seeded(Fault::SwitchesAtOffer);",
                    "true;",
                ),
                ("src/provisioning/device/offer.rs", "(at_once && before.is_some())", "false"),
            ],
            "panic!(\"{what}, {operation}: {violation}\")",
        )
    },
    out(
        38,
        "a new credential goes beside the old one",
        &[(
            "src/provisioning/device/durable.rs",
            "self.active.as_ref().map_or(Slot::A, |active| active.slot.other())",
            "self.active.as_ref().map_or(Slot::A, |active| active.slot)",
        )],
        r#"assert!(is_served(&mut lab), "{writes}")"#,
    ),
    out(
        38,
        "the other slot answers for a damaged one",
        &[(
            "src/provisioning/device/network.rs",
            "damaged = Some(error);",
            "damaged = Some(error); return Err(error.into());",
        )],
        r#"assert!(matches!(answer, Ok(Aka::Success(_))), "{answer:?}")"#,
    ),
    out(
        38,
        "the tag of a slot",
        &[(
            "src/aka/subscriber.rs",
            "if equal(&card.tag(numbers), found) {",
            "if equal(&card.tag(numbers), found) || true {",
        )],
        "assert_eq!(authenticate(&challenge, &mut lab.store, &mut SoftUsim).err(), Some(Backend::Usim.into()))",
    ),
    out(
        38,
        "attaches that fail lead back to the old credential",
        &[(
            "src/provisioning/device/durable.rs",
            "self.before().filter(|_| fallen).or(self.active.as_deref())",
            "self.before().filter(|_| fallen && false).or(self.active.as_deref())",
        )],
        "assert_eq!(in_use(&lab.store).unwrap(), Some(old))",
    ),
    out(
        39,
        "all that the log knows of the device, one credential at a time, and one in a transaction",
        &[
            ONE_CREDENTIAL,
            COUNTER,
            STATE,
            HEADS,
            LINE_OF_RECEIPTS,
            LINE_OF_RECORDS,
            LATE_ENTRIES,
            UNKNOWN,
            ONE_AT_A_TIME,
        ],
        "assert_eq!(lab.run(), refused(Code::Quarantined)",
    ),
    out(
        40,
        "the core has the new key before the device is told to use it",
        &[CORE_FIRST],
        "assert!(matches!(answer, Aka::MacFailure), \"{mode:?}: the core is still at the old key\")",
    ),
    out(
        40,
        "the alarm",
        &[(
            "src/provisioning/account.rs",
            "Stage::Prepared | Stage::Committed).then(|| self.watch.since())",
            "Stage::Prepared | Stage::Committed).then(|| self.watch.since()).filter(|_| false)",
        )],
        "assert_eq!(lab.account().unconfirmed_since(), Some(begun)",
    ),
    out(
        41,
        "what a device has signed counts for a log that was restored",
        &[UNKNOWN],
        "assert_eq!(active, Some((held.id.supi.as_str(), held.id.epoch))",
    ),
    out(
        42,
        "the core takes no epoch that is not higher",
        &[(
            "src/sim/home.rs",
            "Some(held) if held.epoch >= credential.epoch => Err(Code::Conflict),",
            "Some(held) if held.epoch > credential.epoch + 9 => Err(Code::Conflict),",
        )],
        "assert!(matches!(answer, Answer::CoreReady(Err(Code::Conflict))))",
    ),
    out(
        42,
        "the core takes what it has for what it has",
        &[
            ("src/sim/home.rs", "equal(held.secrets.k.bytes(), credential.secrets.k.bytes()) =>", "false =>"),
            (
                "src/sim/home.rs",
                "if held.epoch >= credential.epoch => Err(",
                "if held.epoch > credential.epoch => Err(",
            ),
        ],
        "assert!(is_served(&mut lab), \"its number was not set back\")",
    ),
    out(
        43,
        "the service before K, and K before the name that lets in",
        &[
            (
                "src/cores/mongo.rs",
                "let mut steps = Vec::from([shell(dialect, supi)]);",
                "let mut steps = Vec::from([shell(dialect, supi), written]); open::<D>(supi, &mut steps);",
            ),
            ("src/cores/mongo.rs", "steps.push(written);", ""),
        ],
        "fields.iter().all(|field| at(found, field).is_some()))",
    ),
    out(
        43,
        "a shell that lets nobody in",
        &[("src/cores/mongo.rs", "fields.text(D::NAME, &barred::<D>(supi));", "fields.text(D::NAME, &D::name(supi));")],
        "fields.iter().all(|field| at(found, field).is_some()))",
    ),
    out(
        44,
        "MAC-A before SQN",
        &[("src/aka/mod.rs", "if !equal(&mac_a, &xmac_a) {", "if !equal(&mac_a, &xmac_a) && array.accept(sqn) {")],
        "assert!(matches!(card.authenticate(&foreign), Aka::MacFailure))",
    ),
    out(
        45,
        "each number once",
        &[("src/aka/sqn.rs", "let fresh = (seq > last)", "let fresh = (seq >= last)")],
        "assert!(take(sqn(100, 3)) && !take(sqn(100, 3))",
    ),
    out(
        45,
        "Δ",
        &[("src/aka/sqn.rs", "(seq.saturating_sub(highest) <= delta)", "(seq.saturating_sub(highest) <= delta << 8)")],
        r#""beyond Δ")"#,
    ),
    out(
        45,
        "MAC-S",
        &[(
            "src/aka/mod.rs",
            "if equal(&mac_s, &xmac_s) { Ok(sqn_ms) }",
            "if equal(&mac_s, &xmac_s) || true { Ok(sqn_ms) }",
        )],
        "assert_eq!(network.resynchronise(&RAND, &forged, 0), Err(Untrusted::Authentication))",
    ),
    out(
        46,
        "the AuC's number is bound to K",
        &[(
            "src/aka/subscriber.rs",
            "if equal(&subscriber.tag(), found) {",
            "if equal(&subscriber.tag(), found) || true {",
        )],
        "assert_eq!(Subscriber::from_bytes(milenage(0x11), profile, &fresh).err()",
    ),
    out(
        46,
        "the USIM's numbers are bound to K",
        &[(
            "src/aka/subscriber.rs",
            "if equal(&card.tag(numbers), found) {",
            "if equal(&card.tag(numbers), found) || true {",
        )],
        "assert_eq!(Card::from_bytes(milenage(0x11), profile, &other).err()",
    ),
    out(
        48,
        "the storage key around K",
        &[
            (
                "src/credential/wrapped.rs",
                "let sealed = encrypt0::seal(&key, None, package_hash, plain.bytes(), crypto)?;",
                "let sealed = { drop(key); plain.bytes().to_vec() };",
            ),
            ("src/credential/wrapped.rs", "let sealed: Encrypt0<'_> = wire::decode(&wrapped.sealed)?;", "drop(key);"),
            (
                "src/credential/wrapped.rs",
                "let plain = sealed.open(&key, package_hash, crypto)?;",
                "let plain = SecretBytes::new(wrapped.sealed.clone());",
            ),
        ],
        "assert!(!contains(&bytes, &k)",
    ),
    out(
        48,
        "a campaign that waits for those under way",
        &[(
            "src/provisioning/campaign.rs",
            "(true, None) => Next::Done,",
            "(_, None) if self.done > 99_000 => Next::Done, (true, None) => Next::Done,",
        )],
        "assert_eq!((called, rekeyed), (100_000, real))",
    ),
    out(
        49,
        "OPc leaves the house, and not OP",
        &[(
            "src/sim/home.rs",
            "Answer::Opc(Ok(milenage::opc(&k, &self.op))),",
            "{ drop(k); Answer::Opc(Secret::from_slice(self.op.bytes()).map_err(|_| Code::TryLater)) }",
        )],
        "assert!(!contains(bytes, &OP[..8]))",
    ),
    out(
        50,
        "nothing that is sent is K: here the RAND of the activation challenge",
        &[("src/provisioning/operator/offer.rs", "desk.rng.fill(&mut rand)?;", "rand.copy_from_slice(k.bytes());")],
        "let [wrapped] = with_k[..] else",
    ),
    out(
        52,
        "complete lets the old key go",
        &[(
            "src/provisioning/device/durable.rs",
            "next.settled = next.requests;",
            "next.settled = next.requests; next.other = self.other.clone();",
        )],
        r#"assert!(matches!(answer, Aka::MacFailure), "{answer:?}")"#,
    ),
    out(
        53,
        "a secret that prints its name alone",
        &[("src/crypto/mod.rs", "write!(f, \"Secret<{N}>(..)\")", "write!(f, \"Secret<{N}>({:?})\", self.0)")],
        "assert!(!text.contains(&hex)",
    ),
    out(
        54,
        "keys that no other session has, and the transaction in offer, package key and K",
        &[MESSAGE_4_AT_DEVICE, MESSAGE_4_AT_OPERATOR, EXPORTER, TXN_IN_OFFER, TXN_IN_PACKAGE_KEY, TXN_IN_K],
        "assert!(!durable && (outcome.is_err() || deed == 3)",
    ),
    out(
        54,
        "the relay in hello",
        &[(DOOR, "if hello.relay != self.relay.map(|admitted| admitted.relay) {", "if false {")],
        "assert_eq!(lab.run(), Err(Refused::Edhoc(1).into()))",
    ),
    out(
        55,
        "the tag of a token",
        &[("src/framing/relay.rs", "if !equal(&self.tag(&permit), &tag) {", "if false {")],
        r#"assert_eq!(admit(&forged, b"relay 7", TODAY.0, 10).err(), no(Relay::Token))"#,
    ),
    out(
        55,
        "the quota",
        &[("src/framing/relay.rs", "if used.sessions > sessions || used.bytes > bytes {", "if false {")],
        "no(Relay::Quota))",
    ),
    out(
        55,
        "what the token is for",
        &[(
            "src/provisioning/operator/handshake.rs",
            "self.config.relay.is_some_and(|relay| relay.check(request.operation.number()).is_err())",
            "false",
        )],
        "assert_eq!(lab.run(), refused(Code::RelayScope))",
    ),
    out(
        56,
        "an ephemeral key for each attempt",
        &[(
            "src/provisioning/device/handshake.rs",
            "initiator::start(&proposal, platform.crypto, platform.rng)?",
            "initiator::start(&proposal, platform.crypto, &mut crate::sim::SeededRng::new(1))?",
        )],
        "assert_eq!(*seen.entry(window).or_insert(run), run",
    ),
    out(
        56,
        "a name that is concealed anew",
        &[(
            "src/provisioning/device/handshake.rs",
            "concealed::conceal(&config.name, home, platform.crypto, platform.rng)?",
            "concealed::conceal(&config.name, home, platform.crypto, &mut crate::sim::SeededRng::new(1))?",
        )],
        r#"<= 32 + 4 * 4, "more often than by chance")"#,
    ),
    out(
        57,
        "the grant's end",
        &[("src/authority/grant.rs", "if terms.today >= Date(self.exp) {", "if false {")],
        "quota, expires))), refused(code))",
    ),
    out(
        57,
        "the operator's limit",
        &[("src/authority/grant.rs", "if !is_within(&profile, terms.limit) {", "if false {")],
        "quota, expires))), refused(code))",
    ),
    out(
        57,
        "one use",
        &[("src/authority/grant.rs", "if first { Ok(self.permit) }", "if first || true { Ok(self.permit) }")],
        "assert_eq!(lab.go(Goal::OnDemand(token)), refused(Code::GrantUsed))",
    ),
    out(
        58,
        "a policy that demands a grant",
        &[("src/sim/home.rs", "self.demands_grant && visitor.operation.issues();", "false;")],
        "assert_eq!(lab.go(Goal::Provision), refused(Code::GrantMissing))",
    ),
    out(
        58,
        "the granter's signature",
        &[(
            "src/authority/grant.rs",
            "if !granters.any(|granter| signed.verify(&granter.key, &[], crypto).is_ok()) {",
            "if granters.next().is_none() {",
        )],
        "assert_eq!(lab.go(Goal::OnDemand(theirs)), refused(Code::GrantNotAuthentic))",
    ),
    out(
        58,
        "the grant in the receipt, at the device and at the operator",
        &[
            (
                "src/provisioning/device/offer.rs",
                "Held::new(slot, &self.txn, &installed, ownership, grant));",
                "Held::new(slot, &self.txn, &installed, ownership, grant.filter(|_| false)));",
            ),
            (
                "src/provisioning/operator/session.rs",
                "(credential.owner_epoch, &credential.grant) == (*owner_epoch, grant)",
                "(credential.owner_epoch, grant) == (*owner_epoch, grant)",
            ),
        ],
        "Some(name)])",
    ),
    out(
        59,
        "what is not known and claims to matter ends the attempt",
        &[(
            "src/wire/reader.rs",
            "if key < 0 { Err(Malformed::UnknownCriticalKey) } else {",
            "if key < 0 && false { Err(Malformed::UnknownCriticalKey) } else {",
        )],
        "assert_eq!((outcome.is_ok(), lab.held().is_some()), (kept, kept))",
    ),
    out(
        60,
        "numbers and hashes of receipts",
        &[
            ("src/provisioning/receipt.rs", "if first > expected {", "if false {"),
            ("src/provisioning/receipt.rs", "if previous != self.head.hash {", "if false {"),
        ],
        "assert_eq!(audit(&order), Err(Fault::Gap { from: number, to: number }))",
    ),
    out(
        60,
        "receipts stay until they are acknowledged",
        &[(
            "src/provisioning/device/durable.rs",
            "next.receipts.push(receipt);",
            "*next.receipts = alloc::vec![receipt];",
        )],
        r#""prepared and activated")"#,
    ),
];
