//! Servers that stand still while an idle pipeline is observed: their processes are stopped, their connections are not closed.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Test;
use super::observe::{end, observing};
use super::stack::command::{ended, small_run, with};
use super::stack::processes::{signal_all, tree};
use super::stack::{TestStack, free_port, open_folder, until};

pub const LONG_TESTS: &[Test] = &[("observe_tells_servers_that_stand_still", told)];

/// How long each stands still.
const STANDSTILL: Duration = Duration::from_secs(7);

fn health(stack: &TestStack, port: u16) -> Option<(u16, String)> {
    stack.block_on(async {
        let client = cdc_bench_stack::http_client().build().unwrap();
        let address = format!("http://127.0.0.1:{port}/healthz");
        let answer = client.get(address).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    })
}

fn told(stack: &TestStack) {
    assert_eq!(ended(with(stack.external(), &["setup"])).code, 0);
    let folder = open_folder();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let args = [
        "--no-group",
        "--sink-collection",
        "activity.event_outbox=events",
        "--metrics-listen",
        &listen,
    ];
    let child = observing(stack, &args, folder.path());
    let is_healthy = || health(stack, port).is_some_and(|(status, _)| status == 200);
    until("all taps to live", is_healthy);
    let servers = [
        (
            "postgres",
            Some("wal"),
            "PostgreSQL at",
            stack.pid("postgres"),
        ),
        (
            "kafka",
            Some("topics"),
            "Kafka's broker",
            stack.pid("kafka"),
        ),
        ("store", Some("sink"), "database", stack.pid("store")),
        // None of our taps needs it, and the user's changes do.
        ("connect", None, "Kafka Connect at", stack.pid("connect")),
    ];
    for (name, tap, says, pid) in servers {
        let processes = tree(pid);
        let began = Instant::now();
        signal_all(&processes, Signal::SIGSTOP);
        if let Some(tap) = tap {
            until("the probe to fail", || {
                let (status, text) = health(stack, port).unwrap();
                let state: Value = serde_json::from_str(&text).unwrap();
                let reason = state["taps"][tap]["reason"].as_str().unwrap_or_default();
                status == 503 && reason.contains(says)
            });
            assert!(began.elapsed() < STANDSTILL, "{name} was told late");
        }
        std::thread::sleep(STANDSTILL.saturating_sub(began.elapsed()));
        signal_all(&processes, Signal::SIGCONT);
        until("it to answer again", is_healthy);
    }
    // Nothing is left of it in what comes then.
    let run = small_run(
        stack.external(),
        folder.path(),
        &["--events", "100", "--rate", "50"],
    );
    let run = ended(run);
    assert!(run.code <= 1, "{}", run.err);
    let (code, report, errors) = end(child);
    assert_eq!(code, Some(0), "{errors}");
    let counts = &report["counts"];
    assert!(counts["completed"].as_u64() >= Some(100), "{counts}");
    assert_eq!(counts["captured"], counts["completed"], "{counts}");
    for none in ["missing", "duplicates", "not_covered", "not_shown"] {
        assert_eq!(counts[none], 0, "{none}: {counts}");
    }
    let incidents = report["incidents"].as_array().unwrap();
    for (name, _, says, _) in servers {
        let of_server = |kind: &str| {
            let told = incidents.iter().filter(|incident| {
                incident["kind"] == kind && incident["what"].as_str().unwrap().contains(says)
            });
            let told: Vec<_> = told.collect();
            assert_eq!(told.len(), 1, "{name} {kind}: {incidents:?}");
            told[0].clone()
        };
        let silent = of_server("server_silent");
        assert!(
            silent["what"]
                .as_str()
                .unwrap()
                .contains("answers nothing since")
        );
        let took = of_server("server_answers")["took"].as_u64().unwrap();
        let took = Duration::from_micros(took);
        assert!(
            took >= STANDSTILL - Duration::from_secs(2),
            "{name}: {took:?}"
        );
    }
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
}
