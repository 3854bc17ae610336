//! Results of real runs: read again in every form, and compared.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Test;
use super::outages::in_mid_of;
use super::stack::{
    Ended, TestStack, cdc_bench, ended, open_folder, result_folder, small_run, with,
};

pub const TESTS: &[Test] = &[
    ("a_result_is_read_again_in_every_form", every_form),
    ("runs_and_capture_paths_are_compared", comparisons),
    (
        "a_server_that_comes_back_in_mid_run_is_marked_in_the_report",
        incidents,
    ),
];

pub const LONG_TESTS: &[Test] = &[("a_run_compared_with_the_same_again_is_quiet", quiet)];

fn on(results: &Path, args: &[&str]) -> Command {
    let mut command = with(cdc_bench(), args);
    command.arg("--results-dir").arg(results);
    command
}

fn every_form(stack: &TestStack) {
    let results = open_folder();
    let run = ["--events", "200", "--rate", "200"];
    let report = ended(small_run(stack.kept(), results.path(), &run)).json();
    let id = report["run"]["id"].as_str().unwrap();
    let folder = results.path().join(id);
    let form = |format: &str| {
        ended(on(
            results.path(),
            &["report", "latest", "--format", format],
        ))
    };
    let again: Value = serde_json::from_str(&form("json").out).unwrap();
    assert_eq!(again, report);
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert_eq!(form("html").out, page, "the run wrote the same page");
    assert!(page.len() < 1_000_000 && page.contains(id));
    let p50 = report["paths"]["debezium"]["hops"]["total"]["p50"].to_string();
    let csv = form("csv").out;
    let line = csv.lines().find(|line| line.contains(",total,")).unwrap();
    assert!(line.split(',').any(|cell| cell == p50), "{line}");
    assert!(form("junit").out.contains("<testcase name=\"p50_ms\""));
    assert!(form("markdown").out.starts_with("### cdc-bench: "));
    assert!(form("text").out.contains(&format!("Run {id}")));
    // To a file, and by its folder.
    let file = results.path().join("objectives.md");
    let mut to_file = on(results.path(), &["report", "-f", "markdown"]);
    to_file.arg("--output").arg(&file).arg(&folder);
    let written = ended(to_file);
    assert_eq!(
        (written.code, written.out.as_str()),
        (0, ""),
        "{}",
        written.err
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        form("markdown").out
    );
    // What is no result is told from what is.
    ended(on(results.path(), &["report", "20000101-000000-000000"]))
        .refused(2, &["there is no result"]);
}

fn comparisons(stack: &TestStack) {
    let results = open_folder();
    let compare = |args: &[&str]| -> Ended { ended(with(on(results.path(), &["compare"]), args)) };
    // Debezium as it comes waits half a second; our own path does not.
    let run = [
        "--events",
        "150",
        "--capture",
        "both",
        "--connector-profile",
        "stock",
    ];
    let first = ended(small_run(stack.kept(), results.path(), &run)).json();
    let first = first["run"]["id"].as_str().unwrap();
    let html = results.path().join("compared.html");
    let slower = compare(&[
        first,
        "--paths",
        "wal,debezium",
        "--fail-on-regression",
        "5%",
        "--json",
        "--html",
        html.to_str().unwrap(),
    ]);
    assert_eq!(slower.code, 1, "{}", slower.err);
    let compared = slower.json();
    assert_eq!(compared["outcome"], "slower", "{compared}");
    assert_eq!(compared["pairing"], "moments");
    assert!(
        compared["verdict"]
            .as_str()
            .unwrap()
            .starts_with("slower: total p50 +")
    );
    assert!(std::fs::read_to_string(&html).unwrap().contains("SLOWER"));
    let faster = compare(&[
        first,
        "--paths",
        "debezium,wal",
        "--fail-on-regression",
        "5%",
    ]);
    assert_eq!(faster.code, 0, "{}", faster.err);
    assert!(faster.out.contains("faster: total p50 -"), "{}", faster.out);

    let run = ["--events", "150", "--rate", "300", "--capture", "both"];
    let second = ended(small_run(stack.kept(), results.path(), &run)).json();
    let second = second["run"]["id"].as_str().unwrap();
    compare(&[first, second]).refused(
        2,
        &[
            "connector.poll.interval.ms: (default) and 1",
            "run.rate_per_s: 167.0 and 300.0",
            "--varied",
        ],
    );
    let meant = compare(&[
        first,
        second,
        "--varied",
        "connector",
        "--varied",
        "run.rate_per_s",
    ]);
    assert_eq!(meant.code, 0, "{}", meant.err);
    assert!(
        meant
            .out
            .contains("varied     connector.profile: stock -> low-latency")
    );
    assert!(compare(&[first, second, "--force"]).out.contains("UNLIKE"));
    compare(&[first]).refused(2, &["compare with what?"]);
}

fn incidents(stack: &TestStack) {
    let results = open_folder();
    let args = ["--events", "1200", "--rate", "200", "--drain-timeout", "60"];
    let run = small_run(stack.kept(), results.path(), &args);
    let end = in_mid_of(run, results.path(), || {
        std::thread::sleep(Duration::from_millis(1_500));
        stack.crash("store");
    });
    let report = end.json();
    let incidents = report["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0]["kind"], "server_restart");
    assert!(incidents[0]["what"].as_str().unwrap().starts_with("store "));
    let page = result_folder(results.path()).unwrap().join("report.html");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("class=\"mark incident\"") && page.contains("started again, at "));
    stack.until_well();
}

/// Forty runs, one after the other, and every two of them compared: some four minutes.
fn quiet(stack: &TestStack) {
    let results = open_folder();
    let run = || {
        let args = ["--events", "400", "--rate", "200", "--warmup", "200"];
        let report = ended(small_run(stack.kept(), results.path(), &args)).json();
        report["run"]["id"].as_str().unwrap().to_owned()
    };
    // The first runs of a stack are those of a cold JVM.
    for _ in 0..4 {
        run();
    }
    let runs: Vec<_> = (0..40).map(|_| run()).collect();
    let compared = |args: &[&str]| {
        let compared = ended(with(on(results.path(), &["compare", "--json"]), args)).json();
        println!("{}", compared["verdict"]);
        compared["outcome"] != "no_difference_shown"
    };
    let alarms = runs
        .chunks(2)
        .filter(|pair| compared(&[&pair[0], &pair[1]]))
        .count();
    assert!(alarms <= 1, "{alarms} of 20 single runs");
    // The same in sets of five, alternating.
    let alarms = runs
        .chunks(10)
        .filter(|ten| {
            let side = |odd: usize| ten.iter().skip(odd).step_by(2).map(String::as_str);
            let mut args = vec!["--baseline"];
            args.extend(side(0));
            args.push("--candidate");
            args.extend(side(1));
            compared(&args)
        })
        .count();
    assert!(alarms <= 1, "{alarms} of 4 sets");
}
