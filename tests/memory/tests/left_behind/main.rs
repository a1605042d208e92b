//! What is left behind: in blocks that were freed, in blocks that still live when all machines are gone, and on the stack
//! below each call of a machine; over every operation that has a secret, and every error.
//!
//! One run after the other: there is one allocator. `cargo test --profile o3 --test left_behind -- PART` for one part.

#[path = "../../../x509/forge.rs"]
#[allow(dead_code, reason = "the rest is for `x509`")]
mod forge;
#[path = "../../../lab/mod.rs"]
mod lab;

mod bench;
mod errors;
mod failures;
mod handshakes;
mod lives;
mod papers;
mod primitives;
mod refusals;

use std::{process::ExitCode, sync::atomic::Ordering::Relaxed, time::Instant};

const PARTS: [(&str, fn()); 17] = [
    ("provisioning", lives::provisioning),
    ("life", lives::life),
    ("ownership", lives::ownership),
    ("eap", lives::eap),
    ("failures", failures::every_failure),
    ("clocks", failures::every_clock),
    ("refusals", refusals::every_refusal),
    ("alterations", refusals::every_alteration),
    ("lies", refusals::lies),
    ("peers", refusals::peers),
    ("certificates", refusals::certificates),
    ("handshakes", handshakes::handshakes),
    ("primitives", primitives::aka),
    ("suci", primitives::suci),
    ("cores", primitives::cores),
    ("rest", primitives::rest),
    ("papers", papers::papers),
];

fn main() -> ExitCode {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let before = bench::RUNS.load(Relaxed);
            let begun = Instant::now();
            part();
            println!("{name}: {} runs, {} ms", bench::RUNS.load(Relaxed) - before, begun.elapsed().as_millis());
        }
    }
    let (runs, left) = (bench::RUNS.load(Relaxed), bench::LEFT.load(Relaxed));
    println!("{runs} runs, {left} have left something");
    let errors = if wanted.is_empty() { errors::complete() } else { Ok(0) };
    match &errors {
        Ok(errors) => println!("{errors} errors were met"),
        Err(error) => println!("{error}"),
    }
    if left == 0 && errors.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
