//! Sequence numbers: what makes a challenge fresh (TS 33.102 Annex C).
//!
//! ```text
//! SQN, 48 bits = SEQ, 43 bits || IND, 5 bits                                      C.1.1.1, profiles of C.3
//!
//! network   next(IND): SEQ + 1 || IND                                             C.1.1.2, not time-based
//! USIM      32 slots, one per IND, each the highest SQN accepted with that IND    C.2.2
//!           fresh: above its own slot, and not more than 2^28 above the highest   C.2.1
//! ```
//!
//! Challenges under one IND are taken in ascending order, with gaps and never twice; under different INDs in any order,
//! so two serving networks that hold vectors of one subscription do not push each other out.
//!
//! A number accepted stays accepted: [`SqnArray`] has no call that lowers or clears a slot. A store that hands back an
//! older copy than it was given lets old challenges through.
//!
//! Not here: numbers taken from a clock (C.1.1.3).

use core::{array, fmt};

use arrayvec::ArrayVec;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::error::Malformed;

/// Bits of IND (TS 33.102 §C.3.1 and §C.3.2).
const IND_BITS: u32 = 5;

/// Slots of the USIM's array, one per IND.
const SLOTS: usize = 1 << IND_BITS;

/// The highest SEQ: 43 bits.
const MAX_SEQ: u64 = (1 << (48 - IND_BITS)) - 1;

/// Δ, the furthest that one challenge may move SEQ ahead (TS 33.102 §C.2.1, value of §C.3): no single challenge, not
/// even a genuine one, can use up the number space.
pub(super) const DELTA: u64 = 1 << 28;

/// The 5-bit index of a sequence number: the slot it is compared with (TS 33.102 §C.1.1.1). One per serving node or
/// domain, say, so that each has an order of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ind(u8);

impl Ind {
    /// The index with this number, if it is below 32.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 1 << IND_BITS { Some(Self(number)) } else { None }
    }

    /// The number, 0 to 31.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A sequence number SQN of 48 bits: SEQ ‖ IND (TS 33.102 §C.1.1.1). The default is 0, which no USIM accepts.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sqn(u64);

impl Sqn {
    /// Bytes of an SQN.
    pub const LEN: usize = 6;

    /// From SEQ and IND; none if SEQ has more than 43 bits.
    pub fn new(seq: u64, ind: Ind) -> Option<Self> {
        (seq <= MAX_SEQ).then(|| Self(seq << IND_BITS | u64::from(ind.0)))
    }

    /// From its 6 bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [a, b, c, d, e, f] = bytes;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Its 6 bytes, most significant first.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// SEQ, the upper 43 bits: how new.
    pub const fn seq(self) -> u64 {
        self.0 >> IND_BITS
    }

    /// IND, the lower 5 bits: in which order.
    pub const fn ind(self) -> Ind {
        let [.., last] = self.0.to_be_bytes();
        Ind(last & ((1 << IND_BITS) - 1))
    }

    /// The number after this one, in the order of `ind`: SEQ + 1 ‖ `ind` (TS 33.102 §C.1.1.2). None at the end of the
    /// number space. After a resynchronisation, call it on SQN_MS (§6.3.5).
    pub fn next(self, ind: Ind) -> Option<Self> {
        self.seq().checked_add(1).and_then(|seq| Self::new(seq, ind))
    }
}

impl fmt::Debug for Sqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqn({:012x})", self.0)
    }
}

/// The USIM's memory of accepted sequence numbers (TS 33.102 §C.2.2). New, it has accepted none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqnArray {
    // The slot of IND i holds a number with IND i, or 0 while it is empty.
    slots: [Sqn; SLOTS],
    age_limit: u64,
}

impl SqnArray {
    /// Most bytes that [`SqnArray::to_bytes`] gives.
    pub const MAX_LEN: usize = SLOTS * Sqn::LEN;

    /// An array that has accepted nothing, for a new K.
    pub const fn new() -> Self {
        Self { slots: [Sqn(0); SLOTS], age_limit: u64::MAX }
    }

    /// Sets L: a challenge whose SEQ is `limit` or more below the highest accepted is refused, though its slot would
    /// take it (TS 33.102 §C.2.2, optional). The operator's policy, not state: it is not in [`SqnArray::to_bytes`].
    #[must_use]
    pub const fn with_age_limit(mut self, limit: u64) -> Self {
        self.age_limit = limit;
        self
    }

    /// SQN_MS, the highest number accepted so far (TS 33.102 §C.2.2); 0 if none was.
    pub fn highest(&self) -> Sqn {
        self.slots.into_iter().fold(Sqn(0), Ord::max)
    }

    /// Takes `sqn` in if it is fresh, and tells whether it was (TS 33.102 §C.2). If not, nothing changes.
    ///
    /// The caller has checked the MAC over it: otherwise anyone could move the array.
    #[must_use]
    pub fn accept(&mut self, sqn: Sqn) -> bool {
        // SQN is concealed on the air (TS 33.102 §6.3.3), so no slot is reached by an address made of it.
        let here: [Choice; SLOTS] = array::from_fn(|number| number.ct_eq(&usize::from(sqn.ind().0)));
        let (mut last, highest) = (Sqn(0), self.highest());
        for (slot, &here) in self.slots.iter().zip(&here) {
            last.0.conditional_assign(&slot.0, here);
        }

        let fresh = sqn.seq() > last.seq()
            && sqn.seq().saturating_sub(highest.seq()) <= DELTA
            && highest.seq().saturating_sub(sqn.seq()) < self.age_limit;

        for (slot, &here) in self.slots.iter_mut().zip(&here) {
            slot.0.conditional_assign(&sqn.0, here & Choice::from(u8::from(fresh)));
        }
        fresh
    }

    /// For the store: the numbers in use, 6 bytes each, by ascending IND. A number carries its IND, so empty slots need
    /// no bytes: most USIMs meet few INDs and store a few numbers instead of 192 bytes. One array has one form.
    pub fn to_bytes(&self) -> ArrayVec<u8, { Self::MAX_LEN }> {
        self.slots.iter().filter(|slot| slot.seq() > 0).flat_map(|slot| slot.to_bytes()).collect()
    }

    /// From the form of [`SqnArray::to_bytes`], without an age limit. Not a way to change an array: only for what the
    /// store was given last.
    ///
    /// # Errors
    /// [`Malformed`] if [`SqnArray::to_bytes`] does not give exactly these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (numbers, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(Malformed::WrongLength);
        }
        let mut numbers = numbers.iter().copied().map(Sqn::from_bytes).peekable();
        let mut array = Self::new();
        for (slot, number) in array.slots.iter_mut().zip(0..) {
            if let Some(sqn) = numbers.next_if(|sqn| sqn.ind() == Ind(number) && sqn.seq() > 0) {
                *slot = sqn;
            }
        }
        match numbers.next() {
            None => Ok(array),
            Some(sqn) if sqn.seq() == 0 => Err(Malformed::OutOfRange),
            Some(_) => Err(Malformed::KeyOrder),
        }
    }
}

impl Default for SqnArray {
    fn default() -> Self {
        Self::new()
    }
}
