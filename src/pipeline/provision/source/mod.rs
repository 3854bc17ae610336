//! PostgreSQL as the source of events: connection, checks, tables, publication and slots.

mod checks;
mod connection;
mod connections;
mod error;
mod preparation;
mod publication;
mod replication_right;
mod shards;
mod slots;
mod writable;

pub(crate) use checks::{SourceNeeds, check_columns, check_decoding, check_source};
pub(crate) use connection::connect_and_drive;
pub use connection::connect_postgres;
pub(crate) use connections::{CONNECTOR_CONNECTIONS, READER_CONNECTIONS};
pub use error::SourceError;
pub use preparation::PUBLICATION;
pub(crate) use preparation::prepare_source;
pub(crate) use publication::{check_publication, outbox_publications};
pub(crate) use replication_right::check_replication;
pub(crate) use shards::{check_shards, prepare_shards};
pub use slots::drop_slot;
pub(crate) use slots::existing_slots;
pub(crate) use writable::check_writable;
