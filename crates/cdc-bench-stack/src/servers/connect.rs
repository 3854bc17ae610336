//! Kafka Connect with Debezium.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;

use super::jvm;
use super::kafka_links::KafkaClient;
use super::launch::{path_text, until_ready, write_config};
use super::plan::{CONNECT, StartPlan};
use crate::artifacts::version;
use crate::endpoints::{ConnectEndpoint, Endpoints};
use crate::error::StackError;
use crate::processes::{Child, process_name};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// Settings of Kafka Connect as a distributed worker, beside its addresses.
pub(crate) const SETTINGS: [(&str, &str); 17] = [
    ("group.id", "connect"),
    // There is one worker: where it has lost its membership and joins again, nobody else is to be waited for. The default is five
    // minutes, for which its connectors stand still.
    ("scheduled.rebalance.max.delay.ms", "0"),
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

/// How each worker differs where there are several: the tasks of one that has died are given to another at once, and not after five
/// minutes in which it might come back.
const SEVERAL: [(&str, &str); 3] = [
    ("scheduled.rebalance.max.delay.ms", "0"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "2000"),
];

/// How Connect's own topics are kept where there are several brokers.
const REPLICATED: [(&str, &str); 3] = [
    ("config.storage.replication.factor", "3"),
    ("offset.storage.replication.factor", "3"),
    ("status.storage.replication.factor", "3"),
];

/// The settings of a worker, beside its addresses.
fn settings(plan: &StartPlan<'_>) -> BTreeMap<&'static str, &'static str> {
    let mut settings: BTreeMap<_, _> = SETTINGS.into();
    if plan.ports.connect.len() > 1 {
        settings.extend(SEVERAL);
    }
    if plan.ports.brokers.len() > 1 {
        settings.extend(REPLICATED);
    }
    // Not every plugin is registered as a service; looking for the others takes time.
    if !plan.options.connect_plugins.is_empty() {
        settings.insert("plugin.discovery", "hybrid_warn");
    }
    if plan.options.connect_exactly_once {
        settings.insert("exactly.once.source.support", "enabled");
    }
    settings
}

/// Starts Kafka Connect in distributed mode with Debezium in its plugin path: its workers at once, in one group.
pub(crate) async fn start(plan: &StartPlan<'_>) -> Vec<Result<Child, StackError>> {
    let workers = (1..=plan.ports.connect.len()).map(|number| start_worker(plan, number));
    let started = join_all(workers).await;
    if started.iter().all(Result::is_ok) {
        plan.report_ready(CONNECT);
    }
    started
}

async fn start_worker(plan: &StartPlan<'_>, number: usize) -> Result<Child, StackError> {
    let all = &plan.ports.connect;
    let (port, name) = (all[number - 1], process_name("connect", number, all.len()));
    let config = plan.folder.join(format!("{name}.properties"));
    let others = &plan.options.connect_plugins;
    let plugins = std::iter::once(&plan.artifacts.plugins).chain(others);
    let plugins: Vec<_> = plugins.map(|folder| path_text(folder)).collect();
    let linked = plan.kafka_links.get(KafkaClient::Connect);
    let linked = linked
        .iter()
        .map(|link| format!("127.0.0.1:{}", link.port()));
    let linked = linked.collect::<Vec<_>>().join(",");
    let bootstrap = if linked.is_empty() {
        &plan.endpoints.kafka.bootstrap
    } else {
        &linked
    };
    let here = [
        ("bootstrap.servers", &**bootstrap),
        ("listeners", &format!("http://127.0.0.1:{port}")),
        ("rest.advertised.host.name", "127.0.0.1"),
        ("rest.advertised.port", &port.to_string()),
        ("plugin.path", &plugins.join(",")),
    ];
    let settings: Vec<_> = here.into_iter().chain(settings(plan)).collect();
    write_config(&config, &settings)?;
    let version = format!("{} with Debezium {}", version::kafka(), version::debezium());
    let mut child = Child::start(jvm::server(
        plan,
        &name,
        &version,
        port,
        "org.apache.kafka.connect.cli.ConnectDistributed",
        &config,
    ))?;
    let endpoint = ConnectEndpoint::on_loopback(port);
    until_ready(&mut child, plan.cancel, || lists_debezium(&endpoint)).await?;
    Ok(child)
}

/// Ready when the worker at Connect's address lists Debezium's connector among its plugins.
pub(crate) async fn ready(endpoints: &Endpoints) -> Result<(), String> {
    match &endpoints.connect {
        Some(endpoint) => lists_debezium(endpoint).await,
        None => Err("it has no address".to_owned()),
    }
}

/// Whether a worker lists Debezium's connector among its plugins.
pub(crate) async fn lists_debezium(endpoint: &ConnectEndpoint) -> Result<(), String> {
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
