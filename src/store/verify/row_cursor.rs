//! The rows of the outbox table in the order of their ids, each as the document that is expected for it.

use std::pin::Pin;

use futures_util::TryStreamExt;
use mongodb::bson::RawDocumentBuf;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, RowStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Scope;
use super::error::{SIDE_LIMIT, VerifyError, next};
use crate::store::{DocumentError, DocumentParts, Payload};
use cdc_bench_model::event::EventId;

const COLUMNS: &str = "SELECT id, run_id, seq, event_type, aggregate_type, aggregate_id, payload::text, \
    (extract(epoch FROM created_at) * 1000000)::bigint FROM activity.event_outbox";

/// The condition of a scope, and its parameter.
fn filter(scope: &Scope) -> (&'static str, Option<&(dyn ToSql + Sync)>) {
    match scope {
        Scope::Run(run_id) => (" WHERE run_id = $1", Some(run_id)),
        Scope::All => ("", None),
    }
}

/// PostgreSQL's side: a stream of rows, a few of which are in memory at a time.
pub(super) struct RowCursor<'c> {
    stream: Pin<Box<RowStream>>,
    current: Option<(EventId, Row)>,
    cancel: &'c CancellationToken,
}

impl<'c> RowCursor<'c> {
    const SIDE: &'static str = "PostgreSQL";

    /// The number of its rows.
    pub async fn count(
        pg: &Client,
        scope: &Scope,
        cancel: &CancellationToken,
    ) -> Result<u64, VerifyError> {
        let (filter, run) = filter(scope);
        let query = format!("SELECT count(*) FROM activity.event_outbox{filter}");
        let run: Vec<_> = run.into_iter().collect();
        let row = next(Self::SIDE, SIDE_LIMIT, cancel, async {
            let row = pg.query_one(&query, &run).await;
            row.map_err(|error| failed(&error))
        });
        let count: i64 = row.await?.try_get(0).map_err(|error| failed(&error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub async fn open(
        pg: &Client,
        scope: &Scope,
        cancel: &'c CancellationToken,
    ) -> Result<Self, VerifyError> {
        let (filter, run) = filter(scope);
        let query = [COLUMNS, filter, " ORDER BY id"].concat();
        let stream = next(Self::SIDE, SIDE_LIMIT, cancel, async {
            let stream = pg.query_raw(&query, run).await;
            stream.map_err(|error| failed(&error))
        })
        .await?;
        Ok(Self {
            stream: Box::pin(stream),
            current: None,
            cancel,
        })
    }

    pub fn id(&self) -> Option<EventId> {
        self.current.as_ref().map(|(id, _)| *id)
    }

    pub async fn advance(&mut self) -> Result<(), VerifyError> {
        let stream = &mut self.stream;
        let row = next(Self::SIDE, SIDE_LIMIT, self.cancel, async {
            stream.try_next().await.map_err(|error| failed(&error))
        })
        .await?;
        let last = self.id();
        self.current = match row {
            None => None,
            Some(row) => {
                let id: Uuid = row.try_get(0).map_err(|error| failed(&error))?;
                let id = EventId(id);
                if last.is_some_and(|last| last >= id) {
                    return Err(VerifyError::OutOfOrder {
                        side: Self::SIDE,
                        id,
                    });
                }
                Some((id, row))
            }
        };
        Ok(())
    }

    /// The document to be expected for the current row, or why there can be none.
    pub fn expected(&self) -> Result<Result<RawDocumentBuf, DocumentError>, VerifyError> {
        let Some((id, row)) = &self.current else {
            unreachable!("there is an id, so there is a row");
        };
        let parts = || {
            Ok::<_, tokio_postgres::Error>(DocumentParts {
                id: *id,
                run_id: row.try_get(1)?,
                // The table allows negative numbers, a load does not insert any: then the documents differ.
                seq: u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u64::MAX),
                event_type: row.try_get(3)?,
                aggregate_type: row.try_get(4)?,
                aggregate_id: row.try_get(5)?,
                payload: Payload::Json(row.try_get(6)?),
                created_at_us: row.try_get(7)?,
                lsn: None,
                tx_id: None,
            })
        };
        let parts = parts().map_err(|error| failed(&error))?;
        Ok(parts.to_document())
    }
}

fn failed(error: &tokio_postgres::Error) -> VerifyError {
    VerifyError::Postgres(match error.as_db_error() {
        Some(refusal) => refusal.message().to_owned(),
        None => error.to_string(),
    })
}
