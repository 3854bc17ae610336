//! The recorder: writes the events of a run to the folder of its result, and collects their statistics.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::serialization::V2DeflateSerializer;

use super::folder::OutputFile;
use super::interval_log::IntervalLog;
use super::{EventLine, PathRecording, RecorderError, ResultFolder};
use crate::timeline::{CapturePath, Joined};

/// Capacity of the queue, in events. A full queue blocks the pipeline, so it is large.
const QUEUE: usize = 16_384;
/// Length of an interval of `latency.hlog`.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the queue while few events come: waking the recorder for an event takes longer than recording it.
const PAUSE: Duration = Duration::from_millis(25);
/// Events between two pauses from which on there is none: the queue would be full at its end.
const MANY: usize = 1_000;

/// Receives finished events from all threads and writes them on its own thread.
pub struct Recorder {
    sender: Option<SyncSender<RecorderEntry>>,
    paths: Vec<CapturePath>,
    thread: Option<JoinHandle<Result<Vec<PathRecording>, RecorderError>>>,
    failure: Arc<Mutex<Option<RecorderError>>>,
}

struct RecorderEntry {
    /// Position of its path.
    path: usize,
    round: u32,
    event: Joined,
}

/// A handle for the events of one path in one round.
#[derive(Clone)]
pub struct RecorderHandle {
    sender: SyncSender<RecorderEntry>,
    path: usize,
    round: u32,
}

impl RecorderHandle {
    /// Sends an event; blocks while the queue is full.
    pub fn record(&self, event: Joined) {
        let (path, round) = (self.path, self.round);
        // A recorder that has failed reports it by `failure`; the run is about to end.
        let _ = self.sender.send(RecorderEntry { path, round, event });
    }
}

impl Recorder {
    /// Opens `events.jsonl` and the interval logs in `folder`: `latency.hlog` for the first path, `latency-PATH.hlog`
    /// for the others. `listener` is called for each event, with the position of its path, on the recorder's thread.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn start(
        folder: &ResultFolder,
        paths: &[CapturePath],
        listener: impl FnMut(usize, &Joined) + Send + 'static,
    ) -> Result<Self, RecorderError> {
        let lines = OutputFile::open(folder, "events.jsonl")?;
        let mut logs = Vec::new();
        for (position, &path) in paths.iter().enumerate() {
            let name = match position {
                0 => "latency.hlog".to_owned(),
                _ => format!("latency-{path}.hlog"),
            };
            logs.push((path, OutputFile::open(folder, &name)?));
        }
        let (sender, receiver) = sync_channel(QUEUE);
        let failure = Arc::new(Mutex::new(None));
        let shared_failure = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let outcome = record_all(&receiver, lines, logs, listener);
                if let Err(error) = &outcome {
                    *shared_failure
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
            paths: paths.to_vec(),
            thread: Some(thread),
            failure,
        })
    }

    /// A handle for the events of a path in a round.
    ///
    /// # Panics
    /// When the recorder was not started for that path.
    #[must_use]
    pub fn handle(&self, path: CapturePath, round: u32) -> RecorderHandle {
        let sender = self.sender.clone();
        let position = self.paths.iter().position(|known| *known == path);
        RecorderHandle {
            // The sender lives until `finish`, which takes the recorder.
            sender: sender.expect("the recorder has not been finished"),
            path: position.expect("a recorder is started for every path of its run"),
            round,
        }
    }

    /// The error that stopped it, if any.
    #[must_use]
    pub fn failure(&self) -> Option<RecorderError> {
        self.failure
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Writes the remaining events; every handle must be dropped before. The paths come in the order they were given
    /// in.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<Vec<PathRecording>, RecorderError> {
        self.sender = None;
        let Some(thread) = self.thread.take() else {
            return Ok(Vec::new());
        };
        thread.join().unwrap_or_else(|_| {
            Err(RecorderError::Write {
                path: PathBuf::from("events.jsonl"),
                reason: "the recorder stopped unexpectedly".to_owned(),
            })
        })
    }
}

fn record_all(
    entries: &Receiver<RecorderEntry>,
    mut lines: OutputFile,
    mut sinks: Vec<(CapturePath, OutputFile)>,
    mut listener: impl FnMut(usize, &Joined),
) -> Result<Vec<PathRecording>, RecorderError> {
    let mut recordings: Vec<_> = sinks
        .iter()
        .map(|(path, _)| PathRecording::new(*path))
        .collect();
    let started = Instant::now();
    let mut serializers: Vec<_> = sinks.iter().map(|_| V2DeflateSerializer::new()).collect();
    let mut logs = Vec::new();
    for ((_, sink), serializer) in sinks.iter_mut().zip(&mut serializers) {
        logs.push(IntervalLog::begin(sink, serializer)?);
    }
    let mut interval_start = Duration::ZERO;
    let mut since_pause = 0;
    loop {
        let received = match entries.try_recv() {
            Err(TryRecvError::Empty) => {
                let left =
                    INTERVAL.saturating_sub(started.elapsed().saturating_sub(interval_start));
                if std::mem::take(&mut since_pause) < MANY {
                    std::thread::sleep(PAUSE.min(left));
                    entries.recv_timeout(Duration::ZERO)
                } else {
                    entries.recv_timeout(left)
                }
            }
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Ok(entry) => Ok(entry),
        };
        since_pause += 1;
        match received {
            Ok(RecorderEntry { path, round, event }) => {
                recordings[path].record(round, &event);
                logs[path].interval.record_event(&event);
                listener(path, &event);
                let line = EventLine::new(&event, recordings[path].path, round);
                serde_json::to_writer(&mut lines.file, &line)
                    .map_err(|e| OutputFile::failed(&lines.path, e))?;
                lines
                    .file
                    .write_all(b"\n")
                    .map_err(|e| OutputFile::failed(&lines.path, e))?;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let over = matches!(received, Err(RecvTimeoutError::Disconnected));
        if over || started.elapsed() >= interval_start + INTERVAL {
            let length = started.elapsed().saturating_sub(interval_start);
            for log in &mut logs {
                log.write(interval_start, length)?;
            }
            interval_start = started.elapsed();
            // Flushed, so that the file is readable if the run is killed.
            lines
                .file
                .flush()
                .map_err(|e| OutputFile::failed(&lines.path, e))?;
        }
        if over {
            break;
        }
    }
    drop(logs);
    for (_, sink) in &mut sinks {
        sink.file
            .flush()
            .map_err(|e| OutputFile::failed(&sink.path, e))?;
    }
    Ok(recordings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventType};
    use crate::timeline::{Captured, Hop, Nanos, Stamp, Stamps};

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
            partition: (n % 2 == 0).then_some(3),
            stamps,
        }
    }

    #[test]
    fn every_event_has_its_line_and_the_hops_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ResultFolder::create(dir.path(), "r").unwrap();
        let paths = [CapturePath::Debezium, CapturePath::Wal];
        let (sender, positions) = std::sync::mpsc::channel();
        let listener = move |path, _: &Joined| sender.send(path).unwrap();
        let recorder = Recorder::start(&folder, &paths, listener).unwrap();
        for (path, round) in [(CapturePath::Debezium, 0), (CapturePath::Wal, 1)] {
            let handle = recorder.handle(path, round);
            (0..500).for_each(|n| handle.record(event(n)));
        }
        let recordings = recorder.finish().unwrap();
        assert_eq!(positions.iter().sum::<usize>(), 500, "each path's events");
        let rounds: Vec<_> = recordings.iter().map(|path| path.rounds.len()).collect();
        assert_eq!(rounds, [1, 2]);
        let recording = &recordings[0];
        assert_eq!(recording.by_type, [167, 167, 166]);
        let statistics = recording.statistics();
        assert_eq!(statistics.hop(Hop::Total).unwrap().count(), 500);
        let (beyond, within) = statistics.negatives(|_| Some(Nanos(0)));
        assert_eq!((beyond, within), (500, 0), "T3 is before T2 in each");

        let text = std::fs::read_to_string(folder.file("events.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1_000);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let hop = |name: &str| line["hops"][name].as_i64().unwrap();
            assert_eq!(
                hop("capture") + hop("kafka_delivery") + hop("consumer_lag") + hop("processing"),
                hop("total")
            );
            assert_eq!(line["lsn"], "1/FF");
            assert_eq!(line["round"], u64::from(line["path"] == "wal"));
            let partition = line.get("partition").map(|partition| partition == 3);
            assert_ne!(partition, Some(false), "{line}");
        }
        for log in ["latency.hlog", "latency-wal.hlog"] {
            let log = std::fs::read_to_string(folder.file(log)).unwrap();
            assert!(log.contains("Tag=total,"), "{log}");
        }
    }
}
