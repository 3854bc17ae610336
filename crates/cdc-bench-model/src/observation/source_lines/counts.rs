//! Lines of the application, counted.

use serde::{Deserialize, Serialize};

/// Lines in which the application says when it sent its statements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLineCounts {
    /// Those that could be read and are of an observed table.
    pub read: u64,
    /// Those whose change was found.
    pub joined: u64,
    /// Those without a change: it was rolled back, not captured, or committed before the observation.
    pub without_change: u64,
    /// Changes without a line: something else made them, or their lines were lost.
    pub without_line: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// Lines of tables that are not observed.
    pub other_tables: u64,
    /// Lines and changes that were too many to keep until the other came.
    pub not_kept: u64,
}
