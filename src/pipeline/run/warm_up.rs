//! Servers that were just started are slow, the JVMs above all: what is measured first would be held against them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::live::Phase;
use crate::load::{Limit, LoadControl, LoadPlan, Rate, run_load};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::monitor::jvm::CompilerSample;
use crate::pipeline::request::WarmUp;
use crate::pipeline::run::observer::{PathObserver, WarmupLoad};
use crate::pipeline::run::phases::{Phases, TICK, WARMUP_SEED};
use crate::pipeline::run::progress_tracker::{ProgressTracker, StallTimer};

/// Events a second of a warm-up, at least.
const LEAST_RATE: u32 = 100;
/// Events of the first sample: where the JVMs compile next to nothing meanwhile, they have settled before.
const FIRST_SAMPLE: u64 = 200;
/// Events a second for JVMs to settle by.
const SETTLING_RATE: u32 = 200;
/// Events of one part of that. The next begins when it is through, so that a slow store is not left with a queue.
const SETTLING_PART: u64 = 400;
/// Longest wait for JVMs to settle.
const SETTLING_LIMIT: Duration = Duration::from_secs(120);
/// JVMs have settled when their compilers keep fewer cores busy than this.
const SETTLED: f64 = 0.1;

/// A warm-up so far.
struct WarmUpProgress {
    /// Events of it.
    events: u64,
    load: Arc<WarmupLoad>,
    progress_tracker: ProgressTracker,
}

impl WarmUpProgress {
    fn over(paths: Vec<Arc<PathObserver>>) -> Self {
        Self {
            events: 0,
            load: Arc::new(WarmupLoad::over(paths)),
            progress_tracker: ProgressTracker::new(),
        }
    }
}

/// Whether whoever watches has asked for the measured events.
struct WarmUpCut {
    steering: Option<LoadControl>,
    /// How often it had been asked for before this warm-up.
    before: u64,
}

impl WarmUpCut {
    fn of(steering: Option<LoadControl>) -> Self {
        let before = steering.as_ref().map_or(0, LoadControl::begun);
        Self { steering, before }
    }

    fn is_asked_for(&self) -> bool {
        let begun = self.steering.as_ref().map_or(0, LoadControl::begun);
        begun > self.before
    }

    /// The report tells of it.
    fn note(&self) {
        if let Some(steering) = &self.steering {
            steering.record_warm_up_cut();
        }
    }
}

/// Whether JVMs whose compilers keep so many cores busy get faster yet. Not known is no.
fn still_compile(compiling: Option<f64>) -> bool {
    compiling.is_some_and(|cores| cores >= SETTLED)
}

impl Phases<'_> {
    /// Events that are not measured: every cache, connection and code path gets warm, and what they leave is drained. How
    /// many there were.
    pub(crate) async fn warm_up(&mut self) -> Result<u64, Failure> {
        let context = self.context;
        let WarmUp { events, settles } = context.request.warmup;
        if events == 0 {
            return Ok(0);
        }
        tracing::info!(step = "warm-up", "begins");
        let pace = self.warm_up_pace();
        let mut warming = WarmUpProgress::over(self.observers().cloned().collect());
        let cut = WarmUpCut::of(context.progress.pace());
        // Servers that have run before need no more than a first sample.
        let sample = if settles {
            events.min(FIRST_SAMPLE)
        } else {
            events
        };
        let mut compiling = self.warm_up_by(sample, pace, &cut, &mut warming).await?;
        let is_settled = compiling.is_some() && !still_compile(compiling);
        if warming.events < events && !is_settled && !cut.is_asked_for() {
            let rest = events - warming.events;
            let pace = self.warm_up_pace();
            compiling = self.warm_up_by(rest, pace, &cut, &mut warming).await?;
        }
        context.progress.load_over();
        if settles && still_compile(compiling) && !cut.is_asked_for() {
            let step = "settling";
            context.progress.begin(step);
            let began = Instant::now();
            while still_compile(compiling)
                && began.elapsed() < SETTLING_LIMIT
                && !cut.is_asked_for()
            {
                let cores = compiling.unwrap_or_default();
                let detail = format!("the JVMs keep {cores:.1} cores busy with compiling");
                context.progress.update(step, &detail);
                let pace = Rate::whole(SETTLING_RATE).into();
                compiling = self
                    .warm_up_by(SETTLING_PART, pace, &cut, &mut warming)
                    .await?;
            }
            context.progress.load_over();
            let end = if cut.is_asked_for() {
                "ended by hand: what is measured first is slower than it will be"
            } else if still_compile(compiling) {
                "the JVMs still compile: what is measured first is slower than it will be"
            } else {
                "the JVMs have compiled what there is"
            };
            let detail = format!("{} events before the measured ones, {end}", warming.events);
            context.progress.end(step, &detail);
        }
        if cut.is_asked_for() {
            cut.note();
        }
        Ok(warming.events)
    }

    /// What is not measured need not take as long as what is.
    fn warm_up_pace(&self) -> LoadControl {
        match self.context.request.rate.per_second() {
            Some(rate) if rate < f64::from(LEAST_RATE) => Rate::whole(LEAST_RATE).into(),
            _ => self.context.pace(),
        }
    }

    /// So many of them. Processors that JVMs kept busy with compiling meanwhile, where that can be seen.
    async fn warm_up_by(
        &mut self,
        events: u64,
        pace: LoadControl,
        cut: &WarmUpCut,
        warming: &mut WarmUpProgress,
    ) -> Result<Option<f64>, Failure> {
        let stack = self.context.stack;
        let before = CompilerSample::take(stack);
        warming.events += self.send_unmeasured(events, pace, cut, warming).await?;
        let now = CompilerSample::take(stack);
        Ok(before
            .zip(now)
            .map(|(before, now)| now.cores_since(&before)))
    }

    /// Sends so many of them, fewer where the warm-up is cut, and waits until they are through. How many they were.
    async fn send_unmeasured(
        &mut self,
        events: u64,
        pace: LoadControl,
        cut: &WarmUpCut,
        warming: &mut WarmUpProgress,
    ) -> Result<u64, Failure> {
        let context = self.context;
        let request = context.request;
        let WarmUpProgress {
            events: done,
            load,
            progress_tracker,
        } = warming;
        let rows = self.generator(WARMUP_SEED);
        let rows = rows.skip(usize::try_from(*done).unwrap_or(usize::MAX));
        let stop = context.cancel.child_token();
        let before = load.acknowledged.load(Ordering::Relaxed);
        let sent = run_load(
            LoadPlan {
                control: pace,
                ..self.plan(&self.trial.names.warmup, rows, Limit::Events(events))
            },
            context.clock,
            Arc::clone(load) as Arc<_>,
            stop.clone(),
        );
        tokio::pin!(sent);
        // How many come after the first part is not known.
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
            if cut.is_asked_for() {
                stop.cancel();
            }
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
                return Ok(acknowledged - before);
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
