//! Whose a consumer group is. What our consumers commit is marked, and so are its members: a group without the mark belongs to
//! somebody, who would lose his place in the topic if it were written to.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::Admin;
use super::context::BrokerContext;
use super::error::BrokerError;
use super::refusal;

/// Metadata of every offset that our consumers commit.
const MARK: &str = "cdc-bench";
/// `client.id` of our consumers, unless the user has set another.
const CLIENT_ID: &str = "cdc-bench";
/// Type of a group of consumers.
const CONSUMERS: &str = "consumer";
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Events of a consumer that are looked through for the reason of a refusal, and the wait for each.
const EVENTS: usize = 10;
const EVENT_WAIT: Duration = Duration::from_millis(100);

/// A consumer group as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    exists: bool,
    /// `client.id` of each member.
    members: Vec<String>,
    /// The id by which our own members are known.
    our_client_id: String,
    /// Topics for which an offset is committed that is not marked as ours.
    foreign_topics: BTreeSet<String>,
    /// Whether an offset is committed that is marked as ours.
    is_marked: bool,
    /// What it is used by that its members and offsets do not show.
    unlisted_use: Option<String>,
}

impl GroupState {
    /// Whether the broker knows it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Whether the group has neither a member nor a committed offset, and is free for consumers: nobody can lose anything.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.members.is_empty()
            && self.foreign_topics.is_empty()
            && !self.is_marked
            && self.unlisted_use.is_none()
    }

    /// Whether everything in it is of consumers of ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.foreign_topics.is_empty()
            && self.unlisted_use.is_none()
            && self.members.iter().all(|id| *id == self.our_client_id)
            && (self.is_marked || !self.members.is_empty())
    }

    /// Whether somebody is in it now, or may be.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        !self.members.is_empty() || self.unlisted_use.is_some()
    }

    /// What is in it, for a message.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if !self.members.is_empty() {
            let count = self.members.len();
            let ids = self.members.join(", ");
            parts.push(format!("{count} member(s), client.id {ids}"));
        }
        let topics: Vec<_> = self.foreign_topics.iter().map(String::as_str).collect();
        if !topics.is_empty() {
            parts.push(format!("committed offsets for {}", topics.join(", ")));
        }
        if self.is_marked {
            parts.push("offsets that cdc-bench has committed".to_owned());
        }
        parts.extend(self.unlisted_use.clone());
        parts.join("; ")
    }
}

/// The `client.id` that a consumer of this configuration has.
pub(super) fn client_id(config: &ClientConfig) -> &str {
    config.get("client.id").unwrap_or(CLIENT_ID)
}

/// Adds an offset to be committed, marked as ours.
pub(super) fn add_marked(
    list: &mut TopicPartitionList,
    topic: &str,
    partition: i32,
    next: i64,
) -> Result<(), KafkaError> {
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(next))?;
    element.set_metadata(MARK);
    Ok(())
}

impl Admin {
    /// The state of a consumer group, unused if it does not exist: its members, and what it has committed for any topic that
    /// we may describe.
    ///
    /// # Errors
    /// [`BrokerError::GroupRights`] when it may not be described, or when the broker does not answer.
    pub async fn group(&self, name: &str) -> Result<GroupState, BrokerError> {
        let mut config = self.config().clone();
        let client_id = client_id(&config).to_owned();
        config
            .set("group.id", name)
            .set("client.id", &client_id)
            .set("enable.auto.commit", "false");
        let group = name.to_owned();
        let read = tokio::task::spawn_blocking(move || read_group(&config, &group, client_id));
        let action = format!("describing consumer group \"{name}\"");
        let read = read.await;
        let read = read.map_err(|panicked| self.failed(&action, &panicked.to_string()))?;
        read.map_err(|error| match error {
            Unread::NotAuthorized => BrokerError::GroupRights {
                group: name.to_owned(),
                bootstrap: self.bootstrap().to_owned(),
            },
            Unread::Failed(error) => self.failed(&action, &error.to_string()),
        })
    }
}

/// What uses a group that the broker has listed, where its answer to DescribeGroups shows no member of it. The request knows groups of
/// the classic protocol alone: it calls any other, of the protocol `consumer` (KIP-848) or `share` (KIP-932), `Dead`.
fn unlisted_use(state: &str, protocol_type: &str, has_members: bool) -> Option<String> {
    if !["", CONSUMERS].contains(&protocol_type) {
        return Some(format!(
            "a group of the type \"{protocol_type}\", in state {state}"
        ));
    }
    match state {
        "Dead" => Some(
            "a group of another protocol than the classic one (group.protocol=consumer, or share consumers), whose members are not listed"
                .to_owned(),
        ),
        "Empty" => None,
        _ if has_members => None,
        _ => Some(format!("a group in state {state}")),
    }
}

/// Why a group could not be read.
enum Unread {
    NotAuthorized,
    Failed(KafkaError),
}

impl From<KafkaError> for Unread {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => Self::NotAuthorized,
            _ => Self::Failed(error),
        }
    }
}

fn read_group(
    config: &ClientConfig,
    name: &str,
    our_client_id: String,
) -> Result<GroupState, Unread> {
    let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
    refusal::fetch_token(config, &consumer);
    let committed = consumer
        .committed_offsets(every_partition(&consumer)?, TIMEOUT)
        .map_err(|error| {
            // Without the right to it, its coordinator is never found; the reason is an event of the consumer.
            let events = (0..EVENTS).filter_map(|_| consumer.poll(EVENT_WAIT)?.err());
            let mut refusals = events.filter(|event| {
                event.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
            });
            refusals.next().unwrap_or(error)
        })?;
    let mut state = GroupState {
        our_client_id,
        ..GroupState::default()
    };
    for element in committed.elements() {
        if let Offset::Offset(_) = element.offset() {
            if element.metadata() == MARK {
                state.is_marked = true;
            } else {
                state.foreign_topics.insert(element.topic().to_owned());
            }
        }
    }
    let groups = consumer.fetch_group_list(Some(name), TIMEOUT)?;
    if let Some(group) = groups.groups().first() {
        state.exists = true;
        let members = group.members().iter();
        state.members = members
            .map(|member| member.client_id().to_owned())
            .collect();
        let has_members = !state.members.is_empty();
        state.unlisted_use = unlisted_use(group.state(), group.protocol_type(), has_members);
    }
    Ok(state)
}

/// Every partition of every topic that we may describe.
fn every_partition(
    consumer: &BaseConsumer<BrokerContext>,
) -> Result<TopicPartitionList, KafkaError> {
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            list.add_partition(topic.name(), partition.id());
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(members: &[&str], foreign: &[&str], is_marked: bool) -> GroupState {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        GroupState {
            exists: true,
            members: owned(members),
            our_client_id: CLIENT_ID.to_owned(),
            foreign_topics: foreign.iter().map(|name| (*name).to_owned()).collect(),
            is_marked,
            unlisted_use: None,
        }
    }

    #[test]
    fn a_group_is_ours_when_every_member_and_every_offset_is() {
        for (state, is_ours) in [
            (group(&[], &[], true), true),
            // Nothing is committed yet.
            (group(&["cdc-bench"], &[], false), true),
            (group(&["cdc-bench", "cdc-bench"], &[], true), true),
            (group(&["cdc-bench", "billing"], &[], true), false),
            (group(&[], &["orders"], false), false),
            // Somebody's group that an earlier version wrote to.
            (group(&[], &["orders"], true), false),
            (group(&["rdkafka"], &[], false), false),
        ] {
            assert_eq!(state.is_ours(), is_ours, "{state:?}");
            assert!(!state.is_unused(), "{state:?}");
        }
        assert!(group(&[], &[], false).is_unused());
        assert!(!group(&[], &[], false).is_ours());
    }

    #[test]
    fn a_group_is_free_only_if_nothing_that_is_not_listed_may_use_it() {
        for (state, protocol_type) in [("Empty", "consumer"), ("Empty", "")] {
            assert_eq!(unlisted_use(state, protocol_type, false), None);
        }
        // Its members are listed.
        assert_eq!(unlisted_use("Stable", "consumer", true), None);
        for (state, protocol_type, has_members, says) in [
            ("Dead", "", false, "group.protocol=consumer"),
            ("Dead", "consumer", false, "group.protocol=consumer"),
            (
                "PreparingRebalance",
                "consumer",
                false,
                "PreparingRebalance",
            ),
            ("Empty", "connect", false, "type \"connect\""),
            ("Stable", "connect", true, "type \"connect\""),
        ] {
            let unlisted_use = unlisted_use(state, protocol_type, has_members);
            let is_said = unlisted_use
                .as_ref()
                .is_some_and(|use_| use_.contains(says));
            assert!(is_said, "{state} {protocol_type}: {unlisted_use:?}");
            // Also where an earlier consumer of ours has committed.
            for is_marked in [false, true] {
                let state = GroupState {
                    unlisted_use: unlisted_use.clone(),
                    ..group(&[], &[], is_marked)
                };
                assert!(!state.is_unused() && !state.is_ours() && state.is_in_use());
                assert!(state.describe().contains(says), "{}", state.describe());
            }
        }
    }

    #[test]
    fn what_is_in_a_group_is_named() {
        let state = group(&["billing-1"], &["invoices", "orders"], false);
        assert_eq!(
            state.describe(),
            "1 member(s), client.id billing-1; committed offsets for invoices, orders"
        );
    }
}
