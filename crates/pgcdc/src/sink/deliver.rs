//! Delivers a reader's events to a sink.

use std::borrow::Cow;
use std::error::Error;
use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::Shared;

use super::batch::Batch;
use super::collect::Collector;
use super::config::DeliveryConfig;
use super::error::{DeliveryError, SinkStep, describe};
use super::pauses::pause;
use super::{Sink, SinkPosition};
use crate::delivery::acknowledger::Acknowledger;
use crate::{Lsn, Reader, ReaderConfig, ReaderStats};

/// What a delivery has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    /// Batches that the sink has.
    pub batches: u64,
    /// Changes that it has.
    pub rows: u64,
    /// Attempts that failed and were repeated.
    pub retries: u64,
    /// What the reader did.
    pub reader: ReaderStats,
}

/// Reads, and writes what is read to a sink, until `stop` is ready, the reader ends or the sink fails for good.
///
/// What the sink has flushed is acknowledged. A step that fails is repeated after a pause, if the sink calls its error transient;
/// meanwhile the reader waits, and reports to the server. With [`ReaderConfig::start_after`] replaced by [`Sink::position`], if the
/// sink has one.
///
/// When `stop` is ready, a write in progress may end ([`DeliveryConfig::stop_limit`]); what is not written is not acknowledged, and
/// comes again. Dropping the future stops, too, but waits for nothing.
///
/// ```no_run
/// use pgcdc::{Batch, DeliveryConfig, ReaderConfig, Sink, deliver};
///
/// struct Lines(tokio::net::TcpStream);
///
/// impl Sink for Lines {
///     type Error = std::io::Error;
///
///     async fn write(&mut self, batch: &Batch) -> Result<(), Self::Error> {
///         use tokio::io::AsyncWriteExt;
///         for change in batch.changes() {
///             let line = format!("{} {}\n", change.operation, change.relation);
///             self.0.write_all(line.as_bytes()).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # async fn example(config: ReaderConfig, stream: tokio::net::TcpStream, ctrl_c: impl Future<Output = ()>) -> Result<(), pgcdc::DeliveryError> {
/// deliver(config, &mut Lines(stream), DeliveryConfig::default(), ctrl_c).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// That of the reader, or of the sink, with tables, position and number of attempts. What was flushed before is acknowledged.
pub async fn deliver<S: Sink>(
    mut config: ReaderConfig,
    sink: &mut S,
    delivery: DeliveryConfig,
    stop: impl Future<Output = ()>,
) -> Result<DeliveryStats, DeliveryError> {
    let stop = stop.shared();
    let mut retry = Retry {
        sink,
        config: delivery,
        acknowledged: Lsn::default(),
        keeps_position: false,
        retries: 0,
    };
    let position = retry.position(&stop).await?;
    let Some(position) = position else {
        return Ok(DeliveryStats::default());
    };
    if let SinkPosition::At(lsn) = position {
        config.start_after = Some(lsn);
    }
    let events = Reader::events(config).await?;
    let acknowledger = events.acknowledger();
    let mut collector = Collector::new(events, delivery);
    let mut stats = DeliveryStats::default();
    let ended = loop {
        let batch = tokio::select! {
            biased;
            () = stop.clone() => break Ok(()),
            batch = collector.next() => batch,
        };
        let batch = match batch {
            Ok(Some(batch)) => batch,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        };
        retry.acknowledged = acknowledger.acknowledged();
        match retry.deliver(&batch, &stop).await {
            Ok(Progress::Done) => {
                acknowledge(&batch, &acknowledger);
                stats.batches += 1;
                stats.rows += u64::try_from(batch.rows()).unwrap_or(u64::MAX);
            }
            Ok(Progress::Stopped) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    stats.retries = retry.retries;
    let stopped = collector.stop().await;
    // The sink's error is the one to report.
    ended?;
    stats.reader = stopped?;
    Ok(stats)
}

/// What has become of a batch.
enum Progress {
    /// The sink has it.
    Done,
    /// The delivery was stopped before.
    Stopped,
}

fn acknowledge(batch: &Batch, acknowledger: &Acknowledger) {
    if let Some(lsn) = batch.end() {
        acknowledger.acknowledge(lsn);
    }
    for (table, chunk) in batch.chunks() {
        acknowledger.acknowledge_chunk(table, chunk);
    }
    for (table, point) in batch.copied() {
        acknowledger.acknowledge_copy(table, point);
    }
}

/// A sink whose failures are retried.
struct Retry<'a, S> {
    sink: &'a mut S,
    config: DeliveryConfig,
    acknowledged: Lsn,
    /// Whether the sink keeps its position.
    keeps_position: bool,
    retries: u64,
}

impl<S: Sink> Retry<'_, S> {
    /// The sink's position. Nothing when the delivery was stopped before.
    async fn position(
        &mut self,
        stop: &Shared<impl Future<Output = ()>>,
    ) -> Result<Option<SinkPosition>, DeliveryError> {
        let mut failures = 0;
        loop {
            let found = tokio::select! {
                biased;
                () = stop.clone() => return Ok(None),
                found = self.sink.position() => found,
            };
            match found {
                Ok(position) => {
                    self.keeps_position = position != SinkPosition::NotKept;
                    return Ok(Some(position));
                }
                Err(error) => {
                    failures += 1;
                    let nothing = Batch::default();
                    if self
                        .pause(SinkStep::Position, &nothing, failures, error, stop)
                        .await?
                    {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Writes and flushes a batch.
    async fn deliver(
        &mut self,
        batch: &Batch,
        stop: &Shared<impl Future<Output = ()>>,
    ) -> Result<Progress, DeliveryError> {
        let mut left = Cow::Borrowed(batch);
        let (mut step, mut failures) = (SinkStep::Write, 0);
        loop {
            let done = {
                let limit = self.config.stop_limit;
                let too_late = async {
                    stop.clone().await;
                    tokio::time::sleep(limit).await;
                };
                let work = async {
                    match step {
                        SinkStep::Write => self.sink.write(&left).await,
                        _ => self.sink.flush().await,
                    }
                };
                tokio::select! {
                    biased;
                    done = work => done,
                    () = too_late => return Ok(Progress::Stopped),
                }
            };
            match (done, step) {
                (Ok(()), SinkStep::Write) => (step, failures) = (SinkStep::Flush, 0),
                (Ok(()), _) => return Ok(Progress::Done),
                (Err(error), _) => {
                    failures += 1;
                    if self.pause(step, batch, failures, error, stop).await? {
                        return Ok(Progress::Stopped);
                    }
                    // A write that failed may have succeeded all the same: a sink that keeps its position knows.
                    match self.position(stop).await? {
                        None => return Ok(Progress::Stopped),
                        Some(SinkPosition::At(lsn)) => left.to_mut().remove_up_to(lsn),
                        Some(_) => {}
                    }
                    if left.is_empty() {
                        return Ok(Progress::Done);
                    }
                    // What was not flushed may be lost.
                    step = SinkStep::Write;
                }
            }
        }
    }

    /// Waits before another attempt. True when the delivery was stopped meanwhile.
    async fn pause(
        &mut self,
        step: SinkStep,
        batch: &Batch,
        failures: u32,
        error: S::Error,
        stop: &Shared<impl Future<Output = ()>>,
    ) -> Result<bool, DeliveryError> {
        let is_transient = self.sink.is_transient(&error);
        let source: Box<dyn Error + Send + Sync> = error.into();
        let described = match step {
            SinkStep::Position => String::new(),
            SinkStep::Write | SinkStep::Flush => describe(batch),
        };
        // The sink's own transaction is gone, and the parts before this one with it.
        let is_cut_off = batch.is_continued() && self.keeps_position;
        if !is_transient || is_cut_off || failures >= self.config.attempts {
            return Err(DeliveryError::Sink {
                step,
                batch: described,
                attempts: failures,
                advice: match (is_transient, is_cut_off) {
                    (false, _) => {
                        ", and it says that the error does not pass by itself: change the sink or the rows"
                    }
                    (true, true) => {
                        " within a transaction that is larger than a batch: its beginning is to be written again, too; DeliveryConfig::rows and bytes decide what is a batch"
                    }
                    (true, false) => {
                        ": the sink needs help, or DeliveryConfig::attempts more patience"
                    }
                },
                acknowledged: self.acknowledged,
                source,
            });
        }
        let pause = pause(failures, &self.config);
        self.retries += 1;
        tracing::warn!(error = %source, failures, "the sink could not {step}{described}; trying again in {} ms", pause.as_millis());
        tokio::select! {
            biased;
            () = stop.clone() => Ok(true),
            () = tokio::time::sleep(pause) => Ok(false),
        }
    }
}
