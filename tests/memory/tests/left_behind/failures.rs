//! This side's own machinery fails at its n-th call, for every n; and clocks that do not say the time.

use std::collections::BTreeSet;

use remote_provisioning::{credential::Activation, edhoc::Method, error::Backend, provisioning::device::Goal};

use crate::{
    bench::{self, examined},
    lab::{Clock, Lab, Wrong},
};

type Fails = fn(&mut Lab, bench::Crypto, usize);

/// What can fail, and how one says when.
const SOURCES: [(&str, Fails); 6] = [
    ("store", |lab, _, n| lab.store.good_for = Some(n)),
    ("random source", |lab, _, n| lab.rng.good_for = Some(n)),
    ("the device's key store", |lab, _, n| lab.device_keys.fail_after(n, usize::MAX, Backend::Key)),
    ("the operator's key store", |lab, _, n| lab.operator_keys.fail_after(n, usize::MAX, Backend::Key)),
    ("the operator's key store, once, for it is slow", |lab, _, n| {
        lab.operator_keys.fail_after(n, 1, Backend::KeyPending)
    }),
    ("backend", |_, crypto, n| crypto.watch.fail_after(Some(n))),
];

pub(crate) fn every_failure() {
    for method in [Method::SignSign, Method::StaticStatic] {
        for (what, fails) in SOURCES {
            let mut errors = BTreeSet::new();
            for n in 0.. {
                let mut ended = Ok(());
                examined(&format!("{method:?}, {what} fails at call {n}"), |crypto| {
                    let lab = if method == Method::SignSign { Lab::attested(8) } else { Lab::raw(8) };
                    let mut lab = bench::lab(lab, crypto);
                    (lab.device_config.method, lab.operator_config.methods) = (method, vec![method]);
                    lab.home.activation = Activation::TwoPhase;
                    fails(&mut lab, crypto, n);
                    ended = lab.go(Goal::Provision);
                });
                match ended {
                    Ok(()) => break,
                    Err(error) => errors.insert(format!("{error:?}")),
                };
                assert!(n < 400, "{what}");
            }
            assert!(!errors.is_empty(), "{what}");
        }
    }
    examined("the USIM fails", |crypto| {
        let mut lab = bench::lab(Lab::new(8), crypto);
        lab.card.broken = true;
        assert!(lab.go(Goal::Provision).is_err());
    });
}

/// The clocks of both sides, and the device's calendar, at every call of a machine.
pub(crate) fn every_clock() {
    for wrong in [Wrong::Back, Wrong::Forward, Wrong::Still, Wrong::NoDate] {
        for once in [true, false] {
            for n in 0.. {
                let mut moves = 0;
                examined(&format!("clocks: {wrong:?} at call {n}, once: {once}"), |crypto| {
                    let mut lab = bench::lab(Lab::attested(9), crypto);
                    lab.home.activation = Activation::TwoPhase;
                    lab.clock = Some(Clock { good_for: n, wrong, once, moves: 0 });
                    let _ = lab.go(Goal::Provision);
                    moves = lab.clock.unwrap().moves;
                });
                if usize::try_from(moves).unwrap() <= n {
                    break;
                }
            }
        }
    }
}
