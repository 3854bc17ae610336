//! From a record's bytes to what it is.

mod written;

use std::sync::Arc;

use serde_json::Value;

use super::form::{self, Decoded};
use super::json;
use super::key::Key;
use super::outline::{Part, Selection};
use super::record::{NotAChange, Observed, RawRecord};
use super::registry::{RegistryError, Schema};
use super::settings::{KeyConverter, RecordSettings};
use super::wire::{Framed, SchemaId, Side};
pub use written::{Written, WrittenRow};

/// A record could not be read because of something outside of it; it can be once that is repaired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A schema is needed, and no registry is known.
    #[error(
        "the {side} of a record of topic {topic} is of the schema with {id} of a registry; set SCHEMA_REGISTRY_URL to that registry"
    )]
    NoRegistry {
        /// Its topic.
        topic: String,
        /// Key or value.
        side: String,
        /// The schema.
        id: String,
    },
    /// The registry did not give the schema.
    #[error("the {side} of a record of topic {topic} cannot be read: {error}")]
    Registry {
        /// Its topic.
        topic: String,
        /// Key or value.
        side: String,
        /// What the registry did.
        error: RegistryError,
    },
}

impl RecordError {
    /// Whether it may pass by itself: the record may be decoded once more after a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Registry { error, .. } if error.may_pass())
    }
}

/// Decodes records. Clones share the schemas that were fetched.
#[derive(Debug, Clone, Default)]
pub struct RecordDecoder {
    settings: Arc<RecordSettings>,
}

/// Why a part of a record has no value here.
enum Unread {
    /// It never has.
    Unreadable(String),
    Failed(RecordError),
}

impl RecordDecoder {
    /// A decoder with these settings.
    #[must_use]
    pub fn new(settings: RecordSettings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// What this record is. One that can never be read is [`NotAChange::Unreadable`].
    ///
    /// # Errors
    /// When a registry does not give a schema that the record needs.
    pub async fn decode(&self, record: RawRecord<'_>) -> Result<Observed, RecordError> {
        match self.read(record).await {
            Ok(observed) => Ok(observed),
            Err(Unread::Unreadable(reason)) => {
                Ok(Observed::NotAChange(NotAChange::Unreadable(reason)))
            }
            Err(Unread::Failed(error)) => Err(error),
        }
    }

    async fn read(&self, record: RawRecord<'_>) -> Result<Observed, Unread> {
        let key = match record.key {
            None => Key::None,
            Some(bytes) => self.key(bytes, &record).await?,
        };
        let value = match record.value {
            None => Part::Null,
            Some(bytes) => {
                let mut names = key.names();
                names.extend(self.settings.added_names());
                self.value(bytes, &record, Selection::of_record(&names))
                    .await?
            }
        };
        let decoded = Decoded {
            record,
            key,
            settings: &self.settings,
        };
        Ok(form::observed(&decoded, value))
    }

    async fn value(
        &self,
        bytes: &[u8],
        record: &RawRecord<'_>,
        selection: Selection<'_>,
    ) -> Result<Part, Unread> {
        match Framed::of(Side::Value, bytes, record) {
            // A text is the payload of an outbox, or nothing.
            Framed::Plain(bytes) => Ok(json::outline(bytes, selection).unwrap_or(Part::Skipped)),
            Framed::Unsupported(why) => Err(Unread::Unreadable(why.to_owned())),
            Framed::Registered { id, body } => {
                let schema = self.schema(&id, Side::Value, record).await?;
                schema.outline(body, selection).map_err(Unread::Unreadable)
            }
        }
    }

    async fn key(&self, bytes: &[u8], record: &RawRecord<'_>) -> Result<Key, Unread> {
        match self.settings.key_converter {
            KeyConverter::Text => return Ok(Key::of_plain_text(&String::from_utf8_lossy(bytes))),
            KeyConverter::Integer => return Ok(Key::Single(Value::from(big_endian(bytes)))),
            KeyConverter::Unknown => {}
        }
        match Framed::of(Side::Key, bytes, record) {
            Framed::Plain(bytes) => Ok(plain_key(bytes)),
            Framed::Unsupported(why) => Err(Unread::Unreadable(why.to_owned())),
            Framed::Registered { id, body } => match self.schema(&id, Side::Key, record).await {
                Ok(schema) => schema.key(body).map_err(Unread::Unreadable),
                // A number of eight bytes looks like an id with three bytes after it.
                Err(Unread::Failed(error)) if bytes.len() == LONG && error.is_no_schema() => {
                    Ok(plain_key(bytes))
                }
                Err(error) => Err(error),
            },
        }
    }

    async fn schema(
        &self,
        id: &SchemaId,
        side: Side,
        record: &RawRecord<'_>,
    ) -> Result<Arc<Schema>, Unread> {
        let (topic, side) = (record.topic.to_owned(), side.to_string());
        let Some(registry) = &self.settings.registry else {
            let id = id.to_string();
            return Err(Unread::Failed(RecordError::NoRegistry { topic, side, id }));
        };
        match registry.schema(id).await {
            Ok(schema) => schema.map_err(Unread::Unreadable),
            Err(error) => Err(Unread::Failed(RecordError::Registry { topic, side, error })),
        }
    }
}

impl RecordError {
    fn is_no_schema(&self) -> bool {
        match self {
            Self::NoRegistry { .. } => true,
            Self::Registry { error, .. } => matches!(error, RegistryError::NoSchema { .. }),
        }
    }
}

/// Bytes of a `long`.
const LONG: usize = 8;

/// A key without a schema: JSON, a text, or a number.
fn plain_key(bytes: &[u8]) -> Key {
    match bytes {
        [0 | 0xff, ..] if matches!(bytes.len(), 2 | 4 | LONG) => {
            Key::Single(Value::from(big_endian(bytes)))
        }
        _ => Key::of_text(bytes),
    }
}

/// A number as Connect's converters of numbers write it; `None` if it is too long for one.
fn big_endian(bytes: &[u8]) -> Option<i64> {
    let fits = (1..=8).contains(&bytes.len());
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    fits.then(|| {
        bytes
            .iter()
            .fold(start, |number, &byte| number << 8 | i64::from(byte))
    })
}

#[cfg(test)]
mod tests;
