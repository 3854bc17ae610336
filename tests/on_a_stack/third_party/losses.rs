//! What is lost or written twice on purpose is found, by key.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::doc;
use serde_json::{Value, json};

use super::super::stack::TestStack;
use super::mirror::{Mirror, append, append_last_again};
use super::observed::{Observed, Observing};
use super::pipeline::working;
use super::shop::Shop;
use super::sink::MongoSink;
use super::worker::Connect;

/// Long enough for what has been overtaken to be judged.
const JUDGED: Duration = Duration::from_secs(9);

pub fn found(stack: &TestStack) {
    let quick = json!({"poll.interval.ms": "20"});
    // A sink that swallows what its store refuses.
    let tolerant = json!({"errors.tolerance": "all", "mongo.errors.tolerance": "all", "bulk.write.ordered": "false"});
    let (shop, sink) = working(stack, &quick, &tolerant);
    in_the_sink(stack, &shop, &sink);
    in_the_topic(stack, &shop);
    Connect::of(stack).delete(stack, "shop");
    shop.close();
}

fn only_line(observed: &Observed) -> Value {
    let lines = observed.lines("missing.jsonl");
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

/// The store refuses a second customer of one name; a record is appended once more.
fn in_the_sink(stack: &TestStack, shop: &Shop<'_>, sink: &MongoSink) {
    let unique = mongodb::options::IndexOptions::builder()
        .unique(true)
        .build();
    let index = IndexModel::builder()
        .keys(doc! {"name": 1})
        .options(unique)
        .build();
    let customers = sink.collection(stack, "customers");
    stack.block_on(customers.create_index(index)).unwrap();
    let observing = Observing::begin(stack, Some(sink), &[]);
    let mut done = shop.load(Duration::from_secs(2), 40).changes;
    for _ in 0..2 {
        shop.sql("insert into customers (name) values ('twin')");
        std::thread::sleep(Duration::from_millis(800));
    }
    done += 2 + shop.load(Duration::from_secs(2), 40).changes;
    append_last_again(stack, "shop.public.orders");
    std::thread::sleep(JUDGED);
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(4), "{counts} {}", observed.errors);
    assert_eq!(observed.count("captured"), done, "{counts}");
    assert_eq!(observed.count("completed"), done - 1, "{counts}");
    assert_eq!(observed.count("duplicates"), 1, "{counts}");
    let lost = only_line(&observed);
    assert_eq!(lost["table"], "public.customers");
    assert_eq!(lost["missing_at"], "sink");
    assert!(lost["key"]["id"].is_number(), "{lost}");
    assert!(lost["lsn"].as_str().unwrap().contains('/'), "{lost}");
}

/// A topic that has Debezium's records but for one key, one of them twice, and records that are none; written in transactions,
/// with one that is aborted.
fn in_the_topic(stack: &TestStack, shop: &Shop<'_>) {
    let (lost, twice) = (9_005, 9_007);
    let of = |id: i32| format!("{{\"region\":\"eu\",\"id\":{id}}}");
    // Its last partition has an aborted transaction, and nothing else.
    let mirror = Mirror::begin(
        stack,
        "shop.public.orders",
        "mirror",
        4,
        of(lost),
        of(twice),
    );
    let args = ["--topic", "mirror", "--table", "orders", "--no-group"];
    let observing = Observing::begin(stack, None, &args);
    mirror.abort(3);
    for id in 9_001..=9_010 {
        shop.sql(&format!(
            "insert into orders (region, id) values ('eu', {id})"
        ));
    }
    shop.sql(&format!(
        "update orders set status = 'sent' where id = {lost}"
    ));
    append(stack, "mirror", None, Some(b"{\"no\": 1}"));
    append(
        stack,
        "mirror",
        Some(b"\x80\xff"),
        Some(b"\xff\xfe no envelope"),
    );
    let overtaking = shop.load(Duration::from_secs(2), 40);
    assert!(overtaking.changes > 20);
    std::thread::sleep(JUDGED);
    let observed = observing.end();
    mirror.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(4), "{counts} {}", observed.errors);
    let lines = observed.lines("missing.jsonl");
    assert_eq!(lines.len(), 2, "{lines:?} {counts}");
    for line in &lines {
        assert_eq!(line["table"], "public.orders");
        assert_eq!(line["key"], json!({"region": "eu", "id": lost}));
        assert_eq!(line["missing_at"], "topic");
        assert!(line["lsn"].as_str().unwrap().contains('/'), "{line}");
    }
    assert_eq!(observed.count("duplicates"), 1, "{counts}");
    assert_eq!(observed.count("filtered.others"), 2, "{counts}");
    assert_eq!(observed.lines("unreadable.jsonl").len(), 2);
    assert_eq!(
        observed.count("completed") + 2,
        observed.count("captured"),
        "{counts}"
    );
    assert_eq!(observed.count("in_flight"), 0, "{counts}");
}
