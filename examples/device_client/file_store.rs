//! A [`SubscriptionStore`] in a directory. One file has the record and both slots, so that they change together:
//!
//! ```text
//! write state.new ─▶ fsync ─▶ rename to state ─▶ fsync of the directory
//! ```
//!
//! Whatever stops the process leaves the old file or the new one, whole. K is in it in clear, for its owner's eyes (mode
//! 600); what it replaces is gone from the directory, not from the medium. A device keeps it in a secure element, or at least
//! under a key that lives in one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use remote_provisioning::{
    crypto::SecretBytes,
    error::Backend,
    store::{Commit, MAX_RECORD, Slot, SlotChange, SubscriptionStore},
};
use serde::{Deserialize, Serialize};

const STATE: &str = "state";
const NEW: &str = "state.new";
const NUMBER: &str = "number";
const LOCK: &str = "lock";

/// What the file has.
#[derive(Default, Serialize, Deserialize)]
struct State {
    record: Option<serde_bytes::ByteBuf>,
    a: Option<serde_bytes::ByteBuf>,
    b: Option<serde_bytes::ByteBuf>,
}

pub(crate) struct FileStore {
    directory: PathBuf,
    state: State,
    /// Held for as long as this lives: two processes with one state are two devices with one identity.
    _lock: File,
}

impl FileStore {
    /// Opens the directory, or makes it for the device with this number.
    ///
    /// # Errors
    /// If another process has it, or it is another device's, or the file cannot be read.
    pub(crate) fn open(directory: &Path, number: Option<u32>) -> io::Result<(Self, u32)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = File::create(directory.join(LOCK))?;
        lock.try_lock().map_err(|_| io::Error::other("another process has this state"))?;
        let number = whose(directory, number)?;
        let state = match fs::read(directory.join(STATE)) {
            Ok(bytes) => ciborium::from_reader(&*bytes).map_err(|_| io::Error::other("the state is damaged"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        Ok((Self { directory: directory.to_owned(), state, _lock: lock }, number))
    }
}

/// The device's number, which is written down once.
fn whose(directory: &Path, number: Option<u32>) -> io::Result<u32> {
    let found = match fs::read_to_string(directory.join(NUMBER)) {
        Ok(text) => Some(text.trim().parse().map_err(io::Error::other)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match (found, number) {
        (Some(found), Some(number)) if found != number => {
            Err(io::Error::other(format!("this is the state of device {found}")))
        }
        (Some(found), _) => Ok(found),
        (None, number) => {
            let number = number.unwrap_or(1);
            replace(directory, "number.new", NUMBER, format!("{number}\n").as_bytes())?;
            Ok(number)
        }
    }
}

/// Puts a file in the place of another, or none.
fn replace(directory: &Path, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = directory.join(new);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&path, directory.join(name))?;
    File::open(directory)?.sync_all()
}

impl SubscriptionStore for FileStore {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        Ok(self.state.record.as_ref().map(|record| record.to_vec()))
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        let content = match slot {
            Slot::A => &self.state.a,
            Slot::B => &self.state.b,
        };
        Ok(content.as_ref().map(|content| SecretBytes::new(content.to_vec())))
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        if commit.record.len() > MAX_RECORD {
            return Err(Backend::Store);
        }
        let State { a, b, .. } = &self.state;
        let mut next = State { record: Some(commit.record.to_vec().into()), a: a.clone(), b: b.clone() };
        for change in commit.slots {
            let (slot, content) = match change {
                SlotChange::Write(slot, content) => (slot, Some(content.bytes().to_vec().into())),
                SlotChange::Erase(slot) => (slot, None),
            };
            match slot {
                Slot::A => next.a = content,
                Slot::B => next.b = content,
            }
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&next, &mut bytes).map_err(|_| Backend::Store)?;
        replace(&self.directory, NEW, STATE, &bytes).map_err(|_| Backend::Store)?;
        self.state = next;
        Ok(())
    }
}
