use super::*;
use crate::observation::{ChangeId, ObservedStamps, Operation, RecordPosition};

const TABLE: &str = "public.orders";

fn at(ms: i64) -> Stamp {
    Stamp(0) + Nanos::from_millis(ms)
}

fn id(key: &str, lsn: u64) -> ChangeId {
    ChangeId {
        table: TABLE.into(),
        key: key.into(),
        lsn: Some(lsn),
        operation: Operation::Create,
    }
}

/// Committed at `tc`, ms; our clock is PostgreSQL's.
fn captured(lines: &mut SourceLines, key: &str, lsn: u64, tc: i64) {
    let change = CapturedChange {
        id: id(key, lsn),
        tc: at(tc),
        t1: at(tc + 1),
    };
    lines.captured(&change, (at(tc), Nanos(0)), true);
}

fn line(lines: &mut SourceLines, key: &str, inserted: i64, returned: Option<i64>) {
    lines.line(SourceLine {
        table: TABLE.into(),
        key: key.into(),
        inserted: at(inserted) + Nanos::from_micros(1),
        returned: returned.map(|returned| at(returned) + Nanos::from_micros(1)),
        reported: at(returned.unwrap_or(inserted) + 20),
    });
}

/// Shown by the sink 50 ms after its commit.
fn completed(lines: &mut SourceLines, key: &str, lsn: u64, tc: i64) {
    lines.completed(&ObservedChange {
        id: id(key, lsn),
        position: RecordPosition {
            topic: 0,
            partition: 0,
            offset: 1,
        },
        stamps: ObservedStamps {
            t0: None,
            tc: at(tc),
            t1: at(tc + 1),
            td: None,
            t2: at(tc + 5),
            t3: at(tc + 6),
            tg: None,
            tr: None,
            ts: None,
            t5: Some(at(tc + 50)),
        },
        weight: 3,
    });
}

/// Spans of `insert` and `total_from_insert`, whole ms.
fn sent(lines: &mut SourceLines) -> Vec<(i64, i64)> {
    let ms = |span: Nanos| (span.0 + 500_000) / 1_000_000;
    let sent = lines.take_sent().into_iter();
    sent.map(|sent| (ms(sent.insert), ms(sent.from_insert)))
        .collect()
}

#[test]
fn line_and_change_and_end_meet_in_any_order() {
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
        let mut lines = SourceLines::new(100);
        for step in order {
            match step {
                0 => line(&mut lines, "{\"id\":1}", 100, Some(112)),
                1 => captured(&mut lines, "{\"id\":1}", 8, 110),
                _ => completed(&mut lines, "{\"id\":1}", 8, 110),
            }
        }
        assert_eq!(sent(&mut lines), [(10, 60)], "{order:?}");
        let (counts, acknowledged) = lines.take_counts();
        assert_eq!((counts.read, counts.joined), (1, 1));
        assert_eq!(acknowledged.count(), 1);
        assert!(lines.changes.is_empty() && lines.rows.is_empty() && lines.by_lsn.is_empty());
    }
}

#[test]
fn lines_of_one_row_are_of_its_changes_in_their_order() {
    let mut lines = SourceLines::new(100);
    let key = "{\"id\":1}";
    // Two writers, whose lines come out of order.
    line(&mut lines, key, 200, None);
    line(&mut lines, key, 100, None);
    for (lsn, tc) in [(8, 110), (16, 230)] {
        captured(&mut lines, key, lsn, tc);
        completed(&mut lines, key, lsn, tc);
    }
    assert_eq!(sent(&mut lines), [(10, 60), (30, 80)]);
}

#[test]
fn a_change_that_nobody_said_does_not_take_the_next_ones_line() {
    let key = "{\"id\":1}";
    for has_line_first in [false, true] {
        let mut lines = SourceLines::new(100);
        lines.correct(OffsetLine::default(), Some(Nanos::from_millis(1)));
        if has_line_first {
            line(&mut lines, key, 200, Some(212));
        }
        // A batch job's, then the application's.
        captured(&mut lines, key, 8, 110);
        captured(&mut lines, key, 16, 210);
        if !has_line_first {
            line(&mut lines, key, 200, Some(212));
        }
        completed(&mut lines, key, 8, 110);
        completed(&mut lines, key, 16, 210);
        assert_eq!(sent(&mut lines), [(10, 60)], "{has_line_first}");
        let (counts, _) = lines.take_counts();
        assert_eq!((counts.joined, counts.without_line), (1, 1));
    }
}

#[test]
fn a_statement_that_was_rolled_back_does_not_take_the_next_ones_change() {
    let mut lines = SourceLines::new(100);
    lines.correct(OffsetLine::default(), Some(Nanos::from_millis(1)));
    let key = "{\"id\":1}";
    line(&mut lines, key, 100, Some(112));
    line(&mut lines, key, 300, Some(312));
    captured(&mut lines, key, 8, 310);
    completed(&mut lines, key, 8, 310);
    assert_eq!(sent(&mut lines), [(10, 60)]);
    let (counts, _) = lines.take_counts();
    assert_eq!((counts.joined, counts.without_change), (1, 1));
}

#[test]
fn what_waits_too_long_is_counted_and_forgotten() {
    let mut lines = SourceLines::new(100);
    line(&mut lines, "{\"id\":1}", 100, None);
    captured(&mut lines, "{\"id\":2}", 8, 110);
    completed(&mut lines, "{\"id\":2}", 8, 110);
    assert!(lines.waits_for_lines());
    lines.judge(at(20_000));
    assert_eq!(
        lines.counts,
        SourceLineCounts {
            read: 1,
            ..Default::default()
        }
    );
    lines.judge(at(40_000));
    let (counts, _) = lines.take_counts();
    assert_eq!((counts.without_change, counts.without_line), (1, 1));
    assert!(!lines.waits_for_lines());
    assert!(lines.changes.is_empty() && lines.rows.is_empty());
    assert!(lines.unsaid.is_empty() && lines.early.is_empty());
}

#[test]
fn memory_is_bounded() {
    let mut lines = SourceLines::new(10);
    for n in 0..1_000 {
        let key = format!("{{\"id\":{n}}}");
        captured(&mut lines, &key, n, 100);
        line(&mut lines, &format!("{{\"id\":{}}}", n + 10_000), 100, None);
    }
    assert!(lines.changes.len() <= 10 && lines.by_lsn.len() <= 10 && lines.rows.len() <= 20);
    let (counts, _) = lines.take_counts();
    assert_eq!(counts.not_kept, 990 * 2);
    // Where a sample is followed, the others leave with their lines.
    let mut lines = SourceLines::new(10);
    let change = CapturedChange {
        id: id("{\"id\":1}", 8),
        tc: at(110),
        t1: at(111),
    };
    lines.captured(&change, (at(110), Nanos(0)), false);
    line(&mut lines, "{\"id\":1}", 100, None);
    assert!(lines.changes.is_empty());
}

#[test]
fn a_statement_that_returned_bounds_the_applications_clock() {
    let mut lines = SourceLines::new(100);
    captured(&mut lines, "{\"id\":1}", 8, 110);
    // Its clock is an hour behind ours: committed at 110, and the line is here at 130.
    lines.line(SourceLine {
        table: TABLE.into(),
        key: "{\"id\":1}".into(),
        inserted: at(100 - 3_600_000),
        returned: Some(at(112 - 3_600_000) + Nanos::from_micros(1)),
        reported: at(130),
    });
    assert!(lines.take_clock_bound().is_some());
    assert!(lines.take_clock_bound().is_none());
}

#[test]
fn lines_that_have_met_their_change_take_no_room() {
    let mut lines = SourceLines::new(10);
    for n in 0..100 {
        let key = format!("{{\"id\":{n}}}");
        let lsn = u64::try_from(n).unwrap();
        line(&mut lines, &key, n, None);
        captured(&mut lines, &key, lsn, n + 1);
        completed(&mut lines, &key, lsn, n + 1);
    }
    let (counts, _) = lines.take_counts();
    assert_eq!((counts.joined, counts.not_kept), (100, 0), "{counts:?}");
}
