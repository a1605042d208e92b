//! The operator's side of the lock-step.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Action, Body, Code, Incoming, Outgoing, Packet};
use crate::{
    error::{Error, Fragment, Misbehaved, Misuse},
    framing::fragment::Profile,
    time::{Millis, Retry},
};

/// The operator's end of the envelope.
///
/// Holds the peer's message, its own, and one packet: at most twice [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE) and a packet,
/// and what the caller has not polled yet.
#[derive(Debug)]
pub struct Server {
    profile: Profile,
    retry: Option<Retry>,
    state: ServerState,
    /// Of the last request.
    identifier: u8,
    sent: Vec<u8>,
    attempt: u8,
    deadline: Millis,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What comes after it, if the peer has nothing to say to it.
    then: Then,
    actions: VecDeque<Action>,
}

/// What an empty response means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Nothing: a message has to come.
    Message,
    Success,
    Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerState {
    /// The peer has the word.
    Listening,
    /// This side has.
    Speaking,
    /// This side has, and the peer has nothing to add.
    Concluded,
    Ended,
}

impl Server {
    /// Starts the method with a request of this identifier, another one than that of the request before, if there was one.
    /// `retry` is for a lower layer that loses packets.
    pub fn start(profile: Profile, identifier: u8, retry: Option<Retry>, now: Millis) -> Self {
        let start = Body { start: true, ..Body::default() };
        let mut server = Self {
            profile,
            retry,
            state: ServerState::Listening,
            identifier,
            sent: Packet { code: Code::Request, identifier, body: Some(start) }.write(),
            attempt: 0,
            deadline: now,
            incoming: Incoming::new(),
            outgoing: Outgoing::default(),
            then: Then::Message,
            actions: VecDeque::new(),
        };
        server.transmit(now);
        server
    }

    /// Takes a packet in.
    ///
    /// # Errors
    /// Says why it has no place here; it is as if it had never come.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Millis) -> Result<(), Error> {
        let packet = Packet::read(bytes)?;
        let (Code::Response, Some(body)) = (packet.code, packet.body) else {
            return Err(Misbehaved::UnexpectedMessage.into());
        };
        if self.state != ServerState::Listening || packet.identifier != self.identifier {
            return Err(Fragment::Stale.into());
        }
        if !self.outgoing.is_out() {
            if !body.is_empty() {
                return Err(Misbehaved::UnexpectedMessage.into());
            }
            self.go_on(now);
        } else if body.is_empty() && !self.incoming.is_under_way() {
            match self.then {
                // A peer that has not said who it is must not get to the end by saying nothing.
                Then::Message => return Err(Misbehaved::UnexpectedMessage.into()),
                Then::Success => {
                    self.state = ServerState::Concluded;
                    self.actions.push_back(Action::Concluded);
                }
                Then::Failure => {
                    self.end(Code::Failure);
                    self.actions.push_back(Action::Failed);
                }
            }
        } else if self.then == Then::Failure {
            // §3.5: after an error message there is only Failure.
            return Err(Misbehaved::UnexpectedMessage.into());
        } else if let Some(message) = self.incoming.accept(&body)? {
            self.state = ServerState::Speaking;
            self.actions.push_back(Action::Received(message));
        } else {
            self.say(&Body::default(), now);
        }
        Ok(())
    }

    /// The moment of [`Action::WakeAt`] has come.
    pub fn handle_timeout(&mut self, now: Millis) {
        let Some(retry) = self.retry.filter(|_| self.state == ServerState::Listening && now >= self.deadline) else {
            return;
        };
        if self.attempt < retry.attempts {
            return self.transmit(now);
        }
        self.state = ServerState::Ended;
        self.actions.push_back(Action::Unanswered);
    }

    /// Answers what was [received](Action::Received) with a message to which the peer has to say something: message_2.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if the peer has the word; [`Misuse::Parameter`] above
    /// [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE), or for a message of no bytes, which would be an acknowledgement.
    pub fn send(&mut self, message: &[u8], now: Millis) -> Result<(), Misuse> {
        self.answer(message, Then::Message, now)
    }

    /// Answers with the last message, message_4: **the peer is authenticated and welcome**. If it has nothing to say to that,
    /// it has [concluded](Action::Concluded); what it has to say is an error message, and then [`fail`](Self::fail).
    ///
    /// # Errors
    /// As [`Server::send`].
    pub fn send_last(&mut self, message: &[u8], now: Millis) -> Result<(), Misuse> {
        self.answer(message, Then::Success, now)
    }

    /// Answers with a no: an error message of EDHOC, or a message_4 that refuses. Failure follows when the peer has heard it.
    ///
    /// # Errors
    /// As [`Server::send`].
    pub fn refuse(&mut self, message: &[u8], now: Millis) -> Result<(), Misuse> {
        self.answer(message, Then::Failure, now)
    }

    fn answer(&mut self, message: &[u8], then: Then, now: Millis) -> Result<(), Misuse> {
        if self.state != ServerState::Speaking {
            return Err(Misuse::NotNow("the peer has the word"));
        }
        if message.is_empty() {
            return Err(Misuse::Parameter("an empty message acknowledges"));
        }
        self.outgoing = Outgoing::new(message)?;
        self.then = then;
        self.state = ServerState::Listening;
        self.go_on(now);
        Ok(())
    }

    /// Ends it with Success. The session has to be complete on this side: its keys go to the lower layer with it.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] before the peer has [concluded](Action::Concluded).
    pub fn succeed(&mut self) -> Result<(), Misuse> {
        if self.state != ServerState::Concluded {
            return Err(Misuse::NotNow("the peer has not concluded"));
        }
        self.end(Code::Success);
        Ok(())
    }

    /// Ends it with Failure.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if it has ended.
    pub fn fail(&mut self) -> Result<(), Misuse> {
        if self.state == ServerState::Ended {
            return Err(Misuse::NotNow("it has ended"));
        }
        self.end(Code::Failure);
        Ok(())
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn end(&mut self, code: Code) {
        self.state = ServerState::Ended;
        self.actions.push_back(Action::Send(Packet::end(code, self.identifier).write()));
    }

    fn go_on(&mut self, now: Millis) {
        self.identifier = self.identifier.wrapping_add(1);
        let body = self.outgoing.next(self.profile);
        let packet = Packet { code: Code::Request, identifier: self.identifier, body: Some(body) }.write();
        self.ask(packet, now);
    }

    fn say(&mut self, body: &Body<'_>, now: Millis) {
        self.identifier = self.identifier.wrapping_add(1);
        let packet = Packet { code: Code::Request, identifier: self.identifier, body: Some(*body) }.write();
        self.ask(packet, now);
    }

    fn ask(&mut self, packet: Vec<u8>, now: Millis) {
        self.sent = packet;
        self.attempt = 0;
        self.transmit(now);
    }

    fn transmit(&mut self, now: Millis) {
        self.actions.push_back(Action::Send(self.sent.clone()));
        if let Some(retry) = self.retry {
            self.deadline = now.after(retry.pause(self.attempt));
            self.attempt = self.attempt.saturating_add(1);
            self.actions.push_back(Action::WakeAt(self.deadline));
        }
    }
}
