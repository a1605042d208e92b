//! The places where a stranger's bytes come in, each as a function from bytes to *nothing bad happened*.
//!
//! ```text
//! wire      bytes ─▶ every public decoder; what decodes encodes to itself
//! trust     bytes ─▶ a voucher, a concealed name, evidence; what is believed was said by the one who may
//! fragments bytes ─▶ pieces of messages for the one reassembly; what comes out is what went in
//! link      bytes ─▶ a stranger on the link between a client and a server
//! eap       bytes ─▶ the same between the two ends of the EAP envelope
//! gate      bytes ─▶ relays, tokens, cookies, message_1 under load; nobody gets in who has nothing to show
//! device    bytes ─▶ a plot and operations on a Device; judged after each
//! operator  bytes ─▶ the same for an Operator
//! ```
//!
//! Nothing here knows libFuzzer: bytes are read by hand ([`Input`]), and every input is a valid story. So the same files
//! serve `cargo fuzz` and, through `tests/corpus.rs`, `cargo test`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a door that panics has found something; and it stands outside of the no_std house"
)]

pub(crate) mod device;
pub(crate) mod eap;
pub(crate) mod fragments;
pub(crate) mod gate;
pub(crate) mod link;
pub(crate) mod operator;
pub(crate) mod trust;
pub(crate) mod wire;

mod forged;
mod memo;
pub(crate) mod seeds;
mod stage;

/// The fuzzer's bytes, read as choices. At the end every choice is 0.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        let choice = if bound > 256 {
            usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
        } else {
            usize::from(self.byte())
        };
        choice % bound.max(1)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// `base`, or something like it, or something else.
    fn mutated(&mut self, base: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        match self.byte() % 8 {
            0..=2 => {}
            3 => {
                for _ in 0..=self.byte() % 4 {
                    let at = self.below(bytes.len());
                    let change = self.byte();
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= change);
                }
            }
            4 => bytes.truncate(self.below(bytes.len())),
            5 => {
                let at = self.below(bytes.len() + 1);
                let inserted = self.bytes();
                bytes.splice(at..at, inserted.iter().copied());
            }
            6 => {
                let (from, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
                bytes.truncate(from);
                bytes.extend_from_slice(&base[to..]);
            }
            _ => bytes = self.bytes().to_vec(),
        }
        bytes
    }
}
