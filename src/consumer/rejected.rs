//! A record that no document can be made of, or whose document the store does not take: a case for the dead letters.

use super::DeadLetterReason;
use crate::debezium::ReadEnvelopeError;
use crate::store::{ConflictingDocument, DocumentError, RefusedDocument};
use cdc_bench_model::event::EventId;

/// Why a record cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The reason as a word.
    pub reason: DeadLetterReason,
    /// The same as a sentence.
    pub message: String,
    /// The store's error code, where it was the store that refused.
    pub store_code: Option<i32>,
    /// The event, where it could be read.
    pub id: Option<EventId>,
}

impl Rejected {
    pub(super) fn new(
        reason: DeadLetterReason,
        message: impl ToString,
        id: Option<EventId>,
    ) -> Self {
        Self {
            reason,
            message: message.to_string(),
            store_code: None,
            id,
        }
    }

    /// No document: the record is not an event.
    pub(super) fn unreadable(error: &ReadEnvelopeError) -> Self {
        Self::new(error.into(), error, None)
    }

    /// No document: the event cannot be one.
    pub(super) fn no_document(error: &DocumentError, id: EventId) -> Self {
        Self::new(error.into(), error, Some(id))
    }

    /// A document that the store refuses.
    pub(super) fn refused(refusal: &RefusedDocument, id: EventId) -> Self {
        let RefusedDocument { message, code, .. } = refusal;
        let message = format!("refused by the store: {message} (code {code})");
        Self {
            store_code: Some(*code),
            ..Self::new(DeadLetterReason::RefusedByStore, message, Some(id))
        }
    }

    /// A document whose place another has.
    pub(super) fn conflicting(conflict: &ConflictingDocument, id: EventId) -> Self {
        let message = format!(
            "the store has another document of event {id}, which stays as it is: {} differ",
            conflict.fields.join(", ")
        );
        Self::new(DeadLetterReason::SameIdOtherContents, message, Some(id))
    }
}
