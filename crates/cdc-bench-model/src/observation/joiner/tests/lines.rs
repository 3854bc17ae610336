//! A consumer that reports its records.

use super::*;
use crate::observation::{Consumption, EventMetrics};
use crate::timeline::OffsetLine;

fn joiner() -> ObservationJoiner {
    ObservationJoiner::new(JoinerConfig {
        reports_records: true,
        ..config(false, true)
    })
}

fn change(joiner: &mut ObservationJoiner, key: &str, offset: i64, operation: Operation) {
    let id = id(key, 8 + offset.unsigned_abs() * 8, operation);
    joiner.captured(captured(id.clone(), 0));
    joiner.recorded(recorded(id, 0, offset, 0));
}

fn report(offset: i64, outcome: Consumption, at: i64) -> EventMetrics {
    EventMetrics {
        position: RecordPosition {
            topic: 0,
            partition: 0,
            offset,
        },
        received: Some(Stamp(at - 2 * MS)),
        outcome,
        reported: Stamp(at + MS),
    }
}

fn written(offset: i64, at: i64) -> EventMetrics {
    report(offset, Consumption::Written(Stamp(at)), at)
}

fn failed(offset: i64, at: i64) -> EventMetrics {
    report(offset, Consumption::Failed(Arc::from("no room")), at)
}

#[test]
fn a_line_and_its_record_meet_whichever_comes_first() {
    let mut joiner = joiner();
    joiner.correct_sink(OffsetLine::constant(Nanos(MS)));
    joiner.consumed(written(1, 30 * MS));
    change(&mut joiner, "a", 0, Operation::Create);
    joiner.consumed(written(0, 20 * MS));
    change(&mut joiner, "b", 1, Operation::Update);
    let done = joiner.take_completed();
    let ends: Vec<_> = done.iter().map(|c| (c.stamps.t5, c.stamps.tr)).collect();
    let at = |ms: i64| Some(Stamp(ms * MS));
    assert_eq!(ends, [(at(19), at(17)), (at(29), at(27))]);
    let hops = done[0].stamps.hops();
    assert_eq!(hops.process, Some(Nanos(2 * MS)));
    assert_eq!(hops.total, Nanos(19 * MS));
    assert_eq!(hops.store, None);
    // A second time, as after a rebalance; and of a record that is no change.
    joiner.consumed(written(0, 40 * MS));
    joiner.consumed(written(2, 40 * MS));
    joiner.seen(written(2, 0).position);
    assert_eq!(joiner.counts().lines.unwrap().read, 4);
    assert_eq!(joiner.counts().in_flight, 0);
}

#[test]
fn what_failed_is_written_by_a_later_line_or_missing_with_its_reason() {
    let mut joiner = joiner();
    for (offset, key) in (0..).zip(["a", "b", "c"]) {
        change(&mut joiner, key, offset, Operation::Update);
    }
    joiner.consumed(failed(0, 20 * MS));
    joiner.consumed(failed(1, 20 * MS));
    joiner.consumed(written(0, 25 * MS));
    joiner.consumed(written(2, 30 * MS));
    for second in [1, 7, 13] {
        joiner.judge(Stamp(second * SECOND), None);
    }
    assert_eq!(joiner.take_completed().len(), 2);
    let missing = joiner.take_missing();
    assert_eq!(missing.len(), 1);
    assert_eq!((&*missing[0].id.key, missing[0].at), ("b", MissingAt::Sink));
    assert_eq!(missing[0].error.as_deref(), Some("no room"));
    assert_eq!(joiner.counts().lines.unwrap().errors, 2);
}

#[test]
fn lines_of_records_that_never_come_are_forgotten() {
    let mut joiner = joiner();
    for offset in 0..140_000 {
        joiner.consumed(written(1_000 + offset, 0));
    }
    let counts = joiner.counts();
    assert_eq!(counts.lines.unwrap().not_kept, 140_000 - 131_072);
    joiner.judge(Stamp(60 * SECOND), None);
    assert_eq!(joiner.counts().sink_only, 131_072);
}

#[test]
fn the_consumers_clock_is_bounded_by_kafka_and_by_its_line() {
    let mut joiner = joiner();
    change(&mut joiner, "a", 0, Operation::Create);
    // 100 ms ahead of ours, and in whole milliseconds.
    let at = 110 * MS;
    joiner.consumed(EventMetrics {
        reported: Stamp(12 * MS),
        ..written(0, at)
    });
    let offset = joiner.take_sink_clock_bound().unwrap();
    let (low, high) = (
        offset.offset.0 - offset.error_bound.0,
        offset.offset.0 + offset.error_bound.0,
    );
    assert!((low..=high).contains(&(100 * MS)), "{offset:?}");
    assert!(!offset.inconsistent);
    assert_eq!(joiner.sink_resolution(), Nanos(MS));
    assert_eq!(joiner.take_sink_clock_bound(), None);
    change(&mut joiner, "b", 1, Operation::Create);
    joiner.consumed(written(1, at + 7_000));
    assert_eq!(joiner.sink_resolution(), Nanos(1_000));
}
