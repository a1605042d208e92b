//! The door, before anybody has authenticated: who may come in at all.
//!
//! ```text
//! device                                              operator, under load
//!   ── message_1, no cookie ────────────────────────▶   turn_away: Some(demand); nothing is kept, no key is made
//!   ◀──────── EDHOC error: cookie demanded, cookie ──
//!   ── message_1, hello with the cookie ────────────▶   turn_away: None; a machine is made, Question::Find and so on
//! ```

use alloc::vec::Vec;

use super::Config;
use crate::{
    crypto::Crypto,
    edhoc::{self, responder},
    error::{Error, Misbehaved},
    framing::cookie::Baker,
    provisioning::{
        Millis,
        message::{self, Hello},
    },
    wire,
};

/// Whether a message_1 from somewhere new has to go back for a [cookie](crate::framing::cookie) first: ask before a machine
/// is made for it, whenever there are more of them than the operator likes. `Some` is what to say to `address`, and all that
/// there is to do; `None` says that the message brings a good cookie, so that a machine may have it.
///
/// A caller says at most three times what it has heard to an address that has not shown that it receives: it has a
/// [`Budget`](crate::framing::cookie::Budget) for each, and a good cookie opens it
/// ([`routable`](crate::framing::cookie::Budget::routable)). The demand fits into that whatever the message was. message_2
/// may not, where a chain or a voucher is in there: then an operator that is not under load asks for a cookie as well.
///
/// The cookie binds `address` (whatever bytes a reply is routed by; behind a relay also which session of it) and the time.
/// Not the message: the next one has another G_X, as RFC 9528 §6.3.2 wants it. So a cookie is good for any number of
/// sessions from its address, until it is stale; the caller bounds those, by address.
///
/// Not for the EAP envelope, where an error message ends the conversation and the lock-step has shown that the peer
/// receives.
///
/// # Errors
/// Says why it is no message_1 for this operator. Drop it; under load there is no answer to that, except to
/// [`Misbehaved::WrongSuite`], which is `Some` too: the device has to know what to ask for.
pub fn turn_away(
    message_1: &[u8],
    config: &Config,
    baker: &Baker<'_>,
    address: &[u8],
    now: Millis,
    crypto: &dyn Crypto,
) -> Result<Option<Vec<u8>>, Error> {
    let mut message = match responder::read(message_1, &config.methods, &config.suites, crypto) {
        Err(error @ Error::Misbehaved(Misbehaved::WrongSuite)) => {
            return Ok(edhoc::error_message(&error, &config.suites));
        }
        read => read?,
    };
    let hello = message::take_ead(message.unverified_ead())?;
    let hello: Hello<'_> = wire::decode(&hello)?;
    config.check(&hello)?;
    let good = hello.cookie.is_some_and(|cookie| baker.check(cookie, address, &[], now).is_ok());
    Ok((!good).then(|| message::demand(&baker.bake(address, &[], now))))
}

impl Config {
    /// That a message_1 is for this operator, and came the way that it says.
    pub(super) fn check(&self, hello: &Hello<'_>) -> Result<(), Misbehaved> {
        if hello.domain != self.domain {
            return Err(Misbehaved::WrongDomain);
        }
        if hello.relay != self.relay.map(|admitted| admitted.relay) {
            return Err(Misbehaved::WrongRelay);
        }
        Ok(())
    }
}
