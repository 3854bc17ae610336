//! Faults of the WAL reader on a real server: after each, the sink has exactly the committed rows, in order, or the reader
//! reports why not.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use pgcdc::{
    Acknowledge, Event, Reader, ReaderConfig, ReaderError, Server, Slot, SlotName, TypeKind,
    list_slots,
};

use super::Test;
use super::proxy::Proxy;
use super::reader::{Reading, Table, drop_it, permanent, server, server_at, temporary};
use super::sink;
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("reader_two_hundred_cuts_lose_and_double_nothing", cuts),
    (
        "reader_a_server_that_crashes_loses_and_doubles_nothing",
        |stack| server_goes_away(stack, Signal::SIGKILL),
    ),
    (
        "reader_a_server_restarted_at_once_loses_and_doubles_nothing",
        // What pg_ctl stop -m immediate sends.
        |stack| server_goes_away(stack, Signal::SIGQUIT),
    ),
    (
        "reader_killed_before_it_acknowledged_ends_exactly_once",
        killed,
    ),
    (
        "reader_a_slot_that_is_taken_is_waited_for_or_named",
        slot_taken,
    ),
    (
        "reader_a_slot_that_another_has_moved_is_an_error",
        slot_moved,
    ),
    (
        "reader_a_publication_that_is_gone_is_an_error",
        publication_gone,
    ),
    (
        "reader_a_dropped_publication_is_noticed_while_streaming",
        publication_gone_in_mid_stream,
    ),
    (
        "reader_a_changed_password_is_an_error_and_the_new_one_goes_on",
        password_changed,
    ),
    (
        "reader_a_recreated_table_is_read_as_it_was_at_each_row",
        table_made_anew,
    ),
    (
        "reader_a_slot_that_holds_back_too_much_ends_the_reader",
        retained,
    ),
    ("reader_a_failover_slot_is_one_and_goes_on", failover_slot),
];

/// The rows of the table, in the order of their ids.
fn committed(stack: &TestStack) -> Vec<u64> {
    let ids = stack.sql("SELECT id FROM t ORDER BY id");
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// Terminates the connection that reads from the slot.
fn disconnect(stack: &TestStack) {
    stack.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'reader_test'");
}

/// A role with no right but REPLICATION, dropped with the guard. Its password is "first".
struct Replicator<'a>(&'a TestStack);

impl<'a> Replicator<'a> {
    fn make(stack: &'a TestStack) -> Self {
        stack.sql("DROP ROLE IF EXISTS replicator; CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'first'");
        Self(stack)
    }

    fn server(stack: &TestStack, password: &str) -> Server {
        let of = server(stack);
        Server::new(
            of.host,
            of.port,
            "replicator",
            password.to_owned(),
            of.database,
        )
    }
}

impl Drop for Replicator<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.sql("DROP ROLE replicator");
        }
    }
}

fn until_all_came(reading: &Reading, rows: usize) {
    until("every row to have come", || {
        assert_eq!(reading.reader.error().map(|e| e.to_string()), None);
        reading.inserted().len() >= rows
    });
}

fn cuts(stack: &TestStack) {
    const CUTS: u64 = 200;
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY, pad text)");
    let direct = format!("127.0.0.1:{}", stack.env["POSTGRES_PORT"]);
    // Cuts within the server's greeting, between messages, and within a message.
    let proxy = Proxy::that_cuts(direct, CUTS, |number| {
        let somewhere = (number + 1).wrapping_mul(6_364_136_223_846_793_005) >> 33;
        300 + somewhere % 30_000
    });
    let mut config = ReaderConfig::new(server_at(stack, proxy.port), permanent(), ["p"]);
    config.status_interval = Duration::from_millis(50);
    // The first connection must start the reader: it is cut later, by the test itself.
    let reading = Reading::start(stack, config).unwrap();
    disconnect(stack);
    let mut next = 0_u64;
    while proxy.cuts() < CUTS {
        // Transactions of 1 to 40 rows, as many as are needed. Each is smaller than what most connections let through.
        let count = 1 + next % 40;
        stack.sql(&format!(
            "INSERT INTO t SELECT n, repeat('p', 200) FROM generate_series({next}, {}) n",
            next + count - 1
        ));
        next += count;
        until("the stream to come closer", || {
            let came = u64::try_from(reading.inserted().len()).unwrap();
            came + 400 > next || proxy.cuts() >= CUTS || reading.reader.is_over()
        });
    }
    let rows = committed(stack);
    until_all_came(&reading, rows.len());
    assert_eq!(reading.inserted(), rows);
    let stats = reading.reader.stop().unwrap();
    // Some connections are cut before the stream has started again.
    assert!(stats.reconnects > CUTS / 2, "{stats:?}");
    drop_it(stack);
}

/// Inserts rows, one per transaction, until the server goes away.
fn insert_until_it_fails(stack: &TestStack) {
    stack.block_on(async {
        let client = stack.connect().await;
        for id in 0_i64.. {
            let row = format!("INSERT INTO t VALUES ({id})");
            if client.batch_execute(&row).await.is_err() {
                break;
            }
        }
    });
}

fn server_goes_away(stack: &TestStack, how: Signal) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let reading =
        Reading::start(stack, ReaderConfig::new(server(stack), permanent(), ["p"])).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| insert_until_it_fails(stack));
        until_all_came(&reading, 200);
        stack.end("postgres", how);
    });
    stack.wait_until_healthy();
    stack.sql("INSERT INTO t SELECT n FROM generate_series(1000000, 1000099) n");
    let rows = committed(stack);
    until_all_came(&reading, rows.len());
    assert_eq!(reading.inserted(), rows);
    assert!(reading.reader.stop().unwrap().reconnects > 0);
    drop_it(stack);
}

fn killed(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    // So that the slot exists before the first row.
    let first = ReaderConfig::new(server(stack), permanent(), ["p"]);
    Reading::start(stack, first).unwrap().reader.stop().unwrap();
    for transaction in 0..100 {
        stack.sql(&format!(
            "INSERT INTO t SELECT {transaction} * 3 + n FROM generate_series(0, 2) n"
        ));
    }
    let folder = open_folder();
    let file = folder.path().join("sink");
    let mut after_a_commit = 0;
    for life in 0..24 {
        // A transaction is four lines: three rows, and its end with the position. Killed there, the sink has stored it, and it is not
        // acknowledged to the server.
        let lines = 1 + life * 7 % 12;
        after_a_commit += u32::from(lines % 4 == 0);
        let mut child = sink::process(stack, &file, Some(lines))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut said).unwrap();
        assert_eq!(said, "written\n");
        signal(id(&child), Signal::SIGKILL);
        child.wait().unwrap();
    }
    assert_eq!(after_a_commit, 6);
    let mut last = sink::process(stack, &file, None).spawn().unwrap();
    until("the last transaction", || {
        assert!(last.try_wait().unwrap().is_none(), "the sink ended");
        sink::rows(&file).len() >= 300
    });
    signal(id(&last), Signal::SIGKILL);
    last.wait().unwrap();
    assert_eq!(sink::rows(&file), committed(stack));
    drop_it(stack);
}

/// A reader whose connections go through a proxy that can be closed.
struct Gated {
    reading: Reading,
    proxy: Proxy,
    open: Arc<AtomicBool>,
}

impl Gated {
    fn start(stack: &TestStack) -> Self {
        let open = Arc::new(AtomicBool::new(true));
        let is_open = Arc::clone(&open);
        let direct = format!("127.0.0.1:{}", stack.env["POSTGRES_PORT"]);
        let proxy = Proxy::before(direct, move |_| {
            (!is_open.load(Ordering::SeqCst)).then_some(0)
        });
        let config = ReaderConfig::new(server_at(stack, proxy.port), permanent(), ["p"]);
        Self {
            reading: Reading::start(stack, config).unwrap(),
            proxy,
            open,
        }
    }

    /// Breaks its connection, and starts another reader on its slot.
    fn taken_by(&self, stack: &TestStack, acknowledge: Acknowledge) -> Reading {
        self.open.store(false, Ordering::SeqCst);
        disconnect(stack);
        let mut other = None;
        until("the slot to be free", || {
            let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
            config.acknowledge = acknowledge;
            other = Reading::start(stack, config).ok();
            other.is_some()
        });
        self.open.store(true, Ordering::SeqCst);
        other.unwrap()
    }

    fn wait_for_an_attempt(&self) {
        let so_far = self.proxy.connections();
        until("the reader to try again", || {
            assert_eq!(self.reading.reader.error().map(|e| e.to_string()), None);
            self.proxy.connections() >= so_far + 3
        });
    }
}

fn slot_taken(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let first = Gated::start(stack);
    let again = ReaderConfig::new(server(stack), permanent(), ["p"]);
    let error = Reading::start(stack, again).err().unwrap();
    assert!(error.to_string().contains("is active"), "{error}");
    assert!(!error.is_permanent(), "it may be free later");
    stack.sql("INSERT INTO t VALUES (1)");
    first.reading.until_commits(1);
    // A reader that had the slot, and finds it in use after a broken connection, waits for it.
    let other = first.taken_by(stack, Acknowledge::Manual);
    for row in 2..=5 {
        stack.sql(&format!("INSERT INTO t VALUES ({row})"));
    }
    until_all_came(&other, 4);
    first.wait_for_an_attempt();
    assert_eq!(first.reading.inserted(), [1]);
    other.reader.stop().unwrap();
    until_all_came(&first.reading, 5);
    assert_eq!(first.reading.inserted(), committed(stack));
    let slots = stack.block_on(list_slots(&server(stack))).unwrap();
    let slot = slots.iter().find(|slot| slot.name == "reader_test");
    assert!(slot.is_some_and(|slot| slot.active_pid.is_some() && !slot.temporary));
    first.reading.reader.stop().unwrap();
    drop_it(stack);
    let slots = stack.block_on(list_slots(&server(stack))).unwrap();
    assert!(slots.is_empty(), "{slots:?}");
}

fn slot_moved(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let first = Gated::start(stack);
    stack.sql("INSERT INTO t VALUES (1)");
    first.reading.until_commits(1);
    let other = first.taken_by(stack, Acknowledge::OnReturn);
    stack.sql("INSERT INTO t VALUES (2)");
    until("the other to have it", || other.inserted().contains(&2));
    other.reader.stop().unwrap();
    let error = first.reading.failure(stack);
    assert!(matches!(error, ReaderError::SlotMoved { .. }), "{error}");
    assert_eq!(first.reading.inserted(), [1]);
    drop_it(stack);
}

fn publication_gone(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let missing = ReaderConfig::new(server(stack), temporary(), ["p", "not_there"]);
    let error = Reading::start(stack, missing).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("CREATE PUBLICATION \"not_there\""),
        "{error}"
    );
    assert!(
        stack
            .block_on(list_slots(&server(stack)))
            .unwrap()
            .is_empty()
    );
    let reading =
        Reading::start(stack, ReaderConfig::new(server(stack), permanent(), ["p"])).unwrap();
    stack.sql("DROP PUBLICATION p");
    disconnect(stack);
    let error = reading.failure(stack);
    assert!(
        matches!(error, ReaderError::NoPublication { .. }),
        "{error}"
    );
    drop_it(stack);
}

/// Without the publication the server goes on and sends nothing; a heartbeat checks that it exists.
fn publication_gone_in_mid_stream(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.heartbeat = Some(Duration::from_secs(1));
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    stack.sql("DROP PUBLICATION p");
    let error = reading.failure(stack);
    assert!(
        matches!(error, ReaderError::NoPublication { .. }),
        "{error}"
    );
    drop_it(stack);
}

fn password_changed(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let _role = Replicator::make(stack);
    let config =
        |password| ReaderConfig::new(Replicator::server(stack, password), permanent(), ["p"]);
    let reading = Reading::start(stack, config("first")).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    // An open session is not affected.
    stack.sql("ALTER ROLE replicator PASSWORD 'second'");
    stack.sql("INSERT INTO t VALUES (2)");
    reading.until_commits(2);
    disconnect(stack);
    let error = reading.failure(stack);
    assert!(matches!(error, ReaderError::Refused { .. }), "{error}");
    assert!(error.is_permanent());
    let words = error.to_string();
    assert!(
        words.contains("replicator") && words.contains("check the password"),
        "{words}"
    );
    assert!(!words.contains("first"), "{words}");
    stack.sql("INSERT INTO t VALUES (3)");
    let again = Reading::start(stack, config("second")).unwrap();
    until("the last row", || again.inserted().contains(&3));
    // Unacknowledged transactions are sent again, and nothing is missing.
    let came_again = again.inserted();
    again.reader.stop().unwrap();
    let rows = committed(stack);
    assert_eq!(reading.inserted(), rows[..2]);
    assert!(rows.ends_with(&came_again), "{came_again:?}");
    drop_it(stack);
}

fn table_made_anew(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY, a text)");
    let first = ReaderConfig::new(server(stack), permanent(), ["p"]);
    Reading::start(stack, first).unwrap().reader.stop().unwrap();
    stack.sql("INSERT INTO t VALUES (1, 'x')");
    let anew = "DROP TABLE t; CREATE TABLE t (a numeric, id bigint PRIMARY KEY); ALTER PUBLICATION p ADD TABLE t";
    stack.sql(&format!(
        "BEGIN; INSERT INTO t VALUES (2, 'y'); {anew}; INSERT INTO t VALUES (1.5, 3); COMMIT"
    ));
    stack
        .sql("DROP TABLE t; CREATE TABLE t (id uuid PRIMARY KEY); ALTER PUBLICATION p ADD TABLE t");
    stack.sql("INSERT INTO t VALUES ('0191c0de-0000-7000-8000-000000000001')");
    // By now the catalogue has the last table only.
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.describe = true;
    let rows = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&rows);
    let reader = stack.block_on(Reader::spawn(config, move |event| {
        if let Event::Change(change) = event {
            let relation = change.relation;
            let key = relation.primary_key[0];
            let id: String = change.get_at(key).unwrap().unwrap();
            let kinds: Vec<_> = relation.columns.iter().map(|c| c.kind.clone()).collect();
            seen.lock()
                .unwrap()
                .push((relation.columns[key].name.clone(), id, kinds));
        }
        ControlFlow::Continue(())
    }));
    let reader = reader.unwrap();
    until("four rows", || {
        assert_eq!(reader.error().map(|e| e.to_string()), None);
        rows.lock().unwrap().len() == 4
    });
    let row = |id: &str, kinds: &[TypeKind]| ("id".to_owned(), id.to_owned(), kinds.to_vec());
    assert_eq!(
        *rows.lock().unwrap(),
        [
            row("1", &[TypeKind::Integer, TypeKind::Text]),
            row("2", &[TypeKind::Integer, TypeKind::Text]),
            row("3", &[TypeKind::Numeric, TypeKind::Integer]),
            row("0191c0de-0000-7000-8000-000000000001", &[TypeKind::Uuid]),
        ]
    );
    reader.stop().unwrap();
    drop_it(stack);
}

fn failover_slot(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let slot = Slot::Permanent {
        name: SlotName::new("reader_test").unwrap(),
        failover: true,
    };
    let config = ReaderConfig::new(server(stack), slot, ["p"]);
    if stack.postgres_version() < 17 {
        let error = Reading::start(stack, config).err().unwrap();
        assert!(error.to_string().contains("needs PostgreSQL 17"), "{error}");
        return;
    }
    let reading = Reading::start(stack, config).unwrap();
    let asked = "SELECT failover FROM pg_replication_slots WHERE slot_name = 'reader_test'";
    assert_eq!(stack.sql(asked), ["t"]);
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    disconnect(stack);
    stack.sql("INSERT INTO t VALUES (2)");
    reading.until_commits(2);
    assert_eq!(reading.inserted(), committed(stack));
    reading.reader.stop().unwrap();
    drop_it(stack);
}

fn retained(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE u (pad text)",
    );
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    // Nothing is acknowledged as soon as there is something to acknowledge.
    config.acknowledge = Acknowledge::Manual;
    config.max_retained_wal = Some(4_000_000);
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    stack.sql("INSERT INTO u SELECT repeat(md5(n::text), 30) FROM generate_series(1, 10000) n");
    let error = reading.failure(stack);
    assert!(
        matches!(
            error,
            ReaderError::RetainedWal {
                limit: 4_000_000,
                ..
            }
        ),
        "{error}"
    );
    // Without the limit it continues, and nothing is missing.
    stack.sql("INSERT INTO t VALUES (2)");
    let again =
        Reading::start(stack, ReaderConfig::new(server(stack), permanent(), ["p"])).unwrap();
    again.until_commits(2);
    assert_eq!(again.inserted(), committed(stack));
    again.reader.stop().unwrap();
    drop_it(stack);
}
