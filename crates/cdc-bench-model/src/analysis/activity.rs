//! How many events had each of their stamps, over the time of a run: what was under way between any two of them, and when nothing
//! moved. A limited number of periods, whatever the run's length.

use serde::{Deserialize, Serialize};

use crate::timeline::{Joined, Nanos, Stamp};

/// Length of a period, while there is room for that many.
const SHORTEST: Nanos = Nanos(10_000_000);
/// Beyond this many periods, pairs are merged: 43 minutes of the shortest.
const MOST: usize = 1 << 18;

/// A place on an event's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Its INSERT is due (Ts).
    Due,
    /// Its INSERT is sent (T0).
    Sent,
    /// Its commit is acknowledged (Ta).
    Committed,
    /// Our reader has its row (T1).
    Captured,
    /// Debezium has handed it on (Td); on other paths where our reader has it.
    HandedOn,
    /// It is in Kafka (T2).
    InKafka,
    /// The consumer has it (T3).
    Received,
    /// Its write is issued (T4).
    Issued,
    /// The store has acknowledged it (T5).
    Stored,
}

impl Place {
    const COUNT: usize = 9;

    fn index(self) -> usize {
        self as usize
    }
}

/// Counts of one period, by place.
type Counts = [u32; Place::COUNT];

/// The stamps of a path's events by period.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Activity {
    origin: Option<Stamp>,
    length: Nanos,
    periods: Vec<Counts>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            origin: None,
            length: SHORTEST,
            periods: Vec::new(),
        }
    }
}

impl Activity {
    /// Adds an event.
    pub fn record(&mut self, event: &Joined) {
        let stamps = &event.stamps;
        let at = [
            (Place::Due, stamps.ts),
            (Place::Sent, stamps.t0),
            (Place::Committed, stamps.ta),
            (Place::Captured, stamps.t1),
            (Place::HandedOn, stamps.td.unwrap_or(stamps.t1)),
            (Place::InKafka, stamps.t2),
            (Place::Received, stamps.t3),
            (Place::Issued, stamps.t4),
            (Place::Stored, stamps.t5),
        ];
        self.origin.get_or_insert(stamps.ts);
        for (place, stamp) in at {
            let count = &mut self.period(stamp)[place.index()];
            *count = count.saturating_add(1);
        }
    }

    /// Adds the events of another machine, whose stamps are on a clock that runs with ours.
    pub fn add(&mut self, other: &Self) {
        let (Some(ours), Some(theirs)) = (self.origin, other.origin) else {
            if self.origin.is_none() {
                *self = other.clone();
            }
            return;
        };
        while self.length < other.length {
            self.join_pairs();
        }
        self.begin_before(ours, theirs);
        let middle = Nanos(other.length.0 / 2);
        for (period, more) in other.periods.iter().enumerate() {
            let counts = self.period(other.begin_of(period) + middle);
            for (count, more) in counts.iter_mut().zip(more) {
                *count = count.saturating_add(*more);
            }
        }
    }

    /// Puts empty periods in front, so that none of these times is before the first.
    fn begin_before(&mut self, origin: Stamp, earlier: Stamp) {
        let missing = |length: Nanos| {
            let span = (origin - earlier).0.max(0).unsigned_abs();
            usize::try_from(span.div_ceil(length.0.unsigned_abs())).unwrap_or(usize::MAX)
        };
        while missing(self.length) >= MOST - self.periods.len().min(MOST - 1) {
            self.join_pairs();
        }
        let count = missing(self.length);
        self.periods
            .splice(..0, std::iter::repeat_n([0; Place::COUNT], count));
        let span = i64::try_from(count).unwrap_or(i64::MAX);
        self.origin = Some(origin - Nanos(self.length.0.saturating_mul(span)));
    }

    fn period(&mut self, at: Stamp) -> &mut Counts {
        let since = self.origin.map_or(0, |origin| (at - origin).0.max(0));
        loop {
            let index = usize::try_from(since / self.length.0).unwrap_or(usize::MAX);
            if index >= MOST {
                self.join_pairs();
                continue;
            }
            if index >= self.periods.len() {
                self.periods.resize(index + 1, [0; Place::COUNT]);
            }
            return &mut self.periods[index];
        }
    }

    fn join_pairs(&mut self) {
        let pairs = self.periods.chunks(2).map(|pair| {
            let mut sum = pair[0];
            for later in &pair[1..] {
                let counts = sum.iter_mut().zip(later);
                counts.for_each(|(sum, more)| *sum = sum.saturating_add(*more));
            }
            sum
        });
        self.periods = pairs.collect();
        self.length = Nanos(self.length.0 * 2);
    }

    /// Length of a period: how exact the times are.
    #[must_use]
    pub fn length(&self) -> Nanos {
        self.length
    }

    /// Number of periods.
    pub(super) fn len(&self) -> usize {
        self.periods.len()
    }

    /// Events that came to a place in a period.
    pub(super) fn came(&self, place: Place, period: usize) -> u32 {
        self.periods[period][place.index()]
    }

    /// Events that had come to a place at the end of each period.
    pub(super) fn cumulated(&self, place: Place) -> Vec<u64> {
        let mut sum = 0;
        let counts = self.periods.iter().map(|counts| counts[place.index()]);
        let sums = counts.map(|count| {
            sum += u64::from(count);
            sum
        });
        sums.collect()
    }

    /// When a period begins.
    pub(super) fn begin_of(&self, period: usize) -> Stamp {
        let since = i64::try_from(period).unwrap_or(i64::MAX);
        self.origin.unwrap_or(Stamp(0)) + Nanos(self.length.0.saturating_mul(since))
    }

    /// The period of a time: the first or the last for times outside of the run. `None` without events.
    pub(super) fn period_of(&self, at: Stamp) -> Option<usize> {
        let since = (at - self.origin?).0.max(0) / self.length.0;
        let last = self.periods.len().checked_sub(1)?;
        Some(usize::try_from(since).unwrap_or(last).min(last))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{EventId, EventType};
    use crate::timeline::{Captured, Stamps};

    /// An event by its stamps, in milliseconds: due, sent, committed, captured, handed on, in Kafka, received, issued, stored.
    pub(in crate::analysis) fn event(at: [i64; 9]) -> Joined {
        let [ts, t0, ta, t1, td, t2, t3, t4, t5] = at.map(|ms| Stamp(ms * 1_000_000));
        Joined {
            id: EventId(uuid::Uuid::nil()),
            seq: 0,
            event_type: EventType::UserCreated,
            captured: Captured {
                tc: ta,
                t1,
                lsn: 1,
                commit_lsn: 2,
                xid: 3,
            },
            partition: None,
            stamps: Stamps {
                ts,
                t0,
                ta,
                tc: ta,
                t1,
                td: Some(td),
                t2,
                t3,
                t4,
                t5,
            },
        }
    }

    #[test]
    fn parts_of_several_machines_are_what_one_would_have_counted() {
        // One begins later than the other, and has run for so long that its periods are twice as long.
        let (mut early, mut late, mut whole) = <(Activity, Activity, Activity)>::default();
        for n in 0..300 {
            let ms = 1_003 + n * 10_000;
            late.record(&event([ms; 9]));
            whole.record(&event([ms; 9]));
        }
        for n in 0..20 {
            early.record(&event([n * 100; 9]));
            whole.record(&event([n * 100; 9]));
        }
        assert!(late.length() > early.length());
        for (mut sum, other) in [(early.clone(), &late), (late.clone(), &early)] {
            sum.add(other);
            assert_eq!(sum.cumulated(Place::Stored).last(), Some(&320));
            assert_eq!(sum.length(), late.length());
            let half = sum.period_of(Stamp(1_500_000_000)).unwrap();
            let before = u64::from(sum.came(Place::Stored, half));
            let until = sum.cumulated(Place::Stored)[half];
            assert!(
                (16..=17).contains(&(until + 1 - before)),
                "{until} {before}"
            );
            assert!(sum.begin_of(0) <= Stamp(0));
        }
        let mut none = Activity::default();
        none.add(&early);
        none.add(&Activity::default());
        assert_eq!(none.cumulated(Place::Due).last(), Some(&20));
    }

    #[test]
    fn a_day_fits_and_no_event_is_dropped() {
        let mut activity = Activity::default();
        for minute in 0..24 * 60 {
            let at = minute * 60_000;
            activity.record(&event([at; 9]));
        }
        assert!(activity.len() <= MOST);
        assert_eq!(activity.cumulated(Place::Stored).last(), Some(&(24 * 60)));
        assert_eq!(activity.length(), Nanos(SHORTEST.0 * 64));
        let noon = Stamp(12 * 3_600 * 1_000_000_000);
        let period = activity.period_of(noon).unwrap();
        assert!((noon - activity.begin_of(period)).0 < activity.length().0);
        assert_eq!(Activity::default().period_of(noon), None);
    }
}
