//! Records: what is said after message_4, under keys of the EDHOC session, one per direction.
//!
//! The nonce is the record's number, from 0, never used again. What is authenticated besides the text: the direction,
//! the protocol version, TH_4 and the hash of the package, so that both sides speak of the same package in the same
//! session or not at all.

use alloc::vec::Vec;

use crate::{
    cose::encrypt0::{self, Encrypt0},
    crypto::{Crypto, Hash, Secret, SecretBytes},
    edhoc::Session,
    error::{Backend, Error, Misbehaved, Misuse},
    identity::Role,
    provisioning::message::VERSION,
    wire,
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
    /// The channel of `side`.
    pub(super) fn new(
        side: Role,
        session: &Session,
        package_hash: &Hash,
        crypto: &dyn Crypto,
    ) -> Result<Self, Backend> {
        let up = Direction::new(DEVICE_TO_OPERATOR, session, package_hash, crypto)?;
        let down = Direction::new(OPERATOR_TO_DEVICE, session, package_hash, crypto)?;
        Ok(match side {
            Role::Device => Self { send: up, receive: down },
            Role::Operator => Self { send: down, receive: up },
        })
    }

    /// Seals the next record.
    pub(super) fn seal(&mut self, plaintext: &[u8], crypto: &dyn Crypto) -> Result<Vec<u8>, Error> {
        let number = self.send.next;
        // Used up before it is used: a failure in between skips a number and never repeats one.
        self.send.next = number.checked_add(1).ok_or(Misuse::NotNow("record numbers are used up"))?;
        encrypt0::seal(&self.send.key, Some(number), &self.send.aad, plaintext, crypto)
    }

    /// Opens a record, and moves on only if it was a new one from the peer.
    pub(super) fn open(&mut self, record: &[u8], crypto: &dyn Crypto) -> Result<SecretBytes, Error> {
        let record: Encrypt0<'_> = wire::decode(record)?;
        let number = record.partial_iv.ok_or(Misbehaved::UnexpectedMessage)?;
        let plaintext = record.open(&self.receive.key, &self.receive.aad, crypto)?;
        if number < self.receive.next {
            return Err(Misbehaved::Replayed.into());
        }
        self.receive.next = number.checked_add(1).ok_or(Misbehaved::Replayed)?;
        Ok(plaintext)
    }
}
