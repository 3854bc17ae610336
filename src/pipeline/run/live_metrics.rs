//! The live figures of a run: from its events, its counters and the status of its servers.

use cdc_bench_model::timeline::Tally;
use std::sync::{Arc, Mutex};

use cdc_bench_model::analysis::{Objective, RunFigures};
use cdc_bench_model::timeline::{CapturePath, Joined, Nanos, Stamp};

use crate::live::{Figures, LoadFigures, PathMeter, PathState, Phase};
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::server_monitor::ServerStatus;
use crate::pipeline::request::RunRequest;

/// A meter for each path of a run. The objectives apply to the first.
type Meters = Arc<[Mutex<PathMeter>]>;

/// The meters of a run's paths.
pub(crate) struct LiveMetrics {
    /// Of measured events.
    measured: Meters,
    /// Of the events before them.
    warm_up: Meters,
}

impl LiveMetrics {
    pub(crate) fn new(paths: &[CapturePath]) -> Self {
        let meters = || {
            let meters = paths.iter().map(|path| Mutex::new(PathMeter::new(*path)));
            meters.collect()
        };
        Self {
            measured: meters(),
            warm_up: meters(),
        }
    }

    /// Records every measured event, by the position of its path.
    pub(crate) fn listener(&self) -> impl FnMut(usize, &Joined) + Send + 'static {
        let meters = Arc::clone(&self.measured);
        move |path, event| lock(&meters[path]).record(event)
    }

    /// Records every warm-up event of a path.
    pub(crate) fn warm_up_listener(
        &self,
        path: CapturePath,
    ) -> impl Fn(&Joined) + Send + Sync + 'static {
        let meters = Arc::clone(&self.warm_up);
        let position = meters.iter().position(|meter| lock(meter).path() == path);
        move |event| {
            if let Some(meter) = position.and_then(|position| meters.get(position)) {
                lock(meter).record(event);
            }
        }
    }

    /// Median and 99th percentile of the first path's total: in the warm-up those of its events, later of the measured ones.
    pub(crate) fn total(&self, phase: Phase) -> Option<(Nanos, Nanos)> {
        let meters = match phase {
            Phase::WarmUp => &self.warm_up,
            _ => &self.measured,
        };
        meters.first().and_then(|meter| lock(meter).total())
    }

    /// The figures at this time.
    pub(crate) fn figures(
        &self,
        phase: Phase,
        load: LoadFigures,
        request: &RunRequest,
        (tallies, status): (&[(CapturePath, Tally)], &ServerStatus),
        now: Stamp,
    ) -> Figures {
        let state = |(meter, warm_up): (&Mutex<PathMeter>, &Mutex<PathMeter>)| {
            let mut state = lock(meter).state(now);
            if phase == Phase::WarmUp {
                state.hops = lock(warm_up).state(now).hops;
            }
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
            paths: self
                .measured
                .iter()
                .zip(&*self.warm_up)
                .map(state)
                .collect(),
            servers: status.servers.clone(),
            observation: None,
        }
    }

    #[allow(clippy::cast_precision_loss)] // event counts far below 2^53
    fn objectives(&self, load: &LoadFigures, request: &RunRequest) -> Vec<Objective> {
        let Some(first) = self.measured.first() else {
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
            // Nothing is measured before the first event.
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
