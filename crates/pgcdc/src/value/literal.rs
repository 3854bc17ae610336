//! Literals of PostgreSQL's text format with several values in them: arrays and ranges.

use std::borrow::Cow;
use std::ops::Bound;

/// An element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArrayElement<'a> {
    /// NULL.
    Null,
    /// A value, without the quotation marks.
    Value(Cow<'a, str>),
    /// An array, in braces.
    Array(&'a str),
}

/// The elements of an array, `{1,NULL,"a \"b\""}`, whatever its bounds; `None` when the text is no array.
pub(crate) fn array_elements(text: &str) -> Option<Vec<ArrayElement<'_>>> {
    let text = match text.split_once('=') {
        Some((bounds, rest)) if bounds.starts_with('[') => rest,
        _ => text,
    };
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (element, after) = element(rest)?;
        elements.push(element);
        rest = match after.strip_prefix(',') {
            Some("") => return None,
            Some(next) => next,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(elements)
}

/// The element at the beginning of `text`, and the text after it.
fn element(text: &str) -> Option<(ArrayElement<'_>, &str)> {
    if text.starts_with('{') {
        let (array, after) = text.split_at(end_of_braces(text)?);
        return Some((ArrayElement::Array(array), after));
    }
    let (value, after) = item(text, &[','])?;
    Some(match value {
        Cow::Borrowed("NULL") if !text.starts_with('"') => (ArrayElement::Null, after),
        value => (ArrayElement::Value(value), after),
    })
}

/// Where the array at the beginning of `text` ends.
fn end_of_braces(text: &str) -> Option<usize> {
    let (mut depth, mut in_quotes) = (0_usize, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => in_quotes = !in_quotes,
            b'{' if !in_quotes => depth += 1,
            b'}' if !in_quotes => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The value at the beginning of `text`, up to one of the ends, and the text from there on. In quotation marks a backslash, or
/// another mark, stands before a mark.
fn item<'a>(text: &'a str, ends: &[char]) -> Option<(Cow<'a, str>, &'a str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find(ends).unwrap_or(text.len()));
        // The server escapes nothing outside of quotation marks.
        let is_plain = !value.is_empty() && !value.contains(['"', '\\', '{', '}']);
        return is_plain.then_some((Cow::Borrowed(value), after));
    };
    let end = inner.find(['"', '\\'])?;
    if inner[end..].starts_with('"') && !inner[end + 1..].starts_with('"') {
        return Some((Cow::Borrowed(&inner[..end]), &inner[end + 1..]));
    }
    let mut value = inner[..end].to_owned();
    let mut chars = inner[end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '"' => {
                let after = &inner[end + at + 1..];
                if !after.starts_with('"') {
                    return Some((Cow::Owned(value), after));
                }
                value.push(chars.next()?.1);
            }
            c => value.push(c),
        }
    }
    None
}

/// A range: nothing when it is empty.
pub(crate) type RangeBounds<'a> = Option<(Bound<Cow<'a, str>>, Bound<Cow<'a, str>>)>;

/// The bounds of a range, `[1,10)`; `None` when the text is no range.
pub(crate) fn range_bounds(text: &str) -> Option<RangeBounds<'_>> {
    if text == "empty" {
        return Some(None);
    }
    let (opening, rest) = (text.get(..1)?, text.get(1..)?);
    let (lower, rest) = match rest.strip_prefix(',') {
        Some(rest) => (None, rest),
        None => {
            let (value, rest) = item(rest, &[','])?;
            (Some(value), rest.strip_prefix(',')?)
        }
    };
    let (upper, closing) = match rest {
        ")" | "]" => (None, rest),
        _ => {
            let (value, rest) = item(rest, &[')', ']'])?;
            (Some(value), rest)
        }
    };
    let lower = match (opening, lower) {
        ("[" | "(", None) => Bound::Unbounded,
        ("[", Some(value)) => Bound::Included(value),
        ("(", Some(value)) => Bound::Excluded(value),
        _ => return None,
    };
    let upper = match (closing, upper) {
        ("]" | ")", None) => Bound::Unbounded,
        ("]", Some(value)) => Bound::Included(value),
        (")", Some(value)) => Bound::Excluded(value),
        _ => return None,
    };
    Some(Some((lower, upper)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrays_have_values_nulls_and_arrays() {
        let value = |text: &'static str| ArrayElement::Value(Cow::Borrowed(text));
        assert_eq!(
            array_elements(r#"[0:4]={a,NULL,"NULL","b,\"c\\","",{{1},{2}}}"#),
            Some(vec![
                value("a"),
                ArrayElement::Null,
                value("NULL"),
                value("b,\"c\\"),
                value(""),
                ArrayElement::Array("{{1},{2}}"),
            ])
        );
        assert_eq!(array_elements("{}"), Some(Vec::new()));
        for text in [
            "", "{", "1", "{1,}", "{,1}", "{1}x", "{\"a}", "{{1}", "{\"a\"b}", "{a\"b}",
        ] {
            assert_eq!(array_elements(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_have_bounds_or_none() {
        let value = |text: &'static str| Cow::Borrowed(text);
        let bounds = |text: &'static str| range_bounds(text).unwrap().unwrap();
        assert_eq!(
            bounds("[1,10)"),
            (Bound::Included(value("1")), Bound::Excluded(value("10")))
        );
        assert_eq!(
            bounds("(,\"a b\"]"),
            (Bound::Unbounded, Bound::Included(value("a b")))
        );
        assert_eq!(
            bounds("(\"a\"\"b\\\\\",)"),
            (Bound::Excluded(value("a\"b\\")), Bound::Unbounded)
        );
        assert_eq!(bounds("[\"\",)").0, Bound::Included(value("")));
        assert_eq!(range_bounds("empty"), Some(None));
        for text in ["", "[", "[1", "[1,", "1,2)", "[1,2", "ä", "[1,2)x"] {
            assert_eq!(range_bounds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[({\"\\\\ä,a1NUL})\\]=:]{0,20}") {
            let _ = (array_elements(&text), range_bounds(&text));
        }
    }
}
