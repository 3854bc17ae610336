//! Where dead letters are replayed to.

use std::collections::BTreeSet;

use cdc_bench_stack::GivenEndpoints;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::PlacedDeadLetter;
use super::stored::Positions;
use crate::broker::{Admin, BrokerError, RecordProducer};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::dead_letter_topic::send;
use crate::store::MongoStore;

/// Where dead letters are replayed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTo {
    /// Into the store.
    Store,
    /// To the topic that each is from.
    SourceTopic,
    /// To this topic.
    Topic(String),
}

/// Where dead letters are replayed to, connected.
pub(super) enum Target {
    Store(MongoStore),
    Topic(Box<TopicTarget>),
}

pub(super) struct TopicTarget {
    producer: RecordProducer,
    admin: Admin,
    bootstrap: String,
    /// The topic; `None`: that which each is from.
    topic: Option<String>,
    /// Topics that are there.
    seen: BTreeSet<String>,
}

impl Target {
    pub async fn connect(to: &ReplayTo, given: &GivenEndpoints) -> Result<Self, Failure> {
        let topic = match to {
            ReplayTo::Store => {
                let store = MongoStore::connect(&given.store()?).await?;
                store.check_writable().await?;
                store.ensure_indexes().await?;
                return Ok(Self::Store(store));
            }
            ReplayTo::SourceTopic => None,
            ReplayTo::Topic(topic) => Some(topic.clone()),
        };
        let kafka = given.kafka()?;
        let config = kafka.client_config();
        let mut target = TopicTarget {
            admin: Admin::connect(&config).await?,
            producer: RecordProducer::new(&config)?,
            bootstrap: kafka.bootstrap,
            topic,
            seen: BTreeSet::new(),
        };
        if let Some(topic) = target.topic.clone() {
            target.check(&topic).await?;
        }
        Ok(Self::Topic(Box::new(target)))
    }
}

impl TopicTarget {
    /// A topic that is not there is not made: nobody would read it.
    async fn check(&mut self, topic: &str) -> Result<(), Failure> {
        if self.seen.contains(topic) {
            return Ok(());
        }
        if topic.is_empty() || self.admin.topic(topic).await?.is_none() {
            let missing = BrokerError::NoTopic {
                topic: topic.to_owned(),
                bootstrap: self.bootstrap.clone(),
            };
            let advice = "name one that is there (--to-topic TOPIC), or replay into the store";
            return Err(Failure::from(missing).context(advice));
        }
        self.seen.insert(topic.to_owned());
        Ok(())
    }

    pub async fn replay(
        mut self,
        mut batches: mpsc::Receiver<Vec<PlacedDeadLetter>>,
        cancel: &CancellationToken,
    ) -> (Positions, Result<(), Failure>) {
        let mut released = Positions::new();
        while let Some(Some(batch)) = cancel.run_until_cancelled(batches.recv()).await {
            if let Err(failure) = self.send(&batch).await {
                return (released, Err(failure));
            }
            for placed in &batch {
                released.insert(placed.partition, placed.offset + 1);
            }
        }
        (released, Ok(()))
    }

    async fn send(&mut self, batch: &[PlacedDeadLetter]) -> Result<(), Failure> {
        for placed in batch {
            let topic = self.topic.as_ref().unwrap_or(&placed.dead_letter.topic);
            self.check(&topic.clone()).await?;
        }
        let sent = batch.iter().map(|placed| {
            let dead_letter = &placed.dead_letter;
            let topic = self.topic.as_ref().unwrap_or(&dead_letter.topic);
            send(&self.producer, topic, dead_letter)
        });
        let sent = futures_util::future::try_join_all(sent).await;
        sent.map(drop).map_err(Failure::server)
    }
}
