//! When a device comes back: later each time, up to an end, and not at all where coming back helps nobody.

use remote_provisioning::{error::Class, provisioning::Millis, wire};

use super::*;
use crate::lab::{FromDevice, from_device};

/// The first pause between two attempts, in milliseconds, and how often it doubles.
const FIRST: u64 = 60_000;
const DOUBLINGS: u32 = 10;

/// The shortest pause after this many attempts that failed, the first one being number 0.
fn shortest(failed: u32) -> u64 {
    FIRST << failed.min(DOUBLINGS)
}

/// How an attempt can fail with a reason to come back.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Unanswered,
    Busy,
    Damaged,
    Error,
    Store,
}

/// An attempt of the device, to its end.
fn attempt(lab: &mut Lab, failure: Option<Failure>) -> FromDevice {
    lab.refusing = matches!(failure, Some(Failure::Busy)).then_some(("reserve", Code::TryLater));
    let mut session = lab.session(1);
    let mut all = FromDevice::default();
    let mut collect = |session: &mut lab::Session| {
        let out = from_device(&mut session.device);
        session.messages.extend(out.sent);
        all.again = all.again.or(out.again);
        all.finished.extend(out.finished);
        all.finished.len() == 1
    };
    loop {
        let (count, mut message) = (session.messages.len(), session.messages.last().unwrap().clone());
        match failure {
            Some(Failure::Unanswered) => {
                lab.now = lab.now.after(120_000);
                let _ = session.device.handle_timeout(lab.now);
            }
            Some(Failure::Error) => drop(lab.tell_device(&mut session.device, &[0x01, 0x60])),
            _ if count.is_multiple_of(2) => {
                if matches!(failure, Some(Failure::Damaged)) {
                    let middle = message.len() / 2;
                    message[middle] ^= 1;
                }
                lab.store.good_for = matches!(failure, Some(Failure::Store)).then_some(0);
                let _ = lab.tell_device(&mut session.device, &message);
                lab.store.good_for = None;
            }
            _ => {
                lab.tell_operator(&mut session.operator, &message).unwrap();
                session.messages.extend(lab.serve(&mut session.operator).sent);
                continue;
            }
        }
        if collect(&mut session) {
            return all;
        }
    }
}

/// That the device has failed, and names a moment after this many attempts.
fn assert_rests(lab: &mut Lab, failure: Failure, failed: u32, at: &str) -> u64 {
    let out = attempt(lab, Some(failure));
    assert!(matches!(*out.finished, [Err(_)]), "{at}: {out:?}");
    let pause = out.again.expect(at).0 - lab.now.0;
    let shortest = shortest(failed);
    assert!((shortest..shortest * 2).contains(&pause), "{at}: {pause}, not from {shortest}");
    pause
}

#[test]
fn each_pause_is_longer_than_the_one_before_up_to_an_end() {
    use Failure::{Busy, Damaged, Error, Store, Unanswered};
    for failures in
        [&[Unanswered][..], &[Busy], &[Damaged], &[Error], &[Store], &[Unanswered, Busy, Damaged, Error, Store]]
    {
        for mut lab in [Lab::new(1), subscriber(1)] {
            lab.operator_config.retry_after = 0;
            lab.goal = if lab.held().is_some() { Goal::Rekey } else { Goal::Provision };
            let (mut before, mut total) = (0, 0);
            for (failed, failure) in (0..40).zip(failures.iter().cycle()) {
                let at = format!("{failure:?} of {failures:?}, {failed}");
                let pause = assert_rests(&mut lab, *failure, failed, &at);
                assert!(pause > before || failed > DOUBLINGS, "{at}: {pause} after {before}");
                lab.now = Millis(lab.now.0 + pause);
                // It counts by what is durable, not by what is in memory.
                lab.power_cut();
                (before, total) = (pause, total + pause);
            }
            assert!(total > 30 * shortest(DOUBLINGS), "{failures:?}: a year has few attempts");
        }
    }
}

/// An operator may name a longer pause, and no shorter one. What it names has no end: it is authenticated.
#[test]
fn a_pause_that_the_operator_names_is_the_least() {
    for named in [0, 1, 60, 300, 100_000, 1_000_000, u32::MAX] {
        let mut lab = subscriber(4);
        lab.operator_config.retry_after = named;
        lab.goal = Goal::Rekey;
        for failed in 0..14 {
            let out = attempt(&mut lab, Some(Failure::Busy));
            let pause = out.again.unwrap().0 - lab.now.0;
            // But nobody is sent away for years.
            let shortest = shortest(failed).max((u64::from(named) * 1_000).min(shortest(10)));
            assert!((shortest..shortest * 2).contains(&pause), "{named}, {failed}: {pause}, not from {shortest}");
        }
    }
}

#[test]
fn success_begins_the_pauses_anew() {
    for goal in [Goal::Rekey, Goal::Query] {
        let mut lab = subscriber(2);
        lab.goal = goal;
        for round in 0..3 {
            for failed in 0..4 {
                assert_rests(&mut lab, Failure::Unanswered, failed, &format!("round {round}, {failed}"));
            }
            let out = attempt(&mut lab, None);
            assert_eq!((out.finished, out.again), (vec![Ok(())], None), "round {round}");
        }
    }
    // Half of it is no success: what was prepared and not ended counts on.
    let mut lab = subscriber(2);
    lab.goal = Goal::Rekey;
    lab.session(6);
    lab.power_cut();
    assert_rests(&mut lab, Failure::Unanswered, 1, "prepared");
    lab.power_cut();
    assert_rests(&mut lab, Failure::Unanswered, 2, "prepared");
    assert_eq!(attempt(&mut lab, None).finished, [Ok(())]);
    assert_rests(&mut lab, Failure::Unanswered, 0, "resumed");
}

/// Wherever it is said: in the offer's place, or in a record.
#[test]
fn a_refusal_that_only_a_person_can_undo_names_no_moment() {
    for code in Code::ALL {
        for question in ["appraise", "log prepared", "log confirm"] {
            let mut lab = subscriber(3);
            lab.operator_config.retry_after = 0;
            lab.goal = Goal::Rekey;
            // Also after some that were worth repeating.
            for failed in 0..2 {
                assert_rests(&mut lab, Failure::Unanswered, failed, "before");
            }
            lab.now = lab.now.after(FIRST);
            let out = refused_at(&mut lab, question, code);
            let again = out.again.map(|again| again.0 - lab.now.0);
            assert_eq!(again.is_some(), code.class() == Class::Retry, "{code:?} at {question}");
            assert!(again.is_none_or(|pause| (shortest(2)..shortest(3)).contains(&pause)), "{code:?} at {question}");
            assert_eq!(out.finished, [refused(code)], "{code:?} at {question}");
        }
    }
    // Called off: the operation is over, and did not fail.
    let mut lab = subscriber(3);
    lab.goal = Goal::Rekey;
    let out = refused_at(&mut lab, "core", Code::TryLater);
    assert_eq!((out.finished, out.again), (vec![Err(Refused::Aborted.into())], None));
}

fn refused_at(lab: &mut Lab, question: &'static str, code: Code) -> FromDevice {
    let mut session = lab.session(1);
    lab.refusing = Some((question, code));
    loop {
        let message = session.messages.last().unwrap().clone();
        if session.messages.len().is_multiple_of(2) {
            let _ = lab.tell_device(&mut session.device, &message);
            let out = from_device(&mut session.device);
            if !out.finished.is_empty() {
                lab.refusing = None;
                return out;
            }
            session.messages.extend(out.sent);
        } else {
            let _ = lab.tell_operator(&mut session.operator, &message);
            session.messages.extend(lab.serve(&mut session.operator).sent);
        }
        assert!(session.messages.last().unwrap().len() <= wire::MAX_MESSAGE);
    }
}
