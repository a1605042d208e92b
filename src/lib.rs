//! Remote provisioning of 3GPP credentials.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod aka;
pub mod crypto;
pub mod error;
pub mod identity;
pub mod store;
pub mod trust;
pub mod wire;
