//! Tells the coordinator several times a second how this worker stands.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::timeline::{CapturePath, Clock, ForeignClocks, Nanos};
use rdkafka::ClientConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::{Backlog, OutgoingRecord, RecordProducer};
use crate::load::LoadSummary;
use crate::pipeline::distributed::control_record::{ControlRecord, Heartbeat, WorkerPhase};
use crate::pipeline::distributed::control_topic::control_topic;
use crate::pipeline::distributed::worker_clock::{NtpClock, WorkerClock};
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::run::observer::PathObserver;

/// Between two heartbeats.
const BEAT: Duration = Duration::from_millis(250);
/// One heartbeat in so many has the totals: they are thousands of bytes.
const TOTALS: u64 = 8;
/// Longest wait for the last one to be delivered.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// A path of this worker.
pub(super) struct WorkedPath {
    pub(super) path: CapturePath,
    pub(super) observer: Arc<PathObserver>,
    /// Of its consumer; `None` if it does not consume.
    pub(super) backlog: Option<Backlog>,
    /// The totals of its events so far.
    pub(super) total: Arc<Mutex<SignedHistogram>>,
    /// The partitions that it had last.
    pub(super) partitions: Mutex<BTreeSet<i32>>,
}

impl WorkedPath {
    /// The partitions that it consumes now; those that it had, once it consumes no more.
    pub(super) fn partitions(&self) -> BTreeSet<i32> {
        let mut known = lock(&self.partitions);
        if let Some(now) = self.backlog.as_ref().and_then(Backlog::partitions) {
            *known = now;
        }
        known.clone()
    }
}

/// How the worker stands.
pub(super) struct State {
    worker: String,
    pub(super) phase: WorkerPhase,
    pub(super) captures: bool,
    pub(super) load: LoadSummary,
    pub(super) paths: Vec<WorkedPath>,
    pub(super) clocks: Option<(Clock, Arc<ForeignClocks>)>,
    /// How far the machine's clock was set to run with PostgreSQL's when the worker began.
    pub(super) set_by: Nanos,
    /// How far the machine's clock may be off by its NTP daemon, where that is trusted.
    pub(super) ntp_bound: Option<Nanos>,
    failure: Option<String>,
}

impl State {
    fn clock(&self) -> WorkerClock {
        let Some((clock, clocks)) = &self.clocks else {
            return WorkerClock::default();
        };
        let fix = clocks.corrections();
        let to_postgres = fix.postgres.offset_at(clock.now());
        WorkerClock {
            to_postgres,
            bound: fix.postgres_bound,
            ntp: self.ntp_bound.map(|bound| NtpClock {
                to_postgres: to_postgres + self.set_by,
                bound,
            }),
        }
    }
}

/// The same, shared by those who change it and the one who tells it.
#[derive(Clone)]
pub(super) struct Standing(Arc<Mutex<State>>);

impl Standing {
    pub(super) fn new(worker: &str) -> Self {
        Self(Arc::new(Mutex::new(State {
            worker: worker.to_owned(),
            phase: WorkerPhase::Starting,
            captures: false,
            load: LoadSummary::default(),
            paths: Vec::new(),
            clocks: None,
            set_by: Nanos(0),
            ntp_bound: None,
            failure: None,
        })))
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.0));
    }

    pub(super) fn read<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&lock(&self.0))
    }

    /// It has come so far; no phase comes again.
    pub(super) fn reach(&self, phase: WorkerPhase) {
        self.set(|state| state.phase = state.phase.max(phase));
    }

    fn heartbeat(&self, number: u64) -> Heartbeat {
        self.read(|state| {
            let paths = state.paths.iter();
            let paths = paths.map(|of| {
                let has_total = number.is_multiple_of(TOTALS);
                let (joined, total) = {
                    let total = lock(&of.total);
                    (total.count(), has_total.then(|| total.clone()))
                };
                let counts = of.observer.worker_counts(of.partitions(), joined, total);
                (of.path, counts)
            });
            Heartbeat {
                worker: state.worker.clone(),
                number,
                phase: state.phase,
                captures: state.captures,
                paths: paths.collect(),
                load: state.load,
                clock: state.clock(),
                failure: state.failure.clone(),
            }
        })
    }
}

/// Sends the heartbeats.
pub(super) struct Heartbeats {
    standing: Standing,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Heartbeats {
    /// Starts.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(super) fn start(
        kafka: &ClientConfig,
        test: &str,
        standing: Standing,
    ) -> Result<Self, Failure> {
        let producer = RecordProducer::new(kafka)?;
        let (topic, stop) = (control_topic(test), CancellationToken::new());
        let (told, stopped) = (standing.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut number = 0;
            loop {
                let is_last = stopped.is_cancelled();
                beat(&producer, &topic, told.heartbeat(number)).await;
                number += 1;
                if is_last {
                    return;
                }
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = tokio::time::sleep(BEAT) => {}
                }
            }
        });
        Ok(Self {
            standing,
            stop,
            task,
        })
    }

    /// Says nothing any more, not even that the worker leaves.
    pub(super) fn abandon(self) {
        self.task.abort();
    }

    /// Tells that the worker leaves, and why it fails if it does.
    pub(super) async fn finish(self, failure: Option<String>) {
        self.standing.set(|state| {
            state.phase = WorkerPhase::Left;
            state.failure = failure;
        });
        self.stop.cancel();
        if tokio::time::timeout(LAST_LIMIT, self.task).await.is_err() {
            tracing::warn!("the coordinator could not be told that this worker leaves");
        }
    }
}

async fn beat(producer: &RecordProducer, topic: &str, heartbeat: Heartbeat) {
    let record = ControlRecord::Heartbeat(Box::new(heartbeat));
    let Ok(value) = serde_json::to_vec(&record) else {
        return;
    };
    let key = record.key();
    let outgoing = OutgoingRecord {
        key: Some(key.as_bytes()),
        value: Some(&value),
        headers: &[],
    };
    // The next one says the same and more.
    if let Err(error) = producer.send(topic, outgoing).await {
        tracing::warn!(%error, "a heartbeat was not delivered");
    }
}
