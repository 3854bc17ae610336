//! Decodes the data of `COPY ... TO STDOUT`. Sources: PostgreSQL's documentation, "COPY", file formats; and "COPY Operations" of
//! the protocol, by which the server sends one message a row.

use memchr::memchr3_iter;

use crate::pgoutput::{Tuple, TupleBuffer, Value};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// A row of -1 columns.
const TRAILER: [u8; 2] = [0xff, 0xff];

/// Bytes that are no valid copy of the requested table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server's copy is malformed: {0}")]
pub(super) struct CopyError(&'static str);

const CUT_OFF: CopyError = CopyError("a row is cut off");
const OTHER_SHAPE: CopyError = CopyError("a row has too few or too many columns");

/// Finds the row in each message of the data. The server sends one for each row; in binary format the first has the header before
/// its row, and a last one has no row.
#[derive(Debug, Default)]
pub(super) struct RowMessages {
    has_begun: bool,
}

impl RowMessages {
    /// The row in the next message; `None` when there is none in it.
    pub(super) fn row<'a>(
        &mut self,
        mut message: &'a [u8],
        binary: bool,
    ) -> Result<Option<&'a [u8]>, CopyError> {
        if !binary {
            return Ok(Some(message));
        }
        if !self.has_begun {
            self.has_begun = true;
            message = message.get(header(message)?..).ok_or(CUT_OFF)?;
        }
        Ok((message != TRAILER).then_some(message))
    }
}

/// Length of the binary format's header.
fn header(bytes: &[u8]) -> Result<usize, CopyError> {
    let fixed = SIGNATURE.len() + 8;
    if !bytes.starts_with(SIGNATURE) {
        return Err(CopyError("it has no signature"));
    }
    let extension = i32_at(bytes, SIGNATURE.len() + 4).unwrap_or(-1);
    let extension = usize::try_from(extension).map_err(|_| CopyError("its header has no end"))?;
    Ok(fixed + extension)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|number| i32::from_be_bytes(*number))
}

/// Decodes rows into a reused buffer, in the form of the stream's rows.
#[derive(Debug, Default)]
pub(super) struct RowReader {
    row: TupleBuffer,
    /// Buffer for a value without its escapes.
    plain: String,
}

impl RowReader {
    /// Decodes a row of so many columns.
    pub(super) fn read(
        &mut self,
        row: &[u8],
        columns: usize,
        binary: bool,
    ) -> Result<Tuple<'_>, CopyError> {
        self.row.clear();
        if binary {
            self.binary(row, columns)?;
        } else {
            self.text(row, columns)?;
        }
        Ok(self.row.tuple())
    }

    fn text(&mut self, row: &[u8], columns: usize) -> Result<(), CopyError> {
        let row = row.strip_suffix(b"\n").ok_or(CUT_OFF)?;
        let text = std::str::from_utf8(row).map_err(|_| CopyError("a row is not UTF-8"))?;
        if row.is_empty() && columns == 0 {
            return Ok(());
        }
        let (mut found, mut start, mut is_escaped) = (0, 0, false);
        for at in memchr3_iter(b'\t', b'\\', b'\n', row) {
            match row[at] {
                b'\\' => is_escaped = true,
                b'\t' => {
                    self.field(&text[start..at], is_escaped);
                    (found, start, is_escaped) = (found + 1, at + 1, false);
                }
                // A newline within a value is escaped.
                _ => return Err(CopyError("a message has more than one row")),
            }
        }
        self.field(&text[start..], is_escaped);
        if found + 1 == columns {
            Ok(())
        } else {
            Err(OTHER_SHAPE)
        }
    }

    /// Adds a value in text format.
    fn field(&mut self, field: &str, is_escaped: bool) {
        self.row.push(if !is_escaped {
            Value::Text(field)
        } else if field == "\\N" {
            Value::Null
        } else {
            self.plain.clear();
            unescape(field, &mut self.plain);
            Value::Text(&self.plain)
        });
    }

    fn binary(&mut self, row: &[u8], columns: usize) -> Result<(), CopyError> {
        let (count, mut rest) = row.split_first_chunk().ok_or(CUT_OFF)?;
        if usize::try_from(i16::from_be_bytes(*count)) != Ok(columns) {
            return Err(OTHER_SHAPE);
        }
        for _ in 0..columns {
            let (length, after) = rest.split_first_chunk().ok_or(CUT_OFF)?;
            rest = after;
            let length = i32::from_be_bytes(*length);
            self.row.push(match usize::try_from(length) {
                Ok(length) => {
                    let (value, after) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
                    rest = after;
                    Value::Binary(value)
                }
                Err(_) if length == -1 => Value::Null,
                Err(_) => return Err(CopyError("a value's length is negative")),
            });
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(CopyError("a message has more than one row"))
        }
    }
}

/// Appends a value of the text format without its escapes.
fn unescape(field: &str, out: &mut String) {
    let mut parts = field.split('\\');
    out.push_str(parts.next().unwrap_or_default());
    while let Some(part) = parts.next() {
        let Some(escaped) = part.chars().next() else {
            // An escaped backslash, and the text after it up to the next one.
            out.push('\\');
            out.push_str(parts.next().unwrap_or_default());
            continue;
        };
        out.push(match escaped {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        });
        out.push_str(&part[escaped.len_utf8()..]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value in the server's text format.
    fn escaped(value: &str) -> String {
        let mut out = String::new();
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{b}' => out.push_str("\\v"),
                c => out.push(c),
            }
        }
        out
    }

    /// The messages of a copy.
    fn encoded(rows: &[Vec<Option<String>>], binary: bool) -> Vec<Vec<u8>> {
        if !binary {
            let row = |row: &Vec<Option<String>>| {
                let fields = row.iter().map(|value| match value {
                    Some(value) => escaped(value),
                    None => "\\N".to_owned(),
                });
                (fields.collect::<Vec<_>>().join("\t") + "\n").into_bytes()
            };
            return rows.iter().map(row).collect();
        }
        let mut messages = vec![[SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]].concat()];
        for (index, row) in rows.iter().enumerate() {
            let mut message = i16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
            for value in row {
                let length = value
                    .as_ref()
                    .map_or(-1, |v| i32::try_from(v.len()).unwrap());
                message.extend_from_slice(&length.to_be_bytes());
                message.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
            }
            match index {
                // The header has no message of its own.
                0 => messages[0].extend_from_slice(&message),
                _ => messages.push(message),
            }
        }
        match rows.len() {
            0 => messages[0].extend_from_slice(&TRAILER),
            _ => messages.push(TRAILER.to_vec()),
        }
        messages
    }

    fn decoded(messages: &[Vec<u8>], columns: usize, binary: bool) -> Vec<Vec<Option<String>>> {
        let (mut rows, mut reader) = (RowMessages::default(), RowReader::default());
        let value = |value: Value<'_>| match value {
            Value::Null => None,
            Value::Text(text) => Some(text.to_owned()),
            Value::Binary(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
            Value::Unchanged => panic!("a copy has every value"),
        };
        let found = messages.iter().filter_map(|message| {
            let row = rows.row(message, binary).unwrap()?;
            let tuple = reader.read(row, columns, binary).unwrap();
            Some(tuple.iter().map(value).collect())
        });
        found.collect()
    }

    proptest! {
        #[test]
        fn a_copy_reads_back(
            (columns, rows) in (1..5_usize).prop_flat_map(|columns| {
                let value = proptest::option::of("[a\\\\N\n\t\r\u{8}ä😀.]{0,6}");
                let row = proptest::collection::vec(value, columns);
                (Just(columns), proptest::collection::vec(row, 0..8))
            }),
            binary: bool,
        ) {
            let messages = encoded(&rows, binary);
            prop_assert_eq!(decoded(&messages, columns, binary), rows);
        }

        #[test]
        fn no_bytes_make_it_panic(messages in proptest::collection::vec(any::<Vec<u8>>(), 0..4), header: bool, columns in 0..4_usize, binary: bool) {
            let mut rows = RowMessages::default();
            if header {
                let _ = rows.row(&encoded(&[], true)[0], binary);
            }
            for message in messages {
                let _ = RowReader::default().read(&message, columns, binary);
                if let Ok(Some(row)) = rows.row(&message, binary) {
                    let _ = RowReader::default().read(row, columns, binary);
                }
            }
        }
    }

    #[test]
    fn a_row_of_another_shape_is_an_error() {
        let mut reader = RowReader::default();
        assert!(reader.read(b"1\t2\n", 2, false).is_ok());
        assert!(reader.read(b"1\t2\n", 3, false).is_err());
        assert!(reader.read(b"1\t2\n", 1, false).is_err());
        assert!(reader.read(b"1\n2\n", 1, false).is_err());
        assert!(reader.read(b"1", 1, false).is_err());
        assert!(reader.read(b"\n", 0, false).is_ok());
        assert!(reader.read(b"\xff\n", 1, false).is_err());
        assert!(reader.read(&[0, 1, 0, 0, 0, 9, 1], 1, true).is_err());
        assert!(reader.read(&[0, 1, 0, 0, 0, 1, 1, 0], 1, true).is_err());
        assert!(RowMessages::default().row(b"PGCOPY", true).is_err());
    }
}
