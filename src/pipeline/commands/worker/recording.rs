//! What a worker records of the events that it follows: their lines, their statistics, and the totals so far.

use std::sync::{Arc, Mutex};

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::report::{PathRecording, Recorder, RecorderHandle, ResultFolder};
use cdc_bench_model::timeline::{CapturePath, Joined};

use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::lock::lock;

/// The recorder of a worker's events.
pub(super) struct Recording {
    recorder: Recorder,
    totals: Vec<(CapturePath, Arc<Mutex<SignedHistogram>>)>,
}

impl Recording {
    /// Of the events of these paths, into this folder.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub(super) fn start(folder: &ResultFolder, paths: &[CapturePath]) -> Result<Self, Failure> {
        let totals: Vec<_> = paths.iter().map(|path| (*path, Arc::default())).collect();
        let recorded = totals.clone();
        let recorder = Recorder::start(folder, paths, move |position, event: &Joined| {
            let (_, total): &(_, Arc<Mutex<SignedHistogram>>) = &recorded[position];
            lock(total).record(event.stamps.t5 - event.stamps.t0);
        })?;
        Ok(Self { recorder, totals })
    }

    /// For the events of a path.
    pub(super) fn handle(&self, path: CapturePath) -> RecorderHandle {
        self.recorder.handle(path, 0)
    }

    /// The totals of a path's events so far.
    pub(super) fn total(&self, path: CapturePath) -> Arc<Mutex<SignedHistogram>> {
        let known = self.totals.iter().find(|(of, _)| *of == path);
        known.map_or_else(Arc::default, |(_, total)| Arc::clone(total))
    }

    /// Writes what is left. Every handle must be dropped before.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) async fn finish(self) -> Result<Vec<PathRecording>, Failure> {
        let recorded = tokio::task::spawn_blocking(move || self.recorder.finish()).await;
        let recorded = recorded.map_err(|panicked| Failure::new(exit::USAGE, panicked))?;
        Ok(recorded?)
    }
}
