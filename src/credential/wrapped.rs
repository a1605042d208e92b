//! K at rest on the operator's side: wrapped under a key of its storage, and known by a one-way fingerprint.
//!
//! ```text
//! storage key, package hash ─▶ HKDF ─▶ a key of its own for each credential ─▶ AES-256-GCM ─▶ Wrapped, in the log
//! K ─▶ SHA-256 ─▶ Fingerprint: says whether two hold the same K, and nothing else of it
//! ```
//!
//! A package hash names one session, so no key wraps two credentials, and a server that was restored from a snapshot can
//! only repeat what it wrote.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    aka::Sqn,
    cose::encrypt0::{self, Encrypt0},
    crypto::{Crypto, HASH_LEN, Hash, Secret, SecretBytes},
    error::{Backend, Error, Untrusted},
    wire::{self, wire_array},
};

/// Keeps the derivation from meaning anything elsewhere.
const INFO: &[u8] = b"RCP wrapped K";

/// The same for fingerprints.
const FINGERPRINT: &[u8] = b"RCP K fingerprint";

/// What K rests under in the operator's log. It has a number, so that a later one can take its place: keep the old one until
/// no open transaction is wrapped under it any more.
#[derive(Debug)]
pub struct StorageKey {
    number: u32,
    key: Secret<32>,
}

/// A credential's secrets under a [`StorageKey`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wrapped {
    /// The storage key's number.
    key: u32,
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
}

/// K, with what was born with it.
#[derive(Debug)]
pub struct Secrets {
    /// K.
    pub k: Secret<16>,
    /// OPc.
    pub opc: Secret<16>,
    /// The SQN that the activation challenge used: the next one has to be above it.
    pub sqn: Sqn,
}

wire_array! {
    /// secrets = [ k, opc, sqn ]
    struct Plain<'a> {
        k: &'a [u8; 16],
        opc: &'a [u8; 16],
        sqn: [u8; 6],
    }
}

impl StorageKey {
    /// The key with this number.
    pub const fn new(number: u32, key: Secret<32>) -> Self {
        Self { number, key }
    }

    /// Wraps the secrets that go with a package.
    ///
    /// # Errors
    /// [`Backend::Crypto`].
    pub fn wrap(&self, secrets: &Secrets, package_hash: &Hash, crypto: &dyn Crypto) -> Result<Wrapped, Error> {
        let Secrets { k, opc, sqn } = secrets;
        let plain = Plain { k: k.bytes(), opc: opc.bytes(), sqn: sqn.to_bytes() };
        let plain = SecretBytes::new(wire::encode(&plain));
        let key = self.derive(package_hash, crypto)?;
        let sealed = encrypt0::seal(&key, None, package_hash, plain.bytes(), crypto)?;
        Ok(Wrapped { key: self.number, sealed })
    }

    /// Unwraps them.
    ///
    /// # Errors
    /// [`Backend::Key`] if they are under another storage key; [`Untrusted::Authentication`] if they were altered, or belong
    /// to another package.
    pub fn unwrap(&self, wrapped: &Wrapped, package_hash: &Hash, crypto: &dyn Crypto) -> Result<Secrets, Error> {
        if wrapped.key != self.number {
            return Err(Backend::Key.into());
        }
        let key = self.derive(package_hash, crypto)?;
        let sealed: Encrypt0<'_> = wire::decode(&wrapped.sealed)?;
        let plain = sealed.open(&key, package_hash, crypto)?;
        let Plain { k, opc, sqn } = wire::decode(plain.bytes()).map_err(|_| Untrusted::Authentication)?;
        Ok(Secrets { k: Secret::from_slice(k)?, opc: Secret::from_slice(opc)?, sqn: Sqn::from_bytes(sqn) })
    }

    fn derive(&self, package_hash: &Hash, crypto: &dyn Crypto) -> Result<Secret<32>, Backend> {
        let mut prk = Secret::<HASH_LEN>::zeroed();
        crypto.hkdf_extract(package_hash, self.key.bytes(), &mut prk);
        let mut key = Secret::zeroed();
        crypto.hkdf_expand(&prk, &[INFO, &self.number.to_be_bytes()], key.bytes_mut())?;
        Ok(key)
    }
}

impl Wrapped {
    /// The number of the storage key that it is under.
    pub const fn key_number(&self) -> u32 {
        self.key
    }
}

/// What shows that two hold the same K. K has 128 random bits, so it cannot be found from it.
pub fn fingerprint(k: &Secret<16>, crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[FINGERPRINT, k.bytes()])
}
