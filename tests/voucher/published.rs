//! The examples of draft-ietf-anima-constrained-voucher, leaf by leaf.

use serde_json::Value;

use remote_provisioning::trust::voucher::VoucherRequest;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

use super::*;

struct Case {
    token: Vec<u8>,
    signer: PublicKey,
    payload: Value,
    pledge_certificate: Vec<u8>,
    masa_certificate: Vec<u8>,
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn case(id: &str) -> Case {
    let file: Value = serde_json::from_str(include_str!("../vectors/vouchers.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["id"] == id).unwrap();
    let point = [vec![4], unhex(&case["signer_x"]), unhex(&case["signer_y"])].concat();
    Case {
        token: unhex(&case["token"]),
        signer: RustCrypto.point(&point).unwrap(),
        payload: case["payload"].clone(),
        pledge_certificate: unhex(&case["pledge_certificate"]),
        masa_certificate: unhex(&case["masa_certificate"]),
    }
}

fn spki(certificate: &[u8]) -> Vec<u8> {
    Certificate::from_der(certificate).unwrap().tbs_certificate().subject_public_key_info().to_der().unwrap()
}

#[test]
fn the_published_voucher_verifies_and_says_what_it_says() {
    let Case { token, signer, payload, masa_certificate, .. } = case("voucher");
    let leaves = &payload["2451"];
    let voucher = Voucher::verify(&token, &signer, &RustCrypto).unwrap();
    assert_eq!(leaves["1"], 2);
    assert_eq!(voucher.assertion, Some(Assertion::Proximity));
    assert_eq!(leaves["2"], "2022-12-06T20:23:30.708Z");
    assert_eq!(voucher.created_on, Some(Date(1_670_358_210)));
    assert_eq!(voucher.expires_on, None);
    assert_eq!(voucher.nonce, Some(unhex(&leaves["7"]["bstr"]).as_slice()));
    assert_eq!(voucher.pinned, Pin::Certificate(&unhex(&leaves["8"]["bstr"])));
    assert_eq!(leaves["11"], voucher.serial);
    // The signer's key is the one of its certificate, and our SubjectPublicKeyInfo is the one in there.
    assert_eq!(signer.spki(), spki(&masa_certificate));
    assert_eq!(signer.thumbprint(&RustCrypto), RustCrypto.sha256(&[&spki(&masa_certificate)]));
    // What is pinned is the key of the certificate.
    let Pin::Certificate(pinned) = voucher.pinned else { panic!() };
    assert_eq!(voucher.pinned.thumbprint(&RustCrypto).unwrap(), RustCrypto.sha256(&[&spki(pinned)]));
}

#[test]
fn the_published_request_verifies_and_says_what_it_says() {
    let Case { token, signer, payload, pledge_certificate, .. } = case("pledge-voucher-request");
    let leaves = &payload["2501"];
    let request = VoucherRequest::verify(&token, &signer, &RustCrypto).unwrap();
    assert_eq!(request.nonce, unhex(&leaves["7"]["bstr"]));
    assert_eq!(request.registrar, Pin::Key(&unhex(&leaves["12"]["bstr"])));
    assert_eq!(leaves["13"], request.serial);
    assert_eq!(signer.spki(), spki(&pledge_certificate));
    // A voucher is no request, nor the reverse.
    assert!(Voucher::verify(&token, &signer, &RustCrypto).is_err());
    let voucher = case("voucher");
    assert!(VoucherRequest::verify(&voucher.token, &voucher.signer, &RustCrypto).is_err());
}

#[test]
fn no_bit_of_them_can_be_changed() {
    for id in ["voucher", "pledge-voucher-request"] {
        let Case { token, signer, .. } = case(id);
        let good = |token: &[u8]| match id {
            "voucher" => Voucher::verify(token, &signer, &RustCrypto).is_ok(),
            _ => VoucherRequest::verify(token, &signer, &RustCrypto).is_ok(),
        };
        assert!(good(&token));
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut changed = token.clone();
                changed[at] ^= 1 << bit;
                assert!(!good(&changed), "{id}: byte {at}, bit {bit}");
            }
            assert!(!good(&token[..at]), "{id}: the first {at}");
        }
        assert!(!good(&[&token[..], &[0]].concat()));
        let other = Party::new("somebody else").key();
        assert_eq!(Voucher::verify(&token, &other, &RustCrypto).err(), Some(Untrusted::Authentication.into()));
    }
}

/// A device of that maker takes the published voucher from the operator whose key it pins, with its nonce.
#[test]
fn the_published_voucher_makes_an_owner() {
    let Case { token, signer, payload, .. } = case("voucher");
    let leaves = &payload["2451"];
    let nonce = unhex(&leaves["7"]["bstr"]);
    let certificate = unhex(&leaves["8"]["bstr"]);
    let spki = spki(&certificate);
    let key = RustCrypto.point(&spki[spki.len() - 65..]).unwrap();
    let operator = |key| Peer::new(b"c", key, "op".parse().unwrap(), Role::Operator, Domain::Test, Usage::ANY);
    let mut anchors = MemoryAnchors::new();
    anchors.add_maker(Maker::new(signer, Domain::Test)).unwrap();
    let serial = leaves["11"].as_str().unwrap().parse().unwrap();
    let show = |nonce: Option<&[u8]>, key| {
        let holder = Holder { serial: &serial, domain: Domain::Test, held: None, nonce, date: None };
        verify(&first(&token), &holder, &operator(key), &anchors, &RustCrypto)
    };
    let ownership = show(Some(&nonce), key).unwrap();
    assert_eq!((ownership.epoch, ownership.owner), (1, RustCrypto.sha256(&[&spki])));
    assert_eq!(show(None, key), refused(Fault::Stale));
    assert_eq!(show(Some(b"another nonce"), key), refused(Fault::Stale));
    assert_eq!(show(Some(&nonce), signer), refused(Fault::OtherOwner));
}
