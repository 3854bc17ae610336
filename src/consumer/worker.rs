//! What a worker does: decodes the records of one batch, sorted by lane.

use super::lane::{Event, Share, lane_of};
use super::{Decoder, RecordBatch, Rejected, StageObserver};

/// A batch decoded.
pub(super) struct Sorted {
    /// Its number.
    pub batch: u64,
    /// The runs that its events are of, mostly one.
    pub run_ids: Vec<String>,
    /// What goes to each lane.
    pub shares: Vec<Share>,
    /// What makes no document, by its position in the batch.
    pub rejected: Vec<(usize, Rejected)>,
    /// Records of it that there is nothing to do about.
    pub passed_over: usize,
    /// Whoever decoded it, for the next.
    pub decoder: Decoder,
}

/// Decodes a batch for so many lanes.
pub(super) fn sort(
    decoder: Decoder,
    batch: u64,
    records: &RecordBatch,
    lanes: usize,
    observer: &dyn StageObserver,
) -> Sorted {
    let mut sorted = Sorted {
        batch,
        run_ids: Vec::new(),
        shares: Vec::new(),
        rejected: Vec::new(),
        passed_over: 0,
        decoder,
    };
    // Lanes get about the same, and a document is smaller than its record. Of a few records no lane can be sure.
    let documents = records.len() / lanes;
    let bytes = documents * (records.bytes() / records.len().max(1));
    sorted
        .shares
        .resize_with(lanes, || Share::with_room_for(documents, bytes));
    for (index, record) in records.iter().enumerate() {
        let mut lane = 0;
        let decoded = sorted.decoder.decode(
            record.value,
            |run_id| observer.wants(run_id),
            |aggregate| {
                lane = lane_of(aggregate, lanes);
                &mut sorted.shares[lane].documents
            },
        );
        match decoded {
            Ok(Some(decoded)) => {
                let facts = decoded.facts;
                observer.consumed(&decoded.run_id, facts.seq);
                let known = sorted.run_ids.iter().position(|id| *id == decoded.run_id);
                let run = known.unwrap_or_else(|| {
                    sorted.run_ids.push(decoded.run_id.into_owned());
                    sorted.run_ids.len() - 1
                });
                sorted.shares[lane].events.push(Event {
                    facts,
                    batch,
                    index,
                    run,
                });
            }
            Ok(None) => sorted.passed_over += 1,
            Err(rejected) => sorted.rejected.push((index, rejected)),
        }
    }
    sorted
}
