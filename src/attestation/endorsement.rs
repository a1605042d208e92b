//! What the operator knows beforehand: whose key an instance id stands for, and what its implementation should look like.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use arrayvec::ArrayString;

use super::{Component, DeviceClass, Digest, ImplementationId, MAX_LABEL, Model, Oem, Statement};
use crate::{
    cose::{mac0::Mac0, sign1::Sign1},
    crypto::{Crypto, KeyKind, PublicKey, SecretBytes},
    error::{Backend, Misuse, Untrusted},
    identity::{DeviceId, Ueid},
};

/// Shortest HMAC key, in bytes: that of its hash (RFC 2104 §3).
pub const MIN_HMAC_KEY: usize = 32;

/// A maker's word for one attestation key: it is in this device, which is of this implementation.
///
/// The device is named as its certificate names it, maker included ([`Peer::device_id`](crate::trust::Peer::device_id)):
/// two makers may give out one serial number. A symmetric key is wiped on drop and never printed; so this type is not
/// `Clone`.
#[derive(Debug)]
pub struct Endorsement {
    instance: Ueid,
    device: DeviceId,
    implementation: ImplementationId,
    key: VerificationKey,
}

/// What verifies evidence. One of the two, so that a public key is never taken for an HMAC key.
#[derive(Debug)]
enum VerificationKey {
    P256(PublicKey),
    Hmac(SecretBytes),
}

impl Endorsement {
    /// Of a P-256 key.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for a public key of another kind.
    pub fn p256(
        instance: Ueid,
        device: DeviceId,
        implementation: ImplementationId,
        key: PublicKey,
    ) -> Result<Self, Misuse> {
        match key.kind() {
            KeyKind::P256 => Ok(Self { instance, device, implementation, key: VerificationKey::P256(key) }),
            _ => Err(Misuse::Parameter("attestation key not of P-256")),
        }
    }

    /// Of an HMAC key, which the device has too. Whoever holds it can make evidence; keep it as the maker did.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] below [`MIN_HMAC_KEY`] bytes.
    pub fn hmac(
        instance: Ueid,
        device: DeviceId,
        implementation: ImplementationId,
        key: SecretBytes,
    ) -> Result<Self, Misuse> {
        if key.bytes().len() < MIN_HMAC_KEY {
            return Err(Misuse::Parameter("attestation key too short"));
        }
        Ok(Self { instance, device, implementation, key: VerificationKey::Hmac(key) })
    }

    /// The instance id.
    pub const fn instance(&self) -> &Ueid {
        &self.instance
    }

    /// The device that the key is in.
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The implementation that the device is of.
    pub const fn implementation(&self) -> &ImplementationId {
        &self.implementation
    }

    /// Whether this key signed `token`.
    pub(super) fn verify_sign1(&self, token: &Sign1<'_>, crypto: &dyn Crypto) -> Result<(), Untrusted> {
        match &self.key {
            VerificationKey::P256(key) => token.verify(key, &[], crypto).map(|_| ()),
            VerificationKey::Hmac(_) => Err(Untrusted::Authentication),
        }
    }

    /// Whether `token` was made with this key.
    pub(super) fn verify_mac0(&self, token: &Mac0<'_>, crypto: &dyn Crypto) -> Result<(), Untrusted> {
        match &self.key {
            VerificationKey::Hmac(key) => token.verify(key.bytes(), &[], crypto).map(|_| ()),
            VerificationKey::P256(_) => Err(Untrusted::Authentication),
        }
    }

    /// Explicit, because it doubles a secret.
    fn copy(&self) -> Self {
        let key = match &self.key {
            VerificationKey::P256(key) => VerificationKey::P256(*key),
            VerificationKey::Hmac(key) => VerificationKey::Hmac(SecretBytes::new(key.bytes().to_vec())),
        };
        Self { instance: self.instance.clone(), device: self.device, implementation: self.implementation, key }
    }
}

/// Software that an implementation may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSoftware {
    /// What it is, as [`Component::kind`] has it.
    pub kind: Option<ArrayString<MAX_LABEL>>,
    /// Its good measurements. Empty: any, if a known signer signed it (RFC 9783 §8).
    pub measurements: Vec<Digest>,
    /// Its good signers. Empty: any, if its measurement is known.
    pub signers: Vec<Digest>,
}

impl KnownSoftware {
    /// Neither list given, it knows nothing.
    fn covers(&self, component: &Component) -> bool {
        let among = |values: &[Digest], value: &Option<Digest>| {
            values.is_empty() || value.as_ref().is_some_and(|value| values.contains(value))
        };
        let says_something = !self.measurements.is_empty() || !self.signers.is_empty();
        says_something
            && self.kind == component.kind
            && among(&self.measurements, &component.measurement)
            && among(&self.signers, &component.signer)
    }
}

/// Reference values: what devices of one implementation are, and what they should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The class of the device.
    pub class: DeviceClass,
    /// Who makes the hardware. Evidence that names somebody else leaves the device without a class.
    pub oem: Option<Oem>,
    /// Its model, likewise.
    pub model: Option<Model>,
    /// Its software: all of it has to be there, and nothing else. Two entries of one kind are two ways for it to be good.
    pub software: Vec<KnownSoftware>,
}

impl Reference {
    /// Each measured component is known, and each known kind is measured.
    pub(super) fn matches(&self, components: &[Component]) -> bool {
        let mut measured = components.iter().filter(|component| component.measurement.is_some());
        let all_known = measured.clone().all(|component| self.software.iter().any(|known| known.covers(component)));
        let all_there =
            self.software.iter().all(|known| measured.clone().any(|component| component.kind == known.kind));
        all_known && all_there && measured.next().is_some()
    }

    /// The class, unless the evidence is about other hardware.
    pub(super) fn class_of(&self, statement: &Statement) -> Option<DeviceClass> {
        let differs = |known: bool, said: bool, equal: bool| known && said && !equal;
        let oem = differs(self.oem.is_some(), statement.oem.is_some(), self.oem == statement.oem);
        let model = differs(self.model.is_some(), statement.model.is_some(), self.model == statement.model);
        (!oem && !model).then_some(self.class)
    }
}

/// Finds what makers have said. Finds; does not judge.
///
/// **What a wrong answer costs.** An endorsement for another instance id is held against the one asked for and refused.
/// One with the wrong device, the wrong key or made from what nobody vouched for lets that key speak for the device.
/// References that are too wide accept software that they should not.
pub trait Endorsements {
    /// The endorsement of this instance id, if there is one.
    ///
    /// # Errors
    /// [`Backend`] if it cannot be told now; the device is asked to try again later.
    fn endorsement(&self, instance: &Ueid) -> Result<Option<Endorsement>, Backend>;

    /// The reference values of this implementation, if there are any.
    ///
    /// # Errors
    /// As [`Endorsements::endorsement`].
    fn reference(&self, implementation: &ImplementationId) -> Result<Option<Reference>, Backend>;
}

impl<T: Endorsements + ?Sized> Endorsements for &T {
    fn endorsement(&self, instance: &Ueid) -> Result<Option<Endorsement>, Backend> {
        T::endorsement(self, instance)
    }

    fn reference(&self, implementation: &ImplementationId) -> Result<Option<Reference>, Backend> {
        T::reference(self, implementation)
    }
}

/// [`Endorsements`] in memory.
#[derive(Debug, Default)]
pub struct MemoryEndorsements {
    // Boxed, so that the tree does not leave copies behind when it moves its entries.
    endorsements: BTreeMap<Ueid, Box<Endorsement>>,
    references: BTreeMap<ImplementationId, Reference>,
}

impl MemoryEndorsements {
    /// Without any.
    pub const fn new() -> Self {
        Self { endorsements: BTreeMap::new(), references: BTreeMap::new() }
    }

    /// Takes in an endorsement, in place of any for the same instance id.
    pub fn endorse(&mut self, endorsement: Endorsement) {
        self.endorsements.insert(endorsement.instance.clone(), Box::new(endorsement));
    }

    /// Takes in reference values, in place of any for the same implementation.
    pub fn refer(&mut self, implementation: ImplementationId, reference: Reference) {
        self.references.insert(implementation, reference);
    }
}

impl Endorsements for MemoryEndorsements {
    fn endorsement(&self, instance: &Ueid) -> Result<Option<Endorsement>, Backend> {
        Ok(self.endorsements.get(instance).map(|endorsement| endorsement.copy()))
    }

    fn reference(&self, implementation: &ImplementationId) -> Result<Option<Reference>, Backend> {
        Ok(self.references.get(implementation).cloned())
    }
}
