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

mod peer;
mod server;

pub use self::{peer::Peer, server::Server};

use alloc::vec::Vec;

use super::fragment::{Piece, Profile, Progress, Reassembler, cut, sendable};
use crate::{
    error::{Error, Fragment, Malformed, Misuse},
    time::Millis,
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
        // §3.1.6: a length only in the first of several fragments, which are not of nothing. A Start has nothing but its flag.
        if len > 0 && (!more || total == 0) || start && (more || !data.is_empty()) {
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
