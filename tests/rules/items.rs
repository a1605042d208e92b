//! EAD items that say nothing, and texts that are too long to be read.

use remote_provisioning::{
    crypto::{Crypto, Secret, SecretBytes, rustcrypto::RustCrypto},
    edhoc::{EadItem, MAX_EAD, Method, Suite},
    error::{Backend, Error, Malformed, Misbehaved, Misuse},
    wire::{MAX_MESSAGE, encode_with},
};

use crate::run::{Failed, METHODS, Step, exported, fails, with_run};

/// Labels that are registered so that nobody comes to rely on nobody using them.
const GREASE: [u32; 4] = [160, 41_120, 43_690, 44_975];

#[test]
fn grease_is_ignored_unless_it_is_critical() {
    let stopped = [Step::Write2, Step::Write3, Step::Write4, Step::Complete];
    for method in [Method::SignSign, Method::StaticStatic] {
        for label in GREASE {
            for value in [None, Some(&b""[..]), Some(&[0x5a; 30])] {
                for (index, stopped) in stopped.into_iter().enumerate() {
                    for critical in [false, true] {
                        let items = [EadItem { label, critical, value }];
                        let end = with_run(method, Suite::CCM_8, |run| {
                            let mut run = run;
                            run.ead[index] = &items;
                            run.end()
                        });
                        let expected = critical.then_some(Failed(stopped, Misbehaved::CriticalEad.into()));
                        assert_eq!(end, expected, "label {label} in EAD_{}", index + 1);
                    }
                }
            }
        }
    }
    // As many of them as there is room for, with padding between them, in all messages.
    let items: Vec<_> = GREASE
        .into_iter()
        .cycle()
        .take(MAX_EAD)
        .flat_map(|label| [EadItem { label, critical: false, value: Some(b"x") }, EadItem::padding(b"")])
        .collect();
    with_run(Method::StaticSign, Suite::GCM, |run| {
        let mut run = run;
        run.ead = [&items; 4];
        assert_eq!(run.end(), None);
    });
}

/// One byte for the label, and the head of the value: no length cannot be made.
#[test]
fn padding_of_every_length_is_ignored() {
    let random: Vec<u8> = (0..=255).cycle().take(2_000).collect();
    for index in 0..4 {
        let lengths = |items: &[EadItem<'_>]| {
            with_run(Method::StaticStatic, Suite::CCM_8, |run| {
                let mut run = run;
                run.ead[index] = items;
                let done = run.go().unwrap();
                assert_eq!(exported(&done.device), exported(&done.operator));
                let message = &done.messages[index];
                // Without the head of the byte string that messages 2 to 4 are.
                let head = if index == 0 {
                    0
                } else {
                    [1, 2, 3][usize::from(message[0] >= 0x58) + usize::from(message[0] >= 0x59)]
                };
                message.len() - head
            })
        };
        let without = lengths(&[]);
        for (len, more) in [(0, 2), (1, 3), (23, 25), (24, 27), (255, 258), (256, 260), (1_000, 1_004)] {
            assert_eq!(lengths(&[EadItem::padding(&random[..len])]), without + more, "{len} in EAD_{}", index + 1);
        }
        // 1 to 400 more bytes; where one item does not come out even, two do.
        for more in 1..=400 {
            let one = EadItem { label: 0, critical: false, value: None };
            let items = match more {
                1 => vec![one],
                2..=25 => vec![EadItem::padding(&random[..more - 2])],
                26 => vec![one, EadItem::padding(&random[..23])],
                27..=258 => vec![EadItem::padding(&random[..more - 3])],
                259 => vec![one, EadItem::padding(&random[..255])],
                _ => vec![EadItem::padding(&random[..more - 4])],
            };
            if more % 23 < 5 || more < 30 {
                assert_eq!(lengths(&items), without + more, "{more} in EAD_{}", index + 1);
            }
        }
    }
    // The first message no shorter than the second one, against amplification.
    with_run(Method::SignSign, Suite::CCM_8, |run| {
        let mut run = run;
        let items = [EadItem::padding(&random[..100])];
        run.ead[0] = &items;
        let messages = run.go().unwrap().messages;
        assert!(messages[0].len() >= messages[1].len());
    });
}

/// The label of padding has no sign (it is 0), so it is never critical; and padding does not take another item's place.
#[test]
fn padding_hides_nothing() {
    let critical_padding = [EadItem { label: 0, critical: true, value: Some(b"x") }];
    let behind = [EadItem::padding(&[1; 40]), EadItem { label: 9, critical: true, value: None }];
    for method in METHODS {
        with_run(method, Suite::CCM_8, |run| {
            let mut run = run;
            run.ead = [&critical_padding; 4];
            assert_eq!(run.end(), None);
        });
        for (index, step) in [Step::Write2, Step::Write3, Step::Write4, Step::Complete].into_iter().enumerate() {
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                run.ead[index] = &behind;
                assert_eq!(run.end(), fails(step, Misbehaved::CriticalEad), "{method:?}");
            });
        }
    }
}

/// KEYSTREAM_2 comes from one HKDF-Expand and ends at 8,160 bytes. The limit of a message lies before it, on the way out
/// and on the way in.
#[test]
fn a_long_plaintext_2() {
    let random = vec![0; 9_000];
    for method in METHODS {
        let end = |len: usize| {
            let items = [EadItem::padding(&random[..len])];
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                run.ead[1] = &items;
                run.go().map(|done| done.messages[1].len())
            })
        };
        let fixed = end(1_000).unwrap() - 1_000;
        assert_eq!(end(MAX_MESSAGE - fixed), Ok(MAX_MESSAGE));
        for len in [MAX_MESSAGE - fixed + 1, MAX_MESSAGE, 8_160, 8_161, 9_000] {
            let Err(Failed(Step::Write2, Error::Misuse(Misuse::Parameter(_)))) = end(len) else {
                panic!("{method:?}: {len} bytes went out");
            };
        }
        for len in [MAX_MESSAGE, 8_160 + 32, 8_161 + 32, 9_000] {
            let touch = |number: u8, message: &mut Vec<u8>| {
                if number == 2 {
                    *message = encode_with(|w| w.bytes(&[&message[2..34], &random[..len - 32]].concat()));
                }
            };
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                run.touch = &touch;
                assert_eq!(run.end(), fails(Step::Read2, Malformed::TooLong), "{method:?} {len}");
            });
        }
    }
    // The primitive itself.
    let expand = |len| RustCrypto.hkdf_expand(&Secret::zeroed(), &[b"info"], SecretBytes::zeroed(len).bytes_mut());
    assert_eq!(expand(8_160), Ok(()));
    assert_eq!(expand(8_161), Err(Backend::Crypto));
}
