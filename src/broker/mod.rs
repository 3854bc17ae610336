//! Kafka: topics and groups, receiving and sending records, and the offset of the broker's clock from ours.
//!
//! Every function takes a [`rdkafka::ClientConfig`] with the addresses and credentials in it, and adds what it needs.

mod admin;
mod admin_token;
mod backlog;
mod clock;
mod context;
mod dead_letter_topic;
mod error;
mod group_members;
mod groups;
mod leader_pings;
mod membership;
mod messages;
mod oauth;
mod offset_poll;
mod partition_end;
mod partition_log;
mod partitioner;
mod producer;
mod publisher;
mod reading_groups;
mod record_count;
mod record_producer;
mod refusal;
mod rights;
mod source;
mod stoppable_thread;
mod tail;
mod tls_probe;
mod topic_scan;

pub use admin::{Admin, TopicState};
pub use backlog::Backlog;
pub use clock::BrokerClock;
pub use error::BrokerError;
pub use group_members::{GroupMembers, GroupWatch};
pub use groups::GroupState;
pub use leader_pings::{LeaderPing, LeaderPings};
pub use membership::{Rebalance, Rebalances};
pub use offset_poll::{OffsetPoll, OffsetPoller, PartitionOffset};
pub use partition_log::{LogStart, LoggedRecord, PartitionLog};
pub use partitioner::partition_of;
pub use publisher::{Delivered, Publisher, UndeliveredRecord};
pub use reading_groups::ReadingGroup;
pub use record_count::count_records;
pub use record_producer::{OutgoingRecord, RecordProducer, UndeliveredError};
pub use rights::MissingAcl;
pub use source::{KafkaSource, KafkaSourceConfig, MemberSession, fetch_settings};
pub use tail::{TailEvent, TailRecord, TopicTail};
pub use topic_scan::{ScanStart, ScannedRecord, TopicScan};
