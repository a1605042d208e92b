//! An operator's systems that can be cloned: the log, the accounts that it adds up to, the core network.

use std::{collections::BTreeMap, rc::Rc};

use remote_provisioning::{
    aka::{self, Ind, Milenage, Sqn, Vector, milenage, sqn::Profile},
    attestation::{MemoryEndorsements, Policy, TokenVerifier},
    authority::{Grant, Granter, Permit, grant},
    credential::{self, Activation, Previous, ServiceProfile},
    crypto::{Crypto, Hash, Secret},
    error::Code,
    identity::{Domain, Supi},
    provisioning::{
        Account, Admission, Answer, Question, Task,
        account::Applied,
        log::{Barred, LogEntry, What},
        message::Standing,
        question::{CoreCredential, Reservation, UpTo, Visitor},
        receipt::supi_hash,
        watch::Refusal,
    },
    sim::{TODAY, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::Date,
};

use crate::memo::Memo;

/// What the operator does to a subscription of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Suspend,
    Reinstate,
    Revoke,
}

#[derive(Clone)]
pub(crate) struct Subscriber {
    pub(crate) credential: Rc<CoreCredential>,
    pub(crate) sqn: Sqn,
}

#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) voucher: Rc<Vec<u8>>,
    /// The last digit of its first SUPI.
    first: u8,
    /// Whether a credential in use came of the grant.
    used: bool,
    pub(crate) mode: Previous,
    pub(crate) activation: Activation,
    pub(crate) account: Account,
    pub(crate) log: Vec<Rc<LogEntry>>,
    /// Every entry that was ever durable, also those that a restored log has not got.
    pub(crate) ever: Vec<Rc<LogEntry>>,
    pub(crate) core: BTreeMap<Supi, Subscriber>,
    pub(crate) barred: BTreeMap<Supi, u32>,
    withdrawn: BTreeMap<Supi, u32>,
    /// What it is at, and how far it is with that: a task that was declined is made again.
    pub(crate) meant: Option<(Deed, Option<Task>)>,
}

/// What an answer is made of; a `Question` is answered once, and an answer is not to be cloned.
pub(crate) enum Reply {
    Appraised(Result<Box<Admission>, Code>),
    Reserved(Result<Reservation, Code>),
    Opc(Secret<16>),
    Logged(Result<(), Code>),
    CoreReady(Result<(), Code>),
    CoreHolds(Option<Hash>),
    Recovered(Option<(Supi, Hash)>),
}

const OWNER: &str = "owner@example";
const OPERATOR: &str = "operator.example";

fn owner() -> MemoryKeyStore {
    maker::keys("the owner").unwrap()
}

/// Connectivity on demand, once.
pub(crate) fn token() -> Vec<u8> {
    let grant = Grant {
        iss: OWNER,
        device: &maker::raw_device_id().unwrap(),
        operator: &OPERATOR.parse().unwrap(),
        expires: Date(TODAY.0 + 86_400),
        not_before: None,
        cti: b"the only one",
        scope: &ServiceProfile::default(),
    };
    grant.sign(maker::signer(&owner())).unwrap()
}

pub(crate) fn supi(number: u8) -> Supi {
    format!("00101000000000{number}").parse().unwrap()
}

impl Office {
    pub(crate) fn new(voucher: Vec<u8>, first: u8, mode: Previous, activation: Activation) -> Self {
        Self {
            voucher: Rc::new(voucher),
            first,
            used: false,
            mode,
            activation,
            account: Account::default(),
            log: Vec::new(),
            ever: Vec::new(),
            core: BTreeMap::new(),
            barred: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            meant: None,
        }
    }

    pub(crate) fn answer(&mut self, question: &Question) -> Reply {
        match question {
            Question::Find(_) => unreachable!("devices here show no concealed name"),
            Question::Appraise(visitor) => Reply::Appraised(self.appraise(visitor).map(Box::new)),
            Question::Reserve(wish) => {
                let open = self.account.open().map(|deal| deal.credential.supi.parse().unwrap());
                let supi = match wish.current {
                    Some(current) if self.mode == Previous::Shared => current,
                    Some(current) => open.unwrap_or(supi(self.first + u8::from(current == supi(self.first)))),
                    None => open.unwrap_or(supi(self.first)),
                };
                Reply::Reserved(Ok(Reservation {
                    supi,
                    core_epoch: self
                        .core
                        .get(&supi)
                        .map_or(0, |held| held.credential.epoch)
                        .max(self.withdrawn.get(&supi).copied().unwrap_or_default()),
                    activation: self.activation,
                    sqn: Profile::default().sqn(1, Ind::default()).unwrap(),
                    management_field: [0x80, 0],
                    suci: None,
                    profile: None,
                }))
            }
            Question::ComputeOpc { k } => Reply::Opc(milenage::opc(k, &Secret::from_slice(&[0xcd; 16]).unwrap())),
            Question::Log(entry) => Reply::Logged(self.log(entry)),
            Question::PutIntoCore(_) => unreachable!("put"),
            Question::ReadCore(UpTo { supi, epoch }) => {
                if self.core.get(supi).is_none_or(|held| held.credential.epoch < *epoch) {
                    self.withdraw(*supi, *epoch);
                }
                Reply::CoreHolds(self.fingerprint(supi))
            }
            Question::Recover(lost) => {
                let found = self.core.iter().find(|(supi, held)| {
                    (&held.credential.device, held.credential.epoch) == (&lost.device, lost.epoch)
                        && supi_hash(&lost.txn, supi, &Memo) == lost.supi_hash
                });
                Reply::Recovered(found.map(|(supi, _)| (*supi, self.fingerprint(supi).unwrap())))
            }
            Question::BarInCore(UpTo { supi, epoch }) => {
                let barred = self.barred.entry(*supi).or_default();
                *barred = (*epoch).max(*barred);
                Reply::CoreReady(Ok(()))
            }
            Question::AdmitToCore(UpTo { supi, epoch }) => {
                self.barred.retain(|barred, up_to| barred != supi || *up_to > *epoch);
                Reply::CoreReady(Ok(()))
            }
            Question::RemoveFromCore(UpTo { supi, epoch }) => {
                self.core.retain(|held, subscriber| held != supi || subscriber.credential.epoch > *epoch);
                self.withdraw(*supi, *epoch);
                Reply::CoreReady(Ok(()))
            }
        }
    }

    fn appraise(&mut self, visitor: &Visitor) -> Result<Admission, Code> {
        let admitted = match self.account.admit(visitor, &Memo) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if let Refusal::Alarm(alarm) = refusal {
                    let counter = (visitor.counter.request, visitor.counter.retry);
                    let entry = self.account.entry("device", What::Quarantined { alarm, counter });
                    self.log(&entry)?;
                }
                return Err(refusal.code());
            }
        };
        self.account = admitted.account().clone();
        let policy = Policy::without_evidence("search").unwrap();
        let verifier = TokenVerifier::new(MemoryEndorsements::new());
        let verdict = policy
            .appraise(&visitor.device.device_id(), None, &visitor.evidence_nonce, &verifier, &Memo)
            .map_err(|finding| finding.code())?;
        let permit = self.permit(visitor)?;
        Ok(Admission { verdict, admitted, voucher: Some(self.voucher.to_vec()), permit })
    }

    fn permit(&mut self, visitor: &Visitor) -> Result<Option<Permit>, Code> {
        let Some(token) = &visitor.grant else { return Ok(None) };
        let owner = Granter::new(OWNER, owner().public_key(KeyId(0)).unwrap(), Domain::Test).unwrap();
        let terms = grant::Terms {
            granters: &[owner],
            device: &visitor.device.device_id(),
            operator: &OPERATOR.parse().unwrap(),
            domain: Domain::Test,
            today: visitor.since,
            limit: &ServiceProfile::default(),
        };
        let granted = grant::verify(token, &terms, &Memo).map_err(|fault| fault.code())?;
        granted.first_use(!self.used).map(Some).map_err(|fault| fault.code())
    }

    pub(crate) fn log(&mut self, entry: &LogEntry) -> Result<(), Code> {
        let applied = self.account.apply(entry, &Memo).map_err(|conflict| conflict.code())?;
        if applied == Applied::Now {
            let entry = Rc::new(entry.clone());
            self.log.push(Rc::clone(&entry));
            self.ever.push(entry);
            self.used |= self.account.active().is_some_and(|active| active.grant.is_some());
        }
        Ok(())
    }

    /// The device's operations are about the operator's log; whoever keeps it sees to the rest.
    pub(crate) fn note(&mut self, what: What) {
        let entry = self.account.entry("device", what);
        self.log(&entry).unwrap();
    }

    pub(crate) fn put(&mut self, credential: &Rc<CoreCredential>) -> Result<(), Code> {
        let fresh = Subscriber { credential: Rc::clone(credential), sqn: credential.secrets.sqn };
        match self.core.get(&credential.supi) {
            Some(held)
                if held.credential.epoch == credential.epoch
                    && held.credential.secrets.k.bytes() == credential.secrets.k.bytes() =>
            {
                #[cfg(seeded_faults)]
                if remote_provisioning::fault::is_seeded(remote_provisioning::fault::Fault::ResetsSqn) {
                    self.core.insert(credential.supi, fresh);
                }
                Ok(())
            }
            Some(held) if held.credential.epoch >= credential.epoch => Err(Code::Conflict),
            _ if self.withdrawn.get(&credential.supi).is_some_and(|epoch| *epoch >= credential.epoch) => {
                Err(Code::Conflict)
            }
            _ => {
                self.core.insert(credential.supi, fresh);
                Ok(())
            }
        }
    }

    /// Sets to it, or goes on with it; `false` if it is not for now.
    pub(crate) fn set_to(&mut self, deed: Deed) -> bool {
        let device = maker::raw_device_id().unwrap();
        let task = match deed {
            Deed::Suspend => Task::suspend(&device, &self.account),
            Deed::Reinstate => Task::reinstate(&device, &self.account),
            Deed::Revoke => Task::revoke(&device, &self.account),
        };
        let task = task.ok();
        let begun = task.is_some();
        self.meant = begun.then_some((deed, task));
        begun
    }

    /// The next step of what it is at; what was declined is begun again.
    pub(crate) fn go_on(&mut self) -> Option<String> {
        let (deed, task) = self.meant.take()?;
        let Some(mut task) = task else {
            let again = self.set_to(deed);
            return Some(format!("{deed:?}: {}", if again { "again" } else { "it is so" }));
        };
        let question = task.poll().unwrap();
        let went = self.answer_task(&mut task, &question);
        if !went {
            self.meant = Some((deed, None));
        } else if !task.is_done() {
            self.meant = Some((deed, Some(task)));
        }
        let step = format!("{question:?}");
        let step = step.split(['(', ' ']).next().unwrap_or_default();
        Some(format!("{deed:?}: {step}{}", if went { "" } else { ", declined" }))
    }

    /// Answers a task; `false` if the answer was no.
    fn answer_task(&mut self, task: &mut Task, question: &Question) -> bool {
        let answer = match self.answer(question) {
            Reply::Logged(result) => Answer::Logged(result),
            Reply::CoreReady(result) => Answer::CoreReady(result),
            _ => unreachable!("tasks write to log and core"),
        };
        task.answer(answer, &Memo).is_ok()
    }

    /// The whole of it at once.
    pub(crate) fn carry_out(&mut self, mut task: Task) {
        while let Some(question) = task.poll() {
            assert!(self.answer_task(&mut task, &question));
        }
    }

    pub(crate) fn finish_what_is_meant(&mut self) {
        while self.go_on().is_some() {}
    }

    fn fingerprint(&self, supi: &Supi) -> Option<Hash> {
        self.core.get(supi).map(|held| credential::fingerprint(&held.credential.secrets.k, &Memo))
    }

    fn withdraw(&mut self, supi: Supi, epoch: u32) {
        let withdrawn = self.withdrawn.entry(supi).or_default();
        *withdrawn = epoch.max(*withdrawn);
    }

    /// The next challenge of the core, if it lets this SUPI in.
    pub(crate) fn challenge(&mut self, supi: &Supi) -> Option<Box<Vector>> {
        let held = self
            .core
            .get_mut(supi)
            .filter(|held| held.credential.epoch > self.barred.get(supi).copied().unwrap_or_default())?;
        held.sqn = Profile::default().next(held.sqn, Ind::default(), 0).unwrap();
        let secrets = &held.credential.secrets;
        Some(aka::vector(&Milenage::new(&secrets.k, &secrets.opc), &[7; 16], held.sqn, [0x80, 0]))
    }

    /// The log is restored to an older state, and the account with it; the core is not.
    pub(crate) fn restore(&mut self, entries: usize) {
        self.log.truncate(entries);
        self.account = Account::default();
        let log: Vec<LogEntry> = self.log.iter().map(|entry| LogEntry::clone(entry)).collect();
        self.account.replay(&log, &Memo).unwrap();
        self.note(What::Restored);
    }

    /// What tells two offices apart.
    pub(crate) fn hash(&self) -> Hash {
        let mut bytes = self.account.to_cbor().unwrap();
        for (supi, held) in &self.core {
            bytes.extend(supi.as_str().bytes());
            bytes.extend(held.credential.epoch.to_be_bytes());
            bytes.extend(self.fingerprint(supi).unwrap());
            bytes.extend(held.sqn.to_bytes());
        }
        for (supi, epoch) in self.barred.iter().chain(&self.withdrawn) {
            bytes.extend(supi.as_str().bytes());
            bytes.extend(epoch.to_be_bytes());
        }
        bytes.extend(format!("{:?}", self.meant).into_bytes());
        bytes.push(u8::from(self.used));
        bytes.extend(self.log.len().to_be_bytes());
        bytes.extend(self.ever.len().to_be_bytes());
        Memo.sha256(&[&bytes])
    }

    /// Whether the subscription is barred for good, or the operator wants it to be.
    pub(crate) fn is_ended(&self) -> bool {
        let barred = |entry: &Rc<LogEntry>| matches!(entry.what, What::Barred(Barred::Revoked | Barred::Retiring));
        matches!(self.meant, Some((Deed::Revoke, _))) || self.ever.iter().any(barred)
    }

    /// Whether the core takes nothing of it for a while, or is about to.
    pub(crate) fn is_suspended(&self) -> bool {
        self.account.standing() == Standing::Suspended || self.meant.is_some()
    }

    /// Whether the log knows.
    pub(crate) fn knows_of_end(&self) -> bool {
        !self.is_ended() || !matches!(self.account.standing(), Standing::InService | Standing::Suspended)
    }
}
