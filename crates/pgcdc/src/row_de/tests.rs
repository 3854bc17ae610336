//! Rows into types.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::pgoutput::{OldTuple, TupleBuffer, Value};
use crate::{
    BinaryFormat, Change, Column, Lsn, Operation, Relation, ReplicaIdentity, RowError, Transaction,
    TypeKind, Types, UnixNanos, Xid,
};

/// Columns with their built-in type's OID.
fn relation(columns: &[(&str, u32)]) -> Arc<Relation> {
    let types = Types::default();
    let column = |(index, (name, type_oid)): (usize, &(&str, u32))| {
        let known = types.get(*type_oid);
        Column {
            name: (*name).to_owned(),
            type_oid: *type_oid,
            type_modifier: -1,
            kind: known.kind,
            binary: known.binary,
            key: index == 0,
            not_null: None,
            default: None,
        }
    };
    Arc::new(Relation {
        oid: 1,
        schema: "public".to_owned(),
        name: "t".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        primary_key: vec![0],
        unique_index: Vec::new(),
        columns: columns.iter().enumerate().map(column).collect(),
    })
}

/// A row of a table.
fn with_change<R>(
    relation: &Arc<Relation>,
    new: Option<&[Value<'_>]>,
    old: Option<&[Value<'_>]>,
    check: impl FnOnce(&Change<'_>) -> R,
) -> R {
    let buffer = |values: &[Value<'_>]| values.iter().copied().collect::<TupleBuffer>();
    let (new, old) = (new.map(buffer), old.map(buffer));
    let transaction = Transaction {
        xid: Xid(1),
        commit_lsn: Lsn(1),
        commit_time: UnixNanos(0),
        previous: None,
        origin: None,
        gid: None,
    };
    check(&Change {
        relation,
        operation: Operation::Update,
        new: new.as_ref().map(TupleBuffer::tuple),
        old: old.as_ref().map(|old| OldTuple::Key(old.tuple())),
        transaction: &transaction,
        lsn: Lsn(1),
        index: 0,
        received: UnixNanos(0),
    })
}

/// A row, deserialized.
fn read<T: for<'a> Deserialize<'a>>(
    columns: &[(&str, u32)],
    values: &[Value<'_>],
) -> Result<T, RowError> {
    with_change(&relation(columns), Some(values), None, |change| {
        change.deserialize()
    })
}

/// The one column of a row, deserialized.
fn one<T: for<'a> Deserialize<'a>>(type_oid: u32, value: Value<'_>) -> Result<T, String> {
    let row = read::<(T,)>(&[("c", type_oid)], &[value]);
    row.map(|(value,)| value).map_err(|error| error.to_string())
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Sad,
    Ok,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Point {
    x: i32,
    y: f64,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Id(i64);

#[test]
fn a_row_is_a_struct_by_the_columns_names() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Order<'a> {
        id: Id,
        name: &'a str,
        note: Option<String>,
        total: f64,
        exact: String,
        paid: bool,
        at: Point,
        tags: Vec<Option<String>>,
        grid: Vec<Vec<i16>>,
        mood: Mood,
        #[serde(rename = "u")]
        id_of_all: uuid::Uuid,
        raw: Vec<u8>,
        any: serde_json::Value,
    }
    let columns = [
        ("unused", 628),
        ("id", 20),
        ("name", 25),
        ("note", 25),
        ("total", 1700),
        ("exact", 1700),
        ("paid", 16),
        ("at", 3802),
        ("tags", 1009),
        ("grid", 1005),
        ("mood", 25),
        ("u", 2950),
        ("raw", 17),
        ("any", 114),
    ];
    let row = [
        "{1,2,3}",
        "7",
        "a\"b",
        "",
        "12.50",
        "0.10",
        "t",
        r#"{"x": 1, "y": 2}"#,
        r#"{a,NULL,"b c"}"#,
        "{{1,2},{3,4}}",
        "ok",
        "0191c0de-0000-7000-8000-000000000001",
        "\\x00ff",
        "[null, {}]",
    ];
    let mut row = row.map(Value::Text);
    row[3] = Value::Null;
    with_change(&relation(&columns), Some(&row), None, |change| {
        let order: Order<'_> = change.deserialize().unwrap();
        assert_eq!(
            order,
            Order {
                id: Id(7),
                name: "a\"b",
                note: None,
                total: 12.5,
                exact: "0.10".to_owned(),
                paid: true,
                at: Point { x: 1, y: 2.0 },
                tags: vec![Some("a".to_owned()), None, Some("b c".to_owned())],
                grid: vec![vec![1, 2], vec![3, 4]],
                mood: Mood::Ok,
                id_of_all: uuid::Uuid::from_u128(0x0191_c0de_0000_7000_8000_0000_0000_0001),
                raw: vec![0, 255],
                any: json!([null, {}]),
            }
        );
        let map: BTreeMap<&str, serde_json::Value> = change.deserialize().unwrap();
        assert_eq!(map["id"], json!(7));
        assert_eq!(map["total"], json!("12.50"));
        assert_eq!(map["at"], json!({ "x": 1, "y": 2 }));
        assert_eq!(map["grid"], json!([[1, 2], [3, 4]]));
        assert_eq!(map["note"], json!(null));
        assert_eq!(map["raw"], json!("\\x00ff"));
    });
}

#[test]
fn a_row_is_a_tuple_by_position_and_a_value_if_it_has_one_column() {
    let columns = [("a", 23), ("b", 25)];
    let row = [Value::Text("1"), Value::Text("x")];
    assert_eq!(
        read::<(i32, String)>(&columns, &row).unwrap(),
        (1, "x".to_owned())
    );
    assert_eq!(
        read::<Option<(Id, String)>>(&columns, &row).unwrap(),
        Some((Id(1), "x".to_owned()))
    );
    assert_eq!(
        read::<(i32,)>(&columns, &row).unwrap_err().to_string(),
        "a row of public.t: 2 columns are no tuple of 1"
    );
    assert!(read::<i32>(&columns, &row).is_err());
    assert_eq!(read::<Id>(&columns[..1], &row[..1]).unwrap(), Id(1));
    let mood = read::<Mood>(&columns[1..], &[Value::Text("sad")]);
    assert_eq!(mood.unwrap(), Mood::Sad);
}

#[test]
fn values_in_binary_format_are_those_in_text() {
    let int4 = Value::Binary(&[0, 0, 1, 0]);
    assert_eq!(one(23, int4), Ok(256_u64));
    assert_eq!(one(23, int4), Ok(256.0));
    assert_eq!(one(23, int4), Ok("256".to_owned()));
    assert!(one::<u8>(23, int4).is_err());
    assert_eq!(one(3802, Value::Binary(b"\x01[1]")), Ok(json!([1])));
    assert_eq!(one(3802, Value::Binary(b"\x01[1]")), Ok("[1]".to_owned()));
    assert_eq!(one(17, Value::Binary(&[1, 2])), Ok(vec![1_u8, 2]));
    assert_eq!(one(16, Value::Binary(&[1])), Ok(true));
    // {{1,2},{3,NULL}}
    let array = [
        &[
            0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1,
        ][..],
        &[
            0, 0, 0, 2, 0, 1, 0, 0, 0, 2, 0, 2, 0, 0, 0, 2, 0, 3, 255, 255, 255, 255,
        ],
    ];
    let array = array.concat();
    assert_eq!(
        one(1005, Value::Binary(&array)),
        Ok(vec![vec![Some(1), Some(2)], vec![Some(3), None]])
    );
    assert!(one::<Vec<Vec<i16>>>(1005, Value::Binary(&array)).is_err());
}

#[test]
fn timestamps_and_money_have_the_form_of_serdes_types() {
    let text = |type_oid, text| one::<String>(type_oid, Value::Text(text)).unwrap();
    assert_eq!(
        text(1184, "2026-01-31 12:00:00.5+00"),
        "2026-01-31T12:00:00.5+00:00"
    );
    assert_eq!(text(1114, "2026-01-31 12:00:00"), "2026-01-31T12:00:00");
    assert_eq!(text(1184, "infinity"), "infinity");
    assert_eq!(
        text(1184, "0044-03-15 00:00:00+00 BC"),
        "0044-03-15 00:00:00+00 BC"
    );
    let binary = 1_500_000_i64.to_be_bytes();
    assert_eq!(
        one(1184, Value::Binary(&binary)),
        Ok("2000-01-01T00:00:01.5+00:00".to_owned())
    );
    assert_eq!(text(790, "-$1,234.56"), "-1234.56");
    assert_eq!(one(790, Value::Text("$1.50")), Ok(1.5));
}

#[test]
fn errors_name_table_and_column() {
    let columns = [("id", 23), ("big", 25)];
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Row {
        id: i32,
        big: Option<String>,
    }
    let error = |row: &[Value<'_>]| read::<Row>(&columns, row).unwrap_err().to_string();
    assert_eq!(
        error(&[Value::Text("x"), Value::Null]),
        "a row of public.t, column \"id\": its value is not a 32-bit integer"
    );
    assert_eq!(
        error(&[Value::Null, Value::Null]),
        "a row of public.t, column \"id\": it is NULL: its type must be an Option"
    );
    let unchanged = error(&[Value::Text("1"), Value::Unchanged]);
    assert!(
        unchanged.starts_with("a row of public.t, column \"big\": it did not change"),
        "{unchanged}"
    );
    let missing = read::<Row>(&columns[..1], &[Value::Null]);
    assert!(missing.is_err());
}

#[test]
fn what_is_not_sent_is_an_error_or_left_out_and_never_null() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Row {
        id: i32,
        #[serde(default)]
        big: String,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Key {
        id: i32,
    }
    let relation = relation(&[("id", 23), ("big", 25)]);
    let row = [Value::Text("1"), Value::Unchanged];
    with_change(&relation, Some(&row), None, |change| {
        assert!(change.deserialize::<Row>().is_err());
        assert_eq!(change.deserialize::<Key>().unwrap(), Key { id: 1 });
        let sent: Row = change.deserialize_sent().unwrap();
        assert_eq!(
            sent,
            Row {
                id: 1,
                big: String::new()
            }
        );
        let map: BTreeMap<String, String> = change.deserialize_sent().unwrap();
        assert_eq!(map.len(), 1);
        assert_eq!(change.deserialize_old::<Key>().unwrap(), None);
    });
    let key = [Value::Text("1"), Value::Null];
    with_change(&relation, None, Some(&key), |change| {
        assert_eq!(
            change.deserialize_old::<Key>().unwrap(),
            Some(Key { id: 1 })
        );
        assert_eq!(change.deserialize::<Key>().unwrap(), Key { id: 1 });
        let error = change
            .deserialize_old::<(i32, Option<String>)>()
            .unwrap_err();
        assert_eq!(error.column.as_deref(), Some("big"));
        assert!(error.to_string().contains("not in the key"), "{error}");
        let sent: BTreeMap<String, Option<String>> = change.deserialize_sent().unwrap();
        assert!(!sent.contains_key("big"));
    });
    with_change(&relation, None, None, |change| {
        let error = change.deserialize::<Key>().unwrap_err().to_string();
        assert!(error.contains("truncated"), "{error}");
    });
}

#[test]
fn a_user_defined_type_that_is_not_known_is_text() {
    let mut relation = Arc::unwrap_or_clone(relation(&[("mood", 25)]));
    relation.columns[0].kind = TypeKind::Text;
    relation.columns[0].binary = BinaryFormat::Other;
    with_change(
        &Arc::new(relation),
        Some(&[Value::Text("ok")]),
        None,
        |change| {
            assert_eq!(change.deserialize::<Mood>().unwrap(), Mood::Ok);
        },
    );
}
