//! The spans of an event, made from its joined stamps.

use cdc_bench_model::timeline::{Hop, InKafka, Stamp};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pgcdc::Lsn;

use super::branch::Branch;

/// Service name in traces.
const NAME: &str = "cdc-bench";
/// W3C trace flag of a sampled trace.
const SAMPLED: u32 = 1;

/// The request that carries these branches.
pub(super) fn request(branches: &[Branch], run: &str) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", NAME),
                    text("service.version", version),
                    text("service.instance.id", run),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: NAME.to_owned(),
                    version: version.to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: branches
                    .iter()
                    .flat_map(|branch| branch.spans(run))
                    .collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// A span to be made: its name, its hop, and its two stamps.
struct HopSpan {
    name: &'static str,
    kind: SpanKind,
    hop: Hop,
    from: Stamp,
    until: Stamp,
    events: Vec<Event>,
}

impl Branch {
    /// The root span, and below it the hops in order.
    pub(super) fn spans(&self, run: &str) -> Vec<Span> {
        let stamps = &self.event.stamps;
        let root = self.span(
            0,
            HopSpan {
                name: "event",
                kind: SpanKind::Internal,
                hop: Hop::Total,
                from: stamps.t0,
                until: stamps.t5,
                events: vec![span_event("committed", stamps.tc)],
            },
        );
        let mut spans = vec![Span {
            name: format!("event via {}", self.path),
            attributes: [root.attributes, self.attributes(run)].concat(),
            ..root
        }];
        for (number, hop_span) in (1..).zip(self.hop_spans()) {
            spans.push(Span {
                parent_span_id: self.span_id(0),
                ..self.span(number, hop_span)
            });
        }
        spans
    }

    /// Attributes of the root span.
    fn attributes(&self, run: &str) -> Vec<KeyValue> {
        let event = &self.event;
        let mut attributes = vec![
            text("cdc.run", run),
            text("cdc.path", self.path.as_str()),
            text("cdc.event.id", &event.id.to_string()),
            text("cdc.event.type", event.event_type.as_str()),
            text("cdc.lsn", &Lsn(event.captured.lsn).to_string()),
            number("cdc.xid", i64::from(event.captured.xid)),
        ];
        let hops = event.stamps.hops();
        if let Some(lag) = hops.get(Hop::ScheduleLag) {
            attributes.push(number("cdc.schedule_lag_ns", lag.0));
        }
        attributes
    }

    fn hop_spans(&self) -> Vec<HopSpan> {
        let stamps = &self.event.stamps;
        let hop_span = |name, kind, hop, from, until| HopSpan {
            name,
            kind,
            hop,
            from,
            until,
            events: Vec::new(),
        };
        let insert = hop_span(
            "insert",
            SpanKind::Client,
            Hop::Commit,
            stamps.t0,
            stamps.ta,
        );
        let capture = hop_span(
            "capture",
            SpanKind::Internal,
            Hop::WalDelivery,
            stamps.ta,
            stamps.t1,
        );
        let publish = (self.in_kafka != InKafka::Never).then(|| HopSpan {
            events: stamps
                .td
                .map(|td| span_event("handed on by Debezium", td))
                .into_iter()
                .collect(),
            ..hop_span(
                "publish",
                SpanKind::Producer,
                Hop::KafkaDelivery,
                stamps.t1,
                stamps.t2,
            )
        });
        let consume = hop_span(
            "consume",
            SpanKind::Consumer,
            Hop::ConsumerLag,
            stamps.t2,
            stamps.t3,
        );
        let write = HopSpan {
            events: vec![span_event("write issued", stamps.t4)],
            ..hop_span(
                "write",
                SpanKind::Client,
                Hop::Processing,
                stamps.t3,
                stamps.t5,
            )
        };
        let ahead = [insert, capture].into_iter().chain(publish);
        ahead.chain([consume, write]).collect()
    }

    fn span(&self, number_in_branch: u8, hop_span: HopSpan) -> Span {
        let HopSpan {
            name,
            kind,
            hop,
            from,
            until,
            events,
        } = hop_span;
        let took = until - from;
        let mut attributes = vec![text("cdc.hop", hop.as_str()), number("cdc.hop_ns", took.0)];
        if let Some(bound) = self.in_kafka.error_bound(hop, self.bounds) {
            attributes.push(number("cdc.error_bound_ns", bound.0));
        }
        // A negative span is a finding. It is drawn between its two ends; the sign is in `cdc.hop_ns`.
        if took.0 < 0 {
            attributes.push(attribute("cdc.is_negative", Value::BoolValue(true)));
        }
        Span {
            trace_id: self.event.id.0.as_bytes().to_vec(),
            span_id: self.span_id(number_in_branch),
            flags: SAMPLED,
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: unix_nanos(from.min(until)),
            end_time_unix_nano: unix_nanos(from.max(until)),
            attributes,
            events,
            ..Span::default()
        }
    }

    /// Derived from the random half of the event's id, which the bits of its variant keep from being zero, and the span's number.
    fn span_id(&self, number_in_branch: u8) -> Vec<u8> {
        let mut id = self.event.id.0.as_bytes()[8..].to_vec();
        id[6] ^= self.path as u8;
        id[7] ^= number_in_branch;
        id
    }
}

fn span_event(name: &str, at: Stamp) -> Event {
    Event {
        time_unix_nano: unix_nanos(at),
        name: name.to_owned(),
        ..Event::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Zero before 1970.
fn unix_nanos(stamp: Stamp) -> u64 {
    u64::try_from(stamp.0).unwrap_or(0)
}
