//! A pipeline that works, and has parts of it restarted.

use std::collections::BTreeSet;
use std::time::Duration;

use mongodb::bson::Document;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use super::super::stack::command::{ended, with};
use super::super::stack::{TestStack, until, until_within};
use super::observed::{Observing, observe};
use super::shop::Shop;
use super::sink::{GROUP, MongoSink, NAME};
use super::worker::{Connect, debezium};

/// Transactions a second: 200 changes.
const RATE: u32 = 160;
pub const PREFIX: &str = "shop";

/// A pipeline whose topics exist, and whose sink has caught up.
pub fn working<'a>(
    stack: &'a TestStack,
    of_source: &serde_json::Value,
    of_sink: &serde_json::Value,
) -> (Shop<'a>, MongoSink) {
    let shop = Shop::open(stack);
    let config = debezium(stack, PREFIX, of_source);
    Connect::of(stack).register(stack, PREFIX, &config);
    let sink = MongoSink::up(stack);
    shop.load(Duration::from_secs(2), 40);
    sink.register(stack, PREFIX, of_sink);
    until_within(
        Duration::from_secs(60),
        "the sink to have caught up",
        || {
            committed(stack, GROUP).iter().any(|offset| *offset > 0)
                && documents(stack, &sink) == rows(stack, &shop)
        },
    );
    (shop, sink)
}

/// Rows of both tables.
pub fn rows(stack: &TestStack, shop: &Shop<'_>) -> u64 {
    stack.block_on(async {
        let client = shop.connect().await;
        let counted = client.query_one(
            "select (select count(*) from customers) + (select count(*) from orders)",
            &[],
        );
        u64::try_from(counted.await.unwrap().get::<_, i64>(0)).unwrap()
    })
}

fn documents(stack: &TestStack, sink: &MongoSink) -> u64 {
    let count = |name: &str| {
        let collection = sink.collection(stack, name);
        stack.block_on(collection.count_documents(Document::new()))
    };
    count("orders").unwrap() + count("customers").unwrap()
}

/// A group's committed offsets of all partitions.
pub fn committed(stack: &TestStack, group: &str) -> Vec<i64> {
    let mut config = stack.kafka();
    let consumer: BaseConsumer = config.set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for table in ["orders", "customers"] {
        for partition in 0..3 {
            list.add_partition(&format!("{PREFIX}.public.{table}"), partition);
        }
    }
    let found = consumer.committed_offsets(list, Duration::from_secs(10));
    let offset = |offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    found
        .unwrap()
        .elements()
        .iter()
        .map(|e| offset(e.offset()))
        .collect()
}

/// Everything that an observation might leave or move.
#[derive(Debug, PartialEq)]
struct Servers {
    resources: BTreeSet<String>,
    sinks: serde_json::Value,
    slots: Vec<String>,
    publications: Vec<String>,
    committed: Vec<i64>,
}

fn servers(stack: &TestStack, shop: &Shop<'_>, sink: &MongoSink) -> Servers {
    let groups: BaseConsumer = stack.kafka().create().unwrap();
    let groups = groups
        .fetch_group_list(None, Duration::from_secs(10))
        .unwrap();
    let mut resources = stack.resources();
    resources.extend(
        groups
            .groups()
            .iter()
            .map(|group| format!("group {}", group.name())),
    );
    let publications = stack.block_on(async {
        let client = shop.connect().await;
        let rows = client.query("select pubname::text from pg_publication order by 1", &[]);
        rows.await.unwrap().iter().map(|row| row.get(0)).collect()
    });
    Servers {
        resources,
        sinks: sink.worker.connect.status(stack, NAME),
        slots: stack.sql(
            "select slot_name || ' ' || confirmed_flush_lsn from pg_replication_slots order by 1",
        ),
        publications,
        committed: committed(stack, GROUP),
    }
}

/// The servers, once the connector and the sink have nothing left to report.
fn idle(stack: &TestStack, shop: &Shop<'_>, sink: &MongoSink) -> Servers {
    let mut last = servers(stack, shop, sink);
    until_within(Duration::from_secs(180), "an idle pipeline", || {
        std::thread::sleep(Duration::from_secs(4));
        let now = servers(stack, shop, sink);
        let is_same = now == last;
        last = now;
        is_same
    });
    last
}

pub fn followed(stack: &TestStack) {
    let quick = json!({"poll.interval.ms": "20", "offset.flush.interval.ms": "1000"});
    let (shop, sink) = working(stack, &quick, &json!({}));
    let plan = ended(with(observe(stack, Some(&sink)), &["--plan"]));
    for words in [
        GROUP,
        "rows of public.customers",
        "key region, id",
        "public.unheard",
        "3 partitions",
    ] {
        assert!(
            plan.out.contains(words),
            "{words}: {} {}",
            plan.out,
            plan.err
        );
    }

    // Every change at every tap.
    let observing = Observing::begin(stack, Some(&sink), &[]);
    let done = shop.load(Duration::from_secs(10), RATE);
    assert!(done.changes > 1_000, "{done:?}");
    // What was committed a moment before the end may not have been read.
    std::thread::sleep(Duration::from_secs(2));
    let observed = observing.end();
    observed.assert_complete(done.changes);
    assert_eq!(observed.count("filtered.other_tables"), done.unheard);
    assert_eq!(observed.count("filtered.tombstones"), done.deletes);
    assert_eq!(observed.count("sink_only"), 0);
    assert_eq!(documents(stack, &sink), rows(stack, &shop));

    // Nothing moved, nothing left; killed, too.
    let before = idle(stack, &shop, &sink);
    let observing = Observing::begin(stack, Some(&sink), &[]);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(observing.end().code, Some(0));
    assert_eq!(servers(stack, &shop, &sink), before);
    let observing = Observing::begin(stack, Some(&sink), &[]);
    std::thread::sleep(Duration::from_secs(2));
    observing.kill();
    until("its slot to be gone", || {
        servers(stack, &shop, &sink).slots.len() == before.slots.len()
    });
    assert_eq!(servers(stack, &shop, &sink), before);

    Connect::of(stack).delete(stack, PREFIX);
    shop.close();
}

pub fn restarts(stack: &TestStack) {
    let quick = json!({"poll.interval.ms": "20"});
    let (shop, mut sink) = working(stack, &quick, &json!({}));
    let load = |span, act: &mut dyn FnMut()| {
        std::thread::scope(|scope| {
            let load = scope.spawn(|| shop.load(span, 80));
            std::thread::sleep(Duration::from_secs(3));
            act();
            load.join().unwrap()
        })
    };

    // The WAL's connection is cut.
    let observing = Observing::begin(stack, Some(&sink), &[]);
    let done = load(Duration::from_secs(10), &mut || {
        stack.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name like 'cdc_bench_observe%'");
    });
    // Until what was not captured is judged.
    std::thread::sleep(Duration::from_secs(12));
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(0), "{counts} {}", observed.errors);
    assert!(
        observed.has_incident("tap_resumed", "not_covered"),
        "{}",
        observed.report["incidents"]
    );
    assert_eq!(observed.count("in_kafka"), done.changes, "{counts}");
    assert!(observed.count("not_covered") > 0, "{counts}");
    assert_eq!(
        observed.count("captured") + observed.count("not_covered"),
        done.changes,
        "{counts}"
    );
    assert_eq!(
        observed.count("captured"),
        observed.count("completed"),
        "{counts}"
    );

    // The broker crashes.
    let observing = Observing::begin(stack, Some(&sink), &[]);
    let done = load(Duration::from_secs(10), &mut || stack.crash("kafka"));
    sink_has_caught_up(stack, &shop, &sink);
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(0), "{counts} {}", observed.errors);
    assert!(
        observed.has_incident("tap_resumed", "broker"),
        "{}",
        observed.report["incidents"]
    );
    assert_eq!(observed.count("captured"), done.changes, "{counts}");
    assert_eq!(
        observed.count("completed") + observed.count("not_shown"),
        done.changes,
        "{counts}"
    );

    // The sink's worker crashes.
    let observing = Observing::begin(stack, Some(&sink), &[]);
    let done = load(Duration::from_secs(20), &mut || sink.restart(stack, PREFIX));
    sink_has_caught_up(stack, &shop, &sink);
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(0), "{counts} {}", observed.errors);
    assert_eq!(observed.count("captured"), done.changes, "{counts}");
    assert_eq!(
        observed.count("completed") + observed.count("not_shown"),
        done.changes,
        "{counts}"
    );
    assert_eq!(observed.count("duplicates"), 0, "{counts}");

    // The store crashes, and the worker of the sink, whose tasks do not come back by themselves.
    let observing = Observing::begin(stack, Some(&sink), &[]);
    let done = load(Duration::from_secs(10), &mut || {
        sink.restart_store();
        sink.restart(stack, PREFIX);
    });
    sink_has_caught_up(stack, &shop, &sink);
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(0), "{counts} {}", observed.errors);
    assert!(
        observed.has_incident("tap_resumed", "sink"),
        "{}",
        observed.report["incidents"]
    );
    assert_eq!(observed.count("captured"), done.changes, "{counts}");
    assert_eq!(
        observed.count("completed") + observed.count("not_shown"),
        done.changes,
        "{counts}"
    );

    Connect::of(stack).delete(stack, PREFIX);
    shop.close();
}

/// Waits until every row is a document.
pub fn sink_has_caught_up(stack: &TestStack, shop: &Shop<'_>, sink: &MongoSink) {
    until_within(
        Duration::from_secs(120),
        "the sink to have caught up",
        || documents(stack, sink) == rows(stack, shop),
    );
}
