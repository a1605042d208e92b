//! MILENAGE-256 (TS 35.235) against TS 35.236, and in the procedures.

use core::array;

use remote_provisioning::{
    aka::{
        AlgorithmSet, Answer, Keys, Milenage256, SqnArray, SubscriberKey, authenticate,
        milenage256::{ALGONAME, Functions, Parameters, opc},
        resynchronise, vector,
    },
    crypto::Secret,
    error::Untrusted,
};

use crate::case::{Case, RAND, hex, sqn};

fn secret<const N: usize>(bytes: &[u8]) -> Secret<N> {
    Secret::from_slice(bytes).unwrap()
}

fn check(case: &Case, k: SubscriberKey<'_>) {
    let len = |name: &str| usize::try_from(case.0[name].as_u64().expect(name)).unwrap();
    let constants = array::from_fn(|i| Case(serde_json::json!({ "c": case.0["c"][i] })).bytes("c"));
    let parameters = Parameters::default().with_constants(constants);
    let parameters = parameters.with_mac_len(len("mac_len")).and_then(|it| it.with_res_len(len("res_len"))).unwrap();
    let parameters = parameters.with_ck_len(len("ck_len")).and_then(|it| it.with_ik_len(len("ik_len"))).unwrap();
    let parameters = parameters.with_ak_len(len("ak_len")).unwrap();

    let opc = opc(k, &secret(&case.hex("op")), case.text("algoname")).unwrap();
    case.check("opc", opc.bytes());
    let functions = Functions::new(k, &opc, parameters);
    let (rand, sqn, management_field) = (&case.bytes("rand"), case.sqn("sqn"), case.bytes("management_field"));
    case.check("f1", functions.f1(rand, sqn, management_field).bytes());
    let mac_s = functions.f1_star(rand, sqn, management_field);
    case.check("f1_star", mac_s.bytes());
    let mut keys = Keys::default();
    functions.f2_to_f5(rand, &mut keys);
    case.check("f2", keys.res.bytes());
    case.check("f3", keys.ck.bytes());
    case.check("f4", keys.ik.bytes());
    case.check("f5", functions.f5(rand).bytes());
    assert_eq!(keys.ak, case.hex("f5")[..6]);
    case.check("f5_star", functions.f5_star(rand).bytes());
    case.check("f5_star_star", functions.f5_star_star(rand, mac_s.bytes()).unwrap().bytes());
}

#[test]
fn milenage256_gives_the_published_values() {
    for case in Case::all(include_str!("../vectors/aka_milenage256.json")) {
        match case.hex("k").len() {
            16 => check(&case, (&secret::<16>(&case.hex("k"))).into()),
            _ => check(&case, (&secret::<32>(&case.hex("k"))).into()),
        }
    }
}

#[test]
fn opc_of_set_1_is_as_published() {
    // The rest of the set has a RAND of 32 bytes.
    let (k, op) = ((0xe0..=0xff).collect::<Vec<u8>>(), (0xc0..=0xdf).collect::<Vec<u8>>());
    let opc = opc(&secret::<32>(&k), &secret(&op), ALGONAME).unwrap();
    assert_eq!(hex(opc.bytes()), "60906e5300622c77062e6683942e8910000fcf3b81fc9aa6d7c4f2a25a5392ac");
}

fn sets() -> [Milenage256; 4] {
    let (short, long) = (secret::<16>(&[0x11; 16]), secret::<32>(&[0x11; 32]));
    let set = |k: SubscriberKey<'_>, parameters| {
        Milenage256::new(Functions::new(k, &opc(k, &secret(&[0x22; 32]), ALGONAME).unwrap(), parameters)).unwrap()
    };
    let (star, star_star) = (Parameters::default(), Parameters::default().with_f5_star_star());
    [
        set((&short).into(), star),
        set((&long).into(), star),
        set((&short).into(), star_star),
        set((&long).into(), star_star),
    ]
}

#[test]
fn both_sides_of_a_set_understand_each_other() {
    for set in sets() {
        let mut array = SqnArray::default();
        let network = vector(&set, &RAND, sqn(41, 7), [0x80, 0]);
        let Answer::Success(keys) = authenticate(&set, &mut array, &network.challenge) else { panic!("refused") };
        assert_eq!(keys.res.bytes(), network.keys.res.bytes());
        assert_eq!(array.highest(), sqn(41, 7));

        let Answer::SyncFailure { auts } = authenticate(&set, &mut array, &network.challenge) else { panic!("twice") };
        assert_eq!(resynchronise(&set, &RAND, &auts), Ok(sqn(41, 7)));
        for bit in 0..14 * 8 {
            let mut damaged = auts;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(resynchronise(&set, &RAND, &damaged), Err(Untrusted::Authentication), "bit {bit}");
        }
        assert_eq!(format!("{set:?}"), "Milenage256(..)");
    }
}

#[test]
fn the_number_in_auts_depends_on_mac_s_with_f5_star_star_only() {
    for (set, depends) in sets().iter().zip([false, false, true, true]) {
        let (concealed, mac_s) = set.f1_star_and_f5_star(&RAND, sqn(41, 7));
        assert_eq!(set.f5_star_and_f1_star(&RAND, &concealed, &mac_s), (sqn(41, 7), mac_s));
        let mut other = mac_s;
        other[7] ^= 1;
        let (revealed, _) = set.f5_star_and_f1_star(&RAND, &concealed, &other);
        assert_eq!(revealed != sqn(41, 7), depends);
    }
}

#[test]
fn lengths_outside_the_standard_are_refused() {
    let default = Parameters::default();
    for (accepted, least, most) in [
        ((0..70).filter(|len| default.with_mac_len(*len).is_ok()).collect::<Vec<_>>(), 8, 32),
        ((0..70).filter(|len| default.with_res_len(*len).is_ok()).collect(), 4, 32),
        ((0..70).filter(|len| default.with_ck_len(*len).is_ok()).collect(), 16, 32),
        ((0..70).filter(|len| default.with_ik_len(*len).is_ok()).collect(), 16, 32),
        ((0..70).filter(|len| default.with_ak_len(*len).is_ok()).collect(), 6, 12),
    ] {
        assert_eq!(accepted, (least..=most).collect::<Vec<usize>>());
    }
    assert!(default.with_mac_len(256 + 8).is_err());

    let (k, op) = (secret::<32>(&[1; 32]), secret(&[2; 32]));
    assert!(opc(&k, &op, &"x".repeat(31)).is_ok());
    assert!(opc(&k, &op, &"x".repeat(32)).is_err());
    assert!(opc(&k, &op, "é").is_err());
    assert!(Functions::new(&k, &op, default).f5_star_star(&RAND, &[0; 9]).is_err());
    assert!(Milenage256::new(Functions::new(&k, &op, default.with_mac_len(9).unwrap())).is_err());
    assert!(Milenage256::new(Functions::new(&k, &op, default.with_ak_len(7).unwrap())).is_err());
}
