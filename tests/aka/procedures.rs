//! The exchange (TS 33.102 §6.3).

use core::fmt::Debug;

use remote_provisioning::{
    aka::{Answer, Challenge, Milenage, SqnArray, authenticate, resynchronise, sqn::Profile, vector},
    crypto::Secret,
    error::Untrusted,
};

use crate::case::{RAND, challenge, hex, holding, ind, milenage, sqn, sync_failure};

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
    assert!(matches!(authenticate(&milenage, &mut at_nine.clone(), &fresh), Answer::Success(_)));
}

#[test]
fn another_key_is_a_mac_failure() {
    let challenge = challenge(&milenage(), sqn(1, 0));
    for (k, opc) in [(0x11, 0x23), (0x12, 0x22)] {
        let stranger = Milenage::new(&Secret::from_slice(&[k; 16]).unwrap(), &Secret::from_slice(&[opc; 16]).unwrap());
        let mut array = SqnArray::default();
        assert!(matches!(authenticate(&stranger, &mut array, &challenge), Answer::MacFailure), "K {k:x}, OPc {opc:x}");
        assert_eq!(array, SqnArray::default());
    }
}

#[test]
fn a_replay_leads_to_a_resynchronisation() {
    let milenage = milenage();
    let mut array = SqnArray::default();
    let first = challenge(&milenage, sqn(41, 7));
    assert!(matches!(authenticate(&milenage, &mut array, &first), Answer::Success(_)));

    let before = array.clone();
    let auts = sync_failure(&milenage, &mut array, &first);
    assert_eq!(array, before, "a refusal changes nothing");

    let sqn_ms = resynchronise(&milenage, &first.rand, &auts).unwrap();
    assert_eq!(sqn_ms, sqn(41, 7));
    let next = challenge(&milenage, Profile::default().next(sqn_ms, ind(7), 0).unwrap());
    assert!(matches!(authenticate(&milenage, &mut array, &next), Answer::Success(_)));
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
    assert!(matches!(authenticate(&milenage, &mut SqnArray::default(), &forged), Answer::MacFailure));
}

#[test]
fn secrets_are_silent() {
    let milenage = milenage();
    let vector = vector(&milenage, &RAND, sqn(1, 0), [0x80, 0]);
    let answer = authenticate(&milenage, &mut SqnArray::default(), &vector.challenge);

    let shows = |what: &dyn Debug, bytes: &[u8]| {
        let list = format!("{bytes:?}");
        let text = format!("{what:?}");
        text.contains(&hex(bytes)) || text.contains(list.trim_matches(['[', ']']))
    };
    assert!(shows(&vector, &vector.challenge.autn), "the search works");
    for secret in [vector.keys.res.bytes(), vector.keys.ck.bytes(), vector.keys.ik.bytes()] {
        assert!(!shows(&vector, secret) && !shows(&answer, secret));
    }
    assert_eq!(format!("{milenage:?} {answer:?}"), "Milenage(..) Success(Keys(..))");
}
