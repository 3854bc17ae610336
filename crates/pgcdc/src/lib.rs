//! The embedded CDC reader: PostgreSQL's WAL as decoded rows, without Debezium, Kafka or a JVM.
//!
//! [`Reader::spawn`] opens a logical replication stream on a thread and a current-thread runtime of its own and hands
//! every change to a closure, with its exact position and times. [`pgoutput`] is the decoder by itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), pgcdc::ReaderError> {
//! use std::ops::ControlFlow;
//!
//! use pgcdc::{Event, Reader, ReaderConfig, Server, Slot, SlotName};
//!
//! let server = Server::new("127.0.0.1", 5432, "replicator", String::from("secret"), "shop");
//! let slot = Slot::Permanent { name: SlotName::new("orders")?, failover: false };
//! let config = ReaderConfig::new(server, slot, ["orders"]);
//! let reader = Reader::spawn(config, |event| {
//!     if let Event::Change(change) = event {
//!         let total: Option<f64> = change.get("total").unwrap_or_default();
//!         println!("{} {} at {}: {total:?}", change.operation, change.relation, change.lsn);
//!     }
//!     ControlFlow::Continue(())
//! })
//! .await?;
//! // ... later:
//! let stats = reader.stop()?;
//! println!("{} changes", stats.changes);
//! # Ok(()) }
//! ```
//!
//! # What is guaranteed
//!
//! - Transactions come whole, in the order of their commits; changes in the order they were made.
//! - At least once: a transaction is acknowledged to the server after the handler has returned from its
//!   [`Event::Commit`], or, with [`Acknowledge::ByHand`], when [`Acknowledger::acknowledge`] says so. A reader that is
//!   started anew begins behind what was acknowledged.
//! - Exactly once into a sink that keeps [`Commit::end_lsn`] beside its data and gives it back as
//!   [`ReaderConfig::start_after`].
//! - Within one reader's life nothing is handed over twice, however often its connection breaks. When a transaction that
//!   was cut off does not come again, because somebody else has moved the slot, the reader ends with
//!   [`ReaderError::Gap`].
//! - When another reader has acknowledged what this one has not seen, it ends with [`ReaderError::SlotMoved`].
//! - An initial copy ([`ReaderConfig::snapshot`]) has every row as of one position, and the stream every change behind it:
//!   no gap and no overlap, also when rows change meanwhile. A checkpoint knows which tables are copied; those that are not
//!   are copied when the reader is started anew, from their beginning, and [`Event::Snapshot`] names them first. Rows of a
//!   copy come in no order.
//! - Any bytes from the server are a message or an error, in no more memory than they take themselves: rows are borrowed
//!   from their message, and take none. What is no value of its column's type is an error, never null.
//! - A column that was not sent, because it is stored out of line and did not change, is
//!   [`Value::Unchanged`](pgoutput::Value), never null.
//!
//! Not guaranteed: messages written with `pg_logical_emit_message(false, ...)` belong to no transaction, and may come again
//! after a break. A publication that is dropped in mid-stream is an error at the next connection, or within seconds with a
//! heartbeat or a limit for the WAL; until then the server sends nothing of its tables. A temporary slot is gone with its
//! connection: then the reader ends.
//!
//! Protocol version 1 is spoken: the server sends a transaction when it has committed, keeps those at hand on its own disk,
//! and drops what was rolled back. A transaction of any size streams through in the memory of its rows at hand.

mod catalogue;
mod checkpoint;
mod clock;
mod config;
mod error;
mod event;
mod handover;
pub mod pgoutput;
mod position;
mod reader;
mod relation;
mod slots;
mod snapshot;
mod stream;
mod types;
mod value;
mod watch;

pub use catalogue::CatalogueColumn;
pub use checkpoint::{Checkpoint, FileCheckpoint, Progress};
pub use clock::{SteadyClock, TimeSource, UnixNanos};
pub use config::{Acknowledge, Origins, ReaderConfig, Server, Slot};
pub use error::ReaderError;
pub use event::{Change, Commit, Event, LogicalMessage, Operation, Transaction};
pub use pgwire_replication::tls::rustls::MaybeTlsStream;
pub use pgwire_replication::{PgWireError, SslMode, TlsConfig};
pub use position::{InvalidSlotName, Lsn, ParseLsnError, SlotName, Xid};
pub use reader::{Acknowledger, Reader, ReaderHandle, ReaderStats};
pub use relation::{Column, Relation, Relations, ReplicaIdentity, TableName};
pub use slots::{
    SlotState, current_lsn, drop_publication, drop_slot, ensure_publication, list_slots,
    published_tables,
};
pub use snapshot::{CopiedTable, PlannedTable, SnapshotConfig, SnapshotPlan, SnapshotRow};
pub use types::{Kind, Type, Types};
pub use value::{FromValue, ValueError};
