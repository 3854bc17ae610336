//! PostgreSQL as the sink: its WAL, by our own reader and a slot that is gone with its connection. A change is shown when our
//! reader has it; the sink's commit time is beside it.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_channel::Sender;
use cdc_bench_model::RunId;
use cdc_bench_model::observation::{SinkChange, canonical_key};
use cdc_bench_model::timeline::{Clock, Stamp};
use pgcdc::{
    Change, Event, Operation, Reader, ReaderConfig, ReaderError, ReaderHandle, Slot, SlotName,
};
use pgcdc_debezium::{Decimals, EnvelopeConfig, Envelopes};
use tokio_util::sync::CancellationToken;

use super::following::Following;
use super::reading::{ReadTap, TapClock};
use super::sighting::Sighting;
use super::sink_rows::SourceKeys;
use crate::observe::discovery::PostgresSink;
use crate::observe::publication::sink_slot_name;

/// Opens readers of the sink's publication.
pub(super) struct SinkWal {
    sink: Arc<PostgresSink>,
    slot: String,
    max_retained_wal: u64,
    envelopes: EnvelopeConfig,
    clock: Clock,
}

impl SinkWal {
    pub(super) fn new(
        sink: PostgresSink,
        id: &RunId,
        max_retained_wal: u64,
        decimals: Decimals,
        clock: Clock,
    ) -> Self {
        let mut envelopes = EnvelopeConfig::new("sink", sink.endpoint.database.clone());
        envelopes.decimals = decimals;
        envelopes.tombstones = false;
        Self {
            sink: Arc::new(sink),
            slot: sink_slot_name(id),
            max_retained_wal,
            envelopes,
            clock,
        }
    }

    /// Begins to report the changes of the sink's tables.
    ///
    /// # Errors
    /// When the server refuses a slot, or the publication is gone.
    pub(super) async fn start(self, sightings: Sender<Sighting>) -> Result<Following, ReaderError> {
        let reader = self.open(sightings.clone()).await?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let tap = ReadTap {
                name: "sink",
                resumed: Sighting::SinkSkipped,
            };
            let open = || self.open(sightings.clone());
            tap.keep_reading(reader, open, &sightings, stopped).await;
        });
        Ok(Following::Task(stop.drop_guard(), task))
    }

    async fn open(&self, sightings: Sender<Sighting>) -> Result<ReaderHandle, ReaderError> {
        let slot = Slot::Temporary(SlotName::new(&self.slot)?);
        let server = self.sink.endpoint.server();
        let mut config = ReaderConfig::new(server, slot, [&*self.sink.publication]);
        config.time_source = Arc::new(TapClock(self.clock));
        config.max_retained_wal = Some(self.max_retained_wal);
        // Keys are the primary key's columns, whatever the replica identity is.
        config.describe = true;
        let mut rows = SinkRows {
            sink: Arc::clone(&self.sink),
            envelopes: Envelopes::new(self.envelopes.clone()),
            keys: SourceKeys::default(),
            sightings,
        };
        Reader::spawn(config, move |event| match event {
            Event::Change(change) => rows.change(change),
            _ => ControlFlow::Continue(()),
        })
        .await
    }
}

/// Reports rows that were written or deleted.
struct SinkRows {
    sink: Arc<PostgresSink>,
    envelopes: Envelopes,
    keys: SourceKeys,
    sightings: Sender<Sighting>,
}

impl SinkRows {
    fn change(&mut self, change: Change<'_>) -> ControlFlow<()> {
        let relation = change.relation;
        let name = format!("{}.{}", relation.schema, relation.name);
        let Some(of) = self.sink.tables.get(&name) else {
            return ControlFlow::Continue(());
        };
        let change = Change {
            relation: self.keys.relation(relation, of),
            ..change
        };
        let mut keys = Vec::with_capacity(1);
        let written = self.envelopes.write(&change, change.received, |record| {
            keys.extend(record.key.and_then(canonical_key));
        });
        if let Err(error) = written {
            tracing::warn!(%error, table = name, lsn = %change.lsn, "a key of the sink cannot be written");
        }
        let deletes = match change.operation {
            // A change of the key.
            Operation::Update if keys.len() > 1 => [true, false],
            Operation::Delete => [true; 2],
            Operation::Insert | Operation::Update => [false; 2],
            Operation::Truncate { .. } | Operation::Read(_) => return ControlFlow::Continue(()),
        };
        for (key, is_delete) in keys.into_iter().zip(deletes) {
            if is_delete && !of.columns.are_in_deletions {
                continue;
            }
            let shown = Sighting::Shown(SinkChange {
                table: Arc::clone(&of.table),
                key: key.into(),
                is_delete,
                at: Stamp(change.received.0),
                stored: Some(Stamp(change.transaction.commit_time.0)),
            });
            if self.sightings.send_blocking(shown).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
