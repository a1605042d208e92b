//! Secrets in every form that they could be left in, and a search for them.
//!
//! | form | |
//! |---|---|
//! | raw | the bytes, in either order: big integers are kept in little-endian words |
//! | text | hexadecimal in either case; base64, in each of the three places where it can begin |
//! | AES | the round keys that follow from it, if it is an AES key |
//! | HMAC | the key with its two pads |
//!
//! What counts as found are eight bytes in a row of any of them, or eight characters.

use std::collections::{BTreeMap, BTreeSet};

use aes::{Block, hazmat};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// Bytes in a row that are no coincidence.
const RUN: usize = 8;

/// What is looked for.
#[derive(Default)]
pub struct Needles {
    /// Each eight bytes of each form; and of which secret, in which form.
    runs: BTreeMap<u64, Label>,
    /// A bit for each hash of them: most places are none.
    sieve: Vec<u64>,
    known: BTreeSet<Vec<u8>>,
}

/// What a secret is called, and the form.
pub type Label = (&'static str, &'static str);

const SIEVE_BITS: u32 = 20;

fn slot(run: u64) -> (usize, u64) {
    let hash = run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIEVE_BITS);
    (hash as usize / 64, 1 << (hash % 64))
}

/// Whether eight bytes say enough to be found by: four different ones.
fn is_telling(run: &[u8]) -> bool {
    run.iter().collect::<BTreeSet<_>>().len() >= 4
}

impl Needles {
    pub fn new() -> Self {
        Self { sieve: vec![0; 1 << (SIEVE_BITS - 6)], ..Self::default() }
    }

    /// Takes a secret in, in all of its forms.
    pub fn add(&mut self, name: &'static str, secret: &[u8]) {
        if secret.len() < RUN || !self.known.insert(secret.to_vec()) {
            return;
        }
        let mut form = |form: &'static str, bytes: &[u8]| {
            for run in bytes.windows(RUN).filter(|run| is_telling(run)) {
                let run = u64::from_ne_bytes(run.try_into().unwrap());
                let (word, bit) = slot(run);
                self.sieve[word] |= bit;
                self.runs.entry(run).or_insert((name, form));
            }
        };
        form("raw", secret);
        let reversed: Vec<u8> = secret.iter().rev().copied().collect();
        form("reversed", &reversed);
        let lower: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        form("hex", lower.as_bytes());
        form("hex", lower.to_uppercase().as_bytes());
        for skipped in 0..3 {
            // What comes before it makes the first characters, and what comes after it the last.
            let text = STANDARD_NO_PAD.encode([&[0; 2][..skipped], secret].concat());
            form("base64", text.get(4..text.len() - 1).unwrap_or_default().as_bytes());
        }
        if matches!(secret.len(), 16 | 32) {
            form("AES round key", &round_keys(secret)[secret.len()..]);
            for (which, pad) in [("HMAC, inner", 0x36), ("HMAC, outer", 0x5c)] {
                let padded: Vec<u8> = secret.iter().map(|byte| byte ^ pad).collect();
                form(which, &padded);
            }
        }
    }

    /// What is found in there: what, and where.
    pub fn find(&self, hay: &[u8]) -> Vec<(Label, usize)> {
        let mut found: Vec<(Label, usize)> = Vec::new();
        for (at, run) in hay.windows(RUN).enumerate() {
            let run = u64::from_ne_bytes(run.try_into().unwrap());
            let (word, bit) = slot(run);
            if self.sieve[word] & bit != 0
                && let Some(label) = self.runs.get(&run)
            {
                match found.last() {
                    Some((last, before)) if last == label && at - before < 64 => {}
                    _ => found.push((*label, at)),
                }
            }
        }
        found
    }

    /// How many secrets it knows.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// The key schedule of AES-128 or AES-256 (FIPS 197 §5.2).
pub fn round_keys(key: &[u8]) -> Vec<u8> {
    let words = key.len() / 4;
    let mut out = key.to_vec();
    let mut constant = 1_u8;
    for number in words..4 * (words + 7) {
        let mut word: [u8; 4] = out[out.len() - 4..].try_into().unwrap();
        if number % words == 0 {
            word.rotate_left(1);
            word = substituted(word);
            word[0] ^= constant;
            constant = (constant << 1) ^ if constant & 0x80 != 0 { 0x1b } else { 0 };
        } else if words > 6 && number % words == 4 {
            word = substituted(word);
        }
        for (at, byte) in word.into_iter().enumerate() {
            out.push(out[(number - words) * 4 + at] ^ byte);
        }
    }
    out
}

/// SubWord, through a round over four equal columns, on which ShiftRows does nothing.
fn substituted(word: [u8; 4]) -> [u8; 4] {
    let mut block = Block::from([word, word, word, word].as_flattened().first_chunk::<16>().copied().unwrap());
    hazmat::cipher_round(&mut block, &Block::default());
    hazmat::inv_mix_columns(&mut block);
    block[..4].try_into().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197 §A.1 and §A.3: the last words of both schedules.
    #[test]
    fn schedules() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let keys = round_keys(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
        assert_eq!((keys.len(), &keys[172..]), (176, &hex("b6630ca6")[..]));
        let keys = round_keys(&hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"));
        assert_eq!((keys.len(), &keys[236..]), (240, &hex("706c631e")[..]));
    }

    #[test]
    fn every_form_is_found() {
        let secret: Vec<u8> = (0..32).map(|byte: u8| byte.wrapping_mul(37) ^ 0x91).collect();
        let mut needles = Needles::new();
        needles.add("a key", &secret);
        let hex: String = secret.iter().map(|byte| format!("{byte:02X}")).collect();
        let base64 = STANDARD_NO_PAD.encode([b"xy", &secret[..]].concat());
        let first = round_keys(&secret)[32..48].to_vec();
        for form in [&secret[..], &secret[5..13], hex.as_bytes(), base64.as_bytes(), &first] {
            let hay = [&[7; 99][..], form, &[8; 9]].concat();
            assert!(!needles.find(&hay).is_empty(), "{form:02x?}");
        }
        assert!(needles.find(&[&[7; 99][..], &secret[5..12]].concat()).is_empty());
        assert!(needles.find(&[0; 999]).is_empty());
    }
}
