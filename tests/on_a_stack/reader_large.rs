//! Transactions that the server sends while they run.

use std::time::Duration;

use pgcdc::{ReaderConfig, SpoolConfig};

use super::Test;
use super::proxy::Proxy;
use super::reader::{self, Reading, Table, drop_it, permanent, server, server_at};
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "reader_delivers_the_same_of_transactions_that_are_sent_while_they_run",
        the_same_while_they_run,
    ),
    (
        "reader_a_large_transaction_waits_in_memory_and_files_and_not_on_the_server",
        large,
    ),
];

/// Every transaction is sent while it runs, or none; as the server decides, when it is dropped.
struct Sending<'a>(&'a TestStack);

impl<'a> Sending<'a> {
    fn at_once(stack: &'a TestStack) -> Self {
        if stack.postgres_version() < 16 {
            // Before that version only large ones are.
            return Self(stack);
        }
        stack.sql("ALTER SYSTEM SET debug_logical_replication_streaming = 'immediate'");
        stack.sql("SELECT pg_reload_conf()");
        until("the setting", || {
            stack.sql("SHOW debug_logical_replication_streaming") == ["immediate"]
        });
        Self(stack)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.0.postgres_version() >= 16 {
            self.0
                .sql("ALTER SYSTEM RESET debug_logical_replication_streaming");
            self.0.sql("SELECT pg_reload_conf()");
        }
    }
}

fn the_same_while_they_run(stack: &TestStack) {
    let _sending = Sending::at_once(stack);
    // What holds for transactions that come after their commit.
    for (_, test) in reader::TESTS {
        test(stack);
    }
    // Several at once, of which some are rolled back, and parts of others.
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let reading = Reading::of(stack, "p");
    stack.block_on(async {
        let (a, b) = (stack.connect().await, stack.connect().await);
        for (client, sql) in [
            (&a, "BEGIN; INSERT INTO t VALUES (1)"),
            (&b, "BEGIN; INSERT INTO t VALUES (2)"),
            (&a, "SAVEPOINT s; INSERT INTO t VALUES (3); SAVEPOINT r; INSERT INTO t VALUES (4); ROLLBACK TO s; INSERT INTO t VALUES (5)"),
            (&b, "ALTER TABLE t ADD b int; INSERT INTO t VALUES (6, 7)"),
        ] {
            let done = client.batch_execute(sql);
            if sql.starts_with("ALTER") {
                // It waits for the other's lock.
                let end = a.batch_execute("COMMIT");
                let (done, end) = tokio::join!(done, end);
                done.unwrap();
                end.unwrap();
            } else {
                done.await.unwrap();
            }
        }
        b.batch_execute("COMMIT; BEGIN; INSERT INTO t VALUES (8, 9); ROLLBACK")
            .await
            .unwrap();
    });
    stack.sql("INSERT INTO t VALUES (10, NULL)");
    let rows: Vec<_> = reading.until_commits(3);
    let expected = [
        "begin",
        "insert#0 t (1)",
        "insert#1 t (5)",
        "commit of 2",
        "begin",
        "insert#0 t (2)",
        "insert#1 t (6,7)",
        "commit of 2",
        "begin",
        "insert#0 t (10,null)",
        "commit of 1",
    ];
    assert_eq!(rows, expected);
    reading.reader.stop().unwrap();
    cuts(stack);
}

/// The stream is cut anywhere; everything comes, once, in order.
fn cuts(stack: &TestStack) {
    const CUTS: u64 = 40;
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY, pad text)");
    let direct = format!("127.0.0.1:{}", stack.env["POSTGRES_PORT"]);
    let proxy = Proxy::that_cuts(direct, CUTS, |number| {
        let somewhere = (number + 1).wrapping_mul(6_364_136_223_846_793_005) >> 33;
        2_000 + somewhere % 30_000
    });
    let mut config = ReaderConfig::new(server_at(stack, proxy.port), permanent(), ["p"]);
    config.status_interval = Duration::from_millis(50);
    config.spool = Some(SpoolConfig {
        memory: 1_000,
        ..SpoolConfig::default()
    });
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'reader_test'");
    let mut next = 0_u64;
    while proxy.cuts() < CUTS {
        stack.sql(&format!(
            "BEGIN; INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series({next}, {}) n; \
             SAVEPOINT s; INSERT INTO t SELECT -1 - n FROM generate_series(1, 20) n; ROLLBACK TO s; COMMIT",
            next + 39
        ));
        next += 40;
        until("the stream to come closer", || {
            let came = u64::try_from(reading.inserted().len()).unwrap();
            came + 400 > next || proxy.cuts() >= CUTS || reading.reader.is_over()
        });
    }
    until("every row to have come", || {
        assert_eq!(reading.reader.error().map(|e| e.to_string()), None);
        u64::try_from(reading.inserted().len()).unwrap() >= next
    });
    assert_eq!(reading.inserted(), (0..next).collect::<Vec<_>>());
    reading.reader.stop().unwrap();
    drop_it(stack);
}

fn large(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY, pad text)");
    stack.sql("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'");
    stack.sql("SELECT pg_reload_conf()");
    let rows = 20_000;
    let insert = format!(
        "BEGIN; INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series(1, {rows}) n; \
         SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; UPDATE t SET pad = 'x' WHERE id = 1; COMMIT"
    );
    let folder = tempfile::tempdir().unwrap();
    let spools = [
        None,
        Some(SpoolConfig::default()),
        Some(SpoolConfig {
            memory: 100_000,
            folder: Some(folder.path().to_owned()),
            ..SpoolConfig::default()
        }),
    ];
    for spool in spools {
        let sends_early = spool.is_some();
        let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
        config.spool = spool;
        let reading = Reading::start(stack, config).unwrap();
        stack.sql(&insert);
        let events = reading.until_commits(1);
        assert_eq!(reading.inserted(), (1..=rows).collect::<Vec<_>>());
        assert_eq!(events.len(), usize::try_from(rows).unwrap() + 3);
        assert!(events[events.len() - 2].contains("(1,x)"));
        until("the server's figures", || {
            let figures = stack.sql("SELECT (spill_txns > 0) || ' ' || (stream_txns > 0) FROM pg_stat_replication_slots WHERE slot_name = 'reader_test'");
            figures
                == [if sends_early {
                    "false true"
                } else {
                    "true false"
                }]
        });
        reading.reader.stop().unwrap();
        drop_it(stack);
        stack.sql("TRUNCATE t");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // A reader asks for its own session to be sent early.
    stack.sql("ALTER SYSTEM RESET logical_decoding_work_mem");
    stack.sql("SELECT pg_reload_conf()");
    until("the setting", || {
        stack.sql("SHOW logical_decoding_work_mem") == ["64MB"]
    });
    for (server_memory, is_early) in [(None, "false"), (Some(1 << 16), "true")] {
        let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
        config.spool = Some(SpoolConfig {
            server_memory,
            ..SpoolConfig::default()
        });
        let reading = Reading::start(stack, config).unwrap();
        stack.sql(&insert);
        reading.until_commits(1);
        assert_eq!(reading.inserted(), (1..=rows).collect::<Vec<_>>());
        until("the server's figures", || {
            let figures = stack.sql("SELECT (stream_txns > 0)::text FROM pg_stat_replication_slots WHERE slot_name = 'reader_test' AND total_txns > 0");
            figures == [is_early]
        });
        reading.reader.stop().unwrap();
        drop_it(stack);
        stack.sql("TRUNCATE t");
    }
    // A folder that cannot be written is said, and the slot is where it was.
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.spool = Some(SpoolConfig {
        memory: 0,
        folder: Some(folder.path().join("missing")),
        server_memory: Some(1 << 16),
    });
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series(1, 5000) n");
    let error = reading.failure(stack).to_string();
    assert!(
        error.contains("missing") && error.contains("ReaderConfig::spool"),
        "{error}"
    );
    let again =
        Reading::start(stack, ReaderConfig::new(server(stack), permanent(), ["p"])).unwrap();
    again.until_commits(1);
    assert_eq!(again.inserted().len(), 5_000);
    again.reader.stop().unwrap();
    drop_it(stack);
}
