//! The connection to the server below SQL: sockets and encryption, authentication, and the replication protocol.
//!
//! Messages before the stream are read and written by pgwire-replication's framing, one at a time; passwords are proven by
//! postgres-protocol. The stream itself and the data of a copy are read in large parts, and their messages are borrowed from
//! them: see [`ReplicationStream`] and [`CopySession`].

mod channel;
mod client;
mod copy;
mod encryption;
mod endpoint_hash;
mod error;
mod frames;
mod pace;
mod query;
mod replication;
mod socket;
mod startup;
mod status;
mod stream;
mod tls;

pub use client::{ConnectError, SocketError};
pub use error::ServerMessage;

pub(crate) use copy::CopySession;
pub(crate) use error::WireError;
pub(crate) use query::TextRows;
pub(crate) use replication::{ReplicationSession, SystemIdentity};
pub(crate) use socket::Socket;
pub(crate) use status::{StatusReporter, StreamStatus};
pub(crate) use stream::{ReplicationStream, StreamMessage, StreamSettings};
