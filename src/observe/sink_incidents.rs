//! What is wrong with a consumer's lines, or with a sink's keys: the first of each kind is told, the others are counted.

use cdc_bench_model::observation::{
    Consumption, EventMetrics, LineCounts, ObservationJoiner, OtherKeys,
};
use cdc_bench_model::report::Incident;

use super::first_incident::first_incident;
use super::taps::sighting::LineProblem;

/// Kinds that were told.
#[derive(Debug, Default)]
pub(super) struct SinkIncidents {
    has_error: bool,
    has_unreadable: bool,
    has_other_topic: bool,
    has_unreadable_in_sink: bool,
}

impl SinkIncidents {
    /// A line that says what became of a record.
    pub(super) fn reported(&mut self, report: &EventMetrics) -> Option<Incident> {
        let Consumption::Failed(reason) = &report.outcome else {
            return None;
        };
        let (partition, offset) = (report.position.partition, report.position.offset);
        first_incident(&mut self.has_error, "consumer_error", || {
            format!(
                "your consumer's first error, at offset {offset} of partition {partition}: {reason}"
            )
        })
    }

    /// A record of the sink of which nothing can be made.
    pub(super) fn unreadable_in_sink(&mut self, wrong: &str) -> Option<Incident> {
        first_incident(
            &mut self.has_unreadable_in_sink,
            "unreadable_in_sink",
            || format!("the first record of the sink that could not be read: {wrong}"),
        )
    }

    /// A line that does not, which is counted.
    pub(super) fn problem(
        &mut self,
        counts: &mut LineCounts,
        problem: LineProblem,
    ) -> Option<Incident> {
        match problem {
            LineProblem::Unreadable(wrong) => {
                counts.unreadable += 1;
                first_incident(&mut self.has_unreadable, "unreadable_line", || {
                    format!("the first line that could not be read: {wrong}")
                })
            }
            LineProblem::OtherTopic(topic) => {
                counts.other_topics += 1;
                first_incident(&mut self.has_other_topic, "line_of_other_topic", || {
                    format!("the first line of a topic that is not observed: {topic:?}")
                })
            }
        }
    }
}

/// The sink's rows have other keys than their changes.
pub(super) fn other_keys(joiner: &mut ObservationJoiner) -> Option<Incident> {
    let OtherKeys {
        table,
        in_sink,
        in_record,
    } = joiner.take_other_keys()?;
    first_incident(&mut false, "other_keys", || {
        format!(
            "no write in the sink is of a change that is known: rows of {table} have keys such as {in_sink} there, and {in_record} in their records, so they cannot be joined, and what is missing may not be; say where the sink's rows have the key of {table} (--sink-key {table}=PATH), let your consumer say what it wrote (--lines), or end with the group's offsets (--sink none)"
        )
    })
}
