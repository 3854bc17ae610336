//! The figures of a run under way: out of its events, its counters, and what the servers say.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::leg::Path;
use super::lookout::Sight;
use super::phases::RateMeter;
use super::{RunRequest, lock};
use crate::live::{Figures, LoadFigures, PathMeter, PathState, Phase};
use cdc_bench_model::analysis::{Objective, RunFigures};
use cdc_bench_model::timeline::{CapturePath, Joined, Nanos, Stamp};

/// A meter for each path of a run, the first of which the objectives are for.
pub(super) struct Meters(Arc<[Mutex<PathMeter>]>);

impl Meters {
    pub(super) fn new(paths: &[CapturePath]) -> Self {
        let meters = paths.iter().map(|path| Mutex::new(PathMeter::new(*path)));
        Self(meters.collect())
    }

    /// Takes in every event, given the position of its path.
    pub(super) fn listener(&self) -> impl FnMut(usize, &Joined) + Send + 'static {
        let meters = Arc::clone(&self.0);
        move |path, event| lock(&meters[path]).record(event)
    }

    /// Median and 99th percentile of the first path's total.
    pub(super) fn total(&self) -> Option<(Nanos, Nanos)> {
        self.0.first().and_then(|meter| lock(meter).total())
    }

    /// How the run stands.
    pub(super) fn figures(
        &self,
        phase: Phase,
        load: LoadFigures,
        request: &RunRequest,
        (paths, sight): (&[Path], &Sight),
        now: Stamp,
    ) -> Figures {
        let state = |meter: &Mutex<PathMeter>| {
            let mut state = lock(meter).state(now);
            if let Some(path) = paths.iter().find(|path| path.route.path == state.path) {
                count(&mut state, path);
            }
            sight.complete(&mut state);
            state
        };
        Figures {
            objectives: self.objectives(&load, request),
            phase,
            load,
            paths: self.0.iter().map(state).collect(),
            servers: sight.servers.clone(),
        }
    }

    #[allow(clippy::cast_precision_loss)] // event counts far below 2^53
    fn objectives(&self, load: &LoadFigures, request: &RunRequest) -> Vec<Objective> {
        let Some(first) = self.0.first() else {
            return Vec::new();
        };
        let (total, throughput) = lock(first).reached();
        let processed = load.written + load.errors;
        let reached = RunFigures {
            total: total.as_ref(),
            throughput,
            success_percent: load.written as f64 / processed.max(1) as f64 * 100.0,
            match_percent: None,
        };
        let mut objectives = request.targets.judge(&reached);
        if total.is_none() {
            // Before the first event nothing is known of any.
            for objective in &mut objectives {
                objective.measured = None;
            }
        }
        objectives
    }
}

/// What the path's counters say.
fn count(state: &mut PathState, path: &Path) {
    let tally = path.observer.joiner.tally();
    state.inserted = tally.inserted;
    state.captured = tally.captured;
    state.consumed = tally.consumed;
    state.written = tally.written;
}

/// Sees how fast a count grows, and how long it has not grown.
pub(super) struct Eye {
    rate: RateMeter,
    moved: (u64, Instant),
}

impl Eye {
    pub(super) fn new() -> Self {
        Self {
            rate: RateMeter::default(),
            moved: (0, Instant::now()),
        }
    }

    /// Events a second over the last second.
    pub(super) fn rate(&mut self, count: u64) -> f64 {
        self.rate.read(count)
    }

    /// How long the count has stood still although `more` is to come, seconds.
    pub(super) fn quiet_s(&mut self, count: u64, more: u64) -> f64 {
        if count != self.moved.0 || more == 0 {
            self.moved = (count, Instant::now());
        }
        (self.moved.1.elapsed().as_secs_f64() * 10.0).round() / 10.0
    }
}
