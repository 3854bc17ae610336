//! Reads JSON token by token. What has been read is known to be JSON; the rest may be anything.
//!
//! [`JsonReader::peek`] moves to the next token and returns its first byte; strings, numbers and literals are read at the
//! position it moved to. Brackets, commas and colons skip the space before them themselves.

mod skip;

use std::borrow::Cow;
use std::marker::PhantomData;

use super::escape_level::{EscapeLevel, InString, StringMark, TopLevel, simple_escape};
use super::expected::Expected;
use super::text::{LoneSurrogate, TextBuffer, append_plain, decimal, digits, plain_bytes, resolve};

/// Any number of this many digits fits 64 bits.
const MAX_U64_DIGITS: usize = 19;

/// The next bytes are not JSON. It does not hold their offset, see [`JsonReader::at`]: so the result of every token fits a
/// register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no JSON")]
pub(crate) struct NotJson;

/// A number's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number<'j> {
    pub text: &'j str,
    /// Whether it has neither fraction nor exponent.
    pub whole: bool,
}

/// Reads one text.
pub(crate) struct JsonReader<'j, S = TopLevel> {
    text: &'j str,
    /// The part that has not been read.
    rest: &'j [u8],
    level: PhantomData<S>,
}

impl<'j, S: EscapeLevel> JsonReader<'j, S> {
    /// Offset of what is read next, bytes; after [`NotJson`], of what is not JSON.
    pub fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The text from offset `at` to here.
    pub fn since(&self, at: usize) -> &'j str {
        &self.text[at..self.at()]
    }

    /// Checks that nothing but space follows.
    pub fn end(&mut self) -> Result<(), NotJson> {
        self.skip_space();
        if S::is_over(self.rest) {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// Moves to the next token, and returns its first byte.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, NotJson> {
        self.skip_space();
        S::token(self.rest).ok_or(NotJson)
    }

    /// Begins an object or an array. False where it is empty, and then it is read.
    #[inline]
    pub fn begin(&mut self, open: u8, close: u8) -> Result<bool, NotJson> {
        self.expect(open)?;
        let empty = self.peek()? == close;
        if empty {
            self.advance(1);
        }
        Ok(!empty)
    }

    /// Reads what follows a member or item: true for a comma, false for the end of the object or array.
    #[inline]
    pub fn has_next(&mut self, close: u8) -> Result<bool, NotJson> {
        match self.peek()? {
            b',' => {
                self.advance(1);
                Ok(true)
            }
            token if token == close => {
                self.advance(1);
                Ok(false)
            }
            _ => Err(NotJson),
        }
    }

    /// Reads the colon between a member's name and its value.
    #[inline]
    pub fn colon(&mut self) -> Result<(), NotJson> {
        self.expect(b':')
    }

    /// Reads the string at this position and appends it to `to`, its escapes resolved. Returns whether it has any.
    #[inline]
    pub fn resolved(&mut self, to: &mut Vec<u8>) -> Result<bool, NotJson> {
        self.quote()?;
        let mut has_escapes = false;
        loop {
            self.advance(append_plain(self.rest, to));
            // Without a mark the string does not end, or contains a control character.
            match S::mark(self.rest).ok_or(NotJson)? {
                StringMark::Quote => {
                    self.advance(S::QUOTE.len());
                    return Ok(has_escapes);
                }
                StringMark::Escape => has_escapes = true,
            }
            let (character, length) = S::escape(self.rest).ok_or(NotJson)?;
            to.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            self.advance(length);
        }
    }

    /// Reads a number that is an integer, not negative, and short enough to fit 64 bits. Before any other value, and before a
    /// number that `T` cannot hold, the reader does not move.
    #[inline]
    pub fn short_unsigned<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let (length, value) = decimal(self.rest);
        if length > MAX_U64_DIGITS || !is_whole_number(self.rest, length) {
            return None;
        }
        let value = T::try_from(value).ok()?;
        self.advance(length);
        Some(value)
    }

    /// Reads a number.
    pub fn number(&mut self) -> Result<Number<'j>, NotJson> {
        let begin = self.at();
        let whole = self.pass_number()?;
        Ok(Number {
            text: self.since(begin),
            whole,
        })
    }

    /// Skips a number. Returns whether it has neither fraction nor exponent.
    #[inline]
    fn pass_number(&mut self) -> Result<bool, NotJson> {
        self.pass(b"-");
        let first = self.rest.first();
        let integer_digits = self.digits()?;
        if first == Some(&b'0') && integer_digits > 1 {
            return Err(NotJson);
        }
        if !matches!(self.rest.first(), Some(b'.' | b'e' | b'E')) {
            return Ok(true);
        }
        if self.pass(b".") {
            self.digits()?;
        }
        if self.pass(b"eE") {
            self.pass(b"+-");
            self.digits()?;
        }
        Ok(false)
    }

    /// Skips a part of a text that is expected next. It must end between tokens.
    #[inline]
    pub fn expected(&mut self, part: &Expected) -> Result<(), NotJson> {
        if !part.begins(self.rest) {
            return Err(NotJson);
        }
        self.advance(part.len());
        Ok(())
    }

    /// Reads a token of constant bytes: `true`, `false`, `null`, a quote.
    #[inline]
    pub fn literal(&mut self, bytes: &str) -> Result<(), NotJson> {
        self.rest = self.rest.strip_prefix(bytes.as_bytes()).ok_or(NotJson)?;
        Ok(())
    }

    /// Skips bytes that are known to be there.
    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    #[inline]
    fn skip_space(&mut self) {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn expect(&mut self, token: u8) -> Result<(), NotJson> {
        if self.peek()? != token {
            return Err(NotJson);
        }
        self.advance(1);
        Ok(())
    }

    /// Reads the quote at the beginning of a string.
    #[inline]
    fn quote(&mut self) -> Result<(), NotJson> {
        self.literal(S::QUOTE)
    }

    /// Reads plain bytes and the quote after them, or plain bytes up to an escape. Returns them, and whether an escape is next.
    #[inline(always)]
    fn plain_run(&mut self) -> Result<(&'j [u8], bool), NotJson> {
        let (run, rest) = self.rest.split_at(plain_bytes(self.rest));
        self.rest = rest;
        // Without a mark the string does not end, or contains a control character.
        let mark = S::mark(rest).ok_or(NotJson)?;
        if mark == StringMark::Quote {
            self.advance(S::QUOTE.len());
        }
        Ok((run, mark == StringMark::Escape))
    }

    /// Skips one of these bytes, if one is next.
    #[inline]
    fn pass(&mut self, any_of: &[u8]) -> bool {
        let Some((next, rest)) = self.rest.split_first() else {
            return false;
        };
        let found = any_of.contains(next);
        if found {
            self.rest = rest;
        }
        found
    }

    /// Skips one or more digits. Returns how many.
    #[inline]
    fn digits(&mut self) -> Result<usize, NotJson> {
        let digits = digits(self.rest);
        if digits == 0 {
            return Err(NotJson);
        }
        self.advance(digits);
        Ok(digits)
    }
}

impl<'j> JsonReader<'j> {
    pub fn new(text: &'j str) -> Self {
        Self {
            text,
            rest: text.as_bytes(),
            level: PhantomData,
        }
    }

    /// Reads a string that is itself a JSON text, without resolving it first: `read` reads that text to its end. `None` where
    /// it cannot, which may be due to unusual escapes; the reader does not move then.
    pub fn text_within<T>(
        &mut self,
        read: impl FnOnce(&mut JsonReader<'j, InString>) -> Option<T>,
    ) -> Option<T> {
        let mut outer = JsonReader::<TopLevel> { ..*self };
        outer.quote().ok()?;
        let mut within = JsonReader {
            text: self.text,
            rest: outer.rest,
            level: PhantomData,
        };
        let value = read(&mut within)?;
        within.end().ok()?;
        self.rest = within.rest;
        self.advance(TopLevel::QUOTE.len());
        Some(value)
    }

    /// Reads a string of exactly `LENGTH` bytes that `read` accepts. It must not accept quotes, backslashes or control
    /// characters. Before any other value the reader does not move.
    #[inline]
    pub fn string_of<const LENGTH: usize, T>(
        &mut self,
        read: impl FnOnce(&'j [u8; LENGTH]) -> Option<T>,
    ) -> Option<T> {
        let rest = self.rest.strip_prefix(b"\"")?;
        let (text, rest) = rest.split_first_chunk()?;
        let rest = rest.strip_prefix(b"\"")?;
        let value = read(text)?;
        self.rest = rest;
        Some(value)
    }

    /// Reads a string; its text is borrowed where it has no escapes.
    #[inline(always)]
    pub fn text(&mut self) -> Result<Result<Cow<'j, str>, LoneSurrogate>, NotJson> {
        self.quote()?;
        let begin = self.at();
        let (run, escapes) = self.plain_run()?;
        if !escapes {
            return Ok(Ok(Cow::Borrowed(&self.text[begin..begin + run.len()])));
        }
        self.escaped_text(begin)
    }

    /// The same for a string with escapes, from the first one on.
    fn escaped_text(
        &mut self,
        begin: usize,
    ) -> Result<Result<Cow<'j, str>, LoneSurrogate>, NotJson> {
        self.skip_escapes()?;
        let raw = &self.text[begin..self.at() - TopLevel::QUOTE.len()];
        Ok(resolve(raw).map(Cow::Owned))
    }

    /// Reads a string to a buffer, its escapes resolved.
    pub fn resolved_into(&mut self, buffer: &mut TextBuffer) -> Result<(), NotJson> {
        self.resolved(buffer.begin()).map(drop)
    }

    /// Skips the rest of a string, from an escape on.
    fn skip_escapes(&mut self) -> Result<(), NotJson> {
        self.advance(self.escape_length()?);
        while self.plain_run()?.1 {
            self.advance(self.escape_length()?);
        }
        Ok(())
    }

    /// Length of the escape at this position, bytes. Whether it is a character is not checked.
    #[inline]
    fn escape_length(&self) -> Result<usize, NotJson> {
        match self.rest.get(1) {
            Some(b'u') => {
                let digits = self.rest.get(2..6).unwrap_or_default();
                let hex = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
                hex.then_some(6).ok_or(NotJson)
            }
            _ => match simple_escape(self.rest) {
                Some(_) => Ok(2),
                None => Err(NotJson),
            },
        }
    }
}

/// Whether the first `digits` digits of `text` are a complete number: no leading zero, no fraction, no exponent.
#[inline]
fn is_whole_number(text: &[u8], digits: usize) -> bool {
    let may_begin_so = digits == 1 || digits > 1 && text[0] != b'0';
    may_begin_so && !matches!(text.get(digits), Some(b'.' | b'e' | b'E'))
}
