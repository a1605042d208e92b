//! Rijndael with blocks and keys of 256 bits, the kernel of MILENAGE-256 (TS 35.235 §11).
//!
//! AES is Rijndael with blocks of 128 bits: the same S-box, the same MixColumns, two columns of key schedule alike. Only
//! ShiftRows knows how wide the block is, so one round here is two rounds of AES, one for each half of the state:
//!
//! ```text
//! state = 8 columns ── permute ──▶ 2 × 4 columns ── 2 × AES round ──▶ 8 columns
//! ```
//!
//! `permute` moves bytes so that AES's ShiftRows (offsets 0, 1, 2, 3 in each half) ends where Rijndael-256's (0, 1, 3, 4
//! over the whole) does. The last round has no MixColumns: it is undone. The S-box of the key schedule is a round of AES
//! over four equal columns, which ShiftRows leaves alone. So there is no table here, and the rounds are as constant in
//! time as those of `aes`.

use aes::hazmat::{cipher_round, inv_mix_columns};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Eight columns of four bytes, row 0 the most significant: a state or a round key.
type Columns = [u32; 8];

/// The rounds with MixColumns.
const FULL_ROUNDS: usize = 13;

/// The key schedule. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Rijndael256 {
    first: Columns,
    full: [Columns; FULL_ROUNDS],
    last: Columns,
}

impl Rijndael256 {
    /// Expands the key (TS 35.235 §11.7).
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut own = Self { first: columns(key), full: [[0; 8]; FULL_ROUNDS], last: [0; 8] };
        let mut previous = Zeroizing::new(own.first);
        let mut round_constant = 1_u8;
        for round_key in own.full.iter_mut().chain([&mut own.last]) {
            next_round_key(&mut previous, round_constant);
            *round_key = *previous;
            round_constant = double(round_constant);
        }
        own
    }

    /// Encrypts a block in place (TS 35.235 §11.2).
    pub(super) fn encrypt(&self, block: &mut [u8; 32]) {
        let mut state = Zeroizing::new(columns(block));
        add(&mut state, &self.first);
        for round_key in &self.full {
            round(&mut state, |_| ());
            add(&mut state, round_key);
        }
        round(&mut state, inv_mix_columns);
        add(&mut state, &self.last);
        for (to, column) in block.as_chunks_mut().0.iter_mut().zip(state.iter()) {
            *to = column.to_be_bytes();
        }
    }
}

/// SubBytes, ShiftRows and MixColumns, then `finish` on both halves.
fn round(state: &mut Columns, finish: impl Fn(&mut aes::Block)) {
    let [a, b, c, d, e, f, g, h] = *state;
    let mut halves = Zeroizing::new([
        half([rows(a, e, f, f), rows(b, b, g, g), rows(c, c, d, h), rows(d, d, e, e)]),
        half([rows(e, a, b, b), rows(f, f, c, c), rows(g, g, h, d), rows(h, h, a, a)]),
    ]);
    for (half, columns) in halves.iter_mut().zip(state.as_chunks_mut().0) {
        aes_round(half, &finish);
        *columns = split(half);
    }
}

/// A round of AES without its key, then `finish`.
fn aes_round(block: &mut [u8; 16], finish: impl Fn(&mut aes::Block)) {
    let block: &mut aes::Block = block.into();
    cipher_round(block, &aes::Block::default());
    finish(block);
}

/// One column out of the rows of four.
const fn rows(row_0: u32, row_1: u32, row_2: u32, row_3: u32) -> u32 {
    row_0 & 0xff00_0000 | row_1 & 0x00ff_0000 | row_2 & 0x0000_ff00 | row_3 & 0x0000_00ff
}

/// Round key r out of round key r - 1.
fn next_round_key(key: &mut Columns, round_constant: u8) {
    let [a, b, c, d, e, f, g, h] = key;
    *a ^= sub_word(h.rotate_left(8)) ^ u32::from_be_bytes([round_constant, 0, 0, 0]);
    *b ^= *a;
    *c ^= *b;
    *d ^= *c;
    *e ^= sub_word(*d);
    *f ^= *e;
    *g ^= *f;
    *h ^= *g;
}

/// The S-box on each byte of a column.
fn sub_word(column: u32) -> u32 {
    let mut block = Zeroizing::new(half([column; 4]));
    aes_round(&mut block, inv_mix_columns);
    let [column, ..] = split(&block);
    column
}

/// Times x in GF(2^8). For round constants, which are not secret.
const fn double(byte: u8) -> u8 {
    (byte << 1) ^ if byte & 0x80 == 0 { 0 } else { 0x1b }
}

fn add(state: &mut Columns, round_key: &Columns) {
    for (column, key) in state.iter_mut().zip(round_key) {
        *column ^= key;
    }
}

fn columns(bytes: &[u8; 32]) -> Columns {
    let mut columns = [0; 8];
    for (column, bytes) in columns.iter_mut().zip(bytes.as_chunks().0) {
        *column = u32::from_be_bytes(*bytes);
    }
    columns
}

fn half(columns: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, column) in bytes.as_chunks_mut().0.iter_mut().zip(columns) {
        *to = column.to_be_bytes();
    }
    bytes
}

fn split(half: &[u8; 16]) -> [u32; 4] {
    let mut columns = [0; 4];
    for (column, bytes) in columns.iter_mut().zip(half.as_chunks().0) {
        *column = u32::from_be_bytes(*bytes);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, input and output of tests 1 and 3 to 8 of TS 35.236 §5.1.2.
    const PUBLISHED: [[&str; 3]; 7] = [
        [
            "8000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "e62abce069837b65309be4eda2c0e149fe56c07b7082d3287f592c4a4927a277",
        ],
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "c6227e7740b7e53b5cb77865278eab0726f62366d9aabad908936123a1fc8af3",
        ],
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "8000000000000000000000000000000000000000000000000000000000000000",
            "159a08e46e616e6e9978502010daff922eb362e77dcaaf02eaeb7354eb8b8dba",
        ],
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000001",
            "4e76ca69967125a9636f3554229556f6e2b2351cb4fd10b4e052afd85bebdfa8",
        ],
        [
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "f36cb6c7a7572f19307a31e4ec4ca4c82d2731fb21f59caf133fe816a54424a5",
        ],
        [
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f",
            "288fa9d23d00d9dc0a39b33fa92867c6488b5e0f18a6f74c072078ec815462e6",
        ],
        [
            "0f3a404eb7f349d47be00f1c19dfc90a3a040a799630fe745fe5f0a9dd58101a",
            "56c87416300f5c685977bacee7cef2adfcbdde02ed55159ca3eb6d894126bece",
            "a5f0c2bba8b131cb82ea654ebab152213df50bd184f487b22d5aeab87cc3b024",
        ],
    ];

    #[test]
    fn a_block_is_encrypted_as_published() {
        for case in PUBLISHED {
            let [key, mut block, output] = case.map(bytes);
            Rijndael256::new(&key).encrypt(&mut block);
            assert_eq!(block, output, "{case:?}");
        }
    }

    fn bytes(hex: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, [high, low]) in bytes.iter_mut().zip(hex.as_bytes().as_chunks().0) {
            let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *to = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low).unwrap_or_default();
        }
        bytes
    }
}
