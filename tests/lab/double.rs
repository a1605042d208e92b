//! One [`Crypto`] for every test that counts, records, forges or breaks what goes through it: [`Double`] hands each operation
//! on, and tells a [`Watch`] of it. What a test does not care about, its watch leaves out.
#![allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "each test uses its part; a fieldless enum numbers a table"
)]

use std::{collections::BTreeSet, sync::Mutex};

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Misbehaved, Result, Untrusted},
};

/// The operations of [`Crypto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Sha256,
    Extract,
    Expand,
    Seal,
    Open,
    Point,
    ReadKey,
    Generate,
    Encapsulate,
    Decapsulate,
    Agree,
    Verify,
}

impl Op {
    pub(crate) const COUNT: usize = 12;

    /// Whether it can answer that the backend failed.
    pub(crate) const fn can_fail(self) -> bool {
        use Op::*;
        matches!(self, Expand | Seal | Generate | Encapsulate | Decapsulate | Agree)
    }

    /// Whether it works with points, and so takes more than a thousand hashes' time.
    pub(crate) const fn is_costly(self) -> bool {
        use Op::*;
        matches!(self, Point | ReadKey | Generate | Encapsulate | Decapsulate | Agree | Verify)
    }
}

/// What a secret that passes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A private key of the ephemeral exchange.
    Scalar,
    /// The product of an exchange, or another key that HKDF starts from.
    Shared,
    /// A pseudorandom key of HKDF.
    Prk,
    /// What HKDF-Expand gave: keys, and also salts, MACs and IVs.
    Okm,
    /// A key of an AEAD.
    Key,
}

/// Who watches.
pub(crate) trait Watch: Sync {
    /// Comes before each operation. An error is the operation's answer, where it can give that one ([`Op::can_fail`]).
    fn before(&self, _: Op) -> Result<(), Backend> {
        Ok(())
    }

    /// Comes before a plaintext is sealed, and may put another in its place.
    fn sealing(&self, _aad: &[u8], _text: &mut Vec<u8>) {}

    /// What was sealed.
    fn sealed(&self, _: Sealed) {}

    /// Where copies of secrets are made.
    fn aside(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// Whether it wants to hear of [`Watch::sealed`] and [`Watch::secret`]. They cost copies.
    fn records(&self) -> bool {
        false
    }

    /// A secret has passed.
    fn secret(&self, _: Kind, _: &[u8]) {}

    /// Answers in place of the backend.
    fn verdict(&self, _: &PublicKey, _message: &[u8], _: &Signature) -> Option<Result<(), Untrusted>> {
        None
    }
}

impl<W: Watch + ?Sized> Watch for &W {
    fn before(&self, op: Op) -> Result<(), Backend> {
        (**self).before(op)
    }

    fn sealing(&self, aad: &[u8], text: &mut Vec<u8>) {
        (**self).sealing(aad, text);
    }

    fn sealed(&self, sealed: Sealed) {
        (**self).sealed(sealed);
    }

    fn aside(&self, work: &mut dyn FnMut()) {
        (**self).aside(work);
    }

    fn records(&self) -> bool {
        (**self).records()
    }

    fn secret(&self, kind: Kind, bytes: &[u8]) {
        (**self).secret(kind, bytes);
    }

    fn verdict(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Option<Result<(), Untrusted>> {
        (**self).verdict(key, message, signature)
    }
}

/// What was sealed.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) key: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// This backend, watched.
pub(crate) struct Double<W, C = RustCrypto> {
    pub(crate) watch: W,
    pub(crate) inner: C,
}

impl<W: Watch> Double<W> {
    pub(crate) const fn new(watch: W) -> Self {
        Self { watch, inner: RustCrypto }
    }
}

impl<W: Watch, C: Crypto> Double<W, C> {
    /// What a watch says to an operation that cannot fail does not count.
    fn tell(&self, op: Op) {
        let _ = self.watch.before(op);
    }

    fn secret(&self, kind: Kind, bytes: &[u8]) {
        if self.watch.records() {
            self.watch.secret(kind, bytes);
        }
    }
}

impl<W: Watch, C: Crypto> Crypto for Double<W, C> {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        self.tell(Op::Sha256);
        self.inner.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        self.tell(Op::Extract);
        self.inner.hkdf_extract(salt, ikm, prk);
        // A key or a product: of those that a key store made, this is all that a backend sees. A text is longer.
        if ikm.len() == HASH_LEN {
            self.secret(Kind::Shared, ikm);
        }
        self.secret(Kind::Prk, prk.bytes());
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        self.watch.before(Op::Expand)?;
        self.inner.hkdf_expand(prk, info, okm)?;
        self.secret(Kind::Prk, prk.bytes());
        self.secret(Kind::Okm, okm);
        Ok(())
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        self.watch.before(Op::Seal)?;
        self.watch.sealing(aad, text);
        if !self.watch.records() {
            return self.inner.seal(aead, key, nonce, aad, text);
        }
        self.watch.secret(Kind::Key, key);
        let mut sealed = None;
        self.watch.aside(&mut || {
            let (key, nonce) = (key.to_vec(), nonce.to_vec());
            sealed = Some(Sealed { key, nonce, text: text.clone(), ciphertext: Vec::new() });
        });
        let result = self.inner.seal(aead, key, nonce, aad, text);
        self.watch.aside(&mut || {
            if let Some(mut sealed) = sealed.take().filter(|_| result.is_ok()) {
                sealed.ciphertext = text.clone();
                self.watch.sealed(sealed);
            }
        });
        result
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        self.tell(Op::Open);
        self.secret(Kind::Key, key);
        self.inner.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.tell(Op::Point);
        self.inner.point(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.tell(Op::ReadKey);
        self.inner.read_key(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        self.watch.before(Op::Generate)?;
        let key = self.inner.generate(group, rng)?;
        self.secret(Kind::Scalar, key.private());
        Ok(key)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        self.watch.before(Op::Encapsulate)?;
        let key = self.inner.encapsulate(group, g_x, rng, shared)?;
        self.secret(Kind::Scalar, key.private());
        self.secret(Kind::Shared, shared.bytes());
        Ok(key)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        self.watch.before(Op::Decapsulate)?;
        self.inner.decapsulate(key, g_y, shared)?;
        self.secret(Kind::Shared, shared.bytes());
        Ok(())
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.watch.before(Op::Agree)?;
        self.inner.agree(key, peer, shared)?;
        self.secret(Kind::Shared, shared.bytes());
        Ok(())
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        self.tell(Op::Verify);
        let verdict = self.watch.verdict(key, message, signature);
        verdict.unwrap_or_else(|| self.inner.verify(key, message, signature))
    }
}

// ------------------------------------------------------------------------------------------------------ watches

/// Counts every operation, lets the n-th one fail, changes the n-th plaintext, and keeps all keys, nonces and secrets.
pub(crate) struct Recording {
    notes: Mutex<Notes>,
    /// What the notes are taken in: a test of memory looks away meanwhile, for they hold what must be nowhere.
    aside: fn(&mut dyn FnMut()),
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Notes {
    counts: [usize; Op::COUNT],
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) secrets: BTreeSet<(Kind, Vec<u8>)>,
    /// Operations that can fail and still succeed; `None` for all.
    good_for: Option<usize>,
    /// What happens to a plaintext before it is sealed, after how many more.
    change: Option<(usize, Change)>,
}

type Change = Box<dyn FnOnce(&mut [u8]) + Send>;

impl Notes {
    pub(crate) fn count(&self, op: Op) -> usize {
        self.counts[op as usize]
    }

    /// Operations with points.
    pub(crate) fn costly(&self) -> usize {
        ALL.into_iter().filter(|op| op.is_costly()).map(|op| self.count(op)).sum()
    }
}

pub(crate) const ALL: [Op; Op::COUNT] = {
    use Op::*;
    [Sha256, Extract, Expand, Seal, Open, Point, ReadKey, Generate, Encapsulate, Decapsulate, Agree, Verify]
};

impl Recording {
    /// A backend that records, as a [`Lab`](super::Lab) wants it.
    pub(crate) fn over<C: Crypto + 'static>(inner: C, aside: fn(&mut dyn FnMut())) -> &'static Double<Self, C> {
        Box::leak(Box::new(Double { watch: Self { notes: Mutex::default(), aside }, inner }))
    }

    pub(crate) fn new() -> &'static Double<Self> {
        Self::over(RustCrypto, |note| note())
    }

    /// All that was seen since it was asked last.
    pub(crate) fn take(&self) -> Notes {
        core::mem::take(&mut *self.notes.lock().unwrap())
    }

    /// From now on this many operations that can fail do not, and then one does.
    pub(crate) fn fail_after(&self, good: Option<usize>) {
        self.notes.lock().unwrap().good_for = good;
    }

    /// Lies under the right keys: the `n`-th plaintext from now on, from 0, is changed before it is sealed.
    pub(crate) fn lie(&self, n: usize, change: impl FnOnce(&mut [u8]) + Send + 'static) {
        self.note(|notes| notes.change = Some((n, Box::new(change))));
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        let mut note = Some(note);
        (self.aside)(&mut || {
            if let Some(note) = note.take() {
                note(&mut self.notes.lock().unwrap());
            }
        });
    }
}

impl Watch for Recording {
    fn before(&self, op: Op) -> Result<(), Backend> {
        let mut answer = Ok(());
        self.note(|notes| {
            notes.counts[op as usize] += 1;
            match &mut notes.good_for {
                Some(0) if op.can_fail() => {
                    notes.good_for = None;
                    answer = Err(Backend::Crypto);
                }
                Some(left) if op.can_fail() => *left -= 1,
                _ => {}
            }
        });
        answer
    }

    fn records(&self) -> bool {
        true
    }

    fn sealing(&self, _: &[u8], text: &mut Vec<u8>) {
        self.note(|notes| match notes.change.take() {
            Some((0, change)) => change(text),
            Some((left, change)) => notes.change = Some((left - 1, change)),
            None => {}
        });
    }

    fn sealed(&self, sealed: Sealed) {
        self.note(|notes| notes.sealed.push(sealed));
    }

    fn aside(&self, work: &mut dyn FnMut()) {
        (self.aside)(work);
    }

    fn secret(&self, kind: Kind, bytes: &[u8]) {
        self.note(|notes| {
            notes.secrets.insert((kind, bytes.to_vec()));
        });
    }
}
