//! The database in a file (redb): copy-on-write pages, so that whatever stops the process leaves the last commit whole.
//!
//! One thread writes. All steps that wait while the disk is busy land in one transaction and one sync.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Instant,
};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use crate::{
    database::{Change, Failure, Fate, Row, Table},
    metrics::Metrics,
};

/// Bytes of pages in memory. The default would be a gigabyte, and the figures should not hide behind it.
const CACHE: usize = 32 << 20;

/// Most steps in one transaction.
const MAX_BATCH: usize = 256;

type Column = TableDefinition<'static, &'static str, (i64, &'static [u8])>;

const fn column(table: Table) -> Column {
    TableDefinition::new(table.name())
}

pub(crate) struct Embedded {
    database: Arc<Database>,
    queue: Sender<Job>,
}

struct Job {
    changes: Vec<Change>,
    durable: bool,
    done: oneshot::Sender<Result<bool, Failure>>,
}

impl Embedded {
    /// Opens the file, or makes it. Another process that has it open is an error.
    pub(crate) fn open(path: &Path, metrics: &Arc<Metrics>) -> Result<Self, Failure> {
        let database = Database::builder().set_cache_size(CACHE).create(path)?;
        let transaction = database.begin_write()?;
        for table in Table::ALL {
            transaction.open_table(column(table))?;
        }
        transaction.commit()?;
        let (queue, jobs) = mpsc::channel();
        let database = Arc::new(database);
        let (writing, metrics) = (Arc::clone(&database), Arc::clone(metrics));
        thread::Builder::new().name("writer".into()).spawn(move || write(&writing, &jobs, &metrics))?;
        Ok(Self { database, queue })
    }

    pub(crate) fn read(&self, table: Table, key: &str) -> Result<Option<Row>, Failure> {
        let row = self.database.begin_read()?.open_table(column(table))?.get(key)?;
        Ok(row.map(|row| {
            let (version, value) = row.value();
            Row { version, value: value.to_vec() }
        }))
    }

    pub(crate) fn range(
        &self,
        table: Table,
        from: &str,
        to: &str,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Failure> {
        let table = self.database.begin_read()?.open_table(column(table))?;
        let rows = table.range(from..to)?.take(limit).map(|row| {
            let (key, row) = row?;
            let (version, value) = row.value();
            Ok((key.value().to_owned(), Row { version, value: value.to_vec() }))
        });
        rows.collect()
    }

    pub(crate) async fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<bool, Failure> {
        let (done, outcome) = oneshot::channel();
        self.queue.send(Job { changes, durable, done })?;
        outcome.await?
    }
}

/// Until the last sender is gone.
fn write(database: &Database, jobs: &Receiver<Job>, metrics: &Metrics) {
    while let Ok(first) = jobs.recv() {
        let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter()).take(MAX_BATCH).collect();
        let start = Instant::now();
        let outcome = land(database, &batch);
        metrics.batches.fetch_add(1, Relaxed);
        metrics.commits.fetch_add(u64::try_from(batch.len()).unwrap_or_default(), Relaxed);
        metrics.commit_us.fetch_add(u64::try_from(start.elapsed().as_micros()).unwrap_or_default(), Relaxed);
        match outcome {
            Ok(landed) => {
                for (job, landed) in batch.into_iter().zip(landed) {
                    // Nobody waits any more: so be it.
                    let _ = job.done.send(Ok(landed));
                }
            }
            Err(failure) => {
                for job in batch {
                    let _ = job.done.send(Err(Failure::Broken(failure.to_string())));
                }
            }
        }
    }
}

/// One transaction for all that fit, one after the other.
fn land(database: &Database, batch: &[Job]) -> Result<Vec<bool>, Failure> {
    let mut transaction = database.begin_write()?;
    if !batch.iter().any(|job| job.durable) {
        transaction.set_durability(Durability::None)?;
    }
    let landed = batch.iter().map(|job| apply(&transaction, &job.changes)).collect::<Result<_, _>>()?;
    transaction.commit()?;
    Ok(landed)
}

fn apply(transaction: &WriteTransaction, changes: &[Change]) -> Result<bool, Failure> {
    for change in changes {
        let table = transaction.open_table(column(change.table))?;
        let version = table.get(&*change.key)?.map(|row| row.value().0);
        if version != change.read {
            return Ok(false);
        }
    }
    for change in changes {
        let mut table = transaction.open_table(column(change.table))?;
        match &change.fate {
            Fate::Stays => {}
            Fate::Written(value) => {
                table.insert(&*change.key, (change.read.unwrap_or_default() + 1, &**value))?;
            }
            Fate::Deleted => {
                table.remove(&*change.key)?;
            }
        }
    }
    Ok(true)
}
