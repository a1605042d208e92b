//! The shipped [`Crypto`] backend, on the pure-Rust crates of the RustCrypto project.
//!
//! | here | from | clause |
//! |---|---|---|
//! | SHA-256 | `sha2` | FIPS 180-4 |
//! | HKDF | `hkdf` | RFC 5869 |
//! | A128GCM, A256GCM | `aes-gcm` | SP 800-38D |
//! | AES-CCM-16-64-128, AES-CCM-16-128-128 | `ccm` | RFC 3610 |
//! | ECDH, ES256 | `p256` | SP 800-56A §5.7.1.2, FIPS 186-5 §6 |
//! | X25519 | `x25519-dalek` | RFC 7748 §5 |
//!
//! Everything that touches a secret runs in constant time in those crates. What this file adds is narrower doors (no
//! point at infinity, no compact or hybrid points, no short scalars), a bounded search for a scalar, and wiping.
//!
//! `p256` is 0.14, which shares one generation of `der` and `sha2` with the other crates here. It is not the faster one
//! everywhere. Against 0.13 in one run on an idle x86-64, medians: key pair 0.56, signature 0.53, verification 0.99, ECDH
//! 1.9 (profile `release`); 0.6, 0.55, 1.3, 2.4 with thin LTO and one codegen unit. So one side of method 0 with chains of
//! two takes 0.98, with LTO 1.25, and method 3 takes 1.5, with LTO 1.9. Other machines differ: measure on yours, and bring
//! a [`Crypto`] of your own where it counts.
//!
//! What it cannot do: a value that those crates hand out or pass around by value (field elements, HMAC blocks) may leave
//! a copy on the stack that nobody wipes. A backend over hardware, or one that fills in place throughout, does better.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{AeadInOut, KeyInit, Nonce},
    aes::Aes128,
};
use arrayvec::ArrayVec;
use ccm::{
    Ccm,
    consts::{U8, U13, U16},
};
use hkdf::Hkdf;
use p256::{
    AffinePoint, NonZeroScalar, SecretKey,
    ecdsa::{self, VerifyingKey, signature::Verifier},
    elliptic_curve::{ecdh::diffie_hellman, point::AffineCoordinates, sec1::ToSec1Point},
};
use sha2::{Digest, Sha256};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    crypto::{
        Aead, Agreement, Crypto, Curve, EphemeralKey, Group, HASH_LEN, Hash, PublicKey, Rng, Secret, SecretBytes,
        Signature, equal,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
};

type Ccm16_64_128 = Ccm<Aes128, U8, U13>;
type Ccm16_128_128 = Ccm<Aes128, U16, U13>;

/// Bytes of a P-256 coordinate or scalar.
const FIELD_LEN: usize = 32;

/// Draws for one scalar. A sound source misses the range once in 2³² draws, so a second miss already means it is broken.
const SCALAR_TRIES: usize = 8;

/// SEC 1 §2.3.3: tag of a compressed point whose y is even.
const COMPRESSED_EVEN: u8 = 2;

/// Software implementations of all of [`Crypto`]. Has no state.
///
/// ```
/// use remote_provisioning::crypto::{Crypto, rustcrypto::RustCrypto};
///
/// assert_eq!(RustCrypto.sha256(&[b"a", b"bc"]), RustCrypto.sha256(&[b"abc"]));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Crypto for RustCrypto {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize().into()
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        let (mut output, _) = Hkdf::<Sha256>::extract(Some(salt), ikm);
        prk.bytes_mut().copy_from_slice(&output);
        output.as_mut_slice().zeroize();
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        let hkdf = Hkdf::<Sha256>::from_prk(prk.bytes()).map_err(|_| Backend::Crypto)?;
        hkdf.expand_multi_info(info, okm).map_err(|_| Backend::Crypto)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        match aead {
            Aead::A128Gcm => seal::<Aes128Gcm>(key, nonce, aad, text),
            Aead::A256Gcm => seal::<Aes256Gcm>(key, nonce, aad, text),
            Aead::Ccm16_64_128 => seal::<Ccm16_64_128>(key, nonce, aad, text),
            Aead::Ccm16_128_128 => seal::<Ccm16_128_128>(key, nonce, aad, text),
        }
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        let opened = match aead {
            Aead::A128Gcm => open::<Aes128Gcm>(key, nonce, aad, text),
            Aead::A256Gcm => open::<Aes256Gcm>(key, nonce, aad, text),
            Aead::Ccm16_64_128 => open::<Ccm16_64_128>(key, nonce, aad, text),
            Aead::Ccm16_128_128 => open::<Ccm16_128_128>(key, nonce, aad, text),
        };
        // CCM decrypts before it can check, so the buffer has held plaintext that nobody vouches for.
        opened.inspect_err(|_| text.zeroize())
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        let point = match (encoded.len(), encoded.first()) {
            (FIELD_LEN, _) => from_x(encoded),
            // By tag, because `p256` would also take 0 (infinity) and 5 (compact).
            (33, Some(2 | 3)) | (65, Some(4)) => from_sec1(encoded),
            _ => None,
        };
        point.map(|point| to_public_key(point.as_affine())).ok_or(Misbehaved::InvalidPoint)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        let Group::P256 = group;
        let (private, scalar) = draw_scalar(rng)?;
        Ok(ephemeral_key(private, &scalar))
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        let Group::P256 = group;
        let peer = from_x(g_x).ok_or(Misbehaved::InvalidPoint)?;
        let (private, scalar) = draw_scalar(rng)?;
        exchange(&scalar, &peer, shared);
        Ok(ephemeral_key(private, &scalar))
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        let peer = from_x(g_y).ok_or(Misbehaved::InvalidPoint)?;
        let scalar = read_scalar(key.private()).ok_or(Backend::Crypto)?;
        exchange(&scalar, &peer, shared);
        Ok(())
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        let scalar = read_scalar(key.private()).ok_or(Backend::Crypto)?;
        agree(&scalar, peer, shared).ok_or(Backend::Crypto)
    }

    /// Takes s in either half of its range: ES256 as COSE and X.509 use it does not ask for the lower one, and other
    /// implementations do send the upper one. So a valid signature has a twin; never use one as an identifier.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        let key = VerifyingKey::from_sec1_bytes(key.sec1()).map_err(|_| Untrusted::Authentication)?;
        // Refuses r and s that are zero, or not below the group order.
        let signature = ecdsa::Signature::from_slice(signature).map_err(|_| Untrusted::Authentication)?;
        key.verify(message, &signature).map_err(|_| Untrusted::Authentication)
    }
}

/// A private key in memory that agrees (see [`Agreement`]). Wiped on drop, shows nothing in `Debug`, cannot be cloned.
pub struct AgreementKey {
    curve: Curve,
    private: Secret<FIELD_LEN>,
    public: ArrayVec<u8, 33>,
}

impl AgreementKey {
    /// From the 32 bytes of a private key: any for X25519 (clamped when used, RFC 7748 §5), a big-endian scalar for P-256.
    ///
    /// # Errors
    /// [`Backend::Key`] if a scalar of P-256 is zero or not below the group order.
    pub fn new(curve: Curve, private: Secret<FIELD_LEN>) -> Result<Self, Backend> {
        let mut public = ArrayVec::new();
        // Cannot fail: a public key has 32 or 33 bytes.
        let _ = match curve {
            Curve::X25519 => public.try_extend_from_slice(&x25519(*private.bytes(), X25519_BASEPOINT_BYTES)),
            Curve::P256 => {
                let scalar = read_scalar(private.bytes()).ok_or(Backend::Key)?;
                let point = p256::PublicKey::from_secret_scalar(&scalar).to_sec1_point(true);
                public.try_extend_from_slice(point.as_bytes())
            }
        };
        Ok(Self { curve, private, public })
    }

    /// A new one from `rng`.
    ///
    /// # Errors
    /// [`Backend::Random`] if the random source fails.
    pub fn generate(curve: Curve, rng: &mut dyn Rng) -> Result<Self, Backend> {
        let mut private = Secret::zeroed();
        match curve {
            Curve::X25519 => rng.fill(private.bytes_mut())?,
            Curve::P256 => private = Secret::from_slice(draw_scalar(rng)?.0.bytes())?,
        }
        Self::new(curve, private)
    }
}

impl Agreement for AgreementKey {
    fn curve(&self) -> Curve {
        self.curve
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8], shared: &mut Secret<FIELD_LEN>) -> Result<()> {
        match self.curve {
            Curve::X25519 => {
                let peer = *<&[u8; FIELD_LEN]>::try_from(peer).map_err(|_| Misbehaved::InvalidPoint)?;
                let product = Zeroizing::new(x25519(*self.private.bytes(), peer));
                if equal(product.as_slice(), &[0; FIELD_LEN]) {
                    return Err(Misbehaved::InvalidPoint.into());
                }
                shared.bytes_mut().copy_from_slice(product.as_slice());
            }
            Curve::P256 => {
                // Only compressed points, whatever else `p256` would take.
                let [2 | 3, _x @ ..] = peer else { return Err(Misbehaved::InvalidPoint.into()) };
                let peer = from_sec1(peer).ok_or(Misbehaved::InvalidPoint)?;
                exchange(&*read_scalar(self.private.bytes()).ok_or(Backend::Key)?, &peer, shared);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementKey(..)")
    }
}

/// Diffie-Hellman with a point in this crate's form: the x-coordinate into `shared`. `None` if `peer` was made without
/// the check that it promises.
pub(crate) fn agree(scalar: &NonZeroScalar, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Option<()> {
    exchange(scalar, &from_sec1(peer.sec1())?, shared);
    Some(())
}

/// A point in this crate's form.
pub(crate) fn to_public_key(point: &AffinePoint) -> PublicKey {
    PublicKey::from_checked_point(&point.x().into(), &point.y().into())
}

// The group is of prime order and neither the scalar is zero nor the point at infinity, so the product is not either.
fn exchange(scalar: &NonZeroScalar, peer: &p256::PublicKey, shared: &mut Secret<HASH_LEN>) {
    let product = diffie_hellman(scalar, peer.as_affine());
    shared.bytes_mut().copy_from_slice(product.raw_secret_bytes());
}

fn from_sec1(encoded: &[u8]) -> Option<p256::PublicKey> {
    p256::PublicKey::from_sec1_bytes(encoded).ok()
}

/// The point with this x and an even y. Which of the two y it is makes no difference to the x of a product.
fn from_x(x: &[u8]) -> Option<p256::PublicKey> {
    let x: &[u8; FIELD_LEN] = x.try_into().ok()?;
    let mut encoded = [COMPRESSED_EVEN; 33];
    encoded.last_chunk_mut::<FIELD_LEN>()?.copy_from_slice(x);
    from_sec1(&encoded)
}

fn draw_scalar(rng: &mut dyn Rng) -> Result<(SecretBytes, Zeroizing<NonZeroScalar>), Backend> {
    let mut bytes = SecretBytes::zeroed(FIELD_LEN);
    for _ in 0..SCALAR_TRIES {
        rng.fill(bytes.bytes_mut())?;
        if let Some(scalar) = read_scalar(bytes.bytes()) {
            return Ok((bytes, scalar));
        }
    }
    Err(Backend::Random)
}

/// A scalar of 1 to n - 1, big-endian.
fn read_scalar(bytes: &[u8]) -> Option<Zeroizing<NonZeroScalar>> {
    // `SecretKey::from_slice` would also take short ones.
    let bytes: &[u8; FIELD_LEN] = bytes.try_into().ok()?;
    let key = SecretKey::from_bytes(bytes.into()).ok()?;
    Some(Zeroizing::new(key.to_nonzero_scalar()))
}

fn ephemeral_key(private: SecretBytes, scalar: &NonZeroScalar) -> EphemeralKey {
    let public = p256::PublicKey::from_secret_scalar(scalar);
    EphemeralKey::from_parts(private, Box::from(public.as_affine().x().as_slice()))
}

fn seal<A: AeadInOut + KeyInit>(key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
    let cipher = A::new_from_slice(key).map_err(|_| Backend::Crypto)?;
    let nonce = <&Nonce<A>>::try_from(nonce).map_err(|_| Backend::Crypto)?;
    cipher.encrypt_in_place(nonce, aad, text).map_err(|_| Backend::Crypto)
}

fn open<A: AeadInOut + KeyInit>(key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
    let cipher = A::new_from_slice(key).map_err(|_| Untrusted::Authentication)?;
    let nonce = <&Nonce<A>>::try_from(nonce).map_err(|_| Untrusted::Authentication)?;
    cipher.decrypt_in_place(nonce, aad, text).map_err(|_| Untrusted::Authentication)
}
