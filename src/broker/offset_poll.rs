//! Polls how far a group has committed, and where partitions end, without being a member of the group.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::refusal;
use super::stoppable_thread::StoppableThread;
use cdc_bench_model::timeline::{Clock, Stamp};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that does not answer for longer than this was away.
const LONG_SILENCE: Duration = Duration::from_secs(2);
/// The ends of partitions are asked for every so many polls: they cost a request each.
const POLLS_AN_END: u32 = 10;

/// An offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffset {
    /// Index of the topic among those that are asked about.
    pub topic: usize,
    /// Partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What one poll has found.
#[derive(Debug, Clone, Default)]
pub struct OffsetPoll {
    /// The group's committed offsets: the next that it would read.
    pub committed: Vec<PartitionOffset>,
    /// When they were asked for, and answered.
    pub asked: Option<(Stamp, Stamp)>,
    /// Ends of the partitions, with some polls only.
    pub ends: Vec<PartitionOffset>,
    /// The ends are at least of this time.
    pub ends_at: Option<Stamp>,
    /// How long the broker had not answered before, where that was longer than [`LONG_SILENCE`].
    pub silence: Option<Duration>,
}

/// Polls on a thread of its own. It stops when it is dropped.
pub struct OffsetPoller {
    thread: StoppableThread,
}

impl OffsetPoller {
    /// Asks at this interval about these partitions (name and index of the topic, partition), and calls `handler` with what it
    /// finds. Without a group, only the ends are asked for.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration, or the group may not be looked at.
    pub async fn start(
        base: &ClientConfig,
        group: Option<&str>,
        partitions: Vec<(String, usize, i32)>,
        interval: Duration,
        clock: Clock,
        mut handler: impl FnMut(OffsetPoll) + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let mut config = base.clone();
        config
            .set("group.id", group.unwrap_or("cdc-bench-observe"))
            .set("enable.auto.commit", "false");
        let has_group = group.is_some();
        let failed = |reason: String| BrokerError::Failed {
            action: match group {
                Some(group) => format!("reading what group \"{group}\" has committed"),
                None => "reading the topics' ends".to_owned(),
            },
            bootstrap: bootstrap.clone(),
            reason,
        };
        let started = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
            refusal::fetch_token(&config, &consumer);
            let asker = Asker {
                consumer,
                partitions,
                has_group,
                clock,
            };
            let first = asker.ask(true)?;
            Ok::<_, rdkafka::error::KafkaError>((asker, first))
        });
        let started = started.await.map_err(|error| failed(error.to_string()))?;
        let (asker, first) = started.map_err(|error| failed(error.to_string()))?;
        let thread = StoppableThread::spawn("offset-poller", move |stop| {
            handler(first);
            let mut polls = 0;
            let mut answered = Instant::now();
            while stop.sleep(interval) {
                polls += 1;
                match asker.ask(polls % POLLS_AN_END == 0) {
                    Ok(mut poll) => {
                        let silence = answered.elapsed().saturating_sub(interval);
                        poll.silence = (silence > LONG_SILENCE).then_some(silence);
                        answered = Instant::now();
                        handler(poll);
                    }
                    Err(error) => tracing::warn!(%error, "polling committed offsets"),
                }
            }
        });
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { thread })
    }

    /// Stops, and waits for the thread.
    pub async fn stop(self) {
        self.thread.stop().await;
    }
}

struct Asker {
    consumer: BaseConsumer<BrokerContext>,
    partitions: Vec<(String, usize, i32)>,
    has_group: bool,
    clock: Clock,
}

impl Asker {
    fn ask(&self, with_ends: bool) -> KafkaResult<OffsetPoll> {
        let mut poll = OffsetPoll::default();
        if self.has_group {
            let mut list = TopicPartitionList::new();
            for (name, _, partition) in &self.partitions {
                list.add_partition(name, *partition);
            }
            let asked = self.clock.now();
            let committed = self.consumer.committed_offsets(list, TIMEOUT)?;
            poll.asked = Some((asked, self.clock.now()));
            for element in committed.elements() {
                let is_it = |(name, _, partition): &&(String, usize, i32)| {
                    name == element.topic() && *partition == element.partition()
                };
                let known = self.partitions.iter().find(is_it);
                if let (Some((_, topic, partition)), Offset::Offset(offset)) =
                    (known, element.offset())
                {
                    poll.committed.push(PartitionOffset {
                        topic: *topic,
                        partition: *partition,
                        offset,
                    });
                }
            }
        }
        if with_ends {
            poll.ends_at = Some(self.clock.now());
            for (name, topic, partition) in &self.partitions {
                let (_, end) = self.consumer.fetch_watermarks(name, *partition, TIMEOUT)?;
                poll.ends.push(PartitionOffset {
                    topic: *topic,
                    partition: *partition,
                    offset: end,
                });
            }
        }
        Ok(poll)
    }
}
