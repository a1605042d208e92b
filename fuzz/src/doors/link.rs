//! A client and a server with a stranger on the link between them.
//!
//! Input: profile, two lengths, then operations: what happens to the packet that is due, and what the stranger says.
//!
//! - no panic;
//! - a packet that is refused is as if it had never come, and is not answered;
//! - a server says at most one packet for each that it hears;
//! - if none of the stranger's packets was taken for another one's, the question and the answer arrive, once each, whole.

use remote_provisioning::{
    framing::{
        Packet, Profile,
        link::{Action, Client, Server},
    },
    time::{Millis, Retry},
};

use super::Input;

/// Operations of one story.
const MAX_OPERATIONS: usize = 64;

const EXCHANGE: u16 = 0x4711;

struct Pair {
    client: Client,
    server: Server,
    now: Millis,
    wake: Millis,
    /// On their way: whether to the server, and the packet.
    due: Vec<(bool, Vec<u8>)>,
    /// All that either side has said.
    said: Vec<Vec<u8>>,
    question: Vec<u8>,
    answer: Vec<u8>,
    asked: Vec<Vec<u8>>,
    answered: Vec<Vec<u8>>,
    /// Somebody has guessed right: then nothing is promised but that nobody panics.
    guessed: bool,
    unanswered: bool,
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let profile = [Profile::SMS, Profile::APDU, Profile::NAS][input.below(3)];
    let (question, answer) = (vec![1; input.below(1_000)], vec![2; input.below(1_000)]);
    let now = Millis(0);
    let mut pair = Pair {
        client: Client::new(profile, Retry { first: 100, attempts: 200 }, EXCHANGE),
        server: Server::new(profile, 10_000_000, EXCHANGE),
        now,
        wake: now,
        due: Vec::new(),
        said: Vec::new(),
        question,
        answer,
        asked: Vec::new(),
        answered: Vec::new(),
        guessed: false,
        unanswered: false,
    };
    pair.client.send(&pair.question, now).expect("nothing is under way");
    pair.poll();
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 6 {
            0 => pair.step(),
            // Lost.
            1 => drop(pair.due.pop()),
            // Said before, or something like it.
            2 if !pair.said.is_empty() => {
                let old = pair.said[input.below(pair.said.len())].clone();
                let packet = input.mutated(&old);
                pair.stranger(input.byte() & 1 == 0, &packet);
            }
            // Made up, in this exchange or in another one.
            3 => {
                let packet = Packet {
                    acknowledges: input.byte() & 1 == 0,
                    from_server: input.byte() & 1 == 0,
                    number: input.byte() % 4,
                    exchange: if input.byte() & 1 == 0 { EXCHANGE } else { 1 },
                    total: u16::try_from(input.below(5_000)).unwrap(),
                    offset: u16::try_from(input.below(5_000)).unwrap(),
                    data: input.bytes(),
                };
                pair.stranger(input.byte() & 1 == 0, &packet.write());
            }
            4 => pair.stranger(input.byte() & 1 == 0, input.bytes()),
            _ => pair.wait(),
        }
    }
    for _ in 0..1_000 {
        if pair.unanswered || !pair.answered.is_empty() {
            break;
        }
        pair.step();
    }
    if !pair.guessed {
        assert!(!pair.unanswered, "somebody answered");
        assert_eq!((pair.asked, pair.answered), (vec![pair.question], vec![pair.answer]));
        assert!(pair.client.is_idle());
    }
}

impl Pair {
    /// The next packet arrives; if there is none, time passes.
    fn step(&mut self) {
        if self.due.is_empty() {
            return self.wait();
        }
        let (to_server, packet) = self.due.remove(0);
        self.deliver(to_server, &packet);
    }

    fn wait(&mut self) {
        self.now = self.now.max(self.wake);
        self.client.handle_timeout(self.now);
        self.poll();
    }

    fn stranger(&mut self, to_server: bool, packet: &[u8]) {
        // Whatever was said before is no guess, to whom it was said.
        let taken = self.deliver(to_server, packet);
        self.guessed |= taken && !self.said.iter().any(|said| said == packet);
    }

    /// Whether it was taken in.
    fn deliver(&mut self, to_server: bool, packet: &[u8]) -> bool {
        let (due, asked, answered) = (self.due.len(), self.asked.len(), self.answered.len());
        let result = if to_server {
            self.server.handle_packet(packet, self.now)
        } else {
            self.client.handle_packet(packet, self.now)
        };
        self.poll();
        if result.is_err() {
            assert_eq!((self.due.len(), self.asked.len(), self.answered.len()), (due, asked, answered));
        }
        if to_server {
            assert!(self.due.len() <= due + 1, "one packet for one packet");
        }
        result.is_ok()
    }

    fn poll(&mut self) {
        while let Some(action) = self.server.poll() {
            match action {
                Action::Send(packet) => self.say(false, packet),
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
                Action::Send(packet) => self.say(true, packet),
                Action::WakeAt(at) => self.wake = at,
                Action::Received(answer) => self.answered.push(answer),
                Action::Unanswered => self.unanswered = true,
            }
        }
    }

    fn say(&mut self, to_server: bool, packet: Vec<u8>) {
        self.said.push(packet.clone());
        self.due.push((to_server, packet));
    }
}

/// What there is to start from.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sms = [0, 1, 44, 0, 200];
    let with = |operations: &[u8]| [&sms[..], operations].concat();
    vec![
        ("honest", with(&[])),
        ("lost", with(&[1, 0, 1, 0, 1, 0, 1])),
        ("replayed", with(&[0, 0, 2, 0, 0, 0, 0, 0, 2, 1, 0, 1, 0, 2, 3, 0, 1])),
        ("altered", with(&[0, 0, 2, 0, 3, 0, 5, 1, 0, 0, 2, 1, 4, 3, 1])),
        (
            "made-up",
            with(&[0, 3, 1, 0, 0, 1, 44, 0, 127, 0, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0]),
        ),
        ("silence", with(&[1, 5, 1, 5, 1, 5, 0, 1, 5])),
        ("whole", vec![2, 3, 0, 3, 0]),
    ]
}
