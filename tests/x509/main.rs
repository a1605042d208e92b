//! Chains of certificates: each trap by itself, at each place of a chain of each length, for each role, with a clock and
//! without; revocation lists whose epoch never goes back; and what a changed byte does.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod chains;
#[path = "../cost/counted.rs"]
mod counted;
mod forge;
mod known;
mod revocation;

use arrayvec::ArrayVec;
use remote_provisioning::{
    crypto::rustcrypto::RustCrypto,
    error::{Error, Untrusted},
    identity::{Domain, Role},
    trust::{Anchor, CredentialId, Date, MemoryAnchors, Peer, verify},
};

/// 2026-01-01.
const TODAY: Date = Date(1_767_225_600);

const ROLES: [Role; 3] = [Role::Device, Role::Operator, Role::Relay];

/// One root, for one role and domain.
fn trusting(role: Role, domain: Domain) -> MemoryAnchors {
    let mut anchors = MemoryAnchors::new();
    anchors.add_anchor(Anchor::from_certificate(&forge::root(), role, domain).unwrap()).unwrap();
    anchors
}

fn believe(
    chain: &[Vec<u8>],
    role: Role,
    domain: Domain,
    anchors: &MemoryAnchors,
    date: Option<Date>,
) -> Result<Peer, Error> {
    let chain: ArrayVec<&[u8], 4> = chain.iter().map(Vec::as_slice).collect();
    let peers = verify(&CredentialId::Chain(chain), role, domain, anchors, &RustCrypto, date)?;
    Ok(peers.into_iter().next().unwrap().into_inner())
}

fn untrusted(result: Result<Peer, Error>) -> Option<Untrusted> {
    match result {
        Ok(_) => None,
        Err(Error::Untrusted(reason)) => Some(reason),
        Err(other) => panic!("{other:?}"),
    }
}
