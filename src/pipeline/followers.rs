//! Those who follow the events of a run: our reader, the consumer, the recorder, and the eye on the connector.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::capture::{self, Capture};
use super::consume::stage_config;
use super::observer::RunObserver;
use super::{Failure, RunRequest, Servers, exit};
use crate::broker::{Records, RecordsConfig};
use crate::consumer::{DeadLetters, Stage, StageEnd, StageError};
use crate::report::{Recorder, Recording};
use crate::timeline::{Captured, Clock};
use crate::wal::{
    Event, OutboxTable, Reader, ReaderConfig, ReaderError, ReaderHandle, Slot, SlotName,
};

/// The reader, the consumer and the recorder of one run.
pub(super) struct Followers {
    reader: ReaderHandle,
    stage: JoinHandle<(Records, Result<StageEnd, StageError>)>,
    /// Stops the consumer when dropped.
    stop_stage: DropGuard,
    recorder: Recorder,
    connector_watch: capture::Watch,
}

impl Followers {
    /// Starts our reader and the consumer.
    pub(super) async fn start(
        request: &RunRequest,
        servers: &Servers,
        capture: &Capture,
        recorder: Recorder,
        observer: &Arc<RunObserver>,
        clock: Clock,
    ) -> Result<Self, Failure> {
        // Gone with its connection, whatever happens to us: it can never fill a disk.
        let slot = Slot::Temporary(
            SlotName::new(&format!("cdc_bench_reader_{}", request.id.as_identifier()))
                .map_err(ReaderError::from)?,
        );
        let server = servers.endpoints.postgres.server();
        let config = ReaderConfig::new(server, slot, [&capture.publication]);
        let seen = Arc::clone(observer);
        let mut outbox = OutboxTable::default();
        let reader = Reader::spawn(config, clock, move |event| {
            let Event::Change(change) = event else {
                return ControlFlow::Continue(());
            };
            match outbox.read(&change) {
                Ok(Some(row)) => seen.captured(
                    row.run_id,
                    row.id,
                    row.seq,
                    Captured {
                        tc: change.transaction.commit_time,
                        t1: change.received,
                        lsn: change.lsn.0,
                        commit_lsn: change.transaction.commit_lsn.0,
                        xid: change.transaction.xid.0,
                    },
                ),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, lsn = %change.lsn, "a row of the outbox could not be read")
                }
            };
            ControlFlow::Continue(())
        })
        .await?;

        let records = RecordsConfig {
            topic: capture.topic.clone(),
            group: capture.group.clone(),
            from_end: true,
        };
        let records = Records::subscribe(&servers.kafka_config, records, clock).await?;
        let letters = DeadLetters::at(request.folder.file("dead-letters.jsonl"));
        let stage = Stage::new(
            records,
            servers.store.clone(),
            Arc::clone(observer) as Arc<_>,
            letters,
            stage_config(&capture.topic, &request.settings),
            clock,
        );
        let stop_stage = CancellationToken::new();
        let stage = tokio::spawn(stage.run(stop_stage.clone()));
        let connector_watch = capture::watch(servers, capture);
        Ok(Self {
            reader,
            stage,
            stop_stage: stop_stage.drop_guard(),
            recorder,
            connector_watch,
        })
    }

    /// The reason if one of them has given up.
    pub(super) async fn check(&mut self) -> Result<(), Failure> {
        if let Some(error) = self.reader.error() {
            return Err(Failure::from(error).context("our WAL reader stopped"));
        }
        if let Some(error) = self.recorder.failure() {
            return Err(error.into());
        }
        if self.stage.is_finished() {
            let (_, end) = (&mut self.stage).await.map_err(|panicked| {
                Failure::new(exit::DATA, panicked).context("the consumer stopped")
            })?;
            return match end {
                Err(error) => Err(Failure::from(error).context("the consumer stopped")),
                Ok(_) => Err(Failure::new(
                    exit::DATA,
                    anyhow::anyhow!("the consumer ended before the events did"),
                )),
            };
        }
        Ok(())
    }

    /// Stops reader, consumer and recorder, and takes what the recorder has made of the events.
    pub(super) async fn stop(self, observer: &RunObserver) -> Result<(Recording, u64), Failure> {
        let Self {
            reader,
            stage,
            stop_stage,
            recorder,
            connector_watch,
        } = self;
        drop(stop_stage);
        match stage.await {
            Ok((source, end)) => {
                source.close().await;
                end.map_err(|error| Failure::from(error).context("the consumer stopped"))?;
            }
            Err(panicked) => {
                return Err(Failure::new(exit::DATA, panicked).context("the consumer stopped"));
            }
        }
        let restarts = connector_watch.stop().await;
        let stats = tokio::task::spawn_blocking(move || reader.stop()).await;
        match stats {
            Ok(Ok(stats)) => tracing::info!(?stats, "WAL reader stopped"),
            Ok(Err(error)) => tracing::warn!(%error, "our WAL reader did not stop cleanly"),
            Err(panicked) => tracing::warn!(%panicked, "our WAL reader did not stop cleanly"),
        }
        observer.close();
        let recording = tokio::task::spawn_blocking(move || recorder.finish()).await;
        let recording = recording.map_err(|panicked| Failure::new(exit::USAGE, panicked))??;
        Ok((recording, restarts))
    }
}
