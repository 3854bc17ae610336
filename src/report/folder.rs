//! The folder of a result, and the recorder that fills it while the run goes on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::EventLine;
use crate::analysis::{PathStatistics, ThroughputMeter};
use crate::timeline::{Hop, Joined, Nanos, Stamp};

/// Events between the pipeline and the recorder. What does not fit makes the pipeline wait, so it is ample.
const QUEUE: usize = 16_384;
/// Length of an interval of `latency.hlog`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why a result cannot be kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecorderError {
    /// The folder cannot be made.
    #[error("cannot create the results folder {path}: {reason}; choose another with --results-dir")]
    Folder {
        /// Which.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A file in it cannot be written.
    #[error(
        "cannot write {path}: {reason}; free space there, or choose another folder with --results-dir"
    )]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

/// `cdc-bench-results/<run id>/`.
#[derive(Debug, Clone)]
pub struct ResultFolder(PathBuf);

impl ResultFolder {
    /// Makes it, with everything above it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(parent: &Path, run: &str) -> Result<Self, RecorderError> {
        let path = parent.join(run);
        std::fs::create_dir_all(&path).map_err(|e| RecorderError::Folder {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Opens a file in it for writing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_file(&self, name: &str) -> Result<File, RecorderError> {
        let path = self.file(name);
        File::create(&path).map_err(|e| RecorderError::Write {
            path,
            reason: e.to_string(),
        })
    }

    /// Writes a whole file in it: beside it first, then in its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RecorderError> {
        write_whole(&self.file(name), content)
    }

    /// Removes it, where a run ended before it had a result and nothing but an empty shell is in it.
    pub fn discard_if_empty(&self) {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        for file in files {
            if file.metadata().is_ok_and(|meta| meta.len() == 0) {
                drop(std::fs::remove_file(file.path()));
            }
        }
        drop(std::fs::remove_dir(&self.0));
    }
}

/// Writes a file so that a reader sees the old one or the new one, never half of one.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), RecorderError> {
    let failed = |e: std::io::Error| RecorderError::Write {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let written = std::fs::write(&partial, content).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    written.map_err(failed)
}

/// What the recorder has made of the events.
#[derive(Debug, Default)]
pub struct Recording {
    /// Quantiles.
    pub path: PathStatistics,
    /// Rates.
    pub throughput: ThroughputMeter,
    /// Inserted and joined events by type, in the order of [`crate::event::EventType::ALL`].
    pub by_type: [u64; 3],
}

/// Takes finished events from every thread and writes them down on one of its own.
pub struct Recorder {
    sender: Option<SyncSender<Joined>>,
    thread: Option<JoinHandle<Result<Recording, RecorderError>>>,
    failure: Arc<Mutex<Option<RecorderError>>>,
}

/// A way into the recorder, one a thread.
#[derive(Clone)]
pub struct RecorderHandle(SyncSender<Joined>);

impl RecorderHandle {
    /// Hands an event over; waits when the recorder is behind.
    pub fn record(&self, event: Joined) {
        // A recorder that gave up has said why; the run is about to end.
        let _ = self.0.send(event);
    }
}

impl Recorder {
    /// Opens `events.jsonl` and `latency.hlog` in `folder`; `path_name` is the capture path.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn start(folder: &ResultFolder, path_name: &'static str) -> Result<Self, RecorderError> {
        let events = Sink::open(folder, "events.jsonl")?;
        let log = Sink::open(folder, "latency.hlog")?;
        let (sender, receiver) = sync_channel(QUEUE);
        let failure = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let outcome = record_all(&receiver, events, log, path_name);
                if let Err(error) = &outcome {
                    *seen
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error.clone());
                }
                outcome
            })
            .map_err(|e| RecorderError::Folder {
                path: folder.path().to_owned(),
                reason: e.to_string(),
            })?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
            failure,
        })
    }

    /// A way in.
    ///
    /// # Panics
    /// Never: the sender lives until [`Recorder::finish`], which takes the recorder.
    #[must_use]
    pub fn handle(&self) -> RecorderHandle {
        RecorderHandle(
            self.sender
                .clone()
                .expect("the recorder has not been finished"),
        )
    }

    /// Why it gave up, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<RecorderError> {
        self.failure
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Writes what is left; every handle must be gone.
    ///
    /// # Errors
    /// What kept it from writing.
    pub fn finish(mut self) -> Result<Recording, RecorderError> {
        self.sender = None;
        let Some(thread) = self.thread.take() else {
            return Ok(Recording::default());
        };
        thread.join().unwrap_or_else(|_| {
            Err(RecorderError::Write {
                path: PathBuf::from("events.jsonl"),
                reason: "the recorder stopped unexpectedly".to_owned(),
            })
        })
    }
}

struct Sink {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Sink {
    fn open(folder: &ResultFolder, name: &str) -> Result<Self, RecorderError> {
        Ok(Self {
            file: BufWriter::new(folder.create_file(name)?),
            path: folder.file(name),
        })
    }

    fn failed(path: &Path, reason: impl ToString) -> RecorderError {
        RecorderError::Write {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

fn record_all(
    events: &Receiver<Joined>,
    mut lines: Sink,
    mut log: Sink,
    path_name: &str,
) -> Result<Recording, RecorderError> {
    let mut recording = Recording::default();
    let started = Instant::now();
    let mut serializer = V2DeflateSerializer::new();
    let log_path = log.path.clone();
    let log_failed = |reason: String| Sink::failed(&log_path, reason);
    let mut intervals = IntervalLogWriterBuilder::new()
        .with_base_time(SystemTime::now())
        .add_comment("cdc-bench: one histogram a second and hop, values in microseconds")
        .begin_log_with(&mut log.file, &mut serializer)
        .map_err(|e| log_failed(format!("{e:?}")))?;
    let mut interval = Interval::default();
    let mut interval_start = Duration::ZERO;
    loop {
        let received = events.recv_timeout(
            INTERVAL.saturating_sub(started.elapsed().saturating_sub(interval_start)),
        );
        match received {
            Ok(event) => {
                recording.path.record(&event);
                recording
                    .throughput
                    .record(event.stamps.t0, event.stamps.t5);
                recording.by_type[event.event_type.index()] += 1;
                interval.record(&event);
                serde_json::to_writer(&mut lines.file, &EventLine::new(&event, path_name))
                    .map_err(|e| Sink::failed(&lines.path, e))?;
                lines
                    .file
                    .write_all(b"\n")
                    .map_err(|e| Sink::failed(&lines.path, e))?;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let over = matches!(received, Err(RecvTimeoutError::Disconnected));
        if over || started.elapsed() >= interval_start + INTERVAL {
            let length = started.elapsed().saturating_sub(interval_start);
            for (hop, histogram) in interval.take() {
                let tag =
                    Tag::new(hop.as_str()).expect("hop names hold no comma, space or line break");
                intervals
                    .write_histogram(&histogram, interval_start, length, Some(tag))
                    .map_err(|e| log_failed(format!("{e:?}")))?;
            }
            interval_start = started.elapsed();
            // What is written stays readable when the run is cut off.
            lines
                .file
                .flush()
                .map_err(|e| Sink::failed(&lines.path, e))?;
        }
        if over {
            break;
        }
    }
    drop(intervals);
    log.file.flush().map_err(|e| Sink::failed(&log.path, e))?;
    Ok(recording)
}

/// The histograms of one second, in microseconds.
#[derive(Default)]
struct Interval(Vec<(Hop, Histogram<u64>)>);

impl Interval {
    fn record(&mut self, event: &Joined) {
        let hops = event.stamps.hops();
        for hop in Hop::PIPELINE.into_iter().chain([Hop::Total]) {
            let Some(span) = hops.get(hop) else { continue };
            let place = self
                .0
                .iter()
                .position(|(known, _)| *known == hop)
                .unwrap_or_else(|| {
                    self.0.push((
                        hop,
                        Histogram::new(3)
                            .expect("3 significant digits are within HdrHistogram's 0 to 5"),
                    ));
                    self.0.len() - 1
                });
            // The log has no place for negative values: they stand as 0 here, and as they are in events.jsonl.
            let value = u64::try_from(span.round_micros()).unwrap_or(0);
            self.0[place]
                .1
                .record(value)
                .expect("an auto-resizing histogram takes every value up to 2^63");
        }
    }

    fn take(&mut self) -> Vec<(Hop, Histogram<u64>)> {
        std::mem::take(&mut self.0)
    }
}

/// Seconds between two stamps.
#[must_use]
#[allow(clippy::cast_precision_loss)] // a span of a run, far below 2^53 ns
pub(crate) fn seconds_between(from: Stamp, to: Stamp) -> f64 {
    let span: Nanos = to - from;
    (span.0 as f64 / 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventType};
    use crate::timeline::{Captured, Stamps};

    fn event(n: i64) -> Joined {
        let at = |us: i64| Stamp(1_000_000_000 + n * 1_000_000 + us * 1_000);
        let stamps = Stamps {
            ts: at(0),
            t0: at(1),
            ta: at(900),
            tc: at(800),
            t1: at(1_000),
            td: None,
            t2: at(2_500),
            t3: at(2_000),
            t4: at(2_100),
            t5: at(4_000),
        };
        let captured = Captured {
            tc: at(800),
            t1: at(1_000),
            lsn: 0x1_0000_00ff,
            commit_lsn: 0x1_0000_0100,
            xid: 7,
        };
        Joined {
            id: EventId(uuid::Uuid::from_u128(u128::try_from(n).unwrap())),
            seq: 0,
            event_type: EventType::ALL[usize::try_from(n % 3).unwrap()],
            captured,
            stamps,
        }
    }

    #[test]
    fn every_event_has_its_line_and_the_hops_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ResultFolder::create(dir.path(), "r").unwrap();
        let recorder = Recorder::start(&folder, "debezium").unwrap();
        let handle = recorder.handle();
        (0..500).for_each(|n| handle.record(event(n)));
        drop(handle);
        let recording = recorder.finish().unwrap();
        assert_eq!(recording.by_type, [167, 167, 166]);
        assert_eq!(recording.path.hop(Hop::Total).unwrap().count(), 500);
        let (beyond, within) = recording.path.negatives(|_| Some(Nanos(0)));
        assert_eq!((beyond, within), (500, 0), "T3 is before T2 in each");

        let text = std::fs::read_to_string(folder.file("events.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 500);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let hop = |name: &str| line["hops"][name].as_i64().unwrap();
            assert_eq!(
                hop("capture") + hop("kafka_delivery") + hop("consumer_lag") + hop("processing"),
                hop("total")
            );
            assert_eq!(line["lsn"], "1/FF");
        }
        let log = std::fs::read_to_string(folder.file("latency.hlog")).unwrap();
        assert!(log.contains("Tag=total,"), "{log}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = ResultFolder::create(&dir.path().join("file"), "r")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("file/r") && error.contains("--results-dir"),
            "{error}"
        );
    }
}
