//! Records in every form that Debezium's users give them, each by a connector of its own on the same tables.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::stack::{TestStack, free_port, open_folder, until_within};
use super::observed::{Observed, Observing, observe};
use super::process::fetch;
use super::registry::{Registry, converter};
use super::shop::Shop;
use super::worker::{Worker, debezium, debezium_plugins};

const FLAT: &str = "io.debezium.transforms.ExtractNewRecordState";
const CLOUD_EVENTS: &str = "io.debezium.converters.CloudEventsConverter";
/// The newest JSON converter of Connect's that Debezium 3.6's for CloudEvents can use, for it asks for a method that 4.2 has changed;
/// and what that needs beside Debezium's own jars.
const CONNECT_JSON: [&str; 3] = [
    "org.apache.kafka:connect-json:4.1.1",
    "com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.21.2",
    "com.fasterxml.jackson.module:jackson-module-blackbird:2.21.2",
];
const CODECS: [&str; 4] = ["zstd", "lz4", "gzip", "snappy"];

/// A form of records.
struct Form {
    name: &'static str,
    config: Value,
    /// Whether its records say when Debezium handed them on.
    has_times: bool,
}

fn forms(registry: &Registry) -> Vec<Form> {
    let form = |name, has_times, config| Form {
        name,
        config,
        has_times,
    };
    let flat = |more: Value| {
        let mut config = json!({"transforms": "flat", "transforms.flat.type": FLAT});
        let members = config.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        config
    };
    let route = json!({"transforms": "route", "transforms.route.type": "io.debezium.transforms.ByLogicalTableRouter",
        "transforms.route.topic.regex": "(.*)\\.public\\.(.*)", "transforms.route.topic.replacement": "$1.all"});
    let schemas =
        json!({"key.converter.schemas.enable": "true", "value.converter.schemas.enable": "true"});
    let cloud_events = json!({"value.converter": CLOUD_EVENTS, "value.converter.serializer.type": "json",
        "value.converter.data.serializer.type": "json", "value.converter.json.schemas.enable": "false", "value.converter.schemas.enable": null});
    vec![
        form("bare", false, flat(json!({}))),
        form(
            "fields",
            true,
            flat(json!({"transforms.flat.add.fields": "op,table,source.lsn,ts_us"})),
        ),
        form(
            "headers",
            true,
            flat(json!({"transforms.flat.add.headers": "op,lsn,source.ts_ms,ts_us"})),
        ),
        form("routed", true, route),
        form("schemas", true, schemas),
        form("cloudevents", false, cloud_events),
        form("avro", true, registry.avro(true)),
        form("confluent", true, registry.avro(false)),
    ]
}

pub fn joined(stack: &TestStack) {
    let folder = open_folder();
    let shop = Shop::open(stack);
    let registry = Registry::up(stack, folder.path());
    let debezium_and_json = with_connect_json(&debezium_plugins(stack), folder.path());
    let plugins = [debezium_and_json, converter(folder.path())];
    let worker = Worker::up(stack, folder.path(), &plugins);
    let forms = forms(&registry);
    for (form, codec) in forms.iter().zip(CODECS.into_iter().cycle()) {
        let mut config = debezium(stack, form.name, &form.config);
        let members = config.as_object_mut().unwrap();
        members.insert(
            "producer.override.compression.type".to_owned(),
            codec.into(),
        );
        members.insert("poll.interval.ms".to_owned(), "50".into());
        worker.connect.register(stack, form.name, &config);
    }
    outbox(stack, &shop, &worker);

    // Topics are made with their first records.
    shop.load(Duration::from_secs(2), 20);
    let command = |form: &str| {
        let mut command = observe(stack, None);
        command
            .env("CONNECT_URL", &worker.connect.url)
            .args(["--no-group", "--connector", form]);
        command
    };
    let all: Vec<_> = forms.iter().map(|form| form.name).collect();
    until_within(Duration::from_secs(90), "the topics", || {
        let topics = stack.topics();
        all.iter().all(|form| {
            let has = |topic: &str| topics.contains(&format!("{form}.{topic}"));
            has("all") || (has("public.orders") && has("public.customers"))
        })
    });

    // All at once: they look at the same changes.
    let under_way: Vec<_> = forms
        .iter()
        .map(|form| Observing::of(stack, command(form.name), &[]))
        .collect();
    let mut without_registry = command("confluent");
    without_registry.env(
        "SCHEMA_REGISTRY_URL",
        format!("http://127.0.0.1:{}", free_port()),
    );
    let without_registry = Observing::of(stack, without_registry, &["--drain-timeout", "1"]);
    let done = shop.load(Duration::from_secs(6), 30);
    std::thread::sleep(Duration::from_secs(3));
    let mut failures = Vec::new();
    for (form, observing) in forms.iter().zip(under_way) {
        failures.extend(wrong(form, &observing.end(), done.changes));
    }
    let observed = without_registry.end();
    let counts = &observed.report["counts"];
    if observed.count("unreadable") < done.changes || observed.count("missing") > 0 {
        failures.push(format!("no registry: {counts} {}", observed.errors));
    }
    assert!(
        observed.has_incident("unreadable_record", "registry"),
        "{}",
        observed.report["incidents"]
    );
    assert!(!observed.lines("unreadable.jsonl").is_empty());
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    by_the_outbox_id(stack, &shop, command("outbox"));
    for form in all.iter().chain(&["outbox"]) {
        worker.connect.delete(stack, form);
    }
    drop(worker);
    shop.close();
}

/// A plugin path with Debezium, which brings Connect's JSON converter along.
fn with_connect_json(debezium: &str, folder: &Path) -> String {
    let plugins = folder.join("debezium-and-json");
    let plugin = plugins.join("debezium");
    std::fs::create_dir_all(&plugin).unwrap();
    for jar in std::fs::read_dir(Path::new(debezium).join("debezium")).unwrap() {
        let jar = jar.unwrap();
        std::os::unix::fs::symlink(jar.path(), plugin.join(jar.file_name())).unwrap();
    }
    CONNECT_JSON.iter().for_each(|jar| fetch(jar, &plugin));
    plugins.display().to_string()
}

/// What an observation got wrong.
fn wrong(form: &Form, observed: &Observed, changes: u64) -> Option<String> {
    let counts = &observed.report["counts"];
    let is_complete = observed.code == Some(0)
        && ["captured", "in_kafka", "completed"]
            .iter()
            .all(|name| observed.count(name) == changes)
        && [
            "missing",
            "duplicates",
            "unreadable",
            "not_covered",
            "negative_hops",
        ]
        .iter()
        .all(|name| observed.count(name) == 0);
    let has_times = observed.report["paths"]["observed"]["hops"]["debezium"].is_object();
    let is_right = is_complete && has_times == form.has_times;
    (!is_right).then(|| {
        format!(
            "{}: {changes} changes, times {has_times}, code {:?}, {counts} {} {:?}",
            form.name,
            observed.code,
            observed.errors,
            observed.lines("missing.jsonl").first()
        )
    })
}

/// An outbox whose events of one kind are dropped on their way.
fn outbox(stack: &TestStack, shop: &Shop<'_>, worker: &Worker) {
    shop.sql(
        "create table outbox (id uuid primary key default gen_random_uuid(), aggregatetype text, aggregateid text, type text, payload jsonb);
         create publication outbox for table outbox",
    );
    let router = json!({"publication.name": "outbox", "table.exclude.list": null, "table.include.list": "public.outbox",
        "transforms": "outbox,drop", "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
        "transforms.drop.type": "org.apache.kafka.connect.transforms.Filter", "transforms.drop.predicate": "secret",
        "predicates": "secret", "predicates.secret.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        "predicates.secret.pattern": "outbox.event.secret"});
    let config = debezium(stack, "outbox", &router);
    worker.connect.register(stack, "outbox", &config);
    insert(shop, "order", 3);
    insert(shop, "invoice", 3);
    until_within(Duration::from_secs(60), "the outbox's topics", || {
        let topics = stack.topics();
        topics.contains("outbox.event.order") && topics.contains("outbox.event.invoice")
    });
}

fn insert(shop: &Shop<'_>, kind: &str, count: u32) {
    for n in 0..count {
        shop.sql(&format!(
            "insert into outbox (aggregatetype, aggregateid, type, payload) values ('{kind}', '{n}', 'placed', '{{\"total\": {n}}}')"
        ));
    }
}

/// The records of an outbox have neither LSN nor key of the row: they are joined by the header `id`. What is dropped is found.
fn by_the_outbox_id(stack: &TestStack, shop: &Shop<'_>, command: std::process::Command) {
    let observing = Observing::of(stack, command, &[]);
    insert(shop, "order", 5);
    insert(shop, "secret", 1);
    for _ in 0..4 {
        insert(shop, "order", 3);
        insert(shop, "invoice", 3);
    }
    std::thread::sleep(Duration::from_secs(9));
    let observed = observing.end();
    let counts = &observed.report["counts"];
    assert_eq!(observed.code, Some(4), "{counts} {}", observed.errors);
    assert_eq!(observed.count("captured"), 30, "{counts}");
    assert_eq!(observed.count("completed"), 29, "{counts}");
    let lines = observed.lines("missing.jsonl");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["table"], "public.outbox");
    assert!(lines[0]["key"]["id"].is_string(), "{lines:?}");
    assert!(lines[0]["lsn"].is_string(), "{lines:?}");
}
