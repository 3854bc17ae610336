//! The command of cdc-bench, in the order the data takes. What it stands on are crates of their own: `pgcdc` (the reader),
//! `pgcdc-debezium` (its changes as Debezium's events), `cdc-bench-model` (stamps, hops, analysis, report) and
//! `cdc-bench-stack` (where the servers come from).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`load`] | the open-loop schedule and the inserter |
//! | [`json`] | JSON read token by token, without a copy |
//! | [`debezium`] | Debezium's envelope and its connector |
//! | [`broker`] | Kafka: topics, records |
//! | [`records`] | records between their source and the consumer |
//! | [`consumer`] | record -> read-model document -> store |
//! | [`store`] | MongoDB: documents, bulk writes, the verifier |
//! | [`pipeline`] | one run from set-up to clean-up, and what other commands borrow of it |
//! | [`live`] | a run as it stands while it goes on |
//! | [`dashboard`] | the same on a terminal |
//! | [`settings`] | what every command is told besides its own request |
//! | [`cli`] | a file a subcommand: its arguments, and the function it calls |

pub mod broker;
mod cause;
pub mod cli;
pub mod consumer;
pub mod dashboard;
pub mod debezium;
pub mod json;
pub mod live;
pub mod load;
pub mod pipeline;
pub mod records;
pub mod settings;
pub mod store;
