//! `doctor`: checks the servers that a command would use, with advice where something is missing.

use std::fmt;
use std::time::Duration;

use cdc_bench_stack::{Component, ConnectEndpoint, Endpoints, PostgresEndpoint, StoreEndpoint};

use crate::broker::Admin;
use crate::debezium::ConnectClient;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::rights::missing_rights;
use crate::pipeline::provision::source::{
    CONNECTOR_CONNECTIONS, PUBLICATION, READER_CONNECTIONS, SourceError, SourceNeeds,
    check_publication, check_replication, check_source, check_writable, connect_postgres,
};
use crate::settings::Settings;
use crate::store::MongoStore;

/// Names of the servers.
const POSTGRES: &str = "PostgreSQL";
const KAFKA: &str = "Kafka";
const CONNECT: &str = "Kafka Connect";
const STORE: &str = "store";

/// Longest time that the questions to one server take together.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Connections of a run: those of the load where nothing else is said, the clock's and the guard's, the connector's and the reader's.
const CONNECTIONS: i64 = 4 + 2 + CONNECTOR_CONNECTIONS + READER_CONNECTIONS;

/// Checks the servers that a command would use: the user's, or the components of our own stack.
/// `unfit`: why none of the servers of PostgreSQL that are given will do.
pub async fn examine(settings: &Settings, unfit: Option<&Failure>) -> Vec<Component> {
    match settings.endpoints() {
        Ok(None) => {
            let mut components = cdc_bench_stack::inspect(settings.stack).await;
            components.extend(kept(settings).await);
            components
        }
        Ok(Some(endpoints)) => external(&endpoints, settings, unfit).await,
        Err(error) => vec![Component::bad(
            "endpoints",
            error.to_string(),
            "see \"cdc-bench run --help\"",
        )],
    }
}

/// The servers of the kept stack, if there is one: a server may stand still although its process is there.
async fn kept(settings: &Settings) -> Vec<Component> {
    let endpoints = cdc_bench_stack::running_endpoints(&settings.servers()).ok();
    let Some(endpoints) = endpoints.and_then(|given| given.all().ok()) else {
        return Vec::new();
    };
    let mut servers = external(&endpoints, settings, None).await;
    for server in &mut servers {
        server.name = format!("{} (kept)", server.name);
    }
    servers
}

async fn external(
    endpoints: &Endpoints,
    settings: &Settings,
    unfit: Option<&Failure>,
) -> Vec<Component> {
    let postgres = async {
        match unfit {
            Some(failure) => refused(POSTGRES, failure),
            None => postgres(&endpoints.postgres).await,
        }
    };
    let connect = connect(endpoints.connect.as_ref());
    let (postgres, kafka, connect, store) = tokio::join!(
        in_time(POSTGRES, postgres),
        in_time(KAFKA, kafka(endpoints, settings)),
        in_time(CONNECT, connect),
        in_time(STORE, store(&endpoints.store)),
    );
    vec![postgres, kafka, connect, store]
}

/// A server that takes connections and answers nothing is not waited for any longer than [`ANSWER_LIMIT`].
async fn in_time(name: &str, examined: impl Future<Output = Component>) -> Component {
    let examined = tokio::time::timeout(ANSWER_LIMIT, examined).await;
    examined.unwrap_or_else(|_| {
        Component::bad(
            name,
            format!("no answer within {} s", ANSWER_LIMIT.as_secs()),
            "it may stand still: see its log, or start it again",
        )
    })
}

/// The text of our errors has its advice after the last semicolon.
fn refused(name: &str, error: &dyn fmt::Display) -> Component {
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
fn what_and_advice(error: &dyn fmt::Display) -> (String, Option<String>) {
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
    let name = POSTGRES;
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
        connections: CONNECTIONS,
        permanent_slot: None,
    };
    let checks = [
        check_writable(&client, endpoint).await.err(),
        check_source(&client, &needs).await.err(),
        check_replication(&client, endpoint).await.err(),
        check_publication(&client, PUBLICATION).await.err(),
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
    let name = KAFKA;
    let bootstrap = &endpoints.kafka.bootstrap;
    let groups = if settings.group_is_given {
        settings.group.clone()
    } else {
        format!("{}-", settings.group)
    };
    let topic = settings.topic_is_given.then_some(&*settings.topic);
    let asked = async {
        let admin = Admin::connect(&endpoints.kafka.client_config()).await?;
        admin.missing_acls("cdc_bench_", &groups, topic).await
    };
    match asked.await {
        Ok(missing) if missing.is_empty() => {
            let read = topic.map(|topic| format!(", {topic} read"));
            Component::good(
                name,
                format!(
                    "answers at {bootstrap}: topics may be created, groups looked at{}",
                    read.unwrap_or_default()
                ),
            )
        }
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
    let name = CONNECT;
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
    let name = STORE;
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
