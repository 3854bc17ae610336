//! The application's lines.

use async_channel::Sender;
use cdc_bench_model::RunId;
use cdc_bench_model::timeline::Clock;

use super::following::Following;
use super::lines::{self, LineReports};
use super::sighting::Sighting;
use crate::observe::discovery::Pipeline;
use crate::pipeline::Failure;

/// Begins to read them, if there are any.
///
/// # Errors
/// When their source cannot be opened.
pub(in crate::observe) async fn open(
    pipeline: &Pipeline,
    id: &RunId,
    clock: Clock,
    sightings: Sender<Sighting>,
) -> Result<Option<Following>, Failure> {
    let Some(source) = &pipeline.source_lines else {
        return Ok(None);
    };
    let reports = LineReports::of_application(pipeline.tables.iter(), clock, sightings);
    let opened = lines::open(source, reports, (&pipeline.kafka, id, clock));
    Ok(Some(opened.await?))
}
