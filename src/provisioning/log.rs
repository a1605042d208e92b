//! What an operator remembers: entries that it makes durable before the machine lets the next message out.
//!
//! These are for servers and tools, so they are serde values; [`LogEntry::to_cbor`] gives the form to store. K is not
//! among them: a session that is lost before the device confirmed is replaced by a new offer with a new K.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    attestation::Verdict,
    credential::Txn,
    crypto::Hash,
    error::{Backend, Malformed},
    provisioning::watch::Alarm,
};

/// One entry. Append it, and apply it once: replaying an entry that was applied changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEntry {
    /// A package is about to be offered. Refuse the entry if [`Offered::counter`] is not that of the device's
    /// [`Watch`](crate::provisioning::Watch) any more: another request of the same identity has come in between.
    Offered(Offered),
    /// The device has signed that the credential is stored and works.
    Confirmed(Confirmed),
    /// There is a second device with this identity, or an older state of it. The machine does not ask for this entry: whoever
    /// answers [`Question::Appraise`](crate::provisioning::Question::Appraise) makes it.
    Quarantined(Quarantined),
}

/// See [`LogEntry::Offered`]. A later entry for the same txn supersedes it: the device has signed that nothing durable
/// came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The transaction.
    #[serde(with = "serde_bytes")]
    pub txn: Txn,
    /// The device.
    pub device: String,
    /// Its request counter: request and retry.
    pub counter: (u32, u32),
    /// The subscription's SUPI, digits only.
    pub supi: String,
    /// The epoch.
    pub epoch: u32,
    /// SHA-256 over the sealed package.
    #[serde(with = "serde_bytes")]
    pub package_hash: Hash,
    /// Owner epoch and hash of the last entry of the voucher that was shown.
    pub owner_epoch: u32,
    /// See `owner_epoch`.
    #[serde(with = "serde_bytes")]
    pub voucher_head: Hash,
    /// On what evidence.
    pub verdict: Verdict,
}

/// See [`LogEntry::Confirmed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The transaction.
    #[serde(with = "serde_bytes")]
    pub txn: Txn,
    /// The device.
    pub device: String,
    /// The epoch.
    pub epoch: u32,
    /// The device's receipt as it came, a COSE_Sign1: proof for third parties.
    #[serde(with = "serde_bytes")]
    pub receipt: Vec<u8>,
}

/// See [`LogEntry::Quarantined`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The device.
    pub device: String,
    /// What gave it away.
    pub alarm: Alarm,
    /// The request counter of whoever asked: request and retry.
    pub counter: (u32, u32),
}

impl LogEntry {
    /// The entry in CBOR.
    ///
    /// # Errors
    /// [`Backend::Store`] if memory runs out.
    pub fn to_cbor(&self) -> Result<Vec<u8>, Backend> {
        let mut out = Vec::new();
        ciborium::into_writer(self, &mut out).map_err(|_| Backend::Store)?;
        Ok(out)
    }

    /// Reads what [`LogEntry::to_cbor`] wrote. For one's own storage: this decoder is not meant for a stranger's bytes.
    ///
    /// # Errors
    /// [`Malformed::Syntax`]; [`Malformed::TrailingBytes`].
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        let entry = ciborium::from_reader(&mut rest).map_err(|_| Malformed::Syntax)?;
        if rest.is_empty() { Ok(entry) } else { Err(Malformed::TrailingBytes) }
    }
}
