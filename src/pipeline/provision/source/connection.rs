//! Connects to the source.

use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};
use pgcdc::SslMode;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::{SourceError, server_message};

/// Connects. A background task drives the connection and ends with it.
///
/// # Errors
/// When the server is unreachable or refuses.
pub async fn connect_postgres(endpoint: &PostgresEndpoint) -> Result<Client, SourceError> {
    let server = endpoint.to_string();
    let connected = endpoint.connect().await;
    let (client, _) = connected.map_err(|error| match error {
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
                None => SourceError::Unreachable { server, reason },
            }
        }
    })?;
    Ok(client)
}
