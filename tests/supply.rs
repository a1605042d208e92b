//! What comes along with the crate: README explains each dependency, all licences are known, and nothing comes twice. What is
//! allowed is in `.deny.toml`, for those who have `cargo-deny`, which knows the advisories as well.
#![cfg(feature = "aws-lc-rs")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_alloc,
    reason = "a test has std, and one that panics has found something"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// `cargo tree` with these options: name, version and licence of each crate, this one among them.
fn tree(options: &[&str]) -> BTreeSet<(String, String, String)> {
    let cargo = env::var("CARGO").expect("run by cargo");
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--target", "x86_64-unknown-linux-gnu"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let package = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split(' ');
        Some((words.next()?.to_owned(), words.next()?.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
    };
    text.lines().filter(|line| !line.is_empty()).map(|line| package(line).expect("a package")).collect()
}

const ALL: [&str; 3] = ["--all-features", "--edges", "normal,build"];

#[test]
fn readme_explains_each_dependency() {
    let readme = file("README.md");
    let (_, section) = readme.split_once("## Dependencies\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("another one");
    let rows = section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let explained: BTreeSet<_> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    let direct = tree(&["--all-features", "--edges", "normal", "--depth", "1"]);
    let direct = direct.into_iter().map(|(name, ..)| name).filter(|name| name != env!("CARGO_PKG_NAME"));
    assert_eq!(explained, direct.collect());

    let [default, none, all] =
        [&["--edges", "normal,build"][..], &["--no-default-features", "--edges", "normal,build"], &ALL]
            .map(|options| tree(options).len().saturating_sub(1));
    let sentence = format!("has {default} crates with the default features, {none} without any and {all} with");
    assert!(section.contains(&sentence), "{sentence}");
}

#[test]
fn licences_are_those_of_the_list() {
    let deny = file(".deny.toml");
    let (_, list) = deny.split_once("\nallow = [").expect("a list");
    let (list, _) = list.split_once(']').expect("its end");
    let allowed: BTreeSet<_> = list.split('"').skip(1).step_by(2).collect();
    for (name, version, licence) in tree(&ALL) {
        let is_allowed = |text: &str| text.split(" AND ").all(|licence| allowed.contains(licence));
        let fits = match licence.replace('/', " OR ") {
            // Whichever side of an OR in brackets somebody takes.
            nested if nested.contains('(') => {
                nested.replace(['(', ')'], "").replace(" OR ", " AND ").split(" AND ").all(is_allowed)
            }
            plain => plain.split(" OR ").any(is_allowed),
        };
        assert!(fits, "{name} {version}: {licence}");
    }
}

#[test]
fn nothing_comes_twice() {
    let deny = file(".deny.toml");
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    for (name, version, _) in tree(&ALL) {
        versions.entry(name).or_default().insert(version);
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        assert!(deny.contains(&format!("crate = \"{name}@")), "{name}: {versions:?}");
    }
}
