//! The way in: heads, strings, arrays and maps, each checked where its bytes are read.

use core::fmt;

use arrayvec::ArrayVec;

use super::{MAX_DEPTH, MAX_MESSAGE, Wire};
use crate::error::Malformed;

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
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// Tells how much is left and nothing of what it is: decrypted packages are read with this too.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes left)", self.rest.len())
    }
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
        Self::up_to(MAX_MESSAGE, bytes)
    }

    /// For what is no message: starts reading if there are at most `max` bytes.
    pub(crate) const fn up_to(max: usize, bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > max { Err(Malformed::TooLong) } else { Ok(Self { rest: bytes }) }
    }

    /// Whether every byte has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
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
        let (&first, after) = self.rest.split_first().ok_or(Malformed::Truncated)?;
        let (kind, info) = (first >> 5, first & 0x1f);
        // RFC 8949 §3: the argument is in the first byte, or in 1, 2, 4 or 8 bytes after it.
        let len = match info {
            0..24 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 if matches!(kind, 2..=5 | SIMPLE) => return Err(Malformed::Indefinite),
            _ => return Err(Malformed::Syntax),
        };
        let (bytes, rest) = after.split_at_checked(len).ok_or(Malformed::Truncated)?;
        let argument = match len {
            0 => info.into(),
            _ => bytes.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)),
        };
        if kind == SIMPLE {
            return match (info, argument) {
                (20 | 21, _) => {
                    self.rest = rest;
                    Ok(Head::Bool(info == 21))
                }
                (22, _) => {
                    self.rest = rest;
                    Ok(Head::Null)
                }
                // §3.3: below 32, the two-byte form is not CBOR at all.
                (24, 0..32) => Err(Malformed::Syntax),
                _ => Err(Malformed::Forbidden),
            };
        }
        if len.saturating_add(1) != head_len(argument) {
            return Err(Malformed::NotShortest);
        }
        // A length above what this machine can address is above what is there.
        let length = || usize::try_from(argument).map_err(|_| Malformed::Truncated);
        let head = match kind {
            0 => Head::Unsigned(argument),
            1 => Head::Negative(argument),
            2 => Head::Bytes(length()?),
            3 => Head::Text(length()?),
            4 => Head::Array(length()?),
            5 => Head::Map(length()?),
            _ => Head::Tag(argument),
        };
        self.rest = rest;
        // Each item takes a byte at least, so a count that gets past here is safe to loop over or to reserve for.
        let fits = match head {
            Head::Array(items) => items <= self.rest.len(),
            Head::Map(pairs) => pairs <= self.rest.len() / 2,
            _ => true,
        };
        if fits { Ok(head) } else { Err(Malformed::Truncated) }
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

    /// The head of an array; the caller reads that many items. Never more than there are bytes left.
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

    /// The head of a map, for a caller that reads keys and values by itself.
    pub(super) fn map_len(&mut self) -> Result<usize, Malformed> {
        match self.head()? {
            Head::Map(len) => Ok(len),
            _ => Err(Malformed::WrongType),
        }
    }

    /// The head of a map whose keys are integers within `i64`; read its keys in ascending order (0, 1, …, -1, -2, …), then end it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn map(&mut self) -> Result<MapReader<'_, 'a>, Malformed> {
        let left = self.map_len()?;
        Ok(MapReader { reader: self, left, last: None, waiting: None })
    }

    /// One item of any type, checked like everything else, as the bytes it came in.
    ///
    /// # Errors
    /// [`Malformed`]; tags are refused.
    pub fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip(false)
    }

    /// The same for an item of somebody else's making: maps in any order, tags wherever.
    pub(super) fn raw_foreign(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip(true)
    }

    /// Walks over one item with a fixed stack.
    fn skip(&mut self, foreign: bool) -> Result<&'a [u8], Malformed> {
        /// An open array or map: how many items are still to come, and the last key of a map.
        struct Open<'a> {
            left: usize,
            keys: Option<&'a [u8]>,
        }
        let item = self.rest;
        let mut open: ArrayVec<Open<'a>, MAX_DEPTH> = ArrayVec::new();
        loop {
            let start = self.rest;
            let head = self.head()?;
            let inner = match head {
                Head::Bytes(len) => self.take(len).map(|_| None)?,
                Head::Text(len) => {
                    core::str::from_utf8(self.take(len)?).map_err(|_| Malformed::Text)?;
                    None
                }
                Head::Array(left) => Some(Open { left, keys: None }),
                // An odd number of items to come means that the next one is a value.
                Head::Map(pairs) => Some(Open { left: pairs.saturating_mul(2), keys: Some(&[]) }),
                Head::Tag(_) if !foreign => return Err(Malformed::Forbidden),
                Head::Tag(_) | Head::Unsigned(_) | Head::Negative(_) | Head::Bool(_) | Head::Null => None,
            };
            if let Some(Open { left, keys: Some(last) }) = open.last_mut()
                && left.is_multiple_of(2)
            {
                // Keys of every map in this protocol family are integers or strings: one head, no nesting.
                if !matches!(head, Head::Unsigned(_) | Head::Negative(_) | Head::Bytes(_) | Head::Text(_)) {
                    return Err(Malformed::WrongType);
                }
                let used = start.len().saturating_sub(self.rest.len());
                let key = start.get(..used).ok_or(Malformed::Truncated)?;
                if *last >= key && !foreign {
                    return Err(Malformed::KeyOrder);
                }
                *last = key;
            }
            // A tag and its content are one item, and the next turn reads the content.
            if matches!(head, Head::Tag(_)) {
                continue;
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
                let used = item.len().saturating_sub(self.rest.len());
                return item.get(..used).ok_or(Malformed::Truncated);
            }
        }
    }
}

/// Major type 7: simple values, floating-point numbers and the break.
const SIMPLE: u8 = 7;

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
const fn rank(key: i64) -> u64 {
    if key < 0 { (!key).unsigned_abs() | 1 << 63 } else { key.unsigned_abs() }
}

/// Whether a message is declared with its keys in deterministic order, each once.
pub(crate) const fn ascending(mut keys: &[i64]) -> bool {
    while let [key, rest @ ..] = keys {
        if let [next, ..] = rest
            && rank(*key) >= rank(*next)
        {
            return false;
        }
        keys = rest;
    }
    true
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
        self.reader.raw().map(|_| ())
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
