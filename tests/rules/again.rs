//! A step that did not happen for want of this side's own machinery can be repeated; after anything else it cannot.

use core::cell::RefCell;
use std::sync::Mutex;

use remote_provisioning::{
    crypto::{HASH_LEN, PublicKey, Rng, Secret, Signature, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, EadItem, Method, OwnCredential, Suite, initiator, responder},
    error::{Backend, Error, Malformed, Misuse},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

use crate::lab::double::{Double, Op, Watch};
use crate::run::{Done, Draw, Failed, KEY, METHODS, Repeatable, Step, exported, key_store, with_run};

/// Key store, primitives and random source in one, which fails at one call.
pub(crate) struct Faulty {
    count: Mutex<Count>,
    error: Backend,
    /// Calls that count; all if empty.
    calls: &'static [&'static str],
    keys: MemoryKeyStore,
    rng: Mutex<Repeatable>,
}

struct Count {
    made: usize,
    fails_at: usize,
    failed: Option<&'static str>,
}

impl Faulty {
    pub(crate) fn at(fails_at: usize, error: Backend, calls: &'static [&'static str]) -> Self {
        let count = Count { made: 0, fails_at, failed: None };
        Self { count: Mutex::new(count), error, calls, keys: key_store("device"), rng: Mutex::new(Repeatable(0)) }
    }

    pub(crate) fn rearm(&self, fails_at: usize) {
        *self.count.lock().unwrap() = Count { made: 0, fails_at, failed: None };
    }

    fn operator(mut self) -> Self {
        self.keys = key_store("operator");
        self.rng = Mutex::new(Repeatable(100));
        self
    }

    /// What failed, if the call was reached.
    fn failed(&self) -> Option<&'static str> {
        self.count.lock().unwrap().failed
    }

    fn call(&self, name: &'static str) -> Result<(), Backend> {
        if !self.calls.is_empty() && !self.calls.contains(&name) {
            return Ok(());
        }
        let mut count = self.count.lock().unwrap();
        count.made += 1;
        if count.made - 1 == count.fails_at {
            count.failed = Some(name);
            return Err(self.error);
        }
        Ok(())
    }
}

impl KeyStore for Faulty {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.call("keys.public_key")?;
        self.keys.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        self.call("keys.sign")?;
        self.keys.sign(key, message)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.call("keys.agree")?;
        self.keys.agree(key, peer, shared)
    }
}

impl Draw for Faulty {
    fn draw(&self, out: &mut [u8]) -> Result<(), Backend> {
        self.call("rng.fill")?;
        self.rng.lock().unwrap().fill(out)
    }
}

impl Watch for Faulty {
    fn before(&self, op: Op) -> Result<(), Backend> {
        match op {
            Op::Expand => self.call("crypto.hkdf_expand"),
            Op::Seal => self.call("crypto.seal"),
            Op::Generate => self.call("crypto.generate"),
            Op::Encapsulate => self.call("crypto.encapsulate"),
            Op::Decapsulate => self.call("crypto.decapsulate"),
            Op::Agree => self.call("crypto.agree"),
            _ => Ok(()),
        }
    }
}

/// A run in which call `n` of one side fails: how it ended, which call that was, and what came back.
fn fail_once(
    method: Method,
    error: Backend,
    device_fails: bool,
    n: usize,
    patience: usize,
) -> (Result<Done, Failed>, Option<&'static str>, Vec<Step>) {
    let faulty = Faulty::at(n, error, &[]);
    let faulty = if device_fails { faulty } else { faulty.operator() };
    with_run(method, Suite::GCM, |run| {
        let mut run = run;
        let side = if device_fails { &mut run.device } else { &mut run.operator };
        let crypto = Double::new(&faulty);
        (side.keys, side.crypto, side.rng) = (&faulty, &crypto, &faulty);
        run.patience = patience;
        let ended = run.go();
        let came_back = run.came_back.borrow();
        assert!(came_back.iter().all(|failed| failed.1 == error.into()));
        (ended, faulty.failed(), came_back.iter().map(|failed| failed.0).collect())
    })
}

/// Lets every call of either side fail once, one after the other: the step comes back, the same call again succeeds, and
/// the run ends as it would have.
#[test]
fn every_call_may_fail_once() {
    for method in METHODS {
        let good = with_run(method, Suite::GCM, |run| run.go().unwrap());
        for error in [Backend::Key, Backend::KeyPending, Backend::Random, Backend::Crypto] {
            for device_fails in [true, false] {
                let (mut steps, mut asked) = (Vec::new(), 0);
                for n in 0.. {
                    let (ended, failed, _) = fail_once(method, error, device_fails, n, 0);
                    let Some(call) = failed else {
                        assert_eq!(ended.map(|done| done.messages), Ok(good.messages.clone()));
                        break;
                    };
                    let Err(Failed(step, reason)) = ended else { panic!("{method:?} {call} {n} did not matter") };
                    assert_eq!(reason, error.into(), "{method:?} {step:?} {call}");

                    let (ended, _, came_back) = fail_once(method, error, device_fails, n, 1);
                    let done = ended.unwrap();
                    assert_eq!(came_back, [step], "{method:?} {call}");
                    // A key store is asked the same again: not a byte is different.
                    if call.starts_with("keys.") || call.starts_with("rng.") {
                        assert_eq!(done.messages, good.messages, "{method:?} {call}");
                        assert_eq!(exported(&done.device), exported(&good.device));
                    }
                    asked += usize::from(call.starts_with("keys."));
                    steps.push(step);
                }
                steps.dedup();
                let expected = if device_fails {
                    vec![Step::Start, Step::Read2, Step::Accept2, Step::Write3]
                } else {
                    vec![Step::Write2, Step::Read3, Step::Accept3, Step::Write4]
                };
                assert_eq!(steps, expected, "{method:?}");
                assert_eq!(asked, 1, "{method:?}: the key store is asked once");
            }
        }
    }
}

/// A responder's ephemeral key is made once, however often the key store is asked.
#[test]
fn a_key_store_that_is_pending_for_long_sees_one_question() {
    struct Pending {
        asked: RefCell<Vec<Vec<u8>>>,
        rounds: usize,
        keys: MemoryKeyStore,
    }
    impl Pending {
        fn ask(&self, what: Vec<u8>) -> Result<(), Backend> {
            self.asked.borrow_mut().push(what);
            if self.asked.borrow().len() <= self.rounds { Err(Backend::KeyPending) } else { Ok(()) }
        }
    }
    impl KeyStore for Pending {
        fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
            self.keys.public_key(key)
        }

        fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
            self.ask(message.to_vec())?;
            self.keys.sign(key, message)
        }

        fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
            self.ask(peer.bytes().to_vec())?;
            self.keys.agree(key, peer, shared)
        }
    }
    for method in METHODS {
        for device_waits in [true, false] {
            let name = if device_waits { "device" } else { "operator" };
            let pending = Pending { asked: Vec::new().into(), rounds: 5, keys: key_store(name) };
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                let side = if device_waits { &mut run.device } else { &mut run.operator };
                side.keys = &pending;
                run.patience = 5;
                assert_eq!(run.end(), None);
                let asked = pending.asked.borrow();
                assert_eq!(asked.len(), 6);
                assert!(asked.windows(2).all(|two| two[0] == two[1]), "{method:?} {name}");
            });
        }
    }
}

/// [`Run::go`](crate::run::Run::go) looks at every failure: what a peer did never comes back.
#[test]
fn what_a_peer_did_never_comes_back() {
    let mut seen = Vec::new();
    for method in METHODS {
        for number in 1..=4_u8 {
            for at in [0, 1, 2, 8, 34, 35, 36, 38, 40] {
                let touch = |touched: u8, message: &mut Vec<u8>| {
                    if touched == number {
                        let at = at % message.len();
                        message[at] ^= 0x11;
                    }
                };
                with_run(method, Suite::CCM_8, |run| {
                    let mut run = run;
                    run.touch = &touch;
                    run.patience = 3;
                    let Failed(step, error) = run.end().expect("a changed message");
                    assert!(!matches!(error, Error::Backend(_) | Error::Misuse(_)), "{step:?} {error:?}");
                    assert!(run.came_back.borrow().is_empty());
                    seen.push(step);
                });
            }
        }
    }
    for step in [Step::Read2, Step::Accept2, Step::Read3, Step::Read4] {
        assert!(seen.contains(&step), "{step:?}");
    }
}

/// A parameter that does not fit is this side's own fault too: the step comes back, to be called with another one.
#[test]
fn misuse_comes_back() {
    let long = vec![0; 5_000];
    let too_much = [EadItem::padding(&long)];
    for (index, step) in [(1, Step::Write2), (2, Step::Write3), (3, Step::Write4)] {
        with_run(Method::SignSign, Suite::CCM_8, |run| {
            let mut run = run;
            run.ead[index] = &too_much;
            run.patience = 1;
            let Failed(at, error) = run.end().unwrap();
            assert!(at == step && matches!(error, Error::Misuse(Misuse::Parameter(_))), "{at:?} {error:?}");
            assert_eq!(run.came_back.borrow().len(), 1);
        });
    }
}

/// `Debug` of a stopped step says why, and whether there is a step; `Error` comes out of it.
#[test]
fn a_stopped_step_says_why() {
    let c_i = ConnectionId::new(&[1]).unwrap();
    let proposal = initiator::Proposal { method: Method::SignSign, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(0)).unwrap();
    let stopped = sent.read(b"\x40", &RustCrypto).unwrap_err();
    assert_eq!(format!("{stopped:?}"), "Stopped { error: Malformed(Truncated), again: false }");
    assert_eq!(Error::from(stopped), Malformed::Truncated.into());

    let read = responder::read(&message_1, &METHODS, &Suite::ALL, &RustCrypto).unwrap();
    let own = OwnCredential::chain(KEY, &[b"no certificate"]).unwrap();
    let nobody = MemoryKeyStore::new();
    let c_r = ConnectionId::new(&[2]).unwrap();
    let stopped = read.write(&c_r, &own, &[], &nobody, &RustCrypto, &mut Repeatable(100)).unwrap_err();
    assert_eq!(format!("{stopped:?}"), "Stopped { error: Backend(Key), again: true }");
    assert_eq!(Error::from(stopped), Backend::Key.into());
}
