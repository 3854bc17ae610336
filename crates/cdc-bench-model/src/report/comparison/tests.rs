use std::fmt::Write as _;

use super::*;
use crate::report::{Report, comparison_page, sample};

/// A result whose events take `factor` times as long in processing.
fn result(folder: &tempfile::TempDir, report: &Report, rounds: i64, factor: i64) -> Stored {
    let folder = folder.path().join(&report.run.id);
    std::fs::create_dir_all(&folder).unwrap();
    let mut lines = String::new();
    for path in report.paths.keys() {
        let extra = if path == "wal" { 100_000 } else { 0 };
        for n in 0..rounds * 200 {
            let t0 = n * 6_000_000;
            let (capture, kafka, lag) = (500_000 + n * 31 % 90_000, 2_400_000 + extra, 90_000);
            let processing = (1_200_000 + n * 977 % 300_000) * factor / 100;
            let total = capture + kafka + lag + processing;
            let round = n / 200;
            writeln!(
                lines,
                r#"{{"id":"{}","type":"UserCreated","path":"{path}","round":{round},"stamps":{{"t0":{t0},"t5":{}}},"hops":{{"capture":{capture},"kafka_delivery":{kafka},"consumer_lag":{lag},"processing":{processing},"total":{total}}}}}"#,
                uuid::Uuid::from_u128(u128::try_from(n).unwrap()),
                t0 + total
            )
            .unwrap();
        }
    }
    std::fs::write(folder.join("events.jsonl"), lines).unwrap();
    let path = folder.join("report.json");
    std::fs::write(&path, serde_json::to_vec(report).unwrap()).unwrap();
    Stored::read(&path).unwrap()
}

fn report(id: &str) -> Report {
    let mut report = sample::report();
    report.run.id = id.to_owned();
    report
}

fn request(baseline: Vec<Stored>, candidate: Vec<Stored>) -> ComparisonRequest {
    let side = |results| Side {
        results,
        path: None,
    };
    ComparisonRequest {
        baseline: side(baseline),
        candidate: side(candidate),
        varied: Vec::new(),
        force: false,
        run_noise: RUN_NOISE,
    }
}

#[test]
fn unlike_results_are_refused_by_name_unless_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let first = result(&folder, &report("a"), 1, 100);
    let mut other = report("b");
    other.run.rate_per_s = Some(1000.0);
    other.environment.host.cores = 64;
    let other = result(&folder, &other, 1, 100);
    let mut request = request(vec![first], vec![other]);
    let refused = compare_results(&request).unwrap_err().to_string();
    for named in [
        "host.cores: 2 and 64",
        "run.rate_per_s: 167.0 and 1000.0",
        "--force",
    ] {
        assert!(refused.contains(named), "{refused}");
    }
    request.varied = vec!["run.rate_per_s".to_owned()];
    let refused = compare_results(&request).unwrap_err().to_string();
    assert!(!refused.contains("run.rate_per_s:") && refused.contains("host.cores"));
    request.varied.push("host".to_owned());
    assert_eq!(compare_results(&request).unwrap().varied.len(), 2);
    request.varied.clear();
    request.force = true;
    let forced = compare_results(&request).unwrap();
    assert_eq!(forced.unlike.len(), 2);
    assert!(render_comparison(&forced).contains("UNLIKE"));
    assert!(comparison_page(&forced).unwrap().contains("host.cores"));
}

#[test]
fn single_runs_are_not_trusted_as_several_are() {
    let folder = tempfile::tempdir().unwrap();
    let one = |id: &str, factor| result(&folder, &report(id), 1, factor);
    // 20 % in one hop: beyond what the events of these runs leave open, not beyond what runs differ by.
    let single = compare_results(&request(vec![one("a", 100)], vec![one("b", 120)])).unwrap();
    assert_eq!(single.comparison.outcome, Outcome::NoDifferenceShown);
    assert!(
        single.verdict.contains("could not have been seen"),
        "{}",
        single.verdict
    );
    assert!(basis(&single).contains("single run"));
    let several = request(
        ["a", "c", "e"].map(|id| one(id, 100)).into(),
        ["b", "d", "f"].map(|id| one(id, 120)).into(),
    );
    let several = compare_results(&several).unwrap();
    let hop = several.comparison.of(Hop::Processing, "p50").unwrap();
    assert_eq!(hop.call, DifferenceVerdict::Slower, "{hop:?}");
    assert_eq!((several.baseline.rounds, several.candidate.rounds), (3, 3));
    assert!(
        several.verdict.starts_with("slower: total p50"),
        "{}",
        several.verdict
    );
}

#[test]
fn runs_that_took_turns_are_compared_in_pairs() {
    let folder = tempfile::tempdir().unwrap();
    // A machine that gets slower and slower, and a candidate that takes a tenth longer on it.
    let run = |minute: i64, factor: i64| {
        let mut report = report(&format!("r{minute}"));
        report.run.started_at = format!("2026-11-25T10:{minute:02}:00Z");
        result(&folder, &report, 1, (100 + 10 * minute) * factor / 100)
    };
    let compared = |baseline: &[i64], candidate: &[i64]| {
        let side = |minutes: &[i64], factor| minutes.iter().map(|m| run(*m, factor)).collect();
        compare_results(&request(side(baseline, 100), side(candidate, 110))).unwrap()
    };
    let of_processing = |compared: &Compared| {
        let hop = compared.comparison.of(Hop::Processing, "p50").unwrap();
        (compared.comparison.pairing, hop.call)
    };
    // Named in any order.
    let even = [8, 0, 4, 10, 2, 6];
    let by_turns = compared(&even, &[1, 3, 5, 7, 9, 11]);
    assert_eq!(
        of_processing(&by_turns),
        (Pairing::Runs, DifferenceVerdict::Slower)
    );
    assert!(basis(&by_turns).contains("in pairs of runs made one after the other"));
    let apart = (Pairing::Independent, DifferenceVerdict::NoDifferenceShown);
    let after_each_other = compared(&even, &[9, 11, 12, 13, 14, 15]);
    assert_eq!(of_processing(&after_each_other), apart);
    // Pairs would make too little of so few.
    assert_eq!(of_processing(&compared(&[0, 2, 4], &[1, 3, 5])), apart);
}

#[test]
fn capture_paths_of_one_run_are_compared_in_pairs_and_without_their_clocks() {
    let folder = tempfile::tempdir().unwrap();
    let compared = |rounds| {
        let mut two = sample::two_paths();
        two.run.id = format!("two-{rounds}");
        let stored = result(&folder, &two, rounds, 100);
        let mut request = request(vec![stored.clone()], vec![stored]);
        request.baseline.path = Some("debezium".to_owned());
        request.candidate.path = Some("wal".to_owned());
        compare_results(&request).unwrap()
    };
    let at_once = compared(1);
    assert_eq!(at_once.comparison.pairing, Pairing::Moments);
    let hop = at_once.comparison.of(Hop::KafkaDelivery, "p50").unwrap();
    // To three significant digits of each side.
    assert!((95..=105).contains(&hop.difference), "{hop:?}");
    assert_eq!(hop.clock_error, Some(0));
    assert_eq!(hop.call, DifferenceVerdict::Slower, "{hop:?}");
    assert_eq!(compared(5).comparison.pairing, Pairing::Rounds);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stored = result(&folder, &report("a"), 1, 100);
    let mut wanted = request(vec![stored.clone()], vec![stored.clone()]);
    wanted.candidate.path = Some("embedded".to_owned());
    let refused = compare_results(&wanted).unwrap_err().to_string();
    assert!(
        refused.contains("no capture path \"embedded\": it has debezium"),
        "{refused}"
    );
    std::fs::remove_file(folder.path().join("a/events.jsonl")).unwrap();
    let refused = compare_results(&request(vec![stored.clone()], vec![stored])).unwrap_err();
    assert!(refused.to_string().contains("events.jsonl"), "{refused}");
}

#[test]
fn text_json_and_page_show_the_same_figures() {
    let folder = tempfile::tempdir().unwrap();
    let one = |id: &str, factor| result(&folder, &report(id), 1, factor);
    let compared = compare_results(&request(
        ["a", "c", "e"].map(|id| one(id, 100)).into(),
        ["b", "d", "f"].map(|id| one(id, 180)).into(),
    ))
    .unwrap();
    let json = serde_json::to_value(&compared).unwrap();
    assert_eq!(json["schema"], SCHEMA);
    assert_eq!(json["outcome"], "slower");
    assert_eq!(json["verdict"], compared.verdict);
    let text = console::strip_ansi_codes(&render_comparison(&compared)).into_owned();
    assert!(text.ends_with(&format!("{}\n", compared.verdict)));
    let page = comparison_page(&compared).unwrap();
    let document = roxmltree::Document::parse(page.strip_prefix("<!doctype html>").unwrap())
        .expect("the page is well formed");
    let table = document
        .descendants()
        .find(|node| node.attribute("class") == Some("differences"))
        .unwrap();
    let rows: Vec<Vec<String>> = table
        .descendants()
        .filter(|node| node.has_tag_name("tr"))
        .skip(1)
        .map(|row| {
            let cells = row.children().filter(|cell| cell.is_element());
            cells
                .map(|cell| cell.text().unwrap_or_default().to_owned())
                .collect()
        })
        .collect();
    let differences = json["differences"].as_array().unwrap();
    assert_eq!((rows.len(), differences.len()), (15, 15));
    for (row, difference) in rows.iter().zip(differences) {
        assert_eq!(row[0], difference["hop"].as_str().unwrap());
        assert_eq!(row[1], difference["quantile"].as_str().unwrap());
        for (cell, field) in [(2, "baseline"), (3, "candidate"), (4, "difference")] {
            let exact = difference[field].as_i64().unwrap() as f64 / 1e3;
            let shown: f64 = row[cell].parse().unwrap();
            assert!((shown - exact).abs() <= 0.0051, "{row:?} {difference}");
            let of_text = text.lines().any(|line| line.contains(&row[cell]));
            assert!(of_text, "{} is not in the text", row[cell]);
        }
    }
}
