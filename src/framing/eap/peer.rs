//! The device's side of the lock-step.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Action, Body, Code, Incoming, Outgoing, Packet, without_padding};
use crate::{
    error::{Error, Fragment, Misbehaved, Misuse},
    framing::fragment::Profile,
};

/// The device's end of the envelope.
///
/// Holds the server's message, its own, and three packets: at most twice [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE) and three
/// times a packet, and what the caller has not polled yet.
#[derive(Debug)]
pub struct Peer {
    profile: Profile,
    state: PeerState,
    /// The last request that was taken in, to know it again.
    heard: Vec<u8>,
    /// The request that began the server's last message: come late, it must not be taken for the beginning of the next one.
    began: Vec<u8>,
    /// The request that ended it, if that was another: come late, it looks like a whole message.
    finished: Vec<u8>,
    /// What was answered; empty while the answer is the caller's to give.
    said: Vec<u8>,
    /// Of the last request.
    identifier: u8,
    incoming: Incoming,
    outgoing: Outgoing,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerState {
    AwaitStart,
    /// The server has the word.
    Listening,
    /// This side has.
    Speaking,
    /// The method is done; Success is to come.
    Concluded,
    Ended,
}

impl Peer {
    /// A peer that waits for the Start.
    pub const fn new(profile: Profile) -> Self {
        Self {
            profile,
            state: PeerState::AwaitStart,
            heard: Vec::new(),
            began: Vec::new(),
            finished: Vec::new(),
            said: Vec::new(),
            identifier: 0,
            incoming: Incoming::new(),
            outgoing: Outgoing { message: Vec::new(), end: 0 },
            actions: VecDeque::new(),
        }
    }

    /// Takes a packet in.
    ///
    /// # Errors
    /// Says why it has no place here; it is as if it had never come.
    pub fn handle_packet(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // Padding is none of what is kept, and a request with other padding is the same request.
        let bytes = without_padding(bytes)?;
        let packet = Packet::read(bytes)?;
        match (packet.code, packet.body) {
            (Code::Request, Some(body)) => self.request(packet.identifier, &body, bytes),
            (Code::Success, None) => self.ended(&packet, &[PeerState::Concluded], Action::Succeeded),
            (Code::Failure, None) => self.ended(&packet, &[PeerState::Listening, PeerState::Speaking], Action::Failed),
            // One's own, reflected.
            _ => Err(Misbehaved::UnexpectedMessage.into()),
        }
    }

    fn request(&mut self, identifier: u8, body: &Body<'_>, bytes: &[u8]) -> Result<(), Error> {
        // RFC 3748 §4.1: a request heard again is answered with the same response.
        if self.heard == bytes {
            if !self.said.is_empty() {
                self.actions.push_back(Action::Send(self.said.clone()));
            }
            return Ok(());
        }
        if !self.heard.is_empty() && identifier == self.identifier {
            return Err(Fragment::Stale.into());
        }
        // §3.1.6: within a message, of either side, the identifiers go up by one. So what is late does not count as what
        // comes next.
        let within = !self.outgoing.is_out() || self.incoming.is_under_way();
        if within && identifier != self.identifier.wrapping_add(1) {
            return Err(Fragment::Stale.into());
        }
        match self.state {
            PeerState::AwaitStart if body.start => {
                self.hear(identifier, bytes);
                self.state = PeerState::Speaking;
                self.actions.push_back(Action::Started);
            }
            PeerState::Listening if body.start => return Err(Misbehaved::UnexpectedMessage.into()),
            PeerState::Listening if !self.outgoing.is_out() => {
                if !body.is_empty() {
                    return Err(Misbehaved::UnexpectedMessage.into());
                }
                self.hear(identifier, bytes);
                self.go_on();
            }
            // Nothing to acknowledge, and nothing said.
            PeerState::Listening if body.is_empty() && !self.incoming.is_under_way() => {
                return Err(Misbehaved::UnexpectedMessage.into());
            }
            PeerState::Listening => {
                let begins = !self.incoming.is_under_way();
                if begins && (self.began == bytes || self.finished == bytes) {
                    return Err(Fragment::Stale.into());
                }
                let whole = self.incoming.accept(body)?;
                if begins {
                    (self.began, self.finished) = (bytes.to_vec(), Vec::new());
                } else if whole.is_some() {
                    self.finished = bytes.to_vec();
                }
                self.hear(identifier, bytes);
                match whole {
                    Some(message) => {
                        self.state = PeerState::Speaking;
                        self.actions.push_back(Action::Received(message));
                    }
                    None => self.say(&Body::default()),
                }
            }
            PeerState::AwaitStart | PeerState::Speaking | PeerState::Concluded | PeerState::Ended => {
                return Err(Misbehaved::UnexpectedMessage.into());
            }
        }
        Ok(())
    }

    /// RFC 3748 §4.2: the end has the identifier of the response that it follows.
    fn ended(&mut self, packet: &Packet<'_>, in_state: &[PeerState], action: Action) -> Result<(), Error> {
        if !in_state.contains(&self.state) {
            return Err(Misbehaved::UnexpectedMessage.into());
        }
        if packet.identifier != self.identifier {
            return Err(Fragment::Stale.into());
        }
        self.state = PeerState::Ended;
        self.actions.push_back(action);
        Ok(())
    }

    /// Answers what was [received](Action::Received), or the [Start](Action::Started): with a message of EDHOC, or an error
    /// message. What was said already is not said twice, for the layer above may repeat itself.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if the server has the word; [`Misuse::Parameter`] above
    /// [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE), or for a message of no bytes, which would be [`Peer::conclude`].
    pub fn send(&mut self, message: &[u8]) -> Result<(), Misuse> {
        if self.state == PeerState::Listening && self.outgoing.message == message {
            return Ok(());
        }
        if self.state != PeerState::Speaking {
            return Err(Misuse::NotNow("the server has the word"));
        }
        if message.is_empty() {
            return Err(Misuse::Parameter("an empty message concludes the method"));
        }
        self.outgoing = Outgoing::new(message)?;
        self.state = PeerState::Listening;
        self.go_on();
        Ok(())
    }

    /// message_4 has authenticated, and is no refusal: says so with an empty response (§3.1.1), and believes Success from now
    /// on.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if the server has the word.
    pub fn conclude(&mut self) -> Result<(), Misuse> {
        self.say_nothing(PeerState::Concluded)
    }

    /// The server has sent an error message, or a refusal: acknowledges it with an empty response (§3.1.3), and waits for
    /// Failure.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if the server has the word.
    pub fn give_up(&mut self) -> Result<(), Misuse> {
        self.say_nothing(PeerState::Listening)
    }

    fn say_nothing(&mut self, state: PeerState) -> Result<(), Misuse> {
        if self.state != PeerState::Speaking {
            return Err(Misuse::NotNow("the server has the word"));
        }
        self.state = state;
        self.say(&Body::default());
        Ok(())
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn hear(&mut self, identifier: u8, bytes: &[u8]) {
        self.identifier = identifier;
        self.heard = bytes.to_vec();
        self.said = Vec::new();
    }

    fn go_on(&mut self) {
        let body = self.outgoing.next(self.profile);
        let packet = Packet { code: Code::Response, identifier: self.identifier, body: Some(body) }.write();
        self.send_packet(packet);
    }

    fn say(&mut self, body: &Body<'_>) {
        let packet = Packet { code: Code::Response, identifier: self.identifier, body: Some(*body) }.write();
        self.send_packet(packet);
    }

    fn send_packet(&mut self, packet: Vec<u8>) {
        self.said = packet;
        self.actions.push_back(Action::Send(self.said.clone()));
    }
}
