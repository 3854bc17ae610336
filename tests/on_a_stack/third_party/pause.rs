//! A sink that is paused for ten seconds: `consume` is named, and is as large as the pause.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mongodb::options::FullDocumentType;
use serde_json::json;

use super::super::stack::TestStack;
use super::observed::Observing;
use super::pipeline::{PREFIX, working};
use super::shop::Shop;
use super::sink::{MongoSink, NAME};
use super::worker::Connect;

const PAUSE: Duration = Duration::from_secs(10);
const BETWEEN_ROWS: Duration = Duration::from_millis(125);
const ROWS: usize = 128;

pub fn is_the_size_of_consume(stack: &TestStack) {
    let quick = json!({"poll.interval.ms": "20"});
    let (shop, sink) = working(stack, &quick, &json!({}));
    let observing = Observing::begin(stack, Some(&sink), &[]);
    let longest = std::thread::scope(|scope| {
        let shown = scope.spawn(|| shown(stack, &sink));
        std::thread::sleep(Duration::from_secs(1));
        let inserted = scope.spawn(|| insert(stack, &shop));
        std::thread::sleep(Duration::from_secs(3));
        sink.worker.connect.ask(stack, NAME, "pause");
        std::thread::sleep(PAUSE);
        sink.worker.connect.ask(stack, NAME, "resume");
        let (inserted, shown) = (inserted.join().unwrap(), shown.join().unwrap());
        let wait = |(name, at): (&String, &Instant)| shown[name] - *at;
        inserted.iter().map(wait).max().unwrap()
    });
    let observed = observing.end();
    assert_eq!(observed.code, Some(0), "{}", observed.report["counts"]);
    assert_eq!(observed.count("captured"), observed.count("completed"));
    assert_eq!(observed.slowest_hop(), "consume");
    // As the test itself has measured it.
    let longest = i64::try_from(longest.as_micros()).unwrap();
    assert!(longest > 9_000_000, "{longest}");
    let found = observed.hop("consume", "max");
    println!("consume {found} us, the longest wait {longest} us");
    assert!((found - longest).abs() < longest / 10, "{found} {longest}");
    Connect::of(stack).delete(stack, PREFIX);
    shop.close();
}

/// Inserts rows; when each was committed.
fn insert(stack: &TestStack, shop: &Shop<'_>) -> HashMap<String, Instant> {
    stack.block_on(async {
        let client = shop.connect().await;
        let mut ticks = tokio::time::interval(BETWEEN_ROWS);
        let mut inserted = HashMap::new();
        for n in 0..ROWS {
            ticks.tick().await;
            let name = format!("probe {n}");
            let statement = "insert into customers (name) values ($1)";
            client.execute(statement, &[&name]).await.unwrap();
            inserted.insert(name, Instant::now());
        }
        inserted
    })
}

/// When the sink has shown each of them.
fn shown(stack: &TestStack, sink: &MongoSink) -> HashMap<String, Instant> {
    let collection = sink.collection(stack, "customers");
    stack.block_on(async {
        let changes = collection.watch();
        let changes = changes.full_document(FullDocumentType::UpdateLookup);
        let mut changes = changes.await.unwrap();
        let mut shown = HashMap::new();
        while shown.len() < ROWS {
            let next = tokio::time::timeout(Duration::from_secs(120), changes.next());
            let change = next.await.expect("a change").unwrap().unwrap();
            let document = change.full_document.unwrap();
            let name = document.get_str("name").unwrap();
            if name.starts_with("probe") {
                shown.insert(name.to_owned(), Instant::now());
            }
        }
        shown
    })
}
