//! Changes that have not come.

use std::sync::Arc;

use serde::Serialize;

use super::ChangeId;
use crate::timeline::Stamp;

/// The tap that a change has not come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingAt {
    /// In the WAL, and in no topic.
    Topic,
    /// In its topic, and not in the sink.
    Sink,
}

/// A change that has not come when everything after it of its partition has: a line of `missing.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingChange {
    /// Which change.
    pub id: ChangeId,
    /// Where it was looked for.
    pub at: MissingAt,
    /// When it was committed, on our clock, where that is known.
    pub tc: Option<Stamp>,
    /// Why the consumer could not write it, where it says so.
    pub error: Option<Arc<str>>,
}
