//! The consumer's stage: its configuration, where it runs, and a record source that ends.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::timeline::Clock;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::consumer::{
    ConsumerStage, DeadLetters, StageConfig, StageEnd, StageError, StageObserver,
};
use crate::own_thread;
use crate::pipeline::failure::{Failure, exit};
use crate::records::{RecordBatch, RecordSource, Topics};
use crate::settings::Settings;
use crate::store::MongoStore;

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

/// A stage's parts, besides its source.
pub(crate) struct StageParts {
    pub(crate) store: MongoStore,
    pub(crate) observer: Arc<dyn StageObserver>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) config: StageConfig,
    pub(crate) clock: Clock,
}

/// How a stage ended; its source comes back.
pub(crate) type EndedStage<R> = (R, Result<StageEnd, StageError>);

impl StageParts {
    /// Runs the stage on a thread of its own, by connections of its own to the store. `begin` is called on the thread.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn spawn<R: RecordSource + 'static>(
        self,
        source: R,
        stop: CancellationToken,
        begin: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<EndedStage<R>>, Failure> {
        let decoders = Handle::current();
        let stage = own_thread::spawn("consumer", async move {
            begin();
            let store = match self.store.with_own_connections() {
                Ok(store) => store,
                Err(cause) => {
                    let tried_for = Duration::ZERO;
                    return (source, Err(StageError::Store { cause, tried_for }));
                }
            };
            let (observer, dead_letters) = (self.observer, self.dead_letters);
            ConsumerStage::new(
                source,
                store,
                observer,
                dead_letters,
                self.config,
                self.clock,
            )
            .decoding_on(decoders)
            .run(stop)
            .await
        });
        stage.map_err(|error| {
            Failure::new(exit::SERVER, error).context("the consumer could not be started")
        })
    }
}
