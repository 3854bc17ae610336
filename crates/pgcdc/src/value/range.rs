//! Ranges.

use std::borrow::Cow;
use std::ops::Bound;

use super::FromValue;
use crate::value::binary::BinaryRange;
use crate::value::literal::range_bounds;
use crate::{BinaryFormat, Column};

/// A range of PostgreSQL: `int4range`, `tstzrange`, and any other with bounds of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range<T> {
    /// No value is in it.
    Empty,
    /// The values from the lower to the upper bound.
    Between {
        /// Lower bound.
        lower: Bound<T>,
        /// Upper bound.
        upper: Bound<T>,
    },
}

impl<'a, T> FromValue<'a> for Range<T>
where
    T: for<'b> FromValue<'b>,
{
    const NAME: &'static str = "a range with such bounds";

    fn from_text(text: &'a str, column: &Column) -> Option<Self> {
        let of_bound = column.bound();
        let Some((lower, upper)) = range_bounds(text)? else {
            return Some(Self::Empty);
        };
        let convert =
            |bound: Bound<Cow<'_, str>>| each(bound, |text| T::from_text(&text, &of_bound));
        Some(Self::Between {
            lower: convert(lower)?,
            upper: convert(upper)?,
        })
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        if !matches!(column.binary, BinaryFormat::Range(_)) {
            return None;
        }
        let of_bound = column.bound();
        let BinaryRange::Between(lower, upper) = BinaryRange::parse(bytes)? else {
            return Some(Self::Empty);
        };
        let convert = |bound: Bound<&[u8]>| each(bound, |bytes| T::from_binary(bytes, &of_bound));
        Some(Self::Between {
            lower: convert(lower)?,
            upper: convert(upper)?,
        })
    }
}

/// The bound with its value converted.
fn each<S, T>(bound: Bound<S>, convert: impl FnOnce(S) -> Option<T>) -> Option<Bound<T>> {
    Some(match bound {
        Bound::Included(value) => Bound::Included(convert(value)?),
        Bound::Excluded(value) => Bound::Excluded(convert(value)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}
