//! The sink's tap.

use async_channel::Sender;
use cdc_bench_model::timeline::Clock;

use super::following::Following;
use super::sighting::Sighting;
use super::{kafka, lines, mongo, postgres};
use crate::observe::discovery::{Pipeline, Sink};
use crate::observe::request::ObserveRequest;
use crate::pipeline::Failure;

/// Opens the tap of a sink.
///
/// # Errors
/// When its server refuses, or its lines cannot be read.
pub(in crate::observe) async fn open(
    sink: Sink,
    pipeline: &Pipeline,
    request: &ObserveRequest,
    clock: Clock,
    sightings: Sender<Sighting>,
) -> Result<Following, Failure> {
    match sink {
        Sink::Mongo(sink) => Ok(mongo::start(sink, clock, sightings).await?),
        Sink::Postgres(sink) => {
            let limit = request.max_retained_wal;
            let tap = postgres::SinkWal::new(*sink, &request.id, limit, pipeline.decimals, clock);
            Ok(tap.start(sightings).await?)
        }
        Sink::Kafka(sink) => Ok(kafka::start(sink, pipeline, &request.id, clock, sightings).await?),
        Sink::Lines(source) => {
            let topics = pipeline.topics.iter().map(|topic| topic.name.clone());
            let reports = lines::LineReports::new(topics, clock, sightings);
            lines::open(&source, reports, (&pipeline.kafka, &request.id, clock)).await
        }
    }
}
