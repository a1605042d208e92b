//! Client and server over a link: every length, every accident, every stranger.

use remote_provisioning::{
    error::{Error, Fragment, Malformed, Misbehaved, Misuse},
    framing::{
        HEAD_LEN, MIN_FRAGMENT, Packet, Profile,
        link::{Action, Client, Server, exchange_of},
    },
    identity::Role,
    sim::{
        SeededRng,
        link::{Link, Quality},
    },
    time::{Millis, Retry},
    wire::MAX_MESSAGE,
};

use crate::{allocated, lengths, message, often, refused};

const EXCHANGE: u16 = 0x4711;
const PATIENCE: u64 = 300_000;
const RETRY: Retry = Retry { first: 500, attempts: 4 };
const NOW: Millis = Millis(0);

fn client(profile: Profile) -> Client {
    Client::new(profile, RETRY, EXCHANGE)
}

fn server(profile: Profile) -> Server {
    Server::new(profile, PATIENCE, EXCHANGE)
}

fn packets(poll: impl FnMut() -> Option<Action>) -> Vec<Vec<u8>> {
    let sent = |action| if let Action::Send(packet) = action { Some(packet) } else { None };
    core::iter::from_fn(poll).filter_map(sent).collect()
}

fn only(mut packets: Vec<Vec<u8>>) -> Vec<u8> {
    assert_eq!(packets.len(), 1, "{packets:?}");
    packets.remove(0)
}

/// What crossed a link that does nothing to it.
#[derive(Default)]
struct Crossed {
    packets: usize,
    bytes: usize,
    longest: usize,
}

impl Crossed {
    fn count(&mut self, packet: &[u8]) {
        self.packets += 1;
        self.bytes += packet.len();
        self.longest = self.longest.max(packet.len());
    }
}

/// Asks and answers; both have to get what the other one sent.
fn ask(client: &mut Client, server: &mut Server, question: &[u8], answer: &[u8]) -> Crossed {
    let mut crossed = Crossed::default();
    client.send(question, NOW).unwrap();
    loop {
        while let Some(action) = client.poll() {
            match action {
                Action::Send(packet) => {
                    crossed.count(&packet);
                    server.handle_packet(&packet, NOW).unwrap();
                }
                Action::Received(received) => {
                    assert_eq!(received, answer);
                    return crossed;
                }
                Action::WakeAt(_) => {}
                Action::Unanswered => panic!("unanswered"),
            }
        }
        while let Some(action) = server.poll() {
            match action {
                Action::Send(packet) => {
                    crossed.count(&packet);
                    client.handle_packet(&packet, NOW).unwrap();
                }
                Action::Received(received) => {
                    assert_eq!(received, question);
                    server.send(answer).unwrap();
                }
                Action::WakeAt(_) => {}
                Action::Unanswered => panic!("a server waits for nobody"),
            }
        }
    }
}

/// Every length each way, and not a byte more on the wire than heads and the acknowledgements of all but the last fragment.
#[test]
fn every_length() {
    for profile in [Profile::SMS, Profile::APDU, Profile::NAS] {
        let room = profile.packet() - HEAD_LEN;
        let (mut client, mut server) = (client(profile), server(profile));
        for len in lengths() {
            let (question, answer) = (message(len, 1), message(MAX_MESSAGE - len, 2));
            let crossed = ask(&mut client, &mut server, &question, &answer);
            let fragments = [len, MAX_MESSAGE - len].map(|len| len.div_ceil(room).max(1));
            let acknowledgements: usize = fragments.iter().map(|fragments| fragments - 1).sum();
            let packets = fragments.iter().sum::<usize>() + acknowledgements;
            assert_eq!(crossed.packets, packets, "{profile:?} {len}");
            assert_eq!(crossed.bytes, MAX_MESSAGE + HEAD_LEN * packets, "{profile:?} {len}");
            assert!(crossed.longest <= profile.packet());
        }
        assert!(client.is_idle());
    }
}

/// The figures of the README.
#[test]
fn figures() {
    let figure = |profile: Profile, question: usize, answer: usize| {
        let (question, answer) = (message(question, 1), message(answer, 2));
        let crossed = ask(&mut client(profile), &mut server(profile), &question, &answer);
        (crossed.packets, crossed.bytes)
    };
    // A first provisioning: CCS by kid, method 0, voucher first.
    let whole = [(123, 419), (595, 210), (284, 91)];
    for (profile, expected) in [(Profile::SMS, (26, 1_904)), (Profile::APDU, (14, 1_820)), (Profile::NAS, (6, 1_764))] {
        let sums = whole.map(|(question, answer)| figure(profile, question, answer));
        let sum = sums.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        println!("{profile:?}: {sum:?}");
        assert_eq!(sum, expected, "{profile:?}");
    }
    assert_eq!(figure(Profile::SMS, MAX_MESSAGE, 0), (33 + 32 + 1, MAX_MESSAGE + 66 * HEAD_LEN));
}

// ----------------------------------------------------------------------------------------------------------- accidents

/// Lost, doubled, late: every message arrives, once, in order, and the server says no more packets than it hears.
#[test]
fn a_link_that_loses_doubles_and_reorders() {
    let (mut lost, mut refusals) = (0, 0);
    for seed in 0..often(300) {
        let profile = [Profile::SMS, Profile::APDU, Profile::NAS][seed as usize % 3];
        let quality = Quality { loss: 0.25, doubling: 0.2, reordering: 0.1, damage: 0.0, delay: 40 };
        let mut link = Link::new(quality, seed);
        let mut lengths = SeededRng::new(seed);
        let mut length = || lengths.below(1_200);
        let mut client = Client::new(profile, Retry { first: 500, attempts: 40 }, EXCHANGE);
        let mut server = server(profile);
        let questions: Vec<_> = (0..5).map(|number| message(length(), number)).collect();
        let answers: Vec<_> = (0..5).map(|number| message(length(), 100 + number)).collect();
        let (mut asked, mut answered, mut heard, mut said) = (0, 0, 0, 0);
        let (mut now, mut wake) = (Millis(0), Millis(0));
        client.send(&questions[0], now).unwrap();
        while answered < 5 {
            while let Some(action) = client.poll() {
                match action {
                    Action::Send(packet) => {
                        lost += u32::from(
                            link.send(1, Role::Device, &packet, now) == remote_provisioning::sim::link::Fate::Lost,
                        );
                    }
                    Action::WakeAt(at) => wake = at,
                    Action::Received(answer) => {
                        assert_eq!(answer, answers[answered], "seed {seed}");
                        answered += 1;
                        if answered < 5 {
                            client.send(&questions[answered], now).unwrap();
                        }
                    }
                    Action::Unanswered => panic!("seed {seed}: unanswered"),
                }
            }
            while let Some(action) = server.poll() {
                match action {
                    Action::Send(packet) => {
                        said += 1;
                        link.send(1, Role::Operator, &packet, now);
                    }
                    Action::Received(question) => {
                        assert_eq!(question, questions[asked], "seed {seed}");
                        server.send(&answers[asked]).unwrap();
                        asked += 1;
                    }
                    Action::WakeAt(_) => {}
                    Action::Unanswered => panic!("a server waits for nobody"),
                }
            }
            assert!(said <= heard, "seed {seed}");
            now = link.next_arrival().map_or(wake, |arrival| arrival.min(wake)).max(now);
            while let Some(frame) = link.receive(now) {
                let result = if frame.to_device {
                    client.handle_packet(&frame.bytes, now)
                } else {
                    heard += 1;
                    server.handle_packet(&frame.bytes, now)
                };
                if let Err(error) = result {
                    // Only what is late; nobody here is wicked.
                    assert!(
                        matches!(error, Error::Misbehaved(Misbehaved::Fragment(_) | Misbehaved::UnexpectedMessage)),
                        "seed {seed}: {error}"
                    );
                    refusals += 1;
                }
            }
            if now >= wake {
                client.handle_timeout(now);
            }
        }
        assert_eq!((asked, answered), (5, 5));
    }
    println!("{lost} lost, {refusals} refused");
    assert!(u64::from(lost) > often(1_000) && refusals > often(100), "{lost} {refusals}");
}

/// Noise from elsewhere, after each packet: none of it leads anywhere, and none of it costs memory.
#[test]
fn strangers_change_nothing() {
    let (question, answer) = (message(1_000, 1), message(1_000, 2));
    let (mut client, mut server) = (client(Profile::SMS), server(Profile::SMS));
    let noise: Vec<Vec<u8>> = (0..200)
        .map(|at| {
            let data = message(at * 7 % 128, 9);
            let offset = (at * 37 % 1_000) as u16;
            let exchange = if at % 2 == 0 { EXCHANGE ^ 1 } else { EXCHANGE };
            // In this exchange: numbers that are not under way.
            let number = if exchange == EXCHANGE { 2 + at as u8 % 50 } else { at as u8 % 2 };
            Packet { acknowledges: false, from_server: false, number, exchange, total: 1_000, offset, data: &data }
                .write()
        })
        .collect();
    let to_client: Vec<_> = noise.iter().map(|packet| from_server(packet)).collect();
    client.send(&question, NOW).unwrap();
    let mut received = Vec::new();
    let mut turns = 0;
    while received.len() < 2 {
        let mut to_server = Vec::new();
        while let Some(action) = client.poll() {
            match action {
                Action::Send(packet) => to_server.push(packet),
                Action::Received(message) => received.push(message),
                _ => {}
            }
        }
        for packet in to_server {
            turns += 1;
            server.handle_packet(&packet, NOW).unwrap();
        }
        for bytes in &noise {
            let (count, _, result) = allocated(|| server.handle_packet(bytes, NOW));
            assert!(matches!(
                result,
                Err(Error::Misbehaved(Misbehaved::Fragment(Fragment::Interleaved | Fragment::Stale)))
            ));
            assert_eq!(count, 0);
        }
        let mut due = Vec::new();
        while let Some(action) = server.poll() {
            match action {
                Action::Send(packet) => due.push(packet),
                Action::Received(message) => {
                    received.push(message);
                    server.send(&answer).unwrap();
                }
                _ => {}
            }
        }
        for packet in due {
            client.handle_packet(&packet, NOW).unwrap();
        }
        for bytes in &to_client {
            let (count, _, result) = allocated(|| client.handle_packet(bytes, NOW));
            assert!(matches!(
                result,
                Err(Error::Misbehaved(Misbehaved::Fragment(Fragment::Interleaved | Fragment::Stale)))
            ));
            assert_eq!(count, 0);
        }
    }
    assert_eq!(turns, 8 + 7);
    assert_eq!(received, [question, answer]);
}

/// Two devices behind one address: each has a server of its own, and neither disturbs the other.
#[test]
fn exchanges_do_not_mix() {
    let questions = [message(400, 1), message(400, 2)];
    let mut clients = [1, 2].map(|exchange| Client::new(Profile::SMS, RETRY, exchange));
    let mut servers = [1, 2].map(|exchange| Server::new(Profile::SMS, PATIENCE, exchange));
    let mut received = [None, None];
    clients[0].send(&questions[0], NOW).unwrap();
    clients[1].send(&questions[1], NOW).unwrap();
    for _ in 0..4 {
        for client in &mut clients {
            for packet in packets(|| client.poll()) {
                let at = usize::from(exchange_of(&packet).unwrap()) - 1;
                assert_eq!(servers[1 - at].handle_packet(&packet, NOW), refused(Fragment::Interleaved));
                servers[at].handle_packet(&packet, NOW).unwrap();
            }
        }
        for at in 0..2 {
            while let Some(action) = servers[at].poll() {
                match action {
                    Action::Send(packet) => {
                        assert_eq!(clients[1 - at].handle_packet(&packet, NOW), refused(Fragment::Interleaved));
                        clients[at].handle_packet(&packet, NOW).unwrap();
                    }
                    Action::Received(question) => received[at] = Some(question),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(received, questions.map(Some));
    assert_eq!(exchange_of(b"\0\x12"), Err(Malformed::Truncated.into()));
}

// ------------------------------------------------------------------------------------------------------- one by one

fn fragment(number: u8, total: u16, offset: u16, data: &[u8]) -> Vec<u8> {
    Packet { acknowledges: false, from_server: false, number, exchange: EXCHANGE, total, offset, data }.write()
}

fn wants(number: u8, total: u16, offset: u16) -> Vec<u8> {
    Packet { acknowledges: true, from_server: false, number, exchange: EXCHANGE, total, offset, data: b"" }.write()
}

/// The same, said by the server.
fn from_server(packet: &[u8]) -> Vec<u8> {
    Packet { from_server: true, ..Packet::read(packet).unwrap() }.write()
}

/// A link that gives back what was said: nobody takes it for an answer.
#[test]
fn a_reflection_is_none_of_the_other_sides() {
    let question = message(300, 1);
    let (mut client, mut server) = (client(Profile::SMS), server(Profile::SMS));
    client.send(&question, NOW).unwrap();
    let mut heard = Vec::new();
    while !client.is_idle() {
        for packet in packets(|| client.poll()) {
            // Its own, before and after the server has heard it.
            assert_eq!(client.handle_packet(&packet, NOW), Err(Misbehaved::Reflection.into()));
            server.handle_packet(&packet, NOW).unwrap();
            assert_eq!(client.handle_packet(&packet, NOW), Err(Misbehaved::Reflection.into()));
        }
        while let Some(action) = server.poll() {
            match action {
                Action::Send(packet) => {
                    assert_eq!(server.handle_packet(&packet, NOW), Err(Misbehaved::Reflection.into()));
                    client.handle_packet(&packet, NOW).unwrap();
                }
                Action::Received(question) => {
                    heard.push(question);
                    server.send(b"the answer").unwrap();
                }
                _ => {}
            }
        }
    }
    assert_eq!((heard, client.poll()), (vec![question], Some(Action::Received(b"the answer".to_vec()))));
}

#[test]
fn what_a_server_says() {
    let question = message(300, 1);
    let (first, second, third) = (
        fragment(0, 300, 0, &question[..127]),
        fragment(0, 300, 127, &question[127..254]),
        fragment(0, 300, 254, &question[254..]),
    );
    let mut server = server(Profile::SMS);
    let mut hear = |packet: &[u8]| {
        server.handle_packet(packet, NOW)?;
        Ok::<_, Error>(packets(|| server.poll()))
    };
    // Out of order before anything is there.
    assert_eq!(hear(&second), refused(Fragment::Gap));
    assert_eq!(hear(&wants(0, 300, 0)), refused(Fragment::Stale));
    assert_eq!(hear(&first), Ok(vec![from_server(&wants(0, 300, 127))]));
    // A repetition is answered with the stored bytes, as often as it comes.
    assert_eq!(hear(&first), Ok(vec![from_server(&wants(0, 300, 127))]));
    assert_eq!(hear(&first), Ok(vec![from_server(&wants(0, 300, 127))]));
    assert_eq!(hear(&third), refused(Fragment::Gap));
    assert_eq!(hear(&second), Ok(vec![from_server(&wants(0, 300, 254))]));
    // The client has heard that one's answer, or it would not have said the second: nothing.
    assert_eq!(hear(&first), Ok(vec![]));
    assert_eq!(hear(&fragment(0, 300, 0, &message(127, 2))), refused(Fragment::Overlap));
    assert_eq!(hear(&fragment(0, 301, 254, &message(47, 1))), refused(Fragment::Total));
    assert_eq!(hear(&fragment(0, 300, 254, b"")), refused(Fragment::Short));
    assert_eq!(hear(&fragment(0, 300, 254, &message(47, 1))), refused(Fragment::End));
    assert_eq!(hear(&fragment(1, 300, 0, &question[..127])), refused(Fragment::Interleaved));
    assert_eq!(hear(&fragment(2, 300, 0, &question[..127])), refused(Fragment::Stale));
    // The answer takes its time: a repetition has nothing to be answered with.
    assert_eq!(hear(&third), Ok(vec![]));
    assert_eq!(hear(&third), Ok(vec![]));
    assert_eq!(hear(&wants(0, 5, 5)), refused(Fragment::Stale));

    let answer = message(200, 2);
    server.send(&answer).unwrap();
    let first_of_answer = from_server(&fragment(0, 200, 0, &answer[..127]));
    assert_eq!(packets(|| server.poll()), [&first_of_answer[..]]);
    assert_eq!(server.send(&answer), Err(Misuse::NotNow("no question is open")));
    let mut hear = |packet: &[u8]| {
        server.handle_packet(packet, NOW)?;
        Ok::<_, Error>(packets(|| server.poll()))
    };
    assert_eq!(hear(&third), Ok(vec![first_of_answer.clone()]));
    // Of a question that is whole, nothing but its last packet is known any more.
    assert_eq!(hear(&second), refused(Fragment::Stale));
    assert_eq!(hear(&wants(0, 200, 126)), refused(Fragment::Stale));
    assert_eq!(hear(&wants(0, 200, 128)), refused(Fragment::Gap));
    assert_eq!(hear(&wants(0, 199, 127)), refused(Fragment::Total));
    assert_eq!(hear(&wants(1, 200, 127)), refused(Fragment::Stale));
    let rest = from_server(&fragment(0, 200, 127, &answer[127..]));
    assert_eq!(hear(&wants(0, 200, 127)), Ok(vec![rest.clone()]));
    assert_eq!(hear(&wants(0, 200, 127)), Ok(vec![rest]));
    assert_eq!(hear(&wants(0, 200, 200)), refused(Fragment::Gap));
    // What cannot be read is not heard.
    assert_eq!(hear(&[0; 6]), Err(Malformed::Truncated.into()));
    // The next question; then the one before is over.
    assert_eq!(hear(&fragment(1, 1, 0, b"?")), Ok(vec![]));
    assert_eq!(hear(&wants(0, 200, 127)), refused(Fragment::Stale));
    assert_eq!(hear(&third), refused(Fragment::Stale));
    server.send(b"!").unwrap();
    assert_eq!(only(packets(|| server.poll())), from_server(&fragment(1, 1, 0, b"!")));
}

#[test]
fn what_a_client_says() {
    let (question, answer) = (message(200, 1), message(300, 2));
    let mut client = client(Profile::SMS);
    assert_eq!(client.handle_packet(&from_server(&wants(0, 200, 127)), NOW), refused(Fragment::Stale));
    client.send(&question, NOW).unwrap();
    // The layer above repeats itself.
    client.send(&question, NOW).unwrap();
    assert_eq!(only(packets(|| client.poll())), fragment(0, 200, 0, &question[..127]));
    let mut hear = |packet: &[u8]| {
        client.handle_packet(packet, NOW)?;
        Ok::<_, Error>(packets(|| client.poll()))
    };
    assert_eq!(hear(&from_server(&fragment(0, 300, 0, &answer[..127]))), Err(Misbehaved::UnexpectedMessage.into()));
    assert_eq!(hear(&from_server(&wants(0, 200, 126))), refused(Fragment::Stale));
    assert_eq!(hear(&from_server(&wants(0, 200, 128))), refused(Fragment::Gap));
    assert_eq!(hear(&from_server(&wants(0, 201, 127))), refused(Fragment::Total));
    assert_eq!(hear(&from_server(&wants(1, 200, 127))), refused(Fragment::Stale));
    assert_eq!(hear(&from_server(&wants(0, 200, 200))), refused(Fragment::Gap));
    assert_eq!(hear(&from_server(&wants(0, 200, 127))), Ok(vec![fragment(0, 200, 127, &question[127..])]));
    assert_eq!(hear(&from_server(&wants(0, 200, 127))), refused(Fragment::Stale));
    assert_eq!(hear(&from_server(&wants(0, 200, 200))), refused(Fragment::Gap));
    assert_eq!(hear(&from_server(&fragment(0, 300, 127, &answer[127..254]))), refused(Fragment::Gap));
    assert_eq!(hear(&from_server(&fragment(0, 300, 0, &answer[..127]))), Ok(vec![wants(0, 300, 127)]));
    // A repetition needs no answer: the timer takes care of what was lost.
    assert_eq!(hear(&from_server(&fragment(0, 300, 0, &answer[..127]))), Ok(vec![]));
    assert_eq!(hear(&from_server(&fragment(0, 300, 0, &question[..127]))), refused(Fragment::Overlap));
    assert_eq!(hear(&from_server(&fragment(0, 300, 127, &answer[127..254]))), Ok(vec![wants(0, 300, 254)]));
    client.handle_packet(&from_server(&fragment(0, 300, 254, &answer[254..])), NOW).unwrap();
    assert_eq!(client.poll(), Some(Action::Received(answer.clone())));
    assert_eq!(client.poll(), None);
    assert!(client.is_idle());
    assert_eq!(
        client.handle_packet(&from_server(&fragment(0, 300, 254, &answer[254..])), NOW),
        refused(Fragment::Stale)
    );

    // The same again is another question now.
    client.send(&question, NOW).unwrap();
    assert_eq!(only(packets(|| client.poll())), fragment(1, 200, 0, &question[..127]));
    // Another one has to wait: a server that has a part of this one would not take it.
    assert_eq!(client.send(b"?", NOW), Err(Misuse::NotNow("another question is under way")));
    assert_eq!(client.poll(), None);
    let long = vec![0; MAX_MESSAGE + 1];
    assert_eq!(client.send(&long, NOW), Err(Misuse::Parameter("a message has at most 4,096 bytes")));
    assert_eq!(server(Profile::SMS).send(&long), Err(Misuse::Parameter("a message has at most 4,096 bytes")));
    assert_eq!(server(Profile::SMS).send(b"!"), Err(Misuse::NotNow("no question is open")));
}

#[test]
fn a_client_backs_off_and_gives_up() {
    let mut client = client(Profile::SMS);
    client.send(b"?", NOW).unwrap();
    let packet = fragment(0, 1, 0, b"?");
    let mut wakes = Vec::new();
    loop {
        match client.poll().unwrap() {
            Action::Send(sent) => assert_eq!(sent, packet, "the stored bytes"),
            Action::WakeAt(at) => {
                wakes.push(at.0);
                client.handle_timeout(Millis(at.0 - 1));
                assert_eq!(client.poll(), None, "too early");
                client.handle_timeout(at);
            }
            action => {
                assert_eq!(action, Action::Unanswered);
                break;
            }
        }
    }
    assert_eq!(wakes, [500, 1_500, 3_500, 7_500]);
    assert!(client.is_idle());
    // Nobody knows how much of it the server has heard, so no number is right for another question.
    assert_eq!(client.send(b"?", NOW), Err(Misuse::NotNow("the exchange is over")));
    client.handle_timeout(Millis(u64::MAX));
    assert_eq!(client.poll(), None);
    // Each step has all its attempts, and the pause starts anew.
    let mut client = self::client(Profile::SMS);
    client.send(&message(200, 1), NOW).unwrap();
    client.handle_timeout(Millis(500));
    client.handle_packet(&from_server(&wants(0, 200, 127)), Millis(600)).unwrap();
    let wakes: Vec<_> =
        core::iter::from_fn(|| client.poll()).filter(|action| matches!(action, Action::WakeAt(_))).collect();
    assert_eq!(wakes, [500, 1_500, 1_100].map(|at| Action::WakeAt(Millis(at))));
    // Not above a minute.
    let pauses = [0, 5, 6, 7, 8, 255].map(|attempt| Retry { first: 500, attempts: 8 }.pause(attempt));
    assert_eq!(pauses, [500, 16_000, 32_000, 60_000, 60_000, 60_000]);
}

/// A question that does not get whole is let go of in its time, and the next one is heard.
#[test]
fn a_server_lets_go() {
    let question = message(300, 1);
    let first = fragment(0, 300, 0, &question[..127]);
    let mut server = server(Profile::SMS);
    server.handle_packet(&first, Millis(5)).unwrap();
    let until = Millis(5 + PATIENCE);
    assert_eq!(server.poll(), Some(Action::WakeAt(until)));
    assert_eq!(server.poll(), Some(Action::Send(from_server(&wants(0, 300, 127)))));
    let next = fragment(1, 1, 0, b"?");
    assert_eq!(server.handle_packet(&next, Millis(until.0 - 1)), refused(Fragment::Interleaved));
    // Heard again too late, the first one is a first one, and not a repetition of what is gone.
    server.handle_packet(&first, until).unwrap();
    assert_eq!(server.poll(), Some(Action::WakeAt(until.after(PATIENCE))));
    assert_eq!(server.poll(), Some(Action::Send(from_server(&wants(0, 300, 127)))));
    server.handle_packet(&fragment(0, 300, 127, &question[127..254]), until).unwrap();
    assert_eq!(server.poll(), Some(Action::Send(from_server(&wants(0, 300, 254)))));
    server.handle_timeout(until.after(PATIENCE));
    assert_eq!(
        server.handle_packet(&fragment(0, 300, 254, &question[254..]), until.after(PATIENCE)),
        refused(Fragment::Gap)
    );
    server.handle_packet(&next, until.after(PATIENCE)).unwrap();
    assert_eq!(server.poll(), Some(Action::Received(b"?".to_vec())));
}

/// A client that never comes to an end: its fragments are as small as they may be, and there are so many of them.
#[test]
fn a_client_that_never_ends_ends() {
    let mut server = server(Profile::SMS);
    let data = [0; MIN_FRAGMENT];
    let (mut heard, mut most) = (0, 0);
    for offset in (0..).step_by(MIN_FRAGMENT) {
        let packet = fragment(0, MAX_MESSAGE as u16, offset, &data);
        let (_, bytes, result) = allocated(|| server.handle_packet(&packet, NOW));
        if let Err(error) = result {
            assert_eq!(error, Fragment::Stale.into(), "there is no fragment after the last");
            break;
        }
        heard += 1;
        // After the first, a fragment costs what it takes to know it again and to answer it.
        most = if heard == 1 { most } else { most.max(bytes) };
        while server.poll().is_some() {}
    }
    assert_eq!(heard, 256);
    assert!(most <= 4 * Profile::SMS.packet() as u64, "{most}");
}
