//! The files that describe a kept stack to later commands: `stack.json`, and `stack.env` for a shell.

use std::path::Path;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::endpoints::{Endpoints, KafkaEndpoint, PostgresEndpoint, StoreEndpoint};
use crate::error::StackError;
use crate::files::write_private;
use crate::processes::ServerStatus;

/// What later commands read.
const RECORD: &str = "stack.json";
/// The same endpoints for a shell.
pub(super) const ENVIRONMENT: &str = "stack.env";

/// `stack.json`. It holds passwords, so only its owner can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StackRecord {
    pub(super) since: String,
    pub(super) kafka_version: String,
    pub(super) servers: Vec<ServerStatus>,
    pub(super) endpoints: EndpointsRecord,
    pub(super) given_up: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EndpointsRecord {
    postgres_host: String,
    postgres_port: u16,
    postgres_db: String,
    postgres_user: String,
    postgres_password: String,
    kafka_bootstrap_servers: String,
    connect_url: Option<String>,
    mongodb_uri: String,
    mongodb_database: String,
}

impl From<&Endpoints> for EndpointsRecord {
    fn from(endpoints: &Endpoints) -> Self {
        let postgres = &endpoints.postgres;
        Self {
            postgres_host: postgres.host.clone(),
            postgres_port: postgres.port,
            postgres_db: postgres.database.clone(),
            postgres_user: postgres.user.clone(),
            postgres_password: postgres.password.expose_secret().to_owned(),
            kafka_bootstrap_servers: endpoints.kafka.bootstrap.clone(),
            connect_url: endpoints.connect.clone(),
            mongodb_uri: endpoints.store.uri.expose_secret().to_owned(),
            mongodb_database: endpoints.store.database.clone(),
        }
    }
}

impl From<EndpointsRecord> for Endpoints {
    fn from(record: EndpointsRecord) -> Self {
        Self {
            postgres: PostgresEndpoint {
                host: record.postgres_host,
                port: record.postgres_port,
                database: record.postgres_db,
                user: record.postgres_user,
                password: record.postgres_password.into(),
                tls: pgcdc::TlsConfig::disabled(),
            },
            kafka: KafkaEndpoint {
                bootstrap: record.kafka_bootstrap_servers,
            },
            postgres_for_connect: None,
            connect: record.connect_url,
            store: StoreEndpoint {
                uri: record.mongodb_uri.into(),
                database: record.mongodb_database,
            },
        }
    }
}

impl EndpointsRecord {
    /// Lines for a shell, or for `.env`. Everything in it is of our own making and needs no quotes but the URI's.
    pub(super) fn environment(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name}='{value}'\n"));
        line("POSTGRES_HOST", &self.postgres_host);
        line("POSTGRES_PORT", &self.postgres_port.to_string());
        line("POSTGRES_DB", &self.postgres_db);
        line("POSTGRES_USER", &self.postgres_user);
        line("POSTGRES_PASSWORD", &self.postgres_password);
        line("KAFKA_BOOTSTRAP_SERVERS", &self.kafka_bootstrap_servers);
        if let Some(url) = &self.connect_url {
            line("CONNECT_URL", url);
        }
        line("MONGODB_URI", &self.mongodb_uri);
        line("MONGODB_DATABASE", &self.mongodb_database);
        text
    }
}

impl StackRecord {
    /// The record in a stack's folder; `None` where there is none that can be read.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()
    }

    /// A reader sees the old one or the new one, never half of one.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StackError> {
        let (partial, path) = (folder.join(".stack.json"), folder.join(RECORD));
        let text = serde_json::to_vec_pretty(self).map_err(|e| StackError::Io {
            action: "write",
            path: path.clone(),
            reason: e.to_string(),
        })?;
        write_private(&partial, &text)?;
        std::fs::rename(&partial, &path).map_err(StackError::io("put in place", &path))
    }
}
