//! The load generator against a server that cuts its connections.

use std::process::Stdio;

use super::Test;
use super::stack::{Ended, TestStack, ended, until, with};

pub const TESTS: &[Test] = &[
    (
        "a_load_whose_connections_are_cut_inserts_every_row_once",
        |stack| cut(stack, "cut-rows", &["--connections", "3"]),
    ),
    ("a_load_that_copies_is_no_less_sure", |stack| {
        cut(
            stack,
            "cut-copies",
            &["--connections", "2", "--insert-batch", "100"],
        )
    }),
];

const EVENTS: u64 = 12_000;
const CUTS: u64 = 5;

fn cut(stack: &TestStack, run: &str, args: &[&str]) {
    ended(with(stack.kept(), &["setup"]));
    let count = || -> u64 {
        let rows = format!("SELECT count(*) FROM activity.event_outbox WHERE run_id = '{run}'");
        stack.sql(&rows)[0].parse().unwrap()
    };
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
            count() >= nth * EVENTS / (CUTS + 2)
        });
        let cuts = stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cdc-bench%' \
             AND (query LIKE 'INSERT INTO activity.event_outbox%' OR query LIKE 'COPY activity.event_outbox%')",
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
    let told = stack.sql(&format!(
        "SELECT count(*) || ' ' || count(DISTINCT seq) || ' ' || max(seq) FROM activity.event_outbox WHERE run_id = '{run}'"
    ));
    assert_eq!(told[0], format!("{EVENTS} {EVENTS} {}", EVENTS - 1));
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}
