//! Endpoints and credentials. Strings stop here: everything behind this module gets typed values.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

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
}

impl PostgresEndpoint {
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
    /// Kafka's bootstrap servers, comma-separated.
    pub kafka: String,
    /// Kafka Connect's REST address without a trailing slash; without it the topic is taken to be fed.
    pub connect: Option<String>,
    /// The read model.
    pub store: StoreEndpoint,
}
