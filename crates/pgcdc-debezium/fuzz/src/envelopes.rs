//! Events of changes with any values in columns of any types.

use std::sync::Arc;

use pgcdc::pgoutput::{OldTuple, TupleBuffer, Value};
use pgcdc::{
    BinaryFormat, Change, Column, Lsn, Operation, Relation, ReplicaIdentity, Transaction, TypeKind,
    UnixNanos, Xid,
};
use pgcdc_debezium::{Decimals, EnvelopeConfig, Envelopes, write_flat};
use serde_json::value::RawValue;

use super::most_memory;

/// Every kind of value, arrays aside.
const KINDS: [TypeKind; 23] = [
    TypeKind::Bool,
    TypeKind::Integer,
    TypeKind::Float,
    TypeKind::Numeric,
    TypeKind::Money { decimals: 2 },
    TypeKind::Text,
    TypeKind::Json,
    TypeKind::Uuid,
    TypeKind::Bytea,
    TypeKind::Date,
    TypeKind::Time,
    TypeKind::TimeTz,
    TypeKind::Timestamp,
    TypeKind::TimestampTz,
    TypeKind::Interval,
    TypeKind::Bits,
    TypeKind::Hstore,
    TypeKind::Point,
    TypeKind::Vector,
    TypeKind::HalfVector,
    TypeKind::SparseVector,
    TypeKind::Geometry,
    TypeKind::Other,
];
/// `json`, which plain events hold as it is, and `text`.
const OIDS: [u32; 2] = [114, 25];
const OPERATIONS: [Operation; 4] = [
    Operation::Insert,
    Operation::Update,
    Operation::Delete,
    Operation::Truncate {
        cascade: false,
        restart_identity: false,
    },
];
const DECIMALS: [Decimals; 3] = [Decimals::Precise, Decimals::Double, Decimals::Text];

/// Memory of the events without their values: a delete and a create, keys, and the placeholders of values that were not
/// sent, which for bits are as long as their column.
const FRAME: usize = 256 * 1_024;
/// Most memory for a byte of a value: six bytes of JSON when it is escaped, in the event, its key and the copies of this
/// test, in buffers that double.
const MEMORY_PER_BYTE: usize = 6 * 4 * 3;

/// Every event is one JSON document on one line, in memory proportional to its values.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    let mut input = FuzzInput(bytes);
    let operation = input.one_of(&OPERATIONS);
    let decimals = input.one_of(&DECIMALS);
    let shape = input.byte();
    let mut columns = Vec::new();
    let (mut new, mut old) = (Vec::new(), Vec::new());
    while !input.0.is_empty() && columns.len() < 8 {
        columns.push(input.column());
        new.push(input.value());
        // Most columns of an old row equal the new ones.
        old.push(if shape & 4 == 0 {
            new[new.len() - 1].clone()
        } else {
            input.value()
        });
    }
    let primary_key = (0..columns.len())
        .filter(|&index| columns[index].key)
        .collect();
    let relation = Arc::new(Relation {
        oid: 1,
        schema: "s".to_owned(),
        name: "t\"".to_owned(),
        replica_identity: ReplicaIdentity::Full,
        primary_key,
        unique_index: Vec::new(),
        columns,
    });
    let transaction = Transaction {
        xid: Xid(7),
        commit_lsn: Lsn(8),
        commit_time: UnixNanos(i64::from(shape) - 100),
        previous: (shape & 8 != 0).then_some(Lsn(1)),
        origin: (shape & 16 != 0).then(|| "o\"\n".to_owned()),
        gid: None,
    };
    let after: TupleBuffer = new.iter().map(OwnedValue::borrow).collect();
    let before: TupleBuffer = old.iter().map(OwnedValue::borrow).collect();
    let change = Change {
        relation: &relation,
        operation,
        new: (shape & 1 == 0).then(|| after.tuple()),
        old: match shape >> 6 {
            0 => None,
            1 => Some(OldTuple::Key(before.tuple())),
            _ => Some(OldTuple::Full(before.tuple())),
        },
        transaction: &transaction,
        lsn: Lsn(5),
        index: 0,
        received: UnixNanos(0),
    };
    let mut config = EnvelopeConfig::new("n", "d");
    config.decimals = decimals;
    let mut records = Vec::new();
    let memory = most_memory(|| {
        // A change that cannot be written is an error, which is fine.
        let _ = Envelopes::new(config).write(&change, UnixNanos(9), |record| {
            records.extend(record.key.map(<[u8]>::to_vec));
            records.extend(record.value.map(<[u8]>::to_vec));
        });
    });
    records.iter().for_each(|json| is_one_document(json));
    let mut line = b"before".to_vec();
    let flat = most_memory(|| match write_flat(&mut line, &change) {
        Ok(()) => {}
        Err(_) => assert_eq!(line, b"before"),
    });
    if line != b"before" {
        is_one_document(&line[6..]);
    }
    let held: usize = [&new, &old]
        .into_iter()
        .flatten()
        .map(OwnedValue::len)
        .sum();
    let most = FRAME + held * MEMORY_PER_BYTE;
    assert!(
        memory.max(flat) <= most,
        "{memory} and {flat} bytes of memory for values of {held}"
    );
}

fn is_one_document(json: &[u8]) {
    let shown = String::from_utf8_lossy(json);
    assert!(!json.contains(&b'\n'), "more than one line: {shown}");
    if let Err(error) = serde_json::from_slice::<&RawValue>(json) {
        panic!("{error}: {shown}");
    }
}

/// An owned value.
#[derive(Clone)]
enum OwnedValue {
    Null,
    Unchanged,
    Text(String),
    Binary(Vec<u8>),
}

impl OwnedValue {
    fn len(&self) -> usize {
        match self {
            Self::Null | Self::Unchanged => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn borrow(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Unchanged => Value::Unchanged,
            Self::Text(text) => Value::Text(text),
            Self::Binary(bytes) => Value::Binary(bytes),
        }
    }
}

/// The rest of the fuzzer's bytes; zeros after their end.
struct FuzzInput<'a>(&'a [u8]);

impl<'a> FuzzInput<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()].clone()
    }

    /// The bytes up to the next 0xff, which no text holds.
    fn text(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == 0xff);
        let (text, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.get(1..).unwrap_or_default();
        text
    }

    fn column(&mut self) -> Column {
        let flags = self.byte();
        let kind = self.one_of(&KINDS);
        let modifier = i32::from(i16::from_be_bytes([self.byte(), self.byte()]));
        Column {
            name: "c\\".to_owned(),
            type_oid: OIDS[usize::from(flags & 1)],
            type_modifier: modifier,
            kind: if flags & 2 == 0 {
                kind
            } else {
                TypeKind::Array(Arc::new(kind))
            },
            binary: BinaryFormat::Text,
            key: flags & 4 != 0,
            not_null: (flags & 8 != 0).then_some(flags & 16 != 0),
            default: (flags & 32 != 0).then(|| String::from_utf8_lossy(self.text()).into_owned()),
        }
    }

    fn value(&mut self) -> OwnedValue {
        match self.byte() {
            b'n' => OwnedValue::Null,
            b'u' => OwnedValue::Unchanged,
            b'b' => OwnedValue::Binary(self.text().to_vec()),
            _ => OwnedValue::Text(String::from_utf8_lossy(self.text()).into_owned()),
        }
    }
}
