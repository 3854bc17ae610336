//! The embedded CDC reader: PostgreSQL's WAL as decoded rows, without Debezium, Kafka or a JVM.
//!
//! [`Reader::spawn`] opens a logical replication stream on a thread and a current-thread runtime of its own and hands
//! every change to a closure, with its exact position and times. [`pgoutput`] is the decoder by itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), cdc_bench::wal::ReaderError> {
//! use cdc_bench::timeline::Clock;
//! use cdc_bench::wal::{Reader, ReaderConfig, Slot, SlotName};
//!
//! let config = ReaderConfig {
//!     host: "127.0.0.1".into(),
//!     port: 5432,
//!     user: "replicator".into(),
//!     password: String::from("secret").into(),
//!     database: "shop".into(),
//!     publication: "orders".into(),
//!     slot: Slot::Temporary(SlotName::new("peek")?),
//!     status_interval: std::time::Duration::from_secs(1),
//! };
//! let reader = Reader::spawn(config, Clock::start(), |change| {
//!     println!("{} {} at {}", change.operation, change.relation, change.lsn);
//! })
//! .await?;
//! // ... later:
//! let stats = reader.stop()?;
//! println!("{} changes", stats.changes);
//! # Ok(()) }
//! ```

mod error;
mod outbox;
pub mod pgoutput;
mod position;
mod reader;
mod relation;

pub use error::ReaderError;
pub use outbox::{OutboxError, OutboxKey, OutboxTable};
pub use position::{InvalidSlotName, Lsn, ParseLsnError, SlotName, Xid};
pub use reader::{Change, Operation, Reader, ReaderConfig, ReaderHandle, ReaderStats, Slot};
pub use relation::{Column, Relation, Relations};
