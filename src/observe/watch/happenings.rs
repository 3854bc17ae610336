//! What happens to the taps and the records meanwhile.

use std::time::Duration;

use cdc_bench_model::observation::RecordPosition;
use cdc_bench_model::report::Incident;
use cdc_bench_model::timeline::Nanos;

use super::Watch;

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
