//! Debezium's connector: an existing one, used as it is, or one of our own.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::report::ConnectorReport;
use cdc_bench_stack::KafkaEndpoint;
use tokio_util::sync::CancellationToken;

use crate::debezium::{ConnectorParams, ConnectorProfile, KafkaConnectError, connector_config};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::existing_connector::{ExistingConnector, find_existing};
use crate::pipeline::provision::names::ConnectorNames;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::existing_slots;
use crate::pipeline::provision::topic::ensure_topic;
use crate::pipeline::request::RunRequest;

/// Longest wait for a connector to be RUNNING.
const RUNNING_LIMIT: Duration = Duration::from_secs(60);

/// A connector that is RUNNING, and the topic it feeds.
#[derive(Debug, Clone)]
pub(crate) struct ProvidedConnector {
    pub(crate) topic: String,
    /// Its replication slot, if known.
    pub(crate) slot: Option<String>,
    /// The connector, secrets redacted; `None` if it is unknown what feeds the topic.
    pub(crate) connector: Option<ConnectorReport>,
    /// Whether it is ours: we watch it, restart it, and remove it.
    pub(crate) ours: bool,
}

/// Finds the connector or creates one. When this returns, it is RUNNING and its topic exists.
pub(crate) async fn provide_connector(
    servers: &ServerClients,
    request: &RunRequest,
    round: u32,
    (exclusive, is_kept): (bool, bool),
    publication: &str,
    cancel: &CancellationToken,
) -> Result<ProvidedConnector, Failure> {
    Ok(match find_existing(servers, request, is_kept).await? {
        ExistingConnector::Connector(topic, connector) => ProvidedConnector {
            topic,
            slot: connector.config.get("slot.name").cloned(),
            connector: Some(connector),
            ours: false,
        },
        ExistingConnector::Unknown => ProvidedConnector {
            topic: request.settings.topic.clone(),
            slot: None,
            connector: None,
            ours: false,
        },
        ExistingConnector::None => {
            let names = ConnectorNames::for_run(request, round, exclusive);
            ensure_topic(servers, &names.topic, Some(&request.id)).await?;
            let profile = request
                .connector
                .profile
                .unwrap_or(ConnectorProfile::LowLatency);
            let connector = make_connector(
                servers,
                &names,
                publication,
                profile,
                &request.connector.overrides,
                Some(&request.id),
                cancel,
            )
            .await?;
            ProvidedConnector {
                topic: names.topic,
                slot: Some(names.slot),
                connector: Some(connector),
                ours: true,
            }
        }
    })
}

/// Looks for what would refuse [`provide_connector`], before anything is made.
///
/// # Errors
/// As [`find_existing`], or when a connector of ours would write into a topic of somebody's.
pub(crate) async fn check_connector(
    servers: &ServerClients,
    request: &RunRequest,
    (exclusive, is_kept): (bool, bool),
) -> Result<(), Failure> {
    match find_existing(servers, request, is_kept).await? {
        ExistingConnector::None => {
            let names = ConnectorNames::for_run(request, 0, exclusive);
            refuse_foreign_topic(servers, &names.topic).await
        }
        ExistingConnector::Connector(..) | ExistingConnector::Unknown => Ok(()),
    }
}

/// What its producer needs to reach a Kafka that is secured: what we need, unless the user has said what.
fn producer_properties(
    kafka: &KafkaEndpoint,
    overrides: &[(String, String)],
) -> Result<Vec<(&'static str, String)>, Failure> {
    let is_users = overrides
        .iter()
        .any(|(key, _)| key == "producer.override.security.protocol");
    if is_users {
        return Ok(Vec::new());
    }
    if kafka
        .properties
        .iter()
        .any(|(name, _)| name == "ssl.keystore.location")
    {
        return Err(Failure::usage(anyhow::anyhow!(
            "a connector's producer cannot be given a PKCS#12 file, which Connect would look for on its own machine: give certificate and key in PEM (KAFKA_SSL_CERTIFICATE, KAFKA_SSL_KEY), or say how the producer logs in (--connector-config producer.override.security.protocol=... and producer.override.ssl.*)"
        )));
    }
    kafka.security.java_properties().map_err(Failure::usage)
}

/// Says that a server which asks for a client certificate will refuse the connector, where we have one and it is given none.
fn warn_of_client_key(params: &ConnectorParams<'_>, config: &BTreeMap<String, String>) {
    let key = params.postgres.tls.client_key_pem_path.as_ref();
    if let Some(key) = key
        && !config.contains_key("database.sslkey")
    {
        tracing::warn!(
            "the connector shows PostgreSQL no client certificate: Connect needs certificate and key in files of its own, the key in DER (openssl pkcs8 -topk8 -nocrypt -outform DER -in {} -out KEY.pk8), as --connector-config database.sslcert=FILE and --connector-config database.sslkey=KEY.pk8",
            key.display()
        );
    }
}

/// A connector or slot of the names that we would use and that is not registered is somebody's: configuring the one would change
/// it, reading the other would take its changes away.
pub(crate) async fn refuse_foreign_names(
    servers: &ServerClients,
    names: &ConnectorNames,
) -> Result<(), Failure> {
    let (connector, slot) = (&names.connector, &names.slot);
    let taken = |what: &str| {
        Failure::usage(anyhow::anyhow!(
            "{what} exists, and cdc-bench has not made it; it is left as it is: rename or remove it, or name the connector that feeds the topic (run --connector NAME)"
        ))
    };
    if let Some(connect) = &servers.connect
        && !servers
            .registry
            .has(ResourceKind::Connector, connector)
            .await?
    {
        match connect.config(connector).await {
            Ok(_) => return Err(taken(&format!("connector \"{connector}\""))),
            Err(KafkaConnectError::NoConnector { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !servers.registry.has(ResourceKind::Slot, slot).await?
        && existing_slots(&servers.postgres, &[slot]).await? > 0
    {
        return Err(taken(&format!("replication slot \"{slot}\"")));
    }
    Ok(())
}

/// A topic that is there and not registered is somebody's: a connector of ours would write into it.
async fn refuse_foreign_topic(servers: &ServerClients, topic: &str) -> Result<(), Failure> {
    if servers.kafka.topic(topic).await?.is_none()
        || servers.registry.has(ResourceKind::Topic, topic).await?
    {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "topic \"{topic}\" exists, cdc-bench has not made it, and no connector is known that feeds it; it is left as it is: name the connector (--connector NAME), or leave out CONNECT_URL if something else feeds it; or choose a topic that does not exist (KAFKA_TOPIC), or none: then a run has a topic of its own"
    )))
}

/// Registers a connector and waits until it runs.
pub(crate) async fn make_connector(
    servers: &ServerClients,
    names: &ConnectorNames,
    publication: &str,
    profile: ConnectorProfile,
    overrides: &[(String, String)],
    run: Option<&RunId>,
    cancel: &CancellationToken,
) -> Result<ConnectorReport, Failure> {
    let connect = servers.connect.as_ref().ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "a connector needs CONNECT_URL (--connect-url)"
        ))
    })?;
    connect.require_debezium().await?;
    refuse_foreign_names(servers, names).await?;
    let producer = producer_properties(&servers.endpoints.kafka, overrides)?;
    let params = ConnectorParams {
        name: &names.connector,
        postgres: &servers.endpoints.postgres,
        address: servers.endpoints.postgres_for_connect.as_ref(),
        reads_our_files: servers.endpoints.are_on_loopback(),
        topic_prefix: &names.topic_prefix,
        slot: &names.slot,
        publication,
        profile,
        producer: &producer,
        overrides,
    };
    let is_redirected = overrides.iter().any(|(key, _)| key == "database.hostname");
    if params.address.is_none() && params.postgres.socket_path().is_some() && !is_redirected {
        return Err(Failure::usage(anyhow::anyhow!(
            "PostgreSQL is reached by the socket {}, and a connector reaches it by TCP alone: say where with --connector-config database.hostname=HOST (and database.port=PORT), and give the connector a password if that way asks for one (POSTGRES_PASSWORD)",
            params.postgres.address()
        )));
    }
    let config = connector_config(&params);
    warn_of_client_key(&params, &config);
    servers
        .registry
        .record(ResourceKind::Slot, &names.slot, run)
        .await?;
    servers
        .registry
        .record(ResourceKind::Connector, &names.connector, run)
        .await?;
    connect.put_config(&names.connector, &config).await?;
    connect
        .wait_running(&names.connector, RUNNING_LIMIT, cancel)
        .await?;
    Ok(ConnectorReport {
        name: names.connector.clone(),
        profile: Some(profile.to_string()),
        chosen: None,
        config: connect.redacted(&config).await,
    })
}
