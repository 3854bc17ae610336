//! A reader as a stream of transactions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use crate::delivery::acknowledger::Acknowledger;
use crate::event::owned::{
    OwnedChange, OwnedChunk, OwnedCommit, OwnedCommitPrepared, OwnedCopy, OwnedEvent, OwnedMessage,
    OwnedPrepare, OwnedRollbackPrepared, OwnedSchemaChange,
};
use crate::event::{Operation, Transaction};
use crate::event_stream::events::Events;
use crate::reader::Reader;
use crate::reader::config::ReaderConfig;
use crate::reader::stats::ReaderStats;
use crate::snapshot::SnapshotPlan;
use crate::{Lsn, ReaderError};

/// Most of a transaction that is one item: one that is larger comes in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimit {
    /// Changes and messages.
    pub events: usize,
    /// Bytes of them; a single one may be larger.
    pub bytes: usize,
}

impl Default for PartLimit {
    /// 10,000 changes and messages, 16 MiB.
    fn default() -> Self {
        Self {
            events: 10_000,
            bytes: 16 << 20,
        }
    }
}

/// An item of [`Transactions`].
#[derive(Debug, Clone)]
pub enum TransactionItem {
    /// A transaction, or a part of a large one.
    Transaction(OwnedTransaction),
    /// A message outside of transactions. It is acknowledged at its own position.
    Message(OwnedMessage),
    /// Everything before this position was delivered.
    Idle(Lsn),
    /// An initial copy begins, as [`Event::Snapshot`](crate::Event::Snapshot).
    Snapshot(Arc<SnapshotPlan>),
    /// Rows of an initial copy, of any of its tables.
    Rows(Vec<OwnedChange>),
    /// A chunk of a table was copied, as [`Event::CopiedChunk`](crate::Event::CopiedChunk).
    CopiedChunk(OwnedChunk),
    /// The initial copy of a table is complete.
    Copied(OwnedCopy),
    /// A transaction that was prepared before has committed.
    CommitPrepared(OwnedCommitPrepared),
    /// A transaction that was prepared before was rolled back.
    RollbackPrepared(OwnedRollbackPrepared),
    /// The description of a table whose copied rows follow. One within a transaction is a [`TransactionEvent`].
    Schema(OwnedSchemaChange),
}

/// A transaction, or a part of it.
#[derive(Debug, Clone)]
pub struct OwnedTransaction {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// Number of parts before this one.
    pub part: u64,
    /// Changes and messages, in order.
    pub events: Vec<TransactionEvent>,
    /// Its end, with the last part.
    pub commit: Option<OwnedCommit>,
    /// Its end, if it was prepared ([`ReaderConfig::two_phase`]): with the last part, instead of `commit`.
    pub prepare: Option<OwnedPrepare>,
}

/// What a transaction consists of.
#[derive(Debug, Clone)]
pub enum TransactionEvent {
    /// A change.
    Change(OwnedChange),
    /// A message.
    Message(OwnedMessage),
    /// A table's new description, before its first change.
    Schema(OwnedSchemaChange),
}

impl OwnedTransaction {
    /// Whether the transaction is complete with this part.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.commit.is_some() || self.prepare.is_some()
    }

    /// The changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = &OwnedChange> {
        self.events.iter().filter_map(|event| match event {
            TransactionEvent::Change(change) => Some(change),
            TransactionEvent::Message(_) | TransactionEvent::Schema(_) => None,
        })
    }
}

/// The transactions of a reader, as a [`Stream`]: see [`Reader::transactions`]. What [`Events`] says of its end, of dropped futures
/// and of dropping the stream holds here, too. A transaction that the reader's error cuts off comes again when it is read anew.
#[derive(Debug)]
pub struct Transactions {
    events: Events,
    limit: PartLimit,
    /// What was taken of the transaction or the copy in progress.
    open: Open,
    /// Bytes of it.
    bytes: usize,
    /// An event that comes after what was in progress.
    next: Option<OwnedEvent>,
}

#[derive(Debug)]
enum Open {
    Nothing,
    Transaction(OwnedTransaction),
    Rows(Vec<OwnedChange>),
}

impl Reader {
    /// Opens the stream as [`Reader::events`] does, and puts its transactions together. Memory is bounded: a transaction beyond the
    /// limit comes in parts.
    ///
    /// # Errors
    /// As [`Reader::spawn`].
    pub async fn transactions(
        config: ReaderConfig,
        limit: PartLimit,
    ) -> Result<Transactions, ReaderError> {
        Ok(Transactions {
            events: Self::events(config).await?,
            limit,
            open: Open::Nothing,
            bytes: 0,
            next: None,
        })
    }
}

impl Transactions {
    /// The next item; `None` after the last one.
    ///
    /// # Errors
    /// The error that the reader has ended with, once.
    pub async fn next(&mut self) -> Option<Result<TransactionItem, ReaderError>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    /// Acknowledges transactions and copied tables.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        self.events.acknowledger()
    }

    /// Stops the reader, as [`Events::stop`].
    ///
    /// # Errors
    /// As [`Events::stop`].
    pub async fn stop(self) -> Result<ReaderStats, ReaderError> {
        self.events.stop().await
    }

    fn poll_item(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<TransactionItem, ReaderError>>> {
        loop {
            let event = match self.next.take() {
                Some(event) => event,
                None => match ready!(self.events.poll_event(context)) {
                    Some(Ok(event)) => event,
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                },
            };
            if let Some(item) = self.take(event) {
                return Poll::Ready(Some(Ok(item)));
            }
        }
    }

    /// Takes an event; the item that is complete with it.
    fn take(&mut self, event: OwnedEvent) -> Option<TransactionItem> {
        let is_row = matches!(&event, OwnedEvent::Change(change) if matches!(change.operation, Operation::Read(_)));
        if !is_row && let Some(rows) = self.close_rows() {
            self.next = Some(event);
            return Some(rows);
        }
        self.bytes += event.size();
        match event {
            OwnedEvent::Begin(transaction) => {
                self.begin(transaction, 0);
                None
            }
            OwnedEvent::Change(change) if is_row => {
                if !matches!(self.open, Open::Rows(_)) {
                    self.open = Open::Rows(Vec::new());
                    self.bytes = 0;
                }
                if let Open::Rows(rows) = &mut self.open {
                    rows.push(change);
                }
                self.part_if_full()
            }
            OwnedEvent::Change(change) => self.add(TransactionEvent::Change(change)),
            OwnedEvent::Message(message) if message.transaction.is_none() => {
                Some(TransactionItem::Message(message))
            }
            OwnedEvent::Message(message) => self.add(TransactionEvent::Message(message)),
            OwnedEvent::Commit(commit) => {
                let mut transaction = self.close_transaction()?;
                transaction.commit = Some(commit);
                Some(TransactionItem::Transaction(transaction))
            }
            OwnedEvent::Prepare(prepare) => {
                let mut transaction = self.close_transaction()?;
                transaction.prepare = Some(prepare);
                Some(TransactionItem::Transaction(transaction))
            }
            OwnedEvent::CommitPrepared(end) => Some(TransactionItem::CommitPrepared(end)),
            OwnedEvent::RollbackPrepared(end) => Some(TransactionItem::RollbackPrepared(end)),
            OwnedEvent::CopiedChunk(chunk) => Some(TransactionItem::CopiedChunk(chunk)),
            OwnedEvent::Idle(lsn) => Some(TransactionItem::Idle(lsn)),
            OwnedEvent::Snapshot(plan) => Some(TransactionItem::Snapshot(plan)),
            OwnedEvent::Copied(table) => Some(TransactionItem::Copied(table)),
            OwnedEvent::Schema(change) if matches!(self.open, Open::Transaction(_)) => {
                self.add(TransactionEvent::Schema(change))
            }
            OwnedEvent::Schema(change) => Some(TransactionItem::Schema(change)),
        }
    }

    fn begin(&mut self, transaction: Arc<Transaction>, part: u64) {
        self.bytes = 0;
        self.open = Open::Transaction(OwnedTransaction {
            transaction,
            part,
            events: Vec::new(),
            commit: None,
            prepare: None,
        });
    }

    fn add(&mut self, event: TransactionEvent) -> Option<TransactionItem> {
        if let Open::Transaction(open) = &mut self.open {
            open.events.push(event);
        }
        self.part_if_full()
    }

    /// What is in progress, if it is as large as a part may be.
    fn part_if_full(&mut self) -> Option<TransactionItem> {
        let events = match &self.open {
            Open::Nothing => return None,
            Open::Transaction(open) => open.events.len(),
            Open::Rows(rows) => rows.len(),
        };
        if events < self.limit.events && self.bytes < self.limit.bytes {
            return None;
        }
        if let Some(rows) = self.close_rows() {
            return Some(rows);
        }
        let part = self.close_transaction()?;
        self.begin(Arc::clone(&part.transaction), part.part + 1);
        Some(TransactionItem::Transaction(part))
    }

    fn close_rows(&mut self) -> Option<TransactionItem> {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Rows(rows) => Some(TransactionItem::Rows(rows)),
            open => {
                self.open = open;
                None
            }
        }
    }

    fn close_transaction(&mut self) -> Option<OwnedTransaction> {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Transaction(transaction) => Some(transaction),
            open => {
                self.open = open;
                None
            }
        }
    }
}

impl Stream for Transactions {
    type Item = Result<TransactionItem, ReaderError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(context)
    }
}
