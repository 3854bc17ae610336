//! What we may not do in Kafka, as far as that can be asked without making anything.

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::admin::{Admin, options};
use super::error::BrokerError;

/// What a run creates, writes, reads and deletes.
const TOPIC_OPERATIONS: [&str; 6] = [
    "Create",
    "Describe",
    "DescribeConfigs",
    "Read",
    "Write",
    "Delete",
];
const GROUP_OPERATIONS: [&str; 3] = ["Describe", "Read", "Delete"];

/// A right that is missing, and the command that grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingAcl {
    /// What may not be done.
    pub what: String,
    /// A command line of `kafka-acls.sh`.
    pub command: String,
}

impl Admin {
    /// Which of these may not be used: topics whose names begin with `topics`, and groups whose names begin with `groups`.
    /// Nothing is made.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn missing_acls(
        &self,
        topics: &str,
        groups: &str,
    ) -> Result<Vec<MissingAcl>, BrokerError> {
        let mut missing = Vec::new();
        if !self.may_create(&format!("{topics}doctor")).await? {
            missing.push(MissingAcl {
                what: format!("may not create topics whose names begin with {topics}"),
                command: self.acls("topic", topics, &TOPIC_OPERATIONS),
            });
        }
        match self.group(&format!("{groups}doctor")).await {
            Ok(_) => {}
            Err(BrokerError::GroupRights { .. }) => missing.push(MissingAcl {
                what: format!("may not use consumer groups whose names begin with {groups}"),
                command: self.acls("group", groups, &GROUP_OPERATIONS),
            }),
            Err(error) => return Err(error),
        }
        Ok(missing)
    }

    /// Whether a topic of this name could be created.
    async fn may_create(&self, name: &str) -> Result<bool, BrokerError> {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(-1));
        let action = format!("asking whether topic \"{name}\" may be created");
        let asked = self
            .client()
            .await?
            .create_topics([&topic], &options().validate_only(true))
            .await
            .map_err(|error| self.failed(&action, &error.to_string()))?;
        match asked.into_iter().next() {
            Some(Err((
                _,
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ))) => Ok(false),
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(self.failed(&action, &code.to_string()))
            }
            _ => Ok(true),
        }
    }

    fn acls(&self, kind: &str, prefix: &str, operations: &[&str]) -> String {
        let user = self.config().get("sasl.username").unwrap_or("NAME");
        let operations: Vec<_> = operations
            .iter()
            .map(|operation| format!("--operation {operation}"))
            .collect();
        format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:{user} {} --{kind} {prefix} --resource-pattern-type prefixed",
            self.bootstrap(),
            operations.join(" ")
        )
    }
}
