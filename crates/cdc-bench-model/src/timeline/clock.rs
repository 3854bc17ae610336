//! Our clock: a wall-clock anchor taken once, carried on by the monotonic clock, so that nothing steps within a run.

use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// A span of time in nanoseconds. It may be negative: a hop that ends before it starts is a finding, not an error.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// From whole microseconds.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        Self(us * 1_000)
    }

    /// From whole milliseconds.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms * 1_000_000)
    }

    /// In milliseconds, for display.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a display value: 2^53 ns are 104 days
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// In whole microseconds, rounded half away from zero, as reports carry durations.
    #[must_use]
    pub const fn round_micros(self) -> i64 {
        (self.0 + if self.0 < 0 { -500 } else { 500 }) / 1_000
    }
}

impl Nanos {
    /// In milliseconds or seconds, as a number of three digits and its unit.
    #[must_use]
    pub fn to_three_digits(self) -> (String, &'static str) {
        let ms = self.as_millis_f64();
        match ms.abs() {
            size if size < 9.995 => (format!("{ms:.2}"), "ms"),
            size if size < 99.95 => (format!("{ms:.1}"), "ms"),
            size if size < 999.5 => (format!("{ms:.0}"), "ms"),
            size if size < 9_995.0 => (format!("{:.2}", ms / 1e3), "s"),
            size if size < 99_950.0 => (format!("{:.1}", ms / 1e3), "s"),
            _ => (format!("{:.0}", ms / 1e3), "s"),
        }
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.as_millis_f64())
    }
}

impl From<Duration> for Nanos {
    fn from(span: Duration) -> Self {
        Self(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Nanos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Nanos {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// An instant: nanoseconds since the Unix epoch, on our clock (a foreign stamp only after correction).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub i64);

impl Sub for Stamp {
    type Output = Nanos;
    fn sub(self, earlier: Self) -> Nanos {
        Nanos(self.0 - earlier.0)
    }
}

impl Add<Nanos> for Stamp {
    type Output = Self;
    fn add(self, span: Nanos) -> Self {
        Self(self.0 + span.0)
    }
}

impl Sub<Nanos> for Stamp {
    type Output = Self;
    fn sub(self, span: Nanos) -> Self {
        Self(self.0 - span.0)
    }
}

/// Our clock. A copy shares the anchor, so every thread of a run reads the same time line.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Wall clock minus monotonic clock at the anchor, nanoseconds.
    ahead: Nanos,
    /// How much faster it runs than the monotonic clock, parts per million: 0 but in a rehearsal of a clock that drifts.
    drift_ppm: i32,
    /// Monotonic clock at the anchor.
    anchor: Nanos,
}

impl Clock {
    /// Takes the anchor: monotonic time now, wall time now.
    #[must_use]
    pub fn start() -> Self {
        let monotonic = monotonic();
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            ahead: Nanos::from(unix) - monotonic,
            drift_ppm: 0,
            anchor: monotonic,
        }
    }

    /// The same clock, ahead by a span: to let it run with another machine's.
    #[must_use]
    pub fn ahead_by(self, span: Nanos) -> Self {
        Self {
            ahead: self.ahead + span,
            ..self
        }
    }

    /// The same clock, running faster from its anchor on, by parts per million: as the clock of a machine that nothing sets.
    #[must_use]
    pub fn faster_by(self, ppm: i32) -> Self {
        Self {
            drift_ppm: ppm,
            ..self
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Stamp {
        let monotonic = monotonic();
        let drift = match self.drift_ppm {
            0 => 0,
            ppm => (monotonic - self.anchor).0 / 1_000_000 * i64::from(ppm),
        };
        Stamp((monotonic + self.ahead).0 + drift)
    }
}

/// Nanoseconds of the monotonic clock.
#[inline]
fn monotonic() -> Nanos {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    Nanos(tv_sec * 1_000_000_000 + tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_steps_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_clock_that_is_faster_gains_and_never_steps() {
        let clock = Clock::start();
        let fast = clock.faster_by(1_000);
        let mut last = fast.now();
        std::thread::sleep(Duration::from_millis(20));
        for _ in 0..10_000 {
            let (before, now, after) = (clock.now(), fast.now(), clock.now());
            assert!(now >= last);
            // A thousandth of 20 ms and more.
            assert!(now - before >= Nanos::from_micros(19), "{:?}", now - before);
            assert!(now - after <= Nanos::from_millis(1), "{:?}", now - after);
            last = now;
        }
    }

    #[test]
    fn microseconds_are_rounded_away_from_zero() {
        assert_eq!(Nanos(1_499).round_micros(), 1);
        assert_eq!(Nanos(1_500).round_micros(), 2);
        assert_eq!(Nanos(-1_500).round_micros(), -2);
    }
}
