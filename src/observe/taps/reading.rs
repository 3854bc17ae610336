//! A reader of a WAL, kept up: its slot is gone with its connection.

use std::time::Duration;

use async_channel::Sender;
use cdc_bench_model::timeline::Clock;
use pgcdc::{ReaderError, ReaderHandle, TimeSource, UnixNanos};
use tokio_util::sync::CancellationToken;

use super::sighting::Sighting;

/// Pauses between attempts to read on after the connection broke.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Our clock as the reader's.
#[derive(Debug)]
pub(super) struct TapClock(pub(super) Clock);

impl TimeSource for TapClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.now().0)
    }
}

/// Which WAL is read.
pub(in crate::observe) struct ReadTap {
    /// What incidents call it.
    pub(in crate::observe) name: &'static str,
    /// What is told when it goes on later than where it was cut.
    pub(in crate::observe) resumed: fn(String) -> Sighting,
}

impl ReadTap {
    /// Reads until it is stopped, also after its connection broke: a temporary slot is made anew then, and what was committed
    /// in between is not seen.
    pub(in crate::observe) async fn keep_reading<R>(
        self,
        mut reader: ReaderHandle,
        open: impl Fn() -> R + Send,
        sightings: &Sender<Sighting>,
        stop: CancellationToken,
    ) where
        R: Future<Output = Result<ReaderHandle, ReaderError>> + Send,
    {
        let tap = self.name;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    if let Err(error) = reader.stop_and_wait().await {
                        tracing::debug!(%error, tap, "the reader had ended");
                    }
                    return;
                }
                () = reader.ended() => {}
            }
            let reason = reader.error().map(|error| error.to_string());
            let reason = reason.unwrap_or_else(|| "it ended".to_owned());
            tracing::warn!(reason, tap, "it is read anew");
            let cut = Sighting::Cut(tap, reason.clone());
            if sightings.send(cut).await.is_err() {
                return;
            }
            let Some(again) = stop.run_until_cancelled(reopen(tap, &open)).await else {
                return;
            };
            reader = again;
            if sightings.send((self.resumed)(reason)).await.is_err() {
                return;
            }
        }
    }
}

/// Opens a reader once the server answers.
async fn reopen<R>(tap: &str, open: &(impl Fn() -> R + Send)) -> ReaderHandle
where
    R: Future<Output = Result<ReaderHandle, ReaderError>> + Send,
{
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        match open().await {
            Ok(reader) => return reader,
            Err(error) => tracing::warn!(%error, tap, "it cannot be read"),
        }
    }
}
