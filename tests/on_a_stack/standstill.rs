//! Signals while a server stands still: its processes are stopped, its connections are not closed. A command ends within ten
//! seconds, with exit code 130, and says what it could not remove.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Test;
use super::interrupts::{start, until_step};
use super::stack::command::{Ended, ended, small_run, with};
use super::stack::{TestStack, id, open_folder, signal, signal_all, tree};

pub const LONG_TESTS: &[Test] = &[(
    "interrupted_while_a_server_stands_still_a_run_ends_within_ten_seconds",
    each_phase_and_server,
)];

const LIMIT: Duration = Duration::from_secs(10);

const SERVERS: [&str; 4] = ["postgres", "kafka", "connect", "store"];

/// Steps of a run, and how far into them it is interrupted.
const PHASES: [(&str, u64); 6] = [
    ("set-up", 150),
    ("first event through", 100),
    ("warm-up", 50),
    ("load", 300),
    ("drain", 20),
    ("verification", 0),
];

fn each_phase_and_server(stack: &TestStack) {
    let mut failures = Vec::new();
    for (number, (step, delay_ms)) in PHASES.into_iter().enumerate() {
        for (other, server) in SERVERS.into_iter().enumerate() {
            let how = [Signal::SIGINT, Signal::SIGTERM][(number + other) % 2];
            let what = format!("{how}, {delay_ms} ms into {step}, {server} stopped");
            failures.extend(
                interrupted(stack, (step, delay_ms), server, how)
                    .map(|why| format!("{what}: {why}")),
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with the end of a run that is interrupted there.
fn interrupted(
    stack: &TestStack,
    (step, delay_ms): (&str, u64),
    server: &str,
    how: Signal,
) -> Option<String> {
    let results = open_folder();
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
    let stopped = tree(stack.pid(server));
    signal_all(&stopped, Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    signal(id(&run), how);
    let end: Ended = run.wait_with_output().unwrap().into();
    let took = asked.elapsed();
    signal_all(&stopped, Signal::SIGCONT);
    println!(
        "{how:8} {step:20} {server:9} {:5.1} s, exit code {}: {}",
        took.as_secs_f64(),
        end.code,
        end.err.lines().last().unwrap_or_default()
    );
    let cleaned = ended(with(stack.external(), &["cleanup"]));
    let wrong = [
        (took > LIMIT).then(|| format!("took {took:?}")),
        (end.code != 130).then(|| format!("exit code {}: {}", end.code, end.err)),
        (cleaned.code != 0).then(|| format!("cleanup: {}", cleaned.err)),
    ];
    stack.assert_nothing_left(step);
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}
