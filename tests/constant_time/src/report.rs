//! Valgrind's XML: which code branched or indexed on something undefined.

use std::{fmt, path::Path};

/// A place in the code where memcheck complained.
#[derive(Debug)]
pub struct Finding {
    /// Whose code it is.
    pub place: Place,
    /// All that is known of it, for people.
    pub whole: String,
}

/// Whose code: the innermost frame that is not the standard library's, libc's or `subtle`'s, because they do what they are called
/// for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// This crate's or a dependency's: the file, from `src/` on or from the dependency's name on, and the line as it is written.
    Line { file: String, line: String },
    /// Anything else: a harness, a control, or a frame without a name.
    Elsewhere(String),
}

impl Place {
    /// Whether it is this crate's.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Line { file, .. } if file.starts_with("src/"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file} | {line}"),
            Self::Elsewhere(place) => f.write_str(place),
        }
    }
}

struct Frame {
    function: String,
    path: String,
    line: usize,
}

/// What an XML file of memcheck holds, each place once.
pub fn read(xml: &str) -> Vec<Finding> {
    let errors = xml.split("<error>").skip(1).map(|error| error.split("</error>").next().unwrap_or_default());
    let mut findings: Vec<_> = errors.map(finding).collect();
    findings.sort_by(|a, b| a.place.cmp(&b.place));
    findings.dedup_by(|a, b| a.place == b.place);
    findings
}

fn finding(error: &str) -> Finding {
    let kind = element(error, "kind").unwrap_or_default();
    let stack = error.split("</stack>").next().unwrap_or_default();
    let frames: Vec<_> = stack.split("<frame>").skip(1).map(frame).collect();
    let place = frames
        .iter()
        .find(|frame| !frame.is_library())
        .map_or_else(|| Place::Elsewhere(format!("{kind}: no frame")), Frame::place);
    let mut whole = format!("{kind} in {place}");
    let of_harness = frames.iter().take_while(|frame| !frame.path.ends_with("constant_time/src/main.rs"));
    for frame in of_harness.filter(|frame| !frame.is_library()) {
        whole.push_str(&format!("\n    {} ({}:{})", frame.function, frame.path, frame.line));
    }
    Finding { place, whole }
}

fn frame(text: &str) -> Frame {
    let path = Path::new(&element(text, "dir").unwrap_or_default()).join(element(text, "file").unwrap_or_default());
    Frame {
        function: element(text, "fn").unwrap_or_default(),
        path: path.to_string_lossy().into_owned(),
        line: element(text, "line").and_then(|line| line.parse().ok()).unwrap_or_default(),
    }
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

impl Frame {
    fn is_library(&self) -> bool {
        let is_rust =
            ["/library/core/", "/library/alloc/", "/library/std/"].iter().any(|part| self.path.contains(part));
        // libc, and valgrind's own memcmp and the like, have no path.
        is_rust || self.path.is_empty() || self.path.contains("/subtle-")
    }

    fn place(&self) -> Place {
        let path = Path::new(&self.path).canonicalize().unwrap_or_default();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap_or_default();
        let file = match (path.strip_prefix(root), self.path.split_once("/registry/src/")) {
            (Ok(file), _) if file.starts_with("src") => file.to_string_lossy().into_owned(),
            (_, Some((_, file))) => {
                let mut parts = file.splitn(3, '/').skip(1);
                let (name, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                format!("{}/{file}", name.rsplit_once('-').map_or(name, |(name, _)| name))
            }
            _ => return Place::Elsewhere(format!("{} ({}:{})", self.function, self.path, self.line)),
        };
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Place::Line { file, line: text.lines().nth(self.line.saturating_sub(1)).unwrap_or_default().trim().into() }
    }
}
