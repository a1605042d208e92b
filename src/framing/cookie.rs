//! Before anybody has authenticated: a cookie that costs an operator no memory, and a limit on what it says.
//!
//! ```text
//! device                                                  operator, under load
//!   ── message_1 ─────────────────────────────────────▶   Baker::check: no cookie, or a stale one
//!   ◀──────────── cookie, with the error that ends it ──   Baker::bake; nothing is kept, no key is made
//!   ── message_1, hello with cookie ──────────────────▶   Baker::check: it does receive at that address
//!   ◀──────────────────────────────────── message_2 ────   provisioning::operator::turn_away does all of this
//!
//! cookie = low byte of the bucket || the first 16 bytes of
//!          HMAC-SHA-256(key, "RCP cookie" || bucket || length of address || address || what)
//! bucket = now / lifetime, 64 bits
//! ```
//!
//! It shows that whoever sends the second message_1 received what was sent to the address of the first, and nothing else:
//! not who it is. It is good for the bucket that it was made in and for the next one, and any number of times in
//! between: what bounds the use of one is how many sessions an address may have. `what` ties it to more: something that both
//! messages have. message_1 has nothing such, for RFC 9528 §6.3.2 wants a new key in each.
//!
//! The key is the caller's, random, and the same on all servers of a fleet. A new one makes the cookies under way useless,
//! which costs their devices an attempt: no device brings two.

use super::{TAG_LEN, mac};
use crate::{
    crypto::{Secret, equal},
    error::{Misuse, Untrusted},
    time::Millis,
};

/// Bytes of a cookie.
pub const COOKIE_LEN: usize = 1 + TAG_LEN;

/// How many bytes may go to an address that nobody has shown to receive anything, for each that came from there.
pub const AMPLIFICATION: usize = 3;

/// Makes cookies and checks them.
#[derive(Debug)]
pub struct Baker<'a> {
    key: &'a Secret<32>,
    lifetime: u64,
}

impl<'a> Baker<'a> {
    /// With this key, for cookies that live at least `lifetime` milliseconds, and less than twice as long.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for a lifetime of 0.
    pub const fn new(key: &'a Secret<32>, lifetime: u64) -> Result<Self, Misuse> {
        match lifetime {
            0 => Err(Misuse::Parameter("a cookie lives longer than that")),
            _ => Ok(Self { key, lifetime }),
        }
    }

    /// A cookie for whoever is at `address`: whatever bytes a reply is routed by.
    pub fn bake(&self, address: &[u8], what: &[u8], now: Millis) -> [u8; COOKIE_LEN] {
        self.cookie(self.bucket(now), address, what)
    }

    /// Checks the cookie that came from `address`.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`], whatever the reason: it is of another address, too old, altered or none.
    pub fn check(&self, cookie: &[u8], address: &[u8], what: &[u8], now: Millis) -> Result<(), Untrusted> {
        let bucket = self.bucket(now);
        // The one before, if the low byte says so; with any other the comparison fails.
        let before = bucket.saturating_sub(1);
        let made = if cookie.first() == Some(&low(before)) { before } else { bucket };
        if equal(&self.cookie(made, address, what), cookie) { Ok(()) } else { Err(Untrusted::Authentication) }
    }

    fn bucket(&self, now: Millis) -> u64 {
        now.0.checked_div(self.lifetime).unwrap_or_default()
    }

    fn cookie(&self, bucket: u64, address: &[u8], what: &[u8]) -> [u8; COOKIE_LEN] {
        // So that no byte can be taken for one of the other part.
        let len = u64::try_from(address.len()).unwrap_or(u64::MAX).to_be_bytes();
        let tag = mac(self.key, &[b"RCP cookie", &bucket.to_be_bytes(), &len, address, what]);
        let mut cookie = [low(bucket); COOKIE_LEN];
        for (to, from) in cookie.iter_mut().skip(1).zip(tag) {
            *to = from;
        }
        cookie
    }
}

const fn low(bucket: u64) -> u8 {
    let [.., low] = bucket.to_be_bytes();
    low
}

/// How much may be said to an address before it has shown that it receives: three times what came from there (RFC 9000
/// §8.1 has the same limit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    heard: usize,
    said: usize,
    routable: bool,
}

impl Budget {
    /// Of an address that nothing has come from.
    pub const fn new() -> Self {
        Self { heard: 0, said: 0, routable: false }
    }

    /// So many bytes have come from there.
    pub const fn heard(&mut self, bytes: usize) {
        self.heard = self.heard.saturating_add(bytes);
    }

    /// A [cookie](Baker::check), or a message that only somebody can write who has read what was sent there, shows that the
    /// address receives: from now on there is no limit.
    pub const fn routable(&mut self) {
        self.routable = true;
    }

    /// Bytes that may go there now.
    pub const fn left(&self) -> usize {
        if self.routable {
            return usize::MAX;
        }
        self.heard.saturating_mul(AMPLIFICATION).saturating_sub(self.said)
    }

    /// Takes so many bytes off, for sending them.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if they are more than [left](Self::left): wait for the peer to say more.
    pub const fn say(&mut self, bytes: usize) -> Result<(), Misuse> {
        if bytes > self.left() {
            return Err(Misuse::NotNow("more than three times what was heard"));
        }
        self.said = self.said.saturating_add(bytes);
        Ok(())
    }
}
