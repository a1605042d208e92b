//! Secrets: which types hold them and what those cannot do; that no nonce meets two plaintexts; and what is printed.
//! What is left in memory is in `tests/memory`, a project of its own.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
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

mod examples;
mod nonces;
mod outputs;
mod types;

/// How much of something, unless the environment wants more.
fn often(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |value| value.parse().expect(name))
}
