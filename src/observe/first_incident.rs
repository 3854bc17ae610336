//! The first of a kind of trouble is told; the others are counted.

use cdc_bench_model::report::Incident;

/// An incident, and a warning in the log, unless one of its kind was told before.
pub(super) fn first_incident(
    is_told: &mut bool,
    kind: &str,
    what: impl FnOnce() -> String,
) -> Option<Incident> {
    if std::mem::replace(is_told, true) {
        return None;
    }
    let what = what();
    tracing::warn!("{what}");
    Some(Incident {
        at: jiff::Timestamp::now(),
        kind: kind.to_owned(),
        what,
        took: None,
    })
}
