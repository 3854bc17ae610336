//! The documents of one write, encoded one after the other in one buffer.

use std::ops::Range;

use mongodb::bson::RawDocument;

use super::bson::BsonBuffer;
use super::{DocumentError, DocumentParts};

/// Documents in the order they were added. Each is encoded once, and stays where it is until the store has it.
#[derive(Debug, Clone, Default)]
pub struct DocumentBatch {
    buffer: BsonBuffer,
    ends: Vec<usize>,
}

impl DocumentBatch {
    /// An empty batch with room for this number of documents of this many bytes together.
    #[must_use]
    pub fn with_capacity(documents: usize, bytes: usize) -> Self {
        Self {
            buffer: BsonBuffer::with_capacity(bytes),
            ends: Vec::with_capacity(documents),
        }
    }

    /// Encodes a document and appends it.
    ///
    /// # Errors
    /// [`DocumentError`], where no document can be built; nothing is added then.
    pub fn push(&mut self, parts: &DocumentParts<'_>) -> Result<(), DocumentError> {
        let begin = self.buffer.len();
        match parts.write_to(&mut self.buffer) {
            Ok(()) => {
                self.ends.push(self.buffer.len());
                Ok(())
            }
            Err(error) => {
                self.buffer.truncate(begin);
                Err(error)
            }
        }
    }

    /// Appends copies of documents of another batch.
    ///
    /// # Panics
    /// When `which` reaches beyond its end.
    pub fn append(&mut self, other: &Self, which: Range<usize>) {
        let from = other.begin(which.start);
        let to = self.buffer.len();
        self.buffer
            .raw(&other.buffer.bytes()[from..other.begin(which.end)]);
        let ends = other.ends[which].iter().map(|end| end - from + to);
        self.ends.extend(ends);
    }

    /// Number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of these documents together.
    ///
    /// # Panics
    /// When `which` reaches beyond the end.
    #[must_use]
    pub fn bytes(&self, which: Range<usize>) -> usize {
        self.begin(which.end) - self.begin(which.start)
    }

    /// The document at `index`.
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn get(&self, index: usize) -> &RawDocument {
        let bytes = &self.buffer.bytes()[self.begin(index)..self.ends[index]];
        RawDocument::from_bytes(bytes)
            .expect("the length was filled in when the document was ended")
    }

    /// The documents, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RawDocument> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Removes all documents, and keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.truncate(0);
        self.ends.clear();
    }

    /// The byte at which the document at `index` begins; for the number of documents, the end.
    fn begin(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::Payload;
    use cdc_bench_model::event::EventId;

    fn parts(n: u128, payload_json: &str) -> DocumentParts<'_> {
        DocumentParts {
            id: EventId(Uuid::from_u128(n)),
            run_id: "r",
            seq: 0,
            event_type: "UserCreated",
            aggregate_type: "user",
            aggregate_id: Uuid::nil(),
            payload: Payload::Json(payload_json),
            created_at_us: 0,
            lsn: None,
            tx_id: None,
        }
    }

    #[test]
    fn each_document_is_what_it_would_be_alone() {
        let payloads = ["{}", r#"{"a":[1,2]}"#, "[]", r#"{"b":"#, r#"{"c":"long"}"#];
        let mut documents = DocumentBatch::default();
        let mut alone = Vec::new();
        for (n, payload) in (0..).zip(payloads) {
            let parts = parts(n, payload);
            match parts.to_document() {
                Ok(document) => {
                    documents.push(&parts).unwrap();
                    alone.push(document);
                }
                Err(error) => assert_eq!(documents.push(&parts), Err(error)),
            }
        }
        assert_eq!(alone.len(), 3, "two of the payloads are no objects");
        assert!(documents.iter().eq(alone.iter().map(AsRef::as_ref)));
        let mut copied = DocumentBatch::default();
        copied.append(&documents, 2..3);
        copied.append(&documents, 0..2);
        copied.append(&documents, 3..3);
        let order = [2, 0, 1].map(|index: usize| &*alone[index]);
        assert!(copied.iter().eq(order));
        assert_eq!(copied.bytes(0..1), alone[2].as_bytes().len());
        copied.clear();
        assert_eq!(copied.len(), 0);
    }
}
