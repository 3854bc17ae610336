//! Ctrl-C, SIGTERM and SIGKILL in each phase: exit code 130, and no process or resource is left.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Test;
use super::stack::command::{cdc_bench_with_servers, ended, result_folder, small_run, with};
use super::stack::{TestStack, id, open_folder, processes, signal, until, until_within};

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

fn each_phase(stack: &TestStack) {
    let phases = [
        ("set-up", 0, Signal::SIGINT),
        ("set-up", 150, Signal::SIGTERM),
        ("set-up", 500, Signal::SIGINT),
        ("first event through", 0, Signal::SIGTERM),
        ("warm-up", 50, Signal::SIGINT),
        ("load", 300, Signal::SIGTERM),
        ("drain", 20, Signal::SIGINT),
        ("verification", 0, Signal::SIGHUP),
    ];
    for (step, delay_ms, how) in phases {
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
        signal(id(&run), how);
        if how == Signal::SIGTERM {
            // `timeout` signals the process, and its group at once.
            signal(id(&run), how);
        }
        let asked = Instant::now();
        let end: super::stack::command::Ended = run.wait_with_output().unwrap().into();
        let what = format!("{how} {delay_ms} ms into {step}");
        assert_eq!(end.code, 130, "{what}: {}", end.err);
        assert!(end.err.contains("interrupted"), "{what}: {}", end.err);
        assert!(
            asked.elapsed() < Duration::from_secs(30),
            "{what} took {:?}",
            asked.elapsed()
        );
        stack.assert_nothing_left(&what);
    }
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
        processes(&here)
            .iter()
            .any(|line| line.contains("copy-dependencies"))
    });
    signal(id(&run), Signal::SIGINT);
    let end: super::stack::command::Ended = run.wait_with_output().unwrap().into();
    end.refused(130, &["interrupted"]);
    until("Maven to be gone", || processes(&here).is_empty());
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
        let end: super::stack::command::Ended = run.wait_with_output().unwrap().into();
        end.refused(130, &["interrupted"]);
        let here = state.path().display().to_string();
        until("the servers to be gone", || processes(&here).is_empty());
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
