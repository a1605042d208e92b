//! The places where a stranger's bytes come in, each as a function from bytes to *nothing bad happened*.
//!
//! | door | what its bytes are |
//! |---|---|
//! | `wire` | a message; every public decoder reads it, and what decodes encodes to itself |
//! | `message_1` … `message_4`, `error_message` | a message of EDHOC; of 2 to 4 what is in the ciphertext, under keys that are there |
//! | `record` | the text of a record after message_4, for either side |
//! | `device` | a story: operations on a [`Device`](remote_provisioning::Device), with crashes and faults of its hardware |
//! | `operator` | the same for an [`Operator`](remote_provisioning::Operator), with faults of its systems |
//! | `lying_operator`, `lying_device` | what a party with a real key says that no honest one would |
//! | `cose` | a COSE_Sign1, COSE_Mac0 or COSE_Encrypt0 |
//! | `x509` | a chain of certificates, or a revocation list |
//! | `credential` | ID_CRED_x of the other kinds: CCS and CWT by value, hashes, `kid` |
//! | `voucher` | a chain of vouchers, or a request for one |
//! | `concealed` | a concealed device name, a sealed voucher, a name |
//! | `evidence` | an EAT or a PSA token |
//! | `grant` | a CWT that grants service |
//! | `authority` | the other documents that owners and operators sign |
//! | `suci` | a SUCI, as text, as NAI and as bytes |
//! | `calculator` | arguments of `examples/aka.rs` |
//! | `sealed` | a sealed session, and what is in it |
//! | `fragments` | pieces of messages for the one reassembly |
//! | `link`, `eap` | what a stranger on the link says between the two ends of it |
//! | `gate` | relays, tokens, cookies, message_1 under load |
//! | `other_cbor`, `other_milenage`, `other_edhoc` | the same for another implementation, which has to agree |
//!
//! **Glass.** A fuzzer cannot make a tag or a signature, so behind each check of one there would be nothing that it reaches.
//! Where the key would only stand in its way, a door works with [`glass::Glass`]: what is encrypted lies open, and one
//! signature fits everything. What that door then promises is what a holder of the key could not break either.
//!
//! Nothing here knows libFuzzer, and every input is a valid story: bytes become choices through `arbitrary` ([`Choices`]).
//! So the same files serve `cargo fuzz` and, through `tests/corpus.rs`, `cargo test`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a door that panics has found something; and it stands outside of the no_std house"
)]

use arbitrary::{Arbitrary, Unstructured};

mod authority;
mod between;
mod calculator;
mod credential;
mod device;
mod documents;
mod eap;
mod edhoc;
mod forged;
mod fragments;
mod gate;
mod glass;
mod link;
mod lying;
mod memo;
mod operator;
mod others;
mod record;
mod sealed;
pub(crate) mod seeds;
mod stage;
mod suci;
mod wire;
mod x509;

/// What opens a door.
pub(crate) type Run = fn(&[u8]);

/// All doors by name. A name is also that of a target in `Cargo.toml` and of a folder of `corpus`.
pub(crate) const DOORS: &[(&str, Run)] = &[
    ("wire", wire::run),
    ("message_1", edhoc::message_1),
    ("message_2", edhoc::message_2),
    ("message_3", edhoc::message_3),
    ("message_4", edhoc::message_4),
    ("error_message", edhoc::error_message),
    ("record", record::run),
    ("device", device::run),
    ("operator", operator::run),
    ("lying_operator", lying::operator),
    ("lying_device", lying::device),
    ("cose", documents::cose),
    ("x509", x509::run),
    ("credential", credential::run),
    ("voucher", documents::voucher),
    ("concealed", documents::concealed),
    ("evidence", documents::evidence),
    ("grant", authority::grant),
    ("authority", authority::others),
    ("suci", suci::run),
    ("calculator", calculator::run),
    ("sealed", sealed::run),
    ("fragments", fragments::run),
    ("link", link::run),
    ("eap", eap::run),
    ("gate", gate::run),
    ("other_cbor", others::cbor),
    ("other_milenage", others::milenage),
    ("other_edhoc", others::edhoc),
];

/// The fuzzer's bytes, read as choices from the front. At the end every choice is 0.
pub(crate) type Input<'a> = Unstructured<'a>;

/// The choices that stories are made of.
pub(crate) trait Choices<'a> {
    fn byte(&mut self) -> u8;

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize;

    /// A length and as many bytes, or what is left.
    fn chunk(&mut self) -> &'a [u8];

    /// All that is left.
    fn rest(&mut self) -> &'a [u8];

    fn pick<'b, T>(&mut self, among: &'b [T]) -> &'b T {
        &among[self.below(among.len())]
    }

    /// `base`, or something like it, or something else.
    fn mutated(&mut self, base: &[u8]) -> Vec<u8>;
}

impl<'a> Choices<'a> for Input<'a> {
    fn byte(&mut self) -> u8 {
        self.arbitrary().unwrap_or(0)
    }

    fn below(&mut self, bound: usize) -> usize {
        let choice = if bound > 256 {
            usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
        } else {
            usize::from(self.byte())
        };
        choice % bound.max(1)
    }

    fn chunk(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        self.bytes(len.min(self.len())).unwrap_or_default()
    }

    fn rest(&mut self) -> &'a [u8] {
        self.bytes(self.len()).unwrap_or_default()
    }

    fn mutated(&mut self, base: &[u8]) -> Vec<u8> {
        Change::arbitrary(self).map_or_else(|_| base.to_vec(), |change| change.apply(base))
    }
}

/// What becomes of a message. Places beyond its end are taken modulo its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Nothing,
    Xor(Vec<(u16, u8)>),
    Cut(u16),
    Insert(u16, &'a [u8]),
    /// Its beginning, and its end from another place on.
    Splice(u16, u16),
    Instead(&'a [u8]),
}

impl<'a> Arbitrary<'a> for Change<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let place = |u: &mut Unstructured<'a>| u16::from_be_bytes([u.byte(), u.byte()]);
        Ok(match u.byte() % 8 {
            0..=2 => Self::Nothing,
            3 => Self::Xor((0..=u.byte() % 4).map(|_| (place(u), u.byte())).collect()),
            4 => Self::Cut(place(u)),
            5 => Self::Insert(place(u), u.chunk()),
            6 => Self::Splice(place(u), place(u)),
            _ => Self::Instead(u.chunk()),
        })
    }
}

impl Change<'_> {
    pub(crate) fn apply(&self, base: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        let within = |place: u16, len: usize| usize::from(place) % len.max(1);
        match self {
            Self::Nothing => {}
            Self::Xor(changes) => {
                for (at, change) in changes {
                    let at = within(*at, bytes.len());
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= change);
                }
            }
            Self::Cut(len) => bytes.truncate(within(*len, base.len())),
            Self::Insert(at, inserted) => {
                let at = within(*at, base.len() + 1);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Self::Splice(from, to) => {
                bytes.truncate(within(*from, base.len() + 1));
                bytes.extend_from_slice(&base[within(*to, base.len() + 1)..]);
            }
            Self::Instead(other) => bytes = other.to_vec(),
        }
        bytes
    }
}
