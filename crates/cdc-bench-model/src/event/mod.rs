//! The outbox row, and the three kinds of event it carries.
//!
//! This module knows no server: the same row is inserted by `load`, read back by our WAL reader, carried by Debezium
//! and turned into a document by `consumer`.

mod generator;
mod instant;
mod payload;
mod shard;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use generator::Generator;
pub use instant::{USUAL_BYTES, unix_micros, usual_micros};
pub use payload::{ActivityCreated, Address, ParticipantJoined, UserCreated, Venue};
pub use shard::{Shard, Shards};

/// Schema of the outbox table.
pub const SCHEMA: &str = "activity";
/// Name of the outbox table, within [`SCHEMA`].
pub const TABLE: &str = "event_outbox";
/// Its column with the aggregate, the user or activity, that an event is about.
pub const AGGREGATE_ID: &str = "aggregate_id";

/// An event's identity: a UUIDv7, made by the generator, primary key of the outbox row and `_id` of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// Somebody signed up.
    UserCreated,
    /// A user announced an activity.
    ActivityCreated,
    /// A user joined an activity that exists.
    ParticipantJoined,
}

impl EventType {
    /// Every kind, in the order reports list them.
    pub const ALL: [Self; 3] = [
        Self::UserCreated,
        Self::ActivityCreated,
        Self::ParticipantJoined,
    ];

    /// The name as written to the outbox's `event_type` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "UserCreated",
            Self::ActivityCreated => "ActivityCreated",
            Self::ParticipantJoined => "ParticipantJoined",
        }
    }

    /// What the event is about, as written to the outbox's `aggregate_type` column.
    #[must_use]
    pub fn aggregate_type(self) -> &'static str {
        match self {
            Self::UserCreated => "user",
            Self::ActivityCreated | Self::ParticipantJoined => "activity",
        }
    }

    /// Position in [`EventType::ALL`], for counters by type.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::UserCreated => 0,
            Self::ActivityCreated => 1,
            Self::ParticipantJoined => 2,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An `event_type` that is none of [`EventType::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type {0:?}")]
pub struct UnknownEventType(pub String);

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownEventType(name.to_owned()))
    }
}

/// One event, as a row of `activity.event_outbox`. Its `created_at` column is filled by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Primary key.
    pub id: EventId,
    /// Position in the run that made it, from 0, without gaps.
    pub seq: u64,
    /// What happened.
    pub event_type: EventType,
    /// The user or activity it happened to; the key whose order is preserved.
    pub aggregate_id: Uuid,
    /// The event itself as a JSON object (column `payload`, type `jsonb`).
    pub payload: String,
}
