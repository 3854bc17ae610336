//! `deploy/rehearsal/namespaces.sh`: processes in network namespaces share the work as machines would, also when one is cut off, and
//! nothing of it is left.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, with};
use super::stack::{TestStack, open_folder, signal, until};

pub const LONG_TESTS: &[Test] = &[
    (
        "a_rehearsal_on_three_machines_of_which_one_is_cut_off_loses_nothing",
        cut_off,
    ),
    (
        "a_rehearsal_that_is_interrupted_leaves_nothing",
        interrupted,
    ),
];

/// What all that the script makes is named after.
const TAG: &str = "cdcb";
const EVENTS: &str = "800";

/// The script, with the servers of the stack.
fn script(stack: &TestStack) -> Command {
    assert!(
        Uid::effective().is_root(),
        "network namespaces are root's to make"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rehearsal/namespaces.sh");
    let mut command = Command::new(path);
    command
        .arg("--env")
        .arg(stack.state().join("kept/stack.env"));
    command
}

fn program(arguments: &str) -> String {
    format!(
        "{} {arguments} --stack external",
        env!("CARGO_BIN_EXE_cdc-bench")
    )
}

/// Namespaces, interfaces and relays.
fn left() -> String {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let made = said("ip", &["netns", "list"]) + &said("ip", &["-brief", "link"]);
    let mut lines: Vec<_> = made.lines().filter(|line| line.starts_with(TAG)).collect();
    let processes = said("ps", &["-eo", "args"]);
    lines.extend(processes.lines().filter(|line| line.contains("relay.py")));
    lines.join("\n")
}

fn cut_off(stack: &TestStack) {
    let results = open_folder();
    let consume = |name: &str| {
        let file = results.path().join(name);
        let dead = format!("--dead-letters {}.dead", file.display());
        let arguments = format!("consume --json --idle-timeout 20 {dead}");
        format!("{} > {}", program(&arguments), file.display())
    };
    ended(with(
        stack.kept(),
        &["setup", "--partitions", "4", "--json"],
    ))
    .json();
    let mut command = script(stack);
    command
        .args(["--delay", "1", "--cut", "3@8,for=12"])
        .arg(program(&format!("generate --events {EVENTS} --rate 40")))
        .args([consume("one"), consume("other")]);
    let done = ended(command);
    assert_eq!(done.code, 0, "{} {}", done.out, done.err);
    for said in ["[1] 198.1", "[3] 198.1", "[3] cut off", "[3] reached again"] {
        assert!(done.out.contains(said), "{said}: {}", done.out);
    }
    let consumed = ["one", "other"].map(|name| {
        let text = std::fs::read_to_string(results.path().join(name)).unwrap();
        let result: Value = serde_json::from_str(&text).unwrap();
        result["consumed"].as_u64().unwrap()
    });
    // Both had partitions; what the one had received and not committed came to the other, too.
    assert!(consumed.iter().all(|count| *count > 0), "{consumed:?}");
    assert!(
        consumed.iter().sum::<u64>() >= EVENTS.parse().unwrap(),
        "{consumed:?}"
    );
    let verified = ended(with(stack.kept(), &["verify", "--json"])).json();
    assert_eq!(verified["store_count"], 800, "{verified}");
    assert_eq!(verified["match_percent"], 100.0, "{verified}");
    assert_eq!(left(), "");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn interrupted(stack: &TestStack) {
    ended(with(stack.kept(), &["setup", "--json"])).json();
    let mut command = script(stack);
    command
        .args([program("consume"), program("consume")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // As a terminal does: Ctrl-C goes to the whole group.
        .process_group(0);
    let child = command.spawn().unwrap();
    until("both namespaces", || {
        left().contains("-2") && left().matches("relay.py").count() >= 3
    });
    // Long enough for both to be in their group.
    std::thread::sleep(Duration::from_secs(3));
    let began = Instant::now();
    signal(-i32::try_from(child.id()).unwrap(), Signal::SIGINT);
    let done = Ended::from(child.wait_with_output().unwrap());
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(done.code, 130, "{} {}", done.out, done.err);
    assert!(!done.err.contains("Traceback"), "{}", done.err);
    assert_eq!(left(), "");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}
