//! The phases of a trial: probe, warm-up, load, drain. A phase ends when it is complete on all paths.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench_model::event::{Generator, OutboxRow};

use crate::live::{LoadFigures, Phase};
use crate::load::{Limit, LoadPlan, LoadSummary, Rate, run_load};
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::lag_peaks::LagPeaks;
use crate::pipeline::monitor::server_monitor::ServerStatus;
use crate::pipeline::progress::LoadState;
use crate::pipeline::request::parameters::RunParameters;
use crate::pipeline::run::context::{ActivePath, RunContext, Trial};
use crate::pipeline::run::fault_runner::FaultRunner;
use crate::pipeline::run::observer::{MeasuredLoad, PathObserver, ProbeLoad};
use crate::pipeline::run::progress_tracker::{ProgressTracker, StallTimer};
use crate::pipeline::run::standstill::StandstillGuard;

/// Longest wait for the first event to pass a connector that is RUNNING.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// Time between two readiness probes.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Interval at which the progress of the load is read.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Between two times at which it is shown: its quantiles are those of all events so far.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// What all phases of a trial share.
pub(crate) struct Phases<'a> {
    pub(crate) context: RunContext<'a>,
    pub(crate) trial: &'a Trial,
    pub(crate) paths: Vec<ActivePath>,
    /// Status of the servers.
    pub(crate) seen: Arc<Mutex<ServerStatus>>,
    /// The largest lags of the partitions.
    pub(crate) lag_peaks: Arc<LagPeaks>,
    /// The faults to make.
    pub(crate) faults: FaultRunner<'a>,
}

/// Between two looks at whether a fault is due.
const FAULT_TICK: Duration = Duration::from_millis(20);

/// How long a drain waits for events that may be among the records that could not be decoded.
const UNREAD_PATIENCE: Duration = Duration::from_secs(3);

/// Seeds of probe and warm-up events, so that they differ from the measured ones.
const PROBE_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
pub(crate) const WARMUP_SEED: u64 = 0xbf58_476d_1ce4_e5b9;

impl<'a> Phases<'a> {
    /// A load of this trial.
    pub(crate) fn plan<I>(&self, run_id: &str, rows: I, limit: Limit) -> LoadPlan<'a, I> {
        let request = self.context.request;
        LoadPlan {
            endpoint: &self.context.servers.endpoints.postgres,
            run_id: run_id.to_owned(),
            rows,
            control: self.context.pace(),
            limit,
            insert_batch: request.insert_batch,
            connections: request.connections,
            shards: request.shards,
            share: None,
        }
    }

    pub(crate) fn generator(&self, salt: u64) -> Generator {
        let request = self.context.request;
        let rows = Generator::new(request.seed ^ salt, jiff::Timestamp::now());
        rows.with_hot_share(request.hot_share)
    }

    pub(crate) fn observers(&self) -> impl Iterator<Item = &Arc<PathObserver>> {
        self.paths.iter().map(|path| &path.observer)
    }

    /// The smallest value over all paths: the progress of the slowest.
    pub(crate) fn least(&self, of: impl Fn(&PathObserver) -> u64) -> u64 {
        self.observers()
            .map(|observer| of(observer))
            .min()
            .unwrap_or(0)
    }

    pub(crate) fn sum(&self, of: impl Fn(&PathObserver) -> u64) -> u64 {
        self.observers().map(|observer| of(observer)).sum()
    }

    /// The failure of a worker or of a server of ours, if there is one.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        if let Some(reason) = self.context.stack.given_up() {
            return Err(Failure::server(anyhow::anyhow!(reason)));
        }
        if let Some(test) = self.context.distributed {
            test.check().await?;
            for path in &self.paths {
                path.observer.count_elsewhere(test.counts(path.route.path));
            }
        }
        if let Some(error) = self.context.recorder.failure() {
            return Err(error.into());
        }
        for path in &mut self.paths {
            let checked = path.workers.check().await;
            checked
                .map_err(|failure| failure.context(format!("capture path {}", path.route.path)))?;
        }
        Ok(())
    }

    /// Inserts one row after another until one is written on every path: only then has the connector caught up. `told` is
    /// called with the number of rows so far.
    pub(crate) async fn probe(&mut self, told: &(dyn Fn(u64) + Sync)) -> Result<(), Failure> {
        let mut began = Instant::now();
        let mut earlier = 0;
        let mut count = 0;
        let mut rows = self.generator(PROBE_SEED);
        let context = self.context;
        loop {
            let row: Option<OutboxRow> = rows.next();
            let one = LoadPlan {
                control: Rate::MAX.into(),
                insert_batch: 1,
                connections: 1,
                ..self.plan(&self.trial.names.probe, row.into_iter(), Limit::Events(1))
            };
            run_load(
                one,
                context.clock,
                Arc::new(ProbeLoad),
                context.cancel.clone(),
            )
            .await?;
            let sent = Instant::now();
            count += 1;
            told(count);
            while sent.elapsed() < PROBE_EVERY {
                self.check().await?;
                if self.least(|path| path.probes_written.load(Ordering::Relaxed)) > 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Events of before the run was taken up again come first.
            let written = self.sum(|path| path.earlier_written.load(Ordering::Relaxed));
            if written > earlier {
                (earlier, began) = (written, Instant::now());
            }
            if began.elapsed() > PROBE_LIMIT {
                let waiting = self
                    .paths
                    .iter()
                    .filter(|path| path.observer.probes_written.load(Ordering::Relaxed) == 0);
                let waiting: Vec<_> = waiting.map(|path| path.route.describe()).collect();
                return Err(Failure::server(anyhow::anyhow!(
                    "no event came through within {} s although rows were inserted ({}): is the topic fed by a connector that captures {}.{}?",
                    PROBE_LIMIT.as_secs(),
                    waiting.join(", "),
                    cdc_bench_model::event::SCHEMA,
                    cdc_bench_model::event::TABLE
                )));
            }
        }
    }

    /// The measured events, on their schedule.
    pub(crate) async fn load(&mut self) -> Result<LoadSummary, Failure> {
        tracing::info!(step = "load", "begins");
        self.lag_peaks.begin();
        let context = self.context;
        // A later trial of the same load skips the events of the earlier ones.
        let done = usize::try_from(self.trial.done).unwrap_or(usize::MAX);
        let again = context.request.resumption.as_ref();
        let epoch = again.map_or_else(jiff::Timestamp::now, |again| again.epoch);
        if !context.stack.exclusive()
            && context.distributed.is_none()
            && let Some(parameters) = RunParameters::of(context.request, epoch)
        {
            parameters.store(&context.request.folder)?;
        }
        let rows = Generator::new(context.request.seed, epoch);
        let rows = rows.with_hot_share(context.request.hot_share).skip(done);
        let plan = self.plan(&self.trial.names.measured, rows, self.trial.limit);
        let observer = Arc::new(MeasuredLoad(self.observers().cloned().collect()));
        let load = async {
            if let Some(test) = context.distributed {
                return test.load(context.common_start(), context.cancel).await;
            }
            let sent = run_load(plan, context.clock, observer, context.cancel.clone());
            Ok(sent.await?)
        };
        let mut load = Box::pin(load);
        let mut progress_tracker = ProgressTracker::new();
        let tick = if self.faults.is_idle() {
            TICK
        } else {
            FAULT_TICK
        };
        let mut told = Instant::now();
        let mut standstill = self.standstill_guard();
        loop {
            tokio::select! {
                summary = &mut load => return summary,
                () = tokio::time::sleep(tick) => {}
            }
            self.step_faults().await?;
            self.check().await?;
            self.check_standstill(&mut standstill, PathObserver::under_way)?;
            if told.elapsed() >= SHOWN_EVERY {
                told = Instant::now();
                self.tell_measured(Phase::Load, &mut progress_tracker);
            }
        }
    }

    /// A guard of all paths.
    pub(crate) fn standstill_guard(&self) -> StandstillGuard {
        StandstillGuard::new(self.paths.len(), self.context.request.longest_silence())
    }

    /// Fails if nothing has come through a path for too long, of which `waiting` says how many events are under way.
    pub(crate) fn check_standstill(
        &self,
        guard: &mut StandstillGuard,
        waiting: impl Fn(&PathObserver) -> u64,
    ) -> Result<(), Failure> {
        let seen = lock(&self.seen);
        guard.check(&self.paths, waiting, (&seen, self.context.postgres_guard))
    }

    /// Makes and ends the faults that are due.
    async fn step_faults(&mut self) -> Result<(), Failure> {
        if self.faults.is_idle() {
            return Ok(());
        }
        let seen = lock(&self.seen).clone();
        let limit = self.trial.limit;
        self.faults.step(&mut self.paths, limit, &seen).await
    }

    /// Waits until every event is written on every path, or none was written within the drain timeout. True for each path
    /// whose events are all written.
    pub(crate) async fn drain(&mut self) -> Result<Vec<bool>, Failure> {
        tracing::info!(step = "drain", "begins");
        let context = self.context;
        let limit = context.request.drain_timeout;
        let mut progress_tracker = ProgressTracker::new();
        let mut told = Instant::now();
        let mut patience: Vec<_> = self.paths.iter().map(|_| StallTimer::new()).collect();
        loop {
            self.step_faults().await?;
            self.check().await?;
            let standing = self.observers().zip(&mut patience);
            let standing: Vec<_> = standing
                .map(|(path, patience)| DrainState::of(path, patience, limit))
                .collect();
            let is_over = standing.iter().all(|path| *path != DrainState::UnderWay);
            if is_over && !self.faults.is_under_way() {
                for (path, _) in self
                    .paths
                    .iter()
                    .zip(&standing)
                    .filter(|(_, standing)| **standing == DrainState::Stuck)
                {
                    let tally = path.observer.tally();
                    tracing::error!(
                        path = %path.route.path,
                        inserted = tally.inserted,
                        written = tally.written,
                        "no event came through for {} s; the drain ends",
                        limit.as_secs()
                    );
                }
                let is_through = |path: &DrainState| *path == DrainState::Through;
                return Ok(standing.iter().map(is_through).collect());
            }
            if told.elapsed() >= SHOWN_EVERY {
                told = Instant::now();
                self.tell_measured(Phase::Drain, &mut progress_tracker);
            }
            tokio::time::sleep(TICK / 4).await;
        }
    }

    /// Reports the progress of the slowest path.
    fn tell_measured(&self, phase: Phase, progress_tracker: &mut ProgressTracker) {
        let target = match self.trial.limit {
            Limit::Events(count) => Some(count),
            Limit::Duration(_) => None,
        };
        let inserted = self.least(|path| path.tally().inserted);
        let written = self.least(|path| path.tally().written);
        let refused = self.least(|path| path.tally().insert_errors);
        let errors = refused + self.sum(|path| path.dead_letters.load(Ordering::Relaxed));
        self.tell(phase, target, (inserted, written, errors), progress_tracker);
    }

    /// Reports the progress of the run.
    pub(crate) fn tell(
        &self,
        phase: Phase,
        target: Option<u64>,
        (inserted, written, errors): (u64, u64, u64),
        progress_tracker: &mut ProgressTracker,
    ) {
        let context = &self.context;
        let elsewhere = self.observers().next();
        let elsewhere = elsewhere.and_then(|path| path.total_elsewhere());
        let total = elsewhere.or_else(|| context.live_metrics.total(phase));
        context.progress.load(&LoadState {
            phase: phase.as_str(),
            target,
            inserted,
            written,
            written_per_s: progress_tracker.rate(written),
            p50: total.map(|(p50, _)| p50),
            p99: total.map(|(_, p99)| p99),
            errors,
        });
        let pace = context.pace();
        let load = LoadFigures {
            target,
            rate_per_s: pace.rate().per_second(),
            is_paused: pace.is_paused(),
            inserted,
            written,
            errors,
            quiet_s: progress_tracker.quiet_s(written, inserted.saturating_sub(written + errors)),
        };
        let seen = lock(&self.seen).clone();
        let tallies = self.paths.iter().map(|path| {
            let tally = path.observer.tally();
            (path.route.path, tally)
        });
        let tallies: Vec<_> = tallies.collect();
        let now = context.clock.now();
        let figures =
            context
                .live_metrics
                .figures(phase, load, context.request, (&tallies, &seen), now);
        context.progress.figures(figures);
    }
}

/// The state of a path in the drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DrainState {
    UnderWay,
    Through,
    /// Nothing was written within the drain timeout.
    Stuck,
}

impl DrainState {
    fn of(observer: &PathObserver, patience: &mut StallTimer, limit: Duration) -> Self {
        let tally = observer.tally();
        let ours = observer.abandoned.load(Ordering::Relaxed);
        let dead_letters = observer.dead_letters.load(Ordering::Relaxed);
        let captured = tally.captured >= tally.inserted || !observer.joiner.is_observed();
        if captured && tally.written + ours >= tally.inserted {
            // A delivery report may arrive after the document is stored.
            let joined = tally.joined + ours >= tally.inserted;
            if joined || patience.quiet_for(tally.joined) > UNREAD_PATIENCE {
                return Self::Through;
            }
            return Self::UnderWay;
        }
        let quiet = patience.quiet_for(tally.written + dead_letters + tally.captured);
        // A record that could not be decoded may have been one of ours.
        if captured && tally.written + dead_letters >= tally.inserted && quiet > UNREAD_PATIENCE {
            return Self::Through;
        }
        if quiet > limit {
            Self::Stuck
        } else {
            Self::UnderWay
        }
    }
}
