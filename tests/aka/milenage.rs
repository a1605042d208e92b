//! Milenage (TS 35.206) against TS 35.207.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use remote_provisioning::{
    aka::{
        self, Answer, Challenge, Ind, Keys, Order, Sqn, SqnArray, Subscriber, Vector, authenticate,
        milenage::{Constants, opc},
        resynchronise,
        sqn::Profile,
        vector, vector_into,
    },
    error::Misuse,
};

use crate::case::{Case, RAND, before, holding, holding_as, milenage, sqn, sync_failure, with_name};

#[test]
fn milenage_gives_the_published_values() {
    for case in Case::all(include_str!("../vectors/aka_milenage.json")) {
        let (milenage, rand) = (case.milenage(), &case.bytes("rand"));
        let (sqn, management_field) = (case.sqn("sqn"), case.bytes("management_field"));

        case.check("opc", opc(&case.secret("k"), &case.secret("op")).bytes());
        case.check("f1", &milenage.f1(rand, sqn, management_field));
        case.check("f1_star", &milenage.f1_star(rand, sqn, management_field));
        let mut keys = Keys::default();
        milenage.f2_to_f5(rand, &mut keys);
        case.check("f2", keys.res.bytes());
        case.check("f3", keys.ck.bytes());
        case.check("f4", keys.ik.bytes());
        case.check("f5", &keys.ak);
        case.check("f5_star", &milenage.f5_star(rand));
    }
}

#[test]
fn a_vector_holds_the_functions_of_its_set() {
    for case in Case::all(include_str!("../vectors/aka_milenage.json")) {
        let vector = vector(&case.milenage(), &case.bytes("rand"), case.sqn("sqn"), case.bytes("management_field"));

        case.check("rand", &vector.challenge.rand);
        case.check("management_field", &vector.challenge.autn[6..8]);
        case.check("f1", &vector.challenge.autn[8..]);
        case.check("f2", vector.keys.res.bytes());
        case.check("f3", vector.keys.ck.bytes());
        case.check("f4", vector.keys.ik.bytes());
    }
}

#[test]
fn both_sides_give_the_published_vectors() {
    for case in Case::all(include_str!("../vectors/aka_autn.json")) {
        let (milenage, sqn) = (case.milenage(), case.sqn("sqn"));
        let network = vector(&milenage, &case.bytes("rand"), sqn, case.bytes("management_field"));

        case.check("autn", &network.challenge.autn);
        case.check("res", network.keys.res.bytes());
        case.check("ck", network.keys.ck.bytes());
        case.check("ik", network.keys.ik.bytes());

        let challenge = Challenge { rand: case.bytes("rand"), autn: case.bytes("autn") };
        let mut array = holding(&[before(sqn)]);
        let Answer::Success(keys) = authenticate(&milenage, &mut array, &challenge) else {
            panic!("{} is refused", case.text("name"));
        };
        case.check("sqn", &array.highest().to_bytes());
        case.check("res", keys.res.bytes());
        case.check("ck", keys.ck.bytes());
        case.check("ik", keys.ik.bytes());
    }
}

#[test]
fn the_network_resynchronises_as_published() {
    let mut resyncs = 0;
    for case in Case::all(include_str!("../vectors/aka_auts.json")) {
        let (milenage, rand) = (case.milenage(), case.bytes("rand"));
        let sqn_ms = resynchronise(&milenage, &rand, &case.bytes("auts"));
        let sqn_ms = sqn_ms.unwrap_or_else(|error| panic!("auts of {}: {error}", case.text("name")));
        case.check("sqn_ms", &sqn_ms.to_bytes());

        for resync in case.0["resync"].as_array().expect("resync").iter().cloned() {
            let ind = resync["ind"].as_u64().and_then(|ind| Ind::new(ind.try_into().ok()?)).expect("ind");
            let resync = Case(with_name(resync, case.text("name")));
            let bits = resync.0["ind_bits"].as_u64().and_then(|bits| bits.try_into().ok()).expect("ind_bits");
            let profile = Profile::default().with_ind_bits(bits).unwrap();
            let next = profile.next(sqn_ms, ind, 0).unwrap();
            resync.check("next_sqn", &next.to_bytes());
            let mut subscriber = Subscriber::new(milenage.clone(), profile);
            subscriber.resynchronise(&rand, &case.bytes("auts"), 0).unwrap();
            let made = subscriber.vector(&rand, ind, [0, 0], 0).unwrap();
            assert_eq!(subscriber.sqn(), next);
            resync.check("next_autn", &made.challenge.autn);
            resyncs += 1;
        }
    }
    assert_eq!(resyncs, 3, "resynchronisations in the file");
}

#[test]
fn the_usim_gives_the_published_auts() {
    // Without IND, any number above 0 is one that a USIM may have accepted.
    let profile = Profile::default().with_ind_bits(0).unwrap();
    for case in Case::all(include_str!("../vectors/aka_auts.json")) {
        let (milenage, sqn_ms) = (case.milenage(), case.sqn("sqn_ms"));
        let stale = vector(&milenage, &case.bytes("rand"), sqn_ms, [0x12, 0x34]).challenge;
        case.check("auts", &sync_failure(&milenage, &mut holding_as(profile, &[sqn_ms]), &stale));
    }
}

#[test]
fn vectors_are_made_in_place() {
    let milenage = milenage();
    let mut vectors = vec![Vector::zeroed(); 3];
    let order = |number| Order { set: &milenage, rand: [number; 16], sqn: sqn(9, number), management_field: [0x80, 0] };

    let allocations = allocation_counter::measure(|| {
        vector_into(&milenage, &[7; 16], sqn(9, 0), [0x80, 0], &mut vectors[0]);
        assert_eq!(aka::vectors((0..9).map(order), &mut vectors), 3, "as many as there is room for");
        assert_eq!(aka::vectors((0..2).map(order), &mut vectors), 2, "as many as were ordered");
    });
    assert_eq!(allocations.count_total, 0);
    for (made, number) in vectors.iter().zip(0..) {
        let alone = vector(&milenage, &[number; 16], sqn(9, number), [0x80, 0]);
        assert_eq!(made.challenge, alone.challenge);
        assert_eq!(shown(&made.keys), shown(&alone.keys));
    }
}

#[test]
fn a_short_res_is_the_beginning_of_a_long_one() {
    let whole = vector(&milenage(), &RAND, sqn(1, 0), [0, 0]);
    for len in 0..=17 {
        match milenage().with_res_len(len) {
            Ok(milenage) => {
                let short = vector(&milenage, &RAND, sqn(1, 0), [0, 0]);
                assert_eq!(short.keys.res.bytes(), &whole.keys.res.bytes()[..len]);
                assert_eq!((short.challenge, short.keys.ak), (whole.challenge, whole.keys.ak));
            }
            Err(error) => assert!(!(4..=8).contains(&len), "{len}: {error}"),
        }
        assert_eq!(milenage().with_res_len(len).is_ok(), (4..=8).contains(&len));
    }
}

const C: [u128; 5] = [0, 1, 2, 4, 8];
const R: [u8; 5] = [64, 0, 32, 64, 96];

fn constants(c: [u128; 5], r: [u8; 5]) -> Result<Constants, Misuse> {
    Constants::new(c.map(u128::to_be_bytes), r)
}

#[test]
fn the_standard_constants_may_be_given_by_hand() {
    assert_eq!(constants(C, R), Ok(Constants::STANDARD));
    let (plain, given) = (milenage(), milenage().with_constants(Constants::STANDARD));
    let plain = vector(&plain, &RAND, sqn(1, 0), [0x80, 0]);
    let given = vector(&given, &RAND, sqn(1, 0), [0x80, 0]);
    assert_eq!(plain.challenge, given.challenge);
    assert_eq!(shown(&plain.keys), shown(&given.keys));
}

#[test]
fn constants_that_mix_outputs_up_are_refused() {
    let refused = |c, r, what: &str| assert!(matches!(constants(c, r), Err(Misuse::Parameter(_))), "{what}");
    for i in 0..5 {
        let mut r = R;
        r[i] = 128;
        refused(C, r, "a rotation by 128 bits");
        let mut c = C;
        c[i] ^= 1 << 77;
        refused(c, R, "wrong parity");
    }
    for (i, j) in [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)] {
        let (mut c, mut r) = (C, R);
        (c[i], r[i]) = (c[j], r[j]);
        refused(c, r, "two outputs of the same input");
        r[i] ^= 1;
        assert!(constants(c, r).is_ok(), "equal c with different r");
    }
}

/// The formulas of TS 35.206 §4.1 once more, bit by bit, over the same cipher.
#[test]
fn own_constants_follow_the_formulas() {
    let (k, opc, rand) = ([0x11; 16], [0x22_u8; 16], [0xa5_u8; 16]);
    let c = [0b11 << 90, 1 << 127, 7 << 40, 1 << 3, 31];
    let r = [1, 127, 65, 0, 8];
    let e = |x: [u8; 16]| {
        let mut block = x;
        aes::Aes128Enc::new(&k.into()).encrypt_block((&mut block).into());
        block
    };
    let xor = |a: [u8; 16], b: [u8; 16]| -> [u8; 16] { core::array::from_fn(|i| a[i] ^ b[i]) };
    let bit = |x: &[u8; 16], i: usize| x[i / 8] >> (7 - i % 8) & 1;
    // Output bit i is input bit i + r (TS 35.206 §3.2).
    let rot = |x: [u8; 16], r: u8| -> [u8; 16] {
        let mut out = [0; 16];
        (0..128).for_each(|i| out[i / 8] |= bit(&x, (i + usize::from(r)) % 128) << (7 - i % 8));
        out
    };
    let temp = e(xor(rand, opc));
    let in1 = [1, 2, 3, 4, 5, 6, 0x80, 1, 1, 2, 3, 4, 5, 6, 0x80, 1];
    let c_bytes = c.map(u128::to_be_bytes);
    let out1 = xor(e(xor(xor(temp, rot(xor(in1, opc), r[0])), c_bytes[0])), opc);
    let out = |i: usize| xor(e(xor(rot(xor(temp, opc), r[i]), c_bytes[i])), opc);

    let milenage = milenage().with_constants(constants(c, r).unwrap());
    let sqn = Sqn::from_bytes([1, 2, 3, 4, 5, 6]);
    let vector = vector(&milenage, &rand, sqn, [0x80, 1]);
    assert_eq!(vector.challenge.autn[8..], out1[..8]);
    assert_eq!(milenage.f1(&rand, sqn, [0x80, 1]), out1[..8]);
    assert_eq!(milenage.f1_star(&rand, sqn, [0x80, 1]), out1[8..]);
    assert_eq!(vector.keys.res.bytes(), &out(1)[8..]);
    assert_eq!(vector.keys.ak, out(1)[..6]);
    assert_eq!(vector.keys.ck.bytes(), out(2));
    assert_eq!(vector.keys.ik.bytes(), out(3));
    assert_eq!(milenage.f5_star(&rand), out(4)[..6]);

    let mut array = SqnArray::default();
    assert!(
        matches!(authenticate(&milenage, &mut array, &vector.challenge), Answer::SyncFailure { .. }),
        "too far ahead"
    );
    let auts = sync_failure(&milenage, &mut array, &vector.challenge);
    assert_eq!(resynchronise(&milenage, &rand, &auts), Ok(Sqn::default()));
}

/// RES, CK and IK.
fn shown(keys: &Keys) -> [&[u8]; 3] {
    [keys.res.bytes(), keys.ck.bytes(), keys.ik.bytes()]
}
