//! The database in PostgreSQL, which any number of servers share.
//!
//! ```text
//! BEGIN
//!   UPDATE … WHERE key = … AND version = …        one row, or somebody was faster: ROLLBACK
//!   INSERT … ON CONFLICT DO NOTHING               likewise
//! COMMIT
//! ```
//!
//! The tables are made by whoever comes first. A transaction needs a connection to itself, so there are a few.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Instant,
};

use tokio::sync::Semaphore;
use tokio_postgres::{Client, Error, NoTls, Transaction, error::SqlState, types::Type};

use crate::{
    database::{Change, Failure, Fate, Row, Table},
    metrics::Metrics,
};

const CONNECTIONS: usize = 8;

/// Held while tables are made: any number, the same in all servers.
const SCHEMA_LOCK: i64 = 0x7263_7001;

pub(crate) struct Postgres {
    url: String,
    idle: Mutex<Vec<Client>>,
    room: Semaphore,
    metrics: Arc<Metrics>,
}

impl Postgres {
    pub(crate) async fn open(url: &str, metrics: &Arc<Metrics>) -> Result<Self, Failure> {
        let database = Self {
            url: url.to_owned(),
            idle: Mutex::new(Vec::new()),
            room: Semaphore::new(CONNECTIONS),
            metrics: Arc::clone(metrics),
        };
        let mut client = database.client().await?;
        let transaction = client.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK]).await?;
        for table in Table::ALL {
            // "C", so that keys are in the order of their bytes, as they are in the file.
            let columns = r#"key text COLLATE "C" PRIMARY KEY, version bigint NOT NULL, value bytea NOT NULL"#;
            let statement = format!("CREATE TABLE IF NOT EXISTS {} ({columns})", table.name());
            transaction.batch_execute(&statement).await?;
        }
        transaction.commit().await?;
        database.put_back(client);
        Ok(database)
    }

    /// A connection that lives; one that died is replaced.
    async fn client(&self) -> Result<Client, Failure> {
        let idle = self.idle.lock().map_err(|_| Failure::Broken("a thread has panicked".into()))?.pop();
        if let Some(client) = idle.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        // Its end shows at the client.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Only one on which nothing is open.
    fn put_back(&self, client: Client) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(client);
        }
    }

    pub(crate) async fn read(&self, table: Table, key: &str) -> Result<Option<Row>, Failure> {
        let _room = self.room.acquire().await?;
        let client = self.client().await?;
        let statement = format!("SELECT version, value FROM {} WHERE key = $1", table.name());
        let row = client.query_typed_opt(&statement, &[(&key, Type::TEXT)]).await?;
        self.put_back(client);
        Ok(row.map(|row| Row { version: row.get(0), value: row.get(1) }))
    }

    pub(crate) async fn range(
        &self,
        table: Table,
        from: &str,
        to: &str,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Failure> {
        let _room = self.room.acquire().await?;
        let client = self.client().await?;
        let name = table.name();
        let statement =
            format!("SELECT key, version, value FROM {name} WHERE key >= $1 AND key < $2 ORDER BY key LIMIT {limit}");
        let rows = client.query_typed(&statement, &[(&from, Type::TEXT), (&to, Type::TEXT)]).await?;
        self.put_back(client);
        Ok(rows.into_iter().map(|row| (row.get(0), Row { version: row.get(1), value: row.get(2) })).collect())
    }

    pub(crate) async fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<bool, Failure> {
        let _room = self.room.acquire().await?;
        let mut client = self.client().await?;
        let start = Instant::now();
        let outcome = land(&mut client, &changes, durable).await;
        self.metrics.batches.fetch_add(1, Relaxed);
        self.metrics.commits.fetch_add(1, Relaxed);
        self.metrics.commit_us.fetch_add(u64::try_from(start.elapsed().as_micros()).unwrap_or_default(), Relaxed);
        match outcome {
            Ok(landed) => {
                self.put_back(client);
                Ok(landed)
            }
            // PostgreSQL has chosen this one of two that wait for each other.
            Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

async fn land(client: &mut Client, changes: &[Change], durable: bool) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    if !durable {
        transaction.batch_execute("SET LOCAL synchronous_commit = off").await?;
    }
    for change in changes {
        if apply(&transaction, change).await? != 1 {
            transaction.rollback().await?;
            return Ok(false);
        }
    }
    transaction.commit().await?;
    Ok(true)
}

/// How many rows it met: one, if it is as it was read.
async fn apply(transaction: &Transaction<'_>, Change { table, key, read, fate }: &Change) -> Result<u64, Error> {
    let name = table.name();
    // Typed, so that each takes one round trip.
    match (fate, read) {
        (Fate::Stays, _) => {
            let statement = format!("SELECT 1 FROM {name} WHERE key = $1 AND version = $2 FOR SHARE");
            transaction.execute_typed(&statement, &[(key, Type::TEXT), (read, Type::INT8)]).await
        }
        (Fate::Written(value), None) => {
            let statement =
                format!("INSERT INTO {name} (key, version, value) VALUES ($1, 1, $2) ON CONFLICT DO NOTHING");
            transaction.execute_typed(&statement, &[(key, Type::TEXT), (value, Type::BYTEA)]).await
        }
        (Fate::Written(value), Some(_)) => {
            let statement =
                format!("UPDATE {name} SET version = version + 1, value = $3 WHERE key = $1 AND version = $2");
            transaction.execute_typed(&statement, &[(key, Type::TEXT), (read, Type::INT8), (value, Type::BYTEA)]).await
        }
        (Fate::Deleted, _) => {
            let statement = format!("DELETE FROM {name} WHERE key = $1 AND version = $2");
            transaction.execute_typed(&statement, &[(key, Type::TEXT), (read, Type::INT8)]).await
        }
    }
}
