//! The reader on a standby, and after a failover.

use std::time::Duration;

use pgcdc::{Acknowledge, FileCheckpoint, ReaderConfig, ReaderError, Slot, SlotName, current_lsn};

use super::Test;
use super::reader::{Reading, Table, drop_it, server, temporary};
use super::stack::command::{ended, small_run, with};
use super::stack::{TestStack, open_folder, until};
use super::standby::Standby;

pub const TESTS: &[Test] = &[
    (
        "reader_on_a_standby_reads_guards_and_says_what_cannot_work",
        on_a_standby,
    ),
    (
        "reader_goes_on_after_a_failover_and_says_what_was_lost_in_one",
        failover,
    ),
];

fn on_a_standby(stack: &TestStack) {
    if stack.postgres_version() < 16 {
        // A standby of that version has no logical slots.
        return;
    }
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE u (pad text)",
    );
    let standby = Standby::start(stack);
    standby.catch_up();
    nothing_can_be_written(stack, &standby);
    let config = || ReaderConfig::new(standby.server(), temporary(), ["p"]);
    assert!(stack.block_on(current_lsn(&standby.server())).is_ok());
    let mut beating = config();
    beating.heartbeat = Some(Duration::from_secs(1));
    let error = Reading::start(stack, beating).err().unwrap();
    assert!(matches!(error, ReaderError::Standby { .. }), "{error}");
    // A slot is made when the primary has written what transactions are open.
    let mut waiting = config();
    waiting.slot_limit = Duration::from_secs(3);
    if let Err(error) = Reading::start(stack, waiting) {
        assert!(
            error.to_string().contains("pg_log_standby_snapshot"),
            "{error}"
        );
    }
    let mut guarded = config();
    guarded.max_retained_wal = Some(2_000_000);
    // Nothing is acknowledged as soon as there is something to acknowledge.
    guarded.acknowledge = Acknowledge::Manual;
    let reading = std::thread::scope(|scope| {
        let reading = scope.spawn(|| Reading::start(stack, guarded).unwrap());
        until("the slot", || {
            stack.sql("SELECT pg_log_standby_snapshot()");
            reading.is_finished()
        });
        reading.join().unwrap()
    });
    stack.sql("INSERT INTO t VALUES (1)");
    reading.until_commits(1);
    stack.sql("INSERT INTO u SELECT repeat(md5(n::text), 30) FROM generate_series(1, 10000) n");
    let error = reading.failure(stack);
    assert!(
        matches!(
            error,
            ReaderError::RetainedWal {
                limit: 2_000_000,
                ..
            }
        ),
        "{error}"
    );
}

/// What writes to PostgreSQL is refused on a standby before anything is made, and `doctor` says so, also where a primary was asked for.
fn nothing_can_be_written(stack: &TestStack, standby: &Standby<'_>) {
    let port = standby.server().port.to_string();
    let at = |args: &[&str]| {
        let mut command = with(stack.external(), args);
        command.env("POSTGRES_PORT", &port);
        command
    };
    let says = ["is a standby", "target_session_attrs=primary"];
    let results = open_folder();
    ended(small_run(at(&[]), results.path(), &["--events", "5"])).refused(3, &says);
    for command in [&["setup"][..], &["generate", "--events", "5"], &["cleanup"]] {
        ended(at(command)).refused(3, &says);
    }
    let doctor = ended(at(&["doctor"]));
    assert_eq!(doctor.code, 3, "{}", doctor.out);
    assert!(doctor.out.contains("is a standby"), "{}", doctor.out);
    let mut command = at(&["doctor"]);
    for name in ["HOST", "PORT", "USER", "DB"] {
        command.env_remove(format!("POSTGRES_{name}"));
    }
    let url = format!(
        "host=127.0.0.1 port={port} user={} dbname={} target_session_attrs=primary",
        stack.env["POSTGRES_USER"], stack.env["POSTGRES_DB"]
    );
    let doctor = ended(with(command, &["--postgres", &url]));
    assert_eq!(doctor.code, 3, "{}", doctor.out);
    assert!(doctor.out.contains("none is as wanted"), "{}", doctor.out);
}

pub fn failover(stack: &TestStack) {
    if stack.postgres_version() < 17 {
        // A standby of that version has no synchronised slots.
        return;
    }
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)");
    let folder = open_folder();
    let file = folder.path().join("t.lsn");
    let config = |of: pgcdc::Server| {
        let slot = Slot::Permanent {
            name: SlotName::new("reader_test").unwrap(),
            failover: true,
        };
        let mut config = ReaderConfig::new(of, slot, ["p"]);
        config.checkpoint = Some(Box::new(FileCheckpoint::at(&file)));
        config.status_interval = Duration::from_millis(100);
        config
    };
    let standby = Standby::start(stack);
    let first = Reading::start(stack, config(server(stack))).unwrap();
    stack.sql("INSERT INTO t VALUES (1)");
    first.until_commits(1);
    // Synchronised slots are looked after in intervals of up to half a minute, sooner when something changes.
    until("the slot on the standby", || {
        stack.sql("SELECT pg_log_standby_snapshot()");
        let synced = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'reader_test' AND synced AND NOT temporary";
        !standby.sql(synced).is_empty()
    });
    stack.sql("INSERT INTO t VALUES (2)");
    first.until_commits(2);
    first.reader.stop().unwrap();
    standby.catch_up();
    let kept = std::fs::read_to_string(&file).unwrap();
    // What the standby has not got when it is promoted is lost with the primary.
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("SELECT pg_reload_conf()");
    until("the standby to be cut off", || {
        standby
            .sql("SELECT pid FROM pg_stat_wal_receiver")
            .is_empty()
    });
    stack.sql("INSERT INTO t VALUES (3)");
    let second = Reading::start(stack, config(server(stack))).unwrap();
    second.until_commits(1);
    assert_eq!(second.inserted(), [3]);
    second.reader.stop().unwrap();
    let ahead = std::fs::read_to_string(&file).unwrap();
    standby.promote();
    standby.sql("INSERT INTO t VALUES (4)");
    // With the position of before: everything that the new primary has comes.
    std::fs::write(&file, &kept).unwrap();
    let third = Reading::start(stack, config(standby.server())).unwrap();
    third.until_commits(1);
    assert_eq!(third.inserted(), [4]);
    third.reader.stop().unwrap();
    // With a position that only the old one had: an error, also when the new one's WAL has grown past it.
    standby.sql("INSERT INTO t SELECT n FROM generate_series(100, 5000) n");
    std::fs::write(&file, &ahead).unwrap();
    let error = Reading::start(stack, config(standby.server()))
        .err()
        .unwrap();
    assert!(
        matches!(error, ReaderError::PositionUnknown { .. })
            && error.to_string().contains("timeline 1"),
        "{error}"
    );
    drop(standby);
    drop_it(stack);
}
