//! How fast the WAL can be read: our reader beside `pg_recvlogical`, the bare protocol library, and Debezium.
//!
//! A server of the bench's own is filled once; every contender drains slots that were made before, each in turn, several
//! times. The last line is the ratio of rows a second, medians of all rounds.
//!
//! ```sh
//! cargo bench --bench wal_reader                              # two to three minutes
//! cargo bench --bench wal_reader -- --debezium                # with Debezium, which takes longer
//! cargo bench --bench wal_reader -- --rows 50000 --rounds 1   # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used)]

#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;

use std::io::Write;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench::timeline::Clock;
use cdc_bench::wal::envelope::{EnvelopeConfig, Envelopes};
use cdc_bench::wal::pgoutput::{Message, Value, decode};
use cdc_bench::wal::{Event, Lsn, Reader, ReaderConfig, Server, Slot, SlotName};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pgwire_replication::{ReplicationClient, ReplicationConfig, ReplicationEvent};
use stack::TestStack;

/// What is asked of the bench.
struct Options {
    rows: u64,
    rounds: usize,
    debezium: bool,
}

impl Options {
    fn of_the_command_line() -> Self {
        let mut options = Self {
            rows: 300_000,
            rounds: 3,
            debezium: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
            match &*arg {
                "--rows" => options.rows = number().expect("--rows N"),
                "--rounds" => {
                    options.rounds = usize::try_from(number().expect("--rounds N")).unwrap();
                }
                "--debezium" => options.debezium = true,
                // Cargo's own.
                "--bench" => {}
                other => panic!("{other}: expected --rows N, --rounds N, --debezium"),
            }
        }
        options
    }
}

/// What one drain took.
#[derive(Debug, Clone, Copy, Default)]
struct Drain {
    seconds: f64,
    /// Processor time of the reading process.
    cpu: f64,
    /// Most memory above what it had before, bytes.
    memory: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    PgRecvlogical,
    Bare,
    Decoding,
    DecodingBinary,
    DebeziumJson,
    Debezium,
}

impl Contender {
    const fn name(self) -> &'static str {
        match self {
            Self::PgRecvlogical => "pg_recvlogical > /dev/null",
            Self::Bare => "pgwire-replication, no decoding",
            Self::Decoding => "this reader, every column",
            Self::DecodingBinary => "this reader, binary format",
            Self::DebeziumJson => "this reader, Debezium JSON",
            Self::Debezium => "Debezium into Kafka",
        }
    }

    /// Part of its slots' names.
    const fn slug(self) -> &'static str {
        match self {
            Self::PgRecvlogical => "recv",
            Self::Bare => "bare",
            Self::Decoding => "ours",
            Self::DecodingBinary => "binary",
            Self::DebeziumJson => "json",
            Self::Debezium => "debezium",
        }
    }
}

fn main() {
    let options = Options::of_the_command_line();
    let stack = TestStack::up();
    let mut contenders = vec![
        Contender::Bare,
        Contender::Decoding,
        Contender::DecodingBinary,
        Contender::DebeziumJson,
    ];
    if pg_recvlogical().is_some() {
        contenders.insert(0, Contender::PgRecvlogical);
    } else {
        println!("pg_recvlogical is not installed: the bare protocol library stands in its place");
    }
    if options.debezium {
        contenders.push(Contender::Debezium);
    }
    let bench = Bench {
        stack: &stack,
        options: &options,
    };
    let mut ratios = Vec::new();
    for rows_a_transaction in [1_000, 1] {
        let medians = bench.drains(&contenders, rows_a_transaction);
        if rows_a_transaction > 1 {
            ratios = medians;
        }
    }
    bench.large_transaction();
    bench.latency();
    let rate = |wanted: Contender| {
        ratios
            .iter()
            .find(|(contender, _)| *contender == wanted)
            .map(|(_, rate)| *rate)
    };
    let ours = rate(Contender::Decoding).unwrap();
    let ratio = |peer: Option<f64>| {
        peer.map_or_else(
            || "unknown".to_owned(),
            |peer| format!("{:.2}", ours / peer),
        )
    };
    println!(
        "wal_reader ratio_to_pg_recvlogical={} ratio_to_debezium={}",
        ratio(rate(Contender::PgRecvlogical)),
        ratio(rate(Contender::Debezium))
    );
}

struct Bench<'a> {
    stack: &'a TestStack,
    options: &'a Options,
}

impl Bench<'_> {
    /// Fills slots once and drains them in turn; the median of each contender's rows a second.
    fn drains(&self, contenders: &[Contender], batch: u64) -> Vec<(Contender, f64)> {
        let (stack, rows) = (self.stack, self.options.rows);
        println!(
            "\n{rows} rows of about 350 bytes, {batch} a transaction; median of {} rounds (least to most)",
            self.options.rounds
        );
        stack.sql("CREATE TABLE rows (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), kind text, payload text, amount numeric(10,2), ok bool); CREATE PUBLICATION bench FOR TABLE rows");
        let slot = |contender: Contender, round: usize| {
            format!("bench_{}_{batch}_{round}", contender.slug())
        };
        for contender in contenders {
            let rounds = if *contender == Contender::Debezium {
                1
            } else {
                self.options.rounds
            };
            for round in 0..rounds {
                stack.sql(&format!(
                    "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
                    slot(*contender, round)
                ));
            }
        }
        let begin = lsn(&stack.sql("SELECT pg_current_wal_lsn()")[0]);
        let row =
            "n, now(), 'order.' || n % 10, repeat(md5(n::text), 8), n % 10000 / 7.0, n % 2 = 0";
        // A commit each, and none waits for the disk: what is measured is reading.
        stack.sql(&format!(
            "DO $$ BEGIN PERFORM set_config('synchronous_commit', 'off', false); FOR i IN 0..{} LOOP INSERT INTO rows SELECT {row} FROM generate_series(i * {batch}, (i + 1) * {batch} - 1) n; COMMIT; END LOOP; END $$",
            rows / batch - 1
        ));
        stack.sql("CHECKPOINT");
        let end = lsn(&stack.sql("SELECT pg_current_wal_lsn()")[0]);
        #[allow(clippy::cast_precision_loss)]
        let megabytes = (end.0 - begin.0) as f64 / 1e6;
        let mut results: Vec<(Contender, Vec<Drain>)> = contenders
            .iter()
            .map(|contender| (*contender, Vec::new()))
            .collect();
        for round in 0..self.options.rounds {
            for (contender, drains) in &mut results {
                if *contender == Contender::Debezium && round > 0 {
                    continue;
                }
                drains.push(self.drain(*contender, &slot(*contender, round), end));
            }
        }
        println!(
            "{:<34} {:>9} {:>21} {:>7} {:>14} {:>9}",
            "", "rows/s", "", "MB/s", "CPU s/M rows", "peak MB"
        );
        #[allow(clippy::cast_precision_loss)]
        let rows = rows as f64;
        let medians = results.iter().map(|(contender, drains)| {
            let of = |value: fn(&Drain) -> f64| {
                let mut values: Vec<f64> = drains.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                (
                    values[values.len() / 2],
                    values[0],
                    values[values.len() - 1],
                )
            };
            let (seconds, least, most) = of(|drain| drain.seconds);
            #[allow(clippy::cast_precision_loss)]
            let memory = of(|drain| drain.memory as f64).0 / 1e6;
            println!(
                "{:<34} {:>9.0} {:>21} {:>7.1} {:>14.2} {:>9}",
                contender.name(),
                rows / seconds,
                format!("({:.0} to {:.0})", rows / most, rows / least),
                megabytes / seconds,
                of(|drain| drain.cpu).0 / rows * 1e6,
                if matches!(contender, Contender::Debezium | Contender::PgRecvlogical) {
                    "-".to_owned()
                } else {
                    format!("{memory:.1}")
                }
            );
            (*contender, rows / seconds)
        });
        let medians = medians.collect();
        stack.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active",
        );
        stack.sql("DROP PUBLICATION bench; DROP TABLE rows");
        medians
    }

    fn drain(&self, contender: Contender, slot: &str, end: Lsn) -> Drain {
        match contender {
            Contender::PgRecvlogical => self.external(slot, end),
            Contender::Debezium => self.debezium(slot),
            Contender::Bare => measured(|| self.stack.block_on(self.bare(slot, end))),
            Contender::Decoding => measured(|| self.ours(slot, end, false, touch_every_column)),
            Contender::DecodingBinary => {
                measured(|| self.ours(slot, end, true, touch_every_column))
            }
            Contender::DebeziumJson => {
                let mut envelopes = Envelopes::new(EnvelopeConfig::new("bench", "activity_db"));
                let mut sink = std::fs::File::options()
                    .write(true)
                    .open("/dev/null")
                    .unwrap();
                let mut lines = Vec::with_capacity(1 << 17);
                let clock = Clock::start();
                measured(|| {
                    self.ours(slot, end, false, move |event| {
                        if let Event::Change(change) = event {
                            envelopes
                                .write(change, clock.now(), |record| {
                                    lines.extend_from_slice(record.value.unwrap_or_default());
                                    lines.push(b'\n');
                                })
                                .unwrap();
                            if lines.len() > 1 << 16 {
                                sink.write_all(&lines).unwrap();
                                lines.clear();
                            }
                        }
                    })
                })
            }
        }
    }

    /// Reads to the end; when the last event was handed over. What comes after that is the farewell.
    fn ours(
        &self,
        slot: &str,
        end: Lsn,
        binary: bool,
        mut work: impl FnMut(&Event<'_>) + Send + 'static,
    ) -> Instant {
        let slot = Slot::Existing(SlotName::new(slot).unwrap());
        let mut config = ReaderConfig::new(server(self.stack), slot, ["bench"]);
        config.binary = binary;
        config.describe = true;
        let (done, last) = std::sync::mpsc::channel();
        self.stack.block_on(async {
            let reader = Reader::spawn(config, Clock::start(), move |event| {
                work(&event);
                let reached = match event {
                    Event::Commit(commit) => commit.end_lsn,
                    Event::Idle(lsn) => lsn,
                    _ => return ControlFlow::Continue(()),
                };
                if reached < end {
                    return ControlFlow::Continue(());
                }
                done.send(Instant::now()).unwrap();
                ControlFlow::Break(())
            });
            let reader = reader.await.unwrap();
            reader.ended().await;
        });
        last.recv().unwrap()
    }

    /// What the library costs by itself, with a thread and a runtime of its own as ours has.
    async fn bare(&self, slot: &str, end: Lsn) -> Instant {
        let config = wire(self.stack, slot);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut client = ReplicationClient::connect(config).await.unwrap();
                while let Some(event) = client.recv().await.unwrap() {
                    let reached = match event {
                        ReplicationEvent::Commit { end_lsn, .. } => end_lsn,
                        ReplicationEvent::KeepAlive { wal_end, .. } => wal_end,
                        _ => continue,
                    };
                    client.update_applied_lsn(reached);
                    if reached.as_u64() >= end.0 {
                        break;
                    }
                }
                Instant::now()
            })
        };
        tokio::task::spawn_blocking(move || std::thread::spawn(work).join())
            .await
            .unwrap()
            .unwrap()
    }

    fn external(&self, slot: &str, end: Lsn) -> Drain {
        let env = &self.stack.env;
        let before = cpu(UsageWho::RUSAGE_CHILDREN);
        let began = Instant::now();
        let status = Command::new(pg_recvlogical().unwrap())
            .args(["-h", "127.0.0.1", "-p", &env["POSTGRES_PORT"]])
            .args(["-U", &env["POSTGRES_USER"], "-d", &env["POSTGRES_DB"]])
            .args(["--slot", slot, "--start", "--no-loop", "-f", "/dev/null"])
            .args(["-o", "proto_version=1", "-o", "publication_names=bench"])
            .args(["--endpos", &end.to_string()])
            .env("PGPASSWORD", &env["POSTGRES_PASSWORD"])
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "pg_recvlogical");
        Drain {
            seconds: began.elapsed().as_secs_f64(),
            cpu: cpu(UsageWho::RUSAGE_CHILDREN) - before,
            memory: 0,
        }
    }

    /// From its first record in Kafka to its last: starting does not count.
    fn debezium(&self, slot: &str) -> Drain {
        let (stack, rows) = (self.stack, self.options.rows);
        let env = &stack.env;
        let config = serde_json::json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "plugin.name": "pgoutput", "database.hostname": "127.0.0.1", "database.port": env["POSTGRES_PORT"],
            "database.user": env["POSTGRES_USER"], "database.password": env["POSTGRES_PASSWORD"],
            "database.dbname": env["POSTGRES_DB"], "topic.prefix": slot, "table.include.list": "public.rows",
            "publication.name": "bench", "publication.autocreate.mode": "disabled", "slot.name": slot,
            "snapshot.mode": "no_data", "poll.interval.ms": "1",
            "topic.creation.enable": "true", "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "1",
        });
        let url = format!("{}/connectors/{slot}", env["CONNECT_URL"]);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (put, remove) = (
            client.put(format!("{url}/config")).json(&config),
            client.delete(&url),
        );
        let connect = || stack.server("connect")["pid"].as_u64().map_or(0.0, cpu_of);
        let before = connect();
        assert!(stack.block_on(put.send()).unwrap().status().is_success());
        let topic = format!("{slot}.public.rows");
        let consumer: rdkafka::consumer::BaseConsumer = stack.kafka().create().unwrap();
        let count = || {
            use rdkafka::consumer::Consumer;
            consumer
                .fetch_watermarks(&topic, 0, Duration::from_secs(5))
                .map_or(0, |(_, high)| high.unsigned_abs())
        };
        let limit = Instant::now();
        let (mut first, mut had) = (None, 0);
        while had < rows {
            assert!(
                limit.elapsed() < Duration::from_secs(300),
                "Debezium: {had} of {rows}"
            );
            had = count();
            if had > 0 && first.is_none() {
                first = Some((Instant::now(), had));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let (began, already) = first.unwrap();
        #[allow(clippy::cast_precision_loss)]
        let share = rows as f64 / (rows - already).max(1) as f64;
        let drain = Drain {
            seconds: began.elapsed().as_secs_f64() * share,
            cpu: connect() - before,
            memory: 0,
        };
        stack.block_on(remove.send()).unwrap();
        let active =
            format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}' AND active");
        stack::until("Debezium to let go", || stack.sql(&active).is_empty());
        drain
    }

    /// One transaction of a million rows: what it takes in memory.
    fn large_transaction(&self) {
        let stack = self.stack;
        stack.sql("CREATE TABLE rows (id bigint PRIMARY KEY, payload text); CREATE PUBLICATION bench FOR TABLE rows");
        stack.sql("SELECT pg_create_logical_replication_slot('bench_large', 'pgoutput')");
        stack.sql(
            "INSERT INTO rows SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 1000000) n",
        );
        let end = lsn(&stack.sql("SELECT pg_current_wal_lsn()")[0]);
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let drain = measured(|| {
            self.ours("bench_large", end, false, move |event| {
                if matches!(event, Event::Change(_)) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        #[allow(clippy::cast_precision_loss)]
        let memory = drain.memory as f64 / 1e6;
        println!(
            "\none transaction of {} rows: {:.1} s, peak {memory:.1} MB above idle",
            count.load(Ordering::Relaxed),
            drain.seconds
        );
        stack.sql("SELECT pg_drop_replication_slot('bench_large')");
        stack.sql("DROP PUBLICATION bench; DROP TABLE rows");
    }

    /// Single rows at a pace: how long after its acknowledgement a row is here.
    fn latency(&self) {
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
            let config = ReaderConfig::new(server(stack), Slot::Temporary(slot), ["bench"]);
            let spawned = Reader::spawn(config, clock, move |event| {
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

/// Looks at each value, as a program that wants them would.
fn touch_every_column(event: &Event<'_>) {
    if let Event::Change(change) = event {
        let row = change.new.as_ref().unwrap();
        let bytes: usize = row
            .iter()
            .map(|value| match value {
                Value::Text(text) => text.len(),
                Value::Binary(bytes) => bytes.len(),
                Value::Null | Value::Unchanged => 0,
            })
            .sum();
        std::hint::black_box(bytes);
    }
}

fn server(stack: &TestStack) -> Server {
    let env = &stack.env;
    Server::new(
        "127.0.0.1",
        env["POSTGRES_PORT"].parse().unwrap(),
        &env["POSTGRES_USER"],
        env["POSTGRES_PASSWORD"].clone(),
        &env["POSTGRES_DB"],
    )
}

fn wire(stack: &TestStack, slot: &str) -> ReplicationConfig {
    let env = &stack.env;
    ReplicationConfig::new(
        "127.0.0.1",
        &*env["POSTGRES_USER"],
        &*env["POSTGRES_PASSWORD"],
        &*env["POSTGRES_DB"],
        slot,
        "bench",
    )
    .with_port(env["POSTGRES_PORT"].parse().unwrap())
    .with_status_interval(Duration::from_secs(1))
    .with_wakeup_interval(Duration::from_secs(1))
}

/// On PATH, or where Debian puts it.
fn pg_recvlogical() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    std::env::split_paths(&path)
        .chain(debian.map(|version| version.path().join("bin")))
        .map(|folder| folder.join("pg_recvlogical"))
        .find(|program| program.exists())
}

fn lsn(text: &str) -> Lsn {
    text.parse().unwrap()
}

fn cpu(who: UsageWho) -> f64 {
    let usage = getrusage(who).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    #[allow(clippy::cast_precision_loss)]
    let seconds = micros as f64 / 1e6;
    seconds
}

/// Processor time of another process, seconds.
fn cpu_of(pid: u64) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything but ends with the last bracket: utime and stime are the 12th and 13th.
    let ticks: f64 = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// Runs work in this process, which says when it was done; what it took.
fn measured(work: impl FnOnce() -> Instant) -> Drain {
    // Forgets the most memory so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (memory, used) = (memory("VmRSS:"), cpu(UsageWho::RUSAGE_SELF));
    let began = Instant::now();
    let ended = work();
    Drain {
        seconds: (ended - began).as_secs_f64(),
        cpu: cpu(UsageWho::RUSAGE_SELF) - used,
        memory: self::memory("VmHWM:").saturating_sub(memory),
    }
}

/// A field of the process's status, bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
