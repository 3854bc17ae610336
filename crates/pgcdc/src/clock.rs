//! Clocks: the time at which a change is received.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// 2000-01-01, from which PostgreSQL counts microseconds, in seconds since the Unix epoch.
const POSTGRES_EPOCH_S: i64 = 946_684_800;

/// An instant: nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// From whole microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        Self(us * 1_000)
    }

    /// From PostgreSQL's microseconds since 2000-01-01.
    pub(super) const fn from_postgres_micros(us: i64) -> Self {
        Self::from_micros(POSTGRES_EPOCH_S * 1_000_000 + us)
    }

    /// In whole microseconds, rounded down.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// In whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl From<UnixNanos> for SystemTime {
    fn from(time: UnixNanos) -> Self {
        let span = Duration::from_nanos(time.0.unsigned_abs());
        if time.0 < 0 {
            UNIX_EPOCH - span
        } else {
            UNIX_EPOCH + span
        }
    }
}

/// Source of the time at which a change is received ([`Change::received`](crate::Change::received)). A program that takes
/// other timestamps as well supplies its own, so that all are of one clock.
pub trait TimeSource: fmt::Debug + Send + Sync {
    /// The current time. Called once for every change.
    fn now(&self) -> UnixNanos;
}

/// The wall clock at the reader's start plus the monotonic clock since then: it never steps.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    /// Wall-clock time at which the monotonic clock was zero, nanoseconds since the Unix epoch.
    origin: i64,
}

impl SteadyClock {
    /// Reads the wall clock and the monotonic clock.
    #[must_use]
    pub fn start() -> Self {
        let monotonic = monotonic();
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let unix = i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX);
        Self {
            origin: unix - monotonic,
        }
    }
}

impl TimeSource for SteadyClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.origin + monotonic())
    }
}

/// The monotonic clock, nanoseconds since an arbitrary start.
fn monotonic() -> i64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    tv_sec * 1_000_000_000 + tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_steps_back() {
        let clock = SteadyClock::start();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn postgresqls_epoch_is_the_year_2000() {
        let at = |us| UnixNanos::from_postgres_micros(us).0;
        assert_eq!(at(0), 946_684_800_000_000_000);
        assert_eq!(at(-1), 946_684_799_999_999_000);
    }

    #[test]
    fn a_time_before_1970_is_rounded_down() {
        assert_eq!(UnixNanos(-1).as_micros(), -1);
        assert_eq!(UnixNanos(-1).as_millis(), -1);
        assert_eq!(UnixNanos(1_999_999).as_millis(), 1);
        assert_eq!(
            SystemTime::from(UnixNanos(-1_000)),
            UNIX_EPOCH - Duration::from_micros(1)
        );
    }
}
