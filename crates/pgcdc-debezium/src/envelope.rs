//! Debezium's events: key and value of the records of a change.

use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{Change, Commit, Operation, Relation, SnapshotRow, TypeKind, UnixNanos};

use super::absent;
use super::error::EnvelopeError;
use super::json;
use super::number::Decimals;
use super::topic;
use super::transaction::{self, TransactionCounts};
use super::value;

/// Configuration of the events, by the names of Debezium's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeConfig {
    /// `topic.prefix`: the first part of topic names, and `source.name`.
    pub name: String,
    /// Name of the database: `source.db`.
    pub database: String,
    /// `source.version`.
    pub version: String,
    /// `decimal.handling.mode`.
    pub decimals: Decimals,
    /// `tombstones.on.delete`: whether a delete is followed by a record without a value.
    pub tombstones: bool,
    /// `provide.transaction.metadata`: whether events carry their transaction.
    pub transactions: bool,
}

impl EnvelopeConfig {
    /// Debezium's defaults, with this topic prefix.
    #[must_use]
    pub fn new(name: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            database: database.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            decimals: Decimals::default(),
            tombstones: true,
            transactions: false,
        }
    }
}

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
    value: Vec<u8>,
    counts: TransactionCounts,
}

impl Envelopes {
    /// A writer with this configuration.
    #[must_use]
    pub fn new(config: EnvelopeConfig) -> Self {
        Self {
            config,
            key: Vec::with_capacity(256),
            value: Vec::with_capacity(4_096),
            counts: TransactionCounts::default(),
        }
    }

    /// The topic of the records of transactions' beginnings and ends.
    #[must_use]
    pub fn transaction_topic(&self) -> String {
        topic::valid(&format!("{}.transaction", self.config.name))
    }

    /// The record of a transaction's beginning, with [`EnvelopeConfig::transactions`] and for the first change of a
    /// transaction. It comes before the change's own records.
    pub fn begin(&mut self, change: &Change<'_>) -> Option<Record<'_>> {
        if !self.config.transactions || !self.counts.enter(change) {
            return None;
        }
        transaction::begin(&mut self.key, &mut self.value, change);
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

    /// The topic of a table.
    #[must_use]
    pub fn topic(&self, relation: &Relation) -> String {
        topic::topic_name(&self.config.name, &relation.schema, &relation.name)
    }

    /// Passes the records of a change to `emit`: one, but two for a delete, which is followed by a tombstone, and a delete and
    /// a create for a change of the primary key. `now` is the time of the event.
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
        match change.operation {
            Operation::Read(_) => self.one(change, 'r', None, new, now, &mut emit),
            Operation::Insert => self.one(change, 'c', None, new, now, &mut emit),
            Operation::Update => match (old, new) {
                (Some(old), Some(new)) if changes_key(change.relation, old, new) => {
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
        let relation = change.relation;
        self.key.clear();
        if let Some(row) = after.or(before)
            && !relation.primary_key.is_empty()
        {
            let columns = relation.primary_key.iter();
            let cells = columns.filter_map(|&index| Some((index, row.get(index)?)));
            object(&mut self.key, relation, cells, None, self.config.decimals)?;
        }
        let out = &mut self.value;
        out.clear();
        for (name, row) in [("{\"before\":", before), (",\"after\":", after)] {
            json::raw(out, name);
            match row {
                Some(row) => {
                    let (cells, old) = (row.iter().enumerate(), change.old.as_ref());
                    object(out, relation, cells, old, self.config.decimals)?;
                }
                None => json::raw(out, "null"),
            }
        }
        source(out, &self.config, change);
        json::raw(out, ",\"transaction\":");
        if self.config.transactions && op != 'r' {
            // Even if the caller did not ask for the record of the beginning.
            self.counts.enter(change);
            self.counts.write(out, change);
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

/// Whether an update changes the primary key.
fn changes_key(relation: &Relation, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
    relation
        .primary_key
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
            TypeKind::Other | TypeKind::Interval | TypeKind::Money | TypeKind::Point
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
    decimals: Decimals,
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
            Value::Null => absent::write_null(out, column, decimals),
            Value::Unchanged => absent::write_unavailable(out, &column.kind),
            Value::Text(text) => {
                value::write(out, text, &column.kind, column.type_modifier, decimals)
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

/// Writes the `source` block.
fn source(out: &mut Vec<u8>, config: &EnvelopeConfig, change: &Change<'_>) {
    let (transaction, relation) = (change.transaction, change.relation);
    let unsigned = |out: &mut Vec<u8>, number: u64| json::raw(out, &number.to_string());
    json::raw(out, ",\"source\":{\"version\":");
    json::string(out, &config.version);
    json::raw(out, ",\"connector\":\"postgresql\",\"name\":");
    json::string(out, &config.name);
    let nanos = transaction.commit_time.0;
    json::raw(out, ",\"ts_ms\":");
    json::number(out, nanos.div_euclid(1_000_000));
    json::raw(out, ",\"snapshot\":\"");
    json::raw(out, snapshot(change.operation));
    json::raw(out, "\",\"db\":");
    json::string(out, &config.database);
    json::raw(out, ",\"sequence\":\"[");
    match transaction.previous {
        Some(lsn) => json::raw(out, &format!("\\\"{}\\\"", lsn.0)),
        None => json::raw(out, "null"),
    }
    json::raw(out, &format!(",\\\"{}\\\"]\",\"ts_us\":", change.lsn.0));
    json::number(out, nanos.div_euclid(1_000));
    json::raw(out, ",\"ts_ns\":");
    json::number(out, nanos);
    json::raw(out, ",\"schema\":");
    json::string(out, &relation.schema);
    json::raw(out, ",\"table\":");
    json::string(out, &relation.name);
    json::raw(out, ",\"txId\":");
    unsigned(out, u64::from(transaction.xid.0));
    json::raw(out, ",\"lsn\":");
    unsigned(out, change.lsn.0);
    json::raw(out, ",\"xmin\":null,\"origin\":");
    match &transaction.origin {
        Some(origin) => json::string(out, origin),
        None => json::raw(out, "null"),
    }
    json::raw(out, ",\"origin_lsn\":null}");
}

/// `source.snapshot`.
fn snapshot(operation: Operation) -> &'static str {
    match operation {
        Operation::Read(SnapshotRow::First) => "first",
        Operation::Read(SnapshotRow::FirstInTable) => "first_in_data_collection",
        Operation::Read(SnapshotRow::Inside) => "true",
        Operation::Read(SnapshotRow::LastInTable) => "last_in_data_collection",
        Operation::Read(SnapshotRow::Last) => "last",
        _ => "false",
    }
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
