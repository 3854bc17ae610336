//! The warm-up: servers that were just started are slow, the JVMs above all, and would distort the first measured events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::live::Phase;
use crate::load::{Limit, LoadPlan, Pace, Rate, run_load};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::monitor::jvm::CompilerSample;
use crate::pipeline::request::WarmUp;
use crate::pipeline::run::observer::{PathObserver, WarmupLoad};
use crate::pipeline::run::phases::{Phases, TICK, WARMUP_SEED};
use crate::pipeline::run::progress_tracker::{ProgressTracker, StallTimer};

/// Lowest rate of a warm-up, events per second.
const LEAST_RATE: u32 = 100;
/// Rate of the load while JVMs settle, events per second.
const SETTLING_RATE: u32 = 200;
/// Events of one part of that load. The next part begins when all of them are stored, so that a slow store has no backlog.
const SETTLING_PART: u64 = 400;
/// Longest wait for JVMs to settle.
const SETTLING_LIMIT: Duration = Duration::from_secs(120);
/// JVMs have settled when their compilers keep fewer cores busy than this.
const SETTLED: f64 = 0.1;

/// A warm-up so far.
struct WarmUpProgress {
    /// Number of its events so far.
    events: u64,
    load: Arc<WarmupLoad>,
    progress_tracker: ProgressTracker,
}

impl Default for WarmUpProgress {
    fn default() -> Self {
        Self {
            events: 0,
            load: Arc::default(),
            progress_tracker: ProgressTracker::new(),
        }
    }
}

/// Whether JVMs whose compilers keep this many cores busy are still getting faster; false if that is unknown.
fn still_compile(compiling: Option<f64>) -> bool {
    compiling.is_some_and(|cores| cores >= SETTLED)
}

impl Phases<'_> {
    /// Sends events that are not measured, so that caches, connections and code paths are warm, and drains them. Returns
    /// their number.
    pub(crate) async fn warm_up(&mut self) -> Result<u64, Failure> {
        let context = self.context;
        let WarmUp { events, settles } = context.request.warmup;
        if events == 0 {
            return Ok(0);
        }
        tracing::info!(step = "warm-up", "begins");
        // A slow load is warmed up at a higher rate, to save time.
        let pace = match context.request.rate.per_second() {
            Some(rate) if rate < f64::from(LEAST_RATE) => Rate::whole(LEAST_RATE).into(),
            _ => context.pace(),
        };
        let mut warming = WarmUpProgress::default();
        let mut compiling = self.warm_up_by(events, pace, &mut warming).await?;
        context.progress.load_over();
        if settles && still_compile(compiling) {
            let step = "settling";
            context.progress.begin(step);
            let began = Instant::now();
            while still_compile(compiling) && began.elapsed() < SETTLING_LIMIT {
                let cores = compiling.unwrap_or_default();
                let detail = format!("the JVMs keep {cores:.1} cores busy with compiling");
                context.progress.update(step, &detail);
                let pace = Rate::whole(SETTLING_RATE).into();
                compiling = self.warm_up_by(SETTLING_PART, pace, &mut warming).await?;
            }
            context.progress.load_over();
            let end = if still_compile(compiling) {
                "the JVMs still compile: what is measured first is slower than it will be"
            } else {
                "the JVMs have compiled what there is"
            };
            let detail = format!("{} events before the measured ones, {end}", warming.events);
            context.progress.end(step, &detail);
        }
        Ok(warming.events)
    }

    /// Sends this many of them. Returns the number of cores that JIT compilers kept busy meanwhile, if known.
    async fn warm_up_by(
        &mut self,
        events: u64,
        pace: Pace,
        warming: &mut WarmUpProgress,
    ) -> Result<Option<f64>, Failure> {
        let stack = self.context.stack;
        let before = CompilerSample::take(stack);
        self.send_unmeasured(events, pace, warming).await?;
        warming.events += events;
        let now = CompilerSample::take(stack);
        Ok(before
            .zip(now)
            .map(|(before, now)| now.cores_since(&before)))
    }

    /// Sends this many of them, and waits until they are processed.
    async fn send_unmeasured(
        &mut self,
        events: u64,
        pace: Pace,
        warming: &mut WarmUpProgress,
    ) -> Result<(), Failure> {
        let context = self.context;
        let request = context.request;
        let WarmUpProgress {
            events: done,
            load,
            progress_tracker,
        } = warming;
        let rows = self.generator(WARMUP_SEED);
        let rows = rows.skip(usize::try_from(*done).unwrap_or(usize::MAX));
        let sent = run_load(
            LoadPlan {
                pace,
                ..self.plan(&self.trial.names.warmup, rows, Limit::Events(events))
            },
            context.clock,
            Arc::clone(load) as Arc<_>,
            context.cancel.clone(),
        );
        tokio::pin!(sent);
        // The number of events after the first part is unknown.
        let target = (*done == 0).then_some(events);
        let mut is_sent = false;
        let mut patience = StallTimer::new();
        loop {
            tokio::select! {
                summary = &mut sent, if !is_sent => {
                    summary?;
                    is_sent = true;
                }
                () = tokio::time::sleep(TICK) => {}
            }
            self.check().await?;
            let written = self.least(|path| path.warmup_written.load(Ordering::Relaxed));
            let acknowledged = load.acknowledged.load(Ordering::Relaxed);
            let errors = self.sum(|path| path.dead_letters.load(Ordering::Relaxed));
            let figures = (acknowledged, written, errors);
            self.tell(Phase::WarmUp, target, figures, progress_tracker);
            let through = |path: &PathObserver| {
                path.warmup_written.load(Ordering::Relaxed)
                    + path.dead_letters.load(Ordering::Relaxed)
            };
            if is_sent && self.least(through) >= acknowledged {
                return Ok(());
            }
            if patience.quiet_for(self.sum(through)) > request.drain_timeout && is_sent {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_not_waited_for() {
        assert!(still_compile(Some(0.4)));
        assert!(!still_compile(Some(0.05)));
        assert!(!still_compile(None));
    }
}
