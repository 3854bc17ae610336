//! Settings of a delivery.

use std::time::Duration;

/// When a batch is written, and what happens when that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// A batch of this many changes is written. It ends with a transaction, unless one alone has more.
    pub rows: usize,
    /// A batch of this many bytes is written, likewise.
    pub bytes: usize,
    /// Longest that a complete transaction waits for others.
    pub wait: Duration,
    /// Most attempts at one step of a batch: the delivery ends with the error of the last one.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each, and is shortened by chance by up to a half.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// How long a write in progress may take when the delivery is stopped.
    pub stop_limit: Duration,
}

impl Default for DeliveryConfig {
    /// 1,000 rows, 4 MiB or 50 ms; ten attempts in about a minute; 5 s to stop.
    fn default() -> Self {
        Self {
            rows: 1_000,
            bytes: 4 << 20,
            wait: Duration::from_millis(50),
            attempts: 10,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(30),
            stop_limit: Duration::from_secs(5),
        }
    }
}
