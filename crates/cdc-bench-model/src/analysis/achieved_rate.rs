//! The rate that a pipeline achieved, against the rate at which events were offered.
//!
//! Events over the time from the first INSERT to the last acknowledgement is no measure of that: a slow pipeline that
//! keeps up, but takes half a second for each event, seems to miss a twentieth of ten seconds. So the base latency is
//! subtracted: the latency before a backlog can grow, at most a tenth of the time in which events were sent; anything
//! above that is a backlog.

use super::Objective;
use crate::timeline::{Nanos, Stamp};

/// The share of the offered rate that must be reached.
const REQUIRED_SHARE: f64 = 0.99;
/// The base latency is taken from the first quarter of the events, before a backlog grows.
const BEFORE_BACKLOG: usize = 4;
/// The base latency is at most the sending time divided by this.
const BASE_LATENCY_DIVISOR: i64 = 10;

/// T0 and T5 of each event of a run.
#[derive(Debug, Clone, Default)]
pub struct AchievedRate {
    events: Vec<(Stamp, Stamp)>,
}

impl AchievedRate {
    /// Adds an event.
    pub fn record(&mut self, t0: Stamp, t5: Stamp) {
        self.events.push((t0, t5));
    }

    /// INSERTs a second; `None` of fewer than two.
    #[must_use]
    pub fn sent_per_s(&self) -> Option<f64> {
        self.per_s(self.sending()?)
    }

    /// Events a second through the pipeline, never more than were sent; `None` of fewer than two. The base latency that
    /// is subtracted is the 99th percentile of the total over the first quarter of the events, up to a tenth of the
    /// time that they were sent in.
    #[must_use]
    pub fn achieved_per_s(&self) -> Option<f64> {
        let sending = self.sending()?;
        let first = self.events.iter().map(|(t0, _)| *t0).min()?;
        let last = self.events.iter().map(|(_, t5)| *t5).max()?;
        let base_latency = self.base_latency()?.0.min(sending.0 / BASE_LATENCY_DIVISOR);
        let working = (last - first).0 - base_latency;
        self.per_s(Nanos(working.max(sending.0)))
    }

    /// The objective of a step at `offered` events a second. It was met where 99 % of them were reached.
    #[must_use]
    pub fn objective(&self, offered: f64) -> Objective {
        let reached = self.achieved_per_s().map(|rate| rate.min(offered));
        let percent = reached.map(|rate| rate / offered * 100.0);
        Objective {
            name: "offered_rate_percent".to_owned(),
            target: format!(">= {} %", REQUIRED_SHARE * 100.0),
            measured: percent.map(|percent| (percent * 10.0).round() / 10.0),
            met: percent.is_some_and(|percent| percent >= REQUIRED_SHARE * 100.0),
        }
    }

    /// Whether the INSERTs themselves stayed below `offered` events a second: the pipeline is then not the limit.
    #[must_use]
    pub fn load_fell_behind(&self, offered: f64) -> bool {
        self.sent_per_s()
            .is_some_and(|sent| sent < offered * REQUIRED_SHARE)
    }

    fn sending(&self) -> Option<Nanos> {
        let sent = || self.events.iter().map(|(t0, _)| *t0);
        Some(sent().max()? - sent().min()?)
    }

    fn base_latency(&self) -> Option<Nanos> {
        let mut events = self.events.clone();
        events.sort_unstable_by_key(|(t0, _)| *t0);
        events.truncate(events.len().div_ceil(BEFORE_BACKLOG));
        let mut latencies: Vec<i64> = events.iter().map(|(t0, t5)| (*t5 - *t0).0).collect();
        latencies.sort_unstable();
        let place = (latencies.len() * 99).div_ceil(100).checked_sub(1)?;
        latencies.get(place).map(|latency| Nanos(*latency))
    }

    /// The intervals between the events over a time.
    #[allow(clippy::cast_precision_loss)] // counts and spans of a run, far below 2^53
    fn per_s(&self, span: Nanos) -> Option<f64> {
        let intervals = self.events.len().checked_sub(1).filter(|n| *n > 0)?;
        (span.0 > 0).then(|| intervals as f64 / (span.0 as f64 / 1e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Ten seconds at a hundred a second; event `n` takes `way(n)` milliseconds.
    fn pace(latency: impl Fn(i64) -> i64) -> AchievedRate {
        let mut pace = AchievedRate::default();
        for n in 0..1_000 {
            let t0 = n * 10 * MS;
            pace.record(Stamp(t0), Stamp(t0 + latency(n) * MS));
        }
        pace
    }

    #[test]
    fn a_slow_pipeline_that_keeps_up_has_reached_what_was_offered() {
        let swings = pace(|n| 200 + n * 37 % 700);
        assert!(swings.objective(100.0).met, "{:?}", swings.objective(100.0));
        assert!(swings.achieved_per_s() <= swings.sent_per_s());
    }

    #[test]
    fn a_backlog_that_grows_has_not() {
        // Each event takes 0.3 ms longer than the one before: 3 % too slow.
        let falls_behind = pace(|n| 5 + n * 3 / 10);
        let objective = falls_behind.objective(100.0);
        assert!(!objective.met, "{objective:?}");
        assert!((97.0..99.0).contains(&objective.measured.unwrap()));
        assert!(!falls_behind.load_fell_behind(100.0), "the load kept up");
    }

    #[test]
    fn a_stall_at_the_beginning_that_is_never_made_up_for_is_a_backlog() {
        let stalled = pace(|_| 4_000);
        let reached = stalled.objective(100.0).measured.unwrap();
        assert!((76.0..78.0).contains(&reached), "{reached}");
    }

    #[test]
    fn a_load_behind_its_own_schedule_is_told_from_a_slow_pipeline() {
        let late = pace(|_| 5);
        assert!(late.load_fell_behind(102.0));
        assert!(!late.load_fell_behind(100.5));
    }

    #[test]
    fn one_event_has_no_pace() {
        let mut one = AchievedRate::default();
        assert_eq!((one.sent_per_s(), one.achieved_per_s()), (None, None));
        one.record(Stamp(0), Stamp(5));
        assert_eq!((one.sent_per_s(), one.achieved_per_s()), (None, None));
        assert!(!one.objective(1.0).met);
    }
}
