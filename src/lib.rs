//! Remote provisioning of 3GPP credentials.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod aka;
pub mod cose;
pub mod credential;
pub mod crypto;
pub mod edhoc;
pub mod error;
pub mod identity;
pub mod provisioning;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
pub mod trust;
pub mod wire;
