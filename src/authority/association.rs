//! Who a subscription belongs to at the operator: the owner's key and the number (GPSI).
//!
//! ```cddl
//! deed = [ domain, device: tstr, number: uint, previous: hash / null,
//!          owner: bstr .size 33, gpsi: tstr / null, expires: uint ]
//! release    = COSE_Sign1( deed ) by the old owner     ; external_aad "RCP release"
//! acceptance = COSE_Sign1( deed ) by the new owner     ; external_aad "RCP acceptance", the same bytes
//! ```
//!
//! ```text
//! old owner:  Association::deed ─▶ Deed::release ─▶ release ─┬──────────────────▶ operator: Association::change
//! new owner:                     Deed::offered ◀────────────┘─▶ acceptance ─▶ ▲
//! ```
//!
//! A deed makes the association with its `number`, which is one more than that of the one before; `previous` is the
//! SHA-256 hash of the deed that made that one, `null` where the operator made it. So a deed fits one association and
//! no other: whoever owned the device before has nothing to show any more, and of two deeds for one association the
//! second is stale.
//!
//! **Both sign**, because nobody is to get a device, and the bills that come with it, without wanting it. An owner that
//! changes the number only signs both.
//!
//! The device takes no part: what it holds names no person.
//!
//! **What it cannot do.** A deed does not name the operator. An owner who has one device at two operators, one after
//! the other, lets a deed expire soon: days, not years.

use alloc::vec::Vec;

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

use super::{KEY_LEN, MAX_DEVICE, device_text, is_device, key_bytes};
use crate::{
    cose::sign1::Sign1,
    credential::MAX_GPSI,
    crypto::{Crypto, Hash, PublicKey, Signature},
    error::{Backend, Malformed, Misuse},
    identity::{DeviceId, Domain},
    trust::Date,
    wire::{self, wire_array},
};

/// Keeps a release from meaning anything elsewhere.
const RELEASE: &[u8] = b"RCP release";

/// Keeps an acceptance from meaning anything elsewhere, above all a release.
const ACCEPTANCE: &[u8] = b"RCP acceptance";

/// Why an association stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Release, acceptance or deed is not what the grammar allows.
    #[error("malformed deed: {0}")]
    Malformed(#[from] Malformed),
    /// The release is not signed by the owner.
    #[error("not released by the owner")]
    NotReleased,
    /// The acceptance is not signed by the owner that the deed names.
    #[error("not accepted by the new owner")]
    NotAccepted,
    /// Release and acceptance are about different deeds.
    #[error("release and acceptance of different deeds")]
    OtherDeed,
    /// The deed is for the other domain.
    #[error("deed for the other domain (production or test)")]
    OtherDomain,
    /// The deed is for another device.
    #[error("deed for another device")]
    OtherDevice,
    /// The deed does not follow from the association: it was used before, or another one was.
    #[error("deed out of date")]
    Stale,
    /// The deed's time is over.
    #[error("deed expired")]
    Expired,
}

/// Who a subscription belongs to. A serde value, for the operator's database: one per device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Association {
    number: u32,
    #[serde(with = "serde_bytes")]
    deed: Option<Hash>,
    #[serde(with = "serde_bytes")]
    owner: [u8; KEY_LEN],
    gpsi: Option<ArrayString<MAX_GPSI>>,
}

impl Association {
    /// The first one of a device, number 1, by the operator's own word: from a contract. For a device that has one
    /// already there is [`Association::again`].
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `owner` is no P-256 key.
    pub fn first(owner: &PublicKey, gpsi: Option<ArrayString<MAX_GPSI>>) -> Result<Self, Misuse> {
        Ok(Self { number: 1, deed: None, owner: key_bytes(owner)?, gpsi })
    }

    /// The next one by the operator's own word: the owner has lost the key, or a court has spoken. It counts on, so
    /// that no deed for an earlier one fits.
    ///
    /// # Errors
    /// As [`Association::first`]; [`Misuse::NotNow`] after 2³² − 1 of them.
    pub fn again(&self, owner: &PublicKey, gpsi: Option<ArrayString<MAX_GPSI>>) -> Result<Self, Misuse> {
        Ok(Self { number: self.next()?, ..Self::first(owner, gpsi)? })
    }

    /// The deed that makes `owner` the next owner, under the number `gpsi`, if it is used before `expires`.
    ///
    /// # Errors
    /// As [`Association::again`].
    pub fn deed(
        &self,
        device: &DeviceId,
        domain: Domain,
        owner: &PublicKey,
        gpsi: Option<ArrayString<MAX_GPSI>>,
        expires: Date,
    ) -> Result<Deed, Misuse> {
        let (device, number) = (device_text(device)?, self.next()?);
        Ok(Deed { domain, device, number, previous: self.deed, owner: key_bytes(owner)?, gpsi, expires: expires.0 })
    }

    /// What the association becomes by a deed that the owner has released and the next owner has accepted. From then on
    /// the former owner's signatures are worth nothing.
    ///
    /// # Errors
    /// [`Fault`] says why it stays as it is.
    pub fn change(
        &self,
        release: &[u8],
        acceptance: &[u8],
        device: &DeviceId,
        domain: Domain,
        today: Date,
        crypto: &dyn Crypto,
    ) -> Result<Self, Fault> {
        let (release, acceptance): (Sign1<'_>, Sign1<'_>) = (wire::decode(release)?, wire::decode(acceptance)?);
        let bytes = signed_by(&release, &self.owner, RELEASE, crypto).ok_or(Fault::NotReleased)?;
        if acceptance.unverified() != bytes {
            return Err(Fault::OtherDeed);
        }
        let deed: Deed = wire::decode(bytes)?;
        signed_by(&acceptance, &deed.owner, ACCEPTANCE, crypto).ok_or(Fault::NotAccepted)?;
        self.check(&deed, device, domain, today)?;
        Ok(Self { number: deed.number, deed: Some(crypto.sha256(&[bytes])), owner: deed.owner, gpsi: deed.gpsi })
    }

    /// What a deed has to say, whoever signed it.
    fn check(&self, deed: &Deed, device: &DeviceId, domain: Domain, today: Date) -> Result<(), Fault> {
        if deed.domain != domain {
            return Err(Fault::OtherDomain);
        }
        if !is_device(&deed.device, device) {
            return Err(Fault::OtherDevice);
        }
        if self.next() != Ok(deed.number) || deed.previous != self.deed {
            return Err(Fault::Stale);
        }
        if today >= Date(deed.expires) { Err(Fault::Expired) } else { Ok(()) }
    }

    fn next(&self) -> Result<u32, Misuse> {
        self.number.checked_add(1).ok_or(Misuse::NotNow("association numbers are used up"))
    }

    /// 1 for the first association of a device, then one more each.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// SHA-256 hash of the deed that made it; `None` if the operator did.
    pub const fn deed_hash(&self) -> Option<&Hash> {
        self.deed.as_ref()
    }

    /// The owner's key, a compressed point of P-256.
    pub const fn owner(&self) -> &[u8; KEY_LEN] {
        &self.owner
    }

    /// The number that the subscription is reached under, if it has one.
    pub const fn gpsi(&self) -> Option<&ArrayString<MAX_GPSI>> {
        self.gpsi.as_ref()
    }
}

/// The payload, if the holder of `key` signed it. Bytes that are no point are the key of nobody.
fn signed_by<'a>(document: &Sign1<'a>, key: &[u8; KEY_LEN], context: &[u8], crypto: &dyn Crypto) -> Option<&'a [u8]> {
    let key = crypto.point(key).ok()?;
    document.verify(&key, context, crypto).ok()
}

wire_array! {
    /// deed = [ domain, device: tstr, number: uint, previous: hash / null, owner: bstr .size 33, gpsi: tstr / null,
    ///          expires: uint ]: what old and new owner sign. [`Association::deed`] makes one that fits.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Deed {
        /// Production or test.
        pub domain: Domain,
        /// The device: the text of its [`DeviceId`], at most [`MAX_DEVICE`] bytes.
        pub device: ArrayString<MAX_DEVICE>,
        /// The number of the association that it makes.
        pub number: u32,
        /// SHA-256 hash of the deed before; `None` after an association that the operator made.
        pub previous: Option<Hash>,
        /// The key of the owner from then on, a compressed point of P-256.
        pub owner: [u8; KEY_LEN],
        /// The number that the subscription is reached under from then on; `None` for none.
        pub gpsi: Option<ArrayString<MAX_GPSI>>,
        /// Seconds since 1970, from which on it makes nothing any more.
        pub expires: u64,
    }
}

impl Deed {
    /// The deed that a release is about, for the new owner to look at before it signs. **Nobody has checked the
    /// release.**
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn offered(release: &[u8]) -> Result<Self, Malformed> {
        wire::decode(wire::decode::<Sign1<'_>>(release)?.unverified())
    }

    /// The old owner's word. `sign` makes an ES256 signature with its key.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn release(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        self.signed(RELEASE, sign)
    }

    /// The new owner's word. `sign` makes an ES256 signature with its key.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn acceptance(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        self.signed(ACCEPTANCE, sign)
    }

    fn signed(
        &self,
        context: &[u8],
        sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>,
    ) -> Result<Vec<u8>, Backend> {
        let payload = wire::encode(self);
        Ok(wire::encode(&Sign1::create(&payload, context, sign)?))
    }
}
