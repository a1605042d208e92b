//! Time as an argument: moments for timers, and how long to wait for an answer.
//!
//! Nothing here reads a clock. The calendar is another matter: [`trust::Date`](crate::trust::Date).

/// Milliseconds since any fixed moment: for timers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment and `span` milliseconds.
    #[must_use]
    pub const fn after(self, span: u64) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Stop-and-wait: the pause doubles with each attempt, up to a minute.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Milliseconds to wait for the first answer.
    pub first: u64,
    /// How often to send a message before giving up.
    pub attempts: u8,
}

/// Longest pause between two transmissions, in milliseconds.
const MAX_PAUSE: u64 = 60_000;

impl Retry {
    /// Milliseconds to wait after attempt `attempt`, counted from 0.
    pub const fn pause(self, attempt: u8) -> u64 {
        let doublings = if attempt < 15 { attempt } else { 15 };
        let doubled = self.first.saturating_mul(1 << doublings);
        if doubled < MAX_PAUSE { doubled } else { MAX_PAUSE }
    }
}
