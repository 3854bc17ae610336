//! Decodes the records of one batch and sorts their documents by lane: the work of one worker.

use super::lane::{LaneBatch, PendingEvent, lane_of};
use super::{Decoder, Rejected, StageObserver};
use crate::records::RecordBatch;

/// A decoded batch.
pub(super) struct DecodedBatch {
    /// Its number.
    pub batch: u64,
    /// The runs that its events belong to, mostly one.
    pub run_ids: Vec<String>,
    /// The documents of each lane.
    pub lanes: Vec<LaneBatch>,
    /// Records that no document can be made of, by their position in the batch.
    pub rejected: Vec<(usize, Rejected)>,
    /// Records that there is nothing to write of.
    pub skipped: usize,
    /// The decoder, for the next batch.
    pub decoder: Decoder,
}

/// Decodes a batch for this number of lanes.
pub(super) fn decode_batch(
    decoder: Decoder,
    batch: u64,
    records: &RecordBatch,
    lanes: usize,
    observer: &dyn StageObserver,
) -> DecodedBatch {
    let mut decoded = DecodedBatch {
        batch,
        run_ids: Vec::new(),
        lanes: Vec::new(),
        rejected: Vec::new(),
        skipped: 0,
        decoder,
    };
    // Lanes get about as much each, and a document is smaller than its record. With a few records no lane need get any.
    let documents = records.len() / lanes;
    let bytes = documents * (records.bytes() / records.len().max(1));
    decoded
        .lanes
        .resize_with(lanes, || LaneBatch::with_capacity(documents, bytes));
    for (index, record) in records.iter().enumerate() {
        let mut lane = 0;
        let event = decoded.decoder.decode_keyed(
            records.key(index),
            record.value,
            |run_id| observer.wants(run_id),
            |aggregate| {
                lane = lane_of(aggregate, lanes);
                &mut decoded.lanes[lane].documents
            },
        );
        match event {
            Ok(Some(event)) => {
                let header = event.header;
                observer.consumed(&event.run_id, header.seq);
                let listed = decoded.run_ids.iter().position(|id| *id == event.run_id);
                let run = listed.unwrap_or_else(|| {
                    decoded.run_ids.push(event.run_id.into_owned());
                    decoded.run_ids.len() - 1
                });
                decoded.lanes[lane].events.push(PendingEvent {
                    header,
                    batch,
                    index,
                    run,
                });
            }
            Ok(None) => decoded.skipped += 1,
            Err(rejected) => decoded.rejected.push((index, rejected)),
        }
    }
    decoded
}
