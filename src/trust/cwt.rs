//! CWTs (RFC 8392): claims as in [`ccs`](super::ccs), signed by an [`Issuer`] whom this party trusts for one role and one
//! domain. To a certificate what a CCS is to a raw key, in a third of the bytes.
//!
//! ```text
//! cwt = [ << { 1: -7, ? 4: kid } >>, { ? 4: kid }, << ccs >>, signature: bstr .size 64 ]     COSE_Sign1, untagged
//! ```
//!
//! `kid` is the issuer's, in either header. Without one, or where several issuers have it, at most
//! [`MAX_CANDIDATES`] of them are tried. Only ES256. An issuer issues to peers and to nobody else:
//! there are no chains of CWTs.

use alloc::boxed::Box;

use super::{Date, MAX_CANDIDATES, Peer, TrustAnchors, ccs::Claims};
use crate::{
    cose::sign1::to_be_signed,
    crypto::{Crypto, Hash, PublicKey, Signature},
    error::{Malformed, Result, Untrusted},
    identity::{Domain, Role},
    wire::{Raw, Reader, Wire, decode, wire_map},
};

/// ES256 (RFC 9053 §2.1).
const ES256: i64 = -7;

/// Somebody whose signature makes a CWT believed, for one role and one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    kid: Option<Box<[u8]>>,
    public_key: PublicKey,
    role: Role,
    domain: Domain,
}

impl Issuer {
    /// Takes key and `kid` from a CCS. Calling this is what makes it trusted: its dates are not looked at.
    ///
    /// # Errors
    /// As [`Pinned::from_ccs`](super::Pinned::from_ccs).
    pub fn from_ccs(ccs: &[u8], role: Role, domain: Domain, crypto: &dyn Crypto) -> Result<Self> {
        let claims: Claims<'_> = decode(ccs)?;
        Ok(Self { kid: claims.kid()?, public_key: claims.public_key(crypto)?, role, domain })
    }

    /// The side it vouches for.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Production or test.
    pub const fn domain(&self) -> Domain {
        self.domain
    }

    /// The key that it signs with.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What names this issuer: the SHA-256 hash of its key ([`PublicKey::bytes`]).
    pub fn id(&self, crypto: &dyn Crypto) -> Hash {
        crypto.sha256(&[self.public_key.bytes()])
    }
}

/// A CWT that nobody has checked.
struct Cwt<'a> {
    protected: &'a [u8],
    kid: Option<&'a [u8]>,
    claims: &'a [u8],
    signature: Signature,
}

wire_map! {
    struct Header<'a> {
        1 => algorithm: Option<i64>,
        2 => critical: Option<Raw<'a>>,
        4 => kid: Option<&'a [u8]>,
    }
}

impl<'a> Cwt<'a> {
    fn read(cwt: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(cwt)?;
        reader.array_of(4)?;
        let protected = reader.bytes()?;
        let header: Header<'a> = decode(protected)?;
        let unprotected = Header::read(&mut reader)?;
        // RFC 9052 §3: a label is in one of the two; what must be understood (`crit`) is not understood here.
        let twice = header.kid.is_some() && unprotected.kid.is_some();
        let critical = header.critical.or(unprotected.critical).is_some();
        if header.algorithm != Some(ES256) || unprotected.algorithm.is_some() || critical || twice {
            return Err(Malformed::OutOfRange);
        }
        let (claims, signature) = (reader.bytes()?, *reader.bytes_exact()?);
        reader.end()?;
        Ok(Self { protected, kid: header.kid.or(unprotected.kid), claims, signature })
    }
}

/// Whom the CWT is about, if an issuer for this role and domain signed it.
pub(super) fn validate(
    bytes: &[u8],
    role: Role,
    domain: Domain,
    anchors: &dyn TrustAnchors,
    crypto: &dyn Crypto,
    date: Option<Date>,
) -> Result<Peer> {
    let cwt = Cwt::read(bytes)?;
    let may_be = |issuer: &&Issuer| {
        issuer.role == role && issuer.domain == domain && (cwt.kid.is_none() || issuer.kid.as_deref() == cwt.kid)
    };
    let mut issuers = anchors.issuers().iter().filter(may_be).take(MAX_CANDIDATES).peekable();
    if issuers.peek().is_none() {
        return Err(Untrusted::NoAnchor.into());
    }
    let signed = to_be_signed(cwt.protected, &[], cwt.claims);
    let issuer = issuers
        .find(|issuer| crypto.verify(&issuer.public_key, &signed, &cwt.signature).is_ok())
        .ok_or(Untrusted::Authentication)?;
    let claims: Claims<'_> = decode(cwt.claims)?;
    claims.validity().check(date)?;
    Ok(claims.peer(bytes, role, domain, crypto)?.below(issuer.id(crypto)))
}
