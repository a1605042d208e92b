//! EDHOC with somebody else's implementation: the crate `lakers` plays either role (method 3, suite 2).
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use lakers::{
    BufferMessage2, ConnId, Credential, CredentialTransfer, EADItem, EDHOCMethod, EDHOCSuite, EdhocInitiator,
    EdhocMessageBuffer, EdhocResponder, credential_check_or_fetch,
};
use rand_core::{CryptoRng, RngCore};
use remote_provisioning::{
    crypto::{Crypto, rustcrypto::RustCrypto},
    edhoc::{
        ConnectionId, Ead, EadItem, Method, OwnCredential, Session, Stopped, Suite, error_message, initiator,
        read_error, responder,
    },
    error::{Error, Misbehaved, Refused, Untrusted},
    identity::{Domain, Role},
    sim::SeededRng,
    store::{KeyId, memory::MemoryKeyStore},
    trust::{MemoryAnchors, Pinned, verify},
};

const KEY: KeyId = KeyId(1);

/// RFC 9529 §3.
const CRED_I: &str = "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed\
                      60399889522405c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3\
                      c2a93df21ff3affc8";
const CRED_R: &str = "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791a12\
                      afbcbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072";
const SK_I: &str = "fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b";
const SK_R: &str = "72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac";

fn hex(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

// ---------------------------------------------------------------------------------------------------------- this side

struct Us {
    own: OwnCredential,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
}

fn us(role: Role, by_value: bool, peer: &str) -> Us {
    let (cred, sk, other) =
        if role == Role::Device { (CRED_I, SK_I, Role::Operator) } else { (CRED_R, SK_R, Role::Device) };
    let own = Pinned::from_ccs(&hex(cred), role, Domain::Test, &RustCrypto).unwrap();
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, hex(sk).as_slice().try_into().unwrap()).unwrap();
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(Pinned::from_ccs(&hex(peer), other, Domain::Test, &RustCrypto).unwrap()).unwrap();
    let own = if by_value { OwnCredential::ccs(KEY, &own) } else { OwnCredential::pinned(KEY, &own).unwrap() };
    Us { own, keys, anchors }
}

fn of<S>(stopped: Stopped<S>) -> Error {
    stopped.error()
}

/// The item that the other side has put there.
fn take(ead: &mut Ead, number: u8) {
    let taken = ead.take(number.into()).unwrap();
    assert_eq!((taken.critical, taken.value), (number == 3, Some([number; 3].as_slice())));
}

/// One item for message n: label n, three times n; critical in message_3. With a fourth byte, `lakers` 0.8 could not count
/// the context of MAC_3: it has one byte for its length.
fn ours<'a>(number: u8, value: &'a [u8; 3]) -> [EadItem<'a>; 1] {
    [EadItem { label: number.into(), critical: number == 3, value: Some(value) }]
}

// -------------------------------------------------------------------------------------------------------- the other side

struct Seeded(SeededRng);

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_be_bytes(bytes)
    }
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        remote_provisioning::crypto::Rng::fill(&mut self.0, out).unwrap();
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Seeded {}

type Lakers = lakers_crypto_rustcrypto::Crypto<Seeded>;

fn lakers_crypto() -> Lakers {
    lakers_crypto_rustcrypto::Crypto::new(Seeded(SeededRng::new(9)))
}

fn lakers_credential(ccs: &str) -> Credential {
    Credential::parse_ccs(&hex(ccs)).unwrap()
}

fn lakers_initiator() -> EdhocInitiator<Lakers> {
    EdhocInitiator::new(lakers_crypto(), EDHOCMethod::StatStat, EDHOCSuite::CipherSuite2)
}

fn lakers_responder() -> EdhocResponder<Lakers> {
    let sk = hex(SK_R).try_into().unwrap();
    EdhocResponder::new(lakers_crypto(), EDHOCMethod::StatStat, sk, lakers_credential(CRED_R))
}

fn buffer(message: &[u8]) -> EdhocMessageBuffer {
    EdhocMessageBuffer::new_from_slice(message).unwrap()
}

fn transfer(by_value: bool) -> CredentialTransfer {
    if by_value { CredentialTransfer::ByValue } else { CredentialTransfer::ByReference }
}

/// Their value is the encoded byte string.
fn theirs(number: u8) -> Option<EADItem> {
    let value = [0x43, number, number, number];
    Some(EADItem { label: number.into(), is_critical: number == 3, value: Some(buffer(&value)) })
}

fn same_item(item: Option<EADItem>, number: u8) {
    let item = item.unwrap();
    assert_eq!((item.label, item.is_critical), (number.into(), number == 3));
    let value = item.value.unwrap();
    assert!(value.as_slice().ends_with(&[number; 3]), "{:02x?}", value.as_slice());
}

fn exported(session: &Session, label: u16, context: &[u8], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    session.export(label, context, &mut out, &RustCrypto).unwrap();
    out
}

// --------------------------------------------------------------------------------------------------------------- it works

#[test]
fn we_initiate() {
    for (our_value, their_value) in [(false, false), (false, true), (true, false), (true, true)] {
        let us = us(Role::Device, our_value, CRED_R);
        let c_i = ConnectionId::new(&[0x37]).unwrap();
        let one = [1; 3];
        let ead_1 = ours(1, &one);
        let proposal =
            initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &ead_1 };
        let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap();

        let (them, their_c_i, ead_1) = lakers_responder().process_message_1(&buffer(&message_1)).unwrap();
        assert_eq!(their_c_i.as_slice(), c_i.bytes());
        same_item(ead_1, 1);
        let c_r = ConnId::from_slice(&[0x27]);
        let (them, message_2) = them.prepare_message_2(transfer(their_value), c_r, &theirs(2)).unwrap();

        let read = sent.read(message_2.as_slice(), &RustCrypto).unwrap();
        let peer = verify(&read.claimed().unwrap(), Role::Operator, Domain::Test, &us.anchors, &RustCrypto, None);
        let mut accepted = read.accept(peer.unwrap(), &us.own, &RustCrypto).unwrap();
        take(accepted.ead(), 2);
        let three = [3; 3];
        let (sent, message_3) = accepted.write(&us.own, &ours(3, &three), &us.keys, &RustCrypto).unwrap();

        let (them, id_cred_i, ead_3) = them.parse_message_3(&buffer(&message_3)).unwrap();
        same_item(ead_3, 3);
        let expected = (!our_value).then(|| lakers_credential(CRED_I));
        let cred_i = credential_check_or_fetch(expected, id_cred_i).unwrap();
        let (them, _) = them.verify_message_3(cred_i).unwrap();
        let (mut them, message_4) = them.prepare_message_4(&theirs(4)).unwrap();

        let mut read = sent.read(message_4.as_slice(), &RustCrypto).unwrap();
        take(read.ead(), 4);
        let mut session = read.complete().unwrap();
        assert_eq!(session.peer().name().as_str(), "example.edu");

        let same = |session: &Session, them: &mut lakers::EdhocResponderDone<Lakers>| {
            for (label, context, len) in [(0, &[][..], 16), (1, &[], 8), (7, b"context", 32)] {
                let theirs = them.edhoc_exporter(label, context, len);
                assert_eq!(exported(session, label.into(), context, len), theirs[..len], "label {label}");
            }
        };
        same(&session, &mut them);
        session.update(&[0xa0; 16], &RustCrypto).unwrap();
        them.edhoc_key_update(&[0xa0; 16]);
        same(&session, &mut them);
    }
}

#[test]
fn we_respond() {
    for (our_value, their_value) in [(false, false), (false, true), (true, false), (true, true)] {
        let us = us(Role::Operator, our_value, CRED_I);
        let c_i = ConnId::from_slice(&[0x0e]);
        let (them, message_1) = lakers_initiator().prepare_message_1(c_i, &theirs(1)).unwrap();

        let mut read =
            responder::read(message_1.as_slice(), &[Method::StaticStatic], &Suite::ALL, &RustCrypto).unwrap();
        assert_eq!(read.c_i().bytes(), [0x0e]);
        take(read.unverified_ead(), 1);
        let c_r = ConnectionId::new(&[0x18]).unwrap();
        let two = [2; 3];
        let written = read.write(&c_r, &us.own, &ours(2, &two), &us.keys, &RustCrypto, &mut SeededRng::new(2));
        let (sent, message_2) = written.unwrap();

        let (mut them, their_c_r, id_cred_r, ead_2) =
            them.parse_message_2(&BufferMessage2::new_from_slice(&message_2).unwrap()).unwrap();
        assert_eq!(their_c_r.as_slice(), [0x18]);
        same_item(ead_2, 2);
        let expected = (!our_value).then(|| lakers_credential(CRED_R));
        let cred_r = credential_check_or_fetch(expected, id_cred_r).unwrap();
        them.set_identity(hex(SK_I).try_into().unwrap(), lakers_credential(CRED_I)).unwrap();
        let them = them.verify_message_2(cred_r).unwrap();
        let (them, message_3, _) = them.prepare_message_3(transfer(their_value), &theirs(3)).unwrap();

        let read = sent.read(message_3.as_slice(), &RustCrypto).unwrap();
        let peer = verify(&read.claimed().unwrap(), Role::Device, Domain::Test, &us.anchors, &RustCrypto, None);
        let mut accepted = read.accept(peer.unwrap(), &us.own, &RustCrypto).unwrap();
        take(accepted.ead(), 3);
        let four = [4; 3];
        let (mut session, message_4) = accepted.write(&ours(4, &four), &RustCrypto).unwrap();

        let (mut them, ead_4) = them.process_message_4(&buffer(&message_4)).unwrap();
        same_item(ead_4, 4);
        let same = |session: &Session, them: &mut lakers::EdhocInitiatorDone<Lakers>| {
            for (label, context, len) in [(0, &[][..], 16), (1, &[], 8), (7, b"context", 32)] {
                let theirs = them.edhoc_exporter(label, context, len);
                assert_eq!(exported(session, label.into(), context, len), theirs[..len], "label {label}");
            }
        };
        same(&session, &mut them);
        session.update(&[0xa0; 16], &RustCrypto).unwrap();
        them.edhoc_key_update(&[0xa0; 16]);
        same(&session, &mut them);
    }
}

// ----------------------------------------------------------------------------------------------------------- it does not

/// message_1 of theirs, and what we answer to it.
fn up_to_message_2(us: &Us, ead_1: &Option<EADItem>) -> Result<(responder::AwaitMessage3, Vec<u8>), Error> {
    let (_, message_1) = lakers_initiator().prepare_message_1(ConnId::from_slice(&[0x0e]), ead_1).unwrap();
    let read = responder::read(message_1.as_slice(), &[Method::StaticStatic], &Suite::ALL, &RustCrypto)?;
    let c_r = ConnectionId::new(&[0x18]).unwrap();
    read.write(&c_r, &us.own, &[], &us.keys, &RustCrypto, &mut SeededRng::new(2)).map_err(of)
}

#[test]
fn a_critical_item_that_nobody_knows_ends_it_on_our_side() {
    let us = us(Role::Operator, false, CRED_I);
    let unknown = Some(EADItem { label: 9, is_critical: true, value: None });
    assert_eq!(up_to_message_2(&us, &unknown).err(), Some(Misbehaved::CriticalEad.into()));
    let ignored = Some(EADItem { label: 9, is_critical: false, value: None });
    assert!(up_to_message_2(&us, &ignored).is_ok());
}

/// On theirs it is handed to the application, which has to end it: that it is critical is what has to arrive.
#[test]
fn a_critical_item_of_ours_arrives_as_critical() {
    let c_i = ConnectionId::new(&[0x37]).unwrap();
    let ead_1 = [EadItem { label: 9, critical: true, value: None }];
    let proposal =
        initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &ead_1 };
    let (_, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap();
    let (_, _, item) = lakers_responder().process_message_1(&buffer(&message_1)).unwrap();
    let item = item.unwrap();
    assert_eq!((item.label, item.is_critical), (9, true));
}

#[test]
fn a_wrong_credential_ends_it_on_either_side() {
    // We believe another key under their name and kid: the key of the initiator, in the responder's CCS.
    let swapped = format!("{}{}", &CRED_R[..CRED_R.len() - 134], &CRED_I[CRED_I.len() - 134..]);
    let us_device = us(Role::Device, false, &swapped);
    let c_i = ConnectionId::new(&[0x37]).unwrap();
    let proposal = initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap();
    let (them, ..) = lakers_responder().process_message_1(&buffer(&message_1)).unwrap();
    let c_r = ConnId::from_slice(&[0x27]);
    let (_, message_2) = them.prepare_message_2(CredentialTransfer::ByReference, c_r, &None).unwrap();
    let read = sent.read(message_2.as_slice(), &RustCrypto).unwrap();
    let peer = verify(&read.claimed().unwrap(), Role::Operator, Domain::Test, &us_device.anchors, &RustCrypto, None);
    let accepted = read.accept(peer.unwrap(), &us_device.own, &RustCrypto);
    assert_eq!(accepted.err().map(of), Some(Untrusted::Authentication.into()));

    // They believe another key under ours.
    let us_operator = us(Role::Operator, false, CRED_I);
    let (them, message_1) = lakers_initiator().prepare_message_1(ConnId::from_slice(&[0x0e]), &None).unwrap();
    let read = responder::read(message_1.as_slice(), &[Method::StaticStatic], &Suite::ALL, &RustCrypto).unwrap();
    let c_r = ConnectionId::new(&[0x18]).unwrap();
    let written = read.write(&c_r, &us_operator.own, &[], &us_operator.keys, &RustCrypto, &mut SeededRng::new(2));
    let (_, message_2) = written.unwrap();
    let (mut them, _, id_cred_r, _) =
        them.parse_message_2(&BufferMessage2::new_from_slice(&message_2).unwrap()).unwrap();
    let cred_r = credential_check_or_fetch(Some(lakers_credential(&swapped)), id_cred_r).unwrap();
    them.set_identity(hex(SK_I).try_into().unwrap(), lakers_credential(CRED_I)).unwrap();
    assert!(them.verify_message_2(cred_r).is_err());
}

#[test]
fn a_point_off_the_curve_ends_it_on_our_side() {
    // Every other x has no y.
    let with_last = |last| core::array::from_fn::<u8, 32, _>(|at| if at == 31 { last } else { 0 });
    let off = (1..).map(with_last).find(|x| RustCrypto.point(x).is_err()).unwrap();

    let us_operator = us(Role::Operator, false, CRED_I);
    let (_, message_1) = lakers_initiator().prepare_message_1(ConnId::from_slice(&[0x0e]), &None).unwrap();
    let mut bad = message_1.as_slice().to_vec();
    // METHOD, SUITES_I, 58 20, G_X.
    bad[4..36].copy_from_slice(&off);
    let read = responder::read(&bad, &[Method::StaticStatic], &Suite::ALL, &RustCrypto).unwrap();
    let c_r = ConnectionId::new(&[0x18]).unwrap();
    let written = read.write(&c_r, &us_operator.own, &[], &us_operator.keys, &RustCrypto, &mut SeededRng::new(2));
    assert_eq!(written.err().map(of), Some(Misbehaved::InvalidPoint.into()));

    let c_i = ConnectionId::new(&[0x37]).unwrap();
    let proposal = initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap();
    let (them, ..) = lakers_responder().process_message_1(&buffer(&message_1)).unwrap();
    let (_, message_2) =
        them.prepare_message_2(CredentialTransfer::ByReference, ConnId::from_slice(&[0x27]), &None).unwrap();
    let mut bad = message_2.as_slice().to_vec();
    // 58 len, G_Y.
    bad[2..34].copy_from_slice(&off);
    assert_eq!(sent.read(&bad, &RustCrypto).err().map(of), Some(Misbehaved::InvalidPoint.into()));
}

/// Suites are settled: ours first, refused by theirs, and what we say to a suite that we do not run.
#[test]
fn suites_are_negotiated() {
    let c_i = ConnectionId::new(&[0x37]).unwrap();
    let propose = |suites| {
        let proposal = initiator::Proposal { method: Method::StaticStatic, suites, c_i: &c_i, ead_1: &[] };
        initiator::start(&proposal, &RustCrypto, &mut SeededRng::new(1)).unwrap().1
    };
    let ours = [Suite::CCM_16, Suite::CCM_8];
    assert!(lakers_responder().process_message_1(&buffer(&propose(&ours[..1]))).is_err());
    let again = initiator::propose_again(&ours, &ours[..1], &[Suite::CCM_8]).unwrap();
    assert!(lakers_responder().process_message_1(&buffer(&propose(again))).is_ok());

    let (_, message_1) = lakers_initiator().prepare_message_1(None, &None).unwrap();
    let refused = responder::read(message_1.as_slice(), &[Method::StaticStatic], &[Suite::GCM], &RustCrypto);
    let error = refused.err().unwrap();
    assert_eq!(error, Misbehaved::WrongSuite.into());
    let told = error_message(&error, &[Suite::GCM]).unwrap();
    assert_eq!(read_error(&told).unwrap().refused, Refused::WrongSuite);
}
