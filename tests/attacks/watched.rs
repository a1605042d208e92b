//! The usual primitives, and a note of each call that says something about an attack.

use core::cell::RefCell;

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
};

/// What was sealed.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) key: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

#[derive(Default)]
struct Notes {
    sealed: Vec<Sealed>,
    costly: usize,
}

std::thread_local! {
    static NOTES: RefCell<Notes> = RefCell::default();
}

/// All that this thread has sealed since it was asked last.
pub(crate) fn take_sealed() -> Vec<Sealed> {
    NOTES.with_borrow_mut(|notes| core::mem::take(&mut notes.sealed))
}

/// How many operations with points it has done since.
pub(crate) fn take_costly() -> usize {
    NOTES.with_borrow_mut(|notes| core::mem::take(&mut notes.costly))
}

fn costly() {
    NOTES.with_borrow_mut(|notes| notes.costly += 1);
}

pub(crate) struct Watched;

impl Crypto for Watched {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        let before = text.clone();
        RustCrypto.seal(aead, key, nonce, aad, text)?;
        let sealed = Sealed { key: key.to_vec(), nonce: nonce.to_vec(), text: before, ciphertext: text.clone() };
        NOTES.with_borrow_mut(|notes| notes.sealed.push(sealed));
        Ok(())
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        costly();
        RustCrypto.point(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        costly();
        RustCrypto.read_key(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        costly();
        RustCrypto.generate(group, rng)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        costly();
        RustCrypto.encapsulate(group, g_x, rng, shared)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        costly();
        RustCrypto.decapsulate(key, g_y, shared)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        costly();
        RustCrypto.agree(key, peer, shared)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        costly();
        RustCrypto.verify(key, message, signature)
    }
}
