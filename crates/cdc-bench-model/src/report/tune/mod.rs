//! The result of tuning: the configurations tried, the recommended one, and its gain.

mod text;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::figures;
use super::{Compared, Environment, Report};
use crate::analysis::{Cost, fronts};
use crate::timeline::{CapturePath, Hop};

pub use text::render_tune;

/// The schema's name and number.
pub const SCHEMA: &str = "cdc-bench/tune/1";

/// A tuning. Durations are whole microseconds unless the name says otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct TuneReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Its name, and its folder's.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// `local`, `compose` or `external`.
    pub stack: String,
    /// Events a second, the same for every configuration.
    pub rate_per_s: Option<f64>,
    /// Seed of the configurations, of the events and of the order of the head-to-head.
    pub seed: u64,
    /// What was measured on; of the first run.
    pub environment: Option<Environment>,
    /// Every configuration that was tried.
    pub trials: Vec<TuneTrial>,
    /// Names of those that no other one beats in both p99 and processor time, quickest first, among those that came into
    /// the last round: runs of other lengths cannot be held against each other.
    pub frontier: Vec<String>,
    /// What to set.
    pub recommended: Option<Recommended>,
    /// What that gains over the defaults.
    pub head_to_head: Option<HeadToHead>,
    /// Why it ended before its last step, where it did.
    pub ended_early: Option<String>,
}

/// Settings that are not the defaults: Debezium's, and those of our consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Configuration {
    /// Of the connector.
    pub connector: BTreeMap<String, String>,
    /// Of the Kafka consumer.
    pub consumer: BTreeMap<String, String>,
    /// Of the writes to the store: `batch_size`, `writes_in_flight`.
    pub store: BTreeMap<String, String>,
}

/// As one line of text.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [&self.connector, &self.consumer, &self.store];
        let mut all = all.into_iter().flatten().peekable();
        if all.peek().is_none() {
            return f.write_str("the defaults");
        }
        let mut first = true;
        for (name, value) in all {
            let name = name.strip_prefix("producer.override.").unwrap_or(name);
            write!(f, "{}{name}={value}", if first { "" } else { " " })?;
            first = false;
        }
        Ok(())
    }
}

/// One configuration and its runs.
#[derive(Debug, Clone, Serialize)]
pub struct TuneTrial {
    /// `stock`, `low-latency`, or a number.
    pub name: String,
    /// What it sets.
    pub configuration: Configuration,
    /// Its runs, each longer than the one before.
    pub measured: Vec<TrialRun>,
    /// Why it could not be measured, where it could not.
    pub refused: Option<String>,
}

impl TuneTrial {
    /// What it costs, by its longest run; `None` where it has none, or lost events in it.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        self.measured.last()?.cost()
    }
}

/// One run of a configuration.
#[derive(Debug, Clone, Serialize)]
pub struct TrialRun {
    /// Events that arrived.
    pub events: u64,
    /// Median of the total.
    pub p50: i64,
    /// 95th percentile.
    pub p95: i64,
    /// 99th percentile.
    pub p99: i64,
    /// Processor time of all servers and us, seconds a million events; `null` where servers are not ours.
    pub cpu_s_per_million: Option<f64>,
    /// Whether every event arrived, and as it was.
    pub is_clean: bool,
    /// The run's id.
    pub run: String,
    /// Its folder within the tuning's.
    pub folder: String,
}

impl TrialRun {
    /// Reads it off a run.
    #[must_use]
    pub fn of(report: &Report, folder: String) -> Self {
        let path = report.paths.get(CapturePath::Debezium.as_str());
        let total = path.and_then(|path| path.hops.get(Hop::Total.as_str()));
        let quantiles = total.map_or([0; 3], |total| [total.p50, total.p95, total.p99]);
        let [p50, p95, p99] = quantiles;
        Self {
            events: path.map_or(0, |path| path.counts.written),
            p50,
            p95,
            p99,
            cpu_s_per_million: path.and_then(super::PathReport::cpu_cost),
            is_clean: path.is_some_and(super::PathReport::is_clean),
            run: report.run.id.clone(),
            folder,
        }
    }

    /// What it costs; `None` where events were lost, or none came through.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
    pub fn cost(&self) -> Option<Cost> {
        (self.is_clean && self.events > 0).then_some(Cost {
            latency: self.p99 as f64,
            cpu: self.cpu_s_per_million,
        })
    }
}

/// As one line of text.
impl fmt::Display for TrialRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (figures::ms(self.p50), figures::ms(self.p99));
        let cpu = figures::cpu(self.cpu_s_per_million);
        write!(
            f,
            "p50 {p50} ms, p99 {p99} ms, {cpu} CPU s a million events"
        )
    }
}

/// What to set.
#[derive(Debug, Clone, Serialize)]
pub struct Recommended {
    /// The trial's name.
    pub name: String,
    /// Why this one.
    pub why: &'static str,
    /// What it sets.
    pub configuration: Configuration,
    /// The connector as Connect's REST interface takes it (`POST /connectors`). Names, addresses and the password are to
    /// be filled in.
    pub connector: RecommendedConnector,
}

/// A connector as Connect's REST interface takes it.
#[derive(Debug, Clone, Serialize)]
pub struct RecommendedConnector {
    /// Its name.
    pub name: String,
    /// Its configuration, secrets left out.
    pub config: BTreeMap<String, String>,
}

impl RecommendedConnector {
    /// The configuration of a run with other names, because the run's own names are gone with it.
    #[must_use]
    pub fn to_paste(config: &BTreeMap<String, String>) -> Self {
        let name = "outbox";
        let mut config = config.clone();
        for (key, value) in [
            ("name", name),
            ("slot.name", "outbox"),
            ("topic.prefix", "postgres"),
            ("database.password", "FILL IN"),
        ] {
            config.insert(key.to_owned(), value.to_owned());
        }
        Self {
            name: name.to_owned(),
            config,
        }
    }
}

/// The recommended configuration and the defaults, in alternating runs.
#[derive(Debug, Clone, Serialize)]
pub struct HeadToHead {
    /// Runs of each.
    pub rounds: u32,
    /// Seconds a million events, of the defaults and of the recommended one: means over their runs.
    pub cpu_s_per_million: Option<[f64; 2]>,
    /// As `compare` makes it: the defaults are the baseline.
    pub comparison: Compared,
}

impl TuneReport {
    /// Finds the frontier among what was measured.
    pub fn find_frontier(&mut self) {
        let rounds = self.trials.iter().map(|trial| trial.measured.len()).max();
        let measured: Vec<(&str, Cost)> = self
            .trials
            .iter()
            .filter(|trial| Some(trial.measured.len()) == rounds)
            .filter_map(|trial| Some((trial.name.as_str(), trial.cost()?)))
            .collect();
        let costs: Vec<Cost> = measured.iter().map(|(_, cost)| *cost).collect();
        let mut frontier: Vec<_> = measured
            .into_iter()
            .zip(fronts(&costs))
            .filter(|(_, front)| *front == 0)
            .map(|(trial, _)| trial)
            .collect();
        frontier.sort_by(|(_, a), (_, b)| a.latency.total_cmp(&b.latency));
        self.frontier = frontier
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect();
    }

    /// One trial.
    #[must_use]
    pub fn trial(&self, name: &str) -> Option<&TuneTrial> {
        self.trials.iter().find(|trial| trial.name == name)
    }
}

#[cfg(test)]
mod tests;
