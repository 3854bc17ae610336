//! Transaction metadata, `provide.transaction.metadata`: which transaction an event belongs to and where it stands in it, and
//! records of a topic of their own for each transaction's beginning and end.

use super::value;
use pgcdc::{Change, Commit, Lsn, Operation, TableName, Xid};

/// The events of the transaction at hand, counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Position of its commit, which no other has.
    transaction: Option<Lsn>,
    total: u64,
    /// By table, in the order of their first events.
    tables: Vec<(TableName, u64)>,
}

impl Counts {
    /// True when the change is the first of its transaction.
    pub(super) fn enter(&mut self, change: &Change<'_>) -> bool {
        let commit = change.transaction.commit_lsn;
        if matches!(change.operation, Operation::Read(_)) || self.transaction == Some(commit) {
            return false;
        }
        *self = Self {
            transaction: Some(commit),
            ..Self::default()
        };
        true
    }

    /// Writes the block of an event, and counts it.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, change: &Change<'_>) {
        let relation = change.relation;
        let is_it = |(name, _): &&mut (TableName, u64)| {
            name.name == relation.name && name.schema == relation.schema
        };
        self.total += 1;
        let in_table = match self.tables.iter_mut().find(is_it) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.tables.push((relation.table_name(), 1));
                1
            }
        };
        let id = id(change.transaction.xid, change.lsn);
        let total = self.total;
        value::raw(
            out,
            &format!(
                "{{\"id\":\"{id}\",\"total_order\":{total},\"data_collection_order\":{in_table}}}"
            ),
        );
    }
}

/// Identifies a step of a transaction: its id, and the step's position.
fn id(xid: Xid, lsn: Lsn) -> String {
    format!("{xid}:{}", lsn.0)
}

/// Key and value of the record that stands for a transaction's beginning, which is said with its first change.
pub(super) fn begin(key: &mut Vec<u8>, out: &mut Vec<u8>, change: &Change<'_>) {
    let id = id(change.transaction.xid, change.lsn);
    boundary(key, out, "BEGIN", &id, change.transaction.commit_time.0);
    value::raw(out, ",\"event_count\":null,\"data_collections\":null}");
}

/// Key and value of the record that stands for its end. False when no event was written of it.
pub(super) fn end(
    key: &mut Vec<u8>,
    out: &mut Vec<u8>,
    counts: &mut Counts,
    commit: &Commit<'_>,
) -> bool {
    let transaction = commit.transaction;
    if counts.transaction != Some(transaction.commit_lsn) {
        return false;
    }
    let id = id(transaction.xid, commit.end_lsn);
    boundary(key, out, "END", &id, transaction.commit_time.0);
    value::raw(
        out,
        &format!(",\"event_count\":{},\"data_collections\":[", counts.total),
    );
    for (index, (table, count)) in counts.tables.iter().enumerate() {
        value::raw(
            out,
            if index > 0 {
                ",{\"data_collection\":"
            } else {
                "{\"data_collection\":"
            },
        );
        value::string(out, &table.to_string());
        value::raw(out, &format!(",\"event_count\":{count}}}"));
    }
    value::raw(out, "]}");
    true
}

fn boundary(key: &mut Vec<u8>, out: &mut Vec<u8>, status: &str, id: &str, at: i64) {
    key.clear();
    value::raw(key, &format!("{{\"id\":\"{id}\"}}"));
    out.clear();
    value::raw(
        out,
        &format!(
            "{{\"status\":\"{status}\",\"id\":\"{id}\",\"ts_ms\":{}",
            at.div_euclid(1_000_000)
        ),
    );
}
