//! A run that is watched: on a pseudo-terminal, by `monitor`, and in a demonstration.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench::dashboard::{Screen, ScreenControls};
use cdc_bench::live::{Figures, RunState};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::Value;

use super::Test;
use super::stack::command::{ended, result_folder, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "a_dashboard_gives_its_terminal_back_and_monitor_follows_until_the_end",
        dashboard_and_monitor,
    ),
    (
        "a_demonstration_prints_its_events_and_summarises_its_acts",
        demo,
    ),
    (
        "a_demonstration_waits_for_its_speaker_and_can_be_left_at_any_wait",
        demo_with_a_speaker,
    ),
    (
        "a_key_ends_the_warm_up_and_the_report_says_so_once",
        warm_up_ended_by_a_key,
    ),
    (
        "a_run_whose_terminal_goes_away_cleans_up_and_ends",
        terminal_goes_away,
    ),
    (
        "a_dashboard_that_panics_restores_the_terminal",
        dashboard_panics,
    ),
];

pub const LONG_TESTS: &[Test] = &[(
    "a_demonstration_with_a_fault_loses_nothing_and_reports_it",
    demo_with_faults,
)];

/// Variable that is set for a process that is to open a dashboard and panic.
const PANICS: &str = "CDC_BENCH_TEST_DASHBOARD_PANICS";

/// Opens a dashboard that panics after a few frames, if this process was started for that.
pub fn panic_if_asked() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    let board = RunState::new("r", "local", Figures::default());
    let mut pictures = 0;
    let latest = move || {
        pictures += 1;
        assert!(pictures < 4, "a picture that cannot be drawn");
        Some(board.snapshot())
    };
    let controls = ScreenControls {
        control: None,
        quit: Box::new(|| {}),
    };
    let screen = Screen::open(latest, controls).unwrap();
    until("the dashboard to end", || !screen.is_drawing());
    // Without unwinding: the terminal was restored by the panic hook.
    std::process::exit(0);
}

fn dashboard_panics(_: &TestStack) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PANICS, "1");
    let (mut dashboard, mut terminal, slave) = on_a_terminal(command);
    until("the dashboard to panic", || {
        dashboard.try_wait().unwrap().is_some()
    });
    let flags = tcgetattr(&slave).unwrap().local_flags;
    assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
    drop(slave);
    let mut shown = Vec::new();
    // Reading a terminal whose other end is closed is an error.
    let _ = terminal.read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    let at = |text: &str| {
        shown
            .rfind(text)
            .unwrap_or_else(|| panic!("{text:?} is not in {shown}"))
    };
    assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"), "it was left");
    assert!(at("\u{1b}[?25l") < at("\u{1b}[?25h"), "the cursor shows");
    assert!(at("\u{1b}[?1049l") < at("a picture that cannot be drawn"));
}

/// A command on a pseudo-terminal, and both ends of that.
#[allow(unsafe_code)]
pub fn on_a_terminal(mut command: Command) -> (Child, File, OwnedFd) {
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
    // The command must not inherit the master end.
    fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    command
        .env("TERM", "xterm-256color")
        .stdin(slave.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(slave.try_clone().unwrap());
    // SAFETY: setsid(2) and ioctl(2) are plain system calls. The terminal becomes the command's controlling one.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    }
    (command.spawn().unwrap(), File::from(master), slave)
}

/// Collects everything that a terminal shows.
pub fn screen_of(mut terminal: File) -> Arc<Mutex<Vec<u8>>> {
    let screen = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&screen);
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(read @ 1..) = terminal.read(&mut part) {
            seen.lock().unwrap().extend_from_slice(&part[..read]);
        }
    });
    screen
}

/// How often a text was shown.
pub fn times(screen: &Mutex<Vec<u8>>, text: &str) -> usize {
    let screen = screen.lock().unwrap();
    let places = screen.windows(text.len());
    places.filter(|at| *at == text.as_bytes()).count()
}

/// A run that is long enough to be watched.
fn long_run(stack: &TestStack, results: &Path) -> Command {
    let mut command = stack.kept();
    command
        .args(["run", "--events", "6000", "--rate", "200", "--warmup", "20"])
        .arg("--results-dir")
        .arg(results);
    command
}

fn warm_up_ended_by_a_key(stack: &TestStack) {
    let results = open_folder();
    let mut command = stack.kept();
    command
        .args([
            "run", "--events", "100", "--rate", "100", "--warmup", "6000",
        ])
        .arg("--results-dir")
        .arg(results.path());
    let (mut run, terminal, slave) = on_a_terminal(command);
    let mut keys = terminal.try_clone().unwrap();
    let screen = screen_of(terminal);
    until("hops of warm-up events", || {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before");
        times(&screen, "begin now") > 0 && times(&screen, "not measured") > 0
    });
    until("figures of a hop", || {
        let folder = std::fs::read_dir(results.path()).unwrap().flatten().next();
        let state = folder.and_then(|folder| std::fs::read(folder.path().join("live.json")).ok());
        let state = state.and_then(|state| serde_json::from_slice::<Value>(&state).ok());
        state.is_some_and(|state| {
            let hops = state["paths"][0]["hops"].as_array();
            let has_hops = hops.is_some_and(|hops| !hops.is_empty());
            // They are of warm-up events, which do not count.
            assert!(!has_hops || state["phase"] == "warm-up", "{state}");
            assert!(!has_hops || state["paths"][0]["written"] == 0, "{state}");
            has_hops
        })
    });
    // The second comes when the warm-up is ending, or over.
    keys.write_all(b"bb").unwrap();
    // 1: an objective was missed.
    let code = run.wait().unwrap().code().unwrap();
    drop(slave);
    assert!(code <= 1, "{code}");
    let report = result_folder(results.path()).unwrap().join("report.json");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let incidents = report["incidents"].as_array().unwrap();
    let cut = incidents.iter().filter(|one| one["kind"] == "warm_up_cut");
    assert_eq!(cut.count(), 1, "{incidents:?}");
    let warmup = report["run"]["warmup_events"].as_u64().unwrap();
    assert!(0 < warmup && warmup < 6_000, "{warmup}");
    // Warm-up events are in no figure.
    for count in ["inserted", "captured", "consumed", "written"] {
        assert_eq!(report["counts"][count], 100, "{count}");
    }
    assert_eq!(report["counts"]["lost"], 0);
    assert_eq!(report["verification"]["match_percent"], 100.0);
    stack.assert_nothing_left("a run whose warm-up was ended");
}

fn terminal_goes_away(stack: &TestStack) {
    let results = open_folder();
    let (mut run, mut terminal, slave) = on_a_terminal(long_run(stack, results.path()));
    drop(slave);
    let mut shown = Vec::new();
    while !shown.windows(4).any(|at| at == b"LOAD") {
        let mut part = [0; 4096];
        let read = terminal.read(&mut part).unwrap();
        shown.extend_from_slice(&part[..read]);
    }
    // As when a window is closed, or a connection is lost.
    drop(terminal);
    let mut ended = None;
    until("the run to end", || {
        ended = run.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(130));
    stack.assert_nothing_left("a run whose terminal went away");
}

fn dashboard_and_monitor(stack: &TestStack) {
    let results = open_folder();
    let (mut run, terminal, slave) = on_a_terminal(long_run(stack, results.path()));
    let is_cooked = || {
        let flags = tcgetattr(&slave).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    };
    let screen = screen_of(terminal);
    let shows = |text: &str| times(&screen, text) > 0;
    until("the dashboard to show the pipeline", || {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before");
        shows("\u{1b}[?1049h") && shows("kafka_delivery")
    });
    assert!(!is_cooked(), "keys come as they are pressed");

    let mut monitor = stack.kept();
    monitor
        .args(["monitor", "--json", "--results-dir"])
        .arg(results.path());
    let mut monitor = monitor.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let (mut written, mut is_stopped) = (Vec::new(), false);
    for line in lines {
        let snapshot: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(snapshot["schema"], "cdc-bench/live/1");
        if snapshot["phase"] == "load" {
            assert_eq!(snapshot["load"]["target"], 6_000);
            written.push(snapshot["paths"][0]["written"].as_u64().unwrap());
        }
        // On a busy machine the first events take longer than three snapshots.
        let grows = || written.first() < written.last();
        if !is_stopped && written.len() >= 3 && grows() {
            is_stopped = true;
            signal(id(&run), Signal::SIGTERM);
        }
    }
    assert!(monitor.wait().unwrap().success());
    assert!(is_stopped && written.is_sorted(), "{written:?}");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    until("the terminal to be given back", || {
        shows("\u{1b}[?1049l") && shows("\u{1b}[?25h")
    });
    assert!(is_cooked(), "the terminal is as it was");
    assert!(shows("interrupted"), "what was said meanwhile stands there");
    let folder = result_folder(results.path()).unwrap();
    assert!(!folder.join("live.json").exists());
    let late = ended(with(
        stack.kept(),
        &["monitor", "--results-dir", results.path().to_str().unwrap()],
    ));
    late.refused(2, &["no run is under way", "--results-dir"]);
    stack.assert_nothing_left("a run that was watched");
}

fn demo(stack: &TestStack) {
    let results = open_folder();
    let mut command = stack.kept();
    command
        .args([
            "demo",
            "--acts",
            "warm-up,moderate",
            "--speed",
            "20x",
            "--json",
        ])
        .arg("--results-dir")
        .arg(results.path());
    let demo = ended(command);
    assert_eq!(demo.code, 0, "{}", demo.err);
    let printed = demo.err.matches("at T0 + ").count();
    assert_eq!(printed, 10, "{}", demo.err);
    let report: Value = serde_json::from_str(&demo.out).unwrap();
    assert_eq!(report["verdict"], "pass");
    let acts = report["acts"].as_array().unwrap();
    for (act, (name, events)) in acts.iter().zip([("warm-up", 10), ("moderate", 100)]) {
        assert_eq!(act["name"], name);
        assert_eq!(act["written"], events);
        assert_eq!(act["match_percent"], 100.0);
        let run = act["run"].as_str().unwrap();
        let report = results.path().join(run).join("report.json");
        let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report["paths"]["debezium"]["hops"]["total"], act["total"]);
    }
    stack.assert_nothing_left("a demonstration");
}

fn demo_with_a_speaker(stack: &TestStack) {
    const WAITS: &str = "(Enter goes on)";
    const DASHBOARD: &str = "\u{1b}[?1049h";
    let results = open_folder();
    let mut command = stack.kept();
    command
        .args(["demo", "--pause", "--acts", "moderate,stress"])
        .args(["--speed", "100x", "--results-dir"])
        .arg(results.path());
    let (mut demo, terminal, slave) = on_a_terminal(command);
    let mut keys = terminal.try_clone().unwrap();
    let screen = screen_of(terminal);
    let mut waits_again = |count: usize, shown: usize, announced: bool, key: &[u8]| {
        until("the demonstration to wait", || {
            assert!(demo.try_wait().unwrap().is_none(), "it went on by itself");
            times(&screen, WAITS) == count
        });
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(times(&screen, WAITS), count, "it waits");
        assert_eq!(times(&screen, DASHBOARD), shown, "acts that were shown");
        assert_eq!(times(&screen, " 2 of 2: ") > 0, announced, "the second act");
        keys.write_all(key).unwrap();
    };
    // Before the first act, after it, and before the second: there Ctrl-C.
    waits_again(1, 0, false, b"\n");
    waits_again(2, 1, false, b"\n");
    waits_again(3, 1, true, &[3]);
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    drop(slave);
    assert!(
        times(&screen, "100 of 100 events") > 0,
        "what the first act came to"
    );
    let acts = std::fs::read_dir(results.path()).unwrap().flatten();
    let reports = acts.filter(|act| act.path().join("report.json").exists());
    assert_eq!(reports.count(), 1, "the act that was performed is kept");
    stack.assert_nothing_left("a demonstration that was left");
}

fn demo_with_faults(stack: &TestStack) {
    for server in ["connect", "store"] {
        let results = open_folder();
        let mut command = stack.kept();
        command
            .args(["demo", "--acts", "warm-up", "--speed", "10x", "--json"])
            .arg(format!("--with-fault={server}"))
            .arg("--results-dir")
            .arg(results.path());
        let demo = ended(command);
        assert_eq!(demo.code, 0, "{server}: {}", demo.err);
        for printed in [
            format!("{server} is killed; the load goes on"),
            format!("{server} answers again after "),
        ] {
            assert_eq!(
                demo.err.matches(&printed).count(),
                1,
                "{printed}: {}",
                demo.err
            );
        }
        let report: Value = serde_json::from_str(&demo.out).unwrap();
        assert_eq!(report["verdict"], "pass");
        let acts = report["acts"].as_array().unwrap();
        let [first, act] = &acts[..] else {
            panic!("{} acts", acts.len());
        };
        assert_eq!(
            (&first["name"], &first["fault"]),
            (&"warm-up".into(), &Value::Null)
        );
        assert_eq!(
            (&act["name"], &act["fault"]),
            (&"resilience".into(), &server.into())
        );
        assert_eq!(
            (&act["inserted"], &act["written"]),
            (&2_000.into(), &2_000.into())
        );
        assert_eq!(
            (&act["lost"], &act["match_percent"]),
            (&0.into(), &100.0.into())
        );
        stack.wait_until_healthy();
        stack.assert_nothing_left("a demonstration with a fault");
    }
}
