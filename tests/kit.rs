//! The checks for implementations of the traits: the shipped ones pass, and broken ones are found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use remote_provisioning::{
    crypto::{SecretBytes, rustcrypto::RustCrypto},
    error::Backend,
    sim::kit::{Broken, check_crypto, check_store},
    store::{Commit, Slot, SlotChange, SubscriptionStore, memory::MemoryStore},
};

#[test]
fn the_shipped_implementations_pass() {
    check_crypto(&RustCrypto).unwrap();
    check_store(&mut MemoryStore::new()).unwrap();
}

/// A store with one of the faults that flash drivers have.
struct Faulty {
    inner: MemoryStore,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// The record is not written together with a slot.
    RecordForgotten,
    /// Both slots are one.
    SlotsShared,
    /// Erasing does nothing.
    NotErased,
    /// The first record stays.
    FirstRecordKept,
}

impl SubscriptionStore for Faulty {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        self.inner.record()
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        self.inner.slot(if self.fault == Fault::SlotsShared { Slot::A } else { slot })
    }

    fn commit(&mut self, mut commit: Commit<'_>) -> Result<(), Backend> {
        let held = self.inner.record()?;
        let keep = match self.fault {
            Fault::RecordForgotten => commit.slot.is_some(),
            Fault::FirstRecordKept => held.is_some(),
            Fault::SlotsShared | Fault::NotErased => false,
        };
        match (&commit.slot, self.fault) {
            (Some(SlotChange::Erase(_)), Fault::NotErased) => commit.slot = None,
            (Some(SlotChange::Write(_, content)), Fault::SlotsShared) => {
                commit.slot = Some(SlotChange::Write(Slot::A, content));
            }
            _ => {}
        }
        let record = held.filter(|_| keep).unwrap_or_else(|| commit.record.to_vec());
        self.inner.commit(Commit { slot: commit.slot, record: &record })
    }
}

#[test]
fn a_faulty_store_is_found() {
    for (fault, promise) in [
        (Fault::RecordForgotten, "slot and record land together"),
        (Fault::SlotsShared, "writing one slot leaves the other alone"),
        (Fault::NotErased, "an erased slot is empty"),
        (Fault::FirstRecordKept, "slot and record land together"),
    ] {
        assert_eq!(check_store(&mut Faulty { inner: MemoryStore::new(), fault }), Err(Broken(promise)));
    }
}
