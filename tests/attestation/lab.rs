//! A maker, its devices, and tokens with anything in them.

use ciborium::Value;
use remote_provisioning::{
    attestation::{
        Demands, DeviceClass, Digest, Endorsement, Finding, ImplementationId, KnownSoftware, MemoryEndorsements,
        Policy, Reference, TokenVerifier, Verdict, label,
    },
    cose::sign1::Sign1,
    crypto::{Crypto, Hash, PublicKey, Secret, SecretBytes, rustcrypto::RustCrypto},
    identity::{DeviceId, Ueid},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

pub(crate) const KEY: KeyId = KeyId(7);
pub(crate) const OTHER_KEY: KeyId = KeyId(8);
pub(crate) const NONCE: Hash = [0x5a; 32];
pub(crate) const IMPLEMENTATION: ImplementationId = [0xab; 32];
pub(crate) const HMAC_KEY: [u8; 64] = [0x77; 64];
pub(crate) const PROFILE: &str = "tag:psacertified.org,2023:psa#tfm";

pub(crate) const MAKER: [u8; 16] = [0x33; 16];

pub(crate) fn keys() -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, &[1; 32]).unwrap();
    keys.insert(OTHER_KEY, &[2; 32]).unwrap();
    keys
}

pub(crate) fn public_key(key: KeyId) -> PublicKey {
    keys().public_key(key).unwrap()
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::new(Some(MAKER), name.parse().unwrap())
}

/// The device that all of this is about.
pub(crate) fn meter() -> DeviceId {
    device("METER-1")
}

pub(crate) fn instance(number: u8) -> Ueid {
    Ueid::random(&[number; 32]).unwrap()
}

pub(crate) fn digest(byte: u8) -> Digest {
    [byte; 32].into()
}

pub(crate) fn known(kind: &str, measurements: &[u8], signers: &[u8]) -> KnownSoftware {
    KnownSoftware {
        kind: Some(label(kind).unwrap()),
        measurements: measurements.iter().copied().map(digest).collect(),
        signers: signers.iter().copied().map(digest).collect(),
    }
}

pub(crate) fn reference() -> Reference {
    Reference {
        class: DeviceClass::Iot,
        oem: None,
        model: None,
        software: vec![known("PRoT", &[0x10, 0x11], &[0x20]), known("App", &[0x12], &[])],
    }
}

/// Two devices of one maker, a third one that shares an HMAC key, and what they should run.
pub(crate) fn endorsements() -> MemoryEndorsements {
    let mut endorsements = MemoryEndorsements::new();
    let p256 = |number, name, key| Endorsement::p256(instance(number), device(name), IMPLEMENTATION, key).unwrap();
    endorsements.endorse(p256(1, "METER-1", public_key(KEY)));
    endorsements.endorse(p256(2, "METER-2", public_key(OTHER_KEY)));
    let key = SecretBytes::new(HMAC_KEY.to_vec());
    endorsements.endorse(Endorsement::hmac(instance(3), device("METER-3"), IMPLEMENTATION, key).unwrap());
    endorsements.refer(IMPLEMENTATION, reference());
    endorsements
}

// ----------------------------------------------------------------------------------------------------------- tokens

pub(crate) fn bytes(value: impl AsRef<[u8]>) -> Value {
    Value::Bytes(value.as_ref().to_vec())
}

pub(crate) fn int(value: i64) -> Value {
    Value::Integer(value.into())
}

/// Claims by number; what is set last counts.
#[derive(Clone, Debug)]
pub(crate) struct Token(pub(crate) Vec<(i64, Value)>);

impl Token {
    /// Everything that [`Demands::all`] demands, as a PSA token of the meter.
    pub(crate) fn psa() -> Self {
        Self(vec![
            (10, bytes(NONCE)),
            (256, bytes(instance(1).as_bytes())),
            (265, PROFILE.into()),
            (2394, int(1)),
            (2395, int(0x3000)),
            (2396, bytes(IMPLEMENTATION)),
            (2399, vec![component("PRoT", 0x10, "1.2.3", 0x20), component("App", 0x12, "2.0.0+5", 0x21)].into()),
        ])
    }

    /// The same in a plain EAT.
    pub(crate) fn eat() -> Self {
        let mut token = Self::psa().without(265).without(2394).without(2396).with(262, true).with(263, int(1));
        token.0.retain(|(key, _)| *key != 2395);
        token.with(2395, int(0x3000))
    }

    pub(crate) fn with(mut self, key: i64, value: impl Into<Value>) -> Self {
        self.0.retain(|(present, _)| *present != key);
        self.0.push((key, value.into()));
        self
    }

    pub(crate) fn without(mut self, key: i64) -> Self {
        self.0.retain(|(present, _)| *present != key);
        self
    }

    /// With another value inside of a software component.
    pub(crate) fn with_component(self, at: usize, key: i64, value: impl Into<Option<Value>>) -> Self {
        let Some((_, Value::Array(mut items))) = self.0.iter().find(|(key, _)| *key == 2399).cloned() else {
            panic!("no components")
        };
        let Value::Map(entries) = &mut items[at] else { panic!("no component") };
        entries.retain(|(present, _)| *present != int(key));
        entries.extend(value.into().map(|value| (int(key), value)));
        self.with(2399, items)
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        encoded(&Value::Map(self.0.iter().map(|(key, value)| (int(*key), value.clone())).collect()))
    }

    pub(crate) fn sign_with(&self, key: KeyId) -> Vec<u8> {
        sign(&self.payload(), key)
    }

    /// Signed with the meter's key.
    pub(crate) fn sign(&self) -> Vec<u8> {
        self.sign_with(KEY)
    }

    pub(crate) fn mac(&self) -> Vec<u8> {
        mac(&self.payload(), &HMAC_KEY)
    }
}

pub(crate) fn component(kind: &str, measurement: u8, version: &str, signer: u8) -> Value {
    Value::Map(vec![
        (int(1), kind.into()),
        (int(2), bytes([measurement; 32])),
        (int(4), version.into()),
        (int(5), bytes([signer; 32])),
    ])
}

pub(crate) fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

pub(crate) fn sign(payload: &[u8], key: KeyId) -> Vec<u8> {
    Sign1::create(payload, &[], |message| keys().sign(key, message)).unwrap().to_tagged()
}

/// COSE_Mac0 with HMAC 256/256.
pub(crate) fn mac(payload: &[u8], key: &[u8]) -> Vec<u8> {
    let protected = [0xa1, 0x01, 0x05];
    let structure = encoded(&vec!["MAC0".into(), bytes(protected), bytes([]), bytes(payload)].into());
    let mut tag = Secret::zeroed();
    RustCrypto.hkdf_extract(key, &structure, &mut tag);
    let mac0 = vec![bytes(protected), Value::Map(Vec::new()), bytes(payload), bytes(tag.bytes())];
    encoded(&Value::Tag(17, Box::new(mac0.into())))
}

// -------------------------------------------------------------------------------------------------------- appraisal

/// The meter under a policy.
pub(crate) fn appraise(policy: &Policy, evidence: &[u8]) -> Result<Verdict, Finding> {
    appraise_as(&meter(), policy, evidence, &NONCE)
}

pub(crate) fn appraise_as(
    device: &DeviceId,
    policy: &Policy,
    evidence: &[u8],
    nonce: &Hash,
) -> Result<Verdict, Finding> {
    policy.appraise(device, Some(evidence), nonce, &TokenVerifier::new(endorsements()), &RustCrypto)
}

pub(crate) fn demanding(demands: Demands) -> Policy {
    Policy::new("meters", demands).unwrap()
}

/// Everything demanded.
pub(crate) fn strict() -> Policy {
    demanding(Demands::all())
}

/// Only that evidence is there, genuine, fresh and of this device.
pub(crate) fn lenient() -> Policy {
    demanding(Demands {
        authorised_boot: false,
        debug: None,
        life_cycles: None,
        known_software: false,
        class: None,
        ..Demands::all()
    })
}
