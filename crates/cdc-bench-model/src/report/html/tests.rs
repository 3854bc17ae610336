use std::collections::HashSet;
use std::fmt::Write as _;

use super::*;
use crate::report::{Incident, sample};
use crate::report::{Report, Stored};

/// A folder with a report and `events` events, a stall in the middle of them.
fn folder(report: &Report, events: i64) -> (tempfile::TempDir, Stored) {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    let begin = 1_795_515_300_000_000_000; // 2026-11-24T10:15:00Z
    for n in 0..events {
        let t0 = begin + n * 6_000_000;
        let stall = if (events / 2..events / 2 + 100).contains(&n) {
            900_000_000
        } else {
            0
        };
        let (capture, kafka, lag) = (500_000 + n * 31 % 400_000, 2_400_000, -30_000 + n % 90_000);
        let processing = 1_200_000 + n * 977 % 3_000_000 + stall;
        let total = capture + kafka + lag + processing;
        for path in report.paths.keys() {
            writeln!(
                lines,
                r#"{{"id":"{}","type":"UserCreated","path":"{path}","stamps":{{"t0":{t0},"t5":{}}},"hops":{{"capture":{capture},"kafka_delivery":{kafka},"consumer_lag":{lag},"processing":{processing},"total":{total}}}}}"#,
                uuid::Uuid::from_u128(u128::try_from(n).unwrap()),
                t0 + total
            )
            .unwrap();
        }
    }
    std::fs::write(folder.path().join("events.jsonl"), lines).unwrap();
    let path = folder.path().join("report.json");
    std::fs::write(&path, serde_json::to_vec(report).unwrap()).unwrap();
    let stored = Stored::read(&path).unwrap();
    (folder, stored)
}

#[test]
fn the_page_stands_alone_and_is_small() {
    let (_folder, stored) = folder(&sample::two_paths(), 10_000);
    let page = page(&stored).unwrap();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    // Nothing is fetched, nothing runs, and text from servers cannot inject markup.
    for foreign in [
        "<script",
        "src=",
        "href=\"http",
        "href=\"//",
        "url(",
        "@import",
        "<iframe",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&#60;script&#62;alert(1)"));
    assert!(page.contains("A &#38; B &#60;fast&#62;"));
}

#[test]
fn plots_have_words_tables_have_captions_and_ids_are_unique() {
    let (_folder, stored) = folder(&sample::two_paths(), 2_000);
    let page = page(&stored).unwrap();
    let document = roxmltree::Document::parse(page.strip_prefix("<!doctype html>").unwrap())
        .expect("the page is well formed");
    let mut ids = HashSet::new();
    for id in document.descendants().filter_map(|n| n.attribute("id")) {
        assert!(ids.insert(id), "{id} is there twice");
    }
    let plots: Vec<_> = document
        .descendants()
        .filter(|n| n.tag_name().name() == "svg")
        .collect();
    // Latency, throughput and percentiles at two sizes, five histograms; for each path.
    assert_eq!(plots.len(), 2 * (3 * 2 + 5));
    for plot in plots {
        let text = |tag: &str| {
            plot.children()
                .find(|n| n.tag_name().name() == tag)
                .and_then(|n| n.text())
                .map_or(0, str::len)
        };
        assert!(text("title") > 5 && text("desc") > 40);
        assert_eq!(plot.attribute("role"), Some("img"));
        assert!(plot.descendants().all(|n| {
            n.attribute("d")
                .or(n.attribute("x1"))
                .is_none_or(|d| !d.contains("NaN") && !d.contains("inf"))
        }));
    }
    for table in document.descendants().filter(|n| n.has_tag_name("table")) {
        assert!(table.children().any(|n| n.has_tag_name("caption")));
    }
    let links = document.descendants().filter_map(|n| n.attribute("href"));
    for place in links.filter_map(|href| href.strip_prefix('#')) {
        assert!(ids.contains(place), "{place} leads nowhere");
    }
}

#[test]
fn incidents_are_marked_where_they_happened_each_sort_by_its_own_line() {
    let incident = |at: &str, kind: &str, what: &str, took| Incident {
        at: format!("2026-11-24T10:15:{at}Z").parse().unwrap(),
        kind: kind.to_owned(),
        what: what.to_owned(),
        took,
    };
    let mut report = sample::report();
    report.incidents = vec![
        incident("04.5", "checkpoint", "a checkpoint", Some(1_200_000)),
        incident("07.5", "server_restart", "kafka started again", None),
        incident("13.0", "rebalance", "rebalanced", Some(0)),
        incident("13.1", "load_paused", "paused", None),
    ];
    let (_folder, stored) = folder(&report, 3_000);
    let page = page(&stored).unwrap();
    let listed = "<strong>fault</strong> at 7.5 s: kafka started again";
    assert!(page.contains(listed), "{page}");
    for sort in ["fault", "load", "rebalance", "checkpoint"] {
        assert!(page.contains(&format!(r#"<line class="mark incident {sort}""#)));
    }
    // Its length is shaded, and described for screen readers.
    assert!(page.contains(r#"<rect class="stretch incident checkpoint""#));
    assert!(page.contains("in the list: 1 checkpoint at 4.5 s, 2 fault at 7.5 s,"));
    // Words where there is room, numbers where there is not, and one label for two that would meet.
    for label in [">1 checkpoint<", ">1<", ">2 fault<", ">3–4<"] {
        assert!(page.contains(label), "{label}");
    }
}

#[test]
fn without_events_there_are_figures_but_no_plots() {
    let (folder, stored) = folder(&sample::report(), 1);
    std::fs::remove_file(folder.path().join("events.jsonl")).unwrap();
    let page = page(&stored).unwrap();
    assert!(!page.contains("<svg") && page.contains("There is no events.jsonl"));
    assert!(page.contains("4.92"));
}

#[test]
fn a_run_without_a_single_event_has_a_page() {
    let mut report = sample::report();
    report.paths.clear();
    report.diagnosis.slowest_hop = None;
    let (_folder, stored) = folder(&report, 0);
    let page = page(&stored).unwrap();
    assert!(page.contains("No event came through."));
}
