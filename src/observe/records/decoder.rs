//! From a record's bytes to what it is.

use std::sync::Arc;

use serde_json::Value;

use super::form::{self, Decoded};
use super::json;
use super::key::Key;
use super::outline::{Part, Selection};
use super::record::{Observed, RawRecord, RecordError};
use super::settings::{KeyConverter, RecordSettings};

/// Decodes records. Clones share what it has learned.
#[derive(Debug, Clone, Default)]
pub struct RecordDecoder {
    settings: Arc<RecordSettings>,
}

impl RecordDecoder {
    /// A decoder with these settings.
    #[must_use]
    pub fn new(settings: RecordSettings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// What this record is. One that cannot be read is [`super::NotAChange::Unknown`].
    ///
    /// # Errors
    /// When something outside of the record keeps it from being read.
    #[expect(clippy::unused_async, reason = "a schema may have to be fetched")]
    pub async fn decode(&self, record: RawRecord<'_>) -> Result<Observed, RecordError> {
        let key = match record.key {
            None => Key::None,
            Some(bytes) => self.key(bytes),
        };
        let value = match record.value {
            None => Part::Null,
            Some(bytes) => {
                let mut names = key.names();
                names.extend(self.settings.added_names());
                let selection = Selection::of_record(&names);
                json::outline(bytes, selection).unwrap_or(Part::Skipped)
            }
        };
        let decoded = Decoded {
            record,
            key,
            settings: &self.settings,
        };
        Ok(form::observed(&decoded, value))
    }

    fn key(&self, bytes: &[u8]) -> Key {
        match self.settings.key_converter {
            KeyConverter::Text => Key::of_plain_text(&String::from_utf8_lossy(bytes)),
            KeyConverter::Integer => Key::Single(Value::from(big_endian(bytes))),
            KeyConverter::Unknown => Key::of_text(bytes),
        }
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
