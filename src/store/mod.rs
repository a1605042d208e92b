//! What a device keeps, and where its identity key lives.
//!
//! [`KeyStore`] holds identity keys by number and never gives one out: a secure element, a TPM and a test vector all fit.
//! [`SubscriptionStore`] sees numbers and opaque bytes; one durable step of the protocol is one call of
//! [`SubscriptionStore::commit`], which lands whole or not at all. So a store does not grow when the protocol does.
//!
//! [`memory`] has both in memory, for tests and for servers that load their keys elsewhere; `aws_lc` (feature `aws-lc-rs`)
//! has a faster key store for the latter. The software USIM that keeps K in a [`SubscriptionStore`] needs the package
//! format and AKA, which rank above this room: it is [`credential::SoftUsim`](crate::credential::SoftUsim).

#[cfg(feature = "aws-lc-rs")]
pub mod aws_lc;
pub mod memory;

use crate::{
    crypto::{HASH_LEN, PublicKey, Secret, SecretBytes, Signature},
    error::Backend,
};

/// The number of an identity key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// Identity keys that work at home: nothing here returns a private key.
///
/// A store that is slow (an HSM across a network, a secure element on a bus) may answer [`Backend::KeyPending`] and have
/// the result ready when it is asked the same again: every step of a handshake that asks it can be repeated, with the same
/// arguments.
pub trait KeyStore {
    /// The public half.
    ///
    /// # Errors
    /// [`Backend::Key`] if there is no such key.
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend>;

    /// A signature over `message` (the store hashes it): ES256 with a P-256 key, EdDSA with an Ed25519 one. Hedge it with
    /// fresh randomness if the hardware can; a nonce that repeats for two messages gives the key away.
    ///
    /// # Errors
    /// [`Backend::Key`] if there is no such key, or it may not sign.
    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend>;

    /// The x- or u-coordinate of the Diffie-Hellman product with `peer`, into `shared`. Needed for EDHOC methods 1 to 3
    /// only.
    ///
    /// # Errors
    /// [`Backend::Key`] if there is no such key, it may not agree, or `peer` is of another kind.
    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend>;
}

/// One of the two places for a credential. Two, so that a new one is written whole before the old one is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What to do with slots in a commit.
#[derive(Debug)]
pub enum SlotChange<'a> {
    /// The slot now holds these bytes. They may contain K: keep them where it is safe, and wipe what they replace.
    Write(Slot, &'a SecretBytes),
    /// The slot is empty now; wipe what it held.
    Erase(Slot),
}

/// One durable step.
#[derive(Debug)]
pub struct Commit<'a> {
    /// What becomes of the slots: none, one or both of them.
    pub slots: &'a [SlotChange<'a>],
    /// The new commit record; replaces the last one. At most [`MAX_RECORD`] bytes.
    pub record: &'a [u8],
}

/// Longest commit record, in bytes: sixteen receipts of some 220 bytes, and the rest. The limit of the codec too.
pub const MAX_RECORD: usize = crate::wire::MAX_MESSAGE;

/// Where a device keeps its subscriptions: two opaque slots and one opaque record.
///
/// **What a wrong answer costs.** A store that returns a record older than the last commit makes the device repeat a
/// request counter, and the operator takes it for a clone. One that returns an older slot lets a used SQN, and with it an
/// old challenge, through. One that lands half of a commit can lose the device its only credential.
///
/// Write the slot first, then flip the record, and treat a slot that no record names as empty; or use a transaction.
/// `sim::kit::check_store` tries an implementation; that it survives a power cut only your own hardware can show.
pub trait SubscriptionStore {
    /// The last committed record; `None` on a factory-new device.
    ///
    /// # Errors
    /// [`Backend::Store`] if reading fails. Never answer `None` for a record that cannot be read.
    fn record(&self) -> Result<Option<alloc::vec::Vec<u8>>, Backend>;

    /// What a slot holds; `None` if it is empty.
    ///
    /// # Errors
    /// [`Backend::Store`] if reading fails.
    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend>;

    /// Makes one step durable, whole or not at all, before it returns.
    ///
    /// # Errors
    /// [`Backend::Store`]; then nothing was changed.
    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend>;
}
