//! Transaction metadata (`provide.transaction.metadata`): the transaction of an event and its position there, and records for
//! each transaction's beginning and end.

use super::json;
use pgcdc::{Commit, Lsn, Transaction, Xid};

/// Name of the messages of `pg_logical_emit_message()` in the counts: `LogicalDecodingMessageId` of Debezium.
pub(super) const MESSAGES: &str = "LOGICAL_DECODING_MESSAGE";

/// Counts of the events of the current transaction.
#[derive(Debug, Default)]
pub(super) struct TransactionCounts {
    /// Its commit position, which is unique.
    transaction: Option<Lsn>,
    total: u64,
    /// Counts by the name of the table, in the order of their first events.
    tables: Vec<(String, u64)>,
}

impl TransactionCounts {
    /// Starts a new count with the first event of a transaction; returns whether it is the first.
    pub(super) fn enter(&mut self, transaction: &Transaction) -> bool {
        let commit = transaction.commit_lsn;
        if self.transaction == Some(commit) {
            return false;
        }
        *self = Self {
            transaction: Some(commit),
            ..Self::default()
        };
        true
    }

    /// Counts an event of a table at a position, and writes its `transaction` block.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        transaction: &Transaction,
        lsn: Lsn,
        table: &str,
    ) {
        self.total += 1;
        let in_table = match self.tables.iter_mut().find(|(name, _)| name == table) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.tables.push((table.to_owned(), 1));
                1
            }
        };
        // To Debezium, each message is a table of its own.
        let in_table = if table == MESSAGES { 1 } else { in_table };
        let id = id(transaction.xid, lsn);
        let total = self.total;
        json::raw(
            out,
            &format!(
                "{{\"id\":\"{id}\",\"total_order\":{total},\"data_collection_order\":{in_table}}}"
            ),
        );
    }
}

/// Identifier of a transaction at a position: transaction id and LSN.
fn id(xid: Xid, lsn: Lsn) -> String {
    format!("{xid}:{}", lsn.0)
}

/// Writes key and value of the record of a transaction's beginning, which comes with its first event, at this position.
pub(super) fn begin(key: &mut Vec<u8>, out: &mut Vec<u8>, transaction: &Transaction, lsn: Lsn) {
    let id = id(transaction.xid, lsn);
    boundary(key, out, "BEGIN", &id, transaction.commit_time.0);
    json::raw(out, ",\"event_count\":null,\"data_collections\":null}");
}

/// Writes key and value of the record of a transaction's end. Returns false when no event of it was written.
pub(super) fn end(
    key: &mut Vec<u8>,
    out: &mut Vec<u8>,
    counts: &mut TransactionCounts,
    commit: &Commit<'_>,
) -> bool {
    let transaction = commit.transaction;
    if counts.transaction != Some(transaction.commit_lsn) {
        return false;
    }
    let id = id(transaction.xid, commit.end_lsn);
    boundary(key, out, "END", &id, transaction.commit_time.0);
    json::raw(
        out,
        &format!(",\"event_count\":{},\"data_collections\":[", counts.total),
    );
    for (index, (table, count)) in counts.tables.iter().enumerate() {
        json::raw(
            out,
            if index > 0 {
                ",{\"data_collection\":"
            } else {
                "{\"data_collection\":"
            },
        );
        json::string(out, table);
        json::raw(out, &format!(",\"event_count\":{count}}}"));
    }
    json::raw(out, "]}");
    true
}

fn boundary(key: &mut Vec<u8>, out: &mut Vec<u8>, status: &str, id: &str, at: i64) {
    key.clear();
    json::raw(key, &format!("{{\"id\":\"{id}\"}}"));
    out.clear();
    json::raw(
        out,
        &format!(
            "{{\"status\":\"{status}\",\"id\":\"{id}\",\"ts_ms\":{}",
            at.div_euclid(1_000_000)
        ),
    );
}
