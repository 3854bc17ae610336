//! Random faults for a long time: into a sink that stores positions with its data every committed row comes once, or the reader
//! says that rows are gone; never silence.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Test;
use super::proxy::Proxy;
use super::random::Random;
use super::reader::{Table, drop_it};
use super::reader_standby::failover;
use super::sink;
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const LONG_TESTS: &[Test] = &[(
    "reader_two_thousand_random_faults_lose_nothing_without_a_word",
    faults,
)];

/// Faults, if the variable says no other number.
const FAULTS: u64 = 2_000;
const FAULTS_VARIABLE: &str = "CDC_BENCH_TEST_FAULTS";
/// Failovers to a standby, each of which has its own test.
const FAILOVERS: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// The connection is cut after some bytes, also within the greeting.
    Cut,
    /// The server ends the connection.
    Terminate,
    /// The server's process stands still.
    StallServer,
    /// The sink's process stands still.
    StallSink,
    /// The sink is killed.
    KillSink,
    /// The server is restarted at once, as after a crash.
    Restart,
    /// The slot is dropped while nobody reads.
    DropSlot,
    /// The slot is advanced while nobody reads.
    AdvanceSlot,
}

impl Fault {
    /// How often of a thousand.
    const WEIGHTS: [(Self, u64); 8] = [
        (Self::Cut, 300),
        (Self::Terminate, 200),
        (Self::StallServer, 120),
        (Self::StallSink, 100),
        (Self::KillSink, 230),
        (Self::Restart, 15),
        (Self::DropSlot, 20),
        (Self::AdvanceSlot, 15),
    ];

    fn random(random: &mut Random) -> Self {
        let mut left = random.below(1_000);
        for (fault, weight) in Self::WEIGHTS {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Self::Cut
    }
}

/// The sink, and what of it is kept.
struct SinkProcess<'a> {
    stack: &'a TestStack,
    file: PathBuf,
    words: PathBuf,
    port: u16,
    process: Child,
}

impl<'a> SinkProcess<'a> {
    fn start(stack: &'a TestStack, folder: &Path, port: u16) -> Self {
        let (file, words) = (folder.join("sink"), folder.join("words"));
        let process = Self::spawn(stack, &file, &words, port);
        Self {
            stack,
            file,
            words,
            port,
            process,
        }
    }

    fn spawn(stack: &TestStack, file: &Path, words: &Path, port: u16) -> Child {
        sink::process(stack, file, None)
            .env("POSTGRES_PORT", port.to_string())
            .stderr(File::create(words).unwrap())
            .spawn()
            .unwrap()
    }

    fn again(&mut self) {
        self.process = Self::spawn(self.stack, &self.file, &self.words, self.port);
    }

    fn kill(&mut self) {
        signal(id(&self.process), Signal::SIGKILL);
        self.process.wait().unwrap();
    }

    /// What it said before it ended; `None` while it runs.
    fn ended(&mut self) -> Option<String> {
        self.process.try_wait().unwrap()?;
        Some(std::fs::read_to_string(&self.words).unwrap_or_default())
    }

    /// Every row that it has is a committed one, in order, and none between its first and its last is missing.
    fn check(&self) -> usize {
        let rows = sink::rows(&self.file);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return 0;
        };
        let committed = self.stack.sql(&format!(
            "SELECT id FROM t WHERE id BETWEEN {first} AND {last} ORDER BY id"
        ));
        let committed: Vec<u64> = committed.iter().map(|id| id.parse().unwrap()).collect();
        if rows != committed {
            let at = rows.iter().zip(&committed).position(|(a, b)| a != b);
            panic!(
                "the sink differs at row {at:?}: {} rows, {} committed",
                rows.len(),
                committed.len()
            );
        }
        rows.len()
    }
}

/// Inserts transactions of several rows until it is told to stop.
fn write(stack: &TestStack, is_over: &AtomicBool) {
    let next = AtomicU64::new(0);
    while !is_over.load(Ordering::Relaxed) {
        stack.block_on(async {
            let Ok(client) = stack.try_connect().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                return;
            };
            while !is_over.load(Ordering::Relaxed) {
                let first = next.load(Ordering::Relaxed);
                let last = first + first % 17;
                next.store(last + 1, Ordering::Relaxed);
                let insert = format!(
                    "INSERT INTO t SELECT n, repeat('p', 100) FROM generate_series({first}, {last}) n"
                );
                if client.batch_execute(&insert).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
    }
}

fn faults(stack: &TestStack) {
    let count = std::env::var(FAULTS_VARIABLE).map_or(FAULTS, |count| count.parse().unwrap());
    let _table = Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY, pad text)");
    let folder = open_folder();
    let cut_after = Arc::new(AtomicU64::new(0));
    let limit = Arc::clone(&cut_after);
    let direct = format!("127.0.0.1:{}", stack.env["POSTGRES_PORT"]);
    let proxy = Proxy::before(direct, move |_| match limit.swap(0, Ordering::SeqCst) {
        0 => None,
        limit => Some(limit),
    });
    let mut sink = SinkProcess::start(stack, folder.path(), proxy.port);
    let is_over = AtomicBool::new(false);
    let mut done = BTreeMap::<Fault, u64>::new();
    let (mut told, mut lives, began) = (0, 0_usize, Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| write(stack, &is_over));
        // Whatever happens the writer ends.
        let end = EndOnDrop(&is_over);
        let mut random = Random::new(0x2545_f491_4f6c_dd1d);
        for number in 0..count {
            let fault = Fault::random(&mut random);
            *done.entry(fault).or_default() += 1;
            match fault {
                Fault::Cut => {
                    cut_after.store(200 + random.below(20_000), Ordering::SeqCst);
                    terminate(stack);
                }
                Fault::Terminate => terminate(stack),
                Fault::StallServer => {
                    if let Some(pid) = sender(stack) {
                        signal(pid, Signal::SIGSTOP);
                        std::thread::sleep(random.millis(50, 600));
                        signal(pid, Signal::SIGCONT);
                    }
                }
                Fault::StallSink => {
                    signal(id(&sink.process), Signal::SIGSTOP);
                    std::thread::sleep(random.millis(50, 600));
                    signal(id(&sink.process), Signal::SIGCONT);
                }
                Fault::KillSink => {
                    sink.kill();
                    sink.again();
                }
                Fault::Restart => {
                    let how = [Signal::SIGQUIT, Signal::SIGKILL];
                    stack.end("postgres", how[usize::from(random.below(2) == 1)]);
                    stack.wait_until_healthy();
                }
                Fault::DropSlot | Fault::AdvanceSlot => {
                    sink.kill();
                    let has_position = sink.check() > 0;
                    let newest = stack.sql("SELECT max(id) FROM t").remove(0);
                    until("rows that the sink does not have", || {
                        stack.sql("SELECT max(id) FROM t").remove(0) != newest
                    });
                    if fault == Fault::DropSlot {
                        drop_it(stack);
                    } else {
                        let advance = "SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots WHERE slot_name = 'reader_test'";
                        until("the slot to be free", || stack.try_sql(advance).is_some());
                    }
                    sink.again();
                    if has_position {
                        let mut words = None;
                        until("the reader to say that rows are gone", || {
                            words = sink.ended();
                            words.is_some()
                        });
                        let words = words.unwrap();
                        assert!(words.contains("stands at"), "{fault:?}: {words}");
                        told += 1;
                    } else {
                        sink.kill();
                    }
                    // Anew.
                    lives += 1;
                    drop_it(stack);
                    std::fs::remove_file(&sink.file).unwrap();
                    sink.again();
                }
            }
            std::thread::sleep(random.millis(20, 200));
            if let Some(words) = sink.ended() {
                panic!("after {fault:?}, number {number}, the sink ended: {words}");
            }
            if number % 100 == 99 {
                println!(
                    "{} faults in {:.0} s, {} rows since the slot was made",
                    number + 1,
                    began.elapsed().as_secs_f64(),
                    sink.check()
                );
            }
        }
        // The last slot may be newer than the last row.
        until("a row since the slot was made last", || sink.check() > 0);
        drop(end);
    });
    let last: u64 = stack.sql("SELECT max(id) FROM t")[0].parse().unwrap();
    until("the last row", || {
        assert_eq!(sink.ended(), None);
        sink::rows(&sink.file).last() == Some(&last)
    });
    let rows = sink.check();
    sink.kill();
    drop_it(stack);
    for number in 0..FAILOVERS {
        failover(stack);
        println!("failover {} of {FAILOVERS}", number + 1);
    }
    println!(
        "{rows} rows since the slot was made last, {lives} times; the loss of a slot was told {told} times"
    );
    for (fault, count) in done {
        println!("{:<12} {count:>5}", format!("{fault:?}"));
    }
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn terminate(stack: &TestStack) {
    stack.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL");
}

/// The server's process that sends.
fn sender(stack: &TestStack) -> Option<i32> {
    let pids = "SELECT active_pid FROM pg_replication_slots WHERE active_pid IS NOT NULL";
    stack.sql(pids).first()?.parse().ok()
}
