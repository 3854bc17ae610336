//! The merge of rows and documents by event id.

use std::cmp::Ordering;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::document_cursor::DocumentCursor;
use super::row_cursor::RowCursor;
use super::tally::VerificationTally;
use super::{Scope, StoreVerification, VerifyError};
use crate::store::MongoStore;

/// Progress is reported every this many events.
const PROGRESS_EVERY: u64 = 1_000;

/// Compares every row in scope with its document, and the other way round.
///
/// `pg` serves nothing else until the end. Rows inserted meanwhile are not read, documents written meanwhile may be:
/// verify when no event is in flight. `compared` is called now and then with the number of events compared.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(
    pg: &Client,
    store: &MongoStore,
    scope: Scope,
    compared: &(dyn Fn(u64) + Sync),
    cancel: CancellationToken,
) -> Result<StoreVerification, VerifyError> {
    let count = RowCursor::count(pg, &scope, &cancel).await?;
    let mut rows = RowCursor::open(pg, &scope, &cancel).await?;
    let mut documents = DocumentCursor::open(store, (&scope, count), &cancel).await?;
    let mut tally = VerificationTally::default();
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
        if tally.all().is_multiple_of(PROGRESS_EVERY) {
            compared(tally.all());
        }
    }
}
