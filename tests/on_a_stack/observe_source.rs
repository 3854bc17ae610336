//! `observe` and the source database: what it lacks, and the publication that is made only when told.

use std::process::Stdio;

use nix::sys::signal::Signal;

use super::Test;
use super::observe::{end, observing};
use super::stack::command::{Ended, ended, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[(
    "observe_says_what_the_source_lacks_and_makes_a_publication_only_when_told",
    what_the_source_lacks,
)];

const TOPIC: &str = "postgres.activity.event_outbox";
const PUBLICATIONS: &str =
    "SELECT pubname FROM pg_publication WHERE pubname LIKE 'cdc_bench_observe%'";

/// What is observed, without Connect, group and sink.
const OUTBOX: [&str; 7] = [
    "--table",
    "activity.event_outbox",
    "--topic",
    TOPIC,
    "--no-group",
    "--sink",
    "none",
];

fn observe_as(stack: &TestStack, role: Option<&str>, args: &[&str]) -> Ended {
    let folder = open_folder();
    let mut command = with(stack.external(), &["observe"]);
    command
        .args(args)
        .args(OUTBOX)
        .env_remove("CONNECT_URL")
        .current_dir(folder.path());
    if let Some(role) = role {
        command
            .env("POSTGRES_USER", role)
            .env("POSTGRES_PASSWORD", role);
    }
    ended(command)
}

fn what_the_source_lacks(stack: &TestStack) {
    assert_eq!(ended(with(stack.external(), &["setup"])).code, 0);
    let make = ["--make-publication", "--plan"];

    // Rights, one after the other.
    stack.sql("CREATE ROLE watcher LOGIN PASSWORD 'watcher'");
    let refused = |code: i32, says: &[&str]| {
        observe_as(stack, Some("watcher"), &make).refused(code, says);
        assert!(stack.sql(PUBLICATIONS).is_empty());
    };
    refused(3, &["\"watcher\" may not replicate", "ALTER ROLE"]);
    stack.sql("ALTER ROLE watcher REPLICATION");
    refused(
        2,
        &["GRANT CREATE ON DATABASE", "\"watcher\"", "--publication"],
    );
    stack.sql("GRANT CREATE ON DATABASE activity_db TO watcher");
    refused(2, &["does not own table activity.event_outbox"]);
    stack.sql("ALTER ROLE watcher SET default_transaction_read_only = on");
    refused(
        2,
        &[
            "read-only for role \"watcher\"",
            "CREATE PUBLICATION cdc_bench FOR TABLE \"activity\".\"event_outbox\"",
        ],
    );
    stack.sql("DROP OWNED BY watcher; DROP ROLE watcher");

    // A table that could no longer be updated.
    stack.sql("CREATE TABLE bare (n int)");
    let bare = ["--make-publication", "--plan", "--table", "bare"];
    observe_as(stack, None, &bare).refused(2, &["public.bare", "REPLICA IDENTITY FULL"]);
    stack.sql("DROP TABLE bare");

    // A view has no changes to publish, and nobody is told to add it.
    stack.sql("CREATE VIEW seen AS SELECT '1'::text AS id; CREATE UNLOGGED TABLE quick (id text PRIMARY KEY)");
    let of_ours = ["--plan", "--publication", "cdc_bench"];
    for (args, says) in [
        (["--table", "seen"], "public.seen is a view"),
        (["--canary", "seen"], "canary public.seen is a view"),
        (["--table", "quick"], "public.quick is an unlogged table"),
    ] {
        let args = [&of_ours[..], &args].concat();
        let refused = observe_as(stack, None, &args);
        assert!(!refused.err.contains("ADD TABLE"), "{}", refused.err);
        refused.refused(2, &[says, "logged tables alone"]);
    }
    stack.sql("DROP VIEW seen; DROP TABLE quick");

    // What a publication leaves out is in the plan.
    stack
        .sql("CREATE PUBLICATION partly FOR TABLE activity.event_outbox WITH (publish = 'insert')");
    let plan = observe_as(stack, None, &["--plan", "--publication", "partly"]);
    assert!(
        plan.out.contains("no updates and no deletes"),
        "{}",
        plan.out
    );
    if stack.postgres_version() >= 15 {
        stack.sql("ALTER PUBLICATION partly SET TABLE activity.event_outbox (id, event_type) WHERE (event_type <> 'x')");
        let plan = observe_as(stack, None, &["--plan", "--publication", "partly"]);
        assert!(plan.out.contains("filters the rows"), "{}", plan.out);
        assert!(plan.out.contains("list of columns"), "{}", plan.out);
    }
    stack.sql("DROP PUBLICATION partly");

    // No slot is free.
    let fill = "SELECT pg_create_logical_replication_slot('users_own_' || n, 'pgoutput') \
        FROM generate_series(1, current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots)) n";
    stack.sql(fill);
    let full = observe_as(
        stack,
        None,
        &["--publication", "cdc_bench", "--duration", "1"],
    );
    stack.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'users_own_%'");
    full.refused(
        3,
        &["0 of 20 replication slots free", "max_replication_slots"],
    );

    makes_a_publication(stack);
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
}

fn makes_a_publication(stack: &TestStack) {
    let plan = observe_as(stack, None, &["--make-publication", "--plan"]);
    assert!(plan.out.contains("Would be made"), "{}", plan.out);
    assert!(stack.sql(PUBLICATIONS).is_empty(), "a plan makes nothing");

    let folder = open_folder();
    let args = [&["--make-publication"], &OUTBOX[..]].concat();
    let child = observing(stack, &args, folder.path());
    assert_eq!(stack.sql(PUBLICATIONS).len(), 1);
    // Another one, and a clean-up, leave it alone: it is in use.
    let other = observe_as(stack, None, &["--make-publication", "--duration", "1"]);
    assert_eq!(other.code, 0, "{}", other.err);
    assert_eq!(stack.sql(PUBLICATIONS).len(), 1, "{}", other.err);
    let mut generate = with(
        stack.external(),
        &["generate", "--events", "20", "--rate", "100"],
    );
    generate.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(generate.status().unwrap().success());
    let (code, report, errors) = end(child);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        report["counts"]["completed"].as_u64() >= Some(20),
        "{report}"
    );
    assert!(stack.sql(PUBLICATIONS).is_empty(), "{errors}");

    // Killed, it leaves one: the next says so, and the next that makes one removes it.
    let child = observing(stack, &args, folder.path());
    signal(id(&child), Signal::SIGKILL);
    drop(child.wait_with_output());
    let left = stack.sql(PUBLICATIONS);
    assert_eq!(left.len(), 1);
    until("its session to end", || {
        let said = observe_as(
            stack,
            None,
            &["--publication", "cdc_bench", "--duration", "1"],
        );
        said.err.contains(&left[0]) && said.err.contains("cleanup")
    });
    let next = observe_as(stack, None, &["--make-publication", "--duration", "1"]);
    assert!(next.err.contains(&left[0]), "{}", next.err);
    assert!(stack.sql(PUBLICATIONS).is_empty());
}
