//! Kafka Connect with Debezium.

use super::text;
use crate::config::Endpoints;
use crate::debezium::ConnectClient;
use crate::stack::StackError;
use crate::stack::artifacts::version;
use crate::stack::child::Child;
use crate::stack::java;
use crate::stack::local::{CONNECT, Plan, configure, until_ready};

/// Kafka Connect's, as a distributed worker.
pub(in crate::stack) const SETTINGS: [(&str, &str); 16] = [
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

/// Kafka Connect in distributed mode with Debezium in its plugin path.
pub(in crate::stack) async fn start(plan: &Plan<'_>) -> Result<Child, StackError> {
    let config = plan.folder.join("connect.properties");
    let here = [
        ("bootstrap.servers", &*plan.endpoints.kafka.bootstrap),
        (
            "listeners",
            &format!("http://127.0.0.1:{}", plan.ports.connect),
        ),
        ("rest.advertised.host.name", "127.0.0.1"),
        ("rest.advertised.port", &plan.ports.connect.to_string()),
        ("plugin.path", &text(&plan.artifacts.plugins)),
    ];
    configure(&config, &[&here[..], &SETTINGS].concat())?;
    let version = format!("{} with Debezium {}", version::kafka(), version::debezium());
    let mut child = Child::start(java::server(
        plan,
        "connect",
        &version,
        plan.ports.connect,
        "org.apache.kafka.connect.cli.ConnectDistributed",
        &config,
    ))?;
    until_ready(&mut child, plan.cancel, || ready(plan.endpoints)).await?;
    plan.is_ready(CONNECT);
    Ok(child)
}

/// Lists Debezium's connector among its plugins.
pub(super) async fn ready(endpoints: &Endpoints) -> Result<(), String> {
    let client = ConnectClient::new(endpoints.connect.as_deref().unwrap_or_default())
        .map_err(|e| e.to_string())?;
    client.require_debezium().await.map_err(|e| e.to_string())
}
