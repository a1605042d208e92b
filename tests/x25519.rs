//! EDHOC suite 0 (X25519, EdDSA) over the public API, on every backend: beside the published trace in `src/edhoc/trace.rs`.
#![cfg(all(feature = "x25519", feature = "sim"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use remote_provisioning::{
    crypto::{Crypto, KeyKind, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Method, OwnCredential, Session, Stopped, Suite, initiator, responder},
    error::{Error, Misbehaved, Untrusted},
    identity::{Domain, Role},
    sim::SeededRng,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, MemoryAnchors, Pinned, verify},
    wire::{Writer, encode_with},
};

const KEY: KeyId = KeyId(1);
const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

fn backends() -> Vec<&'static dyn Crypto> {
    vec![
        &RustCrypto,
        #[cfg(feature = "aws-lc-rs")]
        &remote_provisioning::crypto::aws_lc::AwsLc,
    ]
}

/// COSE's number of the curve (RFC 9053 §7.1).
fn curve(kind: KeyKind) -> u64 {
    if kind == KeyKind::X25519 { 4 } else { 6 }
}

/// { 2: name, 8: { 1: { 1: 1, 2: kid, -1: curve, -2: x } } }
fn ccs(name: &str, kid: u8, curve: u64, x: &[u8]) -> Vec<u8> {
    let key = |w: &mut Writer<'_>| {
        w.map(4);
        w.integer(1);
        w.unsigned(1);
        w.integer(2);
        w.bytes(&[kid]);
        w.integer(-1);
        w.unsigned(curve);
        w.integer(-2);
        w.bytes(x);
    };
    encode_with(|w| {
        w.map(2);
        w.integer(2);
        w.text(name);
        w.integer(8);
        w.map(1);
        w.integer(1);
        key(w);
    })
}

struct Party {
    own: OwnCredential,
    keys: MemoryKeyStore,
    ccs: Vec<u8>,
    role: Role,
}

impl Party {
    fn new(role: Role, kind: KeyKind) -> Self {
        let (name, seed) = if role == Role::Device { ("device", 1) } else { ("operator", 2) };
        let mut keys = MemoryKeyStore::new();
        keys.insert_kind(KEY, kind, &[seed; 32]).unwrap();
        let ccs = ccs(name, seed, curve(kind), keys.public_key(KEY).unwrap().bytes());
        let own =
            OwnCredential::pinned(KEY, &Pinned::from_ccs(&ccs, role, Domain::Test, &RustCrypto).unwrap()).unwrap();
        Self { own, keys, ccs, role }
    }

    /// What the other side makes of it.
    fn believed(&self, claimed: &CredentialId<'_>) -> Candidates {
        let mut anchors = MemoryAnchors::new();
        anchors.add_pinned(Pinned::from_ccs(&self.ccs, self.role, Domain::Test, &RustCrypto).unwrap()).unwrap();
        verify(claimed, self.role, Domain::Test, &anchors, &RustCrypto, None).unwrap()
    }
}

fn why<S>(stopped: Stopped<S>) -> Error {
    stopped.error()
}

fn handshake(method: Method, device: &Party, operator: &Party, crypto: &dyn Crypto) -> Result<[Session; 2], Error> {
    let (c_i, c_r) = (ConnectionId::new(&[1]).unwrap(), ConnectionId::new(&[2]).unwrap());
    let proposal = initiator::Proposal { method, suites: &[Suite::X25519], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, crypto, &mut SeededRng::new(1)).unwrap();
    let read = responder::read(&message_1, &METHODS, &[Suite::X25519], crypto)?;
    let mut rng = SeededRng::new(2);
    let written = read.write(&c_r, &operator.own, &[], &operator.keys, crypto, &mut rng);
    let (sent_2, message_2) = written.map_err(why)?;
    let read = sent.read(&message_2, crypto).map_err(why)?;
    let peer = operator.believed(&read.claimed().unwrap());
    let accepted = read.accept(peer, &device.own, crypto).map_err(why)?;
    let (sent_3, message_3) = accepted.write(&device.own, &[], &device.keys, crypto).map_err(why)?;
    let read = sent_2.read(&message_3, crypto).map_err(why)?;
    let peer = device.believed(&read.claimed().unwrap());
    let accepted = read.accept(peer, &operator.own, crypto).map_err(why)?;
    let (operator_session, message_4) = accepted.write(&[], crypto).map_err(why)?;
    let device_session = sent_3.read(&message_4, crypto).map_err(why)?.complete()?;
    Ok([device_session, operator_session])
}

/// The kind of key that each side needs.
fn kinds(method: Method) -> [KeyKind; 2] {
    let kind = |signs| if signs { KeyKind::Ed25519 } else { KeyKind::X25519 };
    match method {
        Method::SignSign => [kind(true), kind(true)],
        Method::SignStatic => [kind(true), kind(false)],
        Method::StaticSign => [kind(false), kind(true)],
        Method::StaticStatic => [kind(false), kind(false)],
    }
}

#[test]
fn every_method_runs_in_suite_0() {
    for crypto in backends() {
        for method in METHODS {
            let [device, operator] = kinds(method);
            let (device, operator) = (Party::new(Role::Device, device), Party::new(Role::Operator, operator));
            let sessions = handshake(method, &device, &operator, crypto).unwrap();
            let exported = sessions.map(|session| {
                assert_eq!(session.suite(), Suite::X25519);
                let mut out = [0; 32];
                session.export(0, b"", &mut out, crypto).unwrap();
                out
            });
            assert_eq!(exported[0], exported[1], "{method:?}");
        }
    }
}

#[test]
fn a_key_of_the_wrong_kind_proves_nothing() {
    let other = |kind| if kind == KeyKind::X25519 { KeyKind::Ed25519 } else { KeyKind::X25519 };
    for crypto in backends() {
        for method in METHODS {
            let [device, operator] = kinds(method);
            let good = [Party::new(Role::Device, device), Party::new(Role::Operator, operator)];
            let bad = [Party::new(Role::Device, other(device)), Party::new(Role::Operator, other(operator))];
            for (device, operator) in [(&bad[0], &good[1]), (&good[0], &bad[1])] {
                // Its own store refuses, or the other side does.
                let error = handshake(method, device, operator, crypto).err().unwrap();
                let refused = matches!(error, Error::Untrusted(Untrusted::WrongCredential) | Error::Backend(_));
                assert!(refused, "{method:?}: {error}");
            }
        }
    }
}

/// A key of the suite's group that may do everything, but is of the kind for the other thing: not even tried.
#[test]
fn the_kind_is_looked_at_before_the_proof() {
    for crypto in backends() {
        for method in METHODS {
            let [device, operator] = kinds(method);
            let device = Party::new(Role::Device, device);
            let real = Party::new(Role::Operator, operator);
            let other = if operator == KeyKind::X25519 { KeyKind::Ed25519 } else { KeyKind::X25519 };
            let shown = Party::new(Role::Operator, other);
            // The other side believes another key under the same kid.
            let believed = Party { own: real.own, keys: real.keys, ccs: shown.ccs, role: Role::Operator };
            let error = handshake(method, &device, &believed, crypto).err();
            assert_eq!(error, Some(Untrusted::WrongCredential.into()), "{method:?}");
        }
    }
}

#[test]
fn points_of_low_order_are_no_keys() {
    for crypto in backends() {
        for low in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let message_1 = [&[0x00, 0x00, 0x58, 0x20][..], &low, &[0x01]].concat();
            let operator = Party::new(Role::Operator, KeyKind::Ed25519);
            let read = responder::read(&message_1, &METHODS, &[Suite::X25519], crypto).unwrap();
            let c_r = ConnectionId::new(&[2]).unwrap();
            let written = read.write(&c_r, &operator.own, &[], &operator.keys, crypto, &mut SeededRng::new(2));
            assert_eq!(written.err().map(why), Some(Misbehaved::InvalidPoint.into()));
            assert!(Pinned::from_ccs(&ccs("x", 1, 4, &low), Role::Device, Domain::Test, crypto).is_err());
        }
    }
}

/// y has one encoding. Where its first and its last byte are those of the prime, it is the others that keep it below.
#[test]
fn a_key_whose_encoding_looks_like_the_primes_is_read() {
    let mut keys = MemoryKeyStore::new();
    let mut found = None;
    for seed in 0_u32.. {
        let private: [u8; 32] = [seed.to_be_bytes(); 8].concat().try_into().unwrap();
        keys.insert_kind(KEY, KeyKind::Ed25519, &private).unwrap();
        let public = keys.public_key(KEY).unwrap();
        let [first, .., last] = public.bytes() else { break };
        if *first >= 0xed && last & 0x7f == 0x7f {
            found = Some(public);
            break;
        }
    }
    let public = found.unwrap();
    for crypto in backends() {
        assert_eq!(crypto.read_key(KeyKind::Ed25519, public.bytes()), Ok(public));
    }
    let mut prime = [0xff; 32];
    let [first, .., last] = &mut prime;
    (*first, *last) = (0xed, 0x7f);
    for crypto in backends() {
        assert_eq!(crypto.read_key(KeyKind::Ed25519, &prime), Err(Misbehaved::InvalidPoint));
    }
}
