//! Large messages over small links: fragments, links that lose and repeat, CoAP's blocks, EAP, cookies, relays; and whole
//! provisionings through them.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

#[path = "../lab/mod.rs"]
mod lab;

mod blocks;
mod cookies;
mod door;
mod eap;
mod fragments;
mod garbage;
mod links;
mod onboarding;
mod relays;
mod through;

use remote_provisioning::{
    error::{Error, Fragment},
    wire::MAX_MESSAGE,
};

/// How often something is done, and in the interpreter that finds undefined behaviour a hundredth of it.
const fn often(times: u64) -> u64 {
    if cfg!(miri) { times.div_ceil(100) } else { times }
}

/// All lengths of a message; in that interpreter a few.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=MAX_MESSAGE).step_by(if cfg!(miri) { 1_021 } else { 1 })
}

/// `len` bytes that differ from their neighbours, and from those of another `seed`.
fn message(len: usize, seed: u8) -> Vec<u8> {
    let byte = |at: usize| (at.wrapping_mul(167) ^ (at >> 8)) as u8 ^ seed.wrapping_mul(29);
    (0..len).map(byte).collect()
}

/// The allocations that `work` makes, and their bytes.
fn allocated<T>(work: impl FnOnce() -> T) -> (u64, u64, T) {
    let mut result = None;
    let counted = allocation_counter::measure(|| result = Some(work()));
    (counted.count_total, counted.bytes_total, result.unwrap())
}

fn refused<T>(fragment: Fragment) -> Result<T, Error> {
    Err(fragment.into())
}
