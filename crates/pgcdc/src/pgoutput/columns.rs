//! Descriptions of columns, borrowed from their messages.

use std::fmt;

/// A column's description in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnMessage<'a> {
    /// Whether it belongs to the replica identity's key.
    pub key: bool,
    /// Name.
    pub name: &'a str,
    /// OID of its type.
    pub type_oid: u32,
    /// Type modifier (`atttypmod`); -1 without one.
    pub type_modifier: i32,
}

/// The columns of a table, in order. Borrowed from the table's description, and validated.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Columns of validated bytes: so many columns and nothing else.
    pub(super) fn checked(count: u16, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    /// Number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Iterates over the columns.
    pub fn iter(&self) -> impl Iterator<Item = ColumnMessage<'a>> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let (column, left) = one(rest)?;
            rest = left;
            Some(column)
        })
    }
}

/// The first column, and the bytes after it.
fn one(bytes: &[u8]) -> Option<(ColumnMessage<'_>, &[u8])> {
    let (flags, rest) = bytes.split_first()?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (type_oid, rest) = rest.split_first_chunk()?;
    let (type_modifier, rest) = rest.split_first_chunk()?;
    let column = ColumnMessage {
        key: flags & 1 == 1,
        name: std::str::from_utf8(name).ok()?,
        type_oid: u32::from_be_bytes(*type_oid),
        type_modifier: i32::from_be_bytes(*type_modifier),
    };
    Some((column, rest))
}

/// Equality of the columns; unknown flag bits may differ.
impl PartialEq for Columns<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Columns<'_> {}

impl fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Builds columns that are not from a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnsBuffer {
    count: u16,
    bytes: Vec<u8>,
}

impl ColumnsBuffer {
    /// Appends a column. Its name ends at a zero byte, as in PostgreSQL.
    ///
    /// # Panics
    /// When it is the 65,536th; PostgreSQL allows at most 1,600.
    pub fn push(&mut self, column: ColumnMessage<'_>) {
        self.count = self.count.checked_add(1).expect("65,535 columns at most");
        let name = column.name.split('\0').next().unwrap_or_default();
        self.bytes.push(u8::from(column.key));
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.bytes.extend_from_slice(&column.type_oid.to_be_bytes());
        self.bytes
            .extend_from_slice(&column.type_modifier.to_be_bytes());
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns::checked(self.count, &self.bytes)
    }
}

impl<'a> FromIterator<ColumnMessage<'a>> for ColumnsBuffer {
    fn from_iter<I: IntoIterator<Item = ColumnMessage<'a>>>(columns: I) -> Self {
        let mut buffer = Self::default();
        columns.into_iter().for_each(|column| buffer.push(column));
        buffer
    }
}
