//! Who is believed and what is repeated in a handshake: rules of RFC 9528 that need more than one key, one message or one try.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::cell::Cell;

use remote_provisioning::{
    cose::sign1::to_be_signed,
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, Signature,
        rustcrypto::RustCrypto,
    },
    edhoc::{
        ConnectionId, EadItem, Method, OwnCredential, PeerError, Session, Stopped, Suite,
        initiator::{self, propose_again},
        read_error, responder,
    },
    error::{self, Backend, Error, Malformed, Misbehaved, Misuse, Refused, Untrusted},
    identity::{Domain, Role},
    sim::SeededRng,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, Date, Issuer, MAX_CANDIDATES, MemoryAnchors, Pinned, learn, verify},
    wire::encode_with,
};

const KEY: KeyId = KeyId(1);
const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

// ------------------------------------------------------------------------------------------------------- credentials

fn keys(seed: u8) -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, &[seed; 32]).unwrap();
    keys
}

/// What is in a CCS besides the key.
#[derive(Clone, Copy)]
struct Claims<'a> {
    name: &'a str,
    seed: u8,
    kid: Option<&'a [u8]>,
    expires: Option<u64>,
}

impl<'a> Claims<'a> {
    const fn new(name: &'a str, seed: u8) -> Self {
        Self { name, seed, kid: Some(b"k"), expires: None }
    }

    /// { 2: name, ? 4: exp, 8: { 1: { 1: 2, ? 2: kid, -1: 1, -2: x, -3: y } } }
    fn ccs(self) -> Vec<u8> {
        let public = keys(self.seed).public_key(KEY).unwrap();
        encode_with(|w| {
            w.map(if self.expires.is_some() { 3 } else { 2 });
            w.unsigned(2);
            w.text(self.name);
            if let Some(expires) = self.expires {
                w.unsigned(4);
                w.unsigned(expires);
            }
            w.unsigned(8);
            w.map(1);
            w.unsigned(1);
            w.map(if self.kid.is_some() { 5 } else { 4 });
            w.unsigned(1);
            w.unsigned(2);
            if let Some(kid) = self.kid {
                w.unsigned(2);
                w.bytes(kid);
            }
            w.integer(-1);
            w.unsigned(1);
            w.integer(-2);
            w.bytes(public.x());
            w.integer(-3);
            w.bytes(public.y());
        })
    }

    fn pinned(self, role: Role) -> Pinned {
        Pinned::from_ccs(&self.ccs(), role, Domain::Test, &RustCrypto).unwrap()
    }
}

/// [ << { 1: alg, ? 4: kid } >>, unprotected, << claims >>, signature ]
struct Cwt<'a> {
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    claims: &'a [u8],
}

impl<'a> Cwt<'a> {
    fn new(claims: &'a [u8]) -> Self {
        Self { protected: vec![0xa1, 0x01, 0x26], unprotected: vec![0xa0], claims }
    }

    fn signed(&self, seed: u8) -> Vec<u8> {
        let signature = keys(seed).sign(KEY, &to_be_signed(&self.protected, &[], self.claims)).unwrap();
        encode_with(|w| {
            w.array(4);
            w.bytes(&self.protected);
            w.encoded(&self.unprotected);
            w.bytes(self.claims);
            w.bytes(&signature);
        })
    }
}

// ---------------------------------------------------------------------------------------------------------- handshake

struct Party {
    own: OwnCredential,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
}

/// A device with key 1 and an operator with key 2, who know each other.
fn parties() -> [Party; 2] {
    let (device, operator) =
        (Claims::new("device", 1).pinned(Role::Device), Claims::new("operator", 2).pinned(Role::Operator));
    let party = |own: &Pinned, seed, other: &Pinned| {
        let mut anchors = MemoryAnchors::new();
        anchors.add_pinned(other.clone()).unwrap();
        Party { own: OwnCredential::pinned(KEY, own).unwrap(), keys: keys(seed), anchors }
    };
    [party(&device, 1, &operator), party(&operator, 2, &device)]
}

fn of<S>(stopped: Stopped<S>) -> Error {
    stopped.error()
}

fn handshake(method: Method, device: &Party, operator: &Party, date: Option<Date>) -> Result<[Session; 2], Error> {
    let believe = |claimed: &CredentialId<'_>, role, party: &Party| {
        verify(claimed, role, Domain::Test, &party.anchors, &RustCrypto, date)
    };
    let (c_i, c_r) = (ConnectionId::new(&[1]).unwrap(), ConnectionId::new(&[2]).unwrap());
    let proposal = initiator::Proposal { method, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1))?;
    let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto)?;
    let mut rng = SeededRng::new(2);
    let (sent_2, message_2) =
        read.write(&c_r, &operator.own, &[], &operator.keys, &RustCrypto, &mut rng).map_err(of)?;
    let read = sent.read(&message_2, &RustCrypto).map_err(of)?;
    let peer = believe(&read.claimed()?, Role::Operator, device)?;
    let accepted = read.accept(peer, &device.own, &RustCrypto).map_err(of)?;
    let (sent_3, message_3) = accepted.write(&device.own, &[], &device.keys, &RustCrypto).map_err(of)?;
    let read = sent_2.read(&message_3, &RustCrypto).map_err(of)?;
    let peer = believe(&read.claimed()?, Role::Device, operator)?;
    let accepted = read.accept(peer, &operator.own, &RustCrypto).map_err(of)?;
    let (operator, message_4) = accepted.write(&[], &RustCrypto).map_err(of)?;
    Ok([sent_3.read(&message_4, &RustCrypto).map_err(of)?.complete()?, operator])
}

fn end(method: Method, device: &Party, operator: &Party) -> Option<Error> {
    handshake(method, device, operator, Some(Date(1_000))).err()
}

// ------------------------------------------------------------------------------------------------- kid (RFC 9528 §3.5.3)

#[test]
fn a_kid_that_means_several_keys_is_tried_with_each() {
    for method in METHODS {
        for place in 0..MAX_CANDIDATES {
            let [device, mut operator] = parties();
            operator.anchors = MemoryAnchors::new();
            for number in 0..MAX_CANDIDATES {
                let (name, seed) =
                    if number == place { ("device", 1) } else { ("another", 10 + u8::try_from(number).unwrap()) };
                operator.anchors.add_pinned(Claims::new(name, seed).pinned(Role::Device)).unwrap();
            }
            let [_, session] = handshake(method, &device, &operator, None).unwrap();
            assert_eq!(session.peer().name().as_str(), "device", "{method:?}, in place {place}");

            // None of them is the one.
            let [mut stranger, _] = parties();
            let own = Claims::new("device", 77).pinned(Role::Device);
            (stranger.own, stranger.keys) = (OwnCredential::pinned(KEY, &own).unwrap(), keys(77));
            assert_eq!(end(method, &stranger, &operator), Some(Untrusted::Authentication.into()), "{method:?}");
        }
    }
}

#[test]
fn one_kid_has_four_keys_at_most() {
    let mut anchors = MemoryAnchors::new();
    for seed in 10..14 {
        anchors.add_pinned(Claims::new("another", seed).pinned(Role::Device)).unwrap();
    }
    let fifth = anchors.add_pinned(Claims::new("another", 14).pinned(Role::Device));
    assert!(matches!(fifth, Err(Misuse::Parameter(_))));
    let again = anchors.add_pinned(Claims::new("another", 13).pinned(Role::Device));
    assert!(matches!(again, Err(Misuse::Parameter(_))));
    // Elsewhere it is free.
    anchors.add_pinned(Claims::new("another", 15).pinned(Role::Operator)).unwrap();
    let without = Claims { kid: None, ..Claims::new("another", 16) };
    anchors.add_pinned(without.pinned(Role::Device)).unwrap();
}

#[test]
fn an_expired_key_does_not_stand_in_the_way_of_another_with_its_kid() {
    let expired = |seed| Claims { expires: Some(999), ..Claims::new("device", seed) };
    let [device, mut operator] = parties();
    operator.anchors = MemoryAnchors::new();
    operator.anchors.add_pinned(expired(10).pinned(Role::Device)).unwrap();
    assert_eq!(end(Method::SignSign, &device, &operator), Some(Untrusted::Expired.into()), "alone");
    operator.anchors.add_pinned(Claims::new("device", 1).pinned(Role::Device)).unwrap();
    assert_eq!(end(Method::SignSign, &device, &operator), None, "beside the good one");
}

#[test]
fn a_kid_of_ours_that_means_ourselves_is_a_selfie_still() {
    let [device, mut operator] = parties();
    operator.own = OwnCredential::pinned(KEY, &Claims::new("device", 1).pinned(Role::Operator)).unwrap();
    assert_eq!(end(Method::StaticStatic, &device, &operator), Some(Untrusted::Authentication.into()));
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(Claims::new("device", 1).pinned(Role::Operator)).unwrap();
    let device = Party { anchors, ..device };
    operator.keys = keys(1);
    assert_eq!(end(Method::StaticStatic, &device, &operator), Some(Misbehaved::OwnCredential.into()));
}

// --------------------------------------------------------------------------------------------------- CCS by value (kccs)

#[test]
fn a_ccs_by_value_is_believed_if_it_is_pinned_byte_for_byte() {
    for kid in [Some(&b"k"[..]), None] {
        let claims = Claims { kid, ..Claims::new("device", 1) };
        for method in METHODS {
            let [mut device, mut operator] = parties();
            device.own = OwnCredential::ccs(KEY, &claims.pinned(Role::Device));
            operator.anchors = MemoryAnchors::new();
            assert_eq!(end(method, &device, &operator), Some(Untrusted::NoAnchor.into()), "nobody is pinned");

            // The same key under another name; the same name and kid with another key; the same for the other side.
            operator.anchors.add_pinned(Claims { name: "devica", ..claims }.pinned(Role::Device)).unwrap();
            operator.anchors.add_pinned(Claims { seed: 9, ..claims }.pinned(Role::Device)).unwrap();
            assert_eq!(end(method, &device, &operator), Some(Untrusted::NoAnchor.into()), "others are pinned");
            operator.anchors.add_pinned(claims.pinned(Role::Device)).unwrap();
            assert_eq!(end(method, &device, &operator), None, "{method:?}");
        }
    }
}

#[test]
fn a_ccs_of_another_role_domain_or_time_is_not_believed() {
    let claims = Claims { expires: Some(500), ..Claims::new("device", 1) };
    let ccs = claims.ccs();
    let claimed = CredentialId::Ccs(&ccs);
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(claims.pinned(Role::Device)).unwrap();
    let outcome = |role, domain, date: u64| {
        verify(&claimed, role, domain, &anchors, &RustCrypto, Some(Date(date))).map(|_| ()).err()
    };
    assert_eq!(outcome(Role::Device, Domain::Test, 499), None);
    assert_eq!(outcome(Role::Device, Domain::Test, 500), Some(Untrusted::Expired.into()));
    assert_eq!(outcome(Role::Operator, Domain::Test, 499), Some(Untrusted::NoAnchor.into()));
    assert_eq!(outcome(Role::Device, Domain::Production, 499), Some(Untrusted::NoAnchor.into()));
}

#[test]
fn nobody_is_learned_unless_the_caller_says_so() {
    let ccs = Claims::new("stranger", 5).ccs();
    let claimed = CredentialId::Ccs(&ccs);
    let unknown = verify(&claimed, Role::Device, Domain::Test, &MemoryAnchors::new(), &RustCrypto, None);
    assert_eq!(unknown.map(|_| ()), Err(Untrusted::NoAnchor.into()));
    let learned = learn(&claimed, Role::Device, Domain::Test, &RustCrypto).unwrap();
    assert_eq!((learned.name().as_str(), learned.credential()), ("stranger", ccs.as_slice()));

    // And then it is known like any other.
    let [mut device, mut operator] = parties();
    let pinned = Pinned::from_ccs(learned.credential(), Role::Device, Domain::Test, &RustCrypto).unwrap();
    (device.own, device.keys) = (OwnCredential::ccs(KEY, &pinned), keys(5));
    operator.anchors = MemoryAnchors::new();
    operator.anchors.add_pinned(pinned).unwrap();
    assert_eq!(end(Method::SignSign, &device, &operator), None);

    for reference in [CredentialId::Kid(b"k"), CredentialId::Cwt(&[0x80])] {
        let learned = learn(&reference, Role::Device, Domain::Test, &RustCrypto);
        assert_eq!(learned.map(|_| ()), Err(Untrusted::WrongCredential.into()));
    }
}

// --------------------------------------------------------------------------------------------------- CWT by value (kcwt)

fn issuer(seed: u8, kid: Option<&[u8]>, role: Role) -> Issuer {
    Issuer::from_ccs(&Claims { kid, ..Claims::new("issuer", seed) }.ccs(), role, Domain::Test, &RustCrypto).unwrap()
}

#[test]
fn a_cwt_is_believed_if_an_issuer_signed_it() {
    let claims = Claims::new("device", 1).ccs();
    let cwt = Cwt::new(&claims).signed(20);
    for method in METHODS {
        let [mut device, mut operator] = parties();
        device.own = OwnCredential::cwt(KEY, &cwt).unwrap();
        operator.anchors = MemoryAnchors::new();
        assert_eq!(end(method, &device, &operator), Some(Untrusted::NoAnchor.into()), "no issuer");
        operator.anchors.add_issuer(issuer(21, None, Role::Device)).unwrap();
        assert_eq!(end(method, &device, &operator), Some(Untrusted::Authentication.into()), "another issuer");
        operator.anchors.add_issuer(issuer(20, None, Role::Device)).unwrap();
        let [_, session] = handshake(method, &device, &operator, None).unwrap();
        assert_eq!(session.peer().name().as_str(), "device");
        assert_eq!(session.peer().credential(), cwt);
        assert_eq!(session.peer().anchor(), Some(&issuer(20, None, Role::Device).id(&RustCrypto)), "who vouches");

        // Whoever has the CWT and not the key is nobody.
        device.keys = keys(3);
        assert_eq!(end(method, &device, &operator), Some(Untrusted::Authentication.into()));
    }
}

#[test]
fn a_cwt_is_held_against_issuer_role_domain_and_time() {
    let claims = Claims { expires: Some(500), ..Claims::new("device", 1) }.ccs();
    let with_kid = |protected: &[u8], unprotected: &[u8]| {
        Cwt { protected: protected.to_vec(), unprotected: unprotected.to_vec(), claims: &claims }.signed(20)
    };
    let mut anchors = MemoryAnchors::new();
    anchors.add_issuer(issuer(20, Some(b"i"), Role::Device)).unwrap();
    assert!(matches!(anchors.add_issuer(issuer(20, Some(b"i"), Role::Operator)), Err(Misuse::Parameter(_))));
    let outcome = |cwt: &[u8], role, domain, date| {
        verify(&CredentialId::Cwt(cwt), role, domain, &anchors, &RustCrypto, Some(Date(date))).map(|_| ()).err()
    };
    let good = |cwt: &[u8]| outcome(cwt, Role::Device, Domain::Test, 499);

    let plain = Cwt::new(&claims).signed(20);
    assert_eq!(good(&plain), None, "no kid: every issuer is tried");
    assert_eq!(outcome(&plain, Role::Device, Domain::Test, 500), Some(Untrusted::Expired.into()));
    assert_eq!(outcome(&plain, Role::Operator, Domain::Test, 499), Some(Untrusted::NoAnchor.into()));
    assert_eq!(outcome(&plain, Role::Device, Domain::Production, 499), Some(Untrusted::NoAnchor.into()));

    assert_eq!(good(&with_kid(b"\xa1\x01\x26", b"\xa1\x04\x41i")), None);
    assert_eq!(good(&with_kid(b"\xa2\x01\x26\x04\x41i", b"\xa0")), None);
    assert_eq!(good(&with_kid(b"\xa1\x01\x26", b"\xa1\x04\x41j")), Some(Untrusted::NoAnchor.into()), "another kid");
    let malformed = Some(Error::Malformed(Malformed::OutOfRange));
    assert_eq!(good(&with_kid(b"\xa2\x01\x26\x04\x41i", b"\xa1\x04\x41i")), malformed, "a kid in both headers");
    assert_eq!(good(&with_kid(b"\xa0", b"\xa0")), malformed, "no algorithm");
    assert_eq!(good(&with_kid(b"\xa0", b"\xa1\x01\x26")), malformed, "an algorithm that nobody signed");
    assert_eq!(good(&with_kid(b"\xa1\x01\x27", b"\xa0")), malformed, "EdDSA");
    assert_eq!(good(&with_kid(b"\xa2\x01\x26\x02\x81\x04", b"\xa0")), malformed, "crit");
    assert_eq!(good(&with_kid(b"\xa1\x01\x26", b"\xa1\x02\x81\x04")), malformed, "crit");

    for at in 0..plain.len() {
        let mut altered = plain.clone();
        altered[at] ^= 1;
        assert!(good(&altered).is_some(), "byte {at}");
    }
    let without_key = b"\xa1\x02\x66device";
    assert_eq!(good(&Cwt::new(without_key).signed(20)), Some(Malformed::MissingKey.into()));
}

// ------------------------------------------------------------------------------------------------- suites (RFC 9528 §6.3)

#[test]
fn the_next_proposal_is_the_first_suite_that_both_run() {
    let ours = [Suite::GCM, Suite::CCM_16, Suite::CCM_8];
    // RFC 9528 §6.3.2, in the shape of both examples and of note 1.
    assert_eq!(propose_again(&ours, &ours[..1], &[Suite::CCM_16]), Some(&ours[..2]));
    assert_eq!(propose_again(&ours, &ours[..2], &[Suite::CCM_8]), Some(&ours[..3]));
    assert_eq!(propose_again(&ours, &ours[..1], &[Suite::CCM_8, Suite::CCM_16]), Some(&ours[..2]), "in our order");
    assert_eq!(propose_again(&ours, &ours[..2], &[Suite::GCM]), Some(&ours[..1]), "a guess too far down");
    // Nothing in common; or what was refused a moment ago.
    assert_eq!(propose_again(&ours[..1], &ours[..1], &[Suite::CCM_8]), None);
    assert_eq!(propose_again(&ours, &ours[..1], &[]), None);
    assert_eq!(propose_again(&ours, &ours[..1], &[Suite::GCM]), None);
    assert_eq!(propose_again(&ours, &ours[..2], &[Suite::CCM_8, Suite::CCM_16]), None);
}

#[test]
fn what_the_peer_says_is_told() {
    let suites_r = |bytes: &[u8]| {
        let error = read_error(bytes).unwrap();
        assert_eq!((error.refused, error.diagnostic), (Refused::WrongSuite, None));
        error.suites_r.iter().map(|suite| suite.number).collect::<Vec<_>>()
    };
    assert_eq!(suites_r(b"\x02\x02"), [2]);
    assert_eq!(suites_r(b"\x02\x82\x02\x03"), [3, 2], "the order says nothing");
    assert_eq!(suites_r(b"\x02\x37"), [-24]);
    assert_eq!(suites_r(b"\x02\x05"), [0; 0], "none that we have");
    let many = [&[0x02, 0x98, 40][..], &[0x04; 38], &[0x02, 0x02]].concat();
    assert_eq!(suites_r(&many), [2], "as long as it likes");
    assert!(
        read_error(b"\x02\x81\x02").is_err()
            && read_error(b"\x02\x80").is_err()
            && read_error(b"\x02\x41\x02").is_err()
    );
    let PeerError { refused, suites_r, diagnostic } = read_error(b"\x01\x62no").unwrap();
    assert_eq!((refused, suites_r.len(), diagnostic), (Refused::Edhoc(1), 0, Some("no")));
    assert_eq!(read_error(b"\x00\xf6").unwrap().refused, Refused::Edhoc(0));
}

// ------------------------------------------------------------------------------------------------------- lengths (§9.8)

/// KEYSTREAM_2 has 255 hashes, 8,160 bytes; the longest message of this crate is shorter, so nothing gets that far.
#[test]
fn a_plaintext_2_beyond_the_keystream_is_neither_made_nor_read() {
    for len in [4_097, 8_160, 8_161, 20_000] {
        let [_, operator] = parties();
        let (c_i, c_r) = (ConnectionId::new(&[1]).unwrap(), ConnectionId::new(&[2]).unwrap());
        let proposal = initiator::Proposal { method: Method::SignSign, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
        let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap();
        let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
        let value = vec![0; len];
        let ead_2 = [EadItem { label: 7, critical: false, value: Some(&value) }];
        let mut rng = SeededRng::new(2);
        let written = read.write(&c_r, &operator.own, &ead_2, &operator.keys, &RustCrypto, &mut rng);
        assert!(matches!(written.err().map(of), Some(Error::Misuse(Misuse::Parameter(_)))), "{len}");

        let g_y = keys(2).public_key(KEY).unwrap().x().to_vec();
        let message_2 = encode_with(|w| w.bytes(&[g_y.as_slice(), &value].concat()));
        assert_eq!(sent.read(&message_2, &RustCrypto).err().map(of), Some(Malformed::TooLong.into()), "{len}");
    }
    let mut okm = vec![0; 8_161];
    assert_eq!(RustCrypto.hkdf_expand(&Secret::zeroed(), &[], &mut okm), Err(Backend::Crypto));
    assert!(RustCrypto.hkdf_expand(&Secret::zeroed(), &[], &mut okm[..8_160]).is_ok());
}

// -------------------------------------------------------------------------------------------------------- EAD (§3.8)

#[test]
fn padding_and_grease_change_nothing_unless_critical() {
    let [device, operator] = parties();
    let random = [0xa5; 40];
    // draft-ietf-lake-edhoc-grease, labels for this; and padding of every small length.
    let grease =
        [160, 41_120, 43_690, 44_975].map(|label| EadItem { label, critical: false, value: Some(&random[..3]) });
    let none = EadItem { label: 0, critical: false, value: None };
    let padding = [EadItem::padding(&random[..0]), EadItem::padding(&random), none, EadItem::padding(&random[..23])];
    for ead in [&grease[..], &padding] {
        for method in [Method::SignSign, Method::StaticStatic] {
            assert_eq!(with_ead(method, &device, &operator, ead), None, "{method:?}");
        }
    }
    for item in grease {
        let critical = [EadItem { critical: true, ..item }];
        assert_eq!(with_ead(Method::SignSign, &device, &operator, &critical), Some(Misbehaved::CriticalEad.into()));
    }
}

/// The same items on all four messages.
fn with_ead(method: Method, device: &Party, operator: &Party, ead: &[EadItem<'_>]) -> Option<Error> {
    let mut steps = Steps { device, operator, method, ead, crypto: &RustCrypto, keys: [&device.keys, &operator.keys] };
    steps.run(&mut SeededRng::new(1), &mut SeededRng::new(2)).err()
}

// --------------------------------------------------------------------------------------------------- steps that fail

/// A handshake that repeats every step whose failure was this side's own.
struct Steps<'a> {
    device: &'a Party,
    operator: &'a Party,
    method: Method,
    ead: &'a [EadItem<'a>],
    crypto: &'a dyn Crypto,
    keys: [&'a dyn KeyStore; 2],
}

fn repeat<S, T>(mut step: S, mut call: impl FnMut(S) -> Result<T, Stopped<S>>) -> Result<T, Error> {
    loop {
        match call(step) {
            Ok(next) => return Ok(next),
            Err(stopped) => {
                assert!(matches!(format!("{stopped:?}"), text if text.contains("Stopped")));
                step = stopped.again()?;
            }
        }
    }
}

impl Steps<'_> {
    fn run(&mut self, x: &mut dyn Rng, y: &mut dyn Rng) -> Result<[Session; 2], Error> {
        let Self { device, operator, method, ead, crypto, keys } = *self;
        let [device_keys, operator_keys] = keys;
        let believe = |claimed: &CredentialId<'_>, role, party: &Party| -> Result<Candidates, Error> {
            verify(claimed, role, Domain::Test, &party.anchors, &RustCrypto, None)
        };
        let (c_i, c_r) = (ConnectionId::new(&[1]).unwrap(), ConnectionId::new(&[2]).unwrap());
        let proposal = initiator::Proposal { method, suites: &[Suite::GCM], c_i: &c_i, ead_1: ead };
        let mut start = initiator::start(&proposal, crypto, x);
        while matches!(start, Err(Error::Backend(_))) {
            start = initiator::start(&proposal, crypto, x);
        }
        let (sent, message_1) = start?;
        let read = responder::read(&message_1, &METHODS, &Suite::ALL, crypto)?;
        let (sent_2, message_2) = repeat(read, |read| read.write(&c_r, &operator.own, ead, operator_keys, crypto, y))?;
        let read = repeat(sent, |sent| sent.read(&message_2, crypto))?;
        let peer = believe(&read.claimed()?, Role::Operator, device)?;
        let accepted = repeat(read, |read| read.accept(peer.clone(), &device.own, crypto))?;
        let (sent_3, message_3) = repeat(accepted, |step| step.write(&device.own, ead, device_keys, crypto))?;
        let read = repeat(sent_2, |sent| sent.read(&message_3, crypto))?;
        let peer = believe(&read.claimed()?, Role::Device, operator)?;
        let accepted = repeat(read, |read| read.accept(peer.clone(), &operator.own, crypto))?;
        let (operator, message_4) = repeat(accepted, |step| step.write(ead, crypto))?;
        let device = repeat(sent_3, |sent| sent.read(&message_4, crypto))?.complete()?;
        Ok([device, operator])
    }
}

/// Key store, backend and random source in one, which fails at the calls whose numbers are told, and counts.
struct Failing<'a> {
    keys: &'a MemoryKeyStore,
    calls: &'a Cell<usize>,
    at: usize,
    error: Backend,
}

impl Failing<'_> {
    fn call(&self) -> Result<(), Backend> {
        let number = self.calls.get();
        self.calls.set(number + 1);
        if number == self.at { Err(self.error) } else { Ok(()) }
    }
}

impl KeyStore for Failing<'_> {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.keys.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        self.call()?;
        self.keys.sign(key, message)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.call()?;
        self.keys.agree(key, peer, shared)
    }
}

#[test]
fn a_key_store_that_is_slow_or_fails_is_asked_the_same_again() {
    for method in METHODS {
        for error in [Backend::Key, Backend::KeyPending] {
            let [device, operator] = parties();
            // One question to each key store in every method.
            for at in [0, 1, usize::MAX] {
                let calls = Cell::new(0);
                let keys = [&device, &operator].map(|party| Failing { keys: &party.keys, calls: &calls, at, error });
                let mut steps = Steps {
                    device: &device,
                    operator: &operator,
                    method,
                    ead: &[],
                    crypto: &RustCrypto,
                    keys: [&keys[0], &keys[1]],
                };
                let [device, operator] = steps.run(&mut SeededRng::new(1), &mut SeededRng::new(2)).unwrap();
                assert_eq!(device.th_4(), operator.th_4());
                assert_eq!(calls.get(), if at == usize::MAX { 2 } else { 3 }, "{method:?} {at}");
            }
        }
    }
}

/// A signature that a slow store has begun is for one message: the second question is the first one.
#[test]
fn the_second_question_is_the_first_one() {
    struct Slow<'a> {
        keys: &'a MemoryKeyStore,
        asked: Cell<Option<Vec<u8>>>,
    }
    impl KeyStore for Slow<'_> {
        fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
            self.keys.public_key(key)
        }
        fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
            match self.asked.take() {
                None => {
                    self.asked.set(Some(message.to_vec()));
                    Err(Backend::KeyPending)
                }
                Some(first) => {
                    assert_eq!(first, message);
                    self.keys.sign(key, message)
                }
            }
        }
        fn agree(&self, _: KeyId, _: &PublicKey, _: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
            panic!("method 0")
        }
    }
    let [device, operator] = parties();
    let keys = [&device, &operator].map(|party| Slow { keys: &party.keys, asked: Cell::new(None) });
    let keys: [&dyn KeyStore; 2] = [&keys[0], &keys[1]];
    let mut steps =
        Steps { device: &device, operator: &operator, method: Method::SignSign, ead: &[], crypto: &RustCrypto, keys };
    // The random source goes on, and the ephemeral key stays.
    steps.run(&mut SeededRng::new(1), &mut SeededRng::new(2)).unwrap();
}

/// A backend in hardware that fails at one call.
struct Hardware {
    calls: core::sync::atomic::AtomicUsize,
    at: usize,
}

impl Hardware {
    fn call(&self) -> Result<(), Backend> {
        let number = self.calls.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        if number == self.at { Err(Backend::Crypto) } else { Ok(()) }
    }
}

impl Crypto for Hardware {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }
    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }
    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        self.call()?;
        RustCrypto.hkdf_expand(prk, info, okm)
    }
    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        self.call()?;
        RustCrypto.seal(aead, key, nonce, aad, text)
    }
    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }
    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.point(encoded)
    }
    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.read_key(kind, encoded)
    }
    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        self.call()?;
        RustCrypto.generate(group, rng)
    }
    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> error::Result<EphemeralKey> {
        self.call()?;
        RustCrypto.encapsulate(group, g_x, rng, shared)
    }
    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> error::Result<()> {
        self.call()?;
        RustCrypto.decapsulate(key, g_y, shared)
    }
    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.call()?;
        RustCrypto.agree(key, peer, shared)
    }
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        RustCrypto.verify(key, message, signature)
    }
}

#[test]
fn hardware_that_fails_at_any_one_call_costs_a_repetition() {
    let [device, mut operator] = parties();
    // Two keys go by the device's kid, so that one of them fails for its own reason.
    operator.anchors = MemoryAnchors::new();
    for (name, seed) in [("another", 10), ("device", 1)] {
        operator.anchors.add_pinned(Claims::new(name, seed).pinned(Role::Device)).unwrap();
    }
    for method in METHODS {
        let mut failed = 0;
        for at in 0.. {
            let hardware = Hardware { calls: 0.into(), at };
            let mut steps = Steps {
                device: &device,
                operator: &operator,
                method,
                ead: &[],
                crypto: &hardware,
                keys: [&device.keys, &operator.keys],
            };
            let [device, operator] = steps.run(&mut SeededRng::new(1), &mut SeededRng::new(2)).unwrap();
            assert_eq!(device.th_4(), operator.th_4());
            if hardware.calls.into_inner() <= at {
                break;
            }
            failed += 1;
        }
        assert!(failed > 20, "{method:?}: {failed} calls");
    }
}

#[test]
fn what_the_peer_did_wrong_is_not_repeated() {
    let [device, operator] = parties();
    let (c_i, c_r) = (ConnectionId::new(&[1]).unwrap(), ConnectionId::new(&[2]).unwrap());
    let proposal = initiator::Proposal { method: Method::SignSign, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap();
    let stopped = sent.read(b"\x41\x00", &RustCrypto).unwrap_err();
    assert_eq!(stopped.again().map(|_| ()), Err(Malformed::Truncated.into()));

    let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
    let mut rng = SeededRng::new(2);
    // Our own mistake can be mended: the step comes back.
    let huge = vec![0; 5_000];
    let too_long = [EadItem { label: 1, critical: false, value: Some(&huge) }];
    let stopped = read.write(&c_r, &operator.own, &too_long, &operator.keys, &RustCrypto, &mut rng).unwrap_err();
    assert!(matches!(stopped.error(), Error::Misuse(_)));
    let read = stopped.again().unwrap();
    let (sent, _) = read.write(&c_r, &operator.own, &[], &operator.keys, &RustCrypto, &mut rng).unwrap();
    let stopped = sent.read(b"\x50aaaaaaaaaaaaaaaa", &RustCrypto).unwrap_err();
    assert_eq!(stopped.again().map(|_| ()), Err(Untrusted::Authentication.into()));
    drop(device);
}

// ---------------------------------------------------------------------------------------- after the handshake (§A.1, H)

#[test]
fn updated_keys_agree_and_are_new() {
    let [device, operator] = parties();
    let [mut one, mut other] = handshake(Method::SignSign, &device, &operator, None).unwrap();
    let exported = |session: &Session| {
        let mut out = [0; 32];
        session.export(1, b"c", &mut out, &RustCrypto).unwrap();
        out
    };
    let mut seen = vec![exported(&one)];
    for context in [&b""[..], b"1", b"2", b"2"] {
        one.update(context, &RustCrypto).unwrap();
        assert_ne!(exported(&one), exported(&other));
        other.update(context, &RustCrypto).unwrap();
        assert_eq!(exported(&one), exported(&other));
        assert!(!seen.contains(&exported(&one)));
        seen.push(exported(&one));
    }
    other.update(b"3", &RustCrypto).unwrap();
    one.update(b"4", &RustCrypto).unwrap();
    assert_ne!(exported(&one), exported(&other), "another context");
}

#[test]
fn oscore_ids_mirror_each_other() {
    let [device, operator] = parties();
    let [one, other] = handshake(Method::StaticStatic, &device, &operator, None).unwrap();
    let (one, other) = (one.oscore(&RustCrypto).unwrap(), other.oscore(&RustCrypto).unwrap());
    assert_eq!((one.sender_id.bytes(), one.recipient_id.bytes()), (&[2][..], &[1][..]));
    assert_eq!((&one.sender_id, &one.recipient_id), (&other.recipient_id, &other.sender_id));
    assert!(one.master_secret == other.master_secret && one.master_salt == other.master_salt);
    assert_eq!((one.master_secret.bytes().len(), one.aead), (16, Aead::Ccm16_64_128));
    assert!(!format!("{one:?}").contains(&format!("{:?}", one.master_secret.bytes())));
}
