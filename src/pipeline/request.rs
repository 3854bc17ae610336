//! The parameters of a run.

pub(crate) mod parameters;
pub(crate) mod resumption;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::event::Shards;
use cdc_bench_model::report::ResultFolder;
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::{ClusterRequest, StackKind, StackRequest};

use crate::debezium::ConnectorProfile;
use crate::load::{Limit, Rate};
use crate::pipeline::export::metrics::Metrics;
use crate::pipeline::export::traces::Traces;
use crate::pipeline::faults::{Fault, FaultTarget, LinkTarget, ProcessTarget};
use crate::pipeline::request::resumption::{Resumption, run_id_of_part, run_ids_before};
use crate::settings::Settings;

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Id of the run.
    pub id: RunId,
    /// Endpoints, topic, group and consumer settings.
    pub settings: Settings,
    /// Number of measured events, or a duration.
    pub limit: Limit,
    /// Rate of the INSERTs.
    pub rate: Rate,
    /// Rows per transaction.
    pub insert_batch: usize,
    /// Connections of the load generator.
    pub connections: usize,
    /// The warm-up.
    pub warmup: WarmUp,
    /// Seed of the events.
    pub seed: u64,
    /// Share of the events that are about one aggregate, 0 to 1.
    pub hot_share: f64,
    /// The capture paths, without duplicates. The objectives are for the first.
    pub paths: Vec<CapturePath>,
    /// Rounds of interleaved paths; `None`: all paths at once, on the same inserts.
    pub rounds: Option<u32>,
    /// The connector to use.
    pub connector: ConnectorRequest,
    /// Partitions of the topics of ours, whose records are then keyed by aggregate; `None`: one, keyed by event.
    pub partitions: Option<i32>,
    /// The tables that the events go into, each with a slot of its own on every path, and with a connector.
    pub shards: Shards,
    /// Brokers and Connect workers of a local stack.
    pub cluster: ClusterRequest,
    /// Artificial delay of every event between its receipt and its write.
    pub transform_delay: Option<Duration>,
    /// Whether our reader observes the WAL beside Debezium.
    pub observer: bool,
    /// Faults to make while events are under way.
    pub faults: Vec<Fault>,
    /// What it may take at most.
    pub limits: Limits,
    /// The objectives.
    pub targets: Targets,
    /// Longest time without a processed event before the drain gives up.
    pub drain_timeout: Duration,
    /// Folder of the result.
    pub folder: ResultFolder,
    /// Metrics to update during the run.
    pub metrics: Option<Arc<Metrics>>,
    /// Queue for the traces of its events.
    pub traces: Option<Arc<Traces>>,
    /// What it goes on with, if it was cut off and is taken up again.
    pub resumption: Option<Resumption>,
    /// The workers that load, read and consume in its stead.
    pub distributed: Option<DistributedRequest>,
}

/// A test that is spread over workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributedRequest {
    /// Its name.
    pub test: String,
    /// How many workers it has.
    pub workers: usize,
    /// How many of them load, at least.
    pub min_load: usize,
    /// Whether it is under way, and its coordinator was killed.
    pub is_taken_up: bool,
}

impl RunRequest {
    /// Whether a fault breaks our reader's connection to PostgreSQL.
    pub(crate) fn breaks_readers(&self) -> bool {
        let breaks = |fault: &Fault| match fault.target() {
            FaultTarget::Process(process) => process == ProcessTarget::Postgres,
            FaultTarget::Link(link) => link == LinkTarget::ReaderPostgres,
        };
        self.faults.iter().any(breaks)
    }

    /// Whether the user has described what a connector of ours is to do.
    pub(crate) fn describes_connector(&self) -> bool {
        self.connector.describes_ours() || self.partitions.is_some() || self.shards.are_several()
    }

    /// The request for the servers to start or to find: those that are started have what the faults and the connector need.
    pub(crate) fn servers(&self) -> StackRequest {
        let links = LinkTarget::of(&self.faults);
        StackRequest {
            kafka_links: links.filter_map(LinkTarget::kafka_client).collect(),
            connect_exactly_once: self.connector.exactly_once,
            cluster: self.cluster,
            ..self.settings.servers()
        }
    }

    /// How long a server may answer nothing, or nothing come through: longer than it is taken away by a fault of the run, and than
    /// the drain waits for it.
    pub(crate) fn longest_silence(&self) -> Duration {
        let faults = self.faults.iter().map(|fault| fault.length).max();
        let silence = self.limits.silence.max(self.drain_timeout);
        silence + faults.unwrap_or_default()
    }

    /// The part of the run, from 1: another one each time that it is taken up again.
    pub(crate) fn part(&self) -> u32 {
        self.resumption.as_ref().map_or(1, |again| again.part)
    }

    /// The `run_id` columns of a path's rows.
    pub(crate) fn names_for(&self, path: CapturePath) -> RunNames {
        match self.rounds {
            Some(_) => RunNames::for_path(&self.id, path),
            None => RunNames::for_run(&self.id, self.part()),
        }
    }
}

/// What a run may take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of WAL that a slot may hold back; `None`: no limit.
    pub retained_wal: Option<u64>,
    /// Bytes that are left free on the disk of the results.
    pub free_disk: u64,
    /// Longest time in which a server answers nothing, or nothing comes through a path.
    pub silence: Duration,
}

/// Longest silence, where nothing else is said: a server that restarts or fails over is back by then.
const SILENCE: Duration = Duration::from_secs(120);

impl Limits {
    /// Where nobody has said any: WAL is limited on the user's own servers.
    #[must_use]
    pub fn by_default(stack: StackKind) -> Self {
        Self {
            retained_wal: (stack == StackKind::External).then_some(4_096 << 20),
            free_disk: 256 << 20,
            silence: SILENCE,
        }
    }
}

/// The connector that a run is to use.
#[derive(Debug, Clone, Default)]
pub struct ConnectorRequest {
    /// An existing connector, used as it is.
    pub connector: Option<String>,
    /// Profile of a connector of ours; `None`: `low-latency`.
    pub profile: Option<ConnectorProfile>,
    /// Settings that override the profile's.
    pub overrides: Vec<(String, String)>,
    /// Whether a connector of ours must deliver exactly once.
    pub exactly_once: bool,
}

impl ConnectorRequest {
    /// Whether the user has configured a connector of ours.
    pub(crate) fn describes_ours(&self) -> bool {
        self.profile.is_some() || !self.overrides.is_empty() || self.exactly_once
    }
}

/// The `run_id` columns of one load: its readiness probe, its warm-up and its measured events.
#[derive(Debug, Clone)]
pub(crate) struct RunNames {
    pub(crate) probe: String,
    pub(crate) warmup: String,
    pub(crate) measured: String,
    /// Those of the measured events of the parts before the run was taken up again, which are written and not measured.
    pub(crate) earlier: Vec<String>,
}

impl RunNames {
    /// For a run whose paths process the same events.
    pub(crate) fn for_run(run: &RunId, part: u32) -> Self {
        Self {
            earlier: run_ids_before(run, part),
            ..Self::measured(run_id_of_part(run, part))
        }
    }

    /// For events that only one path processes.
    pub(crate) fn for_path(run: &RunId, path: CapturePath) -> Self {
        Self::measured(format!("{run}-{path}"))
    }

    /// Whether this is the `run_id` of probe or warm-up events.
    pub(crate) fn is_unmeasured(&self, run_id: &str) -> bool {
        run_id == self.warmup || run_id == self.probe
    }

    /// Whether this is the `run_id` of a part before.
    pub(crate) fn is_earlier(&self, run_id: &str) -> bool {
        self.earlier.iter().any(|earlier| earlier == run_id)
    }

    fn measured(measured: String) -> Self {
        Self {
            probe: format!("{measured}-probe"),
            warmup: format!("{measured}-warmup"),
            measured,
            earlier: Vec::new(),
        }
    }
}

/// The warm-up before the measured events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// Number of events, at least.
    pub events: u64,
    /// Whether it continues until the JIT compilers of a local stack's JVMs are idle.
    pub settles: bool,
}

impl WarmUp {
    /// At least 500 events, and until the JVMs have settled.
    pub const AUTO: Self = Self {
        events: 500,
        settles: true,
    };

    /// A fixed number of events.
    #[must_use]
    pub const fn fixed(events: u64) -> Self {
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
        text.parse().map(Self::fixed).map_err(|_| ParseWarmUpError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_is_a_number_or_until_the_servers_have_settled() {
        assert_eq!("auto".parse(), Ok(WarmUp::AUTO));
        assert_eq!("0".parse(), Ok(WarmUp::fixed(0)));
        assert_eq!("20".parse::<WarmUp>().unwrap().events, 20);
        for wrong in ["", "-1", "Auto", "1.5"] {
            assert_eq!(wrong.parse::<WarmUp>(), Err(ParseWarmUpError), "{wrong}");
        }
    }
}
