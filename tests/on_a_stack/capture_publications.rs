//! Publications and slots that `capture` creates, and what it never does to those of others.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Test;
use super::capture::{capture, drop_all, ids, lines, publications, slots};
use super::stack::command::{ended, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "captures_of_the_same_table_do_not_disturb_each_other",
        side_by_side,
    ),
    (
        "captures_that_start_at_once_with_one_slot_leave_it_to_the_one_that_reads",
        one_slot,
    ),
    (
        "capture_that_is_killed_blocks_no_later_one_and_cleanup_removes_what_it_left",
        killed,
    ),
    (
        "capture_never_breaks_updates_of_a_table_without_replica_identity",
        without_identity,
    ),
    (
        "capture_of_a_partitioned_table_comes_under_its_own_name",
        partitioned,
    ),
    (
        "capture_that_is_refused_leaves_nothing",
        refused_leaves_nothing,
    ),
    ("capture_takes_names_as_psql_does", names),
    ("capture_takes_the_tables_that_match_a_pattern", patterns),
    ("capture_takes_slot_names_of_any_length", long_slots),
    (
        "capture_names_the_right_that_is_missing_and_the_way_out",
        rights,
    ),
    (
        "cleanup_removes_what_capture_made_with_postgresql_alone",
        cleaned_up,
    ),
];

fn start(stack: &TestStack, args: &[&str]) -> Child {
    capture(stack, args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until so many slots are read. A slot is active already while it is made, and gone if its maker is killed then.
fn until_active(stack: &TestStack, count: usize) {
    let read = "SELECT 1 FROM pg_replication_slots JOIN pg_stat_replication ON pid = active_pid WHERE state <> 'startup'";
    until("the slots to be read", || stack.sql(read).len() == count);
}

fn side_by_side(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY)");
    let first = start(stack, &["t", "--max", "2"]);
    until_active(stack, 1);
    let second = start(stack, &["t", "--max", "1"]);
    until_active(stack, 2);
    assert_eq!(publications(stack).len(), 2);
    stack.sql("INSERT INTO t VALUES (1)");
    let second = second.wait_with_output().unwrap().into();
    assert_eq!(ids(&lines(&second)), [1]);
    assert_eq!(publications(stack).len(), 1, "only its own is removed");
    stack.sql("INSERT INTO t VALUES (2)");
    let first = first.wait_with_output().unwrap().into();
    assert_eq!(ids(&lines(&first)), [1, 2]);
    assert!(publications(stack).is_empty());
    until("the slots to be gone", || slots(stack).is_empty());
    stack.sql("DROP TABLE t");
}

fn one_slot(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY)");
    let both = [0, 1].map(|_| start(stack, &["t", "--slot", "mine", "--max", "1"]));
    until_active(stack, 1);
    let [mut first, mut second] = both;
    // One is refused; which one is not said.
    let mut end = None;
    until("one to end", || {
        end = first.try_wait().unwrap().or(second.try_wait().unwrap());
        end.is_some()
    });
    assert_eq!(end.unwrap().code(), Some(3));
    until_active(stack, 1);
    assert_eq!(publications(stack), ["cdc_bench_capture_mine"]);
    stack.sql("INSERT INTO t VALUES (1)");
    let codes = [&mut first, &mut second].map(|child| child.wait().unwrap().code().unwrap());
    assert_eq!(codes.iter().sum::<i32>(), 3, "{codes:?}");
    assert_eq!(
        slots(stack),
        ["mine"],
        "not removed by the one that was refused"
    );
    drop_all(stack, "t");
}

fn killed(stack: &TestStack) {
    let others = publications(stack);
    let made = || {
        let mut made = publications(stack);
        made.retain(|name| !others.contains(name));
        made
    };
    stack.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)");
    for args in [&["t"][..], &["t", "--slot", "mine"]] {
        let mut running = start(stack, args);
        until_active(stack, 1);
        signal(id(&running), Signal::SIGKILL);
        running.wait().unwrap();
        until("the slot to be free", || {
            stack
                .sql("SELECT 1 FROM pg_replication_slots WHERE active")
                .is_empty()
        });
    }
    stack.sql("INSERT INTO t VALUES (1)");
    let again = ["t", "--slot", "mine", "--until", "now"];
    assert_eq!(ids(&lines(&ended(capture(stack, &again)))), [1]);
    ended(capture(stack, &["t", "--until", "now"])).refused(0, &[]);
    // The slot's publication is not given other tables: whoever reads it would get them.
    let other = ["u", "--slot", "mine", "--until", "now"];
    ended(capture(stack, &other)).refused(
        3,
        &[
            "has other tables",
            "it has public.t",
            "asked for is public.u",
            "--publication cdc_bench_capture_mine",
        ],
    );
    let by_name = [
        "--publication",
        "cdc_bench_capture_mine",
        "--slot",
        "mine",
        "--until",
        "now",
    ];
    ended(capture(stack, &by_name)).refused(0, &[]);
    assert_eq!(made().len(), 2, "{:?} beside {others:?}", made());
    let cleanup = ended(with(stack.kept(), &["cleanup"]));
    cleanup.refused(0, &[]);
    assert!(cleanup.out.contains("slot mine"), "{}", cleanup.out);
    assert!(made().is_empty() && slots(stack).is_empty());
    stack.sql("DROP TABLE t, u");
}

fn without_identity(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE bare (id int); CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING; \
         CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); \
         CREATE TABLE gone (id int NOT NULL); CREATE UNIQUE INDEX gone_id ON gone (id); \
         ALTER TABLE gone REPLICA IDENTITY USING INDEX gone_id; DROP INDEX gone_id; \
         CREATE TABLE generated (id int, twice int GENERATED ALWAYS AS (id * 2) STORED); ALTER TABLE generated REPLICA IDENTITY FULL; \
         CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent); \
         CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (100); \
         CREATE TABLE keyed (id int PRIMARY KEY)",
    );
    let tables = [
        "bare",
        "nothing",
        "late",
        "gone",
        "generated",
        "parent",
        "parts",
        "keyed",
    ];
    let args = [&tables[..], &["--slot", "mine", "--until", "now"]].concat();
    let first = ended(capture(stack, &args));
    first.refused(
        0,
        &[
            "updates and deletes of public.bare are not captured",
            "public.nothing",
            "DEFERRABLE",
            "the index of its REPLICA IDENTITY is gone",
            "public.child are not captured",
            "of its partition public.part, it has no primary key",
            "REPLICA IDENTITY FULL",
        ],
    );
    assert!(!first.err.contains("public.keyed"), "{}", first.err);
    assert!(!first.err.contains("of public.parent are"), "{}", first.err);
    // What the application does goes on, each statement.
    for table in [
        "bare",
        "nothing",
        "late",
        "gone",
        "generated",
        "parent",
        "child",
        "parts",
        "keyed",
    ] {
        stack.sql(&format!(
            "INSERT INTO {table} (id) VALUES (1); UPDATE {table} SET id = 2; DELETE FROM {table}"
        ));
    }
    let again = ended(capture(stack, &args));
    let operations: Vec<_> = lines(&again)
        .iter()
        .map(|line| {
            let (table, op) = (&line["source"]["table"], &line["op"]);
            format!("{} {}", table.as_str().unwrap(), op.as_str().unwrap())
        })
        .collect();
    for table in [
        "bare",
        "nothing",
        "late",
        "gone",
        "generated",
        "child",
        "parts",
    ] {
        let of: Vec<_> = operations
            .iter()
            .filter(|op| op.starts_with(&format!("{table} ")))
            .collect();
        assert_eq!(of, [&format!("{table} c")], "{operations:?}");
    }
    for table in ["parent", "keyed"] {
        let of = operations
            .iter()
            .filter(|op| op.starts_with(&format!("{table} ")));
        // The change of the key is a delete and a create; then the delete.
        assert_eq!(of.count(), 4, "{operations:?}");
    }
    drop_all(
        stack,
        "bare, nothing, late, gone, generated, child, parent, parts, keyed",
    );
}

fn partitioned(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE ev (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (100); INSERT INTO ev VALUES (1)",
    );
    let folder = open_folder();
    let file = folder.path().join("ev.progress").display().to_string();
    let args = [
        "ev",
        "--slot",
        "evs",
        "--from",
        "snapshot",
        "--checkpoint",
        &file,
        "--until",
        "now",
    ];
    let tables = |end| -> Vec<String> {
        lines(&end)
            .iter()
            .map(|line| line["source"]["table"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(tables(ended(capture(stack, &args))), ["ev"]);
    stack.sql("INSERT INTO ev VALUES (2)");
    // A partition that is added later comes too.
    stack.sql("CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (100) TO (200)");
    stack.sql("INSERT INTO ev VALUES (101); UPDATE ev SET id = 102 WHERE id = 101");
    let second = ended(capture(stack, &args));
    assert_eq!(second.err, "");
    assert_eq!(tables(second), ["ev"; 4]);
    // One partition alone comes under its own name.
    let one = ended(capture(
        stack,
        &["ev_1", "--from", "snapshot", "--until", "now"],
    ));
    assert_eq!(tables(one), ["ev_1"; 2]);
    drop_all(stack, "ev");
}

fn refused_leaves_nothing(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; CREATE UNLOGGED TABLE un (id int PRIMARY KEY)");
    let slot_limit = stack.sql("SHOW max_replication_slots")[0]
        .parse::<usize>()
        .unwrap();
    let nothing = |what: &str| {
        assert!(publications(stack).is_empty(), "{what}");
        let named = stack
            .sql("SELECT slot_name FROM pg_replication_slots WHERE slot_name NOT LIKE 'full%'");
        assert!(named.is_empty(), "{what}: {named:?}");
    };
    for (args, words) in [
        (&["t", "v"][..], &["public.v is a view"][..]),
        (
            &["t", "un"],
            &["public.un is an unlogged table", "SET LOGGED"],
        ),
        (&["t", "pg_catalog.pg_class"], &["a table of the system"]),
        (&["t", "t_pkey"], &["an index"]),
    ] {
        ended(capture(stack, args)).refused(3, words);
        nothing(words[0]);
    }
    let mut prefix = capture(stack, &["t", "--output", "kafka", "--topic-prefix", "a b"]);
    prefix.env(
        "KAFKA_BOOTSTRAP_SERVERS",
        &stack.env["KAFKA_BOOTSTRAP_SERVERS"],
    );
    ended(prefix).refused(2, &["--topic-prefix \"a b\""]);
    nothing("prefix");
    for number in 0..slot_limit {
        stack.sql(&format!(
            "SELECT pg_create_physical_replication_slot('full{number}')"
        ));
    }
    ended(capture(stack, &["t"])).refused(3, &["no free replication slot"]);
    ended(capture(stack, &["t", "--slot", "mine"])).refused(3, &["no free replication slot"]);
    nothing("slots");
    // A slot that is not ours to read: neither it nor anything else is touched.
    ended(capture(stack, &["t", "--slot", "full0"])).refused(3, &["physical"]);
    assert_eq!(slots(stack).len(), slot_limit);
    nothing("physical slot");
    stack.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    // The copy fails after the slot was made.
    stack.sql("CREATE TABLE g (id int PRIMARY KEY); INSERT INTO g VALUES (1); CREATE PUBLICATION p FOR TABLE g WHERE (id / (id - 1) > 0)");
    let folder = open_folder();
    let file = folder.path().join("g.progress");
    let shown = file.display().to_string();
    let args = [
        "--publication",
        "p",
        "--slot",
        "mine",
        "--from",
        "snapshot",
        "--checkpoint",
        &shown,
    ];
    ended(capture(stack, &args)).refused(3, &["division by zero"]);
    until("the slot to be gone", || slots(stack).is_empty());
    assert!(!file.exists());
    assert_eq!(publications(stack), ["p"], "it is not ours");
    stack.sql("DROP VIEW v");
    drop_all(stack, "t, g, un");
}

fn names(stack: &TestStack) {
    stack.sql(
        "CREATE SCHEMA \"My.App\"; CREATE TABLE \"My.App\".\"Order Items\" (id int PRIMARY KEY); \
         CREATE TABLE \"Users\" (id int PRIMARY KEY); CREATE SCHEMA shop; CREATE TABLE shop.invoices (id int PRIMARY KEY); \
         INSERT INTO \"My.App\".\"Order Items\" VALUES (1); INSERT INTO \"Users\" VALUES (2)",
    );
    let copied = |name: &str| {
        let args = [
            name,
            "--from",
            "snapshot",
            "--until",
            "now",
            "--format",
            "debezium-records",
        ];
        let rows = lines(&ended(capture(stack, &args)));
        (
            rows[0]["topic"].as_str().unwrap().to_owned(),
            rows[0]["key"]["id"].clone(),
        )
    };
    assert_eq!(
        copied("\"My.App\".\"Order Items\""),
        ("postgres.My.App.Order_Items".to_owned(), 1.into())
    );
    assert_eq!(
        copied("\"Users\""),
        ("postgres.public.Users".to_owned(), 2.into())
    );
    assert_eq!(
        copied("Public.\"Users\""),
        ("postgres.public.Users".to_owned(), 2.into())
    );
    for (name, words) in [
        (
            "Users",
            &["public.users does not exist", "there is public.\"Users\""][..],
        ),
        ("invoices", &["there is shop.invoices"]),
        ("shop.invoice", &["there is shop.invoices"]),
        (
            "\"My.App\".order_items",
            &["there is \"My.App\".\"Order Items\""],
        ),
    ] {
        ended(capture(stack, &[name])).refused(3, words);
    }
    ended(capture(stack, &["a.b.c"])).refused(2, &["more than two parts"]);
    // Two tables of one topic.
    stack.sql("CREATE TABLE \"a b\" (id int PRIMARY KEY); CREATE TABLE a_b (id int PRIMARY KEY)");
    let both = [
        "\"a b\"",
        "a_b",
        "--format",
        "debezium-records",
        "--until",
        "now",
    ];
    ended(capture(stack, &both))
        .refused(3, &["public.\"a b\" and public.a_b", "postgres.public.a_b"]);
    assert!(publications(stack).is_empty());
    drop_all(stack, "\"Users\", \"a b\", a_b");
    stack.sql("DROP SCHEMA shop CASCADE; DROP SCHEMA \"My.App\" CASCADE");
}

fn patterns(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE order_items (id int PRIMARY KEY); CREATE TABLE orderly (id int PRIMARY KEY); \
         CREATE UNLOGGED TABLE order_cache (id int PRIMARY KEY); CREATE VIEW order_view AS SELECT * FROM order_items; \
         CREATE TABLE order_parts (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE order_parts_1 PARTITION OF order_parts FOR VALUES FROM (0) TO (100); \
         INSERT INTO order_items VALUES (1); INSERT INTO order_parts VALUES (2); INSERT INTO orderly VALUES (3); \
         INSERT INTO order_cache VALUES (4)",
    );
    let copied = |pattern: &str| {
        let args = [
            pattern,
            "--from",
            "snapshot",
            "--until",
            "now",
            "--format",
            "debezium-records",
        ];
        let end = ended(capture(stack, &args));
        let topic = |row: &Value| row["topic"].as_str().unwrap().to_owned();
        let topics: BTreeSet<_> = lines(&end).iter().map(topic).collect();
        (topics.into_iter().collect::<Vec<_>>().join(" "), end.err)
    };
    let (topics, warnings) = copied("public.order_*");
    assert_eq!(
        topics,
        "postgres.public.order_items postgres.public.order_parts"
    );
    assert!(
        warnings.contains("public.order_cache matches public.order_* and is left out"),
        "{warnings}"
    );
    assert_eq!(copied("*.Order??").0, "postgres.public.orderly");
    assert_eq!(copied("order_parts_?").0, "postgres.public.order_parts_1");
    for (pattern, words) in [
        (
            "shop.Order-I*",
            &[
                "no table matches shop.order-i*",
                "there is public.order_items",
            ][..],
        ),
        ("x*", &["no table matches public.x*"]),
        ("\"order_*\"", &["table public.\"order_*\" does not exist"]),
    ] {
        ended(capture(stack, &[pattern])).refused(3, words);
    }
    assert!(publications(stack).is_empty());
    stack.sql("DROP VIEW order_view");
    drop_all(stack, "order_items, orderly, order_cache, order_parts");
}

fn long_slots(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int)");
    for length in [45, 46, 63] {
        let slot = "s".repeat(length);
        let args = ["t", "u", "--slot", &slot, "--until", "now"];
        lines(&ended(capture(stack, &args)));
        stack.sql(&format!(
            "INSERT INTO t VALUES ({length}); INSERT INTO u VALUES ({length})"
        ));
        let id = i64::try_from(length).unwrap();
        assert_eq!(ids(&lines(&ended(capture(stack, &args)))), [id, id]);
    }
    assert_eq!(publications(stack).len(), 6);
    drop_all(stack, "t, u");
}

fn rights(stack: &TestStack) {
    let database = &stack.env["POSTGRES_DB"];
    stack.sql(&format!(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE reader LOGIN REPLICATION PASSWORD 'reads'; \
         GRANT CREATE ON DATABASE {database} TO reader"
    ));
    let as_reader = |args: &[&str]| {
        let mut command = capture(stack, args);
        command.env("POSTGRES_USER", "reader");
        command.env("POSTGRES_PASSWORD", "reads");
        ended(command)
    };
    let owner = &stack.env["POSTGRES_USER"];
    as_reader(&["t"]).refused(
        3,
        &[
            "\"reader\" may not publish public.t",
            &format!("belongs to \"{owner}\""),
            "--publication NAME",
        ],
    );
    stack.sql(&format!(
        "REVOKE CREATE ON DATABASE {database} FROM reader; ALTER TABLE t OWNER TO reader"
    ));
    let refused = as_reader(&["t"]);
    refused.refused(3, &["lacks CREATE on database", "--publication NAME"]);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    assert!(publications(stack).is_empty() && slots(stack).is_empty());
    stack.sql(&format!(
        "ALTER TABLE t OWNER TO {owner}; CREATE PUBLICATION p FOR TABLE t"
    ));
    let copying = as_reader(&["--publication", "p", "--from", "snapshot"]);
    copying.refused(3, &["GRANT SELECT ON public.t"]);
    let args = ["--publication", "p", "--slot", "mine", "--until", "now"];
    assert_eq!(as_reader(&args).code, 0);
    drop_all(stack, "t");
    stack.sql("DROP ROLE reader");
}

fn cleaned_up(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int); CREATE PUBLICATION foreign_one FOR TABLE t");
    stack.sql("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')");
    for slot in ["mine", "theirs"] {
        ended(capture(
            stack,
            &["t", "u", "--slot", slot, "--until", "now"],
        ))
        .refused(0, &[]);
    }
    assert_eq!(publications(stack).len(), 5);
    let cleanup = |args: &[&str]| {
        let mut command = with(stack.external(), &["cleanup"]);
        for name in ["KAFKA_BOOTSTRAP_SERVERS", "CONNECT_URL", "MONGODB_URI"] {
            command.env_remove(name);
        }
        command.args(args);
        ended(command)
    };
    let removed = cleanup(&["--json"]).json();
    let removed = removed["removed"].as_array().unwrap().len();
    assert_eq!(removed, 5, "four publications and a slot");
    assert_eq!(publications(stack), ["foreign_one"]);
    assert_eq!(slots(stack), ["theirs"], "it was there before");
    assert!(cleanup(&[]).out.contains("nothing was left"));
    drop_all(stack, "t, u");
}
