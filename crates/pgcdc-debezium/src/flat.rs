//! Changes as lines that a person or a small program reads at once: one object, plain values.

use serde_json::value::RawValue;

use super::EnvelopeError;
use super::value::{self, Decimals, Malformed};
use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{Change, Column, Relation, TypeKind};

/// `json` and `jsonb`: JSON already.
const JSON: [u32; 2] = [114, 3802];

/// Writes a change as one JSON object, without a line's end.
///
/// `op`, `table`, `lsn`, `commit_lsn`, `xid`, `commit_us` (microseconds since the Unix epoch, PostgreSQL's clock), `index`
/// in its transaction; `new` and `old` rows. Numbers are numbers (`numeric` is a text, so that no digit is lost), JSON is
/// JSON, everything else is as PostgreSQL writes it. Columns that were not sent because they did not change stand in
/// `unchanged`, by name. The old row holds what the replica identity tells, and no nulls besides.
///
/// # Errors
/// When the change holds what is no value of its column's type. Then nothing is written.
pub fn write_flat(out: &mut Vec<u8>, change: &Change<'_>) -> Result<(), EnvelopeError> {
    let start = out.len();
    let written = object(out, change);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn object(out: &mut Vec<u8>, change: &Change<'_>) -> Result<(), EnvelopeError> {
    let (relation, transaction) = (change.relation, change.transaction);
    value::raw(out, "{\"op\":\"");
    value::raw(out, &change.operation.to_string());
    value::raw(out, "\",\"table\":");
    value::string(out, &relation.to_string());
    value::raw(
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
        value::raw(out, ",\"new\":");
        row(out, relation, new, |value| value != Value::Unchanged)?;
        unchanged(out, relation, new);
    }
    match &change.old {
        Some(OldTuple::Key(old)) => {
            value::raw(out, ",\"old\":");
            row(out, relation, old, |value| value != Value::Null)?;
        }
        Some(OldTuple::Full(old)) => {
            value::raw(out, ",\"old\":");
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
    is_told: impl Fn(Value<'_>) -> bool,
) -> Result<(), EnvelopeError> {
    out.push(b'{');
    let start = out.len();
    let cells = relation.columns.iter().zip(row);
    for (column, cell) in cells.filter(|(_, cell)| is_told(*cell)) {
        if out.len() > start {
            out.push(b',');
        }
        value::string(out, &column.name);
        out.push(b':');
        match cell {
            Value::Null | Value::Unchanged => value::raw(out, "null"),
            Value::Text(text) => text_as_json(out, text, column)
                .map_err(|_| EnvelopeError::malformed(relation, column, text))?,
            Value::Binary(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                value::string(out, &format!("\\x{digits}"));
            }
        }
    }
    out.push(b'}');
    Ok(())
}

fn text_as_json(out: &mut Vec<u8>, text: &str, column: &Column) -> Result<(), Malformed> {
    if JSON.contains(&column.type_oid) {
        serde_json::from_str::<&RawValue>(text).map_err(|_| Malformed)?;
        // `json` is kept as it was typed. Lines end in it between its tokens alone, and ours is one line.
        out.extend(text.bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        }));
        return Ok(());
    }
    match column.kind {
        TypeKind::Bool | TypeKind::Integer | TypeKind::Float => {
            let (kind, modifier) = (&column.kind, column.type_modifier);
            value::write(out, text, kind, modifier, Decimals::Text)
        }
        _ => {
            value::string(out, text);
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
    value::raw(out, ",\"unchanged\":[");
    for (position, name) in names.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        value::string(out, name);
    }
    out.push(b']');
}
