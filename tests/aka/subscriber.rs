//! K and its sequence numbers as one value (TS 33.102 §6.3, Annex C).

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use remote_provisioning::{
    aka::{
        AlgorithmSet, Answer, Card, Challenge, Ind, Keys, Milenage, Milenage256, Sqn, Subscriber, Tuak, milenage256,
        sqn::Profile, tuak, vector,
    },
    crypto::Secret,
    error::{Backend, Misuse, Untrusted},
};
use sha2::Sha256;

use crate::{
    case::{DELTA, MAX_SEQ, RAND, hex, holding, holding_as, ind, milenage, seq, sqn},
    sqn::{Numbers, any_profile, ind_of},
};

const AMF: [u8; 2] = [0x80, 0];

/// The network's number, and where the USIM is.
fn both(profile: Profile, he: Sqn, ms: Sqn) -> (Subscriber<Milenage>, Card<Milenage>) {
    let card = Card::adopt(milenage(), holding_as(profile, &[ms]));
    (Subscriber::adopt(milenage(), profile, he), card)
}

/// What the USIM says to a number that it took before.
fn auts(card: &mut Card<Milenage>) -> [u8; 14] {
    let stale = vector(&milenage(), &RAND, Sqn::default(), AMF);
    match card.authenticate(&stale.challenge) {
        Answer::SyncFailure { auts } => auts,
        other => panic!("a number that is not fresh is taken: {other:?}"),
    }
}

fn takes(card: &mut Card<Milenage>, challenge: &Challenge) -> bool {
    match card.authenticate(challenge) {
        Answer::Success(_) => true,
        Answer::SyncFailure { .. } => false,
        Answer::MacFailure => panic!("genuine"),
    }
}

#[test]
fn a_new_k_begins_with_the_first_number() {
    for profile in [Profile::NOT_TIME_BASED, Profile::PARTLY_TIME_BASED] {
        let (mut subscriber, mut card) = (Subscriber::new(milenage(), profile), Card::new(milenage(), profile));
        assert_eq!((subscriber.sqn(), card.array().highest()), (Sqn::default(), Sqn::default()));
        for _ in 0..3 {
            let vector = subscriber.vector(&RAND, ind(4), AMF, 1).unwrap();
            assert!(takes(&mut card, &vector.challenge));
        }
        assert_eq!((subscriber.sqn(), card.array().highest()), (sqn(3, 4), sqn(3, 4)));
    }
}

#[test]
fn a_vector_that_cannot_be_made_changes_nothing() {
    let profile = Profile::default().with_ind_bits(2).unwrap();
    let mut subscriber = Subscriber::new(milenage(), profile);
    assert!(matches!(subscriber.vector(&RAND, ind(4), AMF, 0), Err(Misuse::Parameter(_))));
    assert_eq!(subscriber.sqn(), Sqn::default());
    assert!(subscriber.vector(&RAND, ind(3), AMF, 0).is_ok());
}

#[test]
fn the_number_space_ends_with_an_error() {
    let mut subscriber = Subscriber::adopt(milenage(), Profile::default(), sqn(MAX_SEQ - 1, 0));
    assert!(subscriber.vector(&RAND, ind(1), AMF, 0).is_ok());
    assert!(matches!(subscriber.vector(&RAND, ind(1), AMF, 0), Err(Misuse::NotNow(_))));
    assert_eq!(subscriber.sqn(), sqn(MAX_SEQ, 1));
}

/// The network is at the end and the USIM is not: the USIM says where it is, and there are numbers again.
#[test]
fn the_end_of_the_number_space_can_be_left_by_a_resynchronisation() {
    let (mut subscriber, mut card) = both(Profile::default(), sqn(MAX_SEQ, 0), sqn(50, 0));
    subscriber.resynchronise(&RAND, &auts(&mut card), 0).unwrap();
    assert_eq!(subscriber.sqn(), sqn(50, 0));
}

#[test]
fn sqn_he_moves_only_if_the_usim_would_not_take_the_next_number() {
    let ms = sqn(50, 0);
    for (he, after) in [(9, 50), (49, 50), (50, 50), (60, 60), (49 + DELTA, 49 + DELTA), (50 + DELTA, 50)] {
        let (mut subscriber, mut card) = both(Profile::default(), sqn(he, 1), ms);
        subscriber.resynchronise(&RAND, &auts(&mut card), 0).unwrap();
        // At 49 and 50 it is the IND that tells whether it moved.
        let kept = he >= 50 && after == he;
        assert_eq!(subscriber.sqn(), if kept { sqn(he, 1) } else { ms }, "SEQ_HE {he}");
        assert_eq!(seq(subscriber.sqn()), after, "SEQ_HE {he}");
        let next = subscriber.vector(&RAND, ind(0), AMF, 0).unwrap();
        assert!(takes(&mut card, &next.challenge), "SEQ_HE {he}");
    }
}

/// n = 8, D = 16, Δ = 300: what counts is the number that the clock makes, not the one after SQN_HE.
#[test]
fn sqn_he_moves_by_what_the_clock_makes_next() {
    let profile = Profile::default().with_delta(300).and_then(|profile| profile.with_clock(8, 16)).unwrap();
    let ms = sqn(0x100, 0);
    for (he, now, kept, case) in [
        (0x100, 0x00, true, "next is 0x101"),
        (0x0ff, 0x00, false, "next is 0x100"),
        (0x0ff, 0x01, true, "next is 0x101, two steps"),
        (0x0f0, 0x20, true, "next is 0x120"),
        (0x200, 0x2c, true, "next is 0x22c, Δ"),
        (0x200, 0x2d, false, "next is 0x22d, Δ + 1"),
        (0x22c, 0x2c, false, "next is 0x22d, Δ + 1"),
    ] {
        let (mut subscriber, mut card) = both(profile, sqn(he, 1), ms);
        subscriber.resynchronise(&RAND, &auts(&mut card), now).unwrap();
        assert_eq!(subscriber.sqn(), if kept { sqn(he, 1) } else { ms }, "{case}");
        let next = subscriber.vector(&RAND, ind(0), AMF, now).unwrap();
        assert!(takes(&mut card, &next.challenge), "{case}");
    }
}

#[test]
fn a_damaged_auts_changes_nothing() {
    let (mut subscriber, mut card) = both(Profile::default(), sqn(9, 0), sqn(50, 0));
    let auts = auts(&mut card);
    for bit in 0..14 * 8 {
        let mut damaged = auts;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(subscriber.resynchronise(&RAND, &damaged, 0), Err(Untrusted::Authentication), "bit {bit}");
        assert_eq!(subscriber.sqn(), sqn(9, 0), "bit {bit}");
    }
    assert_eq!(subscriber.resynchronise(&[0x77; 16], &auts, 0), Err(Untrusted::Authentication), "another RAND");
    assert_eq!(subscriber.sqn(), sqn(9, 0));
    assert_eq!(subscriber.resynchronise(&RAND, &auts, 0), Ok(()));
    assert_eq!(subscriber.sqn(), sqn(50, 0));
}

#[test]
fn an_auts_that_comes_again_does_not_take_the_network_back() {
    let (mut subscriber, mut card) = both(Profile::default(), sqn(9, 0), sqn(50, 0));
    let auts = auts(&mut card);
    subscriber.resynchronise(&RAND, &auts, 0).unwrap();
    for _ in 0..3 {
        subscriber.vector(&RAND, ind(0), AMF, 0).unwrap();
    }
    subscriber.resynchronise(&RAND, &auts, 0).unwrap();
    assert_eq!(subscriber.sqn(), sqn(53, 0));
}

// The store.

fn tuak(k: u8) -> Tuak {
    let (k, topc) = (Secret::<16>::from_slice(&[k; 16]).unwrap(), Secret::from_slice(&[0x22; 32]).unwrap());
    Tuak::new(tuak::Functions::new(&k, &topc, tuak::Parameters::default())).unwrap()
}

fn milenage_256(k: u8) -> Milenage256 {
    let (k, opc) = (Secret::<32>::from_slice(&[k; 32]).unwrap(), Secret::from_slice(&[0x22; 32]).unwrap());
    Milenage256::new(milenage256::Functions::new(&k, &opc, milenage256::Parameters::default())).unwrap()
}

fn milenage_of(k: u8, opc: u8) -> Milenage {
    Milenage::new(&Secret::from_slice(&[k; 16]).unwrap(), &Secret::from_slice(&[opc; 16]).unwrap())
}

/// Both forms of one set are refused under all others.
fn bound<S: AlgorithmSet + Clone>(name: &str, own: S, others: [S; 2]) {
    let (profile, array) = (Profile::default(), holding(&[sqn(70, 1), sqn(77, 3)]));
    let network = Subscriber::adopt(own.clone(), profile, sqn(77, 3)).to_bytes();
    let usim = Card::adopt(own.clone(), array.clone()).to_bytes();
    assert_eq!(Subscriber::from_bytes(own.clone(), profile, &network).unwrap().sqn(), sqn(77, 3), "{name}");
    assert_eq!(Card::from_bytes(own, profile, &usim).unwrap().array(), &array, "{name}");
    for other in others {
        let subscriber = Subscriber::from_bytes(other.clone(), profile, &network);
        assert_eq!(subscriber.err(), Some(Backend::Store), "{name}");
        assert_eq!(Card::from_bytes(other, profile, &usim).err(), Some(Backend::Store), "{name}");
    }
}

#[test]
fn stored_numbers_belong_to_their_k() {
    bound("Milenage", milenage_of(0x11, 0x22), [milenage_of(0x12, 0x22), milenage_of(0x11, 0x23)]);
    bound("TUAK", tuak(0x11), [0x12, 0x10].map(tuak));
    bound("MILENAGE-256", milenage_256(0x11), [0x12, 0x10].map(milenage_256));
}

#[test]
fn stored_numbers_cannot_be_edited() {
    let profile = Profile::default();
    let network = Subscriber::adopt(milenage(), profile, sqn(77, 3)).to_bytes().to_vec();
    let usim = Card::adopt(milenage(), holding(&[sqn(70, 1), sqn(77, 3)])).to_bytes().to_vec();
    assert_eq!((network.len(), usim.len()), (Subscriber::<Milenage>::LEN, 12 + 16));

    let read = |form: &[u8], of_usim| match of_usim {
        true => Card::from_bytes(milenage(), profile, form).err(),
        false => Subscriber::from_bytes(milenage(), profile, form).err(),
    };
    for (form, of_usim) in [(&network, false), (&usim, true)] {
        assert_eq!(read(form, of_usim), None);
        assert_eq!(read(form, !of_usim), Some(Backend::Store), "the other side's");
        for bit in 0..form.len() * 8 {
            let mut edited = form.clone();
            edited[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&edited, of_usim), Some(Backend::Store), "bit {bit}");
        }
        for len in 0..form.len() {
            assert_eq!(read(&form[..len], of_usim), Some(Backend::Store), "the first {len} bytes");
            assert_eq!(read(&form[form.len() - len..], of_usim), Some(Backend::Store), "the last {len} bytes");
        }
        assert_eq!(read(&[form, &[0][..]].concat(), of_usim), Some(Backend::Store), "a byte more");
        let (_, tag) = form.split_at(form.len() - 16);
        let reset = [&Sqn::default().to_bytes(), tag].concat();
        assert_eq!(read(&reset, of_usim), Some(Backend::Store), "numbers reset");
    }
    // With one number only, the two sides' forms have the same length.
    let alike = Card::adopt(milenage(), holding(&[sqn(77, 3)])).to_bytes();
    assert_eq!((alike.len(), read(&alike, true)), (network.len(), None));
    assert_eq!(read(&alike, false), Some(Backend::Store));
    assert_eq!(read(&network, true), Some(Backend::Store));
}

#[test]
fn stored_numbers_are_read_with_as_many_bits_of_ind() {
    let array = holding(&[sqn(70, 1)]);
    let network = Subscriber::adopt(milenage(), Profile::default(), sqn(77, 3)).to_bytes();
    let usim = Card::adopt(milenage(), array).to_bytes();
    for bits in 0..5 {
        let profile = Profile::default().with_ind_bits(bits).unwrap();
        assert_eq!(Subscriber::from_bytes(milenage(), profile, &network).err(), Some(Backend::Store), "{bits} bits");
        assert_eq!(Card::from_bytes(milenage(), profile, &usim).err(), Some(Backend::Store), "{bits} bits");
    }
    // The rest is policy, and may change.
    let profile = Profile::PARTLY_TIME_BASED.with_delta(1 << 27).and_then(|profile| profile.with_age_limit(5)).unwrap();
    let mut subscriber = Subscriber::from_bytes(milenage(), profile, &network).unwrap();
    assert!(subscriber.vector(&RAND, ind(0), AMF, 1000).is_ok());
    assert_eq!(subscriber.sqn(), sqn(1000, 0));
    let mut card = Card::from_bytes(milenage(), profile, &usim).unwrap();
    let of = |seq| vector(&milenage(), &RAND, sqn(seq, 2), AMF).challenge;
    assert!(!takes(&mut card, &of(65)) && takes(&mut card, &of(66)));
    assert!(!takes(&mut card, &of(71 + (1 << 27))) && takes(&mut card, &of(70 + (1 << 27))));
}

/// What is written today is read tomorrow: the tag once more, with HMAC alone.
#[test]
fn the_tag_is_made_as_described() {
    let made = |role: &[u8], numbers: &[u8]| {
        let mut keys = Keys::default();
        milenage().f2_to_f5(b"SQN belongs to K", &mut keys);
        let mut mac = Hmac::<Sha256>::new_from_slice(&[keys.ck.bytes(), keys.ik.bytes()].concat()).unwrap();
        mac.update(&[0]);
        for parameter in [role, &[0, 0, 0, 5], numbers] {
            mac.update(parameter);
            mac.update(&u16::try_from(parameter.len()).unwrap().to_be_bytes());
        }
        hex(&[numbers, &mac.finalize().into_bytes()[16..]].concat())
    };
    let numbers = [sqn(70, 1), sqn(77, 3)].map(Sqn::to_bytes);
    let subscriber = Subscriber::adopt(milenage(), Profile::default(), sqn(77, 3));
    assert_eq!(hex(&subscriber.to_bytes()), made(b"AuC", &numbers[1]));
    let card = Card::adopt(milenage(), holding(&[sqn(70, 1), sqn(77, 3)]));
    assert_eq!(hex(&card.to_bytes()), made(b"USIM", &numbers.concat()));
    let new = Card::new(milenage(), Profile::default());
    assert_eq!(hex(&new.to_bytes()), made(b"USIM", &[]));
    assert_eq!(Card::from_bytes(milenage(), Profile::default(), &new.to_bytes()).unwrap().array(), new.array());
}

#[test]
fn a_full_card_has_room() {
    let full: Vec<_> = (0..32).map(|number| sqn(u64::from(number) + 1, number)).collect();
    let stored = Card::adopt(milenage(), holding(&full)).to_bytes();
    assert_eq!(stored.len(), Card::<Milenage>::MAX_LEN);
    let card = Card::from_bytes(milenage(), Profile::default(), &stored).unwrap();
    assert_eq!(card.array(), &holding(&full));
}

#[test]
fn secrets_are_silent() {
    let (subscriber, card) = both(Profile::default(), sqn(77, 3), sqn(70, 1));
    assert_eq!(format!("{subscriber:?} {card:?}"), "Subscriber(..) Card(..)");
}

// Both sides, and everything between them.

/// What happens to the next vector.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    /// Behind those of other INDs.
    Waits,
    Lost,
    /// The network stops before it has stored the number, and the vector does not leave.
    NetworkStops,
    /// The USIM stops before it has stored the number, and the answer does not leave.
    UsimStops,
    /// It arrives, and so does one that arrived before.
    Replayed(usize),
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Arrives),
        2 => Just(Fate::Waits),
        1 => Just(Fate::Lost),
        1 => Just(Fate::NetworkStops),
        1 => Just(Fate::UsimStops),
        1 => (0_usize..99).prop_map(Fate::Replayed),
    ]
}

struct World {
    profile: Profile,
    subscriber: Subscriber<Milenage>,
    card: Card<Milenage>,
    now: u64,
    rands: u8,
    waiting: Vec<(Challenge, Sqn)>,
    answered: Vec<(Challenge, Sqn)>,
}

impl World {
    fn new(profile: Profile, he: Sqn, ms: Sqn) -> Self {
        let (subscriber, card) = both(profile, he, ms);
        Self { profile, subscriber, card, now: 0, rands: 0, waiting: Vec::new(), answered: Vec::new() }
    }

    fn vector(&mut self, ind: Ind) -> (Challenge, Sqn) {
        self.rands = self.rands.wrapping_add(1);
        let vector = self.subscriber.vector(&[self.rands; 16], ind, AMF, self.now).unwrap();
        (vector.challenge, self.subscriber.sqn())
    }

    /// Both stop, and go on from what they stored.
    fn restart(&mut self) {
        let (network, usim) = (self.subscriber.to_bytes(), self.card.to_bytes());
        self.subscriber = Subscriber::from_bytes(milenage(), self.profile, &network).unwrap();
        self.card = Card::from_bytes(milenage(), self.profile, &usim).unwrap();
    }

    /// A challenge reaches the USIM. If it is not fresh, its AUTS reaches the network, and the next vector is taken.
    fn deliver(&mut self, (challenge, sqn): (Challenge, Sqn)) {
        match self.card.authenticate(&challenge) {
            Answer::Success(_) => {
                assert!(self.answered.iter().all(|(_, answered)| *answered != sqn), "{sqn:?} is taken twice");
                self.answered.push((challenge, sqn));
            }
            Answer::SyncFailure { auts } => {
                self.subscriber.resynchronise(&challenge.rand, &auts, self.now).unwrap();
                self.restart();
                let (next, sqn) = self.vector(self.profile.ind(sqn));
                assert!(takes(&mut self.card, &next), "{sqn:?} after a resynchronisation");
                self.answered.push((next, sqn));
            }
            Answer::MacFailure => panic!("genuine"),
        }
    }

    fn step(&mut self, ind: Ind, fate: Fate) {
        let stored = (self.subscriber.to_bytes(), self.card.to_bytes());
        let made = self.vector(ind);
        match fate {
            Fate::Arrives => self.deliver(made),
            Fate::Waits => self.waiting.push(made),
            Fate::Lost => {}
            Fate::NetworkStops => {
                self.subscriber = Subscriber::from_bytes(milenage(), self.profile, &stored.0).unwrap();
            }
            Fate::UsimStops => {
                let _ = self.card.authenticate(&made.0);
                self.card = Card::from_bytes(milenage(), self.profile, &stored.1).unwrap();
            }
            Fate::Replayed(which) => {
                self.deliver(made);
                let (old, sqn) = self.answered[which % self.answered.len()];
                self.restart();
                assert!(!takes(&mut self.card, &old), "{sqn:?} is replayed");
                for late in core::mem::take(&mut self.waiting) {
                    self.deliver(late);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Two sides that have lost each other are together again after one resynchronisation, whatever the clock says.
    #[test]
    fn a_resynchronisation_leads_to_acceptance(
        numbers in any_profile(),
        he in prop_oneof![0_u64..200, 0..1_u64 << 43],
        ms in prop_oneof![1_u64..200, 1..1_u64 << 42],
        near in prop::option::of(-3_i64..3),
        clock in any::<u64>(),
        number in any::<u8>(),
    ) {
        let Numbers { profile, delta, .. } = numbers;
        // Around the furthest that the USIM takes, or anywhere.
        let he = near.map_or(he, |near| (ms + delta).saturating_add_signed(near).min((1 << 43) - 1));
        let (he, ms) = (profile.sqn(he, ind(0)).unwrap(), profile.sqn(ms, ind(0)).unwrap());
        let (mut subscriber, mut card) = both(profile, he, ms);
        subscriber.resynchronise(&RAND, &auts(&mut card), clock).unwrap();
        prop_assert!(subscriber.sqn() == he || subscriber.sqn() == ms);
        let next = profile.next(he, ind(0), clock).map(|next| profile.seq(next));
        let would_take = next.is_ok_and(|next| next > profile.seq(ms) && next - profile.seq(ms) <= delta);
        prop_assert_eq!(subscriber.sqn(), if would_take { he } else { ms });
        let next = subscriber.vector(&RAND, ind_of(&profile, number), AMF, clock).unwrap();
        prop_assert!(takes(&mut card, &next.challenge), "{:?}", subscriber.sqn());
    }

    #[test]
    fn whatever_happens_no_number_is_taken_twice_and_the_next_one_is_taken(
        numbers in any_profile(),
        he in 0_u64..1000,
        ms in 1_u64..1000,
        steps in prop::collection::vec((any::<u8>(), prop_oneof![0_u64..40, any::<u64>()], any_fate()), 1..40),
    ) {
        let profile = numbers.profile;
        let number = |seq| profile.sqn(seq, ind(0)).unwrap();
        let mut world = World::new(profile, number(he), number(ms));
        for (ind, clock, fate) in steps {
            world.now = world.now.wrapping_add(clock);
            world.step(ind_of(&profile, ind), fate);
        }
        // The world is in order again: at most one resynchronisation, and then none.
        let last = world.vector(ind(0));
        world.deliver(last);
        let next = world.vector(ind(0));
        prop_assert!(takes(&mut world.card, &next.0), "{:?}", next.1);
    }
}
