//! Who plays, and the honest exchange that every story departs from.

use core::cell::Cell;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use remote_provisioning::{
    aka::suci::HomeNetworkKey,
    attestation::Policy,
    credential::{SoftUsim, StorageKey},
    crypto::{
        Agreement, Crypto, Group, HASH_LEN, PublicKey, Rng, Secret, SecretBytes, Signature, rustcrypto::AgreementKey,
    },
    edhoc::{Method, OwnCredential, Seal, Suite},
    error::{Backend, Error, Misbehaved},
    identity::{Domain, PeerName, Role},
    provisioning::{
        Millis,
        device::{self, Device, Goal, Introduction, Platform},
        operator::{self, Desk, Operator},
        question::Answer,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities as ids, maker},
    store::{Commit, KeyId, KeyStore, Slot, SubscriptionStore, memory::MemoryStore},
    trust::{Date, MemoryAnchors, Pinned},
};

use super::{
    glass::Glass,
    memo::{Memo, MemoKeys, recall},
};

pub(crate) const METHODS: [Method; 4] =
    [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

/// A party: its credential and its key.
pub(crate) struct Player {
    pub(crate) name: PeerName,
    pub(crate) own: OwnCredential,
    pub(crate) keys: MemoKeys,
    /// Of a device: what its maker says to the operator.
    voucher: Vec<u8>,
}

/// Everything that does not change from story to story. Credentials by chain, by hash and by `kid`, in this order.
struct Props {
    devices: [Player; 3],
    operators: [Player; 3],
    device_anchors: MemoryAnchors,
    operator_anchors: MemoryAnchors,
    home_key: HomeNetworkKey,
    home_private: AgreementKey,
}

fn props() -> &'static Props {
    static PROPS: OnceLock<Props> = OnceLock::new();
    let players = |role, chain: [&[u8]; 2], key, ccs, raw_key| {
        let pinned = Pinned::from_ccs(ccs, role, Domain::Test, &Memo).unwrap();
        let player = |name: PeerName, own, key| {
            // Whoever plays the operator has a key of the same kind.
            let operator = if key == raw_key { ids::raw_operator_key() } else { ids::operator_key() };
            let operator = MemoKeys::new(IDENTITY, operator).public_key(IDENTITY).unwrap();
            let voucher = maker::voucher(&name, &operator).unwrap();
            Player { name, own, keys: MemoKeys::new(IDENTITY, key), voucher }
        };
        let name = maker::device_name().unwrap();
        [
            player(name, OwnCredential::chain(IDENTITY, &chain).unwrap(), key),
            player(name, OwnCredential::thumbprint(IDENTITY, chain[0], &Memo), key),
            player(*pinned.peer().name(), OwnCredential::pinned(IDENTITY, &pinned).unwrap(), raw_key),
        ]
    };
    PROPS.get_or_init(|| Props {
        devices: players(
            Role::Device,
            ids::device_chain(),
            ids::device_key(),
            ids::raw_device_ccs(),
            ids::raw_device_key(),
        ),
        operators: players(
            Role::Operator,
            ids::operator_chain(),
            ids::operator_key(),
            ids::raw_operator_ccs(),
            ids::raw_operator_key(),
        ),
        device_anchors: ids::device_anchors(),
        operator_anchors: ids::operator_anchors(),
        home_key: maker::home_key().unwrap(),
        home_private: maker::home_private().unwrap(),
    })
}

/// The key of the device's home, with a memory.
struct HomeKey;

impl Agreement for HomeKey {
    fn group(&self) -> Group {
        props().home_private.group()
    }

    fn public_key(&self) -> &[u8] {
        props().home_private.public_key()
    }

    fn agree(&self, peer: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<(), Error> {
        let answer = recall(&[b"agree at home", peer], || {
            let mut shared = Secret::zeroed();
            props().home_private.agree(peer, &mut shared).ok().map(|()| shared.bytes().to_vec())
        });
        shared.bytes_mut().copy_from_slice(&answer.ok_or(Misbehaved::InvalidPoint)?);
        Ok(())
    }
}

/// Who authenticates how: method, credential type and suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cast {
    method: u8,
    naming: u8,
    suite: u8,
    glass: bool,
}

impl Cast {
    pub(crate) const fn new(byte: u8) -> Self {
        Self { method: byte & 3, naming: (byte >> 2) % 3, suite: (byte >> 5) % 3, glass: false }
    }

    /// The same, with what they encrypt lying open.
    pub(crate) const fn in_glass(self) -> Self {
        Self { glass: true, ..self }
    }

    pub(crate) fn crypto(self) -> &'static dyn Crypto {
        if self.glass { &Glass::True } else { &Memo }
    }

    pub(crate) fn method(self) -> Method {
        METHODS[usize::from(self.method)]
    }

    /// With hashes, the voucher comes first.
    pub(crate) const fn voucher_first(self) -> bool {
        self.naming == 1
    }

    pub(crate) fn suite(self) -> Suite {
        Suite::ALL[usize::from(self.suite)]
    }

    pub(crate) fn device(self) -> &'static Player {
        &props().devices[usize::from(self.naming)]
    }

    pub(crate) fn operator(self) -> &'static Player {
        &props().operators[usize::from(self.naming)]
    }

    /// What this side believes.
    pub(crate) fn anchors(self, of: Role) -> &'static MemoryAnchors {
        match of {
            Role::Device => &props().device_anchors,
            Role::Operator | Role::Relay => &props().operator_anchors,
        }
    }
}

/// What goes wrong at the next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// It cannot be read, this time.
    Read,
    /// It cannot be written, this time.
    Write,
    /// The power goes before a commit has landed.
    CutBefore,
    /// The power goes when a commit has just landed.
    CutAfter,
}

/// A store that can fail.
pub(crate) struct Flash {
    pub(crate) memory: MemoryStore,
    fault: Cell<Option<StoreFault>>,
    dark: bool,
}

impl Flash {
    pub(crate) const fn new(memory: MemoryStore) -> Self {
        Self { memory, fault: Cell::new(None), dark: false }
    }

    fn read(&self) -> Result<&MemoryStore, Backend> {
        if self.dark || self.fault.get() == Some(StoreFault::Read) {
            self.fault.set(None);
            return Err(Backend::Store);
        }
        Ok(&self.memory)
    }
}

impl SubscriptionStore for Flash {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        self.read()?.record()
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        self.read()?.slot(slot)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        match self.fault.get() {
            _ if self.dark => return Err(Backend::Store),
            None | Some(StoreFault::Read) => return self.memory.commit(commit),
            Some(StoreFault::Write) => {}
            Some(StoreFault::CutBefore) => self.dark = true,
            Some(StoreFault::CutAfter) => {
                self.memory.commit(commit)?;
                self.dark = true;
            }
        }
        self.fault.set(None);
        Err(Backend::Store)
    }
}

/// Keys that may be late.
pub(crate) struct Keys {
    keys: &'static MemoKeys,
    late: Cell<bool>,
}

impl Keys {
    fn ready(&self) -> Result<(), Backend> {
        if self.late.take() { Err(Backend::KeyPending) } else { Ok(()) }
    }
}

impl KeyStore for Keys {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.keys.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        self.ready()?;
        self.keys.sign(key, message)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.ready()?;
        self.keys.agree(key, peer, shared)
    }
}

/// Randomness that may fail.
pub(crate) struct Random {
    rng: SeededRng,
    fails: bool,
}

impl Rng for Random {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        if core::mem::take(&mut self.fails) { Err(Backend::Random) } else { self.rng.fill(out) }
    }
}

/// A device and its world.
pub(crate) struct Phone {
    pub(crate) device: Device,
    pub(crate) now: Millis,
    pub(crate) world: PhoneWorld,
}

/// What a device has around it; hardware that can fail.
pub(crate) struct PhoneWorld {
    pub(crate) flash: Flash,
    cast: Cast,
    keys: Keys,
    random: Random,
}

impl PhoneWorld {
    pub(crate) fn new(cast: Cast, memory: MemoryStore, seed: u64) -> Self {
        let keys = Keys { keys: &cast.device().keys, late: Cell::new(false) };
        Self { flash: Flash::new(memory), cast, keys, random: Random { rng: SeededRng::new(seed), fails: false } }
    }

    /// A new attempt.
    pub(crate) fn start(&mut self) -> Result<Device, Error> {
        let player = self.cast.device();
        let introduction = if self.cast.voucher_first() {
            Introduction::VoucherFirst(props().home_key.clone())
        } else {
            Introduction::VoucherLast { request: false }
        };
        let mut config = device::Config::new(player.own.clone(), player.name, Domain::Test, introduction);
        config.method = self.cast.method();
        config.suites = vec![self.cast.suite()];
        self.with(|platform| Device::start(config, Goal::Provision, Millis(0), platform))
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Platform<'_>) -> T) -> T {
        let (crypto, anchors) = (self.cast.crypto(), self.cast.anchors(Role::Device));
        act(&mut Platform {
            crypto,
            rng: &mut self.random,
            keys: &self.keys,
            anchors,
            attester: None,
            subscriptions: &mut self.flash,
            usim: &mut SoftUsim,
            date: None,
        })
    }

    /// The store fails at the next opportunity.
    pub(crate) fn store_fails(&self, fault: StoreFault) {
        self.flash.fault.set(Some(fault));
    }

    /// The key store has no answer yet.
    pub(crate) fn keys_are_late(&self) {
        self.keys.late.set(true);
    }

    pub(crate) const fn random_fails(&mut self) {
        self.random.fails = true;
    }

    /// Whether something will go wrong.
    pub(crate) const fn is_faulty(&self) -> bool {
        self.flash.fault.get().is_some() || self.flash.dark || self.keys.late.get() || self.random.fails
    }

    /// Whether the power is gone.
    pub(crate) const fn is_dark(&self) -> bool {
        self.flash.dark
    }

    pub(crate) fn mend(&mut self) {
        self.flash.fault.set(None);
        self.keys.late.set(false);
        self.random.fails = false;
    }

    /// The power is back: what is durable is there.
    pub(crate) fn wake(&mut self, seed: u64) {
        self.flash.memory = self.flash.memory.durable_copy();
        self.flash.dark = false;
        self.random.rng = SeededRng::new(seed);
    }
}

impl Phone {
    pub(crate) fn start(cast: Cast, memory: MemoryStore, seed: u64) -> Result<Self, Error> {
        let mut world = PhoneWorld::new(cast, memory, seed);
        Ok(Self { device: world.start()?, now: Millis(0), world })
    }

    pub(crate) const fn store(&self) -> &MemoryStore {
        &self.world.flash.memory
    }

    pub(crate) const fn store_mut(&mut self) -> &mut MemoryStore {
        &mut self.world.flash.memory
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Self { device, now, world } = self;
        world.with(|platform| device.handle_message(bytes, *now, platform))
    }

    pub(crate) fn actions(&mut self) -> Vec<device::Action> {
        core::iter::from_fn(|| self.device.poll()).collect()
    }

    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        let sent = |action| if let device::Action::Send(bytes) = action { Some(bytes) } else { None };
        self.actions().into_iter().filter_map(sent).collect()
    }
}

/// An operator and its world.
pub(crate) struct Office {
    pub(crate) operator: Operator,
    pub(crate) home: Home,
    pub(crate) now: Millis,
    cast: Cast,
    storage: StorageKey,
    keys: Keys,
    random: Random,
}

impl Office {
    pub(crate) fn new(cast: Cast, home: Home, seed: u64) -> Self {
        let storage = Home::storage_key().unwrap();
        let keys = Keys { keys: &cast.operator().keys, late: Cell::new(false) };
        let random = Random { rng: SeededRng::new(seed), fails: false };
        Self { operator: Operator::new(Self::config(cast)), home, now: Millis(0), cast, storage, keys, random }
    }

    fn config(cast: Cast) -> operator::Config {
        let mut config = operator::Config::new(cast.operator().own.clone(), Domain::Test);
        config.methods = METHODS.to_vec();
        config
    }

    /// Another session.
    pub(crate) fn open(&mut self, seed: u64) {
        self.operator = Operator::new(Self::config(self.cast));
        self.random = Random { rng: SeededRng::new(seed), fails: false };
    }

    /// The same session, at another server.
    pub(crate) fn move_on(&mut self) -> Result<(), Error> {
        let key = Secret::from_slice(&[8; 32]).unwrap();
        let expires = Date(TODAY.0 + 60);
        let crypto = self.cast.crypto();
        let token = self.operator.seal(&Seal { key: &key, expires }, crypto, &mut self.random)?;
        let opened = Operator::open(Self::config(self.cast), &token, &key, TODAY, self.now, crypto)?;
        self.operator = opened.first_use(true)?;
        Ok(())
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Operator, &mut Desk<'_>) -> T) -> T {
        let (crypto, anchors) = (self.cast.crypto(), self.cast.anchors(Role::Operator));
        let (rng, keys, storage) = (&mut self.random, &self.keys, &self.storage);
        act(&mut self.operator, &mut Desk { crypto, rng, keys, storage, anchors, date: TODAY })
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let now = self.now;
        self.with(|operator, desk| operator.handle_message(bytes, now, desk))
    }

    pub(crate) fn answer(&mut self, answer: Answer) -> Result<(), Error> {
        self.with(|operator, desk| operator.answer(answer, desk))
    }

    pub(crate) fn actions(&mut self) -> Vec<operator::Action> {
        core::iter::from_fn(|| self.operator.poll()).collect()
    }

    /// Carries everything out, honestly, and gives what is to be sent.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(action) = self.operator.poll() {
            match action {
                operator::Action::Send(bytes) => sent.push(bytes),
                operator::Action::Ask(question) => {
                    let answer = self.home.answer(question);
                    let _ = self.answer(answer);
                }
                operator::Action::WakeAt(_) | operator::Action::Finished(_) => {}
            }
        }
        sent
    }

    /// The key store has no answer yet.
    pub(crate) fn keys_are_late(&self) {
        self.keys.late.set(true);
    }

    pub(crate) const fn random_fails(&mut self) {
        self.random.fails = true;
    }

    pub(crate) const fn is_faulty(&self) -> bool {
        self.keys.late.get() || self.random.fails
    }

    pub(crate) fn mend(&mut self) {
        self.keys.late.set(false);
        self.random.fails = false;
    }
}

/// What the device is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plot {
    /// It is factory-new.
    Provision,
    /// Its `confirm` was lost, and then its power.
    Resume,
}

impl Plot {
    /// By the lowest bit.
    pub(crate) const fn of(flags: u8) -> Self {
        if flags & 1 == 0 { Self::Provision } else { Self::Resume }
    }
}

/// An honest exchange: what the device starts from, and the messages in order.
pub(crate) struct Script {
    pub(crate) store: MemoryStore,
    pub(crate) messages: Vec<Vec<u8>>,
}

pub(crate) const DEVICE_SEED: u64 = 1;
pub(crate) const OPERATOR_SEED: u64 = 2;

/// The stores of both sides before the exchange.
pub(crate) fn opening(cast: Cast, plot: Plot) -> (MemoryStore, Home) {
    // As the laboratory, but for evidence.
    let supis = (0..8).rev().map(|number| format!("00101000000000{number}").parse().unwrap()).collect();
    let (op, policy) = (Secret::from_slice(&[0xcd; 16]).unwrap(), Policy::without_evidence("fuzz").unwrap());
    let name = "provisioning.example-operator".parse().unwrap();
    let mut home = Home::new(name, op, supis, policy).revealing(props().home_key.id(), Box::new(HomeKey));
    home.own(cast.device().name, cast.device().voucher.clone());
    let store = MemoryStore::new();
    if plot == Plot::Provision {
        return (store, home);
    }
    let mut phone = Phone::start(cast, store, 3).unwrap();
    let mut office = Office::new(cast, home, 4);
    exchange(&mut phone, &mut office, 5);
    (phone.world.flash.memory, office.home)
}

/// The honest exchange of this cast and plot; played once per process.
pub(crate) fn script(cast: Cast, plot: Plot) -> Arc<Script> {
    static SCRIPTS: Mutex<BTreeMap<(Cast, Plot), Arc<Script>>> = Mutex::new(BTreeMap::new());
    let mut scripts = SCRIPTS.lock().unwrap();
    let script = scripts.entry((cast, plot)).or_insert_with(|| {
        let (store, home) = opening(cast, plot);
        let mut phone = Phone::start(cast, store.durable_copy(), DEVICE_SEED).unwrap();
        let mut office = Office::new(cast, home, OPERATOR_SEED);
        let messages = exchange(&mut phone, &mut office, 6);
        let (_, confirmed) = device::subscription(phone.store()).unwrap().unwrap();
        assert!(confirmed, "the honest exchange succeeds");
        Arc::new(Script { store, messages })
    });
    Arc::clone(script)
}

/// Runs an exchange up to the message of this number, which is not delivered unless it is the last one of all.
fn exchange(phone: &mut Phone, office: &mut Office, last: usize) -> Vec<Vec<u8>> {
    let mut messages = phone.sent();
    while let Some(message) = messages.last() {
        if messages.len() == last && last % 2 == 1 {
            break;
        }
        let from_device = messages.len() % 2 == 1;
        let answers = if from_device {
            office.take(message).map(|()| office.sent())
        } else {
            phone.take(message).map(|()| phone.sent())
        };
        let answers = answers.expect("the honest exchange succeeds");
        if answers.is_empty() {
            break;
        }
        messages.extend(answers);
    }
    messages
}
