//! No secret is in what a command writes when no server answers, or a setting is wrong. With servers: `secrets` of
//! `tests/on_a_stack`.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod planted;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use planted::{Planted, found, found_in_files};

/// A password with characters that have to be encoded.
const SECRET: &str = "tiger/7#x@y";

/// Every command, with what it cannot do without.
const COMMANDS: [&[&str]; 21] = [
    &["run", "--events", "5"],
    &["run", "--events", "5", "--json"],
    &["sweep", "--rates", "5"],
    &["tune"],
    &["demo", "--acts", "warm-up"],
    &["setup"],
    &["generate", "--events", "5"],
    &["consume", "--idle-timeout", "1"],
    &["verify"],
    &["cleanup"],
    &["capture", "--table", "a.b"],
    &["doctor"],
    &["doctor", "--json"],
    &["monitor"],
    &["observe", "--plan"],
    &["report"],
    &["compare", "a", "b"],
    &["stack", "status"],
    &["stack", "logs"],
    &["stack", "down"],
    &["run", "--help"],
];

/// Variables that find servers where nobody listens, each with its secret.
fn plant(command: &mut Command, folder: &Path, secret: &Planted) {
    let encoded = secret.encoded();
    let connect = format!("http://bench:{encoded}@127.0.0.1:9/connect");
    let store = format!("mongodb://bench:{encoded}@127.0.0.1:9/?serverSelectionTimeoutMS=300");
    let file = folder.join("kafka");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("CDC_BENCH_CACHE_DIR", folder.join("cache"))
        .env("LOG_LEVEL", "trace")
        .env("RUST_BACKTRACE", "full")
        .envs([("POSTGRES_HOST", "127.0.0.1"), ("POSTGRES_PORT", "9")])
        .env("POSTGRES_PASSWORD", SECRET)
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
        .env("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
        .env("KAFKA_SASL_USERNAME", "bench")
        .env("KAFKA_SASL_PASSWORD_FILE", file)
        .env("CONNECT_URL", connect)
        .env("MONGODB_URI", store);
}

/// Everything that the command has written.
fn leaks(output: &Output, folder: &Path, secret: &Planted) -> Vec<String> {
    let planted = std::slice::from_ref(secret);
    let mut all = found(&output.stdout, planted);
    all.extend(found(&output.stderr, planted));
    // What the test has put there itself.
    let ours = |path: &Path| path.ends_with("kafka") || path.ends_with(".env");
    all.extend(found_in_files(folder, planted, &ours));
    all
}

/// Runs a command with these changes, and what it leaks.
fn leaked(args: &[&str], change: &dyn Fn(&mut Command, &Path)) -> (Output, Vec<String>) {
    let secret = Planted::new("the password", SECRET);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-bench"));
    plant(&mut command, folder.path(), &secret);
    change(&mut command, folder.path());
    let output = command.args(args).output().unwrap();
    let leaks = leaks(&output, folder.path(), &secret);
    (output, leaks)
}

#[test]
fn no_secret_is_written_when_nobody_answers() {
    std::thread::scope(|scope| {
        for args in COMMANDS {
            scope.spawn(move || {
                let (output, leaks) = leaked(args, &|_, _| {});
                assert_eq!(leaks, Vec::<String>::new(), "{args:?}");
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(!text.contains("panicked"), "{args:?}: {text}");
            });
        }
    });
}

/// Name, value, and words of the error.
type Mistake = (&'static [(&'static str, &'static str)], &'static str);

#[test]
fn no_secret_is_written_when_a_setting_is_wrong() {
    let mistakes: [Mistake; 12] = [
        (
            &[("MONGODB_URI", "mongodb://bench:tiger/7#x@y@127.0.0.1:9/")],
            "percent-encoded",
        ),
        (&[("MONGODB_URI", "tiger/7#x@y")], "MONGODB_URI"),
        (&[("MONGODB_PASSWORD", SECRET)], "MONGODB_PASSWORD"),
        (
            &[("CONNECT_URL", "http://bench:tiger/7#x@y@127.0.0.1:9/")],
            "percent-encoded",
        ),
        (
            &[("CONNECT_URL", "http://127.0.0.1:9/?key=tiger%2F7%23x%40y@")],
            "CONNECT_URL",
        ),
        (&[("CONNECT_PASSWORD", SECRET)], "CONNECT_PASSWORD"),
        (&[("CONNECT_USERNAME", "bench")], "CONNECT_USERNAME"),
        (&[("CONNECT_SSL_CA", "/nowhere.pem")], "CONNECT_SSL_CA"),
        (
            &[("KAFKA_SASL_PASSWORD", SECRET)],
            "KAFKA_SASL_PASSWORD_FILE are both set",
        ),
        (&[("KAFKA_SASL_PASSWORD_FILE", "/nowhere")], "/nowhere"),
        (&[("KAFKA_SASL_PASSWORD_FILE", "/dev/null")], "empty"),
        (&[("KAFKA_SASL_MECHANISM", "ROT13")], "ROT13"),
    ];
    let refused = |(settings, words): Mistake| {
        let (output, leaks) = leaked(&["doctor"], &|command, _| {
            command.envs(settings.iter().copied());
        });
        assert_eq!(leaks, Vec::<String>::new(), "{settings:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(words), "{words:?} is not in: {text}");
        assert_ne!(output.status.code(), Some(0), "{text}");
    };
    // Several wait for a broker.
    std::thread::scope(|scope| {
        for mistake in mistakes {
            scope.spawn(move || refused(mistake));
        }
    });
}

#[test]
fn a_password_in_an_argument_is_refused_without_being_repeated() {
    let secret = Planted::new("the password", SECRET);
    for url in [
        format!("http://bench:{}@127.0.0.1:9", secret.encoded()),
        format!("http://bench:{SECRET}@127.0.0.1:9"),
    ] {
        let (output, leaks) = leaked(&["doctor", "--connect-url", &url], &|_, _| {});
        assert_eq!(leaks, Vec::<String>::new());
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("CONNECT_PASSWORD"), "{text}");
    }
}

#[test]
fn secrets_in_a_file_of_settings_are_not_repeated() {
    for (text, words) in [
        ("POSTGRES_PASSWORD='tiger/7#x@y'\n", "PostgreSQL"),
        ("POSTGRES_PASSWORD='tiger/7#x@y\n", "malformed"),
    ] {
        let (output, leaks) = leaked(&["doctor"], &|command, folder| {
            std::fs::write(folder.join(".env"), text).unwrap();
            command.env_remove("POSTGRES_PASSWORD");
        });
        assert_eq!(leaks, Vec::<String>::new());
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(words), "{text}");
    }
}

/// What a terminal shows, until it holds these words or its program has ended.
fn read_screen(terminal: &mut File, screen: &mut String, words: &str) {
    let mut part = [0; 1_024];
    while !screen.contains(words) {
        match terminal.read(&mut part) {
            Ok(count) if count > 0 => screen.push_str(&String::from_utf8_lossy(&part[..count])),
            // A terminal without a program cannot be read.
            _ => return,
        }
    }
}

#[test]
fn a_password_that_lacks_is_asked_for_and_not_shown() {
    let secret = Planted::new("the password", SECRET);
    let folder = tempfile::tempdir().unwrap();
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-bench"));
    plant(&mut command, folder.path(), &secret);
    command
        .env("CONNECT_URL", "http://bench@127.0.0.1:9")
        .arg("doctor")
        .stdin(pty.slave.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(pty.slave);
    let child = command.spawn().unwrap();
    // With the terminal's end that is the program's.
    drop(command);
    let mut terminal = File::from(pty.master);
    let mut screen = String::new();
    read_screen(
        &mut terminal,
        &mut screen,
        "\"bench\" for Kafka Connect at http://127.0.0.1:9: ",
    );
    terminal
        .write_all(format!("{SECRET}\r").as_bytes())
        .unwrap();
    read_screen(&mut terminal, &mut screen, "\0");
    let mut output = child.wait_with_output().unwrap();
    output.stderr = screen.into_bytes();
    assert_eq!(leaks(&output, folder.path(), &secret), Vec::<String>::new());
    let found = String::from_utf8_lossy(&output.stdout);
    // It was taken, and the server was tried.
    assert!(
        found.contains("Kafka Connect") && found.contains("127.0.0.1:9"),
        "{found}"
    );
}

#[test]
fn a_secret_that_is_written_is_found() {
    // An argument is repeated by the error about it.
    let (_, leaks) = leaked(&["run", "--events", SECRET], &|_, _| {});
    assert!(!leaks.is_empty());
    let (_, leaks) = leaked(&["doctor"], &|_, folder| {
        std::fs::create_dir_all(folder.join("results/run")).unwrap();
        std::fs::write(folder.join("results/run/run.log"), SECRET).unwrap();
    });
    assert_eq!(leaks.len(), 1, "{leaks:?}");
}
