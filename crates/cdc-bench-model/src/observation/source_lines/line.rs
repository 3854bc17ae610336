//! What the application says of a change, and what comes of it.

use std::sync::Arc;

use crate::observation::ObservedHop;
use crate::timeline::{Nanos, Stamp};

/// A line of the application's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// Table, as `schema.table`.
    pub table: Arc<str>,
    /// Canonical JSON of the key's columns.
    pub key: Arc<str>,
    /// Before its statement was sent, on the application's clock, uncorrected (T0).
    pub inserted: Stamp,
    /// When its commit had returned, on the same clock (Ta).
    pub returned: Option<Stamp>,
    /// When we had the line, on our clock.
    pub reported: Stamp,
}

/// A change that was followed to its end and has its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentChange {
    /// Its table.
    pub table: Arc<str>,
    /// Tc - T0.
    pub insert: Nanos,
    /// From T0 to the end of the total.
    pub from_insert: Nanos,
    /// How many changes it stands for, where a sample is followed.
    pub weight: u64,
}

impl SentChange {
    /// Its two hops.
    #[must_use]
    pub fn hops(&self) -> [(ObservedHop, Nanos); 2] {
        [
            (ObservedHop::Insert, self.insert),
            (ObservedHop::FromInsert, self.from_insert),
        ]
    }
}
