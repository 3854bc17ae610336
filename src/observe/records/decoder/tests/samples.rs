//! Records of real connectors, see `samples/`.

use std::collections::BTreeMap;

use serde::Deserialize;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::*;
use crate::observe::records::RecordChange;
use cdc_bench_model::observation::Operation::{self, Create, Delete, Message, Read, Update};
use cdc_bench_stack::RegistryEndpoint;

#[derive(Deserialize)]
struct Samples {
    /// Answers by path.
    registry: BTreeMap<String, Value>,
    records: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    topic: String,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: BTreeMap<String, Option<Bytes>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bytes {
    Text(String),
    Hex(String),
}

impl Bytes {
    fn of(part: Option<&Self>) -> Option<Vec<u8>> {
        Some(match part? {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex(digits) => {
                let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                (0..digits.len()).step_by(2).map(byte).collect()
            }
        })
    }
}

/// What each record of a topic is.
async fn observed() -> BTreeMap<String, Vec<Observed>> {
    let samples: Samples =
        serde_json::from_str(include_str!("../../samples/debezium-3.6.json")).unwrap();
    let server = MockServer::start().await;
    for (at, answer) in &samples.registry {
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(method("GET"))
            .and(path(at))
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
    }
    let registry = RegistryEndpoint::parse(&format!("{}/apis/registry/v2", server.uri())).unwrap();
    let decoder = RecordDecoder::new(RecordSettings::default().with_registry(registry).unwrap());
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for sample in &samples.records {
        let (key, value) = (
            Bytes::of(sample.key.as_ref()),
            Bytes::of(sample.value.as_ref()),
        );
        let headers = sample.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), Bytes::of(value.as_ref())))
            .collect();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_deref()))
            .collect();
        let record = RawRecord {
            topic: &sample.topic,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        };
        let observed = decoder.decode(record).await.unwrap();
        all.entry(sample.topic.clone()).or_default().push(observed);
    }
    all
}

fn changes(records: &[Observed]) -> Vec<RecordChange> {
    let change = |observed: &Observed| match observed {
        Observed::Change(change) => Some(change.clone()),
        _ => None,
    };
    records.iter().filter_map(change).collect()
}

/// Without what is a connector's own: when it handed the change on.
fn of_the_source(change: &RecordChange) -> RecordChange {
    RecordChange {
        handed_on_at: None,
        resolution_us: 0,
        ..change.clone()
    }
}

#[tokio::test]
async fn one_change_is_the_same_in_every_form_and_encoding() {
    let all = observed().await;
    let customers = |prefix: &str| -> Vec<_> {
        let changes = changes(&all[&format!("{prefix}.public.customers")]);
        let streamed = changes.iter().filter(|change| !change.is_snapshot);
        assert!(
            changes
                .iter()
                .all(|change| change.handed_on_at.is_some() && change.resolution_us == 1)
        );
        streamed.map(of_the_source).collect()
    };
    let json = customers("json");
    let operations: Vec<_> = json
        .iter()
        .map(|change| change.operation.unwrap())
        .collect();
    assert_eq!(operations, [Create, Update, Delete]);
    assert!(
        json.iter()
            .all(|change| change.key == r#"{"id":2,"tenant":"eu"}"#)
    );
    assert!(
        json.iter()
            .all(|change| change.lsn.is_some() && change.tx_id.is_some())
    );
    for prefix in [
        "schemas",
        "avro",
        "confluent",
        "global8",
        "flat",
        "flatheaders",
    ] {
        assert_eq!(customers(prefix), json, "{prefix}");
    }
}

#[tokio::test]
async fn keys_of_every_type_are_the_same_in_json_and_avro() {
    let all = observed().await;
    let json = changes(&all["json.public.typed"]);
    assert_eq!(
        json[0].key,
        r#"{"b":true,"d":"DLI=","day":20513,"f":1.1,"u":"0b5ba9d9-6f0c-4c8e-b5d6-3f2f7b4d1c11"}"#
    );
    for topic in ["avro.public.typed", "confluent.public.typed"] {
        assert_eq!(changes(&all[topic])[0].key, json[0].key, "{topic}");
    }
}

#[tokio::test]
async fn each_record_of_a_kind_is_recognised() {
    let all = observed().await;
    let operations = |topic: &str| -> Vec<Option<Operation>> {
        changes(&all[topic])
            .iter()
            .map(|change| change.operation)
            .collect()
    };
    for prefix in ["json", "avro"] {
        let of = |rest: &str| &all[&format!("{prefix}.{rest}")];
        assert_eq!(
            operations(&format!("{prefix}.public.customers"))[0],
            Some(Read)
        );
        let last = of("public.customers").last().unwrap();
        let tombstone = Observed::Tombstone {
            key: r#"{"id":2,"tenant":"eu"}"#.to_owned(),
        };
        assert_eq!(last, &tombstone);
        assert_eq!(operations(&format!("{prefix}.message")), [Some(Message)]);
        assert_eq!(changes(of("public.keyless"))[0].key, "{}");
        let transaction = Observed::NotAChange(NotAChange::TransactionMetadata);
        assert!(
            of("transaction")
                .iter()
                .all(|observed| observed == &transaction)
        );
    }
    for prefix in ["json", "schemas", "avro"] {
        let heartbeats = &all[&format!("__debezium-heartbeat.{prefix}")];
        assert_eq!(
            heartbeats[0],
            Observed::NotAChange(NotAChange::Heartbeat),
            "{prefix}"
        );
    }
    let keyless = changes(&all["flat.public.keyless"]);
    assert_eq!(
        (&*keyless[0].key, keyless[0].operation),
        ("{}", Some(Create))
    );
    let outbox = changes(&all["outbox.Order"]);
    assert_eq!(
        outbox[0].key,
        r#"{"id":"3f2f7b4d-6f0c-4c8e-b5d6-0b5ba9d91c11"}"#
    );
}

#[tokio::test]
async fn without_a_registry_it_is_said_which_setting_lacks() {
    let record = RawRecord {
        topic: "shop.public.orders",
        key: None,
        value: Some(b"\0\0\0\0\x07\x02"),
        headers: &[],
    };
    let error = RecordDecoder::default().decode(record).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("SCHEMA_REGISTRY_URL") && text.contains("shop.public.orders"),
        "{text}"
    );
    assert!(!error.may_pass());
    // A number is a key without a schema, whatever its bytes look like.
    let number = RawRecord {
        key: Some(b"\0\0\0\0\x07\0\0\x01"),
        value: None,
        ..record
    };
    let observed = RecordDecoder::default().decode(number).await.unwrap();
    assert_eq!(
        observed,
        Observed::Tombstone {
            key: "117440513".to_owned()
        }
    );
}
