//! The table of a run's faults, as text, Markdown and page show it.

use super::fault::{FaultEffect, FaultReport};
use super::table::aligned;

/// The heads of its columns; those from the third on are figures.
pub(super) const COLUMNS: [&str; 11] = [
    "fault",
    "path",
    "at, s",
    "noticed, s",
    "first event, s",
    "backlog gone, s",
    "backlog",
    "lost",
    "again",
    "reordered",
    "WAL held, MiB",
];

/// What the figures are.
pub(super) const CAPTION: &str = "Seconds from each fault on: until it could be noticed, until an event that was due after it was in the store, until no more events were under way than before. Then most events that were due and not stored, events lost, delivered to the consumer again, stored after a later one of their aggregate, and most WAL that the slot held back.";

/// A row for each fault and path.
pub(super) fn rows(faults: &[FaultReport]) -> Vec<[String; COLUMNS.len()]> {
    let of_fault = |fault: &'_ FaultReport| {
        let (name, at) = (fault.fault.clone(), format!("{:.1}", fault.at_s));
        let row = |(path, effect): (&String, &FaultEffect)| row(&name, path, &at, effect);
        fault.paths.iter().map(row).collect::<Vec<_>>()
    };
    faults.iter().flat_map(of_fault).collect()
}

#[allow(clippy::cast_precision_loss)] // durations and bytes for display
fn row(name: &str, path: &str, at: &str, effect: &FaultEffect) -> [String; COLUMNS.len()] {
    let seconds =
        |us: Option<i64>| us.map_or_else(|| "-".to_owned(), |us| format!("{:.2}", us as f64 / 1e6));
    let held = effect.wal_held_bytes.map_or_else(
        || "-".to_owned(),
        |bytes| format!("{:.1}", bytes as f64 / f64::from(1_u32 << 20)),
    );
    [
        name.to_owned(),
        path.to_owned(),
        at.to_owned(),
        seconds(effect.noticed),
        seconds(effect.first_event),
        seconds(effect.backlog_gone),
        effect.backlog.to_string(),
        effect.lost.to_string(),
        effect.delivered_again.to_string(),
        effect.reordered.to_string(),
        held,
    ]
}

/// The table as aligned text, a line each.
pub(super) fn text(faults: &[FaultReport]) -> Vec<String> {
    let mut rows = rows(faults);
    rows.insert(0, COLUMNS.map(str::to_owned));
    aligned(&rows, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_a_row_for_each_path() {
        let effect = FaultEffect {
            noticed: Some(1_040_000),
            first_event: Some(8_210_000),
            backlog: 1_310,
            wal_held_bytes: Some(3 << 20),
            ..FaultEffect::default()
        };
        let fault = FaultReport {
            fault: "kill:connect@30%".to_owned(),
            action: "kill".to_owned(),
            target: "connect".to_owned(),
            process: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            at_s: 6.02,
            took: None,
            connections_broken: None,
            paths: [("debezium", effect.clone()), ("wal", effect)]
                .map(|(path, effect)| (path.to_owned(), effect))
                .into(),
        };
        let lines = text(&[fault]);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("fault             path"), "{lines:?}");
        assert!(
            lines[1].starts_with("kill:connect@30%  debezium    6.0"),
            "{lines:?}"
        );
        for figure in ["1.04", "8.21", " - ", "1310", "3.0"] {
            assert!(lines[1].contains(figure), "{figure} {lines:?}");
        }
    }
}
