mod by_row;
mod keys;
mod lines;

use super::*;
use crate::observation::{MissingAt, SinkChange, StampedBy};

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
        without_deletions: HashSet::new(),
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
        stored: None,
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
    for second in [1, 7, 13] {
        joiner.judge(Stamp(second * SECOND), None);
        assert_eq!(joiner.take_missing(), [], "it may be writing still");
    }
    for second in [22, 30] {
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
        assert!(joiner.held() <= 1_000);
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

/// Half of the changes come while all are followed, half while few are: each stands for as many as were left out.
#[test]
fn a_sample_that_changes_in_mid_course_is_weighed() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    let (mut quick, mut slow) = (0, 0);
    let mut offset = 0;
    let mut pass = |joiner: &mut ObservationJoiner, range: std::ops::Range<u64>, backlog: bool| {
        let change = |n: u64| id(&n.to_string(), n * 8, Operation::Create);
        let mut record = |joiner: &mut ObservationJoiner, n| {
            joiner.recorded(recorded(change(n), 0, offset, 0));
            offset += 1;
        };
        for n in range.clone() {
            joiner.captured(captured(change(n), 0));
            if !backlog {
                record(joiner, n);
            }
        }
        if backlog {
            range.for_each(|n| record(joiner, n));
        }
        let done = joiner.take_completed();
        let weight: u64 = done.iter().map(|change| change.weight).sum();
        (done.len(), weight)
    };
    for n in 0..20 {
        quick += pass(&mut joiner, n * 1_000..(n + 1) * 1_000, false).1;
    }
    assert_eq!(quick, 20_000);
    let (followed, weight) = pass(&mut joiner, 20_000..40_000, true);
    slow += weight;
    assert!(followed < 1_000, "{followed}");
    assert!((17_000..23_000).contains(&slow), "{slow}");

    // Once there is room again, all are followed: those from a position on that no tap had shown.
    let mut number = 40_000;
    for second in 0..120 {
        joiner.judge(Stamp(second * SECOND), None);
        let (followed, weight) = pass(&mut joiner, number..number + 100, false);
        number += 100;
        assert!(
            second < 100 || (followed, weight) == (100, 100),
            "{second}: {followed}"
        );
    }
    assert!(!joiner.follows_all());
    assert_eq!(joiner.counts().in_flight, 0);
}

#[test]
fn halves_of_a_keys_update_are_not_mistaken_for_each_other_however_late_the_wal_is() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    let delete = id(r#"{"id":1}"#, 8, Operation::Delete);
    let create = id(r#"{"id":2}"#, 8, Operation::Create);
    joiner.captured(captured(delete.clone(), 0));
    // Another partition, which is read sooner than the rest of the WAL.
    joiner.recorded(recorded(create.clone(), 1, 0, MS));
    joiner.recorded(recorded(delete.clone(), 0, 0, MS));
    joiner.captured(captured(create.clone(), 0));
    let done: Vec<_> = joiner.take_completed().into_iter().map(|c| c.id).collect();
    assert_eq!(done, [delete, create]);
    assert_eq!(joiner.counts().duplicates, 0);
}

#[test]
fn a_key_in_another_form_is_joined_by_its_lsn_and_a_duplicate_of_it_is_found() {
    let mut joiner = ObservationJoiner::new(config(false, true));
    joiner.captured(captured(id(r#"{"id":1}"#, 8, Operation::Create), 0));
    let routed = id(r#"{"id":1,"table":"a"}"#, 8, Operation::Create);
    joiner.recorded(recorded(routed.clone(), 0, 0, MS));
    joiner.recorded(recorded(routed.clone(), 0, 1, MS));
    joiner.shown(shown(&routed.key, false, 9 * MS));
    joiner.recorded(recorded(routed, 0, 2, MS));
    let counts = joiner.counts();
    assert_eq!((counts.completed, counts.duplicates), (1, 2), "{counts:?}");
}

#[test]
fn a_change_is_not_missing_whose_record_may_be_one_that_could_not_be_read() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    for (key, lsn) in [("unread", 8), ("lost", 16), ("a", 24), ("b", 32)] {
        joiner.captured(captured(id(key, lsn, Operation::Create), 0));
    }
    joiner.unreadable(RecordPosition {
        topic: 0,
        partition: 0,
        offset: 0,
    });
    for (key, lsn, partition) in [("a", 24, 1), ("b", 32, 0)] {
        joiner.recorded(recorded(id(key, lsn, Operation::Create), partition, 1, MS));
    }
    joiner.ends(0, 1, 2, Stamp(8 * SECOND));
    for second in [1, 7, 9] {
        joiner.judge(Stamp(second * SECOND), None);
    }
    let counts = joiner.counts();
    assert_eq!(
        (counts.unreadable, counts.unread, counts.missing),
        (1, 1, 1)
    );
}

#[test]
fn a_record_is_not_covered_once_a_later_commit_was_captured() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    joiner.recorded(recorded(id("in_the_gap", 8, Operation::Create), 0, 0, 0));
    joiner.captured(captured(id("a", 16, Operation::Create), 2 * SECOND));
    joiner.judge(Stamp(20 * SECOND), None);
    assert_eq!(joiner.counts().not_covered, 0);
    joiner.captured(captured(id("b", 24, Operation::Create), 15 * SECOND));
    joiner.judge(Stamp(20 * SECOND), None);
    assert_eq!(joiner.counts().not_covered, 1);
}

#[test]
fn a_marker_at_the_end_of_a_partition_is_read_as_the_records_are() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    for (key, lsn) in [("lost", 8), ("a", 16)] {
        joiner.captured(captured(id(key, lsn, Operation::Create), 0));
    }
    joiner.recorded(recorded(id("a", 16, Operation::Create), 0, 0, MS));
    let missing = |joiner: &mut ObservationJoiner, second: i64| {
        joiner.ends(0, 1, 5, Stamp((second - 1) * SECOND));
        joiner.judge(Stamp(second * SECOND), None);
        joiner.take_missing().len()
    };
    // Partition 1 ends with a transaction's marker, which comes as no record.
    assert_eq!(missing(&mut joiner, 1), 0);
    assert_eq!(missing(&mut joiner, 8), 0);
    joiner.read_up_to(RecordPosition {
        topic: 0,
        partition: 1,
        offset: 5,
    });
    assert_eq!(missing(&mut joiner, 9), 1);
}

#[test]
fn what_the_sink_showed_while_its_tap_was_cut_is_not_missing() {
    let mut joiner = ObservationJoiner::new(config(true, true));
    for (offset, key) in ["cut", "lost", "seen"].into_iter().enumerate() {
        let offset = i64::try_from(offset).unwrap();
        let lsn = 8 * (1 + offset.unsigned_abs());
        joiner.captured(captured(id(key, lsn, Operation::Create), offset * SECOND));
        let change = id(key, lsn, Operation::Create);
        joiner.recorded(recorded(change, 0, offset, offset * SECOND));
        if key == "cut" {
            joiner.sink_skipped(Stamp(SECOND / 2));
        }
    }
    joiner.committed(0, 0, 3, Stamp(3 * SECOND));
    joiner.shown(shown("seen", false, 3 * SECOND));
    for second in [4, 20, 30] {
        joiner.judge(Stamp(second * SECOND), None);
    }
    let missing = joiner.take_missing();
    assert_eq!(missing.len(), 1);
    assert_eq!(&*missing[0].id.key, "lost");
    let counts = joiner.counts();
    assert_eq!((counts.not_shown, counts.completed), (1, 1), "{counts:?}");
}
