//! What persons and companies sign about a device, and the rules that turn signatures into a decision.
//!
//! ```text
//! association   old owner ── release ────┐
//!               new owner ── acceptance ─┴▶ Association::change ─▶ Association    whose the subscription is
//!
//! grant         owner, user ── CWT ──▶ verify ─▶ Granted ─ first_use ─▶ Permit    what may be used, until when
//!
//! retirement    donor ── retirement ──▶ the new operator's archive               what the old one had is gone
//!
//! takeover      owner ── claim ──▶ begin ─▶ Begun ─ first_use ─▶ Takeover ─ delay ─▶ ripe ─▶ Ripe ─▶ nonce voucher
//!               donor, owner ── veto ────────────────────────────▶ ▲ stops it
//! ```
//!
//! [`voucher`](crate::trust::voucher) says which *operator* a device belongs to; the device itself checks that. This
//! room is about the *persons* behind it, and a server checks it: the device may sleep, and none of these documents is
//! for it.
//!
//! **Who decides what.** [`association`] and [`grant`] are checked by the operator, [`takeover`] by the maker. Keys of
//! owners are P-256 and pinned: the operator has the first one from a contract, and each later one was accepted by its
//! holder.
//!
//! **What a signature means** depends on its context (COSE's `external_aad`): release, acceptance, claim and veto have
//! one each, so none is taken for another. A grant has none, like any CWT; what tells it is its scope, which must be
//! there.
//!
//! **What the library cannot know** is what was before: whether a grant was used, or a claim made. `first_use` of both
//! wants to hear it before it gives anything out.

pub mod association;
pub mod grant;
pub mod retirement;
pub mod takeover;

use alloc::string::ToString;

use arrayvec::ArrayString;

pub use self::{
    association::{Association, Deed},
    grant::{Grant, Granted, Granter, Permit},
    retirement::Retirement,
    takeover::{Claim, Ripe, Takeover},
};
use crate::{crypto::PublicKey, error::Misuse, identity::DeviceId};

/// Longest text of a [`DeviceId`], in bytes: its maker in hexadecimal digits, a slash, a name of 64.
pub const MAX_DEVICE: usize = 97;

/// Bytes of an owner's key: a compressed point of P-256 (SEC 1 §2.3.3).
pub const KEY_LEN: usize = 33;

/// A device in a signed document.
type DeviceText = ArrayString<MAX_DEVICE>;

fn device_text(device: &DeviceId) -> Result<DeviceText, Misuse> {
    ArrayString::from(&device.to_string()).map_err(|_| Misuse::Parameter("the device's name is too long"))
}

fn is_device(text: &str, device: &DeviceId) -> bool {
    text == device.to_string()
}

fn key_bytes(key: &PublicKey) -> Result<[u8; KEY_LEN], Misuse> {
    key.compressed().ok_or(Misuse::Parameter("owners sign with P-256"))
}
