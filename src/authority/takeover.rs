//! A transfer that the present operator (the donor) does not help with: the owner and the maker override it, after a
//! delay and without a veto.
//!
//! ```cddl
//! claim = [ domain, device: tstr, head: hash, next: hash, nonce: bstr .size 16 ]
//!         ; signed by the owner, external_aad "RCP claim"
//! veto  = hash                                   ; of the claim; signed by donor or owner, external_aad "RCP veto"
//! ```
//!
//! ```text
//! owner ── claim ──▶ maker: Takeover::begin ─▶ Begun ─ first_use ─▶ Takeover, stored; the maker tells the donor
//!                           donor or owner ── veto ──▶ Takeover::veto: never ripe
//!                           after the delay ──────────▶ Takeover::ripe ─▶ Ripe
//! device ── request with its nonce ──▶ Ripe::voucher ─▶ the maker signs ─▶ the device has the new owner, one epoch on
//! ```
//!
//! By [`voucher`](crate::trust::voucher)'s rules a device that asks for a voucher with a nonce takes the answer
//! whatever it holds. So the maker's word alone can move any device; this file is what has to come before that word:
//! the owner wants it, the donor has heard of it, and both have had the time to say no.
//!
//! **Why one veto ends it.** The donor may know that the owner's key was stolen, or say that a bill is unpaid: who is
//! in the right is then for a court, whose order the maker follows without this file. An owner whose key was copied
//! sees a claim that it did not make, and stops it with that same key.
//!
//! **Time.** The end of the delay is fixed at the beginning, by the maker's clock: a clock that is set back makes it
//! come later, and one that is set forward again no sooner than it was. A clock that is behind *at the beginning* makes
//! the delay shorter by as much; a maker whose clock is in doubt takes the latest date in its own log.

use alloc::vec::Vec;

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

use super::{DeviceText, KEY_LEN, MAX_DEVICE, device_text, is_device, key_bytes};
use crate::{
    cose::sign1::Sign1,
    crypto::{Crypto, Hash, PublicKey, Signature},
    error::{Backend, Error, Malformed, Misuse},
    identity::{DeviceId, Domain},
    trust::{
        Date,
        voucher::{Assertion, Voucher, VoucherRequest},
    },
    wire::{self, wire_array},
};

/// Shortest delay, in seconds: 7 days. Long enough for a donor's staff to read a notice that comes before a long
/// weekend, and for an owner on the road to find out that a key is gone. Devices that a donor has cut off wait as long,
/// which is the price.
pub const MIN_DELAY_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Keeps a claim's signature from meaning anything elsewhere.
const CLAIM: &[u8] = b"RCP claim";

/// Keeps a veto's signature from meaning anything elsewhere.
const VETO: &[u8] = b"RCP veto";

/// Why a takeover does not begin, or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Claim, veto or request is not what the grammar allows.
    #[error("malformed document: {0}")]
    Malformed(#[from] Malformed),
    /// This program called the library wrongly.
    #[error("misuse: {0}")]
    Misuse(#[from] Misuse),
    /// The claim is not signed by the owner.
    #[error("claim not signed by the owner")]
    NotOwner,
    /// The claim is for the other domain.
    #[error("claim for the other domain (production or test)")]
    OtherDomain,
    /// Claim or voucher request is for another device.
    #[error("claim or request for another device")]
    OtherDevice,
    /// The claim is about a voucher that the device does not hold as far as the maker knows: the donor may be another
    /// one.
    #[error("claim about another voucher")]
    OtherHead,
    /// A takeover by this claim was begun before.
    #[error("claim used already")]
    Used,
    /// The veto is signed by neither the donor nor the owner.
    #[error("veto signed by neither donor nor owner")]
    Stranger,
    /// The veto is against another claim.
    #[error("veto against another claim")]
    OtherClaim,
    /// The veto comes after the delay.
    #[error("veto too late")]
    TooLate,
    /// The delay is not over.
    #[error("delay not over")]
    TooEarly,
    /// Donor or owner said no.
    #[error("vetoed")]
    Vetoed,
    /// The takeover was ended: its device has moved.
    #[error("takeover ended")]
    Ended,
    /// The voucher request is not signed by the device.
    #[error("voucher request not signed by the device")]
    NotDevice,
    /// The device has met another operator than the one that the claim names.
    #[error("voucher request for another operator")]
    OtherOperator,
}

// ------------------------------------------------------------------------------------------------- what is signed

wire_array! {
    /// claim = [ domain, device: tstr, head: hash, next: hash, nonce: bstr .size 16 ]: what the owner signs.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Claim {
        /// Production or test.
        pub domain: Domain,
        /// The device: the text of its [`DeviceId`], at most [`MAX_DEVICE`] bytes.
        pub device: ArrayString<MAX_DEVICE>,
        /// The last entry of the voucher that the device is believed to hold
        /// ([`Outline::head`](crate::trust::voucher::Outline)).
        pub head: Hash,
        /// [Thumbprint](PublicKey::thumbprint) of the new operator's key.
        pub next: Hash,
        /// Random: what tells this claim from one that was vetoed.
        pub nonce: [u8; 16],
    }
}

impl Claim {
    /// That `device`, which holds the voucher with this `head`, is to go to the operator with the key `next`.
    ///
    /// # Errors
    /// None in practice: every device's name fits.
    pub fn new(domain: Domain, device: &DeviceId, head: Hash, next: Hash, nonce: [u8; 16]) -> Result<Self, Misuse> {
        Ok(Self { domain, device: device_text(device)?, head, next, nonce })
    }

    /// Signs and encodes it. `sign` makes an ES256 signature with the owner's key.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        let payload = wire::encode(self);
        Ok(wire::encode(&Sign1::create(&payload, CLAIM, sign)?))
    }

    /// Reads a claim that `owner` signed: for the maker, and for the donor that was told.
    ///
    /// # Errors
    /// [`Fault::Malformed`] or [`Fault::NotOwner`].
    pub fn verify(encoded: &[u8], owner: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Fault> {
        let signed: Sign1<'_> = wire::decode(encoded)?;
        let payload = signed.verify(owner, CLAIM, crypto).map_err(|_| Fault::NotOwner)?;
        Ok(wire::decode(payload)?)
    }

    /// What names it: SHA-256 over the array.
    pub fn hash(&self, crypto: &dyn Crypto) -> Hash {
        crypto.sha256(&[&wire::encode(self)])
    }

    /// A veto against it. `sign` makes an ES256 signature with the key of the donor or the owner.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn veto(
        &self,
        sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>,
        crypto: &dyn Crypto,
    ) -> Result<Vec<u8>, Backend> {
        let payload = wire::encode(&self.hash(crypto));
        Ok(wire::encode(&Sign1::create(&payload, VETO, sign)?))
    }
}

// ------------------------------------------------------------------------------------------------------ the maker

/// What a claim is held against: what the maker knows of the device.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// Production or test.
    pub domain: Domain,
    /// The last entry of its voucher, as the maker's log or the owner's chain has it.
    pub head: &'a Hash,
    /// The key of the person or company whose it is, as its [`Association`](super::Association) has it.
    pub owner: &'a PublicKey,
    /// The key of the operator that the voucher ends in.
    pub donor: &'a PublicKey,
}

/// A claim that is good, and perhaps made before. Only [`Takeover::begin`] makes one.
#[derive(Debug)]
pub struct Begun {
    takeover: Takeover,
}

impl Begun {
    /// The [hash](Claim::hash) of the claim. Make it durable that a takeover was begun by it, in one step with finding
    /// out whether one was before; for good, or else a claim that was vetoed comes back.
    pub const fn claim(&self) -> &Hash {
        &self.takeover.claim
    }

    /// The takeover, if none was begun by this claim before.
    ///
    /// # Errors
    /// [`Fault::Used`] if one was.
    pub fn first_use(self, first: bool) -> Result<Takeover, Fault> {
        if first { Ok(self.takeover) } else { Err(Fault::Used) }
    }
}

/// Who may say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The owner.
    Owner,
    /// The present operator.
    Donor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Vetoed(Party),
    Ended,
}

/// A takeover under way. A serde value, for the maker's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    #[serde(with = "serde_bytes")]
    claim: Hash,
    device: DeviceText,
    #[serde(with = "serde_bytes")]
    next: Hash,
    #[serde(with = "serde_bytes")]
    owner: [u8; KEY_LEN],
    #[serde(with = "serde_bytes")]
    donor: [u8; KEY_LEN],
    ripe_at: u64,
    state: State,
}

impl Takeover {
    /// Takes in a claim. Once it is [used](Begun::first_use) and stored, tell the donor, with the claim itself; the
    /// delay, in seconds, starts now.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for a delay below [`MIN_DELAY_SECONDS`] or beyond all dates, or a key that is not of
    /// P-256; otherwise [`Fault`] says what is wrong with the claim.
    pub fn begin(
        claim: &[u8],
        known: &Known<'_>,
        now: Date,
        delay_seconds: u64,
        crypto: &dyn Crypto,
    ) -> Result<Begun, Fault> {
        if delay_seconds < MIN_DELAY_SECONDS {
            return Err(Misuse::Parameter("the delay is too short").into());
        }
        let ripe_at = now.0.checked_add(delay_seconds).ok_or(Misuse::Parameter("the delay is too long"))?;
        let (owner, donor) = (key_bytes(known.owner)?, key_bytes(known.donor)?);
        let claim = Claim::verify(claim, known.owner, crypto)?;
        if claim.domain != known.domain {
            return Err(Fault::OtherDomain);
        }
        if !is_device(&claim.device, known.device) {
            return Err(Fault::OtherDevice);
        }
        if claim.head != *known.head {
            return Err(Fault::OtherHead);
        }
        let (hash, state) = (claim.hash(crypto), State::Waiting);
        let takeover = Self { claim: hash, device: claim.device, next: claim.next, owner, donor, ripe_at, state };
        Ok(Begun { takeover })
    }

    /// Stops it for good, if donor or owner say so before the delay is over. A second veto changes nothing.
    ///
    /// # Errors
    /// [`Fault::Stranger`], [`Fault::OtherClaim`], [`Fault::TooLate`], [`Fault::Ended`] or [`Fault::Malformed`]: then
    /// it is as it was.
    pub fn veto(&mut self, veto: &[u8], now: Date, crypto: &dyn Crypto) -> Result<(), Fault> {
        let veto: Sign1<'_> = wire::decode(veto)?;
        let of = |key: &[u8; KEY_LEN]| crypto.point(key).ok().and_then(|key| veto.verify(&key, VETO, crypto).ok());
        let (party, payload) = match (of(&self.owner), of(&self.donor)) {
            (Some(payload), _) => (Party::Owner, payload),
            (None, Some(payload)) => (Party::Donor, payload),
            (None, None) => return Err(Fault::Stranger),
        };
        if wire::decode::<Hash>(payload)? != self.claim {
            return Err(Fault::OtherClaim);
        }
        match self.state {
            State::Vetoed(_) => Ok(()),
            State::Ended => Err(Fault::Ended),
            State::Waiting if now >= self.ripe_at() => Err(Fault::TooLate),
            State::Waiting => {
                self.state = State::Vetoed(party);
                Ok(())
            }
        }
    }

    /// The right to move the device, if the delay is over and nobody said no. As often as the device asks, until
    /// [`Takeover::end`].
    ///
    /// # Errors
    /// [`Fault::Vetoed`], [`Fault::Ended`] or [`Fault::TooEarly`].
    pub fn ripe(&self, now: Date) -> Result<Ripe<'_>, Fault> {
        match self.state {
            State::Vetoed(_) => Err(Fault::Vetoed),
            State::Ended => Err(Fault::Ended),
            State::Waiting if now < self.ripe_at() => Err(Fault::TooEarly),
            State::Waiting => Ok(Ripe { takeover: self, now }),
        }
    }

    /// Ends it: the new operator has the device, or the owner wants it no more. Without this the new operator could
    /// have the device back at any time, after it has moved on.
    pub const fn end(&mut self) {
        // A veto stays what stopped it.
        if let State::Waiting = self.state {
            self.state = State::Ended;
        }
    }

    /// The [hash](Claim::hash) of the claim.
    pub const fn claim(&self) -> &Hash {
        &self.claim
    }

    /// When the delay is over.
    pub const fn ripe_at(&self) -> Date {
        Date(self.ripe_at)
    }

    /// Who said no, if somebody did.
    pub const fn vetoed(&self) -> Option<Party> {
        match self.state {
            State::Vetoed(party) => Some(party),
            State::Waiting | State::Ended => None,
        }
    }
}

/// The right to sign the voucher that moves a device. Only [`Takeover::ripe`] gives it.
#[derive(Clone, Copy, Debug)]
pub struct Ripe<'a> {
    takeover: &'a Takeover,
    now: Date,
}

impl Ripe<'_> {
    /// The voucher for the maker to [sign](Voucher::sign), in answer to the request that the device made when it met
    /// the new operator. `device` is the key of the device's identity.
    ///
    /// # Errors
    /// [`Fault::NotDevice`], [`Fault::OtherDevice`], [`Fault::OtherOperator`] or [`Fault::Malformed`].
    pub fn voucher<'r>(
        &self,
        request: &'r [u8],
        device: &PublicKey,
        crypto: &dyn Crypto,
    ) -> Result<Voucher<'r>, Fault> {
        let request = VoucherRequest::verify(request, device, crypto).map_err(|error| match error {
            Error::Malformed(malformed) => malformed.into(),
            _ => Fault::NotDevice,
        })?;
        // MAKER/NAME, and only a name has further slashes.
        if self.takeover.device.split_once('/').is_none_or(|(_, name)| name != request.serial) {
            return Err(Fault::OtherDevice);
        }
        if request.registrar.thumbprint(crypto) != Ok(self.takeover.next) {
            return Err(Fault::OtherOperator);
        }
        Ok(Voucher::answering(&request, Assertion::Verified, self.now))
    }
}
