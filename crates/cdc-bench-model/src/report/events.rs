//! `events.jsonl`: one line of stamps an event and capture path.

use serde::Serialize;

use crate::event::EventId;
use crate::timeline::{CapturePath, Hops, Joined, Stamps};

/// One line. Stamps in nanoseconds since the Unix epoch on our clock, hops in nanoseconds.
#[derive(Debug, Serialize)]
pub struct EventLine {
    id: EventId,
    #[serde(rename = "type")]
    event_type: &'static str,
    path: CapturePath,
    round: u32,
    lsn: String,
    commit_lsn: String,
    txid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    stamps: Stamps,
    hops: Hops,
}

impl EventLine {
    /// The line of an event that came by `path` in a round.
    #[must_use]
    pub fn new(event: &Joined, path: CapturePath, round: u32) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type.as_str(),
            path,
            round,
            lsn: lsn(event.captured.lsn),
            commit_lsn: lsn(event.captured.commit_lsn),
            txid: event.captured.xid,
            partition: event.partition,
            stamps: event.stamps,
            hops: event.stamps.hops(),
        }
    }
}

/// As PostgreSQL writes it.
fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}
