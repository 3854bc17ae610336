//! One large transaction, from its commit on: when its last row is here, and what the server had to keep on its disk.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pgcdc::{Event, Reader, ReaderConfig, Slot, SlotName, SpoolConfig};

use super::contenders::PEERS;
use super::debezium::Connector;
use super::{Bench, server, stack};

const SLOT: &str = "bench_large";
/// Some 200 MB of changes.
const ROWS: u64 = 500_000;

/// Who reads it, and how.
#[derive(Clone, Copy)]
enum Receiver {
    Ours(&'static str, fn() -> Option<SpoolConfig>),
    Peer(&'static str, &'static [&'static str]),
    Debezium,
}

impl Receiver {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours(name, _) | Self::Peer(name, _) => name,
            Self::Debezium => "Debezium into Kafka",
        }
    }
}

const RECEIVERS: [Receiver; 6] = [
    Receiver::Ours("this reader", || Some(SpoolConfig::default())),
    Receiver::Ours("this reader, the server's own memory", || {
        Some(SpoolConfig {
            server_memory: None,
            ..SpoolConfig::default()
        })
    }),
    Receiver::Ours("this reader, protocol 1", || None),
    Receiver::Peer("pg_walstream, streaming", &["streaming"]),
    Receiver::Peer("pg_walstream, protocol 1", &[]),
    Receiver::Debezium,
];

/// What one transaction led to.
#[derive(Clone, Copy)]
struct Outcome {
    /// From the return of the INSERT, which commits, to the last row.
    seconds: f64,
    spilled_mb: f64,
    streamed_mb: f64,
}

impl Bench<'_> {
    /// Every receiver in turn, several times.
    pub fn large(&self) {
        let stack = self.stack;
        stack.sql("CREATE TABLE rows (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), kind text, payload text, amount numeric(10,2), ok bool); CREATE PUBLICATION bench FOR TABLE rows");
        let asked =
            |receiver: &Receiver| self.options.debezium || !matches!(receiver, Receiver::Debezium);
        let asked = RECEIVERS.into_iter().filter(asked);
        let mut results: Vec<_> = asked.map(|receiver| (receiver, Vec::new())).collect();
        for round in 0..self.options.rounds {
            for (receiver, outcomes) in &mut results {
                outcomes.push(self.one(*receiver, round));
            }
        }
        println!(
            "\none transaction of {ROWS} rows: seconds from its commit to its last row, median of {} rounds (least to most)",
            self.options.rounds
        );
        println!(
            "{:<38} {:>8} {:>16} {:>13} {:>13}",
            "", "seconds", "", "MB spilled", "MB streamed"
        );
        for (receiver, mut outcomes) in results {
            let name = receiver.name();
            outcomes.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let (least, most) = (outcomes[0], outcomes[outcomes.len() - 1]);
            let median = outcomes[outcomes.len() / 2];
            println!(
                "{name:<38} {:>8.2} {:>16} {:>13.0} {:>13.0}",
                median.seconds,
                format!("({:.2} to {:.2})", least.seconds, most.seconds),
                median.spilled_mb,
                median.streamed_mb
            );
        }
        stack.sql("DROP PUBLICATION bench; DROP TABLE rows");
    }

    fn one(&self, receiver: Receiver, round: usize) -> Outcome {
        let stack = self.stack;
        stack.sql("TRUNCATE rows");
        stack.sql("CHECKPOINT");
        stack.sql(&format!(
            "SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"
        ));
        let seconds = match receiver {
            Receiver::Ours(_, spool) => self.ours_large(spool()),
            Receiver::Peer(_, mode) => self.peer_large(mode),
            Receiver::Debezium => self.debezium_large(round),
        };
        let figure = |column: &str| -> f64 {
            let sql = format!(
                "SELECT ({column} / 1e6)::text FROM pg_stat_replication_slots WHERE slot_name = '{SLOT}'"
            );
            stack.sql(&sql)[0].parse().unwrap()
        };
        stack::until("the server's figures", || figure("total_bytes") > 100.0);
        let (spilled_mb, streamed_mb) = (figure("spill_bytes"), figure("stream_bytes"));
        stack::until("the slot to be free", || {
            let drop = format!("SELECT pg_drop_replication_slot('{SLOT}')");
            stack.try_sql(&drop).is_some()
        });
        Outcome {
            seconds,
            spilled_mb,
            streamed_mb,
        }
    }

    fn ours_large(&self, spool: Option<SpoolConfig>) -> f64 {
        let slot = Slot::Existing(SlotName::new(SLOT).unwrap());
        let mut config = ReaderConfig::new(server(self.stack), slot, ["bench"]);
        config.spool = spool;
        let (done, last) = mpsc::channel();
        let (mut rows, mut bytes) = (0, 0);
        let reader = self.stack.block_on(Reader::spawn(config, move |event| {
            match &event {
                Event::Change(_) => {
                    rows += 1;
                    bytes += super::contenders::size_of_every_column(&event);
                }
                Event::Commit(_) if rows >= ROWS => {
                    std::hint::black_box(bytes);
                    done.send(Instant::now()).unwrap();
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }));
        let reader = reader.unwrap();
        let committed = self.insert();
        let arrived = last.recv_timeout(Duration::from_secs(120)).unwrap();
        reader.stop().unwrap();
        (arrived - committed).as_secs_f64()
    }

    fn peer_large(&self, mode: &[&str]) -> f64 {
        let mut command = Command::new(PEERS);
        command
            .args([SLOT, "bench", &ROWS.to_string()])
            .args(mode)
            .env("PEER_URL", self.peer_url())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let active =
            format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND active");
        stack::until("the peer to read", || !self.stack.sql(&active).is_empty());
        let committed = self.insert();
        // It writes a line after the last row.
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let seconds = committed.elapsed().as_secs_f64();
        assert!(child.wait().unwrap().success());
        seconds
    }

    /// To the last record in Kafka, as its end offset shows it every 20 ms.
    fn debezium_large(&self, round: usize) -> f64 {
        let name = format!("{SLOT}_{round}");
        let connector = Connector::register(self.stack, &name, SLOT);
        connector.until_reading();
        let committed = self.insert();
        connector.until_written(ROWS, |_| {});
        let seconds = committed.elapsed().as_secs_f64();
        connector.remove();
        seconds
    }

    /// Makes the transaction; when its commit had returned.
    fn insert(&self) -> Instant {
        self.stack.sql(&format!(
            "INSERT INTO rows SELECT n, now(), 'order.' || n % 10, repeat(md5(n::text), 8), n % 10000 / 7.0, n % 2 = 0 FROM generate_series(1, {ROWS}) n"
        ));
        Instant::now()
    }
}
