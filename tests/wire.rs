//! What the codec accepts is exactly deterministic CBOR, and everything else is refused for the reason it says.
//!
//! The second opinion is `ciborium` with a small encoder of this file's own: bytes are deterministic if decoding them
//! loosely and encoding the value again gives the same bytes. The codec must agree with that in both directions, on
//! generated values and on damaged ones. The tables after it name each refused class.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has found something"
)]

extern crate alloc;

use alloc::collections::BTreeMap;
use core::hint::black_box;

use arrayvec::ArrayVec;
use ciborium::Value;
use proptest::{collection::vec, prelude::*, sample::Index};
use remote_provisioning::error::Malformed;
use remote_provisioning::wire::{
    Kind, MAX_DEPTH, MAX_MESSAGE, MapReader, Raw, Reader, Wire, Writer, decode, encode, encode_with,
};

// ------------------------------------------------------------------------------------------------ the second opinion

/// Every value this protocol family uses. Map keys are kept encoded, which sorts them and drops repetitions.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Unsigned(u64),
    Negative(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Item>),
    Map(BTreeMap<Vec<u8>, Item>),
    Bool(bool),
    Null,
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let (additional, kept) = match argument {
        0..24 => (bytes[7], 0),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | additional);
    out.extend_from_slice(&bytes[8 - kept..]);
}

impl Item {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(n) => head(out, 0, *n),
            Self::Negative(n) => head(out, 1, *n),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(pairs) => {
                head(out, 5, pairs.len() as u64);
                for (key, value) in pairs {
                    out.extend_from_slice(key);
                    value.write(out);
                }
            }
            Self::Bool(value) => out.push(0xf4 + u8::from(*value)),
            Self::Null => out.push(0xf6),
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The same value as ciborium sees it; `None` for what this family does not use.
    fn from_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Integer(n) => {
                let n = i128::from(*n);
                u64::try_from(n).map(Self::Unsigned).or_else(|_| u64::try_from(!n).map(Self::Negative)).ok()?
            }
            Value::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::Array(items.iter().map(Self::from_value).collect::<Option<_>>()?),
            Value::Map(pairs) => {
                let pair = |(key, value): &(Value, Value)| {
                    let is_key = matches!(key, Value::Integer(_) | Value::Bytes(_) | Value::Text(_));
                    Some((Self::from_value(key).filter(|_| is_key)?.encoded(), Self::from_value(value)?))
                };
                Self::Map(pairs.iter().map(pair).collect::<Option<_>>()?)
            }
            Value::Bool(value) => Self::Bool(*value),
            Value::Null => Self::Null,
            _ => return None,
        })
    }

    fn depth(&self) -> usize {
        match self {
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(pairs) => 1 + pairs.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// The value, if these bytes are its one encoding and it is within the limits.
fn second_opinion(bytes: &[u8]) -> Option<Item> {
    let mut rest = bytes;
    let item = Item::from_value(&ciborium::from_reader(&mut rest).ok()?)?;
    let same = rest.is_empty() && item.encoded() == bytes;
    (same && item.depth() <= MAX_DEPTH && bytes.len() <= MAX_MESSAGE).then_some(item)
}

fn raw(bytes: &[u8]) -> Result<&[u8], Malformed> {
    decode::<Raw<'_>>(bytes).map(|raw| raw.0)
}

/// note = { ? 0: uint, ? 1: tstr, ? -1: bstr }, written by hand: the macros are tested where they are.
#[derive(Debug)]
struct Note<'a>(Option<u64>, Option<&'a str>, Option<&'a [u8]>);

impl<'a> Wire<'a> for Note<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.map([self.0.is_some(), self.1.is_some(), self.2.is_some()].into_iter().filter(|is| *is).count());
        if let Some(number) = self.0 {
            writer.integer(0);
            writer.unsigned(number);
        }
        if let Some(text) = self.1 {
            writer.integer(1);
            writer.text(text);
        }
        if let Some(bytes) = self.2 {
            writer.integer(-1);
            writer.bytes(bytes);
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut map = reader.map()?;
        let note = Self(map.value(0)?, map.value(1)?, map.value(-1)?);
        map.end()?;
        Ok(note)
    }
}

// -------------------------------------------------------------------------------------------------------- generators

/// Numbers around the places where heads change their length, and any others.
fn argument() -> impl Strategy<Value = u64> {
    let edges = [0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, i64::MAX as u64, u64::MAX];
    prop_oneof![0..30_u64, proptest::sample::select(edges.to_vec()), any::<u64>()]
}

fn key() -> impl Strategy<Value = Item> {
    prop_oneof![
        argument().prop_map(Item::Unsigned),
        argument().prop_map(Item::Negative),
        vec(any::<char>(), 0..4).prop_map(|text| Item::Text(text.into_iter().collect())),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        4 => key(),
        2 => vec(any::<u8>(), 0..40).prop_map(Item::Bytes),
        1 => vec(any::<u8>(), 250..270).prop_map(Item::Bytes),
        1 => any::<bool>().prop_map(Item::Bool),
        1 => Just(Item::Null),
    ];
    let nested = leaf.prop_recursive(MAX_DEPTH as u32, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Item::Array),
            vec((key(), inner), 0..6)
                .prop_map(|pairs| Item::Map(pairs.into_iter().map(|(key, value)| (key.encoded(), value)).collect())),
        ]
    });
    nested.prop_filter("longer than a message", |item| item.encoded().len() <= MAX_MESSAGE)
}

/// Encodings with some bytes changed, inserted, removed, swapped or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (item(), vec((0..6_u8, any::<Index>(), any::<Index>(), any::<u8>()), 1..4)).prop_map(|(item, edits)| {
        let mut bytes = item.encoded();
        for (edit, first, second, byte) in edits {
            let (at, to) = (first.index(bytes.len() + 1), second.index(bytes.len() + 1));
            let span = at.min(to)..at.max(to);
            match edit {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.drain(span)),
                2 if at < bytes.len() => bytes[at] = byte,
                3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
                4 if at.max(to) < bytes.len() => bytes.swap(at, to),
                _ => {
                    let copy = bytes[span].to_vec();
                    bytes.splice(to..to, copy);
                }
            }
        }
        bytes
    })
}

/// Bytes that are mostly heads.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let heads = b"\x00\x01\x17\x18\x19\x1a\x1b\x20\x38\x40\x41\x58\x5f\x60\x61\x78\x80\x81\x82\x98\x9f\xa0\xa1\xa2\xb8\
        \xbf\xc0\xd8\xf4\xf5\xf6\xf7\xf8\xf9\xff";
    vec(prop_oneof![3 => proptest::sample::select(heads.to_vec()), 1 => any::<u8>()], 0..12)
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => damaged(), 2 => noise(), 1 => vec(any::<u8>(), 0..24), 1 => item().prop_map(|item| item.encoded())]
}

// -------------------------------------------------------------------------------------------------------- properties

/// If `bytes` decode as `T`, they are what that value encodes to.
fn encodes_to_itself<'a, T: Wire<'a>>(bytes: &'a [u8]) {
    if let Ok(value) = decode::<T>(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

/// Uses every way to read these bytes.
fn walk(bytes: &[u8]) {
    let Ok(reader) = Reader::new(bytes) else { return };
    let _ = black_box((reader.peek(), reader.is_empty(), reader.end()));
    let _ = black_box((reader.clone().unsigned(), reader.clone().integer(), reader.clone().boolean()));
    let _ = black_box((reader.clone().bytes(), reader.clone().bytes_exact::<4>(), reader.clone().bytes_up_to(4)));
    let _ = black_box((reader.clone().text(), reader.clone().null(), reader.clone().tag(18)));
    let _ = black_box((reader.clone().array(), reader.clone().array_of(2), decode::<Note<'_>>(bytes)));
    let _ = black_box((decode::<ArrayVec<Option<u64>, 4>>(bytes), decode::<ArrayVec<Raw<'_>, 4>>(bytes)));
    if let Ok(mut map) = reader.clone().map() {
        let _ = black_box((map.value::<Raw<'_>>(1), map.end()));
    }
    let mut items = reader;
    while black_box(items.raw()).is_ok() {}
}

/// In the interpreter that finds undefined behaviour a thousandth of them: there each takes a second.
fn cases(usual: u32) -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(miri) { usual.div_ceil(1_000) } else { usual })
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn deterministic_encodings_are_accepted_and_mean_the_same_to_ciborium(item in item()) {
        let bytes = item.encoded();
        prop_assert_eq!(raw(&bytes), Ok(bytes.as_slice()));
        prop_assert_eq!(encode(&decode::<Raw<'_>>(&bytes).unwrap()), bytes.clone());
        prop_assert_eq!(second_opinion(&bytes), Some(item));
    }

    #[test]
    fn every_prefix_is_truncated_and_every_suffix_is_trailing(item in item(), after in any::<u8>()) {
        let mut bytes = item.encoded();
        for len in 0..bytes.len() {
            prop_assert_eq!(raw(&bytes[..len]), Err(Malformed::Truncated));
        }
        prop_assume!(bytes.len() < MAX_MESSAGE);
        bytes.push(after);
        prop_assert_eq!(raw(&bytes), Err(Malformed::TrailingBytes));
    }
}

proptest! {
    #![proptest_config(cases(6_000))]

    #[test]
    fn what_is_accepted_is_what_the_second_opinion_calls_deterministic(bytes in hostile()) {
        prop_assert_eq!(raw(&bytes).is_ok(), second_opinion(&bytes).is_some(), "{:?}", raw(&bytes));
    }

    #[test]
    fn what_decodes_encodes_to_itself(bytes in hostile()) {
        encodes_to_itself::<Raw<'_>>(&bytes);
        encodes_to_itself::<u8>(&bytes);
        encodes_to_itself::<u16>(&bytes);
        encodes_to_itself::<u32>(&bytes);
        encodes_to_itself::<u64>(&bytes);
        encodes_to_itself::<i64>(&bytes);
        encodes_to_itself::<bool>(&bytes);
        encodes_to_itself::<&str>(&bytes);
        encodes_to_itself::<&[u8]>(&bytes);
        encodes_to_itself::<[u8; 1]>(&bytes);
        encodes_to_itself::<Option<i64>>(&bytes);
        encodes_to_itself::<ArrayVec<Option<Raw<'_>>, 3>>(&bytes);
        encodes_to_itself::<ArrayVec<ArrayVec<u64, 2>, 2>>(&bytes);
    }

    #[test]
    fn typed_maps_accept_less_than_raw_and_lose_only_unknown_keys(bytes in hostile()) {
        if let Ok(note) = decode::<Note<'_>>(&bytes) {
            let Some(Item::Map(mut pairs)) = second_opinion(&bytes) else { panic!("accepted but not deterministic") };
            pairs.retain(|key, _| matches!(key.as_slice(), [0x00 | 0x01 | 0x20]));
            prop_assert_eq!(encode(&note), Item::Map(pairs).encoded());
        }
    }

    #[test]
    fn reading_allocates_nothing(bytes in hostile()) {
        prop_assert_eq!(allocation_counter::measure(|| walk(&bytes)).count_total, 0);
    }
}

#[test]
fn the_allocation_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(black_box(encode(&7_u8)))).count_total, 1);
}

// ---------------------------------------------------------------------------------------------------- refused classes

/// Bytes are refused for this reason alone, inside an array, as a value of a map, and below a key that is skipped.
#[track_caller]
fn refused(name: &str, bytes: &[u8], reason: Malformed) {
    assert_eq!(raw(bytes), Err(reason), "{name}: {bytes:02x?}");
    assert_eq!(raw(&[b"\x82\x00", bytes].concat()), Err(reason), "{name}, in an array: {bytes:02x?}");
    assert_eq!(raw(&[b"\xa1\x00", bytes].concat()), Err(reason), "{name}, in a map: {bytes:02x?}");
    assert_eq!(decode::<Note<'_>>(&[b"\xa1\x02", bytes].concat()).err(), Some(reason), "{name}, skipped: {bytes:02x?}");
    assert!(second_opinion(bytes).is_none(), "{name}: {bytes:02x?} is deterministic");
    assert_eq!(allocation_counter::measure(|| walk(bytes)).count_total, 0, "{name} allocates");
}

fn with_argument(major: u8, width: usize, argument: u64) -> Vec<u8> {
    let additional = 24 + width.trailing_zeros() as u8;
    [&[major << 5 | additional], &argument.to_be_bytes()[8 - width..]].concat()
}

#[test]
fn long_forms() {
    for (width, largest_shorter) in [(1, 23), (2, 0xff), (4, 0xffff), (8, 0xffff_ffff)] {
        for argument in [0, 1, largest_shorter] {
            refused("long-form unsigned", &with_argument(0, width, argument), Malformed::NotShortest);
            refused("long-form negative", &with_argument(1, width, argument), Malformed::NotShortest);
            refused("long-form tag", &with_argument(6, width, argument), Malformed::NotShortest);
        }
        for major in [0, 1] {
            let bytes = with_argument(major, width, largest_shorter + 1);
            assert_eq!(raw(&bytes), Ok(bytes.as_slice()), "the shortest form");
        }
        for len in [0, 1, 23_u8] {
            let content = |item: &[u8]| item.repeat(len.into());
            let pairs: Vec<u8> = (0..len).flat_map(|key| [key, 0xf6]).collect();
            let long = |major, content: Vec<u8>| [with_argument(major, width, len.into()), content].concat();
            refused("long-form length of bytes", &long(2, content(b"x")), Malformed::NotShortest);
            refused("long-form length of text", &long(3, content(b"x")), Malformed::NotShortest);
            refused("long-form length of array", &long(4, content(b"\xf6")), Malformed::NotShortest);
            refused("long-form length of map", &long(5, pairs), Malformed::NotShortest);
        }
    }
}

#[test]
fn everything_else_outside_the_grammar() {
    use Malformed::{Forbidden, Indefinite, KeyOrder, Syntax, Text, WrongType};
    let table: &[(&str, &[u8], Malformed)] = &[
        ("indefinite bytes, empty", b"\x5f\xff", Indefinite),
        ("chunked bytes", b"\x5f\x41a\x41b\xff", Indefinite),
        ("indefinite text, empty", b"\x7f\xff", Indefinite),
        ("chunked text", b"\x7f\x61a\x61b\xff", Indefinite),
        ("indefinite array, empty", b"\x9f\xff", Indefinite),
        ("indefinite array", b"\x9f\x00\xff", Indefinite),
        ("indefinite map, empty", b"\xbf\xff", Indefinite),
        ("indefinite map", b"\xbf\x00\x00\xff", Indefinite),
        ("break alone", b"\xff", Indefinite),
        ("break in an array", b"\x81\xff", Indefinite),
        ("break as a key", b"\xa1\xff\x00", Indefinite),
        ("integer key twice", b"\xa2\x00\x00\x00\x00", KeyOrder),
        ("text key twice", b"\xa2\x61a\x00\x61a\x00", KeyOrder),
        ("bytes key twice", b"\xa2\x41a\x00\x41a\x00", KeyOrder),
        ("integer keys reordered", b"\xa2\x01\x00\x00\x00", KeyOrder),
        ("text keys reordered", b"\xa2\x61b\x00\x61a\x00", KeyOrder),
        ("shorter text after longer", b"\xa2\x62aa\x00\x61b\x00", KeyOrder),
        ("negative key before positive", b"\xa2\x20\x00\x00\x00", KeyOrder),
        ("negative keys towards zero", b"\xa2\x21\x00\x20\x00", KeyOrder),
        ("text key before integer", b"\xa2\x60\x00\x00\x00", KeyOrder),
        ("length first (RFC 7049 §3.9), not bytewise", b"\xa2\x20\x00\x18\x18\x00", KeyOrder),
        ("keys reordered after a nested map", b"\xa2\x01\xa1\x05\x00\x00\x00", KeyOrder),
        ("keys reordered three levels down", b"\x81\xa1\x00\x81\xa2\x01\x00\x00\x00", KeyOrder),
        ("third key repeated", b"\xa3\x00\x00\x01\x00\x01\x00", KeyOrder),
        ("array as key", b"\xa1\x80\x00", WrongType),
        ("map as key", b"\xa1\xa0\x00", WrongType),
        ("false as key", b"\xa1\xf4\x00", WrongType),
        ("null as key", b"\xa1\xf6\x00", WrongType),
        ("tag 0", b"\xc0\x00", Forbidden),
        ("bignum", b"\xc2\x41\x01", Forbidden),
        ("tagged key", b"\xa1\xc0\x00\x00", Forbidden),
        ("tag 24", b"\xd8\x18\x41\x00", Forbidden),
        ("self-described CBOR", b"\xd9\xd9\xf7\x00", Forbidden),
        ("tag of eight bytes", b"\xdb\xff\xff\xff\xff\xff\xff\xff\xff\x00", Forbidden),
        ("float of 16 bits", b"\xf9\x3c\x00", Forbidden),
        ("zero as float", b"\xf9\x00\x00", Forbidden),
        ("NaN of 16 bits", b"\xf9\x7e\x00", Forbidden),
        ("float of 32 bits", b"\xfa\x47\xc3\x50\x00", Forbidden),
        ("float of 64 bits", b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a", Forbidden),
        ("undefined", b"\xf7", Forbidden),
        ("integer without an end", b"\x1f", Syntax),
        ("negative without an end", b"\x3f", Syntax),
        ("tag without an end", b"\xdf\x00", Syntax),
        ("text: lone continuation", b"\x61\x80", Text),
        ("text: no such byte", b"\x61\xff", Text),
        ("text: cut character", b"\x61\xc3", Text),
        ("text: overlong NUL", b"\x62\xc0\x80", Text),
        ("text: surrogate", b"\x63\xed\xa0\x80", Text),
        ("text: above U+10FFFF", b"\x64\xf4\x90\x80\x80", Text),
        ("text: as a key", b"\xa1\x61\xff\x00", Text),
    ];
    for (name, bytes, reason) in table {
        refused(name, bytes, *reason);
        if *reason == Text && bytes[0] >> 5 == 3 {
            assert_eq!(decode::<&str>(bytes), Err(Text), "{name}");
        }
    }
    for simple in (0xe0..=0xf3_u8).chain([0xf7]) {
        refused("simple value of one byte", &[simple], Forbidden);
    }
    for simple in 0..=0xff {
        refused("simple value of two bytes", &[0xf8, simple], if simple < 32 { Syntax } else { Forbidden });
    }
    for (major, reserved) in (0..8_u8).flat_map(|major| [28, 29, 30].map(|reserved| (major, reserved))) {
        refused("reserved additional information", &[major << 5 | reserved, 0, 0, 0, 0, 0, 0, 0, 0], Syntax);
    }
    // The order of RFC 8949 §4.2.1, complete.
    let ordered = b"\xa8\x00\0\x17\0\x18\x18\0\x20\0\x38\x18\0\x41\xff\0\x61a\0\x62aa\0";
    assert_eq!(raw(ordered), Ok(ordered.as_slice()));
}

#[test]
fn lengths_beyond_the_message() {
    for major in [2, 3, 4, 5] {
        for len in [1 << 16, u64::from(u32::MAX)] {
            refused("huge length", &with_argument(major, 4, len), Malformed::Truncated);
        }
        for len in [1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX] {
            let bytes = [with_argument(major, 8, len), vec![0; 64]].concat();
            refused("huge length", &bytes, Malformed::Truncated);
            let mut reader = Reader::new(&bytes).unwrap();
            match major {
                2 => assert_eq!(reader.bytes(), Err(Malformed::Truncated)),
                3 => assert_eq!(reader.text(), Err(Malformed::Truncated)),
                4 => assert_eq!(reader.array(), Err(Malformed::Truncated)),
                _ => assert_eq!(reader.map().err(), Some(Malformed::Truncated)),
            }
        }
    }
    // The caller may reserve for what `array` says: it never says more than is left.
    let array = |bytes: &[u8]| Reader::new(bytes).unwrap().array();
    assert_eq!((array(b"\x83\0\0\0"), array(b"\x83\0\0")), (Ok(3), Err(Malformed::Truncated)));
    let map = |bytes: &[u8]| Reader::new(bytes).unwrap().map().err();
    assert_eq!((map(b"\xa2\0\0\x01\0"), map(b"\xa2\0\0\x01")), (None, Some(Malformed::Truncated)));
}

#[test]
fn nesting() {
    for level in [b"\x81".as_slice(), b"\xa1\x00"] {
        let nested = |levels, inside: &[u8]| [&level.repeat(levels), inside].concat();
        for inside in [b"\x80".as_slice(), b"\xa0", b"\x81\x00", b"\xa1\x60\x40"] {
            let deepest = nested(MAX_DEPTH - 1, inside);
            assert_eq!(raw(&deepest), Ok(deepest.as_slice()));
            assert_eq!(raw(&nested(MAX_DEPTH, inside)), Err(Malformed::TooDeep));
        }
        let skipped = |levels| decode::<Note<'_>>(&[b"\xa1\x02", nested(levels, b"\x00").as_slice()].concat()).err();
        assert_eq!((skipped(MAX_DEPTH), skipped(MAX_DEPTH + 1)), (None, Some(Malformed::TooDeep)));
        assert_eq!(raw(&level.repeat(MAX_MESSAGE / level.len())), Err(Malformed::TooDeep));
        let abyss = level.repeat(100_000);
        assert_eq!(raw(&abyss), Err(Malformed::TooLong));
        assert_eq!(allocation_counter::measure(|| walk(&abyss)).count_total, 0);
    }
    // Broad is not deep: what is closed is forgotten.
    let broad = [b"\x98\x64".as_slice(), &b"\x81\xa1\x00\x80".repeat(100)].concat();
    assert_eq!(raw(&broad), Ok(broad.as_slice()));
}

#[test]
fn longest_message() {
    let message = [b"\x59\x0f\xfd".as_slice(), &[0; MAX_MESSAGE - 3]].concat();
    assert_eq!(raw(&message), Ok(message.as_slice()));
    assert_eq!(raw(&[b"\x59\x0f\xfe".as_slice(), &[0; MAX_MESSAGE - 2]].concat()), Err(Malformed::TooLong));
    assert_eq!(Reader::new(&[0; MAX_MESSAGE + 1]).err(), Some(Malformed::TooLong));
}

#[test]
fn trailing_bytes() {
    for bytes in [b"\x00\x00".as_slice(), b"\xf6\xff", b"\x80\x80", b"\xa0\x00", b"\x40\x00", b"\x81\x00\x1c"] {
        assert_eq!(raw(bytes), Err(Malformed::TrailingBytes), "{bytes:02x?}");
    }
    let mut sequence = Reader::new(b"\x01\xf6").unwrap();
    assert_eq!(
        (sequence.unsigned(), sequence.is_empty(), sequence.end()),
        (Ok(1), false, Err(Malformed::TrailingBytes))
    );
    assert_eq!(sequence.rest(), b"\xf6");
    assert_eq!((sequence.null(), sequence.is_empty(), sequence.end()), (Ok(true), true, Ok(())));
    assert_eq!(sequence.raw(), Err(Malformed::Truncated));
}

#[test]
fn wrong_types() {
    type Try = fn(&mut Reader<'_>) -> Result<(), Malformed>;
    let samples: [(Kind, &[u8]); 8] = [
        (Kind::Unsigned, b"\x00"),
        (Kind::Negative, b"\x20"),
        (Kind::Bytes, b"\x40"),
        (Kind::Text, b"\x60"),
        (Kind::Array, b"\x80"),
        (Kind::Map, b"\xa0"),
        (Kind::Tag, b"\xd2"),
        (Kind::Simple, b"\xf4"),
    ];
    let methods: [(&str, Try, &[Kind]); 12] = [
        ("unsigned", |r| r.unsigned().map(drop), &[Kind::Unsigned]),
        ("integer", |r| r.integer().map(drop), &[Kind::Unsigned, Kind::Negative]),
        ("bytes", |r| r.bytes().map(drop), &[Kind::Bytes]),
        ("bytes_exact", |r| r.bytes_exact::<0>().map(drop), &[Kind::Bytes]),
        ("bytes_up_to", |r| r.bytes_up_to(0).map(drop), &[Kind::Bytes]),
        ("text", |r| r.text().map(drop), &[Kind::Text]),
        ("boolean", |r| r.boolean().map(drop), &[Kind::Simple]),
        ("array", |r| r.array().map(drop), &[Kind::Array]),
        ("array_of", |r| r.array_of(0), &[Kind::Array]),
        ("map", |r| r.map().and_then(MapReader::end), &[Kind::Map]),
        ("tag", |r| r.tag(18), &[Kind::Tag]),
        ("Option", |r| Option::<bool>::read(r).map(drop), &[Kind::Simple]),
    ];
    for (name, method, accepts) in methods {
        for (kind, bytes) in samples {
            let mut reader = Reader::new(bytes).unwrap();
            assert_eq!(reader.peek(), Ok(kind));
            let expected = if accepts.contains(&kind) { Ok(()) } else { Err(Malformed::WrongType) };
            assert_eq!(method(&mut reader), expected, "{name} at {kind:?}");
        }
        assert_eq!(method(&mut Reader::new(b"").unwrap()), Err(Malformed::Truncated), "{name} at the end");
    }
    assert_eq!(decode::<bool>(b"\xf6"), Err(Malformed::WrongType), "null is no boolean");
    assert_eq!(Reader::new(b"").unwrap().peek(), Err(Malformed::Truncated));
    assert_eq!(Reader::new(b"\xd1").unwrap().tag(18), Err(Malformed::Forbidden));
}

#[test]
fn ranges_and_lengths() {
    assert_eq!((decode::<u8>(b"\x18\xff"), decode::<u8>(b"\x19\x01\x00")), (Ok(255), Err(Malformed::OutOfRange)));
    assert_eq!(decode::<u16>(b"\x1a\0\x01\0\0"), Err(Malformed::OutOfRange));
    assert_eq!(decode::<u32>(b"\x1b\0\0\0\x01\0\0\0\0"), Err(Malformed::OutOfRange));
    assert_eq!(decode::<u64>(&[b"\x1b".as_slice(), &[0xff; 8]].concat()), Ok(u64::MAX));
    for (value, bytes) in
        [(i64::MAX, b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff"), (i64::MIN, b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff")]
    {
        assert_eq!((decode::<i64>(bytes), encode(&value)), (Ok(value), bytes.to_vec()));
    }
    for beyond in [b"\x1b\x80\0\0\0\0\0\0\0", b"\x3b\x80\0\0\0\0\0\0\0"] {
        assert_eq!(decode::<i64>(beyond), Err(Malformed::OutOfRange));
        assert_eq!(raw(beyond), Ok(beyond.as_slice()));
    }
    assert_eq!((decode(b"\x42ab"), decode::<[u8; 2]>(b"\x41a")), (Ok(*b"ab"), Err(Malformed::WrongLength)));
    assert_eq!(decode::<[u8; 2]>(b"\x43abc"), Err(Malformed::WrongLength));
    assert_eq!((decode(b"\x42ab"), encode(&b"ab")), (Ok(b"ab"), b"\x42ab".to_vec()));
    assert_eq!(decode::<&[u8; 2]>(b"\x43abc"), Err(Malformed::WrongLength));
    let up_to = |bytes| Reader::new(bytes).unwrap().bytes_up_to(2);
    assert_eq!((up_to(b"\x42ab"), up_to(b"\x43abc")), (Ok(b"ab".as_slice()), Err(Malformed::TooLong)));
    let array_of = |len| Reader::new(b"\x82\0\0").unwrap().array_of(len);
    assert_eq!(
        (array_of(1), array_of(2), array_of(3)),
        (Err(Malformed::WrongLength), Ok(()), Err(Malformed::WrongLength))
    );
    assert_eq!(decode::<ArrayVec<bool, 1>>(b"\x82\xf4\xf5"), Err(Malformed::TooLong));
}

#[test]
fn typed_maps() {
    let table: &[(&str, &[u8], Result<(), Malformed>)] = &[
        ("all keys", b"\xa3\x00\x05\x01\x61a\x20\x41b", Ok(())),
        ("no keys", b"\xa0", Ok(())),
        ("unknown keys between and after", b"\xa4\x00\x05\x02\x80\x18\x18\x00\x20\x40", Ok(())),
        ("unknown negative key", b"\xa1\x21\x00", Err(Malformed::UnknownCriticalKey)),
        ("null for an optional key", b"\xa1\x00\xf6", Err(Malformed::WrongType)),
        ("null for the last optional key", b"\xa1\x20\xf6", Err(Malformed::WrongType)),
        ("known key twice", b"\xa2\x00\x05\x00\x05", Err(Malformed::KeyOrder)),
        ("unknown key twice", b"\xa2\x02\x05\x02\x05", Err(Malformed::KeyOrder)),
        ("negative key twice", b"\xa2\x20\x40\x20\x40", Err(Malformed::KeyOrder)),
        ("known keys reordered", b"\xa2\x01\x60\x00\x05", Err(Malformed::KeyOrder)),
        ("unknown keys reordered", b"\xa2\x03\x00\x02\x00", Err(Malformed::KeyOrder)),
        ("negative key first", b"\xa2\x20\x40\x00\x05", Err(Malformed::KeyOrder)),
        ("length first", b"\xa2\x20\x40\x18\x18\x05", Err(Malformed::KeyOrder)),
        ("long-form key", b"\xa1\x18\x00\x05", Err(Malformed::NotShortest)),
        ("text key", b"\xa1\x60\x05", Err(Malformed::WrongType)),
        ("array key", b"\xa1\x80\x05", Err(Malformed::WrongType)),
        ("wrong type of a value", b"\xa1\x00\x60", Err(Malformed::WrongType)),
        ("indefinite", b"\xbf\x00\x05\xff", Err(Malformed::Indefinite)),
        ("key beyond i64", b"\xa1\x1b\x80\0\0\0\0\0\0\0\x00", Err(Malformed::OutOfRange)),
        ("value missing", b"\xa1\x00", Err(Malformed::Truncated)),
        ("pair missing", b"\xa2\x02\x62aa", Err(Malformed::Truncated)),
        ("after the map", b"\xa0\x00", Err(Malformed::TrailingBytes)),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(decode::<Note<'_>>(bytes).map(drop), *expected, "{name}: {bytes:02x?}");
    }
    let mut reader = Reader::new(b"\xa2\x01\x02\x05\x06").unwrap();
    let mut map = reader.map().unwrap();
    assert_eq!(map.value::<u8>(0), Err(Malformed::MissingKey));
    assert_eq!(map.value::<u8>(1), Ok(2));
    assert_eq!(map.value::<u8>(4), Err(Malformed::MissingKey), "5 waits for its turn");
    assert_eq!(map.value::<u8>(5), Ok(6));
    assert_eq!(map.value::<u8>(6), Err(Malformed::MissingKey));
}

#[test]
fn sequences_and_wrapping() {
    let write = |writer: &mut Writer<'_>| {
        writer.integer(-24);
        writer.wrapped(|writer| {
            writer.boolean(true);
            writer.null();
        });
        writer.encoded(b"\x80");
    };
    let bytes = encode_with(write);
    assert_eq!((bytes.as_slice(), bytes.capacity()), (b"\x37\x42\xf5\xf6\x80".as_slice(), 5));
}
