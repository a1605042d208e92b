//! What both benches of the protocol share: backends, parties, and a table with ratios.
#![allow(dead_code, reason = "each bench uses its part")]

use core::{cell::RefCell, time::Duration};
use std::time::Instant;

use remote_provisioning::{
    crypto::{Crypto, PublicKey, Secret, Signature, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error,
    identity::{Domain, Role},
    sim::{IDENTITY, identities as ids},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{MemoryAnchors, Pinned},
};

/// Primitives, and the key store that goes with them.
#[derive(Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) crypto: &'static dyn Crypto,
    pub(crate) keys: fn(&[u8; 32]) -> Box<dyn KeyStore>,
}

pub(crate) fn backends() -> Vec<Backend> {
    vec![
        Backend {
            name: "rustcrypto",
            crypto: &RustCrypto,
            keys: |key| {
                let mut keys = MemoryKeyStore::new();
                keys.insert(IDENTITY, key).unwrap();
                Box::new(keys)
            },
        },
        #[cfg(feature = "aws-lc-rs")]
        Backend {
            name: "aws-lc-rs",
            crypto: &remote_provisioning::crypto::aws_lc::AwsLc,
            keys: |key| {
                let mut keys = remote_provisioning::store::aws_lc::AwsLcKeyStore::new();
                keys.insert(IDENTITY, key).unwrap();
                Box::new(keys)
            },
        },
    ]
}

/// Signs anew each time and says what it said the first time: a hedged signature would make a recorded run another one.
struct Replaying {
    keys: Box<dyn KeyStore>,
    said: RefCell<Vec<(Vec<u8>, Signature)>>,
}

impl KeyStore for Replaying {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, error::Backend> {
        self.keys.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, error::Backend> {
        let signature = self.keys.sign(key, message)?;
        let mut said = self.said.borrow_mut();
        if let Some((_, first)) = said.iter().find(|(known, _)| known == message) {
            return Ok(*first);
        }
        said.push((message.to_vec(), signature));
        Ok(signature)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<32>) -> Result<(), error::Backend> {
        self.keys.agree(key, peer, shared)
    }
}

/// A party, and whom it believes.
pub(crate) struct Side {
    pub(crate) own: OwnCredential,
    pub(crate) keys: Box<dyn KeyStore>,
    pub(crate) anchors: MemoryAnchors,
}

impl Side {
    fn new(own: OwnCredential, keys: Box<dyn KeyStore>, anchors: MemoryAnchors) -> Self {
        Self { own, keys: Box::new(Replaying { keys, said: RefCell::default() }), anchors }
    }
}

pub(crate) struct Pair {
    pub(crate) device: Side,
    pub(crate) operator: Side,
}

impl Pair {
    /// Chains of two certificates, sent whole.
    pub(crate) fn chains(backend: Backend) -> Self {
        let own = |chain: [&[u8]; 2]| OwnCredential::chain(IDENTITY, &chain).unwrap();
        let keys = backend.keys;
        Self {
            device: Side::new(own(ids::device_chain()), keys(ids::device_key()), ids::device_anchors()),
            operator: Side::new(own(ids::operator_chain()), keys(ids::operator_key()), ids::operator_anchors()),
        }
    }

    /// Raw public keys, named by `kid`.
    pub(crate) fn kids(backend: Backend) -> Self {
        let own = |ccs, role| {
            OwnCredential::pinned(IDENTITY, &Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap()).unwrap()
        };
        let (device, operator) =
            (own(ids::raw_device_ccs(), Role::Device), own(ids::raw_operator_ccs(), Role::Operator));
        let keys = backend.keys;
        Self {
            device: Side::new(device, keys(ids::raw_device_key()), ids::device_anchors()),
            operator: Side::new(operator, keys(ids::raw_operator_key()), ids::operator_anchors()),
        }
    }
}

/// How often each row of a table runs.
pub(crate) fn rounds() -> usize {
    if std::env::args().any(|argument| argument == "--test") { 10 } else { 400 }
}

pub(crate) fn head(what: &str) {
    let rounds = rounds();
    eprintln!("{what:<44} {:>9} {:>9}  over it  allocations   (µs; medians of {rounds}, in turn)", "", "primitives");
}

/// One row: contender and floor in turn, so that both meet the same machine.
pub(crate) fn row(name: &str, run: &dyn Fn(), floor: &dyn Fn()) {
    let time = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let (mut ours, mut least): (Vec<_>, Vec<_>) = (0..rounds()).map(|_| (time(run), time(floor))).unzip();
    let micros = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).unwrap().as_secs_f64() * 1e6
    };
    let (ours, least) = (micros(&mut ours), micros(&mut least));
    let allocations = allocation_counter::measure(run).count_total;
    eprintln!("{name:<44} {ours:>9.1} {least:>9.1} {:>+8.1} % {allocations:>8}", (ours / least - 1.0) * 100.0);
}
