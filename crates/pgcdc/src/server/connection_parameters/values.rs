//! Values of parameters, as types.

use std::time::Duration;

use super::{ConnectionParameters, InvalidServer};
use crate::server::network_settings::{Keepalives, NetworkSettings};
use crate::server::tls_config::{ChannelBinding, SslMode, TlsConfig};

/// libpq's name for the operating system's authorities.
const SYSTEM: &str = "system";

impl ConnectionParameters {
    /// Whether and how connections are encrypted.
    pub(super) fn tls(&self) -> Result<TlsConfig, InvalidServer> {
        let root = self.get("sslrootcert");
        let mode = match self.get("sslmode") {
            None if root == Some(SYSTEM) => SslMode::VerifyFull,
            None => SslMode::Prefer,
            Some(word) => {
                SslMode::parse(word).ok_or_else(|| invalid("sslmode", word, SslMode::NAMES))?
            }
        };
        // An authority of the system's vouches for anybody's certificate.
        if root == Some(SYSTEM) && !matches!(mode, SslMode::VerifyFull | SslMode::Disable) {
            let word = self.get("sslmode").unwrap_or_default();
            return Err(invalid(
                "sslmode",
                word,
                "verify-full alone with sslrootcert=system",
            ));
        }
        let mode = match (mode, root) {
            (SslMode::Require, Some(_)) => SslMode::VerifyCa,
            (mode, _) => mode,
        };
        let (certificate, key) = (self.get("sslcert"), self.get("sslkey"));
        if mode != SslMode::Disable && certificate.is_some() != key.is_some() {
            return Err(InvalidServer::HalfCertificate);
        }
        let channel_binding = match self.get("channel_binding") {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(word) => {
                return Err(invalid(
                    "channel_binding",
                    word,
                    "disable, prefer and require",
                ));
            }
        };
        Ok(TlsConfig {
            mode,
            ca_pem_path: root.filter(|root| *root != SYSTEM).map(Into::into),
            system_roots: root == Some(SYSTEM),
            client_cert_pem_path: certificate.map(Into::into),
            client_key_pem_path: key.map(Into::into),
            sni_hostname: None,
            channel_binding,
        })
    }

    /// Timeouts: this crate's defaults, and what is given.
    pub(super) fn network(&self) -> Result<NetworkSettings, InvalidServer> {
        let mut settings = NetworkSettings::default();
        if let Some(seconds) = self.number("connect_timeout")? {
            // As libpq: no limit for 0, and at least two seconds.
            settings.connect_timeout =
                (seconds > 0).then(|| Duration::from_secs(seconds.max(2).unsigned_abs()));
        }
        if let Some(milliseconds) = self.number("tcp_user_timeout")? {
            let limit = Duration::from_millis(milliseconds.unsigned_abs());
            settings.user_timeout = (milliseconds > 0).then_some(limit);
        }
        let mut probes = Keepalives::default();
        let seconds = |value: i64| (value > 0).then(|| Duration::from_secs(value.unsigned_abs()));
        if let Some(idle) = self.number("keepalives_idle")? {
            probes.idle = seconds(idle);
        }
        if let Some(interval) = self.number("keepalives_interval")? {
            probes.interval = seconds(interval);
        }
        if let Some(count) = self.number("keepalives_count")? {
            probes.count = u32::try_from(count).ok().filter(|count| *count > 0);
        }
        let is_on = self.number("keepalives")? != Some(0);
        settings.keepalives = is_on.then_some(probes);
        Ok(settings)
    }

    fn number(&self, keyword: &'static str) -> Result<Option<i64>, InvalidServer> {
        let number = |text: &str| {
            let parsed = text.trim().parse::<i32>();
            parsed
                .map(i64::from)
                .map_err(|_| invalid(keyword, text, "the whole numbers"))
        };
        self.get(keyword).map(number).transpose()
    }
}

pub(super) fn invalid(parameter: &'static str, value: &str, known: &'static str) -> InvalidServer {
    InvalidServer::Parameter {
        parameter,
        // With an @ it may be the end of a connection string's password.
        value: if value.contains('@') {
            "(not repeated)".to_owned()
        } else {
            value.to_owned()
        },
        known,
    }
}
