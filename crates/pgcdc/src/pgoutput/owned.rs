//! The rows of a change, copied from their message.

use bytes::Bytes;

use super::OldTuple;
use super::tuple::Tuple;

/// The rows of a change, copied from their message into one allocation, which clones share.
#[derive(Debug, Clone, Default)]
pub struct OwnedTuples {
    /// The old row, and after it the new one.
    bytes: Bytes,
    old: Option<OldPart>,
    /// Number of columns of the new row.
    new: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
struct OldPart {
    is_key: bool,
    columns: u16,
    length: usize,
}

impl OwnedTuples {
    /// Copies rows.
    #[must_use]
    pub fn new(new: Option<&Tuple<'_>>, old: Option<&OldTuple<'_>>) -> Self {
        let (old, is_key) = match old {
            Some(OldTuple::Key(row)) => (Some(row), true),
            Some(OldTuple::Full(row)) => (Some(row), false),
            None => (None, false),
        };
        let bytes = |row: Option<&Tuple<'_>>| row.map_or(0, |row| row.bytes().len());
        let mut copied = Vec::with_capacity(bytes(old) + bytes(new));
        for row in [old, new].into_iter().flatten() {
            copied.extend_from_slice(row.bytes());
        }
        Self {
            bytes: copied.into(),
            old: old.map(|row| OldPart {
                is_key,
                columns: row.columns(),
                length: row.bytes().len(),
            }),
            new: new.map(Tuple::columns),
        }
    }

    /// The new row.
    #[must_use]
    pub fn new_row(&self) -> Option<Tuple<'_>> {
        let start = self.old.map_or(0, |old| old.length);
        self.new
            .map(|columns| Tuple::checked(columns, &self.bytes[start..]))
    }

    /// The old row.
    #[must_use]
    pub fn old_row(&self) -> Option<OldTuple<'_>> {
        self.old.map(|old| {
            let row = Tuple::checked(old.columns, &self.bytes[..old.length]);
            if old.is_key {
                OldTuple::Key(row)
            } else {
                OldTuple::Full(row)
            }
        })
    }

    /// Number of bytes of the rows.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::{TupleBuffer, Value};

    #[test]
    fn owned_rows_are_those_that_were_copied() {
        let row = |values: &[Value<'_>]| values.iter().copied().collect::<TupleBuffer>();
        let new = row(&[Value::Text("1"), Value::Unchanged]);
        let old = row(&[Value::Binary(&[1, 2]), Value::Null]);
        let (new, old) = (new.tuple(), old.tuple());
        for old in [None, Some(OldTuple::Key(old)), Some(OldTuple::Full(old))] {
            for new in [None, Some(new)] {
                let owned = OwnedTuples::new(new.as_ref(), old.as_ref());
                assert_eq!(owned.new_row(), new);
                assert_eq!(owned.old_row(), old);
            }
        }
    }
}
