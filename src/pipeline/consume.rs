//! Kafka's records as the processing stage takes them.

use std::time::Duration;

use crate::broker::Records;
use crate::config::Settings;
use crate::consumer::{Record, RecordSource, StageConfig};

/// Longest time the store may be away before a consumer gives up.
const STORE_OUTAGE: Duration = Duration::from_secs(120);

/// Kafka's records as the stage takes them.
pub(crate) struct KafkaSource(pub(crate) Records);

impl RecordSource for KafkaSource {
    async fn recv(&mut self) -> Option<Record> {
        self.0.recv().await.map(record)
    }

    fn try_recv(&mut self) -> Option<Record> {
        self.0.try_recv().map(record)
    }

    fn written(&mut self, partition: i32, offset: i64) {
        self.0.written(partition, offset);
    }
}

fn record(record: crate::broker::Record) -> Record {
    Record {
        value: record.value,
        partition: record.partition,
        offset: record.offset,
        appended: record.timestamp,
        received: record.received,
    }
}

/// A source that ends: after so many records, or when none comes for a while.
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

    fn count(&mut self, record: Option<Record>) -> Option<Record> {
        if let (Some(left), Some(_)) = (&mut self.left, &record) {
            *left -= 1;
        }
        record
    }
}

impl<R: RecordSource> RecordSource for Bounded<R> {
    async fn recv(&mut self) -> Option<Record> {
        if self.left == Some(0) {
            return None;
        }
        let record = match self.idle {
            Some(idle) => tokio::time::timeout(idle, self.inner.recv())
                .await
                .ok()
                .flatten(),
            None => self.inner.recv().await,
        };
        self.count(record)
    }

    fn try_recv(&mut self) -> Option<Record> {
        if self.left == Some(0) {
            return None;
        }
        let record = self.inner.try_recv();
        self.count(record)
    }

    fn written(&mut self, partition: i32, offset: i64) {
        self.inner.written(partition, offset);
    }
}

pub(crate) fn stage_config(topic: &str, settings: &Settings) -> StageConfig {
    StageConfig {
        topic: topic.to_owned(),
        batch_size: settings.batch_size,
        store_outage: STORE_OUTAGE,
    }
}
