//! AKA against published numbers, and its behaviour where the numbers are silent.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

mod allocation;
mod case;
mod eap;
mod keys;
mod milenage;
mod milenage256;
mod osmo;
mod procedures;
mod sqn;
mod subscriber;
mod suci;
mod tuak;
