//! What somebody who is up to no good can make the other side spend: heap, for the worst message in each state; heap again,
//! for a hundred thousand beginnings; and work, against what it costs to make the other side do it.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

mod lab;

use core::time::Duration;
use std::time::Instant;

use lab::{
    Keys, Lab, Session,
    double::{Double, Notes, Op, Recording, Watch},
    from_device,
};
use remote_provisioning::{
    credential::Activation,
    crypto::{Crypto, Group, Secret, rustcrypto::RustCrypto},
    sim::{SeededRng, identities},
    wire::MAX_MESSAGE,
};

/// Messages of [`MAX_MESSAGE`] bytes that look like something, from what would be right here.
fn hostile(right: &[u8]) -> Vec<Vec<u8>> {
    let full = |head: &[u8], fill: u8| {
        let mut message = head.to_vec();
        message.resize(MAX_MESSAGE, fill);
        message
    };
    let half = &right[..right.len() / 2];
    let mut all = vec![right.to_vec(), half.to_vec()];
    // Text, zeros, arrays in arrays, maps in maps, tags, null, a break.
    all.extend([0x00, 0x20, 0x40, 0x61, 0x81, 0xa1, 0xc1, 0xf6, 0xff].map(|fill| full(&[], fill)));
    all.extend([0x00, 0x81, 0xa1, 0xf6].map(|fill| full(right, fill)));
    all.extend([0x00, 0x81, 0xa1, 0xf6].map(|fill| full(half, fill)));
    // What says that it is longer than anything is.
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        all.push(full(&[head, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 0));
        all.push(full(&[head, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0));
        all.push(full(&[head - 2, 0x0f, 0xf0], 0));
    }
    // One that is too long.
    all.push(vec![0; 1 << 20]);
    all
}

/// The peer says something else under the right keys, as long as a message takes it.
struct Insider(Vec<u8>);

impl Watch for Insider {
    fn sealing(&self, _: &[u8], text: &mut Vec<u8>) {
        text.clone_from(&self.0);
    }
}

fn two_phase() -> Lab {
    let mut lab = Lab::attested(1);
    lab.home.activation = Activation::TwoPhase;
    lab
}

/// Most bytes of heap while a machine takes in the worst message, in the state in which it waits for this one.
fn worst(number: usize) -> u64 {
    let right = two_phase().session(number).message(number);
    let mut most = 0;
    let mut try_out = |lab: &mut Lab, session: &mut Session, message: &[u8]| {
        let counted = allocation_counter::measure(|| {
            let _ = if number.is_multiple_of(2) {
                lab.tell_device(&mut session.device, message)
            } else {
                lab.tell_operator(&mut session.operator, message)
            };
        });
        most = most.max(counted.bytes_max);
    };
    for message in hostile(&right) {
        let mut lab = two_phase();
        let mut session = lab.session(number);
        try_out(&mut lab, &mut session, &message);
    }
    // Under the right keys: from message_3 on everything is sealed.
    let texts = hostile(&[0x80]).into_iter().filter(|text| number > 2 && text.len() <= MAX_MESSAGE);
    for mut text in texts {
        text.truncate(MAX_MESSAGE - 200);
        let mut lab = two_phase();
        let mut session = lab.session(number - 1);
        lab.crypto = Box::leak(Box::new(Double::new(Insider(text))));
        if lab.step(&mut session).is_ok() && session.messages.len() == number {
            lab.crypto = &RustCrypto;
            let message = session.message(number);
            try_out(&mut lab, &mut session, &message);
        }
    }
    most
}

/// Each state is that in which the message of this number is waited for; in kilobytes.
#[test]
fn the_worst_message_in_each_state() {
    let limits = [(1, 8), (2, 12), (3, 12), (4, 10), (5, 5), (6, 5), (7, 5), (8, 5)];
    let measured = limits.map(|(number, _)| (number, worst(number)));
    for (number, bytes) in measured {
        let who = if number.is_multiple_of(2) { "device" } else { "operator" };
        println!("{who} that waits for message {number}: {bytes} bytes");
    }
    for ((number, bytes), (_, limit)) in measured.into_iter().zip(limits) {
        assert!(bytes <= limit * 1_024, "message {number}: {bytes}");
    }
}

/// A hundred thousand first messages, good and bad, each to a machine of its own, as an operator without a door would have it:
/// nothing is left of any of them.
#[test]
fn a_hundred_thousand_beginnings() {
    let mut lab = Lab::new(2);
    let right = lab.session(1).message(1);
    let all: Vec<_> = hostile(&right).into_iter().filter(|message| message.len() <= MAX_MESSAGE).collect();
    let mut begin = |number: usize| {
        let mut operator = lab.operator();
        let _ = lab.tell_operator(&mut operator, &all[number % all.len()]);
        while operator.poll().is_some() {}
    };
    begin(0);
    let counted = allocation_counter::measure(|| (0..100_000).for_each(&mut begin));
    println!("at most {} bytes at a time", counted.bytes_max);
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0));
    assert!(counted.bytes_max < 8 * 1_024, "{}", counted.bytes_max);
}

/// Operations with points, and time.
struct Cost {
    points: usize,
    time: Duration,
}

fn cost(recording: &'static Double<Recording>, work: impl FnOnce()) -> (Cost, Notes) {
    recording.watch.take();
    let begun = Instant::now();
    work();
    let time = begun.elapsed();
    let notes = recording.watch.take();
    (Cost { points: notes.costly(), time }, notes)
}

/// What it costs to make an operator work, and what it costs the operator. Only operations are checked; times are printed.
#[test]
fn attacker_and_operator() {
    let recording = Recording::new();
    let lab = || {
        let mut lab = Lab::new(3);
        lab.crypto = recording;
        lab
    };
    let show = |what: &str, attacker: &Cost, operator: &Cost| {
        println!(
            "{what}: attacker {} operations with points, {} µs; operator {}, {} µs",
            attacker.points,
            attacker.time.as_micros(),
            operator.points,
            operator.time.as_micros()
        );
    };
    let nothing = || Cost { points: 0, time: Duration::ZERO };
    // The tables of the backend are made at their first use.
    lab().session(4);

    // message_1 that was heard somewhere, or of which only the ephemeral key is another x on the curve.
    let mut bench = lab();
    let mut session = bench.session(1);
    let message_1 = session.message(1);
    let (operator, notes) = cost(recording, || {
        bench.tell_operator(&mut session.operator, &message_1).unwrap();
        let sent = bench.serve(&mut session.operator).sent;
        session.messages.extend(sent);
    });
    show("message_1, replayed", &nothing(), &operator);
    assert_eq!((notes.count(Op::Encapsulate), session.messages.len()), (1, 2));
    let before_message_3 = operator.points;

    // message_3 that is nothing.
    let mut session = lab().session(3);
    let mut bench = lab();
    let mut message_3 = session.message(3);
    *message_3.last_mut().unwrap() ^= 1;
    let (operator, _) = cost(recording, || {
        assert!(bench.tell_operator(&mut session.operator, &message_3).is_err());
    });
    show("message_3, garbage", &nothing(), &operator);
    assert_eq!(operator.points, 0, "the tag is looked at first");

    // message_3 under the right keys, with somebody else's credential and a signature that is none: for that, the attacker
    // has to make a key and agree; to sign it does not need.
    let mut bench = lab();
    bench.device_keys = Keys::new(identities::rogue_operator_key());
    let mut session = bench.session(3);
    let message_3 = session.message(3);
    let peer = RustCrypto.generate(Group::P256, &mut SeededRng::new(6)).unwrap();
    let (attacker, _) = cost(recording, || {
        let mut shared = Secret::zeroed();
        let key = recording.generate(Group::P256, &mut SeededRng::new(5)).unwrap();
        recording.decapsulate(&key, peer.public(), &mut shared).unwrap();
    });
    let (operator, notes) = cost(recording, || {
        assert!(bench.tell_operator(&mut session.operator, &message_3).is_err());
    });
    show("message_3, forged", &attacker, &operator);
    assert_eq!(attacker.points, 2);
    assert!(notes.count(Op::Verify) >= 1 && operator.points + before_message_3 <= 12, "{}", operator.points);
    assert!(from_device(&mut session.device).finished.is_empty());
}
