//! The end of a partition.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

/// Between two questions while a partition has no leader.
const PAUSE: Duration = Duration::from_millis(100);

/// The offset after the last record of a partition (its high watermark). A partition whose leader is being elected, as that of
/// a new topic, has none for a moment: it is asked again until the limit.
pub(super) fn partition_end<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    limit: Duration,
) -> KafkaResult<i64> {
    let began = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, limit) {
            Ok((_, end)) => return Ok(end),
            Err(error) if has_no_leader(error.rdkafka_error_code()) && began.elapsed() < limit => {
                tracing::debug!(topic, partition, %error, "the partition's end is asked for again");
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

fn has_no_leader(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    matches!(code, Some(NotLeaderForPartition | LeaderNotAvailable))
}
