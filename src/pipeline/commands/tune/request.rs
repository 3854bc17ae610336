//! The parameters of a tuning, and the runs it makes.

use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::report::{Configuration, ResultFolder};
use cdc_bench_model::timeline::CapturePath;

use super::plan::RunTimeEstimate;
use super::space;
use crate::debezium::ConnectorProfile;
use crate::load::Limit;
use crate::pipeline::failure::Failure;
use crate::pipeline::request::{ConnectorRequest, RunRequest};
use crate::settings::Settings;

/// What to optimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preference {
    /// Both: p99 times processor time is the least
    Balance,
    /// The lowest p99, whatever it costs
    Latency,
}

/// Parameters of a tuning.
#[derive(Debug, Clone)]
pub struct TuneRequest {
    /// Template of the runs, which differ in configuration and number of events. Id and folder are the tuning's.
    pub run: RunRequest,
    /// Number of configurations at the start, including the defaults.
    pub candidates: usize,
    /// Events of each configuration in the first round.
    pub events: u64,
    /// Number of configurations that are left when halving ends.
    pub keep: usize,
    /// Runs of each side in the head-to-head.
    pub head_to_head_rounds: u32,
    /// Longest time for all of it.
    pub budget: Duration,
    /// What to optimise.
    pub prefer: Preference,
    /// Whether weaker acknowledgements are tried, at the risk of losing events.
    pub weaker_acks: bool,
}

impl TuneRequest {
    /// The run of a configuration.
    pub(super) fn run(
        &self,
        folder: &str,
        configuration: &Configuration,
        events: u64,
    ) -> Result<RunRequest, Failure> {
        let template = &self.run;
        let usize_of = |name: &str, default: usize| {
            let number = space::number(configuration, name);
            number
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(default)
        };
        Ok(RunRequest {
            id: RunId::generate(),
            settings: Settings {
                batch_size: usize_of("batch_size", template.settings.batch_size),
                writes_in_flight: usize_of("writes_in_flight", template.settings.writes_in_flight),
                fetch: configuration.consumer.clone(),
                ..template.settings.clone()
            },
            limit: Limit::Events(events),
            paths: vec![CapturePath::Debezium],
            rounds: None,
            connector: ConnectorRequest {
                connector: None,
                profile: Some(ConnectorProfile::Stock),
                overrides: configuration.connector.clone().into_iter().collect(),
                exactly_once: false,
            },
            folder: ResultFolder::create(template.folder.path(), folder)?,
            ..template.clone()
        })
    }

    /// Estimates how long runs take; fails if the rate has no limit.
    pub(super) fn estimate_run_time(&self) -> Result<RunTimeEstimate, Failure> {
        let rate = self.run.rate.per_second().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "tuning needs a rate below saturation, such as --rate 167: at \"max\" latency is that of the backlog"
            ))
        })?;
        Ok(RunTimeEstimate::new(rate, self.run.warmup.events))
    }
}
