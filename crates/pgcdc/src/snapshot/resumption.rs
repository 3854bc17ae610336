//! Which copies go on where an earlier one ended, and which begin anew.
//!
//! A copy that goes on has rows of several snapshots: blocks that were copied before as of those, the others as of the current
//! one. The stream delivers the changes of the table since the first of them. That is complete for a sink that knows rows by
//! their key:
//!
//! - a row in a block that is left to copy is copied as of now;
//! - a row in a block that was copied before is either as it was then, or was written since. A change since is in the stream; but
//!   the row may have come from a block that is left, and then the stream lacks the values that are stored out of line and did not
//!   change. So the rows of those blocks that were written since are copied again: their `xmin` is not before the first
//!   snapshot's;
//! - a row that is gone has its deletion in the stream.
//!
//! A file of its own for the table (`TRUNCATE`, `VACUUM FULL`, `CLUSTER`, rewriting `ALTER TABLE`) has rows in other blocks without
//! any change: then the copy begins anew.

use super::progress::{CopyProgress, PartProgress};
use super::storage::TableStorage;
use super::tables::PublishedTable;
use crate::Lsn;

/// Rows are compared with the horizon by 32 bits of their transaction's number: one that is further back could be taken for one
/// to come.
const OLDEST_HORIZON: u64 = 1 << 30;

/// A snapshot in which tables are copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct SnapshotPoint {
    pub(super) point: Lsn,
    /// `pg_snapshot_xmin`.
    pub(super) horizon: u64,
    /// Where the stream begins after the copy.
    pub(super) resume_lsn: Lsn,
}

/// The progress of a table's copy in this snapshot: where it goes on, or nothing yet; `None` for a table that cannot go on, for its
/// rows have no key.
pub(super) fn progress(
    table: &PublishedTable,
    storage: &TableStorage,
    known: Option<&CopyProgress>,
    snapshot: SnapshotPoint,
) -> Option<CopyProgress> {
    let known = known.filter(|known| known.has_chunks());
    if !storage.has_key {
        if let Some(known) = known {
            begins_anew(table, known, "it no longer has a key");
        }
        return None;
    }
    let parts = storage.parts.iter().filter(|part| part.blocks.is_some());
    let fresh = CopyProgress {
        point: snapshot.point,
        horizon: snapshot.horizon,
        selection: table.selection(&table.source(), &[]),
        publications: table.publications(),
        parts: parts
            .map(|part| {
                let filenode = part.filenode;
                let done = Default::default();
                (part.oid, PartProgress { filenode, done })
            })
            .collect(),
    };
    let Some(known) = known else {
        return Some(fresh);
    };
    match merged(known, &fresh, snapshot.resume_lsn) {
        Ok(merged) => Some(merged),
        Err(reason) => {
            begins_anew(table, known, reason);
            Some(fresh)
        }
    }
}

fn begins_anew(table: &PublishedTable, known: &CopyProgress, reason: &str) {
    tracing::warn!(table = %table.name(), begun_at = %known.point, "the copy of the table begins anew: {reason}");
}

/// What is known, with the parts that the table has now; or why the copy cannot go on.
fn merged(
    known: &CopyProgress,
    fresh: &CopyProgress,
    resume_lsn: Lsn,
) -> Result<CopyProgress, &'static str> {
    if resume_lsn > known.point {
        return Err("the stream has gone on since it began");
    }
    if known.publications != fresh.publications {
        return Err("its publications have been altered since, which may have hidden changes");
    }
    if known.selection != fresh.selection {
        return Err("other columns or rows of it are published now");
    }
    if fresh.horizon.saturating_sub(known.horizon) > OLDEST_HORIZON {
        return Err("too many transactions have been made since it began");
    }
    let mut merged = fresh.clone();
    merged.point = known.point;
    merged.horizon = known.horizon;
    for (oid, part) in &known.parts {
        if part.done.ranges().is_empty() {
            continue;
        }
        match merged.parts.get_mut(oid) {
            Some(now) if now.filenode == part.filenode => now.done = part.done.clone(),
            Some(_) => {
                return Err(
                    "it was truncated or rewritten since (TRUNCATE, VACUUM FULL, CLUSTER, ALTER TABLE), and its rows are in other blocks",
                );
            }
            None => return Err("a partition that was copied is no longer one of it"),
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::CopyChunk;

    fn progress(point: u64, parts: &[(u32, u32)]) -> CopyProgress {
        let part = |(oid, filenode): &(u32, u32)| {
            let done = Default::default();
            let filenode = *filenode;
            (*oid, PartProgress { filenode, done })
        };
        CopyProgress {
            point: Lsn(point),
            horizon: point,
            selection: "SELECT id FROM t".to_owned(),
            publications: "16400@741:16401".to_owned(),
            parts: parts.iter().map(part).collect(),
        }
    }

    fn merged(known: &CopyProgress, fresh: &CopyProgress) -> Result<CopyProgress, &'static str> {
        super::merged(known, fresh, known.point)
    }

    #[test]
    fn a_copy_goes_on_where_the_same_rows_are_in_the_same_blocks() {
        let mut known = progress(5, &[(1, 10), (2, 20)]);
        known.add(&CopyChunk {
            point: Lsn(5),
            part: 1,
            blocks: 0..8,
        });
        // A partition that was attached since, and one of which nothing was copied.
        let now = progress(9, &[(1, 10), (2, 21), (3, 30)]);
        let goes_on = merged(&known, &now).unwrap();
        assert_eq!((goes_on.point, goes_on.horizon), (Lsn(5), 5));
        assert_eq!(goes_on.parts[&1], known.parts[&1]);
        assert_eq!(goes_on.parts[&2], now.parts[&2]);
        assert!(
            merged(&known, &progress(9, &[(1, 11)])).is_err(),
            "rewritten"
        );
        assert!(
            merged(&known, &progress(9, &[(2, 20)])).is_err(),
            "detached"
        );
        let mut other = now.clone();
        other.selection += " WHERE id > 5";
        assert!(merged(&known, &other).is_err(), "another filter");
        let mut other = now.clone();
        other.publications = "16400@741:16402".to_owned();
        assert!(merged(&known, &other).is_err(), "out and in again");
        assert!(
            super::merged(&known, &now, Lsn(6)).is_err(),
            "not in between"
        );
        let late = progress(OLDEST_HORIZON + 6, &[(1, 10)]);
        assert!(merged(&known, &late).is_err(), "too old");
    }
}
