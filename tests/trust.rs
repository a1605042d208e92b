//! Who is believed, and for which reason everybody else is not.
//!
//! Certificates with something special about them are in `tests/vectors/pki` and made by the script there; the good
//! ones are the published test identities of `sim::identities`.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use arrayvec::ArrayVec;
use remote_provisioning::{
    crypto::{Crypto, Hash, rustcrypto::RustCrypto},
    error::{Error, Malformed, Misbehaved, Misuse, Untrusted},
    identity::{Domain, Role},
    sim::identities as ids,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{
        Anchor, Candidates, CredentialId, Date, Issuer, MAX_CERTIFICATE, Maker, MemoryAnchors, Peer, Pinned,
        Revocations, SHA_256, SHA_256_64, TrustAnchors, Usage, Verified, certificate_credential, verify,
    },
    wire::{decode, encode},
};

/// 2025-06-01.
const TODAY: Option<Date> = Some(Date(1_748_736_000));

macro_rules! pki {
    ($name:literal) => {
        include_bytes!(concat!("vectors/pki/", $name, ".der")).as_slice()
    };
}

fn chain<'a>(certificates: &[&'a [u8]]) -> CredentialId<'a> {
    CredentialId::Chain(certificates.iter().copied().collect::<ArrayVec<_, 4>>())
}

fn only(candidates: Candidates) -> Verified<Peer> {
    assert_eq!(candidates.iter().count(), 1);
    candidates.into_iter().next().unwrap()
}

fn device(claimed: &CredentialId<'_>, anchors: &MemoryAnchors, date: Option<Date>) -> Result<Verified<Peer>, Error> {
    verify(claimed, Role::Device, Domain::Test, anchors, &RustCrypto, date).map(only)
}

fn device_chain(certificates: &[&[u8]], date: Option<Date>) -> Result<Verified<Peer>, Error> {
    device(&chain(certificates), &ids::operator_anchors(), date)
}

/// A leaf below the maker's issuer.
fn leaf(certificate: &[u8]) -> Result<Verified<Peer>, Error> {
    device_chain(&[certificate, ids::device_chain()[1]], TODAY)
}

fn issuer() -> &'static [u8] {
    ids::device_chain()[1]
}

fn public_key(private: &[u8; 32]) -> [u8; 65] {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KeyId(0), private).unwrap();
    *keys.public_key(KeyId(0)).unwrap().sec1().unwrap()
}

/// Two makers have given out the same serial number, and the operator trusts both.
#[test]
fn a_device_is_known_by_its_maker_too() {
    let one = device(&chain(&ids::device_chain()), &ids::operator_anchors(), TODAY).unwrap();
    let other = device(&chain(&ids::rogue_device_chain()), &ids::rogue_operator_anchors(), TODAY).unwrap();
    let pinned = device(&CredentialId::Kid(ids::RAW_DEVICE_KID), &ids::operator_anchors(), TODAY).unwrap();
    assert_eq!(one.name(), other.name());
    assert_ne!(one.device_id(), other.device_id());
    let (text, hash) = (one.device_id().to_string(), one.anchor().unwrap());
    assert_eq!(text.len(), 32 + 1 + one.name().as_str().len());
    assert!(text.starts_with(&format!("{:02x}{:02x}", hash[0], hash[1])) && text.ends_with("/IOT-0001-0000-0001"));
    assert_eq!(pinned.device_id().to_string(), format!("pinned/{}", pinned.name()));
}

/// The good identities, all of them.
#[test]
fn believed() {
    let device = device(&chain(&ids::device_chain()), &ids::operator_anchors(), TODAY).unwrap();
    assert_eq!(device.name().as_str(), "IOT-0001-0000-0001");
    assert_eq!(device.role(), Role::Device);
    assert_eq!(device.domain(), Domain::Test);
    assert_eq!(device.public_key().bytes(), &public_key(ids::device_key()));
    assert_eq!(device.credential()[..3], [0x59, 0x01, 0x38]);
    assert_eq!(device.credential()[3..], *ids::device_chain()[0]);
    assert_eq!(device.credential(), certificate_credential(ids::device_chain()[0]));
    assert!(device.may_sign() && device.may_agree());
    let anchor = Anchor::from_certificate(ids::maker_root(), Role::Device, Domain::Test).unwrap();
    assert_eq!(device.anchor(), Some(&anchor.id(&RustCrypto)));

    let operator = |claimed: &CredentialId<'_>, anchors: &MemoryAnchors| {
        verify(claimed, Role::Operator, Domain::Test, anchors, &RustCrypto, TODAY).map(only)
    };
    let good = operator(&chain(&ids::operator_chain()), &ids::device_anchors()).unwrap();
    assert_eq!(good.name().as_str(), "provisioning.example-operator");
    assert_eq!(good.public_key().bytes(), &public_key(ids::operator_key()));

    let rogue = operator(&chain(&ids::rogue_operator_chain()), &ids::rogue_device_anchors()).unwrap();
    assert_eq!(rogue.name(), good.name());
    assert_eq!(rogue.public_key().bytes(), &public_key(ids::rogue_operator_key()));
    let rogue = verify(
        &chain(&ids::rogue_device_chain()),
        Role::Device,
        Domain::Test,
        &ids::rogue_operator_anchors(),
        &RustCrypto,
        TODAY,
    );
    let rogue = only(rogue.unwrap());
    assert_eq!(rogue.name(), device.name());
    assert_ne!(rogue.anchor(), device.anchor());
    assert_eq!(rogue.public_key().bytes(), &public_key(ids::rogue_device_key()));

    let raw = |kid, role, anchors: &MemoryAnchors| {
        verify(&CredentialId::Kid(kid), role, Domain::Test, anchors, &RustCrypto, None).map(only)
    };
    let raw_device = raw(ids::RAW_DEVICE_KID, Role::Device, &ids::operator_anchors()).unwrap();
    assert_eq!(raw_device.name().as_str(), "IOT-0001-0000-0002");
    assert_eq!(raw_device.public_key().bytes(), &public_key(ids::raw_device_key()));
    assert_eq!(raw_device.credential(), ids::raw_device_ccs());
    assert_eq!(raw_device.anchor(), None);
    let raw_operator = raw(ids::RAW_OPERATOR_KID, Role::Operator, &ids::device_anchors()).unwrap();
    assert_eq!(raw_operator.name().as_str(), "op.example");
    assert_eq!(raw_operator.public_key().bytes(), &public_key(ids::raw_operator_key()));
    assert_eq!(raw_operator.credential(), ids::raw_operator_ccs());
}

/// Two certificates fit into the message budget.
#[test]
fn test_chains_are_small() {
    for chain in [ids::device_chain(), ids::operator_chain()] {
        assert!(chain.concat().len() <= 2 * 335);
    }
}

#[test]
fn role_and_domain_and_anchor() {
    let (claimed, anchors) = (chain(&ids::device_chain()), ids::operator_anchors());
    let refused = |claimed: &CredentialId<'_>, role, domain, anchors: &MemoryAnchors| {
        verify(claimed, role, domain, anchors, &RustCrypto, TODAY).err()
    };
    let no_anchor = Some(Error::Untrusted(Untrusted::NoAnchor));
    assert_eq!(refused(&claimed, Role::Device, Domain::Production, &anchors), no_anchor);
    // As an operator, the device is refused for its lack of a common name already; so is the operator as a device.
    assert_eq!(refused(&claimed, Role::Operator, Domain::Test, &anchors), Some(Untrusted::BadCertificate.into()));
    assert_eq!(refused(&chain(&ids::operator_chain()), Role::Operator, Domain::Test, &anchors), no_anchor);
    assert_eq!(refused(&claimed, Role::Device, Domain::Test, &ids::device_anchors()), no_anchor);
    assert_eq!(refused(&claimed, Role::Device, Domain::Test, &ids::rogue_operator_anchors()), no_anchor);
    assert_eq!(refused(&claimed, Role::Device, Domain::Test, &MemoryAnchors::new()), no_anchor);
    assert_eq!(refused(&chain(&ids::rogue_device_chain()), Role::Device, Domain::Test, &anchors), no_anchor);

    let kid = CredentialId::Kid(ids::RAW_DEVICE_KID);
    let unknown = Some(Error::Untrusted(Untrusted::UnknownCredential));
    assert_eq!(refused(&kid, Role::Device, Domain::Production, &anchors), unknown);
    assert_eq!(refused(&kid, Role::Operator, Domain::Test, &anchors), unknown);
    assert_eq!(refused(&CredentialId::Kid(&[0x0e]), Role::Device, Domain::Test, &anchors), unknown);

    // A production anchor, the other way round.
    let mut production = MemoryAnchors::new();
    production
        .add_anchor(Anchor::from_certificate(ids::maker_root(), Role::Device, Domain::Production).unwrap())
        .unwrap();
    assert_eq!(refused(&claimed, Role::Device, Domain::Test, &production), no_anchor);
    assert!(verify(&claimed, Role::Device, Domain::Production, &production, &RustCrypto, TODAY).is_ok());
}

#[test]
fn each_fault_has_its_reason() {
    let cases: [(&[u8], Untrusted); 14] = [
        (pki!("expired"), Untrusted::Expired),
        (pki!("future"), Untrusted::NotYetValid),
        (pki!("ca-leaf"), Untrusted::WrongUsage),
        (pki!("encipher-only"), Untrusted::WrongUsage),
        (pki!("critical"), Untrusted::CriticalExtension),
        (pki!("bad-eku"), Untrusted::BadCertificate),
        (pki!("bad-ku"), Untrusted::BadCertificate),
        (pki!("nameless"), Untrusted::BadCertificate),
        (pki!("two-names"), Untrusted::BadCertificate),
        (pki!("p384"), Untrusted::WrongCurve),
        (pki!("self-signed"), Untrusted::SelfSigned),
        (ids::rogue_device_chain()[0], Untrusted::NoAnchor),
        (issuer(), Untrusted::WrongUsage),
        (b"", Untrusted::BadCertificate),
    ];
    for (index, (certificate, expected)) in cases.into_iter().enumerate() {
        assert_eq!(leaf(certificate).err(), Some(expected.into()), "case {index}");
    }
    assert_eq!(device_chain(&[pki!("self-signed")], TODAY).err(), Some(Untrusted::SelfSigned.into()));
    let unprintable = chain(&[pki!("unprintable"), ids::operator_chain()[1]]);
    assert_eq!(
        verify(&unprintable, Role::Operator, Domain::Test, &ids::device_anchors(), &RustCrypto, TODAY).err(),
        Some(Untrusted::BadCertificate.into())
    );
}

#[test]
fn each_faulty_issuer_has_its_reason() {
    let cases: [(&[&[u8]], Untrusted); 12] = [
        (&[pki!("below-p384-issuer"), pki!("p384-issuer")], Untrusted::WrongCurve),
        (&[pki!("below-not-ca"), pki!("not-ca")], Untrusted::NotCa),
        (&[pki!("below-no-cert-sign"), pki!("no-cert-sign")], Untrusted::WrongUsage),
        (&[pki!("below-constrained"), pki!("constrained")], Untrusted::WrongUsage),
        // The maker's issuer has pathLenConstraint 0.
        (&[pki!("below-below-issuer"), pki!("below-issuer"), issuer()], Untrusted::PathLength),
        (&[pki!("below-below-issuer"), issuer(), pki!("below-issuer")], Untrusted::NoAnchor),
        // Without the issuer, with another, with the order reversed, with a device for an issuer.
        (&[ids::device_chain()[0]], Untrusted::NoAnchor),
        (&[ids::device_chain()[0], ids::operator_chain()[1]], Untrusted::NoAnchor),
        (&[pki!("long-4"), pki!("long-2"), pki!("long-3"), pki!("long-1")], Untrusted::NoAnchor),
        (&[pki!("long-5"), pki!("long-4-ca"), pki!("long-3"), pki!("long-2")], Untrusted::NoAnchor),
        (&[ids::device_chain()[0], issuer(), issuer()], Untrusted::BadCertificate),
        (&[], Untrusted::BadCertificate),
    ];
    for (index, (certificates, expected)) in cases.into_iter().enumerate() {
        assert_eq!(device_chain(certificates, TODAY).err(), Some(expected.into()), "case {index}");
        let without_clock = device_chain(certificates, None).err();
        assert_eq!(without_clock, Some(expected.into()), "case {index} without a clock");
    }
}

#[test]
fn up_to_four_certificates() {
    let long = [pki!("long-4"), pki!("long-3"), pki!("long-2"), pki!("long-1")];
    assert!(device_chain(&long, TODAY).is_ok());

    let mut five = vec![0xa1, 0x18, 33, 0x85];
    for certificate in [pki!("long-5"), pki!("long-4-ca"), pki!("long-3"), pki!("long-2"), pki!("long-1")] {
        five.extend(certificate_credential(certificate));
    }
    assert_eq!(decode::<CredentialId<'_>>(&five).err(), Some(Malformed::TooLong));

    // Also where a chain comes from our own store.
    struct Endless(Vec<Vec<u8>>);
    impl TrustAnchors for Endless {
        fn anchors(&self) -> &[Anchor] {
            &[]
        }
        fn chain(&self, _: Role, _: i64, _: &[u8]) -> Option<&[Vec<u8>]> {
            Some(&self.0)
        }
        fn issuers(&self) -> &[Issuer] {
            &[]
        }
        fn makers(&self) -> &[Maker] {
            &[]
        }
        fn revocations(&self) -> &Revocations {
            const { &Revocations::none() }
        }
        fn pinned(&self, _: Role, _: Domain, _: &CredentialId<'_>, _: usize) -> Option<&Pinned> {
            None
        }
    }
    let claimed = CredentialId::Thumbprint { algorithm: SHA_256, hash: &[0; 32] };
    let verify = |chain| verify(&claimed, Role::Device, Domain::Test, &Endless(chain), &RustCrypto, None).err();
    assert_eq!(verify(vec![Vec::new(); 5]), Some(Untrusted::ChainTooLong.into()));
    assert_eq!(verify(Vec::new()), Some(Untrusted::UnknownCredential.into()));
    // A store that answers with another certificate than was asked for.
    assert_eq!(verify(vec![ids::device_chain()[0].to_vec()]), Some(Untrusted::UnknownCredential.into()));
}

/// A root that came along costs bytes and changes nothing; neither does anything else above what an anchor issued.
#[test]
fn certificates_above_the_anchor() {
    let [leaf, issuer] = ids::device_chain();
    assert_eq!(device_chain(&[leaf, issuer, ids::maker_root()], TODAY), device_chain(&[leaf, issuer], TODAY));
    let mut anchors = MemoryAnchors::new();
    anchors.add_anchor(Anchor::from_certificate(issuer, Role::Device, Domain::Test).unwrap()).unwrap();
    assert!(device(&chain(&[leaf, issuer]), &anchors, TODAY).is_ok());
    assert!(device(&chain(&[leaf]), &anchors, TODAY).is_ok());
}

#[test]
fn usage_bits() {
    let usage = |certificate| leaf(certificate).map(|peer| (peer.may_sign(), peer.may_agree())).unwrap();
    assert_eq!(usage(pki!("sign-only")), (true, false));
    assert_eq!(usage(pki!("agree-only")), (false, true));
    assert_eq!(usage(pki!("any-usage")), (true, true));
    assert_eq!(usage(pki!("compressed")), (true, true));
}

/// The compressed form of a key is the same key.
#[test]
fn compressed_key() {
    let peer = leaf(pki!("compressed")).unwrap();
    let scalar = RustCrypto.sha256(&[b"worthless published test key: compressed"]);
    assert_eq!(peer.public_key().bytes(), &public_key(&scalar));
}

/// RFC 5280 §4.1.2.5: an IDevID does not end. A device without a clock accepts what was valid at one moment.
#[test]
fn dates() {
    /// 9999-12-31T23:59:59Z.
    const END: u64 = 253_402_300_799;
    /// 2024-01-01, when the test identities begin.
    const BEGIN: u64 = 1_704_067_200;
    let refused = |date| device_chain(&ids::device_chain(), date).err();
    assert_eq!(refused(Some(Date(END))), None);
    assert_eq!(refused(Some(Date(END + 1))), Some(Untrusted::Expired.into()));
    assert_eq!(refused(Some(Date(u64::MAX))), Some(Untrusted::Expired.into()));
    assert_eq!(refused(Some(Date(BEGIN))), None);
    assert_eq!(refused(Some(Date(BEGIN - 1))), Some(Untrusted::NotYetValid.into()));
    assert_eq!(refused(Some(Date(0))), Some(Untrusted::NotYetValid.into()));
    assert_eq!(refused(None), None);

    // Valid from 2090: the chain's one moment is then. Valid until 2021 only: its issuer began later.
    assert!(device_chain(&[pki!("future"), issuer()], None).is_ok());
    assert_eq!(device_chain(&[pki!("expired"), issuer()], None).err(), Some(Untrusted::NotYetValid.into()));
}

/// Whatever byte of a chain is changed, it is refused: nothing in it is outside of a signature, and nothing has two
/// encodings.
#[test]
fn tampered() {
    let anchors = ids::operator_anchors();
    let good = ids::device_chain();
    let mut wrong_key = 0_usize;
    for place in 0..2 {
        for index in 0..good[place].len() {
            for flip in [0x01, 0x80] {
                let mut bad = good[place].to_vec();
                bad[index] ^= flip;
                let mut certificates = good;
                certificates[place] = &bad;
                match device(&chain(&certificates), &anchors, TODAY) {
                    Err(Error::Untrusted(reason)) => wrong_key += usize::from(reason == Untrusted::WrongIssuerKey),
                    other => panic!("certificate {place}, byte {index} ^ {flip}: {other:?}"),
                }
            }
        }
    }
    // Keys, serial numbers and most of the signatures.
    assert!(wrong_key > 300);
}

#[test]
fn truncated_or_longer() {
    let good = ids::device_chain()[0];
    for len in 0..good.len() {
        assert_eq!(leaf(&good[..len]).err(), Some(Untrusted::BadCertificate.into()));
    }
    assert_eq!(leaf(&[good, &[0]].concat()).err(), Some(Untrusted::BadCertificate.into()));
    assert_eq!(leaf(&[good, good].concat()).err(), Some(Untrusted::BadCertificate.into()));
    assert_eq!(leaf(&vec![0x30; MAX_CERTIFICATE + 1]).err(), Some(Untrusted::CertificateTooLong.into()));
    // BER: the outer length in three bytes instead of two; an indefinite length.
    let body = &good[4..];
    assert_eq!(
        leaf(&[&[0x30, 0x83, 0, good[2], good[3]], body].concat()).err(),
        Some(Untrusted::BadCertificate.into())
    );
    assert_eq!(leaf(&[&[0x30, 0x80], body, &[0, 0]].concat()).err(), Some(Untrusted::BadCertificate.into()));
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match len {
        [0, low @ 0..=127] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

/// The device's certificate with its extensions replaced by these, and `from` in it by `to`, newly signed by the maker.
fn forge(extensions: &[&[u8]], from: &[u8], to: &[u8]) -> Vec<u8> {
    let good = ids::device_chain()[0];
    let start = good.windows(2).position(|window| window == [0xa3, 0x12]).unwrap();
    let fields = &good[7..start];
    let place = fields.windows(from.len()).position(|window| window == from).unwrap();
    let fields = [&fields[..place], to, &fields[place..][from.len()..]].concat();
    let extensions = match extensions {
        [] => Vec::new(),
        some => tlv(0xa3, &tlv(0x30, &some.concat())),
    };
    let tbs = tlv(0x30, &[fields, extensions].concat());

    let mut keys = MemoryKeyStore::new();
    keys.insert(KeyId(0), &RustCrypto.sha256(&[b"worthless published test key: maker-issuer"])).unwrap();
    let signature = keys.sign(KeyId(0), &tbs).unwrap();
    let integer = |half: &[u8]| {
        let half = &half[half.iter().position(|byte| *byte != 0).unwrap()..];
        tlv(2, &[if half[0] < 0x80 { &[][..] } else { &[0] }, half].concat())
    };
    let signature = tlv(0x30, &[integer(&signature[..32]), integer(&signature[32..])].concat());
    let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    tlv(0x30, &[&tbs[..], &algorithm, &tlv(3, &[&[0], &signature[..]].concat())].concat())
}

/// Faults that OpenSSL is not willing to sign.
#[test]
fn forged() {
    let usage: &[u8] = &[0x30, 14, 6, 3, 0x55, 0x1d, 0x0f, 1, 1, 0xff, 4, 4, 3, 2, 3, 0x88];
    // An extension that nobody knows: 1.2.3, NULL.
    let other: &[u8] = &[0x30, 8, 6, 2, 0x2a, 3, 4, 2, 5, 0];
    // The same with the default, not critical, spelled out (X.690 §11.5).
    let default: &[u8] = &[0x30, 11, 6, 2, 0x2a, 3, 1, 1, 0, 4, 2, 5, 0];
    /// Extensions, what to replace by what, and the reason to expect.
    type Case<'a> = (&'a [&'a [u8]], &'a [u8], &'a [u8], Option<Untrusted>);
    let cases: [Case<'_>; 13] = [
        (&[usage], b"IOT", b"IOT", None),
        (&[usage, other], b"IOT", b"IOT", None),
        (&[], b"IOT", b"IOT", None),
        (&[usage, other, other], b"IOT", b"IOT", Some(Untrusted::DuplicateExtension)),
        (&[usage, usage], b"IOT", b"IOT", Some(Untrusted::DuplicateExtension)),
        (&[usage, default], b"IOT", b"IOT", Some(Untrusted::BadCertificate)),
        // A printable string that is not printable, and one of another type (IA5String).
        (&[usage], b"IOT", b"I\0T", Some(Untrusted::BadCertificate)),
        (&[usage], b"\x13\x12IOT", b"\x16\x12IOT", Some(Untrusted::BadCertificate)),
        // RFC 5280 §4.1.2.5: until 2049 UTCTime. The year 9999 written as something else.
        (&[usage], b"99991231235959Z", b"99991331235959Z", Some(Untrusted::BadCertificate)),
        (&[usage], b"99991231235959Z", b"20301231235959Z", Some(Untrusted::BadCertificate)),
        // No such second.
        (&[usage], b"240101000000Z", b"240101000060Z", Some(Untrusted::BadCertificate)),
        // Version 2; another curve's name; a hybrid point.
        (&[usage], b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01", Some(Untrusted::BadCertificate)),
        (&[usage], b"\x03\x42\0\x04", b"\x03\x42\0\x06", Some(Untrusted::BadCertificate)),
    ];
    for (index, (extensions, from, to, expected)) in cases.into_iter().enumerate() {
        let result = leaf(&forge(extensions, from, to));
        assert_eq!(result.err(), expected.map(Error::from), "case {index}");
    }
}

#[test]
fn anchors_are_checked_too() {
    let refused = |der: &[u8]| Anchor::from_certificate(der, Role::Device, Domain::Test).err();
    assert_eq!(refused(ids::device_chain()[0]), Some(Untrusted::NotCa));
    assert_eq!(refused(pki!("no-cert-sign")), Some(Untrusted::WrongUsage));
    assert_eq!(refused(pki!("p384-issuer")), Some(Untrusted::WrongCurve));
    assert_eq!(refused(b"no certificate"), Some(Untrusted::BadCertificate));

    // One key, one role, one domain.
    let anchor = |role, domain| Anchor::from_certificate(ids::maker_root(), role, domain).unwrap();
    let mut anchors = ids::operator_anchors();
    assert!(matches!(anchors.add_anchor(anchor(Role::Operator, Domain::Test)), Err(Misuse::Parameter(_))));
    assert!(matches!(anchors.add_anchor(anchor(Role::Device, Domain::Production)), Err(Misuse::Parameter(_))));
    assert!(anchors.add_anchor(anchor(Role::Device, Domain::Test)).is_ok());
    let pinned = |role, domain| Pinned::from_ccs(ids::raw_device_ccs(), role, domain, &RustCrypto).unwrap();
    assert!(matches!(anchors.add_pinned(pinned(Role::Device, Domain::Test)), Err(Misuse::Parameter(_))));
    assert!(matches!(anchors.add_pinned(pinned(Role::Operator, Domain::Test)), Err(Misuse::Parameter(_))));
    assert!(matches!(anchors.add_pinned(pinned(Role::Device, Domain::Production)), Err(Misuse::Parameter(_))));
    assert!(matches!(anchors.add_chain(Role::Device, &[], &RustCrypto), Err(Misuse::Parameter(_))));
    assert!(matches!(anchors.add_chain(Role::Device, &[b"".as_slice(); 5], &RustCrypto), Err(Misuse::Parameter(_))));
}

#[test]
fn by_thumbprint() {
    let hash: Hash = RustCrypto.sha256(&[ids::device_chain()[0]]);
    let by = |algorithm, hash| device(&CredentialId::Thumbprint { algorithm, hash }, &ids::operator_anchors(), TODAY);
    let by_chain = device_chain(&ids::device_chain(), TODAY).unwrap();
    assert_eq!(by(SHA_256, &hash).unwrap(), by_chain);
    assert_eq!(by(SHA_256_64, &hash[..8]).unwrap(), by_chain);

    let unknown = Some(Error::Untrusted(Untrusted::UnknownCredential));
    assert_eq!(by(SHA_256, &hash[..8]).err(), unknown);
    assert_eq!(by(SHA_256_64, &hash).err(), unknown);
    assert_eq!(by(SHA_256_64, &[]).err(), unknown);
    assert_eq!(by(-43, &hash).err(), unknown);
    assert_eq!(by(SHA_256, &RustCrypto.sha256(&[ids::operator_chain()[0]])).err(), unknown);

    // Known is not trusted.
    let mut anchors = MemoryAnchors::new();
    anchors.add_chain(Role::Device, &ids::device_chain(), &RustCrypto).unwrap();
    let claimed = CredentialId::Thumbprint { algorithm: SHA_256, hash: &hash };
    assert_eq!(device(&claimed, &anchors, TODAY).err(), Some(Untrusted::NoAnchor.into()));
}

#[test]
fn assertion_is_the_way_around() {
    let known = device_chain(&ids::device_chain(), TODAY).unwrap();
    let peer = Peer::new(b"\xa0", *known.public_key(), *known.name(), Role::Device, Domain::Test, Usage::ANY);
    let asserted = Verified::assertion(peer.clone());
    assert_eq!(asserted.get(), &peer);
    assert_eq!(asserted.into_inner(), peer);
}

// -------------------------------------------------------------------------------------------------------- ID_CRED_x

#[test]
fn credential_ids_on_the_wire() {
    let hash = [7; 32];
    let ids = [
        CredentialId::Kid(&[]),
        CredentialId::Kid(&[0x32]),
        CredentialId::Kid(&[9; 64]),
        CredentialId::Thumbprint { algorithm: SHA_256, hash: &hash },
        CredentialId::Thumbprint { algorithm: SHA_256_64, hash: &hash[..8] },
        chain(&ids::rogue_device_chain()),
        chain(&ids::device_chain()),
        chain(&[b"a", b"b", b"c", b"d"]),
    ];
    for id in ids {
        let bytes = encode(&id);
        assert_eq!(decode::<CredentialId<'_>>(&bytes), Ok(id));
        for len in 0..bytes.len() {
            assert!(decode::<CredentialId<'_>>(&bytes[..len]).is_err());
        }
    }
    // RFC 9529 §3: ID_CRED_R is { 4: h'32' }.
    assert_eq!(encode(&CredentialId::Kid(&[0x32])), [0xa1, 0x04, 0x41, 0x32]);
    // RFC 9529 §2: ID_CRED_I is { 34: [-15, h'c24ab2fd7643c79f'] }.
    let x5t = [0xa1, 0x18, 0x22, 0x82, 0x2e, 0x48, 0xc2, 0x4a, 0xb2, 0xfd, 0x76, 0x43, 0xc7, 0x9f];
    assert_eq!(decode(&x5t), Ok(CredentialId::Thumbprint { algorithm: SHA_256_64, hash: &x5t[6..] }));
}

#[test]
fn strict_credential_ids() {
    let kid_too_long = [&[0xa1, 0x04, 0x58, 65][..], &[0; 65]].concat();
    let certificate_too_long = [&[0xa1, 0x18, 33, 0x59, 0x08, 0x01][..], &[0; 2049]].concat();
    let cases: [(&[u8], Malformed); 22] = [
        (b"", Malformed::Truncated),
        (b"\xa0", Malformed::WrongLength),
        (b"\xa2\x04\x41\x32\x05\x00", Malformed::WrongLength),
        (b"\xa1\x04\x41\x32\x00", Malformed::TrailingBytes),
        (b"\xb8\x01\x04\x41\x32", Malformed::NotShortest),
        (b"\xbf\x04\x41\x32\xff", Malformed::Indefinite),
        (b"\xa1\x18\x04\x41\x32", Malformed::NotShortest),
        (b"\x41\x32", Malformed::WrongType),
        (b"\xa1\x04\x61\x32", Malformed::WrongType),
        (b"\xa1\x04\x01", Malformed::WrongType),
        (b"\xa1\x61\x04\x41\x32", Malformed::WrongType),
        // A kccs that is no map, a kcwt that is no array or tagged.
        (b"\xa1\x0e\x80", Malformed::WrongType),
        (b"\xa1\x0d\xa0", Malformed::WrongType),
        (b"\xa1\x0d\xd2\x80", Malformed::Forbidden),
        // x5bag: not here.
        (b"\xa1\x18\x20\x41\x00", Malformed::OutOfRange),
        (b"\xa1\x18\x21\x80", Malformed::WrongLength),
        (b"\xa1\x18\x21\x81\x41\x00", Malformed::WrongLength),
        (b"\xa1\x18\x22\x82\x2f\x48\0\0\0\0\0\0\0\0", Malformed::WrongLength),
        (b"\xa1\x18\x22\x82\x2d\x48\0\0\0\0\0\0\0\0", Malformed::OutOfRange),
        (b"\xa1\x18\x22\x83\x2e\x48\0\0\0\0\0\0\0\0\0", Malformed::WrongLength),
        (&kid_too_long, Malformed::TooLong),
        (&certificate_too_long, Malformed::TooLong),
    ];
    for (index, (bytes, expected)) in cases.into_iter().enumerate() {
        assert_eq!(decode::<CredentialId<'_>>(bytes).err(), Some(expected), "case {index}");
    }
}

// --------------------------------------------------------------------------------------------------------------- CCS

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 9529 §3, CRED_I and CRED_R.
const CRED_I: &str = "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820\
                      ac75e9ece3e50bfc8ed60399889522405c47bf16df96660a41298cb4307f7eb6225820\
                      6e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8";
const CRED_R: &str = "a2026b6578616d706c652e65647508a101a501020241322001215820\
                      bbc34960526ea4d32e940cad2a234148ddc21791a12afbcbac93622046dd44f0225820\
                      4519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072";

fn pin(ccs: &[u8]) -> Result<Pinned, Error> {
    Pinned::from_ccs(ccs, Role::Device, Domain::Test, &RustCrypto)
}

#[test]
fn rfc_9529_credentials() {
    let cases: [(&str, &[u8], &str, &str); 2] = [
        (
            CRED_I,
            b"\x2b",
            "42-50-31-FF-EF-37-32-39",
            "fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b",
        ),
        (CRED_R, b"\x32", "example.edu", "72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac"),
    ];
    for (cred, kid, name, private) in cases {
        let cred = hex(cred);
        let pinned = pin(&cred).unwrap();
        assert_eq!(pinned.kid(), Some(kid));
        let mut anchors = MemoryAnchors::new();
        anchors.add_pinned(pinned.clone()).unwrap();
        let peer = device(&CredentialId::Kid(kid), &anchors, None).unwrap();
        assert_eq!(peer.get(), pinned.peer());
        assert_eq!(peer.credential(), cred);
        assert_eq!(peer.name().as_str(), name);
        let private: [u8; 32] = hex(private).try_into().unwrap();
        assert_eq!(peer.public_key().bytes(), &public_key(&private));

        // The same key with y as a sign (RFC 9053 §7.1.1); the other sign is another key.
        let y = &cred[cred.len() - 32..];
        let odd = y[31] & 1 == 1;
        for (sign, same) in [(odd, true), (!odd, false)] {
            let compressed = [&cred[..cred.len() - 34], &[if sign { 0xf5 } else { 0xf4 }]].concat();
            let compressed = pin(&compressed).unwrap();
            assert_eq!(compressed.peer().public_key() == peer.public_key(), same);
            assert_eq!(compressed.peer().public_key().x(), peer.public_key().x());
        }
    }
}

/// A store that answers with another key than was asked for, or for.
#[test]
fn a_wrong_pinned_key_is_not_taken() {
    struct Careless(Pinned);
    impl TrustAnchors for Careless {
        fn anchors(&self) -> &[Anchor] {
            &[]
        }
        fn chain(&self, _: Role, _: i64, _: &[u8]) -> Option<&[Vec<u8>]> {
            None
        }
        fn issuers(&self) -> &[Issuer] {
            &[]
        }
        fn makers(&self) -> &[Maker] {
            &[]
        }
        fn revocations(&self) -> &Revocations {
            const { &Revocations::none() }
        }
        fn pinned(&self, _: Role, _: Domain, _: &CredentialId<'_>, _: usize) -> Option<&Pinned> {
            Some(&self.0)
        }
    }
    let careless = Careless(pin(&hex(CRED_R)).unwrap());
    let verify = |kid, role, domain| {
        verify(&CredentialId::Kid(kid), role, domain, &careless, &RustCrypto, TODAY).map(|_| ()).err()
    };
    let unknown = Some(Error::Untrusted(Untrusted::UnknownCredential));
    assert_eq!(verify(b"\x32", Role::Device, Domain::Test), None);
    // Or with the same one over and over.
    let kid = CredentialId::Kid(b"\x32");
    let candidates =
        remote_provisioning::trust::verify(&kid, Role::Device, Domain::Test, &careless, &RustCrypto, TODAY);
    assert_eq!(candidates.unwrap().iter().count(), 1);
    assert_eq!(verify(b"\x33", Role::Device, Domain::Test), unknown);
    assert_eq!(verify(b"", Role::Device, Domain::Test), unknown);
    assert_eq!(verify(b"\x32", Role::Operator, Domain::Test), unknown);
    assert_eq!(verify(b"\x32", Role::Device, Domain::Production), unknown);
}

#[test]
fn ccs_dates() {
    // CRED_R with exp 2000 and nbf 1000.
    let cred = hex(&CRED_R.replace("a2026b6578616d706c652e65647508", "a4026b6578616d706c652e656475041907d0051903e808"));
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(pin(&cred).unwrap()).unwrap();
    let at = |date| device(&CredentialId::Kid(b"\x32"), &anchors, date).map(|_| ()).err();
    assert_eq!(at(Some(Date(999))), Some(Untrusted::NotYetValid.into()));
    assert_eq!(at(Some(Date(1000))), None);
    assert_eq!(at(Some(Date(1999))), None);
    assert_eq!(at(Some(Date(2000))), Some(Untrusted::Expired.into()));
    assert_eq!(at(None), None);
}

#[test]
fn strict_ccs() {
    let good = CRED_R;
    let cases: [(&str, &str, Error); 15] = [
        // No subject, an empty one, one that is bytes, one that does not print.
        ("a2026b6578616d706c652e65647508", "a108", Malformed::MissingKey.into()),
        ("026b6578616d706c652e656475", "0260", Malformed::Text.into()),
        ("026b", "024b", Malformed::WrongType.into()),
        ("026b65", "026b0a", Malformed::Text.into()),
        // No confirmation key, a kid that is an integer.
        ("08a101a5", "08a102a5", Malformed::MissingKey.into()),
        ("0241322001", "0218322001", Malformed::WrongType.into()),
        // Other key types and curves.
        ("a50102", "a50101", Malformed::OutOfRange.into()),
        ("2001215820", "2002215820", Malformed::OutOfRange.into()),
        // Restrictions that would not be kept: alg, key_ops.
        ("a501020241322001", "a60102024132032620 01", Malformed::Forbidden.into()),
        ("a501020241322001", "a6010202413204810220 01", Malformed::Forbidden.into()),
        // Off the curve: another x, another y.
        ("bbc34960", "bbc34961", Misbehaved::InvalidPoint.into()),
        ("4519e257", "4519e258", Misbehaved::InvalidPoint.into()),
        // Coordinates of another length.
        ("215820bb", "21581f", Malformed::WrongLength.into()),
        // Keys out of order; a private key in it.
        ("a5010202413220", "a5024132010220", Malformed::MissingKey.into()),
        ("eabf6072", "eabf60722341 00", Malformed::TrailingBytes.into()),
    ];
    for (index, (from, to, expected)) in cases.into_iter().enumerate() {
        assert!(good.contains(from), "case {index}");
        let bad = hex(&good.replacen(from, &to.replace(' ', ""), 1));
        assert_eq!(pin(&bad).err(), Some(expected), "case {index}");
    }
    let without_y = good.replacen("a50102", "a40102", 1);
    let without_y = hex(&without_y[..without_y.len() - 2 * 35]);
    assert_eq!(pin(&without_y).err(), Some(Malformed::MissingKey.into()));
    // Claims that say nothing here are skipped and stay in the credential.
    let more = hex(&good.replacen("a2026b", "a30161 61026b".replace(' ', "").as_str(), 1));
    assert_eq!(pin(&more).unwrap().peer().credential(), more);
    // A private key in the COSE_Key (-4) is critical, so refused.
    let private = hex(&[&good.replacen("a50102", "a60102", 1), "234100"].concat());
    assert_eq!(pin(&private).err(), Some(Malformed::UnknownCriticalKey.into()));
    let long = hex(&good.replacen("a501020241322001", &["a50102025841", &"00".repeat(65), "2001"].concat(), 1));
    assert_eq!(pin(&long).err(), Some(Malformed::TooLong.into()));
}
