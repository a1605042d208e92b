//! In the place of X.509 where the feature `x509` is off: there are no anchors, so no chain leads to one.
//!
//! The types are there so that a [`TrustAnchors`] reads the same with the feature and without. Of [`Anchor`] and
//! [`RevocationList`] there are no values.

use arrayvec::ArrayVec;

use super::{Date, MAX_CHAIN, Peer, TrustAnchors};
use crate::{
    crypto::Crypto,
    error::{Result, Untrusted},
    identity::{Domain, Role},
};

/// A root that this party trusts. There is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {}

impl Anchor {
    /// The side it vouches for.
    pub const fn role(&self) -> Role {
        match *self {}
    }

    /// Production or test.
    pub const fn domain(&self) -> Domain {
        match *self {}
    }

    pub(super) const fn same_key(&self, _: &Self) -> bool {
        match *self {}
    }
}

/// A revocation list whose signature has been checked. There is none.
#[derive(Clone, Copy, Debug)]
pub enum RevocationList {}

/// What is known of revoked certificates: nothing.
#[derive(Debug, Default)]
pub struct Revocations(());

impl Revocations {
    /// No lists and no floors.
    pub const fn none() -> Self {
        Self(())
    }
}

pub(super) const fn validate(
    _: &ArrayVec<&[u8], MAX_CHAIN>,
    _: Role,
    _: Domain,
    _: &dyn TrustAnchors,
    _: &dyn Crypto,
    _: Option<Date>,
) -> Result<Peer> {
    Err(crate::error::Error::Untrusted(Untrusted::NoAnchor))
}
