//! Maps of somebody else's making: claims of a token, leaves of a voucher.
//!
//! RFC 8949 asks for one order of keys only where an application does, and neither RFC 9783 nor RFC 9254 does. What is
//! signed is the bytes as they came, so nothing hangs on the order. Lengths are still definite, heads the shortest, depth and
//! number of entries bounded, and the integer keys of each map that is read unique. What is passed over (text keys and their
//! values, maps that nobody asks for) may repeat itself.

use arrayvec::ArrayVec;

use super::{Kind, Reader, Wire};
use crate::error::Malformed;

/// Most entries of one map.
pub const MAX_ENTRIES: usize = 32;

/// The entries of a map with integer keys in any order. Text keys, which are for private use everywhere, are passed over.
#[derive(Clone, Debug)]
pub struct Entries<'a>(ArrayVec<(i64, &'a [u8]), MAX_ENTRIES>);

impl<'a> Entries<'a> {
    /// Reads bytes that are one map.
    ///
    /// # Errors
    /// [`Malformed`]: [`KeyOrder`](Malformed::KeyOrder) if a key repeats, [`TooLong`](Malformed::TooLong) above
    /// [`MAX_ENTRIES`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes)?;
        let entries = Self::read(&mut reader)?;
        reader.end()?;
        Ok(entries)
    }

    /// Reads a map that comes next.
    ///
    /// # Errors
    /// As [`Entries::decode`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut entries = Self(ArrayVec::new());
        for _ in 0..reader.map_len()? {
            if reader.peek()? == Kind::Text {
                reader.text()?;
                reader.raw_foreign()?;
                continue;
            }
            let key = reader.integer()?;
            if entries.get(key).is_some() {
                return Err(Malformed::KeyOrder);
            }
            entries.0.try_push((key, reader.raw_foreign()?)).map_err(|_| Malformed::TooLong)?;
        }
        Ok(entries)
    }

    /// The value of `key`, as it came.
    pub fn get(&self, key: i64) -> Option<&'a [u8]> {
        self.0.iter().find_map(|(found, value)| (*found == key).then_some(*value))
    }

    /// The value of `key`, decoded; `None` if it is not there.
    ///
    /// # Errors
    /// [`Malformed`] if it is of another type.
    pub fn value<T: Wire<'a>>(&self, key: i64) -> Result<Option<T>, Malformed> {
        self.get(key).map(super::decode).transpose()
    }

    /// The value of `key`, which has to be there.
    ///
    /// # Errors
    /// [`Malformed::MissingKey`], or as [`Entries::value`].
    pub fn required<T: Wire<'a>>(&self, key: i64) -> Result<T, Malformed> {
        self.value(key)?.ok_or(Malformed::MissingKey)
    }

    /// The value of `key` as a map of the same kind.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn map(&self, key: i64) -> Result<Option<Self>, Malformed> {
        self.get(key).map(Self::decode).transpose()
    }

    /// The items of the array at `key`, as they came; none if it is not there. No more than `N`.
    ///
    /// # Errors
    /// [`Malformed`] if it is no array, or too long.
    pub fn array<const N: usize>(&self, key: i64) -> Result<ArrayVec<&'a [u8], N>, Malformed> {
        let mut items = ArrayVec::new();
        if let Some(value) = self.get(key) {
            let mut reader = Reader::new(value)?;
            for _ in 0..reader.array()? {
                items.try_push(reader.raw_foreign()?).map_err(|_| Malformed::TooLong)?;
            }
            reader.end()?;
        }
        Ok(items)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn any_order_each_key_once() {
        let entries =
            Entries::decode(b"\xa4\x19\x01\x00\x01\x0a\x41x\x20\x82\x01\xa2\x05\x00\x02\x00\x61a\xc1\x00").unwrap();
        assert_eq!(entries.value::<u64>(256), Ok(Some(1)));
        assert_eq!(entries.required::<&[u8]>(10), Ok(b"x".as_slice()));
        let items = entries.array::<2>(-1).unwrap();
        assert_eq!(items.as_slice(), [b"\x01".as_slice(), b"\xa2\x05\x00\x02\x00"]);
        assert_eq!(Entries::decode(items[1]).unwrap().required::<u64>(2), Ok(0));
        assert_eq!(entries.array::<1>(-1), Err(Malformed::TooLong));
        assert_eq!(entries.value::<u64>(7), Ok(None));
        assert_eq!(entries.required::<u64>(7), Err(Malformed::MissingKey));
        assert_eq!(entries.value::<u64>(10), Err(Malformed::WrongType));
        assert!(entries.map(7).unwrap().is_none());
        assert_eq!(entries.map(10).err(), Some(Malformed::WrongType));
    }

    #[test]
    fn the_rest_is_as_strict_as_ever() {
        let refused = |bytes: &[u8]| Entries::decode(bytes).err();
        assert_eq!(refused(b"\xa2\x02\x00\x02\x00"), Some(Malformed::KeyOrder), "twice");
        assert_eq!(refused(b"\xa1\x02\x18\x05"), Some(Malformed::NotShortest));
        assert_eq!(refused(b"\xbf\x02\x00\xff"), Some(Malformed::Indefinite));
        assert_eq!(refused(b"\xa1\x02\xc1"), Some(Malformed::Truncated), "a tag without content");
        assert_eq!(refused(b"\xa1\x40\x00"), Some(Malformed::WrongType), "a byte string for a key");
        assert_eq!(refused(b"\xa1\x02\x00\x00"), Some(Malformed::TrailingBytes));
        assert_eq!(refused(b"\xa1\x02\x81\x81\x81\x81\x81\x81\x81\x81\x81\x00"), Some(Malformed::TooDeep));
        let tags = |count| refused(&[b"\xa1\x02".as_slice(), &alloc::vec![0xc1; count], b"\x00"].concat());
        assert_eq!((tags(8), tags(9), tags(4000)), (None, Some(Malformed::TooDeep), Some(Malformed::TooDeep)));
        assert_eq!(refused(b"\xa1\x02\x82\xc1\xc1\xc1\xc1\xc1\x00\xc1\xc1\xc1\xc1\xc1\x00"), None, "each by itself");
        assert_eq!(refused(b"\xa1\x02\xa1\xc1\x00\x00"), Some(Malformed::WrongType), "a tagged key");
        let mut many = alloc::vec![0xb8, 33];
        many.extend((0..24).flat_map(|key| [key, 0]));
        many.extend((24..33).flat_map(|key| [0x18, key, 0]));
        assert_eq!(refused(&many), Some(Malformed::TooLong));
    }
}
