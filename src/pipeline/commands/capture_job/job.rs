//! Runs a capture: sets up reader and outlet, waits for the end, and stops them in order.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::StepProgress;
use pgcdc::{Acknowledge, Lsn, Reader, ReaderConfig, ReaderError, ReaderHandle, ReaderStats, Slot};
use pgcdc_debezium::EnvelopeConfig;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use super::lines::{LineFormat, LineOutlet};
use super::outlet::{Outlet, OutletHandle};
use super::preparation::Preparation;
use super::records::RecordOutlet;
use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::patience::Patience;
use crate::pipeline::run::reader_clock::ReaderClock;

/// Where changes are delivered.
pub enum Destination {
    /// As lines.
    Lines(LineFormat, Box<dyn Write + Send>),
    /// To Kafka: Debezium's events, one topic per table. The topics are those of the preparation.
    Kafka(EnvelopeConfig, ClientConfig),
}

/// How a capture ended.
#[derive(Debug)]
pub struct CaptureEnd {
    /// What was captured.
    pub outcome: Result<ReaderStats, Failure>,
    /// Whether it failed before anything was read: nothing depends on what was created for it.
    pub is_refused: bool,
}

/// Parameters of a capture.
pub struct CaptureRequest {
    /// Configuration of the reader. How it acknowledges is set by the capture.
    pub reader: ReaderConfig,
    /// Where changes are delivered.
    pub to: Destination,
    /// Stop after this position.
    pub until: Option<Lsn>,
    /// Stop after this many changes.
    pub max: Option<u64>,
}

/// Longest pause of the open transaction while the capture is being stopped.
const STALL_LIMIT: Duration = Duration::from_secs(2);

/// Longest wait for the last changes to be delivered once the user has asked to stop.
const DELIVERY_LIMIT: Duration = Duration::from_secs(5);

/// The progress step of a capture; the caller begins it if progress is to be shown.
pub const CAPTURE_STEP: &str = "capture";

/// Creates what the preparation has planned, and captures until a limit of the request is reached, the user stops it, or the
/// lines' reader has closed the pipe.
pub async fn run_capture(
    preparation: &mut Preparation,
    request: CaptureRequest,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> CaptureEnd {
    let state = Arc::new(CaptureState::default());
    let has_snapshot = request.reader.snapshot.is_some();
    let outcome = async {
        preparation.create().await?;
        capture(preparation, request, &state, progress, cancel).await
    }
    .await;
    let has_read = state.has_received.load(Ordering::SeqCst)
        || (state.has_started.load(Ordering::SeqCst) && !has_snapshot);
    CaptureEnd {
        is_refused: outcome.is_err() && !has_read,
        outcome,
    }
}

async fn capture(
    preparation: &mut Preparation,
    mut request: CaptureRequest,
    state: &Arc<CaptureState>,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<ReaderStats, Failure> {
    request.reader.acknowledge = Acknowledge::Manual;
    request.reader.describe = true;
    let clock = Clock::start();
    request.reader.time_source = Arc::new(ReaderClock(clock));
    let (outlet, end) = match request.to {
        Destination::Lines(format, out) => {
            let (lines, end) = LineOutlet::start(format, out, clock, state)?;
            (Outlet::Lines(lines), OutletHandle::Lines(end))
        }
        Destination::Kafka(envelopes, kafka) => {
            let (names, maker) = preparation.take_topics().ok_or_else(|| {
                Failure::usage(anyhow::anyhow!("the preparation has no topics for Kafka"))
            })?;
            let (records, end) = RecordOutlet::start(envelopes, &kafka, names, maker, clock)?;
            (Outlet::Kafka(records), OutletHandle::Kafka(end))
        }
    };
    let mut handler = Handler {
        outlet,
        until: request.until,
        max: request.max,
        is_acknowledged: !matches!(request.reader.slot, Slot::Temporary(_)),
        state: Arc::clone(state),
    };
    let spawned = Reader::spawn(request.reader, move |event| handler.event(event));
    let reader = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        reader = spawned => reader?,
    };
    state.has_started.store(true, Ordering::SeqCst);
    end.set_acknowledger(reader.acknowledger(), state);
    let failed = end.failed();
    let mut last_update = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = reader.ended() => break,
            () = failed.cancelled() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let changes = state.changes.load(Ordering::Relaxed);
                let rate = rate(changes - last_update.1, last_update.0.elapsed());
                last_update = (Instant::now(), changes);
                progress.update(CAPTURE_STEP, &state.describe(changes, rate, &clock));
            }
        }
    }
    state.stopping.store(true, Ordering::SeqCst);
    let ended = async {
        end_of_transaction(state, &reader, &failed).await;
        let ended = tokio::task::spawn_blocking(move || {
            end.flush();
            let ended = reader.stop();
            (ended, end.finish())
        });
        ended
            .await
            .map_err(|e| Failure::server(ReaderError::Thread(e.to_string())))
    };
    let patience = Patience::for_ever_until(cancel, DELIVERY_LIMIT);
    let Some(ended) = patience.within(ended).await else {
        return Err(Failure::interrupted().context(format!(
            "the last changes are not delivered, or not acknowledged, within {} s: those after the slot's confirmed position come again with its next capture",
            DELIVERY_LIMIT.as_secs()
        )));
    };
    let (ended, finished) = ended?;
    if let Some(encode_error) = state.encode_error.get() {
        return Err(Failure::server(encode_error.clone()));
    }
    finished?;
    Ok(ended?)
}

/// Whole transactions: the open one is delivered to its end, and no other begins. One that does not go on, because the stream
/// has broken or the output is blocked, is left unacknowledged.
async fn end_of_transaction(
    state: &CaptureState,
    reader: &ReaderHandle,
    failed: &CancellationToken,
) {
    let mut last = (state.changes.load(Ordering::Relaxed), Instant::now());
    while state.in_transaction.load(Ordering::SeqCst)
        && !reader.is_over()
        && !failed.is_cancelled()
        && last.1.elapsed() < STALL_LIMIT
    {
        let changes = state.changes.load(Ordering::Relaxed);
        if changes != last.0 {
            last = (changes, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}
