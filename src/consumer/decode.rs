//! A Debezium envelope becomes a document of the read model.

use std::borrow::Cow;

use uuid::Uuid;

use crate::debezium::EnvelopeReader;
use crate::store::{DocumentParts, Documents, PayloadBuffer};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::Stamp;

/// A record decoded: the event besides its document.
#[derive(Debug, Clone)]
pub struct Decoded<'v> {
    /// The run that made it.
    pub run_id: Cow<'v, str>,
    /// What else the pipeline has to know of it.
    pub facts: Facts,
}

/// What the pipeline has to know of an event until its document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Which event.
    pub id: EventId,
    /// Its position in its run.
    pub seq: u64,
    /// What kind.
    pub event_type: EventType,
    /// `ts_ns` of the envelope: when Debezium handed it on, on Connect's clock.
    pub handed_on: Option<Stamp>,
    /// Position of the row in the WAL.
    pub source_lsn: Option<u64>,
    /// Its transaction.
    pub source_xid: Option<u64>,
}

/// A record that makes no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
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

/// Decodes record after record.
#[derive(Debug, Default)]
pub struct Decoder {
    envelopes: EnvelopeReader,
    /// The payload at hand.
    payload: PayloadBuffer,
}

impl Decoder {
    /// Decodes a record's value, its document behind those that are where `place` puts documents of its aggregate.
    /// `None`: nothing to write (a tombstone, a change that is no insert, or an event of a run that `wants` does not ask
    /// for).
    ///
    /// # Errors
    /// When the value is no envelope, or its row is no event. No document is added then.
    pub fn decode<'v, 'd>(
        &mut self,
        value: Option<&'v [u8]>,
        wants: impl FnOnce(&str) -> bool,
        place: impl FnOnce(Uuid) -> &'d mut Documents,
    ) -> Result<Option<Decoded<'v>>, Rejected> {
        let Some(value) = value else { return Ok(None) };
        let envelope = self.envelopes.read(value, |json| self.payload.read(json));
        let envelope = envelope.map_err(|e| Rejected::new(e, None))?;
        let (handed_on, source) = (envelope.handed_on(), envelope.source);
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
        place(row.aggregate_id)
            .push(&parts)
            .map_err(|e| rejected(&e))?;
        let facts = Facts {
            id,
            seq: row.seq,
            event_type,
            handed_on,
            source_lsn: source.lsn,
            source_xid: source.tx_id,
        };
        Ok(Some(Decoded {
            run_id: row.run_id,
            facts,
        }))
    }
}
