//! Records: what is said after message_4, under keys of the EDHOC session, one per direction.
//!
//! The nonce is the record's number, from 0, never used again. What is authenticated besides the text: the direction,
//! the protocol version, TH_4 and the hash of the package, so that both sides speak of the same package in the same
//! session or not at all. What is sealed is the text in a byte string, and zeros up to a multiple of
//! [`PADDING_CLASS`](crate::provisioning::message::PADDING_CLASS), so that its length tells little.

use alloc::vec::Vec;

use crate::{
    cose::encrypt0::{self, Encrypt0},
    crypto::{Crypto, Hash, Secret, SecretBytes},
    edhoc::{Session, token},
    error::{Backend, Error, Malformed, Misbehaved, Misuse},
    provisioning::message::{PADDING_CLASS, VERSION},
    wire::{self, Reader, Writer},
};

/// Exporter label of the key for records from the device to the operator.
const DEVICE_TO_OPERATOR: u16 = 0xce03;

/// Exporter label of the key for records from the operator to the device.
const OPERATOR_TO_DEVICE: u16 = 0xce04;

/// One side's end of the record channel.
#[derive(Debug)]
pub(super) struct Channel {
    send: Direction,
    receive: Direction,
}

#[derive(Debug)]
struct Direction {
    key: Secret<32>,
    aad: Vec<u8>,
    /// The number of the next record out, or the lowest that is taken in.
    next: u64,
}

impl Direction {
    fn new(label: u16, session: &Session, package_hash: &Hash, crypto: &dyn Crypto) -> Result<Self, Backend> {
        let direction = u64::from(label == OPERATOR_TO_DEVICE);
        let context = wire::encode_with(|w| {
            w.array(2);
            w.unsigned(VERSION);
            w.unsigned(direction);
        });
        let mut key = Secret::zeroed();
        session.export(label, &context, key.bytes_mut(), crypto)?;
        let aad = wire::encode_with(|w| {
            w.array(4);
            w.unsigned(direction);
            w.unsigned(VERSION);
            w.bytes(session.th_4());
            w.bytes(package_hash);
        });
        Ok(Self { key, aad, next: 0 })
    }
}

impl Channel {
    /// The device's end.
    pub(super) fn of_device(session: &Session, package_hash: &Hash, crypto: &dyn Crypto) -> Result<Self, Backend> {
        Ok(Self {
            send: Direction::new(DEVICE_TO_OPERATOR, session, package_hash, crypto)?,
            receive: Direction::new(OPERATOR_TO_DEVICE, session, package_hash, crypto)?,
        })
    }

    /// The operator's end.
    pub(super) fn of_operator(session: &Session, package_hash: &Hash, crypto: &dyn Crypto) -> Result<Self, Backend> {
        let Self { send, receive } = Self::of_device(session, package_hash, crypto)?;
        Ok(Self { send: receive, receive: send })
    }

    /// Seals the next record, which says what `write` writes.
    pub(super) fn seal(&mut self, write: &dyn Fn(&mut Writer<'_>), crypto: &dyn Crypto) -> Result<Vec<u8>, Error> {
        let number = self.send.next;
        // Used up before it is used: a failure in between skips a number and never repeats one.
        self.send.next = number.checked_add(1).ok_or(Misuse::NotNow("record numbers are used up"))?;
        let mut text = SecretBytes::new(wire::encode_with_room(PADDING_CLASS + encrypt0::ROOM, |w| w.wrapped(write)));
        let len = text.bytes().len().next_multiple_of(PADDING_CLASS);
        text.buffer().resize(len, 0);
        encrypt0::seal_in_place(&self.send.key, Some(number), &self.send.aad, text, crypto)
    }

    /// Opens a record, and moves on only if it was a new one from the peer.
    pub(super) fn open(&mut self, record: &[u8], crypto: &dyn Crypto) -> Result<SecretBytes, Error> {
        let record: Encrypt0<'_> = wire::decode(record)?;
        let number = record.partial_iv.ok_or(Misbehaved::UnexpectedMessage)?;
        let padded = record.open(&self.receive.key, &self.receive.aad, crypto)?;
        if number < self.receive.next {
            return Err(Misbehaved::Replayed.into());
        }
        self.receive.next = number.checked_add(1).ok_or(Misbehaved::Replayed)?;
        let mut reader = Reader::new(padded.bytes())?;
        let text = SecretBytes::new(reader.bytes()?.to_vec());
        let zeros = reader.rest().iter().all(|byte| *byte == 0);
        if zeros && padded.bytes().len().is_multiple_of(PADDING_CLASS) {
            Ok(text)
        } else {
            Err(Malformed::TrailingBytes.into())
        }
    }
}

token::portable! {
    Channel { send, receive }
    Direction { key, aad, next }
}

#[cfg(all(test, feature = "rustcrypto"))]
mod tests {
    use super::*;
    use crate::{crypto::rustcrypto::RustCrypto, error::Untrusted};

    fn direction(key: u8) -> Direction {
        let key = Secret::from_slice(&[key; 32]).unwrap_or_else(|_| Secret::zeroed());
        Direction { key, aad: alloc::vec![7], next: 0 }
    }

    /// Two ends of one channel.
    fn ends() -> (Channel, Channel) {
        (Channel { send: direction(1), receive: direction(2) }, Channel { send: direction(2), receive: direction(1) })
    }

    fn outcome(channel: &mut Channel, record: &[u8]) -> Result<Vec<u8>, Error> {
        channel.open(record, &RustCrypto).map(|text| text.bytes().to_vec())
    }

    #[test]
    fn records_open_once_in_order_and_with_gaps() -> Result<(), Error> {
        let (mut one, mut other) = ends();
        let mut records = Vec::new();
        for text in [b"a", b"b", b"c", b"d"] {
            records.push(one.seal(&|w| w.encoded(text), &RustCrypto)?);
        }
        let [a, b, c, d] = records.as_slice() else { return Err(Backend::Crypto.into()) };
        assert_eq!(outcome(&mut other, b)?, b"b");
        let replayed = Err(Misbehaved::Replayed.into());
        assert_eq!(outcome(&mut other, b), replayed, "the same again");
        assert_eq!(outcome(&mut other, a), replayed, "an older one");
        assert_eq!(outcome(&mut other, d)?, b"d", "a newer one, past a gap");
        assert_eq!(outcome(&mut other, c), replayed, "out of order");
        Ok(())
    }

    #[test]
    fn what_does_not_open_moves_nothing() -> Result<(), Error> {
        let (mut one, mut other) = ends();
        let first = one.seal(&|w| w.encoded(b"a"), &RustCrypto)?;
        // [ h'a10103', { 6: h'00' }, .. ]: the number is the ninth byte.
        let mut forged = first.clone();
        forged.iter_mut().skip(8).take(1).for_each(|byte| *byte = 0xff);
        assert_eq!(outcome(&mut other, &forged), Err(Untrusted::Authentication.into()));
        assert_eq!(outcome(&mut one, &first), Err(Untrusted::Authentication.into()), "its own");
        assert_eq!(outcome(&mut other, &first)?, b"a", "the true one still opens");
        Ok(())
    }

    /// A peer with the key that pads with something else than zeros, or not as far as it should.
    #[test]
    fn padding_has_one_form() -> Result<(), Error> {
        let (_, mut other) = ends();
        let Direction { key, aad, .. } = direction(1);
        let mut number = 0;
        let mut outcome_of = |text: &[u8]| {
            let record = encrypt0::seal(&key, Some(number), &aad, text, &RustCrypto)?;
            number = number.saturating_add(1);
            outcome(&mut other, &record)
        };
        let padded = |len: usize| {
            let mut text = alloc::vec![0x41, b'a'];
            text.resize(len, 0);
            text
        };
        let refused = Err(Malformed::TrailingBytes.into());
        assert_eq!(outcome_of(&padded(PADDING_CLASS))?, b"a");
        assert_eq!(outcome_of(&padded(PADDING_CLASS.saturating_mul(2)))?, b"a");
        assert_eq!(outcome_of(&padded(2)), refused);
        assert_eq!(outcome_of(&padded(PADDING_CLASS.saturating_add(1))), refused);
        let mut marked = padded(PADDING_CLASS);
        marked.last_mut().into_iter().for_each(|last| *last = 1);
        assert_eq!(outcome_of(&marked), refused);
        assert_eq!(outcome_of(b"a"), Err(Malformed::WrongType.into()), "no string");
        Ok(())
    }

    #[test]
    fn numbers_are_not_used_twice_even_when_sealing_fails() -> Result<(), Error> {
        let (mut one, mut other) = ends();
        one.send.next = 0xff_ffff_ffff;
        let last = one.seal(&|w| w.encoded(b"a"), &RustCrypto)?;
        assert!(one.seal(&|w| w.encoded(b"b"), &RustCrypto).is_err(), "a partial IV has five bytes");
        assert!(one.seal(&|w| w.encoded(b"c"), &RustCrypto).is_err());
        assert_eq!(outcome(&mut other, &last)?, b"a");
        one.send.next = u64::MAX;
        assert!(one.seal(&|w| w.encoded(b"d"), &RustCrypto).is_err());
        Ok(())
    }
}
