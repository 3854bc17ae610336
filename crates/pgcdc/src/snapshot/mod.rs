//! The initial copy: every row of the published tables as of one position, before the stream.
//!
//! The slot is made first. Then a second, temporary one exports the snapshot of its creation, and several sessions copy
//! tables under it, so that a copy sees exactly the transactions that committed before that slot's consistent point. The
//! stream, which begins earlier, leaves out of a copied table's changes those that its copy has: no gap and no overlap, and a
//! copy that is taken up again for the tables it lacked works the same way.

mod copy;
mod rows;
mod session;
mod tables;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) use copy::Copying;
pub(super) use tables::{Published, published};

use super::{Lsn, Relation, TableName};
use crate::clock::UnixNanos;

/// How the initial copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Tables that are copied at once, each over a connection of its own.
    pub connections: usize,
}

impl Default for SnapshotConfig {
    /// Four tables at once.
    fn default() -> Self {
        Self { connections: 4 }
    }
}

/// What an initial copy is about to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// The rows are as they were at this position: every transaction that committed before it is in them.
    pub point: Lsn,
    /// When that was, on PostgreSQL's clock.
    pub taken_at: UnixNanos,
    /// The tables that come; those that a checkpoint says are copied do not.
    pub tables: Vec<PlannedTable>,
}

/// A table that is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTable {
    /// The table as it is published: its columns, without those that a column list leaves out.
    pub relation: Arc<Relation>,
    /// Its rows, as the server's statistics have them; `None` for a table that was never analysed.
    pub estimated_rows: Option<u64>,
}

/// A table that has been handed over whole.
#[derive(Debug, Clone, Copy)]
pub struct CopiedTable<'a> {
    /// Which.
    pub relation: &'a Arc<Relation>,
    /// The position its rows stand for.
    pub point: Lsn,
    /// How many there were.
    pub rows: u64,
    /// Tables that are still to come.
    pub left: usize,
}

/// Where a row stands in its initial copy: `source.snapshot` in Debezium's envelope. One that is the last of anything is told
/// as that, also when it is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotRow {
    /// The first of all.
    First,
    /// The first of its table.
    FirstInTable,
    /// Any other.
    Inside,
    /// The last of its table.
    LastInTable,
    /// The last of all.
    Last,
}

/// Which changes of the stream a copy has already: those of its transactions that committed before the copy's position.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    points: BTreeMap<TableName, Lsn>,
    by_oid: HashMap<u32, Lsn>,
    /// From here on there is none.
    until: Lsn,
}

impl Overlap {
    /// A table has been copied as of `point`.
    pub(super) fn add(&mut self, table: TableName, point: Lsn) {
        self.until = self.until.max(point);
        self.points.insert(table, point);
    }

    /// Whether a table has been copied.
    pub(super) fn has_copy(&self, table: &TableName) -> bool {
        self.points.contains_key(table)
    }

    /// The stream describes a table.
    pub(super) fn describe(&mut self, relation: &Relation) {
        if let Some(point) = self.points.get(&relation.table_name()) {
            self.by_oid.insert(relation.oid, *point);
        }
    }

    /// Whether a change of this table, in a transaction that commits there, is in the table's copy.
    pub(super) fn has(&self, oid: u32, commit_lsn: Lsn) -> bool {
        commit_lsn < self.until
            && self
                .by_oid
                .get(&oid)
                .is_some_and(|point| commit_lsn < *point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_in_a_copy_when_it_committed_before_its_point() {
        let relation = |oid, name: &str| Relation {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            replica_identity: crate::ReplicaIdentity::Default,
            primary_key: Vec::new(),
            columns: Vec::new(),
        };
        let mut overlap = Overlap::default();
        overlap.add(relation(0, "a").table_name(), Lsn(100));
        overlap.add(relation(0, "b").table_name(), Lsn(200));
        for (oid, name) in [(1, "a"), (2, "b"), (3, "c")] {
            overlap.describe(&relation(oid, name));
        }
        let has = |oid| [99, 100, 199, 200].map(|at| overlap.has(oid, Lsn(at)));
        assert_eq!(has(1), [true, false, false, false]);
        assert_eq!(has(2), [true, true, true, false]);
        assert_eq!(has(3), [false; 4], "not copied");
    }
}
