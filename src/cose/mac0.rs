//! COSE_Mac0 with HMAC 256/256 (RFC 9052 §6.2, RFC 9053 §3.1): attestation tokens of devices without an asymmetric key.
//!
//! ```cddl
//! COSE_Mac0 = #6.17([ << { 1: 5, * } >>, { * }, payload: bstr, tag: bstr .size 32 ])
//! ```
//!
//! Read only: whoever has the key for verifying one can make one.

use super::foreign_header;
use crate::{
    crypto::{self, Crypto, HASH_LEN, Secret},
    error::{Malformed, Untrusted},
    wire::{self, Reader},
};

/// COSE algorithm HMAC 256/256 (RFC 9053 §3.1).
const HMAC_256: i64 = 5;

/// CBOR tag of a COSE_Mac0 (RFC 9052 §2).
pub const TAG: u64 = 17;

/// A COSE_Mac0 whose tag nobody has checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac0<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    mac: [u8; HASH_LEN],
}

impl<'a> Mac0<'a> {
    /// Reads a tagged one that somebody else made.
    ///
    /// # Errors
    /// [`Malformed`]: [`OutOfRange`](Malformed::OutOfRange) for another algorithm, or with `crit` (RFC 9052 §3.1).
    pub fn foreign(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes)?;
        reader.tag(TAG)?;
        reader.array_of(4)?;
        let protected = foreign_header(&mut reader, HMAC_256)?;
        let (payload, mac) = (reader.bytes()?, *reader.bytes_exact()?);
        reader.end()?;
        Ok(Self { protected, payload, mac })
    }

    /// The payload, **which may be anybody's**: for finding the key to verify it with.
    pub const fn unverified(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload, if it was made with `key`.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`].
    pub fn verify(&self, key: &[u8], external_aad: &[u8], crypto: &dyn Crypto) -> Result<&'a [u8], Untrusted> {
        // MAC_structure (RFC 9052 §6.3).
        let input = wire::encode_with(|w| {
            w.array(4);
            w.text("MAC0");
            w.bytes(self.protected);
            w.bytes(external_aad);
            w.bytes(self.payload);
        });
        // HKDF-Extract is HMAC-SHA-256 with the salt for a key (RFC 5869 §2.2).
        let mut expected = Secret::zeroed();
        crypto.hkdf_extract(key, &input, &mut expected);
        if crypto::equal(expected.bytes(), &self.mac) { Ok(self.payload) } else { Err(Untrusted::Authentication) }
    }
}
