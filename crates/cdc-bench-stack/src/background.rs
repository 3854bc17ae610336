//! Blocking work on a thread of its own, and how its progress reaches the step's observer.

use tokio::sync::mpsc;

use crate::error::StackError;
use crate::progress::{Download, StepProgress};

/// What blocking work has to say.
#[derive(Debug, PartialEq)]
pub(crate) enum ProgressUpdate {
    /// A detail of its step.
    Detail(String),
    /// How far its download is.
    Download(Download),
}

/// Where blocking work says how it goes on. What finds the queue full is not worth waiting for.
pub(crate) struct ProgressReporter(mpsc::Sender<ProgressUpdate>);

impl ProgressReporter {
    pub(crate) fn new() -> (Self, mpsc::Receiver<ProgressUpdate>) {
        let (sender, updates) = mpsc::channel(16);
        (Self(sender), updates)
    }

    /// A detail of the step.
    pub(crate) fn detail(&self, detail: &str) {
        // Nobody may listen any more.
        let _ = self.0.try_send(ProgressUpdate::Detail(detail.to_owned()));
    }

    /// How far the download is.
    pub(crate) fn download(&self, download: Download) {
        // The same.
        let _ = self.0.try_send(ProgressUpdate::Download(download));
    }
}

/// Blocking work in a thread of its own. What it tells is shown with its step.
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
