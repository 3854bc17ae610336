//! The load of one worker: of the events of all, those of the partitions that are its own to insert.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cdc_bench_model::event::{EventId, EventType, OutboxRow};
use cdc_bench_model::timeline::Stamp;

use crate::load::LoadObserver;
use crate::pipeline::commands::worker::heartbeats::Standing;
use crate::pipeline::distributed::share::partition_of_row;
use crate::pipeline::distributed::stamps::{StampEntry, Stamped};
use crate::pipeline::lock::lock;
use crate::pipeline::run::observer::SharedStamps;

/// Sends the stamps of this worker's INSERTs to those who follow the events.
pub(super) struct ShareLoad {
    shared: SharedStamps,
    standing: Standing,
    in_flight: Mutex<HashMap<EventId, Sent>>,
}

/// An event that was sent and is not acknowledged.
struct Sent {
    event_type: EventType,
    partition: i32,
    ts: Stamp,
    t0: Stamp,
}

impl ShareLoad {
    pub(super) fn new(shared: SharedStamps, standing: Standing) -> Arc<Self> {
        Arc::new(Self {
            shared,
            standing,
            in_flight: Mutex::default(),
        })
    }

    fn tell(&self, id: EventId, seq: u64, stamped: impl FnOnce(&Sent) -> Stamped) {
        if let Some(sent) = lock(&self.in_flight).remove(&id) {
            let stamped = stamped(&sent);
            let entry = StampEntry { id, seq, stamped };
            self.shared.sender.add(sent.partition, entry);
        }
    }
}

impl LoadObserver for ShareLoad {
    fn sending(&self, row: &OutboxRow, ts: Stamp, t0: Stamp) {
        let sent = Sent {
            event_type: row.event_type,
            partition: partition_of_row(row, self.shared.partitions),
            ts,
            t0,
        };
        lock(&self.in_flight).insert(row.id, sent);
        self.standing
            .set(|state| _ = state.load.first_t0.get_or_insert(t0));
    }

    fn acknowledged(&self, id: EventId, seq: u64, ta: Stamp) {
        self.tell(id, seq, |sent| Stamped::Inserted {
            event_type: sent.event_type,
            ts: sent.ts,
            t0: sent.t0,
            ta,
        });
        self.standing.set(|state| {
            state.load.inserted += 1;
            state.load.last_ta = Some(ta);
        });
    }

    fn failed(&self, id: EventId, seq: u64, reason: &str) {
        tracing::error!(%id, seq, reason, "INSERT refused");
        self.tell(id, seq, |_| Stamped::Refused);
        self.standing.set(|state| state.load.errors += 1);
    }
}
