//! Generated chains, and what a model of the rules says about each.

use std::collections::BTreeMap;

use remote_provisioning::{
    edhoc::{self, Suite},
    error::Malformed,
    trust::{
        certificate_credential,
        x509::{POLICY_PRODUCTION, POLICY_TEST},
    },
    wire,
};

use super::{
    forge::{AGREE, CRL_SIGN, Draft, ENCIPHER, FUTURE, PAST, SIGN, chain, extension, issued, tlv},
    *,
};

/// What is wrong with one certificate of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Expired,
    Future,
    WrongUsage,
    PathLength,
    NotCa,
    Critical,
    OtherKey,
    SelfSigned,
    Curve,
    Duplicate,
    Long,
    Production,
    Test,
    NoUsage,
    AgreeToo,
    OtherName,
    Revoked,
}

const FAULTS: [Fault; 18] = [
    Fault::None,
    Fault::Expired,
    Fault::Future,
    Fault::WrongUsage,
    Fault::PathLength,
    Fault::NotCa,
    Fault::Critical,
    Fault::OtherKey,
    Fault::SelfSigned,
    Fault::Curve,
    Fault::Duplicate,
    Fault::Long,
    Fault::Production,
    Fault::Test,
    Fault::NoUsage,
    Fault::AgreeToo,
    Fault::OtherName,
    Fault::Revoked,
];

fn policy(last_arc: u8) -> Vec<u8> {
    extension(0x20, false, &tlv(0x30, &tlv(0x30, &[6, 5, 0x69, 0x83, 0x9c, 0x11, last_arc])))
}

/// An extension that nobody knows: 2.5.29.127.
fn unknown(critical: bool, len: usize) -> Vec<u8> {
    extension(0x7f, critical, &tlv(4, &vec![0; len]))
}

impl Fault {
    /// Whether it can be had there.
    fn fits(self, place: usize) -> bool {
        match self {
            Self::PathLength | Self::NotCa => place > 0,
            Self::SelfSigned | Self::NoUsage | Self::AgreeToo | Self::OtherName => place == 0,
            _ => true,
        }
    }

    fn put(self, draft: &mut Draft) {
        match self {
            Self::None | Self::Revoked => {}
            Self::Expired => draft.validity = PAST,
            Self::Future => draft.validity = FUTURE,
            Self::WrongUsage => draft.usage = Some(if draft.ca.is_some() { CRL_SIGN } else { ENCIPHER }),
            Self::PathLength => draft.ca = Some(Some(0)),
            Self::NotCa => draft.ca = None,
            Self::Critical => draft.extensions.push(unknown(true, 1)),
            Self::OtherKey => draft.signer = "another of this name".into(),
            Self::SelfSigned => {
                draft.issuer = draft.subject.clone();
                draft.signer = draft.key.clone();
            }
            Self::Curve => draft.other_curve = true,
            Self::Duplicate => draft.extensions.extend([unknown(false, 1), unknown(false, 2)]),
            Self::Long => draft.extensions.push(unknown(false, 2_000)),
            Self::Production => draft.extensions.push(policy(0)),
            Self::Test => draft.extensions.push(policy(1)),
            Self::NoUsage => draft.usage = None,
            Self::AgreeToo => draft.usage = Some(SIGN | AGREE),
            Self::OtherName => draft.subject.0 ^= 3 ^ 5,
        }
    }

    /// What has to come of it, in a chain that is good otherwise.
    fn expected(self, role: Role, domain: Domain, place: usize, len: usize, clock: bool) -> Option<Untrusted> {
        match self {
            Self::None => None,
            Self::Expired if clock => Some(Untrusted::Expired),
            // Judged at the latest `notBefore`, that of the others; alone it is as good as ever.
            Self::Expired => (len > 1).then_some(Untrusted::NotYetValid),
            Self::Future => clock.then_some(Untrusted::NotYetValid),
            Self::WrongUsage => Some(Untrusted::WrongUsage),
            // As many CAs as are below it, itself and the leaf not counted.
            Self::PathLength => (place > 1).then_some(Untrusted::PathLength),
            Self::NotCa => Some(Untrusted::NotCa),
            Self::Critical => Some(Untrusted::CriticalExtension),
            Self::OtherKey => Some(Untrusted::WrongIssuerKey),
            Self::SelfSigned => Some(Untrusted::SelfSigned),
            Self::Curve => Some(Untrusted::WrongCurve),
            Self::Duplicate => Some(Untrusted::DuplicateExtension),
            Self::Long => Some(Untrusted::CertificateTooLong),
            Self::Production => (domain == Domain::Test).then_some(Untrusted::WrongDomain),
            Self::Test => (domain == Domain::Production).then_some(Untrusted::WrongDomain),
            Self::NoUsage | Self::AgreeToo => (role == Role::Relay).then_some(Untrusted::WrongUsage),
            Self::OtherName => Some(Untrusted::BadCertificate),
            Self::Revoked => Some(Untrusted::Revoked),
        }
    }
}

#[test]
fn generated_chains_do_what_the_model_says() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut chains = 0;
    for role in ROLES {
        for domain in [Domain::Test, Domain::Production] {
            for len in 1..=4 {
                for (place, fault) in (0..len).flat_map(|place| FAULTS.map(|fault| (place, fault))) {
                    if !fault.fits(place) {
                        continue;
                    }
                    let mut drafts = chain(role, len);
                    fault.put(&mut drafts[place]);
                    let mut anchors = trusting(role, domain);
                    if fault == Fault::Revoked {
                        revocation::revoke(&mut anchors, &drafts, place);
                    }
                    chains += 1;
                    // Every third where the issuers of the good one are known.
                    if chains % 3 == 0 {
                        anchors = known::remembering(anchors);
                        let _ = believe(&issued(&chain(role, len)), role, domain, &anchors, Some(TODAY));
                    }
                    for date in [Some(TODAY), None] {
                        let found = untrusted(believe(&issued(&drafts), role, domain, &anchors, date));
                        let expected = fault.expected(role, domain, place, len, date.is_some());
                        assert_eq!(found, expected, "{role:?} {domain:?} {fault:?} at {place} of {len}, {date:?}");
                        *counts.entry(format!("{found:?}")).or_default() += 1;
                    }
                }
            }
        }
    }
    assert_eq!(chains, 888);
    assert_eq!(counts.len(), 15, "every reason is met: {counts:?}");
}

/// Each reason is one of its own, and the peer hears the same of all.
#[test]
fn each_trap_has_its_own_reason_and_the_peer_hears_the_same() {
    let reasons = [
        Untrusted::Expired,
        Untrusted::NotYetValid,
        Untrusted::WrongUsage,
        Untrusted::PathLength,
        Untrusted::NotCa,
        Untrusted::CriticalExtension,
        Untrusted::WrongIssuerKey,
        Untrusted::SelfSigned,
        Untrusted::WrongCurve,
        Untrusted::DuplicateExtension,
        Untrusted::CertificateTooLong,
        Untrusted::ChainTooLong,
        Untrusted::WrongDomain,
        Untrusted::Revoked,
        Untrusted::RevocationStale,
        Untrusted::NoAnchor,
        Untrusted::BadCertificate,
        Untrusted::Authentication,
    ];
    let told = |reason: Untrusted| edhoc::error_message(&reason.into(), &Suite::ALL).unwrap();
    assert_eq!(edhoc::error_message(&Malformed::TooLong.into(), &Suite::ALL).unwrap(), told(Untrusted::Expired));
    for (number, reason) in reasons.iter().enumerate() {
        assert_eq!(told(*reason), b"\x01\x6cnot accepted", "{reason:?}");
        assert!(reasons[..number].iter().all(|other| other != reason && other.to_string() != reason.to_string()));
    }
}

#[test]
fn five_certificates_are_too_many_wherever_they_come_from() {
    let five = issued(&chain(Role::Device, 5));
    let mut sent = vec![0xa1, 0x18, 33, 0x85];
    five.iter().for_each(|certificate| sent.extend(certificate_credential(certificate)));
    assert_eq!(wire::decode::<CredentialId<'_>>(&sent).err(), Some(Malformed::TooLong));
    // By reference they would have to be known, and five cannot be.
    let known: Vec<&[u8]> = five.iter().map(Vec::as_slice).collect();
    assert!(MemoryAnchors::new().add_chain(Role::Device, &known, &RustCrypto).is_err());
}

#[test]
fn an_anchor_is_for_one_role_and_one_domain() {
    for role in ROLES {
        for domain in [Domain::Test, Domain::Production] {
            let certificates = issued(&chain(role, 2));
            for (other, elsewhere) in ROLES.into_iter().flat_map(|r| [Domain::Test, Domain::Production].map(|d| (r, d)))
            {
                let found = untrusted(believe(&certificates, role, domain, &trusting(other, elsewhere), Some(TODAY)));
                let expected = ((other, elsewhere) != (role, domain)).then_some(Untrusted::NoAnchor);
                assert_eq!(found, expected, "{role:?} {domain:?} below an anchor for {other:?} {elsewhere:?}");
            }
        }
    }
    // An anchor that says what it is for cannot be added for anything else.
    let mut root = chain(Role::Device, 2).remove(1);
    root.extensions.push(policy(0));
    let anchor = |domain| Anchor::from_certificate(&root.issue(), Role::Device, domain).err();
    assert_eq!(anchor(Domain::Test), Some(Untrusted::WrongDomain));
    assert_eq!(anchor(Domain::Production), None);
    assert_eq!(
        (POLICY_PRODUCTION.to_string(), POLICY_TEST.to_string()),
        ("2.25.52753.0".into(), "2.25.52753.1".into())
    );
    // One that says both is for neither.
    root.extensions = vec![extension(
        0x20,
        false,
        &tlv(0x30, &[0, 1].map(|arc| tlv(0x30, &[6, 5, 0x69, 0x83, 0x9c, 0x11, arc])).concat()),
    )];
    for domain in [Domain::Test, Domain::Production] {
        let anchor = Anchor::from_certificate(&root.issue(), Role::Device, domain).err();
        assert_eq!(anchor, Some(Untrusted::WrongDomain));
    }
}

/// Every byte of a valid chain changed: refused, or understood as before. All 255 other values where a chain is one
/// certificate, ten of them in longer ones.
#[test]
fn no_changed_byte_is_accepted_with_another_meaning() {
    let (mut refused, mut accepted) = (0_usize, 0_usize);
    for len in [1, 2, 4] {
        let good = issued(&chain(Role::Device, len));
        let mut anchors = trusting(Role::Device, Domain::Test);
        // The longest one with issuers that are known.
        if len == 4 {
            anchors = known::remembering(anchors);
        }
        let meant = believe(&good, Role::Device, Domain::Test, &anchors, Some(TODAY)).unwrap();
        for (place, at) in (0..len).flat_map(|place| (0..good[place].len()).map(move |at| (place, at))) {
            let byte = good[place][at];
            let some = (0..8).map(|bit| byte ^ (1 << bit)).chain([!byte, byte.wrapping_add(1)]).collect();
            let changes: Vec<u8> = if len == 1 { (0..=255).filter(|other| *other != byte).collect() } else { some };
            for changed in changes {
                let mut bad = good.clone();
                bad[place][at] = changed;
                match believe(&bad, Role::Device, Domain::Test, &anchors, Some(TODAY)) {
                    Err(_) => refused += 1,
                    Ok(peer) => {
                        assert_eq!(peer, meant, "certificate {place}, byte {at}: {changed:#04x}");
                        accepted += 1;
                    }
                }
            }
        }
    }
    assert_eq!(accepted, 0);
    assert!(refused > 80_000, "{refused}");
}
