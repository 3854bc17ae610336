use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{Captured, ClockBounds, Hop, Nanos, Stamp, Stamps};

/// An event of 20 ms that Debezium read before our reader had its row.
fn branch(path: CapturePath) -> Branch {
    let at = |us: i64| Stamp(1_790_000_000_000_000_000) + Nanos::from_micros(us);
    let in_kafka = path.in_kafka(true);
    let with_kafka = in_kafka != InKafka::Never;
    let stamps = Stamps {
        ts: at(-40),
        t0: at(0),
        ta: at(900),
        tc: at(700),
        t1: at(2_600),
        td: (path == CapturePath::Debezium).then(|| at(1_500)),
        t2: if with_kafka { at(2_500) } else { at(2_600) },
        t3: at(4_000),
        t4: at(4_200),
        t5: at(20_000),
    };
    Branch {
        event: Joined {
            id: EventId(uuid::Uuid::from_u128(
                0x0199_f00d_0000_7abc_8123_4567_89ab_cdef,
            )),
            seq: 5,
            event_type: EventType::UserCreated,
            captured: Captured {
                tc: at(700),
                t1: at(2_600),
                lsn: 0x16_B374_D848,
                commit_lsn: 0x16_B374_D900,
                xid: 771,
            },
            partition: None,
            stamps,
        },
        path,
        in_kafka,
        bounds: ClockBounds {
            broker: Nanos::from_micros(80),
            connect: None,
            ..ClockBounds::default()
        },
    }
}

fn attributes(span: &Span) -> BTreeMap<&str, &Value> {
    span.attributes
        .iter()
        .map(|pair| {
            let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
            (pair.key.as_str(), value.unwrap())
        })
        .collect()
}

fn number(span: &Span, key: &str) -> Option<i64> {
    match attributes(span).get(key) {
        Some(Value::IntValue(number)) => Some(*number),
        _ => None,
    }
}

#[test]
fn a_trace_is_an_event_and_its_spans_are_the_hops_in_order() {
    let branch = branch(CapturePath::Debezium);
    let spans = branch.spans("r1");
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "event via debezium",
            "insert",
            "capture",
            "publish",
            "consume",
            "write"
        ]
    );
    let (root, below) = spans.split_first().unwrap();
    assert_eq!(root.trace_id, branch.event.id.0.as_bytes());
    assert!(root.parent_span_id.is_empty());
    assert!(
        below
            .iter()
            .all(|span| span.parent_span_id == root.span_id && span.trace_id == root.trace_id)
    );

    let sum: i64 = below
        .iter()
        .map(|span| number(span, "cdc.hop_ns").unwrap())
        .sum();
    assert_eq!(sum, 20_000_000);
    assert_eq!(number(root, "cdc.hop_ns"), Some(sum));
    assert_eq!(
        root.end_time_unix_nano - root.start_time_unix_nano,
        20_000_000
    );
    let hops = branch.event.stamps.hops();
    for span in &spans {
        let Value::StringValue(name) = attributes(span)["cdc.hop"] else {
            panic!("a hop has a name");
        };
        let hop = Hop::ALL.into_iter().find(|hop| hop.as_str() == name);
        let took = hops.get(hop.unwrap()).unwrap();
        assert_eq!(number(span, "cdc.hop_ns"), Some(took.0));
    }

    let whole = attributes(root);
    let text = |value: &str| Value::StringValue(value.to_owned());
    for (key, value) in [
        ("cdc.run", "r1"),
        ("cdc.path", "debezium"),
        ("cdc.event.id", "0199f00d-0000-7abc-8123-456789abcdef"),
        ("cdc.event.type", "UserCreated"),
        ("cdc.lsn", "16/B374D848"),
    ] {
        assert_eq!(*whole[key], text(value), "{key}");
    }
    assert_eq!(number(root, "cdc.xid"), Some(771));
    assert_eq!(number(root, "cdc.schedule_lag_ns"), Some(40_000));
}

#[test]
fn a_span_says_how_far_it_may_be_off_and_one_below_zero_that_it_is() {
    let spans = branch(CapturePath::Debezium).spans("r1");
    let bounds: Vec<_> = spans
        .iter()
        .map(|span| number(span, "cdc.error_bound_ns"))
        .collect();
    let both = Some(580_000);
    assert_eq!(bounds, [Some(0), Some(0), Some(0), both, both, Some(0)]);
    for span in &spans {
        let is_negative = attributes(span).contains_key("cdc.is_negative");
        assert_eq!(is_negative, span.name == "publish", "{}", span.name);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    assert_eq!(number(&spans[3], "cdc.hop_ns"), Some(-100_000));
    let drawn = spans[3].end_time_unix_nano - spans[3].start_time_unix_nano;
    assert_eq!(drawn, 100_000);
    let events = |span: &Span| -> Vec<_> { span.events.iter().map(|e| e.name.clone()).collect() };
    assert_eq!(events(&spans[0]), ["committed"]);
    assert_eq!(events(&spans[3]), ["handed on by Debezium"]);
    assert_eq!(events(&spans[5]), ["write issued"]);
}

#[test]
fn paths_are_branches_of_one_trace_and_the_same_event_gives_the_same_ids() {
    let mut ids = BTreeSet::new();
    let mut traces = BTreeSet::new();
    let mut spans = 0;
    for path in CapturePath::ALL {
        for span in branch(path).spans("r1") {
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            traces.insert(span.trace_id);
            ids.insert(span.span_id);
            spans += 1;
        }
    }
    // There is no `publish` without Kafka.
    assert_eq!((spans, ids.len(), traces.len()), (6 + 6 + 5, 17, 1));
    let again = branch(CapturePath::Wal).spans("r1");
    assert_eq!(branch(CapturePath::Wal).spans("r1"), again);
}

/// Exports branches to a receiver.
async fn exported(address: &str, events: u64) -> ExportedTraces {
    let run = RunId::generate();
    let (traces, exporter) = Exporter::start(address, Some(1.0), Rate::MAX, &run).unwrap();
    let clocks = Arc::new(ForeignClocks::default());
    let path_traces = traces.for_path(CapturePath::Wal, InKafka::ByProducer, &clocks);
    let event = branch(CapturePath::Wal).event;
    (0..events).for_each(|_| path_traces.record(&event));
    exporter.finish().await
}

#[tokio::test]
async fn every_branch_is_sent_in_requests_of_a_bounded_size() {
    let receiver = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/traces"))
        .and(header("content-type", "application/x-protobuf"))
        .respond_with(ResponseTemplate::new(200))
        .expect(3)
        .mount(&receiver)
        .await;
    let exported = exported(&receiver.uri(), 600).await;
    assert_eq!(exported.to_string(), "600 sent");
}

#[tokio::test]
async fn what_a_receiver_does_not_take_and_what_finds_no_place_is_counted() {
    let refuses = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&refuses)
        .await;
    let queue = u64::try_from(QUEUE).unwrap();
    let exported = exported(&refuses.uri(), queue + 100).await;
    let (sampled, accepted) = (exported.sampled, exported.accepted);
    assert_eq!((sampled, accepted), (queue + 100, 0));
    assert!(
        exported.to_string().starts_with("0 sent, 8292 dropped"),
        "{exported}"
    );
}

#[tokio::test]
async fn a_receiver_that_is_not_there_costs_traces_and_nothing_else() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let exported = exported(&address, 10).await;
    assert_eq!((exported.sampled, exported.accepted), (10, 0));
}

#[tokio::test]
async fn a_receiver_that_takes_a_part_is_not_counted_as_having_taken_all() {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message;
    let picky = MockServer::start().await;
    let answer = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too old".to_owned(),
        }),
    };
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(answer.encode_to_vec()))
        .mount(&picky)
        .await;
    let exported = exported(&picky.uri(), 3).await;
    assert_eq!((exported.sampled, exported.accepted), (3, 0));
}
