//! A row: its columns as a map or as a sequence.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::content::Content;
use super::datum::Datum;
use super::error::Reason;
use crate::pgoutput::{Tuple, Value, Values};
use crate::{Column, Relation};

/// What becomes of a column that the stream does not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSent {
    /// It is an error, if the type has a place for it.
    IsError,
    /// The row is without it.
    IsLeftOut,
}

/// A row of a table, or what of it is left to read.
pub(super) struct Row<'de> {
    columns: std::slice::Iter<'de, Column>,
    values: Values<'de>,
    /// Whether it has the values of the key's columns alone.
    is_key: bool,
    not_sent: NotSent,
    /// A column whose name was read, and whose value is next.
    next: Option<Datum<'de, 'de>>,
}

impl<'de> Row<'de> {
    pub(super) fn new(
        relation: &'de Relation,
        row: Tuple<'de>,
        is_key: bool,
        not_sent: NotSent,
    ) -> Self {
        Self {
            columns: relation.columns.iter(),
            values: row.iter(),
            is_key,
            not_sent,
            next: None,
        }
    }

    /// The next column.
    fn step(&mut self) -> Option<Datum<'de, 'de>> {
        loop {
            let (column, value) = (self.columns.next()?, self.values.next()?);
            let content = match value {
                _ if self.is_key && !column.key => Content::NotInKey,
                Value::Unchanged => Content::Unchanged,
                value => Content::Sent(value),
            };
            let is_sent = matches!(content, Content::Sent(_));
            if is_sent || self.not_sent == NotSent::IsError {
                return Some(Datum { column, content });
            }
        }
    }

    /// The value of a row of one column.
    fn only(mut self) -> Result<Datum<'de, 'de>, Reason> {
        let count = self.columns.len();
        match self.step() {
            Some(datum) if count == 1 => Ok(datum),
            _ => Err(Reason::custom(format!(
                "{count} columns are no single value: a struct, a map or a tuple takes them"
            ))),
        }
    }
}

/// Reads the value of a column.
fn read<'de, S: DeserializeSeed<'de>>(datum: Datum<'de, 'de>, seed: S) -> Result<S::Value, Reason> {
    let column = datum.column;
    seed.deserialize(datum)
        .map_err(|reason| reason.of_column(&column.name))
}

impl<'de> MapAccess<'de> for Row<'de> {
    type Error = Reason;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Reason> {
        self.next = self.step();
        let Some(datum) = &self.next else {
            return Ok(None);
        };
        let name = &*datum.column.name;
        let key = seed.deserialize(BorrowedStrDeserializer::<Reason>::new(name));
        key.map(Some).map_err(|reason| reason.of_column(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Reason> {
        let next = self.next.take();
        read(
            next.ok_or_else(|| Reason::custom("a value was asked for before its name"))?,
            seed,
        )
    }
}

impl<'de> SeqAccess<'de> for Row<'de> {
    type Error = Reason;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Reason> {
        self.step().map(|datum| read(datum, seed)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.columns.len())
    }
}

/// Types of one value.
macro_rules! only {
    ($($method:ident)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
            let datum = self.only()?;
            let column = datum.column;
            datum.$method(visitor).map_err(|reason| reason.of_column(&column.name))
        }
    )+ };
}

impl<'de> Deserializer<'de> for Row<'de> {
    type Error = Reason;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_map(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Reason> {
        visitor.visit_map(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        let columns = self.columns.len();
        if columns != length {
            return Err(Reason::custom(format!(
                "{columns} columns are no tuple of {length}"
            )));
        }
        visitor.visit_seq(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        visitor.visit_newtype_struct(self)
    }

    /// The row is there; a column of it may be NULL.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Reason> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Reason> {
        let datum = self.only()?;
        let column = datum.column;
        datum
            .deserialize_enum(name, variants, visitor)
            .map_err(|reason| reason.of_column(&column.name))
    }

    only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier
    }
}
