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
//! OPc and the constants are put together once for a subscriber: rot(TEMP ⊕ OPc, r) ⊕ c is rot(TEMP, r) ⊕ mask, with
//! mask = rot(OPc, r) ⊕ c.
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
use crate::{
    crypto::{
        Secret,
        sweep::{BLOCK, swept},
    },
    error::Misuse,
};

/// Computes OPc from K and the operator's OP: E_K(OP) ⊕ OP (TS 35.206 §4.1). Do it where OP is at home: whoever has OP
/// and one subscriber's K has a part of everybody's secret.
pub fn opc(k: &Secret<16>, op: &Secret<16>) -> Secret<16> {
    let mut opc = Secret::zeroed();
    swept::<BLOCK, _>(|| {
        Aes128Enc::new(k.bytes().into()).encrypt_block_b2b(op.bytes().into(), opc.bytes_mut().into());
    });
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
    // r1 to r5.
    r: [u8; 5],
    // rot(OPc, r) ⊕ c, for OUT1 to OUT5.
    masks: [[u8; 16]; 5],
    res_len: usize,
}

impl Milenage {
    /// Milenage with the constants of TS 35.206 §4.1 and RES of 8 bytes.
    pub fn new(k: &Secret<16>, opc: &Secret<16>) -> Self {
        let mut own = Self(Box::new(Inner { k: [0; 16], opc: [0; 16], masks: [[0; 16]; 5], r: [0; 5], res_len: 8 }));
        own.0.k.copy_from_slice(k.bytes());
        own.0.opc.copy_from_slice(opc.bytes());
        swept::<BLOCK, _>(|| own.0.set_constants(&Constants::STANDARD));
        own
    }

    /// With the operator's own constants.
    #[must_use]
    pub fn with_constants(mut self, constants: Constants) -> Self {
        swept::<BLOCK, _>(|| self.0.set_constants(&constants));
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
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        let mut blocks = Blocks::zeroed();
        let [out1] = round.out1(sqn, management_field, &mut blocks);
        first(out1)
    }

    /// f1*, the resynchronisation authentication code MAC-S.
    pub fn f1_star(&self, rand: &[u8; 16], sqn: Sqn, management_field: Amf) -> [u8; 8] {
        let cipher = self.cipher();
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        let mut blocks = Blocks::zeroed();
        let [out1] = round.out1(sqn, management_field, &mut blocks);
        second_half(out1)
    }

    /// f2 to f5: RES, CK, IK and AK.
    pub fn f2_to_f5(&self, rand: &[u8; 16], keys: &mut Keys) {
        let cipher = self.cipher();
        let mut temp = Blocks::zeroed();
        Round::new(&self.0, &cipher, rand, &mut temp).f2_to_f5(keys);
    }

    /// f5*, the anonymity key AK* that conceals SQN_MS in AUTS.
    pub fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        let cipher = self.cipher();
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        let mut blocks = Blocks::zeroed();
        let [out5] = round.out5(&mut blocks);
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
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        let mut blocks = Blocks::zeroed();
        let [in1, in2, in3, in4] = &mut blocks.0;
        round.in1(sqn, management_field, in1);
        self.0.in2_to_in4(round.temp, [in2, in3, in4]);
        let [out1, out2, out3, out4] = round.outputs(&mut blocks);
        round.fill(keys, out2, out3, out4);
        first(out1)
    }

    fn f5_to_f1(&self, rand: &[u8; 16], concealed: &[u8; 6], management_field: Amf, keys: &mut Keys) -> (Sqn, [u8; 8]) {
        let cipher = self.cipher();
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        round.f2_to_f5(keys);
        let sqn = Sqn::from_bytes(xor(concealed, &keys.ak));
        let mut blocks = Blocks::zeroed();
        let [out1] = round.out1(sqn, management_field, &mut blocks);
        (sqn, first(out1))
    }

    fn f1_star_and_f5_star(&self, rand: &[u8; 16], sqn_ms: Sqn) -> ([u8; 6], [u8; 8]) {
        let cipher = self.cipher();
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        let mut blocks = Blocks::zeroed();
        let [in1, in5] = &mut blocks.0;
        round.in1(sqn_ms, AMF_RESYNC, in1);
        round.in5(in5);
        let [out1, out5] = round.outputs(&mut blocks);
        (xor(&sqn_ms.to_bytes(), &first(out5)), second_half(out1))
    }

    fn f5_star_and_f1_star(&self, rand: &[u8; 16], concealed: &[u8; 6], _: &[u8; 8]) -> (Sqn, [u8; 8]) {
        let cipher = self.cipher();
        let mut temp = Blocks::zeroed();
        let round = Round::new(&self.0, &cipher, rand, &mut temp);
        let mut blocks = Blocks::zeroed();
        let [out5] = round.out5(&mut blocks);
        let sqn_ms = Sqn::from_bytes(xor(concealed, &first(out5)));
        let mut blocks = Blocks::zeroed();
        let [out1] = round.out1(sqn_ms, AMF_RESYNC, &mut blocks);
        (sqn_ms, second_half(out1))
    }
}

impl Inner {
    fn set_constants(&mut self, Constants { c, r }: &Constants) {
        self.r = *r;
        for ((mask, c), r) in self.masks.iter_mut().zip(c).zip(r) {
            *mask = c.to_be_bytes();
            add_rotated(mask, &self.opc, *r);
        }
    }

    /// rot(TEMP ⊕ OPc, r) ⊕ c, the cipher's inputs for OUT2 to OUT4.
    #[inline]
    fn in2_to_in4(&self, temp: &[u8; 16], [in2, in3, in4]: [&mut [u8; 16]; 3]) {
        if self.r != Constants::STANDARD.r {
            return self.in2_to_in4_by_bits(temp, [in2, in3, in4]);
        }
        let ([_, mask2, mask3, mask4, _], [a, b, c, d]) = (&self.masks, words(temp));
        *in2 = bytes(add([a, b, c, d], words(mask2)));
        *in3 = bytes(add([b, c, d, a], words(mask3)));
        *in4 = bytes(add([c, d, a, b], words(mask4)));
    }

    /// The same for any rotations. Apart, so that the standard ones stay a matter of vector registers.
    #[cold]
    #[inline(never)]
    fn in2_to_in4_by_bits(&self, temp: &[u8; 16], [in2, in3, in4]: [&mut [u8; 16]; 3]) {
        let ([_, mask2, mask3, mask4, _], [_, r2, r3, r4, _]) = (&self.masks, self.r);
        for (to, mask, r) in [(in2, mask2, r2), (in3, mask3, r3), (in4, mask4, r4)] {
            *to = *mask;
            add_rotated(to, temp, r);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.k.as_mut_slice().zeroize();
        self.opc.as_mut_slice().zeroize();
        self.masks.as_flattened_mut().zeroize();
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
    temp: &'a [u8; 16],
}

impl<'a> Round<'a> {
    #[inline]
    fn new(own: &'a Inner, cipher: &'a Aes128Enc, rand: &[u8; 16], Blocks([temp]): &'a mut Blocks<1>) -> Self {
        *temp = *rand;
        xor_into(temp, &own.opc);
        cipher.encrypt_block((&mut *temp).into());
        Self { own, cipher, temp }
    }

    fn f2_to_f5(&self, keys: &mut Keys) {
        let mut blocks = Blocks::zeroed();
        self.own.in2_to_in4(self.temp, blocks.0.each_mut());
        let [out2, out3, out4] = self.outputs(&mut blocks);
        self.fill(keys, out2, out3, out4);
    }

    fn out1<'b>(&self, sqn: Sqn, management_field: Amf, blocks: &'b mut Blocks<1>) -> &'b [[u8; 16]; 1] {
        let [in1] = &mut blocks.0;
        self.in1(sqn, management_field, in1);
        self.outputs(blocks)
    }

    fn out5<'b>(&self, blocks: &'b mut Blocks<1>) -> &'b [[u8; 16]; 1] {
        let [in5] = &mut blocks.0;
        self.in5(in5);
        self.outputs(blocks)
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
    fn outputs<'b, const N: usize>(&self, blocks: &'b mut Blocks<N>) -> &'b [[u8; 16]; N] {
        self.cipher.encrypt_blocks(Block::cast_slice_from_core_mut(&mut blocks.0));
        for block in &mut blocks.0 {
            xor_into(block, &self.own.opc);
        }
        &blocks.0
    }

    /// TEMP ⊕ rot(IN1 ⊕ OPc, r1) ⊕ c1, the cipher's input for OUT1. IN1 is twice the same half, so its halves rotate alike.
    #[inline]
    fn in1(&self, sqn: Sqn, management_field: Amf, to: &mut [u8; 16]) {
        let ([mask, ..], [r1, ..]) = (&self.own.masks, self.own.r);
        let [a, b, c, d, e, f] = sqn.to_bytes();
        let half = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) << 16 | u64::from(u16::from_be_bytes(management_field));
        let [a, b, c, d, e, f, g, h] = half.rotate_left(r1.into()).to_be_bytes();
        let in1 = words(&[a, b, c, d, e, f, g, h, a, b, c, d, e, f, g, h]);
        *to = bytes(add(add(words(self.temp), words(mask)), in1));
    }

    /// rot(TEMP ⊕ OPc, r5) ⊕ c5, the cipher's input for OUT5.
    fn in5(&self, to: &mut [u8; 16]) {
        let ([.., mask], [.., r5]) = (&self.own.masks, self.own.r);
        *to = *mask;
        add_rotated(to, self.temp, r5);
    }
}

/// Cipher blocks, wiped as one piece: byte by byte would cost more than the cipher.
struct Blocks<const N: usize>([[u8; 16]; N]);

impl<const N: usize> Blocks<N> {
    /// To be filled where it is: a move would leave a copy behind. A constant, so that most of the zeros are never written.
    #[inline]
    const fn zeroed() -> Self {
        Self(const { [[0; 16]; N] })
    }
}

impl<const N: usize> Drop for Blocks<N> {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// `to` ⊕ rot(`block`, r).
fn add_rotated(to: &mut [u8; 16], block: &[u8; 16], r: u8) {
    *to = (u128::from_be_bytes(*to) ^ u128::from_be_bytes(*block).rotate_left(r.into())).to_be_bytes();
}

/// A block as what fits a vector register: in the order of memory, so that a rotation by a multiple of 32 bits only moves
/// words.
type Words = [u32; 4];

#[inline]
fn words(block: &[u8; 16]) -> Words {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

#[inline]
fn bytes(words: Words) -> [u8; 16] {
    let mut block = [0; 16];
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
    block
}

/// ⊕.
#[inline]
const fn add([a, b, c, d]: Words, [e, f, g, h]: Words) -> Words {
    [a ^ e, b ^ f, c ^ g, d ^ h]
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
