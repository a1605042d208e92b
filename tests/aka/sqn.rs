//! Sequence numbers (TS 33.102 Annex C).

use proptest::prelude::*;
use remote_provisioning::{
    aka::{Ind, Sqn, SqnArray, resynchronise, sqn::Profile},
    error::{Malformed, Misuse},
};

use crate::case::{
    DELTA, MAX_SEQ, any_sqn, challenge, hex, holding, holding_as, ind, milenage, seq, sqn, sync_failure,
};

#[test]
fn a_number_is_seq_then_ind() {
    let sqn = Sqn::from_bytes([0xff, 0x9b, 0xb4, 0xd0, 0xb6, 0x07]);
    assert_eq!(sqn.to_bytes(), [0xff, 0x9b, 0xb4, 0xd0, 0xb6, 0x07]);
    assert_eq!(format!("{sqn:?}"), "Sqn(ff9bb4d0b607)");
    for (bits, seq, number) in [(5, 0x07fc_dda6_85b0, 7), (3, 0x1ff3_769a_16c0, 7), (2, 0x3fe6_ed34_2d81, 3)] {
        let profile = Profile::default().with_ind_bits(bits).unwrap();
        assert_eq!((profile.seq(sqn), profile.ind(sqn)), (seq, ind(number)), "{bits} bits");
        assert_eq!(profile.sqn(seq, ind(number)), Some(sqn), "{bits} bits");
    }

    assert_eq!(Ind::new(31).map(Ind::number), Some(31));
    assert_eq!(Ind::new(32), None);
    for bits in 0..=5 {
        let profile = Profile::default().with_ind_bits(bits).unwrap();
        let (above, last) = (1 << (48 - bits), (1 << bits) - 1);
        assert_eq!(profile.sqn(above - 1, ind(last)).unwrap().to_bytes(), [0xff; 6], "{bits} bits");
        assert_eq!(profile.sqn(above, ind(0)), None, "{bits} bits");
        assert_eq!(Ind::new(last + 1).and_then(|ind| profile.sqn(1, ind)), None, "{bits} bits");
    }
}

#[test]
fn the_next_number_is_one_seq_higher_under_any_ind() {
    let next = |sqn, number| Profile::default().next(sqn, ind(number), 99);
    assert_eq!(next(Sqn::default(), 0), Ok(sqn(1, 0)));
    assert_eq!(next(sqn(6, 31), 2), Ok(sqn(7, 2)));
    assert_eq!(next(sqn(MAX_SEQ - 1, 5), 6), Ok(sqn(MAX_SEQ, 6)));
    assert!(matches!(next(sqn(MAX_SEQ, 5), 6), Err(Misuse::NotNow(_))));
}

#[test]
fn an_ind_that_the_profile_does_not_have_is_refused() {
    for bits in 0..=5 {
        let profile = Profile::PARTLY_TIME_BASED.with_ind_bits(bits).unwrap();
        for number in 0..32 {
            let next = profile.next(Sqn::default(), ind(number), 7);
            let known = number < 1 << bits;
            assert_eq!(next.ok(), profile.sqn(7, ind(number)).filter(|_| known), "{bits} bits, IND {number}");
            assert!(known || matches!(next, Err(Misuse::Parameter(_))), "{bits} bits, IND {number}");
        }
    }
}

/// n = 8, D = 16: what TS 33.102 §C.1.1.3 says on both sides of each of its boundaries.
#[test]
fn a_clock_moves_seq_as_the_clause_says() {
    let profile = Profile::default().with_clock(8, 16).unwrap();
    let (p, d) = (256_u64, 16);
    // SEQ1 ‖ SEQ2, GLC, and what is next.
    for (seq_he, glc, expected, case) in [
        (0x700, 0_u64, 0x701, "(2) the clock stands"),
        (0x700, 1, 0x701, "(1) and (2) are the same"),
        (0x700, 2, 0x702, "(1)"),
        (0x700, p - d, 0x7f0, "(1) as far as it goes"),
        (0x700, p - d + 1, 0x701, "(2) too far: SEQ2 is ahead, across the end of a round"),
        (0x700, p - 1, 0x701, "(2)"),
        (0x70e, p - 1, 0x70f, "(2)"),
        (0x70f, p - 1, 0x7ff, "(1)"),
        (0x720, 0x20, 0x721, "(2) the clock stands"),
        (0x720, 0x20 - d + 1, 0x721, "(2) SEQ2 is D - 1 ahead"),
        (0x720, 0x20 - d, 0x810, "(3) SEQ2 is D ahead: a round is over"),
        (0x720, 0, 0x800, "(3)"),
        (0x7ff, 0, 0x800, "(3) by one"),
        (0x7ff, 5, 0x805, "(3)"),
        (0x7ff, 0xff, 0x800, "(2) into a new round"),
        (0x7ff, 0xff - d + 1, 0x800, "(2)"),
        (0x7ff, 0xff - d, 0x8ef, "(3) as far as it goes"),
    ] {
        for clock in [glc, glc + p, glc + (1 << 40), glc.wrapping_sub(p)] {
            let next = profile.next(sqn(seq_he, 9), ind(4), clock);
            assert_eq!(next, Ok(sqn(expected, 4)), "{case}: {seq_he:x}, {clock:x}");
        }
    }
}

#[test]
fn the_end_of_the_number_space_is_an_error_with_a_clock_too() {
    let profile = Profile::default().with_clock(8, 16).unwrap();
    let last = MAX_SEQ - 0xff;
    assert_eq!(profile.next(sqn(last, 0), ind(0), 0xf0), Ok(sqn(MAX_SEQ - 0x0f, 0)));
    assert_eq!(profile.next(sqn(MAX_SEQ - 1, 0), ind(0), 0xff), Ok(sqn(MAX_SEQ, 0)));
    for clock in [0, 0xef, 0xf0, 0xff] {
        assert!(matches!(profile.next(sqn(MAX_SEQ, 0), ind(0), clock), Err(Misuse::NotNow(_))), "{clock:x}");
    }
}

/// TS 33.102 §C.3.1 and §C.3.2.
#[test]
fn the_profiles_of_the_annex_have_its_numbers() {
    assert_eq!(Profile::default(), Profile::NOT_TIME_BASED);
    for profile in [Profile::NOT_TIME_BASED, Profile::PARTLY_TIME_BASED] {
        assert_eq!(profile.with_ind_bits(5).and_then(|profile| profile.with_delta(1 << 28)), Ok(profile));
        // Nobody comes to the end with fewer challenges than this.
        assert_eq!(MAX_SEQ.div_ceil(DELTA), 1 << 15);
    }
    assert_eq!(Profile::NOT_TIME_BASED.with_clock(24, 1 << 16), Ok(Profile::PARTLY_TIME_BASED));

    let next = |seq_he, clock| Profile::PARTLY_TIME_BASED.next(sqn(seq_he, 0), ind(0), clock).map(seq);
    // 2026-01-01, in seconds since 1970.
    assert_eq!(next(0, 1_767_225_600), Ok(1_767_225_600 % (1 << 24)));
    assert_eq!(next(1 << 23, (1 << 23) - (1 << 16) + 1), Ok((1 << 23) + 1), "2^16 - 1 seconds back");
    assert_eq!(next(1 << 23, (1 << 23) - (1 << 16)), Ok((1 << 24) + (1 << 23) - (1 << 16)), "2^16 seconds back");
}

#[test]
fn numbers_that_make_no_profile_are_refused() {
    let refused = |profile| matches!(profile, Err(Misuse::Parameter(_)));
    let profile = Profile::default();
    for bits in [6, 7, 8, 48, 64, u32::MAX] {
        assert!(refused(profile.with_ind_bits(bits)), "{bits} bits of IND");
    }
    for (delta, right) in [(0, false), (1, true), (MAX_SEQ, true), (MAX_SEQ + 1, false), (u64::MAX, false)] {
        assert_eq!(profile.with_delta(delta).is_ok(), right, "Δ of {delta}");
    }
    let wide = profile.with_ind_bits(0).and_then(|profile| profile.with_delta((1 << 48) - 1)).unwrap();
    assert!(refused(wide.with_ind_bits(1)), "Δ above SEQ_max");

    assert!(refused(profile.with_age_limit(0)));
    assert!(profile.with_age_limit(1).is_ok() && profile.with_age_limit(u64::MAX).is_ok());

    for (bits, tolerance, right) in [
        (0, 0, false),
        (0, 1, false),
        (1, 0, false),
        (1, 1, true),
        (1, 2, false),
        (24, 0, false),
        (24, (1 << 24) - 1, true),
        (24, 1 << 24, false),
        (24, u64::MAX, false),
        (28, 1, true),
        (29, 1, false),
        (63, 1, false),
        (64, 1, false),
        (u32::MAX, 1, false),
    ] {
        assert_eq!(profile.with_clock(bits, tolerance).is_ok(), right, "clock of {bits} bits, D of {tolerance}");
    }
    for (delta, right) in [(1 << 24, true), ((1 << 24) - 1, false)] {
        assert_eq!(Profile::PARTLY_TIME_BASED.with_delta(delta).is_ok(), right, "Δ of {delta} with 24 bits of clock");
    }
}

#[test]
fn a_new_array_takes_one_but_not_zero() {
    assert_eq!(SqnArray::default(), SqnArray::new(Profile::default()));
    assert_eq!(SqnArray::default().highest(), Sqn::default());
    for number in 0..32 {
        let mut array = SqnArray::default();
        assert!(!array.accept(sqn(0, number)), "SEQ 0, IND {number}");
        assert_eq!(array, SqnArray::default());
        assert!(array.accept(sqn(1, number)), "SEQ 1, IND {number}");
    }
}

#[test]
fn gaps_are_taken_and_repeats_are_not() {
    let mut array = SqnArray::default();
    for (seq, fresh) in [(1, true), (1, false), (5, true), (4, false), (5, false), (1_000_000, true), (6, false)] {
        assert_eq!(array.accept(sqn(seq, 9)), fresh, "SEQ {seq}");
    }
    assert_eq!(array.highest(), sqn(1_000_000, 9));
}

#[test]
fn each_ind_has_its_own_order() {
    let mut array = SqnArray::default();
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
fn a_shorter_ind_has_fewer_slots() {
    let number = |profile: &Profile, seq, number| profile.sqn(seq, ind(number)).unwrap();
    for bits in 0..=5 {
        let profile = Profile::default().with_ind_bits(bits).unwrap();
        let mut array = SqnArray::new(profile);
        // Descending from slot to slot, so that each has to be one of its own.
        for index in 0..1 << bits {
            let seq = 100 - u64::from(index);
            assert!(array.accept(number(&profile, seq, index)), "{bits} bits, IND {index}");
            assert!(!array.accept(number(&profile, seq, index)), "{bits} bits, IND {index}, again");
        }
        assert_eq!(array.highest(), number(&profile, 100, 0), "{bits} bits");
        assert_eq!(array.to_bytes().len(), 6 << bits, "{bits} bits");
        assert_eq!(SqnArray::from_bytes(profile, &array.to_bytes()), Ok(array), "{bits} bits");
    }
}

#[test]
fn no_number_jumps_further_than_delta() {
    for delta in [1, 1000, DELTA] {
        let profile = Profile::default().with_delta(delta).unwrap();
        let start = holding_as(profile, &[sqn(7, 2), sqn(20, 3)]);
        for number in [2, 3, 4] {
            let mut array = start.clone();
            assert!(!array.accept(sqn(20 + delta + 1, number)), "IND {number}, one too far");
            assert_eq!(array, start);
            assert!(array.accept(sqn(20 + delta, number)), "IND {number}, just within");
            assert_eq!(array.highest(), sqn(20 + delta, number));
        }
    }
    assert!(!SqnArray::default().accept(sqn(MAX_SEQ, 0)));
}

#[test]
fn an_array_at_the_end_takes_nothing_more() {
    let profile = Profile::default().with_delta(MAX_SEQ).unwrap();
    let mut array = SqnArray::new(profile);
    assert!(array.accept(sqn(MAX_SEQ, 3)));
    for (seq, number) in [(0, 3), (1, 3), (MAX_SEQ, 3), (0, 4)] {
        assert!(!array.accept(sqn(seq, number)), "SEQ {seq}, IND {number}");
    }
    assert_eq!(array.highest(), sqn(MAX_SEQ, 3));
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
    let start = [sqn(100, 0)];
    assert!(holding(&start).accept(sqn(1, 1)), "no limit unless asked for");
    let profile = Profile::default().with_age_limit(10).unwrap();
    for (seq, fresh) in [(89, false), (90, false), (91, true), (101, true)] {
        let mut array = holding_as(profile, &start);
        assert_eq!(array.accept(sqn(seq, 1)), fresh, "SEQ {seq}");
        assert_eq!(array == holding_as(profile, &start), !fresh, "SEQ {seq}");
    }
}

#[test]
fn a_stored_array_still_refuses_replays() {
    let mut array = holding(&[sqn(3, 0), sqn(2, 17)]);
    let stored = array.to_bytes();
    assert_eq!(hex(&stored), "000000000060000000000051");

    let mut restored = SqnArray::from_bytes(Profile::default(), &stored).unwrap();
    assert_eq!(restored, array);
    assert_eq!(restored.highest(), sqn(3, 0));
    for (seq, number) in [(3, 0), (2, 17), (1, 17)] {
        assert!(!restored.accept(sqn(seq, number)), "SEQ {seq}, IND {number}");
    }
    assert!(restored.accept(sqn(3, 17)) && array.accept(sqn(3, 17)));
    assert_eq!(restored.to_bytes(), array.to_bytes());
}

#[test]
fn a_stored_array_has_one_form() {
    let form = |numbers: &[Sqn]| numbers.iter().flat_map(|sqn| sqn.to_bytes()).collect::<Vec<_>>();
    let read = |bytes: &[u8]| SqnArray::from_bytes(Profile::default(), bytes);
    let error = |bytes: &[u8]| read(bytes).expect_err("not a form that we write");

    let full: Vec<_> = (0..32).map(|number| sqn(u64::from(number) + 1, number)).collect();
    assert_eq!(read(&form(&full)).unwrap().to_bytes().len(), SqnArray::MAX_LEN);
    assert_eq!(read(&[]), Ok(SqnArray::default()));

    assert_eq!(error(&[0; 5]), Malformed::WrongLength);
    assert_eq!(error(&[0, 0, 0, 0, 1, 0, 0]), Malformed::WrongLength);
    assert_eq!(error(&form(&[sqn(0, 4)])), Malformed::OutOfRange, "an empty slot");
    assert_eq!(error(&form(&[sqn(1, 4), sqn(2, 4)])), Malformed::KeyOrder, "an IND twice");
    assert_eq!(error(&form(&[sqn(1, 5), sqn(1, 4)])), Malformed::KeyOrder, "INDs descending");
    assert_eq!(error(&form(&[&full[..], &[sqn(99, 31)]].concat())), Malformed::KeyOrder, "more than 32");

    let without = Profile::default().with_ind_bits(0).unwrap();
    assert!(SqnArray::from_bytes(without, &[0, 0, 0, 0, 0, 1]).is_ok());
    assert_eq!(SqnArray::from_bytes(without, &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2]), Err(Malformed::KeyOrder));
}

/// The clause, letter by letter: SEQ of the next number, or none at the end of the number space.
fn next_by_the_clause(seq_he: u64, n: u32, d: u64, clock: u64) -> u64 {
    let p = 1 << n;
    let (seq1, seq2, glc) = (seq_he / p, seq_he % p, clock % p);
    if seq2 < glc && glc < seq2 + p - d + 1 {
        seq1 * p + glc
    } else if glc <= seq2 && seq2 < glc + d || seq2 + p - d < glc {
        seq_he + 1
    } else {
        assert!(glc + d - 1 < seq2, "the cases cover everything");
        (seq1 + 1) * p + glc
    }
}

/// A profile, and what it was made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) profile: Profile,
    pub(crate) delta: u64,
    pub(crate) age_limit: Option<u64>,
}

/// Any profile, small numbers more often.
pub(crate) fn any_profile() -> impl Strategy<Value = Numbers> {
    let clock = prop_oneof![1_u32..6, 1_u32..=28].prop_flat_map(|n| (Just(n), 1..1_u64 << n));
    let age_limit = prop::option::of(prop_oneof![1_u64..40, 1_u64..1 << 40]);
    let delta = prop_oneof![1_u64..100, 1..1_u64 << 43, Just(DELTA)];
    (0_u32..=5, delta, age_limit, prop::option::of(clock)).prop_map(|(bits, delta, age_limit, clock)| {
        let delta = clock.map_or(delta, |(n, _)| delta.max(1 << n));
        let profile = Profile::default().with_ind_bits(bits).unwrap().with_delta(delta).unwrap();
        let profile = age_limit.map_or(profile, |limit| profile.with_age_limit(limit).unwrap());
        let profile = clock.map_or(profile, |(n, d)| profile.with_clock(n, d).unwrap());
        Numbers { profile, delta, age_limit }
    })
}

/// One that the profile has.
pub(crate) fn ind_of(profile: &Profile, number: u8) -> Ind {
    profile.ind(Sqn::from_bytes([number; 6]))
}

proptest! {
    /// The clause once more, with the array as it stands there.
    #[test]
    fn the_array_follows_the_clause(numbers in prop::collection::vec(any_sqn(), 0..60)) {
        let (mut array, mut seq_ms) = (SqnArray::default(), [0; 32]);
        for sqn in numbers {
            let highest = *seq_ms.iter().max().unwrap();
            let slot = &mut seq_ms[usize::from(Profile::default().ind(sqn).number())];
            let fresh = seq(sqn) > *slot && seq(sqn) <= highest + DELTA;
            if fresh {
                *slot = seq(sqn);
            }
            prop_assert_eq!(array.accept(sqn), fresh, "{:?}", sqn);
            prop_assert_eq!(seq(array.highest()), *seq_ms.iter().max().unwrap());
            prop_assert_eq!(SqnArray::from_bytes(Profile::default(), &array.to_bytes()), Ok(array.clone()));
        }
    }

    #[test]
    fn the_clock_follows_the_clause(
        n in 1_u32..=28,
        d in any::<u64>(),
        seq_he in 0..1_u64 << 42,
        near in -70_i64..70,
        clock in any::<u64>(),
        close in any::<bool>(),
    ) {
        // Near SEQ2 and near the boundary at D, or anywhere.
        let d = 1 + d % ((1 << n) - 1);
        let clock = if close { seq_he.wrapping_add_signed(near).wrapping_sub(d * (clock % 2)) } else { clock };
        let profile = Profile::default().with_clock(n, d).unwrap();
        let next = profile.next(sqn(seq_he, 0), ind(1), clock);
        prop_assert_eq!(next, Ok(sqn(next_by_the_clause(seq_he, n, d, clock), 1)));
    }

    /// Whatever the clock does, an array of the same profile takes every number that comes in the order of its IND, and
    /// none twice; unless so many were lost that it is too far ahead, or it waited longer than L allows.
    #[test]
    fn what_is_generated_is_accepted_once(
        numbers in any_profile(),
        start in prop_oneof![0_u64..20, 0..1_u64 << 42],
        steps in prop::collection::vec((any::<u8>(), prop_oneof![0_u64..40, any::<u64>()], 0_u8..8), 1..80),
    ) {
        let Numbers { profile, delta, age_limit } = numbers;
        let (mut he, mut now) = (profile.sqn(start, ind(0)).unwrap(), start);
        let mut array = holding_as(profile, &[he]);
        let (mut under_way, mut accepted) = (Vec::new(), vec![he]);
        for (number, clock, fate) in steps {
            now = now.wrapping_add(clock);
            he = profile.next(he, ind_of(&profile, number), now).unwrap();
            under_way.push(he);
            if fate < 3 {
                continue;
            }
            // INDs overtake each other, and some numbers never come.
            under_way.sort_by_key(|sqn| (profile.ind(*sqn).number().wrapping_mul(fate), *sqn));
            under_way.retain(|sqn| profile.seq(*sqn) % 8 != u64::from(fate));
            for sqn in under_way.drain(..) {
                let (seq, highest) = (profile.seq(sqn), profile.seq(array.highest()));
                let too_far = seq > highest && seq - highest > delta;
                let too_old = highest > seq && age_limit.is_some_and(|limit| highest - seq >= limit);
                prop_assert_eq!(array.accept(sqn), !too_far && !too_old, "{:?}", sqn);
                if !too_far && !too_old {
                    accepted.push(sqn);
                }
            }
            array = SqnArray::from_bytes(profile, &array.to_bytes()).unwrap();
            for sqn in &accepted {
                prop_assert!(!array.accept(*sqn), "{:?} again", sqn);
            }
        }
    }

    /// One challenge at a time, none lost: no clock gets the network so far ahead that the USIM refuses.
    #[test]
    fn no_step_of_the_clock_is_too_far(
        numbers in any_profile(),
        start in 1..1_u64 << 42,
        clocks in prop::collection::vec(prop_oneof![0_u64..40, any::<u64>()], 1..40),
    ) {
        let Numbers { profile, .. } = numbers;
        let mut he = profile.sqn(start, ind(0)).unwrap();
        let mut array = holding_as(profile, &[he]);
        for clock in clocks {
            he = profile.next(he, ind(0), clock).unwrap();
            prop_assert!(array.accept(he), "{:?}", he);
        }
    }

    #[test]
    fn what_decodes_encodes_to_itself(
        profile in any_profile(),
        numbers in prop::collection::vec(any_sqn(), 0..4),
        cut in 0_usize..8,
    ) {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|sqn| sqn.to_bytes()).collect();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(array) = SqnArray::from_bytes(profile.profile, &bytes) {
            prop_assert_eq!(array.to_bytes().to_vec(), bytes);
        }
    }
}
