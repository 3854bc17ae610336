//! In place of `traces` in a build without the feature `otlp`: whoever asks for traces is told, and what cannot be made
//! is nowhere to be asked.

use std::fmt;
use std::sync::Arc;

use cdc_bench_model::RunId;
use cdc_bench_model::timeline::{CapturePath, ForeignClocks, InKafka, Joined};

use crate::load::Rate;

/// There are none.
#[derive(Debug, thiserror::Error)]
#[error(
    "this build has no feature otlp and sends no traces; for one that does: cargo build --release"
)]
pub struct TracesError;

/// What there is none of.
#[derive(Debug)]
pub enum Traces {}

/// Nobody who sends any.
#[derive(Debug)]
pub enum Exporter {}

/// Nothing that has come of them.
#[derive(Debug)]
pub enum Exported {}

impl Exporter {
    /// Refuses.
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

    /// Never begins.
    #[allow(clippy::unused_async)] // as where there is something to wait for
    pub async fn finish(self) -> Exported {
        match self {}
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Traces {
    pub(crate) fn of_path(&self, _: CapturePath, _: InKafka, _: &Arc<ForeignClocks>) -> PathTraces {
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
