//! `latency.hlog` of an observation, written as changes come. Its intervals are a second at first and grow with the time observed, so
//! that the file grows with its logarithm.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::serialization::V2DeflateSerializer;

use crate::observation::{ObservedHop, ObservedHops};
use crate::report::folder::OutputFile;
use crate::report::interval_log::{IntervalHistograms, IntervalLog};
use crate::report::{RecorderError, ResultFolder};

/// The file.
pub(super) const NAME: &str = "latency.hlog";
/// The shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);
/// An interval is this part of the time before it.
const SHARE: u32 = 600;
/// Intervals that wait to be written.
const QUEUE: usize = 4;

/// An interval that is over.
struct LoggedInterval {
    start: Duration,
    length: Duration,
    histograms: IntervalHistograms,
}

/// The log, written by a thread of its own.
#[derive(Debug)]
pub struct LatencyLog {
    sender: SyncSender<LoggedInterval>,
    thread: JoinHandle<Result<(), RecorderError>>,
    began: Instant,
    /// When the interval that is filling began.
    since: Duration,
    filling: IntervalHistograms,
}

impl LatencyLog {
    /// Makes the file; its time begins.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(folder: &ResultFolder) -> Result<Self, RecorderError> {
        let file = OutputFile::open(folder, NAME)?;
        let (sender, intervals) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("latency-log".to_owned())
            .spawn(move || write_all(file, &intervals))
            .map_err(|error| OutputFile::failed(&folder.file(NAME), error))?;
        Ok(Self {
            sender,
            thread,
            began: Instant::now(),
            since: Duration::ZERO,
            filling: IntervalHistograms::default(),
        })
    }

    /// Adds a change that was followed to its end, and stands for `weight` of them.
    pub fn record(&mut self, hops: &ObservedHops, weight: u64) {
        for hop in ObservedHop::PIPELINE
            .into_iter()
            .chain([ObservedHop::Total])
        {
            if let Some(span) = hops.get(hop) {
                self.filling.record_many(hop.as_str(), span, weight);
            }
        }
    }

    /// Writes the interval if it is over. Whether the thread still takes it is told by [`LatencyLog::finish`].
    pub fn tick(&mut self) {
        let elapsed = self.began.elapsed();
        if elapsed >= self.since + SHORTEST.max(self.since / SHARE) {
            self.send(elapsed);
        }
    }

    fn send(&mut self, until: Duration) {
        let interval = LoggedInterval {
            start: self.since,
            length: until.saturating_sub(self.since),
            histograms: std::mem::take(&mut self.filling),
        };
        self.since = until;
        // A thread that could not write has ended, and `finish` has its error.
        drop(self.sender.send(interval));
    }

    /// Writes the last interval.
    ///
    /// # Errors
    /// When the file could not be written.
    pub fn finish(mut self) -> Result<(), RecorderError> {
        self.send(self.began.elapsed());
        drop(self.sender);
        // A panic was reported by the panic hook.
        self.thread.join().unwrap_or(Ok(()))
    }
}

fn write_all(
    mut file: OutputFile,
    intervals: &Receiver<LoggedInterval>,
) -> Result<(), RecorderError> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLog::begin(&mut file, &mut serializer)?;
    for interval in intervals {
        log.write_interval(&interval.histograms, interval.start, interval.length)?;
    }
    drop(log);
    let flushed = file.file.flush();
    flushed.map_err(|error| OutputFile::failed(&file.path, error))
}
