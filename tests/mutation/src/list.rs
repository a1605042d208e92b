//! The mutants, as cargo-mutants lists them.

use std::{path::Path, process::Command};

use serde::Deserialize;

use crate::Failure;

#[derive(Clone, Deserialize)]
pub struct Mutant {
    pub name: String,
    pub file: String,
    pub genre: Genre,
    pub span: Span,
    pub replacement: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Clone, Deserialize)]
pub struct Span {
    pub start: Place,
    pub end: Place,
}

#[derive(Clone, Deserialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// What `cargo mutants --list` says in `root`, with `options` of its own, such as `--in-diff` or `--shard`.
pub fn read(root: &Path, options: &[String]) -> Result<Vec<Mutant>, Failure> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["mutants", "--list", "--json"]).args(options);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("cargo mutants --list has failed".into());
    }
    // An empty diff is no JSON at all.
    if output.stdout.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
