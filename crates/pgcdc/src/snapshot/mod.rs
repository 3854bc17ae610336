//! The initial copy: every row of the published tables as of one position, before the stream.
//!
//! The slot of the stream is created first. Then a second, temporary slot exports the snapshot of its creation, and several
//! sessions copy tables in that snapshot: a copy contains exactly the transactions that committed before the consistent
//! point of the second slot. The stream begins earlier, and leaves out the changes of a copied table that its copy contains:
//! there is no gap and no overlap. A copy that is resumed for the remaining tables works the same way.
//!
//! Large tables are cut into ranges of blocks, which connections copy side by side. A copy that is resumed by chunk has ranges of
//! several snapshots: `resumption.rs` says why nothing is missing then.

mod blocks;
mod chunks;
mod copy;
mod error;
mod export;
mod overlap;
mod part;
mod plan;
mod progress;
mod resumption;
mod rows;
mod storage;
mod table_rows;
mod tables;
mod taking;

pub use blocks::BlockSet;
pub use plan::{CopiedChunk, CopiedTable, PlannedTable, ResumedTable, SnapshotPlan, SnapshotRow};
pub use progress::{CopyChunk, CopyProgress, PartProgress};

pub(super) use copy::SnapshotCopy;
pub(super) use overlap::CopyOverlap;
pub(super) use progress::CopiesInProgress;
pub(super) use tables::{PublishedTable, published_tables};
