//! The way out: the one encoding of each value, counted first, then written.

use alloc::vec::Vec;
use core::{convert::Infallible, fmt};

use ciborium_ll::{Encoder, Header, simple};

/// Encodes whatever `write` writes, for CBOR sequences. `write` runs twice: once to measure, once to fill.
pub fn encode_with(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(len_of(&write));
    write(&mut Writer { out: Some(&mut out), len: 0 });
    out
}

/// How many bytes `write` writes.
pub(crate) fn len_of(write: impl Fn(&mut Writer<'_>)) -> usize {
    let mut measure = Writer { out: None, len: 0 };
    write(&mut measure);
    measure.len
}

/// Appends items, or only counts their bytes.
pub struct Writer<'b> {
    out: Option<&'b mut Vec<u8>>,
    len: usize,
}

/// Tells how much was written and nothing of what it is: packages are written with this before they are sealed.
impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} bytes written)", self.len)
    }
}

impl ciborium_io::Write for &mut Writer<'_> {
    type Error = Infallible;

    fn write_all(&mut self, data: &[u8]) -> Result<(), Infallible> {
        self.encoded(data);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Writer<'_> {
    /// One with an argument below 256 is written by hand: see the reader's `short_head`.
    fn head(&mut self, header: Header) {
        let (major, argument) = match header {
            Header::Positive(number) => (0, number),
            Header::Negative(number) => (1, number),
            Header::Bytes(Some(len)) => (2, wide(len)),
            Header::Text(Some(len)) => (3, wide(len)),
            Header::Array(Some(len)) => (4, wide(len)),
            Header::Map(Some(len)) => (5, wide(len)),
            Header::Tag(number) => (6, number),
            _ => (7, u64::MAX),
        };
        match u8::try_from(argument) {
            Ok(argument @ 0..=23) => self.encoded(&[major << 5 | argument]),
            Ok(argument) => self.encoded(&[major << 5 | 24, argument]),
            Err(_) => {
                let Ok(()) = Encoder::from(self).push(header);
            }
        }
    }

    /// Bytes that are already encoded.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len());
        if let Some(out) = &mut self.out {
            out.extend_from_slice(bytes);
        }
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) {
        self.head(Header::Positive(value));
    }

    /// An integer of either sign.
    pub fn integer(&mut self, value: i64) {
        self.head(match u64::try_from(value) {
            Ok(value) => Header::Positive(value),
            Err(_) => Header::Negative((!value).unsigned_abs()),
        });
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(Header::Bytes(Some(value.len())));
        self.encoded(value);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.head(Header::Text(Some(value.len())));
        self.encoded(value.as_bytes());
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.head(Header::Simple(if value { simple::TRUE } else { simple::FALSE }));
    }

    /// `null`.
    pub fn null(&mut self) {
        self.head(Header::Simple(simple::NULL));
    }

    /// The head of a tag; its content has to follow.
    pub fn tag(&mut self, tag: u64) {
        self.head(Header::Tag(tag));
    }

    /// The head of an array of `len` items.
    pub fn array(&mut self, len: usize) {
        self.head(Header::Array(Some(len)));
    }

    /// The head of a map of `len` pairs. Write the keys in ascending order.
    pub fn map(&mut self, len: usize) {
        self.head(Header::Map(Some(len)));
    }

    /// A byte string that holds what `write` writes (`bstr .cbor`, `bstr .cborseq`).
    pub fn wrapped(&mut self, write: impl Fn(&mut Writer<'_>)) {
        let len = len_of(&write);
        self.head(Header::Bytes(Some(len)));
        // Counting need not run `write` again; otherwise each level of wrapping would double the work.
        match self.out {
            Some(_) => write(self),
            None => self.len = self.len.saturating_add(len),
        }
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
