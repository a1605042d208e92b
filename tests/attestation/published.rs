//! The tokens that RFC 9783 publishes, claim by claim.

use remote_provisioning::{
    attestation::{
        BootState, Claims, DebugState, Demands, DeviceClass, Endorsement, Finding, Format, KnownSoftware, LifeCycle,
        Measured, MemoryEndorsements, Policy, Reference, TokenVerifier, Verifier,
    },
    crypto::{Crypto, Hash, SecretBytes, rustcrypto::RustCrypto},
    identity::Ueid,
};
use serde_json::Value;

use crate::lab::{digest, known, meter};

struct Published {
    name: String,
    token: Vec<u8>,
    nonce: Hash,
    claims: Value,
    endorsements: MemoryEndorsements,
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn published() -> Vec<Published> {
    let file: Value = serde_json::from_str(include_str!("../vectors/psa_tokens.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    cases
        .iter()
        .map(|case| {
            let claims = &case["claims"];
            let instance = Ueid::from_bytes(&unhex(&claims["instance_id"])).unwrap();
            let implementation = unhex(&claims["implementation_id"]).try_into().unwrap();
            let endorsement = match case.get("hmac_key") {
                Some(key) => Endorsement::hmac(instance, meter(), implementation, SecretBytes::new(unhex(key))),
                None => {
                    let key = RustCrypto.point(&unhex(&case["public_key"])).unwrap();
                    Endorsement::p256(instance, meter(), implementation, key)
                }
            };
            let mut endorsements = MemoryEndorsements::new();
            endorsements.endorse(endorsement.unwrap());
            Published {
                name: case["name"].as_str().unwrap().to_owned(),
                token: unhex(&case["token"]),
                nonce: unhex(&claims["nonce"]).try_into().unwrap(),
                claims: claims.clone(),
                endorsements,
            }
        })
        .collect()
}

impl Published {
    fn verify(&self, token: &[u8], nonce: &Hash) -> Result<Claims, Finding> {
        TokenVerifier::new(&self.endorsements).verify(token, nonce, &RustCrypto)
    }
}

#[test]
fn every_claim_is_as_published() {
    for case in published() {
        let claims = case.verify(&case.token, &case.nonce).unwrap_or_else(|finding| panic!("{}: {finding}", case.name));
        let said = &case.claims;
        assert_eq!(case.nonce, [1; 32]);
        assert_eq!(said["profile"], "tag:psacertified.org,2023:psa#tfm");
        assert_eq!(claims.format, Format::Psa);
        assert_eq!(claims.instance.as_bytes(), unhex(&said["instance_id"]));
        assert_eq!(claims.device, meter());
        assert_eq!(claims.implementation.as_slice(), unhex(&said["implementation_id"]));
        assert_eq!(claims.caller.map(i64::from), said["client_id"].as_i64());
        assert_eq!(claims.life_cycle, LifeCycle::from_number(said["life_cycle"].as_u64().unwrap()));
        assert_eq!(claims.life_cycle, Some(LifeCycle::Secured));
        assert_eq!((claims.boot, claims.debug), (Some(BootState::Authorised), Some(DebugState::Disabled)));
        assert_eq!(claims.boot_seed.as_deref().unwrap(), unhex(&said["boot_seed"]));
        let components = said["components"].as_array().unwrap();
        assert_eq!(claims.components.len(), components.len());
        for (component, said) in claims.components.iter().zip(components) {
            assert_eq!(component.kind.as_deref(), said["type"].as_str());
            assert_eq!(component.measurement.as_ref().unwrap().as_bytes(), unhex(&said["measurement"]));
            assert_eq!(component.signer.as_ref().unwrap().as_bytes(), unhex(&said["signer"]));
            assert_eq!(component.version, None);
        }
        assert_eq!((claims.measured, claims.class), (Measured::NoReference, None));
        assert_eq!((&claims.oem, &claims.model, claims.certification, claims.boot_count), (&None, &None, None, None));
    }
}

#[test]
fn they_pass_a_policy() {
    for mut case in published() {
        let reference = |software| Reference { class: DeviceClass::Iot, oem: None, model: None, software };
        let policy = Policy::new("published", Demands::all()).unwrap();
        let mut appraise = |software: Vec<KnownSoftware>| {
            case.endorsements.refer([0; 32], reference(software));
            let verifier = TokenVerifier::new(&case.endorsements);
            policy.appraise(&meter(), Some(&case.token), &case.nonce, &verifier, &RustCrypto)
        };
        let verdict = appraise(vec![known("PRoT", &[3], &[4])]).unwrap();
        assert_eq!(verdict.appraised().unwrap().hash(), &RustCrypto.sha256(&[&case.token]));
        assert_eq!(appraise(vec![known("PRoT", &[4], &[4])]), Err(Finding::Measurement));
        assert_eq!(digest(3).as_bytes(), [3; 32]);
    }
}

#[test]
fn no_other_nonce() {
    for case in published() {
        for at in 0..32 {
            let mut nonce = case.nonce;
            nonce[at] ^= 1;
            assert_eq!(case.verify(&case.token, &nonce), Err(Finding::Nonce), "{} {at}", case.name);
        }
    }
}

/// All 8 flips of each byte, all truncations, one byte more.
#[test]
fn not_a_bit_of_them_can_be_changed() {
    for case in published() {
        let (mut signature, mut others) = (0, 0);
        for at in 0..case.token.len() * 8 {
            let mut token = case.token.clone();
            token[at / 8] ^= 1 << (at % 8);
            match case.verify(&token, &case.nonce) {
                Ok(_) => panic!("{}: bit {at}", case.name),
                Err(Finding::Signature) => signature += 1,
                Err(Finding::UnknownInstance | Finding::Malformed(_)) => others += 1,
                Err(finding) => panic!("{}: bit {at}: {finding} before the signature was checked", case.name),
            }
        }
        assert!(signature > 1500 && others > 250, "{signature} {others}");
        for len in 0..case.token.len() {
            let refused = case.verify(&case.token[..len], &case.nonce);
            assert!(matches!(refused, Err(Finding::Malformed(_))), "{} {len}: {refused:?}", case.name);
        }
        let longer = [case.token.as_slice(), &[0]].concat();
        assert!(matches!(case.verify(&longer, &case.nonce), Err(Finding::Malformed(_))));
    }
}

/// Each with the other's kind of key: a public key is never taken for an HMAC key.
#[test]
fn keys_are_of_one_kind() {
    let cases = published();
    for (case, other) in [(&cases[0], &cases[1]), (&cases[1], &cases[0])] {
        let instance = Ueid::from_bytes(&unhex(&case.claims["instance_id"])).unwrap();
        let mut endorsements = MemoryEndorsements::new();
        endorsements.endorse(match other.name.contains("Mac0") {
            true => Endorsement::hmac(instance, meter(), [0; 32], SecretBytes::new(vec![9; 65])).unwrap(),
            false => Endorsement::p256(instance, meter(), [0; 32], crate::lab::public_key(crate::lab::KEY)).unwrap(),
        });
        let verified = TokenVerifier::new(&endorsements).verify(&case.token, &case.nonce, &RustCrypto);
        assert_eq!(verified, Err(Finding::Signature), "{}", case.name);
    }
}
