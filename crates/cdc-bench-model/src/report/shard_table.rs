//! The table of an outbox's shards, as text, Markdown and page show it.

use super::figures;
use super::shard::ShardReport;
use super::table::aligned;

/// The heads of its columns, all of figures.
pub(super) const COLUMNS: [&str; 6] = [
    "shard",
    "captured",
    "share",
    "walsender, s",
    "us an event",
    "WAL kept, MiB",
];

/// What the figures are.
pub(super) const CAPTION: &str = "Measured events by table of the outbox: their share; the processor time of the slot's walsender, which decodes the WAL of all tables, also by event of its own; the most WAL that the slot kept on the server's disk, asked once a second.";

/// A row for each shard.
#[allow(clippy::cast_precision_loss)] // figures for display
pub(super) fn rows(shards: &[ShardReport]) -> Vec<[String; COLUMNS.len()]> {
    let all: u64 = shards.iter().filter_map(|shard| shard.captured).sum();
    let shown = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
    let row = |shard: &ShardReport| {
        let captured = shard.captured;
        let share = captured.map(|events| figures::percent(events as f64 / all.max(1) as f64));
        let used = shard.walsender_cpu_s;
        let by_event = used.zip(captured.filter(|events| *events > 0));
        let by_event = by_event.map(|(used, events)| used * 1e6 / events as f64);
        let kept = shard.most_wal_held.map(|bytes| bytes as f64 / 1_048_576.0);
        [
            shard.shard.to_string(),
            shown(captured.map(|events| events.to_string())),
            shown(share),
            shown(used.map(|used| format!("{used:.2}"))),
            shown(by_event.map(|us| format!("{us:.1}"))),
            shown(kept.map(|mib| format!("{mib:.1}"))),
        ]
    };
    shards.iter().map(row).collect()
}

/// The table as aligned text, a line each.
pub(super) fn text(shards: &[ShardReport]) -> Vec<String> {
    let mut rows = rows(shards);
    rows.insert(0, COLUMNS.map(str::to_owned));
    aligned(&rows, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_its_share_and_what_its_walsender_took() {
        let known = ShardReport {
            shard: 1,
            captured: Some(3_000),
            walsender_cpu_s: Some(0.06),
            most_wal_held: Some(3 << 20),
            ..ShardReport::default()
        };
        let of_others = ShardReport {
            shard: 2,
            captured: Some(1_000),
            ..ShardReport::default()
        };
        let rows = rows(&[known, of_others]);
        assert_eq!(rows[0], ["1", "3000", "75 %", "0.06", "20.0", "3.0"]);
        assert_eq!(rows[1], ["2", "1000", "25 %", "-", "-", "-"]);
    }
}
