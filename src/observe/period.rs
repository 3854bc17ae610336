//! The time that a report is of, and the folders of earlier periods.

use std::path::Path;
use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_model::observation::ObservationCounts;
use cdc_bench_model::report::{ObservedPipeline, RecorderError, ResultFolder};
use serde::{Deserialize, Serialize};

use super::outcome::Recording;

/// Tells a period's folder from others, and of which pipeline it is.
const MARKER: &str = "period.json";
/// What we write into a period's folder. The report is removed last but for the marker, so that a folder that is half removed is
/// found again.
const FILES: [&str; 8] = [
    "missing.jsonl",
    "unreadable.jsonl",
    "latency.hlog",
    "report.html",
    "run.log",
    "live.json",
    "report.json",
    MARKER,
];

/// What is recorded for one report.
pub(super) struct Period {
    pub(super) id: RunId,
    pub(super) folder: ResultFolder,
    pub(super) recording: Recording,
    pub(super) started_at: jiff::Timestamp,
    began: Instant,
    /// How long it was observed, once that is over.
    observed: Option<Duration>,
    /// The counters at its beginning.
    before: ObservationCounts,
}

impl Period {
    /// For this folder, where the counters are at `before`.
    pub(super) fn new(
        id: RunId,
        folder: ResultFolder,
        pipeline: &ObservedPipeline,
        before: ObservationCounts,
    ) -> Self {
        Self {
            id,
            recording: Recording::new(folder.clone(), pipeline),
            folder,
            started_at: jiff::Timestamp::now(),
            began: Instant::now(),
            observed: None,
            before,
        }
    }

    /// Begins: the taps are open since `at`.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub(super) fn begin(&mut self, at: jiff::Timestamp) -> Result<(), RecorderError> {
        self.started_at = at;
        self.began = Instant::now();
        self.recording.open()
    }

    /// What comes from now on was under way.
    pub(super) fn closed(&mut self) {
        self.observed = Some(self.elapsed());
    }

    /// How long it was observed.
    pub(super) fn elapsed(&self) -> Duration {
        self.observed.unwrap_or_else(|| self.began.elapsed())
    }

    /// What was counted in it, of all that was counted until now.
    pub(super) fn counts(&self, all: &ObservationCounts) -> ObservationCounts {
        all.since(&self.before)
    }
}

/// What a period's folder says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PeriodMarker {
    /// Whose periods belong together.
    pipeline: String,
}

impl PeriodMarker {
    fn of(pipeline: &ObservedPipeline) -> Self {
        let topics = pipeline.topics.iter().map(|topic| topic.name.as_str());
        let topics: Vec<_> = topics.collect();
        Self {
            pipeline: format!(
                "{} {} {}",
                pipeline.source,
                pipeline.publication,
                topics.join(",")
            ),
        }
    }

    fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(MARKER)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Marks a folder as that of a period.
///
/// # Errors
/// When it cannot be written.
pub(super) fn mark(
    folder: &ResultFolder,
    pipeline: &ObservedPipeline,
) -> Result<(), RecorderError> {
    let marker = serde_json::json!(PeriodMarker::of(pipeline));
    folder.write(MARKER, marker.to_string().as_bytes())
}

/// Removes the oldest folders of this pipeline's periods, so that `keep` are left. Folders that hold something else, and those of
/// other pipelines, stay.
pub(super) fn remove_old(results: &Path, pipeline: &ObservedPipeline, keep: usize) {
    let ours = PeriodMarker::of(pipeline);
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|folder| PeriodMarker::read(folder).is_some_and(|marker| marker == ours))
        .collect();
    // Ids begin with their time.
    folders.sort();
    let surplus = folders.len().saturating_sub(keep);
    for folder in &folders[..surplus] {
        if let Err(error) = remove(folder) {
            let folder = folder.display();
            tracing::warn!(%error, %folder, "the folder of an old period stays");
        }
    }
}

fn remove(folder: &Path) -> std::io::Result<()> {
    let is_ours = |name: &std::ffi::OsStr| FILES.iter().any(|file| name == *file);
    for entry in std::fs::read_dir(folder)? {
        if !is_ours(&entry?.file_name()) {
            return Err(std::io::Error::other("it holds files that we did not make"));
        }
    }
    for file in FILES {
        match std::fs::remove_file(folder.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(publication: &str) -> ObservedPipeline {
        ObservedPipeline {
            source: "reader@db:5432/shop".to_owned(),
            publication: publication.to_owned(),
            ..ObservedPipeline::default()
        }
    }

    #[test]
    fn only_the_oldest_folders_of_the_same_pipeline_are_removed() {
        let results = tempfile::tempdir().unwrap();
        let make = |id: &str, of: Option<&str>| {
            let folder = ResultFolder::create(results.path(), id).unwrap();
            if let Some(publication) = of {
                mark(&folder, &pipeline(publication)).unwrap();
            }
            folder.write("report.json", b"{}").unwrap();
            folder
        };
        make("1", Some("shop"));
        make("2", Some("other"));
        make("3", None);
        let kept = make("4", Some("shop"));
        kept.write("notes.txt", b"of a user").unwrap();
        make("5", Some("shop"));
        make("6", Some("shop"));
        make("7", Some("shop"));
        remove_old(results.path(), &pipeline("shop"), 2);
        let entries = std::fs::read_dir(results.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["2", "3", "4", "6", "7"]);
        assert!(kept.file("report.json").is_file());
    }
}
