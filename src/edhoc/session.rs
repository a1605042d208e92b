//! What remains of a handshake: the peer, and keys to export.

use crate::{
    crypto::{Crypto, HASH_LEN, Hash, Secret},
    edhoc::schedule::{self, Label, Prk},
    error::Backend,
    trust::{Peer, Verified},
};

/// A completed EDHOC session (RFC 9528 §4.2).
#[derive(Debug)]
pub struct Session {
    peer: Verified<Peer>,
    th_4: Hash,
    prk_exporter: Secret<HASH_LEN>,
}

impl Session {
    pub(super) fn new(peer: Verified<Peer>, prk_4e3m: &Prk, th_4: Hash, crypto: &dyn Crypto) -> Result<Self, Backend> {
        let prk_out = schedule::kdf_prk(prk_4e3m, Label::PrkOut, &th_4, crypto)?;
        let prk_exporter = schedule::kdf_prk(&prk_out, Label::PrkExporter, &[], crypto)?;
        Ok(Self { peer, th_4, prk_exporter })
    }

    /// Who the peer is: verified, and shown to hold the key.
    pub const fn peer(&self) -> &Verified<Peer> {
        &self.peer
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
        schedule::kdf_label(&self.prk_exporter, u64::from(label), context, out, crypto)
    }
}

impl crate::credential::Exporter for Session {
    fn export(&self, label: u16, context: &[u8], out: &mut [u8], crypto: &dyn Crypto) -> Result<(), Backend> {
        Self::export(self, label, context, out, crypto)
    }
}
