//! `observe`: what it finds of a pipeline, that it leaves nothing, and that its figures are those of a run beside it.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, small_run, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until, until_within};

pub const TESTS: &[Test] = &[(
    "observe_agrees_with_a_run_beside_it_and_leaves_nothing",
    beside_a_run,
)];

const TOPIC: &str = "postgres.activity.event_outbox";
const TABLE: &str = "activity.event_outbox";
/// The outbox's documents are in a collection of another name.
const COLLECTION: &str = "activity.event_outbox=events";

/// Everything on the servers that an observation might leave or move.
fn servers(stack: &TestStack, group: &str) -> (BTreeSet<String>, Vec<String>, Vec<Offset>) {
    let slots = "SELECT slot_name || ' ' || coalesce(confirmed_flush_lsn::text, '') FROM pg_replication_slots ORDER BY 1";
    let mut config = stack.kafka();
    let consumer: BaseConsumer = config.set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(TOPIC, 0);
    let committed = consumer.committed_offsets(list, Duration::from_secs(10));
    let committed = committed.unwrap();
    (
        stack.resources(),
        stack.sql(slots),
        committed.elements().iter().map(|e| e.offset()).collect(),
    )
}

pub fn observe(stack: &TestStack, args: &[&str]) -> Ended {
    let folder = open_folder();
    let mut command = with(stack.external(), &["observe"]);
    command.args(args).current_dir(folder.path());
    ended(command)
}

/// Waits until it has opened its taps: its slot is there.
pub fn observing(stack: &TestStack, args: &[&str], folder: &std::path::Path) -> Child {
    let mut command = with(stack.external(), &["observe", "--json"]);
    command.args(args).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let slot =
        "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'cdc_bench_observe%' AND active";
    until_within(Duration::from_secs(60), "observe's slot", || {
        !stack.sql(slot).is_empty()
    });
    child
}

pub fn end(child: Child) -> (Option<i32>, Value, String) {
    signal(id(&child), Signal::SIGINT);
    let out = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    let report = serde_json::from_slice(&out.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {errors}"));
    (out.status.code(), report, errors)
}

fn beside_a_run(stack: &TestStack) {
    let refuse = |args: &[&str], says: &[&str]| observe(stack, args).refused(2, says);
    refuse(
        &["--duration", "1"],
        &["no connector", "CONNECT_URL", "--publication"],
    );
    assert_eq!(ended(with(stack.external(), &["setup"])).code, 0);

    // What is named and not there has a sentence, and leaves nothing.
    refuse(
        &["--connector", "other"],
        &["\"other\"", "--connector NAME"],
    );
    refuse(
        &["--publication", "none"],
        &["\"none\"", "--publication NAME"],
    );
    refuse(
        &["--table", "public.nothing"],
        &["public.nothing", "ALTER PUBLICATION", "ADD TABLE"],
    );
    refuse(&["--topic", "no.topic"], &["no.topic", "--topic NAME"]);
    refuse(
        &["--group", "nobodys"],
        &["\"nobodys\"", "--group NAME", "--no-group"],
    );
    refuse(
        &["--sink", "mongodb", "--no-group"],
        &["no collection", "--sink-collection"],
    );
    refuse(&["--duration", "soon"], &["seconds"]);
    let mut alone = with(stack.external(), &["observe", "--plan"]);
    alone.env_remove("CONNECT_URL");
    ended(alone).refused(2, &["CONNECT_URL", "--topic NAME"]);

    let plan = observe(
        stack,
        &["--plan", "--no-group", "--sink-collection", COLLECTION],
    );
    assert_eq!(plan.code, 0, "{}", plan.err);
    for words in [
        TABLE,
        TOPIC,
        "temporary slot",
        "rows of activity.event_outbox",
        "(key id)",
    ] {
        assert!(plan.out.contains(words), "{words}: {}", plan.out);
    }

    // A group of somebody's, with a place to lose.
    let group = "somebodys";
    let mut consume = with(stack.external(), &["consume", "--max", "20"]);
    consume.args(["--kafka-group-id", group]);
    let folder = open_folder();
    consume.current_dir(folder.path());
    consume.stdout(Stdio::null()).stderr(Stdio::null());
    let consumer = consume.spawn().unwrap();
    let generate = &["generate", "--events", "20", "--rate", "100"];
    assert_eq!(ended(with(stack.external(), generate)).code, 0);
    assert!(consumer.wait_with_output().unwrap().status.success());
    let before = servers(stack, group);

    // Its figures are those of the run that it looks at.
    let args = ["--no-group", "--sink-collection", COLLECTION];
    let child = observing(stack, &args, folder.path());
    let run = small_run(
        stack.external(),
        folder.path(),
        &["--events", "300", "--rate", "60"],
    );
    let run = ended(run);
    assert!(run.code <= 1, "{}", run.err);
    let run = run.json();
    let (code, observed, errors) = end(child);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(observed["run"]["kind"], "observe");
    assert_eq!(run["run"]["kind"], "run");
    let counts = &observed["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("completed") >= 300, "{counts}");
    assert_eq!((count("missing"), count("in_flight")), (0, 0), "{counts}");
    assert_eq!(count("captured"), count("completed"), "{counts}");
    assert_eq!(count("negative_hops"), 0, "{counts}");
    let hops = &observed["paths"]["observed"]["hops"];
    for (ours, theirs) in [("produce", "produce"), ("deliver", "consumer_lag")] {
        let value = |hop: &Value, name: &str| hop[name].as_i64().unwrap();
        let (ours, theirs) = (&hops[ours], &run["paths"]["debezium"]["hops"][theirs]);
        let bound = value(ours, "error_bound") + value(theirs, "error_bound");
        // Half of the one's values lie below the upper quartile of the other's, clocks aside.
        assert!(
            value(ours, "p50") <= value(theirs, "p90") + bound,
            "{ours} {theirs}"
        );
        assert!(
            value(theirs, "p50") <= value(ours, "p90") + bound,
            "{ours} {theirs}"
        );
    }
    let after = servers(stack, group);
    assert_eq!((&before.0, &before.2), (&after.0, &after.2));

    // Killed, it leaves nothing either.
    let child = observing(stack, &["--group", group, "--sink", "none"], folder.path());
    signal(id(&child), Signal::SIGKILL);
    drop(child.wait_with_output());
    until("its slot to be gone", || {
        servers(stack, group).1.len() == before.1.len()
    });
    assert_eq!(servers(stack, group).2, before.2);

    // Without a sink, a change ends with the group's commit.
    let child = observing(stack, &["--group", group, "--sink", "none"], folder.path());
    // It has the run's events before those that are observed.
    let mut consume = with(stack.external(), &["consume", "--idle-timeout", "10"]);
    consume
        .args(["--kafka-group-id", group])
        .current_dir(folder.path());
    consume.stdout(Stdio::null()).stderr(Stdio::null());
    let consumer = consume.spawn().unwrap();
    assert_eq!(ended(with(stack.external(), generate)).code, 0);
    assert!(consumer.wait_with_output().unwrap().status.success());
    let (code, observed, errors) = end(child);
    assert_eq!(code, Some(0), "{errors}");
    let consume = &observed["paths"]["observed"]["hops"]["consume"];
    assert!(consume["count"].as_u64() >= Some(20), "{observed}");
    assert_eq!(observed["pipeline"]["group"], group);

    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
    stack.delete_group(group);
}
