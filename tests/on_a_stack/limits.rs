//! What a run may take at most: WAL on the user's disk, room on that of its results; and what it takes over a long time.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::report::Stored;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::Test;
use super::interrupts::{start, until_step};
use super::stack::command::{Ended, ended, result_folder, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    (
        "a_slot_that_holds_back_too_much_ends_the_run_and_is_dropped",
        retained_wal,
    ),
    (
        "a_disk_without_room_is_told_before_anything_is_made",
        full_disk,
    ),
];

/// Half an hour, after some minutes that find the rate.
pub const LONG_TESTS: &[Test] = &[("half_an_hour_at_half_the_highest_rate_is_flat", soak)];

/// Seconds of the soak; half an hour by default.
const SECONDS: &str = "CDC_BENCH_TEST_SECONDS";

fn retained_wal(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "--events",
        "100000",
        "--rate",
        "50",
        "--capture",
        "both",
        "--max-retained-wal",
        "20",
    ];
    let mut run = start(small_run(stack.external(), results.path(), &args));
    until_step(&mut run, results.path(), "load");
    // More than that at once: a slot lets go of WAL only every some seconds, whoever reads it.
    stack.sql(
        "select pg_logical_emit_message(false, 'bulk', repeat('x', 1000000)) from generate_series(1, 60)",
    );
    let end = Ended::from(run.wait_with_output().unwrap());
    end.refused(
        3,
        &[
            "slot \"cdc_bench_",
            "holds back",
            "20 MiB are allowed (--max-retained-wal)",
            "its slot is dropped",
        ],
    );
    stack.assert_nothing_left("a run whose slot held back too much");
}

fn full_disk(stack: &TestStack) {
    let results = open_folder();
    let petabyte = ["--events", "10", "--min-free-disk", "1073741824"];
    let before = stack.resources();
    for servers in [stack.external(), stack.kept()] {
        let end = ended(small_run(servers, results.path(), &petabyte));
        end.refused(2, &["MiB left", "--min-free-disk", "--results-dir"]);
    }
    let result = result_folder(results.path()).unwrap();
    assert!(!result.join("events.jsonl").exists(), "it has begun");
    assert_eq!(stack.resources(), before);
}

/// The highest rate of a sweep that the pipeline kept up with.
fn highest_rate(stack: &TestStack) -> f64 {
    let results = open_folder();
    let args = [
        "sweep",
        "--rates",
        "250,500,1000,1500,2000,3000",
        "--duration",
        "15",
        "--warmup",
        "1000",
        "--json",
        "--results-dir",
        results.path().to_str().unwrap(),
    ];
    let swept = ended(with(stack.kept(), &args)).json();
    let steps = swept["paths"][0]["steps"].as_array().unwrap();
    let rate = |step: &Value, name: &str| step[name].as_f64().unwrap();
    let held = steps.iter().filter(|step| {
        let (offered, achieved) = (rate(step, "offered_per_s"), rate(step, "achieved_per_s"));
        eprintln!("offered {offered}/s, achieved {achieved:.1}/s");
        achieved >= offered * 0.98
    });
    let highest = held
        .map(|step| rate(step, "offered_per_s"))
        .reduce(f64::max);
    highest.expect("a rate that holds")
}

fn soak(stack: &TestStack) {
    let seconds = std::env::var(SECONDS).unwrap_or_else(|_| "1800".to_owned());
    let rate = (highest_rate(stack) / 2.0).to_string();
    eprintln!("{seconds} s at {rate}/s");
    let results = open_folder();
    let args = ["--duration", &seconds, "--rate", &rate, "--warmup", "auto"];
    let end = ended(small_run(stack.kept(), results.path(), &args));
    let report = end.json();
    let folder = result_folder(results.path()).unwrap();
    print_minutes(&Stored::read(&folder.join("report.json")).unwrap());
    let counts = &report["counts"];
    assert_eq!(counts["written"], counts["inserted"], "{counts}");
    assert_eq!(counts["lost"], 0, "{counts}");
    let samples = report["footprint"].as_array().unwrap();
    assert!(samples.len() >= 100, "{}", samples.len());
    for server in samples[0]["servers"].as_object().unwrap().keys() {
        let of = |sample: &Value| sample["servers"][server].as_u64().unwrap() >> 20;
        let (early, late) = early_and_late(samples, of);
        eprintln!("{server}: {early} MiB in the second fifth, {late} MiB in the last");
    }
    // What it takes at most in the last fifth of the time, beside the second.
    for (name, allowance) in [("resident", 8 << 20), ("descriptors", 2), ("threads", 1)] {
        let (early, late) = early_and_late(samples, |sample| sample[name].as_u64().unwrap());
        eprintln!("{name}: {early} in the second fifth, {late} in the last");
        assert!(late <= early + allowance, "{name}: {early}, then {late}");
    }
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    for plot in ["Memory over time", "Descriptors and threads over time"] {
        assert!(page.contains(plot), "{plot}");
    }
}

/// The largest value in the second fifth of the samples, and in the last.
fn early_and_late(samples: &[Value], of: impl Fn(&Value) -> u64) -> (u64, u64) {
    let fifth = samples.len() / 5;
    let most = |part: &[Value]| part.iter().map(&of).max().unwrap();
    (
        most(&samples[fifth..2 * fifth]),
        most(&samples[samples.len() - fifth..]),
    )
}

/// Quantiles of the total by the minute.
fn print_minutes(stored: &Stored) {
    let mut minutes: BTreeMap<i64, Histogram<u64>> = BTreeMap::new();
    let mut first = None;
    for event in stored.events().unwrap().unwrap() {
        let stamps = event.unwrap().stamps;
        let since = (stamps.t0 - *first.get_or_insert(stamps.t0)).0;
        let minute = since / i64::try_from(Duration::from_secs(60).as_nanos()).unwrap();
        let minute = minutes.entry(minute);
        let minute = minute.or_insert_with(|| Histogram::new(3).unwrap());
        let total = (stamps.t5 - stamps.t0).round_micros();
        minute.record(u64::try_from(total).unwrap()).unwrap();
    }
    eprintln!("minute   events   p50 ms   p99 ms   max ms");
    for (minute, totals) in minutes {
        let ms = |quantile| totals.value_at_quantile(quantile) as f64 / 1e3;
        eprintln!(
            "{minute:6} {:8} {:8.2} {:8.2} {:8.1}",
            totals.len(),
            ms(0.5),
            ms(0.99),
            ms(1.0)
        );
    }
}
