//! Samples of changes whose records carry no LSN.

use super::*;

/// What is in flight must not be taken for another change of its row, whichever of them are followed.
#[test]
fn beyond_its_limit_records_without_a_position_are_joined_with_their_own_changes() {
    let mut joiner = ObservationJoiner::new(config(false, false));
    let key = |n: i64| (n % 700).to_string();
    let bare = |n: i64| ChangeId {
        lsn: None,
        ..id(&key(n), 0, Operation::Update)
    };
    let lsn = |n: i64| n.unsigned_abs() * 8;
    let mut done = Vec::new();
    // The record of a change comes when 3,000 others have been committed, which is beyond the limit.
    for n in 0..20_000_i64 {
        joiner.captured(captured(id(&key(n), lsn(n), Operation::Update), n * MS));
        if let Some(n) = n.checked_sub(3_000).filter(|n| *n >= 0) {
            joiner.recorded(recorded(bare(n), 0, n, (n + 3_000) * MS));
        }
        done.append(&mut joiner.take_completed());
    }
    assert!(!joiner.follows_all());
    assert!(joiner.held() <= 1_000);
    // The first records came when changes of all rows had been left out already.
    let settled = done.iter().filter(|change| change.position.offset > 6_000);
    let mut weights = 0;
    for change in settled.clone() {
        let own = change.position.offset.unsigned_abs() * 8;
        assert_eq!(change.id.lsn, Some(own), "{change:?}");
        weights += change.weight;
    }
    // 11,000 changes, by the rows of a quarter.
    assert!(
        (7_000..15_000).contains(&weights),
        "{weights} by {}",
        settled.count()
    );
    let counts = joiner.counts();
    assert_eq!((counts.missing, counts.duplicates), (0, 0), "{counts:?}");
}

#[test]
fn beyond_its_limit_the_sink_is_joined_by_row_still() {
    let mut joiner = ObservationJoiner::new(config(false, true));
    let bare = |n: u64| ChangeId {
        lsn: None,
        ..id(&(n % 700).to_string(), 0, Operation::Update)
    };
    for n in 0..5_000_u64 {
        let key = (n % 700).to_string();
        joiner.captured(captured(id(&key, n * 8, Operation::Update), 0));
    }
    for (offset, n) in (0..).zip(0..5_000) {
        joiner.recorded(recorded(bare(n), 0, offset, 0));
        joiner.shown(shown(&(n % 700).to_string(), false, MS));
    }
    joiner.judge(Stamp(60 * SECOND), Some(Stamp(60 * SECOND)));
    joiner.judge(Stamp(70 * SECOND), Some(Stamp(70 * SECOND)));
    let counts = joiner.counts();
    assert!(!joiner.follows_all());
    assert_eq!((counts.missing, counts.duplicates), (0, 0), "{counts:?}");
    assert!(joiner.held() <= 1_000);
}
