//! The manufacturer of the simulated device, and the other keys behind its trust. **Published and worthless**, like
//! [`identities`]: each private key is the SHA-256 hash of a sentence that says so.

use alloc::vec::Vec;

use crate::{
    aka::suci::HomeNetworkKey,
    crypto::{
        Agreement, Crypto, Group, PublicKey, Secret,
        rustcrypto::{AgreementKey, RustCrypto},
    },
    error::{Backend, Error},
    identity::{Domain, PeerName},
    sim::identities,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{
        Date, Maker,
        voucher::{self, Assertion, Pin, Voucher, VoucherRequest},
    },
};

/// The number of every key in the stores of this module.
const KEY: KeyId = KeyId(0);

/// The number of the home's key.
const HOME_KEY: u8 = 1;

/// When the vouchers were made: 2025-06-01.
const CREATED: Date = Date(1_748_736_000);

/// A key store with the one key that is the hash of `sentence`.
///
/// # Errors
/// None in practice: the hash is a scalar.
pub fn keys(sentence: &str) -> Result<MemoryKeyStore, Backend> {
    keys_of(&RustCrypto.sha256(&[sentence.as_bytes()]))
}

/// A key store with one key.
///
/// # Errors
/// [`Backend::Key`] if it is no scalar.
pub fn keys_of(private: &[u8; 32]) -> Result<MemoryKeyStore, Backend> {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, private).map(|()| keys)
}

/// Signs with the key of [`keys`].
pub fn signer(keys: &MemoryKeyStore) -> impl Fn(&[u8]) -> Result<crate::crypto::Signature, Backend> {
    |message| keys.sign(KEY, message)
}

/// The key that the maker signs vouchers with.
const MASA: &str = "Published test key of a maker's voucher service";

/// Whom the device believes about its owner.
///
/// # Errors
/// None in practice.
pub fn maker() -> Result<Maker, Backend> {
    Ok(Maker::new(keys(MASA)?.public_key(KEY)?, Domain::Test))
}

/// The maker's word that the owner of `key` owns the device `name`: a chain of one entry.
///
/// # Errors
/// None in practice.
pub fn voucher(name: &PeerName, key: &PublicKey) -> Result<Vec<u8>, Error> {
    let voucher = Voucher {
        assertion: Some(Assertion::Verified),
        created_on: Some(CREATED),
        expires_on: None,
        nonce: None,
        pinned: Pin::Thumbprint(key.thumbprint(&RustCrypto)),
        serial: name.as_str(),
    };
    Ok(voucher::first(&voucher.sign(signer(&keys(MASA)?))?))
}

/// The maker's answer to a device that asks for a voucher with its nonce.
///
/// # Errors
/// [`Untrusted`](crate::error::Untrusted) if the request is not signed with `device`.
pub fn answer(request: &[u8], device: &PublicKey) -> Result<Vec<u8>, Error> {
    let request = VoucherRequest::verify(request, device, &RustCrypto)?;
    let voucher = Voucher::answering(&request, Assertion::Proximity, CREATED);
    Ok(voucher::first(&voucher.sign(signer(&keys(MASA)?))?))
}

/// The private key behind [`home_key`], with the operator.
///
/// # Errors
/// None in practice.
pub fn home_private() -> Result<AgreementKey, Backend> {
    let private = RustCrypto.sha256(&[b"Published test key of a home that devices name themselves to"]);
    AgreementKey::new(Group::P256, Secret::from_slice(&private)?)
}

/// What the device conceals its name under.
///
/// # Errors
/// None in practice.
pub fn home_key() -> Result<HomeNetworkKey, Error> {
    Ok(HomeNetworkKey::new(HOME_KEY, Group::P256, home_private()?.public_key())?)
}

/// The name in the credential of [`identities::device_chain`].
///
/// # Errors
/// None in practice.
pub fn device_name() -> Result<PeerName, Error> {
    Ok("IOT-0001-0000-0001".parse()?)
}

/// The public key of [`identities::operator_key`].
///
/// # Errors
/// None in practice.
pub fn operator_public_key() -> Result<PublicKey, Backend> {
    keys_of(identities::operator_key())?.public_key(KEY)
}
