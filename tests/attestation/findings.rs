//! A token for each finding, and the code that the device is told.

use std::collections::BTreeSet;

use ciborium::Value;
use remote_provisioning::{
    attestation::{
        BootState, Claims, DebugState, Demands, DeviceClass, Endorsement, Endorsements, Finding, Format,
        ImplementationId, KnownSoftware, LifeCycle, MAX_EVIDENCE, Measured, MemoryEndorsements, MinimumVersion, Policy,
        Reference, Statement, TokenVerifier, Verdict, Verifier, Version, label,
    },
    crypto::{Crypto, Hash, PublicKey, SecretBytes, rustcrypto::RustCrypto},
    error::{Backend, Code, Malformed, Misuse},
    identity::{DeviceId, Ueid},
};

use crate::lab::*;

fn refused(policy: &Policy, token: Token, finding: Finding, code: Code) {
    assert_eq!(appraise(policy, &token.sign()), Err(finding), "{token:?}");
    assert_eq!(finding.code(), code);
}

fn malformed(token: Token, reason: Malformed) {
    refused(&lenient(), token, Finding::Malformed(reason), Code::EvidenceNotAccepted);
}

#[test]
fn the_honest_ones_pass() {
    for token in [Token::psa(), Token::eat()] {
        let verdict = appraise(&strict(), &token.sign()).unwrap();
        assert!(verdict.is_for(&NONCE) && !verdict.is_for(&[0; 32]));
        assert!(verdict.appraised().unwrap().known_software());
        appraise(&lenient(), &token.sign()).unwrap();
    }
    let token = Token::psa().with(256, bytes(instance(3).as_bytes()));
    appraise_as(&device("METER-3"), &strict(), &token.mac(), &NONCE).unwrap();
    let token = Token::eat().with(256, bytes(instance(3).as_bytes()));
    appraise_as(&device("METER-3"), &strict(), &token.mac(), &NONCE).unwrap();
}

// ------------------------------------------------------------------------------------------------------ before claims

#[test]
fn evidence_missing() {
    let verifier = TokenVerifier::new(endorsements());
    for policy in [strict(), lenient(), demanding(Demands { formats: Default::default(), ..Demands::all() })] {
        let refused = policy.appraise(&meter(), None, &NONCE, &verifier, &RustCrypto);
        assert_eq!(refused, Err(Finding::EvidenceMissing));
    }
    assert_eq!(Finding::EvidenceMissing.code(), Code::EvidenceMissing);

    // Only a policy that says so by name.
    let aiot = Policy::without_evidence("ambient tags").unwrap();
    let verdict = aiot.appraise(&meter(), None, &NONCE, &verifier, &RustCrypto).unwrap();
    assert_eq!((verdict.policy(), verdict.appraised(), verdict.is_for(&NONCE)), ("ambient tags", None, true));
    assert_eq!(aiot.formats().count(), 0);
    assert_eq!(strict().formats().collect::<Vec<_>>(), [Format::Psa, Format::Eat]);
}

/// A policy without evidence demands nothing of it, but evidence that lies is no better than none.
#[test]
fn evidence_that_nobody_asked_for_is_checked_all_the_same() {
    let aiot = Policy::without_evidence("ambient tags").unwrap();
    let open = Token::psa().with(2395, int(0x1000));
    let verdict = appraise(&aiot, &open.sign()).unwrap();
    assert_eq!(verdict.appraised().unwrap().life_cycle(), Some(LifeCycle::AssemblyAndTest));
    assert_eq!(appraise(&aiot, &open.sign_with(OTHER_KEY)), Err(Finding::Signature));
    assert_eq!(appraise_as(&device("METER-2"), &aiot, &open.sign(), &NONCE), Err(Finding::Identity));
    assert_eq!(appraise_as(&meter(), &aiot, &open.sign(), &[0; 32]), Err(Finding::Nonce));
    assert_eq!(appraise(&aiot, &[]), Err(Finding::Malformed(Malformed::Truncated)));
}

/// Attack 28: a valid signature by the key of another device of the same maker.
#[test]
fn signature() {
    let policy = lenient();
    let signed = |token: &Token, key| appraise(&policy, &token.sign_with(key));
    assert_eq!(signed(&Token::psa(), OTHER_KEY), Err(Finding::Signature));
    assert_eq!(signed(&Token::eat(), OTHER_KEY), Err(Finding::Signature));
    assert_eq!(Finding::Signature.code(), Code::EvidenceNotAuthentic);
    // The other device's own evidence, sent in the session of the first.
    let other = Token::psa().with(256, bytes(instance(2).as_bytes()));
    assert_eq!(signed(&other, OTHER_KEY), Err(Finding::Identity));
    assert_eq!(signed(&other, KEY), Err(Finding::Signature));
    // HMAC: another key; a key of the other kind, whichever way around; the public key for a secret one.
    let third = Token::psa().with(256, bytes(instance(3).as_bytes()));
    let judged = |evidence: &[u8]| appraise_as(&device("METER-3"), &policy, evidence, &NONCE);
    assert!(judged(&third.mac()).is_ok());
    assert_eq!(judged(&mac(&third.payload(), &[0x78; 64])), Err(Finding::Signature));
    assert_eq!(judged(&mac(&third.payload(), &HMAC_KEY[..63])), Err(Finding::Signature));
    assert_eq!(judged(&third.sign()), Err(Finding::Signature));
    let forged = mac(&Token::psa().payload(), public_key(KEY).bytes());
    assert_eq!(appraise(&policy, &forged), Err(Finding::Signature));
}

#[test]
fn unknown_instance() {
    let token = Token::psa().with(256, bytes(instance(9).as_bytes()));
    refused(&lenient(), token, Finding::UnknownInstance, Code::EvidenceNotAuthentic);
    let token = Token::eat().with(256, bytes([2, 0, 0, 0, 0, 0, 1]));
    refused(&lenient(), token, Finding::UnknownInstance, Code::EvidenceNotAuthentic);
}

/// Whatever a database answers, it is held against what was asked.
#[test]
fn an_endorsement_of_another_instance_is_none() {
    struct Careless;
    impl Endorsements for Careless {
        fn endorsement(&self, _: &Ueid) -> Result<Option<Endorsement>, Backend> {
            Ok(Some(Endorsement::p256(instance(1), meter(), IMPLEMENTATION, public_key(OTHER_KEY)).unwrap()))
        }
        fn reference(&self, _: &ImplementationId) -> Result<Option<Reference>, Backend> {
            Ok(None)
        }
    }
    let token = Token::psa().with(256, bytes(instance(2).as_bytes())).sign_with(OTHER_KEY);
    let verified = TokenVerifier::new(Careless).verify(&token, &NONCE, &RustCrypto);
    assert_eq!(verified, Err(Finding::UnknownInstance));
}

#[test]
fn lookups_that_fail_are_tried_again() {
    struct Down(bool);
    impl Endorsements for Down {
        fn endorsement(&self, instance: &Ueid) -> Result<Option<Endorsement>, Backend> {
            if self.0 { endorsements().endorsement(instance) } else { Err(Backend::Store) }
        }
        fn reference(&self, _: &ImplementationId) -> Result<Option<Reference>, Backend> {
            Err(Backend::Store)
        }
    }
    for first in [false, true] {
        let verified = TokenVerifier::new(Down(first)).verify(&Token::psa().sign(), &NONCE, &RustCrypto);
        assert_eq!(verified, Err(Finding::Backend(Backend::Store)));
    }
    assert_eq!(Finding::Backend(Backend::Store).code(), Code::TryLater);
}

#[test]
fn nonce() {
    for token in [Token::psa(), Token::eat()] {
        refused(&lenient(), token.clone().with(10, bytes([0; 32])), Finding::Nonce, Code::EvidenceNotFresh);
        refused(&lenient(), token.clone().with(10, bytes([0x5a; 64])), Finding::Nonce, Code::EvidenceNotFresh);
        malformed(token.clone().without(10), Malformed::MissingKey);
        malformed(token.clone().with(10, vec![bytes(NONCE), bytes([1; 32])]), Malformed::WrongType);
        malformed(token.clone().with(10, bytes([0x5a; 65])), Malformed::WrongLength);
        malformed(token.with(10, bytes([0x5a; 7])), Malformed::WrongLength);
    }
    malformed(Token::psa().with(10, bytes([0x5a; 31])), Malformed::WrongLength);
    refused(&lenient(), Token::eat().with(10, bytes([0x5a; 31])), Finding::Nonce, Code::EvidenceNotFresh);
}

#[test]
fn identity() {
    let evidence = Token::psa().sign();
    let other_maker = DeviceId::new(Some([0x34; 16]), "METER-1".parse().unwrap());
    let pinned = DeviceId::new(None, "METER-1".parse().unwrap());
    for device in [device("METER-2"), device("METER-3"), device("meter-1"), other_maker, pinned] {
        for policy in [strict(), lenient()] {
            assert_eq!(appraise_as(&device, &policy, &evidence, &NONCE), Err(Finding::Identity), "{device}");
        }
    }
    assert_eq!(Finding::Identity.code(), Code::EvidenceIdentity);
    for token in [Token::psa(), Token::eat()] {
        let token = token.with(2396, bytes([0xac; 32]));
        refused(&lenient(), token, Finding::Implementation, Code::EvidenceIdentity);
    }
}

/// Signature, nonce, identity, claims: a token with several faults shows the first.
#[test]
fn checked_in_this_order() {
    let other = device("METER-2");
    let mut token = Token::psa().with(2395, int(0x5000)).with(10, bytes([0; 32]));
    assert_eq!(appraise_as(&other, &strict(), &token.sign_with(OTHER_KEY), &NONCE), Err(Finding::Signature));
    assert_eq!(appraise_as(&other, &strict(), &token.sign(), &NONCE), Err(Finding::Nonce));
    token = token.with(10, bytes(NONCE));
    assert_eq!(appraise_as(&other, &strict(), &token.sign(), &NONCE), Err(Finding::Identity));
    assert_eq!(appraise(&strict(), &token.sign()), Err(Finding::Boot));
    // A claim that is no claim does not come before the signature and the nonce either.
    token = token.with(2395, "secured");
    assert_eq!(appraise(&strict(), &token.sign_with(OTHER_KEY)), Err(Finding::Signature));
    assert_eq!(appraise_as(&meter(), &strict(), &token.sign(), &[0; 32]), Err(Finding::Nonce));
    assert_eq!(appraise(&strict(), &token.sign()), Err(Finding::Malformed(Malformed::WrongType)));
}

// ------------------------------------------------------------------------------------------------------------ claims

#[test]
fn format() {
    for (format, good, bad) in [(Format::Psa, Token::psa(), Token::eat()), (Format::Eat, Token::eat(), Token::psa())] {
        let policy = demanding(Demands { formats: core::iter::once(format).collect(), ..Demands::all() });
        assert!(appraise(&policy, &good.sign()).is_ok());
        refused(&policy, bad, Finding::Format, Code::EvidenceFormat);
        assert_eq!(Format::from_number(format.number().into()), Some(format));
    }
    assert_eq!([0, 3, 256, 257, u64::MAX].map(Format::from_number), [None; 5]);
}

#[test]
fn boot() {
    let policy = demanding(Demands { debug: None, life_cycles: None, ..Demands::all() });
    for state in [0x0000, 0x1000, 0x2000, 0x5000, 0x6000] {
        refused(&policy, Token::psa().with(2395, int(state)), Finding::Boot, Code::BootState);
    }
    for state in [0x3000, 0x30ff, 0x4000, 0x40ff] {
        assert!(appraise(&policy, &Token::psa().with(2395, int(state)).sign()).is_ok());
    }
    refused(&policy, Token::eat().with(262, false), Finding::Boot, Code::BootState);
    refused(&policy, Token::eat().without(262).without(2395), Finding::Boot, Code::BootState);
    refused(&policy, Token::eat().with(262, false).with(2395, int(0x3000)), Finding::Boot, Code::BootState);
    let policy = demanding(Demands { authorised_boot: false, ..Demands::all() });
    assert!(appraise(&policy, &Token::eat().with(262, false).sign()).is_ok());
}

#[test]
fn debug() {
    let policy = demanding(Demands { authorised_boot: false, life_cycles: None, ..Demands::all() });
    for state in [0x0000, 0x1000, 0x2000, 0x4000, 0x5000, 0x6000] {
        refused(&policy, Token::psa().with(2395, int(state)), Finding::Debug, Code::DebugState);
    }
    assert!(appraise(&policy, &Token::psa().with(2395, int(0x30ff)).sign()).is_ok());
    let policy = demanding(Demands { debug: Some(DebugState::DisabledSinceBoot), ..Demands::all() });
    refused(&policy, Token::psa(), Finding::Debug, Code::DebugState);
}

#[test]
fn life_cycle() {
    let every = [
        (0x0000, LifeCycle::Unknown),
        (0x1000, LifeCycle::AssemblyAndTest),
        (0x2000, LifeCycle::RotProvisioning),
        (0x3000, LifeCycle::Secured),
        (0x4000, LifeCycle::NonRotDebug),
        (0x5000, LifeCycle::RecoverableRotDebug),
        (0x6000, LifeCycle::Decommissioned),
    ];
    let loose = Demands { authorised_boot: false, debug: None, ..Demands::all() };
    for (demanded, state) in every {
        let life_cycles = Some(core::iter::once(state).collect());
        let policy = demanding(Demands { life_cycles, ..loose.clone() });
        for (number, _) in every {
            for minor in [0, 0x5a, 0xff] {
                let token = Token::psa().with(2395, int(number + minor));
                if number == demanded {
                    assert!(appraise(&policy, &token.sign()).is_ok());
                } else {
                    refused(&policy, token, Finding::LifeCycle, Code::LifeCycle);
                }
            }
        }
    }
    for number in [0x0100, 0x0fff, 0x1100, 0x2fff, 0x3100, 0x4100, 0x60ff + 1, 0x7000, 0x1_3000] {
        malformed(Token::psa().with(2395, int(number)), Malformed::OutOfRange);
    }
    malformed(Token::psa().with(2395, int(-1)), Malformed::WrongType);
    // A plain EAT may say it, or not.
    refused(&strict(), Token::eat().without(2395), Finding::LifeCycle, Code::LifeCycle);
}

#[test]
fn software_version() {
    let policy = |minima: &[(&str, &str)]| {
        let minimum = |(component, version): &(&str, &str)| MinimumVersion {
            component: label(component).unwrap(),
            version: version.parse().unwrap(),
        };
        demanding(Demands { versions: minima.iter().map(minimum).collect(), ..Demands::all() })
    };
    let with_version = |version: &str| Token::psa().with_component(0, 4, Value::from(version));
    let at_least = policy(&[("PRoT", "1.2.10")]);
    for version in ["1.2.10", "1.2.11", "1.3", "2", "v1.2.10", "1.2.10+1", "1.02.010", "1.10.0"] {
        assert!(appraise(&at_least, &with_version(version).sign()).is_ok(), "{version}");
    }
    // Rollback; versions that cannot be compared; none at all; a name for a version.
    for version in ["1.2.9", "1.2.9+99", "1.2", "0.9.9.9.9", "1.2.10-rc1", "1.2.x", "latest", "1..3", "99999999999"] {
        refused(&at_least, with_version(version), Finding::SoftwareVersion, Code::SoftwareVersion);
    }
    refused(&at_least, Token::psa().with_component(0, 4, None), Finding::SoftwareVersion, Code::SoftwareVersion);
    // Each component has its own minimum, and has to be there.
    assert!(appraise(&policy(&[("PRoT", "1.2.3"), ("App", "2.0.0+5")]), &Token::psa().sign()).is_ok());
    for minima in
        [[("PRoT", "1.2.3"), ("App", "2.0.0+6")], [("PRoT", "1.2.4"), ("App", "1")], [("PRoT", "1"), ("BL", "0")]]
    {
        refused(&policy(&minima), Token::psa(), Finding::SoftwareVersion, Code::SoftwareVersion);
    }
    // A new one does not hide an old one beside it.
    let both = vec![
        component("PRoT", 0x10, "1.3", 0x20),
        component("PRoT", 0x11, "1.1", 0x20),
        component("App", 0x12, "2", 1),
    ];
    refused(&at_least, Token::psa().with(2399, both), Finding::SoftwareVersion, Code::SoftwareVersion);
    // A plain EAT with a name and a version.
    let token = Token::eat().with(270, "modem").with(271, vec![Value::from("3.1"), int(1)]);
    assert!(appraise(&policy(&[("modem", "3.1.0")]), &token.sign()).is_ok());
    refused(&policy(&[("modem", "3.2")]), token, Finding::SoftwareVersion, Code::SoftwareVersion);
}

#[test]
fn versions_compare_by_their_numbers() {
    let version = |text: &str| text.parse::<Version>();
    let ascending =
        ["0", "0.0.1", "0.9.9", "1", "1+1", "1.0.1", "1.2", "1.2+9", "1.2.1", "1.2.10", "1.10", "2", "10.0.0.0.0.0.1"];
    for pair in ascending.windows(2) {
        assert!(version(pair[0]).unwrap() < version(pair[1]).unwrap(), "{pair:?}");
    }
    for (one, other) in [("1.2", "1.2.0"), ("v3", "3.0.0+0"), ("01.002", "1.2")] {
        assert_eq!(version(one).unwrap(), version(other).unwrap());
    }
    assert_eq!(version("4294967295").unwrap(), version("4294967295.0").unwrap());
    assert_eq!(version("4294967296"), Err(Malformed::OutOfRange));
    assert_eq!(version("1.1.1.1.1.1.1.1"), Err(Malformed::TooLong));
    for text in
        ["", "v", ".", "1.", ".1", "1..2", "+1", "1+", "1+2+3", "1.2-3", "-1", "+", " 1", "1 ", "0x1", "vv1", "1+2.3"]
    {
        assert_eq!(version(text), Err(Malformed::Text), "{text}");
    }
}

#[test]
fn measurement() {
    let refused = |token: Token| refused(&strict(), token, Finding::Measurement, Code::Measurement);
    let list = |items: &[Value]| Token::psa().with(2399, items.to_vec());
    let (prot, app) = (component("PRoT", 0x10, "1", 0x20), component("App", 0x12, "1", 0x21));
    assert!(appraise(&strict(), &list(&[app.clone(), prot.clone()]).sign()).is_ok());
    assert!(appraise(&strict(), &list(&[component("PRoT", 0x11, "1", 0x20), app.clone()]).sign()).is_ok());
    // Another measurement, another signer, none, another component's measurement, another length.
    refused(list(&[component("PRoT", 0x13, "1", 0x20), app.clone()]));
    refused(list(&[component("PRoT", 0x10, "1", 0x21), app.clone()]));
    refused(Token::psa().with_component(0, 5, None));
    refused(list(&[component("PRoT", 0x12, "1", 0x20), app.clone()]));
    refused(Token::psa().with_component(0, 2, bytes([0x10; 64])));
    // One more, one less, one without a name, one of them twice with a wrong one.
    refused(list(&[prot.clone(), app.clone(), component("BL", 0x10, "1", 0x20)]));
    refused(list(core::slice::from_ref(&prot)));
    refused(Token::psa().with_component(0, 1, None));
    refused(list(&[prot.clone(), app.clone(), component("App", 0x66, "1", 0x21)]));
    // One token, other references.
    let judged = |reference: Option<Reference>| {
        let mut endorsements = MemoryEndorsements::new();
        endorsements.endorse(Endorsement::p256(instance(1), meter(), IMPLEMENTATION, public_key(KEY)).unwrap());
        if let Some(reference) = reference {
            endorsements.refer(IMPLEMENTATION, reference);
        }
        let verifier = TokenVerifier::new(endorsements);
        let policy = demanding(Demands { class: None, ..Demands::all() });
        policy.appraise(&meter(), Some(&Token::psa().sign()), &NONCE, &verifier, &RustCrypto).map(|_| ())
    };
    let software = |software: Vec<KnownSoftware>| Some(Reference { software, ..reference() });
    assert_eq!(judged(software(vec![known("PRoT", &[0x10], &[]), known("App", &[], &[0x21])])), Ok(()));
    assert_eq!(judged(None), Err(Finding::Measurement), "no references");
    assert_eq!(judged(software(vec![])), Err(Finding::Measurement), "empty references");
    let nothing = software(vec![known("PRoT", &[], &[]), known("App", &[], &[])]);
    assert_eq!(judged(nothing), Err(Finding::Measurement), "references that say nothing");
    let one_more = software(vec![known("PRoT", &[0x10], &[]), known("App", &[0x12], &[]), known("BL", &[1], &[])]);
    assert_eq!(judged(one_more), Err(Finding::Measurement), "one is missing");
}

#[test]
fn device_class() {
    let handsets = demanding(Demands { class: Some(DeviceClass::Other), ..Demands::all() });
    refused(&handsets, Token::psa(), Finding::DeviceClass, Code::DeviceClass);
    let mut endorsements = endorsements();
    endorsements.refer(IMPLEMENTATION, Reference { class: DeviceClass::Other, ..reference() });
    let judged = |policy: &Policy, endorsements: &MemoryEndorsements, token: &Token| {
        let verifier = TokenVerifier::new(endorsements);
        policy.appraise(&meter(), Some(&token.sign()), &NONCE, &verifier, &RustCrypto).map(|_| ())
    };
    assert_eq!(judged(&strict(), &endorsements, &Token::psa()), Err(Finding::DeviceClass));
    assert_eq!(judged(&handsets, &endorsements, &Token::psa()), Ok(()));
    // Nobody knows the implementation.
    let mut unknown = MemoryEndorsements::new();
    unknown.endorse(Endorsement::p256(instance(1), meter(), IMPLEMENTATION, public_key(KEY)).unwrap());
    let policy = demanding(Demands { known_software: false, ..Demands::all() });
    assert_eq!(judged(&policy, &unknown, &Token::psa()), Err(Finding::DeviceClass));
    // Or the evidence is about other hardware than the reference.
    let model = [1, 2, 3].into_iter().collect();
    let oem = remote_provisioning::attestation::Oem::Pen(64242);
    endorsements.refer(IMPLEMENTATION, Reference { model: Some(model), oem: Some(oem), ..reference() });
    let of = |oem: i64, model: &[u8]| Token::eat().with(258, int(oem)).with(259, bytes(model));
    assert_eq!(judged(&strict(), &endorsements, &of(64242, &[1, 2, 3])), Ok(()));
    assert_eq!(judged(&strict(), &endorsements, &Token::eat()), Ok(()), "not said");
    assert_eq!(judged(&strict(), &endorsements, &of(64242, &[1, 2])), Err(Finding::DeviceClass));
    assert_eq!(judged(&strict(), &endorsements, &of(64243, &[1, 2, 3])), Err(Finding::DeviceClass));
}

#[test]
fn caller() {
    let policy = demanding(Demands { secure_caller: true, ..Demands::all() });
    for client in [1, i64::from(i32::MAX)] {
        assert!(appraise(&policy, &Token::psa().with(2394, int(client)).sign()).is_ok());
    }
    for client in [-1, i64::from(i32::MIN)] {
        refused(&policy, Token::psa().with(2394, int(client)), Finding::Caller, Code::EvidenceCaller);
        assert!(appraise(&strict(), &Token::psa().with(2394, int(client)).sign()).is_ok());
    }
    refused(&policy, Token::eat(), Finding::Caller, Code::EvidenceCaller);
    for client in [0, i64::from(i32::MAX) + 1, i64::from(i32::MIN) - 1] {
        malformed(Token::psa().with(2394, int(client)), Malformed::OutOfRange);
    }
}

#[test]
fn intended_use() {
    for used in 1..=3 {
        assert!(appraise(&strict(), &Token::eat().with(275, int(used)).sign()).is_ok());
    }
    for used in [0, 4, 5, 255] {
        refused(&lenient(), Token::eat().with(275, int(used)), Finding::Use, Code::EvidenceNotAccepted);
    }
}

// --------------------------------------------------------------------------------------------------------- malformed

#[test]
fn what_a_psa_token_has_to_have() {
    for key in [2394, 2395, 2396, 2399, 256] {
        malformed(Token::psa().without(key), Malformed::MissingKey);
    }
    let key = |key, value: Value| Token::psa().with(key, value);
    malformed(key(256, bytes([1; 32])), Malformed::WrongLength);
    malformed(key(256, bytes([2; 33])), Malformed::OutOfRange);
    malformed(key(256, bytes([&[1][..], &[1; 33]].concat())), Malformed::WrongLength);
    malformed(key(2396, bytes([0xab; 31])), Malformed::WrongLength);
    malformed(key(2396, "abc".into()), Malformed::WrongType);
    malformed(key(268, bytes([0; 7])), Malformed::WrongLength);
    malformed(key(268, bytes([0; 33])), Malformed::WrongLength);
    malformed(key(2400, bytes([0])), Malformed::WrongType);
    malformed(key(2399, Vec::<Value>::new().into()), Malformed::WrongLength);
    malformed(key(2399, int(1)), Malformed::WrongType);
    malformed(key(265, "tag:psacertified.org,2023:psa#other".into()), Malformed::OutOfRange);
    malformed(key(265, int(1)), Malformed::WrongType);
    for good in ["1234567890123-12345", "0000000000000-00000"] {
        assert!(appraise(&strict(), &key(2398, good.into()).sign()).is_ok());
    }
    for bad in [
        "1234567890123",
        "1234567890123-1234",
        "123456789012-12345",
        "1234567890123-1234x",
        "1234567890123-12345-1",
        "",
    ] {
        malformed(key(2398, bad.into()), Malformed::Text);
    }
    for len in [8, 9, 32] {
        assert!(appraise(&strict(), &key(268, bytes(vec![0; len])).sign()).is_ok());
    }
    assert!(appraise(&strict(), &key(2400, "https://verifier.example".into()).sign()).is_ok());
    // Claims that nobody here knows, of which RFC 9711 §7.2 says to pass over them.
    assert!(appraise(&strict(), &key(99_999, bytes([0; 9])).with(-70_000, int(1)).sign()).is_ok());
}

#[test]
fn what_a_component_has_to_be() {
    let component = |key, value: Option<Value>| Token::psa().with_component(0, key, value);
    malformed(component(2, None), Malformed::MissingKey);
    for len in [0, 31, 33, 47, 63, 65] {
        malformed(component(2, Some(bytes(vec![1; len]))), Malformed::WrongLength);
        malformed(component(5, Some(bytes(vec![1; len]))), Malformed::WrongLength);
    }
    for key in [1, 4] {
        malformed(component(key, Some("".into())), Malformed::Text);
        malformed(component(key, Some("one\ntwo".into())), Malformed::Text);
        malformed(component(key, Some("caf\u{e9}".into())), Malformed::Text);
        malformed(component(key, Some("x".repeat(33).into())), Malformed::TooLong);
        malformed(component(key, Some(int(1))), Malformed::WrongType);
        assert!(appraise(&lenient(), &component(key, Some("x".repeat(32).into())).sign()).is_ok());
    }
    malformed(component(6, Some(int(1))), Malformed::WrongType);
    assert!(appraise(&strict(), &component(6, Some("sha-256".into())).sign()).is_ok());
    let small = |number| {
        let component = Value::Map(vec![(int(2), bytes([1; 32]))]);
        Token::psa().with(2399, vec![component; number]).sign()
    };
    assert!(appraise(&lenient(), &small(8)).is_ok());
    assert_eq!(appraise(&lenient(), &small(9)), Err(Finding::Malformed(Malformed::TooLong)));
}

/// As RFC 9783 §4.6 recommends, for as long as there are such devices.
#[test]
fn the_older_profile() {
    let old = Token(vec![
        (-75000, "PSA_IOT_PROFILE_1".into()),
        (-75001, int(-2)),
        (-75002, int(0x3001)),
        (-75003, bytes(IMPLEMENTATION)),
        (-75004, bytes([9; 32])),
        (-75005, "1234567890123".into()),
        (-75006, vec![component("PRoT", 0x10, "1.2.3", 0x20), component("App", 0x12, "2", 1)].into()),
        (-75008, bytes(NONCE)),
        (-75009, bytes(instance(1).as_bytes())),
        (-75010, "https://verifier.example".into()),
    ]);
    let verdict = appraise(&strict(), &old.sign()).unwrap();
    assert_eq!(verdict.appraised().unwrap().format(), Format::Psa);
    for key in [-75001, -75002, -75003, -75004, -75006, -75008, -75009] {
        malformed(old.clone().without(key), Malformed::MissingKey);
    }
    malformed(old.clone().with(-75000, "PSA_IOT_PROFILE_2"), Malformed::OutOfRange);
    malformed(old.clone().with(-75004, bytes([9; 31])), Malformed::WrongLength);
    malformed(old.clone().with(-75005, "123456789012"), Malformed::Text);
    malformed(old.clone().without(-75006).with(-75007, int(1)), Malformed::MissingKey);
    refused(&strict(), old.clone().with(-75008, bytes([1; 32])), Finding::Nonce, Code::EvidenceNotFresh);
    // Its keys mean nothing under the new profile, and the new keys nothing under it.
    malformed(old.clone().with(265, PROFILE), Malformed::MissingKey);
    let mixed = old.with(10, bytes([1; 32])).with(2395, int(0x1000)).with(256, bytes(instance(2).as_bytes()));
    assert!(appraise(&strict(), &mixed.sign()).is_ok());
}

#[test]
fn no_longer_than_a_message_can_carry() {
    let padded = |len: usize| {
        let token = |padding| Token::psa().with(99_999, bytes(vec![0; padding]));
        let padding = len - token(256).sign().len() + 256;
        let evidence = token(padding).sign();
        assert_eq!(evidence.len(), len);
        evidence
    };
    assert!(appraise(&strict(), &padded(MAX_EVIDENCE)).is_ok());
    assert_eq!(appraise(&strict(), &padded(MAX_EVIDENCE + 1)), Err(Finding::Malformed(Malformed::TooLong)));
}

// ------------------------------------------------------------------------------------------------------------ others

#[test]
fn endorsements_of_keys_that_do_not_verify() {
    let (device, instance) = (meter(), instance(1));
    let ed25519 = PublicKey::from_checked_ed25519(&[3; 32]);
    let refused = Endorsement::p256(instance.clone(), device, IMPLEMENTATION, ed25519).err();
    assert_eq!(refused, Some(Misuse::Parameter("attestation key not of P-256")));
    let short = |len| Endorsement::hmac(instance.clone(), device, IMPLEMENTATION, SecretBytes::new(vec![3; len]));
    assert_eq!(short(31).err(), Some(Misuse::Parameter("attestation key too short")));
    let endorsement = short(32).unwrap();
    assert_eq!((endorsement.instance(), endorsement.device()), (&instance, &device));
    let shown = format!("{endorsement:?}");
    assert!(shown.contains("SecretBytes(..)") && !shown.contains("3, 3"), "{shown}");
    for name in ["", "x\ny", &"x".repeat(33)] {
        assert!(matches!(Policy::new(name, Demands::all()), Err(Misuse::Parameter(_))));
        assert!(matches!(Policy::without_evidence(name), Err(Misuse::Parameter(_))));
    }
}

/// A verification service of one's own: loud, and judged by the same policy.
#[test]
fn another_verifier() {
    struct Service(Statement);
    impl Verifier for Service {
        fn verify(&self, evidence: &[u8], _: &Hash, _: &dyn Crypto) -> Result<Claims, Finding> {
            if evidence == b"yes" { Ok(Claims::assertion(self.0.clone())) } else { Err(Finding::Signature) }
        }
    }
    let statement = Statement {
        format: Format::Eat,
        instance: instance(1),
        device: meter(),
        implementation: IMPLEMENTATION,
        boot: Some(BootState::Authorised),
        debug: Some(DebugState::DisabledPermanently),
        life_cycle: Some(LifeCycle::Secured),
        caller: None,
        components: Default::default(),
        measured: Measured::Match,
        class: Some(DeviceClass::Iot),
        oem: None,
        model: None,
        certification: None,
        boot_seed: None,
        boot_count: None,
    };
    let judged = |statement: Statement, evidence: &[u8]| -> Result<Verdict, Finding> {
        strict().appraise(&meter(), Some(evidence), &NONCE, &Service(statement), &RustCrypto)
    };
    assert!(judged(statement.clone(), b"yes").is_ok());
    assert_eq!(judged(statement.clone(), b"no"), Err(Finding::Signature));
    assert_eq!(judged(Statement { device: device("METER-2"), ..statement.clone() }, b"yes"), Err(Finding::Identity));
    assert_eq!(judged(Statement { boot: None, ..statement.clone() }, b"yes"), Err(Finding::Boot));
    assert_eq!(judged(Statement { debug: None, ..statement.clone() }, b"yes"), Err(Finding::Debug));
    assert_eq!(judged(Statement { class: None, ..statement }, b"yes"), Err(Finding::DeviceClass));
}

/// Codes and findings are all different, and say what they are.
#[test]
fn codes_are_told_apart() {
    let numbers: BTreeSet<u16> = Code::ALL.iter().map(|code| code.number()).collect();
    let texts: BTreeSet<String> = Code::ALL.iter().map(Code::to_string).collect();
    assert_eq!((numbers.len(), texts.len()), (Code::ALL.len(), Code::ALL.len()));
    assert!(Code::ALL.is_sorted_by_key(|code| code.number()));
    for code in Code::ALL {
        assert_eq!(Code::from_number(code.number().into()), Some(code));
    }
    for number in 310..=320 {
        assert!(Code::from_number(number).unwrap().to_string().starts_with(&format!("POLICY {number}: ")));
    }
    let findings = [
        Finding::EvidenceMissing,
        Finding::Malformed(Malformed::Text),
        Finding::UnknownInstance,
        Finding::Signature,
        Finding::Nonce,
        Finding::Identity,
        Finding::Implementation,
        Finding::Use,
        Finding::Format,
        Finding::Boot,
        Finding::Debug,
        Finding::LifeCycle,
        Finding::SoftwareVersion,
        Finding::Measurement,
        Finding::DeviceClass,
        Finding::Caller,
        Finding::Backend(Backend::Store),
    ];
    let texts: BTreeSet<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(texts.len(), findings.len());
}
