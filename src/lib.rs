//! Follows every event of a change-data-capture pipeline from the PostgreSQL INSERT that made it, through Debezium,
//! Kafka and a consumer, into a MongoDB read model, and says how long each hop took.
//!
//! The modules are the pipeline, in the order the data takes:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`event`] | the outbox row and the events it carries |
//! | `load` | the open-loop schedule and the inserter |
//! | [`wal`] | the embedded CDC reader: PostgreSQL's WAL as decoded rows |
//! | `json` | the escapes of JSON's texts, resolved where they are wanted |
//! | `debezium` | Debezium's envelope and its connector |
//! | `broker` | Kafka: topics, records |
//! | `consumer` | record -> read-model document -> store |
//! | `store` | MongoDB: documents, bulk writes, the verifier |
//! | [`timeline`] | stamps, hops, clocks and their offsets, the joining of an event's stamps |
//! | `analysis` | percentiles, objectives, diagnosis, comparison |
//! | `report` | a result's files, read back, and as text, JSON, HTML, Markdown, JUnit, CSV |
//! | `live` | a run as it stands while it goes on |
//! | `dashboard` | the same on a terminal |
//! | `stack` | where the servers come from: external, compose, local |
//! | `pipeline` | one run from set-up to clean-up |
//!
//! With `default-features = false` only the reader is built: [`wal`], on top of [`timeline`] and [`event`].

pub mod event;
pub mod timeline;
pub mod wal;

#[cfg(feature = "bench")]
pub mod analysis;
#[cfg(feature = "bench")]
pub mod broker;
#[cfg(feature = "bench")]
mod cause;
#[cfg(feature = "bench")]
pub mod cli;
#[cfg(feature = "bench")]
pub mod config;
#[cfg(feature = "bench")]
pub mod consumer;
#[cfg(feature = "bench")]
pub mod dashboard;
#[cfg(feature = "bench")]
pub mod debezium;
#[cfg(feature = "bench")]
pub mod json;
#[cfg(feature = "bench")]
pub mod live;
#[cfg(feature = "bench")]
pub mod load;
#[cfg(feature = "bench")]
pub mod pipeline;
#[cfg(feature = "bench")]
pub mod report;
#[cfg(feature = "bench")]
pub mod stack;
#[cfg(feature = "bench")]
pub mod store;
