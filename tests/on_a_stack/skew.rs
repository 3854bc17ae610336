//! Servers whose clocks are wrong, by libfaketime: what is measured does not depend on them, within the bound that is
//! printed.

use std::path::Path;

use serde_json::Value;

use super::Test;
use super::stack::{TestStack, ended, open_folder, small_run};

pub const LONG_TESTS: &[Test] = &[("skewed_clocks_are_found_and_corrected", skewed)];

/// Debian's package libfaketime.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Offsets in seconds (a JVM does not get ready with one in milliseconds), and what they come to in microseconds.
const OFFSETS: [(&str, Option<i64>); 5] = [
    ("-3", Some(-3_000_000)),
    ("-0.05", Some(-50_000)),
    ("+0.25", Some(250_000)),
    ("+3600", Some(3_600_000_000)),
    // A hundred parts per million fast.
    ("+0 x1.0001", None),
];

fn run(stack: &TestStack) -> Value {
    let results = open_folder();
    let args = ["--events", "600", "--rate", "100", "--warmup", "200"];
    ended(small_run(stack.kept(), results.path(), &args)).json()
}

fn hop(report: &Value, name: &str, figure: &str) -> i64 {
    report["paths"]["debezium"]["hops"][name][figure]
        .as_i64()
        .unwrap_or_else(|| panic!("{name} has no {figure}"))
}

fn skewed(plain: &TestStack) {
    assert!(Path::new(LIBRARY).exists(), "apt-get install libfaketime");
    let true_clocks = run(plain);
    let mut failures = Vec::new();
    for server in ["postgres", "kafka", "connect"] {
        for (skew, offset_us) in OFFSETS {
            let variables = [
                format!("{server}:LD_PRELOAD={LIBRARY}"),
                format!("{server}:FAKETIME={skew}"),
            ];
            let args = ["--server-env", &variables[0], "--server-env", &variables[1]];
            let stack = TestStack::with_args(&args);
            let report = run(&stack);
            let clocks = report["clocks"].as_array().unwrap();
            let clock = clocks
                .iter()
                .find(|clock| clock["server"] == server)
                .unwrap();
            println!("{server} {skew}: {clock}");
            let bound = clock["error_bound"].as_i64().unwrap();
            if let Some(expected) = offset_us {
                let off = (clock["offset"].as_i64().unwrap() - expected).abs();
                if off > bound + 100 {
                    failures.push(format!("{server} {skew}: {off} us off the truth: {clock}"));
                }
            }
            if server == "postgres" && offset_us.is_none() {
                let ppm = clock["drift_ppm"].as_f64().unwrap();
                if !(60.0..140.0).contains(&ppm) {
                    failures.push(format!("{server} gains 100 ppm: {clock}"));
                }
            }
            for name in [
                "capture",
                "kafka_delivery",
                "debezium",
                "produce",
                "consumer_lag",
                "total",
            ] {
                let moved = (hop(&report, name, "p50") - hop(&true_clocks, name, "p50")).abs();
                let bounds =
                    hop(&report, name, "error_bound") + hop(&true_clocks, name, "error_bound");
                // Beside the clocks, what two runs of the same differ by.
                let noise = (hop(&true_clocks, name, "p95") / 2).max(1_000);
                if moved > bounds + noise {
                    failures.push(format!(
                        "{server} {skew}: {name} moved by {moved} us, bounds {bounds}"
                    ));
                }
            }
            if report["counts"]["negative_hops"] != 0 {
                failures.push(format!(
                    "{server} {skew}: {}",
                    report["paths"]["debezium"]["causality"]
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
