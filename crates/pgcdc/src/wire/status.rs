//! Reports to the server: how far we are, and that we are alive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgwire_replication::Lsn as WireLsn;
use pgwire_replication::protocol::PG_EPOCH_MICROS;
use pgwire_replication::protocol::encode_standby_status_update;

use super::WireError;
use super::channel::Channel;
use crate::Lsn;

/// Reports on one stream. Positions are set by the reader's thread; they may be sent from any.
#[derive(Debug)]
pub(crate) struct StreamStatus {
    channel: Arc<Channel>,
    /// The position that the server may forget.
    applied: AtomicU64,
    interval: Duration,
}

impl StreamStatus {
    pub(super) fn new(channel: Arc<Channel>, applied: Lsn, interval: Duration) -> Self {
        Self {
            channel,
            applied: AtomicU64::new(applied.0),
            interval,
        }
    }

    /// Sets the position that the next report acknowledges. Positions never go back.
    pub(crate) fn set_applied(&self, lsn: Lsn) {
        self.applied.fetch_max(lsn.0, Ordering::Relaxed);
    }

    /// Sends a report now.
    pub(crate) fn send(&self, reply_requested: bool) -> Result<(), WireError> {
        let applied = WireLsn::from_u64(self.applied.load(Ordering::Relaxed));
        let update = encode_standby_status_update(applied, now_micros(), reply_requested);
        let length = u32::try_from(update.len() + 4).unwrap_or(u32::MAX);
        let message = [&b"d"[..], &length.to_be_bytes(), &update].concat();
        Ok(self.channel.send(&message)?)
    }
}

/// Microseconds since 2000-01-01, as the protocol has them.
fn now_micros() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since_1970.map_or(0, |span| {
        i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
    });
    micros - PG_EPOCH_MICROS
}

/// Sends the reports of the current stream in their interval, also while the reader's thread is busy with a slow handler: the
/// server would take it for dead.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusReporter(Arc<Mutex<Weak<StreamStatus>>>);

impl StatusReporter {
    /// Reports on this stream from now on.
    pub(crate) fn follow(&self, stream: &Arc<StreamStatus>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(stream);
    }

    fn current(&self) -> Option<Arc<StreamStatus>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()
    }

    /// Reports until the future is dropped.
    pub(crate) async fn run(&self) {
        /// Between two looks for a stream when there is none.
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            let interval = self.current().map_or(PAUSE, |stream| stream.interval);
            tokio::time::sleep(interval).await;
            if let Some(stream) = self.current()
                && let Err(error) = stream.send(false)
            {
                // The reader's thread finds the connection broken, too.
                tracing::debug!(%error, "a status update was not sent");
            }
        }
    }
}
