//! The PostgreSQL server and how to connect to it.

mod choice;
mod connection_parameters;
mod network_settings;
mod replication_check;
pub(crate) mod session;
mod target;
pub(crate) mod tls_config;
mod url;

pub use choice::NoServer;
pub use connection_parameters::{
    ConnectionParameters, ConnectionWarning, InvalidServer, LibpqEnvironment, ServerList,
};
pub use network_settings::{Keepalives, NetworkSettings};
pub use replication_check::check_replication;
pub use target::SessionTarget;
pub use tls_config::{ChannelBinding, SslMode, TlsConfig};

use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::ReaderError;
use crate::wire::WireError;

/// Session settings that fix the text format of values, whatever the settings of the server or the role are. `lc_monetary` is
/// not among them: another locale may have another number of decimals, and would make other amounts of the same values.
const SESSION_OPTIONS: &str = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c bytea_output=hex";

/// Settings of sessions for SQL: no time limits, for a copy may take hours; and a row security policy is an error rather than a
/// copy without the rows it hides.
const UNLIMITED_OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c row_security=off";

/// A PostgreSQL server, with the credentials to use there.
#[derive(Debug, Clone)]
pub struct Server {
    /// Host name or address, or the directory of a Unix socket; one that begins with `@` is in Linux' abstract namespace.
    pub host: String,
    /// Address to connect to, if `host` is only the name in its certificate.
    pub hostaddr: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// User; it needs `REPLICATION`.
    pub user: String,
    /// Password of the user; `None` where the server asks for none (`trust`, `peer`, `cert`).
    pub password: Option<SecretString>,
    /// Database.
    pub database: String,
    /// Whether and how the connection is encrypted. A Unix socket is not.
    pub tls: TlsConfig,
    /// Timeouts.
    pub network: NetworkSettings,
    /// `application_name` of the sessions; `None`: `pgcdc`.
    pub application_name: Option<String>,
    /// Command-line options for the server's process (`options`), before those of this crate.
    pub options: Option<String>,
}

impl Server {
    /// A server without TLS. An empty password is none. An IPv6 address may stand in brackets.
    #[must_use]
    pub fn new(
        host: impl Into<String>,
        port: u16,
        user: impl Into<String>,
        password: impl Into<SecretString>,
        database: impl Into<String>,
    ) -> Self {
        let password = password.into();
        Self {
            host: without_brackets(host.into()),
            hostaddr: None,
            port,
            user: user.into(),
            password: Some(password).filter(|password| !password.expose_secret().is_empty()),
            database: database.into(),
            tls: TlsConfig::disabled(),
            network: NetworkSettings::default(),
            application_name: None,
            options: None,
        }
    }

    /// Host and port, or the path of the Unix socket.
    #[must_use]
    pub fn address(&self) -> String {
        if let Some(path) = self.socket_path() {
            return path.to_string_lossy().replace('\0', "@");
        }
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// The path of the Unix socket, if the host is one; one in the abstract namespace begins with a zero byte.
    #[must_use]
    pub fn socket_path(&self) -> Option<PathBuf> {
        if self.hostaddr.is_some() {
            return None;
        }
        let folder = match self.host.strip_prefix('@') {
            Some(name) => format!("\0{name}"),
            None if self.host.starts_with('/') => self.host.clone(),
            None => return None,
        };
        Some(PathBuf::from(format!("{folder}/.s.PGSQL.{}", self.port)))
    }

    /// Options of a session: the user's, and those that fix the format of values.
    pub(super) fn session_options(&self) -> String {
        let own = self.options.as_deref().unwrap_or_default();
        format!("{own} {SESSION_OPTIONS}").trim_start().to_owned()
    }

    /// The same for a session that runs SQL.
    pub(super) fn sql_session_options(&self) -> String {
        format!("{} {UNLIMITED_OPTIONS}", self.session_options())
    }

    /// The servers to try, in this order: the same with each way of encryption that [`TlsConfig::mode`] stands for.
    pub(super) fn attempts(&self) -> Vec<Self> {
        if self.socket_path().is_some() {
            return vec![self.clone()];
        }
        let with = |tls| Self {
            tls,
            ..self.clone()
        };
        self.tls.attempts().into_iter().map(with).collect()
    }

    /// The reader's error for an error on a connection to this server.
    pub(super) fn reader_error(&self, error: &WireError) -> ReaderError {
        ReaderError::from_wire(error, self)
    }
}

/// `[::1]` as it stands in a URL, without its brackets.
fn without_brackets(host: String) -> String {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.map(str::to_owned).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> String {
        Server::new(host, 5432, "me", String::new(), "d").address()
    }

    #[test]
    fn an_address_is_a_name_an_ipv6_address_or_a_socket() {
        assert_eq!(address("db"), "db:5432");
        assert_eq!(address("::1"), "[::1]:5432");
        assert_eq!(address("[::1]"), "[::1]:5432");
        assert_eq!(address("/run/pg"), "/run/pg/.s.PGSQL.5432");
        assert_eq!(address("@pg"), "@pg/.s.PGSQL.5432");
    }

    #[test]
    fn an_empty_password_is_none() {
        assert!(
            Server::new("db", 1, "me", String::new(), "d")
                .password
                .is_none()
        );
    }
}
