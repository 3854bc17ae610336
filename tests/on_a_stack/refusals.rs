//! Refusals: a clear message, the right exit code, and no process or resource is left.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::bson::doc;

use super::Test;
use super::commands::shared_cache;
use super::stack::command::{cdc_bench, ended, small_run, with};
use super::stack::processes::running;
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    (
        "a_wrong_password_is_refused_and_not_repeated",
        wrong_password,
    ),
    ("a_closed_port_is_named", nobody_there),
    (
        "wal_level_replica_is_refused_with_the_way_out",
        wal_level_replica,
    ),
    (
        "no_free_slot_is_refused_before_anything_is_made",
        no_free_slot,
    ),
    ("a_role_without_replication_is_refused", no_replication),
    (
        "a_topic_that_may_not_be_created_is_refused",
        forbidden_topic,
    ),
    ("a_store_that_is_read_only_is_refused", read_only_store),
    (
        "no_java_and_no_maven_are_named_with_what_to_type",
        nothing_installed,
    ),
    ("a_corrupted_jar_is_named_or_fetched_again", corrupted_jar),
    (
        "a_results_folder_that_is_read_only_is_refused_at_once",
        read_only_results,
    ),
    ("a_results_folder_that_is_full_ends_the_run", full_results),
];

fn refused_run(stack: &TestStack, name: &str, value: &str, code: i32, says: &[&str]) {
    let results = open_folder();
    let mut command = stack.external();
    command.env(name, value);
    let end = ended(small_run(command, results.path(), &["--events", "50"]));
    end.refused(code, says);
    assert!(
        !end.err.contains(&stack.env["POSTGRES_PASSWORD"]),
        "{}",
        end.err
    );
    assert!(end.out.is_empty(), "{}", end.out);
    stack.assert_nothing_left("a refused run");
}

fn wrong_password(stack: &TestStack) {
    refused_run(
        stack,
        "POSTGRES_PASSWORD",
        "wrong-one",
        3,
        &["postgres@127.0.0.1", "POSTGRES_PASSWORD"],
    );
    let uri = stack.env["MONGODB_URI"].replace("cdc_bench:", "cdc_bench:wrong");
    refused_run(stack, "MONGODB_URI", &uri, 3, &["MONGODB_URI"]);
    for command in [
        &["generate", "--events", "5"][..],
        &["verify"],
        &["setup"],
        &["cleanup"],
    ] {
        let mut command = with(stack.external(), command);
        command.env("POSTGRES_PASSWORD", "wrong-one");
        let end = ended(command);
        end.refused(3, &["password"]);
        assert!(!end.err.contains("wrong-one"), "{}", end.err);
    }
}

fn nobody_there(stack: &TestStack) {
    refused_run(
        stack,
        "POSTGRES_PORT",
        "9",
        3,
        &["PostgreSQL", "127.0.0.1:9"],
    );
    refused_run(
        stack,
        "KAFKA_BOOTSTRAP_SERVERS",
        "127.0.0.1:9",
        3,
        &["Kafka", "127.0.0.1:9"],
    );
    refused_run(
        stack,
        "CONNECT_URL",
        "http://127.0.0.1:9",
        3,
        &["Connect", "127.0.0.1:9"],
    );
    let uri = "mongodb://127.0.0.1:9/?directConnection=true";
    refused_run(stack, "MONGODB_URI", uri, 3, &["127.0.0.1:9"]);
}

fn wal_level_replica(_: &TestStack) {
    let replica = TestStack::with_quick_jvms(&["--postgres-config", "wal_level=replica"]);
    let results = open_folder();
    let end = ended(small_run(
        replica.kept(),
        results.path(),
        &["--events", "50"],
    ));
    end.refused(3, &["wal_level = replica", "ALTER SYSTEM SET wal_level"]);
    replica.assert_nothing_left("a refused run");
    ended(with(replica.kept(), &["setup"])).refused(3, &["wal_level = replica"]);
}

fn no_free_slot(stack: &TestStack) {
    let max: usize = stack.sql("SHOW max_replication_slots")[0].parse().unwrap();
    let make = "SELECT pg_create_logical_replication_slot('users_own_' || n, 'pgoutput') FROM generate_series(2, ";
    stack.sql(&format!("{make}{max}) n"));
    let results = open_folder();
    let end = ended(small_run(
        stack.external(),
        results.path(),
        &["--events", "50"],
    ));
    stack.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    end.refused(
        3,
        &["1 of 20 replication slots free", "max_replication_slots"],
    );
    stack.assert_nothing_left("a refused run");
}

fn no_replication(stack: &TestStack) {
    // Without tables of ours the right to replicate is the first that lacks.
    ended(with(stack.kept(), &["cleanup"])).refused(0, &[]);
    stack.sql(
        "CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT ALL ON DATABASE activity_db TO plain",
    );
    let results = open_folder();
    let mut command = stack.external();
    command
        .env("POSTGRES_USER", "plain")
        .env("POSTGRES_PASSWORD", "plain");
    let end = ended(small_run(command, results.path(), &["--events", "50"]));
    stack.sql("DROP OWNED BY plain CASCADE; DROP ROLE plain");
    end.refused(3, &["\"plain\" may not replicate", "ALTER ROLE"]);
}

fn forbidden_topic(stack: &TestStack) {
    // The broker refuses the name.
    let name = "not allowed!.activity.event_outbox";
    refused_run(
        stack,
        "KAFKA_TOPIC",
        name,
        3,
        &["cannot create topic", name],
    );
    let mut command = with(stack.external(), &["setup"]);
    command.env("KAFKA_TOPIC", name);
    ended(command).refused(3, &["cannot create topic"]);
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn read_only_store(stack: &TestStack) {
    let admin = stack.store();
    let database = stack.env["MONGODB_DATABASE"].clone();
    let create = doc! { "createUser": "reader", "pwd": "reader-password",
    "roles": [{ "role": "read", "db": &database }] };
    stack.block_on(admin.run_command(create)).unwrap();
    let (_, host) = stack.env["MONGODB_URI"].split_once('@').unwrap();
    let host = host.split('/').next().unwrap();
    let uri = format!(
        "mongodb://reader:reader-password@{host}/?directConnection=true&authSource={database}"
    );
    refused_run(stack, "MONGODB_URI", &uri, 3, &["write"]);
    stack
        .block_on(admin.run_command(doc! { "dropUser": "reader" }))
        .unwrap();
}

/// A PATH with these programs only.
fn path_with(programs: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = open_folder();
    for program in programs {
        let output = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        symlink(found.trim(), folder.path().join(program)).unwrap();
    }
    let path = folder.path().to_owned();
    (folder, path)
}

/// A run that has to start servers of its own.
fn own_stack(cache: &Path, state: &Path, path: &Path) -> Command {
    let mut command = cdc_bench();
    command
        .env("CDC_BENCH_CACHE_DIR", cache)
        .env("CDC_BENCH_STATE_DIR", state)
        .env("PATH", path);
    command
}

fn nothing_installed(_: &TestStack) {
    let (cache, state, results) = (open_folder(), open_folder(), open_folder());
    for (programs, missing) in [
        (&[][..], "Java 17 or later"),
        (&["java", "python3"], "Maven (mvn)"),
    ] {
        let (_folder, path) = path_with(programs);
        let command = own_stack(cache.path(), state.path(), &path);
        let end = ended(small_run(command, results.path(), &["--events", "5"]));
        end.refused(3, &[missing, "apt-get install"]);
        assert_eq!(running(&cache.path().display().to_string()), [""; 0]);
    }
}

fn corrupted_jar(stack: &TestStack) {
    let (cache, state, results) = (open_folder(), open_folder(), open_folder());
    let shared = shared_cache(stack);
    let copied = Command::new("cp")
        .arg("-r")
        .arg(format!("{shared}/."))
        .arg(cache.path())
        .status();
    assert!(copied.unwrap().success());
    drop(std::fs::remove_dir_all(cache.path().join("stacks")));
    let jars = cache.path().join("artifacts/plugins/debezium");
    let jar = std::fs::read_dir(&jars)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let name = jar.file_name().unwrap().to_str().unwrap().to_owned();
    let good = std::fs::read(&jar).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&jar, &bad).unwrap();

    // Without Maven it cannot be replaced, and nothing is started with it.
    let (_folder, path) = path_with(&["java", "python3"]);
    let command = own_stack(cache.path(), state.path(), &path);
    let end = ended(small_run(command, results.path(), &["--events", "5"]));
    end.refused(3, &[&name, "does not match its SHA-256", "Maven (mvn)"]);

    // With Maven it is downloaded again.
    let usual = PathBuf::from(std::env::var_os("PATH").unwrap());
    let mut command = own_stack(cache.path(), state.path(), &usual);
    command.args(["stack", "fetch"]);
    let end = ended(command);
    assert_eq!(end.code, 0, "{}", end.err);
    assert!(
        std::fs::read(&jar).unwrap() == good,
        "{name} was not mended"
    );
}

/// Runs a command with `folder` as a file system of its own, which only the command sees.
fn on_mount(folder: &Path, options: &str, command: &Command) -> Command {
    let mut shell = Command::new("unshare");
    if nix::unistd::geteuid().is_root() {
        shell.arg("-m");
    } else {
        shell.args(["-r", "-m"]);
    }
    let script = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
    shell.args(["sh", "-c", script, "sh", options]).arg(folder);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn read_only_results(stack: &TestStack) {
    let results = open_folder();
    let command = small_run(stack.external(), results.path(), &["--events", "50"]);
    let end = ended(on_mount(results.path(), "ro", &command));
    end.refused(2, &["cannot create the results folder", "--results-dir"]);
    let file = small_run(
        stack.external(),
        Path::new("/dev/null"),
        &["--events", "50"],
    );
    ended(file).refused(2, &["cannot create the results folder /dev/null/"]);
    stack.assert_nothing_left("a refused run");
}

fn full_results(stack: &TestStack) {
    let results = open_folder();
    for (size, room, says) in [
        ("size=256k", "0", ["cannot write", "No space left"]),
        // It ends before that.
        ("size=3m", "1", ["MiB left", "--min-free-disk"]),
    ] {
        let args = [
            "--events",
            "5000",
            "--rate",
            "1000",
            "--min-free-disk",
            room,
        ];
        let command = small_run(stack.external(), results.path(), &args);
        let end = ended(on_mount(results.path(), size, &command));
        end.refused(2, &says);
        end.refused(2, &["--results-dir"]);
    }
    stack.assert_nothing_left("a run that could not keep its result");
}
