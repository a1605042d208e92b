//! COSE_Sign1 with ES256 (RFC 9052 §4.2, RFC 9053 §2.1).
//!
//! ```cddl
//! COSE_Sign1 = [ << { 1: -7 } >>, {}, payload: bstr, signature: bstr .size 64 ]     ; untagged
//! ```
//!
//! Verification runs over the bytes that came, never over something encoded again.

use alloc::vec::Vec;

use crate::{
    crypto::{Crypto, PublicKey, Signature},
    error::{Malformed, Untrusted},
    wire::{self, Reader, Wire, Writer},
};

/// `{ 1: -7 }`: ES256.
const ES256: &[u8] = &[0xa1, 0x01, 0x26];

/// The bytes that a signature covers: `[ "Signature1", protected, external_aad, payload ]` (RFC 9052 §4.4).
pub fn to_be_signed(protected: &[u8], external_aad: &[u8], payload: &[u8]) -> Vec<u8> {
    wire::encode_with(|w| {
        w.array(4);
        w.text("Signature1");
        w.bytes(protected);
        w.bytes(external_aad);
        w.bytes(payload);
    })
}

/// A COSE_Sign1 whose signature nobody has checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign1<'a> {
    payload: &'a [u8],
    signature: Signature,
}

impl<'a> Wire<'a> for Sign1<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(4);
        writer.bytes(ES256);
        writer.map(0);
        writer.bytes(self.payload);
        writer.bytes(&self.signature);
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array_of(4)?;
        if reader.bytes()? != ES256 || reader.raw()? != [0xa0] {
            return Err(Malformed::OutOfRange);
        }
        Ok(Self { payload: reader.bytes()?, signature: *reader.bytes_exact()? })
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
        Ok(Self { payload, signature: sign(&to_be_signed(ES256, external_aad, payload))? })
    }

    /// The payload, if `key` signed it.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`].
    pub fn verify(&self, key: &PublicKey, external_aad: &[u8], crypto: &dyn Crypto) -> Result<&'a [u8], Untrusted> {
        crypto.verify(key, &to_be_signed(ES256, external_aad, self.payload), &self.signature)?;
        Ok(self.payload)
    }
}
