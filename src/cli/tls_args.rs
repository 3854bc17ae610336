//! Arguments for TLS to PostgreSQL, as libpq has them.

use std::path::PathBuf;

use pgcdc::{SslMode, TlsConfig};

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Without TLS
    Disable,
    /// With TLS where the server has it
    #[value(alias = "allow")]
    Prefer,
    /// With TLS, whoever the server is; as verify-ca where authorities are given
    Require,
    /// With a certificate of an authority that is known (for now the host's, too, as verify-full)
    VerifyCa,
    /// With one that is the host's, too
    VerifyFull,
}

/// Whether and how connections to PostgreSQL are encrypted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsArgs {
    /// TLS to PostgreSQL [default: disable]
    #[arg(
        long = "postgres-sslmode",
        global = true,
        env = "PGSSLMODE",
        value_enum,
        value_name = "MODE"
    )]
    mode: Option<Mode>,
    /// Authorities that its certificate may be of, PEM [default: those that browsers know]
    #[arg(
        long = "postgres-sslrootcert",
        global = true,
        env = "PGSSLROOTCERT",
        value_name = "FILE"
    )]
    root_certificate: Option<PathBuf>,
    /// Our certificate, PEM
    #[arg(
        long = "postgres-sslcert",
        global = true,
        env = "PGSSLCERT",
        value_name = "FILE"
    )]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(
        long = "postgres-sslkey",
        global = true,
        env = "PGSSLKEY",
        value_name = "FILE"
    )]
    key: Option<PathBuf>,
}

impl TlsArgs {
    /// The TLS configuration of the clients.
    #[must_use]
    pub fn resolve(self) -> TlsConfig {
        let given = |file: Option<PathBuf>| file.filter(|path| !path.as_os_str().is_empty());
        // "system" is libpq's word for the authorities that are built in.
        let root = given(self.root_certificate).filter(|path| path.as_os_str() != "system");
        let mode = match self.mode {
            None | Some(Mode::Disable) => SslMode::Disable,
            Some(Mode::Prefer) => SslMode::Prefer,
            Some(Mode::Require) if root.is_none() => SslMode::Require,
            Some(Mode::Require | Mode::VerifyCa) => SslMode::VerifyCa,
            Some(Mode::VerifyFull) => SslMode::VerifyFull,
        };
        TlsConfig {
            mode,
            ca_pem_path: root,
            client_cert_pem_path: given(self.certificate),
            client_key_pem_path: given(self.key),
            ..TlsConfig::disabled()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        tls: TlsArgs,
    }

    fn mode(args: &[&str]) -> SslMode {
        let args = [&["test"], args].concat();
        Command::try_parse_from(args).unwrap().tls.resolve().mode
    }

    #[test]
    fn modes_are_libpqs() {
        assert_eq!(mode(&["--postgres-sslmode", "prefer"]), SslMode::Prefer);
        assert_eq!(mode(&["--postgres-sslmode", "allow"]), SslMode::Prefer);
        let require = ["--postgres-sslmode", "require"];
        assert_eq!(mode(&require), SslMode::Require);
        let rooted = [&require[..], &["--postgres-sslrootcert", "ca.pem"]].concat();
        assert_eq!(mode(&rooted), SslMode::VerifyCa);
        let system = [&require[..], &["--postgres-sslrootcert", "system"]].concat();
        assert_eq!(mode(&system), SslMode::Require);
    }
}
