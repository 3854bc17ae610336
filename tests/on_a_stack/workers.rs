//! A run that is spread over workers: its result is the one that a single process would have had, whatever happens to a worker.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::timeline::Nanos;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::Test;
use super::interrupts::{start, wait};
use super::stack::command::{Ended, assert_complete, ended, small_run, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "workers_share_a_run_and_its_report_is_that_of_all_their_events",
        shared,
    ),
    (
        "workers_that_cannot_take_part_are_told_why_and_leave_nothing",
        refused,
    ),
];

/// Each takes a minute or more.
pub const LONG_TESTS: &[Test] = &[
    (
        "workers_one_of_which_is_killed_or_stopped_lose_nothing",
        killed_or_stopped,
    ),
    (
        "workers_whose_coordinator_is_killed_go_on_with_the_next_one",
        killed_coordinator,
    ),
    (
        "workers_whose_clocks_are_wrong_measure_within_their_bounds",
        skewed,
    ),
    ("workers_and_a_run_in_one_process_see_the_same", same_as_one),
];

/// Workers of a test, and where each of them writes its events.
struct Crew {
    test: &'static str,
    results: TempDir,
    workers: Vec<(String, Child)>,
}

impl Crew {
    fn new(test: &'static str) -> Self {
        Self {
            test,
            results: open_folder(),
            workers: Vec::new(),
        }
    }

    fn add(&mut self, mut command: Command, name: &str, args: &[&str]) {
        command
            .args(["worker", "--test", self.test, "--name", name])
            .args(args)
            .arg("--results-dir")
            .arg(self.results.path())
            .stdin(Stdio::null());
        self.workers.push((name.to_owned(), start(command)));
    }

    fn signal(&self, name: &str, how: Signal) {
        let of = self.workers.iter().find(|(worker, _)| worker == name);
        signal(id(&of.unwrap().1), how);
    }

    /// Waits until all have ended. What each has said, by name.
    fn ended(self) -> (TempDir, BTreeMap<String, Ended>) {
        let ended = self.workers.into_iter();
        let ended = ended.map(|(name, worker)| (name, wait(worker)));
        (self.results, ended.collect())
    }
}

/// The total of every event that a worker has recorded of a path, nanoseconds.
fn totals(results: &Path, path: &str) -> SignedHistogram {
    let mut totals = SignedHistogram::default();
    for folder in std::fs::read_dir(results).unwrap().flatten() {
        let lines = std::fs::read_to_string(folder.path().join("events.jsonl"));
        for line in lines.unwrap_or_default().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["path"] == path {
                totals.record(Nanos(line["hops"]["total"].as_i64().unwrap()));
            }
        }
    }
    totals
}

fn by_worker(report: &Value, figure: &str) -> BTreeMap<String, u64> {
    let workers = report["workers"].as_array().unwrap().iter();
    let figure = workers.map(|worker| {
        let name = worker["name"].as_str().unwrap().to_owned();
        (name, worker[figure].as_u64().unwrap())
    });
    figure.collect()
}

fn shared(stack: &TestStack) {
    let mut crew = Crew::new("shared");
    crew.add(stack.kept(), "one", &["--roles", "load,consume"]);
    crew.add(stack.kept(), "two", &[]);
    let results = open_folder();
    let args = [
        "--workers",
        "2",
        "--test",
        "shared",
        "--min-load",
        "2",
        "--partitions",
        "4",
        "--capture",
        "both",
        "--events",
        "300",
        "--rate",
        "100",
    ];
    let end = ended(small_run(stack.kept(), results.path(), &args));
    let (recorded, ended) = crew.ended();
    let report = end.json();
    assert_complete(&report, 300);
    for (name, end) in ended {
        assert_eq!(end.code, 0, "{name}: {}", end.err);
    }
    let inserted = by_worker(&report, "inserted");
    assert_eq!(inserted.values().sum::<u64>(), 300);
    assert!(inserted.values().all(|count| *count > 50), "{inserted:?}");
    assert_eq!(by_worker(&report, "written").values().sum::<u64>(), 600);
    assert_eq!(by_worker(&report, "partitions").values().sum::<u64>(), 4);
    // The quantiles of the whole are those of all events together, not one microsecond off.
    for path in ["debezium", "wal"] {
        let pooled = totals(recorded.path(), path).statistics(Some(Nanos(0)));
        let merged = &report["paths"][path]["hops"]["total"];
        let mut pooled = serde_json::to_value(pooled).unwrap();
        pooled["error_bound"] = merged["error_bound"].clone();
        assert_eq!(*merged, pooled, "{path}");
        assert_eq!(merged["count"], 300, "{path}");
    }
    stack.assert_nothing_left("a run with workers");
}

fn refused(stack: &TestStack) {
    let results = open_folder();
    let run = |args: &[&str]| ended(small_run(stack.kept(), results.path(), args));
    run(&["--workers", "2"]).refused(2, &["--test"]);
    run(&["--workers", "0", "--test", "t"]).refused(2, &["--workers"]);
    run(&["--workers", "2", "--test", "a b"]).refused(2, &["letters"]);
    run(&["--workers", "2", "--test", "t", "--min-load", "3"]).refused(2, &["--min-load"]);
    run(&["--workers", "2", "--test", "t", "--capture", "embedded"]).refused(2, &["embedded"]);
    let roles = ["worker", "--test", "t", "--roles", "sleep"];
    ended(with(stack.kept(), &roles)).refused(2, &["load", "consume", "capture"]);

    // Ctrl-C while it waits for workers that do not come; and a worker that waits for a test.
    let waiting = ["--workers", "2", "--test", "waiting", "--events", "10"];
    let waiting = start(small_run(stack.kept(), results.path(), &waiting));
    let mut crew = Crew::new("waiting");
    crew.add(stack.kept(), "alone", &[]);
    let mut other = Crew::new("none");
    other.add(stack.kept(), "lonely", &[]);
    std::thread::sleep(Duration::from_secs(4));
    let same_name = ["worker", "--test", "waiting", "--name", "alone"];
    ended(with(stack.kept(), &same_name)).refused(2, &["alone", "waiting", "already", "--name"]);
    let mut no_chrony = with(
        stack.kept(),
        &["worker", "--test", "waiting", "--trust-ntp"],
    );
    no_chrony.env("PATH", results.path());
    ended(no_chrony).refused(2, &["--trust-ntp", "chrony", "without the option"]);
    // A second coordinator of the same test.
    let second = ["--workers", "1", "--test", "waiting"];
    run(&second).refused(2, &["another run uses the stack"]);
    let second = ended(small_run(stack.external(), results.path(), &second));
    second.refused(2, &["test waiting already", "--test"]);
    signal(id(&waiting), Signal::SIGINT);
    other.signal("lonely", Signal::SIGINT);
    assert_eq!(wait(waiting).code, 130);
    let (_folder, ended) = crew.ended();
    ended["alone"].refused(3, &["given up", "interrupted"]);
    let (_folder, ended) = other.ended();
    assert_eq!(ended["lonely"].code, 130, "{}", ended["lonely"].err);
    stack.assert_nothing_left("a test that was given up");
}

fn killed_or_stopped(stack: &TestStack) {
    for (how, victim) in [
        (Signal::SIGSTOP, "b"),
        (Signal::SIGKILL, "b"),
        // As on a node that is drained.
        (Signal::SIGTERM, "c"),
        // It reads the WAL: of those who offer it, the first by name.
        (Signal::SIGKILL, "a"),
    ] {
        let mut crew = Crew::new("hurt");
        for name in ["a", "b", "c"] {
            crew.add(stack.kept(), name, &[]);
        }
        let results = open_folder();
        let args = [
            "--workers",
            "3",
            "--test",
            "hurt",
            "--partitions",
            "6",
            "--events",
            "4500",
            "--rate",
            "150",
            "--drain-timeout",
            "60",
        ];
        let before = loaded_runs(stack);
        let run = start(small_run(stack.kept(), results.path(), &args));
        until_loading(stack, before);
        std::thread::sleep(Duration::from_secs(8));
        crew.signal(victim, how);
        if how == Signal::SIGSTOP {
            std::thread::sleep(Duration::from_secs(10));
            crew.signal(victim, Signal::SIGCONT);
        }
        // As a machine that comes back: what the one before has counted stays its own.
        let comes_back = (how, victim) == (Signal::SIGKILL, "b");
        if comes_back {
            crew.add(stack.kept(), victim, &[]);
        }
        let end = wait(run);
        let (_folder, ended) = crew.ended();
        let report: Value = serde_json::from_str(&end.out).unwrap_or_else(|error| {
            panic!(
                "{how} {victim}: {error}: {} {} {ended:#?}",
                end.out, end.err
            )
        });
        for (name, end) in ended {
            let is_victim = name == victim && how != Signal::SIGSTOP;
            assert!(end.code == 0 || is_victim, "{how} {name}: {}", end.err);
        }
        let (counts, found) = (&report["counts"], &report["verification"]);
        eprintln!("{how} {victim}: {counts} {found} {}", report["workers"]);
        for wrong in ["missing", "extra", "differing"] {
            assert_eq!(found[wrong], 0, "{how} {victim}: {found}");
        }
        assert_eq!(counts["lost"], 0, "{how} {victim}: {counts}");
        assert_eq!(
            counts["inserted"], found["postgres_count"],
            "{how}: {counts}"
        );
        for place in ["captured", "consumed"] {
            assert_eq!(counts[place], counts["inserted"], "{how}: {counts}");
        }
        let gone = report["workers"].as_array().unwrap().iter();
        let gone: Vec<_> = gone.filter(|worker| worker["is_gone"] == true).collect();
        if how != Signal::SIGSTOP {
            assert_eq!(gone.len(), 1, "{}", report["workers"]);
            assert_eq!(gone[0]["name"], victim);
            let written = by_worker(&report, "written");
            assert_eq!(written.contains_key("b-2"), comes_back, "{written:?}");
            assert!(!comes_back || written["b-2"] > 0, "{written:?}");
            // Its load is missing, and said to be.
            assert!(counts["inserted"].as_u64() < Some(4_500), "{counts}");
            let said = report["diagnosis"]["findings"].to_string();
            assert!(said.contains(&format!("worker {victim}")), "{said}");
        } else {
            assert!(gone.is_empty(), "{gone:?}");
            assert_eq!(counts["inserted"], 4_500);
        }
        stack.assert_nothing_left("a run one of whose workers was hurt");
    }
}

/// The next coordinator takes the test up where it stands; a worker that comes meanwhile takes partitions over.
fn killed_coordinator(stack: &TestStack) {
    let mut crew = Crew::new("orphaned");
    for name in ["a", "b"] {
        crew.add(stack.kept(), name, &[]);
    }
    let results = open_folder();
    let args = [
        "--workers",
        "2",
        "--test",
        "orphaned",
        "--partitions",
        "6",
        "--capture",
        "both",
        "--events",
        "3000",
        "--rate",
        "150",
    ];
    let before = loaded_runs(stack);
    let mut first = start(small_run(stack.kept(), results.path(), &args));
    until_loading(stack, before);
    std::thread::sleep(Duration::from_secs(4));
    signal(id(&first), Signal::SIGKILL);
    first.wait().unwrap();
    crew.add(stack.kept(), "late", &[]);
    std::thread::sleep(Duration::from_secs(3));
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    let (recorded, ended) = crew.ended();
    for (name, end) in ended {
        assert_eq!(end.code, 0, "{name}: {}", end.err);
    }
    assert_complete(&report, 3_000);
    let workers = by_worker(&report, "partitions");
    assert_eq!(workers.values().sum::<u64>(), 6, "{workers:?}");
    assert!(workers["late"] > 0, "{workers:?}");
    for path in ["debezium", "wal"] {
        let recorded = totals(recorded.path(), path).count();
        let joined = report["paths"][path]["hops"]["total"]["count"].as_u64();
        assert_eq!(joined, Some(recorded), "{path}");
        // Of some events that were under way while their partition moved, another worker has the rest of the stamps.
        assert!(recorded > 2_900, "{path}: {recorded}");
    }
    stack.assert_nothing_left("a test that was taken up");
}

/// Runs that have inserted measured events.
fn loaded_runs(stack: &TestStack) -> usize {
    let question =
        "SELECT DISTINCT run_id FROM activity.event_outbox WHERE run_id !~ '-(probe|warmup)$'";
    stack.try_sql(question).map_or(0, |runs| runs.len())
}

/// Waits until one more run has.
fn until_loading(stack: &TestStack, before: usize) {
    until("the measured load", || loaded_runs(stack) > before);
}

/// Three seconds behind, a quarter of a second ahead, and an hour; one runs 100 ppm too fast, another as much too slow. libfaketime cannot do it: librdkafka's waits end by the true clock. No
/// stamp of an event is of one worker alone: one loads, another consumes, the third captures.
fn skewed(stack: &TestStack) {
    let mut crew = Crew::new("skewed");
    for (name, roles, skew, drift) in [
        ("behind", "load", "-3000", "100"),
        ("ahead", "consume", "250", "-100"),
        ("future", "capture", "3600000", "0"),
    ] {
        let args = [
            "--roles",
            roles,
            "--inject-clock-skew",
            skew,
            "--inject-clock-drift",
            drift,
        ];
        crew.add(stack.kept(), name, &args);
    }
    let results = open_folder();
    let args = [
        "--workers",
        "3",
        "--test",
        "skewed",
        "--partitions",
        "2",
        "--events",
        "1200",
        "--rate",
        "40",
    ];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    let (_folder, ended) = crew.ended();
    for (name, end) in ended {
        assert_eq!(end.code, 0, "{name}: {}", end.err);
    }
    let hops = &report["paths"]["debezium"]["hops"];
    let hop = |name: &str, figure: &str| hops[name][figure].as_i64().unwrap();
    eprintln!("{hops:#} {}", report["workers"]);
    // The total goes from the one's clock to the other's.
    let bound = hop("total", "error_bound");
    assert!(bound > 0 && bound < 20_000, "{bound}");
    for name in ["total", "capture", "kafka_delivery", "consumer_lag"] {
        assert!(
            hop(name, "p50") > -hop(name, "error_bound"),
            "{name}: {hops}"
        );
        assert!(hop(name, "p50") < 1_000_000, "{name}: {hops}");
    }
    assert_eq!(report["counts"]["negative_hops"], 0, "{}", report["counts"]);
}

/// The same events by three workers and by one process, in turn.
fn same_as_one(stack: &TestStack) {
    let load = [
        "--partitions",
        "6",
        "--events",
        "3000",
        "--rate",
        "150",
        "--warmup",
        "500",
    ];
    let (mut alone, mut spread) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let results = open_folder();
        let report = ended(small_run(stack.kept(), results.path(), &load)).json();
        assert_complete(&report, 3_000);
        alone.push(report);
        let mut crew = Crew::new("equal");
        for name in ["a", "b", "c"] {
            crew.add(stack.kept(), name, &[]);
        }
        let args = [&load[..], &["--workers", "3", "--test", "equal"]].concat();
        let report = ended(small_run(stack.kept(), results.path(), &args)).json();
        let (_folder, ended) = crew.ended();
        for (name, end) in ended {
            assert_eq!(end.code, 0, "{name}: {}", end.err);
        }
        assert_complete(&report, 3_000);
        spread.push(report);
    }
    assert_agree(&alone, &spread);
}

/// Runs in one process and runs by workers: the events are the same, and the medians agree as far as those of such runs do among
/// themselves, whose ranges overlap: but for the error that a report states of a hop whose ends are of two workers.
pub fn assert_agree(alone: &[Value], spread: &[Value]) {
    for report in spread {
        assert_eq!(report["events_by_type"], alone[0]["events_by_type"]);
    }
    let mut apart = Vec::new();
    for hop in [
        "capture",
        "kafka_delivery",
        "consumer_lag",
        "processing",
        "total",
    ] {
        let figures = |reports: &[Value], figure: &str| {
            let of = |report: &Value| report["paths"]["debezium"]["hops"][hop][figure].as_i64();
            reports.iter().filter_map(of).collect::<Vec<_>>()
        };
        let (one, many) = (figures(alone, "p50"), figures(spread, "p50"));
        let bound = figures(spread, "error_bound")
            .into_iter()
            .max()
            .unwrap_or(0);
        let [least, most] = [
            many.iter().min().unwrap() - bound,
            many.iter().max().unwrap() + bound,
        ];
        let agrees = *one.iter().min().unwrap() <= most && least <= *one.iter().max().unwrap();
        let figures = format!("{hop}: one {one:?}, spread {many:?} +- {bound} us");
        eprintln!("{figures}");
        if !agrees {
            apart.push(figures);
        }
    }
    assert!(apart.is_empty(), "{apart:#?}");
}
