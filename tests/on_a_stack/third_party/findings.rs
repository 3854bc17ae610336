//! A sink whose connector waits for bytes that do not come, and writes one record at a time with all guarantees: what is found of it.

use std::time::Duration;

use serde_json::json;

use super::super::stack::TestStack;
use super::observed::{Observing, observe};
use super::pipeline::{PREFIX, sink_has_caught_up};
use super::shop::Shop;
use super::sink::MongoSink;
use super::worker::{debezium, debezium_plugins};

pub fn have_the_sink(stack: &TestStack) {
    let shop = Shop::open(stack);
    // One Connect has both connectors.
    let sink = MongoSink::with_plugins(stack, &[debezium_plugins(stack)]);
    let connect = &sink.worker.connect;
    let source = debezium(stack, PREFIX, &json!({"poll.interval.ms": "20"}));
    connect.register(stack, PREFIX, &source);
    shop.load(Duration::from_secs(2), 40);
    let slow = json!({
        "connection.uri": format!("{}&w=majority&journal=true", sink.uri),
        "max.batch.size": "1",
        "consumer.override.fetch.min.bytes": "1000000",
        "consumer.override.fetch.max.wait.ms": "1500"});
    sink.register(stack, PREFIX, &slow);
    sink_has_caught_up(stack, &shop, &sink);

    let mut command = observe(stack, Some(&sink));
    command.env("CONNECT_URL", &connect.url);
    let observing = Observing::of(stack, command, &[]);
    let done = shop.load(Duration::from_secs(8), 40);
    sink_has_caught_up(stack, &shop, &sink);
    let observed = observing.end();
    observed.assert_complete(done.changes);
    assert_eq!(observed.slowest_hop(), "consume");
    let findings = observed.report["diagnosis"]["findings"].as_array().unwrap();
    let says = |words: &str| {
        let mut all = findings.iter();
        all.any(|finding| {
            finding["hop"] == "consume" && finding["evidence"].as_str().unwrap().contains(words)
        })
    };
    for words in [
        "at least 1000000 bytes",
        "up to 1500 ms",
        "tasks.max 1 for 6 partitions",
        "at most 1 records at once (max.batch.size)",
        "journal=true (the sink connector's connection.uri)",
        // The store knows this much of its own load, or not: neither is fatal.
        "not readable",
    ] {
        assert!(says(words), "{words}: {findings:#?}");
    }
    println!("{findings:#?}");
    connect.delete(stack, PREFIX);
    drop(sink);
    shop.close();
}
