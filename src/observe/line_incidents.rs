//! What is wrong with a consumer's lines: the first of each kind is told, the others are counted.

use cdc_bench_model::observation::{Consumption, EventMetrics, LineCounts};
use cdc_bench_model::report::Incident;

use super::taps::sighting::LineProblem;

/// Kinds that were told.
#[derive(Debug, Default)]
pub(super) struct LineIncidents {
    has_error: bool,
    has_unreadable: bool,
    has_other_topic: bool,
}

impl LineIncidents {
    /// A line that says what became of a record.
    pub(super) fn reported(&mut self, report: &EventMetrics) -> Option<Incident> {
        let Consumption::Failed(reason) = &report.outcome else {
            return None;
        };
        let (partition, offset) = (report.position.partition, report.position.offset);
        first(&mut self.has_error, "consumer_error", || {
            format!(
                "your consumer's first error, at offset {offset} of partition {partition}: {reason}"
            )
        })
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
                first(&mut self.has_unreadable, "unreadable_line", || {
                    format!("the first line that could not be read: {wrong}")
                })
            }
            LineProblem::OtherTopic(topic) => {
                counts.other_topics += 1;
                first(&mut self.has_other_topic, "line_of_other_topic", || {
                    format!("the first line of a topic that is not observed: {topic:?}")
                })
            }
        }
    }
}

fn first(is_told: &mut bool, kind: &str, what: impl FnOnce() -> String) -> Option<Incident> {
    if std::mem::replace(is_told, true) {
        return None;
    }
    let what = what();
    tracing::warn!("{what}; others are counted");
    Some(Incident {
        at: jiff::Timestamp::now(),
        kind: kind.to_owned(),
        what,
        took: None,
    })
}
