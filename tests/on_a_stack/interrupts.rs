//! Ctrl-C, SIGTERM and SIGKILL in each phase: exit code 130, and no process or resource is left.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Test;
use super::stack::command::{Ended, cdc_bench_with_servers, ended, result_folder, small_run, with};
use super::stack::processes::{id, running, signal, signal_all, tree};
use super::stack::{TestStack, open_folder, until, until_within};

pub const TESTS: &[Test] = &[
    (
        "ctrl_c_at_each_phase_of_a_run_leaves_nothing_behind",
        each_phase,
    ),
    (
        "ctrl_c_while_artifacts_are_fetched_leaves_nothing_running",
        while_fetching,
    ),
    (
        "ctrl_c_while_servers_start_leaves_nothing_running",
        while_starting,
    ),
    (
        "a_killed_run_on_external_servers_is_cleaned_up_after",
        killed_on_external,
    ),
    (
        "a_consumer_that_is_stopped_has_committed_what_it_wrote",
        stopped_consumer,
    ),
];

pub const LONG_TESTS: &[Test] = &[(
    "interrupted_while_a_server_stands_still_a_run_ends_within_ten_seconds",
    each_phase_and_server,
)];

/// Waits until a command has ended.
pub fn wait(command: Child) -> Ended {
    command.wait_with_output().unwrap().into()
}

pub fn start(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the run's log reports the start of a step.
pub fn until_step(run: &mut Child, results: &Path, step: &str) {
    until_step_within(Duration::from_secs(60), run, results, step);
}

/// The same, where what comes before may take longer.
pub fn until_step_within(limit: Duration, run: &mut Child, results: &Path, step: &str) {
    let words = format!("step=\"{step}\"");
    until_within(limit, step, || {
        assert!(
            run.try_wait().unwrap().is_none(),
            "the run ended before {step}"
        );
        result_folder(results)
            .and_then(|folder| std::fs::read_to_string(folder.join("run.log")).ok())
            .is_some_and(|log| log.contains(&words))
    });
}

/// When a run is interrupted: its step, milliseconds into it, and the server whose processes are stopped before, without closing
/// their connections.
type Moment = (&'static str, u64, Option<&'static str>);

/// From one signal to the end, whatever is away.
const END_LIMIT: Duration = Duration::from_secs(10);

fn each_phase(stack: &TestStack) {
    let moments: [(Moment, Signal); 8] = [
        (("set-up", 0, None), Signal::SIGINT),
        (("set-up", 150, None), Signal::SIGTERM),
        (("set-up", 500, Some("connect")), Signal::SIGINT),
        (("first event through", 0, None), Signal::SIGTERM),
        (("warm-up", 50, Some("postgres")), Signal::SIGINT),
        (("load", 300, None), Signal::SIGTERM),
        (("drain", 20, Some("kafka")), Signal::SIGINT),
        (("verification", 0, None), Signal::SIGHUP),
    ];
    for (moment, how) in moments {
        assert_eq!(interrupted(stack, moment, how), None);
    }
}

fn each_phase_and_server(stack: &TestStack) {
    let steps = [
        ("set-up", 150),
        ("first event through", 100),
        ("warm-up", 50),
        ("load", 300),
        ("drain", 20),
        ("verification", 0),
    ];
    let mut failures = Vec::new();
    for (step, delay_ms) in steps {
        for server in ["postgres", "kafka", "connect", "store"] {
            for how in [Signal::SIGINT, Signal::SIGTERM] {
                failures.extend(interrupted(stack, (step, delay_ms, Some(server)), how));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with the end of a run that is interrupted at this moment.
fn interrupted(stack: &TestStack, (step, delay_ms, server): Moment, how: Signal) -> Option<String> {
    let results = open_folder();
    // Inserted faster than the store writes, so that there is something to drain.
    let args = [
        "--events",
        "3000",
        "--rate",
        "max",
        "--insert-batch",
        "50",
        "--warmup",
        "100",
    ];
    let mut run = start(small_run(stack.external(), results.path(), &args));
    until_step(&mut run, results.path(), step);
    std::thread::sleep(Duration::from_millis(delay_ms));
    let stopped = server.map_or_else(Vec::new, |server| tree(stack.pid(server)));
    signal_all(&stopped, Signal::SIGSTOP);
    signal(id(&run), how);
    if how == Signal::SIGTERM {
        // `timeout` signals the process, and its group at once.
        signal(id(&run), how);
    }
    let asked = Instant::now();
    let end: Ended = run.wait_with_output().unwrap().into();
    let took = asked.elapsed();
    signal_all(&stopped, Signal::SIGCONT);
    let server = server.unwrap_or("nothing");
    let what = format!("{how} {delay_ms} ms into {step} with {server} stopped");
    println!("{:5.1} s {what}", took.as_secs_f64());
    if !stopped.is_empty() {
        let cleaned = ended(with(stack.external(), &["cleanup"]));
        assert_eq!(cleaned.code, 0, "{what}: {}", cleaned.err);
    }
    stack.assert_nothing_left(&what);
    let is_well = took < END_LIMIT && end.code == 130 && end.err.contains("interrupted");
    (!is_well).then(|| format!("{what}: {took:?}, exit code {}: {}", end.code, end.err))
}

fn while_fetching(_: &TestStack) {
    let (cache, state, results) = (open_folder(), open_folder(), open_folder());
    let mut command = small_run(cdc_bench_with_servers(), results.path(), &["--events", "5"]);
    command
        .env("CDC_BENCH_CACHE_DIR", cache.path())
        .env("CDC_BENCH_STATE_DIR", state.path());
    let run = start(command);
    let here = cache.path().display().to_string();
    until("Maven to be fetching", || {
        running(&here)
            .iter()
            .any(|line| line.contains("copy-dependencies"))
    });
    signal(id(&run), Signal::SIGINT);
    let end: Ended = run.wait_with_output().unwrap().into();
    end.refused(130, &["interrupted"]);
    until("Maven to be gone", || running(&here).is_empty());
}

fn while_starting(_: &TestStack) {
    for delay_ms in [0, 700, 2_500] {
        let (state, results) = (open_folder(), open_folder());
        let mut command = small_run(cdc_bench_with_servers(), results.path(), &["--events", "5"]);
        command.env("CDC_BENCH_STATE_DIR", state.path());
        let mut run = start(command);
        until_step(&mut run, results.path(), "servers");
        std::thread::sleep(Duration::from_millis(delay_ms));
        signal(id(&run), Signal::SIGINT);
        let end: Ended = run.wait_with_output().unwrap().into();
        end.refused(130, &["interrupted"]);
        let here = state.path().display().to_string();
        until("the servers to be gone", || running(&here).is_empty());
        assert_eq!(folders(state.path()), 0);
    }
}

fn folders(state: &Path) -> usize {
    let entries = std::fs::read_dir(state).unwrap().flatten();
    entries.filter(|entry| entry.path().is_dir()).count()
}

fn killed_on_external(stack: &TestStack) {
    let results = open_folder();
    let args = ["--events", "5000", "--rate", "200"];
    let mut run = start(small_run(stack.external(), results.path(), &args));
    until_step(&mut run, results.path(), "load");
    signal(id(&run), Signal::SIGKILL);
    run.wait().unwrap();
    let readers =
        "SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'cdc_bench_reader%'";
    until("the reader's slot to be gone by itself", || {
        stack.sql(readers).is_empty()
    });
    assert!(!stack.connectors().is_empty(), "nobody could remove it");
    let removed = ended(with(stack.external(), &["cleanup"]));
    assert_eq!(removed.code, 0, "{}", removed.err);
    assert!(
        removed.out.contains("connector cdc-bench-run-"),
        "{}",
        removed.out
    );
    stack.assert_nothing_left("cleanup");
}

fn stopped_consumer(stack: &TestStack) {
    ended(with(stack.kept(), &["setup"]));
    ended(with(
        stack.kept(),
        &["generate", "--events", "400", "--rate", "max"],
    ));
    let consumer = start(with(stack.kept(), &["consume", "--json"]));
    let events = stack.events();
    let written = || {
        stack
            .block_on(async { events.count_documents(mongodb::bson::doc! {}).await })
            .unwrap()
    };
    until("some to be written", || written() > 0);
    signal(id(&consumer), Signal::SIGTERM);
    let output = consumer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let first: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rest = ended(with(
        stack.kept(),
        &["consume", "--idle-timeout", "3", "--json"],
    ))
    .json();
    let sum = first["written"].as_u64().unwrap() + rest["written"].as_u64().unwrap();
    assert_eq!((sum, written()), (400, 400), "none twice, none missing");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}
