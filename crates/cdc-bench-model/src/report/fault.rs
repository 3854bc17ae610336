//! Faults that a run was asked to make (`faults` of `report.json`), and what each did to every path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A fault, as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// As it was asked for, such as `kill:connect@30%`.
    pub fault: String,
    /// `kill`, `stop`, `restart`, `pause`; `cut`, `reset`, `delay`, `throttle`.
    pub action: String,
    /// The process or link.
    pub target: String,
    /// The process of a server that was taken away, such as `kafka-2` of several brokers; `null` of any other fault.
    #[serde(default)]
    pub process: Option<String>,
    /// When it was made: RFC 3339, UTC.
    pub at: jiff::Timestamp,
    /// Seconds since the first INSERT.
    pub at_s: f64,
    /// How long it was away until it was started again or let go on; starting takes its time besides. `null` if that did not come.
    pub took: Option<i64>,
    /// Of a link that was cut or reset: connections that were broken or not accepted; `null` of anything else.
    pub connections_broken: Option<u64>,
    /// By capture path.
    pub paths: BTreeMap<String, FaultEffect>,
}

/// What a fault did to a capture path, up to the next fault. Durations are microseconds from the fault on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEffect {
    /// Until it could be noticed: a server the path needs did not answer, or nothing came through for a second although events
    /// waited; `null` if it was over before.
    pub noticed: Option<i64>,
    /// Until an event that was due after it was in the store.
    pub first_event: Option<i64>,
    /// Until no more events were under way than before it; `null` if that did not come before the next fault.
    pub backlog_gone: Option<i64>,
    /// Most events that were due and not yet in the store.
    pub backlog: u64,
    /// Events that never reached the store.
    pub lost: u64,
    /// Events that the consumer was given again.
    pub delivered_again: u64,
    /// Events of an aggregate that reached the store after a later one of it.
    pub reordered: u64,
    /// Most WAL that the path's slot held back, bytes; `null` if it is not known.
    pub wal_held_bytes: Option<u64>,
}

impl FaultReport {
    /// What it did to each path, in a sentence each.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let of_path = |(path, effect): (&String, &FaultEffect)| {
            format!("{} on {path}: {}", self.fault, effect.told())
        };
        self.paths.iter().map(of_path).collect()
    }
}

impl FaultEffect {
    fn told(&self) -> String {
        let after = |us: Option<i64>, what: &str| {
            us.map_or_else(
                || format!("{what} not seen"),
                |us| format!("{what} after {:.1} s", seconds(us)),
            )
        };
        format!(
            "{}, {} ({} events at its worst), {} lost, {} delivered again, {} out of order",
            after(self.first_event, "the first event in the store"),
            after(self.backlog_gone, "the backlog gone"),
            self.backlog,
            self.lost,
            self.delivered_again,
            self.reordered
        )
    }
}

#[allow(clippy::cast_precision_loss)] // durations for display
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_told_in_a_sentence() {
        let effect = FaultEffect {
            first_event: Some(8_210_000),
            backlog: 1_310,
            ..FaultEffect::default()
        };
        assert_eq!(
            effect.told(),
            "the first event in the store after 8.2 s, the backlog gone not seen (1310 events at its worst), 0 lost, 0 delivered again, 0 out of order"
        );
    }
}
