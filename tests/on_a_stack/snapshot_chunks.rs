//! The initial copy by ranges of blocks: what a sink by key has after a copy that was interrupted.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{
    Acknowledge, Change, Event, FileCheckpoint, Operation, Reader, ReaderConfig, ReaderHandle,
    ResumedTable, Slot, SlotName, SnapshotConfig, SnapshotResume,
};

use super::Test;
use super::reader::server;
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("snapshot_resumes_by_chunk", killed),
    ("snapshot_by_chunk_goes_on_when_its_sessions_are_cut", cut),
    (
        "snapshot_by_chunk_counts_only_what_is_acknowledged",
        acknowledged,
    ),
    (
        "snapshot_of_a_table_that_was_rewritten_begins_anew",
        rewritten,
    ),
];

/// A row: what is stored with it, and what is stored out of line.
type Row = (String, String);

/// A sink by key.
#[derive(Debug, Default)]
struct Mirror {
    rows: BTreeMap<i64, Row>,
    /// Values that were not sent, of rows that it does not have.
    missing: Vec<i64>,
    /// Rows of copies.
    copied: usize,
    chunks: usize,
    /// Where the copies of the table began.
    plans: Vec<Option<ResumedTable>>,
    is_complete: bool,
}

impl Mirror {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Snapshot(plan) => {
                let [table] = &plan.tables[..] else {
                    panic!("{plan:?}");
                };
                if table.resumed.is_none() {
                    self.rows.clear();
                }
                self.plans.push(table.resumed);
            }
            Event::Change(change) => self.change(change),
            Event::CopiedChunk(_) => self.chunks += 1,
            Event::Copied(_) => self.is_complete = true,
            _ => {}
        }
    }

    fn change(&mut self, change: &Change<'_>) {
        let id = |row: &Tuple<'_>| match row.get(0) {
            Some(Value::Text(id)) => id.parse::<i64>().unwrap(),
            other => panic!("{other:?}"),
        };
        match (&change.operation, &change.old, &change.new) {
            (Operation::Truncate { .. }, ..) => self.rows.clear(),
            (Operation::Delete, Some(OldTuple::Key(old)), _) => {
                self.rows.remove(&id(old));
            }
            (operation, old, Some(new)) => {
                self.copied += usize::from(matches!(operation, Operation::Read(_)));
                let former = match old {
                    Some(OldTuple::Key(old)) => self.rows.remove(&id(old)),
                    _ => None,
                };
                let id = id(new);
                let had = former.or_else(|| self.rows.get(&id).cloned());
                let value = |index: usize, had: Option<String>| match new.get(index) {
                    Some(Value::Text(text)) => Some(text.to_owned()),
                    Some(Value::Unchanged) => had,
                    other => panic!("{other:?}"),
                };
                let (text, body) = had.unzip();
                match value(1, text).zip(value(2, body)) {
                    Some(row) => drop(self.rows.insert(id, row)),
                    None => self.missing.push(id),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Rows of the table, in some 100 blocks; a chunk has 8.
const ROWS: usize = 3_000;
const CHUNK: u64 = 8 * 8_192;
const TABLE: &str = "
DROP PUBLICATION IF EXISTS copy; DROP TABLE IF EXISTS a;
CREATE TABLE a (id bigint PRIMARY KEY, text text NOT NULL, body text NOT NULL);
ALTER TABLE a ALTER body SET STORAGE EXTERNAL, SET (autovacuum_enabled = off);
INSERT INTO a SELECT n, repeat('x', 200), repeat(md5(n::text), 80) FROM generate_series(1, 3000) n;
CREATE PUBLICATION copy FOR TABLE a;
";
/// Most rows in a block, whose rows are 250 bytes or more.
const MOST_IN_BLOCK: usize = 32;

fn config(stack: &TestStack, file: &Path) -> ReaderConfig {
    let slot = Slot::Permanent {
        name: SlotName::new("copy_test").unwrap(),
        failover: false,
    };
    ReaderConfig {
        snapshot: Some(SnapshotConfig {
            connections: 2,
            chunk: CHUNK,
            resume: SnapshotResume::ByChunk,
        }),
        status_interval: Duration::from_millis(50),
        checkpoint: Some(Box::new(FileCheckpoint::at(file))),
        ..ReaderConfig::new(server(stack), slot, ["copy"])
    }
}

/// A reader that ends at a row when the mirror says so.
fn follow(
    stack: &TestStack,
    config: ReaderConfig,
    mirror: &Arc<Mutex<Mirror>>,
    is_over: impl Fn(&Mirror) -> bool + Send + 'static,
) -> ReaderHandle {
    let mirror = Arc::clone(mirror);
    let reader = Reader::spawn(config, move |event| {
        let mut mirror = mirror.lock().unwrap();
        mirror.event(&event);
        if matches!(event, Event::Change(_)) && is_over(&mirror) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    stack.block_on(reader).unwrap()
}

/// Copies the table until so many chunks are complete, and then a few rows more.
fn interrupted(
    stack: &TestStack,
    config: ReaderConfig,
    mirror: &Arc<Mutex<Mirror>>,
    chunks: usize,
) {
    let reader = follow(stack, config, mirror, move |mirror| mirror.chunks >= chunks);
    until("the break", || reader.is_over());
    reader.stop().unwrap();
}

fn until_equal(stack: &TestStack, reader: &ReaderHandle, mirror: &Arc<Mutex<Mirror>>) {
    let rows = stack.sql("SELECT json_build_array(id, text, body) FROM a");
    let row = |json: &String| {
        let (id, text, body) = serde_json::from_str::<(i64, String, String)>(json).unwrap();
        (id, (text, body))
    };
    let wanted: BTreeMap<_, _> = rows.iter().map(row).collect();
    until("the mirror to have every row", || {
        assert_eq!(reader.error().map(|e| e.to_string()), None);
        let mirror = mirror.lock().unwrap();
        mirror.is_complete && mirror.rows == wanted
    });
    assert_eq!(mirror.lock().unwrap().missing, [0; 0]);
}

fn away(stack: &TestStack) {
    until("the slot to be free", || {
        stack.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active",
        );
        stack.sql("SELECT 1 FROM pg_replication_slots").is_empty()
    });
    stack.sql("DROP PUBLICATION copy; DROP TABLE a");
}

fn killed(stack: &TestStack) {
    stack.sql(TABLE);
    let folder = open_folder();
    let file = folder.path().join("copy.checkpoint");
    let mirror = Arc::new(Mutex::new(Mirror::default()));
    interrupted(stack, config(stack, &file), &mirror, 6);
    let before = mirror.lock().unwrap().copied;
    // Rows move from blocks that are not copied into the room that was made in blocks that are. What is stored out of line
    // does not change: the stream does not carry it.
    stack.sql("DELETE FROM a WHERE id <= 200");
    stack.sql("VACUUM a");
    stack.sql("UPDATE a SET text = repeat('y', 200) WHERE id BETWEEN 2600 AND 2699");
    let moved = "SELECT count(*) FROM a WHERE text LIKE 'y%' AND ctid < '(40,0)'";
    assert_eq!(stack.sql(moved), ["100"]);
    // Of either part: rows that are gone, changed, changed twice and new.
    stack.sql(
        "DELETE FROM a WHERE id IN (300, 2900); UPDATE a SET text = 'z', body = 'short' WHERE id IN (301, 2901);
         UPDATE a SET id = -id WHERE id IN (302, 2902); UPDATE a SET text = 'u' WHERE id IN (-302, -2902);
         INSERT INTO a SELECT n, 'new', repeat('n', 3000) FROM generate_series(5001, 5010) n",
    );
    // Interrupted again, and a third reader goes on.
    interrupted(stack, config(stack, &file), &mirror, 8);
    stack.sql("DELETE FROM a WHERE id = 5001; UPDATE a SET text = 'last' WHERE id IN (303, 2903)");
    let reader = follow(stack, config(stack, &file), &mirror, |_| false);
    until_equal(stack, &reader, &mirror);
    reader.stop().unwrap();
    let mirror = mirror.lock().unwrap();
    assert_eq!(mirror.plans.len(), 3, "{:?}", mirror.plans);
    assert_eq!(mirror.plans[0], None);
    let [_, Some(second), Some(third)] = mirror.plans[..] else {
        panic!("{:?}", mirror.plans);
    };
    assert_eq!(second.point, third.point, "of the first snapshot");
    assert!(second.blocks_done >= 48 && third.blocks_done > second.blocks_done);
    // Twice: the chunks in progress at either end, and rows that were written since, for each copy.
    let chunk = 8 * MOST_IN_BLOCK;
    let twice = mirror.copied - (ROWS - 200);
    assert!(twice <= 200 + 2 * 2 * chunk + 2 * 130, "{twice}");
    assert!(mirror.copied - before < ROWS - 6 * chunk / 2, "it went on");
    drop(mirror);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept.contains("copied ") && !kept.contains("copying"),
        "{kept}"
    );
    away(stack);
}

fn cut(stack: &TestStack) {
    stack.sql(TABLE);
    let folder = open_folder();
    let mirror = Arc::new(Mutex::new(Mirror::default()));
    let seen = Arc::clone(&mirror);
    let file = folder.path().join("copy.checkpoint");
    let reader = Reader::spawn(config(stack, &file), move |event| {
        let mut mirror = seen.lock().unwrap();
        mirror.event(&event);
        if mirror.chunks >= 5 && !mirror.is_complete {
            // Slow enough to be cut in the middle.
            std::thread::sleep(Duration::from_micros(500));
        }
        ControlFlow::Continue(())
    });
    let reader = stack.block_on(reader).unwrap();
    until("some chunks", || mirror.lock().unwrap().chunks >= 5);
    let cut = stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcdc-snapshot'");
    assert!(!cut.is_empty());
    stack.sql("DELETE FROM a WHERE id % 10 = 0; UPDATE a SET text = 'y' WHERE id % 10 = 1");
    until_equal(stack, &reader, &mirror);
    assert_eq!(reader.stop().unwrap().reconnects, 0, "of the stream");
    let mirror = mirror.lock().unwrap();
    let [None, Some(_)] = mirror.plans[..] else {
        panic!("{:?}", mirror.plans);
    };
    let most = ROWS + 2 * 8 * MOST_IN_BLOCK + 300;
    assert!(mirror.copied <= most, "{}", mirror.copied);
    drop(mirror);
    away(stack);
}

fn acknowledged(stack: &TestStack) {
    stack.sql(TABLE);
    let folder = open_folder();
    let file = folder.path().join("copy.checkpoint");
    let by_hand = || ReaderConfig {
        acknowledge: Acknowledge::Manual,
        ..config(stack, &file)
    };
    let mirror = Arc::new(Mutex::new(Mirror::default()));
    // Nothing is acknowledged: nothing counts.
    interrupted(stack, by_hand(), &mirror, 3);
    assert!(!file.exists());
    // Two chunks are: they count.
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (seen, chunks) = (Arc::clone(&mirror), Arc::clone(&acknowledged));
    let reader = Reader::spawn(by_hand(), move |event| {
        seen.lock().unwrap().event(&event);
        if let Event::CopiedChunk(copied) = event {
            let table = copied.relation.table_name();
            chunks.lock().unwrap().push((table, copied.chunk.clone()));
            std::thread::sleep(Duration::from_millis(50));
        }
        ControlFlow::Continue(())
    });
    let reader = stack.block_on(reader).unwrap();
    let acknowledger = reader.acknowledger();
    until("two chunks", || acknowledged.lock().unwrap().len() >= 2);
    for (table, chunk) in acknowledged.lock().unwrap().drain(..2) {
        acknowledger.acknowledge_chunk(table, chunk);
    }
    until("the checkpoint", || file.exists());
    reader.stop().unwrap();
    let reader = follow(stack, by_hand(), &mirror, |_| false);
    until_equal(stack, &reader, &mirror);
    reader.stop().unwrap();
    let mirror = mirror.lock().unwrap();
    let [None, None, Some(third)] = mirror.plans[..] else {
        panic!("{:?}", mirror.plans);
    };
    assert_eq!(third.blocks_done, 16);
    drop(mirror);
    away(stack);
}

fn rewritten(stack: &TestStack) {
    for rewrite in [
        "VACUUM FULL a",
        "TRUNCATE a; INSERT INTO a SELECT n, 'new', repeat('n', 3000) FROM generate_series(1, 50) n",
        "ALTER PUBLICATION copy DROP TABLE a; DELETE FROM a WHERE id < 100; ALTER PUBLICATION copy ADD TABLE a",
        "ALTER PUBLICATION copy SET TABLE a WHERE (id % 2 = 0); DELETE FROM a WHERE id < 100",
        "ALTER TABLE a DROP CONSTRAINT a_pkey; ALTER TABLE a REPLICA IDENTITY FULL",
    ] {
        stack.sql(TABLE);
        let folder = open_folder();
        let file = folder.path().join("copy.checkpoint");
        let mirror = Arc::new(Mutex::new(Mirror::default()));
        interrupted(stack, config(stack, &file), &mirror, 4);
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(kept.contains("copying"), "{kept}");
        stack.sql(rewrite);
        // Interrupted before its first chunk: what is stored is no longer of the rows that the sink has emptied.
        interrupted(stack, config(stack, &file), &mirror, 0);
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(!kept.contains("\"start\""), "{rewrite}: {kept}");
        let reader = follow(stack, config(stack, &file), &mirror, |_| false);
        until("the copy", || mirror.lock().unwrap().is_complete);
        if rewrite.contains("id % 2") {
            stack.sql("DELETE FROM a WHERE id % 2 = 1");
        }
        until_equal(stack, &reader, &mirror);
        reader.stop().unwrap();
        let mirror = mirror.lock().unwrap();
        assert_eq!(mirror.plans, [None; 3], "{rewrite}");
        drop(mirror);
        away(stack);
    }
}
