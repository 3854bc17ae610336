//! An embeddable change data capture reader for PostgreSQL: the WAL as decoded rows, without Debezium, Kafka or a JVM.
//!
//! [`Reader::spawn`] opens a logical replication stream on its own thread with a current-thread runtime, and calls a handler
//! with every change, its exact position and its times. [`pgoutput`] is the decoder by itself.
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
//! [`Reader::events`] has the same events as a [`Stream`](futures_util::Stream) of owned ones, [`Reader::transactions`] puts them
//! together by transaction, and [`deliver`] writes them to a [`Sink`] in batches, with retries. [`Change::deserialize`] makes a
//! struct of a row.
//!
//! # What is guaranteed
//!
//! - Order: transactions are delivered completely and in the order of their commits; the changes of a transaction in the
//!   order in which they were made.
//! - At least once: a transaction is acknowledged to the server after the handler has returned from its [`Event::Commit`],
//!   or, with [`Acknowledge::Manual`], when [`Acknowledger::acknowledge`] is called. A new reader starts after the last
//!   acknowledged position.
//! - Exactly once, into a sink that stores [`Commit::end_lsn`] together with its data and passes it as
//!   [`ReaderConfig::start_after`].
//! - Reconnects: a running reader delivers nothing twice, however often its connection breaks. When the server does not send
//!   an interrupted transaction again, because another reader has advanced the slot, the reader ends with
//!   [`ReaderError::Gap`].
//! - No gap at an opening: each time it connects, the first included, the reader holds the position that it goes on from
//!   (of the checkpoint, of [`ReaderConfig::start_after`], or acknowledged last) against the slot and the server. A slot that
//!   stands after it, because it was made anew or advanced, is [`ReaderError::SlotMoved`]; WAL that does not have the
//!   position, as after a failover that lost it, is [`ReaderError::PositionUnknown`]; a checkpoint of another slot, database
//!   or cluster is [`ReaderError::ForeignCheckpoint`].
//! - An end to what cannot go on: an error of the server that comes three times at the same position ends the reader with
//!   [`ReaderError::StandingError`], which names it; pauses between attempts grow until the reader gets on.
//! - A slow handler: the server hears of the reader on a thread of its own, so a handler may take longer than
//!   `wal_sender_timeout`. A server that is silent for that long, though asked, is taken for gone.
//! - Nothing left behind: a start that fails drops the slot that it has made; a creation that waits for open transactions
//!   says for which, and is cancelled after [`ReaderConfig::slot_limit`].
//! - Initial copy: an initial copy ([`ReaderConfig::snapshot`]) contains every row as of one position, and the stream
//!   delivers every change after it: no gap and no overlap, even when rows change meanwhile. The checkpoint lists the tables
//!   that are copied; a new reader copies the others from their beginning, and [`Event::Snapshot`] names them first. The rows
//!   of a copy have no order. No table can be rewritten or truncated while it is copied; one to which that happens while the
//!   snapshot is taken is not copied as empty: another snapshot is taken.
//! - Initial copy, resumed by chunk ([`SnapshotResume::ByChunk`]): a copy that was interrupted goes on after the chunks that were
//!   acknowledged. Rows and changes of that table may come more than once, so that a sink which applies them by the table's key
//!   ends with its rows, values that are stored out of line included: rows that were written meanwhile are copied again. A table
//!   whose rows cannot be told from those copied before begins anew, with a warning that says why: one without a key, one that was
//!   rewritten or truncated, one of which other rows or columns are published, or whose publication was altered.
//! - Any input: any bytes from the server are a message or an error, and take no more memory than their own length: rows are
//!   borrowed from their message, and take none. A value that is not of its column's type is an error, never null.
//! - Unchanged columns: a column that the stream does not carry, because it is stored out of line and did not change, is
//!   [`Value::Unchanged`](pgoutput::Value), never null.
//!
//! - Messages: a non-transactional message, `pg_logical_emit_message(false, ...)`, comes between transactions, and is
//!   delivered and acknowledged like one, at its own position.
//! - Descriptions of the time: with [`ReaderConfig::describe`], types, keys, `NOT NULL` and defaults of a change are those of
//!   its time, or are not known. The stream says what columns, types and replica identity were; the catalogue says more, but
//!   only as of now: what a later transaction changed there is left out, with a warning ([`Relation`]). A user-defined type of
//!   which nothing is known is text, with a warning, once for each column.
//! - Binary format: a value converts as its text does, by the type of its column, or is an error ([`FromValue`]).
//! - Rows as types: [`Change::deserialize`] makes any type of serde's of a row; a column that the stream does not carry is an
//!   error if the type wants it.
//!
//! Not guaranteed: when a publication is dropped while the reader streams, the error comes with the next
//! connection, or within seconds if a heartbeat or a limit for retained WAL is configured; until then the server sends
//! nothing of its tables. The server drops a temporary slot with its connection: when that breaks, the reader ends.
//!
//! # Large transactions
//!
//! With [`ReaderConfig::spool`], which is the default, the reader speaks version 2 of the protocol: the server sends a
//! transaction that outgrows its `logical_decoding_work_mem` while it runs, and the reader keeps it until it commits, in memory
//! up to a limit and in a file beyond it; what was rolled back is dropped. It is delivered complete and in the order of
//! commits as any other, and takes no place on the server's disk. Without it (version 1) the server sends a transaction after
//! its commit and keeps those in progress on its own disk; a transaction of any size passes through in the memory of the rows
//! in progress.
//!
//! What the server still has in memory at the commit is sent only then. The reader therefore asks for less of it
//! ([`SpoolConfig::server_memory`]): the last row of a large transaction comes the sooner after its commit.
//!
//! # Two-phase commit
//!
//! Without more, a transaction that is prepared (`PREPARE TRANSACTION`) is delivered when it has committed (`COMMIT PREPARED`), as
//! any other. With [`ReaderConfig::two_phase`] it is delivered when it is prepared, as [`Event::Begin`], its changes, and
//! [`Event::Prepare`] in place of `Commit`; then its end, as [`Event::CommitPrepared`] or [`Event::RollbackPrepared`], which
//! names it by its `gid`. Prepare and end are units of their own: each has a position, is acknowledged by itself, and comes again
//! to a new reader only if it was not. A sink keeps what is prepared, durable and unseen, until the end comes: what it has
//! acknowledged at the prepare does not come again. While a reader runs nothing of it is delivered twice, however often the
//! stream or the server ends.

// The example of the README is a doctest.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod checkpoint;
mod clock;
mod delivery;
mod error;
mod event;
mod event_stream;
pub mod pgoutput;
mod position;
mod publication;
mod reader;
mod row_de;
mod server;
mod sink;
mod slots;
mod snapshot;
mod stream;
mod table;
mod types;
mod value;
mod wire;

pub use checkpoint::{Checkpoint, CheckpointProgress, CheckpointSource, FileCheckpoint};
pub use clock::{SteadyClock, TimeSource, UnixNanos};
pub use delivery::Acknowledger;
pub use error::ReaderError;
pub use event::{
    Change, Commit, CommitPrepared, Event, LogicalMessage, Operation, OwnedChange, OwnedChunk,
    OwnedCommit, OwnedCommitPrepared, OwnedCopy, OwnedEvent, OwnedMessage, OwnedPrepare,
    OwnedRollbackPrepared, OwnedSchemaChange, Prepare, RollbackPrepared, SchemaChange, Transaction,
};
pub use event_stream::{
    EventBuffer, Events, OwnedTransaction, PartLimit, TransactionEvent, TransactionItem,
    Transactions,
};
pub use position::{InvalidSlotName, Lsn, ParseLsnError, SlotName, Xid};
pub use publication::{
    PublicationError, PublicationPlan, PublicationRequest, PublicationWarning, drop_publication,
    published_tables,
};
pub use reader::{
    Acknowledge, MetricsSnapshot, Origins, Reader, ReaderConfig, ReaderHandle, ReaderMetrics,
    ReaderStats, Slot, SnapshotConfig, SnapshotResume, SpoolConfig,
};
pub use row_de::RowError;
pub use server::{
    ChannelBinding, ConnectionParameters, ConnectionWarning, InvalidServer, Keepalives,
    LibpqEnvironment, NetworkSettings, NoServer, Server, ServerList, SessionTarget, SslMode,
    TlsConfig, check_replication,
};
pub use sink::{
    Batch, DeliveryConfig, DeliveryError, DeliveryStats, Sink, SinkPosition, SinkStep, deliver,
};
pub use slots::{SlotState, current_lsn, drop_slot, list_slots};
pub use snapshot::{
    BlockSet, CopiedChunk, CopiedTable, CopyChunk, CopyProgress, PartProgress, PlannedTable,
    ResumedTable, SnapshotPlan, SnapshotRow,
};
pub use table::{
    Column, InvalidTableName, Relation, Relations, ReplicaIdentity, TableName, TablePattern,
};
pub use types::{BinaryFormat, CatalogueColumn, Type, TypeKind, Types};
pub use value::{FromValue, Interval, Money, Range, ValueError};
pub use wire::{ConnectError, ServerMessage, SocketError};
