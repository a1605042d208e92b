//! Imports run downwards only: a room may use itself and rooms of a lower rank.
//!
//! This reads each file under `src/` as text, blanks what is no code (comments, strings, `#[cfg(test)]` items), and looks
//! at every path that starts at `crate::`, alone or as a group. `lib.rs` is the map of the house and belongs to no room.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has found something"
)]

use std::{fs, path::Path};

const RANKS: [&[&str]; 7] = [
    &["error", "fault"],
    &["identity", "wire", "crypto", "time"],
    &["store", "cose", "aka", "framing"],
    &["trust", "attestation", "credential"],
    &["edhoc", "authority"],
    &["provisioning"],
    &["sim", "cores", "manual"],
];

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

/// What is wrong with a file, one line each; `path` is below `src/`.
fn violations(path: &str, source: &str) -> Vec<String> {
    let room = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let Some(own) = rank(room) else {
        return vec![format!("src/{path}: room `{room}` has no rank; give it one in tests/layers.rs")];
    };
    let code = without_tests(code_only(source));
    let mut found = Vec::new();
    for (at, used) in rooms_used(&code) {
        let line = code[..at].matches('\n').count() + 1;
        match rank(used) {
            Some(rank) if rank < own || used == room => {}
            Some(rank) => found.push(format!("src/{path}:{line}: `{room}` (rank {own}) uses `{used}` (rank {rank})")),
            None => {
                found.push(format!("src/{path}:{line}: `{room}` uses `crate::{used}`, which is no room; name its room"))
            }
        }
    }
    found
}

/// The source with comments, strings and characters blanked, line by line the same.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let raw_string = || rest.strip_prefix('r').map(|tail| tail.len() - tail.trim_start_matches('#').len());
        let after = |start: usize, end: &str| rest[start..].find(end).map_or(rest.len(), |at| start + at + end.len());
        let blanked = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            after(2, "*/")
        } else if let Some(hashes) = raw_string().filter(|hashes| rest[1 + hashes..].starts_with('"')) {
            after(hashes + 2, &format!("\"{}", "#".repeat(hashes)))
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                c == '"' && !escaped || {
                    escaped = c == '\\' && !escaped;
                    false
                }
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\\") {
            after(3, "'")
        } else if first == '\'' && rest.chars().nth(2) == Some('\'') {
            after(1, "'")
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..blanked].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[blanked..];
    }
    code
}

/// Blanks items marked `#[cfg(test)]`: up to a `;`, or to the brace that closes them.
fn without_tests(code: String) -> String {
    let Some(start) = code.find("#[cfg(test)]") else { return code };
    let mut depth = 0_i32;
    let end = code[start..].find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && (c == '}' || c == ';')
    });
    let end = end.map_or(code.len(), |end| start + end + 1);
    let blank: String = code[start..end].chars().filter(|c| *c == '\n').collect();
    without_tests(format!("{}{blank}{}", &code[..start], &code[end..]))
}

/// The names right after `crate::`, and where they stand. A `super::` that leads to a room counts as well.
fn rooms_used(code: &str) -> Vec<(usize, &str)> {
    let mut used = Vec::new();
    for (at, prefix) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let mut depth = 0_i32;
        let mut expected = true;
        let start = at + prefix.len();
        for (offset, c) in code[start..].char_indices() {
            let here = &code[start + offset..];
            if expected && !c.is_whitespace() && c != '{' && c != '}' {
                let name = &here[..here.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(here.len())];
                if prefix == "crate::" || rank(name).is_some() {
                    used.push((start + offset, if name.is_empty() { &here[..c.len_utf8()] } else { name }));
                }
                expected = false;
            }
            depth += i32::from(c == '{') - i32::from(c == '}');
            // In a group, a comma of the outermost level starts the next name.
            expected |= c == ',' && depth == 1;
            if depth <= 0 && !c.is_whitespace() {
                break;
            }
        }
    }
    used
}

fn check(directory: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        let name = format!("{below}{}", path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8"));
        if path.is_dir() {
            check(&path, &format!("{name}/"), found);
        } else if name.ends_with(".rs") && name != "lib.rs" {
            found.extend(violations(&name, &fs::read_to_string(&path).expect("sources are UTF-8")));
        }
    }
}

#[test]
fn imports_run_downwards() {
    let mut found = Vec::new();
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    assert!(found.is_empty(), "imports run downwards only (ranks in tests/layers.rs):\n{}", found.join("\n"));
}

#[test]
fn the_checker_sees_every_way_to_import() {
    let edhoc = |source: &str| violations("edhoc/mod.rs", source);
    for upwards in [
        "use crate::sim;",
        "use crate::sim::World;",
        "pub(crate) use crate::sim::{World, link::{Link, Loss}};",
        "use crate::{error::{Error, Result}, sim::World};",
        "use crate::{\n    wire,\n    sim,\n};",
        "use crate::{cose::{self, sign1::{a, b}}, trust, sim as x};",
        "fn f() -> crate::sim::World { todo!() }",
        "impl From<crate::sim::World> for X {}",
        "fn f() { let c = '\"'; crate::sim::run(\"//\") }",
        "fn f() { let s = \"a\\\"\"; crate::sim::run(r#\"\"\"#) }",
        "macro_rules! m { () => { $crate::sim::run() } }",
        "use super::sim;",
        "#[cfg(test)]\nmod tests { fn f() { if a {} } }\nuse crate::sim;",
        "#[cfg(test)]\nuse crate::wire;\nuse crate::sim;",
        "#[cfg(test)]\nmod tests { const C: [char; 3] = ['{', '\\'', '\\u{7b}']; }\nuse crate::sim;",
    ] {
        let found = edhoc(upwards);
        assert_eq!(found.len(), 1, "{upwards}: {found:?}");
        assert!(found[0].ends_with(": `edhoc` (rank 4) uses `sim` (rank 6)"), "{upwards}: {found:?}");
    }
    assert_eq!(edhoc("\n/*\n*/ use crate::{\n  a::b,\n  sim};").len(), 2, "`a` is no room");
    assert!(edhoc("\n/*\n*/ use crate::{\n  sim};")[0].starts_with("src/edhoc/mod.rs:4: "));
    assert!(edhoc("#[cfg(test)]\nmod t {\n}\nuse crate::sim;")[0].starts_with("src/edhoc/mod.rs:4: "));
    assert_eq!(edhoc("use crate::{wire, crate_thing};").len(), 1);
    assert_eq!(edhoc("use crate::*;").len(), 1);
    assert_eq!(violations("trust/x509.rs", "use crate::credential::X;").len(), 1, "the same rank");
    assert_eq!(violations("attic.rs", ""), ["src/attic.rs: room `attic` has no rank; give it one in tests/layers.rs"]);
    assert_eq!(violations("attic/mod.rs", "").len(), 1);
}

#[test]
fn the_checker_lets_the_rest_pass() {
    for downwards in [
        "use crate::{error::{Error, Misuse::sim}, wire::{sim, Reader}, edhoc::message, trust};",
        "/// [`World`](crate::sim::World)\n//! crate::sim\n// crate::sim\n/* crate::sim */ struct X;",
        "const S: &str = \"crate::sim\"; const R: &str = r#\"\"crate::sim\"#;",
        "#[cfg(test)]\nmod tests {\n    use crate::sim::World;\n    fn f() { if a {} }\n}",
        "pub(crate) fn f<'a>(x: &'a str) {} use super::message; use supercrate::sim;",
        "macro_rules! m { () => { $crate::wire::Reader } }",
    ] {
        assert_eq!(violations("edhoc/initiator.rs", downwards), [""; 0], "{downwards}");
    }
}
