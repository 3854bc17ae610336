//! `observe` as a service: metrics and health while it goes on, a report a period, the oldest removed; and what `report`, `compare` and
//! `monitor` make of an observation.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, small_run, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const LONG_TESTS: &[Test] = &[("observe_as_a_service_tells_and_reports", as_a_service)];

const COLLECTION: &str = "activity.event_outbox=events";

/// Status and body.
fn get(stack: &TestStack, address: &str, path: &str) -> Option<(u16, String)> {
    stack.block_on(async {
        let client = cdc_bench_stack::http_client().build().unwrap();
        let answer = client.get(format!("http://{address}{path}")).send().await;
        let answer = answer.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    })
}

/// The folders of periods that have a report, oldest first.
fn reported(results: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    let is_period = |folder: &PathBuf| {
        folder.join("period.json").exists() && folder.join("report.html").exists()
    };
    let folders: BTreeSet<_> = folders.filter(is_period).collect();
    folders.into_iter().collect()
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

fn as_a_service(stack: &TestStack) {
    let cdc_bench = |args: &[&str]| ended(with(stack.external(), args));
    assert_eq!(cdc_bench(&["setup"]).code, 0);
    let folder = open_folder();
    let results = folder.path().join("observed");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let place = results.to_str().unwrap();
    let args = [
        "observe",
        "--no-group",
        "--sink-collection",
        COLLECTION,
        "--metrics-listen",
        &address,
        "--report-every",
        "4",
        "--keep",
        "2",
        "--max-p99",
        "600000",
        "--json",
        "--results-dir",
        place,
    ];
    // Its address is taken: nothing is left.
    cdc_bench(&args).refused(2, &["cannot listen", "--metrics-listen"]);
    assert!(!results.exists());
    drop(listener);

    let mut service = with(stack.external(), &args);
    service.stdout(Stdio::piped()).stderr(Stdio::piped());
    let service = service.spawn().unwrap();
    until("all taps to live", || {
        get(stack, &address, "/healthz").is_some_and(|(status, _)| status == 200)
    });
    let runs = folder.path().join("runs");
    let run = small_run(
        stack.external(),
        &runs,
        &["--events", "300", "--rate", "60"],
    );
    let run = ended(run);
    assert!(run.code <= 1, "{}", run.err);

    // Another terminal follows it.
    let monitor = ["monitor", "--json", "--results-dir", place];
    let mut monitor = with(stack.external(), &monitor);
    let mut monitor = monitor.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    signal(id(&monitor), Signal::SIGINT);
    let mut lines = String::new();
    let mut out = monitor.stdout.take().unwrap();
    std::io::Read::read_to_string(&mut out, &mut lines).unwrap();
    monitor.wait().unwrap();
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["phase"], "observing", "{line}");
    assert_eq!(line["observation"]["taps"][0]["name"], "wal", "{line}");

    // A tap that is cut is told, and taken up again.
    let terminate = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE 'cdc_bench_observe%'";
    stack.sql(terminate);
    let resumed = "cdc_bench_observe_tap_resumed_total{tap=\"wal\"} 1\n";
    until("the tap of the WAL to go on", || {
        get(stack, &address, "/metrics").is_some_and(|(_, text)| text.contains(resumed))
    });
    let (status, health) = get(stack, &address, "/healthz").unwrap();
    assert_eq!(status, 200, "{health}");
    let (_, metrics) = get(stack, &address, "/metrics").unwrap();
    let value = |series: &str| -> f64 {
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let line = line.unwrap_or_else(|| panic!("{series} is not in {metrics}"));
        line.parse().unwrap()
    };
    assert!(value("cdc_bench_observe_changes_total{place=\"completed\"}") >= 300.0);
    assert_eq!(value("cdc_bench_observe_missing_total"), 0.0);
    assert_eq!(value("cdc_bench_observe_debezium_lag_seconds"), 0.0);
    let of_total = "{hop=\"total\",table=\"activity.event_outbox\"}";
    assert!(value(&format!("cdc_bench_observe_hop_seconds_count{of_total}")) >= 300.0);
    assert!(
        metrics.contains("cdc_bench_observe_slot_retained_bytes{slot="),
        "{metrics}"
    );

    // Every change is in one report; the folders of the oldest periods are gone.
    let before = reported(&results);
    until("older periods to be removed", || {
        let now = reported(&results);
        now.len() >= 2 && before.first().is_none_or(|oldest| !oldest.exists())
    });
    signal(id(&service), Signal::SIGTERM);
    let service = Ended::from(service.wait_with_output().unwrap());
    assert_eq!(service.code, 0, "{}", service.err);
    let printed = service.out.lines().map(|line| {
        let report: Value = serde_json::from_str(line).unwrap();
        report
    });
    let printed: Vec<_> = printed.collect();
    assert!(printed.len() >= 3, "{}", service.out);
    let sum = |name: &str| -> u64 {
        let counts = printed.iter().map(|report| report["counts"][name].as_u64());
        counts.map(Option::unwrap).sum()
    };
    assert!(sum("completed") >= 300);
    assert_eq!(sum("missing"), 0);
    let left = reported(&results);
    assert_eq!(left.len(), 3, "two that are kept, and the last");
    for folder in &left {
        assert!(folder.join("latency.hlog").exists() && folder.join("run.log").exists());
        assert!(!folder.join("live.json").exists());
    }
    assert_eq!(report(left.last().unwrap()), *printed.last().unwrap());

    what_is_made_of_a_report(stack, folder.path(), &runs);
    assert_eq!(cdc_bench(&["cleanup"]).code, 0);
}

/// Two observations of the same run's kind of load, each format, and the comparison.
fn what_is_made_of_a_report(stack: &TestStack, folder: &Path, runs: &Path) {
    let results = folder.join("whole");
    let place = results.to_str().unwrap();
    let cdc_bench = |args: &[&str]| ended(with(stack.external(), args));
    for _ in 0..2 {
        let args = [
            "observe",
            "--duration",
            "5",
            "--no-group",
            "--sink-collection",
            COLLECTION,
            "--max-p99",
            "600000",
            "--results-dir",
            place,
        ];
        let mut observe = with(stack.external(), &args);
        observe.stdout(Stdio::piped()).stderr(Stdio::piped());
        let observe = observe.spawn().unwrap();
        until("it to read the WAL", || {
            let slot = "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'cdc_bench_observe%' AND active";
            !stack.sql(slot).is_empty()
        });
        let run = small_run(stack.external(), runs, &["--events", "60", "--rate", "60"]);
        assert!(ended(run).code <= 1);
        let observe = Ended::from(observe.wait_with_output().unwrap());
        assert_eq!(observe.code, 0, "{}", observe.err);
    }
    let shown = |format: &str| {
        let report = cdc_bench(&["report", "--format", format, "--results-dir", place]);
        assert_eq!(report.code, 0, "{}", report.err);
        report.out
    };
    let html = shown("html");
    for words in [
        "Latency over time",
        "Hops over time",
        "<svg",
        "activity.event_outbox",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(shown("csv").contains(",observed,total,"));
    assert!(shown("markdown").contains("| total |"));
    assert!(shown("junit").contains("p99_ms"));

    let folders = std::fs::read_dir(&results).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path().display().to_string());
    let folders: Vec<_> = folders.collect();
    let [first, second] = &folders[..] else {
        panic!("{folders:?}");
    };
    let compared = cdc_bench(&["compare", first, second, "--json"]);
    assert_eq!(compared.code, 0, "{}", compared.err);
    let differences = compared.json()["differences"].clone();
    let of_total = differences.as_array().unwrap().iter();
    assert_eq!(of_total.filter(|d| d["hop"] == "total").count(), 3);
    let runs = runs.to_str().unwrap();
    let against = cdc_bench(&["compare", first, "latest", "--results-dir", runs]);
    against.refused(2, &["is an observation", "is a run", "not the same spans"]);
}
