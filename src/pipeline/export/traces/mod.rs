//! Traces of events, for Jaeger, Tempo and other receivers of OTLP.
//!
//! A trace is an event: its id is the event's id without the hyphens, so that either leads to the other. Each capture path of
//! the event is a branch with a root span of its own, `event via PATH`, and below it
//!
//! | span | from | until | the report's hop |
//! | --- | --- | --- | --- |
//! | `insert` | T0 | Ta | `commit` |
//! | `capture` | Ta | T1 | `wal_delivery` |
//! | `publish`, where there is Kafka | T1 | T2 | `kafka_delivery` |
//! | `consume` | T2 | T3 | `consumer_lag` |
//! | `write` | T3 | T5 | `processing` |
//!
//! so they add up to the root. Span events: `committed` (Tc), `handed on by Debezium` (Td), `write issued` (T4).
//!
//! Events are sampled by their ids alone. Branches wait in a bounded queue for a task that sends them. A branch that finds the
//! queue full, or that the receiver rejects, is counted and dropped: no event waits for its trace.

mod branch;
mod collector;
mod sampling;
mod spans;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use branch::Branch;
use cdc_bench_model::RunId;
use cdc_bench_model::timeline::{CapturePath, ForeignClocks, InKafka, Joined};
use collector::Collector;
use sampling::Sampling;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::load::Rate;

pub use collector::TracesError;

/// Capacity of the queue, in branches.
const QUEUE: usize = 8_192;
/// Branches per request.
const BATCH: usize = 256;
/// Interval between requests.
const SEND_INTERVAL: Duration = Duration::from_millis(250);
/// Longest wait for the last branches at the end of a run.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Numbers of branches.
#[derive(Debug, Default)]
struct TraceCounts {
    /// Of sampled events.
    sampled: AtomicU64,
    /// Accepted by the receiver.
    accepted: AtomicU64,
}

/// The queue for a run's traces.
#[derive(Debug)]
pub struct Traces {
    queue: Sender<Branch>,
    sampling: Sampling,
    counts: Arc<TraceCounts>,
}

impl Traces {
    /// The queue for one path's traces.
    pub(crate) fn for_path(
        &self,
        path: CapturePath,
        in_kafka: InKafka,
        clocks: &Arc<ForeignClocks>,
    ) -> PathTraces {
        PathTraces {
            path,
            in_kafka,
            clocks: Arc::clone(clocks),
            queue: self.queue.clone(),
            sampling: self.sampling,
            counts: Arc::clone(&self.counts),
        }
    }
}

/// The queue for one path's traces.
#[derive(Debug)]
pub(crate) struct PathTraces {
    path: CapturePath,
    in_kafka: InKafka,
    clocks: Arc<ForeignClocks>,
    queue: Sender<Branch>,
    sampling: Sampling,
    counts: Arc<TraceCounts>,
}

impl PathTraces {
    /// Queues the trace of an event that is in the store. Never waits.
    pub(crate) fn record(&self, event: &Joined) {
        if !self.sampling.selects(event.id) {
            return;
        }
        self.counts.sampled.fetch_add(1, Ordering::Relaxed);
        // One that finds the queue full is counted as sampled and not as accepted.
        let _ = self.queue.try_send(Branch {
            event: *event,
            path: self.path,
            in_kafka: self.in_kafka,
            bounds: self.clocks.corrections().bounds(),
        });
    }
}

/// Sends a run's traces in the background.
#[derive(Debug)]
pub struct Exporter {
    counts: Arc<TraceCounts>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts to send to the receiver at `address`: this share of the events, or, without one, a share that gives some 100 traces
    /// a second at this rate. Whether the receiver is reachable shows with the first request.
    ///
    /// # Errors
    /// When the address is not one of HTTP.
    pub fn start(
        address: &str,
        share: Option<f64>,
        rate: Rate,
        run: &RunId,
    ) -> Result<(Traces, Self), TracesError> {
        let collector = Collector::at(address)?;
        let sampling = share.map_or_else(|| Sampling::at(rate), Sampling::of);
        let (queue, waiting) = channel(QUEUE);
        let counts = Arc::new(TraceCounts::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(send(
            waiting,
            (collector, run.to_string()),
            Arc::clone(&counts),
            stop.clone(),
        ));
        let traces = Traces {
            queue,
            sampling,
            counts: Arc::clone(&counts),
        };
        Ok((traces, Self { counts, stop, task }))
    }

    /// Sends what is left, with a time limit, and returns how many traces were accepted.
    pub async fn finish(mut self) -> ExportedTraces {
        self.stop.cancel();
        if timeout(FINISH_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExportedTraces {
            sampled: read(&self.counts.sampled),
            accepted: read(&self.counts.accepted),
        }
    }
}

/// How many traces were sent. An event counts once for each of its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportedTraces {
    sampled: u64,
    accepted: u64,
}

impl fmt::Display for ExportedTraces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent", self.accepted)?;
        match self.sampled - self.accepted {
            0 => Ok(()),
            dropped => write!(f, ", {dropped} dropped: the receiver did not take them"),
        }
    }
}

async fn send(
    mut waiting: Receiver<Branch>,
    (collector, run): (Collector, String),
    counts: Arc<TraceCounts>,
    stop: CancellationToken,
) {
    let mut due = interval(SEND_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut has_warned = false;
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            _ = due.tick() => false,
        };
        loop {
            let batch: Vec<_> = std::iter::from_fn(|| waiting.try_recv().ok())
                .take(BATCH)
                .collect();
            if batch.is_empty() {
                break;
            }
            let number = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            match collector.export(spans::request(&batch, &run)).await {
                Ok(()) => {
                    counts.accepted.fetch_add(number, Ordering::Relaxed);
                }
                Err(error) if has_warned => tracing::debug!(%error, number, "traces dropped"),
                Err(error) => {
                    has_warned = true;
                    tracing::warn!(%error, "traces are dropped; the run goes on without them");
                }
            }
        }
        if is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
