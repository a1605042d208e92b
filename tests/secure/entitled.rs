//! Vouchers in the exchange: first, last, and with a nonce.

use std::collections::BTreeSet;

use remote_provisioning::{
    cose::encrypt0::Encrypt0,
    crypto::{
        Crypto, Group,
        rustcrypto::{AgreementKey, RustCrypto},
    },
    edhoc::{self, ConnectionId, EadItem, Method, Suite, responder},
    error::{Backend, Code, Error, Misbehaved, Misuse, Untrusted, Voucher},
    framing::relay::Admitted,
    identity::{Domain, PeerName, Role},
    provisioning::{
        device::Introduction,
        log::What,
        message::{EAD_LABEL, Hello, Offer, PackageOffer, Request, Terms},
        operator,
    },
    sim::{IDENTITY, SeededRng, identities, maker},
    store::{KeyStore, SubscriptionStore},
    trust::{
        self, CredentialId, Date,
        concealed::{self, Concealed, VOUCHER_CLASS},
        voucher::{Assertion, extend, outline},
    },
    wire::{self, Raw, Reader, Wire},
};

use super::*;

/// The other profile: the voucher comes with the offer.
const LAST: Introduction = Introduction::VoucherLast { request: false };

fn both() -> [(&'static str, Introduction); 2] {
    [("first", Introduction::VoucherFirst(maker::home_key().unwrap())), ("last", LAST)]
}

/// What an operator that does not play by the rules can have for a voucher.
fn word(change: impl FnOnce(&mut trust::voucher::Voucher<'_>), lab: &Lab, sentence: &str) -> Vec<u8> {
    let key = lab.operator_keys.public_key(IDENTITY).unwrap();
    let mut voucher = maker::word(&lab.device_config.name, &key);
    change(&mut voucher);
    maker::issue(&voucher, sentence).unwrap()
}

#[test]
fn in_both_profiles_the_voucher_makes_the_owner() {
    for (profile, introduction) in both() {
        let mut lab = Lab::new(1);
        lab.device_config.introduction = introduction;
        assert_eq!(lab.run(), Ok(()), "{profile}");
        lab.assert_complete();
        let offered = lab.home.entries().find_map(|entry| match entry.what {
            What::Offered(offered) => Some(offered),
            _ => None,
        });
        let offered = offered.unwrap();
        let chain = word(|_| {}, &lab, maker::MASA);
        let outline = outline(&chain, &RustCrypto).unwrap();
        assert_eq!((offered.owner_epoch, offered.voucher_head), (1, outline.head), "{profile}");
    }
}

#[test]
fn a_resume_goes_to_the_owner_alone() {
    for (profile, introduction) in both() {
        // The credential is installed, `complete` is lost, and somebody else with a good certificate answers.
        let mut lab = Lab::new(2);
        lab.device_config.introduction = introduction;
        lab.session(6);
        let before = lab.fingerprint();
        lab.operator_config.own = lab::chain(&identities::rogue_operator_chain());
        lab.operator_keys = lab::Keys::new(identities::rogue_operator_key());
        let honest = core::mem::replace(&mut lab.device_anchors, identities::rogue_device_anchors());
        lab.home.disown();
        let session = play(&mut lab);
        assert_eq!(session.messages.len(), 3, "{profile}: message_1, message_2, and an error");
        assert_eq!(session.message(3), EDHOC_ERROR, "{profile}");
        assert_eq!(lab.held().map(|(_, confirmed)| confirmed), Some(false));
        assert_ne!(lab.fingerprint(), before, "the request counter, and nothing else");

        // And the owner itself.
        lab.operator_config.own = lab::chain(&identities::operator_chain());
        lab.operator_keys = lab::Keys::new(identities::operator_key());
        lab.device_anchors = honest;
        lab.own();
        assert_eq!(lab.run(), Ok(()), "{profile}");
        lab.assert_complete();
    }
}

/// Each voucher that does not make this operator the owner, and what the device says to it.
#[test]
fn a_device_stores_nothing_for_an_operator_that_is_not_its_owner() {
    type Change = fn(&mut trust::voucher::Voucher<'_>);
    let cases: [(&str, Change, &str, Voucher); 4] = [
        ("another maker", |_| {}, "Published test key of another maker", Voucher::Signer),
        ("with an end, and no clock", |it| it.expires_on = Some(Date(u64::MAX >> 32)), maker::MASA, Voucher::Expired),
        ("somebody's nonce", |it| it.nonce = Some(b"a nonce!"), maker::MASA, Voucher::Stale),
        (
            "logged only, and with a nonce",
            |it| {
                it.assertion = Some(Assertion::Logged);
                it.nonce = Some(b"a nonce!");
            },
            maker::MASA,
            Voucher::Stale,
        ),
    ];
    for (profile, introduction) in both() {
        for (at, change, sentence, why) in cases {
            let mut lab = Lab::new(3);
            lab.device_config.introduction = introduction.clone();
            let voucher = word(change, &lab, sentence);
            lab.home.own(lab.device_config.name, voucher);
            let before = lab.store.memory.commits();
            assert_eq!(lab.run(), not_entitled(why), "{profile}, {at}");
            assert_untouched(&lab, before);
            let said_who_it_is = lab.logged().contains(&"offered");
            assert_eq!(said_who_it_is, profile == "last", "{profile}, {at}: what the operator gets to know");
        }
    }
}

/// The library on the operator's side does not send what the device would refuse.
#[test]
fn an_operator_notices_that_its_voucher_is_for_somebody_else() {
    let other: PeerName = "IOT-9999".parse().unwrap();
    let rogue = {
        let keys = lab::Keys::new(identities::rogue_operator_key());
        keys.public_key(IDENTITY).unwrap()
    };
    for (profile, introduction) in both() {
        for (at, voucher) in [
            ("another device", maker::voucher(&other, &maker::operator_public_key().unwrap()).unwrap()),
            ("another operator", maker::voucher(&maker::device_name().unwrap(), &rogue).unwrap()),
        ] {
            let mut lab = Lab::new(4);
            lab.device_config.introduction = introduction.clone();
            lab.home.own(lab.device_config.name, voucher);
            let mut session = lab.session(if profile == "first" { 1 } else { 3 });
            let message = session.messages.last().unwrap().clone();
            lab.tell_operator(&mut session.operator, &message).unwrap();
            let out = lab.serve(&mut session.operator);
            let misuse = Misuse::Parameter("the voucher is not for this device and this operator");
            assert_eq!(out.finished, [Err(misuse.into())], "{profile}, {at}");
            assert!(!lab.logged().contains(&"offered"), "{profile}, {at}");
        }
    }
}

#[test]
fn without_a_voucher_there_is_no_credential() {
    for (profile, introduction) in both() {
        let mut lab = Lab::new(5);
        lab.device_config.introduction = introduction;
        lab.home.disown();
        let outcome = lab.run();
        let expected = if profile == "first" { not_entitled(Voucher::Missing) } else { refused(Code::NotEntitled) };
        assert_eq!(outcome, expected, "{profile}");
        assert_untouched(&lab, 0);
        assert!(lab.logged().is_empty(), "{profile}");
    }
}

/// The rogue operator: its certificate is below the device's own anchor, and it has no voucher.
#[test]
fn a_rogue_operator_with_a_valid_certificate_learns_nothing_where_the_voucher_comes_first() {
    let mut lab = Lab::new(6);
    lab.home.disown();
    let session = play(&mut lab);
    assert_eq!(session.messages.len(), 3);
    assert_eq!(session.message(3), EDHOC_ERROR, "no message_3: neither name nor evidence");
    // What it got is message_1: a name that it cannot read.
    let name = lab.device_config.name;
    let message_1 = session.message(1);
    assert!(!contains(&message_1, name.as_str().as_bytes()));
    let concealed = concealed_in(&message_1);
    let mut rng = SeededRng::new(60);
    let other = AgreementKey::generate(Group::P256, &mut rng).unwrap();
    assert_eq!(concealed.reveal(&other).err(), Some(Untrusted::Authentication.into()));
    assert_eq!(concealed.reveal(&maker::home_private().unwrap()).unwrap().name(), &name, "and its home can");
    assert_untouched(&lab, 0);
}

#[test]
fn where_it_comes_last_a_rogue_learns_the_name_and_gets_no_durable_write() {
    let mut lab = Lab::new(7);
    lab.device_config.introduction = LAST;
    lab.home.own(lab.device_config.name, word(|_| {}, &lab, "Published test key of a rogue"));
    assert_eq!(lab.run(), not_entitled(Voucher::Signer));
    assert_untouched(&lab, 0);
    assert!(lab.logged().contains(&"offered"), "it knew whom it talked to");
}

#[test]
fn a_relay_is_the_one_that_the_device_answered() {
    let hash = |text: &[u8]| Some(RustCrypto.sha256(&[text]));
    for (device, operator, expected) in [
        (None, None, Ok(())),
        (hash(b"one"), hash(b"one"), Ok(())),
        (hash(b"one"), hash(b"another"), Err(Misbehaved::WrongRelay.into())),
        (hash(b"one"), None, Err(Misbehaved::WrongRelay.into())),
        (None, hash(b"one"), Err(Misbehaved::WrongRelay.into())),
    ] {
        let mut lab = Lab::new(8);
        lab.device_config.relay = device;
        lab.operator_config.relay = operator.map(|relay| Admitted { relay, operations: u32::MAX });
        let mut session = lab.session(1);
        let message = session.message(1);
        assert_eq!(lab.tell_operator(&mut session.operator, &message), expected);
        let sent = lab.serve(&mut session.operator).sent;
        assert_eq!(sent == [EDHOC_ERROR], expected.is_err(), "and the same answer as to every failure");
        if expected.is_ok() {
            assert_eq!(lab.run(), Ok(()));
        }
    }
}

/// A key store that is slow when the voucher has been found: message_1 again, and it is asked the same again.
#[test]
fn an_operator_waits_for_its_key_store_with_the_voucher_in_hand() {
    let mut lab = Lab::new(17);
    let mut session = lab.session(1);
    let message = session.message(1);
    lab.tell_operator(&mut session.operator, &message).unwrap();
    lab.operator_keys.fail(3, Backend::KeyPending);
    let Some(operator::Action::WakeAt(_)) = session.operator.poll() else { panic!("no timer") };
    let Some(operator::Action::Ask(question)) = session.operator.poll() else { panic!("no question") };
    let answer = lab.home.answer(question);
    assert_eq!(lab.answer(&mut session.operator, answer), Err(Backend::KeyPending.into()));
    for _ in 0..2 {
        assert_eq!(lab.tell_operator(&mut session.operator, &message), Err(Backend::KeyPending.into()));
        assert_eq!(lab.serve(&mut session.operator).sent.len(), 0);
    }
    while session.messages.len() < 6 {
        lab.step(&mut session).unwrap();
    }
    lab.step(&mut session).unwrap();
    lab.assert_complete();
}

/// An operator that has shown its voucher and sends another one with the offer: which of the two would it be?
#[test]
fn a_voucher_comes_once() {
    let mut lab = Lab::new(18);
    let mut device = lab.start().unwrap();
    let message_1 = lab::from_device(&mut device).sent.remove(0);
    let mut rng = SeededRng::new(19);
    let chain = word(|_| {}, &lab, maker::MASA);
    let revealed = concealed_in(&message_1).reveal(&maker::home_private().unwrap()).unwrap();
    let sealed = revealed.seal(&chain, &RustCrypto, &mut rng).unwrap();
    let terms = Terms { domain: Domain::Test, evidence_formats: [].into_iter().collect(), voucher: Some(Raw(&sealed)) };
    let terms = wire::encode(&terms);
    fn ours(value: &[u8]) -> [EadItem<'_>; 1] {
        [EadItem { label: EAD_LABEL, critical: true, value: Some(value) }]
    }

    let mut message = responder::read(&message_1, &[Method::SignSign], &Suite::ALL, &RustCrypto).unwrap();
    message.unverified_ead().take(EAD_LABEL).unwrap();
    let own = lab.operator_config.own.clone();
    let c_r = ConnectionId::new(b"op").unwrap();
    let written = message.write(&c_r, &own, &ours(&terms), &lab.operator_keys, &RustCrypto, &mut rng);
    let (handshake, message_2) = written.unwrap();
    lab.tell_device(&mut device, &message_2).unwrap();
    let message_3 = lab::from_device(&mut device).sent.remove(0);
    let message = handshake.read(&message_3, &RustCrypto).unwrap();
    let peer = {
        let claimed = message.claimed().unwrap();
        trust::verify(&claimed, Role::Device, Domain::Test, &lab.operator_anchors, &RustCrypto, None).unwrap()
    };
    let mut accepted = message.accept(peer, &own, &RustCrypto).unwrap();
    let request = accepted.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let txn = wire::decode::<Request<'_>>(&request).unwrap().txn;
    let offer = wire::encode(&Offer::Package(PackageOffer { txn, sealed: b"whatever", voucher: Some(&chain) }));
    let (_, message_4) = accepted.write(&ours(&offer), &RustCrypto).unwrap();
    assert_eq!(lab.tell_device(&mut device, &message_4), Err(Misbehaved::WrongOffer.into()));
    assert_untouched(&lab, 0);
}

/// "Compared last": a name that is not the certificate's is refused with what every failed proof is refused with, and only
/// after the proof.
#[test]
fn a_borrowed_name_fails_like_a_bad_signature() {
    // A device that conceals another's name: it would open that one's voucher, and does not get that far.
    let mut borrowed = Lab::new(9);
    let other = *maker::raw_device_id().unwrap().name();
    borrowed.device_config.name = other;
    borrowed.own();
    // A device that signs with another key.
    let mut forged = Lab::new(9);
    let mut answers = Vec::new();
    for lab in [&mut borrowed, &mut forged] {
        let mut session = lab.session(2);
        if answers.len() == 1 {
            lab.device_keys = lab::Keys::new(identities::rogue_device_key());
        }
        lab.step(&mut session).unwrap();
        let message_3 = session.message(3);
        let outcome = lab.tell_operator(&mut session.operator, &message_3);
        let out = lab.serve(&mut session.operator);
        assert_eq!((outcome, out.asked.len()), (Err(Untrusted::Authentication.into()), 0), "nobody is asked about it");
        answers.push(out.sent);
    }
    assert_eq!(answers[0], [EDHOC_ERROR]);
    assert_eq!(answers[0], answers[1]);
}

/// Somebody replays a recorded concealed id with an ephemeral key of its own, and sees all of message_2.
#[test]
fn a_replayed_name_tells_nothing_about_who_is_known() {
    let mut lab = Lab::new(10);
    let recorded = lab.session(1).message(1);
    let known = ead_1(&recorded);
    // A name that the home does not know, and bytes that no home can read.
    let stranger = {
        let mut lab = Lab::new(11);
        lab.device_config.name = "IOT-0009-9999-9999".parse().unwrap();
        ead_1(&lab.session(1).message(1))
    };
    let mut garbage = known.clone();
    let inside = garbage.len() - 20;
    garbage[inside] ^= 1;

    let mut seen = Vec::new();
    for (at, ead) in [("known", &known), ("known", &known), ("unknown", &stranger), ("garbage", &garbage)] {
        let terms = terms_for(&mut lab, ead).unwrap_or_else(|error| panic!("{at}: {error}"));
        let decoded: Terms<'_> = wire::decode(&terms).unwrap();
        let mut sealed = Reader::new(decoded.voucher.unwrap().0).unwrap();
        sealed.array_of(2).unwrap();
        let salt = sealed.bytes().unwrap().to_vec();
        assert!(Encrypt0::read(&mut sealed).unwrap().partial_iv.is_none(), "{at}");
        seen.push((terms.len(), salt));
    }
    let lengths: Vec<_> = seen.iter().map(|(len, _)| *len).collect();
    assert!(lengths.iter().all(|len| *len == lengths[0]), "all alike: {lengths:?}");
    assert!(lengths[0] > VOUCHER_CLASS && lengths[0] < VOUCHER_CLASS + 64);
    assert_ne!(seen[0].1, seen[1].1, "never sealed twice the same way");
}

/// EAD_2 for a message_1 with this EAD_1, as an attacker who runs the exchange itself gets to see it.
fn terms_for(lab: &mut Lab, ead_1: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rng = SeededRng::new(lab.today.0);
    let proposal = edhoc::initiator::Proposal {
        method: Method::SignSign,
        suites: &Suite::ALL[..1],
        c_i: &ConnectionId::random(&mut rng, None)?,
        ead_1: &[EadItem { label: EAD_LABEL, critical: true, value: Some(ead_1) }],
    };
    let (handshake, message_1) = edhoc::initiator::start(&proposal, &RustCrypto, &mut rng)?;
    let mut operator = lab.operator();
    lab.tell_operator(&mut operator, &message_1)?;
    let message_2 = lab.serve(&mut operator).sent.remove(0);
    let mut message = handshake.read(&message_2, &RustCrypto)?;
    Ok(message.unverified_ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec())
}

/// The value of this protocol's item in a message_1.
fn ead_1(message_1: &[u8]) -> Vec<u8> {
    let mut read = responder::read(message_1, &[Method::SignSign], &Suite::ALL, &RustCrypto).unwrap();
    read.unverified_ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec()
}

fn concealed_in(message_1: &[u8]) -> Concealed {
    let hello = ead_1(message_1);
    let hello: Hello<'_> = wire::decode(&hello).unwrap();
    Concealed::read(hello.concealed_id.unwrap()).unwrap()
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

// Names.

#[test]
fn names_of_every_length_come_back_and_fall_into_three_classes() {
    let (home, private) = (maker::home_key().unwrap(), maker::home_private().unwrap());
    let mut rng = SeededRng::new(12);
    let mut lengths = BTreeSet::new();
    for len in 1..=64_u8 {
        let name: PeerName = "N".repeat(len.into()).parse().unwrap();
        let (encoded, secret) = concealed::conceal(&name, &home, &RustCrypto, &mut rng).unwrap();
        lengths.insert(encoded.len());
        let read = Concealed::read(Raw(&encoded)).unwrap();
        let revealed = read.reveal(&private).unwrap();
        assert_eq!((read.key_id(), *revealed.name()), (home.id(), name));
        // Vouchers of any length open, for this device only.
        let chain = vec![len; usize::from(len) * 10];
        let sealed = revealed.seal(&chain, &RustCrypto, &mut rng).unwrap();
        assert_eq!(secret.open(Raw(&sealed), &RustCrypto).unwrap(), chain);
        let again = revealed.seal(&chain, &RustCrypto, &mut rng).unwrap();
        assert_eq!(sealed.len(), again.len());
        assert!(
            sealed[30..].iter().zip(&again[30..]).filter(|(a, b)| a == b).count() < sealed.len() / 4,
            "another key"
        );
        let (_, other) = concealed::conceal(&name, &home, &RustCrypto, &mut rng).unwrap();
        assert_eq!(other.open(Raw(&sealed), &RustCrypto).err(), Some(Error::Untrusted(Voucher::Missing.into())));
        let decoy = concealed::decoy(&mut rng).unwrap();
        assert_eq!(secret.open(Raw(&decoy), &RustCrypto).err(), Some(Error::Untrusted(Voucher::Missing.into())));
        // No bit of either can be changed.
        for at in (0..encoded.len()).step_by(7) {
            let mut changed = encoded.clone();
            changed[at] ^= 1;
            let outcome = Concealed::read(Raw(&changed))
                .map_err(Error::from)
                .and_then(|read| read.reveal(&private).map(|revealed| (read.key_id(), *revealed.name())));
            // The key's number is no part of what is concealed; the sign of the ephemeral point neither.
            assert!(outcome.is_err() || outcome == Ok((home.id() ^ 1, name)) || at == 4, "{len} {at}: {outcome:?}");
        }
    }
    assert_eq!(lengths.len(), 3, "{lengths:?}");
}

#[test]
fn a_name_that_is_none_is_not_revealed() {
    let private = maker::home_private().unwrap();
    for encoded in [
        wire::encode_with(|w| w.array(0)),
        wire::encode_with(|w| {
            w.array(2);
            w.unsigned(1);
            w.bytes(&[]);
        }),
        wire::encode_with(|w| {
            w.array(2);
            w.unsigned(1);
            w.bytes(&[2; 40]);
        }),
        wire::encode_with(|w| {
            w.array(2);
            w.unsigned(256);
            w.bytes(&[2; 73]);
        }),
        wire::encode_with(|w| {
            w.array(2);
            w.unsigned(1);
            w.bytes(&[2; 200]);
        }),
    ] {
        let outcome = Concealed::read(Raw(&encoded)).map_err(Error::from).and_then(|read| read.reveal(&private));
        assert!(outcome.is_err());
    }
}

// A nonce.

#[test]
fn a_device_may_ask_for_its_makers_word_of_today() {
    let mut lab = Lab::new(13);
    lab.device_config.introduction = Introduction::VoucherLast { request: true };
    // The operator has no voucher of its own: it passes the request on, and the maker answers.
    lab.home.disown();
    assert_eq!(lab.run(), Ok(()));
    lab.assert_complete();

    // An answer to an earlier request is not taken for one to this.
    let mut lab = Lab::new(14);
    lab.device_config.introduction = Introduction::VoucherLast { request: true };
    lab.stopping = Some("appraise");
    let mut session = lab.session(3);
    let message = session.message(3);
    lab.tell_operator(&mut session.operator, &message).unwrap();
    let Some(remote_provisioning::provisioning::Question::Appraise(visitor)) = lab.serve(&mut session.operator).open
    else {
        panic!("not asked")
    };
    let request = visitor.voucher_request.clone().unwrap();
    let device = *visitor.device.public_key();
    assert!(maker::answer(&request, &lab.operator_keys.public_key(IDENTITY).unwrap()).is_err(), "signed by the device");
    let old = maker::answer(&request, &device).unwrap();
    lab.stopping = None;
    lab.home.own(lab.device_config.name, old);
    lab.device_config.introduction = LAST;
    assert_eq!(lab.run(), not_entitled(Voucher::Stale));
    assert_eq!(lab.held(), None);
}

// A line of owners.

#[test]
fn a_device_that_was_handed_on_before_it_was_ever_used_goes_to_the_last_owner() {
    // The maker sold it to a dealer, the dealer to the operator.
    let mut lab = Lab::new(15);
    let dealer = maker::keys("Published test key of a dealer").unwrap();
    let dealers = dealer.public_key(remote_provisioning::store::KeyId(0)).unwrap();
    let sold = maker::voucher(&lab.device_config.name, &dealers).unwrap();
    let operator = lab.operator_keys.public_key(IDENTITY).unwrap().thumbprint(&RustCrypto);
    let sign = maker::signer(&dealer);
    let handed_on = extend(&sold, &dealers, &operator, 2, Domain::Test, sign, &RustCrypto).unwrap();
    lab.home.own(lab.device_config.name, handed_on);
    assert_eq!(lab.run(), Ok(()));
    lab.assert_complete();
    let receipts = lab.home.entries().filter_map(|entry| match entry.what {
        What::Offered(offered) => Some(offered.owner_epoch),
        _ => None,
    });
    assert_eq!(receipts.collect::<Vec<_>>(), [2]);
    let record = lab.store.record().unwrap().unwrap();
    assert!(contains(&record, &operator), "what the device holds");

    // For production: not by these.
    let sign = maker::signer(&dealer);
    let other = extend(&sold, &dealers, &operator, 2, Domain::Production, sign, &RustCrypto).unwrap();
    let mut lab = Lab::new(15);
    lab.home.own(lab.device_config.name, other);
    assert_eq!(lab.run(), not_entitled(Voucher::OtherDomain));
    assert_untouched(&lab, 0);
}

#[test]
fn a_device_of_the_other_domain_believes_no_maker_of_this_one() {
    // Everything is for production but the maker's key, which is trusted for tests.
    let holder = trust::voucher::Holder {
        serial: &maker::device_name().unwrap(),
        domain: Domain::Production,
        held: None,
        nonce: None,
        date: None,
    };
    let lab = Lab::new(16);
    let chain = word(|_| {}, &lab, maker::MASA);
    let claimed = CredentialId::Chain(identities::operator_chain().into_iter().collect());
    let operator = trust::verify(&claimed, Role::Operator, Domain::Test, &lab.device_anchors, &RustCrypto, None);
    let operator = operator.unwrap().into_iter().next().unwrap();
    let verify = |domain| {
        let holder = trust::voucher::Holder { domain, ..holder };
        trust::voucher::verify(&chain, &holder, &operator, &lab.device_anchors, &RustCrypto).map(|_| ())
    };
    assert_eq!(verify(Domain::Test), Ok(()));
    assert_eq!(verify(Domain::Production), not_entitled(Voucher::Signer));
}
