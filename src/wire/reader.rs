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

impl Kind {
    /// Of the item that begins with this byte (RFC 8949 §3.1).
    const fn of(first: u8) -> Self {
        match first >> 5 {
            0 => Self::Unsigned,
            1 => Self::Negative,
            2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::Array,
            5 => Self::Map,
            6 => Self::Tag,
            _ => Self::Simple,
        }
    }
}

/// Simple values that are read (RFC 8949 §3.3).
const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

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
        self.rest.first().map(|first| Kind::of(*first)).ok_or(Malformed::Truncated)
    }

    /// A head of any type, and its argument.
    fn head(&mut self) -> Result<(Kind, u64), Malformed> {
        let kind = self.peek()?;
        Ok((kind, self.argument(kind)?))
    }

    /// The argument of a head of this type; what is simple has its value for one.
    fn argument(&mut self, kind: Kind) -> Result<u64, Malformed> {
        match self.rest {
            // Nearly all heads are one byte.
            [first, rest @ ..] if Kind::of(*first) == kind && first & 0x1f < 24 && kind != Kind::Simple => {
                self.rest = rest;
                Ok(u64::from(first & 0x1f))
            }
            _ => self.any_argument(kind),
        }
    }

    #[inline(never)]
    fn any_argument(&mut self, kind: Kind) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((first, after)) if Kind::of(*first) == kind => {
                let (argument, rest) = argument(kind, first & 0x1f, after)?;
                self.rest = rest;
                Ok(argument)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// What is wrong with the next item, which was to be another.
    #[cold]
    #[inline(never)]
    fn unexpected(&self) -> Malformed {
        let Some((first, after)) = self.rest.split_first() else { return Malformed::Truncated };
        argument(Kind::of(*first), first & 0x1f, after).err().unwrap_or(Malformed::WrongType)
    }

    /// A number of items, of at least `bytes` bytes each: never more than can be there, so it is safe to loop over or to
    /// reserve for.
    fn count(&self, items: u64, bytes: usize) -> Result<usize, Malformed> {
        let fit = self.rest.len().checked_div(bytes).unwrap_or(0);
        usize::try_from(items).ok().filter(|items| *items <= fit).ok_or(Malformed::Truncated)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        // A length above what this machine can address is above what is there.
        let len = usize::try_from(len).map_err(|_| Malformed::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`Malformed`], like every method of this type.
    pub fn unsigned(&mut self) -> Result<u64, Malformed> {
        self.argument(Kind::Unsigned)
    }

    /// An integer of either sign.
    ///
    /// # Errors
    /// [`Malformed::OutOfRange`] outside of `i64`.
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        let number = |argument| i64::try_from(argument).map_err(|_| Malformed::OutOfRange);
        match self.peek()? {
            // CBOR's -1 - n is the bitwise complement of n.
            Kind::Negative => self.argument(Kind::Negative).and_then(number).map(|n| !n),
            _ => self.argument(Kind::Unsigned).and_then(number),
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.argument(Kind::Bytes)?;
        self.take(len)
    }

    /// A byte string of `N` bytes.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] if it has another length.
    pub fn bytes_exact<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        // Their head is known, and what has another is wrong.
        let after = match u8::try_from(N) {
            Ok(len @ 0..24) => self.rest.strip_prefix(&[0x40 | len]),
            Ok(len) => self.rest.strip_prefix(&[0x58, len]),
            Err(_) => None,
        };
        if let Some((bytes, rest)) = after.and_then(<[u8]>::split_first_chunk) {
            self.rest = rest;
            return Ok(bytes);
        }
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
        let len = self.argument(Kind::Text)?;
        core::str::from_utf8(self.take(len)?).map_err(|_| Malformed::Text)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.head()? {
            (Kind::Simple, FALSE) => Ok(false),
            (Kind::Simple, TRUE) => Ok(true),
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
        let items = self.argument(Kind::Array)?;
        self.count(items, 1)
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
        if self.argument(Kind::Tag)? == tag { Ok(()) } else { Err(Malformed::Forbidden) }
    }

    /// The head of a map, for a caller that reads keys and values by itself.
    pub(super) fn map_len(&mut self) -> Result<usize, Malformed> {
        let pairs = self.argument(Kind::Map)?;
        self.count(pairs, 2)
    }

    /// The head of a map whose keys are integers within `i64`; read its keys in ascending order (0, 1, …, -1, -2, …), then end it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn map(&mut self) -> Result<MapReader<'_, 'a>, Malformed> {
        let left = self.map_len()?;
        Ok(MapReader { reader: self, left, last: None })
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
        let mut tags = 0_usize;
        loop {
            let start = self.rest;
            let (kind, argument) = self.head()?;
            let inner = match kind {
                Kind::Bytes => self.take(argument).map(|_| None)?,
                Kind::Text => {
                    core::str::from_utf8(self.take(argument)?).map_err(|_| Malformed::Text)?;
                    None
                }
                Kind::Array => Some(Open { left: self.count(argument, 1)?, keys: None }),
                // An odd number of items to come means that the next one is a value.
                Kind::Map => Some(Open { left: self.count(argument, 2)?.saturating_mul(2), keys: Some(&[]) }),
                Kind::Tag if !foreign => return Err(Malformed::Forbidden),
                Kind::Tag | Kind::Unsigned | Kind::Negative | Kind::Simple => None,
            };
            if let Some(Open { left, keys: Some(last) }) = open.last_mut()
                && left.is_multiple_of(2)
            {
                // Keys of every map in this protocol family are integers or strings: one head, no nesting.
                if !matches!(kind, Kind::Unsigned | Kind::Negative | Kind::Bytes | Kind::Text) {
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
            if kind == Kind::Tag {
                tags = tags.saturating_add(1);
                if tags > MAX_DEPTH {
                    return Err(Malformed::TooDeep);
                }
                continue;
            }
            tags = 0;
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

/// The argument of a head in its shortest form (RFC 8949 §3), or a simple value, and what comes after it.
fn argument(kind: Kind, info: u8, after: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let ((argument, rest), least) = match info {
        0..24 => ((info.into(), after), 0),
        24 => (number::<1>(after)?, 24),
        25 => (number::<2>(after)?, 0x100),
        26 => (number::<4>(after)?, 0x1_0000),
        27 => (number::<8>(after)?, 0x1_0000_0000),
        31 if !matches!(kind, Kind::Unsigned | Kind::Negative | Kind::Tag) => return Err(Malformed::Indefinite),
        _ => return Err(Malformed::Syntax),
    };
    match kind {
        Kind::Simple if !matches!(argument, FALSE..=NULL) || least > 0 => Err(match info {
            // §3.3: below 32, the two-byte form is not CBOR at all.
            24 if argument < 32 => Malformed::Syntax,
            _ => Malformed::Forbidden,
        }),
        _ if argument < least => Err(Malformed::NotShortest),
        _ => Ok((argument, rest)),
    }
}

/// A number of `N` bytes, most significant first.
fn number<const N: usize>(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let (number, rest) = bytes.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
    Ok((number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), rest))
}

/// Reads a map with integer keys, in ascending order.
#[derive(Debug)]
pub struct MapReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    /// Rank of the last key.
    last: Option<u64>,
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
    /// Reads the next key, unless its rank is above this one.
    fn next_key(&mut self, up_to: u64) -> Result<Option<i64>, Malformed> {
        if self.left == 0 {
            return Ok(None);
        }
        let before = self.reader.rest;
        let key = self.reader.integer()?;
        let rank = rank(key);
        if self.last.is_some_and(|last| last >= rank) {
            return Err(Malformed::KeyOrder);
        }
        if rank > up_to {
            self.reader.rest = before;
            return Ok(None);
        }
        self.left = self.left.saturating_sub(1);
        self.last = Some(rank);
        Ok(Some(key))
    }

    fn skip_unknown(&mut self, key: i64) -> Result<(), Malformed> {
        if key < 0 { Err(Malformed::UnknownCriticalKey) } else { self.reader.raw().map(|_| ()) }
    }

    /// The reader at the value of `key`, or `None` if the map does not have it. Ask in ascending order.
    ///
    /// # Errors
    /// [`Malformed::UnknownCriticalKey`] for a negative key before it; unknown others are skipped.
    pub fn find(&mut self, key: i64) -> Result<Option<&mut Reader<'a>>, Malformed> {
        while let Some(found) = self.next_key(rank(key))? {
            if found == key {
                return Ok(Some(self.reader));
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
        while let Some(key) = self.next_key(u64::MAX)? {
            self.skip_unknown(key)?;
        }
        Ok(())
    }
}
