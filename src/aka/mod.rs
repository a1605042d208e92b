//! AKA: network and USIM show each other that they hold the same K, and come out with the same CK and IK.
//!
//! ```text
//! network                                                       USIM
//! vector(RAND, SQN) ──── RAND, AUTN = SQN⊕AK || AMF || MAC-A ──▶ authenticate
//!                                                                 MAC-A wrong     nothing changed       MacFailure
//! RES = XRES?   ◀─────── RES ──────────────────────────────────   SQN fresh       SQN taken in          Success
//! resynchronise ◀─────── AUTS = SQN_MS⊕AK* || MAC-S ───────────   SQN not fresh   nothing changed       SyncFailure
//! next vector from SQN_MS
//! ```
//!
//! The procedures are those of TS 33.102 §6.3, written once over [`AlgorithmSet`]; [`milenage`], `tuak` (a feature)
//! and [`milenage256`] are such sets. [`sqn`] decides what is fresh, [`keys`] and [`eap`] go on from CK and IK. All are pure
//! functions: whoever calls [`authenticate`] makes the array durable before the answer leaves. [`subscriber`] keeps K and
//! its numbers together, in memory and in the store; [`suci`] conceals the SUPI until AKA has run.
//!
//! AUTS is not bound to a serving network, and [`resynchronise`] does not know which RANDs were sent: pass only a RAND
//! that went out and is unanswered (TS 33.102 §6.3.5). The separation bit of AMF (TS 33.102 Annex H) is the caller's.

pub mod eap;
pub mod keys;
pub mod milenage;
pub mod milenage256;
mod rijndael256;
pub mod sqn;
pub mod subscriber;
pub mod suci;
#[cfg(feature = "tuak")]
pub mod tuak;

use alloc::boxed::Box;
use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub use milenage::Milenage;
pub use milenage256::Milenage256;
pub use sqn::{Ind, Sqn, SqnArray};
pub use subscriber::{Card, Subscriber};
#[cfg(feature = "tuak")]
pub use tuak::Tuak;

use crate::{
    crypto::{Secret, equal},
    error::{Misuse, Untrusted},
};

/// The authentication management field AMF (TS 33.102 §6.3.2, Annex H), most significant byte first. Not the 5G function
/// of the same abbreviation.
pub type Amf = [u8; 2];

/// AMF in AUTS: it is not sent, so both sides take zero (TS 33.102 §6.3.3).
const AMF_RESYNC: Amf = [0, 0];

/// What the network sends (TS 33.102 §6.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// RAND, unpredictable and never used twice.
    pub rand: [u8; 16],
    /// AUTN = SQN ⊕ AK ‖ AMF ‖ MAC-A.
    pub autn: [u8; 16],
}

impl Challenge {
    /// SQN ⊕ AK, AMF and MAC-A.
    pub const fn parts(&self) -> ([u8; 6], Amf, [u8; 8]) {
        let [a, b, c, d, e, f, g, h, mac_a @ ..] = self.autn;
        ([a, b, c, d, e, f], [g, h], mac_a)
    }
}

/// An authentication algorithm set under one K: f1 to f5* of TS 33.102 §6.3, as the four steps of AKA use them.
///
/// A set computes and compares nothing: the procedures of this module do, so an AuC and a USIM are written once. It runs
/// in a time that does not depend on K, SQN or any of its outputs. MAC-A and MAC-S have 8 bytes, AK and AK* 6: that is
/// what AUTN and AUTS have room for (TS 33.102 §6.3.2 and §6.3.3).
///
/// The operator may choose a set of its own (TS 33.102 §6.3): implement this trait for it.
pub trait AlgorithmSet {
    /// Network, SQN known: f1 to f5. Gives MAC-A.
    fn f1_to_f5(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf, keys: &mut Keys) -> [u8; 8];

    /// USIM, SQN concealed: f5, then SQN = `concealed` ⊕ AK, then f1 to f4. Gives SQN and XMAC-A.
    fn f5_to_f1(&self, rand: &[u8; 16], concealed: &[u8; 6], management_field: Amf, keys: &mut Keys) -> (Sqn, [u8; 8]);

    /// USIM: f1* and f5* of SQN_MS, f1* over an AMF of zeros (TS 33.102 §6.3.3). Gives SQN_MS ⊕ AK* and MAC-S.
    fn f1_star_and_f5_star(&self, rand: &[u8; 16], sqn_ms: Sqn) -> ([u8; 6], [u8; 8]);

    /// Network: f5*, then SQN_MS = `concealed` ⊕ AK*, then f1*. Gives SQN_MS and XMAC-S. `mac_s` is what came in AUTS: a
    /// set whose AK* depends on it (f5**, TS 35.235 §8.2.7) reads it, none compares it.
    fn f5_star_and_f1_star(&self, rand: &[u8; 16], concealed: &[u8; 6], mac_s: &[u8; 8]) -> (Sqn, [u8; 8]);
}

/// The subscriber key K, of either length.
#[derive(Clone, Copy, Debug)]
pub enum SubscriberKey<'a> {
    /// 16 bytes.
    Bits128(&'a Secret<16>),
    /// 32 bytes.
    Bits256(&'a Secret<32>),
}

impl<'a> From<&'a Secret<16>> for SubscriberKey<'a> {
    fn from(k: &'a Secret<16>) -> Self {
        Self::Bits128(k)
    }
}

impl<'a> From<&'a Secret<32>> for SubscriberKey<'a> {
    fn from(k: &'a Secret<32>) -> Self {
        Self::Bits256(k)
    }
}

/// Up to 32 bytes that one of f1 to f4 gave: MAC of 8 to 32 bytes, RES of 4 to 32, CK and IK of 16 to 32. Wiped on drop;
/// `Debug` shows none.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct Output {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl Output {
    /// Most bytes that one holds.
    pub const MAX_LEN: usize = 32;

    /// A copy of `bytes`; wipe the original.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if there are more than 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Misuse> {
        let mut output = Self::default();
        let Some(to) = output.bytes.get_mut(..bytes.len()) else {
            return Err(Misuse::Parameter("MAC, RES, CK and IK have at most 32 bytes"));
        };
        to.copy_from_slice(bytes);
        output.len = bytes.len();
        Ok(output)
    }

    /// For algorithm sets: makes it the first `len` bytes of `bytes`, or all if there are fewer.
    pub fn set<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        const { assert!(N <= Self::MAX_LEN, "an output has at most 32 bytes") };
        for (to, from) in self.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.len = len.min(N);
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// In constant time.
impl PartialEq for Output {
    fn eq(&self, other: &Self) -> bool {
        equal(self.bytes(), other.bytes())
    }
}

impl Eq for Output {}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output(..)")
    }
}

/// What f2 to f5 give for one RAND, filled in place. Wiped on drop; a move by value leaves a copy behind, so box it.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    /// f2: RES to be sent, or XRES to be waited for; it stays with the network until the answer is there.
    pub res: Output,
    /// f3: the confidentiality key CK.
    pub ck: Output,
    /// f4: the integrity key IK.
    pub ik: Output,
    /// f5: the anonymity key AK that conceals SQN.
    pub ak: [u8; 6],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// An authentication vector: the challenge and what its answer will be (TS 33.102 §6.3.2).
#[derive(Clone, Debug)]
pub struct Vector {
    /// For the USIM.
    pub challenge: Challenge,
    /// XRES, CK, IK and AK.
    pub keys: Keys,
}

impl Vector {
    /// All zero, to be filled by [`vector_into`].
    pub fn zeroed() -> Self {
        Self { challenge: Challenge { rand: [0; 16], autn: [0; 16] }, keys: Keys::default() }
    }
}

/// What the USIM says to a challenge (TS 33.102 §6.3.3).
#[derive(Debug)]
pub enum Answer {
    /// The network is genuine and the challenge fresh: RES, to be sent, CK and IK. The array has taken in its SQN.
    Success(Box<Keys>),
    /// The network is genuine, but the challenge is not fresh.
    SyncFailure {
        /// AUTS = SQN_MS ⊕ AK* ‖ MAC-S, to be sent.
        auts: [u8; 14],
    },
    /// The challenge is not from this subscription's network.
    MacFailure,
}

/// Network side: makes the vector of `rand` and `sqn` (TS 33.102 §6.3.2).
///
/// `sqn` is above every one used before with this K: see [`sqn::Profile::next`], and store it before the vector leaves.
/// A number used under two RANDs costs the later challenge a resynchronisation; a RAND used under two numbers shows
/// their difference.
pub fn vector(set: &(impl AlgorithmSet + ?Sized), rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> Box<Vector> {
    let mut vector = Box::new(Vector::zeroed());
    vector_into(set, rand, sqn, management_field, &mut vector);
    vector
}

/// [`vector()`] in place, without allocating: for an AuC that makes many.
#[inline]
pub fn vector_into(
    set: &(impl AlgorithmSet + ?Sized),
    rand: &[u8; 16],
    sqn: Sqn,
    management_field: Amf,
    vector: &mut Vector,
) {
    let mac_a = set.f1_to_f5(rand, sqn, management_field, &mut vector.keys);
    let [s0, s1, s2, s3, s4, s5] = sqn.to_bytes();
    let [f0, f1] = management_field;
    let [a0, a1, a2, a3, a4, a5] = vector.keys.ak;
    // AMF is not concealed. All as one number, which costs less than byte by byte.
    let ak = u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, 0, 0]);
    let concealed = u64::from_ne_bytes([s0, s1, s2, s3, s4, s5, f0, f1]) ^ ak;
    let [s0, s1, s2, s3, s4, s5, f0, f1] = concealed.to_ne_bytes();
    let [m0, m1, m2, m3, m4, m5, m6, m7] = mac_a;
    let autn = [s0, s1, s2, s3, s4, s5, f0, f1, m0, m1, m2, m3, m4, m5, m6, m7];
    vector.challenge = Challenge { rand: *rand, autn };
}

/// A vector to be made: of whom, and from what. See [`vector()`].
#[derive(Debug)]
pub struct Order<'a, S: ?Sized> {
    /// The subscriber's algorithm set.
    pub set: &'a S,
    /// RAND.
    pub rand: [u8; 16],
    /// SQN.
    pub sqn: Sqn,
    /// AMF.
    pub management_field: Amf,
}

/// [`vector_into`] for many subscribers: one vector after the other, so that their independent parts overlap in the
/// processor. Gives how many were made: the smaller of the two numbers.
pub fn vectors<'a, S: AlgorithmSet + ?Sized + 'a>(
    orders: impl IntoIterator<Item = Order<'a, S>>,
    vectors: &mut [Vector],
) -> usize {
    let mut made = 0_usize;
    for (order, vector) in orders.into_iter().zip(vectors) {
        vector_into(order.set, &order.rand, order.sqn, order.management_field, vector);
        made = made.saturating_add(1);
    }
    made
}

/// USIM side: checks a challenge and answers it (TS 33.102 §6.3.3).
///
/// MAC-A first, then SQN: `array` changes only on [`Answer::Success`], and only a holder of K learns from the answer
/// where it stands. Make it durable before the answer leaves; what was not stored will be accepted again.
pub fn authenticate(set: &(impl AlgorithmSet + ?Sized), array: &mut SqnArray, challenge: &Challenge) -> Answer {
    let (concealed, management_field, mac_a) = challenge.parts();
    let mut keys = Box::<Keys>::default();
    let (sqn, xmac_a) = set.f5_to_f1(&challenge.rand, &concealed, management_field, &mut keys);

    if !equal(&mac_a, &xmac_a) {
        return Answer::MacFailure;
    }
    if array.accept(sqn) {
        return Answer::Success(keys);
    }

    let ([s0, s1, s2, s3, s4, s5], mac_s) = set.f1_star_and_f5_star(&challenge.rand, array.highest());
    let [m0, m1, m2, m3, m4, m5, m6, m7] = mac_s;
    Answer::SyncFailure { auts: [s0, s1, s2, s3, s4, s5, m0, m1, m2, m3, m4, m5, m6, m7] }
}

/// Network side: takes SQN_MS from the AUTS that answered `rand` (TS 33.102 §6.3.5).
///
/// Go on from [`sqn::Profile::next`] of it if the network's own next number would not be accepted, that is, if it is not
/// above SQN_MS or too far ahead. [`Subscriber::resynchronise`] does.
///
/// # Errors
/// [`Untrusted::Authentication`] if MAC-S is wrong. Then the network's number stays as it is.
pub fn resynchronise(set: &(impl AlgorithmSet + ?Sized), rand: &[u8; 16], auts: &[u8; 14]) -> Result<Sqn, Untrusted> {
    let [s0, s1, s2, s3, s4, s5, mac_s @ ..] = *auts;
    let (sqn_ms, xmac_s) = set.f5_star_and_f1_star(rand, &[s0, s1, s2, s3, s4, s5], &mac_s);
    if equal(&mac_s, &xmac_s) { Ok(sqn_ms) } else { Err(Untrusted::Authentication) }
}

/// Conceals or reveals a sequence number.
fn xor(sqn: &[u8; 6], ak: &[u8; 6]) -> [u8; 6] {
    let mut out = *sqn;
    for (byte, ak) in out.iter_mut().zip(ak) {
        *byte ^= ak;
    }
    out
}
