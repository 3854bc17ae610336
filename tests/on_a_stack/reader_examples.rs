//! The sinks of `examples/`, on real servers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pgcdc::{
    Batch, DeliveryConfig, DeliveryError, DeliveryStats, ReaderConfig, Sink, SinkPosition, deliver,
};
use pgcdc_examples::{HttpSink, KafkaSink, SqliteSink, SqliteSinkError};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use super::Test;
use super::reader::{Table, drop_it, permanent, server};
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "reader_the_sqlite_example_has_each_event_once_wherever_it_ends",
        sqlite,
    ),
    (
        "reader_the_http_example_posts_again_under_the_same_key_and_ends_when_refused",
        http,
    ),
    (
        "reader_the_kafka_example_produces_events_by_aggregate_in_order",
        kafka,
    ),
];

type Delivering = JoinHandle<Result<DeliveryStats, DeliveryError>>;

fn make_outbox(stack: &TestStack) -> Table<'_> {
    let table = Table::make(
        stack,
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, aggregate_id text NOT NULL, \
         type text NOT NULL, payload jsonb NOT NULL)",
    );
    stack.sql("SELECT pg_create_logical_replication_slot('reader_test', 'pgoutput')");
    table
}

/// Events in one transaction. Their payloads are their keys.
fn insert(stack: &TestStack, events: u32) {
    stack.sql(&format!(
        "INSERT INTO t (aggregate_id, type, payload) \
         SELECT '7', 'placed', to_jsonb(n) FROM generate_series(1, {events}) n"
    ));
}

fn start(stack: &TestStack, mut sink: impl Sink + 'static) -> Delivering {
    let config = ReaderConfig {
        status_interval: Duration::from_millis(50),
        ..ReaderConfig::new(server(stack), permanent(), ["p"])
    };
    let delivery = DeliveryConfig {
        rows: 10,
        wait: Duration::from_millis(5),
        first_pause: Duration::from_millis(10),
        ..DeliveryConfig::default()
    };
    let runtime = stack.block_on(async { tokio::runtime::Handle::current() });
    runtime.spawn(async move {
        let never_stopped = std::future::pending();
        deliver(config, &mut sink, delivery, never_stopped).await
    })
}

fn end(stack: &TestStack, delivering: Delivering) {
    delivering.abort();
    // Cancelled.
    let _ = stack.block_on(delivering);
    until("the slot to be free", || {
        stack.sql("SELECT active FROM pg_replication_slots") == ["f"]
    });
}

/// Writes, and does not answer once the condition holds, so that what it wrote is never acknowledged.
struct Hanging {
    sink: SqliteSink,
    calls: u32,
    when: fn(u32, &Batch) -> bool,
    hangs: Arc<AtomicBool>,
}

impl Sink for Hanging {
    type Error = SqliteSinkError;

    async fn position(&mut self) -> Result<SinkPosition, SqliteSinkError> {
        self.sink.position().await
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SqliteSinkError> {
        self.sink.write(batch).await?;
        self.calls += 1;
        if (self.when)(self.calls, batch) {
            self.hangs.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn stored(file: &Path) -> Vec<u32> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut query = connection
        .prepare("SELECT id FROM events ORDER BY id")
        .unwrap();
    let ids = query.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

fn sqlite(stack: &TestStack) {
    let _table = make_outbox(stack);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.db");
    for _ in 0..20 {
        insert(stack, 3);
    }
    insert(stack, 35);
    insert(stack, 5);
    let hang_when: [fn(u32, &Batch) -> bool; 3] = [
        |call, _| call == 2,
        |_, batch| batch.is_continued() && batch.position().is_none(),
        |_, _| false,
    ];
    for (round, when) in hang_when.into_iter().enumerate() {
        let hangs = Arc::new(AtomicBool::new(false));
        let sink = Hanging {
            sink: SqliteSink::open(&file, "reader_test").unwrap(),
            calls: 0,
            when,
            hangs: Arc::clone(&hangs),
        };
        let delivering = start(stack, sink);
        until("the sink to hang, or to have everything", || {
            assert!(!delivering.is_finished());
            hangs.load(Ordering::SeqCst) || stored(&file).len() == 100
        });
        match round {
            0 => assert!((1..60).contains(&stored(&file).len())),
            1 => assert_eq!(stored(&file).len(), 60, "half a transaction is not seen"),
            _ => {}
        }
        end(stack, delivering);
    }
    assert_eq!(stored(&file), (1..=100).collect::<Vec<_>>());
    drop_it(stack);
}

fn http(stack: &TestStack) {
    let _table = make_outbox(stack);
    let endpoint = stack.block_on(MockServer::start());
    let posts = AtomicU32::new(0);
    let answer = move |request: &Request| {
        let body: Value = request.body_json().unwrap();
        let is_second = posts.fetch_add(1, Ordering::SeqCst) == 1;
        ResponseTemplate::new(match (is_second, body["id"].as_u64()) {
            (true, _) => 503,
            (_, Some(4)) => 422,
            _ => 200,
        })
    };
    stack.block_on(Mock::given(any()).respond_with(answer).mount(&endpoint));
    let sink = HttpSink::new(endpoint.uri().parse().unwrap()).unwrap();
    let delivering = start(stack, sink);
    insert(stack, 3);
    let requests = || stack.block_on(endpoint.received_requests()).unwrap();
    until("the events", || requests().len() == 5);
    insert(stack, 1);
    let error = stack.block_on(delivering).unwrap().unwrap_err().to_string();
    for word in ["the answer to event 4 is 422", "does not pass by itself"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    let requests = requests();
    let bodies: Vec<Value> = requests
        .iter()
        .map(|post| post.body_json().unwrap())
        .collect();
    let ids: Vec<_> = bodies.iter().map(|body| body["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 1, 2, 3, 4]);
    let first = json!({"id": 1, "aggregate_id": "7", "type": "placed", "payload": 1});
    assert_eq!(bodies[0], first);
    let key = |at: usize| requests[at].headers["idempotency-key"].to_str().unwrap();
    assert_eq!([key(0), key(1)], [key(2), key(3)]);
    let keys: BTreeSet<_> = (0..requests.len()).map(key).collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    drop_it(stack);
}

fn kafka(stack: &TestStack) {
    let _table = make_outbox(stack);
    let admin: AdminClient<_> = stack.kafka().create().unwrap();
    let topic = NewTopic::new("outbox", 1, TopicReplication::Fixed(1));
    let options = AdminOptions::new();
    stack
        .block_on(admin.create_topics([&topic], &options))
        .unwrap();
    let sink = KafkaSink::new(&stack.env["KAFKA_BOOTSTRAP_SERVERS"], "outbox").unwrap();
    let delivering = start(stack, sink);
    insert(stack, 25);
    until("the records", || {
        assert!(!delivering.is_finished());
        stack.records("outbox").len() >= 25
    });
    let expected: Vec<_> = (1..=25).map(|id| (json!(7), json!(id))).collect();
    assert_eq!(stack.records("outbox"), expected);
    end(stack, delivering);
    stack.delete_topics(&["outbox"]);
    drop_it(stack);
}
