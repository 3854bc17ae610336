//! A sink that stores events and position in one transaction of SQLite.

use std::path::Path;

use pgcdc::{Batch, Lsn, Sink, SinkPosition};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::outbox::{OutboxError, outbox_events};

// Durable at the commit, since what has committed is acknowledged to PostgreSQL.
const SCHEMA: &str = "
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS events
        (id INTEGER PRIMARY KEY, aggregate_id TEXT NOT NULL, type TEXT NOT NULL, payload TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS positions (slot TEXT PRIMARY KEY, lsn TEXT NOT NULL);";

/// Writes each event exactly once into table `events`, wherever the program is killed.
///
/// A transaction of PostgreSQL that is larger than a batch is one transaction of SQLite, too, which stays open between its
/// batches. SQLite blocks the thread while it writes; the reader has one of its own.
#[derive(Debug)]
pub struct SqliteSink {
    connection: Connection,
    slot: String,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum SqliteSinkError {
    /// SQLite refuses.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The batch has no events of an outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The position in the file is none.
    #[error("table positions of SQLite has {0:?} in place of a position such as 0/16B3748")]
    Position(String),
}

impl SqliteSink {
    /// Opens the file, or creates it. Positions are stored by slot: several slots may share a file.
    ///
    /// # Errors
    /// When it cannot be opened, or is no database of SQLite.
    pub fn open(file: &Path, slot: &str) -> Result<Self, SqliteSinkError> {
        let connection = Connection::open(file)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            connection,
            slot: slot.to_owned(),
        })
    }

    /// Writes the events, and the position if the batch ends with a transaction's end.
    fn write_events(&self, batch: &Batch) -> Result<(), SqliteSinkError> {
        // Open already within a transaction that is larger than a batch.
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO events VALUES (?, ?, ?, ?)")?;
        for event in outbox_events(batch) {
            let event = event?;
            insert.execute(params![
                event.id,
                event.aggregate_id,
                event.event_type,
                event.payload
            ])?;
        }
        if let Some(position) = batch.position() {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO positions VALUES (?, ?)")?
                .execute(params![self.slot, position.to_string()])?;
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

impl Sink for SqliteSink {
    type Error = SqliteSinkError;

    async fn position(&mut self) -> Result<SinkPosition, SqliteSinkError> {
        let stored: Option<String> = self
            .connection
            .prepare_cached("SELECT lsn FROM positions WHERE slot = ?")?
            .query_row([&self.slot], |row| row.get(0))
            .optional()?;
        let Some(stored) = stored else {
            return Ok(SinkPosition::Beginning);
        };
        let lsn: Lsn = stored
            .parse()
            .map_err(|_| SqliteSinkError::Position(stored))?;
        Ok(SinkPosition::At(lsn))
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SqliteSinkError> {
        let written = self.write_events(batch);
        if written.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        written
    }

    fn is_transient(&self, error: &SqliteSinkError) -> bool {
        let SqliteSinkError::Sqlite(error) = error else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
        )
    }
}
