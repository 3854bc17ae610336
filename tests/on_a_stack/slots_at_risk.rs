//! Slots that hold back WAL: whoever holds them is named. And pipelines that stand still for good: the run ends, and says where.

use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Test;
use super::interrupts::{start, until_step};
use super::reader_two_phase::Preparing;
use super::stack::command::{Ended, result_folder, small_run};
use super::stack::processes::{signal_all, tree};
use super::stack::{TestStack, open_folder, until_within};

pub const TESTS: &[Test] = &[
    (
        "a_transaction_left_open_is_named_as_what_holds_a_slot_back",
        open_transaction,
    ),
    (
        "a_slot_that_the_server_gives_up_is_named_whoever_notices_first",
        given_up,
    ),
];

/// A minute or so each: servers are restarted, or stand still for long enough.
pub const LONG_TESTS: &[Test] = &[
    (
        "a_prepared_transaction_is_named_as_what_holds_a_slot_back",
        prepared_transaction,
    ),
    (
        "a_connect_that_stands_still_is_told_with_its_slot_and_ends_the_run",
        stopped_connect,
    ),
    (
        "a_checkpoint_that_waits_for_a_reader_is_told",
        waiting_checkpoint,
    ),
    ("a_kafka_that_stands_still_ends_the_run", stopped_kafka),
    (
        "a_connector_that_was_stopped_is_told_with_its_slot_and_ends_the_run",
        stopped_connector,
    ),
];

/// So much WAL at once, in no transaction.
const BULK: &str = "SELECT pg_logical_emit_message(false, 'bulk', repeat('x', 1000000)) FROM generate_series(1, 45)";

/// Has WAL written while something is open, and waits for the end of the run.
fn held_back(stack: &TestStack, path: &str, open: impl FnOnce() -> String) -> (Ended, String) {
    let results = open_folder();
    let args = [
        "--events",
        "100000",
        "--rate",
        "50",
        "--capture",
        path,
        "--max-retained-wal",
        "20",
    ];
    let mut run = start(small_run(stack.external(), results.path(), &args));
    until_step(&mut run, results.path(), "load");
    let opened = open();
    // It is older than one look of the guard.
    std::thread::sleep(Duration::from_millis(1_500));
    stack.sql(BULK);
    (Ended::from(run.wait_with_output().unwrap()), opened)
}

fn open_transaction(stack: &TestStack) {
    let client = stack.block_on(stack.connect());
    let (end, pid) = held_back(stack, "wal", || {
        let open = "SET application_name = 'left open'; BEGIN; SELECT pg_logical_emit_message(true, 'open', '')";
        stack.block_on(client.batch_execute(open)).unwrap();
        let row = stack.block_on(client.query_one("SELECT pg_backend_pid()", &[]));
        let pid: i32 = row.unwrap().get(0);
        pid.to_string()
    });
    drop(client);
    end.refused(
        3,
        &[
            "20 MiB are allowed (--max-retained-wal)",
            "a transaction has been open for",
            &format!("process {pid}, user "),
            "application \"left open\"",
            "idle in transaction",
            &format!("SELECT pg_terminate_backend({pid})"),
            "its slot is dropped",
        ],
    );
    stack.assert_nothing_left("a run whose slot was held back");
}

fn given_up(stack: &TestStack) {
    let results = open_folder();
    let args = ["--events", "100000", "--rate", "50", "--capture", "wal"];
    let mut run = start(small_run(stack.external(), results.path(), &args));
    until_step(&mut run, results.path(), "load");
    keep_wal(stack, "SET max_slot_wal_keep_size = '1MB'");
    // A slot lets go of WAL only every 15 seconds, however fast it is read.
    stack.sql(BULK);
    stack.sql("CHECKPOINT");
    let end = Ended::from(run.wait_with_output().unwrap());
    keep_wal(stack, "RESET max_slot_wal_keep_size");
    end.refused(
        3,
        &["slot \"cdc_bench_wal_", "is lost", "max_slot_wal_keep_size"],
    );
    stack.assert_nothing_left("a run whose slot was lost");
}

fn keep_wal(stack: &TestStack, setting: &str) {
    stack.sql(&format!("ALTER SYSTEM {setting}"));
    stack.sql("SELECT pg_reload_conf()");
}

fn prepared_transaction(stack: &TestStack) {
    let _preparing = Preparing::on(stack);
    let (end, _) = held_back(stack, "embedded", || {
        stack.sql("BEGIN; SELECT pg_logical_emit_message(true, 'open', ''); PREPARE TRANSACTION 'left open'");
        String::new()
    });
    stack.sql("ROLLBACK PREPARED 'left open'");
    end.refused(
        3,
        &[
            "a transaction has been open for",
            "prepared as 'left open', user ",
            "ROLLBACK PREPARED 'left open'",
        ],
    );
    stack.assert_nothing_left("a run whose slot was held back");
}

/// A server of the stack that stands still until this is dropped.
struct Stopped(Vec<i32>);

impl Stopped {
    fn new(stack: &TestStack, server: &str) -> Self {
        let processes = tree(stack.pid(server));
        signal_all(&processes, Signal::SIGSTOP);
        Self(processes)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal_all(&self.0, Signal::SIGCONT);
    }
}

/// A run whose load has begun. It ends when nothing has come through for a minute.
fn loading(stack: &TestStack, results: &std::path::Path, rate: &str) -> Child {
    let args = ["--events", "1000000", "--rate", rate, "--max-silence", "50"];
    let mut run = start(small_run(stack.external(), results, &args));
    until_step(&mut run, results, "load");
    // Something has come through.
    std::thread::sleep(Duration::from_secs(2));
    run
}

fn until_logged(results: &std::path::Path, words: &str) {
    until_within(Duration::from_secs(90), words, || {
        let log = result_folder(results).unwrap().join("run.log");
        std::fs::read_to_string(log).unwrap().contains(words)
    });
}

fn stopped_connect(stack: &TestStack) {
    let results = open_folder();
    let run = loading(stack, results.path(), "50");
    let stopped = Stopped::new(stack, "connect");
    keep_wal(stack, "SET max_slot_wal_keep_size = '1MB'");
    stack.sql(BULK);
    until_logged(results.path(), "is about to be lost: WAL from ");
    keep_wal(stack, "RESET max_slot_wal_keep_size");
    until_logged(
        results.path(),
        "is not read: its reader has not replied for 45 s",
    );
    let end = Ended::from(run.wait_with_output().unwrap());
    drop(stopped);
    end.refused(
        3,
        &[
            "nothing has come through capture path debezium for",
            "--max-silence",
            "connect: no answer",
            // PostgreSQL ends its walsender at about that time (wal_sender_timeout).
            "slot \"cdc_bench_debezium_",
            "clean-up failed",
        ],
    );
    stack.clear();
}

fn waiting_checkpoint(stack: &TestStack) {
    keep_wal(stack, "SET max_slot_wal_keep_size = '1MB'");
    let results = open_folder();
    let run = loading(stack, results.path(), "2500");
    let stopped = Stopped::new(stack, "connect");
    // So much that the buffers of its connection are full.
    until_logged(results.path(), "is about to be lost");
    std::thread::sleep(Duration::from_secs(15));
    let checkpoint = stack.block_on(stack.connect());
    let checkpoint = async move { checkpoint.batch_execute("CHECKPOINT").await };
    let checkpoint = stack.spawn(checkpoint);
    until_logged(results.path(), "makes no checkpoint: it has given slot");
    drop(stopped);
    stack.block_on(checkpoint).unwrap().unwrap();
    let end = Ended::from(run.wait_with_output().unwrap());
    end.refused(3, &["is lost", "max_slot_wal_keep_size"]);
    keep_wal(stack, "RESET max_slot_wal_keep_size");
    stack.clear();
}

fn stopped_kafka(stack: &TestStack) {
    let results = open_folder();
    let run = loading(stack, results.path(), "50");
    let stopped = Stopped::new(stack, "kafka");
    let end = Ended::from(run.wait_with_output().unwrap());
    drop(stopped);
    end.refused(
        3,
        &[
            "nothing has come through capture path debezium for",
            "kafka: it has answered nothing for",
            "Kafka did not answer in time: group",
        ],
    );
    stack.clear();
}

fn stopped_connector(stack: &TestStack) {
    let results = open_folder();
    let run = loading(stack, results.path(), "50");
    let connectors = stack.connectors();
    let stopping = format!(
        "{}/connectors/{}/stop",
        stack.env["CONNECT_URL"], connectors[0]
    );
    let client = cdc_bench_stack::http_client().build().unwrap();
    let answer = stack.block_on(async { client.put(stopping).send().await });
    assert!(answer.unwrap().status().is_success());
    let end = Ended::from(run.wait_with_output().unwrap());
    end.refused(
        3,
        &[
            "nothing has come through capture path debezium for",
            "is STOPPED with tasks",
            "nobody has read it for",
        ],
    );
    stack.assert_nothing_left("a run whose connector was stopped");
}
