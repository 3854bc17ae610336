//! The lines that come, reported as what they say.

use std::collections::HashMap;
use std::sync::Arc;

use async_channel::Sender;
use cdc_bench_model::observation::{Consumption, EventMetrics, RecordPosition};
use cdc_bench_model::timeline::{Clock, Stamp};

use super::line::parse;
use super::splitter::Split;
use crate::observe::taps::sighting::{LineProblem, Sighting};

/// Reports lines. Clones report to the same observation.
#[derive(Clone)]
pub(in crate::observe) struct LineReports {
    topics: Arc<HashMap<String, usize>>,
    clock: Clock,
    sightings: Sender<Sighting>,
}

impl LineReports {
    /// `topics`: those that are observed, in the order of their indexes.
    pub(in crate::observe) fn new(
        topics: impl Iterator<Item = String>,
        clock: Clock,
        sightings: Sender<Sighting>,
    ) -> Self {
        let topics = topics.enumerate().map(|(index, name)| (name, index));
        Self {
            topics: Arc::new(topics.collect()),
            clock,
            sightings,
        }
    }

    /// What a line says that came at `reported`; `origin` is where it is from, with its number.
    pub(super) fn sighting(
        &self,
        line: &[u8],
        reported: Stamp,
        origin: impl Fn() -> String,
    ) -> Sighting {
        let line = match parse(line) {
            Ok(line) => line,
            Err(wrong) => {
                let wrong = format!("{}: {wrong}", origin());
                return Sighting::Line(LineProblem::Unreadable(wrong));
            }
        };
        let Some(topic) = self.topics.get(&*line.topic) else {
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

    /// What lines say that have come now.
    pub(super) fn collect(&self, origin: &str, into: &mut Vec<Sighting>, split: Split<'_>) {
        let at = |number: u64| format!("line {number} of {origin}");
        into.push(match split {
            Split::Line(number, line) => self.sighting(line, self.clock.now(), || at(number)),
            Split::TooLong(number) => {
                let wrong = format!("{}: it is longer than 64 KiB", at(number));
                Sighting::Line(LineProblem::Unreadable(wrong))
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
