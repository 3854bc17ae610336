//! The load generator with a server that cuts its connections, and with one that refuses its rows.

use std::process::Stdio;
use std::time::Duration;

use super::Test;
use super::stack::command::{Ended, ended, with};
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "a_load_whose_connections_are_cut_inserts_every_row_once",
        |stack| cut(stack, "cut-rows", &["--connections", "3"]),
    ),
    ("a_load_by_copy_inserts_every_row_once", |stack| {
        cut(
            stack,
            "cut-copies",
            &["--connections", "2", "--insert-batch", "100"],
        )
    }),
    (
        "rows_whose_commit_is_refused_are_not_counted_as_inserted",
        |stack| {
            for (run, batch) in [
                ("refused-rows", 1),
                ("refused-few", 20),
                ("refused-copies", 100),
            ] {
                refused(stack, run, batch);
            }
        },
    ),
    (
        "rows_that_a_server_refuses_for_a_while_are_counted_apart",
        read_only,
    ),
];

const EVENTS: u64 = 12_000;
const CUTS: u64 = 5;

/// Makes the outbox; nobody captures it.
fn set_up(stack: &TestStack) {
    let mut command = with(stack.external(), &["setup"]);
    command.env_remove("CONNECT_URL");
    let made = ended(command);
    assert_eq!(made.code, 0, "{}", made.err);
}

/// Rows of a run.
fn rows(stack: &TestStack, run: &str) -> u64 {
    let count = format!("SELECT count(*) FROM activity.event_outbox WHERE run_id = '{run}'");
    stack.sql(&count)[0].parse().unwrap()
}

fn cut(stack: &TestStack, run: &str, args: &[&str]) {
    set_up(stack);
    let events = EVENTS.to_string();
    let load = with(stack.external(), &["generate", "--json", "--rate", "3000"])
        .args(["--events", &events, "--run-id", run])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut cut = 0;
    for nth in 1..=CUTS {
        until("the load to get on", || {
            rows(stack, run) >= nth * EVENTS / (CUTS + 2)
        });
        let cuts = stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cdc-bench-load'",
        );
        cut += cuts.len();
    }
    let done: Ended = load.wait_with_output().unwrap().into();
    let done = done.json();
    assert!(cut > 0, "nothing was cut");
    assert_eq!(
        (&done["inserted"], &done["errors"]),
        (&EVENTS.into(), &0.into())
    );
    let counts = stack.sql(&format!(
        "SELECT count(*) || ' ' || count(DISTINCT seq) || ' ' || max(seq) FROM activity.event_outbox WHERE run_id = '{run}'"
    ));
    assert_eq!(counts[0], format!("{EVENTS} {EVENTS} {}", EVENTS - 1));
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

/// A statement that succeeds in a transaction that fails: a deferred constraint is checked at the commit.
fn refused(stack: &TestStack, run: &str, batch: u64) {
    set_up(stack);
    stack.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$",
    );
    stack.sql(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON activity.event_outbox DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW WHEN (NEW.seq IN (250, 777)) EXECUTE FUNCTION refuse()",
    );
    let batch_text = batch.to_string();
    let mut load = with(stack.external(), &["generate", "--json", "--rate", "max"]);
    load.args(["--events", "1000", "--run-id", run])
        .args(["--insert-batch", &batch_text]);
    let done = ended(load).json();
    let inserted = rows(stack, run);
    // The trigger is dropped with the table.
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
    stack.sql("DROP FUNCTION refuse()");
    assert_eq!(
        (&done["inserted"], &done["errors"]),
        (&(1000 - 2 * batch).into(), &(2 * batch).into())
    );
    assert_eq!(inserted, 1000 - 2 * batch);
}

/// Several COPYs are in flight when the server begins to refuse them, before it has read a row, and when it accepts them
/// again.
fn read_only(stack: &TestStack) {
    const MANY: u64 = 60_000;
    let run = "read-only";
    set_up(stack);
    let events = MANY.to_string();
    let load = with(stack.external(), &["generate", "--json", "--rate", "max"])
        .args(["--events", &events, "--run-id", run])
        .args(["--connections", "1", "--insert-batch", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the load to begin", || rows(stack, run) > 0);
    // Shorter than the COPYs in flight take.
    stack.block_on(async {
        let client = stack.connect().await;
        for nth in 0..30 {
            let read_only = nth % 2 == 0;
            let set = format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}");
            client.batch_execute(&set).await.unwrap();
            client
                .batch_execute("SELECT pg_reload_conf()")
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(if read_only { 10 } else { 30 })).await;
        }
    });
    let done: Ended = load.wait_with_output().unwrap().into();
    let refusals = done
        .err
        .lines()
        .filter(|line| line.contains("INSERT refused"));
    let (read_only, others): (Vec<_>, Vec<_>) =
        refusals.partition(|line| line.contains("read-only"));
    assert!(!read_only.is_empty() && others.is_empty(), "{}", done.err);
    let done = done.json();
    let count = |what: &str| done[what].as_u64().unwrap();
    assert!(count("errors") > 0, "nothing was refused: {done}");
    assert_eq!(count("inserted") + count("errors"), MANY);
    assert_eq!(rows(stack, run), count("inserted"));
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}
