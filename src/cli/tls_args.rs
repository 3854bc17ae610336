//! Arguments for TLS to PostgreSQL, as libpq has them.

use clap::ValueEnum;
use pgcdc::InvalidServer;

use super::connection_origins::Origins;

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Without TLS
    Disable,
    /// Without TLS, and with it where the server refuses that
    Allow,
    /// With TLS where the server has it
    Prefer,
    /// With TLS, whoever the server is; as verify-ca where authorities are given
    Require,
    /// With a certificate of an authority that is known
    VerifyCa,
    /// With one that is the host's, too
    VerifyFull,
}

/// Whether and how connections to PostgreSQL are encrypted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsArgs {
    /// TLS to PostgreSQL [default: disable; prefer with --postgres]
    #[arg(
        long = "postgres-sslmode",
        global = true,
        env = "PGSSLMODE",
        value_enum,
        value_name = "MODE"
    )]
    mode: Option<Mode>,
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
    pub(super) fn put(self, origins: &mut Origins) -> Result<(), InvalidServer> {
        let word = |mode: Mode| {
            mode.to_possible_value()
                .map(|word| word.get_name().to_owned())
        };
        for (keyword, value, variable) in [
            ("sslmode", self.mode.and_then(word), "PGSSLMODE"),
            ("sslrootcert", self.root_certificate, "PGSSLROOTCERT"),
            ("sslcert", self.certificate, "PGSSLCERT"),
            ("sslkey", self.key, "PGSSLKEY"),
        ] {
            origins.take(keyword, value, variable)?;
        }
        Ok(())
    }
}
