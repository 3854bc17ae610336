//! Takes what the reader reads, on the reader's thread.

use super::outlet::Outlet;
use super::state::CaptureState;
use crate::pipeline::run::ack_tracker::AckUnit;
use pgcdc::{Change, Event, Lsn, Operation, PlannedTable};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The reader's handler.
pub(super) struct Handler {
    pub(super) outlet: Outlet,
    pub(super) until: Option<Lsn>,
    pub(super) max: Option<u64>,
    /// Whether a later capture goes on where this one ends.
    pub(super) is_acknowledged: bool,
    pub(super) state: Arc<CaptureState>,
}

impl Handler {
    pub(super) fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        if !matches!(event, Event::Snapshot(_)) {
            self.state.has_received.store(true, Ordering::Relaxed);
        }
        match event {
            Event::Begin(transaction) => {
                // The order matters: either the job sees that a transaction has begun, or we see that the job is stopping.
                self.state.in_transaction.store(true, Ordering::SeqCst);
                let is_over = self.state.stopping.load(Ordering::SeqCst)
                    || self.until.is_some_and(|lsn| transaction.commit_lsn >= lsn);
                if is_over {
                    self.state.in_transaction.store(false, Ordering::SeqCst);
                    return self.finish();
                }
                ControlFlow::Continue(())
            }
            Event::Message(message) => {
                if self.outlet.message(&message).is_break() {
                    return self.finish();
                }
                match message.transaction {
                    Some(_) => ControlFlow::Continue(()),
                    // It is a unit of its own.
                    None => self.outlet.end_unit(AckUnit::Transaction(message.lsn)),
                }
            }
            Event::Change(change) => self.change(&change),
            Event::Snapshot(plan) => {
                let estimate = |table: &PlannedTable| table.estimated_rows.unwrap_or(0);
                let rows = plan.tables.iter().map(estimate).sum();
                self.state.rows_to_copy.store(rows, Ordering::Relaxed);
                let tables = plan.tables.len();
                self.state.tables_to_copy.store(tables, Ordering::Relaxed);
                ControlFlow::Continue(())
            }
            Event::CopiedChunk(copied) => {
                let name = copied.relation.table_name();
                let chunk = copied.chunk.clone();
                self.outlet.end_unit(AckUnit::Chunk(name, chunk))
            }
            Event::Copied(table) => {
                let left = &self.state.tables_to_copy;
                left.store(table.left, Ordering::Relaxed);
                let name = table.relation.table_name();
                self.outlet.end_unit(AckUnit::Copy(name, table.point))?;
                self.stop_at_max()
            }
            Event::Commit(commit) => {
                if self.outlet.commit(&commit).is_break() {
                    return self.finish();
                }
                self.outlet.end_unit(AckUnit::Transaction(commit.end_lsn))?;
                self.state.in_transaction.store(false, Ordering::SeqCst);
                self.stop_at_max()?;
                self.stop_at(commit.end_lsn)
            }
            Event::Idle(lsn) => self.stop_at(lsn),
            // The reader is not asked for them: a transaction comes when it has committed.
            Event::Prepare(_) | Event::CommitPrepared(_) | Event::RollbackPrepared(_) => {
                ControlFlow::Continue(())
            }
            // Each of Debezium's events has the shape of its row.
            Event::Schema(_) => ControlFlow::Continue(()),
        }
    }

    pub(super) fn change(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        match self.outlet.change(change) {
            Ok(ControlFlow::Continue(())) => {}
            // What was delivered before is acknowledged, so that it is not sent again at each start.
            Ok(ControlFlow::Break(())) => return self.finish(),
            Err(encode_error) => {
                // The first error ends the capture.
                let _ = self.state.encode_error.set(encode_error);
                return self.finish();
            }
        }
        let changes = self.state.changes.fetch_add(1, Ordering::Relaxed) + 1;
        let at = change.transaction.commit_time.0;
        self.state.commit_time.store(at, Ordering::Relaxed);
        // The copy of a table is acknowledged at its end; where nothing is acknowledged, the row itself may be the last.
        let is_row = matches!(change.operation, Operation::Read(_));
        if is_row && !self.is_acknowledged && self.max.is_some_and(|max| changes >= max) {
            return self.finish();
        }
        ControlFlow::Continue(())
    }

    /// Ends after the transaction, or the copy of a table, in which the last change that was asked for came.
    fn stop_at_max(&mut self) -> ControlFlow<()> {
        let changes = self.state.changes.load(Ordering::Relaxed);
        if self.max.is_some_and(|max| changes >= max) {
            return self.finish();
        }
        ControlFlow::Continue(())
    }

    pub(super) fn stop_at(&mut self, lsn: Lsn) -> ControlFlow<()> {
        if self.until.is_some_and(|until| lsn >= until) {
            return self.finish();
        }
        ControlFlow::Continue(())
    }

    /// Flushes and acknowledges everything, so that the reader's last status update to the server includes it.
    pub(super) fn finish(&mut self) -> ControlFlow<()> {
        self.state.wait_for_acknowledger();
        self.outlet.flush()?;
        ControlFlow::Break(())
    }
}
