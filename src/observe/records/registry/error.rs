//! Why a registry did not give a schema.

use cdc_bench_stack::RegistryEndpoint;

use crate::cause::innermost;
use crate::tls_failure::{NO_AUTHORITY, TlsFailure, speaks_tls};

/// A registry did not give a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or none for now.
    #[error("cannot ask the schema registry at {url}: {reason}; is it running? It is asked again")]
    Away {
        /// Address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// TLS did not come about.
    #[error("no TLS to the schema registry at {url}: {reason}; {advice}")]
    Tls {
        /// Address.
        url: String,
        /// What failed.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// It wants a login, or another.
    #[error("the schema registry at {url} {reason} (401); {advice}")]
    Unauthorized {
        /// Address.
        url: String,
        /// What of the login.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The user may not read schemas.
    #[error(
        "the schema registry at {url} does not let {user} read its schemas (403); it, or the gateway before it, has to allow that"
    )]
    Forbidden {
        /// Address.
        url: String,
        /// Who.
        user: String,
    },
    /// It has no such schema.
    #[error(
        "the schema registry at {url} has no schema with {id}; is it the one that the connector's converter writes to (SCHEMA_REGISTRY_URL)?"
    )]
    NoSchema {
        /// Address.
        url: String,
        /// Which.
        id: String,
    },
    /// Something answers, and it is no registry.
    #[error(
        "what answers at {url} is no schema registry: {what}; check host, port and path of the address (SCHEMA_REGISTRY_URL), of Apicurio with /apis/ccompat/v7"
    )]
    NotARegistry {
        /// Address.
        url: String,
        /// What it answered.
        what: String,
    },
    /// It sends us to another server.
    #[error(
        "the schema registry's address {url} redirects to {to}, which does not get the login unasked; if that is the registry, set SCHEMA_REGISTRY_URL to it"
    )]
    Redirected {
        /// Address.
        url: String,
        /// Where to.
        to: String,
    },
}

impl RegistryError {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// The error of a request without an answer.
pub(super) async fn of_request(
    endpoint: &RegistryEndpoint,
    error: &reqwest::Error,
) -> RegistryError {
    let url = endpoint.to_string();
    if let Some(failure) = TlsFailure::within(error, false) {
        return RegistryError::Tls {
            url,
            reason: failure.describe("the server", endpoint.host()),
            advice: advice(&failure),
        };
    }
    let wants_https = !error.is_connect()
        && !error.is_timeout()
        && !endpoint.is_tls()
        && speaks_tls(endpoint.host(), endpoint.port()).await;
    if wants_https {
        return RegistryError::Tls {
            url,
            reason: "it speaks TLS".to_owned(),
            advice: "write https:// in SCHEMA_REGISTRY_URL",
        };
    }
    RegistryError::Away {
        url,
        reason: if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            innermost(error).to_string()
        },
    }
}

fn advice(failure: &TlsFailure) -> &'static str {
    match failure {
        TlsFailure::Expired(_) => "the server needs a new one",
        TlsFailure::NotYetValid(_) => "check the clocks of both machines",
        TlsFailure::OtherName => "use a name in SCHEMA_REGISTRY_URL that it is for",
        TlsFailure::UnknownAuthority(_) => {
            "SCHEMA_REGISTRY_CA is the file with the authority's certificate"
        }
        TlsFailure::CertificateWanted | TlsFailure::CertificateRefused(_) => {
            "clients' certificates are not supported here; a registry behind a gateway with a login is"
        }
        TlsFailure::AuthoritysOwn => NO_AUTHORITY,
        TlsFailure::NoTls => "write http:// in SCHEMA_REGISTRY_URL, if that is meant",
        TlsFailure::Other(_) => "check the server's TLS settings",
    }
}

pub(super) fn unauthorized(endpoint: &RegistryEndpoint) -> RegistryError {
    let (reason, advice) = match &endpoint.login {
        Some(login) => (
            format!(
                "does not accept user \"{}\" with this password",
                login.username
            ),
            "check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD",
        ),
        None => (
            "asks for a login".to_owned(),
            "set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD (or SCHEMA_REGISTRY_PASSWORD_FILE)",
        ),
    };
    RegistryError::Unauthorized {
        url: endpoint.to_string(),
        reason,
        advice,
    }
}

pub(super) fn forbidden(endpoint: &RegistryEndpoint) -> RegistryError {
    RegistryError::Forbidden {
        url: endpoint.to_string(),
        user: match &endpoint.login {
            Some(login) => format!("user \"{}\"", login.username),
            None => "us, without a login,".to_owned(),
        },
    }
}
