//! Blocking work on a thread of its own, and how its progress reaches the step's observer.

use tokio::sync::mpsc;

use crate::error::StackError;
use crate::progress::{Download, StepProgress};

/// A progress report of blocking work.
#[derive(Debug, PartialEq)]
pub(crate) enum ProgressUpdate {
    /// A detail to show with the step.
    Detail(String),
    /// Progress of the download.
    Download(Download),
}

/// Sends progress reports from blocking work. A report that finds the queue full is dropped.
pub(crate) struct ProgressReporter(mpsc::Sender<ProgressUpdate>);

impl ProgressReporter {
    pub(crate) fn new() -> (Self, mpsc::Receiver<ProgressUpdate>) {
        let (sender, updates) = mpsc::channel(16);
        (Self(sender), updates)
    }

    /// A detail of the step.
    pub(crate) fn detail(&self, detail: &str) {
        // The receiver may be gone, or the queue full; either is fine.
        let _ = self.0.try_send(ProgressUpdate::Detail(detail.to_owned()));
    }

    /// How far the download is.
    pub(crate) fn download(&self, download: Download) {
        // As above.
        let _ = self.0.try_send(ProgressUpdate::Download(download));
    }
}

/// Runs blocking work on its own thread and passes its reports to the observer.
pub(crate) async fn in_background<T: Send + 'static>(
    progress: &dyn StepProgress,
    step: &'static str,
    work: impl FnOnce(&ProgressReporter) -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    let (reporter, mut updates) = ProgressReporter::new();
    let work = tokio::task::spawn_blocking(move || work(&reporter));
    tokio::pin!(work);
    loop {
        tokio::select! {
            Some(updates) = updates.recv() => match updates {
                ProgressUpdate::Detail(detail) => progress.update(step, &detail),
                ProgressUpdate::Download(download) => progress.download(step, &download),
            },
            done = &mut work => {
                return done.map_err(|e| StackError::Artifact {
                    artifact: step.to_owned(),
                    reason: e.to_string(),
                })?;
            }
        }
    }
}
