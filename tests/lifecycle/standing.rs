//! What an operator does by itself, and what the device hears of it; giving back; a whole fleet.

use remote_provisioning::{
    crypto::rustcrypto::RustCrypto,
    error::Misuse,
    provisioning::{
        Answer, Millis, Question, Task,
        campaign::{Campaign, Next, Outcome, Pace, Progress},
        log::What,
        message::{Operation, Standing},
    },
};

use super::*;
use crate::lab::{FromDevice, from_device, name};

/// Runs the device's next session, and what it was told in it.
fn contact(lab: &mut Lab, goal: Goal) -> (Result<(), Error>, FromDevice) {
    lab.goal = goal;
    let mut session = lab.session(1);
    let mut all = FromDevice::default();
    loop {
        let (count, message) = (session.messages.len(), session.messages.last().unwrap().clone());
        if count.is_multiple_of(2) {
            let _ = lab.tell_device(&mut session.device, &message);
            let out = from_device(&mut session.device);
            session.messages.extend(out.sent);
            all.told.extend(out.told);
            all.erased += out.erased;
            all.installed.extend(out.installed);
            if let [end] = *out.finished {
                return (end, all);
            }
        } else {
            lab.tell_operator(&mut session.operator, &message).unwrap();
            session.messages.extend(lab.serve(&mut session.operator).sent);
        }
        assert!(session.messages.len() > count, "nobody says anything more");
    }
}

fn attaches(lab: &mut Lab) -> bool {
    let Some((held, _)) = lab.held() else { return false };
    let Ok(vector) = lab.home.challenge(&held.id.supi, &mut lab.rng) else { return false };
    let usim = &mut remote_provisioning::credential::SoftUsim;
    let answer = remote_provisioning::provisioning::device::authenticate(&vector.challenge, &mut lab.store, usim);
    matches!(answer, Ok(remote_provisioning::aka::Answer::Success(keys)) if keys.res.bytes() == vector.keys.res.bytes())
}

fn suspend(lab: &mut Lab) {
    let task = Task::suspend(&lab.device_id(), &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
}

fn revoke(lab: &mut Lab) {
    let task = Task::revoke(&lab.device_id(), &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
}

fn log(lab: &mut Lab, what: What) {
    let entry = lab.account().entry(&lab.device_id().to_string(), what);
    lab.home.log(&entry).unwrap();
}

#[test]
fn a_query_tells_how_things_stand_and_what_is_wanted() {
    let mut lab = subscriber(1);
    let (end, out) = contact(&mut lab, Goal::Query);
    assert_eq!((end, out.told.as_slice()), (Ok(()), &[(Standing::InService, None)][..]));
    log(&mut lab, What::Wanted(Operation::Rekey));
    let (end, out) = contact(&mut lab, Goal::Query);
    assert_eq!((end, out.told.as_slice()), (Ok(()), &[(Standing::InService, Some(Operation::Rekey))][..]));
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
    let (_, out) = contact(&mut lab, Goal::Query);
    assert_eq!(out.told, [(Standing::InService, None)], "it is done");
    // A factory-new device may ask too: there is nothing, and nothing is open afterwards.
    let mut lab = Lab::new(1);
    let (end, out) = contact(&mut lab, Goal::Query);
    assert_eq!((end, out.told.as_slice()), (Ok(()), &[(Standing::InService, None)][..]));
    assert_eq!(lab.held(), None);
}

#[test]
fn suspended_the_core_lets_nobody_in_and_the_device_keeps_what_it_has() {
    let mut lab = subscriber(2);
    let held = lab.held();
    suspend(&mut lab);
    assert!(!attaches(&mut lab));
    assert_eq!(lab.account().standing(), Standing::Suspended);
    for goal in [Goal::Rekey, Goal::Reassociate] {
        assert_eq!(lab.go(goal), refused(Code::Suspended));
    }
    let (end, out) = contact(&mut lab, Goal::Query);
    assert_eq!((end, out.told.as_slice()), (Ok(()), &[(Standing::Suspended, None)][..]));
    assert_eq!(lab.held(), held);
    assert!(Task::suspend(&lab.device_id(), &lab.account()).is_err(), "it is");
    let task = Task::reinstate(&lab.device_id(), &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    assert!(attaches(&mut lab));
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
    assert_eq!(lab.logged().iter().filter(|entry| matches!(**entry, "barred" | "reinstated")).count(), 2);
}

/// The core first: between the two, nobody gets in whom the log calls barred.
#[test]
fn a_task_that_stops_anywhere_is_made_again_and_does_the_rest() {
    for (at, code) in [("bar", Code::TryLater), ("log other", Code::TryLater)] {
        let mut lab = subscriber(3);
        lab.refusing = Some((at, code));
        let task = Task::suspend(&lab.device_id(), &lab.account()).unwrap();
        assert_eq!(lab.carry_out(task), Err(Error::Declined(code)), "{at}");
        assert_eq!(attaches(&mut lab), at == "bar", "{at}: barred before it is logged");
        lab.refusing = None;
        suspend(&mut lab);
        assert!(!attaches(&mut lab), "{at}");
    }
    // Reinstating logs first, for the same reason.
    let mut lab = subscriber(3);
    suspend(&mut lab);
    lab.refusing = Some(("admit", Code::TryLater));
    let task = Task::reinstate(&lab.device_id(), &lab.account()).unwrap();
    assert_eq!(lab.carry_out(task), Err(Error::Declined(Code::TryLater)));
    assert!(!attaches(&mut lab));
    lab.refusing = None;
    let task = Task::reinstate(&lab.device_id(), &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    assert!(attaches(&mut lab));
    // An answer to something else changes nothing.
    let mut task = Task::suspend(&lab.device_id(), &lab.account()).unwrap();
    assert!(matches!(task.answer(Answer::CoreReady(Ok(())), &RustCrypto), Err(Error::Misuse(Misuse::NotNow(_)))));
    let Some(Question::BarInCore(_)) = task.poll() else { panic!("the core first") };
    assert!(task.poll().is_none());
    assert!(matches!(task.answer(Answer::Logged(Ok(())), &RustCrypto), Err(Error::Misuse(Misuse::NotNow(_)))));
    task.answer(Answer::CoreReady(Ok(())), &RustCrypto).unwrap();
    assert_eq!(task.poll().as_ref().map(name), Some("log other"));
}

#[test]
fn revoked_the_device_is_unreachable_until_it_signs_that_all_is_gone() {
    for goal in [Goal::Query, Goal::Rekey, Goal::Retire, Goal::Reassociate] {
        let mut lab = subscriber(4);
        revoke(&mut lab);
        assert!(!attaches(&mut lab) && lab.held().is_some());
        assert_eq!(lab.account().standing(), Standing::RevokedUnreachable);
        let before = lab.store.memory.commits();
        let (end, out) = contact(&mut lab, goal.clone());
        assert_eq!((end, out.erased), (Ok(()), 1), "{goal:?}");
        assert_eq!(out.told, [(Standing::RevokedUnreachable, None)], "{goal:?}");
        assert!(lab.store.memory.commits() - before <= 4, "{goal:?}");
        assert_eq!((lab.held(), lab.account().standing()), (None, Standing::Revoked), "{goal:?}");
        assert_eq!(lab.home.subscribers().count(), 0, "{goal:?}");
        assert_eq!(lab.card.erased.len(), 1, "{goal:?}");
        // And it stays so, until the operator says otherwise.
        assert_eq!(lab.go(Goal::Provision), refused(Code::Revoked), "{goal:?}");
        let task = Task::reinstate(&lab.device_id(), &lab.account()).unwrap();
        lab.carry_out(task).unwrap();
        assert_eq!(lab.go(Goal::Provision), Ok(()), "{goal:?}");
        assert!(attaches(&mut lab), "{goal:?}");
    }
}

/// Whichever message of the erasure is lost: the next start finishes it.
#[test]
fn an_erasure_that_is_interrupted_is_finished() {
    for retire in [false, true] {
        for messages in 1..=6 {
            let mut lab = subscriber(5);
            let goal = if retire { Goal::Retire } else { Goal::Query };
            if !retire {
                revoke(&mut lab);
            }
            lab.goal = goal.clone();
            lab.session(messages);
            lab.power_cut();
            let at = format!("retire {retire}, message {messages}");
            for _ in 0..2 {
                if lab.held().is_some() || lab.kept().0 {
                    assert_eq!(lab.go(goal.clone()), Ok(()), "{at}");
                }
            }
            let gone = if retire { Standing::Retired } else { Standing::Revoked };
            assert_eq!((lab.held(), lab.account().standing()), (None, gone), "{at}");
            assert_eq!((lab.home.subscribers().count(), lab.kept()), (0, (false, 0)), "{at}");
        }
    }
}

/// Revoked in the middle of a re-key: both credentials go.
#[test]
fn a_revocation_ends_whatever_is_open() {
    for messages in 4..=8 {
        let mut lab = subscriber(6);
        lab.goal = Goal::Rekey;
        lab.session(messages);
        revoke(&mut lab);
        let (end, out) = contact(&mut lab, Goal::Query);
        assert_eq!((end, out.erased), (Ok(()), 1), "{messages}");
        assert_eq!((lab.held(), lab.account().standing()), (None, Standing::Revoked), "{messages}");
        assert_eq!(lab.home.subscribers().count(), 0, "{messages}");
        assert!(lab.account().leftovers().is_empty(), "{messages}");
    }
}

/// Also a first one that is only prepared: nobody owns the device yet, as far as it knows.
#[test]
fn a_revocation_ends_a_first_credential_that_is_prepared() {
    let mut lab = Lab::new(30);
    lab.home.activation = Activation::TwoPhase;
    lab.goal = Goal::Provision;
    lab.session(5);
    revoke(&mut lab);
    let (end, out) = contact(&mut lab, Goal::Provision);
    assert_eq!((end, out.erased), (Ok(()), 1));
    assert_eq!((lab.held(), lab.account().standing()), (None, Standing::Revoked));
}

#[test]
fn a_device_that_gives_its_subscription_back_can_be_provisioned_again() {
    let mut lab = subscriber(7);
    let (old, _) = lab.held().unwrap();
    let (end, out) = contact(&mut lab, Goal::Retire);
    assert_eq!((end, out.erased, out.told), (Ok(()), 1, vec![(Standing::Retiring, None)]));
    assert_eq!((lab.held(), lab.account().standing()), (None, Standing::Retired));
    assert_eq!(lab.home.subscribers().count(), 0);
    assert_eq!(lab.logged(), ["offered", "confirmed", "barred", "erased", "cleared"]);
    assert_eq!(lab.go(Goal::Provision), Ok(()), "its factory identity is not used up");
    let (new, _) = lab.held().unwrap();
    assert!(new.id.epoch > old.id.epoch && attaches(&mut lab));
}

/// A core that does not bar: nothing is erased, and the device asks again.
#[test]
fn nothing_is_erased_before_the_core_has_barred_it() {
    let mut lab = subscriber(8);
    lab.refusing = Some(("bar", Code::TryLater));
    let held = lab.held();
    assert_eq!(lab.go(Goal::Retire), refused(Code::TryLater));
    assert_eq!((lab.held(), lab.account().standing()), (held, Standing::Retiring));
    assert!(attaches(&mut lab));
    lab.refusing = None;
    assert_eq!(lab.go(Goal::Retire), Ok(()));
    assert_eq!((lab.held(), lab.account().standing()), (None, Standing::Retired));
}

/// What the core could not forget is forgotten at the next contact, or by a task.
#[test]
fn what_is_left_over_is_cleared_later() {
    for by_task in [false, true] {
        let mut lab = subscriber(9);
        lab.refusing = Some(("remove", Code::TryLater));
        assert_eq!(lab.go(Goal::Rekey), Ok(()));
        assert_eq!((lab.account().leftovers().len(), lab.home.subscribers().count()), (1, 2));
        lab.refusing = None;
        if by_task {
            let task = Task::clear(&lab.device_id(), &lab.account()).unwrap();
            lab.carry_out(task).unwrap();
        } else {
            assert_eq!(lab.go(Goal::Query), Ok(()));
        }
        assert_eq!((lab.account().leftovers().len(), lab.home.subscribers().count()), (0, 1));
        assert!(attaches(&mut lab));
    }
    // With too many of them, nothing new is issued.
    let mut lab = subscriber(9);
    lab.refusing = Some(("remove", Code::TryLater));
    for _ in 0..4 {
        assert_eq!(lab.go(Goal::Rekey), Ok(()));
    }
    assert_eq!(lab.go(Goal::Rekey), refused(Code::TryLater));
}

const PACE: Pace = Pace { at_once: 3, interval: 10, patience: 1_000, failures: 2 };

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("device {number}"))
}

#[test]
fn a_campaign_calls_each_device_once_at_its_pace() {
    let mut campaign = Campaign::new(Operation::Rekey, names(5).chain(names(2)), PACE).unwrap();
    assert_eq!(campaign.next(Millis(0)), Next::Call("device 0".into()));
    assert_eq!(campaign.next(Millis(0)), Next::Wait(Millis(10)));
    assert_eq!(campaign.next(Millis(10)), Next::Call("device 1".into()));
    assert_eq!(campaign.next(Millis(20)), Next::Call("device 2".into()));
    assert_eq!(campaign.next(Millis(30)), Next::Wait(Millis(1_000)), "three at once, the first given up then");
    campaign.report("device 1", Outcome::Done);
    campaign.report("device 1", Outcome::Done);
    campaign.report("nobody", Outcome::Done);
    assert_eq!(campaign.progress(), Progress { waiting: 2, under_way: 2, done: 1, failed: 0 });
    assert_eq!(campaign.next(Millis(40)), Next::Call("device 3".into()));
    let stored = {
        let mut bytes = Vec::new();
        ciborium::into_writer(&campaign, &mut bytes).unwrap();
        ciborium::from_reader::<Campaign, _>(bytes.as_slice()).unwrap()
    };
    assert_eq!(stored, campaign, "it goes on after a restart");
    assert_eq!(campaign.next(Millis(1_000)), Next::Call("device 4".into()), "the first was silent for too long");
    assert_eq!(campaign.failed(), [("device 0".into(), Outcome::Silent)]);
    campaign.report("device 0", Outcome::Done);
    assert_eq!(campaign.failed(), [], "and is heard of after all");
    for device in ["device 2", "device 3", "device 4"] {
        campaign.report(device, Outcome::Done);
    }
    assert_eq!(campaign.next(Millis(1_010)), Next::Done);
    assert_eq!(campaign.progress(), Progress { waiting: 0, under_way: 0, done: 5, failed: 0 });
}

#[test]
fn a_campaign_stops_when_too_many_fail_and_goes_on_when_a_person_says_so() {
    let mut campaign = Campaign::new(Operation::Rekey, names(9), Pace { interval: 0, ..PACE }).unwrap();
    for number in 0..3 {
        assert_eq!(campaign.next(Millis(0)), Next::Call(format!("device {number}")));
        campaign.report(&format!("device {number}"), Code::Conflict.into());
    }
    assert_eq!(campaign.next(Millis(0)), Next::Stopped);
    assert_eq!(campaign.failed()[0], ("device 0".into(), Outcome::Refused(400)));
    campaign.go_on();
    for number in 3..9 {
        assert_eq!(campaign.next(Millis(0)), Next::Call(format!("device {number}")));
        campaign.report(&format!("device {number}"), Outcome::Done);
    }
    assert_eq!(campaign.next(Millis(0)), Next::Done);
    let bad = Pace { at_once: 0, ..PACE };
    assert!(Campaign::new(Operation::Rekey, names(1), bad).is_err());
    assert!(Campaign::new(Operation::Query, names(1), PACE).is_err());
}

/// What a person has looked at is gone from the list once it is heard of, and leaves no room for other failures.
#[test]
fn a_good_report_that_comes_late_does_not_loosen_the_stop() {
    let call = |campaign: &mut Campaign, now: u64, number: usize| {
        assert_eq!(campaign.next(Millis(now)), Next::Call(format!("device {number}")));
    };
    let report =
        |campaign: &mut Campaign, number: usize, outcome| campaign.report(&format!("device {number}"), outcome);
    for late in 0..=3 {
        let mut campaign = Campaign::new(Operation::Rekey, names(20), Pace { interval: 0, ..PACE }).unwrap();
        for number in 0..3 {
            call(&mut campaign, 0, number);
        }
        assert_eq!(campaign.next(Millis(1_000)), Next::Stopped, "three were silent");
        campaign.go_on();
        // One more is silent after the person has looked, and heard of after all: that is none of the three.
        call(&mut campaign, 1_000, 3);
        call(&mut campaign, 2_000, 4);
        assert_eq!(campaign.failed().len(), 4, "{late}");
        report(&mut campaign, 3, Outcome::Done);
        report(&mut campaign, 4, Outcome::Done);
        for number in 0..late {
            report(&mut campaign, number, Outcome::Done);
            report(&mut campaign, number, Outcome::Done);
        }
        let progress = Progress { waiting: 15, under_way: 0, done: 2 + u32::try_from(late).unwrap(), failed: 3 - late };
        assert_eq!(campaign.progress(), progress, "{late}");
        // The rule is what it was: two more may fail, and not three.
        for number in 5..8 {
            call(&mut campaign, 2_000, number);
            report(&mut campaign, number, Code::Conflict.into());
        }
        assert_eq!(campaign.next(Millis(2_000)), Next::Stopped, "{late}");
        // And it was not made tighter either.
        campaign.go_on();
        for number in 8..10 {
            call(&mut campaign, 2_000, number);
            report(&mut campaign, number, Code::Conflict.into());
        }
        call(&mut campaign, 2_000, 10);
    }
    // Heard of late with a refusal: that is a failure that nobody has looked at.
    let mut campaign = Campaign::new(Operation::Rekey, names(9), Pace { interval: 0, failures: 0, ..PACE }).unwrap();
    call(&mut campaign, 0, 0);
    assert_eq!(campaign.next(Millis(1_000)), Next::Stopped);
    campaign.go_on();
    call(&mut campaign, 1_000, 1);
    report(&mut campaign, 0, Code::Conflict.into());
    assert_eq!(campaign.next(Millis(1_000)), Next::Stopped);
}

/// The operator wants it, the device hears of it, and asks.
#[test]
fn a_campaign_reaches_its_devices() {
    let mut labs: Vec<_> = (0..6).map(|number| subscriber(20 + number)).collect();
    let mut campaign = Campaign::new(Operation::Rekey, names(labs.len()), Pace { interval: 0, ..PACE }).unwrap();
    let mut now = 0;
    loop {
        match campaign.next(Millis(now)) {
            Next::Call(device) => {
                let number: usize = device.strip_prefix("device ").unwrap().parse().unwrap();
                let lab = &mut labs[number];
                log(lab, What::Wanted(campaign.operation()));
                let (_, out) = contact(lab, Goal::Query);
                assert_eq!(out.told, [(Standing::InService, Some(Operation::Rekey))]);
                let outcome = lab.go(Goal::Rekey);
                campaign.report(&device, outcome.map_or(Outcome::Silent, |()| Outcome::Done));
            }
            Next::Wait(moment) => now = moment.0,
            Next::Stopped => panic!("{:?}", campaign.failed()),
            Next::Done => break,
        }
    }
    assert_eq!(campaign.progress().done, 6);
    assert!(labs.iter_mut().all(attaches));
    assert!(labs.iter().all(|lab| lab.held().is_some_and(|(held, _)| held.id.epoch == 2)));
}
