//! How a busy stream is read: in parts, with a short sleep between them.
//!
//! The server writes each message of a transaction by itself. A reader that waits for the socket is woken by each of these
//! writes, and waking it takes the server longer than the message. While much comes, the reader therefore sleeps for a moment
//! by the clock, which costs the server nothing, and takes what has come meanwhile. While little comes it waits for the
//! socket: a single row is not delayed.

use std::time::Duration;

use tokio::time::Instant;

/// For so long bytes are counted.
const WINDOW: Duration = Duration::from_millis(1);
/// A stream with as many bytes in a window is busy: some 8 MB/s.
const BUSY: u64 = 8 * 1_024;
/// Sleep between two parts. The operating system adds up to 50 microseconds.
const PAUSE: Duration = Duration::from_micros(150);

/// Counts what comes, and says when to sleep.
#[derive(Debug)]
pub(super) struct Pace {
    window_began: Instant,
    bytes: u64,
    is_busy: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window_began: now,
            bytes: 0,
            is_busy: false,
        }
    }

    /// So much was read.
    pub(super) fn has_read(&mut self, count: usize, now: Instant) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(count);
        let span = now - self.window_began;
        if span < WINDOW {
            return;
        }
        // As many a window, of a span that may be several.
        self.is_busy =
            u128::from(self.bytes) * WINDOW.as_nanos() >= u128::from(BUSY) * span.as_nanos();
        (self.window_began, self.bytes) = (now, 0);
    }

    /// How long to sleep before more is read.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.is_busy.then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_brings_much_is_read_in_parts() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut read = |count, micros| {
            now += Duration::from_micros(micros);
            pace.has_read(count, now);
            pace.pause().is_some()
        };
        // Single rows at 5,000 a second.
        assert!((0..100).all(|_| !read(300, 200)));
        // A backlog, and its end.
        assert!(!read(10_000, 200), "the window is not over");
        assert!(read(10_000, 800));
        assert!(read(10_000, 1_000));
        assert!(!read(100, 1_000));
        assert!(!read(100_000, 60_000_000), "after a silence");
    }
}
