//! Topics of a capture: a topic per table, created when the table is first seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pgcdc::TableName;
use pgcdc_debezium::topic_name;
use rdkafka::ClientConfig;

use super::registration::CaptureRegistration;
use crate::broker::{Admin, BrokerError};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;

/// Longest wait for a topic that is created while changes are under way.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether Kafka allows a prefix in the names of topics.
///
/// # Errors
/// When it does not.
pub fn check_topic_prefix(prefix: &str) -> Result<(), Failure> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !prefix.is_empty() && prefix.chars().all(is_valid) {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "--topic-prefix {prefix:?} cannot begin the name of a topic: letters, digits, dots, underscores and hyphens can"
    )))
}

/// Whether two topics are one, or cannot be beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicRule {
    /// Lines: names must differ.
    Lines,
    /// Kafka: it creates no topic whose name differs from another's by dots and underscores only.
    Kafka,
}

/// The topics of tables, each of one table.
#[derive(Debug)]
pub struct TableTopics {
    prefix: String,
    rule: TopicRule,
    /// Table by the topic's name, as far as it must be unique.
    tables: BTreeMap<String, TableName>,
}

impl TableTopics {
    /// No tables yet.
    #[must_use]
    pub fn new(prefix: &str, rule: TopicRule) -> Self {
        Self {
            prefix: prefix.to_owned(),
            rule,
            tables: BTreeMap::new(),
        }
    }

    /// The topic of a table.
    ///
    /// # Errors
    /// When it is another table's.
    pub fn add(&mut self, table: &TableName) -> Result<String, Failure> {
        let topic = topic_name(&self.prefix, &table.schema, &table.name);
        let unique = match self.rule {
            TopicRule::Lines => topic.clone(),
            TopicRule::Kafka => topic.replace('.', "_"),
        };
        let owner = self.tables.entry(unique).or_insert_with(|| table.clone());
        if owner == table {
            return Ok(topic);
        }
        let other = topic_name(&self.prefix, &owner.schema, &owner.name);
        let reason = if other == topic {
            format!("would both be topic \"{topic}\"")
        } else {
            format!(
                "would be topics \"{other}\" and \"{topic}\", which Kafka takes for the same: they differ by dots and underscores only"
            )
        };
        Err(Failure::server(anyhow::anyhow!(
            "tables {} and {} {reason}; capture them with different --topic-prefix, or rename one",
            owner.to_sql(),
            table.to_sql()
        )))
    }
}

/// Creates topics, from any thread.
pub(super) struct TopicMaker {
    kafka: ClientConfig,
    partitions: i32,
    runtime: tokio::runtime::Handle,
    known: BTreeSet<String>,
    registration: Option<Arc<CaptureRegistration>>,
}

impl TopicMaker {
    /// Asks Kafka for the topics that there are. Must be called in a runtime, which creates topics later, each of so many partitions.
    pub(super) async fn connect(
        kafka: &ClientConfig,
        partitions: i32,
    ) -> Result<Self, BrokerError> {
        Ok(Self {
            kafka: kafka.clone(),
            partitions,
            runtime: tokio::runtime::Handle::current(),
            known: Admin::connect(kafka).await?.topic_names().await?,
            registration: None,
        })
    }

    /// Registers the topics from now on before they are created.
    pub(super) fn register_by(&mut self, registration: Option<Arc<CaptureRegistration>>) {
        self.registration = registration;
    }

    /// Creates those of these topics that do not exist. Returns the created ones.
    pub(super) async fn create(&mut self, topics: &[String]) -> Result<Vec<String>, Failure> {
        let mut created = Vec::new();
        let admin = Admin::connect(&self.kafka).await?;
        for topic in topics {
            if self.known.contains(topic) {
                continue;
            }
            match create(&admin, topic, self.partitions, self.registration.as_deref()).await {
                Ok(is_new) => created.extend(is_new.then(|| topic.clone())),
                Err(error) => {
                    self.delete(&created).await;
                    return Err(error.into());
                }
            }
            self.known.insert(topic.clone());
        }
        Ok(created)
    }

    /// Deletes topics that this start has created and nothing was written into. False if one may be left.
    pub(super) async fn delete(&self, topics: &[String]) -> bool {
        if topics.is_empty() {
            return true;
        }
        let deleting = async {
            let admin = Admin::connect(&self.kafka).await?;
            for topic in topics {
                let ends = admin.end_offsets(topic, self.partitions).await?;
                if ends.values().all(|end| *end == 0) {
                    admin.delete_topic(topic).await?;
                }
            }
            Ok::<(), BrokerError>(())
        };
        let deleted = deleting.await;
        if let Err(error) = &deleted {
            tracing::warn!(%error, ?topics, "topics that this start has created are left");
        }
        deleted.is_ok()
    }

    /// Creates a topic if it does not exist, and waits for it.
    pub(super) fn ensure(&mut self, topic: &str) -> Result<(), BrokerError> {
        if self.known.contains(topic) {
            return Ok(());
        }
        let (sender, created) = mpsc::sync_channel(1);
        let (kafka, name) = (self.kafka.clone(), topic.to_owned());
        let (partitions, registration) = (self.partitions, self.registration.clone());
        self.runtime.spawn(async move {
            let creating = async {
                let admin = Admin::connect(&kafka).await?;
                create(&admin, &name, partitions, registration.as_deref()).await
            };
            // The receiver may have given up.
            let _ = sender.send(creating.await);
        });
        created
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| {
                Err(BrokerError::NoTopic {
                    topic: topic.to_owned(),
                    bootstrap: self
                        .kafka
                        .get("bootstrap.servers")
                        .unwrap_or_default()
                        .to_owned(),
                })
            })
            .map(|_| ())?;
        self.known.insert(topic.to_owned());
        Ok(())
    }
}

/// Creates a topic, registered before. False if it exists.
async fn create(
    admin: &Admin,
    topic: &str,
    partitions: i32,
    registration: Option<&CaptureRegistration>,
) -> Result<bool, BrokerError> {
    if let Some(registration) = registration {
        registration.topic(topic).await;
    }
    let created = admin.create_topic(topic, partitions).await;
    if let (Some(registration), Ok(false)) = (registration, &created) {
        // Somebody has created it in between.
        registration.forget(ResourceKind::CaptureTopic, topic).await;
    }
    created
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tables_never_share_a_topic() {
        let mut topics = TableTopics::new("p", TopicRule::Lines);
        let spaced = TableName::new("public", "a b");
        assert_eq!(topics.add(&spaced).unwrap(), "p.public.a_b");
        assert_eq!(topics.add(&spaced).unwrap(), "p.public.a_b");
        let error = topics.add(&TableName::new("public", "a_b")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("public.\"a b\" and public.a_b"), "{error}");
        // Kafka counts a dot as an underscore.
        let (dotted, other) = (TableName::new("a", "b_c"), TableName::new("a_b", "c"));
        topics.add(&dotted).unwrap();
        topics.add(&other).unwrap();
        let mut topics = TableTopics::new("p", TopicRule::Kafka);
        topics.add(&dotted).unwrap();
        let error = topics.add(&other).unwrap_err().to_string();
        assert!(error.contains("dots and underscores"), "{error}");
    }

    #[test]
    fn a_prefix_that_no_topic_may_have_is_refused() {
        check_topic_prefix("shop-1.a_b").unwrap();
        for prefix in ["", "a b", "ü"] {
            assert_eq!(check_topic_prefix(prefix).unwrap_err().exit_code(), 2);
        }
    }
}
