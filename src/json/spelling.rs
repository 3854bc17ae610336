//! How the quotes and escapes of a JSON text are spelled where it stands: by itself, or within a string of another.

/// What a string cannot hold as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The quote at its end.
    Quote,
    Escape,
}

/// A way to spell them. What it does not know is no JSON to it.
pub(crate) trait Spelling {
    /// A quote, before and behind a string.
    const QUOTE: &'static str;

    /// The first byte of the token that is first here, `"` for a string.
    fn token(rest: &[u8]) -> Option<u8>;

    /// Whether nothing of the text is left.
    fn is_over(rest: &[u8]) -> bool;

    /// What is first here, at a byte of a string that does not stand for itself.
    fn mark(rest: &[u8]) -> Option<Mark>;

    /// What the escape that is first here stands for, and its length.
    fn escape(rest: &[u8]) -> Option<(char, usize)>;
}

/// A text by itself.
#[derive(Debug)]
pub(crate) struct Plain;

impl Spelling for Plain {
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
    fn mark(rest: &[u8]) -> Option<Mark> {
        match rest.first()? {
            b'"' => Some(Mark::Quote),
            b'\\' => Some(Mark::Escape),
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

/// A text within a string, its quotes and backslashes escaped once more: `{\"a\": \"b\\nc\"}`. Only these, and each by a
/// backslash before it: there are other ways to spell a text in a string, but nobody has taken them who writes JSON.
#[derive(Debug)]
pub(crate) struct Escaped;

impl Spelling for Escaped {
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
    fn mark(rest: &[u8]) -> Option<Mark> {
        match rest {
            [b'\\', b'"', ..] => Some(Mark::Quote),
            [b'\\', b'\\', ..] => Some(Mark::Escape),
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

/// What the escape at the beginning stands for, where it is one of a single letter.
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

/// What `\uXXXX` stands for, or two of them that are a surrogate pair, and their length; no character where it is half of
/// such a pair alone.
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
