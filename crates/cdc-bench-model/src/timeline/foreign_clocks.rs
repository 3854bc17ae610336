//! The current corrections of foreign clocks, shared by the code that measures them and the code that corrects stamps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::{
    ClockBounds, ClockOffset, HALF_MILLISECOND, Nanos, OffsetEstimator, OffsetLine, Stamp,
};

/// The offsets that bring foreign stamps to our clock.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Corrections {
    /// PostgreSQL's.
    pub postgres: OffsetLine,
    /// Error bound of PostgreSQL's.
    pub postgres_bound: Nanos,
    /// The broker's.
    pub broker: OffsetLine,
    /// Error bound of the broker's.
    pub broker_bound: Nanos,
    /// Connect's.
    pub connect: OffsetLine,
    /// Error bound of Connect's; `None` if nothing is known of that clock.
    pub connect_bound: Option<Nanos>,
}

impl Corrections {
    /// Error bounds of stamps corrected by these, as known now.
    #[must_use]
    pub fn bounds(&self) -> ClockBounds {
        ClockBounds {
            broker: self.broker_bound,
            connect: self.connect_bound,
            ..ClockBounds::default()
        }
    }
}

/// The corrections of a run, and the bounds that its events put on Connect's clock, which cannot be queried.
#[derive(Debug, Default)]
pub struct ForeignClocks {
    corrections: RwLock<Corrections>,
    /// How often they have changed.
    changes: AtomicU64,
    causality: Mutex<OffsetEstimator>,
}

/// A copy of the corrections as of their last change, so that most reads take no lock.
#[derive(Debug, Default)]
pub(super) struct CorrectionsCache {
    corrections: Corrections,
    /// The change count of this copy.
    changes: u64,
}

impl ForeignClocks {
    /// Starts with these corrections.
    #[must_use]
    pub fn new(corrections: Corrections) -> Self {
        Self {
            corrections: RwLock::new(corrections),
            changes: AtomicU64::new(1),
            causality: Mutex::default(),
        }
    }

    /// The current corrections.
    #[must_use]
    pub fn corrections(&self) -> Corrections {
        let known = self.corrections.read();
        *known.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same from a cache, which is refreshed only after a change.
    #[inline]
    pub(super) fn refresh<'h>(&self, cache: &'h mut CorrectionsCache) -> &'h Corrections {
        let changes = self.changes.load(Ordering::Acquire);
        if changes != cache.changes {
            *cache = CorrectionsCache {
                corrections: self.corrections(),
                changes,
            };
        }
        &cache.corrections
    }

    /// Replaces the corrections.
    pub fn correct(&self, corrections: Corrections) {
        let known = self.corrections.write();
        *known.unwrap_or_else(PoisonError::into_inner) = corrections;
        // Release: a thread that sees the new count sees the new corrections.
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Connect read its clock no sooner than the event's commit and no later than it was in Kafka (or received, whichever
    /// came first). `commit` and `appended` were brought to our clock by `fix`.
    pub fn bound_connect(
        &self,
        fix: &Corrections,
        reading: Stamp,
        commit: Stamp,
        appended: Option<Stamp>,
        received: Stamp,
    ) {
        let not_before = commit - fix.postgres_bound;
        let appended = appended.map(|at| at + HALF_MILLISECOND + fix.broker_bound);
        let not_after = appended.map_or(received, |at| at.min(received));
        // Debezium's clock has microseconds.
        self.causality()
            .observe(not_before, not_after, reading, Nanos::from_micros(1));
    }

    /// The offset of Connect's clock by the events since the last call.
    #[must_use]
    pub fn take_connect(&self) -> Option<ClockOffset> {
        std::mem::take(&mut *self.causality()).estimate()
    }

    fn causality(&self) -> MutexGuard<'_, OffsetEstimator> {
        self.causality
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_hand_is_what_is_known_now() {
        let (clocks, mut cache) = (ForeignClocks::default(), CorrectionsCache::default());
        assert_eq!(*clocks.refresh(&mut cache), Corrections::default());
        for ahead in [5, 7] {
            let corrections = Corrections {
                broker: OffsetLine::constant(Nanos(ahead)),
                ..Corrections::default()
            };
            clocks.correct(corrections);
            assert_eq!(*clocks.refresh(&mut cache), corrections);
            let begun_with = ForeignClocks::new(corrections);
            assert_eq!(
                *begun_with.refresh(&mut CorrectionsCache::default()),
                corrections
            );
        }
    }

    #[test]
    fn events_bound_a_clock_that_cannot_be_asked() {
        let ms = Nanos::from_millis;
        let clocks = ForeignClocks::new(Corrections {
            broker: OffsetLine::constant(ms(1_000)),
            broker_bound: Nanos(0),
            ..Corrections::default()
        });
        // Connect is 250 ms ahead; each event is emitted 3 ms after its commit, 2 ms before it is in Kafka.
        for n in 0..10 {
            let commit = Stamp(n * 1_000_000_000);
            let reading = commit + ms(3) + ms(250);
            let appended = commit + ms(5) + ms(1_000);
            let fix = clocks.corrections();
            let appended = fix.broker.to_ours(appended);
            clocks.bound_connect(&fix, reading, commit, Some(appended), commit + ms(90));
        }
        let found = clocks.take_connect().unwrap();
        assert!(
            (found.offset - ms(250)).0.abs() <= found.error_bound.0,
            "{found:?}"
        );
        assert!(found.error_bound < ms(3), "{found:?}");
        assert_eq!(clocks.take_connect(), None);
    }
}
