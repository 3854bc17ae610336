//! One stage alone: `generate` inserts, `consume` writes the records of a topic.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::{HopStatistics, SignedHistogram};
use cdc_bench_model::event::{EventId, EventType, Generator, OutboxRow};
use cdc_bench_model::timeline::{Clock, ConsumerStamps, Nanos, Stamp};
use cdc_bench_stack::{GivenEndpoints, PostgresEndpoint};
use tokio_util::sync::CancellationToken;

use crate::broker::{Admin, BrokerError, KafkaSource, KafkaSourceConfig, fetch_settings};
use crate::consumer::{ConsumerStage, DeadLetter, DeadLetters, StageObserver};
use crate::load::{Limit, LoadObserver, LoadPlan, LoadSummary, Rate, run_load};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::lock::lock;
use crate::pipeline::progress::{LoadState, RunProgress};
use crate::pipeline::run::progress_tracker::RateMeter;
use crate::pipeline::run::stage_setup::{Bounded, stage_config};
use crate::settings::Settings;
use crate::store::MongoStore;

/// Interval between progress updates.
const TICK: Duration = Duration::from_millis(100);

/// Parameters of `generate`.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// Value of the `run_id` column.
    pub id: RunId,
    /// Number of events, or a duration.
    pub limit: Limit,
    /// Rate of the inserts.
    pub rate: Rate,
    /// Rows per transaction.
    pub insert_batch: usize,
    /// Connections.
    pub connections: usize,
    /// Seed of the events.
    pub seed: u64,
}

struct Counted {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    commit: Mutex<SignedHistogram>,
    lag: Mutex<SignedHistogram>,
    sent: Mutex<std::collections::HashMap<EventId, Stamp>>,
}

impl LoadObserver for Counted {
    fn sending(&self, row: &OutboxRow, ts: Stamp, t0: Stamp) {
        lock(&self.lag).record(t0 - ts);
        lock(&self.sent).insert(row.id, t0);
    }

    fn acknowledged(&self, id: EventId, _: u64, ta: Stamp) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        if let Some(t0) = lock(&self.sent).remove(&id) {
            lock(&self.commit).record(ta - t0);
        }
    }

    fn failed(&self, id: EventId, seq: u64, reason: &str) {
        tracing::error!(%id, seq, reason, "INSERT refused");
        self.failed.fetch_add(1, Ordering::Relaxed);
        lock(&self.sent).remove(&id);
    }
}

/// Result of `generate`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Generated {
    /// Value of the `run_id` column, for `verify`.
    pub run_id: String,
    /// Rows whose commit was acknowledged.
    pub inserted: u64,
    /// Rows refused.
    pub errors: u64,
    /// Rows per second, from the first INSERT to the last acknowledgement.
    pub per_s: Option<f64>,
    /// INSERT sent to commit acknowledged, microseconds.
    pub commit: HopStatistics,
    /// Delay of INSERTs against the schedule, microseconds.
    pub schedule_lag: HopStatistics,
}

/// Inserts events; nothing follows them through the pipeline.
///
/// # Errors
/// When PostgreSQL refuses or is lost; [`exit::INTERRUPTED`] when it was stopped before its end.
pub async fn generate(
    request: GenerateRequest,
    postgres: &PostgresEndpoint,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Generated, Failure> {
    let counted = Arc::new(Counted {
        acknowledged: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        commit: Mutex::default(),
        lag: Mutex::default(),
        sent: Mutex::default(),
    });
    let plan = LoadPlan {
        endpoint: postgres,
        run_id: request.id.to_string(),
        rows: Generator::new(request.seed, jiff::Timestamp::now()),
        control: request.rate.into(),
        limit: request.limit,
        insert_batch: request.insert_batch,
        connections: request.connections,
    };
    let observer = Arc::clone(&counted);
    let load = run_load(plan, Clock::start(), observer, cancel.clone());
    tokio::pin!(load);
    let mut rate = RateMeter::default();
    let summary: LoadSummary = loop {
        tokio::select! {
            summary = &mut load => break summary?,
            () = tokio::time::sleep(TICK) => {}
        }
        let inserted = counted.acknowledged.load(Ordering::Relaxed);
        let (p50, p99) = {
            let commit = lock(&counted.commit);
            (commit.quantile(0.5), commit.quantile(0.99))
        };
        progress.load(&LoadState {
            phase: "generate",
            target: match request.limit {
                Limit::Events(count) => Some(count),
                Limit::Duration(_) => None,
            },
            inserted,
            written: inserted,
            written_per_s: rate.read(inserted),
            p50: Some(p50),
            p99: Some(p99),
            errors: counted.failed.load(Ordering::Relaxed),
        });
    };
    progress.load_over();
    if summary.cancelled {
        return Err(Failure::interrupted().context(format!(
            "{} rows of run {} are in the table",
            summary.inserted, request.id
        )));
    }
    Ok(Generated {
        run_id: request.id.to_string(),
        inserted: summary.inserted,
        errors: summary.errors,
        per_s: summary.inserted_per_s(),
        commit: lock(&counted.commit).statistics(Some(Nanos(0))),
        schedule_lag: lock(&counted.lag).statistics(Some(Nanos(0))),
    })
}

/// Parameters of `consume`.
#[derive(Debug, Clone)]
pub struct ConsumeRequest {
    /// Stop after this many records.
    pub max: Option<u64>,
    /// Stop when no record has arrived for this long.
    pub idle: Option<Duration>,
    /// Write the events of this run only.
    pub run: Option<RunId>,
    /// File for dead letters.
    pub dead_letters: PathBuf,
}

/// Result of `consume`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Consumed {
    /// Topic.
    pub topic: String,
    /// Group.
    pub group: String,
    /// Events received and decoded.
    pub consumed: u64,
    /// Events acknowledged by the store.
    pub written: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Events written per second, from the first record to the last acknowledgement.
    pub per_s: Option<f64>,
    /// Received to write issued, microseconds.
    pub transform: HopStatistics,
    /// Write issued to acknowledged, microseconds.
    pub write: HopStatistics,
    /// Timestamp of the record to received, microseconds; the timestamp's clock is not corrected.
    pub lag_uncorrected: HopStatistics,
}

#[derive(Default)]
struct Watcher {
    run: Option<String>,
    consumed: AtomicU64,
    written: AtomicU64,
    dead_letters: AtomicU64,
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    transform: SignedHistogram,
    write: SignedHistogram,
    lag: SignedHistogram,
    processing: SignedHistogram,
    first: Option<Stamp>,
    last: Option<Stamp>,
}

impl StageObserver for Watcher {
    fn wants(&self, run_id: &str) -> bool {
        self.run.as_deref().is_none_or(|run| run == run_id)
    }

    fn consumed(&self, _: &str, _: u64) {
        self.consumed.fetch_add(1, Ordering::Relaxed);
    }

    fn written(&self, _: &str, _: EventId, _: EventType, _: u64, stamps: ConsumerStamps) {
        self.written.fetch_add(1, Ordering::Relaxed);
        let mut spans = lock(&self.spans);
        spans.transform.record(stamps.t4 - stamps.t3);
        spans.write.record(stamps.t5 - stamps.t4);
        spans.processing.record(stamps.t5 - stamps.t3);
        if let Some(t2) = stamps.t2 {
            spans.lag.record(stamps.t3 - t2);
        }
        spans.first.get_or_insert(stamps.t3);
        spans.last = Some(stamps.t5);
    }

    fn dead_letter(&self, _: &DeadLetter) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes the records of the topic into the store until stopped.
///
/// # Errors
/// When a server is unreachable, or the store is away too long. A requested stop is not an error.
pub async fn consume(
    request: ConsumeRequest,
    settings: &Settings,
    given: &GivenEndpoints,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Consumed, Failure> {
    let (kafka, store) = (given.kafka()?.client_config(), given.store()?);
    let step = "set-up";
    progress.begin(step);
    progress.update(step, "connecting to the servers");
    let admin = Admin::connect(&kafka).await?;
    let topic = settings.topic.clone();
    admin
        .topic(&topic)
        .await?
        .ok_or_else(|| BrokerError::NoTopic {
            topic: topic.clone(),
            bootstrap: kafka
                .get("bootstrap.servers")
                .unwrap_or_default()
                .to_owned(),
        })?;
    let store = MongoStore::connect(&store).await?;
    store.check_writable().await?;
    store.ensure_indexes().await?;
    let clock = Clock::start();
    let config = KafkaSourceConfig {
        topic: topic.clone(),
        group: settings.group.clone(),
        from_end: false,
        fetch: fetch_settings(&settings.fetch),
    };
    progress.update(step, "joining the consumer group");
    let records = KafkaSource::subscribe(&kafka, config, clock).await?;
    progress.end(step, &format!("topic {topic}, group {}", settings.group));
    let watcher = Arc::new(Watcher {
        run: request.run.map(|run| run.to_string()),
        ..Watcher::default()
    });
    let stage = ConsumerStage::new(
        Bounded::new(records, request.max, request.idle),
        store,
        Arc::clone(&watcher) as Arc<_>,
        DeadLetters::at(request.dead_letters),
        stage_config(&topic, settings),
        clock,
    );
    let mut work = tokio::spawn(stage.run(cancel.clone()));
    let mut rate = RateMeter::default();
    let began = Instant::now();
    let (source, end) = loop {
        tokio::select! {
            done = &mut work => break done.map_err(|panicked| {
                Failure::new(exit::DATA, panicked).context("the consumer stopped")
            })?,
            () = tokio::time::sleep(TICK) => {}
        }
        let written = watcher.written.load(Ordering::Relaxed);
        let quantiles = {
            let spans = lock(&watcher.spans);
            (written > 0).then(|| {
                (
                    spans.processing.quantile(0.5),
                    spans.processing.quantile(0.99),
                )
            })
        };
        progress.load(&LoadState {
            phase: "consume",
            target: request.max,
            inserted: watcher.consumed.load(Ordering::Relaxed),
            written,
            written_per_s: rate.read(written),
            p50: quantiles.map(|(p50, _)| p50),
            p99: quantiles.map(|(_, p99)| p99),
            errors: watcher.dead_letters.load(Ordering::Relaxed),
        });
    };
    progress.load_over();
    source.into_inner().close().await;
    end?;
    tracing::info!(took_ms = began.elapsed().as_millis(), "consumer ended");
    let (consumed, written) = (
        watcher.consumed.load(Ordering::Relaxed),
        watcher.written.load(Ordering::Relaxed),
    );
    let spans = lock(&watcher.spans);
    Ok(Consumed {
        topic,
        group: settings.group.clone(),
        consumed,
        written,
        dead_letters: watcher.dead_letters.load(Ordering::Relaxed),
        per_s: per_second(written, spans.first, spans.last),
        transform: spans.transform.statistics(Some(Nanos(0))),
        write: spans.write.statistics(Some(Nanos(0))),
        lag_uncorrected: spans.lag.statistics(None),
    })
}

#[allow(clippy::cast_precision_loss)] // a display value
fn per_second(count: u64, first: Option<Stamp>, last: Option<Stamp>) -> Option<f64> {
    let span = last? - first?;
    (span.0 > 0).then(|| count as f64 * 1e9 / span.0 as f64)
}
