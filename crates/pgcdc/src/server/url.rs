//! Servers from URLs, and from tokio-postgres' configuration.

use std::str::FromStr;

use tokio_postgres::config::{Host, SslMode as ClientMode};

use super::Server;
use super::connection_parameters::{ConnectionParameters, ConnectionWarning, InvalidServer};
use super::target::SessionTarget;
use super::tls_config::SslMode;

const PORT: u16 = 5432;

impl Server {
    /// The server of a URL, `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/ca.pem`, or of a
    /// connection string of `key=value` pairs, as libpq reads them. Parameters of libpq that have no effect here are logged.
    ///
    /// The port is 5432 and the database is named as the user where they are left out; `sslmode` is `prefer`. A host that is a
    /// folder is that of a Unix socket. The environment is not read, nor any file but the `passfile` that is named: for these, for
    /// several hosts, and for `target_session_attrs`, which has no effect here, see
    /// [`LibpqEnvironment`](crate::LibpqEnvironment) and [`ServerList`](crate::ServerList).
    ///
    /// # Errors
    /// When it is no such text, or names several hosts.
    pub fn from_url(url: &str) -> Result<Self, InvalidServer> {
        let (server, warnings) = single(url)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(server)
    }
}

/// The only server of a text, and what of the text has no effect on it.
fn single(url: &str) -> Result<(Server, Vec<ConnectionWarning>), InvalidServer> {
    let mut list = url.parse::<ConnectionParameters>()?.servers()?;
    if list.target != SessionTarget::Any {
        let target = ConnectionWarning::NotHonoured("target_session_attrs");
        list.warnings.push(target);
    }
    match (list.servers.pop(), list.servers.len()) {
        (Some(server), 0) => Ok((server, list.warnings)),
        (_, others) => Err(InvalidServer::SeveralHosts(others + 1)),
    }
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
        server.tls.mode = match config.get_ssl_mode() {
            ClientMode::Disable => SslMode::Disable,
            ClientMode::Require => SslMode::Require,
            _ => SslMode::Prefer,
        };
        Ok(server)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_url_names_a_server() {
        let url = "postgres://me:p%40ss@db.example:6543/shop?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x";
        let server: Server = url.parse().unwrap();
        assert_eq!((&*server.host, server.port), ("db.example", 6543));
        assert_eq!((&*server.user, &*server.database), ("me", "shop"));
        assert_eq!(server.password.as_ref().unwrap().expose_secret(), "p@ss");
        assert_eq!(server.application_name.as_deref(), Some("x"));
        assert_eq!(server.tls.mode, SslMode::VerifyFull);
        assert_eq!(server.tls.ca_pem_path.as_deref(), Some("/ca.pem".as_ref()));
        assert!(!format!("{server:?}").contains("p@ss"));
        let short = Server::from_url("postgresql://me@localhost").unwrap();
        assert_eq!((short.port, &*short.database), (5432, "me"));
        assert_eq!(short.tls.mode, SslMode::Prefer);
        assert!(short.password.is_none());
        let socket =
            Server::from_url("postgres://me@%2Frun%2Fpostgresql/shop?sslmode=disable").unwrap();
        assert_eq!(
            (&*socket.host, socket.tls.mode),
            ("/run/postgresql", SslMode::Disable)
        );
        let pairs = Server::from_url("host=db user=me password=secret dbname=shop sslmode=require")
            .unwrap();
        assert_eq!((&*pairs.host, pairs.tls.mode), ("db", SslMode::Require));
    }

    #[test]
    fn the_kind_of_session_that_is_wanted_has_no_effect_and_is_told() {
        let warnings = |parameters: &str| {
            let (_, warnings) = single(&format!("postgres://me@db/shop?{parameters}")).unwrap();
            warnings
        };
        let told = [ConnectionWarning::NotHonoured("target_session_attrs")];
        assert_eq!(warnings("target_session_attrs=primary"), told);
        assert_eq!(warnings("target_session_attrs=any"), []);
    }

    #[test]
    fn what_names_no_single_server_is_an_error_without_its_password() {
        let error = |url: &str| {
            let words = Server::from_url(url).unwrap_err().to_string();
            assert!(!words.contains("secret"), "{words}");
            words
        };
        assert!(error("postgres://me:secret@a,b/shop").contains("2 hosts"));
        assert!(error("postgres://me:secret@a/shop?sslmode=no").contains("sslmode=no"));
        assert!(error("postgres://:secret@a/shop").contains("no user"));
        assert!(error("user=me password=secret").contains("no host"));
        assert!(error("mysql://me:secret@a/shop").contains("scheme"));
        assert!(error("postgres://me:secret@a:port/shop").contains("port is no number"));
        assert!(error("postgres://me:secret@a/shop?sslcert=/c.pem").contains("sslkey"));
        assert!(error("postgres://me:secret@a/shop?sslmod=disable").contains("\"sslmode\""));
    }
}
