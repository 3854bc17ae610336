//! Against a double of Connect's REST interface (wiremock), for the answers a real one gives only in trouble.

use super::*;
use serde_json::json;
use wiremock::matchers::{any, body_json, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn at(url: &str) -> ConnectClient {
    ConnectClient::new(&ConnectEndpoint::parse(url).unwrap()).unwrap()
}

async fn double() -> (MockServer, ConnectClient) {
    let server = MockServer::start().await;
    let client = at(&server.uri());
    (server, client)
}

#[tokio::test]
async fn a_change_waits_for_a_rebalance_to_end() {
    let (server, client) = double().await;
    let conflict = ResponseTemplate::new(409)
        .set_body_json(json!({"error_code": 409, "message": "rebalance"}));
    Mock::given(method("PUT"))
        .and(path("/connectors/a/config"))
        .respond_with(conflict)
        .up_to_n_times(2)
        .expect(2)
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(path("/connectors/a/config"))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    client.put_config("a", &BTreeMap::new()).await.unwrap();
}

#[tokio::test]
async fn a_removal_does_not_overtake_what_somebody_gone_has_asked_for() {
    const ANSWERED_AFTER: Duration = Duration::from_millis(400);
    let (server, client) = double().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({}));
    Mock::given(method("PUT"))
        .and(path("/connectors/a/config"))
        .respond_with(created.set_delay(ANSWERED_AFTER))
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let began = Instant::now();
    let config = BTreeMap::new();
    let interrupted = tokio::time::timeout(ANSWERED_AFTER / 8, client.put_config("a", &config));
    assert!(interrupted.await.is_err());
    client.delete("a").await.unwrap();
    assert!(began.elapsed() >= ANSWERED_AFTER, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_snapshot_under_way_shows_in_the_offsets() {
    for (offset, expected) in [
        (
            json!({"lsn": 7, "snapshot": "INITIAL", "snapshot_completed": false}),
            true,
        ),
        (json!({"lsn": 7, "snapshot": true}), true),
        (
            json!({"lsn": 7, "snapshot": "INITIAL", "snapshot_completed": true}),
            false,
        ),
        (json!({"lsn": 7}), false),
    ] {
        let (server, client) = double().await;
        let entry = json!({"partition": {"server": "x"}, "offset": offset});
        Mock::given(method("GET"))
            .and(path("/connectors/a/offsets"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"offsets": [entry]})))
            .mount(&server)
            .await;
        assert_eq!(
            client.is_in_snapshot("a").await.unwrap(),
            expected,
            "{offset}"
        );
    }
}

#[tokio::test]
async fn a_failed_task_ends_the_wait_with_its_reason() {
    let (server, client) = double().await;
    let trace = "org.apache.kafka.connect.errors.ConnectException: boom\n\tat a.b.C(D.java:1)\nCaused by: wal_level of s3cret\n\t... 9 more";
    let config = json!({"name": "a", "database.password": "s3cret"});
    Mock::given(method("GET"))
        .and(path("/connectors/a/config"))
        .respond_with(ResponseTemplate::new(200).set_body_json(config))
        .mount(&server)
        .await;
    let status = json!({"name": "a", "connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED", "trace": trace}]});
    Mock::given(method("GET"))
        .and(path("/connectors/a/status"))
        .respond_with(ResponseTemplate::new(200).set_body_json(status))
        .mount(&server)
        .await;
    let error = client
        .wait_running("a", Duration::from_secs(5), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "connector \"a\" failed: org.apache.kafka.connect.errors.ConnectException: boom; Caused by: wal_level of ********"
    );
}

#[tokio::test]
async fn a_connector_without_a_task_does_not_run_yet() {
    let (server, client) = double().await;
    let status = json!({"name": "a", "connector": {"state": "RUNNING"}, "tasks": []});
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_json(status))
        .mount(&server)
        .await;
    let error = client
        .wait_running("a", Duration::from_millis(300), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error, KafkaConnectError::NotRunning { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn connectors_are_listed_with_why_one_does_not_work() {
    let (server, client) = double().await;
    let connector = |state: &str, task: &str| {
        json!({
            "info": {"config": {"topic.prefix": "p"}},
            "status": {"connector": {"state": state}, "tasks": [{"id": 0, "state": task, "trace": "boom"}]},
        })
    };
    let all = json!({
        "a": connector("RUNNING", "RUNNING"),
        "b": connector("PAUSED", "PAUSED"),
        "c": connector("RUNNING", "FAILED"),
        "d": {"info": {"config": {}}},
    });
    Mock::given(method("GET"))
        .and(path("/connectors"))
        .respond_with(ResponseTemplate::new(200).set_body_json(all))
        .mount(&server)
        .await;
    let found = client.connectors().await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|c| (&*c.name, c.idle.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("a", None),
            ("b", Some("PAUSED")),
            ("c", Some("FAILED: boom")),
            ("d", None)
        ]
    );
}

#[tokio::test]
async fn what_is_not_there_is_deleted_already() {
    let (server, client) = double().await;
    Mock::given(any())
        .respond_with(
            ResponseTemplate::new(404).set_body_json(json!({"error_code": 404, "message": "no"})),
        )
        .mount(&server)
        .await;
    client.delete("a b/c").await.unwrap();
    assert!(matches!(
        client.status("a").await,
        Err(KafkaConnectError::NoConnector { .. })
    ));
}

#[tokio::test]
async fn an_error_of_connecting_has_the_address() {
    let client = at("http://127.0.0.1:9");
    let error = client.version().await.unwrap_err().to_string();
    assert!(
        error.contains("http://127.0.0.1:9") && error.contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn exactly_once_is_asked_of_connect_before_anything_is_made() {
    let (server, client) = double().await;
    let asked = |class: &str, value: serde_json::Value| {
        let other =
            json!({"definition": null, "value": {"name": "odd", "errors": ["not defined"]}});
        Mock::given(method("PUT"))
            .and(path(format!("/connector-plugins/{class}/config/validate")))
            .respond_with(
                ResponseTemplate::new(200).set_body_json(json!({"configs": [other, value]})),
            )
            .mount(&server)
    };
    let verdict = |errors: &[&str]| json!({"definition": {"name": EXACTLY_ONCE_SUPPORT, "type": "STRING"}, "value": {"name": EXACTLY_ONCE_SUPPORT, "errors": errors}});
    asked("able", verdict(&[])).await;
    let off = "This worker does not have exactly-once source support enabled.";
    asked("unable", verdict(&[off])).await;
    asked("old", json!({"definition": null, "value": {}})).await;
    let required = async |class: &str| {
        let config = [("connector.class".to_owned(), class.to_owned())].into();
        let required = client.require_exactly_once(&config).await;
        required.map_err(|error| error.to_string())
    };
    assert_eq!(required("able").await, Ok(()));
    let error = required("unable").await.unwrap_err();
    let words = [
        "source support enabled; its workers",
        "exactly.once.source.support=enabled",
    ];
    assert!(words.iter().all(|words| error.contains(words)), "{error}");
    let error = required("old").await.unwrap_err();
    assert!(error.contains("from Kafka 3.3 on"), "{error}");
}

#[tokio::test]
async fn a_plugin_says_which_settings_are_passwords_and_is_asked_once_without_them() {
    let (server, client) = double().await;
    let definition =
        |name: &str, kind: &str| json!({"definition": {"name": name, "type": kind}, "value": {}});
    let configs = [definition("odd", "PASSWORD"), definition("plain", "STRING")];
    Mock::given(method("PUT"))
        .and(path("/connector-plugins/a.B/config/validate"))
        .and(body_json(
            json!({"connector.class": "a.B", "transforms.t.type": "c.D"}),
        ))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"configs": configs})))
        .expect(1)
        .mount(&server)
        .await;
    let config = [
        ("connector.class", "a.B"),
        ("transforms.t.type", "c.D"),
        ("odd", "tiger"),
        ("plain", "seen"),
        ("database.password", "tiger"),
    ];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    for _ in 0..2 {
        let shown = client.redacted(&config.clone().into()).await;
        assert_eq!((&*shown["odd"], &*shown["plain"]), ("********", "seen"));
        assert!(!format!("{shown:?}").contains("tiger"));
    }
}

#[tokio::test]
async fn a_refusal_that_repeats_the_configuration_is_shown_without_its_secrets() {
    let (server, client) = double().await;
    let refusal = json!({"error_code": 400, "message": "invalid value tiger for a.password"});
    Mock::given(method("PUT"))
        .respond_with(ResponseTemplate::new(400).set_body_json(refusal))
        .mount(&server)
        .await;
    let config = BTreeMap::from([("a.password".to_owned(), "tiger".to_owned())]);
    let error = client.put_config("a", &config).await.unwrap_err();
    assert!(
        error.to_string().contains("invalid value ********"),
        "{error}"
    );
}

#[tokio::test]
async fn what_connect_does_not_define_is_hidden_and_it_is_asked_again() {
    let (server, client) = double().await;
    Mock::given(path("/connector-plugins/a.B/config/validate"))
        .respond_with(ResponseTemplate::new(403))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let odd = json!({"definition": {"name": "odd", "type": "STRING"}, "value": {}});
    Mock::given(path("/connector-plugins/a.B/config/validate"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"configs": [odd]})))
        .with_priority(6)
        .mount(&server)
        .await;
    let config = [("connector.class", "a.B"), ("odd", "tiger")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = BTreeMap::from(config);
    let shown = client.redacted(&config).await;
    assert_eq!(
        (&*shown["connector.class"], &*shown["odd"]),
        ("a.B", "********")
    );
    assert_eq!(client.redacted(&config).await["odd"], "tiger");
}

#[tokio::test]
async fn an_exception_is_not_shown_where_its_secrets_are_not_known() {
    let (server, client) = double().await;
    let status = json!({"connector": {"state": "FAILED", "trace": "refused tiger"}, "tasks": []});
    Mock::given(path("/connectors/a/status"))
        .respond_with(ResponseTemplate::new(200).set_body_json(status.clone()))
        .mount(&server)
        .await;
    Mock::given(path("/connectors/a/config"))
        .respond_with(ResponseTemplate::new(403))
        .mount(&server)
        .await;
    let reason = client.status("a").await.unwrap().failure().unwrap();
    assert!(
        reason.contains("403") && !reason.contains("tiger"),
        "{reason}"
    );
    // The plugin's definitions are refused as well: the odd setting may be a password.
    let config = json!({"connector.class": "a.B", "odd": "tiger", "topic.prefix": "refused"});
    let all = json!({"a": {"info": {"config": config}, "status": status}});
    Mock::given(path("/connectors"))
        .respond_with(ResponseTemplate::new(200).set_body_json(all))
        .mount(&server)
        .await;
    let found = client.connectors().await.unwrap();
    assert_eq!(found[0].idle.as_deref(), Some("FAILED: refused ********"));
}
