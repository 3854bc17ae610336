//! Clients of the four servers, each checked by a request.

use cdc_bench_stack::Endpoints;
use rdkafka::ClientConfig;
use tokio_postgres::Client;

use crate::broker::Admin;
use crate::debezium::ConnectClient;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceRegistry;
use crate::pipeline::provision::source::connect_postgres;
use crate::settings::Settings;
use crate::store::MongoStore;

/// Clients of the servers of a pipeline.
pub struct ServerClients {
    /// Addresses and credentials.
    pub endpoints: Endpoints,
    /// PostgreSQL, the source.
    pub postgres: Client,
    /// Registry of the resources on all servers.
    pub registry: ResourceRegistry,
    /// Kafka's topics and groups.
    pub kafka: Admin,
    /// Base configuration of every Kafka client.
    pub kafka_config: ClientConfig,
    /// Kafka Connect, if its address is known.
    pub connect: Option<ConnectClient>,
    /// The store.
    pub store: MongoStore,
}

impl ServerClients {
    /// Connects to servers that are up already: the user's, or the kept stack.
    ///
    /// # Errors
    /// When there are none, or as [`ServerClients::connect`].
    pub async fn connect_running(settings: &Settings) -> Result<Self, Failure> {
        Self::connect(&cdc_bench_stack::running_endpoints(&settings.servers())?.all()?).await
    }

    /// New clients of the same servers if PostgreSQL's connection was lost: the others connect anew by themselves.
    ///
    /// # Errors
    /// As [`ServerClients::connect`].
    pub(crate) async fn renewed(&self) -> Result<Option<Self>, Failure> {
        if !self.postgres.is_closed() {
            return Ok(None);
        }
        let mut renewed = Self::connect(&self.endpoints).await?;
        renewed.registry = renewed.registry.after(&self.registry);
        Ok(Some(renewed))
    }

    /// Connects to all servers at once, and checks that the store can be written to.
    ///
    /// # Errors
    /// The first server, in the pipeline's order, that is unreachable or refuses.
    pub async fn connect(endpoints: &Endpoints) -> Result<Self, Failure> {
        let kafka_config = endpoints.kafka.client_config();
        let connect = endpoints
            .connect
            .as_ref()
            .map(ConnectClient::new)
            .transpose()?;
        let (postgres, kafka, connected, store) = tokio::join!(
            connect_postgres(&endpoints.postgres),
            Admin::connect(&kafka_config),
            async {
                match &connect {
                    Some(client) => client.version().await.map(drop),
                    None => Ok(()),
                }
            },
            async {
                let store = MongoStore::connect(&endpoints.store).await?;
                store.check_writable().await?;
                Ok::<_, crate::store::StoreError>(store)
            }
        );
        let postgres = postgres?;
        let (kafka, ()) = (kafka?, connected?);
        let store = store?;
        let registry_client = connect_postgres(&endpoints.postgres).await?;
        Ok(Self {
            endpoints: endpoints.clone(),
            postgres,
            registry: ResourceRegistry::new(registry_client),
            kafka,
            kafka_config,
            connect,
            store,
        })
    }
}

/// A new connection to PostgreSQL if the one there is was lost.
pub(crate) async fn renewed_postgres(servers: &ServerClients) -> Result<Option<Client>, Failure> {
    if !servers.postgres.is_closed() {
        return Ok(None);
    }
    Ok(Some(connect_postgres(&servers.endpoints.postgres).await?))
}
