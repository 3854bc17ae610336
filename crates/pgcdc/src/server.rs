//! The PostgreSQL server and how to connect to it.

use std::io;
use std::net::IpAddr;

use pgwire_replication::tls::rustls::{MaybeTlsStream, maybe_upgrade_to_tls};
use pgwire_replication::{PgWireError, Publication, ReplicationConfig, TlsConfig};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::ReaderError;

/// Session settings that fix the text format of values, whatever the settings of the server or the role are. `lc_monetary` is
/// not among them: another locale may have another number of decimals, and would make other amounts of the same values.
pub(super) const SESSION_OPTIONS: &str = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c bytea_output=hex";

/// A PostgreSQL server, with the credentials to use there.
#[derive(Debug, Clone)]
pub struct Server {
    /// Host name or address, or the directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User; it needs `REPLICATION`.
    pub user: String,
    /// Password of the user.
    pub password: SecretString,
    /// Database.
    pub database: String,
    /// Whether and how the connection is encrypted. `VerifyCa` refuses certificates for other hosts as `VerifyFull` does:
    /// pgwire-replication 0.5 does not distinguish the two.
    pub tls: TlsConfig,
}

impl Server {
    /// A server without TLS.
    #[must_use]
    pub fn new(
        host: impl Into<String>,
        port: u16,
        user: impl Into<String>,
        password: impl Into<SecretString>,
        database: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            user: user.into(),
            password: password.into(),
            database: database.into(),
            tls: TlsConfig::disabled(),
        }
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Connection settings of a session that runs queries and streams nothing.
    pub(super) fn query_session(&self) -> ReplicationConfig {
        self.replication_config("none", Publication::from("none"))
    }

    /// TLS settings in the form that pgwire-replication needs: an IP address counts as a name that a certificate may hold.
    fn tls_to_host(&self) -> TlsConfig {
        let is_address = self.host.parse::<IpAddr>().is_ok();
        let mut tls = self.tls.clone();
        if is_address && tls.sni_hostname.is_none() {
            tls.sni_hostname = Some(self.host.clone());
        }
        tls
    }

    /// Opens a TCP connection to the server, encrypted as [`Server::tls`] says, before any message of PostgreSQL's protocol:
    /// for a client such as tokio-postgres, so that it connects in the same way as the reader does.
    ///
    /// # Errors
    /// When the server does not answer, or TLS cannot be set up as configured.
    pub async fn socket(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        self.connect().await.map_err(io::Error::other)
    }

    /// [`Server::socket`] with the error of the protocol library.
    pub(super) async fn connect(&self) -> Result<MaybeTlsStream, PgWireError> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // The server sends each row at once: Nagle's algorithm would only delay our own messages.
        socket.set_nodelay(true)?;
        maybe_upgrade_to_tls(socket, &self.tls_to_host(), &self.host).await
    }

    /// The reader's error for an error of pgwire-replication on a connection to this server.
    pub(super) fn error_from_wire(&self, error: &PgWireError) -> ReaderError {
        ReaderError::from_wire(error, &self.address(), &self.user)
    }

    /// Connection settings of a replication session.
    pub(super) fn replication_config(
        &self,
        slot: &str,
        publication: Publication,
    ) -> ReplicationConfig {
        ReplicationConfig::new(
            &*self.host,
            &*self.user,
            self.password.expose_secret(),
            &*self.database,
            slot,
            publication,
        )
        .with_port(self.port)
        .with_tls(self.tls_to_host())
        .with_options(SESSION_OPTIONS)
        .with_application_name("pgcdc")
    }
}
