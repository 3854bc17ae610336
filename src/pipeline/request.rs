//! What a run is asked to do.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::report::ResultFolder;
use cdc_bench_model::timeline::CapturePath;

use crate::debezium::ConnectorProfile;
use crate::load::{Limit, Rate};
use crate::pipeline::export::metrics::Metrics;
use crate::pipeline::export::traces::Traces;
use crate::settings::Settings;

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Name of the run.
    pub id: RunId,
    /// Endpoints and what else comes from the environment.
    pub settings: Settings,
    /// How much is measured.
    pub limit: Limit,
    /// How fast.
    pub rate: Rate,
    /// Rows a transaction.
    pub insert_batch: usize,
    /// Connections of the load generator.
    pub connections: usize,
    /// Events before the measured ones.
    pub warmup: WarmUp,
    /// Seed of the events.
    pub seed: u64,
    /// The capture paths, the first of which the objectives are for. None comes twice.
    pub paths: Vec<CapturePath>,
    /// How often each path has its turn; `None`: all at once, on the same inserts.
    pub rounds: Option<u32>,
    /// Which connector.
    pub connector: ConnectorRequest,
    /// How long every event is held up between its receipt and its write.
    pub transform_delay: Option<Duration>,
    /// Whether our reader looks on beside Debezium.
    pub observer: bool,
    /// What has to be reached.
    pub targets: Targets,
    /// Longest time without an event coming through before the drain gives up.
    pub drain_timeout: Duration,
    /// Folder of the result.
    pub folder: ResultFolder,
    /// Where whoever watches reads the figures while the run goes on.
    pub metrics: Option<Arc<Metrics>>,
    /// Where its events leave their traces.
    pub traces: Option<Arc<Traces>>,
}

impl RunRequest {
    /// The `run_id` that a path's measured rows have.
    pub(crate) fn names_of(&self, path: CapturePath) -> RunNames {
        match self.rounds {
            Some(_) => RunNames::of_path(&self.id, path),
            None => RunNames::of(&self.id),
        }
    }
}

/// Which connector a run is to use.
#[derive(Debug, Clone, Default)]
pub struct ConnectorRequest {
    /// This one, as it is.
    pub connector: Option<String>,
    /// The profile of ours; where none is asked for, `low-latency`.
    pub profile: Option<ConnectorProfile>,
    /// Settings of ours over the profile's.
    pub overrides: Vec<(String, String)>,
}

impl ConnectorRequest {
    /// Whether the user asked for a connector of ours by describing it.
    pub(crate) fn describes_ours(&self) -> bool {
        self.profile.is_some() || !self.overrides.is_empty()
    }
}

/// The `run_id` columns of one load: its readiness probe, its warm-up and its measured events.
#[derive(Debug, Clone)]
pub(crate) struct RunNames {
    pub(crate) probe: String,
    pub(crate) warmup: String,
    pub(crate) measured: String,
}

impl RunNames {
    /// Of a run whose paths follow the same events.
    pub(crate) fn of(run: &RunId) -> Self {
        Self::measured(run.to_string())
    }

    /// Of the events that are one path's alone.
    pub(crate) fn of_path(run: &RunId, path: CapturePath) -> Self {
        Self::measured(format!("{run}-{path}"))
    }

    /// Whether these are events before the measured ones.
    pub(crate) fn is_before(&self, run_id: &str) -> bool {
        run_id == self.warmup || run_id == self.probe
    }

    fn measured(measured: String) -> Self {
        Self {
            probe: format!("{measured}-probe"),
            warmup: format!("{measured}-warmup"),
            measured,
        }
    }
}

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
}
