//! The manufacturer of the simulated device, and the other keys behind its trust. **Published and worthless**, like
//! [`identities`]: each private key is the SHA-256 hash of a sentence that says so.

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use crate::{
    aka::suci::HomeNetworkKey,
    attestation::{
        Attester, Component, Demands, DeviceClass, Digest, Endorsement, ImplementationId, KnownSoftware,
        MemoryEndorsements, MinimumVersion, Policy, PsaReport, Reference, SoftwareAttester, label,
    },
    crypto::{
        Agreement, Crypto, Group, Hash, PublicKey, Secret,
        rustcrypto::{AgreementKey, RustCrypto},
    },
    error::{Backend, Error},
    identity::{DeviceId, Domain, PeerName, Role, Ueid},
    sim::identities,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{
        Anchor, Date, Maker,
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

/// What the key is the hash of that the maker signs vouchers with.
pub const MASA: &str = "Published test key of a maker's voucher service";

/// Whom the device believes about its owner.
///
/// # Errors
/// None in practice.
pub fn maker() -> Result<Maker, Backend> {
    Ok(Maker::new(keys(MASA)?.public_key(KEY)?, Domain::Test))
}

/// That the owner of `key` owns the device `name`, for [`issue`].
pub fn word<'a>(name: &'a PeerName, key: &PublicKey) -> Voucher<'a> {
    Voucher {
        assertion: Some(Assertion::Verified),
        created_on: Some(CREATED),
        expires_on: None,
        nonce: None,
        pinned: Pin::Thumbprint(key.thumbprint(&RustCrypto)),
        serial: name.as_str(),
    }
}

/// A chain of one entry, signed with the key that is the hash of `sentence`: [`MASA`], or somebody else's.
///
/// # Errors
/// None in practice.
pub fn issue(voucher: &Voucher<'_>, sentence: &str) -> Result<Vec<u8>, Error> {
    Ok(voucher::first(&voucher.sign(signer(&keys(sentence)?))?))
}

/// The maker's word that the owner of `key` owns the device `name`: a chain of one entry.
///
/// # Errors
/// None in practice.
pub fn voucher(name: &PeerName, key: &PublicKey) -> Result<Vec<u8>, Error> {
    issue(&word(name, key), MASA)
}

/// The maker's answer to a device that asks for a voucher with its nonce.
///
/// # Errors
/// [`Untrusted`](crate::error::Untrusted) if the request is not signed with `device`.
pub fn answer(request: &[u8], device: &PublicKey) -> Result<Vec<u8>, Error> {
    let request = VoucherRequest::verify(request, device, &RustCrypto)?;
    issue(&Voucher::answering(&request, Assertion::Proximity, CREATED), MASA)
}

/// The private key behind [`home_key`], with the operator: the scalar, for a backend of one's own.
///
/// # Errors
/// None in practice.
pub fn home_scalar() -> Result<Secret<32>, Backend> {
    Secret::from_slice(&RustCrypto.sha256(&[b"Published test key of a home that devices name themselves to"]))
}

/// The same, as a key that agrees.
///
/// # Errors
/// None in practice.
pub fn home_private() -> Result<AgreementKey, Backend> {
    AgreementKey::new(Group::P256, home_scalar()?)
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

// ------------------------------------------------------------------------------------------------------- evidence

/// The implementation that the maker's devices are of.
pub const IMPLEMENTATION: ImplementationId = [0x1d; 32];

/// Bytes of the life cycle claim: secured (RFC 9783 §4.3.1).
const SECURED: u16 = 0x3000;

/// What a device of the maker attests with: a key, and what its root of trust says.
#[derive(Debug)]
pub struct Attestation {
    keys: MemoryKeyStore,
    /// The claims of its PSA tokens.
    pub report: PsaReport,
    /// Evidence of an earlier session, to be shown again in place of fresh one.
    pub replayed: Option<Vec<u8>>,
}

impl Attester for Attestation {
    fn evidence(&self, nonce: &Hash, formats: &[u64]) -> Result<Option<Vec<u8>>, Backend> {
        if let Some(replayed) = &self.replayed {
            return Ok(Some(replayed.clone()));
        }
        let attester = SoftwareAttester::new(&self.keys, KEY, Some(self.report.clone()), None);
        attester.map_err(|_| Backend::Key)?.evidence(nonce, formats)
    }
}

impl Attestation {
    /// That of the device `name`, as it left the factory.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(name: &PeerName) -> Result<Self, Error> {
        let keys = keys(&["Published test key for attestation of ", name.as_str()].concat())?;
        let components: ArrayVec<Component, { crate::attestation::MAX_COMPONENTS }> = SOFTWARE
            .iter()
            .map(|(kind, version)| {
                Ok(Component {
                    kind: Some(label(kind)?),
                    version: Some(label(version)?),
                    measurement: Some(measurement(kind)?),
                    signer: Some(signer_id()?),
                })
            })
            .collect::<Result<_, Error>>()?;
        let public = keys.public_key(KEY)?;
        let report = PsaReport {
            instance: Ueid::random(&RustCrypto.sha256(&[public.bytes()]))?,
            implementation: IMPLEMENTATION,
            client: 1,
            life_cycle: SECURED,
            boot_seed: None,
            certification: None,
            components,
        };
        Ok(Self { keys, report, replayed: None })
    }

    /// The maker's word for it.
    ///
    /// # Errors
    /// None in practice.
    pub fn endorsement(&self, device: DeviceId) -> Result<Endorsement, Error> {
        let Self { keys, report, .. } = self;
        Ok(Endorsement::p256(report.instance.clone(), device, IMPLEMENTATION, keys.public_key(KEY)?)?)
    }
}

/// The software of the maker's devices: what it is, and its version.
const SOFTWARE: [(&str, &str); 2] = [("PRoT", "2.1.0"), ("ARoT", "1.4.0")];

fn measurement(kind: &str) -> Result<Digest, Error> {
    Ok(Digest::from_bytes(&RustCrypto.sha256(&[b"image of ", kind.as_bytes()]))?)
}

fn signer_id() -> Result<Digest, Error> {
    Ok(Digest::from_bytes(&RustCrypto.sha256(&[b"the maker's key for images"]))?)
}

/// What the operator knows of the maker's devices: endorsements of these, and reference values.
///
/// # Errors
/// None in practice.
pub fn endorsements(devices: &[DeviceId]) -> Result<MemoryEndorsements, Error> {
    let mut endorsements = MemoryEndorsements::new();
    for device in devices {
        endorsements.endorse(Attestation::new(device.name())?.endorsement(*device)?);
    }
    let software = SOFTWARE.iter().map(|(kind, _)| {
        let (measurements, signers) = ([measurement(kind)?].into(), [signer_id()?].into());
        Ok::<_, Error>(KnownSoftware { kind: Some(label(kind)?), measurements, signers })
    });
    let software = software.collect::<Result<_, _>>()?;
    endorsements.refer(IMPLEMENTATION, Reference { class: DeviceClass::Iot, oem: None, model: None, software });
    Ok(endorsements)
}

/// A policy for these devices: everything, and no root of trust older than 2.0.
///
/// # Errors
/// None in practice.
pub fn policy() -> Result<Policy, Error> {
    let oldest = MinimumVersion { component: label("PRoT")?, version: "2.0.0".parse()? };
    Ok(Policy::new("laboratory meters", Demands { versions: [oldest].into(), ..Demands::all() })?)
}

/// The device with the certificate of [`identities::device_chain`].
///
/// # Errors
/// None in practice.
pub fn device_id() -> Result<DeviceId, Error> {
    let root = Anchor::from_certificate(identities::maker_root(), Role::Device, Domain::Test)?.id(&RustCrypto);
    Ok(DeviceId::new(root.first_chunk().copied(), device_name()?))
}

/// The device with the key of [`identities::raw_device_ccs`].
///
/// # Errors
/// None in practice.
pub fn raw_device_id() -> Result<DeviceId, Error> {
    Ok(DeviceId::new(None, "IOT-0001-0000-0002".parse()?))
}
