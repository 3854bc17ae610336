//! `observe` on a pipeline whose sink is another database of PostgreSQL: Debezium's JDBC sink connector.

use std::time::Duration;

use serde_json::json;

use super::super::stack::command::{ended, with};
use super::super::stack::{TestStack, until};
use super::jdbc_sink::{GROUP, JdbcSink, NAME};
use super::observed::observe;
use super::pipeline::{PREFIX, rows};
use super::shop::Shop;
use super::worker::{Connect, debezium};
use super::{downstream, other_keys};

pub fn followed(stack: &TestStack) {
    let shop = Shop::open(stack);
    let quick = json!({"poll.interval.ms": "20", "key.converter.schemas.enable": "true", "value.converter.schemas.enable": "true"});
    Connect::of(stack).register(stack, PREFIX, &debezium(stack, PREFIX, &quick));
    let sink = JdbcSink::up(stack);
    shop.load(Duration::from_secs(2), 40);
    sink.register(&json!({}));
    sink.wait_until_caught_up(&shop);

    each_refusal_has_a_way_out(stack, &sink);
    every_change_is_found(&sink, &shop);
    a_cut_is_marked(stack, &sink, &shop);
    downstream::followed(stack, &shop);
    other_keys::in_postgres(&sink, &shop);
    other_keys::in_mongodb(stack, &shop);
    merged_changes_are_resolved(stack, &sink, &shop);

    Connect::of(stack).delete(stack, PREFIX);
    drop(sink);
    stack.sql("drop database copies with (force)");
    stack.sql("drop role reader");
    shop.close();
}

fn each_refusal_has_a_way_out(stack: &TestStack, sink: &JdbcSink<'_>) {
    stack.sql("create role reader login password 'reader'");
    let before = sink.servers();
    let refused = |args: &[&str], says: &[&str]| {
        ended(with(sink.observe(), args)).refused(2, says);
    };
    refused(&[], &["copies", "other", "--sink-publication NAME"]);
    refused(
        &["--sink-publication", "absent"],
        &["\"absent\"", "--make-sink-publication"],
    );
    refused(
        &["--sink-publication", "elsewhere"],
        &["public.elsewhere", "--sink-collection TABLE=TARGET"],
    );
    let mapped = ["--sink-publication", "copies", "--sink-collection"];
    refused(
        &[&mapped[..], &["orders=elsewhere"]].concat(),
        &["elsewhere", "ADD TABLE"],
    );
    refused(
        &[
            "--sink-publication",
            "elsewhere",
            "--sink-collection",
            "orders=elsewhere",
        ],
        &["region, id", "--sink-key public.orders=COLUMN,COLUMN"],
    );
    refused(
        &[&mapped[..], &["order=shop_public_orders"]].concat(),
        &["order", "not observed"],
    );
    refused(
        &["--sink", "mongodb"],
        &["--sink-postgres", "--sink postgres"],
    );
    let other = |url: &str, publication: &str, password: &str, code: i32, says: &[&str]| {
        let mut command = observe(stack, None);
        command
            .args(["--sink", "postgres", "--sink-publication", publication])
            .env("SINK_POSTGRES_PASSWORD", password)
            .env("SINK_POSTGRES_URL", url);
        ended(command).refused(code, says);
    };
    other("", "copies", "reader", 2, &["SINK_POSTGRES_URL"]);
    other(
        &sink.url("reader"),
        "copies",
        "reader",
        3,
        &["the sink", "REPLICATION"],
    );
    // The observed tables themselves.
    let source = sink
        .url(&stack.env["POSTGRES_USER"])
        .replace("/copies", "/shop");
    let password = &stack.env["POSTGRES_PASSWORD"];
    other(
        &source,
        "shop",
        password,
        2,
        &["source's own database", "public."],
    );
    // Nobody else's table is published.
    stack.sql("alter role reader replication");
    let mut command = observe(stack, None);
    command
        .args([
            "--sink-postgres",
            &sink.url("reader"),
            "--make-sink-publication",
        ])
        .env("SINK_POSTGRES_PASSWORD", "reader");
    ended(command).refused(
        2,
        &[
            "GRANT CREATE ON DATABASE \"copies\"",
            "--sink-publication NAME",
        ],
    );
    assert_eq!(sink.servers().0, before.0);
}

/// Every change at every tap, and nothing moved or left.
fn every_change_is_found(sink: &JdbcSink<'_>, shop: &Shop<'_>) {
    let publication = ["--sink-publication", "copies"];
    let plan = ended(with(
        sink.observe(),
        &[&publication[..], &["--plan"]].concat(),
    ));
    for words in [
        GROUP,
        "public.shop_public_orders, rows of public.orders",
        "REPLICATION there",
    ] {
        assert!(
            plan.out.contains(words),
            "{words}: {} {}",
            plan.out,
            plan.err
        );
    }
    let observing = sink.begin(&publication);
    let done = shop.load(Duration::from_secs(8), 160);
    assert!(done.changes > 800, "{done:?}");
    std::thread::sleep(Duration::from_secs(2));
    let observed = observing.end();
    observed.assert_complete(done.changes);
    assert_eq!(observed.count("coalesced"), 0);
    assert_eq!(observed.count("sink_only"), 0);
    let mean = |hop: &str| observed.hop(hop, "mean");
    let sum = mean("debezium") + mean("produce") + mean("consume");
    assert!((sum - mean("total")).abs() <= 3, "{sum} {}", mean("total"));
    let changes = i64::try_from(done.changes).unwrap();
    assert_eq!(observed.hop("store", "count"), changes);
    // The sink had committed before we could see it.
    assert!(
        mean("store") <= mean("consume"),
        "{} {}",
        mean("store"),
        mean("consume")
    );
    assert_eq!(sink.rows(), rows(sink.stack, shop));

    let before = sink.idle();
    let observing = sink.begin(&publication);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(observing.end().code, Some(0));
    assert_eq!(sink.servers(), before);
    let observing = sink.begin(&publication);
    std::thread::sleep(Duration::from_secs(1));
    observing.kill();
    until("its slots to be gone", || {
        sink.servers().1.len() == before.1.len()
    });
    assert_eq!(sink.servers(), before);
}

/// The slot of the sink is gone with its connection, and what was written in between was not seen.
fn a_cut_is_marked(stack: &TestStack, sink: &JdbcSink<'_>, shop: &Shop<'_>) {
    let observing = sink.begin(&["--sink-publication", "copies"]);
    let done = std::thread::scope(|scope| {
        let load = scope.spawn(|| shop.load(Duration::from_secs(8), 80));
        std::thread::sleep(Duration::from_secs(3));
        stack.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name like 'cdc_bench_observe%sink'");
        load.join().unwrap()
    });
    std::thread::sleep(Duration::from_secs(9));
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(0), "{counts} {}", observed.errors);
    let incidents = &observed.report["incidents"];
    assert!(
        observed.has_incident("tap_resumed", "not_shown"),
        "{incidents}"
    );
    assert_eq!(observed.count("captured"), done.changes, "{counts}");
    let followed = observed.count("completed") + observed.count("not_shown");
    assert_eq!(followed, done.changes, "{counts}");
    assert!(observed.count("not_shown") > 0, "{counts}");
}

/// A buffer that keeps the last change of a row alone; its publication is made, and removed again.
fn merged_changes_are_resolved(stack: &TestStack, sink: &JdbcSink<'_>, shop: &Shop<'_>) {
    let before = sink.publications();
    sink.register(&json!({"use.reduction.buffer": "true"}));
    sink.worker.connect.ask(stack, NAME, "pause");
    let observing = sink.begin(&["--make-sink-publication"]);
    assert_eq!(sink.publications().len(), before.len() + 1);
    let done = std::thread::scope(|scope| {
        let load = scope.spawn(|| shop.load(Duration::from_secs(6), 80));
        std::thread::sleep(Duration::from_secs(3));
        sink.worker.connect.ask(stack, NAME, "resume");
        load.join().unwrap()
    });
    sink.wait_until_caught_up(shop);
    std::thread::sleep(Duration::from_secs(3));
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(0), "{counts} {}", observed.errors);
    assert_eq!(observed.count("captured"), done.changes, "{counts}");
    let followed = observed.count("completed") + observed.count("not_shown");
    assert_eq!(followed, done.changes, "{counts}");
    assert!(observed.count("coalesced") > 0, "{counts}");
    assert_eq!(sink.publications(), before);

    // One that was left by a killed observation is named, and then removed.
    let observing = sink.begin(&["--make-sink-publication"]);
    observing.kill();
    until("its slots to be gone", || {
        let left = "select 1 from pg_replication_slots where slot_name like 'cdc_bench_observe%'";
        stack.sql(left).is_empty()
    });
    assert_eq!(sink.publications().len(), before.len() + 1);
    let observed = sink.begin(&["--sink-publication", "copies"]).end();
    assert!(
        observed.errors.contains("DROP PUBLICATION"),
        "{}",
        observed.errors
    );
    let observed = sink.begin(&["--make-sink-publication"]).end();
    assert!(
        observed.errors.contains("removing publication"),
        "{}",
        observed.errors
    );
    assert_eq!(sink.publications(), before);
}
