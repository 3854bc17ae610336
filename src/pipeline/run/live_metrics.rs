//! The figures of a run in progress, from its events, its counters, and the status of the servers.

use cdc_bench_model::timeline::Tally;
use std::sync::{Arc, Mutex};

use cdc_bench_model::analysis::{Measured, Objective};
use cdc_bench_model::timeline::{CapturePath, Joined, Nanos, Stamp};

use crate::live::{Figures, LoadFigures, PathMeter, PathState, Phase};
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::server_monitor::ServerStatus;
use crate::pipeline::request::RunRequest;

/// A meter for each path of a run, the first of which the objectives are for.
pub(crate) struct LiveMetrics(Arc<[Mutex<PathMeter>]>);

impl LiveMetrics {
    pub(crate) fn new(paths: &[CapturePath]) -> Self {
        let live_metrics = paths.iter().map(|path| Mutex::new(PathMeter::new(*path)));
        Self(live_metrics.collect())
    }

    /// A listener that records every event, with the index of its path.
    pub(crate) fn listener(&self) -> impl FnMut(usize, &Joined) + Send + 'static {
        let live_metrics = Arc::clone(&self.0);
        move |path, event| lock(&live_metrics[path]).record(event)
    }

    /// Median and 99th percentile of the first path's total.
    pub(crate) fn total(&self) -> Option<(Nanos, Nanos)> {
        self.0.first().and_then(|meter| lock(meter).total())
    }

    /// The current figures of the run.
    pub(crate) fn figures(
        &self,
        phase: Phase,
        load: LoadFigures,
        request: &RunRequest,
        (tallies, status): (&[(CapturePath, Tally)], &ServerStatus),
        now: Stamp,
    ) -> Figures {
        let state = |meter: &Mutex<PathMeter>| {
            let mut state = lock(meter).state(now);
            if let Some((_, tally)) = tallies.iter().find(|(path, _)| *path == state.path) {
                count(&mut state, tally);
            }
            status.complete(&mut state);
            state
        };
        Figures {
            objectives: self.objectives(&load, request),
            phase,
            load,
            paths: self.0.iter().map(state).collect(),
            servers: status.servers.clone(),
        }
    }

    #[allow(clippy::cast_precision_loss)] // event counts far below 2^53
    fn objectives(&self, load: &LoadFigures, request: &RunRequest) -> Vec<Objective> {
        let Some(first) = self.0.first() else {
            return Vec::new();
        };
        let (total, throughput) = lock(first).reached();
        let processed = load.written + load.errors;
        let reached = Measured {
            total: total.as_ref(),
            throughput,
            success_percent: load.written as f64 / processed.max(1) as f64 * 100.0,
            match_percent: None,
        };
        let mut objectives = request.targets.judge(&reached);
        if total.is_none() {
            // Before the first event no objective has a value.
            for objective in &mut objectives {
                objective.measured = None;
            }
        }
        objectives
    }
}

/// Copies the path's counters.
fn count(state: &mut PathState, tally: &Tally) {
    state.inserted = tally.inserted;
    state.captured = tally.captured;
    state.consumed = tally.consumed;
    state.written = tally.written;
}
