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
//! **Under load** an operator asks for a cookie before it makes a machine, and keeps nothing ([`operator::turn_away`],
//! [`framing::cookie`](crate::framing::cookie)): an EDHOC error message with a code of this protocol's own
//! ([`message::COOKIE_DEMANDED`]). The device says message_1 once more, all of it new but for the cookie; a second demand in
//! the same attempt is an error like others, and ends it. So whoever forges a demand gets one more message_1 out of a
//! device, and whoever forges another one ends an attempt, as with any error message (RFC 9528 §6). How much may be said to
//! an address that has shown nothing is the caller's account: a [`Budget`](crate::framing::cookie::Budget) for each.
//!
//! **Through a relay** the machines are the same: the device names the announcement that it answers
//! ([`device::Config::relay`]), the operator's caller lets each packet of the relay in by its token
//! ([`framing::relay`](crate::framing::relay) has the calls), and the operator refuses what the token is not for.
//!
//! **As an EAP method** ([`framing::eap`](crate::framing::eap)) the handshake opens the access network: message_1 to
//! message_4 travel in EAP, and with [`device::Config::eap_keys`] and [`operator::Config::eap_keys`] both machines have MSK,
//! EMSK and K_AUSF then, the operator when message_4 is made, the device when it has taken it in. Neither has them before
//! the other one is authenticated, nor for a device that is refused. The callers go by that:
//!
//! | the machine | and its keys | then, in EAP |
//! |---|---|---|
//! | operator: one `Send` | there ([`Operator::take_eap_keys`]) | [`send_last`]; on `Concluded`, [`succeed`] and hand them on |
//! | operator: one `Send`: an [error message], or `Finished(Err(_))` beside it | none | [`refuse`] |
//! | operator: one `Send` | none | [`send`](crate::framing::eap::Server::send) |
//! | operator: only `Finished(Err(_))` | none | [`fail`] |
//! | device: has taken a message in | there ([`Device::take_eap_keys`]) | [`conclude`] |
//! | device: `Send` | none | [`send`](crate::framing::eap::Peer::send) |
//! | device: has taken an [error message] in | none | [`give_up`]; what it sends is for the next conversation |
//! | device: no `Send`, `Finished(Err(_))` | none | [`give_up`] |
//!
//! [error message]: crate::edhoc::is_error_message
//! [`send_last`]: crate::framing::eap::Server::send_last
//! [`succeed`]: crate::framing::eap::Server::succeed
//! [`refuse`]: crate::framing::eap::Server::refuse
//! [`fail`]: crate::framing::eap::Server::fail
//! [`conclude`]: crate::framing::eap::Peer::conclude
//! [`give_up`]: crate::framing::eap::Peer::give_up
//!
//! What comes after message_4 is not of EAP, which ends with an empty response and Success: `prepared`, `decision`,
//! `confirm` and `complete` travel as records over the network that EAP has opened (for onboarding, its user plane, TS
//! 33.501 §I.9). What the device says before that network is open is lost, and its timer says it again. So EAP Success means
//! that each side knows who the other is and that the offer has arrived, and only `complete` that the subscription is
//! settled. Access that EAP gave is the network's to take away again if nothing follows; the device resumes over whichever
//! transport it has next, this or another.
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
mod stored;

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
