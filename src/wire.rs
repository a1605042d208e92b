//! Deterministic CBOR (RFC 8949 §4.2.1): encode, and decode strictly.
//!
//! *Strict* means: what is accepted is exactly what this module would have written. Long-form integers, indefinite
//! lengths, chunked strings, repeated or unordered map keys, tags, floats, trailing bytes and deep nesting are refused
//! where the byte is read. Decoding borrows from the input, allocates nothing and does not recurse.
//!
//! ```text
//! bytes ─▶ Reader ─▶ Wire::read ─▶ message ─▶ Wire::write ─▶ Writer ─▶ the same bytes
//! ```
//!
//! Heads are parsed and written by `ciborium-ll`; this module adds the rules. One declaration describes a message for
//! both directions: `wire_array!` and `wire_map!` make the struct, its reader and its writer, so the two
//! cannot drift apart. In maps, keys are integers; unknown non-negative keys are skipped (after the same strict checks;
//! hashes and signatures run over the received bytes and so still cover them), unknown negative keys are refused.
//!
//! Not here: serde. A serde decoder accepts much of what this module exists to refuse; see `tests/wire.rs`.

use alloc::vec::Vec;
use core::convert::Infallible;

use arrayvec::ArrayVec;
use ciborium_ll::{Decoder, Encoder, Header, simple};

use crate::error::Malformed;

/// Longest message, in bytes: four EAP fragments, and the limit of reassembly.
pub const MAX_MESSAGE: usize = 4096;

/// Deepest nesting of arrays and maps in an item that is skipped or kept raw.
pub const MAX_DEPTH: usize = 8;

/// A value with exactly one encoding. `read` accepts that encoding and nothing else.
pub trait Wire<'a>: Sized {
    /// Appends the encoding.
    fn write(&self, writer: &mut Writer<'_>);

    /// Reads one value.
    ///
    /// # Errors
    /// [`Malformed`], saying which rule the bytes break.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed>;

    /// What an absent map key stands for; `None` where the key is required.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether a map leaves this value out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Decodes a message that is one value and nothing after it.
///
/// # Errors
/// [`Malformed`], among them [`Malformed::TooLong`] above [`MAX_MESSAGE`] bytes.
pub fn decode<'a, T: Wire<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    let mut reader = Reader::new(bytes)?;
    let value = T::read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Encodes a value into a buffer of exactly its length, so that no outgrown copy is left behind in memory.
pub fn encode<'a, T: Wire<'a>>(value: &T) -> Vec<u8> {
    encode_with(|writer| value.write(writer))
}

/// Encodes whatever `write` writes, for CBOR sequences. `write` runs twice: once to measure, once to fill.
pub fn encode_with(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut measure = Writer { out: None, len: 0 };
    write(&mut measure);
    let mut out = Vec::with_capacity(measure.len);
    write(&mut Writer { out: Some(&mut out), len: 0 });
    out
}

// ---------------------------------------------------------------------------------------------------------- reading

/// The type of the next item, told from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An unsigned integer.
    Unsigned,
    /// A negative integer.
    Negative,
    /// A byte string.
    Bytes,
    /// A text string.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A tag.
    Tag,
    /// `false`, `true`, `null`, or something that will be refused.
    Simple,
}

/// Reads a sequence of items from borrowed bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// A head whose shortness and definiteness have been checked.
#[derive(Clone, Copy)]
enum Head {
    Unsigned(u64),
    Negative(u64),
    Bytes(usize),
    Text(usize),
    Array(usize),
    Map(usize),
    Tag(u64),
    Bool(bool),
    Null,
}

impl<'a> Reader<'a> {
    /// Starts reading.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] above [`MAX_MESSAGE`] bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_MESSAGE {
            return Err(Malformed::TooLong);
        }
        Ok(Self { rest: bytes })
    }

    /// Whether every byte has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Malformed::TrailingBytes`] if anything is left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::TrailingBytes) }
    }

    /// The type of the next item, without reading it.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] at the end of the input.
    pub fn peek(&self) -> Result<Kind, Malformed> {
        let first = *self.rest.first().ok_or(Malformed::Truncated)?;
        Ok(match first >> 5 {
            0 => Kind::Unsigned,
            1 => Kind::Negative,
            2 => Kind::Bytes,
            3 => Kind::Text,
            4 => Kind::Array,
            5 => Kind::Map,
            6 => Kind::Tag,
            _ => Kind::Simple,
        })
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let mut decoder = Decoder::from(self.rest);
        let header = decoder.pull().map_err(|error| match error {
            ciborium_ll::Error::Io(_) => Malformed::Truncated,
            ciborium_ll::Error::Syntax(_) => Malformed::Syntax,
        })?;
        let used = decoder.offset();
        let (argument, head) = match header {
            Header::Positive(n) => (n, Head::Unsigned(n)),
            Header::Negative(n) => (n, Head::Negative(n)),
            Header::Bytes(Some(len)) => (length(len)?, Head::Bytes(len)),
            Header::Text(Some(len)) => (length(len)?, Head::Text(len)),
            Header::Array(Some(len)) => (length(len)?, Head::Array(len)),
            Header::Map(Some(len)) => (length(len)?, Head::Map(len)),
            Header::Tag(tag) => (tag, Head::Tag(tag)),
            Header::Simple(simple::FALSE) => (0, Head::Bool(false)),
            Header::Simple(simple::TRUE) => (0, Head::Bool(true)),
            Header::Simple(simple::NULL) => (0, Head::Null),
            Header::Simple(_) | Header::Float(_) => return Err(Malformed::Forbidden),
            Header::Break | Header::Bytes(None) | Header::Text(None) | Header::Array(None) | Header::Map(None) => {
                return Err(Malformed::Indefinite);
            }
        };
        if used != head_len(argument) {
            return Err(Malformed::NotShortest);
        }
        self.rest = self.rest.get(used..).ok_or(Malformed::Truncated)?;
        Ok(head)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`Malformed`], like every method of this type.
    pub fn unsigned(&mut self) -> Result<u64, Malformed> {
        match self.head()? {
            Head::Unsigned(n) => Ok(n),
            _ => Err(Malformed::WrongType),
        }
    }

    /// An integer of either sign.
    ///
    /// # Errors
    /// [`Malformed::OutOfRange`] outside of `i64`.
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        match self.head()? {
            Head::Unsigned(n) => i64::try_from(n).map_err(|_| Malformed::OutOfRange),
            // CBOR's -1 - n is the bitwise complement of n.
            Head::Negative(n) => i64::try_from(n).map(|n| !n).map_err(|_| Malformed::OutOfRange),
            _ => Err(Malformed::WrongType),
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        match self.head()? {
            Head::Bytes(len) => self.take(len),
            _ => Err(Malformed::WrongType),
        }
    }

    /// A byte string of `N` bytes.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] if it has another length.
    pub fn bytes_exact<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed::WrongLength)
    }

    /// A byte string of at most `max` bytes.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] above `max`.
    pub fn bytes_up_to(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > max { Err(Malformed::TooLong) } else { Ok(bytes) }
    }

    /// A text string.
    ///
    /// # Errors
    /// [`Malformed::Text`] if it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        match self.head()? {
            Head::Text(len) => core::str::from_utf8(self.take(len)?).map_err(|_| Malformed::Text),
            _ => Err(Malformed::WrongType),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.head()? {
            Head::Bool(value) => Ok(value),
            _ => Err(Malformed::WrongType),
        }
    }

    /// Reads `null` if it comes next, and tells whether it did.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] at the end of the input.
    pub fn null(&mut self) -> Result<bool, Malformed> {
        match self.rest.split_first() {
            Some((0xf6, rest)) => {
                self.rest = rest;
                Ok(true)
            }
            Some(_) => Ok(false),
            None => Err(Malformed::Truncated),
        }
    }

    /// The head of an array; the caller reads that many items.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn array(&mut self) -> Result<usize, Malformed> {
        match self.head()? {
            Head::Array(len) => Ok(len),
            _ => Err(Malformed::WrongType),
        }
    }

    /// The head of an array of exactly `len` items.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] if it has another number of them.
    pub fn array_of(&mut self, len: usize) -> Result<(), Malformed> {
        if self.array()? == len { Ok(()) } else { Err(Malformed::WrongLength) }
    }

    /// This tag.
    ///
    /// # Errors
    /// [`Malformed::Forbidden`] for any other tag.
    pub fn tag(&mut self, tag: u64) -> Result<(), Malformed> {
        match self.head()? {
            Head::Tag(found) if found == tag => Ok(()),
            Head::Tag(_) => Err(Malformed::Forbidden),
            _ => Err(Malformed::WrongType),
        }
    }

    /// The head of a map with integer keys; read its keys in ascending order (0, 1, …, -1, -2, …), then end it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn map(&mut self) -> Result<MapReader<'_, 'a>, Malformed> {
        match self.head()? {
            Head::Map(len) => Ok(MapReader { reader: self, left: len, last: None, waiting: None }),
            _ => Err(Malformed::WrongType),
        }
    }

    /// One item of any type, checked like everything else, as the bytes it came in.
    ///
    /// # Errors
    /// [`Malformed`]; tags are refused.
    pub fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        self.skip()?;
        let used = start.len().saturating_sub(self.rest.len());
        start.get(..used).ok_or(Malformed::Truncated)
    }

    /// Walks over one item with a fixed stack.
    fn skip(&mut self) -> Result<(), Malformed> {
        /// An open array or map: how many items are still to come, and the last key of a map.
        struct Open<'a> {
            left: usize,
            keys: Option<&'a [u8]>,
        }
        let mut open: ArrayVec<Open<'a>, MAX_DEPTH> = ArrayVec::new();
        loop {
            let start = self.rest;
            let inner = match self.head()? {
                Head::Bytes(len) => self.take(len).map(|_| None)?,
                Head::Text(len) => {
                    core::str::from_utf8(self.take(len)?).map_err(|_| Malformed::Text)?;
                    None
                }
                Head::Array(left) => Some(Open { left, keys: None }),
                // An odd number of items to come means that the next one is a value.
                Head::Map(pairs) => {
                    Some(Open { left: pairs.checked_mul(2).ok_or(Malformed::Truncated)?, keys: Some(&[]) })
                }
                Head::Tag(_) => return Err(Malformed::Forbidden),
                Head::Unsigned(_) | Head::Negative(_) | Head::Bool(_) | Head::Null => None,
            };
            if let Some(Open { left, keys: Some(last) }) = open.last_mut()
                && left.is_multiple_of(2)
            {
                // Keys of every map in this protocol family are integers or strings: one head, no nesting.
                if inner.is_some() {
                    return Err(Malformed::WrongType);
                }
                let used = start.len().saturating_sub(self.rest.len());
                let key = start.get(..used).ok_or(Malformed::Truncated)?;
                if *last >= key {
                    return Err(Malformed::KeyOrder);
                }
                *last = key;
            }
            if let Some(inner) = inner {
                open.try_push(inner).map_err(|_| Malformed::TooDeep)?;
            } else if let Some(parent) = open.last_mut() {
                parent.left = parent.left.saturating_sub(1);
            }
            // Close what is complete; closing an item completes one item of its parent.
            while open.last().is_some_and(|inner| inner.left == 0) {
                open.pop();
                if let Some(parent) = open.last_mut() {
                    parent.left = parent.left.saturating_sub(1);
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }
}

fn length(len: usize) -> Result<u64, Malformed> {
    u64::try_from(len).map_err(|_| Malformed::TooLong)
}

/// Bytes of the shortest head with this argument (RFC 8949 §3).
const fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Reads a map with integer keys, in ascending order.
#[derive(Debug)]
pub struct MapReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    last: Option<i64>,
    /// A key that has been read but not yet asked for.
    waiting: Option<i64>,
}

/// Deterministic order of integer keys: non-negative ones upwards, then negative ones away from zero.
const fn rank(key: i64) -> (bool, u64) {
    (key < 0, (key ^ (key >> 63)).unsigned_abs())
}

impl<'a> MapReader<'_, 'a> {
    fn next_key(&mut self) -> Result<Option<i64>, Malformed> {
        if self.waiting.is_none() && self.left > 0 {
            let key = self.reader.integer()?;
            if self.last.is_some_and(|last| rank(last) >= rank(key)) {
                return Err(Malformed::KeyOrder);
            }
            self.left = self.left.saturating_sub(1);
            self.last = Some(key);
            self.waiting = Some(key);
        }
        Ok(self.waiting)
    }

    fn skip_unknown(&mut self, key: i64) -> Result<(), Malformed> {
        if key < 0 {
            return Err(Malformed::UnknownCriticalKey);
        }
        self.waiting = None;
        self.reader.skip()
    }

    /// The reader at the value of `key`, or `None` if the map does not have it. Ask in ascending order.
    ///
    /// # Errors
    /// [`Malformed::UnknownCriticalKey`] for a negative key before it; unknown others are skipped.
    pub fn find(&mut self, key: i64) -> Result<Option<&mut Reader<'a>>, Malformed> {
        while let Some(found) = self.next_key()? {
            if found == key {
                self.waiting = None;
                return Ok(Some(self.reader));
            }
            if rank(found) > rank(key) {
                break;
            }
            self.skip_unknown(found)?;
        }
        Ok(None)
    }

    /// The value of `key`; for optional types, their absent value if the map does not have it.
    ///
    /// # Errors
    /// [`Malformed::MissingKey`] where a value is required.
    pub fn value<T: Wire<'a>>(&mut self, key: i64) -> Result<T, Malformed> {
        match self.find(key)? {
            Some(reader) => {
                let value = T::read(reader)?;
                // `null` where the key should have been left out would not encode to the same bytes.
                if value.is_absent() { Err(Malformed::WrongType) } else { Ok(value) }
            }
            None => T::absent().ok_or(Malformed::MissingKey),
        }
    }

    /// Ends the map.
    ///
    /// # Errors
    /// [`Malformed::UnknownCriticalKey`] for a negative key that nobody asked for.
    pub fn end(mut self) -> Result<(), Malformed> {
        while let Some(key) = self.next_key()? {
            self.skip_unknown(key)?;
        }
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------------------------- writing

/// Appends items, or only counts their bytes.
#[derive(Debug)]
pub struct Writer<'b> {
    out: Option<&'b mut Vec<u8>>,
    len: usize,
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
    fn head(&mut self, header: Header) {
        let Ok(()) = Encoder::from(self).push(header);
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
        let mut measure = Writer { out: None, len: 0 };
        write(&mut measure);
        self.head(Header::Bytes(Some(measure.len)));
        write(self);
    }
}

// ---------------------------------------------------------------------------------------------------- common values

macro_rules! unsigned {
    ($($ty:ty),*) => {$(
        impl Wire<'_> for $ty {
            fn write(&self, writer: &mut Writer<'_>) {
                writer.unsigned(u64::from(*self));
            }
            fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                Self::try_from(reader.unsigned()?).map_err(|_| Malformed::OutOfRange)
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64);

impl Wire<'_> for i64 {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.integer(*self);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.integer()
    }
}

impl Wire<'_> for bool {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.boolean(*self);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.boolean()
    }
}

impl<'a> Wire<'a> for &'a [u8] {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self);
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.bytes()
    }
}

impl<const N: usize> Wire<'_> for [u8; N] {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.bytes_exact().copied()
    }
}

impl<'a> Wire<'a> for &'a str {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(self);
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.text()
    }
}

/// `null` or a value in arrays; an optional key in maps.
impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.write(writer),
            None => writer.null(),
        }
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if reader.null()? { Ok(None) } else { T::read(reader).map(Some) }
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// An array of at most `N` values.
impl<'a, T: Wire<'a>, const N: usize> Wire<'a> for ArrayVec<T, N> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(self.len());
        self.iter().for_each(|value| value.write(writer));
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut values = Self::new();
        for _ in 0..reader.array()? {
            values.try_push(T::read(reader)?).map_err(|_| Malformed::TooLong)?;
        }
        Ok(values)
    }
}

/// One item of any type, kept as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> Wire<'a> for Raw<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.encoded(self.0);
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.raw().map(Self)
    }
}

/// Declares a message that is a CBOR array: the struct, its reader and its writer. `= n;` after the name makes the
/// integer `n` its first element, which tells messages of one family apart.
macro_rules! wire_array {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$lt:lifetime> $(= $tag:literal)? { $($fields:tt)* }) => {
        $crate::wire::wire_array!(@struct [$(#[$meta])* $vis struct $name<$lt>] $($fields)*);
        $crate::wire::wire_array!(@impl [impl<$lt> $crate::wire::Wire<$lt> for $name<$lt>] [$lt] [$($tag)?] $($fields)*);
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(= $tag:literal)? { $($fields:tt)* }) => {
        $crate::wire::wire_array!(@struct [$(#[$meta])* $vis struct $name] $($fields)*);
        $crate::wire::wire_array!(@impl [impl<'a> $crate::wire::Wire<'a> for $name] ['a] [$($tag)?] $($fields)*);
    };
    (@struct [$($head:tt)*] $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)?) => {
        $($head)* { $($(#[$fmeta])* $fvis $field: $ty),* }
    };
    (@impl [$($head:tt)*] [$lt:lifetime] [$($tag:literal)?]
        $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)?) => {
        $($head)* {
            fn write(&self, writer: &mut $crate::wire::Writer<'_>) {
                writer.array([$(stringify!($tag),)? $(stringify!($field)),*].len());
                $(writer.unsigned($tag);)?
                $($crate::wire::Wire::write(&self.$field, writer);)*
            }
            fn read(reader: &mut $crate::wire::Reader<$lt>) -> Result<Self, $crate::error::Malformed> {
                reader.array_of([$(stringify!($tag),)? $(stringify!($field)),*].len())?;
                $(if reader.unsigned()? != $tag {
                    return Err($crate::error::Malformed::OutOfRange);
                })?
                Ok(Self { $($field: $crate::wire::Wire::read(reader)?),* })
            }
        }
    };
}

/// Declares a message that is a CBOR map with integer keys, given in ascending order. A field of type `Option` is an
/// optional key.
macro_rules! wire_map {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$lt:lifetime> { $($fields:tt)* }) => {
        $crate::wire::wire_map!(@struct [$(#[$meta])* $vis struct $name<$lt>] $($fields)*);
        $crate::wire::wire_map!(@impl [impl<$lt> $crate::wire::Wire<$lt> for $name<$lt>] [$lt] $($fields)*);
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::wire::wire_map!(@struct [$(#[$meta])* $vis struct $name] $($fields)*);
        $crate::wire::wire_map!(@impl [impl<'a> $crate::wire::Wire<'a> for $name] ['a] $($fields)*);
    };
    (@struct [$($head:tt)*] $($(#[$fmeta:meta])* $key:literal => $fvis:vis $field:ident : $ty:ty),* $(,)?) => {
        $($head)* { $($(#[$fmeta])* $fvis $field: $ty),* }
    };
    (@impl [$($head:tt)*] [$lt:lifetime]
        $($(#[$fmeta:meta])* $key:literal => $fvis:vis $field:ident : $ty:ty),* $(,)?) => {
        $($head)* {
            fn write(&self, writer: &mut $crate::wire::Writer<'_>) {
                writer.map([$($crate::wire::Wire::is_absent(&self.$field)),*].iter().filter(|absent| !**absent).count());
                $(if !$crate::wire::Wire::is_absent(&self.$field) {
                    writer.integer($key);
                    $crate::wire::Wire::write(&self.$field, writer);
                })*
            }
            fn read(reader: &mut $crate::wire::Reader<$lt>) -> Result<Self, $crate::error::Malformed> {
                let mut map = reader.map()?;
                $(let $field = map.value($key)?;)*
                map.end()?;
                Ok(Self { $($field),* })
            }
        }
    };
}

pub(crate) use {wire_array, wire_map};
