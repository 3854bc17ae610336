use proptest::prelude::*;

use super::encode::encode;
use super::*;

fn row(texts: &[String], blob: &[u8]) -> Vec<u8> {
    let mut values: Vec<_> = texts.iter().map(|text| Value::Text(text)).collect();
    values.extend([Value::Null, Value::Unchanged, Value::Binary(blob)]);
    encode(&Message::Insert {
        relation: 16_384,
        new: TupleBuffer::from_iter(values).tuple(),
    })
}

/// Parts of messages.
struct Parts {
    row: TupleBuffer,
    columns: ColumnsBuffer,
    name: String,
    blob: Vec<u8>,
    n: u64,
}

impl Parts {
    fn new(name: &str, blob: &[u8], n: u64) -> Self {
        let values = [
            Value::Text(name),
            Value::Null,
            Value::Unchanged,
            Value::Binary(blob),
        ];
        let column = |key| ColumnMessage {
            key,
            name,
            type_oid: 25,
            type_modifier: -1,
        };
        Self {
            row: values.into_iter().collect(),
            columns: [true, false].map(column).into_iter().collect(),
            name: name.to_owned(),
            blob: blob.to_vec(),
            n,
        }
    }
}

fn samples(parts: &Parts) -> Vec<Message<'_>> {
    let Parts { name, blob, n, .. } = parts;
    let (n, row) = (*n, || parts.row.tuple());
    let small = u32::try_from(n % 0xffff_ffff).unwrap();
    vec![
        Message::Begin {
            final_lsn: n,
            commit_time_us: -1,
            xid: small,
        },
        Message::Commit {
            commit_lsn: n,
            end_lsn: n,
            commit_time_us: i64::MAX,
        },
        Message::Origin {
            commit_lsn: n,
            name,
        },
        Message::Relation(RelationMessage {
            oid: small,
            schema: name,
            name,
            replica_identity: b'd',
            columns: parts.columns.columns(),
        }),
        Message::Type {
            oid: small,
            schema: "",
            name,
        },
        Message::Insert {
            relation: small,
            new: row(),
        },
        Message::Update {
            relation: small,
            old: None,
            new: row(),
        },
        Message::Update {
            relation: small,
            old: Some(OldTuple::Key(row())),
            new: row(),
        },
        Message::Update {
            relation: small,
            old: Some(OldTuple::Full(row())),
            new: row(),
        },
        Message::Delete {
            relation: small,
            old: OldTuple::Key(row()),
        },
        Message::Delete {
            relation: small,
            old: OldTuple::Full(row()),
        },
        Message::Truncate {
            relations: vec![small, 1],
            cascade: true,
            restart_identity: false,
        },
        Message::Truncate {
            relations: vec![],
            cascade: false,
            restart_identity: true,
        },
        Message::Logical {
            transactional: true,
            lsn: n,
            prefix: name,
            content: blob,
        },
        Message::BeginPrepare(prepare(n, name)),
        Message::Prepare(prepare(n, name)),
        Message::CommitPrepared(CommitPreparedMessage {
            commit_lsn: n,
            end_lsn: n,
            commit_time_us: i64::MIN,
            xid: small,
            gid: name,
        }),
        Message::RollbackPrepared(RollbackPreparedMessage {
            prepare_end_lsn: n,
            end_lsn: n,
            prepare_time_us: 5,
            rollback_time_us: -6,
            xid: small,
            gid: name,
        }),
    ]
}

fn prepare(n: u64, gid: &str) -> PrepareMessage<'_> {
    PrepareMessage {
        prepare_lsn: n,
        end_lsn: n.wrapping_add(1),
        prepare_time_us: -7,
        xid: 8,
        gid,
    }
}

/// An owned column value.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Unchanged,
    Text(String),
    Binary(Vec<u8>),
}

/// Rows of any columns.
fn cells() -> impl Strategy<Value = Vec<Cell>> {
    let cell = prop_oneof![
        Just(Cell::Null),
        Just(Cell::Unchanged),
        ".{0,20}".prop_map(Cell::Text),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Cell::Binary),
    ];
    proptest::collection::vec(cell, 0..60)
}

impl Cell {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Unchanged => Value::Unchanged,
            Self::Text(text) => Value::Text(text),
            Self::Binary(bytes) => Value::Binary(bytes),
        }
    }
}

fn tuple(cells: &[Cell]) -> TupleBuffer {
    cells.iter().map(Cell::value).collect()
}

proptest! {
    #[test]
    fn rows_of_any_columns_read_back(relation in any::<u32>(), new in cells(), old in cells()) {
        let (cells, new, old) = (&new, tuple(&new), tuple(&old));
        let (new, old) = (new.tuple(), old.tuple());
        prop_assert_eq!(new.len(), cells.len());
        prop_assert!(new.iter().eq(cells.iter().map(Cell::value)));
        prop_assert!((0..=cells.len()).all(|at| new.get(at) == cells.get(at).map(Cell::value)));
        let (key, full) = (OldTuple::Key(old), OldTuple::Full(old));
        let update = |old| Message::Update { relation, old, new };
        for message in [
            Message::Insert { relation, new },
            update(None),
            update(Some(key)),
            update(Some(full)),
            Message::Delete { relation, old: key },
            Message::Delete { relation, old: full },
        ] {
            let bytes = encode(&message);
            prop_assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn tables_of_any_columns_read_back(
        oid in any::<u32>(),
        replica_identity in prop::sample::select(vec![b'd', b'n', b'f', b'i']),
        names in proptest::collection::vec("[^\0]{0,20}", 2..60),
        numbers in any::<(u32, i32, bool)>(),
    ) {
        let (type_oid, type_modifier, key) = numbers;
        let column = |name| ColumnMessage { key, name, type_oid, type_modifier };
        let columns = || names[2..].iter().map(|name| column(name));
        let buffer: ColumnsBuffer = columns().collect();
        prop_assert!(buffer.columns().iter().eq(columns()));
        let message = Message::Relation(RelationMessage {
            oid,
            schema: &names[0],
            name: &names[1],
            replica_identity,
            columns: buffer.columns(),
        });
        let bytes = encode(&message);
        prop_assert_eq!(decode(&bytes), Ok(message));
    }

    #[test]
    fn what_has_no_row_reads_back(
        numbers in any::<(u64, u64, i64, u32)>(),
        flags in any::<(bool, bool)>(),
        relations in proptest::collection::vec(any::<u32>(), 0..40),
        name in "[^\0]{0,40}",
        content in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let ((lsn, end_lsn, commit_time_us, xid), (first, second)) = (numbers, flags);
        for message in [
            Message::Begin { final_lsn: lsn, commit_time_us, xid },
            Message::Commit { commit_lsn: lsn, end_lsn, commit_time_us },
            Message::Origin { commit_lsn: lsn, name: &name },
            Message::Type { oid: xid, schema: &name, name: &name },
            Message::Truncate { relations, cascade: first, restart_identity: second },
            Message::Logical { transactional: first, lsn, prefix: &name, content: &content },
        ] {
            let bytes = encode(&message);
            prop_assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn a_message_reads_back_what_the_server_wrote(name in "[^\0]{0,30}", blob in proptest::collection::vec(any::<u8>(), 0..40), n in any::<u64>()) {
        for message in samples(&Parts::new(&name, &blob, n)) {
            let bytes = encode(&message);
            prop_assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn a_transaction_that_was_sent_while_it_ran_is_prepared_as_any_other(gid in "[^\0]{0,30}", n in any::<u64>()) {
        let message = prepare(n, &gid);
        let mut bytes = encode(&Message::Prepare(message));
        bytes[0] = b'p';
        prop_assert_eq!(stream_control(&bytes), Ok(Some(StreamControl::Prepare(message))));
        for end in 1..bytes.len() {
            prop_assert!(stream_control(&bytes[..end]).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error(name in "[^\0]{1,10}", blob in proptest::collection::vec(any::<u8>(), 0..10)) {
        for message in samples(&Parts::new(&name, &blob, 7)) {
            let whole = encode(&message);
            for end in 0..whole.len() {
                prop_assert!(decode(&whole[..end]).is_err(), "{:?} cut at {}", message, end);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damaged_message_makes_the_decoder_panic(
        texts in proptest::collection::vec("[^\0]{0,12}", 0..5),
        blob in proptest::collection::vec(any::<u8>(), 0..12),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = row(&texts, &blob);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes);
    }
}

#[test]
fn an_error_says_where_and_what() {
    let error = decode(&[b'I', 0, 0, 0, 1, b'X']).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pgoutput message 'I' is malformed at byte 5: expected 'N' and the new row"
    );
    assert_eq!(
        decode(&[]).unwrap_err().to_string(),
        "pgoutput message (empty) is malformed at byte 0: expected a message type"
    );
    assert!(
        decode(&[b'T', 0x7f, 0xff, 0xff, 0xff, 0]).is_err(),
        "a count that lies must not reserve memory for it"
    );
}

#[test]
fn a_row_takes_no_allocation() {
    let row: TupleBuffer = (0..40).map(|_| Value::Text("a value")).collect();
    let new = row.tuple();
    let message = encode(&Message::Insert { relation: 1, new });
    let used = allocation_counter::measure(|| {
        let Ok(Message::Insert { new, .. }) = decode(&message) else {
            panic!("an insert");
        };
        assert!(new.iter().all(|value| value == Value::Text("a value")));
    });
    assert_eq!(used.count_total, 0);
}
