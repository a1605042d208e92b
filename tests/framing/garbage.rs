//! Bytes that nobody meant: whatever comes, no door panics, none keeps more than it says, and the message still gets through.

use remote_provisioning::{
    framing::{
        Packet, Profile,
        eap::{self, Peer},
        link::{self, Client, Server},
        relay::{Announcement, Name, Relayed, Returned},
    },
    identity::Domain,
    sim::SeededRng,
    time::{Millis, Retry},
    wire::{decode, encode},
};

use crate::{allocated, message, often};

const NOW: Millis = Millis(0);

/// A packet changed at random: bytes altered, cut off, put on, or all of it noise.
fn spoilt(packet: &[u8], rng: &mut SeededRng) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    match rng.below(4) {
        0 => (0..1 + rng.below(4)).for_each(|_| {
            let at = rng.below(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
        }),
        1 => bytes.truncate(rng.below(bytes.len())),
        2 => bytes.extend((0..1 + rng.below(40)).map(|at| at as u8)),
        _ => bytes = (0..rng.below(140)).map(|_| rng.below(256) as u8).collect(),
    }
    bytes
}

/// Random heads in the right exchange: what a stranger could try who has guessed it.
fn guessed(rng: &mut SeededRng) -> Vec<u8> {
    let data = message(rng.below(3) * 60, 77);
    let acknowledges = data.is_empty();
    let (total, offset) = (rng.below(5_000) as u16, rng.below(5_000) as u16);
    let from_server = rng.below(2) == 0;
    Packet { acknowledges, from_server, number: rng.below(64) as u8, exchange: 1, total, offset, data: &data }.write()
}

/// Whether nobody could take `bad` for what comes after `packet`, or for it: then it must be as if it had never come. Whoever
/// guesses exchange, number and offset can say what he likes, as on any link without keys.
fn is_strange(bad: &[u8], packet: &[u8]) -> bool {
    let number = |bytes: &[u8]| Packet::read(bytes).map(|packet| (packet.exchange, packet.number));
    let next = number(packet).map(|(exchange, number)| (exchange, number + 1));
    bad.get(..7) != packet.get(..7) && number(bad) != next
}

#[test]
fn a_link_among_garbage() {
    let mut refused = 0;
    for seed in 0..often(200) {
        let rng = &mut SeededRng::new(seed);
        let (question, answer) = (message(50 + rng.below(900), 1), message(50 + rng.below(900), 2));
        let mut client = Client::new(Profile::SMS, Retry { first: 500, attempts: 4 }, 1);
        let mut server = Server::new(Profile::SMS, 60_000, 1);
        client.send(&question, NOW).unwrap();
        let mut done = false;
        while !done {
            let mut packets = Vec::new();
            while let Some(action) = client.poll() {
                match action {
                    link::Action::Send(packet) => packets.push(packet),
                    link::Action::Received(received) => done = received == answer,
                    _ => {}
                }
            }
            // The right one first: what is after it must not undo it.
            for packet in &packets {
                let _ = server.handle_packet(packet, NOW);
                for _ in 0..20 {
                    let bad = if rng.below(2) == 0 { guessed(rng) } else { spoilt(packet, rng) };
                    if is_strange(&bad, packet) {
                        let (count, _, result) = allocated(|| server.handle_packet(&bad, NOW));
                        assert!(count == 0 || result.is_ok(), "what is refused costs nothing");
                        refused += u32::from(result.is_err());
                    }
                }
            }
            let mut packets = Vec::new();
            let mut received = None;
            while let Some(action) = server.poll() {
                match action {
                    link::Action::Send(packet) => packets.push(packet),
                    link::Action::Received(message) if message == question => received = Some(message),
                    _ => {}
                }
            }
            if received.is_some() {
                server.send(&answer).unwrap();
                packets.extend(core::iter::from_fn(|| server.poll()).filter_map(|action| match action {
                    link::Action::Send(packet) => Some(packet),
                    _ => None,
                }));
            }
            for packet in &packets {
                let _ = client.handle_packet(packet, NOW);
                for _ in 0..20 {
                    let bad = if rng.below(2) == 0 { guessed(rng) } else { spoilt(packet, rng) };
                    if is_strange(&bad, packet) {
                        refused += u32::from(client.handle_packet(&bad, NOW).is_err());
                    }
                }
            }
            assert!(done || !packets.is_empty(), "seed {seed}: stuck");
        }
    }
    println!("{refused} refused");
    assert!(u64::from(refused) > often(10_000));
}

#[test]
fn eap_among_garbage() {
    let mut refused = 0;
    for seed in 0..often(200) {
        let rng = &mut SeededRng::new(seed);
        let profile = Profile::new(64).unwrap();
        let whole = message(100 + rng.below(600), 1);
        let (mut peer, mut server) = (Peer::new(profile), eap::Server::start(profile, seed as u8, None, NOW));
        let mut got = None;
        while got.is_none() {
            let mut quiet = true;
            while let Some(action) = server.poll() {
                quiet = false;
                match action {
                    eap::Action::Send(packet) => {
                        let _ = peer.handle_packet(&packet);
                        for _ in 0..10 {
                            // Of another identifier, so that it is none of the requests to come.
                            let mut bad = spoilt(&packet, rng);
                            if let Some(identifier) = bad.get_mut(1) {
                                *identifier = packet[1].wrapping_sub(1 + rng.below(100) as u8);
                            }
                            refused += u32::from(peer.handle_packet(&bad).is_err());
                        }
                    }
                    eap::Action::Received(message) => got = Some(message),
                    action => panic!("{action:?}"),
                }
            }
            while let Some(action) = peer.poll() {
                quiet = false;
                match action {
                    eap::Action::Send(packet) => {
                        for _ in 0..10 {
                            let mut bad = spoilt(&packet, rng);
                            if let Some(identifier) = bad.get_mut(1) {
                                *identifier = packet[1].wrapping_sub(1 + rng.below(100) as u8);
                            }
                            refused += u32::from(server.handle_packet(&bad, NOW).is_err());
                        }
                        let _ = server.handle_packet(&packet, NOW);
                    }
                    eap::Action::Started => peer.send(&whole).unwrap(),
                    action => panic!("{action:?}"),
                }
            }
            assert!(!quiet || got.is_some(), "seed {seed}: stuck");
        }
        assert_eq!(got, Some(whole), "seed {seed}");
    }
    println!("{refused} refused");
    assert!(u64::from(refused) > often(10_000));
}

/// What reads, writes to itself.
#[test]
fn what_is_read_is_what_was_written() {
    let rng = &mut SeededRng::new(1);
    let relayed = encode(&Relayed { session: 7, nonce: [1; 16], token: b"token", message: b"message" });
    let returned = encode(&Returned { session: 7, message: b"message" });
    let announced = encode(&Announcement { domain: Domain::Test, relay: Name::new(b"relay").unwrap(), nonce: [1; 16] });
    let mut read = 0;
    for _ in 0..often(20_000) {
        let bytes = spoilt(&relayed, rng);
        if let Ok(message) = decode::<Relayed<'_>>(&bytes) {
            read += 1;
            assert_eq!(encode(&message), bytes);
        }
        let bytes = spoilt(&returned, rng);
        if let Ok(message) = decode::<Returned<'_>>(&bytes) {
            assert_eq!(encode(&message), bytes);
        }
        let bytes = spoilt(&announced, rng);
        if let Ok(message) = decode::<Announcement<'_>>(&bytes) {
            assert_eq!(encode(&message), bytes);
        }
        let bytes = spoilt(&message(20, 1), rng);
        if let Ok(packet) = Packet::read(&bytes) {
            assert_eq!(packet.write(), bytes);
        }
    }
    assert!(read > often(100));
}
