//! A Debezium envelope becomes a document of the read model.

use crate::debezium::Envelope;
use crate::event::{EventId, EventType};
use crate::store::{DocumentParts, Documents};
use crate::timeline::Stamp;

/// What the pipeline has to know of an event besides its document.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Which event.
    pub id: EventId,
    /// The run that made it.
    pub run_id: String,
    /// Its position in that run.
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

/// Decodes a record's value, its document behind those in `documents`. `None`: nothing to write (a tombstone, a change
/// that is no insert, or an event of a run that `wants` does not ask for).
///
/// # Errors
/// When the value is no envelope, or its row is no event.
pub fn decode(
    value: Option<&[u8]>,
    wants: impl FnOnce(&str) -> bool,
    documents: &mut Documents,
) -> Result<Option<Decoded>, Rejected> {
    let Some(value) = value else { return Ok(None) };
    let envelope = Envelope::parse(value).map_err(|e| Rejected::new(e, None))?;
    let Some(row) = envelope.inserted() else {
        return Ok(None);
    };
    if !wants(&row.run_id) {
        return Ok(None);
    }
    let id = row.id;
    let event_type: EventType = row
        .event_type
        .parse()
        .map_err(|e| Rejected::new(e, Some(id)))?;
    let source = &envelope.source;
    let parts = DocumentParts {
        id,
        run_id: &row.run_id,
        seq: row.seq,
        event_type: event_type.as_str(),
        aggregate_type: &row.aggregate_type,
        aggregate_id: row.aggregate_id,
        payload_json: &row.payload,
        created_at_us: row.created_at_us,
        lsn: source.lsn,
        tx_id: source.tx_id,
    };
    documents
        .push(&parts)
        .map_err(|e| Rejected::new(e, Some(id)))?;
    Ok(Some(Decoded {
        id,
        run_id: row.run_id.clone().into_owned(),
        seq: row.seq,
        event_type,
        handed_on: envelope.handed_on(),
        source_lsn: source.lsn,
        source_xid: source.tx_id,
    }))
}
