//! PostgreSQL as the source of events: connection, checks, tables, publication and slots.

mod checks;
mod connection;
mod error;
mod preparation;
mod replication_right;
mod slots;

pub(crate) use checks::{SourceNeeds, check_source};
pub use connection::connect_postgres;
pub use error::SourceError;
pub use preparation::PUBLICATION;
pub(crate) use preparation::prepare_source;
pub(crate) use replication_right::check_replication;
pub use slots::drop_slot;
pub(crate) use slots::existing_slots;
