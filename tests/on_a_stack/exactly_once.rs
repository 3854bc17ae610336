//! What is once in a topic, not only in the store: the records of our producer, which is idempotent, and those of a Connect that delivers
//! exactly once.

use super::Test;
use super::random::Random;
use super::random_cuts::{assert_once_in_kafka, assert_sound, broken, run, seed};
use super::stack::command::{ended, small_run};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[(
    "exactly_once_is_refused_where_connect_does_not_support_it_before_anything_is_made",
    refused,
)];

/// Each takes a minute or two, on servers of its own.
pub const LONG_TESTS: &[Test] = &[
    (
        "exactly_once_our_producer_leaves_no_record_twice_under_cuts_in_mid_batch",
        idempotent,
    ),
    (
        "exactly_once_a_killed_connect_leaves_no_record_twice",
        killed_connect,
    ),
];

fn refused(stack: &TestStack) {
    let results = open_folder();
    let own = "--connector-config=exactly.once.support=required";
    for arg in ["--connect-exactly-once", own] {
        let before = stack.resources();
        let end = ended(small_run(
            stack.kept(),
            results.path(),
            &["--events", "5", arg],
        ));
        end.refused(3, &["exactly once", "exactly.once.source.support=enabled"]);
        stack.assert_nothing_left(arg);
        let left: Vec<_> = stack.resources().difference(&before).cloned().collect();
        assert!(
            left.iter().all(|thing| thing.starts_with("collection ")),
            "{left:?}"
        );
    }
    let args = ["--connect-exactly-once", "--capture", "wal"];
    let end = ended(small_run(stack.kept(), results.path(), &args));
    end.refused(2, &["--capture debezium or both"]);
    assert_eq!(std::fs::read_dir(results.path()).unwrap().count(), 0);
}

/// What the broker has and whose acknowledgement is lost in a cut link is sent again. A delay of the link keeps batches on their way, so
/// that most cuts find some; without `enable.idempotence` this fails.
fn idempotent(_: &TestStack) {
    let seed = seed();
    eprintln!("seed {seed}");
    let mut random = Random::new(seed);
    let mut faults = vec!["delay:reader-kafka@0s,by=10ms,for=60s".to_owned()];
    for number in 0..100 {
        let at = 1_000 + number * 200 + random.below(150);
        faults.push(match random.below(2) {
            0 => format!("reset:reader-kafka@{at}ms"),
            _ => format!("cut:reader-kafka@{at}ms,for=30ms"),
        });
    }
    let args = [
        "--capture",
        "wal",
        "--events",
        "11000",
        "--rate",
        "500",
        "--warmup",
        "100",
    ];
    let report = run(&args, &faults);
    let counts = &report["paths"]["wal"]["counts"];
    eprintln!("broken {:?}, {counts}", broken(&report));
    assert_sound(&report);
    assert!(broken(&report)["reader-kafka"] >= 50, "{report:#}");
    assert_once_in_kafka(&report, "wal");
    assert_eq!(counts["duplicates"], 0, "{counts}");
}

/// Connect commits the position of its connector once a second, and after a crash sends again what came since; in a transaction the
/// position goes with the records.
fn killed_connect(_: &TestStack) {
    let faults = ["30%", "60%"].map(|moment| format!("kill:connect@{moment}"));
    let args = |exactly_once: &'static [&'static str]| {
        let args = ["--events", "3000", "--rate", "100", "--warmup", "100"];
        [
            &args[..],
            &["--capture", "debezium", "--drain-timeout", "90"],
            exactly_once,
        ]
        .concat()
    };
    let report = run(&args(&[]), &faults);
    let counts = &report["counts"];
    eprintln!("without: {counts}");
    assert_sound(&report);
    assert!(
        counts["in_kafka"].as_u64() > counts["inserted"].as_u64(),
        "{counts}"
    );
    let report = run(&args(&["--connect-exactly-once"]), &faults);
    let counts = &report["counts"];
    eprintln!("with: {counts}");
    assert_sound(&report);
    assert_once_in_kafka(&report, "debezium");
    assert_eq!(counts["duplicates"], 0, "{counts}");
    let environment = &report["environment"];
    let connector = &environment["debezium"]["connector"]["config"];
    assert_eq!(connector["exactly.once.support"], "required");
    assert_eq!(
        environment["kafka"]["consumer"]["isolation.level"],
        "read_committed"
    );
}
