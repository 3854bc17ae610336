//! Conversion to vectors.

use super::FromValue;
use crate::value::binary::BinaryArray;
use crate::value::literal::{ArrayElement, array_elements};
use crate::{BinaryFormat, Column};

/// An array. Its elements own their values; one of several dimensions is a vector of vectors.
impl<'a, T> FromValue<'a> for Vec<T>
where
    T: for<'b> FromValue<'b>,
{
    const NAME: &'static str = "an array of such elements (NULL among them needs Vec<Option<T>>)";

    fn from_text(text: &'a str, column: &Column) -> Option<Self> {
        let of_element = column.element(0);
        let elements = array_elements(text)?;
        let convert = |element: &ArrayElement<'_>| match element {
            ArrayElement::Null => T::null_element(),
            ArrayElement::Value(value) => T::from_text(value, &of_element),
            ArrayElement::Array(array) => T::from_text(array, column),
        };
        elements.iter().map(convert).collect()
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        if !matches!(column.binary, BinaryFormat::Array(_)) {
            return None;
        }
        let array = BinaryArray::parse(bytes)?;
        if let Some(parts) = array.parts() {
            let convert = |part: &Vec<u8>| T::from_binary(part, column);
            return parts.iter().map(convert).collect();
        }
        let of_element = column.element(array.element_oid);
        let convert = |element: Option<&[u8]>| match element {
            Some(bytes) => T::from_binary(bytes, &of_element),
            None => T::null_element(),
        };
        array.elements()?.into_iter().map(convert).collect()
    }
}

/// An element of an array that may be NULL.
impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    const NAME: &'static str = T::NAME;

    fn from_text(text: &'a str, column: &Column) -> Option<Self> {
        T::from_text(text, column).map(Some)
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        T::from_binary(bytes, column).map(Some)
    }

    fn null_element() -> Option<Self> {
        Some(None)
    }
}
