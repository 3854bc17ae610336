//! The configuration of Debezium's PostgreSQL connector.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use secrecy::ExposeSecret;

use cdc_bench_model::event::{AGGREGATE_ID, SCHEMA};
use cdc_bench_stack::{HostPort, PostgresEndpoint};
use pgcdc::SslMode;

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

/// The setting by which a connector asks for exactly-once delivery.
pub(super) const EXACTLY_ONCE_SUPPORT: &str = "exactly.once.support";

/// The settings of exactly-once delivery: a connector that does not start without it, and a transaction of Kafka's for each batch
/// that Debezium hands on.
const EXACTLY_ONCE: [(&str, &str); 2] = [
    (EXACTLY_ONCE_SUPPORT, "required"),
    ("transaction.boundary", "poll"),
];

/// Whether a connector of this configuration delivers exactly once, or does not start.
#[must_use]
pub fn requires_exactly_once(config: &BTreeMap<String, String>) -> bool {
    let support = config.get(EXACTLY_ONCE_SUPPORT);
    // Connect takes it in any case.
    support.is_some_and(|support| support.eq_ignore_ascii_case("required"))
}

/// The setting that gives a table's records another key than its primary key.
const MESSAGE_KEY_COLUMNS: &str = "message.key.columns";

/// The parameters of a connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorParams<'a> {
    /// Its name.
    pub name: &'a str,
    /// The source.
    pub postgres: &'a PostgresEndpoint,
    /// Where Connect reaches it, when not where we do.
    pub address: Option<&'a HostPort>,
    /// Whether Connect runs on this machine, and can read the files that we name.
    pub reads_our_files: bool,
    /// The table that it captures, within the outbox's schema.
    pub table: &'a str,
    /// First part of its topics' names.
    pub topic_prefix: &'a str,
    /// Its replication slot.
    pub slot: &'a str,
    /// Its publication; it must exist.
    pub publication: &'a str,
    /// Its profile.
    pub profile: ConnectorProfile,
    /// Whether it must deliver exactly once.
    pub exactly_once: bool,
    /// Partitions of its topics, whose records are then keyed by aggregate; `None`: as Debezium has it.
    pub partitions: Option<i32>,
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
        ("database.dbname", &postgres.database),
        ("topic.prefix", params.topic_prefix),
        ("table.include.list", &format!("{SCHEMA}.{}", params.table)),
        ("publication.name", params.publication),
        ("publication.autocreate.mode", "disabled"),
        ("slot.name", params.slot),
        ("snapshot.mode", "no_data"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    if let Some(password) = &postgres.password {
        let password = password.expose_secret().to_owned();
        config.insert("database.password".to_owned(), password);
    }
    if params.profile == ConnectorProfile::LowLatency {
        config.extend(
            LOW_LATENCY
                .iter()
                .map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned())),
        );
    }
    if params.exactly_once {
        let settings = EXACTLY_ONCE.iter();
        config.extend(settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    }
    if let Some(partitions) = params.partitions {
        config.extend(partitioned(params.table, partitions));
    }
    let producer = params.producer.iter();
    config.extend(producer.map(|(key, value)| (format!("producer.override.{key}"), value.clone())));
    config.extend(database_tls(params));
    config.extend(params.overrides.iter().cloned());
    config
}

/// Settings of a connector whose topics have several partitions. The outbox's topic is there when the connector starts: how topics are
/// created is for one that somebody deletes, and for any other. The events of an aggregate are in one partition by their key; it is
/// written as our reader writes it, whatever the worker's converter, so that they are in the same one on every path.
fn partitioned(table: &str, partitions: i32) -> [(String, String); 6] {
    [
        (
            MESSAGE_KEY_COLUMNS,
            format!("{SCHEMA}.{table}:{AGGREGATE_ID}"),
        ),
        (
            "key.converter",
            "org.apache.kafka.connect.json.JsonConverter".to_owned(),
        ),
        ("key.converter.schemas.enable", "false".to_owned()),
        ("topic.creation.default.partitions", partitions.to_string()),
        ("topic.creation.default.replication.factor", "-1".to_owned()),
        (
            "topic.creation.default.message.timestamp.type",
            "LogAppendTime".to_owned(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

/// Settings of a connector that give it authorities: a file of them, or a factory with the JVM's.
const AUTHORITIES: [&str; 2] = ["database.sslrootcert", "database.sslfactory"];

/// Debezium's settings for TLS to the database. Certificates are files on Connect's machine: where that is another one they are
/// the user's to set (`--connector-config database.sslrootcert=...`), and without them a certificate is not verified there, which
/// [`is_less_strict`] finds.
fn database_tls(params: &ConnectorParams<'_>) -> Vec<(String, String)> {
    let tls = &params.postgres.tls;
    let has_file = params.reads_our_files && tls.ca_pem_path.is_some();
    let mut overrides = params.overrides.iter();
    let is_given = overrides.any(|(key, _)| AUTHORITIES.contains(&&**key));
    let has_root = has_file || is_given;
    let mode = match tls.mode {
        SslMode::Disable => return Vec::new(),
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::VerifyCa if has_root => "verify-ca",
        SslMode::VerifyFull if has_root => "verify-full",
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => "require",
    };
    let mut settings = vec![("database.sslmode".to_owned(), mode.to_owned())];
    let root = tls.ca_pem_path.as_deref().filter(|_| has_file);
    let own = params.reads_our_files;
    let certificate = tls.client_cert_pem_path.as_deref().filter(|_| own);
    let key = tls.client_key_pem_path.as_deref();
    let key = key.filter(|key| own && is_jdbc_key(key));
    let files = [
        ("sslrootcert", root),
        ("sslcert", certificate),
        ("sslkey", key),
    ];
    for (name, path) in files {
        if let Some(path) = path {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            settings.push((format!("database.{name}"), path.display().to_string()));
        }
    }
    settings
}

/// Whether a connector of this configuration does not verify the certificate of PostgreSQL, where we do.
#[must_use]
pub fn is_less_strict(config: &BTreeMap<String, String>, postgres: &PostgresEndpoint) -> bool {
    let mode = config.get("database.sslmode").map_or("", String::as_str);
    postgres.tls.mode.verifies_certificate() && !mode.starts_with("verify-")
}

/// Whether PostgreSQL's JDBC driver reads a key of any algorithm from this file: DER in PKCS#8, or PKCS#12. PEM it takes for RSA.
fn is_jdbc_key(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("pk8" | "der" | "p12" | "pfx"))
}

#[cfg(test)]
mod tests {
    use pgcdc::Server;

    use super::*;

    fn config(
        profile: ConnectorProfile,
        overrides: &[(String, String)],
    ) -> BTreeMap<String, String> {
        let postgres = Server::new("h", 5, "u", "tiger".to_owned(), "d").into();
        connector_config(&ConnectorParams {
            table: "event_outbox",
            name: "n",
            postgres: &postgres,
            address: None,
            reads_our_files: true,
            topic_prefix: "p",
            slot: "s",
            publication: "b",
            profile,
            exactly_once: false,
            partitions: None,
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
        let endpoint = Server::new("127.0.0.1", 40_000, "u", "tiger".to_owned(), "d").into();
        let address = HostPort {
            host: "postgres".into(),
            port: 5432,
        };
        let config = connector_config(&ConnectorParams {
            table: "event_outbox",
            name: "n",
            postgres: &endpoint,
            address: Some(&address),
            reads_our_files: false,
            topic_prefix: "p",
            slot: "s",
            publication: "b",
            profile: ConnectorProfile::Stock,
            exactly_once: false,
            partitions: None,
            producer: &[],
            overrides: &[],
        });
        assert_eq!(
            (&*config["database.hostname"], &*config["database.port"]),
            ("postgres", "5432")
        );
    }

    #[test]
    fn certificates_are_named_to_a_connect_that_can_read_them() {
        let tls = |mode: &str, key: &str, reads_our_files: bool| {
            let url = format!(
                "host=db user=u sslmode={mode} sslrootcert=/ca.pem sslcert=/c.pem sslkey={key}"
            );
            let postgres = Server::from_url(&url).unwrap().into();
            let config = connector_config(&ConnectorParams {
                table: "event_outbox",
                name: "n",
                postgres: &postgres,
                address: None,
                reads_our_files,
                topic_prefix: "p",
                slot: "s",
                publication: "b",
                profile: ConnectorProfile::Stock,
                exactly_once: false,
                partitions: None,
                producer: &[],
                overrides: &[],
            });
            assert!(!config.contains_key("database.password"));
            let names = ["sslmode", "sslrootcert", "sslcert", "sslkey"];
            names.map(|name| {
                config
                    .get(&format!("database.{name}"))
                    .cloned()
                    .unwrap_or_default()
            })
        };
        assert_eq!(
            tls("verify-full", "/k.pk8", true),
            ["verify-full", "/ca.pem", "/c.pem", "/k.pk8"]
        );
        assert_eq!(
            tls("require", "/k.key", true),
            ["verify-ca", "/ca.pem", "/c.pem", ""]
        );
        assert_eq!(tls("verify-full", "/k.pk8", false), ["require", "", "", ""]);
    }

    #[test]
    fn authorities_that_the_user_gives_the_connector_keep_our_strictness() {
        let url = "host=db user=u sslmode=verify-full sslrootcert=/ca.pem";
        let postgres: PostgresEndpoint = Server::from_url(url).unwrap().into();
        let config = |overrides: &[(&str, &str)]| {
            let overrides: Vec<_> = overrides
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            let config = connector_config(&ConnectorParams {
                table: "event_outbox",
                name: "n",
                postgres: &postgres,
                address: None,
                reads_our_files: false,
                topic_prefix: "p",
                slot: "s",
                publication: "b",
                profile: ConnectorProfile::Stock,
                exactly_once: false,
                partitions: None,
                producer: &[],
                overrides: &overrides,
            });
            let root = config.get("database.sslrootcert").cloned();
            let mode = config["database.sslmode"].clone();
            (mode, root, is_less_strict(&config, &postgres))
        };
        assert_eq!(config(&[]), ("require".to_owned(), None, true));
        let strict =
            |root: Option<&str>| ("verify-full".to_owned(), root.map(str::to_owned), false);
        assert_eq!(
            config(&[("database.sslrootcert", "/there.pem")]),
            strict(Some("/there.pem"))
        );
        let factory = "org.postgresql.ssl.DefaultJavaSSLFactory";
        assert_eq!(config(&[("database.sslfactory", factory)]), strict(None));
        assert_eq!(config(&[("database.sslmode", "verify-full")]), strict(None));
    }

    #[test]
    fn exactly_once_is_asked_for_where_it_is_wanted() {
        let postgres = Server::new("h", 5, "u", "tiger".to_owned(), "d").into();
        let config = |exactly_once, overrides: &[(String, String)]| {
            connector_config(&ConnectorParams {
                table: "event_outbox",
                name: "n",
                postgres: &postgres,
                address: None,
                reads_our_files: true,
                topic_prefix: "p",
                slot: "s",
                publication: "b",
                profile: ConnectorProfile::LowLatency,
                exactly_once,
                partitions: None,
                producer: &[],
                overrides,
            })
        };
        assert!(!requires_exactly_once(&config(false, &[])));
        let wanted = config(true, &[]);
        assert!(requires_exactly_once(&wanted));
        assert_eq!(wanted["transaction.boundary"], "poll");
        let own = [("exactly.once.support".to_owned(), "REQUIRED".to_owned())];
        assert!(requires_exactly_once(&config(false, &own)));
    }

    #[test]
    fn topics_of_several_partitions_are_keyed_by_aggregate() {
        let postgres = Server::new("h", 5, "u", "tiger".to_owned(), "d").into();
        let config = connector_config(&ConnectorParams {
            table: "event_outbox",
            name: "n",
            postgres: &postgres,
            address: None,
            reads_our_files: true,
            topic_prefix: "p",
            slot: "s",
            publication: "b",
            profile: ConnectorProfile::Stock,
            exactly_once: false,
            partitions: Some(6),
            producer: &[],
            overrides: &[],
        });
        let of = |key: &str| config[key].as_str();
        assert_eq!(
            of("message.key.columns"),
            "activity.event_outbox:aggregate_id"
        );
        assert_eq!(of("key.converter.schemas.enable"), "false");
        assert_eq!(of("topic.creation.default.partitions"), "6");
        assert_eq!(of("topic.creation.default.replication.factor"), "-1");
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
