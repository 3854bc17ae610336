//! The PostgreSQL server and how to connect to it.

use pgwire_replication::TlsConfig;
use secrecy::SecretString;

use super::ReaderError;
use super::wire::WireError;

/// Session settings that fix the text format of values, whatever the settings of the server or the role are. `lc_monetary` is
/// not among them: another locale may have another number of decimals, and would make other amounts of the same values.
pub(super) const SESSION_OPTIONS: &str = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c bytea_output=hex";

/// Settings of sessions for SQL: no time limits, for a copy may take hours; and a row security policy is an error rather than a
/// copy without the rows it hides.
pub(super) const UNLIMITED_OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c row_security=off";

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
    /// Whether and how the connection is encrypted. A Unix socket is not.
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

    /// The reader's error for an error on a connection to this server.
    pub(super) fn reader_error(&self, error: &WireError) -> ReaderError {
        ReaderError::from_wire(error, self)
    }
}
