//! The control topic of a test: one partition, compacted, so that whoever comes later, or again, reads how it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use rdkafka::ClientConfig;
use tokio::sync::Notify;

use crate::broker::{
    Admin, BrokerError, LogStart, LoggedRecord, OutgoingRecord, PartitionLog, RecordProducer,
    ScanStart, TopicScan,
};
use crate::pipeline::distributed::control_record::ControlRecord;
use crate::pipeline::distributed::test_state::TestState;
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;

/// The name of a test's control topic.
pub(crate) fn control_topic(test: &str) -> String {
    format!("cdc-bench.control.{test}")
}

/// The name of the topic of a test's stamps.
pub(crate) fn stamps_topic(test: &str) -> String {
    format!("cdc-bench.stamps.{test}")
}

/// A participant's end of the control topic.
pub(crate) struct ControlTopic {
    topic: String,
    producer: RecordProducer,
    state: Arc<Mutex<TestState>>,
    changed: Arc<Notify>,
    log: PartitionLog,
}

impl ControlTopic {
    /// Creates it. False when it existed.
    ///
    /// # Errors
    /// When the broker refuses.
    pub(crate) async fn create(kafka: &Admin, test: &str) -> Result<bool, BrokerError> {
        kafka.create_compacted_topic(&control_topic(test)).await
    }

    /// How a test stands that may be there: what its control topic holds now. `None` if there is no such topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn look(
        kafka: &Admin,
        config: &ClientConfig,
        test: &str,
    ) -> Result<Option<TestState>, BrokerError> {
        let topic = control_topic(test);
        if kafka.topic(&topic).await?.is_none() {
            return Ok(None);
        }
        let from = ScanStart::Offsets(BTreeMap::new());
        let state = Arc::new(Mutex::new(TestState::default()));
        let read = Arc::clone(&state);
        let scan = TopicScan::new(config, &topic, &topic, from);
        scan.read(move |record| {
            let said = serde_json::from_slice(record.value.unwrap_or_default());
            if let Ok(said) = said {
                lock(&read).apply(said);
            }
            ControlFlow::Continue(())
        })
        .await?;
        let state = std::mem::take(&mut *lock(&state));
        Ok(Some(state))
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(crate) fn join(kafka: &ClientConfig, test: &str) -> Result<Self, BrokerError> {
        let topic = control_topic(test);
        let (state, changed) = (
            Arc::new(Mutex::new(TestState::default())),
            Arc::new(Notify::new()),
        );
        let (read, notified) = (Arc::clone(&state), Arc::clone(&changed));
        let log = PartitionLog::start(kafka, &topic, move |record: LoggedRecord<'_>| {
            let Some(value) = record.value else { return };
            match serde_json::from_slice::<ControlRecord>(value) {
                Ok(said) => lock(&read).apply(said),
                Err(error) => tracing::warn!(
                    %error,
                    offset = record.offset,
                    "a record of the control topic could not be read: is another version of cdc-bench among the workers?"
                ),
            }
            notified.notify_waiters();
        })?;
        log.read(&BTreeSet::from([0]), LogStart::Beginning);
        Ok(Self {
            producer: RecordProducer::new(kafka)?,
            topic,
            state,
            changed,
            log,
        })
    }

    /// Says something to all.
    ///
    /// # Errors
    /// When it did not reach the topic within a minute.
    pub(crate) async fn say(&self, record: &ControlRecord) -> Result<(), Failure> {
        let value = serde_json::to_vec(record).map_err(Failure::usage)?;
        let key = record.key();
        let outgoing = OutgoingRecord {
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[],
        };
        let sent = self.producer.send(&self.topic, outgoing).await;
        sent.map_err(|error| Failure::server(error).context("the control topic of the test"))
    }

    /// How the test stands.
    pub(crate) fn read<T>(&self, question: impl FnOnce(&TestState) -> T) -> T {
        question(&lock(&self.state))
    }

    /// Waits for the next record; a record that comes between two calls may be missed, so that callers look again after a while.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Stops reading it.
    pub(crate) async fn leave(self) {
        self.log.stop().await;
    }
}
