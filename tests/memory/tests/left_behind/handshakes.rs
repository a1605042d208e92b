//! EDHOC alone, step by step: every method and suite, and what a session gives; and the steps that fail.

use remote_provisioning::{
    crypto::{KeyKind, Secret, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, EadItem, Method, OwnCredential, Seal, Session, Suite, initiator, responder},
    error::{Error, Misbehaved},
    identity::{Domain, Role},
    sim::{SeededRng, TODAY},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Date, MemoryAnchors, Pinned, verify},
    wire::encode_with,
};
use remote_provisioning_memory::heap::unwatched;

use crate::{
    bench::{self, call, examined, secret},
    errors,
};

const KEY: KeyId = KeyId(3);
const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

struct Party {
    own: OwnCredential,
    keys: MemoryKeyStore,
    ccs: Vec<u8>,
    role: Role,
}

/// A raw key of this kind, known by its kid.
fn party(role: Role, kind: KeyKind, number: u8) -> Party {
    let private: [u8; 32] = core::array::from_fn(|at| number.wrapping_mul(37) ^ (at as u8).wrapping_mul(0x53) ^ 0x2a);
    secret("static key", &private);
    let mut keys = MemoryKeyStore::new();
    call(|| keys.insert_kind(KEY, kind, &private)).unwrap();
    let key = call(|| keys.public_key(KEY)).unwrap();
    let ccs = encode_with(|w| {
        w.map(2);
        w.integer(2);
        w.text(if role == Role::Device { "device" } else { "operator" });
        w.integer(8);
        w.map(1);
        w.integer(1);
        w.map(if kind == KeyKind::P256 { 5 } else { 4 });
        w.integer(1);
        w.unsigned(if kind == KeyKind::P256 { 2 } else { 1 });
        w.integer(2);
        w.bytes(&[number]);
        w.integer(-1);
        w.unsigned(match kind {
            KeyKind::P256 => 1,
            KeyKind::X25519 => 4,
            KeyKind::Ed25519 => 6,
        });
        w.integer(-2);
        w.bytes(if kind == KeyKind::P256 { key.x() } else { key.bytes() });
        if kind == KeyKind::P256 {
            w.integer(-3);
            w.bytes(key.y());
        }
    });
    let own = OwnCredential::pinned(KEY, &Pinned::from_ccs(&ccs, role, Domain::Test, &RustCrypto).unwrap()).unwrap();
    Party { own, keys, ccs, role }
}

/// Trusts this one, as whatever role it is met in.
fn trusting(peer: &Party) -> MemoryAnchors {
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(Pinned::from_ccs(&peer.ccs, peer.role, Domain::Test, &RustCrypto).unwrap()).unwrap();
    anchors
}

/// What is not as it should be.
#[derive(Default)]
struct Odd {
    c_r: Option<&'static [u8]>,
    ead_2: bool,
    ead_3: bool,
    /// G_X comes back as G_Y.
    reflected: bool,
    refuse_method: bool,
}

fn handshake(
    method: Method,
    suite: Suite,
    crypto: bench::Crypto,
    [device, operator]: &[Party; 2],
    odd: &Odd,
) -> Result<[Session; 2], Error> {
    let (c_i, c_r) = (ConnectionId::new(&[1])?, ConnectionId::new(odd.c_r.unwrap_or(&[2]))?);
    let (mut rng, mut other) = (SeededRng::new(1), SeededRng::new(2));
    let (anchors_d, anchors_o) = (trusting(operator), trusting(device));
    let critical = [EadItem { label: 4711, critical: true, value: None }];
    let ead = |odd: bool| if odd { &critical[..] } else { &[] };

    let proposal = initiator::Proposal { method, suites: &[suite], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = call(|| initiator::start(&proposal, crypto, &mut rng))?;
    let methods = if odd.refuse_method { &METHODS[..1] } else { &METHODS[..] };
    let read = call(|| responder::read(&message_1, methods, &[suite], crypto))?;
    let write = || read.write(&c_r, &operator.own, &ead(odd.ead_2), &operator.keys, crypto, &mut other);
    let (sent_2, mut message_2) = call(write)?;
    if odd.reflected {
        // message_1 = METHOD, SUITES_I, G_X …; message_2 = G_Y and a ciphertext in one string.
        let g_x = message_1.windows(2).position(|head| head == [0x58, 0x20]).unwrap() + 2;
        message_2[2..34].copy_from_slice(&message_1[g_x..g_x + 32]);
    }
    let read = call(|| sent.read(&message_2, crypto))?;
    let claimed = call(|| verify(&read.claimed()?, operator.role, Domain::Test, &anchors_d, crypto, None))?;
    let accepted = call(|| read.accept(claimed, &device.own, crypto))?;
    let (sent_3, message_3) = call(|| accepted.write(&device.own, &ead(odd.ead_3), &device.keys, crypto))?;
    let read = call(|| sent_2.read(&message_3, crypto))?;
    let claimed = call(|| verify(&read.claimed()?, device.role, Domain::Test, &anchors_o, crypto, None))?;
    let accepted = call(|| read.accept(claimed, &operator.own, crypto))?;
    let (at_operator, message_4) = call(|| accepted.write(&[], crypto))?;
    let read = call(|| sent_3.read(&message_4, crypto))?;
    Ok([call(|| read.complete())?, at_operator])
}

/// All that a session gives out.
fn used(mut sessions: [Session; 2], crypto: bench::Crypto) {
    for session in &mut sessions {
        let mut exported = Secret::<32>::zeroed();
        call(|| session.export(32_768, b"context", exported.bytes_mut(), crypto)).unwrap();
        secret("exported", exported.bytes());
        let oscore = call(|| session.oscore(crypto)).unwrap();
        secret("OSCORE's master secret", oscore.master_secret.bytes());
        let eap = call(|| session.eap_keys(crypto)).unwrap();
        secret("MSK", eap.msk().bytes());
        secret("EMSK", eap.emsk().bytes());
        for k_ausf in [call(|| eap.k_ausf()).unwrap(), call(|| eap.k_ausf_from_msk()).unwrap()] {
            secret("K_AUSF", k_ausf.secret().bytes());
        }
        call(|| session.update(b"context", crypto)).unwrap();
        call(|| session.export(32_768, b"context", exported.bytes_mut(), crypto)).unwrap();
        secret("exported after an update", exported.bytes());
        let mut too_much = unwatched(|| vec![0; 9_000]);
        errors::met_as(call(|| session.export(1, b"", &mut too_much, crypto)).unwrap_err());

        let (key, expires) = (Secret::from_slice(&core::array::from_fn::<_, 32, _>(|at| at as u8)).unwrap(), TODAY);
        secret("token key", key.bytes());
        let seal = Seal { key: &key, expires };
        let token = call(|| session.seal(&seal, crypto, &mut SeededRng::new(9))).unwrap();
        let open = |today| call(|| Session::open(&token, &key, today, crypto));
        open(Date(TODAY.0 - 1)).unwrap().first_use(true).unwrap();
        errors::met(&open(TODAY).map(|_| ()).unwrap_err());
    }
}

pub(crate) fn handshakes() {
    let parties = || [party(Role::Device, KeyKind::P256, 1), party(Role::Operator, KeyKind::P256, 2)];
    for suite in [Suite::GCM, Suite::CCM_16, Suite::CCM_8] {
        for method in METHODS {
            examined(&format!("EDHOC, {method:?}, suite {suite:?}"), |crypto| {
                let parties = parties();
                used(handshake(method, suite, crypto, &parties, &Odd::default()).unwrap(), crypto);
            });
        }
    }
    for (method, device, operator) in [
        (Method::SignSign, KeyKind::Ed25519, KeyKind::Ed25519),
        (Method::SignStatic, KeyKind::Ed25519, KeyKind::X25519),
        (Method::StaticSign, KeyKind::X25519, KeyKind::Ed25519),
        (Method::StaticStatic, KeyKind::X25519, KeyKind::X25519),
    ] {
        examined(&format!("EDHOC, {method:?}, suite 0"), |crypto| {
            let parties = [party(Role::Device, device, 1), party(Role::Operator, operator, 2)];
            used(handshake(method, Suite::X25519, crypto, &parties, &Odd::default()).unwrap(), crypto);
        });
    }
    let refused: [(Odd, Error); 6] = [
        (Odd { c_r: Some(&[1]), ..Odd::default() }, Misbehaved::SameConnectionId.into()),
        (Odd { reflected: true, ..Odd::default() }, Misbehaved::Reflection.into()),
        (Odd { ead_2: true, ..Odd::default() }, Misbehaved::CriticalEad.into()),
        (Odd { ead_3: true, ..Odd::default() }, Misbehaved::CriticalEad.into()),
        (Odd { refuse_method: true, ..Odd::default() }, Misbehaved::UnsupportedMethod.into()),
        (Odd { c_r: Some(&[1; 2]), ead_3: true, ..Odd::default() }, Misbehaved::CriticalEad.into()),
    ];
    for (number, (odd, error)) in refused.into_iter().enumerate() {
        examined(&format!("EDHOC, refused {number}"), |crypto| {
            let parties = parties();
            let refused = handshake(Method::StaticStatic, Suite::GCM, crypto, &parties, &odd).unwrap_err();
            assert_eq!(refused, error);
            errors::met(&refused);
        });
    }
    examined("EDHOC, with a mirror", |crypto| {
        let mut parties = parties();
        parties[1] = party(Role::Device, KeyKind::P256, 1);
        let refused = handshake(Method::SignSign, Suite::GCM, crypto, &parties, &Odd::default()).unwrap_err();
        assert_eq!(refused, Misbehaved::OwnCredential.into());
        errors::met(&refused);
    });
    examined("EDHOC, with a key that cannot sign", |crypto| {
        let mut parties = [party(Role::Device, KeyKind::Ed25519, 1), party(Role::Operator, KeyKind::X25519, 2)];
        // It signs with another key than the one that it is known by.
        parties[1].keys = party(Role::Operator, KeyKind::Ed25519, 3).keys;
        errors::met(&handshake(Method::SignSign, Suite::X25519, crypto, &parties, &Odd::default()).unwrap_err());
    });
}
