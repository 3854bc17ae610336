//! The rate of a growing count, and the time since it last grew.

use std::time::{Duration, Instant};

/// Measures how fast a count grows, and how long it has not grown.
pub(crate) struct ProgressTracker {
    rate: RateMeter,
    moved: (u64, Instant),
}

impl ProgressTracker {
    pub(crate) fn new() -> Self {
        Self {
            rate: RateMeter::default(),
            moved: (0, Instant::now()),
        }
    }

    /// Events a second over the last second.
    pub(crate) fn rate(&mut self, count: u64) -> f64 {
        self.rate.read(count)
    }

    /// Seconds since the count last changed, while `more` events are outstanding.
    pub(crate) fn quiet_s(&mut self, count: u64, more: u64) -> f64 {
        if count != self.moved.0 || more == 0 {
            self.moved = (count, Instant::now());
        }
        (self.moved.1.elapsed().as_secs_f64() * 10.0).round() / 10.0
    }
}

/// Events a second over the last second.
#[derive(Default)]
pub(crate) struct RateMeter {
    since: Option<(Instant, u64)>,
    rate: f64,
}

impl RateMeter {
    #[allow(clippy::cast_precision_loss)] // counts far below 2^53
    pub(crate) fn read(&mut self, count: u64) -> f64 {
        let (since, before) = *self.since.get_or_insert((Instant::now(), count));
        let span = since.elapsed().as_secs_f64();
        if span >= 1.0 {
            self.rate = count.saturating_sub(before) as f64 / span;
            self.since = Some((Instant::now(), count));
        }
        self.rate
    }
}

/// Time since a count last changed.
pub(crate) struct StallTimer {
    last: Option<u64>,
    since: Instant,
}

impl StallTimer {
    pub(crate) fn new() -> Self {
        Self {
            last: None,
            since: Instant::now(),
        }
    }

    pub(crate) fn quiet_for(&mut self, count: u64) -> Duration {
        if self.last != Some(count) {
            self.last = Some(count);
            self.since = Instant::now();
        }
        self.since.elapsed()
    }
}
