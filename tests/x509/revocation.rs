//! Revocation lists, and epochs that never go back.

use remote_provisioning::{
    crypto::Hash,
    trust::{RevocationList, Revocations, TrustAnchors},
};

use super::{
    forge::{CERT_SIGN, CRL_SIGN, Draft, List, chain, issued, root},
    *,
};

/// A list of the issuer of the certificate at `place`, with that one's number in it.
pub(crate) fn revoke(anchors: &mut MemoryAnchors, drafts: &[Draft], place: usize) {
    let issuer = drafts.get(place + 1).map_or_else(root, Draft::issue);
    let list = List::of(&drafts[place].issuer.1, 1, &[drafts[place].serial]);
    anchors.revocations_mut().add(RevocationList::new(&list.issue(), &issuer, &RustCrypto).unwrap()).unwrap();
}

fn of_root(number: u8, revoked: &[u8]) -> RevocationList {
    RevocationList::new(&List::of_root(number, revoked).issue(), &root(), &RustCrypto).unwrap()
}

fn device(len: usize, anchors: &MemoryAnchors, date: Option<Date>) -> Option<Untrusted> {
    untrusted(believe(&issued(&chain(Role::Device, len)), Role::Device, Domain::Test, anchors, date))
}

fn anchors() -> MemoryAnchors {
    trusting(Role::Device, Domain::Test)
}

#[test]
fn what_is_not_in_the_list_is_believed() {
    for date in [Some(TODAY), None] {
        let mut anchors = anchors();
        assert_eq!(device(1, &anchors, date), None);
        anchors.revocations_mut().add(of_root(1, &[200, 201])).unwrap();
        assert_eq!(device(1, &anchors, date), None);
        anchors.revocations_mut().add(of_root(2, &[200, 1])).unwrap();
        assert_eq!(device(1, &anchors, date), Some(Untrusted::Revoked));
        // Another issuer's certificate of the same number is not meant.
        assert_eq!(device(2, &anchors, date), None);
    }
}

#[test]
fn the_epoch_never_goes_back() {
    let mut anchors = anchors();
    let revocations = anchors.revocations_mut();
    revocations.add(of_root(5, &[1])).unwrap();
    assert_eq!(revocations.add(of_root(4, &[])).err(), Some(Untrusted::RevocationStale));
    assert_eq!(device(1, &anchors, Some(TODAY)), Some(Untrusted::Revoked), "nothing has changed");
    let revocations = anchors.revocations_mut();
    revocations.add(of_root(5, &[1])).unwrap(); // The same again.
    revocations.add(of_root(6, &[])).unwrap(); // Taken off hold.
    assert_eq!(revocations.floors().map(|(_, epoch)| epoch).collect::<Vec<_>>(), [6]);
    assert_eq!(device(1, &anchors, Some(TODAY)), None);
}

/// A server is restored from a backup that still has the old list; the floors were kept elsewhere.
#[test]
fn nor_after_a_restore() {
    let kept: Vec<(Hash, u64)> = {
        let mut today = anchors();
        today.revocations_mut().add(of_root(7, &[1])).unwrap();
        today.revocations().floors().map(|(issuer, epoch)| (*issuer, epoch)).collect()
    };
    for date in [Some(TODAY), None] {
        let mut restored = anchors();
        kept.iter().for_each(|(issuer, epoch)| restored.revocations_mut().raise(*issuer, *epoch));
        let old = of_root(3, &[]);
        assert_eq!((old.epoch(), *old.issuer()), (3, kept[0].0));
        assert_eq!(restored.revocations_mut().add(old).err(), Some(Untrusted::RevocationStale));
        assert_eq!(device(1, &restored, date), Some(Untrusted::RevocationStale), "better none than the wrong one");
        assert_eq!(device(2, &restored, date), Some(Untrusted::RevocationStale), "for all below that issuer");
        // The list of today, or a newer one, brings it back.
        restored.revocations_mut().add(of_root(7, &[1])).unwrap();
        assert_eq!(device(1, &restored, date), Some(Untrusted::Revoked));
        // A floor is not lowered either.
        restored.revocations_mut().raise(kept[0].0, 1);
        assert_eq!(restored.revocations().floors().next().map(|(_, epoch)| epoch), Some(7));
    }
    // Loaded first and raised afterwards: the same.
    let mut restored = anchors();
    restored.revocations_mut().add(of_root(3, &[])).unwrap();
    kept.iter().for_each(|(issuer, epoch)| restored.revocations_mut().raise(*issuer, *epoch));
    assert_eq!(device(1, &restored, Some(TODAY)), Some(Untrusted::RevocationStale));
}

#[test]
fn lists_may_be_demanded() {
    let mut anchors = anchors();
    *anchors.revocations_mut() = Revocations::demanded();
    for date in [Some(TODAY), None] {
        assert_eq!(device(1, &anchors, date), Some(Untrusted::RevocationStale), "no list at all");
    }
    anchors.revocations_mut().add(of_root(1, &[])).unwrap();
    for date in [Some(TODAY), None] {
        assert_eq!(device(1, &anchors, date), None);
        assert_eq!(device(2, &anchors, date), Some(Untrusted::RevocationStale), "none of the issuer in between");
    }
}

#[test]
fn with_a_clock_a_list_has_an_end() {
    let list = List { next_update: Some("20250601000000Z"), ..List::of_root(1, &[]) };
    let mut anchors = anchors();
    anchors.revocations_mut().add(RevocationList::new(&list.issue(), &root(), &RustCrypto).unwrap()).unwrap();
    assert_eq!(device(1, &anchors, Some(TODAY)), Some(Untrusted::RevocationStale));
    assert_eq!(device(1, &anchors, None), None);
}

/// OpenSSL made this one.
#[test]
fn a_list_that_somebody_else_made() {
    use remote_provisioning::sim::identities;
    let (root, list) = identities::listing_maker();
    let list = RevocationList::new(list, root, &RustCrypto).unwrap();
    assert_eq!(list.epoch(), 1);
    let chain: Vec<Vec<u8>> = identities::revoked_device_chain().map(<[u8]>::to_vec).into();
    for date in [Some(TODAY), None] {
        let found = believe(&chain, Role::Device, Domain::Test, &identities::listing_anchors(), date);
        assert_eq!(untrusted(found), Some(Untrusted::Revoked));
        let mut unlisted = MemoryAnchors::new();
        unlisted.add_anchor(Anchor::from_certificate(root, Role::Device, Domain::Test).unwrap()).unwrap();
        assert_eq!(untrusted(believe(&chain, Role::Device, Domain::Test, &unlisted, date)), None);
    }
}

#[test]
fn lists_that_are_none() {
    let good = List::of_root(1, &[1]).issue();
    let read = |der: &[u8], issuer: &[u8]| RevocationList::new(der, issuer, &RustCrypto).err();
    assert_eq!(read(&good, &root()), None);
    let bad = Some(Untrusted::BadRevocationList);
    // Signed by another key of the same name; of another issuer; without a number, or with one that is none.
    let forged = List { signer: "another".into(), ..List::of_root(1, &[1]) };
    assert_eq!(read(&forged.issue(), &root()), bad);
    let issuer = chain(Role::Device, 2).remove(1);
    assert_eq!(read(&good, &issuer.issue()), bad);
    for number in [None, Some(vec![0x80]), Some(vec![1; 9])] {
        let list = List { number: number.clone(), ..List::of_root(1, &[1]) };
        let outcome = read(&list.issue(), &root());
        // A negative number is no UINTEGER.
        assert_eq!(outcome, bad, "{number:?}");
    }
    // By a CA that may not sign lists, and by somebody who is no CA at all.
    let mut no_lists = issuer.clone();
    no_lists.usage = Some(CERT_SIGN);
    let list = List::of(&no_lists.subject.1, 1, &[]).issue();
    assert_eq!(read(&list, &no_lists.issue()), Some(Untrusted::WrongUsage));
    no_lists.usage = Some(CERT_SIGN | CRL_SIGN);
    assert_eq!(read(&list, &no_lists.issue()), None);
    // No byte of it can be changed, none be missing, none added.
    for at in 0..good.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut changed = good.clone();
            changed[at] ^= bit;
            assert!(read(&changed, &root()).is_some(), "byte {at}");
        }
        assert_eq!(read(&good[..at], &root()), bad);
    }
    assert_eq!(read(&[&good[..], &[0]].concat(), &root()), bad);
}
