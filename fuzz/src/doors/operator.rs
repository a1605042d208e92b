//! An operator in a hostile world: a stranger on the link, a clock that runs, servers that die or go on elsewhere, systems
//! that say no, a key store and a random source that fail. The device is honest.
//!
//! Input: a [`Story`]. The judge's rules:
//!
//! - no panic;
//! - an error with which the machine does not end is as if the bytes had never come;
//! - nothing is sent before the question is answered, and an answer to another question changes nothing;
//! - nothing is asked for a device that is not there;
//! - whatever the log says is confirmed was signed by the device;
//! - when the world is in order again, the device gets its subscription, unless a system has lied.

use arbitrary::{Arbitrary, Unstructured};
use remote_provisioning::{
    crypto::Secret,
    edhoc::is_error_message,
    error::{Backend, Code, Error, Misbehaved, Misuse},
    provisioning::{Answer, Millis, Question, device, log::What, operator::Action, receipt::Receipt},
    sim::IDENTITY,
    store::KeyStore,
};

use super::{
    Change, Choices, Input,
    memo::Memo,
    stage::{Cast, DEVICE_SEED, OPERATOR_SEED, Office, Phone, Plot, opening},
};

/// Operations of one story.
const MAX_OPERATIONS: usize = 32;

/// Attempts in a world that is in order.
const MAX_ATTEMPTS: usize = 3;

/// Messages and questions of an attempt that nobody disturbs.
const MAX_STEPS: usize = 24;

/// What happens.
#[derive(Debug)]
enum Operation<'a> {
    /// The answer to the question that is open, or the device's next message.
    Honest,
    /// Time passes, in steps of 64 ms.
    Wait(u16),
    /// The device has said this before, or the operator has.
    Replay(u8),
    /// The stranger's version of the device's next message.
    Altered(Change<'a>),
    /// An answer that says something else, or answers something else.
    WrongAnswer(u8),
    /// The server dies; perhaps when its systems have just done what they were asked.
    Crash {
        done: bool,
    },
    /// Another server goes on with the sealed session.
    Move,
    KeysAreLate,
    RandomFails,
}

impl<'a> Arbitrary<'a> for Operation<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u.byte() % 11 {
            0 => Self::Honest,
            1 => Self::Wait(u16::from_be_bytes([u.byte(), u.byte()])),
            2 => Self::Replay(u.byte()),
            3 => Self::WrongAnswer(u.byte()),
            4 => Self::Crash { done: u.byte() & 1 == 1 },
            5 => Self::Move,
            6 => Self::KeysAreLate,
            7 => Self::RandomFails,
            _ => Self::Altered(Change::arbitrary(u)?),
        })
    }
}

/// Who plays, how it begins, how many honest steps come first, and what happens then.
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
        Ok(Self { cast, plot: Plot::of(flags), ahead: (flags >> 1) % 16, operations })
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
    world.judge.check_log(story.cast);
}

// --------------------------------------------------------------------------------------------------------- the judge

/// Answered with the suites that there are, and then it is as if it had never come (RFC 9528 §6.3.1).
const WRONG_SUITE: Error = Error::Misbehaved(Misbehaved::WrongSuite);

/// Watches an operator, and judges what it does.
pub(super) struct Judge {
    pub(super) office: Office,
    pub(super) asked: Option<Question>,
    pub(super) finished: Option<Result<(), Error>>,
    /// What was accepted, or ended the machine: a repetition of it is answered as before.
    taken: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Judge {
    pub(super) const fn new(office: Office) -> Self {
        Self { office, asked: None, finished: None, taken: Vec::new(), sent: Vec::new() }
    }

    /// Another session.
    fn open(&mut self, seed: u64) {
        self.office.open(seed);
        (self.asked, self.finished) = (None, None);
        self.taken.clear();
        self.sent.clear();
    }

    pub(super) fn deliver(&mut self, bytes: &[u8]) -> (Result<(), Error>, Vec<Vec<u8>>) {
        let ended = self.finished.is_some();
        let (result, sent) = self.observe(|office| office.take(bytes));
        if result.is_ok() || result == Err(WRONG_SUITE) || self.finished.is_some() && !ended {
            self.taken.push(bytes.to_vec());
        }
        (result, sent)
    }

    /// Answers the question that is open, as the operator's systems do.
    pub(super) fn answer(&mut self) -> Vec<Vec<u8>> {
        match self.asked.take() {
            Some(question) => {
                let answer = self.office.home.answer(question);
                self.observe(|office| office.answer(answer)).1
            }
            None => Vec::new(),
        }
    }

    /// All questions.
    pub(super) fn answers(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while self.asked.is_some() {
            sent.extend(self.answer());
        }
        sent
    }

    /// Lets something happen, and gives what is sent.
    fn observe(&mut self, act: impl FnOnce(&mut Office) -> Result<(), Error>) -> (Result<(), Error>, Vec<Vec<u8>>) {
        let ended = self.finished.is_some();
        let result = act(&mut self.office);
        let mut sent = Vec::new();
        let mut end = None;
        for action in self.office.actions() {
            match action {
                Action::Send(bytes) => sent.push(bytes),
                Action::Ask(question) => {
                    assert!(!ended && self.asked.is_none(), "one question at a time");
                    self.asked = Some(question);
                }
                Action::WakeAt(_) => assert!(!ended),
                Action::Finished(result) => {
                    assert!(!ended && end.is_none(), "one end");
                    end = Some(result);
                }
            }
        }
        if let Err(error) = result {
            match end {
                Some(end) => assert_eq!(end, Err(error)),
                None if error == WRONG_SUITE => assert!(sent.iter().all(|message| is_error_message(message))),
                None => assert!(sent.is_empty(), "as if it had never come"),
            }
        }
        if end.is_some() {
            self.asked = None;
            self.finished = end;
        }
        assert!(self.asked.is_none() || sent.is_empty(), "nothing is sent before the answer");
        self.sent.extend(sent.iter().cloned());
        (result, sent)
    }

    /// How many confirmations the log has.
    pub(super) fn confirmed(&self) -> usize {
        self.office.home.entries().filter(|entry| matches!(entry.what, What::Ended(_))).count()
    }

    /// Whatever is in there by the device's word was signed by it.
    pub(super) fn check_log(&self, cast: Cast) {
        for entry in self.office.home.entries() {
            if let What::Prepared(signed) | What::Ended(signed) = entry.what {
                let key = cast.device().keys.public_key(IDENTITY).unwrap();
                let receipt = signed.proof.receipts.last().expect("a receipt");
                let receipt = Receipt::verify(receipt, &key, &Memo).expect("the device signed it");
                assert_eq!((receipt.txn, receipt.event), (signed.txn, signed.event));
            }
        }
    }
}

// --------------------------------------------------------------------------------------------------------- the world

struct World {
    judge: Judge,
    phone: Phone,
    attempt: u64,
    /// What the device has said last, and the operator has not taken.
    next: Option<Vec<u8>>,
    /// All that was said in this session.
    said: Vec<Vec<u8>>,
    /// The operator has taken nothing in this session yet.
    fresh: bool,
    /// A stranger has started this session.
    lost: bool,
    /// A system has said that it did what it did not.
    lied: bool,
    /// The device has its subscription, and nothing is open.
    over: bool,
}

impl World {
    fn new(cast: Cast, plot: Plot) -> Self {
        let (memory, home) = opening(cast, plot);
        let mut world = Self {
            judge: Judge::new(Office::new(cast, home, OPERATOR_SEED)),
            phone: Phone::start(cast, memory, DEVICE_SEED).unwrap(),
            attempt: 0,
            next: None,
            said: Vec::new(),
            fresh: true,
            lost: false,
            lied: false,
            over: false,
        };
        world.note();
        world
    }

    /// What the device has to say.
    fn note(&mut self) {
        for action in self.phone.actions() {
            match action {
                device::Action::Send(bytes) => {
                    self.said.push(bytes.clone());
                    self.next = Some(bytes);
                }
                device::Action::Finished(Ok(())) => self.over = true,
                _ => {}
            }
        }
    }

    /// The device hears what the operator has said.
    fn heard(&mut self, sent: &[Vec<u8>]) {
        for message in sent {
            self.said.push(message.clone());
            if self.phone.take(message).is_ok() {
                self.next = None;
            }
            self.note();
        }
    }

    fn happens(&mut self, operation: &Operation<'_>) {
        match operation {
            Operation::Honest => self.honest(),
            Operation::Wait(steps) => {
                self.judge.office.now = Millis(self.judge.office.now.0 + 64 * u64::from(*steps));
                let (result, sent) = self.judge.observe(|office| office.operator.handle_timeout(office.now));
                assert!(sent.is_empty() && (result.is_ok() || self.judge.finished == Some(Err(Error::Unanswered))));
            }
            Operation::Replay(which) => {
                let Some(bytes) = self.said.get(usize::from(*which) % self.said.len().max(1)).cloned() else { return };
                self.stranger(&bytes);
            }
            Operation::Altered(change) => {
                let base = self.next.clone().or(self.said.last().cloned()).unwrap_or_default();
                self.stranger(&change.apply(&base));
            }
            Operation::WrongAnswer(which) => self.wrong_answer(*which),
            Operation::Crash { done } => {
                if let (true, Some(question)) = (*done, self.judge.asked.take()) {
                    let _ = self.judge.office.home.answer(question);
                }
                self.restart();
            }
            Operation::Move => match self.judge.office.move_on() {
                Ok(()) => {}
                Err(error) => assert!(error == Backend::Random.into(), "{error}"),
            },
            Operation::KeysAreLate => self.judge.office.keys_are_late(),
            Operation::RandomFails => self.judge.office.random_fails(),
        }
        // A new moment to wake at is all that a move may bring.
        for action in self.judge.office.actions() {
            assert!(matches!(action, Action::WakeAt(_)));
        }
    }

    /// The answer to a question, or the next message; if there is none, the device asks again.
    fn honest(&mut self) {
        if self.over || self.judge.finished.is_some() || self.lost && self.judge.asked.is_none() {
            return;
        }
        if self.judge.asked.is_some() {
            let sent = self.judge.answer();
            return self.heard(&sent);
        }
        let Some(bytes) = self.next.clone() else {
            self.phone.now = Millis(self.phone.now.0 + (1 << 20));
            let _ = self.phone.device.handle_timeout(self.phone.now);
            return self.note();
        };
        let faulty = self.judge.office.is_faulty();
        let (result, sent) = self.judge.deliver(&bytes);
        match result {
            Ok(()) => self.fresh = false,
            Err(error) => {
                let hardware = faulty && matches!(error, Error::Backend(_));
                let ended = is_error_message(&bytes) && matches!(error, Error::Refused(_));
                assert!(hardware || ended || self.lied, "an honest message is accepted: {error}");
            }
        }
        self.heard(&sent);
    }

    /// Bytes from anybody. Only the first message can be made by anybody.
    fn stranger(&mut self, bytes: &[u8]) {
        if self.next.as_deref() == Some(bytes) && self.judge.asked.is_none() {
            return self.honest();
        }
        let (fresh, asked) = (self.fresh && self.judge.finished.is_none(), self.judge.asked.is_some());
        let known = self.judge.taken.iter().any(|taken| taken == bytes);
        let said = self.judge.sent.clone();
        let faulty = self.judge.office.is_faulty();
        let (result, sent) = self.judge.deliver(bytes);
        let finds = fresh && matches!(self.judge.asked, Some(Question::Find(_)));
        if self.lost && self.said.iter().any(|message| message == bytes) {
            return; // The device's own words may still fit.
        }
        if fresh && !known && (result.is_ok() || faulty) {
            self.lost = true;
            self.fresh = false;
            assert!(result.is_err() || sent.len() == 1 || finds);
        } else if result.is_ok() {
            assert!(known, "only a repetition is answered");
            assert!(faulty || sent.len() <= 1 && sent.iter().all(|again| said.contains(again)), "and as before");
        }
        if self.judge.asked.is_some() != asked {
            assert!(finds || self.judge.finished.is_some() || known && faulty, "nothing else is asked for a stranger");
        }
        if !self.lost && result.is_err() {
            assert!(sent.iter().all(|message| is_error_message(message)));
        }
    }

    fn wrong_answer(&mut self, which: u8) {
        let answer = match which % 10 {
            0 => Answer::Appraised(Err(Code::DeviceNotAccepted)),
            1 => Answer::Found(None),
            2 => Answer::Reserved(Err(Code::PoolEmpty)),
            3 => Answer::Opc(Ok(Secret::zeroed())),
            4 => Answer::Logged(Err(Code::Conflict)),
            5 => Answer::Logged(Ok(())),
            6 => Answer::CoreReady(Err(Code::TryLater)),
            7 => Answer::CoreHolds(Ok(None)),
            8 => Answer::Recovered(Ok(None)),
            _ => Answer::Opc(Err(Code::TryLater)),
        };
        let fits = matches!(
            (&self.judge.asked, &answer),
            (Some(Question::Find(_)), Answer::Found(_))
                | (Some(Question::Appraise(_)), Answer::Appraised(_))
                | (Some(Question::Reserve { .. }), Answer::Reserved(_))
                | (Some(Question::ComputeOpc { .. }), Answer::Opc(_))
                | (Some(Question::Log(_)), Answer::Logged(_))
                | (
                    Some(
                        Question::PutIntoCore(_)
                            | Question::BarInCore(_)
                            | Question::AdmitToCore(_)
                            | Question::RemoveFromCore(_)
                    ),
                    Answer::CoreReady(_)
                )
                | (Some(Question::ReadCore(_)), Answer::CoreHolds(_))
                | (Some(Question::Recover(_)), Answer::Recovered(_))
        );
        if fits {
            self.lied |= matches!(which % 10, 3 | 5 | 7 | 8);
            self.judge.asked = None;
            let (_, sent) = self.judge.observe(|office| office.answer(answer));
            self.heard(&sent);
        } else {
            let (result, sent) = self.judge.observe(|office| office.answer(answer));
            assert!(matches!(result, Err(Error::Misuse(Misuse::NotNow(_)))) && sent.is_empty());
        }
    }

    /// Another session: the device has noticed that this one is dead.
    fn restart(&mut self) {
        self.attempt += 1;
        self.judge.open(OPERATOR_SEED + 2 * self.attempt);
        (self.fresh, self.lost, self.next) = (true, false, None);
        self.said.clear();
        self.phone.world.wake(DEVICE_SEED + 2 * self.attempt);
        match self.phone.world.start() {
            Ok(device) => self.phone.device = device,
            Err(error) => {
                assert!(matches!(error, Error::Misuse(Misuse::NotNow(_))), "{error}");
                self.over = true;
            }
        }
        self.note();
    }

    /// The world is in order from here on.
    fn come_to_rest(&mut self) {
        self.judge.office.mend();
        for _ in 0..MAX_ATTEMPTS {
            for _ in 0..MAX_STEPS {
                self.honest();
            }
            if self.over {
                break;
            }
            self.restart();
        }
        assert!(self.judge.confirmed() <= 1);
        assert!(self.lied || self.over && self.judge.confirmed() == 1, "no subscription, and nothing in its way");
    }
}
