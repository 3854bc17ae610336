//! Progress of a download over all sets that are fetched at once: bytes and speed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::background::ProgressReporter;
use crate::progress::Download;

/// Time over which the speed is averaged.
const WINDOW: Duration = Duration::from_secs(3);
/// Shortest interval between progress reports.
const REPORT_EVERY: Duration = Duration::from_millis(50);
/// Shortest time over which a speed is given.
const LEAST: Duration = Duration::from_millis(500);

/// All downloads of one start, summed into one progress report.
pub(crate) struct Downloads<'a> {
    reporter: &'a ProgressReporter,
    state: Mutex<DownloadState>,
}

#[derive(Default)]
struct DownloadState {
    parts: BTreeMap<&'static str, DownloadPart>,
    meter: DownloadRate,
    reported_at: Option<Instant>,
}

#[derive(Default)]
struct DownloadPart {
    done: u64,
    total: u64,
}

impl<'a> Downloads<'a> {
    pub(crate) fn new(reporter: &'a ProgressReporter) -> Self {
        Self {
            reporter,
            state: Mutex::default(),
        }
    }

    /// Reports a step other than a download.
    pub(crate) fn detail(&self, detail: &str) {
        self.reporter.detail(detail);
    }

    /// Sets the size of a part, in bytes.
    pub(crate) fn expect(&self, name: &'static str, total: u64) {
        self.change(true, |state| {
            state.parts.entry(name).or_default().total = total;
        });
    }

    /// Sets the bytes fetched of a part. It never decreases.
    pub(crate) fn reached(&self, name: &'static str, done: u64) {
        self.change(false, |state| {
            let part = state.parts.entry(name).or_default();
            part.total = part.total.max(done);
            let more = done.saturating_sub(part.done);
            part.done += more;
            state.meter.add(Instant::now(), more);
        });
    }

    /// Marks a part as complete. Bytes that were on this machine before count as fetched, but not towards the speed.
    pub(crate) fn whole(&self, name: &'static str) {
        self.change(true, |state| {
            let part = state.parts.entry(name).or_default();
            part.done = part.total;
        });
    }

    fn change(&self, at_once: bool, change: impl FnOnce(&mut DownloadState)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if !at_once
            && state
                .reported_at
                .is_some_and(|reported_at| reported_at.elapsed() < REPORT_EVERY)
        {
            return;
        }
        state.reported_at = Some(Instant::now());
        self.reporter.download(Download {
            done: state.parts.values().map(|part| part.done).sum(),
            total: state.parts.values().map(|part| part.total).sum(),
            per_s: state.meter.per_s(),
        });
    }
}

/// The speed over the last seconds.
#[derive(Default)]
struct DownloadRate {
    moved: u64,
    /// Times and byte counts, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl DownloadRate {
    fn add(&mut self, now: Instant, bytes: u64) {
        self.moved += bytes;
        self.marks.push_back((now, self.moved));
        // The window begins at the newest entry before it.
        while self.marks.len() > 2 && now.duration_since(self.marks[1].0) >= WINDOW {
            self.marks.pop_front();
        }
    }

    #[allow(clippy::cast_precision_loss)] // bytes far below 2^53
    fn per_s(&self) -> Option<f64> {
        let ((began, before), (now, moved)) = (self.marks.front()?, self.marks.back()?);
        let span = now.duration_since(*began);
        (span >= LEAST).then(|| (moved - before) as f64 / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_last_seconds_and_of_what_has_really_come() {
        let began = Instant::now();
        let mut meter = DownloadRate::default();
        for tenth in 0..100_u64 {
            let bytes = if tenth < 50 { 10_000_000 } else { 100_000 };
            meter.add(began + Duration::from_millis(tenth * 100), bytes);
            if tenth == 0 {
                assert_eq!(meter.per_s(), None);
            }
        }
        let per_s = meter.per_s().unwrap();
        assert!((990_000.0..1_010_000.0).contains(&per_s), "{per_s}");
        assert!(meter.marks.len() < 40);
    }

    #[tokio::test]
    async fn what_was_on_the_machine_before_counts_and_not_as_speed() {
        let (reporter, mut updates) = ProgressReporter::new();
        let downloads = Downloads::new(&reporter);
        downloads.expect("kafka", 1_000);
        downloads.expect("debezium", 500);
        downloads.reached("debezium", 300);
        downloads.reached("debezium", 200);
        downloads.whole("kafka");
        let mut last = None;
        while let Ok(reported_at) = updates.try_recv() {
            last = Some(reported_at);
        }
        assert_eq!(
            last,
            Some(crate::background::ProgressUpdate::Download(Download {
                done: 1_300,
                total: 1_500,
                per_s: None
            }))
        );
        let state = downloads.state.lock().unwrap();
        assert_eq!(state.meter.moved, 300);
    }
}
