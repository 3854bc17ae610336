//! The positions that the reader goes on from: held against slot, server and checkpoint at every opening.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgcdc::{
    FileCheckpoint, Lsn, ReaderConfig, ReaderError, Slot, SlotName, SnapshotConfig, current_lsn,
};

use super::Test;
use super::proxy::Proxy;
use super::reader::{Reading, Table, drop_it, permanent, server, server_at, temporary};
use super::reader_guarantees::{error_of, slots};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "reader_a_checkpoint_that_outlives_its_slot_is_an_error",
        checkpoint_outlives_slot,
    ),
    (
        "reader_a_checkpoint_of_another_slot_or_of_wal_to_come_is_an_error",
        foreign_checkpoint,
    ),
    (
        "reader_a_position_before_that_of_the_slot_is_an_error",
        start_before_slot,
    ),
    (
        "reader_stopped_while_it_reconnects_stores_its_checkpoint",
        stopped_in_reconnect,
    ),
];

fn slot(name: &str) -> Slot {
    Slot::Permanent {
        name: SlotName::new(name).unwrap(),
        failover: false,
    }
}

fn checkpoint_outlives_slot(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let folder = open_folder();
    let file = folder.path().join("t.lsn");
    let config = || {
        let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
        config.checkpoint = Some(Box::new(FileCheckpoint::at(&file)));
        config
    };
    let first = Reading::start(stack, config()).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    first.until_commits(1);
    let kept = first.reader.stop().unwrap().acknowledged;
    let gone = |what: &str| {
        let error = error_of(stack, config());
        let ReaderError::SlotMoved { ours, stands, .. } = error else {
            panic!("{what}: {error}");
        };
        assert!(ours >= kept && stands > ours, "{what}: {error}");
        assert!(error.to_string().contains("To begin anew"), "{error}");
    };
    // Dropped and made anew, by hand and by the reader itself.
    drop_it(stack);
    stack.sql("INSERT INTO t VALUES (2)");
    gone("made by the reader");
    assert_eq!(slots(stack), [""; 0], "a refused start leaves nothing");
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'pgoutput')");
    gone("made by hand");
    drop_it(stack);
    // Advanced by hand.
    std::fs::remove_file(&file).unwrap();
    let again = Reading::start(stack, config()).unwrap();
    stack.sql("INSERT INTO t VALUES (3)");
    again.until_commits(1);
    again.reader.stop().unwrap();
    stack.sql("INSERT INTO t VALUES (4)");
    stack.sql("SELECT pg_replication_slot_advance('reader_test', pg_current_wal_lsn())");
    gone("advanced");
    drop_it(stack);
    // An initial copy is as of a position, too.
    std::fs::remove_file(&file).unwrap();
    let mut copying = config();
    copying.snapshot = Some(SnapshotConfig::default());
    let copied = Reading::start(stack, copying).unwrap();
    until("the copy", || {
        copied
            .so_far()
            .iter()
            .any(|event| event.starts_with("copied"))
    });
    copied.reader.stop().unwrap();
    drop_it(stack);
    stack.sql("INSERT INTO t VALUES (5)");
    let mut copying = config();
    copying.snapshot = Some(SnapshotConfig::default());
    let error = error_of(stack, copying);
    assert!(matches!(error, ReaderError::SlotMoved { .. }), "{error}");
}

fn foreign_checkpoint(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let folder = open_folder();
    let file = folder.path().join("t.lsn");
    let config = |slot: Slot| {
        let mut config = ReaderConfig::new(server(stack), slot, ["p"]);
        config.checkpoint = Some(Box::new(FileCheckpoint::at(&file)));
        config
    };
    let first = Reading::start(stack, config(permanent())).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    first.until_commits(1);
    first.reader.stop().unwrap();
    let error = error_of(stack, config(slot("reader_other")));
    assert!(
        matches!(error, ReaderError::ForeignCheckpoint { .. }),
        "{error}"
    );
    let words = error.to_string();
    assert!(
        words.contains("\"reader_test\"") && words.contains("\"reader_other\""),
        "{words}"
    );
    assert_eq!(slots(stack), ["reader_test"]);
    // The same slot of another cluster.
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, after) = text.split_once("source ").unwrap();
    let (_, after) = after.split_once(' ').unwrap();
    std::fs::write(&file, format!("{before}source 1 {after}")).unwrap();
    let error = error_of(stack, config(permanent()));
    assert!(
        matches!(error, ReaderError::ForeignCheckpoint { .. }),
        "{error}"
    );
    // WAL that is to come: a server restored from a backup. Acknowledging it would skip what is written until then.
    let confirmed = || stack.sql("SELECT confirmed_flush_lsn FROM pg_replication_slots");
    let stood = confirmed();
    std::fs::write(&file, "FFFF/0\n").unwrap();
    let error = error_of(stack, config(permanent()));
    assert!(
        matches!(
            error,
            ReaderError::PositionUnknown {
                position: Lsn(0xffff_0000_0000),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(confirmed(), stood);
    drop_it(stack);
}

fn start_before_slot(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let early = stack.block_on(current_lsn(&server(stack))).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'pgoutput')");
    stack.sql("INSERT INTO t VALUES (2)");
    let from = |slot: Slot, lsn| {
        let mut config = ReaderConfig::new(server(stack), slot, ["p"]);
        config.start_after = Some(lsn);
        config
    };
    for slot in [permanent(), temporary()] {
        let name = slot.name().clone();
        if matches!(slot, Slot::Temporary(_)) {
            drop_it(stack);
        }
        let error = error_of(stack, from(slot, early));
        assert!(
            matches!(&error, ReaderError::SlotMoved { ours, slot, .. } if *ours == early && *slot == name),
            "{error}"
        );
    }
    // The server ends a session when it finds the time.
    until("the temporary slot to be gone", || slots(stack).is_empty());
}

fn stopped_in_reconnect(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let folder = open_folder();
    let file = folder.path().join("t.lsn");
    let is_open = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&is_open);
    let direct = format!("127.0.0.1:{}", stack.env["POSTGRES_PORT"]);
    let proxy = Proxy::before(direct, move |_| (!gate.load(Ordering::SeqCst)).then_some(0));
    let mut config = ReaderConfig::new(server_at(stack, proxy.port), permanent(), ["p"]);
    config.checkpoint = Some(Box::new(FileCheckpoint::at(&file)));
    // Nothing is due before the reader is stopped but the first checkpoint.
    config.status_interval = Duration::from_secs(60);
    let reading = Reading::start(stack, config).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    until("the first checkpoint", || file.exists());
    stack.sql("INSERT INTO t VALUES (2)");
    reading.until_commits(2);
    is_open.store(false, Ordering::SeqCst);
    let attempts = proxy.connections();
    stack.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL");
    until("an attempt to reconnect", || {
        proxy.connections() > attempts + 1
    });
    let stats = reading.reader.stop().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Lsn = text.lines().next().unwrap().parse().unwrap();
    assert_eq!(kept, stats.acknowledged);
    let mut config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    config.checkpoint = Some(Box::new(FileCheckpoint::at(&file)));
    let again = Reading::start(stack, config).unwrap();
    stack.sql("INSERT INTO t VALUES (3)");
    again.until_commits(1);
    assert_eq!(again.inserted(), [3]);
    again.reader.stop().unwrap();
    drop_it(stack);
}
