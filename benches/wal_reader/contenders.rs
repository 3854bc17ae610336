//! Who drains a slot, and how.

use std::io::Write;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pgcdc::pgoutput::Value;
use pgcdc::{Event, Lsn, Reader, ReaderConfig, Slot, SlotName, SteadyClock, TimeSource};
use pgcdc_debezium::{EnvelopeConfig, Envelopes};
use pgwire_replication::{ReplicationClient, ReplicationEvent};

use super::usage::{Drain, Process, measured};
use super::{Bench, server, wire};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    PgRecvlogical,
    PgWalstream,
    Bare,
    Decoding,
    DecodingBinary,
    DebeziumJson,
    Debezium,
}

impl Contender {
    pub const fn name(self) -> &'static str {
        match self {
            Self::PgRecvlogical => "pg_recvlogical > /dev/null",
            Self::PgWalstream => "pg_walstream, every column",
            Self::Bare => "pgwire-replication, no decoding",
            Self::Decoding => "this reader, every column",
            Self::DecodingBinary => "this reader, binary format",
            Self::DebeziumJson => "this reader, Debezium JSON",
            Self::Debezium => "Debezium into Kafka",
        }
    }

    /// Part of its slots' names.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::PgRecvlogical => "recv",
            Self::PgWalstream => "walstream",
            Self::Bare => "bare",
            Self::Decoding => "ours",
            Self::DecodingBinary => "binary",
            Self::DebeziumJson => "json",
            Self::Debezium => "debezium",
        }
    }
}

impl Bench<'_> {
    pub fn drain(&self, contender: Contender, slot: &str, end: Lsn) -> Drain {
        match contender {
            Contender::PgRecvlogical => self.external(self.pg_recvlogical(slot, end)),
            Contender::PgWalstream => self.external(self.pg_walstream(slot)),
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
                let clock = SteadyClock::start();
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
    pub fn ours(
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
            let reader = Reader::spawn(config, move |event| {
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

    fn pg_recvlogical(&self, slot: &str, end: Lsn) -> Command {
        let env = &self.stack.env;
        let mut command = Command::new(pg_recvlogical().unwrap());
        command
            .args(["-h", "127.0.0.1", "-p", &env["POSTGRES_PORT"]])
            .args(["-U", &env["POSTGRES_USER"], "-d", &env["POSTGRES_DB"]])
            .args(["--slot", slot, "--start", "--no-loop", "-f", "/dev/null"])
            .args(["-o", "proto_version=1", "-o", "publication_names=bench"])
            .args(["--endpos", &end.to_string()])
            .env("PGPASSWORD", &env["POSTGRES_PASSWORD"]);
        command
    }

    fn pg_walstream(&self, slot: &str) -> Command {
        let mut command = Command::new(PEERS);
        command
            .args([slot, "bench", &self.options.rows.to_string()])
            .env("PEER_URL", self.peer_url());
        command
    }

    /// The server's address as the peers take it.
    pub fn peer_url(&self) -> String {
        let env = &self.stack.env;
        format!(
            "postgresql://{}:{}@127.0.0.1:{}/{}?replication=database&sslmode=disable",
            env["POSTGRES_USER"],
            env["POSTGRES_PASSWORD"],
            env["POSTGRES_PORT"],
            env["POSTGRES_DB"]
        )
    }

    /// A program that ends when the slot is drained.
    fn external(&self, mut command: Command) -> Drain {
        let before = cpu_of_children();
        let began = Instant::now();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process::of(child.id());
        let mut memory = 0;
        let status = loop {
            memory = memory.max(process.peak());
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let seconds = began.elapsed().as_secs_f64();
        assert!(status.success(), "{command:?}");
        Drain {
            seconds,
            cpu: cpu_of_children() - before,
            memory,
        }
    }
}

/// Looks at each value, as a program that wants them would.
fn touch_every_column(event: &Event<'_>) {
    std::hint::black_box(size_of_every_column(event));
}

/// Bytes of all values of a new row.
pub fn size_of_every_column(event: &Event<'_>) -> usize {
    let Event::Change(change) = event else {
        return 0;
    };
    let row = change.new.as_ref().unwrap();
    row.iter()
        .map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            Value::Null | Value::Unchanged => 0,
        })
        .sum()
}

/// Where [`build_peers`] puts the program.
pub const PEERS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/peers/target/release/cdc-bench-peers"
);

/// Builds the readers of others, which are a crate of their own.
pub fn build_peers() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/Cargo.toml");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--manifest-path", manifest])
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .unwrap();
    assert!(status.success(), "the readers of others do not build");
}

/// On PATH, or where Debian puts it.
pub fn pg_recvlogical() -> Option<std::path::PathBuf> {
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

/// Processor time of programs that have ended, seconds.
fn cpu_of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    #[allow(clippy::cast_precision_loss)]
    let seconds = micros as f64 / 1e6;
    seconds
}
