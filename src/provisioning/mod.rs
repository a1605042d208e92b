//! The exchange: a factory-new device becomes a subscriber, stays one in other hands, and both sides know that the other
//! knows.
//!
//! ```text
//! device                                              operator                                     caller answers
//! start: txn durable
//!   ── message_1: hello (in clear) ─────────────────▶
//!                                                       Question::Find        whose name is concealed here?
//!   ◀────────────────── message_2: terms, voucher ────
//! operator is authenticated, and entitled
//!   ── message_3: request, evidence, receipts ──────▶ device is authenticated
//!                                                       Question::Appraise    is it secure, and welcome?
//!                                                       Question::Reserve     a SUPI for this txn
//!                                                       Question::ComputeOpc  from K, where OP lives
//!                                                       Question::Log         offered: durable?
//!   one-shot                                            Question::PutIntoCore the core accepts the credential
//!   ◀────────────────────────── message_4: offer ────
//! package opened, challenge answered, one commit
//!   two-phase
//!   ── prepared: RES, receipt ──────────────────────▶ RES and receipt checked
//!                                                       Question::Log         prepared: durable?
//!                                                       Question::PutIntoCore the core accepts the credential
//!                                                       Question::Log         commit: durable?
//!   ◀──────────────────────── decision: commit ──────
//! the new one used, the old one kept: one commit
//!   ── confirm: receipt (one-shot: RES too) ────────▶
//!                                                       Question::Log         ended: durable?
//!   ◀──────────────────────────────── complete ──────
//! the old one erased: one commit
//!                                                       Question::RemoveFromCore, Log: the old one is forgotten
//! ```
//!
//! Three verbs drive each machine: hand it what came ([`Device::handle_message`]), tell it when the time it asked for has
//! come ([`Device::handle_timeout`]), and carry out what it wants ([`Device::poll`]) until it wants nothing. The world is
//! lent for one call ([`Platform`], [`Desk`]); the machines own no clock, socket, store or random source.
//!
//! **Operations.** The device always begins, with a [`Goal`](device::Goal).
//!
//! | operation | what it is | ends with |
//! |---|---|---|
//! | provision | a first subscription, one-shot or in two phases | `Installed` |
//! | re-key | another K: under the same SUPI (mode S), or under another one beside it (mode N); the [reservation](question::Reservation) says which | `Installed` |
//! | re-associate | the same, for the owner or the number that the log has now: [`authority::association`](crate::authority::association) | `Installed` |
//! | transfer | a subscription of the operator that the voucher names next | `Installed` |
//! | on-demand | a subscription, or another K, on somebody's account: [`authority::grant`](crate::authority::grant) | `Installed` |
//! | resume | what is open already, before anything else | as that |
//! | query | how things stand, and what is wanted | `Told` |
//! | retire | the subscription is given back | `Erased` |
//!
//! What an operator does by itself (suspend, reinstate, revoke, associate, hand on) is a [`Task`]; the device hears of it at
//! its next contact, whatever that is for. One operation for a fleet is a [`campaign`].
//!
//! **What holds at every moment**, whatever is lost, repeated or switched off:
//! - the device holds a credential that the core accepts (before its first: its factory identity, and the offer comes again);
//! - the old credential is erased on the device only after `complete`, and forgotten by the core only after the device has
//!   signed; in between, in mode S, the device answers under either K;
//! - a transaction is committed or aborted, never both, and epochs only grow;
//! - nothing is decided by a clock.
//!
//! **Retransmission.** The device repeats its last message with growing pauses; the operator answers a repetition with
//! the bytes it sent before, never with new ones. An error in the handshake ends the attempt (RFC 9528 §5.1) and leaves
//! the stores as they were; start a new one. After message_4, bytes that do not open are reported and otherwise as if
//! they had never come.
//!
//! **Recovery.** [`Device::start`] looks at the store and does what is open: ask again under the same txn if nothing was
//! installed, or resume if something was. The operator goes on where its [`Account`] of the device is: what its log adds up
//! to. A log that was restored from an older state [says so](log::What::Restored), and learns from what the device says
//! and the core accepts; of a log that is whole, a device that says more than it is an alarm.
//!
//! **Receipts.** The device signs what happens to it, in a [line](receipt), and keeps it until the operator has it.
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
//!
//! **Where this differs from the protocol's brief.** A receipt names the grant, and `device-state` the subscription and its
//! package, so that both sides find out at each contact whether they agree. `query` is an operation and no record of its own.
//! `status` carries an order to the device. Records after a `status` are bound to its hash, as others are to the package's. On
//! a resume, the receipt counts without another RES: the device signs it only if its USIM accepted the challenge under K.
//!
//! # Every state against every message
//!
#![doc = include_str!("states.md")]

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
pub use crate::time::Millis;

/// Whether the key store is slow or has failed: then a machine stays where it is, and the same message makes it ask again.
const fn is_key_store(error: Error) -> bool {
    matches!(error, Error::Backend(Backend::Key | Backend::KeyPending))
}
