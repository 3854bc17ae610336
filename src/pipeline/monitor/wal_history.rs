//! How much WAL a server has written since a moment in the past.

use std::collections::VecDeque;

/// Most samples that are kept.
const CAPACITY: usize = 1_024;

/// A moment of the server's clock, in microseconds since the Unix epoch.
pub(super) type ServerMicros = i64;

/// Where the end of the WAL was, at moments of the server's clock. The older they are, the further they lie apart.
#[derive(Debug, Default)]
pub(super) struct WalHistory {
    /// By time: the moment, and the bytes of WAL written until then.
    samples: VecDeque<(ServerMicros, u64)>,
}

impl WalHistory {
    /// Adds the end of the WAL as it is now.
    pub(super) fn push(&mut self, at: ServerMicros, end: u64) {
        if self.samples.len() >= CAPACITY {
            let mut number = 0_usize;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        self.samples.push_back((at, end));
    }

    /// Bytes written from a moment to the last sample; `None` if that was before the first one.
    pub(super) fn written_since(&self, moment: ServerMicros) -> Option<u64> {
        let later = self.samples.partition_point(|(at, _)| *at <= moment);
        let (_, then) = *self.samples.get(later.checked_sub(1)?)?;
        let (_, now) = *self.samples.back()?;
        Some(now.saturating_sub(then))
    }

    /// Microseconds from a moment to the last sample.
    pub(super) fn age(&self, moment: ServerMicros) -> u64 {
        let now = self.samples.back().map_or(moment, |(at, _)| *at);
        u64::try_from(now - moment).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_since_a_moment_is_known_unless_it_was_before_all_samples() {
        let mut history = WalHistory::default();
        assert_eq!(history.written_since(5), None);
        for (at, end) in [(10, 1_000), (20, 1_500), (30, 4_000)] {
            history.push(at, end);
        }
        assert_eq!(history.written_since(9), None);
        assert_eq!(history.written_since(10), Some(3_000));
        assert_eq!(history.written_since(25), Some(2_500));
        assert_eq!(history.written_since(99), Some(0));
        assert_eq!(history.age(12), 18);
    }

    #[test]
    fn a_long_history_is_thinned_out_and_reaches_as_far_back() {
        let mut history = WalHistory::default();
        for second in 0..100_000 {
            history.push(second, u64::try_from(second).unwrap());
        }
        assert!(history.samples.len() <= CAPACITY);
        assert_eq!(history.written_since(0), Some(99_999));
        let recent = history.written_since(99_000).unwrap();
        assert!((999..3_000).contains(&recent), "{recent}");
    }
}
