//! Deterministic CBOR (RFC 8949 §4.2.1): encode, and decode strictly.
//!
//! *Strict* means: what is accepted is exactly what this module would have written. Long-form integers, indefinite
//! lengths, chunked strings, repeated or unordered map keys, tags, floats, trailing bytes and deep nesting are refused
//! where the byte is read; so is a count of items that the bytes left cannot hold. Decoding borrows from the input,
//! allocates nothing and does not recurse.
//!
//! ```text
//! bytes ─▶ Reader ─▶ Wire::read ─▶ message ─▶ Wire::write ─▶ Writer ─▶ the same bytes
//! ```
//!
//! Heads are read and written here, and not by `ciborium-ll`: its conversions of floating-point numbers, which nothing here
//! may have, would end in every firmware. One declaration describes a message for
//! both directions: `wire_array!` and `wire_map!` make the struct, its reader and its writer, so the two
//! cannot drift apart. In maps, keys are integers; unknown non-negative keys are skipped (after the same strict checks;
//! hashes and signatures run over the received bytes and so still cover them), unknown negative keys are refused.
//!
//! Documents that others make and sign (vouchers, attestation tokens) come as their makers order them: [`Entries`] reads
//! their maps in any order, everything else as strictly.
//!
//! Not here: serde. A serde decoder accepts much of what this module exists to refuse; see `tests/wire.rs`.

mod choice;
mod foreign;
mod reader;
mod writer;

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use arrayvec::{ArrayString, ArrayVec};

use crate::error::Malformed;

pub(crate) use choice::wire_choice;
pub use foreign::{Entries, MAX_ENTRIES};
pub(crate) use reader::ascending;
pub use reader::{Kind, MapReader, Reader};
pub use writer::{Writer, encode_with};
pub(crate) use writer::{encode_with_room, len_of, put_in_front};

/// Longest message, in bytes: four EAP fragments, and the limit of reassembly.
pub const MAX_MESSAGE: usize = 4096;

/// Deepest nesting of arrays and maps in an item that is skipped or kept raw, and most tags on one item.
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

impl<'a, const N: usize> Wire<'a> for &'a [u8; N] {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.as_slice());
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.bytes_exact()
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

/// A text string of at most `N` bytes.
impl<const N: usize> Wire<'_> for ArrayString<N> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(self);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from(reader.text()?).map_err(|_| Malformed::TooLong)
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

/// For what is too long for the stack.
impl<'a, T: Wire<'a>> Wire<'a> for Box<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        T::write(self, writer);
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        T::read(reader).map(Self::new)
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

/// Tells the length only: it may be part of a decrypted package.
impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

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

/// Declares a message that is a CBOR map with integer keys, given in ascending order (0, 1, …, -1, -2, …; any other
/// order does not compile). A field of type `Option` is an
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
        const _: () = assert!($crate::wire::ascending(&[$($key),*]), "map keys repeated or out of order");
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

#[cfg(test)]
#[allow(unreachable_pub, reason = "wire_choice! makes public methods, here on a private enum")]
mod tests {
    use alloc::{format, vec};

    use super::*;

    wire_array! {
        /// greeting = [ 7, name: tstr, nonce: bstr .size 4, mood: int / null, [* uint] ]
        #[derive(Debug, PartialEq)]
        struct Greeting<'a> = 7 {
            name: &'a str,
            nonce: [u8; 4],
            mood: Option<i64>,
            numbers: ArrayVec<u16, 3>,
        }
    }

    wire_array! {
        /// pair = [ bool, uint ]
        #[derive(Debug, PartialEq)]
        struct Pair { first: bool, second: u32 }
    }

    wire_map! {
        /// parcel = { 1: bstr, ? 2: pair, 30: any, ? -1: uint }
        #[derive(Debug, PartialEq)]
        struct Parcel<'a> {
            1 => content: &'a [u8],
            2 => pair: Option<Pair>,
            30 => rest: Raw<'a>,
            -1 => critical: Option<u8>,
        }
    }

    wire_map! {
        /// note = { ? 0: uint }
        #[derive(Debug, PartialEq)]
        struct Note { 0 => number: Option<u64> }
    }

    wire_choice! {
        /// flag = 0 / 24
        enum Flag { Down = 0, Up = 24 }
    }

    /// Decodes what was encoded, to what it was, and gives the bytes for comparison.
    fn there_and_back<'a, T: Wire<'a> + PartialEq + fmt::Debug>(value: &T, bytes: &'a [u8]) {
        assert_eq!(encode(value), bytes);
        assert_eq!(decode::<T>(bytes).as_ref(), Ok(value));
    }

    #[test]
    fn arrays_with_a_tag_come_back() {
        let numbers = ArrayVec::from_iter([1, 0xffff]);
        there_and_back(
            &Greeting { name: "hé", nonce: [1, 2, 3, 4], mood: Some(-500), numbers },
            b"\x85\x07\x63h\xc3\xa9\x44\x01\x02\x03\x04\x39\x01\xf3\x82\x01\x19\xff\xff",
        );
        there_and_back(
            &Greeting { name: "", nonce: [0; 4], mood: None, numbers: ArrayVec::new() },
            b"\x85\x07\x60\x44\0\0\0\0\xf6\x80",
        );
        there_and_back(&Pair { first: true, second: u32::MAX }, b"\x82\xf5\x1a\xff\xff\xff\xff");
    }

    #[test]
    fn arrays_refuse_everything_else() {
        let refused = |bytes: &[u8]| decode::<Greeting<'_>>(bytes).err();
        assert_eq!(refused(b"\x85\x08\x60\x44\0\0\0\0\xf6\x80"), Some(Malformed::OutOfRange), "another tag");
        assert_eq!(refused(b"\x84\x07\x60\x44\0\0\0\0\xf6"), Some(Malformed::WrongLength), "one short");
        assert_eq!(refused(b"\x86\x07\x60\x44\0\0\0\0\xf6\x80\0"), Some(Malformed::WrongLength), "one more");
        assert_eq!(refused(b"\x85\x07\x60\x43\0\0\0\xf6\x80"), Some(Malformed::WrongLength), "short nonce");
        assert_eq!(refused(b"\x85\x07\x60\x44\0\0\0\0\xf6\x84\0\0\0\0"), Some(Malformed::TooLong), "four numbers");
        assert_eq!(refused(b"\x85\x07\x60\x44\0\0\0\0\xf4\x80"), Some(Malformed::WrongType), "false for null");
        assert_eq!(refused(b"\x85\x07\x60\x44\0\0\0\0\xf7\x80"), Some(Malformed::Forbidden), "undefined for null");
        assert_eq!(refused(b"\x85\x07\x60\x44\0\0\0\0\xf6\x80\0"), Some(Malformed::TrailingBytes), "one after");
        assert_eq!(refused(b"\xa0"), Some(Malformed::WrongType), "a map");
        let second = |bytes: &[u8]| decode::<Pair>(bytes).err();
        assert_eq!(second(b"\x82\xf4\x1b\0\0\0\x01\0\0\0\0"), Some(Malformed::OutOfRange), "33 bits");
        assert_eq!(second(b"\x82\xf6\x00"), Some(Malformed::WrongType), "null where a value is required");
    }

    #[test]
    fn maps_come_back_with_and_without_optional_keys() {
        let mut parcel = Parcel { content: b"x", pair: None, rest: Raw(b"\x82\x01\xa1\x60\xf6"), critical: None };
        there_and_back(&parcel, b"\xa2\x01\x41x\x18\x1e\x82\x01\xa1\x60\xf6");
        parcel.critical = Some(24);
        there_and_back(&parcel, b"\xa3\x01\x41x\x18\x1e\x82\x01\xa1\x60\xf6\x20\x18\x18");
        parcel.pair = Some(Pair { first: false, second: 0 });
        there_and_back(&parcel, b"\xa4\x01\x41x\x02\x82\xf4\x00\x18\x1e\x82\x01\xa1\x60\xf6\x20\x18\x18");
        there_and_back(&Note { number: None }, b"\xa0");
        there_and_back(&Note { number: Some(u64::MAX) }, b"\xa1\x00\x1b\xff\xff\xff\xff\xff\xff\xff\xff");
    }

    #[test]
    fn unknown_keys_are_skipped_if_not_negative_and_checked_all_the_same() {
        let note = |bytes: &[u8]| decode::<Note>(bytes);
        assert_eq!(note(b"\xa2\x00\x05\x01\x82\xa1\x00\xf6\x61a"), Ok(Note { number: Some(5) }));
        assert_eq!(note(b"\xa1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x80"), Ok(Note { number: None }));
        assert_eq!(note(b"\xa1\x20\x05"), Err(Malformed::UnknownCriticalKey));
        assert_eq!(note(b"\xa2\x00\x05\x3b\x7f\xff\xff\xff\xff\xff\xff\xff\x80"), Err(Malformed::UnknownCriticalKey));
        assert_eq!(note(b"\xa1\x01\x18\x17"), Err(Malformed::NotShortest));
        assert_eq!(note(b"\xa1\x01\xa2\x01\x00\x00\x00"), Err(Malformed::KeyOrder));
        assert_eq!(note(b"\xa1\x01\xc0\x00"), Err(Malformed::Forbidden));
        assert_eq!(note(b"\xa1\x60\x00"), Err(Malformed::WrongType), "a text key");
        assert_eq!(note(b"\xa1\x1b\x80\0\0\0\0\0\0\0\x00"), Err(Malformed::OutOfRange), "2^63");
        // Between known keys, before them and after them.
        let parcel = |bytes: &[u8]| decode::<Parcel<'_>>(bytes).map(|parcel| (parcel.content.len(), parcel.critical));
        assert_eq!(parcel(b"\xa2\x01\x41x\x18\x1e\x00"), Ok((1, None)));
        assert_eq!(parcel(b"\xa5\x00\x80\x01\x41x\x18\x1d\xa0\x18\x1e\x00\x18\x1f\xf6"), Ok((1, None)));
        assert_eq!(parcel(b"\xa4\x01\x41x\x18\x1e\x00\x20\x01\x21\x00"), Err(Malformed::UnknownCriticalKey));
    }

    #[test]
    fn maps_refuse_missing_null_repeated_and_unordered_keys() {
        let refused = |bytes: &[u8]| decode::<Parcel<'_>>(bytes).err();
        assert_eq!(refused(b"\xa0"), Some(Malformed::MissingKey), "nothing there");
        assert_eq!(refused(b"\xa1\x01\x40"), Some(Malformed::MissingKey), "30 missing");
        assert_eq!(refused(b"\xa1\x18\x1e\x40"), Some(Malformed::MissingKey), "1 missing");
        assert_eq!(
            refused(b"\xa3\x01\x40\x02\xf6\x18\x1e\x00"),
            Some(Malformed::WrongType),
            "null for an optional key"
        );
        assert_eq!(refused(b"\xa2\x01\xf6\x18\x1e\x00"), Some(Malformed::WrongType), "null for a required key");
        assert_eq!(refused(b"\xa3\x01\x40\x01\x40\x18\x1e\x00"), Some(Malformed::KeyOrder), "known key twice");
        assert_eq!(refused(b"\xa4\x01\x40\x03\0\x03\0\x18\x1e\x00"), Some(Malformed::KeyOrder), "unknown key twice");
        assert_eq!(refused(b"\xa3\x01\x40\x18\x1e\x00\x18\x1e\x00"), Some(Malformed::KeyOrder), "last key twice");
        assert_eq!(refused(b"\xa3\x01\x40\x18\x1e\x00\x02\x82\xf4\x00"), Some(Malformed::KeyOrder), "2 after 30");
        assert_eq!(refused(b"\xa2\x18\x1e\x00\x01\x40"), Some(Malformed::MissingKey), "30 before 1");
        assert_eq!(refused(b"\xa3\x01\x40\x20\x00\x18\x1e\x00"), Some(Malformed::MissingKey), "-1 before 30");
        assert_eq!(refused(b"\xa4\x01\x40\x18\x1e\x00\x20\x00\x20\x00"), Some(Malformed::KeyOrder), "-1 twice");
        assert_eq!(refused(b"\xa3\x01\x40\x18\x1e\x00"), Some(Malformed::Truncated), "one pair less than it says");
        assert_eq!(refused(b"\xa2\x01\x40\x18\x1e\x00\x20\x00"), Some(Malformed::TrailingBytes), "one pair more");
    }

    #[test]
    fn choices_are_their_numbers_and_no_others() {
        there_and_back(&Flag::Down, b"\x00");
        there_and_back(&Flag::Up, b"\x18\x18");
        assert_eq!(decode::<Flag>(b"\x01"), Err(Malformed::OutOfRange));
        assert_eq!(decode::<Flag>(b"\x19\x01\x18"), Err(Malformed::OutOfRange), "24 above a byte");
        assert_eq!(decode::<Flag>(b"\x20"), Err(Malformed::WrongType));
    }

    #[test]
    fn keys_are_declared_in_order() {
        assert!(ascending(&[]) && ascending(&[-1]) && ascending(&[0, 23, 24, i64::MAX, -1, -2, i64::MIN]));
        for wrong in [[0, 0], [1, 0], [-1, 0], [-2, -1], [-1, -1], [i64::MIN, i64::MAX]] {
            assert!(!ascending(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn wrapping_measures_what_it_writes() {
        let inner = vec![0x55; 300];
        let wrapped = encode_with(|writer| writer.wrapped(|writer| writer.wrapped(|writer| writer.bytes(&inner))));
        let expected = encode(&encode(&encode(&inner.as_slice()).as_slice()).as_slice());
        assert_eq!(wrapped, expected);
        assert_eq!(wrapped.capacity(), wrapped.len());
    }

    #[test]
    fn nothing_read_or_written_shows_in_debug() {
        let secret = b"\x45hello";
        let reader = Reader::new(secret);
        assert_eq!(format!("{reader:?}"), "Ok(Reader(6 bytes left))");
        assert_eq!(format!("{:?}", Raw(secret)), "Raw(6 bytes)");
        encode_with(|writer| {
            writer.encoded(secret);
            assert_eq!(format!("{writer:?}"), "Writer(6 bytes written)");
        });
    }
}
