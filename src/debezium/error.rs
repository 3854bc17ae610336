//! Why a record's value cannot be read as a change event.

use crate::json::NotJson;

/// A record's value is not a change event of the outbox table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Debezium change event of the outbox table: {0}")]
pub struct ReadEnvelopeError(pub(super) Box<EnvelopeFault>);

/// What a record's value fails by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreadableBy {
    /// It is no JSON text.
    Syntax,
    /// A field is missing.
    MissingField,
    /// A field is of another type, or has a value that it cannot have.
    WrongField,
}

impl ReadEnvelopeError {
    /// What it fails by.
    #[must_use]
    pub fn unreadable_by(&self) -> UnreadableBy {
        match *self.0 {
            EnvelopeFault::NotUtf8(_) | EnvelopeFault::NotJson(_) => UnreadableBy::Syntax,
            EnvelopeFault::Missing(_) => UnreadableBy::MissingField,
            EnvelopeFault::Field { .. } => UnreadableBy::WrongField,
        }
    }
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvelopeFault {
    #[error("not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    #[error("no JSON at byte {0}")]
    NotJson(usize),
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("{field} is {found}")]
    Field { field: &'static str, found: String },
}

/// Why parsing stopped. It is small, because every result on the way up has room for it, and it is rare.
pub(super) enum ParseFailure {
    /// The reader has the offset.
    NotJson,
    Envelope(Box<EnvelopeFault>),
}

impl From<NotJson> for ParseFailure {
    fn from(NotJson: NotJson) -> Self {
        Self::NotJson
    }
}

pub(super) fn missing(field: &'static str) -> ParseFailure {
    ParseFailure::Envelope(Box::new(EnvelopeFault::Missing(field)))
}

pub(super) fn wrong(field: &'static str, found: String) -> ParseFailure {
    ParseFailure::Envelope(Box::new(EnvelopeFault::Field { field, found }))
}
