//! One operation for a whole fleet: after a leak of keys, say, a new K for every device.
//!
//! ```text
//! Campaign::new(devices, pace)
//!   next(now) ─▶ Call(device)  log What::Wanted, and wake the device up in whatever way there is: it starts the operation
//!             ─▶ Wait(moment)  so that no more are under way than the pace allows
//!             ─▶ Stopped       too many have failed: a person looks, and lets it go on, or not
//!             ─▶ Done
//!   report(device, outcome)
//! ```
//!
//! One call for each device; what the device then does is between it and the [`Operator`](super::Operator) machine. A
//! campaign is a serde value: store it after each call, and it goes on after a restart. A device that was called twice is none
//! the worse for it.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{Millis, message::Operation};
use crate::error::{Code, Misuse};

/// How fast, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Devices under way at the same time, at least 1.
    pub at_once: u32,
    /// Milliseconds between two calls.
    pub interval: u64,
    /// Milliseconds after which a device that nobody has heard of counts as failed.
    pub patience: u64,
    /// Failures after which nobody else is called.
    pub failures: u32,
}

/// What became of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has signed for it.
    Done,
    /// It was refused, with the number of this [`Code`].
    Refused(u16),
    /// Nobody has heard of it.
    Silent,
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Self::Refused(code.number())
    }
}

/// A fleet on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    operation: Operation,
    pace: Pace,
    waiting: VecDeque<String>,
    /// Called, and when.
    under_way: BTreeMap<String, u64>,
    failed: Vec<(String, Outcome)>,
    done: u32,
    /// Failures that a person has looked at.
    forgiven: u32,
    last_call: Option<u64>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call this device.
    Call(String),
    /// Nobody before this moment, unless a report comes.
    Wait(Millis),
    /// Nobody else: too many have failed.
    Stopped,
    /// All have been called and heard of.
    Done,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Not called yet.
    pub waiting: usize,
    /// Called, and not heard of.
    pub under_way: usize,
    /// Finished well.
    pub done: u32,
    /// Finished otherwise.
    pub failed: usize,
}

impl Campaign {
    /// For these devices, by their names in the log, in this order; each once.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for a pace at which nobody is ever called, or an operation that ends with no new credential.
    pub fn new(operation: Operation, devices: impl IntoIterator<Item = String>, pace: Pace) -> Result<Self, Misuse> {
        if pace.at_once == 0 {
            return Err(Misuse::Parameter("a campaign calls at least one device at a time"));
        }
        if !operation.issues() {
            return Err(Misuse::Parameter("a campaign ends with a new credential"));
        }
        let mut known = alloc::collections::BTreeSet::new();
        let waiting = devices.into_iter().filter(|device| known.insert(device.clone())).collect();
        Ok(Self {
            operation,
            pace,
            waiting,
            under_way: BTreeMap::new(),
            failed: Vec::new(),
            done: 0,
            forgiven: 0,
            last_call: None,
        })
    }

    /// What devices are to ask for.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// What to do at this moment. Devices that have been silent for too long are given up.
    pub fn next(&mut self, now: Millis) -> Next {
        let overdue = |called: &u64| called.saturating_add(self.pace.patience) <= now.0;
        let silent: Vec<_> =
            self.under_way.iter().filter(|(_, called)| overdue(called)).map(|(device, _)| device.clone()).collect();
        silent.iter().for_each(|device| self.report(device, Outcome::Silent));

        let failures = u32::try_from(self.failed.len()).unwrap_or(u32::MAX).saturating_sub(self.forgiven);
        let at_once = usize::try_from(self.pace.at_once).unwrap_or(usize::MAX);
        let pause = self.last_call.map_or(0, |call| call.saturating_add(self.pace.interval));
        let given_up = self.under_way.values().min().map(|called| called.saturating_add(self.pace.patience));
        match (self.waiting.is_empty(), given_up) {
            (true, None) => Next::Done,
            _ if failures > self.pace.failures => Next::Stopped,
            (true, Some(moment)) => Next::Wait(Millis(moment)),
            (false, Some(moment)) if self.under_way.len() >= at_once => Next::Wait(Millis(moment)),
            _ if pause > now.0 => Next::Wait(Millis(pause)),
            _ => match self.waiting.pop_front() {
                Some(device) => {
                    self.last_call = Some(now.0);
                    self.under_way.insert(device.clone(), now.0);
                    Next::Call(device)
                }
                None => Next::Done,
            },
        }
    }

    /// What became of a device. One that is not under way is passed over; one that was given up and is heard of after all
    /// counts as what it is.
    pub fn report(&mut self, device: &str, outcome: Outcome) {
        let given_up = self.failed.iter().position(|(failed, outcome)| failed == device && *outcome == Outcome::Silent);
        if self.under_way.remove(device).is_none() {
            let Some(place) = given_up else { return };
            self.failed.remove(place);
            // Those that a person has looked at come first.
            if u32::try_from(place).is_ok_and(|place| place < self.forgiven) {
                self.forgiven = self.forgiven.saturating_sub(1);
            }
        }
        match outcome {
            Outcome::Done => self.done = self.done.saturating_add(1),
            Outcome::Refused(_) | Outcome::Silent => self.failed.push((String::from(device), outcome)),
        }
    }

    /// A person has looked at the failures so far, and it goes on.
    pub fn go_on(&mut self) {
        self.forgiven = u32::try_from(self.failed.len()).unwrap_or(u32::MAX);
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let (waiting, under_way) = (self.waiting.len(), self.under_way.len());
        Progress { waiting, under_way, done: self.done, failed: self.failed.len() }
    }

    /// Those that failed, and how.
    pub fn failed(&self) -> &[(String, Outcome)] {
        &self.failed
    }
}
