//! Arguments for TLS to PostgreSQL, as libpq has them.

use pgcdc::InvalidServer;

use super::connection_origins::Origins;

/// Whether and how connections to PostgreSQL are encrypted. The variables are libpq's, and a shell may have them set to anything for
/// others: a value is looked at where a server is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsArgs {
    /// TLS to PostgreSQL: disable, allow, prefer, require, verify-ca or verify-full [default: disable; prefer with --postgres or
    /// certificates]
    #[arg(
        long = "postgres-sslmode",
        global = true,
        env = "PGSSLMODE",
        value_name = "MODE"
    )]
    mode: Option<String>,
    /// Authorities that its certificate may be of, PEM, or "system" [default: those that browsers know]
    #[arg(
        long = "postgres-sslrootcert",
        global = true,
        env = "PGSSLROOTCERT",
        value_name = "FILE"
    )]
    root_certificate: Option<String>,
    /// Our certificate, PEM
    #[arg(
        long = "postgres-sslcert",
        global = true,
        env = "PGSSLCERT",
        value_name = "FILE"
    )]
    certificate: Option<String>,
    /// Its key, PEM
    #[arg(
        long = "postgres-sslkey",
        global = true,
        env = "PGSSLKEY",
        value_name = "FILE"
    )]
    key: Option<String>,
}

impl TlsArgs {
    /// Puts what is given among the parameters of the connection. A variable of libpq's is none of them: libpq's environment
    /// has it as well, after a service.
    pub(super) fn put(
        self,
        origins: &mut Origins,
        is_flag: &impl Fn(&str) -> bool,
    ) -> Result<(), InvalidServer> {
        for (keyword, value, id) in [
            ("sslmode", self.mode, "mode"),
            ("sslrootcert", self.root_certificate, "root_certificate"),
            ("sslcert", self.certificate, "certificate"),
            ("sslkey", self.key, "key"),
        ] {
            origins.take(keyword, value, is_flag(id))?;
        }
        Ok(())
    }
}
