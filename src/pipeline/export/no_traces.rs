//! Replaces `traces` in a build without the feature `otlp`: an exporter cannot be started, and the other types have no values.

use std::fmt;
use std::sync::Arc;

use cdc_bench_model::RunId;
use cdc_bench_model::timeline::{CapturePath, ForeignClocks, InKafka, Joined};

use crate::load::Rate;

/// This build has no traces.
#[derive(Debug, thiserror::Error)]
#[error(
    "this build has no feature otlp and sends no traces; for one that does: cargo build --release"
)]
pub struct TracesError;

/// Has no values.
#[derive(Debug)]
pub enum Traces {}

/// Has no values.
#[derive(Debug)]
pub enum Exporter {}

/// Has no values.
#[derive(Debug)]
pub enum ExportedTraces {}

impl Exporter {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn start(
        _: &str,
        _: Option<f64>,
        _: Rate,
        _: &RunId,
    ) -> Result<(Traces, Self), TracesError> {
        Err(TracesError)
    }

    /// Cannot be called.
    #[allow(clippy::unused_async)] // as where there is something to wait for
    pub async fn finish(self) -> ExportedTraces {
        match self {}
    }
}

impl fmt::Display for ExportedTraces {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Traces {
    pub(crate) fn for_path(
        &self,
        _: CapturePath,
        _: InKafka,
        _: &Arc<ForeignClocks>,
    ) -> PathTraces {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum PathTraces {}

impl PathTraces {
    pub(crate) fn record(&self, _: &Joined) {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_traces_says_how_to_make_one_that_has_them() {
        let run = RunId::generate();
        let refused = Exporter::start("http://127.0.0.1:4318", None, Rate::MAX, &run);
        let refused = refused.unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("cargo build --release"), "{said}");
    }
}
