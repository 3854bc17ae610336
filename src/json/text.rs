//! Strings and digits, eight bytes at a time: where plain bytes end, what decimal digits amount to, and resolved escapes.

use super::escape_level::{EscapeLevel, TopLevel};

/// A string that is not a text: it has half of a surrogate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a \\u escape is no character: half of a surrogate pair")]
pub struct LoneSurrogate;

/// The text of a string, from the bytes between its quotes, which are known to be JSON.
///
/// # Errors
/// [`LoneSurrogate`].
pub(super) fn resolve(raw: &str) -> Result<String, LoneSurrogate> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, _)) = rest.split_once('\\') {
        text.push_str(before);
        let escape = &rest.as_bytes()[before.len()..];
        let (character, length) = TopLevel::escape(escape).ok_or(LoneSurrogate)?;
        text.push(character);
        rest = &rest[before.len() + length..];
    }
    text.push_str(rest);
    Ok(text)
}

/// A buffer for one text, reused from text to text.
#[derive(Debug, Clone, Default)]
pub struct TextBuffer {
    bytes: Vec<u8>,
}

impl TextBuffer {
    /// The text that was written to it last.
    #[must_use]
    pub fn as_str(&self) -> &str {
        simdutf8::basic::from_utf8(&self.bytes)
            .expect("parts of a text between its escapes, and whole characters")
    }

    /// Removes the text, and returns the memory for another.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        &mut self.bytes
    }
}

pub(super) const WORD: usize = size_of::<u64>();
const ONES: u64 = u64::MAX / 0xff;
const HIGH_BITS: u64 = ONES << 7;

/// Appends the bytes before the first quote, backslash or control character to `to`; returns how many. Runs between escapes
/// are short, so whole words are written before it is known how much of them belongs to the run.
#[inline]
pub(super) fn append_plain(from: &[u8], to: &mut Vec<u8>) -> usize {
    let (words, tail) = from.as_chunks::<WORD>();
    let begin = to.len();
    for word in words {
        to.extend_from_slice(word);
        let before = plain_bytes_in(*word);
        if before < WORD {
            to.truncate(to.len() - WORD + before);
            return to.len() - begin;
        }
    }
    to.extend(tail.iter().take_while(|byte| is_plain(byte)));
    to.len() - begin
}

/// How many bytes there are before the first quote, backslash or control character.
#[inline]
pub(super) fn plain_bytes(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let before = plain_bytes_in(*word);
        if before < WORD {
            return index * WORD + before;
        }
    }
    text.len() - tail.len() + tail.iter().take_while(|byte| is_plain(byte)).count()
}

fn is_plain(byte: &u8) -> bool {
    !matches!(byte, b'"' | b'\\' | 0..0x20)
}

#[inline]
fn plain_bytes_in(word: [u8; WORD]) -> usize {
    let word = u64::from_le_bytes(word);
    // Flipping this bit moves the quote next to the control characters, which stay among themselves, and no other byte there.
    let quote_or_control = below(0x21, word ^ (ONES * 2));
    let backslash = below(1, word ^ (ONES * u64::from(b'\\')));
    bytes_before(quote_or_control | backslash)
}

/// How many decimal digits there are at the beginning.
#[inline]
pub(super) fn digits(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let before = digits_in(*word);
        if before < WORD {
            return index * WORD + before;
        }
    }
    text.len() - tail.len() + digits_one_by_one(tail).count()
}

/// The same, and their value; it wraps around beyond [`u64`].
#[inline]
pub(super) fn decimal(text: &[u8]) -> (usize, u64) {
    let add = |value: u64, more: u64, scale: u64| value.wrapping_mul(scale).wrapping_add(more);
    let (words, tail) = text.as_chunks::<WORD>();
    let mut value = 0;
    for (index, word) in words.iter().enumerate() {
        let before = digits_in(*word);
        if before == 0 {
            return (index * WORD, value);
        }
        // Shifts out what is not a digit of this number, and shifts in leading zero bytes.
        let digits = u64::from_le_bytes(*word) << (8 * (WORD - before));
        value = add(value, eight_digits(digits), POWERS_OF_TEN[before]);
        if before < WORD {
            return (index * WORD + before, value);
        }
    }
    let value = digits_one_by_one(tail).fold(value, |value, digit| add(value, digit, 10));
    (
        text.len() - tail.len() + digits_one_by_one(tail).count(),
        value,
    )
}

const POWERS_OF_TEN: [u64; WORD + 1] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

#[inline]
fn digits_in(word: [u8; WORD]) -> usize {
    let values = u64::from_le_bytes(word) ^ (ONES * u64::from(b'0'));
    // Adding this to what is 10 or more sets the high bit, and carries into no other byte.
    let others = ((values & !HIGH_BITS) + ONES * (0x80 - 10)) | values;
    bytes_before(others & HIGH_BITS)
}

fn digits_one_by_one(text: &[u8]) -> impl Iterator<Item = u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.map(|digit| u64::from(digit - b'0'))
}

/// The value of eight digits, the first in the lowest byte; a zero byte counts as the digit 0. Neighbours are combined to
/// four numbers below 100, these to two below 10,000, these to one.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let ones = digits & (ONES * 0xf);
    let hundreds = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let ten_thousands = (hundreds * 100 + (hundreds >> 16)) & 0x0000_ffff_0000_ffff;
    (ten_thousands & 0xffff) * 10_000 + (ten_thousands >> 32)
}

/// A bit in the first byte of a little-endian word that is less than `limit` (128 at most), and perhaps in later ones.
/// Source: "Determine if a word has a byte less than n" in Bit Twiddling Hacks.
#[inline]
fn below(limit: u8, word: u64) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH_BITS
}

/// Bytes before the first one with a bit set; all bytes where no bit is set.
#[inline]
fn bytes_before(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// With `text` and with `resolved_into`, which must agree.
    fn resolve(json: &str) -> Result<String, String> {
        let read = |buffer: &mut TextBuffer| {
            let mut reader = crate::json::JsonReader::new(json);
            reader.resolved_into(buffer)?;
            reader.end()
        };
        let mut reader = crate::json::JsonReader::new(json);
        let text = reader.peek().and_then(|_| reader.text());
        let text = text.map_err(|e| format!("{e} at byte {}", reader.at()))?;
        reader.end().map_err(|e| e.to_string())?;
        // What an earlier text left in the buffer must not matter.
        let mut buffer = TextBuffer::default();
        buffer.begin().extend_from_slice(&[b'\\'; 40]);
        let read = read(&mut buffer);
        let text = text.map_err(|e| e.to_string());
        assert_eq!(read.is_ok(), text.is_ok(), "{json}");
        text.map(|text| {
            assert_eq!(buffer.as_str(), text);
            text.into_owned()
        })
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
        fn decimal_digits_are_read_as_the_standard_library_reads_them(n in any::<u64>(), cut in 0..64, zeros in 0..9_usize, behind in "([^0-9].{0,20})?") {
            let n = n >> cut;
            let text = format!("{}{n}", "0".repeat(zeros));
            prop_assert_eq!(decimal(format!("{text}{behind}").as_bytes()), (text.len(), n));
        }

        #[test]
        fn digits_end_where_they_must(text in "[0-9]{0,20}[ -\\x7f]{0,9}.{0,2}") {
            let expected = text.bytes().take_while(u8::is_ascii_digit).count();
            prop_assert_eq!(digits(text.as_bytes()), expected);
            prop_assert_eq!(decimal(text.as_bytes()).0, expected);
        }

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
