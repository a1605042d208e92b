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
//! [`Milenage`] holds one key schedule. Under it, one RAND costs one block for TEMP, and the outputs wanted go through
//! the cipher side by side. The seven functions by name are for those who need one value; the procedures of
//! [`super`] take several from one TEMP.
//!
//! The cipher is constant time (`aes`); around it there is only ⊕ and rotation by constants.

use alloc::boxed::Box;
use core::fmt;

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Amf, Sqn};
use crate::crypto::Secret;

// TS 35.206 §4.1, default values: rotations in bits towards the most significant bit, and constants with at most one
// bit set, which keep the inputs of the five outputs apart.
const R1: u32 = 64;
const R2: u32 = 0;
const R3: u32 = 32;
const R4: u32 = 64;
const R5: u32 = 96;
const C1: u128 = 0;
const C2: u128 = 1;
const C3: u128 = 2;
const C4: u128 = 4;
const C5: u128 = 8;

/// Computes OPc from K and the operator's OP: E_K(OP) ⊕ OP (TS 35.206 §4.1). Do it where OP is at home: whoever has OP
/// and one subscriber's K has a part of everybody's secret.
pub fn opc(k: &Secret<16>, op: &Secret<16>) -> Secret<16> {
    let mut opc = Secret::zeroed();
    Aes128Enc::new(k.bytes().into()).encrypt_block_b2b(op.bytes().into(), opc.bytes_mut().into());
    for (byte, op) in opc.bytes_mut().iter_mut().zip(op.bytes()) {
        *byte ^= op;
    }
    opc
}

/// Milenage under one K and OPc. Wiped on drop.
pub struct Milenage {
    // On the heap, so that a move of the owner leaves no key schedule on the stack.
    cipher: Box<Aes128Enc>,
    opc: Secret<16>,
}

impl Milenage {
    /// Expands the key schedule of `k`.
    pub fn new(k: &Secret<16>, opc: &Secret<16>) -> Self {
        let mut own = Secret::zeroed();
        own.bytes_mut().copy_from_slice(opc.bytes());
        Self { cipher: Box::new(Aes128Enc::new(k.bytes().into())), opc: own }
    }

    /// f1, the network authentication code MAC-A.
    pub fn f1(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> [u8; 8] {
        self.round(rand).f1(sqn, management_field)
    }

    /// f1*, the resynchronisation authentication code MAC-S.
    pub fn f1_star(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> [u8; 8] {
        self.round(rand).f1_star(sqn, management_field)
    }

    /// f2, the response RES or XRES.
    pub fn f2(&self, rand: &[u8; 16]) -> [u8; 8] {
        let [out2] = &*self.outputs([self.round(rand).rotated(R2, C2)]);
        second_half(out2)
    }

    /// f3, the confidentiality key CK.
    pub fn f3(&self, rand: &[u8; 16]) -> Secret<16> {
        let [out3] = &*self.outputs([self.round(rand).rotated(R3, C3)]);
        secret(out3)
    }

    /// f4, the integrity key IK.
    pub fn f4(&self, rand: &[u8; 16]) -> Secret<16> {
        let [out4] = &*self.outputs([self.round(rand).rotated(R4, C4)]);
        secret(out4)
    }

    /// f5, the anonymity key AK that conceals SQN.
    pub fn f5(&self, rand: &[u8; 16]) -> [u8; 6] {
        let [out2] = &*self.outputs([self.round(rand).rotated(R2, C2)]);
        first(out2)
    }

    /// f5*, the anonymity key that conceals SQN_MS in AUTS.
    pub fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        self.round(rand).f5_star()
    }

    /// Computes TEMP of one RAND: what all outputs start from.
    pub(super) fn round(&self, rand: &[u8; 16]) -> Round<'_> {
        let opc = self.opc();
        let [block] = &*self.encrypted([u128::from_be_bytes(*rand) ^ opc]);
        let temp = u128::from_be_bytes(*block);
        Round { milenage: self, temp, temp_opc: temp ^ opc }
    }

    /// OUT = E_K(input) ⊕ OPc, for each input.
    fn outputs<const N: usize>(&self, inputs: [u128; N]) -> Zeroizing<[[u8; 16]; N]> {
        let mut blocks = self.encrypted(inputs);
        for block in blocks.iter_mut() {
            for (byte, opc) in block.iter_mut().zip(self.opc.bytes()) {
                *byte ^= opc;
            }
        }
        blocks
    }

    /// E_K(input), for all inputs side by side.
    fn encrypted<const N: usize>(&self, inputs: [u128; N]) -> Zeroizing<[[u8; 16]; N]> {
        let mut blocks = Zeroizing::new(inputs.map(u128::to_be_bytes));
        self.cipher.encrypt_blocks(Block::cast_slice_from_core_mut(blocks.as_mut_slice()));
        blocks
    }

    fn opc(&self) -> u128 {
        u128::from_be_bytes(*self.opc.bytes())
    }
}

// Both fields wipe themselves.
impl ZeroizeOnDrop for Milenage {}

impl fmt::Debug for Milenage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Milenage(..)")
    }
}

/// Milenage at one RAND, with TEMP computed.
pub(super) struct Round<'a> {
    milenage: &'a Milenage,
    temp: u128,
    temp_opc: u128,
}

/// What RAND alone gives: RES, CK, IK and AK.
pub(super) struct Keys {
    pub(super) res: [u8; 8],
    pub(super) ck: Secret<16>,
    pub(super) ik: Secret<16>,
    pub(super) ak: Zeroizing<[u8; 6]>,
}

impl Round<'_> {
    /// f1 to f5: four blocks at once, for the side that knows SQN beforehand.
    pub(super) fn f1_to_f5(&self, sqn: Sqn, management_field: Amf) -> ([u8; 8], Keys) {
        let [in2, in3, in4] = self.in2_to_in4();
        let [out1, out2, out3, out4] = &*self.milenage.outputs([self.in1(sqn, management_field), in2, in3, in4]);
        (first(out1), Keys::from_outputs(out2, out3, out4))
    }

    /// f2 to f5: three blocks at once, for the side that learns SQN from AK.
    pub(super) fn f2_to_f5(&self) -> Keys {
        let [out2, out3, out4] = &*self.milenage.outputs(self.in2_to_in4());
        Keys::from_outputs(out2, out3, out4)
    }

    /// f1, MAC-A.
    pub(super) fn f1(&self, sqn: Sqn, management_field: Amf) -> [u8; 8] {
        let [out1] = &*self.milenage.outputs([self.in1(sqn, management_field)]);
        first(out1)
    }

    /// f1*, MAC-S, for the side that learns SQN_MS from AK*.
    pub(super) fn f1_star(&self, sqn: Sqn, management_field: Amf) -> [u8; 8] {
        let [out1] = &*self.milenage.outputs([self.in1(sqn, management_field)]);
        second_half(out1)
    }

    /// f5*, AK*.
    pub(super) fn f5_star(&self) -> [u8; 6] {
        let [out5] = &*self.milenage.outputs([self.rotated(R5, C5)]);
        first(out5)
    }

    /// f1* and f5*, MAC-S and AK*: two blocks at once, for the side that knows SQN_MS.
    pub(super) fn f1_star_and_f5_star(&self, sqn: Sqn, management_field: Amf) -> ([u8; 8], Zeroizing<[u8; 6]>) {
        let [out1, out5] = &*self.milenage.outputs([self.in1(sqn, management_field), self.rotated(R5, C5)]);
        (second_half(out1), Zeroizing::new(first(out5)))
    }

    fn in2_to_in4(&self) -> [u128; 3] {
        [self.rotated(R2, C2), self.rotated(R3, C3), self.rotated(R4, C4)]
    }

    /// TEMP ⊕ rot(IN1 ⊕ OPc, r1) ⊕ c1: the cipher's input for OUT1.
    fn in1(&self, sqn: Sqn, management_field: Amf) -> u128 {
        let [a, b, c, d, e, f] = sqn.to_bytes();
        let [g, h] = management_field;
        let in1 = u128::from_be_bytes([a, b, c, d, e, f, g, h, a, b, c, d, e, f, g, h]);
        self.temp ^ (in1 ^ self.milenage.opc()).rotate_left(R1) ^ C1
    }

    /// rot(TEMP ⊕ OPc, r) ⊕ c: the cipher's input for OUT2 to OUT5.
    const fn rotated(&self, r: u32, c: u128) -> u128 {
        self.temp_opc.rotate_left(r) ^ c
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.temp.zeroize();
        self.temp_opc.zeroize();
    }
}

impl Keys {
    fn from_outputs(out2: &[u8; 16], out3: &[u8; 16], out4: &[u8; 16]) -> Self {
        Self { res: second_half(out2), ck: secret(out3), ik: secret(out4), ak: Zeroizing::new(first(out2)) }
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

fn secret(output: &[u8; 16]) -> Secret<16> {
    let mut secret = Secret::zeroed();
    secret.bytes_mut().copy_from_slice(output);
    secret
}
