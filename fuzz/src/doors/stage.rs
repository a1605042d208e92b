//! Who plays, and the honest exchange that every story departs from.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use remote_provisioning::{
    attestation::Policy,
    credential::{SoftUsim, StorageKey},
    edhoc::{Method, OwnCredential, Suite},
    error::Error,
    identity::{Domain, PeerName, Role},
    provisioning::{
        Millis,
        device::{self, Device, Goal, Introduction, Platform, Subscription},
        operator::{self, Desk, Operator},
        question::Answer,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities as ids, maker},
    store::{KeyStore, memory::MemoryStore},
    trust::{MemoryAnchors, Pinned},
};

use super::memo::{Memo, MemoKeys};

pub(crate) const METHODS: [Method; 4] =
    [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

/// A party: its credential and its key.
pub(crate) struct Player {
    pub(crate) name: PeerName,
    pub(crate) own: OwnCredential,
    pub(crate) keys: MemoKeys,
}

/// Everything that does not change from story to story. Credentials by chain, by hash and by `kid`, in this order.
struct Props {
    devices: [Player; 3],
    operators: [Player; 3],
    device_anchors: MemoryAnchors,
    operator_anchors: MemoryAnchors,
}

fn props() -> &'static Props {
    static PROPS: OnceLock<Props> = OnceLock::new();
    let players = |role, chain: [&[u8]; 2], key, ccs, raw_key| {
        let pinned = Pinned::from_ccs(ccs, role, Domain::Test, &Memo).unwrap();
        let player = |name, own, key| Player { name, own, keys: MemoKeys::new(IDENTITY, key) };
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
    })
}

/// Who authenticates how: method, credential type and suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cast {
    method: u8,
    naming: u8,
    suite: u8,
}

impl Cast {
    pub(crate) const fn new(byte: u8) -> Self {
        Self { method: byte & 3, naming: (byte >> 2) % 3, suite: (byte >> 5) % 3 }
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

    pub(crate) fn anchors(self, of: Role) -> &'static MemoryAnchors {
        match of {
            Role::Device => &props().device_anchors,
            Role::Operator | Role::Relay => &props().operator_anchors,
        }
    }
}

/// A device and its world.
pub(crate) struct Phone {
    pub(crate) device: Device,
    pub(crate) store: MemoryStore,
    pub(crate) now: Millis,
    cast: Cast,
    rng: SeededRng,
}

impl Phone {
    pub(crate) fn start(cast: Cast, mut store: MemoryStore, seed: u64) -> Result<Self, Error> {
        let player = cast.device();
        let introduction = if cast.voucher_first() {
            Introduction::VoucherFirst(maker::home_key().unwrap())
        } else {
            Introduction::VoucherLast { request: false }
        };
        let mut config = device::Config::new(player.own.clone(), player.name, Domain::Test, introduction);
        config.method = cast.method();
        config.suites = vec![cast.suite()];
        let (now, mut rng) = (Millis(0), SeededRng::new(seed));
        let device =
            Device::start(config, Goal::Provision, now, &mut platform(cast, &mut store, &mut rng, &mut SoftUsim))?;
        Ok(Self { device, store, now, cast, rng })
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let usim = &mut SoftUsim;
        let platform = &mut platform(self.cast, &mut self.store, &mut self.rng, usim);
        self.device.handle_message(bytes, self.now, platform)
    }

    pub(crate) fn actions(&mut self) -> Vec<device::Action> {
        core::iter::from_fn(|| self.device.poll()).collect()
    }

    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        let sent = |action| if let device::Action::Send(bytes) = action { Some(bytes) } else { None };
        self.actions().into_iter().filter_map(sent).collect()
    }
}

fn platform<'a>(
    cast: Cast,
    store: &'a mut MemoryStore,
    rng: &'a mut SeededRng,
    usim: &'a mut SoftUsim,
) -> Platform<'a> {
    let (keys, anchors) = (&cast.device().keys, cast.anchors(Role::Device));
    Platform { crypto: &Memo, rng, keys, anchors, attester: None, subscriptions: store, usim, date: None }
}

/// An operator and its world.
pub(crate) struct Office {
    pub(crate) operator: Operator,
    pub(crate) home: Home,
    pub(crate) now: Millis,
    cast: Cast,
    storage: StorageKey,
    rng: SeededRng,
}

impl Office {
    pub(crate) fn new(cast: Cast, home: Home, seed: u64) -> Self {
        let mut config = operator::Config::new(cast.operator().own.clone(), Domain::Test);
        config.methods = METHODS.to_vec();
        let storage = Home::storage_key().unwrap();
        Self { operator: Operator::new(config), home, now: Millis(0), cast, storage, rng: SeededRng::new(seed) }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.operator.handle_message(bytes, self.now, &mut desk(self.cast, &self.storage, &mut self.rng))
    }

    pub(crate) fn answer(&mut self, answer: Answer) -> Result<(), Error> {
        self.operator.answer(answer, &mut desk(self.cast, &self.storage, &mut self.rng))
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
}

fn desk<'a>(cast: Cast, storage: &'a StorageKey, rng: &'a mut SeededRng) -> Desk<'a> {
    let (keys, anchors) = (&cast.operator().keys, cast.anchors(Role::Operator));
    Desk { crypto: &Memo, rng, keys, storage, anchors, date: TODAY }
}

/// What the device is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plot {
    /// It is factory-new.
    Provision,
    /// Its `confirm` was lost, and then its power.
    Resume,
}

/// An honest exchange: what the device starts from, the messages in order, and what it ends with.
pub(crate) struct Script {
    pub(crate) store: MemoryStore,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) subscription: Subscription,
}

pub(crate) const DEVICE_SEED: u64 = 1;
pub(crate) const OPERATOR_SEED: u64 = 2;

/// The stores of both sides before the exchange.
pub(crate) fn opening(cast: Cast, plot: Plot) -> (MemoryStore, Home) {
    let mut home = Home::laboratory().unwrap();
    home.policy = Policy::without_evidence("fuzz").unwrap();
    let key = cast.operator().keys.public_key(IDENTITY).unwrap();
    home.own(cast.device().name, maker::voucher(&cast.device().name, &key).unwrap());
    let store = MemoryStore::new();
    if plot == Plot::Provision {
        return (store, home);
    }
    let mut phone = Phone::start(cast, store, 3).unwrap();
    let mut office = Office::new(cast, home, 4);
    exchange(&mut phone, &mut office, 5);
    (phone.store, office.home)
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
        let (subscription, confirmed) = device::subscription(&phone.store).unwrap().unwrap();
        assert!(confirmed, "the honest exchange succeeds");
        Arc::new(Script { store, messages, subscription })
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
