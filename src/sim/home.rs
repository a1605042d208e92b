//! An operator's own systems, in memory: the pool of SUPIs, OP, vouchers, the log, the core network.
//!
//! It answers the questions of the operator machine as a database, an HSM and a UDM would. Read it as an example of what
//! each answer has to guarantee.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

use arrayvec::ArrayString;

use crate::{
    aka::{self, Ind, Milenage, Sqn, Vector, milenage, sqn::Profile},
    attestation::{MemoryEndorsements, Policy, TokenVerifier},
    authority::{Granter, Permit, grant},
    credential::{self, Activation, HomeKey, Previous, Secrets, ServiceProfile, StorageKey, SuciData, Txn},
    crypto::{Agreement, Crypto, Hash, PublicKey, Rng, Secret, equal, rustcrypto::RustCrypto},
    error::{Backend, Code, Error},
    identity::{DeviceId, PeerName, Supi},
    provisioning::{
        account::{Account, Applied, Conflict},
        log::{LogEntry, What},
        question::{
            Admission, Answer, CoreCredential, Found, Lost, OwnedPart, Question, Reservation, UpTo, Visitor, Wish,
        },
        receipt::supi_hash,
        watch::Refusal,
    },
    sim::maker,
    trust::concealed::Concealed,
};

/// The home network's public key for SUCI: Profile B test data, TS 33.501 §C.4.4.
const HOME_KEY: [u8; 33] = [
    0x02, 0x72, 0xda, 0x71, 0x97, 0x62, 0x34, 0xce, 0x83, 0x3a, 0x69, 0x07, 0x42, 0x58, 0x67, 0xb8, 0x2e, 0x07, 0x4d,
    0x44, 0xef, 0x90, 0x7d, 0xfb, 0x4b, 0x3e, 0x21, 0xc1, 0xc2, 0x25, 0x6e, 0xbc, 0xd1,
];

/// Separation bit set (TS 33.102 Annex H).
const MANAGEMENT_FIELD: [u8; 2] = [0x80, 0x00];

/// A maker's voucher service: from a request, and the key of the device that signed it, to a chain, or to nothing.
pub type Masa = Box<dyn Fn(&[u8], &PublicKey) -> Option<Vec<u8>>>;

/// An operator's systems.
pub struct Home {
    op: Secret<16>,
    pool: Vec<Supi>,
    /// The SUPI of each device's transaction.
    reserved: BTreeMap<(String, Txn), Supi>,
    /// What is known of each device.
    accounts: BTreeMap<String, Account>,
    /// The key that devices conceal their names under, and its number.
    concealing: Option<(u8, Box<dyn Agreement>)>,
    /// Voucher chains, by the name of the device.
    vouchers: BTreeMap<PeerName, Vec<u8>>,
    /// What evidence has to show.
    pub policy: Policy,
    /// What is known of devices' keys and software.
    pub endorsements: MemoryEndorsements,
    /// What a new K gets: its own SUPI, beside the one in use (mode N), or the same one (mode S).
    pub mode: Previous,
    /// What a first credential is: one-shot, or in two phases.
    pub activation: Activation,
    /// What grants call this operator.
    pub name: PeerName,
    /// Who may grant connectivity on demand.
    pub granters: Vec<Granter>,
    /// The most that a grant can give.
    pub limit: ServiceProfile,
    /// Whether it gives nothing that nobody answers for.
    pub demands_grant: bool,
    /// Grants that were shown, by who granted and the name of the grant.
    grants: BTreeMap<(String, Vec<u8>), Hash>,
    /// Those that a credential in use came of.
    used: BTreeSet<Hash>,
    /// What the maker says to a device that asks for a voucher: [`maker::answer`], unless more has to come before its word.
    pub masa: Masa,
    /// Primitives, [`RustCrypto`] unless it is told otherwise.
    pub crypto: &'static dyn Crypto,
    /// The log, in CBOR, as a database would hold it.
    log: Vec<Vec<u8>>,
    core: BTreeMap<Supi, CoreCredential>,
    /// SUPIs that the core does not let in, known or not, up to an epoch.
    barred: BTreeMap<Supi, u32>,
    /// Epochs that it does not take any more.
    withdrawn: BTreeMap<Supi, u32>,
}

impl core::fmt::Debug for Home {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Home").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Home {
    /// Systems of this operator, with this OP, these free SUPIs and this policy for evidence.
    pub fn new(name: PeerName, op: Secret<16>, pool: Vec<Supi>, policy: Policy) -> Self {
        Self {
            op,
            pool,
            reserved: BTreeMap::new(),
            accounts: BTreeMap::new(),
            concealing: None,
            vouchers: BTreeMap::new(),
            policy,
            endorsements: MemoryEndorsements::new(),
            mode: Previous::Beside,
            activation: Activation::OneShot,
            name,
            granters: Vec::new(),
            limit: ServiceProfile::default(),
            demands_grant: false,
            grants: BTreeMap::new(),
            used: BTreeSet::new(),
            masa: Box::new(|request, device| maker::answer(request, device).ok()),
            crypto: &RustCrypto,
            log: Vec::new(),
            core: BTreeMap::new(),
            barred: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
        }
    }

    /// Systems with published test keys and eight free SUPIs, of the operator of [`identities`](super::identities), which owns
    /// the device there.
    ///
    /// # Errors
    /// None in practice.
    pub fn laboratory() -> Result<Self, Error> {
        let supis = (0..8).rev().map(|number| format!("00101000000000{number}").parse());
        let name = "provisioning.example-operator".parse()?;
        let mut home =
            Self::new(name, Secret::from_slice(&[0xcd; 16])?, supis.collect::<Result<_, _>>()?, maker::policy()?)
                .revealing(maker::home_key()?.id(), Box::new(maker::home_private()?));
        let name = maker::device_name()?;
        home.own(name, maker::voucher(&name, &maker::operator_public_key()?)?);
        home.endorsements = maker::endorsements(&[maker::device_id()?, maker::raw_device_id()?])?;
        Ok(home)
    }

    /// The key that K rests under in the log.
    ///
    /// # Errors
    /// None in practice.
    pub fn storage_key() -> Result<StorageKey, Error> {
        Ok(StorageKey::new(1, Secret::from_slice(&[0x5e; 32])?))
    }

    /// Lets devices conceal their names under this key, which has this number.
    #[must_use]
    pub fn revealing(mut self, number: u8, key: Box<dyn Agreement>) -> Self {
        self.concealing = Some((number, key));
        self
    }

    /// Owns nothing any more.
    pub fn disown(&mut self) {
        self.vouchers.clear();
    }

    /// Owns this device: `voucher` is a chain.
    pub fn own(&mut self, device: PeerName, voucher: Vec<u8>) {
        self.vouchers.insert(device, voucher);
    }

    /// Answers a question of the operator machine.
    pub fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Find(concealed) => Answer::Found(self.find(&concealed)),
            Question::Appraise(visitor) => Answer::Appraised(self.appraise(&visitor).map(Box::new)),
            Question::Reserve(wish) => Answer::Reserved(self.reserve(&wish)),
            Question::ComputeOpc { k } => Answer::Opc(Ok(milenage::opc(&k, &self.op))),
            Question::Log(entry) => Answer::Logged(self.log(&entry)),
            Question::PutIntoCore(credential) => Answer::CoreReady(self.put_into_core(*credential)),
            Question::ReadCore(what) => Answer::CoreHolds(Ok(self.read_core(&what))),
            Question::Recover(lost) => Answer::Recovered(Ok(self.recover(&lost))),
            Question::BarInCore(UpTo { supi, epoch }) => {
                let barred = self.barred.entry(supi).or_default();
                *barred = epoch.max(*barred);
                Answer::CoreReady(Ok(()))
            }
            Question::AdmitToCore(UpTo { supi, epoch }) => {
                self.barred.retain(|barred, up_to| *barred != supi || *up_to > epoch);
                Answer::CoreReady(Ok(()))
            }
            Question::RemoveFromCore(UpTo { supi, epoch }) => {
                self.core.retain(|held, credential| *held != supi || credential.epoch > epoch);
                self.withdraw(supi, epoch);
                Answer::CoreReady(Ok(()))
            }
        }
    }

    fn find(&self, concealed: &Concealed) -> Option<Found> {
        let (_, key) = self.concealing.as_ref().filter(|(number, _)| *number == concealed.key_id())?;
        let device = concealed.reveal(&**key).ok()?;
        let voucher = self.vouchers.get(device.name())?.clone();
        Some(Found { device, voucher })
    }

    /// First whether it is one device and the same, then whether it is secure.
    fn appraise(&mut self, visitor: &Visitor) -> Result<Admission, Code> {
        let device = visitor.device.device_id().to_string();
        let account = self.accounts.entry(device.clone()).or_default();
        let admitted = match account.admit(visitor, self.crypto) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if let Refusal::Alarm(alarm) = refusal {
                    let counter = (visitor.counter.request, visitor.counter.retry);
                    let entry = account.entry(&device, What::Quarantined { alarm, counter });
                    self.log(&entry)?;
                }
                return Err(refusal.code());
            }
        };
        account.clone_from(admitted.account());
        let (verifier, nonce) = (TokenVerifier::new(&self.endorsements), &visitor.evidence_nonce);
        let evidence = visitor.evidence.as_deref();
        let verdict = self.policy.appraise(&visitor.device.device_id(), evidence, nonce, &verifier, self.crypto);
        let verdict = verdict.map_err(|finding| finding.code())?;
        let permit = self.permit(visitor)?;
        let voucher = match &visitor.voucher_request {
            _ if visitor.entitled => None,
            Some(request) => (self.masa)(request, visitor.device.public_key()),
            None => self.vouchers.get(visitor.device.name()).cloned(),
        };
        Ok(Admission { verdict, admitted, voucher, permit })
    }

    /// Whether somebody grants what the device asks for, once.
    fn permit(&mut self, visitor: &Visitor) -> Result<Option<Permit>, Code> {
        let Some(token) = &visitor.grant else {
            let missing = self.demands_grant && visitor.operation.issues();
            return if missing { Err(Code::GrantMissing) } else { Ok(None) };
        };
        let terms = grant::Terms {
            granters: &self.granters,
            device: &visitor.device.device_id(),
            operator: &self.name,
            domain: visitor.device.domain(),
            today: visitor.since,
            limit: &self.limit,
        };
        let granted = grant::verify(token, &terms, self.crypto).map_err(|fault| fault.code())?;
        // It may come again, as long as nothing has come of it.
        let name = (granted.iss().to_string(), granted.cti().to_vec());
        let hash = grant::hash(token, self.crypto).map_err(|_| Code::GrantNotAuthentic)?;
        let first = *self.grants.entry(name).or_insert(hash) == hash && !self.used.contains(&hash);
        granted.first_use(first).map(Some).map_err(|fault| fault.code())
    }

    /// The same transaction, asked again, gets the same SUPI.
    fn reserve(&mut self, wish: &Wish) -> Result<Reservation, Code> {
        let key = (wish.device.to_string(), wish.txn);
        // An offer that nobody took is free again for the device's next one.
        let open = self.accounts.get(&key.0).and_then(Account::open);
        let open = open.and_then(|deal| deal.credential.supi.parse::<Supi>().ok());
        let supi = match (self.reserved.get(&key), wish.current) {
            (Some(supi), _) => *supi,
            (None, Some(current)) if self.mode == Previous::Shared => current,
            (None, _) => match open {
                Some(supi) => supi,
                None => self.pool.pop().ok_or(Code::PoolEmpty)?,
            },
        };
        self.reserved.insert(key, supi);
        let first = Profile::default().next(Sqn::default(), Ind::default(), 0).map_err(|_| Code::Conflict)?;
        let association = self.accounts.get(&wish.device.to_string()).and_then(Account::association);
        let gpsi = association.and_then(|association| ArrayString::from(association.gpsi()?).ok());
        let profile = ServiceProfile { dnn: ArrayString::from("iot").ok(), gpsi, ..ServiceProfile::default() };
        Ok(Reservation {
            supi,
            core_epoch: self
                .core
                .get(&supi)
                .map_or(0, |held| held.epoch)
                .max(self.withdrawn.get(&supi).copied().unwrap_or_default()),
            activation: self.activation,
            sqn: first,
            management_field: MANAGEMENT_FIELD,
            suci: Some(OwnedPart::suci(&SuciData {
                routing_indicator: "0",
                keys: core::iter::once(HomeKey { key_id: 1, scheme: 2, public_key: &HOME_KEY }).collect(),
            })),
            profile: Some(OwnedPart::profile(&profile)),
        })
    }

    /// Compare and append in one step: this is where a clone, or a session that woke up late, is noticed.
    ///
    /// # Errors
    /// The code of a [`Conflict`].
    pub fn log(&mut self, entry: &LogEntry) -> Result<(), Code> {
        let account = self.accounts.entry(entry.device.clone()).or_default();
        let encoded = entry.to_cbor().map_err(|_| Code::TryLater)?;
        if account.apply(entry, self.crypto).map_err(Conflict::code)? == Applied::Now {
            self.log.push(encoded);
            self.used.extend(account.active().and_then(|active| active.grant));
        }
        Ok(())
    }

    /// Never back to an older epoch, and never another K in the same one.
    fn put_into_core(&mut self, credential: CoreCredential) -> Result<(), Code> {
        let withdrawn = self.withdrawn.get(&credential.supi).copied().unwrap_or_default();
        match self.core.get(&credential.supi) {
            Some(held)
                if held.epoch == credential.epoch && equal(held.secrets.k.bytes(), credential.secrets.k.bytes()) =>
            {
                Ok(())
            }
            Some(held) if held.epoch >= credential.epoch => Err(Code::Conflict),
            _ if withdrawn >= credential.epoch => Err(Code::Conflict),
            _ => {
                self.core.insert(credential.supi, credential);
                Ok(())
            }
        }
    }

    /// And what is not there now does not come later.
    fn read_core(&mut self, UpTo { supi, epoch }: &UpTo) -> Option<Hash> {
        if self.core.get(supi).is_none_or(|held| held.epoch < *epoch) {
            self.withdraw(*supi, *epoch);
        }
        self.fingerprint(supi)
    }

    fn withdraw(&mut self, supi: Supi, epoch: u32) {
        let withdrawn = self.withdrawn.entry(supi).or_default();
        *withdrawn = epoch.max(*withdrawn);
    }

    fn fingerprint(&self, supi: &Supi) -> Option<Hash> {
        self.core.get(supi).map(|held| credential::fingerprint(&held.secrets.k, self.crypto))
    }

    fn recover(&self, lost: &Lost) -> Option<(Supi, Hash)> {
        let held = self
            .core
            .iter()
            .filter(|(_, held)| (&held.device, held.epoch) == (&lost.device, lost.epoch))
            .find(|(supi, _)| supi_hash(&lost.txn, supi, self.crypto) == lost.supi_hash);
        let supi = held.map(|(supi, _)| *supi)?;
        Some((supi, self.fingerprint(&supi)?))
    }

    /// What is known of a device.
    pub fn account(&self, device: &DeviceId) -> Option<&Account> {
        self.accounts.get(&device.to_string())
    }

    /// Whether this SUPI was ever reserved here.
    pub fn knows(&self, supi: &Supi) -> bool {
        self.reserved.values().any(|reserved| reserved == supi)
    }

    /// What the core lets a subscription be used for, where that is limited.
    pub fn profile(&self, supi: &Supi) -> Option<&ServiceProfile> {
        self.core.get(supi).and_then(|credential| credential.profile.as_ref())
    }

    /// What the core has, and whose it is.
    pub fn held(&self) -> impl Iterator<Item = (Supi, DeviceId)> {
        self.core.iter().map(|(supi, held)| (*supi, held.device))
    }

    /// The log, oldest entry first.
    pub fn entries(&self) -> impl Iterator<Item = LogEntry> {
        self.log.iter().filter_map(|entry| LogEntry::from_cbor(entry).ok())
    }

    /// The log is restored to its first `entries`, and accounts with it; the core is not.
    ///
    /// # Panics
    /// Not on a log that this made.
    #[expect(clippy::expect_used, reason = "for tests: a log that cannot be replayed is a defect")]
    pub fn restore(&mut self, entries: usize) {
        self.log.truncate(entries);
        let log: Vec<_> = self.entries().collect();
        for (device, account) in &mut self.accounts {
            *account = Account::default();
            let own = log.iter().filter(|entry| entry.device == *device);
            account.replay(own, self.crypto).expect("what was applied once");
            let entry = account.entry(device, What::Restored);
            account.apply(&entry, self.crypto).expect("what follows on anything");
            self.log.push(entry.to_cbor().expect("memory"));
        }
    }

    /// A fresh AKA vector for a subscriber, as the UDM makes one when its device attaches.
    ///
    /// # Errors
    /// [`Backend::Store`] if the core does not let the SUPI in; [`Backend::Random`].
    pub fn challenge(&mut self, supi: &Supi, rng: &mut dyn Rng) -> Result<Box<Vector>, Backend> {
        let barred = self.barred.get(supi).copied().unwrap_or_default();
        let held = self.core.get_mut(supi).filter(|held| held.epoch > barred).ok_or(Backend::Store)?;
        let Secrets { k, opc, sqn } = &mut held.secrets;
        let mut rand = [0; 16];
        rng.fill(&mut rand)?;
        let next = Profile::default().next(*sqn, Ind::default(), 0);
        *sqn = next.map_err(|_| Backend::Store)?;
        Ok(aka::vector(&Milenage::new(k, opc), &rand, *sqn, MANAGEMENT_FIELD))
    }

    /// SUPIs that the core lets in.
    pub fn subscribers(&self) -> impl Iterator<Item = &Supi> {
        let barred = |supi: &Supi| self.barred.get(supi).copied().unwrap_or_default();
        self.core.iter().filter(move |(supi, held)| held.epoch > barred(supi)).map(|(supi, _)| supi)
    }
}
