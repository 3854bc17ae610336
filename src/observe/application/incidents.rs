//! What is wrong with the application's lines: the first of each kind is told, the others are counted.

use cdc_bench_model::observation::SourceLineCounts;
use cdc_bench_model::report::Incident;

use crate::observe::taps::sighting::SourceLineProblem;

/// Kinds that were told.
#[derive(Debug, Default)]
pub(super) struct SourceLineIncidents {
    has_unreadable: bool,
    has_other_table: bool,
}

impl SourceLineIncidents {
    /// A line that says nothing of an observed table's row, which is counted.
    pub(super) fn problem(
        &mut self,
        counts: &mut SourceLineCounts,
        problem: SourceLineProblem,
    ) -> Option<Incident> {
        let (is_told, kind, what) = match problem {
            SourceLineProblem::Unreadable(wrong) => {
                counts.unreadable += 1;
                let what =
                    format!("the first line of the application that could not be read: {wrong}");
                (&mut self.has_unreadable, "unreadable_line", what)
            }
            SourceLineProblem::OtherTable(table) => {
                counts.other_tables += 1;
                let what = format!(
                    "the first line of the application that is of a table which is not observed: {table:?}"
                );
                (&mut self.has_other_table, "line_of_other_table", what)
            }
        };
        if std::mem::replace(is_told, true) {
            return None;
        }
        tracing::warn!("{what}");
        Some(Incident {
            at: jiff::Timestamp::now(),
            kind: kind.to_owned(),
            what,
            took: None,
        })
    }
}
