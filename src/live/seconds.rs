//! What came to its end in each second.

use std::collections::VecDeque;

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::timeline::{Nanos, Stamp};

use super::Second;

const SECOND: Nanos = Nanos::from_millis(1_000);
/// Seconds that are kept: the width of the widest sparkline.
pub(super) const SECONDS: usize = 200;

/// What came to its end in each second of our clock.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    over: VecDeque<Second>,
    /// The second that is filling: its number, and the totals in it.
    filling: Option<(i64, SignedHistogram)>,
}

impl Seconds {
    /// Adds `count` totals that ended at `at`.
    pub(super) fn record(&mut self, at: Stamp, total: Nanos, count: u64) {
        self.turn(at);
        // What is joined late counts in that second.
        let (_, totals) = self
            .filling
            .get_or_insert_with(|| (second_of(at), SignedHistogram::default()));
        totals.record_many(total, count);
    }

    /// Closes the seconds that are over at `now`.
    fn turn(&mut self, now: Stamp) {
        let Some((number, totals)) = &mut self.filling else {
            return;
        };
        let present = second_of(now);
        let empty = usize::try_from(present - *number - 1);
        let Ok(empty) = empty else { return };
        let any = totals.count() > 0;
        let at = |q| any.then(|| totals.quantile(q).round_micros());
        self.over.push_back(Second {
            written: totals.count(),
            p50_us: at(0.5),
            p99_us: at(0.99),
        });
        (0..empty.min(SECONDS)).for_each(|_| self.over.push_back(Second::default()));
        while self.over.len() > SECONDS {
            self.over.pop_front();
        }
        self.filling = Some((present, SignedHistogram::default()));
    }

    /// The seconds before `now`, newest last.
    pub(super) fn until(&mut self, now: Stamp) -> Vec<Second> {
        self.turn(now);
        self.over.iter().copied().collect()
    }
}

fn second_of(stamp: Stamp) -> i64 {
    stamp.0.div_euclid(SECOND.0)
}
