//! Evidence of another session, another device or another operator is refused.

use remote_provisioning::{
    attestation::{
        Attester, BootState, Component, DebugState, EatReport, Finding, Format, Oem, Policy, PsaReport,
        SoftwareAttester, TokenVerifier, Verdict, binding, label,
    },
    crypto::{Crypto, Hash, rustcrypto::RustCrypto},
    error::{Backend, Misuse},
    identity::DeviceId,
    store::KeyId,
};

use crate::lab::*;

const TH_3: Hash = [0x33; 32];
const CRED_I: &[u8] = b"\x58\x20credential of the meter";

fn psa_report() -> PsaReport {
    let component = |kind, version, measurement, signer| Component {
        kind: label(kind).ok(),
        version: label(version).ok(),
        measurement: Some(digest(measurement)),
        signer: Some(digest(signer)),
    };
    PsaReport {
        instance: instance(1),
        implementation: IMPLEMENTATION,
        client: -1,
        life_cycle: 0x3000,
        boot_seed: Some([7; 16].into_iter().collect()),
        certification: Some(label("1234567890123-12345").unwrap()),
        components: [component("PRoT", "1.2.3", 0x10, 0x20), component("App", "2.0", 0x12, 0x21)].into_iter().collect(),
    }
}

fn eat_report() -> EatReport {
    EatReport {
        instance: instance(1),
        oem: Some(Oem::Ieee([0xac, 0xde, 0x48])),
        model: Some([1, 2].into_iter().collect()),
        boot: Some(BootState::Authorised),
        debug: Some(DebugState::DisabledSinceBoot),
        boot_count: Some(300),
        software: label("modem").ok(),
        version: label("3.1").ok(),
        life_cycle: Some(0x3000),
        measurements: vec![(258, Box::from(*b"coswid"))],
    }
}

fn evidence(key: KeyId, nonce: &Hash) -> Vec<u8> {
    let keys = keys();
    let attester = SoftwareAttester::new(&keys, key, Some(psa_report()), None).unwrap();
    attester.evidence(nonce, &[1]).unwrap().unwrap()
}

fn appraise(device: &DeviceId, evidence: &[u8], nonce: &Hash, policy: &Policy) -> Result<Verdict, Finding> {
    policy.appraise(device, Some(evidence), nonce, &TokenVerifier::new(endorsements()), &RustCrypto)
}

#[test]
fn as_the_brief_has_it() {
    let hash = |bytes: &[u8]| RustCrypto.sha256(&[bytes]);
    let input = [b"RCP attest".as_slice(), &TH_3, &hash(CRED_I)].concat();
    assert_eq!(binding(&TH_3, CRED_I, &RustCrypto), hash(&input));
    assert_eq!(input.len(), 10 + 32 + 32);
    // Computed elsewhere: two runs of zeros, and an empty credential.
    let zeros = binding(&[0; 32], &[], &RustCrypto);
    let hex: String = zeros.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "36719a2b97d0ee2c877a7f057fa5520838bbbe688df41fb7f3394917366377b2");
}

/// TH_3 differs between sessions and, because CRED_R is in it, between operators; CRED_I between devices.
#[test]
fn evidence_of_another_session_device_or_operator() {
    let policy = strict();
    let nonce = binding(&TH_3, CRED_I, &RustCrypto);
    let made = evidence(KEY, &nonce);
    let verdict = appraise(&meter(), &made, &nonce, &policy).unwrap();
    assert!(verdict.is_for(&nonce));

    let mut th_3 = TH_3;
    th_3[31] ^= 1;
    let other_session = binding(&th_3, CRED_I, &RustCrypto);
    let other_operator = binding(&RustCrypto.sha256(&[&TH_3, b"CRED_R of another operator"]), CRED_I, &RustCrypto);
    let other_device = binding(&TH_3, b"\x58\x20credential of meter 2", &RustCrypto);
    let longer = binding(&TH_3, &[CRED_I, &[0]].concat(), &RustCrypto);
    for other in [other_session, other_operator, other_device, longer] {
        assert_ne!(other, nonce);
        assert_eq!(appraise(&meter(), &made, &other, &policy), Err(Finding::Nonce));
        assert_eq!(appraise(&meter(), &evidence(KEY, &other), &nonce, &policy), Err(Finding::Nonce));
        assert!(!verdict.is_for(&other));
    }
    // The other device's session, with evidence that the first was tricked into making for it.
    let tricked = evidence(KEY, &other_device);
    assert_eq!(appraise(&device("METER-2"), &tricked, &other_device, &policy), Err(Finding::Identity));
    // And with the first one's claims under its own key.
    let forged = evidence(OTHER_KEY, &other_device);
    assert_eq!(appraise(&device("METER-2"), &forged, &other_device, &policy), Err(Finding::Signature));
}

#[test]
fn the_software_attester_says_what_it_was_told() {
    let keys = keys();
    let attester = SoftwareAttester::new(&keys, KEY, Some(psa_report()), Some(eat_report())).unwrap();
    let (psa, eat) = (u64::from(Format::Psa.number()), u64::from(Format::Eat.number()));
    let attester: &dyn Attester = &attester;
    let first = |formats: &[u64]| attester.evidence(&NONCE, formats).unwrap();
    assert_eq!((first(&[]), first(&[0, 3, u64::MAX])), (None, None));
    assert_eq!((first(&[9, psa, eat]), first(&[eat, psa])), (first(&[psa]), first(&[eat])));

    let token = first(&[psa]).unwrap();
    let verdict = appraise(&meter(), &token, &NONCE, &strict()).unwrap();
    let software: Vec<_> = verdict.appraised().unwrap().software().collect();
    assert_eq!(software, [(Some("PRoT"), Some("1.2.3")), (Some("App"), Some("2.0"))]);
    let verified = remote_provisioning::attestation::Verifier::verify(
        &TokenVerifier::new(endorsements()),
        &first(&[eat]).unwrap(),
        &NONCE,
        &RustCrypto,
    );
    let claims = verified.unwrap();
    assert_eq!((claims.format, claims.boot_count), (Format::Eat, Some(300)));
    assert_eq!((&claims.oem, claims.model.as_deref()), (&eat_report().oem, Some([1, 2].as_slice())));
    assert_eq!((claims.boot, claims.debug), (eat_report().boot, eat_report().debug));
    assert_eq!(claims.components.len(), 2);
    assert_eq!(claims.components[1].measurement, Some(RustCrypto.sha256(&[b"coswid"]).into()));
    let verified = remote_provisioning::attestation::Verifier::verify(
        &TokenVerifier::new(endorsements()),
        &token,
        &NONCE,
        &RustCrypto,
    );
    let claims = verified.unwrap();
    assert_eq!((claims.caller, claims.boot_seed.as_deref()), (Some(-1), Some([7; 16].as_slice())));
    assert_eq!(claims.certification.as_deref(), Some("1234567890123-12345"));
    assert_eq!(claims.components, psa_report().components);

    let only = SoftwareAttester::new(&keys, KEY, None, Some(eat_report())).unwrap();
    assert_eq!(only.evidence(&NONCE, &[psa]), Ok(None));
    assert_eq!(format!("{only:?}"), "SoftwareAttester { key: KeyId(7), .. }");
    let missing = SoftwareAttester::new(&keys, KeyId(99), None, Some(eat_report())).unwrap();
    assert_eq!(missing.evidence(&NONCE, &[eat]), Err(Backend::Key));
    let long = EatReport { measurements: vec![(258, vec![0; 900].into())], ..eat_report() };
    assert_eq!(SoftwareAttester::new(&keys, KEY, None, Some(long)).err(), Some(Misuse::Parameter("evidence too long")));
}
