//! What an operation costs, counted on the device itself.
//!
//! QEMU runs with `-icount shift=8`: an instruction takes 256 ns of emulated time, in which the timer ticks 6.4 times. So
//! ticks give instructions, exactly.

use alloc::vec::Vec;
use core::cell::Cell;

use remote_provisioning::{
    crypto::{Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, Signature},
    error::{Backend, Misbehaved, Result, Untrusted},
    store::{KeyId, KeyStore},
};

use crate::board;

/// What is timed.
#[derive(Clone, Copy)]
pub enum Work {
    /// Points of P-256 and a secret scalar.
    Secret = 0,
    /// Points of P-256 and nothing secret: signatures and keys of others.
    Public = 1,
    /// Hashes and ciphers.
    Symmetric = 2,
}

/// Ticks of cryptography so far, and how often points were asked for.
pub struct Meter {
    ticks: [Cell<u64>; 3],
    calls: Cell<u32>,
}

// SAFETY: there is one thread, and no interrupt handler uses it.
unsafe impl Sync for Meter {}

impl Meter {
    /// At zero.
    pub const fn new() -> Self {
        Self { ticks: [const { Cell::new(0) }; 3], calls: Cell::new(0) }
    }

    /// Ticks and calls since the last time, which are forgotten.
    pub fn take(&self) -> ([u64; 3], u32) {
        (core::array::from_fn(|work| self.ticks[work].take()), self.calls.take())
    }

    /// Times work.
    pub fn time<T>(&self, work: Work, run: impl FnOnce() -> T) -> T {
        let start = board::ticks();
        let done = run();
        let ticks = &self.ticks[work as usize];
        ticks.set(ticks.get() + u64::from(board::ticks().wrapping_sub(start)));
        self.calls.set(self.calls.get() + u32::from(!matches!(work, Work::Symmetric)));
        done
    }
}

/// Passes everything on, and times it.
pub struct Metered<'a, T> {
    pub inner: T,
    pub meter: &'a Meter,
}

impl<T: Crypto> Crypto for Metered<'_, T> {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        self.meter.time(Work::Symmetric, || self.inner.sha256(parts))
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        self.meter.time(Work::Symmetric, || self.inner.hkdf_extract(salt, ikm, prk));
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        self.meter.time(Work::Symmetric, || self.inner.hkdf_expand(prk, info, okm))
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        self.meter.time(Work::Symmetric, || self.inner.seal(aead, key, nonce, aad, text))
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        self.meter.time(Work::Symmetric, || self.inner.open(aead, key, nonce, aad, text))
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.meter.time(Work::Public, || self.inner.point(encoded))
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.meter.time(Work::Public, || self.inner.read_key(kind, encoded))
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        self.meter.time(Work::Secret, || self.inner.generate(group, rng))
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        self.meter.time(Work::Secret, || self.inner.encapsulate(group, g_x, rng, shared))
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        self.meter.time(Work::Secret, || self.inner.decapsulate(key, g_y, shared))
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.meter.time(Work::Secret, || self.inner.agree(key, peer, shared))
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        self.meter.time(Work::Public, || self.inner.verify(key, message, signature))
    }
}

impl<T: KeyStore> KeyStore for Metered<'_, T> {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.meter.time(Work::Public, || self.inner.public_key(key))
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        self.meter.time(Work::Secret, || self.inner.sign(key, message))
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.meter.time(Work::Secret, || self.inner.agree(key, peer, shared))
    }
}
