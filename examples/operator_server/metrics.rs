//! What a person who runs the server looks at: lines of `key=value` on stderr, with no secret and no SUPI among the values.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{fs, time::SystemTime};

/// Counted since the start.
#[derive(Default)]
pub(crate) struct Metrics {
    /// Datagrams that came, and those that there was no time for.
    pub(crate) received: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Sessions that began, and messages that went out in them.
    pub(crate) sessions: AtomicU64,
    pub(crate) answered: AtomicU64,
    /// Times that a device was asked to show that it receives.
    pub(crate) echoes: AtomicU64,
    /// Transactions that devices have signed for.
    pub(crate) activated: AtomicU64,
    /// Sessions that ended with a no, or were not understood.
    pub(crate) refused: AtomicU64,
    pub(crate) attached: AtomicU64,
    /// Steps that were taken again, because somebody was faster.
    pub(crate) again: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Steps that landed, transactions that they landed in, and microseconds in those.
    pub(crate) commits: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) commit_us: AtomicU64,
}

impl Metrics {
    pub(crate) fn line(&self) -> String {
        let counted = [
            ("received", &self.received),
            ("dropped", &self.dropped),
            ("sessions", &self.sessions),
            ("answered", &self.answered),
            ("echoes", &self.echoes),
            ("activated", &self.activated),
            ("refused", &self.refused),
            ("attached", &self.attached),
            ("again", &self.again),
            ("failed", &self.failed),
            ("commits", &self.commits),
            ("batches", &self.batches),
            ("commit_us", &self.commit_us),
        ];
        let counted = counted.map(|(name, value)| format!("{name}={}", value.load(Relaxed)));
        let (user, system) = cpu_ms();
        format!("{} user_ms={user} system_ms={system} memory_kib={}", counted.join(" "), memory_kib())
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Time that this process has computed, and the kernel for it, in milliseconds; 0 where there is no /proc.
fn cpu_ms() -> (u64, u64) {
    // The 14th and 15th field, in hundredths of a second; the name before them is in brackets and may have spaces.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default() * 10;
    (next(), next())
}

/// Resident memory, likewise.
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// One line of the log.
pub(crate) fn log(event: &str, details: &str) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    eprintln!("time={}.{:03} event={event} {details}", now.as_secs(), now.subsec_millis());
}
