//! A position that only grows, and when it had which value: how long ago it passed a place.

use std::collections::VecDeque;

use cdc_bench_model::timeline::{Nanos, Stamp};

/// Most points; beyond it every second one is forgotten.
const MOST: usize = 2_048;

/// The history of a position.
#[derive(Debug, Default)]
pub(super) struct PositionHistory {
    points: VecDeque<(Stamp, u64)>,
}

impl PositionHistory {
    /// It was at `position` at `at`.
    pub(super) fn push(&mut self, at: Stamp, position: u64) {
        if self
            .points
            .back()
            .is_some_and(|(_, last)| *last >= position)
        {
            return;
        }
        if self.points.len() == MOST {
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
        self.points.push_back((at, position));
    }

    /// How long it has been beyond `reached` at `now`, as far back as is known; zero where it is not. What it was at `reached` and
    /// below is forgotten.
    pub(super) fn beyond(&mut self, reached: u64, now: Stamp) -> Nanos {
        while self.points.front().is_some_and(|(_, at)| *at <= reached) && self.points.len() > 1 {
            self.points.pop_front();
        }
        match self.points.front() {
            Some((since, position)) if *position > reached => Nanos((now - *since).0.max(0)),
            _ => Nanos(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Stamp {
        Stamp(0) + Nanos::from_millis(second * 1_000)
    }

    #[test]
    fn a_lag_in_positions_is_one_in_time() {
        let mut history = PositionHistory::default();
        assert_eq!(history.beyond(0, at(0)), Nanos(0));
        for second in 0_u32..100 {
            history.push(at(second.into()), u64::from(second) * 10);
        }
        assert_eq!(
            history.beyond(990, at(100)),
            Nanos(0),
            "it is caught up with"
        );
        let mut history = PositionHistory::default();
        (0_u32..100).for_each(|s| history.push(at(s.into()), u64::from(s) * 10));
        // It passed 500 with the point of second 51.
        assert_eq!(history.beyond(500, at(100)), Nanos::from_millis(49_000));
        assert_eq!(history.beyond(505, at(101)), Nanos::from_millis(50_000));
        history.push(at(200), 1);
        assert_eq!(history.beyond(990, at(300)), Nanos(0), "it never goes back");
    }

    #[test]
    fn its_memory_is_bounded_and_the_oldest_point_stays() {
        let mut history = PositionHistory::default();
        for second in 0_u32..100_000 {
            history.push(at(second.into()), u64::from(second) + 1);
        }
        assert!(history.points.len() <= MOST);
        assert_eq!(
            history.beyond(0, at(100_000)),
            Nanos::from_millis(100_000_000)
        );
    }
}
