//! What a fault did to a path: how long nothing new came through, how much waited, and when that was over.

use super::activity::{Activity, Place};
use crate::timeline::{Nanos, Stamp};

/// How long before a fault is looked at for what is usual.
const BEFORE: Nanos = Nanos(5_000_000_000);
/// A backlog that is as usual for so long is gone.
const HOLDS: Nanos = Nanos(200_000_000);
/// A silence is the fault's if it began this soon after it,
const SOON: Nanos = Nanos(3_000_000_000);
/// and if it is longer than this, and than any before the fault by this factor.
const LEAST_SILENCE: Nanos = Nanos(250_000_000);
const TIMES_USUAL: usize = 2;
/// Fewer events under way than this are usual in any case.
const LEAST_USUAL: u64 = 3;

/// What became of a path after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// From the fault until an event was in the store again after nothing was, or, where it did not come to that, one that was due
    /// after the fault; `None` if none came.
    pub first_event: Option<Nanos>,
    /// From the fault until no more events were under way than usual; `None` if that did not come.
    pub backlog_gone: Option<Nanos>,
    /// Most events that were due and not in the store.
    pub backlog: u64,
}

/// What became of a path after a fault at `at`, up to the next fault.
#[must_use]
pub fn recovery(activity: &Activity, at: Stamp, next: Option<Stamp>) -> Option<Recovery> {
    let (due, stored) = (
        activity.cumulated(Place::Due),
        activity.cumulated(Place::Stored),
    );
    let began = activity.period_of(at)?;
    let end = next.and_then(|next| activity.period_of(next));
    let end = end.unwrap_or(activity.len());
    let periods = |span: Nanos| {
        usize::try_from(span.0 / activity.length().0)
            .unwrap_or(0)
            .max(1)
    };
    let under_way = |period: usize| due[period].saturating_sub(stored[period]);
    let before = began.saturating_sub(periods(BEFORE))..began;
    let usual = before.map(under_way).max().unwrap_or(0).max(LEAST_USUAL);
    let since = |period: usize| Nanos((activity.begin_of(period + 1) - at).0.max(0));
    let silences = |from: usize, to: usize| {
        let moved = (from..to).filter(|period| activity.came(Place::Stored, *period) > 0);
        let ends: Vec<_> = std::iter::once(from).chain(moved).collect();
        let pairs = ends.windows(2).map(|pair| (pair[0], pair[1]));
        // Nothing is silent about a time in which nothing was due.
        let waited = |&(_, end): &(usize, usize)| end > 0 && under_way(end - 1) > 0;
        pairs.filter(waited).collect::<Vec<_>>()
    };
    let length = |&(from, to): &(usize, usize)| to - from;
    let longest_before = silences(began.saturating_sub(periods(BEFORE)), began);
    let usual_silence = longest_before.iter().map(length).max().unwrap_or(0);
    let least_silence = periods(LEAST_SILENCE).max(usual_silence * TIMES_USUAL);
    let silence = silences(began, activity.len())
        .into_iter()
        .filter(|(from, _)| *from <= (began + periods(SOON)).min(end))
        .filter(|silence| length(silence) >= least_silence)
        .max_by_key(length);
    // The order of events is kept, so the first one after the fault is the next after those before it.
    let in_order = (began..activity.len()).find(|period| stored[*period] > due[began]);
    let first = in_order.max(silence.map(|(_, end)| end));
    let is_usual = |from: &usize| {
        let until = (from + periods(HOLDS)).min(activity.len());
        (*from..until).all(|period| under_way(period) <= usual)
    };
    let gone = first.and_then(|first| (first..end.max(first + 1)).find(is_usual));
    let worst = began..gone.map_or(end, |gone| gone + 1).max(began + 1);
    Some(Recovery {
        first_event: first.map(since),
        backlog_gone: gone.map(since),
        backlog: worst.map(under_way).max().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::super::activity::tests::event;
    use super::*;

    #[test]
    fn a_fault_has_its_first_event_after_it_its_backlog_and_its_end() {
        let mut activity = Activity::default();
        for n in 0..2_000 {
            let due = n * 5;
            // Nothing is stored from second 4 to 5; then it takes another half to catch up.
            let normal = due + 10;
            let stored = if (4_000..5_500).contains(&normal) {
                5_000 + (normal - 4_000) / 3
            } else {
                normal
            };
            activity.record(&event([due, due, due, due, due, due, due, due, stored]));
        }
        let ms = |ms: i64| Stamp(ms * 1_000_000);
        let found = recovery(&activity, ms(4_000), None).unwrap();
        let first = found.first_event.unwrap().0 / 1_000_000;
        assert!((1_000..=1_030).contains(&first), "{first}");
        let gone = found.backlog_gone.unwrap().0 / 1_000_000;
        assert!((1_450..=1_550).contains(&gone), "{gone}");
        assert!((195..=205).contains(&found.backlog), "{found:?}");
        let nothing = recovery(&activity, ms(8_000), None).unwrap();
        assert!(nothing.first_event.unwrap().0 <= 30_000_000, "{nothing:?}");
        assert!(nothing.backlog <= 4, "{nothing:?}");
        assert_eq!(recovery(&Activity::default(), ms(1), None), None);
    }
}
