//! Errors of changes that cannot be written as events.

use pgcdc::{Column, Relation};

/// Why a change cannot be written as an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A value is in binary format.
    #[error(
        "{relation}.{column} came in PostgreSQL's binary format; events are made of its text format"
    )]
    Binary {
        /// Table.
        relation: String,
        /// Column.
        column: String,
    },
    /// A value is not of its column's type: no known version of PostgreSQL writes it.
    #[error("{relation}.{column} holds {found:?}, which is no value of its type")]
    Malformed {
        /// Table.
        relation: String,
        /// Column.
        column: String,
        /// The value, shortened.
        found: String,
    },
}

impl EnvelopeError {
    pub(super) fn malformed(relation: &Relation, column: &Column, text: &str) -> Self {
        Self::Malformed {
            relation: relation.to_string(),
            column: column.name.clone(),
            found: shortened(text).to_owned(),
        }
    }
}

/// The beginning of a text, for an error message.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}
