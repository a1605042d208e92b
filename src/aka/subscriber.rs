//! K and its sequence numbers as one value: neither can be exchanged without the other (TS 33.102 §6.3, Annex C).
//!
//! ```text
//! Subscriber, at the AuC                                         Card, in the USIM
//! vector: SQN_HE to the next, then the vector ── RAND, AUTN ───▶ authenticate: MAC-A, then the array
//! resynchronise ◀──────────────────────── AUTS ──────────────── SQN not fresh
//! SQN_HE = SQN_MS, only if the USIM would not accept the next
//!
//! to_bytes = numbers || tag     tag = KDF(CK || IK, role, bits of IND, numbers), 16 bytes       TS 33.220 §B.2
//!                               CK, IK = f3, f4 of K and of a RAND that no network draws
//! ```
//!
//! A new K is a new value, with its numbers at the beginning.
//!
//! **In the store** the numbers are in clear and bound to K by the tag. K is not among them: it may be in an HSM, in
//! which case `S` is a handle, or beside them under a key of the store. Whoever edits the numbers without K, or puts
//! another K beside them, has something that [`Subscriber::from_bytes`] and [`Card::from_bytes`] refuse. An older form
//! of the same value is genuine, and only the store can tell that it is old. The tag gives away nothing of what a
//! network or a USIM computes: CK and IK only key it, RES and MAC-A are dropped.
//!
//! Not here: storing, and reading the clock.

use alloc::boxed::Box;
use core::fmt;

use arrayvec::ArrayVec;

use super::{AMF_RESYNC, AlgorithmSet, Amf, Answer, Challenge, Ind, Keys, Sqn, SqnArray, Vector, keys, sqn::Profile};
use crate::{
    crypto::{
        equal,
        sweep::{BLOCKS, swept},
    },
    error::{Backend, Misuse, Untrusted},
};

/// Bytes of the tag.
const TAG_LEN: usize = 16;

/// The RAND of the key that makes the tag. A network draws its own at random and does not meet this one.
const RAND: [u8; 16] = *b"SQN belongs to K";

/// FC of the tag. The RAND keeps it apart from all other uses of the KDF.
const FC: u8 = 0;

/// The USIM's side: an algorithm set under its K, and what was accepted under it. Not to be copied: two copies would
/// accept the same challenge.
pub struct Card<S> {
    set: S,
    array: SqnArray,
}

impl<S: AlgorithmSet> Card<S> {
    /// Most bytes that [`Card::to_bytes`] gives.
    pub const MAX_LEN: usize = SqnArray::MAX_LEN + TAG_LEN;

    /// For a new K: nothing accepted.
    pub const fn new(set: S, profile: Profile) -> Self {
        Self { set, array: SqnArray::new(profile) }
    }

    /// For a K that comes with its array from elsewhere, personalisation data or an older USIM: once, before its first
    /// [`Card::to_bytes`]. An array older than K's last one lets old challenges through.
    pub const fn adopt(set: S, array: SqnArray) -> Self {
        Self { set, array }
    }

    /// Answers a challenge (TS 33.102 §6.3.3). Store [`Card::to_bytes`] before the answer leaves.
    pub fn authenticate(&mut self, challenge: &Challenge) -> Answer {
        super::authenticate(&self.set, &mut self.array, challenge)
    }

    /// The numbers accepted.
    pub const fn array(&self) -> &SqnArray {
        &self.array
    }

    /// For the store: the form of [`SqnArray::to_bytes`], and the tag.
    pub fn to_bytes(&self) -> ArrayVec<u8, { SqnArray::MAX_LEN + TAG_LEN }> {
        let numbers = self.array.to_bytes();
        let tag = self.tag(&numbers);
        numbers.into_iter().chain(tag).collect()
    }

    /// From the store: what [`Card::to_bytes`] gave last. Δ and L of `profile` may be others than then.
    ///
    /// # Errors
    /// [`Backend::Store`] if this set under this K did not make these bytes, with as many bits of IND.
    pub fn from_bytes(set: S, profile: Profile, bytes: &[u8]) -> Result<Self, Backend> {
        let (numbers, found) = bytes.split_last_chunk::<TAG_LEN>().ok_or(Backend::Store)?;
        let array = SqnArray::from_bytes(profile, numbers).map_err(|_| Backend::Store)?;
        let card = Self { set, array };
        if equal(&card.tag(numbers), found) { Ok(card) } else { Err(Backend::Store) }
    }

    fn tag(&self, numbers: &[u8]) -> [u8; TAG_LEN] {
        tag(&self.set, b"USIM", self.array.profile(), numbers)
    }
}

impl<S> fmt::Debug for Card<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card(..)")
    }
}

/// The AuC's side: an algorithm set under one subscriber's K, and SQN_HE. Not to be copied: two copies would use the
/// same number.
pub struct Subscriber<S> {
    set: S,
    profile: Profile,
    sqn_he: Sqn,
}

impl<S: AlgorithmSet> Subscriber<S> {
    /// Bytes that [`Subscriber::to_bytes`] gives.
    pub const LEN: usize = Sqn::LEN + TAG_LEN;

    /// For a new K: no number used.
    pub fn new(set: S, profile: Profile) -> Self {
        Self::adopt(set, profile, Sqn::default())
    }

    /// For a K that comes with the last number used from elsewhere, a provisioning or another AuC: once, before its
    /// first [`Subscriber::to_bytes`]. A number below K's last one makes vectors that the USIM refuses until a
    /// resynchronisation; one of another K may do the same, or leap so far ahead that the USIM refuses it.
    pub const fn adopt(set: S, profile: Profile, sqn_he: Sqn) -> Self {
        Self { set, profile, sqn_he }
    }

    /// Makes the vector of the next number (TS 33.102 §6.3.2; [`Profile::next`]). Store [`Subscriber::to_bytes`] before
    /// it leaves. `now` is what the clock of the profile shows; 0 does where it has none.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if the profile does not have `ind`; [`Misuse::NotNow`] at the end of the number space:
    /// this K needs a successor.
    pub fn vector(
        &mut self,
        rand: &[u8; 16],
        ind: Ind,
        management_field: Amf,
        now: u64,
    ) -> Result<Box<Vector>, Misuse> {
        let mut vector = Box::new(Vector::zeroed());
        swept::<BLOCKS, _>(|| self.vector_into(rand, ind, management_field, now, &mut vector))?;
        Ok(vector)
    }

    /// [`Subscriber::vector`] in place.
    ///
    /// # Errors
    /// As [`Subscriber::vector`]; then nothing changes.
    pub fn vector_into(
        &mut self,
        rand: &[u8; 16],
        ind: Ind,
        management_field: Amf,
        now: u64,
        vector: &mut Vector,
    ) -> Result<(), Misuse> {
        self.sqn_he = self.profile.next(self.sqn_he, ind, now)?;
        super::vector_into(&self.set, rand, self.sqn_he, management_field, vector);
        Ok(())
    }

    /// Takes in AUTS: SQN_HE becomes SQN_MS if the USIM would not accept the number that comes next `now` (TS 33.102
    /// §6.3.5). Then it accepts the next one in either case. Store [`Subscriber::to_bytes`] before the vector leaves.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`] if MAC-S is wrong; then nothing changes.
    pub fn resynchronise(&mut self, rand: &[u8; 16], auts: &[u8; 14], now: u64) -> Result<(), Untrusted> {
        let sqn_ms = super::resynchronise(&self.set, rand, auts)?;
        let next = self.profile.next(self.sqn_he, Ind::default(), now);
        if !next.is_ok_and(|next| self.profile.follows(next, sqn_ms)) {
            self.sqn_he = sqn_ms;
        }
        Ok(())
    }

    /// SQN_HE, the last number used.
    pub const fn sqn(&self) -> Sqn {
        self.sqn_he
    }

    /// For the store: SQN_HE, and the tag.
    pub fn to_bytes(&self) -> [u8; Sqn::LEN + TAG_LEN] {
        let mut bytes = [0; Sqn::LEN + TAG_LEN];
        for (to, from) in bytes.iter_mut().zip(self.sqn_he.to_bytes().into_iter().chain(self.tag())) {
            *to = from;
        }
        bytes
    }

    /// From the store: what [`Subscriber::to_bytes`] gave last. Δ, L and the clock of `profile` may be others than
    /// then.
    ///
    /// # Errors
    /// [`Backend::Store`] if this set under this K did not make these bytes, with as many bits of IND.
    pub fn from_bytes(set: S, profile: Profile, bytes: &[u8]) -> Result<Self, Backend> {
        let (sqn_he, found) = bytes.split_last_chunk::<TAG_LEN>().ok_or(Backend::Store)?;
        let sqn_he = Sqn::from_bytes(sqn_he.try_into().map_err(|_| Backend::Store)?);
        let subscriber = Self { set, profile, sqn_he };
        if equal(&subscriber.tag(), found) { Ok(subscriber) } else { Err(Backend::Store) }
    }

    fn tag(&self) -> [u8; TAG_LEN] {
        tag(&self.set, b"AuC", &self.profile, &self.sqn_he.to_bytes())
    }
}

impl<S> fmt::Debug for Subscriber<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscriber(..)")
    }
}

/// What binds numbers to K, to who stores them, and to how they are read.
fn tag(set: &impl AlgorithmSet, role: &[u8], profile: &Profile, numbers: &[u8]) -> [u8; TAG_LEN] {
    let mut of_rand = Box::<Keys>::default();
    swept::<BLOCKS, _>(|| set.f1_to_f5(&RAND, Sqn::default(), AMF_RESYNC, &mut of_rand));
    let bits = profile.ind_bits().to_be_bytes();
    keys::last_half(&keys::kdf(&keys::ck_ik(&of_rand), FC, &[role, &bits, numbers]))
}
