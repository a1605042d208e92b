//! What remains of a handshake: the peer, and keys to export.

use alloc::vec::Vec;

use crate::{
    crypto::{Aead, Crypto, Hash, Rng, Secret, SecretBytes},
    edhoc::{
        ConnectionId, Opened, Seal, Suite,
        schedule::{self, Label, Prk},
        token::{self, Kind, Portable},
    },
    error::{Backend, Error},
    trust::{Date, Peer, Verified},
};

/// Exporter label of the OSCORE Master Secret (RFC 9528 §A.1).
const MASTER_SECRET: u16 = 0;

/// Exporter label of the OSCORE Master Salt (RFC 9528 §A.1).
const MASTER_SALT: u16 = 1;

/// Bytes of the OSCORE Master Salt (RFC 9528 §A.1).
const MASTER_SALT_LEN: usize = 8;

/// A completed EDHOC session (RFC 9528 §4.2).
#[derive(Debug)]
pub struct Session {
    peer: Verified<Peer>,
    names: Names,
    th_4: Hash,
    keys: SessionKeys,
}

/// What the session is called, and which row of the table it runs.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) suite: Suite,
    /// What the peer puts on messages to this side.
    pub(super) own: ConnectionId,
    /// What this side puts on messages to the peer.
    pub(super) peer: ConnectionId,
}

/// PRK_out and PRK_exporter.
#[derive(Debug)]
pub(super) struct SessionKeys {
    prk_out: Prk,
    prk_exporter: Prk,
}

impl SessionKeys {
    pub(super) fn new(prk_4e3m: &Prk, th_4: &Hash, crypto: &dyn Crypto) -> Result<Self, Backend> {
        Self::below(schedule::kdf_prk(prk_4e3m, Label::PrkOut, &[th_4], crypto)?, crypto)
    }

    fn below(prk_out: Prk, crypto: &dyn Crypto) -> Result<Self, Backend> {
        let prk_exporter = schedule::kdf_prk(&prk_out, Label::PrkExporter, &[], crypto)?;
        Ok(Self { prk_out, prk_exporter })
    }
}

/// Input of an OSCORE security context (RFC 8613 §3.2): RFC 9528 §A.1, with HKDF SHA-256 as HKDF.
#[derive(Debug)]
pub struct Oscore {
    /// The Master Secret, as long as a key of `aead`.
    pub master_secret: SecretBytes,
    /// The Master Salt.
    pub master_salt: [u8; MASTER_SALT_LEN],
    /// The AEAD: the application AEAD of the suite.
    pub aead: Aead,
    /// The Sender ID: how the peer wants to be called.
    pub sender_id: ConnectionId,
    /// The Recipient ID: how this side wants to be called. Never the same.
    pub recipient_id: ConnectionId,
}

impl Session {
    pub(super) const fn new(peer: Verified<Peer>, names: Names, th_4: Hash, keys: SessionKeys) -> Self {
        Self { peer, names, th_4, keys }
    }

    /// Who the peer is: verified, and shown to hold the key.
    pub const fn peer(&self) -> &Verified<Peer> {
        &self.peer
    }

    /// The suite that it runs.
    pub const fn suite(&self) -> Suite {
        self.names.suite
    }

    /// TH_4, which names this session and no other.
    pub const fn th_4(&self) -> &Hash {
        &self.th_4
    }

    /// EDHOC_Exporter( exporter_label, context, length ) (§4.2.1), filling `out`. Labels from 32768 are for private use.
    ///
    /// # Errors
    /// [`Backend::Crypto`] if `out` is longer than 8,160 bytes.
    pub fn export(&self, label: u16, context: &[u8], out: &mut [u8], crypto: &dyn Crypto) -> Result<(), Backend> {
        schedule::kdf_label(&self.keys.prk_exporter, u64::from(label), &[context], out, crypto)
    }

    /// EDHOC_KeyUpdate( context ) (Appendix H): new keys to export, from which nobody gets back to the old ones. Both sides
    /// call it with the same `context`: a counter, a random number, a hash.
    ///
    /// It protects what was, not what comes: whoever has today's keys has tomorrow's. Only a new handshake mends that.
    ///
    /// # Errors
    /// [`Backend::Crypto`]; then the keys are the old ones.
    pub fn update(&mut self, context: &[u8], crypto: &dyn Crypto) -> Result<(), Backend> {
        let prk_out = schedule::kdf_prk(&self.keys.prk_out, Label::KeyUpdate, &[context], crypto)?;
        self.keys = SessionKeys::below(prk_out, crypto)?;
        Ok(())
    }

    /// What OSCORE starts from (RFC 9528 §A.1). An initiator calls it after message_4, like everything of a session.
    ///
    /// # Errors
    /// [`Backend::Crypto`].
    pub fn oscore(&self, crypto: &dyn Crypto) -> Result<Oscore, Backend> {
        let Names { suite, own, peer } = &self.names;
        let aead = suite.application_aead;
        let mut master_secret = SecretBytes::zeroed(aead.key_len());
        self.export(MASTER_SECRET, &[], master_secret.bytes_mut(), crypto)?;
        let mut master_salt = [0; MASTER_SALT_LEN];
        self.export(MASTER_SALT, &[], &mut master_salt, crypto)?;
        Ok(Oscore { master_secret, master_salt, aead, sender_id: peer.clone(), recipient_id: own.clone() })
    }
}

impl Session {
    /// Seals the session into a token (see [`Seal`]), at most [`MAX_TOKEN`](crate::edhoc::MAX_TOKEN) bytes.
    ///
    /// # Errors
    /// [`Backend`]; [`Misuse`](crate::error::Misuse) if it does not fit.
    pub fn seal(&self, seal: &Seal<'_>, crypto: &dyn Crypto, rng: &mut dyn Rng) -> Result<Vec<u8>, Error> {
        token::seal(Kind::Session, |w| self.save(w), seal, crypto, rng)
    }

    /// Opens a token of [`Session::seal`].
    ///
    /// # Errors
    /// [`Malformed`](crate::error::Malformed); [`Untrusted`](crate::error::Untrusted) if it was altered, sealed under another
    /// key or for something else, or has expired.
    pub fn open(token: &[u8], key: &Secret<32>, today: Date, crypto: &dyn Crypto) -> Result<Opened<Self>, Error> {
        token::open(Kind::Session, token, key, today, crypto, Self::load)
    }
}

token::portable! {
    Session { peer, names, th_4, keys }
    Names { suite, own, peer }
    SessionKeys { prk_out, prk_exporter }
}

impl crate::credential::Exporter for Session {
    fn export(&self, label: u16, context: &[u8], out: &mut [u8], crypto: &dyn Crypto) -> Result<(), Backend> {
        Self::export(self, label, context, out, crypto)
    }
}
