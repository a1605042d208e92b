//! Every public decoder, on the same bytes.
//!
//! What decodes encodes to itself; where unknown map keys are skipped, to something that decodes to the same value.
//! `ciborium` is the second opinion about what is CBOR at all, in both directions.

use ciborium::Value;
use remote_provisioning::{
    aka::Challenge,
    cose::{encrypt0::Encrypt0, sign1::Sign1},
    credential::{HomeKey, Package, ServiceProfile, SuciData},
    error::Code,
    identity::{Domain, Supi},
    provisioning::{
        message::{
            Complete, Confirm, Counter, Decision, DeviceState, Hello, Offer, PackageOffer, Prepared, Refusal, Request,
            Status, Stopped, Terms,
        },
        receipt::{Receipt, Summary},
    },
    trust::CredentialId,
    wire::{self, MAX_DEPTH, MAX_MESSAGE, Reader},
};

/// Has exactly one encoding.
macro_rules! same {
    ($bytes:ident: $($ty:ty),* $(,)?) => {$(
        if let Ok(value) = wire::decode::<$ty>($bytes) {
            assert_eq!(wire::encode(&value), $bytes, stringify!($ty));
        }
    )*};
}

/// Has one encoding without keys that are skipped.
macro_rules! settles {
    ($bytes:ident: $($ty:ty),* $(,)?) => {$(
        if let Ok(value) = wire::decode::<$ty>($bytes) {
            let encoded = wire::encode(&value);
            let again = wire::decode::<$ty>(&encoded).expect(stringify!($ty));
            assert_eq!(wire::encode(&again), encoded, stringify!($ty));
            assert!(encoded.len() < $bytes.len() || encoded == $bytes, stringify!($ty));
        }
    )*};
}

pub(super) fn run(bytes: &[u8]) {
    same!(bytes:
        u8, u16, u32, u64, i64, bool, &str, &[u8], [u8; 16], Option<u32>, Domain, Supi, Code, Challenge, Counter,
        DeviceState, Hello<'_>, Terms<'_>, Status, Prepared<'_>, Decision, Confirm<'_>, Stopped, Complete, Receipt, Summary, CredentialId<'_>, Encrypt0<'_>,
        Sign1<'_>, SuciData<'_>, HomeKey<'_>, wire::Raw<'_>,
    );
    settles!(bytes: Request<'_>, Offer<'_>, PackageOffer<'_>, Refusal, Package<'_>, ServiceProfile);

    let strict = Reader::new(bytes).and_then(|mut reader| reader.raw().and_then(|_| reader.end())).is_ok();
    assert_eq!(strict, ours(bytes), "strict and ciborium disagree");
}

/// Whether this is what the protocol family calls an item, by ciborium's reading: it comes out of ciborium's writer as
/// it went in, and has nothing in it that is forbidden here.
fn ours(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) else { return false };
    bytes.len() <= MAX_MESSAGE && rest.is_empty() && encoded(&value) == bytes && plain(&value, 0)
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("into memory");
    out
}

fn plain(value: &Value, depth: usize) -> bool {
    match value {
        Value::Integer(_) | Value::Bytes(_) | Value::Text(_) | Value::Bool(_) | Value::Null => true,
        Value::Array(items) => depth < MAX_DEPTH && items.iter().all(|item| plain(item, depth + 1)),
        Value::Map(pairs) => {
            let key = |key: &Value| matches!(key, Value::Integer(_) | Value::Bytes(_) | Value::Text(_));
            let keys: Vec<Vec<u8>> = pairs.iter().map(|(key, _)| encoded(key)).collect();
            depth < MAX_DEPTH
                && pairs.iter().all(|(name, value)| key(name) && plain(value, depth + 1))
                && keys.is_sorted_by(|one, next| one < next)
        }
        _ => false,
    }
}
