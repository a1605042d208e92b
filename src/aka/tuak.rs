//! Tuak, the second example algorithm set of 3GPP (TS 35.231), with the permutation Keccak-f\[1600\] as its kernel. Its
//! design has nothing in common with that of Milenage: an operator that has both can leave one if it breaks.
//!
//! ```text
//! bit    0      256        264        320    448   464   512 768            1088
//! IN  =  TOPc | INSTANCE | ALGONAME | RAND | AMF | SQN | K | 11111 0..0 1 | 0..0               TS 35.231 clause 6
//! OUT =  Keccak-f[1600], iterated as often as the operator says, of IN
//!
//! TOPc      INSTANCE 0000000k, TOP for TOPc, zero for RAND, AMF, SQN   TOPc = OUT[0..256]
//! f1        INSTANCE 00mmm00k                                          MAC-A = OUT[0..]
//! f1*       INSTANCE 10mmm00k                                          MAC-S = OUT[0..]
//! f2 to f5  INSTANCE 01rrrcik, zero for AMF, SQN                       RES = OUT[0..]    CK = OUT[256..]
//!                                                                      IK  = OUT[512..]  AK = OUT[768..816]
//! f5*       INSTANCE 1100000k, zero for AMF, SQN                       AK* = OUT[768..816]
//! ```
//!
//! mmm and rrr are 001, 010 and 100 for MAC and RES of 64, 128 and 256 bits, and rrr is 000 for RES of 32; c, i and k are
//! 1 if CK, IK and K have 256 bits, and K of 128 bits is followed by zeros. So an output of one length tells nothing of
//! the same output of another. A vector is two permutations, and so is a check of the USIM.
//!
//! Each field goes in, and comes out, with its last byte first. Keccak's lanes of 64 bits are little-endian: a lane is
//! eight bytes of a field read as a big-endian number, and the last eight come first.
//!
//! [`Functions`] are f1 to f5* with every length of the standard. AUTN and AUTS have room for a MAC of 8 bytes only, and
//! a longer one cannot be cut: [`Tuak`], which the procedures take, is made of [`Functions`] that give 8.
//!
//! Keccak runs in a time that does not depend on its input. Not here: the choice of TOP (TS 35.231 leaves it to the
//! operator), and sending RES, CK or IK of 32 bytes where a protocol has room for 16 (TS 33.102 §6.3.7).

use alloc::boxed::Box;
use core::fmt;

use keccak::Keccak;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{AMF_RESYNC, AlgorithmSet, Amf, Keys, Output, Sqn, SubscriberKey, xor};
use crate::{
    crypto::{
        Secret,
        sweep::{BLOCK, BLOCKS, swept},
    },
    error::Misuse,
};

/// MAC-A, MAC-S and RES are at the beginning of OUT.
const FIRST_LANE: usize = 0;
/// CK is at bit 256.
const CK_LANE: usize = 4;
/// IK is at bit 512.
const IK_LANE: usize = 8;
/// AK and AK* are at bit 768.
const AK_LANE: usize = 12;

/// ALGONAME (TS 35.231 clause 6).
const ALGONAME: [u8; 7] = *b"TUAK1.0";

/// INSTANCE for TOPc, all but the bit for K; below, all but the lengths.
const TOPC: u8 = 0;
const F1: u8 = 0;
const F1_STAR: u8 = 0b1000_0000;
const F2_TO_F5: u8 = 0b0100_0000;
const F5_STAR: u8 = 0b1100_0000;
const LONG_CK: u8 = 0b100;
const LONG_IK: u8 = 0b010;
const LONG_K: u8 = 0b001;

/// Five ones from bit 768 on, and one at bit 1087: the padding.
const PAD_FIRST: u64 = 0b11111;
const PAD_LAST: u64 = 1 << 63;

/// Tuak as AKA uses it: MAC-A and MAC-S of 8 bytes. Wiped on drop.
#[derive(Clone)]
pub struct Tuak(Functions);

impl Tuak {
    /// Makes `functions` an algorithm set.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if their MAC is longer than the 8 bytes of AUTN and AUTS.
    pub fn new(functions: Functions) -> Result<Self, Misuse> {
        if functions.0.parameters.mac_len != 8 {
            return Err(Misuse::Parameter("AUTN and AUTS have room for a MAC of 8 bytes"));
        }
        Ok(Self(functions))
    }
}

impl AlgorithmSet for Tuak {
    #[inline]
    fn f1_to_f5(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf, keys: &mut Keys) -> [u8; 8] {
        self.0.f2_to_f5(rand, keys);
        self.0.mac(F1, rand, sqn, management_field).bytes(FIRST_LANE)
    }

    fn f5_to_f1(&self, rand: &[u8; 16], concealed: &[u8; 6], management_field: Amf, keys: &mut Keys) -> (Sqn, [u8; 8]) {
        self.0.f2_to_f5(rand, keys);
        let sqn = Sqn::from_bytes(xor(concealed, &keys.ak));
        (sqn, self.0.mac(F1, rand, sqn, management_field).bytes(FIRST_LANE))
    }

    fn f1_star_and_f5_star(&self, rand: &[u8; 16], sqn_ms: Sqn) -> ([u8; 6], [u8; 8]) {
        let mac_s = self.0.mac(F1_STAR, rand, sqn_ms, AMF_RESYNC).bytes(FIRST_LANE);
        (xor(&sqn_ms.to_bytes(), &self.0.f5_star(rand)), mac_s)
    }

    fn f5_star_and_f1_star(&self, rand: &[u8; 16], concealed: &[u8; 6], _: &[u8; 8]) -> (Sqn, [u8; 8]) {
        let sqn_ms = Sqn::from_bytes(xor(concealed, &self.0.f5_star(rand)));
        (sqn_ms, self.0.mac(F1_STAR, rand, sqn_ms, AMF_RESYNC).bytes(FIRST_LANE))
    }
}

// Its one field wipes itself.
impl ZeroizeOnDrop for Tuak {}

impl fmt::Debug for Tuak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tuak(..)")
    }
}

/// What the operator chooses once for a subscription: the lengths of the outputs, in bytes, and how often the permutation
/// is iterated. The default is MAC and RES of 8, CK and IK of 16, and one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    mac_len: usize,
    res_len: usize,
    ck_len: usize,
    ik_len: usize,
    iterations: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { mac_len: 8, res_len: 8, ck_len: 16, ik_len: 16, iterations: 1 }
    }
}

impl Parameters {
    /// With MAC-A and MAC-S of 8, 16 or 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub const fn with_mac_len(self, mac_len: usize) -> Result<Self, Misuse> {
        match mac_len {
            8 | 16 | 32 => Ok(Self { mac_len, ..self }),
            _ => Err(Misuse::Parameter("MAC of Tuak has 8, 16 or 32 bytes")),
        }
    }

    /// With RES of 4, 8, 16 or 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub const fn with_res_len(self, res_len: usize) -> Result<Self, Misuse> {
        match res_len {
            4 | 8 | 16 | 32 => Ok(Self { res_len, ..self }),
            _ => Err(Misuse::Parameter("RES of Tuak has 4, 8, 16 or 32 bytes")),
        }
    }

    /// With CK of 16 or 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub const fn with_ck_len(self, ck_len: usize) -> Result<Self, Misuse> {
        match ck_len {
            16 | 32 => Ok(Self { ck_len, ..self }),
            _ => Err(Misuse::Parameter("CK of Tuak has 16 or 32 bytes")),
        }
    }

    /// With IK of 16 or 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub const fn with_ik_len(self, ik_len: usize) -> Result<Self, Misuse> {
        match ik_len {
            16 | 32 => Ok(Self { ik_len, ..self }),
            _ => Err(Misuse::Parameter("IK of Tuak has 16 or 32 bytes")),
        }
    }

    /// With the permutation applied this many times for each output. Every function takes as many times longer.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for 0: RES would be TOPc, and IK would be K.
    pub const fn with_iterations(self, iterations: u32) -> Result<Self, Misuse> {
        match iterations {
            0 => Err(Misuse::Parameter("Tuak has at least one iteration of Keccak")),
            _ => Ok(Self { iterations, ..self }),
        }
    }
}

/// Computes TOPc from K and the operator's TOP. Of `parameters` only the iterations count here: they are those of the
/// functions. Do it where TOP is at home: whoever has TOP and one subscriber's K has a part of everybody's secret.
pub fn topc<'a>(k: impl Into<SubscriberKey<'a>>, top: &Secret<32>, parameters: Parameters) -> Secret<32> {
    let mut topc = Secret::zeroed();
    let functions = Functions::new(k, top, parameters);
    swept::<BLOCKS, _>(|| functions.out(TOPC, &[0; 16], 0).write(FIRST_LANE, topc.bytes_mut().iter_mut()));
    topc
}

/// f1 to f5* of Tuak under one K and TOPc, with every length that TS 35.231 has. Wiped on drop.
#[derive(Clone)]
pub struct Functions(Box<Inner>);

/// On the heap as one, so that a move leaves no copy on the stack.
#[derive(Clone)]
struct Inner {
    /// As lanes, zeros after a K of 128 bits.
    k: [u64; 4],
    /// As lanes.
    topc: [u64; 4],
    long_k: bool,
    parameters: Parameters,
}

impl Functions {
    /// Tuak under this K and TOPc (see [`topc()`]).
    pub fn new<'a>(k: impl Into<SubscriberKey<'a>>, topc: &Secret<32>, parameters: Parameters) -> Self {
        let k = k.into();
        let long_k = matches!(k, SubscriberKey::Bits256(_));
        let mut own = Self(Box::new(Inner { k: [0; 4], topc: [0; 4], long_k, parameters }));
        swept::<BLOCK, _>(|| {
            match k {
                SubscriberKey::Bits128(k) => read(&mut own.0.k, k.bytes()),
                SubscriberKey::Bits256(k) => read(&mut own.0.k, k.bytes()),
            }
            read(&mut own.0.topc, topc.bytes());
        });
        own
    }

    /// f1, the network authentication code MAC-A.
    pub fn f1(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> Output {
        let mut mac_a = Output::default();
        self.mac(F1, rand, sqn, management_field).fill(&mut mac_a, FIRST_LANE, self.0.parameters.mac_len);
        mac_a
    }

    /// f1*, the resynchronisation authentication code MAC-S.
    pub fn f1_star(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> Output {
        let mut mac_s = Output::default();
        self.mac(F1_STAR, rand, sqn, management_field).fill(&mut mac_s, FIRST_LANE, self.0.parameters.mac_len);
        mac_s
    }

    /// f2 to f5: RES, CK, IK and AK.
    #[inline]
    pub fn f2_to_f5(&self, rand: &[u8; 16], keys: &mut Keys) {
        let Parameters { res_len, ck_len, ik_len, .. } = self.0.parameters;
        let instance = F2_TO_F5 | length_bits(res_len) | flag(ck_len == 32, LONG_CK) | flag(ik_len == 32, LONG_IK);
        let out = self.out(instance, rand, 0);
        out.fill(&mut keys.res, FIRST_LANE, res_len);
        out.fill(&mut keys.ck, CK_LANE, ck_len);
        out.fill(&mut keys.ik, IK_LANE, ik_len);
        keys.ak = out.bytes(AK_LANE);
    }

    /// f5*, the anonymity key AK* that conceals SQN_MS in AUTS.
    pub fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        self.out(F5_STAR, rand, 0).bytes(AK_LANE)
    }

    /// OUT of f1 or f1*.
    #[inline]
    fn mac(&self, function: u8, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> State {
        let [s0, s1, s2, s3, s4, s5] = sqn.to_bytes();
        let [f0, f1] = management_field;
        let sqn_and_amf = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, f0, f1]);
        self.out(function | length_bits(self.0.parameters.mac_len), rand, sqn_and_amf)
    }

    /// OUT of an INSTANCE, all but the bit for K.
    #[inline]
    fn out(&self, instance: u8, rand: &[u8; 16], sqn_and_amf: u64) -> State {
        let Inner { k: [k0, k1, k2, k3], topc: [t0, t1, t2, t3], long_k, parameters } = &*self.0;
        let [a, b, c, d, e, f, g] = ALGONAME;
        let name = u64::from_be_bytes([a, b, c, d, e, f, g, instance | flag(*long_k, LONG_K)]);
        let mut rand_lanes = [0; 2];
        read(&mut rand_lanes, rand);
        let [r0, r1] = rand_lanes;

        #[rustfmt::skip]
        let mut state = State([
            *t0, *t1, *t2, *t3,
            name, r0, r1, sqn_and_amf,
            *k0, *k1, *k2, *k3,
            PAD_FIRST, 0, 0, 0,
            PAD_LAST, 0, 0, 0,
            0, 0, 0, 0, 0,
        ]);
        state.permute(parameters.iterations);
        state
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.k.zeroize();
        self.topc.zeroize();
    }
}

// Its one field wipes itself.
impl ZeroizeOnDrop for Functions {}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Functions(..)")
    }
}

/// IN, and then OUT: 25 lanes of 64 bits. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
struct State([u64; 25]);

impl State {
    /// Keccak-f\[1600\], this many times.
    #[inline]
    fn permute(&mut self, iterations: u32) {
        Keccak::new().with_f1600(|f1600| (0..iterations).for_each(|_| f1600(&mut self.0)));
    }

    /// Writes the field that starts in this lane.
    #[inline]
    fn write<'a>(&self, first_lane: usize, to: impl DoubleEndedIterator<Item = &'a mut u8>) {
        let bytes = self.0.iter().skip(first_lane).flat_map(|lane| lane.to_le_bytes());
        for (to, from) in to.rev().zip(bytes) {
            *to = from;
        }
    }

    #[inline]
    fn bytes<const N: usize>(&self, first_lane: usize) -> [u8; N] {
        let mut bytes = [0; N];
        self.write(first_lane, bytes.iter_mut());
        bytes
    }

    #[inline]
    fn fill(&self, output: &mut Output, first_lane: usize, len: usize) {
        let mut bytes = Zeroizing::new([0; Output::MAX_LEN]);
        self.write(first_lane, bytes.iter_mut().take(len));
        output.set(&bytes, len);
    }
}

/// Reads a field into its lanes.
fn read(lanes: &mut [u64], field: &[u8]) {
    let (chunks, _) = field.as_chunks();
    for (lane, chunk) in lanes.iter_mut().zip(chunks.iter().rev()) {
        *lane = u64::from_be_bytes(*chunk);
    }
}

/// The bits of INSTANCE for MAC or RES of this many bytes.
const fn length_bits(len: usize) -> u8 {
    match len {
        8 => 0b001_000,
        16 => 0b010_000,
        32 => 0b100_000,
        _ => 0, // RES of 4 bytes
    }
}

const fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        reason = "a test that goes wrong should stop"
    )]

    use alloc::{string::String, vec::Vec};

    use super::State;

    /// From outside it is reached only through the functions, which show a part of OUT.
    #[test]
    fn the_kernel_is_the_published_permutation() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/aka_keccak.json")).expect("a JSON file");
        let cases = file["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 6);
        for case in cases {
            let field = |name: &str| case[name].as_str().expect("hex");
            let digits: Vec<_> =
                field("input").as_bytes().chunks(16).map(|lane| str::from_utf8(lane).unwrap()).collect();
            let lanes = digits.iter().map(|lane| u64::from_str_radix(lane, 16).expect("hex").swap_bytes());
            let mut state = State(lanes.collect::<Vec<_>>().try_into().expect("25 lanes"));
            state.permute(1);
            let output: String = state.0.iter().map(|lane| alloc::format!("{:016x}", lane.swap_bytes())).collect();
            assert_eq!(output, field("output"), "{}", field("name"));
        }
    }
}
