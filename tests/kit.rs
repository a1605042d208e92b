//! The checks for implementations of the traits: the shipped ones pass, and broken ones are found.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "a test fails by panicking"
)]

use remote_provisioning::{
    crypto::{
        Aead, Broken, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, SecretBytes,
        Signature, check, rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
    sim::{SeededRng, kit::check_store},
    store::{Commit, Slot, SlotChange, SubscriptionStore, memory::MemoryStore},
};

#[test]
fn the_shipped_implementations_pass() {
    check(&RustCrypto).unwrap();
    #[cfg(feature = "aws-lc-rs")]
    check(&remote_provisioning::crypto::aws_lc::AwsLc).unwrap();
    check_store(&mut MemoryStore::new()).unwrap();
}

/// A store with one of the faults that flash drivers have.
struct Faulty {
    inner: MemoryStore,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// The record is not written together with a slot.
    RecordForgotten,
    /// Both slots are one.
    SlotsShared,
    /// Erasing does nothing.
    NotErased,
    /// The first record stays.
    FirstRecordKept,
}

impl SubscriptionStore for Faulty {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        self.inner.record()
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        self.inner.slot(if self.fault == Fault::SlotsShared { Slot::A } else { slot })
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        let held = self.inner.record()?;
        let keep = match self.fault {
            Fault::RecordForgotten => !commit.slots.is_empty(),
            Fault::FirstRecordKept => held.is_some(),
            Fault::SlotsShared | Fault::NotErased => false,
        };
        let shared = match commit.slots {
            [SlotChange::Write(_, content)] => [SlotChange::Write(Slot::A, content)],
            _ => [SlotChange::Erase(Slot::A)],
        };
        let mut slots = commit.slots;
        match (slots, self.fault) {
            ([SlotChange::Erase(_)], Fault::NotErased) => slots = &[],
            ([SlotChange::Write(..)], Fault::SlotsShared) => slots = &shared,
            _ => {}
        }
        let record = held.filter(|_| keep).unwrap_or_else(|| commit.record.to_vec());
        self.inner.commit(Commit { slots, record: &record })
    }
}

#[test]
fn a_faulty_store_is_found() {
    for (fault, promise) in [
        (Fault::RecordForgotten, "slot and record land together"),
        (Fault::SlotsShared, "writing one slot leaves the other alone"),
        (Fault::NotErased, "an erased slot is empty"),
        (Fault::FirstRecordKept, "slot and record land together"),
    ] {
        assert_eq!(check_store(&mut Faulty { inner: MemoryStore::new(), fault }), Err(Broken(promise)));
    }
}

/// A backend whose every answer can be replaced.
#[derive(Clone, Copy)]
struct Double {
    sha256: fn(&[&[u8]]) -> Hash,
    hkdf_extract: fn(&[u8], &[u8], &mut Secret<HASH_LEN>),
    hkdf_expand: fn(&Secret<HASH_LEN>, &[&[u8]], &mut [u8]) -> Result<(), Backend>,
    seal: fn(Aead, &[u8], &[u8], &[u8], &mut Vec<u8>) -> Result<(), Backend>,
    open: fn(Aead, &[u8], &[u8], &[u8], &mut Vec<u8>) -> Result<(), Untrusted>,
    point: fn(&[u8]) -> Result<PublicKey, Misbehaved>,
    read_key: fn(KeyKind, &[u8]) -> Result<PublicKey, Misbehaved>,
    generate: fn(Group, &mut dyn Rng) -> Result<EphemeralKey, Backend>,
    encapsulate: fn(Group, &[u8], &mut dyn Rng, &mut Secret<HASH_LEN>) -> Result<EphemeralKey>,
    decapsulate: fn(&EphemeralKey, &[u8], &mut Secret<HASH_LEN>) -> Result<()>,
    agree: fn(&EphemeralKey, &PublicKey, &mut Secret<HASH_LEN>) -> Result<(), Backend>,
    verify: fn(&PublicKey, &[u8], &Signature) -> Result<(), Untrusted>,
}

const HONEST: Double = Double {
    sha256: |parts| RustCrypto.sha256(parts),
    hkdf_extract: |salt, ikm, prk| RustCrypto.hkdf_extract(salt, ikm, prk),
    hkdf_expand: |prk, info, okm| RustCrypto.hkdf_expand(prk, info, okm),
    seal: |aead, key, nonce, aad, text| RustCrypto.seal(aead, key, nonce, aad, text),
    open: |aead, key, nonce, aad, text| RustCrypto.open(aead, key, nonce, aad, text),
    point: |encoded| RustCrypto.point(encoded),
    read_key: |kind, encoded| RustCrypto.read_key(kind, encoded),
    generate: |group, rng| RustCrypto.generate(group, rng),
    encapsulate: |group, g_x, rng, shared| RustCrypto.encapsulate(group, g_x, rng, shared),
    decapsulate: |key, g_y, shared| RustCrypto.decapsulate(key, g_y, shared),
    agree: |key, peer, shared| RustCrypto.agree(key, peer, shared),
    verify: |key, message, signature| RustCrypto.verify(key, message, signature),
};

impl Crypto for Double {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        (self.sha256)(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        (self.hkdf_extract)(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        (self.hkdf_expand)(prk, info, okm)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        (self.seal)(aead, key, nonce, aad, text)
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        (self.open)(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        (self.point)(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        (self.read_key)(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        (self.generate)(group, rng)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        (self.encapsulate)(group, g_x, rng, shared)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        (self.decapsulate)(key, g_y, shared)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        (self.agree)(key, peer, shared)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        (self.verify)(key, message, signature)
    }
}

/// The doubles have to break the promise that is named, and so to keep those that come before it.
fn are_found(doubles: &[(&'static str, Double)]) {
    for (promise, double) in doubles {
        assert_eq!(check(double), Err(Broken(promise)));
    }
}

#[test]
fn a_faulty_hash_is_found() {
    assert_eq!(check(&HONEST), Ok(()));
    are_found(&[
        (
            "SHA-256 over parts is SHA-256 over the whole",
            Double { sha256: |parts| RustCrypto.sha256(&parts[..1]), ..HONEST },
        ),
        (
            "HKDF-Extract takes an empty salt (RFC 5869 §A.3)",
            Double {
                hkdf_extract: |salt, ikm, prk| {
                    RustCrypto.hkdf_extract(if salt.is_empty() { &[1] } else { salt }, ikm, prk)
                },
                ..HONEST
            },
        ),
        (
            "HKDF-Extract gives the key of RFC 5869 §A.1",
            Double {
                hkdf_extract: |salt, ikm, prk| {
                    let (salt, ikm) = if salt.is_empty() { (salt, ikm) } else { (ikm, salt) };
                    RustCrypto.hkdf_extract(salt, ikm, prk);
                },
                ..HONEST
            },
        ),
        (
            "HKDF-Expand gives the output of RFC 5869 §A.1",
            Double { hkdf_expand: |prk, info, okm| RustCrypto.hkdf_expand(prk, &info[..1], okm), ..HONEST },
        ),
        (
            "HKDF-Expand refuses more than 8,160 bytes",
            Double {
                hkdf_expand: |prk, info, okm| {
                    let len = okm.len().min(8160);
                    RustCrypto.hkdf_expand(prk, info, &mut okm[..len])
                },
                ..HONEST
            },
        ),
        (
            "HKDF-Expand gives 8,160 bytes",
            Double {
                hkdf_expand: |prk, info, okm| match okm.len() {
                    ..8160 => RustCrypto.hkdf_expand(prk, info, okm),
                    _ => Err(Backend::Crypto),
                },
                ..HONEST
            },
        ),
    ]);
}

/// Opens what does not open, if it is of this kind. The keys that the kit uses start with fe or c0, the nonces with ca or
/// 00.
fn opens_if(
    kind: fn(key: &[u8], nonce: &[u8], aad: &[u8], text: &[u8]) -> bool,
    (aead, key, nonce, aad): (Aead, &[u8], &[u8], &[u8]),
    text: &mut Vec<u8>,
) -> Result<(), Untrusted> {
    let known = text.clone();
    match RustCrypto.open(aead, key, nonce, aad, text) {
        Err(_) if kind(key, nonce, aad, &known) => Ok(()),
        result => result,
    }
}

#[test]
fn a_faulty_aead_is_found() {
    const NOT_WIPED: &str = "what does not open is an authentication failure, and the text is wiped and empty";
    const AS_IT_WAS: &str = "a text that was not sealed is as it was";
    are_found(&[
        (
            "an AEAD gives the published ciphertext",
            Double { seal: |aead, key, nonce, _, text| RustCrypto.seal(aead, key, nonce, b"", text), ..HONEST },
        ),
        (
            "an AEAD gives the published ciphertext",
            Double {
                // A tag of 16 bytes where 8 are due.
                seal: |aead, key, nonce, aad, text| match aead {
                    Aead::Ccm16_64_128 => RustCrypto.seal(Aead::Ccm16_128_128, key, nonce, aad, text),
                    _ => RustCrypto.seal(aead, key, nonce, aad, text),
                },
                ..HONEST
            },
        ),
        (
            "what was sealed opens",
            Double {
                open: |_, _, _, _, text| {
                    text.clear();
                    Err(Untrusted::Authentication)
                },
                ..HONEST
            },
        ),
        (
            "the additional data is authenticated",
            Double {
                open: |aead, key, nonce, aad, text| {
                    opens_if(|_, _, aad, _| aad == b"another", (aead, key, nonce, aad), text)
                },
                ..HONEST
            },
        ),
        (
            "what was sealed opens with its key only",
            Double {
                open: |aead, key, nonce, aad, text| {
                    opens_if(|key, _, _, _| ![0xfe, 0xc0].contains(&key[0]), (aead, key, nonce, aad), text)
                },
                ..HONEST
            },
        ),
        (
            "what was sealed opens with its nonce only",
            Double {
                open: |aead, key, nonce, aad, text| {
                    opens_if(|_, nonce, _, _| ![0xca, 0].contains(&nonce[0]), (aead, key, nonce, aad), text)
                },
                ..HONEST
            },
        ),
        (
            "a changed byte does not open",
            Double {
                open: |aead, key, nonce, aad, text| {
                    let changed = |_: &[u8], _: &[u8], aad: &[u8], text: &[u8]| {
                        // The last byte of the tag.
                        aad != b"another" && text.len() == 76 && text[75] == 0x47 ^ 0x80
                    };
                    opens_if(changed, (aead, key, nonce, aad), text)
                },
                ..HONEST
            },
        ),
        (
            "what was cut off does not open",
            Double {
                open: |aead, key, nonce, aad, text| {
                    opens_if(|_, _, _, text| text.len() < 8, (aead, key, nonce, aad), text)
                },
                ..HONEST
            },
        ),
        (
            NOT_WIPED,
            Double {
                open: |aead, key, nonce, aad, text| {
                    let sealed = text.clone();
                    RustCrypto.open(aead, key, nonce, aad, text).inspect_err(|_| *text = sealed)
                },
                ..HONEST
            },
        ),
        (
            NOT_WIPED,
            Double {
                open: |aead, key, nonce, aad, text| {
                    RustCrypto.open(aead, key, nonce, aad, text).map_err(|_| Untrusted::UnknownCredential)
                },
                ..HONEST
            },
        ),
        (
            "a key or nonce of the wrong length does not seal",
            Double {
                seal: |aead, key, nonce, aad, text| {
                    RustCrypto.seal(aead, key, &nonce[..nonce.len().min(aead.nonce_len())], aad, text)
                },
                ..HONEST
            },
        ),
        (
            "a key or nonce of the wrong length does not seal",
            Double {
                seal: |aead, key, nonce, aad, text| {
                    RustCrypto.seal(aead, &key[..key.len().min(aead.key_len())], nonce, aad, text)
                },
                ..HONEST
            },
        ),
        (
            "a key or nonce of the wrong length does not open",
            Double {
                open: |aead, key, nonce, aad, text| {
                    opens_if(|key, _, _, _| key.len() % 16 != 0, (aead, key, nonce, aad), text)
                },
                ..HONEST
            },
        ),
        (
            AS_IT_WAS,
            Double {
                seal: |aead, key, nonce, aad, text| {
                    RustCrypto.seal(aead, key, nonce, aad, text).inspect_err(|_| text.clear())
                },
                ..HONEST
            },
        ),
        (
            AS_IT_WAS,
            Double {
                // What hardware leaves that finds out at the end.
                seal: |aead, key, nonce, aad, text| {
                    RustCrypto.seal(aead, key, nonce, aad, text).inspect_err(|_| {
                        if text.len() > 65_535 {
                            text.fill(9);
                        }
                    })
                },
                ..HONEST
            },
        ),
        (
            "CCM refuses more than 65,535 bytes",
            Double {
                seal: |aead, key, nonce, aad, text| match text.len() {
                    65_536 => Ok(()),
                    _ => RustCrypto.seal(aead, key, nonce, aad, text),
                },
                ..HONEST
            },
        ),
        (
            "CCM takes 65,535 bytes",
            Double {
                seal: |aead, key, nonce, aad, text| match text.len() {
                    65_535.. => Err(Backend::Crypto),
                    _ => RustCrypto.seal(aead, key, nonce, aad, text),
                },
                ..HONEST
            },
        ),
    ]);
}

/// A key that a faulty backend gives for what is none.
const SOME: fn() -> PublicKey = || PublicKey::from_checked_point(&[1; 32], &[1; 32]);

#[test]
fn faulty_points_are_found() {
    macro_rules! point {
        ($encoded:ident: $wrong:expr => $answer:expr) => {
            Double {
                point: |$encoded| match $wrong {
                    true => $answer,
                    false => RustCrypto.point($encoded),
                },
                ..HONEST
            }
        };
    }
    const LENGTHS: [usize; 3] = [32, 33, 65];
    are_found(&[
        ("a point of the curve is taken, uncompressed", point!(e: e.len() == 65 => Err(Misbehaved::InvalidPoint))),
        ("a point of the curve is taken, compressed", point!(e: e.len() == 33 => Err(Misbehaved::InvalidPoint))),
        (
            "the tag of a compressed point says which y it has",
            point!(e: e.len() == 33 && e[0] == 2 => RustCrypto.point(&[&[3], &e[1..]].concat())),
        ),
        ("x alone is taken", point!(e: e.len() == 32 => Err(Misbehaved::InvalidPoint))),
        (
            "a point is a key of the kind P256",
            Double {
                read_key: |kind, encoded| match kind {
                    KeyKind::P256 => Err(Misbehaved::InvalidPoint),
                    _ => RustCrypto.read_key(kind, encoded),
                },
                ..HONEST
            },
        ),
        ("a point of no known length is refused", point!(e: !LENGTHS.contains(&e.len()) && e.len() < 65 => Ok(SOME()))),
        ("a point of no known length is refused", point!(e: e.len() > 65 => Ok(SOME()))),
        ("a point of no known length is refused", point!(e: e.is_empty() => Err(Misbehaved::Reflection))),
        ("a point with another tag than 2, 3 or 4 is refused", point!(e: e.len() == 65 && e[0] == 7 => Ok(SOME()))),
        ("a point with another tag than 2, 3 or 4 is refused", point!(e: e.len() == 33 && e[0] == 5 => Ok(SOME()))),
        ("infinity is refused", point!(e: e.len() == 65 && e.iter().all(|byte| *byte == 0) => Ok(SOME()))),
        ("infinity is refused", point!(e: e.len() == 65 && e[1..] == [0; 64] => Ok(SOME()))),
        (
            "a point off the curve is refused",
            point!(e: e.len() == 65 && e[0] == 4 && e[1] == 0x6b => Ok(RustCrypto.point(e).unwrap_or(SOME()))),
        ),
        ("a point off the curve is refused", point!(e: e.len() == 33 && e[0] == 2 && e[32] == 1 => Ok(SOME()))),
        ("a point off the curve is refused", point!(e: e.len() == 32 && e[31] == 1 => Ok(SOME()))),
        ("a coordinate not below the field prime is refused", point!(e: e.len() == 32 && e[0] == 0xff => Ok(SOME()))),
        ("a coordinate not below the field prime is refused", point!(e: e.len() == 33 && e[1] == 0xff => Ok(SOME()))),
    ]);
}

/// One and the same key, whatever the source says.
fn fixed_key(group: Group) -> EphemeralKey {
    RustCrypto.generate(group, &mut SeededRng::new(1)).unwrap()
}

fn relabelled(key: &EphemeralKey, group: Group) -> EphemeralKey {
    EphemeralKey::from_parts(group, SecretBytes::new(key.private().to_vec()), key.public().into())
}

#[test]
fn a_faulty_exchange_is_found() {
    are_found(&[
        ("an ephemeral exchange works", Double { encapsulate: |_, _, _, _| Err(Backend::Crypto.into()), ..HONEST }),
        (
            "both sides of an exchange get the same secret",
            Double {
                decapsulate: |key, g_y, shared| {
                    RustCrypto.decapsulate(key, g_y, shared).inspect(|()| shared.bytes_mut()[31] ^= 1)
                },
                ..HONEST
            },
        ),
        (
            "two keys differ",
            Double {
                generate: |group, _| RustCrypto.generate(group, &mut SeededRng::new(1)),
                encapsulate: |group, g_x, _, shared| RustCrypto.encapsulate(group, g_x, &mut SeededRng::new(1), shared),
                ..HONEST
            },
        ),
        (
            "an ephemeral key is of its group, and its public half has 32 bytes",
            Double {
                encapsulate: |group, g_x, rng, shared| {
                    let key = RustCrypto.encapsulate(group, g_x, rng, shared)?;
                    Ok(relabelled(&key, if group == Group::P256 { Group::X25519 } else { Group::P256 }))
                },
                ..HONEST
            },
        ),
        (
            "an ephemeral key is of its group, and its public half has 32 bytes",
            Double {
                // A compressed point, which the other side takes as well.
                encapsulate: |group, g_x, rng, shared| {
                    let key = RustCrypto.encapsulate(group, g_x, rng, shared)?;
                    let public = [&[2], key.public()].concat();
                    Ok(EphemeralKey::from_parts(group, SecretBytes::new(key.private().to_vec()), public.into()))
                },
                decapsulate: |key, g_y, shared| RustCrypto.decapsulate(key, &g_y[g_y.len() % 32..], shared),
                ..HONEST
            },
        ),
        (
            "a key of the group is taken",
            Double {
                read_key: |kind, encoded| match encoded.len() {
                    32 if kind == KeyKind::P256 => Err(Misbehaved::InvalidPoint),
                    _ => RustCrypto.read_key(kind, encoded),
                },
                ..HONEST
            },
        ),
        (
            "static agreement is the same Diffie-Hellman",
            Double {
                agree: |key, peer, shared| RustCrypto.agree(key, peer, shared).inspect(|()| shared.bytes_mut()[0] ^= 1),
                ..HONEST
            },
        ),
        (
            "the product with the base point is the public key",
            Double {
                encapsulate: |group, g_x, rng, shared| {
                    RustCrypto.encapsulate(group, g_x, rng, shared).inspect(|_| shared.bytes_mut()[0] ^= 1)
                },
                decapsulate: |key, g_y, shared| {
                    RustCrypto.decapsulate(key, g_y, shared).inspect(|()| shared.bytes_mut()[0] ^= 1)
                },
                agree: |key, peer, shared| RustCrypto.agree(key, peer, shared).inspect(|()| shared.bytes_mut()[0] ^= 1),
                ..HONEST
            },
        ),
        (
            "a key agrees with those of its group only",
            Double {
                agree: |key, peer, shared| match peer.kind() {
                    KeyKind::X25519 if key.group() == Group::P256 => Ok(()),
                    _ => RustCrypto.agree(key, peer, shared),
                },
                ..HONEST
            },
        ),
        (
            "a key agrees with those of its group only",
            Double {
                agree: |key, peer, shared| match peer.kind() {
                    KeyKind::Ed25519 => Ok(()),
                    _ => RustCrypto.agree(key, peer, shared),
                },
                ..HONEST
            },
        ),
        (
            "a bad G_X is refused before the random source is asked",
            Double {
                encapsulate: |group, g_x, rng, shared| {
                    rng.fill(&mut [0; 32])?;
                    RustCrypto.encapsulate(group, g_x, rng, shared)
                },
                ..HONEST
            },
        ),
        (
            "a bad G_X is refused before the random source is asked",
            Double {
                // A compressed point for an x.
                encapsulate: |group, g_x, rng, shared| {
                    RustCrypto.encapsulate(group, &g_x[g_x.len() % 32..], rng, shared)
                },
                ..HONEST
            },
        ),
        (
            "a bad G_Y is refused",
            Double {
                decapsulate: |key, g_y, shared| RustCrypto.decapsulate(key, &g_y[g_y.len() % 32..], shared),
                ..HONEST
            },
        ),
        (
            "a bad G_Y is refused",
            Double {
                decapsulate: |key, g_y, shared| match RustCrypto.decapsulate(key, g_y, shared) {
                    Err(_) if g_y.first() == Some(&0xff) => Ok(()),
                    result => result,
                },
                ..HONEST
            },
        ),
        (
            "a random source that fails fails the call",
            Double {
                generate: |group, rng| match RustCrypto.generate(group, rng) {
                    Err(Backend::Random) => Ok(fixed_key(group)),
                    result => result,
                },
                ..HONEST
            },
        ),
        (
            "a random source that fails fails the call",
            Double {
                encapsulate: |group, g_x, rng, shared| match RustCrypto.encapsulate(group, g_x, rng, shared) {
                    Err(remote_provisioning::Error::Backend(Backend::Random)) => Ok(fixed_key(group)),
                    result => result,
                },
                ..HONEST
            },
        ),
        (
            "zero is no private key",
            Double {
                generate: |group, rng| {
                    let mut drawn = [0; 32];
                    rng.fill(&mut drawn)?;
                    if drawn == [0; 32] { Ok(fixed_key(group)) } else { RustCrypto.generate(group, rng) }
                },
                ..HONEST
            },
        ),
        (
            "keys of a group that a backend does not have are refused",
            Double {
                generate: |group, rng| match group {
                    Group::P256 => RustCrypto.generate(group, rng),
                    Group::X25519 => Err(Backend::Crypto),
                },
                read_key: |kind, encoded| match kind {
                    KeyKind::X25519 => Ok(PublicKey::from_checked_x25519(encoded.try_into().unwrap())),
                    _ => RustCrypto.read_key(kind, encoded),
                },
                ..HONEST
            },
        ),
    ]);
}

/// Hardware with a source of its own never asks for another, and P-256 alone is enough.
#[test]
fn a_backend_may_have_a_source_of_its_own_and_one_group() {
    let modest = Double {
        generate: |group, _| match group {
            Group::P256 => RustCrypto.generate(group, &mut SeededRng::new(5)),
            Group::X25519 => Err(Backend::Crypto),
        },
        encapsulate: |group, g_x, _, shared| RustCrypto.encapsulate(group, g_x, &mut SeededRng::new(6), shared),
        read_key: |kind, encoded| match kind {
            KeyKind::P256 => RustCrypto.point(encoded),
            _ => Err(Misbehaved::InvalidPoint),
        },
        ..HONEST
    };
    assert_eq!(check(&modest), Ok(()));
}

/// A double that verifies as the shipped backend does, unless the condition names another verdict.
macro_rules! verifier {
    (|$key:ident, $message:ident, $signature:ident| $wrong:expr => $verdict:expr) => {
        Double {
            verify: |$key, $message, $signature| match $wrong {
                true => $verdict,
                false => RustCrypto.verify($key, $message, $signature),
            },
            ..HONEST
        }
    };
}

#[test]
fn a_faulty_es256_is_found() {
    are_found(&[
        (
            "the signature of RFC 6979 §A.2.5 verifies",
            verifier!(|key, _m, _s| key.kind() == KeyKind::P256 => Err(Untrusted::Authentication)),
        ),
        ("a signature is for its message only", verifier!(|_k, message, _s| message == b"another" => Ok(()))),
        (
            "a signature is for its message only",
            verifier!(|_k, message, _s| message == b"another" => Err(Untrusted::NoAnchor)),
        ),
        ("a signature is for its key only", verifier!(|key, _m, _s| key.x()[0] == 0x6b => Ok(()))),
        ("a changed signature does not verify", verifier!(|_k, _m, signature| signature[63] == 0xa9 => Ok(()))),
        ("a changed signature does not verify", verifier!(|_k, _m, signature| signature[0] == 0xee => Ok(()))),
        (
            "a key that only agrees verifies nothing",
            verifier!(|key, message, _s| key.kind() == KeyKind::X25519 && message == b"sample" => Ok(())),
        ),
        (
            "s may be in either half of its range",
            verifier!(|key, _m, signature| key.kind() == KeyKind::P256 && signature[32] == 8 => Err(Untrusted::Authentication)),
        ),
        ("r and s are 1 to n - 1", verifier!(|_k, _m, signature| signature[..32] == [0; 32] => Ok(()))),
        ("r and s are 1 to n - 1", verifier!(|_k, _m, signature| signature[32..] == [0; 32] => Ok(()))),
        ("r and s are 1 to n - 1", verifier!(|_k, _m, signature| signature[..4] == [0xff; 4] => Ok(()))),
        ("r and s are 1 to n - 1", verifier!(|_k, _m, signature| signature[32..36] == [0xff; 4] => Ok(()))),
    ]);
}

#[cfg(feature = "x25519")]
#[test]
fn a_faulty_x25519_is_found() {
    are_found(&[
        (
            "the topmost bit of a u-coordinate does not count (RFC 7748 §5)",
            Double {
                decapsulate: |key, g_y, shared| match g_y {
                    [9, .., 0x80] if key.group() == Group::X25519 => Err(Misbehaved::InvalidPoint.into()),
                    _ => RustCrypto.decapsulate(key, g_y, shared),
                },
                ..HONEST
            },
        ),
        (
            "a u-coordinate not below the field prime stands for another (RFC 7748 §5)",
            Double {
                read_key: |kind, encoded| match encoded {
                    [0xf6, .., 0x7f] if kind == KeyKind::X25519 => Err(Misbehaved::InvalidPoint),
                    _ => RustCrypto.read_key(kind, encoded),
                },
                ..HONEST
            },
        ),
        (
            "an X25519 key of low order is refused",
            Double {
                read_key: |kind, encoded| match (kind, encoded.try_into()) {
                    (KeyKind::X25519, Ok(u)) => Ok(PublicKey::from_checked_x25519(u)),
                    _ => RustCrypto.read_key(kind, encoded),
                },
                ..HONEST
            },
        ),
        (
            "a product that is zero is refused",
            Double {
                agree: |key, peer, shared| match RustCrypto.agree(key, peer, shared) {
                    Err(_) if peer.kind() == KeyKind::X25519 && key.group() == Group::X25519 => Ok(()),
                    result => result,
                },
                ..HONEST
            },
        ),
        (
            "an X25519 key has 32 bytes",
            Double {
                read_key: |kind, encoded| match kind {
                    KeyKind::X25519 => RustCrypto.read_key(kind, &encoded[..encoded.len().min(32)]),
                    _ => RustCrypto.read_key(kind, encoded),
                },
                ..HONEST
            },
        ),
        (
            "a bad G_X is refused before the random source is asked",
            Double {
                // Refused, but only when the product shows it.
                encapsulate: |group, g_x, rng, shared| {
                    if group == Group::X25519 {
                        rng.fill(&mut [0; 1])?;
                    }
                    RustCrypto.encapsulate(group, g_x, rng, shared)
                },
                ..HONEST
            },
        ),
        (
            "a bad G_Y is refused",
            Double {
                decapsulate: |key, g_y, shared| match RustCrypto.decapsulate(key, g_y, shared) {
                    Err(_) if key.group() == Group::X25519 && g_y.len() == 32 => Ok(()),
                    result => result,
                },
                ..HONEST
            },
        ),
    ]);
}

#[cfg(feature = "x25519")]
#[test]
fn a_faulty_eddsa_is_found() {
    macro_rules! reader {
        (|$encoded:ident| $wrong:expr => $answer:expr) => {
            Double {
                read_key: |kind, $encoded| match kind == KeyKind::Ed25519 && $wrong {
                    true => $answer,
                    false => RustCrypto.read_key(kind, $encoded),
                },
                ..HONEST
            }
        };
    }
    const KEY: fn() -> PublicKey = || PublicKey::from_checked_ed25519(&[1; 32]);
    are_found(&[
        (
            "the signature of RFC 8032 §7.1, test 2, verifies",
            verifier!(|key, _m, _s| key.kind() == KeyKind::Ed25519 => Err(Untrusted::Authentication)),
        ),
        ("an Ed25519 key is taken", reader!(|encoded| encoded.first() == Some(&0xfc) => Err(Misbehaved::InvalidPoint))),
        (
            "a signature is for its message only",
            verifier!(|key, message, _s| key.kind() == KeyKind::Ed25519 && message == b"another" => Ok(())),
        ),
        ("a signature is for its key only", verifier!(|key, _m, _s| key.x()[0] == 0xfc => Ok(()))),
        (
            "a key that only agrees verifies nothing",
            Double {
                verify: |key, message, signature| match (key.kind(), key.bytes().try_into()) {
                    (KeyKind::X25519, Ok(bytes)) => {
                        RustCrypto.verify(&PublicKey::from_checked_ed25519(bytes), message, signature)
                    }
                    _ => RustCrypto.verify(key, message, signature),
                },
                ..HONEST
            },
        ),
        (
            "S is below the group order (RFC 8032 §5.1.7)",
            verifier!(|_k, _m, signature| signature[63] == 0x10 => Ok(())),
        ),
        ("an Ed25519 key of low order is refused", reader!(|encoded| encoded == [0; 32] => Ok(KEY()))),
        ("an Ed25519 key of low order is refused", reader!(|encoded| encoded.first() == Some(&1) => Ok(KEY()))),
        (
            "a second encoding of an Ed25519 key is refused",
            reader!(|encoded| encoded.first() == Some(&0xf0) => Ok(KEY())),
        ),
        (
            "a second encoding of an Ed25519 key is refused",
            reader!(|encoded| encoded.first() == Some(&0xee) => Ok(KEY())),
        ),
        (
            "what is no point of edwards25519 is refused",
            reader!(|encoded| encoded.len() == 32 && encoded[0] == 2 && encoded[1] == 0 => Ok(KEY())),
        ),
        ("an Ed25519 key has 32 bytes", reader!(|encoded| encoded.len() == 31 => Ok(KEY()))),
        ("an Ed25519 key has 32 bytes", reader!(|encoded| encoded.len() == 33 => Ok(KEY()))),
    ]);
}
