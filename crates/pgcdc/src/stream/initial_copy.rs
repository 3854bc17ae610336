//! Runs the initial copy before the stream, and repeats it for the remaining tables when a connection breaks.

use tokio_util::sync::CancellationToken;

use super::ack_writer::AckWriter;
use super::back_off::BackOff;
use super::lookup::CatalogueLookup;
use crate::ReaderError;
use crate::delivery::{Delivery, Flow};
use crate::event::Event;
use crate::reader::companion::Companion;
use crate::reader::config::ReaderConfig;
use crate::reader::metrics::ReaderMetrics;
use crate::reader::stopping::unless_stopped;
use crate::snapshot::{CopiesInProgress, PublishedTable, SnapshotCopy};

/// What an initial copy works with.
pub(super) struct InitialCopy<'a, H> {
    pub(super) config: &'a ReaderConfig,
    pub(super) delivery: &'a mut Delivery<H>,
    pub(super) lookup: &'a mut CatalogueLookup,
    pub(super) acks: &'a mut AckWriter,
    pub(super) companion: &'a mut Companion,
    pub(super) metrics: &'a ReaderMetrics,
    pub(super) stop: CancellationToken,
    /// What was delivered of the tables that are not complete.
    pub(super) progress: CopiesInProgress,
}

impl<H: FnMut(Event<'_>) -> Flow> InitialCopy<'_, H> {
    /// Copies tables. When a connection breaks, the tables that are not complete are copied in another snapshot, from their
    /// beginning or on from the chunks that were delivered.
    pub(super) async fn run(
        mut self,
        mut tables: Vec<PublishedTable>,
    ) -> Result<Flow, ReaderError> {
        let mut back_off = BackOff::new();
        loop {
            let rows_before = self.delivery.stats.copied_rows;
            let error = match self.attempt(&tables).await {
                Err(error) if !error.is_permanent() => error,
                ended => return ended,
            };
            if self.delivery.stats.copied_rows > rows_before {
                back_off.reset();
            }
            let pause = back_off.pause();
            tracing::warn!(%error, "the initial copy broke; trying again in {} ms", pause.as_millis());
            tokio::select! {
                () = self.stop.cancelled() => return Ok(Flow::Break(())),
                () = tokio::time::sleep(pause) => {}
            }
            tables.retain(|table| !self.delivery.is_copied(table.name()));
        }
    }

    async fn attempt(&mut self, tables: &[PublishedTable]) -> Result<Flow, ReaderError> {
        let stop = self.stop.clone();
        for table in tables {
            self.lookup
                .add_types(&table.description(), &mut self.delivery.relations)
                .await?;
        }
        let begin = SnapshotCopy::begin(self.config, tables, &self.progress, self.delivery, &stop);
        let begun = unless_stopped(&stop, begin).await;
        // What a stop has interrupted is no failure.
        let (mut copy, plan) = match begun {
            Some(begun) if !stop.is_cancelled() => begun?,
            _ => return Ok(Flow::Break(())),
        };
        self.acks.copies_begin(&copy.progress())?;
        if self.delivery.snapshot_begins(&plan).is_break() {
            return Ok(Flow::Break(()));
        }
        let ended = self.deliver(&mut copy).await;
        self.progress = copy.progress();
        ended
    }

    async fn deliver(&mut self, copy: &mut SnapshotCopy<'_>) -> Result<Flow, ReaderError> {
        let stop = self.stop.clone();
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Flow::Break(())),
                error = self.companion.failed() => return Err(error),
                next = copy.next(self.delivery) => next?,
            };
            self.acks.store()?;
            let position = self.delivery.resume_lsn();
            self.metrics
                .set_delivered(&self.delivery.stats, position, None);
            match next {
                Some(Flow::Continue(())) => {}
                Some(Flow::Break(())) => return Ok(Flow::Break(())),
                None => return Ok(Flow::Continue(())),
            }
        }
    }
}
