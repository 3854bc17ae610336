//! A row where it lies in its message.

use std::fmt;

/// What stands before a value, and says what it is.
pub(super) const NULL: u8 = b'n';
pub(super) const UNCHANGED: u8 = b'u';
pub(super) const TEXT: u8 = b't';
pub(super) const BINARY: u8 = b'b';

/// One column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Stored out of line and not changed: the stream does not carry it. It is not null.
    Unchanged,
    /// In text format.
    Text(&'a str),
    /// In binary format.
    Binary(&'a [u8]),
}

/// A row, column by column in the relation's order: borrowed from its message, and known to be whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// Of bytes that hold so many values and nothing else.
    pub(super) fn checked(columns: u16, bytes: &'a [u8]) -> Self {
        Self { columns, bytes }
    }

    /// Number of its columns.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Whether it is of a table without columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// One value. What lies before it is walked over: who wants many takes them in turn.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<Value<'a>> {
        self.iter().nth(column)
    }

    /// Every value.
    #[must_use]
    pub fn iter(&self) -> Values<'a> {
        Values {
            left: self.len(),
            rest: self.bytes,
        }
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &Tuple<'a> {
    type Item = Value<'a>;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

/// The values of a row that are left.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    /// The kind and the bytes of the next value.
    fn step(&mut self) -> Option<(u8, &'a [u8])> {
        self.left = self.left.checked_sub(1)?;
        let (&kind, rest) = self.rest.split_first()?;
        if matches!(kind, NULL | UNCHANGED) {
            self.rest = rest;
            return Some((kind, &[]));
        }
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((kind, bytes))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (kind, bytes) = self.step()?;
        Some(match kind {
            NULL => Value::Null,
            UNCHANGED => Value::Unchanged,
            // That it is UTF-8 was seen when the row was decoded.
            TEXT => Value::Text(std::str::from_utf8(bytes).ok()?),
            _ => Value::Binary(bytes),
        })
    }

    fn nth(&mut self, n: usize) -> Option<Value<'a>> {
        for _ in 0..n {
            self.step()?;
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Where a row is put together that did not come in a message.
#[derive(Debug, Clone, Default)]
pub struct TupleBuffer {
    columns: u16,
    bytes: Vec<u8>,
}

impl TupleBuffer {
    /// Empty again; its memory stays.
    pub fn clear(&mut self) {
        self.columns = 0;
        self.bytes.clear();
    }

    /// The next column.
    ///
    /// # Panics
    /// When it is longer than 2 GiB, or the 65,536th: no value and no row of PostgreSQL's is.
    pub fn push(&mut self, value: Value<'_>) {
        self.columns = self.columns.checked_add(1).expect("65,535 columns at most");
        let (kind, bytes): (u8, &[u8]) = match value {
            Value::Null => return self.bytes.push(NULL),
            Value::Unchanged => return self.bytes.push(UNCHANGED),
            Value::Text(text) => (TEXT, text.as_bytes()),
            Value::Binary(bytes) => (BINARY, bytes),
        };
        let length = i32::try_from(bytes.len()).expect("2 GiB at most");
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// The row.
    #[must_use]
    pub fn tuple(&self) -> Tuple<'_> {
        Tuple::checked(self.columns, &self.bytes)
    }
}

impl<'a> Extend<Value<'a>> for TupleBuffer {
    fn extend<I: IntoIterator<Item = Value<'a>>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl<'a> FromIterator<Value<'a>> for TupleBuffer {
    fn from_iter<I: IntoIterator<Item = Value<'a>>>(values: I) -> Self {
        let mut buffer = Self::default();
        buffer.extend(values);
        buffer
    }
}
