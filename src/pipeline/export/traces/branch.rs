//! One path's stretch of an event's way.

use cdc_bench_model::timeline::{CapturePath, ClockBounds, InKafka, Joined};

/// One path's stretch of an event's way, and what its spans say of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    pub(super) event: Joined,
    pub(super) path: CapturePath,
    pub(super) in_kafka: InKafka,
    pub(super) bounds: ClockBounds,
}
