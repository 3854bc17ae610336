//! What the reader guarantees, on a real server: it goes on without a gap, or says why not, where, and what to do.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pgcdc::{
    FileCheckpoint, Reader, ReaderConfig, ReaderError, Server, SnapshotConfig, list_slots,
};

use super::Test;
use super::reader::{Reading, Table, drop_it, permanent, server, temporary};
use super::stack::processes::signal;
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "reader_any_name_of_a_publication_is_that_publication",
        publication_names,
    ),
    (
        "reader_an_error_that_stands_ends_the_reader_and_names_tables_and_position",
        standing_errors,
    ),
    (
        "reader_a_silent_server_is_noticed_and_stop_does_not_wait_for_it",
        silent_server,
    ),
    (
        "reader_a_slow_handler_keeps_its_connection_and_its_slot",
        slow_handler,
    ),
    ("reader_a_slot_of_another_kind_says_what_it_is", other_slots),
    ("reader_a_lost_slot_says_that_it_is_lost", lost_slot),
    (
        "reader_a_slot_that_waits_for_a_transaction_names_it_and_leaves_nothing",
        blocked_slot,
    ),
    (
        "reader_stopped_while_its_slot_is_made_leaves_nothing_to_make_it",
        stopped_while_blocked,
    ),
    ("reader_a_refused_copy_leaves_no_slot", refused_copy),
];

pub fn slots(stack: &TestStack) -> Vec<String> {
    let slots = stack.block_on(list_slots(&server(stack))).unwrap();
    slots.into_iter().map(|slot| slot.name).collect()
}

pub fn error_of(stack: &TestStack, config: ReaderConfig) -> ReaderError {
    match Reading::start(stack, config) {
        Err(error) => error,
        Ok(reading) => reading.failure(stack),
    }
}

fn publication_names(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let names = ["Orders", "it's \"one\", too", "größe", "a b"];
    for (index, name) in names.iter().enumerate() {
        let quoted = name.replace('"', "\"\"");
        stack.sql(&format!("CREATE PUBLICATION \"{quoted}\" FOR TABLE t"));
        let reading = Reading::of(stack, name);
        stack.sql(&format!("INSERT INTO t VALUES ({index})"));
        reading.until_commits(1);
        reading.reader.stop().unwrap();
        stack.sql(&format!("DROP PUBLICATION \"{quoted}\""));
    }
}

fn standing_errors(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id bigint PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t WHERE (10 / id > 0)",
    );
    let reading =
        Reading::start(stack, ReaderConfig::new(server(stack), permanent(), ["p"])).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    stack.sql("INSERT INTO t VALUES (0)");
    let error = reading.failure(stack);
    assert!(
        matches!(error, ReaderError::StandingError { times: 3, .. }),
        "{error}"
    );
    let words = error.to_string();
    for word in [
        "division by zero",
        "public.t",
        "associated LSN",
        "pg_replication_slot_advance",
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert_eq!(reading.inserted(), [1]);
    drop_it(stack);
    // Bytes that are no UTF-8.
    stack.sql("DROP DATABASE IF EXISTS bytes");
    stack.sql(
        "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    let of = Server {
        database: "bytes".to_owned(),
        ..server(stack)
    };
    let sql = |text: &str| {
        stack.block_on(async {
            let mut config = tokio_postgres::Config::new();
            config
                .user(&of.user)
                .dbname("bytes")
                .password(&stack.env["POSTGRES_PASSWORD"]);
            config
                .host(&of.host)
                .port(of.port)
                .options("-c client_encoding=SQL_ASCII");
            let socket = of.socket().await.unwrap();
            let (client, connection) = config
                .connect_raw(socket, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            client.batch_execute(text).await.unwrap();
        });
    };
    sql("CREATE TABLE t (id int PRIMARY KEY, name text)");
    sql("CREATE PUBLICATION p FOR TABLE t");
    let reading = Reading::start(stack, ReaderConfig::new(of.clone(), permanent(), ["p"])).unwrap();
    sql("INSERT INTO t VALUES (1, convert_from('\\xff', 'SQL_ASCII'))");
    let error = reading.failure(stack).to_string();
    assert!(
        error.contains("invalid byte sequence") && error.contains("public.t"),
        "{error}"
    );
    stack.sql("SELECT pg_drop_replication_slot('reader_test')");
    until("the database to be free", || {
        let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = 'bytes'";
        stack.sql(sessions).is_empty()
    });
    stack.sql("DROP DATABASE bytes");
}

fn silent_server(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.silence_limit = Some(Duration::from_secs(1));
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    // An idle server answers when it is asked: nothing breaks.
    std::thread::sleep(Duration::from_millis(2_500));
    let sender = || {
        let pid = "SELECT active_pid FROM pg_replication_slots WHERE active_pid IS NOT NULL";
        stack.sql(pid)[0].parse::<i32>().unwrap()
    };
    let first = sender();
    signal(first, Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(2_500));
    signal(first, Signal::SIGCONT);
    until("another connection", || {
        let pid = "SELECT active_pid FROM pg_replication_slots WHERE active_pid IS NOT NULL";
        let pids = stack.sql(pid);
        !pids.is_empty() && pids[0] != first.to_string()
    });
    stack.sql("INSERT INTO t VALUES (2)");
    reading.until_commits(2);
    assert_eq!(reading.inserted(), [1, 2]);
    // A reader that is stopped does not wait for a server that does not answer.
    let second = sender();
    signal(second, Signal::SIGSTOP);
    let began = Instant::now();
    let stats = reading.reader.stop();
    let took = began.elapsed();
    signal(second, Signal::SIGCONT);
    assert_eq!(stats.unwrap().reconnects, 1);
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop_it(stack);
}

fn slow_handler(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY, pad text)");
    stack
        .sql("DROP ROLE IF EXISTS impatient; CREATE ROLE impatient LOGIN REPLICATION PASSWORD 'p'");
    stack.sql("ALTER ROLE impatient SET wal_sender_timeout = '500ms'");
    let mut of = server(stack);
    of.user = "impatient".to_owned();
    of.password = Some("p".into());
    // Its slot is gone with the connection.
    let reading = Reading::start(stack, ReaderConfig::new(of, temporary(), ["p"])).unwrap();
    let rows = 20_000;
    reading.block_handler(|| {
        stack.sql(&format!(
            "INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series(1, {rows}) n"
        ));
        std::thread::sleep(Duration::from_secs(5));
    });
    reading.until_commits(1);
    assert_eq!(reading.inserted().len(), rows);
    assert_eq!(reading.reader.stop().unwrap().reconnects, 0);
    stack.sql("DROP ROLE impatient");
}

fn other_slots(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let refused = |server: Server, words: &[&str]| {
        let config = ReaderConfig::new(server, permanent(), ["p"]);
        let error = error_of(stack, config);
        assert!(matches!(error, ReaderError::SlotUnusable { .. }), "{error}");
        let said = error.to_string();
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
        drop_it_by_hand(stack);
    };
    stack.sql("SELECT pg_create_physical_replication_slot('reader_test')");
    refused(server(stack), &["physical", "standby"]);
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'test_decoding')");
    refused(
        server(stack),
        &["test_decoding", "pg_drop_replication_slot('reader_test')"],
    );
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'pgoutput')");
    stack.sql("DROP DATABASE IF EXISTS elsewhere");
    stack.sql("CREATE DATABASE elsewhere");
    let of = Server {
        database: "elsewhere".to_owned(),
        ..server(stack)
    };
    stack.block_on(async {
        let socket = of.socket().await.unwrap();
        let mut config = tokio_postgres::Config::new();
        config
            .user(&of.user)
            .dbname("elsewhere")
            .password(&stack.env["POSTGRES_PASSWORD"]);
        let (client, connection) = config
            .connect_raw(socket, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t")
            .await
            .unwrap();
    });
    refused(
        of,
        &[&format!("of database \"{}\"", stack.env["POSTGRES_DB"])],
    );
    until("the database to be free", || {
        let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = 'elsewhere'";
        stack.sql(sessions).is_empty()
    });
    stack.sql("DROP DATABASE elsewhere");
}

fn drop_it_by_hand(stack: &TestStack) {
    stack.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'reader_test'");
}

fn lost_slot(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE u (pad text)",
    );
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'pgoutput')");
    stack.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    stack.sql("SELECT pg_reload_conf()");
    until("the slot to be lost", || {
        stack.sql("INSERT INTO u SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) n");
        stack.sql("SELECT pg_switch_wal()");
        stack.sql("CHECKPOINT");
        stack.sql("SELECT wal_status FROM pg_replication_slots") == ["lost"]
    });
    let error = error_of(stack, ReaderConfig::new(server(stack), permanent(), ["p"]));
    let words = error.to_string();
    assert!(
        matches!(error, ReaderError::SlotUnusable { .. })
            && words.contains("is lost")
            && words.contains("begin anew"),
        "{words}"
    );
    stack.sql("ALTER SYSTEM RESET max_slot_wal_keep_size");
    stack.sql("SELECT pg_reload_conf()");
    drop_it(stack);
}

fn blocked_slot(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let open = stack.block_on(stack.connect());
    stack.block_on(async {
        open.batch_execute("BEGIN; INSERT INTO t VALUES (1)")
            .await
            .unwrap();
    });
    let pid = stack.block_on(async {
        let row = open
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap();
        row.get::<_, i32>(0)
    });
    for slot in [permanent(), temporary()] {
        let mut config = ReaderConfig::new(server(stack), slot, ["p"]);
        config.slot_limit = Duration::from_secs(3);
        let error = error_of(stack, config);
        let words = error.to_string();
        assert!(
            matches!(error, ReaderError::SlotBlocked { .. })
                && words.contains(&format!("pg_terminate_backend({pid})")),
            "{words}"
        );
        assert_eq!(slots(stack), [""; 0]);
    }
    stack.block_on(async { open.batch_execute("COMMIT").await.unwrap() });
    let reading = Reading::of(stack, "p");
    reading.reader.stop().unwrap();
}

/// A server that waits does not notice that its client is gone: it would make the slot when the transaction ends.
fn stopped_while_blocked(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let open = stack.block_on(stack.connect());
    stack.block_on(async {
        open.batch_execute("BEGIN; INSERT INTO t VALUES (1)")
            .await
            .unwrap();
        let config = ReaderConfig::new(server(stack), permanent(), ["p"]);
        let start = Reader::spawn(config, |_| ControlFlow::Continue(()));
        let began = Instant::now();
        // Dropping the start stops it.
        let started = tokio::time::timeout(Duration::from_secs(1), start).await;
        assert!(started.is_err(), "it did not wait");
        assert!(began.elapsed() < Duration::from_secs(6));
    });
    let waiting = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'";
    until("the server to have given up", || {
        stack.sql(waiting).is_empty()
    });
    stack.block_on(async { open.batch_execute("COMMIT").await.unwrap() });
    assert_eq!(slots(stack), [""; 0]);
}

fn refused_copy(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    stack.sql("DROP ROLE IF EXISTS blind; CREATE ROLE blind LOGIN REPLICATION PASSWORD 'p'");
    stack.sql("INSERT INTO t VALUES (1)");
    let folder = open_folder();
    let mut of = server(stack);
    of.user = "blind".to_owned();
    of.password = Some("p".into());
    let mut config = ReaderConfig::new(of, permanent(), ["p"]);
    config.snapshot = Some(SnapshotConfig::default());
    config.checkpoint = Some(Box::new(FileCheckpoint::at(folder.path().join("t.lsn"))));
    let error = error_of(stack, config);
    assert!(
        matches!(error, ReaderError::Copy { .. })
            && error.to_string().contains("permission denied"),
        "{error}"
    );
    until("the slot to be gone", || slots(stack).is_empty());
    stack.sql("DROP ROLE blind");
}
