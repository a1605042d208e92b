//! A new credential, in one step or in two: what is durable when, and what every interruption leaves behind.

use remote_provisioning::{
    aka::Answer as Aka,
    credential::SoftUsim,
    error::Backend,
    identity::Supi,
    provisioning::{
        Answer, Question,
        device::{attach_failed, authenticate, in_use},
        message::{Operation, Standing},
        question::UpTo,
    },
    store::SubscriptionStore,
};

use super::*;
use crate::lab::{from_device, name};

/// Whether the core's next challenge for this SUPI is answered rightly.
fn attaches(lab: &mut Lab, supi: &Supi) -> bool {
    let Ok(vector) = lab.home.challenge(supi, &mut lab.rng) else { return false };
    match authenticate(&vector.challenge, &mut lab.store, &mut SoftUsim) {
        Ok(Aka::Success(keys)) => keys.res.bytes() == vector.keys.res.bytes(),
        _ => false,
    }
}

/// What the device would attach with works.
fn is_served(lab: &mut Lab) -> bool {
    in_use(&lab.store).unwrap().is_some_and(|held| attaches(lab, &held.id.supi))
}

#[test]
fn each_way_takes_its_messages_its_writes_and_its_log_entries() {
    for ((way, mut lab, goal), (messages, writes, log)) in ways(1).into_iter().zip([
        (6, 3, vec!["offered", "confirmed"]),
        (8, 4, vec!["offered", "prepared", "commit", "confirmed"]),
        (8, 4, vec!["offered", "prepared", "commit", "confirmed", "cleared"]),
        (8, 4, vec!["offered", "prepared", "commit", "confirmed"]),
    ]) {
        let before = (lab.store.memory.commits(), lab.logged().len(), lab.held().map(|(held, _)| held));
        lab.goal = goal;
        let mut session = lab.session(messages);
        lab.step(&mut session).unwrap();
        assert_eq!(session.messages.len(), messages, "{way}");
        assert_eq!(lab.store.memory.commits() - before.0, writes, "{way}");
        assert_eq!(lab.logged()[before.1..], log, "{way}");
        let (held, complete) = lab.held().unwrap();
        assert!(complete && is_served(&mut lab), "{way}");
        assert_eq!(lab.kept(), (false, 0), "{way}: nothing is open, every receipt is acknowledged");
        match before.2 {
            None => assert_eq!(held.id.epoch, 1, "{way}"),
            Some(old) => {
                assert_eq!(held.id.epoch, old.id.epoch + 1, "{way}");
                assert_eq!(held.id.supi == old.id.supi, way == "mode S", "{way}");
                assert_eq!(lab.card.erased.len(), 1, "{way}: the old slot");
                assert_eq!(lab.home.subscribers().count(), 1, "{way}: the core has forgotten the old one");
            }
        }
        let account = lab.account();
        let active = account.active().unwrap();
        assert_eq!((active.supi.as_str(), active.epoch), (held.id.supi.as_str(), held.id.epoch), "{way}");
        assert!(account.open().is_none() && account.leftovers().is_empty(), "{way}");
    }
}

/// After any message that is lost, with a power cut on top: the device is served, and the next starts finish it.
#[test]
fn every_interruption_leaves_a_device_that_is_served_and_the_next_start_finishes() {
    for messages in 1..=8 {
        for (way, mut lab, goal) in ways(2) {
            let at = format!("{way}, message {messages} is lost");
            let had = lab.held().is_some();
            if way == "one-shot" && messages > 6 {
                continue;
            }
            lab.goal = goal;
            lab.session(messages);
            lab.power_cut();
            let complete = |lab: &Lab| matches!(lab.held(), Some((_, true))) && lab.account().open().is_none();
            assert!(!had || is_served(&mut lab), "{at}");
            let mut starts = 0;
            while !complete(&lab) || lab.account().active().unwrap().epoch == u32::from(had) {
                assert_eq!(lab.run(), Ok(()), "{at}");
                assert!(is_served(&mut lab), "{at}");
                starts += 1;
                assert!(starts <= 2, "{at}");
            }
            let (held, _) = lab.held().unwrap();
            let account = lab.account();
            assert_eq!(account.active().unwrap().epoch, held.id.epoch, "{at}");
            assert_eq!(lab.home.subscribers().count(), 1, "{at}");
            assert!(lab.logged().iter().filter(|entry| **entry == "commit").count() <= 1, "{at}");
        }
    }
}

/// Between `prepared` and `complete` the operator can exchange K in its core at any moment.
#[test]
fn in_mode_s_the_device_answers_under_either_key_until_it_is_told_complete() {
    for messages in 1..=8 {
        let mut lab = subscriber(3);
        lab.home.mode = Previous::Shared;
        let (old, _) = lab.held().unwrap();
        let kept = lab.home.challenge(&old.id.supi, &mut lab.rng).unwrap();
        lab.goal = Goal::Rekey;
        lab.session(messages);
        assert!(is_served(&mut lab), "{messages}: whatever the core has");
        // A vector that a serving network kept from before.
        let answer = authenticate(&kept.challenge, &mut lab.store, &mut SoftUsim).unwrap();
        let right = matches!(&answer, Aka::Success(keys) if keys.res.bytes() == kept.keys.res.bytes());
        let sync = matches!(answer, Aka::SyncFailure { .. });
        assert!(right || sync, "{messages}: {answer:?}");
    }
    let mut lab = subscriber(3);
    lab.home.mode = Previous::Shared;
    let (old, _) = lab.held().unwrap();
    let kept = lab.home.challenge(&old.id.supi, &mut lab.rng).unwrap();
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
    let answer = authenticate(&kept.challenge, &mut lab.store, &mut SoftUsim).unwrap();
    assert!(matches!(answer, Aka::MacFailure), "the old K is gone");
}

/// Beside one another, the device falls back to what it had, by attempts, and comes again.
#[test]
fn in_mode_n_a_device_that_cannot_attach_falls_back_in_turns() {
    let mut lab = subscriber(4);
    let (old, _) = lab.held().unwrap();
    lab.goal = Goal::Rekey;
    lab.session(8); // `complete` is lost.
    let (new, complete) = lab.held().unwrap();
    assert!(!complete && new != old);
    for turn in 0..4 {
        for _ in 0..3 {
            assert_eq!(in_use(&lab.store).unwrap(), Some(if turn % 2 == 0 { new } else { old }), "{turn}");
            attach_failed(&mut lab.store).unwrap();
        }
    }
    assert_eq!(lab.run(), Ok(()), "resume");
    // With one credential there is nothing to fall back to, and nothing is written for it.
    let before = lab.fingerprint();
    for _ in 0..5 {
        attach_failed(&mut lab.store).unwrap();
    }
    assert_eq!((in_use(&lab.store).unwrap(), lab.fingerprint()), (Some(new), before));
    assert!(is_served(&mut lab));
}

#[test]
fn a_core_that_does_not_take_the_new_credential_has_it_called_off_and_the_old_one_stays() {
    for (way, mut lab, goal) in ways(5).into_iter().skip(1) {
        let old = lab.held();
        lab.refusing = Some(("core", Code::TryLater));
        let logged = lab.logged().len();
        assert_eq!(lab.go(goal.clone()), Err(Refused::Aborted.into()), "{way}");
        let mut expected = vec!["offered", "prepared", "abort", "aborted"];
        // Under a SUPI of its own, the core is told to take none of it later.
        expected.extend((way != "mode S").then_some("cleared"));
        assert_eq!(lab.logged()[logged..], expected, "{way}");
        assert_eq!((lab.held(), lab.kept()), (old, (false, 0)), "{way}");
        assert!(old.is_none() || is_served(&mut lab), "{way}");
        // What was called off stays so, and another transaction goes well.
        lab.refusing = None;
        assert_eq!(lab.go(goal), Ok(()), "{way}");
        assert!(is_served(&mut lab), "{way}");
        assert_eq!(lab.home.subscribers().count(), 1, "{way}");
    }
}

/// The core took it, and its answer got lost: then it is read back, and the answer is yes.
#[test]
fn a_core_that_took_it_and_did_not_say_so_is_read_back() {
    for (way, mut lab, goal) in ways(6).into_iter().skip(1) {
        lab.goal = goal;
        let mut session = lab.session(5);
        lab.stopping = Some("core");
        let prepared = session.message(5);
        lab.tell_operator(&mut session.operator, &prepared).unwrap();
        let open = lab.serve(&mut session.operator).open.unwrap();
        let answer = lab.home.answer(open);
        assert!(matches!(answer, Answer::CoreReady(Ok(()))), "{way}");
        lab.stopping = None;
        lab.answer(&mut session.operator, Answer::CoreReady(Err(Code::TryLater))).unwrap();
        let out = lab.serve(&mut session.operator);
        assert_eq!(out.asked, ["read core", "log decision"], "{way}");
        session.messages.extend(out.sent);
        while session.messages.len() < 8 {
            lab.step(&mut session).unwrap();
        }
        lab.step(&mut session).unwrap();
        assert!(matches!(lab.held(), Some((_, true))) && is_served(&mut lab), "{way}");
    }
}

/// As long as nobody can say what the core has, nothing is decided.
#[test]
fn a_core_that_cannot_be_read_leaves_everything_open() {
    for (way, mut lab, goal) in ways(7).into_iter().skip(1) {
        let old = lab.held();
        lab.goal = goal;
        let mut session = lab.session(5);
        lab.stopping = Some("core");
        let prepared = session.message(5);
        lab.tell_operator(&mut session.operator, &prepared).unwrap();
        drop(lab.serve(&mut session.operator).open.unwrap());
        lab.stopping = None;
        lab.refusing = Some(("read core", Code::TryLater));
        lab.answer(&mut session.operator, Answer::CoreReady(Err(Code::TryLater))).unwrap();
        let out = lab.serve(&mut session.operator);
        assert_eq!(out.finished, [Err(Error::Declined(Code::TryLater))], "{way}");
        let outcome = lab.tell_device(&mut session.device, &out.sent[0]);
        assert_eq!(outcome, refused(Code::TryLater), "{way}");
        assert!(from_device(&mut session.device).again.is_some(), "{way}: it comes again");
        assert_eq!(lab.held(), old, "{way}");
        lab.refusing = None;
        assert_eq!(lab.run(), Ok(()), "{way}: resume");
        assert!(matches!(lab.held(), Some((_, true))) && is_served(&mut lab), "{way}");
    }
}

/// Its log was restored from an older state, at any point; device and core are ahead of it.
#[test]
fn an_operator_whose_log_was_set_back_learns_from_the_device_and_the_core() {
    for (way, _, _) in ways(8) {
        for messages in 4..=9 {
            for keep in 0..5 {
                let (_, mut lab, goal) = ways(8).into_iter().find(|(name, ..)| *name == way).unwrap();
                let old = lab.logged().len();
                if way == "one-shot" && messages > 7 {
                    continue;
                }
                let at = format!("{way}, {messages} messages, {keep} entries left");
                lab.goal = goal;
                let full = if way == "one-shot" { 6 } else { 8 };
                let mut session = lab.session(messages.min(full));
                if messages > full {
                    lab.step(&mut session).unwrap();
                }
                lab.home.restore(old + keep);
                let before = lab.held();
                let done = matches!(before, Some((held, true)) if held.id.epoch > u32::from(old > 0));
                lab.goal = if done { Goal::Query } else { lab.goal };
                let outcome = lab.run();
                let served = is_served(&mut lab);
                assert!(served || before.is_none(), "{at}: {outcome:?}");
                // Prepared, and neither log nor core know of it: then it is let go.
                let lost = (messages, keep) == (5, 0) && way != "one-shot";
                assert_eq!(outcome, if lost { Err(Refused::Aborted.into()) } else { Ok(()) }, "{at}");
                if lost {
                    assert_eq!(lab.run(), Ok(()), "{at}: another one");
                }
                let (held, complete) = lab.held().unwrap();
                let account = lab.account();
                let active = account.active().unwrap();
                assert!(complete, "{at}");
                assert_eq!((active.supi.as_str(), active.epoch), (held.id.supi.as_str(), held.id.epoch), "{at}");
            }
        }
    }
}

#[test]
fn the_request_counter_is_in_the_entry_that_prepares() {
    use remote_provisioning::provisioning::log::What;
    let mut lab = subscriber(9);
    lab.travelling = Some(0);
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
    let counters: Vec<_> = lab
        .home
        .entries()
        .filter_map(|entry| match entry.what {
            What::Offered(offered) => Some(("offered", offered.request.counter)),
            What::Prepared(signed) => Some(("prepared", signed.request.counter)),
            What::Ended(signed) => Some(("ended", signed.request.counter)),
            _ => None,
        })
        .collect();
    let expected = [("offered", 1), ("ended", 1), ("offered", 2), ("prepared", 2), ("ended", 2)];
    assert_eq!(counters, expected.map(|(what, request)| (what, (request, 0))));
    assert_eq!(lab.account().watch().counter(), (2, 0));
}

/// A store that fails at any commit keeps what it had; a later start goes on.
#[test]
fn every_commit_can_fail() {
    for (way, mut lab, goal) in ways(10) {
        for good in 1..4 {
            let old = lab.held();
            let account = lab.account();
            lab.store.good_for = Some(good);
            let outcome = match lab.go(goal.clone()) {
                Ok(()) => break,
                Err(error) => error,
            };
            assert_eq!(outcome, Backend::Store.into(), "{way} {good}");
            lab.store.good_for = None;
            assert!(old.is_none() || is_served(&mut lab), "{way} {good}");
            // Finish what is open, so that the next round begins anew.
            while lab.account().open().is_some() || lab.kept().0 {
                assert_eq!(lab.run(), Ok(()), "{way} {good}");
            }
            assert!(is_served(&mut lab), "{way} {good}");
            assert!(lab.account().active().unwrap().epoch > account.active().map_or(0, |active| active.epoch));
            if matches!(goal, Goal::Provision) {
                break;
            }
        }
    }
}

#[test]
fn a_key_store_that_is_slow_is_asked_again_for_every_receipt() {
    for (way, mut lab, goal) in ways(11) {
        lab.goal = goal;
        let mut session = lab.session(2);
        loop {
            let (count, message) = (session.messages.len(), session.messages.last().unwrap().clone());
            if count.is_multiple_of(2) {
                // Every signature is late by one call.
                lab.device_keys.fail(1, Backend::KeyPending);
                let mut outcome = lab.tell_device(&mut session.device, &message);
                while outcome == Err(Backend::KeyPending.into()) {
                    outcome = lab.tell_device(&mut session.device, &message);
                }
                lab.device_keys.fail(0, Backend::KeyPending);
                assert_eq!(outcome, Ok(()), "{way} {count}");
                let out = from_device(&mut session.device);
                session.messages.extend(out.sent);
                if !out.finished.is_empty() {
                    assert_eq!(out.finished, [Ok(())], "{way}");
                    break;
                }
            } else {
                lab.step(&mut session).unwrap();
            }
        }
        assert!(matches!(lab.held(), Some((_, true))) && is_served(&mut lab), "{way}");
    }
}

/// Every question of every operation is answered with every code once: the device is told, and holds what it held.
#[test]
fn a_refusal_at_any_question_changes_nothing_that_the_device_has() {
    let questions = ["appraise", "reserve", "opc", "log offer", "log prepared", "log decision", "log confirm"];
    for question in questions {
        for code in Code::ALL {
            for (way, mut lab, goal) in ways(12) {
                let at = format!("{way}, {question}, {code:?}");
                let old = lab.held();
                lab.refusing = Some((question, code));
                let outcome = lab.go(goal);
                if way == "one-shot" && (question == "log prepared" || question == "log decision") {
                    assert_eq!(outcome, Ok(()), "{at}");
                    continue;
                }
                assert_eq!(outcome, refused(code), "{at}");
                if question != "log confirm" {
                    assert_eq!(lab.held(), old, "{at}");
                }
                assert!(lab.held().is_none() || is_served(&mut lab), "{at}");
                lab.refusing = None;
                assert_eq!(lab.run(), Ok(()), "{at}: later");
                assert!(is_served(&mut lab), "{at}");
            }
        }
    }
}

#[test]
fn a_goal_that_does_not_fit_what_the_device_has_is_misuse_and_writes_nothing() {
    use remote_provisioning::error::Misuse;
    let grant = Goal::OnDemand(b"x".into());
    let none = Err(Misuse::NotNow("the device has no subscription").into());
    let some = Err(Misuse::NotNow("the device has a subscription").into());
    let bad = Err(Misuse::Parameter("the grant is no COSE_Sign1").into());
    type Cases = Vec<(Goal, Result<(), Error>)>;
    let cases: Vec<(Lab, Cases)> = vec![
        (
            Lab::new(13),
            vec![
                (Goal::Rekey, none),
                (Goal::Reassociate, none),
                (Goal::Transfer, none),
                (Goal::Retire, none),
                (grant, bad),
            ],
        ),
        (subscriber(13), vec![(Goal::Provision, some)]),
    ];
    for (mut lab, goals) in cases {
        for (goal, expected) in goals {
            let before = lab.fingerprint();
            lab.goal = goal.clone();
            assert_eq!(lab.start().map(|_| ()), expected, "{goal:?}");
            assert_eq!(lab.fingerprint(), before, "{goal:?}");
        }
    }
}

/// What is open comes first, whatever the device is after.
#[test]
fn whatever_the_goal_an_open_transaction_is_resumed() {
    for goal in [Goal::Rekey, Goal::Query, Goal::Retire, Goal::Provision] {
        let mut lab = subscriber(14);
        lab.goal = Goal::Rekey;
        lab.session(6);
        lab.goal = goal.clone();
        lab.stopping = Some("appraise");
        let mut session = lab.session(3);
        let message = session.message(3);
        lab.tell_operator(&mut session.operator, &message).unwrap();
        let Some(Question::Appraise(visitor)) = lab.serve(&mut session.operator).open else { panic!("{goal:?}") };
        assert_eq!((visitor.operation, visitor.state.pending), (Operation::Resume, Some(2)), "{goal:?}");
        lab.stopping = None;
        assert_eq!(lab.go(goal.clone()), Ok(()), "{goal:?}");
        assert_eq!(lab.account().standing(), Standing::InService, "{goal:?}: it was a resume");
        assert_eq!(lab.held().map(|(held, complete)| (held.id.epoch, complete)), Some((2, true)), "{goal:?}");
        assert!(lab.store.record().unwrap().is_some());
    }
    assert_eq!(name(&Question::ReadCore(UpTo { supi: "001010000000000".parse().unwrap(), epoch: 1 })), "read core");
}
