//! Takes each defence out that `tests/attacks/removals.rs` lists, and runs the test of its attack.
//!
//! Every function that a removal changes gets a second body behind a switch: `{ if on(3) { changed } else { as it is } }`.
//! So one build has all of them. A test has to fail at the assertion that the list names, which is its oracle.

#[path = "../../attacks/removals.rs"]
mod listed;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde::Deserialize;

use self::listed::{REMOVALS, Removal};
use crate::{Failure, schema, tree::Tree};

/// Seconds of CPU time for one test, without the defence.
const PATIENCE: u32 = 300;

/// Whether every test fails without the defence against its attack: of those `numbers`, or of all.
pub fn run(numbers: impl Iterator<Item = String>) -> Result<bool, Failure> {
    let numbers = numbers.map(|number| number.parse()).collect::<Result<BTreeSet<u8>, _>>()?;
    let root = crate::root()?;
    let tree = Tree::new(&root, root.join("target/mutation/attacks"))?;
    for (name, source) in tree.sources() {
        let edits =
            REMOVALS.iter().enumerate().flat_map(|(id, removal)| removal.edits.iter().map(move |edit| (id, edit)));
        let edits: Vec<_> = edits.filter(|(_, (file, ..))| *file == name).map(|(id, (_, a, b))| (id, *a, *b)).collect();
        let text = write(&source, &edits).map_err(|error| format!("{name}: {error}"))?;
        tree.write(name, text)?;
    }
    tree.write_switches(REMOVALS.len())?;
    let wanted = REMOVALS.iter().enumerate();
    let wanted: Vec<_> = wanted.filter(|(_, it)| numbers.is_empty() || numbers.contains(&it.attack)).collect();
    let programs = build(&tree, &wanted.iter().map(|(_, removal)| removal.program).collect())?;
    let mut tests: BTreeMap<(&str, u8), Test> = BTreeMap::new();
    let (mut missed, begun) = (0, Instant::now());
    for (id, removal) in &wanted {
        let test = match tests.entry((removal.program, removal.attack)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let test = new.insert(Test::of(removal, &programs, &tree.path)?);
                if let Some(end) = test.run(None)? {
                    println!("{} FAILS with all defences: {}", test.name, end.said);
                    missed += 1;
                }
                test
            }
        };
        let (good, what) = judge(removal, test.run(Some(*id))?, &tree.path);
        println!("{:02} {}\n   {}: {what}", removal.attack, removal.defence, if good { "fails" } else { "MISSED" });
        missed += usize::from(!good);
    }
    let (runs, attacks) =
        (wanted.len(), wanted.iter().map(|(_, removal)| removal.attack).collect::<BTreeSet<_>>().len());
    println!("{runs} removals, for {attacks} attacks, in {} s: {missed} missed", begun.elapsed().as_secs());
    Ok(missed == 0)
}

/// Puts edits into a source: the number of the removal, what is there, and what is there without the defence.
fn write(source: &str, edits: &[(usize, &str, &str)]) -> Result<String, Failure> {
    let (bodies, consts) = schema::bodies(source)?;
    let mut changed: BTreeMap<usize, (Range<usize>, BTreeMap<usize, Vec<(Range<usize>, &str)>>)> = BTreeMap::new();
    for (id, there, without) in edits {
        let mut places = source.match_indices(there);
        let (Some((start, _)), None) = (places.next(), places.next()) else {
            return Err(format!("this has to be there once, and is not: {there}").into());
        };
        let place = start..start + there.len();
        let body = schema::smallest(&bodies, &place).ok_or_else(|| format!("this is in no function: {there}"))?;
        let (_, all) = changed.entry(body.start).or_insert_with(|| (body, BTreeMap::new()));
        all.entry(*id).or_default().push((place, without));
    }
    let (mut text, mut end) = (String::new(), 0);
    for (body, all) in changed.into_values() {
        if body.start < end {
            return Err("a function in a function, both changed".into());
        }
        // A switch is nothing for a constant function.
        let before =
            bodies.iter().map(|other| other.start).filter(|start| *start < body.start).max().unwrap_or(0).max(end);
        match consts.iter().find(|range| before <= range.start && range.end <= body.start) {
            Some(range) => text.extend([&source[end..range.start], &source[range.end..body.start]]),
            None => text += &source[end..body.start],
        }
        text += "{ ";
        for (id, mut places) in all {
            places.sort_by_key(|(place, _)| place.start);
            text += &format!("if crate::mutant::on({id}) ");
            let mut at = body.start;
            for (place, without) in places {
                text += &source[at..place.start];
                text += without;
                at = place.end;
            }
            text += &source[at..body.end];
            text += " else ";
        }
        text += &source[body.clone()];
        text += " }";
        end = body.end;
    }
    Ok(text + &source[end..])
}

#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The test programs, by name.
fn build(tree: &Tree, names: &BTreeSet<&str>) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut command = tree.cargo();
    command.args(["test", "--quiet", "--no-run", "--all-features", "--message-format", "json-render-diagnostics"]);
    names.iter().for_each(|name| {
        command.args(["--test", name]);
    });
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the copy does not build: see above".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    Ok(artifacts.filter_map(|artifact| Some((artifact.target.name, artifact.executable?))).collect())
}

/// How a test failed.
struct End {
    /// Where it panicked.
    place: Option<(String, usize)>,
    /// What it said, in one line.
    said: String,
}

/// The test that plays an attack.
struct Test {
    program: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Test {
    fn of(removal: &Removal, programs: &BTreeMap<String, PathBuf>, folder: &Path) -> Result<Self, Failure> {
        let program = programs.get(removal.program).ok_or("a program was not built")?;
        let listed = Command::new(program).args(["--list", "--format", "terse"]).output()?;
        let wanted = format!("attack_{:02}_", removal.attack);
        let listed = String::from_utf8(listed.stdout)?;
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        match names.filter(|name| name.contains(&wanted)).collect::<Vec<_>>()[..] {
            [name] => Ok(Self { program: program.clone(), folder: folder.to_path_buf(), name: name.to_string() }),
            _ => Err(format!("there is not one test {wanted} in {}", removal.program).into()),
        }
    }

    /// Runs it without this defence; `None` if it passes.
    fn run(&self, removal: Option<usize>) -> Result<Option<End>, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -t $1; ulimit -c 0; shift; exec \"$@\"", "sh", &PATIENCE.to_string()]);
        command.arg(&self.program).args([&self.name, "--exact", "--test-threads", "1"]);
        command.current_dir(&self.folder).env("RUST_BACKTRACE", "0").env_remove("MUTANT");
        if let Some(id) = removal {
            command.env("MUTANT", id.to_string());
        }
        let output = command.output()?;
        if output.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let Some((_, panic)) = text.split_once(" panicked at ") else {
            return Ok(Some(End { place: None, said: format!("no panic, but {}", output.status) }));
        };
        let mut lines = panic.lines();
        let mut place = lines.next().unwrap_or_default().split(':');
        let place = place.next().zip(place.next().and_then(|line| line.parse().ok()));
        let said: Vec<_> = lines.take_while(|line| !line.is_empty() && !line.starts_with("note: ")).collect();
        let said = said.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
        Ok(Some(End {
            place: place.map(|(file, line)| (file.to_string(), line)),
            said: said.chars().take(200).collect(),
        }))
    }
}

/// Whether that is how it has to fail, and what is to be said of it.
fn judge(removal: &Removal, end: Option<End>, folder: &Path) -> (bool, String) {
    let Some(End { place, said }) = end else { return (false, String::from("the test passes")) };
    let Some((file, line)) = place else { return (false, said) };
    let statement = statement(&folder.join(&file), line);
    let good = file.starts_with("tests/") && statement.contains(removal.fails);
    (good, format!("{file}:{line}: {statement}\n   {said}"))
}

/// What begins in this line of a file, in one line.
fn statement(file: &Path, line: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut statement = Vec::new();
    for line in text.lines().skip(line.saturating_sub(1)).take(12).map(str::trim) {
        statement.push(line);
        if line.ends_with([';', '}', '{']) {
            break;
        }
    }
    statement.join(" ")
}
