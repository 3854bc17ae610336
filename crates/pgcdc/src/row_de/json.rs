//! The documents of `json` and `jsonb` columns.

use std::borrow::Cow;

use serde::de::{Deserializer, Error, Visitor};

use super::error::Reason;

/// How a visitor takes a document: as any value, as an enum.
pub(super) trait Take<'de> {
    type Value;

    fn take<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error>;
}

/// As whatever it is.
pub(super) struct Any<V>(pub(super) V);

impl<'de, V: Visitor<'de>> Take<'de> for Any<V> {
    type Value = V::Value;

    fn take<D: Deserializer<'de>>(self, document: D) -> Result<V::Value, D::Error> {
        document.deserialize_any(self.0)
    }
}

/// As an enum.
pub(super) struct Enum<V> {
    pub(super) name: &'static str,
    pub(super) variants: &'static [&'static str],
    pub(super) visitor: V,
}

impl<'de, V: Visitor<'de>> Take<'de> for Enum<V> {
    type Value = V::Value;

    fn take<D: Deserializer<'de>>(self, document: D) -> Result<V::Value, D::Error> {
        document.deserialize_enum(self.name, self.variants, self.visitor)
    }
}

/// Reads a document.
pub(super) fn read<'de, T: Take<'de>>(text: Cow<'de, str>, take: T) -> Result<T::Value, Reason> {
    match text {
        Cow::Borrowed(text) => {
            let mut document = serde_json::Deserializer::from_str(text);
            let value = take.take(&mut document);
            value.and_then(|value| document.end().map(|()| value))
        }
        // What is read from it does not borrow.
        Cow::Owned(text) => {
            let mut document = serde_json::Deserializer::from_reader(text.as_bytes());
            let value = take.take(&mut document);
            value.and_then(|value| document.end().map(|()| value))
        }
    }
    .map_err(Reason::custom)
}
