//! The shipped backend, with a memory: a P-256 operation that was done before is not done again.
//!
//! Every story starts with an honest exchange from fixed seeds, whose operations are always the same; without this, they
//! would be all that a fuzzer spends its time on. What it answers is what the backend answered, so nothing is weaker.

use std::{collections::BTreeMap, sync::Mutex};

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, PublicKey, Rng, Secret, SecretBytes, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

/// More than the honest exchanges need; what comes after that is computed each time.
const MAX_ENTRIES: usize = 65_536;

static MEMORY: Mutex<BTreeMap<Hash, Option<Vec<u8>>>> = Mutex::new(BTreeMap::new());

/// What `work` answered to this question the first time; `None` stands for its error.
pub(crate) fn recall(question: &[&[u8]], work: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let lengths: Vec<_> = question.iter().map(|part| part.len().to_be_bytes()).collect();
    let parts: Vec<&[u8]> = lengths.iter().map(|len| len.as_slice()).chain(question.iter().copied()).collect();
    let key = RustCrypto.sha256(&parts);
    if let Some(known) = MEMORY.lock().unwrap().get(&key) {
        return known.clone();
    }
    let answer = work();
    let mut memory = MEMORY.lock().unwrap();
    if memory.len() < MAX_ENTRIES {
        memory.insert(key, answer.clone());
    }
    answer
}

/// [`RustCrypto`] with a memory.
pub(crate) struct Memo;

impl Crypto for Memo {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        RustCrypto.seal(aead, key, nonce, aad, text)
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        let point = recall(&[b"point", encoded], || RustCrypto.point(encoded).ok().map(|key| key.bytes().to_vec()));
        let point = point.ok_or(Misbehaved::InvalidPoint)?;
        Ok(PublicKey::from_checked_point(point[1..33].try_into().unwrap(), point[33..].try_into().unwrap()))
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        let draw = Draw::from(rng)?;
        let key = recall(&[b"generate", &draw.0], || {
            RustCrypto.generate(group, &mut draw.clone()).ok().map(|key| flat(&key))
        });
        key.map(|key| unflat(&key)).ok_or(Backend::Random)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        self.point(g_x)?;
        let draw = Draw::from(rng)?;
        let answer = recall(&[b"encapsulate", g_x, &draw.0], || {
            let mut shared = Secret::zeroed();
            let key = RustCrypto.encapsulate(group, g_x, &mut draw.clone(), &mut shared).ok()?;
            Some([shared.bytes().as_slice(), &flat(&key)].concat())
        });
        let answer = answer.ok_or(Misbehaved::InvalidPoint)?;
        shared.bytes_mut().copy_from_slice(&answer[..HASH_LEN]);
        Ok(unflat(&answer[HASH_LEN..]))
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        let answer = recall(&[b"decapsulate", key.private(), g_y], || {
            let mut shared = Secret::zeroed();
            RustCrypto.decapsulate(key, g_y, &mut shared).ok().map(|()| shared.bytes().to_vec())
        });
        shared.bytes_mut().copy_from_slice(&answer.ok_or(Misbehaved::InvalidPoint)?);
        Ok(())
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        let answer = recall(&[b"agree", key.private(), peer.bytes()], || {
            let mut shared = Secret::zeroed();
            RustCrypto.agree(key, peer, &mut shared).ok().map(|()| shared.bytes().to_vec())
        });
        shared.bytes_mut().copy_from_slice(&answer.ok_or(Backend::Crypto)?);
        Ok(())
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        let answer = recall(&[b"verify", key.bytes(), message, signature], || {
            RustCrypto.verify(key, message, signature).ok().map(|()| Vec::new())
        });
        answer.map(|_| ()).ok_or(Untrusted::Authentication)
    }
}

fn flat(key: &EphemeralKey) -> Vec<u8> {
    [key.private(), key.public()].concat()
}

fn unflat(key: &[u8]) -> EphemeralKey {
    let (private, public) = key.split_at(32);
    EphemeralKey::from_parts(Group::P256, SecretBytes::new(private.to_vec()), public.into())
}

/// Random bytes that were drawn already, to be drawn by the backend.
#[derive(Clone)]
struct Draw([u8; 32]);

impl Draw {
    fn from(rng: &mut dyn Rng) -> Result<Self, Backend> {
        let mut draw = [0; 32];
        rng.fill(&mut draw)?;
        Ok(Self(draw))
    }
}

impl Rng for Draw {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        out.copy_from_slice(self.0.get(..out.len()).ok_or(Backend::Random)?);
        Ok(())
    }
}

/// A key store with a memory. Its signatures are deterministic.
pub(crate) struct MemoKeys {
    keys: MemoryKeyStore,
    public: PublicKey,
}

impl MemoKeys {
    pub(crate) fn new(key: KeyId, scalar: &[u8; 32]) -> Self {
        let mut keys = MemoryKeyStore::new();
        keys.insert(key, scalar).unwrap();
        let public = keys.public_key(key).unwrap();
        Self { keys, public }
    }
}

impl KeyStore for MemoKeys {
    fn public_key(&self, _: KeyId) -> Result<PublicKey, Backend> {
        Ok(self.public)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        let answer = recall(&[b"sign", self.public.bytes(), message], || {
            self.keys.sign(key, message).ok().map(|signature| signature.to_vec())
        });
        Ok(answer.ok_or(Backend::Key)?.try_into().unwrap())
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        let answer = recall(&[b"agree static", self.public.bytes(), peer.bytes()], || {
            let mut shared = Secret::zeroed();
            self.keys.agree(key, peer, &mut shared).ok().map(|()| shared.bytes().to_vec())
        });
        shared.bytes_mut().copy_from_slice(&answer.ok_or(Backend::Key)?);
        Ok(())
    }
}
