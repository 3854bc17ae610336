//! What coordinator and workers of a test say to each other, as JSON.

use std::collections::{BTreeMap, BTreeSet};

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::report::ConnectorReport;
use cdc_bench_model::timeline::{CapturePath, Stamp, Tally};
use serde::{Deserialize, Serialize};

use crate::load::LoadSummary;
use crate::pipeline::distributed::worker_clock::WorkerClock;
use crate::pipeline::provision::route::KafkaRoute;
use crate::pipeline::request::parameters::RunParameters;

/// What a worker does.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum WorkerRole {
    /// Inserts its share of the events.
    Load,
    /// Consumes its share of the partitions.
    Consume,
    /// Reads the WAL; of those who offer it one does, and the others stand by.
    Capture,
}

/// A record of the control topic. Its key says whose it is: the last one of a key counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum ControlRecord {
    /// A worker is there.
    Offer(WorkerOffer),
    /// What the test is.
    Plan(Box<TestPlan>),
    /// Who reads the WAL.
    Capture { worker: String },
    /// The measured load.
    Load(LoadOrder),
    /// Everything is through: workers send their results.
    Collect,
    /// The test is over, or was given up for this reason.
    End { reason: Option<String> },
    /// The coordinator is there.
    Alive { number: u64 },
    /// How a worker stands.
    Heartbeat(Box<Heartbeat>),
    /// A part of a worker's result.
    Result(ResultPart),
}

impl ControlRecord {
    /// The key of the record.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Offer(offer) => format!("offer/{}", offer.worker),
            Self::Plan(_) => "plan".to_owned(),
            Self::Capture { .. } => "capture".to_owned(),
            Self::Load(_) => "load".to_owned(),
            Self::Collect => "collect".to_owned(),
            Self::End { .. } => "end".to_owned(),
            Self::Alive { .. } => "coordinator".to_owned(),
            Self::Heartbeat(beat) => format!("heartbeat/{}", beat.worker),
            Self::Result(part) => format!("result/{}/{}", part.worker, part.number),
        }
    }
}

/// A worker that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WorkerOffer {
    /// Its name.
    pub(crate) worker: String,
    /// Tells it from another one that was given the same name.
    pub(crate) instance: uuid::Uuid,
    pub(crate) roles: BTreeSet<WorkerRole>,
    /// Its machine's name.
    pub(crate) host: String,
    pub(crate) cores: usize,
    /// Of the program.
    pub(crate) version: String,
}

/// What the test is. No secret is in it: every worker has its servers and their passwords from its own settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TestPlan {
    pub(crate) parameters: RunParameters,
    pub(crate) routes: Vec<PlannedRoute>,
    /// The topic of the stamps.
    pub(crate) stamps_topic: String,
    /// The topic that the broker's clock is measured by.
    pub(crate) clock_topic: String,
    /// Whether Connect's clock is known to be PostgreSQL's.
    pub(crate) connect_shares_clock: bool,
    /// Partitions of that topic, and of those of the routes.
    pub(crate) partitions: i32,
    /// Workers that the test began with. Those who come later take partitions over, and load nothing.
    pub(crate) workers: BTreeSet<String>,
}

/// A path's way through the servers, prepared by the coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedRoute {
    pub(crate) path: CapturePath,
    pub(crate) publication: String,
    pub(crate) slot: Option<String>,
    pub(crate) observer_slot: Option<String>,
    pub(crate) kafka: KafkaRoute,
    pub(crate) collection: String,
    /// The path's connector if known, its secrets redacted.
    pub(crate) connector: Option<ConnectorReport>,
    pub(crate) connector_is_ours: bool,
}

/// The measured load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadOrder {
    /// When its first event is due, on PostgreSQL's clock.
    pub(crate) begins: Stamp,
    /// Who inserts the events of each partition.
    pub(crate) loaders: Vec<String>,
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WorkerPhase {
    /// It gets ready.
    Starting,
    /// It consumes what comes.
    Ready,
    Loading,
    /// All events of its share are inserted.
    Loaded,
    /// Its work is done, and its result is in the control topic or on its way there.
    Collected,
    /// It has ended.
    Left,
}

/// How a worker stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Heartbeat {
    pub(crate) worker: String,
    /// Counts up.
    pub(crate) number: u64,
    pub(crate) phase: WorkerPhase,
    /// Whether it reads the WAL.
    pub(crate) captures: bool,
    pub(crate) paths: BTreeMap<CapturePath, WorkerCounts>,
    pub(crate) load: LoadSummary,
    pub(crate) clock: WorkerClock,
    /// Why it cannot go on.
    pub(crate) failure: Option<String>,
}

/// What a worker has counted on a path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct WorkerCounts {
    pub(crate) partitions: BTreeSet<i32>,
    pub(crate) tally: Tally,
    /// Events that it has all stamps of.
    pub(crate) joined: u64,
    pub(crate) probes_written: u64,
    pub(crate) warmup_written: u64,
    pub(crate) dead_letters: u64,
    pub(crate) dead_letters_by_reason: BTreeMap<String, u64>,
    pub(crate) abandoned: u64,
    pub(crate) foreign: u64,
    /// The totals of its events so far; not with every heartbeat.
    pub(crate) total: Option<SignedHistogram>,
}

impl WorkerCounts {
    /// Adds what another worker has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.partitions.extend(&other.partitions);
        self.tally.add(&other.tally);
        self.joined += other.joined;
        self.probes_written += other.probes_written;
        self.warmup_written += other.warmup_written;
        self.dead_letters += other.dead_letters;
        for (reason, count) in &other.dead_letters_by_reason {
            *self
                .dead_letters_by_reason
                .entry(reason.clone())
                .or_default() += count;
        }
        self.abandoned += other.abandoned;
        self.foreign += other.foreign;
        if let Some(total) = &other.total {
            self.total.get_or_insert_default().add(total);
        }
    }
}

impl Heartbeat {
    /// Keeps the totals of the one before where it has none.
    pub(crate) fn take_totals(&mut self, before: &mut Self) {
        for (path, counts) in &mut self.paths {
            let known = before.paths.get_mut(path);
            let known = known.and_then(|counts| counts.total.take());
            counts.total = counts.total.take().or(known);
        }
    }
}

/// A part of a worker's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResultPart {
    pub(crate) worker: String,
    /// From 0.
    pub(crate) number: usize,
    pub(crate) of: usize,
    /// Base64.
    pub(crate) data: String,
}
