//! Runs the statements of [`cores::osmo_hlr`](remote_provisioning::cores::osmo_hlr) on its database.

use remote_provisioning::cores::{
    Entry,
    osmo_hlr::{Statement, Value},
};
use rusqlite::{Connection, params_from_iter, types::ToSqlOutput};

/// Runs them in their order; gives what the reading one read. If one fails, none of its transaction is there.
pub(crate) fn run(connection: &Connection, steps: &[Statement]) -> rusqlite::Result<Vec<Entry>> {
    let outcome = run_each(connection, steps);
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

fn run_each(connection: &Connection, steps: &[Statement]) -> rusqlite::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for Statement { sql, parameters } in steps {
        let mut statement = connection.prepare(sql)?;
        let parameters = params_from_iter(parameters.iter().map(|value| match value {
            Value::Integer(number) => ToSqlOutput::from(*number),
            Value::Text(text) => ToSqlOutput::from(text.as_str()),
        }));
        if statement.column_count() == 0 {
            statement.execute(parameters)?;
            continue;
        }
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            let (supi, k): (String, Option<String>) = (row.get(0)?, row.get(3)?);
            let entry = Entry::new(&supi, row.get(1)?, row.get(2)?, k.as_deref());
            entries.push(entry.map_err(|_| rusqlite::Error::InvalidQuery)?);
        }
    }
    Ok(entries)
}
