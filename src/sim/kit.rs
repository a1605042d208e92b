//! Checks that an implementation of [`SubscriptionStore`] or [`Crypto`] keeps what its trait promises. Run them in your
//! own tests, on your own hardware; each names the first promise that was broken.

use alloc::vec::Vec;

use crate::{
    crypto::{Aead, Crypto, Group, Secret, SecretBytes, Signature},
    error::Backend,
    sim::SeededRng,
    store::{Commit, MAX_RECORD, Slot, SlotChange, SubscriptionStore},
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

/// Checks an empty store. It is not empty afterwards.
///
/// # Errors
/// The first promise that was broken.
pub fn check_store(store: &mut dyn SubscriptionStore) -> Result<(), Broken> {
    holds(store.record()?.is_none(), "a new store has no record")?;
    holds(store.slot(Slot::A)?.is_none() && store.slot(Slot::B)?.is_none(), "a new store has empty slots")?;

    let content = |byte: u8| SecretBytes::new(alloc::vec![byte; 300]);
    store.commit(Commit { slot: None, record: b"one" })?;
    holds(store.record()?.as_deref() == Some(b"one"), "a committed record is read back")?;
    holds(store.slot(Slot::A)?.is_none(), "a commit without a slot leaves the slots alone")?;

    store.commit(Commit { slot: Some(SlotChange::Write(Slot::B, &content(1))), record: b"two" })?;
    holds(store.slot(Slot::B)? == Some(content(1)), "a committed slot is read back")?;
    holds(store.record()?.as_deref() == Some(b"two"), "slot and record land together")?;
    holds(store.slot(Slot::A)?.is_none(), "writing one slot leaves the other alone")?;

    store.commit(Commit { slot: Some(SlotChange::Write(Slot::A, &content(2))), record: b"three" })?;
    store.commit(Commit { slot: Some(SlotChange::Write(Slot::A, &content(3))), record: b"four" })?;
    holds(store.slot(Slot::A)? == Some(content(3)), "the last content of a slot counts")?;
    holds(store.slot(Slot::B)? == Some(content(1)), "writing one slot leaves the other alone")?;

    let too_long = alloc::vec![0; MAX_RECORD.saturating_add(1)];
    let refused = store.commit(Commit { slot: Some(SlotChange::Erase(Slot::A)), record: &too_long });
    if refused.is_err() {
        holds(store.record()?.as_deref() == Some(b"four"), "a failed commit leaves the record alone")?;
        holds(store.slot(Slot::A)? == Some(content(3)), "a failed commit leaves the slots alone")?;
    }

    let longest = alloc::vec![7; MAX_RECORD];
    store.commit(Commit { slot: Some(SlotChange::Erase(Slot::A)), record: &longest })?;
    holds(store.record()?.as_deref() == Some(&longest), "a record of MAX_RECORD bytes is kept")?;
    holds(store.slot(Slot::A)?.is_none(), "an erased slot is empty")?;
    holds(store.slot(Slot::B)? == Some(content(1)), "erasing one slot leaves the other alone")
}

/// RFC 6979 §A.2.5, P-256 with SHA-256, message "sample": the public key, uncompressed.
const RFC_6979_KEY: &[u8; 65] = &hex65(
    b"0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
);

/// The signature r ‖ s.
const RFC_6979_SIGNATURE: &Signature = &hex64(
    b"efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
);

/// SHA-256 of "abc" (FIPS 180-4).
const SHA_256_ABC: &[u8; 32] = &hex32(b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

/// RFC 5869 §A.1: the pseudorandom key.
const RFC_5869_PRK: &[u8; 32] = &hex32(b"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");

/// RFC 5869 §A.1: the first 32 bytes of output keying material.
const RFC_5869_OKM: &[u8; 32] = &hex32(b"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");

/// Checks a backend against published values, and against itself.
///
/// # Errors
/// The first promise that was broken.
pub fn check_crypto(crypto: &dyn Crypto) -> Result<(), Broken> {
    holds(crypto.sha256(&[b"a", b"", b"bc"]) == *SHA_256_ABC, "SHA-256 over parts is SHA-256 over the whole")?;

    let mut prk = Secret::zeroed();
    crypto.hkdf_extract(&(0..=12).collect::<Vec<u8>>(), &[0x0b; 22], &mut prk);
    holds(prk.bytes() == RFC_5869_PRK, "HKDF-Extract gives the key of RFC 5869 §A.1")?;
    let mut okm = [0; 32];
    crypto.hkdf_expand(&prk, &[&[0xf0, 0xf1, 0xf2, 0xf3, 0xf4], &[0xf5, 0xf6, 0xf7, 0xf8, 0xf9]], &mut okm)?;
    holds(okm == *RFC_5869_OKM, "HKDF-Expand gives the output of RFC 5869 §A.1")?;

    for aead in [Aead::A128Gcm, Aead::A256Gcm, Aead::Ccm16_64_128, Aead::Ccm16_128_128] {
        check_aead(aead, crypto)?;
    }

    let refused = |encoded: &[u8]| crypto.point(encoded).is_err();
    let key = crypto.point(RFC_6979_KEY).map_err(|_| Broken("a point of the curve is accepted"))?;
    holds(crypto.point(key.x()).is_ok_and(|point| point.x() == key.x()), "x alone is decompressed")?;
    holds(refused(&[]) && refused(&[0]) && refused(&[0xff; 32]), "what is no point is refused")?;
    let mut off_curve = *RFC_6979_KEY;
    off_curve.iter_mut().skip(64).for_each(|byte| *byte ^= 1);
    holds(refused(&off_curve), "a point off the curve is refused")?;

    holds(crypto.verify(&key, b"sample", RFC_6979_SIGNATURE).is_ok(), "the signature of RFC 6979 §A.2.5 verifies")?;
    holds(crypto.verify(&key, b"Sample", RFC_6979_SIGNATURE).is_err(), "a signature is for its message only")?;
    holds(crypto.verify(&key, b"sample", &[0; 64]).is_err(), "r = s = 0 is no signature")?;

    let mut rng = SeededRng::new(1);
    let (mut one, mut other) = (Secret::zeroed(), Secret::zeroed());
    let initiator = crypto.generate(Group::P256, &mut rng)?;
    let failed = |_| Broken("an ephemeral exchange works");
    let responder = crypto.encapsulate(Group::P256, initiator.public(), &mut rng, &mut one).map_err(failed)?;
    crypto.decapsulate(&initiator, responder.public(), &mut other).map_err(failed)?;
    holds(one == other, "both sides of an exchange get the same secret")?;
    holds(initiator.public() != responder.public(), "two keys differ")?;
    let peer = crypto.point(responder.public()).map_err(|_| Broken("an ephemeral public key is a point"))?;
    crypto.agree(&initiator, &peer, &mut one)?;
    holds(one == other, "static agreement is the same Diffie-Hellman")?;
    let refused = crypto.encapsulate(Group::P256, &[0xff; 32], &mut rng, &mut one);
    holds(refused.is_err(), "a bad G_X is refused")
}

fn check_aead(aead: Aead, crypto: &dyn Crypto) -> Result<(), Broken> {
    let (key, nonce) = (alloc::vec![1; aead.key_len()], alloc::vec![2; aead.nonce_len()]);
    let plaintext = b"a message that is longer than one block";
    let mut sealed = plaintext.to_vec();
    crypto.seal(aead, &key, &nonce, b"aad", &mut sealed)?;
    holds(sealed.len() == plaintext.len().saturating_add(aead.tag_len()), "a tag has its length")?;
    let opens = |text: &[u8], aad: &[u8]| {
        let mut text = text.to_vec();
        crypto.open(aead, &key, &nonce, aad, &mut text).map(|()| text)
    };
    holds(opens(&sealed, b"aad").as_deref() == Ok(plaintext), "what was sealed opens")?;
    holds(opens(&sealed, b"Aad").is_err(), "the additional data is authenticated")?;
    for position in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed.iter_mut().skip(position).take(1).for_each(|byte| *byte ^= 0x80);
        holds(opens(&changed, b"aad").is_err(), "a changed byte does not open")?;
    }
    holds(opens(&[], b"aad").is_err(), "less than a tag does not open")
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit.wrapping_sub(b'0'),
        _ => digit.wrapping_sub(b'a').wrapping_add(10),
    }
}

macro_rules! hex_array {
    ($name:ident, $bytes:literal, $digits:literal) => {
        #[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler")]
        const fn $name(digits: &[u8; $digits]) -> [u8; $bytes] {
            let mut bytes = [0; $bytes];
            let mut at = 0;
            while at < $bytes {
                bytes[at] = nibble(digits[2 * at]) << 4 | nibble(digits[2 * at + 1]);
                at += 1;
            }
            bytes
        }
    };
}
hex_array!(hex32, 32, 64);
hex_array!(hex64, 64, 128);
hex_array!(hex65, 65, 130);
