//! A key store in memory over AWS-LC (feature `aws-lc-rs`): for servers that load their keys elsewhere.
//!
//! What [`MemoryKeyStore`](crate::store::memory::MemoryKeyStore) does, in a quarter to a third of the time. It goes with
//! [`AwsLc`](crate::crypto::aws_lc::AwsLc), but knows nothing of it: any backend works with any key store.
//!
//! AWS-LC hedges each ES256 signature with randomness of its own, so two over one message differ. EdDSA is deterministic
//! (RFC 8032 §5.1.6).

use alloc::collections::BTreeMap;
use core::fmt;

use aws_lc_rs::{
    agreement::PrivateKey,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use crate::{
    crypto::{Group, HASH_LEN, KeyKind, PublicKey, Secret, Signature, aws_lc, rustcrypto::HAS_X25519},
    error::Backend,
    store::{KeyId, KeyStore},
};

/// Identity keys in memory: P-256, and with the feature `x25519` also Ed25519 and X25519. Wiped on drop.
///
/// A P-256 key may both sign and agree.
#[derive(Default)]
pub struct AwsLcKeyStore {
    // The keys themselves are AWS-LC's, on its heap: the tree moves pointers.
    keys: BTreeMap<KeyId, Key>,
}

struct Key {
    public: PublicKey,
    agrees: Option<PrivateKey>,
    signs: Option<Signer>,
}

enum Signer {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl AwsLcKeyStore {
    /// Without keys.
    pub const fn new() -> Self {
        Self { keys: BTreeMap::new() }
    }

    /// Takes in the P-256 private key `scalar` (big-endian), in place of any that had this number. Wipe the original.
    ///
    /// # Errors
    /// [`Backend::Key`] if the scalar is zero or not below the group order; then nothing was changed.
    pub fn insert(&mut self, key: KeyId, scalar: &[u8; 32]) -> Result<(), Backend> {
        self.insert_kind(key, KeyKind::P256, scalar)
    }

    /// Takes in a private key of any kind, in place of any that had this number: the scalar of a P-256 key (big-endian),
    /// the scalar of an X25519 key (RFC 7748 §5, clamped when used), the seed of an Ed25519 key (RFC 8032 §5.1.5). Wipe
    /// the original.
    ///
    /// # Errors
    /// [`Backend::Key`] if a P-256 scalar is zero or not below the group order, or this build does not have the kind;
    /// then nothing was changed.
    pub fn insert_kind(&mut self, key: KeyId, kind: KeyKind, private: &[u8; 32]) -> Result<(), Backend> {
        let held = match kind {
            KeyKind::P256 => p256(private),
            KeyKind::X25519 if HAS_X25519 => x25519(private),
            KeyKind::Ed25519 if HAS_X25519 => ed25519(private),
            _ => None,
        };
        self.keys.insert(key, held.ok_or(Backend::Key)?);
        Ok(())
    }

    fn get(&self, key: KeyId) -> Result<&Key, Backend> {
        self.keys.get(&key).ok_or(Backend::Key)
    }
}

fn p256(scalar: &[u8; 32]) -> Option<Key> {
    let agrees = aws_lc::read(Group::P256, &Secret::from_slice(scalar).ok()?)?;
    let public = aws_lc::public_key(&agrees).ok()?;
    let signs =
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, public.bytes()).ok()?;
    Some(Key { public, agrees: Some(agrees), signs: Some(Signer::Es256(signs)) })
}

fn x25519(scalar: &[u8; 32]) -> Option<Key> {
    let agrees = aws_lc::read(Group::X25519, &Secret::from_slice(scalar).ok()?)?;
    Some(Key { public: aws_lc::public_key(&agrees).ok()?, agrees: Some(agrees), signs: None })
}

fn ed25519(seed: &[u8; 32]) -> Option<Key> {
    // Unchecked against a public key that would come with it, and none does.
    let signs = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    let public = PublicKey::from_checked_ed25519(signs.public_key().as_ref().try_into().ok()?);
    Some(Key { public, agrees: None, signs: Some(Signer::EdDsa(signs)) })
}

impl KeyStore for AwsLcKeyStore {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        Ok(self.get(key)?.public)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        let signature = match self.get(key)?.signs.as_ref().ok_or(Backend::Key)? {
            // The random source is one of form: AWS-LC takes its own.
            Signer::Es256(key) => key.sign(&SystemRandom::new(), message),
            Signer::EdDsa(key) => key.try_sign(message),
        };
        signature.map_err(|_| Backend::Key)?.as_ref().try_into().map_err(|_| Backend::Key)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        let key = self.get(key)?.agrees.as_ref().ok_or(Backend::Key)?;
        aws_lc::exchange(key, peer, shared).map_err(|_| Backend::Key)
    }
}

impl fmt::Debug for AwsLcKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsLcKeyStore({} keys)", self.keys.len())
    }
}
