use super::*;
use crate::observation::ObservedStatistics;
use crate::observation::{ObservationCounts, ObservedStamps};
use crate::report::SCHEMA;
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
