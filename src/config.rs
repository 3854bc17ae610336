//! Endpoints and credentials. Strings stop here: everything behind this module gets typed values.

mod connect;
mod tls;

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::stack::StackKind;
use crate::wal::{Server, TlsConfig};

pub use connect::ConnectError;
pub use tls::TlsArgs;

/// Name of one run: the UTC second it began and a random tail, fit for a folder, a slot, a topic and a database field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new id, such as `20261124-021133-7f3a9c`.
    #[must_use]
    pub fn generate() -> Self {
        let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
        let tail = Uuid::now_v7().as_u128() & 0xff_ffff;
        Self(format!("{now}-{tail:06x}"))
    }

    /// An id given by the user.
    ///
    /// # Errors
    /// When it holds anything but ASCII letters, digits, `-` and `_`, or is empty or longer than 40.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > 40 || !text.chars().all(fits) {
            return Err(format!(
                "{text:?} is no run id: 1 to 40 letters, digits, \"-\" or \"_\""
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As part of a PostgreSQL identifier (a slot name allows lower case, digits and `_` alone).
    #[must_use]
    pub fn as_identifier(&self) -> String {
        self.0.to_ascii_lowercase().replace('-', "_")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A PostgreSQL server and database.
#[derive(Debug, Clone)]
pub struct PostgresEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// User; it needs `REPLICATION` and the right to create in the database.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Whether and how connections are encrypted.
    pub tls: TlsConfig,
}

impl PostgresEndpoint {
    /// What our reader connects with.
    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            tls: self.tls.clone(),
            ..Server::new(
                &self.host,
                self.port,
                &self.user,
                self.password.clone(),
                &self.database,
            )
        }
    }

    /// What `tokio-postgres` connects with.
    #[must_use]
    pub fn client_config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .dbname(&self.database)
            .user(&self.user)
            .password(self.password.expose_secret())
            .application_name("cdc-bench")
            // The socket is encrypted already, where it is to be.
            .ssl_mode(tokio_postgres::config::SslMode::Disable)
            .connect_timeout(std::time::Duration::from_secs(10));
        config
    }
}

impl fmt::Display for PostgresEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

/// A MongoDB-protocol server and database.
#[derive(Debug, Clone)]
pub struct StoreEndpoint {
    /// Connection string; it may hold a password.
    pub uri: SecretString,
    /// Database of the read model.
    pub database: String,
}

/// Where the four servers are.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The source.
    pub postgres: PostgresEndpoint,
    /// The source as Connect reaches it, where that is another way than ours.
    pub postgres_for_connect: Option<Address>,
    /// Kafka.
    pub kafka: KafkaEndpoint,
    /// Kafka Connect's REST address without a trailing slash; without it the topic is taken to be fed.
    pub connect: Option<String>,
    /// The read model.
    pub store: StoreEndpoint,
}

impl Endpoints {
    /// Whether PostgreSQL, Kafka and Connect are all reached by loopback: then they have this host's clock, but for
    /// tunnels.
    #[must_use]
    pub fn are_on_loopback(&self) -> bool {
        let is_loopback = |host: &str| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host == "::1" || host.starts_with("127.")
        };
        // HOST:PORT, and what may stand before and behind it.
        let host_of = |address: &str| {
            let address = address.split_once("://").map_or(address, |(_, rest)| rest);
            let address = address.split('/').next().unwrap_or_default();
            address
                .rsplit_once(':')
                .map_or(address, |(host, _)| host)
                .to_owned()
        };
        let mut addresses = self
            .kafka
            .bootstrap
            .split(',')
            .chain(self.connect.as_deref());
        self.connect.is_some()
            && is_loopback(&self.postgres.host)
            && addresses.all(|address| is_loopback(&host_of(address.trim())))
    }
}

/// A host and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaEndpoint {
    /// Bootstrap servers, comma-separated.
    pub bootstrap: String,
}

impl KafkaEndpoint {
    /// What every client of it begins with.
    #[must_use]
    pub fn client_config(&self) -> rdkafka::ClientConfig {
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "cdc-bench")
            // A broker that is back is found within a second; librdkafka would wait for up to ten.
            .set("reconnect.backoff.max.ms", "1000");
        config
    }
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Reads `.env` in the working directory, for variables that are not set.
///
/// # Errors
/// When it is there and cannot be read. The text of a line is not repeated: it may hold a password.
pub fn load_env_file() -> Result<(), ConfigError> {
    match dotenvy::dotenv() {
        Err(dotenvy::Error::LineParse(_, at)) => Err(ConfigError(format!(
            "a line of .env is malformed at character {at}"
        ))),
        Err(dotenvy::Error::Io(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ConfigError(format!(".env: {error}")))
        }
        _ => Ok(()),
    }
}

/// Endpoints and what else is the same for every command.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "External servers (PostgreSQL's password: POSTGRES_PASSWORD; the store: MONGODB_URI)"
)]
pub struct EndpointArgs {
    /// Where the servers come from; without it external if any endpoint is given, else local
    #[arg(long, global = true, value_enum)]
    stack: Option<StackKind>,
    /// PostgreSQL's host
    #[arg(long, global = true, env = "POSTGRES_HOST", value_name = "HOST")]
    postgres_host: Option<String>,
    /// PostgreSQL's port [default: 5432]
    #[arg(long, global = true, env = "POSTGRES_PORT", value_name = "PORT")]
    postgres_port: Option<u16>,
    /// Database of the outbox [default: activity_db]
    #[arg(long, global = true, env = "POSTGRES_DB", value_name = "NAME")]
    postgres_db: Option<String>,
    /// Role with REPLICATION and CREATE [default: postgres]
    #[arg(long, global = true, env = "POSTGRES_USER", value_name = "ROLE")]
    postgres_user: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Kafka's bootstrap servers
    #[arg(
        long,
        global = true,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        value_name = "HOST:PORT,..."
    )]
    kafka_bootstrap_servers: Option<String>,
    /// Topic of the outbox [default: postgres.activity.event_outbox]
    #[arg(long, global = true, env = "KAFKA_TOPIC", value_name = "TOPIC")]
    kafka_topic: Option<String>,
    /// Consumer group [default: event-processor-group and the run id]
    #[arg(long, global = true, env = "KAFKA_GROUP_ID", value_name = "GROUP")]
    kafka_group_id: Option<String>,
    /// Kafka Connect's address
    #[arg(long, global = true, env = "CONNECT_URL", value_name = "URL")]
    connect_url: Option<String>,
    /// Database of the read model
    #[arg(
        long,
        global = true,
        env = "MONGODB_DATABASE",
        value_name = "NAME",
        default_value = "activity_read"
    )]
    mongodb_database: String,
    /// Most documents in one store write
    #[arg(long, global = true, env = "BATCH_SIZE", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_size: u32,
    /// Store writes that are in flight at the same time: one is answered while the next is on its way. More of them are
    /// smaller ones, which a store pays for
    #[arg(long, global = true, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    writes_in_flight: u16,
    /// How our consumer fetches, over what it sets itself: fetch.*, queued.*, max.partition.fetch.bytes (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = fetch_setting)]
    consumer_config: Vec<(String, String)>,
}

/// `KEY=VALUE` of a setting that decides how records are fetched. What decides which of them, and what becomes of them, is
/// not the user's.
fn fetch_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let fetches = key.starts_with("fetch.")
        || key.starts_with("queued.")
        || key == "max.partition.fetch.bytes";
    if fetches {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        Err(format!(
            "{key:?} does not decide how records are fetched: only fetch.*, queued.* and max.partition.fetch.bytes can be set"
        ))
    }
}

/// Endpoints and what else is the same for every command, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The user's servers, as far as they were given; `None`: servers of ours.
    pub given: Option<GivenEndpoints>,
    /// Where the servers come from.
    pub stack: StackKind,
    /// Topic of the outbox.
    pub topic: String,
    /// Whether the user named it.
    pub topic_is_given: bool,
    /// Consumer group.
    pub group: String,
    /// Whether the user named it.
    pub group_is_given: bool,
    /// Most documents in one store write.
    pub batch_size: usize,
    /// Most store writes in flight.
    pub writes_in_flight: usize,
    /// How our consumer fetches, over what it sets itself.
    pub fetch: BTreeMap<String, String>,
}

impl Settings {
    /// The user's servers, all of them; `None`: servers of ours.
    ///
    /// # Errors
    /// When one is missing.
    pub fn endpoints(&self) -> Result<Option<Endpoints>, ConfigError> {
        self.given.as_ref().map(GivenEndpoints::all).transpose()
    }
}

/// Endpoints as far as they are known: a stage that runs alone needs its own servers and no others.
#[derive(Debug, Clone, Default)]
pub struct GivenEndpoints {
    postgres: Option<PostgresEndpoint>,
    /// Why there is no `postgres`.
    postgres_lacks: &'static str,
    kafka: Option<KafkaEndpoint>,
    connect: Option<String>,
    store: Option<StoreEndpoint>,
}

fn need<T: Clone>(part: Option<&T>, variable: &str) -> Result<T, ConfigError> {
    part.cloned().ok_or_else(|| {
        ConfigError(format!(
            "{variable} is not set: set it in the environment or in .env, or use --stack local"
        ))
    })
}

impl GivenEndpoints {
    /// The source.
    ///
    /// # Errors
    /// When it is not given.
    pub fn postgres(&self) -> Result<PostgresEndpoint, ConfigError> {
        need(self.postgres.as_ref(), self.postgres_lacks)
    }

    /// Kafka.
    ///
    /// # Errors
    /// When it is not given.
    pub fn kafka(&self) -> Result<KafkaEndpoint, ConfigError> {
        need(self.kafka.as_ref(), "KAFKA_BOOTSTRAP_SERVERS")
    }

    /// The read model.
    ///
    /// # Errors
    /// When it is not given.
    pub fn store(&self) -> Result<StoreEndpoint, ConfigError> {
        need(self.store.as_ref(), "MONGODB_URI")
    }

    /// All four; Connect may be unknown.
    ///
    /// # Errors
    /// When one is not given.
    pub fn all(&self) -> Result<Endpoints, ConfigError> {
        Ok(Endpoints {
            postgres: self.postgres()?,
            postgres_for_connect: None,
            kafka: self.kafka()?,
            connect: self.connect.clone(),
            store: self.store()?,
        })
    }
}

impl From<Endpoints> for GivenEndpoints {
    fn from(endpoints: Endpoints) -> Self {
        Self {
            postgres: Some(endpoints.postgres),
            postgres_lacks: "",
            kafka: Some(endpoints.kafka),
            connect: endpoints.connect,
            store: Some(endpoints.store),
        }
    }
}

impl EndpointArgs {
    /// Tells what was given from what was not. Whether it is enough is for each command to say.
    #[must_use]
    pub fn resolve(self) -> Settings {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let uri = variable("MONGODB_URI");
        let any = self.postgres_host.is_some()
            || self.kafka_bootstrap_servers.is_some()
            || self.connect_url.is_some()
            || uri.is_some();
        let stack = self.stack.unwrap_or(if any {
            StackKind::External
        } else {
            StackKind::Local
        });
        let given = (stack == StackKind::External).then(|| {
            let password = variable("POSTGRES_PASSWORD");
            let postgres_lacks = if self.postgres_host.is_none() {
                "POSTGRES_HOST"
            } else {
                "POSTGRES_PASSWORD"
            };
            let (port, database, user) = (self.postgres_port, self.postgres_db, self.postgres_user);
            let tls = self.tls.resolve();
            GivenEndpoints {
                postgres: self.postgres_host.zip(password).map(|(host, password)| {
                    PostgresEndpoint {
                        host,
                        port: port.unwrap_or(5432),
                        database: database.unwrap_or_else(|| "activity_db".to_owned()),
                        user: user.unwrap_or_else(|| "postgres".to_owned()),
                        password: password.into(),
                        tls,
                    }
                }),
                postgres_lacks,
                kafka: self
                    .kafka_bootstrap_servers
                    .map(|bootstrap| KafkaEndpoint { bootstrap }),
                connect: self.connect_url,
                store: uri.map(|uri| StoreEndpoint {
                    uri: uri.into(),
                    database: self.mongodb_database,
                }),
            }
        });
        Settings {
            given,
            stack,
            topic_is_given: self.kafka_topic.is_some(),
            topic: self
                .kafka_topic
                .unwrap_or_else(|| "postgres.activity.event_outbox".to_owned()),
            group_is_given: self.kafka_group_id.is_some(),
            group: self
                .kafka_group_id
                .unwrap_or_else(|| "event-processor-group".to_owned()),
            batch_size: usize::try_from(self.batch_size).unwrap_or(usize::MAX),
            writes_in_flight: self.writes_in_flight.into(),
            fetch: self.consumer_config.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(postgres: &str, kafka: &str, connect: Option<&str>) -> Endpoints {
        Endpoints {
            postgres: PostgresEndpoint {
                host: postgres.to_owned(),
                port: 5432,
                database: "d".to_owned(),
                user: "u".to_owned(),
                password: "hidden".to_owned().into(),
                tls: TlsConfig::disabled(),
            },
            postgres_for_connect: None,
            kafka: KafkaEndpoint {
                bootstrap: kafka.to_owned(),
            },
            connect: connect.map(str::to_owned),
            store: StoreEndpoint {
                uri: "mongodb://db".to_owned().into(),
                database: "d".to_owned(),
            },
        }
    }

    #[test]
    fn servers_on_loopback_share_this_hosts_clock() {
        let connect = Some("http://localhost:8083");
        for (postgres, kafka, connect, expected) in [
            ("127.0.0.1", "127.0.0.1:9092,localhost:9093", connect, true),
            ("::1", "[::1]:9092", Some("http://[::1]:8083/"), true),
            ("db", "localhost:9092", connect, false),
            ("localhost", "localhost:9092,kafka:9092", connect, false),
            (
                "localhost",
                "localhost:9092",
                Some("https://connect:8083"),
                false,
            ),
            // Somebody feeds the topic, somewhere.
            ("localhost", "localhost:9092", None, false),
        ] {
            let endpoints = endpoints(postgres, kafka, connect);
            assert_eq!(endpoints.are_on_loopback(), expected, "{endpoints:?}");
        }
    }

    #[test]
    fn only_how_the_consumer_fetches_is_the_users() {
        let set = fetch_setting("fetch.min.bytes=1024").unwrap();
        assert_eq!(set, ("fetch.min.bytes".to_owned(), "1024".to_owned()));
        for refused in ["enable.auto.commit=false", "group.id=x", "fetch.min.bytes"] {
            assert!(fetch_setting(refused).is_err(), "{refused}");
        }
    }
}
