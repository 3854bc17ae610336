//! The command of cdc-bench; its modules follow the data. It is built on crates of their own: `pgcdc` (the reader),
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
//! | [`observe`] | a pipeline that others run, observed |
//! | [`pipeline`] | one run from set-up to clean-up, and what other commands borrow of it |
//! | [`live`] | the state of a run in progress |
//! | [`dashboard`] | that state on a terminal |
//! | [`settings`] | the settings that all commands share |
//! | `own_thread` | a task with a thread and a runtime for itself |
//! | [`cli`] | one file per subcommand: its arguments, and the function it calls |

pub mod broker;
mod cause;
pub mod cli;
pub mod consumer;
pub mod dashboard;
pub mod debezium;
pub mod json;
pub mod live;
pub mod load;
pub mod observe;
mod own_thread;
pub mod pipeline;
pub mod records;
pub mod settings;
pub mod store;
mod tls_failure;
