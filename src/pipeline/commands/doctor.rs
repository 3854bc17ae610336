//! `doctor`: checks the servers that a command would use, with advice where something is missing.

use cdc_bench_stack::{Component, ConnectEndpoint, Endpoints, PostgresEndpoint, StoreEndpoint};

use crate::broker::Admin;
use crate::debezium::ConnectClient;
use crate::pipeline::provision::source::{
    SourceNeeds, check_replication, check_source, connect_postgres,
};
use crate::settings::Settings;
use crate::store::MongoStore;

/// Checks the servers that a command would use: the user's, or the components of our own stack.
pub async fn examine(settings: &Settings) -> Vec<Component> {
    match settings.endpoints() {
        Ok(None) => cdc_bench_stack::inspect(settings.stack).await,
        Ok(Some(endpoints)) => external(&endpoints).await,
        Err(error) => vec![Component::bad(
            "endpoints",
            error.to_string(),
            "see \"cdc-bench run --help\"",
        )],
    }
}

async fn external(endpoints: &Endpoints) -> Vec<Component> {
    let (postgres, kafka, connect, store) = tokio::join!(
        postgres(&endpoints.postgres),
        kafka(endpoints),
        connect(endpoints.connect.as_ref()),
        store(&endpoints.store),
    );
    vec![postgres, kafka, connect, store]
}

/// The text of our errors has its advice after the last semicolon.
fn refused(name: &str, error: &dyn std::error::Error) -> Component {
    let text = error.to_string();
    match text.rsplit_once("; ") {
        Some((what, advice)) => Component::bad(name, what, advice),
        None => Component::bad(name, text, format!("see {name}'s own log")),
    }
}

async fn postgres(endpoint: &PostgresEndpoint) -> Component {
    let name = "PostgreSQL";
    let client = match connect_postgres(endpoint).await {
        Ok(client) => client,
        Err(error) => return refused(name, &error),
    };
    let needs = SourceNeeds {
        run_id: None,
        slots: 2,
        permanent_slot: None,
    };
    let checked = async {
        check_source(&client, &needs).await?;
        check_replication(&client, endpoint).await
    };
    if let Err(error) = checked.await {
        return refused(name, &error);
    }
    let version = client
        .query_one("SELECT current_setting('server_version')", &[])
        .await
        .map(|row| row.get::<_, String>(0));
    match version {
        Ok(version) => Component::good(
            name,
            format!("{version}, {endpoint}: wal_level logical, slots free, rights suffice"),
        ),
        Err(error) => refused(name, &error),
    }
}

async fn kafka(endpoints: &Endpoints) -> Component {
    let name = "Kafka";
    match Admin::connect(&endpoints.kafka.client_config()).await {
        Ok(_) => Component::good(name, format!("answers at {}", endpoints.kafka.bootstrap)),
        Err(error) => refused(name, &error),
    }
}

async fn connect(endpoint: Option<&ConnectEndpoint>) -> Component {
    let name = "Kafka Connect";
    let Some(endpoint) = endpoint else {
        return Component::bad(
            name,
            "no address: the topic is taken to be fed",
            "set CONNECT_URL, so that a connector can be found or made",
        );
    };
    let found = async {
        let client = ConnectClient::new(endpoint)?;
        client.require_debezium().await?;
        let (version, debezium) = (client.version().await?, client.debezium_version().await?);
        Ok::<_, crate::debezium::KafkaConnectError>(format!(
            "{version} with Debezium {}, {endpoint}",
            debezium.unwrap_or_default()
        ))
    };
    match found.await {
        Ok(found) => Component::good(name, found),
        Err(error) => refused(name, &error),
    }
}

async fn store(endpoint: &StoreEndpoint) -> Component {
    let name = "store";
    let found = async {
        let store = MongoStore::connect(endpoint).await?;
        store.check_writable().await?;
        let identity = store.identity().await?;
        Ok::<_, crate::store::StoreError>(format!(
            "{} {}, {}, takes writes at majority and journal",
            identity.name,
            identity.version,
            store.server()
        ))
    };
    match found.await {
        Ok(found) => Component::good(name, found),
        Err(error) => refused(name, &error),
    }
}
