//! The relay envelope: another device forwards for one that has no network yet, as far as its operator lets it.
//!
//! ```text
//! device                         relay                                    operator
//!                                  ◀─────────────────────────── token ──  Gate::issue
//!   ◀──────────── announcement ──
//!   hello.relay = its SHA-256
//!   ── message ──────────────────▶ ── session, nonce, token, message ──▶  Gate::admit, Config::relay = Some(Admitted)
//!                                                                          Operator::handle_message(message)
//!   ◀─────────────────── message ── ◀──────────────── session, message ──  Action::Send(message)
//!
//! announcement = [ 1, domain, relay: bstr .size (1..32), nonce: bstr .size 16 ]
//! relayed      = [ 2, session: uint, nonce: bstr .size 16, token: bstr, message: bstr ]
//! returned     = [ 3, session: uint, message: bstr ]
//! token        = [ domain, relay: bstr, operations: uint, sessions: uint, bytes: uint, expires: uint, tag: bstr .size 16 ]
//! tag          = the first 16 bytes of HMAC-SHA-256(key, "RCP relay" || [ domain, … expires ])
//! ```
//!
//! The relay sees what anybody between the two would see: messages of EDHOC, and records that are sealed. It learns neither
//! who the device is nor a key, and what it changes does not authenticate. The announcement goes into the transcript by its
//! hash, so a message that came through another relay, or in answer to another announcement, is refused by the machines
//! above ([`Misbehaved::WrongRelay`](crate::error::Misbehaved::WrongRelay)); and the operator computes that hash
//! from the relay's name in the token, so nobody's traffic is put to another relay's account.
//!
//! A token is checked by the operator that made it, so a MAC does, and servers that share the key need not share more. It is
//! no secret that would help anybody else: a relay sends it over a network that knows the sender, and
//! [`Gate::admit`] compares.
//!
//! **At the operator**, each packet of a relay goes one way:
//!
//! ```
//! # #[cfg(feature = "sim")] {
//! use remote_provisioning::{
//!     Error, Millis, Operator,
//!     crypto::Secret,
//!     framing::relay::{Gate, Relayed, Returned, Usage},
//!     provisioning::{Desk, operator::{Action, Config}},
//!     wire,
//! };
//!
//! /// What the caller has of one device behind a relay, under (relay, `Relayed::session`).
//! type Sessions = std::collections::BTreeMap<u32, Operator>;
//!
//! # #[allow(dead_code)]
//! fn handle_relayed(
//!     packet: &[u8],
//!     sender: &[u8], // as the network knows it
//!     (gate, usage): (&Gate<'_>, &mut Usage), // the usage of this token, durable
//!     (config, sessions): (&Config, &mut Sessions),
//!     (now, desk): (Millis, &mut Desk<'_>),
//! ) -> Result<Vec<Vec<u8>>, Error> {
//!     let relayed: Relayed<'_> = wire::decode(packet)?;
//!     let is_new = !sessions.contains_key(&relayed.session);
//!     let admitted = gate.admit(&relayed, sender, is_new, usage, desk.date.0, desk.crypto)?;
//!     let config = Config { relay: Some(admitted), ..config.clone() };
//!     let operator = sessions.entry(relayed.session).or_insert_with(|| Operator::new(config));
//!     // What goes wrong with the device is between the two.
//!     let _ = operator.handle_message(relayed.message, now, desk);
//!     let mut packets = Vec::new();
//!     while let Some(action) = operator.poll() {
//!         if let Action::Send(message) = action {
//!             packets.push(Returned { session: relayed.session, message: &message }.packet()?);
//!         } // … questions as without a relay
//!     }
//!     Ok(packets)
//! }
//! # }
//! ```
//!
//! What the token is for is looked at when the request can be read, in message_3: the machine does that, and refuses with
//! [`Code::RelayScope`](crate::error::Code::RelayScope) what the relay may not forward. All else is refused to the relay, by
//! [`Gate::admit`], and the device hears nothing of it.
//!
//! Not here: how the network knows the sender, and signatures of announcements; a device that trusts a relay with nothing
//! needs none.

use alloc::vec::Vec;

use super::{TAG_LEN, mac};
use crate::{
    crypto::{Crypto, Hash, Secret, equal},
    error::{Error, Malformed, Misuse, Relay},
    identity::Domain,
    wire::{self, MAX_MESSAGE, Reader, Wire, Writer, encode, wire_array},
};

/// Longest name of a relay, in bytes: of whatever form its operator gives its subscribers.
pub const MAX_NAME: usize = 32;

/// Longest message that every relay can forward, in bytes: what [`MAX_MESSAGE`] leaves when the longest token, nonce and heads
/// have theirs.
pub const MAX_RELAYED: usize = MAX_MESSAGE - 110;

/// Longest message that goes back through a relay, in bytes.
pub const MAX_RETURNED: usize = MAX_MESSAGE - 10;

/// The name of a relay: 1 to [`MAX_NAME`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// From its bytes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for none, or more than [`MAX_NAME`].
    pub const fn new(bytes: &'a [u8]) -> Result<Self, Misuse> {
        match bytes.len() {
            1..=MAX_NAME => Ok(Self(bytes)),
            _ => Err(Misuse::Parameter("the name of a relay has 1 to 32 bytes")),
        }
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Wire<'a> for Name<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.0);
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Self::new(reader.bytes()?).map_err(|_| Malformed::WrongLength)
    }
}

wire_array! {
    /// announcement = [ 1, domain, relay: bstr .size (1..32), nonce: bstr .size 16 ]: what a relay tells devices around it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Announcement<'a> = 1 {
        /// Production or test.
        pub domain: Domain,
        /// The relay's name, as in its token. Whoever must not be followed around takes one that only its operator can place.
        pub relay: Name<'a>,
        /// Fresh in each announcement.
        pub nonce: [u8; 16],
    }
}

impl Announcement<'_> {
    /// What a device names the relay by: SHA-256 of the announcement.
    pub fn hash(&self, crypto: &dyn Crypto) -> Hash {
        crypto.sha256(&[&encode(self)])
    }
}

wire_array! {
    /// relayed = [ 2, session: uint, nonce: bstr .size 16, token: bstr, message: bstr ]: from the relay to the operator.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Relayed<'a> = 2 {
        /// Which device behind the relay, as the relay counts them.
        pub session: u32,
        /// Of the announcement that the device has answered.
        pub nonce: [u8; 16],
        /// The relay's token.
        pub token: &'a [u8],
        /// The device's message.
        pub message: &'a [u8],
    }
}

impl Relayed<'_> {
    /// The packet for the operator.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if it is longer than an operator reads: the message has more than [`MAX_RELAYED`] bytes.
    pub fn packet(&self) -> Result<Vec<u8>, Misuse> {
        packet(self)
    }
}

wire_array! {
    /// returned = [ 3, session: uint, message: bstr ]: from the operator to the relay.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Returned<'a> = 3 {
        /// Which device.
        pub session: u32,
        /// The operator's message.
        pub message: &'a [u8],
    }
}

impl Returned<'_> {
    /// The packet for the relay.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if it is longer than a relay reads: the message has more than [`MAX_RETURNED`] bytes.
    pub fn packet(&self) -> Result<Vec<u8>, Misuse> {
        packet(self)
    }
}

fn packet<'a>(envelope: &impl Wire<'a>) -> Result<Vec<u8>, Misuse> {
    let packet = encode(envelope);
    if packet.len() > MAX_MESSAGE { Err(Misuse::Parameter("the message is too long for a relay")) } else { Ok(packet) }
}

wire_array! {
    /// What a relay may do: [ domain, relay: bstr, operations: uint, sessions: uint, bytes: uint, expires: uint ]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Permit<'a> {
        /// Production or test.
        pub domain: Domain,
        /// Whose it is.
        pub relay: Name<'a>,
        /// For what: bit n for operation n of a request.
        pub operations: u32,
        /// How many sessions it may open.
        pub sessions: u32,
        /// How many bytes of messages it may forward to the operator, in all.
        pub bytes: u64,
        /// Until when, exclusively: seconds of the operator's calendar.
        pub expires: u64,
    }
}

wire_array! {
    /// token: a permit and its tag
    struct Token<'a> {
        domain: Domain,
        relay: Name<'a>,
        operations: u32,
        sessions: u32,
        bytes: u64,
        expires: u64,
        tag: [u8; TAG_LEN],
    }
}

/// What a relay has used of a token. The operator keeps one for each token, durably, until the token expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Sessions opened.
    pub sessions: u32,
    /// Bytes forwarded.
    pub bytes: u64,
}

/// A message that a relay was allowed to forward: for [`Config::relay`](crate::provisioning::operator::Config::relay).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What the device's hello has to name: the hash of the relay's announcement.
    pub relay: Hash,
    /// For what: bit n for operation n of a request.
    pub operations: u32,
}

impl Admitted {
    /// Whether the token is for this operation, by its number. It is in the request, which only the operator can read: so
    /// this is asked later, when the device has authenticated. The machine does.
    ///
    /// # Errors
    /// [`Relay::Scope`].
    pub fn check(&self, operation: u8) -> Result<(), Relay> {
        match self.operations.checked_shr(u32::from(operation)) {
            Some(bits) if bits & 1 == 1 => Ok(()),
            _ => Err(Relay::Scope),
        }
    }
}

/// The operator's: issues tokens and lets messages through.
#[derive(Debug)]
pub struct Gate<'a> {
    key: &'a Secret<32>,
    domain: Domain,
}

impl<'a> Gate<'a> {
    /// With a random key of its own.
    pub const fn new(key: &'a Secret<32>, domain: Domain) -> Self {
        Self { key, domain }
    }

    /// A token. The same permit makes the same token: two of them share what they use.
    pub fn issue(&self, permit: &Permit<'_>) -> Vec<u8> {
        let Permit { domain, relay, operations, sessions, bytes, expires } = *permit;
        encode(&Token { domain, relay, operations, sessions, bytes, expires, tag: self.tag(permit) })
    }

    /// Lets a message through that came from the relay `sender`, as the network knows it: `is_new` says whether the session
    /// is one that nothing came of before, and `now` is in seconds, as in the permit. What it costs goes onto `usage`, that
    /// of this token; a message that is refused costs nothing.
    ///
    /// # Errors
    /// [`Malformed`], or [`Relay`] for the first that is wrong: token, relay, domain, time, quota.
    pub fn admit(
        &self,
        relayed: &Relayed<'_>,
        sender: &[u8],
        is_new: bool,
        usage: &mut Usage,
        now: u64,
        crypto: &dyn Crypto,
    ) -> Result<Admitted, Error> {
        let Token { domain, relay, operations, sessions, bytes, expires, tag } = wire::decode(relayed.token)?;
        let permit = Permit { domain, relay, operations, sessions, bytes, expires };
        if !equal(&self.tag(&permit), &tag) {
            return Err(Relay::Token.into());
        }
        if relay.bytes() != sender {
            return Err(Relay::OtherRelay.into());
        }
        if domain != self.domain {
            return Err(Relay::Scope.into());
        }
        if now >= expires {
            return Err(Relay::Expired.into());
        }
        let len = u64::try_from(relayed.message.len()).unwrap_or(u64::MAX);
        let used = Usage {
            sessions: usage.sessions.saturating_add(u32::from(is_new)),
            bytes: usage.bytes.saturating_add(len),
        };
        if used.sessions > sessions || used.bytes > bytes {
            return Err(Relay::Quota.into());
        }
        *usage = used;
        let announcement = Announcement { domain, relay, nonce: relayed.nonce };
        Ok(Admitted { relay: announcement.hash(crypto), operations })
    }

    fn tag(&self, permit: &Permit<'_>) -> [u8; TAG_LEN] {
        mac(self.key, &[b"RCP relay", &encode(permit)])
    }
}
