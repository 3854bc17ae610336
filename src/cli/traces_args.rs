//! Arguments for the export of traces.

use crate::load::Rate;
use crate::pipeline::{Exporter, Failure, Traces};
use cdc_bench_model::RunId;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct TracesArgs {
    /// Send events' ways as traces to this OTLP receiver, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Share of the events that are traced, up to 1 for all [default: some 100 a second]
    #[arg(long, value_name = "SHARE", requires = "otlp", value_parser = share)]
    otlp_sample: Option<f64>,
}

/// A share above 0, up to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a number above 0 and up to 1, such as 0.05".to_owned()),
    }
}

impl TracesArgs {
    /// Starts the exporter if one is requested.
    pub(super) fn begin(
        &self,
        run: &RunId,
        rate: Rate,
    ) -> Result<Option<(Traces, Exporter)>, Failure> {
        let start = |address| Exporter::start(address, self.otlp_sample, rate, run);
        let started = self.otlp.as_deref().map(start).transpose();
        started.map_err(Failure::usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_some_of_the_events_or_all() {
        assert_eq!(share("0.05"), Ok(0.05));
        assert_eq!(share("1"), Ok(1.0));
        for text in ["0", "1.5", "-1", "NaN", "all"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
