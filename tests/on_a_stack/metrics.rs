//! A run's metrics as Prometheus reads them during the run.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, assert_complete, small_run};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[(
    "metrics_are_well_formed_and_agree_with_the_report",
    metrics_agree,
)];

/// Samples by name and labels, of text in Prometheus' format 0.0.4, which is checked: every sample belongs to a family that was
/// described before it, and no sample occurs twice.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut described = Vec::new();
    let mut samples = BTreeMap::new();
    assert!(text.ends_with('\n'), "the last line is cut off");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            described.push(help.split_once(' ').unwrap().0);
            continue;
        }
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            assert_eq!(described.last(), Some(&name), "TYPE without HELP: {line}");
            assert!(families.insert(name, kind).is_none(), "twice: {line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .filter(|family| families.get(family) == Some(&"histogram"))
            .unwrap_or(name);
        let kind = families
            .get(family)
            .unwrap_or_else(|| panic!("no TYPE: {line}"));
        assert_eq!(
            *kind == "counter",
            name.ends_with("_total"),
            "only counters end so: {line}"
        );
        let well_named = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(well_named), "{line}");
        let value: f64 = value.parse().unwrap();
        assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
    }
    samples
}

/// Bounds and cumulative counts of a histogram.
fn buckets(samples: &BTreeMap<String, f64>, path: &str, hop: &str) -> Vec<(f64, f64)> {
    let labels = format!("cdc_bench_hop_seconds_bucket{{hop=\"{hop}\",path=\"{path}\",le=\"");
    let mut buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|(series, count)| {
            let bound = series.strip_prefix(&labels)?.strip_suffix("\"}")?;
            Some((bound.replace("+Inf", "inf").parse().unwrap(), *count))
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{buckets:?}");
    buckets
}

fn metrics_agree(stack: &TestStack) {
    let results = open_folder();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let args = [
        "--capture",
        "both",
        "--events",
        "300",
        "--rate",
        "150",
        "--metrics-listen",
        &address,
    ];
    let mut run = small_run(stack.kept(), results.path(), &args);
    let mut child = run
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut scraped = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let scrape = stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            let url = format!("http://{address}/metrics");
            let answer = client.get(url).send().await.ok()?;
            let kind = answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
            answer.text().await.ok()
        });
        scraped.extend(scrape);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let ended = Ended::from(child.wait_with_output().unwrap());
    let report = ended.json();
    assert_complete(&report, 300);
    let scrapes: Vec<_> = scraped.iter().map(|text| parse(text)).collect();
    assert!(
        scrapes.windows(2).all(|pair| pair[0]
            .iter()
            .filter(|(series, _)| series.contains("_total") || series.contains("_bucket"))
            .all(|(series, value)| pair[1].get(series) >= Some(value))),
        "a counter went back"
    );
    let last = scrapes.last().expect("the run was scraped");
    let id = report["run"]["id"].as_str().unwrap();
    let info = format!("cdc_bench_run_info{{capture=\"debezium,wal\",rate=\"150\",run=\"{id}\"}}");
    assert_eq!(last[&info], 1.0);
    assert!(
        last.keys()
            .any(|series| series.starts_with("cdc_bench_build_info{")),
        "{last:?}"
    );
    for path in ["debezium", "wal"] {
        for place in ["inserted", "captured", "consumed", "written"] {
            let series = format!("cdc_bench_events_total{{path=\"{path}\",place=\"{place}\"}}");
            assert_eq!(last[&series], 300.0, "{series}");
        }
        let under_way = format!("cdc_bench_events_under_way{{path=\"{path}\"}}");
        assert_eq!(last[&under_way], 0.0);
        let slots = format!("cdc_bench_slot_lag_bytes{{path=\"{path}\"}}");
        assert!(scrapes.iter().any(|scrape| scrape.contains_key(&slots)));
        let hops = report["paths"][path]["hops"].as_object().unwrap();
        for (hop, figures) in hops {
            quantiles_lie_in_their_buckets(&buckets(last, path, hop), figures);
        }
    }
}

/// A quantile of the report lies in the bucket that the counts place it in.
#[track_caller]
fn quantiles_lie_in_their_buckets(buckets: &[(f64, f64)], figures: &Value) {
    let count = figures["count"].as_f64().unwrap();
    assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, count));
    for (name, quantile) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let rank = (quantile * count).ceil();
        let place = buckets.iter().position(|(_, upto)| *upto >= rank).unwrap();
        let seconds = figures[name].as_f64().unwrap() / 1e6;
        let lower = place
            .checked_sub(1)
            .map_or(f64::NEG_INFINITY, |n| buckets[n].0);
        // HdrHistogram has three digits, in whole microseconds.
        let slack = seconds.abs() * 1e-3 + 1e-6;
        assert!(
            seconds + slack >= lower && seconds - slack <= buckets[place].0,
            "{name} {seconds} is not above {lower} and up to {}",
            buckets[place].0
        );
    }
}
