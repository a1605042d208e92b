//! What the two networked examples agree on: resources, device names, randomness, the date.
//!
//! ```text
//! POST rcp                message_1               2.01, message_2, Location-Path s/ID
//! POST s/ID               the device's next one   2.04, the operator's answer
//! POST s/ID, Block2 n     (nothing)               2.04, block n of the operator's last answer
//! POST attach             IMSI digits             2.01, RAND ‖ AUTN, Location-Path a/ID
//! POST a/ID               0 ‖ RES                 2.04, or 4.03
//! POST a/ID               1 ‖ AUTS                2.01, RAND ‖ AUTN, Location-Path a/ID
//! GET metrics                                     2.05, text
//! ```
//!
//! Long messages go in blocks (RFC 7959). An operator under load answers message_1 with 4.01 and an Echo option (RFC 9175
//! §2.2): the device sends it again with that option. Errors of EDHOC come with 4.00.

use std::time::{SystemTime, UNIX_EPOCH};

use remote_provisioning::{
    crypto::Rng,
    error::{Backend, Malformed},
    identity::PeerName,
    trust::Date,
};

/// Where message_1 goes.
pub(crate) const PROVISION: &str = "rcp";

/// Where a device attaches.
pub(crate) const ATTACH: &str = "attach";

/// What the server counts.
pub(crate) const METRICS: &str = "metrics";

/// The Echo option (RFC 9175 §2.2.1).
pub(crate) const ECHO: u16 = 252;

/// First byte of what a device answers to a challenge: RES follows.
pub(crate) const RES: u8 = 0;

/// AUTS follows.
pub(crate) const AUTS: u8 = 1;

/// The name of the test maker's device with this number.
///
/// # Errors
/// None in practice.
pub(crate) fn device_name(number: u32) -> Result<PeerName, Malformed> {
    format!("IOT-0002-{:04}-{:04}", number / 10_000, number % 10_000).parse()
}

/// The operating system's random source.
pub(crate) struct SystemRandom;

impl Rng for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        getrandom::fill(out).map_err(|_| Backend::Random)
    }
}

/// A random number.
///
/// # Errors
/// [`Backend::Random`].
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Backend> {
    let mut bytes = [0; N];
    SystemRandom.fill(&mut bytes)?;
    Ok(bytes)
}

/// Now, in seconds since 1970.
pub(crate) fn today() -> Date {
    Date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
