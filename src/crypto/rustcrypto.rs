//! The shipped [`Crypto`] backend, on the pure-Rust crates of the RustCrypto project.
//!
//! | here | from | clause |
//! |---|---|---|
//! | SHA-256 | `sha2` | FIPS 180-4 |
//! | HKDF | `hkdf` | RFC 5869 |
//! | A128GCM, A256GCM | `aes-gcm` | SP 800-38D |
//! | AES-CCM-16-64-128, AES-CCM-16-128-128 (feature `ccm`) | `ccm` | RFC 3610 |
//! | ECDH, ES256 | `p256` | SP 800-56A §5.7.1.2, FIPS 186-5 §6 |
//! | X25519 | `x25519-dalek` | RFC 7748 §5 |
//! | EdDSA | `ed25519-dalek` | RFC 8032 §5.1 |
//!
//! X25519 is always here for [`AgreementKey`]; as a group of the ephemeral exchange, and with EdDSA, it comes with the
//! feature `x25519`.
//!
//! Everything that touches a secret runs in constant time in those crates. What this file adds is narrower doors (no
//! point at infinity, no compact or hybrid points, no points of low order, no short scalars), a bounded search for a
//! scalar, and wiping.
//!
//! `p256` is 0.14, which shares one generation of `der` and `sha2` with the other crates here. It is not the faster one
//! everywhere. Against 0.13 in one run on an idle x86-64, medians: key pair 0.56, signature 0.53, verification 0.99, ECDH
//! 1.9 (profile `release`); 0.6, 0.55, 1.3, 2.4 with thin LTO and one codegen unit. So one side of method 0 with chains of
//! two takes 0.98, with LTO 1.25, and method 3 takes 1.5, with LTO 1.9. Other machines differ: measure on yours, and bring
//! a [`Crypto`] of your own where it counts.
//!
//! A value that those crates hand out or pass around by value (field elements, HMAC blocks, the scalar of X25519) leaves copies
//! on the stack. So each operation has the stack below it overwritten, as far as it went down itself on a 64-bit machine: 3 KB
//! for hashes, 11 KB for ciphers, 12 KB for points. On smaller machines, whose stack may be just large enough, it is 1, 2 and
//! 4 KB.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

#[cfg(feature = "ccm")]
use aes_gcm::aes::Aes128;
use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{AeadInOut, KeyInit, Nonce},
};
use arrayvec::ArrayVec;
#[cfg(feature = "ccm")]
use ccm::{
    Ccm,
    consts::{U8, U13, U16},
};
use hkdf::Hkdf;
use p256::{
    AffinePoint, NonZeroScalar, SecretKey,
    ecdsa::{self, VerifyingKey, signature::Verifier},
    elliptic_curve::{
        ecdh::diffie_hellman,
        point::{AffineCoordinates, DecompressPoint},
        sec1::ToSec1Point,
    },
};
use sha2::{Digest, Sha256};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    crypto::{
        Aead, Agreement, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, SecretBytes,
        Signature,
        check::hex,
        equal,
        sweep::{CIPHERS, HASHES, POINTS, swept},
    },
    error::{Backend, Misbehaved, Result, Untrusted},
};

#[cfg(feature = "ccm")]
type Ccm16_64_128 = Ccm<Aes128, U8, U13>;
#[cfg(feature = "ccm")]
type Ccm16_128_128 = Ccm<Aes128, U16, U13>;

/// Bytes of a coordinate or scalar, on either curve.
const FIELD_LEN: usize = 32;

/// Draws for one scalar. A sound source misses the range once in 2³² draws, so a second miss already means it is broken.
pub(crate) const SCALAR_TRIES: usize = 8;

/// u-coordinates, below 2²⁵⁵, of the points of low order on Curve25519 and its twist: 0, 1, the two of order 8, p - 1, and
/// p and p + 1, which stand for the first two.
const LOW_ORDER: [[u8; FIELD_LEN]; 7] = [
    hex("0000000000000000000000000000000000000000000000000000000000000000"),
    hex("0100000000000000000000000000000000000000000000000000000000000000"),
    hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

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
        swept::<HASHES, _>(|| {
            let mut hash = Sha256::new();
            parts.iter().for_each(|part| hash.update(part));
            hash.finalize().into()
        })
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        swept::<HASHES, _>(|| {
            let (mut output, _) = Hkdf::<Sha256>::extract(Some(salt), ikm);
            prk.bytes_mut().copy_from_slice(&output);
            output.as_mut_slice().zeroize();
        })
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        swept::<HASHES, _>(|| {
            let hkdf = Hkdf::<Sha256>::from_prk(prk.bytes()).map_err(|_| Backend::Crypto)?;
            hkdf.expand_multi_info(info, okm).map_err(|_| Backend::Crypto)
        })
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        swept::<CIPHERS, _>(|| match aead {
            Aead::A128Gcm => seal::<Aes128Gcm>(key, nonce, aad, text),
            Aead::A256Gcm => seal::<Aes256Gcm>(key, nonce, aad, text),
            #[cfg(feature = "ccm")]
            Aead::Ccm16_64_128 => seal::<Ccm16_64_128>(key, nonce, aad, text),
            #[cfg(feature = "ccm")]
            Aead::Ccm16_128_128 => seal::<Ccm16_128_128>(key, nonce, aad, text),
            #[cfg(not(feature = "ccm"))]
            Aead::Ccm16_64_128 | Aead::Ccm16_128_128 => Err(Backend::Crypto),
        })
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        swept::<CIPHERS, _>(|| {
            let opened = match aead {
                Aead::A128Gcm => open::<Aes128Gcm>(key, nonce, aad, text),
                Aead::A256Gcm => open::<Aes256Gcm>(key, nonce, aad, text),
                #[cfg(feature = "ccm")]
                Aead::Ccm16_64_128 => open::<Ccm16_64_128>(key, nonce, aad, text),
                #[cfg(feature = "ccm")]
                Aead::Ccm16_128_128 => open::<Ccm16_128_128>(key, nonce, aad, text),
                #[cfg(not(feature = "ccm"))]
                Aead::Ccm16_64_128 | Aead::Ccm16_128_128 => Err(Untrusted::Authentication),
            };
            // CCM decrypts before it can check, so the buffer has held plaintext that nobody vouches for.
            opened.inspect_err(|_| text.zeroize())
        })
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        from_encoded(encoded).map(|point| to_public_key(&point)).ok_or(Misbehaved::InvalidPoint)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        match kind {
            KeyKind::P256 => self.point(encoded),
            KeyKind::X25519 if HAS_X25519 => from_u(encoded).ok_or(Misbehaved::InvalidPoint),
            #[cfg(feature = "x25519")]
            KeyKind::Ed25519 => ed25519::read(encoded).ok_or(Misbehaved::InvalidPoint),
            _ => Err(Misbehaved::InvalidPoint),
        }
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        swept::<POINTS, _>(|| match group {
            Group::P256 => {
                let (private, scalar) = draw_scalar(rng)?;
                Ok(ephemeral_key(private, &scalar))
            }
            Group::X25519 if HAS_X25519 => draw_x25519(rng),
            Group::X25519 => Err(Backend::Crypto),
        })
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        swept::<POINTS, _>(|| match group {
            Group::P256 => {
                let peer = from_x(g_x).ok_or(Misbehaved::InvalidPoint)?;
                let (private, scalar) = draw_scalar(rng)?;
                exchange(&scalar, &peer, shared);
                Ok(ephemeral_key(private, &scalar))
            }
            Group::X25519 if HAS_X25519 => {
                from_u(g_x).ok_or(Misbehaved::InvalidPoint)?;
                let key = draw_x25519(rng)?;
                self.decapsulate(&key, g_x, shared)?;
                Ok(key)
            }
            Group::X25519 => Err(Backend::Crypto.into()),
        })
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        swept::<POINTS, _>(|| {
            match key.group() {
                Group::P256 => {
                    let peer = from_x(g_y).ok_or(Misbehaved::InvalidPoint)?;
                    let scalar = read_scalar(key.private()).ok_or(Backend::Crypto)?;
                    exchange(&scalar, &peer, shared);
                }
                Group::X25519 if !HAS_X25519 => return Err(Backend::Crypto.into()),
                Group::X25519 => {
                    let private = key.private().try_into().map_err(|_| Backend::Crypto)?;
                    exchange_x25519(private, g_y, shared).ok_or(Misbehaved::InvalidPoint)?;
                }
            }
            Ok(())
        })
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        swept::<POINTS, _>(|| {
            let agreed = match (key.group(), peer.kind()) {
                (Group::P256, KeyKind::P256) => {
                    read_scalar(key.private()).and_then(|scalar| agree(&scalar, peer, shared))
                }
                (Group::X25519, KeyKind::X25519) if HAS_X25519 => {
                    key.private().try_into().ok().and_then(|private| exchange_x25519(private, peer.bytes(), shared))
                }
                _ => None,
            };
            agreed.ok_or(Backend::Crypto)
        })
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        let verified = match key.kind() {
            KeyKind::P256 => verify_es256(key, message, signature),
            #[cfg(feature = "x25519")]
            KeyKind::Ed25519 => ed25519::verify(key, message, signature),
            _ => None,
        };
        verified.ok_or(Untrusted::Authentication)
    }
}

/// A private key in memory that agrees (see [`Agreement`]). Wiped on drop, shows nothing in `Debug`, cannot be cloned.
pub struct AgreementKey {
    group: Group,
    private: Secret<FIELD_LEN>,
    public: ArrayVec<u8, 33>,
}

impl AgreementKey {
    /// From the 32 bytes of a private key: any for X25519 (clamped when used, RFC 7748 §5), a big-endian scalar for P-256.
    ///
    /// # Errors
    /// [`Backend::Key`] if a scalar of P-256 is zero or not below the group order.
    pub fn new(group: Group, private: Secret<FIELD_LEN>) -> Result<Self, Backend> {
        let mut public = ArrayVec::new();
        swept::<POINTS, _>(|| {
            // Cannot fail: a public key has 32 or 33 bytes.
            let _ = match group {
                Group::X25519 => public.try_extend_from_slice(&public_x25519(private.bytes())),
                Group::P256 => {
                    let scalar = read_scalar(private.bytes()).ok_or(Backend::Key)?;
                    let point = p256::PublicKey::from_secret_scalar(&scalar).to_sec1_point(true);
                    public.try_extend_from_slice(point.as_bytes())
                }
            };
            Ok(())
        })?;
        Ok(Self { group, private, public })
    }

    /// A new one from `rng`.
    ///
    /// # Errors
    /// [`Backend::Random`] if the random source fails.
    pub fn generate(group: Group, rng: &mut dyn Rng) -> Result<Self, Backend> {
        let mut private = Secret::zeroed();
        match group {
            Group::X25519 => rng.fill(private.bytes_mut())?,
            Group::P256 => {
                private = swept::<POINTS, _>(|| Secret::from_slice(draw_scalar(rng)?.0.bytes()))?;
            }
        }
        Self::new(group, private)
    }
}

impl Agreement for AgreementKey {
    fn group(&self) -> Group {
        self.group
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8], shared: &mut Secret<FIELD_LEN>) -> Result<()> {
        swept::<POINTS, _>(|| {
            match self.group {
                Group::X25519 => {
                    exchange_x25519(self.private.bytes(), peer, shared).ok_or(Misbehaved::InvalidPoint)?;
                }
                Group::P256 => {
                    // Only compressed points, whatever else `p256` would take.
                    let [2 | 3, _x @ ..] = peer else { return Err(Misbehaved::InvalidPoint.into()) };
                    let peer = from_encoded(peer).ok_or(Misbehaved::InvalidPoint)?;
                    exchange(&*read_scalar(self.private.bytes()).ok_or(Backend::Key)?, &peer, shared);
                }
            }
            Ok(())
        })
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementKey(..)")
    }
}

/// Diffie-Hellman with a point in this crate's form: the x-coordinate into `shared`. `None` if `peer` is of another kind,
/// or was made without the check that it promises.
pub(crate) fn agree(scalar: &NonZeroScalar, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Option<()> {
    exchange(scalar, &from_public_key(peer)?, shared);
    Some(())
}

/// The point of a key in this crate's form. `None` if the key is of another kind, or was made without the check that it
/// promises.
fn from_public_key(key: &PublicKey) -> Option<AffinePoint> {
    let (_, point) = key.sec1()?.split_first()?;
    let (x, y) = point.split_first_chunk()?;
    from_coordinates(x, y.try_into().ok()?)
}

/// A point in this crate's form.
pub(crate) fn to_public_key(point: &AffinePoint) -> PublicKey {
    PublicKey::from_checked_point(&point.x().into(), &point.y().into())
}

/// Whether this build has EDHOC's other group. A constant, and not an attribute, so that both sides of it compile.
pub(crate) const HAS_X25519: bool = cfg!(feature = "x25519");

/// X25519 with what should be a u-coordinate: the product into `shared`. `None` if it has another length, or the product
/// is zero, so the point of low order (RFC 7748 §6.1).
pub(crate) fn exchange_x25519(private: &[u8; FIELD_LEN], peer: &[u8], shared: &mut Secret<HASH_LEN>) -> Option<()> {
    let product = Zeroizing::new(x25519(*private, peer.try_into().ok()?));
    if equal(product.as_slice(), &[0; FIELD_LEN]) {
        return None;
    }
    shared.bytes_mut().copy_from_slice(product.as_slice());
    Some(())
}

/// The public half of an X25519 key.
pub(crate) fn public_x25519(private: &[u8; FIELD_LEN]) -> [u8; FIELD_LEN] {
    x25519(*private, X25519_BASEPOINT_BYTES)
}

/// A u-coordinate, not of a point of low order. Public, so a comparison of variable time will do.
fn from_u(encoded: &[u8]) -> Option<PublicKey> {
    let encoded: &[u8; FIELD_LEN] = encoded.try_into().ok()?;
    let mut u = *encoded;
    // RFC 7748 §5: the topmost bit does not count.
    u.iter_mut().skip(31).for_each(|byte| *byte &= 0x7f);
    (!LOW_ORDER.contains(&u)).then(|| PublicKey::from_checked_x25519(encoded))
}

/// Any 32 bytes are a private key: they are clamped when used (RFC 7748 §5).
fn draw_x25519(rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
    let mut private = SecretBytes::zeroed(FIELD_LEN);
    rng.fill(private.bytes_mut())?;
    let scalar = private.bytes().try_into().map_err(|_| Backend::Crypto)?;
    let public = Box::from(public_x25519(scalar));
    Ok(EphemeralKey::from_parts(Group::X25519, private, public))
}

/// ES256. Refuses r and s that are zero, or not below the group order; the point is checked once more, which costs
/// nothing against the rest.
fn verify_es256(key: &PublicKey, message: &[u8], signature: &Signature) -> Option<()> {
    let key = VerifyingKey::from_affine(from_public_key(key)?).ok()?;
    let signature = ecdsa::Signature::from_slice(signature).ok()?;
    key.verify(message, &signature).ok()
}

// The group is of prime order and neither the scalar is zero nor the point at infinity, so the product is not either.
fn exchange(scalar: &NonZeroScalar, peer: &AffinePoint, shared: &mut Secret<HASH_LEN>) {
    let product = diffie_hellman(scalar, peer);
    shared.bytes_mut().copy_from_slice(product.raw_secret_bytes());
}

/// The point that 32 bytes (x alone), 33 or 65 encode (SEC 1 §2.3.4). By tag, and not by the reader of `p256`, which would also
/// take 0 (infinity) and 5 (compact), and brings one for DER along.
fn from_encoded(encoded: &[u8]) -> Option<AffinePoint> {
    match encoded {
        [4, point @ ..] if encoded.len() == 65 => {
            let (x, y) = point.split_first_chunk()?;
            from_coordinates(x, y.try_into().ok()?)
        }
        [tag @ (2 | 3), x @ ..] if encoded.len() == 33 => decompress(x, tag & 1),
        _ => from_x(encoded),
    }
}

/// The point with this x and an even y. Which of the two y it is makes no difference to the x of a product.
fn from_x(x: &[u8]) -> Option<AffinePoint> {
    decompress(x, 0)
}

fn decompress(x: &[u8], y_is_odd: u8) -> Option<AffinePoint> {
    let x: &[u8; FIELD_LEN] = x.try_into().ok()?;
    AffinePoint::decompress(x.into(), y_is_odd.into()).into_option()
}

/// Never the point at infinity, which has no coordinates.
fn from_coordinates(x: &[u8; FIELD_LEN], y: &[u8; FIELD_LEN]) -> Option<AffinePoint> {
    AffinePoint::from_coordinates(x.into(), y.into()).into_option()
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
    EphemeralKey::from_parts(Group::P256, private, Box::from(public.as_affine().x().as_slice()))
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

#[cfg(feature = "x25519")]
pub(crate) mod ed25519 {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};

    use crate::crypto::{PublicKey, Signature as Bytes};

    /// A point of edwards25519 in its one encoding, and not of low order.
    ///
    /// RFC 8032 asks for the one encoding (§5.1.3, step 1) but not for the order. Under a key of low order one signature
    /// fits many messages, so no proof of anything stands on it, and no honest party has one.
    pub(crate) fn read(encoded: &[u8]) -> Option<PublicKey> {
        let encoded: &[u8; 32] = encoded.try_into().ok()?;
        let key = VerifyingKey::from_bytes(encoded).ok()?;
        (is_below_prime(encoded) && !key.is_weak()).then(|| PublicKey::from_checked_ed25519(encoded))
    }

    /// Whether y, little-endian under the sign bit, is below p = 2²⁵⁵ - 19, whose bytes are ed, ff 30 times, and 7f.
    fn is_below_prime(encoded: &[u8; 32]) -> bool {
        let [first, middle @ .., last] = encoded;
        *first < 0xed || middle.iter().any(|byte| *byte != 0xff) || last & 0x7f != 0x7f
    }

    /// EdDSA without a cofactor. Refuses S that is not below the group order, and R that is not the one encoding.
    pub(crate) fn verify(key: &PublicKey, message: &[u8], signature: &Bytes) -> Option<()> {
        let key = VerifyingKey::from_bytes(key.bytes().try_into().ok()?).ok()?;
        key.verify(message, &Signature::from_bytes(signature)).ok()
    }
}
