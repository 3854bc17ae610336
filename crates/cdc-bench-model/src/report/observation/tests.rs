use std::io::Write as _;
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;

use super::*;
use crate::analysis::Outcome;
use crate::observation::ObservedStatistics;
use crate::observation::{ObservationCounts, ObservedStamps};
use crate::report::folder::OutputFile;
use crate::report::interval_log::IntervalLog;
use crate::report::{ResultFolder, SCHEMA, StoredObservation, observation_page};
use crate::timeline::{Nanos, Stamp};

fn path() -> ObservedPath {
    let mut statistics = ObservedStatistics::default();
    for n in 1..=100 {
        let at = |ms: i64| Stamp(ms * n * 10_000);
        let stamps = ObservedStamps {
            t0: None,
            tc: at(0),
            t1: at(1),
            td: Some(at(2)),
            t2: at(3),
            t3: at(4),
            tg: None,
            tr: None,
            ts: None,
            t5: Some(at(9)),
        };
        statistics.record(&stamps.hops(), 1);
    }
    ObservedPath {
        hops: statistics.report(|hop| match hop {
            ObservedHop::Deliver => Some(Nanos::from_millis(3)),
            _ => Some(Nanos(20_000)),
        }),
    }
}

fn report() -> ObservationReport {
    let observed = path();
    ObservationReport {
        schema: SCHEMA.to_owned(),
        run: ObservationInfo {
            id: "20261124-101500-7f3a9c".to_owned(),
            kind: OBSERVE.to_owned(),
            started_at: "2026-11-24T10:15:00Z".to_owned(),
            finished_at: "2026-11-24T10:16:20Z".to_owned(),
            duration_s: 60.0,
        },
        pipeline: ObservedPipeline {
            connector: Some("shop".to_owned()),
            source: "reader@db:5432/shop".to_owned(),
            publication: "shop".to_owned(),
            topics: vec![ObservedTopicReport {
                name: "shop.public.orders".to_owned(),
                partitions: 3,
                timestamp_type: "LogAppendTime".to_owned(),
            }],
            group: Some("connect-mongo-sink".to_owned()),
            sink: Some("MongoDB, database shop_read".to_owned()),
            poll_interval: 100_000,
        },
        counts: ObservationCounts {
            captured: 103,
            in_kafka: 102,
            completed: 100,
            missing: 1,
            in_flight: 2,
            not_shown: 3,
            ..ObservationCounts::default()
        },
        missing: 1,
        duplicates: 0,
        filtered: Filtered::default(),
        sampled_share: 1.0,
        diagnosis: ObservedDiagnosis::of(&observed),
        paths: BTreeMap::from([(OBSERVED.to_owned(), observed)]),
        tables: BTreeMap::new(),
        clocks: Vec::new(),
        incidents: Vec::new(),
        objectives: Vec::new(),
        verdict: Verdict::Fail,
        canary: None,
        application: None,
        transactions: None,
        cost: None,
    }
}

#[test]
fn the_summary_names_the_slowest_hop_and_what_is_missing() {
    let text = render_observation(&report());
    insta::assert_snapshot!(console::strip_ansi_codes(&text));
}

#[test]
fn the_report_says_what_kind_it_is_and_comes_back() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["run"]["kind"], "observe");
    assert_eq!(json["paths"]["observed"]["hops"]["consume"]["count"], 100);
    assert_eq!(json["diagnosis"]["slowest_hop"], "consume");
    let back: ObservationReport = serde_json::from_value(json).unwrap();
    assert_eq!(back.counts, report().counts);
}

#[test]
fn what_is_missing_is_a_failed_test_case() {
    let xml = crate::report::observation_junit(&report()).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let mut cases = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    let case = cases
        .find(|case| case.attribute("name") == Some("nothing_missing"))
        .unwrap();
    assert!(
        case.children().any(|node| node.has_tag_name("failure")),
        "{xml}"
    );
}

/// A stored observation of a minute, 200 changes a second, whose hops take `percent` of the usual time.
fn stored(percent: i64) -> (tempfile::TempDir, StoredObservation) {
    let results = tempfile::tempdir().unwrap();
    let folder = ResultFolder::create(results.path(), "o").unwrap();
    let mut file = OutputFile::open(&folder, "latency.hlog").unwrap();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLog::begin(&mut file, &mut serializer).unwrap();
    for second in 0..60 {
        for n in 0..200 {
            let mut total = 0;
            for (hop, base, spread) in [
                ("debezium", 180_000, 977),
                ("produce", 3_000, 31),
                ("consume", 40_000, 571),
            ] {
                let noise = (n * spread + second * 7_919) % (base / 2);
                let span = (base + noise) * percent / 100;
                total += span;
                log.interval.record(hop, Nanos::from_micros(span));
            }
            log.interval.record("total", Nanos::from_micros(total));
        }
        let start = Duration::from_secs(second.unsigned_abs());
        log.write(start, Duration::from_secs(1)).unwrap();
    }
    drop(log);
    file.file.flush().unwrap();
    let mut report = report();
    report.incidents = vec![crate::report::Incident {
        at: jiff::Timestamp::UNIX_EPOCH,
        kind: "tap_resumed".to_owned(),
        what: "<script>alert(1)</script>".to_owned(),
        took: None,
    }];
    report.tables = BTreeMap::from([("public.orders".to_owned(), path())]);
    let json = serde_json::to_vec(&report).unwrap();
    folder.write("report.json", &json).unwrap();
    let stored = StoredObservation::read(&folder.file("report.json"));
    (results, stored.unwrap().unwrap())
}

#[test]
fn the_page_has_the_plots_of_its_log_and_stands_alone() {
    let (_results, stored) = stored(100);
    let page = observation_page(&stored).unwrap();
    for part in [
        "Latency over time",
        "Hops over time",
        "Throughput over time",
        "Distribution",
        "public.orders",
        "slowest, ",
        "&#60;script&#62;alert(1)",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for foreign in ["<script", "src=", "href=\"http", "url(", "NaN"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.len() < 300_000, "{}", page.len());
    std::fs::remove_file(stored.path().with_file_name("latency.hlog")).unwrap();
    let bare = observation_page(&stored).unwrap();
    assert!(bare.contains("There is no latency.hlog") && !bare.contains("<figure"));
}

#[test]
fn a_slower_observation_is_told_from_one_that_is_the_same() {
    let ((_a, usual), (_b, same), (_c, slow)) = (stored(100), stored(100), stored(200));
    let compare = |candidate| compare_observations(&usual, candidate, 0.05, false).unwrap();
    let compared = compare(&same);
    assert_eq!(compared.outcome, Outcome::NoDifferenceShown);
    assert!(compared.regression(5.0).is_none());
    let compared = compare(&slow);
    assert_eq!(compared.outcome, Outcome::Slower);
    assert!(compared.regression(90.0).is_some() && compared.regression(110.0).is_none());
    let text = render_observation_comparison(&compared);
    for words in [
        "baseline",
        "total      p50",
        "slower",
        "the candidate's total is slower",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn observations_of_other_topics_are_compared_by_force_alone() {
    let ((_a, first), (_b, mut second)) = (stored(100), stored(100));
    second.report.pipeline.topics[0].name = "other".to_owned();
    let refused = compare_observations(&first, &second, 0.05, false);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("topics") && refused.contains("--force"),
        "{refused}"
    );
    let forced = compare_observations(&first, &second, 0.05, true).unwrap();
    assert_eq!(forced.unlike.len(), 1);
    std::fs::remove_file(first.path().with_file_name("latency.hlog")).unwrap();
    let refused = compare_observations(&first, &second, 0.05, true);
    assert!(refused.unwrap_err().to_string().contains("latency.hlog"));
}

#[test]
fn markdown_and_csv_have_every_hop() {
    let mut report = report();
    report.tables = BTreeMap::from([("public.orders".to_owned(), path())]);
    let (markdown, csv) = (observation_markdown(&report), observation_csv(&report));
    for hop in path().hops.keys() {
        assert!(markdown.contains(&format!("| {hop} | ")), "{markdown}");
        for path in [OBSERVED, "public.orders"] {
            let line = format!("20261124-101500-7f3a9c,{path},{hop},100,");
            assert!(csv.contains(&line), "{line}: {csv}");
        }
    }
    let columns = csv.lines().map(|line| line.split(',').count());
    assert!(columns.into_iter().all(|count| count == 13), "{csv}");
}
