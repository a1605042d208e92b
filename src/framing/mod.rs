//! Large messages over small links, sans-IO: for transports that do not carry a message whole, once, and in order.
//!
//! ```text
//! Device ── Send(bytes) ──▶ Client ── Send(packet) ──▶  your link  ──▶ Server ── Received(bytes) ──▶ Operator
//!        ◀─ Received ──────        ◀─ handle_packet ──             ◀──        ◀─ send(bytes) ───────
//!                                                 ┌──────────────────────────────┐
//! packet ─▶ whose? whole? in its place? ─▶ Piece ─▶ Reassembler: one, ≤ 4,096 B ─▶ message
//!           (link, eap, coap)                     └──────────────────────────────┘
//! ```
//!
//! | link | longest packet | head | who acknowledges and repeats | where |
//! |---|---|---|---|---|
//! | EAP, in NAS or elsewhere | [1,020 bytes](Profile::EAP) | 6 bytes, the first of several fragments 1 or 2 more | EAP: each request is answered by one response | [`eap`] |
//! | CoAP block-wise | a block of 16 to 1,024 bytes | an option | CoAP | [`coap`] |
//! | SMS | [134 bytes](Profile::SMS) | 7 bytes | [`link`] | [`link`] |
//! | BIP, APDUs | [255 bytes](Profile::APDU) | 7 bytes | [`link`] | [`link`] |
//! | a NAS container | [every message whole](Profile::NAS) | 7 bytes | [`link`] | [`link`] |
//!
//! Whatever the envelope, a message has at most [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE) bytes, a fixed total from its
//! first fragment on, and fragments in order of at least [`MIN_FRAGMENT`] bytes; the [`Reassembler`] refuses overlaps,
//! gaps, other totals, and fragments of anything but the one message under way, and a refused fragment changes nothing.
//!
//! Three verbs, as everywhere in this crate; both sides in one process:
//!
//! ```
//! # fn main() -> Result<(), remote_provisioning::Error> {
//! use remote_provisioning::{
//!     framing::{Profile, link::{Action, Client, Server, exchange_of}},
//!     time::{Millis, Retry},
//! };
//!
//! let now = Millis(0);
//! // In earnest a random number, one for each exchange.
//! let mut client = Client::new(Profile::SMS, Retry { first: 10_000, attempts: 8 }, 0x4711);
//! let mut server = None;
//! client.send(&[1; 300], now)?;
//! while let Some(action) = client.poll() {
//!     match action {
//!         Action::Send(packet) => {
//!             let exchange = exchange_of(&packet)?;
//!             let server = server.get_or_insert_with(|| Server::new(Profile::SMS, 300_000, exchange));
//!             server.handle_packet(&packet, now)?;
//!             while let Some(action) = server.poll() {
//!                 match action {
//!                     Action::Send(packet) => client.handle_packet(&packet, now)?,
//!                     Action::Received(question) => server.send(&question)?,
//!                     Action::WakeAt(_) | Action::Unanswered => {}
//!                 }
//!             }
//!         }
//!         Action::Received(answer) => assert_eq!(answer, [1; 300]),
//!         // In earnest: a timer that calls `client.handle_timeout`.
//!         Action::WakeAt(_) | Action::Unanswered => {}
//!     }
//! }
//! assert!(client.is_idle());
//! # Ok(())
//! # }
//! ```
//!
//! Before anybody has authenticated, an operator under load can ask for a [cookie] first, and
//! holds what it says to three times what it has heard ([`cookie::Budget`]).
//!
//! Where another device forwards, [`relay`] has the envelope, and the token that says how much it may.
//!
//! Nothing here knows what a message means, and nothing is authenticated: that is the business of those above.

pub mod coap;
pub mod cookie;
pub mod eap;
pub mod link;
pub mod relay;

mod fragment;

pub use self::fragment::{HEAD_LEN, MAX_FRAGMENTS, MIN_FRAGMENT, Packet, Piece, Profile, Progress, Reassembler};

use hmac::{Hmac, KeyInit, Mac, digest::FixedOutput};
use sha2::Sha256;

use crate::crypto::{
    Secret,
    sweep::{HASHES, swept},
};

/// Bytes of a tag that this side checks itself: nobody can try out more than one in a packet.
const TAG_LEN: usize = 16;

/// The first 16 bytes of HMAC-SHA-256 over the concatenation of `parts`.
fn mac(key: &Secret<32>, parts: &[&[u8]]) -> [u8; TAG_LEN] {
    swept::<HASHES, _>(|| {
        // A key filled up to a block of the hash (RFC 2104 §2).
        let mut block = Secret::<64>::zeroed();
        for (to, from) in block.bytes_mut().iter_mut().zip(key.bytes()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new(block.bytes().into());
        parts.iter().for_each(|part| mac.update(part));
        let hash: [u8; 32] = mac.finalize_fixed().into();
        let [tag @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
        tag
    })
}
