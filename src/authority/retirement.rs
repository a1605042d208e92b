//! The donor's last word: what it had of a device is gone.
//!
//! ```cddl
//! retirement = [ domain, device: tstr, owner-epoch: uint, receipt: hash ]      ; COSE_Sign1 by the donor's key
//! ```
//!
//! A device that was handed on signs a receipt for its new operator's credential. The new operator shows it to the old one,
//! which lets go of its own on nobody's word but that, and says so with this. `receipt` is the hash of that receipt, so the
//! two stand together in anybody's archive.

use alloc::vec::Vec;

use super::{DeviceText, device_text, is_device};
use crate::{
    cose::sign1::Sign1,
    crypto::{Crypto, Hash, PublicKey, Signature},
    error::{Backend, Error, Misuse},
    identity::{DeviceId, Domain},
    wire::{self, wire_array},
};

/// Keeps the signature from meaning anything elsewhere.
const CONTEXT: &[u8] = b"RCP retired";

wire_array! {
    /// What a donor signs when it has let go of a device.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Retirement {
        /// Production or test.
        pub domain: Domain,
        device: DeviceText,
        /// The owner epoch that the device is in now.
        pub owner_epoch: u32,
        /// SHA-256 over the device's receipt.
        pub receipt: Hash,
    }
}

impl Retirement {
    /// That this device is in the hands of another operator since this owner epoch, by its receipt of this hash.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if the device's name is too long.
    pub fn new(domain: Domain, device: &DeviceId, owner_epoch: u32, receipt: Hash) -> Result<Self, Misuse> {
        Ok(Self { domain, device: device_text(device)?, owner_epoch, receipt })
    }

    /// Signs and encodes it.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        Ok(wire::encode(&Sign1::create(&wire::encode(self), CONTEXT, sign)?))
    }

    /// Reads one that `donor` signed.
    ///
    /// # Errors
    /// [`Malformed`](crate::error::Malformed) or [`Untrusted::Authentication`](crate::error::Untrusted::Authentication).
    pub fn verify(encoded: &[u8], donor: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        let payload = wire::decode::<Sign1<'_>>(encoded)?.verify(donor, CONTEXT, crypto)?;
        Ok(wire::decode(payload)?)
    }

    /// Whether it is about this device.
    pub fn is_about(&self, device: &DeviceId) -> bool {
        is_device(&self.device, device)
    }
}
