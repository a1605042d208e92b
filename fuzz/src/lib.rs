//! The doors for libFuzzer. `tests/corpus.rs` of the main crate includes the same files and replays the corpora.

mod doors;

/// Lets `data` in at a door of `doors/mod.rs`.
///
/// # Panics
/// If something bad happened, or there is no such door.
pub fn open(door: &str, data: &[u8]) {
    let (_, run) = doors::DOORS.iter().find(|(name, _)| *name == door).expect("a door of this name");
    run(data);
}

/// The seeds of `corpus/`: door, file name, content.
pub fn seeds() -> Vec<doors::seeds::Seed> {
    doors::seeds::seeds()
}
