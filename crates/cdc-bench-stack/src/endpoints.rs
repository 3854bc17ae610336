//! Where the servers are, and the credentials to reach them.

mod connect;
mod http_address;
mod kafka;
mod postgres;
mod registry;
mod store;

pub use connect::{ConnectEndpoint, ConnectEndpointError, ConnectTls};
pub use http_address::HttpLogin;
pub use kafka::{
    ClientPropertiesError, JavaClientError, KafkaClientSettings, KafkaEndpoint, KafkaSecurity,
    KafkaSettings, KafkaTls, PasswordMechanism, Pem, PemError, Sasl, SecurityProtocol, TokenSource,
    read_properties,
};
pub use postgres::{PostgresConnectError, PostgresEndpoint};
pub use registry::{RegistryEndpoint, RegistryEndpointError};
pub use store::{StoreEndpoint, StoreLoginError, login_of, takes_password, with_login};

/// Where the four servers are.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The source.
    pub postgres: PostgresEndpoint,
    /// PostgreSQL's address as Connect reaches it, if it differs from ours.
    pub postgres_for_connect: Option<HostPort>,
    /// Kafka.
    pub kafka: KafkaEndpoint,
    /// Kafka Connect; without it the topic is assumed to be fed by somebody else.
    pub connect: Option<ConnectEndpoint>,
    /// The read model.
    pub store: StoreEndpoint,
}

impl Endpoints {
    /// Whether PostgreSQL, Kafka and Connect are all reached by loopback. They then have this host's clock, unless a
    /// tunnel is in between.
    #[must_use]
    pub fn are_on_loopback(&self) -> bool {
        let is_loopback = |host: &str| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host == "::1" || host.starts_with("127.")
        };
        // HOST:PORT.
        let host_of = |address: &str| {
            address
                .rsplit_once(':')
                .map_or(address, |(host, _)| host)
                .to_owned()
        };
        let mut brokers = self.kafka.bootstrap.split(',');
        let connect = self.connect.as_ref();
        connect.is_some_and(|connect| is_loopback(connect.host()))
            && (self.postgres.socket_path().is_some() || is_loopback(&self.postgres.host))
            && brokers.all(|address| is_loopback(&host_of(address.trim())))
    }
}

/// A host and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A required endpoint that is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not set: set it in the environment or in .env, or use --stack local")]
pub struct MissingEndpoint {
    variable: &'static str,
}

/// The endpoints that are set. A command that runs one stage needs only its own servers.
#[derive(Debug, Clone, Default)]
pub struct GivenEndpoints {
    /// The source.
    pub postgres: Option<PostgresEndpoint>,
    /// The variable whose absence leaves `postgres` unset.
    pub postgres_lacks: &'static str,
    /// Kafka.
    pub kafka: Option<KafkaEndpoint>,
    /// Kafka Connect.
    pub connect: Option<ConnectEndpoint>,
    /// The read model.
    pub store: Option<StoreEndpoint>,
}

fn need<T: Clone>(part: Option<&T>, variable: &'static str) -> Result<T, MissingEndpoint> {
    part.cloned().ok_or(MissingEndpoint { variable })
}

impl GivenEndpoints {
    /// The source.
    ///
    /// # Errors
    /// When it is not given.
    pub fn postgres(&self) -> Result<PostgresEndpoint, MissingEndpoint> {
        need(self.postgres.as_ref(), self.postgres_lacks)
    }

    /// Kafka.
    ///
    /// # Errors
    /// When it is not given.
    pub fn kafka(&self) -> Result<KafkaEndpoint, MissingEndpoint> {
        need(self.kafka.as_ref(), "KAFKA_BOOTSTRAP_SERVERS")
    }

    /// The read model.
    ///
    /// # Errors
    /// When it is not given.
    pub fn store(&self) -> Result<StoreEndpoint, MissingEndpoint> {
        need(self.store.as_ref(), "MONGODB_URI")
    }

    /// All four; Connect may be unknown.
    ///
    /// # Errors
    /// When one is not given.
    pub fn all(&self) -> Result<Endpoints, MissingEndpoint> {
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

#[cfg(test)]
mod tests {
    use pgcdc::Server;

    use super::*;

    fn endpoints(postgres: &str, kafka: &str, connect: Option<&str>) -> Endpoints {
        Endpoints {
            postgres: Server::new(postgres, 5432, "u", "hidden".to_owned(), "d").into(),
            postgres_for_connect: None,
            kafka: KafkaEndpoint::plaintext(kafka),
            connect: connect.map(|url| ConnectEndpoint::parse(url).unwrap()),
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
            ("/run/postgresql", "[::1]:9092", connect, true),
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
}
