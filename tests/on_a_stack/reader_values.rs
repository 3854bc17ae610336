//! Values of rows as Rust types, from text and binary format, on a real server.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex};

use pgcdc::{
    Change, Event, FromValue, Interval, Operation, Range, Reader, ReaderConfig, Slot, SlotName,
    SnapshotConfig,
};
use serde::Deserialize;
use serde_json::json;

use super::Test;
use super::reader::{Table, server};
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "reader_values_of_every_known_type_have_the_servers_text_in_binary_format_too",
        texts,
    ),
    (
        "reader_arrays_ranges_and_intervals_convert_from_text_and_binary",
        typed,
    ),
    (
        "reader_rows_are_structs_maps_and_tuples_from_text_and_binary",
        rows,
    ),
    (
        "reader_unchanged_columns_of_a_struct_are_an_error_or_left_out",
        unchanged,
    ),
];

/// What is made of each row in text format, and in binary format: of those in the table, and then of the changes of `sql`.
fn in_both_formats<T: Clone + Send + 'static>(
    stack: &TestStack,
    count: usize,
    make: fn(&Change<'_>) -> T,
    sql: &str,
) -> [Vec<T>; 2] {
    [false, true].map(|binary| {
        // The server removes the slot of the reader before once it has missed its connection.
        let name = format!("reader_values_{}", if binary { "binary" } else { "text" });
        let slot = Slot::Temporary(SlotName::new(&name).unwrap());
        let config = ReaderConfig {
            binary,
            describe: true,
            snapshot: Some(SnapshotConfig::default()),
            ..ReaderConfig::new(server(stack), slot, ["p"])
        };
        let made = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&made);
        let reader = stack.block_on(Reader::spawn(config, move |event| {
            if let Event::Change(change) = event {
                kept.lock().unwrap().push(make(&change));
            }
            ControlFlow::Continue(())
        }));
        let reader = reader.unwrap();
        let until_came = |count: usize| {
            until("the rows", || {
                assert_eq!(reader.error().map(|e| e.to_string()), None);
                made.lock().unwrap().len() >= count
            });
        };
        // What is changed before the copy is in it.
        until_came(1);
        stack.sql(sql);
        until_came(count);
        reader.stop().unwrap();
        made.lock().unwrap().clone()
    })
}

/// Types, each with values that the server takes.
const VALUES: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int2", &["-32768"]),
    ("int4", &["2147483647"]),
    ("int8", &["-9223372036854775808"]),
    ("oid", &["4294967295"]),
    (
        "float4",
        &[
            "0",
            "-0",
            "1.5",
            "1e20",
            "1e-5",
            "0.0001",
            "1234567",
            "123456",
            "3.4028235e38",
            "NaN",
            "-Infinity",
            "1e-45",
        ],
    ),
    (
        "float8",
        &[
            "0.1",
            "1e15",
            "123456789012345",
            "1e-5",
            "1.7976931348623157e308",
            "5e-324",
            "Infinity",
            "-2.5e-7",
        ],
    ),
    (
        "numeric",
        &[
            "0",
            "0.00",
            "-12345.6700",
            "1e30",
            "0.0000000001",
            "10000",
            "NaN",
            "Infinity",
            "-Infinity",
            "99999999.99999999",
        ],
    ),
    ("numeric(12,2)", &["-0.05"]),
    (
        "date",
        &[
            "2000-01-01",
            "1999-12-31",
            "2000-02-29",
            "0001-01-01",
            "0001-12-31 BC",
            "4714-11-24 BC",
            "5874897-12-31",
            "infinity",
            "-infinity",
        ],
    ),
    (
        "time",
        &["00:00:00", "23:59:59.999999", "12:00:00.5", "24:00:00"],
    ),
    (
        "timetz",
        &[
            "12:00:00+02",
            "12:00:00.25-03:30",
            "00:00:00+05:30:15",
            "00:00:00+00",
        ],
    ),
    (
        "timestamp",
        &[
            "2000-01-01 00:00:00",
            "1969-12-31 23:59:59.000001",
            "0044-03-15 12:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "infinity",
        ],
    ),
    (
        "timestamptz",
        &[
            "2026-01-31 12:00:00.5+01",
            "0001-01-01 00:00:00+00 BC",
            "4714-11-24 00:00:00+00 BC",
            "-infinity",
        ],
    ),
    (
        "interval",
        &[
            "0",
            "1 year 2 mons -3 days 04:05:06.7",
            "-1 year -2 mons +1 day -00:00:00.000001",
            "100 hours",
            "2 days",
            "-1 mon 00:00:01",
            "1 mon",
        ],
    ),
    ("uuid", &["0191c0de-0000-7000-8000-000000000001"]),
    ("bytea", &["\\x00ff", "\\x"]),
    ("text", &["", "ä 'quoted' \"\\", "NULL"]),
    ("varchar(9)", &["x"]),
    ("char(3)", &["a"]),
    ("json", &["{\"a\": [1, null]}"]),
    ("jsonb", &["{\"a\": [1, null]}"]),
    ("mood", &["ok"]),
    ("small", &["7"]),
    (
        "int4[]",
        &[
            "{}",
            "{1,NULL,-3}",
            "{{1,2},{3,4}}",
            "[2:3]={1,2}",
            "[0:0][-1:0]={{1,2}}",
        ],
    ),
    (
        "text[]",
        &["{a,\"b c\",\"\",NULL,\"NULL\",\"null\",\"q\\\"\\\\\",\"{}\",\"a,b\",\"\ttab\"}"],
    ),
    ("numeric[]", &["{1.50,NaN}"]),
    ("timestamptz[]", &["{\"2026-01-31 12:00:00+00\",infinity}"]),
    ("bytea[]", &["{\"\\\\x00ff\"}"]),
    ("mood[]", &["{ok,sad,NULL}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": 1}\"}"]),
    ("int4range", &["empty", "[1,10)", "(,5)", "[3,)", "(,)"]),
    ("numrange", &["(1.5,2.50]"]),
    (
        "tsrange",
        &["[\"2026-01-01 00:00:00\",\"2026-01-02 00:00:00\")"],
    ),
    ("tstzrange", &["[\"2026-01-01 00:00:00+00\",infinity]"]),
    ("daterange", &["[2026-01-01,2026-02-01)"]),
    ("int8range", &["[1,2)"]),
    ("moodrange", &["[sad,ok]"]),
    ("int4range[]", &["{\"[1,10)\",empty}"]),
    ("xml", &["<a/>"]),
];

fn texts(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "DROP TYPE IF EXISTS moodrange, mood; DROP DOMAIN IF EXISTS small;
         CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE moodrange AS RANGE (subtype = mood); CREATE DOMAIN small AS int2;
         CREATE TABLE t (id int PRIMARY KEY)",
    );
    let mut inserts = String::new();
    for (index, (type_name, values)) in VALUES.iter().enumerate() {
        stack.sql(&format!("ALTER TABLE t ADD c{index} {type_name}"));
        for (row, value) in values.iter().enumerate() {
            let id = index * 100 + row;
            let value = value.replace('\'', "''");
            inserts += &format!("INSERT INTO t (id, c{index}) VALUES ({id}, '{value}');");
        }
    }
    stack.sql(&inserts);
    let count: usize = VALUES.iter().map(|(_, values)| values.len()).sum();
    let texts = |change: &Change<'_>| {
        let id: i32 = change.get("id").unwrap().unwrap();
        let id = usize::try_from(id).unwrap();
        let column = id / 100 + 1;
        let text: String = change.get_at(column).unwrap().unwrap();
        (id, text)
    };
    let [text, binary] = in_both_formats(stack, count, texts, "");
    assert_eq!(text.len(), count);
    assert_eq!(text, binary);
    stack.sql("DROP TABLE t CASCADE; DROP TYPE moodrange; DROP TYPE mood; DROP DOMAIN small");
}

/// A column's value, shown.
fn shown<T: for<'a> FromValue<'a> + Debug>(change: &Change<'_>, column: &str) -> String {
    format!("{:?}", change.get::<T>(column).unwrap().unwrap())
}

fn typed(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (n numeric, i int[], s text[], g int8[], r int4range, tr tstzrange, v interval, j jsonb[]);
         INSERT INTO t VALUES (12.5, '{1,NULL}', '{a,\"b c\"}', '{{1,2},{3,4}}', '[1,10)', '[2026-01-01 00:00:00+00,)', '1 mon 2 days -00:00:01.5', '{\"[1]\"}')",
    );
    let make = |change: &Change<'_>| {
        let no_nulls = change.get::<Vec<i32>>("i").unwrap_err().to_string();
        assert!(no_nulls.contains("Vec<Option<T>>"), "{no_nulls}");
        [
            shown::<f64>(change, "n"),
            shown::<Vec<Option<i32>>>(change, "i"),
            shown::<Vec<String>>(change, "s"),
            shown::<Vec<Vec<i64>>>(change, "g"),
            shown::<Range<i32>>(change, "r"),
            shown::<Range<String>>(change, "tr"),
            shown::<Interval>(change, "v"),
            shown::<Vec<serde_json::Value>>(change, "j"),
        ]
    };
    let [text, binary] = in_both_formats(stack, 1, make, "");
    let lower = "2026-01-01 00:00:00+00".to_owned();
    let expected = [
        "12.5".to_owned(),
        "[Some(1), None]".to_owned(),
        "[\"a\", \"b c\"]".to_owned(),
        "[[1, 2], [3, 4]]".to_owned(),
        format!(
            "{:?}",
            Range::Between {
                lower: Bound::Included(1),
                upper: Bound::Excluded(10)
            }
        ),
        format!(
            "{:?}",
            Range::Between {
                lower: Bound::Included(lower),
                upper: Bound::Unbounded
            }
        ),
        format!(
            "{:?}",
            Interval {
                months: 1,
                days: 2,
                micros: -1_500_000
            }
        ),
        format!("{:?}", [json!([1])]),
    ];
    assert_eq!(text, [expected]);
    assert_eq!(binary, text);
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Sad,
    Ok,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Item {
    sku: String,
    count: u32,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Order {
    id: i64,
    total: f64,
    exact: String,
    note: Option<String>,
    paid: bool,
    items: Vec<Item>,
    tags: Vec<Option<String>>,
    mood: Mood,
    number: uuid::Uuid,
    raw: Vec<u8>,
    at: String,
    price: String,
}

fn rows(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE t (id bigint PRIMARY KEY, total numeric, exact numeric, note text, paid bool, items jsonb, tags text[], mood mood,
           number uuid, raw bytea, at timestamptz, price money, unused inet);
         INSERT INTO t VALUES (1, 12.5, 0.10, NULL, true, '[{\"sku\": \"a\", \"count\": 2}]', '{x,NULL}', 'ok',
           '0191c0de-0000-7000-8000-000000000001', '\\x00ff', '2026-01-31 12:00:00+00', -1.5, '10.0.0.1')",
    );
    let make = |change: &Change<'_>| {
        let order: Order = change.deserialize().unwrap();
        // inet has no form in binary format that is known.
        let map: Result<BTreeMap<String, serde_json::Value>, _> = change.deserialize();
        if let Err(error) = &map {
            assert_eq!(error.column.as_deref(), Some("unused"), "{error}");
        }
        order
    };
    let [text, binary] = in_both_formats(stack, 1, make, "");
    let expected = Order {
        id: 1,
        total: 12.5,
        exact: "0.10".to_owned(),
        note: None,
        paid: true,
        items: vec![Item {
            sku: "a".to_owned(),
            count: 2,
        }],
        tags: vec![Some("x".to_owned()), None],
        mood: Mood::Ok,
        number: uuid::Uuid::from_u128(0x0191_c0de_0000_7000_8000_0000_0000_0001),
        raw: vec![0, 255],
        at: "2026-01-31T12:00:00+00:00".to_owned(),
        price: "-1.50".to_owned(),
    };
    assert_eq!(text, [expected]);
    assert_eq!(binary, text);
    stack.sql("DROP TABLE t; DROP TYPE mood; CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); ALTER PUBLICATION p ADD TABLE t");
    let tuple = |change: &Change<'_>| change.deserialize::<(i32, String)>().unwrap();
    let [text, binary] = in_both_formats(stack, 1, tuple, "");
    assert_eq!(text, [(1, "x".to_owned())]);
    assert_eq!(binary, text);
}

fn unchanged(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY, name text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
         INSERT INTO t VALUES (1, 'a', repeat('x', 9000))",
    );
    #[derive(Deserialize)]
    struct Row {
        id: i32,
        #[serde(default)]
        big: String,
    }
    #[derive(Deserialize)]
    struct Key {
        id: i32,
    }
    let make = |change: &Change<'_>| match change.operation {
        Operation::Read(_) | Operation::Insert => {
            change.deserialize::<Row>().unwrap().big.len().to_string()
        }
        Operation::Update => {
            let error = change.deserialize::<Row>().err().unwrap();
            let sent: Row = change.deserialize_sent().unwrap();
            let map: BTreeMap<String, serde_json::Value> = change.deserialize_sent().unwrap();
            format!(
                "{} {} {} {map:?}",
                error.column.unwrap(),
                sent.id,
                sent.big.len()
            )
        }
        _ => {
            let key: Key = change.deserialize_old().unwrap().unwrap();
            let error = change.deserialize_old::<Row>().err().unwrap();
            format!("{} {}", key.id, error.column.unwrap())
        }
    };
    let sql =
        "UPDATE t SET name = 'b'; DELETE FROM t; INSERT INTO t VALUES (1, 'a', repeat('x', 9000))";
    let [text, binary] = in_both_formats(stack, 3, make, sql);
    let update = r#"big 1 0 {"id": Number(1), "name": String("b")}"#;
    assert_eq!(text[..3], ["9000", update, "1 big"]);
    assert_eq!(binary[..3], text[..3]);
}
