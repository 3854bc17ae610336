//! Arguments for the load, shared by all commands that insert events.

use std::time::Duration;

use crate::load::{Limit, LoadProfile, Rate};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct LoadArgs {
    /// A load by name; --events, --duration and --rate override their parts of it
    #[arg(long, value_enum, value_name = "NAME")]
    profile: Option<LoadProfile>,
    /// Events to insert [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "duration")]
    events: Option<u64>,
    /// Seconds to insert for, instead of a number of events
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    duration: Option<u64>,
    /// Events a second on an open-loop schedule, or "max" [default: 167]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<Rate>,
    #[command(flatten)]
    pub(super) inserter: InserterArgs,
}

/// By what means it is inserted.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct InserterArgs {
    /// Rows a transaction
    #[arg(long, value_name = "ROWS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    insert_batch: u16,
    /// Connections that insert
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Seed of the events: same seed, same events
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub(super) seed: u64,
}

impl LoadArgs {
    pub(super) fn limit(&self) -> Limit {
        match self.duration {
            Some(seconds) => Limit::Duration(Duration::from_secs(seconds)),
            None => Limit::Events(self.events.unwrap_or(self.named().events())),
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate.unwrap_or(self.named().rate())
    }

    /// Whether a load profile was given.
    pub(super) fn is_named(&self) -> bool {
        self.profile.is_some()
    }

    /// The profile that supplies the values that are not given.
    fn named(&self) -> LoadProfile {
        self.profile.unwrap_or(LoadProfile::Extreme)
    }
}

impl InserterArgs {
    pub(super) fn insert_batch(&self) -> usize {
        self.insert_batch.into()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.into()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn load(args: &str) -> (Limit, String) {
        let words = ["test"].into_iter().chain(args.split_whitespace());
        let load = Command::try_parse_from(words).unwrap().load;
        (load.limit(), load.rate().to_string())
    }

    #[test]
    fn a_profile_is_a_load_and_flags_override_its_parts() {
        let of = |events, rate: &str| (Limit::Events(events), rate.to_owned());
        assert_eq!(load(""), of(10_000, "167"));
        assert_eq!(load("--profile warm-up"), of(10, "2"));
        assert_eq!(load("--profile moderate"), of(100, "7"));
        assert_eq!(load("--profile stress --rate 50"), of(1_000, "50"));
        assert_eq!(load("--profile extreme --events 5"), of(5, "167"));
        let seconds = Limit::Duration(Duration::from_secs(3));
        assert_eq!(
            load("--profile stress --duration 3"),
            (seconds, "33".to_owned())
        );
    }
}
