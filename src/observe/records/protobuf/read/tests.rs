use super::*;
use crate::observe::records::outline::Selection;

const SOURCE: &str = include_str!("../samples/source.proto");
const ENVELOPE: &str = include_str!("../samples/envelope.proto");

/// What Google's Protobuf for Python writes: an update of order 7.
const UPDATE: &str = "120508071201611a480a0b332e362e302e46696e616c120a706f737467726573716c20fbd095ffbc312a0566616c736540c0c480c1c1c482034a067075626c696352066f726465727358e60560a8d4dc0c22070a053734323a312a017530c8d195ffbc3138ec9c85c1c1c4820342040102ac024a070a017812020801";
/// And a key of every type.
const KEY: &str =
    "08f9ffffffffffffffff0112026575180525090000002dcdcc8c3f320204e2380149000000000000e03f";

fn schema() -> ProtobufSchema {
    ProtobufSchema::parse(ENVELOPE, &[SOURCE.to_owned()]).unwrap()
}

/// A message with its path before it.
fn framed(path: &[u8], digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let message: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    [path, &message].concat()
}

#[test]
fn an_envelope_gives_its_outline() {
    let schema = schema();
    // The first message, in both ways to say so.
    for path in [&[0][..], &[2, 0]] {
        let part = schema
            .outline(&framed(path, UPDATE), Selection::of_record(&[]))
            .unwrap();
        let Part::Fields(envelope) = part else {
            panic!("a message");
        };
        assert_eq!(envelope.text("op"), Some("u"));
        assert_eq!(envelope.integer("ts_us"), Some(1_700_000_000_200_300));
        assert!(envelope.is_null("before") && envelope.has("before"));
        assert_eq!(envelope.get("after"), &Part::SkippedObject);
        assert_eq!(
            envelope.fields("transaction").unwrap().text("id"),
            Some("742:1")
        );
        let source = envelope.fields("source").unwrap();
        assert_eq!(source.integer("lsn"), Some(26_683_944));
        assert_eq!(source.text("table"), Some("orders"));
        assert_eq!(source.text("snapshot"), Some("false"));
    }
}

#[test]
fn a_key_has_the_values_of_json_also_those_that_are_not_written() {
    let schema = schema();
    let second = &[2, 2];
    let key = schema.value(&framed(second, KEY)).unwrap();
    let expected = serde_json::json!({"id": -7, "tenant": "eu", "shard": -3, "slot": 9, "ratio": 1.1, "total": "BOI=", "state": "PAID", "gone": null, "exact": 0.5});
    assert_eq!(key, expected);
    let zero = schema.value(&framed(second, "")).unwrap();
    assert_eq!(
        (&zero["id"], &zero["tenant"], &zero["gone"]),
        (&0.into(), &"".into(), &Value::Null)
    );
    assert!(zero["state"].is_string());
    // A message within the first.
    let nested = schema.value(&[4, 0, 0, 8, 1]).unwrap();
    assert_eq!(nested["id"], 1);
}

#[test]
fn bytes_of_another_schema_are_refused_and_never_panic() {
    let schema = schema();
    let whole = framed(&[0], UPDATE);
    let selection = Selection::of_record(&[]);
    assert!(
        schema
            .outline(&framed(&[2, 200, 1], UPDATE), selection)
            .is_err()
    );
    assert!(schema.outline(&[], selection).is_err());
    for end in 0..whole.len() {
        for byte in [0, 0x7f, 0xff] {
            let mut broken = whole[..end].to_vec();
            let _ = schema.outline(&broken, selection);
            broken.push(byte);
            let _ = schema.outline(&broken, selection);
            let _ = schema.value(&broken);
        }
    }
}

#[test]
fn a_file_that_is_none_is_refused() {
    for text in [
        "message A",
        "message A { int64",
        "message A { int64 = 1; }",
        "message A { enum E",
        "message A;",
    ] {
        assert!(ProtobufSchema::parse(text, &[]).is_err(), "{text}");
    }
    let deep = "message A { ".repeat(100);
    assert!(
        ProtobufSchema::parse(&deep, &[])
            .unwrap_err()
            .contains("deep")
    );
    // A file that is not there leaves its fields unread.
    assert!(ProtobufSchema::parse(ENVELOPE, &[]).is_ok());
}
