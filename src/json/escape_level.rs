//! The two levels at which JSON is read: a text by itself, or a text in a JSON string of another, where its quotes and
//! backslashes are escaped once more.

/// What ends a run of plain bytes in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StringMark {
    /// The quote at the end of the string.
    Quote,
    Escape,
}

/// How quotes and escapes are written at a level. Anything else is not JSON there.
pub(crate) trait EscapeLevel {
    /// The quote before and after a string.
    const QUOTE: &'static str;

    /// The first byte of the token at the beginning of `rest`, `"` for a string.
    fn token(rest: &[u8]) -> Option<u8>;

    /// Whether the text ends at the beginning of `rest`.
    fn is_over(rest: &[u8]) -> bool;

    /// The quote or escape at the beginning of `rest`; `None` for any other byte that a string cannot contain.
    fn mark(rest: &[u8]) -> Option<StringMark>;

    /// The character of the escape at the beginning of `rest`, and the length of the escape in bytes.
    fn escape(rest: &[u8]) -> Option<(char, usize)>;
}

/// A JSON text by itself.
#[derive(Debug)]
pub(crate) struct TopLevel;

impl EscapeLevel for TopLevel {
    const QUOTE: &'static str = "\"";

    #[inline]
    fn token(rest: &[u8]) -> Option<u8> {
        rest.first().copied()
    }

    #[inline]
    fn is_over(rest: &[u8]) -> bool {
        rest.is_empty()
    }

    #[inline]
    fn mark(rest: &[u8]) -> Option<StringMark> {
        match rest.first()? {
            b'"' => Some(StringMark::Quote),
            b'\\' => Some(StringMark::Escape),
            // A control character.
            _ => None,
        }
    }

    #[inline]
    fn escape(rest: &[u8]) -> Option<(char, usize)> {
        if let Some(byte) = simple_escape(rest) {
            return Some((char::from(byte), 2));
        }
        let (character, length) = code_point(rest)?;
        Some((character?, length))
    }
}

/// A JSON text in a JSON string, its quotes and backslashes escaped once more: `{\"a\": \"b\\nc\"}`. Only these may be
/// escaped, and only by a backslash: JSON allows other escapes (`\u0022`), but JSON writers do not use them. Such a text is
/// not accepted at this level, and the caller resolves the string first.
#[derive(Debug)]
pub(crate) struct InString;

impl EscapeLevel for InString {
    const QUOTE: &'static str = "\\\"";

    #[inline]
    fn token(rest: &[u8]) -> Option<u8> {
        match *rest.first()? {
            b'\\' => (*rest.get(1)? == b'"').then_some(b'"'),
            // The end of the string around it.
            b'"' => None,
            token => Some(token),
        }
    }

    #[inline]
    fn is_over(rest: &[u8]) -> bool {
        rest.first() == Some(&b'"')
    }

    #[inline]
    fn mark(rest: &[u8]) -> Option<StringMark> {
        match rest {
            [b'\\', b'"', ..] => Some(StringMark::Quote),
            [b'\\', b'\\', ..] => Some(StringMark::Escape),
            _ => None,
        }
    }

    #[inline]
    fn escape(rest: &[u8]) -> Option<(char, usize)> {
        match *rest {
            [_, _, b'\\', itself @ (b'"' | b'\\'), ..] => Some((char::from(itself), 4)),
            [_, _, b'\\' | b'"', ..] => None,
            [_, ref escape @ ..] => Some((char::from(simple_escape(escape)?), 3)),
            [] => None,
        }
    }
}

/// The byte of the escape at the beginning, where it is one of a single letter.
#[inline]
pub(super) fn simple_escape(text: &[u8]) -> Option<u8> {
    match *text.get(1)? {
        itself @ (b'"' | b'\\' | b'/') => Some(itself),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'r' => Some(b'\r'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

/// The character of `\uXXXX`, or of two of them that are a surrogate pair, and their length in bytes; no character for half
/// of such a pair.
fn code_point(text: &[u8]) -> Option<(Option<char>, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| {
            Some(unit << 4 | char::from(digit).to_digit(16)?)
        })
    };
    let first = unit(0)?;
    let high = first.wrapping_sub(0xd800);
    let low = unit(6).map(|second| second.wrapping_sub(0xdc00));
    match low {
        Some(low) if high < 0x400 && low < 0x400 => {
            Some((char::from_u32(0x1_0000 + (high << 10 | low)), 12))
        }
        _ => Some((char::from_u32(first), 6)),
    }
}
