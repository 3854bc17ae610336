//! Conversion of values of both formats.

mod crates;

use std::ops::Bound;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::types::kind::BUILT_IN;
use crate::{Money, Types};

/// A column of a built-in type, or of an array of it, as `_int4`.
fn column(type_name: &str) -> Column {
    let element = type_name.strip_prefix('_');
    let name = element.unwrap_or(type_name);
    let built_in = BUILT_IN.iter().find(|built_in| built_in.name == name);
    let built_in = built_in.unwrap();
    let type_oid = match element {
        Some(_) => built_in.array,
        None => built_in.oid,
    };
    let known = Types::default().get(type_oid);
    Column {
        name: "c".to_owned(),
        type_oid,
        type_modifier: -1,
        kind: known.kind,
        binary: known.binary,
        key: false,
        not_null: None,
        default: None,
    }
}

fn of<'a, T: FromValue<'a>>(value: Value<'a>, type_name: &str) -> Result<Option<T>, ValueError> {
    T::of(value, &column(type_name))
}

#[test]
fn values_convert_to_the_requested_type() {
    assert_eq!(of::<&str>(Value::Text("a b"), "text"), Ok(Some("a b")));
    assert_eq!(of::<bool>(Value::Text("t"), "bool"), Ok(Some(true)));
    assert_eq!(of::<i64>(Value::Text("-7"), "int4"), Ok(Some(-7)));
    let nan = of::<f64>(Value::Text("NaN"), "float8");
    assert!(nan.unwrap().unwrap().is_nan());
    assert_eq!(
        of::<f32>(Value::Text("-Infinity"), "float4"),
        Ok(Some(f32::NEG_INFINITY))
    );
    assert_eq!(
        of::<Vec<u8>>(Value::Text("\\x00ff7A"), "bytea"),
        Ok(Some(vec![0, 255, 122]))
    );
    let id = Uuid::from_u128(7);
    let text = id.to_string();
    assert_eq!(of::<Uuid>(Value::Text(&text), "uuid"), Ok(Some(id)));
    assert_eq!(
        of::<Money>(Value::Text("-$1.50"), "money"),
        Ok(Some(Money {
            units: -150,
            decimals: 2
        }))
    );
}

#[test]
fn values_in_binary_format_convert_by_the_columns_type() {
    let int4 = Value::Binary(&[0, 0, 1, 0]);
    assert_eq!(of::<i16>(int4, "int4"), Ok(Some(256)));
    assert_eq!(of::<i64>(int4, "int4"), Ok(Some(256)));
    assert_eq!(of::<u32>(int4, "int4"), Ok(Some(256)));
    assert_eq!(of::<f64>(int4, "int4"), Ok(Some(256.0)));
    let negative = Value::Binary(&[255; 4]);
    assert_eq!(of::<i64>(negative, "int4"), Ok(Some(-1)));
    assert_eq!(of::<i64>(negative, "oid"), Ok(Some(4_294_967_295)));
    assert!(of::<u32>(negative, "int4").is_err());
    let float4 = 1.5_f32.to_be_bytes();
    assert_eq!(of::<f64>(Value::Binary(&float4), "float4"), Ok(Some(1.5)));
    assert!(of::<i64>(Value::Binary(&float4), "float4").is_err());
    assert_eq!(of::<&str>(Value::Binary(b"12"), "varchar"), Ok(Some("12")));
    assert_eq!(of::<i64>(Value::Binary(b"12"), "varchar"), Ok(Some(12)));
    let jsonb = Value::Binary(b"\x01[1]");
    assert_eq!(of::<&str>(jsonb, "jsonb"), Ok(Some("[1]")));
    assert_eq!(
        of::<serde_json::Value>(jsonb, "jsonb"),
        Ok(Some(serde_json::json!([1])))
    );
    let id = Uuid::from_u128(7);
    let binary = Value::Binary(id.as_bytes());
    assert_eq!(of::<Uuid>(binary, "uuid"), Ok(Some(id)));
    assert_eq!(of::<String>(binary, "uuid"), Ok(Some(id.to_string())));
    let money = Value::Binary(&[255, 255, 255, 255, 255, 255, 255, 106]);
    let amount = of::<Money>(money, "money").unwrap().unwrap();
    assert_eq!(amount.to_string(), "-1.50");
}

#[test]
fn a_value_in_binary_format_that_is_no_text_is_an_error_that_says_so() {
    let int4 = Value::Binary(&[0, 0, 0, 65]);
    assert_eq!(
        of::<&str>(int4, "int4").unwrap_err().to_string(),
        "column \"c\" holds 4 bytes in the binary format Int4, which is not text"
    );
    assert_eq!(
        of::<String>(int4, "inet").unwrap_err().to_string(),
        "column \"c\" holds 4 bytes in the binary format of the type with OID 869, unknown to pgcdc (without \
         ReaderConfig::binary it comes as text), which is not text"
    );
    assert!(of::<Vec<u8>>(int4, "int4").is_err());
    assert!(of::<bool>(Value::Binary(&[1]), "char").is_err());
    // Of another length than the type's.
    assert!(of::<i64>(Value::Binary(&[0; 8]), "int4").is_err());
    assert!(of::<&str>(Value::Binary(b"[1]"), "jsonb").is_err());
    assert!(of::<i64>(Value::Binary(&[0; 8]), "money").is_err());
}

#[test]
fn null_is_none_and_unchanged_is_neither() {
    assert_eq!(of::<i64>(Value::Null, "int8"), Ok(None));
    assert!(matches!(
        of::<i64>(Value::Unchanged, "int8"),
        Err(ValueError::Unchanged { .. })
    ));
}

/// Whether a value converts back from its text and its binary format.
fn converts_back<T>(value: &T, type_name: &str, text: &str, binary: &[u8]) -> bool
where
    T: for<'a> FromValue<'a> + PartialEq,
{
    let values = [Value::Text(text), Value::Binary(binary)];
    values
        .iter()
        .all(|written| of::<T>(*written, type_name).is_ok_and(|read| read.as_ref() == Some(value)))
}

proptest! {
    #[test]
    fn numbers_convert_back(n in any::<(i16, i32, i64, u32)>(), x in any::<(f32, f64)>()) {
        prop_assert!(converts_back(&n.0, "int2", &n.0.to_string(), &n.0.to_be_bytes()));
        prop_assert!(converts_back(&n.1, "int4", &n.1.to_string(), &n.1.to_be_bytes()));
        prop_assert!(converts_back(&n.2, "int8", &n.2.to_string(), &n.2.to_be_bytes()));
        prop_assert!(converts_back(&n.3, "oid", &n.3.to_string(), &n.3.to_be_bytes()));
        prop_assert!(converts_back(&i64::from(n.1), "int4", &n.1.to_string(), &n.1.to_be_bytes()));
        // PostgreSQL writes large and small ones with an exponent.
        let (small, large) = (format!("{:e}", x.0), format!("{:e}", x.1));
        prop_assert!(converts_back(&x.0, "float4", &small, &x.0.to_be_bytes()));
        prop_assert!(converts_back(&x.1, "float8", &large, &x.1.to_be_bytes()));
    }

    #[test]
    fn everything_else_converts_back(
        text in ".*",
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        number in any::<u128>(),
        yes in any::<bool>(),
    ) {
        prop_assert!(converts_back(&text, "text", &text, text.as_bytes()));
        let digits = hex::encode(&bytes);
        let hexadecimal = ["\\x", &digits].concat();
        prop_assert!(converts_back(&bytes, "bytea", &hexadecimal, &bytes));
        let id = Uuid::from_u128(number);
        prop_assert!(converts_back(&id, "uuid", &id.to_string(), id.as_bytes()));
        let letter = if yes { "t" } else { "f" };
        prop_assert!(converts_back(&yes, "bool", letter, &[u8::from(yes)]));
        let json = serde_json::json!({ &text: [digits, yes, null_or(number)] });
        let written = json.to_string();
        prop_assert!(converts_back(&json, "json", &written, written.as_bytes()));
        let jsonb = [&[1], written.as_bytes()].concat();
        prop_assert!(converts_back(&json, "jsonb", &written, &jsonb));
    }
}

fn null_or(number: u128) -> serde_json::Value {
    u64::try_from(number).map_or(serde_json::Value::Null, Into::into)
}

#[test]
fn the_error_of_a_value_of_another_type_shows_the_value() {
    let error = of::<i16>(Value::Text("70000"), "int4")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "column \"c\" holds \"70000\", which is not a 16-bit integer"
    );
    assert!(of::<Vec<u8>>(Value::Text("\\x0"), "bytea").is_err());
    assert!(of::<bool>(Value::Text("yes"), "bool").is_err());
}

/// The binary format of an array of one dimension.
fn array(oid: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = [1_u32, 1, oid, u32::try_from(elements.len()).unwrap(), 1]
        .map(u32::to_be_bytes)
        .concat();
    for element in elements {
        let length = element.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
        bytes.extend(length.to_be_bytes());
        bytes.extend(element.unwrap_or_default());
    }
    bytes
}

#[test]
fn arrays_convert_from_both_formats() {
    let expected = vec![Some(1), None];
    let binary = array(23, &[Some(&[0, 0, 0, 1]), None]);
    for value in [Value::Text("{1,NULL}"), Value::Binary(&binary)] {
        assert_eq!(of(value, "_int4"), Ok(Some(expected.clone())));
        let error = of::<Vec<i32>>(value, "_int4").unwrap_err().to_string();
        assert!(error.contains("needs Vec<Option<T>>"), "{error}");
        assert_eq!(of(value, "_int4"), Ok(Some("{1,NULL}".to_owned())));
    }
    assert_eq!(
        of(Value::Text(r#"{"a b",c}"#), "_text"),
        Ok(Some(vec!["a b".to_owned(), "c".to_owned()]))
    );
    assert_eq!(
        of(Value::Text("{{1},{2}}"), "_int4"),
        Ok(Some(vec![vec![1], vec![2]]))
    );
    let empty = array(23, &[]);
    assert!(of::<Vec<i32>>(Value::Binary(&empty[..8]), "_int4").is_err());
    // Of more elements than bytes.
    let mut many = array(23, &[]);
    many[12..16].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(of::<Vec<i32>>(Value::Binary(&many), "_int4").is_err());
    assert!(of::<String>(Value::Binary(&many), "_int4").is_err());
}

#[test]
fn ranges_convert_from_both_formats() {
    let between = Range::Between {
        lower: Bound::Included(1_i64),
        upper: Bound::Excluded(10),
    };
    let binary = [2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 10];
    for value in [Value::Text("[1,10)"), Value::Binary(&binary)] {
        assert_eq!(of(value, "int4range"), Ok(Some(between)));
        assert_eq!(of(value, "int4range"), Ok(Some("[1,10)".to_owned())));
    }
    let unbounded = Range::Between {
        lower: Bound::<i64>::Unbounded,
        upper: Bound::Unbounded,
    };
    for value in [Value::Text("(,)"), Value::Binary(&[0x18])] {
        assert_eq!(of(value, "int4range"), Ok(Some(unbounded)));
    }
    for value in [Value::Text("empty"), Value::Binary(&[1])] {
        assert_eq!(of(value, "int4range"), Ok(Some(Range::<i64>::Empty)));
    }
    assert!(of::<Range<i64>>(Value::Binary(&binary[..9]), "int4range").is_err());
}

#[test]
fn an_infinite_date_is_an_error_that_says_so() {
    let error = of::<&str>(Value::Binary(&i32::MAX.to_be_bytes()), "date").unwrap_err();
    assert_eq!(
        error.to_string(),
        "column \"c\" holds \"infinity\" in the binary format Date, which is not text"
    );
}
