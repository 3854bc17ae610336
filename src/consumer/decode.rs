//! Decodes a Debezium envelope to a document of the read model.

use std::borrow::Cow;

use uuid::Uuid;

use crate::debezium::EnvelopeReader;
use crate::store::{DocumentBatch, DocumentParts, PayloadBuffer};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::Stamp;

/// A decoded record: all of its event but the document.
#[derive(Debug, Clone)]
pub struct Decoded<'v> {
    /// The run that inserted it.
    pub run_id: Cow<'v, str>,
    /// The rest.
    pub header: EventHeader,
}

/// What is needed of an event, besides its document, until it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// The event.
    pub id: EventId,
    /// Its sequence number in its run.
    pub seq: u64,
    /// Its type.
    pub event_type: EventType,
    /// `ts_ns` of the envelope: when Debezium passed it to the producer, on Connect's clock.
    pub debezium_ts: Option<Stamp>,
    /// LSN of the row's change.
    pub source_lsn: Option<u64>,
    /// Its transaction id.
    pub source_xid: Option<u64>,
}

/// A record that no document can be made of: a case for the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why not.
    pub reason: String,
    /// The event, where it could be read.
    pub id: Option<EventId>,
}

impl Rejected {
    fn new(reason: impl ToString, id: Option<EventId>) -> Self {
        Self {
            reason: reason.to_string(),
            id,
        }
    }
}

/// Decodes records. It reuses its buffers and what it has learned of the records' common text, so keep it.
#[derive(Debug, Default)]
pub struct Decoder {
    envelopes: EnvelopeReader,
    /// The payload of the current record.
    payload: PayloadBuffer,
}

impl Decoder {
    /// Decodes a record's value, and appends its document to the batch that `batch_for` names for its aggregate.
    /// `None`: there is nothing to write (a tombstone, a change other than an insert, or an event of a run that `wants`
    /// excludes).
    ///
    /// # Errors
    /// When the value is not an envelope, or its row not an event. No document is appended then.
    pub fn decode<'v, 'd>(
        &mut self,
        value: Option<&'v [u8]>,
        wants: impl FnOnce(&str) -> bool,
        batch_for: impl FnOnce(Uuid) -> &'d mut DocumentBatch,
    ) -> Result<Option<Decoded<'v>>, Rejected> {
        let Some(value) = value else { return Ok(None) };
        let envelope = self.envelopes.read(value, |json| self.payload.read(json));
        let envelope = envelope.map_err(|e| Rejected::new(e, None))?;
        let (debezium_ts, source) = (envelope.debezium_ts(), envelope.source);
        let Some(row) = envelope.into_inserted() else {
            return Ok(None);
        };
        if !wants(&row.run_id) {
            return Ok(None);
        }
        let id = row.id;
        let rejected = |reason: &dyn ToString| Rejected::new(reason.to_string(), Some(id));
        let event_type: EventType = row.event_type.parse().map_err(|e| rejected(&e))?;
        let parts = DocumentParts {
            id,
            run_id: &row.run_id,
            seq: row.seq,
            event_type: event_type.as_str(),
            aggregate_type: &row.aggregate_type,
            aggregate_id: row.aggregate_id,
            payload: self.payload.payload(),
            created_at_us: row.created_at_us,
            lsn: source.lsn,
            tx_id: source.tx_id,
        };
        batch_for(row.aggregate_id)
            .push(&parts)
            .map_err(|e| rejected(&e))?;
        let header = EventHeader {
            id,
            seq: row.seq,
            event_type,
            debezium_ts,
            source_lsn: source.lsn,
            source_xid: source.tx_id,
        };
        Ok(Some(Decoded {
            run_id: row.run_id,
            header,
        }))
    }
}
