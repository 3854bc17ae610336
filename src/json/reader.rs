//! Token after token. What has been read is known to be JSON; the rest may be anything.
//!
//! [`Reader::peek`] goes to the next token and says what it begins with; strings, numbers and literals are read where the
//! reader stands then. What is but a sign finds its way by itself.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::expected::Expected;
use super::spelling::{Escaped, Mark, Plain, Spelling, simple_escape};
use super::text::{LoneSurrogate, TextBuffer, append_plain, decimal, digits, plain_bytes, resolve};

/// Deepest nesting that is passed over, as in serde_json.
const DEEPEST_SKIPPED: usize = 128;

/// So many digits need no more than 64 bits, whatever they are.
const SURELY_64_BITS: usize = 19;

/// There is no JSON where the reader stands. It does not say where that is: what every token returns fits a register then.
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

/// Reads a text.
pub(crate) struct Reader<'j, S = Plain> {
    text: &'j str,
    /// What of it has not been read.
    rest: &'j [u8],
    spelling: PhantomData<S>,
}

impl<'j, S: Spelling> Reader<'j, S> {
    /// Bytes before what is read next; after [`NotJson`], before what is none.
    pub fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// What was read since so many bytes were before the reader.
    pub fn since(&self, at: usize) -> &'j str {
        &self.text[at..self.at()]
    }

    /// Nothing but space may follow.
    pub fn end(&mut self) -> Result<(), NotJson> {
        self.skip_space();
        if S::is_over(self.rest) {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// Goes to the next token, and says its first byte.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, NotJson> {
        self.skip_space();
        S::token(self.rest).ok_or(NotJson)
    }

    /// Begins an object or an array; whether anything is in it.
    #[inline]
    pub fn begin(&mut self, open: u8, close: u8) -> Result<bool, NotJson> {
        self.expect(open)?;
        let empty = self.peek()? == close;
        if empty {
            self.advance(1);
        }
        Ok(!empty)
    }

    /// Whether another member or item follows, rather than the end.
    #[inline]
    pub fn goes_on(&mut self, close: u8) -> Result<bool, NotJson> {
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

    /// What stands between a member's name and its value.
    #[inline]
    pub fn colon(&mut self) -> Result<(), NotJson> {
        self.expect(b':')
    }

    /// The string that stands here, its escapes resolved, behind what `to` holds. Whether it has any.
    #[inline]
    pub fn resolved(&mut self, to: &mut Vec<u8>) -> Result<bool, NotJson> {
        self.quote()?;
        let mut has_escapes = false;
        loop {
            self.advance(append_plain(self.rest, to));
            // What has no mark does not end, or has a control character in it.
            match S::mark(self.rest).ok_or(NotJson)? {
                Mark::Quote => {
                    self.advance(S::QUOTE.len());
                    return Ok(has_escapes);
                }
                Mark::Escape => has_escapes = true,
            }
            let (character, length) = S::escape(self.rest).ok_or(NotJson)?;
            to.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            self.advance(length);
        }
    }

    /// A number that is whole, not below zero, and so short that 64 bits hold it whatever its digits; of others, and of what a
    /// `T` cannot be, the reader stays before it.
    #[inline]
    pub fn short_unsigned<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let (length, value) = decimal(self.rest);
        if length > SURELY_64_BITS || !is_whole_number(self.rest, length) {
            return None;
        }
        let value = T::try_from(value).ok()?;
        self.advance(length);
        Some(value)
    }

    pub fn number(&mut self) -> Result<Number<'j>, NotJson> {
        let begin = self.at();
        let whole = self.pass_number()?;
        Ok(Number {
            text: self.since(begin),
            whole,
        })
    }

    /// Passes over a number; whether it has neither fraction nor exponent.
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

    /// A part of a text that stands here as well. It must end between tokens.
    #[inline]
    pub fn expected(&mut self, part: &Expected) -> Result<(), NotJson> {
        if !part.begins(self.rest) {
            return Err(NotJson);
        }
        self.advance(part.len());
        Ok(())
    }

    /// What is spelled in one way only: `true`, `false`, `null`, a quote.
    #[inline]
    pub fn literal(&mut self, spelling: &str) -> Result<(), NotJson> {
        self.rest = self.rest.strip_prefix(spelling.as_bytes()).ok_or(NotJson)?;
        Ok(())
    }

    /// Passes over so many bytes, which are there.
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

    /// Passes the quote that a string begins with.
    #[inline]
    fn quote(&mut self) -> Result<(), NotJson> {
        self.literal(S::QUOTE)
    }

    /// Passes over plain bytes, and the quote behind them; or up to an escape, then true.
    #[inline(always)]
    fn plain_run(&mut self) -> Result<(&'j [u8], bool), NotJson> {
        let (run, rest) = self.rest.split_at(plain_bytes(self.rest));
        self.rest = rest;
        // What has no mark does not end, or has a control character in it.
        let mark = S::mark(rest).ok_or(NotJson)?;
        if mark == Mark::Quote {
            self.advance(S::QUOTE.len());
        }
        Ok((run, mark == Mark::Escape))
    }

    /// Passes over one of these bytes, if one is next.
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

    /// Passes over digits, at least one; how many.
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

impl<'j> Reader<'j> {
    pub fn new(text: &'j str) -> Self {
        Self {
            text,
            rest: text.as_bytes(),
            spelling: PhantomData,
        }
    }

    /// A string that holds a JSON text itself: `read` reads that where it stands, to its end. `None` where it cannot, which
    /// may be for an unusual spelling; the reader stays before the string then.
    pub fn text_within<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'j, Escaped>) -> Option<T>,
    ) -> Option<T> {
        let mut outer = Reader::<Plain> { ..*self };
        outer.quote().ok()?;
        let mut within = Reader {
            text: self.text,
            rest: outer.rest,
            spelling: PhantomData,
        };
        let value = read(&mut within)?;
        within.end().ok()?;
        self.rest = within.rest;
        self.advance(Plain::QUOTE.len());
        Some(value)
    }

    /// The string that stands here, where it has just so many bytes and `read` makes something of them, which it must not of
    /// bytes that do not stand for themselves. Of any other the reader stays before it.
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

    /// A string's text, borrowed where there is no escape in it.
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

    /// The same, up to its first escape and no further.
    fn escaped_text(
        &mut self,
        begin: usize,
    ) -> Result<Result<Cow<'j, str>, LoneSurrogate>, NotJson> {
        self.skip_escapes()?;
        let raw = &self.text[begin..self.at() - Plain::QUOTE.len()];
        Ok(resolve(raw).map(Cow::Owned))
    }

    /// A string, its escapes resolved, in a buffer.
    pub fn resolved_into(&mut self, buffer: &mut TextBuffer) -> Result<(), NotJson> {
        self.resolved(buffer.begin()).map(drop)
    }

    /// Passes over a value, whatever it is.
    pub fn skip(&mut self) -> Result<(), NotJson> {
        self.skip_within(DEEPEST_SKIPPED)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), NotJson> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => self.skip_container(b'{', b'}', depth),
            b'[' => self.skip_container(b'[', b']', depth),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.skip_number(),
        }
    }

    #[inline]
    fn skip_number(&mut self) -> Result<(), NotJson> {
        let length = digits(self.rest);
        if is_whole_number(self.rest, length) {
            self.advance(length);
            return Ok(());
        }
        self.pass_number().map(drop)
    }

    #[inline]
    fn skip_string(&mut self) -> Result<(), NotJson> {
        self.quote()?;
        if self.plain_run()?.1 {
            self.skip_escapes()?;
        }
        Ok(())
    }

    /// Passes over the rest of a string, from an escape on.
    fn skip_escapes(&mut self) -> Result<(), NotJson> {
        self.advance(self.escape_length()?);
        while self.plain_run()?.1 {
            self.advance(self.escape_length()?);
        }
        Ok(())
    }

    fn skip_container(&mut self, open: u8, close: u8, depth: usize) -> Result<(), NotJson> {
        let inner = depth.checked_sub(1).ok_or(NotJson)?;
        let mut more = self.begin(open, close)?;
        while more {
            if open == b'{' {
                self.peek()?;
                self.skip_string()?;
                self.colon()?;
            }
            self.skip_within(inner)?;
            more = self.goes_on(close)?;
        }
        Ok(())
    }

    /// Length of the escape that is next. What it stands for, if anything, is another matter.
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

/// Whether so many digits that are first here are a number, which has no more to it.
#[inline]
fn is_whole_number(text: &[u8], digits: usize) -> bool {
    let may_begin_so = digits == 1 || digits > 1 && text[0] != b'0';
    may_begin_so && !matches!(text.get(digits), Some(b'.' | b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Else, bytes before what is no JSON.
    fn skipped(text: &str) -> Result<(), usize> {
        let mut reader = Reader::new(text);
        let skipped = reader.skip().and_then(|()| reader.end());
        skipped.map_err(|NotJson| reader.at())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, at) in [
            ("", 0),
            ("{\"a\":}", 5),
            ("[1,2", 4),
            ("[1 2]", 3),
            ("\"a", 2),
            ("\"a\\x\"", 2),
            ("01", 2),
            ("{} x", 3),
        ] {
            assert_eq!(skipped(text), Err(at), "{text}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(skipped(&nested(DEEPEST_SKIPPED)).is_ok());
        assert!(skipped(&nested(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_passed_over_is_what_serde_json_passes_over(
            text in "[\\[\\]{}\",:0-9eE.+\\-\\\\unltrfasdD\\x00\\n ü]{0,60}",
            token in "-?[0-9]{0,5}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?|\"([a-z]|\\\\[nrtbfu/\"\\\\x]|\\\\u[0-9a-fA-F+]{4}|ü){0,12}\"?",
        ) {
            for json in [format!("{{\"a\":{token},\"b\":[{text}]}}"), text, token] {
                let by_serde = serde_json::from_str::<IgnoredAny>(&json);
                prop_assert_eq!(skipped(&json).is_ok(), by_serde.is_ok(), "{}", json);
            }
        }
    }
}
