//! Decodes a Debezium envelope to a document of the read model.

use std::borrow::Cow;

use uuid::Uuid;

use super::{DeadLetterReason, Rejected};
use crate::debezium::{EnvelopeReader, RowChange, key_difference};
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
        self.decode_keyed(None, value, wants, batch_for)
    }

    /// The same, with the record's key: that it names another row than the value is an error, too.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode_keyed<'v, 'd>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&'v [u8]>,
        wants: impl FnOnce(&str) -> bool,
        batch_for: impl FnOnce(Uuid) -> &'d mut DocumentBatch,
    ) -> Result<Option<Decoded<'v>>, Rejected> {
        let Some(value) = value else { return Ok(None) };
        let envelope = self.envelopes.read(value, |json| self.payload.read(json));
        let envelope = envelope.map_err(|error| Rejected::unreadable(&error))?;
        let (debezium_ts, source) = (envelope.debezium_ts(), envelope.source);
        let row = match envelope.into_change() {
            RowChange::Inserted(row) => row,
            RowChange::NoInsert => return Ok(None),
            change => return Err(no_row(&change)),
        };
        if !wants(&row.run_id) {
            return Ok(None);
        }
        let id = row.id;
        if let Some((column, value)) =
            key.and_then(|key| key_difference(key, id.0, row.aggregate_id))
        {
            let message = format!("the record's key has {column} {value}, and its row another");
            return Err(Rejected::new(
                DeadLetterReason::KeyMismatch,
                message,
                Some(id),
            ));
        }
        let event_type: EventType = row
            .event_type
            .parse()
            .map_err(|error| Rejected::new(DeadLetterReason::UnknownEventType, error, Some(id)))?;
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
            .map_err(|error| Rejected::no_document(&error, id))?;
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

/// A change that should have a row to write, and has none.
#[cold]
fn no_row(change: &RowChange<'_>) -> Rejected {
    match change {
        RowChange::UnknownOperation(op) => {
            let message = format!("{op:?} is none of Debezium's operations: c, r, u, d, t, m");
            Rejected::new(DeadLetterReason::UnknownOperation, message, None)
        }
        _ => {
            let message = "an insert without its row: `after` is missing or null";
            Rejected::new(DeadLetterReason::MissingField, message, None)
        }
    }
}
