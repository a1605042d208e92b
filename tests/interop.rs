//! Against another implementation: `lakers`, which runs method 3 in suite 2 with CCS credentials. Each side is once ours
//! and once theirs, and every failure says whose it was, at which call, and why.
//!
//! What `lakers` 0.8 leaves to its caller is done here as its caller would: it hands out one EAD item with its critical
//! bit and decides nothing. It panics on a point that is not on the curve; that is caught and counts as a refusal.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

use core::{cell::RefCell, panic::AssertUnwindSafe};
use std::panic::catch_unwind;

use lakers::{
    ConnId, Credential, CredentialTransfer, EADItem, EDHOCMethod, EDHOCSuite, EdhocInitiator, EdhocInitiatorDone,
    EdhocMessageBuffer, EdhocResponder, EdhocResponderDone, credential_check_or_fetch,
};
use remote_provisioning::{
    crypto::{Crypto, Rng, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Ead, EadItem, Method, OwnCredential, Session, Suite, error_message, initiator, responder},
    error::{Error, Malformed, Misbehaved, Refused, Untrusted},
    identity::{Domain, Role},
    sim::SeededRng,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, MemoryAnchors, Pinned, verify},
    wire::encode_with,
};

const KEY: KeyId = KeyId(0);

/// Longest thing to export here.
const EXPORTED: usize = 64;

// ------------------------------------------------------------------------------------------------------------ parties

/// A random source for either library.
struct Source(SeededRng);

impl rand_core::RngCore for Source {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out).unwrap();
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand_core::CryptoRng for Source {}

type Theirs = lakers_crypto_rustcrypto::Crypto<Source>;

fn their_crypto(seed: u64) -> Theirs {
    Theirs::new(Source(SeededRng::new(seed)))
}

/// A key with a name and a `kid`.
#[derive(Clone, PartialEq)]
struct Identity {
    scalar: [u8; 32],
    ccs: Vec<u8>,
}

impl Identity {
    fn new(name: &str, kid: &[u8]) -> Self {
        let scalar = RustCrypto.sha256(&[b"worthless published test key: ", name.as_bytes()]);
        let key = store(&scalar).public_key(KEY).unwrap();
        let ccs = encode_with(|w| {
            w.map(2);
            w.integer(2);
            w.text(name);
            w.integer(8);
            w.map(1);
            w.integer(1);
            w.map(5);
            w.integer(1);
            w.integer(2);
            w.integer(2);
            w.bytes(kid);
            w.integer(-1);
            w.integer(1);
            w.integer(-2);
            w.bytes(key.x());
            w.integer(-3);
            w.bytes(key.y());
        });
        Self { scalar, ccs }
    }

    fn pinned(&self, role: Role) -> Pinned {
        Pinned::from_ccs(&self.ccs, role, Domain::Test, &RustCrypto).unwrap()
    }

    fn own(&self, role: Role, by_value: bool) -> OwnCredential {
        let pinned = self.pinned(role);
        if by_value { OwnCredential::ccs(KEY, &pinned) } else { OwnCredential::pinned(KEY, &pinned).unwrap() }
    }

    fn theirs(&self) -> Credential {
        Credential::parse_ccs(&self.ccs).unwrap()
    }
}

fn store(scalar: &[u8; 32]) -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, scalar).unwrap();
    keys
}

fn device() -> Identity {
    Identity::new("dev", &[0x2b])
}

fn operator() -> Identity {
    Identity::new("op", b"\xab\xcd")
}

fn stranger() -> Identity {
    Identity::new("who", &[0x07])
}

// ---------------------------------------------------------------------------------------------------------------- run

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Ours,
    Lakers,
}

/// Whose failure, at which call, and why.
#[derive(Debug, PartialEq)]
struct Failed(Side, &'static str, String);

fn ours<E: Into<Error>>(call: &'static str) -> impl Fn(E) -> Failed {
    move |error| Failed(Side::Ours, call, format!("{:?}", error.into()))
}

fn theirs(call: &'static str) -> impl Fn(lakers::EDHOCError) -> Failed {
    move |error| Failed(Side::Lakers, call, format!("{error:?}"))
}

fn we_fail(call: &'static str, error: impl Into<Error>) -> Option<Failed> {
    Some(ours(call)(error.into()))
}

fn they_fail(call: &'static str, error: &str) -> Option<Failed> {
    Some(Failed(Side::Lakers, call, error.to_owned()))
}

/// Label, critical, value.
type Item = (u16, bool, Option<&'static [u8]>);

/// One handshake. The device is the initiator.
#[derive(Clone)]
struct Run<'a> {
    /// Who they are.
    device: Identity,
    operator: Identity,
    /// Whom the other side knows, by reference or by value.
    known_device: Identity,
    known_operator: Identity,
    /// Whether a credential is sent whole.
    by_value: bool,
    method: Method,
    suites: &'a [Suite],
    suites_r: &'a [Suite],
    c_i: &'a [u8],
    c_r: &'a [u8],
    ead: [&'a [Item]; 4],
    /// Whether the side that gets critical items knows them.
    take: bool,
    touch: &'a dyn Fn(u8, &mut Vec<u8>),
}

/// The outputs of both sides' exporters, and the messages.
#[derive(Debug)]
struct Done {
    ours: Vec<Vec<u8>>,
    theirs: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            device: device(),
            operator: operator(),
            known_device: device(),
            known_operator: operator(),
            by_value: false,
            method: Method::StaticStatic,
            suites: &[Suite::CCM_8],
            suites_r: &Suite::ALL,
            c_i: &[0x0e],
            c_r: &[0x37],
            ead: [&[]; 4],
            take: true,
            touch: &|_, _| {},
        }
    }
}

fn connection_id(bytes: &[u8]) -> ConnectionId {
    ConnectionId::new(bytes).unwrap()
}

fn buffer(bytes: &[u8]) -> EdhocMessageBuffer {
    EdhocMessageBuffer::new_from_slice(bytes).unwrap()
}

fn our_items<'a>(items: &[Item]) -> Vec<EadItem<'a>> {
    items
        .iter()
        .map(|(label, critical, value)| EadItem { label: (*label).into(), critical: *critical, value: *value })
        .collect()
}

/// They send one at most, with the value encoded by the caller.
fn their_item(items: &[Item]) -> Option<EADItem> {
    let [(label, is_critical, value)] = *items else { return None };
    let value = value.map(|value| buffer(&encode_with(|w| w.bytes(value))));
    Some(EADItem { label, is_critical, value })
}

const EXPORTS: [(u8, &[u8], usize); 5] =
    [(0, b"", 16), (1, b"", 8), (2, b"context", 32), (23, &[7; 30], 23), (0, b"", EXPORTED)];

fn our_exports(mut session: Session) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut export = |session: &Session| {
        for (label, context, len) in EXPORTS {
            let mut out = vec![0; len];
            session.export(label.into(), context, &mut out, &RustCrypto).unwrap();
            all.push(out);
        }
        let oscore = session.oscore(&RustCrypto).unwrap();
        all.push(oscore.master_secret.bytes().to_vec());
        all.push(oscore.master_salt.to_vec());
    };
    export(&session);
    for context in [&b"once"[..], &[], &[9; 40]] {
        session.update(context, &RustCrypto).unwrap();
        export(&session);
    }
    all
}

/// Either of their two types of a completed session.
trait TheirSession {
    fn export(&mut self, label: u8, context: &[u8], len: usize) -> Vec<u8>;
    fn update(&mut self, context: &[u8]);
}

impl TheirSession for EdhocInitiatorDone<Theirs> {
    fn export(&mut self, label: u8, context: &[u8], len: usize) -> Vec<u8> {
        self.edhoc_exporter(label, context, len)[..len].to_vec()
    }

    fn update(&mut self, context: &[u8]) {
        self.edhoc_key_update(context);
    }
}

impl TheirSession for EdhocResponderDone<Theirs> {
    fn export(&mut self, label: u8, context: &[u8], len: usize) -> Vec<u8> {
        self.edhoc_exporter(label, context, len)[..len].to_vec()
    }

    fn update(&mut self, context: &[u8]) {
        self.edhoc_key_update(context);
    }
}

fn their_exports(session: &mut dyn TheirSession) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut export = |session: &mut dyn TheirSession| {
        all.extend(EXPORTS.map(|(label, context, len)| session.export(label, context, len)));
        all.push(session.export(0, b"", 16));
        all.push(session.export(1, b"", 8));
    };
    export(session);
    for context in [&b"once"[..], &[], &[9; 40]] {
        session.update(context);
        export(session);
    }
    all
}

impl Run<'_> {
    fn touched(&self, number: u8, message: &[u8], messages: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let mut message = message.to_vec();
        (self.touch)(number, &mut message);
        messages.push(message.clone());
        message
    }

    /// Our application: takes what it knows, in order, and looks at the values.
    fn take(&self, number: u8, ead: &mut Ead) {
        let items = self.ead[usize::from(number) - 1];
        for (label, critical, value) in items.iter().filter(|(label, ..)| self.take && *label != 0) {
            let taken = ead.take((*label).into()).expect("the item");
            assert_eq!((taken.critical, taken.value), (*critical, *value), "EAD_{number}");
        }
    }

    /// Their application: gets the first item, with everything behind its label for a value.
    fn they_take(&self, number: u8, call: &'static str, got: Option<&EADItem>) -> Result<(), Failed> {
        let sent = self.ead[usize::from(number) - 1];
        assert_eq!(got.is_some(), !sent.is_empty(), "EAD_{number}");
        let Some(got) = got else { return Ok(()) };
        assert_eq!((got.label, got.is_critical), (sent[0].0, sent[0].1), "EAD_{number}");
        if let [(.., value)] = sent {
            let value = value.map(|value| encode_with(|w| w.bytes(value)));
            assert_eq!(got.value.as_ref().map(EdhocMessageBuffer::as_slice), value.as_deref(), "EAD_{number}");
        }
        if got.is_critical && !self.take {
            return Err(theirs(call)(lakers::EDHOCError::EADUnprocessable));
        }
        Ok(())
    }

    fn they_transfer(&self) -> CredentialTransfer {
        if self.by_value { CredentialTransfer::ByValue } else { CredentialTransfer::ByReference }
    }

    fn we_verify(&self, claimed: &CredentialId<'_>, role: Role) -> Result<Candidates, Error> {
        assert_eq!(matches!(claimed, CredentialId::Ccs(_)), self.by_value);
        let known = if role == Role::Device { &self.known_device } else { &self.known_operator };
        let mut anchors = MemoryAnchors::new();
        anchors.add_pinned(known.pinned(role)).unwrap();
        verify(claimed, role, Domain::Test, &anchors, &RustCrypto, None)
    }

    /// We are the device.
    fn we_start(&self) -> Result<Done, Failed> {
        let mut messages = Vec::new();
        let (c_i, c_r) = (connection_id(self.c_i), ConnId::from_slice(self.c_r).unwrap());
        let own = self.device.own(Role::Device, self.by_value);
        let items = self.ead.map(our_items);
        let proposal = initiator::Proposal { method: self.method, suites: self.suites, c_i: &c_i, ead_1: &items[0] };
        let rng = &mut SeededRng::new(1);
        let (sent, message_1) = initiator::start(&proposal, &RustCrypto, rng).map_err(ours("start"))?;

        let (method, cred_r) = (EDHOCMethod::StatStat, self.operator.theirs());
        let lakers = EdhocResponder::new(their_crypto(2), method, self.operator.scalar, cred_r);
        let message_1 = self.touched(1, &message_1, &mut messages);
        let (lakers, their_c_i, got) =
            lakers.process_message_1(&buffer(&message_1)).map_err(theirs("process_message_1"))?;
        assert_eq!(their_c_i.as_slice(), self.c_i);
        self.they_take(1, "EAD_1", got.as_ref())?;
        let item_2 = their_item(self.ead[1]);
        let prepared =
            catch_unwind(AssertUnwindSafe(|| lakers.prepare_message_2(self.they_transfer(), Some(c_r), &item_2)));
        let prepared = prepared.map_err(|_| Failed(Side::Lakers, "prepare_message_2", "panic".to_owned()))?;
        let (lakers, message_2) = prepared.map_err(theirs("prepare_message_2"))?;

        let message_2 = self.touched(2, message_2.as_slice(), &mut messages);
        let read = sent.read(&message_2, &RustCrypto).map_err(ours("read message_2"))?;
        let peer = self.we_verify(&read.claimed().unwrap(), Role::Operator).map_err(ours("verify message_2"))?;
        let mut accepted = read.accept(peer, &own, &RustCrypto).map_err(ours("accept message_2"))?;
        self.take(2, accepted.ead());
        let keys = store(&self.device.scalar);
        let (sent, message_3) = accepted.write(&own, &items[2], &keys, &RustCrypto).map_err(ours("write message_3"))?;

        let message_3 = self.touched(3, &message_3, &mut messages);
        let (lakers, id_cred_i, got) =
            lakers.parse_message_3(&buffer(&message_3)).map_err(theirs("parse_message_3"))?;
        let cred_i = credential_check_or_fetch(Some(self.known_device.theirs()), id_cred_i);
        let (lakers, _) = lakers
            .verify_message_3(cred_i.map_err(theirs("credential_check_or_fetch"))?)
            .map_err(theirs("verify_message_3"))?;
        self.they_take(3, "EAD_3", got.as_ref())?;
        let (mut lakers, message_4) =
            lakers.prepare_message_4(&their_item(self.ead[3])).map_err(theirs("prepare_message_4"))?;

        let message_4 = self.touched(4, message_4.as_slice(), &mut messages);
        let mut read = sent.read(&message_4, &RustCrypto).map_err(ours("read message_4"))?;
        self.take(4, read.ead());
        let session = read.complete().map_err(ours("complete"))?;
        check_names(&session, self.c_i, self.c_r);
        Ok(Done { ours: our_exports(session), theirs: their_exports(&mut lakers), messages })
    }

    /// They are the device.
    fn they_start(&self) -> Result<Done, Failed> {
        let mut messages = Vec::new();
        let (c_i, c_r) = (ConnId::from_slice(self.c_i).unwrap(), connection_id(self.c_r));
        let own = self.operator.own(Role::Operator, self.by_value);
        let items = self.ead.map(our_items);
        let mut lakers = EdhocInitiator::new(their_crypto(1), EDHOCMethod::StatStat, EDHOCSuite::CipherSuite2);
        lakers.set_identity(self.device.scalar, self.device.theirs());
        let (lakers, message_1) =
            lakers.prepare_message_1(Some(c_i), &their_item(self.ead[0])).map_err(theirs("prepare_message_1"))?;

        let message_1 = self.touched(1, message_1.as_slice(), &mut messages);
        let read = responder::read(&message_1, &[self.method], self.suites_r, &RustCrypto);
        let mut read = read.map_err(ours("read message_1"))?;
        assert_eq!(read.c_i().bytes(), self.c_i);
        self.take(1, read.unverified_ead());
        let (keys, rng) = (store(&self.operator.scalar), &mut SeededRng::new(2));
        let written = read.write(&c_r, &own, &items[1], &keys, &RustCrypto, rng);
        let (sent, message_2) = written.map_err(ours("write message_2"))?;

        let message_2 = self.touched(2, &message_2, &mut messages);
        let parsed = catch_unwind(AssertUnwindSafe(|| lakers.parse_message_2(&buffer(&message_2))));
        let parsed = parsed.map_err(|_| Failed(Side::Lakers, "parse_message_2", "panic".to_owned()))?;
        let (lakers, their_c_r, id_cred_r, got) = parsed.map_err(theirs("parse_message_2"))?;
        let cred_r = credential_check_or_fetch(Some(self.known_operator.theirs()), id_cred_r);
        let lakers = lakers
            .verify_message_2(cred_r.map_err(theirs("credential_check_or_fetch"))?)
            .map_err(theirs("verify_message_2"))?;
        assert_eq!(their_c_r.as_slice(), self.c_r);
        self.they_take(2, "EAD_2", got.as_ref())?;
        let (lakers, message_3, _) = lakers
            .prepare_message_3(self.they_transfer(), &their_item(self.ead[2]))
            .map_err(theirs("prepare_message_3"))?;

        let message_3 = self.touched(3, message_3.as_slice(), &mut messages);
        let read = sent.read(&message_3, &RustCrypto).map_err(ours("read message_3"))?;
        let peer = self.we_verify(&read.claimed().unwrap(), Role::Device).map_err(ours("verify message_3"))?;
        let mut accepted = read.accept(peer, &own, &RustCrypto).map_err(ours("accept message_3"))?;
        self.take(3, accepted.ead());
        let (session, message_4) = accepted.write(&items[3], &RustCrypto).map_err(ours("write message_4"))?;

        let message_4 = self.touched(4, &message_4, &mut messages);
        let (mut lakers, got) = lakers.process_message_4(&buffer(&message_4)).map_err(theirs("process_message_4"))?;
        self.they_take(4, "EAD_4", got.as_ref())?;
        check_names(&session, self.c_r, self.c_i);
        Ok(Done { ours: our_exports(session), theirs: their_exports(&mut lakers), messages })
    }

    /// Both ways, to the end: the same keys, and none of them twice.
    #[track_caller]
    fn agrees(&self) -> [Done; 2] {
        [self.we_start().unwrap(), self.they_start().unwrap()].map(|done| {
            assert_eq!(done.ours, done.theirs);
            // An update changes all of them.
            let mut rounds: Vec<_> = done.ours.chunks(EXPORTS.len() + 2).collect();
            assert_eq!(rounds.len(), 4);
            while let Some(last) = rounds.pop() {
                assert!(rounds.iter().all(|round| round.iter().zip(last).all(|(one, other)| one != other)));
            }
            done
        })
    }

    /// Where it ends, with us as the device and as the operator.
    fn ends(&self) -> [Option<Failed>; 2] {
        [self.we_start().err(), self.they_start().err()]
    }
}

fn check_names(session: &Session, own: &[u8], peer: &[u8]) {
    let oscore = session.oscore(&RustCrypto).unwrap();
    assert_eq!((oscore.recipient_id.bytes(), oscore.sender_id.bytes()), (own, peer));
}

// -------------------------------------------------------------------------------------------------------------- tests

#[test]
fn by_reference() {
    for done in Run::default().agrees() {
        // `kid` of the device is one byte that goes as an integer, that of the operator a string of two.
        assert_eq!(done.messages.iter().map(Vec::len).collect::<Vec<_>>(), [37, 47, 19, 9]);
    }
}

#[test]
fn by_value() {
    Run { by_value: true, ..Run::default() }.agrees();
}

#[test]
fn connection_identifiers() {
    for (c_i, c_r) in [
        (&[][..], &[0x18][..]),
        (&[0x18], &[]),
        (&[0x20], &[0x17]),
        (&[0x38], &[0x37]),
        (&[0xff, 0x00], &[0x0a]),
        (&[1, 2, 3, 4, 5, 6, 7], &[7, 6, 5, 4, 3, 2, 1]),
    ] {
        Run { c_i, c_r, ..Run::default() }.agrees();
    }
    // They do not compare the two; we do, on either side.
    let same = Run { c_i: &[5], c_r: &[5], ..Run::default() };
    let expected = Misbehaved::SameConnectionId;
    assert_eq!(same.ends(), [we_fail("read message_2", expected), we_fail("write message_2", expected)]);
}

#[test]
fn items() {
    const VALUES: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"value"), Some(&[0xa5; 30])];
    for by_value in [false, true] {
        for value in VALUES {
            for critical in [false, true] {
                for label in [1, 9, 23] {
                    let item: &[Item] = &[(label, critical, value)];
                    for number in 0..4 {
                        let mut ead = [&[][..]; 4];
                        ead[number] = item;
                        Run { ead, by_value, ..Run::default() }.agrees();
                    }
                    Run { ead: [item; 4], by_value, ..Run::default() }.agrees();
                }
            }
        }
    }
    // Padding: no application sees ours, and theirs passes by us.
    let padding: &[Item] = &[(0, false, Some(&[0; 30]))];
    Run { ead: [padding; 4], ..Run::default() }.agrees();
    // Critical items that only one side sent are no concern of the other's where they are known.
    let run = Run { ead: [&[(7, true, Some(b"known"))], &[], &[(8, true, None)], &[]], ..Run::default() };
    run.agrees();
}

/// They know of one item per message and take the rest for its value; what is behind the first is still covered.
#[test]
fn several_items() {
    let several: &[Item] = &[(0, false, Some(&[1; 5])), (5, false, None), (6, false, Some(b"x"))];
    for ead in [[several, &[], &[], &[]], [&[], &[], several, &[]]] {
        let done = Run { ead, ..Run::default() }.we_start().unwrap();
        assert_eq!(done.ours, done.theirs);
    }
    for ead in [[&[], several, &[], &[]], [&[], &[], &[], several]] {
        let done = Run { ead, ..Run::default() }.they_start().unwrap();
        assert_eq!(done.ours, done.theirs);
    }
}

/// An item that must be understood and is not ends the session, whoever gets it.
#[test]
fn unknown_critical_items() {
    let unknown: &[Item] = &[(21, true, Some(b"what is this"))];
    let harmless: &[Item] = &[(21, false, Some(b"what is this"))];
    let mut ends = Vec::new();
    for number in 0..4 {
        let mut ead = [&[][..]; 4];
        ead[number] = unknown;
        ends.extend(Run { ead, take: false, ..Run::default() }.ends());
        // The same, not critical, is ignored by both.
        let mut ead = [&[][..]; 4];
        ead[number] = harmless;
        Run { ead, take: false, ..Run::default() }.agrees();
    }
    let (we, they) = (Misbehaved::CriticalEad, "EADUnprocessable");
    assert_eq!(
        ends,
        [
            they_fail("EAD_1", they),
            we_fail("write message_2", we),
            we_fail("write message_3", we),
            they_fail("EAD_2", they),
            they_fail("EAD_3", they),
            we_fail("write message_4", we),
            we_fail("complete", we),
            they_fail("EAD_4", they),
        ]
    );
}

#[test]
fn wrong_credentials() {
    // Nobody knows this operator, or this device.
    for (by_value, unknown) in [(false, Untrusted::UnknownCredential), (true, Untrusted::NoAnchor)] {
        let run = Run { by_value, ..Run::default() };
        let operator = Run { known_operator: stranger(), ..run.clone() };
        let expected = they_fail("credential_check_or_fetch", "UnexpectedCredential");
        assert_eq!(operator.ends(), [we_fail("verify message_2", unknown), expected]);
        let device = Run { known_device: stranger(), ..run };
        let expected = they_fail("credential_check_or_fetch", "UnexpectedCredential");
        assert_eq!(device.ends(), [expected, we_fail("verify message_3", unknown)]);
    }
    // The right name, the wrong key: of somebody who has read the credential.
    for by_value in [false, true] {
        let run = Run { by_value, ..Run::default() };
        let operator = Run { operator: Identity { scalar: stranger().scalar, ..operator() }, ..run.clone() };
        let (ours, theirs) = (Untrusted::Authentication, "MacVerificationFailed");
        assert_eq!(operator.ends(), [we_fail("accept message_2", ours), they_fail("verify_message_2", theirs)]);
        let device = Run { device: Identity { scalar: stranger().scalar, ..device() }, ..run };
        assert_eq!(device.ends(), [they_fail("verify_message_3", theirs), we_fail("accept message_3", ours)]);
    }
    // The right kid, another credential behind it.
    let namesake = Identity::new("dev2", &[0x2b]);
    let device = Run { known_device: namesake, ..Run::default() };
    let expected = [
        they_fail("verify_message_3", "MacVerificationFailed"),
        we_fail("accept message_3", Untrusted::Authentication),
    ];
    assert_eq!(device.ends(), expected);
    // A device with the operator's credential: they do not look, we do.
    let both = Run { device: operator(), known_device: operator(), ..Run::default() };
    let selfie = Misbehaved::OwnCredential;
    assert_eq!(both.ends(), [we_fail("accept message_2", selfie), we_fail("accept message_3", selfie)]);
}

#[test]
fn bad_points() {
    // RFC 9529 §4.2.3: no point has this x-coordinate; the other one is not below p (§4.2.2).
    let off_curve = [
        0xa0, 0x4e, 0x73, 0x60, 0x1d, 0xf5, 0x44, 0xa7, 0x0b, 0xa7, 0xea, 0x1e, 0x57, 0x03, 0x0f, 0x7d, 0x4b, 0x4e,
        0xb7, 0xf6, 0x73, 0x92, 0x4e, 0x58, 0xd5, 0x4c, 0xa7, 0x7a, 0x5e, 0x7d, 0x4d, 0x4a,
    ];
    for point in [off_curve, [0xff; 32]] {
        let g_x = |number: u8, message: &mut Vec<u8>| {
            if number == 1 {
                message[4..36].copy_from_slice(&point);
            }
        };
        let run = Run { touch: &g_x, ..Run::default() };
        let invalid = Misbehaved::InvalidPoint;
        assert_eq!(run.ends(), [they_fail("prepare_message_2", "panic"), we_fail("write message_2", invalid)]);
        let g_y = |number: u8, message: &mut Vec<u8>| {
            if number == 2 {
                message[2..34].copy_from_slice(&point);
            }
        };
        let run = Run { touch: &g_y, ..Run::default() };
        assert_eq!(run.ends(), [we_fail("read message_2", invalid), they_fail("parse_message_2", "panic")]);
    }
}

#[test]
fn tampered_on_the_way() {
    let last = |at: u8| {
        move |number: u8, message: &mut Vec<u8>| {
            if number == at {
                *message.last_mut().unwrap() ^= 1;
            }
        }
    };
    let (ours, theirs) = (Untrusted::Authentication, "MacVerificationFailed");
    for (number, expected) in [
        (2, [we_fail("accept message_2", ours), they_fail("verify_message_2", theirs)]),
        (3, [they_fail("parse_message_3", theirs), we_fail("read message_3", ours)]),
        (4, [we_fail("read message_4", ours), they_fail("process_message_4", theirs)]),
    ] {
        assert_eq!(Run { touch: &last(number), ..Run::default() }.ends(), expected, "message_{number}");
    }
}

#[test]
fn negotiation() {
    let (gcm, ccm_16, ccm_8) = (Suite::GCM, Suite::CCM_16, Suite::CCM_8);
    let start = |suites: &[Suite]| {
        Run { suites, ..Run::default() }.we_start().map(|done| assert_eq!(done.ours, done.theirs)).err()
    };
    assert_eq!(start(&[ccm_16, ccm_8]), None);
    let unsupported = they_fail("process_message_1", "UnsupportedCipherSuite");
    assert_eq!(start(&[ccm_16]), unsupported);
    assert_eq!(start(&[ccm_8, ccm_16]), unsupported);
    // Their reader has no negative numbers: with the private-use suite in the list it ends here, and not with error 2.
    assert_eq!(start(&[gcm, ccm_8]), they_fail("process_message_1", "ParsingError"));

    let method = Run { method: Method::SignSign, ..Run::default() };
    let expected = we_fail("read message_1", Misbehaved::UnsupportedMethod);
    assert_eq!(method.ends(), [they_fail("process_message_1", "UnsupportedMethod"), expected]);
    let suites = Run { suites_r: &[gcm, ccm_16], ..Run::default() };
    let refused = suites.they_start().err();
    assert_eq!(refused, we_fail("read message_1", Misbehaved::WrongSuite));
    // They have no error messages; ours are none of their messages either.
    let error = error_message(&Misbehaved::WrongSuite.into(), suites.suites_r).unwrap();
    let replace = |number: u8, message: &mut Vec<u8>| {
        if number == 2 {
            message.clone_from(&error);
        }
    };
    let run = Run { touch: &replace, ..Run::default() };
    assert_eq!(
        run.ends(),
        [we_fail("read message_2", Malformed::WrongType), they_fail("parse_message_2", "ParsingError")]
    );
    assert_eq!(remote_provisioning::edhoc::read_error(&error).map(|error| error.refused), Ok(Refused::WrongSuite));
}

/// message_2 that came back to the one who sent message_1: they would go on with their own point.
#[test]
fn reflection() {
    let g_x = RefCell::new(Vec::new());
    let reflect = |number: u8, message: &mut Vec<u8>| match number {
        1 => *g_x.borrow_mut() = message[4..36].to_vec(),
        2 => message[2..34].copy_from_slice(&g_x.borrow()),
        _ => {}
    };
    let run = Run { touch: &reflect, ..Run::default() };
    assert_eq!(run.we_start().err(), we_fail("read message_2", Misbehaved::Reflection));
    assert_eq!(run.they_start().err().unwrap().0, Side::Lakers);
}
