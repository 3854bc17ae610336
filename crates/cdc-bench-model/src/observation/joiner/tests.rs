use super::*;
use crate::observation::{MissingAt, StampedBy};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

fn table(name: &str) -> Arc<str> {
    Arc::from(name)
}

fn id(key: &str, lsn: u64, operation: Operation) -> ChangeId {
    ChangeId {
        table: table("public.orders"),
        key: Arc::from(key),
        lsn: Some(lsn),
        operation,
    }
}

fn config(has_group: bool, has_sink: bool) -> JoinerConfig {
    JoinerConfig {
        limit: 1_000,
        grace: Nanos(5 * SECOND),
        partitions: vec![2],
        has_group,
        sink_tables: has_sink
            .then(|| table("public.orders"))
            .into_iter()
            .collect(),
        reports_records: false,
    }
}

fn captured(id: ChangeId, at: i64) -> CapturedChange {
    CapturedChange {
        id,
        tc: Stamp(at),
        t1: Stamp(at + MS),
    }
}

fn recorded(id: ChangeId, partition: i32, offset: i64, at: i64) -> RecordedChange {
    RecordedChange {
        id,
        position: RecordPosition {
            topic: 0,
            partition,
            offset,
        },
        td: Some((Stamp(at), Nanos(1_000))),
        t2: Some(Stamp(at + 2 * MS)),
        stamped_by: StampedBy::Broker,
        t3: Stamp(at + 5 * MS),
    }
}

fn shown(key: &str, is_delete: bool, at: i64) -> SinkChange {
    SinkChange {
        table: table("public.orders"),
        key: Arc::from(key),
        is_delete,
        at: Stamp(at),
    }
}

#[test]
fn wal_and_record_meet_in_either_order() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    let (first, second) = (
        id("a", 8, Operation::Create),
        id("b", 16, Operation::Create),
    );
    joiner.captured(captured(first.clone(), 0));
    joiner.recorded(recorded(second.clone(), 0, 0, MS));
    joiner.recorded(recorded(first, 1, 0, MS));
    joiner.captured(captured(second, 0));
    let done = joiner.take_completed();
    assert_eq!(done.len(), 2);
    let hops = done[0].stamps.hops();
    assert_eq!(hops.debezium, Some(Nanos(MS + 500)));
    assert_eq!(hops.produce, Nanos(2 * MS + MS / 2 - 500));
    assert_eq!(hops.total, Nanos(3 * MS + MS / 2));
    assert_eq!(joiner.counts().in_flight, 0);
}

#[test]
fn rows_of_one_wal_record_are_told_apart_by_their_keys() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    for key in ["a", "b", "c"] {
        joiner.captured(captured(id(key, 8, Operation::Create), 0));
    }
    for (offset, key) in (0..).zip(["c", "a", "b", "a"]) {
        joiner.recorded(recorded(id(key, 8, Operation::Create), 0, offset, MS));
    }
    let keys: Vec<_> = joiner
        .take_completed()
        .into_iter()
        .map(|c| c.id.key)
        .collect();
    assert_eq!(keys, ["c", "a", "b"].map(Arc::from));
    assert_eq!(joiner.counts().duplicates, 1);
}

#[test]
fn records_without_a_position_are_joined_by_key_and_order() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    for (lsn, at) in [(8, 0), (16, 10 * MS)] {
        joiner.captured(captured(id("a", lsn, Operation::Update), at));
    }
    let bare = ChangeId {
        lsn: None,
        ..id("a", 0, Operation::Update)
    };
    for offset in 0..3 {
        joiner.recorded(recorded(bare.clone(), 0, offset, 20 * MS));
    }
    // The third came before its change.
    joiner.captured(captured(id("a", 24, Operation::Update), 30 * MS));
    let commits = joiner.take_completed();
    let commits: Vec<_> = commits.into_iter().map(|c| c.stamps.tc.0 / MS).collect();
    assert_eq!(commits, [0, 10, 30]);
}

#[test]
fn the_group_has_a_change_when_its_offset_is_beyond_it() {
    let mut joiner = ObservationJoiner::new(config(true, false));
    for (key, lsn, offset) in [("a", 8, 0), ("b", 16, 1)] {
        joiner.captured(captured(id(key, lsn, Operation::Create), 0));
        joiner.recorded(recorded(id(key, lsn, Operation::Create), 0, offset, 0));
    }
    joiner.committed(0, 0, 1, Stamp(30 * MS));
    assert_eq!(joiner.take_completed()[0].stamps.tg, Some(Stamp(30 * MS)));
    // A commit that we hear of before our reader has the record.
    joiner.committed(0, 0, 3, Stamp(40 * MS));
    joiner.captured(captured(id("c", 24, Operation::Create), 0));
    joiner.recorded(recorded(id("c", 24, Operation::Create), 0, 2, 0));
    let done = joiner.take_completed();
    assert_eq!(done.len(), 2);
    assert!(done.iter().all(|c| c.stamps.tg == Some(Stamp(40 * MS))));
}

#[test]
fn a_change_that_later_ones_have_overtaken_is_missing() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    for (key, lsn) in [("a", 8), ("lost", 16), ("b", 24), ("c", 32), ("last", 40)] {
        joiner.captured(captured(id(key, lsn, Operation::Create), 0));
    }
    for (key, lsn, partition) in [("a", 8, 0), ("b", 24, 0), ("c", 32, 1)] {
        joiner.recorded(recorded(id(key, lsn, Operation::Create), partition, 0, MS));
    }
    let missing = |joiner: &mut ObservationJoiner, second: i64| {
        joiner.judge(Stamp(second * SECOND), None);
        joiner.take_missing()
    };
    assert_eq!(missing(&mut joiner, 1), []);
    // Partition 0 has "b" and partition 1 has "c" behind it, but for how long?
    assert_eq!(missing(&mut joiner, 5), []);
    let found = missing(&mut joiner, 7);
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].id.key, "lost");
    assert_eq!(found[0].at, MissingAt::Topic);
    // Nothing has come after the last one.
    assert_eq!(missing(&mut joiner, 60), []);
    assert_eq!(joiner.counts().in_flight, 1);
}

#[test]
fn a_partition_that_is_idle_must_have_been_read_to_its_end() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    for (key, lsn) in [("lost", 8), ("a", 16)] {
        joiner.captured(captured(id(key, lsn, Operation::Create), 0));
    }
    joiner.recorded(recorded(id("a", 16, Operation::Create), 0, 0, MS));
    for second in [1, 7, 20] {
        joiner.judge(Stamp(second * SECOND), None);
        assert_eq!(joiner.take_missing(), []);
    }
    // It has records that our reader has not had.
    joiner.ends(0, 1, 4, Stamp(21 * SECOND));
    joiner.judge(Stamp(22 * SECOND), None);
    assert_eq!(joiner.take_missing(), []);
    joiner.ends(0, 1, 0, Stamp(22 * SECOND));
    joiner.judge(Stamp(23 * SECOND), None);
    assert_eq!(&*joiner.take_missing()[0].id.key, "lost");
}

#[test]
fn two_updates_and_one_write_are_both_resolved() {
    let mut joiner = ObservationJoiner::new(config(true, true));
    for (lsn, offset, operation) in [
        (8, 0, Operation::Create),
        (16, 1, Operation::Update),
        (24, 2, Operation::Update),
    ] {
        joiner.captured(captured(id("a", lsn, operation), 0));
        joiner.recorded(recorded(id("a", lsn, operation), 0, offset, 0));
    }
    joiner.shown(shown("a", false, 50 * MS));
    joiner.shown(shown("a", false, 60 * MS));
    assert_eq!(joiner.take_completed().len(), 2);
    joiner.committed(0, 0, 3, Stamp(70 * MS));
    for second in [1, 7, 13] {
        joiner.judge(Stamp(second * SECOND), None);
    }
    let third = joiner.take_completed();
    assert_eq!(third[0].stamps.t5, Some(Stamp(60 * MS)));
    assert_eq!(joiner.counts().coalesced, 1);
    assert_eq!(joiner.take_missing(), []);
}

#[test]
fn what_the_sink_never_shows_is_missing_unless_it_may_have_changed_nothing() {
    let mut joiner = ObservationJoiner::new(config(true, true));
    for (key, lsn, offset, operation) in [
        ("created", 8, 0, Operation::Create),
        ("updated", 16, 1, Operation::Update),
    ] {
        joiner.captured(captured(id(key, lsn, operation), 0));
        joiner.recorded(recorded(id(key, lsn, operation), 0, offset, 0));
    }
    // Its change was made before the observation.
    joiner.recorded(recorded(id("before", 4, Operation::Create), 0, 2, 0));
    joiner.shown(shown("elsewhere", false, 0));
    joiner.committed(0, 0, 3, Stamp(70 * MS));
    for second in [1, 7, 20] {
        joiner.judge(Stamp(second * SECOND), None);
    }
    let missing = joiner.take_missing();
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (&*missing[0].id.key, missing[0].at),
        ("created", MissingAt::Sink)
    );
    let counts = joiner.counts();
    assert_eq!(
        (counts.not_shown, counts.sink_only, counts.in_flight),
        (1, 1, 0)
    );
}

#[test]
fn a_change_from_before_is_not_covered_and_one_that_left_is_a_duplicate() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    joiner.recorded(recorded(id("before", 8, Operation::Create), 0, 0, 0));
    joiner.captured(captured(id("a", 16, Operation::Create), 0));
    for offset in 1..3 {
        joiner.recorded(recorded(id("a", 16, Operation::Create), 0, offset, 0));
    }
    joiner.judge(Stamp(20 * SECOND), Some(Stamp(3 * SECOND)));
    assert_eq!(joiner.counts().not_covered, 0);
    joiner.judge(Stamp(20 * SECOND), Some(Stamp(20 * SECOND)));
    let counts = joiner.counts();
    assert_eq!((counts.not_covered, counts.duplicates), (1, 1));
    assert_eq!((counts.completed, counts.missing), (1, 0));
}

#[test]
fn beyond_its_limit_it_follows_a_sample_and_holds_no_more() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    let all = 20_000_u64;
    for n in 0..all {
        joiner.captured(captured(id(&n.to_string(), n * 8, Operation::Create), 0));
        assert!(joiner.counts().in_flight <= 1_000);
    }
    for (offset, n) in (0..).zip(0..all) {
        let key = n.to_string();
        joiner.recorded(recorded(id(&key, n * 8, Operation::Create), 0, offset, 0));
    }
    let counts = joiner.counts();
    assert!(!joiner.follows_all());
    assert_eq!((counts.captured, counts.in_kafka), (all, all));
    assert_eq!((counts.in_flight, counts.duplicates), (0, 0));
    assert!((200..1_000).contains(&counts.completed), "{counts:?}");
    joiner.judge(Stamp(60 * SECOND), Some(Stamp(60 * SECOND)));
    joiner.judge(Stamp(70 * SECOND), Some(Stamp(70 * SECOND)));
    assert_eq!(joiner.counts().missing, 0);
}

mod keys;
mod lines;
