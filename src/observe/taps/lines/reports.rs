//! The lines that come, reported as what they say.

use std::collections::HashMap;
use std::sync::Arc;

use async_channel::Sender;
use cdc_bench_model::observation::{Consumption, EventMetrics, RecordPosition};
use cdc_bench_model::timeline::{Clock, Stamp};

use super::line::parse;
use super::source_line::SourceTables;
use super::splitter::Split;
use crate::observe::discovery::ObservedTable;
use crate::observe::taps::sighting::{LineProblem, Sighting, SourceLineProblem};

/// Reports lines. Clones report to the same observation.
#[derive(Clone)]
pub(in crate::observe) struct LineReports {
    writer: Arc<Writer>,
    clock: Clock,
    sightings: Sender<Sighting>,
}

/// Who writes the lines, and what they may be of.
enum Writer {
    /// The consumer: the observed topics, with their indexes.
    Consumer(HashMap<String, usize>),
    /// The application: the observed tables.
    Application(SourceTables),
}

impl LineReports {
    /// Of the consumer's lines. `topics`: those that are observed, in the order of their indexes.
    pub(in crate::observe) fn new(
        topics: impl Iterator<Item = String>,
        clock: Clock,
        sightings: Sender<Sighting>,
    ) -> Self {
        let topics = topics.enumerate().map(|(index, name)| (name, index));
        Self {
            writer: Arc::new(Writer::Consumer(topics.collect())),
            clock,
            sightings,
        }
    }

    /// Of the application's lines.
    pub(in crate::observe) fn of_application<'a>(
        tables: impl Iterator<Item = &'a ObservedTable>,
        clock: Clock,
        sightings: Sender<Sighting>,
    ) -> Self {
        Self {
            writer: Arc::new(Writer::Application(SourceTables::of(tables))),
            clock,
            sightings,
        }
    }

    /// Whose lines these are.
    pub(super) fn writer(&self) -> &'static str {
        match &*self.writer {
            Writer::Consumer(_) => "consumer",
            Writer::Application(_) => "application",
        }
    }

    /// What a line says that came at `reported`; `origin` is where it is from, with its number.
    pub(super) fn sighting(
        &self,
        line: &[u8],
        reported: Stamp,
        origin: impl Fn() -> String,
    ) -> Sighting {
        let topics = match &*self.writer {
            Writer::Consumer(topics) => topics,
            Writer::Application(tables) => {
                return match tables.read(line, reported) {
                    Ok(line) => Sighting::Sent(line),
                    Err(SourceLineProblem::Unreadable(wrong)) => {
                        self.unreadable(format!("{}: {wrong}", origin()))
                    }
                    Err(other) => Sighting::SourceLine(other),
                };
            }
        };
        let line = match parse(line) {
            Ok(line) => line,
            Err(wrong) => return self.unreadable(format!("{}: {wrong}", origin())),
        };
        let Some(topic) = topics.get(&*line.topic) else {
            return Sighting::Line(LineProblem::OtherTopic(line.topic.into_owned()));
        };
        Sighting::Consumed(EventMetrics {
            position: RecordPosition {
                topic: *topic,
                partition: line.partition,
                offset: line.offset,
            },
            received: line.received,
            outcome: match line.written {
                Ok(at) => Consumption::Written(at),
                Err(reason) => Consumption::Failed(reason.into()),
            },
            reported,
        })
    }

    fn unreadable(&self, wrong: String) -> Sighting {
        match &*self.writer {
            Writer::Consumer(_) => Sighting::Line(LineProblem::Unreadable(wrong)),
            Writer::Application(_) => Sighting::SourceLine(SourceLineProblem::Unreadable(wrong)),
        }
    }

    /// What lines say that have come now.
    pub(super) fn collect(&self, origin: &str, into: &mut Vec<Sighting>, split: Split<'_>) {
        let at = |number: u64| format!("line {number} of {origin}");
        into.push(match split {
            Split::Line(number, line) => self.sighting(line, self.clock.now(), || at(number)),
            Split::TooLong(number) => {
                self.unreadable(format!("{}: it is longer than 64 KiB", at(number)))
            }
        });
    }

    /// False when the observation is over.
    pub(super) fn send_blocking(&self, sighting: Sighting) -> bool {
        self.sightings.send_blocking(sighting).is_ok()
    }

    /// False when the observation is over.
    pub(super) async fn send(&self, sighting: Sighting) -> bool {
        self.sightings.send(sighting).await.is_ok()
    }
}
