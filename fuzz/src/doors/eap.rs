//! Both ends of the EAP envelope with a stranger between them, who is an authenticator's business, and so nobody's (see
//! [`super::between`]).
//!
//! Input: packet length, lengths of four messages, then operations.
//!
//! - no peer gets to the end before message_4 was sent last, and no Success counts before the peer has concluded;
//! - if nobody guessed, the four messages arrive, once each, whole.

use remote_provisioning::{
    framing::{
        Profile,
        eap::{self, Action, Peer, Server},
    },
    time::{Millis, Retry},
};

use super::{
    Choices, Input,
    between::{Between, Ends, Packet, Wish},
};

struct Conversation {
    peer: Peer,
    server: Server,
    messages: [Vec<u8>; 4],
    /// message_2 and message_4 at the peer, message_1 and message_3 at the server.
    heard: [Vec<Vec<u8>>; 2],
    last_sent: bool,
    concluded: bool,
    ended: [Option<Action>; 2],
    /// Nobody has authenticated a Failure; it is over all the same.
    failed: bool,
}

pub(super) fn run(data: &[u8]) {
    if let Ok(packet) = eap::Packet::read(data) {
        assert_eq!(
            eap::Packet::read(&packet.write()),
            Ok(packet),
            "a length may be shorter, and padding is none of it"
        );
    }
    let mut input = Input::new(data);
    let profile = Profile::new([64, 200, 1_020][input.below(3)]).expect("a packet that holds something");
    let messages = [1, 2, 3, 4].map(|byte| vec![byte; 1 + input.below(1_500)]);
    let conversation = Conversation {
        peer: Peer::new(profile),
        server: Server::start(profile, input.byte(), Some(Retry { first: 100, attempts: 200 }), Millis(0)),
        messages: messages.clone(),
        heard: [Vec::new(), Vec::new()],
        last_sent: false,
        concluded: false,
        ended: [None, None],
        failed: false,
    };
    let link = Between::play(conversation, &mut input);
    if !link.guessed && !link.ends.failed {
        assert_eq!(link.ends.ended[1], Some(Action::Concluded));
        let [one, two, three, four] = messages;
        assert_eq!(link.ends.heard, [vec![two, four], vec![one, three]]);
    }
}

impl Conversation {
    /// What the server does with its part of the word.
    fn serve(&mut self, message: Vec<u8>, now: Millis) {
        self.heard[1].push(message);
        match self.heard[1].len() {
            1 => self.server.send(&self.messages[1], now).expect("this side has the word"),
            2 => {
                self.server.send_last(&self.messages[3], now).expect("this side has the word");
                self.last_sent = true;
            }
            // What comes after message_4 is an error message.
            _ => {
                self.server.fail().expect("it has not ended");
                self.ended[1] = Some(Action::Failed);
            }
        }
    }
}

impl Ends for Conversation {
    fn take(&mut self, packet: &Packet, now: Millis) -> bool {
        if packet.to_server {
            self.server.handle_packet(&packet.bytes, now).is_ok()
        } else {
            self.peer.handle_packet(&packet.bytes).is_ok()
        }
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.server.handle_timeout(now);
    }

    fn poll(&mut self, now: Millis) -> Option<Wish> {
        while let Some(action) = self.server.poll() {
            match action {
                Action::Send(bytes) => return Some(Wish::Send(Packet { to_server: false, bytes })),
                Action::WakeAt(at) => return Some(Wish::WakeAt(at)),
                Action::Received(message) => self.serve(message, now),
                Action::Concluded => {
                    assert!(self.last_sent, "the end before the end");
                    self.ended[1] = Some(Action::Concluded);
                    self.server.succeed().expect("it has concluded");
                }
                Action::Unanswered => self.ended[1] = Some(Action::Unanswered),
                action => panic!("{action:?}"),
            }
        }
        while let Some(action) = self.peer.poll() {
            match action {
                Action::Send(bytes) => return Some(Wish::Send(Packet { to_server: true, bytes })),
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
                    self.failed = true;
                }
                action => panic!("{action:?}"),
            }
        }
        None
    }

    fn heard(&self) -> usize {
        self.heard.iter().map(Vec::len).sum::<usize>() + self.ended.iter().flatten().count()
    }

    fn is_over(&self) -> bool {
        self.ended[1].is_some()
    }

    /// An old request may be a new one's twin, one round of identifiers later or out of order: the lower layer's to keep.
    fn is_known(said: &[Packet], packet: &Packet) -> bool {
        said.last().is_some_and(|said| said == packet)
    }

    /// A request or a response of this method, of any flags; or Success, or Failure.
    fn made_up(input: &mut Input<'_>) -> Packet {
        let (code, identifier, flags, data) = (input.byte() % 5, input.byte(), input.byte(), input.chunk());
        let len = u16::try_from(6 + data.len()).unwrap_or(u16::MAX).to_be_bytes();
        let bytes = match code {
            3 | 4 => vec![code, identifier, 0, 4],
            _ => [&[code, identifier, len[0], len[1], 57, flags], data].concat(),
        };
        Packet { to_server: input.byte() & 1 == 0, bytes }
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let small = [0, 0, 37, 1, 44, 1, 0, 0, 150, 1];
    let with = |operations: &[u8]| [&small[..], operations].concat();
    [
        ("honest", with(&[])),
        ("whole", vec![2, 0, 37, 1, 44, 1, 0, 0, 150, 254]),
        ("lost", with(&[1, 5, 0, 1, 5, 0, 0, 1])),
        ("repeated", with(&[0, 0, 0, 2, 3, 0, 1, 2, 3, 0, 1, 0])),
        ("empty-response", with(&[0, 0, 4, 0, 0, 6, 2, 2, 0, 6, 57, 0])),
        ("success", with(&[0, 4, 1, 0, 4, 3, 1, 0, 4])),
        ("made-up", with(&[0, 3, 2, 1, 0, 0, 2, 7, 7, 0, 3, 3, 2, 0, 0, 0, 1])),
        ("altered", with(&[0, 2, 0, 3, 0, 0, 5, 16, 1, 2, 1, 5, 0, 6, 0, 2, 7, 7, 1])),
        ("padded", [&[1_u8, 1, 0, 8, 57, 0, 1, 2][..], &[0; 20]].concat()),
    ]
    .into()
}
