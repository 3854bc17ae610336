//! Stalls told from slowness: times in which a stage of the pipeline let nothing through although events waited for it.
//!
//! A slow stage is slow for most of its events; one that stood still is quick for most, and the events that waited make up the tail of
//! the whole run.

use serde::{Deserialize, Serialize};

use super::activity::{Activity, Place};
use crate::timeline::{CapturePath, Hop, Nanos, Stamp};

/// A shorter silence is nothing to tell.
const SHORTEST: Nanos = Nanos(250_000_000);
/// A stall is so many times as long as silences of the stage usually are,
const TIMES_USUAL: i64 = 4;
/// and as the stage takes at the median.
const TIMES_MEDIAN: i64 = 3;
/// Silences too short to be seen are counted as if there were so many at least.
const LEAST_SILENCES: usize = 100;
/// A stall this soon after a longer one of the same stage is its catching up.
const AFTERMATH: Nanos = Nanos(500_000_000);
/// Of stages that stood still at the same time, one with less than this share of the events that waited is no cause.
const CAUSE: f64 = 0.05;

/// A time in which a stage stood still.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// The part of the way that nothing passed: `commit`, `wal_delivery`, `debezium`, `produce`, `consumer_lag`, `transform` or
    /// `write`.
    pub hop: Hop,
    /// When it began, to a hundredth of a second in runs of less than 43 minutes.
    pub began: Stamp,
    /// When the first event passed again.
    pub ended: Stamp,
    /// Events that waited for it.
    pub waited: u64,
    /// The share of the events beyond the 95th percentile that are of those, 0 to 1.
    pub share_of_p95: f64,
    /// The same beyond the 99th.
    pub share_of_p99: f64,
}

/// A stage: events enter at one place and leave at another.
struct Stage {
    hop: Hop,
    /// Where the events stand that wait for it, in all.
    waits_from: Place,
    enters: Place,
    leaves: Place,
}

const fn stage(hop: Hop, waits_from: Place, enters: Place, leaves: Place) -> Stage {
    Stage {
        hop,
        waits_from,
        enters,
        leaves,
    }
}

/// The stages of a path, in its order.
fn stages(path: CapturePath) -> Vec<Stage> {
    use Place::{Captured, Committed, Due, HandedOn, InKafka, Issued, Received, Sent, Stored};
    let commit = stage(Hop::Commit, Due, Sent, Committed);
    let transform = stage(Hop::Transform, Received, Received, Issued);
    // A write takes what was received while the one before it was under way.
    let write = stage(Hop::Write, Received, Issued, Stored);
    let read = stage(Hop::WalDelivery, Committed, Committed, Captured);
    let produce = stage(Hop::Produce, HandedOn, HandedOn, InKafka);
    let receive = stage(Hop::ConsumerLag, InKafka, InKafka, Received);
    match path {
        CapturePath::Debezium => {
            let debezium = stage(Hop::Debezium, Committed, Committed, HandedOn);
            vec![commit, debezium, produce, receive, transform, write]
        }
        CapturePath::Wal => vec![commit, read, produce, receive, transform, write],
        CapturePath::Embedded => vec![commit, read, receive, transform, write],
    }
}

/// The figures of a path that decide what is a stall and what it accounts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual<'a> {
    /// Median of a hop.
    pub median: &'a [(Hop, Nanos)],
    /// 95th percentile of the total.
    pub p95: Nanos,
    /// 99th percentile of the total.
    pub p99: Nanos,
}

/// The stalls of a path, in the order of their time. Of stages that stood still together, the one that the others waited for.
#[must_use]
pub fn stalls(path: CapturePath, activity: &Activity, usual: Usual<'_>) -> Vec<Stall> {
    let silences = stages(path)
        .into_iter()
        .enumerate()
        .flat_map(|(order, stage)| {
            let median = usual.median.iter().find(|(hop, _)| *hop == stage.hop);
            let median = median.map_or(Nanos(0), |(_, median)| *median);
            let of_stage = Silences::of(activity, &stage);
            let found = of_stage.longer_than_usual(activity, median);
            let found = found.map(|silence| (order, of_stage.stall(activity, silence, usual)));
            found.collect::<Vec<_>>()
        });
    let mut silences: Vec<_> = silences.collect();
    silences.sort_by_key(|(order, stall)| (stall.began, *order));
    let mut groups: Vec<Vec<(usize, Stall)>> = Vec::new();
    for silence in silences {
        match groups.iter_mut().find(|group| overlaps(group, &silence.1)) {
            Some(group) => group.push(silence),
            None => groups.push(vec![silence]),
        }
    }
    let causes = groups.iter().filter_map(|group| cause(group));
    causes.fold(Vec::new(), |mut found: Vec<Stall>, stall| {
        let is_aftermath = found.last().is_some_and(|before| {
            before.hop == stall.hop
                && stall.began - before.ended < AFTERMATH
                && stall.ended - stall.began < before.ended - before.began
        });
        found.extend((!is_aftermath).then_some(stall));
        found
    })
}

/// Whether one is within the time of another for the most part.
fn overlaps(group: &[(usize, Stall)], stall: &Stall) -> bool {
    group.iter().any(|(_, other)| {
        let both = (stall.ended.min(other.ended) - stall.began.max(other.began)).0;
        let shorter = (stall.ended - stall.began)
            .0
            .min((other.ended - other.began).0);
        both * 2 > shorter
    })
}

/// What stands still holds up what is before it, so the cause is the last stage for which more than a few have waited.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn cause(group: &[(usize, Stall)]) -> Option<Stall> {
    let most = group.iter().map(|(_, stall)| stall.waited).max()?;
    let causes = group
        .iter()
        .filter(|(_, stall)| stall.waited as f64 >= most as f64 * CAUSE);
    causes
        .max_by_key(|(order, _)| *order)
        .map(|(_, stall)| *stall)
}

/// A silence: its first period, and the one after its last.
type Silence = (usize, usize);

/// Times in which nothing left a stage although something was in it.
struct Silences {
    hop: Hop,
    all: Vec<Silence>,
    /// Events that had come to where they wait, and that had left, at the end of each period.
    waiting: Vec<u64>,
    left: Vec<u64>,
    /// Events that were sent, and that were stored, at the end of each period.
    sent: Vec<u64>,
    stored: Vec<u64>,
}

impl Silences {
    fn of(activity: &Activity, stage: &Stage) -> Self {
        let (entered, left) = (
            activity.cumulated(stage.enters),
            activity.cumulated(stage.leaves),
        );
        let mut all = Vec::new();
        let mut began: Option<usize> = None;
        for period in 0..activity.len() {
            if activity.came(stage.leaves, period) > 0 {
                all.extend(began.take().map(|began| (began, period)));
            } else if entered[period] > left[period] {
                began.get_or_insert(period);
            } else {
                // Nothing is in it: what comes next does not wait yet.
                began = None;
            }
        }
        Self {
            hop: stage.hop,
            all,
            waiting: activity.cumulated(stage.waits_from),
            left,
            sent: activity.cumulated(Place::Sent),
            stored: activity.cumulated(Place::Stored),
        }
    }

    /// Silences that are longer than the rhythm of the stage explains, such as that of a poll loop.
    fn longer_than_usual(
        &self,
        activity: &Activity,
        median: Nanos,
    ) -> impl Iterator<Item = Silence> {
        let mut lengths: Vec<_> = self
            .all
            .iter()
            .map(|(began, ended)| ended - began)
            .collect();
        lengths.resize(lengths.len().max(LEAST_SILENCES), 0);
        lengths.sort_unstable();
        let usual = lengths[(lengths.len() - 1) * 9 / 10];
        let usual = activity.length().0 * i64::try_from(usual).unwrap_or(i64::MAX);
        let least = (SHORTEST.0)
            .max(usual.saturating_mul(TIMES_USUAL))
            .max(median.0.saturating_mul(TIMES_MEDIAN));
        let period = activity.length().0;
        let silences = self.all.iter().copied();
        silences.filter(move |(began, ended)| {
            period * i64::try_from(ended - began).unwrap_or(i64::MAX) >= least
        })
    }

    /// How many of these events, by their place in the order of all, took at least so long from their INSERT to the store.
    fn slower(&self, activity: &Activity, events: std::ops::Range<u64>, least: Nanos) -> usize {
        let first_over = |counts: &[u64], event: u64, from: usize| {
            let later = counts.iter().skip(from).position(|count| *count > event);
            later.map_or(counts.len(), |later| from + later)
        };
        let (mut sent, mut stored) = (0, 0);
        let is_slow = |event: &u64| {
            sent = first_over(&self.sent, *event, sent);
            stored = first_over(&self.stored, *event, stored);
            let periods = i64::try_from(stored.saturating_sub(sent)).unwrap_or(i64::MAX);
            // Both are known to a period.
            activity.length().0.saturating_mul(periods + 1) >= least.0
        };
        events.filter(is_slow).count()
    }

    /// A silence with the events that waited.
    #[allow(clippy::cast_precision_loss)] // event counts far below 2^53
    fn stall(&self, activity: &Activity, (began, ended): Silence, usual: Usual<'_>) -> Stall {
        let left = ended.checked_sub(1).map_or(0, |before| self.left[before]);
        let ended_at = activity.begin_of(ended);
        let events = self.stored.last().copied().unwrap_or(0) as f64;
        let waited = left..self.waiting[ended].max(left);
        let share = |quantile: Nanos, beyond: f64| {
            let slow = self.slower(activity, waited.clone(), quantile) as f64;
            (slow / (events * beyond).max(1.0)).min(1.0)
        };
        Stall {
            hop: self.hop,
            began: activity.begin_of(began),
            ended: ended_at,
            waited: waited.end - waited.start,
            share_of_p95: share(usual.p95, 0.05),
            share_of_p99: share(usual.p99, 0.01),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::tests::event;
    use super::*;

    /// 20 s at 200 a second, each stage a few milliseconds; `stage` (by its place in an event's stamps) lets nothing through from
    /// second 9 to 11.
    fn run(standing: usize) -> Activity {
        let mut activity = Activity::default();
        for n in 0..4_000 {
            let due = n * 5;
            let mut at = [
                due,
                due,
                due + 1,
                due + 2,
                due + 3,
                due + 5,
                due + 7,
                due + 8,
                due + 17,
            ];
            let mut shift = 0;
            for (place, stamp) in at.iter_mut().enumerate() {
                *stamp += shift;
                if place == standing && (9_000..11_000).contains(&*stamp) {
                    let waits = 11_000 + n % 5 - *stamp;
                    shift += waits;
                    *stamp += waits;
                }
            }
            activity.record(&event(at));
        }
        activity
    }

    const USUAL: Usual<'_> = Usual {
        median: &[(Hop::Write, Nanos(9_000_000))],
        p95: Nanos(900_000_000),
        p99: Nanos(1_700_000_000),
    };

    #[test]
    fn each_stage_that_stood_still_is_told_with_the_events_that_waited() {
        let stages = [
            (2, Hop::Commit),
            (4, Hop::Debezium),
            (5, Hop::Produce),
            (6, Hop::ConsumerLag),
            (7, Hop::Transform),
            (8, Hop::Write),
        ];
        for (place, hop) in stages {
            let found = stalls(CapturePath::Debezium, &run(place), USUAL);
            let [stall] = found[..] else {
                panic!("{hop:?}: {found:?}");
            };
            assert_eq!(stall.hop, hop);
            let ms = |stamp: Stamp| stamp.0 / 1_000_000;
            assert!((8_990..=9_030).contains(&ms(stall.began)), "{stall:?}");
            assert!((10_990..=11_000).contains(&ms(stall.ended)), "{stall:?}");
            assert!((390..=405).contains(&stall.waited), "{stall:?}");
            assert!(
                stall.share_of_p95 > 0.9 && stall.share_of_p99 > 0.9,
                "{stall:?}"
            );
        }
    }

    #[test]
    fn a_run_in_which_nothing_stood_still_has_no_stall() {
        assert_eq!(stalls(CapturePath::Debezium, &run(99), USUAL), []);
        assert_eq!(
            stalls(CapturePath::Debezium, &Activity::default(), USUAL),
            []
        );
    }

    #[test]
    fn the_rhythm_of_a_poll_loop_is_no_stall() {
        let mut activity = Activity::default();
        for n in 0..2_000 {
            let due = n * 6;
            // Handed on every 500 ms.
            let polled = (due / 500 + 1) * 500;
            activity.record(&event([
                due,
                due,
                due + 1,
                due + 2,
                polled,
                polled + 2,
                polled + 3,
                polled + 4,
                polled + 9,
            ]));
        }
        let usual = Usual {
            median: &[(Hop::Debezium, Nanos(250_000_000))],
            ..USUAL
        };
        assert_eq!(stalls(CapturePath::Debezium, &activity, usual), []);
    }

    #[test]
    fn a_slow_stage_is_no_stall_and_neither_is_a_quiet_hour() {
        let mut slow = Activity::default();
        for n in 0..400 {
            let due = n * 50;
            slow.record(&event([due, due, due, due, due, due, due, due, due + 900]));
        }
        let usual = Usual {
            median: &[(Hop::Write, Nanos(900_000_000))],
            ..USUAL
        };
        assert_eq!(stalls(CapturePath::Debezium, &slow, usual), []);
        let mut quiet = Activity::default();
        for n in 0..20 {
            quiet.record(&event([n * 5_000; 9]));
        }
        assert_eq!(stalls(CapturePath::Debezium, &quiet, USUAL), []);
    }
}
