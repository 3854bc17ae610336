//! The commands other than `run`, and `run` on servers that were up before it.

use std::process::Stdio;

use mongodb::bson::doc;
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, QUICK_JVMS, assert_complete, ended, small_run, with};
use super::stack::processes::running;
use super::stack::{TestStack, open_folder, until, with_id};

pub const TESTS: &[Test] = &[
    (
        "setup_can_be_repeated_and_cleanup_removes_exactly_what_it_made",
        setup_and_cleanup,
    ),
    ("generate_consume_and_verify_work_alone", stages_alone),
    (
        "verify_finds_what_is_missing_extra_and_differing",
        verify_finds,
    ),
    ("the_same_seed_gives_the_same_events", same_seed),
    ("doctor_says_what_each_part_resolved_to", doctor),
    (
        "the_kept_stack_reports_its_state_and_its_logs",
        stack_commands,
    ),
    ("a_run_leaves_a_kept_stack_as_it_was", run_on_kept),
    ("a_run_beside_another_starts_servers_of_its_own", two_runs),
    ("an_existing_connector_is_used_as_it_is", existing_connector),
    ("without_connect_the_topic_is_assumed_to_be_fed", no_connect),
    ("a_closed_pipe_ends_a_command_quietly", closed_pipe),
];

pub const LONG_TESTS: &[Test] = &[("memory_does_not_grow_with_the_number_of_events", memory)];

fn setup_and_cleanup(stack: &TestStack) {
    stack.sql("CREATE TABLE users_own (id int)");
    stack.block_on(async {
        use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
        let admin: AdminClient<_> = stack.kafka().create().unwrap();
        let topic = NewTopic::new("users-own", 1, TopicReplication::Fixed(1));
        let made = admin
            .create_topics(&[topic], &AdminOptions::new())
            .await
            .unwrap();
        made.into_iter().for_each(|topic| drop(topic.unwrap()));
    });
    let before = stack.resources();
    let first = ended(with(stack.kept(), &["setup", "--json"])).json();
    let made = stack.resources();
    let second = ended(with(stack.kept(), &["setup", "--json"])).json();
    assert_eq!(first, second);
    assert_eq!(made, stack.resources());
    assert_eq!(first["log_append_time"], true);
    for thing in [
        "slot cdc_bench_reader",
        "slot cdc_bench_debezium",
        "publication cdc_bench",
        "table activity.event_outbox",
        "topic postgres.activity.event_outbox",
        "connector cdc-bench",
        "collection events",
    ] {
        assert!(made.contains(thing), "{thing} is not in {made:?}");
    }
    let removed = ended(with(stack.kept(), &["cleanup"]));
    assert_eq!(removed.code, 0, "{}", removed.err);
    assert_eq!(stack.resources(), before);
    // A later set-up is not affected by the offsets that Connect remembers of the first connector.
    ended(with(stack.kept(), &["setup", "--json"])).json();
    let removed = ended(with(stack.kept(), &["cleanup", "--json"])).json();
    let connector = serde_json::json!({ "kind": "connector", "name": "cdc-bench" });
    assert!(removed["removed"].as_array().unwrap().contains(&connector));
    assert_eq!(stack.resources(), before);
    stack.sql("DROP TABLE users_own");
    stack.delete_topics(&["users-own"]);
}

fn stages_alone(stack: &TestStack) {
    ended(with(stack.kept(), &["setup"]));
    let generated = ended(with(
        stack.external(),
        &[
            "generate",
            "--events",
            "250",
            "--rate",
            "max",
            "--insert-batch",
            "10",
            "--json",
        ],
    ))
    .json();
    assert_eq!(
        (&generated["inserted"], &generated["errors"]),
        (&250.into(), &0.into())
    );
    let run = generated["run_id"].as_str().unwrap();
    let some = ended(with(stack.kept(), &["consume", "--max", "100", "--json"])).json();
    assert_eq!(
        (&some["consumed"], &some["written"]),
        (&100.into(), &100.into())
    );
    let part = ended(with(stack.kept(), &["verify", run, "--json"]));
    assert_eq!(part.code, 4, "150 are missing still");
    // Records before the committed offset are not delivered again.
    let rest = ended(with(stack.kept(), &["consume", "--max", "150", "--json"])).json();
    assert_eq!(rest["written"], 150);
    let whole = ended(with(stack.kept(), &["verify", run, "--json"])).json();
    assert_eq!(
        (&whole["postgres_count"], &whole["store_count"]),
        (&250.into(), &250.into())
    );
    assert_eq!(whole["match_percent"], 100.0);
    let idle = ended(with(
        stack.kept(),
        &["consume", "--idle-timeout", "1", "--json"],
    ))
    .json();
    assert_eq!(idle["consumed"], 0);
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn verify_finds(stack: &TestStack) {
    ended(with(stack.kept(), &["setup"]));
    let run = ["--run-id", "to-be-verified"];
    ended(with(
        stack.kept(),
        &[&["generate", "--events", "60", "--rate", "max"], &run[..]].concat(),
    ));
    ended(with(stack.kept(), &["consume", "--max", "60"]));
    let ids = stack
        .sql("SELECT id FROM activity.event_outbox WHERE run_id = 'to-be-verified' ORDER BY seq");
    let events = stack.events();
    stack.block_on(async {
        for id in &ids[..30] {
            events.delete_one(with_id(id)).await.unwrap();
        }
        let change = doc! { "$set": { "aggregate_type": "changed" } };
        events.update_one(with_id(&ids[40]), change).await.unwrap();
        let extra = doc! { "_id": mongodb::bson::Uuid::new(), "run_id": "to-be-verified" };
        events.insert_one(extra).await.unwrap();
    });
    let found = ended(with(stack.kept(), &["verify", "to-be-verified", "--json"]));
    assert_eq!(found.code, 4, "{}", found.err);
    let found: Value = serde_json::from_str(&found.out).unwrap();
    let counts = [
        "missing",
        "extra",
        "differing",
        "postgres_count",
        "store_count",
    ];
    assert_eq!(
        counts.map(|name| found[name].as_u64().unwrap()),
        [30, 1, 1, 60, 31]
    );
    let listed = found["first_missing"].as_array().unwrap();
    assert_eq!(listed.len(), 20, "the first 20 of 30");
    assert!(
        listed
            .iter()
            .all(|id| ids[..30].iter().any(|missing| id == missing))
    );
    assert_eq!(found["first_differing"][0]["id"], ids[40]);
    let field = &found["first_differing"][0]["fields"][0];
    assert_eq!(field["path"], "aggregate_type");
    let text = ended(with(stack.kept(), &["verify", "to-be-verified"]));
    assert!(
        text.out.contains("30 missing, 1 extra, 1 differing"),
        "{}",
        text.out
    );
    assert!(
        text.out.contains("(the first 20 of 30)") && text.out.contains(&ids[40]),
        "{}",
        text.out
    );
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn same_seed(stack: &TestStack) {
    let events = |seed: &str| -> Vec<Value> {
        let dry = ["generate", "--dry-run", "--events", "200", "--seed", seed];
        let printed = ended(with(stack.kept(), &dry));
        printed
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    // Everything but ids and times, which depend on the moment.
    let comparable = |events: &[Value]| -> Vec<String> {
        let comparable = |event: &Value| {
            let payload = &event["payload"];
            let names = ["email", "username", "title", "category", "location", "role"];
            format!(
                "{} {:?}",
                event["event_type"],
                names.map(|name| payload[name].clone())
            )
        };
        events.iter().map(comparable).collect()
    };
    let (one, again, other) = (events("7"), events("7"), events("8"));
    assert_eq!(comparable(&one), comparable(&again));
    assert_ne!(comparable(&one), comparable(&other));
    // Participants join activities that exist.
    let mut activities = Vec::new();
    for event in &one {
        match event["event_type"].as_str().unwrap() {
            "ActivityCreated" => activities.push(event["payload"]["activity_id"].clone()),
            "ParticipantJoined" => assert!(activities.contains(&event["payload"]["activity_id"])),
            _ => {}
        }
    }
    assert!(!activities.is_empty());
}

fn doctor(stack: &TestStack) {
    let names = |parts: &Value| -> Vec<String> {
        let parts = parts.as_array().unwrap();
        parts
            .iter()
            .map(|part| part["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let local = ended(with(stack.kept(), &["doctor", "--json"])).json();
    let found = names(&local);
    for part in ["Java", "Maven", "cache", "store", "kept stack"] {
        assert!(
            found.iter().any(|name| name == part),
            "{part} is not in {found:?}"
        );
    }
    let external = ended(with(stack.external(), &["doctor", "--json"])).json();
    assert_eq!(
        names(&external),
        ["PostgreSQL", "Kafka", "Kafka Connect", "store"]
    );
    assert!(
        external
            .as_array()
            .unwrap()
            .iter()
            .all(|part| part["standing"] == "good")
    );

    // The same endpoints from a .env file in the working directory.
    let folder = open_folder();
    let lines = stack
        .env
        .iter()
        .map(|(name, value)| format!("{name}='{value}'\n"));
    std::fs::write(folder.path().join(".env"), lines.collect::<String>()).unwrap();
    let mut from_file = with(super::stack::command::cdc_bench(), &["doctor", "--json"]);
    from_file.current_dir(folder.path());
    assert_eq!(ended(from_file).json(), external);

    let mut wrong = with(stack.external(), &["doctor", "--json"]);
    wrong.env("POSTGRES_PASSWORD", "certainly-wrong");
    let wrong = ended(wrong);
    assert_eq!(wrong.code, 3);
    let parts: Value = serde_json::from_str(&wrong.out).unwrap();
    assert_eq!(parts[0]["standing"], "bad");
    assert!(
        parts[0]["advice"]
            .as_str()
            .unwrap()
            .contains("POSTGRES_PASSWORD")
    );
    assert!(!wrong.out.contains("certainly-wrong"));

    let mut bare = with(stack.kept(), &["doctor"]);
    let empty = open_folder();
    bare.env("PATH", "")
        .env("CDC_BENCH_CACHE_DIR", empty.path());
    let bare = ended(bare);
    assert_eq!(bare.code, 3);
    assert!(
        bare.out.contains("java") && bare.out.contains("apt-get install"),
        "{}",
        bare.out
    );
}

fn stack_commands(stack: &TestStack) {
    let status = ended(with(stack.kept(), &["stack", "status", "--json"])).json();
    assert_eq!(status["up"], true);
    let servers = status["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 4);
    assert!(
        servers.iter().all(|server| server["answers"] == true),
        "{servers:?}"
    );
    let kafka = ended(with(
        stack.kept(),
        &["stack", "logs", "kafka", "-n", "1000"],
    ));
    assert!(kafka.out.contains("Kafka Server started"), "{}", kafka.out);
    let all = ended(with(stack.kept(), &["stack", "logs"]));
    assert!(
        ["postgres | ", "connect  | "]
            .iter()
            .all(|name| all.out.contains(name))
    );
    ended(with(stack.kept(), &["stack", "logs", "nobody"])).refused(2, &["connect, store"]);
    ended(with(stack.kept(), &["stack", "up", "--foreground"])).refused(3, &["stack down"]);

    let elsewhere = open_folder();
    let mut none = with(stack.kept(), &["stack", "status"]);
    none.env("CDC_BENCH_STATE_DIR", elsewhere.path());
    assert_eq!(ended(none).code, 3);

    // In the background: up, found, down, and nothing is left. Classes loaded by these JVMs need not be loaded by later ones; a JVM
    // that has no time to write them down, on a busy machine, leaves that to the next.
    let here = elsewhere.path().display().to_string();
    let detached = |args: &[&str]| {
        let mut command = with(stack.kept(), args);
        command
            .env("CDC_BENCH_STATE_DIR", elsewhere.path())
            .env(QUICK_JVMS.0, QUICK_JVMS.1);
        ended(command)
    };
    for nth in 0..4 {
        let up = detached(&["stack", "up"]);
        assert_eq!(up.code, 0, "{}", up.err);
        assert_eq!(detached(&["stack", "status"]).code, 0);
        let jvms = running(&here);
        let with_archive = jvms
            .iter()
            .filter(|line| line.contains("-XX:SharedArchiveFile="));
        let has_archives = with_archive.count() == 2;
        assert!(nth < 3 || has_archives, "{jvms:?}");
        assert_eq!(detached(&["stack", "down"]).code, 0);
        assert_eq!(running(&here), [""; 0]);
        assert!(!elsewhere.path().join("kept").exists());
        if has_archives {
            break;
        }
    }
}

fn run_on_kept(stack: &TestStack) {
    let results = open_folder();
    let pids =
        || ["postgres", "kafka", "connect", "store"].map(|name| stack.server(name)["pid"].clone());
    let before = pids();
    for _ in 0..2 {
        let report = ended(small_run(
            stack.kept(),
            results.path(),
            &["--events", "200", "--rate", "500"],
        ))
        .json();
        assert_complete(&report, 200);
        assert_eq!(report["run"]["stack"], "local");
        stack.assert_nothing_left("a run");
    }
    assert_eq!(before, pids());
}

fn two_runs(stack: &TestStack) {
    let (one, two) = (open_folder(), open_folder());
    let args = ["--events", "900", "--rate", "60"];
    let first = small_run(stack.kept(), one.path(), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the first run to claim the stack", || {
        let status = ended(with(stack.kept(), &["stack", "status", "--json"]));
        status.out.contains("\"in_use\": true")
    });
    let mut second = stack.kept();
    second.env(QUICK_JVMS.0, QUICK_JVMS.1);
    let second = ended(small_run(
        second,
        two.path(),
        &["--events", "200", "--rate", "500"],
    ));
    assert_complete(&second.json(), 200);
    assert!(
        second.err.contains("in use by another run"),
        "{}",
        second.err
    );
    let first: super::stack::command::Ended = first.wait_with_output().unwrap().into();
    assert_complete(&first.json(), 900);
    stack.assert_nothing_left("two runs");
}

fn existing_connector(stack: &TestStack) {
    let results = open_folder();
    ended(with(
        stack.kept(),
        &["setup", "--connector-config", "poll.interval.ms=3"],
    ));
    for args in [
        &["--events", "100"][..],
        &["--events", "100", "--connector", "cdc-bench"],
    ] {
        let report = ended(small_run(stack.external(), results.path(), args)).json();
        assert_complete(&report, 100);
        let connector = &report["environment"]["debezium"]["connector"];
        assert_eq!(connector["name"], "cdc-bench");
        assert_eq!(connector["config"]["poll.interval.ms"], "3");
        assert_eq!(connector["profile"], Value::Null);
        assert_ne!(
            connector["config"]["database.password"],
            stack.env["POSTGRES_PASSWORD"]
        );
    }
    assert_eq!(stack.connectors(), ["cdc-bench"]);
    ended(small_run(
        stack.external(),
        results.path(),
        &["--connector", "nobodys"],
    ))
    .refused(3, &["nobodys"]);
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn no_connect(stack: &TestStack) {
    let results = open_folder();
    ended(with(stack.kept(), &["setup"]));
    let mut command = stack.external();
    command.env_remove("CONNECT_URL");
    let report = ended(small_run(command, results.path(), &["--events", "100"])).json();
    assert_complete(&report, 100);
    assert_eq!(report["environment"]["debezium"]["connector"], Value::Null);
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

/// The cache that the stack was started from.
pub fn shared_cache(stack: &TestStack) -> String {
    let parts = ended(with(stack.kept(), &["doctor", "--json"])).json();
    let parts = parts.as_array().unwrap();
    let cache = parts.iter().find(|part| part["name"] == "cache").unwrap();
    cache["found"].as_str().unwrap().to_owned()
}

fn memory(stack: &TestStack) {
    let peak_mib = |events: &str| {
        let results = open_folder();
        let args = [
            "--events",
            events,
            "--rate",
            "max",
            "--insert-batch",
            "10",
            "--drain-timeout",
            "120",
        ];
        let report = ended(small_run(stack.kept(), results.path(), &args)).json();
        assert_complete(&report, events.parse().unwrap());
        report["environment"]["program"]["peak_memory_mib"]
            .as_u64()
            .unwrap()
    };
    let (few, many) = (peak_mib("10000"), peak_mib("200000"));
    println!("peak memory: {few} MiB for 10,000 events, {many} MiB for 200,000");
    assert!(
        many < few + 100,
        "{few} MiB for 10,000 events, {many} MiB for 200,000"
    );
}

/// `head` closes its end as soon as it has its lines.
fn closed_pipe(stack: &TestStack) {
    let pages = open_folder();
    let pages = pages.path().to_str().unwrap();
    for args in [
        &["generate", "--events", "20000", "--dry-run"][..],
        &["completions", "bash"],
        &["stack", "status"],
        &["stack", "logs", "--follow"],
        &["doctor"],
        &["man", "--dir", pages],
    ] {
        let mut child = with(stack.kept(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        assert!(!ended.err.contains("panicked"), "{args:?}: {}", ended.err);
    }
    for page in ["cdc-bench", "cdc-bench-run", "cdc-bench-stack-up"] {
        let page = std::fs::read_to_string(format!("{pages}/{page}.1")).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains("Examples:"));
    }
}
