//! `capture` as a command.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "capture_of_a_number_of_changes_acknowledges_what_it_wrote",
        max_is_acknowledged,
    ),
    (
        "capture_into_a_slow_pipe_acknowledges_while_it_writes",
        slow_pipe,
    ),
    ("capture_resumes_at_its_slot", goes_on),
    ("capture_writes_the_formats_it_is_asked_for", formats),
    (
        "capture_that_is_stopped_has_acknowledged_what_it_wrote",
        stopped,
    ),
    ("capture_whose_reader_goes_away_ends", pipe_closed),
    ("capture_begins_with_the_rows_that_are_there", with_rows),
    ("capture_reports_what_is_wrong", refused),
];

pub fn capture(stack: &TestStack, args: &[&str]) -> Command {
    let mut command = with(stack.external(), &["capture"]);
    // PostgreSQL is all it needs.
    for name in ["KAFKA_BOOTSTRAP_SERVERS", "CONNECT_URL", "MONGODB_URI"] {
        command.env_remove(name);
    }
    command.args(args);
    command
}

pub fn lines(end: &Ended) -> Vec<Value> {
    assert_eq!(end.code, 0, "{}", end.err);
    end.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn ids(lines: &[Value]) -> Vec<i64> {
    lines
        .iter()
        .map(|line| line["after"]["id"].as_i64().unwrap())
        .collect()
}

/// Drops slots, publications, and these tables.
pub fn drop_all(stack: &TestStack, tables: &str) {
    until("the slot to be free", || {
        stack.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active",
        );
        stack.sql("SELECT 1 FROM pg_replication_slots").is_empty()
    });
    for publication in stack.sql("SELECT quote_ident(pubname) FROM pg_publication") {
        stack.sql(&format!("DROP PUBLICATION {publication}"));
    }
    stack.sql(&format!("DROP TABLE {tables}"));
}

fn away(stack: &TestStack) {
    drop_all(stack, "t");
}

pub fn publications(stack: &TestStack) -> Vec<String> {
    stack.sql("SELECT pubname FROM pg_publication ORDER BY 1")
}

pub fn slots(stack: &TestStack) -> Vec<String> {
    stack.sql("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
}

fn goes_on(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let so_far = || {
        lines(&ended(capture(
            stack,
            &["t", "--slot", "mine", "--until", "now"],
        )))
    };
    assert_eq!(so_far(), [Value::Null; 0]);
    stack.sql("INSERT INTO t VALUES (1), (2)");
    assert_eq!(ids(&so_far()), [1, 2]);
    assert_eq!(so_far(), [Value::Null; 0]);
    stack.sql("INSERT INTO t VALUES (3)");
    stack.sql("INSERT INTO t VALUES (4), (5)");
    // It ends with the transaction in which the second change comes, and all of that is acknowledged.
    let two = lines(&ended(capture(
        stack,
        &["t", "--slot", "mine", "--max", "2"],
    )));
    assert_eq!(ids(&two), [3, 4, 5]);
    assert_eq!(so_far(), [Value::Null; 0]);
    // A skipped change stays skipped.
    stack.sql("INSERT INTO t VALUES (6)");
    let now = ["t", "--slot", "mine", "--from", "now", "--until", "now"];
    assert_eq!(lines(&ended(capture(stack, &now))), [Value::Null; 0]);
    let folder = open_folder();
    let file = folder.path().join("t.lsn").display().to_string();
    stack.sql("INSERT INTO t VALUES (7)");
    let kept = [
        "t",
        "--slot",
        "mine",
        "--checkpoint",
        &file,
        "--until",
        "now",
    ];
    assert_eq!(ids(&lines(&ended(capture(stack, &kept)))), [7]);
    assert!(std::fs::read_to_string(&file).unwrap().contains('/'));
    away(stack);
}

fn formats(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, price numeric(10,2), doc jsonb)");
    // Three slots read the same changes.
    for slot in ["a", "b", "c"] {
        ended(capture(stack, &["t", "--slot", slot, "--until", "now"]));
    }
    stack.sql("INSERT INTO t VALUES (1, 1.5, '{\"a\": [1]}')");
    stack.sql("DELETE FROM t");
    let of = |slot: &str, more: &[&str]| {
        let args = [&["t", "--slot", slot, "--until", "now"], more].concat();
        lines(&ended(capture(stack, &args)))
    };
    let plain = of("a", &["--format", "flat"]);
    assert_eq!(
        plain[0]["new"],
        serde_json::json!({ "id": 1, "price": "1.50", "doc": { "a": [1] } })
    );
    assert_eq!(
        (&plain[0]["op"], &plain[1]["op"], &plain[1]["old"]),
        (
            &"insert".into(),
            &"delete".into(),
            &serde_json::json!({ "id": 1 })
        )
    );
    let records = of(
        "b",
        &[
            "--format",
            "debezium-records",
            "--topic-prefix",
            "shop",
            "--decimal-handling",
            "string",
        ],
    );
    assert_eq!(records.len(), 3, "with a tombstone");
    assert_eq!(records[0]["topic"], "shop.public.t");
    assert_eq!(records[0]["value"]["after"]["price"], "1.50");
    assert_eq!(
        (&records[2]["key"]["id"], &records[2]["value"]),
        (&1.into(), &Value::Null)
    );
    let values = of("c", &[]);
    assert_eq!(
        (&values[0]["op"], &values[1]["op"]),
        (&"c".into(), &"d".into())
    );
    assert_eq!(
        values[0]["after"]["doc"], "{\"a\": [1]}",
        "a text, as Debezium has it"
    );
    away(stack);
}

fn stopped(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY)");
    let mut running = capture(stack, &["t", "--slot", "mine"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the slot to be active", || {
        stack.sql("SELECT active FROM pg_replication_slots") == ["t"]
    });
    stack.sql("INSERT INTO t SELECT n FROM generate_series(1, 1000) n");
    let mut out = BufReader::new(running.stdout.take().unwrap()).lines();
    // A line is written as soon as its transaction is committed, though nothing follows it.
    assert!(out.next().unwrap().is_ok());
    signal(id(&running), Signal::SIGTERM);
    assert_eq!(1 + out.count(), 1000);
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let rest = lines(&ended(capture(
        stack,
        &["t", "--slot", "mine", "--until", "now"],
    )));
    assert_eq!(rest, [Value::Null; 0], "acknowledged");
    away(stack);
}

fn pipe_closed(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, pad text)");
    ended(capture(stack, &["t", "--slot", "mine", "--until", "now"]));
    stack.sql("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n");
    let mut running = capture(stack, &["t", "--slot", "mine"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap()).lines();
    assert!(out.next().unwrap().is_ok());
    drop(out);
    assert_eq!(running.wait().unwrap().code(), Some(0));
    let again = lines(&ended(capture(
        stack,
        &["t", "--slot", "mine", "--until", "now"],
    )));
    assert_eq!(again.len(), 20_000, "nobody had the whole transaction");
    away(stack);
}

fn with_rows(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1), (2)");
    let folder = open_folder();
    let file = folder.path().join("t.progress").display().to_string();
    let whole = [
        "t", "--slot", "mine", "--from", "snapshot", "--until", "now",
    ];
    ended(capture(stack, &whole)).refused(2, &["--checkpoint FILE"]);
    let kept = [&whole[..], &["--checkpoint", &file]].concat();
    let rows = lines(&ended(capture(stack, &kept)));
    assert_eq!(ids(&rows), [1, 2]);
    assert!(rows.iter().all(|row| row["op"] == "r"));
    let places = [&rows[0], &rows[1]].map(|row| row["source"]["snapshot"].as_str().unwrap());
    assert_eq!(places, ["first", "last"]);
    stack.sql("INSERT INTO t VALUES (3)");
    let later = lines(&ended(capture(stack, &kept)));
    assert_eq!(ids(&later), [3], "no row is copied twice");
    assert_eq!(later[0]["op"], "c");
    // Without a slot of its own nothing is left on the server.
    let plain = ["t", "--from", "snapshot", "--format", "flat", "--max", "3"];
    let plain = lines(&ended(capture(stack, &plain)));
    assert_eq!(plain.len(), 3);
    assert_eq!(plain[0]["op"], "read");
    away(stack);
}

fn refused(stack: &TestStack) {
    ended(capture(stack, &["t", "--output", "kafka"])).refused(2, &["KAFKA_BOOTSTRAP_SERVERS"]);
    ended(capture(
        stack,
        &["t", "--output", "kafka", "--format", "flat"],
    ))
    .refused(2, &["flat"]);
    stack.sql("CREATE TABLE t (id int PRIMARY KEY)");
    ended(capture(stack, &["nosuch"])).refused(3, &["nosuch"]);
    ended(capture(stack, &["t", "--publication", "p"])).refused(2, &["cannot be used with"]);
    ended(capture(stack, &["--publication", "nosuch"]))
        .refused(3, &["CREATE PUBLICATION \"nosuch\""]);
    ended(capture(stack, &["t", "--slot", "No"])).refused(2, &["lower-case"]);
    let mut wrong = capture(stack, &["t"]);
    wrong.env("POSTGRES_PASSWORD", "certainly-wrong");
    let wrong = ended(wrong);
    wrong.refused(3, &["password"]);
    assert!(!wrong.err.contains("certainly-wrong"));
    assert!(
        stack
            .sql("SELECT slot_name FROM pg_replication_slots")
            .is_empty()
    );
    assert!(stack.sql("SELECT pubname FROM pg_publication").is_empty());
    stack.sql("DROP TABLE t");
}

fn max_is_acknowledged(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5)");
    let folder = open_folder();
    let file = folder.path().join("t.progress").display().to_string();
    let next = |args: &[&str]| ids(&lines(&ended(capture(stack, &[&["t"], args].concat()))));
    // A copy with a slot ends with the table, and is not repeated.
    let kept = [
        "--slot",
        "mine",
        "--from",
        "snapshot",
        "--checkpoint",
        &file,
        "--max",
        "2",
    ];
    assert_eq!(next(&kept), [1, 2, 3, 4, 5]);
    stack.sql("INSERT INTO t SELECT generate_series(6, 15)");
    stack.sql("INSERT INTO t VALUES (16)");
    stack.sql("INSERT INTO t VALUES (17)");
    assert_eq!(next(&kept), (6..=15).collect::<Vec<_>>());
    for id in [16, 17] {
        assert_eq!(
            next(&["--slot", "mine", "--checkpoint", &file, "--max", "1"]),
            [id]
        );
    }
    // Without a slot nothing is acknowledged: a copy ends with the row.
    assert_eq!(next(&["--from", "snapshot", "--max", "2"]).len(), 2);
    away(stack);
}

fn slow_pipe(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, pad text)");
    ended(capture(stack, &["t", "--slot", "mine", "--until", "now"]));
    for batch in 0..200 {
        stack.sql(&format!(
            "INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series({batch} * 50 + 1, {batch} * 50 + 50) n"
        ));
    }
    let confirmed = || {
        let lsn = stack.sql("SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots");
        lsn[0].parse::<u64>().unwrap()
    };
    let before = confirmed();
    let mut running = capture(stack, &["t", "--slot", "mine"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Some 1 MB/s of 13 MB: the queue is never empty.
    let mut out = running.stdout.take().unwrap();
    let mut part = vec![0; 64 * 1024];
    let began = std::time::Instant::now();
    let mut total = 0;
    while confirmed() == before {
        let count = std::io::Read::read(&mut out, &mut part).unwrap();
        total += count;
        assert!(
            total < 8_000_000,
            "nothing acknowledged after {total} bytes"
        );
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    assert!(began.elapsed().as_secs() < 20);
    running.kill().unwrap();
    running.wait().unwrap();
    away(stack);
}
