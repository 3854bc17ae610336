//! Arguments for the evidence of an observation.

use crate::observe::MetricsAddress;

/// What is looked at beside the changes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ObserveEvidenceArgs {
    /// The connector's metrics: Jolokia (http://connect:8778/jolokia), or a page in Prometheus' format (http://connect:9404/metrics)
    #[arg(long, env = "CONNECT_METRICS_URL", value_name = "URL")]
    pub(super) connect_metrics: Option<MetricsAddress>,
}
