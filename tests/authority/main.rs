//! Whose is it, who pays for it, and who may take it away? Deeds, grants and takeovers, and everything that is none.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod association;
mod grant;
mod takeover;

use p256::elliptic_curve::sec1::ToSec1Point;
use remote_provisioning::{
    cose::sign1::Sign1,
    crypto::{Crypto, Hash, KeyKind, PublicKey, Signature, rustcrypto::RustCrypto},
    error::{Backend, Malformed, Misuse},
    identity::{DeviceId, Domain},
    sim::maker::{keys, signer},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::Date,
    wire,
};

/// 2025-06-01, in seconds.
const TODAY: Date = Date(1_748_736_000);

const DAY: u64 = 86_400;

fn days(days: u64) -> Date {
    Date(TODAY.0 + days * DAY)
}

/// A person or a company, by a key.
struct Party {
    keys: MemoryKeyStore,
}

impl Party {
    fn new(name: &str) -> Self {
        Self { keys: keys(&["Published test key for authority: ", name].concat()).unwrap() }
    }

    fn key(&self) -> PublicKey {
        self.keys.public_key(KeyId(0)).unwrap()
    }

    fn compressed(&self) -> [u8; 33] {
        self.key().compressed().unwrap()
    }

    fn thumbprint(&self) -> Hash {
        self.key().thumbprint(&RustCrypto)
    }

    fn sign(&self) -> impl Fn(&[u8]) -> Result<Signature, Backend> {
        signer(&self.keys)
    }

    /// Signs anything at all, as `context` has it.
    fn signed(&self, payload: &[u8], context: &[u8]) -> Vec<u8> {
        wire::encode(&Sign1::create(payload, context, self.sign()).unwrap())
    }
}

fn meter() -> DeviceId {
    DeviceId::new(Some([0xab; 16]), "IOT/0042".parse().unwrap())
}

/// One of the same name, by another maker; one of the same maker, with another name; one that was pinned.
fn other_devices() -> [DeviceId; 3] {
    [
        DeviceId::new(Some([0xac; 16]), "IOT/0042".parse().unwrap()),
        DeviceId::new(Some([0xab; 16]), "IOT/0043".parse().unwrap()),
        DeviceId::new(None, "IOT/0042".parse().unwrap()),
    ]
}

/// [`meter`], but for the case of its maker's digits.
const ANOTHER_SPELLING: &str = "ABABABABABABABABABABABABABABABAB/IOT/0042";

/// A key that signs nothing with ES256.
fn key_of_another_kind() -> PublicKey {
    // RFC 8032 §7.1, test 1.
    const ED25519: [u8; 32] = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];
    PublicKey::from_checked_ed25519(&ED25519)
}

/// Every byte changed in several ways, every truncation, a byte more.
fn damaged(document: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let changed = (0..document.len()).flat_map(|at| [0x01, 0x20, 0x80, 0xff].map(|mask| (at, mask)));
    let changed = changed.map(|(at, mask)| {
        let mut changed = document.to_vec();
        changed[at] ^= mask;
        (format!("byte {at} ^ {mask:#x}"), changed)
    });
    let cut = (0..document.len()).map(|len| (format!("cut to {len}"), document[..len].to_vec()));
    changed.chain(cut).chain([("one byte more".into(), [document, &[0]].concat())])
}

/// The twin of an ES256 signature that ends a document: s turned to n − s. As good as the other.
fn with_twin(document: &[u8]) -> Vec<u8> {
    let (rest, signature) = document.split_last_chunk::<64>().unwrap();
    let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
    let (r, s) = signature.split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
    [rest, twin.to_bytes().as_slice()].concat()
}

#[test]
fn a_compressed_key_is_the_same_key() {
    for name in ["a", "b", "c", "d", "e", "f"] {
        let party = Party::new(name);
        assert_eq!(RustCrypto.point(&party.compressed()), Ok(party.key()));
        let other = p256::PublicKey::from_sec1_bytes(party.key().bytes()).unwrap();
        assert_eq!(other.to_sec1_point(true).as_bytes(), party.compressed(), "a second opinion");
    }
    assert_eq!(key_of_another_kind().kind(), KeyKind::Ed25519);
    assert_eq!(key_of_another_kind().compressed(), None);
}

const NO_P256: Misuse = Misuse::Parameter("owners sign with P-256");
