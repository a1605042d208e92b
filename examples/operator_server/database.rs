//! Rows with versions, and one way to change them: a [`Step`] that lands whole, or not at all if anybody was faster.
//!
//! ```text
//! Step::get ──▶ the row and its version    (a row that the step has changed: as changed)
//! Step::put     remembered
//! Step::land ──▶ one transaction: every row that was read or written still has the version that was read? ──▶ all, or none
//! ```
//!
//! A session takes one step for each message: its log entry, the account, the core's row and its own token change together,
//! and one durable write is enough for all of them. Keys that are deleted do not come back, so a version names a content.

use std::collections::BTreeMap;

use crate::{embedded::Embedded, postgres::Postgres};

/// The tables. All have the same columns: key, version, value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// `Account` of each device, in CBOR.
    Accounts,
    /// What the core network has of each SUPI.
    Core,
    /// SUPIs that nobody has.
    Free,
    /// Device and SUPI, for those who look for a device's subscriptions in the core.
    Holders,
    /// The log: device and number of the entry, in CBOR.
    Log,
    /// SUPI of each transaction.
    Reserved,
    /// Sealed sessions, and challenges, by an id that begins with the second in which they expire.
    Sessions,
    /// How far the pool was filled.
    Settings,
    /// Voucher chains, by the name of the device.
    Vouchers,
}

impl Table {
    pub(crate) const ALL: [Self; 9] = [
        Self::Accounts,
        Self::Core,
        Self::Free,
        Self::Holders,
        Self::Log,
        Self::Reserved,
        Self::Sessions,
        Self::Settings,
        Self::Vouchers,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Core => "core",
            Self::Free => "free",
            Self::Holders => "holders",
            Self::Log => "log",
            Self::Reserved => "reserved",
            Self::Sessions => "sessions",
            Self::Settings => "settings",
            Self::Vouchers => "vouchers",
        }
    }
}

/// A row as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) version: i64,
    pub(crate) value: Vec<u8>,
}

/// What becomes of a row.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It has to be as it was read.
    Stays,
    Written(Vec<u8>),
    Deleted,
}

/// One row of a commit.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) table: Table,
    pub(crate) key: String,
    /// The version that was read; `None` if there was no such row.
    pub(crate) read: Option<i64>,
    pub(crate) fate: Fate,
}

/// Why a step does not land.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody was faster: take the whole step again.
    Overtaken,
    /// The database does not do what it should, and nothing can be said about the step.
    Broken(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        if let Some(source) = error.source() {
            text = format!("{text}: {source}");
        }
        Self::Broken(text)
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Overtaken => "overtaken",
            Self::Broken(text) => text,
        })
    }
}

/// Where the rows are.
pub(crate) enum Database {
    Embedded(Embedded),
    Postgres(Postgres),
}

impl Database {
    pub(crate) async fn read(&self, table: Table, key: &str) -> Result<Option<Row>, Failure> {
        match self {
            Self::Embedded(database) => database.read(table, key),
            Self::Postgres(database) => database.read(table, key).await,
        }
    }

    /// Rows from this key on and before that one, in order.
    pub(crate) async fn range(
        &self,
        table: Table,
        from: &str,
        to: &str,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Failure> {
        match self {
            Self::Embedded(database) => database.range(table, from, to, limit),
            Self::Postgres(database) => database.range(table, from, to, limit).await,
        }
    }

    /// All or nothing; `false` if a row is not as it was read. What is not `durable` may be gone after a power cut, whole.
    /// Of rows that were not there and stay so, nobody is told that they came.
    pub(crate) async fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<bool, Failure> {
        match self {
            Self::Embedded(database) => database.commit(changes, durable).await,
            Self::Postgres(database) => database.commit(changes, durable).await,
        }
    }

    pub(crate) fn step(&self) -> Step<'_> {
        Step { database: self, rows: BTreeMap::new(), told: Vec::new() }
    }
}

struct Held {
    read: Option<i64>,
    value: Option<Vec<u8>>,
    changed: bool,
}

/// What is read and changed together.
pub(crate) struct Step<'a> {
    database: &'a Database,
    // Ordered, so that two steps lock rows in the same order.
    rows: BTreeMap<(Table, String), Held>,
    /// What there is to tell when it has landed.
    told: Vec<Box<dyn FnOnce() + Send + Sync>>,
}

impl Step<'_> {
    async fn held(&mut self, table: Table, key: &str) -> Result<&mut Held, Failure> {
        let place = (table, key.to_owned());
        if !self.rows.contains_key(&place) {
            let row = self.database.read(table, key).await?;
            let (read, value) = row.map_or((None, None), |row| (Some(row.version), Some(row.value)));
            self.rows.insert(place.clone(), Held { read, value, changed: false });
        }
        self.rows.get_mut(&place).ok_or_else(|| Failure::Broken("a row that was just read is gone".into()))
    }

    pub(crate) async fn get(&mut self, table: Table, key: &str) -> Result<Option<&[u8]>, Failure> {
        Ok(self.held(table, key).await?.value.as_deref())
    }

    /// In place of whatever is there.
    pub(crate) async fn put(&mut self, table: Table, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        let held = self.held(table, key).await?;
        (held.value, held.changed) = (Some(value), true);
        Ok(())
    }

    pub(crate) async fn delete(&mut self, table: Table, key: &str) -> Result<(), Failure> {
        let held = self.held(table, key).await?;
        (held.value, held.changed) = (None, true);
        Ok(())
    }

    /// A row that nobody has had: it is not read first.
    pub(crate) fn add(&mut self, table: Table, key: String, value: Vec<u8>) {
        self.rows.insert((table, key), Held { read: None, value: Some(value), changed: true });
    }

    /// What others have committed; not what this step means to.
    pub(crate) async fn keys(&self, table: Table, from: &str, to: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let rows = self.database.range(table, from, to, limit).await?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }

    /// To be done when the step has landed, and not if it does not.
    pub(crate) fn when_landed(&mut self, tell: impl FnOnce() + Send + Sync + 'static) {
        self.told.push(Box::new(tell));
    }

    /// Makes it so, whole. What is read and changed from then on lands with the next call.
    ///
    /// # Errors
    /// [`Failure::Overtaken`].
    pub(crate) async fn land(&mut self, durable: bool) -> Result<(), Failure> {
        let changes = core::mem::take(&mut self.rows).into_iter().filter_map(|((table, key), held)| {
            let fate = match held {
                Held { changed: false, read: Some(_), .. } => Fate::Stays,
                Held { changed: true, value: Some(value), .. } => Fate::Written(value),
                Held { changed: true, value: None, read: Some(_) } => Fate::Deleted,
                // It was not there, and it is not there.
                Held { read: None, .. } => return None,
            };
            Some(Change { table, key, read: held.read, fate })
        });
        let changes: Vec<_> = changes.collect();
        let changed = changes.iter().any(|change| !matches!(change.fate, Fate::Stays));
        if changed && !self.database.commit(changes, durable).await? {
            return Err(Failure::Overtaken);
        }
        self.told.drain(..).for_each(|tell| tell());
        Ok(())
    }
}

/// Where a range ends that has all keys with this beginning: no key here has such a character.
pub(crate) fn end_of(prefix: &str) -> String {
    format!("{prefix}~")
}
