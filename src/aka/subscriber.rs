//! K and its sequence numbers as one value: neither can be exchanged without the other (TS 33.102 §6.3, Annex C).
//!
//! ```text
//! Subscriber, at the AuC                                         Card, in the USIM
//! vector: SQN_HE + 1, then the vector ──── RAND, AUTN ─────────▶ authenticate: MAC-A, then the array
//! resynchronise ◀──────────────────────── AUTS ──────────────── SQN not fresh
//! SQN_HE = SQN_MS, only if the USIM would not accept the next
//! ```
//!
//! A new K is a new value, with its numbers at the beginning. Not here: storing, and numbers from a clock.

use alloc::boxed::Box;
use core::fmt;

use super::{AlgorithmSet, Amf, Answer, Challenge, Ind, Sqn, SqnArray, Vector, sqn::DELTA};
use crate::error::{Misuse, Untrusted};

/// The USIM's side: an algorithm set under its K, and what was accepted under it.
pub struct Card<S> {
    set: S,
    array: SqnArray,
}

impl<S: AlgorithmSet> Card<S> {
    /// For a new K: nothing accepted.
    pub const fn new(set: S) -> Self {
        Self { set, array: SqnArray::new() }
    }

    /// From the store. An array older than the last one stored, or one of another K, lets old challenges through.
    pub const fn restore(set: S, array: SqnArray) -> Self {
        Self { set, array }
    }

    /// Answers a challenge (TS 33.102 §6.3.3). Store [`Card::array`] with K before the answer leaves.
    pub fn authenticate(&mut self, challenge: &Challenge) -> Answer {
        super::authenticate(&self.set, &mut self.array, challenge)
    }

    /// The numbers accepted, to be stored with K.
    pub const fn array(&self) -> &SqnArray {
        &self.array
    }
}

impl<S> fmt::Debug for Card<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card(..)")
    }
}

/// The AuC's side: an algorithm set under one subscriber's K, and SQN_HE.
pub struct Subscriber<S> {
    set: S,
    sqn_he: Sqn,
}

impl<S: AlgorithmSet> Subscriber<S> {
    /// For a new K: no number used.
    pub fn new(set: S) -> Self {
        Self::restore(set, Sqn::default())
    }

    /// From the store. A number below the last one stored makes vectors that the USIM refuses until a resynchronisation; one
    /// of another K may do the same, or leap so far ahead that the USIM refuses it.
    pub const fn restore(set: S, sqn_he: Sqn) -> Self {
        Self { set, sqn_he }
    }

    /// Makes the vector of the next number (TS 33.102 §6.3.2, §C.1.1.2). Store [`Subscriber::sqn`] before it leaves.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] at the end of the number space: this K needs a successor.
    pub fn vector(&mut self, rand: &[u8; 16], ind: Ind, management_field: Amf) -> Result<Box<Vector>, Misuse> {
        let mut vector = Box::new(Vector::zeroed());
        self.vector_into(rand, ind, management_field, &mut vector)?;
        Ok(vector)
    }

    /// [`Subscriber::vector`] in place.
    ///
    /// # Errors
    /// As [`Subscriber::vector`]; then nothing changes.
    pub fn vector_into(&mut self, rand: &[u8; 16], ind: Ind, amf: Amf, vector: &mut Vector) -> Result<(), Misuse> {
        self.sqn_he = self.sqn_he.next(ind).ok_or(Misuse::NotNow("all sequence numbers of this K are used"))?;
        super::vector_into(&self.set, rand, self.sqn_he, amf, vector);
        Ok(())
    }

    /// Takes in AUTS: SQN_HE becomes SQN_MS if the USIM would not accept the number after SQN_HE (TS 33.102 §6.3.5).
    ///
    /// # Errors
    /// [`Untrusted::Authentication`] if MAC-S is wrong; then nothing changes.
    pub fn resynchronise(&mut self, rand: &[u8; 16], auts: &[u8; 14]) -> Result<(), Untrusted> {
        let sqn_ms = super::resynchronise(&self.set, rand, auts)?;
        let next = self.sqn_he.next(Ind::default()).map(Sqn::seq);
        let ahead = next.and_then(|seq| seq.checked_sub(sqn_ms.seq()));
        if !ahead.is_some_and(|ahead| (1..=DELTA).contains(&ahead)) {
            self.sqn_he = sqn_ms;
        }
        Ok(())
    }

    /// SQN_HE, the last number used, to be stored with K.
    pub const fn sqn(&self) -> Sqn {
        self.sqn_he
    }
}

impl<S> fmt::Debug for Subscriber<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscriber(..)")
    }
}
