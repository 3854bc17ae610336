//! The phases of a run between its set-up and its verification: probe, warm-up, load, drain.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::followers::Followers;
use super::observer::{MeasuredLoad, ProbeLoad, RunObserver, WarmupLoad};
use super::{Failure, LoadState, RunProgress, RunRequest, Servers, exit};
use crate::event::Generator;
use crate::load::{Limit, LoadPlan, LoadSummary, Rate, run_load};
use crate::stack::Stack;
use crate::timeline::Clock;

/// Longest wait for the first event to come through a connector that is RUNNING.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// Between two readiness probes.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How often the state of the load is looked at.
const TICK: Duration = Duration::from_millis(100);

/// What every phase works with.
pub(super) struct Phases<'a> {
    pub(super) request: &'a RunRequest,
    pub(super) stack: &'a Stack,
    pub(super) servers: &'a Servers,
    pub(super) observer: &'a Arc<RunObserver>,
    pub(super) followers: Followers,
    pub(super) clock: Clock,
    pub(super) progress: &'a dyn RunProgress,
    pub(super) cancel: &'a CancellationToken,
}

/// How long a drain waits on when what is missing may be among the records that could not be read.
const UNREAD_PATIENCE: Duration = Duration::from_secs(3);

/// Seeds of the events that are not measured, so that they differ from those that are.
const PROBE_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const WARMUP_SEED: u64 = 0xbf58_476d_1ce4_e5b9;

impl<'a> Phases<'a> {
    /// A load of this run.
    fn plan(&self, run_id: &str, salt: u64, limit: Limit) -> LoadPlan<'a, Generator> {
        LoadPlan {
            endpoint: &self.servers.endpoints.postgres,
            run_id: run_id.to_owned(),
            rows: self.generator(salt),
            rate: self.request.rate,
            limit,
            insert_batch: self.request.insert_batch,
            connections: self.request.connections,
        }
    }

    fn generator(&self, salt: u64) -> Generator {
        Generator::new(self.request.seed ^ salt, jiff::Timestamp::now())
    }

    /// The reason if somebody the run depends on has given up.
    async fn check(&mut self) -> Result<(), Failure> {
        if let Some(reason) = self.stack.given_up() {
            return Err(Failure::server(anyhow::anyhow!(reason)));
        }
        self.followers.check().await
    }

    /// Inserts one row after another until one has come through: only then is the connector known to have caught up.
    pub(super) async fn probe(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let mut rows = self.generator(PROBE_SEED);
        loop {
            let row = rows.next().into_iter();
            let one = LoadPlan {
                endpoint: &self.servers.endpoints.postgres,
                run_id: self.observer.names.probe.clone(),
                rows: row,
                rate: Rate::MAX,
                limit: Limit::Events(1),
                insert_batch: 1,
                connections: 1,
            };
            run_load(one, self.clock, Arc::new(ProbeLoad), self.cancel.clone()).await?;
            let sent = Instant::now();
            while sent.elapsed() < PROBE_EVERY {
                self.check().await?;
                if self.observer.probes_written.load(Ordering::Relaxed) > 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if began.elapsed() > PROBE_LIMIT {
                return Err(Failure::server(anyhow::anyhow!(
                    "no event came through within {} s although rows were inserted: is the topic fed by a connector that captures {}.{}?",
                    PROBE_LIMIT.as_secs(),
                    crate::event::SCHEMA,
                    crate::event::TABLE
                )));
            }
        }
    }

    /// Events that are not measured: every cache, connection and code path gets warm, and what they leave is drained.
    pub(super) async fn warm_up(&mut self) -> Result<(), Failure> {
        let (request, observer) = (self.request, self.observer);
        if request.warmup == 0 {
            return Ok(());
        }
        tracing::info!(step = "warm-up", "begins");
        let plan = self.plan(
            &observer.names.warmup,
            WARMUP_SEED,
            Limit::Events(request.warmup),
        );
        let load = run_load(
            plan,
            self.clock,
            Arc::new(WarmupLoad(Arc::clone(observer))),
            self.cancel.clone(),
        );
        tokio::pin!(load);
        let mut rate = RateMeter::default();
        let mut inserted = None;
        let mut patience = Patience::new();
        loop {
            tokio::select! {
                summary = &mut load, if inserted.is_none() => inserted = Some(summary?),
                () = tokio::time::sleep(TICK) => {}
            }
            self.check().await?;
            let written = observer.warmup_written.load(Ordering::Relaxed);
            let acknowledged = observer.warmup_acknowledged.load(Ordering::Relaxed);
            self.progress.load(&LoadState {
                phase: "warm-up",
                target: Some(request.warmup),
                inserted: acknowledged,
                written,
                written_per_s: rate.read(written),
                p50: None,
                p99: None,
                errors: observer.dead_letters.load(Ordering::Relaxed),
            });
            let through = written + observer.dead_letters.load(Ordering::Relaxed);
            if inserted.is_some() && through >= acknowledged {
                self.progress.load_over();
                return Ok(());
            }
            if patience.quiet_for(through) > request.drain_timeout && inserted.is_some() {
                return Err(Failure::new(
                    exit::DATA,
                    anyhow::anyhow!(
                        "only {written} of {acknowledged} warm-up events reached the store, and none for {} s",
                        request.drain_timeout.as_secs()
                    ),
                ));
            }
        }
    }

    /// The measured events, on their schedule.
    pub(super) async fn load(&mut self) -> Result<LoadSummary, Failure> {
        tracing::info!(step = "load", "begins");
        let plan = self.plan(&self.observer.names.measured, 0, self.request.limit);
        let load = run_load(
            plan,
            self.clock,
            Arc::new(MeasuredLoad(Arc::clone(self.observer))),
            self.cancel.clone(),
        );
        tokio::pin!(load);
        let mut rate = RateMeter::default();
        loop {
            tokio::select! {
                summary = &mut load => return Ok(summary?),
                () = tokio::time::sleep(TICK) => {}
            }
            self.check().await?;
            self.progress.load(&self.state("load", &mut rate));
        }
    }

    /// Waits until every event is through, or none has come for as long as the drain may wait. True: all are through.
    pub(super) async fn drain(&mut self) -> Result<bool, Failure> {
        tracing::info!(step = "drain", "begins");
        let request = self.request;
        let mut rate = RateMeter::default();
        let mut patience = Patience::new();
        loop {
            self.check().await?;
            let tally = self.observer.joiner.tally();
            let ours = self.observer.abandoned.load(Ordering::Relaxed);
            let letters = self.observer.dead_letters.load(Ordering::Relaxed);
            let captured = tally.captured >= tally.inserted;
            if captured && tally.written + ours >= tally.inserted {
                return Ok(true);
            }
            let quiet = patience.quiet_for(tally.written + letters + tally.captured);
            // A record that could not be read may have been ours, or anybody's.
            if captured && tally.written + letters >= tally.inserted && quiet > UNREAD_PATIENCE {
                return Ok(true);
            }
            if quiet > request.drain_timeout {
                tracing::error!(
                    inserted = tally.inserted,
                    written = tally.written,
                    "no event came through for {} s; the drain ends",
                    request.drain_timeout.as_secs()
                );
                return Ok(false);
            }
            self.progress.load(&self.state("drain", &mut rate));
            tokio::time::sleep(TICK / 4).await;
        }
    }

    fn state(&self, phase: &'static str, rate: &mut RateMeter) -> LoadState {
        let observer = self.observer;
        let tally = observer.joiner.tally();
        let quantiles = observer.live_quantiles();
        LoadState {
            phase,
            target: self.request.expected(),
            inserted: tally.inserted,
            written: tally.written,
            written_per_s: rate.read(tally.written),
            p50: quantiles.map(|(p50, _)| p50),
            p99: quantiles.map(|(_, p99)| p99),
            errors: tally.insert_errors + observer.dead_letters.load(Ordering::Relaxed),
        }
    }
}

/// Events a second over the last second.
#[derive(Default)]
pub(super) struct RateMeter {
    since: Option<(Instant, u64)>,
    rate: f64,
}

impl RateMeter {
    #[allow(clippy::cast_precision_loss)] // counts far below 2^53
    pub(super) fn read(&mut self, count: u64) -> f64 {
        let (since, before) = *self.since.get_or_insert((Instant::now(), count));
        let span = since.elapsed().as_secs_f64();
        if span >= 1.0 {
            self.rate = count.saturating_sub(before) as f64 / span;
            self.since = Some((Instant::now(), count));
        }
        self.rate
    }
}

/// How long a count has not moved.
struct Patience {
    last: Option<u64>,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self {
            last: None,
            since: Instant::now(),
        }
    }

    fn quiet_for(&mut self, count: u64) -> Duration {
        if self.last != Some(count) {
            self.last = Some(count);
            self.since = Instant::now();
        }
        self.since.elapsed()
    }
}
