//! The whole life of a subscription: every operation through the public API, each with its refusals.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that panics has found something"
)]

#[path = "../lab/mod.rs"]
mod lab;

mod authority;
mod pauses;
mod receipts;
mod replay;
mod standing;
mod takeover;
mod two_phase;

use lab::Lab;
use remote_provisioning::{
    credential::{Activation, Previous},
    error::{Code, Error, Refused},
    provisioning::device::Goal,
};

fn refused(code: Code) -> Result<(), Error> {
    Err(Refused::Code(code).into())
}

/// A device with a subscription that both sides call complete.
fn subscriber(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    assert_eq!(lab.go(Goal::Provision), Ok(()));
    lab
}

/// The ways to give a device a new K, each with what it starts from.
fn ways(seed: u64) -> Vec<(&'static str, Lab, Goal)> {
    let mut two_phase = Lab::new(seed);
    two_phase.home.activation = Activation::TwoPhase;
    let (mut beside, mut shared) = (subscriber(seed), subscriber(seed));
    beside.home.mode = Previous::Beside;
    shared.home.mode = Previous::Shared;
    vec![
        ("one-shot", Lab::new(seed), Goal::Provision),
        ("two-phase", two_phase, Goal::Provision),
        ("mode N", beside, Goal::Rekey),
        ("mode S", shared, Goal::Rekey),
    ]
}
