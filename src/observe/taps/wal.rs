//! The WAL: commits and changes as our reader has them, by a slot that is gone with its connection.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_channel::Sender;
use cdc_bench_model::RunId;
use cdc_bench_model::observation::{CapturedChange, ChangeId, NO_KEY, Operation, canonical_key};
use cdc_bench_model::timeline::{Clock, Stamp};
use pgcdc::{
    Change, Event, LogicalMessage, Reader, ReaderConfig, ReaderError, ReaderHandle, Slot, SlotName,
};
use pgcdc_debezium::{EnvelopeConfig, Envelopes};

use super::reading::TapClock;
use super::sighting::{LeftOut, Sighting};
use crate::observe::canary::{change_names, key_of};
use crate::observe::discovery::{FoundCanary, Pipeline};

/// The name of an observation's slot.
pub(in crate::observe) fn slot_name(id: &RunId) -> String {
    let id = id.as_str().replace('-', "_");
    format!("cdc_bench_observe_{id}")
}

/// Opens readers of the pipeline's publication.
#[derive(Clone)]
pub(in crate::observe) struct WalTap {
    pub(in crate::observe) server: pgcdc::Server,
    pub(in crate::observe) publication: String,
    pub(in crate::observe) slot: String,
    pub(in crate::observe) max_retained_wal: u64,
    pub(in crate::observe) clock: Clock,
    rows: RowSettings,
}

/// How changes are read.
#[derive(Clone)]
struct RowSettings {
    tables: HashSet<Arc<str>>,
    skipped: String,
    envelopes: EnvelopeConfig,
    clock: Clock,
    /// What stands for the table of the canary's messages, and what their contents begin with.
    canary_names: Option<(Arc<str>, String)>,
}

impl WalTap {
    pub(in crate::observe) fn new(
        pipeline: &Pipeline,
        id: &RunId,
        max_retained_wal: u64,
        clock: Clock,
    ) -> Self {
        let database = pipeline.postgres.database.clone();
        let mut envelopes = EnvelopeConfig::new("observe", database);
        envelopes.decimals = pipeline.decimals;
        envelopes.tombstones = false;
        let tables = pipeline.tables.iter().map(|table| Arc::clone(&table.name));
        Self {
            server: pipeline.postgres.server(),
            publication: pipeline.publication.clone(),
            slot: slot_name(id),
            max_retained_wal,
            clock,
            rows: RowSettings {
                tables: tables.collect(),
                skipped: pipeline.skipped.clone(),
                envelopes,
                clock,
                canary_names: pipeline
                    .canary
                    .as_ref()
                    .filter(|canary| **canary == FoundCanary::Message)
                    .map(|canary| (canary.table(), change_names(id))),
            },
        }
    }

    /// Starts a reader; every change from now on is reported.
    pub(in crate::observe) async fn open(
        &self,
        sightings: Sender<Sighting>,
    ) -> Result<ReaderHandle, ReaderError> {
        let slot = Slot::Temporary(SlotName::new(&self.slot)?);
        let mut config = ReaderConfig::new(self.server.clone(), slot, [&*self.publication]);
        config.time_source = Arc::new(TapClock(self.clock));
        config.max_retained_wal = Some(self.max_retained_wal);
        // Keys are the primary key's columns, whatever the replica identity is.
        config.describe = true;
        let mut rows = Rows {
            envelopes: Envelopes::new(self.rows.envelopes.clone()),
            settings: self.rows.clone(),
            sightings,
        };
        Reader::spawn(config, move |event| rows.event(event)).await
    }
}

/// Reports changes.
struct Rows {
    envelopes: Envelopes,
    settings: RowSettings,
    sightings: Sender<Sighting>,
}

impl Rows {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Change(change) => self.change(&change),
            Event::Message(message) => self.message(&message),
            Event::Idle(_) => self.send(Sighting::WalRead(self.settings.clock.now())),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Messages are not followed, but for the canary's.
    fn message(&self, message: &LogicalMessage<'_>) -> ControlFlow<()> {
        let content = std::str::from_utf8(message.content);
        let of_canary = self
            .settings
            .canary_names
            .as_ref()
            .and_then(|(table, begin)| {
                let name = content.ok().filter(|name| name.starts_with(begin))?;
                Some((Arc::clone(table), name, message.transaction?))
            });
        let Some((table, name, transaction)) = of_canary else {
            return self.send(Sighting::LeftOut(LeftOut::Message));
        };
        self.send(Sighting::Captured(CapturedChange {
            id: ChangeId {
                table,
                key: key_of(name).into(),
                lsn: Some(message.lsn.0),
                operation: Operation::Message,
            },
            tc: Stamp(transaction.commit_time.0),
            t1: Stamp(message.received.0),
        }))
    }

    fn change(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        let relation = change.relation;
        let name = format!("{}.{}", relation.schema, relation.name);
        let Some(table) = self.settings.tables.get(&*name).cloned() else {
            return self.send(Sighting::LeftOut(LeftOut::Table));
        };
        // A change of the key is a deletion and an insertion to Debezium, and so it is here.
        let mut keys = Vec::with_capacity(1);
        let now = change.received;
        let written = self.envelopes.write(change, now, |record| {
            let key = record.key.and_then(canonical_key);
            keys.push(key.unwrap_or_else(|| NO_KEY.to_owned()));
        });
        if let Err(error) = written {
            tracing::warn!(%error, table = name, lsn = %change.lsn, "a key cannot be written");
            keys = vec![NO_KEY.to_owned()];
        }
        let operations = match change.operation {
            pgcdc::Operation::Update if keys.len() > 1 => [Operation::Delete, Operation::Create],
            pgcdc::Operation::Insert => [Operation::Create; 2],
            pgcdc::Operation::Update => [Operation::Update; 2],
            pgcdc::Operation::Delete => [Operation::Delete; 2],
            pgcdc::Operation::Truncate { .. } => [Operation::Truncate; 2],
            pgcdc::Operation::Read(_) => [Operation::Read; 2],
        };
        for (key, operation) in keys.into_iter().zip(operations) {
            let sighting = if self.skips(operation) {
                Sighting::LeftOut(LeftOut::Operation)
            } else {
                Sighting::Captured(CapturedChange {
                    id: ChangeId {
                        table: Arc::clone(&table),
                        key: key.into(),
                        lsn: Some(change.lsn.0),
                        operation,
                    },
                    tc: Stamp(change.transaction.commit_time.0),
                    t1: Stamp(change.received.0),
                })
            };
            self.send(sighting)?;
        }
        ControlFlow::Continue(())
    }

    fn skips(&self, operation: Operation) -> bool {
        let letter = match operation {
            Operation::Create => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
            Operation::Truncate => "t",
            Operation::Read | Operation::Message => return false,
        };
        let mut skipped = self.settings.skipped.split(',');
        skipped.any(|skipped| skipped.trim() == letter)
    }

    fn send(&self, sighting: Sighting) -> ControlFlow<()> {
        match self.sightings.send_blocking(sighting) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}
