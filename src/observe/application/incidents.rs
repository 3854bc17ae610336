//! What is wrong with the application's lines: the first of each kind is told, the others are counted.

use cdc_bench_model::observation::SourceLineCounts;
use cdc_bench_model::report::Incident;

use crate::observe::first_incident::first_incident;
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
        match problem {
            SourceLineProblem::Unreadable(wrong) => {
                counts.unreadable += 1;
                first_incident(&mut self.has_unreadable, "unreadable_line", || {
                    format!("the first line of the application that could not be read: {wrong}")
                })
            }
            SourceLineProblem::OtherTable(table) => {
                counts.other_tables += 1;
                first_incident(&mut self.has_other_table, "line_of_other_table", || {
                    format!(
                        "the first line of the application that is of a table which is not observed: {table:?}"
                    )
                })
            }
        }
    }
}
