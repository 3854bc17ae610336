//! Bytes as they come, split into lines.

/// A line beyond this is none, and skipped up to its end.
const LONGEST: usize = 64 << 10;

/// Splits bytes into lines, whatever the pieces are that they come in.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    begun: Vec<u8>,
    /// Whether the rest of the line that has begun is passed over.
    skips: bool,
    /// Lines so far.
    number: u64,
}

/// A line, or one that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Split<'a> {
    Line(u64, &'a [u8]),
    TooLong(u64),
}

impl LineSplitter {
    /// One that begins within a line, which is passed over.
    pub(super) fn within_a_line() -> Self {
        Self {
            skips: true,
            ..Self::default()
        }
    }

    /// Takes the next bytes, and hands on every line that ends in them. Empty lines are none.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Split<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.number += 1;
            if std::mem::take(&mut self.skips) {
                // Its beginning was counted as too long, or never seen.
            } else if self.begun.is_empty() {
                Self::hand_on(self.number, line, &mut each);
            } else {
                self.begun.extend_from_slice(line);
                Self::hand_on(self.number, &self.begun, &mut each);
                self.begun.clear();
            }
            bytes = rest;
        }
        if self.skips {
            return;
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > LONGEST {
            each(Split::TooLong(self.number + 1));
            self.begun = Vec::new();
            self.skips = true;
        }
    }

    /// The last line, which had no end.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Split<'_>)) {
        if !self.begun.is_empty() {
            self.push(b"\n", &mut each);
        }
    }

    fn hand_on(number: u64, line: &[u8], each: &mut impl FnMut(Split<'_>)) {
        let line = line.trim_ascii();
        if line.len() > LONGEST {
            each(Split::TooLong(number));
        } else if !line.is_empty() {
            each(Split::Line(number, line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(splitter: &mut LineSplitter, pieces: &[&[u8]]) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        let mut each = |split: Split<'_>| {
            lines.push(match split {
                Split::Line(number, line) => (number, String::from_utf8_lossy(line).into_owned()),
                Split::TooLong(number) => (number, "(too long)".to_owned()),
            });
        };
        for piece in pieces {
            splitter.push(piece, &mut each);
        }
        splitter.finish(&mut each);
        lines
    }

    #[test]
    fn lines_end_with_their_line_ends_or_with_the_input() {
        let pieces: [&[u8]; 4] = [b"one\ntw", b"o\r\n\n", b"  \nfo", b"ur"];
        let lines = split(&mut LineSplitter::default(), &pieces);
        let expected = [(1, "one"), (2, "two"), (5, "four")];
        assert_eq!(lines, expected.map(|(n, line)| (n, line.to_owned())));
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_passed_over() {
        let long = vec![b'x'; LONGEST];
        let pieces: [&[u8]; 4] = [&long, &long, b"rest\nnext\n", b""];
        let lines = split(&mut LineSplitter::default(), &pieces);
        let expected = [(1, "(too long)"), (2, "next")];
        assert_eq!(lines, expected.map(|(n, line)| (n, line.to_owned())));
    }

    #[test]
    fn a_file_that_is_followed_from_within_a_line_begins_with_the_next() {
        let lines = split(&mut LineSplitter::within_a_line(), &[b"half\nwhole\n"]);
        assert_eq!(lines, [(2, "whole".to_owned())]);
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(text in "[ab\n]{0,60}", at in 0_usize..60) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let whole = split(&mut LineSplitter::default(), &[bytes]);
            let pieces = split(&mut LineSplitter::default(), &[&bytes[..at], &bytes[at..]]);
            prop_assert_eq!(whole, pieces);
        }
    }
}
