//! The times that a reader gives its events.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// An instant: nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// From whole microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        Self(us * 1_000)
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

/// Tells the time at which a change was received ([`Change::received`](crate::Change::received)). A program that
/// stamps other things too gives its own, so that all stamps are on one clock.
pub trait TimeSource: fmt::Debug + Send + Sync {
    /// The time now. Read once for every change.
    fn now(&self) -> UnixNanos;
}

/// The wall clock as it was when the reader started, carried on by the monotonic clock: it never steps.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    /// Wall-clock time at which the monotonic clock was zero, nanoseconds since the Unix epoch.
    origin: i64,
}

impl SteadyClock {
    /// Takes the wall clock and the monotonic clock as they are now.
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

/// Nanoseconds since some time before this program started.
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
