//! Issuers that are remembered: signatures that are not checked a second time, and nothing else that changes.

use remote_provisioning::trust::{KnownIssuers, RevocationList, TrustAnchors};

use super::{
    counted::{Counted, work},
    forge::{Draft, List, chain, issued, root},
    *,
};

/// 2031-01-01.
const LATER: Date = Date(1_924_992_000);

/// Valid until 2030.
const A_WHILE: (&str, &str) = ("240101000000Z", "300101000000Z");

pub(crate) fn remembering(mut anchors: MemoryAnchors) -> MemoryAnchors {
    anchors.remember_issuers(KnownIssuers::new(64));
    anchors
}

fn anchors() -> MemoryAnchors {
    remembering(trusting(Role::Device, Domain::Test))
}

/// Why it is refused, and how many signatures were checked.
fn judged(drafts: &[Draft], anchors: &MemoryAnchors, date: Date) -> (Option<Untrusted>, usize) {
    let certificates = issued(drafts);
    let chain = CredentialId::Chain(certificates.iter().map(Vec::as_slice).collect());
    let mut reason = None;
    let done = work(|| {
        reason = match verify(&chain, Role::Device, Domain::Test, anchors, &Counted, Some(date)) {
            Ok(_) => None,
            Err(Error::Untrusted(reason)) => Some(reason),
            Err(other) => panic!("{other:?}"),
        };
    });
    (reason, done.checked)
}

#[test]
fn an_issuer_is_checked_once_and_a_device_each_time() {
    for len in 1..=4 {
        let (drafts, anchors) = (chain(Role::Device, len), anchors());
        assert_eq!(judged(&drafts, &anchors, TODAY), (None, len));
        assert_eq!(judged(&drafts, &anchors, TODAY), (None, 1));
    }
    // Another device of a known issuer.
    let (mut drafts, anchors) = (chain(Role::Device, 2), anchors());
    assert_eq!(judged(&drafts, &anchors, TODAY), (None, 2));
    drafts[0].subject.1 = "IOT-0002".into();
    assert_eq!(judged(&drafts, &anchors, TODAY), (None, 1));
    // Nobody is remembered unless somebody says so.
    let anchors = trusting(Role::Device, Domain::Test);
    assert!(anchors.known_issuers().is_none());
    assert_eq!([judged(&drafts, &anchors, TODAY), judged(&drafts, &anchors, TODAY)], [(None, 2); 2]);
}

#[test]
fn a_known_issuer_expires() {
    let mut drafts = chain(Role::Device, 2);
    drafts[1].validity = A_WHILE;
    let anchors = anchors();
    assert_eq!(judged(&drafts, &anchors, TODAY).0, None);
    assert_eq!(judged(&drafts, &anchors, TODAY), (None, 1), "known");
    assert_eq!(judged(&drafts, &anchors, LATER).0, Some(Untrusted::Expired));
}

#[test]
fn a_known_issuer_is_revoked() {
    let drafts = chain(Role::Device, 2);
    let mut anchors = anchors();
    assert_eq!(judged(&drafts, &anchors, TODAY).0, None);
    assert_eq!(judged(&drafts, &anchors, TODAY), (None, 1), "known");
    let list = |number, revoked: &[u8]| {
        RevocationList::new(&List::of_root(number, revoked).issue(), &root(), &RustCrypto).unwrap()
    };
    anchors.revocations_mut().add(list(5, &[drafts[1].serial])).unwrap();
    for _ in 0..2 {
        assert_eq!(judged(&drafts, &anchors, TODAY).0, Some(Untrusted::Revoked));
    }
    // Taken off hold: then it is believed again, and the new list is checked once as well.
    anchors.revocations_mut().add(list(6, &[])).unwrap();
    assert_eq!(judged(&drafts, &anchors, TODAY), (None, 2));
    assert_eq!(judged(&drafts, &anchors, TODAY), (None, 1));
    // A floor that no list reaches.
    let issuer = *list(6, &[]).issuer();
    anchors.revocations_mut().raise(issuer, 7);
    assert_eq!(judged(&drafts, &anchors, TODAY).0, Some(Untrusted::RevocationStale));
}

#[test]
fn what_is_known_is_known_below_its_anchor_and_for_its_key_only() {
    let drafts = chain(Role::Device, 2);
    let known = anchors();
    assert_eq!(judged(&drafts, &known, TODAY).0, None);
    // The same names, signed by somebody else: the issuer, the device.
    for place in [0, 1] {
        let mut forged = drafts.clone();
        forged[place].signer = "somebody else".into();
        for _ in 0..2 {
            assert_eq!(judged(&forged, &known, TODAY).0, Some(Untrusted::WrongIssuerKey), "{place}");
        }
    }
    // Another key in the issuer's place, and its own signature below it.
    let mut forged = drafts.clone();
    (forged[1].key, forged[0].signer) = ("somebody else".into(), "somebody else".into());
    forged[1].signer = "somebody else".into();
    assert_eq!(judged(&forged, &known, TODAY).0, Some(Untrusted::WrongIssuerKey));
    // The anchor is trusted no more, or for something else: what is known helps nobody.
    let mut moved = MemoryAnchors::new();
    moved.remember_issuers(KnownIssuers::new(64));
    moved.add_anchor(Anchor::from_certificate(&root(), Role::Device, Domain::Test).unwrap()).unwrap();
    assert_eq!(judged(&drafts, &moved, TODAY).0, None);
    let (certificates, elsewhere) = (issued(&drafts), Domain::Production);
    let found = untrusted(believe(&certificates, Role::Device, elsewhere, &moved, Some(TODAY)));
    assert_eq!(found, Some(Untrusted::NoAnchor));
}

/// With one place two issuers push each other out: that costs time, and nothing else.
#[test]
fn a_small_memory_forgets() {
    let mut anchors = trusting(Role::Device, Domain::Test);
    anchors.remember_issuers(KnownIssuers::new(1));
    let (one, mut other) = (chain(Role::Device, 2), chain(Role::Device, 2));
    (other[1].key, other[0].signer) = ("another".into(), "another".into());
    for drafts in [&one, &other, &one] {
        assert_eq!(judged(drafts, &anchors, TODAY), (None, 2));
        assert_eq!(judged(drafts, &anchors, TODAY), (None, 1));
    }
}
