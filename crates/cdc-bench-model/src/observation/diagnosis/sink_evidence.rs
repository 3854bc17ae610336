//! What was seen of the sink: its server, and the connector that writes into it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connector_evidence::ConnectorEvidence;

/// The sink's server, MongoDB.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SinkEvidence {
    /// Its name, such as `MongoDB 8.0 at db:27017`.
    pub server: String,
    /// The set that it is a member of, by `hello`.
    pub set: Option<ReplicaSet>,
    /// What a write waits for that does not say it itself, by `getDefaultRWConcern`.
    pub default_write_concern: Option<WriteConcernSeen>,
    /// The members' replication, by `replSetGetStatus`.
    pub replication: Option<ReplicationEvidence>,
    /// Its load, by `serverStatus`.
    pub status: Option<ServerStatusEvidence>,
    /// Commands that were not answered, each with why and what it needs.
    pub unreadable: BTreeMap<String, String>,
}

/// A replica set, as a member shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaSet {
    /// Its name.
    pub name: String,
    /// Its members that hold data, as the set names them.
    pub hosts: Vec<String>,
    /// Whether the member that the tap looks at was not the primary, at any look.
    pub was_secondary: bool,
}

/// What a write waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteConcernSeen {
    /// `majority`, or a number of members, or a name of the user's; `None` where it is not said.
    pub w: Option<String>,
    /// Whether it waits for the journal; `None` where it is not said.
    pub journal: Option<bool>,
}

/// How far members of the set were behind, at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicationEvidence {
    /// What a majority of them had, behind the primary.
    pub majority_behind: Duration,
    /// The member that was furthest behind, and how far.
    pub slowest: Option<(String, Duration)>,
    /// Members that were not healthy, such as `db3:27017 is (not reachable/healthy)`.
    pub unhealthy: Vec<String>,
}

/// The server's load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerStatusEvidence {
    /// How often it was looked at.
    pub polls: u64,
    /// Connections in use at most, and those it allows.
    pub connections: Option<(u64, u64)>,
    /// Writes while it was observed, and the time that the server took for them together.
    pub writes: Option<(u64, Duration)>,
    /// At how many looks no ticket for a write was free.
    pub without_ticket: u64,
    /// Most of the cache that was used, and that was not written yet, of 1.
    pub cache: Option<(f64, f64)>,
    /// At how many looks the server held writes back, since its members lag (flow control).
    pub held_back: u64,
}

/// The connector of Kafka Connect that writes into the sink. Its configuration holds the settings that are judged, and no others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkConnectorEvidence {
    /// Its state, and what is known of its configuration.
    pub connector: ConnectorEvidence,
    /// What its connection string says of writes.
    pub write_concern: WriteConcernSeen,
    /// Partitions of the observed topics that it reads.
    pub partitions: u64,
}
