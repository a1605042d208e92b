//! COSE_Sign1 with ES256 (RFC 9052 §4.2, RFC 9053 §2.1).
//!
//! ```cddl
//! COSE_Sign1 = [ << { 1: -7 } >>, {}, payload: bstr, signature: bstr .size 64 ]             ; ours: untagged
//! foreign    = #6.18([ << { 1: -7, * } >>, { * }, payload: bstr, signature: bstr .size 64 ]) ; vouchers, tokens
//! ```
//!
//! Verification runs over the bytes that came, never over something encoded again.

use alloc::vec::Vec;

use super::foreign_header;
use crate::{
    crypto::{Crypto, PublicKey, Signature},
    error::{Malformed, Untrusted},
    wire::{self, Reader, Wire, Writer},
};

/// `{ 1: -7 }`: ES256.
const ES256: &[u8] = &[0xa1, 0x01, 0x26];

/// COSE algorithm ES256 (RFC 9053 §2.1).
const ES256_NUMBER: i64 = -7;

/// CBOR tag of a COSE_Sign1 (RFC 9052 §2).
pub const TAG: u64 = 18;

/// The bytes that a signature covers: `[ "Signature1", protected, external_aad, payload ]` (RFC 9052 §4.4).
pub fn to_be_signed(protected: &[u8], external_aad: &[u8], payload: &[u8]) -> Vec<u8> {
    to_be_signed_in_parts(protected, &[external_aad], payload)
}

/// The same, with external_aad in parts.
pub(crate) fn to_be_signed_in_parts(protected: &[u8], external_aad: &[&[u8]], payload: &[u8]) -> Vec<u8> {
    wire::encode_with(|w| {
        w.array(4);
        w.text("Signature1");
        w.bytes(protected);
        w.bytes_head(external_aad.iter().map(|part| part.len()).sum());
        external_aad.iter().for_each(|part| w.encoded(part));
        w.bytes(payload);
    })
}

/// A COSE_Sign1 whose signature nobody has checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign1<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    signature: Signature,
}

impl<'a> Wire<'a> for Sign1<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(4);
        writer.bytes(self.protected);
        writer.map(0);
        writer.bytes(self.payload);
        writer.bytes(&self.signature);
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array_of(4)?;
        let protected = reader.bytes()?;
        if protected != ES256 || reader.raw()? != [0xa0] {
            return Err(Malformed::OutOfRange);
        }
        Ok(Self { protected, payload: reader.bytes()?, signature: *reader.bytes_exact()? })
    }
}

impl<'a> Sign1<'a> {
    /// Signs `payload`, with `external_aad` covered but not carried. `sign` makes an ES256 signature over its argument.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn create<E>(
        payload: &'a [u8],
        external_aad: &[u8],
        sign: impl FnOnce(&[u8]) -> Result<Signature, E>,
    ) -> Result<Self, E> {
        let signature = sign(&to_be_signed(ES256, external_aad, payload))?;
        Ok(Self { protected: ES256, payload, signature })
    }

    /// Reads a tagged one that somebody else made: header parameters that need not be understood are passed over, in
    /// maps of any order.
    ///
    /// # Errors
    /// [`Malformed`]: [`OutOfRange`](Malformed::OutOfRange) for another algorithm, or with `crit` (RFC 9052 §3.1).
    pub fn foreign(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes)?;
        reader.tag(TAG)?;
        reader.array_of(4)?;
        let protected = foreign_header(&mut reader, ES256_NUMBER)?;
        let (payload, signature) = (reader.bytes()?, *reader.bytes_exact()?);
        reader.end()?;
        Ok(Self { protected, payload, signature })
    }

    /// The encoding with its tag, as [`Sign1::foreign`] reads it.
    pub fn to_tagged(&self) -> Vec<u8> {
        wire::encode_with(|w| {
            w.tag(TAG);
            self.write(w);
        })
    }

    /// The payload, **which nobody may have signed**: for finding the key to verify it with.
    pub const fn unverified(&self) -> &'a [u8] {
        self.payload
    }

    /// The bytes that the signature covers. Unlike the signature, which has several forms, they name what was said.
    pub fn to_be_signed(&self, external_aad: &[u8]) -> Vec<u8> {
        to_be_signed(self.protected, external_aad, self.payload)
    }

    /// The payload, if `key` signed it.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`].
    pub fn verify(&self, key: &PublicKey, external_aad: &[u8], crypto: &dyn Crypto) -> Result<&'a [u8], Untrusted> {
        crypto.verify(key, &self.to_be_signed(external_aad), &self.signature)?;
        Ok(self.payload)
    }
}
