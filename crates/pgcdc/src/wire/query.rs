//! Queries of a session by itself: text in, rows of text out.

use std::time::Duration;

use pgwire_replication::protocol::framing::write_query;

use super::{Socket, WireError, startup};

/// Longest wait for the answer to a query of the catalogue.
pub(super) const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// The result of a query: rows of columns in text format.
pub(crate) type TextRows = Vec<Vec<Option<String>>>;

/// Runs a query or a command, however long it takes. When the future is dropped the session is of no use any more.
pub(super) async fn run(socket: &mut Socket, sql: &str) -> Result<TextRows, WireError> {
    write_query(socket, sql).await?;
    let mut rows = Vec::new();
    let mut error = None;
    loop {
        let message = match startup::read(socket).await {
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

pub(super) async fn within<T>(
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
