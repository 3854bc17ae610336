//! Sends stamps to whoever follows their events. They wait for each other for some milliseconds: no stamp depends on when it is
//! sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::timeline::{Clock, ForeignClocks};
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerError, RecordProducer};
use crate::pipeline::distributed::stamps::{StampEntry, StampSource, begin_batch};
use crate::pipeline::lock::lock;

/// Between two batches of a partition.
const LINGER: Duration = Duration::from_millis(20);

/// Most bytes of a partition that wait while Kafka takes none: a quarter of a million events.
const MOST_BYTES: usize = 16 << 20;

/// Collects the stamps of this worker by partition.
pub(crate) struct StampSender {
    entries: Vec<Mutex<Vec<u8>>>,
    has_overflowed: AtomicBool,
}

/// Sends them, until it is stopped.
pub(crate) struct StampDelivery {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl StampSender {
    /// For a topic with so many partitions.
    pub(crate) fn new(partitions: i32) -> Self {
        Self {
            entries: (0..partitions).map(|_| Mutex::default()).collect(),
            has_overflowed: AtomicBool::new(false),
        }
    }

    /// Adds the stamps of an event of this partition.
    pub(crate) fn add(&self, partition: i32, entry: StampEntry) {
        let place = usize::try_from(partition).unwrap_or(0);
        let Some(entries) = self.entries.get(place) else {
            return;
        };
        let mut entries = lock(entries);
        if entries.len() < MOST_BYTES {
            entry.write(&mut entries);
        } else if !self.has_overflowed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                partition,
                "stamps are lost: Kafka has taken none for so long that {} MiB of them wait",
                MOST_BYTES >> 20
            );
        }
    }

    /// Starts to send them as those of `worker`.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        kafka: &ClientConfig,
        topic: String,
        worker: String,
        clock: Clock,
        clocks: Arc<ForeignClocks>,
    ) -> Result<StampDelivery, BrokerError> {
        let producer = RecordProducer::new(kafka)?;
        let (sender, stop) = (Arc::clone(self), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            loop {
                let is_last = tokio::select! {
                    () = stopped.cancelled() => true,
                    () = tokio::time::sleep(LINGER) => false,
                };
                let fix = clocks.corrections();
                let source = StampSource {
                    worker: worker.clone(),
                    to_postgres: fix.postgres.offset_at(clock.now()),
                    bound: fix.postgres_bound,
                };
                sender.flush(&producer, &topic, &source).await;
                if is_last {
                    return;
                }
            }
        });
        Ok(StampDelivery { task, stop })
    }

    async fn flush(&self, producer: &RecordProducer, topic: &str, source: &StampSource) {
        let batches = (0..).zip(&self.entries).filter_map(|(partition, entries)| {
            let entries = std::mem::take(&mut *lock(entries));
            (!entries.is_empty()).then_some((partition, entries))
        });
        let sent = batches.map(|(partition, entries)| async move {
            let mut batch = begin_batch(source);
            batch.extend(&entries);
            let sent = producer.send_to(topic, partition, &batch).await;
            if let Err(error) = sent {
                tracing::warn!(%error, "stamps of other workers' events are sent again");
                let mut waiting = lock(&self.entries[usize::try_from(partition).unwrap_or(0)]);
                waiting.splice(..0, entries);
            }
        });
        join_all(sent).await;
    }
}

impl StampDelivery {
    /// Sends what is left, and stops.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // A panic was reported by the panic hook.
        drop(self.task.await);
    }
}
