use serde_json::json;
use wiremock::matchers::{basic_auth, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}"#;

fn registry(url: &str) -> Registry {
    Registry::new(RegistryEndpoint::parse(url).unwrap()).unwrap()
}

async fn answer(server: &MockServer, at: &str, body: serde_json::Value) {
    let answer = ResponseTemplate::new(200).set_body_json(body);
    Mock::given(method("GET"))
        .and(path(at))
        .respond_with(answer)
        .expect(1)
        .mount(server)
        .await;
}

async fn error(server: &MockServer) -> RegistryError {
    registry(&server.uri())
        .schema(&SchemaId::Number(7))
        .await
        .unwrap_err()
}

async fn refusing(status: u16, body: serde_json::Value) -> RegistryError {
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method("GET"))
        .respond_with(refusal)
        .mount(&server)
        .await;
    error(&server).await
}

#[tokio::test]
async fn a_schema_is_fetched_once_with_what_it_refers_to() {
    let server = MockServer::start().await;
    let outer = r#"{"type":"record","name":"Outer","fields":[{"name":"key","type":"Key"},{"name":"more","type":"More"}]}"#;
    let more = r#"{"type":"record","name":"More","fields":[{"name":"key","type":"Key"}]}"#;
    let key = json!({"name": "Key", "subject": "keys/of shops", "version": 2});
    let references = json!([{"name": "More", "subject": "more", "version": 1}, key]);
    answer(
        &server,
        "/schemas/ids/7",
        json!({"schema": outer, "references": references}),
    )
    .await;
    answer(
        &server,
        "/subjects/more/versions/1",
        json!({"schema": more, "references": [key]}),
    )
    .await;
    answer(
        &server,
        "/subjects/keys%2Fof%20shops/versions/2",
        json!({"schema": SCHEMA}),
    )
    .await;
    let registry = registry(&server.uri());
    for _ in 0..2 {
        let schema = registry
            .schema(&SchemaId::Number(7))
            .await
            .unwrap()
            .unwrap();
        let key = schema.key(&[2, 4]).unwrap();
        assert_eq!(
            key.into_canonical(None),
            r#"{"key":{"id":1},"more":{"key":{"id":2}}}"#
        );
    }
}

#[tokio::test]
async fn a_global_id_is_apicurios_and_a_guid_confluents() {
    let server = MockServer::start().await;
    answer(
        &server,
        "/apis/registry/v2/ids/globalIds/7",
        serde_json::from_str(SCHEMA).unwrap(),
    )
    .await;
    let guid = SchemaId::Guid([1; 16]);
    answer(
        &server,
        "/apis/ccompat/v7/schemas/guids/01010101-0101-0101-0101-010101010101",
        json!({"schema": SCHEMA}),
    )
    .await;
    let registry = registry(&format!("{}/apis/registry/v2", server.uri()));
    for id in [SchemaId::Global(7), guid] {
        assert!(registry.schema(&id).await.unwrap().is_ok(), "{id}");
    }
}

#[tokio::test]
async fn the_login_is_sent() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({"schema": SCHEMA}));
    Mock::given(basic_auth("ana", "ti/ger"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let url = server.uri().replace("http://", "http://ana:ti%2Fger@");
    assert!(
        registry(&url)
            .schema(&SchemaId::Number(7))
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn a_registry_that_was_away_is_asked_again() {
    let server = MockServer::start().await;
    let away = ResponseTemplate::new(503);
    Mock::given(method("GET"))
        .respond_with(away)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    answer(&server, "/schemas/ids/7", json!({"schema": SCHEMA})).await;
    let registry = registry(&server.uri());
    let id = SchemaId::Number(7);
    let error = registry.schema(&id).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    // For a moment it is not asked: a topic may have thousands of records meanwhile.
    assert_eq!(registry.schema(&id).await.unwrap_err(), error);
    tokio::time::sleep(FIRST_PAUSE).await;
    assert!(registry.schema(&id).await.unwrap().is_ok());
}

#[tokio::test]
async fn each_refusal_has_a_way_out() {
    let nothing = json!({"error_code": 40403, "message": "Schema not found"});
    for (status, body, words, may_pass) in [
        (404, nothing, "id 7", false),
        (
            404,
            json!({"title": "no such path", "status": 404}),
            "/apis/ccompat/v7",
            false,
        ),
        (404, json!({"page": "none"}), "SCHEMA_REGISTRY_URL", false),
        (
            200,
            json!({"version": "4.3.0"}),
            "no schema registry",
            false,
        ),
        (401, json!({}), "SCHEMA_REGISTRY_PASSWORD", false),
        (403, json!({}), "403", false),
        (500, json!({}), "asked again", true),
    ] {
        let error = refusing(status, body).await;
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.may_pass(), may_pass, "{error}");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = registry(&format!("http://127.0.0.1:{port}"))
        .schema(&SchemaId::Number(7))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("is it running"), "{error}");
}

#[tokio::test]
async fn a_redirect_to_another_server_is_not_followed() {
    let server = MockServer::start().await;
    let redirect =
        ResponseTemplate::new(302).insert_header("location", "http://elsewhere:1/x?secret=1");
    Mock::given(method("GET"))
        .respond_with(redirect)
        .mount(&server)
        .await;
    let error = error(&server).await.to_string();
    assert!(
        error.contains("http://elsewhere:1/x,") && !error.contains("secret"),
        "{error}"
    );
}

#[tokio::test]
async fn a_schema_that_cannot_be_read_stays_so() {
    let server = MockServer::start().await;
    answer(&server, "/schemas/ids/7", json!({"schema": "\"nothing\""})).await;
    let registry = registry(&server.uri());
    for _ in 0..2 {
        let reason = registry
            .schema(&SchemaId::Number(7))
            .await
            .unwrap()
            .unwrap_err();
        assert!(reason.contains("nothing"), "{reason}");
    }
}

#[tokio::test]
async fn the_kind_of_a_schema_decides_how_a_record_is_read() {
    let server = MockServer::start().await;
    let import = json!([{"name": "shop.proto", "subject": "shop", "version": 1}]);
    let proto = "syntax = \"proto3\"; import \"shop.proto\"; message Key { shop.Id id = 1; }";
    let imported = "syntax = \"proto3\"; package shop; message Id { int64 id = 1; }";
    answer(
        &server,
        "/schemas/ids/1",
        json!({"schemaType": "PROTOBUF", "schema": proto, "references": import}),
    )
    .await;
    answer(
        &server,
        "/subjects/shop/versions/1",
        json!({"schemaType": "PROTOBUF", "schema": imported}),
    )
    .await;
    answer(
        &server,
        "/schemas/ids/2",
        json!({"schemaType": "JSON", "schema": "{}"}),
    )
    .await;
    let registry = registry(&server.uri());
    for (id, bytes) in [(1, &[0, 10, 2, 8, 7][..]), (2, br#"{"id":{"id":7}}"#)] {
        let schema = registry
            .schema(&SchemaId::Number(id))
            .await
            .unwrap()
            .unwrap();
        let key = schema.key(bytes).unwrap().into_canonical(None);
        assert_eq!(key, r#"{"id":{"id":7}}"#);
    }
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_not_asked_for_with_every_record() {
    let server = MockServer::start().await;
    let nothing = ResponseTemplate::new(404).set_body_json(json!({"error_code": 40403}));
    Mock::given(method("GET"))
        .respond_with(nothing)
        .expect(1)
        .mount(&server)
        .await;
    let registry = registry(&server.uri());
    for _ in 0..3 {
        let error = registry.schema(&SchemaId::Number(7)).await.unwrap_err();
        assert!(matches!(error, RegistryError::NoSchema { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_known_is_given_while_the_registry_is_away() {
    let server = MockServer::start().await;
    answer(&server, "/schemas/ids/7", json!({"schema": SCHEMA})).await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&server)
        .await;
    let registry = registry(&server.uri());
    assert!(registry.schema(&SchemaId::Number(7)).await.unwrap().is_ok());
    assert!(registry.schema(&SchemaId::Number(8)).await.is_err());
    assert!(registry.schema(&SchemaId::Number(7)).await.unwrap().is_ok());
    assert!(registry.schema(&SchemaId::Number(8)).await.is_err());
}
