//! The store's documents in the order of their ids.

use mongodb::Cursor;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};
use tokio_util::sync::CancellationToken;

use super::Scope;
use super::error::{SIDE_LIMIT, VerifyError, limit_of_first, next};
use crate::store::{MongoStore, document_id};
use cdc_bench_model::event::EventId;

/// Documents per round trip to the store.
const DOCUMENTS_PER_BATCH: u32 = 1_000;

/// The store's side.
pub(super) struct DocumentCursor<'c> {
    store: &'c MongoStore,
    cursor: Cursor<RawDocumentBuf>,
    current: Option<EventId>,
    /// Documents skipped since the last [`DocumentCursor::take_foreign`], whose `_id` is not a UUID.
    foreign: u64,
    cancel: &'c CancellationToken,
}

impl<'c> DocumentCursor<'c> {
    const SIDE: &'static str = "the store";
    const DOING: &'static str = "read events";

    /// Opens it beside so many rows.
    pub async fn open(
        store: &'c MongoStore,
        (scope, rows): (&Scope, u64),
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
            .batch_size(DOCUMENTS_PER_BATCH);
        let limit = limit_of_first(rows);
        let cursor = next(Self::SIDE, limit, cancel, async {
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

    pub fn id(&self) -> Option<EventId> {
        self.current
    }

    pub fn current(&self) -> &RawDocument {
        self.cursor.current()
    }

    pub fn take_foreign(&mut self) -> u64 {
        std::mem::take(&mut self.foreign)
    }

    /// Moves to the next document whose `_id` is a UUID.
    pub async fn advance(&mut self) -> Result<(), VerifyError> {
        let last = self.current.take();
        loop {
            let (store, cursor) = (self.store, &mut self.cursor);
            let more = next(Self::SIDE, SIDE_LIMIT, self.cancel, async {
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
