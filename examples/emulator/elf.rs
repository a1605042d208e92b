//! What a firmware takes, from its ELF file: sections and symbols, 32 bits, little-endian (ELF specification, part 1).

use std::{fs, io, path::Path};

/// The parts of an image.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sizes {
    /// Vector table, code, constants and the values that variables start with.
    pub(crate) flash: usize,
    /// Variables.
    pub(crate) ram: usize,
}

pub(crate) struct Image {
    pub(crate) sizes: Sizes,
    /// Name and length of each function and constant, the longest first.
    pub(crate) symbols: Vec<(String, usize)>,
}

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const NOBITS: u32 = 8;
const WRITE: u32 = 1;
const ALLOC: u32 = 2;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|half| usize::from(u16::from_le_bytes(*half)))
}

struct Section {
    kind: u32,
    flags: u32,
    offset: usize,
    size: usize,
    link: usize,
}

fn parse(file: &[u8]) -> Option<Image> {
    let place = |at| word(file, at).map(|word| word as usize);
    let (table, entry_len, entries) = (place(32)?, half(file, 46)?, half(file, 48)?);
    let section = |number: usize| {
        let at = table + number * entry_len;
        let (kind, flags) = (word(file, at + 4)?, word(file, at + 8)?);
        Some(Section { kind, flags, offset: place(at + 16)?, size: place(at + 20)?, link: place(at + 24)? })
    };
    let sections = (0..entries).map(section).collect::<Option<Vec<_>>>()?;
    let mut sizes = Sizes::default();
    for Section { kind, flags, size, .. } in sections.iter().filter(|section| section.flags & ALLOC != 0) {
        if *kind == PROGBITS {
            sizes.flash += size;
        }
        if *kind == NOBITS || flags & WRITE != 0 {
            sizes.ram += size;
        }
    }
    let table = sections.iter().find(|section| section.kind == SYMTAB)?;
    let names = file.get(sections.get(table.link)?.offset..)?;
    let mut symbols = Vec::new();
    for symbol in file.get(table.offset..table.offset + table.size)?.chunks_exact(16) {
        let (name, size, home) = (word(symbol, 0)? as usize, word(symbol, 8)? as usize, half(symbol, 14)?);
        let stored = sections.get(home).is_some_and(|home| home.kind == PROGBITS && home.flags & ALLOC != 0);
        if size > 0 && stored {
            let name = names.get(name..)?.split(|byte| *byte == 0).next()?;
            symbols.push((format!("{:#}", rustc_demangle::demangle(&String::from_utf8_lossy(name))), size));
        }
    }
    symbols.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Some(Image { sizes, symbols })
}

/// Reads an image.
pub(crate) fn read(path: &Path) -> io::Result<Image> {
    parse(&fs::read(path)?).ok_or_else(|| io::Error::other(format!("{} is no ELF file of 32 bits", path.display())))
}
