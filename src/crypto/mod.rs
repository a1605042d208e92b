//! The primitives this protocol stands on, as traits, and the types that hold keys.
//!
//! [`Crypto`] has what EDHOC, COSE and the package need and nothing else: SHA-256, HKDF, AEADs by suite, an ephemeral
//! exchange and signature checks. It never sees a long-term private key: those work inside a
//! [`KeyStore`](crate::store::KeyStore). The ephemeral exchange is shaped as generate / encapsulate / decapsulate, so a
//! KEM suite is a row in a table later; the agreement of an ephemeral key with a *static* one (EDHOC methods 1 to 3) is a
//! call of its own, because only Diffie-Hellman groups have it.
//!
//! | [`KeyKind`] | a [`PublicKey`] is | [`Crypto::verify`] | [`Crypto::agree`] |
//! |---|---|---|---|
//! | `P256` | a point, 65 bytes (SEC 1 §2.3.3) | ES256 (RFC 9053 §2.1) | with ephemeral keys of [`Group::P256`] |
//! | `Ed25519` | a point, 32 bytes (RFC 8032 §5.1.2) | EdDSA (RFC 9053 §2.2) | never |
//! | `X25519` | a u-coordinate, 32 bytes (RFC 7748 §5) | never | with ephemeral keys of [`Group::X25519`] |
//!
//! A key of the wrong kind is an error and not a panic. Every backend has P-256; the other two are for those that want
//! EDHOC's suites 0 and 1, in the shipped ones behind the feature `x25519`.
//!
//! Secrets are [`Secret`] and [`SecretBytes`]: heap-held so that moving the owner moves a pointer and leaves no copy on
//! the stack, filled in place, wiped on drop, and silent in `Debug`. No type that holds a secret has `==`: what is compared
//! is bytes, and all such comparing goes through [`equal`].
//!
//! Two backends are shipped: `rustcrypto` for every machine, and `aws_lc` for servers, in assembler and three to
//! four times as fast (features `rustcrypto` and `aws-lc-rs`). One of your own implements [`Crypto`] and can be held against
//! [`check()`].

#[cfg(feature = "aws-lc-rs")]
pub mod aws_lc;
mod check;
mod hedged;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;
pub(crate) mod sweep;

use alloc::{boxed::Box, vec::Vec};
use core::{any::Any, fmt};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

pub use self::{
    check::{Broken, check},
    hedged::Hedged,
};
use crate::error::{Backend, Misbehaved, Untrusted};

/// Bytes of a SHA-256 hash.
pub const HASH_LEN: usize = 32;

/// A SHA-256 hash.
pub type Hash = [u8; HASH_LEN];

/// A signature: r ‖ s of ECDSA on P-256 (RFC 9053 §2.1), or R ‖ S of Ed25519 (RFC 8032 §5.1.6); 32 bytes each.
pub type Signature = [u8; SIGNATURE_LEN];

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// Groups for Diffie-Hellman.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// NIST P-256. In the ephemeral exchange, G_X and G_Y are x-coordinates of 32 bytes (RFC 9528 §3.7); in an
    /// [`Agreement`], public keys are compressed points of 33 bytes (SEC 1 §2.3.3).
    P256,
    /// Curve25519 with X25519 (RFC 7748 §5). Public keys are u-coordinates of 32 bytes, wherever they are. The topmost
    /// bit does not count, and a u not below the field prime stands for the one that it is congruent to.
    X25519,
}

impl Group {
    /// The kind of a static key that agrees with ephemeral ones of this group.
    pub const fn kind(self) -> KeyKind {
        match self {
            Self::P256 => KeyKind::P256,
            Self::X25519 => KeyKind::X25519,
        }
    }

    /// Bytes of a public key in an [`Agreement`].
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::P256 => 33,
            Self::X25519 => 32,
        }
    }
}

/// What a public key is, and so what it is good for (see the table in this module's header).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// A point of NIST P-256: verifies ES256, agrees.
    P256,
    /// A u-coordinate of Curve25519: agrees.
    X25519,
    /// A point of edwards25519: verifies EdDSA.
    Ed25519,
}

/// Authenticated encryption, by COSE algorithm number (RFC 9053 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// A128GCM (1).
    A128Gcm,
    /// A256GCM (3).
    A256Gcm,
    /// AES-CCM-16-64-128 (10): tag of 8 bytes.
    Ccm16_64_128,
    /// AES-CCM-16-128-128 (30): tag of 16 bytes.
    Ccm16_128_128,
}

impl Aead {
    /// Bytes of the key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::A128Gcm | Self::Ccm16_64_128 | Self::Ccm16_128_128 => 16,
            Self::A256Gcm => 32,
        }
    }

    /// Bytes of the nonce.
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::A128Gcm | Self::A256Gcm => 12,
            Self::Ccm16_64_128 | Self::Ccm16_128_128 => 13,
        }
    }

    /// Bytes of the tag at the end of the ciphertext.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Ccm16_64_128 => 8,
            Self::A128Gcm | Self::A256Gcm | Self::Ccm16_128_128 => 16,
        }
    }
}

/// A random source fit for keys.
pub trait Rng {
    /// Fills `out`. Output that repeats after a restart or across devices gives away every session key; seed it from
    /// hardware, and where that is in doubt put it behind [`Hedged`].
    ///
    /// # Errors
    /// [`Backend::Random`] if the source cannot deliver.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend>;
}

/// Cryptographic primitives. `Sync`, because the X.509 path validator asks for it; hardware with a state goes behind a
/// mutex, on a microcontroller one of critical sections.
///
/// Implementations compute on secrets in constant time and keep no copies of them. One over slow hardware may answer
/// [`Backend::KeyPending`], like a [`KeyStore`](crate::store::KeyStore): the step is repeated then.
pub trait Crypto: Sync {
    /// SHA-256 over the concatenation of `parts`.
    fn sha256(&self, parts: &[&[u8]]) -> Hash;

    /// HKDF-Extract with SHA-256 (RFC 5869 §2.2) into `prk`.
    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>);

    /// HKDF-Expand with SHA-256 (RFC 5869 §2.3) over the concatenation of `info`, filling `okm`.
    ///
    /// # Errors
    /// [`Backend::Crypto`] if `okm` is longer than 8,160 bytes.
    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend>;

    /// Encrypts `text` in place and appends the tag. Reserve [`Aead::tag_len`] bytes in `text`, so that it does not
    /// grow and leave a copy of the plaintext behind.
    ///
    /// # Errors
    /// [`Backend::Crypto`] if `key` or `nonce` has the wrong length, or `text` is longer than the algorithm takes (65,535
    /// bytes with CCM); then `text` is as it was.
    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend>;

    /// Checks the tag at the end of `text`, removes it and decrypts in place. On failure `text` is wiped, and empty.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`], whatever the reason.
    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted>;

    /// Decodes and checks a P-256 point: 32 bytes (x alone; either y will do), 33 (compressed) or 65 (uncompressed).
    ///
    /// # Errors
    /// [`Misbehaved::InvalidPoint`] if it is none, not on the curve, or the point at infinity.
    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved>;

    /// Decodes and checks a public key of any kind: a P-256 point as [`Crypto::point`] takes it, or the 32 bytes of the
    /// others. A backend with P-256 alone leaves this as it is.
    ///
    /// # Errors
    /// [`Misbehaved::InvalidPoint`] if it is none, or this backend does not have the kind. That goes for points of low
    /// order, with which every product is zero and under which a signature can fit every message, and for an Ed25519 key
    /// that is not the one encoding of its point (RFC 8032 §5.1.3).
    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        match kind {
            KeyKind::P256 => self.point(encoded),
            KeyKind::X25519 | KeyKind::Ed25519 => Err(Misbehaved::InvalidPoint),
        }
    }

    /// Makes an ephemeral key (the initiator's half).
    ///
    /// # Errors
    /// [`Backend::Random`] if the random source fails or gives nothing of use, [`Backend::Crypto`] if this backend does
    /// not have the group.
    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend>;

    /// Answers G_X: makes an ephemeral key, whose public half is G_Y, and writes the shared secret. A bad G_X is refused
    /// before the random source is asked.
    ///
    /// # Errors
    /// [`Misbehaved::InvalidPoint`] for a bad G_X (no 32 bytes, no point, of low order), or [`Backend`] as with
    /// [`Crypto::generate`].
    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> crate::error::Result<EphemeralKey>;

    /// Takes in G_Y: writes the shared secret of `key` and `g_y`.
    ///
    /// # Errors
    /// [`Misbehaved::InvalidPoint`] for a bad G_Y, or [`Backend`].
    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> crate::error::Result<()>;

    /// Diffie-Hellman of an ephemeral key with a peer's static one (EDHOC methods 1 to 3): the x- or u-coordinate.
    ///
    /// # Errors
    /// [`Backend::Crypto`] if `key` is not of the group of `peer`, or `peer` agrees with nothing.
    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend>;

    /// Checks a signature over `message`: ES256 or EdDSA, as the kind of `key` has it.
    ///
    /// Of ES256, s may be in either half of its range: COSE and X.509 do not ask for the lower one, and other
    /// implementations do send the upper one. So a valid signature has a twin; never use one as an identifier.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`], whatever the reason.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted>;
}

/// A private key that agrees with a peer's public key, wherever it lives: in an HSM at the operator, in a secure element
/// at the device, in memory (`rustcrypto::AgreementKey`, `aws_lc::AgreementKey`). [`aka::suci`](crate::aka::suci) needs no more of a key.
///
/// Implementations compute in constant time.
pub trait Agreement {
    /// The group of the key.
    fn group(&self) -> Group;

    /// The public half as it goes on the wire, [`Group::public_key_len`] bytes.
    fn public_key(&self) -> &[u8];

    /// Diffie-Hellman with `peer`, a public key of the same group that nobody has checked yet, into `shared`: the
    /// u-coordinate (RFC 7748 §6.1) or the x-coordinate (SEC 1 §3.3.1).
    ///
    /// # Errors
    /// [`Misbehaved::InvalidPoint`] if `peer` has another length or form, is not on the curve, or if the product is
    /// zero, which is what a point of low order gives; or [`Backend`].
    fn agree(&self, peer: &[u8], shared: &mut Secret<32>) -> crate::error::Result<()>;
}

/// A public key that has been checked: a point of its curve, and not one of low order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Checked);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Checked {
    P256([u8; 65]),
    X25519([u8; 32]),
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// For backends: the checked point (x, y) of P-256. Anyone else asks [`Crypto::point`].
    pub fn from_checked_point(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let mut sec1 = [4; 65];
        let (_, point) = sec1.split_at_mut(1);
        let (px, py) = point.split_at_mut(32);
        px.copy_from_slice(x);
        py.copy_from_slice(y);
        Self(Checked::P256(sec1))
    }

    /// For backends: the checked u-coordinate. Anyone else asks [`Crypto::read_key`].
    pub const fn from_checked_x25519(u: &[u8; 32]) -> Self {
        Self(Checked::X25519(*u))
    }

    /// For backends: the checked point of edwards25519, encoded. Anyone else asks [`Crypto::read_key`].
    pub const fn from_checked_ed25519(encoded: &[u8; 32]) -> Self {
        Self(Checked::Ed25519(*encoded))
    }

    /// What it is good for.
    pub const fn kind(&self) -> KeyKind {
        match self.0 {
            Checked::P256(_) => KeyKind::P256,
            Checked::X25519(_) => KeyKind::X25519,
            Checked::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// The key as the standards of its kind have it: the uncompressed point, 65 bytes (SEC 1 §2.3.3), or 32 bytes.
    pub const fn bytes(&self) -> &[u8] {
        match &self.0 {
            Checked::P256(sec1) => sec1,
            Checked::X25519(bytes) | Checked::Ed25519(bytes) => bytes,
        }
    }

    /// COSE's `x`, 32 bytes: the x-coordinate of a P-256 point (RFC 9053 §7.1.1), or the whole key of the other kinds
    /// (RFC 9053 §7.2).
    pub fn x(&self) -> &[u8] {
        match &self.0 {
            Checked::P256(sec1) => sec1.get(1..33).unwrap_or_default(),
            Checked::X25519(bytes) | Checked::Ed25519(bytes) => bytes,
        }
    }

    /// The y-coordinate of a P-256 point, 32 bytes; empty with the other kinds.
    pub fn y(&self) -> &[u8] {
        self.sec1().and_then(|sec1| sec1.get(33..)).unwrap_or_default()
    }

    /// The uncompressed point of P-256, 65 bytes (SEC 1 §2.3.3); `None` with the other kinds.
    pub const fn sec1(&self) -> Option<&[u8; 65]> {
        match &self.0 {
            Checked::P256(sec1) => Some(sec1),
            Checked::X25519(_) | Checked::Ed25519(_) => None,
        }
    }

    /// The compressed point of P-256, 33 bytes (SEC 1 §2.3.3); `None` with the other kinds.
    pub fn compressed(&self) -> Option<[u8; 33]> {
        let odd = self.y().last()? & 1;
        [&[2 | odd], self.x()].concat().try_into().ok()
    }

    /// The SubjectPublicKeyInfo, DER: 91 bytes with P-256 (RFC 5480 §2), 44 with the others (RFC 8410 §4).
    pub fn spki(&self) -> Vec<u8> {
        let head: &[u8] = match &self.0 {
            Checked::P256(_) => &SPKI_P256,
            Checked::X25519(_) => &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0],
            Checked::Ed25519(_) => &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0],
        };
        [head, self.bytes()].concat()
    }

    /// What names this key in vouchers: the SHA-256 hash of its SubjectPublicKeyInfo (RFC 8366, as `pinned-domain-pubk-sha256`
    /// has it).
    pub fn thumbprint(&self, crypto: &dyn Crypto) -> Hash {
        crypto.sha256(&[&self.spki()])
    }
}

/// What comes before the uncompressed point: SEQUENCE { SEQUENCE { id-ecPublicKey, secp256r1 }, BIT STRING }.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3,
    0x42, 0,
];

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?} ", self.kind())?;
        self.x().iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}

/// `N` secret bytes on the heap.
///
/// It cannot be compared, printed or serialised by accident:
///
/// ```compile_fail,E0369
/// # use remote_provisioning::crypto::Secret;
/// let same = Secret::<16>::zeroed() == Secret::zeroed();
/// ```
///
/// ```compile_fail,E0277
/// # use remote_provisioning::crypto::Secret;
/// let shown = format!("{}", Secret::<16>::zeroed());
/// ```
///
/// ```compile_fail,E0277
/// # use remote_provisioning::crypto::Secret;
/// let bytes: Vec<u8> = Vec::new();
/// let written = ciborium::into_writer(&Secret::<16>::zeroed(), bytes);
/// ```
///
/// ```
/// use remote_provisioning::crypto::{Secret, equal};
///
/// let (one, other) = (Secret::<16>::zeroed(), Secret::<16>::zeroed());
/// assert!(equal(one.bytes(), other.bytes()));
/// assert_eq!(format!("{one:?}"), "Secret<16>(..)");
/// ```
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// All zero, to be filled in place through [`Secret::bytes_mut`].
    pub fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// A copy of `bytes`; wipe the original.
    ///
    /// # Errors
    /// [`Backend::Crypto`] if there are not `N` of them.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Backend> {
        let mut secret = Self::zeroed();
        if bytes.len() != N {
            return Err(Backend::Crypto);
        }
        secret.0.copy_from_slice(bytes);
        Ok(secret)
    }

    /// The bytes. Do not copy them around.
    pub const fn bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be filled.
    pub const fn bytes_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> zeroize::ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Secret bytes of a length known only at run time, on the heap. Never grows.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes over `bytes`, and with them the duty to wipe them.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// `len` zero bytes, to be filled in place.
    pub fn zeroed(len: usize) -> Self {
        Self(alloc::vec![0; len])
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The buffer, for a cipher that works in place.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl zeroize::ZeroizeOnDrop for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// An ephemeral private key and what to send of it. Wiped on drop; used for one session.
pub struct EphemeralKey {
    group: Group,
    private: SecretBytes,
    public: Box<[u8]>,
    /// `()` where there is none: nothing in it is left undefined, so that no bytes of whatever was there before, perhaps of
    /// the scalar, travel with it.
    native: Box<dyn Any + Send + Sync>,
}

impl EphemeralKey {
    /// For backends: the private half as bytes of the backend's choosing (a scalar, the number of a slot) and the public
    /// one as it goes on the wire.
    pub fn from_parts(group: Group, private: SecretBytes, public: Box<[u8]>) -> Self {
        Self { group, private, public, native: Box::new(()) }
    }

    /// For backends whose library has a type of its own for a private key: keeps it, so that the bytes need not be read in
    /// at each use. It wipes itself on drop; over hardware it may be what frees the slot then. A key that comes out of a token
    /// is without it.
    #[must_use]
    pub fn with_native(self, native: Box<dyn Any + Send + Sync>) -> Self {
        Self { native, ..self }
    }

    /// The group that it is of.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// What goes on the wire: G_X or G_Y.
    pub const fn public(&self) -> &[u8] {
        &self.public
    }

    /// For backends: the bytes that [`EphemeralKey::from_parts`] was given.
    pub fn private(&self) -> &[u8] {
        self.private.bytes()
    }

    /// For backends: what [`EphemeralKey::with_native`] was given, if it was a `T`.
    pub fn native<T: 'static>(&self) -> Option<&T> {
        self.native.downcast_ref()
    }
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralKey(..)")
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
///
/// The one place where keys, MACs and answers to challenges are compared. The secret types have no `==`, because one that takes
/// the shorter way out is easily written and hard to see: on x86 an `==` over eight bytes is one instruction, and over nine it
/// is not.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
