//! Connects to the source.

use std::error::Error;
use std::io;

use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};
use pgcdc::SslMode;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::{SourceError, server_message};
use crate::cause::innermost;
use crate::tls_failure::{NO_AUTHORITY, TlsFailure};

/// Connects. A background task drives the connection and ends with it.
///
/// # Errors
/// When the server is unreachable or refuses.
pub async fn connect_postgres(endpoint: &PostgresEndpoint) -> Result<Client, SourceError> {
    let (client, _) = connect_and_drive(endpoint).await?;
    Ok(client)
}

/// The same, with the task that drives the connection.
///
/// # Errors
/// As [`connect_postgres`].
pub(crate) async fn connect_and_drive(
    endpoint: &PostgresEndpoint,
) -> Result<(Client, JoinHandle<()>), SourceError> {
    let server = endpoint.to_string();
    let connected = endpoint.connect().await;
    connected.map_err(|error| match error {
        PostgresConnectError::Socket(error) if error.is_tls() => tls(endpoint, &error),
        PostgresConnectError::Socket(error) => SourceError::Unreachable {
            server,
            reason: error.to_string(),
        },
        PostgresConnectError::NoPassword => SourceError::NoPassword { server },
        PostgresConnectError::Postgres(error) => {
            let reason = server_message(&error);
            match error.code() {
                Some(code) if *code == SqlState::INVALID_PASSWORD => {
                    SourceError::Password { server, reason }
                }
                Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                    let is_tcp = endpoint.socket_path().is_none();
                    if is_tcp && endpoint.tls.mode == SslMode::Disable {
                        SourceError::NotEncrypted { server, reason }
                    } else {
                        SourceError::NotAdmitted { server, reason }
                    }
                }
                // Of the parameters of a session a pooler passes on what it knows.
                Some(code)
                    if *code == SqlState::PROTOCOL_VIOLATION
                        && reason.contains("unsupported startup parameter") =>
                {
                    SourceError::Pooler { server, reason }
                }
                Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => SourceError::Connections {
                    user: server,
                    reason,
                    raise: "raise the limit that it names (ALTER ROLE or ALTER DATABASE ... CONNECTION LIMIT, or max_connections), or end sessions".to_owned(),
                },
                Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
                    SourceError::Database { server, reason }
                }
                Some(_) => SourceError::Refused {
                    action: format!("let {server} in"),
                    reason,
                },
                // An alert that comes after the handshake is read as an error of the connection.
                None if tls_failure(endpoint, &error).is_some() => tls(endpoint, &error),
                None if error.is_closed() || innermost(&error).is::<io::Error>() => {
                    SourceError::Unreachable { server, reason }
                }
                // It answers, and asks for an authentication that we do not have.
                None => SourceError::Refused {
                    action: format!("let {server} in"),
                    reason,
                },
            }
        }
    })
}

fn tls_failure(endpoint: &PostgresEndpoint, error: &(dyn Error + 'static)) -> Option<TlsFailure> {
    TlsFailure::within(error, endpoint.tls.client_cert_pem_path.is_some())
}

/// The error of a connection that could not be encrypted as configured.
fn tls(endpoint: &PostgresEndpoint, error: &(dyn Error + 'static)) -> SourceError {
    let failure = tls_failure(endpoint, error);
    let advice = match &failure {
        Some(TlsFailure::Expired(_)) => "the server needs a new one",
        Some(TlsFailure::NotYetValid(_)) => "check the clocks of both machines",
        Some(TlsFailure::OtherName) => {
            "use a name in POSTGRES_HOST that it is for, or PGSSLMODE=verify-ca, which takes any"
        }
        Some(TlsFailure::UnknownAuthority(_)) => {
            "PGSSLROOTCERT is the file with the authority's certificate"
        }
        Some(TlsFailure::AuthoritysOwn) => NO_AUTHORITY,
        Some(TlsFailure::CertificateWanted) => "set PGSSLCERT and PGSSLKEY",
        Some(TlsFailure::CertificateRefused(_)) => {
            "PGSSLCERT must be of an authority that the server trusts (its ssl_ca_file), and not expired"
        }
        Some(TlsFailure::NoTls | TlsFailure::Other(_)) | None => {
            "check PGSSLMODE (disable does without), PGSSLROOTCERT, PGSSLCERT and PGSSLKEY"
        }
    };
    SourceError::Tls {
        server: endpoint.to_string(),
        reason: match failure {
            Some(failure) => failure.describe("the server", &endpoint.host),
            None => error.to_string(),
        },
        advice,
    }
}
