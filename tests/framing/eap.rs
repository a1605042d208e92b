//! EAP-EDHOC: packets byte for byte as the draft draws them, a lock-step that loses and repeats, and a whole handshake.

use remote_provisioning::{
    crypto::{Crypto, Rng, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Method, OwnCredential, Session, Suite, eap::EapKeys, error_message, initiator, responder},
    error::{Backend, Error, Fragment, Malformed, Misbehaved, Misuse, Untrusted},
    framing::{
        Profile,
        eap::{Action, Body, Code, Packet, Peer, Server, TYPE},
    },
    identity::{Domain, Role},
    sim::{
        identities as ids,
        link::{Link, Quality},
    },
    store::{KeyId, memory::MemoryKeyStore},
    time::{Millis, Retry},
    trust::{CredentialId, Date, MemoryAnchors, Pinned, verify},
    wire::MAX_MESSAGE,
};

use crate::{allocated, lengths, message, often, refused};

const NOW: Millis = Millis(0);

fn unexpected<T>() -> Result<T, Error> {
    Err(Misbehaved::UnexpectedMessage.into())
}

/// A request of these flags, with this after them.
fn request(identifier: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    packet(1, identifier, flags, rest)
}

fn response(identifier: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    packet(2, identifier, flags, rest)
}

fn packet(code: u8, identifier: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = (6 + rest.len() as u16).to_be_bytes();
    [&[code, identifier, high, low, 57, flags], rest].concat()
}

fn sent_by_peer(peer: &mut Peer) -> Vec<Vec<u8>> {
    sent(|| peer.poll())
}

fn sent_by_server(server: &mut Server) -> Vec<Vec<u8>> {
    sent(|| server.poll())
}

fn sent(poll: impl FnMut() -> Option<Action>) -> Vec<Vec<u8>> {
    let sent = |action| if let Action::Send(packet) = action { Some(packet) } else { None };
    core::iter::from_fn(poll).filter_map(sent).collect()
}

/// A server that has heard a message_1 in answer to Start 0, and has the word.
fn listening_server(profile: Profile) -> Server {
    let mut server = Server::start(profile, 0, None, NOW);
    assert_eq!(server.poll(), Some(Action::Send(request(0, 0x10, b""))));
    server.handle_packet(&response(0, 0, b"message_1"), NOW).unwrap();
    assert_eq!(server.poll(), Some(Action::Received(b"message_1".to_vec())));
    server
}

/// A peer that has been started with request 0, and has the word.
fn started_peer(profile: Profile) -> Peer {
    let mut peer = Peer::new(profile);
    peer.handle_packet(&request(0, 0x10, b"")).unwrap();
    assert_eq!(peer.poll(), Some(Action::Started));
    peer
}

// ----------------------------------------------------------------------------------------------------- byte for byte

/// Appendix A of the draft: 128 bytes over an MTU of 32, requests 1 to 5.
#[test]
fn the_fragments_of_the_draft() {
    let profile = Profile::new(32).unwrap();
    let whole = message(128, 1);
    let expected = [
        [&[1, 1, 0, 32, 57, 0b0000_1001, 128], &whole[..25]].concat(),
        [&[1, 2, 0, 32, 57, 0b0000_1000], &whole[25..51]].concat(),
        [&[1, 3, 0, 32, 57, 0b0000_1000], &whole[51..77]].concat(),
        [&[1, 4, 0, 32, 57, 0b0000_1000], &whole[77..103]].concat(),
        [&[1, 5, 0, 31, 57, 0b0000_0000], &whole[103..]].concat(),
    ];
    let (mut server, mut peer) = (listening_server(profile), started_peer(profile));
    peer.send(b"message_1").unwrap();
    sent_by_peer(&mut peer);
    server.send(&whole, NOW).unwrap();
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(sent_by_server(&mut server), [&expected[..]]);
        peer.handle_packet(expected).unwrap();
        if at < 4 {
            // The acknowledgement: S = 0, M = 0, L = 0, no data, the identifier of the request.
            let acknowledgement = [2, at as u8 + 1, 0, 6, 57, 0];
            assert_eq!(sent_by_peer(&mut peer), [acknowledgement]);
            server.handle_packet(&acknowledgement, NOW).unwrap();
        }
    }
    assert_eq!(peer.poll(), Some(Action::Received(whole)));
}

/// Figure 6 of the draft: identifiers 1 to 7, message_2 and message_3 in three fragments each, and a request that is lost.
#[test]
fn the_flow_of_the_draft() {
    let profile = Profile::new(32).unwrap();
    let (message_2, message_3) = (message(70, 2), message(70, 3));
    let retry = Retry { first: 1_000, attempts: 3 };
    let mut server = Server::start(profile, 1, Some(retry), NOW);
    let mut peer = Peer::new(profile);
    let to_peer = |server: &mut Server, peer: &mut Peer, expected: Vec<u8>| {
        assert_eq!(sent_by_server(server), [&expected[..]]);
        peer.handle_packet(&expected).unwrap();
    };
    let to_server = |peer: &mut Peer, server: &mut Server, expected: Vec<u8>| {
        assert_eq!(sent_by_peer(peer), [&expected[..]]);
        server.handle_packet(&expected, NOW).unwrap();
    };
    to_peer(&mut server, &mut peer, vec![1, 1, 0, 6, 57, 0x10]);
    assert_eq!(peer.poll(), Some(Action::Started));
    peer.send(b"message_1").unwrap();
    to_server(&mut peer, &mut server, response(1, 0, b"message_1"));
    assert_eq!(server.poll(), Some(Action::Received(b"message_1".to_vec())));
    server.send(&message_2, NOW).unwrap();
    to_peer(&mut server, &mut peer, request(2, 0x09, &[&[70], &message_2[..25]].concat()));
    to_server(&mut peer, &mut server, response(2, 0, b""));
    to_peer(&mut server, &mut peer, request(3, 0x08, &message_2[25..51]));
    to_server(&mut peer, &mut server, response(3, 0, b""));
    to_peer(&mut server, &mut peer, request(4, 0, &message_2[51..]));
    assert_eq!(peer.poll(), Some(Action::Received(message_2)));
    peer.send(&message_3).unwrap();
    to_server(&mut peer, &mut server, response(4, 0x09, &[&[70], &message_3[..25]].concat()));
    // Request 5 is lost, and comes again with its identifier.
    assert_eq!(sent_by_server(&mut server), [request(5, 0, b"")]);
    server.handle_timeout(Millis(999));
    assert_eq!(server.poll(), None);
    server.handle_timeout(Millis(1_000));
    to_peer(&mut server, &mut peer, request(5, 0, b""));
    to_server(&mut peer, &mut server, response(5, 0x08, &message_3[25..51]));
    to_peer(&mut server, &mut peer, request(6, 0, b""));
    to_server(&mut peer, &mut server, response(6, 0, &message_3[51..]));
    assert_eq!(server.poll(), Some(Action::Received(message_3)));
    server.send_last(b"message_4", NOW).unwrap();
    to_peer(&mut server, &mut peer, request(7, 0, b"message_4"));
    assert_eq!(peer.poll(), Some(Action::Received(b"message_4".to_vec())));
    peer.conclude().unwrap();
    to_server(&mut peer, &mut server, response(7, 0, b""));
    assert_eq!(server.poll(), Some(Action::Concluded));
    server.succeed().unwrap();
    to_peer(&mut server, &mut peer, vec![3, 7, 0, 4]);
    assert_eq!(peer.poll(), Some(Action::Succeeded));
}

#[test]
fn packets_read_strictly() {
    fn read(bytes: &[u8]) -> Result<Option<Body<'_>>, Malformed> {
        Packet::read(bytes).map(|packet| packet.body)
    }
    let body = Body::default();
    assert_eq!(TYPE, 57);
    assert_eq!(read(&request(1, 0, b"")), Ok(Some(body)));
    assert_eq!(read(&request(1, 0x10, b"")), Ok(Some(Body { start: true, ..body })));
    assert_eq!(read(&request(1, 0, b"xy")), Ok(Some(Body { data: b"xy", ..body })));
    // A length of 1 to 4 bytes, also where fewer would do.
    for (flags, rest, total) in [(0x09, &b"\x80x"[..], 0x80), (0x0a, b"\0\x80x", 0x80), (0x0b, b"\x01\0\0x", 0x1_0000)]
    {
        assert_eq!(
            read(&request(1, flags, rest)),
            Ok(Some(Body { more: true, total: Some(total), data: b"x", ..body }))
        );
    }
    let longest = Body { more: true, total: Some(u32::MAX), data: b"x", ..body };
    assert_eq!(read(&request(1, 0x0c, b"\xff\xff\xff\xffx")), Ok(Some(longest)));
    // §4: the reserved bits are not looked at, nor is padding.
    assert_eq!(read(&request(1, 0xe0, b"xy")), read(&request(1, 0, b"xy")));
    assert_eq!(read(&[&request(1, 0, b"xy")[..], b"padding"].concat()), read(&request(1, 0, b"xy")));
    // 5 to 7 are reserved.
    for flags in [0x0d, 0x0e, 0x0f] {
        assert_eq!(read(&request(1, flags, &[0; 20])), Err(Malformed::OutOfRange));
    }
    // Several fragments of nothing.
    assert_eq!(read(&request(1, 0x0a, b"\0\0x")), Err(Malformed::OutOfRange));
    // A length without more to come; a Start with anything in it, or from a peer.
    for flags in [0x01, 0x02, 0x03, 0x04] {
        assert_eq!(read(&request(1, flags, &[0; 20])), Err(Malformed::OutOfRange));
    }
    assert_eq!(read(&request(1, 0x10, b"x")), Err(Malformed::OutOfRange));
    assert_eq!(read(&request(1, 0x18, b"")), Err(Malformed::OutOfRange));
    assert_eq!(read(&response(1, 0x10, b"")), Err(Malformed::OutOfRange));
    // Truncated, anywhere.
    for whole in [request(1, 0, b"xyz"), request(1, 0x0c, &[0; 6]), vec![3, 1, 0, 4]] {
        for len in 0..whole.len() {
            assert_eq!(read(&whole[..len]), Err(Malformed::Truncated), "{len} of {whole:?}");
        }
    }
    assert_eq!(read(&[1, 1, 0, 8, 57, 0x0c, 0, 0]), Err(Malformed::Truncated), "half a length");
    assert_eq!(read(&[1, 1, 0, 5, 57]), Err(Malformed::Truncated), "no flags");
    assert_eq!(read(&[1, 1, 0, 4]), Err(Malformed::Truncated), "no type");
    assert_eq!(read(&[1, 1, 0, 3, 57, 0]), Err(Malformed::WrongLength));
    // Identity, Nak, TLS.
    for other in [1, 3, 13] {
        assert_eq!(read(&[1, 1, 0, 6, other, 0]), Err(Malformed::WrongType));
    }
    for code in [0, 5, 255] {
        assert_eq!(read(&[code, 1, 0, 6, 57, 0]), Err(Malformed::OutOfRange));
    }
    assert_eq!(Packet::read(&[3, 9, 0, 4]), Ok(Packet { code: Code::Success, identifier: 9, body: None }));
    assert_eq!(Packet::read(&[4, 9, 0, 4]), Ok(Packet { code: Code::Failure, identifier: 9, body: None }));
    assert_eq!(read(&[3, 9, 0, 5, 0]), Err(Malformed::WrongLength));
    // What reads, writes to itself, but for a length that could be shorter.
    for flags in 0..=0x1f {
        for code in 1..=2 {
            let bytes = packet(code, 7, flags, &[1, 2, 3, 4, 5]);
            let bytes = if flags == 0x10 { packet(code, 7, flags, &[]) } else { bytes };
            if let Ok(read) = Packet::read(&bytes) {
                assert_eq!(read.write(), bytes);
            }
        }
    }
    let short = Packet::read(&request(1, 0x0a, b"\0\x80x")).unwrap().write();
    assert_eq!(short, request(1, 0x09, b"\x80x"));
}

// --------------------------------------------------------------------------------------------------------- every length

/// Carries what either side says to the other, until there is nothing left; gives packets, bytes and the longest.
fn settle(peer: &mut Peer, server: &mut Server, got: &mut Vec<Vec<u8>>) -> (usize, usize, usize) {
    let (mut packets, mut bytes, mut longest) = (0, 0, 0);
    let mut count = |packet: &[u8]| {
        packets += 1;
        bytes += packet.len();
        longest = longest.max(packet.len());
    };
    loop {
        let mut quiet = true;
        while let Some(action) = server.poll() {
            quiet = false;
            match action {
                Action::Send(packet) => {
                    count(&packet);
                    peer.handle_packet(&packet).unwrap();
                }
                Action::Received(message) => got.push(message),
                action => assert_eq!(action, Action::Concluded),
            }
        }
        while let Some(action) = peer.poll() {
            quiet = false;
            match action {
                Action::Send(packet) => {
                    count(&packet);
                    server.handle_packet(&packet, NOW).unwrap();
                }
                Action::Received(message) => got.push(message),
                action => assert!(matches!(action, Action::Started | Action::Succeeded)),
            }
        }
        if quiet {
            return (packets, bytes, longest);
        }
    }
}

/// Heads of 6 bytes, in the first of several fragments 2 more, and an acknowledgement of 6 for each but the last.
#[test]
fn every_length() {
    let (mut peer, mut server) = (Peer::new(Profile::EAP), Server::start(Profile::EAP, 250, None, NOW));
    let mut got = Vec::new();
    settle(&mut peer, &mut server, &mut got);
    for len in lengths().skip(1) {
        let (up, down) = (message(len, 1), message(MAX_MESSAGE + 1 - len, 2));
        let expected = |len: usize| match len {
            ..=1_014 => (1, len + 6),
            _ => {
                let fragments = 1 + (len - 1_012).div_ceil(1_014);
                (2 * fragments - 1, len + 6 * fragments + 2 + 6 * (fragments - 1))
            }
        };
        for (message, upwards) in [(&up, true), (&down, false)] {
            if upwards {
                peer.send(message).unwrap()
            } else {
                server.send(message, NOW).unwrap()
            }
            let (packets, bytes, longest) = settle(&mut peer, &mut server, &mut got);
            assert_eq!((packets, bytes), expected(message.len()), "{}", message.len());
            assert!(longest <= 1_020);
            assert_eq!(got.pop().as_ref(), Some(message));
        }
    }
    // The last word is with the peer.
    peer.send(b"message_3").unwrap();
    settle(&mut peer, &mut server, &mut got);
    server.send_last(b"message_4", NOW).unwrap();
    settle(&mut peer, &mut server, &mut got);
    got.clear();
    peer.conclude().unwrap();
    settle(&mut peer, &mut server, &mut got);
    server.succeed().unwrap();
    assert_eq!(settle(&mut peer, &mut server, &mut got), (1, 4, 4));
    assert!(got.is_empty());
    // The first length of two bytes, in a small MTU.
    let mut server = listening_server(Profile::new(100).unwrap());
    server.send(&message(255, 1), NOW).unwrap();
    assert_eq!(sent_by_server(&mut server)[0][..7], [1, 1, 0, 100, 57, 0x09, 255]);
    let mut server = listening_server(Profile::new(100).unwrap());
    server.send(&message(256, 1), NOW).unwrap();
    assert_eq!(sent_by_server(&mut server)[0][..8], [1, 1, 0, 100, 57, 0x0a, 1, 0]);
}

/// A lower layer that loses and repeats, and a server with a timer. It keeps the order, as EAP wants it (RFC 3748 §3.1).
#[test]
fn a_lower_layer_that_loses_packets() {
    let profile = Profile::new(64).unwrap();
    let quality = Quality { loss: 0.25, doubling: 0.2, reordering: 0.0, damage: 0.0, delay: 40 };
    for seed in 0..often(200) {
        let mut link = Link::new(quality, seed);
        let messages: Vec<_> = (0..4).map(|number| message(40 + (seed as usize * 31) % 400, number)).collect();
        let mut peer = Peer::new(profile);
        let mut server = Server::start(profile, seed as u8, Some(Retry { first: 500, attempts: 60 }), NOW);
        let (mut now, mut wake, mut got) = (NOW, NOW, Vec::new());
        let mut concluded = false;
        while !concluded {
            while let Some(action) = server.poll() {
                match action {
                    Action::Send(packet) => drop(link.send(1, Role::Operator, &packet, now)),
                    Action::WakeAt(at) => wake = at,
                    Action::Received(message) => {
                        got.push(message);
                        let next = &messages[got.len()];
                        if got.len() == 3 { server.send_last(next, now) } else { server.send(next, now) }.unwrap();
                    }
                    Action::Concluded => concluded = true,
                    action => panic!("seed {seed}: {action:?}"),
                }
            }
            while let Some(action) = peer.poll() {
                match action {
                    Action::Send(packet) => drop(link.send(1, Role::Device, &packet, now)),
                    Action::Started => peer.send(&messages[0]).unwrap(),
                    Action::Received(message) => {
                        got.push(message);
                        if got.len() < 4 { peer.send(&messages[got.len()]).unwrap() } else { peer.conclude().unwrap() }
                    }
                    action => panic!("seed {seed}: {action:?}"),
                }
            }
            now = link.next_arrival().map_or(wake, |arrival| arrival.min(wake)).max(now);
            while let Some(frame) = link.receive(now) {
                let result = if frame.to_device {
                    peer.handle_packet(&frame.bytes)
                } else {
                    server.handle_packet(&frame.bytes, now)
                };
                assert!(
                    matches!(
                        result,
                        Ok(()) | Err(Error::Misbehaved(Misbehaved::Fragment(_) | Misbehaved::UnexpectedMessage))
                    ),
                    "seed {seed}: {result:?}"
                );
            }
            if now >= wake {
                server.handle_timeout(now);
            }
        }
        assert_eq!(got, messages, "seed {seed}");
    }
}

// ------------------------------------------------------------------------------------------------------------- refusals

/// message_3 takes two packets here. A message_2 that the server repeated in vain comes when it has asked for the second, and
/// would look like the beginning of message_4; so would the end of a message_2 in two packets.
#[test]
fn a_message_that_comes_late_is_not_taken_for_the_next_one() {
    let long = message(100, 2);
    let [first, second] = [request(1, 0x09, &[&[100], &long[..57]].concat()), request(2, 0, &long[57..])];
    for message_2 in [vec![request(1, 0, b"message_2")], vec![first, second]] {
        let mut peer = started_peer(Profile::new(64).unwrap());
        peer.send(b"message_1").unwrap();
        for packet in &message_2 {
            peer.handle_packet(packet).unwrap();
        }
        peer.send(&message(100, 3)).unwrap();
        let next = u8::try_from(message_2.len()).unwrap() + 1;
        peer.handle_packet(&request(next, 0, b"")).unwrap();
        sent_by_peer(&mut peer);
        for packet in &message_2 {
            assert_eq!(peer.handle_packet(packet), Err(Fragment::Stale.into()));
            assert_eq!(peer.poll(), None);
        }
        peer.handle_packet(&request(next + 1, 0, b"message_4")).unwrap();
        assert_eq!(peer.poll(), Some(Action::Received(b"message_4".to_vec())));
    }
}

#[test]
fn what_a_peer_refuses() {
    let profile = Profile::new(64).unwrap();
    let mut peer = Peer::new(profile);
    // Before the Start there is nothing; nor is there an end.
    assert_eq!(peer.handle_packet(&request(1, 0, b"message_2")), unexpected());
    assert_eq!(peer.handle_packet(&[3, 0, 0, 4]), unexpected());
    assert_eq!(peer.handle_packet(&[4, 0, 0, 4]), unexpected());
    assert_eq!(peer.send(b"message_1"), Err(Misuse::NotNow("the server has the word")));
    assert_eq!(peer.conclude(), Err(Misuse::NotNow("the server has the word")));
    let mut peer = started_peer(profile);
    // Heard again while the answer is not there: nothing to answer with.
    peer.handle_packet(&request(0, 0x10, b"")).unwrap();
    assert_eq!(peer.poll(), None);
    assert_eq!(peer.send(b""), Err(Misuse::Parameter("an empty message concludes the method")));
    assert_eq!(peer.send(&[0; MAX_MESSAGE + 1]), Err(Misuse::Parameter("a message has at most 4,096 bytes")));
    let whole = message(100, 1);
    peer.send(&whole).unwrap();
    let first = response(0, 0x09, &[&[100], &whole[..57]].concat());
    assert_eq!(sent_by_peer(&mut peer), [&first[..]]);
    peer.handle_packet(&request(0, 0x10, b"")).unwrap();
    assert_eq!(sent_by_peer(&mut peer), [&first[..]], "the stored response");
    // The layer above repeats itself; another message has no place here.
    peer.send(&whole).unwrap();
    assert_eq!(peer.poll(), None);
    assert_eq!(peer.send(b"message_1"), Err(Misuse::NotNow("the server has the word")));
    // Its own response, reflected; another request of the same identifier; anything but the acknowledgement.
    assert_eq!(peer.handle_packet(&first), unexpected());
    assert_eq!(peer.handle_packet(&request(0, 0, b"message_2")), refused(Fragment::Stale));
    assert_eq!(peer.handle_packet(&request(1, 0, b"message_2")), unexpected());
    assert_eq!(peer.handle_packet(&request(1, 0x10, b"")), unexpected());
    // A Success that nobody has earned; a Failure to another response.
    assert_eq!(peer.handle_packet(&[3, 0, 0, 4]), unexpected());
    assert_eq!(peer.handle_packet(&[4, 1, 0, 4]), refused(Fragment::Stale));
    assert_eq!(peer.handle_packet(&request(2, 0, b"")), refused(Fragment::Stale));
    peer.handle_packet(&request(1, 0, b"")).unwrap();
    assert_eq!(sent_by_peer(&mut peer), [response(1, 0, &whole[57..])]);
    // It has said all that it has to say.
    assert_eq!(peer.handle_packet(&request(2, 0, b"")), unexpected());
    // Fragments of message_2: without a total, empty, tiny, too long, with a total twice, past the end.
    let data = message(58, 2);
    let with_total = |total: u8| [&[total], &data[..50]].concat();
    assert_eq!(peer.handle_packet(&request(2, 0x08, &data)), refused(Fragment::Gap));
    assert_eq!(peer.handle_packet(&request(2, 0x09, b"\x64")), refused(Fragment::Short));
    assert_eq!(peer.handle_packet(&request(2, 0x09, &[100; 16])), refused(Fragment::Short));
    assert_eq!(
        peer.handle_packet(&request(2, 0x0a, &[&[0x10, 1], &data[..50]].concat())),
        Err(Malformed::TooLong.into())
    );
    assert_eq!(peer.handle_packet(&request(2, 0x0c, &[255; 60])), Err(Malformed::TooLong.into()));
    assert_eq!(peer.handle_packet(&request(2, 0x09, &with_total(50))), refused(Fragment::End));
    assert_eq!(peer.handle_packet(&request(2, 0x09, &with_total(49))), refused(Fragment::End));
    peer.handle_packet(&request(2, 0x09, &with_total(100))).unwrap();
    assert_eq!(sent_by_peer(&mut peer), [response(2, 0, b"")]);
    peer.handle_packet(&request(2, 0x09, &with_total(100))).unwrap();
    assert_eq!(sent_by_peer(&mut peer), [response(2, 0, b"")]);
    for (bytes, why) in [
        (request(3, 0x09, &with_total(100)), Fragment::Total),
        (request(3, 0x09, &with_total(101)), Fragment::Total),
        (request(3, 0x08, &data[..50]), Fragment::End),
        (request(3, 0, &data[..51]), Fragment::End),
        (request(3, 0, &data[..49]), Fragment::End),
        (request(3, 0x08, &data[..15]), Fragment::Short),
        (request(3, 0x08, b""), Fragment::Short),
    ] {
        for _ in 0..100 {
            let (count, _, result) = allocated(|| peer.handle_packet(&bytes));
            assert_eq!((result, count), (refused(why), 0));
        }
    }
    assert_eq!(peer.handle_packet(&request(3, 0, b"")), refused(Fragment::Short));
    // Within a message the identifiers go up by one.
    for identifier in [1, 4, 255] {
        assert_eq!(peer.handle_packet(&request(identifier, 0, &data[..50])), refused(Fragment::Stale));
    }
    peer.handle_packet(&request(3, 0, &data[..50])).unwrap();
    assert_eq!(peer.poll(), Some(Action::Received([&data[..50], &data[..50]].concat())));
    assert_eq!(peer.handle_packet(&request(4, 0, b"message_3")), unexpected());
}

#[test]
fn what_a_server_refuses() {
    let profile = Profile::new(64).unwrap();
    let mut server = Server::start(profile, 7, None, NOW);
    assert_eq!(server.poll(), Some(Action::Send(request(7, 0x10, b""))));
    assert_eq!(server.poll(), None, "no timer");
    assert_eq!(server.handle_packet(&response(6, 0, b"message_1"), NOW), refused(Fragment::Stale));
    assert_eq!(server.handle_packet(&response(8, 0, b"message_1"), NOW), refused(Fragment::Stale));
    assert_eq!(server.handle_packet(&request(7, 0, b"message_1"), NOW), unexpected());
    assert_eq!(server.handle_packet(&[3, 7, 0, 4], NOW), unexpected());
    assert_eq!(server.send(b"message_2", NOW), Err(Misuse::NotNow("the peer has the word")));
    assert_eq!(server.succeed(), Err(Misuse::NotNow("the peer has not concluded")));
    server.handle_packet(&response(7, 0, b"message_1"), NOW).unwrap();
    assert_eq!(server.handle_packet(&response(7, 0, b"message_1"), NOW), refused(Fragment::Stale));
    assert_eq!(server.poll(), Some(Action::Received(b"message_1".to_vec())));
    assert_eq!(server.send(b"", NOW), Err(Misuse::Parameter("an empty message acknowledges")));
    let whole = message(100, 1);
    server.send(&whole, NOW).unwrap();
    assert_eq!(sent_by_server(&mut server), [request(8, 0x09, &[&[100], &whole[..57]].concat())]);
    assert_eq!(server.handle_packet(&response(8, 0, b"message_3"), NOW), unexpected());
    server.handle_packet(&response(8, 0, b""), NOW).unwrap();
    assert_eq!(sent_by_server(&mut server), [request(9, 0, &whole[57..])]);
    assert_eq!(server.succeed(), Err(Misuse::NotNow("the peer has not concluded")));
    // A peer's fragments, one with nothing in it among them.
    let data = message(50, 2);
    server.handle_packet(&response(9, 0x09, &[&[100], &data[..]].concat()), NOW).unwrap();
    assert_eq!(sent_by_server(&mut server), [request(10, 0, b"")]);
    assert_eq!(server.handle_packet(&response(10, 0, b""), NOW), refused(Fragment::Short));
    assert_eq!(server.handle_packet(&response(10, 0x09, &[&[100], &data[..]].concat()), NOW), refused(Fragment::Total));
    server.handle_packet(&response(10, 0, &data), NOW).unwrap();
    assert_eq!(server.poll(), Some(Action::Received([&data[..], &data].concat())));
    // An end at any time, once.
    server.fail().unwrap();
    assert_eq!(server.poll(), Some(Action::Send(vec![4, 10, 0, 4])));
    assert_eq!(server.fail(), Err(Misuse::NotNow("it has ended")));
    assert_eq!(server.send(b"message_4", NOW), Err(Misuse::NotNow("the peer has the word")));
    assert_eq!(server.handle_packet(&response(10, 0, b""), NOW), refused(Fragment::Stale));
}

#[test]
fn a_server_with_a_timer_gives_up() {
    let mut server = Server::start(Profile::EAP, 255, Some(Retry { first: 1_000, attempts: 3 }), NOW);
    let mut now = NOW;
    let mut wakes = Vec::new();
    let last = loop {
        match server.poll().unwrap() {
            Action::Send(packet) => assert_eq!(packet, request(255, 0x10, b"")),
            Action::WakeAt(at) => {
                wakes.push(at.0);
                now = at;
                server.handle_timeout(now);
            }
            action => break action,
        }
    };
    assert_eq!((last, wakes), (Action::Unanswered, vec![1_000, 3_000, 7_000]));
    server.handle_timeout(now.after(100_000));
    assert_eq!(server.poll(), None);
    // After 255 comes 0.
    let mut server = Server::start(Profile::EAP, 255, None, NOW);
    server.handle_packet(&response(255, 0, b"message_1"), NOW).unwrap();
    server.send(b"message_2", NOW).unwrap();
    assert_eq!(sent_by_server(&mut server).last(), Some(&request(0, 0, b"message_2")));
}

/// Nobody authenticates the end: a Success counts only after `conclude`, a Failure only before.
#[test]
fn success_and_failure() {
    let at_message_4 = || {
        let mut peer = started_peer(Profile::EAP);
        peer.send(b"message_1").unwrap();
        peer.handle_packet(&request(1, 0, b"message_4")).unwrap();
        while peer.poll().is_some() {}
        peer
    };
    let mut peer = at_message_4();
    assert_eq!(peer.handle_packet(&[3, 1, 0, 4]), unexpected());
    peer.conclude().unwrap();
    assert_eq!(sent_by_peer(&mut peer), [response(1, 0, b"")]);
    // RFC 3748 §4.2: after that a Failure is dropped, and so is a Success to another response.
    assert_eq!(peer.handle_packet(&[4, 1, 0, 4]), unexpected());
    assert_eq!(peer.handle_packet(&[3, 0, 0, 4]), refused(Fragment::Stale));
    // The server has not heard it, and asks again.
    peer.handle_packet(&request(1, 0, b"message_4")).unwrap();
    assert_eq!(sent_by_peer(&mut peer), [response(1, 0, b"")]);
    assert_eq!(peer.handle_packet(&request(2, 0, b"message_5")), unexpected());
    peer.handle_packet(&[3, 1, 0, 4]).unwrap();
    assert_eq!(peer.poll(), Some(Action::Succeeded));
    assert_eq!(peer.handle_packet(&[3, 1, 0, 4]), unexpected());

    // While the peer still thinks, and after it has given up.
    let mut peer = at_message_4();
    peer.handle_packet(&[4, 1, 0, 4]).unwrap();
    assert_eq!(peer.poll(), Some(Action::Failed));
    assert_eq!(peer.handle_packet(&[4, 1, 0, 4]), unexpected());
    let mut peer = at_message_4();
    peer.give_up().unwrap();
    assert_eq!(sent_by_peer(&mut peer), [response(1, 0, b"")]);
    assert_eq!(peer.handle_packet(&[3, 1, 0, 4]), unexpected());
    peer.handle_packet(&[4, 1, 0, 4]).unwrap();
    assert_eq!(peer.poll(), Some(Action::Failed));
}

// --------------------------------------------------------------------------------------------------- a whole handshake

const KEY: KeyId = KeyId(3);

/// 2025-06-01.
const TODAY: Option<Date> = Some(Date(1_748_736_000));

/// Random numbers that are none.
struct Repeatable(u8);

impl Rng for Repeatable {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        for chunk in out.chunks_mut(32) {
            self.0 = self.0.wrapping_add(1);
            chunk.copy_from_slice(&RustCrypto.sha256(&[b"no randomness", &[self.0]])[..chunk.len()]);
        }
        Ok(())
    }
}

struct Party {
    own: OwnCredential,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
}

impl Party {
    fn new(own: OwnCredential, scalar: &[u8; 32], anchors: MemoryAnchors) -> Self {
        let mut keys = MemoryKeyStore::new();
        keys.insert(KEY, scalar).unwrap();
        Self { own, keys, anchors }
    }

    /// With chains by value, message_2 and message_3 are longer than a small MTU many times over.
    fn with_chains() -> (Self, Self) {
        let device = OwnCredential::chain(KEY, &ids::device_chain()).unwrap();
        let operator = OwnCredential::chain(KEY, &ids::operator_chain()).unwrap();
        (
            Self::new(device, ids::device_key(), ids::device_anchors()),
            Self::new(operator, ids::operator_key(), ids::operator_anchors()),
        )
    }

    fn with_kids() -> (Self, Self) {
        let pin = |ccs, role| Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap();
        let device = pin(ids::raw_device_ccs(), Role::Device);
        let operator = pin(ids::raw_operator_ccs(), Role::Operator);
        (
            Self::new(OwnCredential::pinned(KEY, &device).unwrap(), ids::raw_device_key(), ids::device_anchors()),
            Self::new(OwnCredential::pinned(KEY, &operator).unwrap(), ids::raw_operator_key(), ids::operator_anchors()),
        )
    }

    fn verify(&self, claimed: &CredentialId<'_>, role: Role) -> remote_provisioning::trust::Candidates {
        verify(claimed, role, Domain::Test, &self.anchors, &RustCrypto, TODAY).unwrap()
    }
}

/// Both ends of the envelope, and what crosses between them.
struct Wire {
    peer: Peer,
    server: Server,
    packets: usize,
    bytes: usize,
}

impl Wire {
    fn started(profile: Profile) -> Self {
        let (peer, server) = (Peer::new(profile), Server::start(profile, 1, None, NOW));
        let mut wire = Self { peer, server, packets: 0, bytes: 0 };
        assert_eq!(wire.settle(), None);
        wire
    }

    /// The message that arrives, if one does.
    fn settle(&mut self) -> Option<Vec<u8>> {
        let mut got = Vec::new();
        let (packets, bytes, _) = settle(&mut self.peer, &mut self.server, &mut got);
        self.packets += packets;
        self.bytes += bytes;
        assert!(got.len() <= 1);
        got.pop()
    }

    fn up(&mut self, message: &[u8]) -> Vec<u8> {
        self.peer.send(message).unwrap();
        self.settle().unwrap()
    }

    fn down(&mut self, message: &[u8]) -> Vec<u8> {
        self.server.send(message, NOW).unwrap();
        self.settle().unwrap()
    }

    fn last(&mut self, message: &[u8]) -> Vec<u8> {
        self.server.send_last(message, NOW).unwrap();
        self.settle().unwrap()
    }
}

/// A device that is the peer and an operator that is the server, up to Success.
fn handshake(parties: &(Party, Party), method: Method, seed: u8, wire: &mut Wire) -> (Session, Session) {
    let (device, operator) = parties;
    let (c_i, c_r) = (ConnectionId::new(&[2]).unwrap(), ConnectionId::new(&[0x37]).unwrap());
    let proposal = initiator::Proposal { method, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(seed)).unwrap();
    let message_1 = wire.up(&message_1);

    let read = responder::read(&message_1, &[method], &Suite::ALL, &RustCrypto).unwrap();
    let rng = &mut Repeatable(seed ^ 0x80);
    let (sent_2, message_2) = read.write(&c_r, &operator.own, &[], &operator.keys, &RustCrypto, rng).unwrap();
    let message_2 = wire.down(&message_2);

    let read = sent.read(&message_2, &RustCrypto).unwrap();
    let peer = device.verify(&read.claimed().unwrap(), Role::Operator);
    let accepted = read.accept(peer, &device.own, &RustCrypto).unwrap();
    let (sent_3, message_3) = accepted.write(&device.own, &[], &device.keys, &RustCrypto).unwrap();
    let message_3 = wire.up(&message_3);

    let read = sent_2.read(&message_3, &RustCrypto).unwrap();
    let peer = operator.verify(&read.claimed().unwrap(), Role::Device);
    let accepted = read.accept(peer, &operator.own, &RustCrypto).unwrap();
    let (operator_session, message_4) = accepted.write(&[], &RustCrypto).unwrap();
    let message_4 = wire.last(&message_4);

    let device_session = sent_3.read(&message_4, &RustCrypto).unwrap().complete().unwrap();
    wire.peer.conclude().unwrap();
    assert_eq!(wire.settle(), None);
    wire.server.succeed().unwrap();
    assert_eq!(wire.settle(), None);
    (device_session, operator_session)
}

fn keys(session: &Session) -> EapKeys {
    session.eap_keys(&RustCrypto).unwrap()
}

#[test]
fn both_sides_have_the_same_keys() {
    for (parties, what) in [(Party::with_chains(), "chains"), (Party::with_kids(), "kid")] {
        for (profile, expected) in [
            (Profile::EAP, [("chains", (7, 1_602)), ("kid", (7, 281))]),
            (Profile::new(128).unwrap(), [("chains", (31, 1_750)), ("kid", (7, 281))]),
        ] {
            let mut wire = Wire::started(profile);
            let (device, operator) = handshake(&parties, Method::SignSign, 1, &mut wire);
            println!("{what} over {}: {} packets, {} bytes", profile.packet(), wire.packets, wire.bytes);
            let expected = expected.iter().find(|(name, _)| *name == what).unwrap().1;
            assert_eq!((wire.packets, wire.bytes), expected, "{what} over {}", profile.packet());
            let (device_keys, operator_keys) = (keys(&device), keys(&operator));
            assert_eq!(device_keys.msk().bytes(), operator_keys.msk().bytes());
            assert_eq!(device_keys.emsk().bytes(), operator_keys.emsk().bytes());
            assert_eq!(device_keys.session_id(), operator_keys.session_id());
            let (ours, theirs) = (device_keys.k_ausf().unwrap(), operator_keys.k_ausf().unwrap());
            assert_eq!(ours.secret().bytes(), theirs.secret().bytes());
            // §3.3 of the draft, spelled out: << 57 >> is the byte string 18 39.
            let exported = |label| {
                let mut out = [0; 64];
                device.export(label, &[0x18, 0x39], &mut out, &RustCrypto).unwrap();
                out
            };
            assert_eq!(device_keys.msk().bytes(), &exported(26));
            assert_eq!(device_keys.emsk().bytes(), &exported(27));
            assert_eq!(device_keys.session_id()[0], 57);
            assert_eq!(device_keys.session_id()[1..], exported(28));
            // TS 33.501 §6.1.3.1: the most significant 256 bits; §I.2.2.2.2: of MSK, behind an AAA server.
            assert_eq!(ours.secret().bytes()[..], exported(27)[..32]);
            let (ours, theirs) = (device_keys.k_ausf_from_msk().unwrap(), operator_keys.k_ausf_from_msk().unwrap());
            assert_eq!(
                (ours.secret().bytes(), ours.secret().bytes()),
                (&exported(26)[..32].try_into().unwrap(), theirs.secret().bytes())
            );
            assert_ne!(device_keys.msk().bytes(), device_keys.emsk().bytes());
            assert_ne!(device_keys.msk().bytes(), &[0; 64]);
        }
    }
}

#[test]
fn keys_are_of_one_session() {
    let parties = Party::with_kids();
    let keys_of = |seed| keys(&handshake(&parties, Method::StaticStatic, seed, &mut Wire::started(Profile::EAP)).0);
    let (one, same, other) = (keys_of(1), keys_of(1), keys_of(2));
    assert_eq!((one.msk().bytes(), one.emsk().bytes()), (same.msk().bytes(), same.emsk().bytes()));
    assert_eq!(one.session_id(), same.session_id());
    assert_ne!(one.msk().bytes(), other.msk().bytes());
    assert_ne!(one.emsk().bytes(), other.emsk().bytes());
    assert_ne!(one.session_id(), other.session_id());
    assert!(!format!("{one:?}").contains(&format!("{:?}", &one.msk().bytes()[..2]).replace(['[', ']'], "")));
}

/// §3.1.3, figure 3: the peer refuses message_2 with an error message, and Failure follows.
#[test]
fn a_peer_refuses_the_server() {
    let (device, _) = Party::with_kids();
    let mut wire = Wire::started(Profile::EAP);
    let c_i = ConnectionId::new(&[2]).unwrap();
    let proposal = initiator::Proposal { method: Method::SignSign, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut Repeatable(1)).unwrap();
    let message_1 = wire.up(&message_1);
    let read = responder::read(&message_1, &[Method::SignSign], &Suite::ALL, &RustCrypto).unwrap();
    let (c_r, rng) = (ConnectionId::new(&[3]).unwrap(), &mut Repeatable(9));
    // The device's own credential: a selfie.
    let (_, message_2) = read.write(&c_r, &device.own, &[], &device.keys, &RustCrypto, rng).unwrap();
    let message_2 = wire.down(&message_2);
    let read = sent.read(&message_2, &RustCrypto).unwrap();
    let error = verify(&read.claimed().unwrap(), Role::Operator, Domain::Test, &device.anchors, &RustCrypto, TODAY)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error, Untrusted::UnknownCredential.into());
    let told = error_message(&error, &Suite::ALL).unwrap();
    assert_eq!(wire.up(&told), told);
    wire.server.fail().unwrap();
    assert_eq!(wire.server.poll(), Some(Action::Send(vec![4, 2, 0, 4])));
    wire.peer.handle_packet(&[4, 2, 0, 4]).unwrap();
    assert_eq!(wire.peer.poll(), Some(Action::Failed));
}

/// §3.1.3, figures 2 and 4: the server refuses, the peer acknowledges that with nothing, and Failure follows.
#[test]
fn a_server_refuses_the_peer() {
    let mut wire = Wire::started(Profile::EAP);
    let message_1 = wire.up(b"no message_1");
    let error = responder::read(&message_1, &[Method::SignSign], &Suite::ALL, &RustCrypto).map(|_| ()).unwrap_err();
    let told = error_message(&error, &Suite::ALL).unwrap();
    wire.server.refuse(&told, NOW).unwrap();
    assert_eq!(wire.settle(), Some(told));
    // After that there is only Failure: what else a peer says is not heard.
    assert_eq!(wire.server.handle_packet(&response(2, 0, b"message_3"), NOW), unexpected());
    wire.peer.give_up().unwrap();
    let Some(Action::Send(acknowledgement)) = wire.peer.poll() else { panic!("nothing said") };
    wire.server.handle_packet(&acknowledgement, NOW).unwrap();
    assert_eq!(wire.server.succeed(), Err(Misuse::NotNow("the peer has not concluded")));
    assert_eq!(wire.server.poll(), Some(Action::Send(vec![4, 2, 0, 4])));
    assert_eq!(wire.server.poll(), Some(Action::Failed));
    wire.peer.handle_packet(&[4, 2, 0, 4]).unwrap();
    assert_eq!(wire.peer.poll(), Some(Action::Failed));
}

/// A stranger that says nothing, wherever the server listens: it does not get to Success.
#[test]
fn nobody_gets_to_the_end_by_saying_nothing() {
    let mut server = Server::start(Profile::EAP, 0, None, NOW);
    let at_the_end = |server: &mut Server, identifier| {
        assert_eq!(server.handle_packet(&response(identifier, 0, b""), NOW), unexpected());
        assert_eq!(server.succeed(), Err(Misuse::NotNow("the peer has not concluded")));
        while let Some(action) = server.poll() {
            assert_ne!(action, Action::Concluded);
        }
    };
    at_the_end(&mut server, 0);
    server.handle_packet(&response(0, 0, b"message_1"), NOW).unwrap();
    server.send(b"message_2", NOW).unwrap();
    at_the_end(&mut server, 1);
    server.handle_packet(&response(1, 0, b"message_3"), NOW).unwrap();
    server.send_last(b"message_4", NOW).unwrap();
    while server.poll().is_some() {}
    server.handle_packet(&response(2, 0, b""), NOW).unwrap();
    assert_eq!(server.poll(), Some(Action::Concluded));
    // §3.1.3, figure 5: or the peer refuses message_4.
    let mut server = listening_server(Profile::EAP);
    server.send_last(b"message_4", NOW).unwrap();
    while server.poll().is_some() {}
    server.handle_packet(&response(1, 0, b"an error"), NOW).unwrap();
    assert_eq!(server.poll(), Some(Action::Received(b"an error".to_vec())));
    assert_eq!(server.succeed(), Err(Misuse::NotNow("the peer has not concluded")));
    server.fail().unwrap();
    assert_eq!(server.poll(), Some(Action::Send(vec![4, 1, 0, 4])));
}

/// RFC 3748 §4: what is behind a packet is none of it, nor kept.
#[test]
fn padding_costs_nothing() {
    let padded = |packet: Vec<u8>| [packet, vec![0xaa; 100_000]].concat();
    let mut peer = Peer::new(Profile::EAP);
    let start = padded(request(0, 0x10, b""));
    let (_, bytes, result) = allocated(|| peer.handle_packet(&start));
    assert_eq!(result, Ok(()));
    assert!(bytes < 1_000, "{bytes}");
    assert_eq!(peer.poll(), Some(Action::Started));
    peer.send(b"message_1").unwrap();
    let said = sent_by_peer(&mut peer);
    // The same request without it, or with other padding, is the same request.
    for again in [request(0, 0x10, b""), [request(0, 0x10, b""), vec![1]].concat()] {
        peer.handle_packet(&again).unwrap();
        assert_eq!(sent_by_peer(&mut peer), said);
    }
    let mut server = Server::start(Profile::EAP, 0, None, NOW);
    let message_1 = padded(response(0, 0, b"message_1"));
    let (_, bytes, result) = allocated(|| server.handle_packet(&message_1, NOW));
    assert_eq!(result, Ok(()));
    assert!(bytes < 1_000, "{bytes}");
}
