//! Successive halving within a budget of time (Jamieson and Talwalkar, 2016): many configurations with few events each,
//! the better half again with twice as many, until few are left; then these and the defaults, head to head.

use std::time::Duration;

use cdc_bench_model::analysis::{Cost, best};

/// Assumed time of a run besides its events (connector, topic, verification, clean-up), until one was measured.
const ASSUMED_OVERHEAD: Duration = Duration::from_secs(6);
/// Fewest configurations that make a choice.
const MIN_CONFIGURATIONS: usize = 2;

/// Estimates how long runs take.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunTimeEstimate {
    /// Events per second.
    pub(super) rate: f64,
    /// Warm-up events per run.
    pub(super) warmup: u64,
    /// Time of a run besides its events.
    pub(super) overhead: Duration,
    /// Whether that is still the assumption.
    is_assumed: bool,
}

impl RunTimeEstimate {
    pub(super) fn new(rate: f64, warmup: u64) -> Self {
        Self {
            rate,
            warmup,
            overhead: ASSUMED_OVERHEAD,
            is_assumed: true,
        }
    }

    /// Time of one run with this many events.
    pub(super) fn run_time(&self, events: u64) -> Duration {
        self.events(events) + self.overhead
    }

    fn events(&self, events: u64) -> Duration {
        #[allow(clippy::cast_precision_loss)] // counts far below 2^53
        let seconds = (events + self.warmup) as f64 / self.rate;
        Duration::from_secs_f64(seconds)
    }

    /// Takes a measured run into account: the longest so far is the estimate.
    pub(super) fn observe(&mut self, events: u64, took: Duration) {
        let overhead = took.saturating_sub(self.events(events));
        self.overhead = if self.is_assumed {
            overhead
        } else {
            self.overhead.max(overhead)
        };
        self.is_assumed = false;
    }
}

/// Number of configurations and of events each, by round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HalvingPlan {
    pub(super) rounds: Vec<(usize, u64)>,
}

impl HalvingPlan {
    /// Halves `candidates` until no more than `keep` are left, and doubles their events each time.
    pub(super) fn new(candidates: usize, events: u64, keep: usize) -> Self {
        let mut rounds = vec![(candidates, events)];
        let (mut left, mut events) = (candidates, events);
        while left > keep.max(1) {
            left = left.div_ceil(2).max(keep.max(1));
            events = events.saturating_mul(2);
            rounds.push((left, events));
        }
        Self { rounds }
    }

    /// The plan with as many candidates as fit in the budget, including the runs of both sides at the end; `None` if not even
    /// the fewest fit.
    pub(super) fn within(
        candidates: usize,
        events: u64,
        keep: usize,
        head_to_head_rounds: u32,
        estimate: &RunTimeEstimate,
        budget: Duration,
    ) -> Option<Self> {
        (MIN_CONFIGURATIONS..=candidates.max(MIN_CONFIGURATIONS))
            .rev()
            .map(|candidates| Self::new(candidates, events, keep))
            .find(|plan| plan.total_time(head_to_head_rounds, estimate) <= budget)
    }

    /// Time of the whole plan, without the warm-up of the servers.
    pub(super) fn total_time(
        &self,
        head_to_head_rounds: u32,
        estimate: &RunTimeEstimate,
    ) -> Duration {
        let halving = self.rounds.iter().map(|(count, events)| {
            let count = u32::try_from(*count).unwrap_or(u32::MAX);
            estimate.run_time(*events) * count
        });
        halving.sum::<Duration>() + estimate.run_time(self.last_events()) * head_to_head_rounds * 2
    }

    /// Events of the last round, and of the head-to-head.
    pub(super) fn last_events(&self) -> u64 {
        self.rounds.last().map_or(0, |(_, events)| *events)
    }
}

/// Indices of the better `keep` of the measured configurations; those without a cost are dropped first.
pub(super) fn survivors(measured: &[(usize, Option<Cost>)], keep: usize) -> Vec<usize> {
    let (indices, costs): (Vec<usize>, Vec<Cost>) = measured
        .iter()
        .filter_map(|(place, cost)| Some((*place, (*cost)?)))
        .unzip();
    best(&costs, keep).into_iter().map(|n| indices[n]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_as_many_with_twice_the_events_until_few_are_left() {
        let rounds = |candidates, keep| HalvingPlan::new(candidates, 300, keep).rounds;
        assert_eq!(rounds(12, 3), [(12, 300), (6, 600), (3, 1_200)]);
        assert_eq!(rounds(5, 2), [(5, 300), (3, 600), (2, 1_200)]);
        assert_eq!(rounds(3, 3), [(3, 300)]);
    }

    #[test]
    fn a_plan_fits_its_budget_or_is_none() {
        let estimate = RunTimeEstimate::new(100.0, 100);
        let within = |seconds| {
            let budget = Duration::from_secs(seconds);
            let plan = HalvingPlan::within(16, 300, 2, 3, &estimate, budget)?;
            assert!(plan.total_time(3, &estimate) <= budget);
            Some(plan.rounds[0].0)
        };
        assert_eq!(within(3_600), Some(16));
        let (some, fewest) = (within(400).unwrap(), within(130));
        assert!((3..16).contains(&some), "{some}");
        assert_eq!(fewest, Some(2));
        assert_eq!(within(30), None);
    }

    #[test]
    fn what_runs_take_besides_their_events_is_learnt_from_them() {
        let mut estimate = RunTimeEstimate::new(100.0, 0);
        estimate.observe(200, Duration::from_secs(5));
        assert_eq!(estimate.run_time(100), Duration::from_secs(4));
        estimate.observe(200, Duration::from_secs(9));
        estimate.observe(200, Duration::from_secs(3));
        assert_eq!(
            estimate.run_time(100),
            Duration::from_secs(8),
            "the longest"
        );
    }

    #[test]
    fn what_has_no_cost_falls_out_first() {
        let cost = |latency, cpu| {
            Some(Cost {
                latency,
                cpu: Some(cpu),
            })
        };
        let measured = [
            (3, cost(10.0, 9.0)),
            (5, None),
            (8, cost(9.0, 8.0)),
            (9, cost(1.0, 90.0)),
        ];
        let mut left = survivors(&measured, 2);
        left.sort_unstable();
        assert_eq!(left, [8, 9]);
        assert_eq!(survivors(&[(0, None)], 2), [0; 0]);
    }
}
