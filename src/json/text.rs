//! A string as it stands in its document: where its escapes are, and what they stand for.

use std::borrow::Cow;

/// A JSON string between its quotes, known to be one; its escapes are resolved when it is read, and not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonText<'a> {
    raw: &'a str,
    escaped: bool,
}

/// A string that holds no text: a surrogate without its other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a \\u escape is no character: half of a surrogate pair")]
pub struct LoneSurrogate;

impl<'a> JsonText<'a> {
    pub(super) fn new(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The text, where there is no escape in it.
    #[inline]
    #[must_use]
    pub fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// The text, borrowed where there is no escape in it.
    ///
    /// # Errors
    /// [`LoneSurrogate`].
    #[inline]
    pub fn to_cow(self) -> Result<Cow<'a, str>, LoneSurrogate> {
        if let Some(text) = self.plain() {
            return Ok(Cow::Borrowed(text));
        }
        let mut buffer = Vec::new();
        self.resolve(&mut buffer)
            .map(|text| Cow::Owned(text.to_owned()))
    }

    /// The text, in `buffer`, whose room is used again from call to call.
    ///
    /// # Errors
    /// [`LoneSurrogate`].
    pub fn resolve(self, buffer: &mut Vec<u8>) -> Result<&str, LoneSurrogate> {
        let input = self.raw.as_bytes();
        // An escape is never shorter than what it stands for.
        buffer.resize(input.len(), 0);
        let (mut read, mut written) = (0, 0);
        loop {
            let run = copy_to_escape(&input[read..], &mut buffer[written..]);
            (read, written) = (read + run, written + run);
            if read == input.len() {
                break;
            }
            if let Some(byte) = simple_escape(&input[read..]) {
                buffer[written] = byte;
                (read, written) = (read + 2, written + 1);
            } else {
                let (character, length) = code_point(&input[read..])
                    .and_then(|(character, length)| Some((character?, length)))
                    .ok_or(LoneSurrogate)?;
                written += character.encode_utf8(&mut buffer[written..]).len();
                read += length;
            }
        }
        buffer.truncate(written);
        Ok(std::str::from_utf8(buffer).expect("text between escapes, and whole characters"))
    }
}

const WORD: usize = size_of::<u64>();
const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = ONES << 7;

/// Copies bytes up to the first backslash; how many. Runs between escapes are short: a word at a time, written before it
/// is known how much of it counts.
#[inline]
fn copy_to_escape(from: &[u8], to: &mut [u8]) -> usize {
    let (words, _) = from.as_chunks::<WORD>();
    let mut at = 0;
    for word in words {
        to[at..at + WORD].copy_from_slice(word);
        let before = bytes_before(equal_to(b'\\', u64::from_le_bytes(*word)));
        at += before;
        if before < WORD {
            return at;
        }
    }
    for &byte in &from[at..] {
        if byte == b'\\' {
            break;
        }
        to[at] = byte;
        at += 1;
    }
    at
}

/// How many bytes there are before the first that is a quote, a backslash or a control character.
#[inline]
pub(super) fn plain_bytes(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special =
            equal_to(b'"', word) | equal_to(b'\\', word) | (word.wrapping_sub(ONES * 0x20) & !word);
        let before = bytes_before(special & HIGH_BITS);
        if before < WORD {
            return index * WORD + before;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    text.len() - tail.len() + tail.iter().take_while(is_plain).count()
}

/// A bit in the first byte of a little-endian word that has this value, and perhaps in later ones.
/// Source: "Determine if a word has a zero byte" in Bit Twiddling Hacks.
#[inline]
fn equal_to(value: u8, word: u64) -> u64 {
    let zero_where_equal = word ^ (ONES * u64::from(value));
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & HIGH_BITS
}

/// Bytes before the first with a bit; all of them where there is none.
#[inline]
fn bytes_before(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
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
pub(super) fn code_point(text: &[u8]) -> Option<(Option<char>, usize)> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(json: &str) -> Result<String, String> {
        let mut reader = crate::json::Reader::new(json);
        let text = reader.string().map_err(|e| e.to_string())?;
        reader.end().map_err(|e| e.to_string())?;
        assert_eq!(
            text.to_cow().ok(),
            text.resolve(&mut Vec::new()).ok().map(Into::into)
        );
        // What an earlier text has left in the buffer must not show.
        let mut buffer = vec![b'\\'; 40];
        text.resolve(&mut buffer)
            .map(ToOwned::to_owned)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn every_escape_is_resolved() {
        assert_eq!(
            resolve(r#""\"\\\/\b\f\n\r\t\u00e4\uD83D\uDE00ü""#).unwrap(),
            "\"\\/\u{8}\u{c}\n\r\tä😀ü"
        );
        assert_eq!(resolve(r#""""#).unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        for json in [r#""\ud83d""#, r#""\ud83d\n""#, r#""\ude00\ud83d""#] {
            assert!(resolve(json).unwrap_err().contains("surrogate"), "{json}");
        }
        for json in ["1", "{}", "null", "[\"a\"]"] {
            assert!(resolve(json).unwrap_err().contains("byte 0"), "{json}");
        }
    }

    proptest! {
        #[test]
        fn plain_bytes_end_where_they_must(text in "[a-z\\x00-\\x22\\\\\\x7f-\\xff]{0,20}[a-zü]{0,20}.{0,9}") {
            let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
            let expected = text.bytes().take_while(|byte| !special(*byte)).count();
            prop_assert_eq!(plain_bytes(text.as_bytes()), expected);
        }

        #[test]
        fn the_text_is_what_serde_json_reads(text in "(\\PC|[\\x00-\\x20\"\\\\]){0,60}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(resolve(&json).unwrap(), text);
        }

        #[test]
        fn any_escapes_are_read_as_serde_json_reads_them(inside in "([a-z]|\\\\[nrtbf/\"\\\\x]|\\\\u[0-9a-fA-F]{4}|\\\\u[dD][89a-fA-F][0-9]{2}){0,12}") {
            let json = format!("\"{inside}\"");
            prop_assert_eq!(resolve(&json).ok(), serde_json::from_str::<String>(&json).ok());
        }
    }
}
