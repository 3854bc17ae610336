//! Ranges in binary format.

use std::ops::Bound;

const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

/// A range: flags, then the bounds that are finite, each with its length.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BinaryRange<'a> {
    Empty,
    Between(Bound<&'a [u8]>, Bound<&'a [u8]>),
}

impl<'a> BinaryRange<'a> {
    /// `None` when the bytes are no range.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = bytes.split_first()?;
        if flags & EMPTY != 0 {
            return rest.is_empty().then_some(Self::Empty);
        }
        let mut bound = |infinite, inclusive| {
            if flags & infinite != 0 {
                return Some(Bound::Unbounded);
            }
            let (length, after) = rest.split_first_chunk()?;
            let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
            let (value, after) = after.split_at_checked(length)?;
            rest = after;
            Some(if flags & inclusive != 0 {
                Bound::Included(value)
            } else {
                Bound::Excluded(value)
            })
        };
        let lower = bound(LOWER_INFINITE, LOWER_INCLUSIVE)?;
        let upper = bound(UPPER_INFINITE, UPPER_INCLUSIVE)?;
        rest.is_empty().then_some(Self::Between(lower, upper))
    }

    /// Writes it as the server does: `[1,10)`, `(,"a b"]`, `empty`.
    pub(super) fn write(
        &self,
        out: &mut String,
        text: impl Fn(&[u8]) -> Option<String>,
    ) -> Option<()> {
        let Self::Between(lower, upper) = self else {
            out.push_str("empty");
            return Some(());
        };
        out.push(match lower {
            Bound::Included(_) => '[',
            _ => '(',
        });
        if let Bound::Included(bytes) | Bound::Excluded(bytes) = lower {
            write_bound(out, &text(bytes)?);
        }
        out.push(',');
        if let Bound::Included(bytes) | Bound::Excluded(bytes) = upper {
            write_bound(out, &text(bytes)?);
        }
        out.push(match upper {
            Bound::Included(_) => ']',
            _ => ')',
        });
        Some(())
    }
}

/// Writes a bound, in quotation marks where it would be read as another without.
fn write_bound(out: &mut String, text: &str) {
    let is_special = |c: char| {
        matches!(
            c,
            '"' | '\\' | '(' | ')' | '[' | ']' | ',' | ' ' | '\t'..='\r'
        )
    };
    if !text.is_empty() && !text.contains(is_special) {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('"');
}
