//! Lines in which a consumer reports what it did with its records, or the application when it sent its statements;
//! docs/how-to/event-metrics.md has their formats.

mod file;
mod line;
mod reports;
mod socket;
mod source_line;
mod splitter;

use std::io::Read as _;

use cdc_bench_model::RunId;
use cdc_bench_model::timeline::Clock;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use self::file::GrowingFile;
pub(in crate::observe) use self::reports::LineReports;
use self::socket::LinesSocket;
use self::splitter::LineSplitter;
use super::following::Following;
use super::sighting::Sighting;
use crate::broker::{TailEvent, TailRecord, TopicTail};
use crate::observe::lines_source::LinesSource;
use crate::pipeline::Failure;

/// Begins to report lines.
///
/// # Errors
/// When their source cannot be opened.
pub(in crate::observe) async fn open(
    source: &LinesSource,
    reports: LineReports,
    (kafka, id, clock): (&ClientConfig, &RunId, Clock),
) -> Result<Following, Failure> {
    let refused = |error: std::io::Error| {
        Failure::usage(anyhow::anyhow!(
            "the lines of {source} cannot be read: {error}"
        ))
    };
    let stop = CancellationToken::new();
    match source {
        LinesSource::StandardInput => {
            // Not waited for: it may be blocked in a read until the process ends.
            std::thread::spawn(move || read_standard_input(&reports));
            Ok(Following::Unattended)
        }
        LinesSource::File(path) => {
            let file = GrowingFile::open(path.clone()).map_err(refused)?;
            let stopped = stop.clone();
            let task = tokio::task::spawn_blocking(move || file.follow(&reports, &stopped));
            Ok(Following::Task(stop.drop_guard(), task))
        }
        LinesSource::Socket(path) => {
            let socket = LinesSocket::open(path.clone()).map_err(refused)?;
            let task = tokio::spawn(socket.follow(reports, stop.clone()));
            Ok(Following::Task(stop.drop_guard(), task))
        }
        LinesSource::Topic(name) => {
            let client = format!("cdc-bench-observe-{id}-{}-lines", reports.writer());
            let topics = vec![name.clone()];
            let handler = move |event: TailEvent<'_>| {
                if let TailEvent::Record(record) = event {
                    report_record(&reports, &record);
                }
            };
            let tail = TopicTail::start(kafka, &client, topics, clock, handler).await?;
            Ok(Following::Topics(tail))
        }
    }
}

/// Reads standard input to its end, which ends the observation.
fn read_standard_input(reports: &LineReports) {
    const ORIGIN: &str = "standard input";
    let mut splitter = LineSplitter::default();
    let mut buffer = vec![0; 16 << 10];
    let mut input = std::io::stdin().lock();
    loop {
        let read = input.read(&mut buffer);
        let mut lines = Vec::new();
        let each = |split: splitter::Split<'_>| reports.collect(ORIGIN, &mut lines, split);
        let ended = match read {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => None,
            Ok(count @ 1..) => {
                splitter.push(&buffer[..count], each);
                None
            }
            Ok(0) => {
                splitter.finish(each);
                let writer = reports.writer();
                Some(Sighting::Ended(format!(
                    "the {writer}'s lines on standard input have ended"
                )))
            }
            Err(error) => Some(Sighting::Failed(format!(
                "standard input cannot be read: {error}"
            ))),
        };
        let is_over = ended.is_some();
        for sighting in lines.into_iter().chain(ended) {
            if !reports.send_blocking(sighting) {
                return;
            }
        }
        if is_over {
            return;
        }
    }
}

/// A record whose value is a line, or several.
fn report_record(reports: &LineReports, record: &TailRecord<'_>) {
    let value = record.value.unwrap_or_default();
    for line in value.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let (partition, offset) = (record.partition, record.offset);
        let origin = || format!("offset {offset} of partition {partition} of the topic of lines");
        let sighting = reports.sighting(line, record.received, origin);
        if !reports.send_blocking(sighting) {
            return;
        }
    }
}
