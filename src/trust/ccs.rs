//! Raw public keys: a CWT Claims Set that this party was given beforehand and finds again by its `kid`, or by all of its
//! bytes when it is sent by value.
//!
//! ```text
//! ccs = { 2: sub tstr, ? 4: exp uint, ? 5: nbf uint, 8: cnf { 1: COSE_Key } }      RFC 8392 §3, RFC 8747 §3.2
//! COSE_Key = { 1: 2, ? 2: kid bstr, -1: 1, -2: x bstr .size 32, -3: y bstr .size 32 / bool }  RFC 9053 §7.1.1
//!          / { 1: 1, ? 2: kid bstr, -1: 4 / 6, -2: x bstr .size 32 }                          RFC 9053 §7.2
//! ```
//!
//! A CCS is not signed. What makes it worth anything is that somebody put it here on purpose, for one role and one
//! domain: [`Pinned::from_ccs`] is that act, so it is for bytes from a configuration, never from a message.
//!
//! `sub` is required, because a credential without an identity opens the door to misbinding (RFC 9528 Appendix D.2).
//! Other claims with non-negative numbers are skipped; they stay in the transcript, which holds the
//! bytes as given. A COSE_Key that restricts itself (`alg`, `key_ops`) is refused, since the restriction would not be
//! kept here.

use alloc::boxed::Box;

use super::{CredentialId, Date, MAX_KID, Peer, Usage};
use crate::{
    crypto::{Crypto, KeyKind, PublicKey},
    error::{Malformed, Result, Untrusted},
    identity::{Domain, PeerName, Role},
    wire::{Kind, Raw, Reader, Wire, Writer, decode, wire_map},
};

/// COSE key type OKP (RFC 9053 §7.2).
const OKP: u64 = 1;
/// COSE key type EC2 (RFC 9053 §7.1).
const EC2: u64 = 2;
/// COSE curve P-256 (RFC 9053 §7.1).
const P_256: u64 = 1;
/// COSE curve X25519 (RFC 9053 §7.1).
const X25519: u64 = 4;
/// COSE curve Ed25519 (RFC 9053 §7.1).
const ED25519: u64 = 6;

wire_map! {
    pub(super) struct Claims<'a> {
        2 => sub: &'a str,
        4 => exp: Option<u64>,
        5 => nbf: Option<u64>,
        8 => cnf: Confirmation<'a>,
    }
}

wire_map! {
    struct Confirmation<'a> {
        1 => key: CoseKey<'a>,
    }
}

wire_map! {
    struct CoseKey<'a> {
        1 => kty: u64,
        2 => kid: Option<&'a [u8]>,
        3 => alg: Option<Raw<'a>>,
        4 => key_ops: Option<Raw<'a>>,
        -1 => crv: u64,
        -2 => x: [u8; 32],
        -3 => y: Option<Y>,
    }
}

/// The y-coordinate, or only its sign: `true` if it is odd (RFC 9053 §7.1.1, SEC 1 §2.3.3).
enum Y {
    Coordinate([u8; 32]),
    Odd(bool),
}

impl Wire<'_> for Y {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Coordinate(y) => writer.bytes(y),
            Self::Odd(odd) => writer.boolean(*odd),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.peek()? {
            Kind::Bytes => Wire::read(reader).map(Self::Coordinate),
            _ => reader.boolean().map(Self::Odd),
        }
    }
}

impl CoseKey<'_> {
    fn read(&self, crypto: &dyn Crypto) -> Result<PublicKey> {
        if self.alg.is_some() || self.key_ops.is_some() {
            return Err(Malformed::Forbidden.into());
        }
        let key = match (self.kty, self.crv, &self.y) {
            // SEC 1 §2.3.3: 4 ‖ x ‖ y, or 2 or 3 ‖ x.
            (EC2, P_256, Some(Y::Coordinate(y))) => crypto.point(&[&[4], self.x.as_slice(), y].concat()),
            (EC2, P_256, Some(Y::Odd(odd))) => crypto.point(&[&[if *odd { 3 } else { 2 }], self.x.as_slice()].concat()),
            (EC2, P_256, None) => return Err(Malformed::MissingKey.into()),
            (OKP, X25519, None) => crypto.read_key(KeyKind::X25519, &self.x),
            (OKP, ED25519, None) => crypto.read_key(KeyKind::Ed25519, &self.x),
            _ => return Err(Malformed::OutOfRange.into()),
        };
        Ok(key?)
    }
}

impl Claims<'_> {
    pub(super) fn kid(&self) -> Result<Option<Box<[u8]>>, Malformed> {
        match self.cnf.key.kid {
            Some(kid) if kid.len() > MAX_KID => Err(Malformed::TooLong),
            kid => Ok(kid.map(Box::from)),
        }
    }

    pub(super) fn public_key(&self, crypto: &dyn Crypto) -> Result<PublicKey> {
        self.cnf.key.read(crypto)
    }

    /// Whom these claims are about, with `credential` as CRED_x.
    pub(super) fn peer(&self, credential: &[u8], role: Role, domain: Domain, crypto: &dyn Crypto) -> Result<Peer> {
        let name: PeerName = self.sub.parse()?;
        Ok(Peer::new(credential, self.public_key(crypto)?, name, role, domain, Usage::ANY))
    }

    pub(super) fn validity(&self) -> Validity {
        Validity { not_before: self.nbf.map(Date), expires: self.exp.map(Date) }
    }
}

/// `nbf` and `exp` (RFC 8392 §3.1.4 and §3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: Option<Date>,
    expires: Option<Date>,
}

impl Validity {
    /// Without a clock nothing can be said.
    pub(super) fn check(self, date: Option<Date>) -> Result<(), Untrusted> {
        let Some(date) = date else { return Ok(()) };
        if self.not_before.is_some_and(|not_before| date < not_before) {
            return Err(Untrusted::NotYetValid);
        }
        if self.expires.is_some_and(|expires| date >= expires) {
            return Err(Untrusted::Expired);
        }
        Ok(())
    }
}

/// A raw public key that is believed, for one role and one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    kid: Option<Box<[u8]>>,
    validity: Validity,
    peer: Peer,
}

impl Pinned {
    /// Parses a CCS that this party was given by somebody it believes, and pins it.
    ///
    /// # Errors
    /// [`Malformed`] if it is not as this module's header has it;
    /// [`InvalidPoint`](crate::error::Misbehaved::InvalidPoint) if its key is no point, or of a kind that `crypto` has not.
    pub fn from_ccs(ccs: &[u8], role: Role, domain: Domain, crypto: &dyn Crypto) -> Result<Self> {
        let claims: Claims<'_> = decode(ccs)?;
        Ok(Self { kid: claims.kid()?, validity: claims.validity(), peer: claims.peer(ccs, role, domain, crypto)? })
    }

    /// The identifier that a peer may name this key by.
    pub fn kid(&self) -> Option<&[u8]> {
        self.kid.as_deref()
    }

    /// Whom it belongs to. Pinned, so as believed as it will ever be; but only [`verify`](super::verify) holds it
    /// against role, domain and date.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn into_peer(self) -> Peer {
        self.peer
    }

    /// Whether `claimed` may mean this key: it has its `kid`, or is the same CCS byte for byte, and the role and the
    /// domain are right.
    pub fn is_for(&self, role: Role, domain: Domain, claimed: &CredentialId<'_>) -> bool {
        let named = match claimed {
            CredentialId::Kid(kid) => self.kid() == Some(*kid),
            CredentialId::Ccs(ccs) => self.peer.credential() == *ccs,
            CredentialId::Chain(_) | CredentialId::Thumbprint { .. } | CredentialId::Cwt(_) => false,
        };
        named && self.peer.role() == role && self.peer.domain() == domain
    }

    pub(super) fn check_date(&self, date: Option<Date>) -> Result<(), Untrusted> {
        self.validity.check(date)
    }
}
