//! Peers that hold valid keys and do not keep to the protocol, and a link that changes, repeats and mixes up what is
//! sent. Each deviation stands beside the honest exchange that it deviates from; each gives its error, and none leaves a
//! trace in a store.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

mod claims;
#[path = "../lab/mod.rs"]
mod lab;

use std::sync::LazyLock;

use lab::{Lab, Outcome, Session, from_device};
use proptest::{prelude::*, sample::Index};
use remote_provisioning::{
    aka::{self, Ind, Milenage, sqn::Profile},
    cose::{encrypt0, sign1::Sign1},
    credential::{
        Activation, Algorithm, KeyName, MilenageParameters, Offered, Package, Previous, SoftUsim, Txn, Usim, derive_k,
        package_hash, seal,
    },
    crypto::{Crypto, Hash, Secret, rustcrypto::RustCrypto},
    edhoc::{self, ConnectionId, EadItem, Method, Suite, initiator, responder},
    error::{Code, Error, Malformed, Misbehaved, Refused, Untrusted},
    identity::{Domain, Role, Supi},
    provisioning::{
        Device, Operator,
        device::{Introduction, authenticate},
        message::{
            Complete, Confirm, Counter, DeviceState, EAD_LABEL, Hello, Offer, Operation, Order, PADDING_CLASS,
            PackageOffer, Refusal, Request, Standing, Status, Terms,
        },
        receipt::{Event, Receipt, supi_hash},
    },
    sim::{IDENTITY, SeededRng, identities, maker},
    store::{KeyStore, Slot},
    trust::{self, Candidates, CredentialId, MemoryAnchors, voucher::outline},
    wire::{self, Raw, Writer},
};

const MISSING: Error = Error::Misbehaved(Misbehaved::MissingEad);
const CRITICAL: Error = Error::Misbehaved(Misbehaved::CriticalEad);
const WRONG_OFFER: Error = Error::Misbehaved(Misbehaved::WrongOffer);
const WRONG_TXN: Error = Error::Misbehaved(Misbehaved::WrongTransaction);

/// The operator says that all is done.
const fn done(txn: Txn, acknowledged: u64) -> Status {
    Status { txn, acknowledged, order: Order::Complete, standing: Standing::InService, wanted: None }
}

const WRONG_RECEIPT: Error = Error::Misbehaved(Misbehaved::WrongReceipt);
const NOT_AUTHENTIC: Error = Error::Untrusted(Untrusted::Authentication);
const CONFLICT: Error = Error::Refused(Refused::Code(Code::Conflict));
const DECLINED: Error = Error::Declined(Code::Conflict);

const fn malformed(why: Malformed) -> Error {
    Error::Malformed(why)
}

// EAD items.

#[derive(Clone)]
struct Item {
    label: u32,
    critical: bool,
    value: Option<Vec<u8>>,
}

fn ours(value: &[u8]) -> Item {
    Item { label: EAD_LABEL, critical: true, value: Some(value.to_vec()) }
}

fn as_ead(items: &[Item]) -> Vec<EadItem<'_>> {
    items
        .iter()
        .map(|Item { label, critical, value }| EadItem { label: *label, critical: *critical, value: value.as_deref() })
        .collect()
}

/// What can be wrong with the items of any message, whatever is in them; `None` where nothing is.
fn wrappings(value: &[u8]) -> Vec<(&'static str, Vec<Item>, Option<Error>)> {
    let good = ours(value);
    let unknown = |critical| Item { label: 4_711, critical, value: Some(b"x".to_vec()) };
    vec![
        ("honest", vec![good.clone()], None),
        ("no item", vec![], Some(MISSING)),
        ("another label", vec![Item { label: EAD_LABEL + 1, ..good.clone() }], Some(MISSING)),
        ("not critical", vec![Item { critical: false, ..good.clone() }], Some(MISSING)),
        ("without a value", vec![Item { value: None, ..good.clone() }], Some(MISSING)),
        ("empty", vec![ours(b"")], Some(malformed(Malformed::Truncated))),
        ("twice", vec![good.clone(), good.clone()], Some(MISSING)),
        ("twice, once not critical", vec![good.clone(), Item { critical: false, ..good.clone() }], Some(MISSING)),
        ("an unknown one beside it", vec![unknown(false), good.clone()], None),
        ("an unknown critical one beside it", vec![good.clone(), unknown(true)], Some(CRITICAL)),
        ("padding beside it", vec![Item { label: 0, critical: false, value: Some(vec![0; 20]) }, good.clone()], None),
        ("a byte after", vec![ours(&[value, b"\0"].concat())], Some(malformed(Malformed::TrailingBytes))),
        ("a byte short", vec![ours(&value[..value.len() - 1])], Some(malformed(Malformed::Truncated))),
    ]
}

fn believe(claimed: &CredentialId<'_>, role: Role, anchors: &MemoryAnchors) -> Candidates {
    trust::verify(claimed, role, Domain::Test, anchors, &RustCrypto, None).unwrap()
}

// Records.

/// A record as `Channel` makes them, with everything open to change.
struct Record<'a> {
    session: &'a edhoc::Session,
    /// Whose key, and whose direction.
    from: Role,
    number: Option<u64>,
    package_hash: Hash,
}

impl Record<'_> {
    fn seal(&self, text: &[u8]) -> Vec<u8> {
        let (label, direction) = match self.from {
            Role::Device => (0xce03, 0),
            Role::Operator | Role::Relay => (0xce04, 1),
        };
        let context = wire::encode_with(|w| {
            w.array(2);
            w.unsigned(1);
            w.unsigned(direction);
        });
        let aad = wire::encode_with(|w| {
            w.array(4);
            w.unsigned(direction);
            w.unsigned(1);
            w.bytes(self.session.th_4());
            w.bytes(&self.package_hash);
        });
        let mut key = Secret::zeroed();
        self.session.export(label, &context, key.bytes_mut(), &RustCrypto).unwrap();
        let mut padded = wire::encode_with(|w| w.bytes(text));
        padded.resize(padded.len().next_multiple_of(PADDING_CLASS), 0);
        encrypt0::seal(&key, self.number, &aad, &padded, &RustCrypto).unwrap()
    }
}

// An operator with valid keys.

/// A device that believes it has found its operator, after message_3.
struct Met {
    device: Device,
    handshake: responder::Message3Accepted,
    txn: Txn,
    operation: Operation,
    receipts: Vec<Vec<u8>>,
}

fn terms(domain: Domain) -> Vec<u8> {
    wire::encode(&Terms { domain, evidence_formats: core::iter::empty().collect(), voucher: None })
}

/// message_2 with these items, and what the device says to it.
fn answer_hello(lab: &mut Lab, ead_2: &[Item]) -> (Device, responder::AwaitMessage3, Outcome) {
    let mut device = lab.start().unwrap();
    let message_1 = from_device(&mut device).sent.remove(0);
    let mut read = responder::read(&message_1, &[Method::SignSign], &Suite::ALL, &RustCrypto).unwrap();
    read.unverified_ead().take(EAD_LABEL).unwrap();
    let c_r = ConnectionId::new(b"op").unwrap();
    let mut rng = SeededRng::new(5);
    let own = &lab.operator_config.own;
    let (handshake, message_2) =
        read.write(&c_r, own, &as_ead(ead_2), &lab.operator_keys, &RustCrypto, &mut rng).unwrap();
    let outcome = lab.tell_device(&mut device, &message_2);
    (device, handshake, outcome)
}

fn meet_device(lab: &mut Lab) -> Met {
    let (mut device, handshake, outcome) = answer_hello(lab, &[ours(&terms(Domain::Test))]);
    outcome.unwrap();
    let message_3 = from_device(&mut device).sent.remove(0);
    let message = handshake.read(&message_3, &RustCrypto).unwrap();
    let peer = believe(&message.claimed().unwrap(), Role::Device, &lab.operator_anchors);
    let mut handshake = message.accept(peer, &lab.operator_config.own, &RustCrypto).unwrap();
    let request = handshake.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let request: Request<'_> = wire::decode(&request).unwrap();
    let receipts = request.receipts.iter().flatten().map(|receipt| receipt.to_vec()).collect();
    Met { device, handshake, txn: request.txn, operation: request.operation, receipts }
}

/// What a package is made of.
struct Draft {
    domain: Domain,
    txn: Txn,
    epoch: u32,
    supi: Supi,
    /// The key of the challenge; `None` for the right one.
    other_k: Option<Secret<16>>,
    seq: u64,
    activation: Activation,
    previous: Previous,
}

impl Draft {
    fn honest(txn: Txn) -> Self {
        Self {
            domain: Domain::Test,
            txn,
            epoch: 1,
            supi: "001010000000000".parse().unwrap(),
            other_k: None,
            seq: 1,
            activation: Activation::OneShot,
            previous: Previous::None,
        }
    }

    /// The package, before it is sealed.
    fn package<T>(&self, session: &edhoc::Session, then: impl FnOnce(&Package<'_>) -> T) -> T {
        let opc = Secret::from_slice(&[0x0c; 16]).unwrap();
        let name = KeyName { algorithm: Algorithm::Milenage, supi: &self.supi, epoch: self.epoch, txn: &self.txn };
        let k = derive_k(&name, session, &RustCrypto).unwrap();
        let sqn = Profile::default().sqn(self.seq, Ind::default()).unwrap();
        let milenage = Milenage::new(self.other_k.as_ref().unwrap_or(&k), &opc);
        let vector = aka::vector(&milenage, &[3; 16], sqn, [0x80, 0]);
        then(&Package {
            epoch: self.epoch,
            supi: self.supi,
            algorithm: Algorithm::Milenage,
            parameters: MilenageParameters { opc: opc.bytes() },
            challenge: vector.challenge,
            suci: None,
            profile: None,
            activation: self.activation,
            previous: self.previous,
        })
    }

    fn seal(&self, session: &edhoc::Session) -> Vec<u8> {
        self.package(session, |package| seal(package, self.domain, &self.txn, session, &RustCrypto).unwrap())
    }

    /// The package's encoding, changed, then sealed as it should be.
    fn seal_changed(&self, session: &edhoc::Session, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut text = self.package(session, |package| wire::encode(package));
        change(&mut text);
        let context = wire::encode_with(|w| {
            w.array(2);
            w.unsigned(1);
            w.bytes(&self.txn);
        });
        let mut key = Secret::zeroed();
        session.export(0xce01, &context, key.bytes_mut(), &RustCrypto).unwrap();
        encrypt0::seal(&key, None, &context, &text, &RustCrypto).unwrap()
    }
}

fn package_offer(txn: Txn, sealed: &[u8]) -> Vec<u8> {
    wire::encode(&Offer::Package(PackageOffer { txn, sealed, voucher: Some(&voucher()) }))
}

fn voucher() -> Vec<u8> {
    maker::voucher(&maker::device_name().unwrap(), &maker::operator_public_key().unwrap()).unwrap()
}

/// An array or a map of less than 23 entries gets one more.
fn append(encoded: &mut Vec<u8>, entry: &[u8]) {
    encoded[0] += 1;
    encoded.extend_from_slice(entry);
}

/// Hands message_4 over; what the device says, and the session.
fn offer(lab: &mut Lab, met: Met, ead_4: &[Item]) -> (Device, edhoc::Session, Outcome) {
    let Met { mut device, handshake, .. } = met;
    let (session, message_4) = handshake.write(&as_ead(ead_4), &RustCrypto).unwrap();
    let outcome = lab.tell_device(&mut device, &message_4);
    (device, session, outcome)
}

/// A refused message of the handshake: the device has ended with it, and told no more than EDHOC does.
fn assert_ended(device: &mut Device, error: Error, at: &str) {
    let out = from_device(device);
    assert_eq!(out.finished, [Err(error)], "{at}");
    assert_eq!((out.installed.len(), out.authenticated.len()), (0, 0), "{at}");
    assert!(out.sent.iter().all(|sent| sent == b"\x01\x6cnot accepted"), "{at}: {:02x?}", out.sent);
}

#[test]
fn terms_that_are_not_right_get_no_message_3() {
    let mut cases = wrappings(&terms(Domain::Test));
    let text = |write: &dyn Fn(&mut Writer<'_>)| vec![ours(&wire::encode_with(write))];
    let formats = |count: usize| {
        text(&|w| {
            w.array(3);
            w.unsigned(1);
            w.array(count);
            (0..count).for_each(|_| w.unsigned(1));
            w.null();
        })
    };
    cases.extend([
        ("another domain", vec![ours(&terms(Domain::Production))], Some(Misbehaved::WrongDomain.into())),
        ("a third domain", text(&|w| w.encoded(b"\x83\x02\x80\xf6")), Some(malformed(Malformed::OutOfRange))),
        ("eight formats", formats(8), None),
        ("nine formats", formats(9), Some(malformed(Malformed::TooLong))),
        ("a map", text(&|w| w.map(0)), Some(malformed(Malformed::WrongType))),
        ("no voucher", text(&|w| w.encoded(b"\x82\x01\x80")), Some(malformed(Malformed::WrongLength))),
        ("long form", text(&|w| w.encoded(b"\x83\x18\x01\x80\xf6")), Some(malformed(Malformed::NotShortest))),
        ("a voucher that nobody asked for", text(&|w| w.encoded(b"\x83\x01\x80\x40")), Some(WRONG_OFFER)),
    ]);
    for (at, ead_2, expected) in cases {
        let mut lab = Lab::voucher_last(1);
        let mut asked = Lab::voucher_last(1);
        asked.start().unwrap();
        let (mut device, _, outcome) = answer_hello(&mut lab, &ead_2);
        match expected {
            Some(error) => {
                assert_eq!(outcome, Err(error), "{at}");
                assert_ended(&mut device, error, at);
            }
            None => {
                assert_eq!(outcome, Ok(()), "{at}");
                assert_eq!(from_device(&mut device).sent.len(), 1, "{at}");
            }
        }
        assert_eq!(lab.fingerprint(), asked.fingerprint(), "{at}");
    }
}

#[test]
fn offers_that_are_not_right_install_nothing() {
    type Make = Box<dyn Fn(&Met) -> Vec<u8>>;
    let sealed = |change: fn(&mut Draft)| -> Make {
        Box::new(move |met| {
            let mut draft = Draft::honest(met.txn);
            change(&mut draft);
            package_offer(met.txn, &draft.seal(met.handshake.session()))
        })
    };
    let text = |change: fn(&mut Vec<u8>)| -> Make {
        Box::new(move |met| {
            package_offer(met.txn, &Draft::honest(met.txn).seal_changed(met.handshake.session(), change))
        })
    };
    let outer = |change: fn(&mut Vec<u8>)| -> Make {
        Box::new(move |met| {
            let mut offer = package_offer(met.txn, &Draft::honest(met.txn).seal(met.handshake.session()));
            change(&mut offer);
            offer
        })
    };
    let sealed_bytes = |change: fn(&mut Vec<u8>)| -> Make {
        Box::new(move |met| {
            let mut sealed = Draft::honest(met.txn).seal(met.handshake.session());
            change(&mut sealed);
            package_offer(met.txn, &sealed)
        })
    };
    let refusal = |txn: fn(Txn) -> Txn, code: u64| -> Make {
        Box::new(move |met| {
            wire::encode_with(|w| {
                w.map(2);
                w.unsigned(1);
                w.bytes(&txn(met.txn));
                w.unsigned(2);
                w.unsigned(code);
            })
        })
    };
    let other = |mut txn: Txn| {
        txn[0] ^= 1;
        txn
    };
    let same = |txn| txn;
    // Sealed for this txn in another session of this very device.
    let elsewhere = {
        let mut lab = Lab::voucher_last(1);
        drop(meet_device(&mut lab));
        let met = meet_device(&mut lab);
        Draft::honest(met.txn).seal(met.handshake.session())
    };
    let cases: Vec<(&str, Make, Option<Error>)> = vec![
        ("honest", sealed(|_| {}), None),
        ("honest, the long way", text(|_| {}), None),
        // Around the package.
        (
            "another txn",
            Box::new(move |met| package_offer(other(met.txn), &Draft::honest(met.txn).seal(met.handshake.session()))),
            Some(WRONG_TXN),
        ),
        (
            "another txn within and without",
            Box::new(move |met| {
                package_offer(other(met.txn), &Draft::honest(other(met.txn)).seal(met.handshake.session()))
            }),
            Some(WRONG_TXN),
        ),
        ("another txn within", sealed(|draft| draft.txn[0] ^= 1), Some(NOT_AUTHENTIC)),
        ("another domain", sealed(|draft| draft.domain = Domain::Production), Some(NOT_AUTHENTIC)),
        ("from another session", Box::new(move |met| package_offer(met.txn, &elsewhere)), Some(NOT_AUTHENTIC)),
        ("a changed byte", sealed_bytes(|sealed| *sealed.last_mut().unwrap() ^= 1), Some(NOT_AUTHENTIC)),
        (
            "with a partial IV",
            Box::new(|met| {
                let sealed = encrypt0::seal(&Secret::zeroed(), Some(0), b"", b"x", &RustCrypto).unwrap();
                package_offer(met.txn, &sealed)
            }),
            Some(malformed(Malformed::OutOfRange)),
        ),
        ("no COSE", Box::new(|met| package_offer(met.txn, b"\x00")), Some(malformed(Malformed::WrongType))),
        ("an unknown key", outer(|offer| append(offer, b"\x18\x1e\x00")), None),
        ("an unknown critical key", outer(|o| append(o, b"\x20\x00")), Some(malformed(Malformed::UnknownCriticalKey))),
        ("a key twice", outer(|offer| append(offer, b"\x02\x40")), Some(malformed(Malformed::KeyOrder))),
        ("neither package nor refusal", Box::new(|_| b"\xa0".into()), Some(malformed(Malformed::MissingKey))),
        // The package itself.
        ("epoch 0", sealed(|draft| draft.epoch = 0), Some(WRONG_OFFER)),
        ("the last epoch", sealed(|draft| draft.epoch = u32::MAX), None),
        ("beside a previous one", sealed(|draft| draft.previous = Previous::Beside), Some(WRONG_OFFER)),
        ("with a previous one", sealed(|draft| draft.previous = Previous::Shared), Some(WRONG_OFFER)),
        ("another K in AUTN", sealed(|draft| draft.other_k = Some(Secret::zeroed())), Some(WRONG_OFFER)),
        ("SQN 0", sealed(|draft| draft.seq = 0), Some(WRONG_OFFER)),
        ("SQN too far", sealed(|draft| draft.seq = 1 << 29), Some(WRONG_OFFER)),
        ("changed AUTN", text(|text| *text.iter_mut().rev().nth(4).unwrap() ^= 1), Some(WRONG_OFFER)),
        (
            "unknown algorithm",
            text(|text| replace(text, b"\x03\x01\x04", b"\x03\x02\x04")),
            Some(malformed(Malformed::OutOfRange)),
        ),
        (
            "unknown activation",
            text(|text| replace(text, b"\x08\x00\x09", b"\x08\x02\x09")),
            Some(malformed(Malformed::OutOfRange)),
        ),
        ("a key of tomorrow", text(|text| append(text, b"\x0a\x00")), None),
        (
            "a critical key of tomorrow",
            text(|t| append(t, b"\x20\x00")),
            Some(malformed(Malformed::UnknownCriticalKey)),
        ),
        ("nothing in it", text(|text| *text = b"\xa0".into()), Some(malformed(Malformed::MissingKey))),
        ("a byte after", text(|text| text.push(0)), Some(malformed(Malformed::TrailingBytes))),
        (
            "a SUPI of letters",
            text(|text| replace(text, b"001010000000000", b"00101000000000x")),
            Some(malformed(Malformed::Text)),
        ),
        // Something else.
        ("a status", Box::new(|met| wire::encode(&Offer::Status(done(met.txn, 0)))), Some(WRONG_OFFER)),
        ("a refusal", refusal(same, 400), Some(CONFLICT)),
        ("a refusal of another txn", refusal(other, 400), Some(WRONG_OFFER)),
        ("an unknown refusal", refusal(same, 999), Some(malformed(Malformed::OutOfRange))),
    ];
    for (at, make, expected) in cases {
        let mut lab = Lab::voucher_last(1);
        let met = meet_device(&mut lab);
        let asked = lab.fingerprint();
        let value = make(&met);
        let (mut device, _, outcome) = offer(&mut lab, met, &[ours(&value)]);
        match expected {
            Some(error) => {
                assert_eq!(outcome, Err(error), "{at}");
                assert_ended(&mut device, error, at);
                assert_eq!((lab.fingerprint(), lab.held()), (asked, None), "{at}");
            }
            None => {
                assert_eq!(outcome, Ok(()), "{at}");
                assert!(matches!(lab.held(), Some((_, false))), "{at}");
                assert_eq!(from_device(&mut device).installed.len(), 1, "{at}");
            }
        }
    }
}

#[test]
fn the_activation_challenge_is_used_up_by_the_install() {
    let mut lab = Lab::voucher_last(1);
    let met = meet_device(&mut lab);
    let draft = Draft::honest(met.txn);
    let sealed = draft.seal(met.handshake.session());
    let challenge = draft.package(met.handshake.session(), |package| package.challenge);
    let value = package_offer(met.txn, &sealed);
    offer(&mut lab, met, &[ours(&value)]).2.unwrap();
    let answer = authenticate(&challenge, &mut lab.store, &mut SoftUsim);
    assert!(matches!(answer, Ok(aka::Answer::SyncFailure { .. })), "{answer:?}");
}

/// Exactly one place changes.
fn replace(text: &mut [u8], from: &[u8], to: &[u8]) {
    let places: Vec<_> = (0..=text.len() - from.len()).filter(|at| text[*at..].starts_with(from)).collect();
    let [at] = places[..] else { panic!("{} places", places.len()) };
    text[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn offers_in_no_or_two_items_install_nothing() {
    let count = wrappings(b"xx").len();
    for number in 0..count {
        let mut lab = Lab::voucher_last(1);
        let met = meet_device(&mut lab);
        let asked = lab.fingerprint();
        let sealed = Draft::honest(met.txn).seal(met.handshake.session());
        let (at, ead_4, expected) = wrappings(&package_offer(met.txn, &sealed)).remove(number);
        let (mut device, _, outcome) = offer(&mut lab, met, &ead_4);
        match expected {
            Some(error) => {
                assert_eq!(outcome, Err(error), "{at}");
                assert_ended(&mut device, error, at);
                assert_eq!(lab.fingerprint(), asked, "{at}");
            }
            None => assert_eq!((outcome, lab.held().is_some()), (Ok(()), true), "{at}"),
        }
    }
}

#[test]
fn a_resume_takes_a_status_of_its_own_and_nothing_else() {
    type Make = fn(&Met) -> Vec<u8>;
    let cases: [(&str, Make, Option<Error>); 9] = [
        ("honest", |met| wire::encode(&Offer::Status(done(met.txn, 1))), None),
        ("acknowledges nothing", |met| wire::encode(&Offer::Status(done(met.txn, 0))), None),
        ("acknowledges what was not made", |met| wire::encode(&Offer::Status(done(met.txn, 2))), Some(WRONG_RECEIPT)),
        (
            "acknowledges everything ever",
            |met| wire::encode(&Offer::Status(done(met.txn, u64::MAX))),
            Some(WRONG_RECEIPT),
        ),
        ("another txn", |_| wire::encode(&Offer::Status(done([9; 16], 1))), Some(WRONG_TXN)),
        (
            "a package",
            |met| {
                let draft = Draft { epoch: 2, ..Draft::honest(met.txn) };
                package_offer(met.txn, &draft.seal(met.handshake.session()))
            },
            Some(WRONG_OFFER),
        ),
        (
            "a refusal",
            |met| wire::encode(&Offer::Refusal(Refusal { txn: met.txn, code: Code::Conflict, retry_after: None })),
            Some(CONFLICT),
        ),
        ("a shorter array", |_| b"\x83\x06\x40\x01".into(), Some(malformed(Malformed::WrongLength))),
        ("another array", |_| b"\x86\x05\x40\x01\x00\x00\xf6".into(), Some(malformed(Malformed::OutOfRange))),
    ];
    for (at, make, expected) in cases {
        let mut lab = Lab::unconfirmed(2);
        lab.device_config.introduction = Introduction::VoucherLast { request: false };
        let (held, _) = lab.held().unwrap();
        let met = meet_device(&mut lab);
        assert_eq!((met.operation, met.receipts.len()), (Operation::Resume, 1));
        let before = lab.fingerprint();
        let value = make(&met);
        let (mut device, _, outcome) = offer(&mut lab, met, &[ours(&value)]);
        match expected {
            Some(error) => {
                assert_eq!(outcome, Err(error), "{at}");
                assert_ended(&mut device, error, at);
                assert_eq!((lab.fingerprint(), lab.held()), (before, Some((held, false))), "{at}");
            }
            None => {
                assert_eq!((outcome, lab.held()), (Ok(()), Some((held, true))), "{at}");
                // A receipt that nobody acknowledged is kept for the next operation.
                assert_eq!(lab.kept(), (false, usize::from(at == "acknowledges nothing")), "{at}");
            }
        }
        lab.attach(&held);
    }
}

#[test]
fn only_the_operators_own_complete_confirms() {
    struct Given<'a> {
        session: &'a edhoc::Session,
        elsewhere: &'a edhoc::Session,
        txn: Txn,
        package_hash: Hash,
        confirm: Vec<u8>,
    }
    impl Given<'_> {
        fn record(&self) -> Record<'_> {
            Record { session: self.session, from: Role::Operator, number: Some(0), package_hash: self.package_hash }
        }
        fn complete(&self) -> Vec<u8> {
            wire::encode(&Complete { txn: self.txn, acknowledged: 1 })
        }
    }
    type Make = fn(&Given<'_>) -> Vec<u8>;
    // The last column: whether the machine has ended. What opens is the operator's word; what does not is nobody's.
    let cases: [(&str, Make, Option<Error>, bool); 16] = [
        ("honest", |given| given.record().seal(&given.complete()), None, true),
        ("a higher number", |given| Record { number: Some(7), ..given.record() }.seal(&given.complete()), None, true),
        (
            "the highest number",
            |given| Record { number: Some(0xff_ffff_ffff), ..given.record() }.seal(&given.complete()),
            None,
            true,
        ),
        (
            "another txn",
            |given| given.record().seal(&wire::encode(&Complete { txn: [9; 16], acknowledged: 1 })),
            Some(WRONG_TXN),
            true,
        ),
        (
            "acknowledges what was not made",
            |given| given.record().seal(&wire::encode(&Complete { txn: given.txn, acknowledged: 2 })),
            Some(WRONG_RECEIPT),
            true,
        ),
        (
            "a status",
            |given| given.record().seal(&wire::encode(&done(given.txn, 1))),
            Some(malformed(Malformed::WrongLength)),
            true,
        ),
        ("nothing", |given| given.record().seal(b""), Some(malformed(Malformed::Truncated)), true),
        (
            "a byte after",
            |given| given.record().seal(&[given.complete(), vec![0]].concat()),
            Some(malformed(Malformed::TrailingBytes)),
            true,
        ),
        (
            "without a number",
            |given| Record { number: None, ..given.record() }.seal(&given.complete()),
            Some(Error::Misbehaved(Misbehaved::UnexpectedMessage)),
            false,
        ),
        ("its own confirm", |given| given.confirm.clone(), Some(NOT_AUTHENTIC), false),
        (
            "under the device's key",
            |given| Record { from: Role::Device, ..given.record() }.seal(&given.complete()),
            Some(NOT_AUTHENTIC),
            false,
        ),
        (
            "of another session",
            |given| Record { session: given.elsewhere, ..given.record() }.seal(&given.complete()),
            Some(NOT_AUTHENTIC),
            false,
        ),
        (
            "about another package",
            |given| Record { package_hash: [0; 32], ..given.record() }.seal(&given.complete()),
            Some(NOT_AUTHENTIC),
            false,
        ),
        (
            "a changed number",
            |given| {
                let mut record = given.record().seal(&given.complete());
                replace(&mut record, b"\xa1\x06\x41\x00", b"\xa1\x06\x41\x01");
                record
            },
            Some(NOT_AUTHENTIC),
            false,
        ),
        (
            "a number in long form",
            |given| {
                let record = given.record().seal(&given.complete());
                [&record[..5], b"\xa1\x06\x42\x00\x00", &record[9..]].concat()
            },
            Some(malformed(Malformed::OutOfRange)),
            false,
        ),
        ("unsealed", |given| given.complete(), Some(malformed(Malformed::WrongType)), false),
    ];
    let elsewhere = {
        let mut lab = Lab::voucher_last(3);
        drop(meet_device(&mut lab));
        let met = meet_device(&mut lab);
        met.handshake.write(&[], &RustCrypto).unwrap().0
    };
    for (at, make, expected, ends) in cases {
        let mut lab = Lab::voucher_last(3);
        let met = meet_device(&mut lab);
        let txn = met.txn;
        let sealed = Draft::honest(txn).seal(met.handshake.session());
        let (mut device, session, outcome) = offer(&mut lab, met, &[ours(&package_offer(txn, &sealed))]);
        outcome.unwrap();
        let confirm = from_device(&mut device).sent.remove(0);
        let package_hash = package_hash(&sealed, &RustCrypto);
        let given = Given { session: &session, elsewhere: &elsewhere, txn, package_hash, confirm };
        let installed = lab.fingerprint();
        let outcome = lab.tell_device(&mut device, &make(&given));
        assert_eq!(outcome, expected.map_or(Ok(()), Err), "{at}");
        let out = from_device(&mut device);
        assert_eq!(out.finished, if ends { vec![outcome] } else { vec![] }, "{at}");
        assert_eq!(out.sent.len(), 0, "{at}");
        if expected.is_some() {
            assert_eq!(lab.fingerprint(), installed, "{at}");
        }
        if !ends {
            lab.tell_device(&mut device, &given.record().seal(&given.complete())).expect(at);
        }
        assert_eq!(lab.held().unwrap().1, !ends || expected.is_none(), "{at}");
    }
}

// A device with valid keys.

fn hello() -> Hello<'static> {
    Hello { domain: Domain::Test, concealed_id: None, relay: None, cookie: None }
}

/// message_1 with these items, and what the operator says to it.
fn greet(lab: &mut Lab, ead_1: &[Item]) -> (Operator, initiator::AwaitMessage2, Outcome) {
    let c_i = ConnectionId::new(b"dev").unwrap();
    let mut rng = SeededRng::new(6);
    let proposal =
        initiator::Proposal { method: Method::SignSign, suites: &[Suite::GCM], c_i: &c_i, ead_1: &as_ead(ead_1) };
    let (handshake, message_1) = initiator::start(&proposal, &RustCrypto, &mut rng).unwrap();
    let mut operator = lab.operator();
    let outcome = lab.tell_operator(&mut operator, &message_1);
    (operator, handshake, outcome)
}

/// An operator that has shown who it is.
struct Greeted {
    operator: Operator,
    message: initiator::Message2Accepted,
}

fn meet_operator(lab: &mut Lab) -> Greeted {
    let (mut operator, handshake, outcome) = greet(lab, &[ours(&wire::encode(&hello()))]);
    outcome.unwrap();
    let message_2 = lab.serve(&mut operator).sent.remove(0);
    let message = handshake.read(&message_2, &RustCrypto).unwrap();
    let peer = believe(&message.claimed().unwrap(), Role::Operator, &lab.device_anchors);
    let mut message = message.accept(peer, &lab.device_config.own, &RustCrypto).unwrap();
    message.ead().take(EAD_LABEL).unwrap();
    Greeted { operator, message }
}

fn request() -> Request<'static> {
    Request {
        txn: [7; 16],
        operation: Operation::Provision,
        counter: Counter { request: 1, retry: 0 },
        algorithms: core::iter::once(1).collect(),
        state: DeviceState {
            active: None,
            supi_hash: None,
            package_hash: None,
            pending: None,
            owner_epoch: 0,
            voucher_head: None,
            last_receipt: None,
        },
        evidence: None,
        grant: None,
        receipts: None,
        voucher_request: None,
    }
}

/// What came of a request.
struct Asked {
    operator: Operator,
    outcome: Outcome,
    questions: Vec<&'static str>,
    finished: Vec<Outcome>,
    /// message_4, or an error message.
    answer: Vec<u8>,
    handshake: initiator::AwaitMessage4,
}

fn ask(lab: &mut Lab, ead_3: &[Item]) -> Asked {
    let Greeted { mut operator, message } = meet_operator(lab);
    let (handshake, message_3) =
        message.write(&lab.device_config.own, &as_ead(ead_3), &lab.device_keys, &RustCrypto).unwrap();
    let outcome = lab.tell_operator(&mut operator, &message_3);
    let mut out = lab.serve(&mut operator);
    let answer = out.sent.pop().unwrap_or_default();
    Asked { operator, outcome, questions: out.asked, finished: out.finished, answer, handshake }
}

#[test]
fn hellos_that_are_not_right_get_no_message_2() {
    let mut cases = wrappings(&wire::encode(&hello()));
    let of = |hello: Hello<'_>| vec![ours(&wire::encode(&hello))];
    let raw = |bytes: &[u8]| vec![ours(bytes)];
    let range = Some(malformed(Malformed::OutOfRange));
    cases.extend([
        ("another domain", of(Hello { domain: Domain::Production, ..hello() }), Some(Misbehaved::WrongDomain.into())),
        ("a third domain", raw(b"\x84\x01\x02\xf6\xf6"), range),
        ("version 2", raw(b"\x84\x02\x01\xf6\xf6"), range),
        ("version 0", raw(b"\x84\x00\x01\xf6\xf6"), range),
        ("three entries", raw(b"\x83\x01\x01\xf6"), range),
        ("six entries", raw(b"\x86\x01\x01\xf6\xf6\x41a\x00"), range),
        (
            "a relay that it did not come through",
            of(Hello { relay: Some([1; 32]), ..hello() }),
            Some(Misbehaved::WrongRelay.into()),
        ),
        (
            "a concealed id that is none",
            of(Hello { concealed_id: Some(Raw(b"\x82\x01\x02")), ..hello() }),
            Some(malformed(Malformed::WrongType)),
        ),
        ("a cookie of 64", of(Hello { cookie: Some(&[1; 64]), ..hello() }), None),
        ("a cookie of 65", of(Hello { cookie: Some(&[1; 65]), ..hello() }), Some(malformed(Malformed::TooLong))),
        ("an empty cookie", of(Hello { cookie: Some(b""), ..hello() }), Some(malformed(Malformed::WrongLength))),
        ("a short relay", raw(b"\x84\x01\x01\xf6\x41a"), Some(malformed(Malformed::WrongLength))),
    ]);
    for (at, ead_1, expected) in cases {
        let mut lab = Lab::voucher_last(4);
        let (mut operator, _, outcome) = greet(&mut lab, &ead_1);
        let out = lab.serve(&mut operator);
        assert_eq!(out.asked.len(), 0, "{at}");
        match expected {
            Some(error) => {
                assert_eq!((outcome, out.finished), (Err(error), vec![Err(error)]), "{at}");
                assert_eq!(out.sent, [b"\x01\x6cnot accepted"], "{at}: for every reason the same");
            }
            None => assert_eq!((outcome, out.sent.len(), out.finished.len()), (Ok(()), 1, 0), "{at}"),
        }
    }
}

#[test]
fn requests_that_are_not_right_log_nothing() {
    let of = |change: fn(&mut Request<'_>)| {
        let mut request = request();
        change(&mut request);
        wire::encode(&request)
    };
    let raw = |from: &[u8], to: &[u8]| {
        let mut bytes = wire::encode(&request());
        let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
        bytes.splice(at..at + from.len(), to.iter().copied());
        bytes
    };
    let more = |entry: &[u8]| {
        let mut bytes = wire::encode(&request());
        append(&mut bytes, entry);
        bytes
    };
    let bad = |why| Some(malformed(why));
    let no = |code| Some(Error::Declined(code));
    let mut cases: Vec<(&str, Vec<Item>, Option<Error>)> = wrappings(&wire::encode(&request()));
    let values: Vec<(&str, Vec<u8>, Option<Error>)> = vec![
        ("a short txn", raw(&[1, 0x50], &[1, 0x4f]), bad(Malformed::WrongLength)),
        (
            "a txn of 17",
            raw(&[[1, 0x50].as_slice(), &[7; 16]].concat(), &[[1, 0x51].as_slice(), &[7; 17]].concat()),
            bad(Malformed::WrongLength),
        ),
        ("a txn of text", raw(&[1, 0x50], &[1, 0x70]), bad(Malformed::WrongType)),
        ("no txn", raw(&[[0xa5, 1, 0x50].as_slice(), &[7; 16]].concat(), &[0xa4]), bad(Malformed::MissingKey)),
        ("an unknown operation", raw(b"\x02\x00\x03", b"\x02\x09\x03"), bad(Malformed::OutOfRange)),
        ("a bare counter", raw(b"\x03\x82\x01\x00", b"\x03\x01"), bad(Malformed::WrongType)),
        (
            "a counter of 33 bits",
            raw(b"\x03\x82\x01\x00", b"\x03\x82\x1b\x00\x00\x00\x01\x00\x00\x00\x00\x00"),
            bad(Malformed::OutOfRange),
        ),
        (
            "nine algorithms",
            raw(b"\x04\x81\x01", b"\x04\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01"),
            bad(Malformed::TooLong),
        ),
        ("no algorithm", of(|request| request.algorithms.clear()), bad(Malformed::WrongLength)),
        ("a list of no receipts", more(b"\x08\x80"), bad(Malformed::WrongLength)),
        (
            "algorithms of tomorrow",
            of(|request| request.algorithms = core::iter::once(7).collect()),
            no(Code::NoCommonAlgorithm),
        ),
        ("one of tomorrow, one of today", of(|request| request.algorithms = [7, 1].into_iter().collect()), None),
        ("a device that has one", of(|request| request.state.active = Some(1)), no(Code::WrongOperation)),
        ("a device that prepares one", of(|request| request.state.pending = Some(1)), no(Code::WrongOperation)),
        ("nothing to resume", of(|request| request.operation = Operation::Resume), no(Code::Conflict)),
        ("a key of tomorrow", more(b"\x18\x1e\x00"), None),
        ("a critical key of tomorrow", more(b"\x20\x00"), bad(Malformed::UnknownCriticalKey)),
        ("keys out of order", more(b"\x04\x80"), bad(Malformed::KeyOrder)),
        (
            "sixteen receipts that are none",
            of(|request| request.receipts = Some([b"".as_slice(); 16].into_iter().collect())),
            no(Code::Quarantined),
        ),
        ("seventeen receipts", more(&[[0x08, 0x91].as_slice(), &[0x40; 17]].concat()), bad(Malformed::TooLong)),
        ("no evidence", of(|request| request.evidence = Some(b"x")), no(Code::EvidenceNotAccepted)),
    ];
    cases.extend(values.into_iter().map(|(at, value, expected)| (at, vec![ours(&value)], expected)));
    for (at, ead_3, expected) in cases {
        let mut lab = Lab::voucher_last(5);
        let asked = ask(&mut lab, &ead_3);
        match expected {
            None => {
                assert_eq!((asked.outcome, asked.finished.len()), (Ok(()), 0), "{at}");
                assert_eq!(asked.questions.len(), 5, "{at}");
                assert!(asked.answer.len() > 20, "{at}");
            }
            Some(error) => {
                assert_eq!(asked.finished, [Err(error)], "{at}");
                assert!(!lab.logged().contains(&"confirmed"), "{at}");
                if let Error::Declined(code) = error {
                    // Authenticated, so it is told.
                    let mut message = asked.handshake.read(&asked.answer, &RustCrypto).expect(at);
                    let told = message.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
                    let Ok(Offer::Refusal(refusal)) = wire::decode(&told) else { panic!("{at}") };
                    assert_eq!(refusal.code, code, "{at}");
                } else {
                    assert_eq!((asked.outcome, asked.questions.len()), (Err(error), 0), "{at}");
                    assert_eq!(asked.answer, b"\x01\x6cnot accepted", "{at}");
                }
            }
        }
    }
}

/// What an honest device makes of an offer, with everything open to change.
struct Installed {
    operator: Operator,
    session: edhoc::Session,
    txn: Txn,
    res: Vec<u8>,
    receipt: Receipt,
    package_hash: Hash,
}

fn install(lab: &mut Lab, txn: Txn) -> Installed {
    let asked = ask(lab, &[ours(&wire::encode(&Request { txn, ..request() }))]);
    let mut message = asked.handshake.read(&asked.answer, &RustCrypto).unwrap();
    let value = message.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let Ok(Offer::Package(offer)) = wire::decode(&value) else { panic!() };
    let session = message.complete().unwrap();
    let offered = Offered { domain: Domain::Test, txn: &txn, sealed: offer.sealed, exporter: &session };
    let installed = SoftUsim.install(Slot::A, &offered, &RustCrypto).unwrap();
    let receipt = Receipt {
        domain: Domain::Test,
        sequence: 1,
        previous: None,
        txn,
        event: Event::Activated,
        supi_hash: supi_hash(&txn, &installed.supi, &RustCrypto),
        epoch: installed.epoch,
        package_hash: installed.package_hash,
        owner_epoch: 1,
        grant: None,
    };
    let package_hash = installed.package_hash;
    Installed { operator: asked.operator, session, txn, res: installed.res.bytes().to_vec(), receipt, package_hash }
}

impl Installed {
    fn record(&self) -> Record<'_> {
        Record { session: &self.session, from: Role::Device, number: Some(0), package_hash: self.package_hash }
    }

    fn signed(&self, lab: &Lab) -> Vec<u8> {
        self.receipt.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap()
    }

    fn confirm(&self, lab: &Lab) -> Vec<u8> {
        wire::encode(&Confirm { txn: self.txn, res: Some(&self.res), receipt: &self.signed(lab) })
    }
}

#[test]
fn only_the_devices_own_confirm_confirms() {
    type Make = fn(&mut Installed, &Lab) -> Vec<u8>;
    // What opens is the device's word, and ends the session if it is wrong; what does not is nobody's.
    // One thing in it is not what it should be.
    type Change = fn(&mut Installed);
    let changes: [(&str, Change); 12] = [
        ("another first sequence number", |it| it.receipt.sequence = 12),
        ("another RES", |it| it.res[7] ^= 1),
        ("half of RES", |it| it.res.truncate(4)),
        ("no RES", |it| it.res.clear()),
        ("RES and more", |it| it.res.push(0)),
        ("a receipt of another txn", |it| it.receipt.txn = [9; 16]),
        ("a receipt of another domain", |it| it.receipt.domain = Domain::Production),
        ("a receipt of another SUPI", |it| {
            it.receipt.supi_hash = supi_hash(&it.txn, &"001010000000001".parse().unwrap(), &RustCrypto)
        }),
        ("a receipt of another epoch", |it| it.receipt.epoch += 1),
        ("a receipt of another package", |it| it.receipt.package_hash[31] ^= 1),
        ("a receipt after one that was never there", |it| it.receipt.previous = Some([1; 32])),
        ("a receipt of another owner", |it| it.receipt.owner_epoch = 2),
    ];
    let cases: Vec<(&str, Make, Option<Error>, bool)> = vec![
        ("honest", |it, lab| it.record().seal(&it.confirm(lab)), None, true),
        ("a higher number", |it, lab| Record { number: Some(9), ..it.record() }.seal(&it.confirm(lab)), None, true),
        (
            "another txn",
            |it, lab| {
                it.record().seal(&wire::encode(&Confirm { txn: [9; 16], res: Some(&it.res), receipt: &it.signed(lab) }))
            },
            Some(WRONG_TXN),
            true,
        ),
        (
            "a receipt under another key",
            |it, lab| {
                let receipt = it.receipt.sign(|message| lab.operator_keys.sign(IDENTITY, message)).unwrap();
                it.record().seal(&wire::encode(&Confirm { txn: it.txn, res: Some(&it.res), receipt: &receipt }))
            },
            Some(NOT_AUTHENTIC),
            true,
        ),
        (
            "a receipt signed as something else",
            |it, lab| {
                let payload = wire::encode(&it.receipt);
                let sign = |message: &[u8]| lab.device_keys.sign(IDENTITY, message);
                let receipt = wire::encode(&Sign1::create(&payload, b"RCP attest", sign).unwrap());
                it.record().seal(&wire::encode(&Confirm { txn: it.txn, res: Some(&it.res), receipt: &receipt }))
            },
            Some(NOT_AUTHENTIC),
            true,
        ),
        (
            "no receipt",
            |it, _| it.record().seal(&wire::encode(&Confirm { txn: it.txn, res: Some(&it.res), receipt: b"" })),
            Some(malformed(Malformed::Truncated)),
            true,
        ),
        (
            "a complete",
            |it, _| it.record().seal(&wire::encode(&Complete { txn: it.txn, acknowledged: 1 })),
            Some(malformed(Malformed::WrongLength)),
            true,
        ),
        (
            "without a number",
            |it, lab| Record { number: None, ..it.record() }.seal(&it.confirm(lab)),
            Some(Error::Misbehaved(Misbehaved::UnexpectedMessage)),
            false,
        ),
        (
            "under the operator's key",
            |it, lab| Record { from: Role::Operator, ..it.record() }.seal(&it.confirm(lab)),
            Some(NOT_AUTHENTIC),
            false,
        ),
        (
            "about another package",
            |it, lab| Record { package_hash: [0; 32], ..it.record() }.seal(&it.confirm(lab)),
            Some(NOT_AUTHENTIC),
            false,
        ),
        (
            "of another session",
            |it, lab| {
                let mut other = Lab::voucher_last(77);
                let other = install(&mut other, it.txn);
                Record { session: &other.session, ..it.record() }.seal(&it.confirm(lab))
            },
            Some(NOT_AUTHENTIC),
            false,
        ),
        ("unsealed", |it, lab| it.confirm(lab), Some(malformed(Malformed::WrongLength)), false),
    ];
    let check = |at: &str, make: &dyn Fn(&mut Installed, &Lab) -> Vec<u8>, expected: Option<Error>, ends: bool| {
        let mut lab = Lab::voucher_last(6);
        let mut it = install(&mut lab, [7; 16]);
        let honest = it.record().seal(&it.confirm(&lab));
        let record = make(&mut it, &lab);
        let outcome = lab.tell_operator(&mut it.operator, &record);
        let out = lab.serve(&mut it.operator);
        assert_eq!(outcome, expected.map_or(Ok(()), Err), "{at}");
        if expected.is_none() {
            assert_eq!((out.asked, out.sent.len()), (vec!["log confirm"], 1), "{at}");
        } else {
            assert_eq!((out.asked.len(), out.sent.len()), (0, 0), "{at}: neither logged nor answered");
            assert_eq!(lab.logged(), ["offered"], "{at}");
        }
        assert_eq!(out.finished, if ends { vec![outcome] } else { vec![] }, "{at}");
        // The one that is right comes late, or a second time with other words under the same number.
        let outcome = lab.tell_operator(&mut it.operator, &honest);
        let unexpected = Err(Misbehaved::UnexpectedMessage.into());
        assert_eq!(outcome, if ends && record != honest { unexpected } else { Ok(()) }, "{at}");
        if !ends {
            assert_eq!(lab.serve(&mut it.operator).finished, [Ok(())], "{at}");
        }
    };
    for (at, make, expected, ends) in cases {
        check(at, &make, expected, ends);
    }
    for (at, change) in changes {
        let make = |it: &mut Installed, lab: &Lab| {
            change(it);
            it.record().seal(&it.confirm(lab))
        };
        check(at, &make, Some(WRONG_RECEIPT), true);
    }
}

/// Whoever cannot show one line of receipts is not the device that it was.
const SET_BACK: Error = Error::Declined(Code::Quarantined);

#[test]
fn an_error_is_never_answered_with_an_error() {
    // Otherwise two operators whose addresses somebody forged would answer each other for ever.
    for error in [b"\x01\x6cnot accepted".as_slice(), b"\x02\x03", b"\x02\x82\x03\x02", b"\x03\xf5"] {
        let mut lab = Lab::voucher_last(9);
        let mut operator = lab.operator();
        assert!(matches!(lab.tell_operator(&mut operator, error), Err(Error::Refused(_))));
        assert!(operator.poll().is_none());
        for messages in [2, 4, 6] {
            let mut session = lab.session(messages);
            // Not an answer but a new beginning, while there is another suite to propose: then it ends too.
            let again = if messages == 2 && error[0] == 2 { 1 } else { 0 };
            for _ in 0..again {
                assert_eq!(lab.tell_device(&mut session.device, error), Ok(()));
                assert_eq!(from_device(&mut session.device).sent.len(), 1);
            }
            assert!(lab.tell_device(&mut session.device, error).is_err());
            assert_eq!(from_device(&mut session.device).sent.len(), 0);
            assert!(lab.tell_operator(&mut session.operator, error).is_err());
            assert_eq!(lab.serve(&mut session.operator).sent.len(), 0);
            lab = Lab::voucher_last(9);
        }
    }
}

/// Whoever forges error messages walks the device down its list, once, and not in circles.
#[test]
fn errors_that_name_suites_come_to_an_end() {
    let mut lab = Lab::voucher_last(9);
    let mut session = lab.session(2);
    for (error, sent) in [(b"\x02\x03", 1), (b"\x02\x02", 1), (b"\x02\x37", 0)] {
        let outcome = lab.tell_device(&mut session.device, error);
        assert_eq!(outcome.is_ok(), sent == 1);
        assert_eq!(from_device(&mut session.device).sent.len(), sent);
    }
    let mut session = lab.session(2);
    assert!(lab.tell_device(&mut session.device, b"\x02\x03").is_ok());
    assert!(lab.tell_device(&mut session.device, b"\x02\x37").is_err(), "back to the first one");
}

#[test]
fn a_certificate_of_the_other_side_is_no_identity_here() {
    // A device that shows an operator's certificate, and the reverse: right key, right anchor, wrong side.
    let mut lab = Lab::voucher_last(10);
    lab.device_config.own = lab::chain(&identities::operator_chain());
    lab.device_keys = lab::Keys::new(identities::operator_key());
    lab.operator_config.own = lab::chain(&identities::rogue_operator_chain());
    lab.operator_keys = lab::Keys::new(identities::rogue_operator_key());
    lab.device_anchors = identities::rogue_device_anchors();
    let mut session = lab.session(3);
    assert!(matches!(lab.step(&mut session), Err(Error::Untrusted(_))));
    let mut lab = Lab::voucher_last(10);
    lab.operator_config.own = lab::chain(&identities::device_chain());
    lab.operator_keys = lab::Keys::new(identities::device_key());
    let mut session = lab.session(2);
    assert!(matches!(lab.step(&mut session), Err(Error::Untrusted(_))));
}

// A link that does what it likes.

/// What happens to a message on its way.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Truncate(Index),
    Extend(Vec<u8>),
    Drop(Index),
    Double(Index),
    /// Its head, and the tail of another message.
    Splice(Index, Index, Index),
    Replace(Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<Index>;
    prop_oneof![
        3 => (place(), 1..=255_u8).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        2 => place().prop_map(Mutation::Truncate),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Mutation::Extend),
        1 => place().prop_map(Mutation::Drop),
        1 => place().prop_map(Mutation::Double),
        2 => (place(), place(), place()).prop_map(|(other, head, tail)| Mutation::Splice(other, head, tail)),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Mutation::Replace),
    ]
}

/// The messages of a session that has nothing to do with any other.
static STRANGERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| Lab::voucher_last(99).session(6).messages);

impl Mutation {
    fn apply(&self, message: &[u8], all: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = message.to_vec();
        match self {
            Self::Flip(at, bits) => bytes[at.index(message.len())] ^= bits,
            Self::Truncate(at) => bytes.truncate(at.index(message.len())),
            Self::Extend(more) => bytes.extend(more),
            Self::Drop(at) => drop(bytes.remove(at.index(message.len()))),
            Self::Double(at) => bytes.insert(at.index(message.len()), message[at.index(message.len())]),
            Self::Splice(other, head, tail) => {
                let other = other.get(all);
                bytes.truncate(head.index(message.len() + 1));
                bytes.extend(&other[tail.index(other.len())..]);
            }
            Self::Replace(with) => bytes.clone_from(with),
        }
        bytes
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// One mutated message at any step: it is never taken, nothing durable comes of it, and what was sealed in a record
    /// leaves the session as it was.
    #[test]
    fn a_mutated_message_is_never_taken(step in 1_usize..=6, mutation in mutation(), seed in 0..4_u64) {
        let mut lab = Lab::voucher_last(seed);
        let mut session = lab.session(step);
        let message = session.message(step);
        let mut all = session.messages.clone();
        all.extend_from_slice(&STRANGERS);
        let mutated = mutation.apply(&message, &all);
        // A message of an earlier step is a repetition; tests/provisioning.rs has those.
        prop_assume!(!session.messages.contains(&mutated));
        let (before, entries) = (lab.fingerprint(), lab.logged());
        if step.is_multiple_of(2) {
            let outcome = lab.tell_device(&mut session.device, &mutated);
            prop_assert!(outcome.is_err());
            prop_assert!(from_device(&mut session.device).installed.is_empty());
        } else {
            let outcome = lab.tell_operator(&mut session.operator, &mutated);
            let out = lab.serve(&mut session.operator);
            // message_1 is not authenticated: what parses is answered. The device notices in message_2.
            prop_assert!(outcome.is_err() || step == 1);
            prop_assert!(out.asked.is_empty());
            if let (Ok(()), [message_2]) = (outcome, &out.sent[..]) {
                prop_assert!(lab.tell_device(&mut session.device, message_2).is_err());
            }
        }
        prop_assert_eq!(lab.fingerprint(), before);
        prop_assert_eq!(lab.logged(), entries);
        if step >= 5 {
            while session.messages.len() < 6 {
                lab.step(&mut session).unwrap();
            }
            lab.step(&mut session).unwrap();
        } else {
            prop_assert_eq!(lab.run(), Ok(()));
        }
        lab.assert_complete();
    }
}

/// What somebody who owns the link does next.
#[derive(Clone, Debug)]
enum Move {
    /// Hands over a message that was sent at any time in any session, in any direction, changed or not.
    Deliver { message: Index, to_device: bool, mutation: Option<Mutation> },
    /// Lets the last message through.
    Pass,
    /// Lets time pass.
    Wait(u64),
    /// Cuts the device's power: it starts again.
    Restart,
    /// A new machine at the operator.
    NewOperator,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let deliver = (any::<Index>(), any::<bool>(), prop::option::weighted(0.3, mutation()))
        .prop_map(|(message, to_device, mutation)| Move::Deliver { message, to_device, mutation });
    let one = prop_oneof![
        6 => Just(Move::Pass),
        4 => deliver,
        2 => (0..400_000_u64).prop_map(Move::Wait),
        1 => Just(Move::Restart),
        1 => Just(Move::NewOperator),
    ];
    prop::collection::vec(one, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any order of messages, repetitions, changes, waits and power cuts: after each error the store is as it was before
    /// the call, and when the link is honest again the device becomes a subscriber, or is one.
    #[test]
    fn whatever_the_link_does_the_device_becomes_a_subscriber(moves in moves(), seed in 0..4_u64) {
        let mut lab = Lab::voucher_last(seed);
        let Session { mut device, mut operator, messages: mut sent } = lab.session(1);
        for next in moves {
            let before = lab.fingerprint();
            let (to_device, bytes) = match next {
                // The last thing said was said by the one who did not hear it.
                Move::Pass => (sent.len().is_multiple_of(2), sent.last().unwrap().clone()),
                Move::Deliver { message, to_device, mutation } => {
                    let bytes = message.get(&sent).clone();
                    (to_device, mutation.map_or(bytes.clone(), |mutation| mutation.apply(&bytes, &sent)))
                }
                Move::Wait(span) => {
                    lab.now = lab.now.after(span);
                    let _ = device.handle_timeout(lab.now);
                    let _ = operator.handle_timeout(lab.now);
                    sent.extend(from_device(&mut device).sent);
                    sent.extend(lab.serve(&mut operator).sent);
                    prop_assert_eq!(lab.fingerprint(), before);
                    continue;
                }
                Move::Restart => {
                    lab.power_cut();
                    match lab.start() {
                        Ok(started) => device = started,
                        Err(error) => {
                            prop_assert!(matches!((error, lab.held()), (Error::Misuse(_), Some((_, true)))));
                            prop_assert_eq!(lab.fingerprint(), before);
                        }
                    }
                    sent.extend(from_device(&mut device).sent);
                    continue;
                }
                Move::NewOperator => {
                    operator = lab.operator();
                    continue;
                }
            };
            if to_device {
                let held = lab.held();
                let outcome = lab.tell_device(&mut device, &bytes);
                let out = from_device(&mut device);
                if outcome.is_err() {
                    prop_assert_eq!(lab.fingerprint(), before);
                    prop_assert!(out.installed.is_empty());
                }
                // What is confirmed stays; what is installed is replaced by nothing.
                if let Some((held, confirmed)) = held {
                    let (now, still) = lab.held().unwrap();
                    prop_assert_eq!(now, held);
                    prop_assert!(still || !confirmed);
                }
                sent.extend(out.sent);
            } else {
                let entries = lab.logged().len();
                let outcome = lab.tell_operator(&mut operator, &bytes);
                if outcome.is_err() {
                    prop_assert_eq!(lab.logged().len(), entries);
                }
                sent.extend(lab.serve(&mut operator).sent);
            }
        }
        let end = lab.run_if_open();
        prop_assert!(end.is_ok(), "{end:?}");
        lab.assert_complete();
        prop_assert!(lab.home.subscribers().count() == 1, "one transaction, one subscription");
    }
}
