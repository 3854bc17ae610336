//! The reader as a stream of events and of transactions, on a real server.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgcdc::{
    Event, EventBuffer, Events, FileCheckpoint, OwnedEvent, OwnedTransaction, PartLimit, Reader,
    ReaderConfig, ReaderError, Relation, SnapshotConfig, TransactionEvent, TransactionItem,
};

use super::Test;
use super::reader::{Reading, Table, describe, drop_it, permanent, server, temporary};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("reader_a_stream_has_the_events_of_a_handler", same_events),
    (
        "reader_a_future_of_the_next_event_that_is_dropped_loses_nothing",
        dropped_futures,
    ),
    (
        "reader_a_full_queue_holds_it_back_and_a_stop_wakes_it",
        full_queue,
    ),
    ("reader_the_last_item_of_a_stream_is_its_error", last_item),
    (
        "reader_a_large_transaction_comes_in_parts_and_is_acknowledged_as_one",
        parts,
    ),
    (
        "reader_a_table_that_was_altered_is_announced_before_its_first_change_and_no_other",
        schema_changes,
    ),
    (
        "reader_metrics_count_and_show_the_lag_of_a_slow_handler",
        metrics,
    ),
];

/// Longest wait for what comes soon.
const SOON: Duration = Duration::from_secs(60);

/// The next event that is not about an idle server.
async fn next(events: &mut Events) -> OwnedEvent {
    loop {
        let event = tokio::time::timeout(SOON, events.next()).await.unwrap();
        match event.unwrap().unwrap() {
            OwnedEvent::Idle(_) | OwnedEvent::Schema(_) => {}
            event => return event,
        }
    }
}

fn described(event: &OwnedEvent) -> String {
    match event {
        OwnedEvent::Begin(transaction) => describe(&Event::Begin(transaction)),
        OwnedEvent::Change(change) => describe(&Event::Change(change.borrowed())),
        OwnedEvent::Commit(commit) => format!("commit of {}", commit.events),
        OwnedEvent::Message(message) => format!(
            "message {} {}",
            message.prefix,
            String::from_utf8_lossy(&message.content)
        ),
        OwnedEvent::Snapshot(plan) => describe(&Event::Snapshot(plan)),
        OwnedEvent::Copied(table) => {
            format!("copied {} rows of {}", table.rows, table.relation.name)
        }
        OwnedEvent::Idle(_) | OwnedEvent::Schema(_) => String::new(),
        // Neither is asked for.
        OwnedEvent::CopiedChunk(_)
        | OwnedEvent::Prepare(_)
        | OwnedEvent::CommitPrepared(_)
        | OwnedEvent::RollbackPrepared(_) => format!("{event:?}"),
    }
}

const CHANGES: [&str; 3] = [
    "INSERT INTO t VALUES (1, 'a')",
    "BEGIN; UPDATE t SET name = 'b'; SELECT pg_logical_emit_message(true, 'p', 'm'); DELETE FROM t; COMMIT",
    "TRUNCATE t",
];

fn same_events(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY, name text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (0, 'z')",
    );
    let config = || ReaderConfig {
        snapshot: Some(SnapshotConfig::default()),
        ..ReaderConfig::new(server(stack), temporary(), ["p"])
    };
    let reading = Reading::start(stack, config()).unwrap();
    until("the copy", || reading.so_far().len() >= 3);
    for sql in CHANGES {
        stack.sql(sql);
    }
    let expected = reading.until_commits(3);
    reading.reader.stop().unwrap();
    stack.sql("INSERT INTO t VALUES (0, 'z')");
    stack.block_on(async {
        let mut events = Reader::events(config()).await.unwrap();
        let mut seen = Vec::new();
        for index in 0..expected.len() {
            if index == 3 {
                let client = stack.connect().await;
                for sql in CHANGES {
                    client.batch_execute(sql).await.unwrap();
                }
            }
            let event = next(&mut events).await;
            seen.push(described(&event));
        }
        assert_eq!(seen, expected);
        events.stop().await.unwrap();
    });
}

fn dropped_futures(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let mut config = ReaderConfig::new(server(stack), temporary(), ["p"]);
    config.buffer.events = 16;
    stack.block_on(async {
        let mut events = Reader::events(config).await.unwrap();
        let client = stack.connect().await;
        let inserts = tokio::spawn(async move {
            for from in (0..3_000).step_by(10) {
                let sql = format!("INSERT INTO t SELECT generate_series({from}, {from} + 9)");
                client.batch_execute(&sql).await.unwrap();
            }
        });
        let (mut ids, mut dropped) = (Vec::new(), 0);
        while ids.len() < 3_000 {
            // Whichever is first: both are ready again and again.
            let event = tokio::select! {
                () = tokio::task::yield_now() => {
                    dropped += 1;
                    continue;
                }
                event = events.next() => event.unwrap().unwrap(),
            };
            if let OwnedEvent::Change(change) = event {
                ids.push(change.get::<i32>("id").unwrap().unwrap());
            }
        }
        assert_eq!(ids, (0..3_000).collect::<Vec<_>>());
        assert!(dropped > 0);
        inserts.await.unwrap();
    });
}

fn full_queue(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY, name text)");
    let config = || ReaderConfig {
        buffer: EventBuffer {
            events: 8,
            bytes: 100_000,
        },
        status_interval: Duration::from_millis(100),
        ..ReaderConfig::new(server(stack), permanent(), ["p"])
    };
    let is_active = || {
        let active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'reader_test'";
        stack.sql(active) == ["t"]
    };
    stack.sql("ALTER SYSTEM SET wal_sender_timeout = '1s'");
    stack.sql("SELECT pg_reload_conf()");
    let mut events = stack.block_on(Reader::events(config())).unwrap();
    stack.sql("INSERT INTO t SELECT n, repeat('x', 50000) FROM generate_series(1, 100) n");
    // Nobody takes them: the reader waits, and is not taken for dead.
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(is_active());
    stack.block_on(async {
        // A row larger than all that may wait comes, too.
        let sql = "INSERT INTO t VALUES (0, repeat('x', 10000000))";
        stack.connect().await.batch_execute(sql).await.unwrap();
        let (mut rows, mut commits) = (0, 0);
        while commits < 2 {
            match next(&mut events).await {
                OwnedEvent::Change(_) => rows += 1,
                OwnedEvent::Commit(_) => commits += 1,
                _ => {}
            }
        }
        assert_eq!(rows, 101);
        // A stop finds it waiting.
        let sql = "INSERT INTO t SELECT n, 'x' FROM generate_series(101, 1000) n";
        stack.connect().await.batch_execute(sql).await.unwrap();
        let OwnedEvent::Begin(_) = next(&mut events).await else {
            panic!("another event");
        };
        tokio::time::timeout(SOON, events.stop())
            .await
            .unwrap()
            .unwrap();
    });
    assert!(!is_active());
    // So does a stream that is dropped. What was not acknowledged comes again.
    let mut events = stack.block_on(Reader::events(config())).unwrap();
    stack.block_on(next(&mut events));
    drop(events);
    until("the slot to be free", || !is_active());
    stack.sql("ALTER SYSTEM RESET wal_sender_timeout");
    stack.sql("SELECT pg_reload_conf()");
    drop_it(stack);
}

fn last_item(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let config = ReaderConfig::new(server(stack), temporary(), ["p"]);
    stack.block_on(async {
        let mut events = Reader::events(config).await.unwrap();
        let client = stack.connect().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        assert!(matches!(next(&mut events).await, OwnedEvent::Begin(_)));
        let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'reader_test'";
        client.batch_execute(end).await.unwrap();
        // What was received before is taken first.
        assert!(matches!(next(&mut events).await, OwnedEvent::Change(_)));
        assert!(matches!(next(&mut events).await, OwnedEvent::Commit(_)));
        let error = loop {
            match tokio::time::timeout(SOON, events.next()).await.unwrap() {
                Some(Ok(OwnedEvent::Idle(_))) => {}
                Some(Err(error)) => break error,
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(error, ReaderError::TemporarySlotLost { .. }), "{error}");
        assert!(events.next().await.is_none());
        assert!(events.stop().await.is_ok(), "the error was an item");
    });
}

fn parts(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 7)",
    );
    let folder = open_folder();
    let file = folder.path().join("t.lsn");
    let config = || ReaderConfig {
        snapshot: Some(SnapshotConfig::default()),
        checkpoint: Some(Box::new(FileCheckpoint::at(&file))),
        ..ReaderConfig::new(server(stack), permanent(), ["p"])
    };
    let limit = PartLimit {
        events: 3,
        ..PartLimit::default()
    };
    let ids = |part: &OwnedTransaction| {
        let id = |event: &TransactionEvent| match event {
            TransactionEvent::Change(change) => {
                change.get::<i32>("id").unwrap().unwrap().to_string()
            }
            TransactionEvent::Message(message) => message.prefix.clone(),
            TransactionEvent::Schema(change) => format!("{} columns", change.after.columns.len()),
        };
        part.events.iter().map(id).collect::<Vec<_>>().join(",")
    };
    stack.block_on(async {
        let mut stream = Reader::transactions(config(), limit).await.unwrap();
        let acknowledger = stream.acknowledger();
        let client = stack.connect().await;
        let mut seen = Vec::new();
        loop {
            let item = tokio::time::timeout(SOON, stream.next()).await.unwrap();
            match item.unwrap().unwrap() {
                TransactionItem::Snapshot(plan) => seen.push(format!("snapshot of {}", plan.tables.len())),
                TransactionItem::Rows(rows) => seen.push(format!("{} rows", rows.len())),
                TransactionItem::Copied(table) => {
                    seen.push("copied".to_owned());
                    acknowledger.acknowledge_copy(table.relation.table_name(), table.point);
                    let sql = "BEGIN; INSERT INTO t SELECT generate_series(11, 17); SELECT pg_logical_emit_message(true, 'm', ''); COMMIT";
                    client.batch_execute(sql).await.unwrap();
                    let sql = "SELECT pg_logical_emit_message(false, 'alone', '')";
                    client.batch_execute(sql).await.unwrap();
                    client.batch_execute("INSERT INTO t VALUES (18)").await.unwrap();
                }
                TransactionItem::Transaction(part) => {
                    seen.push(format!("part {} {} {}", part.part, ids(&part), part.is_last()));
                    // The last transaction is not acknowledged.
                    match part.commit {
                        Some(commit) if commit.events == 1 => break,
                        Some(commit) => acknowledger.acknowledge(commit.end_lsn),
                        None => {}
                    }
                }
                TransactionItem::Message(message) => {
                    seen.push(message.prefix);
                    acknowledger.acknowledge(message.lsn);
                }
                TransactionItem::Schema(change) => seen.push(change.after.name.clone()),
                TransactionItem::Idle(_) => {}
                other => panic!("not asked for: {other:?}"),
            }
        }
        let expected = [
            "snapshot of 1", "t", "3 rows", "3 rows", "1 rows", "copied", "part 0 11,12,13 false", "part 1 14,15,16 false",
            "part 2 17,m true", "alone", "part 0 18 true",
        ];
        assert_eq!(seen, expected);
        stream.stop().await.unwrap();
        let mut again = Reader::transactions(config(), limit).await.unwrap();
        let first = loop {
            let item = tokio::time::timeout(SOON, again.next()).await.unwrap();
            match item.unwrap().unwrap() {
                TransactionItem::Idle(_) => {}
                TransactionItem::Transaction(part) => break ids(&part),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(first, "1 columns,18");
        again.stop().await.unwrap();
    });
    drop_it(stack);
}

fn schema_changes(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let config = ReaderConfig::new(server(stack), permanent(), ["p"]);
    let reader = stack.block_on(Reader::spawn(config, move |event| {
        let line = match event {
            Event::Idle(_) => return ControlFlow::Continue(()),
            Event::Schema(change) => {
                let columns = |of: &Arc<Relation>| {
                    let names: Vec<_> = of.columns.iter().map(|column| &*column.name).collect();
                    names.join(",")
                };
                let before = change.before.map_or("nothing".to_owned(), columns);
                format!("{before} to {}", columns(change.after))
            }
            event => describe(&event),
        };
        kept.lock().unwrap().push(line);
        ControlFlow::Continue(())
    }));
    let reader = reader.unwrap();
    let commits = || {
        let seen = seen.lock().unwrap();
        seen.iter()
            .filter(|line| line.starts_with("commit"))
            .count()
    };
    let change = |sql: &str| {
        let before = commits();
        stack.sql(sql);
        until("the transaction", || {
            assert_eq!(reader.error().map(|e| e.to_string()), None);
            commits() > before
        });
        std::mem::take(&mut *seen.lock().unwrap())[1..].to_vec()
    };
    let cut = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL";
    assert_eq!(
        change("INSERT INTO t VALUES (1)"),
        ["nothing to id", "insert#0 t (1)", "commit of 1"]
    );
    assert_eq!(
        change("INSERT INTO t VALUES (2)"),
        ["insert#0 t (2)", "commit of 1"]
    );
    // The new stream describes it again, in the same way.
    stack.sql(cut);
    assert_eq!(
        change("INSERT INTO t VALUES (3)"),
        ["insert#0 t (3)", "commit of 1"]
    );
    // In the middle of a transaction.
    assert_eq!(
        change(
            "BEGIN; INSERT INTO t VALUES (4); ALTER TABLE t ADD a text; INSERT INTO t VALUES (5, 'x'); COMMIT"
        ),
        [
            "insert#0 t (4)",
            "id to id,a",
            "insert#1 t (5,x)",
            "commit of 2"
        ]
    );
    // While the stream is cut.
    stack.sql(cut);
    stack.sql("ALTER TABLE t RENAME a TO b");
    assert_eq!(
        change("DELETE FROM t WHERE id = 5"),
        ["id,a to id,b", "delete#0 t key (5,null)", "commit of 1"]
    );
    // What the stream does not describe, and what was changed back.
    stack.sql("ALTER TABLE t ALTER b SET DEFAULT 'x'");
    assert_eq!(
        change("INSERT INTO t VALUES (6)"),
        ["insert#0 t (6,x)", "commit of 1"]
    );
    stack.sql("ALTER TABLE t ADD c int");
    stack.sql("ALTER TABLE t DROP c");
    assert_eq!(
        change("INSERT INTO t VALUES (7)"),
        ["insert#0 t (7,x)", "commit of 1"]
    );
    reader.stop().unwrap();
    drop_it(stack);
}

fn metrics(stack: &TestStack) {
    let _table = Table::make(
        stack,
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    );
    let config = ReaderConfig {
        snapshot: Some(SnapshotConfig::default()),
        status_interval: Duration::from_millis(50),
        ..ReaderConfig::new(server(stack), temporary(), ["p"])
    };
    let reading = Reading::start(stack, config).unwrap();
    let metrics = reading.reader.metrics();
    until("the copy to be counted", || metrics.get().copied_rows == 2);
    // While the handler is at its first row, the others wait.
    reading.block_handler(|| {
        stack.sql("INSERT INTO t SELECT generate_series(3, 2002)");
        stack.sql("INSERT INTO t VALUES (0)");
    });
    reading.until_commits(2);
    until("all to be delivered", || {
        let now = metrics.get();
        now.changes == 2_001 && now.lag_bytes() == 0 && now.acknowledged == now.delivered
    });
    let now = metrics.get();
    assert_eq!(
        (now.transactions, now.reconnects, now.spooled_bytes),
        (2, 0, 0)
    );
    assert!(now.received_bytes > 2_001 * 20, "{now:?}");
    assert!(
        now.delivered.0 > 0 && now.wal_end <= now.delivered,
        "{now:?}"
    );
    assert!(now.commit_time.is_some());
    assert_eq!(now.lag(), Some(Duration::ZERO));
    let stats = reading.reader.stop().unwrap();
    // They stay after the end.
    assert_eq!(metrics.get().changes, stats.changes);
}
