//! A device in a hostile world: a stranger on the link, a clock that runs, power that goes, a store, a key store and a random
//! source that fail. The operator is honest.
//!
//! Input: a [`Story`]. The judge's rules:
//!
//! - no panic;
//! - an error leaves the store as it was, and the machine either ends or is as if the bytes had never come;
//! - the store changes only together with an action that says so, and can be read at every moment;
//! - bytes that are not the operator's are never accepted; the operator's are, unless the hardware fails;
//! - a credential that is durable stays, whatever happens;
//! - when the world is in order again, the device gets its subscription, and the core accepts it.

use arbitrary::{Arbitrary, Unstructured};
use remote_provisioning::{
    aka,
    credential::SoftUsim,
    edhoc::is_error_message,
    error::{Backend, Error, Misuse},
    provisioning::{
        Millis,
        device::{self, Action, Subscription},
    },
    sim::SeededRng,
};

use super::{
    Change, Choices, Input,
    stage::{Cast, DEVICE_SEED, OPERATOR_SEED, Office, Phone, Plot, StoreFault, opening},
};

/// Operations of one story.
const MAX_OPERATIONS: usize = 32;

/// Attempts in a world that is in order.
const MAX_ATTEMPTS: usize = 3;

/// Messages of an attempt that nobody disturbs, and one that is repeated.
const MAX_STEPS: usize = 8;

/// What happens.
#[derive(Debug)]
enum Operation<'a> {
    /// The operator's next message arrives.
    Honest,
    /// Time passes, in steps of 16 ms.
    Wait(u16),
    /// The operator has said this before, or the device has.
    Replay(u8),
    /// The stranger's version of the operator's next message.
    Altered(Change<'a>),
    /// Power off, power on.
    Crash,
    /// From now on, once.
    StoreFails(StoreFault),
    KeysAreLate,
    RandomFails,
}

impl<'a> Arbitrary<'a> for Operation<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u.byte() % 10 {
            0 => Self::Honest,
            1 => Self::Wait(u16::from_be_bytes([u.byte(), u.byte()])),
            2 => Self::Replay(u.byte()),
            3 => Self::Crash,
            4 => Self::StoreFails(*u.pick(&[
                StoreFault::Read,
                StoreFault::Write,
                StoreFault::CutBefore,
                StoreFault::CutAfter,
            ])),
            5 => Self::KeysAreLate,
            6 => Self::RandomFails,
            _ => Self::Altered(Change::arbitrary(u)?),
        })
    }
}

/// Who plays, how it begins, how many honest messages come first, and what happens then.
#[derive(Debug)]
struct Story<'a> {
    cast: Cast,
    plot: Plot,
    ahead: u8,
    operations: Vec<Operation<'a>>,
}

impl<'a> Arbitrary<'a> for Story<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let cast = Cast::new(u.byte());
        let flags = u.byte();
        let mut operations = Vec::new();
        while !u.is_empty() && operations.len() < MAX_OPERATIONS {
            operations.push(u.arbitrary()?);
        }
        Ok(Self { cast, plot: Plot::of(flags), ahead: (flags >> 1) % 4, operations })
    }
}

pub(super) fn run(data: &[u8]) {
    let Ok(story) = Story::arbitrary(&mut Input::new(data)) else { return };
    let mut world = World::new(story.cast, story.plot);
    for _ in 0..story.ahead {
        world.honest();
    }
    for operation in &story.operations {
        world.happens(operation);
    }
    world.come_to_rest();
}

// --------------------------------------------------------------------------------------------------------- the judge

/// Watches a device, and judges what it does.
pub(super) struct Judge {
    pub(super) phone: Phone,
    pub(super) finished: Option<Result<(), Error>>,
}

impl Judge {
    pub(super) const fn new(phone: Phone) -> Self {
        Self { phone, finished: None }
    }

    pub(super) fn deliver(&mut self, bytes: &[u8]) -> (Result<(), Error>, Vec<Action>) {
        self.observe(|phone| phone.take(bytes))
    }

    pub(super) fn observe(
        &mut self,
        act: impl FnOnce(&mut Phone) -> Result<(), Error>,
    ) -> (Result<(), Error>, Vec<Action>) {
        let before = (self.phone.store().fingerprint(), self.phone.store().commits());
        let result = act(&mut self.phone);
        let actions = self.phone.actions();
        let changed = (self.phone.store().fingerprint(), self.phone.store().commits()) != before;
        if self.phone.world.is_dark() {
            return (result, Vec::new()); // Nobody sees that any more.
        }
        if self.finished.is_some() {
            assert!(actions.is_empty() && !changed, "nothing follows the end");
        }
        let done = |action: &Action| {
            use Action::{CalledOff, Completed, Erased, Installed, Prepared};
            matches!(action, Prepared(_) | CalledOff | Installed(_) | Erased | Completed { .. })
        };
        assert_eq!(changed, actions.iter().any(done), "the store changes with what it means, and with nothing else");
        if let Err(error) = result {
            assert!(!changed);
            match actions.as_slice() {
                [] => {}
                // It knows the operator by now, and its own hardware stops it.
                [Action::Authenticated(_)] => assert_eq!(error, Backend::KeyPending.into()),
                [rest @ .., Action::Finished(Err(last))] => {
                    assert_eq!(*last, error);
                    let told = |action: &Action| match action {
                        Action::Send(bytes) => is_error_message(bytes),
                        Action::StartAgainAt(_) => true,
                        Action::Authenticated(_) => matches!(error, Error::Backend(_)),
                        _ => false,
                    };
                    assert!(rest.len() <= 3 && rest.iter().all(told), "{actions:?}");
                }
                other => panic!("an error, and {other:?}"),
            }
        }
        let mut ends = actions.iter().filter_map(|action| match action {
            Action::Finished(result) => Some(*result),
            _ => None,
        });
        self.finished = self.finished.or(ends.next());
        assert!(ends.next().is_none());
        device::subscription(self.phone.store()).unwrap();
        (result, actions)
    }
}

// --------------------------------------------------------------------------------------------------------- the world

struct World {
    judge: Judge,
    office: Office,
    attempt: u64,
    /// What the device has said last, and the operator has not heard.
    to_operator: Option<Vec<u8>>,
    /// What the operator has said last, and the device has not taken.
    to_device: Option<Vec<u8>>,
    /// All that was said in this session.
    said: Vec<Vec<u8>>,
    /// All of the operator's that the device has taken.
    taken: Vec<Vec<u8>>,
    /// The device has its subscription, and nothing is open.
    over: bool,
}

impl World {
    fn new(cast: Cast, plot: Plot) -> Self {
        let (memory, home) = opening(cast, plot);
        let mut world = Self {
            judge: Judge::new(Phone::start(cast, memory, DEVICE_SEED).unwrap()),
            office: Office::new(cast, home, OPERATOR_SEED),
            attempt: 0,
            to_operator: None,
            to_device: None,
            said: Vec::new(),
            taken: Vec::new(),
            over: false,
        };
        let actions = world.judge.phone.actions();
        world.note(&actions);
        world
    }

    fn note(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Send(bytes) = action {
                self.said.push(bytes.clone());
                self.to_operator = Some(bytes.clone());
            }
        }
        self.over |= self.judge.finished == Some(Ok(()));
    }

    fn happens(&mut self, operation: &Operation<'_>) {
        let before = device::subscription(self.judge.phone.store()).unwrap();
        match operation {
            Operation::Honest => self.honest(),
            Operation::Wait(steps) => self.wait(16 * u64::from(*steps)),
            Operation::Replay(which) => {
                let Some(bytes) = self.said.get(usize::from(*which) % self.said.len().max(1)).cloned() else { return };
                self.stranger(&bytes);
            }
            Operation::Altered(change) => {
                self.listen();
                let base = self.to_device.clone().or(self.said.last().cloned()).unwrap_or_default();
                self.stranger(&change.apply(&base));
            }
            Operation::Crash => self.restart(),
            Operation::StoreFails(fault) => self.judge.phone.world.store_fails(*fault),
            Operation::KeysAreLate => self.judge.phone.world.keys_are_late(),
            Operation::RandomFails => self.judge.phone.world.random_fails(),
        }
        if self.judge.phone.world.is_dark() {
            self.restart();
        }
        let after = device::subscription(self.judge.phone.store()).unwrap();
        if let Some((subscription, confirmed)) = before {
            let (now, still) = after.expect("what is durable stays");
            assert!(now == subscription && (still || !confirmed));
        }
    }

    /// The operator hears what the device has said, and answers.
    fn listen(&mut self) {
        if let Some(bytes) = self.to_operator.take() {
            let _ = self.office.take(&bytes);
            for answer in self.office.sent() {
                self.said.push(answer.clone());
                self.to_device = Some(answer);
            }
        }
    }

    /// The next message of the operator's, if there is one; if not, the device asks again.
    fn honest(&mut self) {
        if self.over || self.judge.finished.is_some() {
            return;
        }
        self.listen();
        let Some(bytes) = self.to_device.clone() else { return self.wait(1 << 20) };
        let faulty = self.judge.phone.world.is_faulty();
        let (result, actions) = self.judge.deliver(&bytes);
        self.note(&actions);
        match result {
            Ok(()) => {
                self.taken.push(bytes);
                // Passed over, if it was a repetition; then there is nothing else until the device says it again.
                self.to_device = None;
            }
            Err(error) => assert!(faulty, "an honest message is accepted: {error}"),
        }
    }

    fn wait(&mut self, millis: u64) {
        self.judge.phone.now = Millis(self.judge.phone.now.0 + millis);
        let (_, actions) = self.judge.observe(|phone| phone.device.handle_timeout(phone.now));
        let resent = |action: &Action| match action {
            Action::Send(bytes) => self.said.contains(bytes),
            Action::WakeAt(_) | Action::StartAgainAt(_) | Action::Finished(Err(Error::Unanswered)) => true,
            _ => false,
        };
        assert!(actions.iter().all(resent));
        self.note(&actions);
    }

    /// Bytes from anybody. Accepted if they are the operator's; passed over if they were that before.
    fn stranger(&mut self, bytes: &[u8]) {
        if self.to_device.as_deref() == Some(bytes) {
            return self.honest();
        }
        let (result, actions) = self.judge.deliver(bytes);
        if result.is_ok() {
            assert!(self.taken.iter().any(|taken| taken == bytes), "only a repetition is passed over");
            assert!(actions.is_empty());
        }
        self.note(&actions);
    }

    /// Power off, power on, and a new attempt.
    fn restart(&mut self) {
        if self.over {
            return;
        }
        self.attempt += 1;
        let world = &mut self.judge.phone.world;
        world.wake(DEVICE_SEED + 2 * self.attempt);
        let before = world.flash.memory.fingerprint();
        let started = world.start().or_else(|error| {
            // In the dark again, or with hardware that fails: the next time it does not.
            assert!(matches!(error, Error::Misuse(_)) || world.flash.memory.fingerprint() == before || world.is_dark());
            world.mend();
            world.wake(DEVICE_SEED + 2 * self.attempt);
            world.start()
        });
        match started {
            Ok(device) => {
                self.judge.phone.device = device;
                self.judge.finished = None;
                self.office.open(OPERATOR_SEED + 2 * self.attempt);
                (self.to_operator, self.to_device) = (None, None);
                self.said.clear();
                self.taken.clear();
                let actions = self.judge.phone.actions();
                self.note(&actions);
            }
            Err(error) => {
                let subscription = device::subscription(self.judge.phone.store()).unwrap();
                assert!(matches!(error, Error::Misuse(Misuse::NotNow(_))), "{error}");
                assert!(subscription.is_some_and(|(_, confirmed)| confirmed));
                self.over = true;
            }
        }
    }

    /// The world is in order from here on.
    fn come_to_rest(&mut self) {
        self.judge.phone.world.mend();
        for _ in 0..MAX_ATTEMPTS {
            for _ in 0..MAX_STEPS {
                self.honest();
            }
            if self.over {
                break;
            }
            self.restart();
        }
        assert!(self.over, "no subscription, and nothing in its way");
        let Some((Subscription { id, .. }, true)) = device::subscription(self.judge.phone.store()).unwrap() else {
            panic!("it is there")
        };
        let vector =
            self.office.home.challenge(&id.supi, &mut SeededRng::new(self.attempt)).expect("the core knows it");
        match device::authenticate(&vector.challenge, self.judge.phone.store_mut(), &mut SoftUsim).unwrap() {
            aka::Answer::Success(keys) => assert_eq!(keys.res.bytes(), vector.keys.res.bytes()),
            _ => panic!("it does not work"),
        }
    }
}
