//! Two machines, one virtual clock, one seed, and a bad link between them.
//!
//! [`World`] runs a factory-new device against an operator until the device is a subscriber or the attempts are used
//! up. The same seed gives the same run. Whoever watches gets every [`Event`]: that is what `examples/provision.rs`
//! prints, and what tests count.
//!
//! ```
//! use remote_provisioning::sim::World;
//!
//! let mut world = World::new(7).losing(0.3);
//! assert!(world.run(&mut |_, _| {}).is_ok());
//! world.assert_sound();
//! ```

pub mod fleet;
pub mod home;
pub mod identities;
pub mod kit;
pub mod link;
pub mod maker;

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use crate::{
    aka::{self, Vector},
    attestation::Attester,
    credential::{SoftUsim, StorageKey},
    crypto::{Crypto, Hash, Rng, equal, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::{Backend, Error, Refused, Result},
    identity::{Domain, Role, Supi},
    provisioning::{
        Millis, Task,
        device::{self, Device, Goal, Introduction, Met, Platform, Subscription},
        log::What,
        message::{Operation, Standing},
        operator::{self, Desk, Operator},
        question::Question,
        receipt,
    },
    sim::{
        home::Home,
        link::{Fate, Link, Quality},
        maker::Attestation,
    },
    store::{
        KeyId,
        memory::{MemoryKeyStore, MemoryStore},
    },
    trust::{Date, MemoryAnchors},
};

/// The identity key of either side, in its own key store.
pub const IDENTITY: KeyId = KeyId(1);

/// 2026-01-01T00:00:00Z.
pub const TODAY: Date = Date(1_767_225_600);

/// Random numbers that follow from a seed. **For simulations only.**
#[derive(Clone, Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// A source whose output follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        let draw = u32::try_from(self.next() >> 32).unwrap_or_default();
        f64::from(draw) < probability * f64::from(u32::MAX)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.next().checked_rem(bound).unwrap_or_default()).unwrap_or_default()
    }
}

impl Rng for SeededRng {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        for chunk in out.chunks_mut(8) {
            chunk.iter_mut().zip(self.next().to_le_bytes()).for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }
}

/// What happens in a world.
#[derive(Debug)]
pub enum Event<'a> {
    /// A device starts an attempt, in a new session.
    Started {
        /// The session.
        session: u32,
    },
    /// A message goes out. Messages are numbered from 1 in the order in which they first appear; a repetition has the
    /// number of the first.
    Sent {
        /// Who sends.
        from: Role,
        /// The message's number.
        number: usize,
        /// Whether it went out before.
        again: bool,
        /// The bytes, as sent.
        bytes: &'a [u8],
        /// What becomes of them.
        fate: Fate,
    },
    /// A message has been handed to a machine.
    Received {
        /// Whose machine.
        by: Role,
        /// What it said.
        result: Result<()>,
    },
    /// The device believes this operator.
    Authenticated(&'a Met),
    /// The operator has been asked.
    Asked(&'a Question),
    /// The device's store has been written.
    Committed {
        /// How often so far.
        commits: usize,
    },
    /// The device has a subscription.
    Installed(&'a Subscription),
    /// The device has a subscription that waits for a decision.
    Prepared(&'a Subscription),
    /// It was decided against it.
    CalledOff,
    /// The power of the device is gone, and with it all that was not durable.
    PowerCut,
    /// The device has no subscription any more.
    Erased,
    /// The device has been told how its subscription stands, and what to ask for.
    Told(Standing, Option<Operation>),
    /// The device has been told complete.
    Completed {
        /// Sequence number of the last receipt that the operator has.
        acknowledged: u64,
    },
    /// A machine has ended.
    Finished {
        /// Whose.
        by: Role,
        /// How.
        result: Result<()>,
    },
}

/// A moment at which the power of the device goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A credential is durable beside the one in use, and nobody has been told.
    Prepared,
    /// A credential is durable and in use, and nobody has been told.
    Installed,
}

/// Somebody who watches.
pub type Watcher<'a> = &'a mut dyn FnMut(Millis, &Event<'_>);

/// An operator, with all that is its own.
#[derive(Debug)]
pub struct Party {
    /// Its systems.
    pub home: Home,
    /// How it runs the exchange.
    pub config: operator::Config,
    /// Its key.
    pub keys: MemoryKeyStore,
}

/// What both machines compute with.
#[derive(Clone, Copy)]
struct Primitives(&'static dyn Crypto);

impl core::fmt::Debug for Primitives {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Primitives(..)")
    }
}

/// A device, an operator, and what is between them.
#[derive(Debug)]
pub struct World {
    /// The virtual clock.
    pub now: Millis,
    /// The device's store.
    pub store: MemoryStore,
    /// The operator's systems.
    pub home: Home,
    /// How the device runs the exchange.
    pub device_config: device::Config,
    /// How the operator does.
    pub operator_config: operator::Config,
    /// What the device is after at the moment.
    goal: Goal,
    /// Attempts before giving up.
    pub attempts: u32,
    /// What the device attests with; `None` for one that cannot.
    pub attestation: Option<Attestation>,
    /// When the power of the device goes next, once. It comes back by the next attempt.
    pub cut: Option<Cut>,
    primitives: Primitives,
    storage: StorageKey,
    device_keys: MemoryKeyStore,
    operator_keys: MemoryKeyStore,
    device_anchors: MemoryAnchors,
    operator_anchors: MemoryAnchors,
    quality: Quality,
    tamper: Option<usize>,
    rng: SeededRng,
    device: Option<Device>,
    wake: Option<Millis>,
    session: u32,
    operators: BTreeMap<u32, Operator>,
    /// Hashes of the messages seen, in order: their numbers.
    seen: Vec<Hash>,
}

impl World {
    /// A world with X.509 identities on both sides and a good link.
    pub fn new(seed: u64) -> Self {
        let own = |chain: &[&[u8]]| OwnCredential::chain(IDENTITY, chain);
        let keys = |key: &[u8; 32]| {
            let mut keys = MemoryKeyStore::new();
            keys.insert(IDENTITY, key).map(|()| keys)
        };
        // The identities are fixed files; each of these conversions is shown to succeed by every test that uses a world.
        #[expect(clippy::expect_used, reason = "fixed inputs that every test exercises")]
        let world = Self {
            now: Millis(0),
            store: MemoryStore::new(),
            home: Home::laboratory().expect("fixed keys"),
            device_config: device::Config::new(
                own(&identities::device_chain()).expect("two"),
                maker::device_name().expect("a name"),
                Domain::Test,
                Introduction::VoucherFirst(maker::home_key().expect("a key")),
            ),
            operator_config: operator::Config::new(own(&identities::operator_chain()).expect("two"), Domain::Test),
            goal: Goal::Provision,
            attempts: 20,
            attestation: maker::device_name().and_then(|name| Attestation::new(&name)).ok(),
            cut: None,
            primitives: Primitives(&RustCrypto),
            storage: Home::storage_key().expect("a fixed key"),
            device_keys: keys(identities::device_key()).expect("a scalar"),
            operator_keys: keys(identities::operator_key()).expect("a scalar"),
            device_anchors: identities::factory_anchors(),
            operator_anchors: identities::maker_anchors(),
            quality: Quality::GOOD,
            tamper: None,
            rng: SeededRng::new(seed),
            device: None,
            wake: None,
            session: 0,
            operators: BTreeMap::new(),
            seen: Vec::new(),
        };
        world
    }

    /// Both machines compute with this backend.
    #[must_use]
    pub const fn computing(mut self, crypto: &'static dyn Crypto) -> Self {
        self.primitives = Primitives(crypto);
        self
    }

    /// Loses this share of the transmissions.
    #[must_use]
    pub const fn losing(mut self, share: f64) -> Self {
        self.quality.loss = share;
        self
    }

    /// Delivers this share twice.
    #[must_use]
    pub const fn doubling(mut self, share: f64) -> Self {
        self.quality.doubling = share;
        self
    }

    /// Delivers this share late.
    #[must_use]
    pub const fn reordering(mut self, share: f64) -> Self {
        self.quality.reordering = share;
        self
    }

    /// Changes a byte in this share.
    #[must_use]
    pub const fn damaging(mut self, share: f64) -> Self {
        self.quality.damage = share;
        self
    }

    /// Changes the byte in the middle of message `number` whenever it goes out, and makes one attempt only.
    #[must_use]
    pub const fn tampering(mut self, number: usize) -> Self {
        self.tamper = Some(number);
        self.attempts = 1;
        self
    }

    /// Puts the link in order, for a run that goes on where a bad one stopped.
    #[must_use]
    pub const fn mended(mut self) -> Self {
        self.quality = Quality::GOOD;
        self.tamper = None;
        self.attempts = 20;
        self
    }

    /// Gives the device another operator anchor, and with it another world.
    #[must_use]
    pub fn trusting(mut self, device_anchors: MemoryAnchors, operator_anchors: MemoryAnchors) -> Self {
        self.device_anchors = device_anchors;
        self.operator_anchors = operator_anchors;
        self
    }

    /// Lets the device try until the operator has confirmed its subscription.
    ///
    /// # Errors
    /// The error that ended the last attempt.
    pub fn run(&mut self, watch: Watcher<'_>) -> Result<Subscription> {
        self.go(Goal::Provision, watch)?;
        let subscription = device::subscription(&self.store)?;
        subscription.map(|(subscription, _)| subscription).ok_or(Backend::Store.into())
    }

    /// Lets the device try until it has what it is after, or is told that it makes no sense. What was open when it started
    /// is finished first.
    ///
    /// # Errors
    /// The error that ended the last attempt.
    pub fn go(&mut self, goal: Goal, watch: Watcher<'_>) -> Result<()> {
        self.goal = goal;
        let mut link = Link::new(self.quality, self.rng.next());
        let mut last = Error::Unanswered;
        for _ in 0..self.attempts {
            match self.attempt(&mut link, watch) {
                Ok(()) => return Ok(()),
                Err(error @ (Error::Misuse(_) | Error::Refused(Refused::Aborted))) => return Err(error),
                Err(error @ Error::Refused(Refused::Code(code))) if !code.class().is_worth_repeating() => {
                    return Err(error);
                }
                Err(error) => last = error,
            }
            self.now = self.now.after(60_000);
        }
        Err(last)
    }

    /// Carries out a task of the operator's.
    ///
    /// # Errors
    /// [`Error::Declined`] if its systems say no.
    pub fn carry_out(&mut self, mut task: Task, watch: Watcher<'_>) -> Result<()> {
        while let Some(question) = task.poll() {
            watch(self.now, &Event::Asked(&question));
            task.answer(self.home.answer(question), &RustCrypto)?;
        }
        Ok(())
    }

    /// Puts another operator into the world, and gives the one that was there.
    pub fn change_operator(&mut self, operator: Party) -> Party {
        self.operators.clear();
        Party {
            home: core::mem::replace(&mut self.home, operator.home),
            config: core::mem::replace(&mut self.operator_config, operator.config),
            keys: core::mem::replace(&mut self.operator_keys, operator.keys),
        }
    }

    /// The device's key store, for what it signs outside of a session.
    pub const fn device_keys(&self) -> &MemoryKeyStore {
        &self.device_keys
    }

    /// The operator's.
    pub const fn operator_keys(&self) -> &MemoryKeyStore {
        &self.operator_keys
    }

    fn attempt(&mut self, link: &mut Link, watch: Watcher<'_>) -> Result<()> {
        self.session = self.session.saturating_add(1);
        let session = self.session;
        watch(self.now, &Event::Started { session });
        self.wake = None;
        let config = self.device_config.clone();
        let now = self.now;
        let goal = self.goal.clone();
        let device = self.with_device(watch, |_, platform| Device::start(config, goal, now, platform))?;
        self.device = Some(device);
        loop {
            if let Some(result) = self.device_actions(link, watch) {
                return result;
            }
            let next = [link.next_arrival(), self.wake].into_iter().flatten().min().ok_or(Error::Unanswered)?;
            self.now = self.now.max(next);
            if let Some(frame) = link.receive(self.now) {
                self.deliver(frame, link, watch);
            } else if self.wake.take().is_some()
                && let Some(device) = &mut self.device
            {
                let _ = device.handle_timeout(self.now); // Its end comes as an action.
            }
        }
    }

    fn deliver(&mut self, frame: link::Frame, link: &mut Link, watch: Watcher<'_>) {
        let now = self.now;
        if frame.to_device {
            // What belongs to an earlier session finds nobody at that address.
            if frame.session == self.session {
                let result = self.with_device(watch, |device, platform| match device {
                    Some(device) => device.handle_message(&frame.bytes, now, platform),
                    None => Ok(()),
                });
                watch(now, &Event::Received { by: Role::Device, result });
            }
            return;
        }
        let config = self.operator_config.clone();
        let operator = self.operators.entry(frame.session).or_insert_with(|| Operator::new(config));
        let mut desk = Desk {
            crypto: self.primitives.0,
            rng: &mut self.rng,
            keys: &self.operator_keys,
            storage: &self.storage,
            anchors: &self.operator_anchors,
            date: Date(TODAY.0.saturating_add(now.0 / 1000)),
        };
        let result = operator.handle_message(&frame.bytes, now, &mut desk);
        watch(now, &Event::Received { by: Role::Operator, result });
        let mut out = Vec::new();
        while let Some(action) = operator.poll() {
            match action {
                operator::Action::Send(bytes) => out.push(bytes),
                operator::Action::Ask(question) => {
                    watch(now, &Event::Asked(&question));
                    let answer = self.home.answer(question);
                    let _ = operator.answer(answer, &mut desk); // Its end comes as an action.
                }
                operator::Action::Finished(result) => watch(now, &Event::Finished { by: Role::Operator, result }),
                // Sessions of a world are short: none is given up before it ends.
                operator::Action::WakeAt(_) => {}
            }
        }
        for bytes in out {
            self.send(frame.session, Role::Operator, &bytes, link, watch);
        }
    }

    fn device_actions(&mut self, link: &mut Link, watch: Watcher<'_>) -> Option<Result<()>> {
        while let Some(action) = self.device.as_mut().and_then(Device::poll) {
            match action {
                device::Action::Send(bytes) => self.send(self.session, Role::Device, &bytes, link, watch),
                device::Action::WakeAt(moment) => self.wake = Some(moment),
                device::Action::Authenticated(met) => watch(self.now, &Event::Authenticated(&met)),
                device::Action::Prepared(subscription) => {
                    watch(self.now, &Event::Prepared(&subscription));
                    if self.cut == Some(Cut::Prepared) {
                        return Some(Err(self.power_cut(watch)));
                    }
                }
                device::Action::Installed(subscription) => {
                    watch(self.now, &Event::Installed(&subscription));
                    if self.cut == Some(Cut::Installed) {
                        return Some(Err(self.power_cut(watch)));
                    }
                }
                device::Action::CalledOff => watch(self.now, &Event::CalledOff),
                device::Action::Erased => watch(self.now, &Event::Erased),
                device::Action::Told(standing, wanted) => watch(self.now, &Event::Told(standing, wanted)),
                // A world comes back by itself.
                device::Action::StartAgainAt(_) => {}
                device::Action::Completed { acknowledged } => watch(self.now, &Event::Completed { acknowledged }),
                device::Action::Finished(result) => {
                    watch(self.now, &Event::Finished { by: Role::Device, result });
                    return Some(result);
                }
            }
        }
        None
    }

    /// What is durable stays; nobody is there to hear an answer.
    fn power_cut(&mut self, watch: Watcher<'_>) -> Error {
        self.cut = None;
        self.device = None;
        self.store = self.store.durable_copy();
        watch(self.now, &Event::PowerCut);
        Error::Unanswered
    }

    fn send(&mut self, session: u32, from: Role, bytes: &[u8], link: &mut Link, watch: Watcher<'_>) {
        let hash = RustCrypto.sha256(&[bytes]);
        let known = self.seen.iter().position(|seen| *seen == hash);
        let number = known.unwrap_or(self.seen.len()).saturating_add(1);
        if known.is_none() {
            self.seen.push(hash);
        }
        let fate = if self.tamper == Some(number) {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
            match link.send(session, from, &bytes, self.now) {
                Fate::Lost => Fate::Lost,
                _ => Fate::Damaged(middle),
            }
        } else {
            link.send(session, from, bytes, self.now)
        };
        watch(self.now, &Event::Sent { from, number, again: known.is_some(), bytes, fate });
    }

    /// Lends the device its world, and reports what became durable.
    fn with_device<T>(
        &mut self,
        watch: Watcher<'_>,
        work: impl FnOnce(Option<&mut Device>, &mut Platform<'_>) -> T,
    ) -> T {
        let before = self.store.commits();
        let attester: Option<&dyn Attester> = match &self.attestation {
            Some(attestation) => Some(attestation),
            None => None,
        };
        let mut platform = Platform {
            crypto: self.primitives.0,
            rng: &mut self.rng,
            keys: &self.device_keys,
            anchors: &self.device_anchors,
            attester,
            subscriptions: &mut self.store,
            usim: &mut SoftUsim,
            date: None,
        };
        let result = work(self.device.as_mut(), &mut platform);
        if self.store.commits() != before {
            watch(self.now, &Event::Committed { commits: self.store.commits() });
        }
        result
    }

    /// The device attaches: the core makes a challenge, the device answers, the core compares.
    ///
    /// # Errors
    /// [`Error::Untrusted`] if either side does not accept the other.
    pub fn attach(&mut self, supi: &Supi) -> Result<Box<Vector>> {
        let vector = self.home.challenge(supi, &mut self.rng)?;
        match device::authenticate(&vector.challenge, &mut self.store, &mut SoftUsim)? {
            aka::Answer::Success(keys) if equal(keys.res.bytes(), vector.keys.res.bytes()) => Ok(vector),
            _ => Err(crate::error::Untrusted::Authentication.into()),
        }
    }

    /// Checks what must hold whenever both sides have stopped, however they stopped.
    ///
    /// # Panics
    /// If it does not hold: that is a defect of this crate.
    #[expect(clippy::panic, reason = "an assertion for tests")]
    pub fn assert_sound(&mut self) {
        let has = device::subscription(&self.store);
        let activated = |what: &What| matches!(what, What::Ended(signed) if signed.event == receipt::Event::Activated);
        let confirmed = self.home.entries().any(|entry| activated(&entry.what));
        match has {
            Err(error) => panic!("the store is damaged: {error}"),
            Ok(None) if confirmed => panic!("the operator has a receipt, the device has nothing"),
            Ok(None) => {}
            Ok(Some((_, true))) if !confirmed => panic!("the device was told complete, the operator has no receipt"),
            Ok(Some((subscription, _))) => {
                // I1: what the device holds durably, the core accepts.
                if let Err(error) = self.attach(&subscription.id.supi) {
                    panic!("the credential does not work: {error}");
                }
            }
        }
    }
}
