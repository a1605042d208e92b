//! What the examples print that tell a story: each runs in here, over seeds and faults, with a backend that records, and what
//! it would have printed is searched for every secret of its run.
//!
//! By purpose, `aka` prints the keys that it is asked for, and `edhoc_peer` what it exports. The networked ones print
//! addresses, names and counts; `emulator` and `soak` figures. They are not looked at here.

use core::{
    cell::RefCell,
    fmt::{self, Write},
};
use std::collections::BTreeSet;

use remote_provisioning::sim::{SeededRng, identities};

use crate::{
    lab::double::Recording,
    often,
    outputs::{forms, secrets},
};

thread_local! {
    /// What was printed since it was taken last.
    static PRINTED: RefCell<String> = const { RefCell::new(String::new()) };
}

fn print(line: fmt::Arguments<'_>) {
    PRINTED.with_borrow_mut(|printed| writeln!(printed, "{line}").unwrap());
}

fn printed() -> String {
    PRINTED.take()
}

/// In place of the standard library's in the files below.
macro_rules! println {
    ($($text:tt)+) => { crate::examples::print(format_args!($($text)+)) };
}

#[allow(dead_code, reason = "an example reads a command line")]
#[path = "../../examples/life.rs"]
mod life;
#[allow(dead_code, reason = "an example reads a command line")]
#[path = "../../examples/own_keys.rs"]
mod own_keys;
#[allow(dead_code, reason = "an example reads a command line")]
#[path = "../../examples/provision.rs"]
mod provision;

/// `EXAMPLE_RUNS=2000` for two thousand of them.
#[test]
fn no_example_prints_a_secret() {
    let runs = often("EXAMPLE_RUNS", 60);
    let recording = Recording::new();
    let (mut searched, mut length, mut ends) = (0, 0, BTreeSet::new());
    for seed in 0..runs {
        let mut dice = SeededRng::new(seed ^ 0xe4a);
        let loss = if dice.chance(0.5) { 0.2 } else { 0.0 };
        let ended = if seed % 10 == 9 {
            life::told(&life::Setting { crypto: recording, loss, seed })
        } else {
            let fault =
                dice.chance(0.5).then(|| &provision::faults::FAULTS[dice.below(provision::faults::FAULTS.len())]);
            let tamper = dice.chance(0.2).then(|| 1 + dice.below(6));
            let ambient = dice.chance(0.1);
            let options = provision::Options { crypto: recording, loss, seed, tamper, fault, ambient, list: false };
            provision::story(&options)
        };
        ends.extend(ended.err().map(|error| error.to_string()));
        let (out, secrets) = (printed(), secrets(&recording.watch));
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            assert!(!out.contains(&form), "seed {seed}: {form}");
        }
        searched += secrets.len();
        length += out.len();
    }
    std::println!("{runs} runs, {searched} secrets, {length} bytes of output, {} kinds of ends", ends.len());
    let runs = usize::try_from(runs).unwrap();
    assert!(searched > 8 * runs && length > 1_000 * runs && ends.len() > 10, "{ends:?}");
}

/// Its secrets are in an element that nobody looks into, and new ones each time: what it prints is always the same.
#[test]
fn own_keys_prints_the_same_whatever_its_keys_are() {
    let run = || {
        own_keys::all_methods().unwrap();
        printed()
    };
    let first = run();
    assert!(first.matches("export the same").count() == 4, "{first}");
    for _ in 0..often("OWN_KEYS_RUNS", 5) {
        assert_eq!(run(), first);
    }
    for key in [identities::raw_device_key(), identities::raw_operator_key()] {
        assert!(forms(&key[..8]).iter().all(|form| !first.contains(form)));
    }
}
