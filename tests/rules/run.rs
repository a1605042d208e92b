//! One handshake with everything about it in the open: key stores, primitives, random sources, and how each side comes to
//! believe the other.

use core::cell::{Cell, RefCell};

use remote_provisioning::{
    crypto::{Crypto, Rng, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, EadItem, Method, OwnCredential, Session, Stopped, Suite, initiator, responder},
    error::{Backend, Error},
    identity::{Domain, Role},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, MemoryAnchors, Pinned, verify},
    wire::{Writer, encode_with},
};

pub(crate) const METHODS: [Method; 4] =
    [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

pub(crate) const KEY: KeyId = KeyId(5);

pub(crate) const DEVICE_KID: &[u8] = &[0x11];
pub(crate) const OPERATOR_KID: &[u8] = &[0x12];

pub(crate) fn scalar(name: &str) -> [u8; 32] {
    RustCrypto.sha256(&[b"worthless published test key: ", name.as_bytes()])
}

pub(crate) fn key_store(name: &str) -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, &scalar(name)).unwrap();
    keys
}

/// A CCS: the subject, what comes between it and `cnf`, and the key called `name`.
pub(crate) fn ccs_with(name: &str, kid: Option<&[u8]>, claims: &[(i64, u64)]) -> Vec<u8> {
    let key = key_store(name).public_key(KEY).unwrap();
    encode_with(|w| {
        w.map(2 + claims.len());
        w.integer(2);
        w.text(name);
        for (claim, value) in claims {
            w.integer(*claim);
            w.unsigned(*value);
        }
        w.integer(8);
        w.map(1);
        w.integer(1);
        w.map(if kid.is_some() { 5 } else { 4 });
        w.integer(1);
        w.integer(2);
        if let Some(kid) = kid {
            w.integer(2);
            w.bytes(kid);
        }
        write_point(w, key.x(), key.y());
    })
}

fn write_point(w: &mut Writer<'_>, x: &[u8], y: &[u8]) {
    w.integer(-1);
    w.integer(1);
    w.integer(-2);
    w.bytes(x);
    w.integer(-3);
    w.bytes(y);
}

pub(crate) fn ccs(name: &str, kid: &[u8]) -> Vec<u8> {
    ccs_with(name, Some(kid), &[])
}

pub(crate) fn pin(ccs: &[u8], role: Role) -> Pinned {
    Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap()
}

pub(crate) fn anchors(pinned: &[Pinned]) -> MemoryAnchors {
    let mut anchors = MemoryAnchors::new();
    pinned.iter().for_each(|pinned| anchors.add_pinned(pinned.clone()).unwrap());
    anchors
}

/// How a side comes to believe the other.
pub(crate) type Believe<'a> = &'a dyn Fn(&CredentialId<'_>) -> Result<Candidates, Error>;

pub(crate) fn look_up(claimed: &CredentialId<'_>, role: Role, anchors: &MemoryAnchors) -> Result<Candidates, Error> {
    verify(claimed, role, Domain::Test, anchors, &RustCrypto, None)
}

/// The one device and the one operator of most tests.
pub(crate) fn believe_device(claimed: &CredentialId<'_>) -> Result<Candidates, Error> {
    look_up(claimed, Role::Device, &anchors(&[pin(&ccs("device", DEVICE_KID), Role::Device)]))
}

pub(crate) fn believe_operator(claimed: &CredentialId<'_>) -> Result<Candidates, Error> {
    look_up(claimed, Role::Operator, &anchors(&[pin(&ccs("operator", OPERATOR_KID), Role::Operator)]))
}

/// Random numbers that are none, and do not move on when they are not taken.
pub(crate) struct Repeatable(pub(crate) u8);

impl Rng for Repeatable {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        for chunk in out.chunks_mut(32) {
            self.0 = self.0.wrapping_add(1);
            chunk.copy_from_slice(&RustCrypto.sha256(&[b"no randomness", &[self.0]])[..chunk.len()]);
        }
        Ok(())
    }
}

/// A random source behind a shared reference.
pub(crate) trait Draw {
    fn draw(&self, out: &mut [u8]) -> Result<(), Backend>;
}

impl Draw for RefCell<Repeatable> {
    fn draw(&self, out: &mut [u8]) -> Result<(), Backend> {
        self.borrow_mut().fill(out)
    }
}

struct Drawn<'a>(&'a dyn Draw);

impl Rng for Drawn<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        self.0.draw(out)
    }
}

/// One side.
#[derive(Clone)]
pub(crate) struct Side<'a> {
    pub(crate) own: OwnCredential,
    pub(crate) keys: &'a dyn KeyStore,
    pub(crate) crypto: &'a dyn Crypto,
    pub(crate) rng: &'a dyn Draw,
    pub(crate) believe: Believe<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
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
pub(crate) struct Failed(pub(crate) Step, pub(crate) Error);

pub(crate) fn fails(step: Step, error: impl Into<Error>) -> Option<Failed> {
    Some(Failed(step, error.into()))
}

fn at<E: Into<Error>>(step: Step) -> impl Fn(E) -> Failed {
    move |error| Failed(step, error.into())
}

#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) method: Method,
    pub(crate) suites: &'a [Suite],
    pub(crate) suites_r: &'a [Suite],
    pub(crate) device: Side<'a>,
    pub(crate) operator: Side<'a>,
    pub(crate) ead: [&'a [EadItem<'a>]; 4],
    pub(crate) touch: &'a dyn Fn(u8, &mut Vec<u8>),
    /// How often a step that came back is tried again; how often that was, and what it said.
    pub(crate) patience: usize,
    pub(crate) came_back: &'a RefCell<Vec<Failed>>,
}

#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) device: Session,
    pub(crate) operator: Session,
    pub(crate) messages: [Vec<u8>; 4],
}

/// Gives the test a run in which everything is as it should be. Bind it anew before putting in what lives shorter.
pub(crate) fn with_run<T>(method: Method, suite: Suite, test: impl FnOnce(Run<'_>) -> T) -> T {
    let (device_keys, operator_keys) = (key_store("device"), key_store("operator"));
    let (x, y) = (RefCell::new(Repeatable(0)), RefCell::new(Repeatable(100)));
    let came_back = RefCell::new(Vec::new());
    let device = Side {
        own: OwnCredential::pinned(KEY, &pin(&ccs("device", DEVICE_KID), Role::Device)).unwrap(),
        keys: &device_keys,
        crypto: &RustCrypto,
        rng: &x,
        believe: &believe_operator,
    };
    let operator = Side {
        own: OwnCredential::pinned(KEY, &pin(&ccs("operator", OPERATOR_KID), Role::Operator)).unwrap(),
        keys: &operator_keys,
        crypto: &RustCrypto,
        rng: &y,
        believe: &believe_device,
    };
    test(Run {
        method,
        suites: core::slice::from_ref(&suite),
        suites_r: &Suite::ALL,
        device,
        operator,
        ead: [&[]; 4],
        touch: &|_, _| {},
        patience: 0,
        came_back: &came_back,
    })
}

impl Run<'_> {
    /// Calls until the step happens. What is this side's own fault comes back, and nothing else does.
    fn insist<S, T>(
        &self,
        step: Step,
        state: S,
        mut call: impl FnMut(S) -> Result<T, Stopped<S>>,
    ) -> Result<T, Failed> {
        let (mut state, left) = (state, Cell::new(self.patience));
        loop {
            let stopped = match call(state) {
                Ok(done) => return Ok(done),
                Err(stopped) => stopped,
            };
            let error = stopped.error();
            let own_fault = matches!(error, Error::Backend(_) | Error::Misuse(_));
            match stopped.again() {
                Ok(again) => {
                    assert!(own_fault, "{step:?} came back after {error:?}");
                    state = again;
                }
                Err(reason) => {
                    assert!(!own_fault && reason == error, "{step:?} did not come back after {error:?}");
                    return Err(Failed(step, error));
                }
            }
            if left.get() == 0 {
                return Err(Failed(step, error));
            }
            left.set(left.get() - 1);
            self.came_back.borrow_mut().push(Failed(step, error));
        }
    }

    pub(crate) fn go(&self) -> Result<Done, Failed> {
        let Self { device, operator, .. } = self;
        let (c_i, c_r) = (ConnectionId::new(&[0x02]).unwrap(), ConnectionId::new(b"\x37\x37").unwrap());
        let proposal = initiator::Proposal { method: self.method, suites: self.suites, c_i: &c_i, ead_1: self.ead[0] };
        let started = || initiator::start(&proposal, device.crypto, &mut Drawn(device.rng));
        // No step goes into it, so none comes back.
        let (sent, mut message_1) = match started() {
            Err(error @ Error::Backend(_)) if self.patience > 0 => {
                self.came_back.borrow_mut().push(Failed(Step::Start, error));
                started()
            }
            other => other,
        }
        .map_err(at(Step::Start))?;
        (self.touch)(1, &mut message_1);

        let read = responder::read(&message_1, &METHODS, self.suites_r, operator.crypto).map_err(at(Step::Read1))?;
        let (sent_2, mut message_2) = self.insist(Step::Write2, read, |read| {
            read.write(&c_r, &operator.own, self.ead[1], operator.keys, operator.crypto, &mut Drawn(operator.rng))
        })?;
        (self.touch)(2, &mut message_2);

        let read = self.insist(Step::Read2, sent, |sent| sent.read(&message_2, device.crypto))?;
        let peer = (device.believe)(&read.claimed().unwrap()).map_err(at(Step::Verify2))?;
        let accepted =
            self.insist(Step::Accept2, read, |read| read.accept(peer.clone(), &device.own, device.crypto))?;
        let th_3 = *accepted.th_3();
        let (sent, mut message_3) = self.insist(Step::Write3, accepted, |accepted| {
            accepted.write(&device.own, self.ead[2], device.keys, device.crypto)
        })?;
        (self.touch)(3, &mut message_3);

        let read = self.insist(Step::Read3, sent_2, |sent| sent.read(&message_3, operator.crypto))?;
        let peer = (operator.believe)(&read.claimed().unwrap()).map_err(at(Step::Verify3))?;
        let accepted =
            self.insist(Step::Accept3, read, |read| read.accept(peer.clone(), &operator.own, operator.crypto))?;
        assert_eq!(accepted.th_3(), &th_3);
        let (operator_session, mut message_4) =
            self.insist(Step::Write4, accepted, |accepted| accepted.write(self.ead[3], operator.crypto))?;
        (self.touch)(4, &mut message_4);

        let read = self.insist(Step::Read4, sent, |sent| sent.read(&message_4, device.crypto))?;
        let device_session = read.complete().map_err(at(Step::Complete))?;
        assert_eq!(device_session.th_4(), operator_session.th_4());
        assert_eq!(exported(&device_session), exported(&operator_session));
        let messages = [message_1, message_2, message_3, message_4];
        Ok(Done { device: device_session, operator: operator_session, messages })
    }

    pub(crate) fn end(&self) -> Option<Failed> {
        self.go().err()
    }
}

pub(crate) fn exported(session: &Session) -> [u8; 32] {
    let mut out = [0; 32];
    session.export(0xce01, b"context", &mut out, &RustCrypto).unwrap();
    out
}
