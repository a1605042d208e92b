//! The usual primitives, and how often those were asked that cost something.

use core::{cell::Cell, ops::AddAssign};

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
};

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) allocations: u64,
    /// Ephemeral keys.
    pub(crate) made: usize,
    /// Diffie-Hellman, by the backend.
    pub(crate) products: usize,
    /// Signatures that were checked.
    pub(crate) checked: usize,
    /// Points that were read in.
    pub(crate) points: usize,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.allocations += other.allocations;
        self.made += other.made;
        self.products += other.products;
        self.checked += other.checked;
        self.points += other.points;
    }
}

std::thread_local! {
    static DONE: Cell<Work> = Cell::default();
}

/// What `what` does.
pub(crate) fn work(what: impl FnOnce()) -> Work {
    DONE.take();
    let counted = allocation_counter::measure(what);
    Work { allocations: counted.count_total, ..DONE.take() }
}

fn note(add: impl FnOnce(&mut Work)) {
    let mut done = DONE.get();
    add(&mut done);
    DONE.set(done);
}

pub(crate) struct Counted;

impl Crypto for Counted {
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
        RustCrypto.seal(aead, key, nonce, aad, text)
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        note(|done| done.points += 1);
        RustCrypto.point(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        note(|done| done.points += 1);
        RustCrypto.read_key(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        note(|done| done.made += 1);
        RustCrypto.generate(group, rng)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        note(|done| {
            done.made += 1;
            done.products += 1;
        });
        RustCrypto.encapsulate(group, g_x, rng, shared)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        note(|done| done.products += 1);
        RustCrypto.decapsulate(key, g_y, shared)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        note(|done| done.products += 1);
        RustCrypto.agree(key, peer, shared)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        note(|done| done.checked += 1);
        RustCrypto.verify(key, message, signature)
    }
}
