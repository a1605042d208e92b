//! The rules of the handshake that `tests/handshake.rs` and `tests/trust.rs` do not hold it to: each has a test here that
//! fails when the rule is removed.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

#[path = "../lab/mod.rs"]
mod lab;

mod again;
mod by_value;
mod candidates;
mod items;
mod machines;
mod negotiation;
mod run;
mod session;
