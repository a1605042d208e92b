//! What an operator does with a device that it knows: one table.
//!
//! ```text
//! the device shows   the log says        then
//! ────────────────   ─────────────────   ───────────────────────────────────────────────────────────────
//! nothing new        offered, one-shot   put into the core, then send the package
//! nothing new        offered             send the package
//! prepared           offered             log Prepared
//! prepared           prepared            put into the core; if it does not say yes, read it back
//!                                        it accepts the new K: log commit      it does not: log abort
//! prepared           committed           send commit
//! prepared           aborted             send abort
//! activated          not ended           put into the core (again), log Ended, send complete
//! aborted            not ended           log abort, log Ended, send complete
//! erased             barred              log Ended, send complete
//! has credentials    barred for good     bar them in the core (again), send erase
//! has nothing        barred, not taken   bar it in the core, log Ended
//! prepared, beside   barred for good     log Prepared, abort; send abort: there is nothing of its own to erase
//!  another's
//!
//! and if the log was restored, or a person has looked:
//! any of these       nothing of it       ask the core what is left of it: log Recovered, or abort
//! uses a credential  not ended           put into the core (again), log Ended, then as above
//! is past it         prepared, aborted   read the core, log abort, log Ended, then as above
//! ```
//!
//! [`Session::next`] is that table. It looks at the account, at what the device has signed and at what the core has said, and
//! at nothing else: whichever session comes next, on whichever server, goes on where the log is. The machine carries the
//! step out and comes back.

use alloc::{boxed::Box, string::ToString, vec::Vec};

use super::{Desk, offer::Entitled};
use crate::{
    aka::Output,
    credential::{Activation, Algorithm, Previous},
    crypto::{self, Crypto, Hash},
    edhoc::responder,
    error::{Backend, Code, Error, Misbehaved},
    fault::{Fault, is_seeded},
    identity::{Domain, Supi},
    provisioning::{
        account::{Account, Credential, Deal, Line, Stage},
        log::{Barred, LogEntry, Proof, Recovered, Seen, Signed, What},
        message::{Confirm, DeviceState, Operation, Order, Prepared, Standing, Verdict},
        question::{CoreCredential, Lost, UpTo, Visitor},
        receipt::{self, Event, Head, Receipt},
        record::Channel,
    },
    wire,
};

/// A device that was admitted.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) domain: Domain,
    pub(super) link: Link,
    pub(super) visitor: Visitor,
    pub(super) account: Account,
    /// Receipts that the log does not have yet.
    pub(super) proof: Option<Proof>,
    /// What the device's next receipt has to follow on.
    pub(super) line: Line,
    /// What the device has signed last about this transaction.
    pub(super) shown: Option<Receipt>,
    pub(super) core: Core,
    /// What it would get a credential on; until it is drawn up.
    pub(super) entitled: Option<Entitled>,
    pub(super) package: Option<Box<Sealed>>,
    /// What the device has to sign next.
    pub(super) expected: Option<Event>,
    /// The last word is out; what is left is clearing up.
    pub(super) over: bool,
    /// Credentials that the core has barred in this session.
    pub(super) barred: usize,
    /// The core has forgotten the first leftover, and the log does not know.
    pub(super) cleared: bool,
    /// What the device uses is another operator's.
    pub(super) foreign: bool,
    /// Steps that were carried out.
    pub(super) steps: u32,
}

/// Steps of a session, at most: no answer of the caller's keeps it going round. The longest way is a recovery and a decision,
/// some twelve.
const MAX_STEPS: u32 = 32;

/// How a session reaches the device.
#[derive(Debug)]
pub(super) enum Link {
    /// message_4 is still to come.
    Opening(Box<responder::Message3Accepted>),
    Open(Box<Channel>),
    /// Nothing more is said.
    Closed,
}

/// What the core has said in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Core {
    Silent,
    /// It was asked to accept the new K, and gave this answer; perhaps it does.
    Unsure(Code),
    Accepts,
    Lacks(Code),
    /// What it has of a transaction that the log lost.
    Recovered(Option<(Supi, Hash)>),
}

/// A package that is ready to go.
pub(super) struct Sealed {
    pub(super) package: Vec<u8>,
    pub(super) voucher: Option<Vec<u8>>,
    pub(super) xres: Output,
    /// The device gave another RES: it does not have this K.
    pub(super) refuted: bool,
}

/// Without XRES: nobody is to know it before the device has said it.
impl core::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealed").field("refuted", &self.refuted).finish_non_exhaustive()
    }
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    Issue,
    Log(Box<What>),
    Put,
    Read(UpTo),
    Recover(Lost),
    Bar(UpTo),
    Remove(UpTo),
    Package,
    Say(Order),
    Refuse(Code),
    End,
}

/// What the log says about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Open(Stage),
    Active,
    Ended(Event),
}

impl Session {
    /// The table.
    pub(super) fn step(&mut self, crypto: &dyn Crypto) -> Result<Step, Error> {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            return Ok(if self.over { Step::End } else { Step::Refuse(Code::Conflict) });
        }
        // It is not this operator's, and stays beside what the transaction is about: a transfer.
        let transfers = self.visitor.operation == Operation::Transfer || self.shown.is_some();
        if self.core == Core::Recovered(None) && transfers && self.unknown(crypto).is_some() {
            self.foreign = true;
            self.core = Core::Silent;
        }
        self.next(crypto)
    }

    fn next(&self, crypto: &dyn Crypto) -> Result<Step, Error> {
        if self.over {
            return self.clear();
        }
        if let Some(deal) = self.overtaken_deal(crypto) {
            // The core has a later one under that SUPI: this one was in use until then, and the log was restored.
            let later = self.core == Core::Lacks(Code::Conflict);
            return if later { self.end_of(deal) } else { self.activated(deal) };
        }
        if let Some(lost) = self.unknown(crypto) {
            return Ok(if self.account.restored() { self.found_again(lost) } else { Step::Refuse(Code::Conflict) });
        }
        if let Some(step) = self.lapsed(crypto)? {
            return Ok(step);
        }
        let anothers = self.uses_anothers(crypto);
        let Some(shown) = &self.shown else {
            return if self.is_barred_for_good() { self.erase(anothers) } else { Ok(self.wish(crypto)) };
        };
        // Beside another operator's credential there is nothing to erase: what was prepared is called off.
        let stays = anothers && matches!(shown.event, Event::Prepared | Event::Aborted);
        match (shown.event, self.known()) {
            (Event::Erased, known) => Ok(self.erased(known)),
            _ if self.is_barred_for_good() && !stays => self.erase(anothers),
            (Event::Prepared, known) => self.prepared(known, shown, crypto),
            (Event::Activated, Known::Open(stage)) if stage != Stage::Aborted => {
                self.activated(self.account.open().ok_or(Backend::Store)?)
            }
            (Event::Activated, Known::Active) | (Event::Aborted, Known::Ended(Event::Aborted)) => Ok(self.close()),
            // A person said that the device is to be taken as it is: with a credential that nobody knows any more.
            (Event::Activated, Known::Nothing) if self.account.cleaned() && self.core == Core::Recovered(None) => {
                Ok(self.close())
            }
            (Event::Activated, Known::Nothing) => self.recover(shown, crypto),
            // Nobody has told it to, says the log. If that was restored, the core does not have it.
            (Event::Aborted, Known::Open(Stage::Offered | Stage::Prepared)) => match self.core {
                Core::Silent => self.read(self.account.open().ok_or(Backend::Store)?),
                Core::Lacks(_) => Ok(self.decide(Verdict::Abort)),
                _ => Ok(Step::Refuse(Code::Conflict)),
            },
            (Event::Aborted, Known::Nothing) if self.may_lack() => Ok(self.decide(Verdict::Abort)),
            (Event::Aborted, Known::Open(Stage::Aborted)) => {
                Ok(Step::Log(Box::new(What::Ended(self.signed(&self.visitor.txn, Event::Aborted)))))
            }
            (Event::Activated | Event::Aborted, _) => Ok(Step::Refuse(Code::Conflict)),
        }
    }

    /// Nothing is signed yet: it is the operation that counts.
    fn wish(&self, crypto: &dyn Crypto) -> Step {
        match (&self.package, self.visitor.operation) {
            (Some(_), _) => match (self.account.open().map(|deal| deal.activation), self.core) {
                (Some(Activation::OneShot), Core::Silent) => Step::Put,
                (Some(Activation::OneShot), Core::Unsure(code)) => Step::Refuse(code),
                _ => Step::Package,
            },
            (None, Operation::Query) => self.close(),
            (None, Operation::Retire) => match self.account.active() {
                Some(active) if self.is_in_use(active, crypto) => retiring(),
                _ => Step::Refuse(Code::WrongOperation),
            },
            // It is in the middle of something, and shows nothing for it.
            (None, Operation::Resume) => Step::Refuse(Code::Conflict),
            (None, _) => self.may_issue(crypto).map_or_else(Step::Refuse, |()| Step::Issue),
        }
    }

    /// Whether the device can have a new credential, as far as the log goes.
    fn may_issue(&self, crypto: &dyn Crypto) -> Result<(), Code> {
        let Visitor { operation, state, .. } = &self.visitor;
        if self.account.standing() == Standing::Suspended {
            return Err(Code::Suspended);
        }
        if self.account.is_full() {
            return Err(Code::TryLater);
        }
        // One transaction, one credential: what has ended does not begin again, unless nothing had come of it.
        let ended = !matches!(self.known(), Known::Nothing | Known::Open(Stage::Offered) | Known::Ended(Event::Erased));
        if ended && !self.account.cleaned() {
            return Err(Code::Conflict);
        }
        let has = match (operation, state.active, self.account.active()) {
            _ if state.pending.is_some() => return Err(Code::WrongOperation),
            (Operation::Provision | Operation::OnDemand, None, None) => true,
            (Operation::Rekey | Operation::Reassociate | Operation::OnDemand, Some(_), Some(active)) => {
                self.is_in_use(active, crypto)
            }
            (Operation::Transfer, Some(_), None) => true,
            // A person said that the device is to be taken as it is.
            (Operation::Provision, None, Some(_))
            | (Operation::Rekey, Some(_), None)
            | (Operation::Transfer, Some(_), Some(_)) => self.account.cleaned() || self.foreign,
            _ => return Err(Code::WrongOperation),
        };
        // Something is prepared, says the log, and the device says that nothing is.
        let untaken = self.account.open().is_none_or(|deal| deal.stage == Stage::Offered);
        // But if the log was restored, it may have given that back since, or be back from another operator.
        let gone = self.foreign || (self.account.restored() && self.account.active().is_none());
        let free = untaken || gone;
        if (has && free) || self.account.cleaned() { Ok(()) } else { Err(Code::Conflict) }
    }

    /// Whether this operator has not handed the device on; or has got it back since.
    pub(super) fn may_own(&self, entitled: &Entitled) -> bool {
        let epoch = entitled.shown.owner_epoch(&self.visitor.state);
        self.account.released().is_none_or(|released| epoch > released.owner_epoch)
    }

    /// Whether the device uses this credential.
    fn is_in_use(&self, credential: &Credential, crypto: &dyn Crypto) -> bool {
        let hash = read(&credential.supi).map(|supi| receipt::supi_hash(&self.visitor.txn, &supi, crypto));
        self.visitor.state.active == Some(credential.epoch) && self.visitor.state.supi_hash == hash.ok()
    }

    /// What becomes of the device's credential beside one with this SUPI.
    pub(super) fn previous(&self, supi: &Supi, crypto: &dyn Crypto) -> Previous {
        let same = Some(receipt::supi_hash(&self.visitor.txn, supi, crypto));
        match &self.visitor.state {
            state if state.active.is_none() => Previous::None,
            state if state.supi_hash == same => Previous::Shared,
            _ => Previous::Beside,
        }
    }

    /// Whether the device may know of more than the log does: else what it says without a signature counts for nothing.
    const fn may_lack(&self) -> bool {
        self.account.restored() || self.account.cleaned()
    }

    /// A transaction that is open, and the device has it behind it: the log has lost its last word.
    fn overtaken_deal(&self, crypto: &dyn Crypto) -> Option<&Deal> {
        if !self.may_lack() {
            return None;
        }
        let overtaken = |deal: &&Deal| {
            let other = !deal.is_about(&self.visitor.txn);
            other && deal.stage != Stage::Aborted && self.is_in_use(&deal.credential, crypto)
        };
        self.account.open().filter(overtaken)
    }

    /// A transaction that was called off, and the log has lost that: the device is past it, and does not have it.
    fn lapsed(&self, crypto: &dyn Crypto) -> Result<Option<Step>, Error> {
        // It still uses the one before: so that one was not replaced, and this one is not wanted.
        let before = self.account.active().is_some_and(|active| self.is_in_use(active, crypto));
        let past = before && self.visitor.state.pending.is_none() && self.account.restored();
        let deal = self.account.open().filter(|deal| past && !deal.is_about(&self.visitor.txn));
        let Some((deal, txn)) = deal.and_then(|deal| Some((deal, deal.credential.txn?))) else { return Ok(None) };
        Ok(match (deal.stage, self.core) {
            (Stage::Prepared, Core::Silent) => Some(self.read(deal)?),
            (Stage::Prepared, Core::Lacks(_)) => {
                Some(Step::Log(Box::new(What::Decided { txn, verdict: Verdict::Abort })))
            }
            (Stage::Prepared, _) => Some(Step::Refuse(Code::Conflict)),
            (Stage::Aborted, _) => Some(Step::Log(Box::new(What::Ended(self.signed(&txn, Event::Aborted))))),
            (Stage::Offered | Stage::Committed, _) => None,
        })
    }

    /// The credential that the device says it uses, if the log knows nothing of it.
    fn unknown(&self, crypto: &dyn Crypto) -> Option<Lost> {
        let Visitor { state, txn, operation, .. } = &self.visitor;
        // What it has signed since is what counts.
        let signed = self.shown.as_ref().map(|shown| shown.event);
        let signed = matches!(signed, Some(Event::Activated | Event::Erased));
        let deal = self.account.open().filter(|deal| deal.is_about(txn)).map(|deal| deal.operation);
        let transfer = *operation == Operation::Transfer || deal == Some(Operation::Transfer);
        // A device comes with what another operator has given it.
        let others = self.account.active().is_none() && (transfer || !self.account.restored());
        let known = self.account.active().is_some_and(|active| self.is_in_use(active, crypto));
        let (epoch, supi_hash) = state.active.zip(state.supi_hash)?;
        let unknown =
            !known && !signed && !others && !self.foreign && self.package.is_none() && !self.account.cleaned();
        unknown.then(|| Lost { device: self.visitor.device.device_id(), txn: *txn, epoch, supi_hash })
    }

    /// The core has it, and so it is the device's.
    fn found_again(&self, lost: Lost) -> Step {
        let DeviceState { owner_epoch, voucher_head, package_hash, .. } = self.visitor.state;
        match (self.core, package_hash) {
            (Core::Recovered(Some((supi, fingerprint))), Some(package_hash)) => {
                Step::Log(Box::new(What::Recovered(Recovered {
                    txn: None,
                    event: Event::Activated,
                    supi: supi.as_str().to_string(),
                    epoch: lost.epoch,
                    package_hash,
                    owner_epoch,
                    voucher_head,
                    grant: None,
                    fingerprint,
                    request: self.seen(),
                    proof: self.proof(),
                })))
            }
            (Core::Recovered(_), _) => Step::Refuse(Code::Conflict),
            _ => Step::Recover(lost),
        }
    }

    fn prepared(&self, known: Known, shown: &Receipt, crypto: &dyn Crypto) -> Result<Step, Error> {
        Ok(match known {
            Known::Open(Stage::Offered | Stage::Prepared) if self.is_refuted() => self.decide(Verdict::Abort),
            Known::Open(Stage::Offered) => {
                Step::Log(Box::new(What::Prepared(self.signed(&self.visitor.txn, Event::Prepared))))
            }
            Known::Open(Stage::Prepared) if self.is_barred_for_good() => self.decide(Verdict::Abort),
            Known::Open(Stage::Prepared) => match self.core {
                Core::Accepts => self.decide(Verdict::Commit),
                Core::Unsure(_) if is_seeded(Fault::AbortsUnread) => self.decide(Verdict::Abort),
                Core::Unsure(_) => self.read(self.account.open().ok_or(Backend::Store)?)?,
                Core::Lacks(_) => self.decide(Verdict::Abort),
                _ => Step::Put,
            },
            Known::Open(Stage::Committed) | Known::Active => Step::Say(Order::Commit),
            Known::Open(Stage::Aborted) | Known::Ended(Event::Aborted) => Step::Say(Order::Abort),
            Known::Nothing => self.recover(shown, crypto)?,
            Known::Ended(_) => Step::Refuse(Code::Conflict),
        })
    }

    /// Whether the device has shown that it has another K.
    fn is_refuted(&self) -> bool {
        self.package.as_ref().is_some_and(|package| package.refuted)
    }

    /// The device uses the credential of this transaction.
    fn activated(&self, deal: &Deal) -> Result<Step, Error> {
        Ok(match self.core {
            // Not there to be put again: it came from the core.
            _ if deal.wrapped.is_none() => self.end_of(deal)?,
            Core::Accepts => self.end_of(deal)?,
            Core::Unsure(_) => self.read(deal)?,
            Core::Lacks(code) => Step::Refuse(code),
            _ => Step::Put,
        })
    }

    fn end_of(&self, deal: &Deal) -> Result<Step, Error> {
        let txn = deal.credential.txn.ok_or(Backend::Store)?;
        Ok(Step::Log(Box::new(What::Ended(self.signed(&txn, Event::Activated)))))
    }

    /// The device has nothing any more. It only does that when it is told to: if the log does not know, it was restored.
    fn erased(&self, known: Known) -> Step {
        match self.account.standing() {
            _ if known == Known::Ended(Event::Erased) => self.close(),
            Standing::InService | Standing::Suspended => retiring(),
            _ => Step::Log(Box::new(What::Ended(self.signed(&self.visitor.txn, Event::Erased)))),
        }
    }

    fn is_barred_for_good(&self) -> bool {
        matches!(self.account.standing(), Standing::RevokedUnreachable | Standing::Revoked | Standing::Retiring)
    }

    /// Whether what the device uses is none of this account's: it is being transferred, and still with its donor.
    fn uses_anothers(&self, crypto: &dyn Crypto) -> bool {
        let own = self.account.open().is_some_and(|deal| self.is_in_use(&deal.credential, crypto));
        self.visitor.state.active.is_some() && self.account.active().is_none() && !own
    }

    /// Nothing is erased that the core might still accept.
    fn erase(&self, anothers: bool) -> Result<Step, Error> {
        let open = self.account.open().map(|deal| &deal.credential);
        let mut credentials = self.account.active().into_iter().chain(open).peekable();
        let nothing = (self.visitor.state.active.is_none() || anothers) && self.visitor.state.pending.is_none();
        // It was offered one and has not taken it, as when another offer is made; or given it back since, and a restored log
        // does not know. Or it has signed for more than it has; but a person has looked.
        let open = self.account.open().is_some_and(|deal| deal.stage == Stage::Offered || self.account.restored());
        let untaken = open && self.account.active().is_none();
        let as_it_is = untaken || self.account.cleaned();
        // What the device has is not this operator's.
        let holds = credentials.peek().is_some();
        Ok(match (credentials.nth(self.barred), self.core) {
            _ if !holds || (nothing && !as_it_is) => Step::Refuse(Code::Revoked),
            (_, Core::Unsure(code)) => Step::Refuse(code),
            (Some(credential), _) => Step::Bar(up_to(&credential.supi, credential.epoch)?),
            (None, _) if nothing => Step::Log(Box::new(What::Ended(self.signed(&self.visitor.txn, Event::Erased)))),
            (None, _) => Step::Say(Order::Erase),
        })
    }

    /// Nothing is open: what was handed in is logged, and acknowledged.
    fn close(&self) -> Step {
        match &self.proof {
            Some(proof) => Step::Log(Box::new(What::Received(proof.clone()))),
            None => Step::Say(Order::Complete),
        }
    }

    /// What the core does not forget now, it is asked to forget the next time.
    fn clear(&self) -> Result<Step, Error> {
        Ok(match self.account.leftovers().first() {
            Some(leftover) if self.cleared => Step::Log(Box::new(What::Cleared(leftover.clone()))),
            Some(leftover) if !matches!(self.core, Core::Unsure(_)) => {
                Step::Remove(up_to(&leftover.supi, leftover.epoch)?)
            }
            _ => Step::End,
        })
    }

    fn decide(&self, verdict: Verdict) -> Step {
        Step::Log(Box::new(What::Decided { txn: self.visitor.txn, verdict }))
    }

    fn read(&self, deal: &Deal) -> Result<Step, Error> {
        Ok(Step::Read(up_to(&deal.credential.supi, deal.credential.epoch)?))
    }

    fn recover(&self, shown: &Receipt, crypto: &dyn Crypto) -> Result<Step, Error> {
        let Receipt { txn, event, supi_hash, epoch, package_hash, owner_epoch, grant, .. } = *shown;
        if !self.may_lack() {
            return Ok(Step::Refuse(Code::Conflict));
        }
        Ok(match self.core {
            Core::Recovered(Some((supi, _))) if receipt::supi_hash(&txn, &supi, crypto) != supi_hash => {
                return Err(crate::error::Misuse::Parameter("the SUPI is not that of the lost transaction").into());
            }
            Core::Recovered(Some((supi, fingerprint))) => Step::Log(Box::new(What::Recovered(Recovered {
                txn: Some(txn),
                event,
                supi: supi.as_str().to_string(),
                epoch,
                package_hash,
                owner_epoch,
                // What is only prepared may be of the next owner.
                voucher_head: self.visitor.state.voucher_head.filter(|_| event == Event::Activated),
                grant,
                fingerprint,
                request: self.seen(),
                proof: self.proof(),
            }))),
            Core::Recovered(None) if event == Event::Prepared => self.decide(Verdict::Abort),
            Core::Recovered(None) => Step::Refuse(Code::Conflict),
            _ => Step::Recover(Lost { device: self.visitor.device.device_id(), txn, epoch, supi_hash }),
        })
    }

    // ------------------------------------------------------------------------------------------ what it knows

    fn known(&self) -> Known {
        let txn = &self.visitor.txn;
        let lost = self.shown.as_ref().is_some_and(|shown| self.is_behind(shown));
        match (self.account.open(), self.account.last_ended()) {
            (Some(deal), _) if deal.is_about(txn) && (deal.stage == Stage::Aborted || !lost) => Known::Open(deal.stage),
            _ if self.account.is_active(txn) => Known::Active,
            (_, Some((ended, event))) if ended == *txn => Known::Ended(event),
            _ => Known::Nothing,
        }
    }

    /// Whether the log was restored: what it says of this transaction is about an earlier offer.
    fn is_behind(&self, shown: &Receipt) -> bool {
        self.account.restored() && shown.epoch > self.account.epoch()
    }

    /// The credential that this transaction is about.
    fn credential(&self) -> Option<&Credential> {
        let open = self.account.open().map(|deal| &deal.credential);
        open.into_iter().chain(self.account.active()).find(|credential| credential.txn == Some(self.visitor.txn))
    }

    pub(super) fn seen(&self) -> Seen {
        let Visitor { counter, since, .. } = &self.visitor;
        Seen { counter: (counter.request, counter.retry), since: since.0 }
    }

    fn signed(&self, txn: &[u8; 16], event: Event) -> Signed {
        Signed { txn: *txn, event, request: self.seen(), proof: self.proof() }
    }

    fn proof(&self) -> Proof {
        self.proof.clone().unwrap_or_else(|| Proof { receipts: Vec::new(), head: self.account.receipts() })
    }

    /// What the device has signed up to, and the log has.
    pub(super) const fn acknowledged(&self) -> u64 {
        self.account.receipts().sequence
    }

    // ------------------------------------------------------------------------------------------ what it is told

    /// An entry is durable.
    pub(super) fn logged(&mut self, entry: &LogEntry, crypto: &dyn Crypto) -> Result<(), Error> {
        self.account.apply(entry, crypto)?;
        match &entry.what {
            What::Prepared(_) | What::Ended(_) | What::Recovered(_) | What::Received(_) => self.proof = None,
            What::Cleared(_) => self.cleared = false,
            _ => {}
        }
        // What the core has said was about another credential.
        if matches!(entry.what, What::Offered(_) | What::Ended(_) | What::Recovered(_)) {
            self.core = Core::Silent;
        }
        Ok(())
    }

    /// The core has said which K it accepts; before, it answered the new one with `code`.
    pub(super) fn compared(&self, fingerprint: Option<Hash>, code: Code) -> Core {
        let wanted = self.account.open().map(|deal| deal.credential.fingerprint);
        if wanted.is_some() && wanted == fingerprint { Core::Accepts } else { Core::Lacks(code) }
    }

    /// What the core is to accept.
    pub(super) fn core_credential(&self, desk: &Desk<'_>) -> Result<CoreCredential, Error> {
        let Deal { credential, wrapped, profile, .. } = self.account.open().ok_or(Backend::Store)?;
        let wrapped = wrapped.as_ref().ok_or(Backend::Store)?;
        Ok(CoreCredential {
            device: self.visitor.device.device_id(),
            supi: read(&credential.supi)?,
            epoch: credential.epoch,
            algorithm: Algorithm::Milenage,
            secrets: desk.storage.unwrap(wrapped, &credential.package_hash, desk.crypto)?,
            profile: profile.as_deref().cloned(),
        })
    }

    // ------------------------------------------------------------------------------------------ what it is shown

    /// Takes in the last of the receipts that came with the request, if it is about this transaction.
    pub(super) fn resume(&mut self, receipts: Vec<Receipt>, crypto: &dyn Crypto) -> Result<(), Code> {
        let Some(last) = receipts.into_iter().next_back().filter(|last| last.txn == self.visitor.txn) else {
            return Ok(());
        };
        let state = &self.visitor.state;
        // And it is where the device stands.
        let stands = match last.event {
            Event::Activated => (state.active, state.owner_epoch) == (Some(last.epoch), last.owner_epoch),
            Event::Prepared => state.pending == Some(last.epoch),
            Event::Aborted => state.pending.is_none(),
            Event::Erased => state.active.is_none() && state.pending.is_none(),
        };
        // And it belongs to the owner that the device says it has.
        let head = self.credential().and_then(|credential| credential.voucher_head);
        let owned = last.event != Event::Activated || head.is_none() || head == state.voucher_head;
        let known = owned && self.fits(&last, crypto);
        if last.domain != self.domain || !stands || !(known || self.is_behind(&last)) {
            return Err(Code::Conflict);
        }
        self.shown = Some(last);
        Ok(())
    }

    /// Takes in a record: prepared, or confirm.
    pub(super) fn record(&mut self, text: &[u8], crypto: &dyn Crypto) -> Result<(), Error> {
        let confirm = if self.expected == Some(Event::Prepared) {
            let Prepared { txn, res, receipt } = wire::decode(text)?;
            Confirm { txn, res: Some(res), receipt }
        } else {
            wire::decode(text)?
        };
        if confirm.txn != self.visitor.txn {
            return Err(Misbehaved::WrongTransaction.into());
        }
        let shown = Receipt::verify(confirm.receipt, self.visitor.device.public_key(), crypto)?;
        let known = self.line.sequence.map(|last| last.saturating_add(1));
        let follows = shown.previous == self.line.hash
            && known.map_or(shown.sequence > self.acknowledged(), |sequence| shown.sequence == sequence);
        // Of a transaction that the log has lost, what the device showed first is what counts.
        let lost = self.shown.as_ref().filter(|first| self.is_behind(first) && shown.event != Event::Erased);
        let fits = lost.map_or_else(|| self.fits(&shown, crypto), |first| shown.is_about_the_same(first));
        if !follows || Some(shown.event) != self.expected || !fits {
            return Err(Misbehaved::WrongReceipt.into());
        }
        self.answered(confirm.res)?;
        let hash = Some(crypto.sha256(&[confirm.receipt]));
        self.line = Line { sequence: Some(shown.sequence), hash };
        let proof = self.proof.get_or_insert_with(|| Proof { receipts: Vec::new(), head: Head::default() });
        proof.receipts.push(confirm.receipt.to_vec().into());
        proof.head = Head { sequence: shown.sequence, hash };
        self.shown = Some(shown);
        Ok(())
    }

    /// RES, where it is the first answer to the activation challenge.
    fn answered(&mut self, res: Option<&[u8]>) -> Result<(), Error> {
        let first = match self.account.open() {
            Some(deal) if deal.stage == Stage::Offered => {
                self.package.as_mut().map(|package| (package, deal.activation))
            }
            _ => None,
        };
        match (first, res) {
            (None, None) => Ok(()),
            (Some((package, _)), Some(res)) if crypto::equal(res, package.xres.bytes()) => Ok(()),
            // Nobody uses it yet: it is let go in order.
            (Some((package, Activation::TwoPhase)), Some(_)) => {
                package.refuted = true;
                Ok(())
            }
            _ => Err(Misbehaved::WrongReceipt.into()),
        }
    }

    /// Whether a receipt is about what this transaction offered, as far as the log knows.
    fn fits(&self, receipt: &Receipt, crypto: &dyn Crypto) -> bool {
        let Receipt { domain, txn, supi_hash, epoch, package_hash, owner_epoch, grant, .. } = receipt;
        let about = match self.credential() {
            Some(credential) if receipt.event != Event::Erased => {
                let hash = read(&credential.supi).map(|supi| receipt::supi_hash(txn, &supi, crypto));
                hash.is_ok_and(|hash| hash == *supi_hash)
                    && (credential.epoch, &credential.package_hash) == (*epoch, package_hash)
                    && (credential.owner_epoch, &credential.grant) == (*owner_epoch, grant)
            }
            _ => true,
        };
        about && (*domain, *txn) == (self.domain, self.visitor.txn)
    }
}

/// The device gives it back, or has.
fn retiring() -> Step {
    Step::Log(Box::new(What::Barred(Barred::Retiring)))
}

fn up_to(supi: &str, epoch: u32) -> Result<UpTo, Backend> {
    Ok(UpTo { supi: read(supi)?, epoch })
}

/// A SUPI of the log.
pub(super) fn read(supi: &str) -> Result<Supi, Backend> {
    supi.parse().map_err(|_| Backend::Store)
}
