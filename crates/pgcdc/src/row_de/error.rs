//! Why a row is no value of a type.

use std::fmt;

use crate::Relation;

/// Why a row cannot be deserialized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Table.
    pub relation: String,
    /// Column, if it is about one.
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl RowError {
    pub(super) fn new(relation: &Relation, reason: Reason) -> Self {
        Self {
            relation: relation.to_string(),
            column: reason.column,
            reason: reason.text,
        }
    }

    pub(super) fn no_row(relation: &Relation) -> Self {
        Self::new(
            relation,
            serde::de::Error::custom("the table was truncated: there is no row"),
        )
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {}", self.relation)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column:?}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for RowError {}

/// The same where the table is not known.
#[derive(Debug)]
pub(super) struct Reason {
    column: Option<String>,
    text: String,
}

impl Reason {
    /// It is about this column.
    pub(super) fn of_column(self, column: &str) -> Self {
        Self {
            column: self.column.or_else(|| Some(column.to_owned())),
            ..self
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Reason {}

impl serde::de::Error for Reason {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self {
            column: None,
            text: text.to_string(),
        }
    }
}
