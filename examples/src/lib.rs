//! Sinks for an outbox table, and the programs that run them (`src/bin`): what a program of one's own starts from.
//!
//! `outbox.sql` creates the table and its publication. Delivery begins with the first start of a program, which creates its slot:
//! events before that are not delivered. A slot retains WAL until it is dropped:
//! `SELECT pg_drop_replication_slot('outbox_to_sqlite')`.

mod http;
mod kafka;
mod outbox;
mod program;
mod sqlite;

pub use http::{HttpError, HttpSink};
pub use kafka::{KafkaSink, KafkaSinkError};
pub use outbox::{OutboxError, OutboxEvent, outbox_events};
pub use program::{ctrl_c, outbox_reader, show_warnings};
pub use sqlite::{SqliteSink, SqliteSinkError};
