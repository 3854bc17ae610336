//! The parameters of a run in its folder (`run.json`), so that it can be taken up again after its program was killed. No secret is
//! among them: servers are given anew, and the connector is there already.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::event::Shards;
use cdc_bench_model::report::ResultFolder;
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::{ClusterRequest, StackKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::load::{Limit, Rate};
use crate::pipeline::failure::Failure;
use crate::pipeline::request::resumption::Resumption;
use crate::pipeline::request::{ConnectorRequest, Limits, RunRequest, WarmUp};
use crate::settings::Settings;

/// The file's name.
const FILE: &str = "run.json";
/// Its schema.
const SCHEMA: &str = "cdc-bench/run-parameters/1";

/// The parameters of a run whose load has begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunParameters {
    schema: String,
    /// Id of the run.
    pub(crate) id: String,
    /// Parts whose load has begun: one, and one more each time that it was taken up.
    pub(crate) parts: u32,
    /// When event 0 of the generator takes place.
    pub(crate) epoch: Timestamp,
    /// Measured events of all parts; `None` if the load has a duration.
    events: Option<u64>,
    /// Duration of the load of all parts, milliseconds.
    duration_ms: Option<u64>,
    rate: String,
    insert_batch: usize,
    connections: usize,
    warmup_events: u64,
    warmup_settles: bool,
    seed: u64,
    #[serde(default)]
    hot_share: f64,
    paths: Vec<CapturePath>,
    connector: Option<String>,
    #[serde(default)]
    partitions: Option<i32>,
    observer: bool,
    drain_timeout_ms: u64,
    targets: Targets,
    topic: String,
    topic_is_given: bool,
    group: String,
    group_is_given: bool,
    batch_size: usize,
    writes_in_flight: usize,
    fetch: BTreeMap<String, String>,
}

impl RunParameters {
    /// Those of a run whose load is about to begin. `None`: it cannot be taken up, because its paths take turns, or because it
    /// makes faults, whose moments would be others, or because it has several shards.
    pub(crate) fn of(request: &RunRequest, epoch: Timestamp) -> Option<Self> {
        if request.rounds.is_some() || !request.faults.is_empty() || request.shards.are_several() {
            return None;
        }
        let again = request.resumption.as_ref();
        let (events_before, span_before) = again.map_or_else(Default::default, |again| {
            (again.events_before, again.span_before)
        });
        let (events, duration_ms) = match request.limit {
            Limit::Events(events) => (Some(events + events_before), None),
            Limit::Duration(span) => (None, Some(milliseconds(span + span_before))),
        };
        let settings = &request.settings;
        Some(Self {
            schema: SCHEMA.to_owned(),
            id: request.id.to_string(),
            parts: again.map_or(1, |again| again.part),
            epoch,
            events,
            duration_ms,
            rate: request.rate.to_string(),
            insert_batch: request.insert_batch,
            connections: request.connections,
            warmup_events: request.warmup.events,
            warmup_settles: request.warmup.settles,
            seed: request.seed,
            hot_share: request.hot_share,
            paths: request.paths.clone(),
            connector: request.connector.connector.clone(),
            partitions: request.partitions,
            observer: request.observer,
            drain_timeout_ms: milliseconds(request.drain_timeout),
            targets: request.targets,
            topic: settings.topic.clone(),
            topic_is_given: settings.topic_is_given,
            group: settings.group.clone(),
            group_is_given: settings.group_is_given,
            batch_size: settings.batch_size,
            writes_in_flight: settings.writes_in_flight,
            fetch: settings.fetch.clone(),
        })
    }

    /// Writes them into the run's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn store(&self, folder: &ResultFolder) -> Result<(), Failure> {
        let json = serde_json::to_vec_pretty(self).map_err(Failure::usage)?;
        Ok(folder.write(FILE, &json)?)
    }

    /// Whether they are in this folder of a run, and its result is not.
    #[must_use]
    pub fn are_left_in(folder: &Path) -> bool {
        folder.join(FILE).exists() && !folder.join("report.json").exists()
    }

    /// Reads those of the run in this folder.
    ///
    /// # Errors
    /// When there are none: its load had not begun, or it is a run that cannot be taken up; or when they cannot be read.
    pub fn read(folder: &ResultFolder, run: &RunId) -> Result<Self, Failure> {
        let path = folder.file(FILE);
        let shown = path.display();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(anyhow::anyhow!(
                "run {run} cannot be taken up: {shown}: {error}; that file is there once the load has begun on servers that outlive the run, of a run without --interleave, --fault and --shards; \"cdc-bench cleanup --run {run}\" removes what it left, and --results-dir names another folder of results"
            ))
        })?;
        let read: Self = serde_json::from_str(&text).map_err(|error| {
            Failure::usage(anyhow::anyhow!(
                "run {run} cannot be taken up: {shown} is not what this version writes: {error}"
            ))
        })?;
        if read.schema != SCHEMA || read.id != run.as_str() {
            return Err(Failure::usage(anyhow::anyhow!(
                "run {run} cannot be taken up: {shown} is of run {} in the schema {}, and {SCHEMA} is needed",
                read.id,
                read.schema
            )));
        }
        Ok(read)
    }

    /// The load of all parts.
    pub(crate) fn limit(&self) -> Limit {
        match (self.events, self.duration_ms) {
            (_, Some(span)) => Limit::Duration(Duration::from_millis(span)),
            (events, None) => Limit::Events(events.unwrap_or_default()),
        }
    }

    /// The rate of the load.
    ///
    /// # Errors
    /// When the file holds none.
    pub fn rate(&self) -> Result<Rate, Failure> {
        self.rate.parse().map_err(Failure::usage)
    }

    /// The capture paths.
    #[must_use]
    pub fn paths(&self) -> &[CapturePath] {
        &self.paths
    }

    /// The request for the part that goes on, on these servers.
    ///
    /// # Errors
    /// As [`RunParameters::rate`].
    pub(crate) fn request(
        self,
        folder: ResultFolder,
        settings: Settings,
        (resumption, limit): (Option<Resumption>, Limit),
    ) -> Result<RunRequest, Failure> {
        Ok(RunRequest {
            id: RunId::parse(&self.id).map_err(|error| Failure::usage(anyhow::anyhow!(error)))?,
            rate: self.rate()?,
            settings: Settings {
                topic: self.topic,
                topic_is_given: self.topic_is_given,
                group: self.group,
                group_is_given: self.group_is_given,
                batch_size: self.batch_size,
                writes_in_flight: self.writes_in_flight,
                fetch: self.fetch,
                ..settings
            },
            limit,
            insert_batch: self.insert_batch,
            connections: self.connections,
            warmup: WarmUp {
                events: self.warmup_events,
                settles: self.warmup_settles,
            },
            seed: self.seed,
            hot_share: self.hot_share,
            paths: self.paths,
            rounds: None,
            connector: ConnectorRequest {
                connector: self.connector,
                ..ConnectorRequest::default()
            },
            partitions: self.partitions,
            shards: Shards::ONE,
            cluster: ClusterRequest::default(),
            transform_delay: None,
            observer: self.observer,
            faults: Vec::new(),
            targets: self.targets,
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            limits: Limits::by_default(StackKind::External),
            folder,
            metrics: None,
            traces: None,
            resumption,
            distributed: None,
        })
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
