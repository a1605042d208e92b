//! A [`Crypto`] backend for servers, on AWS-LC through the crate `aws-lc-rs` (feature `aws-lc-rs`).
//!
//! | here | from | clause |
//! |---|---|---|
//! | SHA-256, HKDF | `aws-lc-rs` | FIPS 180-4, RFC 5869 |
//! | A128GCM, A256GCM | `aws-lc-rs` | SP 800-38D |
//! | ECDH, ES256 | `aws-lc-rs` | SP 800-56A §5.7.1.2, FIPS 186-5 §6 |
//! | X25519, EdDSA (feature `x25519`) | `aws-lc-rs` | RFC 7748 §5, RFC 8032 §5.1 |
//! | AES-CCM-16-64-128, AES-CCM-16-128-128 | [`RustCrypto`], because `aws-lc-rs` has no CCM | RFC 3610 |
//! | reading and checking points | [`RustCrypto`] | SEC 1 §2.3.4 |
//!
//! Why this library: it takes a private key from outside, which `ring` does not for ECDH, so that ephemeral keys follow
//! from the caller's [`Rng`] as everywhere else; it is wide in use and formally verified in part; and its ECDH and ES256
//! take a quarter to a third of the time of `p256`. `benches/cost/crypto.rs` sets both backends beside each other.
//!
//! Where the time goes, and what this file does about it:
//!
//! - Reading in a P-256 scalar costs two multiplications of the base point, one for the public half and one to check it,
//!   together more than a third of an ECDH. So an [`EphemeralKey`] holds the key as it was read in, and not the scalar. A key that
//!   AWS-LC draws by itself would cost one; but then nothing would follow from the caller's random source.
//! - `p256` decompresses a point in two thirds of the time, and tells the y that it found, which `aws-lc-rs` does not. So
//!   a point is decompressed once, there.
//!
//! AWS-LC wipes the keys and products that it holds. A scalar on its way in passes through a [`Secret`] alone.
//!
//! The keys of a server that signs and agrees as fast are in
//! [`store::aws_lc::AwsLcKeyStore`](crate::store::aws_lc::AwsLcKeyStore).

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use arrayvec::ArrayVec;
use aws_lc_rs::{
    aead::{self, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, PrivateKey, UnparsedPublicKey},
    digest, hkdf, hmac, signature,
};
use zeroize::Zeroize;

use crate::{
    crypto::{
        Aead, Agreement, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, SecretBytes,
        Signature,
        rustcrypto::{HAS_X25519, RustCrypto, SCALAR_TRIES},
    },
    error::{Backend, Misbehaved, Result, Untrusted},
};

/// AWS-LC, and [`RustCrypto`] where it has nothing or is slower. Has no state.
///
/// ```
/// use remote_provisioning::crypto::{Crypto, aws_lc::AwsLc, rustcrypto::RustCrypto};
///
/// assert_eq!(AwsLc.sha256(&[b"abc"]), RustCrypto.sha256(&[b"abc"]));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Crypto for AwsLc {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        let mut context = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        let mut hash = [0; HASH_LEN];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
        if hmac::sign_to_buffer(&key, ikm, prk.bytes_mut()).is_err() {
            // It cannot fail; but a key that nobody wrote must not come of it.
            RustCrypto.hkdf_extract(salt, ikm, prk);
        }
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, prk.bytes());
        let expanded = prk.expand(info, OkmLen(okm.len())).map_err(|_| Backend::Crypto)?;
        expanded.fill(okm).map_err(|_| Backend::Crypto)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        let Some(algorithm) = gcm(aead) else { return RustCrypto.seal(aead, key, nonce, aad, text) };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Backend::Crypto)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Backend::Crypto)?;
        let tag = LessSafeKey::new(key)
            .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), text)
            .map_err(|_| Backend::Crypto)?;
        text.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        let Some(algorithm) = gcm(aead) else { return RustCrypto.open(aead, key, nonce, aad, text) };
        // What an AEAD leaves in the buffer when the tag is wrong is not promised.
        open_gcm(algorithm, key, nonce, aad, text).inspect_err(|_| text.zeroize())
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.point(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.read_key(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        has(group)?;
        let (private, key) = draw(group, rng)?;
        ephemeral_key(group, &private, key)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        has(group)?;
        let peer = self.wire_key(group, g_x)?;
        let (private, key) = draw(group, rng)?;
        exchange(&key, &peer, shared)?;
        Ok(ephemeral_key(group, &private, key)?)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        let peer = self.wire_key(key.group(), g_y)?;
        Ok(self.agree(key, &peer, shared)?)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        if let Some(native) = key.native() {
            return exchange(native, peer, shared);
        }
        // From a token.
        let private = Secret::from_slice(key.private())?;
        exchange(&read(key.group(), &private).ok_or(Backend::Crypto)?, peer, shared)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        let algorithm: &dyn signature::VerificationAlgorithm = match key.kind() {
            KeyKind::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            KeyKind::Ed25519 if HAS_X25519 => &signature::ED25519,
            _ => return Err(Untrusted::Authentication),
        };
        let key = signature::UnparsedPublicKey::new(algorithm, key.bytes());
        key.verify(message, signature).map_err(|_| Untrusted::Authentication)
    }
}

impl AwsLc {
    /// G_X or G_Y: 32 bytes in either group.
    fn wire_key(&self, group: Group, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        match group {
            Group::P256 if encoded.len() == 32 => self.point(encoded),
            Group::P256 => Err(Misbehaved::InvalidPoint),
            Group::X25519 => self.read_key(KeyKind::X25519, encoded),
        }
    }
}

/// A private key in memory that agrees (see [`Agreement`]). Wiped on drop, shows nothing in `Debug`, cannot be cloned.
pub struct AgreementKey {
    group: Group,
    private: PrivateKey,
    public: ArrayVec<u8, 33>,
}

impl AgreementKey {
    /// From the 32 bytes of a private key: any for X25519 (clamped when used, RFC 7748 §5), a big-endian scalar for P-256.
    ///
    /// # Errors
    /// [`Backend::Key`] if a scalar of P-256 is zero or not below the group order.
    pub fn new(group: Group, private: Secret<32>) -> Result<Self, Backend> {
        Self::from_key(group, read(group, &private).ok_or(Backend::Key)?)
    }

    /// A new one from `rng`.
    ///
    /// # Errors
    /// [`Backend::Random`] if the random source fails.
    pub fn generate(group: Group, rng: &mut dyn Rng) -> Result<Self, Backend> {
        Self::from_key(group, draw(group, rng)?.1)
    }

    fn from_key(group: Group, private: PrivateKey) -> Result<Self, Backend> {
        let key = private.compute_public_key().map_err(|_| Backend::Crypto)?;
        let mut public = ArrayVec::new();
        // SEC 1 §2.3.3: the tag says whether y is odd.
        let encoded = match (group, key.as_ref()) {
            (Group::P256, [_, x @ .., last]) => {
                public.push(if last % 2 == 0 { 2 } else { 3 });
                x.get(..32)
            }
            (_, u) => Some(u),
        };
        public.try_extend_from_slice(encoded.ok_or(Backend::Crypto)?).map_err(|_| Backend::Crypto)?;
        Ok(Self { group, private, public })
    }
}

impl Agreement for AgreementKey {
    fn group(&self) -> Group {
        self.group
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8], shared: &mut Secret<32>) -> Result<()> {
        if peer.len() != self.group.public_key_len() {
            return Err(Misbehaved::InvalidPoint.into());
        }
        match self.group {
            Group::P256 => Ok(exchange(&self.private, &RustCrypto.point(peer)?, shared)?),
            // With 32 bytes there is one way to fail: the product is zero.
            Group::X25519 => {
                Ok(product(&self.private, &agreement::X25519, peer, shared).ok_or(Misbehaved::InvalidPoint)?)
            }
        }
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementKey(..)")
    }
}

/// A private key of either group. `None` if a scalar of P-256 is zero or not below the group order.
pub(crate) fn read(group: Group, private: &Secret<32>) -> Option<PrivateKey> {
    PrivateKey::from_private_key(algorithm(group), private.bytes()).ok()
}

/// The public half in this crate's form.
pub(crate) fn public_key(key: &PrivateKey) -> Result<PublicKey, Backend> {
    let public = key.compute_public_key().map_err(|_| Backend::Crypto)?;
    match public.as_ref() {
        [_tag, point @ ..] if point.len() == 64 => {
            let (x, y) = point.split_first_chunk().ok_or(Backend::Crypto)?;
            Ok(PublicKey::from_checked_point(x, y.try_into().map_err(|_| Backend::Crypto)?))
        }
        u => Ok(PublicKey::from_checked_x25519(u.try_into().map_err(|_| Backend::Crypto)?)),
    }
}

/// Diffie-Hellman: the x- or u-coordinate into `shared`.
pub(crate) fn exchange(key: &PrivateKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
    let algorithm = match peer.kind() {
        KeyKind::P256 => &agreement::ECDH_P256,
        KeyKind::X25519 => &agreement::X25519,
        KeyKind::Ed25519 => return Err(Backend::Crypto),
    };
    product(key, algorithm, peer.bytes(), shared).ok_or(Backend::Crypto)
}

/// `None` if the key is not of this algorithm, the peer's is no point, or the product is zero.
fn product(
    key: &PrivateKey,
    algorithm: &'static agreement::Algorithm,
    peer: &[u8],
    shared: &mut Secret<HASH_LEN>,
) -> Option<()> {
    let peer = UnparsedPublicKey::new(algorithm, peer);
    let write = |product: &[u8]| {
        let product: &[u8; HASH_LEN] = product.try_into().map_err(|_| ())?;
        shared.bytes_mut().copy_from_slice(product);
        Ok(())
    };
    agreement::agree(key, peer, (), write).ok()
}

fn algorithm(group: Group) -> &'static agreement::Algorithm {
    match group {
        Group::P256 => &agreement::ECDH_P256,
        Group::X25519 => &agreement::X25519,
    }
}

/// As in [`RustCrypto`]: X25519 is always here for [`AgreementKey`], and with the feature for the rest.
const fn has(group: Group) -> Result<(), Backend> {
    match group {
        Group::X25519 if !HAS_X25519 => Err(Backend::Crypto),
        _ => Ok(()),
    }
}

fn draw(group: Group, rng: &mut dyn Rng) -> Result<(Secret<32>, PrivateKey), Backend> {
    let mut private = Secret::zeroed();
    for _ in 0..SCALAR_TRIES {
        rng.fill(private.bytes_mut())?;
        if let Some(key) = read(group, &private) {
            return Ok((private, key));
        }
    }
    Err(Backend::Random)
}

fn ephemeral_key(group: Group, private: &Secret<32>, key: PrivateKey) -> Result<EphemeralKey, Backend> {
    let public = Box::from(public_key(&key)?.x());
    let private = SecretBytes::new(private.bytes().to_vec());
    Ok(EphemeralKey::from_parts(group, private, public).with_native(Box::new(key)))
}

fn gcm(aead: Aead) -> Option<&'static aead::Algorithm> {
    match aead {
        Aead::A128Gcm => Some(&aead::AES_128_GCM),
        Aead::A256Gcm => Some(&aead::AES_256_GCM),
        Aead::Ccm16_64_128 | Aead::Ccm16_128_128 => None,
    }
}

fn open_gcm(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    text: &mut Vec<u8>,
) -> Result<(), Untrusted> {
    let key = UnboundKey::new(algorithm, key).map_err(|_| Untrusted::Authentication)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Untrusted::Authentication)?;
    let len = LessSafeKey::new(key)
        .open_in_place(nonce, aead::Aad::from(aad), text)
        .map_err(|_| Untrusted::Authentication)?
        .len();
    text.truncate(len);
    Ok(())
}

/// How `hkdf` asks for a length. It refuses more than 255 blocks.
struct OkmLen(usize);

impl hkdf::KeyType for OkmLen {
    fn len(&self) -> usize {
        self.0
    }
}
