//! Versions and settings of what was measured, read from the servers themselves.

use std::collections::BTreeMap;

use cdc_bench_model::report::{
    DebeziumReport, Environment, KafkaReport, PostgresReport, StoreReport, host, program,
};
use cdc_bench_stack::Stack;
use tokio_postgres::Client;

use crate::pipeline::outcome::path_report::to_u64;
use crate::pipeline::provision::route::{KafkaRoute, Route};
use crate::pipeline::provision::servers::ServerClients;
use crate::store::StoreIdentity;

/// PostgreSQL's settings that affect the latency of a commit and of its decoding.
const POSTGRES_SETTINGS: [&str; 9] = [
    "wal_level",
    "fsync",
    "synchronous_commit",
    "commit_delay",
    "wal_sync_method",
    "wal_writer_delay",
    "max_wal_senders",
    "max_replication_slots",
    "logical_decoding_work_mem",
];

/// Reads versions and settings. What a server does not report is left out rather than guessed.
pub(crate) async fn read_environment<'a>(
    servers: &ServerClients,
    mut routes: impl Iterator<Item = &'a Route> + Clone,
    stack: &Stack,
) -> Environment {
    let postgres = postgres(&servers.postgres).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "PostgreSQL's settings could not be read");
        PostgresReport::default()
    });
    let (connect_version, debezium_version) = match &servers.connect {
        Some(connect) => (
            connect.version().await.ok(),
            connect.debezium_version().await.ok().flatten(),
        ),
        None => (None, None),
    };
    let store = servers.store.identity().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the store does not say what it is");
        StoreIdentity {
            name: "unknown".to_owned(),
            version: String::new(),
            is_mongodb: false,
        }
    });
    Environment {
        host: host(),
        build: build(),
        program: program(),
        postgres,
        kafka: KafkaReport {
            version: stack.kafka_version().map(str::to_owned),
            brokers: servers.kafka.brokers().await.ok().map(to_u64),
            ..routes
                .clone()
                .find_map(Route::kafka)
                .map(kafka)
                .unwrap_or_default()
        },
        debezium: DebeziumReport {
            version: debezium_version,
            connect_version,
            connect_workers: Some(stack.processes_of("connect").len())
                .filter(|workers| *workers > 0)
                .map(to_u64),
            connector: routes.find_map(|route| route.connectors().next().cloned()),
        },
        store: StoreReport {
            name: store.name,
            version: store.version,
            is_mongodb: store.is_mongodb,
            write_concern: servers.store.write_concern().as_str().to_owned(),
            database: servers.endpoints.store.database.clone(),
        },
    }
}

/// The report's part on Kafka, for one route.
fn kafka(route: &KafkaRoute) -> KafkaReport {
    KafkaReport {
        version: None,
        topic: route.topic.clone(),
        partitions: route.partitions,
        replicas: Some(to_u64(route.replicas)),
        brokers: None,
        timestamp_type: if route.log_append_time {
            "LogAppendTime"
        } else {
            "CreateTime"
        }
        .to_owned(),
        group: route.group.clone(),
        consumer: BTreeMap::new(),
    }
}

async fn postgres(client: &Client) -> Result<PostgresReport, tokio_postgres::Error> {
    let version: String = client
        .query_one("SELECT current_setting('server_version')", &[])
        .await?
        .get(0);
    let names: Vec<&str> = POSTGRES_SETTINGS.to_vec();
    let rows = client
        .query(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)",
            &[&names],
        )
        .await?;
    let settings = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(PostgresReport { version, settings })
}

/// The build of this program.
fn build() -> BTreeMap<String, String> {
    [
        ("version", env!("CARGO_PKG_VERSION")),
        (
            "profile",
            if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
        ),
        ("librdkafka", &rdkafka::util::get_rdkafka_version().1),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
