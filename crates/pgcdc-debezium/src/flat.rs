//! Changes as lines of plain JSON, for people and small programs: one object with plain values.

use serde_json::value::RawValue;

use super::error::EnvelopeError;
use super::json::{self, WriteResult};
use super::number::{Decimals, NumberFormat};
use super::value;
use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{Change, Column, LogicalMessage, Relation, TypeKind};

const NUMBERS: NumberFormat = NumberFormat {
    decimals: Decimals::Text,
    money_scale: 2,
};
/// OIDs of `json` and `jsonb`.
const JSON: [u32; 2] = [114, 3802];

/// Appends a change as one JSON object, without a newline.
///
/// Its keys: `op`, `table`, `lsn`, `commit_lsn`, `xid`, `commit_us` (microseconds since the Unix epoch, PostgreSQL's clock),
/// `index` in the transaction, and the rows `new` and `old`. Numbers are JSON numbers (`numeric` is a string, so that no digit
/// is lost), JSON columns are JSON, and all other values are strings in PostgreSQL's text format. Columns that were not sent
/// because they did not change are listed in `unchanged`. The old row holds the columns of the replica identity, without
/// nulls unless it is the whole row.
///
/// # Errors
/// When a value is not of its column's type. Then nothing is appended.
pub fn write_flat(out: &mut Vec<u8>, change: &Change<'_>) -> Result<(), EnvelopeError> {
    let start = out.len();
    let written = object(out, change);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends a message of `pg_logical_emit_message()` as one JSON object, without a newline.
///
/// Its keys: `op`, which is `message`, `lsn`, of a transactional message also `commit_lsn`, `xid`, `commit_us` and `index` as in a
/// change, then `prefix`, and `content` if that is UTF-8, or else `content_base64`.
pub fn write_flat_message(out: &mut Vec<u8>, message: &LogicalMessage<'_>) {
    json::raw(
        out,
        &format!("{{\"op\":\"message\",\"lsn\":\"{}\"", message.lsn),
    );
    if let Some(transaction) = message.transaction {
        json::raw(
            out,
            &format!(
                ",\"commit_lsn\":\"{}\",\"xid\":{},\"commit_us\":{},\"index\":{}",
                transaction.commit_lsn,
                transaction.xid,
                transaction.commit_time.0.div_euclid(1_000),
                message.index
            ),
        );
    }
    json::raw(out, ",\"prefix\":");
    json::string(out, message.prefix);
    match std::str::from_utf8(message.content) {
        Ok(text) => {
            json::raw(out, ",\"content\":");
            json::string(out, text);
        }
        Err(_) => {
            json::raw(out, ",\"content_base64\":");
            json::base64(out, message.content);
        }
    }
    out.push(b'}');
}

fn object(out: &mut Vec<u8>, change: &Change<'_>) -> Result<(), EnvelopeError> {
    let (relation, transaction) = (change.relation, change.transaction);
    json::raw(out, "{\"op\":\"");
    json::raw(out, &change.operation.to_string());
    json::raw(out, "\",\"table\":");
    json::string(out, &relation.to_string());
    json::raw(
        out,
        &format!(
            ",\"lsn\":\"{}\",\"commit_lsn\":\"{}\",\"xid\":{},\"commit_us\":{},\"index\":{}",
            change.lsn,
            transaction.commit_lsn,
            transaction.xid,
            transaction.commit_time.0.div_euclid(1_000),
            change.index
        ),
    );
    if let Some(new) = &change.new {
        json::raw(out, ",\"new\":");
        row(out, relation, new, |value| value != Value::Unchanged)?;
        unchanged(out, relation, new);
    }
    match &change.old {
        Some(OldTuple::Key(old)) => {
            json::raw(out, ",\"old\":");
            row(out, relation, old, |value| value != Value::Null)?;
        }
        Some(OldTuple::Full(old)) => {
            json::raw(out, ",\"old\":");
            row(out, relation, old, |_| true)?;
        }
        None => {}
    }
    out.push(b'}');
    Ok(())
}

fn row(
    out: &mut Vec<u8>,
    relation: &Relation,
    row: &Tuple<'_>,
    is_written: impl Fn(Value<'_>) -> bool,
) -> Result<(), EnvelopeError> {
    out.push(b'{');
    let start = out.len();
    let cells = relation.columns.iter().zip(row);
    for (column, cell) in cells.filter(|(_, cell)| is_written(*cell)) {
        if out.len() > start {
            out.push(b',');
        }
        json::string(out, &column.name);
        out.push(b':');
        match cell {
            Value::Null | Value::Unchanged => json::raw(out, "null"),
            Value::Text(text) => text_as_json(out, text, column)
                .map_err(|_| EnvelopeError::malformed(relation, column, text))?,
            Value::Binary(bytes) => {
                json::string(out, &format!("\\x{}", hex::encode(bytes)));
            }
        }
    }
    out.push(b'}');
    Ok(())
}

fn text_as_json(out: &mut Vec<u8>, text: &str, column: &Column) -> WriteResult {
    if JSON.contains(&column.type_oid) {
        serde_json::from_str::<&RawValue>(text).map_err(|_| json::Malformed)?;
        // `json` keeps its original text, which may have newlines between tokens; the output is one line.
        out.extend(text.bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        }));
        return Ok(());
    }
    match column.kind {
        TypeKind::Bool | TypeKind::Integer | TypeKind::Float => {
            let (kind, modifier) = (&column.kind, column.type_modifier);
            value::write(out, text, kind, modifier, NUMBERS)
        }
        _ => {
            json::string(out, text);
            Ok(())
        }
    }
}

fn unchanged(out: &mut Vec<u8>, relation: &Relation, row: &Tuple<'_>) {
    let cells = relation.columns.iter().zip(row);
    let mut names = cells
        .filter(|(_, cell)| *cell == Value::Unchanged)
        .map(|(column, _)| &column.name)
        .peekable();
    if names.peek().is_none() {
        return;
    }
    json::raw(out, ",\"unchanged\":[");
    for (position, name) in names.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        json::string(out, name);
    }
    out.push(b']');
}
