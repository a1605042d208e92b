//! The package in which a subscription travels, and the rule by which both sides make K without sending it.
//!
//! ```text
//! EDHOC session ─▶ exporter 0xCE02, context [algorithm, supi, epoch, txn] ─▶ HKDF-Extract ─▶ K     (both sides)
//!               └▶ exporter 0xCE01, context [domain, txn] ─▶ package key
//! operator:  Package (OPc, SUPI, challenge made with K, ...) ─ seal ─▶ COSE_Encrypt0 ─▶ device: Usim::install
//! ```
//!
//! There is no field for K in any message. [`Package`] is all that the operator sends; it opens only in the session it
//! was sealed in, and may end inside a secure element: that is what [`Usim`] is for. [`SoftUsim`] is the software one.
//!
//! P-256 alone does not withstand an attacker who records the exchange today and has a quantum computer while K is still
//! in use, ten to twenty years on. The HKDF-Extract step in [`derive_k`] is the place where a KEM secret enters when a
//! hybrid suite does; its input is empty in version 1.

mod usim;
mod wrapped;

use alloc::vec::Vec;

use arrayvec::{ArrayString, ArrayVec};
use serde::{Deserialize, Serialize};

pub use self::{
    usim::{Card, Installed, Offered, SoftUsim, Usim},
    wrapped::{Secrets, StorageKey, Wrapped, fingerprint},
};
use crate::{
    aka::Challenge,
    cose::encrypt0::{self, Encrypt0},
    crypto::{Crypto, HASH_LEN, Hash, Secret, SecretBytes},
    error::{Backend, Error, Malformed},
    identity::{Domain, Supi},
    wire::{self, Reader, Wire, Writer, wire_array, wire_choice, wire_map},
};

/// Exporter label of the package key, 32 bytes.
const PACKAGE_KEY: u16 = 0xce01;

/// Exporter label of K, 16 bytes for Milenage.
const K: u16 = 0xce02;

/// Longest GPSI, in bytes: an MSISDN, or an external identifier (TS 23.003 §28.8).
pub const MAX_GPSI: usize = 128;

/// Longest data network name, in bytes (TS 23.003 §9.1).
pub const MAX_DNN: usize = 100;

/// Home network public keys in [`SuciData`].
pub const MAX_HOME_KEYS: usize = 4;

/// Names one operation of one device, from its first message to its last receipt: 16 random bytes, durable on the device
/// before message_1 leaves.
pub type Txn = [u8; 16];

/// Keys out of the session that a package was sealed in. An EDHOC session is one.
pub trait Exporter {
    /// EDHOC_Exporter (RFC 9528 §4.2.1), filling `out`.
    ///
    /// # Errors
    /// [`Backend::Crypto`] above 8,160 bytes.
    fn export(&self, label: u16, context: &[u8], out: &mut [u8], crypto: &dyn Crypto) -> Result<(), Backend>;
}

wire_choice! {
    /// The algorithm set that a subscription authenticates with.
    pub enum Algorithm {
        /// Milenage (TS 35.205), K of 128 bits.
        Milenage = 1,
    }
}

wire_choice! {
    /// When the device may rely on the new credential.
    pub enum Activation {
        /// At once: it commits, then confirms. For a device that has no other.
        OneShot = 0,
        /// After the operator's decision.
        TwoPhase = 1,
    }
}

wire_choice! {
    /// What becomes of the credential in use.
    pub enum Previous {
        /// There is none.
        None = 0,
        /// Mode N: it stays beside the new one, under its own SUPI, until `complete`.
        Beside = 1,
        /// Mode S: same SUPI; both keys answer until `complete`.
        Shared = 2,
    }
}

impl Wire<'_> for Domain {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(match self {
            Self::Production => 0,
            Self::Test => 1,
        });
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.unsigned()? {
            0 => Ok(Self::Production),
            1 => Ok(Self::Test),
            _ => Err(Malformed::OutOfRange),
        }
    }
}

impl Wire<'_> for Supi {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(self.as_str());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.text()?.parse()
    }
}

/// challenge = [ rand: bstr .size 16, autn: bstr .size 16 ]
impl Wire<'_> for Challenge {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(2);
        writer.bytes(&self.rand);
        writer.bytes(&self.autn);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(2)?;
        Ok(Self { rand: *reader.bytes_exact()?, autn: *reader.bytes_exact()? })
    }
}

wire_map! {
    /// package = { 1: epoch, 2: supi, 3: algorithm, 4: parameters, 5: challenge, ? 6: suci-data, ? 7: service-profile,
    ///             8: activation, 9: previous }
    ///
    /// Data only: nothing in it can be executed.
    #[derive(Debug)]
    pub struct Package<'a> {
        /// Grows with every package for this device.
        1 => pub epoch: u32,
        /// The new subscription.
        2 => pub supi: Supi,
        /// How it authenticates.
        3 => pub algorithm: Algorithm,
        /// What the algorithm needs besides K.
        4 => pub parameters: MilenageParameters<'a>,
        /// The activation challenge, made with the new K.
        5 => pub challenge: Challenge,
        /// For concealing the SUPI.
        6 => pub suci: Option<SuciData<'a>>,
        /// What the subscription is for.
        7 => pub profile: Option<ServiceProfile>,
        /// When it may be relied on.
        8 => pub activation: Activation,
        /// What becomes of the one in use.
        9 => pub previous: Previous,
    }
}

wire_map! {
    /// parameters = { 1: opc .size 16 }, for Milenage with the constants of TS 35.206 §4.1.
    pub struct MilenageParameters<'a> {
        /// OPc (TS 35.206 §8.2).
        1 => pub opc: &'a [u8; 16],
    }
}

impl core::fmt::Debug for MilenageParameters<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MilenageParameters(..)")
    }
}

wire_array! {
    /// suci-data = [ routing-indicator: tstr, [ + home-key ] ] (TS 31.102 §4.4.11.8, TS 23.003 §2.2B).
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SuciData<'a> {
        /// One to four digits.
        pub routing_indicator: &'a str,
        /// Public keys of the home network.
        pub keys: ArrayVec<HomeKey<'a>, MAX_HOME_KEYS>,
    }
}

wire_array! {
    /// home-key = [ key-id: uint, scheme: uint, public-key: bstr ] (TS 33.501 §C.3.4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HomeKey<'a> {
        /// Home network public key identifier.
        pub key_id: u8,
        /// Protection scheme: 1 Profile A, 2 Profile B.
        pub scheme: u8,
        /// The key: 32 bytes (X25519) or 33 (compressed P-256).
        pub public_key: &'a [u8],
    }
}

wire_map! {
    /// service-profile = { ? 1: gpsi, ? 2: dnn, ? 3: s-nssai, ? 4: expiry, ? 5: quota }
    ///
    /// Also a serde value, for the server that keeps profiles and the tool that prints them.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct ServiceProfile {
        /// GPSI: the address or number that the subscription is reached under (TS 23.003 §28.8).
        1 => pub gpsi: Option<ArrayString<MAX_GPSI>>,
        /// Data network name.
        2 => pub dnn: Option<ArrayString<MAX_DNN>>,
        /// The slice.
        3 => pub s_nssai: Option<SNssai>,
        /// Seconds since 1970 after which the operator ends service.
        4 => pub expiry: Option<u64>,
        /// Bytes that may be used.
        5 => pub quota: Option<u64>,
    }
}

wire_array! {
    /// s-nssai = [ sst: uint, sd: uint / null ] (TS 23.003 §28.4.2)
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct SNssai {
        /// Slice/service type.
        pub sst: u8,
        /// Slice differentiator, 24 bits.
        pub sd: Option<u32>,
    }
}

/// Which credential K belongs to: the context of its export, so that no two of them can share a K.
#[derive(Clone, Copy, Debug)]
pub struct KeyName<'a> {
    /// The algorithm set.
    pub algorithm: Algorithm,
    /// The subscription.
    pub supi: &'a Supi,
    /// The epoch.
    pub epoch: u32,
    /// The transaction.
    pub txn: &'a Txn,
}

/// Makes K: HKDF-Extract( salt = exporter output, input = empty ), truncated to 16 bytes.
///
/// # Errors
/// [`Backend::Crypto`].
pub fn derive_k(name: &KeyName<'_>, exporter: &dyn Exporter, crypto: &dyn Crypto) -> Result<Secret<16>, Backend> {
    let context = wire::encode_with(|w| {
        w.array(4);
        name.algorithm.write(w);
        name.supi.write(w);
        name.epoch.write(w);
        w.bytes(name.txn);
    });
    let mut exported = Secret::<16>::zeroed();
    exporter.export(K, &context, exported.bytes_mut(), crypto)?;
    let mut prk = Secret::<HASH_LEN>::zeroed();
    crypto.hkdf_extract(exported.bytes(), &[], &mut prk);
    let (k, _) = prk.bytes().split_at(16);
    Secret::from_slice(k)
}

/// The package key and what it is bound to: [ domain, txn ].
fn package_key(
    domain: Domain,
    txn: &Txn,
    exporter: &dyn Exporter,
    crypto: &dyn Crypto,
) -> Result<(Secret<32>, Vec<u8>), Backend> {
    let context = wire::encode_with(|w| {
        w.array(2);
        domain.write(w);
        w.bytes(txn);
    });
    let mut key = Secret::zeroed();
    exporter.export(PACKAGE_KEY, &context, key.bytes_mut(), crypto)?;
    Ok((key, context))
}

/// Seals a package for the device at the other end of the session. Once per session: the key serves one message.
///
/// # Errors
/// [`Backend::Crypto`].
pub fn seal(
    package: &Package<'_>,
    domain: Domain,
    txn: &Txn,
    exporter: &dyn Exporter,
    crypto: &dyn Crypto,
) -> Result<Vec<u8>, Error> {
    let (key, context) = package_key(domain, txn, exporter, crypto)?;
    let plaintext = SecretBytes::new(wire::encode(package));
    encrypt0::seal(&key, None, &context, plaintext.bytes(), crypto)
}

/// Opens a sealed package: what a [`Usim`] does first. [`wire::decode`] reads a [`Package`] from what comes out.
///
/// # Errors
/// [`Untrusted::Authentication`](crate::error::Untrusted::Authentication) if it was not sealed in this session, for this
/// domain and transaction; [`Malformed`].
pub fn open(
    sealed: &[u8],
    domain: Domain,
    txn: &Txn,
    exporter: &dyn Exporter,
    crypto: &dyn Crypto,
) -> Result<SecretBytes, Error> {
    let (key, context) = package_key(domain, txn, exporter, crypto)?;
    let message: Encrypt0<'_> = wire::decode(sealed)?;
    if message.partial_iv.is_some() {
        return Err(Malformed::OutOfRange.into());
    }
    message.open(&key, &context, crypto)
}

/// What both sides call a package afterwards, in records and receipts: SHA-256 over its sealed bytes.
pub fn package_hash(sealed: &[u8], crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[sealed])
}
