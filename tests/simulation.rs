//! Two machines, one seed, a bad link: whatever it does, the run ends with a subscriber or stops cleanly, and the same
//! seed gives the same run.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

use remote_provisioning::{
    credential::Activation,
    crypto::rustcrypto::RustCrypto,
    error::{Error, Misuse, Refused, Untrusted},
    identity::Role,
    provisioning::{
        Millis,
        device::{Subscription, subscription},
        log::{Offered, What},
        question::Question,
        receipt::{self, Receipt},
    },
    sim::{
        Cut, Event, IDENTITY, SeededRng, World,
        fleet::{self, Setup, Summary},
        identities,
        link::{Fate, Link, Quality},
    },
    store::{KeyStore, memory::MemoryKeyStore},
};

// One run, and what must hold after each.

struct Run {
    world: World,
    outcome: Result<Subscription, Error>,
    /// Every event as it was.
    transcript: Vec<String>,
    /// How often the device started.
    starts: usize,
    /// How often its store was written.
    commits: usize,
    /// What the machines said to messages they did not take.
    refused: Vec<(Role, Error)>,
    /// Transmissions, and how many of them were lost.
    sent: usize,
    lost: usize,
    /// Who sent which message, in the order of their numbers.
    senders: Vec<Role>,
}

fn run(mut world: World) -> Run {
    let (mut transcript, mut refused, mut senders) = (Vec::new(), Vec::new(), Vec::new());
    let (mut starts, mut sent, mut lost) = (0, 0, 0);
    let before = world.store.commits();
    let outcome = world.run(&mut |now, event| {
        transcript.push(format!("{} {event:?}", now.0));
        match event {
            Event::Started { .. } => starts += 1,
            Event::Sent { from, again, fate, .. } => {
                sent += 1;
                lost += usize::from(*fate == Fate::Lost);
                if !again {
                    senders.push(*from);
                }
            }
            Event::Received { by, result: Err(error) } => refused.push((*by, *error)),
            _ => {}
        }
    });
    let commits = world.store.commits() - before;
    Run { world, outcome, transcript, starts, commits, refused, sent, lost, senders }
}

impl Run {
    /// Both sides have stopped: each for itself is sound, and what both report is the same.
    fn assert_sound(&mut self) {
        assert!(self.commits <= self.starts + 2, "{} commits for {} starts", self.commits, self.starts);
        let held = subscription(&self.world.store).expect("a record that can be read");
        match (&self.outcome, held) {
            (Ok(reported), Some((subscription, true))) => assert_eq!(*reported, subscription),
            (Err(_), None | Some((_, false))) => {}
            (outcome, held) => panic!("the run says {outcome:?}, the store {held:?}"),
        }
        if let Some((held, _)) = held {
            self.assert_agreed(held);
        }
        let subscribers = self.world.home.subscribers().count();
        assert!(subscribers <= 1, "one transaction has taken {subscribers} subscriptions");
        self.world.assert_sound();
    }

    /// Invariant I6: SUPI, epoch and package of the device are those of the operator's last offer, and each receipt in
    /// the log is signed by the device and tells of them.
    fn assert_agreed(&self, held: Subscription) {
        let offered = self.last_offer().expect("what the device holds has been offered");
        assert_eq!((offered.supi.as_str(), offered.epoch), (held.id.supi.as_str(), held.id.epoch));
        let mut keys = MemoryKeyStore::new();
        keys.insert(IDENTITY, identities::device_key()).unwrap();
        let device = keys.public_key(IDENTITY).unwrap();
        for entry in self.world.home.entries() {
            let What::Ended(ended) = entry.what else { continue };
            let receipt = Receipt::verify(ended.proof.receipts.last().unwrap(), &device, &RustCrypto)
                .expect("signed by the device");
            assert_eq!((ended.txn, receipt.txn), (offered.txn, offered.txn));
            assert_eq!((receipt.event, receipt.epoch), (receipt::Event::Activated, offered.epoch));
            assert_eq!(receipt.package_hash, offered.package_hash);
            assert_eq!(receipt.sequence, 1, "a device that has one credential made one receipt");
        }
    }

    fn last_offer(&self) -> Option<Offered> {
        self.world
            .home
            .entries()
            .filter_map(|entry| if let What::Offered(offered) = entry.what { Some(offered) } else { None })
            .last()
    }

    fn confirmations(&self) -> usize {
        self.world.home.entries().filter(|entry| matches!(entry.what, What::Ended(_))).count()
    }
}

/// Runs forty seeds; how many ended with a subscriber.
fn forty(bad: impl Fn(World) -> World) -> usize {
    let finished = |seed: &u64| {
        let mut run = run(bad(World::new(*seed)));
        run.assert_sound();
        run.outcome.is_ok()
    };
    (0..40).filter(finished).count()
}

// Bad links.

#[test]
fn a_lossy_link_delays_and_no_more() {
    assert_eq!(forty(|world| world.losing(0.3)), 40);
}

#[test]
fn doubling_and_reordering_harm_nobody() {
    assert_eq!(forty(|world| world.doubling(0.5).reordering(0.3)), 40);
}

#[test]
fn damage_ends_attempts_and_not_the_device() {
    assert_eq!(forty(|world| world.damaging(0.2)), 40);
}

#[test]
fn all_at_once() {
    assert_eq!(forty(|world| world.losing(0.2).doubling(0.2).reordering(0.2).damaging(0.1)), 40);
}

#[test]
fn a_power_cut_costs_an_attempt_and_no_subscriber() {
    for cut in [Cut::Prepared, Cut::Installed] {
        for seed in 1..=20 {
            let mut world = World::new(seed).losing(0.3);
            world.home.activation = Activation::TwoPhase;
            world.cut = Some(cut);
            let run = run(world);
            assert!(run.outcome.is_ok() && run.starts > 1, "{cut:?}, seed {seed}: {:?}", run.outcome);
            let cuts = run.transcript.iter().filter(|line| line.ends_with("PowerCut")).count();
            assert_eq!((cuts, run.world.cut), (1, None), "{cut:?}, seed {seed}");
        }
    }
}

#[test]
fn one_attempt_on_a_terrible_link_ends_well_or_cleanly() {
    let finished = forty(|mut world| {
        world.attempts = 1;
        world.losing(0.5).doubling(0.2).reordering(0.2).damaging(0.15)
    });
    assert!((1..40).contains(&finished), "both ends are to be seen here: {finished} of 40 finished");
}

#[test]
fn nothing_arrives() {
    let mut world = World::new(1).losing(1.0);
    world.attempts = 3;
    let mut run = run(world);
    assert_eq!(run.outcome, Err(Error::Unanswered));
    assert_eq!((run.starts, run.sent, run.lost), (3, 24, 24), "eight transmissions each");
    assert_eq!(run.commits, 3);
    assert_eq!(run.world.home.entries().count(), 0);
    run.assert_sound();
}

#[test]
fn a_run_without_accidents_takes_six_messages_three_commits_and_two_log_entries() {
    let mut run = run(World::new(7));
    run.assert_sound();
    assert!(run.outcome.is_ok());
    assert_eq!((run.starts, run.sent, run.lost, run.refused.as_slice()), (1, 6, 0, &[][..]));
    assert_eq!(run.commits, 3);
    assert_eq!((run.world.home.entries().count(), run.confirmations()), (2, 1));
    let (device, operator) = (Role::Device, Role::Operator);
    assert_eq!(run.senders, [device, operator, device, operator, device, operator]);
}

#[test]
fn an_attempt_that_repeats_still_takes_three_commits() {
    // Lossy, but nothing ends an attempt: however often messages are repeated, the store is written three times.
    let once = (0..20).map(|seed| run(World::new(seed).losing(0.3).doubling(0.3))).filter(|run| run.starts == 1);
    let commits: Vec<_> = once.filter(|run| run.sent > 6).map(|run| run.commits).collect();
    assert!(commits.len() > 5, "{commits:?}");
    assert!(commits.iter().all(|commits| *commits == 3), "{commits:?}");
}

// The same seed.

#[test]
fn the_same_seed_gives_the_same_run() {
    let world = |seed| World::new(seed).losing(0.2).doubling(0.2).reordering(0.2).damaging(0.1);
    for seed in 0..5 {
        let (first, second) = (run(world(seed)), run(world(seed)));
        assert_eq!(first.transcript, second.transcript);
        assert_eq!(first.world.store.fingerprint(), second.world.store.fingerprint());
        assert!(first.transcript.len() > 20);
        assert_ne!(first.transcript, run(world(seed + 100)).transcript, "another seed is another run");
    }
}

// One byte in one message.

#[test]
fn one_changed_byte_in_any_message_is_noticed_and_what_was_open_is_finished_later() {
    for number in 1..=6 {
        for seed in 0..6 {
            let mut bad = run(World::new(seed).tampering(number));
            bad.assert_sound();
            let at = format!("message {number}, seed {seed}: {:?} {:?}", bad.outcome, bad.refused);
            let outcome = bad.outcome.expect_err(&at);

            // Who notices. A changed G_X may still be a point; then only message_2 shows that something is wrong.
            let (by, error) = *bad.refused.first().expect(&at);
            let tag = Error::Untrusted(Untrusted::Authentication);
            match number {
                1 => assert!(bad.senders.len() <= 3, "{at}: at most message_1, message_2 and an error message"),
                2 => assert_eq!(by, Role::Device, "{at}"),
                3 => assert_eq!((by, error), (Role::Operator, tag), "{at}"),
                4 => assert_eq!((by, error, outcome), (Role::Device, tag, tag), "{at}"),
                5 => assert_eq!((by, error, outcome), (Role::Operator, tag, Error::Unanswered), "{at}"),
                6 => assert_eq!((by, error, outcome), (Role::Device, tag, Error::Unanswered), "{at}"),
                _ => unreachable!("six messages"),
            }
            if number == 3 {
                assert_eq!(outcome, Refused::Edhoc(1).into(), "{at}");
            }

            // What is durable: the request, and from message_4 on a whole credential.
            if number <= 4 {
                let mut only_asked = World::new(seed).losing(1.0);
                only_asked.attempts = 1;
                let only_asked = run(only_asked).world.store;
                assert_eq!(bad.world.store.fingerprint(), only_asked.fingerprint(), "{at}");
            } else {
                assert!(matches!(subscription(&bad.world.store), Ok(Some((_, false)))), "{at}");
                assert_eq!(bad.commits, 2, "{at}");
            }
            assert_eq!(bad.confirmations(), usize::from(number == 6), "{at}");
            let offer = bad.last_offer();

            // And it is finished as soon as the link allows: by asking again, or by resuming.
            let mut good = run(bad.world.mended());
            good.assert_sound();
            assert!(good.outcome.is_ok(), "{at}, then {:?}", good.outcome);
            assert_eq!(good.confirmations(), 1, "{at}");
            assert_eq!((good.starts, good.commits), (1, if number <= 4 { 3 } else { 2 }), "{at}");
            if number > 4 {
                assert_eq!(good.last_offer(), offer, "{at}: a credential that is installed is not offered again");
            }
        }
    }
}

#[test]
fn a_subscriber_asks_no_more() {
    let first = run(World::new(3));
    let fingerprint = first.world.store.fingerprint();
    let again = run(first.world.mended());
    assert_eq!(again.outcome, Err(Misuse::NotNow("the device has a subscription").into()));
    assert_eq!((again.sent, again.world.store.fingerprint()), (0, fingerprint));
}

#[test]
fn a_subscriber_attaches_again_and_again_and_every_vector_is_another() {
    let mut run = run(World::new(3));
    let supi = run.outcome.unwrap().id.supi;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let vector = run.world.attach(&supi).expect("both hold the same K");
        seen.push((vector.challenge.rand, vector.challenge.autn));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let stranger = "001010000000007".parse().unwrap();
    assert!(run.world.attach(&stranger).is_err(), "a SUPI that was given to nobody");
    assert!(World::new(3).attach(&supi).is_err(), "a device that has nothing");
}

#[test]
fn transcripts_show_no_key() {
    let world = run(World::new(11));
    let printed = world.transcript.join("\n");
    let keys: usize = printed.matches("Secret<16>(..)").count();
    assert_eq!(keys, 3, "K for OPc, K and OPc for the core");
    assert!(
        printed.contains(&format!("{:?}", Question::ComputeOpc { k: remote_provisioning::crypto::Secret::zeroed() }))
    );
}

// The link.

/// What becomes of ten thousand frames of a hundred bytes.
fn fates(quality: Quality) -> Vec<Fate> {
    let mut link = Link::new(quality, 1);
    (0..10_000).map(|_| link.send(1, Role::Device, &[0; 100], Millis(0))).collect()
}

fn share(fates: &[Fate], what: impl Fn(&Fate) -> bool) -> f64 {
    let count = u32::try_from(fates.iter().filter(|fate| what(fate)).count()).unwrap();
    f64::from(count) / 10_000.0
}

/// Four standard deviations of ten thousand draws are two per cent at most.
fn assert_about(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 0.02, "{found} instead of {wanted}");
}

#[test]
fn a_link_is_as_bad_as_it_says() {
    for wanted in [0.0, 0.05, 0.3, 0.9, 1.0] {
        let lost = fates(Quality { loss: wanted, ..Quality::GOOD });
        assert_about(share(&lost, |fate| *fate == Fate::Lost), wanted);
        let doubled = fates(Quality { doubling: wanted, ..Quality::GOOD });
        assert_about(share(&doubled, |fate| *fate == Fate::Delivered(2)), wanted);
        let damaged = fates(Quality { damage: wanted, ..Quality::GOOD });
        assert_about(share(&damaged, |fate| matches!(fate, Fate::Damaged(_))), wanted);
        if wanted > 0.0 {
            let early = share(&damaged, |fate| matches!(fate, Fate::Damaged(0..50)));
            assert_about(early, wanted / 2.0);
        }
    }
    assert_eq!(share(&fates(Quality::GOOD), |fate| *fate == Fate::Delivered(1)), 1.0);
}

#[test]
fn a_world_that_loses_three_in_ten_loses_three_in_ten() {
    let runs: Vec<_> = (0..60).map(|seed| run(World::new(seed).losing(0.3))).collect();
    let (sent, lost) = runs.iter().fold((0, 0), |(sent, lost), run| (sent + run.sent, lost + run.lost));
    assert!(sent > 400, "{sent}");
    let found = f64::from(u32::try_from(lost).unwrap()) / f64::from(u32::try_from(sent).unwrap());
    assert!((0.22..0.38).contains(&found), "{lost} of {sent}");
}

#[test]
fn frames_arrive_in_time_in_order_and_whole_unless_the_link_says_otherwise() {
    let mut link = Link::new(Quality::GOOD, 1);
    for byte in 0..3 {
        assert_eq!(link.send(9, Role::Operator, &[byte], Millis(u64::from(byte))), Fate::Delivered(1));
    }
    assert_eq!(link.next_arrival(), Some(Millis(40)));
    assert_eq!(link.receive(Millis(39)), None);
    for byte in 0..3 {
        let frame = link.receive(Millis(42)).unwrap();
        assert_eq!((frame.session, frame.to_device, frame.bytes.as_slice()), (9, true, &[byte][..]));
    }
    assert_eq!((link.receive(Millis(1_000)), link.next_arrival()), (None, None));

    let mut late = Link::new(Quality { reordering: 0.5, ..Quality::GOOD }, 1);
    for byte in 0..100 {
        late.send(1, Role::Device, &[byte], Millis(0));
    }
    let arrived: Vec<u8> = core::iter::from_fn(|| late.receive(Millis(2_000))).map(|frame| frame.bytes[0]).collect();
    assert_eq!(arrived.len(), 100);
    assert!(!arrived.is_sorted());

    let mut damaging = Link::new(Quality { damage: 1.0, doubling: 1.0, ..Quality::GOOD }, 1);
    let Fate::Damaged(at) = damaging.send(1, Role::Device, &[0; 100], Millis(0)) else { panic!("not damaged") };
    for _ in 0..2 {
        let frame = damaging.receive(Millis(40)).expect("twice");
        assert!(!frame.to_device);
        assert_eq!(frame.bytes[at].count_ones(), 1);
        assert_eq!(frame.bytes.iter().filter(|byte| **byte != 0).count(), 1);
    }
}

#[test]
fn the_seeded_source_repeats_itself_and_spreads() {
    use remote_provisioning::crypto::Rng;
    let draw = |seed| {
        let mut bytes = [0; 1000];
        SeededRng::new(seed).fill(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let ones: u32 = draw(1).iter().map(|byte| byte.count_ones()).sum();
    assert!((3_800..4_200).contains(&ones), "{ones} of 8000");
    let mut rng = SeededRng::new(1);
    let mut counts = [0_u32; 7];
    (0..7_000).for_each(|_| counts[rng.below(7)] += 1);
    assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    assert_eq!(rng.below(0), 0);
}

// Fleets: see `sim::fleet`. More seeds than here run in `examples/soak.rs`.

fn fleets(seeds: core::ops::Range<u64>, setup: &Setup) -> Summary {
    let run = |seed| fleet::run(seed, setup, &mut |_, _| {}).unwrap_or_else(|violation| panic!("{violation}"));
    seeds.map(run).fold(Summary::default(), Summary::and)
}

#[test]
fn whatever_happens_to_a_fleet_everybody_agrees_in_the_end() {
    let summary = fleets(0..60, &Setup::default());
    // And all of it did happen.
    let Summary { sessions, messages, lost, injected, power_cuts, crashes, failures, restores, deeds, .. } = summary;
    assert!(sessions > 1_000 && messages > 10_000 && lost > 1_000 && injected > 200, "{summary:?}");
    assert!(power_cuts > 200 && crashes > 100 && failures > 100 && restores > 10 && deeds > 100, "{summary:?}");
    assert!(summary.completed > 500 && summary.attaches > 1_000, "{summary:?}");
}

#[test]
fn a_larger_fleet_with_more_operators() {
    let setup = Setup { devices: 12, operators: 4, accidents: 200 };
    assert!(fleets(1_000..1_004, &setup).completed > 100);
}

#[test]
fn a_fleet_of_one_seed_lives_one_life() {
    let tell = |seed| {
        let mut lines = Vec::new();
        let summary = fleet::run(seed, &Setup::default(), &mut |now, line| lines.push(format!("{} {}", now.0, line())));
        (summary, lines)
    };
    let first = tell(5);
    assert_eq!(first, tell(5));
    assert_ne!(first.1, tell(6).1);
    assert!(first.1.len() > 200, "it is told");
}
