//! What remains of a handshake: keys that move on, and what OSCORE starts from.

use remote_provisioning::{
    crypto::{Aead, rustcrypto::RustCrypto},
    edhoc::{Session, Suite},
    error::Backend,
};

use crate::{
    again::Faulty,
    lab::double::Double,
    run::{METHODS, exported, with_run},
};

fn oscore(session: &Session) -> (Vec<u8>, [u8; 8]) {
    let oscore = session.oscore(&RustCrypto).unwrap();
    (oscore.master_secret.bytes().to_vec(), oscore.master_salt)
}

#[test]
fn an_update_gives_both_sides_new_keys() {
    for method in METHODS {
        with_run(method, Suite::CCM_16, |run| {
            let mut done = run.go().unwrap();
            let th_4 = *done.device.th_4();
            let mut seen = vec![exported(&done.device)];
            let mut seen_by_oscore = vec![oscore(&done.device)];
            for context in [&b""[..], b"", b"one", b"two", &[0; 1_000]] {
                done.device.update(context, &RustCrypto).unwrap();
                assert_ne!(exported(&done.device), exported(&done.operator), "one side alone");
                done.operator.update(context, &RustCrypto).unwrap();
                let keys = exported(&done.device);
                assert_eq!(keys, exported(&done.operator));
                assert!(!seen.contains(&keys), "old and new differ");
                seen.push(keys);
                let keys = oscore(&done.device);
                assert_eq!(keys, oscore(&done.operator));
                assert!(seen_by_oscore.iter().all(|old| old.0 != keys.0 && old.1 != keys.1));
                seen_by_oscore.push(keys);
            }
            assert_eq!((done.device.th_4(), done.operator.th_4()), (&th_4, &th_4), "it is still this session");
        });
    }
}

#[test]
fn another_context_gives_other_keys() {
    let after = |contexts: &[&[u8]]| {
        with_run(METHODS[0], Suite::GCM, |run| {
            let mut session = run.go().unwrap().device;
            contexts.iter().for_each(|context| session.update(context, &RustCrypto).unwrap());
            exported(&session)
        })
    };
    let all = [
        after(&[]),
        after(&[b""]),
        after(&[b"a"]),
        after(&[b"b"]),
        after(&[b"a", b"b"]),
        after(&[b"b", b"a"]),
        after(&[b"ab"]),
        after(&[b"", b""]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{at}");
    }
    assert_eq!(after(&[b"a", b"b"]), all[4]);
}

/// A backend that fails leaves the old keys, wherever it fails.
#[test]
fn an_update_that_fails_changes_nothing() {
    with_run(METHODS[3], Suite::CCM_8, |run| {
        let mut done = run.go().unwrap();
        let before = exported(&done.device);
        for n in 0..2 {
            let faulty = Faulty::at(n, Backend::Crypto, &["crypto.hkdf_expand"]);
            assert_eq!(done.device.update(b"context", &Double::new(&faulty)), Err(Backend::Crypto), "{n}");
            assert_eq!(exported(&done.device), before, "{n}");
        }
        done.device.update(b"context", &RustCrypto).unwrap();
        done.operator.update(b"context", &RustCrypto).unwrap();
        assert_eq!(exported(&done.device), exported(&done.operator));
        assert_ne!(exported(&done.device), before);
    });
}

#[test]
fn oscore_mirrors() {
    for suite in Suite::ALL {
        with_run(METHODS[0], suite, |run| {
            let done = run.go().unwrap();
            let (device, operator) =
                (done.device.oscore(&RustCrypto).unwrap(), done.operator.oscore(&RustCrypto).unwrap());
            // What the peer wants to be called is what goes on messages to it.
            assert_eq!((device.sender_id.bytes(), device.recipient_id.bytes()), (&b"\x37\x37"[..], &[0x02][..]));
            assert_eq!((operator.sender_id.bytes(), operator.recipient_id.bytes()), (&[0x02][..], &b"\x37\x37"[..]));
            assert_eq!(device.master_secret.bytes(), operator.master_secret.bytes());
            assert_eq!(device.master_salt, operator.master_salt);
            let aead = if suite == Suite::GCM { Aead::A256Gcm } else { Aead::Ccm16_64_128 };
            assert_eq!((device.aead, operator.aead), (aead, aead));
            assert_eq!(device.master_secret.bytes().len(), aead.key_len());
            // RFC 9528 §A.1: labels 0 and 1, no context.
            let mut secret = vec![0; aead.key_len()];
            done.operator.export(0, b"", &mut secret, &RustCrypto).unwrap();
            assert_eq!(device.master_secret.bytes(), secret);
            let mut salt = [0; 8];
            done.operator.export(1, b"", &mut salt, &RustCrypto).unwrap();
            assert_eq!(device.master_salt, salt);
            assert!(!format!("{device:?}").contains(&format!("{:?}", secret)));
        });
    }
}

#[test]
fn more_than_the_exporter_has() {
    with_run(METHODS[0], Suite::GCM, |run| {
        let session = run.go().unwrap().device;
        let mut out = vec![0; 8_161];
        assert_eq!(session.export(0xce01, b"", &mut out[..8_160], &RustCrypto), Ok(()));
        assert_eq!(session.export(0xce01, b"", &mut out, &RustCrypto), Err(Backend::Crypto));
    });
}
