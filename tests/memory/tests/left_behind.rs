//! What is left behind: in blocks that were freed, in blocks that still live when all machines are gone, and on the stack
//! below each call of a machine.

#[path = "../../lab/mod.rs"]
mod lab;

mod bench;

use bench::examined;
use lab::Lab;
use remote_provisioning::{
    credential::{Activation, Previous},
    crypto::Secret,
    error::Code,
    identity::Domain,
    provisioning::{Task, device::Goal},
};

/// A device with a subscription.
fn subscriber(seed: u64, crypto: bench::Crypto) -> Lab {
    let mut lab = bench::lab(Lab::new(seed), crypto);
    assert_eq!(lab.go(Goal::Provision), Ok(()));
    lab
}

#[test]
fn provisioning() {
    examined("one-shot", |crypto| {
        subscriber(1, crypto);
    });
    examined("two-phase, with evidence, over tokens", |crypto| {
        let mut lab = bench::lab(Lab::attested(2), crypto);
        lab.home.activation = Activation::TwoPhase;
        lab.travelling = Some(0);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
        lab.assert_complete();
    });
    examined("voucher last", |crypto| {
        let mut lab = bench::lab(Lab::voucher_last(3), crypto);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
    });
    examined("raw keys", |crypto| {
        let mut lab = bench::lab(Lab::raw(4), crypto);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
    });
}

#[test]
fn life() {
    for (mode, goal) in
        [(Previous::Shared, Goal::Rekey), (Previous::Beside, Goal::Rekey), (Previous::Beside, Goal::Query)]
    {
        examined(&format!("{goal:?}, {mode:?}"), |crypto| {
            let mut lab = subscriber(5, crypto);
            lab.home.mode = mode;
            assert_eq!(lab.go(goal.clone()), Ok(()));
            let (held, _) = lab.held().unwrap();
            lab.attach(&held);
        });
    }
    examined("suspended, revoked, erased", |crypto| {
        let mut lab = subscriber(6, crypto);
        let task = Task::revoke(&lab.device_id(), &lab.account()).unwrap();
        lab.carry_out(task).unwrap();
        let _ = lab.go(Goal::Query);
        assert!(lab.held().is_none());
    });
    examined("leaves", |crypto| {
        let mut lab = subscriber(7, crypto);
        let _ = lab.go(Goal::Leave);
    });
}

/// Whatever fails: the n-th call of the store, the random source, the key store or the backend, for every n.
#[test]
fn every_failure() {
    type Fails = fn(&mut Lab, bench::Crypto, usize);
    let sources: [(&str, Fails); 4] = [
        ("store", |lab, _, n| lab.store.good_for = Some(n)),
        ("random source", |lab, _, n| lab.rng.good_for = Some(n)),
        ("key store", |lab, _, n| lab.device_keys.good_for.set(Some(n))),
        ("backend", |_, crypto, n| crypto.watch.fail_after(Some(n))),
    ];
    for (what, fails) in sources {
        let mut errors = std::collections::BTreeSet::new();
        for n in 0.. {
            let mut ended = Ok(());
            examined(&format!("{what} fails at call {n}"), |crypto| {
                let mut lab = bench::lab(Lab::attested(8), crypto);
                lab.home.activation = Activation::TwoPhase;
                fails(&mut lab, crypto, n);
                ended = match lab.start() {
                    Ok(_) => {
                        fails(&mut lab, crypto, n);
                        lab.go(Goal::Provision)
                    }
                    Err(error) => Err(error),
                };
            });
            match ended {
                Ok(()) => break,
                Err(error) => errors.insert(format!("{error:?}")),
            };
            assert!(n < 400, "{what}");
        }
        println!("{what}: {errors:?}");
        assert!(!errors.is_empty(), "{what}");
    }
}

/// Every question is answered with a no, and every message is altered, cut, doubled, and exchanged for another.
#[test]
fn every_refusal() {
    for question in ["find", "appraise", "reserve", "opc", "log offer", "core", "log confirm"] {
        examined(&format!("no to {question}"), |crypto| {
            let mut lab = bench::lab(Lab::new(9), crypto);
            lab.refusing = Some((question, Code::Conflict));
            let _ = lab.go(Goal::Provision);
        });
    }
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
    }
    examined("another domain", |crypto| {
        let mut lab = bench::lab(Lab::new(11), crypto);
        lab.operator_config.domain = Domain::Production;
        let _ = lab.go(Goal::Provision);
    });
}

/// Each operation of AKA, SUCI and the wrapping of K alone.
#[test]
fn primitives() {
    use remote_provisioning::{
        aka::{Answer, Card, Milenage, Sqn, Vector, authenticate, milenage, resynchronise, sqn::Profile, vector},
        crypto::Crypto,
    };
    examined("Milenage", |crypto| {
        let mut k = Secret::<32>::zeroed();
        // A PRK whose first half is K.
        crypto.hkdf_extract(b"salt", b"a subscriber", &mut k);
        let k = Secret::<16>::from_slice(&k.bytes()[..16]).unwrap();
        let op = Secret::from_slice(&[0xcd; 16]).unwrap();
        let mut opc = None;
        bench::painted(&mut || opc = Some(milenage::opc(&k, &op)));
        let opc = opc.unwrap();
        let mut set = None;
        bench::painted(&mut || set = Some(Milenage::new(&k, &opc)));
        let set = set.unwrap();
        let mut made = None;
        bench::painted(&mut || made = Some(vector(&set, &[7; 16], Sqn::from_bytes([0, 0, 0, 0, 1, 0]), [0x80, 0])));
        let made: Box<Vector> = made.unwrap();
        let mut card = Card::new(Milenage::new(&k, &opc), Profile::default());
        let mut answer = None;
        for _ in 0..2 {
            bench::painted(&mut || answer = Some(card.authenticate(&made.challenge)));
        }
        let Some(Answer::SyncFailure { auts }) = answer else { panic!("{answer:?}") };
        bench::painted(&mut || {
            resynchronise(&set, &[7; 16], &auts).unwrap();
        });
        let mut bytes = None;
        bench::painted(&mut || bytes = Some(card.to_bytes()));
        let mut array = remote_provisioning::aka::SqnArray::default();
        bench::painted(&mut || {
            authenticate(&set, &mut array, &made.challenge);
        });
    });
}
