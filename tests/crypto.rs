//! The shipped crypto backend and the stores in memory: published numbers, then behaviour at the edges.
//!
//! The numbers are in `vectors/crypto_*.json`, each file with its source and how it was checked.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test stops at the first surprise"
)]

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, PublicKey, Rng, Secret, SecretBytes, Signature, equal,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Error, Misbehaved, Untrusted},
    store::{
        Commit, KeyId, KeyStore, MAX_RECORD, Slot, SlotChange, SubscriptionStore,
        memory::{MemoryKeyStore, MemoryStore},
    },
};
use serde_json::Value;

// Known answers.

#[test]
fn hkdf_gives_the_published_prk_and_okm() {
    for case in cases(include_str!("vectors/crypto_hkdf.json"), 3) {
        let [salt, ikm, info] = ["salt", "ikm", "info"].map(|name| bytes(&case, name));
        let mut prk = Secret::zeroed();
        RustCrypto.hkdf_extract(&salt, &ikm, &mut prk);
        assert_eq!(prk.bytes()[..], bytes(&case, "prk"), "{}", case["id"]);

        let expected = bytes(&case, "okm");
        let mut okm = vec![0; expected.len()];
        RustCrypto.hkdf_expand(&prk, &[&info], &mut okm).unwrap();
        assert_eq!(okm, expected, "{}", case["id"]);

        let (front, back) = info.split_at(info.len() / 3);
        okm.fill(0);
        RustCrypto.hkdf_expand(&prk, &[front, &[], back], &mut okm).unwrap();
        assert_eq!(okm, expected, "{} with its info in parts", case["id"]);
    }
}

#[test]
fn aeads_give_the_published_ciphertexts() {
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
        RustCrypto.seal(aead, &key, &nonce, &aad, &mut text).unwrap();
        assert_eq!(text, sealed, "{}", case["id"]);
        RustCrypto.open(aead, &key, &nonce, &aad, &mut text).unwrap();
        assert_eq!(text, plaintext, "{}", case["id"]);
    }
}

#[test]
fn ecdh_gives_the_published_keys_and_secrets() {
    for case in cases(include_str!("vectors/crypto_ecdh.json"), 1) {
        let field = |name| bytes(&case, name);
        let (g_x, g_y, g_xy) = (field("g_x"), field("g_y"), field("g_xy"));
        let mut shared = Secret::zeroed();

        let x = RustCrypto.generate(Group::P256, &mut Script::of(&[&field("x")])).unwrap();
        assert_eq!(x.public(), g_x);
        assert_eq!(x.private(), field("x"));

        let y = RustCrypto.encapsulate(Group::P256, &g_x, &mut Script::of(&[&field("y")]), &mut shared).unwrap();
        assert_eq!(y.public(), g_y);
        assert_eq!(shared.bytes()[..], g_xy);

        shared.bytes_mut().fill(0);
        RustCrypto.decapsulate(&x, &g_y, &mut shared).unwrap();
        assert_eq!(shared.bytes()[..], g_xy);

        // The static key of the trace, from both ends.
        let mut keys = MemoryKeyStore::new();
        keys.insert(KeyId(1), field("sk_r").as_slice().try_into().unwrap()).unwrap();
        let static_key = keys.public_key(KeyId(1)).unwrap();
        assert_eq!((static_key.x(), static_key.y()), (&field("pk_r_x")[..], &field("pk_r_y")[..]));
        shared.bytes_mut().fill(0);
        RustCrypto.agree(&x, &static_key, &mut shared).unwrap();
        assert_eq!(shared.bytes()[..], field("g_rx"));
        shared.bytes_mut().fill(0);
        keys.agree(KeyId(1), &RustCrypto.point(&g_x).unwrap(), &mut shared).unwrap();
        assert_eq!(shared.bytes()[..], field("g_rx"));

        // Every form of a point; alone, x stands for the even y.
        let (even, odd) = (&[2][..], &[3][..]);
        for (x, y) in [(&g_x, field("g_x_y")), (&g_y, field("g_y_y"))] {
            let prefix = if y[31] % 2 == 0 { even } else { odd };
            let point = RustCrypto.point(&[&[4], &x[..], &y].concat()).unwrap();
            assert_eq!((point.x(), point.y()), (&x[..], &y[..]));
            assert_eq!(point.sec1()[..], [&[4], &x[..], &y].concat());
            assert_eq!(RustCrypto.point(&[prefix, x].concat()), Ok(point));
            assert_eq!(RustCrypto.point(x), RustCrypto.point(&[even, x].concat()));
            assert_ne!(RustCrypto.point(&[even, x].concat()), RustCrypto.point(&[odd, x].concat()));
        }
    }
}

#[test]
fn es256_gives_the_published_signatures() {
    for case in cases(include_str!("vectors/crypto_es256.json"), 2) {
        let message = bytes(&case, "message");
        let signature: Signature = [bytes(&case, "r"), bytes(&case, "s")].concat().try_into().unwrap();

        let mut keys = MemoryKeyStore::new();
        keys.insert(KeyId(7), bytes(&case, "x").as_slice().try_into().unwrap()).unwrap();
        let public = keys.public_key(KeyId(7)).unwrap();
        assert_eq!((public.x(), public.y()), (&bytes(&case, "ux")[..], &bytes(&case, "uy")[..]));
        assert_eq!(keys.sign(KeyId(7), &message), Ok(signature), "{}", case["id"]);
        assert_eq!(RustCrypto.verify(&public, &message, &signature), Ok(()));

        // The intermediate value: r is the x of k*G.
        let nonce = RustCrypto.generate(Group::P256, &mut Script::of(&[&bytes(&case, "k")])).unwrap();
        assert_eq!(nonce.public(), &signature[..32]);
    }
}

#[test]
fn sha256_takes_its_input_in_parts() {
    // FIPS 180-4, the example "abc".
    let expected = unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for parts in [&[&b"abc"[..]][..], &[b"a", b"", b"bc"], &[b"ab", b"c", b""]] {
        assert_eq!(RustCrypto.sha256(parts)[..], expected);
    }
    assert_eq!(RustCrypto.sha256(&[]), RustCrypto.sha256(&[b""]));
}

// Points and scalars that are none.

#[test]
fn what_is_no_point_is_refused() {
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
        assert_eq!(RustCrypto.point(&encoded), Err(Misbehaved::InvalidPoint), "{what}");
    }
    // Not infinity: P-256 does have two points at x = 0, of full order like all the others.
    assert!(RustCrypto.point(&[0; 32]).is_ok());
}

#[test]
fn a_bad_g_x_or_g_y_is_refused_before_anything_is_computed() {
    let (x, y) = base_point();
    let key = RustCrypto.generate(Group::P256, &mut Script::of(&[&scalar(1)])).unwrap();
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
        assert_eq!(RustCrypto.encapsulate(Group::P256, &g, &mut rng, &mut shared).unwrap_err(), invalid);
        assert_eq!(rng.calls, 0, "the random source was asked");
        assert_eq!(RustCrypto.decapsulate(&key, &g, &mut shared).unwrap_err(), invalid);
        assert_eq!(shared, Secret::zeroed());
    }
}

#[test]
fn scalars_out_of_range_are_drawn_again_eight_times_at_most() {
    let bad = [vec![0; 32], vec![0xff; 32], unhex(GROUP_ORDER)];
    for bad in &bad {
        let mut stuck = Script { draws: vec![bad.clone(); 100], calls: 0 };
        assert_eq!(RustCrypto.generate(Group::P256, &mut stuck).unwrap_err(), Backend::Random);
        assert_eq!(stuck.calls, 8);
        let (g_x, _) = base_point();
        let mut shared = Secret::zeroed();
        let refused = RustCrypto.encapsulate(Group::P256, &g_x, &mut stuck, &mut shared).unwrap_err();
        assert_eq!(refused, Error::Backend(Backend::Random));
        assert_eq!(stuck.calls, 16);
        assert_eq!(shared, Secret::zeroed());

        let mut late = Script { draws: vec![bad.clone(); 7], calls: 0 };
        late.draws.push(scalar(1));
        assert_eq!(RustCrypto.generate(Group::P256, &mut late).unwrap().public(), base_point().0);
        assert_eq!(late.calls, 8);
    }
    // The last scalar there is: n - 1, so -G, whose x is that of G.
    let mut last = unhex(GROUP_ORDER);
    last[31] -= 1;
    assert_eq!(RustCrypto.generate(Group::P256, &mut Script::of(&[&last])).unwrap().public(), base_point().0);
}

#[test]
fn a_failing_random_source_fails_the_call_at_once() {
    let mut rng = Script::of(&[]);
    assert_eq!(RustCrypto.generate(Group::P256, &mut rng).unwrap_err(), Backend::Random);
    assert_eq!(rng.calls, 1);
    let refused = RustCrypto.encapsulate(Group::P256, &base_point().0, &mut rng, &mut Secret::zeroed()).unwrap_err();
    assert_eq!(refused, Error::Backend(Backend::Random));
    assert_eq!(rng.calls, 2);
}

#[test]
fn an_ephemeral_key_of_another_backend_is_refused() {
    let (g, _) = base_point();
    let peer = RustCrypto.point(&g).unwrap();
    for private in [vec![], vec![1], vec![0; 32], vec![0xff; 32], vec![1; 31], vec![1; 33]] {
        let key = EphemeralKey::from_parts(SecretBytes::new(private), g.clone().into());
        let mut shared = Secret::zeroed();
        assert_eq!(RustCrypto.decapsulate(&key, &g, &mut shared), Err(Error::Backend(Backend::Crypto)));
        assert_eq!(RustCrypto.agree(&key, &peer, &mut shared), Err(Backend::Crypto));
        assert_eq!(shared, Secret::zeroed());
    }
}

#[test]
fn a_point_whose_promise_is_broken_agrees_and_verifies_nothing() {
    let broken = PublicKey::from_checked_point(&[1; 32], &[1; 32]);
    let key = RustCrypto.generate(Group::P256, &mut Script::of(&[&scalar(1)])).unwrap();
    let keys = one_key();
    let mut shared = Secret::zeroed();
    assert_eq!(RustCrypto.agree(&key, &broken, &mut shared), Err(Backend::Crypto));
    assert_eq!(keys.agree(KeyId(1), &broken, &mut shared), Err(Backend::Key));
    assert_eq!(shared, Secret::zeroed());
    let signature = keys.sign(KeyId(1), b"m").unwrap();
    assert_eq!(RustCrypto.verify(&broken, b"m", &signature), Err(Untrusted::Authentication));
}

// Signatures.

#[test]
fn only_the_signature_of_this_key_over_this_message_verifies() {
    let keys = one_key();
    let public = keys.public_key(KeyId(1)).unwrap();
    let signature = keys.sign(KeyId(1), b"message").unwrap();
    let check = |key: &PublicKey, message: &[u8], signature: &Signature| RustCrypto.verify(key, message, signature);
    assert_eq!(check(&public, b"message", &signature), Ok(()));

    let denied = Err(Untrusted::Authentication);
    assert_eq!(check(&public, b"massage", &signature), denied);
    assert_eq!(check(&public, b"", &signature), denied);
    assert_eq!(check(&RustCrypto.point(&base_point().0).unwrap(), b"message", &signature), denied);
    for byte in 0..signature.len() {
        let mut damaged = signature;
        damaged[byte] ^= 1 << (byte % 8);
        assert_eq!(check(&public, b"message", &damaged), denied, "byte {byte}");
    }
}

#[test]
fn r_and_s_out_of_range_are_refused_and_both_halves_of_s_taken() {
    let keys = one_key();
    let public = keys.public_key(KeyId(1)).unwrap();
    let signature = keys.sign(KeyId(1), b"message").unwrap();
    let (r, s) = signature.split_at(32);
    let (zero, n) = (vec![0; 32], unhex(GROUP_ORDER));
    let check =
        |r: &[u8], s: &[u8]| RustCrypto.verify(&public, b"message", &[r, s].concat().as_slice().try_into().unwrap());
    for (r, s) in [(&zero[..], s), (r, &zero), (&zero, &zero), (&n, s), (r, &n), (&[0xff; 32], s), (r, &[0xff; 32])] {
        assert_eq!(check(r, s), Err(Untrusted::Authentication));
    }
    assert_eq!(check(r, s), Ok(()));
    assert_eq!(check(r, &difference(&n, s)), Ok(()));
}

// Authenticated encryption.

const AEADS: [Aead; 4] = [Aead::A128Gcm, Aead::A256Gcm, Aead::Ccm16_64_128, Aead::Ccm16_128_128];

#[test]
fn any_flipped_bit_fails_and_wipes_the_text() {
    for aead in AEADS {
        let (key, nonce, aad) = (vec![7; aead.key_len()], vec![9; aead.nonce_len()], *b"aad");
        let mut sealed = b"sixteen or more bytes".to_vec();
        RustCrypto.seal(aead, &key, &nonce, &aad, &mut sealed).unwrap();
        let fails = |key: &[u8], nonce: &[u8], aad: &[u8], text: &[u8]| {
            let mut text = text.to_vec();
            assert_eq!(RustCrypto.open(aead, key, nonce, aad, &mut text), Err(Untrusted::Authentication), "{aead:?}");
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

#[test]
fn seal_refuses_keys_and_nonces_of_the_wrong_length_and_leaves_the_text() {
    for aead in AEADS {
        let refuses = |key_len, nonce_len| {
            let mut text = b"text".to_vec();
            let sealed = RustCrypto.seal(aead, &vec![0; key_len], &vec![0; nonce_len], b"", &mut text);
            assert_eq!(sealed, Err(Backend::Crypto), "{aead:?} {key_len} {nonce_len}");
            assert_eq!(text, b"text");
        };
        let (key_len, nonce_len) = (aead.key_len(), aead.nonce_len());
        (0..=65).filter(|&len| len != key_len).for_each(|len| refuses(len, nonce_len));
        (0..=65).filter(|&len| len != nonce_len).for_each(|len| refuses(key_len, len));
    }
}

#[test]
fn ccm_takes_no_more_than_its_length_field_can_say() {
    for aead in [Aead::Ccm16_64_128, Aead::Ccm16_128_128] {
        let seal = |text: &mut Vec<u8>| RustCrypto.seal(aead, &[0; 16], &[0; 13], b"", text);
        let mut longest = vec![5; 65_535];
        assert_eq!(seal(&mut longest), Ok(()));
        assert_eq!(RustCrypto.open(aead, &[0; 16], &[0; 13], b"", &mut longest), Ok(()));
        assert_eq!(longest, vec![5; 65_535]);

        let mut longer = vec![5; 65_536];
        assert_eq!(seal(&mut longer), Err(Backend::Crypto));
        assert_eq!(longer, vec![5; 65_536]);
        longer.extend([0; 16]);
        assert_eq!(RustCrypto.open(aead, &[0; 16], &[0; 13], b"", &mut longer), Err(Untrusted::Authentication));
        assert!(longer.is_empty());
    }
}

#[test]
fn hkdf_expands_to_255_blocks_and_not_a_byte_more() {
    let prk = Secret::from_slice(&[1; 32]).unwrap();
    let expand = |len| {
        let mut okm = vec![0; len];
        RustCrypto.hkdf_expand(&prk, &[b"info"], &mut okm).map(|()| okm)
    };
    let longest = expand(255 * 32).unwrap();
    assert_eq!(longest[..33], expand(33).unwrap());
    assert_eq!(expand(0), Ok(vec![]));
    assert_eq!(expand(255 * 32 + 1), Err(Backend::Crypto));
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
    store.commit(Commit { slot: Some(SlotChange::Write(Slot::A, &slot)), record: &[0xa5; 32] }).unwrap();
    let shown = [
        format!("{secret:?} {secret:#?}"),
        format!("{slot:?} {slot:#?}"),
        format!("{:?}", EphemeralKey::from_parts(SecretBytes::new(vec![0xa5; 32]), vec![0xa5; 32].into())),
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
}

#[test]
fn secrets_compare_by_all_their_bytes() {
    let secret = |bytes: &[u8]| Secret::<4>::from_slice(bytes);
    assert_eq!(secret(&[1, 2, 3, 4]), secret(&[1, 2, 3, 4]));
    each_bit_flipped(&[1, 2, 3, 4], |other| assert_ne!(secret(&[1, 2, 3, 4]), secret(other)));
    assert_eq!(secret(&[1, 2, 3]), Err(Backend::Crypto));
    assert_eq!(secret(&[1, 2, 3, 4, 5]), Err(Backend::Crypto));
    assert_ne!(SecretBytes::new(vec![0; 3]), SecretBytes::zeroed(4));
    assert_eq!(SecretBytes::new(vec![0; 4]), SecretBytes::zeroed(4));

    assert!(equal(b"", b"") && equal(b"same", b"same"));
    assert!(!equal(b"same", b"sane") && !equal(b"same", b"sam") && !equal(b"", b"s"));
}

// Stores.

#[test]
fn a_key_store_knows_only_its_keys() {
    let mut keys = MemoryKeyStore::new();
    let peer = RustCrypto.point(&base_point().0).unwrap();
    let unknown = |keys: &MemoryKeyStore, id| {
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
}

#[test]
fn a_commit_lands_whole() {
    let mut store = MemoryStore::new();
    assert_eq!((store.record(), store.slot(Slot::A), store.slot(Slot::B)), (Ok(None), Ok(None), Ok(None)));
    assert_eq!(store.commits(), 0);

    let (one, two) = (SecretBytes::new(vec![1; 9]), SecretBytes::new(vec![2; 5]));
    let stored = |bytes: &SecretBytes| Ok(Some(SecretBytes::new(bytes.bytes().to_vec())));
    store.commit(Commit { slot: Some(SlotChange::Write(Slot::A, &one)), record: b"first" }).unwrap();
    store.commit(Commit { slot: Some(SlotChange::Write(Slot::B, &two)), record: b"second" }).unwrap();
    assert_eq!((store.slot(Slot::A), store.slot(Slot::B)), (stored(&one), stored(&two)));
    assert_eq!(store.record(), Ok(Some(b"second".to_vec())));

    store.commit(Commit { slot: None, record: b"" }).unwrap();
    assert_eq!((store.slot(Slot::A), store.slot(Slot::B)), (stored(&one), stored(&two)));
    assert_eq!(store.record(), Ok(Some(vec![])), "an empty record is a record");

    store.commit(Commit { slot: Some(SlotChange::Write(Slot::A, &two)), record: b"third" }).unwrap();
    store.commit(Commit { slot: Some(SlotChange::Erase(Slot::B)), record: b"fourth" }).unwrap();
    assert_eq!((store.slot(Slot::A), store.slot(Slot::B)), (stored(&two), Ok(None)));
    assert_eq!(store.record(), Ok(Some(b"fourth".to_vec())));
    assert_eq!(store.commits(), 5);
}

#[test]
fn a_commit_that_fails_changes_nothing() {
    let mut store = MemoryStore::new();
    let (slot, other) = (SecretBytes::new(vec![1; 9]), SecretBytes::new(vec![2; 9]));
    let longest = vec![3; MAX_RECORD];
    store.commit(Commit { slot: Some(SlotChange::Write(Slot::A, &slot)), record: &longest }).unwrap();
    let before = store.fingerprint();

    let too_long = vec![3; MAX_RECORD + 1];
    for slot in [None, Some(SlotChange::Write(Slot::A, &other)), Some(SlotChange::Erase(Slot::A))] {
        assert_eq!(store.commit(Commit { slot, record: &too_long }), Err(Backend::Store));
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
            store.commit(Commit { slot: Some(SlotChange::Write(slot, &bytes)), record: b"" }).unwrap();
        }
        record.into_iter().for_each(|record| store.commit(Commit { slot: None, record }).unwrap());
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
    store.commit(Commit { slot: Some(SlotChange::Write(Slot::B, &slot)), record: b"record" }).unwrap();

    let mut copy = store.durable_copy();
    assert_eq!(copy.fingerprint(), store.fingerprint());
    assert_eq!(copy.slot(Slot::B), Ok(Some(slot)));
    assert_eq!(copy.commits(), 1);

    let before = store.fingerprint();
    copy.commit(Commit { slot: Some(SlotChange::Erase(Slot::B)), record: b"later" }).unwrap();
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
