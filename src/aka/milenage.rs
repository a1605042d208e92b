//! Milenage, the example algorithm set of TS 35.206 that most operators run, with AES-128 as its kernel.
//!
//! ```text
//! TEMP = E_K(RAND ⊕ OPc)                                                                TS 35.206 §4.1
//! IN1  = SQN || AMF || SQN || AMF
//! OUT1 = E_K(TEMP ⊕ rot(IN1 ⊕ OPc, r1) ⊕ c1) ⊕ OPc    f1 = OUT1[0..64]  f1* = OUT1[64..128]
//! OUT2 = E_K(rot(TEMP ⊕ OPc, r2) ⊕ c2) ⊕ OPc          f5 = OUT2[0..48]  f2  = OUT2[64..128]
//! OUT3 = E_K(rot(TEMP ⊕ OPc, r3) ⊕ c3) ⊕ OPc          f3 = OUT3
//! OUT4 = E_K(rot(TEMP ⊕ OPc, r4) ⊕ c4) ⊕ OPc          f4 = OUT4
//! OUT5 = E_K(rot(TEMP ⊕ OPc, r5) ⊕ c5) ⊕ OPc          f5* = OUT5[0..48]
//! ```
//!
//! [`Milenage`] holds K and OPc, not a key schedule: a vector is one schedule, one block for TEMP, and then the outputs
//! wanted side by side. A schedule kept would be eleven times the secret to guard, and saves little.
//!
//! f2 gives 64 bits. A shorter RES (TS 33.102 §6.3.7 allows 4 to 16 bytes) is its beginning; there is no longer one,
//! because the rest of OUT2 is AK.
//!
//! The cipher is constant time (`aes`); around it there is only ⊕ and rotation by amounts that are not secret.

use alloc::boxed::Box;
use core::fmt;

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{AMF_RESYNC, AlgorithmSet, Amf, Keys, Sqn, xor};
use crate::{crypto::Secret, error::Misuse};

/// Computes OPc from K and the operator's OP: E_K(OP) ⊕ OP (TS 35.206 §4.1). Do it where OP is at home: whoever has OP
/// and one subscriber's K has a part of everybody's secret.
pub fn opc(k: &Secret<16>, op: &Secret<16>) -> Secret<16> {
    let mut opc = Secret::zeroed();
    Aes128Enc::new(k.bytes().into()).encrypt_block_b2b(op.bytes().into(), opc.bytes_mut().into());
    xor_into(opc.bytes_mut(), op.bytes());
    opc
}

/// c1 to c5 and r1 to r5: what keeps the inputs of the five outputs apart (TS 35.206 §4.1 and §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constants {
    c: [u128; 5],
    r: [u8; 5],
}

impl Constants {
    /// The values of TS 35.206 §4.1.
    pub const STANDARD: Self = Self { c: [0, 1, 2, 4, 8], r: [64, 0, 32, 64, 96] };

    /// The operator's own: c1 to c5, 16 bytes each, most significant first; r1 to r5, rotations in bits towards the most
    /// significant one.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if they break a condition of TS 35.206 §5.3: each r is below 128, c1 has an even number of
    /// bits set and c2 to c5 have an odd one, and no two of the pairs (c2, r2) to (c5, r5) are equal.
    pub fn new(c: [[u8; 16]; 5], r: [u8; 5]) -> Result<Self, Misuse> {
        let constants = Self { c: c.map(u128::from_be_bytes), r };
        let odd = |c: &u128| c.count_ones() % 2 == 1;
        let [c1, others @ ..] = &constants.c;
        if constants.r.iter().any(|r| *r >= 128) {
            return Err(Misuse::Parameter("r1 to r5 of Milenage are below 128"));
        }
        if odd(c1) || !others.iter().all(odd) {
            return Err(Misuse::Parameter("c1 of Milenage has an even number of bits set, c2 to c5 an odd one"));
        }
        let [_, pairs @ ..] = [0, 1, 2, 3, 4].map(|i: usize| (constants.c.get(i), constants.r.get(i)));
        if pairs.iter().enumerate().any(|(i, pair)| pairs.iter().skip(i.saturating_add(1)).any(|other| pair == other)) {
            return Err(Misuse::Parameter("two of the pairs (c2, r2) to (c5, r5) of Milenage are equal"));
        }
        Ok(constants)
    }
}

/// Milenage under one K and OPc. Wiped on drop.
#[derive(Clone)]
pub struct Milenage(Box<Inner>);

/// On the heap as one, so that a move leaves no copy on the stack.
#[derive(Clone)]
struct Inner {
    k: [u8; 16],
    opc: [u8; 16],
    // The same as a number: what is rotated is XORed as a number, what goes into and comes out of the cipher as bytes.
    opc_number: u128,
    // None: those of TS 35.206 §4.1.
    constants: Option<Constants>,
    res_len: usize,
}

impl Milenage {
    /// Milenage with the constants of TS 35.206 §4.1 and RES of 8 bytes.
    pub fn new(k: &Secret<16>, opc: &Secret<16>) -> Self {
        let mut own = Self(Box::new(Inner { k: [0; 16], opc: [0; 16], opc_number: 0, constants: None, res_len: 8 }));
        own.0.k.copy_from_slice(k.bytes());
        own.0.opc.copy_from_slice(opc.bytes());
        own.0.opc_number = u128::from_be_bytes(*opc.bytes());
        own
    }

    /// With the operator's own constants.
    #[must_use]
    pub fn with_constants(mut self, constants: Constants) -> Self {
        self.0.constants = Some(constants);
        self
    }

    /// With RES of `len` bytes, 4 to 8: the beginning of f2's.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length.
    pub fn with_res_len(mut self, len: usize) -> Result<Self, Misuse> {
        if !(4..=8).contains(&len) {
            return Err(Misuse::Parameter("RES of Milenage has 4 to 8 bytes"));
        }
        self.0.res_len = len;
        Ok(self)
    }

    /// f1, the network authentication code MAC-A.
    pub fn f1(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> [u8; 8] {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        let mut blocks = Blocks::zeroed();
        let [out1] = round.outputs([round.in1(self.0.constants(), sqn, management_field)], &mut blocks);
        first(out1)
    }

    /// f1*, the resynchronisation authentication code MAC-S.
    pub fn f1_star(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> [u8; 8] {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        let mut blocks = Blocks::zeroed();
        let [out1] = round.outputs([round.in1(self.0.constants(), sqn, management_field)], &mut blocks);
        second_half(out1)
    }

    /// f2 to f5: RES, CK, IK and AK.
    pub fn f2_to_f5(&self, rand: &[u8; 16], keys: &mut Keys) {
        let cipher = self.cipher();
        Round::new(&self.0, &cipher, rand).f2_to_f5(keys);
    }

    /// f5*, the anonymity key AK* that conceals SQN_MS in AUTS.
    pub fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        let mut blocks = Blocks::zeroed();
        let [out5] = round.outputs([round.in5()], &mut blocks);
        first(out5)
    }

    /// Expands the key schedule. Its caller keeps it where it is: a move would leave a copy behind.
    #[inline]
    fn cipher(&self) -> Aes128Enc {
        Aes128Enc::new((&self.0.k).into())
    }
}

impl AlgorithmSet for Milenage {
    #[inline]
    fn f1_to_f5(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf, keys: &mut Keys) -> [u8; 8] {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        let mut blocks = Blocks::zeroed();
        let [out1, out2, out3, out4] = round.outputs(round.in1_to_in4(sqn, management_field), &mut blocks);
        round.fill(keys, out2, out3, out4);
        first(out1)
    }

    fn f5_to_f1(&self, rand: &[u8; 16], concealed: &[u8; 6], management_field: Amf, keys: &mut Keys) -> (Sqn, [u8; 8]) {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        round.f2_to_f5(keys);
        let sqn = Sqn::from_bytes(xor(concealed, &keys.ak));
        let mut blocks = Blocks::zeroed();
        let [out1] = round.outputs([round.in1(self.0.constants(), sqn, management_field)], &mut blocks);
        (sqn, first(out1))
    }

    fn f1_star_and_f5_star(&self, rand: &[u8; 16], sqn_ms: Sqn) -> ([u8; 6], [u8; 8]) {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        let mut blocks = Blocks::zeroed();
        let [out1, out5] = round.outputs([round.in1(self.0.constants(), sqn_ms, AMF_RESYNC), round.in5()], &mut blocks);
        (xor(&sqn_ms.to_bytes(), &first(out5)), second_half(out1))
    }

    fn f5_star_and_f1_star(&self, rand: &[u8; 16], concealed: &[u8; 6], _: &[u8; 8]) -> (Sqn, [u8; 8]) {
        let cipher = self.cipher();
        let round = Round::new(&self.0, &cipher, rand);
        let mut blocks = Blocks::zeroed();
        let [out5] = round.outputs([round.in5()], &mut blocks);
        let sqn_ms = Sqn::from_bytes(xor(concealed, &first(out5)));
        let mut blocks = Blocks::zeroed();
        let [out1] = round.outputs([round.in1(self.0.constants(), sqn_ms, AMF_RESYNC)], &mut blocks);
        (sqn_ms, second_half(out1))
    }
}

impl Inner {
    fn constants(&self) -> &Constants {
        self.constants.as_ref().unwrap_or(&Constants::STANDARD)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.k.as_mut_slice().zeroize();
        self.opc.as_mut_slice().zeroize();
        self.opc_number.zeroize();
    }
}

// Its one field wipes itself.
impl ZeroizeOnDrop for Milenage {}

impl fmt::Debug for Milenage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Milenage(..)")
    }
}

/// Milenage at one RAND: TEMP computed.
struct Round<'a> {
    own: &'a Inner,
    cipher: &'a Aes128Enc,
    temp: u128,
}

impl<'a> Round<'a> {
    #[inline]
    fn new(own: &'a Inner, cipher: &'a Aes128Enc, rand: &[u8; 16]) -> Self {
        let mut blocks = Blocks::zeroed();
        let [block] = &mut blocks.0;
        *block = *rand;
        xor_into(block, &own.opc);
        cipher.encrypt_block(block.into());
        Self { own, cipher, temp: u128::from_be_bytes(*block) }
    }

    fn f2_to_f5(&self, keys: &mut Keys) {
        let mut blocks = Blocks::zeroed();
        let [out2, out3, out4] = self.outputs(self.in2_to_in4(self.own.constants()), &mut blocks);
        self.fill(keys, out2, out3, out4);
    }

    #[inline]
    fn fill(&self, keys: &mut Keys, out2: &[u8; 16], out3: &[u8; 16], out4: &[u8; 16]) {
        keys.res.set(&second_half(out2), self.own.res_len);
        keys.ck.set(out3, 16);
        keys.ik.set(out4, 16);
        keys.ak = first(out2);
    }

    /// OUT = E_K(input) ⊕ OPc, for all inputs side by side.
    #[inline]
    fn outputs<'b, const N: usize>(&self, inputs: [u128; N], blocks: &'b mut Blocks<N>) -> &'b [[u8; 16]; N] {
        for (block, input) in blocks.0.iter_mut().zip(inputs) {
            *block = input.to_be_bytes();
        }
        self.cipher.encrypt_blocks(Block::cast_slice_from_core_mut(&mut blocks.0));
        for block in &mut blocks.0 {
            xor_into(block, &self.own.opc);
        }
        &blocks.0
    }

    /// TEMP ⊕ rot(IN1 ⊕ OPc, r1) ⊕ c1: the cipher's input for OUT1.
    #[inline]
    fn in1(&self, constants: &Constants, sqn: Sqn, management_field: Amf) -> u128 {
        let [a, b, c, d, e, f] = sqn.to_bytes();
        let [g, h] = management_field;
        let half = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let in1 = half << 64 | half;
        let ([c1, ..], [r1, ..]) = (constants.c, constants.r);
        self.temp ^ (in1 ^ self.own.opc_number).rotate_left(r1.into()) ^ c1
    }

    #[inline]
    fn in1_to_in4(&self, sqn: Sqn, management_field: Amf) -> [u128; 4] {
        let inputs = |constants: &Constants| {
            let [in2, in3, in4] = self.in2_to_in4(constants);
            [self.in1(constants, sqn, management_field), in2, in3, in4]
        };
        match &self.own.constants {
            // Known beforehand, most rotations cost nothing: a seventh of the whole vector.
            None => inputs(&Constants::STANDARD),
            Some(constants) => inputs(constants),
        }
    }

    #[inline]
    fn in2_to_in4(&self, constants: &Constants) -> [u128; 3] {
        let ([_, c2, c3, c4, _], [_, r2, r3, r4, _]) = (constants.c, constants.r);
        [self.rotated(r2, c2), self.rotated(r3, c3), self.rotated(r4, c4)]
    }

    fn in5(&self) -> u128 {
        let Constants { c: [.., c5], r: [.., r5] } = *self.own.constants();
        self.rotated(r5, c5)
    }

    /// rot(TEMP ⊕ OPc, r) ⊕ c: the cipher's input for OUT2 to OUT5.
    #[inline]
    fn rotated(&self, r: u8, c: u128) -> u128 {
        (self.temp ^ self.own.opc_number).rotate_left(r.into()) ^ c
    }
}

/// Cipher blocks, wiped as one piece: byte by byte would cost more than the cipher.
struct Blocks<const N: usize>([[u8; 16]; N]);

impl<const N: usize> Blocks<N> {
    /// To be filled where it is: a move would leave a copy behind.
    #[inline]
    const fn zeroed() -> Self {
        Self([[0; 16]; N])
    }
}

impl<const N: usize> Drop for Blocks<N> {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.temp.zeroize();
    }
}

fn xor_into(block: &mut [u8; 16], other: &[u8; 16]) {
    for (byte, other) in block.iter_mut().zip(other) {
        *byte ^= other;
    }
}

/// The first `N` bytes of an output.
fn first<const N: usize>(output: &[u8; 16]) -> [u8; N] {
    const { assert!(N <= 16, "an output has 16 bytes") };
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(output) {
        *to = *from;
    }
    bytes
}

/// Bits 64 to 127 of an output.
const fn second_half(output: &[u8; 16]) -> [u8; 8] {
    let [_, _, _, _, _, _, _, _, half @ ..] = *output;
    half
}
