//! Does any branch or address depend on a secret? The ctgrind method: secrets are marked undefined, and valgrind's memcheck
//! says where undefined values are branched or indexed on. Without arguments it runs every harness under valgrind, and the
//! controls, in release:
//!
//! ```text
//! cargo run --release                    everything
//! cargo run --release -- NAME...         these harnesses, and what was found, frame by frame
//! cargo run --release -- list            the harnesses, and what is secret in each
//! ```
//!
//! What it finds has to be in `findings.txt`, with the reason why it is no leak. Valgrind shows the program a processor with AES
//! and AVX2, but without SHA and AVX-512.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness that stops has found something"
)]

mod control;
mod findings;
mod harness;
mod report;
mod taint;

use std::{
    collections::BTreeSet,
    env,
    process::{Command, ExitCode},
    thread,
};

use crate::{findings::Findings, harness::Harness, report::Finding};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", name] => {
            let all = harness::ALL.iter().chain(control::ALL);
            (all.into_iter().find(|harness| harness.name == *name).expect("a harness").run)();
            ExitCode::SUCCESS
        }
        ["list"] => {
            for harness in harness::ALL {
                println!("{:<26}{}", harness.name, harness.what.trim());
            }
            ExitCode::SUCCESS
        }
        [] => everything(),
        names => {
            for name in names {
                match observed(name) {
                    Ok(found) => found.iter().for_each(|finding| println!("{}\n", finding.whole)),
                    Err(error) => println!("{error}"),
                }
            }
            ExitCode::SUCCESS
        }
    }
}

/// Runs a harness under valgrind: what memcheck has found, or why it did not run to its end.
fn observed(name: &str) -> Result<Vec<Finding>, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let file = env::temp_dir().join(format!("constant-time-{}-{name}.xml", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=memcheck", "--leak-check=no", "--expensive-definedness-checks=yes", "--error-limit=no"])
        .args(["--num-callers=60", "--xml=yes"])
        .arg(format!("--xml-file={}", file.display()))
        .arg(own)
        .args(["run", name])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let xml = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let _ = std::fs::remove_file(&file);
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(report::read(&xml))
}

/// Two at a time.
fn all_observed(harnesses: &[&'static Harness]) -> Vec<(&'static str, Result<Vec<Finding>, String>)> {
    let (even, odd): (Vec<_>, Vec<_>) = harnesses.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    let run = |part: Vec<(usize, &&'static Harness)>| -> Vec<_> {
        part.into_iter().map(|(number, harness)| (number, harness.name, observed(harness.name))).collect()
    };
    let mut results = thread::scope(|scope| {
        let other = scope.spawn(|| run(odd));
        let mut results = run(even);
        results.extend(other.join().expect("it does not panic"));
        results
    });
    results.sort_by_key(|(number, ..)| *number);
    results.into_iter().map(|(_, name, found)| (name, found)).collect()
}

fn everything() -> ExitCode {
    let listed = Findings::read();
    let (mut used, mut failures) = (BTreeSet::new(), Vec::new());
    let all: Vec<_> = control::ALL.iter().chain(harness::ALL).collect();
    println!("{:<26}{:>8}{:>14}{:>9}", "harness", "public", "dependencies", "leaks");
    for (name, found) in all_observed(&all) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        let (mut public, mut dependencies, mut leaks) = (0, 0, Vec::new());
        for finding in &found {
            match listed.place(finding) {
                Some(entry) => {
                    used.insert(entry);
                    *(if finding.place.is_ours() { &mut public } else { &mut dependencies }) += 1;
                }
                None => leaks.push(finding),
            }
        }
        println!("{name:<26}{public:>8}{dependencies:>14}{:>9}", leaks.len());
        let is_control = control::ALL.iter().any(|control| control.name == name);
        match (is_control, leaks.is_empty()) {
            (true, true) => failures.push(format!("{name}: the leak that is there was not found")),
            (false, false) => failures.extend(leaks.iter().map(|leak| format!("{name}: {}", leak.whole))),
            _ => {}
        }
    }
    for failure in &failures {
        println!("\n{failure}");
    }
    for entry in listed.unused(&used) {
        println!("\nfindings.txt, not found by this compiler: {entry}");
    }
    println!("\n{} harnesses, {} failures", harness::ALL.len(), failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
