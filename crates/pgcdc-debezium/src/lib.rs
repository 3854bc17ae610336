//! Changes as Debezium's events: what its JsonConverter writes without schemas, so that its consumers can be ours.
//!
//! Where Debezium leaves a type out (composites, multiranges, geometry but points, arrays of those), so do we. Where it
//! writes something that is not the value, we write the value:
//!
//! | type | Debezium 3.6 writes | we write |
//! | --- | --- | --- |
//! | `name` | null | the name |
//! | `bit(n)[]` | null | the bits of each |
//! | a default with a quote in it, for null | the text before the quote | the default |
//! | `int[][]` and other arrays of arrays | null, or a name of Java's, for each inner one | the inner arrays |
//! | an infinite `date`, or one BC, in an initial copy | another number of days than in its stream | the stream's |
//!
//! And where it writes something surprising that consumers may rely on, we write the same: for null a column's default,
//! where that is a constant (`replace.null.with.default` of the converter), and its type's zero where it may not be null
//! and the old row does not tell it; bits without the zeros before them, `numeric[]` with a NaN in it as null,
//! `numeric(5,-2)` has a scale of 2046, an infinite `date` is a number of days that means none, timestamps beyond what
//! microseconds of 64 bits hold overflow.
//!
//! In a record of a transaction's end, tables stand in the order of their first events; Debezium has them in none.

mod decimal;
mod flat;
mod time;
mod transaction;
mod value;

use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{Change, Column, Commit, Operation, Relation, SnapshotRow, TypeKind, UnixNanos};

use transaction::Counts;

pub use flat::write_flat;
pub use value::{Decimals, UNAVAILABLE};

/// As much of a text as an error has room for.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// How events are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeConfig {
    /// `topic.prefix`: first part of the topics' names, and `source.name`.
    pub name: String,
    /// The database.
    pub database: String,
    /// `source.version`.
    pub version: String,
    /// `decimal.handling.mode`.
    pub decimals: Decimals,
    /// Whether a delete is followed by a record without a value: `tombstones.on.delete`.
    pub tombstones: bool,
    /// Whether events say which transaction they belong to: `provide.transaction.metadata`.
    pub transactions: bool,
}

impl EnvelopeConfig {
    /// As Debezium is by default, under this name.
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

/// A record of Kafka's, or a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its key, JSON; `None` where the table has no key.
    pub key: Option<&'a [u8]>,
    /// Its value, JSON; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Why a change cannot be written as an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It came in binary format.
    #[error(
        "{relation}.{column} came in PostgreSQL's binary format; events are made of its text format"
    )]
    Binary {
        /// Table.
        relation: String,
        /// Column.
        column: String,
    },
    /// It is no value of its column's type: whoever wrote it is no PostgreSQL that we know.
    #[error("{relation}.{column} holds {found:?}, which is no value of its type")]
    Malformed {
        /// Table.
        relation: String,
        /// Column.
        column: String,
        /// What it holds, cut short.
        found: String,
    },
}

impl EnvelopeError {
    fn malformed(relation: &Relation, column: &Column, text: &str) -> Self {
        Self::Malformed {
            relation: relation.to_string(),
            column: column.name.clone(),
            found: shortened(text).to_owned(),
        }
    }
}

/// Makes events, in buffers that are used again.
#[derive(Debug)]
pub struct Envelopes {
    config: EnvelopeConfig,
    key: Vec<u8>,
    value: Vec<u8>,
    counts: Counts,
}

impl Envelopes {
    /// With empty buffers.
    #[must_use]
    pub fn new(config: EnvelopeConfig) -> Self {
        Self {
            config,
            key: Vec::with_capacity(256),
            value: Vec::with_capacity(4_096),
            counts: Counts::default(),
        }
    }

    /// The topic of transactions' beginnings and ends.
    #[must_use]
    pub fn transaction_topic(&self) -> String {
        format!("{}.transaction", self.config.name)
    }

    /// The record of a transaction's beginning, where transactions are asked for and this is the first change of one. It
    /// stands before the change's own.
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

    /// The record of a transaction's end, where transactions are asked for and something was written of it.
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
        format!("{}.{relation}", self.config.name)
    }

    /// The records of a change: one, but for a delete, which has a tombstone behind it, and a change of the key, which is
    /// a delete and a create. `now` is when the event is made.
    ///
    /// # Errors
    /// When the change is in binary format, or holds what is no value of its column's type.
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
                (Some(old), Some(new)) if moves(change.relation, old, new) => {
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
            value::raw(out, name);
            match row {
                Some(row) => {
                    let (cells, old) = (row.iter().enumerate(), change.old.as_ref());
                    object(out, relation, cells, old, self.config.decimals)?;
                }
                None => value::raw(out, "null"),
            }
        }
        source(out, &self.config, change);
        value::raw(out, ",\"transaction\":");
        if self.config.transactions && op != 'r' {
            // Also where nobody asked for the beginning's record.
            self.counts.enter(change);
            self.counts.write(out, change);
        } else {
            value::raw(out, "null");
        }
        value::raw(out, ",\"op\":\"");
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
fn moves(relation: &Relation, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
    relation
        .primary_key
        .iter()
        .any(|&index| match (old.get(index), new.get(index)) {
            // What is not sent did not change.
            (_, Some(Value::Unchanged)) => false,
            (old, new) => old != new,
        })
}

/// Whether Debezium's events have a column of this type.
fn has_a_form(kind: &TypeKind) -> bool {
    match kind {
        TypeKind::Other => false,
        TypeKind::Array(element) => !matches!(
            **element,
            TypeKind::Other | TypeKind::Interval | TypeKind::Money | TypeKind::Point
        ),
        _ => true,
    }
}

/// A row, or its key: values with the positions of their columns.
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
        // Where the replica identity is the whole row, the old one has what the new one lacks.
        if cell == Value::Unchanged
            && let Some(OldTuple::Full(old)) = old
        {
            cell = old.get(index).unwrap_or(cell);
        }
        if !has_a_form(&column.kind) {
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        value::string(out, &column.name);
        out.push(b':');
        match cell {
            Value::Null => value::write_null(out, column, decimals),
            Value::Unchanged => value::write_unavailable(out, &column.kind),
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

fn source(out: &mut Vec<u8>, config: &EnvelopeConfig, change: &Change<'_>) {
    let (transaction, relation) = (change.transaction, change.relation);
    let unsigned = |out: &mut Vec<u8>, number: u64| value::raw(out, &number.to_string());
    value::raw(out, ",\"source\":{\"version\":");
    value::string(out, &config.version);
    value::raw(out, ",\"connector\":\"postgresql\",\"name\":");
    value::string(out, &config.name);
    let nanos = transaction.commit_time.0;
    value::raw(out, ",\"ts_ms\":");
    value::number(out, nanos.div_euclid(1_000_000));
    value::raw(out, ",\"snapshot\":\"");
    value::raw(out, snapshot(change.operation));
    value::raw(out, "\",\"db\":");
    value::string(out, &config.database);
    value::raw(out, ",\"sequence\":\"[");
    match transaction.previous {
        Some(lsn) => value::raw(out, &format!("\\\"{}\\\"", lsn.0)),
        None => value::raw(out, "null"),
    }
    value::raw(out, &format!(",\\\"{}\\\"]\",\"ts_us\":", change.lsn.0));
    value::number(out, nanos.div_euclid(1_000));
    value::raw(out, ",\"ts_ns\":");
    value::number(out, nanos);
    value::raw(out, ",\"schema\":");
    value::string(out, &relation.schema);
    value::raw(out, ",\"table\":");
    value::string(out, &relation.name);
    value::raw(out, ",\"txId\":");
    unsigned(out, u64::from(transaction.xid.0));
    value::raw(out, ",\"lsn\":");
    unsigned(out, change.lsn.0);
    value::raw(out, ",\"xmin\":null,\"origin\":");
    match &transaction.origin {
        Some(origin) => value::string(out, origin),
        None => value::raw(out, "null"),
    }
    value::raw(out, ",\"origin_lsn\":null}");
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

/// The event's own time, three times.
fn times(out: &mut Vec<u8>, nanos: i64) {
    value::raw(out, ",\"ts_ms\":");
    value::number(out, nanos.div_euclid(1_000_000));
    value::raw(out, ",\"ts_us\":");
    value::number(out, nanos.div_euclid(1_000));
    value::raw(out, ",\"ts_ns\":");
    value::number(out, nanos);
}
