//! Core networks that are not ours: what we write for them, and one of them at work.
//!
//! `shapes` holds the documents against what the cores' own tools write. `model` lets random questions fall on the adapters
//! and on `sim::home`, which must agree, also where steps broke off in the middle. `attach` runs a real osmo-hlr: the crate's
//! own machines provision a device into its database, and it attaches. `served` does the same with the example server and
//! the example device, as processes.
//!
//! Without osmo-hlr its part says so and passes. Where the environment has `REQUIRE_OSMO_HLR`, as in CI, it fails.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a test that panics has found something"
)]

#[path = "../../examples/device_client/file_store.rs"]
mod file_store;
#[path = "../lab/mod.rs"]
mod lab;
#[path = "../real/chaos/processes.rs"]
#[allow(dead_code, reason = "the rest is for `chaos`")]
mod processes;
#[path = "../../examples/operator_server/sqlite.rs"]
mod sqlite;

mod attach;
mod gsup;
mod hlr;
mod model;
mod mongo;
mod served;
mod shapes;

use remote_provisioning::{
    aka::Sqn,
    credential::{Algorithm, Secrets, ServiceProfile},
    crypto::Secret,
    identity::{DeviceId, Supi},
    provisioning::{Question, question::CoreCredential, question::UpTo},
    wire,
};

/// K is this byte, OPc the next.
fn credential(supi: &str, epoch: u32, key: u8) -> CoreCredential {
    CoreCredential {
        device: device("meter \"1\", \\ north"),
        supi: supi.parse().unwrap(),
        epoch,
        algorithm: Algorithm::Milenage,
        secrets: Secrets {
            k: Secret::from_slice(&[key; 16]).unwrap(),
            opc: Secret::from_slice(&[key + 1; 16]).unwrap(),
            sqn: Sqn::from_bytes([0, 0, 0, 0, 0, 32]),
        },
        profile: None,
    }
}

fn put(supi: &str, epoch: u32, key: u8) -> Question {
    Question::PutIntoCore(Box::new(credential(supi, epoch, key)))
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(Some([0xab; 16]), name.parse().unwrap())
}

fn up_to(supi: &str, epoch: u32) -> UpTo {
    UpTo { supi: supi.parse::<Supi>().unwrap(), epoch }
}

/// A subscription with a number, a data network and a slice.
fn profile() -> ServiceProfile {
    // service-profile = { 1: gpsi, 2: dnn, 3: [ sst, sd ] }
    wire::decode(b"\xa3\x01\x73msisdn-491701234567\x02\x63iot\x03\x82\x01\x1a\x00\x01\x02\x03").unwrap()
}
