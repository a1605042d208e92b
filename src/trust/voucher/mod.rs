//! Whose device is this? The maker's word, and each owner's after it.
//!
//! ```text
//! Maker ── signs ──▶ entry 1: constrained voucher   pins the key of owner 1
//! owner 1 ─ signs ─▶ entry 2: extension             [ hash of entry 1, thumbprint of owner 2's key, owner epoch, domain ]
//! owner 2 ─ signs ─▶ entry 3 …                      at most 16 entries
//!                                                   └▶ the key with which the operator authenticated in message_2
//! ```
//!
//! An anchor says that somebody is *an* operator; a voucher says that it is the owner of *this* device. It pins public
//! keys, never names or whatever certificate is shown.
//!
//! **What the device keeps.** [`Ownership`]: the owner epoch, the hash of the last entry it accepted, and that owner's key.
//! A chain that does not hold that entry is out of date if it does not reach beyond the epoch, and a fork if it does. An
//! entry is named by the hash of what its signature covers, not by its bytes: a signature has several forms.
//!
//! **What it cannot do.** Until a device has stored a new head, a corrupt former owner can still extend a branch of its
//! own; to the device both are equally good, and the first one shown wins. The maker's voucher with a nonce closes the gap:
//! a device that asked for one ([`VoucherRequest`]) takes the answer whatever it holds, one epoch on.
//!
//! **Time.** A voucher with `expires-on` needs a clock or the nonce (RFC 8366 §5.3); once the device holds an entry of the
//! chain, its first entry's end does not matter any more. `idevid-issuer` is not compared: a [`Maker`] is trusted for its
//! own devices' serial numbers.

mod chain;
mod constrained;

use self::chain::Chain;
pub use self::{
    chain::{MAX_ENTRIES, Outline, extend, first, outline},
    constrained::{Assertion, Pin, Voucher, VoucherRequest},
};
use super::{Date, MAX_CANDIDATES, Peer, TrustAnchors};
use crate::{
    crypto::{Crypto, HASH_LEN, Hash, PublicKey},
    error::{self, Error, Malformed, Result},
    identity::{Domain, PeerName},
    wire::{self, Reader, Wire, Writer, wire_array},
};

/// Somebody whose vouchers a device believes: its manufacturer's authorized signing authority (MASA, RFC 8995 §2), by its
/// key, for one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    key: PublicKey,
    domain: Domain,
}

impl Maker {
    /// Calling this is what makes it trusted.
    pub const fn new(key: PublicKey, domain: Domain) -> Self {
        Self { key, domain }
    }

    /// The key that it signs vouchers with.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Production or test.
    pub const fn domain(&self) -> Domain {
        self.domain
    }
}

wire_array! {
    /// ownership = [ epoch: uint, head: hash, owner: hash ]: what a device holds of the voucher it accepted last.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ownership {
        /// The owner epoch: 1 for the first owner, and higher for each after it.
        pub epoch: u32,
        /// Hash of the last entry.
        pub head: Hash,
        /// [Thumbprint](PublicKey::thumbprint) of the owner's key.
        pub owner: Hash,
    }
}

impl Ownership {
    /// That `operator` is the owner.
    ///
    /// # Errors
    /// [`OtherOwner`](error::Voucher::OtherOwner).
    pub fn check(&self, operator: &Peer, crypto: &dyn Crypto) -> Result<(), error::Voucher> {
        if operator.public_key().thumbprint(crypto) == self.owner { Ok(()) } else { Err(error::Voucher::OtherOwner) }
    }
}

/// Who a device is and what it knows, when somebody shows it a voucher.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// Its serial number.
    pub serial: &'a PeerName,
    /// Production or test.
    pub domain: Domain,
    /// What it holds; `None` before the first owner.
    pub held: Option<&'a Ownership>,
    /// The nonce that it sent with its [`VoucherRequest`], if it sent one.
    pub nonce: Option<&'a [u8]>,
    /// The calendar date, if it knows it.
    pub date: Option<Date>,
}

/// Whether `chain` makes `operator` the owner of this device: what the device is to hold from then on.
///
/// # Errors
/// [`Voucher`](error::Voucher) says why not; [`Malformed`].
pub fn verify(
    chain: &[u8],
    holder: &Holder<'_>,
    operator: &Peer,
    anchors: &dyn TrustAnchors,
    crypto: &dyn Crypto,
) -> Result<Ownership> {
    use error::Voucher as Fault;
    let chain = Chain::read(chain)?;
    let makers = anchors.makers().iter().filter(|maker| maker.domain == holder.domain).take(MAX_CANDIDATES);
    let payload = makers.filter_map(|maker| chain.head.verify(&maker.key, &[], crypto).ok()).next();
    let voucher = Voucher::decode(payload.ok_or(Fault::Signer)?)?;
    if voucher.serial != holder.serial.as_str() {
        return Err(Fault::OtherDevice.into());
    }
    let fresh = voucher.nonce.is_some() && voucher.nonce == holder.nonce;
    // The epoch of the first entry is the device's own affair: nothing in a constrained voucher says it.
    let first = match holder.held {
        Some(held) if fresh => held.epoch.checked_add(1).ok_or(Fault::Stale)?,
        Some(_) | None => 1,
    };
    // Whether the entry that the device holds is in the line, and the epoch of the one after it.
    let (mut known, mut after) = (false, None);
    let last = chain.walk(&voucher, first, Some(holder.domain), crypto, &mut |link| {
        if known && after.is_none() {
            after = Some(link.epoch);
        }
        known |= holder.held.is_some_and(|held| link.hash == held.head);
    })?;
    let ownership = match holder.held {
        Some(held) if !fresh => match (known, after) {
            (false, _) => return Err(if last.epoch <= held.epoch { Fault::Stale } else { Fault::Forked }.into()),
            (true, Some(next)) if next <= held.epoch => return Err(Fault::Broken.into()),
            (true, Some(_)) => Ownership { epoch: last.epoch, head: last.hash, owner: last.owner },
            (true, None) => *held,
        },
        Some(_) | None => {
            if voucher.nonce.is_some() && !fresh {
                return Err(Fault::Stale.into());
            }
            if let Some(end) = voucher.expires_on
                && !fresh
                && holder.date.is_none_or(|date| date >= end)
            {
                return Err(Fault::Expired.into());
            }
            Ownership { epoch: last.epoch, head: last.hash, owner: last.owner }
        }
    };
    ownership.check(operator, crypto)?;
    Ok(ownership)
}

impl From<error::Voucher> for Error {
    fn from(fault: error::Voucher) -> Self {
        error::Untrusted::from(fault).into()
    }
}
