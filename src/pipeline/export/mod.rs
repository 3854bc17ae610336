//! What other programs read while a run goes on: metrics and traces.

pub(crate) mod metrics;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
pub(crate) mod traces;
