//! What an endpoint answers with.

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// 200, or else 503.
    pub is_healthy: bool,
    /// The body.
    pub json: String,
}

/// Metrics, and health where there is something to tell of it.
pub trait Exported: Send + Sync {
    /// All metrics in Prometheus' text format, 0.0.4.
    fn text(&self) -> Vec<u8>;

    /// For `GET /healthz`; `None`: it is not answered.
    fn health(&self) -> Option<ProbeAnswer> {
        None
    }
}
