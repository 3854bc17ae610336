//! What a change does.

use serde::{Deserialize, Serialize};

/// What a change does to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A row is inserted.
    Create,
    /// A row is updated.
    Update,
    /// A row is deleted.
    Delete,
    /// All rows are removed.
    Truncate,
    /// A row is read by a snapshot.
    Read,
    /// A message of `pg_logical_emit_message()`.
    Message,
}
