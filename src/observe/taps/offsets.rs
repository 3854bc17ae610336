//! The group's committed offsets and the ends of the partitions.

use std::time::Duration;

use async_channel::Sender;
use cdc_bench_model::timeline::Clock;

use super::sighting::Sighting;
use crate::broker::{BrokerError, OffsetPoller};
use crate::observe::discovery::Pipeline;

/// Starts to poll.
pub(in crate::observe) async fn open(
    pipeline: &Pipeline,
    interval: Duration,
    clock: Clock,
    sightings: Sender<Sighting>,
) -> Result<OffsetPoller, BrokerError> {
    let topics = pipeline.topics.iter().enumerate();
    let partitions = topics.flat_map(|(index, topic)| {
        (0..topic.partitions).map(move |partition| (topic.name.clone(), index, partition))
    });
    let partitions = partitions.collect();
    let group = pipeline.group.as_deref();
    OffsetPoller::start(
        &pipeline.kafka,
        group,
        partitions,
        interval,
        clock,
        move |poll| {
            // The observation is over when nobody listens.
            drop(sightings.send_blocking(Sighting::Offsets(poll)));
        },
    )
    .await
}
