//! What a command leaves that is killed: the next start says it, `cleanup --orphans` removes exactly that, and leaves what living
//! commands use, what is set up to stay, and what captures have delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::Test;
use super::interrupts::{start, until_step};
use super::stack::command::{Ended, ended, result_folder, small_run, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "a_killed_run_is_told_at_the_next_start_and_cleaned_up_after_exactly",
        killed_run,
    ),
    ("a_killed_run_that_is_taken_up_has_every_event", taken_up),
    (
        "a_killed_capture_leaves_what_it_delivered_and_what_was_to_stay",
        killed_captures,
    ),
];

pub const LONG_TESTS: &[Test] = &[
    (
        "a_topic_and_a_group_of_a_killed_run_are_those_of_the_next_that_uses_them",
        inherited,
    ),
    (
        "orphans_of_a_killed_run_are_told_from_what_lives_and_from_what_is_set_up",
        beside_the_living,
    ),
    (
        "killed_in_any_phase_a_command_leaves_no_orphan_that_cleanup_does_not_remove",
        killed_in_any_phase,
    ),
    (
        "a_run_that_is_killed_twice_in_any_phase_of_its_load_has_every_event",
        taken_up_twice,
    ),
];

/// Everything on the four servers, by name: also what clean-ups are easily forgotten for.
fn listing(stack: &TestStack) -> BTreeSet<String> {
    let mut things = stack.resources();
    let mut add = |kind: &str, names: Vec<String>| {
        things.extend(names.into_iter().map(|name| format!("{kind} {name}")));
    };
    add(
        "schema",
        stack.sql("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"),
    );
    let consumer: BaseConsumer = stack.kafka().create().unwrap();
    let groups = consumer.fetch_group_list(None, Duration::from_secs(20));
    let groups = groups.unwrap();
    let names = groups.groups().iter().map(|group| group.name().to_owned());
    // What this test reads with.
    add("group", names.filter(|name| name != "records").collect());
    add("offsets of", connect_offsets(stack));
    let databases = stack.block_on(stack.store().client().list_database_names());
    add("database", databases.unwrap());
    things
}

/// The connectors of which Connect stores an offset: the keys in its topic whose last record has a value.
fn connect_offsets(stack: &TestStack) -> Vec<String> {
    let topic = "_connect_offsets";
    let consumer: BaseConsumer = stack.kafka().set("group.id", "records").create().unwrap();
    let mut last = BTreeMap::new();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20));
    let metadata = metadata.unwrap();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), Duration::from_secs(20))
            .unwrap();
        let mut from = rdkafka::TopicPartitionList::new();
        let beginning = rdkafka::Offset::Beginning;
        from.add_partition_offset(topic, partition.id(), beginning)
            .unwrap();
        consumer.assign(&from).unwrap();
        let mut at = low;
        while at < high {
            let message = consumer.poll(Duration::from_secs(20));
            let message = message.expect("a record").unwrap();
            let key = String::from_utf8_lossy(message.key().unwrap()).into_owned();
            last.insert(key, message.payload().is_some());
            at = message.offset() + 1;
        }
    }
    let stored = last.into_iter().filter(|(_, has_value)| *has_value);
    stored.map(|(key, _)| key).collect()
}

/// Whoever lives has ten seconds to take a lock again after the server was away: until then nobody is called dead.
fn until_up_for_long(stack: &TestStack) {
    let is = "SELECT 1 WHERE now() - pg_postmaster_start_time() > interval '11 s'";
    until("PostgreSQL to be up for long", || !stack.sql(is).is_empty());
}

fn cleanup(stack: &TestStack, args: &[&str]) -> Ended {
    ended(with(
        with(stack.external(), &["cleanup"]),
        &[&["--json"], args].concat(),
    ))
}

fn kill(mut run: Child) {
    signal(id(&run), Signal::SIGKILL);
    run.wait().unwrap();
}

/// A run that is killed in this step.
fn killed(stack: &TestStack, step: &str, delay: Duration, args: &[&str]) -> String {
    let results = open_folder();
    let mut run = start(small_run(stack.external(), results.path(), args));
    until_step(&mut run, results.path(), step);
    std::thread::sleep(delay);
    kill(run);
    let folder = result_folder(results.path()).unwrap();
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A run that is taken up.
fn resume(stack: &TestStack, results: &Path, run: &str) -> Ended {
    let command = with(stack.external(), &["run", "--json", "--resume", run]);
    ended(with(command, &["--results-dir", results.to_str().unwrap()]))
}

/// Names by kind, of what a clean-up has removed or left.
fn named(of: &Value, kind: &str) -> BTreeSet<String> {
    let all = of.as_array().unwrap().iter();
    let of_kind = all.filter(|resource| resource["kind"] == kind);
    of_kind
        .map(|resource| resource["name"].as_str().unwrap().to_owned())
        .collect()
}

fn killed_run(stack: &TestStack) {
    stack.clear();
    until_up_for_long(stack);
    let before = listing(stack);
    let args = ["--events", "5000", "--rate", "200", "--capture", "both"];
    let run = killed(stack, "load", Duration::from_millis(500), &args);

    let next = ended(with(stack.external(), &["doctor"]));
    for words in [
        &*format!("run {run} ended without cleaning up"),
        &format!("connector cdc-bench-run-{run}"),
        "2 slots",
        "2 groups",
        "cleanup --orphans",
    ] {
        assert!(next.err.contains(words), "{words}: {}", next.err);
    }
    let dry = cleanup(stack, &["--orphans", "--dry-run"]).json();
    assert_eq!(dry["removed"], serde_json::json!([]), "{dry}");
    let slots = named(&dry["would_remove"], "slot");
    assert_eq!(slots.len(), 2, "{dry}");
    assert_eq!(stack.connectors().len(), 1, "nothing is removed");

    let cleaned = cleanup(stack, &["--orphans"]).json();
    assert_eq!(named(&cleaned["removed"], "slot"), slots);
    assert_eq!(cleaned["left"], serde_json::json!([]), "{cleaned}");
    assert_eq!(listing(stack), before);
    let next = ended(with(stack.external(), &["doctor"]));
    assert!(!next.err.contains("without cleaning up"), "{}", next.err);
    let again = cleanup(stack, &["--orphans"]).json();
    assert_eq!(again["removed"], serde_json::json!([]));
}

fn beside_the_living(stack: &TestStack) {
    stack.clear();
    until_up_for_long(stack);
    assert_eq!(ended(with(stack.external(), &["setup"])).code, 0);
    // The connector of setup stores an offset once an event has passed it.
    let listing = |stack: &TestStack| -> BTreeSet<String> {
        let things = listing(stack).into_iter();
        things
            .filter(|thing| !thing.starts_with("offsets of"))
            .collect()
    };
    let before = listing(stack);
    let results = open_folder();
    let args = ["--events", "100000", "--rate", "50", "--capture", "wal"];
    let mut living = start(small_run(stack.external(), results.path(), &args));
    until_step(&mut living, results.path(), "load");
    let folder = result_folder(results.path()).unwrap();
    let lives = folder.file_name().unwrap().to_str().unwrap();
    let of_living = listing(stack);
    let dead = killed(stack, "load", Duration::ZERO, &args);

    let named_alive = cleanup(stack, &["--run", lives]);
    named_alive.refused(2, &[lives, "is under way", "Ctrl-C"]);
    cleanup(stack, &[]).refused(2, &[&format!("run {lives}"), "--orphans", "--all"]);
    resume(stack, results.path(), lives).refused(2, &[lives, "is under way"]);
    let cleaned = cleanup(stack, &["--orphans"]).json();
    assert_eq!(listing(stack), of_living);
    let slot = |run: &str| format!("cdc_bench_wal_{}", run.replace('-', "_"));
    assert_eq!(
        named(&cleaned["removed"], "slot"),
        BTreeSet::from([slot(&dead)])
    );
    let left = named(&cleaned["left"], "slot");
    assert!(left.contains(&slot(lives)), "{cleaned}");
    assert!(left.contains("cdc_bench_reader"), "{cleaned}");
    let reasons = cleaned["left"].to_string();
    assert!(
        reasons.contains(&format!("run {lives} is under way")),
        "{reasons}"
    );
    assert!(reasons.contains("set up to stay"), "{reasons}");

    // One that loses its session to PostgreSQL lives all the same.
    stack.sql("SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 2");
    let cleaned = cleanup(stack, &["--orphans"]).json();
    assert_eq!(cleaned["removed"], serde_json::json!([]), "{cleaned}");
    signal(id(&living), Signal::SIGINT);
    let end: Ended = living.wait_with_output().unwrap().into();
    assert_eq!(end.code, 130, "{}", end.err);
    assert_eq!(listing(stack), before);
    clean_up_whole(stack);
}

fn inherited(stack: &TestStack) {
    stack.clear();
    until_up_for_long(stack);
    let results = open_folder();
    let running = || {
        let args = ["--events", "100000", "--rate", "50"];
        let mut command = small_run(stack.external(), results.path(), &args);
        command
            .env("KAFKA_TOPIC", "shop.activity.event_outbox")
            .env("KAFKA_GROUP_ID", "readers");
        let mut running = start(command);
        until_step(&mut running, results.path(), "load");
        let folder = result_folder(results.path()).unwrap();
        // The next one is to be found.
        std::fs::remove_dir_all(folder).unwrap();
        running
    };
    kill(running());
    until("the killed consumer to be out of its group", || {
        let consumer: BaseConsumer = stack.kafka().create().unwrap();
        let found = consumer.fetch_group_list(Some("readers"), Duration::from_secs(20));
        let found = found.unwrap();
        let mut groups = found.groups().iter();
        groups.all(|group| group.members().is_empty())
    });
    let living = running();
    let cleaned = cleanup(stack, &["--orphans"]).json();
    let removed = &cleaned["removed"];
    assert_eq!(named(removed, "connector").len(), 1, "{cleaned}");
    assert!(named(removed, "group").is_empty(), "{cleaned}");
    let topics = named(removed, "topic");
    assert!(!topics.contains("shop.activity.event_outbox"), "{cleaned}");
    signal(id(&living), Signal::SIGINT);
    let end: Ended = living.wait_with_output().unwrap().into();
    assert_eq!(end.code, 130, "{}", end.err);
    stack.assert_nothing_left("the run that used them last");
    clean_up_whole(stack);
}

/// Kills a run in this step, takes it up, kills it again as often, and lets it end. The report.
fn killed_and_taken_up(
    stack: &TestStack,
    (capture, step, delay_ms): (&str, &str, u64),
    kills: u32,
    args: &[&str],
) -> Value {
    let results = open_folder();
    let args = [&["--capture", capture], args].concat();
    let mut running = start(small_run(stack.external(), results.path(), &args));
    let mut run = String::new();
    for kill_number in 0..kills {
        until_step(&mut running, results.path(), step);
        std::thread::sleep(Duration::from_millis(delay_ms));
        kill(running);
        let folder = result_folder(results.path()).unwrap();
        folder
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .clone_into(&mut run);
        if kill_number + 1 == kills {
            break;
        }
        // The log goes on: the step is looked for anew.
        std::fs::write(folder.join("run.log"), "").unwrap();
        let again = with(stack.external(), &["run", "--json", "--resume", &run]);
        running = start(with(
            again,
            &["--results-dir", results.path().to_str().unwrap()],
        ));
    }
    let end = resume(stack, results.path(), &run);
    let report = end.json();
    assert_eq!(report["run"]["id"], *run);
    resume(stack, results.path(), &run).refused(2, &["has its result"]);
    stack.assert_nothing_left("a run that was taken up");
    report
}

fn assert_has_every_event(report: &Value, events: u64, part: u32) {
    let resumed = &report["run"]["resumed"];
    assert_eq!(resumed["part"], part, "{resumed}");
    let before = resumed["events_before"].as_u64().unwrap();
    let inserted = report["counts"]["inserted"].as_u64().unwrap();
    assert_eq!(before + inserted, events, "{resumed} {}", report["counts"]);
    assert!(before > 0, "{resumed}");
    for path in report["paths"].as_object().unwrap().values() {
        let verification = &path["verification"];
        assert_eq!(verification["postgres_count"], events, "{verification}");
        assert_eq!(verification["match_percent"], 100.0, "{verification}");
        assert_eq!(path["counts"]["lost"], 0, "{}", path["counts"]);
    }
}

fn clean_up_whole(stack: &TestStack) {
    let end = ended(with(stack.external(), &["cleanup"]));
    assert_eq!(end.code, 0, "{}", end.err);
}

fn taken_up(stack: &TestStack) {
    stack.clear();
    let results = open_folder();
    resume(stack, results.path(), "20261124-021133-7f3a9c").refused(2, &["has no folder in"]);
    let load = ["--events", "1000", "--rate", "400"];
    let report = killed_and_taken_up(stack, ("both", "load", 1_000), 1, &load);
    assert_has_every_event(&report, 1_000, 2);
    let incidents = report["incidents"].as_array().unwrap().iter();
    let mut breaks = incidents.filter(|incident| incident["kind"] == "resumed");
    assert!(breaks.next().unwrap()["took"].as_i64().unwrap() > 0);
    assert!(report["run"]["resumed"]["break_s"].as_f64().unwrap() > 0.5);
    clean_up_whole(stack);
}

fn taken_up_twice(stack: &TestStack) {
    stack.clear();
    for capture in ["debezium", "wal", "embedded", "both"] {
        for (step, delay_ms, rate) in [
            ("load", 500, "500"),
            ("load", 1_500, "max"),
            ("drain", 0, "max"),
        ] {
            println!("{capture}, killed {delay_ms} ms into {step} at {rate}/s");
            let load = ["--events", "6000", "--rate", rate, "--warmup", "50"];
            let kills = if step == "load" { 2 } else { 1 };
            let report = killed_and_taken_up(stack, (capture, step, delay_ms), kills, &load);
            assert_has_every_event(&report, 6_000, kills + 1);
        }
    }
    clean_up_whole(stack);
}

fn capture_into_kafka(stack: &TestStack, args: &[&str]) -> Command {
    let mut command = with(
        stack.external(),
        &["capture", "--output", "kafka", "--topic-prefix", "orphan"],
    );
    command.args(args);
    command
}

fn killed_captures(stack: &TestStack) {
    stack.clear();
    until_up_for_long(stack);
    stack.sql("CREATE TABLE kept (id int PRIMARY KEY); CREATE TABLE gone (id int PRIMARY KEY)");
    let before = listing(stack);
    let read = |count: usize| {
        let reading = "SELECT 1 FROM pg_replication_slots JOIN pg_stat_replication ON pid = active_pid WHERE state <> 'startup'";
        until("the slots to be read", || stack.sql(reading).len() == count);
    };
    let running = start(capture_into_kafka(stack, &["kept", "gone"]));
    read(1);
    // Registered before it was made, and only as long as it is nobody's.
    let registered = "SELECT name FROM cdc_bench.ledger WHERE kind = 'captured topic' ORDER BY 1";
    assert_eq!(
        stack.sql(registered),
        ["orphan.public.gone", "orphan.public.kept"]
    );
    let cleaned = cleanup(stack, &["--orphans"]).json();
    assert_eq!(cleaned["removed"], serde_json::json!([]), "it is under way");
    stack.sql("INSERT INTO kept VALUES (1)");
    let delivered = "orphan.public.kept";
    until("the record", || stack.records(delivered).len() == 1);
    kill(running);
    let until_free = || {
        until("the slot to be free", || {
            let active = "SELECT 1 FROM pg_replication_slots WHERE active";
            stack.sql(active).is_empty()
        });
    };
    until_free();
    let durable = start(capture_into_kafka(stack, &["kept", "--slot", "mine"]));
    read(1);
    kill(durable);
    until_free();

    let cleaned = cleanup(stack, &["--orphans"]).json();
    let left = listing(stack);
    let more: BTreeSet<_> = left.difference(&before).map(String::as_str).collect();
    let stays = [
        "publication cdc_bench_capture_mine",
        "slot mine",
        "topic orphan.public.kept",
    ];
    assert_eq!(more, BTreeSet::from(stays), "{cleaned}");
    let reasons = cleaned["left"].to_string();
    for words in [
        "has delivered records into it",
        "the next capture with slot mine",
    ] {
        assert!(reasons.contains(words), "{words}: {reasons}");
    }
    // What was kept is gone on with.
    stack.sql("INSERT INTO kept VALUES (2)");
    let again = ["kept", "--slot", "mine", "--until", "now"];
    let again = ended(capture_into_kafka(stack, &again));
    assert_eq!(again.code, 0, "{}", again.err);
    assert_eq!(stack.records(delivered).len(), 2);
    assert_eq!(cleanup(stack, &[]).code, 0);
    stack.sql("DROP TABLE kept, gone");
    stack.delete_topics(&[delivered]);
}

fn killed_in_any_phase(stack: &TestStack) {
    stack.clear();
    until_up_for_long(stack);
    let before = listing(stack);
    let load = [
        "--events",
        "3000",
        "--rate",
        "max",
        "--insert-batch",
        "50",
        "--warmup",
        "100",
        "--capture",
    ];
    let mut failures = Vec::new();
    let mut compare = |what: &str| {
        let cleaned = cleanup(stack, &["--orphans"]);
        if what.ends_with("into clean-up") && cleaned.out.contains("a run that has ended") {
            // It had removed its own before, and left table and documents to be looked at.
            assert_eq!(cleanup(stack, &[]).code, 0);
        }
        let after = listing(stack);
        let more: Vec<_> = after.difference(&before).collect();
        let fewer: Vec<_> = before.difference(&after).collect();
        println!("{what}: more {more:?}, fewer {fewer:?}");
        if cleaned.code != 0 || after != before {
            failures.push(format!(
                "{what}: more {more:?}, fewer {fewer:?}: {} {}",
                cleaned.out, cleaned.err
            ));
        }
    };
    for (step, delay_ms, capture) in [
        ("set-up", 0, "both"),
        ("set-up", 100, "debezium"),
        ("set-up", 200, "wal"),
        ("set-up", 300, "debezium"),
        ("set-up", 450, "both"),
        ("set-up", 700, "debezium"),
        ("first event through", 0, "both"),
        ("first event through", 300, "debezium"),
        ("warm-up", 20, "wal"),
        ("warm-up", 50, "both"),
        ("load", 0, "debezium"),
        ("load", 200, "wal"),
        ("load", 300, "both"),
        ("load", 100, "embedded"),
        ("drain", 0, "both"),
        ("drain", 50, "debezium"),
        ("verification", 0, "both"),
        ("clean-up", 0, "both"),
        ("clean-up", 100, "debezium"),
        ("clean-up", 300, "both"),
    ] {
        let delay = Duration::from_millis(delay_ms);
        let args = [&load[..], &[capture]].concat();
        killed(stack, step, delay, &args);
        compare(&format!("{capture} {delay_ms} ms into {step}"));
    }
    for delay_ms in [50, 100, 200, 400, 1_000] {
        for args in [&["t"][..], &["t", "--from", "snapshot"]] {
            stack.sql("CREATE TABLE t (id int PRIMARY KEY)");
            let running = start(capture_into_kafka(stack, args));
            std::thread::sleep(Duration::from_millis(delay_ms));
            kill(running);
            stack.sql("DROP TABLE t");
            compare(&format!("capture {args:?} {delay_ms} ms after its start"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
