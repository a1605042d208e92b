//! What each backend and key store takes for its operations, and how much more than the library below it.
//!
//! ```text
//! keygen          an ephemeral key from given randomness; floor: read the scalar in, write the public half
//! encapsulate     the same, and the product with an x-only G_X; floor: keygen, decompress, ECDH
//! decapsulate     the product with an x-only G_Y; floor: decompress, ECDH
//! agree           the product with a point; floor: ECDH, with the point read in as the library needs it
//! verify          ES256 over 256 bytes; floor: the same
//! sign            ES256 over 256 bytes, in the key store that goes with the backend; floor: the same
//! store agree     the key store's ECDH; floor: that of `agree`
//! seal, open      A128GCM over 100 bytes, key schedule included; floor: the same
//! ```
//!
//! Without the feature `aws-lc-rs` that backend is left out.

use core::hint::black_box;
use remote_provisioning::{
    crypto::{Aead, Crypto, EphemeralKey, Group, PublicKey, Rng, Secret, Signature, rustcrypto::RustCrypto},
    error::Backend,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

use crate::row::Row;

const KEY: KeyId = KeyId(1);
const SCALAR: [u8; 32] = [0x11; 32];
const PEER: [u8; 32] = [0x22; 32];
const MESSAGE: [u8; 256] = [0x33; 256];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = backend("rustcrypto", &RustCrypto, memory_store(), p256_floor());
    #[cfg(feature = "aws-lc-rs")]
    rows.extend(backend("aws-lc-rs", &remote_provisioning::crypto::aws_lc::AwsLc, aws_lc_store(), aws_lc_floor()));
    rows
}

/// The same work by the library alone, in the order of [`backend`].
type Floor = [Box<dyn Fn()>; 8];

fn backend(name: &str, crypto: &'static dyn Crypto, keys: Box<dyn KeyStore>, floor: Floor) -> Vec<Row> {
    let [keygen, encapsulate, decapsulate, agree, verify, sign, seal, open] = floor;
    // Shared by two rows, for as long as the program runs.
    let (keys, agree): (&dyn KeyStore, &dyn Fn()) = (Box::leak(keys), Box::leak(agree));
    let key = || crypto.generate(Group::P256, &mut Draw(SCALAR)).unwrap();
    let peer = crypto.generate(Group::P256, &mut Draw(PEER)).unwrap();
    let g_y: Box<[u8]> = peer.public().into();
    let g_x = g_y.clone();
    let point = crypto.point(&g_y).unwrap();
    let (one, other): (EphemeralKey, EphemeralKey) = (key(), key());
    let public = keys.public_key(KEY).unwrap();
    let signature = keys.sign(KEY, &MESSAGE).unwrap();
    let sealed = {
        let mut text = vec![7; 100];
        crypto.seal(Aead::A128Gcm, &[1; 16], &[2; 12], b"aad", &mut text).unwrap();
        text
    };
    let row = |what, ours: Box<dyn Fn()>, floor: Box<dyn Fn()>| {
        Row::new(format!("crypto/{name}/{what}"), ours, floor).calls(20)
    };
    vec![
        row("keygen", Box::new(move || done(crypto.generate(Group::P256, &mut Draw(black_box(SCALAR))))), keygen),
        row("encapsulate", Box::new(move || encapsulates(crypto, &g_x)), encapsulate),
        row("decapsulate", Box::new(move || decapsulates(crypto, &one, &g_y)), decapsulate),
        row("agree", Box::new(move || agrees(crypto, &other, &point)), Box::new(agree)),
        row("verify", Box::new(move || verifies(crypto, &public, &signature)), verify),
        row("sign", Box::new(move || done(keys.sign(KEY, black_box(&MESSAGE)).unwrap())), sign),
        row("store agree", Box::new(move || store_agrees(keys, &point)), Box::new(agree)),
        row("seal", Box::new(move || seals(crypto)), seal),
        row("open", Box::new(move || opens(crypto, &sealed)), open),
    ]
}

fn encapsulates(crypto: &dyn Crypto, g_x: &[u8]) {
    let mut shared = Secret::zeroed();
    crypto.encapsulate(Group::P256, black_box(g_x), &mut Draw(SCALAR), &mut shared).unwrap();
    black_box(shared.bytes());
}

fn decapsulates(crypto: &dyn Crypto, key: &EphemeralKey, g_y: &[u8]) {
    let mut shared = Secret::zeroed();
    crypto.decapsulate(key, black_box(g_y), &mut shared).unwrap();
    black_box(shared.bytes());
}

fn agrees(crypto: &dyn Crypto, key: &EphemeralKey, peer: &PublicKey) {
    let mut shared = Secret::zeroed();
    crypto.agree(key, black_box(peer), &mut shared).unwrap();
    black_box(shared.bytes());
}

fn store_agrees(keys: &dyn KeyStore, peer: &PublicKey) {
    let mut shared = Secret::zeroed();
    keys.agree(KEY, black_box(peer), &mut shared).unwrap();
    black_box(shared.bytes());
}

fn verifies(crypto: &dyn Crypto, key: &PublicKey, signature: &Signature) {
    crypto.verify(key, black_box(&MESSAGE), signature).unwrap();
}

fn seals(crypto: &dyn Crypto) {
    let mut text = Vec::with_capacity(116);
    text.resize(100, 7);
    crypto.seal(Aead::A128Gcm, black_box(&[1; 16]), &[2; 12], b"aad", &mut text).unwrap();
    black_box(text);
}

fn opens(crypto: &dyn Crypto, sealed: &[u8]) {
    let mut text = sealed.to_vec();
    crypto.open(Aead::A128Gcm, black_box(&[1; 16]), &[2; 12], b"aad", &mut text).unwrap();
    black_box(text);
}

fn memory_store() -> Box<dyn KeyStore> {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, &SCALAR).unwrap();
    Box::new(keys)
}

#[cfg(feature = "aws-lc-rs")]
fn aws_lc_store() -> Box<dyn KeyStore> {
    let mut keys = remote_provisioning::store::aws_lc::AwsLcKeyStore::new();
    keys.insert(KEY, &SCALAR).unwrap();
    Box::new(keys)
}

/// Keeps the compiler from leaving out what made `value`.
fn done<T>(value: T) {
    black_box(value);
}

/// A random source that gives what it has.
struct Draw([u8; 32]);

impl Rng for Draw {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

fn p256_floor() -> Floor {
    use aes_gcm::{
        Aes128Gcm,
        aead::{AeadInOut, KeyInit},
    };
    use p256::{
        NonZeroScalar, PublicKey, SecretKey,
        ecdsa::{
            Signature, SigningKey,
            signature::{Signer, Verifier},
        },
        elliptic_curve::{ecdh::diffie_hellman, sec1::ToSec1Point},
    };

    fn scalar() -> NonZeroScalar {
        SecretKey::from_bytes(black_box(&SCALAR).into()).unwrap().to_nonzero_scalar()
    }
    let peer = PublicKey::from_secret_scalar(&SecretKey::from_bytes(&PEER.into()).unwrap().to_nonzero_scalar());
    let compressed = peer.to_sec1_point(true).as_bytes().to_vec();
    let uncompressed = peer.to_sec1_point(false).as_bytes().to_vec();
    let keygen = || done(PublicKey::from_secret_scalar(&scalar()).to_sec1_point(true));
    let exchange = |encoded: &[u8]| {
        let peer = PublicKey::from_sec1_bytes(black_box(encoded)).unwrap();
        black_box(diffie_hellman(scalar(), peer.as_affine()).raw_secret_bytes());
    };
    let x = compressed.clone();
    let signing = SigningKey::from_bytes(&SCALAR.into()).unwrap();
    let verifying = *signing.verifying_key();
    let signature: Signature = signing.sign(&MESSAGE);
    let cipher = || Aes128Gcm::new(black_box(&[1; 16]).into());
    let mut sealed = vec![7; 100];
    cipher().encrypt_in_place(&[2; 12].into(), b"aad", &mut sealed).unwrap();
    [
        Box::new(keygen),
        Box::new(move || {
            keygen();
            exchange(&x);
        }),
        Box::new(move || exchange(&compressed)),
        Box::new(move || exchange(&uncompressed)),
        Box::new(move || verifying.verify(black_box(&MESSAGE), &signature).unwrap()),
        Box::new(move || done::<Signature>(signing.sign(black_box(&MESSAGE)))),
        Box::new(move || {
            let mut text = Vec::with_capacity(116);
            text.resize(100, 7);
            cipher().encrypt_in_place(&[2; 12].into(), b"aad", &mut text).unwrap();
            black_box(text);
        }),
        Box::new(move || {
            let mut text = sealed.clone();
            cipher().decrypt_in_place(&[2; 12].into(), b"aad", &mut text).unwrap();
            black_box(text);
        }),
    ]
}

#[cfg(feature = "aws-lc-rs")]
fn aws_lc_floor() -> Floor {
    use aws_lc_rs::{
        aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
        agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
        rand::SystemRandom,
        signature::{self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };

    fn key(scalar: &[u8; 32]) -> PrivateKey {
        PrivateKey::from_private_key(&ECDH_P256, black_box(scalar)).unwrap()
    }
    fn exchange(key: &PrivateKey, encoded: &[u8]) {
        let peer = UnparsedPublicKey::new(&ECDH_P256, black_box(encoded));
        agree(key, peer, (), |product| {
            black_box(product);
            Ok(())
        })
        .unwrap();
    }
    let uncompressed = key(&PEER).compute_public_key().unwrap();
    let uncompressed = uncompressed.as_ref().to_vec();
    let compressed = p256::PublicKey::from_sec1_bytes(&uncompressed).unwrap();
    let compressed = p256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&compressed, true).as_bytes().to_vec();
    let keygen = || done(key(&SCALAR).compute_public_key());
    let (x, one, other) = (compressed.clone(), key(&SCALAR), key(&SCALAR));
    let public = key(&SCALAR).compute_public_key().unwrap().as_ref().to_vec();
    let signing =
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &SCALAR, &public).unwrap();
    let signed = signing.sign(&SystemRandom::new(), &MESSAGE).unwrap();
    let verifying = signing.public_key().as_ref().to_vec();
    let cipher = || LessSafeKey::new(UnboundKey::new(&AES_128_GCM, black_box(&[1; 16])).unwrap());
    let nonce = || Nonce::assume_unique_for_key([2; 12]);
    let mut sealed = vec![7; 100];
    cipher().seal_in_place_append_tag(nonce(), Aad::from(b"aad"), &mut sealed).unwrap();
    [
        Box::new(keygen),
        Box::new(move || {
            let key = key(&SCALAR);
            exchange(&key, &x);
            done(key.compute_public_key());
        }),
        Box::new(move || exchange(&one, &compressed)),
        Box::new(move || exchange(&other, &uncompressed)),
        Box::new(move || {
            let key = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &verifying);
            key.verify(black_box(&MESSAGE), signed.as_ref()).unwrap();
        }),
        Box::new(move || done(signing.sign(&SystemRandom::new(), black_box(&MESSAGE)).unwrap())),
        Box::new(move || {
            let mut text = Vec::with_capacity(116);
            text.resize(100, 7);
            cipher().seal_in_place_append_tag(nonce(), Aad::from(b"aad"), &mut text).unwrap();
            black_box(text);
        }),
        Box::new(move || {
            let mut text = sealed.clone();
            cipher().open_in_place(nonce(), Aad::from(b"aad"), &mut text).unwrap();
            black_box(text);
        }),
    ]
}
