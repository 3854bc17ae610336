//! Traces of events, as an OTLP receiver gets them. The receiver is a double that stores its requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::Test;
use super::stack::command::{assert_complete, ended, result_folder, small_run};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[(
    "traces_hold_every_event_on_every_path_as_the_result_has_it",
    traces_agree,
)];

fn traces_agree(stack: &TestStack) {
    let receiver = stack.block_on(async {
        let receiver = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/v1/traces"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&receiver)
            .await;
        receiver
    });
    let results = open_folder();
    let uri = receiver.uri();
    let run = small_run(
        stack.kept(),
        results.path(),
        &[
            "--capture",
            "both",
            "--events",
            "150",
            "--rate",
            "150",
            "--otlp",
            &uri,
            "--otlp-sample",
            "1",
        ],
    );
    let run = ended(run);
    assert_complete(&run.json(), 150);
    assert!(run.err.contains("traces: 300 sent"), "{}", run.err);

    let requests = stack.block_on(receiver.received_requests()).unwrap();
    let spans: Vec<Span> = requests
        .iter()
        .map(|request| ExportTraceServiceRequest::decode(&request.body[..]).unwrap())
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    assert_eq!(spans.len(), 2 * 6 * 150);
    // By trace, root and hop: the duration.
    let mut took = BTreeMap::new();
    for span in &spans {
        let branch = match &span.parent_span_id[..] {
            [] => &span.span_id[..],
            parent => parent,
        };
        let (Attribute::StringValue(hop), Attribute::IntValue(ns)) =
            (attribute(span, "cdc.hop"), attribute(span, "cdc.hop_ns"))
        else {
            panic!("a span has its hop: {span:?}");
        };
        let place = (span.trace_id.clone(), branch.to_vec(), hop);
        assert!(took.insert(place, ns).is_none(), "twice: {span:?}");
    }
    let roots: BTreeMap<_, _> = spans
        .iter()
        .filter(|span| span.parent_span_id.is_empty())
        .map(|root| ((root.trace_id.clone(), root.name.clone()), &root.span_id))
        .collect();
    let folder = result_folder(results.path()).unwrap();
    let lines = BufReader::new(std::fs::File::open(folder.join("events.jsonl")).unwrap()).lines();
    let mut compared = 0;
    for line in lines {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id: uuid::Uuid = line["id"].as_str().unwrap().parse().unwrap();
        let trace = id.as_bytes().to_vec();
        let name = format!("event via {}", line["path"].as_str().unwrap());
        let root = roots[&(trace.clone(), name)];
        for hop in [
            "commit",
            "wal_delivery",
            "kafka_delivery",
            "consumer_lag",
            "processing",
            "total",
        ] {
            let ns = took[&(trace.clone(), root.clone(), hop.to_owned())];
            assert_eq!(line["hops"][hop], ns, "{hop} of {line}");
            compared += 1;
        }
    }
    assert_eq!(compared, spans.len());
}

fn attribute(span: &Span, key: &str) -> Attribute {
    let pair = span.attributes.iter().find(|pair| pair.key == key).unwrap();
    pair.value.clone().unwrap().value.unwrap()
}
