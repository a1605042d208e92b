//! Leaks that are there on purpose: what does not find them finds nothing.

use std::hint::black_box;

use crate::{harness::Harness, taint::secret};

const TABLE: [u8; 256] = [0x63; 256];

fn branch() {
    let [first, ..] = secret::<16>(1);
    if first > 127 {
        black_box("taken");
    }
}

fn index() {
    let [first, ..] = secret::<16>(1);
    black_box(black_box(&TABLE)[usize::from(first)]);
}

fn early_exit() {
    let (a, b) = (secret::<32>(1), secret::<32>(2));
    black_box(black_box(a.as_slice()) == black_box(b.as_slice()));
}

/// Each has to be found.
pub const ALL: &[Harness] = &[
    Harness { name: "control_branch", what: "a secret that is branched on", run: branch },
    Harness { name: "control_index", what: "a secret that a table is indexed by", run: index },
    Harness { name: "control_early_exit", what: "secrets compared by ==", run: early_exit },
];
