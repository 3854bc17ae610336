//! An event of an outbox table, by `EventRouter`: its value is the payload as it is, its key the aggregate's id. What tells which
//! row it was is the header `id`.

use serde_json::Map;

use super::decoded::Decoded;
use crate::observe::records::header::header;
use crate::observe::records::key::canonical_key;
use crate::observe::records::record::RecordChange;
use cdc_bench_model::observation::Operation;

/// The header with the event's id, whatever the column is called.
const EVENT_ID: &str = "id";

/// The insert of the row that the record was made of; `None` without a header `id`, or of a connector that makes no such records.
pub(super) fn change(decoded: &Decoded<'_>) -> Option<RecordChange> {
    let column = match (&decoded.settings.outbox_id, &decoded.settings.flattening) {
        (Some(column), _) => column,
        // A header of that name may be anything.
        (None, Some(_)) => return None,
        (None, None) => EVENT_ID,
    };
    let id = header(&decoded.record, EVENT_ID)?;
    Some(RecordChange {
        schema: None,
        table: None,
        key: canonical_key(Map::from_iter([(column.to_owned(), id)])),
        operation: Some(Operation::Create),
        lsn: None,
        tx_id: None,
        is_snapshot: false,
        committed_at: None,
        handed_on_at: None,
        resolution_us: 1_000,
    })
}
