//! The servers: configuration, start, and what counts as ready.

mod cluster;
pub(crate) mod connect;
mod health;
mod java;
mod jvm;
pub(crate) mod kafka;
mod kafka_links;
mod launch;
mod plan;
pub(crate) mod postgres;
pub(crate) mod store;

pub use cluster::{ClusterRequest, ClusterSize};
pub(crate) use health::{answers, answers_of};
pub(crate) use java::Java;
pub use kafka_links::KafkaClient;
pub(crate) use kafka_links::KafkaLinks;
pub(crate) use launch::READY_LIMIT;
pub use plan::LocalOptions;
pub(crate) use plan::{Ports, SERVERS, StartPlan, endpoints, password};
