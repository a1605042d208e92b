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
//! The procedures are those of TS 33.102 §6.3; [`milenage`] computes the values, [`sqn`] decides what is fresh, [`keys`]
//! goes on from CK and IK. All are pure functions: whoever calls [`authenticate`] makes the array durable before the
//! answer leaves.
//!
//! AUTS is not bound to a serving network, and [`resynchronise`] does not know which RANDs were sent: pass only a RAND
//! that went out and is unanswered (TS 33.102 §6.3.5). The separation bit of AMF (TS 33.102 Annex H) is the caller's.

pub mod keys;
pub mod milenage;
pub mod sqn;

use core::fmt;

pub use milenage::Milenage;
pub use sqn::{Ind, Sqn, SqnArray};

use crate::{
    crypto::{Secret, equal},
    error::Untrusted,
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

/// An authentication vector: the challenge and what its answer will be (TS 33.102 §6.3.2).
pub struct Vector {
    /// For the USIM.
    pub challenge: Challenge,
    /// XRES, the answer to expect. Compare with [`equal`], and keep it from everyone before the answer is there.
    pub xres: [u8; 8],
    /// The confidentiality key.
    pub ck: Secret<16>,
    /// The integrity key.
    pub ik: Secret<16>,
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vector").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

/// What the USIM says to a challenge (TS 33.102 §6.3.3).
pub enum Answer {
    /// The network is genuine and the challenge fresh. The array has taken in its SQN.
    Success {
        /// RES, to be sent.
        res: [u8; 8],
        /// The confidentiality key.
        ck: Secret<16>,
        /// The integrity key.
        ik: Secret<16>,
    },
    /// The network is genuine, but the challenge is not fresh.
    SyncFailure {
        /// AUTS = SQN_MS ⊕ AK* ‖ MAC-S, to be sent.
        auts: [u8; 14],
    },
    /// The challenge is not from this subscription's network.
    MacFailure,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success { .. } => "Success { .. }",
            Self::SyncFailure { .. } => "SyncFailure { .. }",
            Self::MacFailure => "MacFailure",
        })
    }
}

/// Network side: makes the vector of `rand` and `sqn` (TS 33.102 §6.3.2).
///
/// `sqn` is above every one used before with this K: see [`Sqn::next`], and store it before the vector leaves. A number
/// used under two RANDs costs the later challenge a resynchronisation; a RAND used under two numbers shows their
/// difference.
pub fn vector(milenage: &Milenage, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> Vector {
    let (mac_a, keys) = milenage.round(rand).f1_to_f5(sqn, management_field);

    let [s0, s1, s2, s3, s4, s5] = xor(&sqn.to_bytes(), &keys.ak);
    let [f0, f1] = management_field;
    let [m0, m1, m2, m3, m4, m5, m6, m7] = mac_a;
    let autn = [s0, s1, s2, s3, s4, s5, f0, f1, m0, m1, m2, m3, m4, m5, m6, m7];

    Vector { challenge: Challenge { rand: *rand, autn }, xres: keys.res, ck: keys.ck, ik: keys.ik }
}

/// USIM side: checks a challenge and answers it (TS 33.102 §6.3.3).
///
/// MAC-A first, then SQN: `array` changes only on [`Answer::Success`], and only a holder of K learns from the answer
/// where it stands. Make it durable before the answer leaves; what was not stored will be accepted again.
pub fn authenticate(milenage: &Milenage, array: &mut SqnArray, challenge: &Challenge) -> Answer {
    let [s0, s1, s2, s3, s4, s5, f0, f1, mac_a @ ..] = challenge.autn;
    let round = milenage.round(&challenge.rand);
    let keys = round.f2_to_f5();
    let sqn = Sqn::from_bytes(xor(&[s0, s1, s2, s3, s4, s5], &keys.ak));

    if !equal(&mac_a, &round.f1(sqn, [f0, f1])) {
        return Answer::MacFailure;
    }
    if array.accept(sqn) {
        return Answer::Success { res: keys.res, ck: keys.ck, ik: keys.ik };
    }

    let sqn_ms = array.highest();
    let (mac_s, ak_star) = round.f1_star_and_f5_star(sqn_ms, AMF_RESYNC);
    let [s0, s1, s2, s3, s4, s5] = xor(&sqn_ms.to_bytes(), &ak_star);
    let [m0, m1, m2, m3, m4, m5, m6, m7] = mac_s;
    Answer::SyncFailure { auts: [s0, s1, s2, s3, s4, s5, m0, m1, m2, m3, m4, m5, m6, m7] }
}

/// Network side: takes SQN_MS from the AUTS that answered `rand` (TS 33.102 §6.3.5).
///
/// Go on from [`Sqn::next`] of it if the network's own number would not be accepted, that is, if it is not above SQN_MS
/// or too far ahead.
///
/// # Errors
/// [`Untrusted::Authentication`] if MAC-S is wrong. Then the network's number stays as it is.
pub fn resynchronise(milenage: &Milenage, rand: &[u8; 16], auts: &[u8; 14]) -> Result<Sqn, Untrusted> {
    let [s0, s1, s2, s3, s4, s5, mac_s @ ..] = *auts;
    let round = milenage.round(rand);
    let sqn_ms = Sqn::from_bytes(xor(&[s0, s1, s2, s3, s4, s5], &round.f5_star()));

    if equal(&mac_s, &round.f1_star(sqn_ms, AMF_RESYNC)) { Ok(sqn_ms) } else { Err(Untrusted::Authentication) }
}

/// Conceals or reveals a sequence number.
fn xor(sqn: &[u8; 6], ak: &[u8; 6]) -> [u8; 6] {
    let mut out = *sqn;
    for (byte, ak) in out.iter_mut().zip(ak) {
        *byte ^= ak;
    }
    out
}
