//! `latency.hlog`: a histogram an interval and hop, in HdrHistogram's interval log format.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};

use super::RecorderError;
use super::folder::OutputFile;
use crate::timeline::{Hop, Joined, Nanos};

/// The interval log of one path.
pub(super) struct IntervalLog<'a> {
    writer: IntervalLogWriter<'a, 'a, BufWriter<File>, V2DeflateSerializer>,
    path: PathBuf,
    pub(super) interval: IntervalHistograms,
}

impl<'a> IntervalLog<'a> {
    pub(super) fn begin(
        sink: &'a mut OutputFile,
        serializer: &'a mut V2DeflateSerializer,
    ) -> Result<Self, RecorderError> {
        let path = sink.path.clone();
        let writer = IntervalLogWriterBuilder::new()
            .with_base_time(SystemTime::now())
            .add_comment("cdc-bench: a histogram an interval and hop, values in microseconds")
            .begin_log_with(&mut sink.file, serializer)
            .map_err(|e| OutputFile::failed(&path, format!("{e:?}")))?;
        Ok(Self {
            writer,
            path,
            interval: IntervalHistograms::default(),
        })
    }

    /// Ends an interval: writes what was recorded in it.
    pub(super) fn write(&mut self, start: Duration, length: Duration) -> Result<(), RecorderError> {
        let interval = std::mem::take(&mut self.interval);
        self.write_interval(&interval, start, length)
    }

    /// Writes an interval that was recorded elsewhere.
    pub(super) fn write_interval(
        &mut self,
        interval: &IntervalHistograms,
        start: Duration,
        length: Duration,
    ) -> Result<(), RecorderError> {
        for (hop, histogram) in &interval.0 {
            let tag = Tag::new(hop).expect("hop names hold no comma, space or line break");
            self.writer
                .write_histogram(histogram, start, length, Some(tag))
                .map_err(|e| OutputFile::failed(&self.path, format!("{e:?}")))?;
        }
        Ok(())
    }
}

/// The histograms of one interval by the names of their hops, in microseconds.
#[derive(Debug, Default)]
pub(super) struct IntervalHistograms(Vec<(&'static str, Histogram<u64>)>);

impl IntervalHistograms {
    /// Adds the hops of an event that make up its total, and the total.
    pub(super) fn record_event(&mut self, event: &Joined) {
        let hops = event.stamps.hops();
        for hop in Hop::PIPELINE.into_iter().chain([Hop::Total]) {
            if let Some(span) = hops.get(hop) {
                self.record(hop.as_str(), span);
            }
        }
    }

    /// Adds a span of a hop.
    pub(super) fn record(&mut self, hop: &'static str, span: Nanos) {
        self.record_many(hop, span, 1);
    }

    /// Adds a span of a hop that came `times` times.
    pub(super) fn record_many(&mut self, hop: &'static str, span: Nanos, times: u64) {
        let known = self.0.iter().position(|(known, _)| *known == hop);
        let place = known.unwrap_or_else(|| {
            let histogram =
                Histogram::new(3).expect("3 significant digits are within HdrHistogram's 0 to 5");
            self.0.push((hop, histogram));
            self.0.len() - 1
        });
        // The format has no negative values: they are logged as 0 here; events.jsonl has the real ones.
        let value = u64::try_from(span.round_micros()).unwrap_or(0);
        self.0[place]
            .1
            .record_n(value, times)
            .expect("an auto-resizing histogram takes every value up to 2^63");
    }
}
