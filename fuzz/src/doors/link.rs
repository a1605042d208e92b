//! A client and a server with a stranger on the link between them (see [`super::between`]).
//!
//! Input: profile, two lengths, then operations. If nobody guessed, the question and the answer arrive, once each, whole.

use remote_provisioning::{
    framing::{
        self, Profile,
        link::{Action, Client, Server},
    },
    time::{Millis, Retry},
};

use super::{
    Choices, Input,
    between::{Between, Ends, Packet, Wish},
};

const EXCHANGE: u16 = 0x4711;

struct Pair {
    client: Client,
    server: Server,
    answer: Vec<u8>,
    asked: Vec<Vec<u8>>,
    answered: Vec<Vec<u8>>,
    unanswered: bool,
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let profile = [Profile::SMS, Profile::APDU, Profile::NAS][input.below(3)];
    let (question, answer) = (vec![1; input.below(1_000)], vec![2; input.below(1_000)]);
    let mut pair = Pair {
        client: Client::new(profile, Retry { first: 100, attempts: 200 }, EXCHANGE),
        server: Server::new(profile, 10_000_000, EXCHANGE),
        answer: answer.clone(),
        asked: Vec::new(),
        answered: Vec::new(),
        unanswered: false,
    };
    pair.client.send(&question, Millis(0)).expect("nothing is under way");
    let link = Between::play(pair, &mut input);
    if !link.guessed {
        let Pair { client, asked, answered, unanswered, .. } = link.ends;
        assert!(!unanswered, "somebody answered");
        assert_eq!((asked, answered), (vec![question], vec![answer]));
        assert!(client.is_idle());
    }
}

impl Ends for Pair {
    fn take(&mut self, packet: &Packet, now: Millis) -> bool {
        if packet.to_server {
            self.server.handle_packet(&packet.bytes, now).is_ok()
        } else {
            self.client.handle_packet(&packet.bytes, now).is_ok()
        }
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.client.handle_timeout(now);
    }

    fn poll(&mut self, _: Millis) -> Option<Wish> {
        while let Some(action) = self.server.poll() {
            match action {
                Action::Send(bytes) => return Some(Wish::Send(Packet { to_server: false, bytes })),
                Action::Received(question) => {
                    self.asked.push(question);
                    let _ = self.server.send(&self.answer);
                }
                Action::WakeAt(_) => {}
                Action::Unanswered => panic!("a server waits for nobody"),
            }
        }
        while let Some(action) = self.client.poll() {
            match action {
                Action::Send(bytes) => return Some(Wish::Send(Packet { to_server: true, bytes })),
                Action::WakeAt(at) => return Some(Wish::WakeAt(at)),
                Action::Received(answer) => self.answered.push(answer),
                Action::Unanswered => self.unanswered = true,
            }
        }
        None
    }

    fn heard(&self) -> usize {
        self.asked.len() + self.answered.len()
    }

    fn is_over(&self) -> bool {
        self.unanswered || !self.answered.is_empty()
    }

    /// Whatever was said before is no guess, to whom it was said.
    fn is_known(said: &[Packet], packet: &Packet) -> bool {
        said.iter().any(|said| said.bytes == packet.bytes)
    }

    /// In this exchange or in another one.
    fn made_up(input: &mut Input<'_>) -> Packet {
        let bytes = framing::Packet {
            acknowledges: input.byte() & 1 == 0,
            from_server: input.byte() & 1 == 0,
            number: input.byte() % 4,
            exchange: if input.byte() & 1 == 0 { EXCHANGE } else { 1 },
            total: u16::try_from(input.below(5_000)).unwrap(),
            offset: u16::try_from(input.below(5_000)).unwrap(),
            data: input.chunk(),
        }
        .write();
        Packet { to_server: input.byte() & 1 == 0, bytes }
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sms = [0, 1, 44, 0, 200];
    let with = |operations: &[u8]| [&sms[..], operations].concat();
    [
        ("honest", with(&[])),
        ("lost", with(&[1, 0, 1, 0, 1, 0, 1])),
        ("replayed", with(&[0, 0, 2, 0, 0, 1, 0, 0, 0, 2, 1, 0, 1, 0, 2, 3, 0, 1])),
        ("reflected", with(&[0, 0, 2, 0, 0, 0, 0, 2, 1, 0, 0])),
        ("altered", with(&[0, 0, 2, 0, 3, 0, 0, 5, 1, 1, 0, 0, 2, 1, 4, 0, 3, 1])),
        (
            "made-up",
            with(&[
                0, 3, 1, 0, 0, 0, 1, 44, 0, 127, 0, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0,
            ]),
        ),
        ("silence", with(&[1, 5, 1, 5, 1, 5, 0, 1, 5])),
        ("whole", vec![2, 3, 0, 3, 0]),
    ]
    .into()
}
