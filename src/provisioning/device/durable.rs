//! What a device keeps: one commit record, and what becomes of it.
//!
//! ```text
//!            open        active   other
//! factory    -           -        -
//! asked      requested   old / -  -
//! one-shot   activated   new      -             install, at once
//! two-phase  prepared    old / -  new           install
//!            activated   new      old / -       commit
//!            aborted     old / -  -             abort
//! erased     erased      -        -
//! complete   -           active   -
//! ```
//!
//! Each line is one commit. While `other` is there, its slot is too: the old credential is given up in the commit that
//! `complete` leads to, and in no other.

use alloc::{boxed::Box, vec::Vec};
use core::ops::{Deref, DerefMut};

use crate::{
    credential::{Algorithm, Installed, Txn},
    crypto::{Crypto, Hash},
    error::{Backend, Error, Malformed, Misbehaved, Misuse},
    fault::{Fault, is_seeded},
    identity::{Domain, Supi},
    provisioning::{
        message::{DeviceState, Operation},
        receipt::{self, Event, Head, MAX_RECEIPTS, Receipt},
    },
    store::{Commit, KeyId, KeyStore, Slot, SlotChange, SubscriptionStore},
    trust::voucher::Ownership,
    wire::{self, Reader, Wire, Writer, wire_array, wire_choice, wire_map},
};

/// Bytes of receipts in the record: what [`MAX_RECORD`](crate::store::MAX_RECORD) leaves beside two credentials.
const MAX_HELD: usize = 3_000;

/// Attaches that fail before the device falls back to its other subscription.
const PROBATION: u32 = 3;

wire_map! {
    /// The commit record.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Durable {
        /// The request counter.
        1 => pub(super) requests: u32,
        /// Its value when nothing was open last.
        2 => pub(super) settled: u32,
        3 => pub(super) open: Option<Open>,
        4 => pub(super) active: Option<Box<Held>>,
        /// Prepared, or the one before: see above.
        5 => pub(super) other: Option<Box<Held>>,
        6 => pub(super) ownership: Option<Ownership>,
        /// The last receipt it made.
        7 => pub(super) head: Head,
        /// Receipts that nobody has acknowledged; a summary may come first.
        8 => pub(super) receipts: Receipts,
        /// Attaches that failed since `other` became the one before.
        9 => pub(super) failures: u32,
    }
}

/// The key of [`Durable::requests`].
const REQUESTS: i64 = 1;

/// Encoded receipts, at most [`MAX_RECEIPTS`].
#[derive(Clone, Debug, Default)]
pub(super) struct Receipts(Vec<Vec<u8>>);

impl Deref for Receipts {
    type Target = Vec<Vec<u8>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Receipts {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Receipts {
    /// Whether they are more than may be kept, or take more than this many bytes in a list: three for each head.
    pub(super) fn exceed(&self, bytes: usize) -> bool {
        let len: usize = self.iter().map(|entry| entry.len().saturating_add(3)).sum();
        self.len() > MAX_RECEIPTS || len > bytes
    }
}

impl Wire<'_> for Receipts {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(self.len());
        self.iter().for_each(|receipt| writer.bytes(receipt));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let len = reader.array()?;
        if len > MAX_RECEIPTS {
            return Err(Malformed::TooLong);
        }
        (0..len).map(|_| reader.bytes().map(<[u8]>::to_vec)).collect::<Result<_, _>>().map(Self)
    }
}

wire_array! {
    /// A transaction that is not over.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Open {
        pub(super) txn: Txn,
        pub(super) operation: Operation,
        pub(super) stage: Stage,
        /// Thumbprint of the operator's key that it is with, once something came of it.
        pub(super) owner: Option<Hash>,
    }
}

wire_choice! {
    /// How far a transaction has come.
    pub(super) enum Stage {
        Requested = 0,
        Prepared = 1,
        /// As the two below: only the operator's `complete` is missing.
        Activated = 2,
        Aborted = 3,
        Erased = 4,
    }
}

wire_array! {
    /// A credential, without its secrets.
    #[derive(Clone, Debug)]
    pub(super) struct Held {
        pub(super) slot: Slot,
        pub(super) supi: Supi,
        pub(super) epoch: u32,
        pub(super) algorithm: Algorithm,
        pub(super) txn: Txn,
        pub(super) package_hash: Hash,
        pub(super) ownership: Ownership,
        pub(super) grant: Option<Hash>,
    }
}

impl Wire<'_> for Slot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(match self {
            Self::A => 0,
            Self::B => 1,
        });
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.unsigned()? {
            0 => Ok(Self::A),
            1 => Ok(Self::B),
            _ => Err(Malformed::OutOfRange),
        }
    }
}

/// What receipts are signed with.
#[derive(Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) domain: Domain,
    pub(super) key: KeyId,
    pub(super) keys: &'a dyn KeyStore,
    pub(super) crypto: &'a dyn Crypto,
}

impl Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<crate::crypto::Signature, Backend> {
        self.keys.sign(self.key, message)
    }

    /// `held` with its two oldest entries in one.
    fn fold(&self, held: &mut Receipts) -> Result<(), Backend> {
        let [first, second, ..] = held.as_slice() else { return Err(Backend::Store) };
        let summary = receipt::summarise(first, second, |message| self.sign(message), self.crypto)?;
        held.splice(..2, [summary]);
        Ok(())
    }

    /// Brings `held` down to this many bytes, or to two entries: the last one stays as it is, for a resume goes by it.
    pub(super) fn fit(&self, held: &mut Receipts, bytes: usize) -> Result<(), Backend> {
        while held.len() > 2 && held.exceed(bytes) {
            self.fold(held)?;
        }
        Ok(())
    }
}

impl Durable {
    #[inline(never)]
    pub(super) fn load(subscriptions: &dyn SubscriptionStore) -> Result<Box<Self>, Backend> {
        match subscriptions.record()? {
            None => Ok(Box::default()),
            Some(record) => wire::decode(&record).map_err(|_| Backend::Store),
        }
    }

    /// That nobody has started another machine on this store: what it was offered would be written over.
    pub(super) fn check_current(&self, subscriptions: &dyn SubscriptionStore) -> Result<(), Error> {
        let requests = match subscriptions.record()? {
            None => 0,
            Some(record) => {
                Reader::new(&record).and_then(|mut reader| reader.map()?.value(REQUESTS)).map_err(|_| Backend::Store)?
            }
        };
        if requests == self.requests {
            Ok(())
        } else {
            Err(Misuse::NotNow("another machine was started on this store").into())
        }
    }

    pub(super) fn commit(
        &self,
        slots: &[SlotChange<'_>],
        subscriptions: &mut dyn SubscriptionStore,
    ) -> Result<(), Backend> {
        subscriptions.commit(Commit { slots, record: &wire::encode(self) })
    }

    pub(super) fn stage(&self) -> Option<Stage> {
        self.open.map(|open| open.stage)
    }

    /// What an operator is told. `txn` is that of the request.
    pub(super) fn state(&self, txn: &Txn, crypto: &dyn Crypto) -> DeviceState {
        let pending = self.other.as_ref().filter(|_| self.stage() == Some(Stage::Prepared));
        DeviceState {
            active: self.active.as_ref().map(|active| active.epoch),
            supi_hash: self.active.as_ref().map(|active| receipt::supi_hash(txn, &active.supi, crypto)),
            package_hash: self.active.as_ref().map(|active| active.package_hash),
            pending: pending.map(|pending| pending.epoch),
            owner_epoch: self.ownership.map_or(0, |ownership| ownership.epoch),
            voucher_head: self.ownership.map(|ownership| ownership.head),
            last_receipt: self.head.hash,
        }
    }

    /// The slot that a new credential goes into.
    pub(super) fn free_slot(&self) -> Slot {
        self.active.as_ref().map_or(Slot::A, |active| active.slot.other())
    }

    /// Slots that hold something.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.active.iter().chain(&self.other).map(|held| held.slot)
    }

    /// The credential to attach with: the new one, unless it has failed, in turns of [`PROBATION`] with the one before.
    pub(super) fn in_use(&self) -> Option<&Held> {
        let fallen = (self.failures / PROBATION) % 2 == 1;
        self.before().filter(|_| fallen).or(self.active.as_deref())
    }

    /// The credential before, under another SUPI, while nobody has said complete.
    pub(super) fn before(&self) -> Option<&Held> {
        let done = self.stage() == Some(Stage::Activated);
        self.other
            .as_deref()
            .filter(|other| done && self.active.as_ref().is_some_and(|active| active.supi != other.supi))
    }

    /// What answers a challenge: the credential in use, and a second one of the same SUPI (mode S).
    pub(super) fn answering(&self) -> impl Iterator<Item = &Held> {
        let in_use = self.in_use();
        let second = [&self.active, &self.other]
            .into_iter()
            .filter_map(|held| held.as_deref())
            .filter(move |held| in_use.is_some_and(|in_use| in_use.slot != held.slot && in_use.supi == held.supi));
        in_use.into_iter().chain(second)
    }

    // ------------------------------------------------------------------------------------------ one line to the next

    /// A credential was installed: used at once, or prepared.
    pub(super) fn install(&self, held: Box<Held>, event: Event, signer: &Signer<'_>) -> Result<Box<Self>, Error> {
        let mut next = self.signed(event, &held, signer)?;
        let (stage, ownership) =
            (if event == Event::Activated { Stage::Activated } else { Stage::Prepared }, held.ownership);
        next.turn(stage, ownership.owner);
        if event == Event::Activated {
            next.ownership = Some(ownership);
            next.active = Some(held);
        } else {
            next.other = Some(held);
        }
        Ok(next)
    }

    /// The prepared credential is used, and the one before kept.
    pub(super) fn activate(&self, signer: &Signer<'_>) -> Result<Box<Self>, Error> {
        let held =
            self.other.clone().filter(|_| self.stage() == Some(Stage::Prepared)).ok_or(Misbehaved::WrongOffer)?;
        let mut next = self.signed(Event::Activated, &held, signer)?;
        next.turn(Stage::Activated, held.ownership.owner);
        next.ownership = Some(held.ownership);
        next.failures = 0;
        next.other = next.active.replace(held).filter(|_| !is_seeded(Fault::ErasesAtDecision));
        Ok(next)
    }

    /// The prepared credential is let go.
    pub(super) fn abort(&self, signer: &Signer<'_>) -> Result<Box<Self>, Error> {
        let held =
            self.other.as_ref().filter(|_| self.stage() == Some(Stage::Prepared)).ok_or(Misbehaved::WrongOffer)?;
        let mut next = self.signed(Event::Aborted, held, signer)?;
        next.turn(Stage::Aborted, held.ownership.owner);
        next.other = None;
        Ok(next)
    }

    /// All credentials are let go, on the word of the operator whose they are.
    pub(super) fn erase(&self, open: Open, signer: &Signer<'_>) -> Result<Box<Self>, Error> {
        let mut about = self.active.as_ref().or(self.other.as_ref()).ok_or(Misbehaved::WrongOffer)?.clone();
        about.txn = open.txn;
        let mut next = self.signed(Event::Erased, &about, signer)?;
        next.open = Some(Open { stage: Stage::Erased, ..open });
        next.active = None;
        next.other = None;
        Ok(next)
    }

    /// The operator has the last word of the transaction, and receipts up to a number.
    pub(super) fn complete(&self, acknowledged: u64) -> Result<Box<Self>, Error> {
        if acknowledged > self.head.sequence {
            return Err(Misbehaved::WrongReceipt.into());
        }
        if self.stage() == Some(Stage::Prepared) {
            return Err(Misbehaved::WrongOffer.into());
        }
        let mut next = Box::new(self.clone());
        let after = u64::try_from(next.receipts.len()).map_err(|_| Backend::Store)?;
        let before_first = next.head.sequence.checked_sub(after).ok_or(Backend::Store)?;
        let done = usize::try_from(acknowledged.saturating_sub(before_first)).map_err(|_| Backend::Store)?;
        let done = done.min(next.receipts.len());
        next.receipts.drain(..done);
        next.open = None;
        next.other = None;
        next.failures = 0;
        next.settled = next.requests;
        Ok(next)
    }

    fn turn(&mut self, stage: Stage, owner: Hash) {
        if let Some(open) = &mut self.open {
            open.stage = stage;
            open.owner = Some(owner);
        }
    }

    /// With a receipt more, and the oldest ones in a summary if there is no room for all.
    fn signed(&self, event: Event, about: &Held, signer: &Signer<'_>) -> Result<Box<Self>, Error> {
        let mut next = Box::new(self.clone());
        let sequence = self.head.sequence.checked_add(1).ok_or(Misuse::NotNow("receipt numbers used up"))?;
        let receipt = Receipt {
            domain: signer.domain,
            sequence,
            previous: self.head.hash,
            txn: about.txn,
            event,
            supi_hash: receipt::supi_hash(&about.txn, &about.supi, signer.crypto),
            epoch: about.epoch,
            package_hash: about.package_hash,
            owner_epoch: about.ownership.epoch,
            grant: about.grant,
        }
        .sign(|message| signer.sign(message))?;
        next.head = Head { sequence, hash: Some(signer.crypto.sha256(&[&receipt])) };
        next.receipts.push(receipt);
        signer.fit(&mut next.receipts, MAX_HELD)?;
        Ok(next)
    }
}

impl Held {
    /// A credential that a USIM has taken in.
    pub(super) fn new(slot: Slot, txn: &Txn, installed: &Installed, ownership: Ownership, grant: Option<Hash>) -> Self {
        let Installed { supi, epoch, algorithm, package_hash, .. } = *installed;
        Self { slot, supi, epoch, algorithm, txn: *txn, package_hash, ownership, grant }
    }
}

#[cfg(all(test, feature = "rustcrypto"))]
mod tests {
    use super::*;
    use crate::{
        crypto::rustcrypto::RustCrypto,
        error::Result,
        provisioning::receipt::History,
        store::{
            MAX_RECORD,
            memory::{MemoryKeyStore, MemoryStore},
        },
    };

    fn held(epoch: u32, slot: Slot) -> Result<Held> {
        let ownership = Ownership { epoch: 1, head: [7; 32], owner: [8; 32] };
        Ok(Held {
            slot,
            supi: "001010000000001".parse()?,
            epoch,
            algorithm: Algorithm::Milenage,
            txn: [1; 16],
            package_hash: [6; 32],
            ownership,
            grant: Some([9; 32]),
        })
    }

    /// An operator that acknowledges nothing, for ever: the record keeps its length, and the line stays whole.
    #[test]
    fn receipts_that_nobody_acknowledges_are_summarised() -> Result<()> {
        let mut keys = MemoryKeyStore::new();
        keys.insert(KeyId(1), &[0x11; 32])?;
        let signer = Signer { domain: Domain::Test, key: KeyId(1), keys: &keys, crypto: &RustCrypto };
        let key = keys.public_key(KeyId(1))?;
        let mut store = MemoryStore::new();
        let mut durable = Box::new(Durable::default());
        for epoch in 1..40 {
            let open = Open { txn: [1; 16], operation: Operation::Rekey, stage: Stage::Requested, owner: None };
            durable.open = Some(open);
            durable = durable.install(Box::new(held(epoch, durable.free_slot())?), Event::Prepared, &signer)?;
            durable = durable.activate(&signer)?;
            durable.commit(&[], &mut store)?;
            let length = SubscriptionStore::record(&store)?.map_or(0, |record| record.len());
            assert!(length <= MAX_RECORD && durable.receipts.len() <= MAX_RECEIPTS);
            let mut history = History::default();
            let told = history.extend(durable.receipts.iter().map(Vec::as_slice), &key, &RustCrypto);
            assert_eq!((told, history.head), (Ok(()), durable.head));
            assert_eq!(durable.head.sequence, u64::from(epoch).saturating_mul(2));
            assert_eq!(history.summarised.len(), usize::from(epoch > 6));
            // Into a message with less room, too.
            let (mut short, mut least) = (durable.receipts.clone(), durable.receipts.clone());
            signer.fit(&mut short, 700)?;
            assert!(!short.exceed(700));
            // However little room there is: the last one stays as it is, for a resume goes by it.
            signer.fit(&mut least, 1)?;
            assert_eq!((least.len(), least.last()), (2, durable.receipts.last()));
            durable = Durable::load(&store)?.complete(0)?;
        }
        // Once they are acknowledged they are gone: a summary only as a whole.
        let last = durable.head.sequence;
        let entries = durable.receipts.len();
        assert_eq!(durable.complete(1)?.receipts.len(), entries, "a part of the summary");
        assert_eq!(durable.complete(last.saturating_sub(1))?.receipts.len(), 1);
        assert_eq!(durable.complete(last)?.receipts.len(), 0);
        assert!(durable.complete(last.saturating_add(1)).is_err());
        Ok(())
    }
}
