//! `generate`: inserts events, without following them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::{HopStatistics, SignedHistogram};
use cdc_bench_model::event::{EventId, Generator, OutboxRow, Shards};
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};
use cdc_bench_stack::PostgresEndpoint;
use tokio_util::sync::CancellationToken;

use crate::load::{Limit, LoadObserver, LoadPlan, LoadSummary, Rate, run_load};
use crate::pipeline::failure::Failure;
#[cfg(doc)]
use crate::pipeline::failure::exit;
use crate::pipeline::lock::lock;
use crate::pipeline::progress::{LoadState, RunProgress};
use crate::pipeline::provision::load_permission::check_load;
use crate::pipeline::provision::resource_registry::ResourceRegistry;
use crate::pipeline::provision::source::{check_writable, connect_postgres};
use crate::pipeline::run::progress_tracker::RateMeter;

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
    /// Whether the database is the user's.
    pub is_external: bool,
    /// The database that may be loaded although others use its outbox.
    pub yes_load: Option<String>,
}

/// Counts the rows, and measures commits and schedule lag.
#[derive(Default)]
struct InsertStatistics {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    commit: Mutex<SignedHistogram>,
    lag: Mutex<SignedHistogram>,
    sent: Mutex<HashMap<EventId, Stamp>>,
}

impl LoadObserver for InsertStatistics {
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
    if request.is_external {
        let client = connect_postgres(postgres).await?;
        check_writable(&client, postgres).await?;
        let registry = ResourceRegistry::new(connect_postgres(postgres).await?);
        let consent = request.yes_load.as_deref();
        let outbox = check_load(&client, &registry, postgres, consent).await?;
        outbox.tell_of_rows(&request.id, progress);
    }
    let statistics = Arc::new(InsertStatistics::default());
    let plan = LoadPlan {
        share: None,
        endpoint: postgres,
        run_id: request.id.to_string(),
        rows: Generator::new(request.seed, jiff::Timestamp::now()),
        control: request.rate.into(),
        limit: request.limit,
        insert_batch: request.insert_batch,
        connections: request.connections,
        shards: Shards::ONE,
    };
    let observer = Arc::clone(&statistics);
    let load = run_load(plan, Clock::start(), observer, cancel.clone());
    tokio::pin!(load);
    let mut rate = RateMeter::default();
    let summary: LoadSummary = loop {
        tokio::select! {
            summary = &mut load => break summary?,
            () = tokio::time::sleep(TICK) => {}
        }
        let inserted = statistics.acknowledged.load(Ordering::Relaxed);
        let (p50, p99) = {
            let commit = lock(&statistics.commit);
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
            errors: statistics.failed.load(Ordering::Relaxed),
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
        commit: lock(&statistics.commit).statistics(Some(Nanos(0))),
        schedule_lag: lock(&statistics.lag).statistics(Some(Nanos(0))),
    })
}
