//! Secrets, as valgrind sees them: memory of undefined content, which may be computed with, but not branched or indexed on.

use std::hint::black_box;

use crabgrind::memcheck::{self, MemState};
use remote_provisioning::{
    crypto::{
        Aead, Agreement, Crypto, EphemeralKey, Group, Hash, KeyKind, PublicKey, Rng, Secret, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
    sim::SeededRng,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

fn mark(bytes: &mut [u8], state: MemState) {
    memcheck::mark_memory(bytes.as_mut_ptr().cast(), bytes.len(), state).expect("run by valgrind");
    black_box(bytes);
}

/// Makes these bytes secret.
pub fn hide(bytes: &mut [u8]) {
    mark(bytes, MemState::Undefined);
    assert!(is_secret(bytes), "memcheck takes it");
}

/// Makes this text secret.
pub fn hide_text(text: &mut String) {
    memcheck::mark_memory(text.as_mut_ptr().cast(), text.len(), MemState::Undefined).expect("run by valgrind");
    black_box(text);
}

/// Bytes that depend on a secret become public: each call says why.
pub fn reveal(bytes: &mut [u8]) {
    mark(bytes, MemState::Defined);
}

/// A public copy.
pub fn revealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    reveal(&mut bytes);
    bytes
}

/// Whether anything of these bytes depends on a secret.
pub fn is_secret(bytes: &[u8]) -> bool {
    let mut bits = vec![0; bytes.len()];
    memcheck::vbits(black_box(bytes).as_ptr().cast(), &mut bits).expect("run by valgrind");
    bits.iter().any(|bits| *bits != 0)
}

/// Secret bytes; others for each seed.
pub fn secret<const N: usize>(seed: u64) -> [u8; N] {
    let mut bytes = [0; N];
    SeededRng::new(black_box(seed)).fill(&mut bytes).expect("never fails");
    hide(&mut bytes);
    bytes
}

/// The same as the crate has them.
pub fn key<const N: usize>(seed: u64) -> Secret<N> {
    Secret::from_slice(&secret::<N>(seed)).expect("as long as it is")
}

/// A scalar of P-256: the upper half of the numbers of 256 bits has some that are none.
pub fn scalar(seed: u64) -> Secret<32> {
    let mut bytes = secret::<32>(seed);
    bytes[0] >>= 1;
    Secret::from_slice(&bytes).expect("as long as it is")
}

/// The shipped backend; what it gives to the wire, or to a parser, is public.
pub struct Watched {
    /// Secrets that stay secret wherever they come up in an opened text.
    pub kept: Vec<[u8; 16]>,
}

impl Crypto for Watched {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<32>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }

    /// KEYSTREAM_2 (label 0, and the context is TH_2) is what CIPHERTEXT_2, which is on the wire, and PLAINTEXT_2, which has to
    /// be parsed, differ in.
    fn hkdf_expand(&self, prk: &Secret<32>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)?;
        if let [[0, 0x58, 0x20], ..] = info {
            reveal(okm);
        }
        Ok(())
    }

    /// A ciphertext is for the wire.
    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        RustCrypto.seal(aead, key, nonce, aad, text)?;
        reveal(text);
        Ok(())
    }

    /// A text that was opened has to be parsed. The credential in it stays secret.
    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)?;
        reveal(text);
        let found = self.kept.iter().filter_map(|kept| text.windows(16).position(|window| window == kept));
        for at in found.collect::<Vec<_>>() {
            hide(&mut text[at..at + 16]);
        }
        Ok(())
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.point(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.read_key(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        RustCrypto.generate(group, &mut Hidden(rng)).map(public)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<32>,
    ) -> Result<EphemeralKey> {
        RustCrypto.encapsulate(group, g_x, &mut Hidden(rng), shared).map(public)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<32>) -> Result<()> {
        RustCrypto.decapsulate(key, g_y, shared)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<32>) -> Result<(), Backend> {
        RustCrypto.agree(key, peer, shared)
    }

    /// What a signature is over is no secret to whoever checks it: with it come transcript hashes and a MAC that is used up.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        let signature = revealed(signature).try_into().expect("as long as it was");
        RustCrypto.verify(key, &revealed(message), &signature)
    }
}

/// The public half is for the wire.
fn public(key: EphemeralKey) -> EphemeralKey {
    let private = Secret::<32>::from_slice(key.private()).expect("a scalar");
    let private = remote_provisioning::crypto::SecretBytes::new(private.bytes().to_vec());
    EphemeralKey::from_parts(key.group(), private, revealed(key.public()).into())
}

/// A random source of secrets.
pub struct Hidden<'a>(pub &'a mut dyn Rng);

impl Rng for Hidden<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        self.0.fill(out)?;
        hide(out);
        Ok(())
    }
}

/// The shipped key store, with a secret identity key; what it gives to the peer is public.
pub struct WatchedKeys(pub MemoryKeyStore);

impl WatchedKeys {
    /// With this one key, which becomes secret.
    pub fn new(number: KeyId, kind: KeyKind, private: &[u8; 32]) -> Self {
        let mut keys = MemoryKeyStore::new();
        let mut private = black_box(*private);
        hide(&mut private);
        keys.insert_kind(number, kind, &private).expect("a scalar");
        Self(keys)
    }
}

impl KeyStore for WatchedKeys {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        let public = self.0.public_key(key)?;
        let encoded = revealed(public.sec1().map_or(public.bytes(), <[u8; 65]>::as_slice));
        RustCrypto.read_key(public.kind(), &encoded).map_err(|_| Backend::Key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        Ok(revealed(&self.0.sign(key, message)?).try_into().expect("as long as it was"))
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<32>) -> Result<(), Backend> {
        self.0.agree(key, peer, shared)
    }
}

/// A key whose public half is public.
pub struct WatchedAgreement {
    key: remote_provisioning::crypto::rustcrypto::AgreementKey,
    public: Vec<u8>,
}

impl WatchedAgreement {
    /// A secret one.
    pub fn new(group: Group, seed: u64) -> Self {
        let key = remote_provisioning::crypto::rustcrypto::AgreementKey::new(group, scalar(seed)).expect("a scalar");
        let public = revealed(key.public_key());
        Self { key, public }
    }
}

impl Agreement for WatchedAgreement {
    fn group(&self) -> Group {
        self.key.group()
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn agree(&self, peer: &[u8], shared: &mut Secret<32>) -> Result<()> {
        self.key.agree(peer, shared)
    }
}
