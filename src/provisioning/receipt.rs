//! Receipts: what a device signs about what happened to it, one after the other.
//!
//! ```text
//! receipt 1 ◀─ hash ─ receipt 2 ◀─ hash ─ receipt 3 ◀─ hash ─ …        numbered, each with the hash of the one before
//!            └────── summary 1..2 ──────┘                              where a device has no room for them any more
//! ```
//!
//! The device keeps them until the operator has acknowledged them, cumulatively, and sends them by itself at each contact.
//! The operator verifies before it logs, and logs before it acknowledges. [`History`] is for whoever looks at an exported
//! log: it needs the device's public key and nobody's word, and names the first gap or fork.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    cose::sign1::Sign1,
    credential::Txn,
    crypto::{Crypto, Hash, PublicKey, Signature},
    edhoc::token,
    error::{Backend, Error, Malformed},
    identity::{Domain, Supi},
    wire::{self, Wire, wire_array, wire_choice},
};

/// Receipts that a device holds until they are acknowledged; then it summarises.
pub const MAX_RECEIPTS: usize = 16;

wire_choice! {
    /// What a receipt tells.
    pub enum Event {
        /// A credential is in use, and answered its activation challenge.
        Activated = 0,
        /// A credential is stored beside the one in use, and answered its activation challenge.
        Prepared = 1,
        /// A credential that was prepared is gone; the one in use stays.
        Aborted = 2,
        /// The credential in use is gone, and whatever was beside it.
        Erased = 3,
    }
}

wire_array! {
    /// receipt payload = [ domain, sequence, previous: hash / null, txn, event, supi-hash, epoch, package-hash,
    ///                     owner-epoch, grant: hash / null ]; signed by the device identity key, chained by the hash of the
    ///                     one before.
    ///
    /// Also a serde value, for tools that print and keep receipts; what is signed is the array.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Receipt {
        /// Production or test.
        pub domain: Domain,
        /// 1 for the device's first receipt, then one more each.
        pub sequence: u64,
        /// SHA-256 over the receipt before.
        #[serde(with = "serde_bytes")]
        pub previous: Option<Hash>,
        /// The transaction.
        #[serde(with = "serde_bytes")]
        pub txn: Txn,
        /// What happened.
        pub event: Event,
        /// Names the subscription to those who know it: see [`supi_hash`].
        #[serde(with = "serde_bytes")]
        pub supi_hash: Hash,
        /// Epoch of the credential.
        pub epoch: u32,
        /// SHA-256 over the sealed package.
        #[serde(with = "serde_bytes")]
        pub package_hash: Hash,
        /// The owner epoch that the credential was given in.
        pub owner_epoch: u32,
        /// SHA-256 over the grant that it was asked for with: on whose account it is.
        #[serde(with = "serde_bytes")]
        pub grant: Option<Hash>,
    }
}

wire_array! {
    /// summary payload = [ domain, from: uint, to: uint, previous: hash / null, last: hash ]: receipts that the device made and
    /// has no room for. Signed by the device identity key.
    ///
    /// What is in it is the device's word alone: a fork there cannot be told from the line that was seen before. So a
    /// [`History`] names what is only [summarised](History::summarised), and a log keeps what came as receipts.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Summary {
        /// Production or test.
        pub domain: Domain,
        /// Number of the first receipt in it.
        pub from: u64,
        /// Number of the last one.
        pub to: u64,
        /// Hash of the receipt before the first.
        pub previous: Option<Hash>,
        /// Hash of the last one.
        pub last: Hash,
    }
}

/// Keeps a receipt's signature from meaning anything elsewhere.
const RECEIPT_CONTEXT: &[u8] = b"RCP receipt";

/// The same for a summary.
const SUMMARY_CONTEXT: &[u8] = b"RCP summary";

impl Receipt {
    /// Whether both tell of one credential.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        let about = |it: &Self| (it.domain, it.txn, it.supi_hash, it.epoch, it.package_hash, it.owner_epoch, it.grant);
        about(self) == about(other)
    }

    /// Signs and encodes the receipt.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        signed(self, RECEIPT_CONTEXT, sign)
    }

    /// Reads a receipt that `key` signed.
    ///
    /// # Errors
    /// [`Malformed`] or [`Untrusted::Authentication`](crate::error::Untrusted::Authentication).
    pub fn verify(encoded: &[u8], key: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        let payload = wire::decode::<Sign1<'_>>(encoded)?.verify(key, RECEIPT_CONTEXT, crypto)?;
        Ok(wire::decode(payload)?)
    }
}

impl Summary {
    /// Signs and encodes the summary.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>) -> Result<Vec<u8>, Backend> {
        signed(self, SUMMARY_CONTEXT, sign)
    }

    /// Reads a summary that `key` signed.
    ///
    /// # Errors
    /// As [`Receipt::verify`].
    pub fn verify(encoded: &[u8], key: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        let payload = wire::decode::<Sign1<'_>>(encoded)?.verify(key, SUMMARY_CONTEXT, crypto)?;
        Ok(wire::decode(payload)?)
    }
}

/// One of a line.
pub(super) enum Entry {
    Receipt(Receipt),
    Summary(Summary),
}

impl Entry {
    /// What it says, whoever has signed it.
    fn unverified(encoded: &[u8]) -> Result<Self, Malformed> {
        Self::read(wire::decode::<Sign1<'_>>(encoded)?.unverified())
    }

    /// A receipt and a summary differ in the number of their fields.
    fn read(payload: &[u8]) -> Result<Self, Malformed> {
        if let Ok(receipt) = wire::decode(payload) {
            return Ok(Self::Receipt(receipt));
        }
        let summary: Summary = wire::decode(payload)?;
        if summary.from > summary.to { Err(Malformed::OutOfRange) } else { Ok(Self::Summary(summary)) }
    }

    /// Whichever it is, one signature is checked.
    pub(super) fn verify(encoded: &[u8], key: &PublicKey, crypto: &dyn Crypto) -> Result<Self, Error> {
        let signed: Sign1<'_> = wire::decode(encoded)?;
        let entry = Self::read(signed.unverified())?;
        let context = match &entry {
            Self::Receipt(_) => RECEIPT_CONTEXT,
            Self::Summary(_) => SUMMARY_CONTEXT,
        };
        signed.verify(key, context, crypto)?;
        Ok(entry)
    }

    /// The number of its first receipt, and the hash of the one before.
    const fn begins(&self) -> (u64, Option<Hash>) {
        match self {
            Self::Receipt(receipt) => (receipt.sequence, receipt.previous),
            Self::Summary(summary) => (summary.from, summary.previous),
        }
    }
}

fn signed<'a>(
    payload: &impl Wire<'a>,
    context: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>,
) -> Result<Vec<u8>, Backend> {
    Ok(wire::encode(&Sign1::create(&wire::encode(payload), context, sign)?))
}

/// One summary in place of the two oldest entries of a device's own: a receipt or summary, and the receipt after it.
///
/// # Errors
/// [`Backend::Store`] if they are not such entries; those of `sign`.
pub fn summarise(
    first: &[u8],
    second: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>,
    crypto: &dyn Crypto,
) -> Result<Vec<u8>, Backend> {
    let (from, previous) = Entry::unverified(first).map_err(|_| Backend::Store)?.begins();
    let Ok(Entry::Receipt(Receipt { domain, sequence: to, .. })) = Entry::unverified(second) else {
        return Err(Backend::Store);
    };
    Summary { domain, from, to, previous, last: crypto.sha256(&[second]) }.sign(sign)
}

/// The hash that the next entry has to name, if this is one. For entries that were verified.
pub(super) fn end(entry: &[u8], crypto: &dyn Crypto) -> Option<Hash> {
    match Entry::unverified(entry).ok()? {
        Entry::Receipt(_) => Some(crypto.sha256(&[entry])),
        Entry::Summary(summary) => Some(summary.last),
    }
}

/// SHA-256 over [ txn, supi ]: recognised by whoever knows both, and different for every transaction.
pub fn supi_hash(txn: &Txn, supi: &Supi, crypto: &dyn Crypto) -> Hash {
    let input = wire::encode_with(|w| {
        w.array(2);
        w.bytes(txn);
        supi.write(w);
    });
    crypto.sha256(&[&input])
}

wire_array! {
    /// head = [ sequence: uint, hash / null ]: where a line of receipts ends.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct Head {
        /// Number of the last receipt; 0 before the first.
        pub sequence: u64,
        /// SHA-256 over it.
        #[serde(with = "serde_bytes")]
        pub hash: Option<Hash>,
    }
}

/// What is wrong with a line of receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither a receipt nor a summary that this device signed.
    #[error("entry {at} is not signed by the device, or is no receipt")]
    NotAuthentic {
        /// Its place, from 0.
        at: usize,
    },
    /// Receipts are missing.
    #[error("receipts {from} to {to} are missing")]
    Gap {
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// There are two receipts of one number: the device was copied, or set back.
    #[error("two receipts with number {sequence}")]
    Fork {
        /// That number; or the one after it, if what came before differs.
        sequence: u64,
    },
}

/// A line of receipts that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Where it ends.
    pub head: Head,
    /// The receipts, oldest first.
    pub receipts: Vec<Receipt>,
    /// Numbers, first and last, of those that the device only tells of in a summary.
    pub summarised: Vec<(u64, u64)>,
}

impl History {
    /// A line that goes on where this one ended.
    pub const fn after(head: Head) -> Self {
        Self { head, receipts: Vec::new(), summarised: Vec::new() }
    }

    /// A line that begins with the first of these, whatever came before it.
    ///
    /// # Errors
    /// As [`History::extend`].
    pub fn from_first<'a>(
        entries: impl IntoIterator<Item = &'a [u8]>,
        key: &PublicKey,
        crypto: &dyn Crypto,
    ) -> Result<Self, Fault> {
        let mut entries = entries.into_iter().peekable();
        // What it says of itself; its signature is looked at below.
        let first = entries.peek().map(|first| Entry::unverified(first)).transpose();
        let first = first.map_err(|_| Fault::NotAuthentic { at: 0 })?;
        let mut history = first.as_ref().map_or_else(Self::default, Self::beginning);
        history.extend(entries, key, crypto).map(|()| history)
    }

    /// Verifies receipts and summaries, oldest first, that follow on the head. Those that are at or before the head, and are
    /// the same as what was seen, are passed over.
    ///
    /// # Errors
    /// [`Fault`], the first one there is; what came before it has been taken in.
    pub fn extend<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a [u8]>,
        key: &PublicKey,
        crypto: &dyn Crypto,
    ) -> Result<(), Fault> {
        for (at, encoded) in entries.into_iter().enumerate() {
            let entry = Entry::verify(encoded, key, crypto).map_err(|_| Fault::NotAuthentic { at })?;
            if self.take(&entry, encoded, crypto)?
                && let Entry::Receipt(receipt) = entry
            {
                self.receipts.push(receipt);
            }
        }
        Ok(())
    }

    /// A line that begins with this entry, whatever came before it.
    pub(super) fn beginning(entry: &Entry) -> Self {
        let (first, hash) = entry.begins();
        Self::after(Head { sequence: first.saturating_sub(1), hash })
    }

    /// Goes on to the end of an entry that was verified. Whether it is new.
    pub(super) fn take(&mut self, entry: &Entry, encoded: &[u8], crypto: &dyn Crypto) -> Result<bool, Fault> {
        match entry {
            Entry::Receipt(receipt) => {
                let head = Head { sequence: receipt.sequence, hash: Some(crypto.sha256(&[encoded])) };
                self.follow(receipt.sequence, receipt.previous, head)
            }
            Entry::Summary(Summary { from, to, previous, last, .. }) => {
                let head = Head { sequence: *to, hash: Some(*last) };
                // What was seen of it before is no reason to doubt the rest.
                if *from <= self.head.sequence && *to > self.head.sequence {
                    self.summarised.push((self.head.sequence.saturating_add(1), *to));
                    self.head = head;
                    return Ok(true);
                }
                let new = self.follow(*from, *previous, head)?;
                if new {
                    self.summarised.push((*from, *to));
                }
                Ok(new)
            }
        }
    }

    /// Whether something that begins with this number, after this hash, takes the line to `next`.
    fn follow(&mut self, first: u64, previous: Option<Hash>, next: Head) -> Result<bool, Fault> {
        let expected = self.head.sequence.saturating_add(1);
        if next.sequence < expected {
            // Older than the head: only the head itself can be compared.
            let same = next.sequence < self.head.sequence || next.hash == self.head.hash;
            return if same { Ok(false) } else { Err(Fault::Fork { sequence: next.sequence }) };
        }
        if first > expected {
            return Err(Fault::Gap { from: expected, to: first.saturating_sub(1) });
        }
        if previous != self.head.hash {
            return Err(Fault::Fork { sequence: first });
        }
        self.head = next;
        Ok(true)
    }
}

token::portable_as_sent!(Receipt, Head, Event);
