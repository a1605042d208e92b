//! Signatures of issuers that need not be checked a second time.
//!
//! ```text
//! chain ─▶ path validation, all of it, every time ─▶ is this signature good? ─┬▶ of the end entity: checked
//!                                                                             └▶ of an issuer, or of a list: known? else
//!                                                                                checked, and known from then on
//! ```
//!
//! **What is remembered is no judgement.** That a signature over these bytes is good under this key is a fact, and stays one;
//! whether its issuer is to be believed does not. So dates, revocation lists and their floors, anchors, names, usages and
//! domains are looked at for every chain anew, and a certificate that has expired or was revoked since is refused whatever is
//! known of its signature. There is nothing to throw away when a list or an anchor changes.
//!
//! **Bounded.** A table of a fixed number of places, each for those signatures whose hash falls there; a new one takes the
//! place of the old one. Only what leads to an anchor gets so far as to be checked, so a stranger can neither fill nor empty
//! it, and no end entity gets in: a fleet would push the issuers out.

use alloc::{boxed::Box, vec::Vec};
use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::crypto::{Crypto, Hash, Signature};

/// 32-bit words of a hash.
const WORDS: usize = 8;

/// Signatures of issuers that were checked: see [`TrustAnchors::known_issuers`](crate::trust::TrustAnchors::known_issuers).
///
/// Threads may share it, and no lock is needed: two that write one place at once leave words of two hashes there. What
/// nobody has checked would have to have a SHA-256 hash of just those words to be taken for known.
pub struct KnownIssuers(Box<[[AtomicU32; WORDS]]>);

impl KnownIssuers {
    /// With places for so many, 32 bytes each: twice the number of issuers and lists will do. Without a place it knows
    /// nobody.
    pub fn new(places: usize) -> Self {
        Self((0..places).map(|_| Default::default()).collect::<Vec<_>>().into())
    }

    /// What names a signature: a hash of the key, the signature and what is signed. The first byte of a point tells how long
    /// it is (SEC 1 §2.3.3), and a signature has one length.
    pub(super) fn name(point: &[u8], message: &[u8], signature: &Signature, crypto: &dyn Crypto) -> Hash {
        crypto.sha256(&[point, signature, message])
    }

    pub(super) fn knows(&self, name: &Hash) -> bool {
        self.place(name).is_some_and(|place| {
            place.iter().zip(words(name)).all(|(known, word)| known.load(Ordering::Relaxed) == word)
        })
    }

    pub(super) fn learn(&self, name: &Hash) {
        for (known, word) in self.place(name).into_iter().flatten().zip(words(name)) {
            known.store(word, Ordering::Relaxed);
        }
    }

    /// The hash is as good as random.
    fn place(&self, name: &Hash) -> Option<&[AtomicU32; WORDS]> {
        let word = usize::try_from(words(name).next()?).ok()?;
        self.0.get(word.checked_rem(self.0.len())?)
    }
}

fn words(name: &Hash) -> impl Iterator<Item = u32> {
    let (words, _) = name.as_chunks();
    words.iter().map(|word| u32::from_be_bytes(*word))
}

impl fmt::Debug for KnownIssuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownIssuers({} places)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_one_signature() {
        let known = KnownIssuers::new(1);
        let (first, second) = ([1; 32], [2; 32]);
        assert!(!known.knows(&first));
        known.learn(&first);
        assert!(known.knows(&first) && !known.knows(&second));
        known.learn(&second);
        assert!(known.knows(&second) && !known.knows(&first), "bounded");
    }

    #[test]
    fn every_word_counts() {
        let known = KnownIssuers::new(1);
        known.learn(&[7; 32]);
        for at in 0..32 {
            let mut other = [7; 32];
            other.iter_mut().skip(at).take(1).for_each(|byte| *byte = 8);
            assert!(!known.knows(&other), "{at}");
        }
    }

    #[test]
    fn without_a_place_nobody_is_known() {
        let none = KnownIssuers::new(0);
        none.learn(&[1; 32]);
        assert!(!none.knows(&[1; 32]));
    }
}
