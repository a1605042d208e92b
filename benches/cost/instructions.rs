//! Instruction counts by callgrind: they tell of a regression without a clock.
//!
//! ```text
//! this program ── valgrind --tool=callgrind ──▶ this program, `counted`: each row once, all and floor
//!                                                  │ one dump after each
//!                       benches/instructions/PROFILE.txt ◀─ compared, or renewed
//! ```
//!
//! Compared is what a row takes **over its floor**, both from one build: another compiler or another release of a primitive
//! moves that little. With the compiler that is named in the file, [`SAME`] is allowed, and [`OTHER`] with another one; and
//! in either case [`jitter`] of the floor, for primitives that draw random numbers. Counts are of what valgrind shows to a
//! program, which has AVX2 and AES-NI, but no SHA-NI, AVX-512 or ADX.

use core::hint::black_box;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio, exit},
};

use crate::{PARTS, row::Row};

/// Growth of what is over the floor that is tolerated, in hundredths.
const SAME: f64 = 3.0;
const OTHER: f64 = 25.0;

/// Hundredths of the floor that come and go: AWS-LC signs with random numbers, and how long a signature takes to verify
/// depends on what it is.
fn jitter(name: &str) -> f64 {
    if name.contains("aws-lc-rs") { 1.0 } else { 0.02 }
}

/// What an allocation takes more or less, as the heap happens to be.
const SLACK: f64 = 150.0;

/// What callgrind counts in. Not inlined, not generic, and not left by a jump, so that it is seen.
#[inline(never)]
fn counted_by_callgrind(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

fn rows(filter: &str) -> Vec<Row> {
    let mut rows: Vec<_> = PARTS.iter().flat_map(|(_, rows)| rows()).collect();
    rows.retain(|row| row.name().contains(filter));
    rows
}

/// Under callgrind.
pub(crate) fn run(filter: &str) {
    for row in &mut rows(filter) {
        let before = row.repeats();
        for work in row.both() {
            // Tables that are made at first use, and a heap that has seen it.
            (0..before).for_each(|_| work());
            counted_by_callgrind(work);
        }
        println!("{}", row.name());
    }
}

struct Count {
    name: String,
    all: f64,
    floor: f64,
}

impl Count {
    const fn own(&self) -> f64 {
        self.all - self.floor
    }

    /// How much of its own it may have, if it had `kept`.
    fn limit(&self, kept: &Self, tolerance: f64) -> f64 {
        let own = kept.own();
        own + own.abs() * tolerance / 100.0 + self.floor * jitter(&self.name) / 100.0 + SLACK
    }
}

pub(crate) fn compare(filter: &str) {
    let (compiler, kept) = kept();
    let same = compiler == self::compiler();
    let tolerance = if same { SAME } else { OTHER };
    if !same {
        println!(
            "Counted with {compiler}, now {}: a tolerance of {tolerance} % in place of {SAME} %.",
            self::compiler()
        );
    }
    let (mut worse, mut better) = (0, 0);
    for count in measure(filter) {
        let Some(before) = kept.iter().find(|kept| kept.name == count.name) else {
            println!("{}: not in the file", count.name);
            worse += 1;
            continue;
        };
        if count.own() > count.limit(before, tolerance) {
            println!("{}: {} instructions over its floor; it was {}", count.name, count.own(), before.own());
            worse += 1;
        } else if before.own() > before.limit(&count, tolerance) {
            println!("{}: {} instructions over its floor; it was {}. Better!", count.name, count.own(), before.own());
            better += 1;
        }
    }
    println!("{} rows kept; {worse} worse, {better} better than that", kept.len());
    if worse > 0 {
        println!("If that is wanted: cargo bench --all-features [--profile {}] -- renew", profile());
        exit(1);
    }
}

pub(crate) fn renew() {
    let counts = measure("");
    let head = format!(
        "# Instructions by callgrind, profile {}, {}\n# cargo bench --all-features{} -- renew\n#\n{:<50} {:>11} {:>11} {:>9}\n",
        profile(),
        compiler(),
        if profile() == "dev" { " --profile dev" } else { "" },
        "# row",
        "all",
        "floor",
        "times"
    );
    let lines = counts
        .iter()
        .map(|Count { name, all, floor }| format!("{name:<50} {all:>11.0} {floor:>11.0} {:>9.3}\n", all / floor));
    fs::write(file(), head + &lines.collect::<String>()).unwrap();
    println!("{} rows written to {}", counts.len(), file().display());
}

/// The compiler, and what it gave.
fn kept() -> (String, Vec<Count>) {
    let text = fs::read_to_string(file()).unwrap();
    let compiler = text.lines().next().and_then(|line| line.split_once(", rustc")).map_or("", |(_, version)| version);
    let counts = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, counts) = line.split_at(50);
        let mut counts = counts.split_whitespace().map(|count| count.parse().unwrap());
        Count { name: name.trim_end().into(), all: counts.next().unwrap(), floor: counts.next().unwrap() }
    });
    (format!("rustc{compiler}"), counts.collect())
}

/// Starts this program anew under callgrind.
fn measure(filter: &str) -> Vec<Count> {
    let folder = env::temp_dir().join(format!("instructions-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let out = folder.join("out");
    let told = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=*counted_by_callgrind"])
        .args(["--dump-after=*counted_by_callgrind", &format!("--callgrind-out-file={}", out.display())])
        .arg(env::current_exe().unwrap())
        .args(["counted", filter])
        .stderr(Stdio::inherit())
        .output()
        .expect("valgrind is needed for this");
    assert!(told.status.success(), "valgrind failed");
    let names = String::from_utf8(told.stdout).unwrap();
    let mut dumps = (1..).map(|number| total(&folder.join(format!("out.{number}"))));
    let counts =
        names.lines().map(|name| Count { name: name.into(), all: dumps.next().unwrap(), floor: dumps.next().unwrap() });
    let counts = counts.collect();
    fs::remove_dir_all(&folder).unwrap();
    counts
}

fn total(dump: &Path) -> f64 {
    let text = fs::read_to_string(dump).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    total.and_then(|total| total.trim().parse().ok()).unwrap()
}

const fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "bench" }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/instructions/{}.txt", profile()))
}

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().unwrap();
    String::from_utf8(version.stdout).unwrap().trim().into()
}
