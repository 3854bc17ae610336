//! Pauses between attempts.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Exponential back-off: each pause is twice the last one, up to a limit.
#[derive(Debug)]
pub(super) struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self::new()
    }
}

impl BackOff {
    /// From the shortest pause on.
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }

    /// From the shortest pause on again, after progress.
    pub(super) fn reset(&mut self) {
        self.0 = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds_until_there_is_progress() {
        let mut back_off = BackOff::new();
        let pauses: Vec<_> = (0..9).map(|_| back_off.pause().as_millis()).collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        back_off.reset();
        assert_eq!(back_off.pause(), FIRST);
    }
}
