//! What the factory wrote into this device: the same form for every device, other content in each.
//!
//! ```text
//! made = [ identity key: bstr .size 32, its CCS: bstr, name: tstr, the operator's CCS: bstr,
//!          maker's public key: [x: bstr .size 32, y: bstr .size 32], home key: [id: uint, point: bstr .size 33],
//!          attestation key: bstr .size 32, instance id: bstr .size 33, implementation id: bstr .size 32,
//!          software components: [+ map] ]
//! ```
//!
//! In a product the two private keys are in a secure element, and what the attestation says comes from the root of trust
//! that measured it.

use alloc::vec::Vec;

use remote_provisioning::{
    aka::suci::HomeNetworkKey,
    attestation::{Attester, Format},
    cose::sign1::Sign1,
    crypto::{Crypto, Group, Hash, PublicKey},
    edhoc::OwnCredential,
    error::{Backend, Result},
    identity::{Domain, PeerName, Role},
    provisioning::device::{Config, Introduction},
    store::{KeyId, KeyStore},
    trust::{CredentialId, Issuer, Maker, Pinned, Revocations, TrustAnchors, x509::Anchor},
    wire::{self, Reader},
};

/// Numbers of the two keys.
pub const IDENTITY: KeyId = KeyId(1);
pub const ATTESTATION: KeyId = KeyId(2);

/// This device.
pub struct Made<'a> {
    pub identity: &'a [u8; 32],
    pub attestation: &'a [u8; 32],
    pub config: Config,
    pub anchors: Anchors,
    pub claims: Claims<'a>,
}

/// Whom it believes: one operator, and its maker. No more than it takes; `MemoryAnchors` has lists of everything.
pub struct Anchors {
    operator: Pinned,
    maker: Maker,
    revocations: Revocations,
}

impl TrustAnchors for Anchors {
    fn anchors(&self) -> &[Anchor] {
        &[]
    }

    fn chain(&self, _: Role, _: i64, _: &[u8]) -> Option<&[Vec<u8>]> {
        None
    }

    fn issuers(&self) -> &[Issuer] {
        &[]
    }

    fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    fn makers(&self) -> &[Maker] {
        core::slice::from_ref(&self.maker)
    }

    fn pinned(&self, role: Role, domain: Domain, claimed: &CredentialId<'_>, number: usize) -> Option<&Pinned> {
        Some(&self.operator).filter(|operator| number == 0 && operator.is_for(role, domain, claimed))
    }
}

/// What its evidence says.
#[derive(Clone, Copy)]
pub struct Claims<'a> {
    instance: &'a [u8],
    implementation: &'a [u8],
    /// Encoded already.
    components: &'a [u8],
}

impl<'a> Made<'a> {
    /// Reads what the factory wrote.
    pub fn read(bytes: &'a [u8], crypto: &dyn Crypto) -> Result<Self> {
        let mut reader = Reader::new(bytes)?;
        reader.array_of(10)?;
        let identity = reader.bytes_exact()?;
        let own = Pinned::from_ccs(reader.bytes()?, Role::Device, Domain::Test, crypto)?;
        let name: PeerName = reader.text()?.parse()?;
        let operator = Pinned::from_ccs(reader.bytes()?, Role::Operator, Domain::Test, crypto)?;
        reader.array_of(2)?;
        let maker = PublicKey::from_checked_point(reader.bytes_exact()?, reader.bytes_exact()?);
        let anchors = Anchors { operator, maker: Maker::new(maker, Domain::Test), revocations: Revocations::none() };
        reader.array_of(2)?;
        let number = reader.unsigned()?;
        let home = HomeNetworkKey::new(u8::try_from(number).unwrap_or_default(), Group::P256, reader.bytes()?)?;
        let attestation = reader.bytes_exact()?;
        let claims = Claims { instance: reader.bytes()?, implementation: reader.bytes()?, components: reader.raw()? };
        let own = OwnCredential::pinned(IDENTITY, &own)?;
        let config = Config::new(own, name, Domain::Test, Introduction::VoucherFirst(home));
        Ok(Self { identity, attestation, config, anchors, claims })
    }
}

/// A root of trust that signs PSA tokens (RFC 9783).
pub struct RootOfTrust<'a> {
    pub claims: Claims<'a>,
    pub keys: &'a dyn KeyStore,
}

impl Attester for RootOfTrust<'_> {
    fn evidence(&self, nonce: &Hash, formats: &[u64]) -> core::result::Result<Option<Vec<u8>>, Backend> {
        if !formats.contains(&Format::Psa.number().into()) {
            return Ok(None);
        }
        let Claims { instance, implementation, components } = self.claims;
        let payload = wire::encode_with(|w| {
            w.map(7);
            // eat_nonce, ueid, eat_profile: RFC 9711 §4.
            w.unsigned(10);
            w.bytes(nonce);
            w.unsigned(256);
            w.bytes(instance);
            w.unsigned(265);
            w.text("tag:psacertified.org,2023:psa#tfm");
            // Client id, life cycle (secured), implementation id, software components: RFC 9783 §4.
            w.unsigned(2394);
            w.unsigned(1);
            w.unsigned(2395);
            w.unsigned(0x3000);
            w.unsigned(2396);
            w.bytes(implementation);
            w.unsigned(2399);
            w.encoded(components);
        });
        let token = Sign1::create(&payload, &[], |message| self.keys.sign(ATTESTATION, message))?;
        Ok(Some(token.to_tagged()))
    }
}
