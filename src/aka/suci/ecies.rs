//! The keys of a SUCI and what they do (TS 33.501 §C.3).

use aes::Aes128;
use ctr::{
    Ctr32BE,
    cipher::{KeyIvInit, StreamCipher},
};
use hmac::{Hmac, KeyInit, Mac, digest::FixedOutput};
use sha2::{Digest, Sha256};

use crate::{
    crypto::{
        Agreement, Group, Secret,
        sweep::{CIPHERS, HASHES, swept},
    },
    error::{Backend, Misuse},
};

/// Bytes of the MAC tag (maclen of TS 33.501 §C.3.4).
pub(crate) const TAG_LEN: usize = 8;

/// The keys of one SUCI (TS 33.501 §C.3.2). [`conceal`](super::conceal) and [`Suci::deconceal`](super::Suci::deconceal) make them; they are here for those who
/// compare an implementation of their own step by step.
#[derive(Debug)]
pub struct EciesKeys {
    /// EK ‖ ICB: 128 bits each, one output of the hash.
    ek_icb: Secret<32>,
    /// MK, the next one.
    mk: Secret<32>,
}

impl EciesKeys {
    /// ANSI-X9.63-KDF with SHA-256 (SEC 1 §3.6.1) of Z = `shared` and SharedInfo1 = `ephemeral`, the public key as sent.
    pub fn derive(shared: &Secret<32>, ephemeral: &[u8]) -> Self {
        Self { ek_icb: kdf_block(shared, 1, ephemeral), mk: kdf_block(shared, 2, ephemeral) }
    }

    /// EK, 16 bytes.
    pub fn encryption_key(&self) -> &[u8] {
        self.ek_icb.bytes().get(..16).unwrap_or_default()
    }

    /// ICB, the initial counter block, 16 bytes.
    pub fn initial_counter_block(&self) -> &[u8] {
        self.ek_icb.bytes().get(16..).unwrap_or_default()
    }

    /// MK, 32 bytes.
    pub const fn mac_key(&self) -> &[u8; 32] {
        self.mk.bytes()
    }

    /// AES-128 in CTR mode, the last 32 bits counting: encrypts or decrypts.
    pub(crate) fn apply(&self, text: &mut [u8]) -> Result<(), Backend> {
        swept::<CIPHERS, _>(|| {
            let mut cipher = Ctr32BE::<Aes128>::new_from_slices(self.encryption_key(), self.initial_counter_block())
                .map_err(|_| Backend::Crypto)?;
            cipher.try_apply_keystream(text).map_err(|_| Backend::Crypto)
        })
    }

    /// The tag; SharedInfo2 is empty.
    pub(crate) fn mac(&self, ciphertext: &[u8]) -> Result<[u8; TAG_LEN], Backend> {
        swept::<HASHES, _>(|| {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.mac_key()).map_err(|_| Backend::Crypto)?;
            mac.update(ciphertext);
            let mut out = Secret::<32>::zeroed();
            FixedOutput::finalize_into(mac, out.bytes_mut().into());
            out.bytes().first_chunk().copied().ok_or(Backend::Crypto)
        })
    }
}

/// A block of the ANSI-X9.63-KDF. SUCI needs the first two.
pub(crate) fn kdf_block(shared: &Secret<32>, counter: u32, ephemeral: &[u8]) -> Secret<32> {
    swept::<HASHES, _>(|| {
        let mut out = Secret::zeroed();
        let hash = Sha256::new().chain_update(shared.bytes()).chain_update(counter.to_be_bytes());
        Digest::finalize_into(hash.chain_update(ephemeral), out.bytes_mut().into());
        out
    })
}

/// Against a key that says it is on one curve and is on another.
pub(super) fn check_key(key: &(impl Agreement + ?Sized), group: Group) -> Result<(), Misuse> {
    if key.group() == group && key.public_key().len() == group.public_key_len() {
        return Ok(());
    }
    Err(Misuse::Parameter("the key is not of the scheme's curve"))
}
