//! What happens to the taps and the records meanwhile.

use std::time::Duration;

use cdc_bench_model::observation::RecordPosition;
use cdc_bench_model::report::Incident;
use cdc_bench_model::timeline::Nanos;

use super::Watch;
use crate::observe::liveness::PulseChange;

/// Most incidents of a report.
const INCIDENTS: usize = 500;

/// How a tap that was cut goes on.
fn resumed(tap: &str, reason: &str) -> String {
    match tap {
        "wal" => format!(
            "the WAL's connection was cut, and the WAL is read from a later position on: changes committed in between are not seen there, and are counted as not_covered when their records come: {reason}"
        ),
        tap => format!("the tap of the {tap} was cut and goes on: {reason}"),
    }
}

/// What is said of a server: kind, text, and how long it was silent, once that is over.
fn said(change: PulseChange, under_way: u64) -> (&'static str, String, Option<Duration>) {
    match change {
        PulseChange::Silent {
            server,
            silence,
            reason,
        } => {
            let since = jiff::Timestamp::now()
                - jiff::SignedDuration::try_from(silence).unwrap_or_default();
            let since = since.strftime("%H:%M:%S UTC");
            let why = reason.map_or(String::new(), |reason| format!(" ({reason})"));
            let what = format!(
                "{server} answers nothing since {since}{why}: it stands still, or cannot be reached"
            );
            ("server_silent", what, None)
        }
        PulseChange::Returned { server, silence } => {
            let seconds = silence.as_secs_f64();
            let what = format!(
                "{server} answers again; it had answered nothing for {seconds:.1} s, and {under_way} changes are under way now"
            );
            ("server_answers", what, Some(silence))
        }
        PulseChange::Replaced { server } => {
            let what = format!(
                "{server} had answered nothing, and is not needed any more: other brokers lead its partitions"
            );
            ("server_answers", what, None)
        }
    }
}

impl Watch {
    /// Adds an incident to the report; beyond a limit the log alone has them.
    pub(super) fn happened(&mut self, kind: &str, what: String) {
        self.add_incident(kind, what, None);
    }

    /// A tap that was cut goes on.
    pub(super) fn has_resumed(&mut self, tap: &str, reason: &str) {
        self.happened("tap_resumed", resumed(tap, reason));
    }

    /// The sink's tap goes on later than where it was cut.
    pub(super) fn has_skipped(&mut self, reason: &str) {
        let what = format!(
            "the tap of the sink was cut, and the server does not have the place any more: writes in between were not seen, and changes without one are counted as not_shown: {reason}"
        );
        self.happened("tap_resumed", what);
    }

    /// Which servers answer nothing any more, and which do again.
    pub(super) fn take_pulses(&mut self) {
        for change in self.pulses.take_changes() {
            let under_way = self.joiner.counts().in_flight;
            let (kind, what, took) = said(change, under_way);
            tracing::warn!("{what}");
            self.add_incident(
                kind,
                what,
                took.map(|took| Nanos::from(took).round_micros()),
            );
        }
    }

    /// The broker had not answered for so long.
    pub(super) fn was_silent(&mut self, silence: Duration) {
        let what = "the broker did not answer for a while, and does again; records and offsets since are late";
        let took = Nanos::from(silence).round_micros();
        self.add_incident("tap_resumed", what.to_owned(), Some(took));
    }

    fn add_incident(&mut self, kind: &str, what: String, took: Option<i64>) {
        if self.incidents.len() < INCIDENTS {
            self.incidents.push(Incident {
                at: jiff::Timestamp::now(),
                kind: kind.to_owned(),
                what,
                took,
            });
        }
    }

    /// Keeps where a record is of which nothing can be made.
    pub(super) fn keep(&mut self, position: RecordPosition, reason: &str) {
        if let Err(error) = self.period.recording.unreadable(position, reason) {
            self.failed = Some(error.to_string());
        }
    }
}
