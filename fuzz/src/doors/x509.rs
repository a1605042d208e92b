//! Chains of certificates, and revocation lists.
//!
//! Input: what it is, then the bytes: an `x5chain`; one certificate in an honest chain; a list. With the highest bit,
//! every signature is good, so that what is behind signatures is reached.
//!
//! - no panic;
//! - without that bit, nobody is believed but those whom the anchors vouch for, and no list but the one that was made;
//! - with it: who is believed has a name, and the key that it is said to have is one.

use remote_provisioning::{
    crypto::Crypto,
    identity::{Domain, Role},
    sim::{TODAY, identities as ids},
    trust::{self, Anchor, CredentialId, MAX_CHAIN, MemoryAnchors, RevocationList, Revocations},
    wire,
};

use super::{Choices, Input, glass::Glass, memo::Memo, stage::Cast};

/// All signatures are good.
const ANY: u8 = 0x80;

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let bytes = input.rest();
    let any = choice & ANY != 0;
    let crypto: &dyn Crypto = if any { &Glass::Any } else { &Memo };
    let (role, honest) = match choice & 3 {
        0 => (Role::Device, ids::device_chain()),
        1 => (Role::Operator, ids::operator_chain()),
        2 => (Role::Relay, ids::device_chain()),
        _ => return list(bytes, crypto, any),
    };
    let date = (choice & 0x20 == 0).then_some(TODAY);
    let anchors = Cast::new(0).anchors(if role == Role::Operator { Role::Device } else { Role::Operator });
    let _ = Anchor::from_certificate(bytes, role, Domain::Test);
    let mut chain = honest.to_vec();
    let claimed = match choice >> 2 & 3 {
        // An x5chain, as it comes.
        0 => match wire::decode::<CredentialId<'_>>(bytes) {
            Ok(claimed @ CredentialId::Chain(_)) => claimed,
            _ => return,
        },
        // Below, in the place of, or above the honest ones.
        1 => {
            chain.insert(0, bytes);
            CredentialId::Chain(chain.into_iter().collect())
        }
        place => {
            chain[usize::from(place) - 2] = bytes;
            CredentialId::Chain(chain.into_iter().collect())
        }
    };
    for anchors in [anchors, &listing(role)] {
        let Ok(peers) = trust::verify(&claimed, role, Domain::Test, anchors, crypto, date) else { continue };
        let CredentialId::Chain(certificates) = &claimed else { unreachable!("was looked at") };
        for peer in peers.iter() {
            assert!(peer.credential().ends_with(certificates[0]) && peer.role() == role);
            assert!(!peer.name().as_str().is_empty() && certificates.len() <= MAX_CHAIN);
            assert!(peer.may_sign() || peer.may_agree());
            assert_eq!(Memo.point(peer.public_key().bytes()), Ok(*peer.public_key()));
            assert!(any || certificates[0] == honest[0], "a peer that nobody vouches for");
        }
    }
}

fn listing(role: Role) -> MemoryAnchors {
    // With the list of the maker's root, and one demanded.
    let mut anchors = match role {
        Role::Operator => MemoryAnchors::new(),
        _ => ids::listing_anchors(),
    };
    if role == Role::Operator {
        *anchors.revocations_mut() = Revocations::demanded();
        anchors.add_anchor(Anchor::from_certificate(ids::operator_root(), role, Domain::Test).unwrap()).unwrap();
    }
    anchors
}

fn list(bytes: &[u8], crypto: &dyn Crypto, any: bool) {
    let (root, honest) = ids::listing_maker();
    let Ok(list) = RevocationList::new(bytes, root, crypto) else { return };
    // But for the signature, which has another form, and so for the length of it all.
    assert!(any || bytes.get(3..100) == honest.get(3..100), "a list that nobody made");
    let (issuer, epoch) = (*list.issuer(), list.epoch());
    let mut revocations = Revocations::none();
    revocations.add(list).expect("the first one");
    assert_eq!(revocations.floors().collect::<Vec<_>>(), [(&issuer, epoch)]);
    let mut anchors = MemoryAnchors::new();
    anchors.add_anchor(Anchor::from_certificate(root, Role::Device, Domain::Test).unwrap()).unwrap();
    *anchors.revocations_mut() = revocations;
    let claimed = CredentialId::Chain(ids::revoked_device_chain().into_iter().collect());
    let verify = |anchors: &MemoryAnchors| {
        trust::verify(&claimed, Role::Device, Domain::Test, anchors, crypto, Some(TODAY)).map(|_| ())
    };
    assert!(any || verify(&anchors).is_err(), "revoked");
    anchors.revocations_mut().raise(issuer, epoch.saturating_add(1));
    assert!(epoch == u64::MAX || verify(&anchors).is_err(), "below the floor");
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, role, chain) in [("device", 0_u8, ids::device_chain()), ("operator", 1, ids::operator_chain())] {
        let whole = wire::encode(&CredentialId::Chain(chain.into_iter().collect()));
        seeds.push((format!("chain-{name}"), [&[role], whole.as_slice()].concat()));
        seeds.push((format!("chain-{name}-any"), [&[role | ANY | 0x20], whole.as_slice()].concat()));
        for (place, certificate) in [(8, chain[0]), (12, chain[1])] {
            seeds.push((format!("certificate-{name}-{place}"), [&[role | ANY | place], certificate].concat()));
        }
    }
    seeds.push(("list".into(), [&[3], ids::listing_maker().1].concat()));
    seeds.push(("list-any".into(), [&[3 | ANY], ids::listing_maker().1].concat()));
    for (name, bytes) in PKI {
        seeds.push((format!("pki-{name}"), [&[ANY | 8], *bytes].concat()));
    }
    seeds
}

macro_rules! pki {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../tests/vectors/pki/", $name, ".der")))),*]
    };
}

/// Certificates with something special in them.
const PKI: &[(&str, &[u8])] = pki![
    "agree-only",
    "bad-eku",
    "bad-ku",
    "below-constrained",
    "below-p384-issuer",
    "ca-leaf",
    "compressed",
    "constrained",
    "critical",
    "long-4",
    "nameless",
    "not-ca",
    "p384",
    "self-signed",
    "two-names",
    "unprintable",
];
