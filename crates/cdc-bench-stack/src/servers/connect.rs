//! Kafka Connect with Debezium.

use std::time::Duration;

use reqwest::Method;

use super::jvm;
use super::kafka_links::KafkaClient;
use super::launch::{path_text, until_ready, write_config};
use super::plan::{CONNECT, StartPlan};
use crate::artifacts::version;
use crate::endpoints::Endpoints;
use crate::error::StackError;
use crate::processes::Child;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// Settings of Kafka Connect as a distributed worker, beside its addresses.
pub(crate) const SETTINGS: [(&str, &str); 16] = [
    ("group.id", "connect"),
    (
        "key.converter",
        "org.apache.kafka.connect.json.JsonConverter",
    ),
    (
        "value.converter",
        "org.apache.kafka.connect.json.JsonConverter",
    ),
    ("key.converter.schemas.enable", "false"),
    ("value.converter.schemas.enable", "false"),
    ("config.storage.topic", "_connect_configs"),
    ("config.storage.replication.factor", "1"),
    ("offset.storage.topic", "_connect_offsets"),
    ("offset.storage.replication.factor", "1"),
    ("offset.storage.partitions", "1"),
    ("status.storage.topic", "_connect_status"),
    ("status.storage.replication.factor", "1"),
    ("status.storage.partitions", "1"),
    ("offset.flush.interval.ms", "1000"),
    ("plugin.discovery", "service_load"),
    ("connector.client.config.override.policy", "All"),
];

/// Starts Kafka Connect in distributed mode with Debezium in its plugin path.
pub(crate) async fn start(plan: &StartPlan<'_>) -> Result<Child, StackError> {
    let config = plan.folder.join("connect.properties");
    let others = &plan.options.connect_plugins;
    let plugins = std::iter::once(&plan.artifacts.plugins).chain(others);
    let plugins: Vec<_> = plugins.map(|folder| path_text(folder)).collect();
    let linked = plan.kafka_links.get(KafkaClient::Connect);
    let linked = linked.map(|link| format!("127.0.0.1:{}", link.port()));
    let bootstrap = linked.as_ref().unwrap_or(&plan.endpoints.kafka.bootstrap);
    let here = [
        ("bootstrap.servers", &**bootstrap),
        (
            "listeners",
            &format!("http://127.0.0.1:{}", plan.ports.connect),
        ),
        ("rest.advertised.host.name", "127.0.0.1"),
        ("rest.advertised.port", &plan.ports.connect.to_string()),
        ("plugin.path", &plugins.join(",")),
    ];
    // Not every plugin is registered as a service; looking for the others takes time.
    let discovery = [("plugin.discovery", "hybrid_warn")];
    let discovery = &discovery[usize::from(others.is_empty())..];
    let once = [("exactly.once.source.support", "enabled")];
    let once = &once[usize::from(!plan.options.connect_exactly_once)..];
    write_config(&config, &[&here[..], &SETTINGS, discovery, once].concat())?;
    let version = format!("{} with Debezium {}", version::kafka(), version::debezium());
    let mut child = Child::start(jvm::server(
        plan,
        "connect",
        &version,
        plan.ports.connect,
        "org.apache.kafka.connect.cli.ConnectDistributed",
        &config,
    ))?;
    until_ready(&mut child, plan.cancel, || ready(plan.endpoints)).await?;
    plan.report_ready(CONNECT);
    Ok(child)
}

/// Ready when Connect lists Debezium's connector among its plugins.
pub(crate) async fn ready(endpoints: &Endpoints) -> Result<(), String> {
    let Some(endpoint) = &endpoints.connect else {
        return Err("it has no address".to_owned());
    };
    let http = endpoint
        .client(|builder| builder.timeout(TIMEOUT))
        .map_err(|error| error.to_string())?;
    let request = endpoint.request(&http, Method::GET, &["connector-plugins"]);
    let answer = request.send().await.map_err(message)?;
    let plugins: Vec<ConnectorPlugin> = answer
        .error_for_status()
        .map_err(message)?
        .json()
        .await
        .map_err(message)?;
    if plugins.iter().any(|plugin| plugin.class == CONNECTOR_CLASS) {
        Ok(())
    } else {
        Err(format!("{endpoint} does not list {CONNECTOR_CLASS} yet"))
    }
}

/// One of the plugins that `GET /connector-plugins` lists.
#[derive(serde::Deserialize)]
struct ConnectorPlugin {
    class: String,
}

#[allow(clippy::needless_pass_by_value)] // as map_err hands it on
fn message(error: reqwest::Error) -> String {
    error.to_string()
}
