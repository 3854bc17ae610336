//! The trace of one event on one capture path.

use cdc_bench_model::timeline::{CapturePath, ClockBounds, InKafka, Joined};

/// The trace of one event on one capture path, and what its spans need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    pub(super) event: Joined,
    pub(super) path: CapturePath,
    pub(super) in_kafka: InKafka,
    pub(super) bounds: ClockBounds,
}
