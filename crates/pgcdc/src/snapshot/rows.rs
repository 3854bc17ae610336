//! Splits and decodes the data of `COPY ... TO STDOUT`. Sources: PostgreSQL's documentation, "COPY", file formats; and
//! "COPY Operations" of the protocol, by which a message may end anywhere.

use bytes::{Buf, Bytes, BytesMut};

use crate::pgoutput::{Tuple, TupleBuffer, Value};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Bytes that are no valid copy of the requested table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server's copy is malformed: {0}")]
pub(super) struct CopyError(&'static str);

const CUT_OFF: CopyError = CopyError("a row is cut off");
const OTHER_SHAPE: CopyError = CopyError("a row has too few or too many columns");

/// Splits the data into rows.
#[derive(Debug)]
pub(super) struct Splitter {
    binary: bool,
    /// Whether the header of the binary format has been read.
    in_rows: bool,
    rest: BytesMut,
}

impl Splitter {
    pub(super) fn new(binary: bool) -> Self {
        Self {
            binary,
            in_rows: !binary,
            rest: BytesMut::new(),
        }
    }

    /// Adds data, and appends the rows that are complete with it.
    pub(super) fn push(&mut self, chunk: Bytes, rows: &mut Vec<Bytes>) -> Result<(), CopyError> {
        // The server sends one row a message: then nothing is copied.
        let mut data = if self.rest.is_empty() {
            chunk
        } else {
            self.rest.extend_from_slice(&chunk);
            self.rest.split().freeze()
        };
        if !self.in_rows {
            match header(&data)? {
                Some(length) => {
                    data.advance(length);
                    self.in_rows = true;
                }
                None => {
                    self.rest.extend_from_slice(&data);
                    return Ok(());
                }
            }
        }
        while !data.is_empty() {
            let end = if self.binary {
                binary_row(&data)?
            } else {
                // A newline within a value is escaped.
                data.iter().position(|b| *b == b'\n').map(|end| end + 1)
            };
            match end {
                // The trailer.
                Some(2) if self.binary && data.starts_with(&[0xff, 0xff]) => return Ok(()),
                Some(end) => rows.push(data.split_to(end)),
                None => {
                    self.rest.extend_from_slice(&data);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether the data ended with a complete row.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Length of the binary format's header; `None` while it is incomplete.
fn header(bytes: &[u8]) -> Result<Option<usize>, CopyError> {
    let fixed = SIGNATURE.len() + 8;
    if bytes.len() < fixed {
        return Ok(None);
    }
    if !bytes.starts_with(SIGNATURE) {
        return Err(CopyError("it has no signature"));
    }
    let extension = i32_at(bytes, SIGNATURE.len() + 4).unwrap_or(-1);
    let extension = usize::try_from(extension).map_err(|_| CopyError("its header has no end"))?;
    Ok((bytes.len() >= fixed + extension).then_some(fixed + extension))
}

/// Length of the row at the beginning of `bytes`; `None` while it is incomplete.
fn binary_row(bytes: &[u8]) -> Result<Option<usize>, CopyError> {
    let Some(count) = bytes.first_chunk().map(|count| i16::from_be_bytes(*count)) else {
        return Ok(None);
    };
    let mut at = 2_usize;
    for _ in 0..count {
        let Some(length) = i32_at(bytes, at) else {
            return Ok(None);
        };
        at += 4;
        match usize::try_from(length) {
            Ok(length) => {
                at = at
                    .checked_add(length)
                    .ok_or(CopyError("a value has no end"))?
            }
            Err(_) if length == -1 => {}
            Err(_) => return Err(CopyError("a value's length is negative")),
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
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
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        let row = std::str::from_utf8(row).map_err(|_| CopyError("a row is not UTF-8"))?;
        // A table without columns has empty rows.
        let mut fields = row
            .split('\t')
            .skip(usize::from(row.is_empty() && columns == 0));
        for _ in 0..columns {
            let field = fields.next().ok_or(OTHER_SHAPE)?;
            self.row.push(if field == "\\N" {
                Value::Null
            } else if field.contains('\\') {
                self.plain.clear();
                unescape(field, &mut self.plain);
                Value::Text(&self.plain)
            } else {
                Value::Text(field)
            });
        }
        if fields.next().is_some() {
            return Err(OTHER_SHAPE);
        }
        Ok(())
    }

    fn binary(&mut self, row: &[u8], columns: usize) -> Result<(), CopyError> {
        let (count, mut rest) = row.split_first_chunk().ok_or(CUT_OFF)?;
        if usize::try_from(i16::from_be_bytes(*count)) != Ok(columns) {
            return Err(OTHER_SHAPE);
        }
        for _ in 0..columns {
            let (length, after) = rest.split_first_chunk().ok_or(CUT_OFF)?;
            rest = after;
            self.row
                .push(match usize::try_from(i32::from_be_bytes(*length)) {
                    Ok(length) => {
                        let (value, after) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
                        rest = after;
                        Value::Binary(value)
                    }
                    Err(_) => Value::Null,
                });
        }
        Ok(())
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

    fn encoded(rows: &[Vec<Option<String>>], binary: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if !binary {
            for row in rows {
                let fields = row.iter().map(|value| match value {
                    Some(value) => escaped(value),
                    None => "\\N".to_owned(),
                });
                out.extend_from_slice(fields.collect::<Vec<_>>().join("\t").as_bytes());
                out.push(b'\n');
            }
            return out;
        }
        out.extend_from_slice(SIGNATURE);
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
        for row in rows {
            out.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
            for value in row {
                let length = value
                    .as_ref()
                    .map_or(-1, |v| i32::try_from(v.len()).unwrap());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
            }
        }
        out.extend_from_slice(&[0xff, 0xff]);
        out
    }

    fn decoded(
        bytes: &[u8],
        chunk: usize,
        columns: usize,
        binary: bool,
    ) -> Vec<Vec<Option<String>>> {
        let (mut splitter, mut reader) = (Splitter::new(binary), RowReader::default());
        let mut rows = Vec::new();
        for chunk in bytes.chunks(chunk) {
            splitter
                .push(Bytes::copy_from_slice(chunk), &mut rows)
                .unwrap();
        }
        assert!(splitter.is_done());
        let value = |value: Value<'_>| match value {
            Value::Null => None,
            Value::Text(text) => Some(text.to_owned()),
            Value::Binary(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
            Value::Unchanged => panic!("a copy has every value"),
        };
        rows.iter()
            .map(|row| {
                let tuple = reader.read(row, columns, binary).unwrap();
                tuple.iter().map(value).collect()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_copy_reads_back_wherever_its_messages_end(
            (columns, rows) in (1..5_usize).prop_flat_map(|columns| {
                let value = proptest::option::of("[a\\\\N\n\t\r\u{8}ä😀.]{0,6}");
                let row = proptest::collection::vec(value, columns);
                (Just(columns), proptest::collection::vec(row, 0..8))
            }),
            chunk in 1..40_usize,
            binary: bool,
        ) {
            let bytes = encoded(&rows, binary);
            prop_assert_eq!(decoded(&bytes, chunk, columns, binary), rows);
        }

        #[test]
        fn no_bytes_make_it_panic(chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..4), header: bool, columns in 0..4_usize, binary: bool) {
            let mut splitter = Splitter::new(binary);
            let mut rows = Vec::new();
            if header {
                let _ = splitter.push(Bytes::from(encoded(&[], binary)), &mut rows);
            }
            for chunk in chunks {
                let _ = RowReader::default().read(&chunk, columns, binary);
                if splitter.push(chunk.into(), &mut rows).is_err() {
                    break;
                }
            }
            for row in rows {
                let _ = RowReader::default().read(&row, columns, binary);
            }
        }
    }

    #[test]
    fn a_row_of_another_shape_is_an_error() {
        let mut reader = RowReader::default();
        assert!(reader.read(b"1\t2\n", 2, false).is_ok());
        assert!(reader.read(b"1\t2\n", 3, false).is_err());
        assert!(reader.read(b"\n", 0, false).is_ok());
        assert!(reader.read(b"\xff\n", 1, false).is_err());
        assert!(reader.read(&[0, 1, 0, 0, 0, 9, 1], 1, true).is_err());
    }
}
