//! Arguments for the canary of an observation.

use std::time::Duration;

use crate::observe::CanaryTarget;

/// Changes of our own, whose sending is known.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ObserveCanaryArgs {
    /// Insert a row a second into this table, made for it (sql/canary.sql), or send messages, so that an idle pipeline has a latency
    #[arg(long, value_name = "[SCHEMA.]TABLE|message")]
    canary: Option<String>,
    /// Mean interval between two changes of the canary, ms
    #[arg(long, value_name = "MS", default_value_t = 1_000, requires = "canary", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    canary_interval: u64,
}

impl ObserveCanaryArgs {
    /// What is sent.
    pub(super) fn target(&self) -> Option<CanaryTarget> {
        self.canary.as_ref().map(|name| match &**name {
            "message" => CanaryTarget::Message,
            table => CanaryTarget::Table(table.to_owned()),
        })
    }

    /// Mean interval.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.canary_interval)
    }
}
