//! Arguments of an observation that goes on for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::progress::Terminal;
use super::super::results_args::ResultsArgs;
use super::super::screen_args::ScreenArgs;
use super::seconds::seconds;
use crate::observe::{ObservedMetrics, ReportPeriods};
use crate::pipeline::{Endpoint, Failure};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServiceArgs {
    /// Answer Prometheus (GET /metrics) and probes (GET /healthz) at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// Write a report this often, each into a folder of its own, such as 1h [default: one at the end]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    report_every: Option<Duration>,
    /// Reports of --report-every that are kept; the folders of older ones are removed
    #[arg(long, value_name = "N", default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..), requires = "report_every")]
    keep: u32,
    #[command(flatten)]
    pub(super) screen: ScreenArgs,
}

impl ServiceArgs {
    /// The periods of reports.
    pub(super) fn periods(&self, results: &ResultsArgs) -> Option<ReportPeriods> {
        Some(ReportPeriods {
            every: self.report_every?,
            keep: usize::try_from(self.keep).unwrap_or(usize::MAX),
            results: results.results_dir.clone(),
        })
    }

    /// Starts to answer.
    pub(super) async fn listen(
        &self,
        progress: &Terminal,
    ) -> Result<Option<(Arc<ObservedMetrics>, Endpoint)>, Failure> {
        let Some(address) = self.metrics_listen else {
            return Ok(None);
        };
        let metrics = Arc::new(ObservedMetrics::default());
        let exported: Arc<ObservedMetrics> = Arc::clone(&metrics);
        let endpoint = Endpoint::listen(address, exported).await;
        let endpoint = endpoint.map_err(Failure::usage)?;
        progress.say(&format!(
            "metrics: http://{0}/metrics, health: http://{0}/healthz",
            endpoint.address()
        ));
        Ok(Some((metrics, endpoint)))
    }
}
