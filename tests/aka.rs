//! AKA against published numbers, and its behaviour where the numbers are silent.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

use core::{array, fmt::Debug};

use proptest::prelude::*;
use remote_provisioning::{
    aka::{
        Answer, Challenge, Ind, Milenage, Sqn, SqnArray, authenticate,
        keys::{hres_star, res_star, serving_network_name},
        milenage::opc,
        resynchronise, vector,
    },
    crypto::Secret,
    error::{Malformed, Untrusted},
    identity::Plmn,
};
use serde_json::Value;

// Published numbers.

struct Case(Value);

impl Case {
    fn all(json: &str) -> Vec<Self> {
        let file: Value = serde_json::from_str(json).expect("a JSON file");
        let cases: Vec<_> = file["cases"].as_array().expect("cases").iter().cloned().map(Self).collect();
        assert!(!cases.is_empty(), "no cases");
        cases
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{} has no {name}", self.0))
    }

    fn bytes<const N: usize>(&self, name: &str) -> [u8; N] {
        let digits = self.text(name);
        assert_eq!(digits.len(), 2 * N, "length of {} in {}", name, self.0);
        array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hex"))
    }

    fn secret(&self, name: &str) -> Secret<16> {
        Secret::from_slice(&self.bytes::<16>(name)).unwrap()
    }

    fn sqn(&self, name: &str) -> Sqn {
        Sqn::from_bytes(self.bytes(name))
    }

    fn milenage(&self) -> Milenage {
        Milenage::new(&self.secret("k"), &self.secret("opc"))
    }

    #[track_caller]
    fn check<const N: usize>(&self, name: &str, got: &[u8; N]) {
        assert_eq!(hex(got), hex(&self.bytes::<N>(name)), "{name} of {}", self.text("name"));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn milenage_gives_the_published_values() {
    for case in Case::all(include_str!("vectors/aka_milenage.json")) {
        let (milenage, rand) = (case.milenage(), &case.bytes("rand"));
        let (sqn, management_field) = (case.sqn("sqn"), case.bytes("management_field"));

        case.check("opc", opc(&case.secret("k"), &case.secret("op")).bytes());
        case.check("f1", &milenage.f1(rand, sqn, management_field));
        case.check("f1_star", &milenage.f1_star(rand, sqn, management_field));
        case.check("f2", &milenage.f2(rand));
        case.check("f3", milenage.f3(rand).bytes());
        case.check("f4", milenage.f4(rand).bytes());
        case.check("f5", &milenage.f5(rand));
        case.check("f5_star", &milenage.f5_star(rand));
    }
}

#[test]
fn a_vector_holds_the_functions_of_its_set() {
    for case in Case::all(include_str!("vectors/aka_milenage.json")) {
        let vector = vector(&case.milenage(), &case.bytes("rand"), case.sqn("sqn"), case.bytes("management_field"));

        case.check("rand", &vector.challenge.rand);
        case.check("management_field", vector.challenge.autn[6..].first_chunk::<2>().unwrap());
        case.check("f1", vector.challenge.autn.last_chunk::<8>().unwrap());
        case.check("f2", &vector.xres);
        case.check("f3", vector.ck.bytes());
        case.check("f4", vector.ik.bytes());
    }
}

#[test]
fn both_sides_give_the_published_vectors() {
    for case in Case::all(include_str!("vectors/aka_autn.json")) {
        let (milenage, sqn) = (case.milenage(), case.sqn("sqn"));
        let network = vector(&milenage, &case.bytes("rand"), sqn, case.bytes("management_field"));

        case.check("autn", &network.challenge.autn);
        case.check("res", &network.xres);
        case.check("ck", network.ck.bytes());
        case.check("ik", network.ik.bytes());

        let challenge = Challenge { rand: case.bytes("rand"), autn: case.bytes("autn") };
        let mut array = holding(&[before(sqn)]);
        let Answer::Success { res, ck, ik } = authenticate(&milenage, &mut array, &challenge) else {
            panic!("{} is refused", case.text("name"));
        };
        case.check("sqn", &array.highest().to_bytes());
        case.check("res", &res);
        case.check("ck", ck.bytes());
        case.check("ik", ik.bytes());
    }
}

#[test]
fn the_network_resynchronises_as_published() {
    let mut resyncs = 0;
    for case in Case::all(include_str!("vectors/aka_auts.json")) {
        let (milenage, rand) = (case.milenage(), case.bytes("rand"));
        let sqn_ms = resynchronise(&milenage, &rand, &case.bytes("auts"));
        let sqn_ms = sqn_ms.unwrap_or_else(|error| panic!("auts of {}: {error}", case.text("name")));
        case.check("sqn_ms", &sqn_ms.to_bytes());

        for resync in case.0["resync"].as_array().expect("resync").iter().cloned() {
            let ind = resync["ind"].as_u64().and_then(|ind| Ind::new(ind.try_into().ok()?)).expect("ind");
            let resync = Case(with_name(resync, case.text("name")));
            let next = sqn_ms.next(ind).unwrap();
            resync.check("next_sqn", &next.to_bytes());
            resync.check("next_autn", &vector(&milenage, &rand, next, [0, 0]).challenge.autn);
            resyncs += 1;
        }
    }
    assert_eq!(resyncs, 2, "resynchronisations in the file");
}

#[test]
fn the_usim_gives_the_published_auts() {
    let mut seen = 0;
    for case in Case::all(include_str!("vectors/aka_auts.json")) {
        let (milenage, sqn_ms) = (case.milenage(), case.sqn("sqn_ms"));
        if sqn_ms.seq() == 0 {
            continue; // Not a number that a USIM with 5 bits of IND has accepted.
        }
        let stale = vector(&milenage, &case.bytes("rand"), sqn_ms, [0x12, 0x34]).challenge;
        case.check("auts", &sync_failure(&milenage, &mut holding(&[sqn_ms]), &stale));
        seen += 1;
    }
    assert_eq!(seen, 1, "cases with SEQ above 0");
}

#[test]
fn res_star_and_hres_star_are_as_published() {
    let network_name = serving_network_name(&Plmn::new("001", "01").unwrap());
    let mut hres_stars = 0;
    for case in Case::all(include_str!("vectors/aka_res_star.json")) {
        assert_eq!(&network_name, case.text("serving_network_name"), "name in {}", case.text("name"));
        let (ck, ik, rand) = (case.secret("ck"), case.secret("ik"), case.bytes("rand"));
        let res_star = match case.text("res").len() {
            16 => res_star(&ck, &ik, &network_name, &rand, &case.bytes::<8>("res")),
            32 => res_star(&ck, &ik, &network_name, &rand, &case.bytes::<16>("res")),
            other => panic!("RES of {other} digits in {}", case.text("name")),
        };
        case.check("res_star", &res_star);
        if case.0.get("hres_star").is_some() {
            case.check("hres_star", &hres_star(&rand, &res_star));
            hres_stars += 1;
        }
    }
    assert_eq!(hres_stars, 1, "HRES* in the file");
}

#[test]
fn the_mnc_in_a_network_name_has_three_digits() {
    for (mcc, mnc, name) in [
        ("262", "02", "5G:mnc002.mcc262.3gppnetwork.org"),
        ("310", "410", "5G:mnc410.mcc310.3gppnetwork.org"),
        ("999", "070", "5G:mnc070.mcc999.3gppnetwork.org"),
    ] {
        assert_eq!(serving_network_name(&Plmn::new(mcc, mnc).unwrap()).as_str(), name);
    }
}

// The exchange.

#[test]
fn a_damaged_challenge_changes_nothing() {
    let milenage = milenage();
    let fresh = challenge(&milenage, sqn(10, 3));
    let stale = challenge(&milenage, sqn(9, 3));
    let at_nine = holding(&[sqn(9, 3), sqn(8, 4)]);

    for (challenge, bit) in [fresh, stale].into_iter().flat_map(|challenge| (0..256).map(move |bit| (challenge, bit))) {
        let mut damaged = challenge;
        let field = if bit < 128 { &mut damaged.autn } else { &mut damaged.rand };
        field[bit % 128 / 8] ^= 1 << (bit % 8);
        let mut array = at_nine.clone();

        let answer = authenticate(&milenage, &mut array, &damaged);
        assert!(matches!(answer, Answer::MacFailure), "bit {bit} of AUTN and RAND: {answer:?}");
        assert_eq!(array, at_nine, "bit {bit} of AUTN and RAND");
    }
    assert!(matches!(authenticate(&milenage, &mut at_nine.clone(), &fresh), Answer::Success { .. }));
}

#[test]
fn another_key_is_a_mac_failure() {
    let challenge = challenge(&milenage(), sqn(1, 0));
    for (k, opc) in [(0x11, 0x23), (0x12, 0x22)] {
        let stranger = Milenage::new(&Secret::from_slice(&[k; 16]).unwrap(), &Secret::from_slice(&[opc; 16]).unwrap());
        let mut array = SqnArray::new();
        assert!(matches!(authenticate(&stranger, &mut array, &challenge), Answer::MacFailure), "K {k:x}, OPc {opc:x}");
        assert_eq!(array, SqnArray::new());
    }
}

#[test]
fn a_replay_leads_to_a_resynchronisation() {
    let milenage = milenage();
    let mut array = SqnArray::new();
    let first = challenge(&milenage, sqn(41, 7));
    assert!(matches!(authenticate(&milenage, &mut array, &first), Answer::Success { .. }));

    let before = array.clone();
    let auts = sync_failure(&milenage, &mut array, &first);
    assert_eq!(array, before, "a refusal changes nothing");

    let sqn_ms = resynchronise(&milenage, &first.rand, &auts).unwrap();
    assert_eq!(sqn_ms, sqn(41, 7));
    let next = challenge(&milenage, sqn_ms.next(Ind::new(7).unwrap()).unwrap());
    assert!(matches!(authenticate(&milenage, &mut array, &next), Answer::Success { .. }));
    assert_eq!(array.highest(), sqn(42, 7));
}

#[test]
fn a_damaged_auts_is_not_believed() {
    let milenage = milenage();
    let replayed = challenge(&milenage, sqn(5, 0));
    let auts = sync_failure(&milenage, &mut holding(&[sqn(5, 0)]), &replayed);
    assert_eq!(resynchronise(&milenage, &replayed.rand, &auts), Ok(sqn(5, 0)));

    for bit in 0..14 * 8 {
        let mut damaged = auts;
        damaged[bit / 8] ^= 1 << (bit % 8);
        let answer = resynchronise(&milenage, &replayed.rand, &damaged);
        assert_eq!(answer, Err(Untrusted::Authentication), "bit {bit}");
    }
    let other_rand = resynchronise(&milenage, &[0x77; 16], &auts);
    assert_eq!(other_rand, Err(Untrusted::Authentication), "for another RAND");
}

#[test]
fn an_auts_is_no_challenge() {
    // f1 and f1* share a block: MAC-S must not pass for MAC-A.
    let milenage = milenage();
    let replayed = challenge(&milenage, sqn(5, 0));
    let [s0, s1, s2, s3, s4, s5, mac_s @ ..] = sync_failure(&milenage, &mut holding(&[sqn(5, 0)]), &replayed);
    let mut autn = [s0, s1, s2, s3, s4, s5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    autn[8..].copy_from_slice(&mac_s);
    let forged = Challenge { rand: replayed.rand, autn };
    assert!(matches!(authenticate(&milenage, &mut SqnArray::new(), &forged), Answer::MacFailure));
}

#[test]
fn secrets_are_silent() {
    let milenage = milenage();
    let vector = vector(&milenage, &RAND, sqn(1, 0), [0x80, 0]);
    let answer = authenticate(&milenage, &mut SqnArray::new(), &vector.challenge);

    let shows = |what: &dyn Debug, bytes: &[u8]| {
        let list = format!("{bytes:?}");
        let text = format!("{what:?}");
        text.contains(&hex(bytes)) || text.contains(list.trim_matches(['[', ']']))
    };
    assert!(shows(&vector, &vector.challenge.autn), "the search works");
    for secret in [&vector.xres[..], vector.ck.bytes(), vector.ik.bytes()] {
        assert!(!shows(&vector, secret) && !shows(&answer, secret));
    }
    assert_eq!(format!("{milenage:?} {answer:?}"), "Milenage(..) Success { .. }");
}

// Sequence numbers.

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

// Helpers.

const RAND: [u8; 16] = [0xa5; 16];
const DELTA: u64 = 1 << 28;
const MAX_SEQ: u64 = (1 << 43) - 1;

fn milenage() -> Milenage {
    Milenage::new(&Secret::from_slice(&[0x11; 16]).unwrap(), &Secret::from_slice(&[0x22; 16]).unwrap())
}

fn challenge(milenage: &Milenage, sqn: Sqn) -> Challenge {
    vector(milenage, &RAND, sqn, [0x80, 0]).challenge
}

fn ind(number: u8) -> Ind {
    Ind::new(number).expect("below 32")
}

fn sqn(seq: u64, number: u8) -> Sqn {
    Sqn::new(seq, ind(number)).expect("43 bits")
}

/// One SEQ lower; 0 stays.
fn before(sqn: Sqn) -> Sqn {
    Sqn::new(sqn.seq().saturating_sub(1), sqn.ind()).unwrap()
}

/// An array that has accepted these, by ascending IND.
fn holding(numbers: &[Sqn]) -> SqnArray {
    let used = numbers.iter().filter(|sqn| sqn.seq() > 0);
    SqnArray::from_bytes(&used.flat_map(|sqn| sqn.to_bytes()).collect::<Vec<_>>()).expect("ascending INDs")
}

#[track_caller]
fn sync_failure(milenage: &Milenage, array: &mut SqnArray, challenge: &Challenge) -> [u8; 14] {
    match authenticate(milenage, array, challenge) {
        Answer::SyncFailure { auts } => auts,
        other => panic!("not a sync failure: {other:?}"),
    }
}

fn with_name(mut value: Value, name: &str) -> Value {
    value["name"] = name.into();
    value
}

/// Few INDs, and SEQs near the edges, so that numbers meet.
fn any_sqn() -> impl Strategy<Value = Sqn> {
    let seq = prop_oneof![0_u64..20, DELTA - 2..DELTA + 20, 2 * DELTA - 2..2 * DELTA + 20, 0..=MAX_SEQ];
    (seq, prop_oneof![0_u8..3, 0_u8..32]).prop_map(|(seq, number)| sqn(seq, number))
}
