//! Servers whose clocks are wrong: the offsets are found within the bounds that the report has.

use std::time::Duration;

use serde_json::json;

use super::super::skew::stack_with;
use super::super::stack::{TestStack, until_within};
use super::observed::{Observed, Observing};
use super::shop::Shop;
use super::worker::{Connect, debezium};

/// A server, its skew in seconds as libfaketime has it, and in microseconds.
const CLOCKS: [(&str, &str, i64); 4] = [
    ("postgres", "+3600", 3_600_000_000),
    ("postgres", "-0.05", -50_000),
    ("kafka", "-3", -3_000_000),
    ("connect", "+0.25", 250_000),
];

pub fn found_within_their_bounds(_: &TestStack) {
    let mut failures = Vec::new();
    for (server, skew, offset_us) in CLOCKS {
        let stack = stack_with(server, skew);
        let (changes, observed) = observed(&stack);
        let counts = &observed.report["counts"];
        println!("{server} {skew}: {counts}");
        if observed.count("completed") != changes || observed.count("negative_hops") > 0 {
            failures.push(format!(
                "{server} {skew}: {changes} changes, {counts} {}",
                observed.errors
            ));
        }
        for clock in observed.report["clocks"].as_array().unwrap() {
            println!("  {clock}");
            let number = |name: &str| clock[name].as_i64().unwrap();
            let expected = if clock["server"] == server {
                offset_us
            } else {
                0
            };
            if (number("offset") - expected).abs() > number("error_bound") + 100 {
                failures.push(format!("{server} {skew}: {clock}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn observed(stack: &TestStack) -> (u64, Observed) {
    let shop = Shop::open(stack);
    let settings = json!({"poll.interval.ms": "20", "topic.creation.default.message.timestamp.type": "LogAppendTime"});
    let connect = Connect::of(stack);
    connect.register(stack, "shop", &debezium(stack, "shop", &settings));
    shop.load(Duration::from_secs(2), 40);
    until_within(Duration::from_secs(60), "the topics", || {
        let topics = stack.topics();
        topics.contains("shop.public.orders") && topics.contains("shop.public.customers")
    });
    let observing = Observing::begin(stack, None, &["--no-group"]);
    let done = shop.load(Duration::from_secs(10), 40);
    // What was committed a moment before the end may not have been read.
    std::thread::sleep(Duration::from_secs(2));
    let observed = observing.end();
    connect.delete(stack, "shop");
    (done.changes, observed)
}
