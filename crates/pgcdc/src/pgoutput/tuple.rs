//! Rows, borrowed from their messages.

use std::fmt;

use simdutf8::basic::from_utf8;

// The byte before a value: its format.
pub(super) const NULL: u8 = b'n';
pub(super) const UNCHANGED: u8 = b'u';
pub(super) const TEXT: u8 = b't';
pub(super) const BINARY: u8 = b'b';

/// One column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Stored out of line and not changed: the stream does not carry the value. It is not null.
    Unchanged,
    /// In text format.
    Text(&'a str),
    /// In binary format.
    Binary(&'a [u8]),
}

/// A row: its values in the order of the relation's columns. Borrowed from its message, and validated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// A row of validated bytes: so many values and nothing else.
    pub(super) fn checked(columns: u16, bytes: &'a [u8]) -> Self {
        Self { columns, bytes }
    }

    /// The validated bytes.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of columns, as messages have it.
    pub(super) fn columns(&self) -> u16 {
        self.columns
    }

    /// Number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Number of bytes, of the values and of what marks them.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the table has no columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The value of one column. It takes time linear in the position: to read several values, use [`Tuple::iter`].
    #[must_use]
    pub fn get(&self, column: usize) -> Option<Value<'a>> {
        self.iter().nth(column)
    }

    /// Iterates over the values.
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

/// Iterator over the values of a row.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    /// Format and bytes of the next value.
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
            // Validated when the row was decoded.
            TEXT => Value::Text(from_utf8(bytes).ok()?),
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

/// Builds a row that is not from a message.
#[derive(Debug, Clone, Default)]
pub struct TupleBuffer {
    columns: u16,
    bytes: Vec<u8>,
}

impl TupleBuffer {
    /// Removes all columns, and keeps the memory.
    pub fn clear(&mut self) {
        self.columns = 0;
        self.bytes.clear();
    }

    /// Appends a column.
    ///
    /// # Panics
    /// When the value is longer than 2 GiB, or the column is the 65,536th; PostgreSQL allows neither.
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
