//! Batches.

use crate::event::owned::{OwnedChange, OwnedEvent};
use crate::{CopyChunk, Lsn, TableName};

/// Events for a sink: complete transactions and messages, rows of an initial copy, or a part of a transaction that is larger than
/// a batch. Without [`OwnedEvent::Idle`].
#[derive(Debug, Clone, Default)]
pub struct Batch {
    events: Vec<OwnedEvent>,
    /// Changes.
    rows: usize,
    bytes: usize,
    /// Position after the last complete transaction or message.
    end: Option<Lsn>,
    /// Whether it begins within a transaction.
    is_continued: bool,
    /// Whether a transaction is open at its end.
    is_open: bool,
    /// Number of events up to the last place where no transaction is open.
    complete: usize,
}

impl Batch {
    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[OwnedEvent] {
        &self.events
    }

    /// The changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = &OwnedChange> {
        self.events.iter().filter_map(|event| match event {
            OwnedEvent::Change(change) => Some(change),
            _ => None,
        })
    }

    /// Number of changes.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it begins within a transaction, which is larger than a batch.
    #[must_use]
    pub fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// The position that a sink stores with the batch, to go on from. `None` while a transaction is open at the batch's end, which
    /// is larger than a batch: a sink that writes exactly once keeps its own transaction open until the batch with its end. `None`,
    /// too, for rows of an initial copy.
    #[must_use]
    pub fn position(&self) -> Option<Lsn> {
        self.end.filter(|_| !self.is_open)
    }

    /// Tables whose initial copy is complete with this batch, and its position.
    pub(super) fn copied(&self) -> impl Iterator<Item = (TableName, Lsn)> {
        self.events.iter().filter_map(|event| match event {
            OwnedEvent::Copied(table) => Some((table.relation.table_name(), table.point)),
            _ => None,
        })
    }

    /// Chunks of tables that were copied with this batch.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (TableName, CopyChunk)> {
        self.events.iter().filter_map(|event| match event {
            OwnedEvent::CopiedChunk(chunk) => {
                Some((chunk.relation.table_name(), chunk.chunk.clone()))
            }
            _ => None,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Position after its last complete transaction.
    pub(super) fn end(&self) -> Option<Lsn> {
        self.end
    }

    /// Whether no transaction is open at its end.
    pub(super) fn is_at_boundary(&self) -> bool {
        !self.is_open
    }

    pub(super) fn push(&mut self, event: OwnedEvent) {
        match &event {
            OwnedEvent::Idle(_) => return,
            OwnedEvent::Begin(_) => self.is_open = true,
            OwnedEvent::Commit(commit) => {
                self.is_open = false;
                self.end = Some(commit.end_lsn);
            }
            OwnedEvent::Prepare(prepare) => {
                self.is_open = false;
                self.end = Some(prepare.end_lsn);
            }
            OwnedEvent::CommitPrepared(end) => self.end = Some(end.end_lsn),
            OwnedEvent::RollbackPrepared(end) => self.end = Some(end.end_lsn),
            OwnedEvent::Message(message) if message.transaction.is_none() => {
                self.end = Some(message.lsn);
            }
            OwnedEvent::Change(_) => self.rows += 1,
            _ => {}
        }
        self.bytes += event.size();
        self.events.push(event);
        if !self.is_open {
            self.complete = self.events.len();
        }
    }

    /// Takes what was collected up to the end of a transaction; of one that is larger than that, a part.
    pub(super) fn take(&mut self) -> Self {
        let is_part = self.complete == 0;
        let rest = match is_part {
            true => Vec::new(),
            false => self.events.split_off(self.complete),
        };
        let next = Self {
            is_continued: is_part && self.is_open,
            is_open: self.is_open && is_part,
            ..Self::default()
        };
        let mut taken = std::mem::replace(self, next);
        for event in rest {
            taken.forget(&event);
            self.push(event);
        }
        taken
    }

    /// An event that was taken out is not counted.
    fn forget(&mut self, event: &OwnedEvent) {
        self.bytes -= event.size();
        self.rows -= usize::from(matches!(event, OwnedEvent::Change(_)));
        self.is_open = false;
    }

    /// Removes the transactions that a sink has up to this position.
    pub(super) fn remove_up_to(&mut self, position: Lsn) {
        let has = |event: &OwnedEvent| match event {
            OwnedEvent::Commit(commit) => commit.end_lsn <= position,
            OwnedEvent::Prepare(prepare) => prepare.end_lsn <= position,
            OwnedEvent::CommitPrepared(end) => end.end_lsn <= position,
            OwnedEvent::RollbackPrepared(end) => end.end_lsn <= position,
            OwnedEvent::Message(message) => {
                message.transaction.is_none() && message.lsn <= position
            }
            _ => false,
        };
        let Some(last) = self.events.iter().rposition(has) else {
            return;
        };
        let rest = self.events.split_off(last + 1);
        *self = Self::default();
        for event in rest {
            self.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::owned::{OwnedCommit, OwnedPrepare, OwnedRollbackPrepared};
    use crate::{OwnedMessage, Transaction, UnixNanos, Xid};

    fn transaction(lsn: u64) -> Arc<Transaction> {
        Arc::new(Transaction {
            xid: Xid(1),
            commit_lsn: Lsn(lsn),
            commit_time: UnixNanos(0),
            previous: None,
            origin: None,
            gid: None,
        })
    }

    fn message(lsn: u64) -> OwnedEvent {
        OwnedEvent::Message(OwnedMessage {
            transaction: Some(transaction(lsn)),
            lsn: Lsn(lsn),
            index: 0,
            prefix: String::new(),
            content: bytes::Bytes::new(),
            received: UnixNanos(0),
        })
    }

    fn commit(lsn: u64) -> OwnedEvent {
        OwnedEvent::Commit(OwnedCommit {
            transaction: transaction(lsn),
            end_lsn: Lsn(lsn),
            events: 1,
        })
    }

    fn batch(events: Vec<OwnedEvent>) -> Batch {
        let mut batch = Batch::default();
        for event in events {
            batch.push(event);
        }
        batch
    }

    #[test]
    fn a_batch_ends_with_a_transaction_unless_one_alone_is_larger() {
        let begin = || OwnedEvent::Begin(transaction(2));
        let mut collected = batch(vec![begin(), message(1), commit(1), begin(), message(2)]);
        let size = collected.bytes();
        let first = collected.take();
        assert_eq!((first.events().len(), first.position()), (3, Some(Lsn(1))));
        assert_eq!((collected.events().len(), collected.position()), (2, None));
        assert_eq!(first.bytes() + collected.bytes(), size);
        let part = collected.take();
        assert_eq!((part.events().len(), part.position()), (2, None));
        assert!(!part.is_continued());
        collected.push(message(2));
        collected.push(commit(2));
        let last = collected.take();
        assert!(last.is_continued());
        assert_eq!(last.position(), Some(Lsn(2)));
        assert!(!collected.is_continued() && collected.is_at_boundary());
    }

    #[test]
    fn a_prepared_transaction_ends_with_its_prepare_and_its_outcome_has_a_position() {
        let prepare = OwnedEvent::Prepare(OwnedPrepare {
            transaction: transaction(2),
            gid: "g".to_owned(),
            end_lsn: Lsn(2),
            events: 1,
        });
        let rolled_back = OwnedEvent::RollbackPrepared(OwnedRollbackPrepared {
            gid: "g".to_owned(),
            xid: Xid(1),
            prepare_end_lsn: Lsn(2),
            end_lsn: Lsn(3),
            rollback_time: UnixNanos(0),
        });
        let begin = OwnedEvent::Begin(transaction(2));
        let mut both = batch(vec![begin, message(1), prepare]);
        assert_eq!(both.position(), Some(Lsn(2)));
        both.push(rolled_back);
        assert_eq!(both.position(), Some(Lsn(3)));
        both.remove_up_to(Lsn(2));
        assert_eq!((both.events().len(), both.position()), (1, Some(Lsn(3))));
    }

    #[test]
    fn what_a_sink_has_is_removed() {
        let begin = || OwnedEvent::Begin(transaction(2));
        let mut two = batch(vec![
            begin(),
            message(1),
            commit(1),
            begin(),
            message(2),
            commit(2),
        ]);
        two.remove_up_to(Lsn(0));
        assert_eq!(two.events().len(), 6);
        two.remove_up_to(Lsn(1));
        assert_eq!((two.events().len(), two.position()), (3, Some(Lsn(2))));
        two.remove_up_to(Lsn(2));
        assert!(two.is_empty());
    }
}
