//! K and its sequence numbers as one value (TS 33.102 §6.3, Annex C).

use remote_provisioning::aka::{Answer, Card, Subscriber};

use crate::case::{DELTA, MAX_SEQ, RAND, holding, ind, milenage, sqn};

#[test]
fn the_number_space_ends_with_an_error() {
    let mut subscriber = Subscriber::restore(milenage(), sqn(MAX_SEQ - 1, 0));
    assert!(subscriber.vector(&RAND, ind(1), [0x80, 0]).is_ok());
    assert!(subscriber.vector(&RAND, ind(1), [0x80, 0]).is_err());
    assert_eq!(subscriber.sqn(), sqn(MAX_SEQ, 1));
}

#[test]
fn sqn_he_moves_only_if_the_usim_would_not_take_the_next_number() {
    let ms = sqn(50, 0);
    for (he, after) in [(9, 50), (49, 50), (50, 50), (60, 60), (49 + DELTA, 49 + DELTA), (50 + DELTA, 50)] {
        let mut card = Card::restore(milenage(), holding(&[ms]));
        let stale = Subscriber::restore(milenage(), sqn(8, 0)).vector(&RAND, ind(0), [0x80, 0]).unwrap();
        let Answer::SyncFailure { auts } = card.authenticate(&stale.challenge) else { panic!("a replay is taken") };
        let mut subscriber = Subscriber::restore(milenage(), sqn(he, 0));
        subscriber.resynchronise(&RAND, &auts).unwrap();
        assert_eq!(subscriber.sqn().seq(), after, "SEQ_HE {he}");
        let next = subscriber.vector(&RAND, ind(0), [0x80, 0]).unwrap();
        assert!(matches!(card.authenticate(&next.challenge), Answer::Success(_)), "SEQ_HE {he}");
    }
}
