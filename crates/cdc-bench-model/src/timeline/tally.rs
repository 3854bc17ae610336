//! Events counted at each place of a capture path.

use serde::{Deserialize, Serialize};

/// Number of events seen at each place. An event counts once at each place, however often it is seen there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// INSERT sent to PostgreSQL.
    pub sent: u64,
    /// Commit acknowledged.
    pub inserted: u64,
    /// Refused by PostgreSQL.
    pub insert_errors: u64,
    /// Seen in the WAL by our reader.
    pub captured: u64,
    /// Received and decoded by the consumer.
    pub consumed: u64,
    /// Acknowledged by the store.
    pub written: u64,
    /// Received more than once by the consumer.
    pub duplicates: u64,
    /// All stamps in.
    pub joined: u64,
    /// Our reader and the envelope disagree on position or transaction.
    pub lsn_mismatches: u64,
}

impl Tally {
    /// Adds the counts of other events.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.inserted += other.inserted;
        self.insert_errors += other.insert_errors;
        self.captured += other.captured;
        self.consumed += other.consumed;
        self.written += other.written;
        self.duplicates += other.duplicates;
        self.joined += other.joined;
        self.lsn_mismatches += other.lsn_mismatches;
    }
}
