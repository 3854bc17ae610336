//! What is told of an observation while it goes on: to Prometheus, to probes, to screens.

mod group_lag;
mod health;
mod history;
mod metrics;
mod slot;
mod teller;

pub(super) use teller::Teller;

pub use metrics::ObservedMetrics;
