//! Servers from URLs, and from tokio-postgres' configuration.

use std::str::FromStr;

use pgwire_replication::TlsConfig;
use tokio_postgres::config::{Host, SslMode};

use super::server::Server;

const PORT: u16 = 5432;

/// Why a text or a configuration names no server. It never contains the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServer {
    /// It is no connection string.
    #[error(
        "this is no URL of PostgreSQL, as postgres://user:password@host:5432/database?sslmode=verify-full: {0}"
    )]
    Syntax(String),
    /// It has no host.
    #[error("the connection string names no host")]
    NoHost,
    /// It has several hosts. A slot is on one server.
    #[error(
        "the connection string names {0} hosts: a slot is on one of them, give the address of that one"
    )]
    SeveralHosts(usize),
    /// It has no user.
    #[error("the connection string names no user")]
    NoUser,
    /// It has a value for a parameter that is not known.
    #[error("the connection string has {parameter}={value}, and {parameter} is one of {known}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        known: &'static str,
    },
    /// The password is no UTF-8.
    #[error("the password of the connection string is no UTF-8")]
    Password,
}

impl Server {
    /// The server of a URL, `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/ca.pem`, or of a
    /// connection string of `key=value` pairs.
    ///
    /// The port is 5432 and the database is named as the user where they are left out. `sslmode` is one of libpq's, without
    /// `allow`; left out, it is `prefer`, as libpq's. `sslrootcert`, `sslcert` and `sslkey` are files in PEM format, as they are
    /// written, without escapes. In a URL these four stand after the question mark, and only there are they known. A host that
    /// is a folder is that of a Unix socket.
    ///
    /// # Errors
    /// When it is no such text, or names several hosts.
    pub fn from_url(url: &str) -> Result<Self, InvalidServer> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut encryption = Encryption::default();
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = Some(value.to_owned());
            match key {
                "sslmode" => encryption.mode = value,
                "sslrootcert" => encryption.ca = value,
                "sslcert" => encryption.certificate = value,
                "sslkey" => encryption.key = value,
                _ => rest.push(pair),
            }
        }
        let without = format!("{address}?{}", rest.join("&"));
        let text = if query.is_empty() { url } else { &without };
        let config = tokio_postgres::Config::from_str(text)
            .map_err(|error| InvalidServer::Syntax(cause(&error)))?;
        let mut server = Self::try_from(&config)?;
        if let Some(tls) = encryption.tls()? {
            server.tls = tls;
        }
        Ok(server)
    }
}

/// The parser's words, which name parameters and no values.
fn cause(error: &tokio_postgres::Error) -> String {
    let inner = std::error::Error::source(error);
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}

/// As [`Server::from_url`].
impl FromStr for Server {
    type Err = InvalidServer;

    fn from_str(url: &str) -> Result<Self, InvalidServer> {
        Self::from_url(url)
    }
}

/// Takes host, port, user, password, database, and whether the connection is encrypted: what tokio-postgres knows of it, which
/// verifies no certificate. Set [`Server::tls`] for more.
impl TryFrom<&tokio_postgres::Config> for Server {
    type Error = InvalidServer;

    fn try_from(config: &tokio_postgres::Config) -> Result<Self, InvalidServer> {
        let host = match config.get_hosts() {
            [] => return Err(InvalidServer::NoHost),
            [Host::Tcp(host)] => host.clone(),
            [Host::Unix(folder)] => folder.to_string_lossy().into_owned(),
            hosts => return Err(InvalidServer::SeveralHosts(hosts.len())),
        };
        let user = config.get_user().filter(|user| !user.is_empty());
        let user = user.ok_or(InvalidServer::NoUser)?;
        let password = config.get_password().unwrap_or_default();
        let password = String::from_utf8(password.to_vec()).map_err(|_| InvalidServer::Password)?;
        let port = config.get_ports().first().copied().unwrap_or(PORT);
        let database = config.get_dbname().unwrap_or(user);
        let mut server = Self::new(host, port, user, password, database);
        server.tls = match config.get_ssl_mode() {
            SslMode::Disable => TlsConfig::disabled(),
            SslMode::Require => TlsConfig::require(),
            _ => prefer(),
        };
        Ok(server)
    }
}

fn prefer() -> TlsConfig {
    TlsConfig {
        mode: pgwire_replication::SslMode::Prefer,
        ..TlsConfig::disabled()
    }
}

/// The parameters for encryption, which tokio-postgres does not know.
#[derive(Default)]
struct Encryption {
    mode: Option<String>,
    ca: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Encryption {
    /// `None` when none of them was given.
    fn tls(self) -> Result<Option<TlsConfig>, InvalidServer> {
        let has_files = self.ca.is_some() || self.certificate.is_some() || self.key.is_some();
        let ca = self.ca.map(Into::into);
        let mut tls = match self.mode.as_deref() {
            None if !has_files => return Ok(None),
            None | Some("prefer") => prefer(),
            Some("disable") => TlsConfig::disabled(),
            Some("require") => TlsConfig::require(),
            Some("verify-ca") => TlsConfig::verify_ca(None),
            Some("verify-full") => TlsConfig::verify_full(None),
            Some(other) => {
                return Err(InvalidServer::Parameter {
                    parameter: "sslmode",
                    value: other.to_owned(),
                    known: "disable, prefer, require, verify-ca and verify-full",
                });
            }
        };
        tls.ca_pem_path = ca;
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => tls = tls.with_client_cert(certificate, key),
            (None, None) => {}
            _ => {
                return Err(InvalidServer::Parameter {
                    parameter: "sslcert",
                    value: String::new(),
                    known: "files that come with an sslkey",
                });
            }
        }
        Ok(Some(tls))
    }
}

#[cfg(test)]
mod tests {
    use pgwire_replication::SslMode as Mode;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_url_names_a_server() {
        let url = "postgres://me:p%40ss@db.example:6543/shop?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x";
        let server: Server = url.parse().unwrap();
        assert_eq!((&*server.host, server.port), ("db.example", 6543));
        assert_eq!((&*server.user, &*server.database), ("me", "shop"));
        assert_eq!(server.password.expose_secret(), "p@ss");
        assert_eq!(server.tls.mode, Mode::VerifyFull);
        assert_eq!(server.tls.ca_pem_path.as_deref(), Some("/ca.pem".as_ref()));
        assert!(!format!("{server:?}").contains("p@ss"));
        let short = Server::from_url("postgresql://me@localhost").unwrap();
        assert_eq!((short.port, &*short.database), (5432, "me"));
        assert_eq!(short.tls.mode, Mode::Prefer);
        let socket =
            Server::from_url("postgres://me@%2Frun%2Fpostgresql/shop?sslmode=disable").unwrap();
        assert_eq!(
            (&*socket.host, socket.tls.mode),
            ("/run/postgresql", Mode::Disable)
        );
        let pairs = Server::from_url("host=db user=me password=secret dbname=shop sslmode=require")
            .unwrap();
        assert_eq!((&*pairs.host, pairs.tls.mode), ("db", Mode::Require));
    }

    #[test]
    fn what_names_no_single_server_is_an_error_without_its_password() {
        let error = |url: &str| {
            let words = Server::from_url(url).unwrap_err().to_string();
            assert!(!words.contains("secret"), "{words}");
            words
        };
        assert!(error("postgres://me:secret@a,b/shop").contains("2 hosts"));
        assert!(error("postgres://me:secret@a/shop?sslmode=allow").contains("sslmode=allow"));
        assert!(error("postgres://:secret@a/shop").contains("no user"));
        assert!(error("user=me password=secret").contains("no host"));
        assert!(error("mysql://me:secret@a/shop").contains("no URL"));
        assert!(error("postgres://me:secret@a:port/shop").contains("no URL"));
        assert!(error("postgres://me:secret@a/shop?sslcert=/c.pem").contains("sslkey"));
    }
}
