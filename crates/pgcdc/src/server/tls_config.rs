//! Whether and how connections are encrypted, in libpq's terms.

use std::path::PathBuf;

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Without TLS.
    #[default]
    Disable,
    /// Without TLS; with it where the server refuses that.
    Allow,
    /// With TLS where the server has it; without it where the server refuses that.
    Prefer,
    /// With TLS, whoever the server is.
    Require,
    /// With a certificate of a trusted authority, whatever name it holds.
    VerifyCa,
    /// With a certificate of a trusted authority that holds the host's name.
    VerifyFull,
}

impl SslMode {
    /// libpq's words.
    pub(crate) const NAMES: &'static str =
        "disable, allow, prefer, require, verify-ca and verify-full";

    /// The mode of libpq's word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// Whether the server's certificate is verified.
    #[must_use]
    pub fn verifies_certificate(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// libpq's `channel_binding`: whether SCRAM also proves that both ends have the same TLS session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Always: a server that does not offer it is refused.
    Require,
}

/// Whether and how connections are encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// How strict.
    pub mode: SslMode,
    /// File of trusted authorities, PEM. Without it, Mozilla's are trusted.
    pub ca_pem_path: Option<PathBuf>,
    /// Whether the operating system's authorities are trusted, in place of Mozilla's.
    pub system_roots: bool,
    /// File of the client certificate and its chain, PEM.
    pub client_cert_pem_path: Option<PathBuf>,
    /// File of its key, PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub client_key_pem_path: Option<PathBuf>,
    /// Name of the server in place of its host, for SNI and in its certificate.
    pub sni_hostname: Option<String>,
    /// Whether SCRAM is bound to the TLS session.
    pub channel_binding: ChannelBinding,
}

impl TlsConfig {
    /// Without TLS.
    #[must_use]
    pub fn disabled() -> Self {
        Self::default()
    }

    /// With TLS, whoever the server is.
    #[must_use]
    pub fn require() -> Self {
        Self::of(SslMode::Require, None)
    }

    /// With a certificate of an authority in the file `ca`, or of one of Mozilla's.
    #[must_use]
    pub fn verify_ca(ca: Option<PathBuf>) -> Self {
        Self::of(SslMode::VerifyCa, ca)
    }

    /// The same, and it holds the host's name.
    #[must_use]
    pub fn verify_full(ca: Option<PathBuf>) -> Self {
        Self::of(SslMode::VerifyFull, ca)
    }

    fn of(mode: SslMode, ca_pem_path: Option<PathBuf>) -> Self {
        Self {
            mode,
            ca_pem_path,
            ..Self::default()
        }
    }

    /// Shows the server a certificate.
    #[must_use]
    pub fn with_client_cert(
        self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            client_cert_pem_path: Some(certificate.into()),
            client_key_pem_path: Some(key.into()),
            ..self
        }
    }

    /// The configurations to try, in this order: `allow` and `prefer` are two attempts.
    pub(crate) fn attempts(&self) -> Vec<Self> {
        let with = |mode| Self {
            mode,
            ..self.clone()
        };
        match self.mode {
            SslMode::Allow => vec![with(SslMode::Disable), with(SslMode::Require)],
            SslMode::Prefer => vec![self.clone(), with(SslMode::Disable)],
            _ => vec![self.clone()],
        }
    }
}
