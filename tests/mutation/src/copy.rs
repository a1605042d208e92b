//! The copy of the crate with all of its mutants, until it compiles.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    process::Stdio,
};

use serde::Deserialize;

use crate::{Failure, list::Mutant, schema, tree::Tree, trial::Outcome};

pub struct Copy {
    pub tree: Tree,
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
    /// Puts the mutants into `tree`.
    pub fn new(tree: Tree, mutants: &[Mutant]) -> Result<Self, Failure> {
        let mut copy = Self { tree, dropped: BTreeMap::new(), consts: HashSet::new() };
        copy.compile(mutants)?;
        Ok(copy)
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
        let sources: Vec<(String, String)> = self.tree.sources().map(|(name, text)| (name.to_string(), text)).collect();
        let (file, key) = (self.tree.path.with_extension("compiled"), key(&sources, mutants));
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
            for (name, source) in &sources {
                let here: Vec<_> = mutants
                    .iter()
                    .enumerate()
                    .filter(|(id, mutant)| mutant.file == *name && !self.dropped.contains_key(id))
                    .collect();
                let written = schema::write(source, &here, &|name| self.consts.contains(name))?;
                self.dropped.extend(
                    written.unswitchable.into_iter().map(|id| (id, Outcome::Unswitchable(String::from("let or impl")))),
                );
                spots.insert(name.as_str(), written.spots);
                self.tree.write(name, written.text)?;
            }
            self.tree.write_switches(mutants.len())?;

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

    fn check(&self) -> Result<Vec<Message>, Failure> {
        let mut command = self.tree.cargo();
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

/// What was found out is worth something as long as this is the same.
fn key(sources: &[(String, String)], mutants: &[Mutant]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    mutants.iter().for_each(|mutant| mutant.name.hash(&mut hasher));
    hasher.finish()
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
