//! Data for other programs while a run is in progress: metrics and traces.

pub(crate) mod metrics;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
pub(crate) mod traces;
// Its own test, also in a build that has the feature.
#[cfg(all(test, feature = "otlp"))]
#[expect(dead_code, reason = "what a build without the feature calls")]
mod no_traces;
