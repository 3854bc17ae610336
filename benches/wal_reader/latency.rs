//! Single rows at a pace: how soon they are here.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench::pipeline::ReaderClock;
use cdc_bench_model::timeline::Clock;
use pgcdc::pgoutput::{Message, Value, decode};
use pgcdc::{Event, Reader, ReaderConfig, Slot, SlotName};
use pgwire_replication::{ReplicationClient, ReplicationEvent};

use super::stack::{self, TestStack};
use super::{Bench, server, wire};

impl Bench<'_> {
    /// Single rows at a pace: how long after its acknowledgement a row is here.
    pub fn latency(&self) {
        println!("\nrow decoded after its INSERT was acknowledged (T1 - Ta), us    p50       p99");
        self.stack.sql("CREATE TABLE rows (id bigint PRIMARY KEY, payload text); CREATE PUBLICATION bench FOR TABLE rows");
        for rate in [167_u32, 1_000, 5_000] {
            for (name, ours) in [("this reader", true), ("bare protocol loop", false)] {
                let (p50, p99, reached) = self.paced(rate, ours);
                println!(
                    "{:<34} {:>6}/s (reached {reached:>5.0}) {p50:>9.0} {p99:>9.0}",
                    name, rate
                );
            }
        }
        self.stack.sql("DROP PUBLICATION bench; DROP TABLE rows");
    }

    fn paced(&self, rate: u32, ours: bool) -> (f64, f64, f64) {
        let stack = self.stack;
        stack.sql("TRUNCATE rows");
        let clock = Clock::start();
        let arrived: Arc<Mutex<Vec<(i64, i64)>>> = Arc::default();
        let seen = Arc::clone(&arrived);
        let slot = SlotName::new("bench_paced").unwrap();
        let reader = ours.then(|| {
            let mut config = ReaderConfig::new(server(stack), Slot::Temporary(slot), ["bench"]);
            config.time_source = Arc::new(ReaderClock(clock));
            let spawned = Reader::spawn(config, move |event| {
                if let Event::Change(change) = event {
                    let id = change.get("id").unwrap().unwrap();
                    seen.lock().unwrap().push((id, change.received.0));
                }
                ControlFlow::Continue(())
            });
            stack.block_on(spawned).unwrap()
        });
        let bare = (!ours).then(|| {
            let (config, seen, clock) = (wire(stack, "bench_paced"), Arc::clone(&arrived), clock);
            stack.sql("SELECT pg_create_logical_replication_slot('bench_paced', 'pgoutput')");
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(async {
                    let mut client = ReplicationClient::connect(config).await.unwrap();
                    while let Ok(Some(event)) = client.recv().await {
                        if let ReplicationEvent::XLogData { data, .. } = event
                            && data.first() == Some(&b'I')
                        {
                            let now = clock.now().0;
                            let Ok(Message::Insert { new, .. }) = decode(&data) else {
                                panic!("an insert");
                            };
                            let Some(Value::Text(id)) = new.get(0) else {
                                panic!("text format");
                            };
                            seen.lock().unwrap().push((id.parse().unwrap(), now));
                        }
                    }
                });
            })
        });
        std::thread::sleep(Duration::from_millis(300));
        let count = usize::try_from(rate * 4).unwrap();
        let (acknowledged, reached) = stack.block_on(inserts(stack, rate, count, clock));
        stack::until("the rows", || arrived.lock().unwrap().len() >= count);
        drop(reader);
        if let Some(thread) = bare {
            stack.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'bench_paced'");
            thread.join().unwrap();
            stack::until("the slot to be free", || {
                stack.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active");
                stack.sql("SELECT 1 FROM pg_replication_slots").is_empty()
            });
        }
        let arrived = arrived.lock().unwrap();
        let mut spans: Vec<i64> = arrived
            .iter()
            .map(|(id, arrived)| arrived - acknowledged[usize::try_from(*id).unwrap()])
            .collect();
        spans.sort_unstable();
        #[allow(clippy::cast_precision_loss)]
        let at = |percent: usize| spans[spans.len() * percent / 100] as f64 / 1e3;
        (at(50), at(99), reached)
    }
}

/// Inserts on a schedule, over several connections; when each was acknowledged, and how many a second it was.
async fn inserts(stack: &TestStack, rate: u32, count: usize, clock: Clock) -> (Vec<i64>, f64) {
    const CONNECTIONS: usize = 8;
    let env = &stack.env;
    let config = format!(
        "host={} port={} user={} password={} dbname={}",
        env["POSTGRES_HOST"],
        env["POSTGRES_PORT"],
        env["POSTGRES_USER"],
        env["POSTGRES_PASSWORD"],
        env["POSTGRES_DB"]
    );
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let connected = tokio_postgres::connect(&config, tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        let text = "INSERT INTO rows VALUES ($1, 'a payload of some length, as payloads are')";
        let insert = client.prepare(text).await.unwrap();
        clients.push((client, insert));
    }
    let began = Instant::now();
    let mut tasks = Vec::new();
    for (first, (client, insert)) in clients.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in (first..count).step_by(CONNECTIONS) {
                let due = began + Duration::from_secs(1) * u32::try_from(number).unwrap() / rate;
                if let Some(wait) = due.checked_duration_since(Instant::now()) {
                    tokio::time::sleep(wait).await;
                }
                let id = i64::try_from(number).unwrap();
                client.execute(&insert, &[&id]).await.unwrap();
                acknowledged.push((number, clock.now().0));
            }
            acknowledged
        }));
    }
    let mut acknowledged = vec![0; count];
    for task in tasks {
        for (number, at) in task.await.unwrap() {
            acknowledged[number] = at;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let reached = count as f64 / began.elapsed().as_secs_f64();
    (acknowledged, reached)
}
