//! The configuration of Debezium's PostgreSQL connector.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::ExposeSecret;

use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_stack::{HostPort, PostgresEndpoint};
use pgcdc::{SslMode, TlsConfig};

/// The class of Debezium's PostgreSQL connector.
pub(super) const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// The settings of a connector that this program creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConnectorProfile {
    /// Debezium as it comes
    Stock,
    /// Settings that measurably shorten the way
    LowLatency,
}

impl fmt::Display for ConnectorProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stock => "stock",
            Self::LowLatency => "low-latency",
        })
    }
}

/// The settings of `low-latency`: name, value, reason.
pub const LOW_LATENCY: &[(&str, &str, &str)] = &[
    (
        "poll.interval.ms",
        "1",
        "an event waits for the poll loop before it is stamped and again before it is handed on; the default is 500",
    ),
    (
        "producer.override.linger.ms",
        "0",
        "Kafka 4's producer otherwise waits 5 ms for company",
    ),
];

/// The parameters of a connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorParams<'a> {
    /// Its name.
    pub name: &'a str,
    /// The source.
    pub postgres: &'a PostgresEndpoint,
    /// Where Connect reaches it, when not where we do.
    pub address: Option<&'a HostPort>,
    /// First part of its topics' names.
    pub topic_prefix: &'a str,
    /// Its replication slot.
    pub slot: &'a str,
    /// Its publication; it must exist.
    pub publication: &'a str,
    /// Its profile.
    pub profile: ConnectorProfile,
    /// Properties of its producer, for a Kafka that is secured. They hold secrets.
    pub producer: &'a [(&'static str, String)],
    /// Settings over all of these.
    pub overrides: &'a [(String, String)],
}

/// The configuration for Connect. It contains the database's password.
#[must_use]
pub fn connector_config(params: &ConnectorParams<'_>) -> BTreeMap<String, String> {
    let postgres = params.postgres;
    let (host, port) = match params.address {
        Some(address) => (&address.host, address.port),
        None => (&postgres.host, postgres.port),
    };
    let mut config: BTreeMap<String, String> = [
        ("name", params.name),
        ("connector.class", CONNECTOR_CLASS),
        ("tasks.max", "1"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", host),
        ("database.port", &port.to_string()),
        ("database.user", &postgres.user),
        ("database.password", postgres.password.expose_secret()),
        ("database.dbname", &postgres.database),
        ("topic.prefix", params.topic_prefix),
        ("table.include.list", &format!("{SCHEMA}.{TABLE}")),
        ("publication.name", params.publication),
        ("publication.autocreate.mode", "disabled"),
        ("slot.name", params.slot),
        ("snapshot.mode", "no_data"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    if params.profile == ConnectorProfile::LowLatency {
        config.extend(
            LOW_LATENCY
                .iter()
                .map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned())),
        );
    }
    let producer = params.producer.iter();
    config.extend(producer.map(|(key, value)| (format!("producer.override.{key}"), value.clone())));
    config.extend(database_tls(&postgres.tls));
    config.extend(params.overrides.iter().cloned());
    config
}

/// Debezium's settings for TLS to the database. Certificates are files on Connect's machine, so these are the user's to set
/// (`--connector-config database.sslrootcert=...`), and without them a certificate is not verified there.
fn database_tls(tls: &TlsConfig) -> Option<(String, String)> {
    let mode = match tls.mode {
        SslMode::Disable => return None,
        SslMode::Prefer => "prefer",
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => "require",
    };
    Some(("database.sslmode".to_owned(), mode.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(
        profile: ConnectorProfile,
        overrides: &[(String, String)],
    ) -> BTreeMap<String, String> {
        let postgres = PostgresEndpoint {
            host: "h".into(),
            port: 5,
            database: "d".into(),
            user: "u".into(),
            password: "tiger".to_owned().into(),
            tls: pgcdc::TlsConfig::disabled(),
        };
        connector_config(&ConnectorParams {
            name: "n",
            postgres: &postgres,
            address: None,
            topic_prefix: "p",
            slot: "s",
            publication: "b",
            profile,
            producer: &[],
            overrides,
        })
    }

    #[test]
    fn stock_sets_nothing_that_debezium_has_a_default_for() {
        let stock = config(ConnectorProfile::Stock, &[]);
        assert!(
            LOW_LATENCY
                .iter()
                .all(|(key, _, _)| !stock.contains_key(*key))
        );
        assert_eq!(
            config(ConnectorProfile::LowLatency, &[])["poll.interval.ms"],
            "1"
        );
    }

    #[test]
    fn connect_may_reach_the_source_by_another_way() {
        let endpoint = PostgresEndpoint {
            host: "127.0.0.1".into(),
            port: 40_000,
            database: "d".into(),
            user: "u".into(),
            password: "tiger".to_owned().into(),
            tls: pgcdc::TlsConfig::disabled(),
        };
        let address = HostPort {
            host: "postgres".into(),
            port: 5432,
        };
        let config = connector_config(&ConnectorParams {
            name: "n",
            postgres: &endpoint,
            address: Some(&address),
            topic_prefix: "p",
            slot: "s",
            publication: "b",
            profile: ConnectorProfile::Stock,
            producer: &[],
            overrides: &[],
        });
        assert_eq!(
            (&*config["database.hostname"], &*config["database.port"]),
            ("postgres", "5432")
        );
    }

    #[test]
    fn what_the_user_sets_wins() {
        let overrides = [("poll.interval.ms".to_owned(), "7".to_owned())];
        assert_eq!(
            config(ConnectorProfile::LowLatency, &overrides)["poll.interval.ms"],
            "7"
        );
    }
}
