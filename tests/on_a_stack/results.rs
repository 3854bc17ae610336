//! Results of real runs: read in every format, and compared.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::Test;
use super::delays::with_distant_store;
use super::outages::during_load_of;
use super::stack::command::{
    Ended, assert_complete, cdc_bench, ended, p50, result_folder, small_run, with,
};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("a_result_is_read_again_in_every_format", every_form),
    ("a_result_is_there_when_the_clean_up_fails", not_removed),
    (
        "faults_checkpoints_and_rebalances_in_mid_run_are_marked_in_the_report",
        incidents,
    ),
];

pub const TESTS_BY_THE_CLOCK: &[Test] = &[("runs_and_capture_paths_are_compared", comparisons)];

pub const LONG_TESTS: &[Test] = &[
    ("equal_runs_compared_raise_no_alarm", quiet),
    ("a_hop_that_is_15_percent_slower_is_found", slowdown),
];

fn on(results: &Path, args: &[&str]) -> Command {
    let mut command = with(cdc_bench(), args);
    command.arg("--results-dir").arg(results);
    command
}

/// The source does not let a run write down what it has removed.
fn not_removed(stack: &TestStack) {
    ended(with(stack.external(), &["setup", "--json"])).json();
    stack.sql(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nothing is removed today'; END $$",
    );
    stack.sql(
        "CREATE TRIGGER keep BEFORE DELETE ON cdc_bench.ledger FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    let results = open_folder();
    let args = ["--events", "100", "--rate", "500"];
    let end = ended(small_run(stack.external(), results.path(), &args));
    stack.sql("DROP FUNCTION keep() CASCADE");
    end.refused(
        3,
        &[
            "has its result",
            "nothing is removed today",
            "cdc-bench cleanup",
        ],
    );
    // As JSON on stdout, and in its folder.
    let printed: Value = serde_json::from_str(&end.out).unwrap();
    assert_complete(&printed, 100);
    let folder = result_folder(results.path()).unwrap();
    let stored = std::fs::read_to_string(folder.join("report.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&stored).unwrap(),
        printed,
        "{}",
        folder.display()
    );
    assert!(folder.join("report.html").exists());
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
    stack.assert_nothing_left("a clean-up that was refused at first");
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
    // A folder without a result is told apart from one with a result.
    ended(on(results.path(), &["report", "20000101-000000-000000"]))
        .refused(2, &["there is no result"]);
}

fn comparisons(stack: &TestStack) {
    let results = open_folder();
    let compare = |args: &[&str]| -> Ended { ended(with(on(results.path(), &["compare"]), args)) };
    // Debezium's defaults poll every half second; our own path does not wait. Long enough for twelve such waits.
    let run = [
        "--events",
        "360",
        "--rate",
        "60",
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

    let mut run = vec!["--events", "150", "--rate", "300", "--capture", "both"];
    run.extend(["--warmup", "auto"]);
    let second = ended(small_run(stack.kept(), results.path(), &run)).json();
    let second = second["run"]["id"].as_str().unwrap();
    compare(&[first, second]).refused(
        2,
        &[
            "connector.poll.interval.ms: (default) and 1",
            "run.rate_per_s: 60.0 and 300.0",
            "run.warmup_events: 20 and auto",
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
        "--varied",
        "run.warmup_events",
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
    const GROUP: &str = "incidents";
    let results = open_folder();
    let args = ["--events", "2400", "--rate", "200", "--drain-timeout", "60"];
    let mut run = small_run(stack.kept(), results.path(), &args);
    run.env("KAFKA_GROUP_ID", GROUP);
    let end = during_load_of(run, results.path(), || {
        // Checkpoints before the first poll are not the run's.
        std::thread::sleep(Duration::from_millis(1_500));
        stack.sql("CHECKPOINT");
        join_and_leave(stack, GROUP);
        stack.crash("store");
    });
    let report = end.json();
    let incidents = report["incidents"].as_array().unwrap();
    let of =
        |kind: &str| -> Vec<&Value> { incidents.iter().filter(|i| i["kind"] == kind).collect() };
    let [restart] = of("server_restart")[..] else {
        panic!("{incidents:?}");
    };
    assert!(restart["what"].as_str().unwrap().starts_with("store "));
    let (checkpoints, rebalances) = (of("checkpoint"), of("rebalance"));
    assert!(!checkpoints.is_empty(), "{incidents:?}");
    // The topic's one partition stays with the first member.
    let kept = "our consumer kept all it had, and has 1 now";
    assert!(
        rebalances[0]["what"].as_str().unwrap().ends_with(kept),
        "{incidents:?}"
    );
    let page = result_folder(results.path()).unwrap().join("report.html");
    let page = std::fs::read_to_string(page).unwrap();
    for sort in ["fault", "checkpoint", "rebalance"] {
        assert!(page.contains(&format!("class=\"mark incident {sort}\"")));
    }
    assert!(page.contains("had ended by itself and was started again"));
    stack.wait_until_healthy();
    stack.delete_group(GROUP);
}

/// Another member joins the group of a run, and leaves.
fn join_and_leave(stack: &TestStack, group: &str) {
    let topics = stack.topics().into_iter();
    let topics: Vec<_> = topics.filter(|t| t.ends_with("event_outbox")).collect();
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    let member: BaseConsumer = stack
        .kafka()
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        // It is forgotten soon where the broker does not hear it leave.
        .set("session.timeout.ms", "6000")
        .create()
        .unwrap();
    member.subscribe(&names).unwrap();
    until("two members", || {
        drop(member.poll(Duration::from_millis(10)));
        let list = member.fetch_group_list(Some(group), Duration::from_secs(10));
        list.is_ok_and(|list| {
            let group = &list.groups()[0];
            group.state() == "Stable" && group.members().len() == 2
        })
    });
}

/// Repeated runs with the same settings, and comparisons of them.
struct Runs {
    results: tempfile::TempDir,
}

impl Runs {
    fn on_a_warm(stack: &TestStack) -> Self {
        stack.warm_up();
        Self {
            results: open_folder(),
        }
    }

    fn run(&self, command: Command, rate: &str) -> Value {
        let args = ["--events", "400", "--rate", rate, "--warmup", "200"];
        ended(small_run(command, self.results.path(), &args)).json()
    }

    /// The comparison of two sets of runs.
    fn compared(&self, baseline: &[&String], candidate: &[&String]) -> Value {
        let mut args = vec!["compare", "--json", "--baseline"];
        args.extend(baseline.iter().map(|run| run.as_str()));
        args.push("--candidate");
        args.extend(candidate.iter().map(|run| run.as_str()));
        let compared = ended(on(self.results.path(), &args)).json();
        println!("{}", compared["verdict"]);
        compared
    }
}

fn id(report: &Value) -> String {
    report["run"]["id"].as_str().unwrap().to_owned()
}

fn is_alarm(compared: &Value) -> bool {
    compared["outcome"] != "no_difference_shown"
}

/// Forty runs in a row, compared pairwise; then sets of five: some six minutes. At half the usual rate: a store near its limit
/// varies from one moment to the next.
fn quiet(stack: &TestStack) {
    let runs = Runs::on_a_warm(stack);
    let ids: Vec<_> = (0..40).map(|_| id(&runs.run(stack.kept(), "80"))).collect();
    let of_two = |pair: &&[String]| is_alarm(&runs.compared(&[&pair[0]], &[&pair[1]]));
    let alarms = ids.chunks(2).filter(of_two).count();
    assert!(alarms <= 1, "{alarms} of 20 single runs");
    // The same in sets of five, alternating.
    let of_ten = |ten: &&[String]| {
        let side = |odd: usize| ten.iter().skip(odd).step_by(2).collect::<Vec<_>>();
        is_alarm(&runs.compared(&side(0), &side(1)))
    };
    let alarms = ids.chunks(10).filter(of_ten).count();
    assert!(alarms <= 1, "{alarms} of 4 sets");
}

/// Twenty runs with a store some milliseconds away, alternating with twenty whose writes take 15 % longer. Ten times, ten of each
/// side are compared.
fn slowdown(stack: &TestStack) {
    const ROUNDS: usize = 10;
    const AWAY: Duration = Duration::from_millis(5);
    const HOP: &str = "processing";
    let runs = Runs::on_a_warm(stack);
    // At such a rate that no write has to wait for the one before it.
    let run = |away| runs.run(with_distant_store(stack, away), "80");
    let usual = (0..3)
        .map(|_| p50(&run(AWAY), HOP))
        .fold(f64::MAX, f64::min);
    let longer = Duration::from_secs_f64(usual * 0.15 / 1e6);
    println!("{HOP} {usual} us, and {longer:?} more");
    let (plain, slowed): (Vec<_>, Vec<_>) = (0..2 * ROUNDS)
        .map(|_| (run(AWAY), run(AWAY + longer)))
        .inspect(|(plain, slowed)| println!("{} {} us", p50(plain, HOP), p50(slowed, HOP)))
        .map(|(plain, slowed)| (id(&plain), id(&slowed)))
        .unzip();
    let found = |first: &usize| {
        let baseline: Vec<_> = plain.iter().skip(*first).take(ROUNDS).collect();
        let candidate: Vec<_> = slowed.iter().skip(*first).take(ROUNDS).collect();
        let compared = runs.compared(&baseline, &candidate);
        let differences = compared["differences"].as_array().unwrap();
        let is_median = |d: &&Value| d["hop"] == HOP && d["quantile"] == "p50";
        let median = differences.iter().find(is_median).unwrap();
        println!("{median}");
        median["call"] == "slower"
    };
    // Neighbours: slow changes of the machine affect both sides alike.
    let found = (0..ROUNDS).filter(found).count();
    assert!(found >= 9, "{found} of {ROUNDS}, by {longer:?}");
}
