//! Peers that say no, and peers, links and certificates that are not as they should be.

use remote_provisioning::{
    credential::Activation,
    crypto::Crypto as _,
    edhoc::{Method, OwnCredential, Seal, Suite},
    error::Code,
    identity::{Domain, Role},
    provisioning::{
        Operator,
        device::{Goal, Introduction},
    },
    sim::{IDENTITY, SeededRng, TODAY, identities, maker},
    store::KeyStore,
    trust::{
        Anchor, CredentialId, Date, Issuer, MAX_CHAIN, Maker, MemoryAnchors, Pinned, RevocationList, Revocations,
        TrustAnchors, verify,
    },
};

use crate::{
    bench::{self, call, examined},
    errors,
    forge::{self, Draft, List},
    lab::{self, Keys, Lab, from_device, token_key},
};

/// Every question is answered with a no, and the one whether a device may come in with every code.
pub(crate) fn every_refusal() {
    for question in
        ["find", "appraise", "reserve", "opc", "log offer", "log prepared", "log decision", "core", "log confirm"]
    {
        for activation in [Activation::OneShot, Activation::TwoPhase] {
            examined(&format!("no to {question}, {activation:?}"), |crypto| {
                let mut lab = bench::lab(Lab::new(9), crypto);
                lab.home.activation = activation;
                lab.refusing = Some((question, Code::Conflict));
                let _ = lab.go(Goal::Provision);
            });
        }
    }
    for code in Code::ALL {
        examined(&format!("no to appraise: {code:?}"), |crypto| {
            let mut lab = bench::lab(Lab::new(9), crypto);
            lab.refusing = Some(("appraise", code));
            let _ = lab.go(Goal::Provision);
        });
    }
    examined("a re-key is called off", |crypto| {
        let mut lab = bench::lab(Lab::new(9), crypto);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
        lab.home.activation = Activation::TwoPhase;
        lab.refusing = Some(("core", Code::Conflict));
        let _ = lab.go(Goal::Rekey);
    });
    examined("another domain", |crypto| {
        let mut lab = bench::lab(Lab::new(11), crypto);
        lab.operator_config.domain = Domain::Production;
        let _ = lab.go(Goal::Provision);
    });
}

/// Every message is altered, cut, and made longer on the way, and its first bytes are of every kind.
pub(crate) fn every_alteration() {
    for number in 1..=8 {
        for alteration in 0..4 {
            examined(&format!("message {number} altered, {alteration}"), |crypto| {
                let mut lab = bench::lab(Lab::new(10), crypto);
                lab.home.activation = Activation::TwoPhase;
                let mut session = lab.session(number);
                let last = session.messages.last_mut().unwrap();
                let middle = last.len() / 2;
                match alteration {
                    0 => *last.last_mut().unwrap() ^= 1,
                    1 => last[middle] ^= 0x10,
                    2 => last.truncate(middle),
                    _ => last.push(0),
                }
                let _ = lab.step(&mut session);
                let _ = lab.step(&mut session);
            });
        }
        examined(&format!("message {number} twice, and those before it again"), |crypto| {
            let mut lab = bench::lab(Lab::new(10), crypto);
            lab.home.activation = Activation::TwoPhase;
            let mut session = lab.session(number);
            for message in session.messages.clone().into_iter().rev().take(4) {
                let _ = lab.tell_device(&mut session.device, &message);
                let _ = lab.tell_operator(&mut session.operator, &message);
                lab.serve(&mut session.operator);
            }
        });
    }
    examined("an old record", |crypto| {
        let mut lab = bench::lab(Lab::new(10), crypto);
        lab.home.activation = Activation::TwoPhase;
        let mut session = lab.session(7);
        let (prepared, decided) = (session.message(5), session.message(6));
        let _ = lab.tell_operator(&mut session.operator, &prepared);
        let _ = lab.step(&mut session);
        let _ = lab.tell_device(&mut session.device, &decided);
    });
    // message_1: method, suite, point, name.
    for at in 0..48 {
        for byte in [0x00, 0x03, 0x18, 0x1c, 0x20, 0x3f, 0x40, 0x5f, 0x80, 0xa0, 0xc0, 0xf6, 0xff] {
            if at < 4 || at % 8 == 0 {
                examined(&format!("message 1, byte {at} is {byte:#x}"), |crypto| {
                    let mut lab = bench::lab(Lab::new(10), crypto);
                    let mut session = lab.session(1);
                    session.messages[0][at] = byte;
                    let _ = lab.step(&mut session);
                });
            }
        }
    }
}

/// What an evil byte is: the beginning of an item of another type, a length that is too long, a key that is out of order.
const EVIL: [u8; 16] = [0x00, 0x17, 0x18, 0x1b, 0x1c, 0x20, 0x2f, 0x3f, 0x41, 0x5f, 0x7b, 0x81, 0x9b, 0xa1, 0xc1, 0xf9];

/// A peer with the right keys, whose texts are not as they should be: of everything that is sealed in a session (messages,
/// records, the package, what the operator stores), bytes are exchanged, the rest is filled with openings of arrays, and
/// keys are changed.
pub(crate) fn lies() {
    let mut dice = SeededRng::new(77);
    for goal in [Goal::Provision, Goal::Rekey] {
        for text in 0..10 {
            for number in 0..12 {
                let (place, evil) = (dice.below(1 << 16), EVIL[dice.below(EVIL.len())]);
                lie(&goal, Activation::TwoPhase, text, move |text| {
                    let at = match number % 4 {
                        0 => number,
                        1 => text.len().saturating_sub(1 + number),
                        _ => place,
                    } % text.len().max(1);
                    match number % 4 {
                        3 => text[at..].fill(0x81),
                        2 => text[at] ^= 1 << (place % 8),
                        _ => text[at] = evil,
                    }
                });
            }
        }
    }
    critical_key();
    // Among them an answer to the challenge that is none, and an item of another label.
    for text in 0..7 {
        lie(&Goal::Provision, Activation::OneShot, text, move |text| text[0] = 0x20);
        lie(&Goal::Provision, Activation::OneShot, text, move |text| text[1] = 0x20);
        for at in 0..8 {
            lie(&Goal::Provision, Activation::OneShot, text, move |text| text[20 + 3 * at] ^= 1);
        }
    }
}

/// message_4 names the voucher by a key that has to be understood.
fn critical_key() {
    for number in 0..5 {
        examined(&format!("a key that has to be understood, text {number}"), |crypto| {
            let mut lab = bench::lab(Lab::voucher_last(13), crypto);
            crypto.watch.lie(number, |text| {
                // 3: voucher, a string that begins with an array of one.
                let key = text.windows(5).rposition(|it| it[0] == 3 && it[1] & 0xfe == 0x58 && it[3..].contains(&0x81));
                key.into_iter().for_each(|key| text[key] = 0x20);
            });
            let _ = lab.go(Goal::Provision);
        });
    }
}

/// The text that is sealed as the `number`-th is changed.
fn lie(goal: &Goal, activation: Activation, number: usize, change: impl FnOnce(&mut [u8]) + Send + 'static) {
    examined(&format!("{goal:?}, a lie in text {number}"), |crypto| {
        let mut lab = bench::lab(Lab::new(13), crypto);
        lab.home.activation = activation;
        if *goal != Goal::Provision {
            lab.go(Goal::Provision).unwrap();
        }
        crypto.watch.lie(number, change);
        let _ = lab.go(goal.clone());
    });
}

/// One session, whose device and operator are as `change` makes them.
fn session(what: &str, change: impl FnOnce(&mut Lab)) {
    examined(what, |crypto| {
        let mut lab = bench::lab(Lab::new(14), crypto);
        change(&mut lab);
        assert!(lab.run().is_err(), "{what}");
    });
}

/// Parties that are not who they should be.
pub(crate) fn peers() {
    session("methods that the operator does not run", |lab| lab.device_config.method = Method::StaticStatic);
    session("suites of which none is common", |lab| {
        lab.device_config.suites = vec![Suite::GCM];
        lab.operator_config.suites = vec![Suite::CCM_16];
    });
    session("a name of a relay that it did not come through", |lab| lab.device_config.relay = Some([7; 32]));
    session("an operator below no anchor", |lab| {
        lab.operator_config.own = lab::chain(&identities::rogue_operator_chain());
        lab.operator_keys = Keys::new(identities::rogue_operator_key());
    });
    session("a device without anchors", |lab| lab.device_anchors = MemoryAnchors::new());
    session("a key that is not the certificate's", |lab| {
        lab.operator_keys = Keys::new(identities::rogue_operator_key())
    });
    session("a device that is not known by its kid", |lab| {
        *lab = bench_like(lab, Lab::raw(14));
        lab.operator_anchors = MemoryAnchors::new();
    });
    session("a subscription that is not there", |lab| lab.goal = Goal::Rekey);
    for (at, introduction) in [
        ("first", Introduction::VoucherFirst(maker::home_key().unwrap())),
        ("last", Introduction::VoucherLast { request: false }),
    ] {
        let voucher =
            |lab: &mut Lab, sentence: &str, change: fn(&mut remote_provisioning::trust::voucher::Voucher<'_>)| {
                lab.device_config.introduction = introduction.clone();
                let key = lab.operator_keys.public_key(IDENTITY).unwrap();
                let mut voucher = maker::word(&lab.device_config.name, &key);
                change(&mut voucher);
                lab.home.own(lab.device_config.name, maker::issue(&voucher, sentence).unwrap());
            };
        session(&format!("{at}: no voucher"), |lab| {
            lab.device_config.introduction = introduction.clone();
            lab.home.disown();
        });
        session(&format!("{at}: another maker's"), |lab| voucher(lab, "another maker", |_| {}));
        session(&format!("{at}: expired"), |lab| voucher(lab, maker::MASA, |it| it.expires_on = Some(TODAY)));
        session(&format!("{at}: somebody's nonce"), |lab| voucher(lab, maker::MASA, |it| it.nonce = Some(b"a nonce!")));
        session(&format!("{at}: another's device"), |lab| voucher(lab, maker::MASA, |it| it.serial = "IOT-9999"));
    }
    examined("a token that is altered, expired, used, or another's", |crypto| {
        let mut lab = bench::lab(Lab::new(15), crypto);
        let session = lab.session(3);
        let token = lab.token(&session.operator).unwrap();
        if let Err(error) = lab.reopened(&token).unwrap().first_use(false) {
            errors::met(&error);
        }
        for at in 0..token.len() {
            let mut altered = token.clone();
            altered[at] ^= 1;
            assert!(at % 16 != 0 || lab.reopened(&altered).is_err());
        }
        let config = lab.operator_config.clone();
        let late = Date(TODAY.0 + 7 * 86_400);
        let opened = call(|| Operator::open(config, &token, &token_key(), late, lab.now, crypto));
        errors::met(&opened.map(|_| ()).unwrap_err());
        let seal = Seal { key: &token_key(), expires: TODAY };
        lab.rng.good_for = Some(0);
        assert!(call(|| session.operator.seal(&seal, crypto, &mut lab.rng)).is_err());
    });
    examined("answers to what was not asked", |crypto| {
        let mut lab = bench::lab(Lab::new(16), crypto);
        let (mut session, _) = lab::stopped(&mut lab, "reserve");
        let answer = remote_provisioning::provisioning::Answer::Opc(Err(Code::Conflict));
        assert!(lab.answer(&mut session.operator, answer).is_err());
    });
    examined("errors of every number, from nobody", |crypto| {
        for (message, number) in
            [&b"\x01\x60"[..], b"\x02\x02", b"\x03\xf5", b"\x18\x2a\xf6", b"\x00", b"\x02\x80"].into_iter().zip(0..)
        {
            for messages in [1, 3] {
                // Other random numbers each: what is a scalar in one session would be public in another.
                let mut lab = bench::lab(Lab::new(100 + 2 * number + messages as u64 / 2), crypto);
                let mut session = lab.session(messages);
                let _ = lab.tell_device(&mut session.device, message);
                for result in from_device(&mut session.device).finished.into_iter().flat_map(Result::err) {
                    errors::met(&result);
                }
                let _ = lab.tell_operator(&mut session.operator, message);
            }
        }
    });
}

/// `lab`, seen as this one is.
fn bench_like(lab: &Lab, mut other: Lab) -> Lab {
    (other.crypto, other.around, other.seen) = (lab.crypto, lab.around, lab.seen);
    other
}

fn anchored(role: Role) -> MemoryAnchors {
    let mut anchors = MemoryAnchors::new();
    anchors.add_anchor(Anchor::from_certificate(&forge::root(), role, Domain::Test).unwrap()).unwrap();
    anchors
}

/// COSE's number of SHA-256 (RFC 9054 §5).
const SHA_256: i64 = -16;

/// Anchors that know one chain more.
struct Long(MemoryAnchors, Vec<Vec<u8>>);

impl TrustAnchors for Long {
    fn anchors(&self) -> &[Anchor] {
        self.0.anchors()
    }

    fn chain(&self, _: Role, _: i64, _: &[u8]) -> Option<&[Vec<u8>]> {
        Some(&self.1)
    }

    fn issuers(&self) -> &[Issuer] {
        self.0.issuers()
    }

    fn revocations(&self) -> &Revocations {
        self.0.revocations()
    }

    fn makers(&self) -> &[Maker] {
        self.0.makers()
    }

    fn pinned(&self, role: Role, domain: Domain, claimed: &CredentialId<'_>, number: usize) -> Option<&Pinned> {
        self.0.pinned(role, domain, claimed, number)
    }
}

/// Chains with one fault each, of the device's and of the operator's, with a calendar.
pub(crate) fn certificates() {
    type Fault = fn(&mut Vec<Draft>);
    fn unknown(critical: bool, len: usize) -> Vec<u8> {
        forge::extension(0x7f, critical, &forge::tlv(4, &vec![0; len]))
    }
    let faults: [(&str, Fault); 14] = [
        ("none", |_| {}),
        ("expired", |chain| chain[0].validity = forge::PAST),
        ("not yet valid", |chain| chain[0].validity = forge::FUTURE),
        ("another use", |chain| chain[0].usage = Some(forge::ENCIPHER)),
        ("no CA", |chain| chain[1].ca = None),
        ("path too long", |chain| chain[2].ca = Some(Some(0))),
        ("unknown and critical", |chain| chain[0].extensions.push(unknown(true, 1))),
        ("twice", |chain| chain[0].extensions.extend([unknown(false, 1), unknown(false, 2)])),
        ("another key", |chain| chain[0].signer = "another of this name".into()),
        ("another curve", |chain| chain[0].other_curve = true),
        ("another domain", |chain| {
            let policy = forge::tlv(0x30, &forge::tlv(0x30, &[6, 5, 0x69, 0x83, 0x9c, 0x11, 0]));
            chain[0].extensions.push(forge::extension(0x20, false, &policy));
        }),
        ("for itself", |chain| {
            chain.truncate(1);
            chain[0].issuer = chain[0].subject.clone();
            chain[0].signer = chain[0].key.clone();
        }),
        ("without a name", |chain| chain[0].subject.0 ^= 3 ^ 5),
        ("too long", |chain| chain[0].extensions.push(unknown(false, 2_000))),
    ];
    for role in [Role::Device, Role::Operator] {
        for (what, fault) in faults {
            examined(&format!("{role:?}'s chain: {what}"), |crypto| {
                let mut lab = bench::lab(Lab::new(18), crypto);
                lab.date = Some(TODAY);
                let mut drafts = forge::chain(role, 3);
                fault(&mut drafts);
                let chain = forge::issued(&drafts);
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                let anchors = anchored(role);
                let claimed = CredentialId::Chain(chain.iter().copied().take(MAX_CHAIN).collect());
                let verified = call(|| verify(&claimed, role, Domain::Test, &anchors, crypto, lab.date));
                verified.map(|_| ()).unwrap_or_else(|error| errors::met(&error));
                let own = OwnCredential::chain(IDENTITY, &chain).unwrap();
                if role == Role::Device {
                    (lab.device_config.own, lab.operator_anchors) = (own, anchors);
                } else {
                    (lab.operator_config.own, lab.device_anchors) = (own, anchors);
                }
                assert!(lab.go(Goal::Provision).is_err());
            });
        }
    }
    session("revoked", |lab| {
        lab.device_config.own = lab::chain(&identities::revoked_device_chain());
        lab.operator_anchors = identities::listing_anchors();
    });
    session("no revocation list where one is wanted", |lab| {
        *lab.operator_anchors.revocations_mut() = Revocations::demanded()
    });
    examined("a chain that is known, and longer than any may be", |crypto| {
        let anchors = Long(anchored(Role::Device), forge::issued(&forge::chain(Role::Device, MAX_CHAIN + 1)));
        let hash = crypto.sha256(&[&anchors.1[0]]);
        let claimed = CredentialId::Thumbprint { algorithm: SHA_256, hash: &hash };
        let verified = call(|| verify(&claimed, Role::Device, Domain::Test, &anchors, crypto, None));
        errors::met(&verified.map(|_| ()).unwrap_err());
    });
    examined("a list that is none", |crypto| {
        let list = List { signer: "another".into(), ..List::of_root(1, &[]) }.issue();
        let list = call(|| RevocationList::new(&list, &forge::root(), crypto));
        errors::met_as(list.map(|_| ()).unwrap_err());
    });
}
