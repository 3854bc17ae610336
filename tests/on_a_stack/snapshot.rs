//! The initial copy, and the stream after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{
    Acknowledge, Change, Event, FileCheckpoint, Operation, Reader, ReaderConfig, ReaderError,
    ReaderHandle, Slot, SlotName, SnapshotConfig, SnapshotResume, SnapshotRow, list_slots,
};

use super::Test;
use super::reader::{describe, server};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("snapshot_and_stream_have_every_row_once", |stack| {
        while_rows_change(stack, SnapshotConfig::default().chunk);
    }),
    (
        "snapshot_of_many_chunks_and_stream_have_every_row_once",
        |stack| while_rows_change(stack, 1 << 16),
    ),
    ("snapshot_copies_what_is_published", what_is_published),
    ("snapshot_resumes_by_table", taken_up_again),
    ("snapshot_continues_when_its_sessions_are_cut", cut),
    ("snapshot_reports_what_is_wrong", refused),
];

/// The tables of a sink: each row by its id.
#[derive(Debug, Default)]
struct Sink {
    rows: BTreeMap<String, BTreeMap<i64, String>>,
    /// Inserts of rows that existed, or deletes of rows that did not.
    surprises: Vec<String>,
    copied: Vec<String>,
    /// Chunks of the plans.
    chunks: usize,
    places: Vec<SnapshotRow>,
}

impl Sink {
    fn apply(&mut self, change: &Change<'_>) {
        let name = &change.relation.name;
        let rows = self.rows.entry(name.clone()).or_default();
        let row = |tuple: &Tuple<'_>| {
            let text = |index: usize| match tuple.get(index) {
                Some(Value::Text(text)) => text.to_owned(),
                other => format!("{other:?}"),
            };
            (text(0).parse::<i64>().unwrap(), text(1))
        };
        let was = match (&change.operation, &change.old, &change.new) {
            (Operation::Read(place), _, Some(new)) => {
                self.places.push(*place);
                let (id, text) = row(new);
                rows.insert(id, text).is_none()
            }
            (Operation::Insert, _, Some(new)) => {
                let (id, text) = row(new);
                rows.insert(id, text).is_none()
            }
            (Operation::Update, _, Some(new)) => {
                let (id, text) = row(new);
                rows.insert(id, text).is_some()
            }
            (Operation::Delete, Some(OldTuple::Key(old)), _) => rows.remove(&row(old).0).is_some(),
            other => panic!("{other:?}"),
        };
        if !was {
            self.surprises.push(format!(
                "{} at {} {:?}",
                change.operation, change.lsn, change.new
            ));
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Snapshot(plan) => {
                // A table that is copied again is emptied first.
                for table in &plan.tables {
                    self.rows.remove(&table.relation.name);
                    self.chunks += table.chunks;
                }
            }
            Event::Change(change) => self.apply(change),
            Event::Copied(table) => self.copied.push(table.relation.name.clone()),
            _ => {}
        }
    }
}

fn config(stack: &TestStack, slot: Slot) -> ReaderConfig {
    ReaderConfig {
        snapshot: Some(SnapshotConfig {
            connections: 2,
            ..SnapshotConfig::default()
        }),
        status_interval: Duration::from_millis(50),
        ..ReaderConfig::new(server(stack), slot, ["copy"])
    }
}

fn temporary() -> Slot {
    Slot::Temporary(SlotName::new("copy_test").unwrap())
}

fn permanent() -> Slot {
    Slot::Permanent {
        name: SlotName::new("copy_test").unwrap(),
        failover: false,
    }
}

fn follow(stack: &TestStack, config: ReaderConfig, sink: &Arc<Mutex<Sink>>) -> ReaderHandle {
    let sink = Arc::clone(sink);
    let reader = Reader::spawn(config, move |event| {
        sink.lock().unwrap().event(&event);
        ControlFlow::Continue(())
    });
    stack.block_on(reader).unwrap()
}

/// The rows of a table in PostgreSQL.
fn rows(stack: &TestStack, table: &str) -> BTreeMap<i64, String> {
    let rows = stack.sql(&format!("SELECT id || ' ' || text FROM {table}"));
    let row = |row: &String| {
        let (id, text) = row.split_once(' ').unwrap();
        (id.parse().unwrap(), text.to_owned())
    };
    rows.iter().map(row).collect()
}

fn until_equal(stack: &TestStack, reader: &ReaderHandle, sink: &Arc<Mutex<Sink>>, tables: &[&str]) {
    let wanted: BTreeMap<_, _> = tables
        .iter()
        .map(|table| ((*table).to_owned(), rows(stack, table)))
        .collect();
    until("the sink to have every row", || {
        assert_eq!(reader.error().map(|e| e.to_string()), None);
        sink.lock().unwrap().rows == wanted
    });
}

fn away(stack: &TestStack) {
    until("the slot to be free", || {
        stack.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active",
        );
        stack.sql("SELECT 1 FROM pg_replication_slots").is_empty()
    });
    stack.sql(NOTHING);
}

/// Removes what an earlier test may have left.
const NOTHING: &str = "DROP PUBLICATION IF EXISTS copy; DROP TABLE IF EXISTS a, b, c, d CASCADE; DROP ROLE IF EXISTS copier";

const TABLES: &str = "
CREATE TABLE a (id bigint PRIMARY KEY, text text NOT NULL);
CREATE TABLE b (LIKE a INCLUDING ALL); CREATE TABLE c (LIKE a INCLUDING ALL); CREATE TABLE d (LIKE a INCLUDING ALL);
INSERT INTO a SELECT n, E'row\\t' || n || repeat('x', 200) FROM generate_series(1, 20000) n;
INSERT INTO b SELECT n, 'row ' || n FROM generate_series(1, 2000) n;
CREATE PUBLICATION copy FOR TABLE a, b, c, d;
";

fn while_rows_change(stack: &TestStack, chunk: u64) {
    stack.sql(NOTHING);
    stack.sql(TABLES);
    let (stop, written) = (AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
    let sink = Arc::new(Mutex::new(Sink::default()));
    let more_are_written = |by: u64| {
        let wanted = written.load(Ordering::SeqCst) + by;
        until("the writer", || written.load(Ordering::SeqCst) >= wanted);
    };
    std::thread::scope(|scope| {
        // Inserts, updates and deletes, before, during and after the copy.
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let next = 100_000 + written.load(Ordering::SeqCst);
                stack.sql(&format!(
                    "BEGIN; INSERT INTO a VALUES ({next}, 'new'); INSERT INTO b VALUES ({next}, 'new'); COMMIT;
                     UPDATE a SET text = 'changed by {next}' WHERE id = {next} % 20000;
                     DELETE FROM a WHERE id = {next} * 7 % 20000;
                     INSERT INTO c VALUES ({next}, 'new'); DELETE FROM c WHERE id = {next} - 3"
                ));
                written.fetch_add(1, Ordering::SeqCst);
            }
        });
        more_are_written(3);
        let (seen, within) = (Arc::clone(&sink), Arc::clone(&written));
        let mut waits = true;
        let mut config = config(stack, temporary());
        config.snapshot = config.snapshot.map(|with| SnapshotConfig { chunk, ..with });
        let reader = Reader::spawn(config, move |event| {
            let mut sink = seen.lock().unwrap();
            sink.event(&event);
            if waits && sink.places.len() > 100 {
                waits = false;
                let now = within.load(Ordering::SeqCst);
                until("changes within the copy", || {
                    within.load(Ordering::SeqCst) > now + 10
                });
            }
            ControlFlow::Continue(())
        });
        let reader = stack.block_on(reader).unwrap();
        until("the copy", || {
            assert_eq!(reader.error().map(|e| e.to_string()), None);
            sink.lock().unwrap().copied.len() == 4
        });
        more_are_written(10);
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        stack.sql("INSERT INTO d VALUES (1, 'last')");
        until_equal(stack, &reader, &sink, &["a", "b", "c", "d"]);
        let stats = reader.stop().unwrap();
        assert!(
            stats.copied_rows > 15_000 && stats.changes > 60,
            "{stats:?}"
        );
    });
    let sink = sink.lock().unwrap();
    assert_eq!(sink.surprises, [""; 0], "no gap and no overlap");
    let count = |place: SnapshotRow| sink.places.iter().filter(|p| **p == place).count();
    assert_eq!(
        (count(SnapshotRow::First), count(SnapshotRow::Last)),
        (1, 1)
    );
    assert_eq!(sink.places.first(), Some(&SnapshotRow::First));
    assert_eq!(sink.places.last(), Some(&SnapshotRow::Last));
    // Of three tables with rows: the last row of all is the last of its table, too.
    assert_eq!(count(SnapshotRow::LastInTable), 2);
    assert_eq!(count(SnapshotRow::FirstInTable), 2);
    assert_eq!(sink.chunks > 60, chunk < 1 << 20, "{}", sink.chunks);
    away(stack);
}

/// Everything that is delivered until the copy is complete, as text.
fn copied(stack: &TestStack, config: ReaderConfig) -> BTreeSet<String> {
    let events = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&events);
    let reader = Reader::spawn(config, move |event| {
        if matches!(event, Event::Idle(_) | Event::CopiedChunk(_)) {
            return ControlFlow::Continue(());
        }
        seen.lock().unwrap().insert(describe(&event));
        match event {
            Event::Copied(table) if table.left == 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    let reader = stack.block_on(reader).unwrap();
    until("the copy", || reader.is_over());
    reader.stop().unwrap();
    events.lock().unwrap().clone()
}

fn what_is_published(stack: &TestStack) {
    stack.sql(NOTHING);
    stack.sql(
        "CREATE TABLE a (id int PRIMARY KEY, gone int, hidden text, text text, twice int GENERATED ALWAYS AS (id * 2) STORED);
         ALTER TABLE a DROP COLUMN gone;
         INSERT INTO a VALUES (1, 'h', E'tab\\tand \\\\N and \\n'), (2, 'h', NULL), (3, 'h', '');
         CREATE TABLE b (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE b1 PARTITION OF b FOR VALUES FROM (0) TO (10); CREATE TABLE b2 PARTITION OF b FOR VALUES FROM (10) TO (20);
         INSERT INTO b VALUES (5), (15);
         CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE c1 () INHERITS (c); INSERT INTO c VALUES (7); INSERT INTO c1 VALUES (8);
         CREATE TABLE d (id int PRIMARY KEY);
         CREATE PUBLICATION copy FOR TABLE a (id, text) WHERE (id < 3), b, ONLY c, d WITH (publish_via_partition_root = true)",
    );
    let all = [
        "snapshot of 4",
        "copied 2 rows of a",
        "copied 2 rows of b",
        "copied 1 rows of c",
        "copied 0 rows of d",
        "read#0 a (1,tab\tand \\N and \n)",
        "read#1 a (2,null)",
        "read#0 b (5)",
        "read#1 b (15)",
        "read#0 c (7)",
        "schema of a: 2 columns",
        "schema of b: 1 columns",
        "schema of c: 1 columns",
    ];
    // Rows of a table in their order in it; a block is the smallest chunk.
    let in_order = |chunk| {
        let connections = 1;
        // By table, one connection copies a table as a whole.
        let resume = SnapshotResume::ByChunk;
        ReaderConfig {
            snapshot: Some(SnapshotConfig {
                connections,
                chunk,
                resume,
            }),
            ..config(stack, temporary())
        }
    };
    for chunk in [1 << 26, 1] {
        assert_eq!(
            copied(stack, in_order(chunk)),
            all.map(str::to_owned).into()
        );
    }
    // Values have the format of the stream.
    let binary = ReaderConfig {
        binary: true,
        ..in_order(1)
    };
    let binary = copied(stack, binary);
    assert!(binary.contains("read#0 c ([0, 0, 0, 7])"), "{binary:?}");
    assert!(
        binary.contains("read#1 a ([0, 0, 0, 2],null)"),
        "{binary:?}"
    );
    away(stack);
}

fn taken_up_again(stack: &TestStack) {
    stack.sql(NOTHING);
    stack.sql(TABLES);
    let folder = open_folder();
    let file = folder.path().join("copy.checkpoint");
    let with_file = || ReaderConfig {
        checkpoint: Some(Box::new(FileCheckpoint::at(&file))),
        ..config(stack, permanent())
    };
    // A sink that is killed while the large table is copied, after the others are complete.
    let sink = Arc::new(Mutex::new(Sink::default()));
    let seen = Arc::clone(&sink);
    let first = ReaderConfig {
        snapshot: Some(SnapshotConfig::default()),
        acknowledge: Acknowledge::Manual,
        ..with_file()
    };
    let (copied, tables) = std::sync::mpsc::channel();
    let reader = Reader::spawn(first, move |event| {
        let mut sink = seen.lock().unwrap();
        let of_large = |sink: &Sink| sink.rows.get("a").map_or(0, BTreeMap::len);
        let before = of_large(&sink);
        sink.event(&event);
        if let Event::Copied(table) = event {
            copied
                .send((table.relation.table_name(), table.point))
                .unwrap();
        }
        let now = of_large(&sink);
        let half = now >= 10_000;
        if half && sink.copied.len() == 3 {
            return ControlFlow::Break(());
        }
        if half && now > before {
            // The small tables are copied meanwhile.
            std::thread::sleep(Duration::from_micros(500));
        }
        ControlFlow::Continue(())
    });
    let reader = stack.block_on(reader).unwrap();
    let acknowledger = reader.acknowledger();
    for _ in 0..3 {
        let (table, point) = tables.recv_timeout(Duration::from_secs(20)).unwrap();
        acknowledger.acknowledge_copy(table, point);
    }
    until("the break", || reader.is_over());
    reader.stop().unwrap();
    let kept = std::fs::read_to_string(&file).unwrap();
    // The position, what it is of, and three tables.
    assert_eq!(kept.lines().count(), 5, "{kept}");
    // Changes of the copied tables and of the interrupted one, while no reader is connected.
    stack.sql("INSERT INTO b VALUES (5000, 'meanwhile'); DELETE FROM b WHERE id = 1; DELETE FROM a WHERE id < 100; INSERT INTO a VALUES (50000, 'meanwhile')");
    sink.lock().unwrap().surprises.clear();
    let reader = follow(stack, with_file(), &sink);
    until("the copy", || sink.lock().unwrap().copied.len() == 4);
    assert_eq!(sink.lock().unwrap().copied[3], "a", "and no other again");
    stack.sql("INSERT INTO a VALUES (50001, 'after')");
    until_equal(stack, &reader, &sink, &["a", "b"]);
    reader.stop().unwrap();
    assert_eq!(sink.lock().unwrap().surprises, [""; 0]);
    // Once everything is copied, no table is copied again.
    let reader = follow(stack, with_file(), &sink);
    stack.sql("INSERT INTO a VALUES (50002, 'later')");
    until_equal(stack, &reader, &sink, &["a", "b"]);
    assert_eq!(reader.stop().unwrap().copied_rows, 0);
    away(stack);
}

fn cut(stack: &TestStack) {
    stack.sql(NOTHING);
    stack.sql(TABLES);
    let sink = Arc::new(Mutex::new(Sink::default()));
    let seen = Arc::clone(&sink);
    let reader = Reader::spawn(config(stack, temporary()), move |event| {
        let mut sink = seen.lock().unwrap();
        sink.event(&event);
        if sink.copied.len() < 4 && sink.places.len() > 1_000 {
            // Slow enough to be cut in the middle.
            std::thread::sleep(Duration::from_micros(100));
        }
        ControlFlow::Continue(())
    });
    let reader = stack.block_on(reader).unwrap();
    until("some rows", || sink.lock().unwrap().places.len() > 1_500);
    let cut = stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcdc-snapshot'");
    assert!(!cut.is_empty());
    stack.sql("DELETE FROM a WHERE id <= 500");
    until_equal(stack, &reader, &sink, &["a", "b"]);
    let sink = sink.lock().unwrap();
    let begun = sink
        .places
        .iter()
        .filter(|place| **place == SnapshotRow::First);
    assert_eq!(begun.count(), 2, "it began anew");
    drop(sink);
    reader.stop().unwrap();
    away(stack);
}

fn refused(stack: &TestStack) {
    stack.sql(NOTHING);
    stack.sql(TABLES);
    let fails = |config: ReaderConfig| {
        let reader = Reader::spawn(config, |_| ControlFlow::Continue(()));
        match stack.block_on(reader) {
            Err(error) => error,
            Ok(reader) => {
                until("the end", || reader.is_over());
                reader.error().unwrap()
            }
        }
    };
    let error = fails(config(stack, permanent()));
    assert!(
        matches!(error, ReaderError::CopyWithoutCheckpoint { .. }),
        "{error}"
    );
    stack.sql("CREATE ROLE copier LOGIN REPLICATION PASSWORD 'copier'");
    let mut unprivileged = config(stack, temporary());
    unprivileged.server.user = "copier".to_owned();
    unprivileged.server.password = Some("copier".into());
    let error = fails(unprivileged).to_string();
    assert!(
        // Tables are copied concurrently: which one is refused first is random.
        error.contains("user \"copier\" may not: permission denied for table"),
        "{error}"
    );
    stack.sql("DROP ROLE copier");
    until("every slot to be gone", || {
        let slots = stack.block_on(list_slots(&server(stack)));
        slots.unwrap().is_empty()
    });
    away(stack);
}
