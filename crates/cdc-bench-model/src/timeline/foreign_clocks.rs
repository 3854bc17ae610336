//! Foreign clocks as they are known at this moment, shared by whoever corrects stamps and whoever measures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::{
    ClockBounds, ClockOffset, HALF_MILLISECOND, Nanos, OffsetEstimator, OffsetLine, Stamp,
};

/// Lines by which foreign stamps are brought to our clock.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Corrections {
    /// PostgreSQL's.
    pub postgres: OffsetLine,
    /// How far PostgreSQL's may be off.
    pub postgres_bound: Nanos,
    /// The broker's.
    pub broker: OffsetLine,
    /// How far the broker's may be off.
    pub broker_bound: Nanos,
    /// Connect's.
    pub connect: OffsetLine,
    /// How far Connect's may be off; `None` where nothing is known of it.
    pub connect_bound: Option<Nanos>,
}

impl Corrections {
    /// How far stamps that are corrected by these may be off, as far as is known now.
    #[must_use]
    pub fn bounds(&self) -> ClockBounds {
        ClockBounds {
            broker: self.broker_bound,
            connect: self.connect_bound,
        }
    }
}

/// The corrections of a run, and what its events say of Connect's clock, which nobody can ask.
#[derive(Debug, Default)]
pub struct ForeignClocks {
    corrections: RwLock<Corrections>,
    /// How often they have changed.
    changes: AtomicU64,
    causality: Mutex<OffsetEstimator>,
}

/// Corrections as they were when somebody looked last, kept at hand.
#[derive(Debug, Default)]
pub(super) struct CorrectionsCache {
    corrections: Corrections,
    /// How often they had changed by then.
    changes: u64,
}

impl ForeignClocks {
    /// With these to begin with.
    #[must_use]
    pub fn new(corrections: Corrections) -> Self {
        Self {
            corrections: RwLock::new(corrections),
            changes: AtomicU64::new(1),
            causality: Mutex::default(),
        }
    }

    /// As they are known now.
    #[must_use]
    pub fn corrections(&self) -> Corrections {
        let known = self.corrections.read();
        *known.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, by what is at hand: they seldom change.
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

    /// What is known from now on.
    pub fn correct(&self, corrections: Corrections) {
        let known = self.corrections.write();
        *known.unwrap_or_else(PoisonError::into_inner) = corrections;
        // Whoever sees this sees what was written before.
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

    /// What events have said of Connect's clock since this was asked last.
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
        // Connect is 250 ms ahead; each event is handed on 3 ms after its commit, 2 ms before it is in Kafka.
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
