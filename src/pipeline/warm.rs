//! Servers that were just started are slow, the JVMs above all: what is measured first would be held against them.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::gauge::Eye;
use super::observer::{PathObserver, WarmupLoad};
use super::phases::{Patience, Phases, TICK, WARMUP_SEED};
use super::within::Within;
use super::{Failure, RunProgress, RunRequest, compilers, exit, run_on};
use crate::live::Phase;
use crate::load::{Limit, LoadControl, LoadPlan, Rate, run_load};
use cdc_bench_model::RunId;
use cdc_bench_model::report::ResultFolder;
use cdc_bench_stack::Stack;

/// As many events as this many warm-ups of a run.
const WARM_UPS: u64 = 5;
/// Events a second of a warm-up, at least.
const LEAST_RATE: u32 = 100;
/// Events a second for JVMs to settle by.
const SETTLING_RATE: u32 = 200;
/// Events of one part of that. The next begins when it is through, so that a slow store is not left with a queue.
const SETTLING_PART: u64 = 400;
/// Longest wait for JVMs to settle.
const SETTLING_LIMIT: Duration = Duration::from_secs(120);
/// JVMs have settled when their compilers keep fewer cores busy than this.
const SETTLED: f64 = 0.1;

/// The events before the measured ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// So many at least.
    pub events: u64,
    /// And then on until the JVMs of a local stack have compiled what there is to compile.
    pub settles: bool,
}

impl WarmUp {
    /// Until the servers have settled.
    pub const AUTO: Self = Self {
        events: 500,
        settles: true,
    };

    /// So many events.
    #[must_use]
    pub const fn of(events: u64) -> Self {
        Self {
            events,
            settles: false,
        }
    }
}

/// Neither a number nor `auto`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a number of events, or \"auto\": until the servers have settled")]
pub struct ParseWarmUpError;

impl FromStr for WarmUp {
    type Err = ParseWarmUpError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::AUTO);
        }
        text.parse().map(Self::of).map_err(|_| ParseWarmUpError)
    }
}

/// A warm-up so far.
struct Warming {
    /// Events of it.
    events: u64,
    load: Arc<WarmupLoad>,
    eye: Eye,
}

impl Default for Warming {
    fn default() -> Self {
        Self {
            events: 0,
            load: Arc::default(),
            eye: Eye::new(),
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
    pub(super) async fn warm_up(&mut self) -> Result<u64, Failure> {
        let course = self.course;
        let WarmUp { events, settles } = course.request.warmup;
        if events == 0 {
            return Ok(0);
        }
        tracing::info!(step = "warm-up", "begins");
        // What is not measured need not take as long as what is.
        let pace = match course.request.rate.per_second() {
            Some(rate) if rate < f64::from(LEAST_RATE) => Rate::whole(LEAST_RATE).into(),
            _ => course.pace(),
        };
        let mut warming = Warming::default();
        let mut compiling = self.warm_up_by(events, pace, &mut warming).await?;
        course.progress.load_over();
        if settles && still_compile(compiling) {
            let step = "settling";
            course.progress.begin(step);
            let began = Instant::now();
            while still_compile(compiling) && began.elapsed() < SETTLING_LIMIT {
                let cores = compiling.unwrap_or_default();
                let detail = format!("the JVMs keep {cores:.1} cores busy with compiling");
                course.progress.update(step, &detail);
                let pace = Rate::whole(SETTLING_RATE).into();
                compiling = self.warm_up_by(SETTLING_PART, pace, &mut warming).await?;
            }
            course.progress.load_over();
            let end = if still_compile(compiling) {
                "the JVMs still compile: what is measured first is slower than it will be"
            } else {
                "the JVMs have compiled what there is"
            };
            let detail = format!("{} events before the measured ones, {end}", warming.events);
            course.progress.end(step, &detail);
        }
        Ok(warming.events)
    }

    /// So many of them. Processors that JVMs kept busy with compiling meanwhile, where that can be seen.
    async fn warm_up_by(
        &mut self,
        events: u64,
        pace: LoadControl,
        warming: &mut Warming,
    ) -> Result<Option<f64>, Failure> {
        let stack = self.course.stack;
        let before = compilers::Reading::take(stack);
        self.send_unmeasured(events, pace, warming).await?;
        warming.events += events;
        let now = compilers::Reading::take(stack);
        Ok(before
            .zip(now)
            .map(|(before, now)| now.cores_since(&before)))
    }

    /// Sends so many of them, and waits until they are through.
    async fn send_unmeasured(
        &mut self,
        events: u64,
        pace: LoadControl,
        warming: &mut Warming,
    ) -> Result<(), Failure> {
        let course = self.course;
        let request = course.request;
        let Warming {
            events: done,
            load,
            eye,
        } = warming;
        let rows = self.generator(WARMUP_SEED);
        let rows = rows.skip(usize::try_from(*done).unwrap_or(usize::MAX));
        let sent = run_load(
            LoadPlan {
                control: pace,
                ..self.plan(&self.leg.names.warmup, rows, Limit::Events(events))
            },
            course.clock,
            Arc::clone(load) as Arc<_>,
            course.cancel.clone(),
        );
        tokio::pin!(sent);
        // How many come after the first part is not known.
        let target = (*done == 0).then_some(events);
        let mut is_sent = false;
        let mut patience = Patience::new();
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
            self.tell(Phase::WarmUp, target, figures, eye);
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

/// One run of all paths of which nothing is kept; none where runs have no warm-up.
pub(super) async fn warm(
    template: &RunRequest,
    rate: Rate,
    stack: &Stack,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let events = template.warmup.events;
    if events == 0 {
        return Ok(());
    }
    let folder = ResultFolder::create(template.folder.path(), "warm-up")?;
    let run = RunRequest {
        id: RunId::generate(),
        limit: Limit::Events(events * WARM_UPS),
        rate,
        warmup: WarmUp {
            settles: true,
            ..template.warmup
        },
        folder,
        ..template.clone()
    };
    let step = "warming the servers up";
    let inner = Within::enter(progress, step);
    let outcome = run_on(&run, stack, &inner, cancel).await;
    // Its files tell nothing, whether or not they go.
    let _ = std::fs::remove_dir_all(run.folder.path());
    outcome?;
    progress.end(step, "one run that does not count");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_is_a_number_or_until_the_servers_have_settled() {
        assert_eq!("auto".parse(), Ok(WarmUp::AUTO));
        assert_eq!("0".parse(), Ok(WarmUp::of(0)));
        assert_eq!("20".parse::<WarmUp>().unwrap().events, 20);
        for wrong in ["", "-1", "Auto", "1.5"] {
            assert_eq!(wrong.parse::<WarmUp>(), Err(ParseWarmUpError), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_not_waited_for() {
        assert!(still_compile(Some(0.4)));
        assert!(!still_compile(Some(0.05)));
        assert!(!still_compile(None));
    }
}
