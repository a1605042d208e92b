//! Peers that say no, and peers, links and certificates that are not as they should be.

use remote_provisioning::{
    credential::Activation,
    edhoc::{Method, OwnCredential, Seal, Suite},
    error::Code,
    identity::{Domain, Role},
    provisioning::{
        Operator,
        device::{Goal, Introduction},
    },
    sim::{IDENTITY, SeededRng, TODAY, identities, maker},
    store::KeyStore,
    trust::{Anchor, Date, MemoryAnchors, RevocationList, Revocations},
};

use crate::{
    bench::{self, call, examined},
    errors,
    forge::{self, Draft},
    lab::{self, Keys, Lab, from_device, token_key},
};

/// Every question is answered with a no, and the one whether a device may come in with every code.
pub(crate) fn every_refusal() {
    for question in ["find", "appraise", "reserve", "opc", "log offer", "log prepared", "log decision", "core", "log confirm"] {
        for activation in [Activation::OneShot, Activation::TwoPhase] {
            examined(&format!("no to {question}, {activation:?}"), |crypto| {
                let mut lab = bench::lab(Lab::new(9), crypto);
                lab.home.activation = activation;
                lab.refusing = Some((question, Code::Conflict));
                let _ = lab.go(Goal::Provision);
            });
        }
    }
    for code in Code::ALL {
        examined(&format!("no to appraise: {code:?}"), |crypto| {
            let mut lab = bench::lab(Lab::new(9), crypto);
            lab.refusing = Some(("appraise", code));
            let _ = lab.go(Goal::Provision);
        });
    }
    examined("a re-key is called off", |crypto| {
        let mut lab = bench::lab(Lab::new(9), crypto);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
        lab.home.activation = Activation::TwoPhase;
        lab.refusing = Some(("core", Code::Conflict));
        let _ = lab.go(Goal::Rekey);
    });
    examined("another domain", |crypto| {
        let mut lab = bench::lab(Lab::new(11), crypto);
        lab.operator_config.domain = Domain::Production;
        let _ = lab.go(Goal::Provision);
    });
}

/// Every message is altered, cut, and made longer on the way, and its first bytes are of every kind.
pub(crate) fn every_alteration() {
    for number in 1..=8 {
        for alteration in 0..4 {
            examined(&format!("message {number} altered, {alteration}"), |crypto| {
                let mut lab = bench::lab(Lab::new(10), crypto);
                lab.home.activation = Activation::TwoPhase;
                let mut session = lab.session(number);
                let last = session.messages.last_mut().unwrap();
                let middle = last.len() / 2;
                match alteration {
                    0 => *last.last_mut().unwrap() ^= 1,
                    1 => last[middle] ^= 0x10,
                    2 => last.truncate(middle),
                    _ => last.push(0),
                }
                let _ = lab.step(&mut session);
                let _ = lab.step(&mut session);
            });
        }
        examined(&format!("message {number} twice, and those before it again"), |crypto| {
            let mut lab = bench::lab(Lab::new(10), crypto);
            lab.home.activation = Activation::TwoPhase;
            let mut session = lab.session(number);
            for message in session.messages.clone().into_iter().rev().take(4) {
                let _ = lab.tell_device(&mut session.device, &message);
                let _ = lab.tell_operator(&mut session.operator, &message);
                lab.serve(&mut session.operator);
            }
        });
    }
    // message_1: method, suite, point, name.
    for at in 0..48 {
        for byte in [0x00, 0x03, 0x18, 0x1c, 0x20, 0x3f, 0x40, 0x5f, 0x80, 0xa0, 0xc0, 0xf6, 0xff] {
            if at < 4 || at % 8 == 0 {
                examined(&format!("message 1, byte {at} is {byte:#x}"), |crypto| {
                    let mut lab = bench::lab(Lab::new(10), crypto);
                    let mut session = lab.session(1);
                    session.messages[0][at] = byte;
                    let _ = lab.step(&mut session);
                });
            }
        }
    }
}

/// What an evil byte is: the beginning of an item of another type, a length that is too long, a key that is out of order.
const EVIL: [u8; 16] =
    [0x00, 0x17, 0x18, 0x1b, 0x1c, 0x20, 0x2f, 0x3f, 0x41, 0x5f, 0x7b, 0x81, 0x9b, 0xa1, 0xc1, 0xf9];

/// A peer with the right keys, whose texts are not as they should be: of everything that is sealed in a session (messages,
/// records, the package, what the operator stores), bytes are exchanged, the rest is filled with openings of arrays, and
/// keys are changed.
pub(crate) fn lies() {
    let mut dice = SeededRng::new(77);
    for goal in [Goal::Provision, Goal::Rekey] {
        for sealed in 0..12 {
            for number in 0..40 {
                let (place, evil, kind) = (dice.below(1 << 16), EVIL[dice.below(EVIL.len())], number % 5);
                examined(&format!("{goal:?}, text {sealed}, lie {number}"), |crypto| {
                    let mut lab = bench::lab(Lab::new(13), crypto);
                    lab.home.activation = Activation::TwoPhase;
                    if goal != Goal::Provision {
                        lab.go(Goal::Provision).unwrap();
                    }
                    crypto.watch.lie(sealed, move |text| {
                        let at = match kind {
                            0 => number / 5,
                            1 => text.len().saturating_sub(1 + number),
                            _ => place,
                        } % text.len().max(1);
                        match kind {
                            4 => text[at..].fill(0x81),
                            3 => text[at] ^= 1 << (place % 8),
                            _ => text[at] = evil,
                        }
                    });
                    let _ = lab.go(goal.clone());
                });
            }
        }
    }
}

/// One session, whose device and operator are as `change` makes them.
fn session(what: &str, change: impl FnOnce(&mut Lab)) {
    examined(what, |crypto| {
        let mut lab = bench::lab(Lab::new(14), crypto);
        change(&mut lab);
        assert!(lab.run().is_err(), "{what}");
    });
}

/// Parties that are not who they should be.
pub(crate) fn peers() {
    session("methods that the operator does not run", |lab| lab.device_config.method = Method::StaticStatic);
    session("suites of which none is common", |lab| {
        lab.device_config.suites = vec![Suite::GCM];
        lab.operator_config.suites = vec![Suite::CCM_16];
    });
    session("a name of a relay that it did not come through", |lab| lab.device_config.relay = Some([7; 32]));
    session("an operator below no anchor", |lab| {
        lab.operator_config.own = lab::chain(&identities::rogue_operator_chain());
        lab.operator_keys = Keys::new(identities::rogue_operator_key());
    });
    session("a key that is not the certificate's", |lab| lab.operator_keys = Keys::new(identities::rogue_operator_key()));
    session("a device that is not known by its kid", |lab| {
        *lab = bench_like(lab, Lab::raw(14));
        lab.operator_anchors = MemoryAnchors::new();
    });
    session("a subscription that is not there", |lab| lab.goal = Goal::Rekey);
    for (at, introduction) in [
        ("first", Introduction::VoucherFirst(maker::home_key().unwrap())),
        ("last", Introduction::VoucherLast { request: false }),
    ] {
        let voucher = |lab: &mut Lab, sentence: &str, change: fn(&mut remote_provisioning::trust::voucher::Voucher<'_>)| {
            lab.device_config.introduction = introduction.clone();
            let key = lab.operator_keys.public_key(IDENTITY).unwrap();
            let mut voucher = maker::word(&lab.device_config.name, &key);
            change(&mut voucher);
            lab.home.own(lab.device_config.name, maker::issue(&voucher, sentence).unwrap());
        };
        session(&format!("{at}: no voucher"), |lab| {
            lab.device_config.introduction = introduction.clone();
            lab.home.disown();
        });
        session(&format!("{at}: another maker's"), |lab| voucher(lab, "another maker", |_| {}));
        session(&format!("{at}: expired"), |lab| voucher(lab, maker::MASA, |it| it.expires_on = Some(TODAY)));
        session(&format!("{at}: somebody's nonce"), |lab| voucher(lab, maker::MASA, |it| it.nonce = Some(b"a nonce!")));
        session(&format!("{at}: another's device"), |lab| voucher(lab, maker::MASA, |it| it.serial = "IOT-9999"));
    }
    examined("a token that is altered, expired, used, or another's", |crypto| {
        let mut lab = bench::lab(Lab::new(15), crypto);
        let session = lab.session(3);
        let token = lab.token(&session.operator).unwrap();
        if let Err(error) = lab.reopened(&token).unwrap().first_use(false) {
            errors::met(&error);
        }
        for at in 0..token.len() {
            let mut altered = token.clone();
            altered[at] ^= 1;
            assert!(at % 16 != 0 || lab.reopened(&altered).is_err());
        }
        let config = lab.operator_config.clone();
        let late = Date(TODAY.0 + 7 * 86_400);
        let opened = call(|| Operator::open(config, &token, &token_key(), late, lab.now, crypto));
        errors::met(&opened.map(|_| ()).unwrap_err());
        let seal = Seal { key: &token_key(), expires: TODAY };
        lab.rng.good_for = Some(0);
        assert!(call(|| session.operator.seal(&seal, crypto, &mut lab.rng)).is_err());
    });
    examined("answers to what was not asked", |crypto| {
        let mut lab = bench::lab(Lab::new(16), crypto);
        let (mut session, _) = lab::stopped(&mut lab, "reserve");
        let answer = remote_provisioning::provisioning::Answer::Opc(Err(Code::Conflict));
        assert!(lab.answer(&mut session.operator, answer).is_err());
    });
    examined("errors of every number, from nobody", |crypto| {
        for (message, number) in [&b"\x01\x60"[..], b"\x02\x02", b"\x03\xf5", b"\x18\x2a\xf6", b"\x00", b"\x02\x80"].into_iter().zip(0..) {
            for messages in [1, 3] {
                // Other random numbers each: what is a scalar in one session would be public in another.
                let mut lab = bench::lab(Lab::new(100 + 2 * number + messages as u64 / 2), crypto);
                let mut session = lab.session(messages);
                let _ = lab.tell_device(&mut session.device, message);
                for result in from_device(&mut session.device).finished.into_iter().flat_map(Result::err) {
                    errors::met(&result);
                }
                let _ = lab.tell_operator(&mut session.operator, message);
            }
        }
    });
}

/// `lab`, seen as this one is.
fn bench_like(lab: &Lab, mut other: Lab) -> Lab {
    (other.crypto, other.around, other.seen) = (lab.crypto, lab.around, lab.seen);
    other
}

fn anchored(role: Role) -> MemoryAnchors {
    let mut anchors = MemoryAnchors::new();
    anchors.add_anchor(Anchor::from_certificate(&forge::root(), role, Domain::Test).unwrap()).unwrap();
    anchors
}

/// Chains with one fault each, of the device's and of the operator's, with a calendar.
pub(crate) fn certificates() {
    type Fault = fn(&mut Vec<Draft>);
    fn unknown(critical: bool, len: usize) -> Vec<u8> {
        forge::extension(0x7f, critical, &forge::tlv(4, &vec![0; len]))
    }
    let faults: [(&str, Fault); 15] = [
        ("none", |_| {}),
        ("expired", |chain| chain[0].validity = forge::PAST),
        ("not yet valid", |chain| chain[0].validity = forge::FUTURE),
        ("another use", |chain| chain[0].usage = Some(forge::ENCIPHER)),
        ("no CA", |chain| chain[1].ca = None),
        ("path too long", |chain| chain[2].ca = Some(Some(0))),
        ("unknown and critical", |chain| chain[0].extensions.push(unknown(true, 1))),
        ("twice", |chain| chain[0].extensions.extend([unknown(false, 1), unknown(false, 2)])),
        ("another key", |chain| chain[0].signer = "another of this name".into()),
        ("another curve", |chain| chain[0].other_curve = true),
        ("another domain", |chain| {
            let policy = forge::tlv(0x30, &forge::tlv(0x30, &[6, 5, 0x69, 0x83, 0x9c, 0x11, 0]));
            chain[0].extensions.push(forge::extension(0x20, false, &policy));
        }),
        ("for itself", |chain| {
            chain.truncate(1);
            chain[0].issuer = chain[0].subject.clone();
            chain[0].signer = chain[0].key.clone();
        }),
        ("without a name", |chain| chain[0].subject.0 ^= 3 ^ 5),
        ("too long", |chain| chain[0].extensions.push(unknown(false, 2_000))),
        ("too many", |chain| *chain = forge::chain(Role::Device, 5)),
    ];
    for role in [Role::Device, Role::Operator] {
        for (what, fault) in faults {
            examined(&format!("{role:?}'s chain: {what}"), |crypto| {
                let mut lab = bench::lab(Lab::new(18), crypto);
                lab.date = Some(TODAY);
                let mut drafts = forge::chain(role, 3);
                fault(&mut drafts);
                let chain = forge::issued(&drafts);
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                let anchors = anchored(role);
                let own = match OwnCredential::chain(IDENTITY, &chain) {
                    Ok(own) => own,
                    Err(error) => {
                        errors::met_as(error);
                        let chain = remote_provisioning::trust::CredentialId::Chain(chain.iter().copied().take(4).collect());
                        let verified = call(|| {
                            remote_provisioning::trust::verify(&chain, role, Domain::Test, &anchors, crypto, lab.date)
                        });
                        errors::met(&verified.map(|_| ()).unwrap_err());
                        return;
                    }
                };
                if role == Role::Device {
                    (lab.device_config.own, lab.operator_anchors) = (own, anchors);
                } else {
                    (lab.operator_config.own, lab.device_anchors) = (own, anchors);
                }
                assert!(lab.go(Goal::Provision).is_err());
            });
        }
    }
    session("revoked", |lab| {
        lab.device_config.own = lab::chain(&identities::revoked_device_chain());
        lab.operator_anchors = identities::listing_anchors();
    });
    session("no revocation list where one is wanted", |lab| *lab.operator_anchors.revocations_mut() = Revocations::demanded());
    examined("a list that is none", |crypto| {
        let list = call(|| RevocationList::new(b"0", identities::maker_root(), crypto));
        errors::met_as(list.map(|_| ()).unwrap_err());
    });
}
