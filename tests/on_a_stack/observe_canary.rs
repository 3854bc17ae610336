//! `observe` with a canary: an idle pipeline has a latency, and the user's figures stay the user's.

use serde_json::Value;

use super::Test;
use super::no_harm::{connect, register, remove_connector};
use super::observe::{end, observe, observing};
use super::stack::{TestStack, open_folder, until};

pub const LONG_TESTS: &[Test] = &[(
    "observe_with_a_canary_times_an_idle_pipeline_from_the_insert_on",
    canary,
)];

const CANARY_SQL: &str = include_str!("../../sql/canary.sql");
const CONNECTOR: &str = "shop";
const CANARY: [&str; 2] = ["--canary", "cdc_bench_canary"];
const REST: [&str; 5] = ["--no-group", "--sink", "none", "--connector", CONNECTOR];

fn topic(stack: &TestStack, name: &str) {
    until(name, || stack.topics().contains(name));
}

fn canary(stack: &TestStack) {
    pipeline(stack);
    let refuse = |canary: &str, says: &[&str]| {
        let args = [&["--plan", "--canary", canary], &REST[..]].concat();
        observe(stack, &args).refused(2, says);
    };
    stack.sql("INSERT INTO orders VALUES (0)");
    topic(stack, "shop.public.orders");
    refuse(
        "nothing",
        &["public.nothing", "ADD TABLE", "sql/canary.sql"],
    );
    refuse("orders", &["public.orders", "bigint", "text"]);
    refuse("cdc_bench_canary", &["its topic", "insert a row"]);
    refuse("message", &["shop.message", "pg_logical_emit_message"]);
    stack.sql("INSERT INTO cdc_bench_canary VALUES ('first')");
    stack.sql("SELECT pg_logical_emit_message(true, 'cdc_bench', 'first')");
    topic(stack, "shop.public.cdc_bench_canary");
    topic(stack, "shop.message");
    let plan = observe(stack, &[&["--plan"], &CANARY[..], &REST[..]].concat());
    assert!(
        plan.out.contains("rows of public.cdc_bench_canary"),
        "{}",
        plan.out
    );

    let report = observed(stack, &CANARY, || {
        let sent = "SELECT 1 FROM cdc_bench_canary HAVING count(*) > 8";
        until("some rows", || !stack.sql(sent).is_empty());
        stack.sql("INSERT INTO orders SELECT generate_series(1, 5)");
        until("more rows", || {
            !stack
                .sql("SELECT 1 FROM cdc_bench_canary HAVING count(*) > 16")
                .is_empty()
        });
    });
    let count = |path: &str, hop: &str| report["paths"][path]["hops"][hop]["count"].as_u64();
    assert_eq!(report["counts"]["captured"], 5, "{report}");
    assert_eq!(count("observed", "total"), Some(5), "{report}");
    assert_eq!(count("observed", "insert"), None, "{report}");
    for hop in ["insert", "total_from_insert", "debezium"] {
        assert!(count("canary", hop) >= Some(10), "{hop}: {report}");
    }
    assert_eq!(report["canary"]["missing"], 0, "{report}");
    assert_eq!(report["canary"]["target"], "public.cdc_bench_canary");
    assert_eq!(stack.sql("SELECT id FROM cdc_bench_canary"), ["first"]);

    let report = observed(stack, &["--canary", "message"], || {
        let end = || {
            stack
                .sql("SELECT pg_current_wal_insert_lsn() - '0/0'")
                .remove(0)
        };
        let begin: f64 = end().parse().unwrap();
        // Messages are all that is written.
        until("some messages", || {
            end().parse::<f64>().unwrap() - begin > 4_000.0
        });
    });
    let total = &report["paths"]["canary"]["hops"]["total_from_insert"]["count"];
    assert!(total.as_u64() >= Some(5), "{report}");
    assert_eq!(report["counts"]["captured"], 0, "{report}");

    parts(stack);
    remove_connector(stack, CONNECTOR, CONNECTOR);
    stack.clear();
}

/// What is said of the pipeline's parts, and what looking took.
fn parts(stack: &TestStack) {
    let brief = ["--duration", "1", "--drain-timeout", "1", "--json"];
    let metrics = |address: &str| {
        let args = [&brief[..], &["--connect-metrics", address], &REST[..]].concat();
        observe(stack, &args)
    };
    metrics("http://me:secret@127.0.0.1:1/metrics").refused(2, &["a password"]);
    metrics("http://127.0.0.1:1/metrics").refused(3, &["no metrics", "--connect-metrics"]);

    connect(stack, "PUT", &format!("{CONNECTOR}/pause"), None);
    let paused = observe(stack, &[&brief[..], &REST[..]].concat());
    connect(stack, "PUT", &format!("{CONNECTOR}/resume"), None);
    let report = paused.json();
    let findings = report["diagnosis"]["findings"].as_array().unwrap();
    let says = |words: &str| {
        let mut all = findings.iter();
        all.any(|finding| finding["evidence"].as_str().unwrap().contains(words))
    };
    assert!(says("\"shop\" did not work") && says("PAUSED"), "{report}");
    assert!(paused.err.contains("PAUSED"), "{}", paused.err);
    let cost = &report["cost"];
    assert_eq!(cost["walsender_cpu"], "measured", "{report}");
    assert!(cost["requests_per_s"].as_f64() > Some(0.0), "{report}");
}

/// Orders and a canary, and a connector that captures both.
fn pipeline(stack: &TestStack) {
    stack.clear();
    stack.sql("DROP TABLE IF EXISTS orders; CREATE TABLE orders (id bigint PRIMARY KEY)");
    stack.sql(CANARY_SQL);
    stack.sql("CREATE PUBLICATION shop FOR TABLE orders, cdc_bench_canary");
    register(
        stack,
        CONNECTOR,
        &[
            ("topic.prefix", CONNECTOR),
            (
                "table.include.list",
                "public.orders,public.cdc_bench_canary",
            ),
            ("publication.autocreate.mode", "disabled"),
            ("poll.interval.ms", "5"),
        ],
    );
}

fn observed(stack: &TestStack, canary: &[&str], meanwhile: impl FnOnce()) -> Value {
    let folder = open_folder();
    let args = [canary, &["--canary-interval", "100"], &REST[..]].concat();
    let child = observing(stack, &args, folder.path());
    meanwhile();
    let (code, report, errors) = end(child);
    assert_eq!(code, Some(0), "{errors}");
    report
}
