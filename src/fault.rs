//! Faults for the test of the tests: each is one rule of the two-phase commit left out, and `tests/exhaustive/faults.rs`
//! expects that the search finds it.
//!
//! They are there only when the compiler is told `--cfg seeded_faults` (`.ci/run faults` does that). This is no feature, so no
//! dependency can turn it on; without it [`is_seeded`] is `false` at compile time, and nothing of this is left.

#![cfg_attr(not(seeded_faults), allow(unreachable_pub, reason = "public where there are faults"))]

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A device uses at once what it was to prepare.
    SwitchesAtOffer,
    /// An operator takes a request that comes late for a new one.
    TakesOldRequests,
    /// An operator aborts when the core gave no clear answer, and does not read it back.
    AbortsUnread,
    /// A device erases the old credential when it is told to use the new one.
    ErasesAtDecision,
    /// An operator sends its offer before it is in the log.
    SendsBeforeLogging,
    /// A device with something prepared begins anew.
    BeginsAnew,
    /// A core begins its numbers again when it is given again what it has: the office of the search asks for this one.
    #[cfg(seeded_faults)]
    ResetsSqn,
}

#[cfg(seeded_faults)]
std::thread_local! {
    static SEEDED: core::cell::Cell<Option<Fault>> = const { core::cell::Cell::new(None) };
}

/// From now on this thread's machines have this fault.
#[cfg(seeded_faults)]
pub fn seed(fault: Fault) {
    SEEDED.set(Some(fault));
}

/// No machine of this thread has a fault any more.
#[cfg(seeded_faults)]
pub fn clear() {
    SEEDED.set(None);
}

/// Whether a machine has this fault.
#[cfg(seeded_faults)]
pub fn is_seeded(fault: Fault) -> bool {
    SEEDED.get() == Some(fault)
}

/// Whether a machine has this fault: none has.
#[cfg(not(seeded_faults))]
pub(crate) const fn is_seeded(_: Fault) -> bool {
    false
}
