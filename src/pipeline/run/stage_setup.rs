//! Configuration of the consumer's stage, and a record source that ends.

use std::num::NonZero;
use std::time::Duration;

use crate::consumer::StageConfig;
use crate::records::{RecordBatch, RecordSource, Topics};
use crate::settings::Settings;

/// Longest outage of the store before a consumer gives up.
const STORE_OUTAGE: Duration = Duration::from_secs(120);

/// A record source that ends after a number of records, or when none arrives for a while.
pub(crate) struct Bounded<R> {
    inner: R,
    left: Option<u64>,
    idle: Option<Duration>,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, max: Option<u64>, idle: Option<Duration>) -> Self {
        Self {
            inner,
            left: max,
            idle,
        }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Cuts a batch to the number of records that is left.
    fn count(&mut self, records: Option<RecordBatch>) -> Option<RecordBatch> {
        let mut records = records?;
        if let Some(left) = &mut self.left {
            records.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= u64::try_from(records.len()).unwrap_or(0);
        }
        Some(records)
    }
}

impl<R: RecordSource> RecordSource for Bounded<R> {
    async fn recv(&mut self) -> Option<RecordBatch> {
        if self.left == Some(0) {
            return None;
        }
        let records = match self.idle {
            Some(idle) => tokio::time::timeout(idle, self.inner.recv())
                .await
                .ok()
                .flatten(),
            None => self.inner.recv().await,
        };
        self.count(records)
    }

    fn written(&mut self, partition: i32, offset: i64) {
        self.inner.written(partition, offset);
    }
}

pub(crate) fn stage_config(topics: Topics, settings: &Settings) -> StageConfig {
    StageConfig {
        topics,
        batch_size: settings.batch_size,
        writes_in_flight: settings.writes_in_flight,
        workers: std::thread::available_parallelism().map_or(1, NonZero::get),
        store_outage: STORE_OUTAGE,
    }
}
