//! Replays `fuzz/corpus` through the doors that `cargo fuzz` knocks at: `fuzz/corpus/DOOR/*` goes through `DOOR`.
//!
//! In there are seeds with names (honest messages, published vectors, recorded runs, stories with one fault each), which
//! `fuzz/examples/seeds.rs` writes again after a message has changed its form; what fuzzers found beside them; and every
//! crash that one ever found, as `crash-…`, and so a test for ever.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "../fuzz/src/doors/mod.rs"]
mod doors;

fn fuzz(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder)
}

fn replay(door: &str) {
    let (_, run) = doors::DOORS.iter().find(|(name, _)| *name == door).unwrap();
    let files: Vec<PathBuf> =
        fs::read_dir(fuzz("corpus").join(door)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display()); // Shown if it fails.
        run(&fs::read(&file).unwrap());
    }
}

macro_rules! replays {
    ($($door:ident),* $(,)?) => {
        $(#[test]
        fn $door() {
            replay(stringify!($door));
        })*

        const REPLAYED: &[&str] = &[$(stringify!($door)),*];
    };
}

replays![
    wire,
    message_1,
    message_2,
    message_3,
    message_4,
    error_message,
    record,
    device,
    operator,
    lying_operator,
    lying_device,
    cose,
    x509,
    credential,
    voucher,
    concealed,
    evidence,
    grant,
    authority,
    suci,
    calculator,
    sealed,
    fragments,
    link,
    eap,
    gate,
    other_cbor,
    other_milenage,
    other_edhoc,
];

/// One target, one corpus and one test for each door.
#[test]
fn no_door_is_left_out() {
    let names = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz(folder)).unwrap();
        files.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string()).collect()
    };
    let doors: BTreeSet<String> = doors::DOORS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(doors, REPLAYED.iter().map(|name| (*name).to_string()).collect());
    assert_eq!(doors, names("fuzz_targets"));
    assert_eq!(doors, names("corpus"));
}

fn open(door: &str, story: &[u8]) {
    doors::DOORS.iter().find(|(name, _)| *name == door).unwrap().1(story);
}

/// All methods with all credential types, suite by suite: honest to the end, from the start and as a resumption.
#[test]
fn every_cast_plays_honestly() {
    for (method, naming) in (0..4).flat_map(|method| (0..3).map(move |naming| (method, naming))) {
        let suite = (method + naming) % 3;
        for plot in [0, 1] {
            let story = [method | naming << 2 | suite << 5, plot];
            open("device", &story);
            open("operator", &story);
        }
    }
}

/// What was recorded is what the machines say today.
#[test]
fn the_seeds_are_current() {
    for (door, name, bytes) in doors::seeds::seeds() {
        let file = fuzz("corpus").join(door).join(name);
        assert!(fs::read(&file).is_ok_and(|held| held == bytes), "{} is not what seeds.rs makes", file.display());
    }
}
