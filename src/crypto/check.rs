//! Whether a backend keeps what [`Crypto`] promises: [`check`], to be run in your own tests, on your own hardware.
//!
//! ```text
//! hash          SHA-256, HKDF          published values, input in parts, the limit of 8,160 bytes
//! seal, open    each AEAD              published values; each byte changed; wrong lengths; what is left in the buffer
//! points        P-256                  every form that is taken, and every near miss
//! exchange      P-256, X25519          two sides, the base point, bad keys, random sources that fail
//! verify        ES256, EdDSA           published values; another message, key, signature; r and s out of range
//! ```
//!
//! X25519 and Ed25519 are held to their promises where a backend has them. It takes no feature, and nothing of it is in a
//! firmware that does not call it.

use alloc::vec::Vec;

use crate::{
    crypto::{Aead, Crypto, EphemeralKey, Group, HASH_LEN, KeyKind, PublicKey, Rng, Secret, Signature},
    error::{Backend, Error, Misbehaved, Untrusted},
};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken promise: {0}")]
pub struct Broken(pub &'static str);

impl From<Backend> for Broken {
    fn from(_: Backend) -> Self {
        Self("an operation failed that has to work")
    }
}

fn holds(condition: bool, promise: &'static str) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken(promise)) }
}

/// Checks a backend against published values, and against itself. Some forty P-256 operations, and up to 70 KB of heap;
/// what needs more than some KB is left out where there is no room for it.
///
/// ```
/// use remote_provisioning::crypto;
///
/// # #[cfg(feature = "rustcrypto")]
/// assert_eq!(crypto::check(&crypto::rustcrypto::RustCrypto), Ok(()));
/// ```
///
/// # Errors
/// The first promise that was broken.
pub fn check(crypto: &dyn Crypto) -> Result<(), Broken> {
    check_hash(crypto)?;
    for known in SEALED {
        check_aead(known, crypto)?;
    }
    check_points(crypto)?;
    check_exchange(&P256, crypto)?;
    check_es256(crypto)?;
    match crypto.generate(Group::X25519, &mut Source::Stream(1)) {
        Err(Backend::Crypto) => {
            let refused = crypto.read_key(KeyKind::X25519, X25519.base).is_err();
            holds(refused, "keys of a group that a backend does not have are refused")?;
        }
        _ => check_x25519(crypto)?,
    }
    match crypto.read_key(KeyKind::Ed25519, RFC_8032_KEY) {
        Err(_) => Ok(()),
        Ok(key) => check_eddsa(&key, crypto),
    }
}

// SHA-256 and HKDF.

/// SHA-256 of "abc" (FIPS 180-4).
const SHA_256_ABC: &[u8; 32] = &hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

/// RFC 5869 §A.1: the pseudorandom key, and all of the output keying material, of which 42 bytes are printed there.
const RFC_5869_PRK: &[u8; 32] = &hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
const RFC_5869_OKM: &[u8; 42] =
    &hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");

/// The same output, carried on to the 255th block: that block, computed with Python's `hmac`.
const LAST_BLOCK: &[u8; 32] = &hex("76a3f78bcffe95fecf91923c22ad6ee64d48a6d1b981d7e523d5c0f22154ee88");

/// RFC 5869 §A.3: the pseudorandom key of an empty salt.
const RFC_5869_UNSALTED: &[u8; 32] = &hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");

/// 255 blocks (RFC 5869 §2.3).
const MAX_OKM: usize = 8160;

fn check_hash(crypto: &dyn Crypto) -> Result<(), Broken> {
    let parts = crypto.sha256(&[b"a", b"", b"bc"]);
    holds(parts == *SHA_256_ABC, "SHA-256 over parts is SHA-256 over the whole")?;

    let mut prk = Secret::zeroed();
    crypto.hkdf_extract(&[], &[0x0b; 22], &mut prk);
    holds(prk.bytes() == RFC_5869_UNSALTED, "HKDF-Extract takes an empty salt (RFC 5869 §A.3)")?;
    crypto.hkdf_extract(&(0..=12).collect::<Vec<u8>>(), &[0x0b; 22], &mut prk);
    holds(prk.bytes() == RFC_5869_PRK, "HKDF-Extract gives the key of RFC 5869 §A.1")?;

    let info: &[&[u8]] = &[&[0xf0, 0xf1, 0xf2, 0xf3, 0xf4], &[], &[0xf5, 0xf6, 0xf7, 0xf8, 0xf9]];
    let mut okm = [0; 42];
    crypto.hkdf_expand(&prk, info, &mut okm)?;
    holds(okm == *RFC_5869_OKM, "HKDF-Expand gives the output of RFC 5869 §A.1")?;
    let Some(mut okm) = room(MAX_OKM.saturating_add(1)) else { return Ok(()) };
    let refused = crypto.hkdf_expand(&prk, info, &mut okm) == Err(Backend::Crypto);
    holds(refused, "HKDF-Expand refuses more than 8,160 bytes")?;
    okm.truncate(MAX_OKM);
    let expanded = crypto.hkdf_expand(&prk, info, &mut okm).is_ok();
    holds(expanded && okm.last_chunk() == Some(LAST_BLOCK), "HKDF-Expand gives 8,160 bytes")
}

// Authenticated encryption.

struct Sealed {
    aead: Aead,
    key: &'static [u8],
    nonce: &'static [u8],
    aad: &'static [u8],
    plaintext: &'static [u8],
    ciphertext: &'static [u8],
}

/// McGrew and Viega, The Galois/Counter Mode of Operation (GCM), Appendix B, cases 4 and 16; RFC 3610 §8, packet vector #1,
/// and the same with a tag of 16 bytes, which Python's `cryptography` computed.
const SEALED: &[Sealed] = &[
    Sealed {
        aead: Aead::A128Gcm,
        key: &hex::<16>("feffe9928665731c6d6a8f9467308308"),
        nonce: GCM_NONCE,
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: &hex::<76>(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b39\
             6a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
        ),
    },
    Sealed {
        aead: Aead::A256Gcm,
        key: &hex::<32>("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
        nonce: GCM_NONCE,
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: &hex::<76>(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e63\
             93ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        ),
    },
    #[cfg(feature = "ccm")]
    Sealed {
        aead: Aead::Ccm16_64_128,
        key: CCM_KEY,
        nonce: CCM_NONCE,
        aad: CCM_AAD,
        plaintext: CCM_PLAINTEXT,
        ciphertext: &hex::<31>("588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"),
    },
    #[cfg(feature = "ccm")]
    Sealed {
        aead: Aead::Ccm16_128_128,
        key: CCM_KEY,
        nonce: CCM_NONCE,
        aad: CCM_AAD,
        plaintext: CCM_PLAINTEXT,
        ciphertext: &hex::<39>("588c979a61c663d2f066d0c2c0f989806d5f6b61dac384509da654e32deac369c2dae7133cb08d"),
    },
];
const GCM_NONCE: &[u8] = &hex::<12>("cafebabefacedbaddecaf888");
const GCM_AAD: &[u8] = &hex::<20>("feedfacedeadbeeffeedfacedeadbeefabaddad2");
const GCM_PLAINTEXT: &[u8] = &hex::<60>(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657\
     ba637b39",
);
#[cfg(feature = "ccm")]
const CCM_KEY: &[u8] = &hex::<16>("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf");
#[cfg(feature = "ccm")]
const CCM_NONCE: &[u8] = &hex::<13>("00000003020100a0a1a2a3a4a5");
#[cfg(feature = "ccm")]
const CCM_AAD: &[u8] = &hex::<8>("0001020304050607");
#[cfg(feature = "ccm")]
const CCM_PLAINTEXT: &[u8] = &hex::<23>("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e");

/// RFC 3610 §2.1 with L = 2, which a nonce of 13 bytes leaves.
const CCM_MAX: usize = 65_535;

fn check_aead(known: &Sealed, crypto: &dyn Crypto) -> Result<(), Broken> {
    let &Sealed { aead, key, nonce, aad, plaintext, ciphertext } = known;
    let mut text = plaintext.to_vec();
    crypto.seal(aead, key, nonce, aad, &mut text)?;
    holds(text == ciphertext, "an AEAD gives the published ciphertext")?;

    // What was opened, or whether the failure was the one that it has to be.
    let opens = |key: &[u8], nonce: &[u8], aad: &[u8], text: &[u8]| {
        let mut text = text.to_vec();
        match crypto.open(aead, key, nonce, aad, &mut text) {
            Ok(()) => Ok(Some(text)),
            Err(Untrusted::Authentication) if text.is_empty() => Ok(None),
            Err(_) => Err(Broken("what does not open is an authentication failure, and the text is wiped and empty")),
        }
    };
    let denied = |key: &[u8], nonce: &[u8], aad: &[u8], text: &[u8], promise| {
        opens(key, nonce, aad, text).and_then(|opened| holds(opened.is_none(), promise))
    };
    holds(opens(key, nonce, aad, ciphertext)?.as_deref() == Some(plaintext), "what was sealed opens")?;
    denied(key, nonce, b"another", ciphertext, "the additional data is authenticated")?;
    let (other_key, other_nonce) = (flipped(key, 0), flipped(nonce, 0));
    denied(&other_key, nonce, aad, ciphertext, "what was sealed opens with its key only")?;
    denied(key, &other_nonce, aad, ciphertext, "what was sealed opens with its nonce only")?;
    for position in 0..ciphertext.len() {
        denied(key, nonce, aad, &flipped(ciphertext, position), "a changed byte does not open")?;
    }
    for len in 0..ciphertext.len() {
        let cut = ciphertext.get(..len).unwrap_or_default();
        denied(key, nonce, aad, cut, "what was cut off does not open")?;
    }

    // One byte short and one too many, of the key and of the nonce.
    for (key_len, nonce_len) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
        let resized = |bytes: &[u8], by: isize| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().saturating_add_signed(by), 0);
            bytes
        };
        let (key, nonce) = (resized(key, key_len), resized(nonce, nonce_len));
        let mut text = plaintext.to_vec();
        let refused = crypto.seal(aead, &key, &nonce, aad, &mut text) == Err(Backend::Crypto);
        holds(refused, "a key or nonce of the wrong length does not seal")?;
        holds(text == plaintext, "a text that was not sealed is as it was")?;
        denied(&key, &nonce, aad, ciphertext, "a key or nonce of the wrong length does not open")?;
    }

    let is_ccm = matches!(aead, Aead::Ccm16_64_128 | Aead::Ccm16_128_128);
    let Some(mut text) = room(CCM_MAX.saturating_add(1)).filter(|_| is_ccm) else { return Ok(()) };
    let refused = crypto.seal(aead, key, nonce, aad, &mut text) == Err(Backend::Crypto);
    holds(refused, "CCM refuses more than 65,535 bytes")?;
    holds(
        text.len() == CCM_MAX.saturating_add(1) && text.iter().all(|byte| *byte == 0),
        "a text that was not sealed is as it was",
    )?;
    text.truncate(CCM_MAX);
    holds(crypto.seal(aead, key, nonce, aad, &mut text).is_ok(), "CCM takes 65,535 bytes")
}

fn flipped(bytes: &[u8], position: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.iter_mut().skip(position).take(1).for_each(|byte| *byte ^= 0x80);
    bytes
}

/// Zero bytes, if the heap has this many, and those of a tag.
fn room(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len.saturating_add(16)).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

// Points.

/// The base point of P-256, uncompressed (SP 800-186 §3.2.1.3). Its y is odd.
const BASE_POINT: &[u8; 65] = &hex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ece\
     cbb6406837bf51f5",
);

/// The y of the other point with that x.
const OTHER_Y: &[u8; 32] = &hex("b01cbd1c01e58065711814b583f061e9d431cca994cea1313449bf97c840ae0a");

/// p (SP 800-186 §3.2.1.3).
const FIELD_PRIME: &[u8; 32] = &hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");

/// An x below p for which x³ - 3x + b has no square root.
const OFF_CURVE: &[u8; 32] = &hex("0000000000000000000000000000000000000000000000000000000000000001");

fn check_points(crypto: &dyn Crypto) -> Result<(), Broken> {
    let base = PublicKey::from_checked_point(&base_x(), &base_y());
    let (x, y) = (base.x(), base.y());
    let point = |parts: &[&[u8]]| crypto.point(&parts.concat());
    holds(point(&[BASE_POINT]) == Ok(base), "a point of the curve is taken, uncompressed")?;
    holds(point(&[&[3], x]) == Ok(base), "a point of the curve is taken, compressed")?;
    let other = point(&[&[2], x]).is_ok_and(|point| point.x() == x && point.y() == OTHER_Y);
    holds(other, "the tag of a compressed point says which y it has")?;
    holds(point(&[x]).is_ok_and(|point| point.x() == x), "x alone is taken")?;
    holds(crypto.read_key(KeyKind::P256, BASE_POINT) == Ok(base), "a point is a key of the kind P256")?;

    let refused = |parts: &[&[u8]]| point(parts) == Err(Misbehaved::InvalidPoint);
    let cut = |by: usize| BASE_POINT.get(..65_usize.saturating_sub(by)).unwrap_or_default();
    let lengths = (1..=65).filter(|by| ![0, 32, 33].contains(by)).all(|by| refused(&[cut(by)]));
    holds(lengths && refused(&[BASE_POINT, &[0]]), "a point of no known length is refused")?;
    let compressed = [0, 1, 4, 5, 6, 7].iter().all(|tag| refused(&[&[*tag], x]));
    let uncompressed = [0, 1, 2, 3, 5, 6, 7].iter().all(|tag| refused(&[&[*tag], x, y]));
    holds(compressed && uncompressed, "a point with another tag than 2, 3 or 4 is refused")?;
    holds(refused(&[&[0; 65]]) && refused(&[&[4], &[0; 64]]), "infinity is refused")?;
    let off_curve = refused(&[OFF_CURVE]) && refused(&[&[2], OFF_CURVE]) && refused(&[&[4], x, OFF_CURVE]);
    holds(off_curve, "a point off the curve is refused")?;
    let above = refused(&[FIELD_PRIME]) && refused(&[&[2], FIELD_PRIME]) && refused(&[&[0xff; 32]]);
    holds(above, "a coordinate not below the field prime is refused")
}

fn base_x() -> [u8; 32] {
    let [_tag, point @ ..] = BASE_POINT;
    *point.first_chunk().unwrap_or(&[0; 32])
}

fn base_y() -> [u8; 32] {
    *BASE_POINT.last_chunk().unwrap_or(&[0; 32])
}

// The ephemeral exchange.

/// What the checks of one group start from.
struct Curve {
    group: Group,
    /// The base point as a static key is encoded.
    base: &'static [u8],
    /// What must not go for a G_X or G_Y, besides wrong lengths.
    bad: &'static [&'static [u8; 32]],
}

const P256: Curve = Curve { group: Group::P256, base: BASE_POINT, bad: &[OFF_CURVE, FIELD_PRIME, &[0xff; 32]] };

/// RFC 7748 §4.1; bad are 0, 1, a point of order 8, p - 1, p and p + 1.
const X25519: Curve = Curve {
    group: Group::X25519,
    base: &hex::<32>("0900000000000000000000000000000000000000000000000000000000000000"),
    bad: &[
        &[0; 32],
        &hex("0100000000000000000000000000000000000000000000000000000000000000"),
        &hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        &hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        &hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        &hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        &hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ],
};

fn check_exchange(curve: &Curve, crypto: &dyn Crypto) -> Result<(), Broken> {
    let &Curve { group, base, bad } = curve;
    let kind = group.kind();
    let mut rng = Source::Stream(1);
    let (mut one, mut other) = (Secret::zeroed(), Secret::zeroed());
    let failed = |_| Broken("an ephemeral exchange works");
    let initiator = crypto.generate(group, &mut rng).map_err(failed)?;
    let responder =
        crypto.encapsulate(group, initiator.public(), &mut rng, &mut one).map_err(|_| failed(Backend::Crypto))?;
    crypto.decapsulate(&initiator, responder.public(), &mut other).map_err(|_| failed(Backend::Crypto))?;
    holds(one == other, "both sides of an exchange get the same secret")?;
    holds(initiator.public() != responder.public(), "two keys differ")?;
    let sound = |key: &EphemeralKey| key.public().len() == 32 && key.group() == group;
    holds(
        sound(&initiator) && sound(&responder),
        "an ephemeral key is of its group, and its public half has 32 bytes",
    )?;

    let key = |encoded: &[u8]| crypto.read_key(kind, encoded).map_err(|_| Broken("a key of the group is taken"));
    let shares = |key: &EphemeralKey, peer: &PublicKey| {
        let mut shared = Secret::zeroed();
        crypto.agree(key, peer, &mut shared).map(|()| shared)
    };
    let product = shares(&initiator, &key(responder.public())?);
    holds(product == Ok(other), "static agreement is the same Diffie-Hellman")?;
    let product = shares(&initiator, &key(base)?);
    let is_public = product.is_ok_and(|product| product.bytes() == initiator.public());
    holds(is_public, "the product with the base point is the public key")?;
    for kind in [KeyKind::P256, KeyKind::X25519, KeyKind::Ed25519].into_iter().filter(|other| *other != kind) {
        let peer = match kind {
            KeyKind::P256 => PublicKey::from_checked_point(&base_x(), &base_y()),
            KeyKind::X25519 => PublicKey::from_checked_x25519(&base_x()),
            KeyKind::Ed25519 => PublicKey::from_checked_ed25519(RFC_8032_KEY),
        };
        holds(shares(&initiator, &peer) == Err(Backend::Crypto), "a key agrees with those of its group only")?;
    }

    let invalid = Err(Error::Misbehaved(Misbehaved::InvalidPoint));
    let (x, longer) = (initiator.public(), [&[2], initiator.public()].concat());
    let lengths = [&[], x.get(1..).unwrap_or_default(), &longer, BASE_POINT];
    for bad in lengths.into_iter().chain(bad.iter().map(|bad| bad.as_slice())) {
        // A source that fails: whoever asks it before it looks has another error.
        let refused = crypto.encapsulate(group, bad, &mut Source::Fails, &mut one).map(|_| ());
        holds(refused == invalid, "a bad G_X is refused before the random source is asked")?;
        holds(crypto.decapsulate(&initiator, bad, &mut one) == invalid, "a bad G_Y is refused")?;
    }

    // Hardware that never asks has a source of its own, of which nothing can be said here.
    let mut counted = Counted { source: Source::Stream(2), calls: 0 };
    crypto.generate(group, &mut counted)?;
    if counted.calls > 0 {
        let random = |source: &mut Source| {
            let generated = crypto.generate(group, source).map(|_| ()).map_err(Error::Backend);
            let answered = crypto.encapsulate(group, x, source, &mut Secret::zeroed()).map(|_| ());
            [generated, answered].iter().all(|result| *result == Err(Error::Backend(Backend::Random)))
        };
        holds(random(&mut Source::Fails), "a random source that fails fails the call")?;
        // X25519 has no scalar that is none: it is clamped.
        let zero = group == Group::X25519 || random(&mut Source::Zeros);
        holds(zero, "zero is no private key")?;
    }
    Ok(())
}

fn check_x25519(crypto: &dyn Crypto) -> Result<(), Broken> {
    check_exchange(&X25519, crypto)?;
    let key = crypto.generate(Group::X25519, &mut Source::Stream(3))?;
    let mut shared = Secret::zeroed();
    for (last, first, promise) in [
        (0x80, 9, "the topmost bit of a u-coordinate does not count (RFC 7748 §5)"),
        // p + 9.
        (0x7f, 0xf6, "a u-coordinate not below the field prime stands for another (RFC 7748 §5)"),
    ] {
        let mut u = [if last == 0x80 { 0 } else { 0xff }; 32];
        u.iter_mut().take(1).for_each(|byte| *byte = first);
        u.iter_mut().skip(31).for_each(|byte| *byte = last);
        let agreed = crypto.decapsulate(&key, &u, &mut shared).is_ok() && shared.bytes() == key.public();
        holds(agreed && crypto.read_key(KeyKind::X25519, &u).is_ok(), promise)?;
    }
    for bad in X25519.bad {
        for high_bit in [0, 0x80] {
            let mut bad = **bad;
            bad.iter_mut().skip(31).for_each(|byte| *byte |= high_bit);
            let refused = crypto.read_key(KeyKind::X25519, &bad) == Err(Misbehaved::InvalidPoint);
            holds(refused, "an X25519 key of low order is refused")?;
            let unchecked = PublicKey::from_checked_x25519(&bad);
            let agreed = crypto.agree(&key, &unchecked, &mut shared);
            holds(agreed == Err(Backend::Crypto), "a product that is zero is refused")?;
        }
    }
    let lengths = [0, 31, 33].map(|len| crypto.read_key(KeyKind::X25519, [9; 33].get(..len).unwrap_or_default()));
    holds(lengths.iter().all(Result::is_err), "an X25519 key has 32 bytes")
}

/// Random sources, good and bad.
enum Source {
    /// Bytes that follow from the number (SplitMix64).
    Stream(u64),
    /// Nothing but zeros.
    Zeros,
    /// Errors.
    Fails,
}

impl Rng for Source {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        match self {
            Self::Fails => return Err(Backend::Random),
            Self::Zeros => out.fill(0),
            Self::Stream(state) => {
                for chunk in out.chunks_mut(8) {
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    chunk.iter_mut().zip((mixed ^ (mixed >> 31)).to_le_bytes()).for_each(|(to, from)| *to = from);
                }
            }
        }
        Ok(())
    }
}

struct Counted {
    source: Source,
    calls: usize,
}

impl Rng for Counted {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        self.calls = self.calls.saturating_add(1);
        self.source.fill(out)
    }
}

// Signatures.

/// RFC 6979 §A.2.5, P-256 with SHA-256, message "sample": the public key, uncompressed.
const RFC_6979_KEY: &[u8; 65] = &hex(
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f51\
     77a3c294d4462299",
);

/// The signature r ‖ s.
const RFC_6979_SIGNATURE: &Signature = &hex(
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064d\
     c4ab2f843acda8",
);

/// n - s.
const OTHER_S: &[u8; 32] = &hex("0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9");

/// n, the order of the group (SP 800-186 §3.2.1.3).
const GROUP_ORDER: &[u8; 32] = &hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

fn check_es256(crypto: &dyn Crypto) -> Result<(), Broken> {
    let key = crypto.point(RFC_6979_KEY).map_err(|_| Broken("a point of the curve is taken, uncompressed"))?;
    let verified = crypto.verify(&key, b"sample", RFC_6979_SIGNATURE);
    holds(verified.is_ok(), "the signature of RFC 6979 §A.2.5 verifies")?;
    let another = PublicKey::from_checked_point(&base_x(), &base_y());
    check_signature(crypto, &key, &another, b"sample", RFC_6979_SIGNATURE)?;

    let (r, s) = RFC_6979_SIGNATURE.split_at(HASH_LEN);
    let check = |r: &[u8], s: &[u8]| {
        let mut signature = [0; 64];
        signature.iter_mut().zip(r.iter().chain(s)).for_each(|(to, from)| *to = *from);
        crypto.verify(&key, b"sample", &signature)
    };
    holds(check(r, OTHER_S).is_ok(), "s may be in either half of its range")?;
    let (zero, n): (&[u8], &[u8]) = (&[0; HASH_LEN], GROUP_ORDER);
    let denied = [(zero, zero), (zero, s), (r, zero), (n, s), (r, n), (n, n)];
    let denied = denied.into_iter().all(|(r, s)| check(r, s) == Err(Untrusted::Authentication));
    holds(denied, "r and s are 1 to n - 1")
}

/// RFC 8032 §7.1, test 2, message 72 (hex): the public key.
const RFC_8032_KEY: &[u8; 32] = &hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");

/// The signature R ‖ S.
const RFC_8032_SIGNATURE: &Signature = &hex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0\
     0d291612bb0c00",
);

/// S + L, with L the order of the group (RFC 8032 §5.1).
const OTHER_S_25519: &[u8; 32] = &hex("f52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10");

/// RFC 8032 §7.1, test 3: the public key.
const ANOTHER_8032_KEY: &[u8; 32] = &hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");

/// Points of order 1, 2 and 4 on edwards25519: (0, 1), (0, -1) and (√-1, 0).
const LOW_ORDER: [&[u8; 32]; 3] = [
    &hex("0100000000000000000000000000000000000000000000000000000000000000"),
    &hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    &[0; 32],
];

/// p + 3, where 3 is the y of a point; and p + 1 with a sign, where x is zero.
const SECOND_ENCODINGS: [&[u8; 32]; 2] = [
    &hex("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    &hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
];

/// A y that no point has: 2.
const OFF_EDWARDS: &[u8; 32] = &hex("0200000000000000000000000000000000000000000000000000000000000000");

fn check_eddsa(key: &PublicKey, crypto: &dyn Crypto) -> Result<(), Broken> {
    let read = |encoded: &[u8]| crypto.read_key(KeyKind::Ed25519, encoded);
    holds(crypto.verify(key, &[0x72], RFC_8032_SIGNATURE).is_ok(), "the signature of RFC 8032 §7.1, test 2, verifies")?;
    let another = read(ANOTHER_8032_KEY).map_err(|_| Broken("an Ed25519 key is taken"))?;
    check_signature(crypto, key, &another, &[0x72], RFC_8032_SIGNATURE)?;
    let mut twin = *RFC_8032_SIGNATURE;
    twin.iter_mut().skip(HASH_LEN).zip(OTHER_S_25519).for_each(|(to, from)| *to = *from);
    let denied = crypto.verify(key, &[0x72], &twin) == Err(Untrusted::Authentication);
    holds(denied, "S is below the group order (RFC 8032 §5.1.7)")?;

    let refused = |encoded: &[u8]| read(encoded) == Err(Misbehaved::InvalidPoint);
    holds(LOW_ORDER.iter().all(|bad| refused(*bad)), "an Ed25519 key of low order is refused")?;
    let second = SECOND_ENCODINGS.iter().all(|bad| refused(*bad));
    holds(second, "a second encoding of an Ed25519 key is refused")?;
    holds(refused(OFF_EDWARDS), "what is no point of edwards25519 is refused")?;
    let lengths = refused(&[]) && refused(&[2; 31]) && refused(&[&RFC_8032_KEY[..], &[0]].concat());
    holds(lengths, "an Ed25519 key has 32 bytes")
}

/// What a valid signature is not good for, whatever the algorithm.
fn check_signature(
    crypto: &dyn Crypto,
    key: &PublicKey,
    another: &PublicKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), Broken> {
    let denied = |key: &PublicKey, message: &[u8], signature: &Signature| {
        crypto.verify(key, message, signature) == Err(Untrusted::Authentication)
    };
    holds(denied(key, b"another", signature), "a signature is for its message only")?;
    holds(denied(another, message, signature), "a signature is for its key only")?;
    for position in [0, 31, 32, 63] {
        let mut changed = *signature;
        changed.iter_mut().skip(position).take(1).for_each(|byte| *byte ^= 1);
        holds(denied(key, message, &changed), "a changed signature does not verify")?;
    }
    // The same bytes: a key of its kind would verify.
    let agrees_only = PublicKey::from_checked_x25519(key.x().try_into().unwrap_or(&[9; 32]));
    holds(denied(&agrees_only, message, signature), "a key that only agrees verifies nothing")
}

// Numbers, as they are printed.

/// The bytes that these digits stand for. For constants: what does not fit does not compile.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "evaluated by the compiler"
)]
pub(super) const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    const fn nibble(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("no hexadecimal digit"),
        }
    }
    let digits = digits.as_bytes();
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = nibble(digits[2 * at]) << 4 | nibble(digits[2 * at + 1]);
        at += 1;
    }
    assert!(digits.len() == 2 * N, "digits are left");
    bytes
}
