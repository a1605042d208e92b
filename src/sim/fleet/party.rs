//! Who takes part: devices with a flash that can fail, operators with their systems.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use crate::{
    attestation::Policy,
    authority::Granter,
    credential::{SoftUsim, StorageKey},
    crypto::{Crypto, Hash, PublicKey, Secret, SecretBytes, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::{Backend, Error, Result},
    identity::{DeviceId, Domain, PeerName, Role, Supi},
    provisioning::{
        Account, Millis, Task,
        device::{self, Device, Goal, Introduction, Platform, Retry},
        log::LogEntry,
        operator::{self, Operator},
        question::Question,
    },
    sim::{IDENTITY, SeededRng, home::Home, maker},
    store::{
        Commit, KeyStore, Slot, SubscriptionStore,
        memory::{MemoryKeyStore, MemoryStore},
    },
    trust::{MemoryAnchors, Pinned},
    wire,
};

/// Who grants connectivity on demand.
pub(super) const OWNER: &str = "owner@example";

/// A store whose power can go as it writes.
#[derive(Debug, Default)]
pub(super) struct Flash {
    pub(super) memory: MemoryStore,
    /// The next commit does not land.
    pub(super) failing: bool,
}

impl SubscriptionStore for Flash {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        self.memory.record()
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        self.memory.slot(slot)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        if self.failing { Err(Backend::Store) } else { self.memory.commit(commit) }
    }
}

/// A device.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) id: DeviceId,
    pub(super) config: device::Config,
    pub(super) keys: MemoryKeyStore,
    pub(super) key: PublicKey,
    pub(super) anchors: Arc<MemoryAnchors>,
    pub(super) flash: Flash,
    pub(super) machine: Option<Device>,
    pub(super) session: u32,
    pub(super) wake: Option<Millis>,
    /// The operator that it asks.
    pub(super) at: usize,
    pub(super) goal: Goal,
    /// How its last attempt ended.
    pub(super) ended: Option<Result<(), Error>>,
    /// Starts and commits since something was complete.
    pub(super) starts: usize,
    pub(super) commits: usize,
}

/// An operator.
#[derive(Debug)]
pub(super) struct Firm {
    pub(super) home: Home,
    pub(super) config: operator::Config,
    pub(super) keys: MemoryKeyStore,
    pub(super) key: PublicKey,
    pub(super) anchors: Arc<MemoryAnchors>,
    pub(super) storage: StorageKey,
    pub(super) token: Secret<32>,
    pub(super) sessions: BTreeMap<u32, Running>,
    /// Every entry that was ever durable.
    pub(super) ever: Vec<LogEntry>,
    pub(super) restored: bool,
    /// Devices whose suspension, or the end of it, has stopped half way: it is to be made again.
    pub(super) half_way: Vec<usize>,
    /// Devices that it means to be without.
    pub(super) revoked: Vec<usize>,
    /// The voucher chains that name its devices' next owners, and who those are.
    pub(super) handed_on: BTreeMap<usize, usize>,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) machine: Operator,
    pub(super) open: Option<Question>,
}

/// A raw public key with a name: `{2: sub, 8: {1: {1: 2, 2: kid, -1: 1, -2: x, -3: y}}}`.
fn ccs(name: &str, kid: &[u8], key: &PublicKey) -> Vec<u8> {
    let bytes = key.bytes();
    let (x, y) = (bytes.get(1..33).unwrap_or_default(), bytes.get(33..).unwrap_or_default());
    wire::encode_with(|w| {
        w.map(2);
        w.unsigned(2);
        w.text(name);
        w.unsigned(8);
        w.map(1);
        w.unsigned(1);
        w.map(5);
        w.unsigned(1);
        w.unsigned(2);
        w.unsigned(2);
        w.bytes(kid);
        w.integer(-1);
        w.unsigned(1);
        w.integer(-2);
        w.bytes(x);
        w.integer(-3);
        w.bytes(y);
    })
}

struct Identity {
    name: PeerName,
    keys: MemoryKeyStore,
    key: PublicKey,
    pinned: Pinned,
}

fn identity(role: Role, number: usize) -> Result<Identity> {
    let (name, kid) = match role {
        Role::Device => (format!("device-{number}"), [0xd0, u8::try_from(number).unwrap_or_default()]),
        _ => (format!("operator-{number}"), [0xc0, u8::try_from(number).unwrap_or_default()]),
    };
    let mut keys = MemoryKeyStore::new();
    keys.insert(IDENTITY, &RustCrypto.sha256(&[b"published test key", name.as_bytes()]))?;
    let key = keys.public_key(IDENTITY)?;
    let pinned = Pinned::from_ccs(&ccs(&name, &kid, &key), role, Domain::Test, &RustCrypto)?;
    Ok(Identity { name: name.parse()?, keys, key, pinned })
}

fn anchors(of: &[Identity], makers: bool) -> Result<Arc<MemoryAnchors>> {
    let mut anchors = MemoryAnchors::new();
    if makers {
        anchors.add_maker(maker::maker()?)?;
    }
    of.iter().try_for_each(|identity| anchors.add_pinned(identity.pinned.clone()))?;
    Ok(Arc::new(anchors))
}

/// Factory-new devices, shared out between operators.
pub(super) fn founded(devices: usize, operators: usize) -> Result<(Vec<Unit>, Vec<Firm>)> {
    let identities = |role, count| (0..count).map(|number| identity(role, number)).collect::<Result<Vec<_>>>();
    let (devices, operators) = (identities(Role::Device, devices)?, identities(Role::Operator, operators)?);
    let (known_operators, known_devices) = (anchors(&operators, true)?, anchors(&devices, false)?);
    let owner = maker::keys(OWNER)?.public_key(crate::store::KeyId(0))?;
    let firm = |(number, identity): (usize, Identity)| -> Result<Firm> {
        let supis = (0..100).rev().map(|supi| format!("0010{number}00000000{supi:02}").parse::<Supi>());
        let op = Secret::from_slice(&[0xcd; 16])?;
        let policy = Policy::without_evidence("fleet")?;
        let mut home = Home::new(identity.name, op, supis.collect::<Result<_, _>>()?, policy)
            .revealing(maker::home_key()?.id(), Box::new(maker::home_private()?));
        home.granters = alloc::vec![Granter::new(OWNER, owner, Domain::Test)?];
        Ok(Firm {
            home,
            config: operator::Config {
                evidence_formats: Vec::new(),
                ..operator::Config::new(OwnCredential::pinned(IDENTITY, &identity.pinned)?, Domain::Test)
            },
            key: identity.key,
            keys: identity.keys,
            anchors: Arc::clone(&known_devices),
            storage: Home::storage_key()?,
            token: Secret::from_slice(&[0x70; 32])?,
            sessions: BTreeMap::new(),
            ever: Vec::new(),
            restored: false,
            half_way: Vec::new(),
            revoked: Vec::new(),
            handed_on: BTreeMap::new(),
        })
    };
    let mut firms = operators.into_iter().enumerate().map(firm).collect::<Result<Vec<_>>>()?;
    let mut units = Vec::new();
    for (number, identity) in devices.into_iter().enumerate() {
        let own = OwnCredential::pinned(IDENTITY, &identity.pinned)?;
        let introduction = if number % 2 == 0 {
            Introduction::VoucherFirst(maker::home_key()?)
        } else {
            Introduction::VoucherLast { request: false }
        };
        let at = number.checked_rem(firms.len()).unwrap_or_default();
        if let Some(firm) = firms.get_mut(at) {
            firm.home.own(identity.name, maker::voucher(&identity.name, &firm.key)?);
        }
        units.push(Unit {
            id: DeviceId::new(None, identity.name),
            config: device::Config {
                retry: Retry { first: 2_000, attempts: 5 },
                ..device::Config::new(own, identity.name, Domain::Test, introduction)
            },
            key: identity.key,
            keys: identity.keys,
            anchors: Arc::clone(&known_operators),
            flash: Flash::default(),
            machine: None,
            session: 0,
            wake: None,
            at,
            goal: Goal::Provision,
            ended: None,
            starts: 0,
            commits: 0,
        });
    }
    Ok((units, firms))
}

impl Unit {
    /// Lends the device its world.
    pub(super) fn with<T>(
        &mut self,
        rng: &mut SeededRng,
        work: impl FnOnce(Option<&mut Device>, &mut Platform<'_>) -> T,
    ) -> T {
        let before = self.flash.memory.commits();
        let mut platform = Platform {
            crypto: &RustCrypto,
            rng,
            keys: &self.keys,
            anchors: &*self.anchors,
            attester: None,
            subscriptions: &mut self.flash,
            usim: &mut SoftUsim,
            date: None,
        };
        let result = work(self.machine.as_mut(), &mut platform);
        self.commits = self.commits.saturating_add(self.flash.memory.commits().saturating_sub(before));
        result
    }

    /// The power goes: what is durable stays.
    pub(super) fn power_cut(&mut self) {
        self.machine = None;
        self.wake = None;
        self.flash = Flash { memory: self.flash.memory.durable_copy(), failing: false };
    }
}

impl Firm {
    pub(super) fn account(&self, id: &DeviceId) -> Account {
        self.home.account(id).cloned().unwrap_or_default()
    }

    /// Answers, and keeps what became durable.
    pub(super) fn answer(&mut self, question: Question) -> crate::provisioning::Answer {
        use crate::provisioning::Answer;
        let entry = if let Question::Log(entry) = &question { Some((**entry).clone()) } else { None };
        let answer = self.home.answer(question);
        if let (Some(entry), Answer::Logged(Ok(()))) = (entry, &answer)
            && !self.ever.contains(&entry)
        {
            self.ever.push(entry);
        }
        answer
    }

    /// A task, as far as it goes: `steps` of it.
    pub(super) fn carry_out(&mut self, task: Result<Task>, steps: usize) -> Result<(), Error> {
        let mut task = task?;
        for _ in 0..steps {
            let Some(question) = task.poll() else { break };
            let answer = self.answer(question);
            task.answer(answer, &RustCrypto)?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self, id: &DeviceId, what: crate::provisioning::log::What) {
        let entry = self.account(id).entry(&format!("{id}"), what);
        let _ = self.answer(Question::Log(Box::new(entry)));
    }
}

/// Something that a person can read a run from.
pub(super) type Line = String;

/// A short name for bytes.
pub(super) fn short(bytes: &[u8]) -> Line {
    let hash: Hash = RustCrypto.sha256(&[bytes]);
    hash.iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}
