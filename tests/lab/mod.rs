//! A bench for the two machines: no link, no clock, no scheduler. Each test hands every message over itself.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod double;

use core::fmt::Debug;

use remote_provisioning::{
    aka::Challenge,
    attestation::{MemoryEndorsements, Policy, TokenVerifier},
    credential::{Installed, Offered, SoftUsim, StorageKey, Usim},
    crypto::{Crypto, HASH_LEN, Hash, PublicKey, Rng, Secret, SecretBytes, Signature, rustcrypto::RustCrypto},
    edhoc::{Opened, OwnCredential, Seal},
    error::{Backend, Code, Error},
    identity::{DeviceId, Domain, PeerName, Role},
    provisioning::{
        Account, Admission, Answer, Desk, Device, Millis, Operator, Platform, Question, Task,
        device::{self, Goal, Introduction, Subscription, authenticate, subscription},
        log::What,
        message::{Operation, Standing, Verdict},
        operator,
        question::Visitor,
        receipt::Event,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities, maker, maker::Attestation},
    store::{
        Commit, KeyId, KeyStore, Slot, SubscriptionStore,
        memory::{MemoryKeyStore, MemoryStore},
    },
    trust::{Date, MemoryAnchors, Pinned},
    wire::Reader,
};

pub(crate) type Outcome = Result<(), Error>;

/// A store that can be told to fail.
pub(crate) struct Store {
    pub(crate) memory: MemoryStore,
    /// Commits that still succeed; `None` for all.
    pub(crate) good_for: Option<usize>,
}

impl SubscriptionStore for Store {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        self.memory.record()
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        self.memory.slot(slot)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        match &mut self.good_for {
            Some(0) => return Err(Backend::Store),
            Some(left) => *left -= 1,
            None => {}
        }
        self.memory.commit(commit)
    }
}

/// A random source that can be told to fail.
pub(crate) struct Source {
    seeded: SeededRng,
    /// Draws that still succeed; `None` for all.
    pub(crate) good_for: Option<usize>,
}

impl Rng for Source {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        match &mut self.good_for {
            Some(0) => return Err(Backend::Random),
            Some(left) => *left -= 1,
            None => {}
        }
        self.seeded.fill(out)
    }
}

/// A USIM that can be told to fail, and shows what it was asked.
#[derive(Default)]
pub(crate) struct Card {
    pub(crate) broken: bool,
    pub(crate) installs: usize,
    /// The last RES.
    pub(crate) res: Vec<u8>,
    /// Slots that it was told are empty.
    pub(crate) erased: Vec<Slot>,
}

impl Usim for Card {
    fn install(&mut self, slot: Slot, offered: &Offered<'_>, crypto: &dyn Crypto) -> Result<Installed, Error> {
        if self.broken {
            return Err(Backend::Usim.into());
        }
        let installed = SoftUsim.install(slot, offered, crypto)?;
        self.installs += 1;
        self.res = installed.res.bytes().to_vec();
        Ok(installed)
    }

    fn authenticate(
        &mut self,
        slot: Slot,
        content: &SecretBytes,
        challenge: &Challenge,
    ) -> Result<(remote_provisioning::aka::Answer, Option<SecretBytes>), Backend> {
        SoftUsim.authenticate(slot, content, challenge)
    }

    fn erase(&mut self, slot: Slot) {
        self.erased.push(slot);
    }
}

/// A key store whose signatures can be counted out.
pub(crate) struct Keys {
    pub(crate) memory: MemoryKeyStore,
    /// Signatures that it still makes; `None` for all.
    pub(crate) good_for: core::cell::Cell<Option<usize>>,
    /// Signatures are zeros, for a backend that takes them.
    pub(crate) forged: bool,
    /// The signature that it made last.
    pub(crate) last: core::cell::Cell<Signature>,
    /// Calls that it serves, those that it then does not before it does again, and what it says to them.
    failing: core::cell::Cell<(usize, usize, Backend)>,
}

impl Keys {
    /// The next `times` calls fail with `error`; those behind them do not.
    pub(crate) fn fail(&self, times: usize, error: Backend) {
        self.fail_after(0, times, error);
    }

    /// The next `good` calls do not, and then `times` do.
    pub(crate) fn fail_after(&self, good: usize, times: usize, error: Backend) {
        self.failing.set((good, times, error));
    }

    fn ready(&self) -> Result<(), Backend> {
        let (good, times, error) = self.failing.get();
        if let Some(good) = good.checked_sub(1) {
            self.failing.set((good, times, error));
            return Ok(());
        }
        let Some(left) = times.checked_sub(1) else { return Ok(()) };
        self.failing.set((0, left, error));
        Err(error)
    }

    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut memory = MemoryKeyStore::new();
        memory.insert(IDENTITY, key).unwrap();
        let (last, failing) = ([0; 64].into(), (0, 0, Backend::Key).into());
        Self { memory, good_for: None.into(), forged: false, last, failing }
    }
}

impl KeyStore for Keys {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.memory.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        self.ready()?;
        match self.good_for.get() {
            Some(0) => return Err(Backend::Key),
            left => self.good_for.set(left.map(|left| left - 1)),
        }
        if self.forged {
            return Ok([0; 64]);
        }
        let signature = self.memory.sign(key, message)?;
        self.last.set(signature);
        Ok(signature)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.ready()?;
        self.memory.agree(key, peer, shared)
    }
}

/// What is wrong with the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// They are set back to the beginning of all counting.
    Back,
    /// They are set to the end of it.
    Forward,
    /// They do not move any more.
    Still,
    /// The device's calendar is empty.
    NoDate,
}

/// Clocks that move with each call of a machine, and are wrong at the n-th.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Calls at which they are still right.
    pub(crate) good_for: usize,
    pub(crate) wrong: Wrong,
    /// Whether they are right again at the next call.
    pub(crate) once: bool,
    /// Moves so far.
    pub(crate) moves: u64,
}

/// Both sides' worlds.
pub(crate) struct Lab {
    /// Both machines'.
    pub(crate) crypto: &'static dyn Crypto,
    /// Where each call of a machine is made: a test of memory looks around before and after.
    pub(crate) around: fn(&mut dyn FnMut()),
    /// Hears of every error that a call gives, and of every one that a machine ends with.
    pub(crate) seen: fn(&Error),
    /// `None`: the clocks stand still, but for what a test does.
    pub(crate) clock: Option<Clock>,
    pub(crate) now: Millis,
    pub(crate) rng: Source,
    pub(crate) store: Store,
    pub(crate) card: Card,
    pub(crate) home: Home,
    pub(crate) device_config: device::Config,
    pub(crate) operator_config: operator::Config,
    pub(crate) device_keys: Keys,
    pub(crate) operator_keys: Keys,
    pub(crate) device_anchors: MemoryAnchors,
    pub(crate) operator_anchors: MemoryAnchors,
    pub(crate) storage: StorageKey,
    /// What the device is after.
    pub(crate) goal: Goal,
    /// What the device attests with.
    pub(crate) attestation: Option<Attestation>,
    /// The device's calendar.
    pub(crate) date: Option<Date>,
    /// The operator's: every session begins a second after the one before.
    pub(crate) today: Date,
    /// A question that is answered with a no, by the name of [`name`].
    pub(crate) refusing: Option<(&'static str, Code)>,
    /// A question that is not answered.
    pub(crate) stopping: Option<&'static str>,
    /// The operator's sessions rest in tokens between any two calls: the longest so far.
    pub(crate) travelling: Option<usize>,
}

pub(crate) fn token_key() -> Secret<32> {
    Secret::from_slice(&[0x70; 32]).unwrap()
}

pub(crate) fn chain(chain: &[&[u8]]) -> OwnCredential {
    OwnCredential::chain(IDENTITY, chain).unwrap()
}

impl Lab {
    /// A factory-new device and an operator with eight free SUPIs.
    pub(crate) fn new(seed: u64) -> Self {
        let introduction = Introduction::VoucherFirst(maker::home_key().unwrap());
        let name = maker::device_name().unwrap();
        let mut home = Home::laboratory().unwrap();
        home.policy = Policy::without_evidence("bench").unwrap();
        Self {
            crypto: &RustCrypto,
            around: |call| call(),
            seen: |_| {},
            clock: None,
            now: Millis(1_000),
            rng: Source { seeded: SeededRng::new(seed), good_for: None },
            store: Store { memory: MemoryStore::new(), good_for: None },
            card: Card::default(),
            home,
            device_config: device::Config::new(chain(&identities::device_chain()), name, Domain::Test, introduction),
            operator_config: operator::Config::new(chain(&identities::operator_chain()), Domain::Test),
            device_keys: Keys::new(identities::device_key()),
            operator_keys: Keys::new(identities::operator_key()),
            device_anchors: identities::device_anchors(),
            operator_anchors: identities::operator_anchors(),
            storage: Home::storage_key().unwrap(),
            goal: Goal::Provision,
            attestation: None,
            date: None,
            today: TODAY,
            refusing: None,
            stopping: None,
            travelling: None,
        }
    }

    /// One whose operator wants to see evidence, and whose device can give it.
    pub(crate) fn attested(seed: u64) -> Self {
        let mut lab = Self::new(seed);
        lab.home.policy = maker::policy().unwrap();
        lab.attestation = Some(Attestation::new(&lab.device_config.name).unwrap());
        lab
    }

    /// One whose device is shown its voucher last.
    pub(crate) fn voucher_last(seed: u64) -> Self {
        let mut lab = Self::new(seed);
        lab.device_config.introduction = Introduction::VoucherLast { request: false };
        lab
    }

    /// One whose sides have raw keys, known to each other by `kid`.
    pub(crate) fn raw(seed: u64) -> Self {
        let mut lab = Self::new(seed);
        let pinned = |ccs, role| {
            OwnCredential::pinned(IDENTITY, &Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap()).unwrap()
        };
        lab.device_config.own = pinned(identities::raw_device_ccs(), Role::Device);
        lab.device_config.name = "IOT-0001-0000-0002".parse().unwrap();
        lab.operator_config.own = pinned(identities::raw_operator_ccs(), Role::Operator);
        lab.device_keys = Keys::new(identities::raw_device_key());
        lab.operator_keys = Keys::new(identities::raw_operator_key());
        lab.own();
        lab
    }

    /// The device's maker says that the operator owns it.
    pub(crate) fn own(&mut self) {
        let (name, key) = (self.device_config.name, self.operator_keys.public_key(IDENTITY).unwrap());
        self.home.own(name, maker::voucher(&name, &key).unwrap());
    }

    /// One whose device has a credential that the operator confirmed and the device has not been told of.
    pub(crate) fn unconfirmed(seed: u64) -> Self {
        let mut lab = Self::new(seed);
        lab.session(6);
        lab
    }

    pub(crate) fn platform(&mut self) -> Platform<'_> {
        Platform {
            crypto: self.crypto,
            rng: &mut self.rng,
            keys: &self.device_keys,
            anchors: &self.device_anchors,
            attester: match &self.attestation {
                Some(attestation) => Some(attestation),
                None => None,
            },
            subscriptions: &mut self.store,
            usim: &mut self.card,
            date: self.date,
        }
    }

    pub(crate) fn desk(&mut self) -> Desk<'_> {
        Desk {
            crypto: self.crypto,
            rng: &mut self.rng,
            keys: &self.operator_keys,
            storage: &self.storage,
            anchors: &self.operator_anchors,
            date: self.today,
        }
    }

    /// Somebody is about to look at the clocks.
    fn tick(&mut self) {
        let Some(mut clock) = self.clock else { return };
        clock.moves += 1;
        let right = (Millis(1_000 + 50 * clock.moves), Date(TODAY.0 + clock.moves), Some(Date(TODAY.0 + clock.moves)));
        let (now, today, date) = match clock.good_for.checked_sub(1) {
            Some(left) => {
                clock.good_for = left;
                right
            }
            None => {
                if clock.once {
                    clock.good_for = usize::MAX;
                }
                match clock.wrong {
                    Wrong::Back => (Millis(0), Date(0), Some(Date(0))),
                    Wrong::Forward => (Millis(u64::MAX), Date(u64::MAX), Some(Date(u64::MAX))),
                    Wrong::Still => (self.now, self.today, self.date),
                    Wrong::NoDate => (right.0, right.1, None),
                }
            }
        };
        (self.now, self.today, self.date, self.clock) = (now, today, date, Some(clock));
    }

    fn seen<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(self.seen)
    }

    pub(crate) fn start(&mut self) -> Result<Device, Error> {
        self.tick();
        let (config, goal, now) = (self.device_config.clone(), self.goal.clone(), self.now);
        let started = around(self.around, || Device::start(config, goal, now, &mut self.platform()));
        self.seen(started)
    }

    pub(crate) fn operator(&mut self) -> Operator {
        self.today.0 = self.today.0.saturating_add(1);
        Operator::new(self.operator_config.clone())
    }

    pub(crate) fn tell_device(&mut self, device: &mut Device, bytes: &[u8]) -> Outcome {
        self.tick();
        let now = self.now;
        let outcome = around(self.around, || device.handle_message(bytes, now, &mut self.platform()));
        self.seen(outcome)
    }

    pub(crate) fn tell_operator(&mut self, operator: &mut Operator, bytes: &[u8]) -> Outcome {
        self.travel(operator);
        self.tick();
        let now = self.now;
        let outcome = around(self.around, || operator.handle_message(bytes, now, &mut self.desk()));
        self.seen(outcome)
    }

    /// Closes the session here and opens it on another server, if it may.
    fn travel(&mut self, operator: &mut Operator) {
        let Some(longest) = self.travelling else { return };
        let token = self.token(operator).unwrap();
        self.travelling = Some(longest.max(token.len()));
        *operator = self.reopened(&token).unwrap().first_use(true).unwrap();
        // It asks to be woken, and for nothing else.
        assert!(matches!(operator.poll(), Some(operator::Action::WakeAt(_))));
        assert!(operator.poll().is_none());
    }

    /// The session in a token that is good until tomorrow.
    pub(crate) fn token(&mut self, operator: &Operator) -> Result<Vec<u8>, Error> {
        let (key, expires) = (token_key(), Date(TODAY.0 + 86_400));
        around(self.around, || operator.seal(&Seal { key: &key, expires }, self.crypto, &mut self.rng))
    }

    pub(crate) fn reopened(&self, token: &[u8]) -> Result<Opened<Operator>, Error> {
        let config = self.operator_config.clone();
        let opened = around(self.around, || Operator::open(config, token, &token_key(), TODAY, self.now, self.crypto));
        self.seen(opened)
    }

    pub(crate) fn answer(&mut self, operator: &mut Operator, answer: Answer) -> Outcome {
        self.travel(operator);
        self.tick();
        let outcome = around(self.around, || operator.answer(answer, &mut self.desk()));
        self.seen(outcome)
    }

    /// Answers questions until there are none, or one comes that is not to be answered.
    pub(crate) fn serve(&mut self, operator: &mut Operator) -> FromOperator {
        let mut out = FromOperator::default();
        while let Some(action) = operator.poll() {
            match action {
                operator::Action::Send(bytes) => out.sent.push(bytes),
                operator::Action::WakeAt(moment) => out.wake = Some(moment),
                operator::Action::Finished(result) => {
                    let _ = self.seen(result);
                    out.finished.push(result);
                }
                operator::Action::Ask(question) => {
                    let name = name(&question);
                    out.asked.push(name);
                    if self.stopping == Some(name) {
                        out.open = Some(question);
                        break;
                    }
                    let answer = match self.refusing {
                        Some((refused, code)) if refused == name => no(&question, code),
                        _ => self.home.answer(question),
                    };
                    let _ = self.answer(operator, answer); // Its end comes as an action.
                }
            }
        }
        out
    }

    /// A new session, up to the point where this many messages are out and the last of them has not arrived.
    pub(crate) fn session(&mut self, messages: usize) -> Session {
        let device = self.start().unwrap();
        let mut session = Session { device, operator: self.operator(), messages: Vec::new() };
        session.messages.extend(from_device(&mut session.device).sent);
        while session.messages.len() < messages {
            let before = session.messages.len();
            self.step(&mut session).unwrap();
            assert!(session.messages.len() > before, "nobody says anything more");
        }
        session
    }

    /// Hands the last message over, and collects what comes back.
    pub(crate) fn step(&mut self, session: &mut Session) -> Outcome {
        let message = session.messages.last().unwrap().clone();
        if session.messages.len().is_multiple_of(2) {
            let outcome = self.tell_device(&mut session.device, &message);
            session.messages.extend(from_device(&mut session.device).sent);
            outcome
        } else {
            let outcome = self.tell_operator(&mut session.operator, &message);
            session.messages.extend(self.serve(&mut session.operator).sent);
            outcome
        }
    }

    /// A new session, to its end; how the device ended it, if it did.
    pub(crate) fn run(&mut self) -> Outcome {
        let device = self.start()?;
        let mut session = Session { device, operator: self.operator(), messages: Vec::new() };
        session.messages.extend(from_device(&mut session.device).sent);
        loop {
            let (before, message) = (session.messages.len(), session.messages.last().unwrap().clone());
            if before.is_multiple_of(2) {
                let _ = self.tell_device(&mut session.device, &message);
                let out = from_device(&mut session.device);
                session.messages.extend(out.sent);
                if let [result] = *out.finished {
                    return self.seen(result);
                }
            } else {
                let _ = self.tell_operator(&mut session.operator, &message);
                session.messages.extend(self.serve(&mut session.operator).sent);
            }
            if session.messages.len() == before {
                return Err(Error::Unanswered);
            }
        }
    }

    /// As [`run`](Self::run), for this goal.
    pub(crate) fn go(&mut self, goal: Goal) -> Outcome {
        self.goal = goal;
        self.run()
    }

    /// A task of the operator's, to its end.
    pub(crate) fn carry_out(&mut self, mut task: Task) -> Outcome {
        while let Some(question) = task.poll() {
            let answer = match self.refusing {
                Some((refused, code)) if refused == name(&question) => no(&question, code),
                _ => self.home.answer(question),
            };
            task.answer(answer, &RustCrypto)?;
        }
        assert!(task.is_done());
        Ok(())
    }

    /// The device, as the log calls it.
    pub(crate) fn device_id(&self) -> DeviceId {
        maker::device_id().unwrap()
    }

    pub(crate) fn account(&self) -> Account {
        self.home.account(&self.device_id()).cloned().unwrap_or_default()
    }

    /// A new session to its end, unless the device has what it wants.
    pub(crate) fn run_if_open(&mut self) -> Outcome {
        if matches!(self.held(), Some((_, true))) { Ok(()) } else { self.run() }
    }

    pub(crate) fn fingerprint(&self) -> Hash {
        self.store.memory.fingerprint()
    }

    /// What the store holds, and whether it is confirmed.
    pub(crate) fn held(&self) -> Option<(Subscription, bool)> {
        subscription(&self.store).unwrap()
    }

    /// Whether the record has a transaction open, and how many receipts it keeps.
    pub(crate) fn kept(&self) -> (bool, usize) {
        let record = self.store.record().unwrap().unwrap();
        let mut reader = Reader::new(&record).unwrap();
        let mut map = reader.map().unwrap();
        let open = map.find(3).unwrap().map(|open| open.raw().unwrap()).is_some();
        for key in 4..8 {
            map.find(key).unwrap().map(|value| value.raw().unwrap());
        }
        (open, map.find(8).unwrap().unwrap().array().unwrap())
    }

    /// The power goes, and comes back.
    pub(crate) fn power_cut(&mut self) {
        self.store.memory = self.store.memory.durable_copy();
        self.card = Card::default();
    }

    /// Names of the log's entries.
    pub(crate) fn logged(&self) -> Vec<&'static str> {
        self.home.entries().map(|entry| logged(&entry.what)).collect()
    }

    /// The device has a confirmed credential, the operator has its receipt, and the core and the USIM hold the same K.
    pub(crate) fn assert_complete(&mut self) -> Subscription {
        let Some((held, true)) = self.held() else { panic!("not confirmed: {:?}", self.held()) };
        let offered = self.home.entries().filter_map(|entry| match entry.what {
            What::Offered(offered) => Some(offered),
            _ => None,
        });
        let offered = offered.last().unwrap();
        assert_eq!((offered.supi.as_str(), offered.epoch), (held.id.supi.as_str(), held.id.epoch));
        assert_eq!(self.logged().iter().filter(|entry| **entry == "confirmed").count(), 1);
        self.attach(&held);
        held
    }

    pub(crate) fn attach(&mut self, held: &Subscription) {
        let vector = self.home.challenge(&held.id.supi, &mut self.rng).unwrap();
        let answer = authenticate(&vector.challenge, &mut self.store, &mut SoftUsim).unwrap();
        let remote_provisioning::aka::Answer::Success(keys) = answer else { panic!("{answer:?}") };
        assert_eq!(keys.res.bytes(), vector.keys.res.bytes());
    }
}

/// A call of a machine, made there.
fn around<T>(around: fn(&mut dyn FnMut()), call: impl FnOnce() -> T) -> T {
    let (mut call, mut result) = (Some(call), None);
    around(&mut || result = call.take().map(|call| call()));
    result.unwrap()
}

/// A session whose operator waits for the answer to this question.
pub(crate) fn stopped(lab: &mut Lab, question: &'static str) -> (Session, Question) {
    lab.stopping = Some(question);
    let mut session = lab.session(1);
    loop {
        let message = session.messages.last().unwrap().clone();
        if session.messages.len().is_multiple_of(2) {
            lab.tell_device(&mut session.device, &message).unwrap();
            session.messages.extend(from_device(&mut session.device).sent);
        } else {
            lab.tell_operator(&mut session.operator, &message).unwrap();
            let out = lab.serve(&mut session.operator);
            session.messages.extend(out.sent);
            if let Some(open) = out.open {
                return (session, open);
            }
        }
    }
}

/// Two machines, and all that they have said to each other.
pub(crate) struct Session {
    pub(crate) device: Device,
    pub(crate) operator: Operator,
    pub(crate) messages: Vec<Vec<u8>>,
}

impl Session {
    /// By its number, from 1.
    pub(crate) fn message(&self, number: usize) -> Vec<u8> {
        self.messages[number - 1].clone()
    }
}

/// What a device wants done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FromDevice {
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) wake: Option<Millis>,
    pub(crate) authenticated: Vec<PeerName>,
    pub(crate) installed: Vec<Subscription>,
    pub(crate) completed: Vec<u64>,
    pub(crate) prepared: Vec<Subscription>,
    pub(crate) called_off: usize,
    pub(crate) erased: usize,
    pub(crate) told: Vec<(Standing, Option<Operation>)>,
    pub(crate) again: Option<Millis>,
    pub(crate) finished: Vec<Outcome>,
}

pub(crate) fn from_device(device: &mut Device) -> FromDevice {
    let mut out = FromDevice::default();
    while let Some(action) = device.poll() {
        match action {
            device::Action::Send(bytes) => out.sent.push(bytes),
            device::Action::WakeAt(moment) => out.wake = Some(moment),
            device::Action::Authenticated(met) => out.authenticated.push(met.operator),
            device::Action::Installed(subscription) => out.installed.push(subscription),
            device::Action::Completed { acknowledged } => out.completed.push(acknowledged),
            device::Action::Prepared(subscription) => out.prepared.push(subscription),
            device::Action::CalledOff => out.called_off += 1,
            device::Action::Erased => out.erased += 1,
            device::Action::Told(standing, wanted) => out.told.push((standing, wanted)),
            device::Action::StartAgainAt(moment) => out.again = Some(moment),
            device::Action::Finished(result) => out.finished.push(result),
        }
    }
    out
}

/// What an operator wants done, its questions by name.
#[derive(Debug, Default)]
pub(crate) struct FromOperator {
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) wake: Option<Millis>,
    pub(crate) asked: Vec<&'static str>,
    /// The one that was not answered.
    pub(crate) open: Option<Question>,
    pub(crate) finished: Vec<Outcome>,
}

/// What a question is called here.
pub(crate) fn name(question: &Question) -> &'static str {
    match question {
        Question::Find(_) => "find",
        Question::Appraise(_) => "appraise",
        Question::Reserve(_) => "reserve",
        Question::ComputeOpc { .. } => "opc",
        Question::Log(entry) => match &entry.what {
            What::Offered(_) => "log offer",
            What::Prepared(_) => "log prepared",
            What::Decided { .. } => "log decision",
            What::Ended(_) => "log confirm",
            What::Recovered(_) => "log recovery",
            What::Received(_) => "log receipts",
            What::Cleared(_) => "log cleared",
            _ => "log other",
        },
        Question::PutIntoCore(_) => "core",
        Question::ReadCore(_) => "read core",
        Question::Recover(_) => "recover",
        Question::BarInCore(_) => "bar",
        Question::AdmitToCore(_) => "admit",
        Question::RemoveFromCore(_) => "remove",
    }
}

/// What a log entry is called here.
pub(crate) fn logged(what: &What) -> &'static str {
    match what {
        What::Offered(_) => "offered",
        What::Prepared(_) => "prepared",
        What::Decided { verdict: Verdict::Commit, .. } => "commit",
        What::Decided { verdict: Verdict::Abort, .. } => "abort",
        What::Ended(signed) if signed.event == Event::Activated => "confirmed",
        What::Ended(signed) if signed.event == Event::Aborted => "aborted",
        What::Ended(_) => "erased",
        What::Recovered(_) => "recovered",
        What::Restored => "restored",
        What::Received(_) => "received",
        What::Cleared(_) => "cleared",
        What::Barred(_) => "barred",
        What::Reinstated => "reinstated",
        What::Wanted(_) => "wanted",
        What::Associated(_) => "associated",
        What::Released(_) => "released",
        What::Transferred { .. } => "transferred",
        What::Quarantined { .. } => "quarantined",
        What::Cleaned => "cleaned",
    }
}

/// A no to a question that can be answered with one.
pub(crate) fn no(question: &Question, code: Code) -> Answer {
    match question {
        Question::Find(_) => Answer::Found(None),
        Question::Appraise(_) => Answer::Appraised(Err(code)),
        Question::Reserve(_) => Answer::Reserved(Err(code)),
        Question::Log(_) => Answer::Logged(Err(code)),
        Question::PutIntoCore(_) | Question::BarInCore(_) | Question::AdmitToCore(_) | Question::RemoveFromCore(_) => {
            Answer::CoreReady(Err(code))
        }
        Question::ReadCore(_) => Answer::CoreHolds(Err(code)),
        Question::Recover(_) => Answer::Recovered(Err(code)),
        Question::ComputeOpc { .. } => Answer::Opc(Err(code)),
    }
}

/// A yes to "appraise", for the device that asked.
pub(crate) fn admission(visitor: &Visitor) -> Admission {
    let policy = Policy::without_evidence("bench").unwrap();
    let verifier = TokenVerifier::new(MemoryEndorsements::new());
    let verdict =
        policy.appraise(&visitor.device.device_id(), None, &visitor.evidence_nonce, &verifier, &RustCrypto).unwrap();
    Admission {
        verdict,
        admitted: Account::default().admit(visitor, &RustCrypto).unwrap(),
        voucher: None,
        permit: None,
    }
}

/// What is inside an error, without its class.
pub(crate) fn inner(error: &impl Debug) -> String {
    let all = format!("{error:?}");
    match all.split_once('(') {
        Some((_, inner)) => inner.strip_suffix(')').unwrap_or(inner).to_owned(),
        None => all,
    }
}
