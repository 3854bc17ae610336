//! Who copies the table, and how.

use std::fmt;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pgcdc::pgoutput::Value;
use pgcdc::{Event, Reader, ReaderConfig, Server, Slot, SlotName, SnapshotConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::usage::{Drain, Process, measured};
use super::{Bench, stack};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// So many at a time, each with its share of the blocks.
    Psql(u16),
    /// Over so many connections.
    Reader(u16, Format),
    Debezium,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Psql(1) => f.write_str("psql -c \"COPY ...\" > /dev/null"),
            Self::Psql(count) => write!(f, "{count} of them, each a share of the blocks"),
            Self::Reader(connections, Format::Text) => {
                write!(f, "this reader, {connections} connections, text")
            }
            Self::Reader(connections, Format::Binary) => {
                write!(f, "this reader, {connections} connections, binary")
            }
            Self::Debezium => f.write_str("Debezium into Kafka"),
        }
    }
}

impl Bench<'_> {
    pub fn copy(&self, contender: Contender, round: usize) -> Drain {
        match contender {
            Contender::Psql(count) => self.psql(count),
            Contender::Reader(connections, format) => {
                measured(|| self.reader(usize::from(connections), format == Format::Binary))
            }
            Contender::Debezium => self.debezium(round),
        }
    }

    fn psql(&self, count: u16) -> Drain {
        let blocks = "SELECT pg_relation_size('rows') / current_setting('block_size')::int";
        let blocks: u64 = self.stack.sql(blocks)[0].parse().unwrap();
        let share = blocks.div_ceil(u64::from(count));
        let statement = |index: u64| match count {
            1 => "COPY rows TO STDOUT".to_owned(),
            _ => format!(
                "COPY (SELECT * FROM rows WHERE ctid >= '({},0)' AND ctid < '({},0)') TO STDOUT",
                index * share,
                (index + 1) * share
            ),
        };
        let env = &self.stack.env;
        let before = cpu_of_children();
        let began = Instant::now();
        let start = |index: u16| {
            Command::new("psql")
                .args(["-h", "127.0.0.1", "-p", &env["POSTGRES_PORT"]])
                .args(["-U", &env["POSTGRES_USER"], "-d", &env["POSTGRES_DB"]])
                .args(["-X", "-c", &statement(u64::from(index))])
                .env("PGPASSWORD", &env["POSTGRES_PASSWORD"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut children: Vec<_> = (0..count).map(start).collect();
        let mut memory = 0;
        loop {
            let peaks = children.iter().map(|child| Process::of(child.id()).peak());
            memory = memory.max(peaks.sum());
            children.retain_mut(|child| match child.try_wait().unwrap() {
                Some(status) => {
                    assert!(status.success());
                    false
                }
                None => true,
            });
            if children.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Drain {
            seconds: began.elapsed().as_secs_f64(),
            cpu: cpu_of_children() - before,
            memory,
        }
    }

    /// Copies the table; when its last row was handed over.
    fn reader(&self, connections: usize, binary: bool) -> Instant {
        // The server drops the slot of the one before when it notices that its connection has ended.
        stack::until("the slot's name to be free", || {
            self.stack
                .sql("SELECT 1 FROM pg_replication_slots")
                .is_empty()
        });
        let env = &self.stack.env;
        let server = Server::new(
            "127.0.0.1",
            env["POSTGRES_PORT"].parse().unwrap(),
            &env["POSTGRES_USER"],
            env["POSTGRES_PASSWORD"].clone(),
            &env["POSTGRES_DB"],
        );
        let slot = Slot::Temporary(SlotName::new("bench_snapshot").unwrap());
        let mut config = ReaderConfig::new(server, slot, ["bench"]);
        config.binary = binary;
        config.snapshot = Some(SnapshotConfig {
            connections,
            chunk: self.options.chunk << 20,
            ..SnapshotConfig::default()
        });
        let rows = self.options.rows;
        let (done, last) = std::sync::mpsc::channel();
        self.stack.block_on(async {
            let reader = Reader::spawn(config, move |event| match event {
                Event::Change(change) => {
                    let row = change.new.as_ref().unwrap();
                    let bytes: usize = row.iter().map(length).sum();
                    std::hint::black_box(bytes);
                    ControlFlow::Continue(())
                }
                Event::Copied(table) => {
                    assert_eq!(table.rows, rows);
                    done.send(Instant::now()).unwrap();
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            });
            reader.await.unwrap().ended().await;
        });
        last.recv().unwrap()
    }

    /// From the connector's registration to its last record in Kafka.
    fn debezium(&self, round: usize) -> Drain {
        let (stack, rows) = (self.stack, self.options.rows);
        let env = &stack.env;
        let name = format!("bench_snapshot_{round}");
        let config = serde_json::json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput", "database.hostname": "127.0.0.1", "database.port": env["POSTGRES_PORT"],
            "database.user": env["POSTGRES_USER"], "database.password": env["POSTGRES_PASSWORD"],
            "database.dbname": env["POSTGRES_DB"], "topic.prefix": name, "table.include.list": "public.rows",
            "publication.name": "bench", "publication.autocreate.mode": "disabled", "slot.name": name,
            "slot.drop.on.stop": "true", "snapshot.mode": "initial", "poll.interval.ms": "1",
            "topic.creation.enable": "true", "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "1",
        });
        let url = format!("{}/connectors/{name}", env["CONNECT_URL"]);
        let client = cdc_bench_stack::http_client().build().unwrap();
        let (put, remove) = (
            client.put(format!("{url}/config")).json(&config),
            client.delete(&url),
        );
        let pid = stack.server("connect")["pid"].as_u64().unwrap();
        let before = Process::of(pid.try_into().unwrap()).begin();
        let began = Instant::now();
        assert!(stack.block_on(put.send()).unwrap().status().is_success());
        let topic = format!("{name}.public.rows");
        let consumer: BaseConsumer = stack.kafka().create().unwrap();
        let mut had = 0;
        while had < rows {
            assert!(
                began.elapsed() < Duration::from_secs(300),
                "Debezium: {had} of {rows}"
            );
            std::thread::sleep(Duration::from_millis(20));
            let marks = consumer.fetch_watermarks(&topic, 0, Duration::from_secs(5));
            had = marks.map_or(0, |(_, high)| high.unsigned_abs());
        }
        let drain = before.end(began.elapsed().as_secs_f64());
        stack.block_on(remove.send()).unwrap();
        let slot = format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{name}'");
        stack::until("Debezium to drop its slot", || stack.sql(&slot).is_empty());
        stack.delete_topics(&[&topic]);
        drain
    }
}

fn length(value: Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        Value::Null | Value::Unchanged => 0,
    }
}

pub fn has_psql() -> bool {
    let mut psql = Command::new("psql");
    let asked = psql.arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Processor time of programs that have ended, seconds.
fn cpu_of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    micros as f64 / 1e6
}
