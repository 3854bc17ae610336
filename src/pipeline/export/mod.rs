//! Data for other programs while a run is in progress: metrics and traces.

pub(crate) mod metrics;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
pub(crate) mod traces;
