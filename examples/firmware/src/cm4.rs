//! A [`Crypto`] and a [`KeyStore`] on `p256-cm4`, which does P-256 in the assembler of the Cortex-M4: a firmware's own
//! backend, in the place of the library's. All that is not P-256 is the library's still.
//!
//! Numbers are little-endian words there, and bytes with the highest first everywhere else.

use alloc::{boxed::Box, vec::Vec};

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, PublicKey, Rng, Secret, SecretBytes, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
    store::{KeyId, KeyStore},
};

type Number = [u32; 8];

/// Draws for one scalar: a sound source misses the range once in 2³².
const TRIES: u8 = 8;

fn number(bytes: &[u8; 32]) -> Number {
    let mut words = bytes.as_chunks().0.iter().rev().map(|word| u32::from_be_bytes(*word));
    core::array::from_fn(|_| words.next().unwrap_or_default())
}

fn bytes(number: &Number) -> [u8; 32] {
    let mut all = number.iter().rev().flat_map(|word| word.to_be_bytes());
    core::array::from_fn(|_| all.next().unwrap_or_default())
}

/// A point that is on the curve. `p256-cm4` 0.4.0 makes a wrong y from an x, so that is left to the library's backend.
fn point(encoded: &[u8]) -> Option<(Number, Number)> {
    if encoded.len() != 65 {
        let point = RustCrypto.point(encoded).ok()?;
        return Some((number(point.x().try_into().ok()?), number(point.y().try_into().ok()?)));
    }
    let (mut x, mut y) = ([0; 8], [0; 8]);
    let valid = encoded.first() == Some(&4) && p256_cm4::octet_string_to_point(&mut x, &mut y, encoded);
    valid.then_some((x, y))
}

fn agree(private: &Number, (x, y): &(Number, Number), shared: &mut Secret<HASH_LEN>) -> Option<()> {
    p256_cm4::ecdh_calc_shared_secret(shared.bytes_mut(), private, x, y).then_some(())
}

fn private(key: &EphemeralKey) -> core::result::Result<Number, Backend> {
    key.private().try_into().map(number).map_err(|_| Backend::Crypto)
}

/// The backend. Has no state.
pub struct Cm4;

impl Crypto for Cm4 {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> core::result::Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)
    }

    fn seal(
        &self,
        aead: Aead,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        text: &mut Vec<u8>,
    ) -> core::result::Result<(), Backend> {
        RustCrypto.seal(aead, key, nonce, aad, text)
    }

    fn open(
        &self,
        aead: Aead,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        text: &mut Vec<u8>,
    ) -> core::result::Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> core::result::Result<PublicKey, Misbehaved> {
        let (x, y) = point(encoded).ok_or(Misbehaved::InvalidPoint)?;
        Ok(PublicKey::from_checked_point(&bytes(&x), &bytes(&y)))
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> core::result::Result<EphemeralKey, Backend> {
        if group != Group::P256 {
            return Err(Backend::Crypto);
        }
        let mut private = SecretBytes::zeroed(32);
        for _ in 0..TRIES {
            rng.fill(private.bytes_mut())?;
            let (mut x, mut y) = ([0; 8], [0; 8]);
            let scalar = private.bytes().try_into().map(number).map_err(|_| Backend::Crypto)?;
            if p256_cm4::keygen(&mut x, &mut y, &scalar) {
                return Ok(EphemeralKey::from_parts(group, private, Box::from(bytes(&x))));
            }
        }
        Err(Backend::Random)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        let peer = point(g_x).filter(|_| g_x.len() == 32).ok_or(Misbehaved::InvalidPoint)?;
        let key = self.generate(group, rng)?;
        agree(&private(&key)?, &peer, shared).ok_or(Misbehaved::InvalidPoint)?;
        Ok(key)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        let peer = point(g_y).filter(|_| g_y.len() == 32).ok_or(Misbehaved::InvalidPoint)?;
        Ok(agree(&private(key)?, &peer, shared).ok_or(Misbehaved::InvalidPoint)?)
    }

    fn agree(
        &self,
        key: &EphemeralKey,
        peer: &PublicKey,
        shared: &mut Secret<HASH_LEN>,
    ) -> core::result::Result<(), Backend> {
        let peer = point(peer.bytes()).ok_or(Backend::Crypto)?;
        agree(&private(key)?, &peer, shared).ok_or(Backend::Crypto)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> core::result::Result<(), Untrusted> {
        let verify = || {
            let (x, y) = (key.x().try_into().ok()?, key.y().try_into().ok()?);
            let (r, s) = signature.split_first_chunk()?;
            let (r, s) = (number(r), number(s.try_into().ok()?));
            let hash = self.sha256(&[message]);
            p256_cm4::verify(&number(x), &number(y), &hash, &r, &s).then_some(())
        };
        verify().ok_or(Untrusted::Authentication)
    }
}

/// Two keys at most.
#[derive(Default)]
pub struct Cm4Keys {
    keys: arrayvec::ArrayVec<(KeyId, Secret<32>, PublicKey), 2>,
}

impl Cm4Keys {
    /// Takes in a private key.
    ///
    /// # Errors
    /// [`Backend::Key`] if it is no scalar, or there is no room.
    pub fn insert(&mut self, id: KeyId, private: &[u8; 32]) -> core::result::Result<(), Backend> {
        let (mut x, mut y) = ([0; 8], [0; 8]);
        if !p256_cm4::keygen(&mut x, &mut y, &number(private)) {
            return Err(Backend::Key);
        }
        let public = PublicKey::from_checked_point(&bytes(&x), &bytes(&y));
        self.keys.try_push((id, Secret::from_slice(private)?, public)).map_err(|_| Backend::Key)
    }

    fn get(&self, id: KeyId) -> core::result::Result<&(KeyId, Secret<32>, PublicKey), Backend> {
        self.keys.iter().find(|(key, ..)| *key == id).ok_or(Backend::Key)
    }
}

impl KeyStore for Cm4Keys {
    fn public_key(&self, key: KeyId) -> core::result::Result<PublicKey, Backend> {
        self.get(key).map(|(_, _, public)| *public)
    }

    /// The nonce follows from key and message, as in RFC 6979, by HKDF in the place of HMAC_DRBG: HKDF-Extract with the hash
    /// of the message as salt and the key as input, HKDF-Expand with the number of the try.
    fn sign(&self, key: KeyId, message: &[u8]) -> core::result::Result<Signature, Backend> {
        let (_, private, _) = self.get(key)?;
        let hash = Cm4.sha256(&[message]);
        let (mut prk, mut nonce) = (Secret::zeroed(), Secret::<32>::zeroed());
        Cm4.hkdf_extract(&hash, private.bytes(), &mut prk);
        for number_of_try in 0..TRIES {
            Cm4.hkdf_expand(&prk, &[b"ES256 nonce", &[number_of_try]], nonce.bytes_mut())?;
            let (mut r, mut s) = ([0; 8], [0; 8]);
            if p256_cm4::sign(&mut r, &mut s, &hash, &number(private.bytes()), &number(nonce.bytes())) {
                let mut signature = [0; 64];
                let (first, second) = signature.split_at_mut(32);
                first.copy_from_slice(&bytes(&r));
                second.copy_from_slice(&bytes(&s));
                return Ok(signature);
            }
        }
        Err(Backend::Key)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> core::result::Result<(), Backend> {
        let (_, private, _) = self.get(key)?;
        let peer = point(peer.bytes()).ok_or(Backend::Key)?;
        agree(&number(private.bytes()), &peer, shared).ok_or(Backend::Key)
    }
}
