//! A device names itself to its home and to nobody else, before anybody is authenticated; and the voucher that comes back
//! opens for that device only.
//!
//! ```text
//! device, conceal                                                  home, Concealed::reveal
//! Z    = ECDH(ephemeral, home key)                                 Z = ECDH(home key, ephemeral)
//! ANSI-X9.63-KDF(Z, ephemeral): block 1 EK, ICB · block 2 MK (TS 33.501 §C.3.4.2) · block 3 voucher secret
//! EAD_1: concealed-id = [ key id, ephemeral ‖ AES-128-CTR(name, padded) ‖ tag ]     ──▶   name: looked up
//!                                                             EAD_2: sealed-voucher   ◀──   [ salt, COSE_Encrypt0 ]
//! key  = HKDF-Extract(salt, voucher secret)
//! ```
//!
//! Ephemeral key and salt are fresh each time. Whoever replays a recorded concealed-id gets a voucher that it cannot open,
//! and a [`decoy`] looks the same, so it does not even learn whether the home knows the device (as long as a
//! name that is known is looked up no slower: that is the caller's part). What is sent has a
//! length out of few: names are padded to 31, 63 or 95 bytes, vouchers to multiples of [`VOUCHER_CLASS`]; a chain that is
//! longer than one class shows that, to somebody who replays.
//!
//! The concealed-id authenticates nobody: anyone with the home's public key makes one of any name. So the operator holds
//! the name against the one in the device's credential, **last**, when Signature_or_MAC_3 has verified, and fails with the
//! one error that every failed proof ends with.

use alloc::{vec, vec::Vec};

use arrayvec::ArrayVec;

use crate::{
    aka::suci::{EciesKeys, HomeNetworkKey, TAG_LEN, kdf_block},
    cose::encrypt0::{self, Encrypt0},
    crypto::{Agreement, Crypto, Group, Rng, Secret, equal},
    error::{Backend, Malformed, Result, Untrusted, Voucher},
    identity::PeerName,
    wire::{self, Raw, Reader, Wire, wire_array},
};

/// Names are padded to a multiple of this, their length byte included.
const NAME_CLASS: usize = 32;

/// The longest of them.
const MAX_NAME: usize = 96;

/// Vouchers are padded to a multiple of this many bytes.
pub const VOUCHER_CLASS: usize = 256;

/// Longest scheme output: a point of P-256, the name, the tag.
const MAX_OUTPUT: usize = 33 + MAX_NAME + TAG_LEN;

/// Bytes of a salt.
const SALT_LEN: usize = 16;

/// What the tag of a sealed voucher covers besides it.
const SEALED: &[u8] = b"RCP sealed voucher";

wire_array! {
    /// concealed-id = [ key-id: uint, scheme-output: bstr ]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct ConcealedId<'a> {
        key: u8,
        output: &'a [u8],
    }
}

/// A device's name as it came in EAD_1. Nothing in it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concealed {
    key: u8,
    output: ArrayVec<u8, MAX_OUTPUT>,
}

/// The secret that both ends of a concealed-id share.
#[derive(Debug)]
pub struct VoucherSecret(Secret<32>);

/// A name that was revealed, and what seals the voucher for it.
#[derive(Debug)]
pub struct Revealed {
    name: PeerName,
    secret: VoucherSecret,
}

/// Conceals `name` for the holder of `home`: EAD_1's concealed-id, encoded, and what opens the voucher that comes back.
///
/// # Errors
/// [`Backend`]; [`Misbehaved::InvalidPoint`](crate::error::Misbehaved::InvalidPoint) if the home's key is none.
pub fn conceal(
    name: &PeerName,
    home: &HomeNetworkKey,
    crypto: &dyn Crypto,
    rng: &mut dyn Rng,
) -> Result<(Vec<u8>, VoucherSecret)> {
    let ephemeral = crypto.generate(home.group(), rng)?;
    let mut shared = Secret::zeroed();
    let (public, home_key) = match home.group() {
        // Either of the two points with this x gives the same product, so the even one will do.
        Group::P256 => ([&[2], ephemeral.public()].concat(), home.public_key().get(1..).unwrap_or_default()),
        Group::X25519 => (ephemeral.public().to_vec(), home.public_key()),
    };
    crypto.decapsulate(&ephemeral, home_key, &mut shared)?;
    let keys = EciesKeys::derive(&shared, &public);

    let mut text: ArrayVec<u8, MAX_NAME> = ArrayVec::new();
    let name = name.as_str().as_bytes();
    text.push(u8::try_from(name.len()).map_err(|_| Malformed::TooLong)?);
    text.try_extend_from_slice(name).map_err(|_| Malformed::TooLong)?;
    while !text.len().is_multiple_of(NAME_CLASS) {
        text.push(0);
    }
    keys.apply(&mut text)?;
    let output = [&public, text.as_slice(), &keys.mac(&text)?[..]].concat();
    let concealed = wire::encode(&ConcealedId { key: home.id(), output: &output });
    Ok((concealed, VoucherSecret(kdf_block(&shared, 3, &public))))
}

impl Concealed {
    /// Reads EAD_1's concealed-id.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(encoded: Raw<'_>) -> Result<Self, Malformed> {
        let ConcealedId { key, output } = wire::decode(encoded.0)?;
        Ok(Self { key, output: ArrayVec::try_from(output).map_err(|_| Malformed::TooLong)? })
    }

    /// The number of the home's key that it was made with.
    pub const fn key_id(&self) -> u8 {
        self.key
    }

    /// The name, with the home's private key of that number.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`] if it was made for another key, or damaged; what [`Agreement::agree`] says; [`Malformed`]
    /// if what was concealed is no name. Answer the machine as if the device were not known, whichever it is.
    pub fn reveal(&self, key: &dyn Agreement) -> Result<Revealed> {
        let (public, rest) =
            self.output.split_at_checked(key.group().public_key_len()).ok_or(Malformed::WrongLength)?;
        let text_len = rest.len().checked_sub(TAG_LEN).ok_or(Malformed::WrongLength)?;
        let (ciphertext, tag) = rest.split_at_checked(text_len).ok_or(Malformed::WrongLength)?;
        let mut shared = Secret::zeroed();
        key.agree(public, &mut shared)?;
        let keys = EciesKeys::derive(&shared, public);
        if !equal(&keys.mac(ciphertext)?, tag) {
            return Err(Untrusted::Authentication.into());
        }
        let mut text: ArrayVec<u8, MAX_NAME> = ArrayVec::try_from(ciphertext).map_err(|_| Malformed::TooLong)?;
        keys.apply(&mut text)?;
        let (len, text) = text.split_first().ok_or(Malformed::WrongLength)?;
        let name = text.get(..usize::from(*len)).ok_or(Malformed::WrongLength)?;
        let name = core::str::from_utf8(name).map_err(|_| Malformed::Text)?.parse()?;
        Ok(Revealed { name, secret: VoucherSecret(kdf_block(&shared, 3, public)) })
    }
}

impl Revealed {
    /// The name that the device says it has.
    pub const fn name(&self) -> &PeerName {
        &self.name
    }

    /// Seals a voucher chain for that device: EAD_2's sealed-voucher, encoded.
    ///
    /// # Errors
    /// [`Backend`].
    pub fn seal(&self, chain: &[u8], crypto: &dyn Crypto, rng: &mut dyn Rng) -> Result<Vec<u8>> {
        let mut salt = [0; SALT_LEN];
        rng.fill(&mut salt)?;
        let sealed = encrypt0::seal(&self.secret.key(&salt, crypto), None, SEALED, &padded(chain), crypto)?;
        Ok(write_sealed(&salt, &sealed))
    }
}

/// What looks like a sealed voucher of one class to whoever cannot open it.
///
/// # Errors
/// [`Backend::Random`].
pub fn decoy(rng: &mut dyn Rng) -> Result<Vec<u8>, Backend> {
    let mut salt = [0; SALT_LEN];
    let mut ciphertext = vec![0; VOUCHER_CLASS.saturating_add(crate::crypto::Aead::A256Gcm.tag_len())];
    rng.fill(&mut salt)?;
    rng.fill(&mut ciphertext)?;
    Ok(write_sealed(&salt, &wire::encode(&Encrypt0::assembled(&ciphertext))))
}

impl VoucherSecret {
    /// Opens EAD_2's sealed-voucher.
    ///
    /// # Errors
    /// [`Voucher::Missing`] if it was sealed for somebody else, and for a [`decoy`].
    pub fn open(&self, sealed: Raw<'_>, crypto: &dyn Crypto) -> Result<Vec<u8>> {
        let mut reader = Reader::new(sealed.0)?;
        reader.array_of(2)?;
        let salt = reader.bytes_exact::<SALT_LEN>()?;
        let sealed = Encrypt0::read(&mut reader)?;
        reader.end()?;
        if sealed.partial_iv.is_some() {
            return Err(Malformed::OutOfRange.into());
        }
        let text = sealed.open(&self.key(salt, crypto), SEALED, crypto).map_err(|_| Voucher::Missing)?;
        let mut reader = Reader::new(text.bytes())?;
        let chain = reader.bytes()?;
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(Malformed::TrailingBytes.into());
        }
        Ok(chain.to_vec())
    }

    fn key(&self, salt: &[u8; SALT_LEN], crypto: &dyn Crypto) -> Secret<32> {
        let mut key = Secret::zeroed();
        crypto.hkdf_extract(salt, self.0.bytes(), &mut key);
        key
    }
}

/// sealed-voucher = [ salt: bstr .size 16, COSE_Encrypt0 ]
fn write_sealed(salt: &[u8], sealed: &[u8]) -> Vec<u8> {
    wire::encode_with(|w| {
        w.array(2);
        w.bytes(salt);
        w.encoded(sealed);
    })
}

/// The chain in a byte string, and zeros.
fn padded(chain: &[u8]) -> Vec<u8> {
    let mut text = wire::encode_with(|w| w.bytes(chain));
    text.resize(text.len().next_multiple_of(VOUCHER_CLASS), 0);
    text
}

#[cfg(all(test, feature = "rustcrypto"))]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::RustCrypto;

    /// A home that pads with something else than zeros.
    #[test]
    fn padding_has_one_form() -> Result<()> {
        let secret = VoucherSecret(Secret::from_slice(&[7; 32])?);
        let salt = [1; SALT_LEN];
        let open = |text: &[u8]| {
            let sealed = encrypt0::seal(&secret.key(&salt, &RustCrypto), None, SEALED, text, &RustCrypto)?;
            secret.open(Raw(&write_sealed(&salt, &sealed)), &RustCrypto)
        };
        let mut text = padded(b"chain");
        assert_eq!(text.len(), VOUCHER_CLASS);
        assert_eq!(open(&text)?, b"chain");
        text.last_mut().into_iter().for_each(|last| *last = 1);
        assert_eq!(open(&text), Err(Malformed::TrailingBytes.into()));
        Ok(())
    }
}
