//! Sequence numbers: what makes a challenge fresh (TS 33.102 Annex C).
//!
//! ```text
//! SQN, 48 bits = SEQ, 43 bits || IND, 5 bits      IND may be shorter              C.1.1.1
//!
//! network   not time-based       SEQ_HE + 1                                       C.1.1.2, profile of C.3.2
//!           partly time-based    SEQ_HE + step, to where the clock is             C.1.1.3, profile of C.3.1
//! USIM      up to 32 slots, one per IND, each the highest SQN accepted with it    C.2.2
//!           fresh: above its own slot, not more than Δ above the highest,         C.2.1
//!           and, where there is a limit L, less than L below it                   C.2.2
//! ```
//!
//! [`Profile`] says how both sides read and make the numbers. Challenges under one IND are taken in ascending order,
//! with gaps and never twice; under different INDs in any order, so two serving networks that hold vectors of one
//! subscription do not push each other out.
//!
//! **Wrap-around.** SEQ never starts again: the network stops at the end of the number space, the USIM takes nothing
//! that is not above what it has. Nobody gets it there early, since a challenge moves it by Δ at most: with the numbers
//! of C.3 it takes SEQ_max / Δ = 2^15 genuine challenges, each as far ahead as the USIM allows.
//!
//! A number accepted stays accepted: [`SqnArray`] has no call that lowers or clears a slot. A store that hands back an
//! older copy than it was given lets old challenges through.
//!
//! Not here: numbers that are a clock and nothing else (C.3.3); their USIM is that of the other profiles.

use core::{fmt, hint::black_box};

use arrayvec::ArrayVec;

use crate::error::{Malformed, Misuse};

/// Most bits of IND (TS 33.102 §C.3), as many as there are slots for.
const MAX_IND_BITS: u32 = 5;

/// Slots of the USIM's array, one per IND.
const SLOTS: usize = 1 << MAX_IND_BITS;

/// The index of a sequence number: the slot it is compared with (TS 33.102 §C.1.1.1). One per serving node or domain,
/// say, so that each has an order of its own. The default is 0, which every [`Profile`] has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ind(u8);

impl Ind {
    /// The index with this number, if it is below 32.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 1 << MAX_IND_BITS { Some(Self(number)) } else { None }
    }

    /// The number, 0 to 31.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A sequence number SQN of 48 bits; [`Profile`] tells SEQ and IND in it. The default is 0, which no USIM accepts.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sqn(u64);

impl Sqn {
    /// Bytes of an SQN.
    pub const LEN: usize = 6;

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
}

impl fmt::Debug for Sqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqn({:012x})", self.0)
    }
}

/// How an operator uses the 48 bits, the same at its AuC and in its USIMs (TS 33.102 §C.3). The default is
/// [`Profile::NOT_TIME_BASED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    ind_bits: u32,
    delta: u64,
    age_limit: Option<u64>,
    clock: Option<Clock>,
}

/// What the partly time-based profile needs to know of its clock (TS 33.102 §C.1.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    /// p - 1, where SEQ2 counts modulo p = 2^n.
    mask: u64,
    /// p - D.
    longest_step: u64,
}

impl Profile {
    /// The profile of TS 33.102 §C.3.1: 5 bits of IND, Δ = 2^28, no age limit; n = 24 bits of SEQ are a clock of
    /// seconds, and D = 2^16.
    pub const PARTLY_TIME_BASED: Self = Self {
        clock: Some(Clock { mask: (1 << 24) - 1, longest_step: (1 << 24) - (1 << 16) }),
        ..Self::NOT_TIME_BASED
    };

    /// The profile of TS 33.102 §C.3.2: 5 bits of IND, Δ = 2^28, no age limit, no clock.
    pub const NOT_TIME_BASED: Self = Self { ind_bits: 5, delta: 1 << 28, age_limit: None, clock: None };

    /// With `bits` of IND, 0 to 5: as many INDs as two to their power, and 48 less `bits` of SEQ.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for more bits, or if Δ is no longer below two to the power of SEQ's.
    pub fn with_ind_bits(self, bits: u32) -> Result<Self, Misuse> {
        Self { ind_bits: bits, ..self }.checked()
    }

    /// With Δ, the furthest that one challenge may move SEQ ahead in the USIM (TS 33.102 §C.2.1). Large enough for
    /// every challenge that is lost on the way, small enough that SEQ_max / Δ genuine challenges do not come together
    /// in the life of a USIM: no fewer can use up the number space.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for 0, for more than the highest SEQ, and for less than a round of the clock, whose steps
    /// the USIM would refuse.
    pub fn with_delta(self, delta: u64) -> Result<Self, Misuse> {
        Self { delta, ..self }.checked()
    }

    /// With L: the USIM takes a challenge only if its SEQ is less than `limit` below the highest accepted, whatever its
    /// slot holds (TS 33.102 §C.2.2, optional).
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for 0, which would refuse everything.
    pub fn with_age_limit(self, limit: u64) -> Result<Self, Misuse> {
        Self { age_limit: Some(limit), ..self }.checked()
    }

    /// With a clock: SEQ2, the lower `bits` of SEQ, follows it, with `tolerance` D (TS 33.102 §C.1.1.3, its n and D).
    /// See [`Profile::next`].
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if D is not 1 to 2^n - 1, or if a round of the clock, 2^n, is more than Δ.
    pub fn with_clock(self, bits: u32, tolerance: u64) -> Result<Self, Misuse> {
        let refused = Misuse::Parameter("a clock of n bits has a tolerance of 1 to 2^n - 1");
        let period = 1_u64.checked_shl(bits).ok_or(refused)?;
        match (period.checked_sub(1), period.checked_sub(tolerance)) {
            (Some(mask), Some(longest_step)) if (1..=mask).contains(&tolerance) => {
                Self { clock: Some(Clock { mask, longest_step }), ..self }.checked()
            }
            _ => Err(refused),
        }
    }

    fn checked(self) -> Result<Self, Misuse> {
        if self.ind_bits > MAX_IND_BITS {
            return Err(Misuse::Parameter("IND has 0 to 5 bits"));
        }
        if !(1..=self.max_seq()).contains(&self.delta) {
            return Err(Misuse::Parameter("Δ is 1 to the highest SEQ"));
        }
        if self.age_limit == Some(0) {
            return Err(Misuse::Parameter("the age limit L is at least 1"));
        }
        if self.clock.is_some_and(|clock| clock.mask >= self.delta) {
            return Err(Misuse::Parameter("a round of the clock is not more than Δ"));
        }
        Ok(self)
    }

    /// SEQ_max.
    const fn max_seq(&self) -> u64 {
        Sqn::from_bytes([0xff; Sqn::LEN]).0.wrapping_shr(self.ind_bits)
    }

    /// SEQ ‖ IND (TS 33.102 §C.1.1.1). None if either has more bits than there are.
    pub fn sqn(&self, seq: u64, ind: Ind) -> Option<Sqn> {
        let fits = seq <= self.max_seq() && ind.0.wrapping_shr(self.ind_bits) == 0;
        fits.then(|| Sqn(seq.wrapping_shl(self.ind_bits) | u64::from(ind.0)))
    }

    /// SEQ, the upper bits: how new.
    pub const fn seq(&self, sqn: Sqn) -> u64 {
        sqn.0.wrapping_shr(self.ind_bits)
    }

    /// IND, the lower bits: in which order.
    pub const fn ind(&self, sqn: Sqn) -> Ind {
        let [.., last] = sqn.0.to_be_bytes();
        Ind(last & !u8::MAX.wrapping_shl(self.ind_bits))
    }

    /// The number after `sqn_he`, in the order of `ind` (TS 33.102 §C.1.1.2 and §C.1.1.3). After a resynchronisation,
    /// call it on SQN_MS (§6.3.5).
    ///
    /// `now` is what the clock shows, in whole units; a profile without one does not read it. With p = 2^n and
    /// GLC = `now` mod p, the clause has three cases:
    ///
    /// ```text
    /// (1) SEQ2 < GLC < SEQ2 + p - D + 1                      SEQ1     || GLC
    /// (2) GLC <= SEQ2 <= GLC + D - 1, or SEQ2 + p - D + 1 <= GLC      SEQ + 1
    /// (3) GLC + D - 1 < SEQ2                                 SEQ1 + 1 || GLC
    /// ```
    ///
    /// (1) and (3) go the way from SEQ2 forward to GLC, across the end of a round or not, if it has at most p - D
    /// units. A longer way means that SEQ2 is less than D units ahead of the clock, because there were that many
    /// challenges at once or the clock was set back: then (2) counts by one until the clock has caught up. So SEQ
    /// always grows, and by p - D at most, which is why a clock that is set back by D or more costs numbers, but no
    /// USIM refuses them.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `ind` has more bits than the profile; [`Misuse::NotNow`] at the end of the number
    /// space: this K needs a successor.
    pub fn next(&self, sqn_he: Sqn, ind: Ind, now: u64) -> Result<Sqn, Misuse> {
        let seq_he = self.seq(sqn_he);
        let step = self.clock.map_or(1, |clock| {
            let way = now.wrapping_sub(seq_he) & clock.mask;
            if way <= clock.longest_step { way.max(1) } else { 1 }
        });
        if ind.0.wrapping_shr(self.ind_bits) > 0 {
            return Err(Misuse::Parameter("IND has more bits than the profile gives it"));
        }
        let next = seq_he.checked_add(step).and_then(|seq| self.sqn(seq, ind));
        next.ok_or(Misuse::NotNow("all sequence numbers of this K are used"))
    }

    /// Whether a USIM whose highest number is `sqn_ms` takes `sqn` under any IND: it is above, and not too far.
    pub(super) fn follows(&self, sqn: Sqn, sqn_ms: Sqn) -> bool {
        self.seq(sqn).checked_sub(self.seq(sqn_ms)).is_some_and(|ahead| (1..=self.delta).contains(&ahead))
    }

    /// Bits of IND.
    pub(super) const fn ind_bits(&self) -> u32 {
        self.ind_bits
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::NOT_TIME_BASED
    }
}

/// The USIM's memory of accepted sequence numbers (TS 33.102 §C.2.2). New, it has accepted none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqnArray {
    profile: Profile,
    // The slot of IND i holds a number with IND i, or 0 while it is empty.
    slots: [Sqn; SLOTS],
    // The highest of them.
    highest: Sqn,
}

impl SqnArray {
    /// Most bytes that [`SqnArray::to_bytes`] gives.
    pub const MAX_LEN: usize = SLOTS * Sqn::LEN;

    /// An array that has accepted nothing, for a new K.
    pub const fn new(profile: Profile) -> Self {
        Self { profile, slots: [Sqn(0); SLOTS], highest: Sqn(0) }
    }

    /// How it reads the numbers.
    pub(super) const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// SQN_MS, the highest number accepted so far (TS 33.102 §C.2.2); 0 if none was.
    pub const fn highest(&self) -> Sqn {
        self.highest
    }

    /// Takes `sqn` in if it is fresh, and tells whether it was (TS 33.102 §C.2). If not, nothing changes.
    ///
    /// The caller has checked the MAC over it: otherwise anyone could move the array.
    #[must_use]
    pub fn accept(&mut self, sqn: Sqn) -> bool {
        // SQN is concealed on the air (TS 33.102 §6.3.3), so no slot is reached by an address or a branch made of it:
        // all are read, and all written. The compiler must not know that one mask is set and the others are not, or it
        // branches.
        let here = u64::from(self.profile.ind(sqn).0);
        let mut masks = [0; SLOTS];
        for (mask, number) in masks.iter_mut().zip(0..) {
            *mask = all_ones_if_equal(number, here);
        }
        let masks = black_box(masks);
        let last = self.slots.iter().zip(&masks).fold(0, |last, (slot, mask)| last | slot.0 & mask);

        let Profile { delta, age_limit, .. } = self.profile;
        let [seq, last, highest] = [sqn, Sqn(last), self.highest].map(|sqn| self.profile.seq(sqn));
        // Not `&&`: that it was refused is no secret, by which rule is one.
        let fresh = (seq > last)
            & (seq.saturating_sub(highest) <= delta)
            & age_limit.is_none_or(|limit| highest.saturating_sub(seq) < limit);
        if fresh {
            for (slot, mask) in self.slots.iter_mut().zip(masks) {
                slot.0 = slot.0 & !mask | sqn.0 & mask;
            }
            self.highest = self.highest.max(sqn);
        }
        fresh
    }

    /// For the store: the numbers in use, 6 bytes each, by ascending IND. A number carries its IND, so empty slots need
    /// no bytes: most USIMs meet few INDs and store a few numbers instead of 192 bytes. One array has one form.
    ///
    /// Nothing in it shows to which K the numbers belong: [`Card`](super::Card) stores them so that it does.
    pub fn to_bytes(&self) -> ArrayVec<u8, { Self::MAX_LEN }> {
        self.slots.iter().filter(|slot| self.profile.seq(**slot) > 0).flat_map(|slot| slot.to_bytes()).collect()
    }

    /// From the form of [`SqnArray::to_bytes`]. Not a way to change an array: only for what the store was given last.
    /// `profile` has as many bits of IND as it had then; with more, numbers accepted before would be fresh again.
    ///
    /// # Errors
    /// [`Malformed`] if [`SqnArray::to_bytes`] does not give exactly these bytes.
    pub fn from_bytes(profile: Profile, bytes: &[u8]) -> Result<Self, Malformed> {
        let (numbers, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(Malformed::WrongLength);
        }
        let mut numbers = numbers.iter().copied().map(Sqn::from_bytes).peekable();
        let mut array = Self::new(profile);
        for (slot, number) in array.slots.iter_mut().zip(0..) {
            if let Some(sqn) = numbers.next_if(|sqn| profile.ind(*sqn) == Ind(number) && profile.seq(*sqn) > 0) {
                *slot = sqn;
                array.highest = array.highest.max(sqn);
            }
        }
        match numbers.next() {
            None => Ok(array),
            Some(sqn) if profile.seq(sqn) == 0 => Err(Malformed::OutOfRange),
            Some(_) => Err(Malformed::KeyOrder),
        }
    }
}

/// All bits set if `a` is `b`, none if not, for numbers below 2^63, without a comparison.
const fn all_ones_if_equal(a: u64, b: u64) -> u64 {
    // Only 0 borrows into the uppermost bit.
    (a ^ b).wrapping_sub(1).wrapping_shr(63).wrapping_neg()
}
