//! A `kid` need not be unique (RFC 9528 §3.5.3): all credentials behind it are tried, and the proof tells which it is.

use remote_provisioning::{
    crypto::rustcrypto::RustCrypto,
    edhoc::{Method, OwnCredential, Suite},
    error::{Backend, Error, Misbehaved, Misuse, Untrusted},
    identity::{Domain, Role},
    trust::{
        Anchor, Candidates, CredentialId, Date, Issuer, MAX_CANDIDATES, Maker, MemoryAnchors, Pinned, Revocations,
        TrustAnchors, verify,
    },
};

use crate::lab::double::Double;
use crate::run::{
    DEVICE_KID, KEY, METHODS, OPERATOR_KID, Run, Step, anchors, ccs, ccs_with, fails, key_store, look_up, pin, with_run,
};

const NOW: Option<Date> = Some(Date(1_000));

/// All orders of these.
fn orders(names: &[&'static str]) -> Vec<Vec<&'static str>> {
    let Some((first, rest)) = names.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, first);
            all.push(order);
        }
    }
    all
}

/// Pinned keys with one `kid`, in this order.
fn namesakes(names: &[&str], kid: &[u8], role: Role) -> MemoryAnchors {
    anchors(&names.iter().map(|name| pin(&ccs(name, kid), role)).collect::<Vec<_>>())
}

#[test]
fn the_proof_tells_which_of_several_it_is() {
    for names in [&["device", "another"][..], &["device", "another", "third", "fourth"]] {
        for order in orders(names) {
            let devices = namesakes(&order, DEVICE_KID, Role::Device);
            let order: Vec<_> = order.iter().map(|name| if *name == "device" { "operator" } else { name }).collect();
            let operators = namesakes(&order, OPERATOR_KID, Role::Operator);
            let believe_device = |claimed: &CredentialId<'_>| {
                let candidates = look_up(claimed, Role::Device, &devices)?;
                assert_eq!(candidates.iter().count(), names.len());
                Ok(candidates)
            };
            let believe_operator = |claimed: &CredentialId<'_>| look_up(claimed, Role::Operator, &operators);
            for method in METHODS {
                with_run(method, Suite::CCM_16, |run| {
                    let mut run = run;
                    run.operator.believe = &believe_device;
                    run.device.believe = &believe_operator;
                    let done = run.go().unwrap();
                    assert_eq!(done.operator.peer().name().as_str(), "device", "{order:?} {method:?}");
                    assert_eq!(done.operator.peer().credential(), ccs("device", DEVICE_KID));
                    assert_eq!(done.device.peer().name().as_str(), "operator", "{order:?} {method:?}");
                    assert_eq!(done.device.peer().credential(), ccs("operator", OPERATOR_KID));
                });
            }
        }
    }
}

#[test]
fn none_of_several_is_one_failed_proof() {
    for (devices, operators) in [
        (&["another", "third"][..], &["operator"][..]),
        (&["device"], &["another", "third"]),
        (&["another", "third", "fourth", "fifth"], &["operator"]),
    ] {
        for method in METHODS {
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                let (known_devices, known_operators) =
                    (namesakes(devices, DEVICE_KID, Role::Device), namesakes(operators, OPERATOR_KID, Role::Operator));
                let believe_device = |claimed: &CredentialId<'_>| look_up(claimed, Role::Device, &known_devices);
                let believe_operator = |claimed: &CredentialId<'_>| look_up(claimed, Role::Operator, &known_operators);
                run.operator.believe = &believe_device;
                run.device.believe = &believe_operator;
                let step = if operators.len() > 1 { Step::Accept2 } else { Step::Accept3 };
                assert_eq!(run.end(), fails(step, Untrusted::Authentication), "{method:?}");
            });
        }
    }
}

/// A store that holds to no limit.
struct Endless(Vec<Pinned>);

impl TrustAnchors for Endless {
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

    fn pinned(&self, _: Role, _: Domain, _: &CredentialId<'_>, number: usize) -> Option<&Pinned> {
        self.0.get(number)
    }
}

#[test]
fn four_are_tried_and_no_more() {
    let names = ["one", "two", "three", "four", "device"];
    assert_eq!(names.len(), MAX_CANDIDATES + 1);
    // In memory there is no room for a fifth; for one with another kid, role or domain there is.
    let mut memory = namesakes(&names[..MAX_CANDIDATES], DEVICE_KID, Role::Device);
    let fifth = pin(&ccs("device", DEVICE_KID), Role::Device);
    assert_eq!(memory.add_pinned(fifth), Err(Misuse::Parameter("too many keys with one kid")));
    memory.add_pinned(pin(&ccs("device", OPERATOR_KID), Role::Device)).unwrap();
    memory.add_pinned(pin(&ccs("operator", DEVICE_KID), Role::Operator)).unwrap();
    // Without kid there is nothing to be confused.
    for name in ["a", "b", "c", "d", "e"] {
        memory.add_pinned(pin(&ccs_with(name, None, &[]), Role::Device)).unwrap();
    }

    for at in 0..names.len() {
        let mut pinned: Vec<_> = names.iter().map(|name| pin(&ccs(name, DEVICE_KID), Role::Device)).collect();
        let device = pinned.pop().unwrap();
        pinned.insert(at, device);
        let endless = Endless(pinned);
        let believe = |claimed: &CredentialId<'_>| {
            let candidates = verify(claimed, Role::Device, Domain::Test, &endless, &RustCrypto, None)?;
            assert_eq!(candidates.iter().count(), MAX_CANDIDATES);
            Ok(candidates)
        };
        for method in [Method::SignSign, Method::StaticStatic] {
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                run.operator.believe = &believe;
                let expected = (at == MAX_CANDIDATES).then_some(Untrusted::Authentication);
                assert_eq!(run.end(), expected.and_then(|error| fails(Step::Accept3, error)), "{at} {method:?}");
            });
        }
    }
}

/// The same key under one `kid` is one candidate; what has expired is none, wherever it stands.
#[test]
fn what_has_expired_does_not_stand_in_the_way() {
    let good = || pin(&ccs("device", DEVICE_KID), Role::Device);
    let expired = |name| pin(&ccs_with(name, Some(DEVICE_KID), &[(4, 1_000)]), Role::Device);
    let early = |name| pin(&ccs_with(name, Some(DEVICE_KID), &[(5, 1_001)]), Role::Device);
    let kid = CredentialId::Kid(DEVICE_KID);
    let names = |pinned: &[Pinned], date| {
        verify(&kid, Role::Device, Domain::Test, &anchors(pinned), &RustCrypto, date)
            .map(|candidates| candidates.iter().map(|peer| peer.name().to_string()).collect::<Vec<_>>())
    };
    let because = |reason: Untrusted| Err(Error::Untrusted(reason));
    let found = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(names(&[expired("old"), good()], NOW), found(&["device"]));
    assert_eq!(names(&[good(), expired("old")], NOW), found(&["device"]));
    assert_eq!(names(&[expired("old"), early("new"), good()], NOW), found(&["device"]));
    assert_eq!(names(&[expired("old")], NOW), because(Untrusted::Expired));
    assert_eq!(names(&[expired("old"), early("new")], NOW), because(Untrusted::NotYetValid));
    assert_eq!(names(&[expired("old"), early("new")], None), found(&["old", "new"]), "without a clock");
    assert_eq!(names(&[good(), expired("device")], Some(Date(999))), found(&["device", "device"]), "two credentials");
    assert_eq!(names(&[], NOW), because(Untrusted::UnknownCredential));

    let twice = Endless(vec![good(), good(), good(), good()]);
    let candidates = verify(&kid, Role::Device, Domain::Test, &twice, &RustCrypto, NOW).unwrap();
    assert_eq!(candidates.iter().count(), 1);

    for order in [[expired("old"), good()], [good(), expired("old")]] {
        let anchors = anchors(&order);
        for method in [Method::SignSign, Method::StaticStatic] {
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                let believe = |claimed: &CredentialId<'_>| {
                    verify(claimed, Role::Device, Domain::Test, &anchors, &RustCrypto, NOW)
                };
                run.operator.believe = &believe;
                assert_eq!(run.go().unwrap().operator.peer().name().as_str(), "device");
            });
        }
    }
    // The holder of the expired one is not let in on the other's account.
    with_run(Method::StaticStatic, Suite::CCM_8, |run| {
        let mut run = run;
        let (old, keys) = (expired("old"), key_store("old"));
        let anchors = anchors(&[old.clone(), good()]);
        let believe =
            |claimed: &CredentialId<'_>| verify(claimed, Role::Device, Domain::Test, &anchors, &RustCrypto, NOW);
        run.device.own = OwnCredential::pinned(KEY, &old).unwrap();
        run.device.keys = &keys;
        run.operator.believe = &believe;
        assert_eq!(run.end(), fails(Step::Accept3, Untrusted::Authentication));
    });
}

/// One of them is this side's own, or not for the method: the others are tried all the same, and alone it is what it was.
#[test]
fn one_that_cannot_be_does_not_stand_in_the_way() {
    for method in METHODS {
        with_run(method, Suite::CCM_8, |run| {
            let own = pin(run.operator.own.credential(), Role::Device);
            let device = pin(&ccs("device", OPERATOR_KID), Role::Device);
            let keys = key_store("device");
            let shown = Run {
                device: crate::run::Side {
                    own: OwnCredential::pinned(KEY, &device).unwrap(),
                    keys: &keys,
                    ..run.device.clone()
                },
                ..run.clone()
            };
            for order in [vec![own.clone(), device.clone()], vec![device, own.clone()]] {
                let anchors = anchors(&order);
                let believe = |claimed: &CredentialId<'_>| look_up(claimed, Role::Device, &anchors);
                let mut run = shown.clone();
                run.operator.believe = &believe;
                assert_eq!(run.end(), None, "{method:?}");
            }
            let anchors = anchors(&[own]);
            let believe = |claimed: &CredentialId<'_>| look_up(claimed, Role::Device, &anchors);
            let mut run = shown;
            run.operator.believe = &believe;
            assert_eq!(run.end(), fails(Step::Accept3, Misbehaved::OwnCredential), "{method:?}");
        });
    }
}

/// A backend that fails in the middle says nothing about anybody, and ends the search.
#[test]
fn a_backend_that_fails_is_no_verdict() {
    let operators = namesakes(&["another", "operator"], OPERATOR_KID, Role::Operator);
    let believe = |claimed: &CredentialId<'_>| look_up(claimed, Role::Operator, &operators);
    with_run(Method::StaticStatic, Suite::CCM_8, |run| {
        let mut run = run;
        run.device.believe = &believe;
        // In reading message_2 one agreement is made; the first candidate needs the second one.
        let faulty = crate::again::Faulty::at(1, Backend::Crypto, &["crypto.agree"]);
        let crypto = Double::new(&faulty);
        run.device.crypto = &crypto;
        assert_eq!(run.end(), fails(Step::Accept2, Backend::Crypto));
        faulty.rearm(1);
        run.patience = 1;
        assert_eq!(run.end(), None);
        assert_eq!(run.came_back.borrow().as_slice(), [crate::run::Failed(Step::Accept2, Backend::Crypto.into())]);
    });
}

/// Whatever the kind: a `kid` names no CCS by value, and no other role's or domain's key.
#[test]
fn a_pinned_key_is_for_one_name_one_role_and_one_domain() {
    let bytes = ccs("device", DEVICE_KID);
    let pinned = pin(&bytes, Role::Device);
    let is_for = |role, domain, claimed: &CredentialId<'_>| pinned.is_for(role, domain, claimed);
    assert!(is_for(Role::Device, Domain::Test, &CredentialId::Kid(DEVICE_KID)));
    assert!(is_for(Role::Device, Domain::Test, &CredentialId::Ccs(&bytes)));
    assert!(!is_for(Role::Operator, Domain::Test, &CredentialId::Kid(DEVICE_KID)));
    assert!(!is_for(Role::Device, Domain::Production, &CredentialId::Kid(DEVICE_KID)));
    assert!(!is_for(Role::Operator, Domain::Test, &CredentialId::Ccs(&bytes)));
    assert!(!is_for(Role::Device, Domain::Production, &CredentialId::Ccs(&bytes)));
    assert!(!is_for(Role::Device, Domain::Test, &CredentialId::Kid(&bytes)));
    assert!(!is_for(Role::Device, Domain::Test, &CredentialId::Cwt(&bytes)));
    let verified: Candidates = look_up(&CredentialId::Kid(DEVICE_KID), Role::Device, &anchors(&[pinned])).unwrap();
    assert_eq!(verified.into_iter().count(), 1);
}
