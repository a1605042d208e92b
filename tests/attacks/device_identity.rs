//! 21 to 28: which device this is, and in what state.

use remote_provisioning::{
    attestation::{Digest, label},
    provisioning::{Question, device::Introduction, log::What, watch::Alarm},
    sim::{identities, maker::Attestation},
    store::memory::MemoryStore,
    trust::{Anchor, CredentialId, RevocationList, TrustAnchors},
};

use super::*;
use crate::lab::{chain, stopped};

/// Nothing was issued: neither side has a trace of a credential.
#[track_caller]
fn assert_nothing_issued(lab: &Lab) {
    assert!(lab.held().is_none() && lab.logged().is_empty() && lab.home.subscribers().count() == 0);
}

/// Attack: a device's identity key is copied into a second one, which asks for a subscription too.
/// Oracle: its request counter puts the identity into quarantine, and there is no second subscription.
#[test]
fn attack_21_cloned_device_key() {
    let mut lab = Lab::attested(21);
    assert_eq!(lab.run(), Ok(()));
    let first = core::mem::replace(&mut lab.store.memory, MemoryStore::new());
    assert_eq!(lab.run(), refused(Code::Quarantined));
    let alarm = lab.home.entries().last().map(|entry| entry.what);
    assert!(matches!(alarm, Some(What::Quarantined { alarm: Alarm::Counter, .. })));
    assert_eq!((lab.held(), lab.home.subscribers().count()), (None, 1));
    lab.store.memory = first;
    assert_eq!(lab.go(Goal::Rekey), refused(Code::Quarantined), "nor for the true one, until a person has looked");
    assert!(is_served(&mut lab));
}

/// Attack: a device with test credentials at a production operator, and the reverse; also one that lies about it.
/// Oracle: refused in both directions, before anybody shows who it is, or by the anchors.
#[test]
fn attack_22_test_device_in_production() {
    for (device, operator) in [(Domain::Production, Domain::Test), (Domain::Test, Domain::Production)] {
        let mut lab = Lab::new(22);
        (lab.device_config.domain, lab.operator_config.domain) = (device, operator);
        let session_ends = lab.run();
        assert_eq!(session_ends, Err(Refused::Edhoc(1).into()));
        assert_nothing_issued(&lab);
    }
    // Both say production; the certificates are for tests.
    for role in [Role::Operator, Role::Device] {
        let lab = Lab::new(22);
        let (chain, anchors) = match role {
            Role::Operator => (identities::operator_chain(), &lab.device_anchors),
            _ => (identities::device_chain(), &lab.operator_anchors),
        };
        let claimed = CredentialId::Chain(chain.into_iter().collect());
        let verify = |domain| trust::verify(&claimed, role, domain, anchors, &RustCrypto, None).map(|_| ());
        assert_eq!(verify(Domain::Test), Ok(()));
        assert_eq!(verify(Domain::Production), Err(Untrusted::NoAnchor.into()));
    }
}

/// Attack: keys that everybody knows, left in devices or in this library.
/// Oracle: K is another one in each session, whatever else is the same; and no key is written down in the library's code.
#[test]
fn attack_23_known_default_keys() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let mut lab = Lab::voucher_last(2_300 + seed);
        let (_, Question::PutIntoCore(credential)) = stopped(&mut lab, "core") else { panic!("not asked") };
        assert_eq!((credential.supi.as_str(), credential.epoch), ("001010000000000", 1));
        let k = credential.secrets.k.bytes();
        let distinct: std::collections::BTreeSet<_> = k.iter().collect();
        assert!(distinct.len() > 6, "not a pattern");
        seen.insert(*k);
    }
    assert_eq!(seen.len(), 8);
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Published and worthless, and only with the feature that says so.
                folders.extend(Some(path).filter(|path| !path.ends_with("sim")));
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap().split("#[cfg(all(test").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                assert!(!line.contains("Secret::from_slice(&["), "{}: {line}", path.display());
                assert!(!line.contains("include_bytes!"), "{}: {line}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 60);
}

/// Attack: whoever has a maker's issuing key makes up a device, also one with another's name, and asks for subscriptions.
/// Oracle: not on the voucher list, no subscription; without the attestation key of that device none either; and the K of its
/// own session is the only one that it could ever get.
#[test]
fn attack_24_stolen_issuer_of_device_certificates() {
    let fake = |mut lab: Lab| {
        // The operator trusts that issuer.
        lab.operator_anchors = identities::rogue_operator_anchors();
        lab.device_config.own = chain(&identities::rogue_device_chain());
        lab.device_keys = Keys::new(identities::rogue_device_key());
        lab
    };
    let mut lab = fake(Lab::voucher_last(24));
    lab.home.disown();
    assert_eq!(lab.run(), refused(Code::NotEntitled));
    assert_nothing_issued(&lab);
    // The name of a true one, and evidence of its own.
    let mut lab = fake(Lab::attested(24));
    lab.device_config.introduction = Introduction::VoucherLast { request: false };
    assert_eq!(lab.run(), refused(Code::EvidenceIdentity));
    assert_nothing_issued(&lab);
    // An operator that asks for no evidence: its own K, in an account of its own.
    let mut k = Vec::new();
    for lab in [Lab::voucher_last(24), fake(Lab::voucher_last(24))] {
        let mut lab = lab;
        let (_, Question::PutIntoCore(credential)) = stopped(&mut lab, "core") else { panic!("not asked") };
        k.push((credential.device, *credential.secrets.k.bytes()));
    }
    assert!(k[0].0 != k[1].0 && k[0].1 != k[1].1);
}

/// Attack: evidence from before a debug port was opened, shown in a later session.
/// Oracle: it does not answer this session's nonce.
#[test]
fn attack_25_old_evidence_replayed() {
    let mut lab = Lab::attested(25);
    let (_, Question::Appraise(visitor)) = stopped(&mut lab, "appraise") else { panic!("not asked") };
    lab.stopping = None;
    lab.attestation.as_mut().unwrap().replayed = visitor.evidence;
    assert_eq!(lab.run(), refused(Code::EvidenceNotFresh));
    assert_nothing_issued(&lab);
    // What it would say today.
    let attestation = lab.attestation.as_mut().unwrap();
    (attestation.replayed, attestation.report.life_cycle) = (None, 0x4000);
    assert_eq!(lab.run(), refused(Code::DebugState));
    assert_nothing_issued(&lab);
}

/// Attack: a device is set back to software with a known hole, which was good and is signed.
/// Oracle: below the least version of the policy it is refused, and told so.
#[test]
fn attack_26_firmware_set_back() {
    for (version, outcome) in [("1.9.9", refused(Code::SoftwareVersion)), ("2.0.0", Ok(())), ("10.0", Ok(()))] {
        let mut lab = Lab::attested(26);
        lab.attestation.as_mut().unwrap().report.components[0].version = label(version).ok();
        assert_eq!(lab.run(), outcome, "{version}");
        assert_eq!(lab.held().is_some(), outcome.is_ok(), "{version}");
    }
    // Other software under a good number.
    let mut lab = Lab::attested(26);
    lab.attestation.as_mut().unwrap().report.components[0].measurement = Digest::from_bytes(&[9; 32]).ok();
    assert_eq!(lab.run(), refused(Code::Measurement));
}

/// Attack: a device whose certificate was revoked; and a server that is restored to the time before.
/// Oracle: refused, and after the restore too.
#[test]
fn attack_27_revoked_device() {
    let (root, list) = identities::listing_maker();
    let ask = |anchors| {
        let mut lab = Lab::voucher_last(27);
        lab.device_config.own = chain(&identities::revoked_device_chain());
        lab.operator_anchors = anchors;
        let mut session = lab.session(3);
        let outcome = lab.step(&mut session);
        assert!(outcome.is_ok() || lab.logged().is_empty());
        outcome
    };
    let unlisted = || {
        let mut anchors = trust::MemoryAnchors::new();
        anchors.add_anchor(Anchor::from_certificate(root, Role::Device, Domain::Test).unwrap()).unwrap();
        anchors
    };
    assert_eq!(ask(unlisted()), Ok(()), "nothing else is wrong with it");
    assert_eq!(ask(identities::listing_anchors()), Err(Untrusted::Revoked.into()));
    // Restored from a backup without the list, and the floor was kept elsewhere.
    let (issuer, epoch) = identities::listing_anchors().revocations().floors().next().map(|(a, b)| (*a, b)).unwrap();
    let mut restored = unlisted();
    restored.revocations_mut().raise(issuer, epoch);
    assert_eq!(ask(restored), Err(Untrusted::RevocationStale.into()));
    // And from one with a list that is too old.
    let mut restored = unlisted();
    restored.revocations_mut().raise(issuer, epoch + 1);
    let old = RevocationList::new(list, root, &RustCrypto).unwrap();
    assert_eq!(restored.revocations_mut().add(old).err(), Some(Untrusted::RevocationStale));
    assert_eq!(ask(restored), Err(Untrusted::RevocationStale.into()));
}

/// Attack: good evidence, a good voucher or a good certificate, of another device of the same maker.
/// Oracle: each of the three is refused when it is the odd one out.
#[test]
fn attack_28_one_of_three_is_another_devices() {
    let other = *maker::raw_device_id().unwrap().name();
    let last = Introduction::VoucherLast { request: false };
    // Evidence.
    let mut lab = Lab::attested(28);
    lab.attestation = Attestation::new(&other).ok();
    assert_eq!(lab.run(), refused(Code::EvidenceIdentity));
    assert_nothing_issued(&lab);
    // The voucher, shown by an operator that does not look at it.
    let mut lab = Lab::voucher_last(28);
    let met = Met::new(&mut lab);
    lab.device_config.name = other;
    let (device, _, outcome) = met.offer(&mut lab, b"");
    drop(device);
    assert_eq!(outcome, Err(remote_provisioning::error::Voucher::OtherDevice.into()));
    assert_nothing_issued(&lab);
    // The certificate.
    for introduction in [None, Some(last)] {
        let (mut lab, raw) = (Lab::attested(28), Lab::raw(28));
        let late = introduction.is_some();
        lab.device_config.introduction = introduction.unwrap_or(lab.device_config.introduction);
        (lab.device_config.own, lab.device_keys) = (raw.device_config.own, raw.device_keys);
        let expected = if late { refused(Code::EvidenceIdentity) } else { Err(Refused::Edhoc(1).into()) };
        assert_eq!(lab.run(), expected, "{late}");
        assert_nothing_issued(&lab);
    }
}
