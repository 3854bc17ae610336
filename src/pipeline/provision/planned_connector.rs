//! A connector of ours: its configuration, with all that would refuse it looked at before anything is made; its registration.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::report::ConnectorReport;
use cdc_bench_stack::KafkaEndpoint;
use tokio_util::sync::CancellationToken;

use crate::debezium::{
    ConnectClient, ConnectorParams, ConnectorProfile, KafkaConnectError, connector_config,
    is_less_strict, requires_exactly_once,
};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::names::ConnectorNames;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::existing_slots;
use crate::pipeline::request::ConnectorRequest;

/// Longest wait for a connector to be RUNNING.
pub(super) const RUNNING_LIMIT: Duration = Duration::from_secs(60);

/// A connector that can be registered.
pub(crate) struct PlannedConnector {
    names: ConnectorNames,
    profile: ConnectorProfile,
    config: BTreeMap<String, String>,
}

impl PlannedConnector {
    /// Plans a connector of these names, whose topics have so many partitions, or one and another key. Nothing is made.
    ///
    /// # Errors
    /// When Connect lacks Debezium, or exactly-once delivery that is asked for; a name is somebody's; or the connector could not reach
    /// a server with what we know.
    pub(crate) async fn plan(
        servers: &ServerClients,
        names: ConnectorNames,
        publication: &str,
        (request, partitions): (&ConnectorRequest, Option<i32>),
    ) -> Result<Self, Failure> {
        let connect = connect_of(servers)?;
        connect.require_debezium().await?;
        refuse_foreign_names(servers, &names).await?;
        let endpoints = &servers.endpoints;
        let producer = producer_properties(&endpoints.kafka, &request.overrides)?;
        let profile = request.profile.unwrap_or(ConnectorProfile::LowLatency);
        let table = names.shard.table();
        let params = ConnectorParams {
            table: &table,
            name: &names.connector,
            postgres: &endpoints.postgres,
            address: endpoints.postgres_for_connect.as_ref(),
            reads_our_files: endpoints.are_on_loopback(),
            topic_prefix: &names.topic_prefix,
            slot: &names.slot,
            publication,
            profile,
            exactly_once: request.exactly_once,
            partitions,
            producer: &producer,
            overrides: &request.overrides,
        };
        refuse_socket(&params)?;
        let config = connector_config(&params);
        if requires_exactly_once(&config) {
            connect.require_exactly_once(&config).await?;
        }
        Ok(Self {
            names,
            profile,
            config,
        })
    }

    /// Its replication slot.
    pub(crate) fn slot(&self) -> &str {
        &self.names.slot
    }

    /// Registers it and waits until it runs.
    pub(crate) async fn register(
        self,
        servers: &ServerClients,
        run: Option<&RunId>,
        cancel: &CancellationToken,
    ) -> Result<ConnectorReport, Failure> {
        let connect = connect_of(servers)?;
        self.warn_of_client_key(servers);
        self.warn_of_unverified(servers);
        let name = self.names.connector;
        for (kind, name) in [
            (ResourceKind::Slot, &self.names.slot),
            (ResourceKind::Connector, &name),
        ] {
            servers.registry.record(kind, name, run).await?;
        }
        connect.put_config(&name, &self.config).await?;
        connect.wait_running(&name, RUNNING_LIMIT, cancel).await?;
        Ok(ConnectorReport {
            name,
            profile: Some(self.profile.to_string()),
            chosen: None,
            config: connect.redacted(&self.config).await,
        })
    }

    /// Says that a server which asks for a client certificate will refuse the connector, where we have one and it is given none.
    fn warn_of_client_key(&self, servers: &ServerClients) {
        let key = servers.endpoints.postgres.tls.client_key_pem_path.as_ref();
        if let Some(key) = key
            && !self.config.contains_key("database.sslkey")
        {
            tracing::warn!(
                "the connector shows PostgreSQL no client certificate: Connect needs certificate and key in files of its own, the key in DER (openssl pkcs8 -topk8 -nocrypt -outform DER -in {} -out KEY.pk8), as --connector-config database.sslcert=FILE and --connector-config database.sslkey=KEY.pk8",
                key.display()
            );
        }
    }

    /// Says that the connector takes PostgreSQL's certificate from anybody, where we do not.
    fn warn_of_unverified(&self, servers: &ServerClients) {
        if is_less_strict(&self.config, &servers.endpoints.postgres) {
            tracing::warn!(
                "the connector encrypts its connection to PostgreSQL, and does not verify the certificate (database.sslmode=require): it needs the authorities in a file on Connect's machine, as --connector-config database.sslrootcert=FILE"
            );
        }
    }
}

fn connect_of(servers: &ServerClients) -> Result<&ConnectClient, Failure> {
    servers.connect.as_ref().ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "a connector needs CONNECT_URL (--connect-url)"
        ))
    })
}

fn refuse_socket(params: &ConnectorParams<'_>) -> Result<(), Failure> {
    let mut overrides = params.overrides.iter();
    let is_redirected = overrides.any(|(key, _)| key == "database.hostname");
    if params.address.is_some() || params.postgres.socket_path().is_none() || is_redirected {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "PostgreSQL is reached by the socket {}, and a connector reaches it by TCP alone: say where with --connector-config database.hostname=HOST (and database.port=PORT), and give the connector a password if that way asks for one (POSTGRES_PASSWORD)",
        params.postgres.address()
    )))
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

/// A connector or slot of the names that we would use and that is not registered is somebody's: configuring the one would change
/// it, reading the other would take its changes away.
async fn refuse_foreign_names(
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
