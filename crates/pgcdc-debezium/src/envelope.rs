//! Debezium's events: key and value of the records of a change.

use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{
    Change, Commit, LogicalMessage, Lsn, Operation, Relation, Transaction, TypeKind, UnixNanos,
};

use super::absent;
use super::config::{EnvelopeConfig, MessageKey};
use super::error::EnvelopeError;
use super::json;
use super::number::NumberFormat;
use super::source::{self, Source};
use super::topic;
use super::transaction::{self, MESSAGES, TransactionCounts};
use super::value;

/// A record to write: to Kafka, or as a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its key, JSON; `None` for a table without a key.
    pub key: Option<&'a [u8]>,
    /// Its value, JSON; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Writes events, in reused buffers.
#[derive(Debug)]
pub struct Envelopes {
    config: EnvelopeConfig,
    key: Vec<u8>,
    /// Positions of the key's columns in the row of the current change.
    key_columns: Vec<usize>,
    value: Vec<u8>,
    counts: TransactionCounts,
    /// Position of the last message outside of a transaction: to Debezium it is a commit.
    last_message: Option<Lsn>,
    /// Commit time of the last transaction, which Debezium gives to such messages.
    last_commit_time: Option<UnixNanos>,
}

impl Envelopes {
    /// A writer with this configuration.
    #[must_use]
    pub fn new(config: EnvelopeConfig) -> Self {
        Self {
            config,
            key: Vec::with_capacity(256),
            key_columns: Vec::new(),
            value: Vec::with_capacity(4_096),
            counts: TransactionCounts::default(),
            last_message: None,
            last_commit_time: None,
        }
    }

    /// The topic of the records of transactions' beginnings and ends.
    #[must_use]
    pub fn transaction_topic(&self) -> String {
        format!("{}.transaction", self.config.name)
    }

    /// The topic of messages of `pg_logical_emit_message()`.
    #[must_use]
    pub fn message_topic(&self) -> String {
        format!("{}.message", self.config.name)
    }

    /// The record of a transaction's beginning, with [`EnvelopeConfig::transactions`] and for the first event of a
    /// transaction. It comes before the change's own records.
    pub fn begin(&mut self, change: &Change<'_>) -> Option<Record<'_>> {
        match change.operation {
            Operation::Read(_) => None,
            _ => self.begin_at(change.transaction, change.lsn),
        }
    }

    /// The same before the record of a message.
    pub fn begin_with_message(&mut self, message: &LogicalMessage<'_>) -> Option<Record<'_>> {
        self.begin_at(message.transaction?, message.lsn)
    }

    fn begin_at(&mut self, transaction: &Transaction, lsn: Lsn) -> Option<Record<'_>> {
        if !self.config.transactions || !self.counts.enter(transaction) {
            return None;
        }
        transaction::begin(&mut self.key, &mut self.value, transaction, lsn);
        Some(Record {
            key: Some(&self.key),
            value: Some(&self.value),
        })
    }

    /// The record of a transaction's end, with [`EnvelopeConfig::transactions`] and for a transaction of which an event was
    /// written.
    pub fn end(&mut self, commit: &Commit<'_>) -> Option<Record<'_>> {
        let (key, value) = (&mut self.key, &mut self.value);
        if !self.config.transactions || !transaction::end(key, value, &mut self.counts, commit) {
            return None;
        }
        Some(Record {
            key: Some(key),
            value: Some(value),
        })
    }

    /// The topic of a table: prefix, schema and table, with `_` for what Kafka does not allow in a name. Two tables may have one
    /// topic, as with Debezium.
    #[must_use]
    pub fn topic(&self, relation: &Relation) -> String {
        topic::of_table(&self.config.name, relation)
    }

    /// The record of a message of `pg_logical_emit_message()`. `now` is the time of the event.
    pub fn message(&mut self, message: &LogicalMessage<'_>, now: UnixNanos) -> Record<'_> {
        self.key.clear();
        json::raw(&mut self.key, "{\"prefix\":");
        json::string(&mut self.key, message.prefix);
        self.key.push(b'}');
        match message.transaction {
            Some(transaction) => self.last_commit_time = Some(transaction.commit_time),
            None => self.last_message = Some(message.lsn),
        }
        let previous = match message.transaction {
            Some(transaction) => self.previous(transaction),
            None => self.last_message,
        };
        let out = &mut self.value;
        out.clear();
        json::raw(out, "{\"op\":\"m\",\"ts_ms\":");
        json::number(out, now.0.div_euclid(1_000_000));
        let source = Source {
            at: self.last_commit_time.unwrap_or(now),
            snapshot: "false",
            previous,
            lsn: message.lsn,
            schema: "",
            table: "",
            xid: message.transaction.map(|transaction| transaction.xid),
            origin: message.transaction.and_then(|t| t.origin.as_deref()),
        };
        source::write(out, &self.config, &source);
        json::raw(out, ",\"transaction\":");
        match message.transaction {
            Some(transaction) if self.config.transactions => {
                self.counts.enter(transaction);
                self.counts.write(out, transaction, message.lsn, MESSAGES);
            }
            _ => json::raw(out, "null"),
        }
        json::raw(out, ",\"message\":{\"prefix\":");
        json::string(out, message.prefix);
        json::raw(out, ",\"content\":");
        json::base64(out, message.content);
        json::raw(out, "}}");
        Record {
            key: Some(&self.key),
            value: Some(&self.value),
        }
    }

    /// Position of the last commit before a transaction.
    fn previous(&self, transaction: &Transaction) -> Option<Lsn> {
        transaction.previous.max(self.last_message)
    }

    /// Passes the records of a change to `emit`: one, but two for a delete, which is followed by a tombstone, and a delete and
    /// a create for a change of the key. `now` is the time of the event.
    ///
    /// # Errors
    /// When a value is in binary format, or not of its column's type.
    pub fn write(
        &mut self,
        change: &Change<'_>,
        now: UnixNanos,
        mut emit: impl FnMut(Record<'_>),
    ) -> Result<(), EnvelopeError> {
        let old = change.old.as_ref().map(|old| match old {
            OldTuple::Key(row) | OldTuple::Full(row) => row,
        });
        let new = change.new.as_ref();
        set_key_columns(&mut self.key_columns, &self.config, change.relation);
        match change.operation {
            Operation::Read(_) => self.one(change, 'r', None, new, now, &mut emit),
            Operation::Insert => self.one(change, 'c', None, new, now, &mut emit),
            Operation::Update => match (old, new) {
                (Some(old), Some(new)) if changes_key(&self.key_columns, old, new) => {
                    self.delete(change, Some(old), now, &mut emit)?;
                    self.one(change, 'c', None, Some(new), now, &mut emit)
                }
                (old, new) => self.one(change, 'u', old, new, now, &mut emit),
            },
            Operation::Delete => self.delete(change, old, now, &mut emit),
            Operation::Truncate { .. } => self.one(change, 't', None, None, now, &mut emit),
        }
    }

    fn delete(
        &mut self,
        change: &Change<'_>,
        old: Option<&Tuple<'_>>,
        now: UnixNanos,
        emit: &mut impl FnMut(Record<'_>),
    ) -> Result<(), EnvelopeError> {
        self.one(change, 'd', old, None, now, emit)?;
        if self.config.tombstones {
            emit(Record {
                key: (!self.key.is_empty()).then_some(&self.key),
                value: None,
            });
        }
        Ok(())
    }

    fn one(
        &mut self,
        change: &Change<'_>,
        op: char,
        before: Option<&Tuple<'_>>,
        after: Option<&Tuple<'_>>,
        now: UnixNanos,
        emit: &mut impl FnMut(Record<'_>),
    ) -> Result<(), EnvelopeError> {
        let (relation, transaction) = (change.relation, change.transaction);
        let numbers = NumberFormat {
            decimals: self.config.decimals,
            money_scale: self.config.money_fraction_digits,
        };
        let previous = self.previous(transaction);
        self.last_commit_time = Some(transaction.commit_time);
        self.key.clear();
        if let Some(row) = after.or(before)
            && !self.key_columns.is_empty()
        {
            let columns = self.key_columns.iter();
            let cells = columns.filter_map(|&index| Some((index, row.get(index)?)));
            object(&mut self.key, relation, cells, None, numbers)?;
        }
        let out = &mut self.value;
        out.clear();
        for (name, row) in [("{\"before\":", before), (",\"after\":", after)] {
            json::raw(out, name);
            match row {
                Some(row) => {
                    let (cells, old) = (row.iter().enumerate(), change.old.as_ref());
                    object(out, relation, cells, old, numbers)?;
                }
                None => json::raw(out, "null"),
            }
        }
        let source = Source {
            at: transaction.commit_time,
            snapshot: source::snapshot(change.operation),
            previous,
            lsn: change.lsn,
            schema: &relation.schema,
            table: &relation.name,
            xid: Some(transaction.xid),
            origin: transaction.origin.as_deref(),
        };
        source::write(out, &self.config, &source);
        json::raw(out, ",\"transaction\":");
        if self.config.transactions && op != 'r' {
            // Even if the caller did not ask for the record of the beginning.
            self.counts.enter(transaction);
            let table = relation.to_string();
            self.counts.write(out, transaction, change.lsn, &table);
        } else {
            json::raw(out, "null");
        }
        json::raw(out, ",\"op\":\"");
        out.push(u8::try_from(op).unwrap_or(b'?'));
        out.push(b'"');
        times(out, now.0);
        out.push(b'}');
        emit(Record {
            key: (!self.key.is_empty()).then_some(&self.key),
            value: Some(&self.value),
        });
        Ok(())
    }
}

/// Sets the positions of the columns of the key: those that the configuration says, those of the primary key, or of a unique index
/// where there is none.
fn set_key_columns(columns: &mut Vec<usize>, config: &EnvelopeConfig, relation: &Relation) {
    columns.clear();
    let is_it =
        |key: &&MessageKey| key.table.schema == relation.schema && key.table.name == relation.name;
    if let Some(key) = config.message_keys.iter().find(is_it) {
        let position = |name: &String| relation.columns.iter().position(|c| c.name == *name);
        columns.extend(key.columns.iter().filter_map(position));
    } else if relation.primary_key.is_empty() {
        columns.extend_from_slice(&relation.unique_index);
    } else {
        columns.extend_from_slice(&relation.primary_key);
    }
}

/// Whether an update changes the key.
fn changes_key(columns: &[usize], old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
    columns
        .iter()
        .any(|&index| match (old.get(index), new.get(index)) {
            // A column that is not sent did not change.
            (_, Some(Value::Unchanged)) => false,
            (old, new) => old != new,
        })
}

/// Whether Debezium's events contain columns of this type.
fn is_represented(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Other => false,
        TypeKind::Array(element) => !matches!(
            **element,
            TypeKind::Other | TypeKind::Interval | TypeKind::Money { .. } | TypeKind::Point
        ),
        _ => true,
    }
}

/// Writes a row or its key: values with the positions of their columns.
fn object<'a>(
    out: &mut Vec<u8>,
    relation: &Relation,
    cells: impl Iterator<Item = (usize, Value<'a>)>,
    old: Option<&OldTuple<'a>>,
    numbers: NumberFormat,
) -> Result<(), EnvelopeError> {
    out.push(b'{');
    let start = out.len();
    for (index, mut cell) in cells {
        let Some(column) = relation.columns.get(index) else {
            continue;
        };
        // With REPLICA IDENTITY FULL, the old row has the value that the new one lacks.
        if cell == Value::Unchanged
            && let Some(OldTuple::Full(old)) = old
        {
            cell = old.get(index).unwrap_or(cell);
        }
        if !is_represented(&column.kind) {
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        json::string(out, &column.name);
        out.push(b':');
        match cell {
            Value::Null => absent::write_null(out, column, numbers),
            Value::Unchanged => absent::write_unavailable(out, &column.kind),
            Value::Text(text) => {
                value::write(out, text, &column.kind, column.type_modifier, numbers)
                    .map_err(|_| EnvelopeError::malformed(relation, column, text))?;
            }
            Value::Binary(_) => {
                return Err(EnvelopeError::Binary {
                    relation: relation.to_string(),
                    column: column.name.clone(),
                });
            }
        }
    }
    out.push(b'}');
    Ok(())
}

/// The event's own time, in three units.
fn times(out: &mut Vec<u8>, nanos: i64) {
    json::raw(out, ",\"ts_ms\":");
    json::number(out, nanos.div_euclid(1_000_000));
    json::raw(out, ",\"ts_us\":");
    json::number(out, nanos.div_euclid(1_000));
    json::raw(out, ",\"ts_ns\":");
    json::number(out, nanos);
}
