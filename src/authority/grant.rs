//! Connectivity on demand: a token by which an owner or a user grants one session, and answers for it.
//!
//! ```cddl
//! grant = #6.18(COSE_Sign1)                             ; a CWT (RFC 8392), ES256, external_aad empty
//! claims = { 1: iss tstr .size (1..64), 2: sub tstr, 3: aud tstr, 4: exp uint, ? 5: nbf uint,
//!            7: cti bstr .size (8..16), -118289: service-profile }    ; without expiry: that is exp
//! ```
//!
//! ```text
//! granter: Grant::sign ─▶ token ─▶ device, or the granter itself ─▶ operator: verify ─▶ Granted
//!              has (iss, cti) been seen? ─▶ Granted::first_use ─▶ Permit ─▶ the package's profile
//! ```
//!
//! **Whose token it is.** Wallets and company portals make grants with whatever COSE library they have, so the COSE
//! layer is the crate's [`foreign`](Sign1::foreign) form: tagged, headers in any order, a `kid` that nobody asks for.
//! The claims are stricter, in ascending order as in RFC 8392's own examples. Claims with other non-negative numbers
//! say nothing here and are passed over, except `cnf` (8): it ties a token to a key, and that would not be kept.
//! Private ones that nobody knows are refused, and so is all that a scope says beyond what is known here: what is not
//! understood may be a limit.
//!
//! **Refused, not narrowed.** A grant wider than the operator's limit is refused ([`Fault::Scope`]). Were it narrowed,
//! the granter would have signed one thing and the receipt would tell of another, and nobody could say which of them is
//! paid for.
//!
//! **One use.** `iss` and `cti` together name a grant. It is used when the device has signed that it uses a credential that
//! came of it ([`Event::Activated`](crate::provisioning::receipt::Event::Activated), in the log): an answer that was lost uses
//! up nothing, and the device it is for has one such transaction at a time. Whether that has happened can only be known where
//! all servers look: [`Granted::first_use`] wants to hear it before it gives out the profile.

use alloc::vec::Vec;

use arrayvec::{ArrayString, ArrayVec};

use super::{device_text, is_device};
use crate::{
    cose::sign1::Sign1,
    credential::ServiceProfile,
    crypto::{Crypto, Hash, KeyKind, PublicKey, Signature},
    error::{Backend, Code, Error, Malformed, Misuse},
    identity::{DeviceId, Domain, PeerName},
    trust::{Date, MAX_CANDIDATES},
    wire::{self, Raw, wire_map},
};

/// Longest name of a granter, in bytes.
pub const MAX_GRANTER: usize = 64;

/// Longest `cti`, in bytes.
pub const MAX_CTI: usize = 16;

/// Shortest `cti`, in bytes: random ones of fewer meet one another.
pub const MIN_CTI: usize = 8;

/// Why a grant grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The token is not what the grammar allows.
    #[error("malformed grant: {0}")]
    Malformed(#[from] Malformed),
    /// The token is not signed by anybody who may grant under the name that it has.
    #[error("grant not authentic")]
    NotAuthentic,
    /// The token is for another device.
    #[error("grant for another device")]
    OtherDevice,
    /// The token is for another operator.
    #[error("grant for another operator")]
    OtherOperator,
    /// The token's time has not come.
    #[error("grant not valid yet")]
    NotYetValid,
    /// The token's time is over.
    #[error("grant expired")]
    Expired,
    /// The token grants more than the operator gives, or something else.
    #[error("grant too wide")]
    Scope,
    /// The token was used before.
    #[error("grant used already")]
    Used,
}

impl Fault {
    /// What the device is told.
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed(_) | Self::NotAuthentic => Code::GrantNotAuthentic,
            Self::OtherDevice | Self::OtherOperator => Code::GrantOtherDevice,
            Self::NotYetValid | Self::Expired => Code::GrantExpired,
            Self::Scope => Code::GrantScope,
            Self::Used => Code::GrantUsed,
        }
    }
}

wire_map! {
    /// `-118289` is the scope, the one claim that is not registered. **Provisional**: a number of the private-use
    /// range, below -65536 (RFC 8392 §9.1).
    struct Claims<'a> {
        1 => iss: &'a str,
        2 => sub: &'a str,
        3 => aud: &'a str,
        4 => exp: u64,
        5 => nbf: Option<u64>,
        7 => cti: &'a [u8],
        8 => cnf: Option<Raw<'a>>,
        -118_289 => scope: Raw<'a>,
    }
}

// ---------------------------------------------------------------------------------------------------------- granter

/// What a granter signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// Who grants: the lawful identity under which the operator knows the granter, 1 to 64 bytes.
    pub iss: &'a str,
    /// The device.
    pub device: &'a DeviceId,
    /// The operator.
    pub operator: &'a PeerName,
    /// From when on it is worth nothing, and the service ends.
    pub expires: Date,
    /// Before when it is worth nothing, if there is such a time.
    pub not_before: Option<Date>,
    /// Names this grant among those of the granter, 8 to 16 bytes: random, or counted.
    pub cti: &'a [u8],
    /// What is granted. Its own `expiry` stays empty: `expires` says it.
    pub scope: &'a ServiceProfile,
}

impl Grant<'_> {
    /// Signs and encodes it: a tagged COSE_Sign1. `sign` makes an ES256 signature with the granter's key.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `iss` or `cti` has another length, or the scope an expiry; those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Error> {
        if self.scope.expiry.is_some() {
            return Err(Misuse::Parameter("a grant has one expiry").into());
        }
        granter_name(self.iss).map_err(|_| Misuse::Parameter("a granter's name has 1 to 64 bytes"))?;
        grant_number(self.cti).map_err(|_| Misuse::Parameter("a cti has 8 to 16 bytes"))?;
        let payload = wire::encode(&Claims {
            iss: self.iss,
            sub: &device_text(self.device)?,
            aud: self.operator.as_str(),
            exp: self.expires.0,
            nbf: self.not_before.map(|date| date.0),
            cti: self.cti,
            cnf: None,
            scope: Raw(&wire::encode(self.scope)),
        });
        Ok(Sign1::create(&payload, &[], sign)?.to_tagged())
    }
}

fn granter_name(name: &str) -> Result<ArrayString<MAX_GRANTER>, Malformed> {
    match name {
        "" => Err(Malformed::WrongLength),
        name => ArrayString::from(name).map_err(|_| Malformed::TooLong),
    }
}

fn grant_number(cti: &[u8]) -> Result<ArrayVec<u8, MAX_CTI>, Malformed> {
    if cti.len() < MIN_CTI {
        return Err(Malformed::WrongLength);
    }
    ArrayVec::try_from(cti).map_err(|_| Malformed::TooLong)
}

// --------------------------------------------------------------------------------------------------------- operator

/// Somebody whose grants count for a device: its owner, or a user that the owner named. By name and key, for one
/// domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granter {
    name: ArrayString<MAX_GRANTER>,
    key: PublicKey,
    domain: Domain,
}

impl Granter {
    /// Calling this is what makes it trusted. `name` is the lawful identity, 1 to 64 bytes, as the operator has checked
    /// it.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for another length, or a key that is not of P-256.
    pub fn new(name: &str, key: PublicKey, domain: Domain) -> Result<Self, Misuse> {
        if key.kind() != KeyKind::P256 {
            return Err(Misuse::Parameter("granters sign with P-256"));
        }
        let name = granter_name(name).map_err(|_| Misuse::Parameter("a granter's name has 1 to 64 bytes"))?;
        Ok(Self { name, key, domain })
    }
}

/// What a grant is held against.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Those who may grant for this device. Of one name, no more than [`MAX_CANDIDATES`] are tried.
    pub granters: &'a [Granter],
    /// The device that asks.
    pub device: &'a DeviceId,
    /// This operator.
    pub operator: &'a PeerName,
    /// Production or test.
    pub domain: Domain,
    /// Today.
    pub today: Date,
    /// The most that the operator gives. Quota and expiry: no more than these; without them, any. Network and slice:
    /// these and no others; without them, a grant that names none. Number: this one or none.
    pub limit: &'a ServiceProfile,
}

/// A grant that is good, and not yet used. Only [`verify`] makes one.
#[derive(Debug)]
pub struct Granted {
    cti: ArrayVec<u8, MAX_CTI>,
    permit: Permit,
}

/// What a grant is called in receipts: see [`Permit::hash`]. For the device, which carries it and does not judge it.
///
/// # Errors
/// [`Malformed`] if it is no COSE_Sign1.
pub fn hash(token: &[u8], crypto: &dyn Crypto) -> Result<Hash, Malformed> {
    Ok(named(&Sign1::foreign(token)?, crypto))
}

fn named(signed: &Sign1<'_>, crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[&signed.to_be_signed(&[])])
}

/// Whether `token` grants service to this device, at this operator, today.
///
/// # Errors
/// [`Fault`] says why not.
pub fn verify(token: &[u8], terms: &Terms<'_>, crypto: &dyn Crypto) -> Result<Granted, Fault> {
    let signed = Sign1::foreign(token)?;
    let claims: Claims<'_> = wire::decode(signed.unverified())?;
    let may_be = |granter: &&Granter| granter.domain == terms.domain && granter.name.as_str() == claims.iss;
    let mut granters = terms.granters.iter().filter(may_be).take(MAX_CANDIDATES);
    if !granters.any(|granter| signed.verify(&granter.key, &[], crypto).is_ok()) {
        return Err(Fault::NotAuthentic);
    }
    claims.check(terms)?;
    let profile = claims.profile()?;
    if !is_within(&profile, terms.limit) {
        return Err(Fault::Scope);
    }
    let hash = named(&signed, crypto);
    Ok(Granted { cti: grant_number(claims.cti)?, permit: Permit { iss: granter_name(claims.iss)?, hash, profile } })
}

impl Claims<'_> {
    /// For whom and when.
    fn check(&self, terms: &Terms<'_>) -> Result<(), Fault> {
        if self.cnf.is_some() {
            return Err(Malformed::Forbidden.into());
        }
        if !is_device(self.sub, terms.device) {
            return Err(Fault::OtherDevice);
        }
        if self.aud != terms.operator.as_str() {
            return Err(Fault::OtherOperator);
        }
        if self.nbf.is_some_and(|not_before| terms.today < Date(not_before)) {
            return Err(Fault::NotYetValid);
        }
        if terms.today >= Date(self.exp) { Err(Fault::Expired) } else { Ok(()) }
    }

    /// What is granted, with the token's end.
    fn profile(&self) -> Result<ServiceProfile, Malformed> {
        let scope: ServiceProfile = wire::decode(self.scope.0)?;
        // Not the same bytes: an entry that this version does not know.
        if scope.expiry.is_some() || wire::encode(&scope) != self.scope.0 {
            return Err(Malformed::Forbidden);
        }
        Ok(ServiceProfile { expiry: Some(self.exp), ..scope })
    }
}

/// Quantities are within the limit, and absent ones are boundless. Names are those of the limit: an absent network or
/// slice is the network's default one, so another one; only the number can be left out.
fn is_within(asked: &ServiceProfile, limit: &ServiceProfile) -> bool {
    let at_most = |asked: Option<u64>, limit: Option<u64>| match (asked, limit) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(asked), Some(limit)) => asked <= limit,
    };
    at_most(asked.quota, limit.quota)
        && at_most(asked.expiry, limit.expiry)
        && asked.dnn == limit.dnn
        && asked.s_nssai == limit.s_nssai
        && (asked.gpsi.is_none() || asked.gpsi == limit.gpsi)
}

impl Granted {
    /// Who grants.
    pub fn iss(&self) -> &str {
        self.permit.iss()
    }

    /// Names the grant among those of the granter, 8 to 16 bytes. Keep which token has it, by its [`hash`], together with
    /// [`Granted::iss`]: another token of that name is a second use. And note it as used in the step that logs that a
    /// credential of it is in use ([`Account::active`](crate::provisioning::Account::active)); until [`Granted::expires`].
    pub fn cti(&self) -> &[u8] {
        &self.cti
    }

    /// From when on the grant is refused anyway.
    pub fn expires(&self) -> Date {
        Date(self.permit.profile.expiry.unwrap_or_default())
    }

    /// What the grant permits, if nobody has used it before.
    ///
    /// # Errors
    /// [`Fault::Used`] if somebody has.
    pub fn first_use(self, first: bool) -> Result<Permit, Fault> {
        if first { Ok(self.permit) } else { Err(Fault::Used) }
    }
}

/// What a grant permits, once. Only [`Granted::first_use`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    iss: ArrayString<MAX_GRANTER>,
    hash: Hash,
    profile: ServiceProfile,
}

impl Permit {
    /// Who granted, and answers for the session.
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// Names the grant in receipts: SHA-256 over what its signature covers. Not over the token, since a signature has
    /// several forms.
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Scope and quota of the grant, with its `exp` as the expiry. Within the operator's limit.
    pub const fn profile(&self) -> &ServiceProfile {
        &self.profile
    }
}
