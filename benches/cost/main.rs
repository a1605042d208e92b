//! What everything costs, and how much of that is the primitives that it cannot do without.
//!
//! ```console
//! cargo bench --all-features                              tables, throughput on all cores, then the same rows by criterion
//! cargo bench --all-features -- handshake                 rows with that in their name only
//! cargo bench --all-features -- table provisioning        the table alone
//! cargo bench --all-features -- throughput provisioning   the same work on all cores at once
//! cargo bench --all-features -- instructions              instruction counts by callgrind, held against those that are kept
//! cargo bench --all-features -- renew                     the same, and keeps them: benches/instructions/PROFILE.txt
//! cargo bench --all-features -- growth                    cost by number of sessions and entries, drawn: src/manual/growth.svg
//! ```
//!
//! Each row is measured in turn with its floor, so that both meet the same machine: quote the ratio. A row may have a goal,
//! as times its floor. Measured is `[profile.bench]`; `cargo bench --profile dev` keeps its own counts of instructions.
//!
//! | module | rows |
//! |---|---|
//! | `codec` | CBOR, encode and decode; floor: the same bytes by hand |
//! | `aka` | vectors one by one and in a batch, 5G vector, USIM, OPc, TUAK, MILENAGE-256, SUCI both ways |
//! | `crypto` | what each backend and key store adds to the library below it |
//! | `handshake` | EDHOC by method and side |
//! | `trust` | chains with and without remembered issuers, vouchers by length, receipts, PSA evidence |
//! | `package` | package sealed and opened, records, session tokens |
//! | `provisioning` | a whole first provisioning per side |
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "a benchmark that panics is wrong"
)]

mod aka;
mod codec;
mod crypto;
#[path = "../../tests/x509/forge.rs"]
#[allow(dead_code, clippy::indexing_slicing, reason = "shared with the tests")]
mod forge;
mod growth;
mod handshake;
mod instructions;
mod package;
mod parties;
mod provisioning;
mod row;
mod trust;

use std::env;

use criterion::Criterion;

use crate::row::Row;

/// A part of the rows: its name, and how to make them. Made anew for each thread.
type Part = (&'static str, fn() -> Vec<Row>);

const PARTS: [Part; 7] = [
    ("codec", codec::rows),
    ("aka", aka::rows),
    ("crypto", crypto::rows),
    ("handshake", handshake::rows),
    ("trust", trust::rows),
    ("package", package::rows),
    ("provisioning", provisioning::rows),
];

fn main() {
    let mut words = env::args().skip(1).filter(|word| !word.starts_with("--"));
    let testing = env::args().any(|word| word == "--test");
    let mode = words.next().unwrap_or_default();
    let filter = words.next().unwrap_or_default();
    match mode.as_str() {
        "counted" => instructions::run(&filter),
        "instructions" => instructions::compare(&filter),
        "renew" => instructions::renew(),
        "growth" => growth::draw(),
        "table" => table(&filter, testing),
        "throughput" => row::throughput(&PARTS, &filter, testing),
        filter => {
            table(filter, testing);
            row::throughput(&PARTS, filter, testing);
            let mut criterion = Criterion::default().configure_from_args();
            for (_, rows) in PARTS {
                for row in &mut rows() {
                    row.criterion(&mut criterion);
                }
            }
            criterion.final_summary();
        }
    }
}

fn table(filter: &str, testing: bool) {
    for (part, rows) in PARTS {
        let mut rows = rows();
        rows.retain(|row| row.name().contains(filter));
        if !rows.is_empty() {
            row::table(part, &mut rows, testing);
        }
    }
}
