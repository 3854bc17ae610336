//! What the stream carries of a value, and the elements of an array.

use std::borrow::Cow;

use crate::pgoutput::Value;
use crate::value::binary::BinaryArray;
use crate::value::literal::{ArrayElement, array_elements};

/// What the stream carries of a value.
pub(super) enum Content<'de> {
    /// The value.
    Sent(Value<'de>),
    /// A value in text format that could not be borrowed.
    Text(String),
    /// A value in binary format that could not be borrowed.
    Binary(Vec<u8>),
    /// Stored out of line and not changed.
    Unchanged,
    /// Not in the key, which is all that is sent of the old row.
    NotInKey,
}

/// An element of an array.
pub(super) enum Element<'de> {
    /// A value, or NULL.
    Value(Content<'de>),
    /// An array, of an array of several dimensions.
    Array(Content<'de>),
}

impl<'de> Content<'de> {
    /// The OID of the elements' type, 0 in text format, and the elements of an array; `None` when it is none.
    pub(super) fn elements(self) -> Option<(u32, Vec<Element<'de>>)> {
        match self {
            Self::Sent(Value::Text(text)) => {
                let elements = array_elements(text)?.into_iter();
                Some((0, elements.map(borrowed).collect()))
            }
            Self::Text(text) => {
                let elements = array_elements(&text)?.into_iter();
                Some((0, elements.map(owned).collect()))
            }
            Self::Sent(Value::Binary(bytes)) => {
                binary(bytes, |bytes| Self::Sent(Value::Binary(bytes)))
            }
            Self::Binary(bytes) => binary(&bytes, |bytes| Content::Binary(bytes.to_vec())),
            Self::Sent(Value::Null | Value::Unchanged) | Self::Unchanged | Self::NotInKey => None,
        }
    }
}

const NULL: Content<'static> = Content::Sent(Value::Null);

fn borrowed(element: ArrayElement<'_>) -> Element<'_> {
    match element {
        ArrayElement::Null => Element::Value(NULL),
        ArrayElement::Value(Cow::Borrowed(text)) => {
            Element::Value(Content::Sent(Value::Text(text)))
        }
        ArrayElement::Value(Cow::Owned(text)) => Element::Value(Content::Text(text)),
        ArrayElement::Array(text) => Element::Array(Content::Sent(Value::Text(text))),
    }
}

fn owned(element: ArrayElement<'_>) -> Element<'static> {
    match element {
        ArrayElement::Null => Element::Value(NULL),
        ArrayElement::Value(text) => Element::Value(Content::Text(text.into_owned())),
        ArrayElement::Array(text) => Element::Array(Content::Text(text.to_owned())),
    }
}

fn binary<'a, 'de>(
    bytes: &'a [u8],
    content: impl Fn(&'a [u8]) -> Content<'de>,
) -> Option<(u32, Vec<Element<'de>>)> {
    let array = BinaryArray::parse(bytes)?;
    let elements = if let Some(parts) = array.parts() {
        let parts = parts.into_iter();
        parts
            .map(|part| Element::Array(Content::Binary(part)))
            .collect()
    } else {
        let value = |bytes: Option<&'a [u8]>| Element::Value(bytes.map_or(NULL, &content));
        array.elements()?.into_iter().map(value).collect()
    };
    Some((array.element_oid, elements))
}
