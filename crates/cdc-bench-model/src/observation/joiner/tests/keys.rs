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

#[test]
fn keys_of_one_form_are_others_when_their_changes_do_not_come() {
    let mut joiner = joined(|n| format!("{{\"id\":{}}}", n + 1_000));
    assert_eq!(joiner.take_other_keys(), None);
    // The group has passed them, and the sink has shown nothing of them for long.
    for partition in 0..2 {
        joiner.committed(0, partition, 30, Stamp(MS));
    }
    for second in 0..40 {
        joiner.judge(Stamp(second * SECOND), None);
    }
    let other = joiner.take_other_keys().unwrap();
    assert_eq!(&*other.in_sink, "{\"id\":1029}");
    assert_eq!(joiner.take_other_keys(), None);
}

#[test]
fn each_table_has_keys_of_its_own() {
    let mut joiner = joined(|n| format!("\"{n}\""));
    let customers = |key: &str| SinkChange {
        table: table("public.customers"),
        ..shown(key, false, MS)
    };
    joiner.shown(customers("{\"id\":1}"));
    let other = joiner.take_other_keys().unwrap();
    assert_eq!(&*other.table, "public.orders");
}
