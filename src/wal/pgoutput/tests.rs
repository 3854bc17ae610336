use proptest::prelude::*;

use super::encode::encode;
use super::*;

fn row(texts: &[String], blob: &[u8]) -> Vec<u8> {
    let mut values: Vec<_> = texts.iter().map(|text| Value::Text(text)).collect();
    values.extend([Value::Null, Value::Unchanged, Value::Binary(blob)]);
    encode(&Message::Insert {
        relation: 16_384,
        new: Tuple { values },
    })
}

fn samples<'a>(name: &'a str, blob: &'a [u8], n: u64) -> Vec<Message<'a>> {
    let small = u32::try_from(n % 0xffff_ffff).unwrap();
    let row = || Tuple {
        values: vec![
            Value::Text(name),
            Value::Null,
            Value::Unchanged,
            Value::Binary(blob),
        ],
    };
    let column = |key| ColumnMessage {
        key,
        name,
        type_oid: small,
        type_modifier: -1,
    };
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
            columns: vec![column(true), column(false)],
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
    ]
}

proptest! {
    #[test]
    fn a_message_reads_back_what_the_server_wrote(name in "[^\0]{0,30}", blob in proptest::collection::vec(any::<u8>(), 0..40), n in any::<u64>()) {
        for message in samples(&name, &blob, n) {
            let bytes = encode(&message);
            prop_assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error(name in "[^\0]{1,10}", blob in proptest::collection::vec(any::<u8>(), 0..10)) {
        for message in samples(&name, &blob, 7) {
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
