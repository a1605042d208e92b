//! `findings.txt`: what is found, and why it is no leak.

use std::{collections::BTreeSet, fs, path::Path};

use crate::report::{Finding, Place};

/// The entries, as they are written but for the reason.
pub struct Findings(Vec<Place>);

impl Findings {
    /// Reads the file, which is beside `Cargo.toml`.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings.txt");
        let text = fs::read_to_string(path).expect("findings.txt");
        Self(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(entry).collect())
    }

    /// The entry that this is.
    pub fn place(&self, finding: &Finding) -> Option<usize> {
        self.0.iter().position(|entry| *entry == finding.place)
    }

    /// Entries that nothing is found of.
    pub fn unused(&self, used: &BTreeSet<usize>) -> impl Iterator<Item = &Place> {
        self.0.iter().enumerate().filter(|(number, _)| !used.contains(number)).map(|(_, entry)| entry)
    }
}

/// `file | the line | reason`; a line may hold ` | ` itself.
fn entry(text: &str) -> Place {
    let parts = text.split_once(" | ").and_then(|(file, rest)| Some((file, rest.rsplit_once(" | ")?)));
    let Some((file, (line, reason))) = parts else { panic!("findings.txt: {text}") };
    assert!(!reason.trim().is_empty(), "findings.txt: no reason: {text}");
    Place::Line { file: file.trim().into(), line: line.trim().into() }
}
