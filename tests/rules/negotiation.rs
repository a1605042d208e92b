//! Which suite to propose next (RFC 9528 §6.3), and what a peer's error message says.

use remote_provisioning::{
    edhoc::{Method, Suite, error_message, initiator::propose_again, read_error},
    error::{Malformed, Misbehaved, Refused, Untrusted},
    wire::encode_with,
};

use crate::run::{Step, fails, with_run};

const fn suite(number: i64) -> Suite {
    Suite { number, ..Suite::GCM }
}

fn suites(numbers: &[i64]) -> Vec<Suite> {
    numbers.iter().map(|number| suite(*number)).collect()
}

fn numbers(suites: &[Suite]) -> Vec<i64> {
    suites.iter().map(|suite| suite.number).collect()
}

fn again(supported: &[i64], proposed: &[i64], suites_r: &[i64]) -> Option<Vec<i64>> {
    propose_again(&suites(supported), &suites(proposed), &suites(suites_r)).map(numbers)
}

#[test]
fn the_next_proposal() {
    // RFC 9528 §6.3.2, example 1: the initiator likes 5 best and runs 6 too, the responder 6 only.
    assert_eq!(again(&[5, 6], &[5], &[6]), Some(vec![5, 6]));
    // Example 2: 5 to 9 in falling preference, first 5 and 6; the responder runs 9 and 8.
    assert_eq!(again(&[5, 6, 7, 8, 9], &[5, 6], &[9, 8]), Some(vec![5, 6, 7, 8]));
    assert_eq!(again(&[5, 6, 7, 8, 9], &[5, 6], &[8, 9]), Some(vec![5, 6, 7, 8]), "the order says nothing");
    assert_eq!(again(&[5, 6, 7, 8, 9], &[5], &[9]), Some(vec![5, 6, 7, 8, 9]));
    // Nothing in common.
    assert_eq!(again(&[5, 6], &[5], &[7, 8]), None);
    assert_eq!(again(&[5, 6], &[5], &[]), None);
    assert_eq!(again(&[], &[], &[5]), None);
    // The one that was just refused: somebody plays.
    assert_eq!(again(&[5, 6], &[5], &[5]), None);
    assert_eq!(again(&[5, 6], &[5], &[5, 6]), None);
    assert_eq!(again(&[5, 6, 7], &[5, 6], &[6, 7]), None);
    // An earlier one than was proposed.
    assert_eq!(again(&[5, 6, 7], &[5, 6, 7], &[6]), Some(vec![5, 6]));
}

#[test]
fn two_rounds_end_in_a_session() {
    for (suites_r, expected) in [
        (&[Suite::CCM_8][..], &[-24, 3, 2][..]),
        (&[Suite::CCM_8, Suite::CCM_16], &[-24, 3]),
        (&[Suite::CCM_16], &[-24, 3]),
    ] {
        with_run(Method::StaticStatic, Suite::GCM, |run| {
            let mut run = run;
            run.suites_r = suites_r;
            let refused = run.end().unwrap();
            assert_eq!(refused, crate::run::Failed(Step::Read1, Misbehaved::WrongSuite.into()));
            let told = error_message(&refused.1, suites_r).unwrap();
            let error = read_error(&told).unwrap();
            assert_eq!(error.refused, Refused::WrongSuite);
            let next = propose_again(&Suite::ALL, run.suites, &error.suites_r).unwrap();
            assert_eq!(numbers(next), expected);
            run.suites = next;
            let done = run.go().unwrap();
            assert_eq!(done.device.suite(), *next.last().unwrap());
            assert_eq!(done.operator.suite(), done.device.suite());
        });
    }
    // Somebody answers message_1 with a SUITES_R of his own making: the responder sees that it was talked down.
    with_run(Method::StaticStatic, Suite::GCM, |run| {
        let mut run = run;
        let forged = read_error(b"\x02\x02").unwrap();
        run.suites = propose_again(&Suite::ALL, run.suites, &forged.suites_r).unwrap();
        assert_eq!(run.end(), fails(Step::Read1, Misbehaved::WrongSuite));
    });
}

#[test]
fn suites_r_of_any_kind() {
    let message = |suites: &[i64]| {
        encode_with(|w| {
            w.integer(2);
            if let [one] = suites {
                w.integer(*one);
            } else {
                w.array(suites.len());
                suites.iter().for_each(|suite| w.integer(*suite));
            }
        })
    };
    let read = |suites: &[i64]| {
        read_error(&message(suites)).map(|error| {
            assert_eq!((error.refused, error.diagnostic), (Refused::WrongSuite, None));
            numbers(&error.suites_r)
        })
    };
    assert_eq!(read(&[2]), Ok(vec![2]));
    assert_eq!(read(&[2, 3]), Ok(vec![3, 2]));
    assert_eq!(read(&[-24, 2, 3]), Ok(vec![-24, 3, 2]));
    // Numbers that nobody here knows, and none that somebody does.
    assert_eq!(read(&[1, 2]), Ok(vec![2]));
    assert_eq!(read(&[-21, 1 << 40, i64::MIN, 3, i64::MAX]), Ok(vec![3]));
    assert_eq!(read(&[24]), Ok(vec![]));
    assert_eq!(read(&[1, 4, 5, 6, 24, 25]), Ok(vec![]));
    // More than there are places for, the same one many times, and it is still read.
    let many: Vec<i64> = (100..200).chain([2]).collect();
    assert_eq!(read(&many), Ok(vec![2]));
    assert_eq!(read(&[2; 9]), Ok(vec![2]));
    assert_eq!(read(&[1, 4, 5, 6, 24, 25, 3, 2, -24]), Ok(vec![-24, 3, 2]));
    // A length that is a lie is not believed.
    assert_eq!(read_error(b"\x02\x9a\xff\xff\xff\xff\x02").map(|_| ()), Err(Malformed::Truncated));
    assert_eq!(read_error(b"\x02\x98\x20\x02\x03").map(|_| ()), Err(Malformed::Truncated));
    assert_eq!(read_error(b"\x02\x81\x02").map(|_| ()), Err(Malformed::WrongLength));
    assert_eq!(read_error(b"\x02\x80").map(|_| ()), Err(Malformed::WrongLength));
    assert_eq!(read_error(b"\x02\x02\x02").map(|_| ()), Err(Malformed::TrailingBytes));
}

#[test]
fn diagnostics() {
    let diagnostic = |bytes: &'static [u8]| read_error(bytes).map(|error| error.diagnostic);
    assert_eq!(diagnostic(b"\x01\x60"), Ok(Some("")));
    assert_eq!(diagnostic(b"\x01\x63why"), Ok(Some("why")));
    assert_eq!(diagnostic("\x01\x62\u{fc}".as_bytes()), Ok(Some("\u{fc}")));
    assert_eq!(diagnostic(b"\x02\x02"), Ok(None));
    assert_eq!(diagnostic(b"\x03\xf5"), Ok(None));
    assert_eq!(diagnostic(b"\x07\x63why"), Ok(None), "only of code 1 is it known to be one");
    assert_eq!(diagnostic(b"\x01\x61\xff"), Err(Malformed::Text));
    assert_eq!(diagnostic(b"\x01\x63wh"), Err(Malformed::Truncated));
    let read = |bytes: &'static [u8]| read_error(bytes).unwrap();
    for bytes in [&b"\x01\x60"[..], b"\x03\xf5", b"\x00\xf6", b"\x04\x02"] {
        assert!(read(bytes).suites_r.is_empty());
    }
    assert_eq!(read(b"\x04\x82\x02\x03").refused, Refused::Edhoc(4));
    // What this side says for itself tells the same of every failed proof.
    let told = error_message(&Untrusted::Authentication.into(), &Suite::ALL).unwrap();
    assert_eq!(read_error(&told).unwrap().diagnostic, Some("not accepted"));
}
