//! **Published, worthless identities** for simulations, tests, examples and benches.
//!
//! Their private keys are in this repository, and each is the hash of a sentence that says so. They are all of
//! [`Domain::Test`]. Trust none of them anywhere that matters.
//!
//! ```text
//! Test Maker Root ─▶ Test Maker ─▶ device          serialNumber IOT-0001-0000-0001, without an end (9999-12-31)
//! Test Operator Root ─▶ Test Operator ─▶ operator  CN provisioning.example-operator
//! Rogue Maker Root ─▶ rogue device                 the same serial number, from a maker that nobody asked
//! Rogue Operator Root ─▶ rogue operator            the same name
//! Listing Maker Root ─▶ the device again          on that root's revocation list
//! raw device 0x0d, raw operator 0x0a               keys without certificates, by kid
//! ```
//!
//! `pki/make.sh` made the files. All keys may sign and agree, so each identity serves all four EDHOC methods.

use crate::{
    crypto::rustcrypto::RustCrypto,
    error::Result,
    identity::{Domain, Role},
    sim::maker,
    trust::{Anchor, MemoryAnchors, Pinned, RevocationList},
};

macro_rules! pki {
    ($name:literal) => {
        include_bytes!(concat!("pki/", $name))
    };
}

/// The `kid` of [`raw_device_ccs`].
pub const RAW_DEVICE_KID: &[u8] = &[0x0d];

/// The `kid` of [`raw_operator_ccs`].
pub const RAW_OPERATOR_KID: &[u8] = &[0x0a];

/// The device's certificate (an IDevID, IEEE 802.1AR) and that of its issuer.
pub fn device_chain() -> [&'static [u8]; 2] {
    [pki!("device.der"), pki!("maker-issuer.der")]
}

/// The private key of [`device_chain`].
pub fn device_key() -> &'static [u8; 32] {
    pki!("device.key")
}

/// The operator's certificate and that of its issuer.
pub fn operator_chain() -> [&'static [u8]; 2] {
    [pki!("operator.der"), pki!("operator-issuer.der")]
}

/// The private key of [`operator_chain`].
pub fn operator_key() -> &'static [u8; 32] {
    pki!("operator.key")
}

/// A device's key without a certificate: a CCS, found by [`RAW_DEVICE_KID`].
pub fn raw_device_ccs() -> &'static [u8] {
    pki!("raw-device.ccs")
}

/// The private key of [`raw_device_ccs`].
pub fn raw_device_key() -> &'static [u8; 32] {
    pki!("raw-device.key")
}

/// An operator's key without a certificate: a CCS, found by [`RAW_OPERATOR_KID`].
pub fn raw_operator_ccs() -> &'static [u8] {
    pki!("raw-operator.ccs")
}

/// The private key of [`raw_operator_ccs`].
pub fn raw_operator_key() -> &'static [u8; 32] {
    pki!("raw-operator.key")
}

/// A device with the name of the other, below a root that [`operator_anchors`] does not have.
pub fn rogue_device_chain() -> [&'static [u8]; 1] {
    [pki!("rogue-device.der")]
}

/// The private key of [`rogue_device_chain`].
pub fn rogue_device_key() -> &'static [u8; 32] {
    pki!("rogue-device.key")
}

/// An operator with the name of the other, below a root that [`device_anchors`] does not have.
pub fn rogue_operator_chain() -> [&'static [u8]; 1] {
    [pki!("rogue-operator.der")]
}

/// The private key of [`rogue_operator_chain`].
pub fn rogue_operator_key() -> &'static [u8; 32] {
    pki!("rogue-operator.key")
}

/// The device of [`device_chain`], with the same key, below a root that has revoked this certificate.
pub fn revoked_device_chain() -> [&'static [u8]; 1] {
    [pki!("revoked-device.der")]
}

/// The self-signed root above [`revoked_device_chain`], and its revocation list, number 1.
pub fn listing_maker() -> (&'static [u8], &'static [u8]) {
    (pki!("listing-maker-root.der"), pki!("listing-maker.crl"))
}

/// What an operator trusts that has [`listing_maker`]'s list.
pub fn listing_anchors() -> MemoryAnchors {
    let (root, list) = listing_maker();
    let mut anchors = trusting(Role::Device, root, &[], None);
    // tests/x509 shows that it parses.
    let _ = RevocationList::new(list, root, &RustCrypto).map(|list| anchors.revocations_mut().add(list));
    anchors
}

/// The self-signed root above [`device_chain`].
pub fn maker_root() -> &'static [u8] {
    pki!("maker-root.der")
}

/// The self-signed root above [`operator_chain`].
pub fn operator_root() -> &'static [u8] {
    pki!("operator-root.der")
}

/// What a factory-new device was given: one anchor for operators and its maker's key for vouchers, and nothing else.
pub fn factory_anchors() -> MemoryAnchors {
    trusting(Role::Operator, operator_root(), &[], None)
}

/// What an operator needs for a first customer: one anchor for devices, and nothing else.
pub fn maker_anchors() -> MemoryAnchors {
    trusting(Role::Device, maker_root(), &[], None)
}

/// The operator's root, its raw key, and its chain known by its hash (`x5t`): for all ways to name a credential.
pub fn device_anchors() -> MemoryAnchors {
    trusting(Role::Operator, operator_root(), &operator_chain(), Some(raw_operator_ccs()))
}

/// The maker's root, the device's raw key, and its chain known by its hash (`x5t`): for all ways to name a credential.
pub fn operator_anchors() -> MemoryAnchors {
    trusting(Role::Device, maker_root(), &device_chain(), Some(raw_device_ccs()))
}

/// What a device of the other world trusts: the rogue operator's root.
pub fn rogue_device_anchors() -> MemoryAnchors {
    trusting(Role::Operator, pki!("rogue-operator-root.der"), &rogue_operator_chain(), None)
}

/// What an operator of the other world trusts: the rogue maker's root.
pub fn rogue_operator_anchors() -> MemoryAnchors {
    trusting(Role::Device, pki!("rogue-maker-root.der"), &rogue_device_chain(), None)
}

fn trusting(role: Role, root: &[u8], chain: &[&[u8]], ccs: Option<&[u8]>) -> MemoryAnchors {
    let trust = || -> Result<MemoryAnchors> {
        let mut anchors = MemoryAnchors::new();
        anchors.add_anchor(Anchor::from_certificate(root, role, Domain::Test)?)?;
        if !chain.is_empty() {
            anchors.add_chain(role, chain, &RustCrypto)?;
        }
        // Whatever operators it trusts, a device is made by one maker.
        if role == Role::Operator {
            anchors.add_maker(maker::maker()?)?;
        }
        if let Some(ccs) = ccs {
            anchors.add_pinned(Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto)?)?;
        }
        Ok(anchors)
    };
    // The files are fixed; tests/trust.rs shows that they parse.
    trust().unwrap_or_default()
}
