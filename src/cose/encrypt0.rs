//! COSE_Encrypt0 (RFC 9052 §5.2), and the one form of it that carries packages and records.
//!
//! ```cddl
//! COSE_Encrypt0 = [ << { 1: 3 } >>, { ? 6: partial-iv }, ciphertext: bstr ]     ; A256GCM, untagged
//! partial-iv    = bstr .size (1..5)                                              ; a number, shortest form
//! ```
//!
//! Keys come fresh from an EDHOC session. The nonce is the Partial IV, right-aligned in twelve bytes with a Context IV
//! of zero (RFC 9052 §3.1): a key is used in one direction only, and each number once. A message without a Partial IV is
//! the only one under its key and has nonce zero.

use alloc::vec::Vec;

use crate::{
    crypto::{Aead, Crypto, Secret, SecretBytes},
    error::{Backend, Error, Malformed, Misuse},
    wire::{self, Reader, Wire, Writer},
};

/// `{ 1: 3 }`: A256GCM.
const A256GCM: &[u8] = &[0xa1, 0x01, 0x03];

/// Partial IV header parameter (RFC 9052 §3.1).
const PARTIAL_IV: i64 = 6;

/// Highest number that a Partial IV of five bytes carries.
const MAX_PARTIAL_IV: u64 = 0xff_ffff_ffff;

/// The bytes that a tag covers besides the ciphertext: `[ "Encrypt0", protected, external_aad ]` (RFC 9052 §5.3).
pub fn enc_structure(protected: &[u8], external_aad: &[u8]) -> Vec<u8> {
    wire::encode_with(|w| {
        w.array(3);
        w.text("Encrypt0");
        w.bytes(protected);
        w.bytes(external_aad);
    })
}

/// A COSE_Encrypt0 that nobody has opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypt0<'a> {
    /// The Partial IV, if there is one. Not believed before the message has been opened.
    pub partial_iv: Option<u64>,
    ciphertext: &'a [u8],
}

impl<'a> Wire<'a> for Encrypt0<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        write_head(self.partial_iv, writer);
        writer.bytes(self.ciphertext);
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array_of(3)?;
        if reader.bytes()? != A256GCM {
            return Err(Malformed::OutOfRange);
        }
        let unprotected = reader.raw()?;
        let mut header = Reader::new(unprotected)?;
        let partial_iv = match header.map()?.find(PARTIAL_IV)? {
            Some(value) => Some(number(value.bytes()?)?),
            None => None,
        };
        // Nothing authenticates this header, so an unknown parameter in it is refused rather than skipped.
        if wire::encode_with(|w| write_unprotected(partial_iv, w)) != unprotected {
            return Err(Malformed::OutOfRange);
        }
        Ok(Self { partial_iv, ciphertext: reader.bytes()? })
    }
}

/// What comes before the ciphertext.
fn write_head(partial_iv: Option<u64>, writer: &mut Writer<'_>) {
    writer.array(3);
    writer.bytes(A256GCM);
    write_unprotected(partial_iv, writer);
}

fn write_unprotected(partial_iv: Option<u64>, writer: &mut Writer<'_>) {
    match partial_iv {
        Some(number) => {
            writer.map(1);
            writer.integer(PARTIAL_IV);
            writer.bytes(shortest(&number.to_be_bytes()));
        }
        None => writer.map(0),
    }
}

/// A number without leading zero bytes, but with one byte at least.
fn shortest(bytes: &[u8; 8]) -> &[u8] {
    let zeros = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn number(bytes: &[u8]) -> Result<u64, Malformed> {
    let value = bytes.iter().try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? | u64::from(*byte)));
    match value {
        Some(value) if value <= MAX_PARTIAL_IV && shortest(&value.to_be_bytes()) == bytes => Ok(value),
        _ => Err(Malformed::OutOfRange),
    }
}

fn nonce(partial_iv: Option<u64>) -> [u8; 12] {
    let mut nonce = [0; 12];
    if let Some(last) = nonce.last_chunk_mut() {
        *last = partial_iv.unwrap_or_default().to_be_bytes();
    }
    nonce
}

/// Encrypts `plaintext` under a key of this direction, and encodes the message.
///
/// # Errors
/// [`Misuse`] for a Partial IV above 40 bits; [`Backend::Crypto`].
pub fn seal(
    key: &Secret<32>,
    partial_iv: Option<u64>,
    external_aad: &[u8],
    plaintext: &[u8],
    crypto: &dyn Crypto,
) -> Result<Vec<u8>, Error> {
    let mut text = SecretBytes::new(Vec::with_capacity(plaintext.len().saturating_add(ROOM)));
    text.buffer().extend_from_slice(plaintext);
    seal_in_place(key, partial_iv, external_aad, text, crypto)
}

/// What a plaintext grows by when it becomes a message: the tag, and what comes before the ciphertext.
pub(crate) const ROOM: usize = 16 + 16;

/// The same, in the buffer of the plaintext, which has [`ROOM`].
pub(crate) fn seal_in_place(
    key: &Secret<32>,
    partial_iv: Option<u64>,
    external_aad: &[u8],
    mut text: SecretBytes,
    crypto: &dyn Crypto,
) -> Result<Vec<u8>, Error> {
    if partial_iv.is_some_and(|number| number > MAX_PARTIAL_IV) {
        return Err(Misuse::Parameter("partial IV").into());
    }
    let aad = enc_structure(A256GCM, external_aad);
    crypto.seal(Aead::A256Gcm, key.bytes(), &nonce(partial_iv), &aad, text.buffer()).map_err(|_| Backend::Crypto)?;
    let mut message = core::mem::take(text.buffer());
    let head = wire::encode_with(|w| {
        write_head(partial_iv, w);
        w.bytes_head(message.len());
    });
    wire::put_in_front(&head, &mut message);
    Ok(message)
}

impl<'a> Encrypt0<'a> {
    /// One without Partial IV, of bytes that need not open under any key.
    pub(crate) const fn assembled(ciphertext: &'a [u8]) -> Self {
        Self { partial_iv: None, ciphertext }
    }

    /// Decrypts.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`](crate::error::Untrusted::Authentication).
    pub fn open(&self, key: &Secret<32>, external_aad: &[u8], crypto: &dyn Crypto) -> Result<SecretBytes, Error> {
        let mut text = SecretBytes::new(self.ciphertext.to_vec());
        let aad = enc_structure(A256GCM, external_aad);
        crypto.open(Aead::A256Gcm, key.bytes(), &nonce(self.partial_iv), &aad, text.buffer())?;
        Ok(text)
    }
}
