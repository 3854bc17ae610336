//! The table of a topic's partitions, as text, Markdown and page show it.

use super::figures::{self, ms};
use super::partition::PartitionReport;
use super::table::aligned;

/// The heads of its columns, all of figures.
pub(super) const COLUMNS: [&str; 7] = [
    "partition",
    "records",
    "share",
    "lag, records",
    "lag, s",
    "p50, ms",
    "p99, ms",
];

/// What the figures are.
pub(super) const CAPTION: &str = "Measured events by partition of the topic: their share; the most records that the consumer had not received, asked once a second, and the longest that one waited; consumer_lag at the median and at p99.";

/// Most partitions in text: of more, those with the most records.
const MOST: usize = 16;

/// A row for each partition, and for each beyond `most` none.
fn limited(partitions: &[PartitionReport], most: usize) -> Vec<[String; COLUMNS.len()]> {
    let mut shown: Vec<_> = partitions.iter().collect();
    if shown.len() > most {
        shown.sort_by_key(|partition| std::cmp::Reverse(partition.records));
        shown.truncate(most);
        shown.sort_by_key(|partition| partition.partition);
    }
    shown.into_iter().map(row).collect()
}

/// A row for each partition.
pub(super) fn rows(partitions: &[PartitionReport]) -> Vec<[String; COLUMNS.len()]> {
    limited(partitions, usize::MAX)
}

#[allow(clippy::cast_precision_loss)] // a duration for display
fn row(partition: &PartitionReport) -> [String; COLUMNS.len()] {
    let lag = &partition.consumer_lag;
    let records = partition.most_lag_records;
    [
        partition.partition.to_string(),
        partition.records.to_string(),
        figures::percent(partition.share),
        records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
        format!("{:.3}", partition.most_lag as f64 / 1e6),
        figures::median(lag),
        ms(lag.p99),
    ]
}

/// The table as aligned text, a line each; of many partitions those with the most records, and how many there are besides.
pub(super) fn text(partitions: &[PartitionReport]) -> Vec<String> {
    let mut rows = limited(partitions, MOST);
    let others = partitions.len() - rows.len();
    rows.insert(0, COLUMNS.map(str::to_owned));
    let mut lines = aligned(&rows, 0);
    if others > 0 {
        lines.push(format!("and {others} partitions with fewer records"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::SignedHistogram;

    #[test]
    fn of_many_partitions_those_with_the_most_records_are_listed() {
        let partition = |(number, records): (i32, u64)| PartitionReport {
            partition: number,
            records,
            share: 0.25,
            most_lag_records: (number > 0).then_some(17),
            most_lag: 1_234_000,
            consumer_lag: SignedHistogram::default().statistics(None),
        };
        let few: Vec<_> = [(0, 30), (1, 70)].map(partition).into();
        let lines = text(&few);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("partition  records"), "{lines:?}");
        assert!(
            lines[1].contains(" - ") && lines[2].contains(" 17 "),
            "{lines:?}"
        );
        assert!(lines[2].contains("1.234"), "{lines:?}");
        let many: Vec<_> = (0..20).zip(100..).map(partition).collect();
        let lines = text(&many);
        assert_eq!(lines.len(), 1 + MOST + 1);
        assert_eq!(lines[1].split_whitespace().next(), Some("4"), "{lines:?}");
        assert_eq!(lines[17], "and 4 partitions with fewer records");
        assert_eq!(rows(&many).len(), 20);
    }
}
