//! Why a record is a dead letter, as one of a few words that can be counted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::debezium::{ReadEnvelopeError, UnreadableBy};
use crate::store::DocumentError;

/// Why a record is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    /// The value is no JSON text in UTF-8.
    Unparsable,
    /// A field of the envelope or of its row is missing.
    MissingField,
    /// A field of the envelope or of its row is of another type, or has a value that it cannot have.
    WrongField,
    /// The envelope's operation is none of Debezium's.
    UnknownOperation,
    /// The event is of no known type.
    UnknownEventType,
    /// The record's key names another row than its value.
    KeyMismatch,
    /// The row's payload is no JSON object that a document can hold.
    BadPayload,
    /// The row's payload is nested deeper than the store takes.
    TooDeep,
    /// The document is larger than the store takes.
    TooLarge,
    /// Another document with this event's id is in the store.
    SameIdOtherContents,
    /// The store refuses the document, by a code of its own.
    RefusedByStore,
    /// The word of another program that wrote the dead letter.
    Foreign(String),
}

impl DeadLetterReason {
    /// Those that this program gives.
    pub const OURS: [Self; 11] = [
        Self::Unparsable,
        Self::MissingField,
        Self::WrongField,
        Self::UnknownOperation,
        Self::UnknownEventType,
        Self::KeyMismatch,
        Self::BadPayload,
        Self::TooDeep,
        Self::TooLarge,
        Self::SameIdOtherContents,
        Self::RefusedByStore,
    ];

    /// As files, headers and reports name it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unparsable => "unparsable",
            Self::MissingField => "missing_field",
            Self::WrongField => "wrong_field",
            Self::UnknownOperation => "unknown_operation",
            Self::UnknownEventType => "unknown_event_type",
            Self::KeyMismatch => "key_mismatch",
            Self::BadPayload => "bad_payload",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::SameIdOtherContents => "same_id_other_contents",
            Self::RefusedByStore => "refused_by_store",
            Self::Foreign(word) => word,
        }
    }
}

impl From<&str> for DeadLetterReason {
    fn from(word: &str) -> Self {
        let ours = Self::OURS
            .into_iter()
            .find(|reason| reason.as_str() == word);
        ours.unwrap_or_else(|| Self::Foreign(word.to_owned()))
    }
}

impl From<&ReadEnvelopeError> for DeadLetterReason {
    fn from(error: &ReadEnvelopeError) -> Self {
        match error.unreadable_by() {
            UnreadableBy::Syntax => Self::Unparsable,
            UnreadableBy::MissingField => Self::MissingField,
            UnreadableBy::WrongField => Self::WrongField,
        }
    }
}

impl From<&DocumentError> for DeadLetterReason {
    fn from(error: &DocumentError) -> Self {
        match error {
            DocumentError::NotJson { .. }
            | DocumentError::NumberOutOfRange { .. }
            | DocumentError::NotAnObject { .. }
            | DocumentError::NulInName { .. } => Self::BadPayload,
            DocumentError::TooDeep { .. } => Self::TooDeep,
            DocumentError::OutOfRange { .. } => Self::WrongField,
            DocumentError::TooLarge { .. } => Self::TooLarge,
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DeadLetterReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DeadLetterReason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from(&*word))
    }
}

/// Dead letters counted by reason, from several threads.
#[derive(Debug, Default)]
pub struct ReasonCounts(Mutex<BTreeMap<DeadLetterReason, u64>>);

impl ReasonCounts {
    /// Counts one; returns how many there are of its reason now.
    pub fn add(&self, reason: &DeadLetterReason) -> u64 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(reason) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                counts.insert(reason.clone(), 1);
                1
            }
        }
    }

    /// The counts so far, by the names of the reasons.
    #[must_use]
    pub fn by_reason(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.iter();
        counts
            .map(|(reason, count)| (reason.to_string(), *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_its_word_and_another_programs_stays_what_it_is() {
        for reason in DeadLetterReason::OURS {
            assert_eq!(DeadLetterReason::from(reason.as_str()), reason);
        }
        let foreign = DeadLetterReason::from("org.apache.kafka.connect.errors.DataException");
        assert_eq!(
            foreign.to_string(),
            "org.apache.kafka.connect.errors.DataException"
        );
        let counts = ReasonCounts::default();
        counts.add(&DeadLetterReason::TooDeep);
        assert_eq!(counts.add(&DeadLetterReason::TooDeep), 2);
        assert_eq!(
            counts.by_reason(),
            BTreeMap::from([("too_deep".to_owned(), 2)])
        );
    }
}
