//! `doctor`: checks the servers that a command would use, with advice where something is missing.

use cdc_bench_stack::{Component, ConnectEndpoint, Endpoints, PostgresEndpoint, StoreEndpoint};

use crate::broker::Admin;
use crate::debezium::ConnectClient;
use crate::pipeline::provision::rights::missing_rights;
use crate::pipeline::provision::source::{
    SourceError, SourceNeeds, check_replication, check_source, connect_postgres,
};
use crate::settings::Settings;
use crate::store::MongoStore;

/// Checks the servers that a command would use: the user's, or the components of our own stack.
pub async fn examine(settings: &Settings) -> Vec<Component> {
    match settings.endpoints() {
        Ok(None) => cdc_bench_stack::inspect(settings.stack).await,
        Ok(Some(endpoints)) => external(&endpoints, settings).await,
        Err(error) => vec![Component::bad(
            "endpoints",
            error.to_string(),
            "see \"cdc-bench run --help\"",
        )],
    }
}

async fn external(endpoints: &Endpoints, settings: &Settings) -> Vec<Component> {
    let (postgres, kafka, connect, store) = tokio::join!(
        postgres(&endpoints.postgres),
        kafka(endpoints, settings),
        connect(endpoints.connect.as_ref()),
        store(&endpoints.store),
    );
    vec![postgres, kafka, connect, store]
}

/// The text of our errors has its advice after the last semicolon.
fn refused(name: &str, error: &dyn std::error::Error) -> Component {
    all_of(name, vec![what_and_advice(error)])
}

/// A component with problems, each with its advice.
fn all_of(name: &str, problems: Vec<(String, Option<String>)>) -> Component {
    let (what, advice): (Vec<_>, Vec<_>) = problems.into_iter().unzip();
    let advice: Vec<_> = advice.into_iter().flatten().collect();
    let advice = if advice.is_empty() {
        format!("see {name}'s own log")
    } else {
        advice.join("; ")
    };
    Component::bad(name, what.join("; "), advice)
}

/// An error's text, and its advice: what is after the last semicolon, or the statement after the last colon.
fn what_and_advice(error: &dyn std::error::Error) -> (String, Option<String>) {
    let text = error.to_string();
    let statement = || {
        let parts = text.rsplit_once(": ");
        parts.filter(|(_, advice)| advice.starts_with("ALTER ") || advice.starts_with("GRANT "))
    };
    match text.rsplit_once("; ").or_else(statement) {
        Some((what, advice)) => (what.to_owned(), Some(advice.to_owned())),
        None => (text, None),
    }
}

async fn postgres(endpoint: &PostgresEndpoint) -> Component {
    let name = "PostgreSQL";
    let client = match connect_postgres(endpoint).await {
        Ok(client) => client,
        Err(error) => return refused(name, &error),
    };
    let missing = match missing_rights(&client).await {
        Ok(missing) => missing,
        Err(failure) => {
            return Component::bad(name, failure.to_string(), "see PostgreSQL's own log");
        }
    };
    let needs = SourceNeeds {
        run_id: None,
        slots: 2,
        permanent_slot: None,
    };
    let checks = [
        check_source(&client, &needs).await.err(),
        check_replication(&client, endpoint).await.err(),
    ];
    let mut problems = Vec::new();
    for error in checks.into_iter().flatten() {
        // What the missing rights say in other words is left out.
        if missing.is_empty() || !matches!(error, SourceError::NoCreate { .. }) {
            problems.push(what_and_advice(&error));
        }
    }
    if !missing.is_empty() {
        problems.push((missing.what(), Some(missing.statements())));
    }
    if !problems.is_empty() {
        return all_of(name, problems);
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

async fn kafka(endpoints: &Endpoints, settings: &Settings) -> Component {
    let name = "Kafka";
    let bootstrap = &endpoints.kafka.bootstrap;
    let groups = if settings.group_is_given {
        settings.group.clone()
    } else {
        format!("{}-", settings.group)
    };
    let asked = async {
        let admin = Admin::connect(&endpoints.kafka.client_config()).await?;
        admin.missing_acls("cdc_bench_", &groups).await
    };
    match asked.await {
        Ok(missing) if missing.is_empty() => Component::good(
            name,
            format!("answers at {bootstrap}: topics may be created, groups looked at"),
        ),
        Ok(missing) => {
            let what: Vec<_> = missing.iter().map(|acl| &*acl.what).collect();
            let commands: Vec<_> = missing.iter().map(|acl| &*acl.command).collect();
            Component::bad(
                name,
                format!("{bootstrap}: this user {}", what.join(", ")),
                commands.join("; "),
            )
        }
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
