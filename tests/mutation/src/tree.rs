//! A copy of what git knows of the crate, whose source is written anew with switches in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Failure;

const SWITCH: &str = include_str!("switch.rs");
/// The first two are errors by default, and a mutant may well be one; what is unused or cannot be reached is no news.
const LINTS: &str =
    "[lints.rust]\narithmetic_overflow = \"allow\"\nunconditional_panic = \"allow\"\nwarnings = \"allow\"\n";

pub struct Tree {
    pub path: PathBuf,
    root: PathBuf,
    /// What git knows, NUL after each.
    listed: String,
}

impl Tree {
    /// Copies what git knows of `root` to `path`, but for the source.
    pub fn new(root: &Path, path: PathBuf) -> Result<Self, Failure> {
        let listed =
            Command::new("git").current_dir(root).args(["ls-files", "-z", "-co", "--exclude-standard"]).output()?;
        if !listed.status.success() {
            return Err("git ls-files has failed".into());
        }
        let tree = Self { path, root: root.to_path_buf(), listed: String::from_utf8(listed.stdout)? };
        for name in tree.names().filter(|name| !is_source(name)) {
            if let Ok(bytes) = fs::read(root.join(name)) {
                write_if_changed(&tree.path.join(name), &bytes)?;
            }
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let without_lints = without_section(&manifest, "[lints.");
        write_if_changed(&tree.path.join("Cargo.toml"), format!("{without_lints}\n{LINTS}").as_bytes())?;
        Ok(tree)
    }

    /// A command of cargo in the copy, with the crates that are built already.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.path).env("CARGO_TARGET_DIR", self.root.join("target"));
        command
    }

    /// The files of the source, with their text as it was.
    pub fn sources(&self) -> impl Iterator<Item = (&str, String)> {
        let sources = self.names().filter(|name| is_source(name));
        sources.filter_map(|name| Some((name, fs::read_to_string(self.root.join(name)).ok()?)))
    }

    /// Writes a file of the source anew.
    pub fn write(&self, name: &str, mut text: String) -> Result<(), Failure> {
        if name == "src/lib.rs" {
            text = text.replace("#![forbid(unsafe_code)]", "") + "\nmod mutant;\n";
        }
        write_if_changed(&self.path.join(name), text.as_bytes())
    }

    /// Adds the switches, `count` of them.
    pub fn write_switches(&self, count: usize) -> Result<(), Failure> {
        let switch = SWITCH.replace("//!", "//") + &format!("\nconst MUTANTS: usize = {count};\n");
        write_if_changed(&self.path.join("src/mutant.rs"), switch.as_bytes())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.listed.split('\0').filter(|name| !name.is_empty())
    }
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
