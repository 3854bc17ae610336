//! Asks the brokers that lead the partitions of some topics whether they are there, by the partitions' offsets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::refusal;
use super::stoppable_thread::{Stop, StoppableThread};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Leaders are looked for again after this time, and after a broker has not answered.
const LEADERS_FOR: Duration = Duration::from_secs(30);

/// What is told of the brokers, each by its name, such as `Kafka's broker 1 at kafka:9092`.
#[derive(Debug)]
pub enum LeaderPing<'a> {
    /// These lead the partitions.
    Leaders(&'a [String]),
    /// One is asked.
    Asked(&'a str),
    /// It has answered.
    Answered(&'a str),
    /// It has not, and why.
    Failed(&'a str, String),
}

/// Asks on a thread of its own. It stops when it is dropped.
pub struct LeaderPings {
    thread: StoppableThread,
}

impl LeaderPings {
    /// Asks the leaders of the topics' partitions, with pauses of `interval`, and calls `handler` on that thread.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn start(
        base: &ClientConfig,
        topics: Vec<String>,
        interval: Duration,
        handler: impl FnMut(LeaderPing<'_>) + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let failed = |reason: String| BrokerError::Failed {
            action: "asking the brokers whether they are there".to_owned(),
            bootstrap: bootstrap.clone(),
            reason,
        };
        let mut config = base.clone();
        config
            .set("group.id", "cdc-bench-observe")
            .set("enable.auto.commit", "false");
        let consumer = config.create_with_context(BrokerContext::default());
        let consumer: BaseConsumer<_> = consumer.map_err(|error| failed(error.to_string()))?;
        let everyone = format!("Kafka at {bootstrap}");
        let thread = StoppableThread::spawn("leader-pings", move |stop| {
            let asker = Asker {
                config,
                consumer,
                topics,
                everyone,
            };
            asker.ask_until(stop, interval, handler);
        });
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { thread })
    }

    /// Stops, and waits for the thread.
    pub async fn stop(self) {
        self.thread.stop().await;
    }
}

/// A partition of each broker's.
type Leaders = BTreeMap<String, (String, i32)>;

struct Asker {
    config: ClientConfig,
    consumer: BaseConsumer<BrokerContext>,
    topics: Vec<String>,
    /// The name of the brokers together, while their leaders are not known.
    everyone: String,
}

impl Asker {
    fn ask_until(&self, stop: &Stop, interval: Duration, mut handler: impl FnMut(LeaderPing<'_>)) {
        let mut leaders = Leaders::new();
        let mut found = None;
        while !stop.is_asked() {
            // A token that expires is refreshed by who polls.
            refusal::fetch_token(&self.config, &self.consumer);
            if found.is_none_or(|found: Instant| found.elapsed() > LEADERS_FOR) {
                match self.leaders() {
                    Ok(now) => {
                        leaders = now;
                        found = Some(Instant::now());
                        let names: Vec<_> = leaders.keys().cloned().collect();
                        handler(LeaderPing::Leaders(&names));
                    }
                    Err(error) if leaders.is_empty() => {
                        handler(LeaderPing::Asked(&self.everyone));
                        handler(LeaderPing::Failed(&self.everyone, error.to_string()));
                    }
                    // Those known are asked.
                    Err(_) => {}
                }
            }
            for (broker, (topic, partition)) in &leaders {
                handler(LeaderPing::Asked(broker));
                match self.consumer.fetch_watermarks(topic, *partition, TIMEOUT) {
                    Ok(_) => handler(LeaderPing::Answered(broker)),
                    Err(error) => {
                        found = None;
                        let code = error.rdkafka_error_code();
                        let reason = code.map_or(error.to_string(), |code| code.to_string());
                        handler(LeaderPing::Failed(broker, reason));
                    }
                }
                if stop.is_asked() {
                    return;
                }
            }
            stop.sleep(interval);
        }
    }

    fn leaders(&self) -> KafkaResult<Leaders> {
        let mut leaders = Leaders::new();
        for topic in &self.topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            let partitions = metadata
                .topics()
                .iter()
                .flat_map(|topic| topic.partitions());
            for partition in partitions {
                let brokers = metadata.brokers();
                let leader = brokers.iter().find(|one| one.id() == partition.leader());
                if let Some(leader) = leader {
                    let (id, host, port) = (leader.id(), leader.host(), leader.port());
                    let name = format!("Kafka's broker {id} at {host}:{port}");
                    let place = (topic.clone(), partition.id());
                    leaders.entry(name).or_insert(place);
                }
            }
        }
        Ok(leaders)
    }
}
