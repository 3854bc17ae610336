//! Skips values that are not used, and checks that they are JSON.

use super::{JsonReader, NotJson, is_whole_number};
use crate::json::text::digits;

/// Deepest nesting that is skipped, as in serde_json.
const MAX_SKIPPED_DEPTH: usize = 128;

impl JsonReader<'_> {
    /// Skips the next value, whatever it is.
    pub fn skip(&mut self) -> Result<(), NotJson> {
        self.skip_within(MAX_SKIPPED_DEPTH)
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
            more = self.has_next(close)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Else, the offset of what is not JSON, bytes.
    fn skipped(text: &str) -> Result<(), usize> {
        let mut reader = JsonReader::new(text);
        let skipped = reader.skip().and_then(|()| reader.end());
        skipped.map_err(|NotJson| reader.at())
    }

    #[test]
    fn an_error_has_its_offset() {
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
        assert!(skipped(&nested(MAX_SKIPPED_DEPTH)).is_ok());
        assert!(skipped(&nested(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_skipped_is_what_serde_json_skips(
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
