//! Who takes part: backends with their key stores, and parties with their credentials.

use core::cell::RefCell;

use remote_provisioning::{
    crypto::{
        Agreement, Crypto, Group, PublicKey, Secret, Signature,
        rustcrypto::{self, RustCrypto},
    },
    edhoc::OwnCredential,
    error,
    identity::{Domain, Role},
    sim::{IDENTITY, identities as ids},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{KnownIssuers, MemoryAnchors, Pinned},
};

/// Primitives, and the key store that goes with them.
#[derive(Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) crypto: &'static dyn Crypto,
    pub(crate) keys: fn(&[u8; 32]) -> Box<dyn KeyStore>,
    /// A key of P-256 that agrees.
    pub(crate) agreement: fn(Secret<32>) -> Box<dyn Agreement>,
}

pub(crate) fn backends() -> Vec<Backend> {
    vec![
        Backend {
            name: "rustcrypto",
            crypto: &RustCrypto,
            keys: |key| {
                let mut keys = MemoryKeyStore::new();
                keys.insert(IDENTITY, key).unwrap();
                Box::new(keys)
            },
            agreement: |private| Box::new(rustcrypto::AgreementKey::new(Group::P256, private).unwrap()),
        },
        #[cfg(feature = "aws-lc-rs")]
        Backend {
            name: "aws-lc-rs",
            crypto: &remote_provisioning::crypto::aws_lc::AwsLc,
            keys: |key| {
                let mut keys = remote_provisioning::store::aws_lc::AwsLcKeyStore::new();
                keys.insert(IDENTITY, key).unwrap();
                Box::new(keys)
            },
            agreement: |private| {
                Box::new(remote_provisioning::crypto::aws_lc::AgreementKey::new(Group::P256, private).unwrap())
            },
        },
    ]
}

/// Signs anew each time and says what it said the first time: a hedged signature would make a recorded run another one.
pub(crate) struct Replaying {
    keys: Box<dyn KeyStore>,
    said: RefCell<Vec<(Vec<u8>, Signature)>>,
}

impl Replaying {
    pub(crate) fn new(keys: Box<dyn KeyStore>) -> Self {
        Self { keys, said: RefCell::default() }
    }
}

impl KeyStore for Replaying {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, error::Backend> {
        self.keys.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, error::Backend> {
        let signature = self.keys.sign(key, message)?;
        let mut said = self.said.borrow_mut();
        if let Some((_, first)) = said.iter().find(|(known, _)| known == message) {
            return Ok(*first);
        }
        said.push((message.to_vec(), signature));
        Ok(signature)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<32>) -> Result<(), error::Backend> {
        self.keys.agree(key, peer, shared)
    }
}

/// A party, and whom it believes.
pub(crate) struct Side {
    pub(crate) own: OwnCredential,
    pub(crate) keys: Box<dyn KeyStore>,
    pub(crate) anchors: MemoryAnchors,
}

impl Side {
    fn new(own: OwnCredential, keys: Box<dyn KeyStore>, anchors: MemoryAnchors) -> Self {
        Self { own, keys: Box::new(Replaying::new(keys)), anchors }
    }
}

pub(crate) struct Pair {
    pub(crate) device: Side,
    pub(crate) operator: Side,
}

impl Pair {
    /// Chains of two certificates, sent whole.
    pub(crate) fn chains(backend: Backend) -> Self {
        let own = |chain: [&[u8]; 2]| OwnCredential::chain(IDENTITY, &chain).unwrap();
        let keys = backend.keys;
        Self {
            device: Side::new(own(ids::device_chain()), keys(ids::device_key()), ids::device_anchors()),
            operator: Side::new(own(ids::operator_chain()), keys(ids::operator_key()), ids::operator_anchors()),
        }
    }

    /// The operator remembers issuers.
    pub(crate) fn remembering(mut self) -> Self {
        self.operator.anchors.remember_issuers(KnownIssuers::new(16));
        self
    }

    /// Raw public keys, named by `kid`.
    pub(crate) fn kids(backend: Backend) -> Self {
        let own = |ccs, role| {
            OwnCredential::pinned(IDENTITY, &Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap()).unwrap()
        };
        let (device, operator) =
            (own(ids::raw_device_ccs(), Role::Device), own(ids::raw_operator_ccs(), Role::Operator));
        let keys = backend.keys;
        Self {
            device: Side::new(device, keys(ids::raw_device_key()), ids::device_anchors()),
            operator: Side::new(operator, keys(ids::raw_operator_key()), ids::operator_anchors()),
        }
    }
}
