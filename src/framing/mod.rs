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
//! Before anybody has authenticated, an operator under load can ask for a [cookie] first, and
//! holds what it says to three times what it has heard ([`cookie::Budget`]).
//!
//! Nothing here knows what a message means, and nothing is authenticated: that is the business of those above.

pub mod coap;
pub mod cookie;
pub mod eap;
pub mod link;

mod fragment;

pub use self::fragment::{HEAD_LEN, MAX_FRAGMENTS, MIN_FRAGMENT, Packet, Piece, Profile, Progress, Reassembler};
