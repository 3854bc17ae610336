//! Commands that make a series of runs on the same servers.

use std::path::PathBuf;

use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, result_folder, with};
use super::stack::{TestStack, open_folder, until};
use super::watching::{on_a_terminal, screen_of, times};

pub const TESTS: &[Test] = &[(
    "a_sweep_measures_every_path_at_every_rate_and_leaves_nothing",
    sweep,
)];

pub const LONG_TESTS: &[Test] = &[(
    "tuning_recommends_a_connector_and_measures_what_it_gains",
    tune,
)];

fn sweep(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "sweep",
        "--rates",
        "max,120,60",
        "--capture",
        "wal,embedded",
        "--events",
        "120",
        "--warmup",
        "20",
        "--json",
        "--results-dir",
        results.path().to_str().unwrap(),
    ];
    // On a pseudo-terminal, whose dashboard shows one run after another.
    let (sweep, terminal, slave) = on_a_terminal(with(stack.kept(), &args));
    let screen = screen_of(terminal);
    let swept = Ended::from(sweep.wait_with_output().unwrap()).json();
    drop(slave);
    for shown in ["\u{1b}[?1049h", "kafka_delivery", "\u{1b}[?1049l"] {
        assert!(times(&screen, shown) > 0, "{shown:?} was not shown");
    }
    until("the last step to stand there", || {
        times(&screen, "step 6 of 6: embedded at its fastest") > 0
    });
    let folder: PathBuf = result_folder(results.path()).unwrap();
    let kept = std::fs::read(folder.join("sweep.json")).unwrap();
    assert_eq!(swept, serde_json::from_slice::<Value>(&kept).unwrap());
    let page = std::fs::read_to_string(folder.join("sweep.html")).unwrap();
    assert!(page.contains("Latency against rate"));
    assert!(page.contains("href=\"wal-60/report.html\""));
    assert!(folder.join("wal-60/report.html").is_file());
    let paths = swept["paths"].as_array().unwrap();
    for (of_path, name) in paths.iter().zip(["wal", "embedded"]) {
        assert_eq!(of_path["path"], name);
        let steps = of_path["steps"].as_array().unwrap();
        let offered: Vec<_> = steps
            .iter()
            .map(|step| step["offered_per_s"].as_f64())
            .collect();
        // On a busy machine the lowest rate may be too high, which the report then says.
        let left_out = of_path["left_out"].as_array().unwrap();
        let left_out: Vec<_> = left_out.iter().map(Value::as_f64).collect();
        let (last, numbered) = offered.split_last().unwrap();
        assert_eq!(*last, None, "max comes last");
        assert_eq!([numbered, &left_out].concat(), [Some(60.0), Some(120.0)]);
        for step in steps {
            assert_eq!(
                (&step["events"], &step["is_clean"]),
                (&120.into(), &true.into())
            );
            assert!(step["achieved_per_s"].as_f64().unwrap() > 0.0);
            // Each step is a run with a result of its own, which has the same figures.
            let run = folder.join(step["folder"].as_str().unwrap());
            let run = run.to_str().unwrap();
            let report = ended(with(stack.kept(), &["report", run, "--format", "json"])).json();
            assert_eq!(step["run"], report["run"]["id"]);
            assert_eq!(step["total"], report["paths"][name]["hops"]["total"]);
            assert_eq!(step["offered_per_s"], report["run"]["rate_per_s"]);
        }
        let fastest = steps.last().unwrap();
        assert_eq!(of_path["saturation_per_s"], fastest["achieved_per_s"]);
        let no_knee = of_path["no_knee"].as_str().unwrap();
        assert!(
            no_knee.starts_with("it takes at least 4 rates"),
            "{no_knee}"
        );
    }
    stack.assert_nothing_left("a sweep");
}

fn tune(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "tune",
        "--candidates",
        "2",
        "--keep",
        "2",
        "--events",
        "60",
        "--rounds",
        "2",
        "--rate",
        "100",
        "--warmup",
        "20",
        "--prefer",
        "latency",
        "--json",
        "--results-dir",
        results.path().to_str().unwrap(),
    ];
    let tuned = ended(with(stack.kept(), &args)).json();
    let folder = result_folder(results.path()).unwrap();
    let kept = std::fs::read(folder.join("tune.json")).unwrap();
    assert_eq!(tuned, serde_json::from_slice::<Value>(&kept).unwrap());
    let trials = tuned["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2);
    for trial in trials {
        let run = &trial["measured"][0];
        assert_eq!(
            (&run["events"], &run["is_clean"]),
            (&60.into(), &true.into())
        );
        assert!(run["cpu_s_per_million"].as_f64().unwrap() > 0.0, "{run}");
    }
    // Half a second of polling, twice, must be found.
    let recommended = &tuned["recommended"];
    assert_eq!(recommended["name"], "low-latency", "{tuned}");
    let connector = &recommended["connector"];
    assert_eq!(connector["config"]["poll.interval.ms"], "1");
    let secret = &stack.env["POSTGRES_PASSWORD"];
    assert!(!connector.to_string().contains(secret.as_str()));
    let comparison = &tuned["head_to_head"]["comparison"];
    assert_eq!(comparison["rounds"], serde_json::json!([2, 2]));
    assert_eq!(comparison["baseline"]["events"], 120);
    assert!(comparison["unlike"].as_array().unwrap().is_empty());
    let varied = comparison["varied"].to_string();
    assert!(varied.contains("connector.poll.interval.ms"), "{varied}");
    stack.assert_nothing_left("tuning");
}
