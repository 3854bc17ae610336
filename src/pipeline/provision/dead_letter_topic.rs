//! The topic of dead letters of a run, which is made with the first of them, or one that the user has named.

use std::sync::Arc;

use cdc_bench_model::RunId;
use cdc_bench_stack::{Endpoints, KafkaEndpoint};
use tokio::sync::OnceCell;

use crate::broker::{Admin, OutgoingRecord, RecordProducer, UndeliveredError};
use crate::consumer::{DeadLetter, DeadLetterTopic, Publication};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{ResourceKind, ResourceRegistry};
use crate::pipeline::provision::source::connect_postgres;

/// A topic of dead letters.
#[derive(Debug)]
pub(crate) struct PublishedDeadLetters {
    name: String,
    kafka: KafkaEndpoint,
    /// Who made it before it is published to: `None` for one that is there.
    made_for: Option<Maker>,
    producer: OnceCell<RecordProducer>,
}

/// The maker of a run's topic.
#[derive(Debug)]
struct Maker {
    endpoints: Endpoints,
    /// The topic that its records are from; `None` without Kafka.
    source: Option<String>,
}

/// The topic of dead letters of a run: it is made with the first one, and outlives the run, for whoever replays it.
pub(crate) fn run_topic_name(run: &RunId) -> String {
    format!("cdc_bench_dead_letters_{}", run.as_identifier())
}

/// Creates the topic of dead letters that the user has named for those of `source`, where it is not there. It is the user's.
///
/// # Errors
/// When it is `source` itself, or the broker refuses.
pub(crate) async fn ensure_dead_letter_topic(
    admin: &Admin,
    name: &str,
    source: &str,
) -> Result<(), Failure> {
    if name == source {
        return Err(Failure::usage(anyhow::anyhow!(
            "topic \"{name}\" is the one that is consumed: its dead letters would be consumed again; name another (--dead-letter-topic)"
        )));
    }
    if admin.topic(name).await?.is_none() {
        admin.create_dead_letter_topic(name, Some(source)).await?;
        tracing::info!(topic = name, "topic of dead letters created; it stays");
    }
    Ok(())
}

impl PublishedDeadLetters {
    /// Of a topic that is there.
    pub(crate) fn to_topic(name: &str, kafka: &KafkaEndpoint) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kafka: kafka.clone(),
            made_for: None,
            producer: OnceCell::new(),
        })
    }

    /// Of a run's topic, for the records of the topic `source`.
    pub(crate) fn of_run(run: &RunId, endpoints: &Endpoints, source: Option<&str>) -> Arc<Self> {
        Arc::new(Self {
            name: run_topic_name(run),
            kafka: endpoints.kafka.clone(),
            made_for: Some(Maker {
                endpoints: endpoints.clone(),
                source: source.map(ToOwned::to_owned),
            }),
            producer: OnceCell::new(),
        })
    }

    async fn producer(&self) -> Result<&RecordProducer, Failure> {
        let made = self.producer.get_or_try_init(async || {
            if let Some(maker) = &self.made_for {
                maker.make(&self.name).await?;
            }
            Ok(RecordProducer::new(&self.kafka.client_config())?)
        });
        made.await
    }

    async fn publish_all(&self, dead_letters: &[DeadLetter]) -> Result<(), String> {
        let producer = self
            .producer()
            .await
            .map_err(|failure| failure.to_string())?;
        let sent = dead_letters
            .iter()
            .map(|dead_letter| publish_one(producer, &self.name, dead_letter));
        let sent = futures_util::future::try_join_all(sent).await;
        sent.map(drop).map_err(|error| error.to_string())
    }
}

impl Maker {
    /// Registers the topic and makes it. It belongs to no run: the run's clean-up leaves it, and `cleanup` removes it.
    async fn make(&self, name: &str) -> Result<(), Failure> {
        let registry = connect_postgres(&self.endpoints.postgres).await?;
        let registry = ResourceRegistry::new(registry);
        registry.record(ResourceKind::Topic, name, None).await?;
        let admin = Admin::connect(&self.endpoints.kafka.client_config()).await?;
        admin
            .create_dead_letter_topic(name, self.source.as_deref())
            .await?;
        Ok(())
    }
}

impl DeadLetterTopic for PublishedDeadLetters {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn publish(self: Arc<Self>, dead_letters: Arc<Vec<DeadLetter>>) -> Publication {
        Box::pin(async move { self.publish_all(&dead_letters).await })
    }
}

/// One that is too large for the topic is published without its value, and says so.
async fn publish_one(
    producer: &RecordProducer,
    topic: &str,
    dead_letter: &DeadLetter,
) -> Result<(), UndeliveredError> {
    match send(producer, topic, dead_letter).await {
        Err(UndeliveredError::TooLarge { .. }) => {
            let value = dead_letter.value.as_ref();
            let bytes = value.map_or(0, |value| value.0.len());
            let without_value = DeadLetter {
                value: None,
                omitted_bytes: u64::try_from(bytes).ok(),
                ..dead_letter.clone()
            };
            tracing::warn!(
                topic,
                bytes,
                "a dead letter is too large for its topic, and is there without its value"
            );
            send(producer, topic, &without_value).await
        }
        sent => sent,
    }
}

/// Produces a dead letter as it is.
pub(crate) async fn send(
    producer: &RecordProducer,
    topic: &str,
    dead_letter: &DeadLetter,
) -> Result<(), UndeliveredError> {
    let headers = dead_letter.topic_headers();
    let record = OutgoingRecord {
        key: dead_letter.key.as_ref().map(|key| &*key.0),
        value: dead_letter.value.as_ref().map(|value| &*value.0),
        headers: &headers,
    };
    producer.send(topic, record).await
}
