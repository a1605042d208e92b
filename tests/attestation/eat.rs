//! Plain EATs (RFC 9711).

use ciborium::Value;
use remote_provisioning::{
    attestation::{
        BootState, Claims, DebugState, Demands, DeviceClass, Endorsement, Finding, Format, KnownSoftware, LifeCycle,
        Measured, MemoryEndorsements, Oem, Reference, TokenVerifier, Verifier, label,
    },
    crypto::{Crypto, rustcrypto::RustCrypto},
    error::{Code, Malformed},
    identity::{Eui, Imei, Ueid},
};

use crate::lab::*;

fn verify(token: &Token) -> Result<Claims, Finding> {
    TokenVerifier::new(endorsements()).verify(&token.sign(), &NONCE, &RustCrypto)
}

/// Nonce and UEID, nothing else.
fn bare() -> Token {
    Token(vec![(10, bytes(NONCE)), (256, bytes(instance(1).as_bytes()))])
}

fn malformed(token: &Token, reason: Malformed) {
    assert_eq!(verify(token), Err(Finding::Malformed(reason)), "{token:?}");
}

/// What was not said was not said.
#[test]
fn bare_claims() {
    let claims = verify(&bare()).unwrap();
    assert_eq!((claims.format, &claims.instance, claims.device), (Format::Eat, &instance(1), meter()));
    assert_eq!(claims.implementation, IMPLEMENTATION, "by endorsement");
    assert_eq!((claims.boot, claims.debug, claims.life_cycle, claims.caller), (None, None, None, None));
    assert_eq!((&claims.oem, &claims.model, &claims.boot_seed, claims.boot_count), (&None, &None, &None, None));
    assert_eq!((claims.components.len(), claims.measured, claims.class), (0, Measured::Differ, Some(DeviceClass::Iot)));
    assert!(appraise(&lenient(), &bare().sign()).is_ok());
    malformed(&bare().without(256), Malformed::MissingKey);
    malformed(&bare().with(256, bytes([1; 6])), Malformed::WrongLength);
    malformed(&bare().with(256, bytes([1; 34])), Malformed::WrongLength);
}

/// The hardware block of RFC 9711 Appendix A.1.3, with this nonce and UEID.
#[test]
fn a_block_of_hardware() {
    let token =
        bare().with(258, int(64242)).with(262, true).with(263, int(3)).with(260, vec![Value::from("3.1"), int(1)]);
    let claims = verify(&token).unwrap();
    assert_eq!(claims.oem, Some(Oem::Pen(64242)));
    assert_eq!((claims.boot, claims.debug), (Some(BootState::Authorised), Some(DebugState::DisabledPermanently)));
    assert_eq!(claims.life_cycle, None);
}

/// Each state against each demand.
#[test]
fn debug_states() {
    let states = [
        DebugState::Enabled,
        DebugState::Disabled,
        DebugState::DisabledSinceBoot,
        DebugState::DisabledPermanently,
        DebugState::DisabledFullyAndPermanently,
    ];
    for (demanded, demand) in states.into_iter().enumerate() {
        let policy = demanding(Demands { debug: Some(demand), ..Demands::all() });
        for (said, state) in states.into_iter().enumerate() {
            assert_eq!(usize::from(state.number()), said);
            let token = Token::eat().with(263, int(said.try_into().unwrap()));
            assert_eq!(verify(&token).unwrap().debug, Some(state));
            let judged = appraise(&policy, &token.sign()).map(|verdict| verdict.appraised().unwrap().debug());
            let expected = if said >= demanded { Ok(Some(state)) } else { Err(Finding::Debug) };
            assert_eq!(judged, expected, "{state:?} under {demand:?}");
        }
        let silent = Token::eat().without(263).without(2395).with(262, true);
        assert_eq!(appraise(&policy, &silent.sign()), Err(Finding::Debug), "not said");
    }
    assert_eq!(Finding::Debug.code(), Code::DebugState);
    malformed(&Token::eat().with(263, int(5)), Malformed::OutOfRange);
    malformed(&Token::eat().with(263, int(-1)), Malformed::WrongType);
    malformed(&Token::eat().with(263, true), Malformed::WrongType);
    // The claim counts, and not what would follow from the life cycle.
    let claims = verify(&Token::eat().with(263, int(0)).with(2395, int(0x3000))).unwrap();
    assert_eq!((claims.debug, claims.life_cycle), (Some(DebugState::Enabled), Some(LifeCycle::Secured)));
}

#[test]
fn each_claim_has_its_type() {
    for (oem, bytes) in [
        (Oem::Ieee([0xac, 0xde, 0x48]), bytes([0xac, 0xde, 0x48])),
        (Oem::Random([6; 16]), bytes([6; 16])),
        (Oem::Pen(0), int(0)),
    ] {
        assert_eq!(verify(&bare().with(258, bytes)).unwrap().oem, Some(oem));
    }
    for len in [0, 2, 4, 15, 17] {
        malformed(&bare().with(258, bytes(vec![1; len])), Malformed::WrongLength);
    }
    malformed(&bare().with(258, "acme"), Malformed::WrongType);
    malformed(&bare().with(258, int(-1)), Malformed::WrongType);
    for len in [1, 32] {
        let model = vec![4; len];
        assert_eq!(verify(&bare().with(259, bytes(&model))).unwrap().model.as_deref().unwrap(), model);
    }
    for len in [0, 33] {
        malformed(&bare().with(259, bytes(vec![1; len])), Malformed::WrongLength);
    }
    for key in [260, 271] {
        malformed(&bare().with(key, "1.0"), Malformed::WrongType);
        malformed(&bare().with(key, Vec::<Value>::new()), Malformed::WrongLength);
        malformed(&bare().with(key, vec![int(1)]), Malformed::WrongType);
        malformed(&bare().with(key, vec![Value::from("1"), int(1), int(1)]), Malformed::TooLong);
        assert!(verify(&bare().with(key, vec![Value::from("1")])).is_ok());
    }
    malformed(&bare().with(262, int(1)), Malformed::WrongType);
    malformed(&bare().with(267, int(-1)), Malformed::WrongType);
    assert_eq!(verify(&bare().with(267, int(70_000))).unwrap().boot_count, Some(70_000));
    assert_eq!(verify(&bare().with(268, bytes([5; 64]))).unwrap().boot_seed.as_deref().unwrap(), [5; 64]);
    malformed(&bare().with(268, bytes([5; 65])), Malformed::TooLong);
    malformed(&bare().with(270, int(1)), Malformed::WrongType);
    malformed(&bare().with(270, "modem\u{7}"), Malformed::Text);
    malformed(&bare().with(270, "x".repeat(33)), Malformed::TooLong);
    malformed(&bare().with(275, "provisioning"), Malformed::WrongType);
    // Profiles of others: a URI or an OID.
    assert!(verify(&bare().with(265, "urn:ietf:rfc:rfc9711")).is_ok());
    assert!(verify(&bare().with(265, bytes([0x2a, 3, 4]))).is_ok());
    malformed(&bare().with(265, int(1)), Malformed::WrongType);
    malformed(&bare().with(-75000, "PSA_IOT_PROFILE_2"), Malformed::OutOfRange);
}

/// A submodule would have states of its own that nobody judges (RFC 9711 §4.2.9).
#[test]
fn submodules_are_refused() {
    let inner = Value::Map(vec![(int(263), int(0))]);
    let token = Token::eat().with(266, Value::Map(vec![("OS".into(), inner)]));
    malformed(&token, Malformed::Forbidden);
}

/// Software by name and version, and measurements of it by format.
#[test]
fn software() {
    let body = b"an evidence CoSWID";
    let hash: [u8; 32] = RustCrypto.sha256(&[body]);
    let entry = |format: i64, body: &[u8]| Value::from(vec![int(format), bytes(body)]);
    let token = Token::eat()
        .without(2399)
        .with(270, "modem")
        .with(271, vec![Value::from("3.1")])
        .with(273, vec![entry(258, body)]);
    let claims = verify(&token).unwrap();
    assert_eq!(claims.components.len(), 2);
    assert_eq!(claims.components[0].kind.as_deref(), Some("modem"));
    assert_eq!(claims.components[0].version.as_deref(), Some("3.1"));
    assert_eq!(claims.components[0].measurement, None);
    assert_eq!(claims.components[1].kind.as_deref(), Some("258"));
    assert_eq!(claims.components[1].measurement, Some(hash.into()));

    let mut endorsements = MemoryEndorsements::new();
    endorsements.endorse(Endorsement::p256(instance(1), meter(), IMPLEMENTATION, public_key(KEY)).unwrap());
    let known = KnownSoftware { kind: label("258").ok(), measurements: vec![hash.into()], signers: vec![] };
    endorsements.refer(IMPLEMENTATION, Reference { software: vec![known], ..reference() });
    let verifier = TokenVerifier::new(&endorsements);
    let judge =
        |token: &Token| strict().appraise(&meter(), Some(&token.sign()), &NONCE, &verifier, &RustCrypto).map(|_| ());
    assert_eq!(judge(&token), Ok(()));
    assert_eq!(judge(&token.clone().with(273, vec![entry(258, b"another")])), Err(Finding::Measurement));
    assert_eq!(judge(&token.clone().with(273, vec![entry(259, body)])), Err(Finding::Measurement));
    assert_eq!(judge(&token.clone().without(273)), Err(Finding::Measurement), "a name is no measurement");

    // What the device has compared itself.
    let result = |result: i64| {
        Value::from(vec![Value::from(vec![
            "secure boot".into(),
            Value::from(vec![Value::from(vec!["app".into(), int(1)]), Value::from(vec![bytes([1]), int(result)])]),
        ])])
    };
    assert_eq!(judge(&token.clone().with(274, result(1))), Ok(()));
    for bad in 2..=4 {
        assert_eq!(judge(&token.clone().with(274, result(bad))), Err(Finding::Measurement), "result {bad}");
    }
    for bad in [0, 5] {
        assert_eq!(judge(&token.clone().with(274, result(bad))), Err(Finding::Malformed(Malformed::OutOfRange)));
    }
    assert_eq!(judge(&token.clone().with(274, Vec::<Value>::new())), Err(Finding::Measurement), "no result at all");
    assert_eq!(judge(&token.clone().with(274, true)), Err(Finding::Malformed(Malformed::WrongType)));
    let odd = vec![Value::from(vec![Value::from("x")])];
    assert_eq!(judge(&token.clone().with(274, odd)), Err(Finding::Malformed(Malformed::WrongLength)));

    malformed(&token.clone().with(273, Vec::<Value>::new()), Malformed::WrongLength);
    malformed(&token.clone().with(273, vec![entry(65_536, body)]), Malformed::OutOfRange);
    malformed(&token.clone().with(273, vec![Value::from(vec![int(258)])]), Malformed::WrongLength);
    malformed(&token.clone().with(273, vec![entry(258, body); 8]), Malformed::TooLong);
    malformed(&token.with(273, vec![entry(258, body); 9]), Malformed::TooLong);
}

/// UEIDs of all types find their endorsement.
#[test]
fn ueids_of_all_types() {
    let imei: Imei = "imei-490154203237518".parse().unwrap();
    let eui: Eui = "mac-00-00-5E-00-53-AF".parse().unwrap();
    let long: Eui = "eui-02-00-5E-10-00-00-00-01".parse().unwrap();
    // RFC 9711 Appendix A.1 has one of 15 random bytes.
    let odd = Ueid::from_bytes(&[&[1][..], &[0x98; 15]].concat()).unwrap();
    for ueid in [Ueid::from(&imei), Ueid::from(&eui), Ueid::from(&long), Ueid::random(&[5; 16]).unwrap(), odd] {
        let mut endorsements = MemoryEndorsements::new();
        let key = public_key(KEY);
        endorsements.endorse(Endorsement::p256(ueid.clone(), meter(), IMPLEMENTATION, key).unwrap());
        let token = bare().with(256, bytes(ueid.as_bytes())).sign();
        let claims = TokenVerifier::new(endorsements).verify(&token, &NONCE, &RustCrypto).unwrap();
        assert_eq!(claims.instance, ueid);
    }
}
