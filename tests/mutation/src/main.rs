//! Runs the mutants that `cargo mutants` lists, thousands of them from one build.
//!
//! `cargo mutants` builds the crate anew for each mutant. This writes them all into one copy of the source, each behind a switch
//! (`schema`), drops those that do not compile (`copy`), sees in one run of every test which mutants it meets, and then runs each
//! mutant with the tests that meet it, until one fails (`trial`). List, replacements and exclusions are those of cargo-mutants.
//!
//! With `attacks` it does the same with whole defences: each of those that `tests/attacks/removals.rs` lists is taken out,
//! and the test of its attack has to fail (`removals`).
//!
//! ```console
//! cargo mutation --without chaos,exhaustive
//! cargo mutation -- --in-diff change.diff
//! cargo mutation attacks
//! cargo mutation attacks 4 40
//! ```

mod copy;
mod list;
mod removals;
mod schema;
mod tree;
mod trial;

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use crate::{
    copy::Copy,
    tree::Tree,
    trial::{Outcome, Tests},
};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
mutation attacks [NUMBERS]   the defences against these attacks, or against all
mutation [OPTIONS] [-- OPTIONS OF cargo mutants --list]
  --without A,B    test targets to leave out
  --only A,B       test targets to use; `lib` is the unit tests
  --patience S     seconds that the tests of one mutant may take before it is left open; 60 if not said
  --threads N      tests at a time; 2 if not said
  --at-least P     percent of those that can be decided that have to be caught; 95 if not said
  --at-most N      of the mutants, every so-manyth
  --from N         where to begin with these
  --again          run those again that were missed or left open before
  --list           say only what is known";

struct Options {
    without: Vec<String>,
    only: Vec<String>,
    patience: Duration,
    threads: usize,
    at_least: usize,
    at_most: usize,
    from: usize,
    again: bool,
    list: bool,
    of_mutants: Vec<String>,
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        without: Vec::new(),
        only: Vec::new(),
        patience: Duration::from_secs(60),
        threads: 2,
        at_least: 95,
        at_most: usize::MAX,
        from: 0,
        again: false,
        list: false,
        of_mutants: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--without" => options.without = value()?.split(',').map(String::from).collect(),
            "--only" => options.only = value()?.split(',').map(String::from).collect(),
            "--patience" => options.patience = Duration::from_secs(value()?.parse()?),
            "--threads" => options.threads = value()?.parse()?,
            "--at-least" => options.at_least = value()?.parse()?,
            "--at-most" => options.at_most = value()?.parse()?,
            "--from" => options.from = value()?.parse()?,
            "--again" => options.again = true,
            "--list" => options.list = true,
            "--" => options.of_mutants = arguments.by_ref().collect(),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = if arguments.next().as_deref() == Some("attacks") { removals::run(arguments) } else { work() };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The crate's folder.
fn root() -> Result<PathBuf, Failure> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

/// Whether enough mutants were caught.
fn work() -> Result<bool, Failure> {
    let options = options()?;
    let root = root()?;
    let folder = root.join("target/mutation");
    let file: PathBuf = folder.join("outcomes");
    let mut mutants = list::read(&root, &options.of_mutants)?;
    println!("{} mutants", mutants.len());
    let step = mutants.len().div_ceil(options.at_most.max(1));
    if step > 1 {
        mutants = mutants.into_iter().skip(options.from % step).step_by(step).collect();
        println!("{} of them", mutants.len());
    }
    if mutants.is_empty() {
        return Ok(true);
    }
    let mut known: BTreeMap<String, Outcome> = BTreeMap::new();
    for line in fs::read_to_string(&file).unwrap_or_default().lines() {
        let (name, outcome) = serde_json::from_str(line)?;
        known.insert(name, outcome);
    }
    if options.again {
        known.retain(|_, outcome| !matches!(outcome, Outcome::Missed(_) | Outcome::Open(_) | Outcome::Unmet));
    }
    if !options.list {
        let mut copy = Copy::new(Tree::new(&root, folder.join("copy"))?, &mutants)?;
        let tests =
            Tests::new(&mut copy, &mutants, &options.without, &options.only, options.patience, options.threads)?;
        let mut todo: Vec<usize> = (0..mutants.len())
            .filter(|id| !copy.dropped.contains_key(id) && !known.contains_key(&mutants[*id].name))
            .collect();
        // In no order, so that a run that is broken off has a fair sample.
        todo.sort_by_key(|id| BuildHasherDefault::<DefaultHasher>::default().hash_one(&mutants[*id].name));
        println!("{} to run", todo.len());
        for (id, outcome) in tests.run(&copy, &mutants, &todo, options.patience, options.threads, &file)? {
            known.insert(mutants[id].name.clone(), outcome);
        }
        for (id, outcome) in copy.dropped {
            known.insert(mutants[id].name.clone(), outcome);
        }
    }
    Ok(summary(mutants.iter().map(|mutant| (mutant.name.as_str(), known.get(&mutant.name))), options.at_least))
}

fn summary<'a>(all: impl Iterator<Item = (&'a str, Option<&'a Outcome>)>, at_least: usize) -> bool {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, outcome) in all {
        let kind = match outcome {
            Some(Outcome::Caught(_)) => "caught",
            Some(Outcome::Endless(_)) => "endless",
            Some(Outcome::Missed(tests)) => {
                println!("MISSED by {tests} tests: {name}");
                "missed"
            }
            Some(Outcome::Unmet) => {
                println!("MISSED, no test meets it: {name}");
                "missed"
            }
            Some(Outcome::Open(tests)) => {
                println!("OPEN after {tests} tests: {name}");
                "open"
            }
            Some(Outcome::Unviable(_)) => "unviable",
            Some(Outcome::Unswitchable(reason)) => {
                println!("NO SWITCH, {reason}: {name}");
                "no switch"
            }
            None => "not run",
        };
        *counts.entry(kind).or_default() += 1;
    }
    println!("{counts:?}");
    let count = |kind| counts.get(kind).copied().unwrap_or(0);
    let caught = count("caught") + count("endless");
    let decided = caught + count("missed");
    println!("{caught} of {decided} caught, {:.1} %", 100.0 * caught as f64 / decided.max(1) as f64);
    100 * caught >= at_least * decided
}
