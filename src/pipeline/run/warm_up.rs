//! The warm-up: events before the measured ones, until the JVMs of a local stack have compiled their hot code.

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

/// Lowest rate of a warm-up, events per second.
const LEAST_RATE: u32 = 100;
/// Events of the first sample. JVMs that compile next to nothing during it settled in an earlier run.
const FIRST_SAMPLE: u64 = 200;
/// Rate at which the JVMs settle, events per second.
const SETTLING_RATE: u32 = 200;
/// Events of one batch of it. The next batch starts when this one is written, so that a slow store builds up no queue.
const SETTLING_PART: u64 = 400;
/// Longest time for the JVMs to settle.
const SETTLING_LIMIT: Duration = Duration::from_secs(120);
/// The JVMs have settled when their compilers use fewer cores than this.
const SETTLED: f64 = 0.1;

/// The progress of a warm-up.
struct WarmUpProgress {
    /// Events sent so far.
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

/// Tells when the user ends the warm-up.
struct WarmUpCut {
    steering: Option<LoadControl>,
    /// Number of such requests before this warm-up.
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

    /// Records it for the report.
    fn note(&self) {
        if let Some(steering) = &self.steering {
            steering.record_warm_up_cut();
        }
    }
}

/// Whether the JVMs still compile, by the cores that their compilers use; false if unknown.
fn still_compile(compiling: Option<f64>) -> bool {
    compiling.is_some_and(|cores| cores >= SETTLED)
}

impl Phases<'_> {
    /// Sends events that are not measured, and waits until all are written. Returns their number.
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
        // Servers that have settled in an earlier run need only a first sample.
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

    /// The rate of the measured events, but no lower than [`LEAST_RATE`].
    fn warm_up_pace(&self) -> LoadControl {
        match self.context.request.rate.per_second() {
            Some(rate) if rate < f64::from(LEAST_RATE) => Rate::whole(LEAST_RATE).into(),
            _ => self.context.pace(),
        }
    }

    /// Sends a batch of warm-up events. Returns the number of cores that the JVMs compiled on meanwhile, if it is known.
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

    /// Sends a batch of events and waits until they are written. Returns their number: fewer if the warm-up was ended.
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
        // The number of further events is not known in advance.
        let target = (*done == 0).then_some(events);
        let mut is_sent = false;
        let mut patience = StallTimer::new();
        let mut standstill = self.standstill_guard();
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
                // Also rows that were refused: the next batch must not send them again.
                return Ok(if cut.is_asked_for() {
                    acknowledged - before
                } else {
                    events
                });
            }
            self.check_standstill(&mut standstill, |path| {
                acknowledged.saturating_sub(through(path))
            })?;
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
