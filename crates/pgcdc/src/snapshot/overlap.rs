//! Which changes of the stream an initial copy contains already.

use std::collections::{BTreeMap, HashMap};

use crate::{Lsn, Relation, TableName};

/// The positions of the initial copies: a copy contains the transactions that committed before its position.
#[derive(Debug, Default)]
pub(crate) struct CopyOverlap {
    points: BTreeMap<TableName, Lsn>,
    by_oid: HashMap<u32, Lsn>,
    /// The latest of the positions: from here on there is no overlap.
    until: Lsn,
}

impl CopyOverlap {
    /// A table was copied as of `point`.
    pub(crate) fn add(&mut self, table: TableName, point: Lsn) {
        self.until = self.until.max(point);
        self.points.insert(table, point);
    }

    /// Whether a table was copied.
    pub(crate) fn has_copy(&self, table: &TableName) -> bool {
        self.points.contains_key(table)
    }

    /// The stream describes a table: its changes carry the OID alone.
    pub(crate) fn describe(&mut self, relation: &Relation) {
        if let Some(point) = self.points.get(&relation.table_name()) {
            self.by_oid.insert(relation.oid, *point);
        }
    }

    /// Whether the copy of this table contains the transaction that commits at `commit_lsn`.
    pub(crate) fn contains(&self, oid: u32, commit_lsn: Lsn) -> bool {
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
            unique_index: Vec::new(),
            columns: Vec::new(),
        };
        let mut overlap = CopyOverlap::default();
        overlap.add(relation(0, "a").table_name(), Lsn(100));
        overlap.add(relation(0, "b").table_name(), Lsn(200));
        for (oid, name) in [(1, "a"), (2, "b"), (3, "c")] {
            overlap.describe(&relation(oid, name));
        }
        let contains = |oid| [99, 100, 199, 200].map(|at| overlap.contains(oid, Lsn(at)));
        assert_eq!(contains(1), [true, false, false, false]);
        assert_eq!(contains(2), [true, true, true, false]);
        assert_eq!(contains(3), [false; 4], "not copied");
    }
}
