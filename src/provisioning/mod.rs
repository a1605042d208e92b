//! The exchange: a factory-new device becomes a subscriber, and both sides know that the other knows.
//!
//! ```text
//! device                                              operator                                     caller answers
//! start: txn durable
//!   ── message_1: hello (in clear) ─────────────────▶
//!                                                       Question::Find        whose name is concealed here?
//!   ◀────────────────── message_2: terms, voucher ────
//! operator is authenticated, and entitled
//!   ── message_3: request, evidence ────────────────▶ device is authenticated
//!                                                       Question::Appraise    is it secure, and welcome?
//!                                                       Question::Reserve     a SUPI and an epoch for this txn
//!                                                       Question::ComputeOpc  from K, where OP lives
//!                                                       Question::Log         offered: durable?
//!                                                       Question::PutIntoCore the core knows the credential
//!   ◀────────────────────────── message_4: offer ────
//! package opened, challenge answered, one commit
//!   ── confirm: RES, receipt ───────────────────────▶ RES and receipt checked
//!                                                       Question::Log         confirmed: durable?
//!   ◀──────────────────────────────── complete ──────
//! confirmed: one commit
//! ```
//!
//! Three verbs drive each machine: hand it what came ([`Device::handle_message`]), tell it when the time it asked for has
//! come ([`Device::handle_timeout`]), and carry out what it wants ([`Device::poll`]) until it wants nothing. The world is
//! lent for one call ([`Platform`], [`Desk`]); the machines own no clock, socket, store or random source.
//!
//! **Retransmission.** The device repeats its last message with growing pauses; the operator answers a repetition with
//! the bytes it sent before, never with new ones. An error in the handshake ends the attempt (RFC 9528 §5.1) and leaves
//! the stores as they were; start a new one. After message_4, bytes that do not open are reported and otherwise as if
//! they had never come.
//!
//! **Recovery.** [`Device::start`] looks at the store and does what is open: ask again under the same txn if nothing was
//! installed, or resume if a credential was installed and nobody confirmed it. Nothing is decided by a clock.
//!
//! **Trust.** The operator authenticates first, then the device says who it is. That an operator is *an* operator is not
//! enough: a [voucher](crate::trust::voucher) of the device's maker has to say that it owns this device.
//! [`Introduction`](device::Introduction) says when: *voucher first* (drawn above) or *voucher last*, with the offer, where a
//! rogue operator with a valid certificate learns which device it talks to. In neither does it get the device to store
//! anything.
//!
//! **Evidence.** The device's [`Attester`](crate::attestation::Attester) binds its evidence to the session. Whoever answers
//! [`Question::Appraise`] needs a [`Verdict`](crate::attestation::Verdict) to say yes, and only a
//! [`Policy`](crate::attestation::Policy) makes one; it is logged with the offer. [`watch`] notices a second device with
//! the same identity.
//!
//! **What shows outside.** Lengths are those of few classes, nothing that names device or subscription is in clear, and
//! nothing but the protocol's own constants repeats from one run of a device to the next.

pub mod account;
pub mod campaign;
pub mod device;
pub mod log;
pub mod message;
pub mod operator;
pub mod question;
pub mod receipt;
pub mod task;
pub mod watch;

mod record;

use crate::error::{Backend, Error};

pub use self::{
    account::Account,
    device::{Device, Platform},
    operator::{Desk, Operator},
    question::{Admission, Answer, Question},
    task::Task,
};

/// Whether the key store is slow or has failed: then a machine stays where it is, and the same message makes it ask again.
const fn is_key_store(error: Error) -> bool {
    matches!(error, Error::Backend(Backend::Key | Backend::KeyPending))
}

/// Milliseconds since any fixed moment: for timers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment and `span` milliseconds.
    #[must_use]
    pub const fn after(self, span: u64) -> Self {
        Self(self.0.saturating_add(span))
    }
}
