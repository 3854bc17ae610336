use super::*;
use crate::report::sample;
use crate::report::sweep_page;
use crate::timeline::Stamp;

/// A step of a hundred events at a rate, with a p99 in ms, that reached a share of what was offered.
pub(in crate::report) fn step(rate: Option<f64>, p99_ms: i64, share: f64) -> Step {
    let mut report = sample::report();
    report.run.rate_per_s = rate;
    report.objectives.retain(|objective| objective.met);
    report.throughput.average_per_s = 2_150.5;
    let total = report.paths.get_mut("debezium").unwrap();
    let total = total.hops.get_mut("total").unwrap();
    total.p99 = p99_ms * 1_000;
    let mut pace = AchievedRate::default();
    let offered = rate.unwrap_or(1_000.0);
    for n in 0..100 {
        let seconds = f64::from(n) / offered;
        #[allow(clippy::cast_possible_truncation)]
        let stamp = |seconds: f64| Stamp((seconds * 1e9) as i64);
        pace.record(stamp(seconds), stamp(seconds / share));
    }
    Step::of(&report, CapturePath::Debezium, "f".to_owned(), &pace)
}

/// A path that saturates between 1,000 and 3,000 events a second.
pub(in crate::report) fn path() -> PathSweep {
    let mut path = PathSweep::new(CapturePath::Debezium);
    for (rate, p99, share) in [
        (100.0, 12, 1.0),
        (300.0, 13, 1.0),
        (1_000.0, 16, 1.0),
        (3_000.0, 2_400, 0.6),
    ] {
        path.add(step(Some(rate), p99, share));
    }
    path
}

fn sweep(paths: Vec<PathSweep>) -> SweepReport {
    SweepReport {
        schema: SCHEMA,
        id: "20261124-101500-7f3a9c".to_owned(),
        started_at: "2026-11-24T10:15:00Z".to_owned(),
        finished_at: "2026-11-24T10:17:00Z".to_owned(),
        stack: "local".to_owned(),
        step: "10 s".to_owned(),
        warmup_events: 200,
        insert_batch: 1,
        connections: 4,
        shards: 1,
        seed: 42,
        environment: Some(sample::report().environment),
        paths,
        ended_early: None,
    }
}

#[test]
fn the_highest_rate_the_knee_and_the_saturation_are_read_off_the_curve() {
    let mut path = path();
    assert_eq!(path.highest_rate_per_s, Some(1_000.0));
    let knee = path.knee.unwrap();
    assert_eq!(
        (knee.rate_per_s, knee.p99, knee.next_rate_per_s),
        (1_000.0, 16_000, Some(3_000.0))
    );
    assert!(path.is_far_past_saturation());
    assert_eq!(path.saturation_per_s, None, "max was not tried yet");
    path.add(step(None, 9_000, 1.0));
    assert_eq!(path.saturation_per_s, Some(2_150.5));
    assert_eq!(
        path.highest_rate_per_s,
        Some(1_000.0),
        "max has no objectives"
    );
    assert_eq!(path.knee, Some(knee), "and is no point of the curve");
}

#[test]
fn a_step_that_reached_less_than_99_percent_has_missed() {
    let almost = step(Some(1_000.0), 12, 0.97);
    assert!(!almost.holds());
    assert_eq!(verdict(&almost), "missed offered_rate_percent");
    assert!(step(Some(1_000.0), 12, 0.999).holds());
    let mut alone = PathSweep::new(CapturePath::Debezium);
    alone.add(almost);
    assert!(!alone.is_far_past_saturation());
    let notes = conclusions(&alone);
    assert_eq!(notes[0], "objectives hold at none of these rates");
    assert_eq!(
        notes[1],
        "no knee: it takes at least 4 rates, and this has 1"
    );
}

#[test]
fn a_load_behind_its_schedule_is_said_beside_the_objectives() {
    let mut late = step(Some(1_000.0), 12, 1.0);
    late.load_fell_behind = true;
    assert!(verdict(&late).starts_with("load behind schedule: 1000/s sent, 0.04 ms late"));
}

#[test]
fn lost_events_hold_nowhere() {
    let mut lossy = step(Some(100.0), 12, 1.0);
    lossy.is_clean = false;
    assert!(!lossy.holds());
    assert!(verdict(&lossy).contains("lost"));
}

#[test]
fn the_terminal_shows_every_step_and_what_is_read_off_them() {
    let mut path = path();
    path.left_out.push(10_000.0);
    path.add(step(None, 9_000, 1.0));
    let text = render_sweep(&sweep(vec![path]));
    insta::assert_snapshot!(console::strip_ansi_codes(&text));
}

#[test]
fn the_page_has_the_figures_of_the_sweep_and_stands_alone() {
    let mut path = path();
    path.add(step(None, 9_000, 1.0));
    let mut second = path.clone();
    second.path = CapturePath::Wal;
    let sweep = sweep(vec![path, second]);
    let page = sweep_page(&sweep).unwrap();
    for foreign in ["<script", "src=", "href=\"http", "url(", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("A &#38; B &#60;fast&#62;"));
    let document = roxmltree::Document::parse(page.strip_prefix("<!doctype html>").unwrap());
    let document = document.unwrap();
    let text = |node: roxmltree::Node<'_, '_>| -> String {
        node.descendants().filter_map(|node| node.text()).collect()
    };
    for (n, path) in sweep.paths.iter().enumerate() {
        let table = document
            .descendants()
            .find(|node| node.attribute("data-path") == Some(path.path.as_str()))
            .unwrap();
        let rows: Vec<_> = table
            .descendants()
            .filter(|node| node.has_tag_name("tr"))
            .skip(1)
            .collect();
        assert_eq!(rows.len(), path.steps.len());
        for (row, step) in rows.iter().zip(&path.steps) {
            let row = text(*row);
            let total = step.total.unwrap();
            for figure in [total.p50, total.p95, total.p99, total.max] {
                assert!(row.contains(&super::super::figures::ms(figure)), "{row}");
            }
            assert!(row.contains(&verdict(step)), "{row}");
        }
        let circles = |begins: &str| {
            let classes = document
                .descendants()
                .filter(|node| node.has_tag_name("circle"))
                .filter_map(|node| node.attribute("class"));
            let of_path = classes.filter(|class| class.ends_with(&format!("path-{n}")));
            of_path.filter(|class| class.starts_with(begins)).count()
        };
        // A dot for each step on a schedule, in both plots, p50 and p99 in the first; twice: wide and narrow.
        assert_eq!(circles("dot "), 4 * 3 * 2);
        let missed = path.numbered().filter(|(_, step)| !step.holds()).count();
        assert_eq!(circles("dot missed "), missed * 3 * 2);
        // The knee, on the curve of p99.
        assert_eq!(circles("ring "), 2);
    }
    // Two knees at one rate are one mark, and an objective of the total is a line.
    assert!(page.contains(">knee of debezium, wal<"));
    assert!(page.contains(">p50 &#60; 30 ms<"));
    assert!(page.contains("href=\"f/report.html\""));
}
