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

pub(crate) fn stage_config(topic: &str, settings: &Settings) -> StageConfig {
    StageConfig {
        topic: topic.to_owned(),
        batch_size: settings.batch_size,
        store_outage: STORE_OUTAGE,
    }
}
