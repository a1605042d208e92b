//! Replays `fuzz/corpus` through the doors that `cargo fuzz` knocks at: `fuzz/corpus/DOOR/*` goes through `DOOR`.
//!
//! A crash that a fuzzer found becomes a file there, and so a test for ever. The first files are honest messages and
//! stories, and stories with one lie each; `fuzz/examples/seeds.rs` writes them again after a message has changed its
//! form.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

#[path = "../fuzz/src/doors/mod.rs"]
mod doors;

fn corpus(door: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(door)
}

fn replay(door: &str, run: impl Fn(&[u8])) {
    let files: Vec<PathBuf> = fs::read_dir(corpus(door)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display()); // Shown if it fails.
        run(&fs::read(&file).unwrap());
    }
}

#[test]
fn wire() {
    replay("wire", doors::wire::run);
}

#[test]
fn trust() {
    replay("trust", doors::trust::run);
}

#[test]
fn device() {
    replay("device", doors::device::run);
}

#[test]
fn operator() {
    replay("operator", doors::operator::run);
}

#[test]
fn fragments() {
    replay("fragments", doors::fragments::run);
}

#[test]
fn link() {
    replay("link", doors::link::run);
}

#[test]
fn eap() {
    replay("eap", doors::eap::run);
}

#[test]
fn gate() {
    replay("gate", doors::gate::run);
}

/// All methods with all credential types, suite by suite: honest to the end, from the start and as a resumption.
#[test]
fn every_cast_plays_honestly() {
    for (method, naming) in (0..4).flat_map(|method| (0..3).map(move |naming| (method, naming))) {
        let suite = (method + naming) % 3;
        for plot in [0, 1] {
            let story = [method | naming << 2 | suite << 5, plot];
            doors::device::run(&story);
            doors::operator::run(&story);
        }
    }
}

/// What was recorded is what the machines say today.
#[test]
fn the_seeds_are_current() {
    for (door, name, bytes) in doors::seeds::seeds() {
        let file = corpus(door).join(name);
        assert!(fs::read(&file).is_ok_and(|held| held == bytes), "{} is not what seeds.rs makes", file.display());
    }
}
