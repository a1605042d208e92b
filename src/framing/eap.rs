//! The EAP envelope: EDHOC as an EAP method (draft-ietf-emu-eap-edhoc-12), [`Peer`] and [`Server`].
//!
//! ```text
//! peer (device)                                          server (operator; in 5G the AUSF)
//!   ◀──────────────────────── Request 1, Start ──────────  Server::start
//! Started
//! send(message_1)
//!   ── Response 1, message_1 ────────────────────────────▶ Received(message_1)
//!                                                          send(message_2)
//!   ◀────────── Request 2, 1,300 bytes in all, more ─────
//!   ── Response 2, nothing: the acknowledgement ─────────▶
//!   ◀─────────────────────── Request 3, the rest ────────
//! Received(message_2)
//! send(message_3)
//!   ── Response 3, message_3 ────────────────────────────▶ Received(message_3)
//!                                                          send_last(message_4)
//!   ◀────────────────────────── Request 4, message_4 ────
//! Received(message_4); authenticated, so:
//! conclude()
//!   ── Response 4, nothing ──────────────────────────────▶ Concluded
//!                                                          succeed()
//!   ◀──────────────────────────────── Success 4 ─────────
//! Succeeded
//! ```
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     Code      |   Identifier  |            Length             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     Type      |  R  |S|M|  L  |   Message Length, L bytes     ~       §4
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! R, reserved, is sent as 0 and not looked at. S marks the Start, M that more fragments follow. L is there in the first of
//! several fragments and nowhere else; this side sends the shortest that holds the length, and reads 1 to 4 bytes (§3.1.6).
//!
//! EAP is a lock-step of requests and responses. The server chooses the Identifier of each request, one up from the one
//! before, and the response repeats it: a request heard again is answered with the stored response (RFC 3748 §4.1), and a
//! response to any other request is dropped. Retransmission is the server's, and only over a lower layer that loses
//! packets (RFC 3748 §4.3); NAS does it by itself, so [`Server::start`] takes the timer as an option. Order is the lower
//! layer's to keep (RFC 3748 §3.1): nothing in a request that is late by more than one tells it from a new one.
//!
//! **No.** An error message of EDHOC's ends it (§3.5): a peer [sends](Peer::send) it and waits for Failure, a server
//! [refuses](Server::refuse) with it, and Failure follows when it has been heard (§3.1.3). That goes for errors 2 and 3 and
//! for the demand of a cookie too: what the device tries next goes into another conversation. An operator has no use for a
//! cookie here, where the lock-step has shown already that the peer receives.
//!
//! **Keys.** MSK and EMSK come from the session, and K_AUSF from EMSK: [`edhoc::eap`](crate::edhoc::eap).
//!
//! **After message_4** EAP is over: the response is empty, and Success follows. The records of a provisioning go over the
//! network that this gave access to, for onboarding (TS 33.501 §I.9) over its user plane.
//!
//! Not here: Identity, Nak and other methods, which belong to the EAP layer around this one (a packet of another type is
//! refused as [`Malformed::WrongType`]); retries of the authenticator; channel binding (§3.6), an EAD item of the caller's.
//! Success and Failure are authenticated by nobody. A peer believes Success only after [`Peer::conclude`], and after that no
//! Failure (RFC 3748 §4.2). Success is sent once: where it may get lost, a lower layer that gives access says as much. A
//! server takes an empty response for the end only where the end can be: after [`Server::send_last`].

use alloc::{collections::VecDeque, vec::Vec};

use super::fragment::{Piece, Profile, Progress, Reassembler, cut, sendable};
use crate::{
    error::{Error, Fragment, Malformed, Misbehaved, Misuse},
    time::{Millis, Retry},
};

/// The EAP method type: what §5.1 of the draft suggests. Provisional until IANA has assigned it.
pub const TYPE: u8 = 57;

/// Bytes before the data: Code, Identifier, Length, Type and the flags.
const HEAD_LEN: usize = 6;

const START: u8 = 0x10;
const MORE: u8 = 0x08;
const LENGTH: u8 = 0x07;

/// Which of the four kinds of packet (RFC 3748 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1: from the server, to be answered.
    Request,
    /// 2: from the peer.
    Response,
    /// 3: the end, and access.
    Success,
    /// 4: the end, and none.
    Failure,
}

impl Code {
    const fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Success => 3,
            Self::Failure => 4,
        }
    }
}

/// A packet of EAP-EDHOC, or one that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its kind.
    pub code: Code,
    /// What tells a request, and the response to it, from the others.
    pub identifier: u8,
    /// What a request or response has, and the others do not.
    pub body: Option<Body<'a>>,
}

/// What is after the Type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body<'a> {
    /// S.
    pub start: bool,
    /// M.
    pub more: bool,
    /// Bytes of the message, with the first of its fragments; absent if it is whole.
    pub total: Option<u32>,
    /// The message, or a fragment of it.
    pub data: &'a [u8],
}

impl Body<'_> {
    /// An acknowledgement, or the end of the method: no flag and no data.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<'a> Packet<'a> {
    /// Reads a packet. Bytes after its Length are padding of the lower layer (RFC 3748 §4).
    ///
    /// # Errors
    /// [`Malformed`]: truncated; a code, or flags, that nobody may send; [`Malformed::WrongType`] for another EAP method.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let packet = without_padding(bytes)?;
        let (head, rest) = packet.split_first_chunk::<4>().ok_or(Malformed::WrongLength)?;
        let [code, identifier, ..] = *head;
        let code = match code {
            1 => Code::Request,
            2 => Code::Response,
            3 => Code::Success,
            4 => Code::Failure,
            _ => return Err(Malformed::OutOfRange),
        };
        let body = match (code, rest) {
            (Code::Success | Code::Failure, []) => None,
            (Code::Success | Code::Failure, _) => return Err(Malformed::WrongLength),
            (Code::Request | Code::Response, [TYPE, flags, rest @ ..]) => Some(Body::read(*flags, rest)?),
            (Code::Request | Code::Response, [TYPE] | []) => return Err(Malformed::Truncated),
            (Code::Request | Code::Response, _) => return Err(Malformed::WrongType),
        };
        if code == Code::Response && body.is_some_and(|body| body.start) {
            return Err(Malformed::OutOfRange);
        }
        Ok(Self { code, identifier, body })
    }

    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        let Some(body) = self.body else {
            return [self.code.number(), self.identifier, 0, 4].to_vec();
        };
        // The shortest encoding of the total: of its four bytes, those that are left without leading zeros.
        let total = body.total.map(u32::to_be_bytes).unwrap_or_default();
        let zeros = total.iter().take_while(|byte| **byte == 0).count();
        let total = total.get(zeros..).unwrap_or_default();
        let length = HEAD_LEN.saturating_add(total.len()).saturating_add(body.data.len());
        let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let flags = if body.start { START } else { 0 }
            | if body.more { MORE } else { 0 }
            | u8::try_from(total.len()).unwrap_or_default();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&[self.code.number(), self.identifier, high, low, TYPE, flags]);
        bytes.extend_from_slice(total);
        bytes.extend_from_slice(body.data);
        bytes
    }

    const fn end(code: Code, identifier: u8) -> Self {
        Self { code, identifier, body: None }
    }
}

/// The packet, as long as it says.
fn without_padding(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (head, _) = bytes.split_first_chunk::<4>().ok_or(Malformed::Truncated)?;
    let [_, _, length @ ..] = *head;
    bytes.get(..usize::from(u16::from_be_bytes(length))).ok_or(Malformed::Truncated)
}

impl<'a> Body<'a> {
    fn read(flags: u8, rest: &'a [u8]) -> Result<Self, Malformed> {
        let (start, more, len) = (flags & START != 0, flags & MORE != 0, usize::from(flags & LENGTH));
        if len > 4 {
            return Err(Malformed::OutOfRange);
        }
        let (total, data) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        let total = total.iter().fold(0_u32, |total, byte| total << 8 | u32::from(*byte));
        // §3.1.6: a length only in the first of several fragments. A Start has nothing but its flag.
        if len > 0 && !more || start && (more || !data.is_empty()) {
            return Err(Malformed::OutOfRange);
        }
        Ok(Self { start, more, total: (len > 0).then_some(total), data })
    }
}

/// What the envelope wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this packet.
    Send(Vec<u8>),
    /// Server, if it has a timer: call [`Server::handle_timeout`] at this moment. Replaces the moment named before.
    WakeAt(Millis),
    /// Peer: the server has started the method and waits for message_1.
    Started,
    /// The other side's message is whole.
    Received(Vec<u8>),
    /// Server: the peer has taken in what was [sent last](Server::send_last): [`succeed`](Server::succeed).
    Concluded,
    /// Peer: the server has ended it with Success.
    Succeeded,
    /// Peer: the server has ended it with Failure, which nobody has authenticated. Server: the peer has heard the
    /// [refusal](Server::refuse), and Failure is out.
    Failed,
    /// Server: the peer did not answer in all the attempts allowed.
    Unanswered,
}

/// A message on its way out.
#[derive(Debug, Default)]
struct Outgoing {
    message: Vec<u8>,
    end: usize,
}

impl Outgoing {
    fn new(message: &[u8]) -> Result<Self, Misuse> {
        sendable(message)?;
        Ok(Self { message: message.to_vec(), end: 0 })
    }

    fn is_out(&self) -> bool {
        self.end == self.message.len()
    }

    /// The next fragment, or the whole message.
    fn next(&mut self, profile: Profile) -> Body<'_> {
        let whole = self.message.len() <= profile.room(HEAD_LEN);
        let first = self.end == 0 && !whole;
        let total = first.then(|| u32::try_from(self.message.len()).unwrap_or(u32::MAX));
        // The total takes a byte, or two above 255.
        let length = match total {
            None => 0,
            Some(..=0xff) => 1,
            Some(_) => 2,
        };
        let data = cut(&self.message, self.end, profile.room(HEAD_LEN.saturating_add(length)));
        self.end = self.end.saturating_add(data.len());
        Body { start: false, more: self.end < self.message.len(), total, data }
    }
}

/// A message on its way in. The envelope does not say where a fragment belongs: the lock-step does.
#[derive(Debug)]
struct Incoming(Reassembler);

impl Incoming {
    /// There is one message at a time, and a place in the lock-step for it; it needs no name and no time of its own.
    const fn new() -> Self {
        Self(Reassembler::new(u64::MAX))
    }

    fn is_under_way(&self) -> bool {
        self.0.until().is_some()
    }

    /// The message, if it is whole now.
    fn accept(&mut self, body: &Body<'_>) -> Result<Option<Vec<u8>>, Error> {
        let offset = self.0.have(0, Millis(0));
        let total = match body.total {
            // §3.1.6: in the first one only.
            Some(_) if offset > 0 => return Err(Fragment::Total.into()),
            Some(total) => Some(usize::try_from(total).map_err(|_| Malformed::TooLong)?),
            None if offset == 0 && !body.more => Some(body.data.len()),
            None => None,
        };
        let piece = Piece { message: 0, total, offset, more: body.more, data: body.data };
        match self.0.accept(&piece, Millis(0))? {
            Progress::Whole(message) => Ok(Some(message)),
            Progress::Next(_) | Progress::Repeated => Ok(None),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------- peer

/// The device's end of the envelope.
///
/// Holds the server's message, its own, and two packets: at most twice [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE) and twice
/// a packet, and what the caller has not polled yet.
#[derive(Debug)]
pub struct Peer {
    profile: Profile,
    state: PeerState,
    /// The last request that was taken in, to know it again.
    heard: Vec<u8>,
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
                let whole = self.incoming.accept(body)?;
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

// -------------------------------------------------------------------------------------------------------------- server

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
