//! Rows into types that implement serde's `Deserialize`.

mod content;
mod datum;
mod error;
mod json;
mod row;

#[cfg(test)]
mod tests;

pub use error::RowError;

use serde::Deserialize;

use self::row::{NotSent, Row};
use crate::Relation;
use crate::event::Change;
use crate::pgoutput::{OldTuple, Tuple};

impl<'a> Change<'a> {
    /// The row of [`Change::row`] as any type that implements serde's `Deserialize`, borrowed where it can be: `&str` in text
    /// format.
    ///
    /// - A struct or a map takes columns by name, a tuple by position; a struct need not have every column. A type of one value
    ///   takes a row of one column.
    /// - NULL is `None`; for a type that is no `Option` it is an error. Values convert as with [`Change::get`], from both formats.
    /// - An array is a sequence, `bytea` bytes or a sequence of them, a value of an enum type a variant without data. `numeric`
    ///   and `money` are the text of the number, or a floating-point number, which may round it. A timestamp is text as RFC 3339
    ///   has it (`2026-01-31T12:00:00+00:00`), which the types of chrono, jiff and time take.
    /// - To a type that takes anything, such as `serde_json::Value`, `bytea` is its hexadecimal text.
    /// - `json` and `jsonb` are what their document is: a struct, a map, `serde_json::Value`; as `String` or `&str` they are the
    ///   document's text.
    /// - A column that the stream does not carry because it is stored out of line and did not change, or because it is not in
    ///   the key of a deleted row, is an error if the type has a place for it: it is not `None`. See
    ///   [`Change::deserialize_sent`].
    ///
    /// # Errors
    /// Names the table, and the column if it is one. A truncated table has no row.
    pub fn deserialize<T: Deserialize<'a>>(&self) -> Result<T, RowError> {
        let (row, is_key) = match (&self.new, &self.old) {
            (Some(new), _) => (*new, false),
            (None, Some(old)) => part(old),
            (None, None) => return Err(RowError::no_row(self.relation)),
        };
        deserialize(self.relation, row, is_key, NotSent::IsError)
    }

    /// The same without the columns that the stream does not carry: a map has no entry for them, and a field of a struct its
    /// `#[serde(default)]`. Without that they are an error, but to serde an `Option` that has no entry is `None`: give it
    /// another default, or a type of its own, where that is not the same as NULL.
    ///
    /// # Errors
    /// As [`Change::deserialize`].
    pub fn deserialize_sent<T: Deserialize<'a>>(&self) -> Result<T, RowError> {
        let (row, is_key) = match (&self.new, &self.old) {
            (Some(new), _) => (*new, false),
            (None, Some(old)) => part(old),
            (None, None) => return Err(RowError::no_row(self.relation)),
        };
        deserialize(self.relation, row, is_key, NotSent::IsLeftOut)
    }

    /// The old row as [`Change::deserialize`] has the new one; `None` when the stream carries none. With the replica identity
    /// `FULL` it has every column, otherwise those of the key: a struct of these.
    ///
    /// # Errors
    /// As [`Change::deserialize`].
    pub fn deserialize_old<T: Deserialize<'a>>(&self) -> Result<Option<T>, RowError> {
        let Some(old) = &self.old else {
            return Ok(None);
        };
        let (row, is_key) = part(old);
        deserialize(self.relation, row, is_key, NotSent::IsError).map(Some)
    }
}

/// A row, and whether it has the columns of the key alone.
fn part<'a>(old: &OldTuple<'a>) -> (Tuple<'a>, bool) {
    match old {
        OldTuple::Key(row) => (*row, true),
        OldTuple::Full(row) => (*row, false),
    }
}

fn deserialize<'a, T: Deserialize<'a>>(
    relation: &'a Relation,
    row: Tuple<'a>,
    is_key: bool,
    not_sent: NotSent,
) -> Result<T, RowError> {
    let row = Row::new(relation, row, is_key, not_sent);
    T::deserialize(row).map_err(|reason| RowError::new(relation, reason))
}
