//! The same at the two machines: a key store that is not ready leaves them where they are.

use remote_provisioning::{
    edhoc::Method,
    error::{Backend, Misbehaved},
    provisioning::Millis,
};

use crate::{
    lab::{FromDevice, Lab, Session, from_device},
    run::METHODS,
};

const ERRORS: [Backend; 2] = [Backend::KeyPending, Backend::Key];

fn lab(method: Method) -> Lab {
    let mut lab = Lab::voucher_last(40);
    lab.device_config.method = method;
    lab.operator_config.methods = vec![method];
    lab
}

/// On to the end, from any message.
fn finish(lab: &mut Lab, session: &mut Session) {
    while session.messages.len() < 6 {
        lab.step(session).unwrap();
    }
    lab.step(session).unwrap();
    lab.assert_complete();
    assert!(session.device.poll().is_none());
}

#[test]
fn a_device_waits_for_its_key_store() {
    for method in METHODS {
        for error in ERRORS {
            for times in 1..=3 {
                // message_2 asks for a proof, message_4 for a signature under the receipt.
                for number in [2, 4] {
                    let mut lab = lab(method);
                    let mut session = lab.session(number);
                    let (before, message) = (lab.fingerprint(), session.message(number));
                    lab.device_keys.fail(times, error);
                    for time in 0..times {
                        let outcome = lab.tell_device(&mut session.device, &message);
                        assert_eq!(outcome, Err(error.into()), "{method:?} {number} {time}");
                        let mut out = from_device(&mut session.device);
                        let met = core::mem::take(&mut out.authenticated);
                        assert_eq!(met.len(), usize::from(number == 2 && time == 0), "said once");
                        assert_eq!(out, FromDevice::default(), "{method:?} {number} {time}");
                        assert_eq!(lab.fingerprint(), before);
                    }
                    lab.step(&mut session).unwrap();
                    assert_eq!(session.messages.len(), number + 1);
                    finish(&mut lab, &mut session);
                }
            }
        }
    }
}

#[test]
fn an_operator_waits_for_its_key_store() {
    for method in METHODS {
        for error in ERRORS {
            for times in 1..=3 {
                let mut lab = lab(method);
                let mut session = lab.session(1);
                let message = session.message(1);
                lab.operator_keys.fail(times, error);
                for _ in 0..times {
                    assert_eq!(lab.tell_operator(&mut session.operator, &message), Err(error.into()));
                    let out = lab.serve(&mut session.operator);
                    assert_eq!((out.sent.len(), out.asked.len(), out.finished.len()), (0, 0, 0), "{method:?}");
                    assert_eq!(out.wake, Some(Millis(301_000)), "it is given up some time");
                }
                finish(&mut lab, &mut session);
            }
        }
    }
}

/// Both sides at once, and nobody but the device's own timer to bring the messages again.
#[test]
fn the_timer_is_enough() {
    for method in METHODS {
        let mut lab = lab(method);
        let mut session = lab.session(1);
        lab.operator_keys.fail(1, Backend::KeyPending);
        lab.device_keys.fail(1, Backend::KeyPending);
        let mut rounds = 0;
        let finished = loop {
            let mut to_device = Vec::new();
            for message in core::mem::take(&mut session.messages) {
                let _ = lab.tell_operator(&mut session.operator, &message);
                to_device.extend(lab.serve(&mut session.operator).sent);
            }
            for message in to_device {
                let _ = lab.tell_device(&mut session.device, &message);
            }
            let out = from_device(&mut session.device);
            session.messages = out.sent;
            if let [result] = *out.finished {
                break result;
            }
            if session.messages.is_empty() {
                lab.now = Millis(lab.now.0 + 60_000);
                session.device.handle_timeout(lab.now).unwrap();
                session.messages = from_device(&mut session.device).sent;
            }
            rounds += 1;
            assert!(rounds < 20, "{method:?}");
        };
        assert_eq!(finished, Ok(()), "{method:?}");
        lab.assert_complete();
    }
}

/// While a machine waits for its key store, what is not the message that it is about is as if it had never come.
#[test]
fn nothing_else_gets_in_between() {
    for method in METHODS {
        for number in [2, 4] {
            let mut lab = lab(method);
            let mut session = lab.session(number);
            let message = session.message(number);
            lab.device_keys.fail(1, Backend::KeyPending);
            assert_eq!(lab.tell_device(&mut session.device, &message), Err(Backend::KeyPending.into()));
            from_device(&mut session.device);
            // The key store would be ready now. A stranger's bytes are no reason to ask it.
            for other in [&b"\x41\x00"[..], b"\x01\x60", b"\x02\x02", b"", &session.message(1)] {
                let outcome = lab.tell_device(&mut session.device, other);
                assert_eq!(outcome, Err(Misbehaved::UnexpectedMessage.into()), "{method:?} {number} {other:02x?}");
                assert_eq!(from_device(&mut session.device), FromDevice::default());
            }
            lab.step(&mut session).unwrap();
            // Its own message, repeated by the link, is known for what it is.
            assert_eq!(lab.tell_device(&mut session.device, &message), Ok(()), "{method:?} {number}");
            assert_eq!(from_device(&mut session.device), FromDevice::default());
            finish(&mut lab, &mut session);
        }
        let mut lab = lab(method);
        let mut session = lab.session(1);
        let message = session.message(1);
        lab.operator_keys.fail(1, Backend::KeyPending);
        assert_eq!(lab.tell_operator(&mut session.operator, &message), Err(Backend::KeyPending.into()));
        lab.serve(&mut session.operator);
        for other in [&b"\x41\x00"[..], b"\x01\x60", b"\x02\x02", b"", &message[..message.len() - 1]] {
            let outcome = lab.tell_operator(&mut session.operator, other);
            assert_eq!(outcome, Err(Misbehaved::UnexpectedMessage.into()), "{method:?} {other:02x?}");
            assert_eq!(lab.serve(&mut session.operator).sent.len(), 0);
        }
        lab.step(&mut session).unwrap();
        lab.tell_operator(&mut session.operator, &message).unwrap();
        assert_eq!(lab.serve(&mut session.operator).sent, [session.message(2)], "byte for byte");
        finish(&mut lab, &mut session);
    }
}
