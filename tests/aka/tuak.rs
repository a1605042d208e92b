//! Tuak (TS 35.231) against TS 35.233, and in the procedures.

use remote_provisioning::{
    aka::{
        Answer, Challenge, Keys, Output, SqnArray, Tuak, Vector, authenticate, resynchronise,
        tuak::{Functions, Parameters, topc},
        vector, vector_into,
    },
    crypto::Secret,
    error::Untrusted,
};

use crate::case::{Case, RAND, before, hex, holding, sqn};

const FILE: &str = include_str!("../vectors/aka_tuak.json");

fn number(case: &Case, name: &str) -> usize {
    case.0[name].as_u64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn parameters(case: &Case) -> Parameters {
    let parameters = Parameters::default().with_mac_len(number(case, "mac_len")).unwrap();
    let parameters = parameters.with_res_len(number(case, "res_len")).unwrap();
    let parameters = parameters.with_ck_len(number(case, "ck_len")).unwrap();
    let parameters = parameters.with_ik_len(number(case, "ik_len")).unwrap();
    parameters.with_iterations(number(case, "iterations").try_into().unwrap()).unwrap()
}

/// TOPc, and the functions under K and the published TOPc.
fn of(case: &Case) -> (Secret<32>, Functions) {
    let (top, published) = (secret(&case.bytes("top")), secret(&case.bytes("topc")));
    let parameters = parameters(case);
    match case.hex("k").len() {
        16 => (topc(&case.secret("k"), &top, parameters), Functions::new(&case.secret("k"), &published, parameters)),
        _ => {
            let k = secret::<32>(&case.bytes("k"));
            (topc(&k, &top, parameters), Functions::new(&k, &published, parameters))
        }
    }
}

fn secret<const N: usize>(bytes: &[u8; N]) -> Secret<N> {
    Secret::from_slice(bytes).unwrap()
}

/// Under K of 16 and of 32 bytes.
fn sets() -> [Tuak; 2] {
    let parameters = Parameters::default().with_res_len(16).unwrap();
    let short = Functions::new(&secret(&[0x11; 16]), &secret(&[0x22; 32]), parameters);
    let long = Functions::new(&secret(&[0x11; 32]), &secret(&[0x22; 32]), parameters);
    [short, long].map(|functions| Tuak::new(functions).unwrap())
}

#[test]
fn tuak_gives_the_published_values() {
    for case in Case::all(FILE) {
        let ((topc, functions), rand) = (of(&case), &case.bytes("rand"));
        let (sqn, management_field) = (case.sqn("sqn"), case.bytes("management_field"));

        case.check("topc", topc.bytes());
        case.check("f1", functions.f1(rand, sqn, management_field).bytes());
        case.check("f1_star", functions.f1_star(rand, sqn, management_field).bytes());
        let mut keys = Keys::default();
        functions.f2_to_f5(rand, &mut keys);
        case.check("f2", keys.res.bytes());
        case.check("f3", keys.ck.bytes());
        case.check("f4", keys.ik.bytes());
        case.check("f5", &keys.ak);
        case.check("f5_star", &functions.f5_star(rand));
    }
}

#[test]
fn a_vector_holds_the_functions_of_its_set() {
    let mut seen = 0;
    for case in Case::all(FILE).iter().filter(|case| number(case, "mac_len") == 8) {
        let tuak = Tuak::new(of(case).1).unwrap();
        let (sqn, rand) = (case.sqn("sqn"), case.bytes("rand"));
        let vector = vector(&tuak, &rand, sqn, case.bytes("management_field"));

        case.check("management_field", &vector.challenge.autn[6..8]);
        case.check("f1", &vector.challenge.autn[8..]);
        case.check("f2", vector.keys.res.bytes());
        case.check("f3", vector.keys.ck.bytes());
        case.check("f4", vector.keys.ik.bytes());
        case.check("f5", &vector.keys.ak);
        let concealed = sqn.to_bytes().iter().zip(case.bytes::<6>("f5")).map(|(sqn, ak)| sqn ^ ak).collect::<Vec<_>>();
        assert_eq!(vector.challenge.autn[..6], concealed);
        seen += 1;
    }
    assert_eq!(seen, 1, "sets with a MAC of 8 bytes");
}

#[test]
fn auts_is_made_of_f1_star_and_f5_star() {
    let k = secret(&[0x11; 32]);
    let functions = Functions::new(&k, &secret(&[0x22; 32]), Parameters::default());
    let tuak = Tuak::new(functions.clone()).unwrap();
    let stale = vector(&tuak, &RAND, sqn(5, 0), [0x80, 0]).challenge;
    let Answer::SyncFailure { auts } = authenticate(&tuak, &mut holding(&[sqn(5, 0)]), &stale) else {
        panic!("not stale");
    };
    // AMF is zero in AUTS, whatever the challenge had (TS 33.102 §6.3.3).
    assert_eq!(auts[6..], *functions.f1_star(&RAND, sqn(5, 0), [0, 0]).bytes());
    let sqn_ms = auts.iter().zip(functions.f5_star(&RAND)).map(|(concealed, ak)| concealed ^ ak).collect::<Vec<_>>();
    assert_eq!(sqn_ms, sqn(5, 0).to_bytes());
}

#[test]
fn both_sides_agree_and_resynchronise_with_either_length_of_k() {
    for tuak in sets() {
        let mut array = SqnArray::default();
        let sent = vector(&tuak, &RAND, sqn(41, 7), [0x80, 0]);
        let Answer::Success(keys) = authenticate(&tuak, &mut array, &sent.challenge) else {
            panic!("a fresh challenge is refused");
        };
        assert_eq!(keys.res.bytes(), sent.keys.res.bytes());
        assert_eq!((keys.ck.bytes(), keys.ik.bytes()), (sent.keys.ck.bytes(), sent.keys.ik.bytes()));
        assert_eq!(array.highest(), sqn(41, 7));

        let Answer::SyncFailure { auts } = authenticate(&tuak, &mut array, &sent.challenge) else {
            panic!("a replay is taken");
        };
        assert_eq!(resynchronise(&tuak, &RAND, &auts), Ok(sqn(41, 7)));
        for bit in 0..14 * 8 {
            let mut damaged = auts;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(resynchronise(&tuak, &RAND, &damaged), Err(Untrusted::Authentication), "bit {bit} of AUTS");
        }

        let next = vector(&tuak, &RAND, sqn(42, 7), [0x80, 0]).challenge;
        assert!(matches!(authenticate(&tuak, &mut array, &next), Answer::Success(_)));
    }
}

#[test]
fn a_damaged_challenge_is_a_mac_failure() {
    for tuak in sets() {
        let fresh = vector(&tuak, &RAND, sqn(10, 3), [0x80, 0]).challenge;
        let at_nine = holding(&[before(sqn(10, 3))]);
        for bit in 0..256 {
            let mut damaged = fresh;
            let field = if bit < 128 { &mut damaged.autn } else { &mut damaged.rand };
            field[bit % 128 / 8] ^= 1 << (bit % 8);
            let mut array = at_nine.clone();
            let answer = authenticate(&tuak, &mut array, &damaged);
            assert!(matches!(answer, Answer::MacFailure), "bit {bit} of AUTN and RAND: {answer:?}");
            assert_eq!(array, at_nine, "bit {bit} of AUTN and RAND");
        }
        assert!(matches!(authenticate(&tuak, &mut at_nine.clone(), &fresh), Answer::Success(_)));
    }
}

#[test]
fn a_short_key_filled_up_with_zeros_is_another_key() {
    let (short, top, standard) = (secret(&[0x11; 16]), secret(&[0x22; 32]), Parameters::default());
    let of_short = Functions::new(&short, &top, standard);
    for halves in [[0x11, 0], [0, 0x11]] {
        let long: Secret<32> = Secret::from_slice(&halves.map(|byte| [byte; 16]).concat()).unwrap();
        let of_long = Functions::new(&long, &top, standard);
        assert_ne!(topc(&short, &top, standard).bytes(), topc(&long, &top, standard).bytes());
        assert_ne!(of_short.f1(&RAND, sqn(1, 0), [0, 0]).bytes(), of_long.f1(&RAND, sqn(1, 0), [0, 0]).bytes());
        assert_ne!(
            of_short.f1_star(&RAND, sqn(1, 0), [0, 0]).bytes(),
            of_long.f1_star(&RAND, sqn(1, 0), [0, 0]).bytes()
        );
        assert_ne!(of_short.f5_star(&RAND), of_long.f5_star(&RAND));
    }
}

#[test]
fn an_output_of_one_length_is_not_the_beginning_or_end_of_another() {
    let with = |parameters| Functions::new(&secret(&[0x11; 16]), &secret(&[0x22; 32]), parameters);
    let overlap = |long: &Output, short: &Output| {
        long.bytes().starts_with(short.bytes()) || long.bytes().ends_with(short.bytes())
    };
    let keys = |parameters| {
        let mut keys = Keys::default();
        with(parameters).f2_to_f5(&RAND, &mut keys);
        keys
    };
    let standard = Parameters::default();
    let macs = [8, 16, 32].map(|len| with(standard.with_mac_len(len).unwrap()).f1(&RAND, sqn(1, 0), [0, 0]));
    let responses = [4, 8, 16, 32].map(|len| keys(standard.with_res_len(len).unwrap()).res.clone());
    for pair in macs.windows(2).chain(responses.windows(2)) {
        assert!(pair[0].bytes().len() < pair[1].bytes().len() && !overlap(&pair[1], &pair[0]));
    }
    let (short, long_ck, long_ik) =
        (keys(standard), keys(standard.with_ck_len(32).unwrap()), keys(standard.with_ik_len(32).unwrap()));
    assert_eq!([long_ck.ck.bytes().len(), long_ck.ik.bytes().len()], [32, 16]);
    assert_eq!([long_ik.ck.bytes().len(), long_ik.ik.bytes().len()], [16, 32]);
    assert!(!overlap(&long_ck.ck, &short.ck) && !overlap(&long_ik.ik, &short.ik));
    assert!(short.ak != long_ck.ak && short.ak != long_ik.ak && long_ck.ak != long_ik.ak);
}

#[test]
fn lengths_and_iterations_that_tuak_does_not_have_are_refused() {
    let standard = Parameters::default();
    for len in (0..=64).chain([usize::MAX]) {
        assert_eq!(standard.with_mac_len(len).is_ok(), [8, 16, 32].contains(&len), "MAC of {len}");
        assert_eq!(standard.with_res_len(len).is_ok(), [4, 8, 16, 32].contains(&len), "RES of {len}");
        assert_eq!(standard.with_ck_len(len).is_ok(), [16, 32].contains(&len), "CK of {len}");
        assert_eq!(standard.with_ik_len(len).is_ok(), [16, 32].contains(&len), "IK of {len}");
    }
    assert!(standard.with_iterations(0).is_err());
    assert!(standard.with_iterations(1).is_ok() && standard.with_iterations(u32::MAX).is_ok());
}

#[test]
fn a_mac_too_long_for_autn_makes_no_algorithm_set() {
    for (len, fits) in [(8, true), (16, false), (32, false)] {
        let parameters = Parameters::default().with_mac_len(len).unwrap();
        let functions = Functions::new(&secret(&[0x11; 16]), &secret(&[0x22; 32]), parameters);
        assert_eq!(Tuak::new(functions).is_ok(), fits, "MAC of {len}");
    }
}

#[test]
fn a_vector_in_place_allocates_nothing() {
    let [tuak, _] = sets();
    let mut vector = Vector::zeroed();
    let counted = allocation_counter::measure(|| vector_into(&tuak, &RAND, sqn(1, 0), [0x80, 0], &mut vector));
    assert_eq!(counted.count_total, 0);
    assert_ne!(vector.challenge, Challenge { rand: [0; 16], autn: [0; 16] });
}

#[test]
fn secrets_are_silent() {
    let (k, topc) = (secret(&[0x11; 32]), secret(&[0x22; 32]));
    let functions = Functions::new(&k, &topc, Parameters::default());
    let mac = functions.f1(&RAND, sqn(1, 0), [0, 0]);
    assert!(!format!("{mac:?}").contains(&hex(mac.bytes())));
    assert_eq!(format!("{functions:?} {:?}", Tuak::new(functions.clone()).unwrap()), "Functions(..) Tuak(..)");
}
