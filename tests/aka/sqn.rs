//! Sequence numbers (TS 33.102 Annex C).

use proptest::prelude::*;
use remote_provisioning::{
    aka::{Ind, Sqn, SqnArray, resynchronise},
    error::Malformed,
};

use crate::case::{DELTA, MAX_SEQ, any_sqn, challenge, hex, holding, ind, milenage, sqn, sync_failure};

#[test]
fn a_number_is_seq_then_ind() {
    let sqn = Sqn::from_bytes([0xff, 0x9b, 0xb4, 0xd0, 0xb6, 0x07]);
    assert_eq!((sqn.seq(), sqn.ind().number()), (0x07fc_dda6_85b0, 7));
    assert_eq!(Sqn::new(sqn.seq(), sqn.ind()), Some(sqn));
    assert_eq!(sqn.to_bytes(), [0xff, 0x9b, 0xb4, 0xd0, 0xb6, 0x07]);
    assert_eq!(format!("{sqn:?}"), "Sqn(ff9bb4d0b607)");

    assert_eq!(Ind::new(31).map(Ind::number), Some(31));
    assert_eq!(Ind::new(32), None);
    assert_eq!(Sqn::new(1 << 43, ind(0)), None);
}

#[test]
fn the_next_number_is_one_seq_higher_under_any_ind() {
    assert_eq!(Sqn::default().next(ind(0)), Some(sqn(1, 0)));
    assert_eq!(sqn(6, 31).next(ind(2)), Some(sqn(7, 2)));
    assert_eq!(sqn(MAX_SEQ - 1, 5).next(ind(6)), Some(sqn(MAX_SEQ, 6)));
    assert_eq!(sqn(MAX_SEQ, 5).next(ind(6)), None);
}

#[test]
fn a_new_array_takes_one_but_not_zero() {
    assert_eq!(SqnArray::new().highest(), Sqn::default());
    for number in 0..32 {
        let mut array = SqnArray::new();
        assert!(!array.accept(sqn(0, number)), "SEQ 0, IND {number}");
        assert_eq!(array, SqnArray::new());
        assert!(array.accept(sqn(1, number)), "SEQ 1, IND {number}");
    }
}

#[test]
fn gaps_are_taken_and_repeats_are_not() {
    let mut array = SqnArray::new();
    for (seq, fresh) in [(1, true), (1, false), (5, true), (4, false), (5, false), (1_000_000, true), (6, false)] {
        assert_eq!(array.accept(sqn(seq, 9)), fresh, "SEQ {seq}");
    }
    assert_eq!(array.highest(), sqn(1_000_000, 9));
}

#[test]
fn each_ind_has_its_own_order() {
    let mut array = SqnArray::new();
    assert!(array.accept(sqn(100, 0)));
    assert!(array.accept(sqn(90, 1)), "older than another IND's");
    assert!(array.accept(sqn(100, 31)), "as old as another IND's");
    assert_eq!(array.highest(), sqn(100, 31));

    assert!(!array.accept(sqn(90, 1)), "repeated");
    assert!(!array.accept(sqn(89, 1)), "wrong order within an IND");
    assert!(!array.accept(sqn(99, 0)), "wrong order within an IND");
    assert!(array.accept(sqn(91, 1)));
    assert_eq!(array, holding(&[sqn(100, 0), sqn(91, 1), sqn(100, 31)]));
}

#[test]
fn no_number_jumps_further_than_delta() {
    let start = holding(&[sqn(7, 2), sqn(20, 3)]);
    for number in [2, 3, 4] {
        let mut array = start.clone();
        assert!(!array.accept(sqn(20 + DELTA + 1, number)), "IND {number}, one too far");
        assert_eq!(array, start);
        assert!(array.accept(sqn(20 + DELTA, number)), "IND {number}, just within");
        assert_eq!(array.highest(), sqn(20 + DELTA, number));
    }
    assert!(!SqnArray::new().accept(sqn(MAX_SEQ, 0)));
}

#[test]
fn a_jump_too_far_is_a_sync_failure() {
    let milenage = milenage();
    let mut array = holding(&[sqn(20, 3)]);
    let far = challenge(&milenage, sqn(21 + DELTA, 3));
    let auts = sync_failure(&milenage, &mut array, &far);
    assert_eq!(resynchronise(&milenage, &far.rand, &auts), Ok(sqn(20, 3)));
}

#[test]
fn an_age_limit_refuses_what_its_slot_would_take() {
    let start = holding(&[sqn(100, 0)]);
    assert!(start.clone().accept(sqn(1, 1)), "no limit unless asked for");
    for (seq, fresh) in [(89, false), (90, false), (91, true), (101, true)] {
        assert_eq!(start.clone().with_age_limit(10).accept(sqn(seq, 1)), fresh, "SEQ {seq}");
    }
}

#[test]
fn a_stored_array_still_refuses_replays() {
    let mut array = holding(&[sqn(3, 0), sqn(2, 17)]);
    let stored = array.to_bytes();
    assert_eq!(hex(&stored), "000000000060000000000051");

    let mut restored = SqnArray::from_bytes(&stored).unwrap();
    assert_eq!(restored, array);
    for (seq, number) in [(3, 0), (2, 17), (1, 17)] {
        assert!(!restored.accept(sqn(seq, number)), "SEQ {seq}, IND {number}");
    }
    assert!(restored.accept(sqn(3, 17)) && array.accept(sqn(3, 17)));
    assert_eq!(restored.to_bytes(), array.to_bytes());
}

#[test]
fn a_stored_array_has_one_form() {
    let form = |numbers: &[Sqn]| numbers.iter().flat_map(|sqn| sqn.to_bytes()).collect::<Vec<_>>();
    let error = |bytes: &[u8]| SqnArray::from_bytes(bytes).expect_err("not a form that we write");

    let full: Vec<_> = (0..32).map(|number| sqn(u64::from(number) + 1, number)).collect();
    assert_eq!(SqnArray::from_bytes(&form(&full)).unwrap().to_bytes().len(), SqnArray::MAX_LEN);
    assert_eq!(SqnArray::from_bytes(&[]), Ok(SqnArray::new()));

    assert_eq!(error(&[0; 5]), Malformed::WrongLength);
    assert_eq!(error(&[0, 0, 0, 0, 1, 0, 0]), Malformed::WrongLength);
    assert_eq!(error(&form(&[sqn(0, 4)])), Malformed::OutOfRange, "an empty slot");
    assert_eq!(error(&form(&[sqn(1, 4), sqn(2, 4)])), Malformed::KeyOrder, "an IND twice");
    assert_eq!(error(&form(&[sqn(1, 5), sqn(1, 4)])), Malformed::KeyOrder, "INDs descending");
    assert_eq!(error(&form(&[&full[..], &[sqn(99, 31)]].concat())), Malformed::KeyOrder, "more than 32");
}

proptest! {
    /// The clause once more, with the array as it stands there.
    #[test]
    fn the_array_follows_the_clause(numbers in prop::collection::vec(any_sqn(), 0..60)) {
        let (mut array, mut seq_ms) = (SqnArray::new(), [0; 32]);
        for sqn in numbers {
            let highest = *seq_ms.iter().max().unwrap();
            let slot = &mut seq_ms[usize::from(sqn.ind().number())];
            let fresh = sqn.seq() > *slot && sqn.seq() <= highest + DELTA;
            if fresh {
                *slot = sqn.seq();
            }
            prop_assert_eq!(array.accept(sqn), fresh, "{:?}", sqn);
            prop_assert_eq!(array.highest().seq(), *seq_ms.iter().max().unwrap());
            prop_assert_eq!(SqnArray::from_bytes(&array.to_bytes()), Ok(array.clone()));
        }
    }

    #[test]
    fn what_decodes_encodes_to_itself(numbers in prop::collection::vec(any_sqn(), 0..4), cut in 0_usize..8) {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|sqn| sqn.to_bytes()).collect();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(array) = SqnArray::from_bytes(&bytes) {
            prop_assert_eq!(array.to_bytes().to_vec(), bytes);
        }
    }
}
