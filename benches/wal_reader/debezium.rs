//! Debezium on a slot of the bench's, into Kafka.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Bench;
use super::stack::{TestStack, until};
use super::usage::{Drain, Process};

/// Longest wait for what it writes.
const LIMIT: Duration = Duration::from_secs(300);

/// A connector that reads `public.rows`. One that had its name left its offset behind, which another slot does not go with.
pub struct Connector<'a> {
    stack: &'a TestStack,
    name: &'a str,
    slot: &'a str,
    consumer: BaseConsumer,
    http: reqwest::Client,
}

impl<'a> Connector<'a> {
    /// Registers it.
    pub fn register(stack: &'a TestStack, name: &'a str, slot: &'a str) -> Self {
        let env = &stack.env;
        let config = serde_json::json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput", "database.hostname": "127.0.0.1", "database.port": env["POSTGRES_PORT"],
            "database.user": env["POSTGRES_USER"], "database.password": env["POSTGRES_PASSWORD"],
            "database.dbname": env["POSTGRES_DB"], "topic.prefix": name, "table.include.list": "public.rows",
            "publication.name": "bench", "publication.autocreate.mode": "disabled", "slot.name": slot,
            "snapshot.mode": "no_data", "poll.interval.ms": "1",
            "topic.creation.enable": "true", "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "1",
        });
        let connector = Self {
            stack,
            name,
            slot,
            consumer: stack.kafka().create().unwrap(),
            http: cdc_bench_stack::http_client().build().unwrap(),
        };
        let put = connector
            .http
            .put(format!("{}/config", connector.url()))
            .json(&config);
        assert!(stack.block_on(put.send()).unwrap().status().is_success());
        connector
    }

    /// Records that it has written.
    pub fn records(&self) -> u64 {
        let topic = format!("{}.public.rows", self.name);
        let ends = self
            .consumer
            .fetch_watermarks(&topic, 0, Duration::from_secs(5));
        ends.map_or(0, |(_, high)| high.unsigned_abs())
    }

    /// Waits until it has written so many; `see` gets each number on the way.
    pub fn until_written(&self, rows: u64, mut see: impl FnMut(u64)) {
        let began = Instant::now();
        loop {
            let had = self.records();
            see(had);
            if had >= rows {
                return;
            }
            assert!(began.elapsed() < LIMIT, "Debezium: {had} of {rows}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it reads its slot.
    pub fn until_reading(&self) {
        until("Debezium to read", || {
            !self.stack.sql(&self.active()).is_empty()
        });
    }

    /// Removes it.
    pub fn remove(self) {
        self.stack
            .block_on(self.http.delete(self.url()).send())
            .unwrap();
        until("Debezium to let go", || {
            self.stack.sql(&self.active()).is_empty()
        });
    }

    fn url(&self) -> String {
        format!("{}/connectors/{}", self.stack.env["CONNECT_URL"], self.name)
    }

    fn active(&self) -> String {
        let slot = self.slot;
        format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}' AND active")
    }
}

impl Bench<'_> {
    /// From its first record in Kafka to its last: starting does not count.
    pub fn debezium(&self, slot: &str) -> Drain {
        let (stack, rows) = (self.stack, self.options.rows);
        let pid = stack.server("connect")["pid"].as_u64().unwrap();
        let before = Process::of(pid.try_into().unwrap()).begin();
        let connector = Connector::register(stack, slot, slot);
        let mut first = None;
        connector.until_written(rows, |had| {
            if had > 0 && first.is_none() {
                first = Some((Instant::now(), had));
            }
        });
        let (began, already) = first.unwrap();
        #[allow(clippy::cast_precision_loss)]
        let share = rows as f64 / (rows - already).max(1) as f64;
        let drain = before.end(began.elapsed().as_secs_f64() * share);
        connector.remove();
        drain
    }
}
