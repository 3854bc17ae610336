//! A clock as the report has it.

use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{ClockTrack, Nanos};

/// The clock of `server`, which is off by `bound` at most; `method` says how that is known.
pub(super) fn clock_report(
    server: &str,
    track: &ClockTrack,
    bound: Nanos,
    method: &str,
) -> ClockReport {
    let uneven = if track.is_uneven() {
        "; no straight line goes through the measurements: this clock was stepped, or does not run evenly"
    } else {
        ""
    };
    ClockReport {
        server: server.to_owned(),
        offset: track.first_offset().unwrap_or_default().round_micros(),
        error_bound: bound.round_micros(),
        drift: track.drift().map(Nanos::round_micros),
        drift_ppm: track
            .line()
            .map(|line| (line.drift_ppm() * 10.0).round() / 10.0),
        measurements: u64::try_from(track.measurements()).unwrap_or(u64::MAX),
        method: format!("{method}{uneven}"),
    }
}
