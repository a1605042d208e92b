//! All that an operator knows of one device: what its log entries add up to.
//!
//! ```text
//! log      1 Offered   2 Prepared   3 Decided   4 Ended   5 Cleared …
//! account  ──apply──▶  ──apply──▶   ──apply──▶  …          one row of the caller's database, written with the entry
//!
//! a transaction:  Offered ─┬─────────────────────────────────────▶ Ended(Activated)        one-shot
//!                          ├─▶ Prepared ─┬─▶ Decided(commit) ────▶ Ended(Activated)        two-phase
//!                          └─────────────┴─▶ Decided(abort) ─────▶ Ended(Aborted)
//! ```
//!
//! [`Account::apply`] is the one place that says which entry may follow on which: never commit and abort for one transaction,
//! epochs that only grow, nothing in place of an offer that the device may have stored. It wants entries in the order of
//! their numbers, so of two sessions that both mean to go on from here only one can; and it takes the last one twice, for a
//! database that did not say whether it had written it.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{
    log::{Barred, Leftover, LogEntry, Offered, Proof, Recovered, Released, Seen, Signed, What},
    message::{Operation, Standing, Verdict},
    question::Visitor,
    receipt::{self, Entry, Event, Fault, Head, History, Receipt},
    stored,
    watch::{Alarm, Refusal, Watch},
};
use crate::{
    authority::Association,
    credential::{Activation, Previous, ServiceProfile, Txn, Wrapped},
    crypto::{Crypto, Hash},
    error::{Backend, Code, Error, Malformed},
    fault,
    trust::Date,
};

/// With so many SUPIs that the core still has to forget, nothing new is issued. What ends then may add the two that it leaves.
pub const MAX_LEFTOVERS: usize = 4;

/// What an operator knows of a device. A row of its database, made by [`Account::default`] for a device that is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    watch: Watch,
    /// Number of the last entry.
    revision: u64,
    /// Hash of it.
    #[serde(with = "serde_bytes")]
    last: Option<Hash>,
    /// The highest epoch that was ever offered, or that the device has signed for.
    epoch: u32,
    receipts: Head,
    open: Option<Deal>,
    active: Option<Credential>,
    leftovers: Vec<Leftover>,
    ended: Option<(Txn, Event)>,
    standing: Standing,
    association: Option<Association>,
    released: Option<Released>,
    wanted: Option<Operation>,
    cleaned: bool,
    restored: bool,
    /// Something was offered since then: when that has ended, the device is past all that was lost.
    offered_since: bool,
    /// It is back from another operator, and the log has nothing yet of the line of receipts as it is now.
    returned: bool,
}

/// A transaction that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deal {
    /// What the device asked for.
    pub operation: Operation,
    /// What it was offered.
    pub credential: Credential,
    /// Whether the device uses it at once.
    pub activation: Activation,
    /// What becomes of the one in use.
    pub previous: Previous,
    /// Its secrets; not there if the log has lost them, and the core has them.
    pub wrapped: Option<Wrapped>,
    /// What it is for.
    pub profile: Option<Box<ServiceProfile>>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Offered; whether the device has it is not known.
    Offered,
    /// The device has signed that it has it, beside the one in use.
    Prepared,
    /// It is to be used.
    Committed,
    /// It is not to be used.
    Aborted,
}

/// A credential, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credential {
    /// The transaction that made it; `None` if the log has lost that, and the device was past it.
    #[serde(with = "serde_bytes")]
    pub txn: Option<Txn>,
    /// The subscription's SUPI, digits only.
    pub supi: String,
    /// Its epoch.
    pub epoch: u32,
    /// SHA-256 over the sealed package.
    #[serde(with = "serde_bytes")]
    pub package_hash: Hash,
    /// The owner epoch that it was given in.
    pub owner_epoch: u32,
    /// Hash of the voucher's last entry; `None` if the log has lost that.
    #[serde(with = "serde_bytes")]
    pub voucher_head: Option<Hash>,
    /// SHA-256 over the grant that it was asked for with.
    #[serde(with = "serde_bytes")]
    pub grant: Option<Hash>,
    /// [Fingerprint](crate::credential::fingerprint) of K.
    #[serde(with = "serde_bytes")]
    pub fingerprint: Hash,
}

/// That a request was held against what is known of its device. Made by [`Account::admit`] and by nothing else:
///
/// ```compile_fail,E0451
/// use remote_provisioning::provisioning::account::{Account, Admitted};
///
/// fn forge(admitted: Admitted) -> Admitted {
///     Admitted { account: Account::default(), ..admitted }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    account: Account,
    /// Receipts that came with the request and the log does not have.
    proof: Option<Proof>,
    /// What they say.
    receipts: Vec<Receipt>,
    /// What the next receipt has to follow on.
    line: Line,
}

/// Where a device's line of receipts ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `None` if the log has lost the last one.
    pub(super) sequence: Option<u64>,
    pub(super) hash: Option<Hash>,
}

impl Admitted {
    /// The account to store.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Whether it is about this request.
    pub(super) fn is_for(&self, visitor: &Visitor) -> bool {
        self.account.watch.is_at(visitor)
    }

    pub(super) fn into_parts(self) -> (Account, Option<Proof>, Vec<Receipt>, Line) {
        let Self { account, proof, receipts, line } = self;
        (account, proof, receipts, line)
    }
}

/// Whether an entry changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It did: store the account, and append the entry.
    Now,
    /// It was the last one already.
    Before,
}

/// Why an entry does not follow on the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another session has gone on from here in the meantime.
    #[error("another session was first")]
    Overtaken,
    /// The entry contradicts what was logged before.
    #[error("the entry contradicts the log")]
    Contradiction,
}

impl Conflict {
    /// What the device is told.
    pub const fn code(self) -> Code {
        match self {
            Self::Overtaken => Code::TryLater,
            Self::Contradiction => Code::Conflict,
        }
    }
}

impl Account {
    /// The account in CBOR: the row to store.
    ///
    /// # Errors
    /// [`Backend::Store`] if memory runs out.
    pub fn to_cbor(&self) -> Result<Vec<u8>, Backend> {
        stored::to_cbor(self)
    }

    /// Reads what [`Account::to_cbor`] wrote. For one's own storage: this decoder is not meant for a stranger's bytes.
    ///
    /// # Errors
    /// [`Malformed::Syntax`]; [`Malformed::TrailingBytes`].
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, Malformed> {
        stored::from_cbor(bytes)
    }

    /// Holds a request, and the receipts in it, against what is known, and gives the account as it is to be with the request.
    /// Store it, by compare-and-set, before it is used: of two devices that show one counter only one may get through.
    ///
    /// # Errors
    /// [`Refusal`]: on an alarm, log [`What::Quarantined`].
    pub fn admit(&self, visitor: &Visitor, crypto: &dyn Crypto) -> Result<Admitted, Refusal> {
        let newest = visitor.receipts.last();
        let newest = newest.map(|newest| Entry::verify(newest, visitor.device.public_key(), crypto));
        let erased = matches!(&newest, Some(Ok(Entry::Receipt(receipt))) if receipt.event == Event::Erased);
        let account = Self { watch: self.watch.admit(visitor, erased)?, ..self.clone() };
        let (history, proof) = self.hand_in(visitor, newest, crypto)?;
        let last = visitor.state.last_receipt;
        let line = match history.head.hash == last {
            // Up to the last one: what is shown is where the device stands, and not where it once stood.
            true if visitor.receipts.last().is_none_or(|entry| receipt::end(entry, crypto) == last) => {
                Line { sequence: Some(history.head.sequence), hash: last }
            }
            // Receipts that were acknowledged and then lost, or acknowledged elsewhere: the line is taken up where it is.
            false if visitor.receipts.is_empty() && self.may_begin_later() => Line { sequence: None, hash: last },
            _ => return Err(Refusal::Alarm(Alarm::Receipts)),
        };
        Ok(Admitted { account, proof, receipts: history.receipts, line })
    }

    /// Whether the log has lost receipts; or the first ones, or the last, went to another operator.
    const fn may_begin_later(&self) -> bool {
        self.restored || self.receipts.sequence == 0 || self.released.is_some() || self.returned
    }

    /// `newest` is the last of what came, verified or not; no signature is looked at twice.
    fn hand_in(
        &self,
        visitor: &Visitor,
        newest: Option<Result<Entry, Error>>,
        crypto: &dyn Crypto,
    ) -> Result<(History, Option<Proof>), Refusal> {
        const ALARM: Refusal = Refusal::Alarm(Alarm::Receipts);
        let older = visitor.receipts.split_last().map_or(&[][..], |(_, older)| older);
        let older = older.iter().map(|entry| Entry::verify(entry, visitor.device.public_key(), crypto));
        let entries = older.chain(newest).collect::<Result<Vec<_>, _>>().map_err(|_| ALARM)?;
        let extend = |history: &mut History| {
            let mut line = entries.iter().zip(&visitor.receipts);
            line.try_for_each(|(entry, encoded)| history.take(entry, encoded, crypto).map(drop))
        };
        let mut history = History::after(self.receipts);
        match (extend(&mut history), entries.first()) {
            (Ok(()), _) => {}
            (Err(Fault::Gap { .. }), Some(first)) if self.may_begin_later() => {
                history = History::beginning(first);
                extend(&mut history).map_err(|_| ALARM)?;
            }
            (Err(_), _) => return Err(ALARM),
        }
        let receipts = visitor.receipts.iter().cloned().map(Into::into).collect();
        let proof = (history.head != self.receipts).then_some(Proof { receipts, head: history.head });
        // What the log has already can be what this request is about.
        let receipts = entries.into_iter().filter_map(|entry| match entry {
            Entry::Receipt(receipt) => Some(receipt),
            Entry::Summary(_) => None,
        });
        history.receipts = receipts.collect();
        Ok((history, proof))
    }

    /// The next entry about this device.
    pub fn entry(&self, device: &str, what: What) -> LogEntry {
        LogEntry { device: device.to_string(), number: self.revision.saturating_add(1), what }
    }

    /// Takes an entry in. Whoever answers [`Question::Log`](super::Question::Log) does this in the transaction that appends it.
    ///
    /// # Errors
    /// [`Conflict`]; the account has not changed.
    pub fn apply(&mut self, entry: &LogEntry, crypto: &dyn Crypto) -> Result<Applied, Conflict> {
        let hash = entry.to_cbor().map_err(|_| Conflict::Contradiction)?;
        let hash = Some(crypto.sha256(&[&hash]));
        if entry.number == self.revision && hash == self.last {
            return Ok(Applied::Before);
        }
        if self.revision.checked_add(1) != Some(entry.number) {
            return Err(Conflict::Overtaken);
        }
        let mut next = self.clone();
        next.take_in(&entry.what)?;
        next.revision = entry.number;
        next.last = hash;
        *self = next;
        Ok(Applied::Now)
    }

    /// Takes in what the log has and this account does not: after a crash, or to make an account from its log.
    ///
    /// A log that was restored from an older state makes an older account. Note [`What::Restored`] on every device then, and
    /// on those that come and are not in the log at all: what it lacks of credentials is learned from the device and the core,
    /// which for an account that is said to be whole would be an alarm. What nobody else knows is lost: bar again what was
    /// barred since. No session from before goes on: stop the servers first, and give [`Seal`](crate::edhoc::Seal) another key.
    ///
    /// # Errors
    /// As [`Account::apply`], for the first entry that does not follow.
    pub fn replay<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a LogEntry>,
        crypto: &dyn Crypto,
    ) -> Result<(), Conflict> {
        let mut entries = entries.into_iter().filter(|entry| entry.number > self.revision).collect::<Vec<_>>();
        entries.sort_by_key(|entry| entry.number);
        entries.into_iter().try_for_each(|entry| self.apply(entry, crypto).map(drop))
    }

    fn take_in(&mut self, what: &What) -> Result<(), Conflict> {
        match what {
            What::Offered(offered) => self.offered(offered),
            What::Prepared(signed) => {
                self.signed(signed)?;
                match &mut self.open {
                    Some(deal) if deal.is(&signed.txn, Stage::Offered) && deal.activation == Activation::TwoPhase => {
                        deal.stage = Stage::Prepared;
                        Ok(())
                    }
                    _ => Err(Conflict::Contradiction),
                }
            }
            What::Decided { txn, verdict } => self.decided(txn, *verdict),
            What::Ended(signed) => {
                self.signed(signed)?;
                self.ended(signed)
            }
            What::Recovered(recovered) => self.recovered(recovered),
            What::Restored => {
                self.restored = true;
                self.offered_since = false;
                Ok(())
            }
            What::Received(proof) => {
                self.receipts = proof.head;
                self.returned = false;
                Ok(())
            }
            What::Cleared(cleared) => {
                self.leftovers.retain(|leftover| leftover.supi != cleared.supi || leftover.epoch > cleared.epoch);
                Ok(())
            }
            What::Barred(barred) => self.barred(*barred),
            What::Reinstated => match self.standing {
                Standing::Suspended | Standing::Revoked => {
                    self.standing = Standing::InService;
                    Ok(())
                }
                _ => Err(Conflict::Contradiction),
            },
            What::Wanted(operation) => {
                self.wanted = Some(*operation);
                Ok(())
            }
            What::Associated(association) => {
                self.association = Some(association.clone());
                // The old owner knows nothing of the new K.
                self.wanted = self.active.as_ref().map(|_| Operation::Reassociate);
                Ok(())
            }
            What::Transferred { owner_epoch, .. } => {
                if self.released.is_none_or(|released| released.owner_epoch != *owner_epoch) {
                    return Err(Conflict::Contradiction);
                }
                self.let_go();
                self.standing = match self.standing {
                    Standing::RevokedUnreachable | Standing::Revoked => Standing::Revoked,
                    _ => Standing::Retired,
                };
                // If it comes back, it has been in other hands, and what it holds is theirs.
                self.watch.erase();
                Ok(())
            }
            What::Released(released) => {
                if released.owner_epoch <= self.watch.owner_epoch() {
                    return Err(Conflict::Contradiction);
                }
                self.released = Some(*released);
                Ok(())
            }
            What::Quarantined { alarm, .. } => {
                self.watch.quarantine(*alarm);
                Ok(())
            }
            What::Cleaned => {
                // The device that comes next is taken as it is.
                self.watch = Watch::default();
                self.receipts = Head::default();
                self.cleaned = true;
                Ok(())
            }
        }
    }

    fn offered(&mut self, offered: &Offered) -> Result<(), Conflict> {
        let untaken = self.open.as_ref().is_none_or(|deal| deal.stage == Stage::Offered);
        let superseding = untaken || self.cleaned || self.restored;
        let owned = self.released.is_none_or(|released| offered.owner_epoch > released.owner_epoch);
        let stands = matches!(self.standing, Standing::InService | Standing::Retired) && owned;
        if !superseding || !stands || offered.epoch <= self.epoch || self.is_full() {
            return Err(Conflict::Contradiction);
        }
        self.seen(&offered.request)?;
        self.set_aside(Some(&offered.supi));
        self.epoch = offered.epoch;
        self.standing = Standing::InService;
        self.returned |= self.released.take().is_some();
        self.offered_since = self.restored;
        self.open = Some(Deal::from(offered));
        Ok(())
    }

    /// What is open makes room for a credential with this SUPI. The core may know that of an offer that nobody took.
    fn set_aside(&mut self, next: Option<&str>) {
        let needed = |supi: &str| Some(supi) == next || self.active.as_ref().is_some_and(|active| active.supi == supi);
        if let Some(before) = self.open.take().filter(|deal| !needed(&deal.credential.supi)) {
            add(&mut self.leftovers, before.credential);
        }
    }

    /// Only the session that was admitted last goes on. When the log is replayed, its entries are what tells of admissions.
    fn seen(&mut self, request: &Seen) -> Result<(), Conflict> {
        if request.counter < self.watch.counter() && !fault::is_seeded(fault::Fault::TakesOldRequests) {
            return Err(Conflict::Overtaken);
        }
        self.watch.see(request.counter, request.since);
        Ok(())
    }

    fn signed(&mut self, signed: &Signed) -> Result<(), Conflict> {
        self.seen(&signed.request)?;
        self.receipts = signed.proof.head;
        self.returned = false;
        Ok(())
    }

    fn decided(&mut self, txn: &Txn, verdict: Verdict) -> Result<(), Conflict> {
        let is_active = self.is_active(txn);
        match &mut self.open {
            Some(deal) if deal.is_about(txn) => {
                deal.stage = match (deal.stage, verdict) {
                    (Stage::Prepared, Verdict::Commit) => Stage::Committed,
                    (Stage::Offered | Stage::Prepared, Verdict::Abort) => Stage::Aborted,
                    _ => return Err(Conflict::Contradiction),
                };
                Ok(())
            }
            // The log has lost it, and the core does not have it.
            _ if verdict == Verdict::Abort && !is_active => {
                self.ended = Some((*txn, Event::Aborted));
                Ok(())
            }
            _ => Err(Conflict::Contradiction),
        }
    }

    fn ended(&mut self, signed: &Signed) -> Result<(), Conflict> {
        if self.offered_since || signed.event == Event::Erased {
            self.restored = false;
            self.offered_since = false;
        }
        match signed.event {
            Event::Activated => {
                // A device activates what it was told to: if the log does not know of that, it was restored.
                let deal = self.open.take().filter(|deal| deal.is_about(&signed.txn));
                let deal = deal.filter(|deal| deal.stage != Stage::Aborted).ok_or(Conflict::Contradiction)?;
                if self.wanted == Some(deal.operation) {
                    self.wanted = None;
                }
                self.activate(deal.credential);
                Ok(())
            }
            Event::Aborted => {
                if !self.open.as_ref().is_some_and(|deal| deal.is(&signed.txn, Stage::Aborted)) {
                    return Err(Conflict::Contradiction);
                }
                // The core may have an earlier offer under that SUPI.
                self.set_aside(None);
                self.ended = Some((signed.txn, Event::Aborted));
                // A transfer that was called off: the device has signed that nothing of this operator's is left.
                if self.standing == Standing::RevokedUnreachable && self.active.is_none() && !self.restored {
                    self.standing = Standing::Revoked;
                }
                Ok(())
            }
            Event::Erased => {
                self.standing = match self.standing {
                    Standing::RevokedUnreachable | Standing::Revoked => Standing::Revoked,
                    Standing::Retiring | Standing::Retired => Standing::Retired,
                    Standing::InService | Standing::Suspended => return Err(Conflict::Contradiction),
                };
                self.let_go();
                self.watch.erase();
                self.ended = Some((signed.txn, Event::Erased));
                Ok(())
            }
            Event::Prepared => Err(Conflict::Contradiction),
        }
    }

    /// Nobody needs what the core has of it.
    fn let_go(&mut self) {
        let gone = self.active.take().into_iter().chain(self.open.take().map(|deal| deal.credential));
        gone.for_each(|credential| add(&mut self.leftovers, credential));
    }

    fn activate(&mut self, credential: Credential) {
        let Credential { epoch, owner_epoch, voucher_head, .. } = credential;
        self.watch.confirm(epoch, owner_epoch, voucher_head);
        self.epoch = self.epoch.max(epoch);
        self.leftovers.retain(|leftover| leftover.supi != credential.supi);
        if let Some(before) = self.active.take().filter(|before| before.supi != credential.supi) {
            add(&mut self.leftovers, before);
        }
        self.active = Some(credential);
        self.ended = None;
        self.cleaned = false;
    }

    fn recovered(&mut self, recovered: &Recovered) -> Result<(), Conflict> {
        self.seen(&recovered.request)?;
        self.receipts = recovered.proof.head;
        let credential = Credential::from(recovered);
        self.offered_since = false;
        // It was offered after all that the log knows of: so it was in service again.
        if credential.epoch > self.epoch && self.standing != Standing::Suspended {
            self.standing = Standing::InService;
        }
        self.set_aside(Some(&credential.supi));
        match recovered.event {
            Event::Activated => self.activate(credential),
            // It is in the core: so it was prepared, and is to be used.
            Event::Prepared => {
                self.epoch = self.epoch.max(credential.epoch);
                self.open = Some(Deal {
                    operation: Operation::Resume,
                    credential,
                    activation: Activation::TwoPhase,
                    previous: Previous::None,
                    wrapped: None,
                    profile: None,
                    stage: Stage::Committed,
                });
            }
            Event::Aborted | Event::Erased => return Err(Conflict::Contradiction),
        }
        Ok(())
    }

    const fn barred(&mut self, barred: Barred) -> Result<(), Conflict> {
        let holds = self.active.is_some() || self.open.is_some();
        self.standing = match (self.standing, barred) {
            (Standing::InService, Barred::Suspended) => Standing::Suspended,
            // There is nothing on the device that it would have to sign for.
            (Standing::InService | Standing::Suspended | Standing::Retiring, Barred::Revoked) if !holds => {
                Standing::Revoked
            }
            (Standing::InService | Standing::Suspended | Standing::Retiring, Barred::Revoked) => {
                Standing::RevokedUnreachable
            }
            (Standing::Retired, Barred::Revoked) => Standing::Revoked,
            (Standing::InService | Standing::Suspended, Barred::Retiring) => Standing::Retiring,
            _ => return Err(Conflict::Contradiction),
        };
        Ok(())
    }

    /// What is watched of the device.
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The highest epoch that was ever offered, or that the device has signed for.
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Number of the last log entry about it.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The epoch of the next offer, for a device that says it has these, and a core that has this.
    pub(super) fn next_epoch(&self, visitor: &Visitor, core_epoch: u32) -> Option<u32> {
        let state = &visitor.state;
        let held = state.active.max(state.pending).unwrap_or_default();
        self.epoch.max(held).max(core_epoch).checked_add(1)
    }

    /// Where the line of receipts ends that the log has.
    pub const fn receipts(&self) -> Head {
        self.receipts
    }

    /// The transaction that is open.
    pub const fn open(&self) -> Option<&Deal> {
        self.open.as_ref()
    }

    /// When the device was heard of last, if it has signed that it has a new credential and owes its last word on it: the date
    /// on which that session began. A device comes back within its pauses, so a date long past is an alarm: it is lost, or
    /// somebody lets nothing of it through. It has service under the new credential all the same, if it was told to use it.
    ///
    /// Who does that gains nothing in mode S, where the core has let go of the old K by then. In mode N the core still lets the
    /// old SUPI in, because it may be the only one that the device uses; to end that without the device's word,
    /// [revoke](super::Task::revoke) it.
    pub fn unconfirmed_since(&self) -> Option<Date> {
        let deal = self.open.as_ref()?;
        matches!(deal.stage, Stage::Prepared | Stage::Committed).then(|| self.watch.since())
    }

    /// The credential that the device has signed for last.
    pub const fn active(&self) -> Option<&Credential> {
        self.active.as_ref()
    }

    /// What the core has still to forget.
    pub fn leftovers(&self) -> &[Leftover] {
        &self.leftovers
    }

    /// Whether the core has to forget something before anything new is issued.
    pub(super) const fn is_full(&self) -> bool {
        self.leftovers.len() >= MAX_LEFTOVERS
    }

    /// How the subscription stands.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whose the subscription is, and under which number, if the operator keeps that here.
    pub const fn association(&self) -> Option<&Association> {
        self.association.as_ref()
    }

    /// The next owner, if the device was released.
    pub const fn released(&self) -> Option<&Released> {
        self.released.as_ref()
    }

    /// What the operator would like the device to ask for.
    pub const fn wanted(&self) -> Option<Operation> {
        self.wanted
    }

    /// Whether the log may lack what the device and the core know: it was restored, and nothing that was offered since has
    /// ended.
    pub const fn restored(&self) -> bool {
        self.restored
    }

    /// Whether a person has looked, and the device was not here since.
    pub const fn cleaned(&self) -> bool {
        self.cleaned
    }

    /// The transaction that ended without a new credential, if none came after it.
    pub(super) const fn last_ended(&self) -> Option<(Txn, Event)> {
        self.ended
    }

    pub(super) fn is_active(&self, txn: &Txn) -> bool {
        self.active.as_ref().is_some_and(|active| active.txn == Some(*txn))
    }
}

fn add(leftovers: &mut Vec<Leftover>, Credential { supi, epoch, .. }: Credential) {
    match leftovers.iter_mut().find(|leftover| leftover.supi == supi) {
        Some(leftover) => leftover.epoch = leftover.epoch.max(epoch),
        None => leftovers.push(Leftover { supi, epoch }),
    }
}

impl Deal {
    /// Whether it is of this transaction.
    pub(super) fn is_about(&self, txn: &Txn) -> bool {
        self.credential.txn == Some(*txn)
    }

    fn is(&self, txn: &Txn, stage: Stage) -> bool {
        self.is_about(txn) && self.stage == stage
    }
}

impl From<&Offered> for Deal {
    fn from(offered: &Offered) -> Self {
        Self {
            operation: offered.operation,
            credential: Credential {
                txn: Some(offered.txn),
                supi: offered.supi.clone(),
                epoch: offered.epoch,
                package_hash: offered.package_hash,
                owner_epoch: offered.owner_epoch,
                voucher_head: Some(offered.voucher_head),
                grant: offered.grant,
                fingerprint: offered.fingerprint,
            },
            activation: offered.activation,
            previous: offered.previous,
            wrapped: Some(offered.wrapped.clone()),
            profile: offered.profile.clone(),
            stage: Stage::Offered,
        }
    }
}

impl From<&Recovered> for Credential {
    fn from(recovered: &Recovered) -> Self {
        let Recovered { txn, epoch, package_hash, owner_epoch, voucher_head, grant, fingerprint, .. } = *recovered;
        Self { txn, supi: recovered.supi.clone(), epoch, package_hash, owner_epoch, voucher_head, grant, fingerprint }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        Self::Declined(conflict.code())
    }
}
