//! The WAL reader as a library, on a real server.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgcdc::pgoutput::{OldTuple, Value};
use pgcdc::{
    Acknowledge, Event, FileCheckpoint, Lsn, Origins, Reader, ReaderConfig, ReaderError,
    ReaderHandle, Server, Slot, SlotName, drop_slot, list_slots,
};

use super::Test;
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("reader_changes_have_all_of_their_metadata", changes),
    (
        "reader_an_altered_table_is_read_as_it_was_at_each_row",
        altered,
    ),
    (
        "reader_a_rolled_back_transaction_is_not_delivered",
        rolled_back,
    ),
    (
        "reader_messages_and_origins_are_delivered",
        messages_and_origins,
    ),
    (
        "reader_a_publications_columns_and_rows_are_respected",
        column_list_and_row_filter,
    ),
    ("reader_the_binary_format_gives_the_same_values", binary),
    (
        "reader_unacknowledged_transactions_are_delivered_again",
        manual_acknowledgement,
    ),
    (
        "reader_a_checkpoint_in_a_file_wins_over_the_slot",
        file_checkpoint,
    ),
    (
        "reader_a_heartbeat_lets_an_idle_slot_free_its_wal",
        heartbeat,
    ),
];

pub fn server(stack: &TestStack) -> Server {
    server_at(stack, stack.env["POSTGRES_PORT"].parse().unwrap())
}

pub fn server_at(stack: &TestStack, port: u16) -> Server {
    Server::new(
        "127.0.0.1",
        port,
        &stack.env["POSTGRES_USER"],
        stack.env["POSTGRES_PASSWORD"].clone(),
        &stack.env["POSTGRES_DB"],
    )
}

/// An event as text, so that a test can state what it expects.
pub fn describe(event: &Event<'_>) -> String {
    let value = |value: Value<'_>| match value {
        Value::Null => "null".to_owned(),
        Value::Unchanged => "unchanged".to_owned(),
        Value::Text(text) => text.to_owned(),
        Value::Binary(bytes) => format!("{bytes:?}"),
    };
    let row =
        |row: &pgcdc::pgoutput::Tuple<'_>| row.iter().map(value).collect::<Vec<_>>().join(",");
    match event {
        Event::Begin(_) => "begin".to_owned(),
        Event::Idle(lsn) => format!("idle at {lsn}"),
        Event::Snapshot(plan) => format!("snapshot of {}", plan.tables.len()),
        Event::CopiedChunk(chunk) => {
            format!(
                "copied {} rows of {}, a chunk",
                chunk.rows, chunk.relation.name
            )
        }
        Event::Schema(change) => format!(
            "schema of {}: {} columns",
            change.after.name,
            change.after.columns.len()
        ),
        Event::Copied(table) => format!("copied {} rows of {}", table.rows, table.relation.name),
        Event::Commit(commit) => format!("commit of {}", commit.events),
        Event::Prepare(prepare) => format!("prepare {} of {}", prepare.gid, prepare.events),
        Event::CommitPrepared(end) => format!("commit prepared {}", end.gid),
        Event::RollbackPrepared(end) => format!("rollback prepared {}", end.gid),
        Event::Message(message) => format!(
            "message {} {}{}",
            message.prefix,
            String::from_utf8_lossy(message.content),
            if message.transaction.is_some() {
                ""
            } else {
                " (in no transaction)"
            }
        ),
        Event::Change(change) => {
            let mut words = format!(
                "{}#{} {}",
                change.operation, change.index, change.relation.name
            );
            if let Some(new) = &change.new {
                words += &format!(" ({})", row(new));
            }
            match &change.old {
                Some(OldTuple::Key(old)) => words += &format!(" key ({})", row(old)),
                Some(OldTuple::Full(old)) => words += &format!(" was ({})", row(old)),
                None => {}
            }
            words
        }
    }
}

/// A reader, and what it has delivered.
pub struct Reading {
    pub reader: ReaderHandle,
    events: Arc<Mutex<Vec<String>>>,
}

impl Reading {
    pub fn start(stack: &TestStack, config: ReaderConfig) -> Result<Self, ReaderError> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let reader = stack.block_on(Reader::spawn(config, move |event| {
            if !matches!(event, Event::Idle(_) | Event::Schema(_)) {
                seen.lock().unwrap().push(describe(&event));
            }
            ControlFlow::Continue(())
        }))?;
        Ok(Self { reader, events })
    }

    pub fn of(stack: &TestStack, publication: &str) -> Self {
        Self::start(
            stack,
            ReaderConfig::new(server(stack), temporary(), [publication]),
        )
        .unwrap()
    }

    pub fn so_far(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until this many transactions were delivered; returns everything delivered.
    pub fn until_commits(&self, count: usize) -> Vec<String> {
        let commits = || {
            let events = self.events.lock().unwrap();
            events
                .iter()
                .filter(|event| event.starts_with("commit"))
                .count()
        };
        until("the transactions", || {
            assert_eq!(self.reader.error().map(|e| e.to_string()), None);
            commits() >= count
        });
        self.so_far()
    }

    /// Why the reader ends, which it does soon.
    pub fn failure(&self, stack: &TestStack) -> ReaderError {
        stack.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), self.reader.ended())
                .await
                .expect("the reader goes on");
        });
        self.reader.error().unwrap()
    }

    /// Blocks the handler while `work` is done.
    pub fn block_handler(&self, work: impl FnOnce()) {
        let _held = self.events.lock().unwrap();
        work();
    }

    /// The ids inserted, in order.
    pub fn inserted(&self) -> Vec<u64> {
        let events = self.events.lock().unwrap();
        let id = |event: &String| {
            let (_, row) = event.strip_prefix("insert#")?.split_once('(')?;
            row.split([',', ')']).next()?.parse().ok()
        };
        events.iter().filter_map(id).collect()
    }
}

pub fn temporary() -> Slot {
    Slot::Temporary(SlotName::new("reader_test").unwrap())
}

pub fn permanent() -> Slot {
    Slot::Permanent {
        name: SlotName::new("reader_test").unwrap(),
        failover: false,
    }
}

pub fn drop_it(stack: &TestStack) {
    let name = SlotName::new("reader_test").unwrap();
    until("the slot to be free", || {
        stack.block_on(drop_slot(&server(stack), &name)).is_ok()
    });
}

/// A table `t` and a publication `p` of it, dropped with the guard.
pub struct Table<'a>(&'a TestStack);

impl<'a> Table<'a> {
    pub fn make(stack: &'a TestStack, sql: &str) -> Self {
        let table = Self(stack);
        table.remove();
        stack.sql(sql);
        if !sql.contains("PUBLICATION") {
            stack.sql("CREATE PUBLICATION p FOR TABLE t");
        }
        table
    }

    fn remove(&self) {
        self.0
            .sql("DROP PUBLICATION IF EXISTS p; DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS u");
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.remove();
        }
    }
}

fn changes(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY, name text, big text);
         ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
         CREATE TABLE u (id int, n int); ALTER TABLE u REPLICA IDENTITY FULL;
         CREATE PUBLICATION p FOR TABLE t, u",
    );
    let reading = Reading::of(stack, "p");
    stack.sql("INSERT INTO t VALUES (1, 'a', NULL), (2, NULL, repeat('x', 9000))");
    stack.sql("UPDATE t SET name = 'b' WHERE id = 2");
    stack.sql("UPDATE t SET id = 3 WHERE id = 1");
    stack.sql("DELETE FROM t WHERE id = 3; INSERT INTO u VALUES (1, 2); UPDATE u SET n = 3; DELETE FROM u");
    stack.sql("TRUNCATE t, u RESTART IDENTITY");
    let big = "x".repeat(9000);
    assert_eq!(
        reading.until_commits(5),
        [
            "begin",
            "insert#0 t (1,a,null)",
            &format!("insert#1 t (2,null,{big})"),
            "commit of 2",
            "begin",
            // Not null, and not dropped: not sent.
            "update#0 t (2,b,unchanged)",
            "commit of 1",
            "begin",
            "update#0 t (3,a,null) key (1,null,null)",
            "commit of 1",
            "begin",
            "delete#0 t key (3,null,null)",
            "insert#1 u (1,2)",
            "update#2 u (1,3) was (1,2)",
            "delete#3 u was (1,3)",
            "commit of 4",
            "begin",
            "truncate#0 t",
            "truncate#1 u",
            "commit of 2",
        ]
        .map(str::to_owned)
    );
}

fn altered(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY, a text)");
    let reading = Reading::of(stack, "p");
    stack.sql("INSERT INTO t VALUES (1, 'x')");
    stack.sql("BEGIN; INSERT INTO t VALUES (2, 'x'); ALTER TABLE t ADD b int DEFAULT 5; INSERT INTO t VALUES (3, 'y', 6); COMMIT");
    stack.sql("ALTER TABLE t DROP COLUMN a; INSERT INTO t VALUES (4, 7)");
    stack
        .sql("DROP TABLE t; CREATE TABLE t (id text PRIMARY KEY); ALTER PUBLICATION p ADD TABLE t");
    stack.sql("INSERT INTO t VALUES ('five')");
    let rows: Vec<_> = reading.until_commits(4);
    let rows: Vec<_> = rows
        .iter()
        .filter(|event| event.starts_with("insert"))
        .collect();
    assert_eq!(
        rows,
        [
            "insert#0 t (1,x)",
            "insert#0 t (2,x)",
            "insert#1 t (3,y,6)",
            "insert#0 t (4,7)",
            "insert#0 t (five)"
        ]
    );
}

fn rolled_back(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let reading = Reading::of(stack, "p");
    stack.sql("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; INSERT INTO t VALUES (3); COMMIT");
    stack.sql("BEGIN; INSERT INTO t VALUES (4); ROLLBACK");
    stack.sql("INSERT INTO t VALUES (5)");
    reading.until_commits(2);
    assert_eq!(reading.inserted(), [1, 3, 5]);
}

fn messages_and_origins(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let all = Reading::of(stack, "p");
    let mut config = ReaderConfig::new(
        server(stack),
        Slot::Temporary(SlotName::new("reader_test_local").unwrap()),
        ["p"],
    );
    config.origins = Origins::Local;
    let local = Reading::start(stack, config).unwrap();
    stack.sql("SELECT pg_logical_emit_message(false, 'note', 'at once')");
    stack.sql("BEGIN; INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'note', 'with it'); COMMIT");
    stack.sql("SELECT pg_replication_origin_create('elsewhere')");
    stack.sql("SELECT pg_replication_origin_session_setup('elsewhere'); INSERT INTO t VALUES (2)");
    stack.sql("SELECT pg_replication_origin_drop('elsewhere'); INSERT INTO t VALUES (3)");
    let events = all.until_commits(3);
    assert_eq!(
        events[..5],
        [
            "message note at once (in no transaction)",
            "begin",
            "insert#0 t (1)",
            "message note with it",
            "commit of 2"
        ]
    );
    assert_eq!(all.inserted(), [1, 2, 3]);
    local.until_commits(2);
    assert_eq!(local.inserted(), [1, 3]);
}

fn column_list_and_row_filter(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY, secret text, kind text);
         CREATE PUBLICATION p FOR TABLE t (id, kind) WHERE (id > 10)",
    );
    let reading = Reading::of(stack, "p");
    stack.sql("INSERT INTO t VALUES (1, 's', 'k')");
    stack.sql("INSERT INTO t VALUES (11, 's', 'k')");
    let events = reading.until_commits(1);
    assert_eq!(events, ["begin", "insert#0 t (11,k)", "commit of 1"]);
}

fn binary(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id bigint PRIMARY KEY, f float8, b bytea, u uuid, ok bool, j jsonb, s text)",
    );
    let mut config = ReaderConfig::new(server(stack), temporary(), ["p"]);
    config.binary = true;
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let reader = stack.block_on(Reader::spawn(config, move |event| {
        if let Event::Change(change) = event {
            *kept.lock().unwrap() = Some((
                change.get::<i64>("id").unwrap(),
                change.get::<f64>("f").unwrap(),
                change.get::<Vec<u8>>("b").unwrap(),
                change.get::<uuid::Uuid>("u").unwrap(),
                change.get::<bool>("ok").unwrap(),
                change.get::<serde_json::Value>("j").unwrap(),
                change.get::<String>("s").unwrap(),
            ));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }));
    let reader = reader.unwrap();
    stack.sql("INSERT INTO t VALUES (-5, 0.1, '\\x00ff', '0191c0de-0000-7000-8000-000000000001', true, '{\"a\": [1]}', 'text')");
    stack.block_on(reader.ended());
    assert_eq!(
        seen.lock().unwrap().take(),
        Some((
            Some(-5),
            Some(0.1),
            Some(vec![0, 255]),
            Some(uuid::Uuid::from_u128(
                0x0191_c0de_0000_7000_8000_0000_0000_0001
            )),
            Some(true),
            Some(serde_json::json!({ "a": [1] })),
            Some("text".to_owned()),
        ))
    );
}

fn manual_acknowledgement(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let config = || {
        let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
        config.acknowledge = Acknowledge::Manual;
        config.status_interval = Duration::from_millis(50);
        config
    };
    // A sink that has stored the first two transactions, and is killed before the third.
    let ends = Arc::new(Mutex::new(Vec::<Lsn>::new()));
    let seen = Arc::clone(&ends);
    let reader = stack
        .block_on(Reader::spawn(config(), move |event| {
            if let Event::Commit(commit) = event {
                seen.lock().unwrap().push(commit.end_lsn);
            }
            ControlFlow::Continue(())
        }))
        .unwrap();
    for id in 1..=3 {
        stack.sql(&format!("INSERT INTO t VALUES ({id})"));
    }
    until("three transactions", || ends.lock().unwrap().len() == 3);
    let second = ends.lock().unwrap()[1];
    reader.acknowledger().acknowledge(second);
    let stats = reader.stop().unwrap();
    assert_eq!(stats.acknowledged, second);
    let again = Reading::start(stack, config()).unwrap();
    again.until_commits(1);
    assert_eq!(again.inserted(), [3]);
    again.reader.stop().unwrap();
    // A sink that stores positions with its data provides its position.
    let mut resumed = config();
    resumed.start_after = Some(ends.lock().unwrap()[2]);
    let none = Reading::start(stack, resumed).unwrap();
    stack.sql("INSERT INTO t VALUES (4)");
    none.until_commits(1);
    assert_eq!(none.inserted(), [4]);
    none.reader.stop().unwrap();
    drop_it(stack);
}

fn file_checkpoint(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let folder = open_folder();
    let file = folder.path().join("t.lsn");
    let config = || {
        let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
        config.checkpoint = Some(Box::new(FileCheckpoint::at(&file)));
        // Nothing is acknowledged to the server in between.
        config.status_interval = Duration::from_secs(60);
        config
    };
    let first = Reading::start(stack, config()).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    first.until_commits(1);
    until("the checkpoint", || file.exists());
    let stats = first.reader.stop().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Lsn = text.lines().next().unwrap().parse().unwrap();
    assert_eq!(kept, stats.acknowledged);
    stack.sql("INSERT INTO t VALUES (2)");
    let second = Reading::start(stack, config()).unwrap();
    second.until_commits(1);
    assert_eq!(second.inserted(), [2]);
    second.reader.stop().unwrap();
    drop_it(stack);
}

/// Bytes of WAL that the test's slot retains.
fn retained_wal(stack: &TestStack) -> u64 {
    let slots = stack.block_on(list_slots(&server(stack))).unwrap();
    let slot = slots
        .iter()
        .find(|slot| slot.name == "reader_test")
        .unwrap();
    slot.retained_bytes.unwrap()
}

fn heartbeat(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE u (pad text)",
    );
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.heartbeat = Some(Duration::from_millis(200));
    config.status_interval = Duration::from_millis(100);
    let reading = Reading::start(stack, config).unwrap();
    // Other tables are written to; the captured table does not change.
    let written = 20_000_000;
    stack.sql("INSERT INTO u SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) n");
    until("the slot to let go", || {
        // It writes what transactions are open, as the server does by itself every quarter of a minute.
        stack.sql("CHECKPOINT");
        retained_wal(stack) < written / 10
    });
    assert_eq!(reading.so_far(), [""; 0], "heartbeats are not handed over");
    reading.reader.stop().unwrap();
    drop_it(stack);
}
