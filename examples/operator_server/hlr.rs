//! A core network that is not ours: osmo-hlr, by its database.
//!
//! The step lands first, so what the log says is durable before the core hears of it. A server that dies in between costs the
//! device an attempt: the next session asks the core again.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use remote_provisioning::{
    cores::{
        self, Core as _, Entry,
        osmo_hlr::{OsmoHlr, Statement, TABLE},
    },
    credential::ServiceProfile,
    error::Code,
    identity::Supi,
    provisioning::{Answer, Question},
};
use rusqlite::{Connection, OpenFlags};
use tokio::task::block_in_place;

use crate::{
    BACKEND,
    core_network::Core,
    database::{Failure, Step},
    sqlite,
};

/// osmo-hlr itself may have the file locked for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file that osmo-hlr works on.
pub(crate) struct HlrCore {
    connection: Mutex<Connection>,
    profile: ServiceProfile,
}

impl HlrCore {
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(PATIENCE)?;
        connection.execute(TABLE, [])?;
        Ok(Self { connection: Mutex::new(connection), profile: ServiceProfile::default() })
    }

    const fn adapter(&self) -> OsmoHlr<'_> {
        OsmoHlr { cs: true, ps: true, profile: &self.profile }
    }

    fn run(&self, steps: &[Statement]) -> rusqlite::Result<Vec<Entry>> {
        // Whoever panicked with it has left no transaction open.
        block_in_place(|| sqlite::run(&self.connection.lock().unwrap_or_else(PoisonError::into_inner), steps))
    }
}

impl Core for HlrCore {
    async fn answer(&self, question: &Question, step: &mut Step<'_>) -> Result<Option<Answer>, Failure> {
        let Some(steps) = self.adapter().steps(question) else { return Ok(None) };
        step.land(true).await?;
        let entries = steps.and_then(|steps| self.run(&steps).map_err(|_| Code::TryLater));
        Ok(cores::answer(question, entries.as_deref().map_err(|code| *code), &BACKEND))
    }

    async fn epoch(&self, supi: &Supi, _: &mut Step<'_>) -> Result<u32, Failure> {
        let entries = self.run(&self.adapter().look(supi))?;
        Ok(entries.first().map_or(0, Entry::core_epoch))
    }
}
