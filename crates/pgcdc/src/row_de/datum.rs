//! The value of a column.

use std::borrow::Cow;
use std::str::FromStr;

use serde::de::value::{CowStrDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};

use super::content::{Content, Element};
use super::error::Reason;
use super::json;
use crate::pgoutput::Value;
use crate::{BinaryFormat, Column, FromValue, Money, TypeKind};

/// A column with its value.
pub(super) struct Datum<'de, 'c> {
    pub(super) column: &'c Column,
    pub(super) content: Content<'de>,
}

impl<'de> Datum<'de, '_> {
    /// The value, if there is one.
    fn sent(&self) -> Result<Option<Value<'_>>, Reason> {
        match &self.content {
            Content::Sent(Value::Null) => Ok(None),
            Content::Sent(value) => Ok(Some(*value)),
            Content::Text(text) => Ok(Some(Value::Text(text))),
            Content::Binary(bytes) => Ok(Some(Value::Binary(bytes))),
            Content::Unchanged => Err(Reason::custom(
                "it did not change, and PostgreSQL does not send values that are stored out of line again; REPLICA IDENTITY FULL has it in the old row, and Change::deserialize_sent leaves it out",
            )),
            Content::NotInKey => Err(Reason::custom(
                "it is not in the key, which is all that the stream has of the old row; REPLICA IDENTITY FULL has it, and Change::deserialize_sent leaves it out",
            )),
        }
    }

    /// The value, which is not NULL.
    fn value(&self) -> Result<Value<'_>, Reason> {
        self.sent()?
            .ok_or_else(|| Reason::custom("it is NULL: its type must be an Option"))
    }

    /// A value of a type that columns convert to.
    fn convert<T: for<'a> FromValue<'a>>(&self) -> Result<T, Reason> {
        let converted = T::of(self.value()?, self.column);
        converted
            .map_err(Reason::custom)?
            .ok_or_else(|| Reason::custom("it is NULL"))
    }

    /// The text of the value: what the server writes, but for what serde's types have a form for.
    fn text(self) -> Result<Cow<'de, str>, Reason> {
        self.value()?;
        match self.column.kind {
            TypeKind::Money { .. } => {
                return Ok(self.convert::<Money>()?.to_string().into());
            }
            TypeKind::Timestamp => return Ok(rfc_3339(&self.written()?, "").into()),
            TypeKind::TimestampTz => return Ok(rfc_3339(&self.written()?, "+00").into()),
            _ => {}
        }
        self.written()
    }

    /// The text of the value as the server writes it.
    fn written(self) -> Result<Cow<'de, str>, Reason> {
        let column = self.column;
        match self.content {
            Content::Sent(Value::Text(text)) => return Ok(text.into()),
            Content::Text(text) => return Ok(text.into()),
            Content::Sent(Value::Binary(bytes)) => {
                if let Some(text) = <&str>::from_binary(bytes, column) {
                    return Ok(text.into());
                }
            }
            _ => {}
        }
        self.convert::<String>().map(Cow::Owned)
    }

    /// An integer of any width.
    fn integer<T: FromStr + TryFrom<i64>>(self, expected: &'static str) -> Result<T, Reason> {
        let number = match self.value()? {
            Value::Binary(_) if is_integer(&self.column.binary) => {
                T::try_from(self.convert::<i64>()?).ok()
            }
            _ => self.text()?.parse().ok(),
        };
        number.ok_or_else(|| Reason::custom(format!("its value is not {expected}")))
    }
}

/// Whether values are integers in this binary format.
fn is_integer(format: &BinaryFormat) -> bool {
    use BinaryFormat::{Int2, Int4, Int8, Oid};
    matches!(format, Int2 | Int4 | Int8 | Oid)
}

/// A timestamp, `2026-01-31 12:00:00+00`, as RFC 3339 has it. Those that it has not, before Christ or infinite, stay as they are.
fn rfc_3339(text: &str, zone: &str) -> String {
    match text.split_once(' ') {
        Some((date, time)) if !time.ends_with(" BC") => match time.strip_suffix(zone) {
            Some(time) if !zone.is_empty() => format!("{date}T{time}+00:00"),
            _ => format!("{date}T{time}"),
        },
        _ => text.to_owned(),
    }
}

/// The elements of an array.
struct Elements<'de, 'c> {
    array: &'c Column,
    of_element: Column,
    elements: std::vec::IntoIter<Element<'de>>,
}

impl<'de> SeqAccess<'de> for Elements<'de, '_> {
    type Error = Reason;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Reason> {
        let datum = match self.elements.next() {
            None => return Ok(None),
            Some(Element::Array(content)) => Datum {
                column: self.array,
                content,
            },
            Some(Element::Value(content)) => Datum {
                column: &self.of_element,
                content,
            },
        };
        seed.deserialize(datum).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $name:literal)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
            visitor.$visit(self.integer($name)?)
        }
    )+ };
}

impl<'de> Deserializer<'de> for Datum<'de, '_> {
    type Error = Reason;

    integers! {
        deserialize_i8 visit_i8 "an 8-bit integer"
        deserialize_i16 visit_i16 "a 16-bit integer"
        deserialize_i32 visit_i32 "a 32-bit integer"
        deserialize_i64 visit_i64 "a 64-bit integer"
        deserialize_i128 visit_i128 "a 128-bit integer"
        deserialize_u8 visit_u8 "an unsigned 8-bit integer"
        deserialize_u16 visit_u16 "an unsigned 16-bit integer"
        deserialize_u32 visit_u32 "an unsigned 32-bit integer"
        deserialize_u64 visit_u64 "an unsigned 64-bit integer"
        deserialize_u128 visit_u128 "an unsigned 128-bit integer"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        if self.sent()?.is_none() {
            return visitor.visit_unit();
        }
        match self.column.kind {
            TypeKind::Bool => self.deserialize_bool(visitor),
            TypeKind::Integer => self.deserialize_i64(visitor),
            TypeKind::Float => self.deserialize_f64(visitor),
            TypeKind::Array(_) => self.deserialize_seq(visitor),
            TypeKind::Json => json::read(self.written()?, json::Any(visitor)),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_bool(self.convert()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.column.kind {
            TypeKind::Money { .. } => self.deserialize_f64(visitor),
            _ => visitor.visit_f32(self.convert()?),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.column.kind {
            TypeKind::Money { .. } => {
                let amount = self.text()?;
                visitor.visit_f64(amount.parse().map_err(Reason::custom)?)
            }
            _ => visitor.visit_f64(self.convert()?),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match (&self.column.binary, &self.content) {
            (BinaryFormat::Bytea, Content::Sent(Value::Binary(bytes))) => {
                visitor.visit_borrowed_bytes(bytes)
            }
            _ => self.deserialize_byte_buf(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.column.kind {
            TypeKind::Bytea => visitor.visit_byte_buf(self.convert()?),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.sent()? {
            None => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.sent()? {
            None => visitor.visit_unit(),
            Some(_) => Err(Reason::custom("it is not NULL")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.column.kind {
            TypeKind::Json => json::read(self.written()?, json::Any(visitor)),
            TypeKind::Bytea => {
                let bytes: Vec<u8> = self.convert()?;
                visitor.visit_seq(SeqDeserializer::new(bytes.into_iter()))
            }
            TypeKind::Array(_) => {
                self.value()?;
                let elements = self.content.elements();
                let (type_oid, elements) =
                    elements.ok_or_else(|| Reason::custom("its value is no array"))?;
                visitor.visit_seq(Elements {
                    array: self.column,
                    of_element: self.column.element(type_oid),
                    elements: elements.into_iter(),
                })
            }
            _ => Err(Reason::custom("its type is no array")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        self.value()?;
        match self.column.kind {
            TypeKind::Json => json::read(self.written()?, json::Any(visitor)),
            _ => Err(Reason::custom("its type is neither json nor jsonb")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Reason> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Reason> {
        if self.column.kind == TypeKind::Json {
            self.value()?;
            let take = json::Enum {
                name,
                variants,
                visitor,
            };
            return json::read(self.written()?, take);
        }
        let variant: CowStrDeserializer<'_, Reason> = self.text()?.into_deserializer();
        variant.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        self.deserialize_str(visitor)
    }

    /// No place for it: nothing is read.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_unit()
    }
}
