//! The first entry: a constrained voucher (RFC 8366, draft-ietf-anima-constrained-voucher), and the request for one.
//!
//! ```text
//! voucher = { 2451: { ? 1: assertion, ? 2: created-on, ? 4: expires-on, ? 5: idevid-issuer, ? 7: nonce,
//!                     8: pinned-domain-cert / 9: pinned-domain-pubk / 10: pinned-domain-pubk-sha256,
//!                     11: serial-number } }
//! request = { 2501: { ? 1: assertion, ? 2: created-on, 7: nonce,
//!                     10: proximity-registrar-cert / 11: …-pubk-sha256 / 12: …-pubk, 13: serial-number } }
//! ```
//!
//! Keys are YANG SIDs less that of the outer map. Both travel as tagged COSE_Sign1 with ES256. What others made is read in
//! any order of keys, as far as it is understood here; what is written here is deterministic.

use alloc::{format, vec::Vec};
use core::time::Duration;

use der::DateTime;
#[cfg(feature = "x509")]
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

use super::{Crypto, Date, Error, HASH_LEN, Hash, Malformed, PublicKey, Result, Wire, Writer, wire};
use crate::{
    cose::sign1::Sign1,
    crypto::Signature,
    error::{Backend, Untrusted},
    wire::{Entries, wire_choice},
};

/// SID of a voucher.
const VOUCHER: i64 = 2451;
/// SID of a voucher request.
const REQUEST: i64 = 2501;

/// Bytes of a nonce (RFC 8366 §5.3).
const NONCE_LEN: core::ops::RangeInclusive<usize> = 8..=32;

wire_choice! {
    /// How the maker knows that the owner has the device (RFC 8366 §5.3, RFC 8995 §5.5).
    pub enum Assertion {
        /// The maker has verified the ownership.
        Verified = 0,
        /// The maker has logged the transfer, and no more.
        Logged = 1,
        /// The device and the owner have met.
        Proximity = 2,
    }
}

/// How a voucher names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin<'a> {
    /// By a certificate, DER: what counts is its key.
    Certificate(&'a [u8]),
    /// By its SubjectPublicKeyInfo, DER.
    Key(&'a [u8]),
    /// By the SHA-256 hash of its SubjectPublicKeyInfo.
    Thumbprint(Hash),
}

impl Pin<'_> {
    /// The [thumbprint](PublicKey::thumbprint) of the key, however it is named.
    ///
    /// # Errors
    /// [`Untrusted::BadCertificate`] for a certificate that is none, or if the feature `x509` is off.
    pub fn thumbprint(&self, crypto: &dyn Crypto) -> Result<Hash, Untrusted> {
        match self {
            #[cfg(not(feature = "x509"))]
            Self::Certificate(_) => Err(Untrusted::BadCertificate),
            #[cfg(feature = "x509")]
            Self::Certificate(der) => {
                let certificate = Certificate::from_der(der).map_err(|_| Untrusted::BadCertificate)?;
                let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
                Ok(crypto.sha256(&[&spki.map_err(|_| Untrusted::BadCertificate)?]))
            }
            Self::Key(spki) => Ok(crypto.sha256(&[spki])),
            Self::Thumbprint(hash) => Ok(*hash),
        }
    }

    /// The one that is there, of three leaves.
    fn read<'a>(leaves: &Entries<'a>, [certificate, key, hash]: [i64; 3]) -> Result<Pin<'a>, Malformed> {
        let certificate = leaves.value::<&[u8]>(certificate)?.map(Pin::Certificate);
        let key = leaves.value::<&[u8]>(key)?.map(Pin::Key);
        let hash = leaves.value::<[u8; HASH_LEN]>(hash)?.map(Pin::Thumbprint);
        let mut named = [certificate, key, hash].into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(pin), None) => Ok(pin),
            (None, _) => Err(Malformed::MissingKey),
            (Some(_), Some(_)) => Err(Malformed::OutOfRange),
        }
    }

    fn write(&self, writer: &mut Writer<'_>, [certificate, key, hash]: [i64; 3]) {
        let (leaf, bytes) = match self {
            Self::Certificate(bytes) => (certificate, *bytes),
            Self::Key(bytes) => (key, *bytes),
            Self::Thumbprint(bytes) => (hash, bytes.as_slice()),
        };
        writer.integer(leaf);
        writer.bytes(bytes);
    }
}

/// The leaves that name a key, in the order certificate, key, hash.
const VOUCHER_PINS: [i64; 3] = [8, 9, 10];
const REQUEST_PINS: [i64; 3] = [10, 12, 11];

/// A constrained voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher<'a> {
    /// How the maker knows, if it says.
    pub assertion: Option<Assertion>,
    /// When it was made.
    pub created_on: Option<Date>,
    /// When it ends, if it does.
    pub expires_on: Option<Date>,
    /// The nonce of the request that it answers, 8 to 32 bytes.
    pub nonce: Option<&'a [u8]>,
    /// The owner's key.
    pub pinned: Pin<'a>,
    /// The device: the serial number of its IDevID (IEEE 802.1AR §8.6).
    pub serial: &'a str,
}

impl<'a> Voucher<'a> {
    /// The voucher that answers a request of a device whose owner is known to be in the right.
    pub const fn answering(request: &VoucherRequest<'a>, assertion: Assertion, created_on: Date) -> Self {
        Self {
            assertion: Some(assertion),
            created_on: Some(created_on),
            expires_on: None,
            nonce: Some(request.nonce),
            pinned: request.registrar,
            serial: request.serial,
        }
    }

    /// Signs and encodes it: a tagged COSE_Sign1. `sign` makes an ES256 signature with the maker's key.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        let payload = wire::encode_with(|w| {
            let dates = [(2, self.created_on), (4, self.expires_on)];
            w.map(1);
            w.integer(VOUCHER);
            let options = [self.assertion.is_some(), dates[0].1.is_some(), dates[1].1.is_some(), self.nonce.is_some()];
            w.map(options.iter().filter(|there| **there).count().saturating_add(2));
            if let Some(assertion) = self.assertion {
                w.integer(1);
                assertion.write(w);
            }
            for (leaf, date) in dates {
                write_date(leaf, date, w);
            }
            write_nonce(self.nonce, w);
            self.pinned.write(w, VOUCHER_PINS);
            w.integer(11);
            w.text(self.serial);
        });
        Sign1::create(&payload, &[], sign).map(|signed| signed.to_tagged())
    }

    /// Reads a voucher that `key` signed.
    ///
    /// # Errors
    /// [`Malformed`] or [`Untrusted::Authentication`].
    pub fn verify(encoded: &'a [u8], key: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        Ok(Self::decode(Sign1::foreign(encoded)?.verify(key, &[], crypto)?)?)
    }

    // Its maps are off the stack when signatures are looked at.
    #[inline(never)]
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let leaves = only_map(payload, VOUCHER)?;
        Ok(Self {
            assertion: leaves.value(1)?,
            created_on: read_date(&leaves, 2)?,
            expires_on: read_date(&leaves, 4)?,
            nonce: read_nonce(&leaves)?,
            pinned: Pin::read(&leaves, VOUCHER_PINS)?,
            serial: leaves.required(11)?,
        })
    }
}

/// A device's request for a voucher: "I am here, with this operator, and this nonce is mine" (pledge voucher request, RFC
/// 8995 §5.2). The operator passes it on to the maker as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherRequest<'a> {
    /// The nonce, 8 to 32 bytes, fresh.
    pub nonce: &'a [u8],
    /// The key of the operator that the device has met.
    pub registrar: Pin<'a>,
    /// The device.
    pub serial: &'a str,
}

impl<'a> VoucherRequest<'a> {
    /// Signs and encodes it: a tagged COSE_Sign1. `sign` makes an ES256 signature with the device's identity key.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        let payload = wire::encode_with(|w| {
            w.map(1);
            w.integer(REQUEST);
            w.map(4);
            w.integer(1);
            Assertion::Proximity.write(w);
            write_nonce(Some(self.nonce), w);
            self.registrar.write(w, REQUEST_PINS);
            w.integer(13);
            w.text(self.serial);
        });
        Sign1::create(&payload, &[], sign).map(|signed| signed.to_tagged())
    }

    /// Reads a request that `key`, the device's, signed.
    ///
    /// # Errors
    /// [`Malformed`] or [`Untrusted::Authentication`].
    pub fn verify(encoded: &'a [u8], key: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        let leaves = only_map(Sign1::foreign(encoded)?.verify(key, &[], crypto)?, REQUEST)?;
        Ok(Self {
            nonce: read_nonce(&leaves)?.ok_or(Malformed::MissingKey)?,
            registrar: Pin::read(&leaves, REQUEST_PINS)?,
            serial: leaves.required(13)?,
        })
    }
}

/// `{ sid: { … } }`: the entries of the inner map.
fn only_map(payload: &[u8], sid: i64) -> Result<Entries<'_>, Malformed> {
    Entries::decode(inner(payload, sid)?)
}

// The outer map is off the stack when the inner one is read.
#[inline(never)]
fn inner(payload: &[u8], sid: i64) -> Result<&[u8], Malformed> {
    Entries::decode(payload)?.get(sid).ok_or(Malformed::MissingKey)
}

fn write_nonce(nonce: Option<&[u8]>, writer: &mut Writer<'_>) {
    if let Some(nonce) = nonce {
        writer.integer(7);
        writer.bytes(nonce);
    }
}

fn read_nonce<'a>(leaves: &Entries<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match leaves.value::<&[u8]>(7)? {
        Some(nonce) if !NONCE_LEN.contains(&nonce.len()) => Err(Malformed::WrongLength),
        nonce => Ok(nonce),
    }
}

/// `date-and-time` (RFC 6991 §3) in UTC.
fn write_date(leaf: i64, date: Option<Date>, writer: &mut Writer<'_>) {
    if let Some(Date(seconds)) = date {
        writer.integer(leaf);
        let moment = DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap_or(DateTime::INFINITY);
        writer.text(&format!("{moment}"));
    }
}

/// Fractions of a second are cut off; another offset than `Z` is refused.
fn read_date(leaves: &Entries<'_>, leaf: i64) -> Result<Option<Date>, Malformed> {
    let Some(text) = leaves.value::<&str>(leaf)? else { return Ok(None) };
    let (moment, rest) = text.as_bytes().split_first_chunk::<19>().ok_or(Malformed::Text)?;
    let fraction = rest.strip_suffix(b"Z").ok_or(Malformed::Text)?;
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if !fraction.is_empty() && !fraction.strip_prefix(b".").is_some_and(digits) {
        return Err(Malformed::Text);
    }
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = *moment else {
        return Err(Malformed::Text);
    };
    let two = |high: u8, low: u8| match [high.wrapping_sub(b'0'), low.wrapping_sub(b'0')] {
        [high @ 0..=9, low @ 0..=9] => Ok(high.wrapping_mul(10).wrapping_add(low)),
        _ => Err(Malformed::Text),
    };
    let year = u16::from(two(y0, y1)?).wrapping_mul(100).wrapping_add(two(y2, y3)?.into());
    let moment = DateTime::new(year, two(m0, m1)?, two(d0, d1)?, two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    Ok(Some(Date(moment.map_err(|_| Malformed::Text)?.unix_duration().as_secs())))
}
