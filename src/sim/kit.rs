//! Checks that an implementation of [`SubscriptionStore`] keeps what its trait promises. Run it in your own tests, on your
//! own hardware; it names the first promise that was broken. The one for a crypto backend is
//! [`crypto::check`](crate::crypto::check()).

use crate::{
    crypto::{Broken, SecretBytes, equal},
    error::Backend,
    store::{Commit, MAX_RECORD, Slot, SlotChange, SubscriptionStore},
};

fn holds(condition: bool, promise: &'static str) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken(promise)) }
}

fn content(byte: u8) -> SecretBytes {
    SecretBytes::new(alloc::vec![byte; 300])
}

fn has(store: &dyn SubscriptionStore, slot: Slot, byte: u8) -> Result<bool, Backend> {
    Ok(store.slot(slot)?.is_some_and(|held| equal(held.bytes(), content(byte).bytes())))
}

/// Checks an empty store. It is not empty afterwards.
///
/// # Errors
/// The first promise that was broken.
pub fn check_store(store: &mut dyn SubscriptionStore) -> Result<(), Broken> {
    holds(store.record()?.is_none(), "a new store has no record")?;
    holds(store.slot(Slot::A)?.is_none() && store.slot(Slot::B)?.is_none(), "a new store has empty slots")?;

    store.commit(Commit { slots: &[], record: b"one" })?;
    holds(store.record()?.as_deref() == Some(b"one"), "a committed record is read back")?;
    holds(store.slot(Slot::A)?.is_none(), "a commit without a slot leaves the slots alone")?;

    store.commit(Commit { slots: &[SlotChange::Write(Slot::B, &content(1))], record: b"two" })?;
    holds(has(store, Slot::B, 1)?, "a committed slot is read back")?;
    holds(store.record()?.as_deref() == Some(b"two"), "slot and record land together")?;
    holds(store.slot(Slot::A)?.is_none(), "writing one slot leaves the other alone")?;

    store.commit(Commit { slots: &[SlotChange::Write(Slot::A, &content(2))], record: b"three" })?;
    store.commit(Commit { slots: &[SlotChange::Write(Slot::A, &content(3))], record: b"four" })?;
    holds(has(store, Slot::A, 3)?, "the last content of a slot counts")?;
    holds(has(store, Slot::B, 1)?, "writing one slot leaves the other alone")?;

    let too_long = alloc::vec![0; MAX_RECORD.saturating_add(1)];
    let refused = store.commit(Commit { slots: &[SlotChange::Erase(Slot::A)], record: &too_long });
    if refused.is_err() {
        holds(store.record()?.as_deref() == Some(b"four"), "a failed commit leaves the record alone")?;
        holds(has(store, Slot::A, 3)?, "a failed commit leaves the slots alone")?;
    }

    let longest = alloc::vec![7; MAX_RECORD];
    store.commit(Commit { slots: &[SlotChange::Erase(Slot::A)], record: &longest })?;
    holds(store.record()?.as_deref() == Some(&longest), "a record of MAX_RECORD bytes is kept")?;
    holds(store.slot(Slot::A)?.is_none(), "an erased slot is empty")?;
    holds(has(store, Slot::B, 1)?, "erasing one slot leaves the other alone")
}
