//! JSON in place of a value that is not there: null, or not sent because it did not change.

use pgcdc::{Column, TypeKind};

use super::json::{base64, raw, string};
use super::number::NumberFormat;
use super::value;

/// Placeholder of a value that the stream does not carry because it did not change (`unavailable.value.placeholder`).
pub const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same as a UUID, which Java derives from its bytes.
const UNAVAILABLE_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// Writes the placeholder of a value that the stream does not carry.
pub(super) fn write_unavailable(out: &mut Vec<u8>, kind: &TypeKind) {
    match kind {
        TypeKind::Bytea => base64(out, UNAVAILABLE.as_bytes()),
        TypeKind::Array(element) => unavailable_array(out, element),
        TypeKind::Hstore => string(out, &format!("{{\"{UNAVAILABLE}\":\"{UNAVAILABLE}\"}}")),
        _ => string(out, UNAVAILABLE),
    }
}

/// Only an array of texts can hold the placeholder: one of numbers holds the numbers of its bytes.
fn unavailable_array(out: &mut Vec<u8>, element: &TypeKind) {
    match element {
        TypeKind::Text
        | TypeKind::Json
        | TypeKind::TimestampTz
        | TypeKind::TimeTz
        | TypeKind::Hstore
        | TypeKind::Bytea => {
            out.push(b'[');
            write_unavailable(out, element);
            out.push(b']');
        }
        TypeKind::Uuid => {
            out.push(b'[');
            string(out, UNAVAILABLE_UUID);
            out.push(b']');
        }
        TypeKind::Integer | TypeKind::Date | TypeKind::Time | TypeKind::Timestamp => {
            let bytes: Vec<_> = UNAVAILABLE.bytes().map(|byte| byte.to_string()).collect();
            raw(out, &format!("[{}]", bytes.join(",")));
        }
        _ => raw(out, "null"),
    }
}

/// Writes null. A column with a constant default has the default instead (`replace.null.with.default`), and a `NOT NULL`
/// column the zero of its type: an old row has such nulls for columns outside of the replica identity.
pub(super) fn write_null(out: &mut Vec<u8>, column: &Column, numbers: NumberFormat) {
    let zero = match &column.kind {
        TypeKind::Bool => "f",
        TypeKind::Integer | TypeKind::Float | TypeKind::Numeric | TypeKind::Money { .. } => "0",
        TypeKind::Date => "1970-01-01",
        TypeKind::Time => "00:00:00",
        TypeKind::Timestamp => "1970-01-01 00:00:00",
        TypeKind::TimestampTz => "1970-01-01 00:00:00+00",
        TypeKind::TimeTz => "00:00:00+00",
        TypeKind::Interval => "00:00:00",
        TypeKind::Bytea => "\\x",
        TypeKind::Array(_) => "{}",
        TypeKind::Vector | TypeKind::HalfVector => "[]",
        // Debezium has none, and ends.
        TypeKind::SparseVector => return raw(out, "null"),
        // An empty collection.
        TypeKind::Geometry => "010700000000000000",
        _ => "",
    };
    // Debezium does not read defaults of extensions' types.
    let default = match column.kind {
        TypeKind::Vector | TypeKind::HalfVector | TypeKind::Geometry => None,
        _ => column.default.as_deref(),
    };
    let text = match default.and_then(constant) {
        Some(constant) => constant,
        None if column.not_null == Some(true) => zero.to_owned(),
        None => return raw(out, "null"),
    };
    let start = out.len();
    let modifier = column.type_modifier;
    if value::write(out, &text, &column.kind, modifier, numbers).is_err() {
        // The default only looked like a constant.
        out.truncate(start);
        raw(out, "null");
    }
}

/// The value of a constant expression: `5`, `'it''s'::text`, `true`.
fn constant(expression: &str) -> Option<String> {
    match expression {
        "true" => return Some("t".to_owned()),
        "false" => return Some("f".to_owned()),
        _ => {}
    }
    if let Some(quoted) = expression.strip_prefix('\'') {
        let (text, cast) = quoted.rsplit_once('\'')?;
        return (cast.is_empty() || cast.starts_with("::")).then(|| text.replace("''", "'"));
    }
    let number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    (!expression.is_empty() && expression.chars().all(number)).then(|| expression.to_owned())
}
