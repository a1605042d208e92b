//! What an operator remembers: entries that it makes durable before the machine lets the next message out.
//!
//! These are for servers and tools, so they are serde values; [`LogEntry::to_cbor`] gives the form to store. An entry is
//! appended and [applied](crate::provisioning::Account::apply) to the device's account in one transaction of the caller's
//! database. K is in there only [wrapped](crate::credential::Wrapped), and gone from the account once the device has confirmed.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    attestation,
    authority::Association,
    credential::{Activation, Previous, ServiceProfile, Txn, Wrapped},
    crypto::Hash,
    error::{Backend, Malformed},
    provisioning::{
        message::{Operation, Verdict},
        receipt::{Event, Head},
        stored,
        watch::Alarm,
    },
};

/// One entry, about one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The device.
    pub device: String,
    /// 1 for the first entry about it, then one more each.
    pub number: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A package is about to be offered. In place of an earlier offer, of which the device has signed that nothing durable
    /// came.
    Offered(Offered),
    /// The device has signed that the credential is stored and works, beside the one in use.
    Prepared(Signed),
    /// What becomes of a prepared credential. There is one such entry for a transaction.
    Decided {
        /// The transaction.
        #[serde(with = "serde_bytes")]
        txn: Txn,
        /// Commit or abort.
        verdict: Verdict,
    },
    /// The device has signed how the transaction ended.
    Ended(Signed),
    /// The log lost a transaction (it was restored from an older state), and device and core agree about it.
    Recovered(Recovered),
    /// The log was restored from an older state, and may lack what the device and the core know: see
    /// [`Account::replay`](crate::provisioning::Account::replay).
    Restored,
    /// Receipts that the device handed in, and nothing else.
    Received(Proof),
    /// The core does not accept this SUPI any more, which another one has replaced.
    Cleared(Leftover),
    /// The core does not accept the subscription's credential any more.
    Barred(Barred),
    /// It does again.
    Reinstated,
    /// Whose the subscription is from now on, and under which number: old owner and new one have signed. The old one has no
    /// say from here on, and the device is wanted to [re-associate](Operation::Reassociate), which gives it a new K.
    Associated(Association),
    /// The device has signed that it uses a credential of its next owner: what is left of this operator's can go.
    Transferred {
        /// The owner epoch of that credential.
        owner_epoch: u32,
        /// The receipt, as it came: a COSE_Sign1.
        #[serde(with = "serde_bytes")]
        receipt: Vec<u8>,
    },
    /// The operator would like the device to ask for this.
    Wanted(Operation),
    /// The device's next owner, another operator, is named in the voucher: nothing more is issued to the device.
    Released(Released),
    /// There is a second device with this identity, or an older state of it. The machine does not ask for this entry: whoever
    /// answers [`Question::Appraise`](crate::provisioning::Question::Appraise) makes it.
    Quarantined {
        /// What gave it away.
        alarm: Alarm,
        /// The request counter of whoever asked: request and retry.
        counter: (u32, u32),
    },
    /// A person has looked: see [`Account::apply`](crate::provisioning::Account::apply).
    Cleaned,
}

/// Which request of the device led to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The device's request counter: request and retry.
    pub counter: (u32, u32),
    /// When its session began, in seconds since 1970.
    pub since: u64,
}

/// See [`What::Offered`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The transaction.
    #[serde(with = "serde_bytes")]
    pub txn: Txn,
    /// What the device asked for.
    pub operation: Operation,
    /// Its request.
    pub request: Seen,
    /// The subscription's SUPI, digits only.
    pub supi: String,
    /// The epoch.
    pub epoch: u32,
    /// Whether the device uses it at once.
    pub activation: Activation,
    /// What becomes of the credential in use.
    pub previous: Previous,
    /// SHA-256 over the sealed package.
    #[serde(with = "serde_bytes")]
    pub package_hash: Hash,
    /// Owner epoch and hash of the last entry of the voucher that was shown.
    pub owner_epoch: u32,
    /// See `owner_epoch`.
    #[serde(with = "serde_bytes")]
    pub voucher_head: Hash,
    /// SHA-256 over the grant, if it is on somebody's account.
    #[serde(with = "serde_bytes")]
    pub grant: Option<Hash>,
    /// [Fingerprint](crate::credential::fingerprint) of K.
    #[serde(with = "serde_bytes")]
    pub fingerprint: Hash,
    /// K, OPc and SQN, under the operator's storage key.
    pub wrapped: Wrapped,
    /// What the subscription is for: as granted, where it is on somebody's account.
    pub profile: Option<Box<ServiceProfile>>,
    /// On what evidence.
    pub verdict: attestation::Verdict,
}

/// Receipts as they came, each a COSE_Sign1: proof for third parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Receipts and summaries, oldest first; those that the log has already are not among them.
    pub receipts: Vec<serde_bytes::ByteBuf>,
    /// Where the line of receipts ends with them.
    pub head: Head,
}

/// What the device has signed about a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The transaction.
    #[serde(with = "serde_bytes")]
    pub txn: Txn,
    /// What.
    pub event: Event,
    /// The request of the session in which it came.
    pub request: Seen,
    /// The signature.
    pub proof: Proof,
}

/// See [`What::Recovered`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The transaction; `None` if the device was past it.
    #[serde(with = "serde_bytes")]
    pub txn: Option<Txn>,
    /// What the device has signed: [`Event::Activated`] or [`Event::Prepared`].
    pub event: Event,
    /// The SUPI that the core accepts.
    pub supi: String,
    /// The epoch that the device has signed for.
    pub epoch: u32,
    /// SHA-256 over the sealed package.
    #[serde(with = "serde_bytes")]
    pub package_hash: Hash,
    /// Owner epoch.
    pub owner_epoch: u32,
    /// The voucher head that belongs to it; `None` if that is not known.
    #[serde(with = "serde_bytes")]
    pub voucher_head: Option<Hash>,
    /// The grant.
    #[serde(with = "serde_bytes")]
    pub grant: Option<Hash>,
    /// Fingerprint of the K that the core has.
    #[serde(with = "serde_bytes")]
    pub fingerprint: Hash,
    /// The request of the session in which it came.
    pub request: Seen,
    /// The signature.
    pub proof: Proof,
}

/// Why a subscription is barred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Barred {
    /// For a while.
    Suspended,
    /// For good.
    Revoked,
    /// The device gives it back.
    Retiring,
}

/// What the core has still to forget: whatever it has under a SUPI, up to an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leftover {
    /// Digits only.
    pub supi: String,
    /// The highest epoch that is meant.
    pub epoch: u32,
}

/// See [`What::Released`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Released {
    /// Thumbprint of the next owner's key.
    #[serde(with = "serde_bytes")]
    pub next: Hash,
    /// The owner epoch from then on.
    pub owner_epoch: u32,
}

impl LogEntry {
    /// The entry in CBOR.
    ///
    /// # Errors
    /// [`Backend::Store`] if memory runs out.
    pub fn to_cbor(&self) -> Result<Vec<u8>, Backend> {
        stored::to_cbor(self)
    }

    /// Reads what [`LogEntry::to_cbor`] wrote. For one's own storage: this decoder is not meant for a stranger's bytes.
    ///
    /// # Errors
    /// [`Malformed::Syntax`]; [`Malformed::TrailingBytes`].
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, Malformed> {
        stored::from_cbor(bytes)
    }
}
