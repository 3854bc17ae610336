//! A replication session before its stream: commands and queries.

use std::time::Duration;

use pgwire_replication::protocol::framing::write_query;

use super::stream::{ReplicationStream, StreamSettings};
use super::{Socket, WireError, startup};
use crate::{Lsn, Server};

/// Longest wait for the answer to a query of the catalogue.
const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// The result of a query: rows of columns in text format.
pub(crate) type TextRows = Vec<Vec<Option<String>>>;

/// A replication session (`replication=database`) that does not stream yet.
pub(crate) struct ReplicationSession {
    socket: Socket,
    pid: Option<u32>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemIdentity {
    /// Identifier of the cluster: the same on a primary and its standbys.
    pub(crate) system: String,
    /// The current timeline.
    pub(crate) timeline: u32,
    /// The end of its WAL.
    pub(crate) wal_end: Lsn,
}

impl ReplicationSession {
    /// Connects and authenticates.
    pub(crate) async fn open(server: &Server) -> Result<Self, WireError> {
        let opening = async {
            let mut socket = Socket::connect(server).await?;
            let pid = startup::start(&mut socket, server).await?;
            Ok(Self { socket, pid })
        };
        within(QUERY_LIMIT, opening).await
    }

    /// Id of the server's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Runs a query, or a command that answers soon.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<TextRows, WireError> {
        within(QUERY_LIMIT, self.command(sql)).await
    }

    /// Runs a query or a command, however long it takes. When the future is dropped the session is of no use any more.
    pub(crate) async fn command(&mut self, sql: &str) -> Result<TextRows, WireError> {
        write_query(&mut self.socket, sql).await?;
        let mut rows = Vec::new();
        let mut error = None;
        loop {
            let message = match startup::read(&mut self.socket).await {
                Ok(message) => message,
                // The session goes on after it.
                Err(WireError::Server(refusal)) => {
                    error = Some(WireError::Server(refusal));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match message.tag {
                b'D' => rows.push(row(&message.payload)?),
                b'Z' => return error.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// `IDENTIFY_SYSTEM`.
    pub(crate) async fn identify(&mut self) -> Result<SystemIdentity, WireError> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let text = |index: usize| rows.first()?.get(index)?.clone();
        let identity = || {
            Some(SystemIdentity {
                system: text(0)?,
                timeline: text(1)?.parse().ok()?,
                wal_end: text(2)?.parse().ok()?,
            })
        };
        identity().ok_or_else(|| {
            WireError::Protocol("its answer to IDENTIFY_SYSTEM is not as expected".to_owned())
        })
    }

    /// Starts the stream.
    pub(crate) async fn start(
        mut self,
        command: &str,
        settings: StreamSettings,
    ) -> Result<ReplicationStream, WireError> {
        let started = async {
            write_query(&mut self.socket, command).await?;
            // Notices may come before.
            while startup::read(&mut self.socket).await?.tag != b'W' {}
            Ok(())
        };
        within(QUERY_LIMIT, started).await?;
        ReplicationStream::new(self.socket, settings)
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or(Err(WireError::Silent(limit)))
}

/// The columns of a `DataRow` message.
fn row(payload: &[u8]) -> Result<Vec<Option<String>>, WireError> {
    let malformed = || WireError::Protocol("a row of an answer is malformed".to_owned());
    let (count, mut rest) = payload.split_first_chunk().ok_or_else(malformed)?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk().ok_or_else(malformed)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            columns.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length).ok_or_else(malformed)?;
        columns.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_nulls_and_texts_and_a_cut_one_is_an_error() {
        let payload = [0, 2, 255, 255, 255, 255, 0, 0, 0, 1, b'x'];
        assert_eq!(row(&payload).unwrap(), [None, Some("x".to_owned())]);
        for end in 0..payload.len() {
            assert!(row(&payload[..end]).is_err(), "{end}");
        }
    }
}
