//! Both ends of the EAP envelope with a stranger between them, who is an authenticator's business, and so nobody's.
//!
//! Input: packet length, lengths of four messages, then operations: what happens to the packet that is due, and what the
//! stranger says.
//!
//! - no panic;
//! - a packet that is refused is as if it had never come;
//! - no peer gets to the end before message_4 was sent last, and no Success counts before the peer has concluded;
//! - if none of the stranger's packets was taken for another one's, the four messages arrive, once each, whole.

use remote_provisioning::{
    framing::{
        Profile,
        eap::{Action, Packet, Peer, Server},
    },
    time::{Millis, Retry},
};

use super::Input;

/// Operations of one story.
const MAX_OPERATIONS: usize = 64;

struct Conversation {
    peer: Peer,
    server: Server,
    now: Millis,
    wake: Millis,
    due: Vec<(bool, Vec<u8>)>,
    said: Vec<(bool, Vec<u8>)>,
    messages: [Vec<u8>; 4],
    /// message_2 and message_4 at the peer, message_1 and message_3 at the server.
    heard: [Vec<Vec<u8>>; 2],
    last_sent: bool,
    concluded: bool,
    ended: [Option<Action>; 2],
    guessed: bool,
}

pub(crate) fn run(data: &[u8]) {
    if let Ok(packet) = Packet::read(data) {
        assert_eq!(Packet::read(&packet.write()), Ok(packet), "a length may be shorter, and padding is none of it");
    }
    let mut input = Input::new(data);
    let profile = Profile::new([64, 200, 1_020][input.below(3)]).expect("a packet that holds something");
    let messages = [1, 2, 3, 4].map(|byte| vec![byte; 1 + input.below(1_500)]);
    let now = Millis(0);
    let mut both = Conversation {
        peer: Peer::new(profile),
        server: Server::start(profile, input.byte(), Some(Retry { first: 100, attempts: 200 }), now),
        now,
        wake: now,
        due: Vec::new(),
        said: Vec::new(),
        messages,
        heard: [Vec::new(), Vec::new()],
        last_sent: false,
        concluded: false,
        ended: [None, None],
        guessed: false,
    };
    both.poll();
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 5 {
            0 => both.step(),
            1 => drop(both.due.pop()),
            2 => {
                let (to_server, old) = both.said[input.below(both.said.len())].clone();
                let packet = input.mutated(&old);
                both.stranger(to_server ^ input.byte().is_multiple_of(8), &packet);
            }
            3 => both.stranger(input.byte() & 1 == 0, input.bytes()),
            _ => both.wait(),
        }
    }
    for _ in 0..2_000 {
        if both.ended[1].is_some() {
            break;
        }
        both.step();
    }
    if !both.guessed {
        assert_eq!(both.ended[1], Some(Action::Concluded));
        let [one, two, three, four] = both.messages;
        assert_eq!(both.heard, [vec![two, four], vec![one, three]]);
    }
}

impl Conversation {
    fn step(&mut self) {
        if self.due.is_empty() {
            return self.wait();
        }
        let (to_server, packet) = self.due.remove(0);
        self.deliver(to_server, &packet);
    }

    fn wait(&mut self) {
        self.now = self.now.max(self.wake);
        self.server.handle_timeout(self.now);
        self.poll();
    }

    fn stranger(&mut self, to_server: bool, packet: &[u8]) {
        let taken = self.deliver(to_server, packet);
        // An old request may be a new one's twin, one round of identifiers later or out of order: the lower layer's to keep.
        self.guessed |= taken && self.said.last().is_none_or(|(to, said)| (*to, &said[..]) != (to_server, packet));
    }

    fn deliver(&mut self, to_server: bool, packet: &[u8]) -> bool {
        let before = (self.due.len(), self.heard.clone().map(|heard| heard.len()), self.ended.clone());
        let result =
            if to_server { self.server.handle_packet(packet, self.now) } else { self.peer.handle_packet(packet) };
        self.poll();
        if result.is_err() {
            assert_eq!((self.due.len(), self.heard.clone().map(|heard| heard.len()), self.ended.clone()), before);
        }
        result.is_ok()
    }

    fn poll(&mut self) {
        loop {
            if let Some(action) = self.server.poll() {
                match action {
                    Action::Send(packet) => self.say(false, packet),
                    Action::WakeAt(at) => self.wake = at,
                    Action::Received(message) => {
                        self.heard[1].push(message);
                        match self.heard[1].len() {
                            1 => self.server.send(&self.messages[1], self.now).expect("this side has the word"),
                            2 => {
                                self.server.send_last(&self.messages[3], self.now).expect("this side has the word");
                                self.last_sent = true;
                            }
                            // What comes after message_4 is an error message.
                            _ => {
                                self.server.fail().expect("it has not ended");
                                self.ended[1] = Some(Action::Failed);
                            }
                        }
                    }
                    Action::Concluded => {
                        assert!(self.last_sent, "the end before the end");
                        self.ended[1] = Some(Action::Concluded);
                        self.server.succeed().expect("it has concluded");
                    }
                    Action::Unanswered => self.ended[1] = Some(Action::Unanswered),
                    action => panic!("{action:?}"),
                }
            } else if let Some(action) = self.peer.poll() {
                match action {
                    Action::Send(packet) => self.say(true, packet),
                    Action::Started => self.peer.send(&self.messages[0]).expect("this side has the word"),
                    Action::Received(message) => {
                        self.heard[0].push(message);
                        if self.heard[0].len() == 1 {
                            self.peer.send(&self.messages[2]).expect("this side has the word");
                        } else {
                            self.peer.conclude().expect("this side has the word");
                            self.concluded = true;
                        }
                    }
                    Action::Succeeded => {
                        assert!(self.concluded, "a Success that nobody has earned");
                        self.ended[0] = Some(Action::Succeeded);
                    }
                    Action::Failed => {
                        assert!(!self.concluded, "RFC 3748 §4.2");
                        self.ended[0] = Some(Action::Failed);
                        // Nobody has authenticated that; it is over all the same.
                        self.guessed = true;
                    }
                    action => panic!("{action:?}"),
                }
            } else {
                return;
            }
        }
    }

    fn say(&mut self, to_server: bool, packet: Vec<u8>) {
        self.said.push((to_server, packet.clone()));
        self.due.push((to_server, packet));
    }
}

/// What there is to start from.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let small = [0, 0, 37, 1, 44, 1, 0, 0, 150, 1];
    let with = |operations: &[u8]| [&small[..], operations].concat();
    vec![
        ("honest", with(&[])),
        ("whole", vec![2, 0, 37, 1, 44, 1, 0, 0, 150, 254]),
        ("lost", with(&[1, 4, 0, 1, 4, 0, 0, 1])),
        ("repeated", with(&[0, 0, 0, 2, 3, 0, 1, 2, 3, 0, 1, 0])),
        ("empty-response", with(&[0, 0, 3, 0, 0, 6, 2, 2, 0, 6, 57, 0])),
        ("success", with(&[0, 3, 1, 0, 4, 3, 1, 0, 4])),
        ("altered", with(&[0, 2, 0, 3, 0, 5, 16, 1, 2, 1, 5, 0, 6, 0, 2, 7, 7, 1])),
        ("padded", [&[1_u8, 1, 0, 8, 57, 0, 1, 2][..], &[0; 20]].concat()),
    ]
}
