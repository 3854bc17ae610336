//! A secret of each kind is planted, every command is run through success and through failures at the most detailed log level, and
//! every byte that was written and every list of arguments is searched.

#[path = "../secrets/planted.rs"]
mod planted;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use self::planted::{Planted, found, found_in_files};
use super::Test;
use super::stack::command::{Ended, cdc_bench, cdc_bench_with_servers, ended, small_run, with};
use super::stack::{TestStack, open_folder};

pub const LONG_TESTS: &[Test] = &[(
    "secrets_are_in_nothing_that_is_written_and_in_no_list_of_arguments",
    secrets,
)];

const CONNECTOR: &str = "planted-with-the-connector";
const CONVERTER: &str = "planted:with-the-converter";
const SASL: &str = "planted-for-sasl/1";
const KEY: &str = "planted-for-the-key/2";
const OAUTH: &str = "planted-for-oauth/3";
const CONNECT: &str = "planted-for-connect/4";
const STORE: &str = "planted-for-the-store/5";
const POSTGRES: &str = "planted-for-postgres/6";

/// How often the lists of arguments are read.
const SAMPLE: Duration = Duration::from_millis(10);

/// Secrets in arguments of processes.
struct ArgumentLists {
    ends: Arc<AtomicBool>,
    watch: JoinHandle<BTreeSet<String>>,
}

impl ArgumentLists {
    fn watch(planted: Vec<Planted>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let watch = std::thread::spawn(move || {
            let mut leaks = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let list = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    leaks.extend(found(&list, &planted));
                }
                std::thread::sleep(SAMPLE);
            }
            leaks
        });
        Self { ends, watch }
    }

    fn leaks(self) -> BTreeSet<String> {
        self.ends.store(true, Ordering::Relaxed);
        self.watch.join().unwrap()
    }
}

/// Runs commands and keeps what of the secrets they write.
struct Search<'s> {
    stack: &'s TestStack,
    planted: Vec<Planted>,
    leaks: Vec<String>,
}

impl Search<'_> {
    fn look(&mut self, what: &str, bytes: &[u8]) {
        let found = found(bytes, &self.planted);
        let found = found.into_iter().map(|leak| format!("{what}: {leak}"));
        self.leaks.extend(found);
    }

    /// Runs a command with these settings at the most detailed level.
    fn run(&mut self, mut command: Command, settings: &[(&str, &str)], args: &[&str]) -> Ended {
        command
            .args(args)
            .env("LOG_LEVEL", "trace")
            .env("RUST_BACKTRACE", "full")
            .envs(settings.iter().copied());
        let what = format!(
            "{args:?} with {:?}",
            settings.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
        let end = ended(command);
        self.look(&what, end.out.as_bytes());
        self.look(&what, end.err.as_bytes());
        end
    }

    #[track_caller]
    fn passes(&mut self, settings: &[(&str, &str)], args: &[&str]) {
        let end = self.run(self.stack.external(), settings, args);
        assert!(end.code <= 1, "{args:?}: {}", end.err);
    }

    #[track_caller]
    fn fails(&mut self, settings: &[(&str, &str)], args: &[&str]) {
        let end = self.run(self.stack.external(), settings, args);
        assert!(end.code > 1, "{args:?} with {settings:?}: {}", end.out);
    }
}

/// Files below a folder that hold secrets by intent: only their owner can read them, or enter their folder.
fn is_private(path: &Path, below: &Path) -> bool {
    let is_closed = |path: &Path| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
    };
    path.ancestors()
        .take_while(|path| *path != below)
        .any(is_closed)
}

fn secrets(stack: &TestStack) {
    let uri = stack.env["MONGODB_URI"].clone();
    let store_password = uri.split([':', '@']).nth(2).unwrap();
    let of_stack = [
        Planted::new("PostgreSQL's password", &stack.env["POSTGRES_PASSWORD"]),
        Planted::new("the store's password", store_password),
    ];
    let ours = [
        ("Kafka's password", SASL),
        ("the passphrase of Kafka's key", KEY),
        ("the OAuth client's secret", OAUTH),
        ("Connect's password", CONNECT),
        ("the store's wrong password", STORE),
        ("PostgreSQL's wrong password", POSTGRES),
    ];
    let ours = ours.map(|(name, secret)| Planted::new(name, secret));
    let of_connector = [
        Planted::new("a connector's password", CONNECTOR),
        Planted::new("a converter's password", CONVERTER),
    ];
    let planted = [&of_stack[..], &ours[..], &of_connector[..]].concat();
    let lists = ArgumentLists::watch(planted.clone());
    let mut search = Search {
        stack,
        planted,
        leaks: Vec::new(),
    };
    let results = open_folder();
    succeed(&mut search, results.path());
    fail(&mut search, results.path());
    of_a_pipe(&mut search);
    for command in [cdc_bench(), stack.kept()] {
        search.run(command, &[], &["stack", "status", "--json"]);
    }
    search.run(stack.kept(), &[], &["stack", "logs"]);
    up_and_down(&mut search);
    let state = found_in_files(stack.state(), &search.planted, &|path| {
        is_private(path, stack.state())
    });
    let written = found_in_files(results.path(), &search.planted, &|_| false);
    assert_eq!(
        (search.leaks, state, written, lists.leaks()),
        Default::default()
    );
    can_fail(stack);
}

/// A stack from its start to its end: the passwords that it makes up stand in files of its owner alone.
fn up_and_down(search: &mut Search<'_>) {
    let state = open_folder();
    let command = |args: &[&str]| {
        let mut command = with(cdc_bench_with_servers(), args);
        command.env("CDC_BENCH_STATE_DIR", state.path());
        command
    };
    let up = search.run(command(&[]), &[], &["stack", "up"]);
    assert_eq!(up.code, 0, "{}", up.err);
    let values = std::fs::read_to_string(state.path().join("kept/stack.env")).unwrap();
    let passwords = values.lines().filter_map(|line| {
        let value = line.split_once("POSTGRES_PASSWORD=")?.1;
        let value = value.trim_matches(['"', '\'']);
        Some(Planted::new("a password of the stack", value))
    });
    search.planted.extend(passwords);
    assert!(search.planted.len() > 10, "{values}");
    search.look("stack up", (up.out + &up.err).as_bytes());
    search.run(command(&[]), &[], &["stack", "status"]);
    let kept = state.path().to_owned();
    let files = found_in_files(&kept, &search.planted, &|path| is_private(path, &kept));
    search.leaks.extend(files);
    let down = search.run(command(&[]), &[], &["stack", "down"]);
    assert_eq!(down.code, 0, "{}", down.err);
}

fn succeed(search: &mut Search<'_>, results: &Path) {
    let results = results.to_str().unwrap();
    let settings = format!(
        "some.other.password={CONNECTOR}\nvalue.converter.basic.auth.user.info={CONVERTER}\n"
    );
    let file = secret_file(&settings);
    let connector = ["--connector-config-file", file.path().to_str().unwrap()];
    search.passes(&[], &["doctor"]);
    let run = small_run(
        search.stack.external(),
        Path::new(results),
        &["--events", "60"],
    );
    let stack = search.stack;
    let monitor = || {
        with(
            stack.external(),
            &["monitor", "--json", "--results-dir", results],
        )
    };
    let args = [&["--capture", "both"][..], &connector].concat();
    let (end, watched) = std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let look = || ended(monitor());
            // Until there is a run under way.
            (0..600).map(|_| look()).find(|end| end.code == 0)
        });
        (search.run(run, &[], &args), watched.join().unwrap())
    });
    assert!(end.code <= 1, "{}", end.err);
    let watched = watched.expect("a run that was looked on at");
    search.look("monitor", watched.out.as_bytes());
    search.look("monitor", watched.err.as_bytes());
    for format in ["text", "json", "html", "markdown", "junit", "csv"] {
        search.passes(
            &[],
            &["report", "--format", format, "--results-dir", results],
        );
    }
    search.passes(
        &[],
        &["compare", "latest", "latest", "--results-dir", results],
    );
    search.passes(&[], &[&["setup"][..], &connector].concat());
    search.passes(&[], &["generate", "--events", "20"]);
    search.passes(&[], &["consume", "--idle-timeout", "2"]);
    search.passes(&[], &["verify"]);
    search.passes(&[], &["cleanup"]);
    let sweep = [
        "sweep",
        "--rates",
        "60",
        "--events",
        "60",
        "--warmup",
        "20",
        "--results-dir",
        results,
    ];
    search.passes(&[], &sweep);
    let tune = "tune --candidates 2 --keep 2 --events 60 --rounds 2 --rate 100 --warmup 20";
    let tune = tune.split(' ').chain(["--results-dir", results]);
    search.passes(&[], &tune.collect::<Vec<_>>());
    search.passes(
        &[],
        &["demo", "--acts", "warm-up", "--speed", "10x", "--json"],
    );
}

fn fail(search: &mut Search<'_>, results: &Path) {
    let results = results.to_str().unwrap();
    let connect = format!(
        "http://bench:{}@127.0.0.1:9/",
        Planted::new("", CONNECT).encoded()
    );
    let store = search.stack.env["MONGODB_URI"].clone();
    let (head, tail) = store.split_once("://").unwrap();
    let host = tail.split_once('@').unwrap().1;
    let store = format!(
        "{head}://bench:{}@{host}",
        Planted::new("", STORE).encoded()
    );
    let unreachable =
        "mongodb://bench:planted-for-the-store%2F5@127.0.0.1:9/?serverSelectionTimeoutMS=500";
    let sasl = [
        ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("KAFKA_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_SASL_USERNAME", "bench"),
        ("KAFKA_SASL_PASSWORD", SASL),
    ];
    let key = [
        ("KAFKA_SSL_CERTIFICATE", "/nowhere"),
        ("KAFKA_SSL_KEY", "/nowhere"),
        ("KAFKA_SSL_KEY_PASSWORD", KEY),
    ];
    let oauth = [
        ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("KAFKA_OAUTH_TOKEN_URL", "http://127.0.0.1:9/token"),
        ("KAFKA_OAUTH_CLIENT_ID", "bench"),
        ("KAFKA_OAUTH_CLIENT_SECRET", OAUTH),
    ];
    let user = [
        ("CONNECT_USERNAME", "bench"),
        ("CONNECT_PASSWORD", CONNECT),
        ("CONNECT_URL", "http://127.0.0.1:9"),
    ];
    let wrong: [&[(&str, &str)]; 8] = [
        &[("POSTGRES_PASSWORD", POSTGRES)],
        &sasl,
        &key,
        &oauth,
        &[("CONNECT_URL", &connect)],
        &user,
        &[("MONGODB_URI", &store)],
        &[("MONGODB_URI", unreachable)],
    ];
    let run = ["run", "--events", "5", "--results-dir", results];
    for settings in wrong {
        search.fails(settings, &["doctor"]);
        search.fails(settings, &run);
    }
    // Each command uses the server that its setting is wrong for.
    let postgres: &[(&str, &str)] = &[("POSTGRES_PASSWORD", POSTGRES)];
    search.fails(postgres, &["generate", "--events", "5"]);
    search.fails(postgres, &["cleanup"]);
    search.fails(postgres, &["capture", "--table", "activity.event_outbox"]);
    search.fails(&[("MONGODB_URI", &store)], &["verify"]);
    search.fails(
        &[("MONGODB_URI", &store)],
        &["consume", "--idle-timeout", "1"],
    );
    search.fails(&[("CONNECT_URL", &connect)], &["setup"]);
    search.fails(&sasl, &["observe", "--plan"]);
    search.fails(&sasl, &["tune", "--results-dir", results]);
    search.fails(&sasl, &["sweep", "--rates", "5", "--results-dir", results]);
    search.fails(&[("CONNECT_URL", &connect)], &["demo", "--acts", "warm-up"]);
    // A connector that Connect refuses, and one that PostgreSQL does.
    for setting in ["tasks.max=x", "database.user=postgres"] {
        let refused = secret_file(&format!("database.password={CONNECTOR}\n{setting}\n"));
        let file = refused.path().to_str().unwrap();
        search.fails(
            &[],
            &[&run[..], &["--connector-config-file", file]].concat(),
        );
    }
}

/// A pipe has its secret once.
fn of_a_pipe(search: &mut Search<'_>) {
    let folder = open_folder();
    let pipe = folder.path().join("secret");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let pipe = pipe.to_str().unwrap();
    let settings = [
        ("CONNECT_URL", "http://127.0.0.1:9"),
        ("CONNECT_USERNAME", "bench"),
        ("CONNECT_PASSWORD_FILE", pipe),
    ];
    let writer = pipe.to_owned();
    std::thread::spawn(move || std::fs::write(writer, CONNECT));
    let end = search.run(search.stack.external(), &settings, &["setup"]);
    assert_eq!(end.code, 3, "{}", end.err);
    assert!(
        end.err.contains("cannot reach Kafka Connect"),
        "{}",
        end.err
    );
}

fn secret_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// A secret that is written, and one in a list of arguments, are found.
fn can_fail(stack: &TestStack) {
    let secret = vec![Planted::new("a secret", SASL)];
    let folder = open_folder();
    std::fs::write(folder.path().join("run.log"), SASL).unwrap();
    let is_private = |path: &Path| is_private(path, folder.path());
    assert_eq!(found_in_files(folder.path(), &secret, &is_private).len(), 1);
    let lists = ArgumentLists::watch(secret);
    let command = with(stack.external(), &["doctor", "--kafka-sasl-username", SASL]);
    drop(ended(command));
    assert!(!lists.leaks().is_empty());
}
