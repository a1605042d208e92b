//! Stop-and-wait over a link that loses, repeats and reorders packets: [`Client`] asks, [`Server`] answers.
//!
//! ```text
//! client (device)                                        server (operator)
//! send(question)
//!   ── fragment, 0 of 300, 127 bytes ─────────────────▶
//!   ◀───────────────────────── acknowledges, wants 127 ──
//!   ── fragment, 127 of 300 ──────────────────────────▶
//!   ◀───────────────────────── acknowledges, wants 254 ──
//!   ── fragment, 254 of 300 ──────────────────────────▶  Received(question)
//!                                                        send(answer), whenever it is there
//!   ◀────────────────────────────── fragment, 0 of 200 ──
//!   ── acknowledges, wants 127 ───────────────────────▶
//!   ◀──────────────────────────── fragment, 127 of 200 ──
//! Received(answer)
//! ```
//!
//! The exchange above is one of questions and answers, so the answer is what acknowledges a question, and the next
//! question what acknowledges an answer: a message that fits into a packet costs one. The client has the timer, and sends
//! its last packet again until the packet comes that follows from it. The server has none: a packet that it has heard
//! already is answered with the stored bytes of what it said then, and with nothing while the answer is not there yet. So
//! it says at most one packet for each that it hears. In bytes that may be more: where an address can be forged, a
//! [`Budget`](super::cookie::Budget) holds it to three times.
//!
//! A packet that is not the one that has to come changes nothing: whoever sent it, the exchange goes on without it.
//!
//! Not here: a checksum. The links that this is for have one, and what is damaged all the same does not authenticate
//! above. Whoever can read the exchange number and write packets can stop an exchange, as on any link without keys.

use alloc::{collections::VecDeque, vec::Vec};

use super::fragment::{HEAD_LEN, Packet, Profile, Progress, Reassembler, cut, sendable};
use crate::{
    error::{Error, Fragment, Misbehaved, Misuse},
    time::{Millis, Retry},
};

/// What a link wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this packet.
    Send(Vec<u8>),
    /// Call `handle_timeout` at this moment. Replaces the moment named before.
    WakeAt(Millis),
    /// The peer's message is whole.
    Received(Vec<u8>),
    /// The server did not answer in all the attempts allowed, and the exchange is over: what is tried next begins another
    /// one, for nobody knows how far this one got.
    Unanswered,
}

/// The messages of one exchange go through links of one name. A device takes a random one for each exchange, so that packets of
/// the exchange before, however late, are strangers to this one.
pub type Exchange = u16;

/// The exchange that a packet belongs to, for a server that has one [`Server`] for each peer and exchange.
///
/// # Errors
/// [`Malformed`](crate::error::Malformed) if it is no packet.
pub fn exchange_of(packet: &[u8]) -> Result<Exchange, Error> {
    Ok(Packet::read(packet)?.exchange)
}

/// A message on its way out, fragment by fragment.
#[derive(Debug, Default)]
struct Outgoing {
    message: Vec<u8>,
    /// Where the last fragment sent ends.
    end: usize,
}

impl Outgoing {
    /// The next fragment.
    fn next(&mut self, profile: Profile, from_server: bool, exchange: Exchange, number: u8) -> Vec<u8> {
        let data = cut(&self.message, self.end, profile.room(HEAD_LEN));
        let packet = Packet {
            acknowledges: false,
            from_server,
            number,
            exchange,
            total: small(self.message.len()),
            offset: small(self.end),
            data,
        };
        let bytes = packet.write();
        self.end = self.end.saturating_add(data.len());
        bytes
    }

    fn is_out(&self) -> bool {
        self.end == self.message.len()
    }

    /// Whether `packet` wants what comes next.
    fn check(&self, packet: &Packet<'_>) -> Result<(), Fragment> {
        let wanted = usize::from(packet.offset);
        if usize::from(packet.total) != self.message.len() {
            Err(Fragment::Total)
        } else if wanted > self.end || wanted == self.message.len() {
            Err(Fragment::Gap)
        } else if wanted < self.end {
            Err(Fragment::Stale)
        } else {
            Ok(())
        }
    }
}

/// A length or offset within a message, which has at most 4,096 bytes.
fn small(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Asks for what comes next of a message.
fn acknowledgement(from_server: bool, exchange: Exchange, number: u8, total: u16, next: usize) -> Vec<u8> {
    Packet { acknowledges: true, from_server, number, exchange, total, offset: small(next), data: &[] }.write()
}

// -------------------------------------------------------------------------------------------------------------- client

/// The side that asks: the device.
///
/// Holds its message, the peer's, and one packet: at most twice [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE) and a packet,
/// and what the caller has not polled yet.
#[derive(Debug)]
pub struct Client {
    profile: Profile,
    retry: Retry,
    exchange: Exchange,
    number: u8,
    question: Outgoing,
    answer: Reassembler,
    /// The packet that waits for what follows from it; empty if the client is idle.
    sent: Vec<u8>,
    attempt: u8,
    deadline: Millis,
    over: bool,
    actions: VecDeque<Action>,
}

impl Client {
    /// A client of a fresh exchange. `exchange` is random.
    pub const fn new(profile: Profile, retry: Retry, exchange: Exchange) -> Self {
        Self {
            profile,
            retry,
            exchange,
            // So that the first question has number 0.
            number: u8::MAX,
            question: Outgoing { message: Vec::new(), end: 0 },
            // The attempts bound the time already.
            answer: Reassembler::new(u64::MAX),
            sent: Vec::new(),
            attempt: 0,
            deadline: Millis(0),
            over: false,
            actions: VecDeque::new(),
        }
    }

    /// Asks. A question that is under way already is not asked twice, for the layer above may repeat itself.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] while another question is under way, or when the exchange is [over](Action::Unanswered): a server
    /// that has a part of one question takes no other. [`Misuse::Parameter`] above
    /// [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE).
    pub fn send(&mut self, message: &[u8], now: Millis) -> Result<(), Misuse> {
        sendable(message)?;
        if self.over {
            return Err(Misuse::NotNow("the exchange is over"));
        }
        if !self.is_idle() {
            let same = self.question.message == message;
            return if same { Ok(()) } else { Err(Misuse::NotNow("another question is under way")) };
        }
        self.number = Packet::number_after(self.number);
        self.question = Outgoing { message: message.to_vec(), end: 0 };
        self.answer = Reassembler::new(u64::MAX);
        let packet = self.question.next(self.profile, false, self.exchange, self.number);
        self.ask(packet, now);
        Ok(())
    }

    /// Takes a packet in.
    ///
    /// # Errors
    /// Says why it has no place here; it is as if it had never come.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Millis) -> Result<(), Error> {
        let packet = Packet::read(bytes)?;
        if packet.exchange != self.exchange {
            return Err(Fragment::Interleaved.into());
        }
        packet.check_side(true)?;
        if self.is_idle() || packet.number != self.number {
            return Err(Fragment::Stale.into());
        }
        let next = if packet.acknowledges {
            self.question.check(&packet)?;
            self.question.next(self.profile, false, self.exchange, self.number)
        } else {
            // Nobody knows the answer who has not heard the question out.
            if !self.question.is_out() {
                return Err(Misbehaved::UnexpectedMessage.into());
            }
            match self.answer.accept(&packet.piece(), now)? {
                Progress::Next(next) => acknowledgement(false, self.exchange, self.number, packet.total, next),
                Progress::Repeated => return Ok(()),
                Progress::Whole(answer) => {
                    self.sent = Vec::new();
                    self.actions.push_back(Action::Received(answer));
                    return Ok(());
                }
            }
        };
        self.ask(next, now);
        Ok(())
    }

    /// The moment of [`Action::WakeAt`] has come.
    pub fn handle_timeout(&mut self, now: Millis) {
        if self.is_idle() || now < self.deadline {
            return;
        }
        if self.attempt < self.retry.attempts {
            return self.transmit(now);
        }
        self.sent = Vec::new();
        self.answer = Reassembler::new(u64::MAX);
        self.over = true;
        self.actions.push_back(Action::Unanswered);
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether it waits for nothing.
    pub fn is_idle(&self) -> bool {
        self.sent.is_empty()
    }

    fn ask(&mut self, packet: Vec<u8>, now: Millis) {
        self.sent = packet;
        self.attempt = 0;
        self.transmit(now);
    }

    fn transmit(&mut self, now: Millis) {
        self.deadline = now.after(self.retry.pause(self.attempt));
        self.attempt = self.attempt.saturating_add(1);
        self.actions.push_back(Action::Send(self.sent.clone()));
        self.actions.push_back(Action::WakeAt(self.deadline));
    }
}

// -------------------------------------------------------------------------------------------------------------- server

/// The side that answers: the operator's, one for each peer and exchange.
///
/// Holds the peer's message, its own, and two packets: at most twice [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE) and twice
/// a packet, and what the caller has not polled yet.
#[derive(Debug)]
pub struct Server {
    profile: Profile,
    exchange: Exchange,
    /// The question under way, or the last one.
    number: u8,
    /// Whether it is whole.
    asked: bool,
    question: Reassembler,
    answer: Option<Outgoing>,
    /// The last packet that was taken in, to know it again.
    heard: Vec<u8>,
    /// What was said to it; empty if nothing was yet.
    said: Vec<u8>,
    actions: VecDeque<Action>,
}

impl Server {
    /// A server of the exchange that a first packet [names](exchange_of), which gives a question `patience` milliseconds
    /// from its first fragment on.
    pub const fn new(profile: Profile, patience: u64, exchange: Exchange) -> Self {
        Self {
            profile,
            exchange,
            number: 0,
            asked: false,
            question: Reassembler::new(patience),
            answer: None,
            heard: Vec::new(),
            said: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// Answers the question that was [received](Action::Received).
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if none is open; [`Misuse::Parameter`] above [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE).
    pub fn send(&mut self, message: &[u8]) -> Result<(), Misuse> {
        sendable(message)?;
        if !self.asked || self.answer.is_some() {
            return Err(Misuse::NotNow("no question is open"));
        }
        let answer = self.answer.insert(Outgoing { message: message.to_vec(), end: 0 });
        let packet = answer.next(self.profile, true, self.exchange, self.number);
        self.say(packet);
        Ok(())
    }

    /// Takes a packet in.
    ///
    /// # Errors
    /// Says why it has no place here; it is as if it had never come.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Millis) -> Result<(), Error> {
        let packet = Packet::read(bytes)?;
        if packet.exchange != self.exchange {
            return Err(Fragment::Interleaved.into());
        }
        packet.check_side(false)?;
        self.handle_timeout(now);
        if self.heard == bytes {
            if !self.said.is_empty() {
                self.actions.push_back(Action::Send(self.said.clone()));
            }
            return Ok(());
        }
        if packet.acknowledges { self.asked_on(&packet, bytes) } else { self.fragment(&packet, bytes, now) }
    }

    /// The client wants more of the answer.
    fn asked_on(&mut self, packet: &Packet<'_>, bytes: &[u8]) -> Result<(), Error> {
        let Some(answer) = self.answer.as_mut().filter(|_| packet.number == self.number) else {
            return Err(Fragment::Stale.into());
        };
        answer.check(packet)?;
        let next = answer.next(self.profile, true, self.exchange, self.number);
        self.heard = bytes.to_vec();
        self.say(next);
        Ok(())
    }

    /// The client asks.
    fn fragment(&mut self, packet: &Packet<'_>, bytes: &[u8], now: Millis) -> Result<(), Error> {
        let (open, next) = (packet.number == self.number, packet.number == Packet::number_after(self.number));
        // A question that nobody ever finished does not stand in the way of the next one.
        if !(open && !self.asked || next) {
            return Err(Fragment::Stale.into());
        }
        let progress = self.question.accept(&packet.piece(), now)?;
        if progress == Progress::Repeated {
            return Ok(());
        }
        self.number = packet.number;
        self.asked = false;
        self.answer = None;
        self.heard = bytes.to_vec();
        self.said = Vec::new();
        match progress {
            Progress::Next(next) => {
                if packet.offset == 0 {
                    self.actions.extend(self.question.until().map(Action::WakeAt));
                }
                self.say(acknowledgement(true, self.exchange, self.number, packet.total, next));
            }
            Progress::Whole(question) => {
                self.asked = true;
                self.actions.push_back(Action::Received(question));
            }
            Progress::Repeated => {}
        }
        Ok(())
    }

    /// The moment of [`Action::WakeAt`] has come: gives the memory of a question back that did not get whole in its time.
    pub fn handle_timeout(&mut self, now: Millis) {
        if self.question.expire(now) {
            // What was said to a part of it does not lead on any more.
            (self.heard, self.said) = (Vec::new(), Vec::new());
        }
    }

    /// What it wants done next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn say(&mut self, packet: Vec<u8>) {
        self.said = packet;
        self.actions.push_back(Action::Send(self.said.clone()));
    }
}
