//! MILENAGE-256, the example algorithm set of TS 35.234 to 35.236 for K of 128 or 256 bits, with Rijndael-256 as its
//! kernel.
//!
//! ```text
//! OPc  = OP ⊕ E_K(E_K(OP) ⊕ V)         V = K has 256 bits || ALGONAME || 0…              TS 35.235 §8.1
//! TEMP = E_K(RAND ⊕ OPc) ⊕ OPc
//! OUTi = E_K(TEMP ⊕ INi) ⊕ OPc         f = the first bytes of OUTi
//!
//! INi  = i, lengths of RAND and K | 1 byte of lengths | 14 bytes        | ci             TS 35.235 §8.2
//! f1* i = 0, f1 i = 1               SQN, MAC            AMF || SQN || 0…
//! f2, f3, f4 i = 2, 3, 4            RES, CK, IK         0…
//! f5, f5* i = 5, 6                  AK                  0…
//! f5** i = 7                        MAC, AK             0…, then ⊕ MAC-S from here on
//! ```
//!
//! A length is part of the input: a shorter output is not the beginning of a longer one. f5** stands in for f5* where an
//! operator wants AK* to depend on MAC-S, so that two AUTS for one RAND do not show the difference of their numbers.
//!
//! Left out: RAND of more than 16 bytes and SQN of more than 6, because no 3GPP interface carries them, and other kernels.

use alloc::boxed::Box;
use core::{fmt, ops::RangeInclusive};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{AMF_RESYNC, AlgorithmSet, Amf, Keys, Output, Sqn, SubscriberKey, rijndael256::Rijndael256, xor};
use crate::{
    crypto::{
        Secret,
        sweep::{BLOCKS, swept},
    },
    error::Misuse,
};

/// ALGONAME of 3GPP (TS 35.235 §8.1).
pub const ALGONAME: &str = "MILENAGE2.0";

/// What encodes the length of RAND, 16 bytes, in the first byte of IN (TS 35.235 §8.1).
const RAND_BITS: u8 = ((16 - 2) / 2) << 1;

/// What encodes the length of SQN, 6 bytes, in the second byte of IN1 (TS 35.235 §8.2.2).
const SQN_BITS: u8 = (6 - 5) << 5;

/// MILENAGE-256 as AKA uses it: MAC-A and MAC-S of 8 bytes, AK of 6. Wiped on drop.
#[derive(Clone)]
pub struct Milenage256(Functions);

impl Milenage256 {
    /// Makes `functions` an algorithm set.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if MAC or AK are longer than the 8 and 6 bytes that AUTN and AUTS have room for.
    pub fn new(functions: Functions) -> Result<Self, Misuse> {
        match functions.0.parameters {
            Parameters { mac_len: 8, ak_len: 6, .. } => Ok(Self(functions)),
            _ => Err(Misuse::Parameter("AUTN and AUTS have room for a MAC of 8 bytes and an AK of 6")),
        }
    }
}

impl AlgorithmSet for Milenage256 {
    fn f1_to_f5(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf, keys: &mut Keys) -> [u8; 8] {
        let round = self.0.at(rand);
        round.f2_to_f5(keys);
        first(&round.f1(sqn, management_field))
    }

    fn f5_to_f1(&self, rand: &[u8; 16], concealed: &[u8; 6], management_field: Amf, keys: &mut Keys) -> (Sqn, [u8; 8]) {
        let round = self.0.at(rand);
        round.f2_to_f5(keys);
        let sqn = Sqn::from_bytes(xor(concealed, &keys.ak));
        (sqn, first(&round.f1(sqn, management_field)))
    }

    fn f1_star_and_f5_star(&self, rand: &[u8; 16], sqn_ms: Sqn) -> ([u8; 6], [u8; 8]) {
        let round = self.0.at(rand);
        let mac_s = first(&round.f1_star(sqn_ms, AMF_RESYNC));
        (xor(&sqn_ms.to_bytes(), &first(&round.ak_star(&mac_s))), mac_s)
    }

    fn f5_star_and_f1_star(&self, rand: &[u8; 16], concealed: &[u8; 6], mac_s: &[u8; 8]) -> (Sqn, [u8; 8]) {
        let round = self.0.at(rand);
        let sqn_ms = Sqn::from_bytes(xor(concealed, &first(&round.ak_star(mac_s))));
        (sqn_ms, first(&round.f1_star(sqn_ms, AMF_RESYNC)))
    }
}

// Its one field wipes itself.
impl ZeroizeOnDrop for Milenage256 {}

impl fmt::Debug for Milenage256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Milenage256(..)")
    }
}

impl SubscriberKey<'_> {
    const fn is_long(self) -> bool {
        matches!(self, Self::Bits256(_))
    }

    /// The kernel's key: a short K is filled up with zeros (TS 35.235 §11.9).
    fn expand(self, to: &mut [u8; 32]) {
        let k: &[u8] = match self {
            Self::Bits128(k) => k.bytes(),
            Self::Bits256(k) => k.bytes(),
        };
        for (to, from) in to.iter_mut().zip(k) {
            *to = *from;
        }
    }
}

/// What the operator chooses once for a subscription: lengths in bytes, constants, and f5* or f5**. The default is MAC and
/// RES of 8, CK and IK of 16, AK of 6, the constants of TS 35.235 §8.2.1, and f5*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    mac_len: u8,
    res_len: u8,
    ck_len: u8,
    ik_len: u8,
    ak_len: u8,
    constants: [[u8; 16]; 8],
    mac_s_in_ak_star: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        let constants = [0, 1, 2, 4, 8, 16, 32, 64].map(u128::to_be_bytes);
        Self { mac_len: 8, res_len: 8, ck_len: 16, ik_len: 16, ak_len: 6, constants, mac_s_in_ak_star: false }
    }
}

impl Parameters {
    /// With MAC-A and MAC-S of 8 to 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub fn with_mac_len(self, len: usize) -> Result<Self, Misuse> {
        Ok(Self { mac_len: within(len, 8..=32, "MAC of MILENAGE-256 has 8 to 32 bytes")?, ..self })
    }

    /// With RES of 4 to 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub fn with_res_len(self, len: usize) -> Result<Self, Misuse> {
        Ok(Self { res_len: within(len, 4..=32, "RES of MILENAGE-256 has 4 to 32 bytes")?, ..self })
    }

    /// With CK of 16 to 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub fn with_ck_len(self, len: usize) -> Result<Self, Misuse> {
        Ok(Self { ck_len: within(len, 16..=32, "CK of MILENAGE-256 has 16 to 32 bytes")?, ..self })
    }

    /// With IK of 16 to 32 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub fn with_ik_len(self, len: usize) -> Result<Self, Misuse> {
        Ok(Self { ik_len: within(len, 16..=32, "IK of MILENAGE-256 has 16 to 32 bytes")?, ..self })
    }

    /// With AK and AK* of 6 to 12 bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub fn with_ak_len(self, len: usize) -> Result<Self, Misuse> {
        Ok(Self { ak_len: within(len, 6..=12, "AK of MILENAGE-256 has 6 to 12 bytes")?, ..self })
    }

    /// With the operator's own c0 to c7. Any will do, also equal ones (TS 35.235 §9.3).
    #[must_use]
    pub const fn with_constants(self, constants: [[u8; 16]; 8]) -> Self {
        Self { constants, ..self }
    }

    /// With f5** in the place of f5* (TS 35.235 §8.2.7). Network and USIM choose alike.
    #[must_use]
    pub const fn with_f5_star_star(self) -> Self {
        Self { mac_s_in_ak_star: true, ..self }
    }
}

fn within(len: usize, range: RangeInclusive<u8>, otherwise: &'static str) -> Result<u8, Misuse> {
    u8::try_from(len).ok().filter(|len| range.contains(len)).ok_or(Misuse::Parameter(otherwise))
}

/// Computes OPc from K and the operator's OP (TS 35.235 §8.1), usually with [`ALGONAME`]. Do it where OP is at home:
/// whoever has OP and one subscriber's K has a part of everybody's secret.
///
/// # Errors
/// [`Misuse::Parameter`] if `algoname` is not ASCII or has more than 31 characters.
pub fn opc<'a>(k: impl Into<SubscriberKey<'a>>, op: &Secret<32>, algoname: &str) -> Result<Secret<32>, Misuse> {
    if !algoname.is_ascii() || algoname.len() > 31 {
        return Err(Misuse::Parameter("ALGONAME has at most 31 ASCII characters"));
    }
    let k = k.into();
    let mut opc = Secret::zeroed();
    opc.bytes_mut().copy_from_slice(op.bytes());
    swept::<BLOCKS, _>(|| {
        let mut key = Zeroizing::new([0; 32]);
        k.expand(&mut key);
        let kernel = Rijndael256::new(&key);
        kernel.encrypt(opc.bytes_mut());
        add(opc.bytes_mut(), [u8::from(k.is_long())].iter().chain(algoname.as_bytes()));
        kernel.encrypt(opc.bytes_mut());
        add(opc.bytes_mut(), op.bytes());
    });
    Ok(opc)
}

/// f1 to f5** of MILENAGE-256 under one K and OPc, with every length of output that TS 35.235 has. Wiped on drop.
#[derive(Clone)]
pub struct Functions(Box<Inner>);

/// On the heap as one, so that a move leaves no copy on the stack.
#[derive(Clone)]
struct Inner {
    /// Zeros after a K of 128 bits.
    k: [u8; 32],
    opc: [u8; 32],
    long_k: bool,
    parameters: Parameters,
}

impl Functions {
    /// MILENAGE-256 under this K and OPc (see [`opc()`]).
    pub fn new<'a>(k: impl Into<SubscriberKey<'a>>, opc: &Secret<32>, parameters: Parameters) -> Self {
        let k = k.into();
        let mut own = Self(Box::new(Inner { k: [0; 32], opc: [0; 32], long_k: k.is_long(), parameters }));
        k.expand(&mut own.0.k);
        own.0.opc.copy_from_slice(opc.bytes());
        own
    }

    /// f1, the network authentication code MAC-A.
    pub fn f1(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> Output {
        output(&self.at(rand).f1(sqn, management_field), self.0.parameters.mac_len)
    }

    /// f1*, the resynchronisation authentication code MAC-S.
    pub fn f1_star(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> Output {
        output(&self.at(rand).f1_star(sqn, management_field), self.0.parameters.mac_len)
    }

    /// f2 to f5: RES, CK, IK and AK, of an AK of more than 6 bytes the first 6; [`Functions::f5`] has all.
    pub fn f2_to_f5(&self, rand: &[u8; 16], keys: &mut Keys) {
        self.at(rand).f2_to_f5(keys);
    }

    /// f5, the anonymity key AK.
    pub fn f5(&self, rand: &[u8; 16]) -> Output {
        output(&self.at(rand).f5(), self.0.parameters.ak_len)
    }

    /// f5*, the anonymity key AK* that conceals SQN_MS in AUTS.
    pub fn f5_star(&self, rand: &[u8; 16]) -> Output {
        output(&self.at(rand).f5_star(), self.0.parameters.ak_len)
    }

    /// f5**, AK* out of the MAC-S in the same AUTS.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `mac_s` has not the length that the parameters give MAC.
    pub fn f5_star_star(&self, rand: &[u8; 16], mac_s: &[u8]) -> Result<Output, Misuse> {
        if mac_s.len() != usize::from(self.0.parameters.mac_len) {
            return Err(Misuse::Parameter("MAC-S has another length than the parameters say"));
        }
        Ok(output(&self.at(rand).f5_star_star(mac_s), self.0.parameters.ak_len))
    }

    /// Expands the key schedule and computes TEMP.
    fn at(&self, rand: &[u8; 16]) -> Round<'_> {
        let mut round = Round { own: &self.0, kernel: Rijndael256::new(&self.0.k), temp: self.0.opc };
        add(&mut round.temp, rand);
        round.kernel.encrypt(&mut round.temp);
        add(&mut round.temp, &self.0.opc);
        round
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.k.zeroize();
        self.opc.zeroize();
    }
}

// Its one field wipes itself.
impl ZeroizeOnDrop for Functions {}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Functions(..)")
    }
}

/// MILENAGE-256 at one RAND: the key schedule, and TEMP. The functions are not truncated here.
struct Round<'a> {
    own: &'a Inner,
    kernel: Rijndael256,
    temp: [u8; 32],
}

type Out = Zeroizing<[u8; 32]>;

impl Round<'_> {
    fn f1(&self, sqn: Sqn, management_field: Amf) -> Out {
        let [_, c1, ..] = &self.own.parameters.constants;
        self.mac(1, sqn, management_field, c1)
    }

    fn f1_star(&self, sqn: Sqn, management_field: Amf) -> Out {
        let [c0, ..] = &self.own.parameters.constants;
        self.mac(0, sqn, management_field, c0)
    }

    fn f2_to_f5(&self, keys: &mut Keys) {
        let Parameters { res_len, ck_len, ik_len, constants: [_, _, c2, c3, c4, ..], .. } = &self.own.parameters;
        for (to, index, len, c) in
            [(&mut keys.res, 2, res_len, c2), (&mut keys.ck, 3, ck_len, c3), (&mut keys.ik, 4, ik_len, c4)]
        {
            to.set(&self.out(index, len.wrapping_sub(1), &[], c), usize::from(*len));
        }
        keys.ak = first(&self.f5());
    }

    fn f5(&self) -> Out {
        let Parameters { ak_len, constants: [_, _, _, _, _, c5, ..], .. } = &self.own.parameters;
        self.out(5, ak_len.wrapping_sub(5), &[], c5)
    }

    fn f5_star(&self) -> Out {
        let Parameters { ak_len, constants: [.., c6, _], .. } = &self.own.parameters;
        self.out(6, ak_len.wrapping_sub(5), &[], c6)
    }

    /// A MAC-S of more than 30 bytes counts with its first 30: that is where IN7 ends.
    fn f5_star_star(&self, mac_s: &[u8]) -> Out {
        let Parameters { mac_len, ak_len, constants: [.., c7], .. } = &self.own.parameters;
        self.out(7, mac_len.wrapping_sub(1) << 3 | ak_len.wrapping_sub(5), mac_s, c7)
    }

    fn ak_star(&self, mac_s: &[u8; 8]) -> Out {
        if self.own.parameters.mac_s_in_ak_star { self.f5_star_star(mac_s) } else { self.f5_star() }
    }

    fn mac(&self, index: u8, sqn: Sqn, [f0, f1]: Amf, c: &[u8; 16]) -> Out {
        let [s0, s1, s2, s3, s4, s5] = sqn.to_bytes();
        let lengths = SQN_BITS | self.own.parameters.mac_len.wrapping_sub(1);
        self.out(index, lengths, &[f0, f1, s0, s1, s2, s3, s4, s5], c)
    }

    /// OUTi, with `input` ⊕ into INi from its third byte on.
    fn out(&self, index: u8, lengths: u8, input: &[u8], c: &[u8; 16]) -> Out {
        let mut out = Zeroizing::new(self.temp);
        add(out.iter_mut(), &[index << 5 | RAND_BITS | u8::from(self.own.long_k), lengths]);
        add(out.iter_mut().skip(2), input);
        add(out.iter_mut().skip(16), c);
        self.kernel.encrypt(&mut out);
        add(out.iter_mut(), &self.own.opc);
        out
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.temp.zeroize();
    }
}

/// `to` ⊕ `from`, as far as both go.
fn add<'a>(to: impl IntoIterator<Item = &'a mut u8>, from: impl IntoIterator<Item = &'a u8>) {
    for (to, from) in to.into_iter().zip(from) {
        *to ^= from;
    }
}

fn output(out: &[u8; 32], len: u8) -> Output {
    let mut output = Output::default();
    output.set(out, usize::from(len));
    output
}

fn first<const N: usize>(out: &[u8; 32]) -> [u8; N] {
    const { assert!(N <= 32, "an output has 32 bytes") };
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(out) {
        *to = *from;
    }
    bytes
}
