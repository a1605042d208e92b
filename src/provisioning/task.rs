//! What an operator does by itself: bar, admit again, revoke, hand on.
//!
//! ```text
//! suspend      bar in the core ─▶ log Barred(suspended)
//! reinstate    log Reinstated ──▶ admit to the core
//! revoke       bar in the core ─▶ log Barred(revoked): REVOKED_UNREACHABLE until the device signs that all is gone
//! associate    log Associated: the device is wanted to re-associate, and gets a new K
//! hand on      log Released: nothing more is issued
//! handed on    the device's receipt ─▶ bar ─▶ log Transferred ─▶ remove from the core ─▶ log Cleared
//! clear        remove from the core what nobody needs ─▶ log Cleared
//! ```
//!
//! The device may sleep. A [`Task`] is a list of [`Question`]s, asked in this order, each when the one before was answered
//! with a yes; the account that they are made from is the caller's latest. A task that stopped anywhere, for a no or a crash,
//! is made again from the account as it is then, and does what is left.

use alloc::{
    boxed::Box,
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    account::{Account, Conflict},
    log::{Barred, Leftover, LogEntry, Released, What},
    message::Standing,
    question::{Answer, Question, UpTo},
    receipt::{Event, Receipt},
};
use crate::{
    authority::Association,
    crypto::{Crypto, Hash, PublicKey},
    error::{Backend, Code, Error, Misbehaved, Misuse},
    identity::{DeviceId, Domain},
};

/// Something that an operator does about one device.
#[derive(Clone, Debug)]
pub struct Task {
    device: String,
    account: Account,
    steps: VecDeque<Step>,
    /// The entry that was asked to be logged, and is not yet.
    logging: Option<LogEntry>,
    asked: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Bar(UpTo),
    Admit(UpTo),
    Remove(UpTo),
    Log(Box<What>),
}

impl Task {
    fn new(device: &DeviceId, account: &Account, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            device: device.to_string(),
            account: account.clone(),
            steps: steps.into_iter().collect(),
            logging: None,
            asked: false,
        }
    }

    /// Bars a subscription for a while. The device keeps what it has.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if it is not in service.
    pub fn suspend(device: &DeviceId, account: &Account) -> Result<Self, Error> {
        match account.standing() {
            Standing::InService => Self::bar(device, account, Barred::Suspended),
            _ => Err(Misuse::NotNow("the subscription is not in service").into()),
        }
    }

    /// Ends a suspension; or lets a device that was revoked be provisioned anew.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if it is neither suspended, nor revoked with nothing left on the device.
    pub fn reinstate(device: &DeviceId, account: &Account) -> Result<Self, Error> {
        let log = match account.standing() {
            Standing::Suspended | Standing::Revoked => Some(Step::Log(Box::new(What::Reinstated))),
            // The log was first, and the core may not know.
            Standing::InService => None,
            _ => return Err(Misuse::NotNow("there is nothing to reinstate").into()),
        };
        // Whatever was barred under it: also what was on its way then, and has come to nothing since.
        let admit = supis(account)?.into_iter().map(|it| Step::Admit(UpTo { epoch: account.epoch(), ..it }));
        Ok(Self::new(device, account, log.into_iter().chain(admit)))
    }

    /// Ends a subscription for good. The device is told at its next contact.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if it is revoked already.
    pub fn revoke(device: &DeviceId, account: &Account) -> Result<Self, Error> {
        match account.standing() {
            Standing::RevokedUnreachable | Standing::Revoked => {
                Err(Misuse::NotNow("the subscription is revoked already").into())
            }
            _ => Self::bar(device, account, Barred::Revoked),
        }
    }

    fn bar(device: &DeviceId, account: &Account, barred: Barred) -> Result<Self, Error> {
        let bar = supis(account)?.into_iter().map(Step::Bar);
        Ok(Self::new(device, account, bar.chain([Step::Log(Box::new(What::Barred(barred)))])))
    }

    /// Puts a subscription into other hands, or under another number: see
    /// [`association`](crate::authority::association).
    pub fn associate(device: &DeviceId, account: &Account, association: Association) -> Self {
        Self::new(device, account, [Step::Log(Box::new(What::Associated(association)))])
    }

    /// Hands a device on to another operator, whose key has this thumbprint: before the voucher's next entry, which
    /// names it under this owner epoch, leaves the house.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if the owner epoch does not grow.
    pub fn hand_on(device: &DeviceId, account: &Account, next: Hash, owner_epoch: u32) -> Result<Self, Error> {
        if owner_epoch <= account.watch().owner_epoch() {
            return Err(Misuse::Parameter("owner epochs only grow").into());
        }
        Ok(Self::new(device, account, [Step::Log(Box::new(What::Released(Released { next, owner_epoch })))]))
    }

    /// Lets go of a device that was handed on: `receipt` is the one that its new operator has of it, signed by the device's
    /// key. Afterwards, [`Retirement`](crate::authority::Retirement) says so to the new operator.
    ///
    /// A device that was [taken over](crate::authority::takeover) is [handed on](Task::hand_on) first, whatever the donor
    /// thinks of it: to the key that the takeover names, and the owner epoch that the receipt has.
    ///
    /// # Errors
    /// [`Misbehaved::WrongReceipt`] if it tells of anything else than a credential of the next owner in use;
    /// [`Untrusted`](crate::error::Untrusted), [`Malformed`](crate::error::Malformed); [`Misuse::NotNow`] if the device was not
    /// handed on.
    pub fn handed_on(
        device: &DeviceId,
        account: &Account,
        receipt: &[u8],
        (key, domain): (&PublicKey, Domain),
        crypto: &dyn Crypto,
    ) -> Result<Self, Error> {
        let released = account.released().ok_or(Misuse::NotNow("the device was not handed on"))?;
        let Receipt { event, owner_epoch, domain: of, .. } = Receipt::verify(receipt, key, crypto)?;
        if (event, owner_epoch, of) != (Event::Activated, released.owner_epoch, domain) {
            return Err(Misbehaved::WrongReceipt.into());
        }
        let supis = supis(account)?;
        let bar = supis.iter().copied().map(Step::Bar);
        let log = Step::Log(Box::new(What::Transferred { owner_epoch, receipt: receipt.to_vec() }));
        let remove = supis.iter().copied().flat_map(removed);
        Ok(Self::new(device, account, bar.chain([log]).chain(remove)))
    }

    /// Lets the core forget what nobody needs any more, where a session did not get to it.
    ///
    /// # Errors
    /// [`Backend::Store`] if the account is damaged.
    pub fn clear(device: &DeviceId, account: &Account) -> Result<Self, Error> {
        let leftovers = account.leftovers().iter().map(|it| up_to(&it.supi, it.epoch));
        let leftovers = leftovers.collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(device, account, leftovers.into_iter().flat_map(removed)))
    }

    /// The next question; `None` when the last one has still to be answered, or the task is done.
    pub fn poll(&mut self) -> Option<Question> {
        if self.asked {
            return None;
        }
        let question = match self.steps.front()?.clone() {
            Step::Bar(what) => Question::BarInCore(what),
            Step::Admit(what) => Question::AdmitToCore(what),
            Step::Remove(what) => Question::RemoveFromCore(what),
            Step::Log(what) => {
                let entry = self.account.entry(&self.device, *what);
                self.logging = Some(entry.clone());
                Question::Log(entry.into())
            }
        };
        self.asked = true;
        Some(question)
    }

    /// Whether there is nothing left to do.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    /// Goes on with the answer to the question asked last.
    ///
    /// # Errors
    /// [`Error::Declined`] if it was a no: make the task again later, from the account as it is then. [`Misuse::NotNow`] for an
    /// answer to something else.
    pub fn answer(&mut self, answer: Answer, crypto: &dyn Crypto) -> Result<(), Error> {
        let result = match (self.steps.front(), answer) {
            (Some(Step::Log(_)), Answer::Logged(result)) if self.asked => result,
            (Some(Step::Bar(_) | Step::Admit(_) | Step::Remove(_)), Answer::CoreReady(result)) if self.asked => result,
            _ => return Err(Misuse::NotNow("this question was not asked").into()),
        };
        self.asked = false;
        result.map_err(|code: Code| Error::Declined(code))?;
        if let Some(entry) = self.logging.take() {
            self.account.apply(&entry, crypto).map_err(|conflict: Conflict| Error::Declined(conflict.code()))?;
        }
        self.steps.pop_front();
        Ok(())
    }
}

fn removed(what: UpTo) -> [Step; 2] {
    let UpTo { supi, epoch } = what;
    let cleared = Leftover { supi: supi.as_str().to_string(), epoch };
    [Step::Remove(what), Step::Log(Box::new(What::Cleared(cleared)))]
}

/// All that the core may know of a device, each SUPI once.
fn supis(account: &Account) -> Result<Vec<UpTo>, Backend> {
    let open = account.open().map(|deal| &deal.credential);
    let mut supis: Vec<UpTo> = Vec::new();
    for credential in account.active().into_iter().chain(open) {
        let what = up_to(&credential.supi, credential.epoch)?;
        match supis.iter_mut().find(|known| known.supi == what.supi) {
            Some(known) => known.epoch = known.epoch.max(what.epoch),
            None => supis.push(what),
        }
    }
    Ok(supis)
}

fn up_to(supi: &str, epoch: u32) -> Result<UpTo, Backend> {
    Ok(UpTo { supi: supi.parse().map_err(|_| Backend::Store)?, epoch })
}
