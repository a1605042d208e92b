//! What the test maker puts into its device number N: a key, a certificate below the maker's issuer, a root of trust that
//! attests. **Published and worthless**: each key is the hash of a sentence that says so.

use remote_provisioning::{
    crypto::{Crypto, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::{Backend, Error},
    identity::{Domain, PeerName},
    provisioning::device::{self, Introduction},
    sim::{IDENTITY, identities, maker},
    store::{KeyStore, memory::MemoryKeyStore},
    time::Retry,
    trust::MemoryAnchors,
};
use x509_cert::der::{Decode, Encode};

use crate::net;

/// ecdsa-with-SHA256 (RFC 5758 §3.2).
const ALGORITHM: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// Key usage: digitalSignature and keyAgreement, critical (RFC 5280 §4.2.1.3).
const USAGE: &[u8] = &[0x30, 14, 6, 3, 0x55, 0x1d, 0x0f, 1, 1, 0xff, 4, 4, 3, 2, 3, 0x88];

/// A device as it leaves the factory.
pub(crate) struct Made {
    pub(crate) name: PeerName,
    pub(crate) keys: MemoryKeyStore,
    pub(crate) config: device::Config,
    pub(crate) anchors: MemoryAnchors,
    pub(crate) attestation: maker::Attestation,
}

/// Makes the device with this number, the same each time.
pub(crate) fn make(number: u32) -> Result<Made, Error> {
    let name = net::device_name(number)?;
    let keys = keys(&format!("device {number}"))?;
    let [_, issuer] = identities::device_chain();
    let certificate = certificate(number, &name, &keys, issuer)?;
    let own = OwnCredential::chain(IDENTITY, &[&certificate, issuer])?;
    let introduction = Introduction::VoucherFirst(maker::home_key()?);
    Ok(Made {
        name,
        keys,
        config: device::Config {
            // CoAP repeats.
            retry: Retry { first: 60_000, attempts: 1 },
            ..device::Config::new(own, name, Domain::Test, introduction)
        },
        anchors: identities::factory_anchors(),
        attestation: maker::Attestation::new(&name)?,
    })
}

fn keys(name: &str) -> Result<MemoryKeyStore, Backend> {
    let mut keys = MemoryKeyStore::new();
    keys.insert(IDENTITY, &RustCrypto.sha256(&[b"worthless published test key: ", name.as_bytes()]))?;
    Ok(keys)
}

/// An IDevID certificate (IEEE 802.1AR), for good.
fn certificate(number: u32, name: &PeerName, keys: &MemoryKeyStore, issuer: &[u8]) -> Result<Vec<u8>, Error> {
    let issuer = x509_cert::Certificate::from_der(issuer).map_err(|_| Backend::Key)?;
    let issuer = issuer.tbs_certificate().subject().to_der().map_err(|_| Backend::Key)?;
    let subject = tlv(0x30, &[&[6, 3, 0x55, 4, 5], &*tlv(0x13, name.as_str().as_bytes())].concat());
    let validity = [tlv(0x17, b"240101000000Z"), tlv(0x18, b"99991231235959Z")].concat();
    let tbs = [
        &[0xa0, 3, 2, 1, 2][..],
        // A positive number without superfluous zeros: its first byte is 1.
        &tlv(2, &[&[1], &number.to_be_bytes()[..]].concat()),
        ALGORITHM,
        &issuer,
        &tlv(0x30, &validity),
        &tlv(0x30, &tlv(0x31, &subject)),
        &keys.public_key(IDENTITY)?.spki(),
        &tlv(0xa3, &tlv(0x30, USAGE)),
    ];
    let tbs = tlv(0x30, &tbs.concat());
    let signature = self::keys("maker-issuer")?.sign(IDENTITY, &tbs)?;
    let (r, s) = signature.split_at(signature.len() / 2);
    let signature = tlv(0x30, &[integer(r), integer(s)].concat());
    Ok(tlv(0x30, &[&tbs, ALGORITHM, &tlv(3, &[&[0], &*signature].concat())].concat()))
}

/// A positive INTEGER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign: &[u8] = if bytes.first().is_some_and(|first| *first < 0x80) { &[] } else { &[0] };
    tlv(2, &[sign, &bytes].concat())
}

/// DER, up to 65,535 bytes of content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head = match (high, low) {
        (0, 0..=127) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}
