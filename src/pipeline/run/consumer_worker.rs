//! Our consumer of a path: its source of records and the stage that writes them.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::KafkaSource;
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::monitor::threads::{OwnThreads, Role};
use crate::pipeline::run::gate::{Gate, Gated};
use crate::pipeline::run::stage_setup::{EndedStage, StageParts};
use crate::pipeline::run::wal_sinks::ChannelSource;
use crate::records::{RecordBatch, RecordSource};

/// Record source of a path's consumer.
pub(crate) enum WorkerSource {
    Kafka(KafkaSource),
    Channel(ChannelSource),
}

impl RecordSource for WorkerSource {
    async fn recv(&mut self) -> Option<RecordBatch> {
        match self {
            Self::Kafka(source) => source.recv().await,
            Self::Channel(source) => source.recv().await,
        }
    }

    fn written(&mut self, partition: i32, offset: i64) {
        match self {
            Self::Kafka(source) => source.written(partition, offset),
            Self::Channel(source) => source.written(partition, offset),
        }
    }
}

/// A running consumer; dropping it ends it with all that it has in hand.
pub(crate) struct ConsumerWorker {
    stage: JoinHandle<EndedStage<Gated<WorkerSource>>>,
    stop: CancellationToken,
    /// In front of its source.
    pub(crate) gate: Gate,
}

impl ConsumerWorker {
    /// Starts to consume.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(
        source: WorkerSource,
        parts: StageParts,
        threads: OwnThreads,
    ) -> Result<Self, Failure> {
        let gate = Gate::default();
        let source = Gated::new(source, gate.clone());
        let stop = CancellationToken::new();
        let begin = move || threads.enter(Role::Consumer);
        Ok(Self {
            stage: parts.spawn(source, stop.clone(), begin)?,
            stop,
            gate,
        })
    }

    /// Fails if it has stopped.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        if !self.stage.is_finished() {
            return Ok(());
        }
        let (_, end) = (&mut self.stage).await.map_err(stopped_by_panic)?;
        match end {
            Err(error) => Err(Failure::from(error).context("the consumer stopped")),
            Ok(_) => Err(Failure::new(
                exit::DATA,
                anyhow::anyhow!("the consumer ended before the events did"),
            )),
        }
    }

    /// Stops it: what it has received is written, its offsets are committed, and it leaves its group.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        let (source, end) = (&mut self.stage).await.map_err(stopped_by_panic)?;
        // A reader that waits for room in the channel continues once its receiver is dropped.
        if let WorkerSource::Kafka(source) = source.into_inner() {
            source.close().await;
        }
        end.map(drop)
            .map_err(|error| Failure::from(error).context("the consumer stopped"))
    }

    /// Ends it with all that it has in hand: writes in flight are cut off, what was received and not written is thrown away.
    pub(crate) async fn kill(mut self) {
        self.stage.abort();
        // Aborted on purpose.
        let _ = (&mut self.stage).await;
    }
}

impl Drop for ConsumerWorker {
    fn drop(&mut self) {
        self.stage.abort();
    }
}

fn stopped_by_panic(panicked: tokio::task::JoinError) -> Failure {
    Failure::new(exit::DATA, panicked).context("the consumer stopped")
}
