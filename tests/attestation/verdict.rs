//! What is kept of an appraisal. That a verdict cannot be made otherwise is a doctest of `Verdict` that must not compile.

use ciborium::Value;
use remote_provisioning::{
    attestation::{
        BootState, DebugState, DeviceClass, Format, LifeCycle, MAX_COMPONENTS, Policy, TokenVerifier, Verdict,
    },
    crypto::{Crypto, rustcrypto::RustCrypto},
};

use crate::lab::*;

fn stored(verdict: &Verdict) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(verdict, &mut out).unwrap();
    out
}

fn without() -> Verdict {
    let policy = Policy::without_evidence("ambient tags").unwrap();
    policy.appraise(&meter(), None, &NONCE, &TokenVerifier::new(endorsements()), &RustCrypto).unwrap()
}

#[test]
fn it_says_on_what_grounds() {
    let evidence = Token::psa().sign();
    let verdict = appraise(&strict(), &evidence).unwrap();
    assert_eq!(verdict.policy(), "meters");
    let appraised = verdict.appraised().unwrap();
    assert_eq!(appraised.hash(), &RustCrypto.sha256(&[&evidence]));
    assert_eq!((appraised.format(), appraised.instance()), (Format::Psa, &instance(1)));
    assert_eq!((appraised.implementation(), appraised.class()), (&IMPLEMENTATION, Some(DeviceClass::Iot)));
    assert_eq!(appraised.life_cycle(), Some(LifeCycle::Secured));
    assert_eq!((appraised.boot(), appraised.debug()), (Some(BootState::Authorised), Some(DebugState::Disabled)));
    assert!(appraised.known_software());
    let software: Vec<_> = appraised.software().collect();
    assert_eq!(software, [(Some("PRoT"), Some("1.2.3")), (Some("App"), Some("2.0.0+5"))]);
    // Under a policy that demands less, it still says what there was.
    let lenient = appraise(&lenient(), &Token::eat().without(2395).with(263, int(0)).with(262, false).sign()).unwrap();
    let appraised = lenient.appraised().unwrap();
    assert_eq!((appraised.boot(), appraised.debug()), (Some(BootState::Unauthorised), Some(DebugState::Enabled)));
    assert_eq!((appraised.life_cycle(), appraised.format()), (None, Format::Eat));
}

#[test]
fn it_survives_storage() {
    let eat = Token::eat().with(256, bytes(instance(1).as_bytes())).without(2399);
    for verdict in
        [appraise(&strict(), &Token::psa().sign()).unwrap(), appraise(&lenient(), &eat.sign()).unwrap(), without()]
    {
        let bytes = stored(&verdict);
        let back: Verdict = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert_eq!(back, verdict);
        assert_eq!(stored(&back), bytes);
        let json = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    }
}

/// The longest there is: as many components as there may be, with the longest texts that fit into evidence.
#[test]
fn it_is_short() {
    let component =
        Value::Map(vec![(int(1), "k".repeat(32).into()), (int(2), bytes([1; 32])), (int(4), "9".repeat(6).into())]);
    let token = Token::psa().with(2399, vec![component; MAX_COMPONENTS]);
    let policy =
        Policy::new(&"p".repeat(32), remote_provisioning::attestation::Demands { ..lenient_demands() }).unwrap();
    let verdict = appraise(&policy, &token.sign()).unwrap();
    assert!(stored(&verdict).len() < 1024, "{}", stored(&verdict).len());
    assert!(stored(&without()).len() < 100, "{}", stored(&without()).len());
    assert!(verdict.to_string().lines().count() == 2);
}

fn lenient_demands() -> remote_provisioning::attestation::Demands {
    remote_provisioning::attestation::Demands {
        authorised_boot: false,
        debug: None,
        life_cycles: None,
        known_software: false,
        class: None,
        ..remote_provisioning::attestation::Demands::all()
    }
}

/// Storage that was damaged gives no verdict rather than an odd one.
#[test]
fn storage_is_read_with_care() {
    let bytes = stored(&appraise(&strict(), &Token::psa().sign()).unwrap());
    for len in 0..bytes.len() {
        assert!(ciborium::from_reader::<Verdict, _>(&bytes[..len]).is_err(), "{len}");
    }
    let json = serde_json::to_string(&without()).unwrap();
    let longer = json.replace("ambient tags", &"x".repeat(33));
    assert!(serde_json::from_str::<Verdict>(&longer).is_err());
}

#[test]
fn a_person_can_read_it() {
    let evidence = Token::psa().sign();
    let hash: String = RustCrypto.sha256(&[&evidence])[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!(
        "accepted by policy \"meters\": PSA token {hash} of 01{}, secured, authorised boot, debug disabled, known \
         software\n  PRoT 1.2.3, App 2.0.0+5",
        "01".repeat(32)
    );
    assert_eq!(appraise(&strict(), &evidence).unwrap().to_string(), expected);
    assert_eq!(without().to_string(), "accepted by policy \"ambient tags\" without evidence");
    let nameless = Value::Map(vec![(int(2), bytes([1; 32]))]);
    let token = Token::psa().with(2395, int(0x4000)).with(2399, vec![nameless]);
    let shown = appraise(&lenient(), &token.sign()).unwrap().to_string();
    let (_, shown) = shown.split_once(", ").unwrap();
    assert_eq!(
        shown,
        "debug outside of the root of trust, authorised boot, debug enabled, software not compared\n  unnamed of no version"
    );
}
