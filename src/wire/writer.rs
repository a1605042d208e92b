//! The way out: the one encoding of each value, counted first, then written.

use alloc::vec::Vec;
use core::fmt;

/// Encodes whatever `write` writes, for CBOR sequences. `write` runs twice: once to measure, once to fill.
pub fn encode_with(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    encode_with_room(0, write)
}

/// The same, in a buffer with `room` bytes more, for what is to be appended or [put in front](put_in_front): a buffer that grows
/// is there twice for a while, and leaves a copy behind.
pub(crate) fn encode_with_room(room: usize, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(len_of(&write).saturating_add(room));
    write(&mut Writer(To::Buffer(&mut out)));
    out
}

/// Puts `head` before `text`, in the same buffer.
pub(crate) fn put_in_front(head: &[u8], text: &mut Vec<u8>) {
    let len = text.len();
    text.extend_from_slice(head);
    text.copy_within(..len, head.len());
    text.iter_mut().zip(head).for_each(|(byte, new)| *byte = *new);
}

/// How many bytes `write` writes.
pub(crate) fn len_of(write: impl Fn(&mut Writer<'_>)) -> usize {
    let mut measure = Writer(To::Nowhere(0));
    write(&mut measure);
    measure.len()
}

/// Appends items, or only counts their bytes.
pub struct Writer<'b>(To<'b>);

enum To<'b> {
    Buffer(&'b mut Vec<u8>),
    /// So many bytes.
    Nowhere(usize),
}

/// Tells how much was written and nothing of what it is: packages are written with this before they are sealed.
impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} bytes written)", self.len())
    }
}

impl Writer<'_> {
    fn len(&self) -> usize {
        match &self.0 {
            To::Buffer(out) => out.len(),
            To::Nowhere(len) => *len,
        }
    }

    /// The shortest head of this major type with this argument (RFC 8949 §3).
    #[inline]
    fn head(&mut self, kind: u8, argument: u64) {
        match u8::try_from(argument) {
            // Nearly all heads are one byte.
            Ok(small @ 0..24) => self.encoded(&[kind << 5 | small]),
            _ => self.long_head(kind << 5, argument),
        }
    }

    fn long_head(&mut self, kind: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let [.., b4, b5, b6, b7] = bytes;
        match argument {
            ..=0xff => self.encoded(&[kind | 24, b7]),
            0x100..=0xffff => self.encoded(&[kind | 25, b6, b7]),
            0x1_0000..=0xffff_ffff => self.encoded(&[kind | 26, b4, b5, b6, b7]),
            _ => {
                self.encoded(&[kind | 27]);
                self.encoded(&bytes);
            }
        }
    }

    /// A head whose argument is a length or a count.
    #[inline]
    fn sized(&mut self, kind: u8, len: usize) {
        // `usize` has at most 64 bits.
        self.head(kind, u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// Bytes that are already encoded.
    #[inline]
    pub fn encoded(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            To::Buffer(out) => out.extend_from_slice(bytes),
            To::Nowhere(len) => *len = len.saturating_add(bytes.len()),
        }
    }

    /// An unsigned integer.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        self.head(0, value);
    }

    /// An integer of either sign.
    pub fn integer(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            Err(_) => self.head(1, (!value).unsigned_abs()),
        }
    }

    /// The head of a byte string of `len` bytes, which have to follow.
    pub(crate) fn bytes_head(&mut self, len: usize) {
        self.sized(2, len);
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.bytes_head(value.len());
        self.encoded(value);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.sized(3, value.len());
        self.encoded(value.as_bytes());
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        self.encoded(&[if value { 0xf5 } else { 0xf4 }]);
    }

    /// `null`.
    pub fn null(&mut self) {
        self.encoded(&[0xf6]);
    }

    /// The head of a tag; its content has to follow.
    pub fn tag(&mut self, tag: u64) {
        self.head(6, tag);
    }

    /// The head of an array of `len` items.
    pub fn array(&mut self, len: usize) {
        self.sized(4, len);
    }

    /// The head of a map of `len` pairs. Write the keys in ascending order.
    pub fn map(&mut self, len: usize) {
        self.sized(5, len);
    }

    /// A byte string that holds what `write` writes (`bstr .cbor`, `bstr .cborseq`).
    pub fn wrapped(&mut self, write: impl Fn(&mut Writer<'_>)) {
        let len = len_of(&write);
        self.sized(2, len);
        // Counting need not run `write` again; otherwise each level of wrapping would double the work.
        match &mut self.0 {
            To::Buffer(_) => write(self),
            To::Nowhere(counted) => *counted = counted.saturating_add(len),
        }
    }
}
