//! Each mutant against the tests that meet it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{Failure, copy::Copy, list::Mutant};

/// Bytes of address space: a mutant that collects without end fails.
const MEMORY: u64 = 4 << 30;

/// A test of a program.
#[derive(Clone, Debug)]
pub struct Test {
    pub target: String,
    program: PathBuf,
    name: String,
    /// CPU time without a mutant.
    took: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// This test failed.
    Caught(String),
    /// This test did not end.
    Endless(String),
    /// All these tests passed.
    Missed(usize),
    /// No test comes past it.
    Unmet,
    /// There was no time left for the tests that are slowest.
    Open(usize),
    /// It does not compile.
    Unviable(String),
    /// It is where nothing can be switched while a program runs, in a constant for instance: `cargo mutants` has to build it.
    Unswitchable(String),
}

pub struct Tests {
    tests: Vec<Test>,
    /// For each mutant the tests that meet it, the quickest first.
    met: HashMap<usize, Vec<usize>>,
}

impl Tests {
    /// Builds the tests, and runs each of them alone to see what it meets. `without` names targets to leave out.
    pub fn new(
        copy: &mut Copy,
        mutants: &[Mutant],
        without: &[String],
        only: &[String],
        patience: Duration,
        threads: usize,
    ) -> Result<Self, Failure> {
        let mut tests = Vec::new();
        let programs = loop {
            match build(copy, without, only)? {
                Ok(programs) => break programs,
                Err(stdout) if copy.compile_for(&stdout, mutants)? => {}
                Err(_) => return Err("the tests of the copy do not build".into()),
            }
        };
        for (target, program) in programs {
            let listed =
                Command::new(&program).current_dir(&copy.tree.path).args(["--list", "--format", "terse"]).output()?;
            for name in String::from_utf8(listed.stdout)?.lines().filter_map(|line| line.strip_suffix(": test")) {
                tests.push(Test {
                    target: target.clone(),
                    program: program.clone(),
                    name: name.into(),
                    took: Duration::ZERO,
                });
            }
        }
        println!("{} tests", tests.len());

        let scratch = copy.tree.path.join("met");
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        let results: Mutex<BTreeMap<usize, (Duration, Vec<usize>)>> = Mutex::default();
        in_parallel(threads, tests.len(), |at| {
            let test = &tests[at];
            let record = scratch.join(at.to_string());
            let times = scratch.join(format!("{at}.times"));
            let variables = [("MUTANTS_MET", record.as_os_str()), ("TIMES", times.as_os_str())];
            match run(test, &copy.tree.path, &variables, Duration::from_secs(3600), patience.as_secs()) {
                End::Passed => {}
                End::Failed => return println!("left out, it fails without a mutant: {} {}", test.target, test.name),
                End::Endless => return println!("left out, it takes too long: {} {}", test.target, test.name),
            }
            let mut met: Vec<usize> =
                fs::read_to_string(&record).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect();
            met.sort_unstable();
            met.dedup();
            results.lock().expect("no panic").insert(at, (cpu_time(&times).unwrap_or_default(), met));
        });
        let mut met: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, (took, mutants)) in results.into_inner().expect("no panic") {
            tests[at].took = took;
            for mutant in mutants {
                met.entry(mutant).or_default().push(at);
            }
        }
        for all in met.values_mut() {
            all.sort_by_key(|at| tests[*at].took);
        }
        let total: Duration = tests.iter().map(|test| test.took).sum();
        println!("the tests take {:.1} s, one after the other", total.as_secs_f64());
        let mut slowest: Vec<_> = tests.iter().collect();
        slowest.sort_by_key(|test| std::cmp::Reverse(test.took));
        for test in slowest.iter().take(20) {
            println!("  {:7.2} s {} {}", test.took.as_secs_f64(), test.target, test.name);
        }
        Ok(Self { tests, met })
    }

    /// Runs every mutant that `outcomes` does not know yet, and appends what comes of it to `file`. A mutant is left open when its
    /// tests have taken `patience`.
    pub fn run(
        &self,
        copy: &Copy,
        mutants: &[Mutant],
        todo: &[usize],
        patience: Duration,
        threads: usize,
        file: &Path,
    ) -> Result<Vec<(usize, Outcome)>, Failure> {
        let file = Mutex::new(fs::OpenOptions::new().append(true).create(true).open(file)?);
        let all = Mutex::new(Vec::new());
        // A test that has caught a mutant of this file is a good guess for its neighbours.
        let last: Mutex<HashMap<&str, Vec<usize>>> = Mutex::default();
        in_parallel(threads, todo.len(), |index| {
            let id = todo[index];
            let mutant = &mutants[id];
            let guesses = last.lock().expect("no panic").get(mutant.file.as_str()).cloned().unwrap_or_default();
            let (outcome, by) = self.run_one(copy, id, &guesses, patience);
            if let Some(by) = by {
                let mut last = last.lock().expect("no panic");
                let guesses = last.entry(&mutant.file).or_default();
                guesses.retain(|old| *old != by);
                guesses.insert(0, by);
                guesses.truncate(4);
            }
            let line = serde_json::to_string(&(&mutant.name, &outcome)).expect("plain values");
            let _ = writeln!(file.lock().expect("no panic"), "{line}");
            all.lock().expect("no panic").push((id, outcome));
        });
        Ok(all.into_inner().expect("no panic"))
    }

    fn run_one(&self, copy: &Copy, id: usize, guesses: &[usize], patience: Duration) -> (Outcome, Option<usize>) {
        let Some(met) = self.met.get(&id) else { return (Outcome::Unmet, None) };
        let guessed = guesses.iter().filter(|at| met.contains(at));
        let order: Vec<usize> = guessed.chain(met.iter().filter(|at| !guesses.contains(at))).copied().collect();
        let number = id.to_string();
        let mut spent = Duration::ZERO;
        for (done, &at) in order.iter().enumerate() {
            let test = &self.tests[at];
            if spent + test.took > patience {
                return (Outcome::Open(done), None);
            }
            spent += test.took;
            // In CPU time, because other work on this machine takes none of that.
            let cpu = 2 + 3 * test.took.as_secs();
            let name = format!("{} {}", test.target, test.name);
            match run(
                test,
                &copy.tree.path,
                &[("MUTANT", number.as_ref())],
                30 * test.took + Duration::from_secs(60),
                cpu,
            ) {
                End::Passed => {}
                End::Failed => return (Outcome::Caught(name), Some(at)),
                End::Endless => return (Outcome::Endless(name), Some(at)),
            }
        }
        (Outcome::Missed(order.len()), None)
    }
}

enum End {
    Passed,
    Failed,
    Endless,
}

fn run(test: &Test, folder: &Path, variables: &[(&str, &std::ffi::OsStr)], patience: Duration, cpu: u64) -> End {
    const OUT_OF_TIME: i32 = 24; // SIGXCPU
    let mut command = Command::new("sh");
    // `times` has a line for the shell itself and one for what it ran.
    let script = "ulimit -t $1; ulimit -v $2; ulimit -c 0; shift 2
        if [ -z \"$TIMES\" ]; then exec \"$@\"; fi
        \"$@\" && times >\"$TIMES\"";
    command.args(["-c", script, "sh"]);
    command.arg(cpu.to_string()).arg((MEMORY / 1024).to_string()).arg(&test.program);
    command.args([&test.name, "--exact", "--test-threads", "1"]);
    command.current_dir(folder).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return End::Failed };
    let status = wait(&mut child, patience);
    match status {
        None => End::Endless,
        Some(status) if status.success() => End::Passed,
        // A shell that waits for the program adds 128.
        Some(status) if status.signal() == Some(OUT_OF_TIME) || status.code() == Some(128 + OUT_OF_TIME) => {
            End::Endless
        }
        Some(_) => End::Failed,
    }
}

/// What `times` says that the program took, in user and system time.
fn cpu_time(file: &Path) -> Option<Duration> {
    let text = fs::read_to_string(file).ok()?;
    let parts = text.lines().nth(1)?.split_whitespace().map(|part| {
        let (minutes, seconds) = part.strip_suffix('s')?.split_once('m')?;
        Some(60.0 * minutes.parse::<f64>().ok()? + seconds.parse::<f64>().ok()?)
    });
    parts.sum::<Option<f64>>().map(Duration::from_secs_f64)
}

fn wait(child: &mut Child, patience: Duration) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if start.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(20));
    }
}

#[derive(Deserialize)]
struct Artifact {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<NamedTarget>,
}

#[derive(Deserialize)]
struct NamedTarget {
    name: String,
    kind: Vec<String>,
}

/// The test programs, by target; else what cargo wrote.
fn build(copy: &Copy, without: &[String], only: &[String]) -> Result<Result<Vec<(String, PathBuf)>, String>, Failure> {
    let output = copy.tree.cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let mut command = copy.tree.cargo();
    command.args(["test", "--quiet", "--no-run", "--no-fail-fast", "--all-features", "--message-format", "json"]);
    let wanted = |name: &String| !without.contains(name) && (only.is_empty() || only.contains(name));
    for target in metadata.packages.iter().flat_map(|package| &package.targets) {
        if target.kind.iter().any(|kind| kind == "lib") && wanted(&String::from("lib")) {
            command.arg("--lib");
        } else if target.kind.iter().any(|kind| kind == "test") && wanted(&target.name) {
            command.args(["--test", &target.name]);
        }
    }
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text)?;
    }
    if !child.wait()?.success() {
        return Ok(Err(text));
    }
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let programs = artifacts.filter_map(|artifact| Some((artifact.target?.name, artifact.executable?)));
    Ok(Ok(programs.collect()))
}

fn in_parallel(threads: usize, count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Relaxed);
                    if index >= count {
                        break;
                    }
                    work(index);
                }
            });
        }
    });
}
