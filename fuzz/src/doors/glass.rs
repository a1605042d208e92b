//! The backend of [`Memo`], for a fuzzer that may look behind checks: what is encrypted lies open.
//!
//! A tag is [`TAG`]s, the keystream of message_2 is zeros. Hashes, MACs of EDHOC and Diffie-Hellman are the true ones, so
//! that whoever has no key still proves nothing; signatures are as the door wants them.

use remote_provisioning::{
    crypto::{Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, PublicKey, Rng, Secret, Signature},
    error::{Backend, Misbehaved, Result, Untrusted},
};

use super::memo::Memo;

/// What tags consist of.
pub(crate) const TAG: u8 = 0x5a;

/// The signature that fits, where one does.
pub(crate) const FITS: Signature = [TAG; 64];

/// Which signatures are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glass {
    /// Those that are.
    True,
    /// And [`FITS`].
    Marked,
    /// All.
    Any,
}

impl Crypto for Glass {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        Memo.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        Memo.hkdf_extract(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        // Label 0 of EDHOC_KDF (RFC 9528 §4.1.2).
        if info.first().is_some_and(|info| info.first() == Some(&0)) {
            okm.fill(0);
            return Ok(());
        }
        Memo.hkdf_expand(prk, info, okm)
    }

    fn seal(&self, aead: Aead, _: &[u8], _: &[u8], _: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        text.resize(text.len() + aead.tag_len(), TAG);
        Ok(())
    }

    fn open(&self, aead: Aead, _: &[u8], _: &[u8], _: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        let len = text.len().checked_sub(aead.tag_len()).ok_or(Untrusted::Authentication)?;
        if text.drain(len..).any(|byte| byte != TAG) {
            text.clear();
            return Err(Untrusted::Authentication);
        }
        Ok(())
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        Memo.point(encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        Memo.generate(group, rng)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        Memo.encapsulate(group, g_x, rng, shared)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        Memo.decapsulate(key, g_y, shared)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        Memo.agree(key, peer, shared)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        if *self == Self::Any || *self == Self::Marked && *signature == FITS {
            return Ok(());
        }
        Memo.verify(key, message, signature)
    }
}
