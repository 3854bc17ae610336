//! PostgreSQL against the store: both are read in the order of the event id and merged, so memory does not grow with
//! the number of events.

use std::cmp::Ordering;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Cursor;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};
use serde::Serialize;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, RowStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::difference::{FieldDifference, differences};
use super::{DocumentError, DocumentParts, MongoStore, Payload, StoreError, document_id};
use cdc_bench_model::event::EventId;

/// Ids and documents listed of each kind of finding; all are counted.
const MOST_LISTED: usize = 20;
/// Whoever waits hears of it every so many.
const TELL_EVERY: u64 = 1_000;
/// Documents a round trip to the store.
const BATCH: u32 = 1_000;
/// Longest wait for the next row or document. A first one may need a sort of everything.
const NEXT_LIMIT: Duration = Duration::from_secs(120);
/// Not in the PostgreSQL row: the LSN and transaction id of its change.
const NOT_COMPARED: [&str; 1] = ["source"];

const COLUMNS: &str = "SELECT id, run_id, seq, event_type, aggregate_type, aggregate_id, payload::text, \
    (extract(epoch FROM created_at) * 1000000)::bigint FROM activity.event_outbox";

/// What is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The rows and documents whose `run_id` is exactly this: not its warm-up, not its probe.
    Run(String),
    /// Everything in the table and in the collection.
    All,
}

/// A document that is not what its row gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The event.
    pub id: EventId,
    /// What differs, at most 20 fields.
    pub fields: Vec<FieldDifference>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Rows in PostgreSQL.
    pub postgres_count: u64,
    /// Documents in the store.
    pub store_count: u64,
    /// Rows without a document.
    pub missing: u64,
    /// Documents without a row; also those whose `_id` is no UUID, which are not listed.
    pub extra: u64,
    /// Documents that are not what their row gives. `lsn` and `tx_id` are not compared.
    pub differing: u64,
    /// Pairs that are the same, of the larger of the two counts, in percent. 100 where both sides are empty: there is
    /// nothing that does not match.
    pub match_percent: f64,
    /// Events of the first rows without a document, at most 20, by id.
    pub first_missing: Vec<EventId>,
    /// Events of the first documents without a row, at most 20, by id.
    pub first_extra: Vec<EventId>,
    /// The first documents that differ, at most 20, by id.
    pub first_differing: Vec<Difference>,
}

impl Verification {
    /// Whether both sides hold the same.
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.missing + self.extra + self.differing == 0
    }
}

/// Why a verification could not be carried through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// PostgreSQL did not give its rows.
    #[error(
        "cannot read activity.event_outbox from PostgreSQL: {0}; check that the table is there (\"cdc-bench setup\") and that the user may SELECT from it"
    )]
    Postgres(String),
    /// The store did not give its documents.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A side does not sort UUIDs by their bytes, so the two cannot be merged.
    #[error(
        "{side} returned event {id} after a greater one, though asked to sort by id: it cannot be verified against"
    )]
    OutOfOrder {
        /// `PostgreSQL` or the store.
        side: &'static str,
        /// The event that came too late.
        id: EventId,
    },
    /// A side went silent.
    #[error("{side} sent nothing for {} s while its events were read; check that it is up and try again", NEXT_LIMIT.as_secs())]
    Silent {
        /// `PostgreSQL` or the store.
        side: &'static str,
    },
    /// The caller cancelled.
    #[error("the verification was stopped before its end")]
    Cancelled,
}

/// Compares every row in scope with its document, and the other way round.
///
/// `pg` is busy with nothing else until the end. Rows inserted meanwhile are not seen, documents written meanwhile may
/// be: verify when the pipeline has come to rest. `compared` hears now and then how many were looked at.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(
    pg: &Client,
    store: &MongoStore,
    scope: Scope,
    compared: &(dyn Fn(u64) + Sync),
    cancel: CancellationToken,
) -> Result<Verification, VerifyError> {
    let mut rows = Rows::open(pg, &scope, &cancel).await?;
    let mut documents = Documents::open(store, &scope, &cancel).await?;
    let mut tally = Tally::default();
    rows.advance().await?;
    documents.advance().await?;
    loop {
        match (rows.id(), documents.id()) {
            (None, None) => return Ok(tally.into_verification()),
            (Some(row), Some(document)) => match row.cmp(&document) {
                Ordering::Less => {
                    tally.missing(row);
                    rows.advance().await?;
                }
                Ordering::Greater => {
                    tally.extra(document);
                    documents.advance().await?;
                }
                Ordering::Equal => {
                    tally.pair(row, rows.expected()?, documents.current());
                    rows.advance().await?;
                    documents.advance().await?;
                }
            },
            (Some(row), None) => {
                tally.missing(row);
                rows.advance().await?;
            }
            (None, Some(document)) => {
                tally.extra(document);
                documents.advance().await?;
            }
        }
        tally.foreign(documents.take_foreign());
        if tally.all().is_multiple_of(TELL_EVERY) {
            compared(tally.all());
        }
    }
}

/// Awaits one side's next item, for as long as that is allowed.
async fn next<T>(
    side: &'static str,
    cancel: &CancellationToken,
    item: impl Future<Output = Result<T, VerifyError>>,
) -> Result<T, VerifyError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(VerifyError::Cancelled),
        item = tokio::time::timeout(NEXT_LIMIT, item) => {
            item.unwrap_or(Err(VerifyError::Silent { side }))
        }
    }
}

/// PostgreSQL's side: a stream of rows, of which the connection holds a few at a time.
struct Rows<'c> {
    stream: Pin<Box<RowStream>>,
    current: Option<(EventId, Row)>,
    cancel: &'c CancellationToken,
}

impl<'c> Rows<'c> {
    const SIDE: &'static str = "PostgreSQL";

    async fn open(
        pg: &Client,
        scope: &Scope,
        cancel: &'c CancellationToken,
    ) -> Result<Self, VerifyError> {
        let (filter, run): (&str, Option<&(dyn ToSql + Sync)>) = match scope {
            Scope::Run(run_id) => (" WHERE run_id = $1", Some(run_id)),
            Scope::All => ("", None),
        };
        let query = [COLUMNS, filter, " ORDER BY id"].concat();
        let stream = next(Self::SIDE, cancel, async {
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

    fn id(&self) -> Option<EventId> {
        self.current.as_ref().map(|(id, _)| *id)
    }

    async fn advance(&mut self) -> Result<(), VerifyError> {
        let stream = &mut self.stream;
        let row = next(Self::SIDE, self.cancel, async {
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

    /// The document that the current row gives, or why it gives none.
    fn expected(&self) -> Result<Result<RawDocumentBuf, DocumentError>, VerifyError> {
        let Some((id, row)) = &self.current else {
            unreachable!("there is an id, so there is a row");
        };
        let parts = || {
            Ok::<_, tokio_postgres::Error>(DocumentParts {
                id: *id,
                run_id: row.try_get(1)?,
                // The table lets it be negative, a load does not: then the documents differ.
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

/// The store's side: a cursor.
struct Documents<'c> {
    store: &'c MongoStore,
    cursor: Cursor<RawDocumentBuf>,
    current: Option<EventId>,
    /// Documents skipped since last asked, whose `_id` is no UUID.
    foreign: u64,
    cancel: &'c CancellationToken,
}

impl<'c> Documents<'c> {
    const SIDE: &'static str = "the store";
    const DOING: &'static str = "read events";

    async fn open(
        store: &'c MongoStore,
        scope: &Scope,
        cancel: &'c CancellationToken,
    ) -> Result<Self, VerifyError> {
        let filter = match scope {
            Scope::Run(run_id) => doc! { "run_id": run_id },
            Scope::All => doc! {},
        };
        let events = store.events();
        let find = events
            .find(filter)
            .sort(doc! { "_id": 1 })
            .batch_size(BATCH);
        let cursor = next(Self::SIDE, cancel, async {
            let cursor = find.await;
            cursor.map_err(|error| store.failed(&error, Self::DOING).into())
        })
        .await?;
        Ok(Self {
            store,
            cursor,
            current: None,
            foreign: 0,
            cancel,
        })
    }

    fn id(&self) -> Option<EventId> {
        self.current
    }

    fn current(&self) -> &RawDocument {
        self.cursor.current()
    }

    fn take_foreign(&mut self) -> u64 {
        std::mem::take(&mut self.foreign)
    }

    /// On to the next document whose `_id` is a UUID.
    async fn advance(&mut self) -> Result<(), VerifyError> {
        let last = self.current.take();
        loop {
            let (store, cursor) = (self.store, &mut self.cursor);
            let more = next(Self::SIDE, self.cancel, async {
                let more = cursor.advance().await;
                more.map_err(|error| store.failed(&error, Self::DOING).into())
            })
            .await?;
            if !more {
                return Ok(());
            }
            let Some(id) = document_id(self.cursor.current()) else {
                self.foreign += 1;
                continue;
            };
            if last.is_some_and(|last| last >= id) {
                return Err(VerifyError::OutOfOrder {
                    side: Self::SIDE,
                    id,
                });
            }
            self.current = Some(id);
            return Ok(());
        }
    }
}

/// Counts what the merge finds.
#[derive(Default)]
struct Tally {
    same: u64,
    missing: u64,
    extra: u64,
    differing: u64,
    first_missing: Vec<EventId>,
    first_extra: Vec<EventId>,
    first_differing: Vec<Difference>,
}

impl Tally {
    /// How many events were looked at.
    fn all(&self) -> u64 {
        self.same + self.missing + self.extra + self.differing
    }

    fn missing(&mut self, id: EventId) {
        self.missing += 1;
        if self.first_missing.len() < MOST_LISTED {
            self.first_missing.push(id);
        }
    }

    fn extra(&mut self, id: EventId) {
        self.extra += 1;
        if self.first_extra.len() < MOST_LISTED {
            self.first_extra.push(id);
        }
    }

    fn foreign(&mut self, count: u64) {
        self.extra += count;
    }

    fn pair(
        &mut self,
        id: EventId,
        expected: Result<RawDocumentBuf, DocumentError>,
        stored: &RawDocument,
    ) {
        let fields = match expected {
            Ok(expected) => differences(&expected, stored, &NOT_COMPARED),
            // The row gives no document, and yet there is one.
            Err(error) => vec![FieldDifference {
                path: "data".to_owned(),
                postgres: Some(error.to_string()),
                store: Some("a document".to_owned()),
            }],
        };
        if fields.is_empty() {
            self.same += 1;
            return;
        }
        self.differing += 1;
        if self.first_differing.len() < MOST_LISTED {
            self.first_differing.push(Difference { id, fields });
        }
    }

    #[allow(clippy::cast_precision_loss)] // a percentage of counts far below 2^53
    fn into_verification(self) -> Verification {
        let both = self.same + self.differing;
        let (postgres_count, store_count) = (both + self.missing, both + self.extra);
        let larger = postgres_count.max(store_count);
        Verification {
            postgres_count,
            store_count,
            missing: self.missing,
            extra: self.extra,
            differing: self.differing,
            match_percent: if larger == 0 {
                100.0
            } else {
                self.same as f64 * 100.0 / larger as f64
            },
            first_missing: self.first_missing,
            first_extra: self.first_extra,
            first_differing: self.first_differing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    #[test]
    fn nothing_on_both_sides_matches() {
        let found = Tally::default().into_verification();
        assert!(found.is_match());
        assert!((found.match_percent - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn findings_are_counted_all_and_listed_first() {
        let raw = |document| RawDocumentBuf::try_from(&document).unwrap();
        let mut tally = Tally::default();
        for n in 0..30 {
            tally.missing(id(n));
        }
        tally.extra(id(100));
        tally.foreign(2);
        for n in 0..65 {
            let stored = raw(doc! { "a": 1, "source": n });
            tally.pair(id(200), Ok(raw(doc! { "a": 1, "source": null })), &stored);
        }
        for _ in 0..5 {
            tally.pair(id(300), Ok(raw(doc! { "a": 1 })), &raw(doc! { "a": 2 }));
        }
        let found = tally.into_verification();
        assert_eq!((found.postgres_count, found.store_count), (100, 73));
        assert_eq!((found.missing, found.extra, found.differing), (30, 3, 5));
        assert_eq!(
            (found.first_missing.len(), found.first_extra.len()),
            (20, 1)
        );
        assert_eq!(found.first_differing[0].fields[0].path, "a");
        assert!((found.match_percent - 65.0).abs() < 1e-9);
        assert!(!found.is_match());
    }
}
