//! Deliveries to sinks that fail, on a real server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgcdc::{
    Batch, DeliveryConfig, DeliveryError, DeliveryStats, Lsn, ReaderConfig, Sink, SinkPosition,
    SinkStep, deliver,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Test;
use super::reader::{Table, drop_it, permanent, server};
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "reader_a_sink_that_fails_every_third_time_has_every_row",
        every_third,
    ),
    (
        "reader_a_sink_killed_before_it_is_acknowledged_has_every_row_once_by_its_position",
        killed,
    ),
    (
        "reader_a_sink_that_fails_for_good_is_named_with_tables_and_position",
        permanently,
    ),
    (
        "reader_a_transaction_larger_than_a_batch_comes_to_a_sink_in_parts",
        in_parts,
    ),
];

/// What a sink keeps when its process ends.
#[derive(Debug, Default)]
struct Store {
    ids: Vec<i32>,
    position: Option<Lsn>,
    /// Position and number of rows of each batch.
    batches: Vec<(Option<Lsn>, usize)>,
    calls: u32,
}

/// A sink that fails as told.
struct TestSink {
    store: Arc<Mutex<Store>>,
    /// What becomes of a call of `write`, by its number.
    fate: fn(u32) -> Fate,
    keeps_position: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Succeeds,
    FailsBefore,
    /// The rows are stored, and the answer is lost.
    FailsAfter,
    FailsForGood,
    /// The rows are stored, and it never answers.
    Hangs,
}

impl Sink for TestSink {
    type Error = String;

    async fn position(&mut self) -> Result<SinkPosition, String> {
        Ok(match self.store.lock().unwrap().position {
            _ if !self.keeps_position => SinkPosition::NotKept,
            None => SinkPosition::Beginning,
            Some(lsn) => SinkPosition::At(lsn),
        })
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), String> {
        let fate = {
            let mut store = self.store.lock().unwrap();
            store.calls += 1;
            let fate = (self.fate)(store.calls);
            match fate {
                Fate::FailsBefore => return Err("no answer".to_owned()),
                Fate::FailsForGood => return Err("no such table".to_owned()),
                _ => {}
            }
            for change in batch.changes() {
                store.ids.push(change.get::<i32>("id").unwrap().unwrap());
            }
            store.batches.push((batch.position(), batch.rows()));
            if self.keeps_position
                && let Some(lsn) = batch.position()
            {
                store.position = Some(lsn);
            }
            fate
        };
        match fate {
            Fate::FailsAfter => Err("answer lost".to_owned()),
            Fate::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }

    fn is_transient(&self, error: &String) -> bool {
        error != "no such table"
    }
}

/// A delivery that runs.
struct Delivering {
    task: JoinHandle<Result<DeliveryStats, DeliveryError>>,
    stop: oneshot::Sender<()>,
    store: Arc<Mutex<Store>>,
}

impl Delivering {
    fn start(
        stack: &TestStack,
        store: &Arc<Mutex<Store>>,
        keeps_position: bool,
        fate: fn(u32) -> Fate,
    ) -> Self {
        let reader = ReaderConfig {
            status_interval: Duration::from_millis(50),
            ..ReaderConfig::new(server(stack), permanent(), ["p"])
        };
        let delivery = DeliveryConfig {
            rows: 10,
            wait: Duration::from_millis(5),
            attempts: 4,
            first_pause: Duration::from_millis(10),
            ..DeliveryConfig::default()
        };
        let mut sink = TestSink {
            store: Arc::clone(store),
            fate,
            keeps_position,
        };
        let (stop, stopped) = oneshot::channel();
        let delivering = async move {
            let stopped = async {
                // The test may have ended.
                let _ = stopped.await;
            };
            deliver(reader, &mut sink, delivery, stopped).await
        };
        // Only within a runtime is one known to spawn on.
        let runtime = stack.block_on(async { tokio::runtime::Handle::current() });
        let task = runtime.spawn(delivering);
        Self {
            task,
            stop,
            store: Arc::clone(store),
        }
    }

    fn until_rows(&self, count: usize) {
        until("the rows", || {
            let mut ids = self.store.lock().unwrap().ids.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.len() >= count || self.task.is_finished()
        });
    }

    fn stop(self, stack: &TestStack) -> Result<DeliveryStats, DeliveryError> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let ended = async { tokio::time::timeout(Duration::from_secs(60), self.task).await };
        stack.block_on(ended).unwrap().unwrap()
    }
}

/// Creates the slot and inserts rows 1 to `count`, so many in each transaction.
fn insert(stack: &TestStack, count: usize, each: usize) {
    for from in (1..=count).step_by(each) {
        let to = from + each - 1;
        stack.sql(&format!(
            "INSERT INTO t SELECT generate_series({from}, {to})"
        ));
    }
}

fn make_slot(stack: &TestStack) {
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'pgoutput')");
}

fn every_third(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    make_slot(stack);
    let store = Arc::default();
    let delivering = Delivering::start(stack, &store, false, |call| match call % 6 {
        2 => Fate::FailsBefore,
        5 => Fate::FailsAfter,
        _ => Fate::Succeeds,
    });
    insert(stack, 200, 4);
    delivering.until_rows(200);
    let stats = delivering.stop(stack).unwrap();
    assert!(stats.retries > 0, "{stats:?}");
    let mut store = store.lock().unwrap();
    // Those that were stored before the answer was lost came again.
    assert!(store.ids.len() > 200);
    store.ids.sort_unstable();
    store.ids.dedup();
    assert_eq!(store.ids, (1..=200).collect::<Vec<_>>());
    // Batches end with a transaction.
    assert!(
        store
            .batches
            .iter()
            .all(|(position, rows)| position.is_some() && rows % 4 == 0)
    );
    let confirmed = "SELECT confirmed_flush_lsn FROM pg_replication_slots";
    let confirmed: Lsn = stack.sql(confirmed)[0].parse().unwrap();
    assert!(
        Some(confirmed) >= store.batches.last().unwrap().0,
        "all is acknowledged"
    );
    drop_it(stack);
}

fn killed(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    make_slot(stack);
    let store = Arc::default();
    insert(stack, 60, 3);
    // Stored, and never acknowledged.
    let first = Delivering::start(stack, &store, true, |call| match call {
        3 => Fate::Hangs,
        2 => Fate::FailsAfter,
        _ => Fate::Succeeds,
    });
    until("the third batch", || {
        store.lock().unwrap().batches.len() == 3
    });
    first.task.abort();
    let _ = stack.block_on(first.task);
    let has = store.lock().unwrap().ids.len();
    assert!(has < 60);
    until("the slot to be free", || {
        stack.sql("SELECT active FROM pg_replication_slots") == ["f"]
    });
    let second = Delivering::start(stack, &store, true, |call| match call % 3 {
        0 => Fate::FailsAfter,
        _ => Fate::Succeeds,
    });
    second.until_rows(60);
    second.stop(stack).unwrap();
    assert_eq!(store.lock().unwrap().ids, (1..=60).collect::<Vec<_>>());
    drop_it(stack);
}

fn permanently(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    make_slot(stack);
    let store = Arc::default();
    let delivering = Delivering::start(stack, &store, false, |call| match call {
        1 => Fate::Succeeds,
        _ => Fate::FailsForGood,
    });
    insert(stack, 1, 1);
    delivering.until_rows(1);
    insert_one(stack, 2);
    until("the end", || delivering.task.is_finished());
    let error = delivering.stop(stack).unwrap_err();
    let DeliveryError::Sink {
        step: SinkStep::Write,
        attempts: 1,
        acknowledged,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(Some(*acknowledged), store.lock().unwrap().batches[0].0);
    let words = error.to_string();
    for word in [
        "1 rows of public.t up to",
        "no such table",
        "change the sink or the rows",
        &acknowledged.to_string(),
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // One that does not pass in time.
    let delivering = Delivering::start(stack, &store, false, |_| Fate::FailsBefore);
    until("the end", || delivering.task.is_finished());
    let error = delivering.stop(stack).unwrap_err();
    assert!(
        matches!(error, DeliveryError::Sink { attempts: 4, .. }),
        "{error}"
    );
    // What was not acknowledged comes again.
    let delivering = Delivering::start(stack, &store, false, |_| Fate::Succeeds);
    delivering.until_rows(2);
    delivering.stop(stack).unwrap();
    assert_eq!(store.lock().unwrap().ids, [1, 2]);
    drop_it(stack);
}

fn insert_one(stack: &TestStack, id: i32) {
    stack.sql(&format!("INSERT INTO t VALUES ({id})"));
}

fn in_parts(stack: &TestStack) {
    let _table = Table::make(stack, "CREATE TABLE t (id int PRIMARY KEY)");
    make_slot(stack);
    let store = Arc::default();
    insert_one(stack, 0);
    insert(stack, 35, 35);
    let delivering = Delivering::start(stack, &store, true, |call| match call {
        4 => Fate::FailsBefore,
        _ => Fate::Succeeds,
    });
    // Its own transaction is lost with the failure: the parts before come again, too.
    until("the end", || delivering.task.is_finished());
    let error = delivering.stop(stack).unwrap_err().to_string();
    assert!(error.contains("larger than a batch"), "{error}");
    let rows = |store: &Store| {
        store
            .batches
            .iter()
            .map(|(position, rows)| (position.is_some(), *rows))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        rows(&store.lock().unwrap()),
        [(true, 1), (false, 10), (false, 10)]
    );
    store.lock().unwrap().batches.clear();
    store.lock().unwrap().ids.truncate(1);
    let delivering = Delivering::start(stack, &store, true, |_| Fate::Succeeds);
    delivering.until_rows(36);
    delivering.stop(stack).unwrap();
    assert_eq!(
        rows(&store.lock().unwrap()),
        [(false, 10), (false, 10), (false, 10), (true, 5)]
    );
    drop_it(stack);
}
