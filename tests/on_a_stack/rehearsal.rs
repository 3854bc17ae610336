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
use super::stack::command::{Ended, assert_complete, ended, small_run, with};
use super::stack::processes::signal;
use super::stack::{TestStack, open_folder, until};
use super::workers::assert_agree;

pub const LONG_TESTS: &[Test] = &[
    (
        "a_rehearsal_on_three_machines_of_which_one_is_cut_off_loses_nothing",
        cut_off,
    ),
    (
        "a_rehearsal_that_is_interrupted_leaves_nothing",
        interrupted,
    ),
    (
        "a_rehearsal_with_four_sees_what_one_process_sees",
        four_workers,
    ),
    (
        "a_rehearsal_with_four_of_which_one_is_cut_off_loses_nothing",
        worker_cut_off,
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

/// The path of another build of the command.
const OTHER_BUILD: &str = "CDC_BENCH_TEST_COMMAND";

fn program(arguments: &str) -> String {
    let built = env!("CARGO_BIN_EXE_cdc-bench").to_owned();
    let command = std::env::var(OTHER_BUILD).unwrap_or(built);
    format!("{command} {arguments} --stack external")
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

/// A run, and workers for it, as command lines: of `name`, whose report goes into a file of that name in `folder`.
fn lines(folder: &Path, name: &str, workers: usize, load: &str) -> Vec<String> {
    let file = folder.join(name);
    let mut run = small_run(Command::new("run"), folder, &["--warmup", "300"]);
    let spread = format!("--workers {workers} --test {name}");
    run.args(load.split(' '));
    if workers > 0 {
        run.args(spread.split(' '));
    }
    let run = run.get_args().map(|arg| arg.to_str().unwrap());
    let run = program(&run.collect::<Vec<_>>().join(" "));
    let coordinator = format!("{run} > {}", file.display());
    let worker = |number| {
        let named = format!("worker --test {name} --name w{number} --results-dir");
        program(&format!("{named} {}", folder.display()))
    };
    (1..=workers).map(worker).chain([coordinator]).collect()
}

/// What the run of this name has reported, once the script is through.
fn reported(script: Command, folder: &Path, name: &str) -> Value {
    let done = ended(script);
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert_eq!(done.code, 0, "{text} {} {}", done.out, done.err);
    serde_json::from_str(&text).unwrap()
}

/// Each a millisecond away from the servers, in turn with one process that is as far away.
fn four_workers(stack: &TestStack) {
    assert!(
        std::env::var_os(OTHER_BUILD).is_some(),
        "a worker has a quarter of the events, its code is the colder, and what is not optimised half a millisecond later for it: \"cargo build --release\", and {OTHER_BUILD}=$PWD/target/release/cdc-bench"
    );
    let load = "--partitions 8 --events 1500 --rate 50";
    let (mut alone, mut spread) = (Vec::new(), Vec::new());
    for pair in 0..4 {
        for (workers, reports) in [(0, &mut alone), (4, &mut spread)] {
            let (results, name) = (open_folder(), format!("pair{pair}"));
            let mut script = script(stack);
            script.args(["--delay", "1"]);
            script.args(lines(results.path(), &name, workers, load));
            let report = reported(script, results.path(), &name);
            assert_complete(&report, 1_500);
            reports.push(report);
        }
    }
    assert_agree(&alone, &spread);
    assert_eq!(left(), "");
    stack.assert_nothing_left("rehearsals with workers");
}

/// The second one, for twenty seconds in the middle of the load.
fn worker_cut_off(stack: &TestStack) {
    let results = open_folder();
    let mut script = script(stack);
    script.args(["--delay", "1", "--cut", "2@25,for=20"]);
    let load = "--partitions 8 --events 7500 --rate 150 --drain-timeout 60";
    script.args(lines(results.path(), "cut", 4, load));
    let report = reported(script, results.path(), "cut");
    let (counts, found) = (&report["counts"], &report["verification"]);
    eprintln!("{counts} {found} {:#}", report["workers"]);
    eprintln!("{:#} {:#}", report["diagnosis"], report["incidents"]);
    assert_eq!(counts["inserted"], 7_500);
    assert_eq!(counts["lost"], 0, "{counts}");
    assert_eq!(found["match_percent"], 100.0, "{found}");
    // The report says what happened, to whom, and for how long.
    let silences: Vec<_> = report["workers"].as_array().unwrap().iter().collect();
    let of = |worker: &Value| -> Vec<i64> {
        let silences = worker["silences"].as_array().unwrap().iter();
        silences.map(|of| of["took"].as_i64().unwrap()).collect()
    };
    for worker in silences {
        match (&worker["name"] == "w2", &of(worker)[..]) {
            (true, [took]) => assert!((18_000_000..30_000_000).contains(took), "{took}"),
            (false, []) => {}
            other => panic!("{other:?} {}", report["workers"]),
        }
    }
    let said = report["diagnosis"]["findings"].to_string();
    assert!(said.contains("worker w2 was not heard of for 2"), "{said}");
    assert_eq!(left(), "");
    stack.assert_nothing_left("a rehearsal one of whose workers was cut off");
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
