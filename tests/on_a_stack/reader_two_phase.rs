//! Transactions that are prepared, and how they end.

use std::time::Duration;

use nix::sys::signal::Signal;
use pgcdc::{
    Acknowledge, FileCheckpoint, Origins, ReaderConfig, ReaderError, SnapshotConfig, SpoolConfig,
};

use super::Test;
use super::proxy::Proxy;
use super::reader::{Reading, Table, drop_it, permanent, server, server_at};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "reader_prepared_transactions_come_when_they_are_prepared_and_their_end_when_it_comes",
        prepared,
    ),
    (
        "reader_prepared_transactions_come_once_however_often_the_stream_or_the_server_ends",
        cuts,
    ),
    (
        "reader_two_phase_that_the_slot_or_a_copy_does_not_go_with_is_an_error",
        refusals,
    ),
];

/// The server takes prepared transactions, which it does not by default, until this is dropped.
pub struct Preparing<'a>(&'a TestStack);

impl<'a> Preparing<'a> {
    pub fn on(stack: &'a TestStack) -> Self {
        stack.sql("ALTER SYSTEM SET max_prepared_transactions = 10");
        restart(stack, "10");
        Self(stack)
    }
}

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.sql("ALTER SYSTEM RESET max_prepared_transactions");
            restart(self.0, "0");
        }
    }
}

fn restart(stack: &TestStack, most_prepared: &str) {
    stack.end("postgres", Signal::SIGINT);
    until("the server with its setting", || {
        let shown = stack.try_sql("SHOW max_prepared_transactions");
        shown.is_some_and(|shown| shown == [most_prepared])
    });
}

fn config(stack: &TestStack) -> ReaderConfig {
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.two_phase = true;
    config.status_interval = Duration::from_millis(50);
    config
}

/// Runs commands in one session, each by itself.
fn session(stack: &TestStack, commands: &[&str]) {
    stack.block_on(async {
        let client = stack.connect().await;
        for command in commands {
            client.batch_execute(command).await.unwrap();
        }
    });
}

fn until_came(reading: &Reading, last: &str) {
    until("the event", || {
        assert_eq!(reading.reader.error().map(|e| e.to_string()), None);
        reading.so_far().iter().any(|event| event == last)
    });
}

fn prepared(stack: &TestStack) {
    if stack.postgres_version() < 15 {
        return;
    }
    let _preparing = Preparing::on(stack);
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int)",
    );
    let reading = Reading::start(stack, config(stack)).unwrap();
    session(
        stack,
        &[
            "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; PREPARE TRANSACTION 'a'",
            "INSERT INTO t VALUES (3)",
            "BEGIN; INSERT INTO u VALUES (1); PREPARE TRANSACTION 'elsewhere'",
            "COMMIT PREPARED 'a'",
            "BEGIN; INSERT INTO t VALUES (4); PREPARE TRANSACTION 'a'",
        ],
    );
    // One that is rolled back before it is decoded comes without some of its rows.
    until("the second one", || {
        let came = reading.so_far();
        came.iter()
            .filter(|event| *event == "prepare a of 1")
            .count()
            == 2
    });
    session(
        stack,
        &[
            "ROLLBACK PREPARED 'a'",
            "COMMIT PREPARED 'elsewhere'",
            "BEGIN; INSERT INTO t VALUES (5); PREPARE TRANSACTION 'open'",
        ],
    );
    until_came(&reading, "prepare open of 1");
    let expected = [
        "begin",
        "insert#0 t (1)",
        "prepare a of 1",
        "begin",
        "insert#0 t (3)",
        "commit of 1",
        "begin",
        "prepare elsewhere of 0",
        "commit prepared a",
        "begin",
        "insert#0 t (4)",
        "prepare a of 1",
        "rollback prepared a",
        "commit prepared elsewhere",
        "begin",
        "insert#0 t (5)",
        "prepare open of 1",
    ];
    assert_eq!(reading.so_far(), expected);
    reading.reader.stop().unwrap();
    // What is acknowledged as prepared does not come again when it commits.
    let mut manual = config(stack);
    manual.acknowledge = Acknowledge::Manual;
    let reading = Reading::start(stack, manual).unwrap();
    let commands = [
        "COMMIT PREPARED 'open'",
        "BEGIN; INSERT INTO t VALUES (6); PREPARE TRANSACTION 'b'",
    ];
    session(stack, &commands);
    until_came(&reading, "prepare b of 1");
    let expected = [
        "commit prepared open",
        "begin",
        "insert#0 t (6)",
        "prepare b of 1",
    ];
    assert_eq!(reading.so_far(), expected);
    reading.reader.stop().unwrap();
    // Nothing of it was acknowledged; meanwhile the transaction has ended.
    session(stack, &["COMMIT PREPARED 'b'"]);
    let reading = Reading::start(stack, config(stack)).unwrap();
    until_came(&reading, "commit prepared b");
    assert_eq!(
        reading.so_far(),
        [&expected[..], &["commit prepared b"]].concat()
    );
    reading.reader.stop().unwrap();
    drop_it(stack);
    if stack.postgres_version() >= 16 {
        of_this_server_alone(stack);
    }
}

fn of_this_server_alone(stack: &TestStack) {
    let mut local = config(stack);
    local.origins = Origins::Local;
    let reading = Reading::start(stack, local).unwrap();
    stack.sql("SELECT pg_replication_origin_create('elsewhere')");
    session(
        stack,
        &[
            "SELECT pg_replication_origin_session_setup('elsewhere')",
            "BEGIN; INSERT INTO t VALUES (7); PREPARE TRANSACTION 'theirs'",
            "COMMIT PREPARED 'theirs'",
        ],
    );
    session(
        stack,
        &["BEGIN; INSERT INTO t VALUES (8); PREPARE TRANSACTION 'ours'"],
    );
    until_came(&reading, "prepare ours of 1");
    session(stack, &["ROLLBACK PREPARED 'ours'"]);
    until_came(&reading, "rollback prepared ours");
    let expected = [
        "begin",
        "insert#0 t (8)",
        "prepare ours of 1",
        "rollback prepared ours",
    ];
    assert_eq!(reading.so_far(), expected);
    reading.reader.stop().unwrap();
    drop_it(stack);
    until("the origin to be free", || {
        let drop = "SELECT pg_replication_origin_drop('elsewhere')";
        stack.try_sql(drop).is_some()
    });
}

/// What a prepared transaction of these ids leads to, up to its end.
fn events(gid: &str, ids: std::ops::Range<u64>) -> Vec<String> {
    let count = ids.end - ids.start;
    let row = |(index, id)| format!("insert#{index} t ({id},{})", "p".repeat(200));
    let mut events = vec!["begin".to_owned()];
    events.extend((0_u64..).zip(ids).map(row));
    events.push(format!("prepare {gid} of {count}"));
    events
}

fn cuts(stack: &TestStack) {
    const CUTS: u64 = 20;
    if stack.postgres_version() < 15 {
        return;
    }
    let _preparing = Preparing::on(stack);
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY, pad text)");
    let direct = format!("127.0.0.1:{}", stack.env["POSTGRES_PORT"]);
    let proxy = Proxy::that_cuts(direct, CUTS, |number| {
        let somewhere = (number + 1).wrapping_mul(6_364_136_223_846_793_005) >> 33;
        2_000 + somewhere % 30_000
    });
    let mut config = config(stack);
    config.server = server_at(stack, proxy.port);
    // Some of them are sent while they run, and some of those wait in a file.
    config.spool = Some(SpoolConfig {
        memory: 20_000,
        server_memory: Some(1 << 16),
        ..SpoolConfig::default()
    });
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'reader_test'");
    let (mut expected, mut next) = (Vec::new(), 0_u64);
    for number in 0.. {
        if proxy.cuts() >= CUTS {
            break;
        }
        let (gid, ids) = (format!("g{number}"), next..next + 30 + number % 9 * 40);
        next = ids.end;
        let fill = format!(
            "BEGIN; INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series({}, {}) n; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; PREPARE TRANSACTION '{gid}'",
            ids.start,
            ids.end - 1
        );
        expected.extend(events(&gid, ids));
        session(stack, &[&fill]);
        // One that is rolled back before it is decoded comes without some of its rows.
        if number % 3 == 0 {
            until_came(&reading, expected.last().unwrap());
        }
        session(stack, &[&format!("INSERT INTO t VALUES (-1 - {number})")]);
        expected.extend([
            "begin".to_owned(),
            format!("insert#0 t (-{},null)", number + 1),
            "commit of 1".to_owned(),
        ]);
        let end = if number % 3 == 0 {
            "rollback"
        } else {
            "commit"
        };
        session(stack, &[&format!("{end} PREPARED '{gid}'")]);
        expected.push(format!("{end} prepared {gid}"));
        until("the stream to come closer", || {
            assert_eq!(reading.reader.error().map(|e| e.to_string()), None);
            reading.so_far().len() + 400 > expected.len() || proxy.cuts() >= CUTS
        });
    }
    // A large one, that is open while the server crashes.
    let fill = format!(
        "BEGIN; INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series({next}, {}) n; PREPARE TRANSACTION 'large'",
        next + 2_999
    );
    session(stack, &[&fill]);
    expected.extend(events("large", next..next + 3_000));
    until_came(&reading, "prepare large of 3000");
    let streamed = "SELECT (stream_txns > 0)::text FROM pg_stat_replication_slots WHERE slot_name = 'reader_test'";
    until("the server's figures", || stack.sql(streamed) == ["true"]);
    stack.end("postgres", Signal::SIGKILL);
    until("the server to be back", || {
        stack.try_sql("SELECT 1").is_some()
    });
    session(stack, &["COMMIT PREPARED 'large'"]);
    expected.push("commit prepared large".to_owned());
    until_came(&reading, "commit prepared large");
    let found = reading.so_far();
    let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(
        (differs, found.len()),
        (None, expected.len()),
        "{:?}",
        differs.map(|at| (&found[at], &expected[at]))
    );
    reading.reader.stop().unwrap();
    drop_it(stack);
}

fn refusals(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let refusal = |config| Reading::start(stack, config).err().unwrap();
    let mut copying = config(stack);
    copying.snapshot = Some(SnapshotConfig::default());
    let folder = open_folder();
    let checkpoint = FileCheckpoint::at(folder.path().join("checkpoint"));
    copying.checkpoint = Some(Box::new(checkpoint));
    let error = refusal(copying);
    assert!(
        matches!(error, ReaderError::CopyWithTwoPhase { .. }),
        "{error}"
    );
    let plain = || ReaderConfig::new(server(stack), permanent(), ["p"]);
    if stack.postgres_version() < 15 {
        let error = refusal(config(stack)).to_string();
        assert!(error.contains("needs PostgreSQL 15"), "{error}");
        return;
    }
    let reading = Reading::start(stack, plain()).unwrap();
    reading.reader.stop().unwrap();
    let error = refusal(config(stack)).to_string();
    assert!(
        error.contains("leave out ReaderConfig::two_phase"),
        "{error}"
    );
    drop_it(stack);
    let reading = Reading::start(stack, config(stack)).unwrap();
    reading.reader.stop().unwrap();
    let error = refusal(plain());
    assert!(matches!(error, ReaderError::SlotUnusable { .. }), "{error}");
    assert!(error.to_string().contains("set ReaderConfig::two_phase"));
    drop_it(stack);
}
