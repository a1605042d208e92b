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
    credential::{HomeKey, ServiceProfile, SuciData, Txn},
    crypto::{Agreement, Rng, Secret, rustcrypto::RustCrypto},
    error::{Backend, Code, Error},
    identity::{DeviceId, PeerName, Supi},
    provisioning::{
        log::{LogEntry, Quarantined},
        question::{Admission, Answer, CoreCredential, Found, OwnedPart, Question, Recalled, Reservation, Visitor},
        watch::{Refusal, Watch},
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

/// An operator's systems.
pub struct Home {
    op: Secret<16>,
    pool: Vec<Supi>,
    /// One subscription for each device, whatever its transaction: it has signed that nothing came of an earlier one.
    reserved: BTreeMap<String, Supi>,
    /// The last epoch offered to each device.
    epochs: BTreeMap<String, u32>,
    /// What is watched of each device.
    watches: BTreeMap<String, Watch>,
    /// The key that devices conceal their names under, and its number.
    concealing: Option<(u8, Box<dyn Agreement>)>,
    /// Voucher chains, by the name of the device.
    vouchers: BTreeMap<PeerName, Vec<u8>>,
    /// What evidence has to show.
    pub policy: Policy,
    /// What is known of devices' keys and software.
    pub endorsements: MemoryEndorsements,
    /// Devices that have signed for a subscription.
    confirmed: BTreeSet<String>,
    /// The log, in CBOR, as a database would hold it.
    log: Vec<Vec<u8>>,
    core: BTreeMap<Supi, CoreCredential>,
}

impl core::fmt::Debug for Home {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Home").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Home {
    /// Systems with this OP, these free SUPIs and this policy for evidence.
    pub const fn new(op: Secret<16>, pool: Vec<Supi>, policy: Policy) -> Self {
        Self {
            op,
            pool,
            reserved: BTreeMap::new(),
            epochs: BTreeMap::new(),
            watches: BTreeMap::new(),
            concealing: None,
            vouchers: BTreeMap::new(),
            policy,
            endorsements: MemoryEndorsements::new(),
            confirmed: BTreeSet::new(),
            log: Vec::new(),
            core: BTreeMap::new(),
        }
    }

    /// Systems with published test keys and eight free SUPIs, of the operator of [`identities`](super::identities), which owns
    /// the device there.
    ///
    /// # Errors
    /// None in practice.
    pub fn laboratory() -> Result<Self, Error> {
        let supis = (0..8).rev().map(|number| format!("00101000000000{number}").parse());
        let mut home = Self::new(Secret::from_slice(&[0xcd; 16])?, supis.collect::<Result<_, _>>()?, maker::policy()?)
            .revealing(maker::home_key()?.id(), Box::new(maker::home_private()?));
        let name = maker::device_name()?;
        home.own(name, maker::voucher(&name, &maker::operator_public_key()?)?);
        home.endorsements = maker::endorsements(&[maker::device_id()?, maker::raw_device_id()?])?;
        Ok(home)
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
            Question::Appraise(visitor) => Answer::Appraised(self.appraise(&visitor)),
            Question::Reserve { device, .. } => Answer::Reserved(self.reserve(&device)),
            Question::ComputeOpc { k } => Answer::Opc(Ok(milenage::opc(&k, &self.op))),
            Question::Log(entry) => Answer::Logged(self.log(&entry)),
            Question::PutIntoCore(credential) => Answer::CoreReady(self.put_into_core(*credential)),
            Question::Recall { device, txn } => Answer::Recalled(Ok(self.recall(&device, &txn))),
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
        let watch = self.watches.entry(device.clone()).or_default();
        let admitted = match watch.admit(visitor) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if let Refusal::Alarm(alarm) = refusal {
                    *watch = watch.quarantine(alarm);
                    let counter = (visitor.counter.request, visitor.counter.retry);
                    let entry = LogEntry::Quarantined(Quarantined { device, alarm, counter });
                    self.log.push(entry.to_cbor().map_err(|_| Code::TryLater)?);
                }
                return Err(refusal.code());
            }
        };
        watch.clone_from(admitted.row());
        let (verifier, nonce) = (TokenVerifier::new(&self.endorsements), &visitor.evidence_nonce);
        let evidence = visitor.evidence.as_deref();
        let verdict = self.policy.appraise(&visitor.device.device_id(), evidence, nonce, &verifier, &RustCrypto);
        let verdict = verdict.map_err(|finding| finding.code())?;
        let voucher = match &visitor.voucher_request {
            _ if visitor.entitled => None,
            Some(request) => maker::answer(request, visitor.device.public_key()).ok(),
            None => self.vouchers.get(visitor.device.name()).cloned(),
        };
        Ok(Admission { verdict, admitted, voucher })
    }

    fn reserve(&mut self, device: &DeviceId) -> Result<Reservation, Code> {
        let device = device.to_string();
        // A device that has signed for a subscription and now says it has none is another one with its key.
        if self.confirmed.contains(&device) {
            return Err(Code::Conflict);
        }
        let supi = match self.reserved.get(&device) {
            Some(supi) => *supi,
            None => {
                let supi = self.pool.pop().ok_or(Code::PoolEmpty)?;
                self.reserved.insert(device.clone(), supi);
                supi
            }
        };
        let epoch = self.epochs.entry(device).or_default();
        *epoch = epoch.checked_add(1).ok_or(Code::Conflict)?;
        let first = Profile::default().next(Sqn::default(), Ind::default(), 0).map_err(|_| Code::Conflict)?;
        let profile = ServiceProfile { dnn: ArrayString::from("iot").ok(), ..ServiceProfile::default() };
        Ok(Reservation {
            supi,
            epoch: *epoch,
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
    fn log(&mut self, entry: &LogEntry) -> Result<(), Code> {
        match entry {
            LogEntry::Offered(offered) => {
                if self.watches.get(&offered.device).is_none_or(|watch| offered.counter != watch.counter()) {
                    return Err(Code::Conflict);
                }
            }
            LogEntry::Confirmed(confirmed) => {
                self.confirmed.insert(confirmed.device.clone());
                let offered = self.entries().filter_map(|entry| match entry {
                    LogEntry::Offered(offered) if offered.txn == confirmed.txn => Some(offered),
                    _ => None,
                });
                if let (Some(offered), Some(watch)) = (offered.last(), self.watches.get(&confirmed.device)) {
                    self.watches.insert(confirmed.device.clone(), watch.confirm(&offered));
                }
            }
            LogEntry::Quarantined(_) => {}
        }
        self.log.push(entry.to_cbor().map_err(|_| Code::TryLater)?);
        Ok(())
    }

    /// Never back to an older request of the device.
    fn put_into_core(&mut self, credential: CoreCredential) -> Result<(), Code> {
        match self.core.get(&credential.supi) {
            Some(held) if held.counter >= credential.counter => Err(Code::Conflict),
            _ => {
                self.core.insert(credential.supi, credential);
                Ok(())
            }
        }
    }

    fn recall(&self, device: &DeviceId, txn: &Txn) -> Option<Recalled> {
        let device = device.to_string();
        self.entries().fold(None, |recalled, entry| match entry {
            LogEntry::Offered(offered) if offered.txn == *txn && offered.device == device => {
                Some(Recalled { offered, confirmed: false })
            }
            LogEntry::Confirmed(confirmed) if confirmed.txn == *txn && confirmed.device == device => {
                recalled.map(|recalled| Recalled { confirmed: true, ..recalled })
            }
            _ => recalled,
        })
    }

    /// What is watched of a device.
    pub fn watch(&self, device: &DeviceId) -> Option<&Watch> {
        self.watches.get(&device.to_string())
    }

    /// The log, oldest entry first.
    pub fn entries(&self) -> impl Iterator<Item = LogEntry> {
        self.log.iter().filter_map(|entry| LogEntry::from_cbor(entry).ok())
    }

    /// A fresh AKA vector for a subscriber, as the UDM makes one when its device attaches.
    ///
    /// # Errors
    /// [`Backend::Store`] if the core does not know the SUPI; [`Backend::Random`].
    pub fn challenge(&mut self, supi: &Supi, rng: &mut dyn Rng) -> Result<Box<Vector>, Backend> {
        let credential = self.core.get_mut(supi).ok_or(Backend::Store)?;
        let mut rand = [0; 16];
        rng.fill(&mut rand)?;
        let next = Profile::default().next(credential.sqn, Ind::default(), 0);
        credential.sqn = next.map_err(|_| Backend::Store)?;
        let milenage = Milenage::new(&credential.k, &credential.opc);
        Ok(aka::vector(&milenage, &rand, credential.sqn, MANAGEMENT_FIELD))
    }

    /// SUPIs that the core accepts.
    pub fn subscribers(&self) -> impl Iterator<Item = &Supi> {
        self.core.keys()
    }
}
