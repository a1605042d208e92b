//! The copy of the crate with all of its mutants, until it compiles.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{Failure, list::Mutant, schema, trial::Outcome};

const SWITCH: &str = include_str!("switch.rs");
/// Errors by default, which a mutant may well be.
const LINTS: &str = "[lints.rust]\narithmetic_overflow = \"allow\"\nunconditional_panic = \"allow\"\n";

pub struct Copy {
    pub path: PathBuf,
    root: PathBuf,
    /// What git knows, NUL after each.
    listed: String,
    /// The mutants that are not in it.
    pub dropped: BTreeMap<usize, Outcome>,
    /// Functions that have to stay `const`.
    consts: HashSet<String>,
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    message: String,
    level: String,
    code: Option<Code>,
    spans: Vec<Span>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

impl Copy {
    /// Copies what git knows of `root` to `path`, and puts the mutants in.
    pub fn new(root: &Path, path: PathBuf, mutants: &[Mutant]) -> Result<Self, Failure> {
        let listed =
            Command::new("git").current_dir(root).args(["ls-files", "-z", "-co", "--exclude-standard"]).output()?;
        if !listed.status.success() {
            return Err("git ls-files has failed".into());
        }
        let listed = String::from_utf8(listed.stdout)?;
        for name in listed.split('\0').filter(|name| !name.is_empty() && !is_source(name)) {
            if let Ok(bytes) = fs::read(root.join(name)) {
                write_if_changed(&path.join(name), &bytes)?;
            }
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let without_lints = without_section(&manifest, "[lints.");
        write_if_changed(&path.join("Cargo.toml"), format!("{without_lints}\n{LINTS}").as_bytes())?;
        let mut copy =
            Self { path, root: root.to_path_buf(), listed, dropped: BTreeMap::new(), consts: HashSet::new() };
        copy.compile(mutants)?;
        Ok(copy)
    }

    /// A command of cargo in the copy, with the crates that are built already.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.path).env("CARGO_TARGET_DIR", self.root.join("target"));
        command
    }

    /// Whether tests that do not build, by what cargo wrote, may build now: they wanted functions in constants.
    pub fn compile_for(&mut self, stdout: &str, mutants: &[Mutant]) -> Result<bool, Failure> {
        let before = self.consts.len();
        self.consts.extend(errors(stdout).iter().filter_map(constant));
        let found = self.consts.len() > before;
        if found {
            self.compile(mutants)?;
        }
        Ok(found)
    }

    fn compile(&mut self, mutants: &[Mutant]) -> Result<(), Failure> {
        let listed = self.listed.clone();
        let (file, key) = (self.path.with_extension("compiled"), self.key(mutants)?);
        if let Some((_, dropped, consts)) = fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<(u64, BTreeMap<usize, Outcome>, HashSet<String>)>(&bytes).ok())
            .filter(|(old, ..)| *old == key)
        {
            self.dropped.extend(dropped);
            self.consts.extend(consts);
        }
        for round in 1.. {
            let mut spots = BTreeMap::new();
            for name in listed.split('\0').filter(|name| is_source(name)) {
                let here: Vec<_> = mutants
                    .iter()
                    .enumerate()
                    .filter(|(id, mutant)| mutant.file == name && !self.dropped.contains_key(id))
                    .collect();
                let Ok(source) = fs::read_to_string(self.root.join(name)) else { continue };
                let written = schema::write(&source, &here, &|name| self.consts.contains(name))?;
                self.dropped.extend(
                    written.unswitchable.into_iter().map(|id| (id, Outcome::Unswitchable(String::from("let or impl")))),
                );
                spots.insert(name, written.spots);
                let mut text = written.text;
                if name == "src/lib.rs" {
                    text = text.replace("#![forbid(unsafe_code)]", "") + "\nmod mutant;\n";
                }
                write_if_changed(&self.path.join(name), text.as_bytes())?;
            }
            let switch = SWITCH.replace("//!", "//") + &format!("\nconst MUTANTS: usize = {};\n", mutants.len());
            write_if_changed(&self.path.join("src/mutant.rs"), switch.as_bytes())?;

            let errors = self.check()?;
            println!("compiling, round {round}: {} errors, {} mutants out", errors.len(), self.dropped.len());
            if errors.is_empty() {
                fs::write(&file, serde_json::to_vec(&(key, &self.dropped, &self.consts))?)?;
                return Ok(());
            }
            let before = (self.dropped.len(), self.consts.len());
            let mut unknown = Vec::new();
            for error in errors {
                let code = error.code.as_ref().map_or("", |code| &code.code);
                let found = blame(&error, &spots);
                if let (Some(name), true) = (constant(&error), found.is_empty()) {
                    self.consts.insert(name);
                } else if found.is_empty() {
                    unknown.push(error);
                } else {
                    let outcome = match code {
                        "E0015" => Outcome::Unswitchable(String::from("constant")),
                        "E0004" => Outcome::Unswitchable(String::from("match without a last arm")),
                        _ => Outcome::Unviable(format!("{code} {}", error.message)),
                    };
                    for id in found {
                        self.dropped.entry(id).or_insert_with(|| outcome.clone());
                    }
                }
            }
            if before == (self.dropped.len(), self.consts.len()) {
                let all: Vec<_> = unknown.into_iter().filter_map(|error| error.rendered).collect();
                return Err(format!("these errors belong to no mutant:\n{}", all.join("\n")).into());
            }
        }
        Ok(())
    }

    /// What was found out is worth something as long as this is the same.
    fn key(&self, mutants: &[Mutant]) -> Result<u64, Failure> {
        let mut hasher = DefaultHasher::new();
        for name in self.listed.split('\0').filter(|name| is_source(name)) {
            fs::read(self.root.join(name)).unwrap_or_default().hash(&mut hasher);
        }
        mutants.iter().for_each(|mutant| mutant.name.hash(&mut hasher));
        Ok(hasher.finish())
    }

    fn check(&self) -> Result<Vec<Message>, Failure> {
        let mut command = self.cargo();
        // With the unit tests, which may use a function in a constant.
        command.args(["check", "--quiet", "--lib", "--profile", "test", "--all-features", "--message-format", "json"]);
        let output = command.stderr(Stdio::null()).output()?;
        let errors = errors(&String::from_utf8(output.stdout)?);
        if errors.is_empty() && !output.status.success() {
            return Err("the copy cannot be checked: see `cargo check --lib --all-features` in it".into());
        }
        Ok(errors)
    }
}

fn errors(stdout: &str) -> Vec<Message> {
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let messages = lines.filter(|line| line.reason == "compiler-message").filter_map(|line| line.message);
    messages.filter(|message| message.level == "error" && !message.spans.is_empty()).collect()
}

/// The function that has to be `const`, if that is the error.
fn constant(error: &Message) -> Option<String> {
    let is_const = error.code.as_ref().is_some_and(|code| code.code == "E0015");
    error.message.split('`').nth(1).filter(|_| is_const).map(|path| String::from(last_name(path)))
}

/// The mutants that an error comes from: those whose own text it names; if there are none, the smallest around it.
fn blame(error: &Message, spots: &BTreeMap<&str, Vec<schema::Spot>>) -> BTreeSet<usize> {
    let mut own = BTreeSet::new();
    for primary in [true, false] {
        for span in error.spans.iter().filter(|span| span.is_primary == primary) {
            let Some(spots) = spots.get(span.file_name.as_str()) else { continue };
            let inside = |range: &std::ops::Range<usize>| range.start <= span.byte_start && span.byte_end <= range.end;
            own.extend(spots.iter().filter(|spot| inside(&spot.own)).map(|spot| spot.mutant));
        }
        if !own.is_empty() {
            return own;
        }
    }
    let code = error.code.as_ref().map_or("", |code| &code.code);
    if code == "E0015" {
        return own;
    }
    // Guards do not count when a match has to be exhaustive, so its arms have no switches. The error names what is matched.
    if code == "E0004" {
        for span in error.spans.iter().filter(|span| span.is_primary) {
            let Some(spots) = spots.get(span.file_name.as_str()) else { continue };
            let arms = || spots.iter().filter(|spot| spot.is_arm && spot.own.start >= span.byte_end);
            let end = arms().map(|arm| arm.whole.end).min();
            own.extend(arms().filter(|arm| Some(arm.whole.end) == end).map(|arm| arm.mutant));
        }
        return own;
    }
    for span in error.spans.iter().filter(|span| span.is_primary) {
        let Some(spots) = spots.get(span.file_name.as_str()) else { continue };
        let around = spots.iter().filter(|spot| spot.whole.start <= span.byte_start && span.byte_end <= spot.whole.end);
        let Some(smallest) = around.min_by_key(|spot| spot.whole.len()) else { continue };
        own.extend(spots.iter().filter(|spot| spot.whole == smallest.whole).map(|spot| spot.mutant));
    }
    own
}

/// `new` of `Key::<32>::new` and of `new::<32>`.
fn last_name(path: &str) -> &str {
    let path = if path.ends_with('>') { path.rsplit_once("::<").map_or(path, |(path, _)| path) } else { path };
    path.rsplit("::").next().unwrap_or(path)
}

fn is_source(name: &str) -> bool {
    name.starts_with("src/") && name.ends_with(".rs")
}

/// A manifest without the tables whose names start like this.
fn without_section(manifest: &str, start: &str) -> String {
    let mut inside = false;
    let kept = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            inside = line.starts_with(start);
        }
        !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, bytes)?)
}
