mod samples;

use super::*;
use crate::observe::records::{NotAChange, RecordChange};
use cdc_bench_model::observation::Operation;

const KEY: &str = r#"{"id":7}"#;

/// An envelope of Debezium 3.6 with this operation, rows and rest of its source.
fn envelope(op: &str, before: &str, after: &str, snapshot: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.6.0.Final","connector":"postgresql","name":"shop","ts_ms":1700000000123,"snapshot":"{snapshot}","db":"shop","sequence":"[\"26683888\",\"26683944\"]","ts_us":1700000000123456,"ts_ns":1700000000123456000,"schema":"public","table":"orders","txId":742,"lsn":26683944,"xmin":null}},"transaction":null,"op":"{op}","ts_ms":1700000000200,"ts_us":1700000000200300,"ts_ns":1700000000200300400}}"#
    )
}

/// What JsonConverter with `schemas.enable=true` writes.
fn with_schema(payload: &str) -> String {
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"field":"op","type":"string"}}],"optional":false,"name":"shop.public.orders.Envelope"}},"payload":{payload}}}"#
    )
}

fn change(key: &str, operation: Operation) -> RecordChange {
    RecordChange {
        schema: Some("public".to_owned()),
        table: Some("orders".to_owned()),
        key: key.to_owned(),
        operation: Some(operation),
        lsn: Some(26_683_944),
        tx_id: Some(742),
        is_snapshot: operation == Operation::Read,
        committed_at: Some(1_700_000_000_123_456),
        handed_on_at: Some(1_700_000_000_200_300),
        resolution_us: 1,
    }
}

/// A row without anything about its change.
fn bare(key: &str, operation: Option<Operation>) -> RecordChange {
    RecordChange {
        schema: None,
        table: None,
        key: key.to_owned(),
        operation,
        lsn: None,
        tx_id: None,
        is_snapshot: false,
        committed_at: None,
        handed_on_at: None,
        resolution_us: 1_000,
    }
}

async fn decode_with(
    settings: &[(&str, &str)],
    topic: &str,
    key: Option<&str>,
    value: Option<&str>,
    headers: &[(&str, &str)],
) -> Observed {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let settings = RecordSettings::of_connector(&settings.iter().map(own).collect());
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, Some(value.as_bytes())))
        .collect();
    let record = RawRecord {
        topic,
        key: key.map(str::as_bytes),
        value: value.map(str::as_bytes),
        headers: &headers,
    };
    RecordDecoder::new(settings).decode(record).await.unwrap()
}

async fn decode(key: Option<&str>, value: Option<&str>) -> Observed {
    decode_with(&[], "shop.public.orders", key, value, &[]).await
}

#[tokio::test]
async fn an_envelope_is_read_with_schemas_and_without() {
    for (op, before, after, operation) in [
        (
            "c",
            "null",
            r#"{"id":7,"op":"x","source":{"lsn":1}}"#,
            Operation::Create,
        ),
        ("u", "null", r#"{"id":7}"#, Operation::Update),
        ("d", r#"{"id":7}"#, "null", Operation::Delete),
    ] {
        let value = envelope(op, before, after, "false");
        let expected = Observed::Change(change(KEY, operation));
        assert_eq!(decode(Some(KEY), Some(&value)).await, expected);
        let (key, value) = (with_schema(KEY), with_schema(&value));
        assert_eq!(decode(Some(&key), Some(&value)).await, expected);
    }
}

#[tokio::test]
async fn a_key_of_several_columns_is_sorted_by_name_and_no_key_is_empty() {
    let value = envelope("c", "null", "{}", "false");
    for (key, expected) in [
        (Some(r#"{"tenant":"b","id":7}"#), r#"{"id":7,"tenant":"b"}"#),
        (None, "{}"),
        (Some(r#"{"schema":null,"payload":null}"#), "{}"),
    ] {
        let Observed::Change(change) = decode(key, Some(&value)).await else {
            panic!("a change");
        };
        assert_eq!(change.key, expected);
    }
}

#[tokio::test]
async fn rows_read_by_a_snapshot_are_marked() {
    for snapshot in ["first", "true", "last_in_data_collection", "incremental"] {
        let value = envelope("r", "null", r#"{"id":7}"#, snapshot);
        let expected = Observed::Change(change(KEY, Operation::Read));
        assert_eq!(decode(Some(KEY), Some(&value)).await, expected);
    }
}

#[tokio::test]
async fn a_truncate_and_a_message_are_changes() {
    let truncate = envelope("t", "null", "null", "false");
    let expected = Observed::Change(change("{}", Operation::Truncate));
    assert_eq!(decode(None, Some(&truncate)).await, expected);
    let message = r#"{"op":"m","ts_ms":1700000000200,"source":{"ts_ms":1700000000123,"snapshot":"false","schema":"","table":"","txId":742,"lsn":26683944},"message":{"prefix":"canary","content":"MQ=="}}"#;
    let expected = RecordChange {
        schema: None,
        table: None,
        committed_at: Some(1_700_000_000_123_000),
        handed_on_at: Some(1_700_000_000_200_000),
        resolution_us: 1_000,
        ..change(r#"{"prefix":"canary"}"#, Operation::Message)
    };
    let observed = decode(Some(r#"{"prefix":"canary"}"#), Some(message)).await;
    assert_eq!(observed, Observed::Change(expected));
}

#[tokio::test]
async fn a_record_without_a_value_is_a_tombstone() {
    let expected = Observed::Tombstone {
        key: KEY.to_owned(),
    };
    for value in [
        None,
        Some("null"),
        Some(r#"{"schema":null,"payload":null}"#),
    ] {
        assert_eq!(decode(Some(KEY), value).await, expected);
    }
}

#[tokio::test]
async fn heartbeats_transactions_and_statements_are_no_changes() {
    let begin = r#"{"status":"BEGIN","id":"742:26683888","event_count":null,"data_collections":null,"ts_ms":1700000000123}"#;
    for (topic, key, value, expected) in [
        (
            "__debezium-heartbeat.shop",
            r#"{"serverName":"shop"}"#,
            r#"{"ts_ms":1700000000123}"#,
            NotAChange::Heartbeat,
        ),
        (
            "routed.elsewhere",
            r#"{"serverName":"shop"}"#,
            r#"{"ts_ms":1700000000123}"#,
            NotAChange::Heartbeat,
        ),
        (
            "shop.transaction",
            r#"{"id":"742:26683888"}"#,
            begin,
            NotAChange::TransactionMetadata,
        ),
        (
            "shop",
            r#"{"databaseName":"shop"}"#,
            r#"{"source":{"lsn":null},"databaseName":"shop","ddl":"ALTER TABLE t","tableChanges":[]}"#,
            NotAChange::SchemaChange,
        ),
    ] {
        for (key, value) in [
            (key.to_owned(), value.to_owned()),
            (with_schema(key), with_schema(value)),
        ] {
            let observed = decode_with(&[], topic, Some(&key), Some(&value), &[]).await;
            assert_eq!(observed, Observed::NotAChange(expected.clone()), "{value}");
        }
    }
}

#[tokio::test]
async fn what_is_none_of_these_says_so() {
    for value in [
        "not JSON",
        "[1]",
        "7",
        r#"{"hello":"world"}"#,
        r#"{"op":"c"}"#,
        "{",
        "",
    ] {
        let observed = decode(Some(KEY), Some(value)).await;
        assert!(
            matches!(observed, Observed::NotAChange(NotAChange::Unknown(_))),
            "{value}: {observed:?}"
        );
    }
    let observed = decode(Some(KEY), Some(&envelope("x", "null", "{}", "false"))).await;
    let Observed::NotAChange(NotAChange::Unknown(reason)) = observed else {
        panic!("{observed:?}");
    };
    assert!(reason.contains("\"x\""), "{reason}");
}

#[tokio::test]
async fn a_row_alone_is_read_by_what_was_added_to_it() {
    let fields = r#"{"id":7,"note":"a","__op":"u","__table":"orders","__schema":"public","__lsn":26683944,"__txId":742,"__source_ts_us":1700000000123456,"__ts_us":1700000000200300,"__deleted":"false"}"#;
    let expected = Observed::Change(change(KEY, Operation::Update));
    assert_eq!(decode(Some(KEY), Some(fields)).await, expected);
    let by_path = r#"{"id":7,"__op":"u","__source_table":"orders","__source_schema":"public","__source_lsn":26683944,"__source_txId":742,"__source_ts_us":1700000000123456,"__ts_us":1700000000200300}"#;
    assert_eq!(
        decode(Some(KEY), Some(&with_schema(by_path))).await,
        expected
    );
    let headers = [
        ("__op", "u"),
        (
            "__table",
            r#"{"schema":{"type":"string","optional":false},"payload":"orders"}"#,
        ),
        ("__schema", "\"public\""),
        ("__lsn", "26683944"),
        ("__txId", r#"{"schema":{"type":"int64"},"payload":742}"#),
        ("__source_ts_us", "1700000000123456"),
        ("__ts_us", "1700000000200300"),
    ];
    let observed = decode_with(&[], "t", Some(KEY), Some(r#"{"id":7}"#), &headers).await;
    assert_eq!(observed, expected);
}

#[tokio::test]
async fn names_of_the_configuration_are_looked_for() {
    let settings = [
        ("transforms", "flat"),
        (
            "transforms.flat.type",
            "io.debezium.transforms.ExtractNewRecordState",
        ),
        (
            "transforms.flat.add.fields",
            "op:what,lsn,source.ts_ms:committed",
        ),
        ("transforms.flat.add.fields.prefix", "cdc_"),
    ];
    let value = r#"{"id":7,"cdc_what":"c","cdc_lsn":26683944,"cdc_committed":1700000000123}"#;
    let expected = RecordChange {
        lsn: Some(26_683_944),
        committed_at: Some(1_700_000_000_123_000),
        ..bare(KEY, Some(Operation::Create))
    };
    let observed = decode_with(&settings, "t", Some(KEY), Some(value), &[]).await;
    assert_eq!(observed, Observed::Change(expected));
}

#[tokio::test]
async fn a_bare_row_is_a_change_that_does_not_say_which() {
    let observed = decode(Some(KEY), Some(r#"{"id":7,"note":"a"}"#)).await;
    assert_eq!(observed, Observed::Change(bare(KEY, None)));
}

#[tokio::test]
async fn a_deletion_of_a_row_alone_is_rewritten_or_a_tombstone() {
    let expected = Observed::Change(bare(KEY, Some(Operation::Delete)));
    let rewritten = r#"{"id":7,"note":null,"__deleted":"true"}"#;
    assert_eq!(decode(Some(KEY), Some(rewritten)).await, expected);
    let flat = [
        ("transforms", "flat"),
        (
            "transforms.flat.type",
            "io.debezium.transforms.ExtractNewRecordState",
        ),
    ];
    assert_eq!(
        decode_with(&flat, "t", Some(KEY), None, &[]).await,
        expected
    );
    let by_header = decode_with(&[], "t", Some(KEY), None, &[("__op", "d")]).await;
    assert_eq!(by_header, expected);
}

#[tokio::test]
async fn an_event_of_an_outbox_is_the_insert_of_its_row() {
    let id = "0b5ba9d9-6f0c-4c8e-b5d6-3f2f7b4d1c11";
    let key = format!(r#"{{"id":"{id}"}}"#);
    let expected = Observed::Change(bare(&key, Some(Operation::Create)));
    for value in [
        r#"{"order":1,"total":"9.50"}"#,
        r#""{\"order\":1}""#,
        "plain text",
        &with_schema(r#""{}""#),
    ] {
        let observed = decode_with(
            &[],
            "outbox.event.Order",
            Some("Order-1"),
            Some(value),
            &[("id", id)],
        )
        .await;
        assert_eq!(observed, expected, "{value}");
    }
    let settings = [
        ("transforms", "outbox"),
        (
            "transforms.outbox.type",
            "io.debezium.transforms.outbox.EventRouter",
        ),
        ("transforms.outbox.table.field.event.id", "event_id"),
    ];
    let observed = decode_with(&settings, "t", Some("\"o\""), Some("{}"), &[("id", "12")]).await;
    assert_eq!(
        observed,
        Observed::Change(bare(r#"{"event_id":12}"#, Some(Operation::Create)))
    );
}

#[tokio::test]
async fn a_cloud_event_is_read_by_its_attributes() {
    let value = r#"{"id":"name:shop;lsn:26683944;txId:742;sequence:[\"1\"]","source":"/debezium/postgresql/shop","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2023-11-14T22:13:20.123Z","datacontenttype":"application/json","iodebeziumop":"c","iodebeziumtsms":"1700000000123","iodebeziumsnapshot":"false","iodebeziumschema":"public","iodebeziumtable":"orders","iodebeziumtxid":"742","iodebeziumlsn":"26683944","data":{"before":null,"after":{"id":7}}}"#;
    let expected = RecordChange {
        committed_at: Some(1_700_000_000_123_000),
        handed_on_at: None,
        resolution_us: 1_000,
        ..change(KEY, Operation::Create)
    };
    assert_eq!(
        decode(Some(KEY), Some(value)).await,
        Observed::Change(expected)
    );
    let without_extension = r#"{"id":"name:shop;lsn:26683944;txId:742","source":"/debezium/postgresql/shop","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2023-11-14T22:13:20.123Z","data":{"schema":{},"payload":{"before":{"id":7},"after":null}}}"#;
    let expected = RecordChange {
        lsn: Some(26_683_944),
        tx_id: Some(742),
        committed_at: Some(1_700_000_000_123_000),
        ..bare(KEY, Some(Operation::Delete))
    };
    assert_eq!(
        decode(Some(KEY), Some(without_extension)).await,
        Observed::Change(expected)
    );
}

#[tokio::test]
async fn a_key_by_another_converter_than_json() {
    let value = envelope("c", "null", "{}", "false");
    for (converter, field, bytes, expected) in [
        (
            "org.apache.kafka.connect.storage.StringConverter",
            None,
            "7",
            "\"7\"",
        ),
        (
            "org.apache.kafka.connect.storage.StringConverter",
            None,
            "Struct{id=7}",
            KEY,
        ),
        (
            "org.apache.kafka.connect.converters.LongConverter",
            Some("id"),
            "\0\0\0\0\0\0\0\x07",
            KEY,
        ),
        (
            "org.apache.kafka.connect.converters.IntegerConverter",
            None,
            "\0\0\0\x07",
            "7",
        ),
    ] {
        let mut settings = vec![("key.converter", converter)];
        if let Some(field) = field {
            settings.extend([
                ("transforms", "key"),
                (
                    "transforms.key.type",
                    "org.apache.kafka.connect.transforms.ExtractField$Key",
                ),
                ("transforms.key.field", field),
            ]);
        }
        let observed = decode_with(&settings, "t", Some(bytes), Some(&value), &[]).await;
        assert_eq!(
            observed,
            Observed::Change(change(expected, Operation::Create))
        );
    }
}
