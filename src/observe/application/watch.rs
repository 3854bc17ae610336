//! The application's lines, beside the changes that they are of.

use cdc_bench_model::observation::{
    CapturedChange, ObservationJoiner, ObservedChange, SentChange, SourceLine, SourceLines,
};
use cdc_bench_model::report::{ApplicationReport, ClockReport, Incident};
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};

use super::incidents::SourceLineIncidents;
use crate::observe::line_clock::LineClock;
use crate::observe::lines_source::LinesSource;
use crate::observe::taps::sighting::SourceLineProblem;

/// What bounds the clock of the lines.
const CAUSALITY: &str =
    "causality: a statement returned after its commit, and its line came after that";

/// Lines and changes, and the clock of the lines.
pub(in crate::observe) struct ApplicationWatch {
    source: LinesSource,
    lines: SourceLines,
    clock: LineClock,
    incidents: SourceLineIncidents,
}

impl ApplicationWatch {
    /// Of lines from this source; at most `limit` changes wait for theirs.
    pub(in crate::observe) fn new(source: &LinesSource, clock: Clock, limit: usize) -> Self {
        Self {
            source: source.clone(),
            lines: SourceLines::new(limit),
            clock: LineClock::of("application", CAUSALITY, source, clock),
            incidents: SourceLineIncidents::default(),
        }
    }

    /// A change in the WAL.
    pub(in crate::observe) fn captured(
        &mut self,
        change: &CapturedChange,
        joiner: &ObservationJoiner,
    ) {
        let committed = joiner.committed_at(change.tc);
        let is_followed = joiner.is_followed(change);
        self.lines.captured(change, committed, is_followed);
    }

    /// A line.
    pub(in crate::observe) fn said(&mut self, line: SourceLine) {
        self.lines.line(line);
    }

    /// A line that says nothing of an observed table's row; what is to be told of it.
    pub(in crate::observe) fn problem(&mut self, problem: SourceLineProblem) -> Option<Incident> {
        self.incidents.problem(self.lines.counts_mut(), problem)
    }

    /// A change was followed to its end.
    pub(in crate::observe) fn completed(&mut self, change: &ObservedChange) {
        self.lines.completed(change);
    }

    /// The changes since the last call whose sending is known.
    pub(in crate::observe) fn settle(&mut self, now: Stamp) -> Vec<SentChange> {
        self.lines.judge(now);
        self.lines.take_sent()
    }

    /// Whether a change that was followed to its end waits for its line.
    pub(in crate::observe) fn waits(&self) -> bool {
        self.lines.waits_for_lines()
    }

    /// No more lines come.
    pub(in crate::observe) fn finish(&mut self) {
        self.lines.finish();
    }

    /// Measures the clock of the lines, and corrects them by it from now on.
    pub(in crate::observe) fn measure(&mut self, now: Stamp) {
        let offset = self.lines.take_clock_bound();
        let resolution = self.lines.resolution();
        let line = self.clock.measure(now, offset, resolution);
        self.lines.correct(line, self.clock.bound());
    }

    /// How far its stamps may be off; `None` where nothing is known of its clock.
    pub(in crate::observe) fn bound(&self) -> Option<Nanos> {
        self.clock.bound()
    }

    /// What the report says of it, and of its clock; the count begins anew.
    pub(in crate::observe) fn report(&mut self) -> (ApplicationReport, Option<ClockReport>) {
        let (lines, acknowledged) = self.lines.take_counts();
        let report = ApplicationReport {
            source: self.source.to_string(),
            lines,
            acknowledged: (acknowledged.count() > 0)
                .then(|| acknowledged.statistics(Some(self.clock.resolution()))),
        };
        (report, self.clock.report())
    }
}
