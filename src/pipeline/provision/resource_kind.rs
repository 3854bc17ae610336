//! Kinds of resources on servers.

use std::fmt;
use std::str::FromStr;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A schema in the source database.
    Schema,
    /// A table in it.
    Table,
    /// A publication.
    Publication,
    /// A replication slot.
    Slot,
    /// A connector on Kafka Connect.
    Connector,
    /// A Kafka topic.
    Topic,
    /// A Kafka consumer group.
    Group,
    /// A collection of the store.
    Collection,
    /// A topic of a capture. What was delivered into it is the user's: it is deleted only while it has no record.
    CaptureTopic,
    /// A run itself: there is an entry of it as long as one of its resources is there, and its lock tells whether it lives.
    Run,
    /// A capture itself, likewise.
    Capture,
}

impl ResourceKind {
    const ALL: [Self; 11] = [
        Self::Schema,
        Self::Table,
        Self::Publication,
        Self::Slot,
        Self::Connector,
        Self::Topic,
        Self::Group,
        Self::Collection,
        Self::CaptureTopic,
        Self::Run,
        Self::Capture,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Publication => "publication",
            Self::Slot => "slot",
            Self::Connector => "connector",
            Self::Topic => "topic",
            Self::Group => "group",
            Self::Collection => "collection",
            Self::CaptureTopic => "captured topic",
            Self::Run => "run",
            Self::Capture => "capture",
        }
    }

    /// Whether it is no resource, but whose the resources are.
    pub(crate) fn is_owner(self) -> bool {
        matches!(self, Self::Run | Self::Capture)
    }
}

impl ResourceKind {
    /// The server that it is on.
    pub(crate) fn server(self) -> ResourceServer {
        match self {
            Self::Schema
            | Self::Table
            | Self::Publication
            | Self::Slot
            | Self::Run
            | Self::Capture => ResourceServer::Postgres,
            Self::Connector => ResourceServer::Connect,
            Self::Topic | Self::CaptureTopic | Self::Group => ResourceServer::Kafka,
            Self::Collection => ResourceServer::Store,
        }
    }
}

/// A server with resources on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourceServer {
    Postgres,
    Connect,
    Kafka,
    Store,
}

impl fmt::Display for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Connect => "Kafka Connect",
            Self::Kafka => "Kafka",
            Self::Store => "the store",
        })
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("the ledger holds a {text:?}, which this version does not know"))
    }
}
