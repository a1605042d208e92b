//! Random bytes that follow from a seed.

use remote_provisioning::{
    crypto::{Crypto, Rng},
    error::Backend,
};

/// SHA-256(seed ‖ number). The laboratory gives a fresh seed each time that the device is switched on, in the place of a
/// hardware source.
pub struct Drbg {
    seed: [u8; 32],
    drawn: u32,
    crypto: &'static dyn Crypto,
}

impl Drbg {
    /// From this seed.
    pub const fn new(seed: [u8; 32], crypto: &'static dyn Crypto) -> Self {
        Self { seed, drawn: 0, crypto }
    }
}

impl Rng for Drbg {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        for chunk in out.chunks_mut(32) {
            let block = self.crypto.sha256(&[&self.seed, &self.drawn.to_le_bytes()]);
            self.drawn += 1;
            chunk.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }
}
