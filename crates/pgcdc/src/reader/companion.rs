//! The thread beside the reader's: it tells the server that the reader is alive, and watches the slot, also while the handler
//! takes its time.

use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::ReaderError;
use crate::reader::config::ReaderConfig;
use crate::slots::monitor::SlotMonitor;
use crate::wire::StatusReporter;

/// A running companion; it ends when this is dropped.
pub(crate) struct Companion {
    stop: CancellationToken,
    reporter: StatusReporter,
    failure: Option<oneshot::Receiver<ReaderError>>,
    thread: Option<JoinHandle<()>>,
}

impl Companion {
    pub(crate) fn start(config: &ReaderConfig) -> Result<Self, ReaderError> {
        let failed =
            |error: std::io::Error| ReaderError::Thread(format!("has no companion: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (stop, reporter) = (CancellationToken::new(), StatusReporter::default());
        let (is_stopped, reports) = (stop.clone(), reporter.clone());
        let (fail, failure) = oneshot::channel();
        let monitor = SlotMonitor::new(config);
        let work = async move {
            let watch = async {
                match &monitor {
                    Some(monitor) => monitor.run().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = is_stopped.cancelled() => {}
                () = reports.run() => {}
                error = watch => {
                    // The receiver may have been dropped: then the reader has ended.
                    let _ = fail.send(error);
                    // Reports go on until the reader has seen it.
                    tokio::select! {
                        () = is_stopped.cancelled() => {}
                        () = reports.run() => {}
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("wal-reader-status".to_owned())
            .spawn(move || runtime.block_on(work))
            .map_err(failed)?;
        Ok(Self {
            stop,
            reporter,
            failure: Some(failure),
            thread: Some(thread),
        })
    }

    /// Sends the reports of streams.
    pub(crate) fn reporter(&self) -> &StatusReporter {
        &self.reporter
    }

    /// Resolves with the reason why the stream must end; otherwise never.
    pub(crate) async fn failed(&mut self) -> ReaderError {
        if let Some(failure) = &mut self.failure
            && let Ok(error) = failure.await
        {
            self.failure = None;
            return error;
        }
        std::future::pending().await
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic of the thread.
            let _ = thread.join();
        }
    }
}
