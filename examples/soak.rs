//! Fleets against the world, seed after seed, on all cores: see `sim::fleet`. Stops at the first thing that does not hold, and
//! tells the run that shows it.
//!
//!     cargo run --release --example soak -- --seeds 100000
//!     cargo run --release --example soak -- --first 4711 --seeds 1 --tell

#![allow(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program that prints, and counts what it prints"
)]

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::{process::ExitCode, sync::Mutex, thread, time::Instant};

use remote_provisioning::sim::fleet::{self, Setup, Summary, Violation};

const USAGE: &str =
    "usage: soak [--seeds count] [--first seed] [--devices 1..] [--operators 1..10] [--accidents count] [--tell]";

struct Options {
    first: u64,
    seeds: u64,
    setup: Setup,
    tell: bool,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if options.tell {
        return match tell(options.first, &options.setup) {
            Ok(_) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let begun = Instant::now();
    let (done, failed) = soak(&options, begun);
    let seconds = begun.elapsed().as_secs_f64();
    summary(&done, seconds);
    match failed {
        None => {
            println!("{} seeds from {} on: everything holds", options.seeds, options.first);
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("\nVIOLATION {violation}\n\nThe run:\n");
            let _ = tell(violation.seed, &options.setup);
            println!("\nAgain: cargo run --release --example soak -- --first {} --seeds 1 --tell", violation.seed);
            ExitCode::FAILURE
        }
    }
}

fn options() -> Option<Options> {
    let mut options = Options { first: 0, seeds: 1_000, setup: Setup::default(), tell: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next();
        match name.as_str() {
            "--first" => options.first = value()?.parse().ok()?,
            "--seeds" => options.seeds = value()?.parse().ok()?,
            "--devices" => options.setup.devices = value()?.parse().ok().filter(|count| (1..=200).contains(count))?,
            "--operators" => {
                options.setup.operators = value()?.parse().ok().filter(|count| (1..=10).contains(count))?
            }
            "--accidents" => options.setup.accidents = value()?.parse().ok()?,
            "--tell" => options.tell = true,
            _ => return None,
        }
    }
    Some(options)
}

/// Every seed, on all cores; stops at the first violation.
fn soak(options: &Options, begun: Instant) -> (Summary, Option<Violation>) {
    let (next, finished) = (AtomicU64::new(0), AtomicU64::new(0));
    let results = Mutex::new((Summary::default(), None::<Violation>));
    let cores = thread::available_parallelism().map_or(1, core::num::NonZero::get);
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.seeds {
                return;
            }
            let result = fleet::run(options.first + number, &options.setup, &mut |_, _| {});
            let Ok(mut results) = results.lock() else { return };
            match result {
                Ok(summary) => results.0 = results.0.and(summary),
                Err(violation) => {
                    // The lowest seed, whichever core was first.
                    if results.1.as_ref().is_none_or(|other| other.seed > violation.seed) {
                        results.1 = Some(violation);
                    }
                    next.store(options.seeds, Ordering::Relaxed);
                }
            }
            finished.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let mut shown = Instant::now();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(50));
            if shown.elapsed() >= Duration::from_secs(2) {
                shown = Instant::now();
                let (count, seconds) = (finished.load(Ordering::Relaxed), begun.elapsed().as_secs());
                eprintln!("{count:>8} of {} seeds, {seconds} s", options.seeds);
            }
        }
    });
    results.into_inner().unwrap_or_default()
}

fn summary(summary: &Summary, seconds: f64) {
    let Summary { sessions, messages, lost, injected, power_cuts, crashes, failures, .. } = summary;
    let Summary { restores, deeds, completed, attaches, persons, .. } = summary;
    println!("{sessions:>10} attempts of devices, {completed} operations completed, {attaches} attaches");
    println!("{messages:>10} messages, {lost} lost or altered, {injected} recorded ones again");
    println!(
        "{power_cuts:>10} power cuts, {crashes} crashed operators, {failures} failed answers, {restores} restored logs"
    );
    println!("{deeds:>10} deeds of operators and owners; a person had to look {persons} times");
    println!("{seconds:>10.1} s");
}

fn tell(seed: u64, setup: &Setup) -> Result<Summary, Violation> {
    let result = fleet::run(seed, setup, &mut |now, line| {
        println!("{:>8}.{:03} s  {}", now.0 / 1_000, now.0 % 1_000, line());
    });
    match &result {
        Ok(_) => println!("everything holds"),
        Err(violation) => println!("VIOLATION {violation}"),
    }
    result
}
