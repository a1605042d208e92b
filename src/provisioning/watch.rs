//! One identity in two places: what an operator keeps of each device to notice it.
//!
//! ```text
//! Appraise ─▶ Account::admit(visitor) ─▶ Admitted: the account to store, by compare-and-set
//!                 │                        Stale: an old session that woke up; refuse it, nothing has happened
//!                 └─ Alarm ─▶ What::Quarantined ─▶ no credential until a person has looked
//! ```
//!
//! A device makes its request counter durable before it asks, and repeats none. So a counter that comes back, in a session
//! that began after the one with the higher counter did, means that there are two devices with one identity, or that one was set back
//! to an older state of its memory. The same goes for a device that says it lacks what it has signed for, and for one that
//! holds another voucher head than the one it accepted. Which of two devices is the true one cannot be told from here.
//!
//! When the session began matters: else whoever holds back a device's message_3 and lets it go later could have the device
//! put into quarantine. So the clocks of an operator's servers have to agree, to less than a device's first pause.

use serde::{Deserialize, Serialize};

use super::question::Visitor;
use crate::{
    crypto::Hash,
    error::Code,
    fault::{Fault, is_seeded},
    trust::Date,
};

/// What an operator keeps of a device to notice a second one; a part of its [`Account`](super::Account).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Watch {
    /// The highest request counter: request and retry.
    counter: (u32, u32),
    /// When the session that it came in began, in seconds since 1970.
    since: u64,
    /// Epoch of the credential that the device has signed for last; 0 before the first.
    epoch: u32,
    /// Owner epoch that it has signed for.
    owner_epoch: u32,
    /// The voucher head that belongs to it; `None` before the first, or if the log has lost it.
    #[serde(with = "serde_bytes")]
    head: Option<Hash>,
    quarantined: Option<Alarm>,
}

/// Why a device is not trusted any more: there is a second one, or an older state of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Its request counter went back: a clone, or a memory set back.
    #[error("request counter went back")]
    Counter,
    /// It lacks a credential or an owner that it has signed for: a clone made before, or a memory set back.
    #[error("device state went back")]
    State,
    /// It holds another voucher head in the same owner epoch: two owners, or two devices.
    #[error("two voucher heads in one owner epoch")]
    Heads,
    /// Its receipts do not follow from those that the log has: two devices, or a memory set back.
    #[error("two lines of receipts")]
    Receipts,
}

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An older session of the same device; the device has gone on since.
    #[error("an older session")]
    Stale,
    /// Quarantine, from now on.
    #[error("alarm: {0}")]
    Alarm(Alarm),
    /// In quarantine already.
    #[error("in quarantine: {0}")]
    Quarantined(Alarm),
}

impl Refusal {
    /// What the device is told.
    pub const fn code(self) -> Code {
        match self {
            Self::Stale => Code::TryLater,
            Self::Alarm(_) | Self::Quarantined(_) => Code::Quarantined,
        }
    }
}

impl Watch {
    /// Holds a request against what is known, and gives the row as it is to be with the request. `erased`: its last receipt
    /// says that it has no credential any more.
    pub(super) fn admit(&self, visitor: &Visitor, erased: bool) -> Result<Self, Refusal> {
        if let Some(alarm) = self.quarantined {
            return Err(Refusal::Quarantined(alarm));
        }
        let counter = (visitor.counter.request, visitor.counter.retry);
        if counter <= self.counter && !is_seeded(Fault::TakesOldRequests) {
            // Begun in the same second: the benefit of the doubt, and no credential.
            let before = visitor.since.0 <= self.since;
            return Err(if before { Refusal::Stale } else { Refusal::Alarm(Alarm::Counter) });
        }
        let state = &visitor.state;
        let behind = state.active.unwrap_or_default() < self.epoch && !erased;
        if behind || state.owner_epoch < self.owner_epoch {
            return Err(Refusal::Alarm(Alarm::State));
        }
        let is_known = self.head.is_some() || self.owner_epoch == 0;
        if state.owner_epoch == self.owner_epoch && is_known && self.head != state.voucher_head {
            return Err(Refusal::Alarm(Alarm::Heads));
        }
        Ok(Self { counter, since: visitor.since.0, owner_epoch: state.owner_epoch, head: state.voucher_head, ..*self })
    }

    /// A request was admitted.
    pub(super) const fn see(&mut self, counter: (u32, u32), since: u64) {
        self.counter = counter;
        self.since = since;
    }

    /// The device has signed for a credential of this epoch, in this owner epoch.
    pub(super) const fn confirm(&mut self, epoch: u32, owner_epoch: u32, head: Option<Hash>) {
        self.epoch = epoch;
        self.owner_epoch = owner_epoch;
        self.head = head;
    }

    /// The device has signed that it has no credential any more.
    pub(super) const fn erase(&mut self) {
        self.epoch = 0;
    }

    /// Nobody gets a credential for this device until a person has looked.
    pub(super) const fn quarantine(&mut self, alarm: Alarm) {
        self.quarantined = Some(alarm);
    }

    /// Whether this is the request that was admitted.
    pub(super) fn is_at(&self, visitor: &Visitor) -> bool {
        (self.counter, self.since) == ((visitor.counter.request, visitor.counter.retry), visitor.since.0)
    }

    /// Why it is in quarantine, if it is.
    pub const fn quarantined(&self) -> Option<Alarm> {
        self.quarantined
    }

    /// The owner epoch that the device was in last.
    pub(super) const fn owner_epoch(&self) -> u32 {
        self.owner_epoch
    }

    /// When the session began in which it was heard of last.
    pub(super) const fn since(&self) -> Date {
        Date(self.since)
    }

    /// The highest request counter: request and retry.
    pub const fn counter(&self) -> (u32, u32) {
        self.counter
    }
}
