//! Both stores in memory: for tests, for simulations, and for servers that load their keys elsewhere.
//!
//! `MemoryKeyStore` (feature `rustcrypto`) computes with keys that it is given; [`MemoryStore`] keeps a record and two
//! slots, and calls durable what would be durable if its memory were. Neither can be cloned or prints what it holds. A
//! crash test takes a [`durable_copy`](MemoryStore::durable_copy) and goes on from there.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

use crate::{
    crypto::{Hash, SecretBytes},
    error::Backend,
    store::{Commit, MAX_RECORD, Slot, SlotChange, SubscriptionStore},
};

#[cfg(feature = "rustcrypto")]
pub use keys::MemoryKeyStore;

#[cfg(feature = "rustcrypto")]
mod keys {
    use alloc::{boxed::Box, vec::Vec};
    use core::fmt;

    use p256::ecdsa::{self, SigningKey, signature::Signer};

    use crate::{
        crypto::{
            HASH_LEN, KeyKind, PublicKey, Secret, Signature,
            rustcrypto::{self, HAS_X25519},
            sweep::{POINTS, swept},
        },
        error::Backend,
        store::{KeyId, KeyStore},
    };

    /// Identity keys in memory: P-256, and with the feature `x25519` also Ed25519 and X25519. Wiped on drop.
    ///
    /// A P-256 key may both sign and agree. Signatures are deterministic (RFC 6979 §3.2, RFC 8032 §5.1.6): nothing to go
    /// wrong with a bad random source, and published signatures can be compared; but without the randomness that makes
    /// fault attacks hard, so a device in the field wants a secure element.
    #[derive(Default)]
    pub struct MemoryKeyStore {
        /// In the order of their numbers. Boxed, so that a list that grows leaves no copies behind.
        keys: Vec<(KeyId, Box<Key>)>,
    }

    enum Key {
        /// And not the scalar, because making a `SigningKey` costs as much as the signature.
        P256(SigningKey),
        X25519 {
            private: Secret<32>,
            public: PublicKey,
        },
        /// And not the seed, for the same reason.
        #[cfg(feature = "x25519")]
        Ed25519(ed25519_dalek::SigningKey),
    }

    impl MemoryKeyStore {
        /// Without keys.
        pub const fn new() -> Self {
            Self { keys: Vec::new() }
        }

        /// Takes in the P-256 private key `scalar` (big-endian), in place of any that had this number. Wipe the original.
        ///
        /// # Errors
        /// [`Backend::Key`] if the scalar is zero or not below the group order; then nothing was changed.
        pub fn insert(&mut self, key: KeyId, scalar: &[u8; 32]) -> Result<(), Backend> {
            self.insert_kind(key, KeyKind::P256, scalar)
        }

        /// Takes in a private key of any kind, in place of any that had this number: the scalar of a P-256 key
        /// (big-endian), the scalar of an X25519 key (RFC 7748 §5, clamped when used), the seed of an Ed25519 key (RFC
        /// 8032 §5.1.5). Wipe the original.
        ///
        /// # Errors
        /// [`Backend::Key`] if a P-256 scalar is zero or not below the group order, or this build does not have the
        /// kind; then nothing was changed.
        pub fn insert_kind(&mut self, key: KeyId, kind: KeyKind, private: &[u8; 32]) -> Result<(), Backend> {
            let held = swept::<POINTS, _>(|| {
                Ok(Box::new(match kind {
                    KeyKind::P256 => Key::P256(SigningKey::from_bytes(private.into()).map_err(|_| Backend::Key)?),
                    KeyKind::X25519 if HAS_X25519 => {
                        let u = swept::<POINTS, _>(|| rustcrypto::public_x25519(private));
                        // Before the private key is copied: a part of it is undefined, and so whatever was on the stack.
                        let public = PublicKey::from_checked_x25519(&u);
                        Key::X25519 { private: Secret::from_slice(private)?, public }
                    }
                    #[cfg(feature = "x25519")]
                    KeyKind::Ed25519 => Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(private)),
                    _ => return Err(Backend::Key),
                }))
            })?;
            match self.place(key) {
                Ok(place) => self.keys.splice(place..=place, [(key, held)]).for_each(drop),
                Err(place) => self.keys.insert(place, (key, held)),
            }
            Ok(())
        }

        fn get(&self, key: KeyId) -> Result<&Key, Backend> {
            let (_, held) = self.place(key).ok().and_then(|place| self.keys.get(place)).ok_or(Backend::Key)?;
            Ok(held)
        }

        /// Where a key is, or else where it belongs.
        fn place(&self, key: KeyId) -> Result<usize, usize> {
            self.keys.binary_search_by_key(&key, |(number, _)| *number)
        }
    }

    impl KeyStore for MemoryKeyStore {
        fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
            Ok(match self.get(key)? {
                Key::P256(key) => rustcrypto::to_public_key(key.verifying_key().as_affine()),
                Key::X25519 { public, .. } => *public,
                #[cfg(feature = "x25519")]
                Key::Ed25519(key) => PublicKey::from_checked_ed25519(key.verifying_key().as_bytes()),
            })
        }

        fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
            let key = self.get(key)?;
            swept::<POINTS, _>(|| match key {
                Key::P256(key) => {
                    let signature: ecdsa::Signature = key.try_sign(message).map_err(|_| Backend::Key)?;
                    Ok(signature.to_bytes().into())
                }
                #[cfg(feature = "x25519")]
                Key::Ed25519(key) => Ok(key.try_sign(message).map_err(|_| Backend::Key)?.to_bytes()),
                Key::X25519 { .. } => Err(Backend::Key),
            })
        }

        fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
            let key = self.get(key)?;
            let agreed = swept::<POINTS, _>(|| match (key, peer.kind()) {
                (Key::P256(key), KeyKind::P256) => rustcrypto::agree(key.as_nonzero_scalar(), peer, shared),
                (Key::X25519 { private, .. }, KeyKind::X25519) if HAS_X25519 => {
                    rustcrypto::exchange_x25519(private.bytes(), peer.bytes(), shared)
                }
                _ => None,
            });
            agreed.ok_or(Backend::Key)
        }
    }

    impl fmt::Debug for MemoryKeyStore {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "MemoryKeyStore({} keys)", self.keys.len())
        }
    }
}

/// A [`SubscriptionStore`] in memory. Slots are wiped when they are replaced, erased or dropped.
#[derive(Default)]
pub struct MemoryStore {
    record: Option<Vec<u8>>,
    a: Option<SecretBytes>,
    b: Option<SecretBytes>,
    commits: usize,
}

impl MemoryStore {
    /// As on a factory-new device: no record, both slots empty.
    pub const fn new() -> Self {
        Self { record: None, a: None, b: None, commits: 0 }
    }

    /// How many commits have landed, since [`MemoryStore::new`] and across [`MemoryStore::durable_copy`].
    pub const fn commits(&self) -> usize {
        self.commits
    }

    /// SHA-256 over the record and both slots, each with its length: equal if and only if the contents are. The number
    /// of commits does not count.
    pub fn fingerprint(&self) -> Hash {
        let slots = [&self.a, &self.b].map(|slot| slot.as_ref().map(SecretBytes::bytes));
        let mut hash = Sha256::new();
        for part in [self.record.as_deref()].into_iter().chain(slots) {
            match part {
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        hash.finalize().into()
    }

    /// What would be found here after a power cut at this moment, as a store of its own. Explicit, and not `Clone`,
    /// because it doubles the secrets.
    #[must_use]
    pub fn durable_copy(&self) -> Self {
        Self {
            record: self.record.clone(),
            a: self.a.as_ref().map(copy),
            b: self.b.as_ref().map(copy),
            commits: self.commits,
        }
    }

    const fn slot_ref(&self, slot: Slot) -> &Option<SecretBytes> {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    const fn slot_mut(&mut self, slot: Slot) -> &mut Option<SecretBytes> {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }
}

impl SubscriptionStore for MemoryStore {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        Ok(self.record.clone())
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        Ok(self.slot_ref(slot).as_ref().map(copy))
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        if commit.record.len() > MAX_RECORD {
            return Err(Backend::Store);
        }
        // Nothing fails from here on.
        for change in commit.slots {
            match change {
                SlotChange::Write(slot, bytes) => *self.slot_mut(*slot) = Some(copy(bytes)),
                SlotChange::Erase(slot) => *self.slot_mut(*slot) = None,
            }
        }
        self.record = Some(commit.record.to_vec());
        self.commits = self.commits.saturating_add(1);
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("record_len", &self.record.as_ref().map(Vec::len))
            .field("a", &self.a)
            .field("b", &self.b)
            .field("commits", &self.commits)
            .finish()
    }
}

fn copy(bytes: &SecretBytes) -> SecretBytes {
    SecretBytes::new(bytes.bytes().to_vec())
}
