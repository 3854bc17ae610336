//! The acts of a demonstration: the purpose, size and rate of each.

use crate::load::{Limit, LoadProfile, Rate};
use crate::pipeline::{Fault, ParseFaultError};

/// An act of a demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) events: u64,
    pub(super) rate: Rate,
    /// Whether every event is printed.
    pub(super) is_detailed: bool,
    /// The server that is killed when [`FAULT_PERCENT`] of the events are sent.
    pub(super) fault: Option<String>,
}

/// When the server is killed: at this share of the events.
pub(super) const FAULT_PERCENT: u64 = 33;

/// Events of the act in which a server is killed: enough to last longer than the outage.
const EVENTS_WITH_FAULT: u64 = 2_000;

impl Act {
    /// The act for a load profile, `speed` times as fast.
    pub(super) fn new(load: LoadProfile, speed: u32) -> Self {
        Self {
            name: load.as_str(),
            purpose: match load {
                LoadProfile::WarmUp => {
                    "one event after another, each from its INSERT into the read model"
                }
                LoadProfile::Moderate => "a quiet hour: what an event takes when it is alone",
                LoadProfile::Stress => {
                    "a busy hour: a 99th percentile that has ten events behind it"
                }
                LoadProfile::Extreme => "the rate that the objectives are for, held for a minute",
            },
            events: load.events(),
            rate: load.rate().times(speed),
            is_detailed: load == LoadProfile::WarmUp,
            fault: None,
        }
    }

    /// The act in which a server is killed.
    pub(super) fn with_fault(server: &str, speed: u32) -> Self {
        Self {
            name: "resilience",
            purpose: "a server is killed while events go on: they wait, and none is lost",
            events: EVENTS_WITH_FAULT,
            rate: LoadProfile::Extreme.rate().times(speed.min(2)),
            is_detailed: false,
            fault: Some(server.to_owned()),
        }
    }

    /// The faults of its run.
    pub(super) fn faults(&self) -> Result<Vec<Fault>, ParseFaultError> {
        let faults = self.fault.iter();
        faults
            .map(|server| format!("kill:{server}@{FAULT_PERCENT}%").parse())
            .collect()
    }

    pub(super) fn limit(&self) -> Limit {
        Limit::Events(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acts_rise_and_a_rehearsal_is_faster_not_shorter() {
        let acts = LoadProfile::ALL.map(|load| Act::new(load, 1));
        let rows: Vec<_> = acts
            .iter()
            .map(|act| (act.name, act.events, act.rate.to_string()))
            .collect();
        let expected = [
            ("warm-up", 10, "2"),
            ("moderate", 100, "7"),
            ("stress", 1_000, "33"),
            ("extreme", 10_000, "167"),
        ];
        let expected = expected.map(|(name, events, rate)| (name, events, rate.to_owned()));
        assert_eq!(rows, expected);
        assert!(acts[0].is_detailed && !acts[1].is_detailed);
        let fast = Act::new(LoadProfile::Stress, 10);
        assert_eq!(
            (fast.events, fast.rate.to_string()),
            (1_000, "330".to_owned())
        );
    }
}
