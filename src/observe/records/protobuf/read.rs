//! A record in Protobuf: its outline, and its key with the values that JsonConverter would write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::file::{Field, FieldKind, MessageId, ProtobufSchema};
use super::wire::{NotProtobuf, ProtobufBytes, WireValue, zigzag};
use crate::observe::records::outline::{LONGEST_TEXT, Outline, Part, Selection, Treatment};

/// Messages nested deeper are refused, so that no record can exhaust the stack.
const DEEPEST: usize = 64;
/// Most indexes of a message's path.
const LONGEST_PATH: i64 = 32;

impl ProtobufSchema {
    /// The outline of a message of this schema, the path of the message before it.
    pub fn outline(&self, bytes: &[u8], selection: Selection<'_>) -> Result<Part, NotProtobuf> {
        let (id, body) = self.message_of(bytes)?;
        self.part(id, body, selection, 0)
    }

    /// A whole message of this schema, the path of the message before it.
    pub fn value(&self, bytes: &[u8]) -> Result<Value, NotProtobuf> {
        let (id, body) = self.message_of(bytes)?;
        self.read(id, body, 0)
    }

    /// The message that the bytes say they are, and the rest of them.
    fn message_of<'b>(&self, bytes: &'b [u8]) -> Result<(MessageId, &'b [u8]), NotProtobuf> {
        let mut bytes = ProtobufBytes(bytes);
        let count = bytes.zigzag()?;
        if !(0..=LONGEST_PATH).contains(&count) {
            return Err(NotProtobuf);
        }
        // No indexes are short for the first message.
        let mut path = vec![0; usize::from(count == 0)];
        for _ in 0..count {
            path.push(usize::try_from(bytes.zigzag()?).map_err(|_| NotProtobuf)?);
        }
        Ok((self.at(&path).ok_or(NotProtobuf)?, bytes.0))
    }

    fn part(
        &self,
        id: MessageId,
        bytes: &[u8],
        selection: Selection<'_>,
        depth: usize,
    ) -> Result<Part, NotProtobuf> {
        let fields = &self.message(id).fields;
        let mut outline = Outline::of_members(fields.len());
        // What is not written is null, or zero.
        for field in fields {
            if !matches!(selection.of(&field.name), Treatment::Leave) {
                outline.push(field.name.clone(), of_json(&default(field)));
            }
        }
        let mut bytes = ProtobufBytes(bytes);
        while let Some((number, value)) = bytes.field()? {
            let Some(field) = fields.iter().find(|field| field.number == number) else {
                continue;
            };
            let part = match (selection.of(&field.name), &field.kind, value) {
                (Treatment::Leave, ..) => continue,
                _ if field.is_repeated => Part::Skipped,
                (Treatment::Enter(within), FieldKind::Message(id), WireValue::Sized(body))
                    if depth < DEEPEST =>
                {
                    self.part(*id, body, within, depth + 1)?
                }
                (_, FieldKind::Message(_) | FieldKind::Named(_), _) => Part::SkippedObject,
                _ => of_json(&scalar(field, value)?),
            };
            outline.push(field.name.clone(), part);
        }
        Ok(Part::Fields(outline))
    }

    fn read(&self, id: MessageId, bytes: &[u8], depth: usize) -> Result<Value, NotProtobuf> {
        let fields = &self.message(id).fields;
        let mut columns: Map<String, Value> = fields
            .iter()
            .map(|field| (field.name.clone(), default(field)))
            .collect();
        let mut bytes = ProtobufBytes(bytes);
        while let Some((number, value)) = bytes.field()? {
            let Some(field) = fields.iter().find(|field| field.number == number) else {
                continue;
            };
            let value = match (&field.kind, value) {
                // No column of a key is one.
                _ if field.is_repeated => Value::Null,
                (FieldKind::Message(id), WireValue::Sized(body)) if depth < DEEPEST => {
                    self.read(*id, body, depth + 1)?
                }
                (FieldKind::Message(_), _) => return Err(NotProtobuf),
                _ => scalar(field, value)?,
            };
            columns.insert(field.name.clone(), value);
        }
        Ok(Value::Object(columns))
    }
}

/// What a field is that is not written.
fn default(field: &Field) -> Value {
    if field.has_presence || field.is_repeated {
        return Value::Null;
    }
    match &field.kind {
        FieldKind::Integer | FieldKind::ZigZag | FieldKind::Fixed => Value::from(0),
        FieldKind::Bool => Value::from(false),
        FieldKind::Float => Value::from(0.0),
        FieldKind::Text | FieldKind::Bytes => Value::from(""),
        FieldKind::Enum(names) => names
            .get(&0)
            .map_or(Value::Null, |name| Value::from(name.as_str())),
        FieldKind::Message(_) | FieldKind::Named(_) => Value::Null,
    }
}

fn scalar(field: &Field, value: WireValue<'_>) -> Result<Value, NotProtobuf> {
    Ok(match (&field.kind, value) {
        (FieldKind::Integer, WireValue::Varint(bits)) => bits.cast_signed().into(),
        (FieldKind::ZigZag, WireValue::Varint(bits)) => zigzag(bits).into(),
        (FieldKind::Bool, WireValue::Varint(bits)) => (bits != 0).into(),
        (FieldKind::Enum(names), WireValue::Varint(bits)) => match names.get(&bits.cast_signed()) {
            Some(name) => name.as_str().into(),
            None => bits.into(),
        },
        (FieldKind::Fixed, WireValue::Fixed64(bytes)) => i64::from_le_bytes(bytes).into(),
        (FieldKind::Fixed, WireValue::Fixed32(bytes)) => i32::from_le_bytes(bytes).into(),
        (FieldKind::Float, WireValue::Fixed64(bytes)) => f64::from_le_bytes(bytes).into(),
        // The shortest digits that are this number, as Java prints it.
        (FieldKind::Float, WireValue::Fixed32(bytes)) => {
            let digits = f32::from_le_bytes(bytes).to_string();
            digits.parse::<f64>().map_err(|_| NotProtobuf)?.into()
        }
        (FieldKind::Text, WireValue::Sized(bytes)) => {
            std::str::from_utf8(bytes).map_err(|_| NotProtobuf)?.into()
        }
        (FieldKind::Bytes, WireValue::Sized(bytes)) => STANDARD.encode(bytes).into(),
        (FieldKind::Named(_), _) => Value::Null,
        _ => return Err(NotProtobuf),
    })
}

fn of_json(value: &Value) -> Part {
    match value {
        Value::Null => Part::Null,
        Value::Bool(flag) => Part::Flag(*flag),
        Value::Number(number) => number.as_i64().map_or(Part::Skipped, Part::Integer),
        Value::String(text) if text.len() <= LONGEST_TEXT => Part::Text(text.clone()),
        Value::Object(_) => Part::SkippedObject,
        _ => Part::Skipped,
    }
}

#[cfg(test)]
mod tests;
