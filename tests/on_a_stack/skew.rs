//! Servers whose clocks are wrong, by libfaketime: measurements do not depend on them, within the bound that the report has.

use std::path::Path;

use serde_json::Value;

use super::Test;
use super::stack::command::{ended, small_run};
use super::stack::{TestStack, open_folder};

pub const LONG_TESTS: &[Test] = &[("skewed_clocks_are_found_and_corrected", skewed)];

/// Debian's package libfaketime.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Offsets in seconds (a JVM does not start with one in milliseconds), and the same in microseconds.
const OFFSETS: [(&str, Option<i64>); 5] = [
    ("-3", Some(-3_000_000)),
    ("-0.05", Some(-50_000)),
    ("+0.25", Some(250_000)),
    ("+3600", Some(3_600_000_000)),
    // Runs a hundred parts per million fast.
    ("+0 x1.0001", None),
];

fn run(stack: &TestStack) -> Value {
    let results = open_folder();
    // At such a low rate that no event waits for the one before, even on a slow machine.
    let args = ["--events", "400", "--rate", "40", "--warmup", "200"];
    ended(small_run(stack.kept(), results.path(), &args)).json()
}

fn hop(report: &Value, name: &str, figure: &str) -> i64 {
    report["paths"]["debezium"]["hops"][name][figure]
        .as_i64()
        .unwrap_or_else(|| panic!("{name} has no {figure}"))
}

/// Pairs of runs, with true clocks and with a skewed one, made as long as the two differ. The machine may delay this run or that;
/// a clock that is corrected badly shows in each.
const PAIRS: usize = 3;

/// Hops that have an end on a foreign clock, and the total, which has none.
const HOPS: [&str; 6] = [
    "capture",
    "kafka_delivery",
    "debezium",
    "produce",
    "consumer_lag",
    "total",
];

/// A stack on which the clock of a server is off by this much. libfaketime also makes it a little slower.
pub fn stack_with(server: &str, skew: &str) -> TestStack {
    assert!(Path::new(LIBRARY).exists(), "apt-get install libfaketime");
    let library = format!("{server}:LD_PRELOAD={LIBRARY}");
    let skew = format!("{server}:FAKETIME={skew}");
    TestStack::with_args(&["--server-env", &library, "--server-env", &skew])
}

fn skewed(_: &TestStack) {
    let mut failures = Vec::new();
    for server in ["postgres", "kafka", "connect"] {
        let truthful = stack_with(server, "+0");
        run(&truthful);
        for (skew, offset_us) in OFFSETS {
            let stack = stack_with(server, skew);
            // It is slow as long as it is new, unlike the other stack.
            failures.extend(wrong_clock(&run(&stack), server, skew, offset_us));
            let mut moved = Vec::new();
            for _ in 0..PAIRS {
                let true_clocks = run(&truthful);
                let report = run(&stack);
                failures.extend(wrong_clock(&report, server, skew, offset_us));
                moved = moved_hops(&report, &true_clocks);
                if moved.is_empty() {
                    break;
                }
                println!("{server} {skew}: {}", moved.join(", "));
            }
            let moved = moved.iter();
            failures.extend(moved.map(|moved| format!("{server} {skew}: {moved}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a run got wrong about a server's clock; nothing may be wrong in any run.
fn wrong_clock(report: &Value, server: &str, skew: &str, offset_us: Option<i64>) -> Vec<String> {
    let clocks = report["clocks"].as_array().unwrap();
    let clock = clocks.iter().find(|clock| clock["server"] == server);
    let clock = clock.unwrap();
    println!("{server} {skew}: {clock}");
    let mut wrong = Vec::new();
    let bound = clock["error_bound"].as_i64().unwrap();
    if let Some(expected) = offset_us {
        let off = (clock["offset"].as_i64().unwrap() - expected).abs();
        if off > bound + 100 {
            wrong.push(format!("{server} {skew}: {off} us off the truth: {clock}"));
        }
    }
    if server == "postgres" && offset_us.is_none() {
        let ppm = clock["drift_ppm"].as_f64().unwrap();
        if !(60.0..140.0).contains(&ppm) {
            wrong.push(format!("{server} gains 100 ppm: {clock}"));
        }
    }
    if report["counts"]["negative_hops"] != 0 {
        let causality = &report["paths"]["debezium"]["causality"];
        wrong.push(format!("{server} {skew}: {causality}"));
    }
    wrong
}

/// The hops in which a run with a skewed clock and one with true clocks differ by more than their bounds.
fn moved_hops(report: &Value, true_clocks: &Value) -> Vec<String> {
    let moved = HOPS.iter().filter_map(|name| {
        let figure = |figure| [report, true_clocks].map(|report| hop(report, name, figure));
        let [skewed, plain] = figure("p50");
        let bounds: i64 = figure("error_bound").iter().sum();
        // Besides the clocks, what two runs with the same settings differ by.
        let noise = (figure("p95")[1] / 2).max(1_000);
        let moved = (skewed - plain).abs();
        (moved > bounds + noise).then(|| format!("{name} moved by {moved} us, bounds {bounds}"))
    });
    moved.collect()
}
