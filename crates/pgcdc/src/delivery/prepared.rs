//! Delivery of transactions that are prepared, and of how they end.

use super::{Delivery, Flow, deliver_begin};
use crate::event::prepared::{CommitPrepared, RollbackPrepared};
use crate::event::{Event, Prepare, Transaction};
use crate::pgoutput::{CommitPreparedMessage, PrepareMessage, RollbackPreparedMessage};
use crate::reader::config::Acknowledge;
use crate::{Lsn, ReaderError, UnixNanos, Xid};

impl<H: FnMut(Event<'_>) -> Flow> Delivery<H> {
    pub(super) fn prepared_begins(
        &mut self,
        message: &PrepareMessage<'_>,
    ) -> Result<(), ReaderError> {
        self.replay.begin(Transaction {
            xid: Xid(message.xid),
            commit_lsn: Lsn(message.prepare_lsn),
            commit_time: UnixNanos::from_postgres_micros(message.prepare_time_us),
            previous: self.replay.last_end_lsn(),
            origin: None,
            gid: Some(message.gid.to_owned()),
        })
    }

    /// The transaction in progress is prepared. It is delivered also when it has no events: its end names it.
    pub(super) fn is_prepared(&mut self, message: &PrepareMessage<'_>) -> Flow {
        let end_lsn = Lsn(message.end_lsn);
        self.stats.last_lsn = end_lsn;
        let Some(mut open) = self.replay.end_prepared(end_lsn) else {
            return Flow::Continue(());
        };
        deliver_begin(&mut open, &mut self.handler)?;
        let flow = (self.handler)(Event::Prepare(Prepare {
            transaction: &open.transaction,
            gid: message.gid,
            end_lsn,
            events: open.events(),
        }));
        self.unit_is_delivered(end_lsn);
        flow
    }

    pub(super) fn prepared_commits(
        &mut self,
        message: &CommitPreparedMessage<'_>,
    ) -> Result<Flow, ReaderError> {
        let event = Event::CommitPrepared(CommitPrepared {
            gid: message.gid,
            xid: Xid(message.xid),
            commit_lsn: Lsn(message.commit_lsn),
            end_lsn: Lsn(message.end_lsn),
            commit_time: UnixNanos::from_postgres_micros(message.commit_time_us),
        });
        self.prepared_ends(Lsn(message.end_lsn), event)
    }

    pub(super) fn prepared_rolls_back(
        &mut self,
        message: &RollbackPreparedMessage<'_>,
    ) -> Result<Flow, ReaderError> {
        let event = Event::RollbackPrepared(RollbackPrepared {
            gid: message.gid,
            xid: Xid(message.xid),
            prepare_end_lsn: Lsn(message.prepare_end_lsn),
            end_lsn: Lsn(message.end_lsn),
            rollback_time: UnixNanos::from_postgres_micros(message.rollback_time_us),
        });
        self.prepared_ends(Lsn(message.end_lsn), event)
    }

    fn prepared_ends(&mut self, end_lsn: Lsn, event: Event<'_>) -> Result<Flow, ReaderError> {
        if !self.replay.prepared_ends(end_lsn)? {
            return Ok(Flow::Continue(()));
        }
        self.stats.transactions += 1;
        self.stats.last_lsn = end_lsn;
        let flow = (self.handler)(event);
        self.unit_is_delivered(end_lsn);
        Ok(flow)
    }

    /// A prepare, or the end of a prepared transaction, was delivered: like a commit it is a unit by itself.
    fn unit_is_delivered(&mut self, end_lsn: Lsn) {
        self.replay.commit_delivered(end_lsn);
        if self.mode == Acknowledge::OnReturn {
            self.acknowledger.note(end_lsn);
        }
    }
}
