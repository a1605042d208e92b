//! Randomness for devices whose random source may be bad: RFC 8937.
//!
//! ```text
//! secret of this device ─▶ SHA-256 ─▶ salt ─┐
//! 32 bytes of the random source ────────────┴▶ HKDF-Extract ─▶ HKDF-Expand (boot, draw) ─▶ what is drawn
//! ```
//!
//! As long as one of the two, source or secret, is good, so is what comes out. Two devices that draw the same, because both
//! come out of the factory with the same state, get different ephemeral keys; so does one device in two boots.

use super::{Crypto, HASH_LEN, Rng, Secret};
use crate::error::Backend;

/// Keeps the derivation from meaning anything elsewhere.
const INFO: &[u8] = b"RCP hedged";

/// A random source behind which there is another, and a secret of this device (RFC 8937 §3). Costs two hashes' work for each
/// draw.
///
/// ```
/// # #[cfg(feature = "sim")] fn main() -> Result<(), remote_provisioning::error::Error> {
/// use remote_provisioning::{
///     crypto::{Hedged, Rng, rustcrypto::RustCrypto},
///     sim::{IDENTITY, SeededRng, identities},
///     store::{KeyStore, memory::MemoryKeyStore},
/// };
///
/// let mut keys = MemoryKeyStore::new();
/// keys.insert(IDENTITY, identities::device_key())?;
/// let mut weak = SeededRng::new(0);
/// let secret = keys.sign(IDENTITY, b"a message that is signed for this alone")?;
/// let mut rng = Hedged::new(&mut weak, &secret, 7, &RustCrypto);
/// rng.fill(&mut [0; 16])?;
/// # Ok(()) }
/// # #[cfg(not(feature = "sim"))] fn main() {}
/// ```
pub struct Hedged<'a> {
    source: &'a mut dyn Rng,
    salt: Secret<HASH_LEN>,
    boot: u64,
    draws: u64,
    crypto: &'a dyn Crypto,
}

impl<'a> Hedged<'a> {
    /// Over this source. `secret` has at least 128 bits that nobody else knows, of any length and for this purpose alone: a
    /// signature of the identity key over a fixed message will do (RFC 8937 §3), where it is never sent to anybody. `boot` is
    /// another number each time that this is called with the same secret: a count of boots, say.
    pub fn new(source: &'a mut dyn Rng, secret: &[u8], boot: u64, crypto: &'a dyn Crypto) -> Self {
        let mut salt = Secret::zeroed();
        *salt.bytes_mut() = crypto.sha256(&[secret]);
        Self { source, salt, boot, draws: 0, crypto }
    }
}

impl Rng for Hedged<'_> {
    /// Up to 8,160 bytes; [`Backend::Random`] if the source fails, [`Backend::Crypto`] for more.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        let mut drawn = Secret::<HASH_LEN>::zeroed();
        self.source.fill(drawn.bytes_mut())?;
        let draw = self.draws;
        self.draws = draw.checked_add(1).ok_or(Backend::Random)?;
        let mut prk = Secret::zeroed();
        self.crypto.hkdf_extract(self.salt.bytes(), drawn.bytes(), &mut prk);
        self.crypto.hkdf_expand(&prk, &[INFO, &self.boot.to_be_bytes(), &draw.to_be_bytes()], out)
    }
}

impl core::fmt::Debug for Hedged<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Hedged(..)")
    }
}
