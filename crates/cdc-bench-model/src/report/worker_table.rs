//! The table of the workers that a run was spread over, as text, Markdown and page show it.

use super::table::aligned;
use super::worker::WorkerReport;

/// The heads of its columns; those from [`FIGURES`] on are figures.
pub(super) const COLUMNS: [&str; 8] = [
    "worker",
    "machine",
    "offered",
    "inserted",
    "written",
    "partitions",
    "clock off, ms",
    "±, ms",
];

/// The first column of figures.
pub(super) const FIGURES: usize = 3;

/// What the figures are.
pub(super) const CAPTION: &str = "Each worker: what it offered to do, events that it inserted and wrote, partitions that it had in the end, how far PostgreSQL's clock was ahead of its own in the end after all were set by it, and how far that may be off.";

/// A row for each worker.
pub(super) fn rows(workers: &[WorkerReport]) -> Vec<[String; COLUMNS.len()]> {
    workers.iter().map(row).collect()
}

#[allow(clippy::cast_precision_loss)] // a duration for display
fn row(worker: &WorkerReport) -> [String; COLUMNS.len()] {
    let ms = |us: i64| format!("{:.3}", us as f64 / 1e3);
    let mut offered = worker.roles.join(" ");
    if worker.captured {
        offered.push_str(" (read the WAL)");
    }
    if worker.is_gone {
        offered.push_str(" (gone: what it measured is not in the figures)");
    }
    [
        worker.name.clone(),
        worker.host.clone(),
        offered,
        worker.inserted.to_string(),
        worker.written.to_string(),
        worker.partitions.to_string(),
        ms(worker.clock_offset),
        ms(worker.clock_bound),
    ]
}

/// The table as aligned text, a line each.
pub(super) fn text(workers: &[WorkerReport]) -> Vec<String> {
    let mut rows = rows(workers);
    rows.insert(0, COLUMNS.map(str::to_owned));
    aligned(&rows, FIGURES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_gone_is_said_to_be() {
        let worker = |name: &str, is_gone: bool| WorkerReport {
            name: name.to_owned(),
            host: "node-1".to_owned(),
            roles: vec!["load".to_owned(), "capture".to_owned()],
            inserted: 1_000,
            written: 990,
            partitions: 2,
            captured: !is_gone,
            clock_offset: -12,
            clock_bound: 41,
            is_gone,
            ntp_bound: None,
            silences: Vec::new(),
        };
        let text = text(&[worker("a", false), worker("b", true)]);
        assert_eq!(text.len(), 3);
        assert!(
            text[1].starts_with("a       node-1   load capture (read the WAL)"),
            "{text:#?}"
        );
        assert!(
            text[1].ends_with("1000      990           2         -0.012  0.041"),
            "{text:#?}"
        );
        assert!(text[2].contains("gone"), "{text:#?}");
    }
}
