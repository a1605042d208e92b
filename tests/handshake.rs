//! EDHOC over the public API: everything that must work, and everything that must not.
//!
//! [`Run`] takes a device and an operator through all steps, lets a test reach for each message on its way, and tells
//! the step at which it ended.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

use remote_provisioning::{
    crypto::{Crypto, Rng, rustcrypto::RustCrypto},
    edhoc::{
        ConnectionId, Ead, EadItem, MAX_EAD, Method, OwnCredential, Session, Stopped, Suite, TakenEad, error_message,
        initiator, is_error_message, read_error, responder,
    },
    error::{Backend, Error, Malformed, Misbehaved, Misuse, Refused, Untrusted},
    identity::{Domain, Role},
    sim::identities as ids,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, Date, MemoryAnchors, Peer, Pinned, Usage, Verified, verify},
    wire::{Reader, Writer, encode_with},
};

const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];
const CREDENTIALS: [Named; 4] = [Named::Chain, Named::Thumbprint, Named::Kid, Named::Ccs];

/// 2025-06-01.
const TODAY: Option<Date> = Some(Date(1_748_736_000));

const KEY: KeyId = KeyId(3);

const NOT_ACCEPTED: &[u8] = b"\x01\x6cnot accepted";

// ------------------------------------------------------------------------------------------------------------ parties

/// How a credential is named in ID_CRED_x.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Named {
    Chain,
    Thumbprint,
    Kid,
    Ccs,
}

struct Party {
    own: OwnCredential,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
    date: Option<Date>,
}

fn key_store(scalar: &[u8; 32]) -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, scalar).unwrap();
    keys
}

fn pin(ccs: &[u8], role: Role) -> Pinned {
    Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap()
}

fn device(named: Named) -> Party {
    let (chain, raw) = (ids::device_chain(), pin(ids::raw_device_ccs(), Role::Device));
    let anchors = ids::device_anchors();
    party(named, &chain, ids::device_key(), &raw, ids::raw_device_key(), anchors)
}

fn operator(named: Named) -> Party {
    let (chain, raw) = (ids::operator_chain(), pin(ids::raw_operator_ccs(), Role::Operator));
    let anchors = ids::operator_anchors();
    party(named, &chain, ids::operator_key(), &raw, ids::raw_operator_key(), anchors)
}

fn party(
    named: Named,
    chain: &[&[u8]],
    chain_key: &[u8; 32],
    raw: &Pinned,
    raw_key: &[u8; 32],
    anchors: MemoryAnchors,
) -> Party {
    let (own, key) = match named {
        Named::Chain => (OwnCredential::chain(KEY, chain).unwrap(), chain_key),
        Named::Thumbprint => (OwnCredential::thumbprint(KEY, chain[0], &RustCrypto), chain_key),
        Named::Kid => (OwnCredential::pinned(KEY, raw).unwrap(), raw_key),
        Named::Ccs => (OwnCredential::ccs(KEY, raw), raw_key),
    };
    Party { own, keys: key_store(key), anchors, date: TODAY }
}

/// Random numbers that are none: the same in every run.
struct Repeatable(u8);

impl Rng for Repeatable {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        for chunk in out.chunks_mut(32) {
            self.0 = self.0.wrapping_add(1);
            chunk.copy_from_slice(&RustCrypto.sha256(&[b"no randomness", &[self.0]])[..chunk.len()]);
        }
        Ok(())
    }
}

fn id(bytes: &[u8]) -> ConnectionId {
    ConnectionId::new(bytes).unwrap()
}

// ---------------------------------------------------------------------------------------------------------------- run

/// Where a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Start,
    Read1,
    Write2,
    Read2,
    Verify2,
    Accept2,
    Write3,
    Read3,
    Verify3,
    Accept3,
    Write4,
    Read4,
    Complete,
}

#[derive(Debug, PartialEq)]
struct Failed(Step, Error);

impl Failed {
    /// What goes back to the peer.
    fn told(&self) -> Vec<u8> {
        error_message(&self.1, &Suite::ALL).expect("an error message")
    }
}

/// A message's number, its bytes on the way, and whatever a test does with them.
type Touch<'a> = &'a dyn Fn(u8, &mut Vec<u8>);

/// What an application takes out of the EAD items of message n.
type Take<'a> = &'a dyn Fn(u8, &mut Ead);

#[derive(Clone, Copy)]
struct Run<'a> {
    method: Method,
    suites: &'a [Suite],
    methods_r: &'a [Method],
    suites_r: &'a [Suite],
    device: &'a Party,
    operator: &'a Party,
    c_i: &'a [u8],
    c_r: &'a [u8],
    ead: [&'a [EadItem<'a>]; 4],
    touch: Touch<'a>,
    take: Take<'a>,
}

struct Done {
    device: Session,
    operator: Session,
    messages: [Vec<u8>; 4],
}

impl<'a> Run<'a> {
    fn new(method: Method, suite: &'a Suite, device: &'a Party, operator: &'a Party) -> Self {
        Self {
            method,
            suites: core::slice::from_ref(suite),
            methods_r: &METHODS,
            suites_r: &Suite::ALL,
            device,
            operator,
            c_i: &[0x02],
            c_r: &[0x37],
            ead: [&[]; 4],
            touch: &|_, _| {},
            take: &|_, _| {},
        }
    }

    fn go(&self) -> Result<Done, Failed> {
        self.go_on(&mut Repeatable(0), &mut Repeatable(100))
    }

    fn go_on(&self, x: &mut dyn Rng, y: &mut dyn Rng) -> Result<Done, Failed> {
        let Self { device, operator, .. } = *self;
        let (c_i, c_r) = (id(self.c_i), id(self.c_r));
        let proposal = initiator::Proposal { method: self.method, suites: self.suites, c_i: &c_i, ead_1: self.ead[0] };
        let (sent, mut message_1) = initiator::start(&proposal, &RustCrypto, x).map_err(at(Step::Start))?;
        (self.touch)(1, &mut message_1);

        let read = responder::read(&message_1, self.methods_r, self.suites_r, &RustCrypto);
        let mut read = read.map_err(at(Step::Read1))?;
        (self.take)(1, read.unverified_ead());
        let written = read.write(&c_r, &operator.own, self.ead[1], &operator.keys, &RustCrypto, y);
        let (sent_2, mut message_2) = written.map_err(at(Step::Write2))?;
        (self.touch)(2, &mut message_2);

        let read = sent.read(&message_2, &RustCrypto).map_err(at(Step::Read2))?;
        let peer = device.verify(&read.claimed().unwrap(), Role::Operator).map_err(at(Step::Verify2))?;
        let mut accepted = read.accept(peer, &device.own, &RustCrypto).map_err(at(Step::Accept2))?;
        (self.take)(2, accepted.ead());
        let device_th_3 = *accepted.th_3();
        let written = accepted.write(&device.own, self.ead[2], &device.keys, &RustCrypto);
        let (sent_3, mut message_3) = written.map_err(at(Step::Write3))?;
        (self.touch)(3, &mut message_3);

        let read = sent_2.read(&message_3, &RustCrypto).map_err(at(Step::Read3))?;
        let peer = operator.verify(&read.claimed().unwrap(), Role::Device).map_err(at(Step::Verify3))?;
        let mut accepted = read.accept(peer, &operator.own, &RustCrypto).map_err(at(Step::Accept3))?;
        (self.take)(3, accepted.ead());
        assert_eq!(accepted.th_3(), &device_th_3);
        let (operator_session, mut message_4) = accepted.write(self.ead[3], &RustCrypto).map_err(at(Step::Write4))?;
        (self.touch)(4, &mut message_4);

        let mut read = sent_3.read(&message_4, &RustCrypto).map_err(at(Step::Read4))?;
        (self.take)(4, read.ead());
        let device_session = read.complete().map_err(at(Step::Complete))?;
        Ok(Done {
            device: device_session,
            operator: operator_session,
            messages: [message_1, message_2, message_3, message_4],
        })
    }

    fn with_ead<'b>(&self, index: usize, items: &'b [EadItem<'b>]) -> Run<'b>
    where
        'a: 'b,
    {
        let mut run = Run::<'b> { ..*self };
        run.ead[index] = items;
        run
    }

    /// The device's half alone, up to what it reads last.
    fn device_reads(&self, message_2: &[u8], message_4: Option<&[u8]>) -> Result<(), Failed> {
        let (device, c_i) = (self.device, id(self.c_i));
        let proposal = initiator::Proposal { method: self.method, suites: self.suites, c_i: &c_i, ead_1: self.ead[0] };
        let (sent, _) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).map_err(at(Step::Start))?;
        let read = sent.read(message_2, &RustCrypto).map_err(at(Step::Read2))?;
        let peer = device.verify(&read.claimed().unwrap(), Role::Operator).map_err(at(Step::Verify2))?;
        let accepted = read.accept(peer, &device.own, &RustCrypto).map_err(at(Step::Accept2))?;
        let Some(message_4) = message_4 else { return Ok(()) };
        let written = accepted.write(&device.own, self.ead[2], &device.keys, &RustCrypto);
        let (sent, _) = written.map_err(at(Step::Write3))?;
        let read = sent.read(message_4, &RustCrypto).map_err(at(Step::Read4))?;
        read.complete().map(|_| ()).map_err(at(Step::Complete))
    }

    /// The operator's half alone.
    fn operator_reads(&self, message_1: &[u8], message_3: &[u8]) -> Result<(), Failed> {
        let (operator, c_r) = (self.operator, id(self.c_r));
        let read = responder::read(message_1, self.methods_r, self.suites_r, &RustCrypto).map_err(at(Step::Read1))?;
        let rng = &mut Repeatable(100);
        let written = read.write(&c_r, &operator.own, self.ead[1], &operator.keys, &RustCrypto, rng);
        let (sent, _) = written.map_err(at(Step::Write2))?;
        let read = sent.read(message_3, &RustCrypto).map_err(at(Step::Read3))?;
        let peer = operator.verify(&read.claimed().unwrap(), Role::Device).map_err(at(Step::Verify3))?;
        read.accept(peer, &operator.own, &RustCrypto).map(|_| ()).map_err(at(Step::Accept3))
    }

    /// Where it ends, and why; `None` if it does not.
    fn end(&self) -> Option<Failed> {
        self.go().err()
    }
}

impl Party {
    fn verify(&self, claimed: &CredentialId<'_>, role: Role) -> Result<Candidates, Error> {
        verify(claimed, role, Domain::Test, &self.anchors, &RustCrypto, self.date)
    }
}

/// For `map_err`.
fn at<E: Into<Error>>(step: Step) -> impl Fn(E) -> Failed {
    move |error| Failed(step, error.into())
}

/// Why a step did not happen.
fn why<T, S>(result: Result<T, Stopped<S>>) -> Option<Error> {
    result.err().map(|stopped| stopped.error())
}

fn refusal(error_message: &[u8]) -> Result<Refused, Malformed> {
    read_error(error_message).map(|error| error.refused)
}

fn fails(step: Step, error: impl Into<Error>) -> Option<Failed> {
    Some(Failed(step, error.into()))
}

fn exported(session: &Session, label: u16, context: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    session.export(label, context, &mut out, &RustCrypto).unwrap();
    out
}

fn sequence(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    encode_with(write)
}

// ----------------------------------------------------------------------------------------------------------- they work

/// Four methods, three suites, three names for a credential on either side.
#[test]
fn both_sides_have_the_same_keys() {
    for suite in Suite::ALL {
        for method in METHODS {
            for (device_named, operator_named) in
                CREDENTIALS.into_iter().flat_map(|device| CREDENTIALS.map(|operator| (device, operator)))
            {
                // All pairs once; with the other suites only the equal ones.
                if device_named != operator_named && suite != Suite::CCM_8 {
                    continue;
                }
                let (device, operator) = (device(device_named), operator(operator_named));
                let done = Run::new(method, &suite, &device, &operator).go().unwrap();
                let what = format!("suite {}, {method:?}, {device_named:?} and {operator_named:?}", suite.number);
                println!("{what}: {:?}", done.messages.each_ref().map(Vec::len));
                assert_eq!(done.device.th_4(), done.operator.th_4(), "{what}");
                for (label, context) in [(0, &b""[..]), (0xce01, b""), (0xce01, b"x"), (0xce02, b"")] {
                    let output = exported(&done.device, label, context);
                    assert_eq!(output, exported(&done.operator, label, context), "{what}");
                    assert_ne!(output, [0; 32], "{what}");
                }
                assert_ne!(exported(&done.device, 0xce01, b""), exported(&done.device, 0xce01, b"x"));
                assert_ne!(exported(&done.device, 0xce01, b""), exported(&done.device, 0xce02, b""));
                let names = match device_named {
                    Named::Kid | Named::Ccs => "IOT-0001-0000-0002",
                    Named::Chain | Named::Thumbprint => "IOT-0001-0000-0001",
                };
                assert_eq!(done.operator.peer().name().as_str(), names);
                assert_eq!(done.device.peer().credential(), operator.own.credential(), "{what}");
                assert_eq!(done.operator.peer().credential(), device.own.credential(), "{what}");
            }
        }
    }
}

/// RFC 9528 §1.2, figure 1; message_4 is not in it. Its x5t hash has 8 bytes, ours 32.
#[test]
fn sizes() {
    let sizes = |method, suite: &Suite, named| {
        let (device, operator) = (device(named), operator(named));
        Run::new(method, suite, &device, &operator).go().unwrap().messages.map(|message| message.len())
    };
    let ccm_8 = sizes(Method::StaticStatic, &Suite::CCM_8, Named::Kid);
    assert_eq!(ccm_8, [37, 45, 19, 9]);
    assert_eq!(ccm_8.iter().sum::<usize>(), 110);
    assert_eq!(sizes(Method::SignSign, &Suite::CCM_8, Named::Kid), [37, 102, 77, 9]);
    let longer_hash = 25;
    assert_eq!(
        sizes(Method::StaticStatic, &Suite::CCM_8, Named::Thumbprint),
        [37, 58 + longer_hash, 33 + longer_hash, 9]
    );
    // MACs and tags of 16 bytes, twice in message_3.
    for suite in [Suite::CCM_16, Suite::GCM] {
        assert_eq!(sizes(Method::StaticStatic, &suite, Named::Kid), [37, 53, 36, 17]);
    }
}

/// The table of the README, message by message.
#[test]
fn sizes_by_method_and_credential() {
    let mut table = String::new();
    for suite in [Suite::CCM_8, Suite::GCM] {
        for method in METHODS {
            let totals = [Named::Kid, Named::Ccs, Named::Thumbprint, Named::Chain].map(|named| {
                let (device, operator) = (device(named), operator(named));
                let messages = Run::new(method, &suite, &device, &operator).go().unwrap().messages;
                let sizes = messages.each_ref().map(|message| message.len().to_string());
                format!("{} = {}", sizes.join("+"), messages.iter().map(Vec::len).sum::<usize>())
            });
            table += &format!("| {method:?}, suite {} | {} |\n", suite.number, totals.join(" | "));
        }
    }
    assert_eq!(table, SIZES);
}

const SIZES: &str = "\
| SignSign, suite 2 | 37+102+77+9 = 225 | 37+197+180+9 = 423 | 37+140+115+9 = 301 | 37+773+727+9 = 1546 |
| SignStatic, suite 2 | 37+45+77+9 = 168 | 37+140+180+9 = 366 | 37+83+115+9 = 244 | 37+716+727+9 = 1489 |
| StaticSign, suite 2 | 37+102+19+9 = 167 | 37+197+123+9 = 366 | 37+140+58+9 = 244 | 37+773+670+9 = 1489 |
| StaticStatic, suite 2 | 37+45+19+9 = 110 | 37+140+123+9 = 309 | 37+83+58+9 = 187 | 37+716+670+9 = 1432 |
| SignSign, suite -24 | 37+102+85+17 = 241 | 37+197+188+17 = 439 | 37+140+123+17 = 317 | 37+773+735+17 = 1562 |
| SignStatic, suite -24 | 37+53+85+17 = 192 | 37+148+188+17 = 390 | 37+91+123+17 = 268 | 37+724+735+17 = 1513 |
| StaticSign, suite -24 | 37+102+36+17 = 192 | 37+197+139+17 = 390 | 37+140+74+17 = 268 | 37+773+686+17 = 1513 |
| StaticStatic, suite -24 | 37+53+36+17 = 143 | 37+148+139+17 = 341 | 37+91+74+17 = 219 | 37+724+686+17 = 1464 |
";

/// Fresh ephemeral keys give fresh sessions; the same ones give the same (or all other tests here say nothing).
#[test]
fn sessions_differ() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let run = Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator);
    let th_4 = |x, y| *run.go_on(&mut Repeatable(x), &mut Repeatable(y)).unwrap().device.th_4();
    assert_eq!(th_4(0, 100), th_4(0, 100));
    assert_ne!(th_4(0, 100), th_4(1, 100));
    assert_ne!(th_4(0, 100), th_4(0, 101));
}

#[test]
fn connection_identifiers() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let run = Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator);
    // RFC 9528 §3.3.2: what is one byte on the wire, and what is not.
    for (bytes, encoded) in [
        (&[0x00][..], &[0x00][..]),
        (&[0x17], &[0x17]),
        (&[0x20], &[0x20]),
        (&[0x21], &[0x21]),
        (&[0x37], &[0x37]),
        (&[], &[0x40]),
        (&[0x18], &[0x41, 0x18]),
        (&[0x1f], &[0x41, 0x1f]),
        (&[0x38], &[0x41, 0x38]),
        (&[0xff], &[0x41, 0xff]),
        (&[0xab, 0xcd], &[0x42, 0xab, 0xcd]),
        (&[0x21, 0x21], &[0x42, 0x21, 0x21]),
        (&[9; 8], &[0x48, 9, 9, 9, 9, 9, 9, 9, 9]),
    ] {
        let done = Run { c_i: bytes, c_r: &[0x0a, 0x0a], ..run }.go().unwrap();
        assert!(done.messages[0].ends_with(encoded), "{bytes:?}");
        assert_eq!(done.messages[0].len(), 36 + encoded.len());
        let done = Run { c_r: bytes, c_i: &[0x0a, 0x0a], ..run }.go().unwrap();
        assert_eq!(done.messages[1].len(), 44 + encoded.len());
        let read = responder::read(&done.messages[0], &METHODS, &Suite::ALL, &RustCrypto).unwrap();
        assert_eq!(read.c_i().bytes(), [0x0a, 0x0a]);
    }
    assert!(matches!(ConnectionId::new(&[0; 9]), Err(Misuse::Parameter(_))));

    // §3.3.2: they differ, whoever finds out first.
    let same = Run { c_i: &[0x0b], c_r: &[0x0b], ..run };
    assert_eq!(same.end(), fails(Step::Write2, Misbehaved::SameConnectionId));
    let changed = |number, message: &mut Vec<u8>| {
        if number == 1 {
            *message.last_mut().unwrap() = 0x0c;
        }
    };
    let behind_the_operators_back = Run { touch: &changed, ..same };
    // The keystream no longer fits, so C_R comes out as anything.
    assert!(behind_the_operators_back.end().unwrap().0 >= Step::Read2);

    for seed in 0..=255 {
        let not = ConnectionId::random(&mut Repeatable(seed), None).unwrap();
        let other = ConnectionId::random(&mut Repeatable(seed), Some(&not)).unwrap();
        assert_ne!(not, other);
        assert!(other.bytes().len() == 1 && other.bytes()[0] < 24);
    }
}

/// An operator that has no rules of its own still cannot make a device accept C_R = C_I.
#[test]
fn an_operator_that_takes_our_c_i() {
    let operator = operator(Named::Kid);
    let (device_id, other) = (id(&[0x0b]), id(&[0x0c]));
    let proposal =
        initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &device_id, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
    let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
    let write = read.write(&other, &operator.own, &[], &operator.keys, &RustCrypto, &mut Repeatable(100));
    let (_, mut message_2) = write.unwrap();
    // C_R is the first byte of PLAINTEXT_2, behind G_Y; a stream cipher lets anybody change it.
    message_2[2 + 32] ^= 0x0b ^ 0x0c;
    assert_eq!(why(sent.read(&message_2, &RustCrypto)), Some(Misbehaved::SameConnectionId.into()));
}

// ---------------------------------------------------------------------------------------------------------- negotiation

#[test]
fn methods() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    for method in METHODS {
        let others: Vec<Method> = METHODS.into_iter().filter(|other| *other != method).collect();
        let run = Run { methods_r: &others, ..Run::new(method, &Suite::CCM_8, &device, &operator) };
        assert_eq!(run.end(), fails(Step::Read1, Misbehaved::UnsupportedMethod));
        assert_eq!(run.end().unwrap().told(), NOT_ACCEPTED);
        let run = Run { methods_r: &[method], ..run };
        assert_eq!(run.end(), None);
    }
    // Numbers that are no method.
    for unknown in [0x04_u8, 0x17, 0x20, 0x37] {
        let touch = |number, message: &mut Vec<u8>| {
            if number == 1 {
                message[0] = unknown;
            }
        };
        let run = Run { touch: &touch, ..Run::new(Method::SignSign, &Suite::CCM_8, &device, &operator) };
        assert_eq!(run.end(), fails(Step::Read1, Misbehaved::UnsupportedMethod));
    }
}

/// RFC 9528 §5.2.3 and §6.3: only the first suite of the initiator's that the responder runs too.
#[test]
fn suites() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let run = Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator);
    let foreign = Suite { number: 24, ..Suite::GCM };
    let (gcm, ccm_16, ccm_8) = (Suite::GCM, Suite::CCM_16, Suite::CCM_8);
    for (proposed, run_by_operator, accepted) in [
        (&[gcm][..], &[gcm][..], true),
        (&[gcm, ccm_16, ccm_8], &[ccm_8], true),
        (&[foreign, ccm_8], &Suite::ALL, true),
        (&[gcm, ccm_8], &[ccm_8, ccm_16], true),
        (&[gcm], &[ccm_8], false),
        (&[foreign], &Suite::ALL, false),
        (&[ccm_8, foreign], &[ccm_8], false),
        // Talked down: both run the first one.
        (&[gcm, ccm_8], &Suite::ALL, false),
        (&[foreign, ccm_16, ccm_8], &[ccm_8, ccm_16], false),
        (&[ccm_16, foreign, ccm_8], &[ccm_8, ccm_16], false),
    ] {
        let run = Run { suites: proposed, suites_r: run_by_operator, ..run };
        if accepted {
            assert_eq!(run.end(), None);
        } else {
            let failed = run.end();
            assert_eq!(failed, fails(Step::Read1, Misbehaved::WrongSuite));
            let error = error_message(&failed.unwrap().1, run_by_operator).unwrap();
            let mut reader = Reader::new(&error).unwrap();
            assert_eq!(reader.integer(), Ok(2));
            let numbers: Vec<i64> = match run_by_operator.len() {
                1 => vec![reader.integer().unwrap()],
                len => {
                    assert_eq!(reader.array(), Ok(len));
                    (0..len).map(|_| reader.integer().unwrap()).collect()
                }
            };
            assert_eq!(reader.end(), Ok(()));
            assert_eq!(numbers, run_by_operator.iter().map(|suite| suite.number).collect::<Vec<_>>());
            assert!(is_error_message(&error));
            assert_eq!(refusal(&error), Ok(Refused::WrongSuite));
        }
    }

    // What was preferred is in the transcript: leaving it out on the way is noticed.
    let talk_down = |number, message: &mut Vec<u8>| {
        if number == 1 {
            assert_eq!(message[1..4], [0x82, 0x37, 0x02]);
            message.splice(1..4, [0x02]);
        }
    };
    let suites = [gcm, ccm_8];
    let run = Run { suites: &suites, touch: &talk_down, ..run };
    assert!(run.end().is_some_and(|failed| (Step::Read2..=Step::Accept2).contains(&failed.0)));

    let propose = |suites: &[Suite]| {
        let proposal = initiator::Proposal { method: Method::SignSign, suites, c_i: &id(&[]), ead_1: &[] };
        initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).map(|(_, message)| message)
    };
    assert!(matches!(propose(&[]), Err(Error::Misuse(_))));
    assert!(matches!(propose(&[foreign; 9]), Err(Error::Misuse(_))));
    let eight = propose(&[foreign, foreign, foreign, foreign, foreign, foreign, foreign, ccm_8]).unwrap();
    assert!(responder::read(&eight, &METHODS, &Suite::ALL, &RustCrypto).is_ok());
    // Malformed is malformed, also where the suite would be wrong (§5.2.3: decode, then process).
    let both = [propose(&[foreign]).unwrap(), vec![0x60]].concat();
    let read = responder::read(&both, &METHODS, &Suite::ALL, &RustCrypto);
    assert_eq!(read.err(), Some(Malformed::WrongType.into()));
}

/// message_1, written by hand.
#[test]
fn message_1_grammar() {
    let (g_x, _) = points();
    let message_1 = |method: &[u8], suites: &[u8], g_x: &[u8], c_i: &[u8], ead: &[u8]| {
        let g_x = sequence(|w| w.bytes(g_x));
        let message = [method, suites, &g_x, c_i, ead].concat();
        responder::read(&message, &METHODS, &Suite::ALL, &RustCrypto).err()
    };
    let because = |reason: Malformed| Some(Error::Malformed(reason));
    let ok = |suites: &[u8], c_i: &[u8], ead: &[u8]| message_1(&[3], suites, &g_x, c_i, ead);
    assert_eq!(ok(&[2], &[0x0e], &[]), None);
    assert_eq!(ok(&[0x82, 6, 2], &[0x41, 0x18], &[0x00, 0x01, 0x40]), None);

    assert_eq!(ok(&[0x80], &[0x0e], &[]), because(Malformed::WrongLength), "no suite");
    assert_eq!(ok(&[0x81, 2], &[0x0e], &[]), because(Malformed::WrongLength), "one suite in an array");
    assert_eq!(ok(&[0x82, 0x60, 2], &[0x0e], &[]), because(Malformed::WrongType), "text for a suite");
    assert_eq!(ok(&[0x89, 6, 6, 6, 6, 6, 6, 6, 6, 2], &[0x0e], &[]), because(Malformed::TooLong), "nine suites");
    assert_eq!(ok(&[0x18, 2], &[0x0e], &[]), because(Malformed::NotShortest), "long suite");
    assert_eq!(ok(&[2], &[0x41, 0x0e], &[]), because(Malformed::NotShortest), "C_I that should be an int");
    assert_eq!(ok(&[2], &[0x41, 0x37], &[]), because(Malformed::NotShortest), "C_I that should be an int");
    assert_eq!(ok(&[2], &[0x18, 0x18], &[]), because(Malformed::OutOfRange), "24");
    assert_eq!(ok(&[2], &[0x38, 0x18], &[]), because(Malformed::OutOfRange), "-25");
    assert_eq!(ok(&[2], &[0x49, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]), because(Malformed::TooLong), "nine bytes");
    assert_eq!(ok(&[2], &[0x61, 0x0e], &[]), because(Malformed::WrongType), "text for C_I");
    assert_eq!(ok(&[2], &[0xf6], &[]), because(Malformed::WrongType), "null for C_I");
    assert_eq!(ok(&[2], &[], &[]), because(Malformed::Truncated), "no C_I");
    assert_eq!(ok(&[2], &[0x0e], &[0x40]), because(Malformed::WrongType), "a value without a label");
    assert_eq!(ok(&[2], &[0x0e], &[1, 0x40, 0x40]), because(Malformed::WrongType), "two values for a label");
    assert_eq!(ok(&[2], &[0x0e], &[1, 0x60]), because(Malformed::WrongType), "text for a value");
    assert_eq!(ok(&[2], &[0x0e], &[1, 0x41]), because(Malformed::Truncated), "half a value");
    assert_eq!(ok(&[2], &[0x0e], &[0x18, 1]), because(Malformed::NotShortest), "long label");
    assert_eq!(message_1(&[0x18, 3], &[2], &g_x, &[0x0e], &[]), because(Malformed::NotShortest));
    assert_eq!(message_1(&[0x43], &[2], &g_x, &[0x0e], &[]), because(Malformed::WrongType));
    assert_eq!(message_1(&[0xf5, 3], &[2], &g_x, &[0x0e], &[]), because(Malformed::WrongType), "as in CoAP");
    let long = vec![0; 4096];
    assert_eq!(ok(&[2], &[0x0e], &long), because(Malformed::TooLong));
    // All that fits is padding.
    assert_eq!(ok(&[2], &[0x0e], &long[..4096 - 37]), None);
}

// ------------------------------------------------------------------------------------------------------------------ EAD

const fn item<'a>(label: u32, critical: bool, value: Option<&'a [u8]>) -> EadItem<'a> {
    EadItem { label, critical, value }
}

/// The step that a critical item of message n must not let pass.
const STOPPED: [Step; 4] = [Step::Write2, Step::Write3, Step::Write4, Step::Complete];

#[test]
fn critical_items_stop_the_session_unless_taken() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    for method in [Method::SignSign, Method::StaticStatic] {
        let run = Run::new(method, &Suite::CCM_8, &device, &operator);
        for (index, stopped) in STOPPED.into_iter().enumerate() {
            let number = u8::try_from(index + 1).unwrap();
            let critical = [item(0xce11, true, Some(b"value"))];
            let failed = run.with_ead(index, &critical).end();
            assert_eq!(failed, fails(stopped, Misbehaved::CriticalEad), "EAD_{number}");
            assert_eq!(failed.unwrap().told(), NOT_ACCEPTED);
            assert_eq!(run.with_ead(index, &[item(1, true, None)]).end(), fails(stopped, Misbehaved::CriticalEad));
            assert_eq!(run.with_ead(index, &[item(1, false, None), item(2, true, None)]).end().unwrap().0, stopped);

            // Taken, it does not.
            let take = |at: u8, ead: &mut Ead| {
                if at == number {
                    let taken = TakenEad { critical: true, value: Some(b"value") };
                    assert_eq!(ead.take(0xce11), Some(taken));
                    assert_eq!(ead.take(0xce11), None);
                } else {
                    assert_eq!(ead.take(0xce11), None);
                }
            };
            assert_eq!(Run { take: &take, ..run.with_ead(index, &critical) }.end(), None);

            // Not critical, it does not either, taken or not; nor does padding, however much.
            let value = vec![0xe9; 300];
            let padding = [item(0, false, None), item(0, false, Some(b"")), item(0, false, Some(&value))];
            let harmless = [&padding[..], &[item(5, false, Some(b"x")), item(0xffff_ffff, false, None)]].concat();
            assert_eq!(run.with_ead(index, &harmless).end(), None);
            assert_eq!(run.with_ead(index, &[padding[0]; 100]).end(), None);
            let take = |at, ead: &mut Ead| {
                if at == number {
                    assert_eq!(ead.take(0), None, "padding is not for the application");
                    assert_eq!(ead.take(5), Some(TakenEad { critical: false, value: Some(b"x") }));
                    assert_eq!(ead.take(0xffff_ffff), Some(TakenEad { critical: false, value: None }));
                }
            };
            assert_eq!(Run { take: &take, ..run.with_ead(index, &harmless) }.end(), None);

            // Two with the same label are two: taking one does not let the other pass.
            let twice = [item(7, true, Some(b"first")), item(0, false, None), item(7, true, Some(b"second"))];
            let take_one = |at, ead: &mut Ead| {
                if at == number {
                    assert_eq!(ead.take(7).unwrap().value, Some(&b"first"[..]));
                }
            };
            assert_eq!(Run { take: &take_one, ..run.with_ead(index, &twice) }.end().unwrap().0, stopped);
            let take_both = |at, ead: &mut Ead| {
                if at == number {
                    assert_eq!(ead.take(7).unwrap().value, Some(&b"first"[..]));
                    assert_eq!(ead.take(7).unwrap().value, Some(&b"second"[..]));
                    assert_eq!(ead.take(7), None);
                }
            };
            assert_eq!(Run { take: &take_both, ..run.with_ead(index, &twice) }.end(), None);

            // One more than there is room for is refused where it is read, and not dropped.
            let nine: Vec<_> = (1..=9).map(|label| item(label, false, None)).collect();
            let read = [Step::Read1, Step::Read2, Step::Read3, Step::Read4][index];
            assert_eq!(run.with_ead(index, &nine).end(), fails(read, Malformed::TooLong));
            assert_eq!(run.with_ead(index, &nine[..MAX_EAD]).end(), None);
            let padded: Vec<_> = nine[..8].iter().flat_map(|item| [*item, padding[1], padding[0]]).collect();
            assert_eq!(run.with_ead(index, &padded).end(), None);
        }
    }
}

/// What can be taken before the proof has been checked counts as taken, too.
#[test]
fn items_may_be_looked_at_early() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let proposal =
        initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &id(&[1]), ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
    let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
    let (hint, c_r) = ([item(9, true, Some(b"hint"))], id(&[2]));
    let written = read.write(&c_r, &operator.own, &hint, &operator.keys, &RustCrypto, &mut Repeatable(100));
    let (sent_2, message_2) = written.unwrap();
    let mut read = sent.read(&message_2, &RustCrypto).unwrap();
    assert_eq!(read.unverified_ead().take(9).unwrap().value, Some(&b"hint"[..]));
    let peer = device.verify(&read.claimed().unwrap(), Role::Operator).unwrap();
    let accepted = read.accept(peer, &device.own, &RustCrypto).unwrap();
    let (_, message_3) = accepted.write(&device.own, &hint, &device.keys, &RustCrypto).unwrap();
    let mut read = sent_2.read(&message_3, &RustCrypto).unwrap();
    assert_eq!(read.unverified_ead().take(9).unwrap().value, Some(&b"hint"[..]));
    let peer = operator.verify(&read.claimed().unwrap(), Role::Device).unwrap();
    let accepted = read.accept(peer, &operator.own, &RustCrypto).unwrap();
    assert!(accepted.session().peer().may_agree());
    assert!(accepted.write(&[], &RustCrypto).is_ok());
}

/// Labels that no caller can ask for: ignored if they may be, refused if not.
#[test]
fn labels_beyond_the_registry() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    for (label, stopped) in [
        (1 << 32, None),
        (i64::MAX, None),
        (-1 - (1 << 32), fails(Step::Write2, Misbehaved::CriticalEad)),
        (i64::MIN, fails(Step::Write2, Misbehaved::CriticalEad)),
    ] {
        let touch = |number, message: &mut Vec<u8>| {
            if number == 1 {
                message.extend(sequence(|w| w.integer(label)));
            }
        };
        let run = Run { touch: &touch, ..Run::new(Method::SignSign, &Suite::CCM_8, &device, &operator) };
        match stopped {
            Some(stopped) => assert_eq!(run.end(), Some(stopped)),
            // Somebody added it on the way, so the device stops.
            None => assert!(run.end().unwrap().0 > Step::Write2),
        }
    }
}

/// Encrypted items do not show in `Debug`.
#[test]
fn ead_debug_is_silent() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let value = [0xab; 4];
    let secret = [item(1, false, Some(&value))];
    let take = |_, ead: &mut Ead| assert_eq!(format!("{ead:?}"), "Ead(6 bytes, 1 items waiting)");
    let run = Run { ead: [&secret; 4], take: &take, ..Run::new(Method::SignSign, &Suite::GCM, &device, &operator) };
    assert_eq!(run.end(), None);
}

/// What the own reader would refuse for its length is not sent.
#[test]
fn too_long_to_send() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let run = Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator);
    let long = vec![0; 9000];
    for (index, step) in [Step::Start, Step::Write2, Step::Write3, Step::Write4].into_iter().enumerate() {
        for len in [4096, 4050, 9000] {
            let items = [item(0, false, Some(&long[..len]))];
            let mut ead = [&[][..]; 4];
            ead[index] = &items;
            let end = Run { ead, ..run }.end();
            let fits = [4096 - 37 - 4, 4096 - 46 - 4, 4096 - 21 - 4, 4096 - 11 - 4][index] >= len;
            match end {
                None => assert!(fits, "{len} bytes in EAD_{}", index + 1),
                Some(Failed(at, error)) => {
                    assert!(!fits && at == step && matches!(error, Error::Misuse(_)), "{at:?} {error:?}");
                    assert_eq!(error_message(&error, &Suite::ALL), None);
                }
            }
        }
    }
}

// --------------------------------------------------------------------------------------------------- who is not believed

/// A device and an operator that share an identity, as after a copied configuration.
fn believing(mut party: Party, ccs: &[u8], role: Role) -> Party {
    party.anchors = MemoryAnchors::new();
    party.anchors.add_pinned(pin(ccs, role)).unwrap();
    party
}

#[test]
fn selfie() {
    // Both sides have the device's credential, and each trusts it for the other role.
    let ccs = ids::raw_device_ccs();
    let device_side = believing(device(Named::Kid), ccs, Role::Operator);
    let operator_side = believing(device(Named::Kid), ccs, Role::Device);
    for method in METHODS {
        let run = Run::new(method, &Suite::CCM_8, &device_side, &operator_side);
        let failed = run.end();
        assert_eq!(failed, fails(Step::Accept2, Misbehaved::OwnCredential));
        assert_eq!(failed.unwrap().told(), NOT_ACCEPTED);
    }
    // The operator meets itself in message_3: the device accepts another credential, then shows this one.
    let device_side = Party { anchors: ids::device_anchors(), ..operator(Named::Kid) };
    let operator_side = believing(operator(Named::Kid), ids::raw_operator_ccs(), Role::Device);
    for method in METHODS {
        let at_message_2 = Run::new(method, &Suite::CCM_8, &device_side, &operator_side).end();
        assert_eq!(at_message_2, fails(Step::Accept2, Misbehaved::OwnCredential));
        let c_r = id(&[3]);
        let (proposal_suites, c_i) = ([Suite::CCM_8], id(&[4]));
        let proposal = initiator::Proposal { method, suites: &proposal_suites, c_i: &c_i, ead_1: &[] };
        let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
        let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
        let other = operator(Named::Thumbprint);
        let written = read.write(&c_r, &other.own, &[], &other.keys, &RustCrypto, &mut Repeatable(100));
        let (sent_2, message_2) = written.unwrap();
        let read = sent.read(&message_2, &RustCrypto).unwrap();
        let peer = device_side.verify(&read.claimed().unwrap(), Role::Operator).unwrap();
        let accepted = read.accept(peer, &device_side.own, &RustCrypto).unwrap();
        let (_, message_3) = accepted.write(&device_side.own, &[], &device_side.keys, &RustCrypto).unwrap();
        let read = sent_2.read(&message_3, &RustCrypto).unwrap();
        let peer = operator_side.verify(&read.claimed().unwrap(), Role::Device).unwrap();
        let accepted = read.accept(peer, &operator_side.own, &RustCrypto);
        assert_eq!(why(accepted), Some(Misbehaved::OwnCredential.into()));
    }
}

/// The credential that a device shows is held against the operator's, even if it named another one before.
#[test]
fn selfie_with_a_second_credential() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let (suites, c_i, c_r) = ([Suite::CCM_8], id(&[4]), id(&[5]));
    let proposal = initiator::Proposal { method: Method::StaticStatic, suites: &suites, c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
    let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
    let written = read.write(&c_r, &operator.own, &[], &operator.keys, &RustCrypto, &mut Repeatable(100));
    let read = sent.read(&written.unwrap().1, &RustCrypto).unwrap();
    let peer = device.verify(&read.claimed().unwrap(), Role::Operator).unwrap();
    let accepted = read.accept(peer, &device.own, &RustCrypto).unwrap();
    let written = accepted.write(&operator.own, &[], &operator.keys, &RustCrypto);
    assert_eq!(why(written), Some(Misbehaved::OwnCredential.into()));
}

#[test]
fn reflection() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    for method in METHODS {
        // G_Y = G_X: the operator draws the same scalar.
        let run = Run::new(method, &Suite::CCM_8, &device, &operator);
        let end = run.go_on(&mut Repeatable(0), &mut Repeatable(0)).err();
        assert_eq!(end, fails(Step::Read2, Misbehaved::Reflection));
        assert_eq!(end.unwrap().told(), NOT_ACCEPTED);
    }
    // Whole messages that come back.
    let done = Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator).go().unwrap();
    let replace = |at: u8, by: usize| {
        let touch = |number, message: &mut Vec<u8>| {
            if number == at {
                message.clone_from(&done.messages[by - 1]);
            }
        };
        Run { touch: &touch, ..Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator) }.end()
    };
    assert_eq!(replace(2, 1), fails(Step::Read2, Malformed::WrongType), "message_1 as message_2");
    assert_eq!(replace(2, 3), fails(Step::Read2, Malformed::Truncated), "message_3 as message_2");
    assert_eq!(replace(3, 2), fails(Step::Read3, Untrusted::Authentication), "message_2 as message_3");
    assert_eq!(replace(4, 3), fails(Step::Read4, Untrusted::Authentication), "message_3 as message_4");
    assert_eq!(replace(3, 4), fails(Step::Read3, Untrusted::Authentication), "message_4 as message_3");
    assert_eq!(replace(1, 2), fails(Step::Read1, Malformed::WrongType), "message_2 as message_1");
    assert_eq!(replace(2, 2), None);

    // Messages of another session.
    let run = Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator);
    let other = run.go_on(&mut Repeatable(1), &mut Repeatable(101)).unwrap();
    for (number, step) in [(3, Step::Read3), (4, Step::Read4)] {
        let touch = |at: u8, message: &mut Vec<u8>| {
            if usize::from(at) == number {
                message.clone_from(&other.messages[number - 1]);
            }
        };
        assert_eq!(Run { touch: &touch, ..run }.end(), fails(step, Untrusted::Authentication));
    }
}

/// RFC 9528 §6.4: a reference that nobody here knows has a code of its own; a type that nobody knows has not.
#[test]
fn unknown_credential() {
    let (device_side, operator_side) = (device(Named::Kid), operator(Named::Kid));
    let ignorant = |mut party: Party| {
        party.anchors = MemoryAnchors::new();
        party
    };
    for named in [Named::Kid, Named::Thumbprint] {
        let device_side = ignorant(device(named));
        let operator_side = operator(named);
        let failed = Run::new(Method::SignSign, &Suite::CCM_8, &device_side, &operator_side).end();
        assert_eq!(failed, fails(Step::Verify2, Untrusted::UnknownCredential));
        assert_eq!(failed.unwrap().told(), [0x03, 0xf5]);
        let device_side = device(named);
        let operator_side = ignorant(operator(named));
        let failed = Run::new(Method::SignSign, &Suite::CCM_8, &device_side, &operator_side).end();
        assert_eq!(failed, fails(Step::Verify3, Untrusted::UnknownCredential));
        let told = failed.unwrap().told();
        assert_eq!(told, [0x03, 0xf5]);
        assert_eq!(refusal(&told), Ok(Refused::Edhoc(3)));
    }
    // By flipping bits in CIPHERTEXT_2, anybody can turn kid 0x0a into -2.
    let touch = |number, message: &mut Vec<u8>| {
        if number == 2 {
            message[2 + 32 + 1] ^= 0x0a ^ 0x21;
        }
    };
    let run = Run { touch: &touch, ..Run::new(Method::StaticStatic, &Suite::CCM_8, &device_side, &operator_side) };
    assert_eq!(run.end(), fails(Step::Verify2, Untrusted::UnknownCredential));
}

/// ID_CRED_x of a kind that is not supported, or spelled otherwise than it must be.
#[test]
fn id_cred_grammar() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let run = Run::new(Method::SignSign, &Suite::CCM_8, &device, &operator);
    // PLAINTEXT_2 = 37 0a 5840 signature. Its beginning is known, so it can be replaced in the ciphertext; what comes
    // behind it is shifted into garbage, but the identity is judged first.
    let end_with = |prefix: &[u8]| {
        let touch = |number, message: &mut Vec<u8>| {
            if number == 2 {
                let beginning = [0x37, 0x0a, 0x58, 0x40];
                let wanted = [&[0x37][..], prefix].concat();
                for (at, (byte, want)) in beginning.iter().zip(&wanted).enumerate() {
                    message[2 + 32 + at] ^= byte ^ want;
                }
            }
        };
        Run { touch: &touch, ..run }.end()
    };
    assert_eq!(end_with(&[0x0a]), None);
    let malformed = |reason: Malformed| fails(Step::Read2, reason);
    assert_eq!(end_with(&[0x41, 0x0a]), malformed(Malformed::NotShortest));
    assert_eq!(end_with(&[0xf6]), malformed(Malformed::WrongType));
    assert_eq!(end_with(&[0x60]), malformed(Malformed::WrongType));
    assert_eq!(end_with(&[0x18, 0x18]), malformed(Malformed::OutOfRange));
    assert_eq!(end_with(&[0xa0]), malformed(Malformed::WrongLength));
    assert_eq!(end_with(&[0xa1, 0x04, 0x40]), malformed(Malformed::WrongType), "{{ 4: h'' }} is sent as h''");
    assert_eq!(end_with(&[0xa1, 0x05, 0x40]), malformed(Malformed::OutOfRange), "an unknown header parameter");
    assert_eq!(end_with(&[0xbf, 0x04, 0x40]), malformed(Malformed::Indefinite));
}

/// x-coordinates: one that is on the curve, and some that are not.
fn points() -> (Vec<u8>, [Vec<u8>; 8]) {
    let good = key_store(ids::raw_device_key()).public_key(KEY).unwrap().x().to_vec();
    let hex = |digits: &str| -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    // RFC 9529 §4.2.2 and §4.2.3.
    let not_below_p = hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
    let off_curve = hex("a04e73601df544a70ba7ea1e57030f7d4b4eb7f673924e58d54ca77a5e7d4d4a");
    let compressed = [&[2], good.as_slice()].concat();
    let zero_in_front = [&[0], good.as_slice()].concat();
    let uncompressed = [&[4; 33][..], &good].concat();
    let bad = [
        not_below_p,
        off_curve,
        vec![0xff; 32],
        Vec::new(),
        good[..31].to_vec(),
        compressed,
        zero_in_front,
        uncompressed,
    ];
    (good, bad)
}

#[test]
fn bad_points() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let (_, bad) = points();
    for method in METHODS {
        for point in &bad {
            let touch = |number, message: &mut Vec<u8>| {
                if number == 1 {
                    let bytes = sequence(|w| w.bytes(point));
                    message.splice(2..36, bytes);
                }
            };
            let run = Run { touch: &touch, ..Run::new(method, &Suite::CCM_8, &device, &operator) };
            let failed = run.end();
            assert_eq!(failed, fails(Step::Write2, Misbehaved::InvalidPoint), "G_X {point:02x?}");
            assert_eq!(failed.unwrap().told(), NOT_ACCEPTED);
        }
        for point in bad.iter().filter(|point| point.len() == 32) {
            let touch = |number, message: &mut Vec<u8>| {
                if number == 2 {
                    message[2..34].copy_from_slice(point);
                }
            };
            let run = Run { touch: &touch, ..Run::new(method, &Suite::CCM_8, &device, &operator) };
            assert_eq!(run.end(), fails(Step::Read2, Misbehaved::InvalidPoint), "G_Y {point:02x?}");
        }
    }
    // A G_Y of another length shifts the ciphertext, and the first 32 bytes are another point, or none.
    for point in bad.iter().filter(|point| point.len() != 32) {
        let touch = |number, message: &mut Vec<u8>| {
            if number == 2 {
                *message = sequence(|w| w.bytes(&[point.as_slice(), &message[34..]].concat()));
            }
        };
        let run = Run { touch: &touch, ..Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator) };
        let failed = run.end().expect("refused");
        assert!((Step::Read2..=Step::Accept2).contains(&failed.0), "{failed:?}");
    }
}

/// Whatever is wrong with a proof, the answer is the same.
#[test]
fn one_answer_for_every_failed_proof() {
    let mut all: Vec<(&str, Failed)> = Vec::new();
    let mut note = |what, failed: Option<Failed>| all.push((what, failed.expect(what)));
    let flip_end = |at: u8| {
        move |number: u8, message: &mut Vec<u8>| {
            if number == at {
                *message.last_mut().unwrap() ^= 1;
            }
        }
    };
    for method in METHODS {
        let (device_side, operator_side) = (device(Named::Kid), operator(Named::Kid));
        let run = Run::new(method, &Suite::CCM_8, &device_side, &operator_side);
        for number in 2..=4 {
            note("tampered", Run { touch: &flip_end(number), ..run }.end());
        }
        // The right credential, the wrong key.
        let wrong = Party { keys: key_store(ids::rogue_operator_key()), ..operator(Named::Kid) };
        let failed = Run { operator: &wrong, ..run }.end();
        assert_eq!(failed, fails(Step::Accept2, Untrusted::Authentication), "{method:?}");
        note("wrong key", failed);
        let wrong = Party { keys: key_store(ids::rogue_device_key()), ..device(Named::Kid) };
        let failed = Run { device: &wrong, ..run }.end();
        assert_eq!(failed, fails(Step::Accept3, Untrusted::Authentication), "{method:?}");
        note("wrong key", failed);
    }

    let run = |device: &Party, operator: &Party| Run::new(Method::SignSign, &Suite::GCM, device, operator).end();
    let rogue = |party: Party, chain: &[&[u8]], key| Party {
        own: OwnCredential::chain(KEY, chain).unwrap(),
        keys: key_store(key),
        ..party
    };
    let (good_device, good_operator) = (device(Named::Chain), operator(Named::Chain));
    let rogue_operator = rogue(operator(Named::Chain), &ids::rogue_operator_chain(), ids::rogue_operator_key());
    let failed = run(&good_device, &rogue_operator);
    assert_eq!(failed, fails(Step::Verify2, Untrusted::NoAnchor));
    note("wrong anchor", failed);
    let rogue_device = rogue(device(Named::Chain), &ids::rogue_device_chain(), ids::rogue_device_key());
    let failed = run(&rogue_device, &good_operator);
    assert_eq!(failed, fails(Step::Verify3, Untrusted::NoAnchor));
    note("wrong anchor", failed);
    let shown_by_the_wrong_side = rogue(operator(Named::Chain), &ids::device_chain(), ids::device_key());
    note("wrong role", run(&good_device, &shown_by_the_wrong_side));

    let expired: &[u8] = include_bytes!("vectors/pki/expired.der");
    let future: &[u8] = include_bytes!("vectors/pki/future.der");
    let issuer = ids::device_chain()[1];
    let late = rogue(device(Named::Chain), &[expired, issuer], ids::device_key());
    let failed = run(&late, &good_operator);
    assert_eq!(failed, fails(Step::Verify3, Untrusted::Expired));
    note("expired", failed);
    let early = rogue(device(Named::Chain), &[future, issuer], ids::device_key());
    let failed = run(&early, &good_operator);
    assert_eq!(failed, fails(Step::Verify3, Untrusted::NotYetValid));
    note("not yet valid", failed);
    let before = Party { date: Some(Date(1_000_000_000)), ..device(Named::Chain) };
    note("not yet valid", run(&before, &good_operator));
    let no_certificate = rogue(device(Named::Chain), &[b"no certificate", issuer], ids::device_key());
    let failed = run(&no_certificate, &good_operator);
    assert_eq!(failed, fails(Step::Verify3, Untrusted::BadCertificate));
    note("no certificate", failed);
    let long = [expired; 3];
    note("long chain", run(&rogue(device(Named::Chain), &long, ids::device_key()), &good_operator));

    assert!(all.len() > 25);
    for (what, failed) in all {
        let told = failed.told();
        assert_eq!(told, NOT_ACCEPTED, "{what}: {failed:?}");
        assert!(is_error_message(&told));
        assert_eq!(refusal(&told), Ok(Refused::Edhoc(1)));
    }
}

/// The private keys of tests/vectors/pki, as its script makes them.
fn worthless(name: &str) -> [u8; 32] {
    RustCrypto.sha256(&[b"worthless published test key: ", name.as_bytes()])
}

/// RFC 9528 §3.5.1: the key must be one for the method.
#[test]
fn key_usage() {
    let issuer = ids::device_chain()[1];
    let sign_only: &[u8] = include_bytes!("vectors/pki/sign-only.der");
    let agree_only: &[u8] = include_bytes!("vectors/pki/agree-only.der");
    let operator = operator(Named::Chain);
    for (certificate, name, good_for) in [
        (sign_only, "sign-only", [Method::SignSign, Method::SignStatic]),
        (agree_only, "agree-only", [Method::StaticSign, Method::StaticStatic]),
    ] {
        let device = Party {
            own: OwnCredential::chain(KEY, &[certificate, issuer]).unwrap(),
            keys: key_store(&worthless(name)),
            ..device(Named::Chain)
        };
        for method in METHODS {
            let end = Run::new(method, &Suite::CCM_16, &device, &operator).end();
            let expected = match good_for.contains(&method) {
                true => None,
                false => fails(Step::Accept3, Untrusted::WrongCredential),
            };
            assert_eq!(end, expected, "{name} {method:?}");
            assert!(end.is_none_or(|failed| failed.told() == NOT_ACCEPTED));
        }
    }
    // The same for an operator; there is no certificate of that kind, so somebody vouches for it.
    let device = device(Named::Kid);
    let raw = pin(ids::raw_operator_ccs(), Role::Operator);
    for (usage, good_for) in [
        (Usage { sign: true, agree: false }, [Method::SignSign, Method::StaticSign]),
        (Usage { sign: false, agree: true }, [Method::SignStatic, Method::StaticStatic]),
    ] {
        for method in METHODS {
            let (suites, c_i, c_r) = ([Suite::CCM_8], id(&[4]), id(&[5]));
            let proposal = initiator::Proposal { method, suites: &suites, c_i: &c_i, ead_1: &[] };
            let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
            let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
            let (own, keys) = (OwnCredential::pinned(KEY, &raw).unwrap(), key_store(ids::raw_operator_key()));
            let written = read.write(&c_r, &own, &[], &keys, &RustCrypto, &mut Repeatable(100)).unwrap();
            let read = sent.read(&written.1, &RustCrypto).unwrap();
            let known = raw.peer();
            let peer =
                Peer::new(known.credential(), *known.public_key(), *known.name(), known.role(), known.domain(), usage);
            let accepted = read.accept(Verified::assertion(peer), &device.own, &RustCrypto);
            let expected = (!good_for.contains(&method)).then_some(Error::Untrusted(Untrusted::WrongCredential));
            assert_eq!(why(accepted), expected, "{usage:?} {method:?}");
        }
    }
}

/// The proof is over the credential that was verified, byte for byte: a name cannot be swapped (misbinding).
#[test]
fn the_proof_covers_the_credential() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    for method in METHODS {
        let (suites, c_i, c_r) = ([Suite::CCM_8], id(&[4]), id(&[5]));
        let proposal = initiator::Proposal { method, suites: &suites, c_i: &c_i, ead_1: &[] };
        let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
        let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
        let written = read.write(&c_r, &operator.own, &[], &operator.keys, &RustCrypto, &mut Repeatable(100));
        let read = sent.read(&written.unwrap().1, &RustCrypto).unwrap();
        // The same key under another name.
        let known = pin(ids::raw_operator_ccs(), Role::Operator);
        let known = known.peer();
        let mut ccs = known.credential().to_vec();
        ccs[3] ^= 1;
        let (key, name) = (*known.public_key(), *known.name());
        let peer = Peer::new(&ccs, key, name, Role::Operator, Domain::Test, Usage::ANY);
        let accepted = read.accept(Verified::assertion(peer), &device.own, &RustCrypto);
        assert_eq!(why(accepted), Some(Untrusted::Authentication.into()), "{method:?}");
    }
}

// --------------------------------------------------------------------------------------------------------- error messages

#[test]
fn errors_of_the_peer() {
    for (bytes, read) in [
        (&b"\x01\x60"[..], Ok(Refused::Edhoc(1))),
        (b"\x01\x63why", Ok(Refused::Edhoc(1))),
        (b"\x02\x02", Ok(Refused::WrongSuite)),
        (b"\x02\x82\x02\x03", Ok(Refused::WrongSuite)),
        (b"\x02\x8a\x00\x01\x02\x03\x04\x05\x06\x18\x18\x18\x19\x37", Ok(Refused::WrongSuite)),
        (b"\x03\xf5", Ok(Refused::Edhoc(3))),
        // RFC 9528 §6.1: nobody may send it; whoever gets it ends the session and does not answer.
        (b"\x00\xf6", Ok(Refused::Edhoc(0))),
        (b"\x04\xa1\x01\x02", Ok(Refused::Edhoc(4))),
        (b"\x20\x40", Ok(Refused::Edhoc(-1))),
        (b"\x38\x18\x80", Ok(Refused::Edhoc(-25))),
        (b"", Err(Malformed::Truncated)),
        (b"\x01", Err(Malformed::Truncated)),
        (b"\x01\x40", Err(Malformed::WrongType)),
        (b"\x01\x61\xff", Err(Malformed::Text)),
        (b"\x01\x60\x00", Err(Malformed::TrailingBytes)),
        (b"\x02\x60", Err(Malformed::WrongType)),
        (b"\x02\x80", Err(Malformed::WrongLength)),
        (b"\x02\x81\x02", Err(Malformed::WrongLength)),
        (b"\x02\x82\x02\x60", Err(Malformed::WrongType)),
        (b"\x02\x99\x02\x00\x00", Err(Malformed::Truncated)),
        (b"\x03\xf4", Err(Malformed::OutOfRange)),
        (b"\x03\x01", Err(Malformed::WrongType)),
        (b"\x18\x01\x60", Err(Malformed::NotShortest)),
        (b"\x61a", Err(Malformed::WrongType)),
    ] {
        assert_eq!(refusal(bytes), read, "{bytes:02x?}");
        let first = bytes.first().map(|byte| byte >> 5);
        assert_eq!(is_error_message(bytes), matches!(first, Some(0 | 1)), "{bytes:02x?}");
    }
    // What is told, and to whom nothing is.
    let told = |error: Error| error_message(&error, &[Suite::CCM_8]);
    assert_eq!(told(Misbehaved::WrongSuite.into()).as_deref(), Some(&[2, 2][..]));
    assert_eq!(told(Untrusted::UnknownCredential.into()).as_deref(), Some(&[3, 0xf5][..]));
    assert_eq!(told(Backend::Crypto.into()).as_deref(), Some(NOT_ACCEPTED));
    for silent in [Refused::Edhoc(0).into(), Refused::WrongSuite.into(), Misuse::NotNow("").into(), Error::Unanswered] {
        assert_eq!(told(silent), None);
    }
    // A responder without suites has none to name.
    assert_eq!(error_message(&Misbehaved::WrongSuite.into(), &[]).as_deref(), Some(NOT_ACCEPTED));
    let many = [Suite::CCM_8; 10];
    let error = error_message(&Misbehaved::WrongSuite.into(), &many).unwrap();
    assert_eq!(error, [&[2, 0x8a][..], &[2; 10]].concat());
    assert_eq!(refusal(&error), Ok(Refused::WrongSuite));

    // No message but message_1 begins like an error.
    let (device, operator) = (device(Named::Chain), operator(Named::Chain));
    let done = Run::new(Method::SignSign, &Suite::GCM, &device, &operator).go().unwrap();
    assert!(done.messages[1..].iter().all(|message| !is_error_message(message)));
}

// ---------------------------------------------------------------------------------------------------- every byte counts

/// The step that must not let a changed message n pass.
const CAUGHT: [Step; 4] = [Step::Accept2, Step::Accept2, Step::Accept3, Step::Read4];

/// Gives message `number`, changed by `change`, to the side that reads it: refused there, whatever the change; for
/// message_1 at the latest by the device, in message_2. Only that side runs, to save time.
fn refused(run: &Run<'_>, messages: &[Vec<u8>; 4], number: usize, what: &str, change: &dyn Fn(&mut Vec<u8>)) {
    let mut changed = messages[number - 1].clone();
    change(&mut changed);
    let result = match number {
        1 => {
            let touch = |at, message: &mut Vec<u8>| {
                if at == 1 {
                    message.clone_from(&changed);
                }
            };
            Run { touch: &touch, ..*run }.go().map(|_| ())
        }
        2 => run.device_reads(&changed, None),
        3 => run.operator_reads(&messages[0], &changed),
        _ => run.device_reads(&messages[1], Some(&changed)),
    };
    let Err(failed) = result else { panic!("{:?}: message_{number} {what} was accepted", run.method) };
    assert!(failed.0 <= CAUGHT[number - 1], "message_{number} {what}: {failed:?}");
    // It always says something, and never what it was.
    let told = failed.told();
    let may_be_told = match failed.1 {
        Error::Misbehaved(Misbehaved::WrongSuite) => number == 1 && told.starts_with(&[2]),
        Error::Untrusted(Untrusted::UnknownCredential) => number < 3 && told == [3, 0xf5],
        _ => told == NOT_ACCEPTED,
    };
    assert!(may_be_told, "message_{number} {what}: {failed:?}");
    assert!(!matches!(failed.1, Error::Backend(_) | Error::Misuse(_)), "message_{number} {what}: {failed:?}");
}

/// The messages of a good run, which each half repeats for itself.
fn good_messages(run: &Run<'_>) -> [Vec<u8>; 4] {
    let messages = run.go().unwrap().messages;
    assert_eq!(run.device_reads(&messages[1], Some(&messages[3])), Ok(()));
    assert_eq!(run.operator_reads(&messages[0], &messages[2]), Ok(()));
    messages
}

fn flip_every_byte(run: &Run<'_>, numbers: &[usize], masks: &[u8]) {
    let messages = good_messages(run);
    for number in numbers.iter().copied() {
        for at in 0..messages[number - 1].len() {
            for mask in masks {
                let what = format!("with byte {at} ^ {mask:02x}");
                refused(run, &messages, number, &what, &|message| message[at] ^= mask);
            }
        }
    }
}

fn cut_everywhere(run: &Run<'_>) {
    let messages = good_messages(run);
    for number in 1..=4 {
        for at in 0..messages[number - 1].len() {
            refused(run, &messages, number, &format!("cut to {at}"), &|message| message.truncate(at));
            // The same, with a head that is right again.
            if number > 1 {
                refused(run, &messages, number, &format!("cut to {at} inside"), &|message| {
                    let content = Reader::new(message).unwrap().bytes().unwrap();
                    let shorter = &content[..at.min(content.len() - 1)];
                    *message = sequence(|w| w.bytes(shorter));
                });
            }
        }
        for more in [&[0x00][..], &[0x40], &[0xff], &[0; 16]] {
            refused(run, &messages, number, "with more behind it", &|message| message.extend_from_slice(more));
        }
    }
}

/// With items in every message, so that their bytes are flipped too.
const ITEMS: [EadItem<'static>; 2] = [item(0, false, Some(&[0xe9])), item(5, false, Some(b"value"))];

#[test]
fn flipped_method_3() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    let run = Run { ead: [&ITEMS; 4], ..Run::new(Method::StaticStatic, &Suite::CCM_8, &device, &operator) };
    flip_every_byte(&run, &[1, 2, 3, 4], &[0x01, 0x80, 0xff]);
}

#[test]
fn flipped_method_0() {
    let (device, operator) = (device(Named::Thumbprint), operator(Named::Thumbprint));
    let run = Run { ead: [&ITEMS; 4], ..Run::new(Method::SignSign, &Suite::GCM, &device, &operator) };
    flip_every_byte(&run, &[1, 2, 3, 4], &[0x01, 0x20]);
}

/// Certificates included. Only in message_2: the tag of message_3 does not care what is below it.
#[test]
fn flipped_method_0_with_chains() {
    let (device, operator) = (device(Named::Chain), operator(Named::Chain));
    flip_every_byte(&Run::new(Method::SignSign, &Suite::CCM_16, &device, &operator), &[2], &[0x01]);
}

#[test]
fn truncated() {
    let (device, operator) = (device(Named::Kid), operator(Named::Kid));
    for method in [Method::SignSign, Method::StaticStatic] {
        cut_everywhere(&Run::new(method, &Suite::CCM_8, &device, &operator));
    }
}
