//! Runs a capture: sets up reader and outlet, waits for the end, and stops them in order.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::StepProgress;
use pgcdc::{Acknowledge, Lsn, Reader, ReaderConfig, ReaderError, ReaderStats};
use pgcdc_debezium::EnvelopeConfig;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use super::lines::{LineFormat, LineOutlet};
use super::outlet::{Outlet, OutletHandle};
use super::records::RecordOutlet;
use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::reader_clock::ReaderClock;

/// Where changes are delivered.
pub enum Destination {
    /// As lines.
    Lines(LineFormat, Box<dyn Write + Send>),
    /// To Kafka: Debezium's events, one topic per table.
    Kafka(EnvelopeConfig, ClientConfig),
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

/// The progress step of a capture; the caller begins it if progress is to be shown.
pub const CAPTURE_STEP: &str = "capture";

/// Captures until a limit of the request is reached, the user stops it, or the lines' reader has closed the pipe.
///
/// # Errors
/// When the reader fails, or its changes cannot be delivered.
pub async fn run_capture(
    mut request: CaptureRequest,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<ReaderStats, Failure> {
    request.reader.acknowledge = Acknowledge::Manual;
    request.reader.describe = true;
    let clock = Clock::start();
    request.reader.time_source = Arc::new(ReaderClock(clock));
    let state = Arc::new(CaptureState::default());
    let (outlet, end) = match request.to {
        Destination::Lines(format, out) => {
            let (lines, end) = LineOutlet::start(format, out, clock, &state)?;
            (Outlet::Lines(lines), OutletHandle::Lines(end))
        }
        Destination::Kafka(envelopes, kafka) => {
            let (records, end) = RecordOutlet::start(envelopes, &kafka, clock)?;
            (Outlet::Kafka(records), OutletHandle::Kafka(end))
        }
    };
    let mut handler = Handler {
        outlet,
        until: request.until,
        max: request.max,
        state: Arc::clone(&state),
    };
    let spawned = Reader::spawn(request.reader, move |event| handler.event(event));
    let reader = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        reader = spawned => reader?,
    };
    end.set_acknowledger(reader.acknowledger(), &state);
    let mut last_update = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = reader.ended() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let changes = state.changes.load(Ordering::Relaxed);
                let rate = rate(changes - last_update.1, last_update.0.elapsed());
                last_update = (Instant::now(), changes);
                progress.update(CAPTURE_STEP, &state.describe(changes, rate, &clock));
            }
        }
    }
    // Whole transactions: the open one is delivered to its end, and no other begins.
    state.stopping.store(true, Ordering::SeqCst);
    while state.in_transaction.load(Ordering::SeqCst) && !reader.is_over() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = tokio::task::spawn_blocking(move || {
        end.flush();
        let ended = reader.stop();
        (ended, end.finish())
    });
    let (ended, finished) = ended
        .await
        .map_err(|e| Failure::server(ReaderError::Thread(e.to_string())))?;
    if let Some(encode_error) = state.encode_error.get() {
        return Err(Failure::server(encode_error.clone()));
    }
    finished?;
    Ok(ended?)
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}
