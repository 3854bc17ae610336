//! Incidents of a run (`incidents` of `report.json`).

use serde::{Deserialize, Serialize};

/// An event in the run that affects its latencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When it began, or was seen: RFC 3339, UTC. A checkpoint's beginning is known to a second, the interval at which the
    /// server is asked.
    pub at: jiff::Timestamp,
    /// `server_restart`, `connector_restart`; `load_paused`, `rate_changed`; `rebalance` of the consumer group;
    /// `checkpoint` of PostgreSQL; `fault`, one that the run was asked to make; `stall` of a server; `gc_pause` of a JVM; `resumed`, the break of a
    /// run that was taken up again; `slot_unread`, `slot_unreserved`, `checkpoint_waits`, about a replication slot;
    /// `worker_silent`. More may come.
    pub kind: String,
    /// In a few words, such as `kafka started again`.
    pub what: String,
    /// How long it went on: from the revocation of partitions to their assignment, a checkpoint's writing and syncing,
    /// a pause; `null` for a moment, for what did not end in the run, and where it is not known.
    #[serde(default)]
    pub took: Option<i64>,
}

/// [`Incident::kind`] of a rebalance of our consumer's group.
pub const REBALANCE: &str = "rebalance";
/// [`Incident::kind`] of a checkpoint of PostgreSQL.
pub const CHECKPOINT: &str = "checkpoint";
/// [`Incident::kind`] of a load that somebody paused.
pub const LOAD_PAUSED: &str = "load_paused";
/// [`Incident::kind`] of a load whose rate somebody changed.
pub const RATE_CHANGED: &str = "rate_changed";
/// [`Incident::kind`] of a warm-up that somebody ended before the servers had settled.
pub const WARM_UP_CUT: &str = "warm_up_cut";

/// [`Incident::kind`] of the break of a run that was cut off and taken up again.
pub const RESUMED: &str = "resumed";

/// [`Incident::kind`] of a fault that the run was asked to make.
pub const FAULT: &str = "fault";
/// [`Incident::kind`] of a time in which a server stood still.
pub const STALL: &str = "stall";
/// [`Incident::kind`] of a time in which nobody read a replication slot, or its reader did not reply.
pub const SLOT_UNREAD: &str = "slot_unread";
/// [`Incident::kind`] of a time in which PostgreSQL was free to remove WAL that a replication slot needs.
pub const SLOT_UNRESERVED: &str = "slot_unreserved";
/// [`Incident::kind`] of a time in which a checkpoint of PostgreSQL waited for the reader of a slot that was given up.
pub const CHECKPOINT_WAITS: &str = "checkpoint_waits";
/// [`Incident::kind`] of a time in which a worker on another machine was not heard of.
pub const WORKER_SILENT: &str = "worker_silent";
/// [`Incident::kind`] of a time in which a JVM stood still to collect garbage.
pub const GC_PAUSE: &str = "gc_pause";

impl Incident {
    /// Whether the user changed the load, as opposed to a fault of a server.
    #[must_use]
    pub fn is_steering(&self) -> bool {
        [LOAD_PAUSED, RATE_CHANGED, WARM_UP_CUT].contains(&self.kind.as_str())
    }
}
