//! A link of the pipeline that is slowed down on purpose is in the hop that is named.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::delay::{Delay, FETCH, PRODUCE, SlowLink, Way, Which};
use super::super::stack::TestStack;
use super::jdbc_sink::JdbcSink;
use super::observed::{Observed, Observing};
use super::pipeline::{PREFIX, sink_has_caught_up, working};
use super::shop::Shop;
use super::sink::MongoSink;
use super::worker::{Connect, debezium};

const HOPS: [&str; 3] = ["debezium", "produce", "consume"];
const DELAYS_MS: [u64; 3] = [50, 100, 250];

/// What is slowed down.
#[derive(Debug, Clone, Copy)]
enum Link {
    PostgresToDebezium,
    DebeziumToKafka,
    KafkaToSink,
    SinkToStore,
}

impl Link {
    const ALL: [Self; 4] = [
        Self::PostgresToDebezium,
        Self::DebeziumToKafka,
        Self::KafkaToSink,
        Self::SinkToStore,
    ];

    fn hop(self) -> &'static str {
        match self {
            Self::PostgresToDebezium => "debezium",
            Self::DebeziumToKafka => "produce",
            Self::KafkaToSink | Self::SinkToStore => "consume",
        }
    }

    /// The configurations of source and sink that go by a link with this delay.
    fn configs(self, stack: &TestStack, sink: &MongoSink, delay: Delay) -> (Value, Value) {
        let (mut source, mut of_sink) = (quick_source(), quick_sink());
        let kafka = stack.port("KAFKA_BOOTSTRAP_SERVERS");
        let (config, key, value) = match self {
            Self::PostgresToDebezium => {
                let port = stack.port("POSTGRES_PORT");
                let link = SlowLink::before(port, Which::All, Way::FromServer, delay);
                (&mut source, "database.port", link.port.to_string())
            }
            Self::DebeziumToKafka => {
                let link = SlowLink::before(kafka, Which::Request(PRODUCE), Way::ToServer, delay);
                let servers = format!("127.0.0.1:{}", link.port);
                (&mut source, "producer.override.bootstrap.servers", servers)
            }
            Self::KafkaToSink => {
                let link = SlowLink::before(kafka, Which::Request(FETCH), Way::FromServer, delay);
                let servers = format!("127.0.0.1:{}", link.port);
                (&mut of_sink, "consumer.override.bootstrap.servers", servers)
            }
            Self::SinkToStore => {
                let link = SlowLink::before(sink.port, Which::All, Way::ToServer, delay);
                let uri = sink
                    .uri
                    .replace(&sink.port.to_string(), &link.port.to_string());
                (&mut of_sink, "connection.uri", uri)
            }
        };
        config[key] = value.into();
        (source, of_sink)
    }
}

fn quick_source() -> Value {
    // A producer's own time would leave its link out.
    json!({"poll.interval.ms": "1", "producer.override.linger.ms": "0",
        "topic.creation.default.message.timestamp.type": "LogAppendTime"})
}

fn quick_sink() -> Value {
    json!({"consumer.override.fetch.min.bytes": "1"})
}

pub fn named(stack: &TestStack) {
    let (shop, sink) = working(stack, &quick_source(), &quick_sink());
    shop.load(Duration::from_secs(10), 100);
    let mut failures = Vec::new();
    for link in Link::ALL {
        let none = observed(stack, &shop, &sink, link, Delay::NONE);
        for delay_ms in DELAYS_MS {
            let delay = Delay::of(Duration::from_millis(delay_ms));
            let found = observed(stack, &shop, &sink, link, delay);
            let p50 = |observed: &Observed| HOPS.map(|hop| observed.hop(hop, "p50"));
            println!(
                "{link:?} {delay_ms} ms: {:?} after {:?} us",
                p50(&found),
                p50(&none)
            );
            failures.extend(wrong(&format!("{link:?}"), link.hop(), delay_ms, &found));
        }
    }
    Connect::of(stack).delete(stack, "shop");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    shop.close();
}

fn observed(
    stack: &TestStack,
    shop: &Shop<'_>,
    sink: &MongoSink,
    link: Link,
    delay: Delay,
) -> Observed {
    let (source, of_sink) = link.configs(stack, sink, delay);
    let config = debezium(stack, "shop", &source);
    Connect::of(stack).register(stack, "shop", &config);
    sink.register(stack, "shop", &of_sink);
    // Until both have come to rest after their restart.
    shop.load(Duration::from_secs(2), 4);
    sink_has_caught_up(stack, shop, sink);
    std::thread::sleep(Duration::from_secs(1));
    let observing = Observing::begin(stack, Some(sink), &[]);
    // On a link that handles one request at a time, a second would wait for the first.
    shop.load(Duration::from_secs(8), 3);
    observing.end()
}

/// The links of a JDBC sink.
#[derive(Debug, Clone, Copy)]
enum JdbcLink {
    KafkaToJdbcSink,
    JdbcSinkToPostgres,
}

impl JdbcLink {
    const ALL: [Self; 2] = [Self::KafkaToJdbcSink, Self::JdbcSinkToPostgres];

    /// The configuration of a sink that goes by a link with this delay.
    fn config(self, sink: &JdbcSink<'_>, delay: Delay) -> Value {
        let mut config = quick_sink();
        let (key, value) = match self {
            Self::KafkaToJdbcSink => {
                let kafka = sink.stack.port("KAFKA_BOOTSTRAP_SERVERS");
                let link = SlowLink::before(kafka, Which::Request(FETCH), Way::FromServer, delay);
                let servers = format!("127.0.0.1:{}", link.port);
                ("consumer.override.bootstrap.servers", servers)
            }
            Self::JdbcSinkToPostgres => {
                let port = sink.stack.port("POSTGRES_PORT");
                let link = SlowLink::before(port, Which::All, Way::ToServer, delay);
                let url = format!("jdbc:postgresql://127.0.0.1:{}/copies", link.port);
                ("connection.url", url)
            }
        };
        config[key] = value.into();
        config
    }
}

pub fn named_into_postgres(stack: &TestStack) {
    let shop = Shop::open(stack);
    let mut source = quick_source();
    for side in ["key", "value"] {
        source[format!("{side}.converter.schemas.enable")] = "true".into();
    }
    Connect::of(stack).register(stack, PREFIX, &debezium(stack, PREFIX, &source));
    let sink = JdbcSink::up(stack);
    shop.load(Duration::from_secs(10), 100);
    let mut failures = Vec::new();
    for link in JdbcLink::ALL {
        for delay_ms in DELAYS_MS {
            let delay = Delay::of(Duration::from_millis(delay_ms));
            sink.register(&link.config(&sink, delay));
            shop.load(Duration::from_secs(2), 4);
            sink.wait_until_caught_up(&shop);
            std::thread::sleep(Duration::from_secs(1));
            let observing = sink.begin(&["--sink-publication", "copies"]);
            shop.load(Duration::from_secs(8), 3);
            let found = observing.end();
            println!(
                "{link:?} {delay_ms} ms: {:?} us",
                HOPS.map(|hop| found.hop(hop, "p50"))
            );
            failures.extend(wrong(&format!("{link:?}"), "consume", delay_ms, &found));
        }
    }
    Connect::of(stack).delete(stack, PREFIX);
    drop(sink);
    stack.sql("drop database copies with (force)");
    shop.close();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What an observation of a delay in this hop got wrong.
fn wrong(link: &str, hop: &str, delay_ms: u64, found: &Observed) -> Vec<String> {
    let mut wrong = Vec::new();
    let what = |says: String| format!("{link} {delay_ms} ms: {says}");
    let counts = &found.report["counts"];
    if found.code != Some(0) || found.count("negative_hops") > 0 || found.count("in_flight") > 0 {
        wrong.push(what(format!("{counts} {}", found.errors)));
    }
    if found.slowest_hop() != hop {
        wrong.push(what(format!("{} is named", found.slowest_hop())));
    }
    // No change can be faster than the delay.
    let p50 = found.hop(hop, "p50");
    if p50 < i64::try_from(delay_ms).unwrap() * 880 {
        wrong.push(what(format!("{hop} takes {p50} us")));
    }
    wrong
}
