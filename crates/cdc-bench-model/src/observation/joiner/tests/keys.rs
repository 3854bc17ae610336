//! A sink whose rows have other keys than their changes.

use super::*;

fn joined(in_sink: impl Fn(u64) -> String) -> ObservationJoiner {
    let mut joiner = ObservationJoiner::new(config(false, true));
    for n in 0..30 {
        let id = id(&format!("{{\"id\":{n}}}"), 8 + n * 8, Operation::Create);
        joiner.shown(shown(&in_sink(n), false, MS));
        joiner.captured(captured(id.clone(), 0));
        joiner.recorded(recorded(id, 0, i64::try_from(n).unwrap(), 0));
    }
    joiner
}

#[test]
fn other_keys_are_told_once_in_both_forms() {
    let mut joiner = joined(|n| format!("{{\"$oid\":\"{n}\"}}"));
    let other = joiner.take_other_keys().unwrap();
    assert_eq!(&*other.in_sink, "{\"$oid\":\"29\"}");
    assert_eq!(&*other.in_record, "{\"id\":29}");
    assert_eq!(joiner.take_other_keys(), None);
}

#[test]
fn a_number_that_became_a_text_is_another_key() {
    let mut joiner = joined(|n| format!("{{\"id\":\"{n}\"}}"));
    assert!(joiner.take_other_keys().is_some());
}

#[test]
fn a_sink_that_is_behind_writes_rows_of_other_changes() {
    let mut joiner = joined(|n| format!("{{\"id\":{}}}", n + 1_000));
    assert_eq!(joiner.take_other_keys(), None);
}

#[test]
fn writes_that_come_before_their_records_have_the_same_keys() {
    let mut joiner = joined(|n| format!("{{\"id\":{n}}}"));
    assert_eq!(joiner.take_completed().len(), 30);
    assert_eq!(joiner.take_other_keys(), None);
}
